"""One table of exit codes, and one way of asking for help, for every command (docs/operating.md#exit-codes)."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer

from operations import command_line
from operations.commands import redrive
from operations.terminal import cli
from tests.desk import Desk, at_a_desk
from tests.orders import sale

ROOT = Path(__file__).parents[2]
HEAVY = {"boto3", "botocore", "httpx", "pydantic", "yaml", "rich.progress", "aws_lambda_powertools"}
PYTHON = re.compile(r"<\w|\b(?:str|int|float|bool|list\[|Path|TEXT|INTEGER|FLOAT|BOOLEAN)\b|None\b")


def every_command(group: Any = None, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in (group or typer.main.get_group(cli.app)).commands.items():
        if hasattr(command, "commands"):
            yield from every_command(command, (*words, name))
        else:
            yield (*words, name), command


COMMAND_LINES = [pytest.param(words, command, id=" ".join(words)) for words, command in every_command()]
each_command = pytest.mark.parametrize(("words", "command"), COMMAND_LINES)


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with at_a_desk() as desk:
        yield desk


def filled(command: Any) -> list[str]:
    """Return what a command cannot do without."""
    return [
        word
        for parameter in command.params
        if parameter.required
        for word in ([parameter.opts[0], "x"] if parameter.opts[0].startswith("-") else ["VVJ-1-01"])
    ]


# ---- Help


@each_command
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_0_and_says_what_its_exit_codes_mean(desk: Desk, words: Any, command: Any, option: str) -> None:
    said = desk.run([*words, option])
    assert said.code == 0
    assert re.search(r"Exit code 0 where .*?\b[13] where ", " ".join(said.out.split()))


@each_command
def test_help_has_no_types_of_python(desk: Desk, words: Any, command: Any) -> None:
    assert PYTHON.findall(desk.run([*words, "-h"], columns=200).out) == []
    assert [one.opts for one in command.params if not (one.metavar or one.type_descriptor.choices or one.is_flag)] == []


@each_command
def test_help_fits_the_terminal_and_flows(desk: Desk, words: Any, command: Any) -> None:
    assert max(map(len, desk.run([*words, "-h"], columns=80).out.splitlines())) <= 80


def test_the_command_alone_says_what_there_is(desk: Desk) -> None:
    said = desk.run([])
    assert said.code == 2
    for name in typer.main.get_group(cli.app).commands:
        assert name in said.out


def test_the_help_of_redrive_names_every_reason() -> None:
    assert command_line.REASONS == redrive.REASONS


def test_help_among_other_words_is_help_too(desk: Desk) -> None:
    said = desk.run("check VVJ-1-01 --account luxstore --help")
    assert (said.code, said.out.split()[:3]) == (0, ["Usage:", "invoicekey", "check"])


def loaded_by(*arguments: str) -> set[str]:
    """Return which heavy modules a command imports, in a process of its own."""
    code = f"import sys, operations.__main__ as main; main.cli.run({list(arguments)}); print('', *sys.modules)"
    path = os.pathsep.join(map(str, (ROOT, ROOT / "layers" / "invoicekey" / "python")))
    told = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    return HEAVY & set(told.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], [], ["hook", "--help"]])
def test_what_is_heavy_is_not_imported_to_list_the_commands(arguments: list[str]) -> None:
    assert loaded_by(*arguments) == set()


@each_command
def test_nor_is_it_for_the_help_of_a_command(words: Any, command: Any) -> None:
    assert loaded_by(*words, "--help") == set()


@pytest.mark.parametrize("arguments", [["--stack", "other", "check", "--help"], ["check", "VVJ-1-01", "-h"]])
def test_help_among_other_words_needs_no_client(arguments: list[str]) -> None:
    assert loaded_by(*arguments) <= {"pydantic"}  # with which Typer reads the other words


def test_a_command_that_is_not_there_is_guessed(desk: Desk) -> None:
    said = desk.run("chek")
    assert said.code == 2
    assert "check" in said.err


# ---- 2: not understood, wherever it is found


@each_command
def test_an_option_that_is_not_there_is_2(desk: Desk, words: Any, command: Any) -> None:
    assert desk.run([*words, *filled(command), "--nonsense"]).code == 2


@each_command
def test_an_account_that_is_not_there_is_2(desk: Desk, words: Any, command: Any) -> None:
    if not any("--account" in one.opts for one in command.params) or words in {("explain",), ("setup",)}:
        pytest.skip("it takes any account's name, or none")
    days = ["--from", "2026-10-01", "--to", "2026-10-02"] if words == ("backfill",) else []
    orders = ["VVJ-1-01"] if words == ("recheck",) else []
    yes = ["--yes"] if words == ("hook", "remove") else []
    said = desk.run([*words, *filled(command), *days, *orders, *yes, "--account", "Nobody's"])
    assert (said.code, said.out) == (2, "")


@pytest.mark.parametrize(
    "line",
    [
        "check ../x",
        "explain seq1",
        "dismiss VVJ-1-01 --reason ' '",
        "snooze VVJ-1-01",
        "snooze VVJ-1-01 --until soon",
        "desk ../x",
        "secrets rotate --desk --force",
        "recheck",
        "redrive --reason nonsense",
        "redrive --rate fast",
        "failures --code nonsense",
        "failures --older-than soon",
        "failures --format nonsense",
        "backfill",
        "backfill --from today --to 2026-10-01",
        "backfill --from 2026-10-02 --to 2026-10-01",
        "backfill --from 2026-10-01 --to 2026-10-02 --pace 99999999",
        "doctor nonsense",
    ],
)
def test_what_was_not_understood_is_2_and_a_line_or_two(desk: Desk, line: str) -> None:
    said = desk.run(line)
    assert (said.code, said.out) == (2, "")
    assert said.err
    assert "Value error" not in said.err
    assert "Traceback" not in said.err


# ---- 3: failing, or something is left to do


def test_where_something_is_failing_it_is_3_until_it_is_not(desk: Desk) -> None:
    for group in ("ReceiveHookLogs", "DrainFeedLogs", "CheckInvoiceLogs"):
        desk.log(group, datetime.now(UTC), message="about something else")
    desk.check(desk.invoice("VVJ-1-01", sale("1", None)))
    lines = ["failures", "failures --format csv", "failures --format json", "explain VVJ-1-01"]
    assert [desk.run(line).code for line in lines] == [3, 3, 3, 3]
    assert desk.run("check VVJ-1-01").code == 3
    desk.run("dismiss VVJ-1-01 --reason done")
    assert [desk.run(line).code for line in lines] == [0, 0, 0, 0]
    assert desk.run("failures --all").code == 0


def test_dead_letters_are_something_left_to_do(desk: Desk) -> None:
    assert desk.run("redrive").code == 0
    desk.send_to_dead_letters("VVJ-1-01", reason="gave_up")
    assert desk.run("redrive").code == 3


# ---- The table


@pytest.mark.parametrize("document", ["docs/operating.md", "docs/pt-BR/operating.md"])
def test_the_documents_have_the_table(document: str) -> None:
    rows = re.findall(r"^\| (\d+) \|", (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(row) for row in rows] == [0, cli.IN_THE_WAY, cli.NOT_UNDERSTOOD, cli.FAILING, cli.INTERRUPTED]
