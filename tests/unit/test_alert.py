"""The alerts that people get. tests/golden/alerts holds each kind to be read: UPDATE_GOLDEN=1 writes them anew."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from invoicekey.messages import alert, texts
from invoicekey.messages.alert import Alert, Style
from invoicekey.messages.chat import ChatMessage
from invoicekey.messages.texts import LANGUAGES
from invoicekey.rules.order import Order
from invoicekey.rules.verdict import Code, Problem, Severity, Suggestion, SuggestionSource
from tests.keys import make_key, with_right_check_digit
from tests.wrappings import WRAPPINGS, Wrap

GOLDEN = Path(__file__).parents[1] / "golden" / "alerts"

ACCOUNT = "luxstore"
ORDER_ID = "VVJ-975102-01"
OTHER_ORDER = "VVJ-975001-01"
LONGEST_ORDER_ID = "VVJ-" + "9" * 57 + "-01"
URL = "https://luxstore.myvtex.com/admin/orders/VVJ-975102-01"
KEY = "35260311222333000181550010006437971732194052"
NFCE_KEY = "35260311222333000181650010000188421509372162"
SPACED_KEY = "NFe 3526 0311 2223 3300 0181 5500 1000 6437 9717 3219 4052"
LINK = (
    "https://a1b2c3d4e5.execute-api.sa-east-1.amazonaws.com/desk/"
    "WyJsdXhzdG9yZSIsIlZWSi05NzUxMDItMDEiXQ.aacM6A.Xqf5fQ_dnRr1oWZ0jWk-8dXW4QzUR0Hq4oAqYd6O7iU"
)
"""Of an order's page on the desk."""
MENDED = datetime(2026, 2, 12, 13, 20, tzinfo=UTC)
OPENED = datetime(2026, 3, 3, 14, 54, tzinfo=UTC)
KEY_ERRORS = [code for code in Code if code.severity is Severity.ERROR]
ERRORS = [*KEY_ERRORS, Code.TRACKING_MISSING, Code.COURIER_MISSING]
"""The last two are errors where the shop has set TrackingGraceHours."""
PT, EN = Style("pt-BR"), Style("en")

ATTRIBUTES: dict[str, Any] = {
    "type": "object",
    "properties": {
        "type": {"enum": ["failing", "resolved", "expired"]},
        "account": {"type": "string", "minLength": 1},
        "severity": {"enum": ["error", "warning", "info"]},
        "codes": {"type": "array", "items": {"enum": list(Code)}, "minItems": 1, "uniqueItems": True},
    },
    "required": ["type", "account", "severity"],
    "additionalProperties": False,
}


def an_order(order_id: str = ORDER_ID, invoices: int = 1, returns: int = 0, **fields: object) -> Order:
    packages = [{"type": "Output"}] * invoices + [{"type": "Input"}] * returns
    known = {"status": "invoiced", "marketplaceOrderId": "975102-01", "invoicedDate": "2026-03-03T14:54:00.5436574"}
    return Order.model_validate({"orderId": order_id, **known, "packageAttachment": {"packages": packages}, **fields})


KEYS: dict[Code, str | None] = {
    Code.MISSING: None,
    Code.MALFORMED: SPACED_KEY,
    Code.INVALID_CHECK_DIGIT: KEY[:-1] + "3",
    Code.INVALID_STATE: make_key(state=99),
    Code.INVALID_YEAR: make_key(year=2062),
    Code.INVALID_MONTH: make_key(month=13),
    Code.INVALID_TAX_ID: make_key(tax_id="11222333000199"),
    Code.WRONG_MODEL: NFCE_KEY,
    Code.INVALID_NUMBER: make_key(number=0),
    Code.INVALID_EMISSION_TYPE: make_key(emission_type="8"),
    Code.ISSUER_MISMATCH: make_key(),
    Code.REUSED: KEY,
    Code.NO_INVOICE: None,
    Code.TRACKING_MISSING: KEY,
    Code.COURIER_MISSING: KEY,
}
"""For each error a key that has it."""


def a_problem(code: Code, number: str | None = "643797") -> Problem:
    if code is Code.NO_INVOICE:
        number = None
    return Problem(
        code,
        number,
        KEYS[code],
        reused_on="643798" if code is Code.REUSED else None,
        is_overdue=code.severity is Severity.WARNING,
    )


def missing(number: str | None = "643797", suggestion: Suggestion | None = None) -> Problem:
    return Problem(Code.MISSING, number, None, suggestion)


def malformed(key: object, suggestion: str | None = None) -> Problem:
    found = Suggestion(suggestion, SuggestionSource.CLEANED) if suggestion else None
    return Problem(Code.MALFORMED, "643797", key, found)


def wrong_model(model: str, suggestion: Suggestion | None = None) -> Problem:
    key = with_right_check_digit(NFCE_KEY[:20] + model + NFCE_KEY[22:])
    return Problem(Code.WRONG_MODEL, "18842", key, suggestion)


def fail(problems: Sequence[Problem], style: Style = PT, order: Order | None = None, **more: Any) -> Alert:
    return alert.failing(ACCOUNT, order or an_order(), problems, style, **more)


def resolve(
    keys: Sequence[tuple[str | None, str]], warnings: Sequence[Problem] = (), style: Style = PT, **more: Any
) -> Alert:
    order, closed = an_order(invoices=len(keys)), OPENED + timedelta(minutes=200)
    return alert.resolved(ACCOUNT, order, keys, warnings, opened_at=OPENED, now=closed, style=style, **more)


