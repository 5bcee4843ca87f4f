"""`make hook`: configures VTEX's order hook; reads the present one first, and stops if it points at another system.

VTEX keeps one hook an appKey, and a POST replaces it: an appKey of one's own is what keeps another system's hook alive.
"""

import json
import os
import sys
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from operations.deployment import Deployment, Trouble, from_environment

ROUTE = "/api/orders/hook/config"
VTEX = "https://{account}.vtexcommercestable.com.br"


class _StaysHere(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the credentials are for VTEX alone."""

    def redirect_request(self, *_: Any) -> None:
        """Make an answer with a redirect an error."""


_OPENER = urllib.request.build_opener(_StaysHere)


def main() -> int:
    """Configure the hook of the account that ACCOUNT names."""
    account = os.environ.get("ACCOUNT", "")
    if not account:
        print("Say which account: make hook ACCOUNT=luxstore", file=sys.stderr)
        return 2
    try:
        print(install(from_environment(), account, os.environ.get("VTEX_BASE_URL") or VTEX))
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 1
    return 0


def install(deployment: Deployment, account: str, base_url: str) -> str:
    """Configure the hook at VTEX unless there is another system's; return what was done, for people."""
    url = deployment.outputs["HookUrl"]
    credentials = deployment.read_secret("VtexCredentialsSecretArn").get(account)
    if not credentials:
        raise Trouble(f"There are no credentials of {account} yet. Run make credentials.")
    vtex = Vtex(base_url.replace("{account}", account), credentials)
    present = (vtex.call("GET") or {}).get("hook") or {}
    there = str(present.get("url") or "")
    if there and urlsplit(there).netloc != urlsplit(url).netloc:
        raise Trouble(
            f"The hook of this appKey points at {urlsplit(there).netloc}, another system. Nothing was changed: "
            "create an appKey of its own for this system and run make credentials again."
        )
    secret = deployment.read_secret("HookSecretArn")["current"]
    statuses = [status.strip() for status in os.environ.get("STATUSES", "invoiced").split(",")]
    vtex.call(
        "POST",
        {
            "filter": {"type": "FromWorkflow", "status": statuses},
            "hook": {"url": url, "headers": {"X-Hook-Secret": secret}},
        },
    )
    return f"VTEX sends the orders of {account} that become {', '.join(statuses)} to {url}"


class Vtex:
    """VTEX's hook configuration of one appKey."""

    def __init__(self, base_url: str, credentials: dict[str, str]) -> None:
        self._url = base_url + ROUTE
        self._headers = {
            "X-VTEX-API-AppKey": credentials["app_key"],
            "X-VTEX-API-AppToken": credentials["app_token"],
            "Content-Type": "application/json",
            "Accept": "application/json",
        }

    def call(self, method: str, body: object = None) -> Any:
        """Call the route and return its JSON; None where it answers 404 or no JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url, data=data, method=method, headers=self._headers)
        try:
            with _OPENER.open(request, timeout=15) as answer:
                return _json(answer.read())
        except urllib.error.HTTPError as error:
            return self._refused(method, error)
        except OSError as error:
            raise Trouble(f"VTEX cannot be reached: {error}") from None

    def _refused(self, method: str, error: urllib.error.HTTPError) -> None:
        if error.code == HTTPStatus.NOT_FOUND and method == "GET":
            return
        reasons = {
            400: "VTEX's ping did not get 200: is the stack deployed, and its HookUrl reachable?",
            401: "VTEX does not know this appKey and appToken. Run make credentials.",
            403: "the appKey lacks the resource Feed v3 and Hook Admin (License Manager, product OMS).",
            409: "a hook of another filter type is configured; remove it in VTEX first.",
        }
        raise Trouble(f"VTEX answered {error.code}: {reasons.get(error.code, 'try again in a minute.')}")


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


if __name__ == "__main__":
    raise SystemExit(main())
