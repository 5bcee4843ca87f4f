"""An account's list on the desk: what is open, snoozed, archived or resolved, narrowed by filters, as page or as CSV.

An account may have ten thousand open failures, and whoever looks for one waits a second at the most. So of each item
of the index that little is read by which it is left out, and the rest of it for what is shown alone.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from invoicekey.ledger.entries import DISMISSED
from invoicekey.ledger.failures import Failure, FailureLists, Glimpse, Shown, State, failure_of, glimpse_of
from invoicekey.ledger.lists import Backlog, readable
from invoicekey.ledger.table import Item
from invoicekey.messages import alert, sheet, texts
from invoicekey.messages.fields import CloseReason, order_url
from invoicekey.messages.pages import FaultShown, FiltersShown, ListPage, RowShown, TabShown
from invoicekey.messages.phrases import PHRASES, REASONS, Words
from invoicekey.rules.notification import OrderRef, is_order_id
from invoicekey.rules.verdict import NOT_ON_ITS_WAY, Code, Severity
from invoicekey.work.acts import LONGEST_SNOOZE

ON_A_PAGE = 50
MOST_ORDERS = 100
"""So many orders of a list at the most are acted on at once."""
CLOSED_WITHIN = timedelta(days=30)
LONGEST_CSV = 5_500_000
"""Bytes as JSON: Lambda answers six megabytes at the most."""
USUAL_SNOOZE = timedelta(days=3)
_LONGEST_SOUGHT = 80
_AGES = (1, 3, 7)
_PROBLEMS = [code for code in Code if code.severity is Severity.ERROR or code in NOT_ON_ITS_WAY]
"""The codes that can make an order failing; the last two by TrackingGraceHours alone."""
_MOST_FAULTS = 3
_ACTS: Mapping[State, tuple[str, ...]] = {
    State.OPEN: ("check", "dismiss", "snooze"),
    State.SNOOZED: ("check", "dismiss", "snooze", "undo"),
    State.ARCHIVED: ("undo",),
    State.CLOSED: (),
}
_READ: Mapping[State, tuple[State, ...]] = {
    State.OPEN: (State.OPEN, State.SNOOZED),
    State.SNOOZED: (State.SNOOZED,),
    State.ARCHIVED: (State.ARCHIVED,),
    State.CLOSED: (State.CLOSED,),
}
"""The index's lists that hold what is shown: a snoozed failure whose day has come is open."""
_APART = re.compile(r"[\W_]+")
_NUMBER = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed by."""

    state: State = State.OPEN
    problem: Code | None = None
    days: int = 0
    """It has stood in its list for more than so many."""
    with_key: bool = False
    """A key is suggested for one of its invoices."""
    sought: str = ""
    """A part of an order's id, of an invoice's number or of the marketplace's number."""
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, Sequence[str]]) -> "Filters":
        """Read them of an address: ValueError for a state, a problem or an age that there is not.

        What else stands there is left alone, and a page that is no number is the first.
        """
        given = {name: values[-1].strip() for name, values in query.items() if values}
        page, problem = given.get("page", ""), given.get("problem")
        return cls(
            State(given.get("state") or State.OPEN),
            Code(problem) if problem else None,
            _days(given.get("age", "")),
            given.get("key") == "1",
            given.get("q", "")[:_LONGEST_SOUGHT],
            max(1, int(page)) if _NUMBER.fullmatch(page) else 1,
        )

    @property
    def is_narrowed(self) -> bool:
        """Say whether any is set, besides the state."""
        return bool(self.problem or self.days or self.with_key or self.sought)

    def address(self, **changes: object) -> str:
        """Return the list's address with these filters, relative to the list's own; a change of None leaves one out."""
        values: dict[str, object] = {
            "state": self.state.value,
            "problem": self.problem and self.problem.value,
            "age": self.days,
            "key": "1" if self.with_key else "",
            "q": self.sought,
            "page": self.page if self.page > 1 else "",
        } | changes
        return f"?{urlencode({name: value for name, value in values.items() if value})}"


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of an act on several orders."""

    done: int = 0
    changed: int = 0
    """They changed meanwhile: nothing was done with them."""
    left: int = 0
    """They were not come to: the ledger was out of reach."""

    @classmethod
    def of(cls, query: Mapping[str, Sequence[str]]) -> "Tally":
        """Read it of the address that an act led to."""
        given = {name: "".join(query.get(written, ())) for name, written in _TALLIED.items()}
        return cls(**{name: int(text) for name, text in given.items() if _NUMBER.fullmatch(text)})

    def address(self, filters: Filters, act: str) -> str:
        """Return the list's address, relative to the list's own, that tells of the act."""
        counts = {_TALLIED[field.name]: getattr(self, field.name) for field in fields(self)}
        return filters.address(done=act, **counts)


_TALLIED = {"done": "n", "changed": "not", "left": "left"}


class Lists:
    """An account's lists."""

    def __init__(self, failures: FailureLists, backlog: Backlog, language: str, timezone: str) -> None:
        self._failures = failures
        self._backlog = backlog
        self._style = alert.Style(language=language, timezone=timezone)
        self._words = Words(language)

    def page(
        self, account: str, filters: Filters, now: datetime, link_to: Callable[[str], str], told: Sequence[str] = ()
    ) -> ListPage:
        """Make a page of a list; `link_to` gives the address of an order's own page, `told` is what was done."""
        found = list(self._found(account, filters, now))
        pages = max(1, -(-len(found) // ON_A_PAGE))
        page = min(filters.page, pages)
        first = (page - 1) * ON_A_PAGE
        shown = readable(found[first : first + ON_A_PAGE], failure_of, key=itemgetter("pk"))
        rows = [self._row(failure, filters.state, now, link_to) for failure in shown]
        today = now.astimezone(ZoneInfo(self._style.timezone)).date()
        return ListPage(
            account=account,
            tabs=self._tabs(account, filters, None if filters.is_narrowed else len(found), now),
            filters=self._filters(filters),
            rows=rows,
            range=self._range(filters.state, first, len(found)) if rows else "",
            none=self._words("none_like_that" if filters.is_narrowed else f"none_{filters.state}"),
            previous=filters.address(page=page - 1) if page > 1 else "",
            next=filters.address(page=page + 1) if page < pages else "",
            all_address=Filters(filters.state).address(),
            csv_address=filters.address(page=None, format="csv"),
            acts=_ACTS[filters.state],
            reasons=[(name, self._words(f"reason_{name}")) for name in REASONS],
            first_day=(today + timedelta(days=1)).isoformat(),
            last_day=(today + LONGEST_SNOOZE).isoformat(),
            usual_day=(today + USUAL_SNOOZE).isoformat(),
            done=told,
        )

    def csv(self, account: str, filters: Filters, now: datetime) -> str:
        """Write all that the filters leave, for spreadsheets, as `invoicekey failures --csv` does.

        What Lambda could not answer is cut off, and the last line says so.
        """
        found = readable(list(self._found(account, filters, now)), failure_of, key=itemgetter("pk"))
        is_open = filters.state in {State.OPEN, State.SNOOZED}
        readings = self._backlog.next_readings() if is_open else {}
        rows = (row for failure in found for row in self._sheet_rows(failure, filters.state, readings, now))
        lines = list(sheet.lines(tuple(sheet.HEADINGS), rows, self._style))
        left, fitting = LONGEST_CSV, 0
        for line in lines:
            left -= len(json.dumps(line))
            if left < 0:
                break
            fitting += 1
        cut = len(lines) - fitting
        told = [self._words("csv_cut", count=self._number(cut)) + "\n"] if cut else []
        return sheet.MARK + "".join([*lines[:fitting], *told])

    def told(self, act: str, tally: Tally) -> list[str]:
        """Say what came of an act; nothing where it is none of ours."""
        if f"done_list_{act}" not in PHRASES:
            return []
        counts = {"not_done": tally.changed, "not_tried": tally.left}
        done = [self._words(f"done_list_{act}", count=tally.done)] if tally.done else []
        lags = [self._words.list_lags] if tally.done and act != "check" else []
        return [*done, *(self._words(name, count=count) for name, count in counts.items() if count), *lags]

    # ---- What is read

    def _found(self, account: str, filters: Filters, now: datetime) -> Iterable[Item]:
        """Return what the filters leave: the oldest first of what is to be done, the newest first of what is over."""
        since = now - CLOSED_WITHIN if filters.state is State.CLOSED else None
        items = self._failures.items(account, _READ[filters.state], since)
        found = list(_left(items, filters, now))
        if filters.state is State.OPEN:
            return sorted(found, key=itemgetter("failures_at"))  # almost in order: two lists, each in order
        return found if filters.state is State.SNOOZED else reversed(found)

    def _tabs(self, account: str, filters: Filters, shown: int | None, now: datetime) -> list[TabShown]:
        """Count every list; `shown` is how many the current one holds, where that is known."""
        lists = self._failures
        snoozed = sum(_is_snoozed(item, now) for item in lists.items(account, [State.SNOOZED]))
        counts: dict[State, Callable[[], int]] = {
            State.OPEN: lambda: lists.count(account, State.OPEN) + lists.count(account, State.SNOOZED) - snoozed,
            State.SNOOZED: lambda: snoozed,
            State.ARCHIVED: lambda: lists.count(account, State.ARCHIVED),
            State.CLOSED: lambda: lists.count(account, State.CLOSED, now - CLOSED_WITHIN),
        }
        return [
            TabShown(
                self._words(f"tab_{state}"),
                self._number(shown if shown is not None and state is filters.state else count()),
                Filters(state).address(),
                state is filters.state,
            )
            for state, count in counts.items()
        ]

    # ---- What is shown

    def _row(self, failure: Failure, state: State, now: datetime, link_to: Callable[[str], str]) -> RowShown:
        words, language = self._words, self._style.language
        shown = failure.errors[:_MOST_FAULTS]
        faults = [self._fault(error) for error in shown]
        more = len(failure.errors) - len(shown)
        is_over = state in {State.ARCHIVED, State.CLOSED}
        return RowShown(
            order_id=failure.ref.order_id,
            address=link_to(failure.ref.order_id),
            marketplace_order_id=texts.plain(failure.marketplace_order_id, alert.LONGEST_ORDER_ID_SHOWN),
            age="" if is_over else words("open_for", age=texts.age(now - failure.at, language)),
            notes=list(self._notes(failure, state)),
            faults=faults or [FaultShown(words.was, self._named(code)) for code in _codes(failure)],
            more=texts.and_more(more, language) if more > 0 else "",
            can_act=bool(_ACTS[state]) and failure.archived in {None, DISMISSED},
            report=failure.report,
        )

    def _notes(self, failure: Failure, state: State) -> Iterator[str]:
        words, at = self._words, self._date(failure.at)
        if state in {State.OPEN, State.SNOOZED}:
            yield words("since", since=at)
        if state is State.SNOOZED and failure.snoozed_until:
            yield words("until", until=self._day(failure.snoozed_until))
        if state is State.ARCHIVED:
            yield words("was_dismissed" if failure.archived == DISMISSED else "was_expired", at=at)
        if state is State.CLOSED:
            phrase = f"closed_{failure.episodes[-1].reason}" if failure.episodes else ""
            yield words(phrase if phrase in PHRASES else "closed_otherwise", at=at)
        if any(episode.reason == CloseReason.OK for episode in failure.episodes[:-1]):
            yield words.again

    def _fault(self, error: Shown) -> FaultShown:
        number = texts.number_shown(error.invoice_number)
        return FaultShown(
            self._words("invoice_briefly", number=number) if number else "",
            self._named(error.code, begins=not number),
            error.suggested_key,
            has_suggestion=error.has_suggestion,
        )

    def _named(self, code: str, *, begins: bool = False) -> str:
        try:
            named = texts.PHRASES[Code(code)].tallied.to(self._style.language)
        except ValueError:  # another version's
            return code
        return named[:1].upper() + named[1:] if begins else named

    def _filters(self, filters: Filters) -> FiltersShown:
        days = [(str(n), self._words.one_day if n == 1 else self._words("days", count=n)) for n in _AGES]
        return FiltersShown(
            state=filters.state.value,
            problem=filters.problem.value if filters.problem else "",
            age=str(filters.days or ""),
            with_key=filters.with_key,
            sought=filters.sought,
            problems=[(code.value, self._named(code)) for code in _PROBLEMS],
            ages=days,
            is_narrowed=filters.is_narrowed,
        )

    def _range(self, state: State, first: int, total: int) -> str:
        numbers = {"first": first + 1, "last": min(first + ON_A_PAGE, total), "total": total}
        return self._words(
            "range_closed" if state is State.CLOSED else "range",
            **{name: self._number(number) for name, number in numbers.items()},
        )

    def _number(self, number: int) -> str:
        return f"{number:,}" if self._style.language == "en" else f"{number:,}".replace(",", ".")

    def _date(self, moment: datetime) -> str:
        return alert.local_date(moment, self._style)

    def _day(self, moment: datetime) -> str:
        return texts.day(texts.local(moment, self._style.timezone), self._style.language)

    def _sheet_rows(
        self, failure: Failure, state: State, readings: Mapping[OrderRef, datetime], now: datetime
    ) -> Iterator[dict[str, sheet.Cell]]:
        """Yield a row an error, as the command does."""
        is_over = state in {State.ARCHIVED, State.CLOSED}
        opened_at = failure.episodes[-1].opened_at if failure.episodes else failure.at
        for error in failure.errors or [Shown(code, None, has_suggestion=False) for code in _codes(failure)]:
            yield {
                "order": failure.ref.order_id,
                "marketplace_order": sheet.Exact(failure.marketplace_order_id),
                "account": failure.ref.account,
                "invoice": sheet.Exact(error.invoice_number),
                "problem": sheet.problem(error.code, error.invoice_number, self._style),
                "code": error.code,
                "suggested_key": sheet.Exact(error.suggested_key),
                "opened": opened_at,
                "days": ((failure.at if is_over else now) - opened_at) / timedelta(days=1),
                "next_reading": readings.get(failure.ref),
                "state": sheet.state(failure.archived or state.value, self._style),
                "snoozed_until": failure.snoozed_until if failure.is_snoozed(now) else None,
                "link": order_url(failure.ref.account, failure.ref.order_id),
            }


def chosen(account: str, form: Mapping[str, Sequence[str]]) -> list[tuple[OrderRef, str]]:
    """Return the orders that a form names, each with the number of the report that was seen: digits, or none.

    ValueError where one of them is no order's id, or there are more than MOST_ORDERS.
    """
    order_ids = list(dict.fromkeys(form.get("order", ())))
    seen = ["".join(form.get(f"seen.{order_id}", ())) for order_id in order_ids]
    if len(order_ids) > MOST_ORDERS or not all(map(is_order_id, order_ids)):
        raise ValueError(f"expected up to {MOST_ORDERS} ids of orders")
    if not all(_NUMBER.fullmatch(number or "0") for number in seen):
        raise ValueError("expected the numbers of reports")
    return [(OrderRef(account, order_id), number) for order_id, number in zip(order_ids, seen, strict=True)]


def _days(text: str) -> int:
    if not re.fullmatch(r"[0-9]{0,3}", text):
        raise ValueError("expected a number of days")
    return int(text or 0)


def _left(items: Iterable[Item], filters: Filters, now: datetime) -> Iterator[Item]:
    """Yield the items that the filters leave; by the time first, for that takes no reading."""
    latest = (now - timedelta(days=filters.days)).astimezone(UTC).isoformat() if filters.days else "~"
    in_time = (item for item in items if item["failures_at"] <= latest and _is_in(item, filters.state, now))
    if not (filters.problem or filters.with_key or filters.sought):
        yield from in_time
        return
    sought = _folded(filters.sought)
    glimpses = readable(in_time, lambda item: (item, glimpse_of(item)), key=itemgetter("pk"))
    yield from (item for item, glimpse in glimpses if _fits(item, glimpse, filters, sought))


def _fits(item: Item, glimpse: Glimpse, filters: Filters, sought: str) -> bool:
    """Say whether an order has the problem, a suggested key, and a number that is sought."""
    if filters.problem and filters.problem.value not in glimpse.codes:
        return False
    if filters.with_key and not glimpse.has_suggestion:
        return False
    numbers = (item["pk"].rpartition("#")[2], glimpse.marketplace_order_id or "", *glimpse.invoice_numbers)
    return not sought or any(sought in _folded(number) for number in numbers)


def _is_in(item: Item, state: State, now: datetime) -> bool:
    """Say whether an item belongs into a list: one that is snoozed is in either of two."""
    if not item["failures"].startswith(State.SNOOZED):
        return True
    return _is_snoozed(item, now) is (state is State.SNOOZED)


def _is_snoozed(item: Item, now: datetime) -> bool:
    return any(failure.is_snoozed(now) for failure in readable([item], failure_of, key=itemgetter("pk")))


def _codes(failure: Failure) -> tuple[str, ...]:
    return failure.episodes[-1].codes if failure.episodes else ()


def _folded(text: str) -> str:
    return _APART.sub("", text.casefold())
