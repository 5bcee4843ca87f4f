"""An account's credentials: from its own place or from the secret, how long they serve, and what a change takes."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Any

import pytest

from invoicekey.runtime.errors import CredentialsRefused, RetryLater
from invoicekey.runtime.secrets import AccountCredentials, CachedSecret, Credentials
from tests.dropping import StoppedClock
from tests.fakes import REFUSED, UNREACHABLE, FakeParameterStore, FakeSecretsManager, Trouble
from tests.unit.test_secrets import yield_to_others

PREFIX = "/vtex-credentials/shops/"
SHOP, SECRET_ARN = "luxstore", "arn:credentials"
MINUTE, HOUR = 60.0, 3600.0
GARBAGE = ["", "{", "null", "[]", '{"app_key": "KEY"}', '{"app_key": "KEY", "app_token": ""}', "[" * 60_000]


@dataclass
class Given:
    """The credentials, where they are read, and the time."""

    clock: StoppedClock
    manager: FakeSecretsManager
    store: FakeParameterStore
    credentials: AccountCredentials
    clients: list[FakeParameterStore]
    """Those of Parameter Store that were made."""

    def write(self, token: str, account: str = SHOP, app_key: str = "KEY") -> Credentials:
        """Write an account's credentials to its own place, as a person in the console does."""
        self.store.values[PREFIX + account] = json.dumps({"app_key": app_key, "app_token": token})
        return Credentials(app_key, token)


@pytest.fixture
def given() -> Given:
    clock, manager, store = StoppedClock(), FakeSecretsManager(), FakeParameterStore()
    manager.put(SECRET_ARN, {SHOP: {"app_key": "KEY", "app_token": "of-the-secret"}})
    clients: list[FakeParameterStore] = []

    def make() -> Any:
        clients.append(store)
        return store

    secret = CachedSecret(manager.client, SECRET_ARN, clock)
    return Given(clock, manager, store, AccountCredentials(secret, make, PREFIX, clock), clients)


@pytest.fixture
def kept(given: Given) -> Given:
    """Be one that has read an account's own credentials just now."""
    given.write("old")
    given.credentials.keep(SHOP, "v1")
    assert given.credentials.of(SHOP) == Credentials("KEY", "old")
    return given


# ---- Which place


def test_an_account_without_a_stamp_has_its_credentials_in_the_secret(given: Given) -> None:
    given.write("of-its-own")
    given.credentials.keep_all({SHOP: None})

    assert given.credentials.of(SHOP) == Credentials("KEY", "of-the-secret")
    assert given.clients == []


def test_an_account_of_which_the_ledger_has_not_been_asked_has_its_credentials_in_the_secret(given: Given) -> None:
    assert given.credentials.of(SHOP) == Credentials("KEY", "of-the-secret")


def test_an_account_with_a_stamp_has_its_credentials_in_its_own_place(given: Given) -> None:
    of_its_own = given.write("of-its-own")
    given.credentials.keep(SHOP, "v1")

    assert given.credentials.of(SHOP) == of_its_own
    assert given.manager.reads == 0


def test_an_account_that_loses_its_own_place_has_its_credentials_in_the_secret_again(kept: Given) -> None:
    kept.credentials.keep(SHOP, None)

    assert kept.credentials.of(SHOP) == Credentials("KEY", "of-the-secret")


# ---- How long they serve


def test_own_credentials_are_read_again_after_four_hours(kept: Given) -> None:
    new = kept.write("new")
    kept.clock.now += 4 * HOUR - 1
    assert kept.credentials.of(SHOP) == Credentials("KEY", "old")
    kept.clock.now += 1

    assert kept.credentials.of(SHOP) == new


def test_the_same_stamp_makes_nothing_be_read_again(kept: Given) -> None:
    kept.credentials.keep_all({SHOP: "v1"})
    kept.credentials.of(SHOP)

    assert len(kept.store.asked) == 1


