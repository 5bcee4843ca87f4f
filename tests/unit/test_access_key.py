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
            "", "799", "key-78923479834", KEY[:-1], KEY + "0", KEY + "\n", " " + KEY, "NFe" + KEY, KEY.lower(),
            "A" + KEY[1:], KEY[:18] + "AA" + KEY[20:], KEY[:40] + "A" + KEY[41:],  # letters where none may be
            KEY[:8] + ":" + KEY[9:],  # a character between 9 and A
            KEY[:43] + "\N{FULLWIDTH DIGIT SEVEN}", KEY[:43] + "\N{ARABIC-INDIC DIGIT SEVEN}",
            None, int(VALID[5]), KEY.encode(), [KEY],
        ],
    )  # fmt: skip
    def test_everything_else_is_malformed(self, value: object) -> None:
        assert access_key.parse(value) is None

    @pytest.mark.parametrize("value", [key_of(KEY), access_key.read_xml("", current_year=YEAR)])
    def test_a_key_and_what_an_xml_says_of_it_do_not_change(self, value: object) -> None:
        with pytest.raises(AttributeError):
            setattr(value, next(iter(value.__slots__)), None)  # type: ignore[attr-defined]

    def test_a_key_refuses_another_shape_and_says_what_it_expected_and_what_came(self) -> None:
        with pytest.raises(ValueError, match="an access key") as caught:
            AccessKey(f"NFe{KEY}{KEY}")
        shape = "[0-9]{6}[A-Z0-9]{12}[0-9]{26}"
        assert str(caught.value) == f"expected an access key of the shape {shape}, got 'NFe{KEY}{KEY[:13]}'"

    def test_the_example_in_the_docstring_holds(self) -> None:
        assert doctest.testmod(access_key) == (0, 2)


class TestFields:
    def test_a_key_tells_its_fields(self) -> None:
        key = key_of(KEY)
        assert (key.state, key.year, key.month, key.tax_id) == ("35", 2026, 7, "12ABC34501DE35")
        assert (key.model, key.series, key.number) == ("55", 1, 123)
        assert (key.emission_type, key.check_digit) == ("1", "7")
        assert key_of(make_key(number=987_654_321)).number == 987_654_321

    @pytest.mark.parametrize(("month", "emission_type"), [(3, None), (4, "6")])
    def test_a_key_has_an_emission_type_since_april_2011(self, month: int, emission_type: str | None) -> None:
        assert key_of(make_key(year=2011, month=month, emission_type="6")).emission_type == emission_type

    @pytest.mark.parametrize(
        ("fields", "tax_id"),
        [
            pytest.param({"tax_id": make_cpf(), "series": 910}, make_cpf(), id="a person's"),
            pytest.param({"tax_id": make_cpf(), "series": 969}, make_cpf(), id="a person's, in the last series"),
            pytest.param({"series": 910}, "12ABC34501DE35", id="no padded CPF in a series of persons"),
            pytest.param({"tax_id": make_cpf(), "emission_type": "3"}, make_cpf(), id="a person's NFF"),
            pytest.param({"emission_type": "3"}, "12ABC34501DE35", id="a company's NFF"),
            pytest.param({"tax_id": "00000000000191"}, "00000000000191", id="a CNPJ that begins like a padded CPF"),
            pytest.param(
                {"tax_id": "00000000000191", "emission_type": "3"}, "00000000000191", id="a CNPJ and a CPF, in an NFF"
            ),
        ],
    )
    def test_the_tax_id_is_a_cpf_of_eleven_digits_where_series_or_nff_say_so(
        self, fields: dict[str, Any], tax_id: str
    ) -> None:
        assert key_of(make_key(**fields)).tax_id == tax_id

    def test_the_models_have_names(self) -> None:
        assert [f"{model} {name}" for model, name in MODELS.items()] == [
            "55 NF-e", "57 CT-e", "58 MDF-e", "59 CF-e SAT", "62 NFCom", "63 BP-e", "64 GTV-e", "65 NFC-e", "66 NF3-e",
            "67 CT-e OS",
        ]  # fmt: skip


