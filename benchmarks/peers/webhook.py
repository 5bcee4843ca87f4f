"""The first peer: one function behind the HTTP API, which does everything before it answers.

What fails is answered with a 5xx, so that VTEX sends the event again. Nothing is kept: what came twice is told twice.
"""

import hmac
import json
import os
from typing import Any

import boto3
import httpx
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities import parameters

from benchmarks.peers.orders import problems_of, read_order

logger = Logger(service="webhook")
sns = boto3.client("sns")
vtex = httpx.Client(timeout=4)  # VTEX waits five seconds for the answer


def handler(event: dict[str, Any], _context: object) -> dict[str, int]:
    """Answer an event of the HTTP API."""
    secret = parameters.get_secret(os.environ["HOOK_SECRET_ARN"], transform="json", max_age=300)
    if not hmac.compare_digest(event["headers"].get("x-hook-secret", ""), secret["current"]):
        return {"statusCode": 401}
    try:
        notification = json.loads(event["body"])
        account, order_id = notification["Origin"]["Account"], notification["OrderId"]
    except (ValueError, KeyError, TypeError):
        return {"statusCode": 400}
    try:
        problems = problems_of(read_order(vtex, account, order_id))
    except httpx.HTTPError:
        logger.exception("the order could not be read")
        return {"statusCode": 503}
    if problems:
        sns.publish(
            TopicArn=os.environ["ALERT_TOPIC_ARN"],
            Subject=f"Order {order_id}: wrong access key",
            Message="\n".join([f"Order {order_id} of {account}", *problems]),
        )
    logger.info("checked", order_id=order_id, problems=problems)
    return {"statusCode": 200}
