"""Playing the loop by hand, on the stack of `make up`."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from invoicekey.rules import access_key
from local.play import a_key, mail
from local.watch import Told

ALERT = Told(
    at=datetime(2026, 3, 3, 14, 54, tzinfo=UTC),
    kind="failing",
    subject="VVJ-1-01: invoice 1 has no access key",
    email="Invoice 1 has no key.\n\nWhat to do:\n1. Take the key.",
    sms="VVJ-1-01: invoice 1 has no access key. See the e-mail.",
    chat={"content": {"title": "VVJ-1-01", "description": "It has no key.", "nextSteps": ["Take the key."]}},
)


def shown(*told: Told) -> list[str]:
    """Return the lines that are shown, without the rules of the headings, and the times."""
    return [line.strip("─ ").rpartition(",")[0] if line.startswith("──") else line for line in mail(told)]


def test_the_mail_is_what_comes_by_each_channel() -> None:
    assert shown(ALERT) == [
        "E-mail, failing",
        "Subject: VVJ-1-01: invoice 1 has no access key",
        "",
        "Invoice 1 has no key.",
        "",
        "What to do:",
        "1. Take the key.",
        "",
        "SMS, failing",
        "VVJ-1-01: invoice 1 has no access key. See the e-mail.",
        "",
        "Chat (Slack, Teams), failing",
        "VVJ-1-01",
        "",
        "It has no key.",
        "",
        "• Take the key.",
        "",
        "1 message. All that may come: tests/golden/alerts",
    ]


def test_a_stack_without_chat_shows_none() -> None:
    assert not [line for line in shown(replace(ALERT, chat=None)) if "Chat" in line]


@pytest.mark.parametrize("columns", [40, 80])
def test_no_word_of_the_mail_is_cut(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    long = replace(ALERT, email="a sentence of many words, such as people write them " * 4, chat=None)

    lines = shown(long)

    assert max(map(len, lines)) <= columns
    assert set(long.email.split()) <= set(" ".join(lines).split())


@pytest.mark.parametrize("number", ["643802", "1", "999999999", "", "643797/2", "9" * 44])
def test_an_order_is_mended_with_a_good_key_of_its_invoice(number: str) -> None:
    key = access_key.parse(a_key(number))

    assert key is not None
    assert access_key.first_fault(key, current_year=2026) is None
    assert key.number == (int(number) if number.isdigit() and len(number) <= 9 else 1)
