"""`make chaos`: faults on purpose, at the function's real code and at the deployed stack, and what came of them.

Every run of the model and every round of the stack has its seed. What must not be ends the command with 1, its seed and
plan printed. From FULL rounds on the figures are written into docs/proof.md.
"""

import argparse
import io
import json
import logging
import sys
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

from local import processes
from local.stack import ROOT, STATE
from tests.chaos import kills, model, rounds

SEEDS = 1000
"""Of the model."""
FULL = 100
LONGEST = 3600.0
"""So many seconds at the most a campaign begins anything new."""
HOME = STATE / "chaos"
PROOF = ROOT / "docs" / "proof.md"
BEGIN, END = "<!-- make chaos writes this -->\n", "<!-- to here -->\n"


@dataclass
class Result:
    """What a campaign has done and found."""

    seed: int
    seeds_of_model: int = 0
    runs: model.Tally = field(default_factory=model.Tally)
    kills: model.Tally = field(default_factory=model.Tally)
    rounds: int = 0
    orders: int = 0
    hooks: Counter[str] = field(default_factory=Counter)
    aws: Counter[str] = field(default_factory=Counter)
    vtex: Counter[str] = field(default_factory=Counter)
    passed: int = 0
    """Requests to AWS that nothing happened to."""
    killed: int = 0
    """Functions of the stack that were ended at their timeout."""
    told: Counter[str] = field(default_factory=Counter)
    told_twice: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    minutes: float = 0.0


def run_model(result: Result, seeds: int, end: float) -> None:
    """Run the model for so many seeds."""
    logging.disable(logging.CRITICAL)
    for name, some in model.runs(result.seed, seeds):
        if time.monotonic() > end:
            break
        try:
            for tally in some:
                result.runs.add(tally)
        except AssertionError as error:
            result.violations.append(f"model, seed {name}: {str(error) or _line_of(error)}")
            print(result.violations[-1], flush=True)
        result.seeds_of_model += 1
    logging.disable(logging.NOTSET)


def _line_of(error: AssertionError) -> str:
    """Return what was asserted: without pytest an assertion says nothing."""
    return traceback.extract_tb(error.__traceback__)[-1].line or "an assertion"


def run_kills(result: Result, end: float) -> None:
    """Kill every function at each of its calls to AWS."""
    logging.disable(logging.CRITICAL)
    for scene in kills.SCENES:
        if time.monotonic() > end:
            break
        try:
            with redirect_stdout(io.StringIO()):  # a function's figures go there, and tell nobody anything here
                for tally in kills.runs(scene):
                    result.kills.add(tally)
        except AssertionError as error:
            result.violations.append(str(error) or _line_of(error))
            print(result.violations[-1], flush=True)
    logging.disable(logging.NOTSET)


def run_rounds(result: Result, number: int, end: float) -> None:
    """Run rounds of the deployed stack."""
    for outcome in rounds.campaign(number, result.seed, HOME, lambda text: print(text, flush=True)):
        _add(result, outcome)
        result.killed = (HOME / "emulator.log").read_text(errors="replace").count(" timed out after ")
        keep(result)
        found = f", {len(outcome.violations)} VIOLATIONS" if outcome.violations else ""
        print(
            f"rounds {result.rounds} of {number}: {len(outcome.seen)} faults at AWS, {outcome.vtex_faults.total()} at "
            f"VTEX, {outcome.seconds:.0f} s{found}",
            flush=True,
        )
        if time.monotonic() > end:
            break


def _add(result: Result, outcome: rounds.Outcome) -> None:
    result.rounds += len(outcome.rounds)
    result.orders += sum(len(one.orders) for one in outcome.rounds)
    for one in outcome.rounds:
        result.hooks.update({str(status) if status else "no answer": n for status, n in one.answers.items()})
    result.aws.update(str(seen.fault) for seen in outcome.seen)
    result.vtex.update(outcome.vtex_faults)
    result.passed = outcome.passed
    result.told.update(outcome.told)
    result.told_twice.update(outcome.told_twice)
    result.violations += outcome.violations
    for violation in outcome.violations:
        print(violation)
        for one in outcome.rounds:
            if violation.startswith(f"{one.seed}:"):
                print("\n".join(f"  {moment}" for moment in one.moments), flush=True)


# ---- What is written of it


def section(result: Result) -> str:
    """Return the figures as they stand in docs/proof.md."""
    inner = result.runs
    return "\n".join([
        f"Seed {result.seed}: {result.seeds_of_model:,} seeds of the model, {result.rounds} rounds of the stack.",
        f"**{len(result.violations) or 'No'} violation{'' if len(result.violations) == 1 else 's'}.**",
        "",
        "| the model | times |",
        "| --- | ---: |",
        *_rows("runs", inner.runs),
        *_rows("injected", inner.injected),
        *_rows("came out", inner.told),
        *_rows("told twice", inner.told_twice),
        "",
        "| functions, killed before and after each call to AWS | times |",
        "| --- | ---: |",
        *_rows("killed", result.kills.runs),
        *_rows("told twice", result.kills.told_twice),
        "",
        "| the deployed stack | times |",
        "| --- | ---: |",
        f"| orders | {result.orders:,} |",
        *_rows("hook answered", result.hooks),
        *_rows("AWS", result.aws),
        f"| AWS: let through | {result.passed:,} |",
        *_rows("VTEX", result.vtex),
        f"| functions ended at their timeout | {result.killed:,} |",
        *_rows("came out", result.told),
        *_rows("told twice", result.told_twice),
        "",
    ])  # fmt: skip


def _rows(group: str, counted: Mapping[str, int]) -> list[str]:
    return [f"| {group}: {name} | {number:,} |" for name, number in sorted(counted.items()) if number]


def write(result: Result, proof: Path = PROOF) -> None:
    """Put the figures between the two marks of the page."""
    before, _, rest = proof.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    proof.write_text(f"{before}{BEGIN}\n{section(result)}\n{END}{after}", encoding="utf-8")


def keep(result: Result) -> None:
    """Keep what there is so far, for who ends the campaign before its end."""
    HOME.mkdir(parents=True, exist_ok=True)
    (HOME / "result.json").write_text(json.dumps(result, default=vars, indent=2))


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="chaos", description="Breaks AWS and VTEX on purpose.")
    parser.add_argument("--rounds", type=int, default=20, help="of the deployed stack; 0 leaves it out")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of the model")
    parser.add_argument("--seed", type=int, default=1, help="from which all others are made")
    chosen = parser.parse_args()
    processes.end_on_signals()
    began, result = time.monotonic(), Result(chosen.seed)
    end = began + LONGEST
    print(f"seed {chosen.seed}: {chosen.seeds} seeds of the model", flush=True)
    run_model(result, chosen.seeds, end)
    print(f"{result.runs.runs.total()} runs, {len(result.violations)} violations", flush=True)
    if chosen.seeds:
        run_kills(result, end)
        print(f"{result.kills.runs.total()} kills, {len(result.violations)} violations", flush=True)
    if chosen.rounds:
        run_rounds(result, chosen.rounds, end)
    result.minutes = round((time.monotonic() - began) / 60, 1)
    keep(result)
    print(section(result))
    if result.rounds >= FULL and result.seeds_of_model >= SEEDS:
        write(result)
        print(f"written to {PROOF.relative_to(ROOT)}")
    return 1 if result.violations else 0


if __name__ == "__main__":
    sys.exit(main())
