"""The judgement, row by row: the outcomes and the problem codes in the contract's order."""

import itertools
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from invoicekey.rules.order import Order
from invoicekey.rules.policy import Policy
from invoicekey.rules.verdict import (
    OWNS_NO_KEY,
    Circumstances,
    Code,
    Outcome,
    Problem,
    Severity,
    Suggestion,
    SuggestionSource,
    Verdict,
    judge,
)
from tests.keys import make_cnpj, make_cpf, make_event, make_key, make_xml
from tests.orders import ABSENT, KEY, cnova_order, custom_apps, own_order, returned, sale
from tests.wrappings import WRAPPINGS, Wrap

HEARD = datetime(2026, 3, 3, 14, 54, 1, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

ACCOUNT = "luxstore"
CNPJ, OTHER_CNPJ = "11222333000181", make_cnpj()
POLICY = Policy(affiliate_ids=frozenset({"vvj"}))
OF_THE_SELLER = Policy(affiliate_ids=frozenset({"vvj"}), seller_tax_ids=frozenset({CNPJ}))
WITH_KEY_GRACE = Policy(affiliate_ids=frozenset({"vvj"}), key_grace=HOUR)
WITH_TRACKING_GRACE = Policy(affiliate_ids=frozenset({"vvj"}), tracking_grace=DAY)
NO_GRACE = Policy(affiliate_ids=frozenset({"vvj"}), invoice_grace=timedelta(0))

SPACED_KEY = "NFe 3526 0311 2223 3300 0181 5500 1000 6437 9717 3219 4052"
WRONG_KEY = KEY[:-1] + "3"


def a_key(number: int = 643797, **fields: Any) -> str:
    """A key of the seller that fits `sale()`: March 2026."""
    known: dict[str, Any] = {"tax_id": CNPJ, "month": 3, "number": number}
    return make_key(**known | fields)


def steps(work: Callable[[], object]) -> int:
    """Count what Python does of a piece of work: functions begun, branches taken, loops gone round."""
    monitoring, tool, seen = sys.monitoring, sys.monitoring.DEBUGGER_ID, itertools.count()
    kinds = (monitoring.events.PY_START, monitoring.events.BRANCH, monitoring.events.JUMP)
    monitoring.use_tool_id(tool, "steps")
    try:
        for kind in kinds:
            monitoring.register_callback(tool, kind, lambda *_: next(seen))
        monitoring.set_events(tool, sum(kinds))
        work()
    finally:
        monitoring.set_events(tool, monitoring.events.NO_EVENTS)
        monitoring.free_tool_id(tool)
    return next(seen)


def judged(
    order: Mapping[str, Any],
    policy: Policy = POLICY,
    *,
    now: datetime = HEARD + DAY,
    open_failure: bool = False,
    account: str = ACCOUNT,
    owners: Mapping[str, str] | None = None,
) -> Verdict:
    given = Circumstances(account, now, HEARD, has_open_failure=open_failure, owners=owners or {})
    return judge(Order.model_validate(order), policy, given)


def outcome(order: Mapping[str, Any], policy: Policy = POLICY, **given: Any) -> Outcome:
    return judged(order, policy, **given).outcome


def codes(order: Mapping[str, Any], policy: Policy = POLICY, **given: Any) -> list[Code]:
    return [problem.code for problem in judged(order, policy, **given).problems]


def codes_of(package: Mapping[str, Any], policy: Policy = POLICY, **given: Any) -> list[Code]:
    return codes(cnova_order(package), policy, **given)


def suggested(package: Mapping[str, Any], policy: Policy = POLICY) -> tuple[str, str] | None:
    """What is suggested with the package's error, and from where."""
    error, *_ = judged(cnova_order(package), policy).errors
    return error.suggestion


OUTCOMES = [
    (own_order(sale(key=None)), Verdict(Outcome.OTHER_MARKETPLACE)),
    (cnova_order(sale(key=None), status="canceled"), Verdict(Outcome.CANCELED)),
    (cnova_order(sale(key=None), returned()), Verdict(Outcome.RETURNED)),
    (cnova_order(status="handling"), Verdict(Outcome.NOT_INVOICED)),
    (cnova_order(), Verdict(Outcome.WAITING, (Problem(Code.NO_INVOICE),), HEARD + timedelta(seconds=600))),
    (cnova_order(sale(key=None)), Verdict(Outcome.WAITING, (Problem(Code.MISSING, "643797"),), HEARD + HOUR)),
    (cnova_order(sale()), Verdict(Outcome.OK, keys=(("643797", KEY),), own_keys=(KEY,))),
    (cnova_order(sale(key="junk")), Verdict(Outcome.FAILING, (Problem(Code.MALFORMED, "643797", "junk"),))),
]
"""The table of outcomes, within the graces: with each row an order that fits it."""


class TestAnOutcome:
    def test_has_its_name_in_the_table(self) -> None:
        assert " ".join(Outcome) == "other_marketplace canceled returned not_invoiced waiting ok failing"
        assert set(Outcome) - OWNS_NO_KEY == {Outcome.WAITING, Outcome.OK, Outcome.FAILING}

    @pytest.mark.parametrize(
        ("order", "verdict"), OUTCOMES, ids=[f"{n} {verdict.outcome}" for n, (_, verdict) in enumerate(OUTCOMES)]
    )
    def test_is_that_of_the_row_that_fits(self, order: dict[str, Any], verdict: Verdict) -> None:
        assert judged(order, WITH_KEY_GRACE, now=HEARD) == verdict

    @pytest.mark.parametrize(
        ("order", "expected"),
        [
            (own_order(sale(), status="canceled"), Outcome.OTHER_MARKETPLACE),
            (cnova_order(sale(), returned(), status="canceled"), Outcome.CANCELED),
            (cnova_order(status="request-cancel"), Outcome.CANCELED),
            (cnova_order(sale(), returned(), status="handling"), Outcome.RETURNED),
            (cnova_order(sale(key="junk"), returned()), Outcome.RETURNED),
            (cnova_order(returned(), status="handling"), Outcome.NOT_INVOICED),
            (cnova_order(returned()), Outcome.WAITING),
            (cnova_order(sale(), status="handling"), Outcome.OK),
            (cnova_order(sale(key="junk"), status="payment-approved"), Outcome.FAILING),
        ],
    )
    def test_is_that_of_the_first_row_that_fits(self, order: dict[str, Any], expected: Outcome) -> None:
        assert outcome(order, WITH_KEY_GRACE, now=HEARD) is expected

    @pytest.mark.parametrize(
        "status",
        ["canceled", "cancel", "canceling", "request-cancel", "cancellation-requested", "Canceled", " CANCEL "],
    )
    def test_is_canceled_in_any_status_that_says_so_though_a_failure_is_open(self, status: str) -> None:
        assert judged(cnova_order(sale(key=None), status=status), open_failure=True) == Verdict(Outcome.CANCELED)

    @pytest.mark.parametrize(
        "value", [judged(own_order()), Problem(Code.MISSING), Circumstances(ACCOUNT, HEARD, HEARD)]
    )
    def test_and_what_leads_to_it_do_not_change(self, value: object) -> None:
        with pytest.raises(AttributeError):
            setattr(value, next(iter(value.__slots__)), None)  # type: ignore[attr-defined]

    def test_shows_no_key_that_is_good_where_it_is_printed(self) -> None:
        assert KEY not in repr(judged(cnova_order(sale())))

    @pytest.mark.parametrize("status", ["handling", "payment-approved", "invoice", "null", "", None, 7, ["invoiced"]])
    def test_is_not_invoiced_in_any_status_but_invoiced(self, status: object) -> None:
        assert judged(cnova_order(status=status)) == Verdict(Outcome.NOT_INVOICED)


NEITHER = sale(trackingNumber=None, courier=None)
GRACES = [
    pytest.param(cnova_order(), POLICY, timedelta(seconds=600), Outcome.WAITING, id="an invoice's"),
    pytest.param(cnova_order(returned()), POLICY, timedelta(seconds=600), Outcome.WAITING, id="beside returns"),
    pytest.param(cnova_order(sale(key=" ")), WITH_KEY_GRACE, HOUR, Outcome.WAITING, id="a key's"),
    pytest.param(cnova_order(NEITHER), WITH_TRACKING_GRACE, DAY, Outcome.OK, id="tracking's"),
]


class TestAGrace:
    @pytest.mark.parametrize(("order", "policy", "grace", "until_then"), GRACES)
    def test_lasts_to_the_moment_before_its_end(
        self, order: dict[str, Any], policy: Policy, grace: timedelta, until_then: Outcome
    ) -> None:
        assert outcome(order, policy, now=HEARD + grace - MOMENT) is until_then
        assert outcome(order, policy, now=HEARD + grace) is Outcome.FAILING

    @pytest.mark.parametrize(("order", "policy", "grace", "until_then"), GRACES)
    def test_is_none_of_an_order_with_an_open_failure_but_for_tracking(
        self, order: dict[str, Any], policy: Policy, grace: timedelta, until_then: Outcome
    ) -> None:
        expected = Outcome.FAILING if until_then is Outcome.WAITING else until_then
        assert outcome(order, policy, now=HEARD, open_failure=True) is expected

    def test_runs_where_nothing_is_said_of_an_open_failure(self) -> None:
        given = Circumstances(ACCOUNT, HEARD, HEARD)
        assert judge(Order.model_validate(cnova_order()), POLICY, given).outcome is Outcome.WAITING

    def test_runs_in_any_time_zone(self) -> None:
        now = datetime.fromisoformat("2026-03-03T12:04:00.999999-03:00")
        assert outcome(cnova_order(), now=now) is Outcome.WAITING
        assert outcome(cnova_order(), now=now + MOMENT) is Outcome.FAILING

    @pytest.mark.parametrize(
        ("order", "policy", "now"),
        [
            pytest.param(cnova_order(), NO_GRACE, HEARD, id="none is set"),
            pytest.param(cnova_order(sale(key=None)), POLICY, HEARD, id="a key's, where none is set"),
            pytest.param(cnova_order(), WITH_KEY_GRACE, HEARD + HOUR - MOMENT, id="an invoice's is not a key's"),
            pytest.param(cnova_order(sale("1", None), sale(key="junk")), WITH_KEY_GRACE, HEARD, id="malformed too"),
            pytest.param(cnova_order(sale("1", None), sale(key=WRONG_KEY)), WITH_KEY_GRACE, HEARD, id="invalid too"),
        ],
    )
    def test_is_for_nothing_else(self, order: dict[str, Any], policy: Policy, now: datetime) -> None:
        assert outcome(order, policy, now=now) is Outcome.FAILING

    def test_of_a_key_is_for_all_that_are_missing_whatever_is_warned_of(self) -> None:
        order = cnova_order(sale("1", None, courier=None), sale("2", ""), sale())
        assert outcome(order, WITH_KEY_GRACE, now=HEARD) is Outcome.WAITING


class TestTheGraceOfTracking:
    @pytest.mark.parametrize(
        ("package", "policy", "end"),
        [
            (NEITHER, WITH_TRACKING_GRACE, HEARD + DAY),
            (NEITHER, POLICY, None),
            (sale("1/1", issuanceDate="2020-01-01T"), WITH_TRACKING_GRACE, None),
        ],
    )
    def test_has_an_end_where_it_is_set_and_something_is_missing(
        self, package: dict[str, Any], policy: Policy, end: datetime | None
    ) -> None:
        order = cnova_order(package)
        assert judged(order, policy, now=HEARD).overdue_at == end
        assert outcome(order, policy, now=HEARD + 1000 * DAY) is (Outcome.FAILING if end else Outcome.OK)

    @pytest.mark.parametrize(
        ("package", "errors", "warnings"),
        [
            (sale(trackingNumber=None), [Code.TRACKING_MISSING], []),
            (sale("1", courier=None), [Code.COURIER_MISSING], [Code.NUMBER_MISMATCH]),
            (NEITHER, [Code.TRACKING_MISSING], [Code.COURIER_MISSING]),
            (sale(key=None, trackingNumber=None), [Code.MISSING], [Code.TRACKING_MISSING]),
        ],
        ids=["tracking", "courier, and another warning", "both", "the key too"],
    )
    def test_makes_one_error_of_an_invoice_when_it_is_over(
        self, package: dict[str, Any], errors: list[Code], warnings: list[Code]
    ) -> None:
        verdict = judged(cnova_order(package), WITH_TRACKING_GRACE)
        assert [error.code for error in verdict.errors] == errors
        assert [warning.code for warning in verdict.warnings] == warnings

    def test_makes_an_error_of_each_invoice(self) -> None:
        order = cnova_order(sale("1", a_key(1), courier=None), sale(), sale("2", a_key(2), trackingNumber=None))
        errors = [(error.invoice_number, error.code) for error in judged(order, WITH_TRACKING_GRACE).errors]
        assert errors == [("1", Code.COURIER_MISSING), ("2", Code.TRACKING_MISSING)]

    def test_waits_for_no_key_where_it_is_over(self) -> None:
        policy = Policy(POLICY.affiliate_ids, key_grace=2 * DAY, tracking_grace=DAY)
        assert outcome(cnova_order(sale("1", None), NEITHER), policy) is Outcome.FAILING
        assert outcome(cnova_order(sale("1", None, courier=None), sale()), policy) is Outcome.WAITING


class TestCnovaIsRecognised:
    @pytest.mark.parametrize("affiliate", ["VVJ", "vvj", " VVJ "])
    @pytest.mark.parametrize("setting", ["vvj", "luxstore:vvj"])
    def test_by_its_affiliate_in_any_case(self, affiliate: str, setting: str) -> None:
        order = own_order(sale(), affiliateId=affiliate)
        assert outcome(order, Policy(frozenset({"abc", setting}))) is Outcome.OK

    def test_by_an_affiliate_of_this_account_alone(self) -> None:
        order = own_order(sale(), affiliateId="VVJ")
        assert outcome(order, Policy(frozenset({"otherstore:vvj"}))) is Outcome.OTHER_MARKETPLACE
        assert outcome(order, Policy(frozenset({"otherstore:vvj"})), account="otherstore") is Outcome.OK

    @pytest.mark.parametrize("affiliate", ["", "  ", None, ABSENT, [], {}, False, "VV", "VVJJ", "VVJ-1", "GHB"])
    def test_not_by_an_affiliate_that_is_not_there_or_only_alike(self, affiliate: object) -> None:
        policy = Policy(frozenset({"", "luxstore:", ":", "vvj", "none", "false"}))
        assert outcome(own_order(sale(), affiliateId=affiliate), policy) is Outcome.OTHER_MARKETPLACE

    @pytest.mark.parametrize(
        "apps",
        [
            ["CN-Viavarejo-Integration"], ["integration-marketplace-viavarejo"], ["VIAVAREJO"],
            ["integration-marketplace-example", None, 7, "cn-viavarejo-integration"],
        ],
    )  # fmt: skip
    def test_by_its_app_in_any_spelling_and_any_place(self, apps: list[Any]) -> None:
        assert outcome(own_order(sale(), customData=custom_apps(*apps)), Policy()) is Outcome.OK

    @pytest.mark.parametrize(
        "data",
        [
            None, ABSENT, "viavarejo", {"customApps": "viavarejo"}, {"customApps": {"id": "viavarejo"}},
            {"customApps": [None, "viavarejo", {}, {"id": ["viavarejo"]}]}, {"customFields": [{"id": "viavarejo"}]},
            {"customApps": [{"id": "via-varejo", "fields": {"id": "viavarejo"}}]},
        ],
    )  # fmt: skip
    def test_not_by_what_is_no_apps_id(self, data: object) -> None:
        assert judged(own_order(sale(), customData=data)) == Verdict(Outcome.OTHER_MARKETPLACE)

    def test_not_by_an_orders_id(self) -> None:
        assert outcome(own_order(sale(), orderId="VVJ-1-01", sellerOrderId="VVJ-1")) is Outcome.OTHER_MARKETPLACE


class TestASuspect:
    """An order that smells of CNova, and is not known as its."""

    @pytest.mark.parametrize(
        "name",
        [
            "CNova", "casasbahia", "CASAS BAHIA", "Casas Bahia Marketplace", "Grupo Casas Bahia", "CASAS-BAHIA",
            "Casas. Bahia", "Casas\N{NO-BREAK SPACE}Bahia", "Cásas Bahía", "grupo_casas_bahia", "Via Varejo",
            "ViaVarejo S.A.", "VIA-VAREJO", "via  varejo", "Nova.Via.Varejo",
        ],
    )  # fmt: skip
    def test_has_a_marketplace_of_one_of_its_names(self, name: str) -> None:
        order = own_order(sale(key=None), marketplace={"baseURL": None, "name": name})
        assert judged(order) == Verdict(Outcome.OTHER_MARKETPLACE, is_suspect=True)

    @pytest.mark.parametrize(
        "address",
        [
            "http://example.com/api/ViaVarejoIntegration/pub", "http://cnovaintegration.example.com",
            "https://www.casasbahia.example/api", "https://api-mktplace.viavarejo.example/api/v2",
            "https://bridge.example/?m=Casas%20Bahia", "https://bridge.example/?m=via+varejo",
            "https://integrationviavarejo.example/",
        ],
    )  # fmt: skip
    def test_has_an_address_with_one_in_it(self, address: str) -> None:
        assert judged(own_order(marketplaceServicesEndpoint=address)).is_suspect
        assert judged(own_order(marketplace={"baseURL": address}, status="canceled")).is_suspect

    @pytest.mark.parametrize(
        "changes",
        [
            {}, {"marketplace": None}, {"marketplace": "CNova"}, {"marketplaceServicesEndpoint": ["viavarejo"]},
            {"marketplace": {"name": ["CNova"], "baseURL": {"cnova": "cnova"}}},
            *({"marketplace": {"name": name}} for name in (
                "Ponto", "Via", "Octavia", "Lívia Varejo", "Viação Varejo", "Via Expressa Varejo", "Varejo Via Web",
                "Magic Nova", "Casas da Bahia",
            )),
            {"marketplaceServicesEndpoint": "https://oms.example/api?via=varejista"},
            {"orderId": "CNOVA-1", "sellerOrderId": "cnova", "hostname": "cnova", "openTextField": "casas bahia"},
        ],
    )  # fmt: skip
    def test_is_no_other_order(self, changes: dict[str, Any]) -> None:
        assert judged(own_order(sale(key=None), **changes)) == Verdict(Outcome.OTHER_MARKETPLACE)


class TestReturns:
    @pytest.mark.parametrize("values", [[10221], [99999], [5000, 5221], [1, None, 10220], ["10221"], [0, 10221]])
    def test_bring_an_order_back_where_they_add_up_to_its_sales(self, values: list[object]) -> None:
        assert outcome(cnova_order(sale(key=None), *map(returned, values))) is Outcome.RETURNED

    @pytest.mark.parametrize(
        "values", [[10220], [0], [0, 10220], [-10221], [None], [ABSENT], ["10.221"], ["1e9"], [True], [{}]]
    )
    def test_of_less_or_of_unknown_value_do_not(self, values: list[object]) -> None:
        assert outcome(cnova_order(sale(key=None), *map(returned, values))) is Outcome.FAILING

    def test_bring_a_split_order_back(self) -> None:
        sales = [sale("1", invoiceValue=4000), sale("2", invoiceValue=6000)]
        assert outcome(cnova_order(*sales, returned(7000), returned(3000))) is Outcome.RETURNED
        assert outcome(cnova_order(*sales, returned(7000), returned(2999))) is Outcome.FAILING

    @pytest.mark.parametrize("kind", ["Input", "INPUT", " Input "])
    def test_are_packages_of_type_input_in_any_case(self, kind: str) -> None:
        assert outcome(cnova_order(sale(key=None), returned(type=kind))) is Outcome.RETURNED

    @pytest.mark.parametrize("value", [None, ABSENT, "x", -1, 2.5, 10**15, 0, "0", "000", 0.0, -0.0])
    def test_do_not_bring_back_a_sale_of_unknown_value_or_none(self, value: object) -> None:
        sold = sale(key=None, invoiceValue=value)
        assert outcome(cnova_order(sold, returned(99999))) is Outcome.FAILING
        assert outcome(cnova_order(sale(), sold, returned(99999))) is Outcome.FAILING

    def test_are_there_where_an_order_is_returned(self) -> None:
        assert outcome(cnova_order(sale(key=None, invoiceValue=0))) is Outcome.FAILING

    def test_are_not_asked_for_a_key(self) -> None:
        assert judged(cnova_order(sale(), returned(1, invoiceKey=None))).keys == (("643797", KEY),)
        assert outcome(cnova_order(sale(), returned(1, invoiceKey="CFe" + WRONG_KEY))) is Outcome.OK


class TestSaleInvoices:
    @pytest.mark.parametrize("kind", ["Output", "OUTPUT", " Output ", "", " ", None, ABSENT, [], False])
    def test_are_packages_of_type_output_or_of_none(self, kind: object) -> None:
        assert codes_of(sale(key=None, type=kind)) == [Code.MISSING]
        assert codes_of(sale(type=kind)) == []

    @pytest.mark.parametrize("kind", ["Outputs", "Saída", "Transfer"])
    def test_are_not_packages_of_another_type(self, kind: str) -> None:
        assert codes_of(sale(type=kind)) == [Code.NO_INVOICE]
        assert outcome(cnova_order(sale(), sale(key=None, type=kind))) is Outcome.OK

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_are_all_looked_at(self, place: int) -> None:
        packages = [sale(), returned(1)]
        packages.insert(place, sale("1", None))
        assert judged(cnova_order(*packages)).problems == (Problem(Code.MISSING, "1"),)

    @pytest.mark.parametrize("package", ["Output", 7, [], {}, {"InvoiceKey": KEY, "Type": "Input"}])
    def test_that_are_no_object_or_name_nothing_known_have_no_key(self, package: object) -> None:
        assert judged(cnova_order(sale(), package)).errors == (Problem(Code.MISSING),)

    def test_have_one_error_at_the_most_each_and_then_their_warnings(self) -> None:
        order = cnova_order(
            sale("1", None, courier=None),
            sale(trackingNumber=None),
            sale("3", "junk", trackingNumber=None, courier=None),
            returned(1),
            sale("4", WRONG_KEY),
        )
        assert [(problem.invoice_number, problem.code) for problem in judged(order).problems] == [
            ("1", Code.MISSING),
            ("1", Code.COURIER_MISSING),
            ("643797", Code.TRACKING_MISSING),
            ("3", Code.MALFORMED),
            ("3", Code.TRACKING_MISSING),
            ("3", Code.COURIER_MISSING),
            ("4", Code.INVALID_CHECK_DIGIT),
        ]

    def test_that_are_good_are_listed_with_an_ok_alone(self) -> None:
        order = cnova_order(sale(), returned(1), sale(None, a_key(5)), sale())
        assert judged(order).keys == (("643797", KEY), (None, a_key(5)), ("643797", KEY))
        assert judged(cnova_order(sale(), sale("1", None))).keys == ()

    @pytest.mark.parametrize("is_reused", [False, True])
    def test_cost_each_the_same_however_many_there_are(self, is_reused: bool) -> None:
        """The largest answer that is read holds 20,000 of them. Counted in steps, which no slow machine changes."""

        def of(invoices: int) -> dict[str, Any]:
            return cnova_order(
                *({"invoiceNumber": str(number * is_reused), "invoiceKey": KEY} for number in range(invoices))
            )

        few, many = of(100), of(1_000)
        assert outcome(many) is (Outcome.FAILING if is_reused else Outcome.OK)
        assert steps(lambda: judged(many)) == pytest.approx(10 * steps(lambda: judged(few)), rel=0.05)


ROWS: list[tuple[Code, dict[str, Any]]] = [
    (Code.MISSING, sale(key=None)),
    (Code.MALFORMED, sale(key=SPACED_KEY)),
    (Code.INVALID_CHECK_DIGIT, sale(key=WRONG_KEY)),
    (Code.INVALID_STATE, sale(key=a_key(state=99))),
    (Code.INVALID_YEAR, sale(key=a_key(year=2027))),
    (Code.INVALID_MONTH, sale(key=a_key(month=13))),
    (Code.INVALID_TAX_ID, sale(key=a_key(tax_id="11222333000199"))),
    (Code.WRONG_MODEL, sale(key=a_key(model="65"))),
    (Code.INVALID_NUMBER, sale(key=a_key(number=0))),
    (Code.INVALID_EMISSION_TYPE, sale(key=a_key(emission_type="8"))),
    (Code.ISSUER_MISMATCH, sale(key=a_key(tax_id=OTHER_CNPJ))),
    (Code.REUSED, sale(key=KEY)),
    (Code.NO_INVOICE, returned()),
    (Code.NUMBER_MISMATCH, sale("643798")),
    (Code.ISSUE_DATE_MISMATCH, sale(issuanceDate="2026-05-01T00:00:00.0000000+00:00")),
    (Code.TRACKING_MISSING, sale(trackingNumber=None)),
    (Code.COURIER_MISSING, sale(courier=None)),
    (Code.UNSAFE_NUMBER, sale("643797/2")),
]
"""The table of problem codes: with each code a package that has it, where the seller is known."""


class TestAProblemCode:
    def test_stands_in_the_table_in_its_place_by_its_name(self) -> None:
        assert [code for code, _ in ROWS] == list(Code) == [code.name.lower() for code in Code]
        assert list(Severity) == ["error", "warning"]

    @pytest.mark.parametrize(("code", "package"), ROWS, ids=list(Code))
    def test_makes_an_order_failing_where_it_is_an_error_and_not_where_it_is_a_warning(
        self, code: Code, package: dict[str, Any]
    ) -> None:
        is_warning = list(Code).index(code) > list(Code).index(Code.NO_INVOICE)
        packages = [package, sale("643798", KEY)] if code is Code.REUSED else [package]
        verdict = judged(cnova_order(*packages), OF_THE_SELLER)
        assert code.severity is (Severity.WARNING if is_warning else Severity.ERROR)
        assert verdict.outcome is (Outcome.OK if is_warning else Outcome.FAILING)
        assert next(problem.code for problem in (verdict.warnings if is_warning else verdict.errors)) is code

    @pytest.mark.parametrize("value", [None, ABSENT, "", " ", "\t \r\n", "\N{NO-BREAK SPACE}", "\N{IDEOGRAPHIC SPACE}"])
    def test_is_missing_where_a_key_is_null_absent_empty_or_blank(self, value: str | None) -> None:
        assert codes_of(sale(key=value)) == [Code.MISSING]

    @pytest.mark.parametrize(
        "value",
        [
            "NFe" + KEY, SPACED_KEY, KEY + "\n", " " + KEY, "\ufeff" + KEY, KEY[:-1], KEY + "1", "0", "N/A", "null",
            a_key(tax_id=OTHER_CNPJ).lower(), "CFe35201100063960001504590006629690333214542150", "3.52603E+43",
            "\N{ZERO WIDTH SPACE}", "\x00", "\ud800", make_xml(KEY), f"http://example.com/?chNFe={KEY}", int(KEY),
            [KEY], {"key": KEY}, 0, float("nan"), True, False, [], {}, 10**70,
        ],
    )  # fmt: skip
    def test_is_malformed_where_a_key_has_not_the_shape_or_is_no_text(self, value: object) -> None:
        (error,) = judged(cnova_order(sale(key=value))).problems
        assert error.code is Code.MALFORMED
        assert error.key_as_it_came is value

    def test_is_invalid_year_until_the_next_year_begins(self) -> None:
        package = sale(key=a_key(year=2027, month=1), issuanceDate="2027-01-01T02:59:59.0000000+00:00")
        new_year = datetime(2027, 1, 1, tzinfo=UTC)
        assert codes_of(package, now=new_year - MOMENT) == [Code.INVALID_YEAR]
        assert codes_of(package, now=new_year) == []

    def test_is_none_of_a_key_with_letters_in_its_cnpj(self) -> None:
        assert codes_of(sale(key=a_key(tax_id=OTHER_CNPJ))) == []


class TestTheIssuer:
    @pytest.mark.parametrize(
        ("fields", "known", "code"),
        [
            ({"tax_id": CNPJ}, {CNPJ, OTHER_CNPJ}, None),
            ({"tax_id": OTHER_CNPJ}, {CNPJ, OTHER_CNPJ}, None),
            ({"tax_id": make_cnpj("112223330002")}, {CNPJ}, Code.ISSUER_MISMATCH),  # another branch
            ({"tax_id": OTHER_CNPJ, "series": 889}, {CNPJ}, Code.ISSUER_MISMATCH),
            ({"tax_id": OTHER_CNPJ, "series": 890}, {CNPJ}, None),  # a tax office's
            ({"tax_id": OTHER_CNPJ, "series": 899}, {CNPJ}, None),
            ({"tax_id": OTHER_CNPJ, "series": 900}, {CNPJ}, Code.ISSUER_MISMATCH),
            ({"tax_id": make_cpf(), "series": 920}, {make_cpf()}, None),
            ({"tax_id": make_cpf(), "series": 920}, {CNPJ}, Code.ISSUER_MISMATCH),
            ({"tax_id": OTHER_CNPJ, "model": "65"}, {CNPJ}, Code.WRONG_MODEL),
        ],
    )
    def test_is_one_of_the_sellers_or_a_tax_office(
        self, fields: dict[str, Any], known: set[str], code: Code | None
    ) -> None:
        found = codes_of(sale(key=a_key(**fields)), Policy(POLICY.affiliate_ids, frozenset(known)))
        assert found == ([] if code is None else [code])

    def test_is_told_before_a_key_is_told_as_reused(self) -> None:
        key = a_key(tax_id=OTHER_CNPJ)
        verdict = judged(cnova_order(sale("1", key), sale("2", key)), OF_THE_SELLER, owners={key: "VVJ-1-01"})
        told = [(error.code, error.reused_on, error.reused_in) for error in verdict.errors]
        assert told == [(Code.ISSUER_MISMATCH, None, None)] * 2


class TestAReusedKey:
    def test_is_an_error_of_each_invoice_that_has_it(self) -> None:
        errors = judged(cnova_order(sale("643797"), sale("643798"))).errors
        assert errors == (
            Problem(Code.REUSED, "643797", KEY, reused_on="643798"),
            Problem(Code.REUSED, "643798", KEY, reused_on="643797"),
        )

    def test_names_one_other_invoice_where_there_are_several(self) -> None:
        errors = judged(cnova_order(sale("643797-1"), sale("643797-2"), sale("5"), sale("6"))).errors
        assert [error.reused_on for error in errors] == ["5", "5", "643797-1", "643797-1"]

    @pytest.mark.parametrize("number", [643797, "000643797", " 643797 ", None, ABSENT, "", " ", []])
    def test_is_good_on_packages_of_one_invoice_or_of_none_by_number(self, number: object) -> None:
        assert outcome(cnova_order(sale(number), sale(), sale(number))) is Outcome.OK

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("643797-1", "643797/2"),
            ("000643797-1", "643797 2"),
            ("643797A", "643797"),
            ("643797-643798", "0643797 - 2/2"),
        ],
    )
    def test_is_good_on_the_parts_of_its_own_invoice(self, one: str, other: str) -> None:
        verdict = judged(cnova_order(sale(one), sale(other), sale("643797")))
        assert verdict.outcome is Outcome.OK
        assert {warning.code for warning in verdict.warnings} <= {Code.UNSAFE_NUMBER}

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("643797-1", "643798-1"), ("643797", "6437971"), ("643797-1", "64379-7"), ("643797-1", "1-643797"),
            ("643797-1", "643797\N{ARABIC-INDIC DIGIT TWO}"), ("643798-1", "643798-2"), ("NFE-1", "NFE-01"),
            ("X643797", "643797"),
        ],
    )  # fmt: skip
    def test_is_told_where_a_number_names_another_invoice(self, one: str, other: str) -> None:
        errors = judged(cnova_order(sale(one), sale(other))).errors
        assert [(error.code, error.reused_on) for error in errors] == [(Code.REUSED, other), (Code.REUSED, one)]

    def test_is_good_where_only_a_return_has_it_too(self) -> None:
        assert outcome(cnova_order(sale(), returned(1, invoiceNumber="9", invoiceKey=KEY))) is Outcome.OK

    @pytest.mark.parametrize("key", [None, "", "junk", WRONG_KEY, [], {}])
    def test_is_a_key_that_is_good_but_for_that(self, key: object) -> None:
        assert Code.REUSED not in codes(cnova_order(sale("1", key), sale("2", key)))

    def test_is_told_beside_what_is_wrong_with_other_invoices(self) -> None:
        other = a_key(5)
        order = cnova_order(sale("5", other), sale("643797"), sale("7", None), sale("643798"), sale("8", other))
        told = [(error.invoice_number, error.code) for error in judged(order).errors]
        assert told == [(n, Code.MISSING if n == "7" else Code.REUSED) for n in ("5", "643797", "7", "643798", "8")]


