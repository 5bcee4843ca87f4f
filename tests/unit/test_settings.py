"""The functions' environments: what is read of each variable, and what a wrong one is told."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from operator import attrgetter
from typing import Protocol

import pytest

from invoicekey.messages.alert import Style
from invoicekey.messages.texts import LANGUAGES
from invoicekey.rules.policy import AlertQuota, Policy
from invoicekey.runtime.settings import (
    CHECKERS_SHARE,
    COMMANDS_SHARE,
    DRAIN_SHARE,
    GUARD_SHARE,
    CheckerSettings,
    DeskSettings,
    DigestSettings,
    DrainSettings,
    GuardSettings,
    ReceiverSettings,
    RecheckSettings,
    SettingsError,
    VtexSettings,
)
from tests.environments import CHECKER, STYLE
from tests.keys import make_cnpj, make_cpf

RECEIVER = {
    "HOOK_QUEUE_URL": "https://sqs.example/hook",
    "HOOK_SECRET_ARN": "arn:hook",
    "VTEX_ACCOUNTS": "luxstore, Other ,,",
    "WATCHED_STATUSES": "Invoiced,payment-approved",
}
RECHECK = {"HOOK_QUEUE_URL": "https://sqs.example/hook", "LEDGER_TABLE_NAME": "ledger"}
OF_VTEX = {
    "VTEX_BASE_URL": "https://{account}.vtexcommercestable.com.br",
    "VTEX_CREDENTIALS_SECRET_ARN": "arn:credentials",
    "VTEX_CREDENTIALS_PREFIX": "/vtex-credentials/a-shop/",
    "VTEX_REQUESTS_PER_MINUTE": "1200",
    "VTEX_ACCOUNTS": "luxstore",
    "WATCHED_STATUSES": "invoiced",
}
DRAIN = {**OF_VTEX, **RECHECK, "RETRY_BASE_SECONDS": "60", "HOOK_URL": "https://api.example/hooks/vtex/orders"}
GUARD = {
    **OF_VTEX,
    "HOOK_URL": "https://api.example/hooks/vtex/orders",
    "HOOK_SECRET_ARN": "arn:hook",
    "LEDGER_TABLE_NAME": "ledger",
    "ALERT_TOPIC_ARN": "arn:alerts",
    "OPERATIONS_TOPIC_ARN": "arn:operations",
    "QUIET_ALARM_HOURS": "48",
    "ALERT_LANGUAGE": "en",
    "POWERTOOLS_SERVICE_NAME": "invoicekey",
}
DIGEST = {
    **STYLE,
    "LEDGER_TABLE_NAME": "ledger",
    "ALERT_TOPIC_ARN": "arn:alerts",
    "VTEX_ACCOUNTS": "luxstore",
    "FUNCTION_TIMEOUT_SECONDS": "60",
    "SUMMARY_ORDERS": "30",
}
DESK = {
    "LEDGER_TABLE_NAME": "ledger",
    "HOOK_QUEUE_URL": "https://sqs.example/hook",
    "RECORD_TOPIC_ARN": "arn:records",
    "DESK_URL": "https://api.example/desk/",
    "DESK_SECRET_ARN": "arn:desk",
    "ALERT_LANGUAGE": "en",
    "ALERT_TIMEZONE": "America/Sao_Paulo",
    "FUNCTION_TIMEOUT_SECONDS": "15",
}
LINKS = {"DESK_URL": "https://api.example/desk/", "DESK_SECRET_ARN": "arn:desk"}
"""What those are given who write links, where the stack has a desk."""
MAY_BE_EMPTY = {"VTEX_ACCOUNTS", "CNOVA_AFFILIATE_IDS", "SELLER_TAX_IDS"}


class Settings(Protocol):
    """What a function needs."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> object: ...


FUNCTIONS: list[tuple[type[Settings], dict[str, str]]] = [
    (ReceiverSettings, RECEIVER),
    (CheckerSettings, CHECKER),
    (RecheckSettings, RECHECK),
    (DrainSettings, DRAIN),
    (GuardSettings, GUARD),
    (DigestSettings, DIGEST),
    (DeskSettings, DESK),
]
EVERY_VARIABLE = [
    pytest.param(settings, environment, name, id=f"{settings.__name__}-{name}")
    for settings, environment in FUNCTIONS
    for name in sorted(environment.keys() - MAY_BE_EMPTY)
]


