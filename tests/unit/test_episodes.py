"""Episodes: what an order's item remembers of its failures, however they came, changed and ended."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from invoicekey.ledger.entries import EXPIRED, Entry
from invoicekey.ledger.failures import MOST_EPISODES, Episode, Failure, FailureLists, Issuer, Shown, State, failure_of
from invoicekey.ledger.schedule import FOLLOWED_FOR
from invoicekey.runtime.errors import CredentialsRefused
from invoicekey.work.acts import ActResult, Acts
from invoicekey.work.check import UNREAD_FOR
from tests.fakes_outside import ACCOUNT, LEASE, NOON, REF, Outside
from tests.keys import make_cnpj, make_key
from tests.orders import KEY, cnova_order, own_order, sale

DAY = timedelta(days=1)
SECOND_KEY = make_key(tax_id="11222333000181", month=3, series=7, number=643798)
OTHER_SHOP = make_key(tax_id=make_cnpj("11222333" + "0002"), month=3, series=2, number=643797)
GOOD, KEYLESS = cnova_order(sale()), cnova_order(sale(key=None))
CANCELED = cnova_order(sale(key=None), status="canceled")
PREFIXED = cnova_order(sale(key=f"NFe{KEY}"))
"""With this, KEY is suggested."""
TWO_PREFIXED = cnova_order(sale(key=f"NFe{KEY}"), sale("643798", f"NFe{SECOND_KEY}"))
OURS, OURS_7 = Issuer("11222333000181", 1), Issuer("11222333000181", 7)


@pytest.fixture
def outside() -> Outside:
    return Outside()


def check(outside: Outside, document: dict[str, Any] | None, *, after: timedelta = timedelta(0)) -> None:
    outside.time.advance(after)
    outside.vtex.documents.clear()
    if document is not None:
        outside.vtex.put(document)
    outside.check(outside.message())


def acts(outside: Outside) -> Acts:
    return Acts(outside.ledger, outside.outlets, LEASE, "pt-BR")


def dismiss(outside: Outside) -> None:
    assert acts(outside).dismiss(REF, "portal", outside.time.now) is ActResult.DONE


def undismiss(outside: Outside) -> None:
    assert acts(outside).undismiss(REF, outside.time.now) is ActResult.DONE


def expire(outside: Outside, document: dict[str, Any] = KEYLESS) -> None:
    check(outside, document, after=FOLLOWED_FOR)
    assert outside.ledger.entries[REF].archived == EXPIRED


def as_the_former_version_kept_it(outside: Outside) -> None:
    """Let the order's item be one of a version that kept no episodes, nor what was suggested."""
    entry = outside.ledger.entries[REF]
    errors = tuple(Shown(error.code, error.invoice_number, error.has_suggestion) for error in entry.errors)
    outside.ledger.write(replace(entry, episodes=(), errors=errors))


def episodes(outside: Outside) -> tuple[Episode, ...]:
    return outside.ledger.entries[REF].episodes


def episode(outside: Outside) -> Episode:
    (one,) = episodes(outside)
    return one


def ends(outside: Outside) -> list[str | None]:
    return [episode.reason for episode in episodes(outside)]


def listed(outside: Outside) -> Failure:
    (item,) = FailureLists(outside.ledger.dynamodb.table).items(ACCOUNT, list(State))
    return failure_of(item)


