"""The words: what people read of problems, dates and values, in Brazilian Portuguese and in English.

The two languages of a phrase stand side by side, so that neither can be forgotten. Nothing here trusts what it is
given: invoice numbers and keys are whatever somebody's system wrote into an order.

    >>> from invoicekey.rules.verdict import Code, Problem
    >>> problem_message(Problem(Code.MISSING, "643797"), "VVJ-975102-01", "pt-BR")
    'A nota 643797 está sem a chave de acesso da NF-e.'
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from datetime import date as date_
from typing import NamedTuple
from zoneinfo import ZoneInfo

from invoicekey.rules import access_key, markup
from invoicekey.rules.access_key import Mangling
from invoicekey.rules.notification import LONGEST_ORDER_ID, is_order_id
from invoicekey.rules.verdict import NOT_ON_ITS_WAY, Code, Problem, SuggestionSource

LANGUAGES = ("pt-BR", "en")
DEFAULT_STACK = "invoicekey"
"""Commands lead to this stack where they name none."""
LONGEST_NUMBER = 20
LONGEST_VALUE = 60
MOST_OTHERS = 3
"""So many further problems stand in an alert; how many more there are is told."""
MOST_NUMBERS = 2
_YEARS = range(2000, 2200)
_STEP = re.compile(r"\d\. ")


class Said(NamedTuple):
    """A phrase in both languages."""

    pt: str
    en: str

    def to(self, language: str) -> str:
        """Return the phrase in one of LANGUAGES; ValueError for another."""
        return self[LANGUAGES.index(language)]


UNSAID = Said("", "")


class Phrases(NamedTuple):
    """How a problem is told."""

    sentence: Said
    """What is wrong. Alerts say in it where that is so (`at`) and of which order; records say neither."""
    headline: Said = UNSAID
    """An error in a few words, for subjects, text messages and further problems: 33 characters without the number.

    Subjects, of 99 characters, hold an order id of 64 and ": " besides.
    """
    tallied: Said = UNSAID
    """An error as what orders are with or without, for lists and counts."""
    watched: Said = UNSAID
    """A warning in a few words."""


class Headline(NamedTuple):
    """What a message says first, of any {count} of things, and how where there is little room."""

    full: Said
    briefly: Said
    """34 characters at the most: a summary's subject begins with the account, which may have 63."""
    of_one: Said | None = None
    """In full about one thing, where that is another phrase."""

    def ways(self, language: str, count: int = 0, **values: str) -> list[str]:
        """Return the ways to say it, ever shorter: with the name of the shop, without it, and briefly."""
        full = (self.of_one if self.of_one and count == 1 else self.full).to(language)
        named = [full.format(count=count, shop=shop, **values) for shop in (IN_SHOP, "")]
        return [*named, self.briefly.to(language).format(count=count)]


