"""An order's page on the desk, made of what the ledger holds: VTEX is not asked, and no person is in it."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from invoicekey.ledger.entries import DISMISSED, EXPIRED, Entry
from invoicekey.messages import alert, fields, texts
from invoicekey.messages.pages import MomentShown, OrderPage, ProblemShown
from invoicekey.messages.phrases import REASONS, Words
from invoicekey.rules.verdict import Code, Problem, Severity
from invoicekey.work import episodes
from invoicekey.work.acts import LONGEST_SNOOZE
from invoicekey.work.reported import order_as_reported, problems_as_reported

LOOK = "look asked for"
"""How an order's acts name that somebody asked for a look."""
USUAL_SNOOZE = timedelta(days=3)
WAITED_FOR = timedelta(minutes=2)
"""So long the page says that the order is being looked at."""
LATE = timedelta(seconds=45)
_ACT = re.compile(r"(look asked for|dismissed|snoozed|snooze ended|taken back) by (a person|link)(?:( until .+|: .*))?")


def page(entry: Entry, language: str, timezone: str, now: datetime, *, done: str = "") -> OrderPage:
    """Make the page of an order; `done` names the act that led here."""
    words, style = Words(language), alert.Style(language=language, timezone=timezone)
    order, problems = order_as_reported(entry), problems_as_reported(entry) if _is_failing(entry) else ()
    steps, caution = alert.guidance(entry.ref.account, order, problems, style) if problems else ([], "")
    today = now.astimezone(ZoneInfo(timezone)).date()
    asked_at = _asked_at(entry)
    is_checking = is_being_checked(entry, now)
    return OrderPage(
        account=entry.ref.account,
        order_id=entry.ref.order_id,
        marketplace_order_id=texts.plain(order.marketplace_order_id, alert.LONGEST_ORDER_ID_SHOWN),
        order_url=fields.order_url(entry.ref.account, entry.ref.order_id),
        kind=_kind(entry, now),
        state=_state(entry, words, style, now),
        checked_at=entry.checked_at.isoformat() if entry.checked_at else "",
        problems=[_problem(problem, entry, language) for problem in problems],
        is_in_order=entry.outcome == "ok",
        steps=steps,
        cautions=[caution] if caution else [],
        can_act=entry.has_open_failure,
        can_check=can_be_checked(entry),
        undo_hint=_undo_hint(entry, words, now),
        report=entry.last_report_number,
        reasons=[(name, words(f"reason_{name}")) for name in REASONS],
        first_day=(today + timedelta(days=1)).isoformat(),
        last_day=(today + LONGEST_SNOOZE).isoformat(),
        usual_day=(today + USUAL_SNOOZE).isoformat(),
        story=list(_story(entry, words, style)),
        is_checking=is_checking,
        is_late=is_checking and asked_at is not None and now - asked_at > LATE,
        done="" if is_checking else _done(done, entry, words, now),
    )


def can_be_checked(entry: Entry) -> bool:
    """Say whether a look at VTEX may bring news: also of one that is not followed any longer."""
    return entry.has_open_failure or entry.archived == EXPIRED


def _done(act: str, entry: Entry, words: Words, now: datetime) -> str:
    """Say what was done; nothing where the order does not stand so."""
    if not is_so_already(act, entry, now):
        return ""
    if act == "check":
        return words.done_check_failing if _is_failing(entry) else words.done_check
    return words(f"done_{act}")


def is_so_already(act: str, entry: Entry, now: datetime) -> bool:
    """Say whether an order stands as an act leaves it."""
    match act:
        case "check":
            asked_at = _asked_at(entry)
            return asked_at is not None and entry.checked_at is not None and asked_at < entry.checked_at
        case "dismiss":
            return entry.archived == DISMISSED
        case "snooze":
            return _kind(entry, now) == "snoozed"
        case "undo":
            return _kind(entry, now) == "open"
        case _:
            return False


def is_being_checked(entry: Entry, now: datetime, within: timedelta = WAITED_FOR) -> bool:
    """Say whether somebody asked for a look a moment ago, and it has not ended."""
    asked_at = _asked_at(entry)
    if asked_at is None or now - asked_at > within:
        return False
    is_looked_at = entry.checked_at is not None and entry.checked_at > asked_at
    return not is_looked_at or (entry.report is not None and not entry.report.is_delivered)


