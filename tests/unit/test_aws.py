"""The functions' clients of AWS: after a freeze no connection is trusted, and nobody else's is closed."""

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError

from invoicekey.runtime import aws, secrets
from invoicekey.work import batch, digest, recheck
from tests.dropping import Death, DroppingServer, StoppedClock

ROOT = Path(__file__).parents[2]
SECRET = {"SecretString": "{}"}
ONE_TRY = Config(connect_timeout=5, read_timeout=5, retries={"total_max_attempts": 1})
each_death = pytest.mark.parametrize("death", Death, ids=lambda death: death.name.lower())


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[DroppingServer]:
    aws._session.cache_clear()  # another test's credentials
    with DroppingServer(json.dumps(SECRET).encode()) as running:
        settings = {"AWS_ENDPOINT_URL": running.url, "AWS_DEFAULT_REGION": "us-east-1"}
        for name, value in (settings | {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}).items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def client(server: DroppingServer, clock: StoppedClock) -> Any:
    """A client that never tries again: what fails here is a connection that was dead."""
    return aws.client("secretsmanager", ONE_TRY, clock)


def ask(client: Any) -> str:
    answer: str = client.get_secret_value(SecretId="any")["SecretString"]
    return answer


def ask_ten_at_once(client: Any, server: DroppingServer) -> list[str]:
    """Ask from ten threads, each on a connection of its own: no answer comes before all ten are asked."""
    server.meet(10)
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: ask(client), range(10)))
    server.meet(1)
    return answers


@each_death
def test_after_a_pause_a_dead_connection_costs_nothing(
    client: Any, server: DroppingServer, clock: StoppedClock, death: Death
) -> None:
    ask(client)
    server.forget(death)
    clock.now += aws.LONGEST_IDLE + 0.1

    assert ask(client) == "{}"

    assert len(server.asked) == 2


def test_so_do_ten_for_who_asks_first_alone(client: Any, server: DroppingServer, clock: StoppedClock) -> None:
    ask_ten_at_once(client, server)
    server.forget()
    clock.now += 300

    assert ask(client) == "{}"

    server.wait_until_closed(10)


def test_ten_threads_that_begin_after_a_pause_keep_their_new_connections(
    client: Any, server: DroppingServer, clock: StoppedClock
) -> None:
    ask_ten_at_once(client, server)
    server.forget()
    clock.now += 300

    assert ask_ten_at_once(client, server) == ["{}"] * 10
    assert ask_ten_at_once(client, server) == ["{}"] * 10

    assert (server.opened, len(server.asked)) == (20, 30)


def test_who_is_being_answered_through_a_pause_is_left_alone(
    client: Any, server: DroppingServer, clock: StoppedClock
) -> None:
    server.meet(2)
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(ask, client)
        server.wait_until_asked(1)
        clock.now += 300

        assert [ask(client), slow.result()] == ["{}", "{}"]


def test_a_client_that_is_told_nothing_else_goes_by_the_wall_s_clock(
    server: DroppingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, now = aws.client("secretsmanager", ONE_TRY), time.time
    ask(client)
    server.forget()
    monkeypatch.setattr(time, "time", lambda: now() + aws.LONGEST_IDLE + 1)

    assert ask(client) == "{}"


def test_without_a_pause_a_connection_is_used_again(client: Any, server: DroppingServer, clock: StoppedClock) -> None:
    for _ in range(5):
        ask(client)
        clock.now += aws.LONGEST_IDLE

    assert server.opened == 1


def test_a_clock_that_was_set_back_tells_nothing_of_the_pause(
    client: Any, server: DroppingServer, clock: StoppedClock
) -> None:
    ask(client)
    clock.now -= 3600
    ask(client)

    assert server.opened == 2


@each_death
@pytest.mark.parametrize("patience", [aws.QUICK, aws.PATIENT], ids=["quick", "patient"])
def test_without_a_pause_a_connection_that_died_unseen_costs_an_attempt(
    server: DroppingServer, clock: StoppedClock, death: Death, patience: Config
) -> None:
    client = aws.client("secretsmanager", patience, clock)
    ask(client)
    server.forget(death)

    assert ask(client) == "{}"


def test_who_has_one_attempt_depends_on_the_pause(client: Any, server: DroppingServer) -> None:
    ask(client)
    server.forget()

    with pytest.raises(ConnectionClosedError):
        ask(client)


def test_between_two_readings_of_a_secret_lies_a_pause() -> None:
    assert min(secrets.FRESH_SECONDS, secrets.READ_AGAIN_SECONDS) > aws.LONGEST_IDLE


@pytest.mark.parametrize("patience", [aws.QUICK, aws.PATIENT], ids=["quick", "patient"])
def test_each_thread_finds_a_connection_to_use_again(server: DroppingServer, patience: Config) -> None:
    most = aws.client("dynamodb", patience).meta.config.max_pool_connections

    assert most >= max(batch.PARALLEL, recheck.PARALLEL, digest.PARALLEL)


def test_no_function_has_a_client_of_another_make() -> None:
    code = [*ROOT.glob("functions/*/*.py"), *ROOT.glob("layers/invoicekey/python/invoicekey/**/*.py")]

    assert [
        path.name for path in code if re.search(r"^import (boto3|botocore\.session)$", path.read_text(), re.MULTILINE)
    ] == ["aws.py"]
