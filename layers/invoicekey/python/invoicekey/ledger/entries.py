"""The ledger: one item an order, with what was last seen and what was last reported.

It is what makes a report go out once (docs/architecture/reports.md draws its states). An entry carries its report, as
an outbox does: state and report are one write. Every write is on condition that the item is still as it was read, so
nothing older than the ledger is ever written. Small items stand beside the orders: which order owns a key, until when
an account at VTEX is in back-off, how often a message was returned to the queue, when an account's last alerts went
out (its alert quota), and which alerts are deferred for a digest.

Attributes and keys keep the names that the first version stored, `first_heard_at` or `held#…`: see docs/glossary.md.
"""

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from invoicekey.ledger import failures, prefixes
from invoicekey.ledger.accounts import Account, account_key, readable_account
from invoicekey.ledger.failures import MOST_EPISODES, Episode, Failure, Shown, State
from invoicekey.ledger.prefixes import Learnt, Reading, learnt_from, prefixes_key
from invoicekey.ledger.table import Item, Table, TransactionRefused, Write
from invoicekey.rules.notification import OrderRef
from invoicekey.rules.policy import AlertQuota
from invoicekey.runtime.errors import Conflict, LedgerUnavailable, RetryLater

KEEP_CLOSED_DAYS = 400
KEEP_CLAIMS_DAYS = 365
KEEP_NOTES_DAYS = 15
"""A day longer than a queue keeps a message."""
MOST_CLAIMS = 30
"""So many keys of an order are claimed; a transaction of DynamoDB takes 100 items."""
MOST_EVENTS = 20
"""So many events are remembered of an order."""
MOST_PROBLEMS = 10
MOST_ACTS = 10
"""So many of what people did with an order are remembered."""
FOLLOWED = "followed"
DEFERRED = "held_back"
"""Lists of the table's index: orders by when they are read again, alerts by when they were deferred."""
OTHER_MARKETPLACE = "other_marketplace"
DISMISSED, EXPIRED = "dismissed", "expired"
"""Why a failure is archived."""
CORRUPT = "the order's item in the ledger is corrupt: mend it"
"""Why an order is tried again later whose item can't be read."""
_WRITTEN_BY, _TOKEN_BYTES = "written_by", 8
"""The attribute that holds a random token of the item's last write."""
_DAY = 86_400
_TRIES_FOR_QUOTA = 5


def checked_list(account: str) -> str:
    """Name the list of an account's orders that are not followed, by when they were last checked."""
    return f"checked#{account}"


class KeyTaken(Exception):
    """Other orders own keys that this one was to claim: their claims, by key."""

    def __init__(self, claims: "Mapping[str, Claim]") -> None:
        super().__init__("keys are owned by other orders")
        self.claims = claims


