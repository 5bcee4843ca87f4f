"""Orders that are another marketplace's by their ids: which are not read, what is seen of them, and what rings."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import batched

import pytest

from invoicekey.delivery.queues import FEED, HOOK, RECHECK, Message
from invoicekey.ledger.accounts import Account, Accounts
from invoicekey.ledger.activity import NOTED_FOR, Activities
from invoicekey.ledger.prefixes import KEEP_DAYS, prefixes_key
from invoicekey.rules.notification import OrderRef, is_order_id
from invoicekey.rules.policy import Policy
from invoicekey.rules.prefixes import MOST_PREFIXES, OWN_STORE, PROVEN_BY, READ_ONE_IN, is_sample, prefix_of
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import LedgerUnavailable
from tests import environments
from tests.fakes_outside import ACCOUNT, Crash, Outside
from tests.orders import cnova_order, custom_apps, own_order, sale

FOREIGN = "MGL"


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
    """What was counted, by name."""
    counted: dict[str, list[float]] = {}

    def count(name: str, number: float = 1) -> None:
        counted.setdefault(name, []).append(number)

    monkeypatch.setattr(telemetry, "count", count)
    return counted


def ids(affiliate: str = FOREIGN, *, sampled: bool = False, start: int = 1) -> Iterator[str]:
    """Yield order ids with a prefix, all of them among those that are read whatever it is, or none."""
    number = start
    while True:
        if is_sample(order_id := f"{affiliate}-{number}-01") == sampled:
            yield order_id
        number += 1


def foreign(outside: Outside, order_id: str, **changes: object) -> Message:
    """Put another marketplace's order at VTEX, and return the message about it."""
    ref = outside.vtex.put(own_order(sale(), orderId=order_id, affiliateId=FOREIGN, **changes))
    return outside.message(order_id, account=ref.account, id=f"{ref.account} {order_id}")


def of_cnova(outside: Outside, order_id: str) -> Message:
    """Put an order of CNova's at VTEX that its app alone tells, its key missing."""
    outside.vtex.put(cnova_order(sale(key=None), orderId=order_id, affiliateId=FOREIGN))
    return outside.message(order_id, id=order_id)


def check_all(outside: Outside, messages: Iterable[Message]) -> None:
    """Check messages in batches as SQS hands them out."""
    for some in batched(messages, 10, strict=False):
        outside.check(*some)


def learn(outside: Outside, affiliate: str = FOREIGN, number: int = PROVEN_BY) -> None:
    """Let so many orders of a prefix be read, all of them another marketplace's."""
    order_ids = ids(affiliate, start=1_000_000)
    check_all(outside, (foreign(outside, next(order_ids)) for _ in range(number)))


def is_read(outside: Outside, message: Message) -> bool:
    before = outside.vtex.reads.total()
    assert outside.check(message) == set()
    return outside.vtex.reads.total() > before


def an_order(outside: Outside) -> Message:
    """Return the message about an order of the foreign prefix that is none of those that are always read."""
    return foreign(outside, next(ids()))


# ---- What an id tells


@pytest.mark.parametrize(
    ("order_id", "prefix"),
    [
        ("VVJ-975102-01", "vvj"),
        ("vvj-975102-01", "vvj"),
        ("MGL-LU-1234567890-01", "mgl"),
        ("1172452900788-01", OWN_STORE),
        ("v5195004lux-01", OWN_STORE),
        ("975102-01", None),
        ("VV-975102-01", None),
        ("VVJ2-975102-01", None),
        ("VVJ975102-01", None),
        ("VVJ-", None),
        ("v-5195004-01", None),
    ],
)
def test_an_order_id_tells_its_affiliate_id_or_the_own_store_or_nothing(order_id: str, prefix: str | None) -> None:
    assert is_order_id(order_id)
    assert prefix_of(order_id) == prefix


def test_one_order_in_fifty_is_a_sample_give_or_take() -> None:
    samples = sum(is_sample(f"MGL-{number}-01") for number in range(10_000))

    assert 0.8 < samples * READ_ONE_IN / 10_000 < 1.2


# ---- What is read


def test_an_order_of_a_prefix_that_was_never_read_is_read(outside: Outside) -> None:
    assert is_read(outside, an_order(outside))


def test_no_prefix_is_passed_over_before_its_fifty_orders(outside: Outside) -> None:
    learn(outside, number=PROVEN_BY - 1)

    assert is_read(outside, an_order(outside))


def test_then_its_orders_cost_no_call_to_vtex_and_no_write(outside: Outside) -> None:
    learn(outside)
    outside.steps.taken.clear()

    assert not is_read(outside, an_order(outside))
    assert outside.steps.taken == ["read"]


