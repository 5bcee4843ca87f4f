"""The judgement: an order, a policy and a clock give an outcome and its problems.

Pure: no AWS, no network, no log. Everything that it can say is a value with a code; docs/architecture/check.md lists
the outcomes, docs/schemas/ the codes. VTEX's FAQ 715 is the reason for all of it: without a good key in invoiceKey a
CNova order stays where it was at the marketplace.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from invoicekey.rules import access_key
from invoicekey.rules.access_key import AccessKey
from invoicekey.rules.policy import Policy

if TYPE_CHECKING:
    from invoicekey.rules.order import Order, Package

CANCELED_STATUSES = frozenset({"canceled", "cancel", "canceling", "request-cancel", "cancellation-requested"})
CNOVA_APP = "viavarejo"
CNOVA_NAMES = re.compile(r"cnova|viavarejo|(?<![^\W_])via[\W_]+varejo|casas[\W_]*bahia")
"""What CNova's marketplace is called, in small ASCII letters. What only ends like it (Lívia Varejo) is not meant."""
TAX_OFFICE_SERIES = range(890, 900)
"""Series of invoices issued through the tax office: their key carries its CNPJ, not the seller's."""


class Outcome(StrEnum):
    """What a check of one order came to."""

    OTHER_MARKETPLACE = "other_marketplace"
    CANCELED = "canceled"
    RETURNED = "returned"
    NOT_INVOICED = "not_invoiced"
    WAITING = "waiting"
    OK = "ok"
    FAILING = "failing"


OWNS_NO_KEY = frozenset({Outcome.CANCELED, Outcome.RETURNED, Outcome.NOT_INVOICED, Outcome.OTHER_MARKETPLACE})
"""What an order came to that owns no key, whichever it shows (contract, `reused`)."""


class Severity(StrEnum):
    """Errors make an order failing; warnings ride along."""

    ERROR = "error"
    """It makes the order failing."""
    WARNING = "warning"
    """It rides along, and never makes an order failing."""


class Code(StrEnum):
    """What can be wrong with an invoice."""

    MISSING = "missing"
    """The invoice has no key."""
    MALFORMED = "malformed"
    """The key field does not have the form of a key: 44 characters and nothing else."""
    INVALID_CHECK_DIGIT = "invalid_check_digit"
    """The key's check digit is wrong: mostly a digit was mistyped."""
    INVALID_STATE = "invalid_state"
    """The key does not begin with a state's code."""
    INVALID_YEAR = "invalid_year"
    """The key's year is before 2006 or in the future."""
    INVALID_MONTH = "invalid_month"
    """The key's month is not 01 to 12."""
    INVALID_TAX_ID = "invalid_tax_id"
    """The issuer's CNPJ or CPF in the key is not a valid one."""
    WRONG_MODEL = "wrong_model"
    """The key is of another kind of document than an NF-e (model 55)."""
    INVALID_NUMBER = "invalid_number"
    """The invoice number in the key is zero."""
    INVALID_EMISSION_TYPE = "invalid_emission_type"
    """The key's emission type is not one of the tax office's."""
    ISSUER_MISMATCH = "issuer_mismatch"
    """The key is of another issuer than the setting SellerTaxIds has."""
    REUSED = "reused"
    """Another invoice carries the same key."""
    NO_INVOICE = "no_invoice"
    """The order is invoiced, and has no sale invoice."""
    NUMBER_MISMATCH = "number_mismatch"
    """The invoice number in the key is another than the invoice's."""
    ISSUE_DATE_MISMATCH = "issue_date_mismatch"
    """The key's month is more than a month away from the invoice's date."""
    TRACKING_MISSING = "tracking_missing"
    """The invoice has no tracking number."""
    COURIER_MISSING = "courier_missing"
    """The invoice has no courier."""
    UNSAFE_NUMBER = "unsafe_number"
    """The invoice number has a blank or a slash in it: VTEX then fails to take tracking."""

    @property
    def severity(self) -> Severity:
        """Tell whether the code makes an order failing."""
        return Severity.WARNING if self in _WARNINGS else Severity.ERROR


NOT_ON_ITS_WAY = frozenset({Code.TRACKING_MISSING, Code.COURIER_MISSING})
"""What CNova needs for its shipped status, besides the key."""
_WARNINGS = frozenset({Code.NUMBER_MISMATCH, Code.ISSUE_DATE_MISMATCH, Code.UNSAFE_NUMBER}) | NOT_ON_ITS_WAY


