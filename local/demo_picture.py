"""Draws what `make demo` prints in a terminal: docs/pictures/demo.svg.

`python -m local.demo_picture`, with .venv's Python, plays the demo in a terminal of its own and keeps what it shows.
"""

import io
import os
import pty
import re
import subprocess
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "pictures" / "demo.svg"
WIDTH = 104
_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
_READ_BYTES = 65_536


def play() -> str:
    """Run the demo in a pseudo terminal, and return what it wrote there."""
    leader, follower = pty.openpty()
    tools = ROOT / ".venv-tools" / "bin" / "python"
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(WIDTH)}
    with subprocess.Popen(
        [tools, "-m", "local.demo"], cwd=ROOT, env=environment, stdin=follower, stdout=follower, stderr=follower
    ):
        os.close(follower)
        written = bytearray()
        with suppress(OSError):  # Linux's way to say that the terminal's other end is closed
            while some := os.read(leader, _READ_BYTES):
                written += some
        os.close(leader)
    return written.decode(errors="replace")


def settled(written: str) -> str:
    """Return what stands on the screen in the end: passing lines were written over."""
    lines = written.replace("\r\n", "\n").split("\n")
    return "\n".join(line.rpartition("\r")[2].replace("\x1b[K", "").replace("\x1b[2K", "") for line in lines)


def first_scenes(screen: str) -> str:
    """Return what comes before the records and the e-mails, which would make the picture too long to look at."""
    return re.split(r"\n[^\n]*6\. The failure queue", screen, maxsplit=1)[0]


def draw(screen: str) -> str:
    """Return the screen as SVG, in whatever monospaced font the reader has."""
    console = Console(record=True, width=WIDTH, force_terminal=True, file=io.StringIO())
    console.print(Text.from_ansi(screen), soft_wrap=False)
    return _FONT.sub("", console.export_svg(title="make demo", theme=MONOKAI)).replace("Fira Code", "Menlo, Consolas")


def main() -> None:
    """Write the picture."""
    PICTURE.write_text(draw(first_scenes(settled(play()))), encoding="utf-8")
    print(f"written: {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
