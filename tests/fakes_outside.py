"""Fakes of what is outside (VTEX, the ledger, the outlets) that can be told to fail, and the parts built on them.

They have the public methods of the real classes: mypy compares the signatures, and tests/integration runs the same
behaviours against both. Every call is a step, and before and after each is a moment at which something can happen::

    outside = Outside()
    outside.vtex.put(cnova_order(sale(key=None)))
    outside.steps.before("publish_alerts", Crash())
    with pytest.raises(Crash):
        outside.check(message())
    assert outside.steps.taken[:4] == ["read", "read_order", "write", "send_records"]
"""

import json
import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from invoicekey.delivery.queues import Message, Outlets
from invoicekey.ledger.activity import Activities, Activity
from invoicekey.ledger.entries import Deferral, Entry, Ledger, Snapshot, entry_of, ref_of
from invoicekey.ledger.prefixes import Reading
from invoicekey.messages.alert import Style
from invoicekey.rules.notification import OrderRef
from invoicekey.rules.order import Order
from invoicekey.rules.policy import AlertQuota, Policy
from invoicekey.runtime.errors import OrderNotFound, RateLimited, RetryLater
from invoicekey.runtime.settings import CheckerSettings, OfAccounts
from invoicekey.vtex.client import Vtex
from invoicekey.work.batch import AccountRules, BatchCheck, rules_of
from invoicekey.work.check import Clock, OrderCheck, Rules
from tests.environments import CHECKER
from tests.fake_dynamodb import FakeDynamoDb

ACCOUNT, ORDER_ID = "luxstore", "VVJ-975102-01"
REF = OrderRef(ACCOUNT, ORDER_ID)
NOON = datetime(2026, 3, 3, 15, 0, tzinfo=UTC)
LEASE = timedelta(seconds=60)
GRACE = timedelta(seconds=600)
RETRY_BASE = timedelta(seconds=60)
LIMIT = AlertQuota(alerts=5, window=timedelta(minutes=15))

type Happening = BaseException | Callable[[], object]
"""What happens at a moment: something is raised, or done."""


class Crash(BaseException):
    """The function dies. Nothing may catch it."""


