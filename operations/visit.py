"""A command's visit to VTEX: it keeps the silences that functions were asked for, and names the permission it lacks."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import httpx

from invoicekey.errors import CredentialsRefused
from invoicekey.visits import Visits
from invoicekey.vtex import Vtex
from operations.deployment import Trouble
from operations.shop import Shop

SECONDS = 30.0
"""So long a command waits for its turn and for the answer."""
VIEW_ORDER, LIST_ORDERS, HOOK_ADMIN = "View order", "List Orders", "Feed v3 and Hook Admin"
"""The resources of VTEX's License Manager that the appKey needs, as they are called there (product OMS, OMS access)."""


@contextmanager
def visiting(shop: Shop, accounts: Collection[str], transport: httpx.BaseTransport | None = None) -> Iterator[Vtex]:
    """Be at VTEX. Raises TryAgainLater where the ledger can't say who wants silence."""
    vtex = shop.vtex(transport=transport)
    with Visits(vtex, shop.ledger, shop.table).to(accounts):
        try:
            yield vtex
        finally:
            vtex.answers.clear()  # the figures are the functions' own


@contextmanager
def needing(permission: str, account: str) -> Iterator[None]:
    """Say what is to be done where VTEX refuses what needs this permission."""
    try:
        yield
    except CredentialsRefused as refused:
        raise Trouble(refusal(permission, account, refused)) from None


def refusal(permission: str, account: str, refused: CredentialsRefused) -> str:
    """Say in one line why VTEX refused, and what is to be done."""
    if refused.why.endswith("403"):
        return (
            f"VTEX answered 403: the appKey of {account} lacks the resource {permission}. Add it to the appKey's role "
            "(VTEX Admin, Account settings, Roles; product OMS, OMS access)."
        )
    return (
        f"{refused.why}: the appKey and appToken of {account} are wrong, or are no longer active. "
        "Run make credentials with the right ones."
    )
