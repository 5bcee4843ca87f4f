import doctest
import re
import subprocess
import sys
from typing import Any
from urllib.parse import quote

import pytest

from invoicekey.rules import access_key, markup
from invoicekey.rules.access_key import MODELS, AccessKey, KeyFault, Mangling
from tests.keys import (
    NFE_NAMESPACE,
    make_answer,
    make_cnpj,
    make_cpf,
    make_event,
    make_key,
    make_nfe,
    make_request,
    make_xml,
    with_right_check_digit,
)
from tests.wrappings import BY_NAME, WRAPPINGS, Wrap

YEAR = 2026
KEY = "35260712ABC34501DE35550010000001231123456787"
OTHER = make_key(number=124)

VALID = [
    "52060433009911002506550120000007800267301615",
    "52060412ABC34501DE35550120000007801267301610",
    "352410KSP416L8000109550010000001231999999993",
    "35260712ABC34501DE35550010000001231123456787",
    "522507PC3D315K000193550010000000011000000018",
    "31170758731662018088550010006437971006437976",
]


def key_of(text: str) -> AccessKey:
    key = access_key.parse(text)
    assert key is not None
    return key


def fault_of(text: str) -> KeyFault | None:
    return access_key.first_fault(key_of(text), current_year=YEAR)


def clean(value: object) -> str | None:
    key = access_key.clean(value, current_year=YEAR)
    return key.text if key else None


def find_in_text(text: object) -> str | None:
    key = access_key.find_in_text(text, current_year=YEAR)
    return key.text if key else None


def find_in_xml(xml: object) -> str | None:
    key = access_key.find_in_xml(xml, current_year=YEAR)
    return key.text if key else None


class TestShape:
    @pytest.mark.parametrize("text", VALID)
    def test_a_published_key_is_parsed_as_it_stands(self, text: str) -> None:
        assert key_of(text).text == text

    @pytest.mark.parametrize("text", ["0" * 44, "9" * 44, "0" * 6 + "Z" * 12 + "0" * 26])
    def test_a_shape_is_a_key_even_where_no_rule_holds(self, text: str) -> None:
        assert key_of(text).text == text

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param("", id="empty"),
            pytest.param(KEY[:-1], id="43 characters"),
            pytest.param(KEY + "0", id="45 characters"),
            pytest.param(KEY.lower(), id="lower case"),
            pytest.param(KEY + "\n", id="a final newline"),
            pytest.param(" " + KEY, id="a blank in front"),
            pytest.param("NFe" + KEY, id="the prefix NFe"),
            pytest.param(KEY[:40] + "A" + KEY[41:], id="a letter behind the CNPJ's first twelve"),
            pytest.param("A" + KEY[1:], id="a letter before the CNPJ"),
            pytest.param(KEY[:18] + "AA" + KEY[20:], id="letters for the CNPJ's check digits"),
            pytest.param(KEY[:8] + ":" + KEY[9:], id="a character between 9 and A"),
            pytest.param(KEY[:43] + "\N{FULLWIDTH DIGIT SEVEN}", id="a full-width digit"),
            pytest.param(KEY[:43] + "\N{ARABIC-INDIC DIGIT SEVEN}", id="an Arabic digit"),
            pytest.param("CFe35201100063960001504590006629690333214542150", id="VTEX's own example"),
            pytest.param("799", id="799"),
            pytest.param("key-78923479834", id="an id"),
            pytest.param(None, id="null"),
            pytest.param(int(make_key(tax_id=make_cnpj("112223330001"))), id="a number of 44 digits"),
            pytest.param(KEY.encode(), id="bytes"),
            pytest.param([KEY], id="a list"),
        ],
    )
    def test_everything_else_is_malformed(self, value: object) -> None:
        assert access_key.parse(value) is None

    def test_a_key_refuses_another_shape_and_says_what_it_expected_and_what_came(self) -> None:
        with pytest.raises(ValueError, match=r"expected an access key of the shape .*, got 'NFe3526"):
            AccessKey("NFe" + KEY)

    def test_the_example_in_the_docstring_holds(self) -> None:
        assert doctest.testmod(access_key) == (0, 2)


class TestFields:
    def test_a_key_tells_its_fields(self) -> None:
        key = key_of(KEY)
        assert (key.state, key.year, key.month, key.tax_id) == ("35", 2026, 7, "12ABC34501DE35")
        assert (key.model, key.series, key.number) == ("55", 1, 123)
        assert (key.emission_type, key.check_digit) == ("1", "7")

    def test_a_key_before_april_2011_has_no_emission_type(self) -> None:
        assert key_of(make_key(year=2011, month=3, emission_type=None)).emission_type is None

    def test_a_key_of_april_2011_has_one(self) -> None:
        assert key_of(make_key(year=2011, month=4, emission_type="6")).emission_type == "6"

    @pytest.mark.parametrize("series", [910, 969])
    def test_the_tax_id_of_a_person_is_a_cpf_of_eleven_digits(self, series: int) -> None:
        assert key_of(make_key(tax_id=make_cpf(), series=series)).tax_id == make_cpf()

    def test_the_tax_id_in_a_series_of_persons_is_shown_whole_where_it_is_no_padded_cpf(self) -> None:
        assert key_of(make_key(series=910)).tax_id == "12ABC34501DE35"

    def test_the_tax_id_of_an_nff_is_a_cpf_where_it_is_one(self) -> None:
        assert key_of(make_key(tax_id=make_cpf(), emission_type="3")).tax_id == make_cpf()

    def test_the_tax_id_of_an_nff_is_a_cnpj_where_it_is_one(self) -> None:
        assert key_of(make_key(emission_type="3")).tax_id == "12ABC34501DE35"

    def test_a_cnpj_that_begins_like_a_padded_cpf_is_a_cnpj(self) -> None:
        assert key_of(make_key(tax_id="00000000000191")).tax_id == "00000000000191"

    def test_a_cnpj_that_is_a_padded_cpf_too_is_a_cnpj_in_an_nff(self) -> None:
        assert key_of(make_key(tax_id="00000000000191", emission_type="3")).tax_id == "00000000000191"

    @pytest.mark.parametrize(("model", "name"), [("55", "NF-e"), ("65", "NFC-e"), ("57", "CT-e"), ("59", "CF-e SAT")])
    def test_the_models_have_names(self, model: str, name: str) -> None:
        assert MODELS[key_of(make_key(model=model)).model] == name


