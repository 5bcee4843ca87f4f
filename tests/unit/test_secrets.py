"""The secrets: how long a read one serves, what happens while Secrets Manager fails, and that nothing shows them."""

import os
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Any

import pytest

from invoicekey.runtime.errors import CredentialsRefused, RetryLater
from invoicekey.runtime.secrets import CachedSecret, Credentials, hook_secrets, vtex_credentials
from tests.dropping import StoppedClock
from tests.fakes import REFUSED, UNREACHABLE, FakeSecretsManager, Trouble

ARN = "arn:hook"
MINUTE, HOUR = 60.0, 3600.0
BROKEN: dict[str, Trouble | str | None] = {
    "refused": REFUSED,
    "unreachable": UNREACHABLE,
    "nothing": "",
    "no-json": "current=new",
    "a-list": '["new"]',
    "a-text": '"new"',
    "null": "null",
    "deep": "[" * 60_000,
    "binary": None,
}
"""What Secrets Manager may do instead of giving a good secret: fail, or give what somebody broke."""


@dataclass
class Given:
    """A secret, what stores it, and the time."""

    clock: StoppedClock
    manager: FakeSecretsManager
    secret: CachedSecret

    def put(self, value: object) -> None:
        self.manager.put(ARN, value)

    def spoil(self, how: str) -> None:
        match BROKEN[how]:
            case None:
                del self.manager.secrets[ARN]
            case str(garbage):
                self.manager.secrets[ARN] = garbage
            case trouble:
                self.manager.trouble = trouble


@pytest.fixture
def given() -> Given:
    clock, manager = StoppedClock(), FakeSecretsManager()
    manager.put(ARN, {"current": "old"})
    return Given(clock, manager, CachedSecret(manager.client, ARN, clock))


@pytest.fixture
def read(given: Given) -> Given:
    """Be one who has read the secret just now."""
    given.secret.value()
    return given


# ---- While Secrets Manager answers


def test_the_secret_is_read_when_it_is_first_needed_and_again_after_five_minutes(given: Given) -> None:
    assert given.manager.reads == 0
    assert given.secret.value() == {"current": "old"}
    given.put({"current": "new"})
    given.clock.now += 5 * MINUTE - 1
    assert given.secret.value() == {"current": "old"}
    assert given.manager.reads == 1
    given.clock.now += 1

    assert given.secret.value() == {"current": "new"}


def test_checks_that_begin_side_by_side_read_it_once(given: Given) -> None:
    read, together = given.manager.get_secret_value, Barrier(10)

    def slowly(**asked: str) -> dict[str, Any]:
        yield_to_others()
        return read(**asked)

    def first_check(_: int) -> dict[str, Any]:
        together.wait()
        return given.secret.value()

    given.manager.get_secret_value = slowly  # type: ignore[method-assign]
    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(first_check, range(10))) == [{"current": "old"}] * 10
    assert given.manager.reads == 1


def test_checks_that_waited_for_a_read_that_failed_do_not_try_it_once_more(given: Given) -> None:
    together = Barrier(10)

    def fails_slowly(**_: str) -> dict[str, Any]:
        given.manager.reads += 1
        yield_to_others()
        raise UNREACHABLE

    def first_check(_: int) -> None:
        together.wait()
        with pytest.raises(RetryLater):
            given.secret.value()

    given.manager.get_secret_value = fails_slowly  # type: ignore[method-assign]
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(first_check, range(10)))
    assert given.manager.reads < 10


def yield_to_others() -> None:
    """Let every other thread run that can."""
    for _ in range(100):
        os.sched_yield()


# ---- While it does not


@pytest.mark.parametrize("how", BROKEN)
def test_with_nothing_ever_read_there_is_no_secret(given: Given, how: str) -> None:
    given.spoil(how)

    with pytest.raises(RetryLater):
        given.secret.value()


@pytest.mark.parametrize("how", BROKEN)
def test_the_last_good_secret_serves_for_an_hour_and_no_longer(read: Given, how: str) -> None:
    read.spoil(how)
    for seconds in (5 * MINUTE, HOUR - 5 * MINUTE - 1):
        read.clock.now += seconds
        assert read.secret.value() == {"current": "old"}
    read.clock.now += 1

    with pytest.raises(RetryLater):
        read.secret.value()
    with pytest.raises(RetryLater):
        read.secret.value_read_again()


@pytest.mark.parametrize("how", BROKEN)
def test_who_passes_the_secret_on_never_gets_the_kept_one(read: Given, how: str) -> None:
    read.spoil(how)

    with pytest.raises(RetryLater):
        read.secret.value_now()


