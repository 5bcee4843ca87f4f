"""Sample orders and events, one file for each interesting case, and what has to come of each.

`python -m local.events` writes events/ anew from the tables here:

    events/orders     order documents as VTEX answers them, without anybody's data
    events/hooks      hook calls as the HTTP API hands them to ReceiveHookFunction
    events/checks     SQS events for CheckInvoiceFunction
    events/schedules  what the scheduler hands to the other functions

tests/unit/test_events.py holds the files to these tables and the code to what the tables expect. The demo and the tests
of the deployed stack post the same cases. All of it is made up; the shapes are those of VTEX's Orders API. What all
cases share is in local/data: one order, one invoice, one hook call and one message of the queue.
"""

import base64
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

type Json = dict[str, Any]

EVENTS, DATA = Path(__file__).resolve().parent.parent / "events", Path(__file__).resolve().parent / "data"
ACCOUNT = "luxstore"
HOOK_SECRET = "the-hook-secret-of-this-machine-only"
PREVIOUS_HOOK_SECRET = "the-one-before-it"
CNPJ, ALPHANUMERIC_CNPJ = "11222333000181", "12ABC34501DE35"
PARAMETERS: Mapping[str, str] = {
    "VtexAccounts": ACCOUNT,
    "CnovaAffiliateIds": "VVJ",
    "SellerTaxIds": f"{CNPJ},{ALPHANUMERIC_CNPJ}",
}
"""The template's parameters under which the cases come out as the tables say."""

_INVOICED_AT = "2026-11-17T14:54:00.5436574"
_LONG_AGO = datetime(2026, 11, 17, 14, 54, 1, tzinfo=UTC)
_VALUE, _PART, _REST = 10221, 4221, 6000  # of the order in local/data, and of two invoices over it
_NFE = "http://www.portalfiscal.inf.br/nfe"


# ---- What the tables are made of


def sample(name: str) -> Json:
    """Return a document of local/data, which the caller may change."""
    document: Json = json.loads((DATA / f"{name}.json").read_text("utf-8"))
    return document


@dataclass(frozen=True)
class Channel:
    """Where an order was sold, as far as VTEX's order says it."""

    affiliate: str
    app: str | None
    address: str
    name: str


CNOVA = Channel(
    "VVJ", "cn-viavarejo-integration", "http://cnovaintegration.example/api/viavarejointegration", "Casas Bahia"
)
CNOVA_BY_ITS_APP = Channel("CSB", "integration-marketplace-viavarejo", "http://bridge.example/api", "Marketplace")
CNOVA_UNKNOWN_TO_THE_SETTING = Channel("CSB", None, CNOVA.address, "Casas Bahia Marketplace")
ANOTHER_MARKETPLACE = Channel("MBS", None, "http://anotherintegration.example/api", "Another Marketplace")
AMAZON = Channel("MZN", None, "http://yetanotherintegration.example/api", "Amazon")
OWN_SHOP = Channel("", None, f"http://oms.example/api/oms?an={ACCOUNT}", ACCOUNT)


@dataclass(frozen=True)
class OrderCase:
    """An order as VTEX holds it, the state in the notification about it, and what a check has to come to."""

    name: str
    number: str
    holds: str
    """What is in the order, in words, for the demo's table."""
    packages: tuple[Json, ...] | None
    outcome: str
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    suggested_from: str | None = None
    is_suspect: bool = False
    status: str = "invoiced"
    state: str | None = "invoiced"
    channel: Channel = CNOVA
    ending: str = "-01"
    """How the order's id ends: as VTEX ends it, unless the marketplace has a way of its own."""

    @property
    def order_id(self) -> str:
        """Return the order's id at VTEX."""
        prefix = f"{self.channel.affiliate}-" if self.channel.affiliate else "v"
        return f"{prefix}{self.number}{self.ending}"

    @property
    def codes(self) -> list[str]:
        """List the codes of the problems, each once, as the checker's log does."""
        return sorted({*self.errors, *self.warnings})

    @property
    def outcome_after_grace(self) -> str:
        """Return what a later check comes to where the order stays as it is."""
        return "failing" if self.outcome == "waiting" else self.outcome

    @property
    def notification(self) -> Json:
        """Return what VTEX posts about the order."""
        return notification(self.order_id, self.state)


