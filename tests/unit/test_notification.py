"""What VTEX posts: which bodies are notifications, of which order, and whether their state is to be checked."""

import json
from typing import Any

import pytest

from invoicekey.rules.notification import (
    KNOWN_STATES,
    AccountRefused,
    ForeignOrderId,
    Malformed,
    OrderRef,
    event_id,
    is_order_id,
    is_ping,
    is_watched,
    order_ref,
    own_event,
    parse,
    says_invoiced,
)

WATCHED = frozenset({"invoiced"})


def a_notification(**fields: object) -> dict[str, Any]:
    known = {"OrderId": "VVJ-975101-01", "State": "invoiced", "Origin": {"Account": "luxstore", "Key": "vtexappkey-1"}}
    return known | fields


# ---- The body


@pytest.mark.parametrize("as_sent", [str, str.encode], ids=["text", "bytes"])
def test_a_json_object_is_parsed(as_sent: Any) -> None:
    assert parse(as_sent('{"OrderId": "ação"}')) == {"OrderId": "ação"}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"{} {}", b"OrderId=VVJ-1", b'{"a": "\n"}', b'{"a": NaN}', b'{"a": -Infinity}',
        b'{"a": "\xe7"}', '{"a": "é"}'.encode("utf-16"), b'\xef\xbb\xbf{"a": 1}', b'{"a": "\xed\xa0\x80"}',
        b'{"a": ' + b"1" * 5000 + b"}", b"[" * 100_000, b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda body: ascii(body[:16]),
)  # fmt: skip
def test_what_is_not_json_in_utf_8_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse(body)


@pytest.mark.parametrize("document", [[], [{"OrderId": "VVJ-1"}], "VVJ-1", 1, True, None], ids=repr)
def test_json_that_is_no_object_is_malformed(document: object) -> None:
    with pytest.raises(Malformed, match="got"):
        parse(json.dumps(document))


def test_of_a_repeated_name_the_last_value_counts() -> None:
    assert parse('{"OrderId": "VVJ-1", "OrderId": "VVJ-2"}') == {"OrderId": "VVJ-2"}


# ---- The ping


@pytest.mark.parametrize(
    ("body", "is_one"),
    [
        ({"hookConfig": "ping"}, True), ({"hookConfig": "ping", "more": 1}, True), ({}, False),
        ({"hookConfig": "pong"}, False), ({"hookConfig": None}, False), (a_notification(hookConfig="ping"), False),
    ],
    ids=repr,
)  # fmt: skip
def test_a_ping_is_what_says_so_and_names_no_order(body: dict[str, Any], is_one: bool) -> None:
    assert is_ping(body) is is_one


# ---- The order and its account


@pytest.mark.parametrize(
    "order_id",
    ["VVJ-975101-01", "v40484048naf-01", "1172452900788-01", "MZN-701-23_DBA", "a.b", "a..", "A_", "se", "0", "A" * 64],
)
def test_an_order_id_of_vtex_is_taken(order_id: str) -> None:
    assert order_ref(a_notification(OrderId=order_id)) == OrderRef("luxstore", order_id)


FOREIGN = [
    "A" * 65, "-VVJ-1", "_VVJ", ".", "..", "VVJ-1/..", "VVJ 1", " VVJ-1", "VVJ-1\n", "VVJ-1?a=b", "VVJ%2F1", "VVJ:1",
    "VVJ#1", "ação-1", "１２３", "\ud800", "\0", "seq501456", "SEQ501456", "sEq", "seQuoia-1",
]  # fmt: skip


@pytest.mark.parametrize("order_id", FOREIGN, ids=ascii)
def test_any_other_order_id_is_none_of_cnova_s(order_id: str) -> None:
    assert not is_order_id(order_id)
    with pytest.raises(ForeignOrderId) as caught:
        order_ref(a_notification(OrderId=order_id))

    assert caught.value.account == "luxstore"
    assert caught.value.order_id.isascii()


@pytest.mark.parametrize("order_id", [None, 975101, ["VVJ-1"], {"a": "b"}, True, "", " ", "\t\n"], ids=ascii)
def test_a_notification_that_names_no_order_is_malformed(order_id: object) -> None:
    for body in (a_notification(OrderId=order_id), {"State": "invoiced", "Origin": {"Account": "luxstore"}}):
        with pytest.raises(Malformed):
            order_ref(body)


@pytest.mark.parametrize("account", ["luxstore", "0", "lux-store2", "a" * 63])
def test_an_account_name_of_vtex_is_taken(account: str) -> None:
    assert order_ref(a_notification(Origin={"Account": account})).account == account


