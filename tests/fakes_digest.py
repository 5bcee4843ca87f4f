"""A shop whose alerts are deferred, with a table whose index may lag, a topic, and runs of the digest over them.

Before and after each call to the outside is a moment at which something can happen::

    shop = DigestShop()
    shop.hold_back("VVJ-1-01")
    shop.moments.happens = when("after publish", die)
    with pytest.raises(Crash):
        shop.tell()
"""

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from invoicekey.delivery.queues import AlertTopic
from invoicekey.ledger.entries import Deferral, Entry, Ledger, Report
from invoicekey.ledger.failures import Episode, FailureLists, Shown
from invoicekey.ledger.lists import Backlog
from invoicekey.ledger.table import Table
from invoicekey.messages.alert import Style
from invoicekey.rules.notification import OrderRef
from invoicekey.work.digest import Digests, SummaryStates
from tests.fake_dynamodb import FakeDynamoDb
from tests.fakes_outside import Crash, SameThread

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sns import SNSClient

SHOP, OTHER = "luxstore", "othershop"
TUESDAY = datetime(2026, 3, 3, 15, 0, tzinfo=UTC)
LEASE = timedelta(seconds=600)
"""As deployed: twice the function's timeout."""
MINUTE = timedelta(minutes=1)
DOWN = ClientError({"Error": {"Code": "ServiceUnavailable"}}, "AnyOperation")
PLENTY = 60.0
REPORT = Report(1, "invoicekey.order.failing.v1", "{}", "{}", TUESDAY, recorded=True, alerted=True)


class LaggingDynamoDb(FakeDynamoDb):
    """A table whose index shows what it last caught up with, while it lags."""

    def __init__(self) -> None:
        super().__init__()
        self.lags = False
        self._shown: dict[str, dict[str, Any]] = {}

    def catch_up(self, *keys: str) -> None:
        """Let the index show these items as they are now; without any, all of them."""
        for key in keys or {*self._items, *self._shown}:
            if key in self._items:
                self._shown[key] = self._items[key]
            else:
                self._shown.pop(key, None)

    def hide(self, key: str) -> None:
        """Let the index not show an item yet, or any longer."""
        self._shown.pop(key, None)

    def query(self, **request: Any) -> dict[str, Any]:
        if not self.lags:
            self.catch_up()
        items, self._items = self._items, self._shown
        try:
            return super().query(**request)
        finally:
            self._items = items