def give_up(
    problems: Sequence[Problem], style: Style = PT, order: Order | None = None, days: float = 30, **more: Any
) -> Alert:
    now = OPENED + timedelta(days=days)
    return alert.expired(ACCOUNT, order or an_order(), problems, opened_at=OPENED, now=now, style=style, **more)


def reused_in(other_order: str, number: str | None = "643797") -> Problem:
    return Problem(Code.REUSED, number, KEY, reused_in=other_order)


def overdue(code: Code, number: str | None = "643797") -> Problem:
    return Problem(code, number, KEY, is_overdue=True)


def lines(text: str) -> list[str]:
    return text.splitlines()


# ---- Golden files

IN_XML = Suggestion(KEY, SuggestionSource.EMBEDDED_INVOICE)
WARNINGS = [Problem(Code.TRACKING_MISSING, "643797"), Problem(Code.COURIER_MISSING, "643797")]
HOSTILE = "9\n\r\t\u202e«»\x00" + "8" * 10_000

FAILING: dict[str, list[Problem]] = {
    "missing": [missing()],
    "missing-key-found-in-xml": [missing(suggestion=IN_XML)],
    "missing-key-found-in-url": [missing(suggestion=Suggestion(KEY, SuggestionSource.INVOICE_URL))],
    "missing-key-found-in-number": [missing(KEY, Suggestion(KEY, SuggestionSource.INVOICE_NUMBER))],
    "missing-no-number": [missing(None)],
    "missing-tracking-too": [missing(), *WARNINGS],
    "missing-everything-at-once": [
        missing(suggestion=IN_XML),
        *WARNINGS,
        *(a_problem(code, f"64379{number}") for number, code in enumerate(KEY_ERRORS[:6])),
        Problem(Code.NUMBER_MISMATCH, "643799", KEY),
        Problem(Code.ISSUE_DATE_MISMATCH, "643799", KEY),
    ],
    "malformed": [malformed(SPACED_KEY, KEY)],
    "malformed-too-short": [malformed(KEY[:43])],
    "malformed-spreadsheet": [malformed("3.52603E+43")],
    "malformed-protocol": [malformed("135260312345678")],
    "malformed-service-invoice": [malformed("3" * 50)],
    "malformed-xml": [malformed(f'<NFe><infNFe Id="NFe{KEY}"><dest>Maria</dest></infNFe></NFe>', KEY)],
    "malformed-address": [malformed(f"https://www.nfe.fazenda.gov.br/?chNFe={KEY}", KEY)],
    "malformed-no-digits": [malformed("isento")],
    "malformed-no-text": [malformed({"chave": KEY})],
    "malformed-hostile": [Problem(Code.MALFORMED, HOSTILE, HOSTILE)],
    **{code.value: [a_problem(code)] for code in KEY_ERRORS if code.startswith("invalid_")},
    "wrong_model-65-consumer-receipt": [wrong_model("65")],
    "wrong_model-65-nfe-found": [wrong_model("65", IN_XML)],
    "wrong_model-59-sat": [wrong_model("59")],
    "wrong_model-57-freight": [wrong_model("57")],
    "wrong_model-58-other": [wrong_model("58"), *WARNINGS],
    "issuer_mismatch": [a_problem(Code.ISSUER_MISMATCH)],
    "reused": [a_problem(Code.REUSED), Problem(Code.REUSED, "643798", KEY, reused_on="643797")],
    "reused-in-another-order": [reused_in(OTHER_ORDER)],
    "no_invoice": [a_problem(Code.NO_INVOICE)],
    "tracking_missing": [overdue(Code.TRACKING_MISSING)],
    "tracking_missing-courier-too": [overdue(Code.TRACKING_MISSING), Problem(Code.COURIER_MISSING, "643797", KEY)],
    "courier_missing": [overdue(Code.COURIER_MISSING)],
    "missing-unsafe-number": [missing("643797/2"), Problem(Code.UNSAFE_NUMBER, "643797/2")],
    "malformed-unsafe-number": [malformed(SPACED_KEY, KEY), Problem(Code.UNSAFE_NUMBER, "643797", SPACED_KEY)],
}
SEVERAL_WITHOUT_TRACKING = [
    overdue(Code.TRACKING_MISSING),
    overdue(Code.TRACKING_MISSING, "643798"),
    Problem(Code.COURIER_MISSING, "643798", KEY),
    Problem(Code.NUMBER_MISMATCH, "643798", KEY),
]
EXPIRED: dict[str, list[Problem]] = {
    "expired": [missing()],
    "expired-key-found-in-xml": [missing(suggestion=IN_XML), *WARNINGS, malformed(SPACED_KEY)],
    "expired-no_invoice": [a_problem(Code.NO_INVOICE)],
    "expired-unsafe-number": [missing("643797/2"), Problem(Code.UNSAFE_NUMBER, "643797/2")],
    "expired-tracking_missing": [overdue(Code.TRACKING_MISSING), Problem(Code.COURIER_MISSING, "643797", KEY)],
}