STATES = [*range(11, 18), *range(21, 30), 31, 32, 33, 35, 41, 42, 43, 50, 51, 52, 53]
BOLETO = "00193373700000001000500940144816060680935031"
VTEX_ONE, VTEX_TWO = "35260614388220000199550010000012341000012348", "35201100063960001504590006629690333214542150"

RIGHT: list[dict[str, Any]] = [
    *({"state": state} for state in STATES),
    *({"year": year} for year in (2006, 2011, 2025, 2026)),
    *({"month": month} for month in (1, 12)),
    *({"number": number} for number in (1, 999_999_999)),
    *({"emission_type": emission_type} for emission_type in "12345679"),
    *({"year": 2011, "month": 3, "emission_type": any_digit} for any_digit in "08"),
    *({"number": 123, "code": trivial} for trivial in (123, 0, 11111111, 12345678)),
    # Remainders 0 and 1 give the check digit 0, others what is missing to 11.
    *({"code": code, "check_digit": digit} for code, digit in ((13, "0"), (5, "0"), (0, "9"), (4, "1"))),
    # The tax id: a CNPJ in digits or letters, below series 910
    *({"tax_id": cnpj} for cnpj in ("00000000000191", make_cnpj("112223330001"), make_cnpj("ZZZZZZZZZZZZ"))),
    *({"series": series} for series in (0, 889, 890, 899, 900, 909)),
    # from there to 969 a CPF, of one repeated digit too: the tax office refuses zeros alone;
    *({"series": series, "tax_id": make_cpf()} for series in (910, 919, 920, 969)),
    {"series": 910, "tax_id": "11111111111"},
    # in an NFF either.
    *({"tax_id": tax_id, "emission_type": "3"} for tax_id in (make_cpf(), "12ABC34501DE35")),
]
WRONG: list[tuple[KeyFault, Any]] = [
    *((KeyFault.INVALID_CHECK_DIGIT, {"check_digit": digit}) for digit in "012345689"),
    *((KeyFault.INVALID_STATE, {"state": state}) for state in range(100) if state not in STATES),
    *((KeyFault.INVALID_YEAR, {"year": year}) for year in (2000, 2005, 2027, 2099)),
    *((KeyFault.INVALID_MONTH, {"month": month}) for month in (0, 13, 99)),
    *((KeyFault.WRONG_MODEL, {"model": model}) for model in [*sorted(set(MODELS) - {"55"}), "00", "54", "99"]),
    (KeyFault.INVALID_NUMBER, {"number": 0}),
    *((KeyFault.INVALID_EMISSION_TYPE, {"emission_type": emission_type}) for emission_type in "08"),
    *((KeyFault.INVALID_TAX_ID, fields) for fields in (
        *({"tax_id": cnpj} for cnpj in ("12ABC34501DE34", "12ABC34501DE45", "11222333000182", "12ABC34501DF35")),
        *({"tax_id": "0", "series": series, "emission_type": type_}
          for series in (0, 1, 900, 910, 969) for type_ in "13"),
        *({"tax_id": make_cpf(), "series": series} for series in (0, 889, 890, 899, 900, 909)),
        *({"series": series, "emission_type": type_} for series in (910, 919, 920, 969) for type_ in "13"),
        {"series": 910, "tax_id": "12345678900"},
        {"series": 910, "tax_id": "001" + make_cpf()},
        {"series": 910, "tax_id": "000A2345678909"},
        {"emission_type": "3", "tax_id": "12345678900"},
        {"emission_type": "3", "tax_id": make_cpf(), "year": 2011, "month": 3},  # before there was an NFF
        *({"series": series, "tax_id": tax_id, "emission_type": type_}
          for series in (970, 999) for tax_id in (make_cpf(), "12ABC34501DE35") for type_ in "13"),
    )),
]  # fmt: skip


