r"""The NF-e access key: 44 characters that are parsed, verified, cleaned, and found in a text or an XML.

    >>> key = parse("35260712ABC34501DE35550010000001231123456787")
    >>> key.tax_id, key.year, key.number, first_fault(key, current_year=2026)
    ('12ABC34501DE35', 2026, 123, None)

Sources: Nota Técnica Conjunta 2025.001 (alphanumeric CNPJ), section 5; MOC 7.0, rules J02a to J02g; XSD PL_010.
All classes of characters are spelled out in ASCII: `\d` and str.isdigit take other scripts' digits for digits.
"""

import enum
import itertools
import re
import string
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from validate_docbr import CNPJ, CPF

from invoicekey.rules import markup

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MODELS: Mapping[str, str] = {
    "55": "NF-e",
    "57": "CT-e",
    "58": "MDF-e",
    "59": "CF-e SAT",
    "62": "NFCom",
    "63": "BP-e",
    "64": "GTV-e",
    "65": "NFC-e",
    "66": "NF3-e",
    "67": "CT-e OS",
}

_LENGTH = 44
_SHAPE = re.compile(r"[0-9]{6}[A-Z0-9]{12}[0-9]{26}")
_SHAPE_IN_ANY_CASE = re.compile(r"[0-9]{6}[A-Za-z0-9]{12}[0-9]{26}")

# IBGE's codes, region by region: North, Northeast, Southeast, South, Centre-West.
_STATES = frozenset((*range(11, 18), *range(21, 30), 31, 32, 33, 35, 41, 42, 43, *range(50, 54)))
_FIRST_YEAR, _LAST_MONTH = 2006, 12
_SERIES_OF_CPF = range(910, 970)
_SERIES_OF_NOBODY = range(970, 1000)
_FIRST_MONTH_WITH_EMISSION_TYPE = "1104"
_NFF = "3"

# No field of an order that holds a key is longer: what is longer is not searched.
_MAX_TEXT = 8 * 1024
_MOST_DECODINGS = 3

_AUTHORISED = frozenset({"100", "150"})
_CANCELLATIONS = frozenset({"110111", "110112"})
_REGISTERED = frozenset({"135", "136", "155"})
_ANSWERS = frozenset({"infCanc", "infProt", "retConsSitNFe"})
_CANCELED = frozenset({"101", "151", "155"})


class KeyFault(enum.StrEnum):
    """What is wrong with a key: the problem codes of the contract, in the order in which they are looked for."""

    MALFORMED = enum.auto()
    INVALID_CHECK_DIGIT = enum.auto()
    INVALID_STATE = enum.auto()
    INVALID_YEAR = enum.auto()
    INVALID_MONTH = enum.auto()
    INVALID_TAX_ID = enum.auto()
    WRONG_MODEL = enum.auto()
    INVALID_NUMBER = enum.auto()
    INVALID_EMISSION_TYPE = enum.auto()


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A text that has the shape of an access key; whether it is a valid one, `first_fault` says.

    Raises ValueError when built from anything but `[0-9]{6}[A-Z0-9]{12}[0-9]{26}` (NT 2025.001, section 5).
    """

    text: str

    def __post_init__(self) -> None:
        """Refuse another shape: every property below cuts at fixed positions."""
        if not _SHAPE.fullmatch(self.text):
            raise ValueError(f"expected an access key of the shape {_SHAPE.pattern}, got {self.text[:60]!r}")

    @property
    def state(self) -> str:
        """The issuer's state, cUF: two digits, IBGE's code."""
        return self.text[0:2]

    @property
    def year(self) -> int:
        """The year of issue in full: 2026."""
        return 2000 + int(self.text[2:4])

    @property
    def month(self) -> int:
        """The month of issue: 1 to 12 where the key is valid."""
        return int(self.text[4:6])

    @property
    def tax_id(self) -> str:
        """The issuer: a CNPJ of 14 characters, or a CPF of 11 digits where series or emission type say so.

        In series 890 to 899 it is the CNPJ of the state's tax office, not the seller's.
        """
        field = self.text[6:20]
        by_nff = self.emission_type == _NFF and not _is_cnpj(field) and _is_padded_cpf(field)
        return field.removeprefix("000") if by_nff or self.series in _SERIES_OF_CPF else field

    @property
    def model(self) -> str:
        """The document's model: two digits; `MODELS` names the known ones."""
        return self.text[20:22]

    @property
    def series(self) -> int:
        """The series: 0 to 969 where the key is valid."""
        return int(self.text[22:25])

    @property
    def number(self) -> int:
        """The invoice number, nNF: 1 to 999999999 where the key is valid."""
        return int(self.text[25:34])

    @property
    def emission_type(self) -> str | None:
        """The emission type, tpEmis: one digit; None before April 2011, when keys had none (its place was cNF's)."""
        return self.text[34] if self.text[2:6] >= _FIRST_MONTH_WITH_EMISSION_TYPE else None

    @property
    def check_digit(self) -> str:
        """The last digit, cDV, as it stands."""
        return self.text[43]


