"""Whatever ids and orders an account has: no order is passed over but one whose like were all another marketplace's."""

from hypothesis import example, given
from hypothesis import strategies as st

from invoicekey.rules.notification import is_order_id
from invoicekey.rules.prefixes import (
    MOST_PREFIXES,
    NOTHING_KNOWN,
    PROVEN_BY,
    Prefixes,
    ids_of,
    is_passed_over,
    is_sample,
    prefix_of,
)

PREFIXES = st.sampled_from(["vvj", "mgl", "abc", "none"])
READINGS = st.lists(st.tuples(PREFIXES, st.booleans()), max_size=8)
RUNS = st.lists(st.tuples(PREFIXES, st.sampled_from([True] * 5 + [False]), st.integers(1, PROVEN_BY)), max_size=8)
"""Readings of a prefix one after the other, all of which came out alike."""
ORDER_IDS = st.from_regex(r"([A-Za-z]{1,4}-|v)?[0-9]{1,13}([a-z]{3})?(-[0-9]{2})?", fullmatch=True).filter(is_order_id)
AFFILIATE_IDS = st.frozensets(st.sampled_from(["vvj", "mgl", "abc", "vvj-x", "none"]))


def after(runs: list[tuple[str, bool, int]]) -> Prefixes:
    known = NOTHING_KNOWN
    for prefix, is_other, times in runs:
        for _ in range(times):
            known = known.with_read(prefix, is_other=is_other)
    return known


@given(RUNS, ORDER_IDS, AFFILIATE_IDS)
@example([("mgl", True, PROVEN_BY)], "MGL-2-01", frozenset({"vvj"}))
def test_what_is_passed_over_was_proven_and_is_no_sample(
    runs: list[tuple[str, bool, int]], order_id: str, affiliate_ids: frozenset[str]
) -> None:
    if not is_passed_over(order_id, after(runs), affiliate_ids):
        return
    prefix = prefix_of(order_id)
    of_it = [(is_other, times) for name, is_other, times in runs if name == prefix]
    assert all(is_other for is_other, _ in of_it)
    assert sum(times for _, times in of_it) >= PROVEN_BY
    assert affiliate_ids
    assert prefix not in affiliate_ids
    assert not is_sample(order_id)


@given(READINGS, PREFIXES)
def test_once_cnova_s_a_prefix_is_so_for_good(readings: list[tuple[str, bool]], prefix: str) -> None:
    known = NOTHING_KNOWN.with_read(prefix, is_other=False)
    for name, is_other in readings * PROVEN_BY:
        known = known.with_read(name, is_other=is_other)

    assert not known.is_other(prefix)


@given(READINGS, st.tuples(PREFIXES, st.booleans()))
def test_what_is_no_news_changes_nothing(readings: list[tuple[str, bool]], one: tuple[str, bool]) -> None:
    known = after([(prefix, is_other, 1) for prefix, is_other in readings])
    prefix, is_other = one

    assert (known.with_read(prefix, is_other=is_other) != known) == known.is_news(prefix, is_other=is_other)


@given(st.lists(st.tuples(st.integers(0, 400).map(str), st.booleans()), max_size=300))
def test_no_more_prefixes_are_kept_than_may_be(readings: list[tuple[str, bool]]) -> None:
    known = after([(prefix, is_other, 1) for prefix, is_other in readings])

    assert len(known.others) + len(known.cnova) <= MOST_PREFIXES


@given(ORDER_IDS)
def test_the_case_of_a_prefix_tells_nothing(order_id: str) -> None:
    affiliate, dash, rest = order_id.partition("-")

    if dash and affiliate.isalpha():
        assert prefix_of(affiliate.swapcase() + dash + rest) == prefix_of(order_id)


@given(st.frozensets(st.sampled_from(["vvj", "luxstore:abc", "othershop:mgl", "othershop:vvj"])))
def test_an_affiliate_id_holds_for_all_accounts_or_for_the_one_that_it_names(setting: frozenset[str]) -> None:
    of_all = {"vvj"} & setting

    assert ids_of("luxstore", setting) == of_all | ({"abc"} if "luxstore:abc" in setting else set())
