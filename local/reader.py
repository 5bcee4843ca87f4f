"""Somebody who got an alert, at the desk: opens its link, reads the page, and acts, as a browser would."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from http.client import HTTPConnection
from urllib.parse import urlencode, urljoin, urlsplit

from local.processes import LOOPBACK
from local.stack import ROOT, LocalStack

_BLOCKS = {"p", "h1", "h2", "li", "dt", "dd", "form", "div", "article", "section", "tr", "small"}
_NOT_READ = {"style", "script", "title", "option", "noscript"}


@dataclass(frozen=True)
class Page:
    """A page, as it is read."""

    status: int
    address: str
    html: str

    @property
    def lines(self) -> list[str]:
        """Return what it says, a line a paragraph."""
        reading = _Reading()
        reading.feed(self.html)
        return [line for line in (" ".join(line.split()) for line in "".join(reading.said).split("\n")) if line]

    @property
    def buttons(self) -> list[str]:
        """Return what can be clicked."""
        reading = _Reading()
        reading.feed(self.html)
        return reading.buttons


def list_link(stack: LocalStack, account: str) -> str:
    """Return a link to an account's list, as its digests and reminders hold it."""
    # The product is no part of this environment: it is taken from where it stands.
    sys.path.append(str(ROOT / "layers" / "invoicekey" / "python"))
    from invoicekey.messages.links import Links, Target

    secret = stack.client("secretsmanager").get_secret_value(SecretId=stack.outputs["DeskSecretArn"])
    address = urljoin(stack.outputs["HookUrl"], "/desk/")
    return Links(address, [json.loads(secret["SecretString"])["current"]]).to(Target(account))


def link_in(text: str) -> str:
    """Return the desk's link that an e-mail holds alone on a line; empty where it holds none."""
    return next((line for line in text.splitlines() if line.startswith("http") and "/desk/" in line), "")


def open_link(link: str) -> Page:
    """Open a link."""
    return _asked("GET", link)


def act(page: Page, **fields: str) -> Page:
    """Send a form of a page, and follow where it leads."""
    return _asked("POST", page.address, fields)


def _asked(method: str, address: str, form: Mapping[str, str] | None = None) -> Page:
    """Ask for a page. Not every system knows the names under localhost, so the connection goes to the loopback."""
    parts = urlsplit(address)
    connection = HTTPConnection(LOOPBACK, parts.port or 80, timeout=30)
    headers = {"Host": parts.netloc, "Content-Type": "application/x-www-form-urlencoded"}
    try:
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request(method, path, urlencode(form) if form else None, headers)
        answer = connection.getresponse()
        body = answer.read().decode()
    finally:
        connection.close()
    if location := answer.headers.get("Location"):
        return _asked("GET", urljoin(address, location))
    return Page(answer.status, address, body)


class _Reading(HTMLParser):
    """Reads a page from top to bottom."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.buttons: list[str] = []
        self._within: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - as the parser calls it
        if tag in _NOT_READ or tag == "button":
            self._within.append(tag)
        if tag in _BLOCKS:
            self.said.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if self._within and self._within[-1] == tag:
            self._within.pop()
        if tag in _BLOCKS:
            self.said.append("\n")

    def handle_data(self, data: str) -> None:
        if "button" in self._within:
            self.buttons += [" ".join(data.split())] if data.strip() else []
        elif not self._within:
            self.said.append(data)
