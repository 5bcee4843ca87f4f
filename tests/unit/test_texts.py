import doctest
import string
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from invoicekey.messages import texts
from invoicekey.messages.texts import LANGUAGES, UNSAID, Headline, Said
from invoicekey.rules.access_key import Mangling
from invoicekey.rules.verdict import Code, Problem, Severity, SuggestionSource
from tests.vtex_facts import FACTS
from tests.wrappings import WRAPPINGS, Wrap

ORDER = "VVJ-975102-01"
KEY = "35260311222333000181550010006437971732194052"
ERRORS = [code for code in Code if code.severity is Severity.ERROR]
WARNINGS = [code for code in Code if code.severity is Severity.WARNING]
OVERDUE = [Code.TRACKING_MISSING, Code.COURIER_MISSING]
"""Warnings that become errors in time."""
NBSP, ZERO_WIDTH_SPACE, RIGHT_TO_LEFT, ACUTE = "\u00a0", "\u200b", "\u202e", "\u0301"


def message(code: Code, number: str | None = "643797", key: object = KEY, language: str = "pt-BR") -> str:
    return texts.problem_message(Problem(code, number, key, reused_on="643798"), ORDER, language)


def malformed(key: object, language: str = "pt-BR") -> str:
    return message(Code.MALFORMED, key=key, language=language)


def all_said(value: object) -> Iterator[Said]:
    """What a variable of the module says: a phrase, or all phrases of a headline or a table."""
    if isinstance(value, Said):
        yield from () if value is UNSAID else (value,)
    elif isinstance(value, tuple | Mapping):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from all_said(part)


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(texts).failed == 0


class TestLanguages:
    @pytest.mark.parametrize(
        ("form", "codes"),
        [
            ("sentence", list(Code)),
            ("headline", [*ERRORS, *OVERDUE]),
            ("tallied", [*ERRORS, *OVERDUE]),
            ("watched", WARNINGS),
        ],
    )
    def test_there_is_a_phrase_for_each_code(self, form: str, codes: list[Code]) -> None:
        said = [code for code, phrases in texts.PHRASES.items() if getattr(phrases, form) is not UNSAID]
        assert set(said) == set(codes)

    def test_there_is_a_phrase_for_each_source_of_a_key_and_each_mangling(self) -> None:
        assert set(texts.FOUND) == set(SuggestionSource)
        assert texts.WHOLES.keys() | texts.PARTS.keys() == set(Mangling)

    def test_both_languages_of_a_phrase_say_the_same_things(self) -> None:
        phrases = [said for value in vars(texts).values() for said in all_said(value)]

        assert len(phrases) > 120
        for said in phrases:
            assert all(map(str.strip, said))
            assert fields(said.pt) == fields(said.en), said

    @pytest.mark.parametrize("code", Code)
    def test_each_problem_is_told_in_each_language(self, code: Code) -> None:
        told = {language: message(code, language=language) for language in LANGUAGES}

        assert len(set(told.values())) == len(LANGUAGES)
        for sentence in told.values():
            assert sentence.endswith(".")
            assert "{" not in sentence
            assert "None" not in sentence
            assert sentence.count(".") == 1

    def test_an_unknown_language_is_refused(self) -> None:
        with pytest.raises(ValueError, match="not in tuple"):
            message(Code.MISSING, language="es")


def fields(phrase: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(phrase) if name}