@dataclass(frozen=True)
class HookCase:
    """A hook call, the answer that it has to get, and whether the event is kept for a check."""

    name: str
    says: str
    """What comes, in words, for the demo's table."""
    body: str
    status: int
    is_kept: bool = False
    secret: str | None = HOOK_SECRET
    header: str = "x-hook-secret"
    is_base64: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that the call carries besides the usual ones."""
        return {} if self.secret is None else {self.header: self.secret}


@dataclass(frozen=True)
class CheckCase:
    """A batch of messages of the hook queue, and what has to become of them."""

    name: str
    bodies: tuple[str, ...]
    returned: tuple[int, ...] = ()
    """Which of them go back to the queue."""
    dead: str | None = None
    """The reason, where one goes to the dead-letter queue."""
    sent_at: datetime | None = None
    """When they were queued; None leaves it out, which counts as now."""
    source: str | None = None
    """Where they come from, where that is not the hook."""


def sale(key: object, number: str | None = None, value: int = _VALUE, **changes: object) -> Json:
    """Return a sale invoice; number and date are those of the key where there is one to take them from."""
    parts = key if isinstance(key, str) and len(key) == 44 else ""  # noqa: PLR2004 (an access key)
    number = number or parts[25:34].lstrip("0")
    invoice = sample("invoice")
    invoice["items"][0]["price"] = value
    return invoice | {
        "invoiceNumber": number,
        "invoiceValue": value,
        "trackingNumber": f"AA{number[-6:]}BR",
        "invoiceKey": key,
        **changes,
    }


def sale_back(number: str, value: int = _VALUE) -> Json:
    """Return the invoice of a return."""
    return sale(None, number, value, type="Input", courier=None, trackingNumber=None)


def nfe(key: str) -> str:
    """Return the XML of an authorised NF-e, cut down to what identifies it."""
    return (
        f'<nfeProc xmlns="{_NFE}" versao="4.00"><NFe><infNFe Id="NFe{key}" versao="4.00"><ide><mod>55</mod>'
        f"<tpAmb>1</tpAmb></ide></infNFe></NFe><protNFe><infProt><tpAmb>1</tpAmb><chNFe>{key}</chNFe>"
        "<cStat>100</cStat></infProt></protNFe></nfeProc>"
    )


def canceled_nfe(key: str) -> str:
    """Return the XML of an NF-e and of its cancellation, which the tax office registered."""
    return (
        f"<documentos>{nfe(key)}"
        f'<procEventoNFe xmlns="{_NFE}" versao="1.00"><evento versao="1.00"><infEvento><chNFe>{key}</chNFe>'
        '<tpEvento>110111</tpEvento></infEvento></evento><retEvento versao="1.00"><infEvento><cStat>135</cStat>'
        f"<chNFe>{key}</chNFe><tpEvento>110111</tpEvento></infEvento></retEvento></procEventoNFe></documentos>"
    )


def _in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def notification(order_id: object, state: str | None = "invoiced", account: object = ACCOUNT) -> Json:
    """Return a notification as VTEX posts it for a change of status."""
    return {
        "Domain": "Fulfillment",
        "OrderId": order_id,
        "State": state,
        "LastState": None if state is None else "invoice",
        "LastChange": "2026-11-17T14:53:39.2550122Z",
        "CurrentChange": f"{_INVOICED_AT}Z",
        "Origin": {"Account": account, "Key": f"vtexappkey-{ACCOUNT}-ABCDEF"},
    }


# ---- The cases: orders

ORDERS = (
    OrderCase(
        "good-key", "975101", "a good key",
        (sale("35261111222333000181550010006438011688749236"),), "ok",
    ),
    OrderCase(
        "key-missing", "975102", "no key: null",
        (sale(None, "643802"),), "failing", ("missing",),
    ),
    OrderCase(
        "key-empty", "975103", "no key: an empty text",
        (sale("", "643803"),), "failing", ("missing",),
    ),
    OrderCase(
        "alphanumeric-cnpj", "975104", "a good key, its CNPJ with letters",
        (sale("35261112ABC34501DE35550010006438041138027648"),), "ok",
    ),
    OrderCase(
        "key-with-nfe-prefix-and-spaces", "975105", "a key as copied: “NFe 3526 1111 …”",
        (sale("NFe 3526 1111 2223 3300 0181 5500 1000 6438 0511 2171 2462", "643805"),),
        "failing", ("malformed",), suggested_from="cleaned",
    ),
    OrderCase(
        "key-in-lower-case", "975106", "a key in lower case",
        (sale("35261112abc34501de35550010006438061205682821"),),
        "failing", ("malformed",), suggested_from="cleaned",
    ),
    OrderCase(
        "key-of-an-nfce", "975107", "the key of an NFC-e (model 65)",
        (sale("35261111222333000181650010006438071060514590"),), "failing", ("wrong_model",),
    ),
    OrderCase(
        "key-of-the-carrier", "975108", "the key of a carrier's CT-e (model 57)",
        (sale("35261199888777000100570010000188421391389578", "643808"),), "failing", ("wrong_model",),
    ),
    OrderCase(
        "key-with-a-typing-error", "975109", "a key with one wrong digit",
        (sale("35261111222333000181550010006448111890323852", "643811"),), "failing", ("invalid_check_digit",),
    ),
    OrderCase(
        "key-of-another-issuer", "975110", "a key of another company's invoice",
        (sale("35261144555666000181550010006438121605516925"),), "failing", ("issuer_mismatch",),
    ),
    OrderCase(
        "placeholder-instead-of-a-key", "975111", "“ISENTO” instead of a key",
        (sale("ISENTO", "643813"),), "failing", ("malformed",),
    ),
    OrderCase(
        "xml-instead-of-a-key", "975112", "the whole XML in the key's field",
        (sale(nfe("35261111222333000181550010006438141569026395"), "643814"),),
        "failing", ("malformed",), suggested_from="cleaned",
    ),
    OrderCase(
        "key-missing-xml-has-it", "975113", "no key, but the XML is there",
        (sale(None, "643815", embeddedInvoice=nfe("35261111222333000181550010006438151675831279")),),
        "failing", ("missing",), suggested_from="embedded_invoice",
    ),
    OrderCase(
        "key-missing-address-has-it", "975114", "no key, but the address has it",
        (sale(None, "643816", invoiceUrl="https://nfe.example/c?p=35261111222333000181550010006438161782521050|2|1"),),
        "failing", ("missing",), suggested_from="invoice_url",
    ),
    OrderCase(
        "key-in-the-number-field", "975115", "no key: it is in the number's field",
        (sale(None, "35261111222333000181550010006438171302113952"),),
        "failing", ("missing",), suggested_from="invoice_number",
    ),
    OrderCase(
        "two-invoices-both-good", "975116", "two invoices, two good keys",
        (sale("35261111222333000181550010006438181752307518", value=_REST),
         sale("35261111222333000181550010006438191639977829", value=_PART)), "ok",
    ),
    OrderCase(
        "two-invoices-second-key-missing", "975117", "two invoices, the second keyless",
        (sale("35261111222333000181550010006438201742389331", value=_REST), sale(None, "643821", _PART)),
        "failing", ("missing",),
    ),
    OrderCase(
        "two-invoices-one-reused-key", "975118", "two invoices with the same key",
        (sale("35261111222333000181550010006438221783339953", value=_REST),
         sale("35261111222333000181550010006438221783339953", "643823", _PART)),
        "failing", ("reused", "reused"), ("number_mismatch",),
    ),
    OrderCase(
        "partly-invoiced-second-key-missing", "975119", "partly invoiced, the 2nd invoice keyless",
        (sale("35261111222333000181550010006438241056519298", value=_PART), sale(None, "643825", 1000)),
        "failing", ("missing",), status="payment-approved",
    ),
    OrderCase(
        "returned", "975120", "no key, but all of it came back",
        (sale(None, "643826"), sale_back("1201")), "returned",
    ),
    OrderCase(
        "returned-in-part-key-missing", "975121", "no key, and a part came back",
        (sale(None, "643827"), sale_back("1202", _PART)), "failing", ("missing",),
    ),
    OrderCase(
        "canceled", "975122", "no key, but canceled",
        (sale(None, "643828"),), "canceled", status="canceled",
    ),
    OrderCase(
        "no-invoice-yet", "975123", "invoiced, and no invoice in it yet",
        None, "waiting", ("no_invoice",),
    ),
    OrderCase(
        "only-a-return", "975124", "invoiced, with nothing but a return",
        (sale_back("1203"),), "waiting", ("no_invoice",),
    ),
    OrderCase(
        "state-null", "975125", "in preparation; its event has no state",
        None, "not_invoiced", status="handling", state=None,
    ),
    OrderCase(
        "unknown-state", "975126", "no key; its event says “unknow”",
        (sale(None, "643829"),), "failing", ("missing",), state="unknow",
    ),
    OrderCase(
        "known-by-its-app-alone", "975127", "no key; known for CNova's by its app",
        (sale(None, "643830"),), "failing", ("missing",), channel=CNOVA_BY_ITS_APP,
    ),
    OrderCase(
        "cnova-suspect", "975128", "CNova's, its affiliate id not set here",
        (sale(None, "643831"),), "other_marketplace", is_suspect=True, channel=CNOVA_UNKNOWN_TO_THE_SETTING,
    ),
    OrderCase(
        "other-marketplace", "1343130745868", "another marketplace's, no key",
        (sale(None, "643832"),), "other_marketplace", channel=ANOTHER_MARKETPLACE,
    ),
    OrderCase(
        "order-id-of-amazon", "701-234567", "Amazon's, its id ends in _DBA",
        (sale(None, "643839"),), "other_marketplace", channel=AMAZON, ending="_DBA",
    ),
    OrderCase(
        "own-shop", "5195004lux", "the shop's own, no key",
        (sale(None, "643833"),), "other_marketplace", channel=OWN_SHOP,
    ),
    OrderCase(
        "good-key-no-tracking", "975129", "a good key, neither tracking nor carrier",
        (sale("35261111222333000181550010006438341596184896", trackingNumber=None, courier=None),),
        "ok", (), ("tracking_missing", "courier_missing"),
    ),
    OrderCase(
        "escaped-xml-instead-of-a-key", "975130", "the XML in the key's field, escaped",
        (sale(escape(nfe("35261111222333000181550010006438351152748603")), "643835"),),
        "failing", ("malformed",), suggested_from="cleaned",
    ),
    OrderCase(
        "key-missing-xml-in-base64-has-it", "975131", "no key, but the XML is there, in base64",
        (sale(None, "643836", embeddedInvoice=_in_base64(nfe("35261111222333000181550010006438361163907144"))),),
        "failing", ("missing",), suggested_from="embedded_invoice",
    ),
    OrderCase(
        "key-missing-note-canceled", "975132", "no key, and the XML's note is canceled",
        (sale(None, "643837", embeddedInvoice=canceled_nfe("35261111222333000181550010006438371104582134")),),
        "failing", ("missing",),
    ),
    OrderCase(
        "one-invoice-in-two-parts", "975133", "one invoice in two parts: -1 and /2",
        (sale("35261111222333000181550010006438381120877450", "643838-1", _REST),
         sale("35261111222333000181550010006438381120877450", "643838/2", _PART)),
        "ok", (), ("unsafe_number",),
    ),
)  # fmt: skip

BY_NAME: Mapping[str, OrderCase] = {case.name: case for case in ORDERS}
UNKNOWN_ORDER_ID = "VVJ-975199-01"
RIGHT_KEY = "35261111222333000181550010006438021099648505"
"""What a person puts into the order of `key-missing` to mend it."""

# ---- The cases: hook calls, the answers of the hook endpoint row by row

_PING = json.dumps({"hookConfig": "ping"})
_ID = BY_NAME["key-missing"].order_id


def _body(order_id: object = _ID, state: str | None = "invoiced", account: object = ACCOUNT) -> str:
    return json.dumps(notification(order_id, state, account))


HOOKS = (
    HookCase("invoiced", "an invoiced order", _body(), 200, is_kept=True),
    HookCase("invoiced-mixed-case-header", "a header in any case", _body(), 200, is_kept=True, header="X-Hook-Secret"),
    HookCase("invoiced-body-in-base64", "its body in base64", _body(), 200, is_kept=True, is_base64=True),
    HookCase("invoiced-previous-secret", "the old secret", _body(), 200, is_kept=True, secret=PREVIOUS_HOOK_SECRET),
    HookCase("state-null", "a state that is null", _body(state=None), 200, is_kept=True),
    HookCase("unknown-state", "the state “unknow”", _body(state="unknow"), 200, is_kept=True),
    HookCase("state-not-watched", "a state that is not watched", _body(state="handling"), 200),
    HookCase("order-id-with-a-path", "a path for an order id", _body("../../../../crm/pvt/profile"), 200),
    HookCase("order-id-that-is-a-sequence", "a sequence for an order id", _body("seq501456"), 200),
    HookCase("ping", "VTEX's ping", _PING, 200),
    HookCase("ping-without-secret", "VTEX's ping, without the secret", _PING, 200, secret=None),
    HookCase("no-secret", "no secret", _body(), 401, secret=None),
    HookCase("empty-secret", "an empty secret", _body(), 401, secret=""),
    HookCase("wrong-secret", "a wrong secret", _body(), 401, secret="a-guess"),
    HookCase("malformed-body", "half a JSON document", _body()[:-20], 400),
    HookCase("body-that-is-a-list", "a list of notifications", f"[{_body()}]", 400),
    HookCase("order-id-absent", "no order id", _body(None), 400),
    HookCase("unknown-account", "an account that is not taken", _body(account="anothershop"), 403),
    HookCase("account-absent", "no account", _body(account=None), 403),
)  # fmt: skip

# ---- The cases: batches of the hook queue

_UNKNOWN_ORDER = _body(UNKNOWN_ORDER_ID)


def _message(name: str) -> str:
    return json.dumps(BY_NAME[name].notification)


_RECHECK = json.dumps({"OrderId": BY_NAME["key-missing"].order_id, "Origin": {"Account": ACCOUNT}})
CHECKS = (
    *(CheckCase(case.name, (_message(case.name),), (0,) if case.outcome == "waiting" else ()) for case in ORDERS),
    CheckCase("no-invoice-after-the-grace", (_message("no-invoice-yet"),), sent_at=_LONG_AGO),
    CheckCase("order-not-found", (_UNKNOWN_ORDER,), returned=(0,)),
    CheckCase("order-not-found-after-the-grace", (_UNKNOWN_ORDER,), dead="not_found", sent_at=_LONG_AGO),
    CheckCase("malformed-body", (_body()[:-20],), dead="malformed"),
    CheckCase("order-id-that-is-a-sequence", (_body("seq501456"),)),
    CheckCase("one-order-twice", (_message("key-missing"), _message("key-missing"))),
    CheckCase(
        "batch-of-five",
        (*(_message(name) for name in ("good-key", "key-missing", "no-invoice-yet", "returned")), "not a notification"),
        returned=(2,), dead="malformed",
    ),
    CheckCase("from-the-feed", (_message("key-missing"),), source="feed"),
    CheckCase("read-again", (_RECHECK,), source="recheck"),
)  # fmt: skip
SCHEDULES: Mapping[str, Json] = {
    "recheck-what-is-due": {},
    "recheck-all": {"all": True},
    "drain-feed": {},
    "guard-hook": {},
    "send-digest": {},
    "send-reminder": {"reminder": True},
}
"""What RecheckFailuresFunction, DrainFeedFunction, GuardHookFunction and SendDigestFunction are called with."""


# ---- The files


def files() -> dict[str, Json]:
    """Return every file of events/ by its path there."""
    return {
        **{f"orders/{case.name}.json": order_document(case) for case in ORDERS},
        **{f"hooks/{case.name}.json": hook_event(case) for case in HOOKS},
        **{f"checks/{case.name}.json": check_event(case) for case in CHECKS},
        **{f"schedules/{name}.json": event for name, event in SCHEDULES.items()},
    }


def text(document: Json) -> str:
    """Return a document as its file holds it."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def hook_event(case: HookCase) -> Json:
    """Return a call as the HTTP API hands it over (payload format 2.0)."""
    call = sample("hook-call")
    call["headers"] |= case.headers
    call["requestContext"]["requestId"] = _id("hook", case.name)
    body = base64.b64encode(case.body.encode()).decode() if case.is_base64 else case.body
    return call | {"body": body, "isBase64Encoded": case.is_base64}


