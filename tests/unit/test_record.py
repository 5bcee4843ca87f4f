"""What is sent to machines. docs/schemas is written by `python -m local.schemas` and held to the code here."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from itertools import combinations
from typing import Any, cast

import jsonschema
import pytest

from invoicekey.messages import fields, record
from invoicekey.messages.fields import CloseReason, RecordType
from invoicekey.messages.record import ExpiredRecord, FailingRecord, ResolvedRecord
from invoicekey.rules.order import Order
from invoicekey.rules.verdict import Code, Problem, Severity, Suggestion, SuggestionSource
from local import schemas
from local.schemas import SCHEMAS
from tests.keys import make_xml
from tests.orders import ABSENT, KEY, PERSONAL, cnova_order, sale
from tests.wrappings import WRAPPINGS, Wrap

ACCOUNT = "luxstore"
NOW = datetime(2026, 3, 3, 14, 54, 1, tzinfo=UTC)
MISSING = Problem(Code.MISSING, "643797", None)
NO_TRACKING = Problem(Code.TRACKING_MISSING, "643797", KEY)
CUT = "x" * 63 + "…"

MOST_BYTES = 250_000
NAMES = ("failing", "resolved", "expired")


def failing(*problems: Problem, order: dict[str, Any] | None = None, **changes: Any) -> FailingRecord:
    document = cnova_order() if order is None else order
    known: dict[str, Any] = {"report": 1, "first_seen_at": NOW, "now": NOW, "language": "pt-BR"}
    account = changes.pop("account", ACCOUNT)
    return record.write(
        FailingRecord, account, Order.model_validate(document), problems or [MISSING], **known | changes
    )


def resolved(*warnings: Problem, reason: CloseReason = CloseReason.OK, **changes: Any) -> ResolvedRecord:
    known: dict[str, Any] = {"report": 2, "first_seen_at": NOW, "now": NOW, "language": "pt-BR"}
    order = Order.model_validate(cnova_order())
    return record.write(ResolvedRecord, ACCOUNT, order, warnings, reason=reason, **known | changes)


def expired(*problems: Problem, **changes: Any) -> ExpiredRecord:
    known: dict[str, Any] = {"report": 3, "first_seen_at": NOW, "now": NOW, "language": "pt-BR"}
    return record.write(
        ExpiredRecord, ACCOUNT, Order.model_validate(cnova_order()), problems or [MISSING], **known | changes
    )


def sent(message: FailingRecord | ResolvedRecord | ExpiredRecord) -> dict[str, Any]:
    """What a reader of the failure queue makes of the record."""
    return cast("dict[str, Any]", json.loads(message.model_dump_json()))


def parts(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects in a record: envelope, data, links and the first problem."""
    return [document, document["data"], document["data"]["links"], document["data"]["problems"][0]]


@cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    document = json.loads((SCHEMAS / f"{name}.v1.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


def definitions_of(name: str) -> list[dict[str, Any]]:
    return list(cast("dict[str, Any]", validator(name).schema)["$defs"].values())


def fields_of(name: str) -> list[tuple[str, dict[str, Any]]]:
    """The fields of a type of record, at whatever depth, each with its schema."""
    schema = cast("dict[str, Any]", validator(name).schema)
    return [field for part in (schema, *definitions_of(name)) for field in part.get("properties", {}).items()]


class TestTheCommittedSchemas:
    def test_are_those_of_the_code(self) -> None:
        for path, text in schemas.files().items():
            committed = path.read_text("utf-8") if path.exists() else ""
            name = path.relative_to(schemas.ROOT)
            assert committed == text, f"{name} is not what the code makes it: run .venv/bin/python -m local.schemas"

    def test_are_all_that_lies_there(self) -> None:
        assert set(SCHEMAS.rglob("*.json")) == set(schemas.files())

    @pytest.mark.parametrize("name", NAMES)
    def test_are_schemas_of_2020_12_that_name_their_type(self, name: str) -> None:
        document = cast("dict[str, Any]", validator(name).schema)
        event_type = f"invoicekey.order.{name}.v1"
        assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert document["$id"].endswith(event_type)
        assert document["title"] == event_type
        assert document["properties"]["type"]["const"] == event_type

    @pytest.mark.parametrize("name", NAMES)
    def test_have_an_example_that_is_valid(self, name: str) -> None:
        validator(name).validate(json.loads((SCHEMAS / "examples" / f"{name}.v1.json").read_text("utf-8")))

    def test_let_a_field_be_added(self) -> None:
        document = sent(failing())
        for part in parts(document):
            part["added"] = "in a later release"
        validator("failing").validate(document)

    def test_let_a_code_be_added(self) -> None:
        document = sent(failing())
        document["data"]["problems"][0]["code"] = "of_a_later_version"
        validator("failing").validate(document)

    @pytest.mark.parametrize("name", NAMES)
    def test_describe_every_field(self, name: str) -> None:
        assert [field for field, told in fields_of(name) if not told.get("description", "").endswith(".")] == []

    @pytest.mark.parametrize("name", NAMES)
    def test_say_of_every_field_that_may_be_null_when_it_is(self, name: str) -> None:
        may_be_null = [(field, told) for field, told in fields_of(name) if {"type": "null"} in told.get("anyOf", [])]
        assert may_be_null
        assert [field for field, told in may_be_null if " Null w" not in told["description"]] == []

    @pytest.mark.parametrize("name", NAMES)
    def test_describe_every_value_that_a_field_may_have(self, name: str) -> None:
        enumerations = [part for part in definitions_of(name) if "properties" not in part]
        assert {"Code", "Severity", "SuggestionSource"} <= {one["title"] for one in enumerations}
        values = [value for one in enumerations for value in one.get("oneOf", []) + one.get("anyOf", [])]
        assert [value for value in values if not value["description"].endswith(".")] == []

    @pytest.mark.parametrize("name", NAMES)
    def test_say_what_is_a_time_and_what_an_address(self, name: str) -> None:
        formats = {field: told["format"] for field, told in fields_of(name) if "format" in told}
        assert formats == {"time": "date-time", "first_seen_at": "date-time", "source": "uri", "order": "uri"}

    @pytest.mark.parametrize("place", range(4))
    def test_let_no_field_be_taken_away(self, place: int) -> None:
        messages = (("failing", failing()), ("resolved", resolved(NO_TRACKING)), ("expired", expired()))
        for name, message in messages:
            for field in parts(sent(message))[place]:
                document = sent(message)
                del parts(document)[place][field]
                assert not validator(name).is_valid(document), field

    def test_tell_the_types_apart(self) -> None:
        messages = {"failing": sent(failing()), "resolved": sent(resolved()), "expired": sent(expired())}
        for name, document in messages.items():
            assert [other for other in messages if validator(other).is_valid(document)] == [name]

    @pytest.mark.parametrize("code", Code)
    def test_know_every_problem(self, code: Code) -> None:
        validator("failing").validate(sent(failing(Problem(code, "1", KEY))))

    @pytest.mark.parametrize("reason", CloseReason)
    def test_know_every_reason_to_close(self, reason: CloseReason) -> None:
        validator("resolved").validate(sent(resolved(reason=reason)))


class TestTheContractsExample:
    def test_is_what_is_sent(self) -> None:
        document = sent(failing(order=cnova_order(sale(key=None))))
        (problem,) = document["data"].pop("problems")
        assert problem.pop("message") == "A nota 643797 está sem a chave de acesso da NF-e."
        assert problem == {
            "code": "missing",
            "severity": "error",
            "invoice_number": "643797",
            "invoice_key": None,
            "suggested_key": None,
            "suggested_from": None,
            "reused_in": None,
        }
        assert document == {
            "specversion": "1.0",
            "id": "5dea2a3ee3a4ea1f85e51ffcf4128154eb7511bcc39ff65e1d1c8896df1d426e",
            "source": "https://luxstore.myvtex.com",
            "type": "invoicekey.order.failing.v1",
            "subject": "VVJ-975102-01",
            "time": "2026-03-03T14:54:01Z",
            "datacontenttype": "application/json",
            "data": {
                "report": 1,
                "account": "luxstore",
                "order_id": "VVJ-975102-01",
                "marketplace_order_id": "975102-01",
                "affiliate_id": "VVJ",
                "order_status": "invoiced",
                "invoiced_at": "2026-03-03T14:54:00.5436574+00:00",
                "first_seen_at": "2026-03-03T14:54:01Z",
                "problems_found": 1,
                "links": {"order": "https://luxstore.myvtex.com/admin/orders/VVJ-975102-01"},
            },
        }

    def test_of_a_resolved_order_has_its_reason_and_warnings_alone(self) -> None:
        document = sent(resolved(NO_TRACKING))
        assert document["type"] == "invoicekey.order.resolved.v1"
        assert document["data"]["reason"] == "ok"
        assert [problem["severity"] for problem in document["data"]["problems"]] == ["warning"]

    def test_of_a_resolved_order_may_have_no_problem(self) -> None:
        document = sent(resolved(reason=CloseReason.CANCELED))
        assert document["data"]["problems"] == []
        assert document["data"]["problems_found"] == 0


class TestAFailureThatIsGivenUp:
    def test_is_told_with_what_is_still_wrong(self) -> None:
        document = sent(expired(MISSING, NO_TRACKING))
        validator("expired").validate(document)
        assert document["type"] == "invoicekey.order.expired.v1"
        assert [problem["code"] for problem in document["data"]["problems"]] == ["missing", "tracking_missing"]
        assert document["data"]["report"] == 3

    def test_may_be_told_with_nothing_where_the_order_is_not_the_shop_s_by_now(self) -> None:
        known: dict[str, Any] = {"report": 3, "first_seen_at": NOW, "now": NOW, "language": "en"}
        document = sent(record.write(ExpiredRecord, ACCOUNT, Order.model_validate(cnova_order()), (), **known))
        validator("expired").validate(document)
        assert document["data"]["problems"] == []


class TestAnId:
    def test_is_the_sha_256_of_account_order_type_and_report_number(self) -> None:
        text = "luxstore\nVVJ-975102-01\ninvoicekey.order.resolved.v1\n7"
        assert resolved(report=7).id == hashlib.sha256(text.encode()).hexdigest()

    def test_is_the_same_for_the_same_report_whatever_was_found_and_when(self) -> None:
        again = failing(
            NO_TRACKING,
            order=cnova_order(sale(), status="handling", affiliateId=None),
            now=NOW + timedelta(days=1),
            first_seen_at=NOW - timedelta(days=1),
            language="en",
        )
        assert again.id == failing().id
        assert resolved(reason=CloseReason.OK).id == resolved(reason=CloseReason.DISMISSED).id

    def test_differs_by_account_order_type_and_report_number(self) -> None:
        ids = [
            failing().id,
            failing(account="luxstore2").id,
            failing(order=cnova_order(orderId="VVJ-975102-02")).id,
            failing(report=2).id,
            failing(report=12).id,
            resolved(report=1).id,
            resolved(report=2).id,
        ]
        assert all(one != other for one, other in combinations(ids, 2))

    def test_does_not_mistake_the_end_of_one_part_for_the_begin_of_the_next(self) -> None:
        assert failing(account="a", order={"orderId": "bc"}).id != failing(account="ab", order={"orderId": "c"}).id

    def test_needs_a_report_number_from_one_on(self) -> None:
        with pytest.raises(ValueError, match="greater than or equal to 1"):
            failing(report=0)


class TestTimes:
    @pytest.mark.parametrize(
        ("moment", "text"),
        [
            (NOW, "2026-03-03T14:54:01Z"),
            (NOW.replace(microsecond=999_999), "2026-03-03T14:54:01Z"),
            (datetime(2026, 3, 3, 23, 0, tzinfo=timezone(timedelta(hours=-3))), "2026-03-04T02:00:00Z"),
            (datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), "2026-12-31T23:59:59Z"),
        ],
    )
    def test_are_in_utc_to_the_second(self, moment: datetime, text: str) -> None:
        assert fields.timestamp(moment) == text
        assert failing(now=moment).time == text
        assert failing(first_seen_at=moment).data.first_seen_at == text

    @pytest.mark.parametrize("date", ["2026-03-03T14:54:00.5436574+00:00", "0001-01-01T00:00:00", "yesterday"])
    def test_of_vtex_are_as_vtex_writes_them(self, date: str) -> None:
        assert failing(order=cnova_order(invoicedDate=date)).data.invoiced_at == date


class TestAFieldAsItIsShown:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (None, None),
            ("", ""),
            (" ", " "),
            (KEY, KEY),
            ("x" * 64, "x" * 64),
            ("x" * 65, CUT),
            ("x" * 10_000, CUT),
            ("ç" * 65, "ç" * 63 + "…"),
            ("\N{SLIGHTLY SMILING FACE}" * 65, "\N{SLIGHTLY SMILING FACE}" * 63 + "…"),
            ("\ud800", "?"),
            ("a\nb\x00", "a\nb\x00"),
            (make_xml(KEY), "(xml)"),
            ("x" * 10_000 + "<", "(xml)"),
            ("<", "(xml)"),
            (">", ">"),
            (0, "0"),
            (int(KEY), KEY),
            (10**70, "1" + "0" * 62 + "…"),
            (2.5, "2.5"),
            (3.5e43, "3.5e+43"),
            (True, "true"),
            (False, "false"),
            ([KEY], "(list)"),
            ([], "(list)"),
            ({"key": KEY}, "(object)"),
            ({}, "(object)"),
        ],
    )
    def test_is_text_of_64_characters_at_the_most(self, value: object, text: str | None) -> None:
        assert fields.shown(value) == text
        assert failing(Problem(Code.MALFORMED, None, value)).data.problems[0].invoice_key == text

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_is_text_though_it_is_no_number(self, value: float) -> None:
        assert fields.shown(value) in {"NaN", "Infinity", "-Infinity"}

    @pytest.mark.parametrize(("number", "text"), [("x" * 65, CUT), ("<NFe>", "(xml)"), (None, None)])
    def test_may_be_the_invoices_number(self, number: str | None, text: str | None) -> None:
        assert failing(Problem(Code.MISSING, number)).data.problems[0].invoice_number == text

    @pytest.mark.parametrize(
        ("field", "name"),
        [
            ("marketplaceOrderId", "marketplace_order_id"),
            ("affiliateId", "affiliate_id"),
            ("status", "order_status"),
            ("invoicedDate", "invoiced_at"),
        ],
    )
    def test_may_be_the_orders(self, field: str, name: str) -> None:
        known: list[tuple[Any, str | None]] = [
            ("x" * 64, "x" * 64), ("x" * 65, CUT), ("<a>", "(xml)"), (7, "7"),
            (None, None), (ABSENT, None), ("", None), ([], None),
        ]  # fmt: skip
        for value, text in known:
            message = failing(order=cnova_order(**{field: value}))
            assert getattr(message.data, name) == text
            validator("failing").validate(sent(message))