PHRASES: Mapping[Code, Phrases] = {
    Code.MISSING: Phrases(
        sentence=Said("{invoice} está{at} sem a chave de acesso da NF-e.", "{invoice} has no NF-e access key{at}."),
        headline=Said("nota{number} sem chave de acesso{at}", "invoice{number} has no access key{at}"),
        tallied=Said("sem chave de acesso", "without an access key"),
    ),
    Code.MALFORMED: Phrases(
        sentence=Said("{key} {mangled}.", "{key} {mangled}."),
        headline=Said("chave da nota{number} fora do formato{at}", "key of invoice{number} is malformed{at}"),
        tallied=Said("com chave fora do formato", "with a malformed key"),
    ),
    Code.INVALID_CHECK_DIGIT: Phrases(
        sentence=Said(
            "{key} tem algum caractere errado: o dígito verificador não confere.",
            "{key} has a wrong character somewhere: the check digit does not match.",
        ),
        headline=Said("chave da nota{number} com dígito errado", "key of invoice{number} has a bad digit"),
        tallied=Said("com dígito errado na chave", "with a wrong digit in the key"),
    ),
    Code.INVALID_STATE: Phrases(
        sentence=Said(
            "{key} não começa com o código de um estado; confira se não foi colado um boleto.",
            "{key} does not begin with the code of a state; perhaps a boleto was pasted.",
        ),
        headline=Said("chave da nota{number} sem estado válido", "key of invoice{number} has no valid state"),
        tallied=Said("com chave sem estado válido", "with a key without a valid state"),
    ),
    Code.INVALID_YEAR: Phrases(
        sentence=Said("{key} traz um ano de emissão impossível.", "{key} has an impossible year of issue."),
        headline=Said("chave da nota{number} com ano inválido", "key of invoice{number} has a bad year"),
        tallied=Said("com ano inválido na chave", "with a bad year in the key"),
    ),
    Code.INVALID_MONTH: Phrases(
        sentence=Said(
            "{key} traz um mês de emissão que não existe.", "{key} has a month of issue that does not exist."
        ),
        headline=Said("chave da nota{number} com mês inválido", "key of invoice{number} has a bad month"),
        tallied=Said("com mês inválido na chave", "with a bad month in the key"),
    ),
    Code.INVALID_TAX_ID: Phrases(
        sentence=Said(
            "{key} traz um CNPJ (ou CPF) de emitente que não existe.",
            "{key} has an issuer's CNPJ (or CPF) that does not exist.",
        ),
        headline=Said("chave da nota{number} com CNPJ/CPF errado", "key of invoice{number} has a bad CNPJ/CPF"),
        tallied=Said("com CNPJ ou CPF errado na chave", "with a bad CNPJ or CPF in the key"),
    ),
    Code.WRONG_MODEL: Phrases(
        sentence=Said("{key} é {document}.", "{key} is that of {document}."),
        headline=Said("chave da nota{number} não é de NF-e", "key of invoice{number} is not an NF-e's"),
        tallied=Said("com chave que não é de NF-e", "with a key that is not an NF-e's"),
    ),
    Code.INVALID_NUMBER: Phrases(
        sentence=Said("{key} traz o número de nota 000000000.", "{key} has the invoice number 000000000."),
        headline=Said("chave da nota{number} com número zero", "key of invoice{number} has number zero"),
        tallied=Said("com número zero na chave", "with number zero in the key"),
    ),
    Code.INVALID_EMISSION_TYPE: Phrases(
        sentence=Said(
            "{key} traz um tipo de emissão inválido para a NF-e.",
            "{key} has an emission type that does not exist for an NF-e.",
        ),
        headline=Said("tipo de emissão inválido na nota{number}", "key of invoice{number} has a bad emission"),
        tallied=Said("com tipo de emissão inválido na chave", "with a bad emission type in the key"),
    ),
    Code.ISSUER_MISMATCH: Phrases(
        sentence=Said(
            "{key} é de um emitente que não está na lista de CNPJs da loja.",
            "{key} is from an issuer that is not on the store's list of CNPJs.",
        ),
        headline=Said("chave da nota{number} de outro emitente", "key of invoice{number} has another issuer"),
        tallied=Said("com chave de outro emitente", "with another issuer's key"),
    ),
    Code.REUSED: Phrases(
        sentence=Said(
            "{key} é a mesma {of_other}; uma das duas está errada.",
            "{key} is the same as that {of_other}; one of the two is wrong.",
        ),
        headline=Said("chave da nota{number} repetida em outra", "key of invoice{number} also on another"),
        tallied=Said("com chave repetida", "with a key used twice"),
    ),
    Code.NO_INVOICE: Phrases(
        sentence=Said(
            "O pedido {order} está Faturado na VTEX, mas não encontramos nenhuma nota de venda nele.",
            "Order {order} is Invoiced in VTEX, but we found no sale invoice in it.",
        ),
        headline=Said("Faturado na VTEX sem nota visível", "Invoiced in VTEX without invoice"),
        tallied=Said("sem nota visível", "without an invoice"),
    ),
    Code.NUMBER_MISMATCH: Phrases(
        sentence=Said(
            "{key} traz um número de nota diferente do gravado{at}.",
            "{key} has another invoice number than the one written{at}.",
        ),
        watched=Said("número da nota diferente do que está na chave", "invoice number other than the one in the key"),
    ),
    Code.ISSUE_DATE_MISMATCH: Phrases(
        sentence=Said(
            "{key} traz um mês de emissão diferente do gravado{at}.",
            "{key} has another month of issue than the one written{at}.",
        ),
        watched=Said("mês de emissão diferente do que está na chave", "month of issue other than the one in the key"),
    ),
    Code.TRACKING_MISSING: Phrases(
        sentence=Said(
            "{invoice} está{at} sem número de rastreio{nor_courier}.",
            "{invoice} has no tracking number{nor_courier}{at}.",
        ),
        headline=Said("nota{number} sem número de rastreio{at}", "invoice{number} has no tracking number{at}"),
        tallied=Said("sem número de rastreio", "without a tracking number"),
        watched=Said("número de rastreio em branco", "no tracking number"),
    ),
    Code.COURIER_MISSING: Phrases(
        sentence=Said("{invoice} está{at} sem transportadora.", "{invoice} has no carrier{at}."),
        headline=Said("nota{number} sem transportadora{at}", "invoice{number} has no carrier{at}"),
        tallied=Said("sem transportadora", "without a carrier"),
        watched=Said("transportadora em branco", "no carrier"),
    ),
    Code.UNSAFE_NUMBER: Phrases(
        sentence=Said(
            "{invoice} tem espaço ou barra no número, e a VTEX costuma dar erro ao receber o rastreio dela.",
            "{invoice} has a blank or a slash in its number, and VTEX tends to fail when it is given its tracking.",
        ),
        watched=Said("número da nota com espaço ou barra", "a blank or a slash in the invoice number"),
    ),
}