class TestRules:
    @pytest.mark.parametrize("text", VALID)
    def test_a_published_key_is_valid(self, text: str) -> None:
        assert fault_of(text) is None
        assert access_key.is_valid(key_of(text), current_year=YEAR)

    @pytest.mark.parametrize("digit", "012345689")
    def test_another_check_digit_is_invalid(self, digit: str) -> None:
        assert fault_of(KEY[:43] + digit) is KeyFault.INVALID_CHECK_DIGIT

    @pytest.mark.parametrize(
        ("code", "digit"),
        [
            pytest.param(13, "0", id="remainder 0"),
            pytest.param(5, "0", id="remainder 1"),
            pytest.param(0, "9", id="remainder 2"),
            pytest.param(4, "1", id="remainder 10"),
        ],
    )
    def test_remainders_0_and_1_give_the_digit_0_and_others_what_is_missing_to_11(self, code: int, digit: str) -> None:
        assert fault_of(make_key(code=code, check_digit=digit)) is None

    def test_an_example_of_vtex_has_a_wrong_check_digit(self) -> None:
        assert fault_of("35260614388220000199550010000012341000012348") is KeyFault.INVALID_CHECK_DIGIT

    def test_an_example_of_vtex_has_a_wrong_cnpj_too(self) -> None:
        text = with_right_check_digit("35260614388220000199550010000012341000012348")
        assert fault_of(text) is KeyFault.INVALID_TAX_ID

    def test_the_other_example_of_vtex_has_a_wrong_check_digit_without_its_prefix(self) -> None:
        assert fault_of("35201100063960001504590006629690333214542150") is KeyFault.INVALID_CHECK_DIGIT

    def test_its_right_check_digit_would_be_1(self) -> None:
        text = with_right_check_digit("35201100063960001504590006629690333214542150")
        assert text.endswith("1")

    def test_a_boleto_of_44_digits_is_no_key(self) -> None:
        boleto = "00193373700000001000500940144816060680935031"
        assert fault_of(boleto) is not None
        assert fault_of(with_right_check_digit(boleto)) is KeyFault.INVALID_STATE

    def test_zeros_pass_the_check_digit_and_no_more(self) -> None:
        assert fault_of("0" * 44) is KeyFault.INVALID_STATE

    @pytest.mark.parametrize(
        "state",
        [11, 12, 13, 14, 15, 16, 17, 21, 22, 23, 24, 25, 26, 27, 28, 29, 31, 32, 33, 35, 41, 42, 43, 50, 51, 52, 53],
    )
    def test_a_state_of_brazil_is_valid(self, state: int) -> None:
        assert fault_of(make_key(state=state)) is None

    @pytest.mark.parametrize("state", [0, 10, 18, 19, 20, 30, 34, 36, 40, 44, 49, 54, 91, 99])
    def test_another_state_is_invalid(self, state: int) -> None:
        assert fault_of(make_key(state=state)) is KeyFault.INVALID_STATE

    @pytest.mark.parametrize("year", [2006, 2011, 2025, 2026])
    def test_a_year_from_2006_to_the_current_one_is_valid(self, year: int) -> None:
        assert fault_of(make_key(year=year)) is None

    @pytest.mark.parametrize("year", [2000, 2005, 2027, 2099])
    def test_another_year_is_invalid(self, year: int) -> None:
        assert fault_of(make_key(year=year)) is KeyFault.INVALID_YEAR

    def test_the_next_year_is_valid_once_it_is_here(self) -> None:
        assert access_key.is_valid(key_of(make_key(year=2027)), current_year=2027)

    @pytest.mark.parametrize("month", [1, 12])
    def test_a_month_from_1_to_12_is_valid(self, month: int) -> None:
        assert fault_of(make_key(month=month)) is None

    @pytest.mark.parametrize("month", [0, 13, 99])
    def test_another_month_is_invalid(self, month: int) -> None:
        assert fault_of(make_key(month=month)) is KeyFault.INVALID_MONTH

    @pytest.mark.parametrize("model", [*sorted(set(MODELS) - {"55"}), "00", "54", "99"])
    def test_any_model_but_55_is_wrong(self, model: str) -> None:
        assert fault_of(make_key(model=model)) is KeyFault.WRONG_MODEL

    @pytest.mark.parametrize("number", [1, 999_999_999])
    def test_a_number_from_1_is_valid(self, number: int) -> None:
        assert fault_of(make_key(number=number)) is None

    def test_the_number_0_is_invalid(self) -> None:
        assert fault_of(make_key(number=0)) is KeyFault.INVALID_NUMBER

    @pytest.mark.parametrize("emission_type", "12345679")
    def test_an_emission_type_of_the_list_is_valid(self, emission_type: str) -> None:
        assert fault_of(make_key(emission_type=emission_type)) is None

    @pytest.mark.parametrize("emission_type", "08")
    def test_another_emission_type_is_invalid(self, emission_type: str) -> None:
        assert fault_of(make_key(emission_type=emission_type)) is KeyFault.INVALID_EMISSION_TYPE

    @pytest.mark.parametrize("emission_type", "08")
    def test_an_older_key_may_have_any_digit_there(self, emission_type: str) -> None:
        assert fault_of(make_key(year=2011, month=3, emission_type=emission_type)) is None

    @pytest.mark.parametrize("code", [123, 0, 11111111, 12345678])
    def test_a_trivial_code_is_no_fault(self, code: int) -> None:
        assert fault_of(make_key(number=123, code=code)) is None

    def test_of_many_broken_rules_the_first_is_told_and_mended_ones_give_way_to_the_next(self) -> None:
        fields: dict[str, Any] = {"state": 99, "year": 2005, "month": 13, "tax_id": "0", "model": "65", "number": 0}
        fields["emission_type"] = "8"
        fields["check_digit"] = str((int(make_key(**fields)[-1]) + 1) % 10)
        mended = {"check_digit": None, "state": 35, "year": 2026, "month": 7, "tax_id": make_cnpj(), "model": "55"}
        told = [fault_of(make_key(**fields))]
        for field, value in {**mended, "number": 1}.items():
            fields[field] = value
            told.append(fault_of(make_key(**fields)))
        assert told == [fault for fault in KeyFault if fault is not KeyFault.MALFORMED]


