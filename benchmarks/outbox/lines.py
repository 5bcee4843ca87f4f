"""Count lines of code: those that hold more than blanks, comments and bare strings (docstrings).

.venv/bin/python benchmarks/outbox/lines.py FILE ...
"""

import ast
import io
import sys
import tokenize
from pathlib import Path

_NOTHING = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING,
    tokenize.ENDMARKER,
}  # fmt: skip


def lines_of_code(source: str) -> int:
    """Count them in a Python file's text."""
    lines = {
        line
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in _NOTHING
        for line in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def main() -> None:
    """Print each file's, and their sum."""
    total = 0
    for name in sys.argv[1:]:
        count = lines_of_code(Path(name).read_text(encoding="utf-8"))
        total += count
        print(f"{count:5} {name}")
    print(f"{total:5} together")


if __name__ == "__main__":
    main()