class TestAKeyThatAnotherOrderOwns:
    OWNERS: ClassVar = {KEY: "VVJ-1-01"}

    def test_is_an_error_that_names_the_order(self) -> None:
        verdict = judged(cnova_order(sale()), owners=self.OWNERS)
        assert verdict == Verdict(Outcome.FAILING, (Problem(Code.REUSED, "643797", KEY, reused_in="VVJ-1-01"),))

    def test_is_one_of_each_invoice_that_has_it_and_of_no_other(self) -> None:
        order = cnova_order(sale("643797-1"), sale(key=a_key()), sale("643797-2"))
        errors = judged(order, owners=self.OWNERS).errors
        assert [(error.invoice_number, error.reused_in) for error in errors] == [
            ("643797-1", "VVJ-1-01"),
            ("643797-2", "VVJ-1-01"),
        ]

    def test_is_told_by_the_invoice_of_this_order_where_that_has_it_too(self) -> None:
        errors = judged(cnova_order(sale("1"), sale("2")), owners=self.OWNERS).errors
        assert [(error.reused_on, error.reused_in) for error in errors] == [("2", None), ("1", None)]

    def test_is_the_same_error_whoever_owns_it(self) -> None:
        one, other = (judged(cnova_order(sale()), owners={KEY: owner}).errors for owner in ("VVJ-1-01", "VVJ-2-01"))
        assert [error.identity for error in one] == [error.identity for error in other]

    @pytest.mark.parametrize(
        ("key", "code"),
        [(None, Code.MISSING), (f" {KEY}", Code.MALFORMED), (WRONG_KEY, Code.INVALID_CHECK_DIGIT)],
    )
    def test_is_told_of_a_sound_key_alone(self, key: str | None, code: Code) -> None:
        (error,) = judged(cnova_order(sale(key=key)), owners={str(key): "VVJ-1-01"} | self.OWNERS).errors
        assert (error.code, error.reused_in) == (code, None)

    def test_may_have_another_one_suggested(self) -> None:
        (error,) = judged(cnova_order(sale(invoiceUrl=a_key())), owners=self.OWNERS).errors
        assert error.suggestion == (a_key(), SuggestionSource.INVOICE_URL)

    def test_does_not_matter_where_the_order_needs_none(self) -> None:
        for order in (cnova_order(sale(), status="canceled"), cnova_order(sale(), returned()), own_order(sale())):
            assert not judged(order, owners=self.OWNERS).problems

    def test_ends_the_grace_of_a_missing_one(self) -> None:
        order = cnova_order(sale(), sale("1", None))
        assert outcome(order, WITH_KEY_GRACE, now=HEARD, owners=self.OWNERS) is Outcome.FAILING


