"""`make deploy`: builds, deploys (guided the first time), and says who will be told and what to do next."""

import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from operations.deployment import DEFAULT_STACK, Deployment, Trouble, from_environment

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "samconfig.toml"
ANSWERS = "parameter_overrides"
"""Where sam keeps what it asked for, in a profile of samconfig.toml."""
DEFAULT_ARCHITECTURE = "arm64"
"""The template's."""
INTERRUPTED = 130

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
    _build(settings)
    if ANSWERS in settings:
        _deploy(profile)
    else:
        settings = _deploy_guided(profile)
    return Deployment(settings.get("stack_name", DEFAULT_STACK), settings.get("region"))


def next_steps(deployment: Deployment, profile: str) -> str:
    """Say who will be told, whether the subscriptions are confirmed, and what to do next."""
    lines = []
    for topic, what, setting in (
        ("AlertTopicArn", "Alerts about orders", "AlertEmail"),
        ("OperationsTopicArn", "Trouble of the system", "OperationsEmail or AlertEmail"),
    ):
        told = deployment.subscriptions(topic)
        unheard = f"{what}: NOBODY is told. Set {setting} and deploy again; where it is set, subscribe it again in SNS."
        lines.append(f"{what}:" if told else unheard)
        for protocol, endpoint, confirmed in told:
            state = "confirmed" if confirmed else "NOT CONFIRMED: open the e-mail from AWS and confirm"
            lines.append(f"  {protocol} {endpoint}: {state}")
    lines += ["", *_next(deployment)]
    lines += ["", f"Settings: {_where_answers_are(profile)}; change them there, and make deploy again"]
    lines += [f"Dashboard: {deployment.output('DashboardUrl')}"]
    return "\n".join(lines)


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


def architecture_of(settings: Settings) -> str:
    """Return the architecture that a profile of samconfig.toml deploys for."""
    kept = settings.get(ANSWERS, "")
    try:
        answers = shlex.split(" ".join(kept if isinstance(kept, list) else [kept]))  # sam takes both
    except (TypeError, ValueError):
        raise Trouble(
            f"{ANSWERS} of samconfig.toml cannot be read. Expected a text as 'VtexAccounts=\"luxstore\" …', every "
            "quote closed, or a list of such texts. Mend it, and make deploy again."
        ) from None
    return dict(answer.partition("=")[::2] for answer in answers).get("Architecture", DEFAULT_ARCHITECTURE)


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


def _where_answers_are(profile: str) -> str:
    return f"{ANSWERS} in [{profile}.deploy.parameters] of samconfig.toml"


# ---- The SAM CLI


def _deploy_guided(profile: str) -> Settings:
    """Deploy what was built for the default architecture; sam asks first. Return the settings with the answers."""
    _deploy(profile, "--guided")
    settings = _settings(profile)
    if ANSWERS not in settings:
        raise Trouble(
            f"Deployed, but sam was told not to keep the answers as {_where_answers_are(profile)}; it asks again."
        )
    if (chosen := architecture_of(settings)) != DEFAULT_ARCHITECTURE:
        print(
            f"\nArchitecture {chosen} was chosen, and sam asks after it has built: building for it, deploying again",
            flush=True,
        )
        _build(settings)
        _deploy(profile)
    return settings


def _deploy(profile: str, *options: str) -> None:
    if _sam("deploy", "--config-env", profile, "--no-fail-on-empty-changeset", *options):
        where = _where_answers_are(profile)
        kept = f" The parameters stand as {where}: mend them there, or remove that line to be asked again."
        raise Trouble(
            f"sam deploy failed; what it said stands above.{kept if ANSWERS in _settings(profile) else ''}"
            " Then make deploy again."
        )


def _build(settings: Settings) -> None:
    if _sam("build", "--parameter-overrides", f"Architecture={architecture_of(settings)}"):
        raise Trouble("sam build failed; what it said stands above. Nothing was deployed.")


def _sam(*arguments: str) -> int:
    sam = Path(sys.executable).parent / "sam"
    environment = {"SAM_CLI_TELEMETRY": "0", **os.environ, "PATH": f"{sam.parent}{os.pathsep}{os.environ['PATH']}"}
    if region := os.environ.get("AWS_REGION"):  # which sam, as boto3, does not know
        environment["AWS_DEFAULT_REGION"] = region
    return subprocess.run([sam, *arguments], cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
