"""The judgement, row by row: the outcomes and the problem codes in the contract's order."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any, ClassVar
from urllib.parse import quote

import pytest

from invoicekey.rules.order import Order
from invoicekey.rules.policy import Policy
from invoicekey.rules.verdict import (
    CANCELED_STATUSES,
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
BLANKS = ["", " ", "\n", "\t \r\n", "\N{NO-BREAK SPACE}", "\N{IDEOGRAPHIC SPACE}"]
WRONG_TYPES = [0, 1, -5, 2.5, float("nan"), float("inf"), True, False, [], ["x"], [None], {}, {"a": {"b": []}}, 10**70]


def a_key(number: int = 643797, **fields: Any) -> str:
    """A key of the seller that fits `sale()`: March 2026."""
    known: dict[str, Any] = {"tax_id": CNPJ, "month": 3, "number": number}
    return make_key(**known | fields)


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


def only_problem(package: Mapping[str, Any], policy: Policy = POLICY) -> Problem:
    (problem,) = judged(cnova_order(package), policy).problems
    return problem


def suggested(package: Mapping[str, Any], policy: Policy = POLICY) -> tuple[str, str] | None:
    """What is suggested with the package's error, and from where."""
    error, *_ = judged(cnova_order(package), policy).errors
    return error.suggestion


class TestOutcomesInTheOrderOfTheTable:
    def test_an_order_of_the_stores_own_site_is_of_another_marketplace(self) -> None:
        assert judged(own_order(sale(key=None))) == Verdict(Outcome.OTHER_MARKETPLACE)

    @pytest.mark.parametrize(
        "status",
        ["canceled", "cancel", "canceling", "request-cancel", "cancellation-requested", "Canceled", " CANCEL "],
    )
    def test_a_canceled_order_is_canceled(self, status: str) -> None:
        assert judged(cnova_order(sale(key=None), status=status)) == Verdict(Outcome.CANCELED)

    def test_an_order_that_came_back_is_returned(self) -> None:
        assert judged(cnova_order(sale(key=None), returned())) == Verdict(Outcome.RETURNED)

    @pytest.mark.parametrize("status", ["handling", "payment-approved", "invoice", "null", "", None, 7, ["invoiced"]])
    def test_an_order_without_invoice_that_is_not_invoiced_is_not_invoiced(self, status: object) -> None:
        assert judged(cnova_order(status=status)) == Verdict(Outcome.NOT_INVOICED)

    def test_an_invoiced_order_without_invoice_waits_for_it(self) -> None:
        verdict = judged(cnova_order(), now=HEARD)
        assert verdict.outcome is Outcome.WAITING
        assert verdict.wait_until == HEARD + timedelta(seconds=600)
        assert verdict.problems == (Problem(Code.NO_INVOICE),)

    def test_an_order_that_misses_only_keys_waits_for_them(self) -> None:
        verdict = judged(cnova_order(sale(key=None)), WITH_KEY_GRACE, now=HEARD)
        assert verdict.outcome is Outcome.WAITING
        assert verdict.wait_until == HEARD + HOUR
        assert verdict.problems == (Problem(Code.MISSING, "643797"),)

    def test_an_order_whose_sale_invoice_carries_a_good_key_is_ok(self) -> None:
        verdict = judged(cnova_order(sale()))
        assert verdict == Verdict(Outcome.OK, keys=(("643797", KEY),), own_keys=(KEY,))
        assert not verdict.errors
        assert not verdict.warnings

    def test_an_order_with_one_keyless_invoice_is_failing(self) -> None:
        verdict = judged(cnova_order(sale(key=None)))
        assert verdict == Verdict(Outcome.FAILING, (Problem(Code.MISSING, "643797"),))


class TestTheFirstRowThatFitsIsTheOutcome:
    def test_another_marketplaces_order_is_that_though_canceled(self) -> None:
        assert outcome(own_order(sale(), status="canceled")) is Outcome.OTHER_MARKETPLACE

    def test_a_canceled_order_is_that_though_it_came_back(self) -> None:
        assert outcome(cnova_order(sale(), returned(), status="canceled")) is Outcome.CANCELED

    def test_a_canceled_order_is_that_without_invoice_too(self) -> None:
        assert outcome(cnova_order(status="request-cancel")) is Outcome.CANCELED

    @pytest.mark.parametrize("key", [None, "junk", KEY])
    def test_an_order_that_came_back_is_that_whatever_its_key(self, key: str | None) -> None:
        assert outcome(cnova_order(sale(key=key), returned()), WITH_KEY_GRACE, now=HEARD) is Outcome.RETURNED

    def test_an_order_that_came_back_is_that_though_not_invoiced(self) -> None:
        assert outcome(cnova_order(sale(), returned(), status="handling")) is Outcome.RETURNED

    def test_an_order_not_invoiced_is_that_within_the_grace_too(self) -> None:
        assert outcome(cnova_order(status="handling"), now=HEARD) is Outcome.NOT_INVOICED

    def test_returns_without_a_sale_are_no_return_of_an_order(self) -> None:
        assert outcome(cnova_order(returned(), status="handling")) is Outcome.NOT_INVOICED
        assert codes(cnova_order(returned())) == [Code.NO_INVOICE]

    @pytest.mark.parametrize("status", ["payment-approved", "handling", "invoice", None])
    def test_a_partial_invoice_is_judged_before_the_order_is_invoiced(self, status: str | None) -> None:
        assert outcome(cnova_order(sale(key=None), status=status)) is Outcome.FAILING
        assert outcome(cnova_order(sale(), status=status)) is Outcome.OK

    @pytest.mark.parametrize("status", sorted(CANCELED_STATUSES))
    def test_a_cancellation_that_races_the_invoice_is_no_failure(self, status: str) -> None:
        order = cnova_order(sale(key=None), status=status, workflowIsInError=True)
        assert outcome(order, open_failure=True) is Outcome.CANCELED


class TestTheGraceOfAnInvoice:
    @pytest.mark.parametrize("packages", [[], [returned()], [{"type": "Other"}]])
    def test_it_lasts_to_the_moment_before_its_end(self, packages: list[Any]) -> None:
        end = HEARD + timedelta(seconds=600)
        assert outcome(cnova_order(*packages), now=end - MOMENT) is Outcome.WAITING
        assert judged(cnova_order(*packages), now=end) == Verdict(Outcome.FAILING, (Problem(Code.NO_INVOICE),))

    def test_an_order_with_an_open_failure_has_none(self) -> None:
        assert outcome(cnova_order(), now=HEARD, open_failure=True) is Outcome.FAILING

    def test_none_is_none(self) -> None:
        assert outcome(cnova_order(), NO_GRACE, now=HEARD) is Outcome.FAILING

    def test_it_is_not_the_keys(self) -> None:
        assert outcome(cnova_order(sale(key=None)), now=HEARD) is Outcome.FAILING

    def test_it_runs_in_any_time_zone(self) -> None:
        now = datetime.fromisoformat("2026-03-03T12:04:00.999999-03:00")
        assert outcome(cnova_order(), now=now) is Outcome.WAITING
        assert outcome(cnova_order(), now=now + MOMENT) is Outcome.FAILING


