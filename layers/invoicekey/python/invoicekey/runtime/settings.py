"""Each function's environment, read and checked once at start-up: a setting a line, with the variable that holds it.

A wrong deployment fails on its first line and says which variable, what was expected and what came. Plain dataclasses,
because the receiver cannot pay for a settings library at a cold start (docs/decisions/0004-a-light-receiver.md).

An account's own settings go over the environment, and the same readers check them: `OfAccounts`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import SplitResult, urlsplit

from invoicekey.rules.notification import KNOWN_STATES
from invoicekey.rules.policy import AlertQuota, Policy

if TYPE_CHECKING:
    from invoicekey.messages.alert import Style

type Environment = Mapping[str, str]

CPF_LENGTH = 11
CHECKERS_SHARE, DRAIN_SHARE, GUARD_SHARE, COMMANDS_SHARE = 0.90, 0.04, 0.01, 0.05
"""Of an account's VtexRequestsPerMinute: that of all checkers, MaximumConcurrency of which run at once, and that of one
of each of the others. Together they are all of it."""
AT_ONCE = 20
"""So many requests of an account may all checkers make at once."""
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "host.docker.internal"})
_LANGUAGES = ("pt-BR", "en")
WATCHED_STATUSES = "WatchedStatuses"
OF_ACCOUNTS: Mapping[str, str] = {
    "CnovaAffiliateIds": "CNOVA_AFFILIATE_IDS",
    "SellerTaxIds": "SELLER_TAX_IDS",
    WATCHED_STATUSES: "WATCHED_STATUSES",
    "AlertLanguage": "ALERT_LANGUAGE",
    "AlertTimezone": "ALERT_TIMEZONE",
    "AlertBurst": "ALERT_BURST",
    "AlertWindowMinutes": "ALERT_WINDOW_MINUTES",
    "InvoiceGraceSeconds": "INVOICE_GRACE_SECONDS",
    "KeyGraceSeconds": "KEY_GRACE_SECONDS",
    "TrackingGraceHours": "TRACKING_GRACE_HOURS",
    "VtexRequestsPerMinute": "VTEX_REQUESTS_PER_MINUTE",
}
"""The template's parameters that an account may have of its own, and their variables."""
_MOST_KEPT = 1000


class SettingsError(ValueError):
    """The environment of the function is not what it needs; the message names the variable."""


# ---- How a variable is read


