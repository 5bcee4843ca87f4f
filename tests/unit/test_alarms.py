"""The alarms: each one's metric is written by the code that it is about."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
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
from tests.unit import test_desk as desk
from tests.unit import test_drain as drain
from tests.unit import test_guard as guard
from tests.unit import test_receive as receiver
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


type Scenario = Callable[[], object]


def drained(befalls: Callable[[drain.Shop], object] = lambda _: None, **how: Any) -> Scenario:
    """Return a run of the drain's that something befalls."""

    def run() -> None:
        with VtexSimulator() as simulator:
            shop = drain.Shop(simulator, Counted())
            shop.configure()
            shop.knows_as_ours(SHOP)
            befalls(shop)
            shop.drain(**how)

    return run


def guarded(befalls: Callable[[guard.Shop], object], ping: bool = True) -> Scenario:
    """Return a run of the guard's that something befalls, after one in which all was well."""

    def run() -> None:
        with VtexSimulator() as simulator, pytest.MonkeyPatch.context() as patch:
            shop = guard.Shop(simulator, Counted())
            shop.guard()
            telemetry.figures.flush()
            befalls(shop)
            patch.setattr(vtex_simulator, "ping", lambda _: ping)
            with suppress(RetryLater):
                shop.guard()

    return run


def checked(order: Mapping[str, Any] | Exception, **sent: Any) -> Scenario:
    """Return a check of an order, or of one that cannot be read."""

    def run() -> None:
        outside = Outside()
        if isinstance(order, Exception):
            outside.vtex.fail(order)
        else:
            outside.vtex.put({**order, "orderId": ORDER_ID})
        outside.check(message(**sent))

    return run


def digested(*held_back: str, refused: bool = False) -> Scenario:
    """Return a digest of an alert that was held back."""

    def run() -> None:
        shop = DigestShop()
        shop.hold_back("VVJ-1-01", *held_back)
        shop.topic.refused = {SHOP} if refused else set()
        shop.tell()

    return run


def an_old_check() -> None:
    outside = Outside()
    outside.vtex.put({**cnova_order(sale()), "orderId": ORDER_ID})
    late = outside.policy.longest_grace.total_seconds() + properties("OldestCheckAlarm")["Threshold"]
    outside.check(message(sent_at=outside.time.timestamp() - late))


def answers(status: int, route: str) -> Callable[[Any], object]:
    return lambda shop: shop.simulator.fail(Fault("status", status=status, route=route))


def out_of_reach(shop: guard.Shop) -> None:
    shop.topics.trouble = RetryLater("SNS gave no answer")


def nobody_listens(shop: guard.Shop) -> None:
    shop.topics.listeners = {guard.ALERTS: 0, guard.OPERATIONS: 1}


def never_reached(shop: drain.Shop | guard.Shop) -> None:
    """Let a lap have begun long ago."""
    begun = {"lap_began": (shop.now - timedelta(days=1)).isoformat(), "lap_reached": 0}
    for name in ("round#drain", "round#guard"):
        shop.table.items[name] = {"pk": name, **begun}


def a_hook() -> object:
    return receiver.Hook().call()


def opened(trouble: Exception) -> Scenario:
    """Return the opening of a link to the desk while the ledger cannot be read."""

    def run() -> None:
        shop = desk.Shop()
        shop.outside.steps.before("read", trouble, times=None)
        assert shop.get().status.is_server_error

    return run


SUSPECT = events.order_document(events.BY_NAME["cnova-suspect"])
SCENARIOS: dict[str, tuple[Scenario, ...]] = {
    "CnovaSuspectAlarm": (checked(SUSPECT),),
    "CredentialsAlarm": (
        checked(CredentialsRefused("VTEX answered 401")),
        drained(answers(403, "feed")),
        guarded(answers(401, "hook_config")),
    ),
    "DeskFailedAlarm": (opened(ZeroDivisionError("a fault")), opened(RetryLater("the ledger gave no answer"))),
    "DigestPostponedAlarm": (digested(refused=True),),
    "FeedBehindAlarm": (drained(seconds_left=lambda: 1.0),),
    "FeedFailedAlarm": (drained(answers(500, "feed")),),
    "FirstEventHeard": (a_hook,),
    "GuardFailedAlarm": (guarded(answers(500, "hook_config")), guarded(out_of_reach)),
    "HeardLately": (a_hook,),
    "HookMissesAlarm": (checked(cnova_order(sale()), source="feed", last_change="2026-03-03T14:53:39Z"),),
    "HookNotKeptAlarm": (guarded(lambda shop: shop.simulator.hooks.clear(), ping=False),),
    "HookRestoredAlarm": (
        guarded(lambda shop: shop.simulator.hooks.clear()),
        guarded(lambda shop: shop.simulator.feeds.clear()),
    ),
    "LedgerUnreadableAlarm": (digested("failing", "no_such_code"),),
    "NoCnovaOrderAlarm": (checked(own_order(sale())), checked(cnova_order(sale()))),
    "NothingHeard": (a_hook,),
    "OldestCheckAlarm": (an_old_check,),
    "RoundOverdueAlarm": (drained(never_reached, seconds_left=lambda: 1.0), guarded(never_reached)),
    "TopicUnheardAlarm": (guarded(nobody_listens),),
}
"""By alarm, what drives the code into the trouble that it is about; for a composite's parts, into what they see."""
CASES = [(alarm, scenario) for alarm, some in SCENARIOS.items() for scenario in some]


def test_every_alarm_about_a_metric_of_our_own_has_a_scenario() -> None:
    assert sorted(SCENARIOS) == OF_OUR_OWN


@pytest.mark.parametrize(("alarm", "scenario"), CASES)
def test_the_code_writes_what_the_alarm_watches(
    alarm: str, scenario: Scenario, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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

    assert set(conditions.values()) == {None, "IsOnAws", "HasDesk"}
    assert {name for name, condition in conditions.items() if condition == "IsOnAws"} == {
        name for name in conditions if "Metrics" in properties(name) or "AlarmRule" in properties(name)
    }


@pytest.mark.parametrize("hours", [0.1, 1.0, 11.9])
def test_a_message_that_waits_for_its_order_s_grace_is_not_late(
    hours: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(telemetry, "figures", Figures(Metrics(namespace=NAMESPACE, service=STACK)))
    outside = Outside(Policy(affiliate_ids=frozenset({"vvj"}), key_grace=timedelta(hours=12)))
    outside.vtex.put({**cnova_order(sale(key=None)), "orderId": ORDER_ID})

    back = outside.check(message(sent_at=outside.time.timestamp() - 3600 * hours))
    telemetry.figures.flush()

    assert back
    assert "oldest_check_age" not in [metric.name for metric in metrics_in(capsys.readouterr().out)]