class TestTaxId:
    @pytest.mark.parametrize("tax_id", ["00000000000191", make_cnpj("112223330001"), make_cnpj("ZZZZZZZZZZZZ")])
    def test_a_cnpj_is_valid_in_digits_and_in_letters(self, tax_id: str) -> None:
        assert fault_of(make_key(tax_id=tax_id)) is None

    @pytest.mark.parametrize("tax_id", ["12ABC34501DE34", "12ABC34501DE45", "11222333000182", "12ABC34501DF35"])
    def test_a_cnpj_with_a_wrong_digit_is_invalid(self, tax_id: str) -> None:
        assert fault_of(make_key(tax_id=tax_id)) is KeyFault.INVALID_TAX_ID

    @pytest.mark.parametrize("series", [0, 1, 900, 910, 969])
    @pytest.mark.parametrize("emission_type", ["1", "3"])
    def test_zeros_are_nobodys(self, series: int, emission_type: str) -> None:
        key = make_key(tax_id="0", series=series, emission_type=emission_type)
        assert fault_of(key) is KeyFault.INVALID_TAX_ID

    @pytest.mark.parametrize("series", [0, 889, 890, 899, 900, 909])
    def test_a_series_below_910_carries_a_cnpj(self, series: int) -> None:
        assert fault_of(make_key(series=series)) is None

    @pytest.mark.parametrize("series", [0, 889, 890, 899, 900, 909])
    def test_a_cpf_is_invalid_there(self, series: int) -> None:
        assert fault_of(make_key(series=series, tax_id=make_cpf())) is KeyFault.INVALID_TAX_ID

    @pytest.mark.parametrize("series", [910, 919, 920, 969])
    def test_a_series_from_910_to_969_carries_a_cpf(self, series: int) -> None:
        assert fault_of(make_key(series=series, tax_id=make_cpf())) is None

    @pytest.mark.parametrize("series", [910, 919, 920, 969])
    @pytest.mark.parametrize("emission_type", ["1", "3"])
    def test_a_cnpj_is_invalid_there(self, series: int, emission_type: str) -> None:
        assert fault_of(make_key(series=series, emission_type=emission_type)) is KeyFault.INVALID_TAX_ID

    def test_a_cpf_with_a_wrong_digit_is_invalid(self) -> None:
        assert fault_of(make_key(series=910, tax_id="12345678900")) is KeyFault.INVALID_TAX_ID

    def test_a_cpf_behind_anything_but_three_zeros_is_invalid(self) -> None:
        assert fault_of(make_key(series=910, tax_id="001" + make_cpf())) is KeyFault.INVALID_TAX_ID

    def test_a_letter_in_a_cpf_is_invalid(self) -> None:
        assert fault_of(make_key(series=910, tax_id="000A2345678909")) is KeyFault.INVALID_TAX_ID

    def test_a_cpf_of_one_repeated_digit_is_valid_since_the_tax_office_refuses_zeros_alone(self) -> None:
        assert fault_of(make_key(series=910, tax_id="11111111111")) is None

    @pytest.mark.parametrize("tax_id", [make_cpf(), "12ABC34501DE35"])
    def test_an_nff_may_carry_either(self, tax_id: str) -> None:
        assert fault_of(make_key(tax_id=tax_id, emission_type="3")) is None

    def test_an_nff_with_neither_is_invalid(self) -> None:
        assert fault_of(make_key(tax_id="12345678900", emission_type="3")) is KeyFault.INVALID_TAX_ID

    def test_before_april_2011_a_3_in_that_place_is_no_nff(self) -> None:
        key = make_key(year=2011, month=3, tax_id=make_cpf(), emission_type="3")
        assert fault_of(key) is KeyFault.INVALID_TAX_ID

    @pytest.mark.parametrize("series", [970, 999])
    @pytest.mark.parametrize("tax_id", [make_cpf(), "12ABC34501DE35"])
    @pytest.mark.parametrize("emission_type", ["1", "3"])
    def test_no_tax_id_is_right_in_a_series_of_nobody(self, series: int, tax_id: str, emission_type: str) -> None:
        key = make_key(series=series, tax_id=tax_id, emission_type=emission_type)
        assert fault_of(key) is KeyFault.INVALID_TAX_ID


def in_blocks(key: str, between: str) -> str:
    return between.join(key[start : start + 4] for start in range(0, 44, 4))