class Moments:
    """What was called, and what happens before and after each call."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.happens: Callable[[str], object] = lambda moment: None

    def reached(self, moment: str) -> None:
        """Let happen what is to happen at this moment, such as `before put_item`."""
        self.passed.append(moment)
        self.happens(moment)


class Repeat(Exception):
    """The answer is lost, and the SDK makes the call once more."""


@dataclass(frozen=True)
class _Watched:
    client: Any
    moments: Moments

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**request: Any) -> Any:
            self.moments.reached(f"before {operation}")
            answer = getattr(self.client, operation)(**request)
            try:
                self.moments.reached(f"after {operation}")
            except Repeat:
                return getattr(self.client, operation)(**request)
            return answer

        return call


@dataclass(frozen=True)
class Published:
    """A summary that reached the topic."""

    entry: dict[str, Any]

    @property
    def subject(self) -> str:
        """Return its subject."""
        return str(self.entry["Subject"])

    @property
    def body(self) -> str:
        """Return its text."""
        return str(json.loads(self.entry["Message"])["default"])

    @property
    def account(self) -> str:
        """Return the account that it is about."""
        return self._attribute("account")

    @property
    def type(self) -> str:
        """Return its type: digest or reminder."""
        return self._attribute("type")

    @property
    def severity(self) -> str:
        """Return `error` where something is wrong."""
        return self._attribute("severity")

    @property
    def orders(self) -> list[str]:
        """List the orders that it names, as it names them."""
        return list(dict.fromkeys(re.findall(r"VVJ-\d+-01", self.body)))  # a line with its problem, and its link

    def _attribute(self, name: str) -> str:
        return str(self.entry["MessageAttributes"][name]["StringValue"])


@dataclass
class FakeTopic:
    """Keeps what is published, but for the accounts that it refuses."""

    published: list[Published] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)

    def publish(self, *, TopicArn: str, **entry: Any) -> dict[str, Any]:  # noqa: N803 - AWS's name
        published = Published(entry)
        if published.account in self.refused:
            raise DOWN
        self.published.append(published)
        return {"MessageId": str(len(self.published))}


class DigestShop:
    """What is outside of the digest, and the parts of the product over it."""

    def __init__(self) -> None:
        self.now = TUESDAY
        self.left = PLENTY
        self.has_desk = False
        self.styles: dict[str, Style] = {}
        """Of accounts that have one of their own."""
        self.off: set[str] = set()
        self.dynamodb = LaggingDynamoDb()
        self.topic = FakeTopic()
        self.moments = Moments()
        self.ledger = Ledger(self.dynamodb.table)
        self.backlog = Backlog(self.dynamodb.table)

    # ---- What is to be told

    def hold_back(
        self,
        order_id: str,
        kind: str = "failing",
        *codes: str,
        account: str = SHOP,
        since: datetime | None = None,
        errors: tuple[Shown, ...] = (),
        alert: str | None = None,
    ) -> None:
        """Hold an order's alert back, now."""
        ref = OrderRef(account, order_id)
        entry = self.ledger.read([ref]).entries[ref]
        if not entry.version:
            entry = self.ledger.write(Entry(ref, outcome="failing", checked_at=self.now, report=REPORT))
        self.ledger.note_deferred(entry, Deferral(kind, since or self.now, codes or ("missing",), errors, alert))

    def publish_alert(self, order_id: str) -> None:
        """Note that a newer alert of the order went out at once."""
        ref = OrderRef(SHOP, order_id)
        self.ledger.note_alerted(self.ledger.read([ref]).entries[ref])

    def keep(self, order_id: str, account: str = SHOP, **changes: Any) -> None:
        """Keep an order in the ledger: with an open failure, unless the changes say otherwise."""
        opened_at = changes.get("opened_at", self.now)
        given: dict[str, Any] = {
            "first_seen_at": self.now,
            "checked_at": self.now,
            "outcome": "failing",
            "errors_reported": "f" * 64,
            "errors": (Shown("missing", "643797", has_suggestion=False),),
            "opened_at": opened_at,
            "recheck_at": self.now + timedelta(hours=1),
            "report": REPORT,
        }
        ref = OrderRef(account, order_id)
        version = self.ledger.read([ref]).entries[ref].version
        self.ledger.write(Entry(ref, version=version, **given | changes))

    def keep_snoozed(self, order_id: str, until: datetime, account: str = SHOP, **changes: Any) -> None:
        """Keep an order in the ledger whose failure somebody put off."""
        self.keep(order_id, account, snoozed_until=until, episodes=(Episode(self.now, ("missing",)),), **changes)

    def keep_good(self, order_id: str, account: str = SHOP, **changes: Any) -> None:
        """Keep an order in the ledger with which all is well."""
        good = {"outcome": "ok", "errors_reported": None, "errors": (), "opened_at": None, "recheck_at": None}
        self.keep(order_id, account, **good | changes)

    # ---- Runs

    def desk_link(self, account: str) -> str | None:
        """Return the address of an account's list, where there is a desk."""
        return f"https://api.example/desk/{account}" if self.has_desk else None

    def digests(self, style: Style | None = None, accounts: Sequence[str] = ()) -> Digests:
        """Return the parts as an environment of the function has them."""
        table = Table(cast("DynamoDBClient", _Watched(self.dynamodb, self.moments)), "ledger")
        topic = AlertTopic(cast("SNSClient", _Watched(self.topic, self.moments)), "arn:topic")
        style = style or Style()
        return Digests(
            Backlog(table),
            SummaryStates(table),
            topic,
            lambda account: self.styles.get(account, style),
            LEASE,
            failures=FailureLists(table),
            accounts=accounts,
            is_off=lambda account: account in self.off,
            desk_link=self.desk_link,
            make_pool=SameThread,
        )

    def tell(self) -> int:
        """Let a run tell what is deferred."""
        return self.digests().send_digests(lambda: self.left, lambda: self.now)

    def remind(self, occasion: str | None = None, accounts: Sequence[str] = (), style: Style | None = None) -> int:
        """Let a run remind."""
        return self.digests(style, accounts).send_reminders(lambda: self.left, occasion, lambda: self.now)

    def be_called_to_remind(self, occasion: str) -> None:
        """Let the scheduler call for a reminder; Lambda repeats a call that fails, in a minute and in two more."""
        for wait in (0 * MINUTE, 1 * MINUTE, 2 * MINUTE):
            self.wait(wait)
            with suppress(Crash, Exception):
                self.remind(occasion)
                return

    def go_on(self, time: timedelta) -> None:
        """Let time pass, with a run of the digests every 15 minutes, the first at once."""
        for _ in range(time // (15 * MINUTE)):
            with suppress(Crash, Exception):
                self.tell()
            self.wait()

    def wait(self, time: timedelta = 15 * MINUTE) -> None:
        """Let time pass; by default to the next run."""
        self.now += time

    # ---- What came of it

    @property
    def told(self) -> list[list[str]]:
        """List the orders that each summary named."""
        return [published.orders for published in self.topic.published]

    @property
    def held(self) -> list[str]:
        """List the orders whose alerts still wait."""
        return [str(item["pk"]).rpartition("#")[2] for item in self.dynamodb.items("held#")]


def at(number: int, happening: Callable[[], object]) -> Callable[[str], None]:
    """Return what lets something happen at the so-manieth moment from now, once."""
    moments = iter(range(number + 1))

    def happen(_: str) -> None:
        if next(moments, None) == number:
            happening()

    return happen


def when(moment: str, happening: Callable[[], object]) -> Callable[[str], None]:
    """Return what lets something happen at the first moment of this name, once."""
    names = iter([moment])

    def happen(name: str) -> None:
        if name == moment and next(names, None):
            happening()

    return happen


def repeat() -> None:
    """Lose an answer: what was called is called once more."""
    raise Repeat


def die() -> None:
    """Die, as a function does whose time is up."""
    raise Crash


def fail() -> None:
    """Fail, as a service does that gives no answer."""
    raise DOWN
