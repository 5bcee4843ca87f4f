"""The desk: shows failures to whoever got a link by an alert, and does what they ask.

GET changes nothing: mail scanners fetch every link in an e-mail, and some run the scripts they find. What is asked is a
POST of a form on the page. What is no token of ours never reaches the ledger, and no token or path reaches a log.
"""

import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from http import HTTPStatus
from itertools import batched
from zoneinfo import ZoneInfo

from invoicekey.delivery.queues import Event, HookQueue
from invoicekey.ledger.entries import Entry, Ledger
from invoicekey.ledger.failures import FailureLists
from invoicekey.messages import pages
from invoicekey.messages.links import ExpiredToken, ForgedToken, Target
from invoicekey.messages.phrases import REASONS, Words
from invoicekey.rules.notification import OrderRef, own_event
from invoicekey.runtime import telemetry
from invoicekey.runtime.desk import DeskLinks
from invoicekey.runtime.errors import RetryLater
from invoicekey.runtime.telemetry import logger
from invoicekey.work import desk_list, desk_order
from invoicekey.work.acts import LONGEST_SNOOZE, ActResult, Acts
from invoicekey.work.desk_list import Filters, Lists, Tally

SOURCE = "desk"
"""Where the event comes from by which an order is checked."""
LONGEST_NOTE = 120
LONGEST_ACT = timedelta(seconds=10)
"""So long orders of a list are acted on, one after the other; it is said how many are left. Lambda ends after 15."""
CHECKED_AFTER = timedelta(seconds=1)
"""So long the event of a look stays hidden in the queue: what was asked is noted before the check reads the ledger."""
AT_ONCE = 40
"""So many orders the ledger reads in one request."""
ASKED_ALREADY = timedelta(seconds=60)
"""So long after somebody asked for a look, another one is not queued: it would find the same."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the HTTP API hands it on."""

    method: str
    token: str
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    form: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered."""

    status: HTTPStatus
    body: str = ""
    content_type: str = "text/html; charset=utf-8"
    location: str | None = None
    filename: str | None = None
    """Of what is to be kept as a file."""


class SenselessForm(Exception):
    """A form that no page of ours sends, or filters that none of them has."""


class NoneChosen(Exception):
    """A list's form in which no order is ticked."""


@dataclass(frozen=True, slots=True)
class Style:
    """How the shop wants its pages."""

    language: str
    timezone: str


