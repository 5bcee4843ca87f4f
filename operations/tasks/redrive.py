"""Dead letters, taken up again: received, sent to the hook queue, deleted, in that order, so that none can get lost.

What is only looked at is made visible again. A message that is a dead letter again while others are still being moved
is left alone: it would go round and round. One that was there before is another one's twin: a run that was interrupted
between sending and deleting leaves such. What was sent for the other was sent for it.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import batched, islice
from typing import Any

from invoicekey.delivery.queues import MOST_ENTRIES, Event, HookQueue
from invoicekey.rules.notification import OrderRef, order_ref, parse
from operations.deployment.stack import time_of

SOURCE = "redrive"
NO_REASON = "none"
"""SQS itself moved the message, after 200 receives: the function died with it."""
HIDDEN_SECONDS = 600
"""So long a message is hidden from others that was received; it is made visible again as soon as possible."""
CLOCKS_DIFFER = timedelta(seconds=5)
"""Those of SQS' own machines, at the most."""
_WAIT_SECONDS = 1
_MOST_BATCHES = 200

type Ask = Callable[..., Any]
"""Asks an operation of SQS, and raises Trouble where it gives no answer."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the dead-letter queue."""

    id: str
    body: str = field(repr=False)
    receipt_handle: str = field(repr=False)
    reason: str
    correlation_id: str
    sent_at: datetime

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> "DeadLetter":
        """Read a message as SQS hands it out; one that SQS itself moved may have no attribute at all."""
        named = {name: value.get("StringValue") for name, value in message.get("MessageAttributes", {}).items()}
        sent_at = int(message.get("Attributes", {}).get("SentTimestamp", 0)) / 1000
        return cls(
            id=message["MessageId"],
            body=message["Body"],
            receipt_handle=message["ReceiptHandle"],
            reason=named.get("reason") or NO_REASON,
            correlation_id=named.get("correlation_id") or message["MessageId"],
            sent_at=datetime.fromtimestamp(sent_at, UTC),
        )

    @property
    def ref(self) -> OrderRef | None:
        """Return the order that it is about; None where it is no notification."""
        try:
            return order_ref(parse(self.body))
        except ValueError:
            return None

    @property
    def identity(self) -> str:
        """Return what stays the same when it becomes a dead letter again."""
        return hashlib.sha256(f"{self.correlation_id}\n{self.body}".encode()).hexdigest()


@dataclass(slots=True)
class Tally:
    """Dead letters by reason."""

    numbers: Counter[str] = field(default_factory=Counter)
    letters: list[DeadLetter] = field(default_factory=list)

    def add(self, letter: DeadLetter) -> None:
        """Count one."""
        self.numbers[letter.reason] += 1
        self.letters.append(letter)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which dead letters are meant."""

    reasons: Collection[str]
    refs: Collection[OrderRef] | None = None
    """Those about these orders alone; None: all."""
    account: str | None = None
    """Those of this account alone; None: all."""

    def is_about(self, letter: DeadLetter) -> bool:
        """Say whether it is about what is meant, whatever its reason."""
        ref = letter.ref
        is_of_account = self.account is None or (ref is not None and ref.account == self.account)
        return is_of_account and (self.refs is None or ref in self.refs)

    def takes(self, letter: DeadLetter) -> bool:
        """Say whether this one is meant."""
        return letter.reason in self.reasons and self.is_about(letter)


class DeadLetters:
    """The dead-letter queue."""

    def __init__(self, ask: Ask, url: str, wait_seconds: int = _WAIT_SECONDS) -> None:
        self._ask = ask
        self._url = url
        self._wait_seconds = wait_seconds
        self._held: dict[str, DeadLetter] = {}
        """Those that we keep hidden, and are to be made visible again."""
        self.first_seen_at: datetime | None = None
        """When the first of them were received, by SQS' own clock; None where it does not say."""

    @contextmanager
    def held(self) -> Iterator[Iterator[list[DeadLetter]]]:
        """Hand out all that is there, each once, in batches; make visible again at the end what was not deleted."""
        try:
            yield self._batches()
        finally:
            self._release()

    def about(self, ref: OrderRef) -> list[DeadLetter]:
        """Return those about an order, the oldest first, and leave them there; of very many the first ones received."""
        answer = self._ask("get_queue_attributes", QueueUrl=self._url, AttributeNames=["ApproximateNumberOfMessages"])
        if answer["Attributes"]["ApproximateNumberOfMessages"] == "0":
            return []
        with self.held() as batches:
            some = [letter for batch in islice(batches, _MOST_BATCHES) for letter in batch if letter.ref == ref]
        return sorted(some, key=lambda letter: letter.sent_at)

    def delete(self, letters: Sequence[DeadLetter]) -> None:
        """Delete messages that were sent on."""
        entries = [{"Id": str(n), "ReceiptHandle": letter.receipt_handle} for n, letter in enumerate(letters)]
        for letter in letters:
            # One that can't be deleted is a dead letter again in a while: what is sent twice is told once.
            self._held.pop(letter.id, None)
        self._ask("delete_message_batch", QueueUrl=self._url, Entries=entries)

    def _batches(self) -> Iterator[list[DeadLetter]]:
        while True:
            answer = self._ask(
                "receive_message",
                QueueUrl=self._url,
                MaxNumberOfMessages=MOST_ENTRIES,
                VisibilityTimeout=HIDDEN_SECONDS,
                # Long polling asks every server of the queue: an empty answer means an empty queue.
                WaitTimeSeconds=self._wait_seconds,
                MessageAttributeNames=["All"],
                AttributeNames=["SentTimestamp"],
            )
            self.first_seen_at = self.first_seen_at or time_of(answer)
            letters = [DeadLetter.read(message) for message in answer.get("Messages", [])]
            if not letters:
                return
            new = [letter for letter in letters if letter.id not in self._held]
            self._held.update({letter.id: letter for letter in letters})
            if new:
                yield new

    def _release(self) -> None:
        for some in batched(self._held.values(), MOST_ENTRIES, strict=False):
            entries = [
                {"Id": str(n), "ReceiptHandle": letter.receipt_handle, "VisibilityTimeout": 0}
                for n, letter in enumerate(some)
            ]
            self._ask("change_message_visibility_batch", QueueUrl=self._url, Entries=entries)
        self._held.clear()


