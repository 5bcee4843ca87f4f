"""The simulation of a storm: its queue is AWS's as documented, its pace is the checker's own."""

import json
from dataclasses import replace

import pytest

from benchmarks import fairness
from benchmarks.fairness import NOISY_IN_FLIGHT, PATIENT, STORM, Checkers, Message, Pace, Queue, Scenario, compare
from invoicekey.runtime.errors import NoTurn
from invoicekey.vtex.client import RateLimiter
from local.stack import ROOT

SMALL = Scenario(storm=600, others=20, events_per_second=2.0, seconds=60.0, storm_at=5.0, storm_lasts=1.0)


def accounts(batch: list[Message]) -> list[str]:
    return [message.account for message in batch]


def filled(queue: Queue, **numbers: int) -> Queue:
    """Return the queue with so many messages of each account, in this order."""
    for at, account in enumerate(name for name, number in numbers.items() for _ in range(number)):
        queue.send(Message(account, float(at)))
    return queue


def received(queue: Queue, batches: int, now: float = 1_000.0) -> None:
    """Have so many batches in flight."""
    for _ in range(batches):
        queue.receive(now)


# ---- The queue


def test_a_plain_queue_hands_out_the_oldest_first() -> None:
    queue = filled(Queue(is_fair=False), storm=100)
    received(queue, 4)
    queue.send(Message("quiet", 500.0))

    assert accounts(queue.receive(1_000.0)) == ["storm"] * 10


def test_a_fair_queue_hands_out_what_is_of_a_quiet_account_first_and_fills_the_batch() -> None:
    queue = filled(Queue(is_fair=True), storm=100)
    received(queue, 4)
    queue.send(Message("quiet", 500.0))

    assert accounts(queue.receive(1_000.0)) == ["quiet", *["storm"] * 9]


def test_an_account_with_few_messages_in_flight_is_not_noisy() -> None:
    queue = filled(Queue(is_fair=True), busy=NOISY_IN_FLIGHT + 1, quiet=1)
    received(queue, NOISY_IN_FLIGHT // 10 - 1)

    assert accounts(queue.receive(1_000.0))[0] == "busy"


def test_an_account_that_takes_the_checkers_time_is_noisy() -> None:
    queue = filled(Queue(is_fair=True), slow=30, quiet=1)
    for message in queue.receive(0.0):
        queue.delete(message, now=20.0)

    assert accounts(queue.receive(20.0))[0] == "quiet"


def test_of_two_noisy_accounts_the_one_with_less_in_flight_comes_first() -> None:
    queue = filled(Queue(is_fair=True), larger=60, smaller=60)
    received(queue, 9)

    assert accounts(queue.receive(1_000.0))[0] == "smaller"


def test_what_is_hidden_is_in_flight_until_it_is_visible() -> None:
    queue = filled(Queue(is_fair=True), shop=1)
    (message,) = queue.receive(0.0)
    queue.hide(message, until=10.0)

    assert (queue.in_flight(), queue.receive(9.0), queue.next_visible_at()) == (1, [], 10.0)
    assert queue.receive(10.0) == [message]


# ---- The pace


@pytest.mark.parametrize("burst", [1, 2, 10])
def test_the_pace_is_the_checker_s(burst: int) -> None:
    limiter, pace = RateLimiter(60, burst), Pace(60, burst)
    for _ in range(burst):
        limiter.acquire("shop", patience=0)
        assert pace.wait(0.0) == 0
        pace.take(0.0)

    with pytest.raises(NoTurn) as refused:
        limiter.acquire("shop", patience=0)

    assert pace.wait(0.0) == pytest.approx(refused.value.wait, abs=0.2)


# ---- The storm


def test_one_seed_makes_one_outcome() -> None:
    first, again = Checkers(SMALL).run(), Checkers(SMALL).run()

    assert first.messages == again.messages


def test_each_event_has_its_verdict_and_no_account_is_asked_faster_than_its_share() -> None:
    outcome = Checkers(SMALL).run()
    settings = fairness.checker_settings(SMALL)

    assert all(message.done_at >= message.sent_at for message in outcome.messages)
    assert outcome.most_in_a_minute() <= SMALL.environments * (settings.requests_per_minute + settings.burst)


@pytest.mark.parametrize(("is_fair", "is_soon"), [(True, True), (False, False)])
def test_a_storm_keeps_others_from_a_checker_in_a_plain_queue_alone(*, is_fair: bool, is_soon: bool) -> None:
    told = compare(replace(SMALL, is_fair=is_fair, behaviour=PATIENT))

    longest = told.storm.starts(*told.window)[-1]
    assert (longest < 5) is is_soon


def test_where_nobody_waits_for_a_turn_others_hardly_notice_a_storm() -> None:
    told = compare(SMALL)

    assert told.slower(0.5) < 1.5


def test_the_storm_is_the_same_account_s_and_the_others_events_are_the_same_without_it() -> None:
    calm = Scenario(storm=0, seconds=30.0).arrivals()

    assert [one for one in Scenario(seconds=30.0).arrivals() if one[1] != STORM] == calm


def test_the_page_tells_of_a_smaller_storm_what_the_simulation_makes_of_it() -> None:
    page = (ROOT / "docs" / "architecture" / "fairness.md").read_text("utf-8")

    assert fairness.row_of_smaller(environments=2, orders=300) in page.splitlines()


# ---- What it is told by


def test_service_times_are_there_for_a_batch_of_any_size() -> None:
    measured = json.loads(fairness.SERVICE_TIMES.read_text("utf-8"))

    assert max(map(int, measured["batches"])) == fairness.BATCH
    assert all(fairness.overheads(orders) for orders in range(1, fairness.BATCH + 1))


def test_the_busiest_minute_is_found_wherever_it_begins() -> None:
    assert fairness.most_within(60.0, [0.0, 50.0, 70.0, 100.0, 109.9, 110.0]) == 4


def test_a_share_of_values_lies_below_its_percentile() -> None:
    assert [fairness.share_of([1.0, 2.0, 3.0, 4.0], share) for share in (0.5, 0.99, 0.0)] == [2.0, 4.0, 1.0]
