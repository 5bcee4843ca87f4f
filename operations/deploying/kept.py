"""samconfig.toml, where the settings of each deployment are kept: one a line, as the SAM CLI takes them."""

import json
import re
import shlex
import tomllib
from collections.abc import Mapping
from typing import Any

from operations.deployment.stack import DEFAULT_STACK, Deployment, Trouble
from operations.deployment.template import ROOT

CONFIG = ROOT / "samconfig.toml"
ANSWERS = "parameter_overrides"
"""The template's parameters, in a profile of samconfig.toml."""
_IN_THE_AWS_CLIS_WAY = re.compile(r"^ParameterKey=([^,=]+),ParameterValue=")
"""sam takes that too."""

type Settings = dict[str, Any]


def settings_of(profile: str) -> Settings:
    """Return what sam is given for a profile; empty where there is no such profile."""
    settings = _parsed(_read())
    for name in (profile, "deploy", "parameters"):
        found = settings.get(name, {})
        if not isinstance(found, dict):
            raise Trouble(f"samconfig.toml: {name} of [{profile}.deploy.parameters] is no table. Mend it.")
        settings = found
    return settings


def answers_of(settings: Settings) -> dict[str, str]:
    """Return the template's parameters as a profile sets them: a table, or what sam takes besides."""
    kept = settings.get(ANSWERS, "")
    if isinstance(kept, dict):
        return {name: str(value) for name, value in kept.items()}
    try:
        words = shlex.split(" ".join(kept if isinstance(kept, list) else [kept]))
    except (TypeError, ValueError):
        raise Trouble(
            f'{ANSWERS} of samconfig.toml cannot be read. Expected a table, with a line as AlertEmail = "a@b.com" for '
            "each setting (or a text, or a list of such texts, every quote closed). Mend it, and make deploy again."
        ) from None
    return dict(_IN_THE_AWS_CLIS_WAY.sub(r"\1=", word).partition("=")[::2] for word in words)


def keep(profile: str, answers: Mapping[str, str], **about: str) -> None:
    """Keep the answers of a profile that has none, and where it is deployed to (`stack_name`, `region`, …)."""
    text = _read()
    _section(text, profile)  # or it says that there is none
    for name, value in reversed(about.items()):  # each goes to the top
        text = _with(text, profile, name, value)
    _write(_with_answers(text, profile, answers), profile, answers)


def one_a_line(profile: str) -> bool:
    """Write answers that sam kept in one long line as a table; say whether there were any."""
    text, answers = _read(), answers_of(settings_of(profile))
    header, section, rest = _section(text, profile)
    shorter = re.sub(rf"(?m)^{ANSWERS} *= *([\"']).*\1 *(#.*)?\n?", "", section)
    if shorter == section:
        return False
    _write(_with_answers(header + shorter + rest, profile, answers), profile, answers)
    return True


def deployment_of(settings: Settings) -> Deployment:
    """Return the deployment that a profile is about."""
    return Deployment(settings.get("stack_name", DEFAULT_STACK), settings.get("region"))


def where_answers_are(profile: str) -> str:
    """Say where a person finds the settings."""
    return f"[{profile}.deploy.parameters.{ANSWERS}] of samconfig.toml"


def _with_answers(text: str, profile: str, answers: Mapping[str, str]) -> str:
    lines = "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in answers.items())
    about = "# Every setting, its default and what it means: docs/settings.md. Change one here, then make deploy.\n"
    return f"{text.rstrip()}\n\n{about}[{profile}.deploy.parameters.{ANSWERS}]\n{lines}"


def _with(text: str, profile: str, name: str, value: str) -> str:
    header, section, rest = _section(text, profile)
    line = f"{name} = {json.dumps(value)}\n"
    without = re.sub(rf"(?m)^{name} *=.*\n", "", section)
    return header + line + without + rest


def _section(text: str, profile: str) -> tuple[str, str, str]:
    """Part the text into what ends with the profile's heading, what stands under that, and what comes after it."""
    heading = re.search(rf"(?m)^\[{re.escape(profile)}\.deploy\.parameters\].*\n", text)
    if heading is None:
        raise Trouble(f"samconfig.toml has no line [{profile}.deploy.parameters]; put it there, and make deploy again.")
    end = re.compile(r"(?m)^(\[|# .*\n\[)").search(text, heading.end())
    at = end.start() if end else len(text)
    return text[: heading.end()], text[heading.end() : at], text[at:]


def _write(text: str, profile: str, answers: Mapping[str, str]) -> None:
    """Write the file, once it is sure that it says the same."""
    if _parsed(text)[profile]["deploy"]["parameters"].get(ANSWERS) != dict(answers):
        raise Trouble(f"samconfig.toml could not be changed: write the settings into {where_answers_are(profile)}.")
    CONFIG.write_text(text, encoding="utf-8")


def _read() -> str:
    try:
        return CONFIG.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Trouble(f"samconfig.toml cannot be read: {error}. Mend it, and make deploy again.") from None


def _parsed(text: str) -> Settings:
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise Trouble(f"samconfig.toml cannot be read: {error}. Mend it, and make deploy again.") from None