def golden_cases() -> dict[str, dict[str, Alert]]:
    many: list[tuple[str | None, str]] = [(str(number), KEY) for number in range(643797, 643802)]
    return {
        language: {
            **{name: fail(problems, style) for name, problems in FAILING.items()},
            **{name: give_up(problems, style) for name, problems in EXPIRED.items()},
            "tracking_missing-several-invoices": fail(SEVERAL_WITHOUT_TRACKING, style, an_order(invoices=2)),
            "missing-partial-invoice": fail([missing()], style, an_order(status="handling", invoicedDate=None)),
            "missing-longest-order-id": fail([missing()], style, an_order(LONGEST_ORDER_ID)),
            "no_invoice-returns": fail([a_problem(Code.NO_INVOICE)], style, an_order(invoices=0, returns=1)),
            "resolved": resolve([("643797", KEY)], style=style),
            "resolved-tracking-missing": resolve([("643797", KEY)], WARNINGS, style),
            "resolved-many-invoices": resolve(many, WARNINGS, style),
            "resolved-unsafe-number": resolve(
                [("643797/2", KEY)], [Problem(Code.UNSAFE_NUMBER, "643797/2", KEY)], style
            ),
            **_with_link_or_again(style, many),
        }
        for language, style in (("pt-BR", PT), ("en", EN))
    }


def _with_link_or_again(style: Style, many: list[tuple[str | None, str]]) -> dict[str, Alert]:
    """Return alerts with a link to the desk, and of orders that fail again, the longest among them."""
    again: dict[str, Any] = {"mended_at": MENDED, "desk_link": LINK}
    returned = an_order(invoices=0, returns=1)
    consumer_receipt = [wrong_model("65"), missing("643798"), *WARNINGS]
    return {
        "link-missing": fail([missing()], style, desk_link=LINK),
        "link-missing-everything-at-once": fail(FAILING["missing-everything-at-once"], style, desk_link=LINK),
        "link-resolved-many-invoices": resolve(many, WARNINGS, style, desk_link=LINK),
        "link-expired-key-found-in-xml": give_up(EXPIRED["expired-key-found-in-xml"], style, desk_link=LINK),
        "again-missing": fail([missing()], style, mended_at=MENDED),
        "again-wrong_model-65": fail(consumer_receipt, style, mended_at=MENDED),
        "again-link-wrong_model-65": fail(consumer_receipt, style, **again),
        "again-link-missing-everything-at-once": fail(FAILING["missing-everything-at-once"], style, **again),
        "again-link-no_invoice-returns": fail([a_problem(Code.NO_INVOICE), *WARNINGS], style, returned, **again),
        "again-link-longest-order-id": fail([missing()], style, an_order(LONGEST_ORDER_ID), **again),
    }


GOLDEN_CASES = golden_cases()
GOLDEN_PATHS = [f"{language}/{name}" for language, cases in GOLDEN_CASES.items() for name in cases]


@pytest.mark.parametrize("path", GOLDEN_PATHS)
def test_an_alert_reads_as_its_golden_file(path: str) -> None:
    language, name = path.split("/")
    told = GOLDEN_CASES[language][name]

    assert_golden(f"{path}.txt", f"Subject: {told.subject}\nSMS: {told.sms}\n\n{told.body}\n")


CHAT_NAMES = [
    "missing",
    "missing-key-found-in-xml",
    "malformed-hostile",
    "no_invoice",
    "reused-in-another-order",
    "tracking_missing",
    "resolved-many-invoices",
    "expired",
    "link-missing",
]
CHAT_PATHS = [f"{language}/chat/{name}" for language in LANGUAGES for name in CHAT_NAMES]


@pytest.mark.parametrize("path", CHAT_PATHS)
def test_a_chat_message_reads_as_its_golden_file(path: str) -> None:
    language, _, name = path.split("/")
    message = chat(GOLDEN_CASES[language][name])

    assert_golden(f"{path}.json", json.dumps(message, ensure_ascii=False, indent=2) + "\n")


def chat(told: Alert) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(json.loads(told.message(chat=True))["https"])
    return message


def assert_golden(path: str, text: str) -> None:
    file = GOLDEN / path
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")

    assert text == file.read_text("utf-8")


def test_there_is_no_golden_file_without_its_case() -> None:
    files = [*GOLDEN.glob("*/*.txt"), *GOLDEN.glob("*/chat/*.json")]

    assert {str(file.relative_to(GOLDEN).with_suffix("")) for file in files} == {*GOLDEN_PATHS, *CHAT_PATHS}


def test_both_languages_have_the_same_templates() -> None:
    templates = Path(alert.__file__).parent / "templates"
    portuguese, english = ({file.name for file in (templates / language).iterdir()} for language in LANGUAGES)

    assert portuguese == english


# ---- What every alert keeps

ALERTS = [pytest.param(GOLDEN_CASES[path.split("/")[0]][path.split("/")[1]], id=path) for path in GOLDEN_PATHS]


@pytest.mark.parametrize("told", ALERTS)
def test_the_body_has_eighteen_lines_at_the_most(told: Alert) -> None:
    assert len(lines(told.body)) <= 18


@pytest.mark.parametrize("told", ALERTS)
def test_the_body_has_no_empty_lines_but_single_ones_between_paragraphs(told: Alert) -> None:
    assert "\n\n\n" not in told.body
    assert told.body == told.body.strip()
    assert all(line == line.rstrip() for line in lines(told.body))


