import contextlib
import string
from typing import Any
from urllib.parse import quote

import pytest
from erpbrasil.base.fiscal.edoc import detectar_chave_edoc
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from invoicekey.rules import access_key
from invoicekey.rules.access_key import AccessKey, KeyFault, Mangling
from tests.keys import make_cnpj, make_cpf, make_event, make_key, make_xml, with_right_check_digit
from tests.property.second_opinion import opinion
from tests.wrappings import BY_NAME

YEAR = 2026
KEY = "35260712ABC34501DE35550010000001231123456787"
DIGITS, ALPHANUMERIC = string.digits, string.digits + string.ascii_uppercase
STATES = [11, 12, 13, 14, 15, 16, 17, *range(21, 30), 31, 32, 33, 35, 41, 42, 43, 50, 51, 52, 53]

usual = settings().max_examples
more = settings(max_examples=4 * usual)

shapes = st.from_regex(r"[0-9]{6}[A-Z0-9]{12}[0-9]{26}", fullmatch=True, alphabet=st.characters(codec="ascii"))
cnpjs = st.builds(make_cnpj, st.text(ALPHANUMERIC, min_size=12, max_size=12).filter(lambda base: base != "0" * 12))
cpfs = st.builds(make_cpf, st.text(DIGITS, min_size=9, max_size=9).filter(lambda base: base != "0" * 9))
numbers = st.integers(1, 999_999_999)
codes = st.integers(0, 99_999_999)


def keys_of(tax_ids: st.SearchStrategy[str], series: st.SearchStrategy[int], types: str) -> st.SearchStrategy[str]:
    """Valid keys with an emission type: from 2012 on, and so in months that had one."""
    return st.builds(
        make_key,
        state=st.sampled_from(STATES),
        year=st.integers(2012, YEAR),
        month=st.integers(1, 12),
        tax_id=tax_ids,
        series=series,
        number=numbers,
        emission_type=st.sampled_from(types),
        code=codes,
    )


older_keys = st.builds(
    make_key,
    state=st.sampled_from(STATES),
    year=st.integers(2006, 2010),
    month=st.integers(1, 12),
    tax_id=cnpjs,
    number=numbers,
    emission_type=st.none(),
    code=st.integers(0, 999_999_999),
)
valid_keys = st.one_of(
    keys_of(cnpjs, st.integers(0, 909), "12345679"),
    keys_of(cpfs, st.integers(910, 969), "12345679"),
    keys_of(cpfs, st.integers(0, 969), "3"),
    older_keys,
)
# Each field may be right or wrong, the check digit is right: so the later rules are reached too.
likely_keys = st.builds(
    make_key,
    state=st.sampled_from([*STATES, 0, 10, 18, 30, 34, 54, 99]),
    year=st.integers(2004, YEAR + 2),
    month=st.integers(0, 14),
    tax_id=st.one_of(cnpjs, cpfs, st.text(DIGITS, min_size=14, max_size=14), st.just("0")),
    model=st.sampled_from(["55", "55", "55", "65", "57", "59", "00"]),
    series=st.one_of(st.integers(0, 999), st.sampled_from([889, 890, 899, 900, 909, 910, 969, 970])),
    number=st.one_of(st.just(0), numbers),
    emission_type=st.sampled_from("0123456789"),
    code=codes,
)
json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=5,
)
separators = st.text(
    st.characters(exclude_categories=["L", "N", "Cs"], exclude_characters="<%&?"), min_size=1, max_size=3
)


IN_FRONT = [
    "", "NFe", "nfe", "NFE ", "NF-e", "NFe:", "chave: ", "Chave:", "chave=", "CHAVE", "Chave de acesso: ", "chNFe",
    "chNFe:", "?chNFe=", "&p=", "'", "\ufeff", " \n",
]  # fmt: skip


@st.composite
def mangled(draw: st.DrawFn, keys: st.SearchStrategy[str] = valid_keys) -> tuple[str, str]:
    """Draw a valid key and what a person, an ERP or a spreadsheet may have made of it."""
    key = draw(keys)
    separator = draw(separators)
    size = draw(st.integers(1, 44))
    value = separator.join(key[start : start + size] for start in range(0, 44, size))
    value = draw(st.sampled_from([value, key, key.lower(), value.lower()]))
    value = draw(st.sampled_from(IN_FRONT)) + value
    value += draw(st.sampled_from(["", "\n", " ", ".", "|2|1", "&tpAmb=1", ";", "\N{NO-BREAK SPACE}"]))
    for _ in range(draw(st.integers(0, 2))):
        value = quote(value)
    return key, value