def test_another_stamp_makes_the_next_one_be_read_at_once(kept: Given) -> None:
    new = kept.write("new")
    kept.credentials.keep(SHOP, "v2")

    assert kept.credentials.of(SHOP) == new


def test_a_stamp_that_changes_during_a_read_makes_the_next_one_be_read(given: Given) -> None:
    given.write("old")
    given.credentials.keep(SHOP, "v1")
    given.store.while_reading = lambda: given.credentials.keep(SHOP, "v2")
    given.credentials.of(SHOP)
    new = given.write("new")

    assert given.credentials.of(SHOP) == new


def test_the_secret_is_still_read_every_five_minutes(given: Given) -> None:
    given.credentials.of(SHOP)
    given.manager.put(SECRET_ARN, {SHOP: {"app_key": "KEY", "app_token": "new"}})
    given.clock.now += 5 * MINUTE

    assert given.credentials.of(SHOP) == Credentials("KEY", "new")


@pytest.mark.parametrize("trouble", [REFUSED, UNREACHABLE], ids=["refused", "unreachable"])
def test_the_last_good_ones_serve_for_an_hour_beyond_and_no_longer(kept: Given, trouble: Trouble) -> None:
    kept.store.trouble = trouble
    kept.clock.now += 5 * HOUR - 1
    kept.credentials.keep_all({SHOP: "v1"})
    assert kept.credentials.of(SHOP) == Credentials("KEY", "old")
    kept.clock.now += 1

    with pytest.raises(RetryLater, match="Parameter Store did not give"):
        kept.credentials.of(SHOP)


def test_with_nothing_ever_read_it_is_to_be_tried_again_later(given: Given) -> None:
    given.credentials.keep(SHOP, "v1")
    given.store.trouble = UNREACHABLE

    with pytest.raises(RetryLater) as caught:
        given.credentials.of(SHOP)

    assert not isinstance(caught.value, CredentialsRefused)


@pytest.mark.parametrize("garbage", [None, *GARBAGE], ids=lambda text: str(text)[:20])
def test_a_place_without_credentials_is_a_refusal_that_says_what_is_missing(given: Given, garbage: str | None) -> None:
    given.credentials.keep(SHOP, "v1")
    if garbage is not None:
        given.store.values[PREFIX + SHOP] = garbage

    with pytest.raises(CredentialsRefused, match="the account's own place holds no appKey and appToken"):
        given.credentials.of(SHOP)


def test_credentials_that_were_missing_are_found_half_a_minute_after_they_are_written(given: Given) -> None:
    given.credentials.keep(SHOP, "v1")
    with pytest.raises(CredentialsRefused):
        given.credentials.of(SHOP)
    written = given.write("new")
    given.clock.now += 30

    assert given.credentials.of(SHOP) == written


# ---- Side by side


def test_checks_that_begin_side_by_side_read_an_account_once(given: Given) -> None:
    own, together = given.write("of-its-own"), Barrier(10)
    given.credentials.keep(SHOP, "v1")
    given.store.while_reading = yield_to_others

    def first_check(_: int) -> Credentials:
        together.wait()
        return given.credentials.of(SHOP)

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(first_check, range(10))) == [own] * 10
    assert (len(given.store.asked), len(given.clients)) == (1, 1)


# ---- Reading ahead


def test_many_are_read_ten_at_once_and_only_those_that_are_due(given: Given) -> None:
    accounts = [f"shop-{number:02}" for number in range(25)]
    written = {account: given.write(f"token-{account}", account) for account in accounts}
    given.credentials.keep_all(dict.fromkeys(accounts, "v1") | {SHOP: None})
    given.credentials.keep_all(dict.fromkeys(accounts, "v1") | {accounts[3]: "v2"})

    assert [len(names) for names in given.store.asked] == [10, 10, 5, 1]
    assert {account: given.credentials.of(account) for account in accounts} == written
    assert len(given.store.asked) == 4


