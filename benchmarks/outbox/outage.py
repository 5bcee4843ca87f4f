"""An outlet that refuses for hours: what is told of the other orders meanwhile, and what is lost.

Runs over the plays' fakes, as the tree has it (intents, or with the overlay the stream)::

    .venv/bin/python -m benchmarks.outbox.outage                              # today
    SHARDS=4 benchmarks/outbox/overlaid.sh python -m benchmarks.outbox.outage # the stream
"""

import logging
from datetime import timedelta

from tests.property.play import FIRST, Play

RETENTION = timedelta(hours=24)
"""Of DynamoDB Streams."""
EVERY = 15
"""Minutes between two orders that fail."""
MINUTE = timedelta(minutes=1)


def outage(hours: int, refused: str | None) -> str:
    """Refuse the records of one order (without one, all) for so many hours; say what came of all orders' records."""
    play = Play()
    failing: dict[str, int] = {}
    told: dict[str, int] = {}
    for minute in range((hours + 3) * 60):
        is_down = minute < hours * 60
        if minute % EVERY == 0 and is_down:
            order = FIRST if minute == 0 else f"VVJ-{minute}-09"
            failing[order] = minute
            play.change(order, "no key")
            play.post(order)
        _a_minute(play, refused, is_down=is_down)
        for record in play.outside.outlets.records:
            told.setdefault(record.ref.order_id, minute)
    others = {order: minute for order, minute in failing.items() if order != FIRST}
    waits = sorted(told[order] - minute for order, minute in others.items() if order in told)
    in_time = sum(wait <= 2 for wait in waits)
    text = (
        f"{len(others)} other orders: {in_time} told within 2 min, {sum(order not in told for order in others)} never"
    )
    slowest = f", the slowest of the rest after {waits[-1] / 60:.1f} h" if waits else ""
    play.close()
    return text + slowest + f"; the refused one {'told' if FIRST in told else 'never told'}"


def _a_minute(play: Play, refused: str | None, *, is_down: bool) -> None:
    play.advance(MINUTE)
    stream = getattr(play.outside.ledger.dynamodb, "shards", None)
    if stream is not None:
        play.outside.ledger.dynamodb.now = play.outside.time.now
    for _ in range(3):
        if play.visible:
            if is_down and stream is None:
                play.outside.outlets.refuse("send_records", refused)
            play.finish(play.begin())
    play.outside.outlets.forget_plans()
    if stream is not None:
        for shard in play.deliverable:
            if is_down:
                play.outside.outlets.refuse("send_records", refused)
            play.finish(play.deliver(shard, 100))
            play.outside.outlets.forget_plans()
        play.outside.ledger.dynamodb.trim(play.outside.time.now, RETENTION)


def main() -> None:
    """Print three outages."""
    logging.disable(logging.CRITICAL)
    print("one order's record is refused for 25 h:", outage(25, FIRST))
    print("every record is refused for 25 h:", outage(25, None))
    print("every record is refused for 60 h:", outage(60, None))


if __name__ == "__main__":
    main()
