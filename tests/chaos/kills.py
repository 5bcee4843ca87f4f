"""Every function, killed before and after each of its calls to AWS: the calls are counted as its code makes them.

The functions' entry files run in this process on moto's AWS. A scene is played once for each call and side: what the
function does is cut there, as if its process had ended. Then comes what comes on AWS: its lease runs out, and it is
called again.
"""

import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from unittest import mock
from urllib.parse import urlencode

import boto3
import pytest
from botocore.client import BaseClient

from invoicekey.messages.links import Links, Target
from tests.chaos.model import Tally
from tests.desk import ACCOUNT, DESK_KEY, DESK_URL
from tests.keys import make_key
from tests.orders import sale
from tests.whole_stack import APP_KEYS, HOOK_URL, WholeStack, whole_stack

type Doing = Callable[[WholeStack], object]

FIRST, SECOND = "VVJ-1-01", "VVJ-2-01"
STORM = [f"VVJ-{number}-01" for number in range(1, 7)]
"""More than alerts go out at once."""
LONG_AGO = "2026-01-01T00:00:00+00:00"
MOST_CALLS = 60


class Killed(BaseException):
    """The function's process has ended. Nothing may catch it."""


class Kill:
    """Lets a process end before or after its call of this number, from 1; with 0 it lives."""

    def __init__(self, number: int, *, after: bool) -> None:
        self._number, self._after = number, after
        self._calls = 0
        self._lock = threading.Lock()
        self.is_done = False

    def during(self, doing: Doing, stack: WholeStack) -> None:
        """Do something, and let it end there."""
        client: Any = BaseClient
        made = client._make_api_call

        def call(client: Any, operation: str, arguments: Any) -> Any:
            with self._lock:
                self._calls += 1
                is_here = self._calls == self._number
            self._end(is_here and not self._after)
            answer = made(client, operation, arguments)
            self._end(is_here and self._after)
            return answer

        with mock.patch.object(BaseClient, "_make_api_call", call), suppress(Killed):
            doing(stack)
        if self.is_done:
            stack.functions.clear()

    def _end(self, is_here: bool) -> None:
        self.is_done |= is_here
        if self.is_done:  # whatever other threads were about to do
            raise Killed


@dataclass(frozen=True)
class Scene:
    """Something that a function does."""

    name: str
    does: Doing
    judge: Callable[["After"], None]
    before: Doing = lambda stack: None
    again: Doing | None = None
    """What comes after it; the same once more, unless told."""


@dataclass
class After:
    """What can be seen when all is over."""

    records: list[dict[str, Any]]
    alerts: list[dict[str, Any]]
    queued: set[str]
    """The orders that messages of the hook queue are about, those alone that are not delayed."""
    waiting: int
    """So many messages there are in it."""
    dead: int
    items: list[dict[str, Any]]
    stack: WholeStack

    def expect_told(self, order_id: str, *kinds: str) -> None:
        """Expect that these reports and no others were sent, each with one form, and nothing is pending."""
        of_order = [record for record in self.records if record["subject"] == order_id]
        by_number = {record["data"]["report"]: record for record in of_order}
        assert all(by_number[record["data"]["report"]] == record for record in of_order), "two forms of a report"
        told = [by_number[number]["type"].split(".")[2] for number in sorted(by_number)]
        assert told == list(kinds), f"{order_id} was told {told}"
        for item in self.items:
            report = item.get("report", {}).get("M")
            assert report is None or report["recorded"]["BOOL"], "a record is pending"
            assert report is None or report["alerted"]["BOOL"], "an alert is pending"

    def heard(self, order_id: str) -> int:
        """Count the alerts and digests in which an order stands."""
        return sum(order_id in alert["Message"] for alert in self.alerts)

    @property
    def deferred(self) -> set[str]:
        """Return the orders whose alerts wait for a digest."""
        keys = [str(item["pk"]["S"]).split("#") for item in self.items]
        return {key[2] for key in keys if key[0] == "held"}


# ---- The scenes


def _keyless(stack: WholeStack, *order_ids: str) -> None:
    for order_id in order_ids:
        stack.invoice(order_id, sale(order_id.split("-")[1], key=None))


def _check(*order_ids: str) -> Doing:
    return lambda stack: stack.check(*order_ids)


def _failing(*order_ids: str) -> Doing:
    def let_fail(stack: WholeStack) -> None:
        _keyless(stack, *order_ids)
        stack.check(*order_ids)

    return let_fail


def _mended(stack: WholeStack) -> None:
    _failing(FIRST)(stack)
    stack.invoice(FIRST, sale("1", key=make_key(tax_id="11222333000181", month=3, number=1)))


def _fed(stack: WholeStack) -> None:
    stack.run("guard_hook")
    _keyless(stack, FIRST)
    stack.vtex.put_feed_event(ACCOUNT, FIRST)


def _drain_again(stack: WholeStack) -> None:
    for feed in stack.vtex.feeds.values():  # as if the time were over for which VTEX hides what it handed out
        for kept in feed._kept:
            kept.visible_at = 0.0
    stack.run("drain_feed")


def _act(act: str) -> Doing:
    def send(stack: WholeStack) -> None:
        token = Links(DESK_URL, [DESK_KEY]).to(Target(ACCOUNT, FIRST)).removeprefix(DESK_URL)
        event = {
            "version": "2.0",
            "requestContext": {"http": {"method": "POST"}},
            "headers": {"content-type": "application/x-www-form-urlencoded"},
            "pathParameters": {"token": token},
            "body": urlencode({"act": act, "reason": "portal"}),
        }
        stack.run("desk", **event)

    return send


def _act_again_and_check(act: str) -> Doing:
    def send(stack: WholeStack) -> None:
        _act(act)(stack)
        end_leases(stack)
        stack.check(FIRST)

    return send


