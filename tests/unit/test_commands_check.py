from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from invoicekey.ledger.accounts import Account, Accounts
from local.vtex_simulator import Fault
from operations.commands.explain import LOGS
from tests.desk import ACCOUNT, CREDENTIALS, Desk, at_a_desk
from tests.keys import make_key
from tests.orders import KEY, PERSONAL, cnova_order, own_order, sale
from tests.vtex_facts import FACTS

WRONG_DIGIT = KEY[:-1] + "9"


@pytest.fixture
def desk() -> Iterator[Desk]:
    with at_a_desk() as desk:
        yield desk


def test_a_good_order_is_told_rule_by_rule(desk: Desk) -> None:
    desk.invoice("VVJ-1-01", sale())

    said = desk.run("check VVJ-1-01")

    assert said.code == 0
    assert "VVJ-1-01 of luxstore is good" in said.out
    for rule in ("shape", "check digit", "state", "year", "month", "tax id", "model", "number", "emission", "issuer"):
        assert f"✓ {rule}" in said.out


def test_what_comes_after_the_broken_rule_was_not_reached(desk: Desk) -> None:
    desk.invoice("VVJ-1-01", sale("643797", WRONG_DIGIT))

    said = desk.run("check VVJ-1-01 --json")

    found = {rule["rule"]: rule["result"] for rule in said.json[0]["invoices"][0]["rules"]}
    assert (said.code, found["shape"], found["check digit"], found["state"]) == (3, "holds", "broken", "not_reached")


def test_a_missing_key_reaches_no_rule_and_each_is_named(desk: Desk) -> None:
    desk.invoice("VVJ-1-01", sale("1", None))

    said = desk.run("check VVJ-1-01")

    assert said.code == 3
    assert "✗ there" in said.out
    assert "– not reached: shape, check digit, state" in said.out


def test_each_sale_invoice_is_judged_and_its_suggested_key_shown(desk: Desk) -> None:
    key = make_key(number=12)
    desk.invoice("VVJ-1-01", sale(), sale("12", f"NFe {key}", courier=None))

    said = desk.run("check VVJ-1-01")

    assert "Invoice 643797" in said.out
    assert "Suggested key (taken from what is there):" in said.out
    assert f"\n    {key}\n" in said.out
    assert "! Invoice 12 has no carrier." in said.out


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"customData": None}, "by its affiliateId VVJ, which is in CnovaAffiliateIds."),
        ({"affiliateId": "CSB"}, "by its custom app CN-Viavarejo-Integration."),
        ({"affiliateId": "CSB", "customData": None}, "it smells of CNova"),
    ],
)
def test_it_says_why_an_order_is_or_is_not_cnovas(desk: Desk, changes: dict[str, Any], told: str) -> None:
    desk.invoice("VVJ-1-01", sale(), **changes)
    assert told in desk.run("check VVJ-1-01").out


def test_another_marketplaces_order_is_not_failing(desk: Desk) -> None:
    desk.vtex.put_order(own_order(sale("1", None), orderId="1172452900788-01", hostname=ACCOUNT))

    said = desk.run("check 1172452900788-01")

    assert said.code == 0
    assert "no CNova order: it has no affiliateId, and it has no custom app" in said.out


def test_an_order_without_invoice_waits_from_its_invoicing_on(desk: Desk) -> None:
    just_now = datetime.now(UTC).isoformat()
    desk.invoice("VVJ-1-01", invoicedDate=just_now)
    desk.invoice("VVJ-2-01")

    assert "is waiting until" in desk.run("check VVJ-1-01").out
    assert desk.run("check VVJ-2-01").code == 3


def test_a_key_that_another_order_owns_is_told_with_its_owner(desk: Desk) -> None:
    owner = desk.invoice("VVJ-1-01", sale())
    desk.check(owner)
    desk.invoice("VVJ-2-01", sale())

    said = desk.run("check VVJ-2-01")

    assert said.code == 3
    assert "✗ used once      order VVJ-1-01 has it too, and had it first" in said.out
    assert desk.run("check VVJ-1-01").code == 0


def test_an_owner_that_shows_the_key_no_longer_owns_nothing(desk: Desk) -> None:
    owner = desk.invoice("VVJ-1-01", sale())
    desk.check(owner)
    desk.invoice("VVJ-1-01", sale("1", make_key(number=1)))
    desk.invoice("VVJ-2-01", sale())

    assert desk.run("check VVJ-2-01").code == 0


def test_the_issuer_is_judged_by_the_stacks_own_setting() -> None:
    with at_a_desk(SELLER_TAX_IDS="12.ABC.345/01DE-35") as desk:
        desk.invoice("VVJ-1-01", sale())
        assert "✗ issuer         11222333000181 is not in SellerTaxIds" in desk.run("check VVJ-1-01").out


def test_it_changes_nothing_and_tells_nobody(desk: Desk) -> None:
    ref = desk.invoice("VVJ-1-01", sale("1", None))

    desk.run("check VVJ-1-01")

    assert desk.shop.ledger.read([ref]).entries[ref].version == 0
    assert desk.messages("FailureQueueUrl") == desk.messages("HookQueueUrl") == []
    assert not desk.vtex.forbidden_writes


