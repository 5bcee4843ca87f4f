"""A failure from its opening to its end, for the desk's lists and figures: kept with what opens and what ends it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from invoicekey.ledger.entries import EXPIRED, Entry
from invoicekey.ledger.failures import Episode, Issuer
from invoicekey.messages.fields import CloseReason
from invoicekey.rules import access_key
from invoicekey.rules.verdict import Problem, Verdict

_MOST_ISSUERS = 3
"""An order has invoices of one issuer, mostly; who has more of them than that learns no more from them."""


def is_under_way(entry: Entry) -> bool:
    """Say whether the last of an order's episodes has no end yet."""
    return bool(entry.episodes) and entry.episodes[-1].closed_at is None and entry.archived is None


def opened(entry: Entry, verdict: Verdict, at: datetime) -> Entry:
    """Return an entry whose failure is open: with a new episode, or with the one that is under way as it is by now."""
    episode = Episode(
        entry.episodes[-1].opened_at if is_under_way(entry) else at,
        codes=tuple(dict.fromkeys(error.code.value for error in verdict.errors)),
        issuers=_issuers(_likely_keys(verdict.errors)),
        suggested=sum(error.suggestion is not None for error in verdict.errors),
    )
    return replace(entry, episodes=(*_ended(entry), episode))


def closed(entry: Entry, before: Entry, reason: CloseReason, keys: Sequence[str], at: datetime) -> Entry:
    """Return an entry whose failure is closed; `before` has its errors, `keys` are those of its invoices by now.

    One that expired had its end then.
    """
    if not is_under_way(before) and before.archived == EXPIRED:
        return entry
    rightly = sum(error.suggested_key in keys for error in before.errors if error.suggested_key)
    return _end(entry, before, reason, at, rightly=rightly, issuers=_issuers(keys))


def archived(entry: Entry, before: Entry, reason: str, at: datetime) -> Entry:
    """Return an entry whose failure is archived, `dismissed` or `expired`."""
    return _end(entry, before, reason, at)


def ended_unreported(entry: Entry, verdict: Verdict, at: datetime) -> Entry:
    """Return an entry without an open failure: a dismissal of it was taken back, and the check found it in order."""
    if entry.has_open_failure or not is_under_way(entry):
        return entry
    return _end(entry, entry, verdict.outcome.value, at, issuers=_issuers(key for _, key in verdict.keys))


def reopened(entry: Entry) -> Entry:
    """Return an entry whose last episode goes on: its end is taken back."""
    if not entry.episodes:
        return entry
    *others, last = entry.episodes
    return replace(entry, episodes=(*others, replace(last, closed_at=None, reason=None)))


def _end(
    entry: Entry, before: Entry, reason: str, at: datetime, *, rightly: int = 0, issuers: tuple[Issuer, ...] = ()
) -> Entry:
    last = before.episodes[-1] if is_under_way(before) else _as_far_as_known(before, at)
    ended = replace(last, closed_at=at, reason=reason, suggested_rightly=rightly, issuers=issuers or last.issuers)
    return replace(entry, episodes=(*_ended(before), ended))


def _as_far_as_known(entry: Entry, at: datetime) -> Episode:
    """Return the episode of a failure that a version opened which kept none."""
    return Episode(
        entry.opened_at or at,
        codes=tuple(dict.fromkeys(error.code for error in entry.errors)),
        suggested=sum(error.has_suggestion for error in entry.errors),
    )


def _ended(entry: Entry) -> tuple[Episode, ...]:
    return tuple(episode for episode in entry.episodes if episode.closed_at)


def _likely_keys(errors: Iterable[Problem]) -> list[str]:
    """Return of each error the key that is there, where it looks like one, or else the one that is suggested."""
    keys = []
    for error in errors:
        if key := access_key.parse(error.key_as_it_came):
            keys.append(key.text)
        elif error.suggestion:
            keys.append(error.suggestion.key)
    return keys


def _issuers(keys: Iterable[str]) -> tuple[Issuer, ...]:
    parsed = [key for key in map(access_key.parse, keys) if key]
    return tuple(dict.fromkeys(Issuer(key.tax_id, key.series) for key in parsed))[:_MOST_ISSUERS]
