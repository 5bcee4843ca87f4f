"""A command's visit to VTEX: it respects the functions' back-offs, and names the permission it lacks."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import httpx

from invoicekey.runtime.errors import CredentialsRefused
from invoicekey.vtex.client import Vtex
from invoicekey.work.rounds import SharedBackoff
from operations.deployment.shop import Shop
from operations.deployment.stack import Trouble

SECONDS = 30.0
"""So long a command waits for its turn and for the answer."""
VIEW_ORDER, LIST_ORDERS, HOOK_ADMIN = "View order", "List Orders", "Feed v3 and Hook Admin"
"""The resources of VTEX's License Manager that the appKey needs, as they are called there (product OMS, OMS access)."""


@contextmanager
def visiting(shop: Shop, accounts: Collection[str], transport: httpx.BaseTransport | None = None) -> Iterator[Vtex]:
    """Be at VTEX. Raises RetryLater where the ledger can't say who is in back-off."""
    vtex = shop.vtex(transport=transport)
    with SharedBackoff(vtex, shop.ledger, shop.table).kept_for(accounts):
        try:
            yield vtex
        finally:
            vtex.answers.clear()  # the figures are the functions' own


class Refused(Trouble):
    """VTEX refused the appKey; `says` what is wrong with it, and `how` it is mended."""

    def __init__(self, says: str, how: str, *, lacks: str | None = None) -> None:
        super().__init__(f"{says[:1].upper()}{says[1:]}: {how}.")
        self.says = says
        self.how = how
        self.lacks = lacks
        """The permission that it lacks; None where VTEX does not take the appKey and appToken at all."""


@contextmanager
def needing(permission: str, account: str) -> Iterator[None]:
    """Raise Refused where VTEX refuses what needs this permission."""
    try:
        yield
    except CredentialsRefused as refused:
        raise _meaning(refused, permission, account) from None


def _meaning(refused: CredentialsRefused, permission: str, account: str) -> Refused:
    if refused.why.endswith("403"):
        return Refused(
            f"the appKey of {account} may not “{permission}” (VTEX answered 403)",
            f"add the resource “{permission}” to the appKey's role (VTEX Admin, Account settings, Roles; product OMS, "
            "OMS access)",
            lacks=permission,
        )
    return Refused(
        f"VTEX does not take the appKey and appToken of {account} ({refused.why})",
        "they are wrong, or no longer active; run make credentials (STACK=… AWS_PROFILE=… as here) with the right ones",
    )
