"""How many failures there were, week by week: made of the episodes that the orders' items remember.

No counter is kept, so none can be wrong: docs/architecture/desk-figures.md.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from operator import itemgetter
from zoneinfo import ZoneInfo

from invoicekey.ledger.entries import DISMISSED, EXPIRED
from invoicekey.ledger.failures import Episode, Failure, FailureLists, Issuer, State, failure_of
from invoicekey.ledger.lists import readable
from invoicekey.messages.fields import CloseReason

WEEKS = 12
"""So many are shown, with the one that has not ended."""
_WEEK = timedelta(days=7)
_BEFORE = -1
_STILL_OPEN, _ENDED = (State.OPEN, State.SNOOZED), (State.ARCHIVED, State.CLOSED)


@dataclass(frozen=True, slots=True)
class Week:
    """What happened between a Monday and the next, by the shop's clocks."""

    monday: date
    opened: int = 0
    mended: int = 0
    dismissed: int = 0
    expired: int = 0
    """Not mended since, either: one that is has its end then."""
    otherwise: int = 0
    """The order was canceled, returned, or is invoiced no longer."""
    open_at_end: int = 0
    """Open when the week ended; of the current week, now."""
    time_to_mend: timedelta | None = None
    """The median of those mended in it; None where none was."""
    suggested: int = 0
    """For so many of the invoices mended in it a key had been suggested."""
    suggested_rightly: int = 0
    """So many of them got that very key."""

    @property
    def closed(self) -> int:
        """Return how many came to an end, whatever it was."""
        return self.mended + self.dismissed + self.expired + self.otherwise


@dataclass(frozen=True, slots=True)
class Share:
    """The failures of a problem, or of an issuer."""

    opened: tuple[int, ...]
    """Week by week."""
    still_open: int


@dataclass(frozen=True, slots=True)
class Figures:
    """The last weeks, the oldest first. A failure of several problems or issuers is counted with each of them."""

    weeks: tuple[Week, ...]
    time_to_mend: timedelta | None
    """The median of all that were mended in these weeks."""
    problems: dict[str, Share]
    """By code, the most frequent one first."""
    issuers: dict[Issuer | None, Share]
    """Those with the most failures first; None has the failures of which no key tells the issuer."""


class WeeklyFigures:
    """Makes them of an account's lists."""

    def __init__(self, lists: FailureLists, timezone: str) -> None:
        self._lists = lists
        self._zone = ZoneInfo(timezone)

    def of(self, account: str, now: datetime, weeks: int = WEEKS) -> Figures:
        """Return the figures of the last weeks, the current one with them."""
        begin = _Calendar(now, weeks, self._zone).begins[0]
        # An order whose failure ends between two readings is in both lists: what is read last is newer.
        failures = {failure.ref: failure for failure in self._failures(account, begin)}
        return figures(failures.values(), now, self._zone, weeks)

    def _failures(self, account: str, since: datetime) -> Iterator[Failure]:
        # Whose last failure ended before has none that reaches into these weeks.
        for states, begin in ((_STILL_OPEN, None), (_ENDED, since)):
            yield from readable(self._lists.items(account, states, begin), failure_of, key=itemgetter("pk"))


def figures(failures: Iterable[Failure], now: datetime, zone: ZoneInfo, weeks: int = WEEKS) -> Figures:
    """Count the episodes of failures, by ISO weeks on the clocks of a zone."""
    calendar = _Calendar(now, weeks, zone)
    opened, closed = defaultdict[int, list[Episode]](list), defaultdict[int, list[Episode]](list)
    episodes = [episode for failure in failures for episode in failure.episodes if calendar.is_reached_by(episode)]
    for episode in episodes:
        opened[calendar.week_of(episode.opened_at)].append(episode)
        if episode.closed_at:
            closed[calendar.week_of(episode.closed_at)].append(episode)
    found, still_open = [], len(opened[_BEFORE])
    for number, monday in enumerate(calendar.mondays):
        still_open += len(opened[number]) - len(closed[number])
        found.append(_week(monday, len(opened[number]), closed[number], still_open))
    return Figures(
        tuple(found),
        _time_to_mend(episodes),
        _shares(episodes, calendar, lambda episode: episode.codes),
        _shares(episodes, calendar, lambda episode: episode.issuers or (None,)),
    )


class _Calendar:
    """The last weeks: when each begins."""

    def __init__(self, now: datetime, weeks: int, zone: ZoneInfo) -> None:
        today = now.astimezone(zone).date()
        this_monday = today - timedelta(days=today.weekday())
        self.mondays = [this_monday - _WEEK * ago for ago in reversed(range(weeks))]
        self.begins = [datetime.combine(monday, time.min, zone).astimezone(UTC) for monday in self.mondays]

    def week_of(self, moment: datetime) -> int:
        """Return which week a moment is in, _BEFORE where it was before them all."""
        return bisect_right(self.begins, moment) - 1

    def is_reached_by(self, episode: Episode) -> bool:
        """Say whether an episode had not ended when the weeks began."""
        return episode.closed_at is None or self.week_of(episode.closed_at) != _BEFORE


def _week(monday: date, opened: int, closed: Sequence[Episode], still_open: int) -> Week:
    ends = Counter(episode.reason for episode in closed)
    mended = [episode for episode in closed if episode.reason == CloseReason.OK]
    return Week(
        monday,
        opened,
        mended=len(mended),
        dismissed=ends[DISMISSED],
        expired=ends[EXPIRED],
        otherwise=len(closed) - len(mended) - ends[DISMISSED] - ends[EXPIRED],
        open_at_end=still_open,
        time_to_mend=_time_to_mend(mended),
        suggested=sum(episode.suggested for episode in mended),
        suggested_rightly=sum(episode.suggested_rightly for episode in mended),
    )


def _time_to_mend(episodes: Iterable[Episode]) -> timedelta | None:
    from statistics import median  # costs the desk's first answer 5 ms, and most answers have no figures

    mended = (episode for episode in episodes if episode.reason == CloseReason.OK)
    seconds = [(one.closed_at - one.opened_at).total_seconds() for one in mended if one.closed_at]
    return timedelta(seconds=median(seconds)) if seconds else None


def _shares[T](
    episodes: Iterable[Episode], calendar: _Calendar, names: Callable[[Episode], Sequence[T]]
) -> dict[T, Share]:
    named = defaultdict[T, list[Episode]](list)
    for episode in episodes:
        for name in names(episode):
            named[name].append(episode)
    shares = {name: _share(of_it, calendar) for name, of_it in named.items()}
    return dict(sorted(shares.items(), key=lambda share: (-sum(share[1].opened), -share[1].still_open, str(share[0]))))


def _share(episodes: Sequence[Episode], calendar: _Calendar) -> Share:
    weeks = Counter(calendar.week_of(episode.opened_at) for episode in episodes)
    still_open = sum(episode.closed_at is None for episode in episodes)
    return Share(tuple(weeks[number] for number in range(len(calendar.mondays))), still_open)