class TestTheGraceOfAKey:
    def test_it_lasts_to_the_moment_before_its_end(self) -> None:
        order = cnova_order(sale(key=" "))
        assert outcome(order, WITH_KEY_GRACE, now=HEARD + HOUR - MOMENT) is Outcome.WAITING
        assert outcome(order, WITH_KEY_GRACE, now=HEARD + HOUR) is Outcome.FAILING

    def test_an_order_with_an_open_failure_has_none(self) -> None:
        assert outcome(cnova_order(sale(key=None)), WITH_KEY_GRACE, now=HEARD, open_failure=True) is Outcome.FAILING

    def test_there_is_none_unless_it_is_set(self) -> None:
        assert outcome(cnova_order(sale(key=None)), now=HEARD) is Outcome.FAILING

    def test_it_is_for_all_keys_that_are_missing(self) -> None:
        order = cnova_order(sale("1", None), sale("2", ""), sale())
        assert outcome(order, WITH_KEY_GRACE, now=HEARD) is Outcome.WAITING

    @pytest.mark.parametrize("other", [sale(key="junk"), sale(key=WRONG_KEY)])
    def test_it_is_for_nothing_but_missing_keys(self, other: dict[str, Any]) -> None:
        assert outcome(cnova_order(sale("1", None), other), WITH_KEY_GRACE, now=HEARD) is Outcome.FAILING

    def test_warnings_do_not_end_it(self) -> None:
        order = cnova_order(sale(key=None, courier=None))
        assert outcome(order, WITH_KEY_GRACE, now=HEARD) is Outcome.WAITING

    def test_a_good_key_is_ok_at_once(self) -> None:
        assert outcome(cnova_order(sale()), WITH_KEY_GRACE, now=HEARD) is Outcome.OK

    def test_an_absent_invoice_has_its_own(self) -> None:
        assert outcome(cnova_order(), WITH_KEY_GRACE, now=HEARD + HOUR - MOMENT) is Outcome.FAILING


class TestCnovaIsRecognised:
    @pytest.mark.parametrize("affiliate", ["VVJ", "vvj", "Vvj", " VVJ "])
    @pytest.mark.parametrize("setting", ["vvj", "luxstore:vvj"])
    def test_by_its_affiliate_in_any_case(self, affiliate: str, setting: str) -> None:
        order = own_order(sale(), affiliateId=affiliate)
        assert outcome(order, Policy(frozenset({"abc", setting}))) is Outcome.OK

    def test_by_an_affiliate_of_this_account_alone(self) -> None:
        order = own_order(sale(), affiliateId="VVJ")
        assert outcome(order, Policy(frozenset({"otherstore:vvj"}))) is Outcome.OTHER_MARKETPLACE
        assert outcome(order, Policy(frozenset({"otherstore:vvj"})), account="otherstore") is Outcome.OK

    @pytest.mark.parametrize("affiliate", ["", "  ", None, ABSENT, [], {}, False])
    @pytest.mark.parametrize("setting", ["", "luxstore:", ":", "vvj", "none", "false"])
    def test_not_by_an_affiliate_that_is_not_there(self, affiliate: object, setting: str) -> None:
        order = own_order(sale(), affiliateId=affiliate)
        assert outcome(order, Policy(frozenset({setting}))) is Outcome.OTHER_MARKETPLACE

    @pytest.mark.parametrize("affiliate", ["VV", "VVJJ", "VVJ-1", "GHB"])
    def test_not_by_an_affiliate_that_is_only_alike(self, affiliate: str) -> None:
        assert outcome(own_order(sale(), affiliateId=affiliate)) is Outcome.OTHER_MARKETPLACE

    @pytest.mark.parametrize(
        "app",
        ["CN-Viavarejo-Integration", "cn-viavarejo-integration", "integration-marketplace-viavarejo", "VIAVAREJO"],
    )
    def test_by_its_app_in_any_spelling(self, app: str) -> None:
        assert outcome(own_order(sale(), customData=custom_apps(app)), Policy()) is Outcome.OK

    def test_by_its_app_though_it_is_not_the_first(self) -> None:
        apps = custom_apps("integration-marketplace-example", None, 7, "cn-viavarejo-integration")
        assert outcome(own_order(sale(), customData=apps), Policy()) is Outcome.OK

    @pytest.mark.parametrize(
        "data",
        [
            None, ABSENT, "viavarejo", [], {}, {"customApps": None}, {"customApps": "viavarejo"},
            {"customApps": {"id": "viavarejo"}}, {"customApps": [None, "viavarejo", {}, {"id": ["viavarejo"]}]},
            {"customApps": [{"id": "via-varejo", "fields": {"id": "viavarejo"}}]},
            {"customFields": [{"id": "viavarejo"}]},
        ],
    )  # fmt: skip
    def test_not_by_what_is_no_apps_id(self, data: object) -> None:
        assert judged(own_order(sale(), customData=data)) == Verdict(Outcome.OTHER_MARKETPLACE)

    @pytest.mark.parametrize("order_id", ["VVJ-975102-01", "ABC-1-01", "1172452900788-01", "v5195004lux-01"])
    def test_whatever_its_id(self, order_id: str) -> None:
        assert outcome(own_order(sale(), orderId=order_id, affiliateId="VVJ")) is Outcome.OK
        assert outcome(own_order(sale(), orderId=order_id, sellerOrderId=order_id)) is Outcome.OTHER_MARKETPLACE


class TestASuspect:
    @pytest.mark.parametrize(
        "changes",
        [
            {"marketplaceServicesEndpoint": "http://example.com/api/ViaVarejoIntegration/pub"},
            {"marketplaceServicesEndpoint": "http://cnovaintegration.example.com"},
            {"marketplace": {"baseURL": "http://cnovaintegration.example.com", "name": None}},
            {"marketplace": {"baseURL": None, "name": "Casas Bahia Marketplace"}},
            {"marketplace": {"name": "CASAS BAHIA"}},
            {"marketplace": {"name": "CNova"}},
            {"marketplace": {"name": "Grupo Casas Bahia"}},
            {"marketplace": {"name": "casasbahia"}},
            {"marketplace": {"name": "CASAS-BAHIA"}},
            {"marketplace": {"name": "Casas. Bahia"}},
            {"marketplace": {"name": "Casas\N{NO-BREAK SPACE}Bahia"}},
            {"marketplace": {"name": "Cásas Bahía"}},
            {"marketplace": {"name": "grupo_casas_bahia"}},
            {"marketplace": {"name": "Via Varejo"}},
            {"marketplace": {"name": "ViaVarejo S.A."}},
            {"marketplace": {"name": "VIA-VAREJO"}},
            {"marketplace": {"name": "via  varejo"}},
            {"marketplace": {"name": "Nova.Via.Varejo"}},
            {"marketplaceServicesEndpoint": "https://www.casasbahia.example/api"},
            {"marketplaceServicesEndpoint": "https://api-mktplace.viavarejo.example/api/v2"},
            {"marketplaceServicesEndpoint": "https://bridge.example/?m=Casas%20Bahia"},
            {"marketplaceServicesEndpoint": "https://bridge.example/?m=via+varejo"},
            {"marketplaceServicesEndpoint": "https://integrationviavarejo.example/"},
        ],
    )
    def test_is_an_order_that_smells_of_cnova_and_is_not_known_as_its(self, changes: dict[str, Any]) -> None:
        verdict = judged(own_order(sale(key=None), **changes))
        assert verdict == Verdict(Outcome.OTHER_MARKETPLACE, is_suspect=True)

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"marketplace": None},
            {"marketplace": "CNova"},
            {"marketplace": {"name": ["CNova"], "baseURL": {"cnova": "cnova"}}},
            {"marketplace": {"name": "Ponto"}},
            {"marketplace": {"name": "Via"}},
            {"marketplace": {"name": "Octavia"}},
            {"marketplace": {"name": "Lívia Varejo"}},
            {"marketplace": {"name": "Viação Varejo"}},
            {"marketplace": {"name": "Via Expressa Varejo"}},
            {"marketplace": {"name": "Varejo Via Web"}},
            {"marketplace": {"name": "Magic Nova"}},
            {"marketplace": {"name": "Casas da Bahia"}},
            {"marketplaceServicesEndpoint": "https://oms.example/api?via=varejista"},
            {"marketplaceServicesEndpoint": ["viavarejo"]},
            {"orderId": "CNOVA-1", "sellerOrderId": "cnova", "hostname": "cnova", "openTextField": "casas bahia"},
        ],
    )
    def test_is_no_other_order(self, changes: dict[str, Any]) -> None:
        assert judged(own_order(sale(key=None), **changes)) == Verdict(Outcome.OTHER_MARKETPLACE)

    def test_is_no_order_that_is_known_as_cnovas(self) -> None:
        assert not judged(cnova_order(sale())).is_suspect
        assert not judged(cnova_order(sale(key=None))).is_suspect

    def test_is_a_canceled_order_too(self) -> None:
        order = own_order(status="canceled", marketplace={"name": "CNova"})
        assert judged(order) == Verdict(Outcome.OTHER_MARKETPLACE, is_suspect=True)