MANGLED = [
    pytest.param("NFe" + KEY, id="NFe in front"),
    pytest.param("nfe" + KEY.lower(), id="nfe in front, in lower case"),
    pytest.param("NFe " + in_blocks(KEY, " "), id="NFe and blocks"),
    pytest.param(in_blocks(KEY, " "), id="spaces"),
    pytest.param(in_blocks(KEY, "."), id="dots"),
    pytest.param(in_blocks(KEY, "-"), id="dashes"),
    pytest.param(in_blocks(KEY, " \N{EN DASH} "), id="long dashes"),
    pytest.param(in_blocks(KEY, "\N{NO-BREAK SPACE}"), id="no-break spaces"),
    pytest.param(in_blocks(KEY, "\N{ZERO WIDTH SPACE}"), id="zero-width spaces"),
    pytest.param(in_blocks(KEY, "\N{IDEOGRAPHIC SPACE}"), id="ideographic spaces"),
    pytest.param(in_blocks(KEY, "\r\n"), id="lines"),
    pytest.param(f"35-2607-{KEY[6:20]}-55-001-{KEY[25:34]}-{KEY[34:]}", id="field by field"),
    pytest.param(f"{KEY}\n", id="a final newline"),
    pytest.param(f"\ufeff\t{KEY} ", id="blanks around, and a byte order mark"),
    pytest.param(f"'{KEY}", id="a spreadsheet's apostrophe"),
    pytest.param(f'"{KEY}"', id="quotes"),
    pytest.param(KEY.lower(), id="lower case"),
    pytest.param(f"Chave de acesso: {in_blocks(KEY, ' ')}.", id="words around"),
    pytest.param(f"{KEY};{KEY}", id="twice"),
    pytest.param(f"{KEY} {make_key(model='57')}", id="with the carrier's CT-e"),
    pytest.param(f"https://nfe.example/consulta?chNFe={KEY}&tpAmb=1", id="chNFe"),
    pytest.param(f"https://nfe.example/qrcode?p={KEY}|2|1", id="p"),
    pytest.param(f"https://nfe.example/qrcode?p={KEY}%7C2%7C1", id="p, percent-encoded"),
    pytest.param(f"https://erp.example/login?to=%2Fnfe%3FchNFe%3D{KEY}", id="chNFe, percent-encoded"),
    pytest.param(f"https://erp.example/login?to=%252Fnfe%253FchNFe%253D{KEY}", id="chNFe, percent-encoded twice"),
    pytest.param(f"https%253A%252F%252Ferp.example%252F%253FchNFe%253D{KEY}%2526x", id="an address encoded twice"),
    pytest.param(f"https://erp.example/?chNFe={KEY}&amp;tpAmb=1", id="an address as HTML has it"),
    pytest.param(f"https://erp.example/nfe_{KEY}_danfe.pdf", id="a file's name"),
    pytest.param(f"NF-e{KEY}", id="NF-e"),
    pytest.param(f"NF-e: {KEY}", id="NF-e:"),
    pytest.param(f"NFe:{KEY}", id="NFe:"),
    pytest.param(f"chNFe{KEY}", id="chNFe glued to it"),
    pytest.param(f"chNFe: {KEY}", id="chNFe:"),
    pytest.param(f"CHNFE={KEY}", id="CHNFE="),
    pytest.param(f"Chave:{KEY}", id="Chave:"),
    pytest.param(f"chave={KEY}", id="chave="),
    pytest.param(f"CHAVE{KEY}", id="CHAVE glued to it"),
    pytest.param(f"Chave de acesso:{KEY}", id="Chave de acesso:"),
    pytest.param(f"chave_acesso_nfe{KEY}", id="chave_acesso_nfe"),
    pytest.param(f"chaveDeAcesso{KEY}", id="chaveDeAcesso"),
    pytest.param(f"chaveNFe{KEY}", id="chaveNFe"),
    pytest.param(f"NFe{KEY}-procNFe.xml", id="another file's name"),
]

HOLDS_NONE = [
    pytest.param("", id="empty"),
    pytest.param("0", id="0"),
    pytest.param("N/A", id="N/A"),
    pytest.param("isento", id="isento"),
    pytest.param("0" * 44, id="zeros"),
    pytest.param(KEY[:43], id="43 characters"),
    pytest.param(KEY + "0", id="45 characters"),
    pytest.param("3.52105E+43", id="a spreadsheet's number"),
    pytest.param("135260000000001", id="a protocol"),
    pytest.param("3550308" + "1" * 43, id="an NFS-e"),
    pytest.param(make_key(model="65"), id="an NFC-e"),
    pytest.param(KEY[:43] + "0", id="a wrong check digit"),
    pytest.param(f"{KEY} {OTHER}", id="two keys"),
    pytest.param(KEY + OTHER, id="two keys glued together"),
    pytest.param(f"x{KEY}", id="a letter in front"),
    pytest.param(f"{KEY}x", id="a letter behind"),
    pytest.param(f"xNFe{KEY}", id="a letter before NFe"),
    pytest.param(f"CTe{KEY}", id="another prefix"),
    pytest.param(f"CT-e{KEY}", id="another prefix, with a dash"),
    pytest.param(f"chCTe{KEY}", id="another element's name"),
    pytest.param(f"NFCe{KEY}", id="the prefix of an NFC-e"),
    pytest.param(f"xchave{KEY}", id="a letter before chave"),
    pytest.param(f"chave1{KEY}", id="a digit behind chave"),
    pytest.param(f"NF-e-x{KEY}", id="a letter behind NF-e"),
    pytest.param(f"é{KEY}", id="a letter that is not ASCII in front"),
    pytest.param(f"\N{ARABIC-INDIC DIGIT THREE}{KEY}", id="another script's digit in front"),
    pytest.param(
        KEY.translate({ord("0") + n: ord("\N{FULLWIDTH DIGIT ZERO}") + n for n in range(10)}), id="full-width digits"
    ),
    pytest.param(
        KEY.lower().replace("a", "\N{FEMININE ORDINAL INDICATOR}"), id="what only looks like a letter of the CNPJ"
    ),
    pytest.param(f"%3Ca%3E{KEY}%3C/a%3E", id="markup, percent-encoded"),
    pytest.param(KEY + " " * 8192, id="a text that is too long"),
]


