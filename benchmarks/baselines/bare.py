"""The floor: a handler that only makes an SQS client and sends what it was given."""

import os
from typing import Any

import boto3

sqs = boto3.client("sqs")


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Queue the body and answer."""
    sqs.send_message(QueueUrl=os.environ["HOOK_QUEUE_URL"], MessageBody=event["body"])
    return {"statusCode": 200}
