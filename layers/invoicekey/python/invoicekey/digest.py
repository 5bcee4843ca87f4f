"""Tells in one e-mail what was held back, and reminds of what is open; each account by itself, each once.

A digest is written down before it is sent, like a report: the alerts that it tells are taken up by its number, its
bytes are kept until they are sent, and only then are the alerts forgotten. A lease keeps an account to one run at a time.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from invoicekey import summary, telemetry
from invoicekey.alert import Alert, Style
from invoicekey.backlog import Backlog, FollowedOrder, HeldAlert
from invoicekey.errors import Conflict, TryAgainLater
from invoicekey.outlets import AlertTopic, alert_entry
from invoicekey.table import Table
from invoicekey.telemetry import logger
from invoicekey.verdict import Code

PARALLEL = 10
MONDAY = 0
DIGEST, REMINDER = "digest", "reminder"
_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Telling:
    """How far the digests, or the reminders, of an account have come; version 0 is an account without any yet."""

    account: str
    kind: str
    version: int = 0
    number: int = 0
    """Of the last one that was written down."""
    at: datetime | None = None
    """When that was."""
    occasion: str | None = None
    """The scheduled time that it was for: the scheduler may call twice for one."""
    alert: str | None = None
    """Its bytes, until they are sent."""
    lease_until: datetime | None = None


class Tellings:
    """Keeps them in the table; each write is on condition that it is as it was read."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def read(self, account: str, kind: str) -> Telling:
        """Read one."""
        key = f"told#{account}#{kind}"
        item = self._table.get([key]).get(key)
        if item is None:
            return Telling(account, kind)
        return Telling(
            account,
            kind,
            version=int(item["version"]),
            number=int(item["number"]),
            at=_moment(item.get("at")),
            occasion=item.get("occasion"),
            alert=item.get("alert"),
            lease_until=_moment(item.get("lease_until")),
        )

    def write(self, telling: Telling) -> Telling:
        """Write one; raise Conflict where another run has written it."""
        written = replace(telling, version=telling.version + 1)
        item = {
            "pk": f"told#{telling.account}#{telling.kind}",
            "version": written.version,
            "number": telling.number,
            "at": telling.at and telling.at.isoformat(),
            "occasion": telling.occasion,
            "alert": telling.alert,
            "lease_until": telling.lease_until and telling.lease_until.isoformat(),
        }
        condition = "version = :read" if telling.version else "attribute_not_exists(pk)"
        values = {"read": telling.version} if telling.version else {}
        self._table.put({name: value for name, value in item.items() if value is not None}, condition, **values)
        return written