_AT_VTEX = Said(" na VTEX", " in VTEX")
_OF_ORDER = Said(" do pedido {order}", " of order {order}")
_INVOICE = Said("A nota {number}", "Invoice {number}")
_AN_INVOICE = Said("Uma nota", "An invoice")
_OF_INVOICE = Said("da nota {number}", "of invoice {number}")
_OF_AN_INVOICE = Said("de uma nota", "of an invoice")
_OF_THE_INVOICE = Said("da nota", "of the invoice")
_OF_SAME_ORDER = Said("{of_invoice} do mesmo pedido", "{of_invoice} of the same order")
_OF_OTHER_ORDER = Said("de uma nota do pedido {order}", "of an invoice of order {order}")
_NOR_COURIER = Said(" e sem transportadora", " and no carrier")
_KEY = Said("A chave de acesso", "The access key")
_AND = Said(" e ", " and ")

REUSED_IN_HEADLINE = Said(
    "chave da nota{number} já está no pedido {order}", "key of invoice{number} already in order {order}"
)
AGAIN = Said("de novo: ", "again: ")
RESOLVED_HEADLINE = Said("chave de acesso em ordem na VTEX", "access key now right in VTEX")
EXPIRED_HEADLINE = Said("ÚLTIMO AVISO: {age} sem correção", "LAST NOTICE: not fixed in {age}")
EXPIRED_BRIEFLY = Said("ÚLTIMO AVISO: sem correção", "LAST NOTICE: not fixed")
TO_DO = Said("O que fazer:", "What to do:")
SHOP = " - Casas Bahia"
SMS_CONSEQUENCE = Said(" Pode não faturar na Casas Bahia.", " The order may stay uninvoiced at Casas Bahia.")
SMS_NOT_SHIPPED = Said(
    " Pode não passar para enviado na Casas Bahia.", " The order may not move on to shipped at Casas Bahia."
)
SMS_NOT_FOLLOWED = Said(" Não será mais acompanhado.", " It is no longer followed.")
SMS_GO_ON = Said(" Veja o e-mail.", " See the e-mail.")
SMS_CONFIRM = Said(" Confirme na Casas Bahia se o pedido andou.", " Check at Casas Bahia that the order moved on.")

WHOLES: Mapping[Mangling, Said] = {
    Mangling.NOT_TEXT: Said("não foi gravada como texto", "was not written as a text"),
    Mangling.XML: Said("não está no campo: no lugar dela há um XML", "is not in the field: there is an XML instead"),
    Mangling.ADDRESS: Said(
        "não está no campo: no lugar dela há um endereço de página",
        "is not in the field: there is a web address instead",
    ),
    Mangling.SPREADSHEET: Said(
        "foi alterada por uma planilha e perdeu dígitos: copie de novo do ERP ou do DANFE",
        "went through a spreadsheet and lost digits: copy it anew from the ERP or the DANFE",
    ),
    Mangling.PROTOCOL: Said(
        "parece ter sido trocada pelo protocolo de autorização (15 ou 17 dígitos)",
        "seems to have been replaced by the authorization protocol (15 or 17 digits)",
    ),
    Mangling.NFSE: Said(
        "parece ser de uma nota de serviço (NFS-e, 50 dígitos); a venda de produto pede a NF-e",
        "seems to be that of a service invoice (NFS-e, 50 digits); the sale of a product needs the NF-e",
    ),
    Mangling.TOO_SHORT: Said("tem só {length} dos 44 caracteres", "has only {length} of the 44 characters"),
    Mangling.TOO_LONG: Said("tem {length} caracteres; o certo são 44", "has {length} characters instead of 44"),
}
"""What a malformed value is, where that is all there is to say."""

PARTS: Mapping[Mangling, Said] = {
    Mangling.PREFIX: Said("letras na frente", "letters in front"),
    Mangling.SEPARATORS: Said("pontuação", "punctuation"),
    Mangling.BLANKS: Said("espaços", "spaces"),
    Mangling.LOWER_CASE: Said("letras minúsculas", "lower-case letters"),
    Mangling.TOO_SHORT: Said("caracteres a menos (o certo são 44)", "too few characters (44 are right)"),
    Mangling.TOO_LONG: Said("caracteres a mais (o certo são 44)", "too many characters (44 are right)"),
    Mangling.OTHER: Said("caracteres fora do lugar", "characters where they may not be"),
}
"""What a malformed value has that it should not have."""

