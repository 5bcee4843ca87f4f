"""The table of answers: what VTEX is told of each call, in its order, and what is queued."""

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from invoicekey.rules.notification import parse
from invoicekey.runtime import telemetry
from invoicekey.runtime.secrets import CachedSecret
from invoicekey.runtime.settings import ReceiverSettings
from invoicekey.work.receive import MOST_BYTES, Receiver
from tests.fakes import REFUSED, UNREACHABLE, FakeSecretsManager, FakeSqs, Trouble
from tests.vtex_facts import FACTS

QUEUE, ARN = "https://sqs.example/hook", "arn:hook"
SECRET = {"X-Hook-Secret": "s3cret"}
BOTH_TROUBLES = pytest.mark.parametrize("trouble", [REFUSED, UNREACHABLE], ids=["refused", "unreachable"])
WHAT_SQS_ACCEPTS = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
WHAT_SQS_REFUSES = '{"OrderId": "VVJ-1", "Origin": {"Account": "luxstore"}, "State": "\ufffe\uffff"}'


def a_notification(**fields: object) -> dict[str, Any]:
    known = {"OrderId": "VVJ-975101-01", "State": "invoiced", "Origin": {"Account": "luxstore", "Key": "vtexappkey-1"}}
    return known | fields


@dataclass
class Clock:
    """A time of day that passes when it is told to."""

    now: float = 1_772_549_641.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Hook:
    """The receiver of a shop with one account, and what stands around it."""

    sqs: FakeSqs = field(default_factory=FakeSqs)
    manager: FakeSecretsManager = field(default_factory=FakeSecretsManager)
    clock: Clock = field(default_factory=Clock)
    accounts: frozenset[str] = frozenset({"luxstore"})

    def __post_init__(self) -> None:
        self.put_secret(current="s3cret", previous="")
        settings = ReceiverSettings(QUEUE, ARN, self.accounts, watched_statuses=frozenset({"invoiced"}))
        self.receiver = Receiver(settings, CachedSecret(self.manager.client, ARN, self.clock), self.sqs.client)

    def put_secret(self, **secret: object) -> None:
        self.manager.put(ARN, secret)

    def call(self, body: object = None, headers: dict[str, str] | None = None) -> HTTPStatus:
        """Post a body as it is, or a document as JSON; the usual notification unless told, with the right secret."""
        document = a_notification() if body is None else body
        as_sent = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.receiver.receive(SECRET if headers is None else headers, as_sent, correlation_id="request-1")


@pytest.fixture
def hook() -> Hook:
    return Hook()


@pytest.fixture
def all_counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(telemetry, "count", names.append)
    return names


class AnswersCounted(list[str]):
    """What was counted of the answers; that a hook was heard at all is counted besides."""

    def append(self, name: str) -> None:
        if name != "hook_received":
            super().append(name)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names = AnswersCounted()
    monkeypatch.setattr(telemetry, "count", names.append)
    return names


# ---- The table of answers, in its order


@dataclass
class Call:
    """A good call, for the rows below to spoil."""

    hook: Hook
    fields: dict[str, Any] = field(default_factory=a_notification)
    headers: dict[str, str] = field(default_factory=lambda: dict(SECRET))

    def too_large(self) -> None:
        self.fields["padding"] = "x" * MOST_BYTES

    def ping(self) -> None:
        del self.fields["OrderId"]
        self.fields["hookConfig"] = "ping"

    def wrong_secret(self) -> None:
        self.headers["X-Hook-Secret"] = "wrong"

    def no_order_id(self) -> None:
        self.fields["OrderId"] = ""

    def foreign_order_id(self) -> None:
        self.fields["OrderId"] = "seq501456"

    def account_of_others(self) -> None:
        self.fields["Origin"] = {"Account": "others"}

    def unwatched_state(self) -> None:
        self.fields["State"] = "handling"

    def sqs_out_of_reach(self) -> None:
        self.hook.sqs.trouble = UNREACHABLE

    def answer(self) -> HTTPStatus:
        return self.hook.call(self.fields, self.headers)


