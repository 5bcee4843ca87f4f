"""Asking whether to do something; people answer in English or in Portuguese."""

import sys

_YES = frozenset({"y", "yes", "s", "sim"})
_NO = frozenset({"n", "no", "nao", "não"})


def is_yes(answer: str) -> bool:
    """Say whether an answer agrees."""
    return answer.strip().casefold() in _YES


def agrees(question: str, *, default: bool = False) -> bool:
    """Ask on standard error until there is an answer; Enter takes the default, and the end of the input interrupts."""
    hint = "[Y/n]" if default else "[y/N]"
    while True:
        print(f"{question} {hint}: ", end="", file=sys.stderr, flush=True)
        typed = sys.stdin.readline()
        answer = typed.strip().casefold()
        if not typed:
            raise KeyboardInterrupt
        if answer in _NO:
            return False
        if not answer:
            return default
        if answer in _YES:
            return True
        print("  y or n (s or n), please.", file=sys.stderr)
