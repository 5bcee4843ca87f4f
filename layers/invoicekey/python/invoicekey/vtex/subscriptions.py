"""The configurations of hook and feed at VTEX: what is there, whose it is, and how it is to be.

VTEX keeps one hook and one feed an appKey, and who writes replaces what was there, whoever wrote it. So nobody writes
here without asking `ownership` first. What VTEX answers to a GET of the hook is not documented: it is read leniently,
and what it does not show counts neither for nor against it. An answer that shows nothing at all is NotShown, and does
not say that nothing is there (docs/decisions/0020-what-vtex-does-not-show.md).

Source: developers.vtex.com/docs/guides/orders-feed.
"""

import hmac
import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from invoicekey.ledger.registrations import RegistrationState
from invoicekey.runtime.errors import RetryLater
from invoicekey.vtex.client import Vtex

HOOK_ROUTE, FEED_ROUTE = "/api/orders/hook/config", "/api/orders/feed/config"
SECRET_HEADER = "X-Hook-Secret"  # noqa: S105 - the header's name, not a secret
STATUSES_HEADER = "X-Watched-Statuses"
"""Tells the receiver, which reads no ledger, which statuses an account has of its own."""
FROM_WORKFLOW = "FromWorkflow"
"""The filter by status. One on the order's content skips events (VTEX's known issue 832400)."""
VISIBILITY_SECONDS = 240
RETENTION_SECONDS = 1_209_600
"""Fourteen days, the most; VTEX removes a feed that got no event for so long."""
UNKNOWN_HOST = "unknown"
LONGEST_HOST = 100
_PORTS = {"http": 80, "https": 443}
_NOTHING_THERE = (httpx.codes.NOT_FOUND, httpx.codes.NO_CONTENT)
"""An empty 200 is none of them: whoever lost the body on its way must not cost another system its hook. That 404 means
so is documented of the feed alone (Orders API, Get feed items); that 204 does, of neither."""
_MASKS = ("**", "••")


class ConfigurationRefused(RetryLater):
    """VTEX answered 400 or 409 to a configuration.

    Of a hook, 400 is documented for a ping of its address that got no 200; 409 for a filter that mixes the members of
    both types, which ours never does (guide orders-feed). What else they may mean is not known.
    """


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events are wanted, as far as VTEX shows it."""

    type: str | None
    statuses: frozenset[str]
    """In lower case; empty where none are shown."""

    def is_for(self, statuses: Collection[str]) -> bool:
        """Say whether it lets through exactly these statuses, and by them alone."""
        is_by_status = self.type is None or self.type.casefold() == FROM_WORKFLOW.casefold()
        return is_by_status and self.statuses == frozenset(statuses)


@dataclass(frozen=True, slots=True)
class HookConfig:
    """A hook's configuration; None is what VTEX does not show."""

    url: str | None = None
    secret: str | None = field(default=None, repr=False)
    """The value of our header; of another system's headers nothing is kept."""
    filter: Filter | None = None
    own_statuses: str | None = None
    """The value of our other header."""


@dataclass(frozen=True, slots=True)
class FeedConfig:
    """A feed's configuration; None is what VTEX does not show."""

    filter: Filter | None = None
    visibility_seconds: int | None = None
    retention_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class WantedHook:
    """How a hook of ours is to be."""

    url: str
    secret: str = field(repr=False)
    statuses: frozenset[str]
    """In lower case, as VTEX writes them: it takes any text, and a typing error is silence."""
    has_own_statuses: bool = False
    """Whether the account has them of its own: then each call tells them to the receiver."""

    @property
    def own_statuses(self) -> str | None:
        """Return what the header says of them; None where there is to be none."""
        return ",".join(sorted(self.statuses)) if self.has_own_statuses else None


@dataclass(frozen=True, slots=True)
class NotShown:
    """VTEX answered 200 with nothing in it: whether the appKey has a hook, or a feed, cannot be told."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The appKey has no hook."""


@dataclass(frozen=True, slots=True)
class Ours:
    """The hook points at our address; its filter and header may still differ."""


@dataclass(frozen=True, slots=True)
class Different:
    """The hook points at our host, but not at our path."""


@dataclass(frozen=True, slots=True)
class OtherSystem:
    """The hook points elsewhere: it is not to be written, nor removed, by a program."""

    host: str
    """For people: letters, digits, dots, dashes and colons, LONGEST_HOST at the most; or UNKNOWN_HOST."""


type Ownership = Gone | Ours | Different | OtherSystem | NotShown


