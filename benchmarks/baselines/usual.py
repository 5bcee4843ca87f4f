"""The usual stack: what a hook's handler is commonly built of, answering a hook."""

import os
from typing import Any

import boto3
import httpx
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.parser import BaseModel, parse

logger = Logger(service="usual")
metrics = Metrics(namespace="Usual", service="usual")
app = APIGatewayHttpResolver(enable_validation=True)
sqs = boto3.client("sqs")
vtex = httpx.Client()
persistence = DynamoDBPersistenceLayer(table_name="idempotency")
config = IdempotencyConfig(event_key_jmespath="OrderId")


class Notification(BaseModel):
    """VTEX's notification, as far as the usual handler looks."""

    OrderId: str
    State: str | None = None


@idempotent_function(data_keyword_argument="notification", persistence_store=persistence, config=config)  # type: ignore[untyped-decorator]
def queue(notification: dict[str, Any]) -> str:
    """Send the event to SQS, once."""
    return sqs.send_message(QueueUrl=os.environ["HOOK_QUEUE_URL"], MessageBody=str(notification))["MessageId"]


@app.post("/hooks/vtex/orders")
def take() -> Response[str]:
    """Authenticate, validate and queue."""
    secret = parameters.get_secret(os.environ["HOOK_SECRET_ARN"], transform="json", max_age=300)
    if app.current_event.headers.get("x-hook-secret") != secret["current"]:
        return Response(status_code=401, body="")
    notification = parse(event=app.current_event.json_body, model=Notification)
    queue(notification=notification.model_dump())
    metrics.add_metric(name="queued", unit=MetricUnit.Count, value=1)
    return Response(status_code=200, body="")


@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer an event of the HTTP API."""
    config.register_lambda_context(context)
    return app.resolve(event, context)
