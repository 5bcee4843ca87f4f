"""Nothing that a customer typed leaves VTEX: all functions live through every outcome, on orders full of typed text.

Two marks are looked for. `TYPED` stands in every text of an order but for the few that the contract shows, and behind
the 64 characters to which those are cut: it may be nowhere. `SHOWN` stands at the beginning of those few (the invoice's
number, the key as it came): records, alerts and the ledger may hold it, and neither a log nor a metric may.
"""

import io
import json
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest

from invoicekey.ledger.entries import Ledger
from invoicekey.ledger.lists import Backlog
from invoicekey.ledger.registrations import RegistrationStates
from invoicekey.messages import summary
from invoicekey.messages.fields import RecordType
from invoicekey.messages.links import Links, Target
from invoicekey.rules.verdict import Outcome
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import Unforeseen
from invoicekey.vtex.client import Vtex
from invoicekey.vtex.feed import Feed
from invoicekey.vtex.subscriptions import Configurations
from invoicekey.work import check, desk_list, receive
from invoicekey.work.desk import Desk
from local.events import sample
from local.vtex_simulator import Fault
from tests.desk import ACCOUNT, DESK_KEY, DESK_URL
from tests.figures import hear_the_log, metrics_in
from tests.ledger_writer import change, end_leases, key_of
from tests.orders import KEY, PERSONAL, sale
from tests.whole_stack import HOOK_SECRET, ROOT, WholeStack, notification, whole_stack

TYPED, SHOWN = "canary-of-a-customer", "canary-of-an-invoice"
NOTE = "canary-of-a-note"
"""What an operator typed on the desk: kept with the order, and in nothing that is logged."""
WIDTH = 64
READ_AS_THEY_ARE = frozenset({
    "orderId", "hostname", "status", "affiliateId", "type", "invoiceNumber", "invoiceKey", "marketplaceOrderId",
    "invoicedDate",
})  # fmt: skip
"""Of an order: what decides on the outcome, and what is shown by contract."""
CNOVA_APP = {"customApps": [{"id": "CN-Viavarejo-Integration", "major": 1, "fields": {"comment": TYPED}}]}


@dataclass
class Came:
    """What came out of the functions."""

    log: str = ""
    records: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    operations: list[dict[str, Any]] = field(default_factory=list)
    items: list[dict[str, Any]] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.splitlines()]


def typed_over(value: Any, name: str = "") -> Any:
    """Return a document in which every text begins with what a customer typed, but for what is read as it is."""
    match value:
        case dict():
            return {key: typed_over(member, key) for key, member in value.items()}
        case list():
            return [typed_over(member, name) for member in value]
        case str() | None if name not in READ_AS_THEY_ARE:
            return f"{TYPED} {value or ''}"
        case _:
            return value


def shown(text: str) -> str:
    """Return a field's text that is shown cut: what is behind the cut is a customer's."""
    return f"{text} {SHOWN}".ljust(WIDTH, ".") + TYPED


def nfe() -> str:
    """Return an invoice's XML, which names its customer."""
    return f'<NFe><infNFe Id="NFe{KEY}"><dest><xNome>{TYPED}</xNome></dest><obs>{TYPED}</obs></infNFe></NFe>'


def packages() -> dict[str, dict[str, Any]]:
    """Return sale invoices that fail in every way in which a field that somebody typed plays a part."""
    xml = nfe()
    return {
        "missing": sale(shown("1"), None, embeddedInvoice=xml),
        "malformed": sale(shown("2"), shown("3526")),
        "xml-in-the-key": sale(shown("3"), xml),
        "escaped-xml-in-the-key": sale("4", escape(xml)),
        "xml-in-the-number": sale(xml, None),
        "object-in-the-key": sale("5", {"customer": TYPED}),
        "list-in-the-key": sale("6", [TYPED]),
        "check-digit": sale(shown("7"), KEY[:-1] + "3"),
        "number-mismatch": sale("8", KEY, courier=None, trackingNumber=None),
    }


def invoice(stack: WholeStack, order_id: str, *invoices: dict[str, Any], **changes: Any) -> None:
    """Put an order into VTEX in which every text is typed."""
    order = sample("order") | PERSONAL | {"packageAttachment": {"packages": list(invoices)}}
    order = typed_over(order) | {"customData": CNOVA_APP, "marketplaceOrderId": shown("975102-01")}
    order |= {"invoicedDate": shown("2026-03-03T14:54:00")}
    stack.vtex.put_order(order | {"orderId": order_id, "hostname": ACCOUNT} | changes)