@pytest.mark.parametrize("told", ALERTS)
def test_subject_and_text_message_are_short_and_ascii_and_begin_with_the_order(told: Alert) -> None:
    for text, longest in ((told.subject, 99), (told.sms, 140)):
        assert text.isascii()
        assert text.isprintable()
        assert len(text) <= longest
        assert text.startswith((f"{ORDER_ID}: ", f"{LONGEST_ORDER_ID}: "))
    assert not set("[]{}~^|\\`") & set(told.sms)


@pytest.mark.parametrize("told", ALERTS)
def test_only_a_failing_order_is_promised_another_reading_and_always_is(told: Alert) -> None:
    promises = [
        line for line in lines(told.body) if re.search(r"^Vamos verificar .* 15 min|^We will read .* 15 min", line)
    ]

    assert len(promises) == (told.attributes["type"] == "failing")
    assert [line for line in lines(told.body) if re.search(r"\bverificar .* de novo|\bagain in\b", line)] == promises


@pytest.mark.parametrize("told", ALERTS)
def test_the_only_links_are_that_of_the_order_and_that_to_the_desk(told: Alert) -> None:
    links = [link for link in re.findall(r"\S+://\S+", told.body) if link != LINK]

    assert [link.removesuffix(LONGEST_ORDER_ID).removesuffix(ORDER_ID) for link in links] == [
        "https://luxstore.myvtex.com/admin/orders/"
    ]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "name", [path.removeprefix("en/") for path in GOLDEN_PATHS if "en/" in path and "link-" in path]
)
def test_the_link_to_the_desk_is_alone_on_its_line_under_what_it_is_for_and_in_the_chat_too(
    name: str, language: str
) -> None:
    told = GOLDEN_CASES[language][name]

    before = lines(told.body)[lines(told.body).index(LINK) - 1]
    assert before.endswith(":")
    assert LINK in lines(chat(told)["content"]["description"])
    assert LINK not in told.sms


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_a_desk_nothing_is_left_out_for_its_link(language: str) -> None:
    with_notes = FAILING["missing-everything-at-once"]
    style = Style(language)
    watched = texts.watch([p for p in with_notes if p.severity is Severity.WARNING], language, with_numbers=False)

    assert watched in fail(with_notes, style).body
    assert watched not in fail(with_notes, style, desk_link=LINK).body


def test_an_order_that_was_in_order_before_is_told_so_in_the_subject_too() -> None:
    told = fail([missing()], mended_at=MENDED)

    assert told.subject == "VVJ-975102-01: de novo: nota 643797 sem chave de acesso - Casas Bahia"
    assert told.title == "VVJ-975102-01: de novo: nota 643797 sem chave de acesso"
    assert lines(told.body)[1] == "De novo: este pedido já tinha ficado em ordem em 12/02/2026."


def test_where_the_subject_has_no_room_for_again_it_says_what_is_wrong() -> None:
    told = fail([missing()], order=an_order(LONGEST_ORDER_ID), mended_at=MENDED)
    assert told.subject == f"{LONGEST_ORDER_ID}: nota 643797 sem chave de acesso"


@pytest.mark.parametrize("told", ALERTS)
def test_the_message_is_the_json_that_sns_takes(told: Alert) -> None:
    for_people = {"default": told.body, "email": told.body, "sms": told.sms}

    assert json.loads(told.message()) == for_people
    assert json.loads(told.message(chat=True)).items() >= for_people.items()


@pytest.mark.parametrize("told", ALERTS)
def test_the_attributes_are_what_sns_takes(told: Alert) -> None:
    jsonschema.validate(told.attributes, ATTRIBUTES)


# ---- Failing


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", ERRORS)
def test_each_problem_opens_its_alert_in_each_language(code: Code, language: str) -> None:
    problem = a_problem(code)

    told = fail([problem], Style(language))

    first = lines(told.body)[0]
    assert first == texts.opening(problem, ORDER_ID, language)
    assert ORDER_ID in first
    assert problem.invoice_number is None or problem.invoice_number in first
    assert URL in lines(told.body)
    assert told.attributes == {"type": "failing", "account": ACCOUNT, "severity": "error", "codes": [code.value]}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", ERRORS)
def test_each_alert_warns_of_invoicing_again_and_of_input_invoices(code: Code, language: str) -> None:
    warning = {"pt-BR": r"Não (envie|lance) .*fatura.* não crie nota de entrada", "en": r"Do not send .* Input invoice"}

    for told in (fail([a_problem(code)], Style(language)), give_up([a_problem(code)], Style(language))):
        assert re.search(warning[language], told.body)


@pytest.mark.parametrize("source", SuggestionSource)
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", [code for code in KEY_ERRORS if code is not Code.NO_INVOICE])
def test_a_suggested_key_stands_alone_on_its_line(code: Code, language: str, source: SuggestionSource) -> None:
    suggested = "35260311222333000181550010006437981732194052"
    problem = a_problem(code)
    found = Problem(code, "643797", problem.key_as_it_came, Suggestion(suggested, source))

    for told in (fail([found], Style(language)), give_up([found], Style(language))):
        at = lines(told.body).index(suggested)

        assert told.body.count(suggested) == 1
        assert texts.FOUND[source].to(language) in lines(told.body)[at - 1]
        assert "DANFE" in lines(told.body)[at - 1]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", ERRORS)
