"""The alerts that people get. tests/golden/alerts holds each kind to be read: UPDATE_GOLDEN=1 writes them anew."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from invoicekey import alert, texts
from invoicekey.alert import Alert, Style
from invoicekey.order import Order
from invoicekey.texts import LANGUAGES
from invoicekey.verdict import Code, Problem, Severity, Suggestion, SuggestionSource
from tests.keys import make_key, with_right_check_digit

GOLDEN = Path(__file__).parents[1] / "golden" / "alerts"

ACCOUNT = "luxstore"
ORDER_ID = "VVJ-975102-01"
LONGEST_ORDER_ID = "VVJ-" + "9" * 57 + "-01"
URL = "https://luxstore.myvtex.com/admin/orders/VVJ-975102-01"
KEY = "35260311222333000181550010006437971732194052"
NFCE_KEY = "35260311222333000181650010000188421509372162"
SPACED_KEY = "NFe 3526 0311 2223 3300 0181 5500 1000 6437 9717 3219 4052"
OPENED = datetime(2026, 3, 3, 14, 54, tzinfo=UTC)
ERRORS = [code for code in Code if code.severity is Severity.ERROR]
PT, EN = Style("pt-BR"), Style("en")

ATTRIBUTES: dict[str, Any] = {
    "type": "object",
    "properties": {
        "type": {"enum": ["failing", "resolved"]},
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
}
"""For each error a key that has it."""


def a_problem(code: Code, number: str | None = "643797") -> Problem:
    if code is Code.NO_INVOICE:
        number = None
    return Problem(code, number, KEYS[code], reused_on="643798" if code is Code.REUSED else None)


def missing(number: str | None = "643797", suggestion: Suggestion | None = None) -> Problem:
    return Problem(Code.MISSING, number, None, suggestion)


def malformed(key: object, suggestion: str | None = None) -> Problem:
    found = Suggestion(suggestion, SuggestionSource.CLEANED) if suggestion else None
    return Problem(Code.MALFORMED, "643797", key, found)


def wrong_model(model: str, suggestion: Suggestion | None = None) -> Problem:
    key = with_right_check_digit(NFCE_KEY[:20] + model + NFCE_KEY[22:])
    return Problem(Code.WRONG_MODEL, "18842", key, suggestion)


def fail(problems: Sequence[Problem], style: Style = PT, order: Order | None = None) -> Alert:
    return alert.failing(ACCOUNT, order or an_order(), problems, style)


def resolve(keys: Sequence[tuple[str | None, str]], warnings: Sequence[Problem] = (), style: Style = PT) -> Alert:
    order, closed = an_order(invoices=len(keys)), OPENED + timedelta(minutes=200)
    return alert.resolved(ACCOUNT, order, keys, warnings, opened_at=OPENED, now=closed, style=style)


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
        *(a_problem(code, f"64379{number}") for number, code in enumerate(ERRORS[:6])),
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
    **{code.value: [a_problem(code)] for code in ERRORS if code.startswith("invalid_")},
    "wrong_model-65-consumer-receipt": [wrong_model("65")],
    "wrong_model-65-nfe-found": [wrong_model("65", IN_XML)],
    "wrong_model-59-sat": [wrong_model("59")],
    "wrong_model-57-freight": [wrong_model("57")],
    "wrong_model-58-other": [wrong_model("58"), *WARNINGS],
    "issuer_mismatch": [a_problem(Code.ISSUER_MISMATCH)],
    "reused": [a_problem(Code.REUSED), Problem(Code.REUSED, "643798", KEY, reused_on="643797")],
    "no_invoice": [a_problem(Code.NO_INVOICE)],
}


def golden_cases() -> dict[str, dict[str, Alert]]:
    many = [(str(number), KEY) for number in range(643797, 643802)]
    return {
        language: {
            **{name: fail(problems, style) for name, problems in FAILING.items()},
            "missing-partial-invoice": fail([missing()], style, an_order(status="handling", invoicedDate=None)),
            "missing-longest-order-id": fail([missing()], style, an_order(LONGEST_ORDER_ID)),
            "no_invoice-returns": fail([a_problem(Code.NO_INVOICE)], style, an_order(invoices=0, returns=1)),
            "resolved": resolve([("643797", KEY)], style=style),
            "resolved-tracking-missing": resolve([("643797", KEY)], WARNINGS, style),
            "resolved-many-invoices": resolve(many, WARNINGS, style),
        }
        for language, style in (("pt-BR", PT), ("en", EN))
    }


GOLDEN_CASES = golden_cases()
GOLDEN_PATHS = [f"{language}/{name}" for language, cases in GOLDEN_CASES.items() for name in cases]


@pytest.mark.parametrize("path", GOLDEN_PATHS)
def test_an_alert_reads_as_its_golden_file(path: str) -> None:
    language, name = path.split("/")
    told = GOLDEN_CASES[language][name]
    text = f"Subject: {told.subject}\nSMS: {told.sms}\n\n{told.body}\n"
    file = GOLDEN / f"{path}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")

    assert text == file.read_text("utf-8")


def test_there_is_no_golden_file_without_its_case() -> None:
    assert {str(file.relative_to(GOLDEN).with_suffix("")) for file in GOLDEN.rglob("*.txt")} == set(GOLDEN_PATHS)


def test_both_languages_have_the_same_templates() -> None:
    templates = Path(alert.__file__).parent / "templates"
    portuguese, english = ({file.name for file in (templates / language).iterdir()} for language in LANGUAGES)

    assert portuguese == english


# ---- What every alert keeps

ALERTS = [pytest.param(GOLDEN_CASES[path.split("/")[0]][path.split("/")[1]], id=path) for path in GOLDEN_PATHS]


@pytest.mark.parametrize("told", ALERTS)
def test_the_body_has_eighteen_lines_at_the_most(told: Alert) -> None:
    room_for_one_more = 1 if told.attributes["type"] == "failing" else 0

    assert len(lines(told.body)) + room_for_one_more <= 18


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
def test_nothing_promises_to_look_again(told: Alert) -> None:
    assert not re.search(r"reler|releremos|relemos|\d+ minut|check again|read .* again", told.body, re.IGNORECASE)


@pytest.mark.parametrize("told", ALERTS)
def test_the_only_link_is_that_of_the_order(told: Alert) -> None:
    links = re.findall(r"\S+://\S+", told.body)

    assert [link.removesuffix(LONGEST_ORDER_ID).removesuffix(ORDER_ID) for link in links] == [
        "https://luxstore.myvtex.com/admin/orders/"
    ]


@pytest.mark.parametrize("told", ALERTS)
def test_the_message_is_the_json_that_sns_takes(told: Alert) -> None:
    assert json.loads(told.message()) == {"default": told.body, "email": told.body, "sms": told.sms}


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

    assert re.search(warning[language], fail([a_problem(code)], Style(language)).body)


@pytest.mark.parametrize("source", SuggestionSource)
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", [code for code in ERRORS if code is not Code.NO_INVOICE])
def test_a_suggested_key_stands_alone_on_its_line(code: Code, language: str, source: SuggestionSource) -> None:
    suggested = "35260311222333000181550010006437981732194052"
    problem = a_problem(code)
    told = fail([Problem(code, "643797", problem.key_as_it_came, Suggestion(suggested, source))], Style(language))

    at = lines(told.body).index(suggested)

    assert told.body.count(suggested) == 1
    assert texts.FOUND[source].to(language) in lines(told.body)[at - 1]
    assert "DANFE" in lines(told.body)[at - 1]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", ERRORS)
@pytest.mark.parametrize("suggestion", [None, IN_XML])
def test_the_steps_are_numbered_without_a_gap(code: Code, language: str, suggestion: Suggestion | None) -> None:
    problem = a_problem(code)
    told = fail([Problem(code, "643797", problem.key_as_it_came, suggestion)], Style(language))

    steps = [int(number) for number in re.findall(r"^(\d)\. ", told.body, re.MULTILINE)]

    assert len(steps) >= 3
    assert steps == list(range(1, len(steps) + 1))


def test_the_value_in_vtex_is_shown_with_its_blanks() -> None:
    assert "Está na VTEX: «NFe·3526·0311" in fail([malformed(SPACED_KEY)]).body


@pytest.mark.parametrize("value", [{"nome": "Maria"}, ["Maria"], True])
def test_a_value_that_is_no_line_of_text_is_not_shown(value: object) -> None:
    body = fail([malformed(value)]).body

    assert "Está na VTEX:" not in body
    assert "Maria" not in body


def test_an_xml_in_a_field_is_never_repeated() -> None:
    xml = "<dest><xNome>Maria</xNome></dest>"
    told = fail([Problem(Code.MALFORMED, xml, xml)], order=an_order(marketplaceOrderId=xml))

    assert "Maria" not in told.body + told.subject + told.sms
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
    assert "Faturado em 03/03/2026, 10h54" in fail([missing()], Style(timezone="America/Manaus")).body


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

    assert "Há nota de devolução neste pedido" in lines(body)[-2]


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
    assert "Ficou 3 h 20 min em aberto: de 03/03/2026, 11h54, até 15h14." in lines(told.body)
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


# ---- Cold starts


def test_orders_without_fault_do_not_pay_for_the_templates() -> None:
    program = "import sys, invoicekey.alert; print('jinja2' in sys.modules)"
    path = str(Path(alert.__file__).parents[1])

    told = subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": path}, capture_output=True, check=True)

    assert told.stdout.decode().strip() == "False"
