"""`make fuzz`: feeds each parser with what follows its coverage (atheris), then with hostile megabytes.

    python -m tests.fuzz.run --seconds 60 notification order   # these alone; all unless told

What a target broke at stays in .fuzz/ as a file; put it into tests/fuzz/corpus/<target>/ with the mending. What the
fuzzer finds interesting stays there too, in .fuzz/<target>, and is where the next run begins.
"""

import argparse
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.megabytes import SIZE, hostile

CORPUS, FOUND = Path(__file__).parent / "corpus", Path(".fuzz")
MOST_SECONDS, MOST_MEGABYTES = 5, 1024
"""So long and so much may one input take: a function has 1,024 MB or less, and an invocation 30 s."""


def main() -> int:
    """Run what is asked for; 1 where a target broke."""
    known = sorted(path.name for path in CORPUS.iterdir())  # the targets are imported when they are instrumented
    parser = argparse.ArgumentParser(prog="make fuzz", description="Feed the parsers.")
    parser.add_argument("--seconds", type=int, default=60, help="of fuzzing for each target")
    parser.add_argument("--child", choices=["fuzz", "megabytes"], help=argparse.SUPPRESS)
    parser.add_argument("targets", nargs="*", choices=[*known, []], default=[])
    given = parser.parse_args()
    names = given.targets or known
    if given.child == "fuzz":
        fuzz(names[0], given.seconds)
    if given.child == "megabytes":
        return feed_megabytes(names[0])
    broken = [name for name in names if not _holds(name, given.seconds)]
    print(f"broke: {', '.join(broken)}; see {FOUND}/" if broken else "no parser broke its word")
    return int(bool(broken))


def _holds(name: str, seconds: int) -> bool:
    """Feed a target in processes of its own, for a fuzzer ends the one that it runs in."""
    child = [sys.executable, "-m", "tests.fuzz.run", "--seconds", str(seconds), name, "--child"]
    ended = subprocess.run([*child, "fuzz"], capture_output=True, text=True, check=False)
    said = ended.stderr.splitlines()
    done = [line for line in said if "DONE" in line or line.startswith("Done")]
    print(f"{name}: {'; '.join(done)}" if ended.returncode == 0 else "\n".join([name, *said[-40:]]))
    large = subprocess.run([*child, "megabytes"], check=False)
    return ended.returncode == 0 and large.returncode == 0


def fuzz(name: str, seconds: int) -> None:
    """Fuzz a target in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["invoicekey"]):
        from tests.fuzz.targets import TARGETS
    found = FOUND / name
    found.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}", f"-max_len={SIZE}", f"-timeout={4 * MOST_SECONDS}",
        f"-rss_limit_mb={MOST_MEGABYTES}", f"-artifact_prefix={found}-", "-print_final_stats=0",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(found), str(CORPUS / name)], TARGETS[name])
    atheris.Fuzz()


def feed_megabytes(name: str) -> int:
    """Feed a target with a megabyte of each hostile kind; say what the worst of them took."""
    from tests.fuzz.targets import TARGETS

    before = _peak_megabytes()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEGABYTES * 2**20,) * 2)
    slowest, kind = 0.0, ""
    seeds = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    for what, data in hostile(seeds):
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)  # of this process alone; its signal ends it
        began = time.process_time()
        TARGETS[name](data)
        signal.setitimer(signal.ITIMER_PROF, 0)
        slowest, kind = max((slowest, kind), (time.process_time() - began, what))
    grown = _peak_megabytes() - before
    print(f"{name}: a megabyte takes {slowest:.2f} s of one core at the most ({kind}), and {grown:.0f} MB")
    return 0


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
