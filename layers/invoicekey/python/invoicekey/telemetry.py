"""Logs and metrics: one structured line a decision, one batch of figures an invocation.

Nothing that goes in here may be a body, a header, a secret or about a person: ids, codes and numbers only.
"""

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

# Both take the service's name from POWERTOOLS_SERVICE_NAME: the stack's, so that two stacks do not mix their figures.
logger = Logger(use_rfc3339=True)
metrics = Metrics(namespace="InvoiceKey")


def count(name: str, number: float = 1) -> None:
    """Count something, such as `hook_received` or `check_failing`."""
    metrics.add_metric(name=name, unit=MetricUnit.Count, value=number)


def measure_seconds(name: str, seconds: float) -> None:
    """Record how long something took or is old."""
    metrics.add_metric(name=name, unit=MetricUnit.Seconds, value=seconds)
