"""The model of `make chaos`: a few seeds of each kind, at each commit."""

import pytest

from tests.chaos import model

SEEDS = range(6)


@pytest.mark.parametrize("kind", [model.walk, model.kill_at_each_step, model.outage])
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_or_told_twice_without_a_reason(kind: model.Kind, seed: int) -> None:
    tallies = list(kind(f"{seed}"))
    assert sum(tally.runs.total() for tally in tallies) == len(tallies) > 0


FOUND = {
    "a dismissal is noted though another order took a key away meanwhile": (model.walk, "37/212"),
    "a dismissal is noted though it was taken back meanwhile": (model.walk, "37/572"),
    "another one": (model.walk, "37/797"),
    "the play sees a deferral whose note lost its answer": (model.walk, "29/440"),
    "another one, after a day's outage": (model.outage, "29/118"),
    "the play takes the failure that a digest's end belongs to": (model.walk, "31/177"),
}


@pytest.mark.parametrize(("kind", "seed"), FOUND.values(), ids=FOUND)
def test_what_a_campaign_has_found_stays_mended(kind: model.Kind, seed: str) -> None:
    assert [tally.runs.total() for tally in kind(seed)] == [1]


def test_the_same_seed_is_the_same_run() -> None:
    first, second = (list(model.walk("a seed")) for _ in range(2))
    assert first == second
    assert first[0].injected


def test_there_is_a_run_for_each_moment_of_an_invocation() -> None:
    tallies = list(model.kill_at_each_step("a seed"))
    assert not tallies[-1].is_killed
    assert all(tally.is_killed for tally in tallies[:-1])
