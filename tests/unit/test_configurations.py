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
from local.vtex_simulator import Fault, VtexSimulator
from tests.fakes_visits import SHOP, a_vtex, a_vtex_that_answers, app_key

TIME_ENOUGH = 25.0
URL = "https://abc123.execute-api.sa-east-1.amazonaws.com/hooks/vtex/orders"
STATUSES = frozenset({"invoiced", "payment-approved"})
WANTED = WantedHook(URL, "HUSH-secret", STATUSES)
BY_STATUS = Filter("FromWorkflow", STATUSES)


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[VtexSimulator]:
    monkeypatch.setattr(vtex_simulator, "ping", lambda url: "unreachable" not in url)
    with VtexSimulator() as running:
        yield running


@pytest.fixture
def configurations(simulator: VtexSimulator) -> Configurations:
    return Configurations(a_vtex(simulator.url))


def configurations_that_answer(document: object) -> Configurations:
    return Configurations(a_vtex_that_answers(document))


# ---- What is written


def test_a_hook_is_written_as_vtex_documents_it(configurations: Configurations, simulator: VtexSimulator) -> None:
    configurations.install_hook(SHOP, WANTED, TIME_ENOUGH)

    assert simulator.hooks[app_key()] == {
        "filter": {"type": "FromWorkflow", "status": ["invoiced", "payment-approved"]},
        "hook": {"url": URL, "headers": {"X-Hook-Secret": "HUSH-secret"}},
    }


def test_a_feed_is_written_as_vtex_documents_it(configurations: Configurations, simulator: VtexSimulator) -> None:
    configurations.install_feed(SHOP, STATUSES, TIME_ENOUGH)

    assert simulator.feeds[app_key()].config == {
        "filter": {"type": "FromWorkflow", "status": ["invoiced", "payment-approved"]},
        "queue": {"visibilityTimeoutInSeconds": 240, "MessageRetentionPeriodInSeconds": 1_209_600},
    }


def test_a_hook_whose_address_does_not_answer_the_ping_is_refused(configurations: Configurations) -> None:
    with pytest.raises(ConfigurationRefused, match="400"):
        configurations.install_hook(SHOP, WantedHook("https://unreachable/", "s", STATUSES), TIME_ENOUGH)


@pytest.mark.parametrize(
    ("fault", "meaning"),
    [
        (Fault("status", status=409, route="hook_config"), ConfigurationRefused),
        (Fault("status", status=404, route="hook_config"), RetryLater),
        (Fault("status", status=403, route="hook_config"), CredentialsRefused),
        (Fault("status", status=429, route="hook_config"), RateLimited),
        (Fault("login_page", route="hook_config"), RetryLater),
        (Fault("login_redirect", route="hook_config"), RetryLater),
    ],
    ids=["409", "404", "403", "429", "login-page", "login-redirect"],
)
def test_a_hook_that_is_not_written_is_told_so(
    configurations: Configurations, simulator: VtexSimulator, fault: Fault, meaning: type[RetryLater]
) -> None:
    simulator.fail(fault)

    with pytest.raises(RetryLater) as caught:
        configurations.install_hook(SHOP, WANTED, TIME_ENOUGH)

    assert type(caught.value) is meaning


def test_hook_and_feed_are_removed(configurations: Configurations, simulator: VtexSimulator) -> None:
    configurations.install_hook(SHOP, WANTED, TIME_ENOUGH)
    configurations.install_feed(SHOP, STATUSES, TIME_ENOUGH)

    configurations.remove_hook(SHOP, TIME_ENOUGH)
    configurations.remove_feed(SHOP, TIME_ENOUGH)

    assert (simulator.hooks, simulator.feeds) == ({}, {})


def test_removing_what_is_not_there_is_no_trouble(configurations: Configurations, simulator: VtexSimulator) -> None:
    simulator.fail(Fault("status", status=404, route="hook_config"))

    configurations.remove_hook(SHOP, TIME_ENOUGH)


@pytest.mark.parametrize("status", [204, 404])
def test_where_vtex_says_that_nothing_is_there_there_is_no_hook_and_no_feed(status: int) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status))
    configurations = Configurations(a_vtex("http://localhost", transport=transport))

    assert configurations.hook(SHOP, TIME_ENOUGH) is None
    assert configurations.feed(SHOP, TIME_ENOUGH) is None


def test_an_answer_whose_body_got_lost_is_not_taken_for_no_hook() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200))

    with pytest.raises(RetryLater):
        Configurations(a_vtex("http://localhost", transport=transport)).hook(SHOP, TIME_ENOUGH)


@pytest.mark.parametrize("content", [b"", b" ", b"null"])
def test_neither_is_one_of_json_whose_body_got_lost(content: bytes) -> None:
    as_json = {"content-type": "application/json; charset=utf-8"}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=as_json, content=content))
    configurations = Configurations(a_vtex("http://localhost", transport=transport))

    if content.isspace():
        with pytest.raises(RetryLater):
            configurations.hook(SHOP, TIME_ENOUGH)
    else:
        read = (configurations.hook(SHOP, TIME_ENOUGH), configurations.feed(SHOP, TIME_ENOUGH))
        assert read == (NotShown(), NotShown())


