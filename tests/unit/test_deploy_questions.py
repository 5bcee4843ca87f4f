"""What `make deploy` asks the first time, and how it keeps what was answered."""

import io
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from benchmarks.cost import rows
from operations.deploying import kept
from operations.deploying.questions import A_MONTH, ask_settings, ask_to_go_on
from operations.deployment.stack import Trouble
from operations.deployment.template import ROOT, parameters, template
from operations.terminal.consent import agrees, is_yes

OLD = r"""parameter_overrides = "Architecture=\"arm64\" DigestSchedule=\"rate(1 hour)\" CnovaAffiliateIds=\"VVJ,CSB\""
"""


class Person:
    """Somebody who answers, and reads what is said."""

    def __init__(self, *answers: str) -> None:
        self._answers = iter(answers)
        self.asked: list[str] = []
        self.said: list[str] = []

    def ask(self, question: str) -> str:
        self.asked.append(question.partition(" ")[0])
        return next(self._answers, "")

    def settings(self) -> dict[str, str]:
        return ask_settings(self.ask, self.said.append)


def test_three_questions_are_asked_and_the_rest_on_request() -> None:
    person = Person("VVJ", "fiscal@example.com", "", "")

    assert person.settings() == {
        "CnovaAffiliateIds": "VVJ", "AlertEmail": "fiscal@example.com", "AlertLanguage": "pt-BR",
    }  # fmt: skip
    assert person.asked == ["CnovaAffiliateIds", "AlertEmail", "AlertLanguage", "See"]


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("", "`none` to leave it empty"),
        ("VVJ;CSB", "CnovaAffiliateIds: expected affiliate ids such as VVJ"),
    ],
)
def test_an_answer_that_does_not_fit_is_told_and_asked_again(typed: str, told: str) -> None:
    person = Person(typed, "VVJ", "none", "en", "n")

    assert person.settings() == {"CnovaAffiliateIds": "VVJ", "AlertEmail": "", "AlertLanguage": "en"}
    assert [said for said in person.said if told in said]


def test_of_the_other_settings_those_are_kept_that_are_not_the_template_s() -> None:
    others = [name for name in parameters() if name not in {"CnovaAffiliateIds", "AlertEmail", "AlertLanguage"}]
    person = Person("VVJ", "none", "", "sim", *[""] * 3, "invoiced,ready-for-handling")

    answers = person.settings()

    assert sorted(person.asked[4:]) == sorted(others)
    assert {name: value for name, value in answers.items() if name in others} == {
        "WatchedStatuses": "invoiced,ready-for-handling"
    }
    assert [said for said in person.said if parameters()["VtexAccounts"]["Description"] in said]


@pytest.mark.parametrize(("answer", "agrees"), [("y", True), ("S", True), ("sim", True), ("n", False), ("", False)])
def test_yes_is_understood_in_both_languages(answer: str, agrees: bool) -> None:
    assert is_yes(answer) is agrees


@pytest.mark.parametrize(
    ("typed", "default", "agrees_to_it"),
    [
        ("sim\n", False, True),
        ("N\n", True, False),
        ("\n", True, True),
        ("\n", False, False),
        ("quem?\nnão\n", True, False),
    ],
)
def test_a_question_is_asked_until_there_is_an_answer(
    typed: str, default: bool, agrees_to_it: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))

    assert agrees("Replace them?", default=default) is agrees_to_it
    assert capsys.readouterr().err.count("Replace them?") == typed.count("\n")


def test_the_end_of_the_input_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    with pytest.raises(KeyboardInterrupt):
        agrees("Replace them?", default=True)


def test_what_is_made_where_and_for_how_much_is_said_before_it_is_made() -> None:
    person = Person("n")

    with pytest.raises(Trouble, match="Nothing was made"):
        ask_to_go_on(person.ask, person.said.append, "invoicekey-dev", "123456789012", "sa-east-1")
    (said,) = person.said
    assert re.search("stack invoicekey-dev in the AWS account 123456789012, region sa-east-1", said)
    assert A_MONTH in said


def test_the_price_is_that_of_the_template() -> None:
    assert f"${sum(row.dollars for row in rows(template())):.2f}" == A_MONTH


# ---- samconfig.toml


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "samconfig.toml"
    shutil.copy(ROOT / "samconfig.toml", path)
    monkeypatch.setattr(kept, "CONFIG", path)
    return path


def test_answers_are_kept_a_line_each_beside_where_they_go(config: Path) -> None:
    answers = {"CnovaAffiliateIds": "VVJ", "SellerTaxIds": 'of "somebody", ção'}

    kept.keep("dev", answers, stack_name="shop", region="sa-east-1")

    written = tomllib.loads(config.read_text("utf-8"))
    assert written["dev"]["deploy"]["parameters"] == {
        "stack_name": "shop", "region": "sa-east-1", "capabilities": "CAPABILITY_IAM", "resolve_s3": True,
        "confirm_changeset": False, "parameter_overrides": answers,
    }  # fmt: skip
    assert '\nCnovaAffiliateIds = "VVJ"\n' in config.read_text("utf-8")
    assert kept.answers_of(kept.settings_of("dev")) == answers
    assert not kept.one_a_line("dev"), "they are so already"


@pytest.mark.parametrize("comment", ["", "# mine\n"])
def test_the_long_line_of_a_former_version_becomes_a_line_each(config: Path, comment: str) -> None:
    before = config.read_text("utf-8").replace(
        "confirm_changeset = true\n", f"confirm_changeset = true\n{comment}{OLD}"
    )
    config.write_text(before, "utf-8")
    answers = kept.answers_of(kept.settings_of("production"))

    assert kept.one_a_line("production")

    assert kept.settings_of("production")["parameter_overrides"] == answers
    assert answers == {"Architecture": "arm64", "DigestSchedule": "rate(1 hour)", "CnovaAffiliateIds": "VVJ,CSB"}
    assert kept.settings_of("dev") == tomllib.loads(before)["dev"]["deploy"]["parameters"]
    assert comment in config.read_text("utf-8")


def test_a_profile_that_is_written_otherwise_is_left_to_its_owner(config: Path) -> None:
    config.write_text('[dev]\ndeploy.parameters = { stack_name = "a" }\n', "utf-8")

    with pytest.raises(Trouble, match=r"no line \[dev\.deploy\.parameters\]"):
        kept.keep("dev", {"AlertEmail": ""})