class TestTheKeysOfItsOwn:
    """Those that the order is to own: sound ones, and no other order's."""

    @pytest.mark.parametrize(
        ("packages", "keys"),
        [
            pytest.param([sale(key=a_key()), sale(), sale(key=a_key())], (a_key(), KEY), id="each once, in order"),
            pytest.param([sale(), sale("1", None)], (KEY,), id="of a failing order"),
            pytest.param([sale("1"), sale("2")], (KEY,), id="reused within the order"),
            pytest.param([sale("1", trackingNumber=None)], (KEY,), id="with an overdue warning"),
            pytest.param([sale(key=a_key(tax_id=OTHER_CNPJ))], (), id="another issuer's"),
            pytest.param([sale(key=None), returned(1, invoiceKey=KEY)], (), id="a return's"),
            *(pytest.param([sale(key=key)], (), id=f"at fault: {key}") for key in (None, "junk", WRONG_KEY, 7, [KEY])),
        ],
    )
    def test_are_the_sound_ones(self, packages: list[dict[str, Any]], keys: tuple[str, ...]) -> None:
        policy = Policy(POLICY.affiliate_ids, frozenset({CNPJ}), tracking_grace=DAY)
        assert judged(cnova_order(*packages), policy).own_keys == keys

    def test_are_none_that_another_order_owns(self) -> None:
        assert judged(cnova_order(sale(), sale(key=a_key())), owners={KEY: "VVJ-1-01"}).own_keys == (a_key(),)