class TestMessage:
    def test_it_names_the_invoice(self) -> None:
        assert message(Code.MISSING) == "A nota 643797 está sem a chave de acesso da NF-e."
        assert message(Code.MISSING, language="en") == "Invoice 643797 has no NF-e access key."

    def test_an_invoice_without_a_number_is_some_invoice(self) -> None:
        assert message(Code.MISSING, None) == "Uma nota está sem a chave de acesso da NF-e."
        assert message(Code.INVALID_NUMBER, None).startswith("A chave de acesso de uma nota traz")

    def test_a_reused_key_names_both_invoices(self) -> None:
        assert "da nota 643797 é a mesma da nota 643798" in message(Code.REUSED)

    def test_a_reused_key_names_the_other_order_where_it_is_of_one(self) -> None:
        problem = Problem(Code.REUSED, "643797", KEY, reused_in="VVJ-1-01")

        assert texts.problem_message(problem, ORDER, "pt-BR") == (
            "A chave de acesso da nota 643797 é a mesma de uma nota do pedido VVJ-1-01; uma das duas está errada."
        )
        assert "that of an invoice of order VVJ-1-01;" in texts.problem_message(problem, ORDER, "en")

    def test_an_order_without_invoice_is_named(self) -> None:
        assert message(Code.NO_INVOICE, None, None).startswith(f"O pedido {ORDER} está Faturado na VTEX")

    @pytest.mark.parametrize(
        ("model", "document"),
        [
            ("65", "de uma NFC-e (cupom de consumidor, modelo 65)"),
            ("59", "de um cupom CF-e SAT (modelo 59)"),
            ("57", "do conhecimento de transporte (CT-e, modelo 57)"),
            ("67", "do conhecimento de transporte (CT-e OS, modelo 67)"),
            ("58", "de outro documento (MDF-e, modelo 58)"),
            ("01", "de um documento de modelo 01"),
        ],
    )
    def test_a_key_of_another_document_names_it(self, model: str, document: str) -> None:
        assert f" é {document}." in message(Code.WRONG_MODEL, key=KEY[:20] + model + KEY[22:])


class TestMalformed:
    @pytest.mark.parametrize(
        ("key", "told"),
        [
            (f"NFe {KEY[:4]} {KEY[4:]}", "foi gravada fora do formato: tem o prefixo NFe e espaços."),
            (f"nfe{KEY}", "foi gravada fora do formato: tem o prefixo NFe."),
            (f"NF-e{KEY}", "foi gravada fora do formato: tem o prefixo NFe e pontuação."),
            (f"Chave: {KEY}", "foi gravada fora do formato: tem letras na frente, pontuação e espaços."),
            (f"CFe{KEY}", "foi gravada fora do formato: tem letras na frente."),
            (f"{KEY}\n", "foi gravada fora do formato: tem espaços."),
            (f"{KEY[:4]}.{KEY[4:]}", "foi gravada fora do formato: tem pontuação."),
            (f"NFe{KEY[:4]}-{KEY[4:9]} {KEY[9:]}", "tem o prefixo NFe, pontuação e espaços."),
            (
                KEY[:30] + " " + KEY[31:],
                "foi gravada fora do formato: tem espaços e caracteres a menos (o certo são 44).",
            ),
            ("35260712abc34501DE35550010000001231123456787", "fora do formato: tem letras minúsculas."),
            (KEY[:30] + "O" + KEY[31:], "fora do formato: tem caracteres fora do lugar."),
            (KEY[:43], "da nota 643797 tem só 43 dos 44 caracteres."),
            ("0", "da nota 643797 tem só 1 dos 44 caracteres."),
            (KEY + "1", "da nota 643797 tem 45 caracteres; o certo são 44."),
            ("1" * 10_000, "da nota 643797 tem 10000 caracteres; o certo são 44."),
            ("3.52E+43", "foi alterada por uma planilha e perdeu dígitos"),
            ("3,52e43", "foi alterada por uma planilha e perdeu dígitos"),
            ("135260000000001", "parece ter sido trocada pelo protocolo de autorização (15 ou 17 dígitos)."),
            ("13526000000000001", "parece ter sido trocada pelo protocolo de autorização (15 ou 17 dígitos)."),
            ("1" * 50, "parece ser de uma nota de serviço (NFS-e, 50 dígitos)"),
            ("<nfeProc/>", "não está no campo: no lugar dela há um XML."),
            (f"https://www.nfe.fazenda.gov.br/?chNFe={KEY}", "no lugar dela há um endereço de página."),
            ("isento", "não está no campo: o que há no lugar dela não tem nenhum dígito."),
            (3.5e43, "não foi gravada como texto."),
            ([KEY], "não foi gravada como texto."),
        ],
    )
    def test_it_is_told_what_is_wrong_with_the_value(self, key: object, told: str) -> None:
        assert told in malformed(key)

    def test_english_lists_things_in_its_own_way(self) -> None:
        told = malformed(f"NFe{KEY[:4]}-{KEY[4:9]} {KEY[9:]}", "en")

        assert told.endswith("it has the prefix NFe, punctuation and spaces.")


