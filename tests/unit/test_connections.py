"""Connections that died unseen: what is asked again, what is not, and whom that leaves alone. The server is real."""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import httpx
import pytest

from invoicekey.runtime.errors import OutOfTime, RateLimited, RetryLater
from invoicekey.vtex.client import Answer, RateLimiter, Vtex
from invoicekey.vtex.connections import LONGEST_IDLE, Connections
from tests.dropping import Death, DroppingServer, StoppedClock
from tests.fakes_visits import SHOP, a_vtex

TIME_ENOUGH = 25.0
BODY = b'{"is": "whole"}'
WHOLE = Answer(200, {"is": "whole"})
each_death = pytest.mark.parametrize("death", Death, ids=lambda death: death.name.lower())


@pytest.fixture
def server() -> Iterator[DroppingServer]:
    with DroppingServer(BODY) as running:
        yield running


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def vtex(server: DroppingServer, clock: StoppedClock) -> Iterator[Vtex]:
    connections = Connections(10, clock)
    yield a_vtex(server.url, transport=connections)
    connections.close()


def ask(vtex: Vtex, method: str = "GET", time_left: float = TIME_ENOUGH) -> Answer:
    return vtex.call(SHOP, method, "/api/x", time_left=time_left)


def statuses(vtex: Vtex) -> list[str]:
    return [status for status, _ in vtex.answers]


def ask_at_once(vtex: Vtex, server: DroppingServer, number: int = 10) -> list[Answer]:
    """Ask from so many threads, each on a connection of its own: no answer comes before all are asked."""
    with ThreadPoolExecutor(number) as threads:
        server.meet(number)
        try:
            return list(threads.map(lambda _: ask(vtex), range(number)))
        finally:
            server.meet(1)


# ---- One more try


@each_death
@pytest.mark.parametrize("midway", [False, True])
def test_a_reading_on_a_connection_that_died_unseen_is_asked_again_on_a_fresh_one(
    vtex: Vtex, server: DroppingServer, death: Death, midway: bool
) -> None:
    ask(vtex)
    server.forget(death)
    server.dies_midway = midway

    assert ask(vtex) == WHOLE

    assert (server.opened, server.asked) == (2, ["GET"] * 3)
    assert statuses(vtex) == ["200", "200"]


@each_death
def test_a_connection_that_was_seen_to_end_is_not_even_tried(vtex: Vtex, server: DroppingServer, death: Death) -> None:
    ask(vtex)
    server.close_idle(death)

    assert [ask(vtex, "POST"), ask(vtex)] == [WHOLE, WHOLE]

    assert server.asked == ["GET", "POST", "GET"]


@each_death
@pytest.mark.parametrize("midway", [False, True])
def test_on_a_fresh_connection_it_is_vtex_s_own_trouble(
    vtex: Vtex, server: DroppingServer, death: Death, midway: bool
) -> None:
    server.newborn_die_by, server.dies_midway = death, midway

    with pytest.raises(RetryLater, match=r"VTEX gave no answer: (ReadError|RemoteProtocolError)$"):
        ask(vtex)

    assert server.asked == ["GET"]


def test_it_is_asked_again_once_and_is_one_call_without_an_answer(vtex: Vtex, server: DroppingServer) -> None:
    ask(vtex)
    server.forget()
    server.newborn_die_by = Death.RESET

    with pytest.raises(RetryLater, match=r"VTEX gave no answer: ReadError$"):
        ask(vtex)

    assert (server.opened, server.asked) == (2, ["GET"] * 3)
    assert statuses(vtex) == ["200", "no_answer"]


@each_death
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_what_writes_is_never_repeated(vtex: Vtex, server: DroppingServer, death: Death, method: str) -> None:
    ask(vtex)
    server.forget(death)

    with pytest.raises(RetryLater, match=r"VTEX gave no answer: .* on a kept connection"):
        ask(vtex, method)

    assert server.asked == ["GET", method]
    assert ask(vtex, method) == WHOLE
    assert statuses(vtex) == ["200", "no_answer", "200"]


def test_a_reading_that_met_a_dead_connection_spares_what_writes_after_it_the_others(
    vtex: Vtex, server: DroppingServer
) -> None:
    ask_at_once(vtex, server)
    server.forget()

    assert [ask(vtex), *(ask(vtex, "POST") for _ in range(10))] == [WHOLE] * 11


# ---- Ten threads


@each_death
def test_ten_dead_connections_cost_ten_threads_nothing_again_and_again(
    vtex: Vtex, server: DroppingServer, death: Death
) -> None:
    ask_at_once(vtex, server)
    for times in (2, 3, 4):
        server.forget(death)

        assert ask_at_once(vtex, server) == [WHOLE] * 10

        assert server.opened == 10 * times
        assert server.answered == ["GET"] * 10 * times


def test_who_is_being_answered_is_left_alone_when_another_meets_a_dead_connection(
    vtex: Vtex, server: DroppingServer
) -> None:
    ask_at_once(vtex, server, 2)
    server.forget()
    server.spared = 1
    server.meet(2)

    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(ask, vtex)
        server.wait_until_asked(3)
        assert [ask(vtex), slow.result()] == [WHOLE, WHOLE]

    assert (server.opened, len(server.asked)) == (3, 5)


# ---- After a pause


def test_after_half_a_minute_of_the_wall_s_clock_no_connection_is_tried(
    vtex: Vtex, server: DroppingServer, clock: StoppedClock
) -> None:
    ask_at_once(vtex, server)
    server.forget()
    clock.now += LONGEST_IDLE + 0.1

    assert ask(vtex, "POST") == WHOLE

    server.wait_until_closed(10)
    assert server.asked == ["GET"] * 10 + ["POST"]


