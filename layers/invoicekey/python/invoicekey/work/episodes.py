"""A failure from its opening to its end, for the desk's lists and figures: kept with what opens and what ends it.

An episode is part of the order's item, so the write that opens or ends a failure is the one that keeps it: no message
that comes twice can count twice (docs/architecture/desk-figures.md).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from invoicekey.ledger.entries import Entry
from invoicekey.ledger.failures import Episode, Issuer, Shown
from invoicekey.messages import fields
from invoicekey.messages.fields import CloseReason
from invoicekey.rules import access_key
from invoicekey.rules.verdict import Problem, Verdict

_MOST_ISSUERS = 3
"""An order has invoices of one issuer, mostly; who has more of them than that learns no more from them."""


def is_under_way(entry: Entry) -> bool:
    """Say whether the last of an order's episodes has no end yet."""
    return bool(entry.episodes) and entry.episodes[-1].closed_at is None and entry.archived is None


def opened(entry: Entry, verdict: Verdict, at: datetime) -> Entry:
    """Return an entry whose failure is open: with an episode from `at` on, or with the one that is under way.

    `entry` still has the errors of before. An episode remembers every problem that it had.
    """
    last = _mended_in_part(entry, verdict) if is_under_way(entry) else Episode(at, codes=())
    codes = dict.fromkeys([*last.codes, *(error.code.value for error in verdict.errors)])
    issuers = _issuers(_likely_keys(verdict.errors)) or last.issuers
    return replace(entry, episodes=(*_ended(entry), replace(last, codes=tuple(codes), issuers=issuers)))


def kept(entry: Entry, at: datetime) -> Entry:
    """Return an entry with an open failure, and its episode: a version opened it, perhaps, that kept none."""
    if is_under_way(entry):
        return entry
    return replace(entry, episodes=(*_ended(entry), _as_far_as_known(entry, at)))


def closed(entry: Entry, before: Entry, reason: CloseReason, keys: Sequence[str], at: datetime) -> Entry:
    """Return an entry whose failure is closed; `before` has its errors, `keys` are those of its invoices by now.

    Of one that expired this is the end: it was not mended before.
    """
    return _end(entry, reopened(before), reason, at, keys)


def archived(entry: Entry, before: Entry, reason: str, at: datetime) -> Entry:
    """Return an entry whose failure is archived, `dismissed` or `expired`."""
    return _end(entry, before, reason, at)


def ended_unreported(entry: Entry, before: Entry, reason: str, keys: Sequence[str], at: datetime) -> Entry:
    """Return an entry without a failure: one whose dismissal was taken back, and that then was none any more."""
    if before.has_open_failure or not is_under_way(before):
        return entry
    return _end(replace(entry, errors=()), before, reason, at, keys)


def reopened(entry: Entry) -> Entry:
    """Return an entry whose archived failure is so no longer: it goes on, and the end of its episode is taken back."""
    *others, last = entry.episodes or (None,)
    if last and last.reason == entry.archived:
        last = replace(last, closed_at=None, reason=None)
    return replace(entry, archived=None, episodes=(*others, last) if last else ())


def _end(entry: Entry, before: Entry, reason: str, at: datetime, keys: Sequence[str] = ()) -> Entry:
    last = before.episodes[-1] if is_under_way(before) else _as_far_as_known(before, at)
    if reason == CloseReason.OK:
        last = _with_suggestions(replace(last, issuers=_issuers(keys) or last.issuers), before.errors, keys)
    return replace(entry, episodes=(*_ended(before), replace(last, closed_at=at, reason=str(reason))))


def _as_far_as_known(entry: Entry, at: datetime) -> Episode:
    """Return the episode of a failure that a version opened which kept none."""
    return Episode(entry.opened_at or at, codes=tuple(dict.fromkeys(error.code for error in entry.errors)))


def _ended(entry: Entry) -> tuple[Episode, ...]:
    return tuple(episode for episode in entry.episodes if episode.closed_at)


def _mended_in_part(entry: Entry, verdict: Verdict) -> Episode:
    """Return the episode under way, with what became of the keys suggested for invoices that have no error now."""
    failing = {fields.shown(error.invoice_number) for error in verdict.errors}
    mended = [error for error in entry.errors if error.invoice_number not in failing]
    return _with_suggestions(entry.episodes[-1], mended, verdict.own_keys)


def _with_suggestions(episode: Episode, mended: Iterable[Shown], keys: Iterable[str]) -> Episode:
    """Return an episode with the keys counted that were suggested for errors that are mended by `keys`.

    Two invoices for which one key was suggested got it rightly only if both have it.
    """
    suggested = Counter(key for error in mended if (key := error.suggested_key))
    rightly = suggested & Counter(keys)
    return replace(
        episode,
        suggested=episode.suggested + suggested.total(),
        suggested_rightly=episode.suggested_rightly + rightly.total(),
    )


def _likely_keys(errors: Iterable[Problem]) -> list[str]:
    """Return of each error the key that is suggested, or else the one that is there, if it looks like one."""
    keys = (error.suggestion.key if error.suggestion else error.key_as_it_came for error in errors)
    return [key.text for key in map(access_key.parse, keys) if key]


def _issuers(keys: Iterable[str]) -> tuple[Issuer, ...]:
    parsed = [key for key in map(access_key.parse, keys) if key]
    return tuple(dict.fromkeys(Issuer(key.tax_id, key.series) for key in parsed))[:_MOST_ISSUERS]