def ownership(config: HookConfig | NotShown | None, hook_url: str, *, was_ours: bool = False) -> Ownership:
    """Say whose hook it is, by the host (and port) of its address; one that can't be read is another system's.

    `was_ours` decides where VTEX shows a hook and not its address: whether it was us who wrote the configuration last.
    Where nothing is shown it decides nothing: since then another system may have written there.
    """
    if config is None:
        return Gone()
    if isinstance(config, NotShown):
        return config
    if config.url is None and was_ours:
        return Ours()
    there, ours = _place(config.url or ""), _place(hook_url)
    if there is None or ours is None:
        return OtherSystem(UNKNOWN_HOST)
    if there.host != ours.host:
        return OtherSystem(_shown(there.host))
    return Ours() if there.path == ours.path else Different()


def hook_differences(config: HookConfig, wanted: WantedHook) -> list[str]:
    """List what differs of a hook of ours: `url`, `filter`, `header`, `statuses`. What VTEX does not show does not."""
    differs = {
        "url": config.url is not None and _place(config.url) != _place(wanted.url),
        "filter": config.filter is not None and not config.filter.is_for(wanted.statuses),
        "header": config.secret is not None and not _is_same(config.secret, wanted.secret),
        "statuses": config.secret is not None and config.own_statuses != wanted.own_statuses,
    }
    return [name for name, is_other in differs.items() if is_other]


def feed_differences(config: FeedConfig, statuses: Collection[str]) -> list[str]:
    """List what differs of a feed: `filter`, `queue`. What VTEX does not show does not."""
    differs = {
        "filter": config.filter is not None and not config.filter.is_for(statuses),
        "queue": config.visibility_seconds not in {None, VISIBILITY_SECONDS}
        or config.retention_seconds not in {None, RETENTION_SECONDS},
    }
    return [name for name, is_other in differs.items() if is_other]


def first_seen(noted: RegistrationState, whose_hook: Ownership) -> RegistrationState:
    """Return what is to be noted of an appKey at its first sight; a hook that is registered after it proves nothing.

    An answer that shows nothing is no sight.
    """
    if noted.own_app_key is not None or isinstance(whose_hook, NotShown):
        return noted
    # Where a hook was registered, or a feed left alone, by a version that did not note this, the first sight is over.
    was_seen_before = noted.hook_installed or noted.feed_left_alone
    return replace(noted, own_app_key=isinstance(whose_hook, Ours | Different) and not was_seen_before)


def is_feed_ours(feed: FeedConfig, statuses: Collection[str], noted: RegistrationState, whose_hook: Ownership) -> bool:
    """Say whether a feed may be written and drained: what one system commits is gone for the others.

    Ours is one that was registered by us; and, where no other system has the hook, one whose filter is shown and just
    like ours, or any of an appKey that was ours alone when it was first seen. A hook that is not shown may be theirs.
    """
    if noted.feed_installed or isinstance(whose_hook, OtherSystem | NotShown):
        return noted.feed_installed
    return noted.own_app_key is True or (feed.filter is not None and not feed_differences(feed, statuses))