class TestReturns:
    @pytest.mark.parametrize("values", [[10221], [99999], [5000, 5221], [1, None, 10220], ["10221"], [10221.0]])
    def test_bring_an_order_back_where_they_add_up_to_its_sales(self, values: list[object]) -> None:
        assert outcome(cnova_order(sale(), *map(returned, values))) is Outcome.RETURNED

    def test_bring_a_split_order_back(self) -> None:
        sales = [sale("1", invoiceValue=4000), sale("2", invoiceValue=6000)]
        assert outcome(cnova_order(*sales, returned(7000), returned(3000))) is Outcome.RETURNED
        assert outcome(cnova_order(*sales, returned(7000), returned(2999))) is Outcome.FAILING

    @pytest.mark.parametrize("kind", ["Input", "input", "INPUT", " Input "])
    def test_are_packages_of_type_input_in_any_case(self, kind: str) -> None:
        assert outcome(cnova_order(sale(key=None), returned(type=kind))) is Outcome.RETURNED

    @pytest.mark.parametrize("value", [10220, 0, -10221, None, ABSENT, "", "10.221", "1e9", True, [], {}, float("nan")])
    def test_of_less_or_of_unknown_value_do_not(self, value: object) -> None:
        assert outcome(cnova_order(sale(key=None), returned(value))) is Outcome.FAILING

    @pytest.mark.parametrize("value", [None, ABSENT, "x", -1, 2.5, [], {}, 10**15, float("inf")])
    def test_do_not_bring_back_a_sale_of_unknown_value(self, value: object) -> None:
        assert outcome(cnova_order(sale(key=None, invoiceValue=value), returned(99999))) is Outcome.FAILING
        known = sale("1", invoiceValue=1)
        assert outcome(cnova_order(known, sale(key=None, invoiceValue=value), returned(99999))) is Outcome.FAILING

    @pytest.mark.parametrize("zero", [0, "0", "000", 0.0, -0.0, "-0"])
    @pytest.mark.parametrize("value", [0, 99999, None])
    def test_do_not_bring_back_a_sale_of_no_value(self, value: object, zero: object) -> None:
        split = sale(key=None, invoiceValue=zero)
        assert outcome(cnova_order(split, returned(value))) is Outcome.FAILING
        assert outcome(cnova_order(sale(), split, returned(value))) is Outcome.FAILING
        assert outcome(cnova_order(split, sale(), returned(value))) is Outcome.FAILING

    def test_of_no_value_bring_nothing_back(self) -> None:
        assert outcome(cnova_order(sale(key=None), returned(0), returned(10220))) is Outcome.FAILING
        assert outcome(cnova_order(sale(key=None), returned(0), returned(10221))) is Outcome.RETURNED

    def test_are_there_where_an_order_is_returned(self) -> None:
        assert outcome(cnova_order(sale(key=None, invoiceValue=0))) is Outcome.FAILING

    def test_are_not_asked_for_a_key(self) -> None:
        assert judged(cnova_order(sale(), returned(1, invoiceKey=None))).keys == (("643797", KEY),)
        assert outcome(cnova_order(sale(), returned(1, invoiceKey="CFe" + WRONG_KEY))) is Outcome.OK


class TestSaleInvoices:
    @pytest.mark.parametrize("kind", ["Output", "output", "OUTPUT", " Output ", "", " ", None, ABSENT, [], {}, False])
    def test_are_packages_of_type_output_or_of_none(self, kind: object) -> None:
        assert codes_of(sale(key=None, type=kind)) == [Code.MISSING]
        assert codes_of(sale(type=kind)) == []

    @pytest.mark.parametrize("kind", ["Outputs", "Saída", "Transfer"])
    def test_are_not_packages_of_another_type(self, kind: str) -> None:
        assert codes_of(sale(type=kind)) == [Code.NO_INVOICE]
        assert outcome(cnova_order(sale(), sale(key=None, type=kind))) is Outcome.OK

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_are_all_looked_at(self, place: int) -> None:
        packages = [sale(), sale()]
        packages.insert(place, sale("1", None))
        assert judged(cnova_order(*packages)).problems == (Problem(Code.MISSING, "1"),)

    @pytest.mark.parametrize("place", [0, 1])
    def test_are_looked_at_beside_returns(self, place: int) -> None:
        packages = [returned(1)]
        packages.insert(place, sale(key=None))
        assert codes(cnova_order(*packages)) == [Code.MISSING]


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


