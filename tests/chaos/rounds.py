"""Rounds of the deployed stack: orders change, faults hit AWS and VTEX, then all heals, and what came out is judged.

Some rounds go side by side in one storm, each a shop of its own with its own seed. A round's plan is drawn by its seed
before it begins. Nothing here knows the product's code: what is judged is what the outside sees.
"""

import itertools
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from local import events, processes
from local.fault_proxy import LOSES_ANSWER, Fault, FaultProxy, Seen
from local.reader import link_in
from local.stack import STACK_NAME, VTEX_CREDENTIALS, LocalStack, StackError
from local.watch import queue_for
from tests.keys import make_key

type Json = dict[str, Any]

SIDE_BY_SIDE = 10
ORDERS = (10, 20)
"""So many orders a round has: at least, at most."""
STORM_SECONDS = 9.0
PACE = 400
"""VtexRequestsPerMinute."""
TIMEOUT, VISIBILITY = 10, 12
"""Of the functions and of the hook queue, in seconds: shorter than the template's, so that a lease is over soon."""
QUIET_WITHIN = 240.0
SHARES = (0.1, 0.25, 0.4)
"""Of the requests to AWS that a storm spoils."""
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
VTEX_FAULTS: tuple[Json, ...] = (
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 503, "retry_after": 1},
    {"kind": "status", "status": 429, "retry_after": 1},
    {"kind": "status", "status": 403},
    {"kind": "login_page"},
    {"kind": "login_redirect"},
    {"kind": "drop"},
    {"kind": "drop_midway"},
    {"kind": "truncated_json"},
    {"kind": "empty_object"},
    {"kind": "wrong_order"},
    {"kind": "delay", "seconds": 1},
    {"kind": "trickle", "seconds": 1},
)
RECORD = "invoicekey.order."


# ---- A round's plan


@dataclass(frozen=True)
class Life:
    """What becomes of an order at VTEX, and how it ends up."""

    stages: tuple[str, ...]
    code: str | None = None
    """Of the error with which it is failing in the end; None where it is not."""
    act: str | None = None
    """What its alert's reader does at the desk."""
    way: str = "hook"

    @property
    def is_healthy(self) -> bool:
        """Say whether it never had a fault: nobody may hear of it."""
        return set(self.stages) <= {"good", "another marketplace's"}


LIVES: dict[str, Life] = {
    "healthy": Life(("good",)),
    "healthy, by the feed": Life(("good",), way="feed"),
    "another marketplace's": Life(("another marketplace's",)),
    "keyless": Life(("no key",), "missing"),
    "keyless, by the feed": Life(("no key",), "missing", way="feed"),
    "not invoiced in time": Life(("no invoice",), "no_invoice"),
    "mended": Life(("no key", "good")),
    "changed": Life(("no key", "short key"), "malformed"),
    "spoilt and mended": Life(("good", "short key", "good")),
    "canceled": Life(("no key", "canceled")),
    "dismissed": Life(("no key",), "missing", act="dismiss"),
    "snoozed": Life(("no key",), "missing", act="snooze"),
    "looked at": Life(("no key", "good"), act="check"),
}


@dataclass
class Order:
    """An order of a round."""

    number: int
    shop: str
    kind: str

    @property
    def id(self) -> str:
        """Return its id at VTEX."""
        return f"VVJ-{self.number}-01"

    @property
    def life(self) -> Life:
        """Return what becomes of it."""
        return LIVES[self.kind]

    def document(self, stage: str) -> Json:
        """Return it as it is at VTEX in a stage."""
        order = events.order_document(events.BY_NAME["key-missing"])
        order |= {"orderId": self.id, "marketplaceOrderId": f"{self.number}-01", "hostname": self.shop}
        good = make_key(tax_id=events.CNPJ, month=11, number=self.number)
        keys = {"no key": None, "short key": good[:-1]}
        order["packageAttachment"]["packages"][0] |= {
            "invoiceNumber": str(self.number),
            "invoiceKey": keys.get(stage, good),
        }
        if stage == "no invoice":
            order["packageAttachment"]["packages"] = []
        if stage == "canceled":
            order["status"] = "canceled"
        if stage == "another marketplace's":
            order |= {"affiliateId": "MZN", "marketplaceServicesEndpoint": "http://another.example/api"}
            order |= {"customData": None, "marketplace": {"baseURL": "http://another.example", "name": "Another"}}
        return order