@dataclass(frozen=True, slots=True)
class Claim:
    """Which order showed a key first, and until when that counts."""

    order_id: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Report:
    """One report and how far it has come. Its bytes are kept until it is delivered: they may have to be sent again."""

    number: int
    type: str
    record: str
    """The record as sent to the failure queue."""
    alert: str | None
    """The alert's PublishBatch entry as JSON; None where nobody is to be alerted."""
    lease_until: datetime
    """Until then its writer alone may send it."""
    recorded: bool = False
    alerted: bool = False

    @property
    def is_delivered(self) -> bool:
        """Say whether nothing is left to be sent."""
        return self.recorded and self.alerted


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ledger holds of an order; version 0 is an order that it does not hold yet."""

    ref: OrderRef
    version: int = 0
    first_seen_at: datetime | None = None
    checked_at: datetime | None = None
    outcome: str | None = None
    events: tuple[str, ...] = ()
    """The events that led to checks which have ended (notification.event_id), the newest last."""
    errors_reported: str | None = None
    """The fingerprint of the errors that were reported and are open or archived; None when there are none."""
    errors: tuple[Shown, ...] = ()
    """Those errors."""
    archived: str | None = None
    """Why they are not followed any longer: `dismissed` or `expired`. They count as news only when they change."""
    archived_why: str | None = None
    """Since when, and in a person's words why."""
    acts: tuple[str, ...] = ()
    """What people did with it, each a time and words, the newest last."""
    opened_at: datetime | None = None
    followed_from: datetime | None = None
    """When the open failure was last reported, or undismissed; its readings follow from there (schedule.py)."""
    recheck_at: datetime | None = None
    """When the order is to be read again."""
    mended_at: datetime | None = None
    """When a failure of it was last closed as ok."""
    snoozed_until: datetime | None = None
    """Until then nobody is reminded of its open failure, unless its errors change."""
    marketplace_order_id: str | None = None
    """As its last report named it."""
    episodes: tuple[Episode, ...] = ()
    """Its failures, the newest last; that of an open one has no end yet."""
    is_in_digests: bool = False
    """Its failure was deferred for a digest, and so is what becomes of it."""
    claims: frozenset[str] = frozenset()
    """The keys that it is to own."""
    claims_held: frozenset[str] = frozenset()
    """The keys that it owned when it was read."""
    claims_from: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Which of the claims are taken from which order, that owns them no longer."""
    report: Report | None = None
    """The last report, delivered or pending."""

    @property
    def has_open_failure(self) -> bool:
        """Say whether a failure was reported and not yet closed or archived."""
        return self.errors_reported is not None and self.archived is None

    @property
    def is_to_be_closed(self) -> bool:
        """Say whether machines wait for the end of a failure: an open one, or one that expired."""
        return self.errors_reported is not None and self.archived != DISMISSED

    @property
    def last_report_number(self) -> int:
        """Return the number of the last report, 0 before the first."""
        return self.report.number if self.report else 0

    def with_events(self, events: Iterable[str]) -> "Entry":
        """Return the entry with events added to those that it remembers."""
        return replace(self, events=tuple(dict.fromkeys([*self.events, *events]))[-MOST_EVENTS:])

    def with_act(self, at: datetime, what: str) -> "Entry":
        """Return the entry with what a person did."""
        return replace(self, acts=(*self.acts, f"{at.isoformat()} {what}")[-MOST_ACTS:])


@dataclass(frozen=True, slots=True)
class Deferral:
    """What a digest is to say of an order whose alert was deferred."""

    kind: str
    """As in the alert's attribute `type`: failing, resolved or expired."""
    since: datetime
    codes: tuple[str, ...] = ()
    """Of its errors; a resolved one has none."""
    errors: tuple[Shown, ...] = ()
    """Those errors."""
    alert: str | None = None
    """Its PublishBatch entry as JSON: a digest of one is sent as that alert."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one read of the ledger gave."""

    entries: dict[OrderRef, Entry]
    """Those that can be read: an item that somebody corrupted by hand is left out, and is nobody else's trouble."""
    backoff_until: dict[str, float]
    """Until when, in seconds since 1970, nothing of an account may be read."""
    returned: dict[str, int]
    """How often a message was returned to the queue on purpose, by its id."""
    accounts: dict[str, Account | None]
    """What the orders' accounts have of their own; None where an account's item is corrupt."""
    prefixes: dict[str, Learnt]
    """What reading has shown of the accounts' order ids."""


