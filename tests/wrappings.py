"""The ways in which sellers' systems wrap an XML, for tests."""

import json
from base64 import b64encode, encodebytes, urlsafe_b64encode
from collections.abc import Callable, Mapping
from html import escape
from urllib.parse import quote, quote_plus

import pytest

type Wrap = Callable[[str], str]

BY_NAME: Mapping[str, Wrap] = {
    "escaped": escape,
    "escaped twice": lambda xml: escape(escape(xml)),
    "escaped by numbers": lambda xml: xml.replace("&", "&#38;").replace("<", "&#60;").replace(">", "&#x3E;"),
    "percent-encoded": quote,
    "percent-encoded twice": lambda xml: quote(quote(xml)),
    "percent-encoded, blanks as pluses": quote_plus,
    "percent-encoded and escaped": lambda xml: quote(escape(xml)),
    "a JSON string": json.dumps,
    "a JSON string without signs": lambda xml: json.dumps(xml).replace("<", r"\u003c").replace(">", r"\u003E"),
    "a JSON string, escaped": lambda xml: json.dumps(escape(xml)).replace("&", r"\u0026"),
    "quotes escaped": lambda xml: xml.replace('"', r"\""),
    "in JSON": lambda xml: json.dumps({"numero": 1, "xml": xml, "links": {"danfe": "https://x.example/"}}),
    "a JSON string in JSON": lambda xml: json.dumps({"nota": json.dumps({"xml": xml})}),
    "CDATA": lambda xml: f"<![CDATA[{xml}]]>",
    "SOAP": lambda xml: _soap(f" {xml} "),
    "SOAP, escaped": lambda xml: _soap(escape(xml)),
    "SOAP, in CDATA": lambda xml: _soap(f"<![CDATA[{xml}]]>"),
    "SOAP, in base64": lambda xml: _soap(b64encode(xml.encode()).decode()),
    "SOAP, all escaped": lambda xml: escape(_soap(escape(xml))),
    "base64": lambda xml: b64encode(xml.encode()).decode(),
    "base64 in lines": lambda xml: encodebytes(xml.encode()).decode().replace("\n", "\r\n"),
    "base64, url-safe, without its end": lambda xml: urlsafe_b64encode(xml.encode()).decode().rstrip("="),
    "base64, percent-encoded": lambda xml: quote(b64encode(xml.encode()).decode(), safe=""),
    "base64, percent-encoded but for its pluses": lambda xml: quote(b64encode(xml.encode()).decode(), safe="+/"),
    "base64 in JSON": lambda xml: json.dumps({"xml": encodebytes(xml.encode()).decode()}),
    "base64 of UTF-16": lambda xml: b64encode(xml.encode("utf-16")).decode(),
    "base64 of UTF-16 without a byte order mark": lambda xml: b64encode(xml.encode("utf-16-le")).decode(),
    "base64 of UTF-16, the other way round": lambda xml: b64encode(xml.encode("utf-16-be")).decode(),
    "base64 of ISO-8859-1": lambda xml: b64encode(f"{xml}<!-- ção -->".encode("latin-1")).decode(),
    "base64 with a byte order mark": lambda xml: b64encode(f"\r\n\ufeff{xml}".encode()).decode(),
    "a data address": lambda xml: f"data:text/xml;base64,{b64encode(xml.encode()).decode()}",
    "a byte order mark": lambda xml: f"\ufeff{xml}",
    "a byte order mark's mojibake": lambda xml: f"ï»¿{xml}",
    "a byte order mark's mojibake, escaped": lambda xml: f"ï»¿{escape(xml)}",
    "a byte order mark's mojibake in base64": lambda xml: b64encode(f"ï»¿{xml}".encode()).decode(),
    "an emoji in JSON": lambda xml: json.dumps(xml.replace("<emit>", "<!-- \N{PACKAGE} --><emit>")),
}
WRAPPINGS = [pytest.param(wrap, id=name) for name, wrap in BY_NAME.items()]


def _soap(inside: str) -> str:
    envelope = "http://www.w3.org/2003/05/soap-envelope"
    return (
        f"<?xml version='1.0' encoding='utf-8'?><soap:Envelope xmlns:soap='{envelope}'><soap:Body>"
        f"<nfeResultMsg>{inside}</nfeResultMsg></soap:Body></soap:Envelope>"
    )