def fault_of(text: str) -> str | None:
    key = access_key.parse(text)
    return "malformed" if key is None else access_key.first_fault(key, current_year=YEAR)


def clean(value: object) -> str | None:
    key = access_key.clean(value, current_year=YEAR)
    return key.text if key else None


@st.composite
def with_one_changed(draw: st.DrawFn) -> str:
    """Draw a valid key with one character changed, with or without the check digit that this asks for."""
    key, place = draw(valid_keys), draw(st.integers(0, 43))
    text = key[:place] + draw(st.sampled_from(ALPHANUMERIC + "abz:@\u0663\uff17 \n")) + key[place + 1 :]
    return with_right_check_digit(text) if access_key.parse(text) is not None and draw(st.booleans()) else text


@st.composite
def with_two_swapped(draw: st.DrawFn) -> str:
    key, place = draw(valid_keys), draw(st.integers(0, 42))
    return key[:place] + key[place + 1] + key[place] + key[place + 2 :]


TEXTS = {
    "any shape": shapes,
    "any shape with the right check digit": shapes.map(with_right_check_digit),
    "keys that are right or wrong in each field": likely_keys,
    "valid keys": valid_keys,
    "valid keys with one character changed": with_one_changed(),
    "valid keys with two neighbours swapped": with_two_swapped(),
    "any text": st.text() | st.text(ALPHANUMERIC, min_size=43, max_size=45) | st.just(KEY + "\n"),
}


class TestTwoImplementationsAgree:
    @pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS)
    @more
    @given(st.data())
    def test_on(self, texts: st.SearchStrategy[str], data: st.DataObject) -> None:
        text = data.draw(texts)
        assert fault_of(text) == opinion(text, YEAR)

    @given(valid_keys)
    def test_that_a_valid_key_is_one(self, text: str) -> None:
        assert fault_of(text) is None

    @given(valid_keys, st.integers(1990, 2110))
    def test_on_the_year(self, text: str, year: int) -> None:
        assert access_key.first_fault(AccessKey(text), current_year=year) == opinion(text, year)


class TestALibraryAgrees:
    """With erpbrasil.base, where both judge by the same rule.

    It knows neither years, months, numbers and emission types, nor that an NFF may carry a CPF; it takes models other
    than 55, a CPF in the series of tax offices, any three characters before a CPF, and no CPF of one repeated digit.
    """

    @staticmethod
    def accepts(text: str) -> bool:
        with contextlib.suppress(ValueError):
            return detectar_chave_edoc(text) is not None
        return False

    @given(
        keys_of(cnpjs, st.integers(0, 909), "12345679")
        | keys_of(cpfs.filter(lambda cpf: len(set(cpf)) > 1), st.integers(910, 969), "12345679")
        | older_keys
    )
    def test_that_a_companys_and_a_persons_key_is_valid(self, text: str) -> None:
        assert self.accepts(text)
        assert fault_of(text) is None

    @more
    @given(valid_keys | likely_keys, st.integers(0, 43), st.sampled_from(ALPHANUMERIC))
    def test_that_a_wrong_check_digit_state_or_company_is_refused(self, key: str, place: int, other: str) -> None:
        text = key[:place] + other + key[place + 1 :]
        assume(text[22:25] < "890" or "900" <= text[22:25] < "910")
        if fault_of(text) in {KeyFault.INVALID_CHECK_DIGIT, KeyFault.INVALID_STATE, KeyFault.INVALID_TAX_ID}:
            assert not self.accepts(text)


