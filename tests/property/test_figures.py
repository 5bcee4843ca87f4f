"""Figures: whatever happens to orders, twice and beside each other, they are what a straightforward count says.

The count keeps a failure a line, and hears of each happening once. The product hears of some twice, loses answers, and
meets other environments that write the same order at the same moment.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from invoicekey.ledger.failures import FailureLists
from invoicekey.ledger.schedule import FOLLOWED_FOR
from invoicekey.rules.notification import OrderRef
from invoicekey.runtime.errors import RetryLater
from invoicekey.work.acts import ActResult, Acts
from invoicekey.work.figures import WEEKS, WeeklyFigures
from tests.fake_dynamodb import LOST_ANSWERS
from tests.fakes_outside import ACCOUNT, LEASE, Outside
from tests.keys import make_key
from tests.orders import KEY, cnova_order, sale

ORDERS = ("VVJ-1-01", "VVJ-2-01")
OWN = dict(zip(ORDERS, (KEY, make_key(tax_id="11222333000181", month=3, number=643797, code=7)), strict=True))
OTHER = dict(zip(ORDERS, (make_key(month=3, number=643797, code=n) for n in (8, 9)), strict=True))
FAILING = {"no key": "missing", "short key": "malformed", "key with a prefix": "malformed"}
"""With the last one, the order's own key is suggested."""
ENDS = {"good": "ok", "good otherwise": "ok", "canceled": "canceled", "unknown": "not_found"}
NOT_FINE = ("open", "dismissed", "expired", "taken back")
ZONE = "America/Sao_Paulo"
HITCHES = ["", "", "twice", "beside another", "answer lost"]
one_of = st.sampled_from


def document(order_id: str, state: str) -> dict[str, Any]:
    keys = {"no key": None, "short key": OWN[order_id][:-1], "key with a prefix": f"NFe{OWN[order_id]}"}
    key = keys.get(state, OTHER[order_id] if state == "good otherwise" else OWN[order_id])
    return cnova_order(sale(key=key), orderId=order_id, status="canceled" if state == "canceled" else "invoiced")


@dataclass
class Line:
    """A failure."""

    opened_at: datetime
    problems: set[str]
    closed_at: datetime | None = None
    reason: str | None = None
    suggested: bool = False
    rightly: bool = False


@dataclass
class Order:
    """What is known of an order that is counted."""

    lines: list[Line] = field(default_factory=list)
    stands: str = "fine"
    """Or `open`, `dismissed`, `expired`, `taken back`."""
    state: str = ""
    """As it was when it was last found failing."""
    reported_at: datetime | None = None

    def is_checked(self, state: str, now: datetime) -> None:
        """Count what a check finds."""
        match self.stands, state in FAILING:
            case "open", True if state == self.state:
                if self.reported_at and now >= self.reported_at + FOLLOWED_FOR:
                    self.end("expired", now, stands="expired")
            case "dismissed" | "expired", True if state == self.state:
                pass
            case "open" | "taken back", True:
                self.lines[-1].problems.add(FAILING[state])
                self.stands, self.state, self.reported_at = "open", state, now
            case _, True:
                self.lines.append(Line(now, {FAILING[state]}))
                self.stands, self.state, self.reported_at = "open", state, now
            case "open" | "expired" | "taken back", False:
                self.end(ENDS[state], now)
                had_suggestion = ENDS[state] == "ok" and self.state == "key with a prefix"
                self.lines[-1].suggested = had_suggestion
                self.lines[-1].rightly = had_suggestion and state == "good"
            case "dismissed", False if ENDS[state] == "ok":
                self.stands = "fine"

    def end(self, reason: str, now: datetime, stands: str = "fine") -> None:
        """End the last failure."""
        self.lines[-1].closed_at, self.lines[-1].reason, self.stands = now, reason, stands

    def is_dismissed(self, now: datetime) -> None:
        """Count a dismissal."""
        if self.stands == "open":
            self.end("dismissed", now, stands="dismissed")

    def is_taken_back(self, now: datetime) -> None:
        """Take a dismissal back."""
        if self.stands == "dismissed":
            self.lines[-1].closed_at = self.lines[-1].reason = None
            self.stands, self.reported_at = "taken back", now