@dataclass(frozen=True)
class Moment:
    """Something that the plan lets happen, so many seconds after the storm began."""

    at: float
    what: str
    order: Order | None = None
    stage: str = ""
    fault: str = ""
    """The simulator's fault, as JSON."""

    def __str__(self) -> str:
        """Return a line for whoever looks for what went wrong."""
        about = f"{self.order.id} ({self.order.kind}) {self.stage}" if self.order else self.fault
        return f"{self.at:5.2f} s  {self.what:8} {about}"


@dataclass
class Round:
    """A round: what happens, and what came of it."""

    seed: str
    shop: str
    orders: list[Order]
    moments: list[Moment]
    answers: Counter[int] = field(default_factory=Counter)
    unanswered: list[tuple[Order, str]] = field(default_factory=list)
    """The orders and stages whose hook was not answered 200: VTEX sends it again."""

    @property
    def by_id(self) -> dict[str, Order]:
        """Return its orders."""
        return {order.id: order for order in self.orders}


def plan(seed: str, shop: str, numbers: Iterator[int]) -> Round:
    """Draw a round's plan."""
    drawn = random.Random(seed)  # noqa: S311 - to be repeated
    kinds = [drawn.choice(list(LIVES)) for _ in range(drawn.randint(*ORDERS))]
    orders = [Order(next(numbers), shop, kind) for kind in kinds]
    moments = []
    for order in orders:
        at = 0.0
        for number, stage in enumerate(order.life.stages):
            at = drawn.uniform(at, at + STORM_SECONDS / (len(order.life.stages) + 1))
            moments.append(Moment(at, "changes", order, stage))
            way = order.life.way if number == 0 else "hook"
            moments.append(Moment(at + 0.01, way, order, stage))
            if drawn.random() < 0.4:  # VTEX repeats itself, and what it repeats comes in any order
                moments.append(Moment(drawn.uniform(at, STORM_SECONDS), "again", order, stage))
    for _ in range(drawn.randint(0, 4)):
        fault = {**drawn.choice(VTEX_FAULTS), "account": shop, "times": drawn.randint(1, 8)}
        moments.append(Moment(drawn.uniform(0, STORM_SECONDS * 0.7), "vtex", fault=json.dumps(fault)))
    return Round(seed, shop, orders, sorted(moments, key=lambda moment: moment.at))


# ---- The stack


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

    def deferred(self) -> int:
        """Count the alerts that wait for a digest."""
        keys = self._dynamodb.scan(TableName=self.stack.outputs["LedgerTableName"], ConsistentRead=True)["Items"]
        return sum(item["pk"]["S"].startswith("held#") for item in keys)


def changed_at(order: Order, stage: str) -> str:
    """Return an event's time: each stage has its own, and what is repeated has the same."""
    began = datetime.fromisoformat("2026-11-17T14:53:39+00:00")
    return (began + timedelta(seconds=order.life.stages.index(stage))).isoformat()


@contextmanager
def standing(home: Path, say: Callable[[str], None]) -> Iterator[World]:
    """Let the stack stand."""
    emulator, vtex = processes.free_ports(2)
    home.mkdir(parents=True, exist_ok=True)
    with FaultProxy(emulator) as proxy:
        parameters = {**PARAMETERS, "AwsEndpointUrl": proxy.url}
        with LocalStack(emulator, vtex, home, parameters, say=say, hook_secret=events.HOOK_SECRET) as stack:
            yield World(stack, proxy)


# ---- A storm, and what comes after it


@dataclass
class Outcome:
    """What came of some rounds side by side."""

    rounds: list[Round]
    seen: list[Seen]
    vtex_faults: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    doubles: Counter[str] = field(default_factory=Counter)
    """What was told twice, by the fault that explains it."""
    told: Counter[str] = field(default_factory=Counter)
    passed: int = 0
    """So many requests to AWS have come through unspoilt since the stack stands."""
    seconds: float = 0.0