class TestRules:
    @pytest.mark.parametrize("text", VALID)
    def test_a_published_key_is_valid(self, text: str) -> None:
        assert fault_of(text) is None
        assert access_key.is_valid(key_of(text), current_year=YEAR)

    @pytest.mark.parametrize("fields", RIGHT, ids=str)
    def test_a_key_with_right_fields_is_valid(self, fields: dict[str, Any]) -> None:
        assert fault_of(make_key(**fields)) is None

    @pytest.mark.parametrize(("fault", "fields"), WRONG, ids=str)
    def test_a_key_with_a_wrong_field_breaks_its_rule(self, fault: KeyFault, fields: dict[str, Any]) -> None:
        assert fault_of(make_key(**fields)) is fault

    @pytest.mark.parametrize(
        ("text", "fault", "mended"),
        [
            pytest.param(VTEX_ONE, KeyFault.INVALID_CHECK_DIGIT, KeyFault.INVALID_TAX_ID, id="VTEX's example"),
            pytest.param(VTEX_TWO, KeyFault.INVALID_CHECK_DIGIT, KeyFault.WRONG_MODEL, id="VTEX's other example"),
            pytest.param(BOLETO, KeyFault.INVALID_CHECK_DIGIT, KeyFault.INVALID_STATE, id="a boleto"),
            pytest.param("0" * 44, KeyFault.INVALID_STATE, KeyFault.INVALID_STATE, id="zeros"),
        ],
    )
    def test_what_is_no_key_breaks_one_with_the_right_check_digit_too(
        self, text: str, fault: KeyFault, mended: KeyFault
    ) -> None:
        assert fault_of(text) is fault
        assert fault_of(with_right_check_digit(text)) is mended

    def test_the_next_year_is_valid_once_it_is_here(self) -> None:
        assert access_key.is_valid(key_of(make_key(year=2027)), current_year=2027)

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


def in_blocks(key: str, between: str) -> str:
    return between.join(key[start : start + 4] for start in range(0, 44, 4))


MANGLED = [
    # by people and spreadsheets
    f"{KEY}\n", f"\ufeff\t{KEY} ", f"'{KEY}", f'"{KEY}"', KEY.lower(), f"{KEY};{KEY}",
    *(in_blocks(KEY, between) for between in (
        " ", ".", "-", " \N{EN DASH} ", "\N{NO-BREAK SPACE}", "\N{ZERO WIDTH SPACE}", "\N{IDEOGRAPHIC SPACE}", "\r\n",
    )),
    f"35-2607-{KEY[6:20]}-55-001-{KEY[25:34]}-{KEY[34:]}",
    f"{KEY} {make_key(model='57')}",  # with the carrier's CT-e
    # with a label
    *(label + KEY for label in (
        "NFe", "NFe:", "NF-e", "NF-e: ", "chNFe", "chNFe: ", "CHNFE=", "Chave:", "chave=", "CHAVE", "Chave de acesso:",
        "chave_acesso_nfe", "chaveDeAcesso", "chaveNFe",
    )),
    "nfe" + KEY.lower(), "NFe " + in_blocks(KEY, " "), f"Chave de acesso: {in_blocks(KEY, ' ')}.",
    # in an address, percent-encoded up to three times
    f"https://nfe.example/consulta?chNFe={KEY}&tpAmb=1", f"https://nfe.example/qrcode?p={KEY}|2|1",
    f"https://nfe.example/qrcode?p={KEY}%7C2%7C1", f"https://erp.example/login?to=%2Fnfe%3FchNFe%3D{KEY}",
    f"https://erp.example/login?to=%252Fnfe%253FchNFe%253D{KEY}",
    f"https%253A%252F%252Ferp.example%252F%253FchNFe%253D{KEY}%2526x", f"https://erp.example/%25253D{KEY}",
    f"https://erp.example/?chNFe={KEY}&amp;tpAmb=1", f"https://erp.example/nfe_{KEY}_danfe.pdf",
    f"NFe{KEY}-procNFe.xml", f"{KEY}{' ' * (8192 - 44)}",
]  # fmt: skip

