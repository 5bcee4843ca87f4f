"""`make bench`: measures, prints a table and writes it to docs/figures.md; some PARTS alone are only printed.

But `side`, `memory` and `load` are sections of their own, of docs/figures.md and docs/proof.md, and written whenever
measured.

Nothing here fails for being slow: a figure that misses its limit says so in the table.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence

from benchmarks import (
    desk_list,
    desk_page,
    figures,
    follow_up,
    functions,
    load,
    many_accounts,
    rounds,
    shares,
    side_by_side,
)
from benchmarks.figures import Figure, Section
from benchmarks.runtime import Bench, build, started
from local.stack import ROOT

type Part = Callable[[Bench], Sequence[Figure | Section]]

PARTS: Mapping[str, Part] = {
    "starts": functions.measure_starts,
    "batches": functions.measure_batches,
    "desk": desk_page.measure_page,
    "list": desk_list.measure_list,
    "feed": follow_up.measure_feed,
    "recheck": follow_up.measure_recheck,
    "backfill": follow_up.measure_backfill,
    "storm": many_accounts.measure_storm,
    "rounds": rounds.measure_rounds,
    "side": side_by_side.measure_side,
    "memory": shares.measure_shares,
    "load": load.measure_load,
}
NOTES = (*functions.NOTES, *desk_page.NOTES, *desk_list.NOTES, *follow_up.NOTES, *many_accounts.NOTES, *rounds.NOTES)


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(prog="bench", description="Measures what docs/figures.md tells.")
    parser.add_argument(
        "parts", nargs="*", metavar="part", help=f"only these of {', '.join(PARTS)}; all of them unless told"
    )
    chosen: list[str] = parser.parse_args().parts or list(PARTS)
    if unknown := set(chosen) - PARTS.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    build()
    measured = measure(chosen)
    rows = [one for one in measured if isinstance(one, Figure)]
    print(figures.table(rows))
    if chosen == list(PARTS):
        figures.FILE.write_text(figures.document(rows, NOTES, PARTS), encoding="utf-8")
        print(f"written to {figures.FILE.relative_to(ROOT)}")
    for section in (one for one in measured if isinstance(one, Section)):
        section.write()
        print(f"\n{section.markdown()}\nwritten to {section.page.relative_to(ROOT)}")


def measure(parts: list[str]) -> list[Figure | Section]:
    """Measure these parts."""
    with started() as bench:
        return [figure for part in parts for figure in PARTS[part](bench)]


if __name__ == "__main__":
    main()
