"""Builds access keys and NF-e XMLs for tests, with check digits computed apart from the product's code."""

from collections.abc import Iterable, Sequence
from xml.sax.saxutils import quoteattr

NFE_NAMESPACE = "http://www.portalfiscal.inf.br/nfe"

_VALUES = {character: ord(character) - 48 for character in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def make_cnpj(base: str = "12ABC34501DE") -> str:
    """Complete the 12 characters of a CNPJ, digits or capital letters, with its two digits."""
    first = base + _modulo_11(base, (5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2))
    return first + _modulo_11(first, (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2))


def make_cpf(base: str = "123456789") -> str:
    """Complete the 9 digits of a CPF with its two."""
    first = base + _modulo_11(base, range(10, 1, -1))
    return first + _modulo_11(first, range(11, 1, -1))


def make_key(
    *,
    state: int = 35,
    year: int = 2026,
    month: int = 7,
    tax_id: str = "12ABC34501DE35",
    model: str = "55",
    series: int = 1,
    number: int = 123,
    emission_type: str | None = "1",
    code: int = 12345678,
    check_digit: str | None = None,
) -> str:
    """Build a key of 44 characters; valid in 2026 unless a field says otherwise.

    A tax_id of 11 digits is a CPF. Without emission_type the code has nine digits, as in keys before April 2011.
    """
    tail = f"{code:09}" if emission_type is None else f"{emission_type}{code:08}"
    key = f"{state:02}{year % 100:02}{month:02}{tax_id:0>14}{model}{series:03}{number:09}{tail}"
    return key + (check_digit or _modulo_11(key, (4, 3, 2, *(9, 8, 7, 6, 5, 4, 3, 2) * 5)))


def with_right_check_digit(key: str) -> str:
    """Replace the last digit of a key by the one that its other 43 characters ask for."""
    return key[:43] + _modulo_11(key[:43], (4, 3, 2, *(9, 8, 7, 6, 5, 4, 3, 2) * 5))


def make_nfe(
    key: str,
    *,
    namespace: bool = True,
    environment: str | None = "1",
    direction: str | None = None,
    purpose: str | None = None,
    references: Iterable[str] = (),
) -> str:
    """Write an NFe element, cut down to what identifies it; `references` are the keys in NFref/refNFe.

    `direction` is tpNF (0 in, 1 out), `purpose` finNFe (1 a sale, 4 a return).
    """
    refs = "".join(f"<NFref><refNFe>{reference}</refNFe></NFref>" for reference in references)
    kind = _element("tpNF", direction) + _element("tpAmb", environment) + _element("finNFe", purpose)
    ide = f"<ide><mod>55</mod>{kind}{refs}</ide>"
    emit = "<emit><CNPJ>12ABC34501DE35</CNPJ><xNome>Loja &amp; Cia</xNome></emit>"
    xmlns = f' xmlns="{NFE_NAMESPACE}"' if namespace else ""
    return f"<NFe{xmlns}><infNFe Id={quoteattr(f'NFe{key}')} versao='4.00'>{ide}{emit}</infNFe></NFe>"


def make_xml(
    key: str,
    *,
    namespace: bool = True,
    environment: str | None = "1",
    direction: str | None = None,
    purpose: str | None = None,
    references: Sequence[str] = (),
    protocol_key: str | None = "the same",
    protocol_environment: str | None = "1",
    status: str | None = "100",
) -> str:
    """Write an nfeProc, the document as the tax office hands it back; None leaves an element out."""
    nfe = make_nfe(
        key,
        namespace=namespace,
        environment=environment,
        direction=direction,
        purpose=purpose,
        references=references,
    )
    said = (
        _element("tpAmb", protocol_environment)
        + _element("chNFe", key if protocol_key == "the same" else protocol_key)
        + _element("cStat", status)
    )
    xmlns = f' xmlns="{NFE_NAMESPACE}"' if namespace else ""
    return f"<nfeProc{xmlns} versao='4.00'>{nfe}<protNFe><infProt>{said}</infProt></protNFe></nfeProc>"


def make_request(key: str, kind: str = "110111") -> str:
    """Write an evento, the request to register an event: 110111 and 110112 cancel, 110110 corrects."""
    said = (
        f"<cOrgao>35</cOrgao><tpAmb>1</tpAmb><chNFe>{key}</chNFe><tpEvento>{kind}</tpEvento><nSeqEvento>1</nSeqEvento>"
    )
    detail = "<detEvento versao='1.00'><descEvento>Cancelamento</descEvento><nProt>135260000000001</nProt></detEvento>"
    return f"<evento versao='1.00'><infEvento Id='ID{kind}{key}01'>{said}{detail}</infEvento></evento>"


def make_answer(key: str | None, kind: str | None = "110111", status: str | None = "135") -> str:
    """Write a retEvento, what the tax office says of an event; None leaves an element out, as its XSD allows."""
    said = _element("cStat", status) + _element("chNFe", key) + _element("tpEvento", kind)
    return f"<retEvento versao='1.00'><infEvento><tpAmb>1</tpAmb>{said}</infEvento></retEvento>"


def make_event(key: str, kind: str = "110111", status: str | None = "135", *, is_terse: bool = False) -> str:
    """Write a procEventoNFe, request and answer together; a terse answer holds its cStat alone."""
    answer = make_answer(None, None, status) if is_terse else make_answer(key, kind, status)
    return f'<procEventoNFe xmlns="{NFE_NAMESPACE}" versao="1.00">{make_request(key, kind)}{answer}</procEventoNFe>'


def _element(name: str, text: str | None) -> str:
    return "" if text is None else f"<{name}>{text}</{name}>"


def _modulo_11(characters: str, weights: Iterable[int]) -> str:
    remainder = sum(_VALUES[character] * weight for character, weight in zip(characters, weights, strict=True)) % 11
    return "0" if remainder in {0, 1} else str(11 - remainder)