class TestProblemCodesInTheOrderOfTheTable:
    def test_all_of_them_are_in_the_table_in_its_order(self) -> None:
        assert [code for code, _ in ROWS] == list(Code)

    @pytest.mark.parametrize(("code", "package"), ROWS, ids=list(Code))
    def test_each_is_found(self, code: Code, package: dict[str, Any]) -> None:
        other = sale("643798", KEY) if code is Code.REUSED else sale("5", a_key(5))
        packages = [package] if code is Code.NO_INVOICE else [package, other]
        assert next(iter(codes(cnova_order(*packages), OF_THE_SELLER))) is code

    @pytest.mark.parametrize(("code", "package"), ROWS, ids=list(Code))
    def test_errors_make_an_order_failing_and_warnings_do_not(self, code: Code, package: dict[str, Any]) -> None:
        packages = [package, sale("643798", KEY)] if code is Code.REUSED else [package]
        verdict = judged(cnova_order(*packages), OF_THE_SELLER)
        is_warning = list(Code).index(code) > list(Code).index(Code.NO_INVOICE)
        assert code.severity is (Severity.WARNING if is_warning else Severity.ERROR)
        assert verdict.outcome is (Outcome.OK if is_warning else Outcome.FAILING)
        assert code in [problem.code for problem in (verdict.warnings if is_warning else verdict.errors)]

    @pytest.mark.parametrize("value", [None, ABSENT, *BLANKS])
    def test_a_key_is_missing_where_it_is_null_absent_empty_or_blank(self, value: str | None) -> None:
        assert codes_of(sale(key=value)) == [Code.MISSING]

    @pytest.mark.parametrize(
        "value",
        [
            "NFe" + KEY, "CFe" + KEY, SPACED_KEY, KEY + " ", KEY + "\n", " " + KEY, "\ufeff" + KEY, f"'{KEY}'",
            f"{KEY[:22]}-{KEY[22:]}", a_key(tax_id=OTHER_CNPJ).lower(), KEY[:-1], KEY + "1", KEY + KEY,
            KEY.replace("3", "\N{ARABIC-INDIC DIGIT THREE}"), "0", "N/A", "isento", "-", "null", "3.52603E+43",
            "\N{ZERO WIDTH SPACE}", "\x00", "\ud800", make_xml(KEY), f"http://example.com/?chNFe={KEY}",
            *WRONG_TYPES, int(KEY), [KEY], {"key": KEY},
        ],
    )  # fmt: skip
    def test_a_key_is_malformed_where_it_has_not_the_shape_or_is_no_text(self, value: object) -> None:
        assert codes_of(sale(key=value)) == [Code.MALFORMED]

    @pytest.mark.parametrize("place", range(8))
    def test_of_two_broken_rules_the_first_in_the_table_is_told(self, place: int) -> None:
        faults: list[tuple[Code, dict[str, Any]]] = [
            (Code.INVALID_CHECK_DIGIT, {"check_digit": "x"}),
            (Code.INVALID_STATE, {"state": 99}),
            (Code.INVALID_YEAR, {"year": 2027}),
            (Code.INVALID_MONTH, {"month": 13}),
            (Code.INVALID_TAX_ID, {"tax_id": "11222333000199"}),
            (Code.WRONG_MODEL, {"model": "65"}),
            (Code.INVALID_NUMBER, {"number": 0}),
            (Code.INVALID_EMISSION_TYPE, {"emission_type": "8"}),
        ]
        fields = {name: value for _, fault in faults[place:] for name, value in fault.items()}
        if fields.pop("check_digit", None):
            fields["check_digit"] = str((int(a_key(**fields)[-1]) + 1) % 10)
        assert codes_of(sale(key=a_key(**fields)), OF_THE_SELLER) == [faults[place][0]]

    @pytest.mark.parametrize("model", ["57", "58", "59", "65", "66", "67", "00"])
    def test_any_model_but_55_is_wrong(self, model: str) -> None:
        assert codes_of(sale(key=a_key(model=model))) == [Code.WRONG_MODEL]

    def test_a_key_of_next_year_is_wrong_until_that_year_begins(self) -> None:
        package = sale(key=a_key(year=2027, month=1), issuanceDate="2027-01-01T02:59:59.0000000+00:00")
        new_year = datetime(2027, 1, 1, tzinfo=UTC)
        assert codes_of(package, now=new_year - MOMENT) == [Code.INVALID_YEAR]
        assert codes_of(package, now=new_year) == []

    def test_a_key_with_letters_in_its_cnpj_is_good(self) -> None:
        assert codes_of(sale(key=a_key(tax_id=OTHER_CNPJ))) == []

    def test_the_key_in_vtexs_own_example_is_not(self) -> None:
        assert codes_of(sale(key="CFe35201100063960001504590006629690333214542150")) == [Code.MALFORMED]

    def test_an_absent_invoice_is_the_orders_own_problem(self) -> None:
        assert judged(cnova_order()).problems == (Problem(Code.NO_INVOICE, None, None),)


class TestTheIssuer:
    def test_is_any_where_none_is_set(self) -> None:
        assert codes_of(sale(key=a_key(tax_id=OTHER_CNPJ))) == []

    @pytest.mark.parametrize("tax_id", [CNPJ, OTHER_CNPJ])
    def test_is_one_of_the_sellers(self, tax_id: str) -> None:
        policy = Policy(POLICY.affiliate_ids, frozenset({CNPJ, OTHER_CNPJ}))
        assert codes_of(sale(key=a_key(tax_id=tax_id)), policy) == []

    def test_of_another_branch_is_another(self) -> None:
        branch = make_cnpj("112223330002")
        assert codes_of(sale(key=a_key(tax_id=branch)), OF_THE_SELLER) == [Code.ISSUER_MISMATCH]

    @pytest.mark.parametrize(("series", "fits"), [(889, False), (890, True), (899, True), (900, False)])
    def test_does_not_matter_in_the_series_of_tax_offices(self, series: int, fits: bool) -> None:
        found = codes_of(sale(key=a_key(tax_id=OTHER_CNPJ, series=series)), OF_THE_SELLER)
        assert found == ([] if fits else [Code.ISSUER_MISMATCH])

    def test_may_be_a_person(self) -> None:
        key = a_key(tax_id=make_cpf(), series=920)
        assert codes_of(sale(key=key), Policy(POLICY.affiliate_ids, frozenset({make_cpf()}))) == []
        assert codes_of(sale(key=key), OF_THE_SELLER) == [Code.ISSUER_MISMATCH]

    def test_is_looked_at_in_valid_keys_alone(self) -> None:
        assert codes_of(sale(key=a_key(tax_id=OTHER_CNPJ, model="65")), OF_THE_SELLER) == [Code.WRONG_MODEL]

    def test_is_told_before_a_key_is_told_as_reused(self) -> None:
        key = a_key(tax_id=OTHER_CNPJ)
        errors = judged(cnova_order(sale("1", key), sale("2", key)), OF_THE_SELLER).errors
        assert [error.code for error in errors] == [Code.ISSUER_MISMATCH, Code.ISSUER_MISMATCH]


class TestAReusedKey:
    def test_is_an_error_of_each_invoice_that_has_it(self) -> None:
        errors = judged(cnova_order(sale("643797"), sale("643798"))).errors
        assert errors == (
            Problem(Code.REUSED, "643797", KEY, reused_on="643798"),
            Problem(Code.REUSED, "643798", KEY, reused_on="643797"),
        )

    def test_names_one_other_invoice_where_there_are_several(self) -> None:
        errors = judged(cnova_order(sale("1"), sale("2"), sale("3"))).errors
        assert [(error.invoice_number, error.reused_on) for error in errors] == [("1", "2"), ("2", "1"), ("3", "1")]

    @pytest.mark.parametrize("number", ["643797", 643797, "000643797", "0000643797", " 643797 "])
    def test_is_good_on_several_packages_of_one_invoice(self, number: object) -> None:
        assert outcome(cnova_order(sale("643797"), sale(number), sale("643797"))) is Outcome.OK

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("643797-1", "643797-2"), ("643797-1", "643797/2"), ("643797", "643797/1"), ("000643797-1", "643797-2"),
            ("643797 1", "643797 2"), ("643797.1", "0643797_2"), ("643797A", "643797B"), ("643797-", "643797"),
            ("643797 - 1/2", "643797 - 2/2"), ("643797-643798", "643797-643799"),
        ],
    )  # fmt: skip
    def test_is_good_on_the_parts_of_its_own_invoice(self, one: str, other: str) -> None:
        verdict = judged(cnova_order(sale(one), sale(other), sale("643797")))
        assert verdict.outcome is Outcome.OK
        assert {warning.code for warning in verdict.warnings} <= {Code.UNSAFE_NUMBER}

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("643797-1", "643798-1"), ("643797-1", "643798"), ("643797", "6437971"), ("643797-1", "6437971-1"),
            ("643797-1", "64379-7"), ("643797-1", "1-643797"), ("643797-1", "NFE 643797-2"), ("643797-1", "-643797-2"),
            ("643797-1", "643797\N{ARABIC-INDIC DIGIT TWO}"), ("643798-1", "643798-2"), ("643797-1", "6437970-1"),
        ],
    )  # fmt: skip
    def test_is_told_where_a_number_names_another_invoice(self, one: str, other: str) -> None:
        errors = judged(cnova_order(sale(one), sale(other))).errors
        assert [(error.code, error.reused_on) for error in errors] == [(Code.REUSED, other), (Code.REUSED, one)]

    def test_is_told_of_each_part_beside_another_invoice(self) -> None:
        errors = judged(cnova_order(sale("643797-1"), sale("643797-2"), sale("5"))).errors
        assert [error.reused_on for error in errors] == ["5", "5", "643797-1"]

    def test_is_told_of_a_part_that_another_order_shows(self) -> None:
        order = cnova_order(sale("643797-1"), sale("643797-2"))
        errors = judged(order, owners={KEY: "VVJ-1-01"}).errors
        assert [error.reused_in for error in errors] == ["VVJ-1-01", "VVJ-1-01"]

    @pytest.mark.parametrize(("one", "other"), [("NFE-1", "NFE-01"), ("1-A", "1-B"), ("6437-97", "6437-98")])
    def test_is_told_of_numbers_that_are_no_digits_alone(self, one: str, other: str) -> None:
        assert codes(cnova_order(sale(one), sale(other)))[0] is Code.REUSED

    @pytest.mark.parametrize("number", [None, ABSENT, "", " ", []])
    def test_is_good_where_an_invoice_has_no_number(self, number: object) -> None:
        assert outcome(cnova_order(sale(number), sale(), sale(number))) is Outcome.OK

    def test_is_good_where_only_a_return_has_it_too(self) -> None:
        assert outcome(cnova_order(sale(), returned(1, invoiceNumber="9", invoiceKey=KEY))) is Outcome.OK

    @pytest.mark.parametrize("key", [None, "", "junk", WRONG_KEY, [], {}])
    def test_is_a_key_that_is_good_but_for_that(self, key: object) -> None:
        assert Code.REUSED not in codes(cnova_order(sale("1", key), sale("2", key)))

    def test_is_told_beside_what_is_wrong_with_other_invoices(self) -> None:
        other = a_key(5)
        order = cnova_order(sale("5", other), sale("643797"), sale("7", None), sale("643798"), sale("8", other))
        assert [(error.invoice_number, error.code) for error in judged(order).errors] == [
            ("5", Code.REUSED),
            ("643797", Code.REUSED),
            ("7", Code.MISSING),
            ("643798", Code.REUSED),
            ("8", Code.REUSED),
        ]


