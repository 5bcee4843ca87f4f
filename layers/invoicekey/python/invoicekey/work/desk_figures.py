"""The desk's figures as its page shows them: a few numbers, two charts, and everything as tables."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from validate_docbr import CNPJ, CPF

from invoicekey.ledger.failures import Issuer
from invoicekey.messages import charts, texts
from invoicekey.messages.pages import ChartShown, FiguresShown, TableShown
from invoicekey.messages.phrases import Words
from invoicekey.rules.verdict import Code
from invoicekey.work.figures import Figures, Share, Week

_MOST_ISSUERS = 20
"""So many are listed, those with the most failures; the others are one row."""
_CPF_LENGTH = 11


def shown(figures: Figures, language: str) -> FiguresShown:
    """Return what the page shows of them, in the reader's language."""
    return _Page(figures, Words(language)).shown()


class _Page:
    def __init__(self, figures: Figures, words: Words) -> None:
        self._figures = figures
        self._weeks = figures.weeks
        self._words = words
        self._days = [texts.day_and_month(week.monday, words.language) for week in self._weeks]

    def shown(self) -> FiguresShown:
        has_any = any(week.opened or week.closed or week.open_at_end for week in self._weeks)
        if not has_any:
            return FiguresShown()
        return FiguresShown(
            facts=self._facts(),
            charts=[self._opened_and_closed(), self._still_open()],
            tables=[self._mended(), self._by_problem(), self._by_issuer()],
        )

    def _facts(self) -> list[tuple[str, str]]:
        words, weeks = self._words, self._weeks
        suggested, rightly = sum(week.suggested for week in weeks), sum(week.suggested_rightly for week in weeks)
        facts = [
            (words.open_now, self._number(weeks[-1].open_at_end)),
            (words("opened_in_weeks", count=len(weeks)), self._number(sum(week.opened for week in weeks))),
            (words("mended_in_weeks", count=len(weeks)), self._number(sum(week.mended for week in weeks))),
            (words.time_to_mend, self._span(self._figures.time_to_mend)),
        ]
        if suggested:
            of_all = words("right_of", right=self._number(rightly), all=self._number(suggested))
            facts.append((words.suggested_rightly, of_all))
        return facts

    # ---- Charts

    def _opened_and_closed(self) -> ChartShown:
        words, last = self._words, self._weeks[-1]
        series = [
            (words.figure_opened, [week.opened for week in self._weeks]),
            (words.figure_closed, [week.closed for week in self._weeks]),
        ]
        headings = [
            words.figure_opened, words.figure_closed, words.of_these_mended, words.of_these_dismissed,
            words.of_these_expired, words.of_these_otherwise,
        ]  # fmt: skip
        return ChartShown(
            words.opened_and_closed,
            words("opened_and_closed_told", opened=last.opened, closed=last.closed),
            charts.bars(self._days, series),
            [name for name, _ in series],
            self._by_week(words.opened_and_closed, headings, self._ends),
        )

    def _still_open(self) -> ChartShown:
        words = self._words
        series = [(words.figure_open, [week.open_at_end for week in self._weeks])]
        return ChartShown(
            words.open_at_end,
            words("open_at_end_told", count=self._weeks[-1].open_at_end),
            charts.bars(self._days, series),
            [],
            self._by_week(words.open_at_end, [words.figure_open], lambda week: self._numbers(week.open_at_end)),
        )

    # ---- Tables

    def _by_week(
        self, caption: str, headings: Sequence[str], cells: Callable[[Week], Sequence[str]], hint: str = ""
    ) -> TableShown:
        """Return a table of the weeks, the current one first: it is what people look for."""
        days = [*self._days[:-1], self._words("week_so_far", day=self._days[-1])]
        rows = [(day, cells(week)) for day, week in zip(days, self._weeks, strict=True)]
        return TableShown(caption, [self._words.week_of, *headings], rows[::-1], hint)

    def _ends(self, week: Week) -> list[str]:
        return self._numbers(week.opened, week.closed, week.mended, week.dismissed, week.expired, week.otherwise)

    def _mended(self) -> TableShown:
        words = self._words
        headings = [words.figure_mended, words.time_to_mend, words.figure_suggested, words.figure_right]
        return self._by_week(words.mended_by_week, headings, self._mended_in, words.mended_by_week_hint)

    def _mended_in(self, week: Week) -> list[str]:
        return [
            self._number(week.mended),
            self._span(week.time_to_mend),
            *self._numbers(week.suggested, week.suggested_rightly),
        ]

    def _by_problem(self) -> TableShown:
        names = {self._problem(code): share for code, share in self._figures.problems.items()}
        return self._shares(self._words.by_problem, self._words.problem_heading, names, self._words.by_problem_hint)

    def _by_issuer(self) -> TableShown:
        rows = list(self._figures.issuers.items())
        names = {self._issuer(issuer): share for issuer, share in rows[:_MOST_ISSUERS]}
        if others := [share for _, share in rows[_MOST_ISSUERS:]]:
            names[self._words("other_issuers", count=len(others))] = _together(others)
        return self._shares(self._words.by_issuer, self._words.issuer_heading, names, self._words.by_issuer_hint)

    def _shares(self, caption: str, heading: str, shares: Mapping[str, Share], hint: str) -> TableShown:
        headings = [heading, self._words.figure_total, self._words.open_now, *reversed(self._days)]
        rows = [
            (name, self._numbers(sum(share.opened), share.still_open, *reversed(share.opened)))
            for name, share in shares.items()
        ]
        return TableShown(caption, headings, rows, hint)

    # ---- Words

    def _problem(self, code: str) -> str:
        try:
            return texts.PHRASES[Code(code)].tallied.to(self._words.language) or code
        except ValueError:  # a later version's
            return code

    def _issuer(self, issuer: Issuer | None) -> str:
        if issuer is None:
            return self._words.issuer_unknown
        mask = CPF().mask if len(issuer.tax_id) == _CPF_LENGTH else CNPJ().mask
        return self._words("issuer", tax_id=mask(issuer.tax_id), series=issuer.series)

    def _numbers(self, *numbers: int) -> list[str]:
        return [self._number(number) for number in numbers]

    def _number(self, number: int) -> str:
        told = f"{number:,}"
        return told if self._words.language == "en" else told.replace(",", ".")

    def _span(self, span: timedelta | None) -> str:
        return texts.duration(span, self._words.language) if span is not None else "–"


def _together(shares: Sequence[Share]) -> Share:
    weeks = zip(*(share.opened for share in shares), strict=True)
    return Share(tuple(map(sum, weeks)), sum(share.still_open for share in shares))
