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
from tests.dropping import StoppedClock
from tests.fakes import UNREACHABLE, FakeSecretsManager, FakeSqs
from tests.vtex_facts import FACTS

QUEUE, ARN = "https://sqs.example/hook", "arn:hook"
SECRET = {"X-Hook-Secret": "s3cret"}
WRONG = {"X-Hook-Secret": "wrong"}
WHAT_SQS_ACCEPTS = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
WHAT_SQS_REFUSES = '{"OrderId": "VVJ-1", "Origin": {"Account": "luxstore"}, "State": "\ufffe\uffff"}'


def a_notification(**fields: object) -> dict[str, Any]:
    known = {"OrderId": "VVJ-975101-01", "State": "invoiced", "Origin": {"Account": "luxstore", "Key": "vtexappkey-1"}}
    return known | fields


@dataclass
class Hook:
    """The receiver of a shop with one account, and what stands around it."""

    sqs: FakeSqs = field(default_factory=FakeSqs)
    manager: FakeSecretsManager = field(default_factory=FakeSecretsManager)
    clock: StoppedClock = field(default_factory=StoppedClock)
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


def test_an_event_is_queued_in_the_group_of_its_account() -> None:
    hook = Hook(accounts=frozenset())
    for account in ("luxstore", "another-shop"):
        assert hook.call(a_notification(Origin={"Account": account})) == HTTPStatus.OK

    assert [message["MessageGroupId"] for message in hook.sqs.sent] == ["luxstore", "another-shop"]


@pytest.fixture
def hook() -> Hook:
    return Hook()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
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


Row = tuple[Callable[[Call], None], int, list[str]]
ROWS: list[Row] = [
    (Call.too_large, 413, ["hook_refused_too_large"]),
    (Call.ping, 200, ["hook_ping"]),
    (Call.wrong_secret, 401, ["hook_refused_wrong_secret"]),
    (Call.no_order_id, 400, ["hook_refused_malformed"]),
    (Call.account_of_others, 403, ["hook_refused_account_refused"]),
    (Call.unwatched_state, 200, ["hook_received", "hook_not_watched"]),
    (Call.foreign_order_id, 200, ["hook_received", "hook_foreign_order_id"]),
    (Call.sqs_out_of_reach, 503, ["hook_received", "hook_refused_unavailable"]),
]
"""What spoils a call, its answer, and what is counted; a genuine notification counts as received besides."""
SAME_FIELD = {"no_order_id", "foreign_order_id"}
TWO_ROWS = [rows for rows in itertools.combinations(ROWS, 2) if {row[0].__name__ for row in rows} != SAME_FIELD]


@pytest.mark.parametrize(("spoil", "status", "counts"), ROWS, ids=[row[0].__name__ for row in ROWS])
def test_each_row_has_its_answer_is_counted_and_queues_nothing(
    hook: Hook, counted: list[str], spoil: Callable[[Call], None], status: int, counts: list[str]
) -> None:
    call = Call(hook)
    spoil(call)

    assert (call.answer(), counted, hook.sqs.sent) == (status, counts, [])


@pytest.mark.parametrize(
    ("earlier", "later"),
    TWO_ROWS,
    ids=[f"{one[0].__name__}-before-{two[0].__name__}" for one, two in TWO_ROWS],
)
def test_of_two_rows_that_fit_the_earlier_one_answers(hook: Hook, counted: list[str], earlier: Row, later: Row) -> None:
    call = Call(hook)
    for spoil, _, _ in (later, earlier):
        spoil(call)

    assert (call.answer(), counted, hook.sqs.sent) == (earlier[1], earlier[2], [])


def test_everything_else_is_queued_and_answered_200(hook: Hook, counted: list[str]) -> None:
    assert hook.call() == 200
    assert hook.sqs.sent == [
        {
            "QueueUrl": QUEUE,
            "MessageBody": json.dumps(a_notification()),
            "MessageGroupId": "luxstore",
            "MessageAttributes": {"correlation_id": {"DataType": "String", "StringValue": "request-1"}},
        }
    ]
    assert counted == ["hook_received", "hook_queued"]


# ---- 413, and what a ping needs


@pytest.mark.parametrize(("size", "status"), [(64 * 1024, 200), (64 * 1024 + 1, 413)])
def test_a_body_of_one_byte_more_than_64_kib_is_too_large(hook: Hook, size: int, status: int) -> None:
    assert hook.call(json.dumps(a_notification()).encode().ljust(size)) == status


@pytest.mark.parametrize("headers", [{}, {"X-Hook-Secret": ""}, WRONG, SECRET], ids=repr)
def test_a_ping_is_answered_200_even_without_the_secret_and_with_everything_out_of_reach(
    hook: Hook, headers: dict[str, str]
) -> None:
    hook.manager.trouble = hook.sqs.trouble = UNREACHABLE

    assert hook.call({"hookConfig": "ping"}, headers) == 200


# ---- What an account watches of its own: its hook carries it


