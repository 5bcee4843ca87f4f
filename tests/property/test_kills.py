"""Two of the scenes of `make chaos` in which a function is killed before and after each of its calls to AWS."""

import pytest

from tests.chaos import kills

QUICK = ("receive a hook", "recheck")


@pytest.mark.parametrize(
    "scene", [scene for scene in kills.SCENES if scene.name in QUICK], ids=lambda scene: scene.name
)
def test_a_function_may_die_at_any_call_to_aws(scene: kills.Scene) -> None:
    assert len(list(kills.runs(scene))) >= 2
