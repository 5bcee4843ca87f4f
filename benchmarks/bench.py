"""`make bench`: measures, prints a table and writes it to docs/figures.md; some PARTS alone are only printed.

Nothing here fails for being slow: a figure that misses its limit says so in the table.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from benchmarks import desk_page, figures, follow_up, functions
from benchmarks.figures import Figure
from benchmarks.runtime import BUILD, PLAIN, Bench, build, child, make_runtime, unwritten
from local.processes import free_ports
from local.stack import ROOT
from local.vtex_simulator import VtexSimulator

type Part = Callable[[Bench], list[Figure]]

PARTS: Mapping[str, Part] = {
    "starts": functions.measure_starts,
    "batches": functions.measure_batches,
    "desk": desk_page.measure_page,
    "feed": follow_up.measure_feed,
    "recheck": follow_up.measure_recheck,
    "backfill": follow_up.measure_backfill,
}
NOTES = (*functions.NOTES, *desk_page.NOTES, *follow_up.NOTES)


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(prog="bench", description="Measures what docs/figures.md tells.")
    parser.add_argument(
        "parts", nargs="*", metavar="part", help=f"only these of {', '.join(PARTS)}; all of them unless told"
    )
    chosen: list[str] = parser.parse_args().parts or list(PARTS)
    if unknown := set(chosen) - PARTS.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    BUILD.mkdir(parents=True, exist_ok=True)
    print("building functions and layers", flush=True)
    build()
    make_runtime()
    (BUILD / "rie.log").unlink(missing_ok=True)
    measured = measure(chosen)
    print(figures.table(measured))
    if chosen == list(PARTS):
        figures.FILE.write_text(figures.document(measured, NOTES, PARTS), encoding="utf-8")
        print(f"written to {figures.FILE.relative_to(ROOT)}")


def measure(parts: list[str]) -> list[Figure]:
    """Start the stubs and measure these parts."""
    (aws_port,) = free_ports(1)
    stub = [sys.executable, "-m", "benchmarks.stub_aws", str(aws_port)]
    path = os.pathsep.join(map(str, [ROOT, ROOT / "layers" / "invoicekey" / "python"]))
    code = [folder for made in (BUILD, PLAIN) for folder in made.iterdir() if folder.is_dir()]
    with ExitStack() as stack:
        stack.enter_context(unwritten(*code))
        stack.enter_context(child(stub, aws_port, BUILD / "stub.log", env={**os.environ, "PYTHONPATH": path}))
        bench = Bench(aws_port, stack.enter_context(VtexSimulator()))
        return [figure for part in parts for figure in PARTS[part](bench)]


if __name__ == "__main__":
    main()
