"""The alarms: each one's metric is written by the code that it is about."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from aws_lambda_powertools import Metrics

from invoicekey.rules.policy import Policy
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import CredentialsRefused, RetryLater
from invoicekey.runtime.telemetry import METRICS, NAMESPACE, Figures
from local import events, vtex_simulator
from local.vtex_simulator import Fault, VtexSimulator
from tests.fakes_digest import SHOP, DigestShop
from tests.fakes_outside import ORDER_ID, Outside, message
from tests.fakes_visits import Figures as Counted
from tests.figures import STACK, Metric, metrics_in
from tests.orders import cnova_order, own_order, sale
from tests.unit import test_drain as drain
from tests.unit import test_guard as guard
from tests.unit import test_receiver as receiver
from tests.unit.test_template import properties, template

AWS_METRICS = {
    "AWS/SQS": {"ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible"},
    "AWS/Lambda": {"Errors", "Throttles", "Invocations"},
}
"""Those of AWS's own that alarms watch, as the services' documentation names them."""
A_MINUTE, AN_HOUR, A_DAY, A_WEEK = 1, 60, 24 * 60, 7 * 24 * 60


@dataclass(frozen=True)
class Watched:
    """A metric that an alarm reads."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    statistic: str
    minutes: int


def alarms() -> dict[str, Any]:
    """Return every metric alarm, those too that are parts of a composite one."""
    return {
        name: r["Properties"] for name, r in template()["Resources"].items() if r["Type"] == "AWS::CloudWatch::Alarm"
    }


def watched_by(alarm: str) -> dict[str, Watched]:
    """Return what an alarm reads, by its id in the alarm's expression; `share` for an alarm without one."""
    one = properties(alarm)
    if "Metrics" not in one:
        return {"share": _watched(one, one["Statistic"], one["Period"])}
    read = {m["Id"]: m["MetricStat"] for m in one["Metrics"] if "MetricStat" in m}
    return {name: _watched(stat["Metric"], stat["Stat"], stat["Period"]) for name, stat in read.items()}


