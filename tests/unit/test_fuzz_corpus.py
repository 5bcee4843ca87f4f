"""The corpus of `make fuzz` and its hostile megabytes, fed without a fuzzer: what broke a parser stays mended."""

from pathlib import Path

import pytest

from tests.fuzz.megabytes import hostile
from tests.fuzz.targets import SIGNED, TARGETS, token

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus"
CASES = [(path.parent.name, path) for path in sorted(CORPUS.glob("*/*"))]
KINDS = ("brackets", "objects", "open tags", "entities", "percents", "base64", "digits and blanks")


def test_each_target_has_a_corpus() -> None:
    assert {target for target, _ in CASES} == set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_no_file_of_the_corpus_breaks_a_parser(target: str) -> None:
    for name, path in CASES:
        if name == target:
            TARGETS[target](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_a_hostile_megabyte_is_refused_or_read(target: str) -> None:
    """What it costs is measured, and limited, by `make fuzz`."""
    for kind, data in hostile([]):
        if kind in KINDS:
            TARGETS[target](data)


def test_the_targets_do_notice_a_token_that_opens_what_nobody_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    signed = next(CORPUS.glob("token/order")).read_bytes()
    monkeypatch.setattr("tests.fuzz.targets.SIGNED", SIGNED[1:2])

    with pytest.raises(AssertionError, match="not signed"):
        token(signed)