class Figures(RuleBasedStateMachine):
    """Orders change and are checked, people act, time passes; each with a hitch now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.outside = Outside()
        self.acts = Acts(self.outside.ledger, self.outside.outlets, LEASE, "pt-BR")
        self.figures = WeeklyFigures(FailureLists(self.outside.ledger.dynamodb.table), ZONE)
        self.orders = {order_id: Order() for order_id in ORDERS}
        self.states = dict.fromkeys(ORDERS, "good")
        for order_id in ORDERS:
            self.outside.vtex.put(document(order_id, "good"))

    @rule(order_id=one_of(ORDERS), state=one_of([*FAILING]), hitch=one_of(HITCHES))
    def an_order_fails(self, order_id: str, state: str, hitch: str) -> None:
        self._change(order_id, state, hitch)

    @precondition(lambda self: self._standing(*NOT_FINE))
    @rule(state=one_of([*ENDS]), hitch=one_of(HITCHES), which=st.integers(0, 1))
    def an_order_fails_no_longer(self, state: str, hitch: str, which: int) -> None:
        standing = self._standing(*NOT_FINE)
        self._change(standing[which % len(standing)], state, hitch)

    @precondition(lambda self: self._standing(*NOT_FINE))
    @rule(hitch=one_of(HITCHES), which=st.integers(0, 1))
    def one_is_checked_again(self, hitch: str, which: int) -> None:
        standing = self._standing(*NOT_FINE)
        self._is_checked(standing[which % len(standing)], hitch)

    @precondition(lambda self: self._standing("open"))
    @rule(hitch=one_of(HITCHES))
    def one_is_dismissed(self, hitch: str) -> None:
        (order_id, *_) = self._standing("open")
        now = self._act(order_id, "dismiss", hitch)
        self.orders[order_id].is_dismissed(now)

    @precondition(lambda self: self._standing("dismissed"))
    @rule(hitch=one_of(HITCHES), is_checked=st.booleans())
    def a_dismissal_is_taken_back(self, hitch: str, *, is_checked: bool) -> None:
        (order_id, *_) = self._standing("dismissed")
        now = self._act(order_id, "undismiss", hitch)
        self.orders[order_id].is_taken_back(now)
        if is_checked:
            self._is_checked(order_id, "")

    @precondition(lambda self: self._standing("open"))
    @rule(hitch=one_of(HITCHES))
    def one_is_snoozed(self, hitch: str) -> None:
        self._act(self._standing("open")[0], "snooze", hitch)

    @rule(hours=st.integers(1, 24 * 9))
    def time_passes(self, hours: int) -> None:
        self.outside.time.advance(timedelta(hours=hours))

    @precondition(lambda self: self._standing("open"))
    @rule()
    def one_is_not_mended_in_time(self) -> None:
        self.outside.time.advance(FOLLOWED_FOR)
        self._is_checked(self._standing("open")[0], "")

    @invariant()
    def the_figures_are_what_was_counted(self) -> None:
        figures = self.figures.of(ACCOUNT, self.outside.time.now)
        lines = [line for order in self.orders.values() for line in order.lines]
        assert len(figures.weeks) == WEEKS
        for week in figures.weeks:
            assert week.open_at_end == sum(_is_open_after(line, week.monday + timedelta(6)) for line in lines)
            assert week.opened == sum(_is_in(line.opened_at, week.monday) for line in lines)
            closed = [line for line in lines if line.closed_at and _is_in(line.closed_at, week.monday)]
            ends = [line.reason for line in closed]
            assert (week.mended, week.dismissed) == (ends.count("ok"), ends.count("dismissed"))
            assert (week.expired, week.closed) == (ends.count("expired"), len(closed))
            assert week.suggested == sum(line.suggested for line in closed)
            assert week.suggested_rightly == sum(line.rightly for line in closed)
            times = [line.closed_at - line.opened_at for line in closed if line.closed_at and line.reason == "ok"]
            assert week.time_to_mend == (median(times) if times else None)  # type: ignore[type-var]
        for code in set(FAILING.values()):
            opened = sum(
                code in line.problems and any(_is_in(line.opened_at, week.monday) for week in figures.weeks)
                for line in lines
            )
            share = figures.problems.get(code)
            assert (sum(share.opened) if share else 0) == opened

    def _standing(self, *stands: str) -> list[str]:
        return [order_id for order_id, order in self.orders.items() if order.stands in stands]

    def _change(self, order_id: str, state: str, hitch: str) -> None:
        self.outside.vtex.documents.pop(OrderRef(ACCOUNT, order_id), None)
        if state != "unknown":
            self.outside.vtex.put(document(order_id, state))
        self.states[order_id] = state
        self._is_checked(order_id, hitch)

    def _is_checked(self, order_id: str, hitch: str) -> None:
        self._prepare(order_id, hitch)
        now = self.outside.time.now
        for _ in range(2 if hitch == "twice" else 1):
            self._check(order_id)
        self.orders[order_id].is_checked(self.states[order_id], now)

    def _prepare(self, order_id: str, hitch: str) -> None:
        self.outside.steps.forget_plans()
        if hitch == "beside another":
            self.outside.steps.before("write", lambda: self._check(order_id), about=order_id)
        if hitch == "answer lost":
            self.outside.ledger.dynamodb.lose_answer(LOST_ANSWERS[0])

    def _check(self, order_id: str) -> None:
        """Let the message about an order come until it needs no more, as SQS does."""
        message = self.outside.message(order_id)
        began = self.outside.time.now
        while self.outside.environment().check([message], self.outside.time.clock()):
            self.outside.time.advance(LEASE)
            assert self.outside.time.now < began + timedelta(hours=1)
            message = replace(message, receive_count=message.receive_count + 1)

    def _act(self, order_id: str, act: str, hitch: str) -> datetime:
        """Let somebody act, who clicks again where no answer came; return when it was."""
        if hitch == "beside another":
            self.orders[order_id].is_checked(self.states[order_id], self.outside.time.now)
        self._prepare(order_id, hitch)
        ref, now = OrderRef(ACCOUNT, order_id), self.outside.time.now
        todo: dict[str, Callable[[], ActResult]] = {
            "dismiss": lambda: self.acts.dismiss(ref, "portal", now),
            "undismiss": lambda: self.acts.undismiss(ref, now),
            "snooze": lambda: self.acts.snooze(ref, now + timedelta(3), now),
        }
        for _ in range(2 if hitch in {"twice", "answer lost"} else 1):
            with suppress(RetryLater):
                assert todo[act]() in {ActResult.DONE, ActResult.NOT_OPEN}
        self.outside.steps.forget_plans()
        self.outside.time.advance(LEASE)
        return now


def _local(moment: datetime) -> date:
    return moment.astimezone(ZoneInfo(ZONE)).date()


def _is_in(moment: datetime, monday: date) -> bool:
    return monday <= _local(moment) < monday + timedelta(7)


def _is_open_after(line: Line, sunday: date) -> bool:
    return _local(line.opened_at) <= sunday and (line.closed_at is None or _local(line.closed_at) > sunday)


TestFigures = Figures.TestCase
TestFigures.settings = settings(max_examples=60, stateful_step_count=25)