def read_checker(**changes: str) -> CheckerSettings:
    return CheckerSettings.read(CHECKER | changes)


# ---- What is read


def test_the_receiver_s_environment_is_read() -> None:
    assert ReceiverSettings.read(RECEIVER) == ReceiverSettings(
        hook_queue_url="https://sqs.example/hook",
        hook_secret_arn="arn:hook",
        accounts=frozenset({"luxstore", "other"}),
        watched_statuses=frozenset({"invoiced", "payment-approved"}),
    )


def test_the_checker_s_environment_is_read() -> None:
    assert CheckerSettings.read(CHECKER) == CheckerSettings(
        hook_queue_url="https://sqs.example/hook",
        dead_letter_queue_url="https://sqs.example/dead",
        record_topic_arn="arn:records",
        alert_topic_arn="arn:alerts",
        ledger_table="ledger",
        credentials_secret_arn="arn:credentials",
        credentials_prefix="/vtex-credentials/a-shop/",
        vtex_base_url="https://{account}.vtexcommercestable.com.br",
        requests_per_minute=540,
        requests_per_minute_of_all=1200,
        burst=10,
        retry_base=timedelta(minutes=1),
        lease=timedelta(minutes=1),
        style=Style(
            language="en",
            timezone="America/Sao_Paulo",
            invoice_grace=timedelta(minutes=10),
            chat=True,
            stack="a-shop",
        ),
        alert_quota=AlertQuota(alerts=5, window=timedelta(minutes=15)),
        policy=Policy(
            affiliate_ids=frozenset({"vvj", "luxstore:abc"}),
            seller_tax_ids=frozenset({"11222333000181", "12ABC34501DE35"}),
            invoice_grace=timedelta(minutes=10),
            key_grace=timedelta(0),
            tracking_grace=None,
        ),
        watched_statuses=frozenset({"invoiced"}),
        skips_other_prefixes=True,
        desk_url="",
        desk_secret_arn="",
    )


def test_the_other_functions_environments_are_read() -> None:
    vtex = VtexSettings(
        base_url="https://{account}.vtexcommercestable.com.br",
        credentials_secret_arn="arn:credentials",
        credentials_prefix="/vtex-credentials/a-shop/",
        requests_per_minute=48,
        accounts=frozenset({"luxstore"}),
        watched_statuses=frozenset({"invoiced"}),
    )
    assert RecheckSettings.read(RECHECK) == RecheckSettings("https://sqs.example/hook", "ledger")
    assert DrainSettings.read(DRAIN) == DrainSettings(
        vtex,
        hook_url="https://api.example/hooks/vtex/orders",
        hook_queue_url="https://sqs.example/hook",
        ledger_table="ledger",
        retry_base=timedelta(minutes=1),
    )
    assert GuardSettings.read(GUARD) == GuardSettings(
        replace(vtex, requests_per_minute=12),
        hook_url="https://api.example/hooks/vtex/orders",
        hook_secret_arn="arn:hook",
        ledger_table="ledger",
        alert_topic_arn="arn:alerts",
        operations_topic_arn="arn:operations",
        quiet_after=timedelta(hours=48),
        language="en",
        stack="invoicekey",
    )
    assert DigestSettings.read(DIGEST) == DigestSettings(
        ledger_table="ledger",
        alert_topic_arn="arn:alerts",
        style=replace(CheckerSettings.read(CHECKER).style, summary_orders=30),
        accounts=frozenset({"luxstore"}),
        lease=timedelta(minutes=2),
        desk_url="",
        desk_secret_arn="",
    )
    assert DeskSettings.read(DESK) == DeskSettings(
        ledger_table="ledger",
        hook_queue_url="https://sqs.example/hook",
        record_topic_arn="arn:records",
        desk_url="https://api.example/desk/",
        desk_secret_arn="arn:desk",
        language="en",
        timezone="America/Sao_Paulo",
        lease=timedelta(seconds=30),
    )