def test_a_stale_secret_is_tried_at_most_every_thirty_seconds(read: Given) -> None:
    read.manager.trouble = UNREACHABLE
    read.clock.now += 5 * MINUTE
    for seconds in (0, 10, 19, 1):  # 0 and 30 seconds after the first try
        read.clock.now += seconds
        read.secret.value()

    assert read.manager.reads == 1 + 2


@pytest.mark.parametrize("was_read", [False, True])
def test_when_no_secret_serves_each_call_tries_again(given: Given, was_read: bool) -> None:
    if was_read:
        given.secret.value()
    given.manager.trouble = UNREACHABLE
    given.clock.now += HOUR
    with pytest.raises(RetryLater):
        given.secret.value()
    given.manager.trouble = None

    assert given.secret.value() == {"current": "old"}


# ---- Asking again, when the kept one did not serve


@pytest.mark.parametrize(("seconds", "current", "reads"), [(29, "old", 1), (30, "new", 2)])
def test_asking_again_reads_the_secret_as_it_is_now_but_not_within_thirty_seconds(
    read: Given, seconds: int, current: str, reads: int
) -> None:
    read.put({"current": "new"})
    read.clock.now += seconds

    assert (read.secret.value_read_again(), read.manager.reads) == ({"current": current}, reads)


def test_asking_again_in_vain_gives_the_kept_one(read: Given) -> None:
    read.manager.trouble = UNREACHABLE
    read.clock.now += 30

    assert read.secret.value_read_again() == {"current": "old"}


# ---- Passing it on


def test_who_passes_the_secret_on_gets_it_as_it_is_now(read: Given) -> None:
    read.put({"current": "new"})

    assert read.secret.value_now() == {"current": "new"}


def test_no_error_tells_what_the_secret_holds(given: Given) -> None:
    given.manager.secrets[ARN] = '{"current": "hush-hush"'

    with pytest.raises(RetryLater) as caught:
        given.secret.value()

    assert "hush-hush" not in "".join(traceback.format_exception(caught.value))


# ---- What a hook call may carry


@pytest.mark.parametrize(
    ("secret", "accepted"),
    [
        ({"current": "new", "previous": "old"}, [b"new", b"old"]),
        ({"secret": "s"}, []),
        ({"current": "ção", "previous": "\ud800"}, ["ção".encode(), b"\xed\xa0\x80"]),
    ],
    ids=["both", "neither", "beyond-ascii"],
)
def test_the_current_and_the_previous_secret_are_accepted(secret: dict[str, Any], accepted: list[bytes]) -> None:
    assert hook_secrets(secret) == accepted


@pytest.mark.parametrize("empty", ["", " ", "\t\n", None, 0, False, [], {}], ids=repr)
@pytest.mark.parametrize("name", ["current", "previous"])
def test_an_empty_secret_is_never_accepted(name: str, empty: object) -> None:
    assert hook_secrets({"current": "s", "previous": "s", name: empty}) == [b"s"]


# ---- An account's credentials at VTEX

LUXSTORE = {"app_key": "vtexappkey-luxstore", "app_token": "TOKEN"}


def test_an_account_s_credentials_are_found() -> None:
    found = vtex_credentials({"other": {"app_key": "o", "app_token": "o"}, "luxstore": LUXSTORE}, "luxstore")

    assert found == Credentials("vtexappkey-luxstore", "TOKEN")


@pytest.mark.parametrize(
    "secret", [{}, {"other": LUXSTORE}, {"luxstore": None}, {"luxstore": "TOKEN"}, {"luxstore": [LUXSTORE]}], ids=repr
)
def test_an_account_without_credentials_is_told_so(secret: dict[str, Any]) -> None:
    with pytest.raises(CredentialsRefused):
        vtex_credentials(secret, "luxstore")


@pytest.mark.parametrize("name", ["app_key", "app_token"])
@pytest.mark.parametrize(
    "value", [None, "", " ", 1, ["TOKEN"], "TO KEN", "TOKEN\n", "TOKEN\r\nX: y", "TÖKEN", "\0"], ids=repr
)
def test_half_or_unsendable_credentials_are_none(name: str, value: object) -> None:
    with pytest.raises(CredentialsRefused):
        vtex_credentials({"luxstore": LUXSTORE | {name: value}}, "luxstore")


def test_credentials_never_show_in_a_text() -> None:
    credentials = Credentials("vtexappkey-luxstore", "TOKEN")

    assert f"{credentials} {credentials!r} {[credentials]}" == "Credentials() Credentials() [Credentials()]"


def test_no_error_tells_the_credentials() -> None:
    half = {"luxstore": {"app_key": "hush-hush", "app_token": ""}}

    with pytest.raises(CredentialsRefused) as caught:
        vtex_credentials(half, "luxstore")

    assert "hush-hush" not in "".join(traceback.format_exception(caught.value))