_MALFORMED = Said("foi gravada fora do formato: tem {parts}", "was written in a wrong format: it has {parts}")
_PREFIX_NFE = Said("o prefixo NFe", "the prefix NFe")
_NO_DIGIT = Said(
    "não está no campo: o que há no lugar dela não tem nenhum dígito",
    "is not in the field: what stands there has no digits",
)

DOCUMENTS: Mapping[str, Said] = {
    "65": Said("de uma NFC-e (cupom de consumidor, modelo 65)", "an NFC-e (consumer receipt, model 65)"),
    "59": Said("de um cupom CF-e SAT (modelo 59)", "a CF-e SAT receipt (model 59)"),
    "57": Said("do conhecimento de transporte (CT-e, modelo 57)", "the freight document (CT-e, model 57)"),
    "67": Said("do conhecimento de transporte (CT-e OS, modelo 67)", "the freight document (CT-e OS, model 67)"),
}
_NAMED_DOCUMENT = Said("de outro documento ({name}, modelo {model})", "another document ({name}, model {model})")
_DOCUMENT = Said("de um documento de modelo {model}", "a document of model {model}")

FOUND: Mapping[SuggestionSource, Said] = {
    SuggestionSource.CLEANED: Said(
        "Chave sugerida (tirada do que está gravado)", "Suggested key (taken from what is there)"
    ),
    SuggestionSource.EMBEDDED_INVOICE: Said(
        "Achamos esta chave no XML da nota gravado no pedido",
        "We found this key in the invoice's XML that the order holds",
    ),
    SuggestionSource.INVOICE_URL: Said(
        "Achamos esta chave no endereço da nota (URL)", "We found this key in the invoice's address (URL)"
    ),
    SuggestionSource.INVOICE_NUMBER: Said(
        "Achamos esta chave no campo Número da nota", "We found this key in the field Invoice Number"
    ),
}
"""Where a suggested key comes from."""

TALLIED_OTHERWISE = Said("com outros problemas", "with other problems")
AN_INVOICE_BRIEFLY = Said("nota {number}", "invoice {number}")
WITH_SUGGESTION = Said(", há chave sugerida", ", a key is suggested")
SUGGESTED_KEY = Said(", chave sugerida:", ", suggested key:")
ALSO = Said("Também: ", "Also: ")

IN_SHOP = " Casas Bahia"
DIGEST_FAILING = Headline(
    full=Said(
        "mais {count} pedidos{shop} com problema {where} {since}",
        "{count} more{shop} orders with a problem {where} {since}",
    ),
    of_one=Said(
        "mais {count} pedido{shop} com problema {where} {since}",
        "{count} more{shop} order with a problem {where} {since}",
    ),
    briefly=Said("mais {count} com problema", "{count} more with a problem"),
)
DIGEST_EXPIRED = Headline(
    full=Said("{count} pedidos{shop} sem correção, último aviso", "{count}{shop} orders not fixed, last notice"),
    of_one=Said("{count} pedido{shop} sem correção, último aviso", "{count}{shop} order not fixed, last notice"),
    briefly=Said("{count} sem correção", "{count} not fixed"),
)
DIGEST_RESOLVED = Headline(
    full=Said("{count} pedidos{shop} agora em ordem na VTEX", "{count}{shop} orders now right in VTEX"),
    of_one=Said("{count} pedido{shop} agora em ordem na VTEX", "{count}{shop} order now right in VTEX"),
    briefly=Said("{count} em ordem na VTEX", "{count} now right in VTEX"),
)
REMINDER = Headline(
    full=Said(
        "{count} pedidos{shop} {what}, o mais antigo há {age}", "{count}{shop} orders {what}, the oldest for {age}"
    ),
    of_one=Said("{count} pedido{shop} {what}, há {age}", "{count}{shop} order {what}, for {age}"),
    briefly=Said("{count} a corrigir", "{count} to be fixed"),
)
ALL_WELL = Headline(
    full=Said(
        "tudo em dia - {count} pedidos{shop} verificados em 7 dias", "all well - {count}{shop} orders checked in 7 days"
    ),
    of_one=Said(
        "tudo em dia - {count} pedido{shop} verificado em 7 dias", "all well - {count}{shop} order checked in 7 days"
    ),
    briefly=Said("tudo em dia", "all well"),
)
NONE_READ = Headline(
    full=Said("nenhum pedido{shop} verificado em 7 dias, confira", "no{shop} order checked in 7 days, please check"),
    briefly=Said("nenhum pedido verificado", "no order checked in 7 days"),
)
TRIAL = Headline(
    full=Said("teste dos avisos de chave de acesso - nada a fazer", "test of the access key alerts - nothing to do"),
    briefly=Said("teste - nada a fazer", "test - nothing to do"),
)
IN_KEY = Said("na chave", "in the key")
IN_INVOICE = Said("na nota", "in the invoice")
WITHOUT_KEY = Said("sem chave válida", "without a valid key")
TO_BE_FIXED = Said("a corrigir", "to be fixed")