@pytest.mark.parametrize("suggestion", [None, IN_XML])
def test_the_steps_are_numbered_without_a_gap(code: Code, language: str, suggestion: Suggestion | None) -> None:
    problem = replace(a_problem(code), suggestion=suggestion)

    for told in (fail([problem], Style(language)), give_up([problem], Style(language))):
        steps = [int(number) for number in re.findall(r"^(\d)\. ", told.body, re.MULTILINE)]

        assert len(steps) >= 3
        assert steps == list(range(1, len(steps) + 1))


def test_the_value_in_vtex_is_shown_with_its_blanks() -> None:
    assert "Está na VTEX: «NFe·3526·0311" in fail([malformed(SPACED_KEY)]).body


def test_the_dot_that_stands_for_a_blank_is_explained_where_it_stands() -> None:
    value = {
        style: [line for line in lines(fail([malformed(SPACED_KEY)], style).body) if "«" in line] for style in (PT, EN)
    }

    assert value[PT][0].endswith("·4052» (· = espaço)")
    assert value[EN][0].endswith("·4052» (· = a blank)")
    assert "espaço)" not in fail([malformed("1" * 43)]).body


@pytest.mark.parametrize("value", [{"nome": "Maria"}, ["Maria"], True])
def test_a_value_that_is_no_line_of_text_is_not_shown(value: object) -> None:
    body = fail([malformed(value)]).body

    assert "Está na VTEX:" not in body
    assert "Maria" not in body


@pytest.mark.parametrize("wrap", WRAPPINGS)
def test_an_xml_in_a_field_is_never_repeated_whatever_it_is_wrapped_in(wrap: Wrap) -> None:
    xml = wrap("<dest><CPF>12345678909</CPF><xNome>Maria</xNome></dest>")
    told = fail([Problem(Code.MALFORMED, xml, xml)], order=an_order(marketplaceOrderId=xml))

    assert xml not in told.body
    assert "Maria" not in told.body + told.subject + told.sms
    assert told.body.count("(xml)") == 4
    assert "«(xml)»" in told.body


def test_further_problems_stand_on_one_line_of_bounded_length() -> None:
    told = fail([missing(), *(malformed("1" * 10_000) for _ in range(50))])

    (also,) = [line for line in lines(told.body) if line.startswith("Também: ")]
    assert also.endswith("; e mais 47.")
    assert len(also) < 300
    assert told.attributes["codes"] == ["missing", "malformed"]


def test_the_other_half_of_a_reused_key_is_not_told_twice() -> None:
    pair = [Problem(Code.REUSED, "1", KEY, reused_on="2"), Problem(Code.REUSED, "2", KEY, reused_on="1")]

    assert "Também" not in fail(pair).body
    assert "Também: chave da nota 3" in fail([*pair, Problem(Code.REUSED, "3", KEY, reused_on="1")]).body


def test_warnings_are_told_in_one_line() -> None:
    (told,) = [line for line in lines(fail([missing(), *WARNINGS]).body) if line.startswith("Confira também: ")]

    assert "número de rastreio em branco; transportadora em branco." in told


def test_where_there_is_no_warning_nothing_is_said() -> None:
    assert "Confira também" not in fail([missing()]).body


def test_a_warning_names_its_invoice_where_the_order_has_several() -> None:
    assert "(nota 643797)" not in fail([missing(), *WARNINGS]).body
    assert "em branco (nota 643797)" in fail([missing(), *WARNINGS], order=an_order(invoices=2)).body


@pytest.mark.parametrize("date", [None, "ontem", "0001-01-01T00:00:00", "2026-03-03"])
def test_a_date_that_cannot_be_read_is_left_out(date: str | None) -> None:
    body = fail([missing()], order=an_order(invoicedDate=date)).body

    assert "Loja: luxstore | Pedido na Casas Bahia: 975102-01" in lines(body)


def test_an_order_without_an_id_at_the_marketplace_shows_none() -> None:
    assert "Loja: luxstore | Faturado em" in fail([missing()], order=an_order(marketplaceOrderId=None)).body


def test_dates_are_in_the_time_zone_of_the_shop() -> None:
    assert "Faturado em 03/03/2026 às 10h54" in fail([missing()], Style(timezone="America/Manaus")).body


def test_an_order_that_is_not_invoiced_is_not_said_to_be() -> None:
    body = fail([missing()], order=an_order(status="handling", invoicedDate=None)).body

    assert "Faturado" not in body


@pytest.mark.parametrize(
    ("grace", "told"),
    [(timedelta(minutes=10), "um prazo de 10 min para"), (timedelta(hours=2), "um prazo de 2 h para")],
)
def test_an_absent_invoice_was_given_time_to_appear(grace: timedelta, told: str) -> None:
    assert told in fail([a_problem(Code.NO_INVOICE)], Style(invoice_grace=grace)).body


def test_without_a_grace_none_is_claimed() -> None:
    assert "prazo" not in fail([a_problem(Code.NO_INVOICE)], Style(invoice_grace=timedelta(0))).body


def test_returns_without_a_sale_invoice_are_pointed_out() -> None:
    body = fail([a_problem(Code.NO_INVOICE)], order=an_order(invoices=0, returns=2)).body

    assert "Há nota de devolução neste pedido" in lines(body)[-3]