def _text(environment: Environment, name: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise SettingsError(f"{name}: expected a value, it is not set")
    return value


def _optional(environment: Environment, name: str) -> str:
    return environment.get(name, "").strip()


def _one_of(environment: Environment, name: str, choices: tuple[str, ...]) -> str:
    value = _text(environment, name)
    if value not in choices:
        raise SettingsError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
    return value


def _yes(environment: Environment, name: str) -> bool:
    return _one_of(environment, name, ("yes", "no")) == "yes"


def _names(environment: Environment, name: str) -> frozenset[str]:
    """Read a comma separated list in lower case; blank entries are left out, and the list may be empty."""
    entries = environment.get(name, "").split(",")
    return frozenset(entry.strip().casefold() for entry in entries if entry.strip())


def _states(environment: Environment, name: str) -> frozenset[str]:
    """Read a list of VTEX's order states. A typing error would silence the shop's hook, so none is let through."""
    states = _names(environment, name)
    if not states or states - KNOWN_STATES:
        unknown = ", ".join(sorted(states - KNOWN_STATES)) or "none"
        raise SettingsError(f"{name}: expected order states of VTEX such as invoiced, got {unknown}")
    return states


def _number(environment: Environment, name: str, least: int = 1) -> int:
    value = _text(environment, name)
    if not re.fullmatch(r"[0-9]{1,9}", value) or int(value) < least:
        raise SettingsError(f"{name}: expected a whole number from {least} on, got {value!r}")
    return int(value)


def _share(environment: Environment, name: str, share: float) -> int:
    return max(1, int(_number(environment, name) * share))


def _checker_s_share(environment: Environment, name: str) -> int:
    return _share(environment, name, CHECKERS_SHARE / _number(environment, "MAXIMUM_CONCURRENCY"))


def _burst(environment: Environment) -> int:
    return max(1, AT_ONCE // _number(environment, "MAXIMUM_CONCURRENCY"))


def _seconds(environment: Environment, name: str, least: int = 1, times: int = 1) -> timedelta:
    return times * timedelta(seconds=_number(environment, name, least))


def _hours(environment: Environment, name: str) -> timedelta:
    return timedelta(hours=_number(environment, name))


def _time_zone(environment: Environment, name: str) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    value = _text(environment, name)
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError(f"{name}: expected an IANA time zone such as America/Sao_Paulo, got {value!r}") from None
    return value


def _base_url(environment: Environment, name: str) -> str:
    """Read VTEX's address. An account's credentials go there, so it is https and the account's own host."""
    value = _text(environment, name).rstrip("/")
    address = _address(value.replace("{account}", "account"))
    if not address:
        raise SettingsError(f"{name}: expected an address such as https://{{account}}.example.com, got {value!r}")
    is_account_s_own = address.scheme == "https" and "{account}" in value
    if not is_account_s_own and address.hostname not in _LOCAL_HOSTS:
        raise SettingsError(
            f"{name}: expected https and {{account}} in it for any host but this machine's, got {value!r}"
        )
    return value


def _address(text: str) -> SplitResult | None:
    try:
        address = urlsplit(text)
        is_usable = address.scheme in ("http", "https") and address.hostname and address.port != 0
    except ValueError:  # a port that is none, or half of an IPv6 address
        return None
    return address if is_usable else None


def _bare_tax_id(text: str) -> str:
    from validate_docbr import CNPJ, CPF

    bare = re.sub(r"[^0-9A-Z]", "", text.upper())
    if not (CNPJ().validate(bare) or (len(bare) == CPF_LENGTH and CPF().validate(bare))):
        raise SettingsError(f"SELLER_TAX_IDS: expected CNPJs or CPFs with their right check digits, got {text!r}")
    return bare


# ---- Variables that belong together


def _style(environment: Environment) -> "Style":
    """Read how the shop wants its texts."""
    from invoicekey.messages.alert import Style

    return Style(
        language=_one_of(environment, "ALERT_LANGUAGE", _LANGUAGES),
        timezone=_time_zone(environment, "ALERT_TIMEZONE"),
        invoice_grace=_seconds(environment, "INVOICE_GRACE_SECONDS", least=0),
        chat=_yes(environment, "CHAT_ALERTS"),
        stack=_text(environment, "POWERTOOLS_SERVICE_NAME"),
    )


def _style_of_summaries(environment: Environment) -> "Style":
    return replace(_style(environment), summary_orders=_number(environment, "SUMMARY_ORDERS"))


def _alert_quota(environment: Environment) -> AlertQuota:
    window = timedelta(minutes=_number(environment, "ALERT_WINDOW_MINUTES"))
    return AlertQuota(_number(environment, "ALERT_BURST"), window)


def _policy(environment: Environment) -> Policy:
    return Policy(
        affiliate_ids=_names(environment, "CNOVA_AFFILIATE_IDS"),
        seller_tax_ids=frozenset(map(_bare_tax_id, _names(environment, "SELLER_TAX_IDS"))),
        invoice_grace=_seconds(environment, "INVOICE_GRACE_SECONDS", least=0),
        key_grace=_seconds(environment, "KEY_GRACE_SECONDS", least=0),
        tracking_grace=timedelta(hours=_number(environment, "TRACKING_GRACE_HOURS", least=0)) or None,
    )


@dataclass(frozen=True, slots=True)
class VtexSettings:
    """What a function needs that speaks to VTEX besides the checker."""

    base_url: str
    credentials_secret_arn: str
    credentials_prefix: str
    requests_per_minute: int
    """Of this function: its share of the tenth of VtexRequestsPerMinute that the checkers leave over."""
    accounts: frozenset[str]
    """The accounts that are served; empty: all that have credentials."""
    watched_statuses: frozenset[str]

    @classmethod
    def read(cls, environment: Environment, share: float) -> Self:
        """Read the environment, raising SettingsError."""
        return cls(
            base_url=_base_url(environment, "VTEX_BASE_URL"),
            credentials_secret_arn=_text(environment, "VTEX_CREDENTIALS_SECRET_ARN"),
            credentials_prefix=_text(environment, "VTEX_CREDENTIALS_PREFIX"),
            requests_per_minute=_share(environment, "VTEX_REQUESTS_PER_MINUTE", share),
            accounts=_names(environment, "VTEX_ACCOUNTS"),
            watched_statuses=_states(environment, "WATCHED_STATUSES"),
        )


# ---- What each function needs


def _by(read: Callable[..., object], *arguments: object, **options: object) -> dict[str, Any]:
    """Say how a setting is read, for its field."""
    return {"read": lambda environment: read(environment, *arguments, **options)}


class _Settings:
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @classmethod
    def read(cls, environment: Environment) -> Self:
        """Read the environment, raising SettingsError."""
        return cls(**{setting.name: setting.metadata["read"](environment) for setting in fields(cls)})


class OfAccounts[T: _Settings]:
    """A function's settings for each account: the stack's, under those that the account has of its own."""

    def __init__(self, kind: type[T], environment: Environment) -> None:
        self._kind = kind
        self._environment = environment
        self._read: dict[tuple[tuple[str, str], ...], T] = {}
        self.of_stack = kind.read(environment)

    def of(self, own: Mapping[str, str]) -> T:
        """Return them for an account's own settings, raising SettingsError, which names the parameter."""
        if not own:
            return self.of_stack
        key = tuple(sorted(own.items()))
        if key not in self._read:
            if len(self._read) >= _MOST_KEPT:
                self._read.clear()
            self._read[key] = read_with(self._kind, self._environment, own)
        return self._read[key]


def read_with[T: _Settings](kind: type[T], environment: Environment, own: Mapping[str, str]) -> T:
    """Read an environment under an account's own settings, raising SettingsError, which names the parameter."""
    if unknown := sorted(own.keys() - OF_ACCOUNTS.keys()):
        known = ", ".join(sorted(OF_ACCOUNTS))
        raise SettingsError(f"{unknown[0]}: expected a setting that an account may have of its own: {known}")
    try:
        return kind.read({**environment, **{OF_ACCOUNTS[name]: text for name, text in own.items()}})
    except SettingsError as error:
        variable, _, what = str(error).partition(": ")
        names = {variable: name for name, variable in OF_ACCOUNTS.items()}
        raise SettingsError(f"{names.get(variable, variable)}: {what}") from None


@dataclass(frozen=True)
class ReceiverSettings(_Settings):
    """What ReceiveHookFunction needs."""

    hook_queue_url: str = field(metadata=_by(_text, "HOOK_QUEUE_URL"))
    hook_secret_arn: str = field(metadata=_by(_text, "HOOK_SECRET_ARN"))
    accounts: frozenset[str] = field(metadata=_by(_names, "VTEX_ACCOUNTS"))
    """The accounts whose events are taken; empty: any."""
    watched_statuses: frozenset[str] = field(metadata=_by(_states, "WATCHED_STATUSES"))


@dataclass(frozen=True)
class CheckerSettings(_Settings):
    """What CheckInvoiceFunction needs."""

    hook_queue_url: str = field(metadata=_by(_text, "HOOK_QUEUE_URL"))
    dead_letter_queue_url: str = field(metadata=_by(_text, "HOOK_DEAD_LETTER_QUEUE_URL"))
    record_topic_arn: str = field(metadata=_by(_text, "RECORD_TOPIC_ARN"))
    alert_topic_arn: str = field(metadata=_by(_text, "ALERT_TOPIC_ARN"))
    ledger_table: str = field(metadata=_by(_text, "LEDGER_TABLE_NAME"))
    credentials_secret_arn: str = field(metadata=_by(_text, "VTEX_CREDENTIALS_SECRET_ARN"))
    credentials_prefix: str = field(metadata=_by(_text, "VTEX_CREDENTIALS_PREFIX"))
    """Of the names of the parameters that hold an account's own credentials, with a slash at both ends."""
    vtex_base_url: str = field(metadata=_by(_base_url, "VTEX_BASE_URL"))
    requests_per_minute: int = field(metadata=_by(_checker_s_share, "VTEX_REQUESTS_PER_MINUTE"))
    """Of this environment, to each account: its part of nine tenths of VtexRequestsPerMinute."""
    burst: int = field(metadata=_by(_burst))
    """So many of them at once."""
    requests_per_minute_of_all: int = field(metadata=_by(_number, "VTEX_REQUESTS_PER_MINUTE"))
    """Of all functions and commands together, to each account: VtexRequestsPerMinute."""
    retry_base: timedelta = field(metadata=_by(_seconds, "RETRY_BASE_SECONDS"))
    lease: timedelta = field(metadata=_by(_seconds, "FUNCTION_TIMEOUT_SECONDS", times=2))
    """How long a report may be under way before another environment takes it over."""
    style: "Style" = field(metadata=_by(_style))
    alert_quota: AlertQuota = field(metadata=_by(_alert_quota))
    policy: Policy = field(metadata=_by(_policy))
    watched_statuses: frozenset[str] = field(metadata=_by(_states, "WATCHED_STATUSES"))
    skips_other_prefixes: bool = field(metadata=_by(_yes, "SKIP_OTHER_PREFIXES"))
    """Whether an order's id may be enough to tell that it is another marketplace's."""
    desk_url: str = field(metadata=_by(_optional, "DESK_URL"))
    """Where the desk is, with `/desk/` at its end; empty where the stack has none."""
    desk_secret_arn: str = field(metadata=_by(_optional, "DESK_SECRET_ARN"))


@dataclass(frozen=True)
class RecheckSettings(_Settings):
    """What RecheckFailuresFunction needs."""

    hook_queue_url: str = field(metadata=_by(_text, "HOOK_QUEUE_URL"))
    ledger_table: str = field(metadata=_by(_text, "LEDGER_TABLE_NAME"))


@dataclass(frozen=True)
class DrainSettings(_Settings):
    """What DrainFeedFunction needs."""

    vtex: VtexSettings = field(metadata=_by(VtexSettings.read, DRAIN_SHARE))
    hook_url: str = field(metadata=_by(_text, "HOOK_URL"))
    """Where our hook points: beside another system's hook, a feed is another system's too."""
    hook_queue_url: str = field(metadata=_by(_text, "HOOK_QUEUE_URL"))
    ledger_table: str = field(metadata=_by(_text, "LEDGER_TABLE_NAME"))
    retry_base: timedelta = field(metadata=_by(_seconds, "RETRY_BASE_SECONDS"))
    """So long an event of the feed stays hidden in the queue: the hook, which brings most of them, comes first."""


@dataclass(frozen=True)
class DeskSettings(_Settings):
    """What DeskFunction needs."""

    ledger_table: str = field(metadata=_by(_text, "LEDGER_TABLE_NAME"))
    hook_queue_url: str = field(metadata=_by(_text, "HOOK_QUEUE_URL"))
    record_topic_arn: str = field(metadata=_by(_text, "RECORD_TOPIC_ARN"))
    desk_url: str = field(metadata=_by(_text, "DESK_URL"))
    desk_secret_arn: str = field(metadata=_by(_text, "DESK_SECRET_ARN"))
    language: str = field(metadata=_by(_one_of, "ALERT_LANGUAGE", _LANGUAGES))
    timezone: str = field(metadata=_by(_time_zone, "ALERT_TIMEZONE"))
    lease: timedelta = field(metadata=_by(_seconds, "FUNCTION_TIMEOUT_SECONDS", times=2))
    """How long the record of a dismissal may be under way before a check takes it over."""


@dataclass(frozen=True)
class GuardSettings(_Settings):
    """What GuardHookFunction needs."""

    vtex: VtexSettings = field(metadata=_by(VtexSettings.read, GUARD_SHARE))
    hook_url: str = field(metadata=_by(_text, "HOOK_URL"))
    hook_secret_arn: str = field(metadata=_by(_text, "HOOK_SECRET_ARN"))
    ledger_table: str = field(metadata=_by(_text, "LEDGER_TABLE_NAME"))
    alert_topic_arn: str = field(metadata=_by(_text, "ALERT_TOPIC_ARN"))
    operations_topic_arn: str = field(metadata=_by(_text, "OPERATIONS_TOPIC_ARN"))
    quiet_after: timedelta = field(metadata=_by(_hours, "QUIET_ALARM_HOURS"))
    """An account without a hook for so long counts as quiet."""
    language: str = field(metadata=_by(_one_of, "ALERT_LANGUAGE", _LANGUAGES))
    stack: str = field(metadata=_by(_text, "POWERTOOLS_SERVICE_NAME"))
    """The stack's name, for the commands in what people read."""


@dataclass(frozen=True)
class DigestSettings(_Settings):
    """What SendDigestFunction needs."""

    ledger_table: str = field(metadata=_by(_text, "LEDGER_TABLE_NAME"))
    alert_topic_arn: str = field(metadata=_by(_text, "ALERT_TOPIC_ARN"))
    style: "Style" = field(metadata=_by(_style_of_summaries))
    accounts: frozenset[str] = field(metadata=_by(_names, "VTEX_ACCOUNTS"))
    """The accounts that are served; empty: all that the guard has noted."""
    lease: timedelta = field(metadata=_by(_seconds, "FUNCTION_TIMEOUT_SECONDS", times=2))
    """How long a run may take before another one takes over."""
    desk_url: str = field(metadata=_by(_optional, "DESK_URL"))
    """Where the desk is, with `/desk/` at its end; empty where the stack has none."""
    desk_secret_arn: str = field(metadata=_by(_optional, "DESK_SECRET_ARN"))