def test_no_text_and_no_log_has_the_secret(
    configurations: Configurations, simulator: VtexSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    configurations.install_hook(SHOP, WANTED, TIME_ENOUGH)
    config = configurations.hook(SHOP, TIME_ENOUGH)

    assert "HUSH" not in f"{WANTED!r} {config!r} {caplog.text}"


# ---- What is read


def test_a_hook_is_read_as_it_was_written(configurations: Configurations) -> None:
    configurations.install_hook(SHOP, WANTED, TIME_ENOUGH)

    assert configurations.hook(SHOP, TIME_ENOUGH) == HookConfig(URL, "HUSH-secret", BY_STATUS)


def test_a_feed_is_read_as_it_was_written(configurations: Configurations) -> None:
    configurations.install_feed(SHOP, STATUSES, TIME_ENOUGH)

    assert configurations.feed(SHOP, TIME_ENOUGH) == FeedConfig(BY_STATUS, 240, 1_209_600)


def test_where_there_is_none_nothing_is_read(configurations: Configurations) -> None:
    assert (configurations.hook(SHOP, TIME_ENOUGH), configurations.feed(SHOP, TIME_ENOUGH)) == (None, None)


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


@pytest.mark.parametrize("kind", ["login_page", "truncated_json", "drop"])
def test_a_hook_that_cannot_be_read_is_not_taken_for_none(
    configurations: Configurations, simulator: VtexSimulator, kind: Any
) -> None:
    configurations.install_hook(SHOP, WANTED, TIME_ENOUGH)
    simulator.fail(Fault(kind, route="hook_config"))

    with pytest.raises(RetryLater):
        configurations.hook(SHOP, TIME_ENOUGH)


# ---- Whose it is


def whose(url: str | None, ours: str = URL) -> object:
    return ownership(HookConfig(url), ours)


def test_no_hook_is_nobody_s() -> None:
    assert ownership(None, URL) == Gone()


@pytest.mark.parametrize("was_ours", [True, False])
def test_whose_a_hook_is_that_is_not_shown_nobody_can_tell_whoever_wrote_it_before(was_ours: bool) -> None:
    assert ownership(NotShown(), URL, was_ours=was_ours) == NotShown()


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
    "url", [URL, URL + "/", URL.replace("https", "HTTPS"), URL.replace("abc", "ABC"), URL.replace(".com/", ".com:443/")]
)
def test_a_hook_at_our_address_is_ours(url: str) -> None:
    assert whose(url) == Ours()


@pytest.mark.parametrize("url", [URL + "2", URL.replace("/orders", ""), URL.replace("/hooks/vtex/orders", "")])
def test_a_hook_at_our_host_with_another_path_is_ours_and_different(url: str) -> None:
    assert whose(url) == Different()


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://erp.example.com/vtex", "erp.example.com"),
        ("https://ERP.example.com.:8443/vtex", "erp.example.com:8443"),
        (URL.replace("abc123", "abc124"), "abc124.execute-api.sa-east-1.amazonaws.com"),
        (URL.replace(".com/", ".com:8443/"), "abc123.execute-api.sa-east-1.amazonaws.com:8443"),
        (URL.replace(".com/", ".com.evil.example/"), "abc123.execute-api.sa-east-1.amazonaws.com.evil.example"),
        ("https://[2001:db8::1]/", "2001:db8::1"),
        ("https://a_b<script>.example/", "a?b?script?.example"),
    ],
)
def test_a_hook_at_another_host_is_another_system_s_and_its_host_is_named(url: str, host: str) -> None:
    assert whose(url) == OtherSystem(host)


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


def test_a_hook_that_was_ours_is_another_system_s_once_it_points_elsewhere() -> None:
    assert ownership(HookConfig("https://erp.example.com/"), URL, was_ours=True) == OtherSystem("erp.example.com")


@given(st.text() | st.builds("https://{}/x".format, st.text()))
def test_no_address_can_break_the_question_or_a_message(url: str) -> None:
    other = whose(url)

    if isinstance(other, OtherSystem):
        assert len(other.host) <= LONGEST_HOST
        assert set(other.host) <= set("abcdefghijklmnopqrstuvwxyz0123456789.:-?")


def test_a_long_host_is_cut() -> None:
    other = whose(f"https://{'a' * 200}.example/")

    assert other == OtherSystem("a" * 97 + "...")


# ---- What differs


def test_a_hook_as_it_is_to_be_does_not_differ() -> None:
    assert hook_differences(HookConfig(URL, "HUSH-secret", BY_STATUS), WANTED) == []


def test_what_vtex_does_not_show_does_not_differ() -> None:
    assert hook_differences(HookConfig(), WANTED) == []
    assert feed_differences(FeedConfig(), STATUSES) == []


@pytest.mark.parametrize(
    ("config", "differs"),
    [
        (HookConfig(URL + "2", "HUSH-secret", BY_STATUS), ["url"]),
        (HookConfig(URL, "another", BY_STATUS), ["header"]),
        (HookConfig(URL, "\udc80", BY_STATUS), ["header"]),
        (HookConfig(URL, None, Filter("FromOrders", STATUSES)), ["filter"]),
        (HookConfig(URL, None, Filter("FromWorkflow", frozenset())), ["filter"]),
        (HookConfig(URL, None, Filter(None, frozenset({"invoiced"}))), ["filter"]),
        (HookConfig("", "", Filter(None, frozenset())), ["url", "filter", "header"]),
    ],
)
def test_what_differs_of_a_hook_is_named(config: HookConfig, differs: list[str]) -> None:
    assert hook_differences(config, WANTED) == differs


@pytest.mark.parametrize(
    ("config", "differs"),
    [
        (FeedConfig(BY_STATUS, 240, 1_209_600), []),
        (FeedConfig(Filter("fromworkflow", STATUSES), 240, None), []),
        (FeedConfig(BY_STATUS, 30, 1_209_600), ["queue"]),
        (FeedConfig(BY_STATUS, 240, 345_600), ["queue"]),
        (FeedConfig(Filter("FromOrders", frozenset()), 240, 345_600), ["filter", "queue"]),
    ],
)
def test_what_differs_of_a_feed_is_named(config: FeedConfig, differs: list[str]) -> None:
    assert feed_differences(config, STATUSES) == differs