_MAY_NOT_SHIP = Said(
    " Sem rastreio e transportadora, o pedido pode não passar para enviado na Casas Bahia.",
    " Without tracking and carrier the order may not move on to shipped at Casas Bahia.",
)
_TRACKING_FAILS = Said(
    " Com espaço ou barra (/) no número da nota, a VTEX costuma dar erro ao salvar o rastreio:"
    " peça a quem cuida do ERP números sem espaço nem barra.",
    " With a blank or a slash (/) in the invoice number VTEX tends to fail when tracking is saved:"
    " ask whoever runs the ERP for numbers without them.",
)
_SAVING_FAILS = Said(
    " É provável que dê erro: o número {of_invoice} tem espaço ou barra (/), o que a VTEX costuma recusar."
    " Se der erro, atualize o pedido no portal do lojista da Casas Bahia e peça a quem cuida do ERP"
    " números de nota sem espaço nem barra.",
    " That will probably fail: the number {of_invoice} has a blank or a slash (/), over which VTEX stumbles."
    " If it does, update the order in the Casas Bahia seller portal and ask whoever runs the ERP"
    " for invoice numbers without either.",
)
_ONE_INVOICE = Said(" (nota {numbers})", " (invoice {numbers})")
_INVOICES = Said(" (notas {numbers})", " (invoices {numbers})")
_MORE = Said("e mais {count}", "and {count} more")

_LESS_THAN_A_MINUTE = Said("menos de 1 min", "less than 1 min")
_LESS_THAN_AN_HOUR = Said("menos de 1 h", "less than 1 h")
_DAY, _DAYS = Said("1 dia", "1 day"), Said("{count} dias", "{count} days")
_ON = Said("em {date}", "on {date}")
_SINCE = Said("desde {time}", "since {time}")
_DATE = Said("{day} {time}", "{day}, {time}")
_WITHIN_A_DAY = Said("{first} {last} de {day}", "on {day}, between {first} and {last}")
_BETWEEN = Said("entre {first} e {last}", "between {first} and {last}")
_FROM_TO = Said("de {first} até {last}", "from {first} to {last}")
_BLANK = Said(" (· = espaço)", " (· = a blank)")
_WEEK = Said("De {first} a {last}: {opened}{mended}.", "{first} to {last}: {opened}{mended}.")
_NONE_NEW = Said("nenhum pedido novo com problema", "no new order with a problem")
_ONE_NEW = Said("1 pedido novo com problema", "1 new order with a problem")
_NEW = Said("{count} pedidos novos com problema", "{count} new orders with a problem")
_ONE_FIXED = Said(", 1 corrigido (em {within})", ", 1 fixed (within {within})")
_FIXED = Said(", {count} corrigidos (metade em até {within})", ", {count} fixed (half of them within {within})")
_NONE_FIXED = Said(", nenhum corrigido", ", none fixed")
_ENGLISH_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def leading_to(stack: str, by: str = " --stack ") -> str:
    """Return what leads a command to a stack: nothing where it goes there by itself."""
    return "" if stack == DEFAULT_STACK else f"{by}{stack}"


def problem_message(problem: Problem, order_id: str, language: str) -> str:
    """Say in one sentence what is wrong, for the record of the order that stands beside it."""
    return _sentence(problem, order_id, language, of_order="", at="")


def opening(problem: Problem, order_id: str, language: str, *, lacks_courier: bool = False) -> str:
    """Say in one sentence what is wrong with which order at VTEX: the line of an alert that a telephone shows.

    An invoice without a tracking number may lack its carrier too.
    """
    of_order = _OF_ORDER.to(language).format(order=order_id)
    nor_courier = _NOR_COURIER.to(language) if lacks_courier else ""
    return _sentence(problem, order_id, language, of_order=of_order, at=_AT_VTEX.to(language), nor_courier=nor_courier)