def test_a_dismissed_order_says_so(desk: Desk) -> None:
    ref = desk.invoice("VVJ-1-01", sale("1", None))
    desk.check(ref, at=datetime.now(UTC) - timedelta(hours=1))
    desk.run("dismiss VVJ-1-01 --reason 'done in the portal'")

    assert "done in the portal" in desk.run("check VVJ-1-01").out


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault("status", status=500, order_id="VVJ-2-01"), "VTEX answered 500. Try again later."),
        (Fault("status", status=404, order_id="VVJ-2-01"), "VTEX does not know it in the account luxstore"),
    ],
    ids=["down", "unknown"],
)
@pytest.mark.parametrize(("last_key", "code"), [(KEY, 1), (None, 3)])
def test_an_order_that_cannot_be_read_is_named_and_the_others_are_still_judged(
    desk: Desk, fault: Fault, why: str, last_key: str | None, code: int
) -> None:
    desk.invoice("VVJ-1-01", sale("1", make_key(number=1)))
    desk.invoice("VVJ-3-01", sale("643797", last_key))
    desk.vtex.fail(fault)

    said = desk.run("check VVJ-1-01 VVJ-2-01 VVJ-3-01")

    assert (said.code, said.err.count("\n")) == (code, 1)
    assert said.err.startswith(f"VVJ-2-01: {why}")
    assert "VVJ-1-01 of luxstore is" in said.out
    assert "VVJ-3-01 of luxstore is" in said.out


def test_machines_are_told_why_an_order_could_not_be_read(desk: Desk) -> None:
    desk.invoice("VVJ-1-01", sale())
    desk.vtex.fail(Fault("status", status=500, order_id="VVJ-2-01"))

    said = desk.run("check VVJ-2-01 VVJ-1-01 --json")

    assert (said.code, said.err) == (1, "")
    unread, read = said.json
    assert (unread["order_id"], unread["outcome"]) == ("VVJ-2-01", None)
    assert unread["error"] == "VTEX answered 500. Try again later."
    assert read["outcome"] == "ok"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("check seq501456", "no order's id"),
        ("check AMZ/1", "letters, digits, dots, underscores and dashes"),
        ("check ../../secrets", "no order's id"),
        ("check VVJ-1-01 --account nobody", "no credentials of nobody"),
    ],
)
def test_bad_input_is_one_line_and_asks_vtex_nothing(desk: Desk, command: str, told: str) -> None:
    said = desk.run(command)

    assert (said.code, said.err.count("\n")) == (2, 1)
    assert told in said.err
    assert not desk.vtex.calls()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault("status", status=403), "View order"),
        (Fault("status", status=401), "make credentials"),
        (Fault("status", status=429, retry_after=30), "30 s"),
        (Fault("drop"), "Try again later"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.kind,
)
def test_a_vtex_that_does_not_answer_is_one_line(desk: Desk, fault: Fault, told: str) -> None:
    desk.invoice("VVJ-1-01", sale())
    desk.vtex.fail(fault)

    said = desk.run("check VVJ-1-01")

    assert (said.code, said.err.count("\n")) == (1, 1)
    assert told in said.err


def test_once_vtex_asks_for_silence_no_other_order_is_read(desk: Desk) -> None:
    desk.vtex.fail(Fault("status", status=429, retry_after=30))
    assert desk.run("check VVJ-1-01 VVJ-2-01").code == 1
    assert len(desk.vtex.calls()) == 1


@pytest.mark.parametrize("order_id", FACTS.order_ids)
def test_an_order_id_as_vtex_documents_them_is_checked_and_explained(desk: Desk, order_id: str) -> None:
    ref = desk.invoice(order_id, sale("1", None))
    desk.check(ref)
    now = datetime.now(UTC)
    desk.log("CheckInvoiceLogs", now, message="order checked", outcome="failing", problems=["missing"],
             account=ref.account, order_id=order_id)  # fmt: skip
    for group in LOGS:
        desk.log(group, now, message="about something else")

    assert (desk.run(f"check {order_id}").code, desk.run(f"explain {order_id}").code) == (3, 3)
    assert "read at VTEX and judged: failing" in desk.run(f"explain {order_id}").out
    assert order_id in desk.run("failures").out


def test_no_secret_and_no_customer_is_shown(desk: Desk) -> None:
    desk.vtex.put_order(cnova_order(sale("1", None), **PERSONAL))

    said = desk.run("check VVJ-975102-01").all + desk.run("check VVJ-975102-01 --json").all

    assert "marker" not in said
    assert not any(secret in said for secret in CREDENTIALS.values())


def test_it_fits_a_terminal_of_eighty_columns(desk: Desk) -> None:
    desk.invoice("VVJ-1-01", sale("643797", WRONG_DIGIT), sale("2", None), affiliateId="CSB")
    said = desk.run("check VVJ-1-01", columns=80)
    assert max(map(len, said.out.splitlines())) <= 80


def test_an_order_is_judged_by_its_account_s_own_settings(desk: Desk) -> None:
    Accounts(desk.shop.table).write(Account(ACCOUNT, settings={"SellerTaxIds": "12ABC34501DE35"}))
    desk.invoice("VVJ-1-01", sale())

    said = desk.run("check VVJ-1-01 --json")

    assert [problem["code"] for problem in said.json[0]["problems"]] == ["issuer_mismatch"]


def test_an_account_whose_own_setting_is_wrong_is_told_which(desk: Desk) -> None:
    Accounts(desk.shop.table).write(Account(ACCOUNT, settings={"SellerTaxIds": "1"}))
    desk.invoice("VVJ-1-01", sale())

    said = desk.run("check VVJ-1-01")

    assert said.code == 1
    assert "luxstore has a setting of its own that is wrong: SellerTaxIds: expected CNPJs or CPFs" in " ".join(
        said.err.split()
    )
