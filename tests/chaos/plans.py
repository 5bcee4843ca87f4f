"""What happens in a round: drawn by its seed before it begins."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from local import events
from tests.keys import make_key

type Json = dict[str, Any]

ORDERS = (10, 20)
"""So many orders a round has: at least, at most."""
STORM_SECONDS = 9.0
VTEX_FAULTS: tuple[Json, ...] = (
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 503, "retry_after": 1},
    {"kind": "status", "status": 429, "retry_after": 1},
    {"kind": "status", "status": 403},
    {"kind": "login_page"},
    {"kind": "login_redirect"},
    {"kind": "drop"},
    {"kind": "drop_midway"},
    {"kind": "truncated_json"},
    {"kind": "empty_object"},
    {"kind": "wrong_order"},
    {"kind": "delay", "seconds": 1},
    {"kind": "trickle", "seconds": 1},
)


@dataclass(frozen=True)
class Life:
    """What becomes of an order at VTEX, and how it ends up."""

    stages: tuple[str, ...]
    code: str | None = None
    """Of the error with which it is failing in the end; None where it is not."""
    act: str | None = None
    """What its alert's reader does at the desk."""
    way: str = "hook"

    @property
    def is_healthy(self) -> bool:
        """Say whether it never had a fault: nobody may hear of it."""
        return set(self.stages) <= {"good", "another marketplace's"}


LIVES: dict[str, Life] = {
    "healthy": Life(("good",)),
    "healthy, by the feed": Life(("good",), way="feed"),
    "another marketplace's": Life(("another marketplace's",)),
    "keyless": Life(("no key",), "missing"),
    "keyless, by the feed": Life(("no key",), "missing", way="feed"),
    "not invoiced in time": Life(("no invoice",), "no_invoice"),
    "mended": Life(("no key", "good")),
    "changed": Life(("no key", "short key"), "malformed"),
    "spoilt and mended": Life(("good", "short key", "good")),
    "canceled": Life(("no key", "canceled")),
    "dismissed": Life(("no key",), "missing", act="dismiss"),
    "snoozed": Life(("no key",), "missing", act="snooze"),
    "looked at": Life(("no key", "good"), act="check"),
}


@dataclass
class Order:
    """An order of a round."""

    number: int
    shop: str
    kind: str

    @property
    def id(self) -> str:
        """Return its id at VTEX."""
        return f"VVJ-{self.number}-01"

    @property
    def life(self) -> Life:
        """Return what becomes of it."""
        return LIVES[self.kind]

    def document(self, stage: str) -> Json:
        """Return it as it is at VTEX in a stage."""
        order = events.order_document(events.BY_NAME["key-missing"])
        order |= {"orderId": self.id, "marketplaceOrderId": f"{self.number}-01", "hostname": self.shop}
        good = make_key(tax_id=events.CNPJ, month=11, number=self.number)
        keys = {"no key": None, "short key": good[:-1]}
        order["packageAttachment"]["packages"][0] |= {
            "invoiceNumber": str(self.number),
            "invoiceKey": keys.get(stage, good),
        }
        if stage == "no invoice":
            order["packageAttachment"]["packages"] = []
        if stage == "canceled":
            order["status"] = "canceled"
        if stage == "another marketplace's":
            order |= {"affiliateId": "MZN", "marketplaceServicesEndpoint": "http://another.example/api"}
            order |= {"customData": None, "marketplace": {"baseURL": "http://another.example", "name": "Another"}}
        return order


@dataclass(frozen=True)
class Moment:
    """Something that the plan lets happen, so many seconds after the storm began."""

    at: float
    what: str
    order: Order | None = None
    stage: str = ""
    fault: str = ""
    """The simulator's fault, as JSON."""

    def __str__(self) -> str:
        """Return a line for whoever looks for what went wrong."""
        about = f"{self.order.id} ({self.order.kind}) {self.stage}" if self.order else self.fault
        return f"{self.at:5.2f} s  {self.what:8} {about}"


@dataclass
class Round:
    """A round: what happens, and what came of it."""

    seed: str
    shop: str
    orders: list[Order]
    moments: list[Moment]
    answers: Counter[int] = field(default_factory=Counter)
    unanswered: list[tuple[Order, str]] = field(default_factory=list)
    """The orders and stages whose hook was not answered 200: VTEX sends it again."""

    @property
    def by_id(self) -> dict[str, Order]:
        """Return its orders."""
        return {order.id: order for order in self.orders}


def plan(seed: str, shop: str, numbers: Iterator[int]) -> Round:
    """Draw a round's plan."""
    drawn = random.Random(seed)
    kinds = [drawn.choice(list(LIVES)) for _ in range(drawn.randint(*ORDERS))]
    orders = [Order(next(numbers), shop, kind) for kind in kinds]
    moments = []
    for order in orders:
        at = 0.0
        for number, stage in enumerate(order.life.stages):
            at = drawn.uniform(at, at + STORM_SECONDS / (len(order.life.stages) + 1))
            moments.append(Moment(at, "changes", order, stage))
            way = order.life.way if number == 0 else "hook"
            moments.append(Moment(at + 0.01, way, order, stage))
            if drawn.random() < 0.4:  # VTEX repeats itself, and what it repeats comes in any order
                moments.append(Moment(drawn.uniform(at, STORM_SECONDS), "again", order, stage))
    for _ in range(drawn.randint(0, 4)):
        fault = {**drawn.choice(VTEX_FAULTS), "account": shop, "times": drawn.randint(1, 8)}
        moments.append(Moment(drawn.uniform(0, STORM_SECONDS * 0.7), "vtex", fault=json.dumps(fault)))
    return Round(seed, shop, orders, sorted(moments, key=lambda moment: moment.at))


def changed_at(order: Order, stage: str) -> str:
    """Return an event's time: each stage has its own, and what is repeated has the same."""
    began = datetime.fromisoformat("2026-11-17T14:53:39+00:00")
    return (began + timedelta(seconds=order.life.stages.index(stage))).isoformat()
