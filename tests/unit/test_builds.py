"""One build for all who deploy on this machine: made once, made anew when something that goes in has changed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from local.builds import Builds
from local.stack import StackError, silent

PROJECT = (
    "template.yaml",
    "functions/Makefile",
    "functions/receive_hook/receive_hook.py",
    "layers/dependencies/requirements.txt",
    "layers/dependencies/build.mk",
    "layers/invoicekey/python/invoicekey/rules/verdict.py",
    "requirements/tools.txt",
    ".venv-tools/pyvenv.cfg",
)
SEEN_BY_SAM = "layers/invoicekey/python/invoicekey/rules/verdict.py"


class Sam:
    """Stands for `sam build`: what it builds is a copy of one source, and it tells whether it was given its cache."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.had_cache: list[bool] = []
        self.meanwhile: Callable[[], object] = bool

    def __call__(self, draft: Path) -> None:
        self.had_cache.append((draft / "cache" / "a-layer").exists() and (draft / "build.toml").exists())
        (draft / "artifacts").mkdir()
        (draft / "artifacts" / "built").write_text((self.root / SEEN_BY_SAM).read_text())
        (draft / "cache").mkdir(exist_ok=True)
        for name in ("cache/a-layer", "build.toml"):
            (draft / name).touch()
        self.meanwhile()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in PROJECT:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("first")
    return tmp_path


@pytest.fixture
def sam(root: Path) -> Sam:
    return Sam(root)


@pytest.fixture
def builds(root: Path, sam: Sam) -> Builds:
    return Builds(root, root / ".stack" / "builds", "arm64", sam)


def test_where_nothing_changed_nothing_is_built(builds: Builds, sam: Sam) -> None:
    assert builds.newest(silent) == builds.newest(silent)
    assert len(sam.had_cache) == 1


@pytest.mark.parametrize("changed", PROJECT)
def test_whatever_goes_in_makes_another_build(changed: str, builds: Builds, sam: Sam, root: Path) -> None:
    before = builds.newest(silent)
    (root / changed).write_text("second")
    assert builds.newest(silent) != before
    assert len(sam.had_cache) == 2


def test_so_does_a_file_that_is_new_or_gone_or_has_another_name(builds: Builds, root: Path) -> None:
    seen = {builds.newest(silent)}
    new = root / "functions" / "receive_hook" / "new.py"
    new.touch()
    seen.add(builds.newest(silent))
    new.rename(new.with_name("other.py"))
    seen.add(builds.newest(silent))
    assert len(seen) == 3


def test_bytecode_that_a_test_run_leaves_changes_nothing(builds: Builds, sam: Sam, root: Path) -> None:
    builds.newest(silent)
    (root / "functions" / "receive_hook" / "receive_hook.cpython-313.pyc").touch()
    builds.newest(silent)
    assert len(sam.had_cache) == 1


def test_another_architecture_is_another_build(builds: Builds, sam: Sam, root: Path) -> None:
    other = Builds(root, builds.folder, "x86_64", sam)
    assert builds.newest(silent) != other.newest(silent)
    assert sam.had_cache == [False, False]


def test_sam_has_its_cache_where_it_sees_what_changed_and_only_there(builds: Builds, sam: Sam, root: Path) -> None:
    builds.newest(silent)
    (root / SEEN_BY_SAM).write_text("second")
    builds.newest(silent)
    (root / "functions" / "Makefile").write_text("second")
    builds.newest(silent)
    assert sam.had_cache == [False, True, False]


def test_what_is_being_deployed_stays_and_what_is_older_goes(builds: Builds, root: Path) -> None:
    made = []
    for content in ("first", "second", "third"):
        (root / "template.yaml").write_text(content)
        made.append(builds.newest(silent))
    assert [path.exists() for path in made] == [False, True, True]


def test_a_build_that_failed_is_not_kept(builds: Builds, sam: Sam, root: Path) -> None:
    def fail() -> None:
        raise StackError("no network")

    sam.meanwhile = fail
    with pytest.raises(StackError):
        builds.newest(silent)
    sam.meanwhile = bool
    assert (builds.newest(silent) / "built").read_text() == "first"
    assert sam.had_cache == [False, False]


def test_code_that_is_changed_while_it_is_built_is_built_again(builds: Builds, sam: Sam, root: Path) -> None:
    sam.meanwhile = lambda: (root / SEEN_BY_SAM).write_text("second")
    assert (builds.newest(silent) / "built").read_text() == "second"
    assert len(sam.had_cache) == 2