def live(stack: WholeStack) -> Iterator[str]:
    """Let the functions live through every outcome; what an HTTP answer holds is yielded."""
    stack.run("guard_hook")
    of_the_hook(stack)
    of_outcomes(stack)
    of_endings(stack)
    of_troubles(stack)
    of_a_burst(stack)
    yield from of_the_desk(stack)
    stack.run("recheck_failures", all=True)
    stack.vtex.put_feed_event(ACCOUNT, "VVJ-missing-01")
    stack.run("drain_feed")
    end_leases(stack)
    stack.run("send_digest")
    stack.run("send_digest", reminder=True, scheduled=datetime.now(UTC).isoformat())
    of_faults_of_ours(stack)


def of_the_hook(stack: WholeStack) -> None:
    """Let notifications come, with texts in every field that VTEX does not document."""
    said = notification("VVJ-missing-01") | {"Domain": TYPED, "State": TYPED, "LastState": TYPED, "comment": TYPED}
    bodies = [
        said,
        said | {"OrderId": "canary/of an order's id"},
        said | {"Origin": {"Account": TYPED.upper(), "Key": TYPED}},
        said | {"OrderId": None},
        [TYPED],
    ]
    for headers in ({"x-hook-secret": HOOK_SECRET, "x-comment": TYPED}, {"x-hook-secret": TYPED}):
        for body in bodies:
            request = {"requestId": "request"}
            stack.run("receive_hook", headers=headers, requestContext=request, body=json.dumps(body))
    stack.check_messages([{"messageId": "m-malformed", "body": json.dumps({"comment": TYPED})}])


def of_outcomes(stack: WholeStack) -> None:
    """Check orders of every outcome, and of every fault that a typed field can make."""
    for name, package in packages().items():
        invoice(stack, f"VVJ-{name}-01", package)
    invoice(stack, "VVJ-ok-01", sale("644002", key_of("644002"), trackingNumber=TYPED, courier=TYPED))
    invoice(stack, "VVJ-reused-01", sale("9"), sale("10"))
    invoice(stack, "VVJ-waiting-01")
    invoice(stack, "VVJ-not-invoiced-01", status="handling")
    invoice(stack, "VVJ-odd-status-01", packages()["missing"], status=shown("on its way"))
    invoice(stack, "VVJ-canceled-01", packages()["missing"], status="canceled")
    back = sale("10", None, type="Input")
    invoice(stack, "VVJ-returned-01", sale("11", None), back)
    # One app less and the affiliate's id another: an order that smells of CNova alone.
    invoice(stack, "VVJ-suspect-01", sale(), customData=None, affiliateId=TYPED, marketplace={"name": "Casas Bahia"})
    for order_id in stack.vtex._orders:
        stack.check(order_id)


def of_endings(stack: WholeStack) -> None:
    """Let failures be mended, canceled, dismissed, deleted at VTEX, and let one expire."""
    names = ("mended", "then-canceled", "dismissed", "deleted", "expired")
    for name in names:
        invoice(stack, f"VVJ-{name}-01", packages()["missing"])
        stack.check(f"VVJ-{name}-01")
    invoice(stack, "VVJ-mended-01", sale("644001", key_of("644001")))
    invoice(stack, "VVJ-then-canceled-01", status="canceled")
    stack.vtex.fail(Fault("status", order_id="VVJ-deleted-01", status=404, times=2))
    assert stack.desk.run(f"dismiss VVJ-dismissed-01 --account {ACCOUNT} --reason '{NOTE}'").code == 0
    long_ago = (datetime.now(UTC) - timedelta(days=31)).isoformat()
    change(f"order#{ACCOUNT}#VVJ-expired-01", "SET followed_from = :to, opened_at = :to", long_ago)
    for name in names:
        stack.check(f"VVJ-{name}-01")


def of_a_burst(stack: WholeStack) -> None:
    """Let more orders fail than are told of one by one: the digest tells of the others."""
    for number in range(10):
        invoice(stack, f"VVJ-many-{number}", packages()["malformed"])
        stack.check(f"VVJ-many-{number}")