class Ledger:
    """The orders' items, and the small ones beside them."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def read(self, refs: Iterable[OrderRef], message_ids: Iterable[str] = ()) -> Snapshot:
        """Read orders, what is kept of their accounts, the notes of messages: consistently, in one request.

        That takes 100 items, and each account has three: up to 25 orders of any accounts, or 90 of one.
        """
        orders = {order_key(ref): ref for ref in refs}
        accounts = {backoff_key(ref.account): ref.account for ref in orders.values()}
        own = {account_key(account): account for account in accounts.values()}
        learnt = {prefixes_key(account): account for account in accounts.values()}
        messages = {f"message#{message_id}": message_id for message_id in message_ids}
        items = self._table.get([*orders, *accounts, *own, *learnt, *messages])
        entries = {ref: _readable(ref, items.get(key)) for key, ref in orders.items()}
        return Snapshot(
            entries={ref: entry for ref, entry in entries.items() if entry},
            backoff_until=_numbers(items, accounts, "until"),
            returned={message: int(times) for message, times in _numbers(items, messages, "put_back").items()},
            accounts={account: readable_account(account, items.get(key)) for key, account in own.items()},
            prefixes={account: learnt_from(items.get(key)) for key, account in learnt.items()},
        )

    def read_one(self, ref: OrderRef) -> Entry:
        """Read an order anew; raise RetryLater where its item is corrupt by now."""
        entry = self.read([ref]).entries.get(ref)
        if entry is None:
            raise RetryLater(CORRUPT)
        return entry

    def write(self, entry: Entry) -> Entry:
        """Write an entry and the change of its claims, on condition that the ledger holds it as it was read.

        Raises Conflict where it does not, and KeyTaken where other orders own keys that it claims. A write whose answer
        was lost meets what it wrote itself when it is repeated: it is known by its token, and is done.
        """
        token = os.urandom(_TOKEN_BYTES).hex()
        try:
            return self._write(entry, token, gone=frozenset())
        except (Conflict, LedgerUnavailable):
            if not self._has_taken(entry.ref, token):
                raise
        return _written(entry)

    def _has_taken(self, ref: OrderRef, token: str) -> bool:
        key = order_key(ref)
        return self._table.get([key]).get(key, {}).get(_WRITTEN_BY) == token

    def _write(self, entry: Entry, token: str, gone: frozenset[str]) -> Entry:
        """Write it; `gone` are former owners of its keys that the ledger holds no longer."""
        written, as_read = _written(entry), _as_read(entry)
        item = _item(written) | {_WRITTEN_BY: token}
        claimed, released = sorted(entry.claims - entry.claims_held), sorted(entry.claims_held - entry.claims)
        if not (claimed or released):
            self._table.put(item, **as_read)
            return written
        losing = sorted({owner for key, owner in entry.claims_from.items() if key in claimed})
        try:
            self._table.transact(
                self._table.to_put(item, **as_read),
                *(self._claim(entry, key) for key in claimed),
                *(self._release(entry, key) for key in released),
                *(self._stay_gone(entry, owner) if owner in gone else self._lose(entry, owner) for owner in losing),
            )
        except TransactionRefused as refused:
            about = [entry.ref.order_id, *claimed, *released, *losing]
            items = {about[place]: item for place, item in refused.items.items()}
            if entry.ref.order_id in items or not gone.isdisjoint(items):
                raise Conflict from refused
            if taken := {key: item for key, item in items.items() if key in claimed}:
                if not all(taken.values()):  # who owns it is not told, for the claim was just being made or released
                    raise Conflict from refused
                raise KeyTaken({key: _claim_of(item) for key, item in taken.items()}) from refused
            # What is left are claims that ran out, and that others have made since: there is nothing to release; and
            # former owners that the ledger has forgotten: there is nothing to take from them.
            held = replace(entry, claims_held=entry.claims_held.difference(items))
            return self._write(held, token, gone.union(owner for owner in losing if owner in items))
        return written

    def note_recorded(self, entry: Entry) -> None:
        """Note that the record of the entry's report was sent."""
        self._table.update(**_noted(entry, "SET report.recorded = :yes"))

    def note_alerted(self, entry: Entry) -> None:
        """Note that the alert of the entry's report was sent; its bytes, most of the item, are not kept any longer.

        An older one that still waits for a digest is old news now.
        """
        noted = _noted(entry, _ALERTED, in_digests=False)
        if entry.is_in_digests:
            self._together(self._table.to_update(**noted), self._table.to_delete(deferred_key(entry.ref)))
        else:
            self._table.update(**noted)

    def note_dismissed(self, entry: Entry) -> None:
        """Note that the record of a dismissal was sent: nothing is pending, and the order needs no reading.

        An alert that still waits for a digest is called off. All on condition that nobody has written the order since.
        """
        delivered = entry.report and replace(entry.report, recorded=True, alerted=True)
        done = replace(entry, version=entry.version + 1, recheck_at=None, is_in_digests=False, report=delivered)
        put = self._table.to_put(_item(done), **_as_read(entry))
        self._together(put, self._table.to_delete(deferred_key(entry.ref)))

    def write_snoozed(self, entry: Entry) -> Entry:
        """Write an entry that is snoozed: an alert of it that waits for a digest is called off in the same write.

        Raises Conflict where somebody has written the order since.
        """
        if not entry.is_in_digests:
            return self.write(entry)
        written = replace(entry, version=entry.version + 1, is_in_digests=False)
        self._together(
            self._table.to_put(_item(written), **_as_read(entry)), self._table.to_delete(deferred_key(entry.ref))
        )
        return written

    def note_deferred(self, entry: Entry, held: Deferral) -> None:
        """Note that a digest is to hold the alert of the entry's report, in the place of an older one of the order."""
        noted = self._table.to_update(**_noted(entry, _ALERTED, in_digests=True))
        self._together(noted, self._table.to_update(deferred_key(entry.ref), **_held(held)))

    def acquire_alert_quota(self, account: str, kind: str, wanted: int, now: datetime, quota: AlertQuota) -> int:
        """Return how many of the wanted alerts may go out now: never more than the limit within its window."""
        key, at = f"turns#{account}#{kind}", now.timestamp()
        for _ in range(_TRIES_FOR_QUOTA):
            item = self._table.get([key]).get(key, {})
            taken = [
                moment for moment in map(float, item.get("taken", [])) if moment > at - quota.window.total_seconds()
            ]
            granted = max(0, min(wanted, quota.alerts - len(taken)))
            if not granted:
                return 0
            version = int(item.get("version", 0))
            turns = {"pk": key, "version": version + 1, "taken": [str(m) for m in (*taken, *[at] * granted)]}
            with contextlib.suppress(Conflict):
                expires = {"expires_at": int(at + quota.window.total_seconds()) + _DAY}
                condition = "version = :version" if version else "attribute_not_exists(pk)"
                self._table.put({**turns, **expires}, condition, **({"version": version} if version else {}))
                return granted
        raise RetryLater("other environments took their turns again and again")

    def note_backoff(self, account: str, until: float) -> None:
        """Note until when, in seconds since 1970, nothing of an account may be read; a longer back-off stays."""
        item = {"pk": backoff_key(account), "until": int(until) + 1, "expires_at": int(until) + _DAY}
        with contextlib.suppress(Conflict):
            self._table.put(item, "attribute_not_exists(pk) OR #until < :until", until=item["until"])

    def learn_prefixes(
        self, account: str, readings: Iterable[Reading], affiliate_ids: frozenset[str], now: datetime
    ) -> None:
        """Note what orders that were read show of their account's order ids, under these affiliate ids of CNova."""
        prefixes.learn(self._table, account, readings, affiliate_ids, now)

    def note_returned(self, message_id: str) -> None:
        """Note that a message was returned to the queue on purpose, so that only other receives count as deaths."""
        self._table.update(
            f"message#{message_id}",
            "ADD put_back :one SET expires_at = :expires",
            one=1,
            expires=int(time.time()) + KEEP_NOTES_DAYS * _DAY,
        )

    def _together(self, *writes: Write) -> None:
        try:
            self._table.transact(*writes)
        except TransactionRefused as refused:
            raise Conflict from refused

    def _claim(self, entry: Entry, key: str) -> Write:
        shown_at = entry.checked_at.timestamp() if entry.checked_at else time.time()
        until = int(shown_at) + KEEP_CLAIMS_DAYS * _DAY
        item = {"pk": claim_key(entry.ref.account, key), "order_id": entry.ref.order_id, "expires_at": until}
        owners = {"own": entry.ref.order_id, "former": entry.claims_from.get(key, entry.ref.order_id)}
        return self._table.to_put(item, "attribute_not_exists(pk) OR order_id IN (:own, :former)", **owners)

    def _lose(self, entry: Entry, owner: str) -> Write:
        """Return the write by which a former owner loses its claims; a check of it meanwhile meets a conflict."""
        keys = {key for key, former in entry.claims_from.items() if former == owner}
        change = "DELETE claims :keys ADD version :one"
        key = order_key(OrderRef(entry.ref.account, owner))
        return self._table.to_update(key, change, "attribute_exists(pk)", keys=keys, one=1)

    def _stay_gone(self, entry: Entry, owner: str) -> Write:
        """Return what makes sure, where a former owner is gone, that no check of it has written it meanwhile."""
        return self._table.to_delete(order_key(OrderRef(entry.ref.account, owner)), "attribute_not_exists(pk)")

    def _release(self, entry: Entry, key: str) -> Write:
        condition = "attribute_not_exists(pk) OR order_id = :own"
        return self._table.to_delete(claim_key(entry.ref.account, key), condition, own=entry.ref.order_id)


