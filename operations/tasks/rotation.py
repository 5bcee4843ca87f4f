"""A new secret for VTEX's hook, without a call refused meanwhile; and a new key for the desk's links.

The receiver accepts two secrets: `current` and `previous`. A rotation writes both at once, then VTEX is given the new
one. So what VTEX sends is refused at no moment; unless it still sends `previous`, which a rotation would drop.

The desk accepts two keys as well, the former one until the last link that it signed is over. A rotation before that
drops the key before the former one, and with it what is left of its links.
"""

import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta

from invoicekey.ledger.accounts import Accounts
from invoicekey.ledger.registrations import RegistrationStates, digest
from invoicekey.messages.links import ORDER_LASTS
from invoicekey.runtime.desk import keys
from invoicekey.runtime.errors import RetryLater
from invoicekey.runtime.secrets import USABLE_SECONDS, hook_secrets
from invoicekey.vtex.subscriptions import Different, NotShown, Ours
from invoicekey.work.rounds import accounts_served
from operations.deployment.shop import DESK_SECRET, HOOK_SECRET, OutcomeUnknown, Shop
from operations.deployment.stack import Trouble
from operations.deployment.visit import visiting
from operations.health.registration import Registration, install_command
from operations.terminal.findings import Finding, note, to_do, well
from operations.terminal.plain import date

BYTES = 36
_NEXT_RUN = "the guard gives it to VTEX at its next run, within the hour; until then the one before it is accepted too"


class Rotation:
    """A rotation of one stack's secret, step by step."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._notes = RegistrationStates(shop.table)
        self._new = secrets.token_urlsafe(BYTES)
        self._dropped: list[str] = []
        """The accounts whose hooks carry what is no longer accepted, since the rotation was forced."""

    @property
    def accounts(self) -> list[str]:
        """List the accounts whose hooks the guard keeps."""
        within = self._shop.guard_settings.vtex.accounts
        return list(accounts_served(self._shop.credentials, Accounts(self._shop.table), within))

    def see_what_is_dropped(self, *, force: bool) -> None:
        """Raise Trouble where VTEX may still send the secret that the rotation would drop; forced, remember where."""
        if len(hook_secrets(self._shop.deployment.read_secret(HOOK_SECRET))) <= 1:
            return
        behind = [account for account in self.accounts if not self._is_up_to_date(account)]
        if behind and not force:
            how = install_command(self._shop, behind[0])
            raise Trouble(
                f"VTEX's hook of {', '.join(behind)} does not carry the current secret yet, and a rotation would refuse"
                f" the one that it carries. Nothing was changed. First: {how}. (--force rotates all the same.)"
            )
        self._dropped = behind

    def write(self) -> Finding:
        """Write the new secret beside the one that was current, in one write."""
        secret = self._shop.deployment.read_secret(HOOK_SECRET)
        accepted = [usable.decode("utf-8", "surrogatepass") for usable in hook_secrets(secret)]
        rotated = {**secret, "current": self._new, "previous": next(iter(accepted), "")}
        self._shop.deployment.write_secret(HOOK_SECRET, rotated)
        return well("the hook has a new secret; the one before it is still accepted")

    def tell_vtex(self) -> Iterator[Finding]:
        """Let the guard give VTEX the new secret, and say what came of it."""
        yield from self._run_guard()
        noted = self._notes.read(self.accounts)
        behind = []
        for account, guarded in noted.items():
            if guarded.hook_secret == digest(self._new):
                yield well(f"{account}: VTEX's hook carries the new secret")
            elif guarded.hook_installed or account in self._dropped:
                behind.append(account)
            else:
                yield note(f"{account}: no hook of this stack was ever at VTEX")
        yield from self._left_behind(behind)

    def leave_it_to_guard(self) -> Iterator[Finding]:
        """Say who gives VTEX the new secret."""
        yield note(_NEXT_RUN)
        yield from self._refused(self._dropped)

    def _left_behind(self, accounts: list[str]) -> Iterator[Finding]:
        """Say whose hooks do not carry the new secret yet, and what comes of that meanwhile."""
        accepted = [account for account in accounts if account not in self._dropped]
        if accepted:
            yield note(f"not yet at VTEX's hook of {', '.join(accepted)}: {_NEXT_RUN}", self._at_once(accepted))
        yield from self._refused([account for account in accounts if account in self._dropped])

    def _refused(self, accounts: list[str]) -> Iterator[Finding]:
        if accounts:
            yield to_do(
                f"VTEX's hook of {', '.join(accounts)} may carry neither secret: its calls are refused until it has "
                "the new one",
                self._at_once(accounts),
            )

    def _at_once(self, accounts: list[str]) -> str:
        others = ", and so for each of them" if len(accounts) > 1 else ""
        return f"at once: {install_command(self._shop, accounts[0])}{others}"

    def _is_up_to_date(self, account: str) -> bool:
        """Say whether VTEX sends the current secret, or none of ours; where it gives no answer, by the guard's note."""
        with suppress(RetryLater, Trouble), visiting(self._shop, [account]) as vtex:
            standing = Registration(self._shop, vtex).read(account)
            if isinstance(standing.whose, NotShown):
                return standing.carries_current_secret or not standing.noted.hook_installed
            return standing.carries_current_secret or not isinstance(standing.whose, Ours | Different)
        guarded = self._notes.read([account])[account]
        current = str(self._shop.deployment.read_secret(HOOK_SECRET).get("current"))
        return not guarded.hook_installed or guarded.hook_secret == digest(current)

    def _run_guard(self) -> Iterator[Finding]:
        """Run the guard; where it may not be run from here, its schedule does so."""
        try:
            answer = self._shop.run("GuardHookFunction")
        except OutcomeUnknown as trouble:
            yield note(f"the guard was started, and {trouble}; it may still be at work, so nothing was started again")
            return
        except Trouble as trouble:
            yield note(f"the guard could not be run from here: {trouble}")
            return
        if answer.get("FunctionError"):
            yield to_do("the guard failed", f"see its log, then: {self._shop.command('hook status')}")


STILL_SIGNED = timedelta(seconds=USABLE_SECONDS)
"""So long a function that keeps the former key may still sign with it."""


class DeskRotation:
    """A rotation of the key that signs the links to the desk."""

    def __init__(self, shop: Shop, now: datetime) -> None:
        _ = shop.desk_url  # raises Trouble where the stack has no desk
        self._shop = shop
        self._now = now
        self._secret = shop.deployment.read_secret(DESK_SECRET)

    @property
    def cut_short(self) -> str | None:
        """Say which links the rotation would end before their time; None where none would be."""
        try:
            if len(keys(self._secret, self._now)) == 1:
                return None
        except RetryLater:  # there is no key: no link works anyway
            return None
        rotated_at = datetime.fromisoformat(self._secret["previous_until"]) - ORDER_LASTS - STILL_SIGNED
        return f"The links that were sent before the last rotation ({date(rotated_at, self._shop)}) would work no more."

    def write(self) -> Iterator[Finding]:
        """Write the new key beside the one that was current, in one write, and say what comes of that."""
        until = self._now + ORDER_LASTS + STILL_SIGNED
        former = self._secret.get("current")
        rotated = {**self._secret, "current": secrets.token_urlsafe(BYTES)}
        if isinstance(former, str) and former:
            rotated |= {"previous": former, "previous_until": until.isoformat(timespec="seconds")}
        self._shop.deployment.write_secret(DESK_SECRET, rotated)
        yield well("links to the desk are signed with a new key, within five minutes by every function")
        if "previous" in rotated:
            yield note(f"links sent so far work until their own end, at the latest {date(until, self._shop)}")