class TestAKeyThatAnotherOrderOwns:
    OWNERS: ClassVar = {KEY: "VVJ-1-01"}

    def test_is_an_error_that_names_the_order(self) -> None:
        verdict = judged(cnova_order(sale()), owners=self.OWNERS)
        assert verdict == Verdict(Outcome.FAILING, (Problem(Code.REUSED, "643797", KEY, reused_in="VVJ-1-01"),))

    def test_is_one_of_each_invoice_that_has_it(self) -> None:
        errors = judged(cnova_order(sale(), sale()), owners=self.OWNERS).errors
        assert [(error.code, error.reused_in) for error in errors] == [(Code.REUSED, "VVJ-1-01")] * 2

    def test_is_told_by_the_invoice_of_this_order_where_that_has_it_too(self) -> None:
        errors = judged(cnova_order(sale("1"), sale("2")), owners=self.OWNERS).errors
        assert [(error.reused_on, error.reused_in) for error in errors] == [("2", None), ("1", None)]

    def test_is_the_same_error_whoever_owns_it(self) -> None:
        one = judged(cnova_order(sale()), owners=self.OWNERS).errors
        other = judged(cnova_order(sale()), owners={KEY: "VVJ-2-01"}).errors
        assert [error.identity for error in one] == [error.identity for error in other]

    @pytest.mark.parametrize(
        ("key", "code"),
        [(None, Code.MISSING), (f" {KEY}", Code.MALFORMED), (WRONG_KEY, Code.INVALID_CHECK_DIGIT)],
    )
    def test_is_told_of_a_sound_key_alone(self, key: str | None, code: Code) -> None:
        verdict = judged(cnova_order(sale(key=key)), owners={str(key): "VVJ-1-01"} | self.OWNERS)
        assert [error.code for error in verdict.errors] == [code]

    def test_is_told_after_another_issuer_s(self) -> None:
        key = a_key(tax_id=OTHER_CNPJ)
        (error,) = judged(cnova_order(sale(key=key)), OF_THE_SELLER, owners={key: "VVJ-1-01"}).errors
        assert (error.code, error.reused_in) == (Code.ISSUER_MISMATCH, None)

    def test_may_have_another_one_suggested(self) -> None:
        (error,) = judged(cnova_order(sale(invoiceUrl=a_key())), owners=self.OWNERS).errors
        assert error.suggestion == (a_key(), SuggestionSource.INVOICE_URL)

    def test_leaves_the_other_invoices_as_they_are(self) -> None:
        verdict = judged(cnova_order(sale(), sale(key=a_key())), owners=self.OWNERS)
        assert [(error.code, error.key_as_it_came) for error in verdict.errors] == [(Code.REUSED, KEY)]

    def test_does_not_matter_where_the_order_needs_none(self) -> None:
        for order in (cnova_order(sale(), status="canceled"), cnova_order(sale(), returned()), own_order(sale())):
            assert not judged(order, owners=self.OWNERS).problems

    def test_ends_the_grace_of_a_missing_one(self) -> None:
        order = cnova_order(sale(), sale("1", None))
        assert outcome(order, WITH_KEY_GRACE, now=HEARD, owners=self.OWNERS) is Outcome.FAILING


class TestItsOwnKeys:
    """Those that the order is to own: sound ones, and no other order's."""

    def own(self, *packages: dict[str, Any], policy: Policy = POLICY, **given: Any) -> tuple[str, ...]:
        return judged(cnova_order(*packages), policy, **given).own_keys

    def test_are_each_one_once_in_the_order_of_its_invoices(self) -> None:
        assert self.own(sale(key=a_key()), sale(), sale(key=a_key())) == (a_key(), KEY)

    def test_are_those_of_a_failing_order_too(self) -> None:
        assert self.own(sale(), sale("1", None)) == (KEY,)

    @pytest.mark.parametrize("key", [None, "", "junk", WRONG_KEY, a_key(model="65"), 7, [KEY], {"a": KEY}])
    def test_are_none_that_is_at_fault(self, key: object) -> None:
        assert self.own(sale(key=key)) == ()

    def test_are_none_of_another_issuer(self) -> None:
        assert self.own(sale(key=a_key(tax_id=OTHER_CNPJ)), policy=OF_THE_SELLER) == ()

    def test_are_none_that_another_order_owns(self) -> None:
        assert self.own(sale(), sale(key=a_key()), owners={KEY: "VVJ-1-01"}) == (a_key(),)

    def test_are_those_that_two_invoices_of_it_carry(self) -> None:
        assert self.own(sale("1"), sale("2")) == (KEY,)

    def test_are_those_that_only_a_warning_is_about(self) -> None:
        assert self.own(sale("1", trackingNumber=None), policy=WITH_TRACKING_GRACE) == (KEY,)

    def test_are_none_of_a_return(self) -> None:
        assert self.own(sale(key=None), returned(1, invoiceKey=KEY)) == ()

    @pytest.mark.parametrize(
        "order",
        [cnova_order(sale(), status="canceled"), cnova_order(sale(), returned()), own_order(sale()), cnova_order()],
        ids=["canceled", "returned", "another marketplace's", "no invoice"],
    )
    def test_are_none_where_there_is_nothing_to_invoice(self, order: dict[str, Any]) -> None:
        assert judged(order).own_keys == ()