@pytest.mark.parametrize(("settings", "environment"), [(CheckerSettings, CHECKER), (DigestSettings, DIGEST)])
def test_who_writes_links_is_told_where_the_desk_is_where_there_is_one(
    settings: type[CheckerSettings | DigestSettings], environment: dict[str, str]
) -> None:
    for given, expected in ((LINKS, tuple(LINKS.values())), (dict.fromkeys(LINKS, ""), ("", ""))):
        read = settings.read(environment | given)
        assert (read.desk_url, read.desk_secret_arn) == expected


def test_other_variables_are_nobody_s_business() -> None:
    assert ReceiverSettings.read(RECEIVER | {"AWS_REGION": ""}) == ReceiverSettings.read(RECEIVER)


# ---- What is missing


@pytest.mark.parametrize(("settings", "environment", "name"), EVERY_VARIABLE)
@pytest.mark.parametrize("value", [None, "", "  "], ids=["absent", "empty", "blank"])
def test_a_function_names_the_variable_that_is_not_set(
    settings: type[Settings], environment: dict[str, str], name: str, value: str | None
) -> None:
    given = {**environment, name: value}

    with pytest.raises(SettingsError, match=f"^{name}: expected"):
        settings.read({known: text for known, text in given.items() if text is not None})


def test_with_no_account_named_any_is_taken() -> None:
    assert ReceiverSettings.read(RECEIVER | {"VTEX_ACCOUNTS": " , "}).accounts == frozenset()


def test_of_more_checkers_each_has_a_smaller_part_of_an_account_s_requests() -> None:
    settings = read_checker(MAXIMUM_CONCURRENCY="20")

    assert (settings.requests_per_minute, settings.burst) == (54, 1)


# ---- What is wrong


NUMBERS = [
    "VTEX_REQUESTS_PER_MINUTE", "RETRY_BASE_SECONDS", "FUNCTION_TIMEOUT_SECONDS", "INVOICE_GRACE_SECONDS",
    "KEY_GRACE_SECONDS", "TRACKING_GRACE_HOURS", "ALERT_BURST", "ALERT_WINDOW_MINUTES", "MAXIMUM_CONCURRENCY",
]  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["-1", "+1", "1.5", "1e3", "ten", "٣", "²", "1_000", "9" * 10])
def test_a_number_that_is_none_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: expected a whole number"):
        read_checker(**{name: value})