def headline(
    code: Code, number: str | None, language: str, *, reused_in: str | None = None, at_vtex: bool = False
) -> str:
    """Say in a few words what is wrong; `number` and `reused_in` as `number_shown` and `order_shown` give them."""
    said = REUSED_IN_HEADLINE if reused_in else PHRASES[code].headline
    return said.to(language).format(
        number=f" {number}" if number else "", at=_AT_VTEX.to(language) if at_vtex else "", order=reused_in
    )  # fmt: skip


def also(problems: Sequence[Problem], language: str) -> str:
    """List further problems in a few words each, three and how many more; empty where there is none."""
    told = [
        headline(problem.code, number_shown(problem.invoice_number), language, reused_in=order_shown(problem.reused_in))
        for problem in problems
    ]
    more = [_more(told, MOST_OTHERS, language)] if told[MOST_OTHERS:] else []
    return "; ".join(told[:MOST_OTHERS] + more)


def watch(warnings: Sequence[Problem], language: str, *, with_numbers: bool, with_consequence: bool = True) -> str:
    """List warnings in a line of bounded length, with what they may come to; empty where there is none."""
    numbers: dict[Code, list[str]] = {}
    for warning in warnings:
        number = number_shown(warning.invoice_number)
        numbers.setdefault(warning.code, []).extend([number] if number and with_numbers else [])
    if not numbers:
        return ""
    told = (PHRASES[code].watched.to(language) + _in_brackets(invoices, language) for code, invoices in numbers.items())
    may_not_ship = _MAY_NOT_SHIP.to(language) if with_consequence and numbers.keys() & NOT_ON_ITS_WAY else ""
    tracking_fails = _TRACKING_FAILS.to(language) if Code.UNSAFE_NUMBER in numbers else ""
    return f"{'; '.join(told)}.{may_not_ship}{tracking_fails}"


def saving_fails(number: str | None, language: str) -> str:
    """Say, behind the step that edits an invoice, that it will probably fail for its number, and what to do then."""
    return _SAVING_FAILS.to(language).format(of_invoice=of_the_invoice(number, language))


def of_invoice(number: str | None, language: str) -> str:
    """Say whose key it is: "da nota 643797"; "de uma nota" where the invoice has no number."""
    return (_OF_INVOICE if number else _OF_AN_INVOICE).to(language).format(number=number)


def of_the_invoice(number: str | None, language: str) -> str:
    """Say whose key it is where the invoice was spoken of: "da nota" where it has no number."""
    return of_invoice(number, language) if number else _OF_THE_INVOICE.to(language)


def number_shown(text: str | None) -> str | None:
    """Return an invoice number for a running text: one line, 20 characters at the most; None where nothing is left."""
    return plain(text, LONGEST_NUMBER)


def order_shown(order_id: str | None) -> str | None:
    """Return another order's id for a running text: one as orders have it as it is, though a dot may be in it."""
    return order_id if order_id and is_order_id(order_id) else plain(order_id, LONGEST_ORDER_ID)


def plain(text: str | None, longest: int) -> str | None:
    """Return a foreign text as one line of visible characters that is no link; None where nothing is left of it."""
    if text is None:
        return None
    if (kind := _not_to_be_shown(text)) is not None:
        return kind
    # Blanks are gathered, so more is looked at than is shown.
    visible = (" " if _is_blank(character) else _visible(character) for character in _composed(text, 4 * longest))
    return _cut(" ".join("".join(visible).split()), longest) or None


def quoted(text: str, language: str) -> str:
    """Return a foreign text between « and », 60 characters at the most, each blank and invisible one as `·`."""
    kind = _not_to_be_shown(text)
    composed = _composed(text, 2 * LONGEST_VALUE)
    visible = ("·" if _is_blank(character) else _visible(character) for character in composed)
    shown = kind or _cut("".join(visible), LONGEST_VALUE)
    return f"«{shown}»{_BLANK.to(language) if '·' in shown else ''}"


def without_markup(text: str) -> str:
    """Return a text in which no chat application finds a format or a link of its own: an address stays one.

    So does an underscore within a word, where it formats nothing: an order's id is to be copied as it is.
    """
    return re.sub(r"\S+", lambda word: word[0] if "://" in word[0] else _unformatted(word[0]), text)


def steps_apart(body: str) -> tuple[str, list[str]]:
    """Split a body into what it tells and its numbered steps; a step that offers a key is told, with the key."""
    told: list[str] = []
    steps: list[str] = []
    for paragraph in without_markup(body).split("\n\n"):
        heading, *lines = paragraph.split("\n")
        if heading not in TO_DO:
            told.append("\n".join(map(_key_to_copy, [heading, *lines])))
            continue
        for line in lines:
            if _STEP.match(line):
                steps.append(_STEP.sub("", line, count=1))
            elif line.startswith(" "):
                steps[-1] += f" {line.strip()}"
            else:
                told.append(f"{steps.pop()}\n{_key_to_copy(line)}")
    return "\n\n".join(told), steps