# A rule holds for a key in a year; each has the number by which the tax office refuses what breaks it.
_RULES: tuple[tuple[KeyFault, Callable[[AccessKey, int], bool]], ...] = (
    (KeyFault.INVALID_CHECK_DIGIT, lambda key, _: key.check_digit == _check_digit(key.text[:-1])),  # 236
    (KeyFault.INVALID_STATE, lambda key, _: int(key.state) in _STATES),  # 614
    (KeyFault.INVALID_YEAR, lambda key, current_year: _FIRST_YEAR <= key.year <= current_year),  # 615
    (KeyFault.INVALID_MONTH, lambda key, _: 1 <= key.month <= _LAST_MONTH),  # 616
    (KeyFault.INVALID_TAX_ID, lambda key, _: _has_right_tax_id(key)),  # 617
    (KeyFault.WRONG_MODEL, lambda key, _: key.model == "55"),  # 618
    (KeyFault.INVALID_NUMBER, lambda key, _: key.number >= 1),  # 619
    (KeyFault.INVALID_EMISSION_TYPE, lambda key, _: key.emission_type in (None, *"12345679")),  # XSD, tpEmis
)


def parse(value: object) -> AccessKey | None:
    """Return the key that `value` is, character by character; None for every other shape and for what is not text."""
    return AccessKey(value) if isinstance(value, str) and _SHAPE.fullmatch(value) else None


def first_fault(key: AccessKey, *, current_year: int) -> KeyFault | None:
    """Return the first rule that the key breaks, in the tax office's own order of refusal; None for a valid NF-e key.

    236 check digit, 614 state, 615 year (2006 to `current_year`), 616 month, 617 CNPJ or CPF, 618 model (55 alone),
    619 number, then the emission type by the XSD's list. MALFORMED never comes: an AccessKey has the shape.
    """
    return next((fault for fault, holds in _RULES if not holds(key, current_year)), None)


def is_valid(key: AccessKey, *, current_year: int) -> bool:
    """Say whether the key breaks no rule."""
    return first_fault(key, current_year=current_year) is None


def clean(value: object, *, current_year: int) -> AccessKey | None:
    """Return the one valid key that a mangled field value holds; None where there is none, or two different ones.

    Takes what `find_in_text` takes, a whole XML (as `find_in_xml` reads it), and a number of 44 digits.
    """
    if isinstance(value, int) and 10 ** (_LENGTH - 1) <= value < 10**_LENGTH:
        value = str(value)
    find = find_in_xml if isinstance(value, str) and markup.is_markup(value) else find_in_text
    return find(value, current_year=current_year)