def test_one_that_cannot_be_decrypted_keeps_no_other_from_being_read(given: Given) -> None:
    accounts = [f"shop-{number}" for number in range(3)]
    written = [given.write("token", account) for account in accounts]
    given.store.undecryptable = {PREFIX + accounts[0]}
    given.credentials.keep_all(dict.fromkeys(accounts, "v1"))

    with pytest.raises(RetryLater):
        given.credentials.of(accounts[0])
    assert [given.credentials.of(account) for account in accounts[1:]] == written[1:]


def test_a_new_version_is_read_beside_one_that_cannot_be_decrypted(kept: Given) -> None:
    new = kept.write("new")
    kept.write("token", "other")
    kept.store.undecryptable = {PREFIX + "other"}
    kept.credentials.keep_all({SHOP: "v2", "other": "v1"})

    assert kept.credentials.of(SHOP) == new


def test_where_parameter_store_is_out_of_reach_the_rest_of_many_are_not_tried(given: Given) -> None:
    given.store.trouble = UNREACHABLE
    given.credentials.keep_all({f"shop-{number}": "v1" for number in range(1000)})

    assert len(given.store.asked) == 1


def test_while_parameter_store_is_out_of_reach_kept_ones_serve_without_another_try(kept: Given) -> None:
    kept.store.trouble = UNREACHABLE
    kept.credentials.keep_all({SHOP: "v2"})
    kept.credentials.of(SHOP)

    assert len(kept.store.asked) == 2


# ---- After VTEX refused a pair


def test_a_pair_that_was_changed_by_hand_is_found_when_vtex_refuses_the_one_before(kept: Given) -> None:
    new = kept.write("new")
    kept.clock.now += 30

    assert kept.credentials.after_refusal(SHOP, Credentials("KEY", "old")) == new
    assert kept.credentials.of(SHOP) == new


def test_a_pair_that_is_refused_and_unchanged_has_no_other(kept: Given) -> None:
    kept.clock.now += 30

    assert kept.credentials.after_refusal(SHOP, Credentials("KEY", "old")) is None


def test_refusals_make_a_place_be_read_at_most_every_thirty_seconds(kept: Given) -> None:
    for seconds in (29, 1, 10, 19, 1):
        kept.clock.now += seconds
        kept.credentials.after_refusal(SHOP, Credentials("KEY", "old"))

    assert len(kept.store.asked) == 1 + 2


def test_a_pair_that_another_check_has_read_meanwhile_is_found_without_a_read(kept: Given) -> None:
    new = kept.write("new")
    kept.credentials.keep_all({SHOP: "v2"})

    assert kept.credentials.after_refusal(SHOP, Credentials("KEY", "old")) == new
    assert len(kept.store.asked) == 2


@pytest.mark.parametrize(("app_key", "is_taken"), [("KEY", True), ("ANOTHER", False)])
def test_who_notes_what_is_an_app_key_s_is_given_that_app_key_alone(kept: Given, app_key: str, is_taken: bool) -> None:
    new = kept.write("new", app_key=app_key)
    kept.clock.now += 30

    found = kept.credentials.after_refusal(SHOP, Credentials("KEY", "old"), of_same_app_key=True)

    assert found == (new if is_taken else None)
    assert kept.credentials.of(SHOP) == new  # at the next turn, whatever it is


def test_a_place_that_gives_no_answer_has_no_other_pair(kept: Given) -> None:
    kept.clock.now += 30
    kept.store.trouble = UNREACHABLE

    assert kept.credentials.after_refusal(SHOP, Credentials("KEY", "old")) is None


def test_a_place_that_was_emptied_has_no_other_pair(kept: Given) -> None:
    kept.clock.now += 30
    kept.store.values.clear()

    assert kept.credentials.after_refusal(SHOP, Credentials("KEY", "old")) is None


def test_the_secret_s_pair_has_no_other(given: Given) -> None:
    assert given.credentials.after_refusal(SHOP, Credentials("KEY", "of-the-secret")) is None
    assert given.manager.reads == 0