@pytest.mark.parametrize(
    ("model", "first_step"),
    [
        ("65", "1. Veja no ERP se existe uma NF-e (modelo 55) para este pedido."),
        ("59", "1. Veja no ERP se existe uma NF-e (modelo 55) para este pedido."),
        ("57", "1. Esta chave é do frete, emitida pela transportadora."),
        ("67", "1. Esta chave é do frete, emitida pela transportadora."),
        ("58", "1. Pegue a chave da nota de venda (NF-e, modelo 55)"),
    ],
)
def test_what_to_do_depends_on_the_document_whose_key_it_is(model: str, first_step: str) -> None:
    assert first_step in fail([wrong_model(model)]).body


# ---- A number over which VTEX stumbles

UNSAFE = Problem(Code.UNSAFE_NUMBER, "643797", None)


@pytest.mark.parametrize("code", [code for code in ERRORS if code is not Code.NO_INVOICE])
@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("pt-BR", "É provável que dê erro: o número da nota 643797"),
        ("en", "probably fail: the number of invoice 643797"),
    ],
)
def test_the_step_that_will_probably_fail_says_so_and_what_then(code: Code, language: str, told: str) -> None:
    problem = a_problem(code)
    unsafe = Problem(Code.UNSAFE_NUMBER, problem.invoice_number, problem.key_as_it_came)

    for alert_told in (fail([problem, unsafe], Style(language)), give_up([problem, unsafe], Style(language))):
        (step,) = [line for line in lines(alert_told.body) if told in line]
        assert step.startswith("2. ")
        assert re.search("portal do lojista|seller portal", step)
        assert not re.search("Confira também|Check too", alert_told.body)


def test_another_invoices_number_is_told_as_a_warning() -> None:
    body = fail([missing("643798"), UNSAFE], order=an_order(invoices=2)).body

    assert "provável" not in body
    (told,) = [line for line in lines(body) if line.startswith("Confira também: ")]
    assert told.startswith("Confira também: número da nota com espaço ou barra (nota 643797). ")


def test_neither_subject_nor_text_message_speaks_of_the_number() -> None:
    with_it, without = fail([missing(), UNSAFE]), fail([missing()])

    assert (with_it.subject, with_it.sms) == (without.subject, without.sms)
    assert with_it.attributes["codes"] == ["missing", "unsafe_number"]


def test_a_resolved_order_warns_of_the_number() -> None:
    assert "Atenção: número da nota com espaço ou barra. " in resolve([("643797", KEY)], [UNSAFE]).body


# ---- A key of another order


def test_a_key_of_another_order_names_that_order_wherever_it_is_told() -> None:
    told = fail([reused_in(OTHER_ORDER)])

    assert lines(told.body)[0] == (
        "A chave de acesso da nota 643797 do pedido VVJ-975102-01 é a mesma de uma nota do pedido VVJ-975001-01;"
        " uma das duas está errada."
    )
    assert f"1. Compare no DANFE a nota deste pedido com a do pedido {OTHER_ORDER}" in told.body
    assert told.subject == "VVJ-975102-01: chave da nota 643797 ja esta no pedido VVJ-975001-01 - Casas Bahia"
    assert told.sms.startswith("VVJ-975102-01: chave da nota 643797 ja esta no pedido VVJ-975001-01. ")


def test_a_key_of_another_order_names_it_among_further_problems() -> None:
    assert "Também: chave da nota 643798 já está no pedido VVJ-975001-01." in fail(
        [missing(), reused_in(OTHER_ORDER, "643798")]
    ).body.split("\n")


@pytest.mark.parametrize(
    ("other", "subject"),
    [
        ("W" * 20, "V" * 30 + ": chave da nota 643797 ja esta no pedido " + "W" * 20),
        ("W" * 30, "V" * 30 + ": chave da nota ja esta no pedido " + "W" * 30),
        ("W" * 64, "V" * 30 + ": chave da nota repetida em outra"),
    ],
)
def test_a_long_subject_loses_the_number_then_the_other_order(other: str, subject: str) -> None:
    assert fail([reused_in(other)], order=an_order("V" * 30)).subject == subject


# ---- A good key without tracking number or carrier


def test_a_good_key_without_tracking_number_is_told_as_good() -> None:
    told = fail([overdue(Code.TRACKING_MISSING)])

    assert lines(told.body)[0] == "A nota 643797 do pedido VVJ-975102-01 está na VTEX sem número de rastreio."
    assert lines(told.body)[1].startswith("A chave de acesso dela é válida")
    assert told.subject == "VVJ-975102-01: nota 643797 sem numero de rastreio - Casas Bahia"
    assert told.sms == (
        "VVJ-975102-01: nota 643797 sem numero de rastreio na VTEX."
        " Pode nao passar para enviado na Casas Bahia. Veja o e-mail."
    )
    assert KEY not in told.body
    assert told.attributes["severity"] == "error"
    assert told.attributes["codes"] == ["tracking_missing"]


@pytest.mark.parametrize(
    ("problems", "first_step", "fields"),
    [
        ([overdue(Code.TRACKING_MISSING)], "Pegue o número de rastreio", "preencha Número de rastreio e clique"),
        ([overdue(Code.COURIER_MISSING)], "Veja no ERP qual transportadora", "preencha Transportadora e clique"),
        (
            [overdue(Code.TRACKING_MISSING), Problem(Code.COURIER_MISSING, "643797", KEY)],
            "Veja no ERP qual transportadora leva a mercadoria da nota 643797 e pegue o número de rastreio.",
            "preencha Número de rastreio e Transportadora e clique",
        ),
    ],
)
def test_what_is_lacking_is_what_is_to_be_filled_in(problems: list[Problem], first_step: str, fields: str) -> None:
    body = fail(problems).body

    assert f"1. {first_step}" in body
    assert fields in body