class Digests:
    """Sends digests and reminders."""

    def __init__(self, backlog: Backlog, tellings: Tellings, topic: AlertTopic, style: Style, lease: timedelta) -> None:
        self._backlog = backlog
        self._tellings = tellings
        self._topic = topic
        self._style = style
        self._lease = lease

    def send_digests(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> int:
        """Tell what is held back; return how many digests went out."""
        held = self._backlog.held_back()
        for account in {*self._backlog.accounts(), *held}:
            self._by_itself(self._send_left_over, account, REMINDER, now())
        return sum(self._by_itself(self._send_digest, account, alerts, now()) for account, alerts in held.items())

    def send_reminders(
        self,
        accounts: Iterable[str] = (),
        occasion: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> int:
        """Remind of what is open, on Mondays also where nothing is; return how many reminders went out."""
        by_account: dict[str, list[FollowedOrder]] = {account: [] for account in (*accounts, *self._backlog.accounts())}
        for order in self._backlog.followed():
            by_account.setdefault(order.ref.account, []).append(order)
        return sum(
            self._by_itself(self._send_reminder, account, orders, occasion, now())
            for account, orders in by_account.items()
        )

    def _by_itself(self, send: Callable[..., bool], account: str, *arguments: object) -> bool:
        """Send for one account; its trouble is not the others'."""
        try:
            return send(account, *arguments)
        except Conflict:
            logger.info("another run has the account", extra={"account": account})
        except TryAgainLater as trouble:
            telemetry.count("digest_postponed")
            logger.warning("a digest is not told yet", extra={"account": account, "why": trouble.why})
        return False

    def _send_digest(self, account: str, held: Sequence[HeldAlert], now: datetime) -> bool:
        telling = self._begin(self._tellings.read(account, DIGEST), now)
        is_left_over = telling.alert is not None
        if telling.alert:
            telling = self._publish(telling)
        told = [alert for alert in held if alert.digest is not None and alert.digest <= telling.number]
        self._drop(told, telling.number)
        number = telling.number + 1
        taken_up = self._take_up([alert for alert in held if alert not in told], number)
        if not taken_up:
            self._tellings.write(replace(telling, lease_until=None))
            return is_left_over
        text = summary.digest(account, [_as_told(alert) for alert in taken_up], self._style)
        written = self._write_down(replace(telling, number=number, at=now), text)
        self._publish(written)
        self._drop(taken_up, number)
        return True

    def _send_reminder(
        self, account: str, orders: Sequence[FollowedOrder], occasion: str | None, now: datetime
    ) -> bool:
        before = self._tellings.read(account, REMINDER)
        is_told = occasion is not None and before.occasion == occasion and before.alert is None
        if is_told:
            return False
        telling = self._begin(before, now)
        if telling.alert:
            self._publish(telling)
            return True
        text = self._reminder(account, orders, telling.at, now)
        if text is None:
            self._tellings.write(replace(telling, lease_until=None))
            return False
        number = telling.number + 1
        self._publish(self._write_down(replace(telling, number=number, at=now, occasion=occasion), text))
        return True

    def _send_left_over(self, account: str, kind: str, now: datetime) -> bool:
        """Send what an earlier run wrote down, and could not send."""
        telling = self._tellings.read(account, kind)
        if telling.alert is None:
            return False
        self._publish(self._begin(telling, now))
        return True

    def _reminder(
        self, account: str, orders: Sequence[FollowedOrder], last_at: datetime | None, now: datetime
    ) -> Alert | None:
        failures = sorted((order for order in orders if order.is_open), key=lambda order: order.opened_at or now)
        if failures:
            opened = sum((order.opened_at or now) >= last_at for order in failures) if last_at else 0
            mended = self._mended(account, last_at) if last_at else 0
            return summary.reminder(
                account,
                [_as_listed(order) for order in failures],
                now=now,
                since_last=summary.SinceLast(last_at, opened, mended) if last_at else None,
                without_tracking=len(orders) - len(failures),
                style=self._style,
            )
        if now.astimezone(ZoneInfo(self._style.timezone)).weekday() != MONDAY:
            return None
        return summary.all_well(account, self._week(account, orders, now), self._style)

    def _mended(self, account: str, since: datetime) -> int:
        return sum(
            order.mended_at is not None and order.mended_at >= since for order in self._backlog.checked(account, since)
        )

    def _week(self, account: str, followed: Sequence[FollowedOrder], now: datetime) -> summary.Week:
        begin = now - _WEEK
        checked = list(self._backlog.checked(account, begin))
        moments = [order.checked_at for order in (*checked, *followed) if order.checked_at >= begin]
        mended = sum(order.mended_at is not None and order.mended_at >= begin for order in checked)
        return summary.Week(len(moments), mended, max(moments, default=None))

    def _begin(self, telling: Telling, now: datetime) -> Telling:
        """Take the account for this run; raise Conflict where another run has it."""
        if telling.lease_until and now < telling.lease_until:
            raise Conflict
        return self._tellings.write(replace(telling, lease_until=now + self._lease))

    def _write_down(self, telling: Telling, text: Alert) -> Telling:
        entry = alert_entry(text.subject, text.message(chat=self._style.chat), text.attributes)
        return self._tellings.write(replace(telling, alert=entry))

    def _publish(self, telling: Telling) -> Telling:
        """Send what was written down, and note it; who dies in between sends the same once more."""
        self._topic.publish(telling.alert or "")
        telemetry.count(f"{telling.kind}_published")
        return self._tellings.write(replace(telling, alert=None, lease_until=None))

    def _take_up(self, held: Sequence[HeldAlert], number: int) -> list[HeldAlert]:
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="digest") as pool:
            are_taken = pool.map(lambda alert: self._backlog.take_up(alert, number), held)
            return [alert for alert, is_taken in zip(held, are_taken, strict=True) if is_taken]

    def _drop(self, told: Sequence[HeldAlert], number: int) -> None:
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="digest") as pool:
            list(pool.map(lambda alert: self._backlog.drop(alert, alert.digest or number), told))


def _as_told(alert: HeldAlert) -> summary.Held:
    return summary.Held(alert.ref.order_id, alert.kind, tuple(map(Code, alert.codes)), alert.since)


def _as_listed(order: FollowedOrder) -> summary.OpenFailure:
    first = order.errors[0] if order.errors else None
    return summary.OpenFailure(
        order.ref.order_id,
        opened_at=order.opened_at or order.checked_at,
        checked_at=order.checked_at,
        code=Code(first.code) if first else Code.MISSING,
        invoice_number=first.invoice_number if first else None,
        has_suggestion=first.has_suggestion if first else False,
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