Row = tuple[Callable[[Call], None], int, str]
ROWS: list[Row] = [
    (Call.too_large, 413, "hook_refused_too_large"),
    (Call.ping, 200, "hook_ping"),
    (Call.wrong_secret, 401, "hook_refused_wrong_secret"),
    (Call.no_order_id, 400, "hook_refused_malformed"),
    (Call.account_of_others, 403, "hook_refused_account_refused"),
    (Call.unwatched_state, 200, "hook_not_watched"),
    (Call.foreign_order_id, 200, "hook_foreign_order_id"),
    (Call.sqs_out_of_reach, 503, "hook_refused_unavailable"),
]
SAME_FIELD = {"no_order_id", "foreign_order_id"}
TWO_ROWS = [rows for rows in itertools.combinations(ROWS, 2) if {row[0].__name__ for row in rows} != SAME_FIELD]


@pytest.mark.parametrize(("spoil", "status", "count"), ROWS, ids=[row[0].__name__ for row in ROWS])
def test_each_row_has_its_answer_is_counted_and_queues_nothing(
    hook: Hook, counted: list[str], spoil: Callable[[Call], None], status: int, count: str
) -> None:
    call = Call(hook)
    spoil(call)

    assert (call.answer(), counted, hook.sqs.sent) == (status, [count], [])


@pytest.mark.parametrize(
    ("earlier", "later"),
    TWO_ROWS,
    ids=[f"{one[0].__name__}-before-{two[0].__name__}" for one, two in TWO_ROWS],
)
def test_of_two_rows_that_fit_the_earlier_one_answers(hook: Hook, counted: list[str], earlier: Row, later: Row) -> None:
    call = Call(hook)
    for spoil, _, _ in (later, earlier):
        spoil(call)

    assert (call.answer(), counted, hook.sqs.sent) == (earlier[1], [earlier[2]], [])


def test_everything_else_is_queued_and_answered_200(hook: Hook, counted: list[str]) -> None:
    assert hook.call() == 200
    assert hook.sqs.sent == [
        {
            "QueueUrl": QUEUE,
            "MessageBody": json.dumps(a_notification()),
            "MessageAttributes": {"correlation_id": {"DataType": "String", "StringValue": "request-1"}},
        }
    ]
    assert counted == ["hook_queued"]


@pytest.mark.parametrize(("spoil", "is_received"), [
    (Call.too_large, False), (Call.ping, False), (Call.wrong_secret, False), (Call.no_order_id, False),
    (Call.account_of_others, False), (Call.unwatched_state, True), (Call.foreign_order_id, True),
    (Call.sqs_out_of_reach, True),
])  # fmt: skip
def test_a_genuine_notification_counts_as_heard_whatever_becomes_of_it(
    hook: Hook, all_counted: list[str], spoil: Callable[[Call], None], is_received: bool
) -> None:
    call = Call(hook)
    spoil(call)
    call.answer()

    assert ("hook_received" in all_counted) is is_received


# ---- 413


def test_a_body_of_64_kib_is_not_too_large(hook: Hook) -> None:
    body = json.dumps(a_notification()).encode().ljust(64 * 1024)

    assert hook.call(body) == 200


def test_a_body_of_one_byte_more_is_too_large(hook: Hook) -> None:
    body = json.dumps(a_notification()).encode().ljust(64 * 1024 + 1)

    assert hook.call(body) == 413


# ---- 200 to a ping


@pytest.mark.parametrize("headers", [{}, {"X-Hook-Secret": ""}, {"X-Hook-Secret": "wrong"}, SECRET], ids=repr)
def test_a_ping_is_answered_200_even_without_the_secret(hook: Hook, headers: dict[str, str]) -> None:
    assert hook.call({"hookConfig": "ping"}, headers) == 200


def test_a_ping_is_answered_200_with_everything_out_of_reach(hook: Hook) -> None:
    hook.manager.trouble = hook.sqs.trouble = UNREACHABLE

    assert hook.call({"hookConfig": "ping"}) == 200


def test_a_notification_that_says_ping_too_needs_the_secret(hook: Hook) -> None:
    assert hook.call(a_notification(hookConfig="ping"), headers={}) == 401


# ---- 401


@pytest.mark.parametrize("name", ["X-Hook-Secret", "x-hook-secret", "X-HOOK-SECRET", "x-Hook-sEcret"])
def test_the_header_s_name_is_read_in_any_case(hook: Hook, name: str) -> None:
    assert hook.call(headers={"content-type": "text/plain", name: "s3cret"}) == 200