HOLDS_NONE = [
    "", "0", "N/A", "isento", "0" * 44, "3.52105E+43", "135260000000001",
    "3550308" + "1" * 43,  # an NFS-e
    KEY[:43], KEY + "0", KEY[:43] + "0", make_key(model="65"), f"{KEY} {OTHER}", KEY + OTHER, f"{KEY}x",
    *(before + KEY for before in (
        "x", "xNFe", "CTe", "CT-e", "chCTe", "NFCe", "xchave", "chave1", "NF-e-x", "é", "\N{ARABIC-INDIC DIGIT THREE}",
    )),
    KEY.translate({ord("0") + n: ord("\N{FULLWIDTH DIGIT ZERO}") + n for n in range(10)}),
    KEY.lower().replace("a", "\N{FEMININE ORDINAL INDICATOR}"),
    f"%3Ca%3E{KEY}%3C/a%3E",
    f"https://erp.example/%2525253D{KEY}",  # encoded once too often
    f"{KEY}{' ' * (8192 - 43)}",
]  # fmt: skip


class TestCleanAndFindInText:
    @pytest.mark.parametrize("value", [KEY, *MANGLED])
    def test_the_valid_key_in_a_mangled_value_is_found(self, value: str) -> None:
        assert clean(value) == KEY
        assert find_in_text(value) == KEY

    @pytest.mark.parametrize("value", [*HOLDS_NONE, None, True, 1.5, 5, 10**43, [KEY], {"key": KEY}, KEY.encode()])
    def test_where_there_is_none_or_more_than_one_nothing_is_found(self, value: object) -> None:
        assert clean(value) is None
        assert find_in_text(value) is None

    def test_a_number_of_44_digits_is_a_key_that_lost_its_quotes_but_no_text(self) -> None:
        assert clean(int(VALID[0])) == VALID[0]
        assert clean(int(VALID[0]) + 1) is None
        assert find_in_text(int(VALID[0])) is None

    @pytest.mark.parametrize("wrap", WRAPPINGS)
    def test_a_wrapped_xml_is_read_as_one_and_never_searched(self, wrap: Wrap) -> None:
        assert clean(wrap(make_xml(KEY, references=[OTHER]))) == KEY
        assert find_in_text(wrap(make_xml(KEY))) is None
        assert find_in_text(wrap(f"<refNFe>{KEY}</refNFe>")) is None

    @pytest.mark.parametrize("wrap", WRAPPINGS)
    @pytest.mark.parametrize(
        "xml",
        [
            pytest.param(make_xml(KEY, environment="2"), id="homologation"),
            pytest.param(make_xml(KEY, status="101"), id="not authorised"),
            pytest.param(make_nfe("", references=[KEY]), id="a reference only"),
            pytest.param(f"<doc>{make_xml(KEY)}{make_event(KEY)}</doc>", id="cancelled"),
        ],
    )
    def test_a_wrapped_xml_is_never_read_as_a_text(self, wrap: Wrap, xml: str) -> None:
        assert find_in_text(xml.replace("<", " ").replace(">", " ")) == KEY
        assert clean(wrap(xml)) is None


NOTES = {
    "nfeProc": make_xml(KEY),
    "nfeProc without a namespace": make_xml(KEY, namespace=False),
    "n:": make_xml(KEY).replace("<", "<n:").replace("<n:/", "</n:").replace("xmlns=", "xmlns:n="),
    "bare NFe": make_nfe(KEY),
    "bare NFe without a namespace": make_nfe(KEY, namespace=False),
    "enviNFe with one": f"<enviNFe><idLote>1</idLote>{make_nfe(KEY)}</enviNFe>",
    "enviNFe with the same twice": f"<enviNFe>{make_nfe(KEY)}{make_nfe(KEY)}</enviNFe>",
    "a reference to another": make_xml(KEY, references=[OTHER]),
    "authorised late": make_xml(KEY, status="150"),
    "a sale": make_xml(KEY, direction="1", purpose="1"),
    "a note that complements another": make_xml(KEY, direction="1", purpose="2"),
    "tpNF elsewhere": make_xml(KEY).replace("<emit>", "<emit><tpNF>0</tpNF>"),
    "a word in front, and a quote behind": f'Nota: {make_xml(KEY)}"',
    "nothing said": make_xml(KEY, status=None, environment=None, protocol_environment=None),
    "blanks around chNFe": make_xml(KEY, protocol_key=f"\n  {KEY}\n"),
    "an Id without its prefix": make_nfe(KEY).replace("NFe3526", "3526"),
    "a byte order mark": "\ufeff" + make_xml(KEY),
    "blanks in front": f"\n  <?xml version='1.0' encoding='UTF-8'?>\n{make_xml(KEY)}\n",
    "ISO-8859-1": f"<?xml version='1.0' encoding='ISO-8859-1'?>{make_xml(KEY)}<!-- ção -->",
    "UTF-16": f"<?xml version='1.0' encoding='UTF-16'?>{make_xml(KEY)}",
    "comment and instruction": make_xml(KEY).replace("<emit>", "<!-- c --><?pi x?><emit>"),
}  # fmt: skip


