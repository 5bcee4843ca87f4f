"""`invoicekey check`: reads orders at VTEX now, and says what is thought of them and why."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from invoicekey.messages import texts
from invoicekey.messages.fields import order_url
from invoicekey.rules.notification import OrderRef
from invoicekey.rules.verdict import Outcome
from invoicekey.runtime.errors import CredentialsRefused, OrderNotFound, RateLimited, RetryLater
from operations.deployment.order_ids import Named, at_vtex, named, unknown_to_vtex
from operations.deployment.shop import Shop
from operations.deployment.visit import SECONDS, VIEW_ORDER, needing, visiting
from operations.health.story import archived
from operations.tasks import check as checking
from operations.tasks.check import Invoice, Mark, Rule
from operations.tasks.judging import Judged, Judging, claims_of, why_cnova
from operations.terminal.cli import FAILING, IN_THE_WAY, err, out
from operations.terminal.plain import LANGUAGE, as_json, date, line, plainly, say, why_not_now, write

_MARKS: Mapping[Mark, tuple[str, str]] = {
    Mark.HOLDS: ("✓", "green"),
    Mark.BROKEN: ("✗", "bold red"),
    Mark.NOT_REACHED: ("–", "dim"),
}
_OUTCOMES: Mapping[Outcome, tuple[str, str]] = {
    Outcome.OK: ("is good", "bold green"),
    Outcome.FAILING: ("is failing", "bold red"),
    Outcome.WAITING: ("is waiting", "bold yellow"),
    Outcome.CANCELED: ("is canceled: its keys do not matter", "bold"),
    Outcome.RETURNED: ("came back: its keys do not matter", "bold"),
    Outcome.NOT_INVOICED: ("is not invoiced yet", "bold"),
    Outcome.OTHER_MARKETPLACE: ("is not CNova's", "bold"),
}

type Found = Judged | str
"""What came of an order: the judgement, or why there is none."""


def check(of: Shop, orders: list[str], account: str | None, json: bool) -> int:
    """Read orders at VTEX and judge them now; return the exit code."""
    with plainly():
        found = _judge(of, named(of, account, orders))
        if json:
            write(out, as_json([_document(of, ref, judged) for ref, judged in found.items()]))
        else:
            for ref, judged in found.items():
                _tell(of, ref, judged)
    if any(isinstance(judged, Judged) and judged.is_failing for judged in found.values()):
        return FAILING
    return IN_THE_WAY if any(isinstance(judged, str) for judged in found.values()) else 0


def _judge(of: Shop, orders: list[Named]) -> dict[OrderRef, Found]:
    """Judge the orders, each whatever came of the others; what VTEX refuses, it refuses for all of an account's."""
    found: dict[OrderRef, Found] = {}
    for account, its in groupby(sorted(orders, key=_account_of), _account_of):
        with visiting(of, [account]) as vtex, err.status("reading at VTEX"), needing(VIEW_ORDER, account):
            policy = of.settings_of(account).policy
            judging = Judging(lambda ref: vtex.read_order(ref, SECONDS), claims_of(of.table), policy)
            found |= dict(_judged(of, one, judging) for one in its)
    return found


def _account_of(one: Named) -> str:
    return one.ref.account


def _judged(of: Shop, one: Named, judging: Judging) -> tuple[OrderRef, Found]:
    try:
        return at_vtex(one, lambda ref: judging.judge(of.ledger.read_one(ref)))
    except OrderNotFound:
        return one.ref, unknown_to_vtex(one)
    except (CredentialsRefused, RateLimited):
        raise
    except RetryLater as trouble:
        return one.ref, why_not_now(trouble)


def _document(of: Shop, ref: OrderRef, judged: Found) -> dict[str, object]:
    if isinstance(judged, str):
        return {"account": ref.account, "order_id": ref.order_id, "outcome": None, "error": judged}
    return checking.document(judged, of.settings_of(judged.ref.account).policy)


def _tell(of: Shop, ref: OrderRef, judged: Found) -> None:
    if isinstance(judged, str):
        say(err, f"{ref.order_id}: {judged}", style="red")
        return
    verdict, policy = judged.verdict, of.settings_of(ref.account).policy
    words, style = _OUTCOMES[verdict.outcome]
    until = f" until {date(verdict.wait_until, of)}" if verdict.wait_until else ""
    say(out, f"{ref.order_id} of {ref.account} {words}{until}", style=style)
    of_the_order = [problem for problem in verdict.problems if not judged.order.sale_invoices]
    for problem in of_the_order:
        say(out, checking.sentence(problem, ref.order_id), indent=2)
    say(out, f"It is {why_cnova(judged, policy)}.", indent=2)
    say(out, f"At VTEX it is {line(judged.order.status, 40)}{_since(of, judged)}.", indent=2)
    say(out, f"{_standing(of, judged)}.", indent=2)
    say(out, order_url(ref.account, ref.order_id), indent=2)
    for invoice in checking.invoices(judged, policy):
        _tell_invoice(invoice, ref.order_id)
    out.print()


def _tell_invoice(invoice: Invoice, order_id: str) -> None:
    number = texts.number_shown(invoice.number)
    out.print()
    say(out, f"Invoice {number}" if number else "An invoice without a number", indent=2, style="bold")
    if invoice.error:
        say(out, checking.sentence(invoice.error, order_id), indent=4)
    _tell_rules(invoice.rules)
    for problem in invoice.problems:
        if problem.suggestion:
            say(out, f"{texts.FOUND[problem.suggestion.source].to(LANGUAGE)}:", indent=4)
            say(out, problem.suggestion.key, indent=4, style="bold cyan")
    for warning in invoice.warnings:
        say(out, checking.sentence(warning, order_id), indent=4, style="yellow", lead="! ")


def _tell_rules(rules: Sequence[Rule]) -> None:
    """Tell each rule on a line of its own; those of a key that has no shape together, for there is nothing to see."""
    unseen = [rule.name for rule in rules if rule.mark is Mark.NOT_REACHED and not rule.found]
    together = len(unseen) > 1
    for rule in rules:
        if not (together and rule.name in unseen):
            mark, style = _MARKS[rule.mark]
            say(out, rule.found, indent=4, style=style, lead=f"{mark} {rule.name:<14} ")
    if together:
        mark, style = _MARKS[Mark.NOT_REACHED]
        say(out, f"not reached: {', '.join(unseen)}", indent=4, style=style, lead=f"{mark} ")


def _since(of: Shop, judged: Judged) -> str:
    invoiced = texts.moment(judged.order.invoiced_date)
    return f"; invoiced {date(invoiced, of)}" if invoiced else ""


def _standing(of: Shop, judged: Judged) -> str:
    """Say what the stack knows of the order."""
    entry = judged.entry
    if entry.archived:
        return f"The stack has set it aside: {archived(entry, lambda when: date(when, of))}"
    if entry.has_open_failure and entry.opened_at:
        return f"The stack has it open as failing since {date(entry.opened_at, of)}"
    if entry.first_seen_at and entry.checked_at:
        return f"The stack first saw it {date(entry.first_seen_at, of)} and found it {entry.outcome}; nothing is open"
    if entry.first_seen_at:
        return f"The stack first saw it {date(entry.first_seen_at, of)}"
    if judged.verdict.wait_until:
        return "The stack has not checked it yet; the grace is counted from its invoicing"
    return "The stack has not checked it yet"
