"""What has to hold after a round, seen from outside."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from local.fault_proxy import LOSES_ANSWER, Fault, Seen
from tests.chaos.plans import Json, Order
from tests.chaos.world import Heard

RECORD, VERSION = "invoicekey.order.", ".v1"
MAY_LOSE_ANSWER = {*LOSES_ANSWER, Fault.SLOW, Fault.MACHINE_SLOW}
NOTES, SENDS = {"UpdateItem", "TransactWriteItems"}, {"PublishBatch", "Publish"}


@dataclass(frozen=True)
class Judge:
    """Holds what came of an order against what had to."""

    items: Mapping[str, Json]
    """What the ledger holds of the orders, in DynamoDB's own JSON."""
    seen: Sequence[Seen]
    """The faults that hit requests to AWS."""
    met_a_death: Set[str] = frozenset()
    """The orders of batches in which the function was ended at its timeout."""
    told_twice: Counter[str] = field(default_factory=Counter)
    """By the fault that explains it."""

    def wrong(self, order: Order, heard: Heard) -> Iterator[str]:
        """Yield in words what must not be."""
        item = self.items.get(order.id)
        if item is None:
            yield "was answered 200, or was in the feed, and the ledger knows nothing of it"
        elif order.life.is_healthy:
            yield from _healthy(heard)
        elif order.life.code is None:
            yield from _ended(heard, item)
        elif "set_aside" in item:
            yield from _dismissed(heard)
        else:
            yield from _failing(order.life.code, heard, item)
        yield from self._twice(order, heard)

    def _twice(self, order: Order, heard: Heard) -> Iterator[str]:
        """Explain what came twice by a fault that hit it."""
        texts = {record["id"]: record for record in heard.records}
        if any(texts[record["id"]] != record for record in heard.records):
            yield "the same report came in two forms"
        extra = {"record": len(heard.records) - len(texts), "notice": heard.notices - heard.announced}
        for what, number in extra.items():
            why = self._explained(order.id)
            if number > 0 and why:
                self.told_twice[f"{what}: {why}"] += number
            elif number > 0:
                yield f"{number} {what} too many, and no fault that explains it"

    def _explained(self, order_id: str) -> str | None:
        """Say which fault lets an order be told twice: AWS gave no answer between sending and noting."""
        hit = [one for one in self.seen if order_id in one.about]
        for one in hit:
            if one.operation in SENDS and one.fault in MAY_LOSE_ANSWER:
                return f"{one.operation}, {one.fault}"
        unnoted = next((one for one in hit if one.operation in NOTES), None)
        if unnoted:
            return f"not noted: {unnoted.operation}, {unnoted.fault}"
        return "the function was ended at its timeout" if order_id in self.met_a_death else None


def _healthy(heard: Heard) -> Iterator[str]:
    if heard.records or heard.notices:
        yield f"is healthy, and was told: {_last(heard)}"


def _ended(heard: Heard, item: Json) -> Iterator[str]:
    is_open = "errors_told" in item and "set_aside" not in item
    if is_open or _last(heard) not in {"nothing", "resolved"}:
        yield f"fails no longer; open in the ledger: {is_open}, last record: {_last(heard)}"


def _dismissed(heard: Heard) -> Iterator[str]:
    if _last(heard) != "resolved" or heard.last_report["data"]["reason"] != "dismissed":
        yield f"is dismissed, last record: {_last(heard)}"


def _failing(code: str, heard: Heard, item: Json) -> Iterator[str]:
    outcome = item.get("outcome", {}).get("S")
    if (outcome, _last(heard)) != ("failing", "failing") or not heard.notices:
        yield f"is failing; in the ledger {outcome}, last record: {_last(heard)}, notices: {heard.notices}"
    elif {problem["code"] for problem in heard.last_report["data"]["problems"]} != {code}:
        yield f"fails with {code}; last record: {heard.last_report['data']['problems']}"


def _last(heard: Heard) -> str:
    """Name the kind of an order's last record."""
    last = heard.last_report
    return str(last["type"]).removeprefix(RECORD).removesuffix(VERSION) if last else "nothing"


def most_in_a_minute(requests: Sequence[Json]) -> int:
    """Return how many of the simulator's requests came within one minute, at the most."""
    times = sorted(datetime.fromisoformat(request["at"]) for request in requests)
    most = first = 0
    for number, at in enumerate(times):
        while at - times[first] >= timedelta(minutes=1):
            first += 1
        most = max(most, number - first + 1)
    return most
