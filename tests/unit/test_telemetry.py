"""The line of figures, and which of them are metrics: a closed set, in one place."""

import ast
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit
from hypothesis import given
from hypothesis import strategies as st

from invoicekey.rules.verdict import Code, Outcome
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import RetryLater, Unforeseen
from invoicekey.runtime.telemetry import LEAST, METRICS, MORE_METRICS, SHARES, Figures
from invoicekey.work import batch, drain, guard
from invoicekey.work.check import DeadLetterReason
from invoicekey.work.digest import DIGEST, REMINDER
from tests.figures import Metric, hear_the_log, lines_of_figures, metrics_in
from tests.unit.test_template import ROOT

CODE = sorted((ROOT / "layers" / "invoicekey" / "python" / "invoicekey").rglob("*.py"))


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Figures:
    hear_the_log(monkeypatch)
    return counting(monkeypatch, "basic")


def counting(monkeypatch: pytest.MonkeyPatch, monitoring: str) -> Figures:
    made = Figures(Metrics(namespace="InvoiceKey", service="invoicekey"), monitoring)
    monkeypatch.setattr(telemetry, "figures", made)
    return made


type Written = Callable[[], tuple[dict[str, Any], list[Metric]]]


@pytest.fixture
def written(figures: Figures, capsys: pytest.CaptureFixture[str]) -> Written:
    """Return what ends an invocation, and returns its one line of figures and the metrics in it."""

    def flush() -> tuple[dict[str, Any], list[Metric]]:
        telemetry.figures.flush()
        out = capsys.readouterr().out
        (line,) = lines_of_figures(out)
        return line, metrics_in(out)

    return flush


def values(metrics: Iterable[Metric]) -> dict[str, tuple[float, ...]]:
    return {metric.name: metric.values for metric in metrics}


# ---- The line


def test_what_is_counted_stands_in_one_line_with_what_cloudwatch_makes_of_it(written: Written) -> None:
    telemetry.count("hook_received")
    telemetry.count("hook_received")
    telemetry.count("check_ok", 3)

    line, metrics = written()

    assert "_aws" in line
    assert line["counts"] == {"hook_received": 2, "check_ok": 3}
    assert metrics == [Metric("InvoiceKey", "hook_received", {"service": "invoicekey"}, "Count", (1.0, 1.0))]


def test_times_are_told_by_their_number_their_sum_and_the_longest_though_nothing_is_a_metric(written: Written) -> None:
    for seconds in (0.25, 1.5, 0.0):
        telemetry.measure_seconds("vtex_latency", seconds)

    line, metrics = written()

    assert line["seconds"] == {"vtex_latency": {"number": 3, "total": 1.75, "longest": 1.5}}
    assert metrics == []


def test_where_nothing_was_counted_there_is_no_line(figures: Figures, capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.count("recheck_queued", 0)
    figures.flush()

    assert capsys.readouterr().out == ""


def test_each_invocation_begins_anew(written: Written) -> None:
    telemetry.count("hook_received")
    written()
    telemetry.count("hook_ping")

    assert written()[0]["counts"] == {"hook_ping": 1}


def test_a_handler_that_raises_loses_no_count(figures: Figures, capsys: pytest.CaptureFixture[str]) -> None:
    @telemetry.as_handler
    def handler(number: int) -> None:
        telemetry.count("guard_failed", number)
        raise RetryLater("the ledger gave no answer")

    with pytest.raises(RetryLater):
        handler(2)

    assert values(metrics_in(capsys.readouterr().out)) == {"guard_failed": (2.0,)}


def test_of_an_error_that_nobody_foresaw_a_handler_tells_type_and_place_alone(
    figures: Figures, capsys: pytest.CaptureFixture[str]
) -> None:
    @telemetry.as_handler
    def handler() -> None:
        telemetry.count("guard_failed")
        raise ValueError("a customer's name")

    with pytest.raises(
        Unforeseen, match=r"^ValueError at telemetry\.handler:\d+ > test_telemetry\.handler:\d+$"
    ) as raised:
        handler()

    said = capsys.readouterr().out
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)
    assert "the function failed unexpectedly" in said
    assert "a customer's name" not in said
    assert values(metrics_in(said)) == {"guard_failed": (1.0,)}


@pytest.mark.parametrize("number", [99, 100, 101, 250])
def test_of_many_values_of_a_metric_none_is_lost_and_the_line_stands_once(number: int, written: Written) -> None:
    for _ in range(number):
        telemetry.count("cnova_order")

    line, metrics = written()

    assert line["counts"] == {"cnova_order": number}
    assert sum(len(metric.values) for metric in metrics) == number


@pytest.mark.parametrize(
    ("status", "counted"),
    [
        ("200", {"vtex_2xx", "vtex_200"}),
        ("429", {"vtex_429"}),
        ("404", {"vtex_4xx", "vtex_404"}),
        ("503", {"vtex_5xx", "vtex_503"}),
        ("no_answer", {"vtex_no_answer"}),
    ],
)
def test_an_answer_of_vtex_is_counted_by_its_status_and_by_its_class(
    status: str, counted: set[str], written: Written
) -> None:
    telemetry.count_answer(status, 0.2)

    line, _ = written()

    assert line["counts"] == dict.fromkeys(counted, 1)
    assert line["seconds"]["vtex_latency"]["number"] == 1


# ---- Which of them are metrics


def test_a_share_is_written_with_its_noughts_and_nothing_else_is(written: Written) -> None:
    for name in sorted(METRICS):
        telemetry.count(name, 0)
    telemetry.count("feed_only", 1)

    assert values(written()[1]) == {"cnova_order": (0.0,), "feed_only": (0.0, 1.0)}