class SuggestionSource(StrEnum):
    """Where a likely key was found."""

    CLEANED = "cleaned"
    """In the key field itself, among other characters."""
    EMBEDDED_INVOICE = "embedded_invoice"
    """In the NF-e's XML, which the invoice holds."""
    INVOICE_URL = "invoice_url"
    """In the invoice's address."""
    INVOICE_NUMBER = "invoice_number"
    """In the field of the invoice number."""


class Suggestion(NamedTuple):
    """A likely key, to be offered to a person and never written to VTEX."""

    key: str
    source: SuggestionSource


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one invoice (with the order itself where it has none)."""

    code: Code
    invoice_number: str | None = None
    key_as_it_came: Any = None
    suggestion: Suggestion | None = None
    reused_on: str | None = None
    """With `reused`: the number of the other invoice of this order that carries the key."""
    reused_in: str | None = None
    """With `reused`: the other order that owns the key."""
    is_overdue: bool = False
    """With a warning: the shop's patience with it is over, so it is an error."""

    @property
    def severity(self) -> Severity:
        """Tell whether the problem makes the order failing."""
        return Severity.ERROR if self.is_overdue else self.code.severity

    @property
    def identity(self) -> str:
        """Return what makes an error the same error: code, invoice number and the key as it came, as JSON."""
        return json.dumps([self.code, self.invoice_number, self.key_as_it_came], sort_keys=True)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What else a verdict depends on, besides the order and the policy."""

    account: str
    now: datetime
    first_seen_at: datetime
    has_open_failure: bool = False
    owners: Mapping[str, str] = MappingProxyType({})
    """The orders that showed some of this order's keys before it did, by key."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome, with the problems found, and until when to wait where it is `waiting`."""

    outcome: Outcome
    problems: tuple[Problem, ...] = ()
    wait_until: datetime | None = None
    is_suspect: bool = False
    """With `other_marketplace`: the order smells of CNova, so the setting CnovaAffiliateIds is probably wrong."""
    keys: tuple[tuple[str | None, str], ...] = field(default=(), repr=False)
    """With `ok`: the number and the key of each sale invoice."""
    own_keys: tuple[str, ...] = field(default=(), repr=False)
    """The sound keys that the order shows, and that no other order owns."""
    overdue_at: datetime | None = None
    """With `ok`: when what is still missing for the shipped status becomes an error."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """List the problems that make the order failing."""
        return tuple(problem for problem in self.problems if problem.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """List the problems that never do so alone."""
        return tuple(problem for problem in self.problems if problem.severity is Severity.WARNING)


def judge(order: "Order", policy: Policy, given: Circumstances) -> Verdict:
    """Judge one order as it was read. The first row that fits is the outcome (contract, "Outcomes of a check")."""
    status = (order.status or "").casefold()
    sales = order.sale_invoices
    if not _is_cnova(order, policy, given.account):
        return Verdict(Outcome.OTHER_MARKETPLACE, is_suspect=_smells_of_cnova(order))
    if status in CANCELED_STATUSES:
        return Verdict(Outcome.CANCELED)
    if sales and _all_came_back(order):
        return Verdict(Outcome.RETURNED)
    if not sales:
        return _without_invoice(status, policy, given)
    problems = tuple(_problems(sales, policy, given))
    own_keys = tuple(_own_keys(sales, problems, given))
    keys = tuple((sale.invoice_number, str(sale.invoice_key)) for sale in sales)
    verdict = Verdict(
        Outcome.OK, problems, keys=keys, own_keys=own_keys, overdue_at=_overdue_at(problems, policy, given)
    )
    if not verdict.errors:
        return verdict
    grace_end = given.first_seen_at + policy.key_grace
    only_missing = all(error.code is Code.MISSING for error in verdict.errors)
    if only_missing and given.now < grace_end and not given.has_open_failure:
        return Verdict(Outcome.WAITING, problems, wait_until=grace_end)
    return Verdict(Outcome.FAILING, problems, own_keys=own_keys)


def _without_invoice(status: str, policy: Policy, given: Circumstances) -> Verdict:
    if status != "invoiced":
        return Verdict(Outcome.NOT_INVOICED)
    problems = (Problem(Code.NO_INVOICE),)
    grace_end = given.first_seen_at + policy.invoice_grace
    if given.now < grace_end and not given.has_open_failure:
        return Verdict(Outcome.WAITING, problems, wait_until=grace_end)
    return Verdict(Outcome.FAILING, problems)


def _is_cnova(order: "Order", policy: Policy, account: str) -> bool:
    affiliate = (order.affiliate_id or "").casefold()
    if affiliate and not policy.affiliate_ids.isdisjoint({affiliate, f"{account}:{affiliate}"}):
        return True
    return any(CNOVA_APP in app.casefold() for app in order.custom_app_ids)


def _smells_of_cnova(order: "Order") -> bool:
    return any(CNOVA_NAMES.search(_plain_letters(told)) for told in order.marketplace_addresses)


def _plain_letters(text: str) -> str:
    """Return a name or an address without percents, accents and capitals."""
    return unicodedata.normalize("NFKD", unquote(text)).encode("ascii", "ignore").decode().casefold()


def _all_came_back(order: "Order") -> bool:
    """Say whether the returns' values add up to the sale invoices'.

    A sale of unknown value never came back, and a return of unknown value brings nothing back. A sale of 0 is one of
    unknown value: VTEX writes that of items that it split (known issue 387933).
    """
    sold = [sale.invoice_value or 0 for sale in order.sale_invoices]
    returned = [back.invoice_value or 0 for back in order.returns]
    return all(sold) and sum(returned) >= sum(sold)


def _problems(sales: "Sequence[Package]", policy: Policy, given: Circumstances) -> Iterator[Problem]:
    """Yield, invoice by invoice, its one error where it has one, then its warnings."""
    year, numbers = given.now.year, _numbers_by_key(sales)
    is_overdue = policy.tracking_grace is not None and given.now >= given.first_seen_at + policy.tracking_grace
    for sale in sales:
        key = access_key.parse(sale.invoice_key)
        other_number = _other_number_of_its_key(sale, numbers)
        owner = given.owners.get(key.text) if key else None
        code = _error(sale, key, policy, year, is_reused=bool(other_number or owner))
        is_reused = code is Code.REUSED
        if code is not None:
            yield Problem(
                code,
                sale.invoice_number,
                sale.invoice_key,
                suggestion=_suggest(sale, policy, year),
                reused_on=other_number if is_reused else None,
                reused_in=owner if is_reused and not other_number else None,
            )
        may_become_error = is_overdue and code is None
        for warning in _warnings(sale, key if code in _KEY_IS_SOUND else None):
            becomes_error = may_become_error and warning in NOT_ON_ITS_WAY
            may_become_error = may_become_error and not becomes_error
            yield Problem(warning, sale.invoice_number, sale.invoice_key, is_overdue=becomes_error)


def _own_keys(sales: "Sequence[Package]", problems: Sequence[Problem], given: Circumstances) -> Iterator[str]:
    """Yield each key once that is sound, and this order's own."""
    faulty = {
        str(p.key_as_it_came) for p in problems if p.code.severity is Severity.ERROR and p.code is not Code.REUSED
    }
    shown = dict.fromkeys(str(sale.invoice_key) for sale in sales)
    return (key for key in shown if key not in faulty and key not in given.owners)


