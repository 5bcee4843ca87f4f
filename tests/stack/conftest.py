"""One deployed stack for all tests here: the emulator with IAM enforced, the VTEX simulator, the real template."""

import json
import os
from collections.abc import Iterator

import pytest

from local import events, processes
from local.stack import STATE, VTEX_CREDENTIALS, LocalStack
from local.watch import Watch
from tests.stack.shop import ADDED, OWN_PLACE, STRANGER, WITH_CREDENTIALS, Shop, app_key

ALERT_BURST = 60
"""More than the other tests send within fifteen minutes; the storm is larger."""
PARAMETERS = {
    **events.PARAMETERS,
    "VtexAccounts": ",".join([*WITH_CREDENTIALS, STRANGER, OWN_PLACE, ADDED]),
    "VtexRequestsPerMinute": "6000",
    "MaximumConcurrency": "3",
    "RetryBaseSeconds": "1",
    "InvoiceGraceSeconds": "12",
    "AlertBurst": str(ALERT_BURST),
    "ChatAlerts": "yes",
}


@pytest.fixture(scope="session")
def stack() -> Iterator[LocalStack]:
    emulator_port, vtex_port = processes.free_ports(2)
    home = STATE / f"tests-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    with LocalStack(emulator_port, vtex_port, home, PARAMETERS, hook_secret=events.HOOK_SECRET) as running:
        running.client("secretsmanager").put_secret_value(
            SecretId=running.outputs["VtexCredentialsSecretArn"],
            SecretString=json.dumps(
                {account: {**VTEX_CREDENTIALS, "app_key": app_key(account)} for account in WITH_CREDENTIALS}
            ),
        )
        running.vtex("PUT", "orders", [events.order_document(case) for case in events.ORDERS])
        yield running


@pytest.fixture(scope="session")
def watch(stack: LocalStack) -> Watch:
    return Watch(stack)


@pytest.fixture
def shop(stack: LocalStack) -> Iterator[Shop]:
    shop = Shop(stack)
    yield shop
    shop.behave()