NO_EVIDENCE = {
    "two invoices": f"<enviNFe>{make_nfe(KEY)}{make_nfe(OTHER)}</enviNFe>",
    "a reference only": f"<NFe><ide><NFref><refNFe>{KEY}</refNFe></NFref></ide></NFe>",
    "an infNFe without an Id": f"<NFe><infNFe><ide><NFref>{KEY}</NFref></ide></infNFe></NFe>",
    "a short Id, and a reference": make_nfe("3526", references=[KEY]),
    "an entry note": make_xml(KEY, direction="0"),
    "an entry note, with blanks": make_xml(KEY, direction=" 0 ", purpose="1"),
    "a return note": make_xml(KEY, direction="1", purpose="4"),
    "a return note that says no more": make_xml(KEY, purpose="4"),
    "a wrong check digit": make_nfe(KEY[:43] + "0"),
    "an NFC-e": make_xml(make_key(model="65")),
    "a protocol of another invoice": make_xml(KEY, protocol_key=OTHER),
    "a protocol of none": make_xml(KEY, protocol_key=""),
    "denied": make_xml(KEY, status="302"),
    "cancelled": make_xml(KEY, status="101"),
    "homologation": make_xml(KEY, environment="2"),
    "a protocol of homologation": make_xml(KEY, protocol_environment="2"),
    "a DTD": f"<!DOCTYPE nfeProc>{make_xml(KEY)}",
    "an entity": f"<!DOCTYPE n [<!ENTITY k '{KEY}'>]><n><infNFe Id='NFe&k;'/></n>",
    "not well-formed": make_xml(KEY)[:-1],
    "VTEX's own example": "<?xml version= 1.0 encoding= utf-8 ?><Invoice></invoice>",
    "VTEX's other example": "<NFe>…(shortened)…</NFe>",
    "half a character": "<a>\ud800</a>",
    "a zero character": "<a>\0</a>",
    "deep and open": "<a>" * 100_000,
    "deep and closed": "<a>" * 100_000 + "</a>" * 100_000,
    "too large": make_xml(KEY) + " " * 1024 * 1024,
    "empty": "",
    "no XML": KEY,
    "null": None,
    "bytes": make_xml(KEY).encode(),
    "a number": 5,
}  # fmt: skip


class TestFindInXml:
    @pytest.mark.parametrize("xml", NOTES.values(), ids=NOTES)
    def test_the_key_of_the_one_invoice_is_found(self, xml: str) -> None:
        assert find_in_xml(xml) == KEY

    @pytest.mark.parametrize("xml", NO_EVIDENCE.values(), ids=NO_EVIDENCE)
    def test_anything_less_is_no_evidence(self, xml: object) -> None:
        assert find_in_xml(xml) is None


CANCEL, SUBSTITUTE, CORRECT = "110111", "110112", "110110"
NFE = make_xml(KEY)


def together(*documents: str) -> str:
    """Wrap documents in one, as some ERPs keep a note and its events."""
    return f"<documentos>{''.join(documents)}</documentos>"


def about_a_note(element: str, status: str) -> str:
    return f"<ret><{element}><cStat>{status}</cStat><chNFe>{KEY}</chNFe></{element}></ret>"


def in_a_namespace(event: str) -> str:
    prefixed = re.sub(r"<(/?)(?=\w)", r"<\1e:", event)
    return f'<e:x xmlns:e="{NFE_NAMESPACE}">{prefixed}</e:x>'