class TestWarnings:
    @pytest.mark.parametrize("number", ["643798", "0", "000000000", "999999999", 1])
    def test_there_is_one_of_another_number_than_the_keys(self, number: object) -> None:
        assert codes_of(sale(number)) == [Code.NUMBER_MISMATCH]

    @pytest.mark.parametrize(
        "number",
        [
            "643797", "000643797", 643797, "643797-1", "NFE-2026-001234", "0000643798", "643798-1", "1.234", "-1",
            "٦٤٣٧٩٨", None, ABSENT, "", 2.5, True, [],
        ],
    )  # fmt: skip
    def test_there_is_none_of_the_keys_own_number_or_of_what_is_not_one_to_nine_digits(self, number: object) -> None:
        assert codes_of(sale(number)) == []

    @pytest.mark.parametrize(
        "date",
        [
            "2026-01-31T23:59:59.9999999+00:00", "2026-05-01T00:00:00.0000000+00:00", "2025-03-03T00:00:00",
            "2027-03-03T00:00:00", "2026-10-03T00:00:00", "2026-12-03T00:00:00", "2099-09-09T",
        ],
    )  # fmt: skip
    def test_there_is_one_of_an_issue_date_more_than_a_month_away(self, date: str) -> None:
        assert codes_of(sale(issuanceDate=date)) == [Code.ISSUE_DATE_MISMATCH]

    @pytest.mark.parametrize(
        "date",
        [
            "2026-02-01T00:00:00.0000000+00:00", "2026-04-30T23:59:59.0000000+00:00", "2026-03-03", None, ABSENT, "",
            "0001-01-01T00:00:00", "1970-01-01T00:00:00Z", "2026-00-01", "2026-13-01", "01/06/2026", 7, [],
        ],
    )  # fmt: skip
    def test_there_is_none_of_a_nearer_one_or_of_what_is_none(self, date: object) -> None:
        assert codes_of(sale(issuanceDate=date)) == []

    def test_a_month_away_may_be_in_another_year(self) -> None:
        december = sale(key=a_key(year=2025, month=12), issuanceDate="2026-01-02T00:00:00Z")
        assert codes_of(december) == []
        assert codes_of(december | {"issuanceDate": "2026-02-01T00:00:00Z"}) == [Code.ISSUE_DATE_MISMATCH]

    @pytest.mark.parametrize("value", [None, ABSENT, "", "  ", [], {}, False, 2.5])
    @pytest.mark.parametrize(
        ("field", "code"), [("trackingNumber", Code.TRACKING_MISSING), ("courier", Code.COURIER_MISSING)]
    )
    def test_there_is_one_of_absent_tracking_and_courier(self, field: str, code: Code, value: object) -> None:
        assert codes_of(sale(**{field: value})) == [code]
        assert codes_of(sale(**{field: 834})) == []

    @pytest.mark.parametrize(
        "number", ["643797/2", "NF 2", "/643797", "643797\n", "/", " ", "6437\N{NO-BREAK SPACE}97"]
    )
    @pytest.mark.parametrize("key", [KEY, None, WRONG_KEY])
    def test_there_is_one_of_a_number_over_which_vtex_stumbles(self, number: str, key: str | None) -> None:
        assert [warning.code for warning in judged(cnova_order(sale(number, key))).warnings] == [Code.UNSAFE_NUMBER]

    @pytest.mark.parametrize("number", ["643797", "643797-2", "643797\\2", "NFE-643797.2", 643797, "", None, ["/"]])
    def test_there_is_none_of_a_number_that_vtex_takes_or_a_returns(self, number: object) -> None:
        found = codes(cnova_order(sale(number), returned(1, invoiceNumber="24382/1")))
        assert Code.UNSAFE_NUMBER not in found

    @pytest.mark.parametrize("code", [Code.ISSUER_MISMATCH, Code.REUSED])
    def test_a_key_that_is_sound_is_compared_though_it_is_an_error(self, code: Code) -> None:
        key = KEY if code is Code.REUSED else a_key(tax_id=OTHER_CNPJ)
        order = cnova_order(sale("1", key, issuanceDate="2026-09-01T00:00:00Z"), sale("643797", key))
        assert codes(order, OF_THE_SELLER) == [code, Code.NUMBER_MISMATCH, Code.ISSUE_DATE_MISMATCH, code]

    @pytest.mark.parametrize("key", [None, "junk", WRONG_KEY, a_key(model="65"), a_key(month=13)])
    def test_a_key_that_is_not_sound_is_not_compared(self, key: str | None) -> None:
        (found,) = codes_of(sale("1", key, issuanceDate="2026-09-01T00:00:00Z"))
        assert found.severity is Severity.ERROR

    def test_warnings_alone_leave_an_order_ok_and_name_invoice_and_key(self) -> None:
        verdict = judged(cnova_order(sale("1 ", issuanceDate="2020-01-01T", trackingNumber="", courier="")))
        found = [code for code in Code if code.severity is Severity.WARNING]
        assert (verdict.outcome, verdict.keys) == (Outcome.OK, (("1", KEY),))
        assert verdict.warnings == tuple(Problem(code, "1", KEY) for code in found)