def order_key(ref: OrderRef) -> str:
    """Return the key of an order's item."""
    return f"order#{ref.account}#{ref.order_id}"


def claim_key(account: str, key: str) -> str:
    """Return the key of the item that says which order of an account owns an access key."""
    return f"key#{account}#{key}"


def backoff_key(account: str) -> str:
    """Return the key of the item that says until when an account is in back-off."""
    return f"silence#{account}"


def ref_of(item_key: str) -> OrderRef:
    """Return the order of an item's key, `order#…` or `held#…`."""
    _, account, order_id = item_key.split("#")
    return OrderRef(account, order_id)


def _written(entry: Entry) -> Entry:
    """Return an entry as the ledger has it once it is written."""
    return replace(entry, version=entry.version + 1, claims_held=entry.claims, claims_from=MappingProxyType({}))


def _as_read(entry: Entry) -> dict[str, Any]:
    if entry.version:
        return {"condition": "version = :read", "read": entry.version}
    return {"condition": "attribute_not_exists(pk)"}


def _noted(entry: Entry, change: str, **values: object) -> dict[str, Any]:
    # The version grows too, so that who read the report as pending can't take it over any more.
    return {
        "key": order_key(entry.ref),
        "change": f"{change} ADD version :one",
        "condition": "report.#number = :number",
        "yes": True,
        "one": 1,
        "number": entry.last_report_number,
        **values,
    }