def check_event(case: CheckCase) -> Json:
    """Return a batch as SQS hands it over; without SentTimestamp where the messages are to count as new."""
    sent = {} if case.sent_at is None else {"SentTimestamp": str(_milliseconds(case.sent_at))}
    source = {"source": {"stringValue": case.source, "dataType": "String"}} if case.source else {}
    message = sample("queue-message") | {"messageAttributes": source}
    message["attributes"] |= sent
    ids = (_id("check", f"{case.name} {number}") for number, _ in enumerate(case.bodies))
    return {
        "Records": [message | {"messageId": name, "body": body} for name, body in zip(ids, case.bodies, strict=True)]
    }


def order_document(case: OrderCase) -> Json:
    """Return the order as VTEX answers it (GET /api/oms/pvt/orders/{orderId}); what would name a person is empty."""
    channel = case.channel
    is_own = channel is OWN_SHOP
    is_invoiced = case.status == "invoiced"
    return sample("order") | {
        "orderId": case.order_id,
        "sequence": case.number[:6],
        "marketplaceOrderId": "" if is_own else f"{case.number}{case.ending}",
        "marketplaceServicesEndpoint": channel.address,
        "sellerOrderId": f"00-{case.order_id}" if is_own else case.order_id,
        "origin": "Marketplace" if is_own else "Fulfillment",
        "affiliateId": channel.affiliate,
        "salesChannel": "1" if is_own else "2",
        "status": case.status,
        "allowCancellation": not is_invoiced,
        "invoicedDate": f"{_INVOICED_AT}+00:00" if is_invoiced else None,
        "marketplace": {"baseURL": channel.address, "isCertified": None, "name": channel.name},
        "customData": {"customApps": [{"id": channel.app, "major": 1, "fields": {}}]} if channel.app else None,
        "packageAttachment": None if case.packages is None else {"packages": list(case.packages)},
    }


def main() -> None:
    """Write events/ anew."""
    wanted = files()
    for old in EVENTS.glob("*/*.json"):
        if str(old.relative_to(EVENTS)) not in wanted:
            old.unlink()
    for name, document in wanted.items():
        path = EVENTS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(document), encoding="utf-8")
    print(f"{len(wanted)} files in {EVENTS.name}/")


def _id(*parts: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(parts)))


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000


if __name__ == "__main__":
    main()