class TestForeignText:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("643797", "643797"),
            ("NFE-2026-001234", "NFE-2026-001234"),
            ("30.711/1", "30.711/1"),
            ("64\n\n37\t97", "64 37 97"),
            (f"64{ZERO_WIDTH_SPACE}37", "64 37"),
            (f"64{RIGHT_TO_LEFT}37", "64 37"),
            ("נותן1", "????1"),
            (f"64{ACUTE * 3}37", "64???37"),
            (f"se{ACUTE}rie 1", "série 1"),
            ("1" * 20, "1" * 20),
            ("1" * 21, "1" * 19 + "…"),
            ("1" * 10_000, "1" * 19 + "…"),
            ("<nNF>1</nNF>", "(xml)"),
            ("\uff1cnNF\uff1e", "(xml)"),
            ("ana@example.com", "(e-mail)"),
            ("https://example.com/1", "(url)"),
            ("example.com/1", "(url)"),
            ("example\uff0ecom", "(url)"),
            ("12.ABC.345", "12.ABC.345"),
            (ZERO_WIDTH_SPACE, None),
            ("", None),
            (None, None),
        ],
    )
    def test_an_invoice_number_is_one_short_line_and_no_link(self, text: str | None, shown: str | None) -> None:
        assert texts.number_shown(text) == shown

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            (f"NFe {KEY}", f"«NFe·{KEY}»"),
            (f"\t{KEY}{NBSP}{ZERO_WIDTH_SPACE}\r\n", f"«·{KEY}····»"),
            ("«1»", "«‹1›»"),
            ("1" * 60, f"«{'1' * 60}»"),
            ("1" * 61, f"«{'1' * 59}…»"),
            (f"1{RIGHT_TO_LEFT}2", "«1·2»"),
            ("(xml)", "«(xml)»"),
            ("<nfeProc>", "«(xml)»"),
            (f"https://example.com/?chNFe={KEY}", "«(url)»"),
            ("3526.0712.ABC3.4501", "«3526.0712.ABC3.4501»"),
        ],
    )
    def test_a_value_is_quoted_with_its_blanks_to_be_seen(self, text: str, shown: str) -> None:
        assert texts.quoted(text, "pt-BR").removesuffix(" (· = espaço)") == shown

    @pytest.mark.parametrize("wrap", WRAPPINGS)
    def test_an_xml_is_not_shown_whatever_it_is_wrapped_in(self, wrap: Wrap) -> None:
        xml = wrap("<dest><CPF>12345678909</CPF><xNome>Maria</xNome></dest>")

        assert texts.number_shown(xml) == "(xml)"
        assert texts.order_shown(xml) == "(xml)"
        assert texts.quoted(xml, "pt-BR") == "«(xml)»"
        assert malformed(xml).endswith("não está no campo: no lugar dela há um XML.")

    def test_another_order_is_one_line_of_64_characters(self) -> None:
        assert texts.order_shown("V" * 64) == "V" * 64
        assert texts.order_shown("V\n" * 65) == "V " * 31 + "V…"
        assert texts.order_shown(None) is None

    @pytest.mark.parametrize("order_id", [*FACTS.order_ids, "VVJ-1.abc", "a..", "A" * 64])
    def test_another_order_s_id_is_told_as_it_is_though_it_looks_like_an_address(self, order_id: str) -> None:
        assert texts.order_shown(order_id) == order_id

    def test_a_chat_finds_no_markup_and_every_address(self) -> None:
        told = texts.without_markup("*1* _2_ ~3~ `4` [5](6) https://a.example/b_c*d")

        assert told == "∗1∗ ˍ2ˍ ∼3∼ ´4´ (5)(6) https://a.example/b_c*d"

    def test_a_chat_shows_an_order_id_so_that_it_can_be_copied(self) -> None:
        told = texts.without_markup("MZN-701-2345678_DBA: a_b _c_ d__e")

        assert told == "MZN-701-2345678_DBA: a_b ˍcˍ dˍˍe"

    def test_ascii_drops_accents_and_what_costs_two_places_in_a_text_message(self) -> None:
        assert texts.ascii_only("não é visível: «1» [2]{3}~^|\\` 4…") == "nao e visivel: 1 2 3 4..."


