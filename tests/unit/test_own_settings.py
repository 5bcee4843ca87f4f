"""An account's own settings, as digest and desk have them."""

from dataclasses import replace

import pytest
from botocore.exceptions import EndpointConnectionError

from invoicekey.ledger.accounts import Account, Accounts
from invoicekey.runtime.errors import LedgerUnavailable
from invoicekey.runtime.settings import CheckerSettings, OfAccounts
from invoicekey.work.own_settings import KEPT_SECONDS, OwnSettings
from tests.environments import CHECKER
from tests.fake_dynamodb import FakeDynamoDb
from tests.fakes_outside import ACCOUNT, FakeTime


class Shop:
    def __init__(self) -> None:
        self.time = FakeTime()
        self.dynamodb = FakeDynamoDb()
        self.accounts = Accounts(self.dynamodb.table)
        self.own = OwnSettings(self.accounts, OfAccounts(CheckerSettings, CHECKER).of, self.time.timestamp)

    def language(self, account: str = ACCOUNT) -> str:
        return self.own.of(account).style.language


def test_an_account_without_an_item_has_the_stack_s() -> None:
    shop = Shop()

    assert (shop.language(), shop.own.is_off(ACCOUNT)) == (CHECKER["ALERT_LANGUAGE"], False)


def test_its_own_go_over_them_and_are_another_account_s_business_not() -> None:
    shop = Shop()
    shop.accounts.write(Account(ACCOUNT, settings={"AlertLanguage": "pt-BR"}, is_off=True))

    assert (shop.language(), shop.language("othershop")) == ("pt-BR", "en")
    assert (shop.own.is_off(ACCOUNT), shop.own.is_off("othershop")) == (True, False)


def test_a_change_counts_within_a_minute() -> None:
    shop = Shop()
    written = shop.accounts.write(Account(ACCOUNT, settings={"AlertLanguage": "pt-BR"}))
    assert shop.language() == "pt-BR"

    shop.accounts.write(replace(written, settings={}))
    shop.time.advance(KEPT_SECONDS)

    assert shop.language() == "en"


@pytest.mark.parametrize("settings", [{"AlertLanguage": "tlh"}, {"AlertLanguage": 5}, "none"])
def test_a_corrupt_item_leaves_the_stack_s(settings: object) -> None:
    shop = Shop()
    shop.dynamodb.table.put({"pk": f"account#{ACCOUNT}", "version": 1, "settings": settings})

    assert shop.language() == "en"


def test_without_the_ledger_there_is_no_answer() -> None:
    shop = Shop()

    def gives_no_answer(operation: str) -> None:
        raise EndpointConnectionError(endpoint_url=operation)

    shop.dynamodb.before = gives_no_answer

    with pytest.raises(LedgerUnavailable):
        shop.language()
