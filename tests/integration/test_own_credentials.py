"""The drain and the guard, of an account whose credentials are in a place of its own, on moto and the simulator."""

from collections.abc import Iterator

import boto3
import pytest

from operations.deployment.credentials import CredentialsPlace
from tests.desk import ACCOUNT
from tests.whole_stack import APP_KEYS, HOOK_URL, WholeStack, whole_stack

OWN_APP_KEY = "vtexappkey-of-its-own"


@pytest.fixture
def stack() -> Iterator[WholeStack]:
    """Let a stack stand in which VTEX takes the account's own appKey, and no more that of the secret."""
    with whole_stack() as stack:
        place = CredentialsPlace(boto3.client("ssm"), "/vtex-credentials/a-shop/", "alias/aws/ssm")
        item = {"pk": f"account#{ACCOUNT}", "version": 1, "list": "accounts", "list_at": ACCOUNT}
        stack.desk.shop.table.put(item | {"credentials": place.put(ACCOUNT, OWN_APP_KEY, "TOKEN")})
        stack.vtex.refused = {APP_KEYS[ACCOUNT]}
        yield stack


def test_the_guard_registers_hook_and_feed_of_its_own_app_key(stack: WholeStack) -> None:
    stack.run("guard_hook")

    assert stack.vtex.hooks[OWN_APP_KEY]["hook"]["url"] == HOOK_URL
    assert OWN_APP_KEY in stack.vtex.feeds


def test_the_drain_reads_the_feed_of_its_own_app_key(stack: WholeStack) -> None:
    stack.run("guard_hook")
    stack.vtex.put_feed_event(ACCOUNT, "VVJ-1-01")

    assert stack.run("drain_feed")["ended"][ACCOUNT] == "empty"
    assert stack.vtex.feeds[OWN_APP_KEY].uncommitted() == []
