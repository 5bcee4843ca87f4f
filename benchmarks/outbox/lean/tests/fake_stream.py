"""DynamoDB Streams and Lambda's mapping of it, in memory: shards, a filter, checkpoints, the lowest failed begins anew.

As AWS's documentation has it (no emulator at hand does): the writes of an item stay in one shard and in order; a batch
of a shard is handed out until it is settled, and meanwhile the shard waits; of a partial answer the lowest sequence
number is the new checkpoint; what is older than the retention is gone.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zlib import crc32

from invoicekey.deliver import Written
from invoicekey.ledger import entry_of, ref_of
from tests.fake_dynamodb import FakeDynamoDb, _key, _plain

FILTER = json.loads((Path(__file__).parents[1] / "benchmarks" / "outbox" / "filter.json").read_text(encoding="utf-8"))
"""The pattern in the template."""


@dataclass
class Shard:
    """A shard, and how far it was read."""

    records: list[dict[str, Any]] = field(default_factory=list)
    checkpoint: int = 0
    under_way: list[dict[str, Any]] = field(default_factory=list)
    """The batch that is handed out until it is settled; the shard waits for it."""
    invoked: int = 0
    is_busy: bool = False


class StreamedDynamoDb(FakeDynamoDb):
    """A table with a stream of new images."""

    def __init__(self, shards: int = 1) -> None:
        super().__init__()
        self.shards = [Shard() for _ in range(shards)]
        self.now: datetime | None = None
        self.lost: list[dict[str, Any]] = []

    def waiting(self, shard: Shard) -> bool:
        """Say whether the function would be called for it."""
        return not shard.is_busy and any(passes(FILTER, one) for one in shard.records[shard.checkpoint :])

    def batch(self, shard: Shard, size: int) -> list[dict[str, Any]]:
        """Hand out what is left of the last batch, else the next records that pass the filter."""
        if not shard.under_way:
            shard.under_way = [one for one in shard.records[shard.checkpoint :] if passes(FILTER, one)][:size]
        return shard.under_way

    def settle(self, shard: Shard, batch: list[dict[str, Any]], failed: set[str]) -> None:
        """Go on behind a batch, or from the lowest record of it that failed."""
        shard.checkpoint = min(map(int, failed)) if failed else _number(batch[-1]) + 1
        shard.under_way = [one for one in shard.under_way if _number(one) >= shard.checkpoint]

    def trim(self, now: datetime, retention: timedelta) -> None:
        """Lose what is older than the retention."""
        for shard in self.shards:
            while shard.checkpoint < len(shard.records) and shard.records[shard.checkpoint]["at"] <= now - retention:
                lost = shard.records[shard.checkpoint]
                self.lost += [lost] if passes(FILTER, lost) else []
                shard.checkpoint += 1
            shard.under_way = [one for one in shard.under_way if _number(one) >= shard.checkpoint]

    def forget_expired(self, at: float) -> None:
        """Delete what has expired: the stream has that too."""
        before = dict(self._items)
        super().forget_expired(at)
        for key in before.keys() - self._items.keys():
            self._append("REMOVE", key, None)

    def _write(self, kind: str, request: Mapping[str, Any]) -> None:
        key = _key(kind, request)
        before = self._items.get(key)
        name = "MODIFY" if key in self._items else "INSERT"
        super()._write(kind, request)
        self._append("REMOVE" if kind == "Delete" else name, key, self._items.get(key))
        if _report_number(before) == _report_number(self._items.get(key)):
            self._records_of(key)[-1]["is_repeated"] = True

    def _records_of(self, key: str) -> list[dict[str, Any]]:
        return self.shards[crc32(key.encode()) % len(self.shards)].records

    def _append(self, name: str, key: str, image: dict[str, Any] | None) -> None:
        change: dict[str, Any] = {"Keys": {"pk": {"S": key}}, "SequenceNumber": str(len(self._records_of(key)))}
        if image is not None:
            change["NewImage"] = copy.deepcopy(image)
        self._records_of(key).append({"eventName": name, "dynamodb": change, "at": self.now})


def _number(record: Mapping[str, Any]) -> int:
    return int(record["dynamodb"]["SequenceNumber"])


def _report_number(item: Mapping[str, Any] | None) -> Any:
    return (item or {}).get("report", {}).get("M", {}).get("number")


def passes(pattern: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Say whether a record passes a filter of exact values."""
    for name, wanted in pattern.items():
        if isinstance(wanted, dict):
            if not (isinstance(record.get(name), dict) and passes(wanted, record[name])):
                return False
        elif record.get(name) not in wanted:
            return False
    return True


def written(record: Mapping[str, Any]) -> Written:
    """Read a record as the function does."""
    image = _plain(record["dynamodb"]["NewImage"])
    return Written(record["dynamodb"]["SequenceNumber"], entry_of(ref_of(image["pk"]), image))