def play(world: World, rounds: list[Round], storm_seed: str) -> Outcome:
    """Play rounds side by side, and judge them."""
    began, share = time.monotonic(), random.Random(storm_seed).choice(SHARES)  # noqa: S311 - to be repeated
    world.proxy.seen.clear()
    world.stack.vtex("DELETE", "requests")
    world.proxy.storm(storm_seed, share)
    with ThreadPoolExecutor(len(rounds) + 1) as pool:
        schedules = pool.submit(_run_the_schedules, world)
        for future in [pool.submit(_happen, world, one) for one in rounds]:
            future.result()
        schedules.result()
    world.proxy.heal()
    outcome = Outcome(rounds, list(world.proxy.seen))
    for fault in world.stack.vtex("GET", "faults")["faults"]:
        name = f"{fault['kind']} {fault['status']}" if fault["kind"] == "status" else fault["kind"]
        outcome.vtex_faults[name] += fault["used"]
    world.stack.vtex("DELETE", "faults")
    for one in rounds:
        _come_to_the_end(world, one)
    is_quiet = _wait_for_quiet(world)
    heard_before = {order_id: (len(heard.records), heard.notices) for order_id, heard in world.heard.items()}
    for one in rounds:  # everything comes once more
        for order in one.orders:
            world.post(order, order.life.stages[-1])
    is_quiet = _wait_for_quiet(world) and is_quiet
    if not is_quiet:
        outcome.violations.append(f"not quiet within {QUIET_WITHIN:.0f} s: {world.waiting()} messages wait")
    items = world.items()
    for one in rounds:
        _judge(world, one, outcome, items, heard_before)
    if dead := world.waiting("HookDeadLetterQueueUrl"):
        outcome.violations.append(f"{dead} dead letters")
    for shop in {one.shop for one in rounds}:
        _judge_pace(world, shop, outcome)
    outcome.seen, outcome.passed = list(world.proxy.seen), world.proxy.passed
    outcome.seconds = time.monotonic() - began
    return outcome


def _happen(world: World, one: Round) -> None:
    """Let a round's moments happen; its shop's people act as soon as they are alerted."""
    began, acted = time.monotonic(), set[str]()
    for moment in one.moments:
        time.sleep(max(0.0, began + moment.at - time.monotonic()))
        match moment.what, moment.order:
            case "vtex", _:
                world.stack.vtex("POST", "faults", json.loads(moment.fault))
            case "changes", Order() as order:
                world.stack.vtex("PUT", "orders", order.document(moment.stage))
            case "feed", Order() as order:
                world.feed(order, moment.stage)
            case _, Order() as order:
                _post(world, one, order, moment.stage)
        _act(world, one, acted)
    time.sleep(max(0.0, began + STORM_SECONDS - time.monotonic()))
    _act(world, one, acted)


def _post(world: World, one: Round, order: Order, stage: str) -> None:
    status = world.post(order, stage)
    one.answers[status] += 1
    if status != 200:
        one.unanswered.append((order, stage))


def _act(world: World, one: Round, acted: set[str]) -> None:
    for order in one.orders:
        link = world.heard[order.id].link
        if order.life.act and link and order.id not in acted:
            acted.add(order.id)
            act_at_desk(link, order.life.act)


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


def _run_the_schedules(world: World) -> None:
    began = time.monotonic()
    runs = itertools.cycle(
        [("DrainFeedFunction", {}), ("RecheckFailuresFunction", {"all": True}), ("SendDigestFunction", {})]
    )
    while time.monotonic() < began + STORM_SECONDS:
        world.run(*next(runs))
        world.collect()
        time.sleep(0.2)


def _come_to_the_end(world: World, one: Round) -> None:
    """Post again what was not answered 200, as VTEX does, in the end with the last state of each order."""
    for order, stage in one.unanswered:
        until_answered(lambda order=order, stage=stage: world.post(order, stage) == 200)
    for order in one.orders:
        if order.life.way == "hook" and len(order.life.stages) > 1:
            until_answered(lambda order=order: world.post(order, order.life.stages[-1]) == 200)


def until_answered(call: Callable[[], bool]) -> None:
    """Call until it is answered well: nothing fails any more."""
    for _ in range(20):
        if call():
            return
        time.sleep(0.3)
    raise StackError("the stack gives no good answer though all has healed")


def _wait_for_quiet(world: World) -> bool:
    """Wait until no message waits and no report is pending; the schedules run meanwhile. Say whether it came."""
    end, quiet = time.monotonic() + QUIET_WITHIN, 0
    while time.monotonic() < end:
        world.collect()
        if world.stack.vtex("GET", "feed-events")["events"]:
            world.run("DrainFeedFunction", {})
        is_busy = world.waiting() > 0
        if not is_busy and any(map(_is_pending, world.items().values())):
            world.run("RecheckFailuresFunction", {})
            is_busy = True
        if not is_busy and world.deferred():
            world.run("SendDigestFunction", {})
            is_busy = True
        quiet = 0 if is_busy else quiet + 1
        if quiet == 3:
            world.collect()
            return True
        time.sleep(0.3)
    return False


def _is_pending(item: Json) -> bool:
    report = item.get("report", {}).get("M")
    return bool(report) and not (report["recorded"]["BOOL"] and report["alerted"]["BOOL"])