def find_in_text(text: object, *, current_year: int) -> AccessKey | None:
    """Return the one valid key in an address or a free text; None where there is none, or two different ones.

    The key stands by itself: no letter or digit right next to it, but a label in front (NFe, NF-e, chNFe, chave, chave
    de acesso). Its characters may be in lower case, percent-encoded up to three times, and apart (blocks with blanks,
    dots, dashes). Markup is not searched, as an XML names other documents' keys too; nor is a text of more than 8,192
    characters.
    """
    if not isinstance(text, str) or len(text) > _MAX_TEXT or markup.is_markup(text):
        return None
    standing = _STANDING_BY_ITSELF.finditer(_without_percents(text))
    found = {AccessKey(_squeezed(match[1]).upper()) for match in standing}
    valid = [key for key in found if is_valid(key, current_year=current_year)]
    return valid[0] if len(valid) == 1 else None


def find_in_xml(xml: object, *, current_year: int) -> AccessKey | None:
    """Return the key that `read_xml` finds."""
    return read_xml(xml, current_year=current_year).key


@dataclass(frozen=True, slots=True)
class XmlEvidence:
    """What an XML says of the keys in it."""

    key: AccessKey | None
    """The valid key of the one NF-e that it holds, where nothing in it speaks against that."""
    of_no_sale: frozenset[str]
    """The keys that no sale may have, wherever else they stand: of cancelled notes, of entries and returns."""


def read_xml(xml: object, *, current_year: int) -> XmlEvidence:
    """Read an XML, whatever it is wrapped in: nfeProc, NFe, enviNFe, one with events, a SOAP envelope.

    The key is infNFe/@Id less its prefix, where there is one. Where they stand, infProt/chNFe equals it, infProt/cStat
    is 100 or 150 (authorised), and tpAmb, in ide and infProt, is 1 (production). It is of a sale: ide speaks of no
    entry (tpNF 0) and no return (finNFe 4), and no cancellation of it is registered there. What `markup.documents` does
    not read is no evidence, not an error.
    """
    roots = markup.documents(xml)
    said = _said(roots)
    ids = said["infNFe/@Id"]
    of_no_sale = said["entry or return"].union(*map(_canceled, roots))
    is_good = (
        len(ids) == 1
        and said["infProt/chNFe"] <= ids
        and said["infProt/cStat"] <= _AUTHORISED
        and said["ide/tpAmb"] | said["infProt/tpAmb"] <= {"1"}
        and ids.isdisjoint(of_no_sale)
    )
    key = parse(next(iter(ids))) if is_good else None
    is_sound = key is not None and is_valid(key, current_year=current_year)
    return XmlEvidence(key if is_sound else None, frozenset(of_no_sale))


class Mangling(enum.StrEnum):
    """Why a value has not the shape of a key. The first six, and `other` where no digit is, come alone."""

    NOT_TEXT = enum.auto()
    XML = enum.auto()  # whatever it is wrapped in
    ADDRESS = enum.auto()  # a URL, or the query part of one
    SPREADSHEET = enum.auto()  # 3.52105E+43, or without the plus: digits are lost
    PROTOCOL = enum.auto()  # 15 digits, 17 since 2025: the number of the authorisation
    NFSE = enum.auto()  # 50 characters: the key of a service invoice
    PREFIX = enum.auto()  # letters in front of the first digit
    SEPARATORS = enum.auto()  # what is neither letter, digit nor blank
    BLANKS = enum.auto()  # all that shows as a gap or not at all: spaces, newlines, no-break and zero-width spaces
    LOWER_CASE = enum.auto()
    TOO_SHORT = enum.auto()  # less than 44 characters without prefix, separators and blanks
    TOO_LONG = enum.auto()
    OTHER = enum.auto()  # no digit at all; or 44 characters, some of them where they may not be