class TestLists:
    def test_three_further_problems_are_told_and_how_many_more_there_are(self) -> None:
        problems = [Problem(Code.MISSING, str(number)) for number in range(1, 6)]

        assert texts.also(problems, "pt-BR") == (
            "nota 1 sem chave de acesso; nota 2 sem chave de acesso; nota 3 sem chave de acesso; e mais 2"
        )
        assert texts.also(problems[:4], "en").endswith("; and 1 more")
        assert texts.also([], "en") == ""

    def test_warnings_are_told_once_each_with_the_invoices(self) -> None:
        warnings = [Problem(Code.TRACKING_MISSING, str(number)) for number in range(1, 5)]
        warnings.append(Problem(Code.NUMBER_MISMATCH, "1"))

        assert texts.watch(warnings, "pt-BR", with_numbers=True) == (
            "número de rastreio em branco (notas 1, 2 e mais 2);"
            " número da nota diferente do que está na chave (nota 1)."
            " Sem rastreio e transportadora, o pedido pode não passar para enviado na Casas Bahia."
        )
        assert texts.watch(warnings[4:], "en", with_numbers=False) == "invoice number other than the one in the key."
        assert texts.watch([], "en", with_numbers=True) == ""

    def test_what_warnings_come_to_is_left_to_who_tells_it_better(self) -> None:
        warnings = [Problem(Code.COURIER_MISSING, "1")]

        assert texts.watch(warnings, "en", with_numbers=False, with_consequence=False) == "no carrier."

    def test_a_number_over_which_vtex_stumbles_is_told_with_what_it_comes_to(self) -> None:
        warnings = [Problem(Code.UNSAFE_NUMBER, "643797/2"), Problem(Code.TRACKING_MISSING, "643798")]

        assert texts.watch(warnings, "pt-BR", with_numbers=True) == (
            "número da nota com espaço ou barra (nota 643797/2); número de rastreio em branco (nota 643798)."
            " Sem rastreio e transportadora, o pedido pode não passar para enviado na Casas Bahia."
            " Com espaço ou barra (/) no número da nota, a VTEX costuma dar erro ao salvar o rastreio:"
            " peça a quem cuida do ERP números sem espaço nem barra."
        )
        assert "VTEX" not in texts.watch(warnings[1:], "pt-BR", with_numbers=True)

    @pytest.mark.parametrize(("count", "told"), [(0, "0 dias"), (1, "um dia"), (2, "2 dias")])
    def test_one_is_told_otherwise_than_any_other_number(self, count: int, told: str) -> None:
        days = Headline(Said("{count} {unit}{shop}", ""), Said("há {count}", ""), Said("um dia{shop}", ""))

        assert days.ways("pt-BR", count, unit="dias") == [f"{told} Casas Bahia", told, f"há {count}"]


