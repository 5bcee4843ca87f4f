"""What the documents name exists: tests, files, headings, make targets, commands, alarms, metrics, modules.

Whether what they say is true no machine can tell; that what they point at is there, this one does.
"""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import typer

from invoicekey.rules.verdict import Code
from local.stack import ARCHITECTURE
from operations import command_line
from operations.terminal.cli import HELP, ListFirst, app
from tests.unit.test_template import ROOT, template

COMMANDS = command_line
"""To import it is to add the commands to the app."""

DOCUMENTS = sorted([
    *ROOT.glob("README*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")
])  # fmt: skip
PARTS = "Alarm|Function|Queue|Topic|Table|Secret|Schedule|Schedules|Email|Seconds|Hours|Minutes|Statuses|Accounts|Ids"
METRICS = "hook|feed|check|alert|report|vtex|recheck|guard|digest|reminder|configuration|topic|cnova|dead_letter|oldest"

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


@cache
def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def code_of(document: Path) -> list[str]:
    """Return what stands as code: the lines of fenced blocks, and the spans between backticks."""
    text = text_of(document)
    blocks = re.findall(r"^ *```[^\n]*\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    # A command that goes on behind a backslash is one line.
    lines = [line for block in blocks for line in block.replace("\\\n", " ").split("\n")]
    return lines + [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def words_of(document: Path) -> set[str]:
    """Return all words but a program's, whose names are boto3's."""
    text = re.sub(r"^```python\n.*?^```$", "", text_of(document), flags=re.MULTILINE | re.DOTALL)
    return set(re.findall(r"\b\w+\b", text))


# ---- Links


def anchors_of(document: Path) -> set[str]:
    """Return the headings' anchors, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text_of(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links_of(document: Path) -> Iterator[tuple[str, str]]:
    """Yield file and anchor of each link that stays within the project."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(document)):
        if "://" not in target and not target.startswith("mailto:"):
            file, _, anchor = target.partition("#")
            yield file, anchor


@every_document
def test_a_link_leads_to_a_file_and_to_a_heading_in_it(document: Path) -> None:
    for file, anchor in links_of(document):
        there = (document.parent / file).resolve() if file else document
        assert there.exists(), file
        assert not anchor or anchor in anchors_of(there), f"{file}#{anchor}"


def test_what_code_and_template_point_at_in_the_documents_is_there() -> None:
    """As in what `doctor` says: see docs/runbook.md#dead-letters."""
    code = [path for folder in ("operations", "layers", "functions", "local") for path in (ROOT / folder).rglob("*.py")]
    text = "\n".join(text_of(path) for path in [*code, ROOT / "template.yaml"])
    pointed = set(re.findall(r"\b(docs/[\w./-]+\.md)(?:#([a-z0-9-]+))?", text))

    assert ("docs/runbook.md", "dead-letters") in pointed
    assert [file for file, _ in pointed if not (ROOT / file).is_file()] == []
    assert [where for where in pointed if where[1] and where[1] not in anchors_of(ROOT / where[0])] == []


@pytest.mark.parametrize(("readme", "language"), [("README.md", "en"), ("README.pt-BR.md", "pt-BR")])
def test_the_alert_that_a_readme_shows_is_the_one_that_is_sent(readme: str, language: str) -> None:
    assert text_of(ROOT / "tests" / "golden" / "alerts" / language / "link-missing.txt") in text_of(ROOT / readme)


# ---- Commands


@cache
def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@every_document
def test_a_make_target_is_in_the_makefile(document: Path) -> None:
    named = [target for code in code_of(document) for target in re.findall(r"\bmake ([a-z][a-z-]*)", code)]

    assert [target for target in named if target not in targets()] == []


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that words name, and what is left of them; what is no command is left."""
    command: Any = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    if isinstance(command, ListFirst) and not (words and words[0] in HELP):
        command = command.commands["list"]
    return command, words


def calls_of(document: Path) -> Iterator[list[str]]:
    """Yield the words behind `invoicekey` wherever a command is written down."""
    for code in code_of(document):
        for call in re.findall(r"(?:^|[;&] *|/)invoicekey ((?:[a-z]|--)[^|>;&#]*)", code.strip()):
            yield call.split()


@every_document
def test_a_command_is_one_of_the_command_line_and_takes_these_options(document: Path) -> None:
    everywhere = {"--help", *(name for option in typer.main.get_command(app).params for name in option.opts)}
    for words in calls_of(document):
        command, rest = command_of(words)
        taken = {name for option in command.params for name in [*option.opts, *option.secondary_opts]}
        assert not hasattr(command, "commands") or (rest and rest[0].startswith("--")), " ".join(words)
        options = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert options <= taken | everywhere, " ".join(words)


def test_replaying_finds_this_machine_s_architecture_by_itself() -> None:
    (line,) = re.findall(r'^export ARCH="(.*)"$', text_of(ROOT / "docs" / "replaying.md"), re.MULTILINE)

    said = subprocess.run(["sh", "-c", f'printf %s "{line}"'], capture_output=True, text=True, check=True).stdout

    assert said == f"Architecture={ARCHITECTURE}"


# ---- Names of the template, of metrics and of modules


@every_document
def test_what_looks_like_a_name_of_the_template_is_one(document: Path) -> None:
    templates = [template(), *([template(near)] if (near := document.parent / "template.yaml").is_file() else [])]
    sections = ("Parameters", "Resources", "Outputs")
    names = {name for one in templates for section in sections for name in one[section]}
    looks = {word for word in words_of(document) if re.fullmatch(rf"(?:[A-Z][a-z]+)+(?:{PARTS})", word)}

    assert looks - names == set()


def test_the_settings_are_the_template_s_parameters_with_their_numbers() -> None:
    rows = re.findall(r"^\| ([A-Z]\w+(?:, \w+)*) \| ([^|]*) \|", text_of(ROOT / "docs" / "settings.md"), re.MULTILINE)
    said = {
        name: default
        for names, defaults in rows
        for name, default in zip_longest(names.split(", "), defaults.split(", "), fillvalue="")
    }
    parameters = template()["Parameters"]

    assert set(said) == set(parameters)
    numbers = {name: one["Default"] for name, one in parameters.items() if one["Type"] == "Number"}
    assert {name: int(said[name].split()[0]) for name in numbers} == numbers


@cache
def metrics() -> set[str]:
    """Return every metric that the dashboard shows, that an alarm watches, or that the code counts by a fixed name."""
    shown = (ROOT / "template.yaml").read_text(encoding="utf-8")
    found = set(re.findall(r'"InvoiceKey", "(\w+)"', shown)) | set(re.findall(r"MetricName: (\w+)", shown))
    code = (ROOT / "layers" / "invoicekey" / "python" / "invoicekey").rglob("*.py")
    return found | {name for file in code for name in re.findall(r'"([a-z]+(?:_[a-z0-9]+)+)"', file.read_text("utf-8"))}


@every_document
def test_what_looks_like_a_metric_is_counted(document: Path) -> None:
    looks = {code for code in code_of(document) if re.fullmatch(rf"(?:{METRICS})(?:_[a-z0-9]+)+", code)}

    assert looks - metrics() == set()


def test_every_room_and_module_has_its_place_in_the_architecture_in_the_order_of_imports() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    floors = [set(layer.split(" | ")) for layer in contract[0]["layers"]][::-1]
    table = text_of(ROOT / "docs" / "architecture.md").partition("| room | knows | modules |")[2].partition("\n\n")[0]
    rows = [
        [set(re.findall(r"`(\w+)`", cell)) for cell in row.split("|")[1:4]] for row in table.strip().split("\n")[1:]
    ]
    package = ROOT / "layers" / "invoicekey" / "python" / "invoicekey"

    assert sorted(room for (rooms, _, _) in rows for room in rooms) == sorted(
        room for floor in floors for room in floor
    )
    order = {room: number for number, floor in enumerate(floors) for room in floor}
    assert [order[room] for (rooms, _, _) in rows for room in rooms] == sorted(order.values())
    for (room,), _, modules in rows:
        assert modules - {"delivery", "vtex"} == {path.stem for path in (package / room).glob("[a-z]*.py")}


# ---- The glossary: whoever searches for the field's word gets to the right place


GLOSSARY = ROOT / "docs" / "glossary.md"
SEARCHED = ["dead letter", "rate limit", "retry", "back-off", "outbox", "idempotent", "snooze", "acknowledge"]


def terms() -> list[list[str]]:
    """Return the glossary's rows: term, what it is, the word in Portuguese, where, stored or sent as."""
    rows = [line.strip("|").split("|") for line in text_of(GLOSSARY).split("\n") if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows if row[0].strip() not in {"term", "---"}]


def modules_in(cell: str) -> list[Path]:
    package = ROOT / "layers" / "invoicekey" / "python" / "invoicekey"
    named = re.findall(r"`([\w/]+\.py)`", cell)
    return [(ROOT if name.startswith("operations/") else package) / name for name in named]


@pytest.mark.parametrize("term", [row[0] for row in terms()])
def test_a_term_is_explained_in_a_line_and_lives_somewhere_that_exists(term: str) -> None:
    ((_, meaning, portuguese, where, _),) = [row for row in terms() if row[0] == term]

    assert meaning
    assert portuguese
    assert modules_in(where) or re.search(r"\]\([^)]+\)", where)
    assert [module for module in modules_in(where) if not module.is_file()] == []


@pytest.mark.parametrize("word", SEARCHED)
def test_the_word_of_the_field_is_a_term_of_its_own(word: str) -> None:
    assert [row[0] for row in terms() if word in re.split(r"[,:] ", row[0])]


# ---- Samples: what a document shows is what is run


def test_the_consumer_that_is_shown_is_the_one_that_is_run() -> None:
    (shown,) = re.findall(r"^```python\n(.*?)^```$", text_of(ROOT / "docs" / "consuming.md"), re.MULTILINE | re.DOTALL)

    assert shown == (ROOT / "examples" / "consumer" / "plain.py").read_text(encoding="utf-8")


def rows_of_codes() -> dict[str, str]:
    """Return the severity of each code that docs/consuming.md explains."""
    rows = re.findall(r"^\| (`[^|]+) \| (error|warning) \|", text_of(ROOT / "docs" / "consuming.md"), re.MULTILINE)
    return {code: severity for codes, severity in rows for code in re.findall(r"`(\w+)`", codes)}


def test_the_codes_that_are_explained_are_all_there_are() -> None:
    assert rows_of_codes() == {code.value: code.severity.value for code in Code}


@pytest.mark.parametrize("kind", ["failing", "resolved", "expired"])
def test_the_fields_of_which_it_is_said_are_those_that_may_be_null(kind: str) -> None:
    (said,) = re.findall(
        r"^- \*\*Nulls\.\*\*(.*?)^- ", text_of(ROOT / "docs" / "consuming.md"), re.MULTILINE | re.DOTALL
    )
    schema = json.loads(text_of(ROOT / "docs" / "schemas" / f"{kind}.v1.schema.json"))
    fields = [field for part in (schema, *schema["$defs"].values()) for field in part.get("properties", {}).items()]

    assert set(re.findall(r"`(\w+)`", said)) == {name for name, it in fields if {"type": "null"} in it.get("anyOf", [])}


def test_what_is_replayed_is_a_function_and_a_sample_of_its_kind() -> None:
    kinds = {"ReceiveHookFunction": "hooks", "CheckInvoiceFunction": "checks"}
    lines = [line for line in code_of(ROOT / "docs" / "replaying.md") if line.startswith("sam local invoke ")]
    form = re.compile(r"sam local invoke (\w+) -e (events/(\w+)/\S+) --parameter-overrides \$ARCH")
    replays = [form.fullmatch(line) for line in lines if " -e " in line]

    assert len(replays) > 2
    for replay in replays:
        assert replay
        assert replay[1] in template()["Resources"]
        assert (ROOT / replay[2]).is_file()
        assert replay[3] == kinds.get(replay[1], "schedules")


# ---- Decisions: each stands in the list, by its own title


def test_every_decision_stands_in_the_list() -> None:
    decisions = ROOT / "docs" / "decisions"
    titles = {path.name: text_of(path).split("\n")[0] for path in decisions.glob("0*.md")}
    listed = re.findall(r"^\| (\d+) \| \[(.+)\]\((\S+)\) \| .+ \|$", text_of(decisions / "README.md"), re.MULTILINE)

    assert {file: f"# {number}. {title}" for number, title, file in listed} == titles
    assert [int(number) for number, _, _ in listed] == list(range(1, len(titles) + 1))


# ---- Security: each threat names its test


NAMED = sorted({code for code in code_of(ROOT / "docs" / "security.md") if code.startswith("tests/")})


@pytest.mark.parametrize("named", NAMED)
def test_a_test_that_security_names_exists(named: str) -> None:
    file, _, name = named.partition("::")

    assert (ROOT / file).is_file()
    assert not name or re.search(rf"^ *def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_threat_names_what_shows_that_it_is_stopped() -> None:
    threats = text_of(ROOT / "docs" / "security.md").partition("| threat | what stops it | shown by |")[2]
    rows = [row for row in threats.partition("\n\n")[0].split("\n") if row.startswith("| ") and "---" not in row]

    assert len(rows) > 20
    assert [row for row in rows if not re.search(r"`(tests/|make )[^`]+`[^|]*\|$", row)] == []
