"""`invoicekey desk`: a link to the page, for whoever lost the e-mail."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from invoicekey.messages.links import ExpiredToken, Links, Target
from tests.desk import DESK_KEY, DESK_URL, Desk, at_a_desk
from tests.orders import sale

DAY = timedelta(days=1)


@pytest.fixture
def desk() -> Iterator[Desk]:
    with at_a_desk() as desk:
        desk.check(desk.invoice("VVJ-1-01", sale(key=None)))
        yield desk


def opened(link: str, after: timedelta = timedelta()) -> Target:
    assert link.startswith(DESK_URL)
    return Links(DESK_URL, [DESK_KEY]).read(link.removeprefix(DESK_URL).strip(), datetime.now(UTC) + after)


def test_the_list_of_the_account_is_linked_for_seven_days(desk: Desk) -> None:
    said = desk.run("desk")
    assert said.code == 0
    assert opened(said.out, 6 * DAY) == Target("luxstore")
    with pytest.raises(ExpiredToken):
        opened(said.out, 7 * DAY)


def test_an_order_named_as_people_do_has_its_page_linked_for_thirty_days(desk: Desk) -> None:
    said = desk.run("desk vvj-1")
    assert opened(said.out, 29 * DAY) == Target("luxstore", "VVJ-1-01")
    with pytest.raises(ExpiredToken):
        opened(said.out, 30 * DAY)


def test_the_link_stands_alone_where_it_is_piped_and_until_when_it_works_is_said_beside_it(desk: Desk) -> None:
    said = desk.run("desk")
    assert said.out.count("\n") == 1
    assert "the link works until" in said.err
    assert "pass it on only to those who are to act" in said.err


def test_an_order_that_the_stack_never_saw_has_no_page(desk: Desk) -> None:
    said = desk.run("desk VVJ-9-01")
    assert (said.code, said.out) == (1, "")
    assert "never seen it" in said.err


def test_with_several_accounts_the_list_s_is_to_be_named(desk: Desk) -> None:
    desk.deployment.secrets["VtexCredentialsSecretArn"]["othershop"] = {"app_key": "k", "app_token": "t"}
    assert desk.run("desk").code == 2
    assert opened(desk.run("desk --account othershop").out) == Target("othershop")


def test_a_stack_without_a_desk_says_so(desk: Desk) -> None:
    desk.environment["DESK_URL"] = ""
    said = desk.run("desk")
    assert (said.code, said.out) == (1, "")
    assert "DeskLinks=no" in said.err


def test_a_desk_without_a_key_signs_nothing(desk: Desk) -> None:
    desk.deployment.secrets["DeskSecretArn"] = {}
    said = desk.run("desk")
    assert (said.code, said.out) == (1, "")
    assert "holds no key" in said.err
