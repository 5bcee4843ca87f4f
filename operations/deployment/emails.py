"""Who is alerted of one account alone: e-mail subscriptions of the alert topic, each with a filter by account.

SNS knows the addresses; the ledger keeps the subscriptions' ARNs and no address. SNS has one subscription an address:
who is alerted of two accounts has both in the filter.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from invoicekey.ledger.accounts import Account
from operations.deployment.shop import Shop
from operations.deployment.stack import NotUnderstood, Trouble, explained

ALERTS = "AlertTopicArn"
FILTER = "FilterPolicy"
_ADDRESS = re.compile(r"[^@\s<>,;]{1,64}@[^@\s<>,;]{1,189}\.[^@\s<>,;.]{2,}")
_GONE = ("NotFound", "NotFoundException")
_DIFFERENT = ("InvalidParameter", "InvalidParameterException")

type SideBySide = Callable[[list[str], Callable[[str], "Email | None"]], Iterable["Email | None"]]


@dataclass(frozen=True, slots=True)
class Email:
    """A subscription, as SNS has it."""

    arn: str
    address: str
    is_confirmed: bool
    accounts: tuple[str, ...] | None
    """Those of its filter; None where it has no filter, or one of another kind."""
    has_filter: bool


class AccountEmails:
    """The subscriptions of one stack's alert topic that are about single accounts."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def of(
        self, accounts: Iterable[Account], side_by_side: SideBySide = lambda arns, read: map(read, arns)
    ) -> dict[str, list[Email]]:
        """Return who is alerted of each account alone, by account; a subscription that ended is left out.

        One listing tells the addresses of those that are confirmed; the others are asked for one by one.
        """
        by_account = {account.name: account.subscriptions for account in accounts if account.subscriptions}
        arns = sorted({arn for several in by_account.values() for arn in several})
        found = {email.arn: email for email in side_by_side(arns, self._read) if email}
        return {name: [found[arn] for arn in several if arn in found] for name, several in by_account.items()}

    def add(self, account: str, address: str, others: Collection[str]) -> tuple[str | None, str]:
        """Subscribe an address to an account's alerts; return the subscription's ARN, and what was done in words.

        `others` are the ARNs of all accounts' subscriptions: SNS names nobody who has not confirmed. The ARN is None
        where the address gets the alerts of all accounts already. Raises Trouble where it has a filter that is not
        by account alone.
        """
        there = self._confirmed(address)
        if there is None:
            arn = self._subscribe(account, address)
            if arn is not None:
                return (
                    arn,
                    f"{address} is subscribed, and gets nothing before it confirms: AWS's e-mail, within two days",
                )
            there = next((one for one in map(self._read, others) if one and _is_same(one.address, address)), None)
        if there is None or (there.has_filter and there.accounts is None):
            raise Trouble(f"{address} is subscribed already with a filter of another kind: change that in SNS.")
        if not there.has_filter or there.accounts is None:
            return None, f"{address} gets the alerts of all accounts already, without a filter; nothing was changed"
        if account not in there.accounts:
            self._filter(there.arn, [*there.accounts, account])
        return there.arn, f"{address} is alerted of {account} too{'' if there.is_confirmed else ', once it confirms'}"

    def remove(self, account: str, arn: str) -> None:
        """Alert a subscription of the account no more; where it was its only one, it ends. Gone already is well."""
        email = self._read(arn)
        if email is None:
            return
        if left := [name for name in email.accounts or () if name != account]:
            self._filter(arn, left)
            return
        with explained("The subscription cannot be ended"):
            self._shop.deployment.client("sns").unsubscribe(SubscriptionArn=arn)

    def _subscribe(self, account: str, address: str) -> str | None:
        """Subscribe it; None where SNS has one of another filter for the address."""
        try:
            with explained(f"{address} cannot be subscribed"):
                answer = self._call(
                    "subscribe", TopicArn=self._shop.deployment.output(ALERTS), Protocol="email", Endpoint=address,
                    ReturnSubscriptionArn=True, Attributes={FILTER: _policy([account])},
                )  # fmt: skip
        except _Different:
            return None
        return str(answer["SubscriptionArn"])

    def _call(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        try:
            answer: Mapping[str, Any] = getattr(self._shop.deployment.client("sns"), operation)(**arguments)
        except ClientError as error:
            told = error.response["Error"]
            if told["Code"] in _DIFFERENT and "exist" in told.get("Message", ""):
                raise _Different from None
            raise
        return answer

    def _confirmed(self, address: str) -> Email | None:
        sns, topic = self._shop.deployment.client("sns"), self._shop.deployment.output(ALERTS)
        with explained(f"The subscriptions of {topic} cannot be listed"):
            pages = list(sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic))
        for one in (entry for page in pages for entry in page["Subscriptions"]):
            is_confirmed = one["Protocol"] == "email" and one["SubscriptionArn"].startswith("arn:")
            if is_confirmed and _is_same(one["Endpoint"], address):
                return self._read(one["SubscriptionArn"])
        return None

    def _read(self, arn: str) -> Email | None:
        """Read a subscription; None where SNS has forgotten it."""
        with explained("A subscription of the alert topic cannot be read"):
            try:
                answer = self._shop.deployment.client("sns").get_subscription_attributes(SubscriptionArn=arn)
            except ClientError as error:
                if error.response["Error"]["Code"] in _GONE:
                    return None
                raise
        there = answer["Attributes"]
        policy = there.get(FILTER)
        is_pending = str(there.get("PendingConfirmation")).casefold() == "true"
        return Email(arn, str(there.get("Endpoint", "")), not is_pending, _accounts_in(policy), bool(policy))

    def _filter(self, arn: str, accounts: list[str]) -> None:
        with explained("The subscription's filter cannot be changed, and is as it was"):
            self._shop.deployment.client("sns").set_subscription_attributes(
                SubscriptionArn=arn, AttributeName=FILTER, AttributeValue=_policy(accounts)
            )


class _Different(Exception):
    """SNS has a subscription of the address, with other attributes."""


def checked_address(address: str) -> str:
    """Return an e-mail address, or raise NotUnderstood where that is none."""
    text = address.strip()
    if not _ADDRESS.fullmatch(text) or not text.isascii():
        raise NotUnderstood(f"{address[:80]!r} is no e-mail address. Nothing was changed.")
    return text


def _policy(accounts: list[str]) -> str:
    return json.dumps({"account": sorted(accounts)})


def _accounts_in(policy: str | None) -> tuple[str, ...] | None:
    """Return the accounts of a filter that is by account alone; None of any other."""
    try:
        read = json.loads(policy or "{}")
    except ValueError:
        return None
    names = read.get("account") if isinstance(read, dict) and len(read) == 1 else None
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def _is_same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()