class Steps:
    """The calls to the outside, as they were taken, and what is to happen before and after them."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        """The names of the steps that took effect."""
        self.at_each_moment: Callable[[], None] = lambda: None
        self._plans: list[_Plan] = []

    def before(self, step: str, happening: Happening, *, about: str | None = None, times: int | None = 1) -> None:
        """Let it happen before the step takes effect; `about` narrows it to an order's or a message's id."""
        self._plans.append(_Plan(f"before {step}", happening, about, times))

    def after(self, step: str, happening: Happening, *, about: str | None = None, times: int | None = 1) -> None:
        """Let it happen after the step took effect: raised, its caller never hears so."""
        self._plans.append(_Plan(f"after {step}", happening, about, times))

    def forget_plans(self) -> None:
        """Let nothing happen any more but what happens by itself."""
        self._plans.clear()

    @contextmanager
    def taking(self, step: str, about: str = "") -> Iterator[None]:
        """Take a step. The body is its effect."""
        self._pass(f"before {step}", about)
        yield
        self.taken.append(step)
        self._pass(f"after {step}", about)

    def _pass(self, moment: str, about: str) -> None:
        self.at_each_moment()
        plan = next((plan for plan in self._plans if plan.fits(moment, about)), None)
        if plan is None:
            return
        if plan.times is not None:
            plan.times -= 1
        if isinstance(plan.happening, BaseException):
            raise plan.happening
        plan.happening()


@dataclass
class _Plan:
    moment: str
    happening: Happening
    about: str | None
    times: int | None

    def fits(self, moment: str, about: str) -> bool:
        return self.moment == moment and self.about in {None, about} and self.times != 0


class FakeTime:
    """The time of day, and the time left of the invocation; both stand still until they are told otherwise."""

    def __init__(self) -> None:
        self.now = NOON
        self.left = 30.0

    def clock(self) -> Clock:
        """Return it as the product takes it."""
        return Clock(seconds_left=lambda: self.left, now=lambda: self.now)

    def timestamp(self) -> float:
        """Return the seconds since 1970."""
        return self.now.timestamp()

    def advance(self, time: timedelta | float) -> None:
        """Let so much time pass, in seconds where it is a number."""
        self.now += time if isinstance(time, timedelta) else timedelta(seconds=time)


class FakeVtex(Vtex):
    """VTEX: order documents, and the silence that it asks for. Step: read_order, about the order's id."""

    def __init__(self, steps: Steps, time: FakeTime) -> None:
        self.answers = deque()
        self.documents: dict[OrderRef, dict[str, Any]] = {}
        self.reads: Counter[OrderRef] = Counter()
        """How often VTEX was asked, whatever it answered."""
        self.patience: list[float] = []
        """For how long a turn of the rate limit might be waited for, each time."""
        self._steps = steps
        self._time = time
        self._backoff_until = {}
        self._unshared = {}
        self.paces: dict[str, int] = {}

    def keep_pace(self, account: str, requests_per_minute: int) -> None:
        """Remember an account's pace."""
        self.paces[account] = requests_per_minute

    def put(self, document: dict[str, Any]) -> OrderRef:
        """Keep an order under the account in its hostname, and return its ref."""
        ref = OrderRef(document["hostname"], document["orderId"])
        self.documents[ref] = document
        return ref

    def fail(self, error: BaseException, *, order_id: str | None = None, times: int | None = 1) -> None:
        """Answer the next reads with an error."""
        self._steps.before("read_order", error, about=order_id, times=times)

    def read_order(self, ref: OrderRef, time_left: float, patience: float = math.inf) -> Order:
        """Return the order as it is now."""
        left = self._backoff_until.get(ref.account, 0.0) - self._time.timestamp()
        if left > 0:
            raise RateLimited("VTEX asked for a back-off a while ago", wait=left)
        self.reads[ref] += 1
        self.patience.append(patience)
        self.answers.append(("200", 0.1))
        try:
            with self._steps.taking("read_order", ref.order_id):
                document = self.documents.get(ref)
                if document is None:
                    raise OrderNotFound
                order = Order.model_validate(document)
        except RateLimited as asked:
            asked.wait = 60.0 if asked.wait is None else asked.wait
            self.back_off(ref.account, self._time.timestamp() + asked.wait)
            self._unshared[ref.account] = self._backoff_until[ref.account]
            raise
        return order


class FakeLedger(Ledger):
    """The ledger, on a table in memory. Its steps have the names of its methods."""

    def __init__(self, steps: Steps) -> None:
        self.dynamodb = FakeDynamoDb()
        self.reports_held_back: list[tuple[OrderRef, int]] = []
        super().__init__(self.dynamodb.table)
        self._steps = steps

    @property
    def entries(self) -> dict[OrderRef, Entry]:
        """Return what it holds of the orders."""
        items = {ref_of(item["pk"]): item for item in self.dynamodb.items("order#")}
        return {ref: entry_of(ref, item) for ref, item in items.items()}

    @property
    def owners(self) -> dict[str, str]:
        """Return which order owns a key."""
        return {item["pk"].rpartition("#")[2]: item["order_id"] for item in self.dynamodb.items("key#")}

    @property
    def deferred(self) -> dict[str, str]:
        """Return of which orders an alert waits for a digest, and its kind."""
        return {ref_of(item["pk"]).order_id: item["kind"] for item in self.dynamodb.items("held#")}

    @property
    def returns_to_queue(self) -> Counter[str]:
        """Return how often messages were returned to the queue."""
        items = self.dynamodb.items("message#")
        return Counter({item["pk"].removeprefix("message#"): int(item["put_back"]) for item in items})

    def read(self, refs: Iterable[OrderRef], message_ids: Iterable[str] = ()) -> Snapshot:
        with self._steps.taking("read"):
            return super().read(refs, message_ids)

    def write(self, entry: Entry) -> Entry:
        with self._steps.taking("write", entry.ref.order_id):
            return super().write(entry)

    def note_recorded(self, entry: Entry) -> None:
        with self._steps.taking("note_recorded", entry.ref.order_id):
            super().note_recorded(entry)

    def note_alerted(self, entry: Entry) -> None:
        with self._steps.taking("note_alerted", entry.ref.order_id):
            super().note_alerted(entry)

    def note_dismissed(self, entry: Entry) -> None:
        with self._steps.taking("note_dismissed", entry.ref.order_id):
            super().note_dismissed(entry)

    def note_deferred(self, entry: Entry, held: Deferral) -> None:
        with self._steps.taking("note_deferred", entry.ref.order_id):
            try:
                super().note_deferred(entry, held)
            finally:  # the write took effect where its answer alone was lost
                if self._is_held_back(entry):
                    self.reports_held_back.append((entry.ref, entry.last_report_number))

    def _is_held_back(self, entry: Entry) -> bool:
        written = self.entries[entry.ref]
        is_noted = written.report is not None and written.report.alerted and written.is_in_digests
        return is_noted and written.last_report_number == entry.last_report_number

    def acquire_alert_quota(self, account: str, kind: str, wanted: int, now: datetime, limit: AlertQuota) -> int:
        with self._steps.taking("acquire_alert_quota", kind):
            return super().acquire_alert_quota(account, kind, wanted, now, limit)

    def note_backoff(self, account: str, until: float) -> None:
        with self._steps.taking("note_backoff", account):
            super().note_backoff(account, until)

    def learn_prefixes(
        self, account: str, readings: Iterable[Reading], affiliate_ids: frozenset[str], now: datetime
    ) -> None:
        with self._steps.taking("learn_prefixes", account):
            super().learn_prefixes(account, readings, affiliate_ids, now)

    def note_returned(self, message_id: str) -> None:
        with self._steps.taking("note_returned", message_id):
            super().note_returned(message_id)


