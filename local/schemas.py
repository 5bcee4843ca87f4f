"""What the failure queue carries, for its readers: a JSON Schema and an example of each type of record.

`python -m local.schemas`, with .venv's Python, writes docs/schemas anew from messages/record.py: what stands under a
field or a value there is its description. A field or a code may be added to a version, so the schemas let those pass
that they do not name. tests/unit/test_record.py holds the files to the code, and what is sent to the files.
"""

import ast
import inspect
import json
import sys
import textwrap
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

if TYPE_CHECKING:
    from invoicekey.messages.record import Record

ROOT = Path(__file__).resolve().parent.parent
SCHEMAS = ROOT / "docs" / "schemas"

_CLOSED = "additionalProperties"
_LATER = {
    "description": "A later version may have further codes: take one that you do not know as what its severity says."
}
_NOTICED = datetime(2026, 3, 3, 14, 54, 1, tzinfo=UTC)
_MENDED = datetime(2026, 3, 3, 18, 14, 30, tzinfo=UTC)
_GIVEN_UP = _NOTICED + timedelta(days=30)
_KEY = "35260311222333000181550010006437971732194052"


def files() -> dict[Path, str]:
    """Return what each file under docs/schemas holds."""
    held: dict[Path, str] = {}
    for sent in _examples():
        name = sent.type.removeprefix("invoicekey.order.")
        held[SCHEMAS / f"{name}.schema.json"] = _text(schema(type(sent)))
        held[SCHEMAS / "examples" / f"{name}.json"] = _text(sent.model_dump(mode="json"))
    return held


def schema(record: "type[Record]") -> dict[str, Any]:
    """Return the JSON Schema of a type of record, named after the type."""
    generated = record.model_json_schema(mode="serialization", schema_generator=_Open)
    event_type = generated["properties"]["type"]["const"]
    named = {"$schema": _Open.schema_dialect, "$id": f"urn:invoicekey:schema:{event_type}", "title": event_type}
    return named | {name: value for name, value in generated.items() if name != "title"}


class _Open(GenerateJsonSchema):
    """Lets further fields and codes pass, describes all, and leaves out titles that only repeat a field's name."""

    def model_schema(self, schema: Any) -> dict[str, Any]:
        generated = {name: value for name, value in super().model_schema(schema).items() if name != _CLOSED}
        told = _told(schema["cls"])
        properties = {name: value | {"description": told[name]} for name, value in generated["properties"].items()}
        return generated | {"properties": properties}

    def enum_schema(self, schema: Any) -> dict[str, Any]:
        generated, told = super().enum_schema(schema), _told(schema["cls"])
        values = [{"const": value.value, "description": told[value.name]} for value in schema["members"]]
        choice = {"anyOf": [*values, _LATER]} if generated["title"] == "Code" else {"oneOf": values}
        return {name: value for name, value in generated.items() if name != "enum"} | choice

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def _told(described: type[BaseModel] | type[Enum]) -> dict[str, str]:
    """Return what stands under each field of a model, or under each value of an enumeration, those inherited too."""
    told: dict[str, str] = {}
    for part in (part for part in described.__mro__ if part.__module__.startswith("invoicekey.")):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(part))).body
        for above, below in pairwise(cast("ast.ClassDef", definition).body):
            match above, below:
                case (
                    ast.AnnAssign(target=ast.Name(name)) | ast.Assign(targets=[ast.Name(name)]),
                    ast.Expr(ast.Constant(str(text))),
                ):
                    told.setdefault(name, " ".join(text.split()))
                case _:
                    pass
    return told


def _examples() -> "tuple[Record, Record, Record]":
    """Write the records of an order whose key was missing: put in with no tracking number, and never put in."""
    from invoicekey.messages import fields, record
    from invoicekey.rules.order import Order
    from invoicekey.rules.policy import Policy
    from invoicekey.rules.verdict import Circumstances, judge

    def judged(moment: datetime, **package: str | None) -> tuple[Order, Any]:
        invoice = {"type": "Output", "invoiceNumber": "643797", "courier": "Correios", **package}
        order = Order.model_validate({
            "orderId": "VVJ-975102-01",
            "marketplaceOrderId": "975102-01",
            "affiliateId": "VVJ",
            "status": "invoiced",
            "invoicedDate": "2026-03-03T14:54:00.5436574+00:00",
            "packageAttachment": {"packages": [invoice]},
        })  # fmt: skip
        given = Circumstances("luxstore", moment, first_seen_at=_NOTICED)
        return order, judge(order, Policy(affiliate_ids=frozenset({"vvj"})), given)

    told: Mapping[str, Any] = {"first_seen_at": _NOTICED, "language": "pt-BR"}
    order, verdict = judged(_NOTICED, invoiceKey=None, trackingNumber="AA1554869884FD")
    failing = record.write(record.FailingRecord, "luxstore", order, verdict.problems, report=1, now=_NOTICED, **told)
    expired = record.write(record.ExpiredRecord, "luxstore", order, verdict.problems, report=2, now=_GIVEN_UP, **told)
    order, verdict = judged(_MENDED, invoiceKey=_KEY, trackingNumber=None)
    reason = fields.CloseReason(verdict.outcome.value)
    resolved = record.write(
        record.ResolvedRecord, "luxstore", order, verdict.warnings, report=2, now=_MENDED, reason=reason, **told
    )
    return failing, resolved, expired


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def main() -> None:
    """Write the files."""
    sys.path.append(str(ROOT / "layers" / "invoicekey" / "python"))
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