class TestTheGraceOfTracking:
    NEITHER: ClassVar = sale(trackingNumber=None, courier=None)

    def test_is_for_ever_unless_it_is_set(self) -> None:
        verdict = judged(cnova_order(self.NEITHER), now=HEARD + 1000 * DAY)
        assert (verdict.outcome, verdict.overdue_at) == (Outcome.OK, None)

    def test_lasts_to_the_moment_before_its_end(self) -> None:
        order = cnova_order(self.NEITHER)
        assert outcome(order, WITH_TRACKING_GRACE, now=HEARD + DAY - MOMENT) is Outcome.OK
        assert outcome(order, WITH_TRACKING_GRACE, now=HEARD + DAY) is Outcome.FAILING

    def test_says_when_it_ends(self) -> None:
        assert judged(cnova_order(self.NEITHER), WITH_TRACKING_GRACE, now=HEARD).overdue_at == HEARD + DAY

    def test_has_no_end_where_nothing_is_missing(self) -> None:
        order = cnova_order(sale("1", issuanceDate="2020-01-01T"))
        assert judged(order, WITH_TRACKING_GRACE, now=HEARD).overdue_at is None
        assert outcome(order, WITH_TRACKING_GRACE) is Outcome.OK

    @pytest.mark.parametrize(
        ("missing", "found"),
        [
            ({"trackingNumber": None}, [(Code.TRACKING_MISSING, Severity.ERROR)]),
            ({"courier": None}, [(Code.COURIER_MISSING, Severity.ERROR)]),
            (
                {"trackingNumber": None, "courier": None},
                [(Code.TRACKING_MISSING, Severity.ERROR), (Code.COURIER_MISSING, Severity.WARNING)],
            ),
        ],
        ids=["tracking", "courier", "both"],
    )
    def test_makes_one_error_of_an_invoice_when_it_is_over(
        self, missing: dict[str, Any], found: list[tuple[Code, Severity]]
    ) -> None:
        problems = judged(cnova_order(sale(**missing)), WITH_TRACKING_GRACE).problems
        assert [(problem.code, problem.severity) for problem in problems] == found

    def test_makes_an_error_of_each_invoice(self) -> None:
        order = cnova_order(sale("1", a_key(1), courier=None), sale(), sale("2", a_key(2), trackingNumber=None))
        errors = judged(order, WITH_TRACKING_GRACE).errors
        assert [(error.invoice_number, error.code) for error in errors] == [
            ("1", Code.COURIER_MISSING),
            ("2", Code.TRACKING_MISSING),
        ]

    def test_makes_no_second_error_of_an_invoice_whose_key_is_at_fault(self) -> None:
        verdict = judged(cnova_order(sale(key=None, trackingNumber=None)), WITH_TRACKING_GRACE)
        assert [error.code for error in verdict.errors] == [Code.MISSING]
        assert [warning.code for warning in verdict.warnings] == [Code.TRACKING_MISSING]

    def test_leaves_the_other_warnings_what_they_are(self) -> None:
        verdict = judged(cnova_order(sale("1", courier=None)), WITH_TRACKING_GRACE)
        assert [error.code for error in verdict.errors] == [Code.COURIER_MISSING]
        assert [warning.code for warning in verdict.warnings] == [Code.NUMBER_MISMATCH]

    def test_waits_for_no_key_where_it_is_over(self) -> None:
        policy = Policy(POLICY.affiliate_ids, key_grace=2 * DAY, tracking_grace=DAY)
        assert outcome(cnova_order(sale("1", None), self.NEITHER), policy) is Outcome.FAILING
        assert outcome(cnova_order(sale("1", None, courier=None), sale()), policy) is Outcome.WAITING

    def test_is_not_the_one_of_an_open_failure_alone(self) -> None:
        order = cnova_order(self.NEITHER)
        assert outcome(order, WITH_TRACKING_GRACE, now=HEARD, open_failure=True) is Outcome.OK


