"""`invoicekey setup`: takes a shop into operation, step by step."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import typer

from invoicekey.runtime.errors import RetryLater
from invoicekey.runtime.secrets import Credentials
from operations.commands.doctor import examine
from operations.commands.hook import install_at_vtex
from operations.deploying import credentials
from operations.deployment.credentials import credentials_place
from operations.deployment.shop import Shop
from operations.deployment.stack import Trouble
from operations.deployment.visit import Refused, visiting
from operations.health.account import AccountHealth
from operations.health.affiliates import last_week
from operations.health.topics import send_tests
from operations.tasks.accounts import written
from operations.terminal import consent
from operations.terminal.cli import FAILING, INTERRUPTED, can_ask, err, out
from operations.terminal.findings import Finding, Section, State, note, show, to_do, unknown, well, worst
from operations.terminal.plain import plainly


class Outcome(StrEnum):
    """What became of a step."""

    DONE = "done"
    SKIPPED = "skipped"
    UNFINISHED = "something is left to do"
    NOT_DONE = "not done"


_OUTCOMES: Mapping[State, Outcome] = {State.TO_DO: Outcome.UNFINISHED, State.UNKNOWN: Outcome.NOT_DONE}


@dataclass(slots=True)
class Step:
    """One step: what it is, how it is offered, what it does, and what became of it."""

    name: str
    question: str
    take: Callable[[], State]
    outcome: Outcome = Outcome.NOT_DONE


def setup(of: Shop, account: str | None) -> int:
    """Take a shop into operation, step by step; return the exit code."""
    if not can_ask():
        raise Trouble("setup asks questions and needs a terminal; in a script, use the single commands.")
    steps = Steps(of, credentials.checked_account(account) if account else None)
    try:
        with plainly():
            steps.take()
    except (KeyboardInterrupt, EOFError, typer.Abort):
        err.print("\n\ninterrupted", style="yellow")
        steps.sum_up()
        return INTERRUPTED
    steps.sum_up()
    return 0 if steps.left_nothing else FAILING


class Steps:
    """The steps for one account, and how far they got."""

    def __init__(self, of: Shop, account: str | None) -> None:
        self._of = of
        self._named = account
        self._steps = [
            Step("credentials", "Keep the appKey and appToken of a VTEX account?", self._keep_credentials),
            Step("orders", "Read at VTEX what the appKey may, and which orders are CNova's?", self._read_orders),
            Step("hook", "Install hook and feed at VTEX?", self._install_hook),
            Step("test alert", "Send a test alert?", self._send_test),
            Step("doctor", "Look at everything once more?", self._examine),
        ]

    @property
    def left_nothing(self) -> bool:
        """Say whether nothing is left to do."""
        return all(step.outcome in {Outcome.DONE, Outcome.SKIPPED} for step in self._steps)

    def take(self) -> None:
        """Offer one step after the other. Raises Trouble where there is no such stack."""
        deployment = self._of.deployment
        deployment.output("HookUrl")
        out.print(f"Setting up {deployment.stack} in {deployment.region}. Ctrl-C ends it at any time.")
        for number, step in enumerate(self._steps, 1):
            out.print(f"\n[bold]{number}/{len(self._steps)} {step.name}[/]")
            self._take(step)

    def sum_up(self) -> None:
        """Say what is done and what is not, and how to go on."""
        show(out, Section("In short", tuple(_told(step) for step in self._steps)))
        account = f" --account {self._named}" if self._named else ""
        out.print(f"\nIt may be repeated, and what is there stays: {self._of.command(f'setup{account}')}")

    def _take(self, step: Step) -> None:
        """Take a step, if it is wanted; what is in its way is told, and the next step is offered all the same."""
        if not consent.agrees(step.question, default=True):
            step.outcome = Outcome.SKIPPED
            return
        try:
            step.outcome = _OUTCOMES.get(step.take(), Outcome.DONE)
        except RetryLater as trouble:
            _show(unknown(trouble.why, "try again later"))
        except Trouble as trouble:
            _show(unknown(str(trouble)))

    @property
    def _account(self) -> str:
        return self._named or self._of.account(None)

    # ---- The steps

    def _keep_credentials(self) -> State:
        kept = self._of.deployment.read_secret(credentials.VTEX_SECRET)
        self._named = account = self._named or credentials.ask_account(kept)
        own = self._of.own.get(account)
        if (account in kept or (own and own.credentials)) and not consent.agrees(
            f"{account} has an appKey and an appToken. Replace them?"
        ):
            return _show(well("they stay as they are"))
        while (keys := self._keys_that_vtex_takes(account)) is None:
            if not consent.agrees("Type them again?", default=True):
                return State.TO_DO
        self._keep(account, keys)
        return _show(well(f"the appKey and appToken of {account} are kept; the functions take them up in five minutes"))

    def _keep(self, account: str, keys: dict[str, str]) -> None:
        """Keep them where the account's are: in its own place, or in the stack's secret."""
        own = self._of.own.get(account)
        if own is None or own.credentials is None:
            credentials.write(self._of.deployment, account, keys)
            return
        stamp = credentials_place(self._of).put(account, **keys)
        self._of.own[account] = written(self._of, account, lambda now: replace(now, credentials=stamp))

    def _keys_that_vtex_takes(self, account: str) -> dict[str, str] | None:
        """Ask for them and try them at VTEX; None, and nothing is kept, where VTEX does not take them."""
        keys, before = credentials.ask_keys(), self._of.credentials
        self._of.credentials = {**before, account: keys}
        self._of.offered[account] = Credentials(**keys)
        try:
            with visiting(self._of, [account]) as vtex, err.status("asking VTEX"):
                last_week(vtex, account)
        except Refused as refused:
            if refused.lacks:  # they are right; the next step says what they may not
                return keys
            self._forget(account, before)
            _show(to_do(f"{refused.says}; nothing was kept", "mind which is which, and blanks at the ends"))
            return None
        except RetryLater as trouble:
            self._forget(account, before)
            raise Trouble(
                f"{trouble.why}. Nothing was kept. Is {account} the account's name? If so, try again later."
            ) from None
        return keys

    def _forget(self, account: str, before: dict[str, Any]) -> None:
        self._of.credentials = before
        del self._of.offered[account]

    def _read_orders(self) -> State:
        with err.status("reading at VTEX"):
            section = AccountHealth(self._of, self._account).orders()
        return _show(*section.findings)

    def _install_hook(self) -> State:
        return _show(*install_at_vtex(self._of, self._account))

    def _send_test(self) -> State:
        sections = send_tests(self._of, self._account, with_operations=True)
        show(out, *sections)
        return worst(sections)

    def _examine(self) -> State:
        return worst(examine(self._of, self._account))


def _show(*findings: Finding) -> State:
    section = Section("", findings)
    show(out, section)
    return worst([section])


def _told(step: Step) -> Finding:
    says = f"{step.name}: {step.outcome}"
    match step.outcome:
        case Outcome.DONE:
            return well(says)
        case Outcome.SKIPPED:
            return note(says)
        case _:
            return Finding(State.TO_DO, says)