@pytest.mark.parametrize("name", [name for name in NUMBERS if "GRACE" not in name])
def test_zero_is_refused_where_it_makes_no_sense(name: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: expected a whole number from 1 on, got '0'"):
        read_checker(**{name: "0"})


WRONG: dict[str, tuple[str, list[str]]] = {
    "CHAT_ALERTS": ("one of yes, no, got", ["true", "Yes", "1"]),
    "SKIP_OTHER_PREFIXES": ("one of yes, no, got", ["true", "Yes", "1"]),
    "ALERT_LANGUAGE": ("one of pt-BR, en, got", ["pt", "PT-BR", "pt_BR", "EN", "es"]),
    "ALERT_TIMEZONE": (
        "",
        ["America", "America/Sao Paulo", "Brasilia", "-03:00", "../etc/passwd", "/etc/passwd"],
    ),
    "SELLER_TAX_IDS": (
        "",
        [f"11222333000181,{wrong}" for wrong in
         ("1", "1122233300018", "112223330001811", "VVJ", "11222333000182", "52998224724")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "told", "value"), [(name, told, value) for name, (told, values) in WRONG.items() for value in values]
)
def test_what_makes_no_sense_is_refused_by_the_variable_s_name(name: str, told: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: expected {told}"):
        read_checker(**{name: value})


@pytest.mark.parametrize(("value", "told"), [("handling, invoicd", ".* got invoicd$"), (" , ", "")])
def test_a_receiver_that_would_watch_nothing_or_no_state_does_not_start(value: str, told: str) -> None:
    with pytest.raises(SettingsError, match=f"^WATCHED_STATUSES: expected {told}"):
        ReceiverSettings.read(RECEIVER | {"WATCHED_STATUSES": value})


@pytest.mark.parametrize(
    ("name", "value", "place", "read"),
    [
        ("INVOICE_GRACE_SECONDS", "0", "policy.invoice_grace", timedelta(0)),
        ("KEY_GRACE_SECONDS", "7", "policy.key_grace", timedelta(seconds=7)),
        ("TRACKING_GRACE_HOURS", "1", "policy.tracking_grace", timedelta(hours=1)),
        ("TRACKING_GRACE_HOURS", "72", "policy.tracking_grace", timedelta(days=3)),
        ("CHAT_ALERTS", "no", "style.chat", False),
        ("SKIP_OTHER_PREFIXES", "no", "skips_other_prefixes", False),
        *(("ALERT_LANGUAGE", language, "style.language", language) for language in LANGUAGES),
        *(
            ("SELLER_TAX_IDS", tax_id.lower(), "policy.seller_tax_ids", {tax_id})
            for tax_id in (make_cnpj(), make_cnpj("112223330001"), make_cpf())
        ),
        ("SELLER_TAX_IDS", ",", "policy.seller_tax_ids", frozenset()),
        ("CNOVA_AFFILIATE_IDS", " ,, ", "policy.affiliate_ids", frozenset()),
        # Half of nine tenths of the pace
        ("VTEX_REQUESTS_PER_MINUTE", "10", "requests_per_minute", 4),
        ("VTEX_REQUESTS_PER_MINUTE", "6000", "requests_per_minute", 2700),
        ("VTEX_REQUESTS_PER_MINUTE", "1", "requests_per_minute", 1),
    ],
)
def test_what_is_set_is_read(name: str, value: str, place: str, read: object) -> None:
    assert attrgetter(place)(read_checker(**{name: value})) == read


def test_no_share_of_the_pace_is_given_out_twice() -> None:
    assert pytest.approx(1) == CHECKERS_SHARE + DRAIN_SHARE + GUARD_SHARE + COMMANDS_SHARE


@pytest.mark.parametrize(
    ("of_the_stack", "of_the_drain", "of_the_guard"), [("1200", 48, 12), ("6000", 240, 60), ("1", 1, 1)]
)
def test_the_drain_and_the_guard_have_shares_of_what_the_checkers_leave_over(
    of_the_stack: str, of_the_drain: int, of_the_guard: int
) -> None:
    pace = {"VTEX_REQUESTS_PER_MINUTE": of_the_stack}

    assert DrainSettings.read(DRAIN | pace).vtex.requests_per_minute == of_the_drain
    assert GuardSettings.read(GUARD | pace).vtex.requests_per_minute == of_the_guard


# ---- VTEX's address


@pytest.mark.parametrize(
    "url",
    [
        "https://{account}.vtexcommercestable.com.br",
        "https://gateway.example.com/vtex/{account}",
        "https://{account}.example.com:8443",
        "http://localhost",
        "http://127.0.0.1:8910/{account}",
        "http://host.docker.internal:8910/{account}",
        "https://localhost:8910",
        "HTTP://LOCALHOST:8910/",
    ],
)
def test_a_base_url_is_taken_without_its_last_slash(url: str) -> None:
    assert read_checker(VTEX_BASE_URL=url).vtex_base_url == url.removesuffix("/")


REFUSED_URLS = {
    "credentials-in-the-clear": "http://{account}.vtexcommercestable.com.br",
    "no-account-in-it": "https://vtexcommercestable.com.br",
    "only-begins-like-this-machine": "http://localhost.example.com/{account}",
    "this-machine-is-but-its-user": "http://localhost:80@example.com/{account}",
    "another-machine": "http://192.168.0.1/{account}", "another-protocol": "ftp://localhost/{account}",
    "no-protocol": "//localhost", "no-protocol-but-a-port": "localhost:8910", "no-address": "{account}",
    "no-host": "https://", "a-port-without-a-host": "https://:443/{account}",
    "port-0": "https://{account}.example.com:0", "no-such-port": "https://{account}.example.com:99999",
    "port-in-words": "https://{account}.example.com:https", "half-an-ip-address": "https://[{account}",
}  # fmt: skip


@pytest.mark.parametrize("url", REFUSED_URLS.values(), ids=REFUSED_URLS)
def test_a_base_url_that_could_leak_or_never_work_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^VTEX_BASE_URL: expected"):
        read_checker(VTEX_BASE_URL=url)
