"""Inputs of a megabyte that cost a careless parser most: nesting, repetition, each seed of a corpus over and over."""

import base64
from collections.abc import Iterable, Iterator

SIZE = 1024 * 1024
_REPEATED = {
    "brackets": b"[",
    "objects": b'{"a":',
    "open tags": b"<a>",
    "open comments": b"<!--",
    "entities": b"&lt;",
    "escaped ampersands": b"&amp;amp;",
    "percents": b"%25",
    "backslashes": b"\\",
    "escapes of JSON": b"\\u003c",
    "digits": b"1",
    "digits and blanks": b"1 ",
    "blanks": b" ",
    "base64": base64.b64encode(b"<a>" * 99),
    "base64 and equals signs": b"PGE+PGE+PGE+PGE+=",
    "dots": b".",
    "pluses": b"+",
    "quotes": b'"',
    "CDATA": b"<![CDATA[",
    "no UTF-8": b"\xff",
    "halves of characters": b"\xed\xa0\x80",
    "lines": b"S\n",
    "fields": b"a=1&",
}


def hostile(seeds: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield a megabyte of each kind, by its name: kinds of their own, each seed repeated, and a megabyte behind it."""
    for name, part in _REPEATED.items():
        yield name, _filled(part)
    document = b'{"OrderId": "VVJ-1-01", "Origin": {"Account": "luxstore"}, "x": %s}'
    yield "a notification with brackets", document % (b"[" * (SIZE // 4) + b"]" * (SIZE // 4))
    yield "a notification with a long number", document % _filled(b"1")
    yield "an XML that is deep", b"<a>" * (SIZE // 7) + b"</a>" * (SIZE // 7)
    yield "an XML with a bomb", b'<!DOCTYPE a [<!ENTITY b "' + _filled(b"c") + b'">]><a>&b;&b;&b;</a>'
    for number, seed in enumerate(filter(None, seeds)):
        yield f"seed {number}", _filled(seed)
        yield f"seed {number} and what follows", seed + _filled(b"a")


def _filled(part: bytes) -> bytes:
    return (part * (SIZE // len(part) + 1))[:SIZE]