class TestClean:
    @pytest.mark.parametrize("value", [KEY, *MANGLED])
    def test_the_valid_key_in_a_mangled_value_is_found(self, value: object) -> None:
        assert clean(value) == KEY

    @pytest.mark.parametrize(
        "value", [*HOLDS_NONE, None, True, 1.5, [KEY], {"key": KEY}, KEY.encode(), pytest.param(10**5000, id="huge")]
    )
    def test_where_there_is_none_or_more_than_one_nothing_is_suggested(self, value: object) -> None:
        assert clean(value) is None

    def test_a_number_of_44_digits_is_a_key_that_lost_its_quotes(self) -> None:
        assert clean(int(VALID[0])) == VALID[0]

    def test_another_number_is_not(self) -> None:
        assert clean(int(VALID[0]) + 1) is None

    def test_a_whole_xml_is_read_as_one(self) -> None:
        assert clean(make_xml(KEY, references=[OTHER])) == KEY

    def test_an_xml_that_only_refers_to_a_key_holds_none(self) -> None:
        assert clean(f"<NFref><refNFe>{KEY}</refNFe></NFref>") is None

    @pytest.mark.parametrize("wrap", WRAPPINGS)
    def test_a_wrapped_xml_is_read_as_one(self, wrap: Wrap) -> None:
        assert clean(wrap(make_xml(KEY, references=[OTHER]))) == KEY

    @pytest.mark.parametrize("wrap", WRAPPINGS)
    @pytest.mark.parametrize(
        "xml",
        [
            make_xml(KEY, environment="2"),
            make_xml(KEY, status="101"),
            make_nfe("", references=[KEY]),
            f"<doc>{make_xml(KEY)}{make_event(KEY)}</doc>",
        ],
        ids=["homologation", "not authorised", "a reference only", "cancelled"],
    )
    def test_a_wrapped_xml_is_never_read_as_a_text(self, wrap: Wrap, xml: str) -> None:
        assert find_in_text(xml.replace("<", " ").replace(">", " ")) == KEY
        assert clean(wrap(xml)) is None


class TestFindInText:
    @pytest.mark.parametrize("text", [KEY, *MANGLED])
    def test_the_valid_key_is_found(self, text: str) -> None:
        assert find_in_text(text) == KEY

    @pytest.mark.parametrize("text", [*HOLDS_NONE, None, 5, int(VALID[0]), [KEY], KEY.encode()])
    def test_where_there_is_none_or_more_than_one_nothing_is_found(self, text: object) -> None:
        assert find_in_text(text) is None

    @pytest.mark.parametrize("wrap", WRAPPINGS)
    @pytest.mark.parametrize("xml", [make_xml(KEY), f"<refNFe>{KEY}</refNFe>"])
    def test_markup_is_not_searched(self, xml: str, wrap: Wrap) -> None:
        assert find_in_text(wrap(xml)) is None

    def test_an_address_encoded_four_times_is_one_too_many(self) -> None:
        assert find_in_text(f"https://erp.example/%2525253D{KEY}") is None


class TestFindInXml:
    @pytest.mark.parametrize(
        "xml",
        [
            pytest.param(make_xml(KEY), id="nfeProc"),
            pytest.param(make_xml(KEY, namespace=False), id="nfeProc without a namespace"),
            pytest.param(
                make_xml(KEY).replace("<", "<n:").replace("<n:/", "</n:").replace("xmlns=", "xmlns:n="), id="n:"
            ),
            pytest.param(make_nfe(KEY), id="bare NFe"),
            pytest.param(make_nfe(KEY, namespace=False), id="bare NFe without a namespace"),
            pytest.param(f"<enviNFe><idLote>1</idLote>{make_nfe(KEY)}</enviNFe>", id="enviNFe with one"),
            pytest.param(f"<enviNFe>{make_nfe(KEY)}{make_nfe(KEY)}</enviNFe>", id="enviNFe with the same twice"),
            pytest.param(make_xml(KEY, references=[OTHER]), id="a reference to another"),
            pytest.param(make_xml(KEY, status="150"), id="authorised late"),
            pytest.param(make_xml(KEY, direction="1", purpose="1"), id="a sale"),
            pytest.param(make_xml(KEY, direction="1", purpose="2"), id="a note that complements another"),
            pytest.param(make_xml(KEY).replace("<emit>", "<emit><tpNF>0</tpNF>"), id="tpNF elsewhere"),
            pytest.param(f'Nota: {make_xml(KEY)}"', id="a word in front, and a quote behind"),
            pytest.param(make_xml(KEY, status=None, environment=None, protocol_environment=None), id="nothing said"),
            pytest.param(make_xml(KEY, protocol_key=f"\n  {KEY}\n"), id="blanks around chNFe"),
            pytest.param(make_nfe(KEY).replace("NFe3526", "3526"), id="an Id without its prefix"),
            pytest.param("\ufeff" + make_xml(KEY), id="a byte order mark"),
            pytest.param(f"\n  <?xml version='1.0' encoding='UTF-8'?>\n{make_xml(KEY)}\n", id="blanks in front"),
            pytest.param(f"<?xml version='1.0' encoding='ISO-8859-1'?>{make_xml(KEY)}<!-- ção -->", id="ISO-8859-1"),
            pytest.param(f"<?xml version='1.0' encoding='UTF-16'?>{make_xml(KEY)}", id="UTF-16"),
            pytest.param(make_xml(KEY).replace("<emit>", "<!-- c --><?pi x?><emit>"), id="comment and instruction"),
        ],
    )
    def test_the_key_of_the_one_invoice_is_found(self, xml: str) -> None:
        assert find_in_xml(xml) == KEY

    @pytest.mark.parametrize(
        "xml",
        [
            pytest.param(f"<enviNFe>{make_nfe(KEY)}{make_nfe(OTHER)}</enviNFe>", id="two invoices"),
            pytest.param(f"<NFe><ide><NFref><refNFe>{KEY}</refNFe></NFref></ide></NFe>", id="a reference only"),
            pytest.param(f"<NFe><infNFe><ide><NFref>{KEY}</NFref></ide></infNFe></NFe>", id="an infNFe without an Id"),
            pytest.param(make_nfe("3526", references=[KEY]), id="a short Id, and a reference"),
            pytest.param(make_xml(KEY, direction="0"), id="an entry note"),
            pytest.param(make_xml(KEY, direction=" 0 ", purpose="1"), id="an entry note, with blanks"),
            pytest.param(make_xml(KEY, direction="1", purpose="4"), id="a return note"),
            pytest.param(make_xml(KEY, purpose="4"), id="a return note that says no more"),
            pytest.param(make_nfe(KEY[:43] + "0"), id="a wrong check digit"),
            pytest.param(make_xml(make_key(model="65")), id="an NFC-e"),
            pytest.param(make_xml(KEY, protocol_key=OTHER), id="a protocol of another invoice"),
            pytest.param(make_xml(KEY, protocol_key=""), id="a protocol of none"),
            pytest.param(make_xml(KEY, status="302"), id="denied"),
            pytest.param(make_xml(KEY, status="101"), id="cancelled"),
            pytest.param(make_xml(KEY, environment="2"), id="homologation"),
            pytest.param(make_xml(KEY, protocol_environment="2"), id="a protocol of homologation"),
            pytest.param(f"<!DOCTYPE nfeProc>{make_xml(KEY)}", id="a DTD"),
            pytest.param(f"<!DOCTYPE n [<!ENTITY k '{KEY}'>]><n><infNFe Id='NFe&k;'/></n>", id="an entity"),
            pytest.param(make_xml(KEY)[:-1], id="not well-formed"),
            pytest.param("<?xml version= 1.0 encoding= utf-8 ?><Invoice></invoice>", id="VTEX's own example"),
            pytest.param("<NFe>…(shortened)…</NFe>", id="VTEX's other example"),
            pytest.param("<a>\ud800</a>", id="half a character"),
            pytest.param("<a>\0</a>", id="a zero character"),
            pytest.param("<a>" * 100_000, id="deep and open"),
            pytest.param("<a>" * 100_000 + "</a>" * 100_000, id="deep and closed"),
            pytest.param(make_xml(KEY) + " " * 1024 * 1024, id="too large"),
            pytest.param("", id="empty"),
            pytest.param(KEY, id="no XML"),
            pytest.param(None, id="null"),
            pytest.param(make_xml(KEY).encode(), id="bytes"),
            pytest.param(5, id="a number"),
        ],
    )
    def test_anything_less_is_no_evidence(self, xml: object) -> None:
        assert find_in_xml(xml) is None


