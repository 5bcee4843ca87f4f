"""Values in DynamoDB's own form, `{"S": "text"}`, of the kinds that the ledger holds.

As boto3.dynamodb.types has them, and without boto3: importing that takes a sixth of a cold start.
"""

from collections.abc import Mapping, Set
from datetime import datetime
from decimal import Decimal
from typing import Any


def typed(value: object) -> dict[str, Any]:
    """Return a value in DynamoDB's form, raising TypeError for what the ledger does not hold, such as a float."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int() | Decimal():
            return {"N": str(value)}
        case list() | tuple():
            return {"L": [typed(one) for one in value]}
        case Mapping():
            return {"M": {name: typed(one) for name, one in value.items()}}
        case Set() if value and all(isinstance(one, str) for one in value):
            return {"SS": list(value)}
        case _:
            raise TypeError(
                f"expected a text, a number, a set of texts, a list or a mapping, got {type(value).__name__}"
            )


def plain(value: Mapping[str, Any]) -> Any:
    """Return what a value in DynamoDB's form is: numbers as Decimal, for they may be larger than a float holds."""
    ((kind, held),) = value.items()
    match kind:
        case "S" | "BOOL":
            return held
        case "N":
            return Decimal(held)
        case "NULL":
            return None
        case "L":
            return [plain(one) for one in held]
        case "M":
            return {name: plain(one) for name, one in held.items()}
        case "SS":
            return set(held)
        case _:
            raise TypeError(f"the ledger holds no {kind}")


def time_in(text: str) -> datetime:
    """Return the time that a text names, with its zone, so that others can be compared with it; or raise ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("expected a time with its zone")
    return moment