def _two_failures(after: After) -> None:
    for order_id in (FIRST, SECOND):
        after.expect_told(order_id, "failing")
        assert after.heard(order_id) >= 1


def _told_resolved(after: After) -> None:
    after.expect_told(FIRST, "failing", "resolved")


def _a_storm(after: After) -> None:
    for order_id in STORM:
        after.expect_told(order_id, "failing")
        assert after.heard(order_id) or order_id in after.deferred


def _all_heard(after: After) -> None:
    assert not after.deferred
    assert all(after.heard(order_id) for order_id in STORM)


def _reminded(after: After) -> None:
    kinds = Counter(alert["MessageAttributes"]["type"]["Value"] for alert in after.alerts)
    assert kinds["reminder"] >= 1


def _guarded(after: After) -> None:
    key = APP_KEYS[ACCOUNT]
    assert after.stack.vtex.hooks[key]["hook"]["url"] == HOOK_URL
    assert key in after.stack.vtex.feeds


def _is_no_dead_letter(after: After) -> None:
    assert after.dead == 0  # within its grace it waits


def _is_queued(after: After) -> None:
    assert FIRST in after.queued


def _is_waiting(after: After) -> None:
    assert after.waiting >= 1  # for a moment it is delayed


def _is_fed(after: After) -> None:
    _is_waiting(after)
    assert not [event for feed in after.stack.vtex.feeds.values() for event in feed.uncommitted()]


REMIND: Doing = lambda stack: stack.run("send_digest", reminder=True, scheduled="2026-03-09T12:00:00Z")  # noqa: E731
SCENES = (
    Scene("receive a hook", lambda stack: stack.receive(FIRST), _is_queued),
    Scene("check, two fail", _check(FIRST, SECOND), _two_failures, before=lambda s: _keyless(s, FIRST, SECOND)),
    Scene("check, a storm", _check(*STORM), _a_storm, before=lambda stack: _keyless(stack, *STORM)),
    Scene("check, mended", _check(FIRST), _told_resolved, before=_mended),
    Scene("check, unknown", _check(FIRST), _is_no_dead_letter),
    Scene("recheck", lambda s: s.run("recheck_failures", all=True), _is_queued, before=_failing(FIRST)),
    Scene("drain", lambda stack: stack.run("drain_feed"), _is_fed, before=_fed, again=_drain_again),
    Scene("guard", lambda stack: stack.run("guard_hook"), _guarded),
    Scene("digest", lambda stack: stack.run("send_digest"), _all_heard, before=_failing(*STORM)),
    Scene("reminder", REMIND, _reminded, before=_failing(FIRST)),
    Scene(
        "dismiss", _act("dismiss"), _told_resolved,
        before=_failing(FIRST), again=_act_again_and_check("dismiss"),
    ),
    Scene("ask for a look", _act("check"), _is_waiting, before=_failing(FIRST)),
)  # fmt: skip


# ---- The runs


def end_leases(stack: WholeStack) -> None:
    """Let every lease run out, of reports, digests and reminders."""
    dynamodb = boto3.client("dynamodb")
    for item in stack.items():
        of_report = "M" in item.get("report", {})
        if of_report or "lease_until" in item:
            dynamodb.update_item(
                TableName="ledger",
                Key={"pk": item["pk"]},
                UpdateExpression=f"SET {'report.lease_until' if of_report else 'lease_until'} = :ago",
                ExpressionAttributeValues={":ago": {"S": LONG_AGO}},
            )


def play(scene: Scene, number: int, *, after: bool) -> tuple[bool, Tally]:
    """Play a scene with the function killed at a call; say whether it was, and count."""
    with whole_stack() as stack:
        secret = json.dumps({"current": DESK_KEY, "previous": ""})
        arn = boto3.client("secretsmanager").create_secret(Name="desk", SecretString=secret)["ARN"]
        with mock.patch.dict(os.environ, {"DESK_SECRET_ARN": arn, "DESK_URL": DESK_URL}):
            scene.before(stack)
            stack.taken("HookQueueUrl")
            kill = Kill(number, after=after)
            kill.during(scene.does, stack)
            end_leases(stack)
            (scene.again or scene.does)(stack)
            seen = _after(stack)
    try:
        scene.judge(seen)
    except AssertionError as error:
        side = "after" if after else "before"
        raise AssertionError(f"{scene.name}, killed {side} call {number}: {error}") from error
    tally = Tally()
    tally.runs[f"{scene.name}"] += kill.is_done
    tally.injected["killed"] += kill.is_done
    ids = [record["id"] for record in seen.records]
    tally.told_twice["a sender died, or could not note it"] += len(ids) - len(set(ids))
    return kill.is_done, tally


def _after(stack: WholeStack) -> After:
    names: Any = [f"ApproximateNumberOfMessages{name}" for name in ("", "Delayed", "NotVisible")]
    url = stack.desk.deployment.outputs["HookQueueUrl"]
    counted: Any = boto3.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    waiting = sum(int(number) for number in counted.values())
    queued = {json.loads(message["Body"])["OrderId"] for message in stack.taken("HookQueueUrl")}
    dead = len(stack.taken("HookDeadLetterQueueUrl"))
    return After(stack.records(), stack.alerts(), queued, waiting, dead, stack.items(), stack)


def runs(scene: Scene) -> Iterator[Tally]:
    """Play a scene for each call of its function, killed before it and after it."""
    for number in range(1, MOST_CALLS):
        for after in (False, True):
            was_killed, tally = play(scene, number, after=after)
            if not was_killed:
                return
            yield tally
    pytest.fail(f"{scene.name} makes more calls than expected")