_ALERTED = "SET report.alerted = :yes, is_in_digests = :in_digests REMOVE report.alert"


def _claim_of(item: Item) -> Claim:
    return Claim(item["order_id"], datetime.fromtimestamp(int(item["expires_at"]), UTC))


def deferred_key(ref: OrderRef) -> str:
    """Return the key of the item that keeps the deferred alert of an order."""
    return f"held#{ref.account}#{ref.order_id}"


def _held(held: Deferral) -> dict[str, Any]:
    kept = "SET kind = :kind, codes = :codes, errors = :errors, #list = :list, list_at = :since"
    values = {
        "kind": held.kind,
        "codes": list(held.codes),
        "errors": [_shown_item(error) for error in held.errors[:MOST_PROBLEMS]],
        "list": DEFERRED,
        "since": _text(held.since),
    }
    if held.alert is None:
        return {"change": f"{kept} REMOVE digest, alert", **values}
    return {"change": f"{kept}, alert = :alert REMOVE digest", "alert": held.alert, **values}


def _item(entry: Entry) -> Item:
    """Return an entry as the table keeps it; what is None or empty is left out."""
    item = {
        "pk": order_key(entry.ref),
        "version": entry.version,
        "first_heard_at": _text(entry.first_seen_at),
        "checked_at": _text(entry.checked_at),
        "outcome": entry.outcome,
        "events": list(entry.events),
        "errors_told": entry.errors_reported,
        "errors": [_shown_item(error) for error in entry.errors[:MOST_PROBLEMS]],
        "set_aside": entry.archived,
        "set_aside_why": entry.archived_why,
        "acts": list(entry.acts),
        "opened_at": _text(entry.opened_at),
        "followed_from": _text(entry.followed_from),
        "recheck_at": _text(entry.recheck_at),
        "mended_at": _text(entry.mended_at),
        "is_in_digests": entry.is_in_digests or None,
        "claims": set(entry.claims),
        "report": entry.report and _report_item(entry.report),
        **_listing(entry),
        **_failure(entry),
        "expires_at": _expires_at(entry),
    }
    return {name: value for name, value in item.items() if value not in (None, [], set())}


def _listing(entry: Entry) -> Item:
    if entry.recheck_at:
        return {"list": FOLLOWED, "list_at": _text(entry.recheck_at)}
    if entry.outcome in (None, OTHER_MARKETPLACE):
        return {}
    return {"list": checked_list(entry.ref.account), "list_at": _text(entry.checked_at)}