@pytest.mark.parametrize(
    "value", ["", " ", "S3CRET", "s3cre", "s3cret2", "s3cret ", "wrong", "segrêdo", "\ud800"], ids=ascii
)
def test_a_wrong_or_empty_secret_is_answered_401(hook: Hook, value: str) -> None:
    assert hook.call(headers={"X-Hook-Secret": value}) == 401


@pytest.mark.parametrize("headers", [{}, {"Authorization": "s3cret"}, {"X-Hook-Secret-": "s3cret"}], ids=repr)
def test_a_missing_secret_is_answered_401(hook: Hook, headers: dict[str, str]) -> None:
    assert hook.call(headers=headers) == 401


def test_a_missing_secret_costs_no_read_of_the_stored_one(hook: Hook) -> None:
    hook.call(headers={})

    assert hook.manager.reads == 0


@pytest.mark.parametrize("value", ["", " ", "None", "null"])
@pytest.mark.parametrize("stored", ["", " ", None], ids=repr)
def test_an_empty_stored_secret_lets_nobody_in(hook: Hook, stored: object, value: str) -> None:
    hook.put_secret(current=stored, previous=stored)

    assert hook.call(headers={"X-Hook-Secret": value}) == 401


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff", b"[]", b"", b'{"a": NaN}', b'{"a": ' + b"[" * 60_000],
    ids=["cut", "no-utf-8", "list", "empty", "nan", "deep"],
)
def test_a_stranger_is_answered_401_whatever_the_body(hook: Hook, body: bytes) -> None:
    assert hook.call(body, headers={"X-Hook-Secret": "wrong"}) == 401


# ---- Rotation


@pytest.mark.parametrize("value", ["new", "old"])
def test_in_a_rotation_both_secrets_are_accepted(hook: Hook, value: str) -> None:
    hook.put_secret(current="new", previous="old")

    assert hook.call(headers={"X-Hook-Secret": value}) == 200


def test_a_new_secret_is_accepted_at_once_for_the_stored_one_is_read_again(hook: Hook) -> None:
    hook.call()
    hook.put_secret(current="new", previous="s3cret")
    hook.clock.now += 30

    assert hook.call(headers={"X-Hook-Secret": "new"}) == 200


def test_wrong_secrets_make_the_stored_one_be_read_at_most_every_thirty_seconds(hook: Hook) -> None:
    for _ in range(61):  # one a second, from 0 to 60
        hook.call(headers={"X-Hook-Secret": "wrong"})
        hook.clock.now += 1

    assert hook.manager.reads == 3


def test_a_secret_that_was_taken_back_is_refused_within_five_minutes(hook: Hook) -> None:
    hook.call()
    hook.put_secret(current="new", previous="")
    hook.clock.now += 300

    assert hook.call() == 401


def test_a_wrong_secret_is_answered_401_by_the_kept_one_when_it_cannot_be_read_again(hook: Hook) -> None:
    hook.call()
    hook.manager.trouble = UNREACHABLE
    hook.clock.now += 30

    assert hook.call(headers={"X-Hook-Secret": "wrong"}) == 401


# ---- 400


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="cut"),
        pytest.param(b'["VVJ-1"]', id="list"),
        pytest.param(b'{"State": "invoiced"}', id="no-order-id"),
        pytest.param(json.dumps(a_notification()).encode("utf-16"), id="utf-16"),
        pytest.param(json.dumps(a_notification(x="é"), ensure_ascii=False).encode("latin-1"), id="latin-1"),
        pytest.param(b"\xef\xbb\xbf" + json.dumps(a_notification()).encode(), id="byte-order-mark"),
        pytest.param(json.dumps(a_notification(x=float("nan"))).encode(), id="nan"),
        pytest.param(json.dumps(a_notification(x=float("-inf"))).encode(), id="infinity"),
        pytest.param(b'{"OrderId": "VVJ-1", "x": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", id="deep"),
        pytest.param(b"[" * 60_000, id="deep-and-open"),
    ],
)
def test_a_body_that_is_no_notification_is_answered_400(hook: Hook, body: bytes) -> None:
    assert hook.call(body) == 400


