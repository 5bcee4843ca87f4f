"""Removing an account: step by step, each told; whoever is interrupted does the same again, and it goes on.

The account is switched off first, so that nothing of it is checked while it goes, and its item goes last: as long as
that is there, the stack knows the account, and the command finishes what is left.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from invoicekey.ledger.accounts import Account, CorruptAccount, account_key
from invoicekey.ledger.activity import activity_key
from invoicekey.ledger.entries import FOLLOWED, ref_of
from invoicekey.rules.notification import OrderRef
from invoicekey.runtime.errors import Conflict
from invoicekey.work.acts import ActResult, Acts
from operations.deployment.credentials import credentials_place
from operations.deployment.emails import AccountEmails
from operations.deployment.shop import CREDENTIALS_PREFIX, VTEX_SECRET, NoCredentials, Shop
from operations.deployment.stack import Trouble
from operations.deployment.visit import Refused, visiting
from operations.health.registration import Registration
from operations.tasks.accounts import written
from operations.terminal.findings import Finding, note, well

REASON = "account removed"


@dataclass(frozen=True, slots=True)
class Removal:
    """How an account is to be removed."""

    account: str
    keeps_open: bool = False
    """Its open failures stay; then its item stays too, off, so that nobody tries to read them."""
    asks_vtex: bool = True
    """Hook and feed are removed at VTEX."""
    though_not_shown: bool = False


def open_failures(of: Shop, account: str) -> list[OrderRef]:
    """List the orders of an account that have an open failure."""
    items = of.table.listed(FOLLOWED, only=("pk", "opened_at", "set_aside"))
    refs = (ref_of(item["pk"]) for item in items if "opened_at" in item and "set_aside" not in item)
    return [ref for ref in refs if ref.account == account]


def remove(of: Shop, removal: Removal) -> Iterator[Finding]:
    """Take one step after the other, and say what was done. Raises Trouble and RetryLater: what follows is left."""
    account = removal.account
    own = _switched_off(of, account)
    yield well("it is off: nothing of it is checked any more")
    if removal.asks_vtex:
        yield from _hook_and_feed(of, removal)
    else:
        yield note("hook and feed were left at VTEX, which ends a hook that gets no 200 for 72 hours")
    if not removal.keeps_open:
        yield from _failures(of, account)
    yield _credentials(of, own)
    if own.subscriptions:
        for arn in own.subscriptions:
            AccountEmails(of).remove(account, arn)
        yield well("its e-mail subscriptions are ended, or no longer about it")
    yield _item(of, account, keeps_open=removal.keeps_open)


def _switched_off(of: Shop, account: str) -> Account:
    try:
        off = written(of, account, lambda now: replace(now, is_off=True))
    except CorruptAccount:
        of.table.delete(account_key(account))
        off = of.of_accounts.write(Account(account, is_off=True))
    of.own[account] = off
    return off


def _hook_and_feed(of: Shop, removal: Removal) -> Iterator[Finding]:
    account = removal.account
    try:
        of.credentials_of(account)
    except NoCredentials:
        yield note("it has no usable credentials, so hook and feed could not be looked at")
        return
    try:
        with visiting(of, [account]) as vtex:
            registration = Registration(of, vtex)
            if other := registration.whose_is_foreign(account):
                yield note(f"{other}; it was left alone, and so was the feed")
                return
            yield from registration.remove(account, though_not_shown=removal.though_not_shown)
    except Refused as refused:
        if refused.lacks:
            raise
        yield note(f"{refused.says}, so hook and feed could not be removed there")


def _failures(of: Shop, account: str) -> Iterator[Finding]:
    """Dismiss what is open; one that is busy keeps the credentials from being deleted, and is dismissed next time."""
    acts, now = Acts(of.ledger, of.outlets, of.settings.lease, of.style.language), datetime.now(UTC)
    results = Counter[ActResult]()
    for ref in open_failures(of, account):
        try:
            results[acts.dismiss(ref, REASON, now)] += 1
        except Conflict:
            results[ActResult.BUSY] += 1
    if busy := results[ActResult.BUSY]:
        raise Trouble(f"{busy} of its failures are being reported at this moment. Do the same again in a minute.")
    if closed := results[ActResult.DONE] + results[ActResult.UNSENT]:
        yield well(f"{closed} open failure{'s are' if closed > 1 else ' is'} dismissed: {REASON}")


def _credentials(of: Shop, own: Account) -> Finding:
    if of.environment.get(CREDENTIALS_PREFIX):
        credentials_place(of).delete(own.name)
    kept = of.deployment.read_secret(VTEX_SECRET)
    if own.name in kept:
        of.deployment.write_secret(VTEX_SECRET, {name: keys for name, keys in kept.items() if name != own.name})
    return well("its credentials are deleted; revoke the appKey at VTEX where nobody else uses it")


def _item(of: Shop, account: str, *, keeps_open: bool) -> Finding:
    of.backlog.note_accounts(name for name in of.backlog.accounts() if name != account)
    if keeps_open:
        written(of, account, lambda now: Account(account, version=now.version, is_off=True))
        back = of.command(f"accounts add {account}")
        return note(
            "its settings are deleted; it stays listed as off, with its open failures", f"to bring it back: {back}"
        )
    of.table.delete(activity_key(account))
    own = of.of_accounts.read_one(account)
    try:
        of.of_accounts.delete(own)
    except Conflict:
        raise Trouble("Somebody else changed it meanwhile. Do the same again.") from None
    return well("its settings are deleted")