@dataclass(frozen=True)
class Sent:
    """A record or an alert that got through."""

    ref: OrderRef
    number: int
    type: str
    """Of the report, without what is the same in all: `failing`, `resolved` or `expired`."""
    text: str
    """The bytes: the record, or the alert's entry."""

    @property
    def document(self) -> dict[str, Any]:
        """Return the JSON."""
        document: dict[str, Any] = json.loads(self.text)
        return document

    @property
    def data(self) -> dict[str, Any]:
        """Return a record's data."""
        data: dict[str, Any] = self.document["data"]
        return data

    @property
    def codes(self) -> list[str]:
        """List the codes of a record's problems."""
        return [problem["code"] for problem in self.data["problems"]]


class FakeOutlets(Outlets):
    """The queues and the topic. Steps: the names of the methods; the last two are about the message's id."""

    def __init__(self, steps: Steps) -> None:
        self.records: list[Sent] = []
        self.alerts: list[Sent] = []
        self.returns_to_queue: list[tuple[Message, float]] = []
        self.dead_letters: list[tuple[Message, str]] = []
        self._steps = steps
        self._refusals: dict[str, set[str | None]] = defaultdict(set)
        self._lost_answers: set[str] = set()

    def refuse(self, step: str, about: str | None = None) -> None:
        """Refuse an order's entry, or a message's (without `about` the whole batch), at the next such step."""
        self._refusals[step].add(about)

    def lose_answer(self, step: str) -> None:
        """Take the whole batch at the next such step, and say that nothing got through."""
        self._lost_answers.add(step)

    def forget_plans(self) -> None:
        """Take everything from now on."""
        self._refusals.clear()
        self._lost_answers.clear()

    def send_records(self, entries: Sequence[Entry]) -> list[Entry]:
        """Collect the records."""
        return self._send("send_records", entries, self.records, lambda report: report.record)

    def publish_alerts(self, entries: Sequence[Entry]) -> list[Entry]:
        """Collect the alerts."""
        return self._send("publish_alerts", entries, self.alerts, lambda report: str(report.alert))

    def return_to_queue(self, waits: Sequence[tuple[Message, float]]) -> list[Message]:
        """Collect the waits."""
        if not waits:
            return []
        with self._steps.taking("return_to_queue"):
            refused = self._refusals.pop("return_to_queue", set())
            taken = [(m, wait) for m, wait in waits if refused.isdisjoint({None, m.id})]
            self.returns_to_queue += taken
        return [message for message, wait in waits if (message, wait) not in taken]

    def send_to_dead_letters(self, message: Message, reason: str) -> None:
        """Collect the dead letters."""
        with self._steps.taking("send_to_dead_letters", message.id):
            self.dead_letters.append((message, str(reason)))

    def _send(self, step: str, entries: Sequence[Entry], sent: list[Sent], text: Callable[[Any], str]) -> list[Entry]:
        if not entries:
            return []
        with self._steps.taking(step):
            refused = self._refusals.pop(step, set())
            through = [entry for entry in entries if refused.isdisjoint({None, entry.ref.order_id})]
            for entry in through:
                if entry.report is None:
                    raise ValueError("an entry without a report has nothing to send")
                kind = entry.report.type.removeprefix("invoicekey.order.").removesuffix(".v1")
                sent.append(Sent(entry.ref, entry.report.number, kind, text(entry.report)))
        if step in self._lost_answers:
            self._lost_answers.remove(step)
            return []
        return through