class TestWarnings:
    @pytest.mark.parametrize("number", ["643797", "000643797", 643797, "643797-1", "643797-2"])
    def test_there_is_none_of_the_number_in_the_key(self, number: object) -> None:
        assert codes_of(sale(number)) == []

    @pytest.mark.parametrize("number", ["643798", "0", "000000000", "999999999", 1])
    def test_there_is_one_of_another_number(self, number: object) -> None:
        assert codes_of(sale(number)) == [Code.NUMBER_MISMATCH]

    @pytest.mark.parametrize(
        "number",
        [
            "NFE-2026-001234",
            "0000643798",
            "643798-1",
            "1.234",
            "-1",
            "٦٤٣٧٩٨",
            None,
            ABSENT,
            "",
            2.5,
            True,
            [],
        ],
    )
    def test_there_is_none_of_a_number_that_is_not_one_to_nine_digits(self, number: object) -> None:
        assert codes_of(sale(number)) == []

    @pytest.mark.parametrize(
        ("date", "fits"),
        [
            ("2026-01-31T23:59:59.9999999+00:00", False),
            ("2026-02-01T00:00:00.0000000+00:00", True),
            ("2026-04-30T23:59:59.0000000+00:00", True),
            ("2026-05-01T00:00:00.0000000+00:00", False),
            ("2025-03-03T00:00:00", False),
            ("2027-03-03T00:00:00", False),
            ("2026-10-03T00:00:00", False),
            ("2026-12-03T00:00:00", False),
            ("2026-03-03", True),
        ],
    )
    def test_there_is_one_of_an_issue_date_more_than_a_month_away(self, date: str, fits: bool) -> None:
        assert codes_of(sale(issuanceDate=date)) == ([] if fits else [Code.ISSUE_DATE_MISMATCH])

    def test_a_month_away_may_be_in_another_year(self) -> None:
        december = sale(key=a_key(year=2025, month=12), issuanceDate="2026-01-02T00:00:00Z")
        assert codes_of(december) == []
        assert codes_of(december | {"issuanceDate": "2026-02-01T00:00:00Z"}) == [Code.ISSUE_DATE_MISMATCH]

    @pytest.mark.parametrize(
        "date",
        [
            None,
            ABSENT,
            "",
            "0001-01-01T00:00:00",
            "1970-01-01T00:00:00Z",
            "2026-00-01",
            "2026-13-01",
            "01/06/2026",
            7,
            [],
        ],
    )
    def test_there_is_none_of_what_is_no_issue_date(self, date: object) -> None:
        assert codes_of(sale(issuanceDate=date)) == []

    @pytest.mark.parametrize("value", [None, ABSENT, "", "  ", [], {}, False, 2.5])
    @pytest.mark.parametrize(
        ("field", "code"), [("trackingNumber", Code.TRACKING_MISSING), ("courier", Code.COURIER_MISSING)]
    )
    def test_there_is_one_of_absent_tracking_and_courier(self, field: str, code: Code, value: object) -> None:
        assert codes_of(sale(**{field: value})) == [code]

    def test_there_is_none_of_a_tracking_number_that_came_as_a_number(self) -> None:
        assert codes_of(sale(trackingNumber=834)) == []

    @pytest.mark.parametrize(
        "number",
        [
            "643797/2", "643797 2", "/643797", "643797/", " 643797", "643797 ", "\t643797", "643797\n", "/", " ",
            "6437\N{NO-BREAK SPACE}97", "643797\N{IDEOGRAPHIC SPACE}", "NF/643797", "643797-1 / 2",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("key", [KEY, None, "junk", WRONG_KEY])
    def test_there_is_one_of_a_number_over_which_vtex_stumbles(self, number: str, key: str | None) -> None:
        assert [warning.code for warning in judged(cnova_order(sale(number, key))).warnings] == [Code.UNSAFE_NUMBER]

    @pytest.mark.parametrize(
        "number", ["643797", "643797-2", "643797\\2", "NFE-643797.2", 643797, "", None, ABSENT, ["/"]]
    )
    def test_there_is_none_of_a_number_that_vtex_takes(self, number: object) -> None:
        assert Code.UNSAFE_NUMBER not in codes_of(sale(number))

    def test_there_is_none_of_a_returns_number(self) -> None:
        assert codes(cnova_order(sale(), returned(1, invoiceNumber="24382/1"))) == []

    def test_that_of_the_number_makes_no_error_however_long_it_stays(self) -> None:
        order = cnova_order(sale("643797/2"))
        assert outcome(order, WITH_TRACKING_GRACE, now=HEARD + 1000 * DAY) is Outcome.OK

    @pytest.mark.parametrize("code", [Code.ISSUER_MISMATCH, Code.REUSED])
    def test_a_key_that_is_sound_is_compared_though_it_is_an_error(self, code: Code) -> None:
        key = KEY if code is Code.REUSED else a_key(tax_id=OTHER_CNPJ)
        order = cnova_order(sale("1", key, issuanceDate="2026-09-01T00:00:00Z"), sale("643797", key))
        assert codes(order, OF_THE_SELLER) == [code, Code.NUMBER_MISMATCH, Code.ISSUE_DATE_MISMATCH, code]

    @pytest.mark.parametrize("key", [None, "junk", WRONG_KEY, a_key(model="65"), a_key(month=13)])
    def test_a_key_that_is_not_sound_is_not_compared(self, key: str | None) -> None:
        found = codes_of(sale("1", key, issuanceDate="2026-09-01T00:00:00Z"))
        assert len(found) == 1
        assert found[0].severity is Severity.ERROR

    def test_warnings_alone_leave_an_order_ok(self) -> None:
        verdict = judged(cnova_order(sale("1", issuanceDate="2020-01-01T", trackingNumber="", courier="")))
        assert verdict.outcome is Outcome.OK
        assert not verdict.errors
        assert [warning.code for warning in verdict.warnings] == [
            Code.NUMBER_MISMATCH,
            Code.ISSUE_DATE_MISMATCH,
            Code.TRACKING_MISSING,
            Code.COURIER_MISSING,
        ]
        assert {(warning.invoice_number, warning.key_as_it_came) for warning in verdict.warnings} == {("1", KEY)}
        assert verdict.keys == (("1", KEY),)


class TestSeveralInvoices:
    def test_each_has_one_error_at_the_most_and_then_its_warnings(self) -> None:
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

    def test_all_good_ones_are_listed_with_an_ok(self) -> None:
        verdict = judged(cnova_order(sale(), returned(1), sale(None, a_key(5)), sale()))
        assert verdict.outcome is Outcome.OK
        assert verdict.keys == (("643797", KEY), (None, a_key(5)), ("643797", KEY))

    def test_none_is_listed_with_a_failure(self) -> None:
        assert judged(cnova_order(sale(), sale("1", None))).keys == ()

    @pytest.mark.parametrize("is_reused", [False, True])
    def test_are_judged_in_time_though_they_fill_the_largest_answer_that_is_read(self, is_reused: bool) -> None:
        order = cnova_order(
            *({"invoiceNumber": str(number * is_reused), "invoiceKey": KEY} for number in range(20_000))
        )
        began = time.process_time()
        assert outcome(order) is (Outcome.FAILING if is_reused else Outcome.OK)
        assert time.process_time() - began < 10


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

    def test_of_a_number_in_text_or_not(self) -> None:
        assert self.identities(sale(1, None)) == self.identities(sale(" 1 ", None)) == {'["missing", "1", null]'}

    def test_as_it_was_told_by_earlier_versions(self) -> None:
        package = sale(" 643797/2\n", f" {KEY}")
        assert self.identities(package) == {f'["malformed", "643797/2", " {KEY}"]'}

    @pytest.mark.parametrize(
        "other", [sale(key=""), sale("1", None), sale(None, None), sale(key="null"), sale(key=False)]
    )
    def test_with_the_same_code_number_and_key_alone(self, other: dict[str, Any]) -> None:
        assert self.identities(sale(key=None)) != self.identities(other)

    def test_though_its_code_alone_changed_it_is_another(self) -> None:
        key = a_key(year=2027, month=1, model="65")
        late = {"now": datetime(2027, 1, 1, tzinfo=UTC)}
        assert self.identities(sale(key=key)) != self.identities(sale(key=key), **late)

    def test_whatever_characters_its_key_holds(self) -> None:
        (identity,) = self.identities(sale("1", "\ud800ção"))
        assert identity.isascii()


CLEANED, IN_XML, IN_URL, IN_NUMBER = SuggestionSource
PLACES = [
    (CLEANED, sale(key=SPACED_KEY)),
    (IN_XML, sale(key=None, embeddedInvoice=make_xml(KEY))),
    (IN_URL, sale(key=None, invoiceUrl=f"https://example.com/danfe?p={KEY}|2|1")),
    (IN_NUMBER, sale(KEY, None)),
]


class TestASuggestion:
    @pytest.mark.parametrize(("source", "package"), PLACES, ids=list(SuggestionSource))
    def test_comes_from_four_places(self, source: SuggestionSource, package: dict[str, Any]) -> None:
        assert only_problem(package).suggestion == Suggestion(KEY, source)

    def test_comes_from_the_first_place_that_has_one(self) -> None:
        keys = [a_key(code=code) for code in range(4)]
        fields = [("invoiceKey", f"NFe{keys[0]}"), ("embeddedInvoice", make_xml(keys[1])), ("invoiceUrl", keys[2])]
        package = sale(keys[3], None, **dict(fields))
        for (field, _), key, source in zip(fields, keys, (CLEANED, IN_XML, IN_URL), strict=False):
            assert suggested(package) == (key, source)
            package[field] = None
        assert suggested(package) == (keys[3], IN_NUMBER)

    @pytest.mark.parametrize(
        "value",
        [
            SPACED_KEY, f"NFe{KEY}", f"{KEY}\n", KEY.replace("3", "3."), f"?chNFe={KEY}", f"?p={KEY}|2|1",
            f"NF-e: {KEY}", f"chNFe{KEY}", f"Chave de acesso:{KEY}", quote(quote(f"https://x.example/?chNFe={KEY}")),
            make_xml(KEY), int(KEY), quote(f" {KEY} "),
        ],
    )  # fmt: skip
    def test_is_the_field_cleaned(self, value: object) -> None:
        assert suggested(sale(key=value)) == (KEY, CLEANED)

    def test_is_the_field_cleaned_whatever_the_invoices_number(self) -> None:
        assert suggested(sale("1", SPACED_KEY)) == (KEY, CLEANED)

    def test_is_the_field_in_upper_case(self) -> None:
        key = a_key(tax_id=OTHER_CNPJ)
        assert suggested(sale(key=key.lower())) == (key, CLEANED)

    @pytest.mark.parametrize(
        "value",
        [
            None, "", "junk", WRONG_KEY, KEY[:-1], KEY + "1", f"{KEY} {a_key()}", a_key(model="65"),
            f"NFe{a_key(model='65')}", f"NFe{a_key(year=2027)}", [KEY], {"key": KEY}, float(KEY),
            make_xml(a_key(model="65")),
        ],
    )  # fmt: skip
    def test_is_not_what_is_no_one_valid_key_of_model_55(self, value: object) -> None:
        assert suggested(sale(key=value)) is None

    @pytest.mark.parametrize("place", [1, 2, 3])
    @pytest.mark.parametrize("number", ["643797", "000643797", 643797, "0000643798", "NFE-643798", None, ABSENT, []])
    def test_of_another_field_fits_the_invoices_number_where_there_is_one(self, place: int, number: object) -> None:
        source, package = PLACES[place]
        if source is not IN_NUMBER:
            package = {**package, "invoiceNumber": number}
        assert suggested(package) == (KEY, source)

    @pytest.mark.parametrize("place", [1, 2])
    @pytest.mark.parametrize("number", ["643798", "1", 0, "000000000"])
    def test_of_another_field_is_none_where_the_number_is_another(self, place: int, number: object) -> None:
        assert suggested(PLACES[place][1] | {"invoiceNumber": number}) is None

    def test_of_a_later_place_is_taken_where_the_number_of_an_earlier_does_not_fit(self) -> None:
        package = sale(key=None, embeddedInvoice=make_xml(a_key(1)), invoiceUrl=KEY)
        assert suggested(package) == (KEY, IN_URL)

    @pytest.mark.parametrize(
        "xml",
        [
            make_xml(KEY, environment="2"),
            make_xml(KEY, protocol_environment="2"),
            make_xml(KEY, status="101"),
            make_xml(KEY, status="302"),
            make_xml(KEY, direction="0"),
            make_xml(KEY, direction="1", purpose="4"),
            f"<doc>{make_xml(KEY)}{make_event(KEY)}</doc>",
            escape(f"<doc>{make_xml(KEY)}{make_event(KEY, '110112', '155')}</doc>"),
            make_xml(KEY, protocol_key=a_key(code=1)),
            make_xml(KEY) + make_xml(KEY),
            f"<enviNFe>{make_xml(KEY)}{make_xml(a_key(code=1))}</enviNFe>",
            "<!DOCTYPE x>" + make_xml(KEY),
            make_xml(KEY)[:-5],
            make_xml(WRONG_KEY),
            make_xml(a_key(model="65")),
            "<?xml version= 1.0 encoding= utf-8 ?><Invoice>  <BusinessUnitID>204</BusinessUnitID></invoice>",
            f"<Invoice><key>{KEY}</key></Invoice>",
            KEY,
            "",
            None,
            ABSENT,
            7,
            [make_xml(KEY)],
        ],
    )
    def test_is_in_no_xml_that_is_not_of_one_authorised_invoice(self, xml: object) -> None:
        assert suggested(sale(key=None, embeddedInvoice=xml)) is None

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

    @pytest.mark.parametrize("status", ["100", "150", None])
    def test_is_in_the_xml_of_an_authorised_invoice(self, status: str | None) -> None:
        xml = "\n" + make_xml(KEY, status=status, references=[a_key(1), a_key(2)])
        assert suggested(sale(key="junk", embeddedInvoice=xml)) == (KEY, IN_XML)

    @pytest.mark.parametrize(
        "url",
        [
            "http://www.nfe.fazenda.gov.br/portal/consulta.aspx?tipoConsulta=completa",
            f"https://example.com/{KEY}/{a_key(code=1)}",
            f"https://example.com/{WRONG_KEY}",
            f"https://example.com/1{KEY}",
            [KEY],
            None,
        ],
    )
    def test_is_in_no_address_without_one_valid_key(self, url: object) -> None:
        assert suggested(sale(key=None, invoiceUrl=url)) is None

    def test_is_in_an_address_with_the_same_key_twice(self) -> None:
        assert suggested(sale(key=None, invoiceUrl=f"https://example.com/{KEY}?chNFe={KEY}")) == (KEY, IN_URL)

    @pytest.mark.parametrize("number", [int(KEY), f"NFe {KEY}"])
    def test_is_in_the_field_of_the_number_in_any_shape(self, number: object) -> None:
        assert suggested(sale(number, "")) == (KEY, IN_NUMBER)

    def test_is_never_the_key_as_it_came(self) -> None:
        everywhere = {"embeddedInvoice": make_xml(KEY), "invoiceUrl": KEY}
        errors = judged(cnova_order(sale("643797", **everywhere), sale("643798", **everywhere))).errors
        assert [(error.code, error.suggestion) for error in errors] == [(Code.REUSED, None), (Code.REUSED, None)]

    def test_may_be_another_key_than_the_one_that_is_reused(self) -> None:
        right = a_key(643798)
        order = cnova_order(sale("643797"), sale("643798", embeddedInvoice=make_xml(right)))
        assert [error.suggestion for error in judged(order).errors] == [None, (right, IN_XML)]

    def test_may_stand_beside_any_fault_of_the_key(self) -> None:
        keys: list[object] = [WRONG_KEY, a_key(model="57"), a_key(number=0), 7, []]
        for key in keys:
            assert suggested(sale(key=key, embeddedInvoice=make_xml(KEY))) == (KEY, IN_XML)

    @pytest.mark.parametrize("package", [package for _, package in PLACES], ids=list(SuggestionSource))
    def test_is_no_key_that_would_be_another_issuers(self, package: dict[str, Any]) -> None:
        assert suggested(package, OF_THE_SELLER) is not None
        assert suggested(package, Policy(POLICY.affiliate_ids, frozenset({OTHER_CNPJ}))) is None

    def test_is_the_sellers_own_for_a_key_of_another_issuer(self) -> None:
        package = sale(key=a_key(tax_id=OTHER_CNPJ), embeddedInvoice=make_xml(KEY))
        assert suggested(package, OF_THE_SELLER) == (KEY, IN_XML)

    def test_is_given_with_no_warning_and_no_absent_invoice(self) -> None:
        order = cnova_order(sale("1", courier=None, embeddedInvoice=make_xml(KEY)))
        assert {problem.suggestion for problem in judged(order).problems} == {None}
        assert judged(cnova_order()).problems[0].suggestion is None


class TestWhatHasTheWrongShape:
    """It counts as absent: it neither crashes the check nor passes it."""

    @pytest.mark.parametrize("attachment", [None, ABSENT, "packages", 7, True, [], [sale()], {}, {"packages": None}])
    def test_without_packages_there_is_no_invoice(self, attachment: object) -> None:
        assert codes(cnova_order(packageAttachment=attachment)) == [Code.NO_INVOICE]

    @pytest.mark.parametrize("packages", ["Output", 7, {}, {"0": sale()}, sale(), [], [None], [None, None]])
    def test_what_is_no_list_of_packages_is_none(self, packages: object) -> None:
        assert codes(cnova_order(packageAttachment={"packages": packages})) == [Code.NO_INVOICE]

    @pytest.mark.parametrize("package", ["Output", "", 7, False, [], [sale()], {}])
    def test_a_package_of_another_shape_is_an_invoice_without_a_key(self, package: object) -> None:
        missing = Problem(Code.MISSING)
        verdict = judged(cnova_order(sale(), package))
        assert verdict.outcome is Outcome.FAILING
        assert verdict.errors == (missing,)

    @pytest.mark.parametrize("value", WRONG_TYPES)
    def test_a_key_that_is_no_text_is_told_as_it_came(self, value: object) -> None:
        (error,) = judged(cnova_order(sale(key=value))).errors
        assert error.key_as_it_came is value
        assert error.suggestion is None

    @pytest.mark.parametrize("value", WRONG_TYPES)
    def test_no_other_field_of_a_package_crashes_the_check(self, value: object) -> None:
        for field in sale().keys() - {"invoiceKey", "type"}:
            assert outcome(cnova_order(sale(**{field: value}))) is Outcome.OK
            assert outcome(cnova_order(sale(key=None, **{field: value}))) is Outcome.FAILING

    @pytest.mark.parametrize("value", WRONG_TYPES)
    def test_no_field_of_an_order_crashes_the_check(self, value: object) -> None:
        for field in cnova_order().keys() - {"packageAttachment"}:
            assert outcome(cnova_order(sale(), **{field: value})) is Outcome.OK
            assert outcome(cnova_order(sale(key=None), **{field: value})) is Outcome.FAILING

    def test_an_empty_order_is_of_another_marketplace(self) -> None:
        assert judged({}) == Verdict(Outcome.OTHER_MARKETPLACE)

    def test_names_in_another_case_are_other_names(self) -> None:
        package = {"InvoiceKey": KEY, "InvoiceNumber": "643797", "Type": "Input"}
        assert judged(cnova_order(package)).errors == (Problem(Code.MISSING),)
