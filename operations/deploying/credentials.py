"""`make credentials`: asks for a VTEX account's appKey and appToken without showing them, and writes the secret."""

import os
import signal
import sys

if __name__ == "__main__":
    # To import the rest takes a moment, in which nothing is done yet that Ctrl-C could interrupt.
    usual = signal.signal(signal.SIGINT, lambda *_: os._exit(130))

import getpass
import re
from collections.abc import Collection

from invoicekey.ledger.accounts import account_key
from invoicekey.runtime.secrets import is_header_value
from operations.deployment.stack import Deployment, NotUnderstood, Trouble, explained, from_environment
from operations.terminal import streams

VTEX_SECRET = "VtexCredentialsSecretArn"
_TRIES = 3
_ACCOUNT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def main() -> int:
    """Ask, write, say what is next."""
    return streams.run(_keep_and_tell, interrupted="\nNothing was changed.")


def _keep_and_tell() -> int:
    try:
        account = keep(from_environment())
    except EOFError:
        raise KeyboardInterrupt from None  # Ctrl-D
    print(f"The credentials of {account} are kept. The functions take them up within five minutes; if these replace")
    print("others, revoke those at VTEX after that (of an appKey that stays the same, the old token alone).")
    return 0


def keep(deployment: Deployment) -> str:
    """Ask for an account's credentials and add them to the secret; return the account."""
    account = ask_account(deployment.read_secret(VTEX_SECRET))
    if _is_in_own_place(deployment, account):
        raise Trouble(
            f"The credentials of {account} are in a place of its own, not in this secret. Nothing was changed. Run "
            f"invoicekey accounts set {account} --credentials{deployment.options}"
        )
    write(deployment, account, ask_keys())
    return account


def ask_account(kept: Collection[str]) -> str:
    """Ask for a VTEX account, beside those whose credentials are kept."""
    if len(kept) == 1:
        (known,) = kept
        return checked_account(input(f"VTEX account [{known}]: ").strip() or known)
    known = ", ".join(sorted(kept)) or "none yet"
    return checked_account(input(f"VTEX account (credentials are kept of: {known}): ").strip())


def checked_account(account: str) -> str:
    """Return the account, or raise Trouble where that is no account's name."""
    if not _ACCOUNT.fullmatch(account):
        raise NotUnderstood(
            f"{account[:80]!r} is no account's name: expected the NAME of https://NAME.myvtex.com, in lower-case "
            "letters, digits and dashes. Nothing was changed."
        )
    return account


def ask_keys() -> dict[str, str]:
    """Ask for an appKey and an appToken, as the secret holds them; nothing is shown."""
    return {"app_key": _ask("appKey"), "app_token": _ask("appToken")}


def write(deployment: Deployment, account: str, keys: dict[str, str]) -> None:
    """Add an account's credentials to the secret, or replace them."""
    deployment.write_secret(VTEX_SECRET, {**deployment.read_secret(VTEX_SECRET), account: keys})


def _is_in_own_place(deployment: Deployment, account: str) -> bool:
    table = deployment.output("LedgerTableName")
    with explained(f"The item of {account} in the ledger cannot be read"):
        answer = deployment.client("dynamodb").get_item(
            TableName=table, Key={"pk": {"S": account_key(account)}}, ProjectionExpression="credentials"
        )
    return "credentials" in answer.get("Item", {})


def _ask(name: str) -> str:
    wrong = f"That is no {name}: expected visible ASCII characters without blanks"
    for _ in range(_TRIES):
        value = getpass.getpass(f"{name} (not shown): ").strip()
        if is_header_value(value):
            return value
        print(f"{wrong}. Once more:", file=sys.stderr)
    raise Trouble(f"{wrong}. Nothing was changed.")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, usual)
    raise SystemExit(main())
