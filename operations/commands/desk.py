"""`invoicekey desk`: a link to the page where failures are seen and dealt with, for whoever lost the e-mail."""

from datetime import UTC, datetime

from invoicekey.messages.links import Links, Target
from invoicekey.runtime.desk import keys
from operations.deployment.order_ids import named
from operations.deployment.shop import DESK_SECRET, Shop
from operations.deployment.stack import Trouble
from operations.terminal.cli import err, out
from operations.terminal.plain import date, plainly, write


def desk(of: Shop, order: str | None, account: str | None) -> int:
    """Print a link to an account's list, or to an order's page; return the exit code."""
    with plainly():
        target = _order(of, account, order) if order is not None else Target(of.account(account))
        now = datetime.now(UTC)
        link = _links(of, now).to(target)
    write(out, link)  # whole, however narrow the terminal is: it is to be copied
    what = f"page of the order {target.order_id}" if target.order_id else f"list of the account {target.account}"
    err.print(
        f"The {what}; the link works until {date(now + target.lasts, of)}. Whoever has it can see and do what is on "
        "that page, without signing in: pass it on only to those who are to act.",
        markup=False,
    )
    return 0


def _order(of: Shop, account: str | None, order: str) -> Target:
    (one,) = named(of, account, [order])
    if not one.is_known:
        raise Trouble(f"{one.ref.order_id}: this stack has never seen it in the account {one.ref.account}.")
    return Target(one.ref.account, one.ref.order_id)


def _links(of: Shop, now: datetime) -> Links:
    return Links(of.desk_url, keys(of.deployment.read_secret(DESK_SECRET), now))