class TestAProblem:
    def test_names_what_is_suggested_and_from_where(self) -> None:
        suggestion = Suggestion(KEY, SuggestionSource.EMBEDDED_INVOICE)
        (problem,) = failing(Problem(Code.MISSING, "643797", "", suggestion)).data.problems
        assert (problem.suggested_key, problem.suggested_from) == (KEY, "embedded_invoice")
        assert problem.invoice_key == ""

    def test_names_the_order_in_which_a_key_is_used_twice(self) -> None:
        reused, missing = failing(Problem(Code.REUSED, "1", KEY, reused_on="2"), MISSING).data.problems
        assert reused.reused_in == "VVJ-975102-01"
        assert missing.reused_in is None

    def test_names_the_other_order_that_owns_a_key(self) -> None:
        (problem,) = failing(Problem(Code.REUSED, "1", KEY, reused_in="VVJ-1-01")).data.problems
        assert problem.reused_in == "VVJ-1-01"
        assert "VVJ-1-01" in problem.message

    def test_of_tracking_is_an_error_once_it_is_overdue(self) -> None:
        (problem,) = failing(Problem(Code.TRACKING_MISSING, "1", KEY, is_overdue=True)).data.problems
        assert problem.severity is Severity.ERROR

    @pytest.mark.parametrize("code", Code)
    def test_has_its_severity_and_a_message_in_each_language(self, code: Code) -> None:
        (pt,) = failing(Problem(code, "643797", KEY), language="pt-BR").data.problems
        (en,) = failing(Problem(code, "643797", KEY), language="en").data.problems
        assert pt.severity is en.severity is code.severity
        assert pt.message
        assert en.message
        assert pt.message != en.message

    def test_is_not_told_at_length(self) -> None:
        long = "x" * 10_000
        (problem,) = failing(Problem(Code.REUSED, long, long, reused_on=long)).data.problems
        assert len(problem.message) < 300