@pytest.mark.parametrize(
    ("header", "state", "is_queued"),
    [
        ("invoiced,payment-approved", "payment-approved", True),
        (" Invoiced , PAYMENT-approved ", "payment-approved", True),
        ("payment-approved", "invoiced", False),
        ("payment-approved", "of no list", True),
        ("", "invoiced", True),
        ("", "payment-approved", False),
        ("no-such-status, ,*", "invoiced", True),
        ("no-such-status, ,*", "payment-approved", False),
        ("\ud800", "payment-approved", False),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("name", ["X-Watched-Statuses", "x-watched-statuses"])
def test_the_header_of_an_authentic_call_says_which_statuses_are_watched(
    hook: Hook, name: str, header: str, state: str, *, is_queued: bool
) -> None:
    assert hook.call(a_notification(State=state), {**SECRET, name: header}) == 200
    assert bool(hook.sqs.sent) is is_queued


@pytest.mark.parametrize("secret", [{}, WRONG, {"X-Hook-Secret": ""}], ids=repr)
def test_the_header_opens_nothing_without_the_secret(hook: Hook, secret: dict[str, str]) -> None:
    assert hook.call(a_notification(), {**secret, "X-Watched-Statuses": "invoiced"}) == 401
    assert hook.sqs.sent == []


# ---- 401 and 400


@pytest.mark.parametrize("name", ["X-Hook-Secret", "x-hook-secret", "X-HOOK-SECRET", "x-Hook-sEcret"])
def test_the_header_s_name_is_read_in_any_case(hook: Hook, name: str) -> None:
    assert hook.call(headers={"content-type": "text/plain", name: "s3cret"}) == 200


@pytest.mark.parametrize(
    "value", ["", " ", "S3CRET", "s3cre", "s3cret2", "s3cret ", "wrong", "segrêdo", "\ud800"], ids=ascii
)
def test_a_wrong_or_empty_secret_is_answered_401(hook: Hook, value: str) -> None:
    assert hook.call(headers={"X-Hook-Secret": value}) == 401


@pytest.mark.parametrize("headers", [{}, {"Authorization": "s3cret"}, {"X-Hook-Secret-": "s3cret"}], ids=repr)
def test_a_missing_secret_is_answered_401_without_a_read_of_the_stored_one(hook: Hook, headers: dict[str, str]) -> None:
    assert (hook.call(headers=headers), hook.manager.reads) == (401, 0)


@pytest.mark.parametrize("value", ["", " ", "None", "null"])
@pytest.mark.parametrize("stored", ["", " ", None], ids=repr)
def test_an_empty_stored_secret_lets_nobody_in(hook: Hook, stored: object, value: str) -> None:
    hook.put_secret(current=stored, previous=stored)

    assert hook.call(headers={"X-Hook-Secret": value}) == 401


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff", b"[]", b"", b'{"a": NaN}', b'{"a": ' + b"[" * 60_000, b'{"State": "invoiced"}'],
    ids=["cut", "no-utf-8", "list", "empty", "nan", "deep", "no-order-id"],
)
def test_a_body_that_is_no_notification_is_answered_400_and_401_to_a_stranger(hook: Hook, body: bytes) -> None:
    assert (hook.call(body), hook.call(body, WRONG), hook.sqs.sent) == (400, 401, [])


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
        hook.call(headers=WRONG)
        hook.clock.now += 1

    assert hook.manager.reads == 3


# ---- What is taken


@pytest.mark.parametrize("order_id", FACTS.order_ids)
def test_an_order_id_as_vtex_documents_them_is_kept(hook: Hook, order_id: str) -> None:
    assert (hook.call(a_notification(OrderId=order_id)), len(hook.sqs.sent)) == (200, 1)


@pytest.mark.parametrize(("account", "status"), [("others", 200), ("evil.example/", 403)])
def test_with_no_account_named_any_well_formed_one_is_taken(account: str, status: int) -> None:
    assert Hook(accounts=frozenset()).call(a_notification(Origin={"Account": account})) == status


@pytest.mark.parametrize("state", ["invoiced", "Invoiced", None, "", 7, "unknow"], ids=repr)
def test_a_state_that_is_watched_or_says_nothing_is_queued(hook: Hook, state: object) -> None:
    assert (hook.call(a_notification(State=state)), len(hook.sqs.sent)) == (200, 1)


# ---- 503


@pytest.mark.parametrize(("seconds", "status"), [(3599, 200), (3600, 503)])
def test_the_kept_secret_serves_for_an_hour_while_secrets_manager_is_out_of_reach(
    hook: Hook, seconds: int, status: int
) -> None:
    hook.call()
    hook.manager.trouble = UNREACHABLE
    hook.clock.now += seconds

    assert hook.call() == status


# ---- Origin.Key: counted, never refused


@pytest.mark.parametrize("key", ["vtexappkey-2", None, 7, ["vtexappkey-1"]], ids=repr)
def test_a_changed_app_key_is_counted_once_and_queued_each_account_s_by_itself(counted: list[str], key: object) -> None:
    hook = Hook(accounts=frozenset())
    for account, its_key in [("luxstore", "vtexappkey-1"), ("others", "vtexappkey-9"), ("luxstore", key)] * 2:
        assert hook.call(a_notification(Origin={"Account": account, "Key": its_key})) == 200

    changes = [counted[: index + 1].count("hook_queued") for index, n in enumerate(counted) if "app_key" in n]
    assert changes == [2, 3, 5]
    assert len(hook.sqs.sent) == 6


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