@pytest.mark.parametrize(
    "origin",
    [
        None, "luxstore", [], ["luxstore"], {}, {"account": "luxstore"},
        {"Account": None}, {"Account": 1}, {"Account": ""}, {"Account": "-luxstore"}, {"Account": "LuxStore"},
        {"Account": "lux.store"}, {"Account": "lux_store"}, {"Account": "lux/store"}, {"Account": "luxstore\n"},
        {"Account": "evil.example#"}, {"Account": "lojaé"}, {"Account": "a" * 64},
    ],
    ids=ascii,
)  # fmt: skip
def test_any_other_account_is_refused(origin: object) -> None:
    with pytest.raises(AccountRefused):
        order_ref(a_notification(Origin=origin))


def test_where_accounts_are_listed_any_other_is_refused() -> None:
    assert order_ref(a_notification(), frozenset({"luxstore", "other"})).account == "luxstore"
    with pytest.raises(AccountRefused):
        order_ref(a_notification(), frozenset({"other"}))


def test_whether_an_order_is_named_comes_before_the_account_and_the_account_before_what_its_id_is() -> None:
    with pytest.raises(Malformed):
        order_ref(a_notification(OrderId="", Origin=None))
    with pytest.raises(AccountRefused):
        order_ref(a_notification(OrderId="..", Origin=None))


def test_what_was_refused_is_not_repeated_in_the_error() -> None:
    with pytest.raises(AccountRefused) as caught:
        order_ref(a_notification(Origin={"Account": "<script>", "Key": "vtexappkey-1"}))

    assert "script" not in str(caught.value)


# ---- The state


NOTHING_RELIABLE: list[object] = [None, "", "  ", 1, True, ["invoiced"], {}, "unknow", "null", "faturado"]


@pytest.mark.parametrize("state", ["invoiced", "Invoiced", " INVOICED ", *NOTHING_RELIABLE], ids=repr)
def test_a_watched_state_is_checked_in_any_case_and_so_is_one_that_says_nothing_reliable(state: object) -> None:
    assert is_watched(a_notification(State=state), WATCHED)
    assert is_watched({"OrderId": "VVJ-1"}, WATCHED)


@pytest.mark.parametrize("state", sorted(KNOWN_STATES - WATCHED))
def test_a_documented_state_that_is_not_watched_is_not_checked(state: str) -> None:
    assert not is_watched(a_notification(State=f" {state.upper()} "), WATCHED)


# ---- The event

CHANGED = "2026-03-03T14:54:00.5436574+00:00"


def test_the_same_event_is_the_same_whoever_brings_it() -> None:
    by_hook = a_notification(LastChange=CHANGED)
    by_feed = {"LastChange": CHANGED, "State": "invoiced", "OrderId": "VVJ-975101-01", "Domain": "Fulfillment"}

    assert event_id(by_hook) == event_id(by_feed)
    assert isinstance(event_id(by_hook), str)


@pytest.mark.parametrize(
    "other",
    [
        *({"LastChange": text} for text in (
            "2026-03-03T14:54:00.5436575+00:00", "2026-03-03T14:54:00.5436574Z", "2026-03-03T11:54:00.5436574-03:00",
            "0001-01-01T00:00:00", "yesterday",
        )),
        *({"State": state} for state in ("handling", "Invoiced", None, "", 1, ["invoiced"], {"a": 1}, "\ud800")),
    ],
    ids=ascii,
)  # fmt: skip
def test_another_state_or_another_last_change_as_text_is_another_event(other: dict[str, Any]) -> None:
    assert event_id(a_notification(LastChange=CHANGED) | other) != event_id(a_notification(LastChange=CHANGED))


@pytest.mark.parametrize("last_change", [None, "", 0, 1772549640, ["a"], {}], ids=repr)
def test_an_event_without_a_last_change_has_no_id(last_change: object) -> None:
    assert event_id(a_notification(LastChange=last_change)) is None
    assert event_id(a_notification()) is None


def test_an_event_of_ours_names_its_order_and_has_no_id() -> None:
    body = parse(own_event(OrderRef("luxstore", "VVJ-1-01")))

    assert order_ref(body) == OrderRef("luxstore", "VVJ-1-01")
    assert event_id(body) is None
    assert is_watched(body, WATCHED)


@pytest.mark.parametrize(
    ("state", "says"),
    [("invoiced", True), (" Invoiced ", True), ("invoice", False), ("unknow", False), (None, False), (1, False)],
    ids=repr,
)
def test_an_event_says_invoiced_in_any_case_and_by_no_other_word(state: object, says: bool) -> None:
    assert says_invoiced(a_notification(State=state)) is says
