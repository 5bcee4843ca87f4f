"""`make deploy`: asks the first time, builds, deploys, and says who will be notified and what to do next."""

import os
import signal
import sys

if __name__ == "__main__":
    # To import the rest takes a moment, in which nothing is done yet that Ctrl-C could interrupt.
    usual = signal.signal(signal.SIGINT, lambda *_: os._exit(130))

import subprocess
from collections.abc import Mapping
from pathlib import Path

from operations.deploying.answers import faults
from operations.deploying.kept import (
    ANSWERS,
    Settings,
    answers_of,
    deployment_of,
    keep,
    one_a_line,
    settings_of,
    where_answers_are,
)
from operations.deploying.questions import ask_settings, ask_to_go_on
from operations.deploying.standing import Stack, make_ready
from operations.deployment.stack import DEFAULT_STACK, Deployment, Hearing, Trouble, explained, from_environment
from operations.deployment.template import ROOT
from operations.terminal import streams

DEFAULT_ARCHITECTURE = "arm64"
"""The template's."""


def main() -> int:
    """Deploy the profile that ENV names: dev (the default) or production."""
    return streams.run(_deploy_and_tell, interrupted="\nInterrupted. What CloudFormation had begun, it goes on with.")


def _deploy_and_tell() -> int:
    profile = os.environ.get("ENV") or "dev"
    deployment = deploy(profile)
    print(f"\nDeployed: {deployment.stack} in {deployment.region}\n")
    print(next_steps(deployment, profile))
    return 0


def deploy(profile: str) -> Deployment:
    """Build and deploy a profile of samconfig.toml; ask for its parameters while it has none."""
    settings = settings_of(profile)
    if not settings:
        raise Trouble(f"samconfig.toml has no profile {profile} to deploy; ENV names one: dev or production.")
    if not Deployment(DEFAULT_STACK, settings.get("region")).region:
        raise Trouble("No AWS region is set: set AWS_REGION, or run aws configure. Then make deploy again.")
    if ANSWERS not in settings:
        _ask(profile, settings)
    elif one_a_line(profile):
        print(f"The settings stand a line each now: {where_answers_are(profile)}")
    settings = settings_of(profile)
    _check(settings, profile)
    stack = Stack(deployment_of(settings))
    is_new = stack.standing() is None
    make_ready(stack, _where_to_mend(profile))
    is_agreed = is_new and _agree(settings)
    _build(settings)
    _deploy(profile, is_agreed=is_agreed)
    return deployment_of(settings)


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
    lines += ["", f"Settings: {where_answers_are(profile)}; change them there, and make deploy again"]
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


def _architecture_of(settings: Settings) -> str:
    return answers_of(settings).get("Architecture", DEFAULT_ARCHITECTURE)


def _check(settings: Settings, profile: str) -> None:
    """Raise Trouble where something of what was answered would be refused, before anything is made."""
    if found := faults(settings.get("stack_name", DEFAULT_STACK), answers_of(settings)):
        raise Trouble("\n".join([*found, f"Nothing was deployed. {_where_to_mend(profile)} Then make deploy again."]))


def _where_to_mend(profile: str) -> str:
    return f"The settings stand in {where_answers_are(profile)}: mend them there."


# ---- The first time


def _ask(profile: str, settings: Settings) -> None:
    """Ask for the settings, and keep them."""
    if not sys.stdin.isatty():
        raise Trouble(
            f"The first make deploy asks three questions: run it at a terminal, or write {where_answers_are(profile)}."
        )
    stack, region = os.environ.get("STACK") or settings.get("stack_name", DEFAULT_STACK), deployment_of(settings).region
    print("Three questions; Enter takes what stands in [brackets]. Nothing is made before you agree.")
    answers = ask_settings(input, print)
    if found := faults(stack, answers):
        raise Trouble("\n".join([*found, "Nothing was kept, and nothing was deployed. Run make deploy again."]))
    keep(profile, answers, stack_name=stack, region=str(region), s3_prefix=stack)
    print(f"\nKept, a line each: {where_answers_are(profile)}")


def _agree(settings: Settings) -> bool:
    """Say what is to be made, where and for how much; return whether somebody was there to agree."""
    deployment = deployment_of(settings)
    if not sys.stdin.isatty():
        return False
    with explained():
        account = deployment.client("sts").get_caller_identity()["Account"]
    ask_to_go_on(input, print, deployment.stack, account, str(deployment.region))
    return True


# ---- The SAM CLI


def _deploy(profile: str, *, is_agreed: bool) -> None:
    """Deploy what was built; where that fails, say what failed in the stack."""
    stack = Stack(deployment_of(settings_of(profile)))
    before = stack.last_event()
    try:
        _run_deploy(profile, *(["--no-confirm-changeset"] if is_agreed else []))
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
        raise Trouble(
            f"sam deploy failed; what it said stands above. {_where_to_mend(profile)[:-1]}, or remove that table to be "
            "asked again. Then make deploy again."
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
    signal.signal(signal.SIGINT, usual)
    raise SystemExit(main())