class TestManyProblems:
    def sent_codes(self, problems: Sequence[Problem]) -> list[Code]:
        return [problem.code for problem in failing(*problems).data.problems]

    def test_are_all_told_up_to_200(self) -> None:
        message = failing(*[MISSING] * 200)
        assert len(message.data.problems) == message.data.problems_found == 200

    def test_are_counted_beyond(self) -> None:
        message = failing(*[MISSING] * 201)
        assert len(message.data.problems) == 200
        assert message.data.problems_found == 201

    def test_have_the_errors_first_so_that_no_error_gives_way_to_a_warning(self) -> None:
        other = Problem(Code.MALFORMED, "5", "junk")
        assert self.sent_codes([NO_TRACKING, MISSING, NO_TRACKING, other]) == [
            Code.MISSING,
            Code.MALFORMED,
            Code.TRACKING_MISSING,
            Code.TRACKING_MISSING,
        ]
        assert self.sent_codes([NO_TRACKING] * 2000 + [MISSING])[0] is Code.MISSING

    @pytest.mark.parametrize("character", ["\x01", '"', "\\", "ç", "\N{SLIGHTLY SMILING FACE}", "\ud800"])
    @pytest.mark.parametrize("language", ["pt-BR", "en"])
    def test_fit_into_a_message_whatever_they_hold(self, character: str, language: str) -> None:
        text = character * 70
        suggestion = Suggestion(KEY, SuggestionSource.EMBEDDED_INVOICE)
        order = {"orderId": "V" * 64} | dict.fromkeys(
            ("marketplaceOrderId", "affiliateId", "status", "invoicedDate"), text
        )
        for code in Code:
            problem = Problem(code, text.replace("\ud800", "?"), text, suggestion, reused_on=text)
            known: dict[str, Any] = {"account": "a" * 63, "report": 10**9, "language": language}
            message = failing(*[problem] * 2000, order=order, **known)
            assert len(message.model_dump_json().encode()) < MOST_BYTES