# ---- What has to hold


def _judge(
    world: World, one: Round, outcome: Outcome, items: dict[str, Json], heard_before: dict[str, tuple[int, int]]
) -> None:
    for order in one.orders:
        heard = world.heard[order.id]
        outcome.told["records"] += len(heard.records)
        outcome.told["notices"] += heard.notices
        wrong = [*_wrong_in_the_end(order, heard, items.get(order.id)), *_told_twice(order, heard, outcome)]
        if (len(heard.records), heard.notices) != heard_before.get(order.id, (0, 0)):
            wrong.append("what came again was told again")
        outcome.violations += [f"{one.seed}: {order.id} ({order.kind}): {what}" for what in wrong]


def _wrong_in_the_end(order: Order, heard: Heard, item: Json | None) -> Iterator[str]:
    if item is None:
        yield "was answered 200 (or in the feed), and the ledger knows nothing of it"
        return
    outcome = item.get("outcome", {}).get("S")
    last = heard.reports[max(heard.reports)] if heard.reports else None
    kind = str(last["type"]).removeprefix(RECORD).removesuffix(".v1") if last else "nothing"
    if order.life.is_healthy:
        if heard.records or heard.notices:
            yield f"is healthy, and was reported: {kind}"
        return
    is_open = "errors_told" in item and "set_aside" not in item
    if order.life.code is None:
        if is_open or kind not in {"nothing", "resolved"}:
            yield f"is mended or canceled; in the ledger {outcome}, open: {is_open}, last record: {kind}"
        return
    if outcome != "failing" or last is None or not heard.notices:
        yield f"is failing; in the ledger {outcome}, last record: {kind}, notices: {heard.notices}"
        return
    if "set_aside" in item:
        if (kind, last["data"].get("reason")) != ("resolved", "dismissed"):
            yield f"is dismissed, last record: {kind}"
    elif kind != "failing" or {problem["code"] for problem in last["data"]["problems"]} != {order.life.code}:
        yield f"fails with {order.life.code}; last record: {last}"


def _told_twice(order: Order, heard: Heard, outcome: Outcome) -> Iterator[str]:
    """Explain what came twice by a fault that hit it; where there is none, it is a violation."""
    texts = {record["id"]: record for record in heard.records}
    if any(texts[record["id"]] != record for record in heard.records):
        yield "the same report came in two forms"
    for what, extra in (
        ("record", len(heard.records) - len(texts)),
        ("notice", heard.notices - len(heard.reports)),
    ):
        if extra <= 0:
            continue
        why = _explained(order.id, outcome.seen)
        if why:
            outcome.doubles[f"{what}: {why}"] += extra
        else:
            yield f"{extra} {what} too many, and no fault that explains it"


_NOTES = {"UpdateItem", "TransactWriteItems"}
_SENDS = {"PublishBatch", "Publish"}


def _explained(order_id: str, seen: Sequence[Seen]) -> str | None:
    for fault in seen:
        if order_id in fault.about and fault.operation in _SENDS and fault.fault in {*LOSES_ANSWER, Fault.SLOW}:
            return f"{fault.operation}, {fault.fault}"
    for fault in seen:
        if order_id in fault.about and fault.operation in _NOTES:
            return f"not noted: {fault.operation}, {fault.fault}"
    return None


def _judge_pace(world: World, shop: str, outcome: Outcome) -> None:
    """See that VTEX was asked no more often in any minute than is allowed."""
    requests = world.stack.vtex("GET", f"requests?account={shop}")["requests"]
    times = sorted(datetime.fromisoformat(request["at"]) for request in requests)
    first = 0
    for number, at in enumerate(times):
        while at - times[first] >= timedelta(minutes=1):
            first += 1
        if number - first + 1 > PACE:
            outcome.violations.append(f"{shop}: {number - first + 1} requests to VTEX within a minute")
            return


# ---- All of it


def campaign(rounds: int, seed: int, home: Path, say: Callable[[str], None]) -> Iterator[Outcome]:
    """Play so many rounds; yield what came of each few of them."""
    numbers = itertools.count(100001)
    with standing(home, say) as world:
        for begin in range(0, rounds, SIDE_BY_SIDE):
            some = range(begin, min(rounds, begin + SIDE_BY_SIDE))
            plans = [plan(f"{seed}/{number}", SHOPS[number % SIDE_BY_SIDE], numbers) for number in some]
            yield play(world, plans, f"{seed}/{begin} storm")