def ascii_only(text: str) -> str:
    """Fold a text to characters that cost one place in a text message (GSM 03.38 without its extension)."""
    return " ".join(re.sub(r"[^ -~]|[\[\]{}~^|\\`]", " ", _folded(text)).split())


def moment(text: str | None) -> datetime | None:
    """Read a date of VTEX, with up to seven fractional digits, in UTC where it names no zone.

    None for what is no date with a time of day, and for years that mean nothing, such as the 1 that VTEX writes.
    """
    try:
        read = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    if read.year not in _YEARS or "T" not in (text or ""):
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def local(when: datetime, timezone: str) -> datetime:
    """Return a moment on the clocks of a time zone; ZoneInfoNotFoundError for an unknown name."""
    return when.astimezone(ZoneInfo(timezone))


def date(when: datetime, language: str) -> str:
    """Write a date with the time of day: `03/03/2026 às 11h54`, or `3 Mar 2026, 11:54`."""
    return _DATE.to(language).format(day=day(when, language), time=_time_after("à", when, language))


def time(when: datetime, language: str) -> str:
    """Write a time of day: `7h55`, `9h`, or `07:55`."""
    if language == "en":
        return f"{when:%H:%M}"
    return f"{when.hour}h{when:%M}" if when.minute else f"{when.hour}h"


def since(when: datetime, language: str) -> str:
    """Write since which time of the day: `desde as 14h05`, or `since 14:05`."""
    return _SINCE.to(language).format(time=_time_after("a", when, language))


def period(opened: datetime, closed: datetime, language: str) -> str:
    """Write from when to when, the day once where it is one."""
    if opened.date() == closed.date():
        return _within_a_day(opened, closed, language)
    return _FROM_TO.to(language).format(first=date(opened, language), last=date(closed, language))


def readings(first: datetime, last: datetime, language: str) -> str:
    """Write when orders were read, from the first to the last one, the day once where it is one."""
    dates = date(first, language), date(last, language)
    if dates[0] == dates[1]:
        return _ON.to(language).format(date=dates[0])
    if first.date() == last.date():
        return _within_a_day(first, last, language)
    return _BETWEEN.to(language).format(first=dates[0], last=dates[1])


