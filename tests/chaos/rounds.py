"""Rounds of the deployed stack: orders change, faults hit AWS and VTEX, then all heals, and what came out is judged.

Some rounds go side by side in one storm, each a shop of its own with its own seed. Nothing here knows the product's
code: what is judged is what the outside sees.
"""

import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from local.fault_proxy import Seen
from local.stack import StackError
from tests.chaos.judge import Judge, most_in_a_minute
from tests.chaos.plans import STORM_SECONDS, Json, Order, Round, plan
from tests.chaos.world import PACE, SHOPS, SIDE_BY_SIDE, World, act_at_desk, standing

QUIET_WITHIN = 660.0
"""Seconds. An event that a failed drain had read is hidden in VTEX's feed for four minutes; an account that a digest's
run took, and then failed, is taken for ten: twice the function's timeout."""
SHARES = (0.1, 0.25, 0.4)
"""Of the requests to AWS that a storm spoils."""


@dataclass
class Outcome:
    """What came of some rounds side by side."""

    rounds: list[Round]
    seen: list[Seen] = field(default_factory=list)
    vtex_faults: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    told_twice: Counter[str] = field(default_factory=Counter)
    """By the fault that explains it."""
    told: Counter[str] = field(default_factory=Counter)
    passed: int = 0
    """So many requests to AWS have come through unspoilt since the stack stands."""
    seconds: float = 0.0


def play(world: World, rounds: list[Round], storm_seed: str) -> Outcome:
    """Play rounds side by side, and judge them."""
    began, outcome = time.monotonic(), Outcome(rounds)
    world.proxy.seen.clear()
    world.stack.vtex("DELETE", "requests")
    _storm(world, rounds, storm_seed)
    _heal(world, outcome)
    is_quiet = _wait_for_quiet(world)
    told = {order_id: (len(heard.records), heard.notices) for order_id, heard in world.heard.items()}
    for one in rounds:  # everything comes once more
        for order in one.orders:
            world.post(order, order.life.stages[-1])
    if not (_wait_for_quiet(world) and is_quiet):
        outcome.violations.append(f"not quiet within {QUIET_WITHIN:.0f} s: {world.waiting()} messages wait")
    outcome.seen, outcome.passed = list(world.proxy.seen), world.proxy.passed
    _judge(world, outcome, told)
    outcome.seconds = time.monotonic() - began
    return outcome


def _storm(world: World, rounds: list[Round], seed: str) -> None:
    world.proxy.storm(seed, random.Random(seed).choice(SHARES))
    with ThreadPoolExecutor(len(rounds) + 1) as pool:
        schedules = pool.submit(_run_the_schedules, world)
        for future in [pool.submit(_happen, world, one) for one in rounds]:
            future.result()
        schedules.result()


def _heal(world: World, outcome: Outcome) -> None:
    """Let nothing fail any more; VTEX posts again what was not answered 200."""
    world.proxy.heal()
    for fault in world.stack.vtex("GET", "faults")["faults"]:
        name = f"{fault['kind']} {fault['status']}" if fault["kind"] == "status" else fault["kind"]
        outcome.vtex_faults[name] += fault["used"]
    world.stack.vtex("DELETE", "faults")
    for one in outcome.rounds:
        for order, stage in one.unanswered:
            _post_until_answered(world, order, stage)


def _judge(world: World, outcome: Outcome, told: Mapping[str, tuple[int, int]]) -> None:
    """Note what must not be; `told` is how much was told of each order before everything came once more."""
    judge = Judge(world.items(), outcome.seen, world.met_a_death(), outcome.told_twice)
    for one in outcome.rounds:
        for order in one.orders:
            heard = world.heard[order.id]
            outcome.told += Counter(records=len(heard.records), notices=heard.notices)
            wrong = list(judge.wrong(order, heard))
            if (len(heard.records), heard.notices) != told.get(order.id, (0, 0)):
                wrong.append("what came again was told again")
            outcome.violations += [f"{one.seed}: {order.id} ({order.kind}): {what}" for what in wrong]
        requests = world.stack.vtex("GET", f"requests?account={one.shop}")["requests"]
        if (most := most_in_a_minute(requests)) > PACE:
            outcome.violations.append(f"{one.seed}: {most} requests to VTEX within a minute")
    if dead := world.waiting("HookDeadLetterQueueUrl"):
        outcome.violations.append(f"{dead} dead letters")


def _happen(world: World, one: Round) -> None:
    """Let a round's moments happen; its shop's people act as soon as they are alerted."""
    began, acted = time.monotonic(), set[str]()
    for moment in one.moments:
        time.sleep(max(0.0, began + moment.at - time.monotonic()))
        if moment.order is None:
            world.stack.vtex("POST", "faults", json.loads(moment.fault))
        elif moment.what == "changes":
            world.stack.vtex("PUT", "orders", moment.order.document(moment.stage))
        elif moment.what == "feed":
            world.feed(moment.order, moment.stage)
        else:
            _post(world, one, moment.order, moment.stage)
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


def _run_the_schedules(world: World) -> None:
    began = time.monotonic()
    runs = itertools.cycle(
        [("DrainFeedFunction", {}), ("RecheckFailuresFunction", {"all": True}), ("SendDigestFunction", {})]
    )
    while time.monotonic() < began + STORM_SECONDS:
        world.run(*next(runs))
        world.collect()
        time.sleep(0.2)


def _post_until_answered(world: World, order: Order, stage: str) -> None:
    """Post a hook again as VTEX does; nothing fails any more."""
    for _ in range(20):
        if world.post(order, stage) == 200:
            return
        time.sleep(0.3)
    raise StackError("the stack gives no good answer though all has healed")


def _wait_for_quiet(world: World) -> bool:
    """Wait until no message waits and no report is pending; the schedules run meanwhile. Say whether it came."""
    end, quiet = time.monotonic() + QUIET_WITHIN, 0
    while time.monotonic() < end:
        world.collect()
        is_busy = bool(world.stack.vtex("GET", "feed-events")["events"])
        if is_busy:
            world.run("DrainFeedFunction", {})
        is_busy |= world.waiting() > 0
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


# ---- All of it


def campaign(rounds: int, seed: int, home: Path, say: Callable[[str], None]) -> Iterator[Outcome]:
    """Play so many rounds; yield what came of each few of them."""
    numbers = itertools.count(100001)
    with standing(home, say) as world:
        for begin in range(0, rounds, SIDE_BY_SIDE):
            some = range(begin, min(rounds, begin + SIDE_BY_SIDE))
            plans = [plan(f"{seed}/{number}", SHOPS[number % SIDE_BY_SIDE], numbers) for number in some]
            yield play(world, plans, f"{seed}/{begin} storm")