def _failure(entry: Entry) -> Item:
    """Return what the account's lists of failures have of the order; nothing where it never failed."""
    if not entry.episodes:
        return {}
    last = entry.episodes[-1]
    if last.closed_at is None:
        state, at = (State.SNOOZED if entry.snoozed_until else State.OPEN), last.opened_at
    else:
        state, at = (State.ARCHIVED if entry.archived else State.CLOSED), last.closed_at
    return failures.attributes(
        Failure(
            entry.ref,
            state,
            at,
            errors=entry.errors[:MOST_PROBLEMS],
            marketplace_order_id=entry.marketplace_order_id,
            snoozed_until=entry.snoozed_until,
            archived=entry.archived,
            episodes=entry.episodes[-MOST_EPISODES:],
            report=entry.last_report_number,
        )
    )


def _expires_at(entry: Entry) -> int | None:
    if entry.has_open_failure or entry.recheck_at:
        return None
    # Without a report there is no number that must not begin anew.
    has_events_alone = entry.outcome in (None, OTHER_MARKETPLACE) and entry.report is None
    return int(time.time()) + (KEEP_NOTES_DAYS if has_events_alone else KEEP_CLOSED_DAYS) * _DAY


def _shown_item(error: Shown) -> Item:
    # The key stands where the former version has true. A member of its own would make the item corrupt to that version,
    # which reads what this one wrote when a deployment is rolled back.
    suggestion = error.suggested_key or error.has_suggestion
    return {"code": error.code, "invoice_number": error.invoice_number, "has_suggestion": suggestion}


def shown(item: Item) -> Shown:
    """Return the error that an item's member `errors` holds; KeyError or TypeError where it holds anything else."""
    suggestion = item["has_suggestion"]
    key = {"has_suggestion": True, "suggested_key": suggestion} if isinstance(suggestion, str) else {}
    return Shown(**{**item, **key})


def _report_item(report: Report) -> Item:
    return {
        "number": report.number,
        "type": report.type,
        "record": report.record,
        "alert": report.alert,
        "lease_until": _text(report.lease_until),
        "recorded": report.recorded,
        "alerted": report.alerted,
    }


def _numbers(items: Mapping[str, Item], names: Mapping[str, str], attribute: str) -> dict[str, float]:
    """Return a number of each small item by its name; one that is absent or corrupt is left out."""
    numbers: dict[str, float] = {}
    for key, name in names.items():
        with contextlib.suppress(KeyError, TypeError, ValueError):
            numbers[name] = float(items[key][attribute])
    return numbers


def _readable(ref: OrderRef, item: Item | None) -> Entry | None:
    try:
        return entry_of(ref, item)
    except (KeyError, TypeError, ValueError):
        return None


def entry_of(ref: OrderRef, item: Item | None) -> Entry:
    """Return the entry that an item holds."""
    if item is None:
        return Entry(ref)
    report, failure = item.get("report"), failures.failure_of(item) if "failure" in item else None
    claims = frozenset(item.get("claims", ()))
    return Entry(
        ref,
        version=int(item["version"]),
        first_seen_at=_moment(item.get("first_heard_at")),
        checked_at=_moment(item.get("checked_at")),
        outcome=item.get("outcome"),
        events=tuple(item.get("events", ())),
        errors_reported=item.get("errors_told"),
        errors=tuple(map(shown, item.get("errors", ()))),
        archived=item.get("set_aside"),
        archived_why=item.get("set_aside_why"),
        acts=tuple(item.get("acts", ())),
        opened_at=_moment(item.get("opened_at")),
        followed_from=_moment(item.get("followed_from")),
        recheck_at=_moment(item.get("recheck_at")),
        mended_at=_moment(item.get("mended_at")),
        snoozed_until=failure.snoozed_until if failure else None,
        marketplace_order_id=failure.marketplace_order_id if failure else None,
        episodes=failure.episodes if failure else (),
        is_in_digests=item.get("is_in_digests", False),
        claims=claims,
        claims_held=claims,
        report=report
        and Report(
            number=int(report["number"]),
            type=report["type"],
            record=report["record"],
            alert=report.get("alert"),
            lease_until=datetime.fromisoformat(report["lease_until"]),
            recorded=report["recorded"],
            alerted=report["alerted"],
        ),
    )


def _text(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
