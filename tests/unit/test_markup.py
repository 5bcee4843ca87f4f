import doctest
import re
import subprocess
import sys
from base64 import b64encode
from html import escape
from urllib.parse import quote

import pytest

from invoicekey.rules import markup
from tests.keys import make_key, make_xml
from tests.wrappings import BY_NAME, WRAPPINGS, Wrap

KEY = make_key()
XML = make_xml(KEY)
PERSON = "<dest><CPF>12345678909</CPF><xNome>Maria</xNome></dest>"
MEBI = 1024 * 1024
OUTER = [wrap for wrap in WRAPPINGS if wrap.id != "SOAP" and not re.search("base64|data", str(wrap.id))]
"""Those into which any text may be put: SOAP takes XML alone, and base64 is taken where XML is what it holds."""


def roots(text: object) -> list[str]:
    return [root.tag.rpartition("}")[2] for root in markup.documents(text)]


def has_note(text: str) -> bool:
    return any(element.get("Id") == f"NFe{KEY}" for root in markup.documents(text) for element in root.iter())


def test_the_examples_in_the_docstring_hold() -> None:
    assert doctest.testmod(markup) == (0, 2)


class TestIsMarkup:
    @pytest.mark.parametrize("wrap", WRAPPINGS)
    @pytest.mark.parametrize("xml", [XML, PERSON, f"<?xml version='1.0'?>{PERSON}", f"<!-- x -->{PERSON}"])
    def test_is_any_xml_however_it_is_wrapped(self, xml: str, wrap: Wrap) -> None:
        assert markup.is_markup(wrap(xml))

    @pytest.mark.parametrize("wrap", WRAPPINGS)
    @pytest.mark.parametrize("length", [30, 48, 64, 500])
    def test_is_what_is_left_of_one_that_was_cut(self, length: int, wrap: Wrap) -> None:
        cut = wrap(PERSON * 50)[:length]
        assert markup.is_markup(cut) or not any(word in cut for word in ("Maria", "123456", "dest"))

    @pytest.mark.parametrize("wrap", [wrap for wrap in WRAPPINGS if "base64" not in str(wrap.id)])
    def test_is_a_text_with_markup_in_it(self, wrap: Wrap) -> None:
        assert markup.is_markup("Nota: " + wrap(PERSON))

    @pytest.mark.parametrize("text", ["<", "a < b", "x" * 10 * MEBI + "<", "&lt;", "%3c", r"\u003C", "&amp;amp;lt;"])
    def test_is_whatever_has_its_first_sign(self, text: str) -> None:
        assert markup.is_markup(text)

    def test_is_what_is_wrapped_too_often_to_be_looked_through(self) -> None:
        text = "Maria"
        for _ in range(10):
            text = quote(f"%{text}")
        assert markup.is_markup(text)

    @pytest.mark.parametrize(
        "text",
        [
            "", " ", KEY, f"NFe{KEY}", "643797", "643797/2", "NFE-2026-001234", "a > b", "R$ 10,00", "3.52E43",
            "PA123456789BR", "PG123456789BRPG123456789BR", "PEDIDO12345678901", "PD94", r"C:\notas\nfe\2026",
            "100%", "100%25", "A &amp; B", "&#9999999;", r"\ud800", "https://x.example/?a=1&amp;b=%20",
            "Segue a chave de acesso da nota para o pedido", b64encode(b"no markup at all, but base64").decode(),
            b64encode(b"a < b and more of it").decode(), "x" * 10_000 + "&lt;",
        ],
    )  # fmt: skip
    def test_is_no_other_text(self, text: str) -> None:
        assert not markup.is_markup(text)

    @pytest.mark.parametrize("length", range(12, 20))
    def test_is_a_run_of_base64_cut_anywhere(self, length: int) -> None:
        run = b64encode(PERSON.encode()).decode()[:length]
        assert markup.is_markup(run) == (length >= 16)


