"""`make check`: checks one order now, through the deployed function, and says what came out."""

import base64
import json
import os
import sys
import uuid
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from operations.deployment import Deployment, Trouble, from_environment


def main() -> int:
    """Check the order that ACCOUNT and ORDER name."""
    account, order = os.environ.get("ACCOUNT", ""), os.environ.get("ORDER", "")
    if not account or not order:
        print("Say which order: make check ACCOUNT=luxstore ORDER=VVJ-975101-01", file=sys.stderr)
        return 2
    try:
        print(told(check(from_environment(), account, order)))
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 1
    return 0


def check(deployment: Deployment, account: str, order: str) -> dict[str, Any]:
    """Invoke the checker with a notification of its own, and return the line that it logged of its decision."""
    body = {"OrderId": order, "State": "invoiced", "Origin": {"Account": account, "Key": "make check"}}
    event = {"Records": [{"messageId": str(uuid.uuid4()), "body": json.dumps(body)}]}
    resources = deployment.client("cloudformation")
    try:
        resource = resources.describe_stack_resource(
            StackName=deployment.stack, LogicalResourceId="CheckInvoiceFunction"
        )
        answer = deployment.client("lambda").invoke(
            FunctionName=resource["StackResourceDetail"]["PhysicalResourceId"],
            LogType="Tail",
            Payload=json.dumps(event),
        )
    except (BotoCoreError, ClientError) as error:
        raise Trouble(f"The function could not be invoked: {error}") from None
    lines = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace").splitlines()
    return _decision(lines)


def _decision(lines: list[str]) -> dict[str, Any]:
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("message") == "order checked":
            return entry
    raise Trouble("The function said nothing of the order; its logs (CheckInvoiceLogs) tell more.")


def told(decision: dict[str, Any]) -> str:
    """Say a decision in one line."""
    order = f"{decision['account']} {decision['order_id']}"
    if "dead" in decision:
        return f"{order}: went to the dead-letter queue ({decision['dead']})"
    if "retry" in decision:
        return f"{order}: could not be checked now: {decision['retry']}"
    if "outcome" not in decision:
        return f"{order}: VTEX does not know this order in this account, or not yet"
    problems = ", ".join(decision.get("problems", [])) or "none"
    suspect = "; it smells of CNova: is CnovaAffiliateIds right?" if decision.get("is_suspect") else ""
    return f"{order}: {decision['outcome']}; problems: {problems}{suspect}"


if __name__ == "__main__":
    raise SystemExit(main())
