"""Each function's environment, read and checked once at start-up.

A wrong deployment fails on its first line and says which variable, what was expected and what came. Plain dataclasses,
because the receiver cannot pay for a settings library at a cold start (docs/decisions/0004-a-light-receiver.md).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from invoicekey.rules.notification import KNOWN_STATES
from invoicekey.rules.policy import Limit, Policy

if TYPE_CHECKING:
    from invoicekey.messages.alert import Style

_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "host.docker.internal"})
CPF_LENGTH = 11
_LANGUAGES = ("pt-BR", "en")
CHECKER_SHARE, DRAIN_SHARE, GUARD_SHARE, COMMANDS_SHARE = 0.45, 0.04, 0.01, 0.05
"""Of VtexRequestsPerMinute: two checkers may run at once, one of each of the others. Together they are all of it."""


class SettingsError(ValueError):
    """The environment of the function is not what it needs; the message names the variable."""


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """What ReceiveHookFunction needs."""

    hook_queue_url: str
    hook_secret_arn: str
    accounts: frozenset[str]
    """The accounts whose events are taken; empty: any."""
    watched_statuses: frozenset[str]

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "ReceiverSettings":
        """Read the environment, raising SettingsError."""
        reader = _Reader(environment)
        return cls(
            hook_queue_url=reader.text("HOOK_QUEUE_URL"),
            hook_secret_arn=reader.text("HOOK_SECRET_ARN"),
            accounts=reader.names("VTEX_ACCOUNTS"),
            watched_statuses=reader.states("WATCHED_STATUSES"),
        )


@dataclass(frozen=True, slots=True)
class CheckerSettings:
    """What CheckInvoiceFunction needs."""

    hook_queue_url: str
    dead_letter_queue_url: str
    failure_queue_url: str
    alert_topic_arn: str
    ledger_table: str
    credentials_secret_arn: str
    vtex_base_url: str
    requests_per_minute: int
    """Of this environment: its half of nine tenths of the stack's VtexRequestsPerMinute."""
    retry_base: timedelta
    lease: timedelta
    """How long a report may be under way before another environment takes it over: twice the function's timeout."""
    style: "Style"
    limit: Limit
    policy: Policy

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "CheckerSettings":
        """Read the environment, raising SettingsError."""
        reader = _Reader(environment)
        return cls(
            hook_queue_url=reader.text("HOOK_QUEUE_URL"),
            dead_letter_queue_url=reader.text("HOOK_DEAD_LETTER_QUEUE_URL"),
            failure_queue_url=reader.text("FAILURE_QUEUE_URL"),
            alert_topic_arn=reader.text("ALERT_TOPIC_ARN"),
            ledger_table=reader.text("LEDGER_TABLE_NAME"),
            credentials_secret_arn=reader.text("VTEX_CREDENTIALS_SECRET_ARN"),
            vtex_base_url=reader.base_url("VTEX_BASE_URL"),
            requests_per_minute=max(1, int(reader.number("VTEX_REQUESTS_PER_MINUTE") * CHECKER_SHARE)),
            retry_base=reader.seconds("RETRY_BASE_SECONDS"),
            lease=2 * reader.seconds("FUNCTION_TIMEOUT_SECONDS"),
            style=reader.style(),
            limit=Limit(reader.number("ALERT_BURST"), timedelta(minutes=reader.number("ALERT_WINDOW_MINUTES"))),
            policy=Policy(
                affiliate_ids=reader.names("CNOVA_AFFILIATE_IDS"),
                seller_tax_ids=frozenset(map(_bare_tax_id, reader.names("SELLER_TAX_IDS"))),
                invoice_grace=reader.seconds("INVOICE_GRACE_SECONDS", least=0),
                key_grace=reader.seconds("KEY_GRACE_SECONDS", least=0),
                tracking_grace=timedelta(hours=reader.number("TRACKING_GRACE_HOURS", least=0)) or None,
            ),
        )


@dataclass(frozen=True, slots=True)
class RecheckSettings:
    """What RecheckFailuresFunction needs."""

    hook_queue_url: str
    ledger_table: str

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "RecheckSettings":
        """Read the environment, raising SettingsError."""
        reader = _Reader(environment)
        return cls(hook_queue_url=reader.text("HOOK_QUEUE_URL"), ledger_table=reader.text("LEDGER_TABLE_NAME"))


@dataclass(frozen=True, slots=True)
class VtexSettings:
    """What a function needs that speaks to VTEX besides the checker."""

    base_url: str
    credentials_secret_arn: str
    requests_per_minute: int
    """Of this function: its share of the tenth of VtexRequestsPerMinute that the checkers leave over."""
    accounts: frozenset[str]
    """The accounts that are served; empty: all that have credentials."""
    watched_statuses: frozenset[str]

    @classmethod
    def read(cls, environment: Mapping[str, str], share: float) -> "VtexSettings":
        """Read the environment, raising SettingsError."""
        reader = _Reader(environment)
        return cls(
            base_url=reader.base_url("VTEX_BASE_URL"),
            credentials_secret_arn=reader.text("VTEX_CREDENTIALS_SECRET_ARN"),
            requests_per_minute=max(1, int(reader.number("VTEX_REQUESTS_PER_MINUTE") * share)),
            accounts=reader.names("VTEX_ACCOUNTS"),
            watched_statuses=reader.states("WATCHED_STATUSES"),
        )


