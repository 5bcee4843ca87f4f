"""At 80 columns, and at 60, no word is cut: what is said there is said in the same words on a wide screen."""

import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest

from tests.desk import Desk, at_a_desk
from tests.keys import make_key
from tests.orders import sale

ROOT = Path(__file__).parents[2]
WIDE = 1000
COMMANDS = (
    "failures",
    "failures --all",
    "check VVJ-975105-01 VVJ-975118-01 VVJ-975115-01",
    "explain VVJ-975118-01",
    "redrive",
    "recheck VVJ-975105-01 --wait 0",
    "recheck VVJ-404-01",
    "backfill --from {begin} --to {end} --csv list.csv --state state",
    "check ../VVJ",
)
ONLY_WHERE_IT_IS_NARROW = re.compile(r"Left out for want of room: .*? --csv FILE\.|\b(?:account|state) (?=\S+;)")


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    now = datetime.now(UTC)
    recently = (now - timedelta(days=2)).isoformat()
    with at_a_desk() as desk:
        desk.check(desk.invoice("VVJ-975105-01", sale("643805", f"NFe {make_key(number=643805)}")), at=now)
        desk.check(desk.invoice("VVJ-975115-01", sale(make_key(number=6), None)), at=now - timedelta(days=3))
        same, wrong = make_key(number=1), make_key(number=4)[:-1] + "X"
        packages = [sale("1", same), sale("2", same), sale("4", wrong), sale("5", "a " * 24)]
        order = desk.invoice("VVJ-975118-01", *packages, creationDate=recently, invoicedDate=recently)
        desk.check(order, at=now - timedelta(days=9))
        for group in ("ReceiveHookLogs", "DrainFeedLogs", "CheckInvoiceLogs"):
            desk.log(group, now, message="about something else")
        desk.send_to_dead_letters("VVJ-975199-01", reason="not_found")
        desk.send_to_dead_letters("MBS-1343130745868-01", reason="no_credentials")
        yield desk


def words(text: str) -> set[str]:
    return {word.strip(",;") for word in text.split()}


@pytest.mark.parametrize("columns", [80, 60])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_word_is_cut_and_no_line_is_too_long(
    desk: Desk, command: str, columns: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    today = datetime.now(UTC).date()
    typed = command.format(begin=today - timedelta(days=5), end=today - timedelta(days=1))
    narrow, wide = desk.run(typed, columns), desk.run(typed, WIDE)

    assert max(map(len, narrow.all.splitlines())) <= columns
    known = words(wide.all) | words(" ".join(ONLY_WHERE_IT_IS_NARROW.findall(" ".join(narrow.all.split()))))
    assert words(narrow.all) - known == set()


@cache
def targets() -> list[str]:
    alone = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }  # of make test
    told = subprocess.run(["make", "help"], cwd=ROOT, env=alone, capture_output=True, text=True, check=True)
    return told.stdout.splitlines()


def test_the_list_of_targets_fits_and_says_each_sentence_whole() -> None:
    described = re.findall(r"^([a-z-]+):.*## (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)

    assert max(map(len, targets())) <= 80
    assert " ".join(" ".join(targets()).split()) == " ".join(f"make {name} {says}" for name, says in described)
