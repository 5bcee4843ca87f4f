"""The deployed stack with the proxy before it, and all that comes out of it."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from local import events, processes
from local.fault_proxy import FaultProxy
from local.reader import link_in
from local.stack import STACK_NAME, VTEX_CREDENTIALS, LocalStack
from local.watch import queue_for
from tests.chaos.plans import Json, Order, changed_at

SIDE_BY_SIDE = 10
"""So many shops there are: a round each."""
PACE = 400
"""VtexRequestsPerMinute."""
TIMEOUT, VISIBILITY = 10, 12
"""Of the functions and of the hook queue, in seconds: shorter than the template's, so that a lease is over soon."""
_FAILED, _ENDED = "failed processing SQS batch", "\nTask timed out after "
SHOPS = tuple(f"shop{number}" for number in range(SIDE_BY_SIDE))
PARAMETERS = {
    **events.PARAMETERS,
    "VtexAccounts": ",".join(SHOPS),
    "VtexRequestsPerMinute": str(PACE),
    "RetryBaseSeconds": "1",
    "InvoiceGraceSeconds": "3",
    "AlertBurst": "8",
    "AlertWindowMinutes": "1",
    "SummaryOrders": "200",
}


@dataclass
class Heard:
    """What the outside got of one order."""

    records: list[Json] = field(default_factory=list)
    alerts: list[Json] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    """The texts of the digests in which it stands."""
    link: str = ""

    @property
    def reports(self) -> dict[int, Json]:
        """Return its records by their numbers, without repetitions."""
        return {record["data"]["report"]: record for record in self.records}

    @property
    def last_report(self) -> Json:
        """Return the record with the highest number; empty where there is none."""
        return self.reports[max(self.reports)] if self.records else {}

    @property
    def announced(self) -> int:
        """Count the reports of which people are to hear: a close other than ok has a record alone."""
        return sum(record["data"].get("reason") in {None, "ok"} for record in self.reports.values())

    @property
    def notices(self) -> int:
        """Count how often people heard of it."""
        return len(self.alerts) + len(self.digests)


