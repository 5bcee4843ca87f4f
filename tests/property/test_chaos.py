"""The model of `make chaos`: a few seeds of each kind, at each commit."""

import pytest

from tests.chaos import model

SEEDS = range(6)


@pytest.mark.parametrize("kind", [model.walk, model.kill_at_each_step, model.outage])
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_or_told_twice_without_a_reason(kind: model.Kind, seed: int) -> None:
    tallies = list(kind(f"{seed}"))
    assert sum(tally.runs.total() for tally in tallies) == len(tallies) > 0


@pytest.mark.parametrize(
    ("kind", "seed"),
    [(model.outage, "29/118"), (model.walk, "29/440"), (model.walk, "29/727"), (model.walk, "29/975")],
)
def test_what_a_campaign_has_found_stays_mended(kind: model.Kind, seed: str) -> None:
    """All four: the answer to the note of a deferred alert was lost, and the play did not see that it took effect."""
    assert [tally.runs.total() for tally in kind(seed)] == [1]


def test_the_same_seed_is_the_same_run() -> None:
    first, second = (list(model.walk("a seed")) for _ in range(2))
    assert first == second
    assert first[0].injected


def test_there_is_a_run_for_each_moment_of_an_invocation() -> None:
    tallies = list(model.kill_at_each_step("a seed"))
    assert not tallies[-1].is_killed
    assert all(tally.is_killed for tally in tallies[:-1])
