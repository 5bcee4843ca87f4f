"""What VTEX posts to a hook: a ping when it is configured, a notification when an order changes.

An OrderId later becomes part of a path and an account part of a host name, so neither passes unchecked.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeGuard

_ORDER_ID = re.compile(r"(?!(?i:seq))[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ACCOUNT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_INVOICED = "invoiced"

FILTER_STATES = frozenset({
    "order-created", "on-order-completed", "on-order-completed-ffm", "payment-pending",
    "waiting-for-order-authorization", "approve-payment", "payment-approved", "request-cancel",
    "waiting-for-seller-decision", "waiting-ffmt-authorization", "waiting-for-authorization",
    "waiting-for-manual-authorization", "authorize-fulfillment", "order-create-error", "order-creation-error",
    "window-to-cancel", "window-to-change-seller", "waiting-for-mkt-authorization", "waiting-seller-handling",
    "ready-for-handling", "start-handling", "handling", "invoice-after-cancellation-deny", "order-accepted", "invoice",
    "invoiced", "replaced", "cancellation-requested", "cancel", "canceled",
})  # fmt: skip
"""The states that a hook's or a feed's filter may name (Orders API). VTEX takes any other text too, and is silent."""
KNOWN_STATES = FILTER_STATES | frozenset({
    "payment-denied", "window-to-change-payment", "waiting-for-fulfillment", "waiting-for-sellers-confirmation",
    "ready-for-invoicing", "order-completed", "release-to-fulfillment", "canceling",
})  # fmt: skip
"""The states that VTEX documents. Any other may mean anything ("unknow" does), so it is always checked."""
LONGEST_ORDER_ID = 64


class Malformed(ValueError):
    """The body is no notification: not JSON in UTF-8, not an object, or it names no order."""


class AccountRefused(ValueError):
    """The notification names no account, or one that is not taken here."""


class ForeignOrderId(ValueError):
    """The notification is about an order that cannot be CNova's, for its id is none that such an order has.

    VTEX lets each marketplace choose its ids ("ExternalId has no preset format", Help Center), and there is no fault in
    the event: it is of no use here.
    """

    def __init__(self, account: str, order_id: str) -> None:
        super().__init__("the OrderId is none of CNova's")
        self.account = account
        self.order_id = order_id[:LONGEST_ORDER_ID].encode("ascii", "backslashreplace").decode()
        """For logs alone: in ASCII, and cut."""


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

    Raises, in this order, Malformed where it names no order, AccountRefused for the account, and ForeignOrderId.
    """
    order_id = body.get("OrderId")
    if not isinstance(order_id, str) or not order_id.strip():
        raise Malformed("expected an OrderId that is a text with something in it")
    origin = body.get("Origin")
    account = origin.get("Account") if isinstance(origin, dict) else None
    if not is_account(account):
        raise AccountRefused("expected Origin.Account to be an account name of lower-case letters, digits and dashes")
    if accounts and account not in accounts:
        raise AccountRefused("Origin.Account is not in VtexAccounts")
    if not is_order_id(order_id):
        raise ForeignOrderId(account, order_id)
    return OrderRef(account, order_id)


def account_of(body: str) -> str | None:
    """Return the account that an event's body names; None where it names none that may be one."""
    try:
        origin = parse(body).get("Origin")
    except Malformed:
        return None
    account = origin.get("Account") if isinstance(origin, dict) else None
    return account if is_account(account) else None


def is_order_id(text: str) -> bool:
    """Say whether an order of CNova may have this id: up to 64 letters, digits, dots, underscores and dashes.

    VTEX reads `seq…` as a sequence, of any marketplace's order, and so it is none.
    """
    return _ORDER_ID.fullmatch(text) is not None


def is_account(name: object) -> TypeGuard[str]:
    """Say whether this is a text that may be an account's name."""
    return isinstance(name, str) and _ACCOUNT.fullmatch(name) is not None


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