def test_it_counts_as_any_order_of_another_marketplace_and_by_its_prefix(
    outside: Outside, counts: dict[str, list[float]], caplog: pytest.LogCaptureFixture
) -> None:
    learn(outside)
    counts.clear()
    caplog.clear()

    outside.check(an_order(outside))

    assert counts["check_other_marketplace"] == counts["check_other_prefix"] == [1]
    assert counts["cnova_order"] == [0]
    (line,) = [record.__dict__ for record in caplog.records if record.message == "order checked"]
    assert (line["outcome"], line["passed_over"]) == ("other_marketplace", "mgl")


def test_one_order_in_fifty_is_read_all_the_same_and_again_when_it_comes_again(outside: Outside) -> None:
    learn(outside)
    message = foreign(outside, next(ids(sampled=True)))

    assert is_read(outside, message)
    assert is_read(outside, message)


def test_the_store_s_own_orders_are_passed_over_alike(outside: Outside) -> None:
    own = (f"11724529{number:05}-01" for number in range(100_000) if not is_sample(f"11724529{number:05}-01"))
    check_all(outside, (foreign(outside, next(own)) for _ in range(PROVEN_BY)))

    assert not is_read(outside, foreign(outside, next(own)))


def test_an_order_whose_id_tells_nothing_is_always_read(outside: Outside) -> None:
    check_all(outside, (foreign(outside, f"{number}-01") for number in range(PROVEN_BY)))

    assert is_read(outside, foreign(outside, "975102-01"))


@pytest.mark.parametrize("affiliate", ["VVJ", "vvj"])
def test_what_begins_with_an_affiliate_id_of_cnova_is_always_read(affiliate: str, outside: Outside) -> None:
    learn(outside, affiliate)

    assert is_read(outside, foreign(outside, next(ids(affiliate))))


def test_where_no_affiliate_id_is_set_every_order_is_read() -> None:
    outside = Outside(Policy())
    learn(outside)

    assert is_read(outside, an_order(outside))


def test_an_affiliate_id_of_another_account_is_none_of_this_one_s() -> None:
    outside = Outside(Policy(affiliate_ids=frozenset({"othershop:vvj"})))
    learn(outside)

    assert is_read(outside, an_order(outside))