class TestNothingRaises:
    @given(json_like)
    def test_on_any_value(self, value: object) -> None:
        for find in (access_key.clean, access_key.find_in_text, access_key.find_in_xml):
            found: Any = find(value, current_year=YEAR)
            assert found is None
        assert access_key.parse(value) is None
        assert access_key.manglings(value)

    @given(st.text("0123456789ABNFe .-%<>&;?=/\n\ufeff\ud800\u0663", max_size=120))
    def test_on_text_of_what_keys_and_their_wrappings_are_made_of(self, text: str) -> None:
        for find in (access_key.clean, access_key.find_in_text, access_key.find_in_xml):
            find(text, current_year=YEAR)
        assert bool(access_key.manglings(text)) == (access_key.parse(text) is None)

    @given(valid_keys.map(make_xml), st.data())
    def test_on_an_xml_with_a_piece_cut_out(self, xml: str, data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(xml)))
        end = data.draw(st.integers(start, len(xml)))
        found = clean(xml[:start] + xml[end:])
        assert found is None or found in xml


class TestCleaning:
    @more
    @given(mangled())
    def test_a_mangled_valid_key_is_found_again(self, drawn: tuple[str, str]) -> None:
        key, value = drawn
        assert clean(value) == key

    @given(valid_keys, st.lists(valid_keys, max_size=2))
    def test_the_xml_of_an_invoice_gives_its_key_whatever_it_refers_to(self, key: str, others: list[str]) -> None:
        assert clean(make_xml(key, references=others)) == key

    @given(mangled(likely_keys))
    def test_only_valid_keys_come_out(self, drawn: tuple[str, str]) -> None:
        _, value = drawn
        found = clean(value)
        assert found is None or opinion(found, YEAR) is None

    @given(mangled(), valid_keys)
    def test_two_different_keys_are_one_too_many(self, drawn: tuple[str, str], other: str) -> None:
        key, value = drawn
        assume(key != other)
        assert clean(f"{value} {other}") is None


own_events = st.tuples(
    st.just("own"),
    st.sampled_from(["110110", "110111", "110112", "210200"]),
    st.sampled_from(["135", "136", "155", "573", "493", "100", "101", None]),
    st.booleans(),
)
events = st.lists(st.one_of(own_events, own_events.map(lambda event: ("other", *event[1:]))), max_size=5)


class TestTheXmlOfANote:
    @given(valid_keys, st.sampled_from(sorted(BY_NAME)), st.sampled_from(sorted(BY_NAME)))
    def test_gives_its_key_whatever_it_is_wrapped_in(self, key: str, wrapping: str, another: str) -> None:
        wrapped = BY_NAME[wrapping](make_xml(key))
        assert clean(wrapped) == key
        assert access_key.manglings(wrapped) == (Mangling.XML,)
        other = BY_NAME[another](make_xml(key, environment="2"))
        assert clean(other) is None

    @given(valid_keys, valid_keys, events, st.integers(0, 5), st.booleans())
    def test_gives_it_where_and_only_where_no_cancellation_of_it_is_registered(
        self, key: str, other: str, found: list[tuple[str, str, str | None, bool]], place: int, in_cdata: bool
    ) -> None:
        assume(key != other)
        documents = [
            make_event(key if whose == "own" else other, kind, status, is_terse=is_terse)
            for whose, kind, status, is_terse in found
        ]
        documents.insert(place, make_xml(key))
        written = [f"<d><![CDATA[{document}]]></d>" if in_cdata else document for document in documents]
        is_canceled = any(
            whose == "own" and kind in {"110111", "110112"} and status in {"135", "136", "155"}
            for whose, kind, status, _ in found
        )
        assert clean(f"<all>{''.join(written)}</all>") == (None if is_canceled else key)

    @given(valid_keys, st.sampled_from(["0", "1", None]), st.sampled_from(["1", "2", "3", "4", None]))
    def test_gives_it_for_no_entry_and_no_return(self, key: str, direction: str | None, purpose: str | None) -> None:
        is_sale = direction != "0" and purpose != "4"
        assert clean(make_xml(key, direction=direction, purpose=purpose)) == (key if is_sale else None)


class TestManglings:
    @given(mangled() | st.tuples(st.just(""), st.text()))
    def test_are_told_where_and_only_where_there_is_no_key_each_once_and_in_order(self, drawn: tuple[str, str]) -> None:
        told = access_key.manglings(drawn[1])
        assert bool(told) == (access_key.parse(drawn[1]) is None)
        assert list(told) == [mangling for mangling in Mangling if mangling in told]