def _asked_at(entry: Entry) -> datetime | None:
    asked = [when for when, what in _acts(entry) if what.startswith((LOOK, "taken back"))]
    return asked[-1] if asked else None


def _acts(entry: Entry) -> Iterator[tuple[datetime, str]]:
    for kept in entry.acts:
        when, _, what = kept.partition(" ")
        try:
            yield datetime.fromisoformat(when), what
        except ValueError:
            continue


def _is_failing(entry: Entry) -> bool:
    return entry.has_open_failure or entry.archived is not None


def _kind(entry: Entry, now: datetime) -> str:
    if entry.archived:
        return entry.archived
    if entry.has_open_failure or episodes.is_under_way(entry):
        return "snoozed" if entry.snoozed_until and now < entry.snoozed_until else "open"
    return "closed" if entry.checked_at else "waiting"


def _state(entry: Entry, words: Words, style: alert.Style, now: datetime) -> str:
    match _kind(entry, now):
        case "open":
            return words("state_open", since=_date(_opened_at(entry), style))
        case "snoozed":
            return words("state_snoozed", until=_day(entry.snoozed_until, style))
        case "dismissed":
            return words("state_dismissed", since=_date(_archived_at(entry), style))
        case "expired":
            return words.state_expired
        case "closed":
            return words.state_closed if entry.outcome == "ok" else words.no_failure
        case _:
            return words.state_waiting


def _opened_at(entry: Entry) -> datetime | None:
    return entry.episodes[-1].opened_at if entry.episodes else entry.opened_at


def _day(moment: datetime | None, style: alert.Style) -> str:
    return texts.day(texts.local(moment, style.timezone), style.language) if moment else ""


def _archived_at(entry: Entry) -> datetime | None:
    return texts.moment((entry.archived_why or "").partition(" ")[0])


def _date(moment: datetime | None, style: alert.Style) -> str:
    return alert.local_date(moment, style) if moment else ""


def _problem(problem: Problem, entry: Entry, language: str) -> ProblemShown:
    suggestion = problem.suggestion
    return ProblemShown(
        message=texts.problem_message(problem, entry.ref.order_id, language),
        invoice_number=texts.number_shown(problem.invoice_number),
        invoice_key=fields.shown(problem.key_as_it_came),
        shows_key=problem.code is not Code.NO_INVOICE,
        is_warning=problem.severity is Severity.WARNING,
        suggested_key=suggestion.key if suggestion else None,
        found=texts.FOUND[suggestion.source].to(language) if suggestion else "",
    )


def _undo_hint(entry: Entry, words: Words, now: datetime) -> str:
    if entry.archived == DISMISSED:
        return words.undo_dismiss_hint
    return words.undo_snooze_hint if _kind(entry, now) == "snoozed" else ""


def _story(entry: Entry, words: Words, style: alert.Style) -> Iterator[MomentShown]:
    """Yield what happened, the newest first."""
    told: list[tuple[datetime, str]] = []
    if entry.first_seen_at:
        told.append((entry.first_seen_at, words.first_seen))
    for episode in entry.episodes:
        told.append((episode.opened_at, words.opened))
        if episode.closed_at and episode.reason not in {DISMISSED, EXPIRED}:
            is_mended = episode.reason == fields.CloseReason.OK
            told.append((episode.closed_at, words.closed if is_mended else words.ended))
    if entry.checked_at:
        told.append((entry.checked_at, words.checked))
    told += [(when, _act_told(what, words, style)) for when, what in _acts(entry)]
    for when, what in sorted(told, key=lambda moment: moment[0], reverse=True):
        yield MomentShown(_date(when, style), what)


def _act_told(what: str, words: Words, style: alert.Style) -> str:
    known = _ACT.fullmatch(what)
    if not known:
        return what
    act, by, more = known[1], words.by_a_link if known[2] == "link" else words.by_a_command, known[3] or ""
    match act:
        case "dismissed":
            return words("dismissed_by", by=by) + more
        case "snoozed":
            return words("snoozed_by", by=by, until=_day(datetime.fromisoformat(more.removeprefix(" until ")), style))
        case "snooze ended" | "taken back":
            return words("undone_by", by=by)
        case _:
            return words.asked_by_link
