"""VTEX's list of orders: which orders of a period were invoiced, for a look back over what was missed.

No source of events: it lags minutes behind, and shows no packages (Orders API, List orders). It is asked by the time of
the invoice and never by status: the list's status of an order may stay behind for good (VTEX's known issue 577103:
"handling" in the list, "invoiced" in the order), and whoever asks by it does not see that order. What an order is, the
order says. Nothing of a row is kept but which order it is: the rest is about people.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from invoicekey.runtime.errors import RetryLater
from invoicekey.vtex.client import Vtex

ROUTE = "/api/oms/pvt/orders"
ROWS_A_PAGE = 100
MOST_PAGES = 30
MOST_ROWS = ROWS_A_PAGE * MOST_PAGES
"""So many rows of a query can be read, however many there are: a period with more is to be split."""


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One order of the list."""

    order_id: str
    affiliate_id: str | None


@dataclass(frozen=True, slots=True)
class OrderPage:
    """A page of a period's orders that were invoiced, whatever they are now."""

    total: int
    """How many orders the period has, on all pages; beyond MOST_ROWS they can't be read."""
    rows: tuple[OrderRow, ...]
    unreadable: int = 0
    """How many rows of the page name no order."""


class OrderList:
    """The lists of the accounts' invoiced orders."""

    def __init__(self, vtex: Vtex) -> None:
        self._vtex = vtex

    def page(
        self,
        account: str,
        begin: datetime,
        end: datetime,
        number: int,
        time_left: float,
        *,
        affiliate: str | None = None,
    ) -> OrderPage:
        """Read a page, from 1 to MOST_PAGES, of the orders invoiced between two times; VTEX counts both edges in.

        Of one affiliate id where it is given, letter by letter: whether VTEX knows `vvj` for VVJ is not documented.

        Oldest order first, so that what is added meanwhile moves no row to a page that was read. Times are cut to
        milliseconds: let periods overlap. Raises RetryLater and its kinds as `Vtex.call` does.
        """
        query = {
            **({"f_affiliateId": affiliate} if affiliate else {}),
            "f_invoicedDate": f"invoicedDate:[{_text(begin)} TO {_text(end)}]",
            "orderBy": "creationDate,asc",
            "per_page": str(ROWS_A_PAGE),
            "page": str(number),
        }
        document = self._vtex.call(account, "GET", ROUTE, query=query, time_left=time_left).document
        rows, total = _member(document, "list"), _member(_member(document, "paging"), "total")
        if not isinstance(rows, list) or not isinstance(total, int):
            raise RetryLater("VTEX answered 200 without a list of orders in it")
        readable = tuple(row for row in map(_row, rows) if row)
        return OrderPage(total, readable, unreadable=len(rows) - len(readable))


def _row(row: object) -> OrderRow | None:
    order_id, affiliate_id = _member(row, "orderId"), _member(row, "affiliateId")
    if not isinstance(order_id, str) or not order_id:
        return None
    return OrderRow(order_id, affiliate_id if isinstance(affiliate_id, str) and affiliate_id else None)


def _member(document: object, name: str) -> Any:
    return document.get(name) if isinstance(document, dict) else None


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
