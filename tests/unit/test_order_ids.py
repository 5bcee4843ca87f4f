"""Order ids as people have them, in every command that takes one."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.desk import ACCOUNT, CREDENTIALS, Desk, at_a_desk
from tests.orders import sale

WAYS = [
    "VVJ-975102-01",
    "vvj-975102-01",
    "975102-01",
    "975102",
    "VVJ-975102",
    "#975102",
    " 975102-01, ",
    "https://luxstore.myvtex.com/admin/orders/VVJ-975102-01",
    "<https://luxstore.myvtex.com/admin/orders/VVJ-975102-01>.",
    "https://LUXSTORE.myvtex.com/admin/orders/vvj-975102-01?orderBy=1#history",
    "luxstore.myvtex.com/admin/checkout/#/orders/VVJ-975102-01",
]


@pytest.fixture
def desk() -> Iterator[Desk]:
    with at_a_desk() as desk:
        yield desk


@pytest.fixture
def failing(desk: Desk) -> Desk:
    desk.check(desk.invoice("VVJ-975102-01", sale("1", None)))
    return desk


def with_another_account(desk: Desk) -> None:
    desk.deployment.secrets["VtexCredentialsSecretArn"]["othershop"] = CREDENTIALS


@pytest.mark.parametrize("typed", WAYS)
def test_an_order_that_the_ledger_knows_is_found_however_it_is_written(failing: Desk, typed: str) -> None:
    said = failing.run(["dismiss", typed, "--reason", "updated in the portal"])
    assert (said.code, said.out.partition(":")[0]) == (0, "VVJ-975102-01")


@pytest.mark.parametrize("typed", WAYS)
def test_so_is_one_that_vtex_alone_knows(desk: Desk, typed: str) -> None:
    desk.invoice("VVJ-975102-01", sale())
    said = desk.run(["check", typed])
    assert said.code == 0
    assert said.out.startswith("VVJ-975102-01 of luxstore is good")


def test_an_order_named_twice_is_one_order(failing: Desk) -> None:
    said = failing.run("check 975102 VVJ-975102-01 vvj-975102-01 --json")
    assert [one["order_id"] for one in said.json] == ["VVJ-975102-01"]


def test_an_affiliate_id_that_is_in_no_setting_is_found_in_the_ledger_s_lists(desk: Desk) -> None:
    desk.check(desk.invoice("CSB-4-01", sale("1", None), affiliateId="CSB"), desk.invoice("CSB-5-01", sale()))
    assert "CSB-4-01 of luxstore" in desk.run("explain 4").out + desk.run("explain 4").err
    assert "CSB-5-01" in desk.run("check 5-01").out


def test_one_that_fits_several_is_a_list_and_nothing_is_done() -> None:
    with at_a_desk(CNOVA_AFFILIATE_IDS="VVJ, CSB") as desk:
        refs = [desk.invoice(f"{name}-7-01", sale("1", None), affiliateId=name) for name in ("VVJ", "CSB")]
        desk.check(*refs)
        said = desk.run("dismiss 7 --reason done")
        assert (said.code, said.out) == (2, "")
        assert "'7' fits 2 orders; name one of them: CSB-7-01, VVJ-7-01. Nothing was done." in said.err
        assert desk.shop.ledger.read_one(refs[0]).archived is None


def test_so_is_one_of_which_vtex_knows_several() -> None:
    with at_a_desk(CNOVA_AFFILIATE_IDS="VVJ, CSB") as desk:
        for name in ("VVJ", "CSB"):
            desk.invoice(f"{name}-7-01", sale(), affiliateId=name)
        said = desk.run("check 7-01")
    assert said.code == 2
    assert "CSB-7-01, VVJ-7-01" in said.err


def test_the_parts_of_an_order_that_vtex_split_are_a_list_too(desk: Desk) -> None:
    desk.check(*(desk.invoice(f"VVJ-7-0{part}", sale(str(part), None)) for part in (1, 2)))
    assert "VVJ-7-01, VVJ-7-02" in desk.run("explain 7").err
    assert "VVJ-7-02 of" in desk.run("explain 7-02").out


def test_what_is_an_order_s_id_as_it_stands_is_that_order(desk: Desk) -> None:
    desk.check(desk.invoice("VVJ-7-01", sale()), desk.invoice("7-01", sale()))
    assert desk.run("check 7-01").out.startswith("7-01 of")


def test_the_ledger_says_which_account_it_is(failing: Desk) -> None:
    with_another_account(failing)
    assert failing.run("dismiss 975102 --reason done").code == 0


def test_an_order_that_two_accounts_have_is_a_list_with_the_accounts(failing: Desk) -> None:
    with_another_account(failing)
    failing.check(failing.invoice("VVJ-975102-01", sale("1", None), account="othershop"))
    said = failing.run("explain 975102")
    assert said.code == 2
    assert "VVJ-975102-01 --account luxstore, VVJ-975102-01 --account othershop" in said.err
    assert failing.run("dismiss 975102 --account othershop --reason done").code == 0


def test_a_link_names_the_account(failing: Desk) -> None:
    with_another_account(failing)
    assert failing.run("check https://othershop.myvtex.com/admin/orders/VVJ-975102-01").code == 1
    said = failing.run("check https://luxstore.myvtex.com/admin/orders/VVJ-975102-01 --account othershop")
    assert said.code == 2
    assert "The link is one of luxstore, and --account says othershop" in said.err


def test_an_order_of_no_known_account_has_to_have_one_named(desk: Desk) -> None:
    with_another_account(desk)
    said = desk.run("check 975102")
    assert said.code == 2
    assert "Say which account: --account luxstore or --account othershop" in said.err


@pytest.mark.parametrize("typed", ["seq501456", "AMZ/1", "https://example.com/orders/1", "", "../../secrets"])
@pytest.mark.parametrize("command", ["check", "explain", "undismiss", "dismiss --reason done"])
def test_what_is_no_order_is_not_understood_by_any_command(desk: Desk, command: str, typed: str) -> None:
    said = desk.run([*command.split(), typed])
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert "the marketplace's number, such as 975102; or the order's link" in said.err


def test_an_order_that_vtex_does_not_know_is_named_in_all_its_ways(desk: Desk) -> None:
    said = desk.run("check 975102")
    assert said.code == 1
    assert "VTEX does not know VVJ-975102-01 or 975102-01 or 975102 in the account luxstore" in said.err


def test_the_ledger_is_asked_once_for_all_of_them(failing: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    get = failing.shop.table.__class__.get

    def counted(table: Any, keys: Any) -> Any:
        asked.append(keys)
        return get(table, keys)

    monkeypatch.setattr("invoicekey.ledger.table.Table.get", counted)
    failing.run("undismiss 975102 vvj-975102-01")
    assert len([keys for keys in asked if len(keys) > 4]) == 1
    assert ACCOUNT in asked[0][0]
