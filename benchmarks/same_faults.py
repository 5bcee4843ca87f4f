"""The same faults for the product and its peers: which failing orders nobody hears of, and which are told twice."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from benchmarks import orders
from benchmarks.contenders import BATCH, NAMES, body_of, contenders, faulty, named, record
from benchmarks.figures import Figure, at_most, rows_of
from benchmarks.functions import hook_event
from benchmarks.runtime import Bench, Contender, Running, http
from local.vtex_simulator import Fault, VtexSimulator


@dataclass(frozen=True)
class Trouble:
    """A script: what fails, and what comes twice. `aws` is by the operations and kind of faulty_aws.AwsFault."""

    name: str
    aws: tuple[dict[str, Any], ...] = ()
    vtex: Fault | None = None
    failing: int = BATCH
    """So many orders fail."""
    outage_receives: int = 0
    """Until every event was received so often, VTEX answers 503."""
    is_unknown: bool = False
    """Whether nobody can know if a message was sent: it is sent again, or it may be lost."""
    repeats: tuple[str, ...] = ()
    """What comes again once all is done: `same` at once, `later` after two days, `event` as another event."""


_SENDS = ["Publish", "PublishBatch"]
_WRITES = ["PutItem", "TransactWriteItems"]
ONE_IN = 10
_ALERTS: dict[str, Any] = {"operations": _SENDS, "topic": ":alerts", "times": 1_000, "every": ONE_IN}
TROUBLES = (
    Trouble("nothing fails"),
    Trouble("VTEX answers 429 ten times", vtex=Fault("status", status=429, retry_after=1, times=10)),
    Trouble("VTEX answers 500 ten times", vtex=Fault("status", status=500, times=10)),
    Trouble("VTEX answers 503 while each event is received six times", outage_receives=6),
    Trouble("SNS throttles six calls", ({"operations": _SENDS, "kind": "throttle", "times": 6},)),
    Trouble("DynamoDB answers 500 twelve times", ({"operations": _WRITES, "kind": "error", "times": 12},)),
    Trouble("a write's answer is lost, its effect is not", ({"operations": _WRITES, "kind": "reset", "times": 1},)),
    Trouble(
        f"of every {ONE_IN}th call that alerts, the answer is lost and its effect is not",
        ({**_ALERTS, "kind": "reset"},),
        failing=BATCH * ONE_IN,
        is_unknown=True,
    ),
    Trouble(
        f"the function is killed after every {ONE_IN}th call that alerts",
        ({**_ALERTS, "kind": "kill"},),
        failing=BATCH * ONE_IN,
        is_unknown=True,
    ),
    Trouble("everything comes again, at once", repeats=("same",)),
    Trouble("everything comes again, two days later", repeats=("later",)),
    Trouble("another event of each order, nothing mended", repeats=("event",)),
)
MOST_RECEIVES = {"webhook": 100, "worker": 5, "product": 200}
"""VTEX's patience, the usual maxReceiveCount, and the template's."""
TRIED_SECONDS = 100.0
"""So long it is tried here, where there are receives left."""
TIMEOUTS = {"webhook": 5, "worker": 5, "product": 10}
"""Seconds, of the functions: short, for the worker's lock lasts as long and the product's lease twice as long."""
HIDDEN = {"webhook": 1.0, "worker": 6.0, "product": 21.0}
"""Seconds until what failed comes again: the hook's call soon, a message when its visibility ends, after lock or lease.