def test_the_carrier_that_is_lacking_too_is_told_once() -> None:
    told = fail([overdue(Code.TRACKING_MISSING), Problem(Code.COURIER_MISSING, "643797", KEY)])

    assert lines(told.body)[0].endswith("está na VTEX sem número de rastreio e sem transportadora.")
    assert "Confira também" not in told.body


def test_the_carrier_of_another_invoice_is_told_as_a_warning() -> None:
    order = an_order(invoices=2)
    told = fail([overdue(Code.TRACKING_MISSING), Problem(Code.COURIER_MISSING, "643798", KEY)], order=order)

    assert lines(told.body)[0].endswith("está na VTEX sem número de rastreio.")
    assert "Confira também: transportadora em branco (nota 643798)." in lines(told.body)


def test_an_overdue_tracking_number_behind_a_bad_key_is_a_further_problem() -> None:
    body = fail([missing(), overdue(Code.TRACKING_MISSING, "643798")]).body

    assert "Também: nota 643798 sem número de rastreio." in lines(body)
    assert "Confira também" not in body


# ---- Subject and text message


@pytest.mark.parametrize(
    ("order_id", "number", "subject"),
    [
        (ORDER_ID, "643797", "VVJ-975102-01: nota 643797 sem chave de acesso - Casas Bahia"),
        ("V" * 60, "643797", "V" * 60 + ": nota 643797 sem chave de acesso"),
        ("V" * 64, "643797890123", "V" * 64 + ": nota sem chave de acesso"),
        (ORDER_ID, None, "VVJ-975102-01: nota sem chave de acesso - Casas Bahia"),
        (ORDER_ID, "№ ünï\n7", "VVJ-975102-01: nota No uni 7 sem chave de acesso - Casas Bahia"),
        (ORDER_ID, "日本", "VVJ-975102-01: nota sem chave de acesso - Casas Bahia"),
    ],
)
def test_a_long_subject_loses_the_shop_then_the_number(order_id: str, number: str | None, subject: str) -> None:
    assert fail([missing(number)], order=an_order(order_id)).subject == subject


@pytest.mark.parametrize(
    ("order_id", "number", "told"),
    [
        (
            ORDER_ID,
            "643797",
            ": nota 643797 sem chave de acesso na VTEX. Pode nao faturar na Casas Bahia. Veja o e-mail.",
        ),
        ("V" * 55, "643797", ": nota 643797 sem chave de acesso na VTEX. Pode nao faturar na Casas Bahia."),
        ("V" * 64, "1" * 20, ": nota 11111111111111111111 sem chave de acesso na VTEX."),
    ],
)
def test_a_long_text_message_loses_the_e_mail_then_the_shop(order_id: str, number: str, told: str) -> None:
    assert fail([missing(number)], order=an_order(order_id)).sms == order_id + told


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", ERRORS)
def test_the_longest_order_id_and_the_problem_always_stay(code: Code, language: str) -> None:
    told = fail([a_problem(code, "9" * 30)], Style(language), an_order(LONGEST_ORDER_ID))

    for text in (told.subject, told.sms):
        assert text.startswith(LONGEST_ORDER_ID + ": ")
        words = texts.ascii_only(texts.headline(code, None, language)).split()
        assert [word for word in words if word in text.split(": ")[1]] == words


# ---- Resolved


def test_a_resolved_order_is_told_with_its_keys_and_how_long_it_took() -> None:
    told = resolve([("643797", KEY)])

    assert told.subject == "VVJ-975102-01: chave de acesso em ordem na VTEX - Casas Bahia"
    assert told.sms == "VVJ-975102-01: chave de acesso em ordem na VTEX. Confirme na Casas Bahia se o pedido andou."
    assert "Ficou 3 h 20 min em aberto: das 11h54 às 15h14 de 03/03/2026." in lines(told.body)
    assert KEY in lines(told.body)
    assert told.attributes == {"type": "resolved", "account": ACCOUNT, "severity": "info"}


def test_a_resolved_order_with_warnings_is_a_warning() -> None:
    told = resolve([("643797", KEY)], WARNINGS)

    assert told.attributes["severity"] == "warning"
    assert told.attributes["codes"] == ["tracking_missing", "courier_missing"]
    assert "Atenção: número de rastreio em branco" in told.body


@pytest.mark.parametrize(("invoices", "more"), [(3, ""), (4, "E mais 1."), (100, "E mais 97.")])
def test_three_keys_are_told_and_how_many_more_there_are(invoices: int, more: str) -> None:
    body = resolve([(None, KEY)] * invoices).body

    assert lines(body).count(KEY) == 3
    assert lines(body).count("Nota sem número, chave:") == 3
    assert more in lines(body)


# ---- Expired


def test_a_failure_that_is_given_up_is_told_a_last_time() -> None:
    told = give_up([missing(), *WARNINGS])

    assert lines(told.body)[:2] == [
        "O pedido VVJ-975102-01 não foi corrigido em 30 dias e não será mais acompanhado. Este é o último aviso.",
        "A nota 643797 do pedido VVJ-975102-01 está na VTEX sem a chave de acesso da NF-e.",
    ]
    assert "Em aberto desde 03/03/2026 às 11h54" in told.body
    assert told.subject == "VVJ-975102-01: ULTIMO AVISO: 30 dias sem correcao - Casas Bahia"
    assert told.sms == "VVJ-975102-01: ULTIMO AVISO: 30 dias sem correcao. Nao sera mais acompanhado. Veja o e-mail."
    codes = ["missing", "tracking_missing", "courier_missing"]
    assert told.attributes == {"type": "expired", "account": ACCOUNT, "severity": "error", "codes": codes}