@pytest.mark.parametrize(("late", "is_written"), [(0, False), (3599, False), (3600, True), (7200, True)])
def test_an_age_that_is_no_trouble_is_no_metric_and_stands_in_the_line_all_the_same(
    late: float, is_written: bool, written: Written
) -> None:
    telemetry.measure_seconds("oldest_check_age", late)

    line, metrics = written()

    assert line["seconds"]["oldest_check_age"]["longest"] == late
    assert bool(metrics) == is_written


def test_with_full_monitoring_the_others_are_metrics_too(monkeypatch: pytest.MonkeyPatch, written: Written) -> None:
    counting(monkeypatch, "full")
    telemetry.count_answer("503", 0.2)
    telemetry.count("check_ok", 4)

    assert values(written()[1]) == {"vtex_5xx": (1.0,), "vtex_latency": (0.2,), "check_ok": (4.0,)}


@pytest.mark.parametrize("monitoring", ["", "Full", "none"])
def test_any_other_monitoring_is_refused_and_the_variable_named(monitoring: str) -> None:
    with pytest.raises(ValueError, match="MONITORING"):
        Figures(Metrics(namespace="InvoiceKey"), monitoring)


ANY_NAME = st.sampled_from(sorted(METRICS | MORE_METRICS)) | st.text(
    st.characters(codec="ascii", categories=["Ll", "Nd"], include_characters="_"), min_size=1, max_size=40
)


@given(
    monitoring=st.sampled_from(["basic", "full"]),
    counted=st.lists(st.tuples(ANY_NAME, st.sampled_from([0, 1, 7200]), st.sampled_from(list(MetricUnit)))),
)
def test_no_name_outside_the_sets_ever_becomes_a_metric(
    monitoring: str, counted: list[tuple[str, float, MetricUnit]]
) -> None:
    written: list[str] = []

    class Told(Metrics):
        def add_metric(self, name: str, *_: object, **__: object) -> None:
            written.append(name)

    figures = Figures(Told(namespace="InvoiceKey"), monitoring)
    for name, value, unit in counted:
        figures.add(name, value, unit)
    figures.flush()

    assert set(written) <= (METRICS | MORE_METRICS if monitoring == "full" else METRICS)


def test_the_sets_are_two_and_fit_into_one_line() -> None:
    assert not METRICS & MORE_METRICS
    assert SHARES | LEAST.keys() <= METRICS
    # Powertools writes a line for each hundred names; the receiver's and the desk's no other function counts.
    assert len({name for name in METRICS | MORE_METRICS if not name.startswith(("hook_", "desk_"))}) < 100


# ---- Every name that the code counts is in one of the sets

FAMILIES: dict[str, Iterable[str]] = {
    "check_{result.verdict.outcome}": Outcome,
    "problem_{problem.code}": Code,
    "dead_letter_{reason}": DeadLetterReason,
    "{state.kind}_published": (DIGEST, REMINDER),
    "desk_refused_{why}": ("busy", "changed", "forged", "over", "senseless"),
    "hook_refused_{why}": ("account_refused", "malformed", "too_large", "unavailable", "wrong_secret"),
}
"""What stands in the braces of a name that is put together."""
GUARDS = {
    value
    for name, value in vars(guard).items()
    if name.isupper() and isinstance(value, str) and value.startswith(("hook_", "feed_", "guard_"))
}
"""What the guard finds and does, by its constants."""
TABLES: dict[str, Iterable[str]] = {
    "_METRICS[ended]": drain._METRICS.values(),
    "_RETRY_METRICS.get(type(result.retry), 'check_retried')": {*batch._RETRY_METRICS.values(), "check_retried"},
    "CONFIGURATION_RESTORED": [guard.CONFIGURATION_RESTORED],
    "GUARD_FAILED": [guard.GUARD_FAILED],
    "POSTPONED": [guard.POSTPONED],
    "event": {*guard._METRICS.values(), *GUARDS},
}
"""What a name can be that stands in a variable."""
CLASSES = {"vtex_2xx", "vtex_3xx", "vtex_4xx", "vtex_5xx", "vtex_429", "vtex_no_answer", "vtex_latency"}
"""What count_answer counts; a status by itself is a field of the line alone."""


def names_in(argument: ast.expr) -> Iterator[str]:
    match argument:
        case ast.Constant(value=str(name)):
            yield name
        case ast.JoinedStr():
            written = ast.unparse(argument).removeprefix("f").strip("'\"")
            before, _, rest = written.partition("{")
            yield from (before + value + rest.partition("}")[2] for value in FAMILIES[written])
        case _:
            yield from TABLES[ast.unparse(argument)]


def counted_in(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"telemetry.count", "telemetry.measure_seconds"}:
            yield from names_in(node.args[0])


def test_every_name_that_is_counted_is_in_one_of_the_sets_and_every_name_in_them_is_counted() -> None:
    counted = {name for file in CODE for name in counted_in(file)} | CLASSES

    assert counted - METRICS - MORE_METRICS == set()
    # A code of the contract may be there before the rule that finds it.
    assert {name for name in METRICS | MORE_METRICS if not name.startswith("problem_")} - counted == set()


def test_the_reasons_of_a_refusal_are_all_there() -> None:
    tree = ast.parse((ROOT / "layers/invoicekey/python/invoicekey/work/receive.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "_refused"]

    assert {ast.literal_eval(call.args[1]) for call in calls} == set(FAMILIES["hook_refused_{why}"])