class Configurations:
    """Reads and writes them. All methods raise RetryLater and its kinds as `Vtex.call` does."""

    def __init__(self, vtex: Vtex) -> None:
        self._vtex = vtex

    def hook(self, account: str, time_left: float) -> HookConfig | NotShown | None:
        """Read the hook of the account's appKey; None where there is none."""
        document = self._read(account, HOOK_ROUTE, time_left)
        if document is None or isinstance(document, NotShown):
            return document
        hook = _object(document, "hook")
        url, headers = _member(hook, "url"), _member(hook, "headers")
        secret, own_statuses = _member(headers, SECRET_HEADER), _member(headers, STATUSES_HEADER)
        return HookConfig(
            url=url if isinstance(url, str) and url.strip() else None,
            secret=secret if isinstance(secret, str) and not any(mask in secret for mask in _MASKS) else None,
            filter=_filter(document),
            own_statuses=own_statuses if isinstance(own_statuses, str) else None,
        )

    def install_hook(self, account: str, hook: WantedHook, time_left: float) -> None:
        """Write the hook; VTEX pings its address at once. Raises ConfigurationRefused."""
        headers = {SECRET_HEADER: hook.secret} | ({STATUSES_HEADER: hook.own_statuses} if hook.own_statuses else {})
        there = {"url": hook.url, "headers": headers}
        self._write(account, HOOK_ROUTE, {"filter": _by_status(hook.statuses), "hook": there}, time_left)

    def remove_hook(self, account: str, time_left: float) -> None:
        """Remove the hook; where there is none, all is well."""
        self._remove(account, HOOK_ROUTE, time_left)

    def feed(self, account: str, time_left: float) -> FeedConfig | NotShown | None:
        """Read the configuration of the appKey's feed; None where there is none."""
        document = self._read(account, FEED_ROUTE, time_left)
        if document is None or isinstance(document, NotShown):
            return document
        queue = _object(document, "queue")
        return FeedConfig(
            filter=_filter(document),
            visibility_seconds=_number(_member(queue, "visibilityTimeoutInSeconds")),
            retention_seconds=_number(_member(queue, "MessageRetentionPeriodInSeconds")),
        )

    def install_feed(self, account: str, statuses: Collection[str], time_left: float) -> None:
        """Write the configuration of the feed; what the feed holds stays in it. Raises ConfigurationRefused."""
        queue = {
            "visibilityTimeoutInSeconds": VISIBILITY_SECONDS,
            "MessageRetentionPeriodInSeconds": RETENTION_SECONDS,
        }
        self._write(account, FEED_ROUTE, {"filter": _by_status(statuses), "queue": queue}, time_left)

    def remove_feed(self, account: str, time_left: float) -> None:
        """Remove the feed and all that it holds; where there is none, all is well."""
        self._remove(account, FEED_ROUTE, time_left)

    def _read(self, account: str, route: str, time_left: float) -> Any:
        """Return the document that VTEX shows, NotShown where nothing is in it, None where VTEX says there is none."""
        answer = self._vtex.call(account, "GET", route, time_left=time_left, expects=_NOTHING_THERE)
        if answer.status in _NOTHING_THERE:
            return None
        return NotShown() if _is_empty(answer.document) else answer.document

    def _write(self, account: str, route: str, body: object, time_left: float) -> None:
        expects = {httpx.codes.BAD_REQUEST, httpx.codes.CONFLICT}
        answer = self._vtex.call(account, "POST", route, body=body, time_left=time_left, expects=expects)
        if answer.status in expects:
            raise ConfigurationRefused(f"VTEX answered {answer.status} to the configuration")

    def _remove(self, account: str, route: str, time_left: float) -> None:
        self._vtex.call(account, "DELETE", route, time_left=time_left, expects={httpx.codes.NOT_FOUND})


def _by_status(statuses: Collection[str]) -> dict[str, object]:
    return {"type": FROM_WORKFLOW, "status": sorted(statuses)}


class _Place(NamedTuple):
    host: str
    """With its port, unless it is the scheme's own."""
    path: str


def _place(url: str) -> _Place | None:
    """Return where an address points; None for one that programs may read differently from one another."""
    if not re.fullmatch(r"[!-~]+", url) or "\\" in url:
        return None
    try:
        address = urlsplit(url)
        host, port = (address.hostname or "").rstrip("."), address.port
    except ValueError:  # a port that is none, or half of an IPv6 address
        return None
    if address.scheme not in _PORTS or not host or "@" in address.netloc:
        return None
    has_own_port = port not in {None, _PORTS[address.scheme]}
    return _Place(f"{host}:{port}" if has_own_port else host, address.path.rstrip("/"))


def _shown(host: str) -> str:
    clean = re.sub(r"[^a-z0-9.:-]", "?", host)
    return clean if len(clean) <= LONGEST_HOST else f"{clean[: LONGEST_HOST - 3]}..."


def _is_same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def _filter(document: object) -> Filter | None:
    holder = _object(document, "filter")
    kind, statuses = _member(holder, "type"), _member(holder, "status")
    if kind is None and statuses is None:
        return None
    listed = statuses if isinstance(statuses, list) else [statuses]
    return Filter(
        type=kind if isinstance(kind, str) else None,
        statuses=frozenset(status.strip().casefold() for status in listed if isinstance(status, str)),
    )


def _object(document: object, name: str) -> Any:
    """Return the object of this name, or the document itself, which may hold its members at the top."""
    member = _member(document, name)
    return member if isinstance(member, dict) else document


def _member(document: object, name: str) -> Any:
    """Return a member, whatever the case of its name: in VTEX's documents it varies."""
    members = document.items() if isinstance(document, dict) else ()
    return next((value for key, value in members if key.casefold() == name.casefold()), None)


def _is_empty(document: object) -> bool:
    """Say whether nothing is in it, however deep one looks."""
    if isinstance(document, dict):
        return all(map(_is_empty, document.values()))
    if isinstance(document, list):
        return all(map(_is_empty, document))
    return document is None or (isinstance(document, str) and not document.strip())


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
