"""Links: what this stack signed opens what it names, for a while, and nothing else opens anything."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoicekey.messages.links import ExpiredToken, ForgedToken, Links, Target

ADDRESS = "https://abc123.execute-api.sa-east-1.amazonaws.com/desk/"
ORDER, LIST = Target("luxstore", "VVJ-975102-01"), Target("luxstore")
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


@pytest.fixture
def links() -> Links:
    return Links(ADDRESS, ["a key"])


def in_time() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize("target", [ORDER, LIST])
def test_a_link_opens_what_it_was_made_for(links: Links, target: Target) -> None:
    address = links.to(target)
    assert address.startswith(ADDRESS)
    assert links.read(address.removeprefix(ADDRESS), in_time()) == target


@pytest.mark.parametrize(("target", "lasts"), [(ORDER, 30 * DAY), (LIST, 7 * DAY)])
def test_a_link_to_an_order_lasts_thirty_days_and_one_to_a_list_seven(
    links: Links, target: Target, lasts: timedelta
) -> None:
    token = links.token(target)
    assert links.read(token, in_time() + lasts - 5 * SECOND) == target
    with pytest.raises(ExpiredToken):
        links.read(token, in_time() + lasts)


def test_a_link_that_a_list_shows_ends_with_the_list_s(links: Links) -> None:
    until = in_time() + 2 * DAY
    token = links.token(Target("luxstore", "VVJ-975102-01", until))
    assert links.read(token, until - 2 * SECOND) == ORDER
    with pytest.raises(ExpiredToken):
        links.read(token, until)


def test_no_link_outlasts_its_kind_whatever_end_it_names(links: Links) -> None:
    with pytest.raises(ExpiredToken):
        links.read(links.token(Target("luxstore", "VVJ-975102-01", in_time() + 90 * DAY)), in_time() + 30 * DAY)


def test_a_link_works_for_a_reader_whose_clock_is_behind(links: Links) -> None:
    assert links.read(links.token(ORDER), in_time() - 10 * SECOND) == ORDER


def test_a_token_of_another_stack_is_forged(links: Links) -> None:
    with pytest.raises(ForgedToken):
        links.read(Links(ADDRESS, ["another key"]).token(ORDER), in_time())


def test_a_former_key_opens_and_does_not_sign(links: Links) -> None:
    rotated = Links(ADDRESS, ["a key", "a newer key"])
    assert rotated.read(links.token(ORDER), in_time()) == ORDER
    with pytest.raises(ForgedToken):
        links.read(rotated.token(ORDER), in_time())


@given(st.data())
def test_whatever_is_done_to_a_token_it_never_opens_anything_else(data: st.DataObject) -> None:
    links = Links(ADDRESS, ["a key"])
    token = links.token(ORDER)
    place = data.draw(st.integers(0, len(token) - 1))
    others = st.characters(codec="utf-8").filter(lambda character: character != token[place])
    mangled = data.draw(
        st.sampled_from([token[:place], token[place + 1 :], token[:place] + data.draw(others) + token[place + 1 :]])
    )
    try:
        opened = links.read(mangled, in_time())
    except ForgedToken:
        return
    assert opened == ORDER  # the last character of base64 holds bits that count for nothing


@given(st.text(max_size=600))
def test_no_other_text_is_a_token(text: str) -> None:
    with pytest.raises(ForgedToken):
        Links(ADDRESS, ["a key"]).read(text, in_time())


def test_the_longest_names_make_a_link_that_fits_a_line_of_mail(links: Links) -> None:
    token = links.token(Target("a" * 63, "V" * 64))
    assert links.read(token, in_time()).order_id == "V" * 64
    assert len(ADDRESS + token) < 998  # RFC 5322, 2.1.1
