"""What stands around the drain and the guard: the simulator's VTEX, and in memory a table, a queue, the topics.

The stand-ins have the methods that are used of what they stand in for, keep what they were told, and fail on demand.
"""

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx

from invoicekey.delivery.queues import Event, HookQueue
from invoicekey.delivery.topics import Topics
from invoicekey.ledger.accounts import Account
from invoicekey.ledger.table import Item, Table
from invoicekey.messages.notices import Notice
from invoicekey.runtime.errors import RetryLater
from invoicekey.runtime.secrets import Credentials, vtex_credentials
from invoicekey.vtex.client import RateLimiter, Vtex
from local.vtex_simulator import VtexSimulator

AS_FAST_AS_IT_GOES = 999_999_999
"""As many requests a minute as can be set."""
SHOP, OTHER = "luxstore", "other"


def app_key(account: str = SHOP) -> str:
    """Return an account's appKey."""
    return f"vtexappkey-{account}-HUSH"


def headers(account: str = SHOP) -> dict[str, str]:
    """Return what an account's requests carry."""
    return {"X-VTEX-API-AppKey": app_key(account), "X-VTEX-API-AppToken": f"HUSH-{account}"}


def put_feed(simulator: VtexSimulator, config: Mapping[str, Any], account: str = SHOP) -> None:
    """Configure the feed of an account's appKey, and forget that it was asked for."""
    url = f"{simulator.url}/{account}/api/orders/feed/config"
    httpx.post(url, json=config, headers=headers(account)).raise_for_status()
    simulator.requests.clear()


def credentials(account: str) -> Credentials:
    """Return the credentials of any account but `nobody`."""
    pair = {"app_key": app_key(account), "app_token": f"HUSH-{account}"}
    return vtex_credentials({} if account == "nobody" else {account: pair}, account)


def accounts(*names: str, **own: Any) -> dict[str, Account]:
    """Return accounts as they are served, all with the same things of their own."""
    return {name: Account(name, **own) for name in names}


def a_vtex(url: str, **more: Any) -> Vtex:
    """Return a client of the simulator, in no hurry to wait."""
    return Vtex(url + "/{account}", credentials, more.pop("limiter", None) or RateLimiter(AS_FAST_AS_IT_GOES), **more)


def a_vtex_that_answers(document: object) -> Vtex:
    """Return a client to which every answer is this document, with 200."""
    content, as_json = json.dumps(document), {"content-type": "application/json"}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=content, headers=as_json))
    return a_vtex("http://localhost", transport=transport)


def import_afresh(path: Path) -> ModuleType:
    """Import an entry file as a new environment of its function does."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class MemoryTable(Table):
    """A table without conditions. `trouble` says which operation raises what."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.trouble: dict[str, Exception] = {}
        self.written: list[str] = []

    def get(self, keys: Sequence[str]) -> dict[str, Item]:
        """Read what there is of at most a hundred."""
        self._fail("get")
        if len(keys) > 100:
            raise ValueError("DynamoDB reads 100 items at once")
        return {key: self.items[key] for key in keys if key in self.items}

    def put(self, item: Item, condition: str | None = None, **values: object) -> None:
        """Keep it."""
        self._fail("put")
        self.items[item["pk"]] = item
        self.written.append(item["pk"])

    def _fail(self, operation: str) -> None:
        if operation in self.trouble:
            raise self.trouble[operation]


class MemoryQueue(HookQueue):
    """A hook queue that takes the events whose order is not in `refused`, and nothing while `is_down`."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.batches: list[int] = []
        self.refused: set[str] = set()
        self.is_down = False
        self.meanwhile: Callable[[], object] = lambda: None

    def send(self, events: Sequence[Event]) -> list[Event]:
        """Take what is not refused."""
        self.batches.append(len(events))
        self.meanwhile()
        taken = [e for e in events if not self.is_down and json.loads(e.body)["OrderId"] not in self.refused]
        self.events += taken
        return taken

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """List what was queued."""
        return [json.loads(event.body) for event in self.events]

    @property
    def order_ids(self) -> list[str]:
        """List the orders of what was queued."""
        return [body["OrderId"] for body in self.bodies]


@dataclass
class MemoryTopics(Topics):
    """Topics by ARN, with who listens to them; `trouble` is raised while there is any."""

    listeners: dict[str, int] = field(default_factory=dict)
    told: list[tuple[str, Notice, str | None]] = field(default_factory=list)
    trouble: RetryLater | None = None

    def has_confirmed_subscription(self, arn: str) -> bool:
        """Say whether anybody listens."""
        if self.trouble:
            raise self.trouble
        return self.listeners[arn] > 0

    def publish(self, arn: str, notice: Notice, *accounts: str) -> None:
        """Keep it, and which accounts it is about."""
        if self.trouble:
            raise self.trouble
        self.told.append((arn, notice, ", ".join(accounts) or None))


@dataclass
class Figures:
    """What was counted: put in place of `telemetry.count`."""

    counted: list[tuple[str, float]] = field(default_factory=list)

    def __call__(self, name: str, number: float = 1) -> None:
        """Count."""
        self.counted.append((name, number))

    @property
    def sums(self) -> Mapping[str, float]:
        """Add up what was counted, by name; what is zero is left out."""
        sums: dict[str, float] = {}
        for name, number in self.counted:
            sums[name] = sums.get(name, 0) + number
        return {name: number for name, number in sums.items() if number and not name.startswith("vtex_")}