def of_troubles(stack: WholeStack) -> None:
    """Let VTEX answer badly, AWS be out of reach, and our own code fail with what it read in its error's text."""
    for kind in ("status", "login_page", "truncated_json", "wrong_order", "empty_object", "drop_midway", "oversized"):
        stack.vtex.fail(Fault(kind, order_id="VVJ-missing-01", times=1, status=500))
        assert stack.check("VVJ-missing-01") == ["m-VVJ-missing-01"]
        stack.functions.clear()  # a new environment, which remembers no back-off
    with stack.without_record_topic():
        invoice(stack, "VVJ-unsent-01", packages()["malformed"])
        stack.check("VVJ-unsent-01")
    with stack.without_alert_topic():
        invoice(stack, "VVJ-unalerted-01", packages()["malformed"])
        stack.check("VVJ-unalerted-01")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "judge", failing_with_what_it_got)
        assert stack.check("VVJ-missing-01") == ["m-VVJ-missing-01"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Vtex, "read_order", failing_with_what_it_got)
        assert stack.check("VVJ-missing-01") == ["m-VVJ-missing-01"]


def of_the_desk(stack: WholeStack) -> Iterator[str]:
    """Open pages and act on them, with typed text wherever a form or an address takes it."""
    links = Links(DESK_URL, [DESK_KEY])
    order, account = links.token(Target(ACCOUNT, "VVJ-missing-01")), links.token(Target(ACCOUNT))
    for token, query in ((order, ""), (account, f"q={NOTE}"), (account, "format=csv"), (account, f"state={NOTE}")):
        yield asked(stack, "GET", token, query)
    for form in ({"act": NOTE}, {"act": "snooze", "until": NOTE}, {"act": "dismiss", "reason": NOTE, "note": NOTE}):
        asked(stack, "POST", order, "", urlencode(form))
    asked(stack, "GET", NOTE, NOTE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk_list.Filters, "of", failing_with_what_it_got)
        yield asked(stack, "GET", account, f"q={NOTE}&{TYPED}={SHOWN}")