class TestOpening:
    def test_a_failure_begins_when_it_is_found(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        assert episode(outside) == Episode(NOON, ("missing",))

    def test_a_check_that_finds_the_same_changes_nothing(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        check(outside, KEYLESS, after=DAY)
        assert episode(outside) == Episode(NOON, ("missing",))

    def test_other_errors_are_the_same_failure_and_every_problem_is_remembered(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        check(outside, cnova_order(sale(key=KEY[:-1])), after=DAY)
        assert episode(outside) == Episode(NOON, ("missing", "malformed"))

    def test_the_suggested_key_tells_the_issuer(self, outside: Outside) -> None:
        check(outside, PREFIXED)
        assert episode(outside).issuers == (OURS,)

    def test_a_key_of_the_right_shape_tells_the_issuer(self, outside: Outside) -> None:
        check(outside, cnova_order(sale(key=KEY[:-1] + "9")))
        assert episode(outside).issuers == (OURS,)

    def test_an_issuer_stays_known_when_the_next_errors_do_not_tell_it(self, outside: Outside) -> None:
        check(outside, PREFIXED)
        check(outside, KEYLESS)
        assert episode(outside).issuers == (OURS,)

    def test_an_order_that_fails_anew_has_a_new_failure(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        check(outside, GOOD, after=DAY)
        check(outside, KEYLESS, after=DAY)
        assert ends(outside) == ["ok", None]
        assert episodes(outside)[1].opened_at == NOON + 2 * DAY

    def test_a_failure_that_the_former_version_opened_began_when_it_was_found(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        as_the_former_version_kept_it(outside)
        check(outside, KEYLESS, after=DAY)
        assert episode(outside) == Episode(NOON, ("missing",))

    def test_the_oldest_of_many_failures_are_forgotten(self, outside: Outside) -> None:
        for _ in range(MOST_EPISODES):
            check(outside, KEYLESS)
            check(outside, GOOD, after=DAY)
        check(outside, KEYLESS)
        assert len(episodes(outside)) == MOST_EPISODES
        assert episodes(outside)[0].opened_at == NOON + DAY


class TestEnding:
    @pytest.mark.parametrize(
        ("document", "reason"), [(GOOD, "ok"), (CANCELED, "canceled"), (None, "not_found")], ids=str
    )
    def test_a_check_ends_it(self, outside: Outside, document: dict[str, Any] | None, reason: str) -> None:
        check(outside, KEYLESS)
        check(outside, document, after=DAY)
        assert (episode(outside).closed_at, episode(outside).reason) == (NOON + DAY, reason)
        assert (listed(outside).state, listed(outside).at) == (State.CLOSED, NOON + DAY)

    def test_the_keys_that_are_there_in_the_end_tell_the_issuers(self, outside: Outside) -> None:
        check(outside, cnova_order(sale(key=f"NFe{OTHER_SHOP}"), sale("643798", None)))
        check(outside, cnova_order(sale(), sale("643798", SECOND_KEY)))
        assert episode(outside).issuers == (OURS, OURS_7)

    def test_where_it_is_canceled_the_suggested_key_tells_the_issuer(self, outside: Outside) -> None:
        check(outside, PREFIXED)
        check(outside, CANCELED)
        assert episode(outside).issuers == (OURS,)

    def test_a_dismissal_ends_it(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        outside.time.advance(DAY)
        dismiss(outside)
        assert (episode(outside).closed_at, episode(outside).reason) == (NOON + DAY, "dismissed")
        assert listed(outside).state is State.ARCHIVED

    def test_other_errors_after_a_dismissal_are_a_new_failure(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        dismiss(outside)
        check(outside, PREFIXED, after=DAY)
        assert ends(outside) == ["dismissed", None]
        assert episodes(outside)[1] == Episode(NOON + DAY, ("malformed",), (OURS,))

    def test_a_dismissed_one_that_is_mended_stays_dismissed(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        dismiss(outside)
        check(outside, GOOD, after=DAY)
        assert (episode(outside).reason, episode(outside).closed_at) == ("dismissed", NOON)
        assert listed(outside).state is State.CLOSED

    def test_one_that_nobody_mends_expires(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        expire(outside)
        assert (episode(outside).closed_at, episode(outside).reason) == (NOON + FOLLOWED_FOR, "expired")

    def test_one_that_expired_and_is_mended_after_all_was_open_until_then(self, outside: Outside) -> None:
        check(outside, PREFIXED)
        expire(outside, PREFIXED)
        check(outside, GOOD, after=DAY)
        end = NOON + FOLLOWED_FOR + DAY
        assert episode(outside) == Episode(NOON, ("malformed",), (OURS,), 1, 1, end, "ok")
        assert (listed(outside).state, listed(outside).at) == (State.CLOSED, end)

    def test_other_errors_of_one_that_expired_are_a_new_failure(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        expire(outside)
        check(outside, PREFIXED, after=DAY)
        assert ends(outside) == ["expired", None]

    def test_one_that_the_former_version_opened_ends_as_far_as_it_is_known(self, outside: Outside) -> None:
        check(outside, PREFIXED)
        as_the_former_version_kept_it(outside)
        check(outside, GOOD, after=DAY)
        assert episode(outside) == Episode(NOON, ("malformed",), (OURS,), closed_at=NOON + DAY, reason="ok")

    @pytest.mark.parametrize("end", [dismiss, expire])
    def test_one_that_the_former_version_opened_is_archived(
        self, outside: Outside, end: Callable[[Outside], None]
    ) -> None:
        check(outside, KEYLESS)
        as_the_former_version_kept_it(outside)
        end(outside)
        assert episode(outside).opened_at == NOON
        assert listed(outside).state is State.ARCHIVED

    def test_one_that_expired_with_the_former_version_ends_when_it_is_mended(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        expire(outside)
        as_the_former_version_kept_it(outside)
        check(outside, GOOD, after=DAY)
        assert (episode(outside).opened_at, episode(outside).reason) == (NOON, "ok")


class TestTakingADismissalBack:
    @pytest.fixture(autouse=True)
    def _taken_back(self, outside: Outside) -> None:
        check(outside, PREFIXED)
        outside.time.advance(DAY)
        dismiss(outside)
        undismiss(outside)

    def test_the_failure_goes_on_as_if_it_had_had_no_end(self, outside: Outside) -> None:
        check(outside, PREFIXED, after=DAY)
        assert episode(outside) == Episode(NOON, ("malformed",), (OURS,))
        assert outside.ledger.entries[REF].opened_at == NOON

    def test_until_it_is_checked_it_is_listed_with_its_errors(self, outside: Outside) -> None:
        assert listed(outside).state is State.OPEN
        assert [error.code for error in listed(outside).errors] == ["malformed"]

    def test_one_that_is_mended_by_then_ends_with_the_check(self, outside: Outside) -> None:
        check(outside, GOOD, after=DAY)
        assert episode(outside) == Episode(NOON, ("malformed",), (OURS,), 1, 1, NOON + 2 * DAY, "ok")
        assert (listed(outside).state, listed(outside).errors) == (State.CLOSED, ())
        assert outside.ledger.entries[REF].mended_at == NOON + 2 * DAY

    @pytest.mark.parametrize(
        ("document", "reason"),
        [(CANCELED, "canceled"), (own_order(orderId=REF.order_id), "other_marketplace"), (None, "not_found")],
        ids=["canceled", "another marketplace", "unknown to VTEX"],
    )
    def test_one_that_is_none_by_then_ends_too(
        self, outside: Outside, document: dict[str, Any] | None, reason: str
    ) -> None:
        check(outside, document, after=DAY)
        assert ends(outside) == [reason]
        assert (listed(outside).state, listed(outside).errors) == (State.CLOSED, ())

    def test_one_that_can_never_be_read_expires(self, outside: Outside) -> None:
        outside.vtex.fail(CredentialsRefused("VTEX answered 403"), times=None)
        message = outside.message()
        outside.time.advance(FOLLOWED_FOR + UNREAD_FOR)
        outside.check(message)
        assert ends(outside) == ["expired"]

    def test_suggestions_are_counted_once_though_they_were_made_twice(self, outside: Outside) -> None:
        check(outside, PREFIXED)
        check(outside, GOOD)
        assert (episode(outside).suggested, episode(outside).suggested_rightly) == (1, 1)


class TestSuggestions:
    def counted(self, outside: Outside) -> tuple[int, int]:
        return episode(outside).suggested, episode(outside).suggested_rightly

    def test_one_that_the_invoice_got_was_right(self, outside: Outside) -> None:
        check(outside, PREFIXED)
        check(outside, GOOD)
        assert self.counted(outside) == (1, 1)

    def test_one_in_whose_place_another_key_was_put_was_not(self, outside: Outside) -> None:
        check(outside, cnova_order(sale(key=f"NFe{OTHER_SHOP}")))
        check(outside, GOOD)
        assert self.counted(outside) == (1, 0)

    def test_none_was_made_where_nothing_tells_the_key(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        check(outside, GOOD)
        assert self.counted(outside) == (0, 0)

    def test_those_of_an_order_that_is_canceled_are_not_counted(self, outside: Outside) -> None:
        check(outside, PREFIXED)
        check(outside, CANCELED)
        assert self.counted(outside) == (0, 0)

    def test_each_invoice_has_its_own(self, outside: Outside) -> None:
        check(outside, TWO_PREFIXED)
        check(outside, cnova_order(sale(), sale("643798", make_key(number=643798))))
        assert self.counted(outside) == (2, 1)

    def test_invoices_that_are_mended_one_after_the_other_count_alike(self, outside: Outside) -> None:
        check(outside, TWO_PREFIXED)
        check(outside, cnova_order(sale(), sale("643798", f"NFe{SECOND_KEY}")))
        check(outside, cnova_order(sale(), sale("643798", SECOND_KEY)))
        assert self.counted(outside) == (2, 2)

    def test_an_invoice_whose_error_changes_is_one_invoice(self, outside: Outside) -> None:
        check(outside, PREFIXED)
        check(outside, cnova_order(sale(key=f"{KEY} ")))
        check(outside, GOOD)
        assert self.counted(outside) == (1, 1)

    def test_one_that_the_next_reading_finds_counts(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        check(outside, cnova_order(sale(key=None, invoiceUrl=f"https://nfe.example/{KEY}")))
        check(outside, GOOD)
        assert self.counted(outside) == (1, 1)

    def test_one_key_for_two_invoices_is_right_for_those_that_have_it(self, outside: Outside) -> None:
        entry = outside.ledger.write(
            Entry(
                REF,
                first_seen_at=NOON,
                checked_at=NOON,
                outcome="failing",
                errors_reported="f" * 64,
                errors=(
                    Shown("missing", "1", has_suggestion=True, suggested_key=KEY),
                    Shown("missing", "2", has_suggestion=True, suggested_key=KEY),
                ),
            )
        )
        assert entry.episodes == ()
        check(outside, cnova_order(sale(), sale("643798", SECOND_KEY)))
        assert self.counted(outside) == (2, 1)
