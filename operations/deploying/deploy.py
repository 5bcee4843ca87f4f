"""`make deploy`: builds, deploys (guided the first time), and says who will be notified and what to do next."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from operations.deploying.answers import faults
from operations.deploying.standing import Stack, make_ready
from operations.deployment.stack import DEFAULT_STACK, Deployment, Hearing, Trouble, from_environment
from operations.deployment.template import ROOT

CONFIG = ROOT / "samconfig.toml"
ANSWERS = "parameter_overrides"
"""Where sam keeps what it asked for, in a profile of samconfig.toml."""
DEFAULT_ARCHITECTURE = "arm64"
"""The template's."""
INTERRUPTED = 130
_IN_THE_AWS_CLIS_WAY = re.compile(r"^ParameterKey=([^,=]+),ParameterValue=")
"""sam takes that too."""

type Settings = dict[str, Any]


def main() -> int:
    """Deploy the profile that ENV names: dev (the default) or production."""
    profile = os.environ.get("ENV") or "dev"
    try:
        deployment = deploy(profile)
        print(f"\nDeployed: {deployment.stack} in {deployment.region}\n")
        print(next_steps(deployment, profile))
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. What CloudFormation had begun, it goes on with.", file=sys.stderr)
        return INTERRUPTED
    return 0


def deploy(profile: str) -> Deployment:
    """Build and deploy a profile of samconfig.toml; ask for its parameters while it has none."""
    settings = _settings(profile)
    if not settings:
        raise Trouble(f"samconfig.toml has no profile {profile} to deploy; ENV names one: dev or production.")
    if not Deployment(DEFAULT_STACK, settings.get("region")).region:
        raise Trouble("No AWS region is set: set AWS_REGION, or run aws configure. Then make deploy again.")
    if ANSWERS in settings:
        _check(settings, profile)
        make_ready(Stack(_deployment(settings)), _where_to_mend(profile))
        _build(settings)
    else:
        make_ready(Stack(_deployment(settings)))
        settings = _ask(profile, settings)
    _deploy(profile)
    return _deployment(settings)


def next_steps(deployment: Deployment, profile: str) -> str:
    """Say who will be notified, whether the subscriptions are confirmed, and what to do next."""
    lines = []
    for topic, what, setting in (
        ("AlertTopicArn", "Alerts about orders", "AlertEmail"),
        ("OperationsTopicArn", "Trouble of the system", "OperationsEmail or AlertEmail"),
    ):
        told = deployment.subscriptions(topic)
        unconfirmed = (
            f"{what}: NOBODY is notified. Set {setting} and deploy again; where it is set, subscribe it again in SNS."
        )
        is_reached = any(one.hearing is not Hearing.DELETED for one in told)
        lines.append(f"{what}:" if is_reached else unconfirmed)
        lines += [f"  {one.protocol} {one.endpoint}: {_HEARING[one.hearing]}" for one in told]
    lines += ["", *_next(deployment)]
    lines += ["", f"Settings: {_where_answers_are(profile)}; change them there, and make deploy again"]
    lines += [f"Dashboard: {deployment.output('DashboardUrl')}"]
    return "\n".join(lines)


_HEARING: Mapping[Hearing, str] = {
    Hearing.CONFIRMED: "confirmed",
    Hearing.PENDING: "NOT CONFIRMED: open the e-mail from AWS and confirm, within two days",
    Hearing.DELETED: "unsubscribed; SNS will soon forget it",
}


def _next(deployment: Deployment) -> list[str]:
    """Say what to do next: a shop without credentials is to be set up, another to be looked at."""
    command = f".venv/bin/invoicekey {{}}{_leading_to(deployment)}"
    if deployment.read_secret("VtexCredentialsSecretArn"):
        return [f"Next: {command.format('doctor')} says whether all is well"]
    return [
        f"Next: make setup, then {command.format('setup')}",
        "(asks for the VTEX account's appKey and appToken, installs the hook, sends a test alert)",
    ]


def _leading_to(deployment: Deployment) -> str:
    """Return the options that lead a command to this stack, where it would go elsewhere without them."""
    there = from_environment()
    stack = "" if there.stack == deployment.stack else f" --stack {deployment.stack}"
    region = "" if there.region == deployment.region else f" --region {deployment.region}"
    return stack + region


# ---- samconfig.toml, where sam keeps the answers