@pytest.mark.parametrize(
    ("days", "age"), [(30, "30 dias"), (45.9, "45 dias"), (1, "1 dia"), (0.5, "12 h"), (0, "menos de 1 h")]
)
def test_how_long_it_was_open_is_counted(days: float, age: str) -> None:
    assert f"não foi corrigido em {age} e" in give_up([missing()], days=days).body


def test_a_long_subject_loses_the_shop_then_the_days() -> None:
    subjects = [give_up([missing()], order=an_order("V" * length)).subject for length in (55, 63, 64)]

    assert subjects == [
        "V" * 55 + ": ULTIMO AVISO: 30 dias sem correcao",
        "V" * 63 + ": ULTIMO AVISO: 30 dias sem correcao",
        "V" * 64 + ": ULTIMO AVISO: sem correcao",
    ]


# ---- Chat


@pytest.mark.parametrize("told", ALERTS)
def test_a_chat_message_has_the_form_that_amazon_takes(told: Alert) -> None:
    message = chat(told)

    assert {**message, "content": ..., "metadata": ...} == {
        "version": "1.0", "source": "custom", "content": ..., "metadata": ...
    }  # fmt: skip
    assert message["content"].keys() - {"nextSteps"} == {"textType", "title", "description"}
    assert message["content"]["textType"] == "client-markdown"
    assert message["metadata"].keys() == {"threadId", "summary", "eventType", "additionalContext"}
    assert message == ChatMessage.model_validate(message).model_dump(by_alias=True, mode="json", exclude_none=True)


@pytest.mark.parametrize("told", ALERTS)
def test_a_chat_message_shows_nothing_that_the_e_mail_does_not(told: Alert) -> None:
    content = chat(told)["content"]
    shown = [*content["description"].split("\n"), *content.get("nextSteps", [])]
    e_mail = re.sub(r"\s+", " ", texts.without_markup(told.body))

    assert told.title.startswith(f"{told.order_id}: ")
    for line in shown:
        assert line.strip("`") in e_mail


@pytest.mark.parametrize("told", ALERTS)
def test_a_chat_message_loses_nothing_of_the_e_mail_but_the_numbers_of_the_steps(told: Alert) -> None:
    content = chat(told)["content"]
    shown = " ".join([content["description"], *content.get("nextSteps", [])]).replace("`", "")
    heading = texts.TO_DO

    for line in lines(texts.without_markup(told.body)):
        assert line in heading or re.sub(r"^\d\. ", "", line).strip() in shown


def test_the_steps_are_the_next_steps_and_the_key_is_there_to_be_copied() -> None:
    content = chat(fail([missing(suggestion=IN_XML)]))["content"]

    assert f"compare com o DANFE antes de usar:\n`{KEY}`\n" in content["description"]
    assert URL in lines(content["description"])
    assert [step.split()[0] for step in content["nextSteps"]] == ["No", "Em", "Veja"]


def test_a_step_of_two_lines_is_one_next_step() -> None:
    steps = chat(fail([a_problem(Code.NO_INVOICE)]))["content"]["nextSteps"]

    assert len(steps) == 4
    assert "clique em Salvar. Depois, em Marketplace" in steps[1]


def test_what_becomes_of_an_order_is_told_in_the_thread_of_its_alert() -> None:
    told = [fail([missing()]), resolve([("643797", KEY)]), give_up([missing()])]

    assert {alert.thread for alert in told} == {f"{ACCOUNT}:{ORDER_ID}"}
    assert {chat(alert)["metadata"]["threadId"] for alert in told} == {f"{ACCOUNT}:{ORDER_ID}"}


def test_a_button_in_the_chat_gets_what_the_filters_get_and_the_order() -> None:
    metadata = chat(fail([missing(), *WARNINGS]))["metadata"]

    assert metadata["summary"] == "A nota 643797 do pedido VVJ-975102-01 está na VTEX sem a chave de acesso da NF-e."
    assert metadata["eventType"] == "failing"
    assert metadata["additionalContext"] == {
        "type": "failing", "account": ACCOUNT, "severity": "error", "order_id": ORDER_ID,
        "codes": "missing,tracking_missing,courier_missing",
    }  # fmt: skip


def test_foreign_text_has_no_markup_in_a_chat() -> None:
    content = chat(fail([Problem(Code.MALFORMED, "*6*_4_", "~[1](2)~ `3`")]))["content"]

    assert "Está na VTEX: «∼(1)(2)∼·´3´» (· = espaço)" in lines(content["description"])
    assert "chave da nota ∗6∗ˍ4ˍ fora do formato" in content["title"]


# ---- Cold starts


def test_orders_without_fault_do_not_pay_for_the_templates() -> None:
    program = "import sys, invoicekey.messages.alert; print('jinja2' in sys.modules)"
    path = str(Path(alert.__file__).parents[2])

    told = subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": path}, capture_output=True, check=True)

    assert told.stdout.decode().strip() == "False"
