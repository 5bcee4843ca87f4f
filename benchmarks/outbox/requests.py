"""What an order costs of DynamoDB, SQS and SNS, under either way of delivering; orders one at a time, then ten at once.

Requests are those of the product over the plays' fakes; write request units are computed from the items' sizes by the
rules of DynamoDB's documentation (1 KB each, an update by the larger of before and after, twice in a transaction, the
index apart)::

    .venv/bin/python -m benchmarks.outbox.requests
    benchmarks/outbox/overlaid.sh python -m benchmarks.outbox.requests
"""

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from invoicekey.backlog import Backlog
from invoicekey.policy import Limit
from tests.fakes_outside import Outside
from tests.keys import make_key
from tests.orders import cnova_order, sale

INDEX = ("list", "list_at")
PROJECTED = (
    "pk", *INDEX, "checked_at", "codes", "digest", "errors", "kind", "mended_at", "opened_at", "outcome", "set_aside",
)  # fmt: skip
WRITE, READ, SNS, SQS = 0.625, 0.125, 0.50, 0.40
"""Dollars a million, us-east-1."""


class Meter:
    """Counts what the table is asked."""

    def __init__(self, outside: Outside) -> None:
        self.outside = outside
        self.units = 0
        dynamodb: Any = outside.ledger.dynamodb
        write, transact = dynamodb._write, dynamodb.transact_write_items
        self._in_transaction = 1

        def metered(kind: str, request: Mapping[str, Any]) -> None:
            key = (request["Item"] if kind == "Put" else request["Key"])["pk"]["S"]
            before = dynamodb._items.get(key)
            write(kind, request)
            self.units += self._cost(before, dynamodb._items.get(key))

        def transacted(**request: Any) -> Any:
            self._in_transaction = 2
            try:
                return transact(**request)
            finally:
                self._in_transaction = 1

        dynamodb._write, dynamodb.transact_write_items = metered, transacted

    def of(self, happen: Callable[[], object]) -> str:
        """Return what something costs."""
        dynamodb = self.outside.ledger.dynamodb
        dynamodb.calls.clear()
        self.units = 0
        steps = len(self.outside.steps.taken)
        happen()
        delivered = deliver(self.outside)
        calls = Counter(dynamodb.calls)
        sent = Counter(self.outside.steps.taken[steps:])
        reads = calls.pop("batch_get_item", 0) + calls.pop("query", 0)
        out = f"{sent['send_records']} SQS, {sent['publish_alerts']} SNS"
        kinds = ", ".join(f"{number} {name}" for name, number in sorted(calls.items()))
        return f"{reads} reads; {sum(calls.values())} writes ({kinds}) = {self.units} WRU; {out}{delivered}"

    def _cost(self, before: dict[str, Any] | None, after: dict[str, Any] | None) -> int:
        size = max(_size(before), _size(after), 1)
        table = math.ceil(size / 1024) * self._in_transaction
        was, now = _projected(before), _projected(after)
        if was == now:
            return table
        moved = was and now and any(was[name] != now[name] for name in INDEX)
        writes = [one for one in ((was, now) if moved else (now or was,)) if one]
        return table + sum(math.ceil(_size(one) / 1024) for one in writes)


def deliver(outside: Outside) -> str:
    """Let the stream deliver, where there is one."""
    dynamodb: Any = outside.ledger.dynamodb
    if not hasattr(dynamodb, "shards"):
        return ""
    from tests.fake_stream import written  # type: ignore[import-not-found, unused-ignore]

    invocations = 0
    for shard in dynamodb.shards:
        while dynamodb.waiting(shard):
            batch = list(dynamodb.batch(shard, 100))
            failed = outside.deliveries().deliver([written(one) for one in batch if "is_repeated" not in one], outside.time.now)
            dynamodb.settle(shard, batch, set(failed))
            invocations += 1
    return f", {invocations} invocations by the stream"


def _projected(item: dict[str, Any] | None) -> dict[str, Any] | None:
    if not item or "list" not in item:
        return None
    return {name: item[name] for name in PROJECTED if name in item}


def _size(item: Mapping[str, Any] | None) -> int:
    return sum(len(name.encode()) + _of(value) for name, value in (item or {}).items())


def _of(value: Mapping[str, Any]) -> int:
    ((kind, held),) = value.items()
    match kind:
        case "S":
            return len(held.encode())
        case "N":
            return len(held.strip("-").replace(".", "")) // 2 + 2
        case "SS":
            return sum(len(one.encode()) for one in held)
        case "L":
            return 3 + sum(1 + _of(one) for one in held)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _of(one) for name, one in held.items())
        case _:
            return 1


def main() -> None:
    """Print what orders cost."""
    logging.disable(logging.CRITICAL)
    outside = Outside(limit=Limit(10_000, timedelta(minutes=15)))
    meter = Meter(outside)
    backlog = Backlog(outside.ledger.dynamodb.table)
    key = make_key(tax_id="11222333000181", month=3, number=643797, code=1)

    def put(order: str, key: str | None) -> None:
        outside.vtex.put(cnova_order(sale(key=key), orderId=order))

    def check(*orders: str) -> None:
        outside.check(*(outside.message(order, id=f"m-{order}-{outside.time.now}") for order in orders))

    put("VVJ-0-01", None)
    check("VVJ-0-01")
    deliver(outside)
    put("VVJ-1-01", key)
    print("without fault:      ", meter.of(lambda: check("VVJ-1-01")))
    put("VVJ-2-01", None)
    print("failing:            ", meter.of(lambda: check("VVJ-2-01")))
    item = outside.ledger.dynamodb._items["order#luxstore#VVJ-2-01"]
    print("  (its item then:", _size(item), "bytes)")
    outside.time.advance(timedelta(minutes=15))
    put_off = [order for order in backlog.followed() if order.ref.order_id == "VVJ-2-01"]
    print("put off (re-check): ", meter.of(lambda: backlog.postpone(put_off[0], outside.time.now + timedelta(hours=6))))
    print("still failing:      ", meter.of(lambda: check("VVJ-2-01")))
    put("VVJ-2-01", make_key(tax_id="11222333000181", month=3, number=643797, code=2))
    print("resolved:           ", meter.of(lambda: check("VVJ-2-01")))
    for number in range(10):
        put(f"VVJ-{number}-02", None)
    print("ten failing at once:", meter.of(lambda: check(*(f"VVJ-{number}-02" for number in range(10)))))
    meter.outside = outside = Outside(limit=Limit(1, timedelta(minutes=15)))
    meter = Meter(outside)
    put("VVJ-0-01", None)
    check("VVJ-0-01")
    deliver(outside)
    put("VVJ-2-01", None)
    print("failing, held back: ", meter.of(lambda: check("VVJ-2-01")))


if __name__ == "__main__":
    main()