def answers_of(settings: Settings) -> dict[str, str]:
    """Return the template's parameters as a profile of samconfig.toml sets them."""
    kept = settings.get(ANSWERS, "")
    try:
        words = shlex.split(" ".join(kept if isinstance(kept, list) else [kept]))  # sam takes both
    except (TypeError, ValueError):
        raise Trouble(
            f"{ANSWERS} of samconfig.toml cannot be read. Expected a text as 'VtexAccounts=\"luxstore\" …', every "
            "quote closed, or a list of such texts. Mend it, and make deploy again."
        ) from None
    return dict(_IN_THE_AWS_CLIS_WAY.sub(r"\1=", word).partition("=")[::2] for word in words)


def _architecture_of(settings: Settings) -> str:
    return answers_of(settings).get("Architecture", DEFAULT_ARCHITECTURE)


def _check(settings: Settings, profile: str) -> None:
    """Raise Trouble where something of what was answered would be refused, before anything is made."""
    if found := faults(settings.get("stack_name", DEFAULT_STACK), answers_of(settings)):
        raise Trouble("\n".join([*found, f"Nothing was deployed. {_where_to_mend(profile)} Then make deploy again."]))


def _settings(profile: str) -> Settings:
    try:
        settings: Settings = tomllib.loads(CONFIG.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Trouble(f"samconfig.toml cannot be read: {error}. Mend it, and make deploy again.") from None
    for name in (profile, "deploy", "parameters"):
        found = settings.get(name, {})
        if not isinstance(found, dict):
            raise Trouble(f"samconfig.toml: {name} of [{profile}.deploy.parameters] is no table. Mend it.")
        settings = found
    return settings


def _deployment(settings: Settings) -> Deployment:
    return Deployment(settings.get("stack_name", DEFAULT_STACK), settings.get("region"))


def _where_answers_are(profile: str) -> str:
    return f"{ANSWERS} in [{profile}.deploy.parameters] of samconfig.toml"


def _where_to_mend(profile: str) -> str:
    return f"The parameters stand as {_where_answers_are(profile)}: mend them there."


# ---- The SAM CLI


def _ask(profile: str, settings: Settings) -> Settings:
    """Have sam ask for the parameters, and make nothing of them yet; return the settings with the answers."""
    _build(settings)
    try:
        _run_deploy(profile, "--guided", "--no-execute-changeset")
    except Trouble:
        if ANSWERS in (settings := _settings(profile)):
            _check(settings, profile)  # which says more than CloudFormation
        raise
    settings = _settings(profile)
    if ANSWERS not in settings:
        raise Trouble(
            "Nothing was deployed: sam was told not to keep the answers as "
            f"{_where_answers_are(profile)}. Run make deploy again, and let it keep them."
        )
    _check(settings, profile)
    make_ready(Stack(_deployment(settings)), _where_to_mend(profile))
    if (chosen := _architecture_of(settings)) != DEFAULT_ARCHITECTURE:
        print(f"\nArchitecture {chosen} was chosen, and sam asks after it has built: building for it", flush=True)
        _build(settings)
    return settings


def _deploy(profile: str) -> None:
    """Deploy what was built; where that fails, say what failed in the stack."""
    stack = Stack(_deployment(_settings(profile)))
    before = stack.last_event()
    try:
        _run_deploy(profile)
    except Trouble as trouble:
        raise Trouble("\n".join([*_what_failed(stack, before), str(trouble)])) from None


def _what_failed(stack: Stack, before: str | None) -> list[str]:
    """Say what failed since an event; nothing where sam came no further than to ask."""
    try:
        standing, failures = stack.standing(), stack.failures(after=before)
    except Trouble as trouble:
        return [str(trouble)]
    if standing is None or not failures:
        return []
    how = "" if standing.is_ready else ". The next make deploy offers a way out of that"
    return ["", *failures, f"{stack.place} is {standing.status} now{how}."]


def _run_deploy(profile: str, *options: str) -> None:
    if _sam("deploy", "--config-env", profile, "--no-fail-on-empty-changeset", *options):
        kept = f" {_where_to_mend(profile)[:-1]}, or remove that line to be asked again."
        raise Trouble(
            f"sam deploy failed; what it said stands above.{kept if ANSWERS in _settings(profile) else ''}"
            " Then make deploy again."
        )


def _build(settings: Settings) -> None:
    if _sam("build", "--parameter-overrides", f"Architecture={_architecture_of(settings)}"):
        raise Trouble("sam build failed; what it said stands above. Nothing was deployed.")


def _sam(*arguments: str) -> int:
    sam = Path(sys.executable).parent / "sam"
    environment = {"SAM_CLI_TELEMETRY": "0", **os.environ, "PATH": f"{sam.parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)  # ours, not that of what sam builds
    if region := os.environ.get("AWS_REGION"):  # which sam, as boto3, does not know
        environment["AWS_DEFAULT_REGION"] = region
    return subprocess.run([sam, *arguments], cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