class TestTime:
    @pytest.mark.parametrize(
        ("text", "read"),
        [
            ("2026-03-03T14:54:00.5436574+00:00", datetime(2026, 3, 3, 14, 54, 0, 543657, UTC)),
            ("2026-03-03T14:54:00.5436574", datetime(2026, 3, 3, 14, 54, 0, 543657, UTC)),
            ("2026-03-03T14:54:00Z", datetime(2026, 3, 3, 14, 54, tzinfo=UTC)),
            ("2026-03-03T11:54:00-03:00", datetime(2026, 3, 3, 14, 54, tzinfo=UTC)),
            ("2026-03-03", None),
            ("0001-01-01T00:00:00", None),
            ("9999-12-31T23:59:59-12:00", None),
            ("ontem", None),
            ("", None),
            (None, None),
        ],
    )
    def test_a_date_of_vtex_is_read(self, text: str | None, read: datetime | None) -> None:
        assert texts.moment(text) == read

    def test_dates_are_written_on_the_clocks_of_the_shop(self) -> None:
        when = texts.local(datetime(2026, 3, 3, 2, 4, tzinfo=UTC), "America/Sao_Paulo")

        assert texts.date(when, "pt-BR") == "02/03/2026 às 23h04"
        assert texts.date(when, "en") == "2 Mar 2026, 23:04"

    @pytest.mark.parametrize(
        ("hour", "minute", "date", "since"),
        [
            (0, 5, "03/03/2026 à 0h05", "desde a 0h05"),
            (1, 0, "03/03/2026 à 1h", "desde a 1h"),
            (2, 0, "03/03/2026 às 2h", "desde as 2h"),
            (14, 5, "03/03/2026 às 14h05", "desde as 14h05"),
        ],
    )
    def test_a_time_is_written_as_it_is_spoken(self, hour: int, minute: int, date: str, since: str) -> None:
        when = datetime(2026, 3, 3, hour, minute, tzinfo=UTC)

        assert texts.date(when, "pt-BR") == date
        assert texts.since(when, "pt-BR") == since
        assert texts.since(when, "en") == f"since {when:%H:%M}"

    def test_a_period_names_the_day_once_where_it_is_one(self) -> None:
        opened = datetime(2026, 3, 3, 11, 54, tzinfo=UTC)

        assert texts.period(opened, opened + timedelta(minutes=200), "pt-BR") == "das 11h54 às 15h14 de 03/03/2026"
        assert (
            texts.period(opened, opened + timedelta(days=1), "pt-BR")
            == "de 03/03/2026 às 11h54 até 04/03/2026 às 11h54"
        )
        assert texts.period(opened, opened + timedelta(days=1), "en") == "from 3 Mar 2026, 11:54 to 4 Mar 2026, 11:54"

    @pytest.mark.parametrize(
        ("span", "written"),
        [
            (timedelta(minutes=200), "3 h 20 min"),
            (timedelta(minutes=10), "10 min"),
            (timedelta(hours=2, seconds=59), "2 h"),
            (timedelta(days=1, minutes=5), "1 dia"),
            (timedelta(days=2, hours=3, minutes=5), "2 dias 3 h"),
            (timedelta(seconds=59), "menos de 1 min"),
            (timedelta(seconds=-1), "menos de 1 min"),
        ],
    )
    def test_a_span_of_time_is_written_in_its_two_largest_units(self, span: timedelta, written: str) -> None:
        assert texts.duration(span, "pt-BR") == written

    @pytest.mark.parametrize(
        ("span", "written"),
        [
            (timedelta(days=-1), "menos de 1 h"),
            (timedelta(minutes=59), "menos de 1 h"),
            (timedelta(hours=1), "1 h"),
            (timedelta(hours=23, minutes=59), "23 h"),
            (timedelta(days=1), "1 dia"),
            (timedelta(days=30, hours=5), "30 dias"),
        ],
    )
    def test_an_age_is_written_in_days_or_in_hours(self, span: timedelta, written: str) -> None:
        assert texts.age(span, "pt-BR") == written

    @pytest.mark.parametrize(
        ("minutes", "written"),
        [
            (0, "on 3 Mar 2026, 23:50"),
            (5, "on 3 Mar 2026, between 23:50 and 23:55"),
            (10, "between 3 Mar 2026, 23:50 and 4 Mar 2026, 00:00"),
        ],
    )
    def test_readings_name_the_day_once_where_it_is_one(self, minutes: int, written: str) -> None:
        first = datetime(2026, 3, 3, 23, 50, tzinfo=UTC)

        assert texts.readings(first, first + timedelta(minutes=minutes), "en") == written


def test_without_the_number_a_headline_leaves_room_for_the_longest_order_id() -> None:
    longest = 99 - 64 - len(": ")

    for language in LANGUAGES:
        for code in (*ERRORS, *OVERDUE):
            assert len(texts.ascii_only(texts.headline(code, None, language))) <= longest
        for said in (texts.RESOLVED_HEADLINE, texts.EXPIRED_BRIEFLY):
            assert len(texts.ascii_only(said.to(language))) <= longest


def test_told_briefly_a_summary_leaves_room_for_the_longest_account() -> None:
    brief = [headline.briefly for headline in vars(texts).values() if isinstance(headline, Headline)]

    assert len(brief) >= 6
    for said in brief:
        for language in LANGUAGES:
            assert len(texts.ascii_only(said.to(language).format(count=10_000, number="9" * 20))) <= 99 - 63 - len(": ")