@dataclass(frozen=True, slots=True)
class DrainSettings:
    """What DrainFeedFunction needs."""

    vtex: VtexSettings
    hook_url: str
    """Where our hook points: beside another system's hook, a feed is another system's too."""
    hook_queue_url: str
    ledger_table: str
    retry_base: timedelta
    """So long an event of the feed stays hidden in the queue: the hook, which brings most of them, comes first."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "DrainSettings":
        """Read the environment, raising SettingsError."""
        reader = _Reader(environment)
        return cls(
            vtex=VtexSettings.read(environment, DRAIN_SHARE),
            hook_url=reader.text("HOOK_URL"),
            hook_queue_url=reader.text("HOOK_QUEUE_URL"),
            ledger_table=reader.text("LEDGER_TABLE_NAME"),
            retry_base=reader.seconds("RETRY_BASE_SECONDS"),
        )


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """What GuardHookFunction needs."""

    vtex: VtexSettings
    hook_url: str
    hook_secret_arn: str
    ledger_table: str
    alert_topic_arn: str
    operations_topic_arn: str
    language: str
    stack: str
    """The stack's name, for the commands in what people are told."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "GuardSettings":
        """Read the environment, raising SettingsError."""
        reader = _Reader(environment)
        return cls(
            vtex=VtexSettings.read(environment, GUARD_SHARE),
            hook_url=reader.text("HOOK_URL"),
            hook_secret_arn=reader.text("HOOK_SECRET_ARN"),
            ledger_table=reader.text("LEDGER_TABLE_NAME"),
            alert_topic_arn=reader.text("ALERT_TOPIC_ARN"),
            operations_topic_arn=reader.text("OPERATIONS_TOPIC_ARN"),
            language=reader.one_of("ALERT_LANGUAGE", _LANGUAGES),
            stack=reader.text("POWERTOOLS_SERVICE_NAME"),
        )


@dataclass(frozen=True, slots=True)
class DigestSettings:
    """What SendDigestFunction needs."""

    ledger_table: str
    alert_topic_arn: str
    style: "Style"
    accounts: frozenset[str]
    """The accounts that are served; empty: all that the guard has noted."""
    lease: timedelta
    """How long a run may take before another one takes over: twice the function's timeout."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "DigestSettings":
        """Read the environment, raising SettingsError."""
        reader = _Reader(environment)
        return cls(
            ledger_table=reader.text("LEDGER_TABLE_NAME"),
            alert_topic_arn=reader.text("ALERT_TOPIC_ARN"),
            style=replace(reader.style(), summary_orders=reader.number("SUMMARY_ORDERS")),
            accounts=reader.names("VTEX_ACCOUNTS"),
            lease=2 * reader.seconds("FUNCTION_TIMEOUT_SECONDS"),
        )


class _Reader:
    """Reads typed values out of an environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str) -> str:
        value = self._environment.get(name, "").strip()
        if not value:
            raise SettingsError(f"{name}: expected a value, it is not set")
        return value

    def one_of(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.text(name)
        if value not in choices:
            raise SettingsError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
        return value

    def names(self, name: str) -> frozenset[str]:
        """Read a comma separated list in lower case; blank entries are left out, and the list may be empty."""
        entries = self._environment.get(name, "").split(",")
        return frozenset(entry.strip().casefold() for entry in entries if entry.strip())

    def states(self, name: str) -> frozenset[str]:
        """Read a list of VTEX's order states. A typing error would silence the shop's hook, so none is let through."""
        states = self.names(name)
        if not states or states - KNOWN_STATES:
            unknown = ", ".join(sorted(states - KNOWN_STATES)) or "none"
            raise SettingsError(f"{name}: expected order states of VTEX such as invoiced, got {unknown}")
        return states

    def number(self, name: str, least: int = 1) -> int:
        value = self.text(name)
        if not re.fullmatch(r"[0-9]{1,9}", value) or int(value) < least:
            raise SettingsError(f"{name}: expected a whole number from {least} on, got {value!r}")
        return int(value)

    def seconds(self, name: str, least: int = 1) -> timedelta:
        return timedelta(seconds=self.number(name, least))

    def timezone(self, name: str) -> str:
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        value = self.text(name)
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise SettingsError(
                f"{name}: expected an IANA time zone such as America/Sao_Paulo, got {value!r}"
            ) from None
        return value

    def style(self) -> "Style":
        """Read how the shop wants its texts."""
        from invoicekey.messages.alert import Style

        return Style(
            language=self.one_of("ALERT_LANGUAGE", _LANGUAGES),
            timezone=self.timezone("ALERT_TIMEZONE"),
            invoice_grace=self.seconds("INVOICE_GRACE_SECONDS", least=0),
            chat=self.one_of("CHAT_ALERTS", ("yes", "no")) == "yes",
            stack=self.text("POWERTOOLS_SERVICE_NAME"),
            dashboard_url=self.text("DASHBOARD_URL"),
        )

    def base_url(self, name: str) -> str:
        """Read VTEX's address. An account's credentials go there, so it is https and the account's own host."""
        value = self.text(name).rstrip("/")
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
