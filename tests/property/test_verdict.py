"""Whatever VTEX sends, the judgement holds: to a second implementation of the rules of keys, and to itself."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from invoicekey.messages import record
from invoicekey.messages.record import FailingRecord
from invoicekey.rules.order import Order
from invoicekey.rules.policy import Policy
from invoicekey.rules.verdict import (
    NOT_ON_ITS_WAY,
    Circumstances,
    Code,
    Outcome,
    Severity,
    SuggestionSource,
    Verdict,
    judge,
)
from tests.keys import make_cnpj, make_key, make_xml
from tests.orders import ABSENT, KEY, PERSONAL, cnova_order, custom_apps, own_order, returned, sale
from tests.property.second_opinion import opinion
from tests.wrappings import BY_NAME

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "failing.v1.schema.json"
MOST_BYTES = 250_000
MOST_INVOICES = 2_000

HEARD = datetime(2026, 3, 3, 14, 54, 1, tzinfo=UTC)
YEAR = HEARD.year
HOUR = timedelta(hours=1)

usual = settings().max_examples
more, few = settings(max_examples=5 * usual // 2), settings(max_examples=usual // 3)

# ---- Anything that is JSON

any_text = st.text(st.characters())  # lone surrogates too: JSON can spell them, and Python reads them
names = st.sampled_from(["invoiceKey", "invoiceNumber", "type", "packages", "customApps", "id", "name"]) | any_text
scalars = st.none() | st.booleans() | st.integers() | st.floats() | any_text
junk = st.recursive(scalars, lambda part: st.lists(part, max_size=3) | st.dictionaries(names, part, max_size=3))

# ---- Orders as VTEX sends them, with what sellers' systems write into them

KEYS = [KEY, make_key(tax_id="11222333000181", number=5), make_key(number=643797), make_key(series=890, number=1)]
NO_KEYS = [
    None, ABSENT, "", " \n", "N/A", "0" * 44, f"NFe{KEY}", f"{KEY}\n", KEY.replace("3", "3 "), KEYS[2].lower(),
    KEY[:-1], KEY[:-1] + "3", make_key(model="65"), make_key(month=13), make_key(year=2027), make_key(number=0),
    make_key(state=99), make_key(emission_type="8"), make_key(tax_id="11222333000199"), int(KEY), [KEY], make_xml(KEY),
]  # fmt: skip
XMLS = [
    "", None, *map(make_xml, KEYS), make_xml(KEY, environment="2"), make_xml(KEY, status="101"), "<NFe>",
    *(wrap(make_xml(KEY)) for wrap in BY_NAME.values()),
]  # fmt: skip
URLS = [None, "http://www.nfe.fazenda.gov.br/portal", *(f"https://example.com/?p={key}|2|1" for key in KEYS)]
NUMBERS = ["643797", "000643797", 643797, "1", "5", "643797/1", "643797-2", " 643797\n", None, ABSENT, "", KEY]
DATES = ["2026-03-03T14:53:16.5830000+00:00", "2026-08-01T00:00:00", "0001-01-01T00:00:00", None]
TYPES = ["Output", "Output", "Output", "output", "Input", None, ABSENT, "Other"]
AMOUNTS = [10221, 0, 1, "10221", 10221.0, -1, None, ABSENT, "x"]

packages = st.builds(
    sale,
    number=st.sampled_from(NUMBERS) | junk,
    key=st.sampled_from(KEYS * 5 + NO_KEYS) | junk,
    type=st.sampled_from(TYPES),
    invoiceValue=st.sampled_from(AMOUNTS),
    embeddedInvoice=st.sampled_from(XMLS),
    invoiceUrl=st.sampled_from(URLS),
    issuanceDate=st.sampled_from(DATES),
    trackingNumber=st.sampled_from(["AA1554869884FD", "", None]),
    courier=st.sampled_from(["Correios", None]),
)
good_packages = st.builds(sale, number=st.sampled_from([None, "643797"]), key=st.sampled_from(KEYS))
sound_packages = st.builds(sale, number=st.sampled_from(["643797", "643798"]), key=st.sampled_from(KEYS[:2]))
returns = st.builds(returned, st.sampled_from(AMOUNTS))
STATUSES = ["invoiced", "invoiced", "invoiced", "Invoiced", "handling", "canceled", None]


@st.composite
def orders(draw: st.DrawFn) -> dict[str, Any]:
    build = draw(st.sampled_from([cnova_order] * 7 + [own_order]))
    people = draw(st.sampled_from([{}, PERSONAL]))
    found = draw(st.lists(packages | good_packages | sound_packages | returns, max_size=4))
    order: dict[str, Any] = build(*found, status=draw(st.sampled_from(STATUSES)), **people)
    return order


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an order that has anything at all in up to three places, as JSON can carry it."""
    order: dict[str, Any] = json.loads(json.dumps(draw(orders())))
    for _ in range(draw(st.integers(0, 3))):
        everywhere = list(places(order))
        in_packages = list(places({"packageAttachment": order.get("packageAttachment")}))[1:]
        container, place = draw(st.sampled_from(everywhere) | st.sampled_from(in_packages or everywhere))
        how = draw(st.sampled_from(["replace", "remove", "insert"]))
        if how == "remove":
            del container[place]
        elif how == "insert" and isinstance(container, list):
            container.insert(place, draw(junk))
        else:
            container[place] = draw(junk)
    return order


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place of a document: what holds it, and where there."""
    inside: Any = document.items() if isinstance(document, dict) else enumerate(document)
    for place, value in list(inside):
        yield document, place
        if isinstance(value, dict | list):
            yield from places(value)


policies = st.builds(
    Policy,
    affiliate_ids=st.sampled_from([frozenset({"vvj"}), frozenset({"luxstore:vvj", "abc"}), frozenset()]),
    seller_tax_ids=st.sampled_from([frozenset(), frozenset({"11222333000181"}), frozenset({make_cnpj()})]),
    key_grace=st.sampled_from([timedelta(0), HOUR]),
    tracking_grace=st.sampled_from([None, None, HOUR]),
)
circumstances = st.builds(
    Circumstances,
    account=st.just("luxstore"),
    now=st.sampled_from([HEARD, HEARD + timedelta(seconds=600), HEARD + HOUR, HEARD + 24 * HOUR]),
    first_seen_at=st.just(HEARD),
    has_open_failure=st.booleans(),
    owners=st.dictionaries(st.sampled_from(KEYS), st.just("VVJ-1-01"), max_size=1),
)
cnova = Policy(affiliate_ids=frozenset({"vvj"}))
the_day_after = Circumstances("luxstore", HEARD + 24 * HOUR, HEARD)


def judged(order: Any, policy: Policy = cnova, given: Circumstances = the_day_after) -> Verdict:
    return judge(Order.model_validate(order), policy, given)


class Case(NamedTuple):
    """An order that is judged, and what came of it."""

    order: dict[str, Any]
    policy: Policy
    given: Circumstances
    verdict: Verdict


cases = st.builds(
    lambda order, policy, given: Case(order, policy, given, judged(order, policy, given)),
    mutated(), policies, circumstances,
)  # fmt: skip


def sales_in(order: dict[str, Any]) -> list[dict[str, Any]]:
    """The sale invoices of an order, found without the product."""
    attachment = order.get("packageAttachment")
    content = attachment.get("packages") if isinstance(attachment, dict) else None
    found = [package for package in content if package is not None] if isinstance(content, list) else []
    objects = [package if isinstance(package, dict) else {} for package in found]
    return [package for package in objects if is_sale(package.get("type"))]


def is_sale(kind: object) -> bool:
    """Say whether a type is Output or none. A number is another type; what is neither that nor text is none."""
    if isinstance(kind, bool) or not isinstance(kind, str | int):
        return True
    return str(kind).strip().lower() in {"", "output"}


def failing_record(order: dict[str, Any], verdict: Verdict, language: str) -> FailingRecord:
    read = Order.model_validate(order | {"orderId": "VVJ-975102-01"})
    now = the_day_after.now
    return record.write(
        FailingRecord, "luxstore", read, verdict.problems, report=1, first_seen_at=HEARD, now=now, language=language
    )


@cache
def schema() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")))


class TestAnyOrder:
    @more
    @given(cases)
    def test_is_judged(self, case: Case) -> None:
        assert case.verdict.outcome in Outcome
        assert all(problem.identity.isascii() for problem in case.verdict.problems)

    @given(st.dictionaries(names, junk, max_size=4), policies, circumstances)
    def test_is_judged_even_where_it_is_none(self, order: Any, policy: Policy, given: Circumstances) -> None:
        assert judged(order, policy, given).outcome in Outcome

    @more
    @given(cases)
    def test_fails_or_waits_by_its_errors_and_never_by_its_warnings(self, case: Case) -> None:
        verdict = case.verdict
        assert bool(verdict.errors) == (verdict.outcome in {Outcome.FAILING, Outcome.WAITING})
        assert all(problem.is_overdue for problem in verdict.errors if problem.code in NOT_ON_ITS_WAY)
        assert all(error.severity is Severity.ERROR for error in verdict.errors)
        assert not verdict.problems or verdict.outcome in {Outcome.FAILING, Outcome.WAITING, Outcome.OK}
        assert len(verdict.errors) + len(verdict.warnings) == len(verdict.problems)

    @given(cases)
    def test_waits_only_for_what_may_still_come(self, case: Case) -> None:
        verdict = case.verdict
        assert (verdict.wait_until is not None) == (verdict.outcome is Outcome.WAITING)
        if verdict.wait_until is not None:
            assert case.given.now < verdict.wait_until
            assert not case.given.has_open_failure
            assert {error.code for error in verdict.errors} in ({Code.MISSING}, {Code.NO_INVOICE})


class TestAnOrderThatIsOk:
    @more
    @given(cases)
    def test_carries_a_key_on_every_sale_invoice_that_a_second_opinion_calls_valid(self, case: Case) -> None:
        if case.verdict.outcome is Outcome.OK:
            keys = [sale.get("invoiceKey") for sale in sales_in(case.order)]
            assert keys
            assert all(opinion(key, YEAR) is None for key in keys)
            assert [key for _, key in case.verdict.keys] == keys
            sellers = case.policy.seller_tax_ids
            assert not sellers or all(key[6:20] in sellers or "890" <= key[22:25] <= "899" for key in keys)

    @given(st.lists(good_packages, min_size=1, max_size=4), st.data())
    def test_is_no_longer_so_with_any_one_key_spoilt(self, found: list[dict[str, Any]], data: st.DataObject) -> None:
        order = cnova_order(*found)
        assume(judged(order).outcome is Outcome.OK)
        corrupt = data.draw(st.sampled_from(found))
        corrupt["invoiceKey"] = data.draw((junk | st.sampled_from(NO_KEYS[2:])).filter(lambda key: key not in KEYS))
        assert judged(order).outcome is Outcome.FAILING


class TestEachError:
    @more
    @given(st.lists(packages, min_size=1, max_size=4), policies)
    def test_is_the_one_that_a_second_opinion_has(self, found: list[dict[str, Any]], policy: Policy) -> None:
        order = cnova_order(*found, customData=custom_apps("viavarejo"))
        verdict = judged(order, policy)
        assume(verdict.outcome in {Outcome.OK, Outcome.FAILING})
        assume({error.code for error in verdict.errors} != {Code.NO_INVOICE})
        others = {Code.ISSUER_MISMATCH, Code.REUSED} | NOT_ON_ITS_WAY
        told = [error.code.value for error in verdict.errors if error.code not in others]
        assert told == [code for code in map(expected_code, sales_in(order)) if code is not None]

    @given(st.lists(packages | good_packages, min_size=1, max_size=4), policies, circumstances)
    def test_is_the_only_one_of_its_invoice(
        self, found: list[dict[str, Any]], policy: Policy, given: Circumstances
    ) -> None:
        errors = judged(cnova_order(*found), policy, given).errors
        assert len(errors) <= max(1, len(sales_in(cnova_order(*found))))

    @given(mutated(), policies, st.randoms(use_true_random=False))
    def test_and_the_outcome_do_not_depend_on_the_order_of_packages(
        self, order: dict[str, Any], policy: Policy, random: Any
    ) -> None:
        before = judged(order, policy)
        attachment = order.get("packageAttachment")
        content = attachment.get("packages") if isinstance(attachment, dict) else None
        assume(isinstance(content, list) and content)
        random.shuffle(content)
        after = judged(order, policy)
        assert after.outcome is before.outcome
        assert sorted(problem.identity for problem in after.problems) == sorted(
            problem.identity for problem in before.problems
        )


def expected_code(package: dict[str, Any]) -> str | None:
    value = package.get("invoiceKey")
    if value is None or (isinstance(value, str) and not value.strip()):
        return "missing"
    return opinion(value, YEAR)


class TestTheKeysOfItsOwn:
    @more
    @given(cases)
    def test_are_valid_and_shown_and_no_other_orders_and_all_those_of_an_order_that_is_ok(self, case: Case) -> None:
        own_keys = case.verdict.own_keys
        assert len(set(own_keys)) == len(own_keys)
        assert case.given.owners.keys().isdisjoint(own_keys)
        assert all(opinion(key, YEAR) is None for key in own_keys)
        assert set(own_keys) <= {json.dumps(sale.get("invoiceKey"))[1:-1] for sale in sales_in(case.order)}
        assert case.verdict.outcome is not Outcome.OK or set(own_keys) == {key for _, key in case.verdict.keys}

    @given(cases)
    def test_are_never_told_as_another_orders(self, case: Case) -> None:
        for problem in case.verdict.problems:
            if problem.reused_in is not None:
                assert problem.code is Code.REUSED
                assert case.given.owners[problem.key_as_it_came] == problem.reused_in


behind = st.text(max_size=8).filter(lambda text: not text[:1].isdigit())
parts = st.builds(lambda zeros, text: "0" * zeros + "643797" + text, st.integers(0, 5), behind)


class TestAnInvoiceShippedInParts:
    @given(st.lists(parts, min_size=2, max_size=5))
    def test_is_one_invoice_whatever_stands_behind_its_number(self, numbers: list[str]) -> None:
        assert judged(cnova_order(*(sale(number) for number in numbers))).outcome is Outcome.OK

    @given(st.lists(parts, min_size=1, max_size=3), st.integers(0, 9), parts, st.randoms(use_true_random=False))
    def test_is_told_as_reused_beside_another_invoice(
        self, numbers: list[str], digit: int, other: str, random: Any
    ) -> None:
        found = [sale(number) for number in [*numbers, other.replace("643797", f"643797{digit}", 1)]]
        random.shuffle(found)
        errors = judged(cnova_order(*found)).errors
        assert [error.code for error in errors] == [Code.REUSED] * len(found)
        assert all(error.reused_on != error.invoice_number for error in errors)


class TestAnUnsafeNumber:
    @given(any_text, st.sampled_from([KEY, None, "junk"]))
    def test_is_warned_of_where_and_only_where_it_has_a_blank_or_a_slash(self, number: str, key: str | None) -> None:
        verdict = judged(cnova_order(sale(number, key)))
        is_unsafe = "/" in number or len(number.split()) > 1 or number != number.strip()
        assert (Code.UNSAFE_NUMBER in [warning.code for warning in verdict.warnings]) == is_unsafe

    @given(
        st.sampled_from(["643797", "643797/2", "NFE 1"]), st.text(" \t\n\u00a0", max_size=4), st.sampled_from(NO_KEYS)
    )
    def test_is_told_as_the_same_error_as_ever(self, number: str, blanks: str, key: Any) -> None:
        plain, blank = (judged(cnova_order(sale(text, key))).errors for text in (number, blanks + number + blanks))
        assert [error.identity for error in plain] == [error.identity for error in blank]


class TestReturns:
    @given(st.lists(packages | returns, min_size=1, max_size=4))
    def test_hide_only_sales_of_a_known_value(self, found: list[dict[str, Any]]) -> None:
        if judged(cnova_order(*found)).outcome is Outcome.RETURNED:
            sold = [package.get("invoiceValue") for package in sales_in(cnova_order(*found))]
            assert sold
            assert all(value in (10221, 1, "10221") for value in sold)


class TestASuggestion:
    @more
    @given(cases)
    def test_is_a_valid_key_and_never_the_one_that_came(self, case: Case) -> None:
        for problem in case.verdict.problems:
            if problem.suggestion is not None:
                assert problem.severity is Severity.ERROR
                assert opinion(problem.suggestion.key, YEAR) is None
                assert problem.suggestion.key != problem.key_as_it_came

    @given(packages)
    def test_that_is_not_the_field_cleaned_fits_the_invoices_number(self, package: dict[str, Any]) -> None:
        for error in judged(cnova_order(package)).errors:
            number = str(error.invoice_number)
            is_plain = number.isascii() and number.isdigit() and len(number) <= 9
            if error.suggestion is not None and error.suggestion.source is not SuggestionSource.CLEANED and is_plain:
                assert error.suggestion.key[25:34] == number.zfill(9)

    @given(st.sampled_from(KEYS), st.sampled_from(["", None, "junk", KEY[:-1] + "3"]), st.data())
    def test_written_in_makes_the_order_ok(self, key: str, wrong: str | None, data: st.DataObject) -> None:
        places = {"embeddedInvoice": make_xml(key), "invoiceUrl": f"https://example.com/{key}", "invoiceNumber": key}
        place = data.draw(st.sampled_from(sorted(places)))
        package = sale(None, wrong, **{place: places[place]})
        (error,) = judged(cnova_order(package)).errors
        assert error.suggestion is not None
        package["invoiceKey"] = error.suggestion.key
        assert judged(cnova_order(package)).outcome is Outcome.OK


class TestTheRecordOfAFailure:
    @more
    @given(mutated(), st.sampled_from(["pt-BR", "en"]))
    def test_is_what_the_committed_schema_says(self, order: dict[str, Any], language: str) -> None:
        verdict = judged(order)
        if verdict.outcome is Outcome.FAILING:
            text = failing_record(order, verdict, language).model_dump_json()
            schema().validate(json.loads(text))
            assert "marker" not in text

    @few
    @given(st.lists(packages, min_size=1, max_size=4), st.integers(1, MOST_INVOICES), st.sampled_from(["pt-BR", "en"]))
    def test_fits_into_a_message_however_many_invoices_there_are(
        self, found: list[dict[str, Any]], count: int, language: str
    ) -> None:
        order = cnova_order(*(found * count)[:count])
        verdict = judged(order)
        if verdict.outcome is Outcome.FAILING:
            sent = failing_record(order, verdict, language)
            text = sent.model_dump_json()
            assert len(text.encode()) < MOST_BYTES
            assert any(problem.severity is Severity.ERROR for problem in sent.data.problems)
            schema().validate(json.loads(text))
