r"""XML, whatever it is wrapped in: recognised, so that it is shown nowhere, and parsed, so that it is read as XML.

Sellers' systems write an NF-e's XML into an order as it is, entity-escaped, percent-encoded, as a JSON string, in
CDATA, in base64, and one of these in another; in a SOAP envelope; with a byte order mark, or what is left of one, in
front. A wrapping is taken off where its sign shows:

    >>> documents(r'{"nota": "\u003cNFe versao=\"4.00\"/\u003e"}')[0].attrib
    {'versao': '4.00'}
    >>> is_markup("PE5GZSB2ZXJzYW89IjQuMDAiLz4=")
    True

A hostile text costs no more than a long one: no layer is longer than what it was in, and there is a limit to a text,
to the layers and to all of it. So nothing is decompressed: the tax office's docZip (gzip) brings a shop the invoices of
others, and no shop's system hands out its own sales in it.
"""

import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

# The SEFAZ takes no NF-e of more than 500 KB: what is larger is not read.
_MOST_CHARACTERS = 1024 * 1024
_MOST_IN_ALL = 4 * _MOST_CHARACTERS
_MOST_TEXTS = 100
_MOST_LAYERS = 5
# Of a longer text without "<" no more than its first characters is ever shown.
_HEAD = 8 * 1024
# What is shorter holds no key, and is no document within another.
_SHORTEST = 44


def is_markup(text: str) -> bool:
    """Say whether a text holds markup, as it stands or behind its wrappings; it may name anybody, and is shown nowhere.

    Any `<` makes it so. Wrappings are looked for in the first 8,192 characters; more than five of them hide something.
    """
    layer: str | None = text
    for _ in range(_MOST_LAYERS + 1):
        if layer is None:
            return False
        if "<" in layer:
            return True
        layer = _unwrapped(layer[:_HEAD])
    return layer is not None


def documents(text: object) -> list["Element"]:
    """Return the roots of the well-formed XML documents in a text, those within others too; none for what is not text.

    What has a DTD is none. Nor is there any where one text has more than 1,048,576 characters, all of them four times
    as many, or where there are more than a hundred: that is no evidence, not an error.
    """
    found: list[Element] = []
    waiting = [(text, 0)] if isinstance(text, str) and is_markup(text) else []
    texts_left, characters_left = _MOST_TEXTS, _MOST_IN_ALL
    while waiting:
        wrapped, layers = waiting.pop()
        texts_left -= 1
        characters_left -= len(wrapped)
        if min(texts_left, characters_left, _MOST_CHARACTERS - len(wrapped)) < 0:
            return []
        root = _parse(wrapped)
        if root is not None:
            found.append(root)
        if layers < _MOST_LAYERS:
            inner = (_unwrapped(wrapped),) if root is None else _within(root)
            waiting += [(text, layers + 1) for text in inner if text is not None]
    return found


def _parse(text: str) -> "Element | None":
    """Parse what stands from the first "<" to the last ">": around it are byte order marks, quotes, JSON's braces."""
    # Few orders need it, and every cold start would pay for it.
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        # Whatever the declaration says, a str is no longer encoded: the parser knows.
        root: Element = fromstring(text[max(0, text.find("<")) : text.rfind(">") + 1], forbid_dtd=True)
    except (ParseError, ValueError, RecursionError):
        return None
    return root


def _within(root: "Element") -> Iterator[str]:
    """Yield the texts of a document that are markup themselves: escaped, in CDATA, or in base64."""
    for element in root.iter():
        for text in (element.text, element.tail):
            if text is not None and len(text) >= _SHORTEST and is_markup(text):
                yield text


def _unwrapped(text: str) -> str | None:
    """Take one layer off, the one whose sign comes first; None where there is no sign of any."""
    begin, end = text.find(_CDATA), text.rfind("]]>")
    if 0 <= begin < end:
        return text[begin + len(_CDATA) : end]
    sign = _SIGN.search(text)
    return _UNWRAP[str(sign.lastgroup)](text) if sign else _from_base64(text)


def _from_json(text: str) -> str:
    plain = _JSON.sub(lambda escaped: _JSON_CHARACTERS.get(escaped[0]) or _json_character(escaped[0]), text)
    # Of a character beyond the first 65,536, JSON escapes two halves.
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _json_character(escaped: str) -> str:
    return chr(int(escaped[2:], 16)) if escaped[2:] else escaped[1]


def _from_percents(text: str) -> str:
    """Decode an address, where a blank is %20, or a form's field, where it is a plus: but not base64's plus."""
    return unquote_plus(text) if "%20" not in text and _ENCODED_MARKUP.search(text) else unquote(text)


def _from_entities(text: str) -> str:
    from html import unescape  # some 2,000 entities, of which few orders need one

    return _ENTITY.sub(lambda entity: _ENTITIES.get(entity[0]) or unescape(entity[0]), text)


def _from_base64(text: str) -> str | None:
    """Decode the first run of base64 that begins with markup; a key, too, looks like base64, and so do many words."""
    for run in _BASE64.finditer(text):
        if _OPENING.match(_decoded(run[0][:_BEGINNING])):
            return _decoded(run[0])
    return None


def _decoded(run: str) -> str:
    """Return the text that a run of base64 holds, cut or not, url-safe or not, in UTF-8, UTF-16 or ISO-8859-1."""
    characters = "".join(run.split()).rstrip("=").translate(_URL_SAFE)
    characters = characters[:-1] if len(characters) % 4 == 1 else characters
    data = binascii.a2b_base64(characters + "=" * (-len(characters) % 4))
    encoding = next((name for begin, name in _ENCODINGS.items() if data.startswith(begin)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return data.decode("latin-1")


_CDATA = "<![CDATA["
_JSON = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|[\"'\\/nrt])")
_JSON_CHARACTERS = {r"\n": "\n", r"\r": "\r", r"\t": "\t"}
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[Xx][0-9A-Fa-f]{1,6}|amp|apos|gt|lt|quot);")
_ENTITIES = {"&amp;": "&", "&apos;": "'", "&gt;": ">", "&lt;": "<", "&quot;": '"'}
_SIGN = re.compile(rf"(?P<json>{_JSON.pattern})|(?P<percent>%[0-9A-Fa-f]{{2}})|(?P<entity>{_ENTITY.pattern})")
_UNWRAP: Mapping[str, Callable[[str], str]] = {
    "json": _from_json,
    "percent": _from_percents,
    "entity": _from_entities,
}

_ENCODED_MARKUP = re.compile("%(?:25)*(?:22|26|3C|5C)", re.IGNORECASE)

# Possessive, so that a failed match is never tried again with less. Lines may be broken anywhere.
_BASE64 = re.compile(r"[A-Za-z0-9+/_-](?:\s*+[A-Za-z0-9+/_-]){15,}+={0,2}")
_URL_SAFE = str.maketrans("-_", "+/")
_BEGINNING = 64
# A byte order mark and its mojibake may stand in front. A number such as PDX12345 decodes to "<" and noise.
_OPENING = re.compile(r"[\s\ufeffï»¿]*<[?!/A-Za-z_:][ -~\s]{6}")
_ENCODINGS: Mapping[bytes, str] = {
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"<\0": "utf-16-le",
    b"\0<": "utf-16-be",
}
