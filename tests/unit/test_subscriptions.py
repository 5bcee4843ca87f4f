"""The configurations of hook and feed: what is read of them, whose a hook is, what differs, what is written."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoicekey.ledger.registrations import RegistrationState
from invoicekey.runtime.errors import CredentialsRefused, RateLimited, RetryLater
from invoicekey.vtex.subscriptions import (
    LONGEST_HOST,
    UNKNOWN_HOST,
    ConfigurationRefused,
    Configurations,
    Different,
    FeedConfig,
    Filter,
    Gone,
    HookConfig,
    NotShown,
    OtherSystem,
    Ours,
    Ownership,
    WantedHook,
    feed_differences,
    first_seen,
    hook_differences,
    is_feed_ours,
    ownership,
)
from local import vtex_simulator
from local.vtex_simulator import VtexSimulator
from tests.fakes_visits import SHOP, a_vtex, a_vtex_that_answers, app_key

TIME_ENOUGH = 25.0
URL = "https://abc123.execute-api.sa-east-1.amazonaws.com/hooks/vtex/orders"
STATUSES = frozenset({"invoiced", "payment-approved"})
WANTED = WantedHook(URL, "HUSH-secret", STATUSES)
BY_STATUS = Filter("FromWorkflow", STATUSES)


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[VtexSimulator]:
    monkeypatch.setattr(vtex_simulator, "ping", lambda _: True)
    with VtexSimulator() as running:
        yield running


@pytest.fixture
def configurations(simulator: VtexSimulator) -> Configurations:
    return Configurations(a_vtex(simulator.url))


def configurations_that_answer(document: object) -> Configurations:
    return Configurations(a_vtex_that_answers(document))


def configurations_answered(**response: Any) -> Configurations:
    transport = httpx.MockTransport(lambda _: httpx.Response(**response))
    return Configurations(a_vtex("http://localhost", transport=transport))


# ---- What is written


def test_hook_and_feed_are_written_as_vtex_documents_them_read_as_they_were_written_and_removed(
    configurations: Configurations, simulator: VtexSimulator
) -> None:
    configurations.install_hook(SHOP, WANTED, TIME_ENOUGH)
    configurations.install_feed(SHOP, STATUSES, TIME_ENOUGH)

    by_status = {"type": "FromWorkflow", "status": ["invoiced", "payment-approved"]}
    queue = {"visibilityTimeoutInSeconds": 240, "MessageRetentionPeriodInSeconds": 1_209_600}
    assert simulator.hooks[app_key()] == {
        "filter": by_status,
        "hook": {"url": URL, "headers": {"X-Hook-Secret": "HUSH-secret"}},
    }
    assert simulator.feeds[app_key()].config == {"filter": by_status, "queue": queue}
    assert configurations.hook(SHOP, TIME_ENOUGH) == HookConfig(URL, "HUSH-secret", BY_STATUS)
    assert configurations.feed(SHOP, TIME_ENOUGH) == FeedConfig(BY_STATUS, 240, 1_209_600)

    configurations.remove_hook(SHOP, TIME_ENOUGH)
    configurations.remove_feed(SHOP, TIME_ENOUGH)

    assert (simulator.hooks, simulator.feeds) == ({}, {})


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (400, ConfigurationRefused),
        (409, ConfigurationRefused),
        (404, RetryLater),
        (302, RetryLater),
        (403, CredentialsRefused),
        (429, RateLimited),
    ],
)
def test_a_hook_that_is_not_written_is_told_so(status: int, meaning: type[RetryLater]) -> None:
    with pytest.raises(RetryLater, match=str(status)) as caught:
        configurations_answered(status_code=status).install_hook(SHOP, WANTED, TIME_ENOUGH)

    assert type(caught.value) is meaning


@pytest.mark.parametrize("status", [204, 404])
def test_where_vtex_says_that_nothing_is_there_there_is_no_hook_and_no_feed_and_none_to_remove(status: int) -> None:
    configurations = configurations_answered(status_code=status)

    configurations.remove_hook(SHOP, TIME_ENOUGH)
    assert configurations.hook(SHOP, TIME_ENOUGH) is None
    assert configurations.feed(SHOP, TIME_ENOUGH) is None


@pytest.mark.parametrize(
    "response", [{}, {"headers": {"content-type": "application/json; charset=utf-8"}, "content": b" "}], ids=str
)
def test_an_answer_whose_body_got_lost_is_not_taken_for_no_hook(response: dict[str, Any]) -> None:
    with pytest.raises(RetryLater):
        configurations_answered(status_code=200, **response).hook(SHOP, TIME_ENOUGH)


def test_no_text_and_no_log_has_the_secret(
    configurations: Configurations, simulator: VtexSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    configurations.install_hook(SHOP, WANTED, TIME_ENOUGH)
    config = configurations.hook(SHOP, TIME_ENOUGH)

    assert "HUSH" not in f"{WANTED!r} {config!r} {caplog.text}"


# ---- What is read


EMPTY: list[object] = [
    None, {}, [], "", " ", [{}], [None, ""], {"filter": None, "hook": None},
    {"filter": {"status": []}, "hook": {"url": "", "headers": {}}},
]  # fmt: skip


@pytest.mark.parametrize("document", EMPTY, ids=str)
def test_a_document_with_nothing_in_it_says_neither_that_there_is_one_nor_that_there_is_none(document: object) -> None:
    configurations = configurations_that_answer(document)

    assert (configurations.hook(SHOP, TIME_ENOUGH), configurations.feed(SHOP, TIME_ENOUGH)) == (NotShown(), NotShown())


@pytest.mark.parametrize(
    ("document", "config"),
    [
        pytest.param(
            {"Filter": {"Type": "FromWorkflow", "Status": ["Invoiced ", 7]}, "Hook": {"Url": "u", "Headers": {}}},
            HookConfig("u", None, Filter("FromWorkflow", frozenset({"invoiced"}))),
            id="other-case",
        ),
        pytest.param(
            {"type": "FromWorkflow", "status": "invoiced", "url": "u", "headers": {"x-hook-secret": "s"}},
            HookConfig("u", "s", Filter("FromWorkflow", frozenset({"invoiced"}))),
            id="all-at-the-top",
        ),
        pytest.param(
            {"filter": {"type": "FromOrders", "expression": "true"}, "hook": {"url": "u"}},
            HookConfig("u", None, Filter("FromOrders", frozenset())),
            id="by-content",
        ),
        pytest.param(
            {"filter": {"status": []}, "hook": {"url": "u"}}, HookConfig("u", None, Filter(None, frozenset()))
        ),
        pytest.param(
            {"filter": {"type": 7}, "url": "u"}, HookConfig("u", None, Filter(None, frozenset())), id="no-text"
        ),
        pytest.param({"url": "u", "headers": {"X-Hook-Secret": "ab****"}}, HookConfig("u"), id="masked"),
        pytest.param({"url": 7, "headers": {"X-Hook-Secret": 7}}, HookConfig(), id="no-texts"),
        pytest.param({"error": {"code": "1"}}, HookConfig(), id="something-else"),
        pytest.param("something", HookConfig(), id="a-text"),
        pytest.param([{"url": URL}], HookConfig(), id="a-list"),
    ],
)
def test_a_hook_is_read_leniently(document: object, config: HookConfig) -> None:
    assert configurations_that_answer(document).hook(SHOP, TIME_ENOUGH) == config


@pytest.mark.parametrize(
    ("document", "config"),
    [
        pytest.param(
            {
                "filter": {"type": "FromWorkflow", "status": ["invoiced"]},
                "queue": {"visibilityTimeoutInSeconds": 240, "messageRetentionPeriodInSeconds": 345_600},
                "quantity": 1261,
                "aproximateAgeOfOldestMessageInSeconds": 1113.349305555555,
            },
            FeedConfig(Filter("FromWorkflow", frozenset({"invoiced"})), 240, 345_600),
            id="as-documented",
        ),
        pytest.param({"queue": {"visibilityTimeoutInSeconds": "240"}}, FeedConfig(), id="no-number"),
    ],
)
def test_a_feed_is_read_leniently(document: object, config: FeedConfig) -> None:
    assert configurations_that_answer(document).feed(SHOP, TIME_ENOUGH) == config


# ---- Whose it is


def whose(url: str | None, ours: str = URL) -> object:
    return ownership(HookConfig(url), ours)


@pytest.mark.parametrize("was_ours", [True, False])
@pytest.mark.parametrize(
    ("hook", "whose_it_is"),
    [
        (None, Gone()),
        (NotShown(), NotShown()),
        (HookConfig("https://erp.example.com/"), OtherSystem("erp.example.com")),
    ],
    ids=["none", "not-shown", "elsewhere"],
)
def test_whose_a_hook_is_does_not_hang_on_who_wrote_it_before(
    hook: HookConfig | NotShown | None, whose_it_is: Ownership, was_ours: bool
) -> None:
    assert ownership(hook, URL, was_ours=was_ours) == whose_it_is


NOTHING_NOTED = RegistrationState(SHOP)


def test_an_answer_that_shows_nothing_is_no_first_sight() -> None:
    assert first_seen(NOTHING_NOTED, NotShown()) == NOTHING_NOTED
    assert first_seen(NOTHING_NOTED, Gone()).own_app_key is False


OWN_FEED = FeedConfig(BY_STATUS, 240, 1_209_600)


@pytest.mark.parametrize(
    ("feed", "noted", "whose_hook", "is_ours"),
    [
        (OWN_FEED, NOTHING_NOTED, Ours(), True),
        (OWN_FEED, NOTHING_NOTED, Gone(), True),
        (OWN_FEED, NOTHING_NOTED, OtherSystem("erp.example.com"), False),
        (OWN_FEED, NOTHING_NOTED, NotShown(), False),
        (OWN_FEED, replace(NOTHING_NOTED, feed_installed=True), NotShown(), True),
        (FeedConfig(), NOTHING_NOTED, Ours(), False),
        (FeedConfig(None, 240, 1_209_600), NOTHING_NOTED, Gone(), False),
        (FeedConfig(), replace(NOTHING_NOTED, own_app_key=True), Ours(), True),
        (FeedConfig(), replace(NOTHING_NOTED, feed_installed=True), Ours(), True),
    ],
)
def test_a_feed_is_ours_by_our_notes_or_where_it_is_shown_just_like_ours_and_no_other_can_have_the_hook(
    feed: FeedConfig, noted: RegistrationState, whose_hook: Ownership, is_ours: bool
) -> None:
    assert is_feed_ours(feed, STATUSES, noted, whose_hook) is is_ours


@pytest.mark.parametrize(
    ("url", "whose_it_is"),
    [
        (URL, Ours()),
        (URL + "/", Ours()),
        (URL.replace("https", "HTTPS"), Ours()),
        (URL.replace("abc", "ABC"), Ours()),
        (URL.replace(".com/", ".com:443/"), Ours()),
        (URL + "2", Different()),
        (URL.replace("/orders", ""), Different()),
        (URL.replace("/hooks/vtex/orders", ""), Different()),
        ("https://erp.example.com/vtex", OtherSystem("erp.example.com")),
        ("https://ERP.example.com.:8443/vtex", OtherSystem("erp.example.com:8443")),
        (URL.replace("abc123", "abc124"), OtherSystem("abc124.execute-api.sa-east-1.amazonaws.com")),
        (URL.replace(".com/", ".com:8443/"), OtherSystem("abc123.execute-api.sa-east-1.amazonaws.com:8443")),
        (
            URL.replace(".com/", ".com.evil.example/"),
            OtherSystem("abc123.execute-api.sa-east-1.amazonaws.com.evil.example"),
        ),
        ("https://[2001:db8::1]/", OtherSystem("2001:db8::1")),
        ("https://a_b<script>.example/", OtherSystem("a?b?script?.example")),
    ],
)
def test_a_hook_is_ours_at_our_address_different_at_our_host_and_another_system_s_elsewhere(
    url: str, whose_it_is: Ownership
) -> None:
    assert whose(url) == whose_it_is


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "text",
        "/hooks/vtex/orders",
        "ftp://abc123.execute-api.sa-east-1.amazonaws.com/hooks/vtex/orders",
        "https:///hooks/vtex/orders",
        "https://evil.example\\@abc123.execute-api.sa-east-1.amazonaws.com/hooks/vtex/orders",
        "https://abc123.execute-api.sa-east-1.amazonaws.com@evil.example/hooks/vtex/orders",
        URL + " ",
        URL + "\n",
        URL.replace("abc", "ábc"),
        URL.replace(".com/", ".com:port/"),
        URL.replace(".com/", ".com:99999/"),
        "https://[half/",
    ],
)
def test_a_hook_whose_address_cannot_be_read_is_another_system_s(url: str | None) -> None:
    assert whose(url) == OtherSystem(UNKNOWN_HOST)


def test_where_our_own_address_cannot_be_read_nothing_is_ours() -> None:
    assert whose(URL, ours="") == OtherSystem(UNKNOWN_HOST)


def test_where_vtex_does_not_show_the_address_a_hook_that_we_wrote_is_ours() -> None:
    assert ownership(HookConfig(), URL, was_ours=True) == Ours()


@given(st.text() | st.builds("https://{}/x".format, st.text()))
def test_no_address_can_break_the_question_or_a_message(url: str) -> None:
    other = whose(url)

    if isinstance(other, OtherSystem):
        assert len(other.host) <= LONGEST_HOST
        assert set(other.host) <= set("abcdefghijklmnopqrstuvwxyz0123456789.:-?")


def test_a_long_host_is_cut() -> None:
    assert whose(f"https://{'a' * 200}.example/") == OtherSystem("a" * 97 + "...")


# ---- What differs


@pytest.mark.parametrize(
    ("config", "differs"),
    [
        (HookConfig(URL, "HUSH-secret", BY_STATUS), []),
        (HookConfig(), []),
        (HookConfig(URL + "2", "HUSH-secret", BY_STATUS), ["url"]),
        (HookConfig(URL, "another", BY_STATUS), ["header"]),
        (HookConfig(URL, "\udc80", BY_STATUS), ["header"]),
        (HookConfig(URL, None, Filter("FromOrders", STATUSES)), ["filter"]),
        (HookConfig(URL, None, Filter("FromWorkflow", frozenset())), ["filter"]),
        (HookConfig(URL, None, Filter(None, frozenset({"invoiced"}))), ["filter"]),
        (HookConfig(URL, None, Filter("FromWorkflow", STATUSES | {"handling"})), ["filter"]),
        (HookConfig("", "", Filter(None, frozenset())), ["url", "filter", "header"]),
    ],
)
def test_what_differs_of_a_hook_is_named_and_what_is_not_shown_does_not(config: HookConfig, differs: list[str]) -> None:
    assert hook_differences(config, WANTED) == differs


@pytest.mark.parametrize(
    ("config", "differs"),
    [
        (FeedConfig(), []),
        (FeedConfig(BY_STATUS, 240, 1_209_600), []),
        (FeedConfig(Filter("fromworkflow", STATUSES), 240, None), []),
        (FeedConfig(BY_STATUS, 30, 1_209_600), ["queue"]),
        (FeedConfig(BY_STATUS, 240, 345_600), ["queue"]),
        (FeedConfig(Filter("FromOrders", frozenset()), 240, 345_600), ["filter", "queue"]),
    ],
)
def test_what_differs_of_a_feed_is_named(config: FeedConfig, differs: list[str]) -> None:
    assert feed_differences(config, STATUSES) == differs