def _overdue_at(problems: Sequence[Problem], policy: Policy, given: Circumstances) -> datetime | None:
    if policy.tracking_grace is None or not any(problem.code in NOT_ON_ITS_WAY for problem in problems):
        return None
    return given.first_seen_at + policy.tracking_grace


_KEY_IS_SOUND = (None, Code.ISSUER_MISMATCH, Code.REUSED)


def _error(sale: "Package", key: AccessKey | None, policy: Policy, year: int, *, is_reused: bool) -> Code | None:
    value = sale.invoice_key
    if value is None or (isinstance(value, str) and not value.strip()):
        return Code.MISSING
    if key is None:
        return Code.MALFORMED
    if (fault := access_key.first_fault(key, current_year=year)) is not None:
        return Code(fault.value)
    if not _is_sellers_own(key, policy):
        return Code.ISSUER_MISMATCH
    return Code.REUSED if is_reused else None


def _is_sellers_own(key: AccessKey, policy: Policy) -> bool:
    return not policy.seller_tax_ids or key.series in TAX_OFFICE_SERIES or key.tax_id in policy.seller_tax_ids


def _numbers_by_key(sales: "Sequence[Package]") -> dict[str, dict[str, str]]:
    """Gather under each key the numbers of the sale invoices that carry it, by the invoice that each number names."""
    numbers: dict[str, dict[str, str]] = {}
    for sale in sales:
        if isinstance(sale.invoice_key, str) and sale.invoice_number:
            named = _invoice_named(sale.invoice_number, sale.invoice_key)
            numbers.setdefault(sale.invoice_key, {}).setdefault(named, sale.invoice_number)
    return numbers


