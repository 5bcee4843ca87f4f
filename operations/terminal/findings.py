"""What a look at a deployment comes to: findings, each with a tick or what to do, for a terminal, a pipe or JSON.

Findings in words never hold a secret, nor anything about a customer.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from invoicekey.runtime.errors import RetryLater
from operations.deployment.stack import Trouble, remedy
from operations.deployment.visit import Refused
from operations.terminal.cli import FAILING, IN_THE_WAY

MOST_WELL = 20
"""Of more accounts that are well, the number alone is told."""


class State(StrEnum):
    """How what was looked at stands."""

    WELL = "well"
    NOTE = "note"
    """Nothing is wrong, and one should know."""
    TO_DO = "to_do"
    UNKNOWN = "unknown"
    """It could not be looked at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, in words."""

    state: State
    says: str
    to_do: str | None = None
    id: str = field(default="", compare=False)
    """What was looked at, for programs: it stays when the words change."""


@dataclass(frozen=True, slots=True)
class Section:
    """What was found in one place."""

    title: str
    findings: tuple[Finding, ...]


def well(says: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(State.WELL, says)


def note(says: str, to_do: str | None = None) -> Finding:
    """Say something that one should know."""
    return Finding(State.NOTE, says, to_do)


def to_do(says: str, how: str) -> Finding:
    """Say what is wrong, and what mends it."""
    return Finding(State.TO_DO, says, how)


def unknown(says: str, how: str | None = None) -> Finding:
    """Say what could not be looked at, and why."""
    return Finding(State.UNKNOWN, says, how)


def looked(what: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Look, and return what was found; what keeps from looking is a finding too."""
    return [found if found.id else replace(found, id=identifier(what)) for found in _looked(what, look)]


def identifier(what: str) -> str:
    """Return the id of what was looked at: `the hook's secret` is `hooks_secret`."""
    words = re.findall(r"[a-z0-9]+", what.casefold().replace("'", ""))
    return "_".join(words[1:] if words[:1] == ["the"] else words)


def _looked(what: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    try:
        return list(look())
    except Refused as refused:
        return [to_do(refused.says, refused.how)]
    except Trouble as trouble:
        return [unknown(f"{what}: {trouble}")]
    except RetryLater as trouble:
        return [unknown(f"{what}: {trouble.why}", remedy(trouble.why) or "try again later")]


def worst(sections: Iterable[Section]) -> State:
    """Return how it stands in all: what is to be done counts before what could not be looked at."""
    states = {finding.state for section in sections for finding in section.findings}
    return next((state for state in (State.TO_DO, State.UNKNOWN) if state in states), State.WELL)


def exit_code(sections: Iterable[Section]) -> int:
    """Return 0 where all is well, 3 where something is to be done, 1 where something could not be looked at."""
    return {State.TO_DO: FAILING, State.UNKNOWN: IN_THE_WAY}.get(worst(sections), 0)


def in_order(sections: Sequence[Section]) -> list[Section]:
    """Return sections of which each is about one account, trouble first."""
    ranks = {State.TO_DO: 0, State.UNKNOWN: 1}
    return sorted(sections, key=lambda section: ranks.get(worst([section]), 2))


def show_accounts(console: Console, sections: Sequence[Section]) -> None:
    """Show sections of which each is about one account: the sum first, then trouble; of many, who is well is counted.

    Of one account alone, its section.
    """
    if len(sections) == 1:
        show(console, *sections)
        return
    states = [worst([section]) for section in sections]
    words = {State.TO_DO: "with something to do", State.UNKNOWN: "not looked at in whole", State.WELL: "well"}
    told = ", ".join(f"{states.count(state)} {word}" for state, word in words.items() if state in states)
    console.print(f"{'\n' if console.is_terminal else ''}{len(sections):,} accounts: {told}.", markup=False)
    is_many = states.count(State.WELL) > MOST_WELL
    show(console, *(one for one in in_order(sections) if not is_many or worst([one]) is not State.WELL))


def as_json(sections: Iterable[Section]) -> list[dict[str, Any]]:
    """Return the findings as JSON has them, one object a finding."""
    return [{"section": section.title, **asdict(finding)} for section in sections for finding in section.findings]


_MARKS: Mapping[State, str] = {
    State.WELL: "[green]✓[/]",
    State.NOTE: "[blue]·[/]",
    State.TO_DO: "[bold red]✗[/]",
    State.UNKNOWN: "[yellow]?[/]",
}
_WORDS: Mapping[State, str] = {State.WELL: "ok", State.NOTE: "note", State.TO_DO: "TO DO", State.UNKNOWN: "unknown"}


def show(console: Console, *sections: Section) -> None:
    """Show findings: on a terminal with marks, wrapped to its width; elsewhere a line each, to be searched."""
    for section in sections:
        if not console.is_terminal:
            _show_plainly(console, section)
            continue
        if section.title:
            console.print(f"\n[bold]{escape(section.title)}[/]")
        console.print(_grid(section.findings))


def _grid(findings: Sequence[Finding]) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=3, justify="right")
    grid.add_column(overflow="fold")
    for finding in findings:
        told = escape(finding.says) + (f"\n[cyan]→ {escape(finding.to_do)}[/]" if finding.to_do else "")
        grid.add_row(_MARKS[finding.state], told)
    return grid


def _show_plainly(console: Console, section: Section) -> None:
    for finding in section.findings:
        parts = (section.title, _WORDS[finding.state], finding.says, finding.to_do and f"→ {finding.to_do}")
        console.print(
            ": ".join(part for part in parts[:3] if part) + (f" {parts[3]}" if parts[3] else ""), markup=False
        )
