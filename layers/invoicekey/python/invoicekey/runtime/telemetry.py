"""Logs and figures: a structured line a decision, and one line of figures an invocation.

Whatever is counted stands in that line, for the saved queries. A custom metric costs $0.30 a month, by the hours in
which it occurs, so only what an alarm watches is one: METRICS. With Monitoring=full, MORE_METRICS are metrics too. A
name in neither never becomes one, however many names there are.

Nothing that goes in here may be a body, a header, a secret or about a person: ids, codes and numbers only.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from pathlib import PurePath
from threading import Lock
from traceback import extract_tb

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from invoicekey.runtime.errors import RetryLater, Unforeseen
from invoicekey.runtime.release import VERSION

NAMESPACE = "InvoiceKey"
LINE = "figures"
"""The message of the line."""
SHARES = frozenset({"cnova_order", "feed_only"})
"""Metrics of noughts and ones: their average is a share, and how many there are counts too."""
METRICS = SHARES | {
    "configuration_restored",
    "credentials_refused",
    "cnova_suspect",
    "desk_failed",
    "digest_postponed",
    "feed_failed",
    "feed_time_up",
    "guard_failed",
    "guard_refused",
    "hook_received",
    "ledger_unreadable",
    "oldest_check_age",
    "round_overdue",
    "topic_unconfirmed",
}
"""What an alarm watches. All but the shares and hook_received are written in trouble alone."""
MORE_METRICS = frozenset({
    "alert_deferred", "alert_published", "report_recorded",
    "check_canceled", "check_failing", "check_not_invoiced", "check_ok", "check_other_marketplace", "check_returned",
    "check_waiting", "check_foreign_order_id", "check_other_prefix", "check_account_off", "check_not_watched",
    "check_postponed", "check_retried", "recheck_queued", "recheck_refused", "recheck_unread", "check_rate_limited",
    "dead_letter_gave_up", "dead_letter_malformed", "dead_letter_no_credentials", "dead_letter_not_found",
    "desk_act", "desk_link_missing", "desk_opened",
    "desk_refused_busy", "desk_refused_changed", "desk_refused_forged", "desk_refused_over", "desk_refused_senseless",
    "digest_published", "reminder_published",
    "feed_committed", "feed_installed", "feed_left_alone", "feed_not_configured", "feed_not_watched", "feed_queued",
    "feed_read", "feed_refused", "feed_restored", "feed_unreadable", "feed_foreign_order_id", "feed_not_shown",
    "guard_postponed", "hook_elsewhere", "hook_installed", "hook_restored", "hook_secret_updated",
    "hook_app_key_changed", "hook_foreign_order_id", "hook_not_shown", "hook_not_watched", "hook_ping", "hook_queued",
    "hook_refused_account_refused", "hook_refused_malformed", "hook_refused_too_large", "hook_refused_unavailable",
    "hook_refused_wrong_secret",
    "round_unreached",
    "problem_courier_missing", "problem_invalid_check_digit", "problem_invalid_emission_type", "problem_invalid_month",
    "problem_invalid_number", "problem_invalid_state", "problem_invalid_tax_id", "problem_invalid_year",
    "problem_issue_date_mismatch", "problem_issuer_mismatch", "problem_malformed", "problem_missing",
    "problem_no_invoice", "problem_number_mismatch", "problem_reused", "problem_tracking_missing",
    "problem_unsafe_number", "problem_wrong_model",
    "vtex_2xx", "vtex_3xx", "vtex_4xx", "vtex_429", "vtex_5xx", "vtex_latency", "vtex_no_answer",
})  # fmt: skip
"""What is a metric besides, with Monitoring=full."""
LEAST: Mapping[str, float] = {"oldest_check_age": 3600.0}
"""Metrics that are written from there on: less is no trouble, and an hour in which nothing is written costs nothing."""
_CALLS_SHOWN = 5
_BY_THEMSELVES = ("429", "no_answer")
"""Of VTEX's answers: no status, and the one that is a class of its own."""


@dataclass(slots=True)
class _Tally:
    unit: MetricUnit
    number: int = 0
    total: float = 0.0
    most: float = 0.0
    kept: list[float] = field(default_factory=list)
    """The values of a metric, each by itself."""


