"""The desk's key: which keys sign and open links, and how a rotation reaches functions that keep the former one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from invoicekey.messages.links import ForgedToken, Links, Target
from invoicekey.runtime.desk import DeskLinks, keys
from invoicekey.runtime.errors import RetryLater
from invoicekey.runtime.secrets import READ_AGAIN_SECONDS, CachedSecret
from tests.fakes import FakeSecretsManager

ADDRESS, ORDER = "https://api.example/desk/", Target("luxstore", "VVJ-1-01")
NOW = datetime.now(UTC)
SOON, LATE = NOW + timedelta(days=1), NOW - timedelta(days=1)


class Function:
    """A function that has read the key a while ago."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.secrets = FakeSecretsManager()
        self.secrets.put("desk", {"current": "old"})
        self.links = DeskLinks(ADDRESS, CachedSecret(self.secrets.client, "desk", clock=lambda: self.seconds))
        self.links.writer(NOW)
        self.seconds += READ_AGAIN_SECONDS


def signed_with(key: str) -> str:
    return Links(ADDRESS, [key]).token(ORDER)


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        ({"current": "a"}, ["a"]),
        ({"current": "a", "previous": "b", "previous_until": SOON.isoformat()}, ["b", "a"]),
        ({"current": "a", "previous": "b", "previous_until": LATE.isoformat()}, ["a"]),
        ({"current": "a", "previous": "b"}, ["a"]),
        ({"current": "a", "previous": "b", "previous_until": "soon"}, ["a"]),
        ({"current": "a", "previous": "", "previous_until": SOON.isoformat()}, ["a"]),
    ],
)
def test_the_current_key_signs_and_the_former_one_opens_until_its_day(
    secret: dict[str, Any], expected: list[str]
) -> None:
    assert keys(secret, NOW) == expected


def test_a_link_that_a_new_key_signed_a_moment_ago_opens() -> None:
    function = Function()
    function.secrets.put("desk", {"current": "new", "previous": "old", "previous_until": SOON.isoformat()})

    assert function.links.read(signed_with("new"), NOW) == ORDER


def test_forged_tokens_have_the_key_read_again_every_thirty_seconds_at_most() -> None:
    function = Function()
    for _ in range(5):
        with pytest.raises(ForgedToken):
            function.links.read(signed_with("somebody's"), NOW)

    assert function.secrets.reads == 2


def test_a_text_goes_out_without_a_link_where_there_is_no_desk_or_no_key() -> None:
    function = Function()
    function.secrets.put("desk", {})
    function.seconds += 300

    assert function.links.to("luxstore", "VVJ-1-01") is None
    assert DeskLinks().to("luxstore") is None


def test_without_a_desk_no_token_is_read() -> None:
    with pytest.raises(RetryLater):
        DeskLinks().read(signed_with("old"), NOW)
