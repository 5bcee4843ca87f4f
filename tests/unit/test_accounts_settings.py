"""What an account has of its own: how it is read over the stack's, and that a batch keeps to it, account by account."""

from datetime import timedelta

import pytest

from invoicekey.delivery.queues import Message
from invoicekey.ledger.accounts import Account, Accounts, account_key
from invoicekey.rules.notification import OrderRef
from invoicekey.runtime import telemetry
from invoicekey.runtime.settings import OF_ACCOUNTS, CheckerSettings, OfAccounts, SettingsError
from tests.environments import CHECKER
from tests.fakes_outside import GRACE, Outside
from tests.orders import cnova_order, sale

SHOP, OTHER_SHOP = "luxstore", "othershop"
ORDER = "VVJ-1-01"
TAX_ID, OTHER_TAX_ID = "11222333000181", "11444777000161"
"""That of the key which `sale` shows, and another."""


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
def of_accounts() -> OfAccounts[CheckerSettings]:
    return OfAccounts(CheckerSettings, CHECKER)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What was counted or measured, by name: the last value."""
    counted: dict[str, float] = {}

    def count(name: str, number: float = 1) -> None:
        counted[name] = number

    monkeypatch.setattr(telemetry, "count", count)
    monkeypatch.setattr(telemetry, "measure_seconds", count)
    return counted


def has_its_own(outside: Outside, account: str, *, is_off: bool = False, **settings: str) -> None:
    """Let an account have something of its own, whatever it had before."""
    accounts = Accounts(outside.ledger.dynamodb.table)
    before = accounts.read_one(account)
    accounts.write(Account(account, before.version, settings, is_off=is_off))


def spoil(outside: Outside, account: str) -> None:
    outside.ledger.dynamodb.table.put({"pk": account_key(account), "version": 1, "settings": "none"})


def order_of(outside: Outside, account: str, *packages: object, order_id: str = ORDER) -> Message:
    """Put an order at VTEX, and return the message about it."""
    outside.vtex.put(cnova_order(*packages, orderId=order_id, hostname=account))
    return outside.message(order_id, account=account, id=f"{account} {order_id}")


def outcome(outside: Outside, account: str, order_id: str = ORDER) -> str | None:
    entry = outside.ledger.entries.get(OrderRef(account, order_id))
    return entry.outcome if entry else None


def were_read(outside: Outside) -> set[str]:
    """Name the accounts that VTEX was asked for."""
    return {ref.account for ref in outside.vtex.reads}


# ---- How they are read


def test_an_account_without_settings_of_its_own_has_the_stack_s(of_accounts: OfAccounts[CheckerSettings]) -> None:
    assert of_accounts.of({}) is of_accounts.of_stack


def test_an_own_setting_goes_over_the_stack_s_and_leaves_the_others(of_accounts: OfAccounts[CheckerSettings]) -> None:
    own = of_accounts.of({"KeyGraceSeconds": "300"})

    assert own.policy.key_grace == timedelta(seconds=300)
    assert own.policy.affiliate_ids == of_accounts.of_stack.policy.affiliate_ids


def test_an_own_list_may_be_empty_where_the_stack_s_is_not(of_accounts: OfAccounts[CheckerSettings]) -> None:
    assert of_accounts.of({"SellerTaxIds": ""}).policy.seller_tax_ids == frozenset()


def test_the_same_settings_are_read_once(of_accounts: OfAccounts[CheckerSettings]) -> None:
    own = {"KeyGraceSeconds": "300", "AlertLanguage": "pt-BR"}

    assert of_accounts.of(own) is of_accounts.of(dict(reversed(own.items())))


@pytest.mark.parametrize("name", sorted(OF_ACCOUNTS.keys() - {"CnovaAffiliateIds"}))  # which may be any text
def test_a_wrong_setting_is_named_as_the_template_names_it(name: str, of_accounts: OfAccounts[CheckerSettings]) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: "):
        of_accounts.of({name: "-1"})


def test_a_setting_that_no_account_has_of_its_own_is_refused(of_accounts: OfAccounts[CheckerSettings]) -> None:
    with pytest.raises(SettingsError, match=r"^VtexBaseUrl: .*SellerTaxIds"):
        of_accounts.of({"VtexBaseUrl": "https://{account}.example"})


# ---- What a batch makes of them


def test_a_seller_s_tax_id_makes_no_key_of_another_account_right(outside: Outside) -> None:
    has_its_own(outside, SHOP, SellerTaxIds=OTHER_TAX_ID)
    has_its_own(outside, OTHER_SHOP, SellerTaxIds=TAX_ID)

    outside.check(order_of(outside, SHOP, sale()), order_of(outside, OTHER_SHOP, sale()))

    assert [(sent.ref.account, sent.codes) for sent in outside.outlets.records] == [(SHOP, ["issuer_mismatch"])]
    assert outcome(outside, OTHER_SHOP) == "ok"


def test_an_affiliate_id_of_one_account_makes_no_order_of_another_cnova_s(outside: Outside) -> None:
    has_its_own(outside, SHOP, CnovaAffiliateIds="XYZ")
    has_its_own(outside, OTHER_SHOP, CnovaAffiliateIds="VVJ")
    messages = [order_of(outside, account, sale()) for account in (SHOP, OTHER_SHOP)]
    for document in outside.vtex.documents.values():
        document["customData"] = None

    outside.check(*messages)

    assert [outcome(outside, account) for account in (SHOP, OTHER_SHOP)] == ["other_marketplace", "ok"]


def test_each_account_is_alerted_in_its_language(outside: Outside) -> None:
    has_its_own(outside, SHOP, AlertLanguage="pt-BR")
    has_its_own(outside, OTHER_SHOP, AlertLanguage="en")

    outside.check(*(order_of(outside, account, sale(key=None)) for account in (SHOP, OTHER_SHOP)))

    subjects = {sent.ref.account: sent.document["Subject"] for sent in outside.outlets.alerts}
    assert "sem chave" in subjects[SHOP]
    assert "has no access key" in subjects[OTHER_SHOP]


def test_each_account_has_its_own_alert_quota(outside: Outside) -> None:
    has_its_own(outside, SHOP, AlertBurst="1")
    has_its_own(outside, OTHER_SHOP, AlertBurst="2")

    outside.check(*(
        order_of(outside, account, sale(key=None), order_id=order_id)
        for account in (SHOP, OTHER_SHOP)
        for order_id in ("VVJ-1-01", "VVJ-2-01")
    ))  # fmt: skip

    alerted = [sent.ref.account for sent in outside.outlets.alerts]
    assert (alerted.count(SHOP), alerted.count(OTHER_SHOP)) == (1, 2)


def test_of_an_account_that_is_off_nothing_is_read(outside: Outside, counts: dict[str, float]) -> None:
    has_its_own(outside, SHOP, is_off=True)

    returned = outside.check(*(order_of(outside, account, sale(key=None)) for account in (SHOP, OTHER_SHOP)))

    assert (returned, were_read(outside)) == (set(), {OTHER_SHOP})
    assert counts["check_account_off"] == 1


def test_an_account_that_is_on_again_is_checked_at_the_next_batch(outside: Outside) -> None:
    has_its_own(outside, SHOP, is_off=True)
    outside.check(order_of(outside, SHOP, sale()))
    has_its_own(outside, SHOP)

    outside.check(order_of(outside, SHOP, sale()))

    assert outcome(outside, SHOP) == "ok"


def test_a_state_is_passed_over_by_the_account_alone_that_does_not_watch_it(
    outside: Outside, counts: dict[str, float]
) -> None:
    has_its_own(outside, SHOP, WatchedStatuses="payment-approved")

    returned = outside.check(*(order_of(outside, account, sale()) for account in (SHOP, OTHER_SHOP)))

    assert (returned, were_read(outside)) == (set(), {OTHER_SHOP})
    assert counts["check_not_watched"] == 1


def test_a_corrupt_item_postpones_the_orders_of_its_account_alone(outside: Outside, counts: dict[str, float]) -> None:
    spoil(outside, SHOP)
    spoilt, sound = (order_of(outside, account, sale()) for account in (SHOP, OTHER_SHOP))

    assert outside.check(spoilt, sound) == {spoilt.id}
    assert (were_read(outside), outcome(outside, OTHER_SHOP)) == ({OTHER_SHOP}, "ok")
    assert counts["ledger_unreadable"] == 1


def test_a_wrong_setting_postpones_the_orders_of_its_account_alone(outside: Outside) -> None:
    has_its_own(outside, SHOP, SellerTaxIds="not-a-tax-id")
    wrong, sound = (order_of(outside, account, sale()) for account in (SHOP, OTHER_SHOP))

    assert outside.check(wrong, sound) == {wrong.id}
    assert were_read(outside) == {OTHER_SHOP}


def test_of_a_wrong_setting_the_log_has_the_name_and_not_the_text(
    outside: Outside, caplog: pytest.LogCaptureFixture
) -> None:
    has_its_own(outside, SHOP, SellerTaxIds="12345678900")

    outside.check(order_of(outside, SHOP, sale()))

    said = [record.__dict__ for record in caplog.records]
    assert [line["setting"] for line in said if "setting" in line] == ["SellerTaxIds"]
    assert "12345678900" not in str(said)


def test_mended_the_item_s_orders_are_checked(outside: Outside) -> None:
    has_its_own(outside, SHOP, SellerTaxIds="not-a-tax-id")
    outside.check(order_of(outside, SHOP, sale()))
    has_its_own(outside, SHOP, SellerTaxIds=TAX_ID)

    outside.check(order_of(outside, SHOP, sale()))

    assert outcome(outside, SHOP) == "ok"


def test_each_account_s_own_pace_is_kept(outside: Outside) -> None:
    has_its_own(outside, SHOP, VtexRequestsPerMinute="600")

    outside.check(*(order_of(outside, account, sale()) for account in (SHOP, OTHER_SHOP)))

    assert outside.vtex.paces == {SHOP: 270, OTHER_SHOP: 540}  # nine tenths, over two environments


def test_a_key_has_its_grace_where_its_account_gives_one(outside: Outside) -> None:
    has_its_own(outside, SHOP, KeyGraceSeconds="3600")
    waiting, failing = (order_of(outside, account, sale(key=None)) for account in (SHOP, OTHER_SHOP))

    assert outside.check(waiting, failing) == {waiting.id}
    assert [sent.ref.account for sent in outside.outlets.records] == [OTHER_SHOP]


def test_a_message_that_waits_for_its_account_s_grace_is_not_late(outside: Outside, counts: dict[str, float]) -> None:
    has_its_own(outside, SHOP, KeyGraceSeconds="3600")
    waiting = order_of(outside, SHOP, sale(key=None))
    outside.time.advance(GRACE + timedelta(minutes=5))

    outside.check(waiting)

    assert counts["oldest_check_age"] == 0