class SameThread(Executor):
    """Runs what is submitted at once, in the caller's thread; a Crash takes the caller with it."""

    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Run it."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - as the executors of the standard library do
            future.set_exception(error)
        return future


class Outside:
    """All that is outside, and the parts of the product put together on it."""

    def __init__(self, policy: Policy | None = None, limit: AlertQuota = LIMIT) -> None:
        self.steps = Steps()
        self.time = FakeTime()
        self.vtex = FakeVtex(self.steps, self.time)
        self.ledger = FakeLedger(self.steps)
        self.outlets = FakeOutlets(self.steps)
        self.quota = limit
        self.policy = policy or Policy(affiliate_ids=frozenset({"vvj"}), invoice_grace=GRACE)
        self.batch_check = self.environment()

    def environment(self, **options: Any) -> BatchCheck:
        """Return the parts as another environment of the function has them."""
        activities = Activities(self.ledger.dynamodb.table)
        options = {"make_pool": SameThread} | options
        return BatchCheck(
            self.vtex, self.ledger, self.outlets, self.rules_of, RETRY_BASE, activities=activities, **options
        )

    def rules_of(self, own: Mapping[str, str]) -> AccountRules:
        """Return an account's rules: those of all, or for settings of its own what the function reads of them."""
        if not own:
            check = OrderCheck(self.vtex, self.ledger, Rules(self.policy, Style(), LEASE))
            return AccountRules(
                check,
                self.quota,
                540,
                longest_grace=self.policy.longest_grace,
                affiliate_ids=self.policy.affiliate_ids,
            )
        return rules_of(own, OfAccounts(CheckerSettings, CHECKER), self.vtex, self.ledger)

    def check(self, *messages: Message) -> set[str]:
        """Check a batch; return the ids of the messages that go back."""
        return self.batch_check.check(messages, self.time.clock())

    def activity(self, account: str = ACCOUNT) -> Activity:
        """Return what is noted of an account."""
        return Activities(self.ledger.dynamodb.table).read([account])[account]

    def message(self, order_id: str = ORDER_ID, **changes: Any) -> Message:
        """Return a message about an order, sent now and received for the first time."""
        return message(order_id, **{"sent_at": self.time.timestamp()} | changes)

    def wait_of(self, message: Message) -> float:
        """Return the last wait with which a message was returned to the queue."""
        return [wait for returned, wait in self.outlets.returns_to_queue if returned.id == message.id][-1]


def message(
    order_id: str = ORDER_ID, *, account: str = ACCOUNT, last_change: str | None = None, **changes: Any
) -> Message:
    """Return a message of the hook queue with a notification in VTEX's shape; without a last change it has no id."""
    body = {
        "Domain": "Fulfillment",
        "OrderId": order_id,
        "State": "invoiced",
        "LastState": "invoice",
        "LastChange": last_change,
        "Origin": {"Account": account, "Key": "vtexappkey-luxstore-ABCDEF"},
    }
    given: dict[str, Any] = {
        "id": f"message-{order_id}",
        "body": json.dumps(body),
        "receipt_handle": f"handle-{order_id}",
        "sent_at": NOON.timestamp(),
        "receive_count": 1,
        "correlation_id": f"correlation-{order_id}",
    }
    return Message(**given | changes)


def unreachable(what: str = "it") -> RetryLater:
    """Return what the real classes raise where AWS or VTEX gives no answer."""
    return RetryLater(f"{what} gave no answer")