class Figures:
    """What an invocation counts and measures; written in one line at its end."""

    def __init__(self, metrics: Metrics, monitoring: str = "basic") -> None:
        if monitoring not in {"basic", "full"}:
            raise ValueError(f"MONITORING: expected basic or full, got {monitoring!r}")
        self._metrics = metrics
        self._names = METRICS | MORE_METRICS if monitoring == "full" else METRICS
        self._tallies: dict[str, _Tally] = {}
        self._one_adds = Lock()

    def add(self, name: str, value: float, unit: MetricUnit) -> None:
        """Add a value; a nought counts for a share alone."""
        if not value and unit is MetricUnit.Count and name not in SHARES:
            return
        with self._one_adds:
            tally = self._tallies.setdefault(name, _Tally(unit))
            tally.number += 1
            tally.total += value
            tally.most = max(tally.most, value)
            if name in self._names and value >= LEAST.get(name, 0.0):
                tally.kept.append(value)

    def flush(self) -> None:
        """Write the line, the metrics in it, and begin anew; nothing where nothing was counted."""
        tallies, self._tallies = self._tallies, {}
        if not tallies:
            return
        for name, tally in tallies.items():
            for value in tally.kept:
                self._metrics.add_metric(name=name, unit=tally.unit, value=value)
        line = _line(tallies)
        if not self._metrics.metric_set:  # no metric among them, or a hundred values of one, which were written already
            logger.info(LINE, extra=line)
            return
        for key, shown in {"message": LINE, "version": VERSION, **line}.items():
            self._metrics.add_metadata(key, shown)
        self._metrics.flush_metrics()


# Both take the service's name from POWERTOOLS_SERVICE_NAME: the stack's, so that two stacks do not mix their figures.
logger = Logger(use_rfc3339=True, version=VERSION)
figures = Figures(Metrics(namespace=NAMESPACE), os.environ.get("MONITORING") or "basic")


def count(name: str, number: float = 1) -> None:
    """Count something, such as `hook_received` or `check_failing`."""
    figures.add(name, number, MetricUnit.Count)


def count_answer(status: str, seconds: float) -> None:
    """Count an answer of VTEX, or that there was none (`no_answer`): by its status, and by its class for a metric."""
    kind = status if status in _BY_THEMSELVES else f"{status[:1]}xx"
    for name in dict.fromkeys((kind, status)):
        count(f"vtex_{name}")
    measure_seconds("vtex_latency", seconds)


def measure_seconds(name: str, seconds: float) -> None:
    """Record how long something took or is old."""
    figures.add(name, seconds, MetricUnit.Seconds)


def type_and_place(error: BaseException) -> dict[str, str]:
    """Return what a log line may tell of an error that nobody foresaw: its text may hold what an order or form does.

    The place is the innermost calls, for the last one alone may be a library's.
    """
    calls = extract_tb(error.__traceback__, limit=-_CALLS_SHOWN)
    place = " > ".join(f"{PurePath(call.filename).stem}.{call.name}:{call.lineno}" for call in calls)
    return {"error": type(error).__name__, "place": place}


def as_handler[**P, R](run: Callable[P, R]) -> Callable[P, R]:
    """Let a function's handler end with its line of figures, and raise no error whose text may hold anything.

    What goes wrong at the borders (RetryLater) leaves it as it is. Of all else the type and the place are logged, and
    Unforeseen is raised without a cause: Lambda's runtime logs the text of whatever leaves a handler.
    """

    @wraps(run)
    def handler(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return run(*arguments, **named)
        except (RetryLater, Unforeseen):
            raise
        except Exception as error:  # noqa: BLE001 - raised below, where it takes nothing of it along
            known = type_and_place(error)
        finally:
            figures.flush()
        logger.error("the function failed unexpectedly", extra=known)
        raise Unforeseen("{error} at {place}".format_map(known))

    return handler


def _line(tallies: Mapping[str, _Tally]) -> dict[str, object]:
    """Return what stands in the line: sums of counts; of times how many, their sum and the longest."""
    counts = {name: _short(tally.total) for name, tally in tallies.items() if tally.unit is MetricUnit.Count}
    seconds = {
        name: {"number": tally.number, "total": round(tally.total, 3), "longest": round(tally.most, 3)}
        for name, tally in tallies.items()
        if tally.unit is MetricUnit.Seconds
    }
    return {"counts": counts} | ({"seconds": seconds} if seconds else {})


def _short(total: float) -> float:
    return int(total) if total.is_integer() else total