CANCELLATIONS = {
    "request and answer apart": together(NFE, make_request(KEY), make_answer(KEY)),
    "corrected, then cancelled": together(NFE, make_event(KEY, CORRECT), make_event(KEY)),
    "another note's besides": together(NFE, make_event(OTHER), make_event(KEY)),
    "refused, then registered": together(NFE, make_event(KEY, CANCEL, "573"), make_event(KEY)),
    "events around it": together(make_event(KEY), NFE, make_event(KEY, CORRECT)),
    "a batch's answers": together(NFE, f"<x><cStat>128</cStat>{make_answer(OTHER)}{make_answer(KEY)}</x>"),
    "within nfeProc": make_xml(KEY).replace("</nfeProc>", f"{make_event(KEY)}</nfeProc>"),
    "deep inside": together(NFE, "<a><b>", make_event(KEY), "</b></a>"),
    "an event for a wrapper": make_answer(KEY).replace("</retEvento>", f"{NFE}</retEvento>"),
    "an infEvento for a wrapper": make_answer(KEY).replace("</infEvento>", f"{NFE}</infEvento>"),
    "a prefix of its own": together(NFE, in_a_namespace(make_answer(KEY))),
    "blanks, a prefix": together(NFE, make_answer(f"\n NFe{KEY} ", f" {CANCEL} ", "\n135\n")),
    "an answer without a key": together(NFE, "<x>", make_request(KEY), make_answer(None, CANCEL), "</x>"),
    "an answer without a kind": together(NFE, "<x>", make_answer(KEY, None), make_request(KEY), "</x>"),
    "the event in CDATA": together(NFE, f"<![CDATA[{make_event(KEY)}]]>"),
    "both in CDATA": together(f"<a><![CDATA[{NFE}]]></a><b><![CDATA[{make_event(KEY)}]]></b>"),
    "as it was before 2013": together(NFE, about_a_note("infCanc", "101")),
    "late, before 2013": together(NFE, about_a_note("infCanc", "151")),
    "by the office itself, before 2013": together(NFE, about_a_note("infCanc", "155")),
    "before 2013, beside a correction": together(NFE, about_a_note("infCanc", "101"), make_event(KEY, CORRECT)),
    "the answer about its situation": together(NFE, about_a_note("retConsSitNFe", "101")),
}  # fmt: skip
NO_CANCELLATIONS = {
    "a correction letter": together(NFE, make_event(KEY, CORRECT)),
    "a correction letter, tersely": together(NFE, make_event(KEY, CORRECT, is_terse=True)),
    "the buyer's confirmation": together(NFE, make_event(KEY, "210200")),
    "refused: registered twice": together(NFE, make_event(KEY, CANCEL, "573")),
    "refused: the request's form": together(NFE, make_event(KEY, CANCEL, "493")),
    "refused: too late": together(NFE, make_event(KEY, CANCEL, "501", is_terse=True)),
    "an answer without a status": together(NFE, make_event(KEY, CANCEL, None)),
    "a request without an answer": together(NFE, make_request(KEY)),
    "another note's": together(NFE, make_event(OTHER)),
    "another note's, tersely": together(NFE, make_event(OTHER, is_terse=True)),
    "refused, then a correction letter, both tersely": together(
        NFE, make_event(KEY, CANCEL, "573", is_terse=True), make_event(KEY, CORRECT, is_terse=True)
    ),
    "an answer to another request": together(NFE, "<x>", make_request(KEY), make_answer(None, CORRECT), "</x>"),
    "refused, beside another note's, tersely": together(
        NFE, "<x>", make_request(OTHER), make_answer(None, None), make_answer(KEY, CANCEL, "573"), "</x>"
    ),
    "an answer about no note": together(NFE, make_answer(None)),
    "an answer of no kind": together(NFE, make_answer(KEY, None)),
    "refused before 2013": together(NFE, about_a_note("infCanc", "420")),
    "a cancellation of none": together(NFE, "<infCanc><cStat>101</cStat></infCanc>"),
    "authorised, says the answer about its situation": together(NFE, about_a_note("retConsSitNFe", "100")),
}  # fmt: skip


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

    @pytest.mark.parametrize("xml", CANCELLATIONS.values(), ids=CANCELLATIONS)
    def test_is_told_by_any_form_of_it(self, xml: str) -> None:
        assert markup.documents(xml)
        assert find_in_xml(xml) is None

    @pytest.mark.parametrize("xml", NO_CANCELLATIONS.values(), ids=NO_CANCELLATIONS)
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
            pytest.param(make_answer(""), set(), id="an answer about no note"),
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