def test_with_the_parameter_no_every_order_is_read(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(environments.CHECKER, "SKIP_OTHER_PREFIXES", "no")
    Accounts(outside.ledger.dynamodb.table).write(Account(ACCOUNT, settings={"CnovaAffiliateIds": "VVJ"}))
    learn(outside)

    assert is_read(outside, an_order(outside))


def test_an_account_s_own_affiliate_ids_are_those_that_count(outside: Outside) -> None:
    Accounts(outside.ledger.dynamodb.table).write(Account(ACCOUNT, settings={"CnovaAffiliateIds": FOREIGN}))
    learn(outside)

    assert is_read(outside, an_order(outside))


def test_an_order_that_the_ledger_knows_is_read(outside: Outside) -> None:
    message = an_order(outside)
    outside.check(message)
    learn(outside)

    assert is_read(outside, message)


@pytest.mark.parametrize("source", [RECHECK, "backfill", "command", "desk", "redrive"])
def test_what_somebody_asked_for_is_read(source: str, outside: Outside) -> None:
    learn(outside)
    order_id = an_order(outside).id.split()[1]

    assert is_read(outside, outside.message(order_id, source=source))


def test_one_of_two_messages_is_enough_to_ask_for_it(outside: Outside) -> None:
    learn(outside)
    message = an_order(outside)
    order_id = message.id.split()[1]

    outside.check(message, outside.message(order_id, source=RECHECK, id="asked"))

    assert outside.vtex.reads[OrderRef(ACCOUNT, order_id)] == 1


@pytest.mark.parametrize("source", [HOOK, FEED])
def test_an_order_that_is_passed_over_says_nothing_of_what_the_hook_missed(
    source: str, outside: Outside, counts: dict[str, list[float]]
) -> None:
    learn(outside)

    outside.check(outside.message(next(ids()), source=source, last_change="2026-03-03T14:54:00Z"))

    assert "feed_only" not in counts


def test_an_account_whose_orders_are_all_passed_over_is_alive_all_the_same(outside: Outside) -> None:
    learn(outside)
    outside.time.advance(2 * NOTED_FOR)

    outside.check(outside.message(next(ids())))

    noted = Activities(outside.ledger.dynamodb.table).read([ACCOUNT])[ACCOUNT]
    assert (noted.hook_at, noted.feed_only_at) == (outside.time.now, None)


# ---- What is learnt


def test_one_order_that_comes_again_and_again_proves_nothing(outside: Outside) -> None:
    message = foreign(outside, next(ids(start=500)))
    for _ in range(PROVEN_BY + 1):
        outside.check(message)

    assert is_read(outside, an_order(outside))


def test_two_accounts_learn_each_for_itself(outside: Outside) -> None:
    learn(outside)

    assert is_read(outside, foreign(outside, next(ids()), hostname="othershop"))


def test_another_environment_knows_what_this_one_learnt(outside: Outside) -> None:
    learn(outside)
    outside.batch_check = outside.environment()

    assert not is_read(outside, an_order(outside))


def test_with_other_affiliate_ids_all_is_learnt_anew(outside: Outside) -> None:
    learn(outside)
    outside.policy = Policy(affiliate_ids=frozenset({"vvj", "abc"}))

    assert is_read(outside, an_order(outside))


def test_what_was_learnt_holds_for_ninety_days(outside: Outside) -> None:
    learn(outside)
    message = an_order(outside)
    outside.time.advance(timedelta(days=KEEP_DAYS) - timedelta(seconds=1))
    assert not is_read(outside, message)

    outside.time.advance(1)
    assert is_read(outside, message)


@pytest.mark.parametrize("item", [{"version": 1}, {"version": "x", "others": 5}, {"others": {"mgl": "many"}}], ids=str)
def test_a_corrupt_item_says_nothing_and_is_written_anew(item: dict[str, object], outside: Outside) -> None:
    outside.ledger.dynamodb.table.put({"pk": prefixes_key(ACCOUNT), **item})
    assert is_read(outside, an_order(outside))

    learn(outside)
    assert not is_read(outside, foreign(outside, next(ids(start=700))))


def test_of_more_prefixes_than_are_kept_the_others_are_read(outside: Outside) -> None:
    letters = "BCDFGHJKLMNPQRSTXZ"
    others = [f"{one}{two}K" for one in letters for two in letters][:MOST_PREFIXES]
    check_all(outside, (foreign(outside, f"{other}-1-01") for other in others))
    learn(outside)

    assert is_read(outside, an_order(outside))


def test_without_the_ledger_s_answer_nothing_is_learnt_and_no_message_goes_back(outside: Outside) -> None:
    outside.steps.before("learn_prefixes", LedgerUnavailable("no answer"))

    assert outside.check(an_order(outside)) == set()


def test_a_function_that_dies_while_it_learns_leaves_no_report_unsent(outside: Outside) -> None:
    outside.steps.before("learn_prefixes", Crash())
    message = of_cnova(outside, next(ids()))

    with pytest.raises(Crash):
        outside.check(message)

    assert [sent.type for sent in outside.outlets.records] == ["failing"]


# ---- What rings


def test_an_order_of_cnova_s_among_those_that_are_passed_over_rings_and_ends_that(
    outside: Outside, counts: dict[str, list[float]], caplog: pytest.LogCaptureFixture
) -> None:
    learn(outside)
    counts.clear()

    outside.check(of_cnova(outside, next(ids(sampled=True))))

    assert counts["cnova_suspect"] == [1]
    assert "orders like one of CNova's were passed over" in [record.message for record in caplog.records]
    assert is_read(outside, an_order(outside))


def test_it_is_checked_and_reported_as_any_other(outside: Outside) -> None:
    learn(outside)

    outside.check(of_cnova(outside, next(ids(sampled=True))))

    assert [sent.type for sent in outside.outlets.records] == ["failing"]


def test_a_suspect_ends_it_too(outside: Outside, counts: dict[str, list[float]]) -> None:
    learn(outside)
    counts.clear()
    smells = {"marketplace": {"name": "Casas Bahia Marketplace"}}

    outside.check(foreign(outside, next(ids(sampled=True)), **smells))

    assert counts["cnova_suspect"] == [1]
    assert is_read(outside, an_order(outside))


def test_a_prefix_with_an_order_of_cnova_s_is_never_passed_over(
    outside: Outside, counts: dict[str, list[float]]
) -> None:
    outside.check(of_cnova(outside, next(ids(start=900))))
    learn(outside)

    assert is_read(outside, an_order(outside))
    assert "cnova_suspect" not in counts


def test_an_app_of_cnova_s_in_one_of_the_fifty_is_enough(outside: Outside) -> None:
    learn(outside, number=PROVEN_BY - 1)
    order_id = next(ids(start=900))
    outside.check(foreign(outside, order_id, customData=custom_apps("integration-marketplace-viavarejo")))

    assert outside.ledger.entries[OrderRef(ACCOUNT, order_id)].outcome == "ok"
    assert is_read(outside, an_order(outside))
