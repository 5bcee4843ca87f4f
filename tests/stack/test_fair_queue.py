"""The hook queue is a fair one: whatever comes to it is of its account's group, by whichever way it came."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from local import events
from local.stack import LocalStack
from local.watch import Json, Watch, until
from tests.stack.shop import FED, Shop
from tests.stack.test_stack import told

pytestmark = pytest.mark.stack


def test_every_message_is_of_its_account_s_group(shop: Shop, stack: LocalStack, watch: Watch) -> None:
    failing, hooked, fed = shop.invoice(), shop.invoice("quietshop"), shop.invoice(FED)
    shop.notify(failing)
    told(watch, failing)
    stack.invoke("GuardHookFunction", {})
    stack.vtex("POST", "feed-events", {"account": FED, "orderId": fed, "state": "invoiced"})

    with no_checks(stack):
        shop.notify(hooked, account="quietshop")
        stack.invoke("RecheckFailuresFunction", {"all": True})
        stack.invoke("DrainFeedFunction", {})
        groups = groups_of(stack, {failing, hooked, fed})

    assert groups == {failing: events.ACCOUNT, hooked: "quietshop", fed: FED}


@contextmanager
def no_checks(stack: LocalStack) -> Iterator[None]:
    """Keep what comes to the hook queue there for a while."""
    functions, queue = stack.client("lambda"), stack.outputs["HookQueueUrl"].rpartition("/")[2]
    sources: list[Json] = functions.list_event_source_mappings()["EventSourceMappings"]
    (source,) = (one["UUID"] for one in sources if one["EventSourceArn"].endswith(f":{queue}"))
    functions.update_event_source_mapping(UUID=source, Enabled=False)
    try:
        yield
    finally:
        functions.update_event_source_mapping(UUID=source, Enabled=True)


def groups_of(stack: LocalStack, order_ids: set[str]) -> dict[str, str]:
    """Return the groups of the messages that are about these orders, once all are there.

    Other tests' failures are queued again too. What was looked at stays hidden until the end, or, of more than are read
    in the meantime, the first would come again and again.
    """
    sqs, queue, groups = stack.client("sqs"), stack.outputs["HookQueueUrl"], dict[str, str]()
    seen: list[str] = []

    def are_all_there() -> bool:
        answer = sqs.receive_message(
            QueueUrl=queue,
            MaxNumberOfMessages=10,
            VisibilityTimeout=120,
            WaitTimeSeconds=1,
            MessageSystemAttributeNames=["MessageGroupId"],
        )
        for message in answer.get("Messages", ()):
            seen.append(message["ReceiptHandle"])
            order_id = json.loads(message["Body"])["OrderId"]
            if order_id in order_ids:
                groups[order_id] = message["Attributes"]["MessageGroupId"]
        return groups.keys() == order_ids

    try:
        until(are_all_there, "the messages of all three")
    finally:
        for handle in seen:
            sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=0)
    return groups