Where the product says itself for how long, by ChangeMessageVisibility, that counts.
"""


@dataclass(frozen=True)
class Told:
    """What came of a trouble."""

    lost: int
    """Failing orders without a notice."""
    doubled: int
    """Failing orders told more than once."""
    dead: int
    """Events in a dead-letter queue."""


def befall(bench: Bench, contender: Contender, trouble: Trouble) -> Told:
    """Play a trouble: failing orders and five without fault, each with one event."""
    for name in ("sent", "faults"):
        http("DELETE", bench.aws_port, f"/{name}")
    bench.forget()
    timeout = str(TIMEOUTS[contender.name])
    limits = {"AWS_LAMBDA_FUNCTION_TIMEOUT": timeout, "FUNCTION_TIMEOUT_SECONDS": timeout}
    contender = replace(contender, environment={**contender.environment, **limits})
    failing = named("BAD", trouble.failing)
    for number, order_id in enumerate(failing[BATCH:], start=4 * BATCH):
        bench.vtex.put_order(orders.with_key(order_id, number, None))
    bodies = [body_of(order_id) for order_id in (*failing, *named("OK", 5))]
    with bench.running(contender) as running:
        for _ in range(2):  # a start may take the time that the first one had
            running.try_invoke(contender.event)
        bench.forget()
        dead = _deliver(bench, running, contender, bodies, trouble)
        for repeat in trouble.repeats:
            if repeat == "later":
                http("PUT", bench.aws_port, "/later", json.dumps(2 * 86_400).encode())
            again = bodies if repeat != "event" else [body_of(one, "2026-03-03T15:30:00Z") for one in failing]
            dead += _deliver(bench, running, contender, again, Trouble("once more"))
    sent: list[list[str]] = json.loads(http("GET", bench.aws_port, "/sent"))
    alerts = [text for topic, text in sent if topic.endswith(":alerts")]
    counted = Counter({one: sum(f"{one} " in text or f"{one}:" in text for text in alerts) for one in failing})
    return Told(sum(count == 0 for count in counted.values()), sum(count > 1 for count in counted.values()), dead)


def _deliver(bench: Bench, running: Running, contender: Contender, bodies: Sequence[str], trouble: Trouble) -> int:
    """Hand over events until all are done, as the hook or the queue would; return how many are given up."""
    faults = [{**fault, "emulator": running.emulator} for fault in trouble.aws]
    http("PUT", bench.aws_port, "/faults", json.dumps(faults).encode())
    if trouble.vtex:
        bench.vtex.fail(replace(trouble.vtex))
    outage = bench.vtex.fail(Fault("status", status=503)) if trouble.outage_receives else None
    left, until = list(enumerate(bodies)), time.monotonic() + TRIED_SECONDS
    for receive in range(1, MOST_RECEIVES[contender.name] + 1):
        if outage and receive > trouble.outage_receives:
            bench.vtex.faults.clear()
        left, hidden = _receive(bench, running, contender, left, receive)
        if not left or time.monotonic() > until:
            break
        time.sleep(hidden)
    bench.vtex.faults.clear()
    return len(left)


def _receive(
    bench: Bench, running: Running, contender: Contender, left: Sequence[tuple[int, str]], receive: int
) -> tuple[list[tuple[int, str]], float]:
    """Hand over what is left, once; return what comes again, and after how many seconds."""
    back: list[tuple[int, str]] = []
    size = 1 if contender.name == "webhook" else BATCH
    http("DELETE", bench.aws_port, "/hidden")
    for start in range(0, len(left), size):
        some = left[start : start + size]
        batch = {"Records": [record(*one, receive) for one in some]}
        answer = running.try_invoke(hook_event() | {"body": some[0][1]} if size == 1 else batch)
        back += [one for one in some if _is_left(answer, f"m{one[0]}")]
    hidden = json.loads(http("GET", bench.aws_port, "/hidden"))
    asked = [hidden[f"r{number}"] for number, _ in back if f"r{number}" in hidden]
    return back, min(asked) if asked and len(asked) == len(back) else HIDDEN[contender.name]


def _is_left(answer: Mapping[str, Any], message_id: str) -> bool:
    """Say whether an event is to come again: the function failed, or said so."""
    if "batchItemFailures" in answer:
        return {"itemIdentifier": message_id} in answer["batchItemFailures"]
    return answer.get("statusCode") not in {HTTPStatus.OK, HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED}


def measure_faults() -> dict[str, list[Told]]:
    """Play every trouble with each contender, all at once, for most of it is waiting: each has an AWS and a VTEX."""
    with ThreadPoolExecutor(len(NAMES)) as threads:
        return dict(zip(NAMES, threads.map(_befallen, NAMES), strict=True))


def _befallen(name: str) -> list[Told]:
    with VtexSimulator() as vtex, faulty(vtex) as bench:
        return [befall(bench, contenders()[name], trouble) for trouble in TROUBLES]


def text(told: Mapping[str, Sequence[Told]]) -> str:
    """Return what is told of the faults."""
    each = zip(TROUBLES, *(told[name] for name in NAMES), strict=True)
    rows = [(trouble.name, *(_came_to(one) for one in came)) for trouble, *came in each]
    return "\n\n".join(["### The same faults", _FAULTS, rows_of(("", *NAMES), rows)])


def _came_to(told: Told) -> str:
    dead = f", {told.dead} given up" if told.dead else ""
    return "0 / 0" + dead if not (told.lost or told.doubled) else f"**{told.lost} / {told.doubled}**{dead}"


def goals(told: Mapping[str, Sequence[Told]]) -> Iterator[Figure]:
    """Yield what the product loses and doubles, where it can be known and where it cannot."""
    for is_unknown, where in ((False, "where it can be known"), (True, "where an answer is lost or the function dies")):
        of = {name: [one for one, trouble in zip(told[name], TROUBLES, strict=True) if trouble.is_unknown == is_unknown]
              for name in NAMES}  # fmt: skip
        for what, count in (("without a notice", "lost"), ("told twice", "doubled")):
            *peers, product = (sum(getattr(one, count) for one in of[name]) for name in NAMES)
            measured = ", ".join(f"{name} {number}" for name, number in zip(NAMES, peers, strict=False))
            yield at_most(f"failing orders {what}, {where}", measured, product, 0)


_FAULTS = f"""\
Ten failing orders ({BATCH * ONE_IN} where every {ONE_IN}th call goes wrong) and five without fault, an event each; \
**lost / told twice**, of the failing ones. What is not done comes again: the hook's call to the webhook, the queue's \
message to the others. A worker's message is given up after {MOST_RECEIVES["worker"]} receives, the usual \
maxReceiveCount; the product's after a day. Told is what was published to the topic of alerts. Where an alert's answer \
is lost or the function dies after it sent, nobody can know: SNS takes no id by which it would know a message again. \
All of them tell twice then; the product's record has the same id both times, for machines that keep it. Its alerts go \
out ten in a call, so one that goes wrong tells ten alerts twice; and it makes a tenth of the calls. With \
AlertBurst at its default there are five in a call at the most."""
