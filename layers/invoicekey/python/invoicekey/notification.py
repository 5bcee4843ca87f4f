"""What VTEX posts to a hook: a ping when it is configured, a notification when an order changes.

An OrderId later becomes part of a path and an account part of a host name, so neither passes unchecked.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

_ORDER_ID = re.compile(r"(?!(?i:seq))[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_ACCOUNT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_INVOICED = "invoiced"

KNOWN_STATES = frozenset({
    "order-created", "on-order-completed", "on-order-completed-ffm", "payment-pending",
    "waiting-for-order-authorization", "approve-payment", "payment-approved", "payment-denied", "request-cancel",
    "waiting-for-seller-decision", "waiting-ffmt-authorization", "waiting-for-authorization",
    "waiting-for-manual-authorization", "authorize-fulfillment", "order-create-error", "order-creation-error",
    "window-to-cancel", "window-to-change-seller", "window-to-change-payment", "waiting-for-mkt-authorization",
    "waiting-seller-handling", "waiting-for-fulfillment", "waiting-for-sellers-confirmation", "ready-for-handling",
    "ready-for-invoicing", "start-handling", "handling", "invoice-after-cancellation-deny", "order-accepted",
    "order-completed", "release-to-fulfillment", "invoice", "invoiced", "replaced", "cancellation-requested",
    "cancel", "canceling", "canceled",
})  # fmt: skip
"""The states that VTEX documents. Any other may mean anything ("unknow" does), so it is always checked."""


class Malformed(ValueError):
    """The body is no notification: not JSON in UTF-8, not an object, or without a usable OrderId."""


class AccountRefused(ValueError):
    """The notification names no account, or one that is not taken here."""


@dataclass(frozen=True, slots=True)
class OrderRef:
    """An order of an account; both are checked, and safe in a path and a host name."""

    account: str
    order_id: str


def parse(body: bytes | str) -> dict[str, Any]:
    """Parse a hook's body, raising Malformed for anything but a JSON object in UTF-8."""
    try:
        text = body.decode("utf-8") if isinstance(body, bytes) else body
        parsed = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed("expected a JSON object in UTF-8") from error
    if not isinstance(parsed, dict):
        raise Malformed(f"expected a JSON object, got {type(parsed).__name__}")
    return parsed


def is_ping(body: Mapping[str, Any]) -> bool:
    """Say whether this is VTEX trying the address while the hook is configured; a ping has no order."""
    return body.get("hookConfig") == "ping" and "OrderId" not in body


def order_ref(body: Mapping[str, Any], accounts: frozenset[str] = frozenset()) -> OrderRef:
    """Return which order the notification is about; with `accounts`, only one of theirs.

    Raises Malformed for the order and AccountRefused for the account.
    """
    order_id = body.get("OrderId")
    if not isinstance(order_id, str) or not _ORDER_ID.fullmatch(order_id):
        raise Malformed("expected an OrderId of up to 64 letters, digits and dashes")
    origin = body.get("Origin")
    account = origin.get("Account") if isinstance(origin, dict) else None
    if not isinstance(account, str) or not _ACCOUNT.fullmatch(account):
        raise AccountRefused("expected Origin.Account to be an account name of lower-case letters, digits and dashes")
    if accounts and account not in accounts:
        raise AccountRefused("Origin.Account is not in VtexAccounts")
    return OrderRef(account, order_id)


def is_watched(body: Mapping[str, Any], watched: frozenset[str]) -> bool:
    """Say whether the state is to be checked: a watched one, or one that says nothing reliable."""
    state = body.get("State")
    name = state.strip().casefold() if isinstance(state, str) else ""
    return name in watched or name not in KNOWN_STATES


def says_invoiced(body: Mapping[str, Any]) -> bool:
    """Say whether the event claims that the order became invoiced. The order as read decides, but VTEX may lag."""
    state = body.get("State")
    return isinstance(state, str) and state.strip().casefold() == _INVOICED


def own_event(ref: OrderRef) -> str:
    """Return the body of an event of ours, in the shape of VTEX's: it names the order, and claims no state."""
    return json.dumps({"OrderId": ref.order_id, "Origin": {"Account": ref.account}})


def event_id(body: Mapping[str, Any]) -> str | None:
    """Return what tells one event of an order from another: its State and LastChange as text; None without the latter.

    VTEX gives events no id (VTEX's guidance: OrderId, State, LastChange). LastChange comes in several shapes, some of
    them no time at all, so it is never read as one.
    """
    state, last_change = body.get("State"), body.get("LastChange")
    if not isinstance(last_change, str) or not last_change:
        return None
    return hashlib.sha256(json.dumps([state, last_change]).encode()).hexdigest()[:20]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