class TestDocuments:
    @pytest.mark.parametrize("wrap", WRAPPINGS)
    def test_are_found_however_they_are_wrapped(self, wrap: Wrap) -> None:
        assert has_note(wrap(XML))

    @pytest.mark.parametrize("outer", OUTER)
    def test_are_found_in_a_wrapping_within_another(self, outer: Wrap) -> None:
        assert [name for name, inner in BY_NAME.items() if not has_note(outer(inner(XML)))] == []

    @pytest.mark.parametrize("wrap", [escape, quote, lambda xml: b64encode(xml.encode()).decode()])
    def test_are_none_in_base64_that_does_not_begin_like_one(self, wrap: Wrap) -> None:
        assert not has_note(b64encode(wrap(XML).encode()).decode())

    def test_are_those_within_others_too(self) -> None:
        inner = escape(f"<b>{escape(XML)}</b>")
        assert roots(f"<a><x>{inner}</x>{inner}</a>") == ["a", "b", "nfeProc", "b", "nfeProc"]

    def test_are_none_behind_more_than_five_wrappings(self) -> None:
        texts = [XML]
        for _ in range(6):
            texts.append(escape(texts[-1]))
        assert [bool(roots(text)) for text in texts] == [True] * 6 + [False]

    @pytest.mark.parametrize(
        "text",
        [
            XML + XML, XML[:-1], escape(XML)[:-10], "<!DOCTYPE x>" + XML, escape("<!DOCTYPE x>" + XML),
            XML + " " * MEBI,  # too long
            "&lt;", "<", "<]]>", "<![CDATA[", KEY, "", None, XML.encode(), [XML],
        ],
        ids=lambda text: ascii(text)[:16],
    )  # fmt: skip
    def test_are_none_in_anything_else(self, text: object) -> None:
        assert markup.documents(text) == []

    def test_are_none_where_they_are_too_many(self) -> None:
        one = f"<b>{escape(XML)}</b>"
        assert len(roots(f"<a>{one * 99}</a>")) == 100
        assert roots(f"<a>{one * 100}</a>") == []

    def test_are_none_where_they_are_too_much_together(self) -> None:
        long = f"<a>{'x' * (MEBI - 200)}</a>"
        assert len(roots(escape(escape(long)))) == 1
        assert roots(escape(escape(escape(escape(long))))) == []


class TestWhatIsHostile:
    """It costs no more than its length: no text becomes longer, and none is looked through more than five times."""

    @pytest.mark.parametrize(
        "text",
        [
            "%25" * 300_000, "%" + "25" * 500_000, "&amp;" * 200_000, "&" + "amp;" * 250_000, "\\" * 300_000,
            "<" + "\\" * 300_000, "<![CDATA[" * 100_000, "<![CDATA[" * 50_000 + "]]>" * 50_000, "PD94" * 250_000,
            ("PD94" + " " * 60) * 15_000, "<a>" * 300_000, "<a>" * 50_000 + "</a>" * 50_000, "<" * MEBI,
            "&#" + "9" * 500_000 + ";", "&#x" + "f" * 500_000 + ";<", "\\u" * 300_000, r"<\ud800\udc00" * 50_000,
            "<a>" + ("<b>" + "PGFhYWFhYWFh" * 4 + "</b>") * 15_000 + "</a>",
            "<a>" + "<b>&amp;lt;</b>" * 60_000 + "</a>",
        ],
        ids=lambda text: text[:12],
    )  # fmt: skip
    def test_is_looked_through_to_its_end(self, text: str) -> None:
        assert markup.is_markup(text) in {True, False}
        assert len(markup.documents(text)) <= 1


def test_no_parser_and_no_entities_are_loaded_before_there_is_an_xml_to_read() -> None:
    program = "import sys, invoicekey.rules.markup as m; m.is_markup('a/2'); print({'html', 'xml'} & {*sys.modules})"
    path = {"PYTHONPATH": ":".join(sys.path)}
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=path)
    assert loaded.stdout == "set()\n"
