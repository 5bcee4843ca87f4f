"""What is deployed on this machine, built once: the demo, `make up`, `make build` and the stack's tests share it.

A build lies in a folder named after what went into it, and is never changed. So nobody deploys what is stale or half
done, and where nothing changed there is nothing to build, and nothing to download.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from local.lock import Lock

_INPUTS = ("template.yaml", "functions", "layers")
_UNSEEN_BY_SAM = ("functions/Makefile", "requirements/tools.txt", ".venv-tools/pyvenv.cfg")
"""Inputs too; sam's own cache looks at the folders of code alone, and would take what others of these had made."""
_KEPT = 2
"""The newest, and the one before it, which somebody may be deploying."""


@dataclass(frozen=True)
class Builds:
    """The builds of a project in a folder.

    `sam_build` is given an empty folder, or one with sam's cache of the last build, and leaves what it built in its
    folder `artifacts`; where that fails it raises, and nothing is kept.
    """

    root: Path
    folder: Path
    architecture: str
    sam_build: Callable[[Path], None]

    def newest(self, say: Callable[[str], None]) -> Path:
        """Return the folder that holds the built template, made of what stands in the project now."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._place().exists():
            lock = Lock(self.folder / "lock")
            lock.wait(say, "another one is building")
            try:
                while not (place := self._place()).exists():  # whoever was waited for may have built it
                    self._build(place, say)
            finally:
                lock.release()
        return self._place() / "artifacts"

    def _build(self, place: Path, say: Callable[[str], None]) -> None:
        """Build, and keep it unless the code was changed meanwhile."""
        say("building functions and layers (sam build)")
        draft = self.folder / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        self._take_cache(draft)
        self.sam_build(draft)
        if self._place() == place:
            for old in self._by_age()[_KEPT - 1 :]:
                shutil.rmtree(old)
            draft.rename(place)

    def _take_cache(self, draft: Path) -> None:
        """Let sam find what it cached at the last build, where only inputs have changed that it looks at."""
        for last in self._by_age()[:1]:
            if last.name.startswith(self._unseen()) and (last / "cache").is_dir():
                shutil.copytree(last / "cache", draft / "cache", copy_function=os.link)
                shutil.copy(last / "build.toml", draft)

    def _by_age(self) -> list[Path]:
        """List the builds, the newest first."""
        found = [path for path in self.folder.iterdir() if "-" in path.name and path.is_dir()]
        return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)

    def _place(self) -> Path:
        return self.folder / f"{self._unseen()}-{_digest(self.root, _INPUTS)}"

    def _unseen(self) -> str:
        return f"{self.architecture}-{_digest(self.root, _UNSEEN_BY_SAM)}"


def _digest(root: Path, names: tuple[str, ...]) -> str:
    """Digest the files of these names, and those in folders of these names."""
    digest = hashlib.sha256()
    for path in (path for name in names for path in _files(root / name)):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _files(path: Path) -> Iterator[Path]:
    """Yield a file, or a folder's; bytecode is nothing that a build takes."""
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    yield from (one for one in found if one.is_file() and one.suffix != ".pyc")