CANCEL, SUBSTITUTE, CORRECT = "110111", "110112", "110110"
NFE = make_xml(KEY)


def together(*documents: str) -> str:
    """Wrap documents in one, as some ERPs keep a note and its events."""
    return f"<documentos>{''.join(documents)}</documentos>"


def in_a_namespace(event: str) -> str:
    prefixed = re.sub(r"<(/?)(?=\w)", r"<\1e:", event)
    return f'<e:x xmlns:e="{NFE_NAMESPACE}">{prefixed}</e:x>'


class TestACancelledNote:
    """Its key is never offered: the sale has another note by now, or none."""

    @pytest.mark.parametrize("kind", [CANCEL, SUBSTITUTE])
    @pytest.mark.parametrize("status", ["135", "136", "155"])
    @pytest.mark.parametrize(
        "event",
        [
            pytest.param(make_answer, id="retEvento"),
            pytest.param(make_event, id="procEventoNFe"),
            pytest.param(lambda *said: make_event(*said, is_terse=True), id="an answer that says no more than cStat"),
        ],
    )
    def test_is_one_whose_cancellation_is_registered(self, event: Any, status: str, kind: str) -> None:
        cancellation = event(KEY, kind, status)
        assert find_in_xml(together(NFE, cancellation)) is None
        assert find_in_xml(together(cancellation, NFE)) is None

    @pytest.mark.parametrize(
        "xml",
        [
            pytest.param(together(NFE, make_request(KEY), make_answer(KEY)), id="request and answer apart"),
            pytest.param(together(NFE, make_event(KEY, CORRECT), make_event(KEY)), id="corrected, then cancelled"),
            pytest.param(together(NFE, make_event(OTHER), make_event(KEY)), id="another note's besides"),
            pytest.param(together(NFE, make_event(KEY, CANCEL, "573"), make_event(KEY)), id="refused, then registered"),
            pytest.param(together(make_event(KEY), NFE, make_event(KEY, CORRECT)), id="events around it"),
            pytest.param(
                together(NFE, f"<retEnvEvento><cStat>128</cStat>{make_answer(OTHER)}{make_answer(KEY)}</retEnvEvento>"),
                id="a batch's answers",
            ),
            pytest.param(make_xml(KEY).replace("</nfeProc>", f"{make_event(KEY)}</nfeProc>"), id="within nfeProc"),
            pytest.param(together(NFE, "<a><b>", make_event(KEY), "</b></a>"), id="deep inside"),
            pytest.param(
                make_answer(KEY).replace("</retEvento>", f"{NFE}</retEvento>"), id="an event for a wrapper"
            ),
            pytest.param(
                "<infEvento><cStat>135</cStat><tpEvento>110111</tpEvento>"
                f"<chNFe>{KEY}</chNFe>{NFE}</infEvento>", id="an infEvento for a wrapper",
            ),
            pytest.param(together(NFE, in_a_namespace(make_answer(KEY))), id="a prefix of its own"),
            pytest.param(together(NFE, make_answer(f"\n NFe{KEY} ", f" {CANCEL} ", "\n135\n")), id="blanks, a prefix"),
            pytest.param(
                together(NFE, "<x>", make_request(KEY), make_answer(None, CANCEL), "</x>"), id="an answer without a key"
            ),
            pytest.param(
                together(NFE, "<x>", make_answer(KEY, None), make_request(KEY), "</x>"), id="an answer without a kind"
            ),
            pytest.param(
                together(NFE, f"<![CDATA[{make_event(KEY)}]]>"), id="the event in CDATA"
            ),
            pytest.param(
                together(f"<a><![CDATA[{NFE}]]></a><b><![CDATA[{make_event(KEY)}]]></b>"), id="both in CDATA"
            ),
            pytest.param(
                together(NFE, f"<retCancNFe><infCanc><cStat>101</cStat><chNFe>{KEY}</chNFe></infCanc></retCancNFe>"),
                id="as it was before 2013",
            ),
            pytest.param(
                together(NFE, f"<retConsSitNFe><cStat>101</cStat><chNFe>{KEY}</chNFe></retConsSitNFe>"),
                id="the answer about its situation",
            ),
        ],
    )  # fmt: skip
    def test_is_told_by_any_form_of_it(self, xml: str) -> None:
        assert markup.documents(xml)
        assert find_in_xml(xml) is None

    @pytest.mark.parametrize(
        "xml",
        [
            pytest.param(together(NFE, make_event(KEY, CORRECT)), id="a correction letter"),
            pytest.param(together(NFE, make_event(KEY, CORRECT, is_terse=True)), id="a correction letter, tersely"),
            pytest.param(together(NFE, make_event(KEY, "210200")), id="the buyer's confirmation"),
            pytest.param(together(NFE, make_event(KEY, CANCEL, "573")), id="refused: registered twice"),
            pytest.param(together(NFE, make_event(KEY, CANCEL, "493")), id="refused: the request's form"),
            pytest.param(together(NFE, make_event(KEY, CANCEL, "501", is_terse=True)), id="refused: too late"),
            pytest.param(together(NFE, make_event(KEY, CANCEL, None)), id="an answer without a status"),
            pytest.param(together(NFE, make_request(KEY)), id="a request without an answer"),
            pytest.param(together(NFE, make_event(OTHER)), id="another note's"),
            pytest.param(together(NFE, make_event(OTHER, is_terse=True)), id="another note's, tersely"),
            pytest.param(
                together(NFE, make_event(KEY, CANCEL, "573", is_terse=True), make_event(KEY, CORRECT, is_terse=True)),
                id="refused, then a correction letter, both tersely",
            ),
            pytest.param(
                together(NFE, "<x>", make_request(KEY), make_answer(None, CORRECT), "</x>"),
                id="an answer to another request",
            ),
            pytest.param(together(NFE, make_answer(None)), id="an answer about no note"),
            pytest.param(together(NFE, make_answer(KEY, None)), id="an answer of no kind"),
            pytest.param(
                together(NFE, f"<retCancNFe><infCanc><cStat>420</cStat><chNFe>{KEY}</chNFe></infCanc></retCancNFe>"),
                id="refused before 2013",
            ),
            pytest.param(together(NFE, "<infCanc><cStat>101</cStat></infCanc>"), id="a cancellation of none"),
            pytest.param(
                together(NFE, f"<retConsSitNFe><cStat>100</cStat><chNFe>{KEY}</chNFe></retConsSitNFe>"),
                id="authorised, says the answer about its situation",
            ),
        ],
    )
    def test_is_not_told_by_anything_else(self, xml: str) -> None:
        assert find_in_xml(xml) == KEY

    @pytest.mark.parametrize(
        ("xml", "keys"),
        [
            pytest.param(NFE, set(), id="a sale"),
            pytest.param(make_event(KEY), {KEY}, id="an event without the note"),
            pytest.param(together(NFE, make_event(OTHER)), {OTHER}, id="another note's cancellation"),
            pytest.param(
                together(make_event(KEY), make_event(OTHER, SUBSTITUTE)), {KEY, OTHER}, id="two cancellations"
            ),
            pytest.param(make_xml(KEY, status="101"), {KEY}, id="a protocol that says so"),
            pytest.param(make_xml(KEY, status="302"), set(), id="denied"),
            pytest.param(make_xml(KEY, environment="2"), set(), id="homologation"),
            pytest.param(make_xml(KEY, direction="0", references=[OTHER]), {KEY}, id="an entry"),
            pytest.param(make_xml(KEY, purpose="4", references=[OTHER]), {KEY}, id="a return"),
            pytest.param(
                f"<enviNFe>{make_nfe(KEY)}{make_nfe(OTHER, purpose='4')}</enviNFe>", {OTHER}, id="a sale and a return"
            ),
            pytest.param(make_event(KEY)[:-1], set(), id="not well-formed"),
            pytest.param(None, set(), id="null"),
        ],
    )
    def test_is_among_the_keys_of_no_sale(self, xml: object, keys: set[str]) -> None:
        assert access_key.read_xml(xml, current_year=YEAR).of_no_sale == keys

    def test_is_not_authorised_by_an_events_answer(self) -> None:
        denied = make_xml(KEY, status="302")
        assert find_in_xml(together(denied, make_event(KEY, CORRECT, "100"))) is None

    def test_refused_events_say_nothing_of_the_note(self) -> None:
        assert find_in_xml(together(make_nfe(KEY), make_event(KEY, CORRECT, "573"))) == KEY


