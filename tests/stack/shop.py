"""A shop at VTEX: its orders, its hook, its faults."""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from local import events
from local.stack import LocalStack
from local.watch import Json

STORM, FED, GUARDED, AT_DESK, LISTED = "stormshop", "feedshop", "guardshop", "deskshop", "listshop"
"""Accounts with a storm, a feed, a stolen hook, a desk and a list of their own."""
WITH_CREDENTIALS = (events.ACCOUNT, "downshop", "quietshop", STORM, FED, GUARDED, AT_DESK, LISTED)
"""VTEX's faults and back-offs are an account's: a test that makes some has its own."""
STRANGER = "strangershop"
"""An account whose events are taken and whose credentials are missing."""
ADDED = "addedshop"
"""An account that an operator adds and removes."""
OWN_PLACE = "ownshop"
"""An account whose credentials are in a place of its own alone."""

_numbers = itertools.count(980001)


def app_key(account: str) -> str:
    """Return an account's appKey: VTEX keeps one hook and one feed for each."""
    return f"vtexappkey-{account}-LOCAL"


class Shop:
    """A shop at VTEX, and its hook."""

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack

    def invoice(self, account: str = events.ACCOUNT, *, invoice_key: str | None = None, **changes: Any) -> str:
        """Put a new order into VTEX, its invoice with no key unless one is given, and return its id."""
        number = str(next(_numbers))
        order = events.order_document(events.BY_NAME["key-missing"])
        order |= {"orderId": f"VVJ-{number}-01", "marketplaceOrderId": f"{number}-01", "hostname": account, **changes}
        invoice = order["packageAttachment"]["packages"][0]
        invoice |= {"invoiceNumber": number, "invoiceKey": invoice_key}
        self._stack.vtex("PUT", "orders", order)
        return str(order["orderId"])

    def notify(self, *order_ids: str, account: str = events.ACCOUNT) -> list[int]:
        """Post a hook for each order, at once, and return the answers."""
        with ThreadPoolExecutor(8) as pool:
            bodies = [json.dumps(events.notification(order_id, account=account)).encode() for order_id in order_ids]
            return list(pool.map(self._stack.post_hook, bodies))

    def misbehave(self, **fault: Any) -> None:
        """Let VTEX misbehave; see local.vtex_simulator.Fault."""
        self._stack.vtex("POST", "faults", fault)

    def behave(self) -> None:
        """Let VTEX be well again."""
        self._stack.vtex("DELETE", "faults")

    def reads(self, order_id: str) -> list[Json]:
        """List the requests for an order at VTEX."""
        requests: list[Json] = self._stack.vtex("GET", f"requests?order_id={order_id}")["requests"]
        return requests