class TestAnErrorIsTheSame:
    def identities(self, *packages: dict[str, Any], **given: Any) -> set[str]:
        return {error.identity for error in judged(cnova_order(*packages), **given).errors}

    def test_whatever_is_suggested_and_warned_of(self) -> None:
        plain, rich = sale(key=None), sale(key=None, invoiceUrl=KEY, courier=None, issuanceDate=None)
        assert self.identities(plain) == self.identities(rich)

    def test_in_any_order_of_packages_and_of_an_objects_fields(self) -> None:
        one, other = sale("1", {"a": 1, "b": 2}), sale("2", None)
        again = sale("1", {"b": 2, "a": 1})
        assert self.identities(one, other) == self.identities(other, again)

    @pytest.mark.parametrize(
        ("package", "identity"),
        [
            (sale(1, None), '["missing", "1", null]'),
            (sale(" 1 ", None), '["missing", "1", null]'),
            (sale(" 643797/2\n", f" {KEY}"), f'["malformed", "643797/2", " {KEY}"]'),
            (sale("1", "\ud800ç"), r'["malformed", "1", "\ud800\u00e7"]'),
        ],
    )
    def test_as_it_was_told_by_earlier_versions(self, package: dict[str, Any], identity: str) -> None:
        assert self.identities(package) == {identity}

    @pytest.mark.parametrize("other", [sale(key=""), sale("1", None), sale(key="null"), sale(key=False)])
    def test_with_the_same_code_number_and_key_alone(self, other: dict[str, Any]) -> None:
        assert self.identities(sale(key=None)) != self.identities(other)

    def test_though_its_code_alone_changed_it_is_another(self) -> None:
        key = a_key(year=2027, month=1, model="65")
        late = {"now": datetime(2027, 1, 1, tzinfo=UTC)}
        assert self.identities(sale(key=key)) != self.identities(sale(key=key), **late)