def duration(span: timedelta, language: str) -> str:
    """Write a span of time in its two largest units: `3 h 20 min`, `2 dias 3 h`."""
    hours, minutes = divmod(max(0, int(span.total_seconds())) // 60, 60)
    days, hours = divmod(hours, 24)
    told = {
        (_DAY if days == 1 else _DAYS).to(language).format(count=days): days,
        f"{hours} h": hours,
        f"{minutes} min": minutes if not days else 0,
    }
    return " ".join(words for words, count in told.items() if count) or _LESS_THAN_A_MINUTE.to(language)


def age(span: timedelta, language: str) -> str:
    """Write for how long something has been open: in days, or in hours below one day."""
    hours = max(0, int(span.total_seconds())) // 3600
    if not hours:
        return _LESS_THAN_AN_HOUR.to(language)
    return duration(timedelta(days=hours // 24) or timedelta(hours=hours), language)


def _sentence(problem: Problem, order_id: str, language: str, *, of_order: str, at: str, nor_courier: str = "") -> str:
    number = number_shown(problem.invoice_number)
    whose = of_invoice(number, language) + of_order
    return PHRASES[problem.code].sentence.to(language).format(
        invoice=(_INVOICE if number else _AN_INVOICE).to(language).format(number=number) + of_order,
        key=f"{_KEY.to(language)} {whose}",
        order=order_id,
        at=at,
        of_other=_of_other(problem, language),
        nor_courier=nor_courier,
        mangled=_mangled(problem.key_as_it_came, language) if problem.code is Code.MALFORMED else "",
        document=_document(problem.key_as_it_came, language) if problem.code is Code.WRONG_MODEL else "",
    )  # fmt: skip


def _of_other(problem: Problem, language: str) -> str:
    """Say whose the key is besides: of another order nothing but the id is known."""
    if other_order := order_shown(problem.reused_in):
        return _OF_OTHER_ORDER.to(language).format(order=other_order)
    other_invoice = of_invoice(number_shown(problem.reused_on), language)
    return _OF_SAME_ORDER.to(language).format(of_invoice=other_invoice)


def _mangled(value: object, language: str) -> str:
    match access_key.manglings(value):
        case (Mangling.OTHER,) if not re.search("[0-9]", str(value)):
            return _NO_DIGIT.to(language)
        case (only,) if only in WHOLES:
            return WHOLES[only].to(language).format(length=len(str(value)))
        case several:
            parts = [PARTS[part].to(language) for part in several if part in PARTS]
    if re.match(r"\W*nf-?e", str(value), re.IGNORECASE) and several[0] is Mangling.PREFIX:
        parts[0] = _PREFIX_NFE.to(language)
    listed = _AND.to(language).join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)
    return _MALFORMED.to(language).format(parts=listed)


def _document(value: object, language: str) -> str:
    key = access_key.parse(value)
    model = key.model if key else "?"
    name = access_key.MODELS.get(model)
    said = DOCUMENTS.get(model) or (_NAMED_DOCUMENT if name else _DOCUMENT)
    return said.to(language).format(model=model, name=name)


def _in_brackets(numbers: Sequence[str], language: str) -> str:
    if not numbers:
        return ""
    more = f" {_more(numbers, MOST_NUMBERS, language)}" if numbers[MOST_NUMBERS:] else ""
    said = _INVOICES if numbers[1:] else _ONE_INVOICE
    return said.to(language).format(numbers=", ".join(numbers[:MOST_NUMBERS]) + more)


def and_more(count: int, language: str) -> str:
    """Say how many more there are."""
    return _MORE.to(language).format(count=count)


def _more(told: Sequence[str], most: int, language: str) -> str:
    return and_more(len(told) - most, language)


def _within_a_day(first: datetime, last: datetime, language: str) -> str:
    times = _time_after("da", first, language), _time_after("à", last, language)
    return _WITHIN_A_DAY.to(language).format(first=times[0], last=times[1], day=day(first, language))


def _time_after(word: str, when: datetime, language: str) -> str:
    """Write a time of day with the word that Portuguese has before it: `à 1h`, and `às 2h`."""
    told = time(when, language)
    if language == "en":
        return told
    return f"{word} {told}" if when.hour in {0, 1} else f"{word}s {told}"


def day(when: datetime, language: str) -> str:
    """Write a day: `03/03/2026`, or `3 Mar 2026`."""
    if language == "en":
        return f"{when.day} {_ENGLISH_MONTHS[when.month - 1]} {when.year}"
    return f"{when:%d/%m/%Y}"


def day_and_month(when: date_, language: str) -> str:
    """Write a day without its year: `03/03`, or `3 Mar`."""
    return f"{when.day} {_ENGLISH_MONTHS[when.month - 1]}" if language == "en" else f"{when:%d/%m}"


def week(first: str, last: str, *, opened: int, mended: int, within: timedelta | None, language: str) -> str:
    """Write how many orders failed from the first day to the last, and how many were fixed within which median time."""
    new = {0: _NONE_NEW, 1: _ONE_NEW}.get(opened, _NEW).to(language).format(count=opened)
    fixed = {0: _NONE_FIXED, 1: _ONE_FIXED}.get(mended, _FIXED).to(language)
    told = fixed.format(count=mended, within=duration(within or timedelta(), language))
    return _WEEK.to(language).format(first=first, last=last, opened=new, mended=told)


def _unformatted(word: str) -> str:
    return _AT_A_WORD_S_EDGE.sub("ˍ", word.translate(_MARKUP))


_MARKUP = str.maketrans({"*": "∗", "~": "∼", "`": "´", "[": "(", "]": ")"})
_AT_A_WORD_S_EDGE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_KINDS: tuple[tuple[str, Callable[[str], object]], ...] = (
    ("(xml)", markup.is_markup),
    ("(e-mail)", re.compile("@").search),
    ("(url)", re.compile(r"://|[a-z0-9-]{2}\.[a-z]{2,}(?!\.?[a-z0-9])", re.IGNORECASE).search),
)


def _not_to_be_shown(text: str) -> str | None:
    """Name what may hold anybody's data, and what a mail program would make a link of: an alert has its own alone."""
    forms = (text, _folded(text))
    return next((kind for kind, is_one in _KINDS if any(map(is_one, forms))), None)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _composed(text: str, most: int) -> Iterable[str]:
    return unicodedata.normalize("NFC", text[:most])


def _is_blank(character: str) -> bool:
    return character.isspace() or not character.isprintable()


def _visible(character: str) -> str:
    """Replace what would write over its neighbours, turn the line around, or close a quotation."""
    writes_over = unicodedata.category(character).startswith("M")
    turns_around = unicodedata.bidirectional(character) in {"R", "AL", "AN"}
    return "?" if writes_over or turns_around else {"«": "‹", "»": "›"}.get(character, character)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _key_to_copy(line: str) -> str:
    """Set a line that is a key as code, as which it is copied with a click."""
    return f"`{line}`" if access_key.parse(line) else line
