"""The ledger's table as the template declares it, for tests over moto: its index shows what is projected, no more."""

from pathlib import Path
from typing import Any

import boto3
import yaml

TEMPLATE = Path(__file__).parents[1] / "template.yaml"
NAME = "ledger"


class _Plain(yaml.SafeLoader):
    """Reads CloudFormation's YAML; what its own tags say is left out."""


_Plain.add_multi_constructor("!", lambda loader, tag, node: None)


def make_ledger_table() -> None:
    """Make the table."""
    declared: dict[str, Any] = yaml.load(TEMPLATE.read_text(encoding="utf-8"), _Plain)["Resources"]["LedgerTable"]
    keys = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    boto3.client("dynamodb").create_table(TableName=NAME, **{key: declared["Properties"][key] for key in keys})
