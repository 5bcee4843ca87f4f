"""What `make deploy` asks the first time: three questions, the other settings on request, and once whether to go on.

Each answer is looked at as it is typed. What is asked, and what it means, stands in template.yaml.
"""

from collections.abc import Callable, Iterator, Mapping

from operations.deploying.answers import fault
from operations.deployment.stack import Trouble
from operations.deployment.template import parameters, template
from operations.terminal.consent import is_yes

NOTHING = "none"
"""Typed where a setting is to stay empty; Enter alone would do that by mistake."""
A_MONTH = "$8.76"
"""What a shop of 10,000 orders a month pays, and a test holds to docs/costs.md."""

type Ask = Callable[[str], str]

_FIRST: Mapping[str, tuple[str, str]] = {
    "CnovaAffiliateIds": (
        "Which orders are CNova's? The affiliate ids of the store: the letters in front of its order ids, as VVJ in\n"
        f"VVJ-975102-01; several with commas. `{NOTHING}`: orders are known by their app alone.",
        "VVJ",
    ),
    "AlertEmail": (
        f"Who gets the alerts? An e-mail address; others can be added later. `{NOTHING}`: nobody, for now.",
        "fiscal@example.com",
    ),
    "AlertLanguage": ("In which language? pt-BR or en.", "pt-BR"),
}


def ask_settings(ask: Ask, say: Callable[[str], None]) -> dict[str, str]:
    """Ask for the settings; return those that were answered otherwise than the template's default, and the first."""
    answers: dict[str, str] = {}
    for name, (meaning, example) in _FIRST.items():
        say(f"\n{meaning}")
        default = str(parameters()[name]["Default"])
        answers[name] = _answer(
            ask, say, name, default, f"{name} [{default}]: " if default else f"{name} (as {example}): "
        )
    say("\nThe other settings have defaults that suit most shops; all can be changed later.")
    if is_yes(ask("See them one by one? [y/N]: ")):
        for name in _others():
            parameter = parameters()[name]
            say(f"\n{parameter['Description']}")
            default = str(parameter["Default"])
            value = _answer(ask, say, name, default, f"{name} [{default}]: ", may_be_empty=True)
            answers |= {name: value} if value != default else {}
    return answers


def ask_to_go_on(ask: Ask, say: Callable[[str], None], stack: str, account: str, region: str) -> None:
    """Say what is to be made, where and for how much, and raise Trouble where nobody agrees."""
    made = [one["Type"] for one in template()["Resources"].values()]
    functions, alarms = made.count("AWS::Serverless::Function"), sum("Alarm" in kind for kind in made)
    say(
        f"\nThis makes the stack {stack} in the AWS account {account}, region {region}:\n"
        f"{functions} functions, queues, topics, a table, two secrets, {alarms} alarms, a dashboard.\n"
        f"A shop of 10,000 orders a month pays about {A_MONTH} a month for it (docs/costs.md).\n"
        "Nothing is changed at VTEX by this."
    )
    if not is_yes(ask("Make it? [y/N]: ")):
        raise Trouble("Nothing was made. The answers are kept: make deploy asks only this the next time.")


def _answer(
    ask: Ask, say: Callable[[str], None], name: str, default: str, question: str, *, may_be_empty: bool = False
) -> str:
    """Ask until the answer fits."""
    while True:
        typed = ask(question).strip()
        value = "" if typed.casefold() == NOTHING else typed or default
        if not (value or typed or may_be_empty):
            say(f"  Type a value, or `{NOTHING}` to leave it empty.")
        elif wrong := fault(name, value):
            say(f"  {wrong}")
        else:
            return value


def _others() -> Iterator[str]:
    groups = template()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    for name in (name for group in groups for name in group["Parameters"]):
        if name not in _FIRST:
            yield name
