"""A scene of `make chaos` in which a function is killed before and after each of its calls to AWS."""

from tests.chaos import kills

RECEIVE = kills.SCENES[0]


def test_a_hook_whose_receiver_dies_at_any_call_is_queued_when_vtex_posts_it_again() -> None:
    assert len(list(kills.runs(RECEIVE))) == 4, "it reads the secret and queues the event: before and after each"