def manglings(value: object) -> tuple[Mangling, ...]:
    """Say why a value is malformed, in the order of `Mangling`; empty where, and only where, `parse` gives a key.

    It is for texts that people read. A value that is null, empty or blank is missing, and its caller's matter.
    """
    if not isinstance(value, str):
        return (Mangling.NOT_TEXT,)
    if parse(value) is not None:
        return ()
    if len(value) > _MAX_TEXT:
        return (Mangling.XML if markup.is_markup(value) else Mangling.TOO_LONG,)
    if (whole := _taken_for(value)) is not None:
        return (whole,)
    rest = _squeezed(value)
    core = _LETTERS_IN_FRONT.sub("", rest)
    signs = {
        Mangling.PREFIX: core != rest,
        Mangling.SEPARATORS: any(not character.isalnum() and not _is_blank(character) for character in value),
        Mangling.BLANKS: any(map(_is_blank, value)),
        Mangling.LOWER_CASE: any(map(str.islower, core)),
        Mangling.TOO_SHORT: len(core) < _LENGTH,
        Mangling.TOO_LONG: len(core) > _LENGTH,
        Mangling.OTHER: len(core) == _LENGTH and not _SHAPE_IN_ANY_CASE.fullmatch(core),
    }
    return tuple(mangling for mangling, shows in signs.items() if shows)


# Possessive, so that a failed match is never tried again with fewer separators.
_APART = r"[\W_]*+"
_STANDING_BY_ITSELF = re.compile(
    r"(?<![^\W_])(?i:chave|de|acesso|ch|nf-?e)*+"
    rf"(?=((?:[0-9]{_APART}){{6}}(?:[A-Za-z0-9]{_APART}){{12}}(?:[0-9]{_APART}){{25}}[0-9])(?![^\W_]))"
)
_LETTERS_IN_FRONT = re.compile(r"^[^\W\d_]+")
_ADDRESS = re.compile(r"://|^\s*www\.|[?&](?:chnfe|p)=", re.IGNORECASE | re.ASCII)
_SPREADSHEET = re.compile(r"[\s'\"]*[0-9](?:[.,][0-9]+)?[Ee]\+?0?[0-9]{2}[\s'\"]*")
_PROTOCOL = re.compile(r"[0-9]{15}(?:[0-9]{2})?")
_NFSE = re.compile(r"[0-9]{9}[A-Za-z0-9]{12}[0-9]{29}")

_CNPJ = CNPJ()
# 111.111.111-11 and its like agree with their digits, and the tax office refuses zeros alone.
_CPF = CPF(repeated_digits=True)


def _check_digit(characters: str) -> str:
    """Compute modulo 11 over ASCII codes less 48, weights 2 to 9 from right to left (NT 2025.001, annex I)."""
    weights = itertools.cycle(range(2, 10))
    remainder = sum((ord(character) - 48) * next(weights) for character in reversed(characters)) % 11
    return str(11 - remainder) if remainder > 1 else "0"


def _has_right_tax_id(key: AccessKey) -> bool:
    """Judge the tax id by the series: 910 to 969 carry a CPF, others a CNPJ; with emission type 3 (NFF) either.

    Series 970 to 999 exist for nobody, so that no tax id is right there.
    """
    field = key.text[6:20]
    if key.series in _SERIES_OF_NOBODY:
        return False
    if key.series in _SERIES_OF_CPF:
        return _is_padded_cpf(field)
    return _is_cnpj(field) or (key.emission_type == _NFF and _is_padded_cpf(field))


def _is_cnpj(field: str) -> bool:
    """Check the 14 characters of a CNPJ, which may hold letters; all zeros agree with their digits and are refused."""
    return _CNPJ.validate(field)


def _is_padded_cpf(field: str) -> bool:
    """Check "000" and the 11 digits of a CPF, not all zero."""
    return field.startswith("000") and field.strip("0") != "" and _CPF.validate(field[3:])


def _squeezed(text: str) -> str:
    """Leave letters and digits alone, those of other scripts too, so that none is taken for a separator."""
    return "".join(filter(str.isalnum, text))


def _without_percents(text: str) -> str:
    """Decode an address, also one that stood in another, as often as that one was encoded."""
    for _ in range(_MOST_DECODINGS):
        text = unquote(text)
    return text