class Desk:
    """Answers requests, each in the language of the account whose link it is."""

    def __init__(
        self,
        links: DeskLinks,
        of_account: "Callable[[str], AccountDesk]",
        language: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`language` is for who has no link of ours; `of_account` raises RetryLater."""
        self._links = links
        self._of_account = of_account
        self._words = Words(language)
        self._now = now

    def answer(self, request: Request) -> Answer:
        """Answer a request: 200, 303, or a page in plain words with 400, 403, 405, 409, 410, 500 or 503."""
        words = self._words
        try:
            target = self._links.read(request.token, self._now())
            desk = self._of_account(target.account)
            words = desk.words
            return desk.answer(target, request)
        except ForgedToken:
            return _refused(words, HTTPStatus.FORBIDDEN, "forged")
        except ExpiredToken:
            return _refused(words, HTTPStatus.GONE, "over")
        except SenselessForm:
            return _refused(words, HTTPStatus.BAD_REQUEST, "senseless", back=request.token)
        except NoneChosen:
            return _refused(words, HTTPStatus.BAD_REQUEST, "none_chosen", back=request.token)
        except RetryLater as trouble:
            logger.error("the desk could not answer", extra={"why": trouble.why})
            return _refused(words, HTTPStatus.SERVICE_UNAVAILABLE, "unavailable")
        except Exception as fault:  # noqa: BLE001 - somebody waits for an answer, and an alarm hears of it
            logger.error("the desk failed", extra=telemetry.type_and_place(fault))
            return _refused(words, HTTPStatus.INTERNAL_SERVER_ERROR, "failed")


class AccountDesk:
    """Answers who has a link of ours, as the account wants its pages."""

    def __init__(
        self,
        links: DeskLinks,
        ledger: Ledger,
        queue: Callable[[], HookQueue],
        acts: Acts,
        style: Style,
        *,
        lists: Lists,
        failures: FailureLists,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._links = links
        self._ledger = ledger
        self._make_queue = queue
        self._acts = acts
        self._style = style
        self._lists = lists
        self._failures = failures
        self.words = Words(style.language)
        self._now = now

    @cached_property
    def _queue(self) -> HookQueue:
        """Make it when it is first needed: opening a page needs none."""
        return self._make_queue()

    def answer(self, target: Target, request: Request) -> Answer:
        """Answer a request for what its link is for; raise SenselessForm, NoneChosen, RetryLater."""
        now = self._now()
        if request.method == "POST":
            return self._act(target, request, now)
        if request.method not in {"GET", "HEAD"}:
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED)
        telemetry.count("desk_opened")
        if target.order_id is None and request.query.get("view") == ["figures"]:
            return self._weeks(target.account, now)
        if target.order_id is None:
            return self._list(target, request, now)
        return self._order(OrderRef(target.account, target.order_id), request, now)

    # ---- What is shown

    def _order(self, ref: OrderRef, request: Request, now: datetime) -> Answer:
        entry = self._ledger.read_one(ref)
        done = next(iter(request.query.get("done", ())), "")
        page = desk_order.page(entry, self._style.language, self._style.timezone, now, done=done)
        return Answer(HTTPStatus.OK, pages.order_page(page, self.words))

    def _list(self, target: Target, request: Request, now: datetime) -> Answer:
        account, filters = target.account, _filters(request.query)
        if request.query.get("format") == ["csv"]:
            today = now.astimezone(ZoneInfo(self._style.timezone)).date()
            name = f"invoicekey-{account}-{filters.state}-{today}.csv"
            written = self._lists.csv(account, filters, now)
            return Answer(HTTPStatus.OK, written, "text/csv; charset=utf-8", filename=name)
        told = self._lists.told(next(iter(request.query.get("done", ())), ""), Tally.of(request.query))
        links = self._links.writer(now)
        page = self._lists.page(
            account,
            filters,
            now,
            # Relative to the list's own address: a page of fifty rows is to weigh little.
            link_to=lambda order_id: links.token(Target(account, order_id, target.until)),
            told=told,
        )
        return Answer(HTTPStatus.OK, pages.list_page(page, self.words))

    def _weeks(self, account: str, now: datetime) -> Answer:
        # Few answers need them, and they would cost every cold start 10 ms.
        from invoicekey.work import desk_figures, figures

        found = figures.WeeklyFigures(self._failures, self._style.timezone).of(account, now)
        shown = desk_figures.shown(found, self._style.language)
        return Answer(HTTPStatus.OK, pages.figures_page(account, shown, self.words))

    # ---- What is done

    def _act(self, target: Target, request: Request, now: datetime) -> Answer:
        act = _one(request.form, "act")
        if target.order_id is None:
            return self._act_on_list(act, target.account, request, now)
        match self._done(act, OrderRef(target.account, target.order_id), request.form, now):
            case ActResult.DONE | ActResult.UNSENT:
                return Answer(HTTPStatus.SEE_OTHER, location=f"{request.token}?done={act}")
            case ActResult.BUSY:
                return _refused(self.words, HTTPStatus.CONFLICT, "busy", back=request.token)
            case ActResult.NOT_OPEN | ActResult.CHANGED:
                return _refused(self.words, HTTPStatus.CONFLICT, "changed", back=request.token)

    def _act_on_list(self, act: str, account: str, request: Request, now: datetime) -> Answer:
        filters, chosen = _filters(request.query), self._chosen(account, request.form)
        if act == "check":
            tally = self._look_at_all([entry for entry, _ in chosen], now)
        else:
            tally = self._each(act, chosen, request.form, now)
        if not tally.done:
            return _refused(self.words, HTTPStatus.CONFLICT, "all_changed", back=request.token)
        return Answer(HTTPStatus.SEE_OTHER, location=request.token + tally.address(filters, act))

    def _chosen(self, account: str, form: Mapping[str, Sequence[str]]) -> list[tuple[Entry, str]]:
        """Return the orders that a list's form names as the ledger has them, each with the report that was seen."""
        try:
            chosen = desk_list.chosen(account, form)
        except ValueError:
            raise SenselessForm from None
        if not chosen:
            raise NoneChosen
        entries: dict[OrderRef, Entry] = {}
        for some in batched([ref for ref, _ in chosen], AT_ONCE, strict=False):
            entries |= self._ledger.read(some).entries
        if any(ref in entries and not entries[ref].version for ref, _ in chosen):
            raise SenselessForm  # another account's, or nobody's
        return [(entries[ref], seen) for ref, seen in chosen if ref in entries]

    def _each(
        self, act: str, chosen: Sequence[tuple[Entry, str]], form: Mapping[str, Sequence[str]], now: datetime
    ) -> Tally:
        """Do it to each for itself. Where nothing was done yet, trouble is RetryLater; later it leaves the rest."""
        results: list[ActResult] = []
        for entry, seen in chosen:
            if self._now() - now > LONGEST_ACT:
                break
            try:
                results.append(self._done(act, entry.ref, {**form, "seen": [seen]}, now))
            except RetryLater as trouble:
                if not _count_done(results):
                    raise
                logger.error("the desk left orders of a list as they are", extra={"why": trouble.why})
                break
        done = _count_done(results)
        return Tally(done, len(results) - done, len(chosen) - len(results))

    def _look_at_all(self, entries: Sequence[Entry], now: datetime) -> Tally:
        open_ones = [entry for entry in entries if desk_order.can_be_checked(entry)]
        to_ask = [one for one in open_ones if not desk_order.is_being_checked(one, now, within=ASKED_ALREADY)]
        events = {one.ref: Event(own_event(one.ref), str(uuid.uuid4()), SOURCE) for one in to_ask}
        taken = self._queue.send(list(events.values())) if events else []
        if events and not taken:
            raise RetryLater("the hook queue did not take the events")
        asked = [ref for ref, event in events.items() if event in taken]
        for ref in asked:
            if self._now() - now > LONGEST_ACT:
                break
            self._note_look(ref, now)
        telemetry.count("desk_act", len(asked))
        for ref in asked:
            logger.info("an act by link", extra={"account": ref.account, "order_id": ref.order_id, "act": "check"})
        left = len(events) - len(asked)
        return Tally(len(open_ones) - left, len(entries) - len(open_ones), left)

    def _done(self, act: str, ref: OrderRef, form: Mapping[str, Sequence[str]], now: datetime) -> ActResult:
        """Do what is asked of an order; that it is so already is as good: people click twice, and act side by side."""
        result = self._one_act(act, ref, form, now)
        if result in {ActResult.NOT_OPEN, ActResult.CHANGED}:
            return ActResult.DONE if desk_order.is_so_already(act, self._ledger.read_one(ref), now) else result
        if result is not ActResult.BUSY:
            telemetry.count("desk_act")
            logger.info("an act by link", extra={"account": ref.account, "order_id": ref.order_id, "act": act})
        return result

    def _one_act(self, act: str, ref: OrderRef, form: Mapping[str, Sequence[str]], now: datetime) -> ActResult:
        match act:
            case "check":
                return self._look_again(ref, now)
            case "dismiss":
                return self._dismiss(ref, form, now)
            case "snooze":
                return self._acts.snooze(ref, self._until(form, now), now, seen=_seen(form))
            case "undo":
                return self._undo(ref, now)
            case _:
                raise SenselessForm

    def _look_again(self, ref: OrderRef, now: datetime) -> ActResult:
        entry = self._ledger.read_one(ref)
        if not desk_order.can_be_checked(entry):
            return ActResult.NOT_OPEN
        if desk_order.is_being_checked(entry, now, within=ASKED_ALREADY):
            return ActResult.DONE
        self._queue_check(ref)
        self._note_look(ref, now)
        return ActResult.DONE

    def _note_look(self, ref: OrderRef, now: datetime) -> None:
        # The check is on its way, whatever comes of the note: a check under way may be writing the order just now.
        with suppress(RetryLater):
            self._acts.note(ref, desk_order.LOOK, now)

    def _queue_check(self, ref: OrderRef) -> None:
        if not self._queue.send([Event(own_event(ref), str(uuid.uuid4()), SOURCE)]):
            raise RetryLater("the hook queue did not take the event")

    def _dismiss(self, ref: OrderRef, form: Mapping[str, Sequence[str]], now: datetime) -> ActResult:
        reason, note = _few_words(form, "reason", default=REASONS[0]), _few_words(form, "note", default="")
        if not reason:
            raise SenselessForm
        said = self.words(f"reason_{reason}") if reason in REASONS else reason
        return self._acts.dismiss(ref, f"{said}: {note}" if note else said, now, seen=_seen(form))

    def _until(self, form: Mapping[str, Sequence[str]], now: datetime) -> datetime:
        """Return the beginning of the day that was chosen, by the shop's clocks."""
        zone = ZoneInfo(self._style.timezone)
        try:
            day = date.fromisoformat(_one(form, "until"))
        except ValueError:
            raise SenselessForm from None
        today = now.astimezone(zone).date()
        if not today < day <= today + LONGEST_SNOOZE:
            raise SenselessForm
        return datetime.combine(day, time.min, zone)

    def _undo(self, ref: OrderRef, now: datetime) -> ActResult:
        result = self._acts.wake(ref, now)
        if result is not ActResult.NOT_OPEN:
            return result
        result = self._acts.undismiss(ref, now)
        if result is ActResult.DONE:
            with suppress(RetryLater):  # it is due by now: the next re-check brings it
                self._queue_check(ref)
        return result


def _refused(words: Words, status: HTTPStatus, why: str, back: str = "") -> Answer:
    if status.is_server_error:
        telemetry.count("desk_failed")
    else:
        telemetry.count(f"desk_refused_{why}")
    return Answer(status, pages.notice(words, why, back=back))


def _filters(query: Mapping[str, Sequence[str]]) -> Filters:
    try:
        return Filters.of(query)
    except ValueError:
        raise SenselessForm from None


def _count_done(results: Iterable[ActResult]) -> int:
    return sum(result in {ActResult.DONE, ActResult.UNSENT} for result in results)


def _one(form: Mapping[str, Sequence[str]], name: str, default: str | None = None) -> str:
    values = form.get(name, [default] if default is not None else [])
    if len(values) != 1:
        raise SenselessForm
    return values[0]


def _few_words(form: Mapping[str, Sequence[str]], name: str, default: str) -> str:
    """Return a text that is kept as it is: one line, and not long."""
    text = " ".join(_one(form, name, default=default).split())
    if len(text) > LONGEST_NOTE or not text.isprintable():
        raise SenselessForm
    return text


def _seen(form: Mapping[str, Sequence[str]]) -> int | None:
    seen = _one(form, "seen", default="")
    if not re.fullmatch(r"[0-9]{0,9}", seen):
        raise SenselessForm
    return int(seen) if seen else None