def of_faults_of_ours(stack: WholeStack) -> None:
    """Let our own code fail in every function, in an account's turn and outside of all turns."""
    invoice(stack, "VVJ-untold-01", packages()["missing"])
    stack.check("VVJ-untold-01")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Configurations, "hook", failing_with_what_it_got)
        stack.run("guard_hook")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Feed, "read", failing_with_what_it_got)
        stack.run("drain_feed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summary, "reminder", failing_with_what_it_got)
        die(stack, "send_digest", reminder=True)
    event = {"headers": {"x-hook-secret": HOOK_SECRET}, "body": json.dumps(notification("VVJ-untold-01"))}
    message = {"messageId": "m", "body": event["body"]}
    for owner, name, function, given in (
        (receive, "is_watched", "receive_hook", event),
        (Ledger, "read", "check_invoice", {"Records": [message]}),
        (Backlog, "followed", "recheck_failures", {}),
        (RegistrationStates, "read", "drain_feed", {}),
        (RegistrationStates, "read", "guard_hook", {}),
        (Backlog, "deferred", "send_digest", {}),
        (Desk, "answer", "desk", {"requestContext": {"http": {"method": "GET"}}}),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, failing_with_what_it_got)
            die(stack, function, **given)


def die(stack: WholeStack, function: str, **event: Any) -> None:
    """Let a function die, and Lambda's runtime log it: the error with its text, and more of it than Lambda logs."""
    with pytest.raises(Unforeseen) as raised:
        stack.run(function, **event)
    line = {"died": function, "errorMessage": "".join(traceback.format_exception(raised.value))}
    sys.stdout.write(json.dumps(line) + "\n")


def failing_with_what_it_got(*given: object, **named: object) -> None:
    """Fail as a library does that shows what it could not take."""
    raise TypeError(f"cannot take {TYPED} {SHOWN} {NOTE}: {given!r} {named!r}")


def asked(stack: WholeStack, method: str, token: str, query: str, body: str | None = None) -> str:
    """Ask the desk; return the answer as text."""
    request = {"http": {"method": method}}
    answer = stack.run("desk", requestContext=request, pathParameters={"token": token}, rawQueryString=query, body=body)
    return str(answer["body"])


@pytest.fixture(scope="module")
def came() -> Came:
    """Let it all happen once; each test looks at one of the ways out."""
    out = io.StringIO()
    with whole_stack() as stack, pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        hear_the_log(patch)
        secret = boto3.client("secretsmanager").create_secret(
            Name="desk", SecretString=json.dumps({"current": DESK_KEY})
        )
        patch.setenv("DESK_SECRET_ARN", secret["ARN"])
        patch.setenv("ALERT_BURST", "20")
        patch.setattr(telemetry.figures, "_names", telemetry.METRICS | telemetry.MORE_METRICS)
        came = Came(pages=list(live(stack)))
        came.log = out.getvalue()
        came.items = stack.items()
        came.records = stack.taken("FailureQueueUrl")
        came.alerts = stack.alerts()
        came.operations = stack.taken("operations")
    return came


def test_no_line_of_a_log_holds_it(came: Came) -> None:
    assert [line for line in came.lines if any(mark in json.dumps(line) for mark in (TYPED, SHOWN, NOTE))] == []


def test_no_metric_is_named_by_it_or_has_it_for_a_dimension(came: Came) -> None:
    written = metrics_in(came.log)
    assert {metric.name for metric in written} <= telemetry.METRICS | telemetry.MORE_METRICS
    assert [metric.dimensions for metric in written if metric.dimensions.keys() - {"service"}] == []


def test_no_message_to_people_or_machines_and_no_page_holds_what_a_customer_typed(came: Came) -> None:
    for sent in (came.records, came.alerts, came.operations, came.pages):
        assert TYPED not in json.dumps(sent)


def test_the_ledger_holds_nothing_that_a_customer_typed(came: Came) -> None:
    assert [item["pk"] for item in came.items if TYPED in json.dumps(item)] == []


def test_of_what_was_typed_a_record_shows_the_fields_of_the_contract_alone(came: Came) -> None:
    places = {place for record in came.records for place in places_of(SHOWN, json.loads(record["Body"]))}
    assert places == {
        "data.marketplace_order_id", "data.invoiced_at", "data.order_status",
        "data.problems.invoice_number", "data.problems.invoice_key",
    }  # fmt: skip
    assert [record for record in came.records if SHOWN in json.dumps(record["MessageAttributes"])] == []


def test_what_filters_and_lists_of_mails_are_made_of_holds_nothing_typed(came: Came) -> None:
    """An alert's subject and attributes; what is said in its text is the business of tests/unit/test_alert.py."""
    assert came.alerts
    for alert in came.alerts:
        assert NOTE not in json.dumps(alert)
        assert SHOWN not in json.dumps(alert["MessageAttributes"])


def test_all_outcomes_kinds_of_reports_and_troubles_were_lived_through(came: Came) -> None:
    """The other tests say nothing of what did not happen."""
    assert {line["outcome"] for line in came.lines if line.get("outcome")} == set(Outcome)
    assert {json.loads(record["Body"])["type"] for record in came.records} == set(RecordType)
    kinds = {alert["MessageAttributes"]["type"]["Value"] for alert in came.alerts}
    assert kinds == {"failing", "resolved", "expired", "digest", "reminder", "operations"}
    failed = Counter(line["message"] for line in came.lines if line.get("error") == "TypeError")
    assert failed == {
        "a check failed unexpectedly": 2,
        "the desk failed": 1,
        "a turn failed unexpectedly": 4,
        "a summary failed unexpectedly": 1,
        "the function failed unexpectedly": 7,
    }
    assert {line["died"] for line in came.lines if line.get("died")} == {
        path.stem for path in ROOT.glob("functions/*/*.py")
    }
    assert len({line["retry"] for line in came.lines if line.get("retry")}) >= 7
    assert any(SHOWN in page for page in came.pages)


def places_of(mark: str, value: Any, place: str = "") -> Iterator[str]:
    """Yield the names of the fields, joined by dots, in which a mark stands."""
    match value:
        case dict():
            for name, member in value.items():
                yield from places_of(mark, member, f"{place}.{name}" if place else name)
        case list():
            for member in value:
                yield from places_of(mark, member, place)
        case _ if mark in str(value):
            yield place
        case _:
            return