CLEANED, IN_XML, IN_URL, IN_NUMBER = SuggestionSource
PLACES = [
    (CLEANED, sale(key=SPACED_KEY)),
    (IN_XML, sale(key=None, embeddedInvoice=make_xml(KEY))),
    (IN_URL, sale(key=None, invoiceUrl=f"https://example.com/danfe?p={KEY}|2|1")),
    (IN_NUMBER, sale(KEY, None)),
]


class TestASuggestion:
    """What a field or an XML gives, tests/unit/test_access_key.py tells; here, from where it is taken and when."""

    def test_names_its_place(self) -> None:
        assert list(SuggestionSource) == ["cleaned", "embedded_invoice", "invoice_url", "invoice_number"]

    @pytest.mark.parametrize(("source", "package"), PLACES, ids=list(SuggestionSource))
    def test_comes_from_four_places_and_is_no_key_of_another_issuer(
        self, source: SuggestionSource, package: dict[str, Any]
    ) -> None:
        assert suggested(package, OF_THE_SELLER) == Suggestion(KEY, source)
        assert suggested(package, Policy(POLICY.affiliate_ids, frozenset({OTHER_CNPJ}))) is None

    def test_comes_from_the_first_place_that_has_one(self) -> None:
        keys = [a_key(code=code) for code in range(4)]
        fields = [("invoiceKey", f"NFe{keys[0]}"), ("embeddedInvoice", make_xml(keys[1])), ("invoiceUrl", keys[2])]
        package = sale(keys[3], None, **dict(fields))
        for (field, _), key, source in zip(fields, keys, (CLEANED, IN_XML, IN_URL), strict=False):
            assert suggested(package) == (key, source)
            package[field] = None
        assert suggested(package) == (keys[3], IN_NUMBER)

    @pytest.mark.parametrize("value", [SPACED_KEY, f"{KEY}\n", f"?chNFe={KEY}", make_xml(KEY), int(KEY)])
    def test_is_the_field_cleaned_whatever_the_invoices_number(self, value: object) -> None:
        assert suggested(sale("1", value)) == (KEY, CLEANED)

    @pytest.mark.parametrize(
        "value",
        [None, "junk", WRONG_KEY, f"{KEY} {a_key()}", f"NFe{a_key(model='65')}", f"NFe{a_key(year=2027)}", [KEY], {}],
    )
    def test_is_not_what_is_no_one_valid_key_of_model_55(self, value: object) -> None:
        assert suggested(sale(key=value, embeddedInvoice=value, invoiceUrl=value)) is None

    @pytest.mark.parametrize("place", [1, 2])
    @pytest.mark.parametrize(
        ("number", "fits"),
        [
            ("643797", True), ("000643797", True), (643797, True), ("0000643798", True), ("NFE-643798", True),
            (None, True), (ABSENT, True), ("643798", False), (0, False), ("000000000", False),
        ],
    )  # fmt: skip
    def test_of_another_field_fits_the_invoices_number_where_there_is_one(
        self, place: int, number: object, fits: bool
    ) -> None:
        source, package = PLACES[place]
        assert suggested({**package, "invoiceNumber": number}) == ((KEY, source) if fits else None)

    def test_of_a_later_place_is_taken_where_the_number_of_an_earlier_does_not_fit(self) -> None:
        package = sale(key=None, embeddedInvoice=make_xml(a_key(1)), invoiceUrl=KEY)
        assert suggested(package) == (KEY, IN_URL)

    @pytest.mark.parametrize(
        "xml",
        [
            pytest.param(make_event(KEY), id="cancelled"),
            pytest.param(f"<doc>{make_xml(KEY)}{make_event(KEY, '110112')}</doc>", id="substituted"),
            pytest.param(make_xml(KEY, status="101"), id="cancelled, as its protocol says"),
            pytest.param(make_xml(KEY, direction="0"), id="an entry"),
            pytest.param(make_xml(KEY, purpose="4"), id="a return"),
        ],
    )
    def test_is_from_nowhere_where_an_xml_says_that_its_note_is_no_sales(self, xml: str) -> None:
        for package in (sale(key=SPACED_KEY), sale(key=None, invoiceUrl=KEY), sale(KEY, None)):
            assert suggested(package) is not None
            assert suggested(package | {"embeddedInvoice": xml}) is None
        assert suggested(sale(key=xml, embeddedInvoice=make_xml(KEY))) is None
        assert suggested(sale(key=xml, invoiceUrl=a_key(code=1))) == (a_key(code=1), IN_URL)

    @pytest.mark.parametrize("wrap", WRAPPINGS)
    def test_is_in_an_xml_whatever_it_is_wrapped_in(self, wrap: Wrap) -> None:
        xml = wrap(make_xml(KEY, references=[a_key(1)]))
        assert suggested(sale(key=None, embeddedInvoice=xml)) == (KEY, IN_XML)
        assert suggested(sale(key=xml)) == (KEY, CLEANED)
        assert suggested(sale(xml, None, invoiceUrl=xml)) is None

    def test_is_never_the_key_as_it_came(self) -> None:
        right = a_key(643798)
        one = sale("643797", embeddedInvoice=make_xml(KEY), invoiceUrl=KEY)
        errors = judged(cnova_order(one, sale("643798", embeddedInvoice=make_xml(right)))).errors
        assert [(error.code, error.suggestion) for error in errors] == [
            (Code.REUSED, None),
            (Code.REUSED, (right, IN_XML)),
        ]

    @pytest.mark.parametrize("key", [WRONG_KEY, a_key(model="57"), a_key(number=0), a_key(tax_id=OTHER_CNPJ), 7, []])
    def test_may_stand_beside_any_fault_of_the_key(self, key: object) -> None:
        assert suggested(sale(key=key, embeddedInvoice=make_xml(KEY)), OF_THE_SELLER) == (KEY, IN_XML)

    def test_is_given_with_no_warning(self) -> None:
        order = cnova_order(sale("1", courier=None, embeddedInvoice=make_xml(KEY)))
        assert {problem.suggestion for problem in judged(order).problems} == {None}