def test_a_client_that_is_told_nothing_else_goes_by_the_wall_s_clock(
    server: DroppingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, now = a_vtex(server.url), time.time
    ask(client)
    server.forget()
    monkeypatch.setattr(time, "time", lambda: now() + LONGEST_IDLE + 1)

    assert ask(client, "POST") == WHOLE


def test_within_half_a_minute_a_connection_is_used_again(
    vtex: Vtex, server: DroppingServer, clock: StoppedClock
) -> None:
    for _ in range(5):
        ask(vtex)
        clock.now += LONGEST_IDLE

    assert server.opened == 1


def test_a_clock_that_was_set_back_tells_nothing_of_the_pause(
    vtex: Vtex, server: DroppingServer, clock: StoppedClock
) -> None:
    ask(vtex)
    clock.now -= 3600

    ask(vtex)
    ask(vtex)

    assert server.opened == 2


def test_ten_threads_that_begin_after_a_pause_keep_their_new_connections(
    vtex: Vtex, server: DroppingServer, clock: StoppedClock
) -> None:
    ask_at_once(vtex, server)
    server.forget()
    clock.now += 300

    assert ask_at_once(vtex, server) == [WHOLE] * 10
    assert ask_at_once(vtex, server) == [WHOLE] * 10

    assert server.opened == 20
    assert len(server.asked) == 30


def test_an_answer_that_takes_longer_than_a_pause_is_read_to_its_end(
    vtex: Vtex, server: DroppingServer, clock: StoppedClock
) -> None:
    server.meet(2)
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(ask, vtex)
        server.wait_until_asked(1)
        clock.now += 300

        assert ask(vtex) == WHOLE
        assert slow.result() == WHOLE

    server.wait_until_closed(1)
    server.meet(1)
    ask(vtex)
    assert server.opened == 2


def test_a_pause_begins_when_an_answer_has_come_to_its_end(server: DroppingServer, clock: StoppedClock) -> None:
    with httpx.Client(transport=Connections(1, clock), trust_env=False) as client:
        with client.stream("GET", server.url) as response:
            clock.now += 300
            response.read()
        client.get(server.url)

    assert server.opened == 1


# ---- What the second try needs


class Turns(RateLimiter):
    """A pace that does something before each turn but the first, and after the last one gives none."""

    def __init__(self, number: int, before: Callable[[], object] = lambda: None) -> None:
        self.left, self._before = number, before
        self._is_first = True

    def acquire(self, account: str, patience: float) -> None:
        if not self.left:
            raise OutOfTime("the pace allows no more now", wait=1.0)
        if not self._is_first:
            self._before()
        self.left -= 1
        self._is_first = False


def after_a_dead_connection(server: DroppingServer, pace: Turns) -> Vtex:
    """Return a client whose one connection is dead; it has used a turn already, which does not count."""
    vtex = a_vtex(server.url)
    ask(vtex)
    vtex.answers.clear()
    server.forget()
    vtex._limiter = pace
    return vtex


def test_the_second_try_takes_a_turn_of_its_own(server: DroppingServer) -> None:
    pace = Turns(2)

    assert ask(after_a_dead_connection(server, pace)) == WHOLE

    assert pace.left == 0


def test_without_a_second_turn_there_is_no_second_try(server: DroppingServer) -> None:
    vtex = after_a_dead_connection(server, Turns(1))

    with pytest.raises(OutOfTime):
        ask(vtex)

    assert server.asked == ["GET", "GET"]
    assert statuses(vtex) == ["no_answer"]


def test_without_time_there_is_no_second_try(server: DroppingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait_too_long() -> None:
        monkeypatch.setattr("invoicekey.vtex.client.time", SimpleNamespace(monotonic=lambda: 1e12, time=time.time))

    vtex = after_a_dead_connection(server, Turns(2, wait_too_long))

    with pytest.raises(OutOfTime, match="no time is left"):
        ask(vtex)

    assert server.asked == ["GET", "GET"]


def test_a_silence_that_began_between_two_tries_is_kept_and_not_shared_as_new(server: DroppingServer) -> None:
    patient = after_a_dead_connection(server, Turns(2, lambda: patient.back_off(SHOP, time.time() + 60)))

    with pytest.raises(RateLimited):
        ask(patient)

    assert server.asked == ["GET", "GET"]
    assert patient.take_new_backoffs() == {}


def test_the_second_try_is_logged_without_what_it_carries(
    vtex: Vtex, server: DroppingServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ask(vtex)
    server.forget()

    ask(vtex)

    (told,) = [record for record in caplog.records if "dead" in record.message]
    assert told.account == SHOP  # type: ignore[attr-defined]
    assert "HUSH" not in caplog.text


# ---- Without VTEX's client


def test_a_body_that_is_closed_twice_gives_its_connection_back_once(
    server: DroppingServer, clock: StoppedClock
) -> None:
    with httpx.Client(transport=Connections(1, clock), trust_env=False) as client:
        with client.stream("GET", server.url) as response:
            response.read()
        response.stream.close()  # type: ignore[union-attr]
        clock.now += 300
        assert client.get(server.url).json() == {"is": "whole"}
    server.wait_until_closed(2)


def test_to_close_them_lets_an_answer_come_to_its_end(server: DroppingServer) -> None:
    connections = Connections(1)
    with httpx.Client(transport=connections, trust_env=False) as client:
        with client.stream("GET", server.url) as response:
            connections.close()
            assert response.read() == BODY
        server.wait_until_closed(1)