class World:
    """The stack with its proxy, and all that came out of it."""

    def __init__(self, stack: LocalStack, proxy: FaultProxy) -> None:
        self.stack, self.proxy = stack, proxy
        self.heard: defaultdict[str, Heard] = defaultdict(Heard)
        self._sqs, self._dynamodb = stack.client("sqs"), stack.client("dynamodb")
        self._inbox, arn = queue_for(stack.outputs["AlertTopicArn"], "an-inbox", stack)
        stack.client("sns").subscribe(TopicArn=stack.outputs["AlertTopicArn"], Protocol="sqs", Endpoint=arn)
        self._shorten_waits()
        pairs = {shop: {**VTEX_CREDENTIALS, "app_key": f"vtexappkey-{shop}-LOCAL"} for shop in SHOPS}
        secret = stack.outputs["VtexCredentialsSecretArn"]
        stack.client("secretsmanager").put_secret_value(SecretId=secret, SecretString=json.dumps(pairs))
        stack.invoke("GuardHookFunction", {})

    def _shorten_waits(self) -> None:
        """Let an invocation end sooner than the template has it, and with it leases, and what a dead one held."""
        functions, resources = self.stack.client("lambda"), self.stack.client("cloudformation")
        for name in ("CheckInvoiceFunction", "DeskFunction"):
            found = resources.describe_stack_resource(StackName=STACK_NAME, LogicalResourceId=name)
            function = found["StackResourceDetail"]["PhysicalResourceId"]
            had = functions.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
            changed = {**had, "FUNCTION_TIMEOUT_SECONDS": str(TIMEOUT)}
            functions.update_function_configuration(
                FunctionName=function, Timeout=TIMEOUT, Environment={"Variables": changed}
            )
        self._sqs.set_queue_attributes(
            QueueUrl=self.stack.outputs["HookQueueUrl"], Attributes={"VisibilityTimeout": str(VISIBILITY)}
        )

    def post(self, order: Order, stage: str) -> int:
        """Call the hook as VTEX does; 0 where no answer comes."""
        event = events.notification(order.id, account=order.shop) | {"LastChange": changed_at(order, stage)}
        with suppress(OSError, HTTPException):
            return self.stack.post_hook(json.dumps(event).encode())
        return 0

    def feed(self, order: Order, stage: str) -> None:
        """Let VTEX's feed have the event, and only the feed."""
        event = {"account": order.shop, "orderId": order.id, "state": "invoiced"}
        self.stack.vtex("POST", "feed-events", event | {"lastChange": changed_at(order, stage)})

    def run(self, function: str, event: Json) -> bool:
        """Run a function as its schedule does; say whether it came to its end."""
        try:
            self.stack.invoke(function, event)
        except Exception:  # noqa: BLE001 - whatever ended it, its next run is to make up for it
            return False
        return True

    def collect(self) -> None:
        """Take the records and the alerts that have come."""
        for body in self._taken(self.stack.outputs["FailureQueueUrl"]):
            self.heard[body["subject"]].records.append(body)
        for letter in self._taken(self._inbox):
            kind = letter["MessageAttributes"]["type"]["Value"]
            order_id = letter["Subject"].partition(":")[0]
            if kind in {"failing", "resolved", "expired"}:
                self.heard[order_id].alerts.append(letter)
                self.heard[order_id].link = link_in(letter["Message"]) or self.heard[order_id].link
            elif kind == "digest":
                for named in set(self.proxy.named_in(letter["Message"])):
                    self.heard[named].digests.append(letter["Message"])

    def _taken(self, url: str) -> Iterator[Json]:
        while batch := self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in batch:
                self._sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                yield json.loads(message["Body"])

    def waiting(self, queue: str = "HookQueueUrl") -> int:
        """Count the messages in a queue, hidden ones too."""
        names = ["", "NotVisible", "Delayed"]
        asked = [f"ApproximateNumberOfMessages{name}" for name in names]
        has = self._sqs.get_queue_attributes(QueueUrl=self.stack.outputs[queue], AttributeNames=asked)["Attributes"]
        return sum(int(number) for number in has.values())

    def items(self, shops: Sequence[str] = SHOPS) -> dict[str, Json]:
        """Return what the ledger holds of the shops' orders, by order id, in DynamoDB's own JSON."""
        found: dict[str, Json] = {}
        for page in self._dynamodb.get_paginator("scan").paginate(
            TableName=self.stack.outputs["LedgerTableName"], ConsistentRead=True
        ):
            for item in page["Items"]:
                kind, _, name = item["pk"]["S"].partition("#")
                shop, _, order_id = name.partition("#")
                if kind == "order" and shop in shops:
                    found[order_id] = item
        return found

    def met_a_death(self) -> set[str]:
        """Return the orders of batches in which the checker was ended at its timeout, from the log of what it said."""
        log = (self.stack.home / "emulator.log").read_text(errors="replace")
        said = [part.partition(_ENDED)[0] for part in log.split(_FAILED)[1:] if _ENDED in part]
        return {order_id for part in said for order_id in self.proxy.named_in(part)}

    def deferred(self) -> int:
        """Count the alerts that wait for a digest."""
        keys = self._dynamodb.scan(TableName=self.stack.outputs["LedgerTableName"], ConsistentRead=True)["Items"]
        return sum(item["pk"]["S"].startswith("held#") for item in keys)


@contextmanager
def standing(home: Path, say: Callable[[str], None]) -> Iterator[World]:
    """Let the stack stand."""
    emulator, vtex = processes.free_ports(2)
    home.mkdir(parents=True, exist_ok=True)
    with FaultProxy(emulator) as proxy:
        parameters = {**PARAMETERS, "AwsEndpointUrl": proxy.url}
        with LocalStack(emulator, vtex, home, parameters, say=say, hook_secret=events.HOOK_SECRET) as stack:
            yield World(stack, proxy)


def act_at_desk(link: str, act: str) -> int:
    """Send the form of an order's page, and return the answer's status; 0 where none comes."""
    parts = urlsplit(link)
    until = (datetime.now() + timedelta(days=3)).date().isoformat()  # noqa: DTZ005 - a day, as a person says it
    form = urlencode({"act": act, "reason": "portal", "until": until})
    headers = {"Host": parts.netloc, "Content-Type": "application/x-www-form-urlencoded"}
    connection = HTTPConnection(processes.LOOPBACK, parts.port or 80, timeout=30)
    try:
        connection.request("POST", parts.path, form, headers)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return 0
    finally:
        connection.close()