def _is_blank(character: str) -> bool:
    return character.isspace() or not character.isprintable()


def _taken_for(value: str) -> Mangling | None:
    """Recognise what is another thing altogether, and not a key with something on it."""
    rest = _squeezed(value)
    recognised = {
        Mangling.XML: markup.is_markup(value),
        Mangling.ADDRESS: _ADDRESS.search(_without_percents(value)),
        Mangling.SPREADSHEET: _SPREADSHEET.fullmatch(value),
        Mangling.PROTOCOL: _PROTOCOL.fullmatch(rest),
        Mangling.NFSE: _NFSE.fullmatch(rest),
        Mangling.OTHER: not any(digit in value for digit in string.digits),
    }
    return next((mangling for mangling, is_one in recognised.items() if is_one), None)


def _said(roots: "Iterable[Element]") -> defaultdict[str, set[str]]:
    """Gather what the documents say of NF-es: ids, which of them are no sales', what stands in ide and infProt."""
    said: defaultdict[str, set[str]] = defaultdict(set)
    for element in (element for root in roots for element in root.iter()):
        name = _local_name(element)
        if name == "infNFe":
            said["infNFe/@Id"].add(_bare(element.get("Id")))
            if any(_is_of_no_sale(child) for child in element):
                said["entry or return"].add(_bare(element.get("Id")))
        elif name in {"ide", "infProt"}:
            for child in element:
                said[f"{name}/{_local_name(child)}"].add(_bare(child.text))
    return said


def _is_of_no_sale(element: "Element") -> bool:
    told = {(_local_name(child), _bare(child.text)) for child in element} if _local_name(element) == "ide" else set()
    return not told.isdisjoint({("tpNF", "0"), ("finNFe", "4")})


def _canceled(root: "Element") -> set[str]:
    """Return the keys of notes that a document says are cancelled.

    Today it says so by an event: tpEvento 110111, or 110112 (by substitution), with the tax office's cStat 135, 136 or
    155. Before 2013 a cancellation was a document of its own: infCanc with cStat 101, 151 or 155. Answers about a note
    (retConsSitNFe, infProt) say it by these too. Source: MOC 7.0; XSD PL_Evento_Canc_v1.01, PL_006.
    """
    keys = set[str | None]()
    has_events = False
    for element in root.iter():
        name = _local_name(element)
        has_events = has_events or name == "infEvento"
        if name in _ANSWERS and (said := _children(element)).get("cStat") in _CANCELED:
            keys.add(said.get("chNFe"))
    if has_events:
        keys |= _canceled_by_events([root]) | _canceled_by_events(root)
        for element in root.iter():
            keys |= _canceled_by_events(inner for child in element for inner in child)
    return {key for key in keys if key}


def _canceled_by_events(side_by_side: "Iterable[Element]") -> "set[str | None]":
    """Return the keys that events side by side cancel: the request (evento) and the answer (retEvento) of one event.

    An answer need say no more than cStat (XSD, retEvento); what it leaves out, the request beside it says.
    """
    events = [_children(element) for element in side_by_side if _local_name(element) == "infEvento"]
    asked = {event.get("chNFe") for event in events if event.get("tpEvento") in _CANCELLATIONS and "cStat" not in event}
    keys = {
        event.get("chNFe") if "tpEvento" in event else None
        for event in events
        if event.get("cStat") in _REGISTERED and event.get("tpEvento", "110111") in _CANCELLATIONS
    }
    return keys | asked if None in keys else keys


def _children(element: "Element") -> dict[str, str]:
    """Return the texts of an element's children by their names; of a key without its prefix."""
    return {_local_name(child): _bare(child.text) for child in element}


def _bare(text: str | None) -> str:
    return (text or "").strip().removeprefix("NFe")


def _local_name(element: "Element") -> str:
    return element.tag.rpartition("}")[2]