class TestManglings:
    @pytest.mark.parametrize("text", [*VALID, "0" * 44])
    def test_what_has_the_shape_is_not_mangled(self, text: str) -> None:
        assert access_key.manglings(text) == ()

    @pytest.mark.parametrize(
        ("value", "mangling"),
        [
            pytest.param(None, Mangling.NOT_TEXT, id="null"),
            pytest.param(int(VALID[0]), Mangling.NOT_TEXT, id="a number"),
            pytest.param([KEY], Mangling.NOT_TEXT, id="a list"),
            pytest.param(make_xml(KEY), Mangling.XML, id="an XML"),
            pytest.param(make_xml(KEY) + " " * 8192, Mangling.XML, id="a long XML"),
            *(pytest.param(wrap(make_xml(KEY)), Mangling.XML, id=f"an XML, {name}") for name, wrap in BY_NAME.items()),
            pytest.param(quote(make_xml(KEY)) + " " * 8192, Mangling.XML, id="a long XML, percent-encoded"),
            pytest.param("1" * 8193, Mangling.TOO_LONG, id="a long text"),
            pytest.param(f"https://nfe.example/consulta?chNFe={KEY}", Mangling.ADDRESS, id="an address"),
            pytest.param(f"www.nfe.example/consulta?chNFe={KEY}", Mangling.ADDRESS, id="an address without a scheme"),
            pytest.param(f"consulta?p={KEY}|2|1", Mangling.ADDRESS, id="the end of an address"),
            pytest.param(f"https%253A%252F%252Fx.example%252F%253Fp%253D{KEY}", Mangling.ADDRESS, id="encoded twice"),
            pytest.param("3.52105E+43", Mangling.SPREADSHEET, id="a spreadsheet's number"),
            pytest.param("3.52E43", Mangling.SPREADSHEET, id="a spreadsheet's number without its plus"),
            pytest.param("3,52e43", Mangling.SPREADSHEET, id="a comma, a small e and no plus"),
            pytest.param("'3.52603E+043", Mangling.SPREADSHEET, id="an apostrophe, and an exponent of three digits"),
            pytest.param(" 3,52105e+43\n", Mangling.SPREADSHEET, id="a Brazilian spreadsheet's number"),
            pytest.param("4E+43", Mangling.SPREADSHEET, id="a spreadsheet's narrow column"),
            pytest.param("135260000000001", Mangling.PROTOCOL, id="a protocol"),
            pytest.param("135 260 000 000 001", Mangling.PROTOCOL, id="a protocol in blocks"),
            pytest.param("13526000000000001", Mangling.PROTOCOL, id="a protocol of 17 digits"),
            pytest.param("1352600000000001", Mangling.TOO_SHORT, id="16 digits"),
            pytest.param("135260000000000001", Mangling.TOO_SHORT, id="18 digits"),
            pytest.param("3550308" + "1" * 43, Mangling.NFSE, id="an NFS-e"),
            pytest.param("355030812" + "12ABC34501DE" + "1" * 29, Mangling.NFSE, id="an NFS-e with letters"),
            pytest.param("N/A", Mangling.OTHER, id="N/A"),
            pytest.param("isento", Mangling.OTHER, id="isento"),
            pytest.param("", Mangling.OTHER, id="empty"),
            pytest.param("\uff13" * 44, Mangling.OTHER, id="full-width digits"),
            pytest.param(KEY[:30] + "A" + KEY[31:], Mangling.OTHER, id="a letter where none may be"),
            pytest.param(KEY[:43] + "\uff17", Mangling.OTHER, id="one full-width digit"),
            pytest.param(KEY[:43], Mangling.TOO_SHORT, id="43 characters"),
            pytest.param("799", Mangling.TOO_SHORT, id="799"),
            pytest.param(KEY + "0", Mangling.TOO_LONG, id="45 characters"),
            pytest.param(KEY + OTHER, Mangling.TOO_LONG, id="two keys"),
            pytest.param("NFe" + KEY, Mangling.PREFIX, id="NFe"),
            pytest.param("CFe35201100063960001504590006629690333214542150", Mangling.PREFIX, id="VTEX's own example"),
            pytest.param("nfe" + KEY, Mangling.PREFIX, id="nfe"),
            pytest.param(in_blocks(KEY, "."), Mangling.SEPARATORS, id="dots"),
            pytest.param(in_blocks(KEY, "_"), Mangling.SEPARATORS, id="underscores"),
            pytest.param(in_blocks(KEY, " "), Mangling.BLANKS, id="spaces"),
            pytest.param(in_blocks(KEY, "\N{NO-BREAK SPACE}"), Mangling.BLANKS, id="no-break spaces"),
            pytest.param(in_blocks(KEY, "\N{ZERO WIDTH SPACE}"), Mangling.BLANKS, id="zero-width spaces"),
            pytest.param(KEY + "\n", Mangling.BLANKS, id="a final newline"),
            pytest.param(KEY.lower(), Mangling.LOWER_CASE, id="lower case"),
        ],
    )
    def test_one_reason_is_told_alone(self, value: object, mangling: Mangling) -> None:
        assert access_key.manglings(value) == (mangling,)

    def test_reasons_that_come_together_are_told_together(self) -> None:
        value = "NF-e: " + in_blocks(KEY.lower(), " ")
        assert access_key.manglings(value) == (
            Mangling.PREFIX,
            Mangling.SEPARATORS,
            Mangling.BLANKS,
            Mangling.LOWER_CASE,
        )

    def test_the_length_is_that_of_what_is_left(self) -> None:
        value = "NFe " + in_blocks(KEY[:43], " ")
        assert access_key.manglings(value) == (Mangling.PREFIX, Mangling.BLANKS, Mangling.TOO_SHORT)

    def test_an_id_with_a_dash_is_told_as_such(self) -> None:
        told = access_key.manglings("key-78923479834")
        assert told == (Mangling.PREFIX, Mangling.SEPARATORS, Mangling.TOO_SHORT)


def test_no_xml_parser_is_loaded_before_there_is_an_xml_to_read() -> None:
    program = "import sys, invoicekey.rules.access_key; print([name for name in sys.modules if 'xml' in name])"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=_paths())
    assert loaded.stdout == "[]\n"


def _paths() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(sys.path)}
