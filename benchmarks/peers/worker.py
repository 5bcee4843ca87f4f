"""The second peer: the usual worker of a queue, as Powertools' documentation has it. One record after the other.

What fails goes back to the queue, and after five receives to its dead-letter queue. An event is known by order, state
and time, and told once a day: with the order alone, what breaks anew within the day would never be told.
"""

import os
from typing import Any

import boto3
import httpx
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.parser import BaseModel
from aws_lambda_powertools.utilities.typing import LambdaContext

from benchmarks.peers.orders import problems_of, read_order

logger = Logger(service="worker")
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
persistence = DynamoDBPersistenceLayer(table_name="idempotency", key_attr="pk", expiry_attr="expires_at")
config = IdempotencyConfig(event_key_jmespath="[OrderId, State, CurrentChange]", expires_after_seconds=86_400)
sns = boto3.client("sns")
vtex = httpx.Client(timeout=10)


class Origin(BaseModel):
    """Whose order it is."""

    Account: str


class Notification(BaseModel):
    """VTEX's notification, as far as the worker looks."""

    OrderId: str
    State: str | None = None
    CurrentChange: str | None = None
    Origin: Origin


@idempotent_function(data_keyword_argument="notification", persistence_store=persistence, config=config)  # type: ignore[untyped-decorator]
def check(*, notification: dict[str, Any]) -> list[str]:
    """Check an order, and tell what is wrong with it."""
    order_id, account = notification["OrderId"], notification["Origin"]["Account"]
    problems = problems_of(read_order(vtex, account, order_id))
    if problems:
        sns.publish(
            TopicArn=os.environ["ALERT_TOPIC_ARN"],
            Subject=f"Order {order_id}: wrong access key",
            Message="\n".join([f"Order {order_id} of {account}", *problems]),
        )
    logger.info("checked", order_id=order_id, problems=problems)
    return problems


def take(record: SQSRecord) -> None:
    """Check the order that a record names."""
    check(notification=Notification.model_validate_json(record.body).model_dump())


def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Check a batch; answer which messages go back to the queue."""
    config.register_lambda_context(context)
    return process_partial_response(event=event, record_handler=take, processor=processor, context=context)