def count(letters: DeadLetters) -> Tally:
    """List and count the dead letters, and leave them there."""
    tally = Tally()
    with letters.held() as batches:
        for batch in batches:
            for letter in batch:
                tally.add(letter)
    return tally


class Redrive:
    """Moves dead letters to the hook queue, at a pace."""

    def __init__(
        self, letters: DeadLetters, queue: HookQueue, rate: float, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._letters = letters
        self._queue = queue
        self._rate = rate
        self._sleep = sleep
        self.moved = Counter[str]()
        self.refused = 0
        """The hook queue did not take them; they stay dead letters."""
        self.back_again = 0
        """They were moved, and are dead letters again already."""
        self._seen: set[str] = set()

    def discard(self, choice: Choice) -> None:
        """Delete those that are meant, for good: nothing is checked."""
        with self._letters.held() as batches:
            for batch in batches:
                self._delete([letter for letter in batch if choice.takes(letter)])

    def run(self, choice: Choice, tell: Callable[[int], object] = lambda _: None) -> None:
        """Move those that are meant. Whatever interrupts it, each is in one queue at least."""
        with self._letters.held() as batches:
            for batch in batches:
                wanted = [letter for letter in batch if choice.takes(letter)]
                new = [letter for letter in wanted if letter.identity not in self._seen]
                again = [letter for letter in wanted if letter.identity in self._seen]
                twins = [letter for letter in again if self._was_there_before(letter)]
                self.back_again += len(again) - len(twins)
                self._delete(twins)
                # So many at once that the pace is kept to the second.
                for some in batched(new, max(1, min(MOST_ENTRIES, int(self._rate))), strict=False):
                    self._move(some)
                    tell(self.moved.total())
                    self._sleep(len(some) / self._rate)

    def _move(self, letters: Sequence[DeadLetter]) -> None:
        events = {Event(letter.body, letter.correlation_id, SOURCE): letter for letter in letters}
        sent = [events[event] for event in self._queue.send(list(events))]
        # Of two messages that are the same one is sent, for both.
        gone = {letter.identity for letter in sent}
        taken = [letter for letter in letters if letter.identity in gone]
        self.refused += len(letters) - len(taken)
        self._seen |= gone
        self._delete(taken)

    def _delete(self, sent: Sequence[DeadLetter]) -> None:
        if sent:
            self._letters.delete(sent)
            self.moved.update(letter.reason for letter in sent)

    def _was_there_before(self, letter: DeadLetter) -> bool:
        """Say whether it was a dead letter before anything was sent: in doubt not, for then it may be the one sent."""
        began_at = self._letters.first_seen_at
        return began_at is not None and letter.sent_at < began_at - CLOCKS_DIFFER