def _invoice_named(number: str, key_text: str) -> str:
    """Return an invoiceNumber less what does not tell one invoice from another.

    Leading zeros do not. Nor does what stands behind the key's own nNF, for an NF-e that is shipped in parts needs a
    number of its own at VTEX for each: `643797`, `643797-1` and `643797/2` all name 643797. nNF has to end there, with
    the number or before anything but a digit: `6437971` names another invoice, and so does `1-643797`.
    """
    bare, key = number.lstrip("0"), access_key.parse(key_text)
    own = str(key.number) if key else bare
    return own if bare.startswith(own) and not bare[len(own) :][:1].isdigit() else bare


def _other_number_of_its_key(sale: "Package", numbers: dict[str, dict[str, str]]) -> str | None:
    """Return the number of a sale invoice of the order that has the same key and names another invoice."""
    if not isinstance(sale.invoice_key, str) or not sale.invoice_number:
        return None
    own = _invoice_named(sale.invoice_number, sale.invoice_key)
    return next((number for named, number in numbers[sale.invoice_key].items() if named != own), None)


def _plain_number(number: str | None) -> int | None:
    """Return an invoiceNumber of one to nine digits as a number; VTEX allows any text there."""
    return int(number) if number is not None and re.fullmatch(r"[0-9]{1,9}", number) else None


def _warnings(sale: "Package", key: AccessKey | None) -> Iterator[Code]:
    if key is not None:
        if _plain_number(sale.invoice_number) not in (None, key.number):
            yield Code.NUMBER_MISMATCH
        # Other years and months are no date: VTEX writes the year 1 where it has none.
        issued = re.match(r"(20[0-9]{2})-(0[1-9]|1[0-2])-", sale.issuance_date or "")
        if issued and abs((int(issued[1]) - key.year) * 12 + int(issued[2]) - key.month) > 1:
            yield Code.ISSUE_DATE_MISMATCH
    if sale.tracking_number is None:
        yield Code.TRACKING_MISSING
    if sale.courier is None:
        yield Code.COURIER_MISSING
    if _is_unsafe(sale.invoice_number_as_it_came):
        yield Code.UNSAFE_NUMBER


def _is_unsafe(number: object) -> bool:
    """Say whether VTEX stumbles over an invoiceNumber: over a blank (known issue 409225), over a slash (1302085)."""
    return isinstance(number, str) and any(character.isspace() or character == "/" for character in number)


def _suggest(sale: "Package", policy: Policy, year: int) -> Suggestion | None:
    """Look for a likely key: the field cleaned, then the NF-e XML, the address and the invoice number (contract).

    The key of a note that an XML of the invoice says is cancelled, or no sale's, is offered from nowhere.
    """
    in_field = access_key.read_xml(sale.invoice_key, current_year=year)
    embedded = access_key.read_xml(sale.embedded_invoice, current_year=year)
    of_no_sale = in_field.of_no_sale | embedded.of_no_sale
    places = {
        SuggestionSource.CLEANED: in_field.key or access_key.clean(sale.invoice_key, current_year=year),
        SuggestionSource.EMBEDDED_INVOICE: embedded.key,
        SuggestionSource.INVOICE_URL: access_key.find_in_text(sale.invoice_url, current_year=year),
        SuggestionSource.INVOICE_NUMBER: access_key.find_in_text(sale.invoice_number, current_year=year),
    }
    number = _plain_number(sale.invoice_number)
    for source, key in places.items():
        if key is None or key.text == sale.invoice_key or key.text in of_no_sale or not _is_sellers_own(key, policy):
            continue
        if source is SuggestionSource.CLEANED or number in (None, key.number):
            return Suggestion(key.text, source)
    return None