class TestTheCustomer:
    @pytest.mark.parametrize("wrap", WRAPPINGS)
    def test_does_not_appear_in_any_wrapping(self, wrap: Wrap) -> None:
        xml = wrap("<dest><CPF>12345678909</CPF><xNome>Maria-marker</xNome></dest>")
        fields = dict.fromkeys(("marketplaceOrderId", "affiliateId", "status", "invoicedDate"), xml)
        order = Order.model_validate(cnova_order(sale(xml, xml), **fields))
        problem = Problem(Code.MALFORMED, order.sale_invoices[0].invoice_number, xml, reused_on=xml)
        told = record.write(
            FailingRecord, ACCOUNT, order, [problem], report=1, first_seen_at=NOW, now=NOW, language="pt-BR"
        )
        shown = [told.data.marketplace_order_id, told.data.affiliate_id, told.data.order_status, told.data.invoiced_at]
        assert [*shown, told.data.problems[0].invoice_number, told.data.problems[0].invoice_key] == ["(xml)"] * 6
        assert told.data.problems[0].message == (
            "A chave de acesso da nota (xml) não está no campo: no lugar dela há um XML."
        )

    def test_appears_nowhere(self) -> None:
        xml = make_xml(KEY).replace("Loja", "Maria-marker")
        items = [{"description": "marker"}]
        packages = [
            sale(key=None, embeddedInvoice=xml, items=items, trackingUrl="https://marker.example"),
            sale("2", xml, courier="marker", trackingNumber="marker", courierStatus={"data": [{"city": "marker"}]}),
            sale("3", {"customer": "marker"}, invoiceUrl="https://marker.example/marker"),
            sale("4", ["marker"], restitutions={"Refund": {"giftCardData": "marker"}}),
            sale("5", "", issuanceDate="marker"),
        ]
        document = cnova_order(*packages, **PERSONAL, items=items, sellers=[{"name": "marker"}])
        order = Order.model_validate(document)
        problems = [
            Problem(code, package.invoice_number, package.invoice_key)
            for package in order.sale_invoices
            for code in (Code.MISSING, Code.MALFORMED, Code.WRONG_MODEL, Code.REUSED, Code.TRACKING_MISSING)
        ]
        for language in ("pt-BR", "en"):
            known: dict[str, Any] = {"first_seen_at": NOW, "now": NOW, "language": language}
            told = record.write(FailingRecord, ACCOUNT, order, problems, report=1, **known)
            closed = record.write(ResolvedRecord, ACCOUNT, order, problems, report=2, reason=CloseReason.OK, **known)
            given_up = record.write(ExpiredRecord, ACCOUNT, order, problems, report=3, **known)
            assert "marker" in json.dumps(document)
            assert "marker" not in told.model_dump_json()
            assert "marker" not in closed.model_dump_json()
            assert "marker" not in given_up.model_dump_json()


class TestTypes:
    def test_are_those_of_the_contract(self) -> None:
        assert [str(kind) for kind in RecordType] == [
            "invoicekey.order.failing.v1",
            "invoicekey.order.resolved.v1",
            "invoicekey.order.expired.v1",
        ]
        assert list(CloseReason) == ["ok", "canceled", "returned", "not_invoiced", "not_found", "dismissed"]
        assert list(Severity) == ["error", "warning"]
        assert list(SuggestionSource) == ["cleaned", "embedded_invoice", "invoice_url", "invoice_number"]

    def test_links_lead_to_vtexs_admin(self) -> None:
        assert fields.order_url("luxstore", "VVJ-1-01") == "https://luxstore.myvtex.com/admin/orders/VVJ-1-01"