def _watched(metric: Mapping[str, Any], statistic: str, seconds: int) -> Watched:
    dimensions = tuple((one["Name"], _resolved(one["Value"])) for one in metric["Dimensions"])
    return Watched(metric["Namespace"], metric["MetricName"], dimensions, statistic, seconds // 60)


def _resolved(value: Any) -> str:
    return STACK if value == {"Ref": "AWS::StackName"} else str(next(iter(value.values())))


OF_OUR_OWN = sorted(name for name in alarms() if any(one.namespace == NAMESPACE for one in watched_by(name).values()))


# ---- What each alarm watches is written by the code that it is about


@contextmanager
def a_drain() -> Iterator[drain.Shop]:
    with VtexSimulator() as simulator:
        shop = drain.Shop(simulator, Counted())
        shop.configure()
        shop.knows_as_ours(SHOP)
        yield shop


@contextmanager
def a_guard() -> Iterator[guard.Shop]:
    with VtexSimulator() as simulator:
        shop = guard.Shop(simulator, Counted())
        shop.guard()
        telemetry.figures.flush()
        yield shop


def an_order(outside: Outside, *packages: Any, **changes: Any) -> None:
    outside.vtex.put(cnova_order(*packages, **{"orderId": ORDER_ID, **changes}))


def an_old_check() -> None:
    outside = Outside()
    an_order(outside, sale())
    late = outside.policy.longest_grace.total_seconds() + properties("OldestCheckAlarm")["Threshold"]
    outside.check(message(sent_at=outside.time.timestamp() - late))


def the_checker_refused() -> None:
    outside = Outside()
    outside.vtex.fail(CredentialsRefused("VTEX answered 401"))
    outside.check(message())


def the_feed_refused() -> None:
    with a_drain() as shop:
        shop.simulator.fail(Fault("status", status=403, route="feed"))
        shop.drain()


def the_guard_refused() -> None:
    with a_guard() as shop:
        shop.simulator.fail(Fault("status", status=401, route="hook_config"))
        shop.guard()


def a_suspect() -> None:
    outside = Outside()
    document = events.order_document(events.BY_NAME["cnova-suspect"])
    outside.vtex.put({**document, "orderId": ORDER_ID})
    outside.check(message())


def an_order_of_cnova() -> None:
    outside = Outside()
    an_order(outside, sale())
    outside.check(message())


def an_order_of_the_shop_s_own() -> None:
    outside = Outside()
    outside.vtex.put({**own_order(sale()), "orderId": ORDER_ID})
    outside.check(message())


def an_event_that_the_feed_alone_knew() -> None:
    outside = Outside()
    an_order(outside, sale())
    outside.check(message(source="feed", last_change="2026-03-03T14:53:39Z"))


def a_digest_that_sns_refuses() -> None:
    shop = DigestShop()
    shop.hold_back("VVJ-1-01")
    shop.topic.refused = {SHOP}
    shop.tell()


def a_spoilt_item() -> None:
    shop = DigestShop()
    shop.hold_back("VVJ-1-01", "failing", "no_such_code")
    shop.tell()


def a_hook_that_is_gone() -> None:
    with a_guard() as shop:
        shop.simulator.hooks.clear()
        shop.guard()


def a_feed_that_is_gone() -> None:
    with a_guard() as shop:
        shop.simulator.feeds.clear()
        shop.guard()


def a_hook_that_vtex_does_not_take() -> None:
    with a_guard() as shop:
        shop.simulator.hooks.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(vtex_simulator, "ping", lambda _: False)
            shop.guard()


def a_guard_without_answer() -> None:
    with a_guard() as shop:
        shop.simulator.fail(Fault("status", status=500, route="hook_config"))
        shop.guard()


def topics_out_of_reach() -> None:
    with a_guard() as shop:
        shop.topics.trouble = RetryLater("SNS gave no answer")
        with suppress(RetryLater):
            shop.guard()


def a_feed_without_answer() -> None:
    with a_drain() as shop:
        shop.simulator.fail(Fault("status", status=500, route="feed"))
        shop.drain()


def a_feed_without_end() -> None:
    with a_drain() as shop:
        shop.drain(seconds_left=lambda: 1.0)


def nobody_listening() -> None:
    with a_guard() as shop:
        shop.topics.listeners = {guard.ALERTS: 0, guard.OPERATIONS: 1}
        shop.guard()


def a_hook() -> None:
    receiver.Hook().call()


SCENARIOS: dict[str, tuple[Callable[[], None], ...]] = {
    "CnovaSuspectAlarm": (a_suspect,),
    "CredentialsAlarm": (the_checker_refused, the_feed_refused, the_guard_refused),
    "DigestPostponedAlarm": (a_digest_that_sns_refuses,),
    "FeedBehindAlarm": (a_feed_without_end,),
    "FeedFailedAlarm": (a_feed_without_answer,),
    "FirstEventHeard": (a_hook,),
    "GuardFailedAlarm": (a_guard_without_answer, topics_out_of_reach),
    "HeardLately": (a_hook,),
    "HookMissesAlarm": (an_event_that_the_feed_alone_knew,),
    "HookNotKeptAlarm": (a_hook_that_vtex_does_not_take,),
    "HookRestoredAlarm": (a_hook_that_is_gone, a_feed_that_is_gone),
    "LedgerUnreadableAlarm": (a_spoilt_item,),
    "NoCnovaOrderAlarm": (an_order_of_the_shop_s_own, an_order_of_cnova),
    "NothingHeard": (a_hook,),
    "OldestCheckAlarm": (an_old_check,),
    "TopicUnheardAlarm": (nobody_listening,),
}
"""By alarm, what drives the code into the trouble that it is about; for a composite's parts, into what they see."""
CASES = [pytest.param(alarm, s, id=f"{alarm}-{s.__name__}") for alarm, some in SCENARIOS.items() for s in some]


def test_every_alarm_about_a_metric_of_our_own_has_a_scenario() -> None:
    assert sorted(SCENARIOS) == OF_OUR_OWN


@pytest.mark.parametrize(("alarm", "scenario"), CASES)
def test_the_code_writes_what_the_alarm_watches(
    alarm: str, scenario: Callable[[], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(telemetry, "figures", Figures(Metrics(namespace=NAMESPACE, service=STACK)))
    monkeypatch.setattr(vtex_simulator, "ping", lambda _: True)
    capsys.readouterr()

    scenario()
    telemetry.figures.flush()

    written = metrics_in(capsys.readouterr().out)
    for one in watched_by(alarm).values():
        if one.namespace == NAMESPACE:
            assert_that_cloudwatch_has(one, written, alarm)


def assert_that_cloudwatch_has(one: Watched, written: Sequence[Metric], alarm: str) -> None:
    values = [
        value
        for metric in written
        if (metric.namespace, metric.name, tuple(metric.dimensions.items()))
        == (one.namespace, one.name, one.dimensions)
        for value in metric.values
    ]
    assert values, f"{one.name} was not written"
    if "Threshold" in properties(alarm) and "Metrics" not in properties(alarm) and alarm != "NothingHeard":
        assert statistic(one.statistic, values) >= properties(alarm)["Threshold"]


def statistic(name: str, values: Sequence[float]) -> float:
    match name:
        case "Sum":
            return sum(values)
        case "Maximum":
            return max(values)
        case "Average":
            return sum(values) / len(values)
        case _:
            return len(values)


def test_what_an_alarm_watches_is_a_metric_whatever_monitoring_is_set() -> None:
    own = {one.name for name in OF_OUR_OWN for one in watched_by(name).values() if one.namespace == NAMESPACE}

    assert own == METRICS


def test_what_else_is_watched_are_metrics_of_aws_and_of_this_stack() -> None:
    read = [one for name in alarms() for one in watched_by(name).values() if one.namespace != NAMESPACE]

    assert {(one.namespace, one.name) for one in read} == {
        (ns, name) for ns, names in AWS_METRICS.items() for name in names
    }
    for one in read:
        ((kind, whose),) = one.dimensions
        assert kind in {"QueueName", "FunctionName"}
        assert whose.partition(".")[0] in template()["Resources"]


def test_an_alarm_is_left_out_where_the_emulator_does_not_know_its_kind_and_never_on_aws() -> None:
    kinds = {"AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"}
    conditions = {name: r.get("Condition") for name, r in template()["Resources"].items() if r["Type"] in kinds}

    assert set(conditions.values()) == {None, "IsOnAws"}
    assert {name for name, condition in conditions.items() if condition} == {
        name for name in conditions if "Metrics" in properties(name) or "AlarmRule" in properties(name)
    }


@pytest.mark.parametrize("hours", [0.1, 1.0, 11.9])
def test_a_message_that_waits_for_its_order_s_grace_is_not_late(
    hours: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(telemetry, "figures", Figures(Metrics(namespace=NAMESPACE, service=STACK)))
    outside = Outside(Policy(affiliate_ids=frozenset({"vvj"}), key_grace=timedelta(hours=12)))
    an_order(outside, sale(key=None))

    back = outside.check(message(sent_at=outside.time.timestamp() - 3600 * hours))
    telemetry.figures.flush()

    assert back
    assert "oldest_check_age" not in [metric.name for metric in metrics_in(capsys.readouterr().out)]
