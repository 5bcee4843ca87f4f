"""The record topic, with the failure queue subscribed to it as the template does."""

from collections.abc import Callable
from typing import Any

import boto3


def record_topic(queue_url: str, name: str = "records", client: Callable[[str], Any] | None = None) -> str:
    """Make a topic of which the queue gets every record as it is; return its ARN."""
    make: Any = client or boto3.client
    sqs, sns = make("sqs"), make("sns")
    topic = sns.create_topic(Name=name)["TopicArn"]
    queue = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"})
    return str(topic)
