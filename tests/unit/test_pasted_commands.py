"""Every command that people are given runs when they paste it, up to where it asks the stack: it takes its arguments.

Taken out of the texts that are sent, the documents, the alarms' descriptions and what the commands themselves advise.
Placeholders are filled in; a command's bare name in a sentence is no command to be pasted.
"""

import ast
import re
import shlex
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest

from invoicekey.messages import notices
from invoicekey.messages.notices import Notice
from invoicekey.messages.texts import LANGUAGES
from invoicekey.work.silence import TOLD
from operations.terminal import cli
from tests.unit.test_documents import DOCUMENTS, code_of, command_of, targets, text_of
from tests.unit.test_template import ROOT, template

FILLED_IN = {
    "ORDER": "VVJ-975102-01",
    "PEDIDO": "VVJ-975102-01",
    "ACCOUNT": "luxstore",
    "CONTA": "luxstore",
    "HOST": "hooks.example.com",
    "SETTING": "SellerTaxIds",
    "…": "2026-10-01",
}
"""What stands in a command for the reader's own."""
STACKS = ("invoicekey", "invoicekey-dev")
_ENDS = r"[^|>;&#`\n]*"
_INVOICEKEY = re.compile(rf"(?:^|[;&:>] *|/|`)invoicekey ((?:[a-z]|--){_ENDS})", re.MULTILINE)
_MAKE = re.compile(rf"(?:^|[;&:>] *|`)make ([a-z]{_ENDS})", re.MULTILINE)


class Reached(BaseException):
    """The command took its arguments, and asked the stack."""


class NoShop:
    """A stack that says when it is asked for anything."""

    def __getattr__(self, name: str) -> NoReturn:
        raise Reached


class Terminal:
    """Somebody is there: some commands ask."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def no_shop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "shop_of", lambda *_: NoShop())
    monkeypatch.setattr(sys, "stdin", Terminal())


def taken(call: str) -> bool:
    """Say whether a command takes these arguments."""
    words = [FILLED_IN.get(word, word) for word in shlex.split(call)]
    try:
        return cli.run(words) == 0  # such as --version, which asks no stack
    except Reached:
        return True


# ---- Where commands stand


@cache
def sent() -> dict[str, str]:
    """Return every text that is sent: the alerts' golden files, and the guard's notices."""
    golden = ROOT / "tests" / "golden" / "alerts"
    told = {str(file.relative_to(golden)): file.read_text("utf-8") for file in sorted(golden.glob("**/*.txt"))}
    for language in LANGUAGES:
        for stack in STACKS:
            for notice in _notices(language, stack):
                told[f"{language}: {notice.subject} ({stack})"] = notice.body
    return told


def _notices(language: str, stack: str) -> Iterator[Notice]:
    for accounts in (["luxstore"], ["luxstore", "othershop"]):
        yield notices.hook_elsewhere(dict.fromkeys(accounts, "erp.example.com"), language, stack)
        yield notices.feed_left_alone(accounts, language, stack)
        yield notices.not_shown(accounts, language, stack)
    yield notices.operations_unconfirmed(language, stack)
    yield notices.accounts_in_trouble({trouble: ["luxstore"] for trouble in TOLD}, 48, language, stack)


def calls_in(text: str) -> list[str]:
    return [call.strip() for call in _INVOICEKEY.findall(text)]


def calls_in_document(document: Path) -> list[str]:
    """Return a document's commands: whole in a block, and in a sentence wherever it says more than the name."""
    calls = [call for code in code_of(document) for call in calls_in(code.strip())]
    return [call for call in calls if command_of(call.split())[1]]


def advised() -> Iterator[tuple[str, str]]:
    """Yield the commands that the commands advise, by the file, with a word of the right kind for what is filled in."""
    words: dict[str, str] = {
        "command": "hook install",
        "joined": "VVJ",
        "named": " --reason not_found",
        "account": " --account luxstore",
        "typed": " --reason gave_up",
        "again": "redrive --reason gave_up",
    }
    for file in sorted((ROOT / "operations").rglob("*.py")):
        nodes = list(ast.walk(ast.parse(file.read_text("utf-8"))))
        declared = [one for node in nodes if isinstance(node, ast.FunctionDef) for one in node.decorator_list]
        for node in nodes:
            match node:
                case _ if node in declared:
                    pass
                case ast.Call(func=ast.Attribute(attr="command"), args=[ast.Constant(value=str(text))]):
                    yield file.name, text
                case ast.Call(func=ast.Attribute(attr="command"), args=[ast.JoinedStr(values=parts)]):
                    yield file.name, _filled_in(parts, words)
                case _:
                    pass


def _filled_in(parts: list[Any], words: dict[str, str]) -> str:
    told = ""
    for part in parts:
        if isinstance(part, ast.Constant):
            told += str(part.value)
        elif told and not told.endswith((" ", "--account ")):
            told += words[ast.unparse(part.value)]
        else:
            told += words.get(ast.unparse(part.value), "hook install") if not told else "luxstore"
    return told


# ---- They run


def test_the_texts_that_are_sent_have_commands_in_them() -> None:
    found = {call.split()[0] for text in sent().values() for call in calls_in(text)}

    assert {"dismiss", "failures", "hook"} <= found


@pytest.mark.usefixtures("no_shop")
@pytest.mark.parametrize("where", sent())
def test_a_command_in_a_text_that_is_sent_runs_as_it_is_pasted(where: str) -> None:
    assert [call for call in calls_in(sent()[where]) if not taken(call)] == []


@pytest.mark.parametrize("where", sent())
def test_a_command_stands_at_the_end_of_its_line_where_it_is_copied_whole(where: str) -> None:
    named = re.findall(r"invoicekey [a-z]+ .*|make [a-z]+.*", sent()[where])
    found = [f"invoicekey {call}" for call in calls_in(sent()[where])] + makes_in(sent()[where])

    assert sorted(named) == sorted(found)
    assert not [call for call in found if call.endswith((".", ","))]


@pytest.mark.usefixtures("no_shop")
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_command_in_a_document_runs_as_it_is_pasted(document: Path) -> None:
    assert [call for call in calls_in_document(document) if not taken(call)] == []


@pytest.mark.usefixtures("no_shop")
def test_a_command_in_an_alarm_s_description_runs_as_it_is_pasted() -> None:
    properties = [resource.get("Properties", {}) for resource in template()["Resources"].values()]
    described = [str(one["AlarmDescription"]) for one in properties if "AlarmDescription" in one]

    assert len(described) > 20
    assert [call for text in described for call in calls_in(text) if not taken(call)] == []


@pytest.mark.usefixtures("no_shop")
@pytest.mark.parametrize(("file", "call"), sorted(set(advised())))
def test_a_command_that_a_command_advises_runs_as_it_is_pasted(file: str, call: str) -> None:
    assert taken(call), file


@pytest.mark.usefixtures("no_shop")
@pytest.mark.parametrize("call", ["dismiss VVJ-975102-01", "failures --older-than soon", "no_such_command", "check"])
def test_what_cannot_run_is_seen(call: str) -> None:
    assert not taken(call)


# ---- make


def makes_in(text: str) -> list[str]:
    return [f"make {call.strip()}" for call in _MAKE.findall(text)]


@pytest.mark.parametrize("where", sent())
def test_a_target_in_a_text_that_is_sent_is_there_and_takes_the_variable(where: str) -> None:
    makefile = text_of(ROOT / "Makefile")
    for call in makes_in(sent()[where]):
        _, target, *variables = call.split()
        assert target in targets()
        assert [word for word in variables if not re.search(rf"\b{word.partition('=')[0]}\b", makefile)] == []
