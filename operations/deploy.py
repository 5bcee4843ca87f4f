"""`make deploy`: builds, deploys (guided the first time), and says who will be told and what to do next."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from operations.deployment import Deployment, Trouble

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "samconfig.toml"


def main() -> int:
    """Deploy the profile that ENV names: dev (the default) or production."""
    profile = os.environ.get("ENV") or "dev"
    try:
        deploy(profile)
        print(next_steps(Deployment(_settings(profile).get("stack_name", "invoicekey"))))
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 1
    return 0


def deploy(profile: str) -> None:
    """Build and deploy a profile of samconfig.toml; ask for its parameters while it has none."""
    settings = _settings(profile)
    if not settings:
        raise Trouble(f"samconfig.toml has no profile {profile}; there are dev and production.")
    _sam("build")
    guided = [] if "parameter_overrides" in settings else ["--guided"]
    _sam("deploy", "--config-env", profile, "--no-fail-on-empty-changeset", *guided)


def next_steps(deployment: Deployment) -> str:
    """Say who will be told, whether the subscriptions are confirmed, and what to do next."""
    lines = [f"\nDeployed: {deployment.stack}", ""]
    for topic, what in (("AlertTopicArn", "Alerts about orders"), ("OperationsTopicArn", "Trouble of the system")):
        told = deployment.subscriptions(topic)
        lines += [f"{what}: {'' if told else 'NOBODY is told. Set AlertEmail and deploy again.'}"]
        for protocol, endpoint, confirmed in told:
            state = "confirmed" if confirmed else "NOT CONFIRMED: open the e-mail from AWS and confirm"
            lines.append(f"  {protocol} {endpoint}: {state}")
    secret = deployment.read_secret("VtexCredentialsSecretArn")
    steps = ["make check ACCOUNT=your-account ORDER=an-order-id", "make hook ACCOUNT=your-account"]
    if not secret:
        steps.insert(0, "make credentials")
    lines += ["", "Next (STACK=" + deployment.stack + " before each, unless it is invoicekey):"]
    lines += [f"  {number}. {step}" for number, step in enumerate(steps, 1)]
    lines += ["", f"Dashboard: {deployment.outputs['DashboardUrl']}"]
    return "\n".join(lines)


def _settings(profile: str) -> dict[str, str]:
    config = tomllib.loads(CONFIG.read_text())
    parameters: dict[str, str] = config.get(profile, {}).get("deploy", {}).get("parameters", {})
    return parameters


def _sam(*arguments: str) -> None:
    sam = Path(sys.executable).parent / "sam"
    environment = {
        **os.environ,
        "PATH": f"{sam.parent}{os.pathsep}{os.environ['PATH']}",
        "SAM_CLI_TELEMETRY": os.environ.get("SAM_CLI_TELEMETRY", "0"),
    }
    if subprocess.run([sam, *arguments], cwd=ROOT, env=environment, check=False).returncode:
        raise Trouble(f"sam {arguments[0]} failed; what it said stands above. Nothing else was done.")


if __name__ == "__main__":
    raise SystemExit(main())