@pytest.mark.parametrize("order_id", [None, 1, ["VVJ-1"], "", " "], ids=ascii)
def test_an_event_that_names_no_order_is_answered_400(hook: Hook, order_id: object) -> None:
    assert hook.call(a_notification(OrderId=order_id)) == 400


# ---- 200 to what cannot be CNova's


@pytest.mark.parametrize(
    "order_id", ["VVJ/1", "../x", "SEQ501456", "seq", "A" * 65, "\ud800", "a\nb", "_DBA"], ids=ascii
)
def test_an_order_id_that_cannot_be_cnova_s_is_answered_200_counted_and_not_kept(
    hook: Hook, counted: list[str], order_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert hook.call(a_notification(OrderId=order_id)) == 200
    assert (hook.sqs.sent, counted) == ([], ["hook_foreign_order_id"])
    assert [vars(record)["account"] for record in caplog.records] == ["luxstore"]


def test_such_an_event_is_told_from_one_of_a_state_that_is_not_watched(hook: Hook, counted: list[str]) -> None:
    assert hook.call(a_notification(OrderId="seq1", State="handling")) == 200
    assert counted == ["hook_not_watched"]


@pytest.mark.parametrize("order_id", FACTS.order_ids)
def test_an_order_id_as_vtex_documents_them_is_kept(hook: Hook, order_id: str) -> None:
    assert (hook.call(a_notification(OrderId=order_id)), len(hook.sqs.sent)) == (200, 1)


# ---- 403


@pytest.mark.parametrize(
    "origin", [None, {}, {"Account": None}, {"Account": "Lux.Store"}, {"Account": "others"}], ids=repr
)
def test_an_account_that_is_not_taken_is_answered_403(hook: Hook, origin: object) -> None:
    assert hook.call(a_notification(Origin=origin)) == 403


def test_with_no_account_named_any_well_formed_one_is_taken() -> None:
    assert Hook(accounts=frozenset()).call(a_notification(Origin={"Account": "others"})) == 200


def test_with_no_account_named_an_ill_formed_one_is_answered_403_all_the_same() -> None:
    assert Hook(accounts=frozenset()).call(a_notification(Origin={"Account": "evil.example/"})) == 403


# ---- States


@pytest.mark.parametrize("state", ["invoiced", "Invoiced", None, "", 7, "unknow"], ids=repr)
def test_a_state_that_is_watched_or_says_nothing_is_queued(hook: Hook, state: object) -> None:
    assert (hook.call(a_notification(State=state)), len(hook.sqs.sent)) == (200, 1)


# ---- 503


@BOTH_TROUBLES
def test_an_event_that_sqs_did_not_take_is_answered_503(hook: Hook, trouble: Trouble) -> None:
    hook.sqs.trouble = trouble

    assert hook.call() == 503


def test_an_event_that_comes_again_after_sqs_is_back_is_queued(hook: Hook) -> None:
    hook.sqs.trouble = UNREACHABLE
    hook.call()
    hook.sqs.trouble = None

    assert (hook.call(), len(hook.sqs.sent)) == (200, 1)


@BOTH_TROUBLES
def test_with_no_secret_to_compare_with_the_answer_is_503(hook: Hook, trouble: Trouble) -> None:
    hook.manager.trouble = trouble

    assert (hook.call(), hook.sqs.sent) == (503, [])


@BOTH_TROUBLES
def test_the_kept_secret_serves_while_secrets_manager_is_out_of_reach(hook: Hook, trouble: Trouble) -> None:
    hook.call()
    hook.manager.trouble = trouble
    hook.clock.now += 3599

    assert hook.call() == 200


def test_a_secret_kept_for_an_hour_serves_no_more(hook: Hook) -> None:
    hook.call()
    hook.manager.trouble = UNREACHABLE
    hook.clock.now += 3600

    assert hook.call() == 503


def test_a_broken_stored_secret_is_answered_503(hook: Hook) -> None:
    hook.manager.secrets[ARN] = "s3cret"

    assert hook.call() == 503


def test_a_missing_secret_is_answered_401_with_nothing_to_compare_with(hook: Hook) -> None:
    hook.manager.trouble = UNREACHABLE

    assert hook.call(headers={}) == 401


def test_a_too_large_body_is_answered_413_with_everything_out_of_reach(hook: Hook) -> None:
    hook.manager.trouble = hook.sqs.trouble = UNREACHABLE

    assert hook.call(b" " * (MOST_BYTES + 1)) == 413


# ---- Origin.Key: counted, never refused


def an_event_with_key(key: object) -> dict[str, Any]:
    return a_notification(Origin={"Account": "luxstore", "Key": key})


@pytest.mark.parametrize("key", ["vtexappkey-2", None, 7, ["vtexappkey-1"]], ids=repr)
def test_a_changed_app_key_is_counted_and_queued(hook: Hook, counted: list[str], key: object) -> None:
    hook.call(an_event_with_key("vtexappkey-1"))
    status = hook.call(an_event_with_key(key))

    assert (status, len(hook.sqs.sent)) == (200, 2)
    assert counted == ["hook_queued", "hook_app_key_changed", "hook_queued"]


def test_a_changed_app_key_is_counted_once(hook: Hook, counted: list[str]) -> None:
    for key in ("vtexappkey-1", "vtexappkey-2", "vtexappkey-2"):
        hook.call(an_event_with_key(key))

    assert counted.count("hook_app_key_changed") == 1


def test_each_account_has_an_app_key_of_its_own(counted: list[str]) -> None:
    hook = Hook(accounts=frozenset())
    for account in ("luxstore", "others", "luxstore"):
        hook.call(a_notification(Origin={"Account": account, "Key": f"vtexappkey-{account}"}))

    assert "hook_app_key_changed" not in counted


# ---- What reaches SQS is what VTEX sent


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(json.dumps(a_notification(), indent=2), id="with-line-breaks"),
        pytest.param(json.dumps(a_notification(x="ação 🧾"), ensure_ascii=False), id="beyond-ascii"),
        pytest.param(json.dumps(a_notification(x="\ud800\0\ufffe")), id="escaped"),
        pytest.param('{"OrderId": "A-1", "Origin": {"Account": "luxstore"}, "OrderId": "B-1"}', id="repeated-name"),
        pytest.param('{"OrderId": "A-1", "Origin": {"Account": "luxstore"}, "é": [1e999, 1.10, -0]}', id="odd-numbers"),
    ],
)
def test_the_body_is_queued_letter_by_letter(hook: Hook, text: str) -> None:
    hook.call(text.encode())

    assert hook.sqs.bodies == [text]