MANGLINGS: dict[Mangling, list[object]] = {
    Mangling.NOT_TEXT: [None, int(VALID[0]), [KEY]],
    Mangling.XML: [
        *(wrap(make_xml(KEY)) for wrap in BY_NAME.values()),
        make_xml(KEY) + " " * 8192, quote(make_xml(KEY)) + " " * 8192,
    ],
    Mangling.ADDRESS: [
        f"https://nfe.example/consulta?chNFe={KEY}", f"www.nfe.example/consulta?chNFe={KEY}", f"consulta?p={KEY}|2|1",
        f"\n WWW.nfe.example/{KEY}", f"https%253A%252F%252Fx.example%252F%253Fp%253D{KEY}", f"x&chNFe={KEY}",
    ],
    Mangling.SPREADSHEET: ["3.52105E+43", "3.52E43", "3,52e43", "'3.52603E+043", " 3,52105e+43\n", "4E+43"],
    Mangling.PROTOCOL: ["135260000000001", "135 260 000 000 001", "13526000000000001"],
    Mangling.NFSE: ["3550308" + "1" * 43, "355030812" + "12ABC34501DE" + "1" * 29],
    Mangling.PREFIX: ["NFe" + KEY, "nfe" + KEY, "CFe35201100063960001504590006629690333214542150"],
    Mangling.SEPARATORS: [in_blocks(KEY, "."), in_blocks(KEY, "_")],
    Mangling.BLANKS: [
        KEY + "\n", *(in_blocks(KEY, blank) for blank in (" ", "\N{NO-BREAK SPACE}", "\N{ZERO WIDTH SPACE}")),
    ],
    Mangling.LOWER_CASE: [KEY.lower()],
    Mangling.TOO_SHORT: [KEY[:43], "799", "1352600000000001", "135260000000000001"],
    Mangling.TOO_LONG: [KEY + "0", KEY + OTHER, "1" * 8193],
    Mangling.OTHER: ["N/A", "isento", "", "\uff13" * 44, KEY[:30] + "A" + KEY[31:], KEY[:43] + "\uff17"],
}  # fmt: skip


class TestManglings:
    @pytest.mark.parametrize("text", [*VALID, "0" * 44])
    def test_what_has_the_shape_is_not_mangled(self, text: str) -> None:
        assert access_key.manglings(text) == ()

    @pytest.mark.parametrize(
        ("mangling", "value"), [(mangling, value) for mangling, values in MANGLINGS.items() for value in values]
    )
    def test_one_reason_is_told_alone(self, mangling: Mangling, value: object) -> None:
        assert access_key.manglings(value) == (mangling,)

    @pytest.mark.parametrize(
        ("value", "told"),
        [
            ("NF-e: " + in_blocks(KEY.lower(), " "), "prefix separators blanks lower_case"),
            ("NFe " + in_blocks(KEY[:43], " "), "prefix blanks too_short"),
            ("key-78923479834", "prefix separators too_short"),
            ("1 " * 4096, "blanks too_long"),
        ],
    )
    def test_reasons_that_come_together_are_told_together(self, value: str, told: str) -> None:
        assert " ".join(access_key.manglings(value)) == told


def test_no_xml_parser_is_loaded_before_there_is_an_xml_to_read() -> None:
    program = "import sys, invoicekey.rules.access_key; print([name for name in sys.modules if 'xml' in name])"
    path = {"PYTHONPATH": ":".join(sys.path)}
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=path)
    assert loaded.stdout == "[]\n"
