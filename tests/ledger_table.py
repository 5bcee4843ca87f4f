"""The ledger's table as the template declares it, for tests over moto: its index shows what is projected, no more."""

from typing import Any

import boto3

from operations.deployment.template import template

NAME = "ledger"


def make_ledger_table(client: Any = None) -> None:
    """Make the table."""
    declared = template()["Resources"]["LedgerTable"]["Properties"]
    keys = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    (client or boto3.client("dynamodb")).create_table(TableName=NAME, **{key: declared[key] for key in keys})