def test_what_sqs_refuses_is_escaped(hook: Hook) -> None:
    hook.call(WHAT_SQS_REFUSES.encode())

    assert hook.sqs.bodies == [WHAT_SQS_REFUSES.replace("\ufffe", r"\ufffe").replace("\uffff", r"\uffff")]


def as_json(document: object, ensure_ascii: bool) -> bytes:
    return json.dumps(document, ensure_ascii=ensure_ascii).encode("utf-8", "replace")


ANY_CHARACTER = st.text(st.characters(exclude_categories=()), max_size=20)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_CHARACTER,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_CHARACTER, inner, max_size=4),
    max_leaves=12,
)


@given(
    body=st.builds(
        as_json,
        st.builds(lambda fields: {**fields, **a_notification()}, st.dictionaries(ANY_CHARACTER, ANY_JSON, max_size=4)),
        ensure_ascii=st.booleans(),
    )
)
@example(WHAT_SQS_REFUSES.encode())
def test_whatever_json_comes_reaches_sqs_unchanged_and_in_characters_that_it_accepts(body: bytes) -> None:
    hook = Hook()

    assert hook.call(body) == 200

    (sent,) = hook.sqs.bodies
    assert parse(sent) == json.loads(body)
    assert WHAT_SQS_ACCEPTS.fullmatch(sent)


# ---- What is logged


def test_the_log_tells_which_order_and_never_the_secret_or_the_body(
    hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    hook.call(a_notification(Person="Maria-marker"))
    hook.call(headers={"X-Hook-Secret": "guess-marker"})
    hook.sqs.trouble = UNREACHABLE
    hook.call()

    logged = repr([vars(record) for record in caplog.records])
    assert "'order_id': 'VVJ-975101-01'" in logged
    assert not re.search("s3cret|guess-marker|Maria-marker|vtexappkey", logged)
