"""The desk: ten thousand open failures, narrowed to a page by the product's own parts and by boto3, in this process."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import boto3
from boto3.dynamodb.types import TypeSerializer
from botocore.awsrequest import AWSResponse

from benchmarks.figures import Figure, at_most
from benchmarks.runtime import ACCOUNT, Bench, cores
from invoicekey.ledger.failures import Episode, Failure, FailureLists, Issuer, Shown, State, attributes
from invoicekey.ledger.lists import Backlog
from invoicekey.ledger.table import Table
from invoicekey.messages import pages
from invoicekey.messages.links import Links, Target
from invoicekey.messages.phrases import Words
from invoicekey.rules.notification import OrderRef
from invoicekey.work.desk_list import Filters, Lists

OPEN = 10_000
LAMBDA_CORES = cores(1024)
"""What DeskFunction's memory buys."""
LANGUAGE, TIMEZONE = "pt-BR", "America/Sao_Paulo"
TURNS = 5
PAGE_BYTES = 1_000_000
"""A query answers no more at once."""
QUERIES = ("", "page=200", "q=643797", "problem=malformed&age=3&key=1")
NOTES = (
    f"The desk's list: a page of an account with {OPEN:,} open failures, from the bytes that DynamoDB answers to HTML; "
    f"the dearest of {len(QUERIES)} ways to narrow it, the median of {TURNS} turns. Computed from the core's seconds "
    f"that it took here: the function's 1,024 MB buy {LAMBDA_CORES:.2f} of one. To that comes DynamoDB's own time, for "
    "four or five pages of a megabyte one after the other.",
)


def measure_list(_: Bench) -> list[Figure]:
    """Measure the list of ten thousand."""
    print(f"desk: a list of {OPEN:,}", flush=True)
    answers = list(_answers())
    taken = {query: _median(answers, query) for query in QUERIES}
    dearest = max(taken, key=lambda query: taken[query])
    return [
        at_most(
            f"desk list of {OPEN:,} at 1,024 MB, computed",
            f"{taken[dearest]:.2f} s of a core here ({dearest or 'not narrowed'})",
            taken[dearest] / LAMBDA_CORES,
            1,
            " s",
        )
    ]


def _median(answers: list[bytes], query: str) -> float:
    times = []
    for _ in range(TURNS):
        began = time.process_time()
        _page(answers, query)
        times.append(time.process_time() - began)
    return sorted(times)[TURNS // 2]


def _page(answers: list[bytes], query: str) -> str:
    table, now = Table(_client(iter(answers)), "ledger"), datetime.now(UTC)
    lists, links = Lists(FailureLists(table), Backlog(table), LANGUAGE, TIMEZONE), Links("", ["a key"])
    page = lists.page(
        ACCOUNT, Filters.of(parse_qs(query)), now, lambda order_id: links.token(Target(ACCOUNT, order_id))
    )
    if not page.rows:
        raise SystemExit(f"the list has no row for {query!r}")
    return pages.list_page(page, Words(LANGUAGE))


def _client(answers: Iterator[bytes]) -> Any:
    """Make a client of DynamoDB to whose queries these are the answers, and after them that there is nothing."""
    client = boto3.client("dynamodb", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")

    no_headers: Any = {}

    def answer(**_: object) -> Any:
        return AWSResponse("", 200, no_headers, _Raw(next(answers, b'{"Items": [], "Count": 0}')))

    client.meta.events.register("before-send.dynamodb.Query", answer)
    return client


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self._body


def _answers() -> Iterator[bytes]:
    """Yield the pages that a query of the open failures gets."""
    page: list[dict[str, Any]] = []
    size = 0
    for number in range(OPEN):
        item = _item(number)
        page.append(item)
        size += len(json.dumps(item))
        if size > PAGE_BYTES:
            yield json.dumps({"Items": page, "Count": len(page), "LastEvaluatedKey": {"pk": item["pk"]}}).encode()
            page, size = [], 0
    yield json.dumps({"Items": page, "Count": len(page)}).encode()


def _item(number: int) -> dict[str, Any]:
    serialize = TypeSerializer().serialize
    opened_at = datetime.now(UTC) - timedelta(days=20) + timedelta(minutes=number)
    key = None if number % 3 else "35260311222333000181550010006438111732194050"
    error = Shown("malformed" if key else "missing", str(640_000 + number), bool(key), key)
    failure = Failure(
        OrderRef(ACCOUNT, f"VVJ-{970_000 + number}-01"),
        State.OPEN,
        opened_at,
        errors=(error,),
        marketplace_order_id=f"{970_000 + number}-01",
        episodes=(Episode(opened_at, (error.code,), (Issuer("11222333000181", 1),), suggested=bool(key)),),
        report=1,
    )
    shown = attributes(failure)
    pk = f"order#{ACCOUNT}#{failure.ref.order_id}"
    return {"pk": serialize(pk), "failures_at": serialize(shown["failures_at"]), "failure": serialize(shown["failure"])}
