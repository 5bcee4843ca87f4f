"""The VTEX simulator: what other tests and the demo rely on when they make VTEX misbehave."""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.vtex_simulator import BadInput, Fault, InvoiceEdit, Kind, OrderUnknown, VtexSimulator

ROOT = Path(__file__).parents[2]
CREDENTIALS = {"X-VTEX-API-AppKey": "vtexappkey-luxstore", "X-VTEX-API-AppToken": "TOKEN"}
ORDER_ID = "VVJ-975102-01"
ORDER_PATH = f"/luxstore/api/oms/pvt/orders/{ORDER_ID}"
KEY = "31170758731662018088550010006437971006437976"
FIVE_MEGABYTES = 5 * 1024 * 1024


def an_order(order_id: str = ORDER_ID, account: str = "luxstore", **changes: object) -> dict[str, Any]:
    sale = {"type": "Output", "invoiceNumber": "643797", "invoiceKey": None, "trackingNumber": None, "courier": None}
    order = {"orderId": order_id, "hostname": account, "status": "invoiced", "lastChange": "2026-03-03T14:54:00+00:00"}
    return {**order, "packageAttachment": {"packages": [sale]}, **changes}


def connect(vtex: VtexSimulator, **headers: str | None) -> httpx.Client:
    wanted = {name: value for name, value in (headers or CREDENTIALS).items() if value is not None}
    return httpx.Client(base_url=vtex.url, headers=wanted, trust_env=False, verify=False, timeout=5)


@pytest.fixture
def vtex() -> Iterator[VtexSimulator]:
    with VtexSimulator() as simulator:
        simulator.put_order(an_order())
        yield simulator


@pytest.fixture
def client(vtex: VtexSimulator) -> Iterator[httpx.Client]:
    with connect(vtex) as http:
        yield http


# ---- Orders


def test_an_order_is_served_as_it_was_put(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.put_order(an_order(openTextField="ação", unknownField=[1, None]))

    answer = client.get(ORDER_PATH)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json() == an_order(openTextField="ação", unknownField=[1, None])


def test_an_unknown_order_is_vtex_own_404(client: httpx.Client) -> None:
    answer = client.get("/luxstore/api/oms/pvt/orders/VVJ-0-01")

    assert answer.status_code == 404
    assert answer.json() == {"error": {"code": "OMS007", "message": "Order Not Found", "exception": None}}


def test_an_order_is_not_found_in_another_account(client: httpx.Client) -> None:
    assert client.get(f"/otherstore/api/oms/pvt/orders/{ORDER_ID}").status_code == 404


def test_two_accounts_may_have_the_same_order_id(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.put_order(an_order(account="otherstore", status="canceled"))

    assert client.get(ORDER_PATH).json()["status"] == "invoiced"
    assert client.get(f"/otherstore/api/oms/pvt/orders/{ORDER_ID}").json()["status"] == "canceled"


def test_a_path_without_an_account_finds_what_one_account_has(vtex: VtexSimulator, client: httpx.Client) -> None:
    assert client.get(f"/api/oms/pvt/orders/{ORDER_ID}").status_code == 200
    assert vtex.calls()[0].account == "luxstore"


def test_a_path_without_an_account_does_not_guess_among_several(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.put_order(an_order(account="otherstore"))

    assert client.get(f"/api/oms/pvt/orders/{ORDER_ID}").status_code == 404


def test_a_quoted_order_id_is_read_as_what_it_stands_for(vtex: VtexSimulator, client: httpx.Client) -> None:
    client.get("/luxstore/api/oms/pvt/orders/a%2Fb")

    assert vtex.calls()[0].order_id == "a/b"


def test_an_order_without_its_account_is_refused(vtex: VtexSimulator) -> None:
    with pytest.raises(BadInput, match="hostname"):
        vtex.put_order({"orderId": "VVJ-1-01"})


def test_orders_are_loaded_from_a_directory(vtex: VtexSimulator, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(an_order("VVJ-1-01")))
    (tmp_path / "notes.txt").write_text("no order")

    vtex.load_orders(tmp_path)

    assert vtex.order("VVJ-1-01") == an_order("VVJ-1-01")


@pytest.mark.parametrize("content", ["{", "[]", '{"orderId": "VVJ-1-01"}'])
def test_a_file_that_is_no_order_is_named(vtex: VtexSimulator, tmp_path: Path, content: str) -> None:
    (tmp_path / "broken.json").write_text(content)

    with pytest.raises(BadInput, match=r"broken\.json"):
        vtex.load_orders(tmp_path)


# ---- What a person does in the Admin


def test_a_person_adds_the_key(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.edit_invoice(InvoiceEdit(ORDER_ID, invoice_key=KEY, tracking_number="AA1", courier="Correios"))

    order = client.get(ORDER_PATH).json()
    [sale] = order["packageAttachment"]["packages"]
    assert (sale["invoiceKey"], sale["trackingNumber"], sale["courier"]) == (KEY, "AA1", "Correios")
    assert order["lastChange"] > an_order()["lastChange"]


def test_an_edit_leaves_alone_what_it_does_not_name(vtex: VtexSimulator) -> None:
    vtex.edit_invoice(InvoiceEdit(ORDER_ID, invoice_key=KEY))
    order = vtex.edit_invoice(InvoiceEdit(ORDER_ID, tracking_number="AA1"))

    assert order["packageAttachment"]["packages"][0]["invoiceKey"] == KEY


def test_an_edit_reaches_the_invoice_with_that_number_only(vtex: VtexSimulator) -> None:
    packages = [
        {"type": kind, "invoiceNumber": number} for kind, number in (("Output", "1"), (None, "2"), ("Input", "2"))
    ]
    vtex.put_order(an_order(packageAttachment={"packages": packages}))

    order = vtex.edit_invoice(InvoiceEdit(ORDER_ID, invoice_number="2", invoice_key=KEY))

    assert [package.get("invoiceKey") for package in order["packageAttachment"]["packages"]] == [None, KEY, None]


def test_an_edit_does_not_guess_among_several_invoices(vtex: VtexSimulator) -> None:
    vtex.put_order(an_order(packageAttachment={"packages": [{"invoiceNumber": "1"}, {"invoiceNumber": "2"}]}))

    with pytest.raises(BadInput, match="invoice_number"):
        vtex.edit_invoice(InvoiceEdit(ORDER_ID, invoice_key=KEY))


@pytest.mark.parametrize("attachment", [None, {"packages": []}, {"packages": [{"type": "Input"}]}])
def test_an_order_without_a_sale_invoice_cannot_be_edited(vtex: VtexSimulator, attachment: object) -> None:
    vtex.put_order(an_order(packageAttachment=attachment))

    with pytest.raises(BadInput, match="no such sale invoice"):
        vtex.edit_invoice(InvoiceEdit(ORDER_ID, invoice_key=KEY))


def test_an_unknown_order_cannot_be_edited(vtex: VtexSimulator) -> None:
    with pytest.raises(OrderUnknown):
        vtex.edit_invoice(InvoiceEdit("VVJ-0-01", invoice_key=KEY))


# ---- Credentials


@pytest.mark.parametrize("missing", CREDENTIALS)
@pytest.mark.parametrize("value", [None, ""])
def test_a_request_without_both_credentials_is_unauthorized(
    vtex: VtexSimulator, missing: str, value: str | None
) -> None:
    with connect(vtex, **CREDENTIALS | {missing: value}) as stranger:
        assert stranger.get(ORDER_PATH).status_code == 401


def test_credential_headers_count_in_any_case(vtex: VtexSimulator) -> None:
    with connect(vtex, **{name.lower(): value for name, value in CREDENTIALS.items()}) as client:
        assert client.get(ORDER_PATH).status_code == 200


@pytest.mark.parametrize("refused", CREDENTIALS.values())
def test_refused_credentials_are_forbidden_until_they_are_taken_back(
    vtex: VtexSimulator, client: httpx.Client, refused: str
) -> None:
    vtex.refused.add(refused)
    assert client.get(ORDER_PATH).status_code == 403

    vtex.refused.clear()
    assert client.get(ORDER_PATH).status_code == 200


@pytest.mark.parametrize(("token", "status"), [("TOKEN", 200), ("ANOTHER", 401)])
def test_one_pair_alone_is_accepted_when_it_is_given(token: str, status: int) -> None:
    with VtexSimulator(credentials=("vtexappkey-luxstore", token)) as vtex, connect(vtex) as client:
        vtex.put_order(an_order())

        assert client.get(ORDER_PATH).status_code == status


# ---- Faults


def test_a_delay_holds_the_answer_back(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("delay", seconds=0.1))
    began = time.monotonic()

    assert client.get(ORDER_PATH).status_code == 200
    assert time.monotonic() - began >= 0.1


def test_a_delayed_answer_is_the_order_as_it_was_when_asked_for(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("delay", seconds=0.2))
    change = threading.Timer(0.05, vtex.put_order, [an_order(status="canceled")])
    change.start()

    assert client.get(ORDER_PATH).json()["status"] == "invoiced"
    change.join()


def test_a_client_that_does_not_wait_meets_its_timeout(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("delay", seconds=30))

    with pytest.raises(httpx.ReadTimeout):
        client.get(ORDER_PATH, timeout=0.05)


@pytest.mark.parametrize(
    ("retry_after", "header"),
    [(None, None), (7, "7"), ("Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:00 GMT"), ("soon", "soon")],
)
def test_too_many_requests_may_say_how_long_to_wait(
    vtex: VtexSimulator, client: httpx.Client, retry_after: int | str | None, header: str | None
) -> None:
    vtex.fail(Fault("status", status=429, retry_after=retry_after))

    answer = client.get(ORDER_PATH)

    assert answer.status_code == 429
    assert answer.headers.get("Retry-After") == header


@pytest.mark.parametrize("status", [400, 401, 403, 500, 502, 503, 504, 599])
def test_any_error_status_can_be_answered(vtex: VtexSimulator, client: httpx.Client, status: int) -> None:
    vtex.fail(Fault("status", status=status))

    assert client.get(ORDER_PATH).status_code == status


def test_an_order_may_become_visible_late(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("status", status=404, times=2))

    answers = [client.get(ORDER_PATH) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [404, 404, 200]
    assert answers[0].json()["error"]["code"] == "OMS007"


def test_packages_may_become_visible_late(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("no_packages", times=2))

    attachments = [client.get(ORDER_PATH).json()["packageAttachment"] for _ in range(3)]

    assert attachments == [None, None, an_order()["packageAttachment"]]


def test_a_connection_is_dropped_before_any_byte(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("drop"))

    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        client.get(ORDER_PATH)
    assert [call.status for call in vtex.calls()] == [None]


def test_a_connection_is_dropped_in_the_middle_of_the_body(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("drop_midway"))

    with client.stream("GET", ORDER_PATH) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
            answer.read()


def test_a_login_page_comes_with_200(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("login_page"))

    answer = client.get(ORDER_PATH)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_a_redirect_leads_to_the_login_page_and_is_seen_when_followed(
    vtex: VtexSimulator, client: httpx.Client
) -> None:
    vtex.fail(Fault("login_redirect"))

    answer = client.get(ORDER_PATH, follow_redirects=True)

    assert [hop.status_code for hop in answer.history] == [302]
    assert "<form>" in answer.text
    assert [call.order_id for call in vtex.calls()] == [ORDER_ID, ""]


def test_truncated_json_has_the_right_length(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("truncated_json"))

    answer = client.get(ORDER_PATH)

    assert int(answer.headers["Content-Length"]) == len(answer.content)
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        answer.json()


def test_the_wrong_order_is_another_one_of_the_account(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.put_order(an_order("VVJ-2-01", account="otherstore"))
    vtex.put_order(an_order("VVJ-3-01"))
    vtex.fail(Fault("wrong_order"))

    assert client.get(ORDER_PATH).json()["orderId"] == "VVJ-3-01"


def test_the_wrong_order_is_made_up_where_there_is_no_other(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("wrong_order"))

    assert client.get(ORDER_PATH).json() == an_order("OTHER-1")


def test_a_trickle_outlasts_a_timeout_for_each_read_and_ends_as_no_json(
    vtex: VtexSimulator, client: httpx.Client
) -> None:
    vtex.fail(Fault("trickle", seconds=0.2))
    began = time.monotonic()

    answer = client.get(ORDER_PATH, timeout=0.15)

    assert time.monotonic() - began >= 0.2
    assert re.fullmatch(rb"\{ +", answer.content)


@pytest.mark.parametrize(("kind", "says_its_length"), [("oversized", True), ("oversized_stream", False)])
def test_an_oversized_body_is_a_good_order_otherwise(
    vtex: VtexSimulator, client: httpx.Client, kind: Kind, says_its_length: bool
) -> None:
    vtex.fail(Fault(kind))

    answer = client.get(ORDER_PATH)

    assert len(answer.content) > FIVE_MEGABYTES
    assert ("Content-Length" in answer.headers) == says_its_length
    assert answer.json()["orderId"] == ORDER_ID


def test_a_fault_is_for_its_account_and_order_alone(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.put_order(an_order("VVJ-2-01"))
    vtex.put_order(an_order(account="otherstore"))
    vtex.fail(Fault("status", account="luxstore", order_id=ORDER_ID))

    paths = [ORDER_PATH, "/luxstore/api/oms/pvt/orders/VVJ-2-01", f"/otherstore/api/oms/pvt/orders/{ORDER_ID}"]

    assert [client.get(path).status_code for path in paths] == [503, 200, 200]


def test_faults_follow_each_other_and_count_their_uses(vtex: VtexSimulator, client: httpx.Client) -> None:
    throttle = vtex.fail(Fault("status", status=429, times=2))
    outage = vtex.fail(Fault("status", status=503, times=1))

    assert [client.get(ORDER_PATH).status_code for _ in range(4)] == [429, 429, 503, 200]
    assert (throttle.used, outage.used) == (2, 1)


def test_a_fault_stays_until_it_is_cleared(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("status"))
    assert [client.get(ORDER_PATH).status_code for _ in range(3)] == [503, 503, 503]

    vtex.faults.clear()
    assert client.get(ORDER_PATH).status_code == 200


def test_a_fault_is_not_spent_on_a_request_without_credentials(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("status", times=1))
    with connect(vtex, **{"User-Agent": "stranger"}) as stranger:
        stranger.get(ORDER_PATH)

    assert client.get(ORDER_PATH).status_code == 503


# ---- What was asked


def test_each_read_is_recorded_in_its_order(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("status", status=429, times=1))
    client.get(ORDER_PATH)
    client.get(ORDER_PATH)

    calls = vtex.calls(ORDER_ID, account="luxstore")

    assert [(call.method, call.status, call.fault) for call in calls] == [("GET", 429, "status"), ("GET", 200, None)]
    assert calls[0].at <= calls[1].at


def test_calls_can_be_asked_for_by_account_and_order(vtex: VtexSimulator, client: httpx.Client) -> None:
    client.get(ORDER_PATH)
    client.get("/otherstore/api/oms/pvt/orders/VVJ-2-01")

    assert [call.order_id for call in vtex.calls(account="otherstore")] == ["VVJ-2-01"]
    assert [call.account for call in vtex.calls(ORDER_ID)] == ["luxstore"]
    assert vtex.calls(ORDER_ID, account="otherstore") == []


def test_a_connection_that_is_kept_counts_once(vtex: VtexSimulator, client: httpx.Client) -> None:
    for _ in range(3):
        client.get(ORDER_PATH)
    assert vtex.connections == 1

    with connect(vtex) as another:
        another.get(ORDER_PATH)
    assert vtex.connections == 2


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize("route", ["/invoice", "/invoice/643797", "/invoice/643797/tracking"])
def test_a_write_is_refused_and_counted(vtex: VtexSimulator, client: httpx.Client, method: str, route: str) -> None:
    answer = client.request(method, ORDER_PATH + route, json={"invoiceKey": KEY})

    assert answer.status_code == 405
    assert [(call.method, call.order_id) for call in vtex.forbidden_writes] == [(method, ORDER_ID)]
    assert client.get(ORDER_PATH).json() == an_order()


def test_a_write_of_unknown_length_is_counted_too(vtex: VtexSimulator, client: httpx.Client) -> None:
    client.post(ORDER_PATH + "/invoice", content=iter([b"{}"]))

    assert len(vtex.forbidden_writes) == 1


def test_many_clients_at_once_are_all_counted(vtex: VtexSimulator) -> None:
    fault = vtex.fail(Fault("status", times=30))

    def read() -> None:
        with connect(vtex) as http:
            for _ in range(10):
                http.get(ORDER_PATH)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert fault.used == 30
    assert sorted(call.status or 0 for call in vtex.calls()) == [200] * 50 + [503] * 30
    assert vtex.connections == 8


def test_nothing_is_printed_unless_it_is_asked_for(
    vtex: VtexSimulator, client: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    vtex.fail(Fault("drop", times=1))
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(ORDER_PATH)
    client.get(ORDER_PATH)

    assert capfd.readouterr() == ("", "")


def test_a_verbose_line_holds_no_secret(capfd: pytest.CaptureFixture[str]) -> None:
    with VtexSimulator(verbose=True) as vtex, connect(vtex) as client:
        client.get("/luxstore/api/oms/pvt/orders/a%0Ab?an=TOKEN")

    line = capfd.readouterr().out
    assert line.count("\n") == 1
    assert "404" in line
    assert not any(secret in line for secret in CREDENTIALS.values())


def test_closing_ends_what_is_held_back_and_what_is_kept_open() -> None:
    with VtexSimulator() as vtex, connect(vtex) as client:
        vtex.put_order(an_order())
        client.get(ORDER_PATH)
        vtex.fail(Fault("delay", seconds=30))
        threading.Timer(0.05, vtex.close).start()
        began = time.monotonic()

        with pytest.raises(httpx.TransportError):
            client.get(ORDER_PATH, timeout=5)
        assert time.monotonic() - began < 2


def test_it_listens_on_each_host_on_one_port() -> None:
    with VtexSimulator(hosts=("127.0.0.1", "127.0.0.2")) as vtex, connect(vtex) as client:
        answers = [client.get(f"http://{host}:{vtex.port}/_simulator/health") for host in vtex.hosts]

    assert [answer.status_code for answer in answers] == [200, 200]


def test_a_port_in_use_is_not_shared(vtex: VtexSimulator) -> None:
    with pytest.raises(OSError, match="in use"):
        VtexSimulator(port=vtex.port).start()


# ---- Control over HTTP


def test_orders_are_put_and_listed_over_http(vtex: VtexSimulator, client: httpx.Client) -> None:
    assert client.put("/_simulator/orders", json=an_order("VVJ-2-01")).json() == {"put": 1}
    assert client.put("/_simulator/orders", json=[an_order("VVJ-3-01"), an_order("VVJ-4-01")]).json() == {"put": 2}

    listed = client.get("/_simulator/orders").json()["orders"]
    assert [order["orderId"] for order in listed] == ["VVJ-2-01", "VVJ-3-01", "VVJ-4-01", ORDER_ID]
    assert client.get("/_simulator/health").json() == {"status": "ok", "orders": 4}


def test_the_key_is_set_over_http(vtex: VtexSimulator, client: httpx.Client) -> None:
    edit = {"account": "luxstore", "order_id": ORDER_ID, "invoice_number": "643797", "invoice_key": KEY}

    assert client.post("/_simulator/invoice-key", json=edit).json() == {"edited": ORDER_ID}
    assert vtex.order(ORDER_ID)["packageAttachment"]["packages"][0]["invoiceKey"] == KEY


def test_faults_are_set_listed_and_cleared_over_http(client: httpx.Client) -> None:
    fault = {"kind": "status", "status": 429, "retry_after": 2, "account": "luxstore"}

    assert client.post("/_simulator/faults", json=fault).json().items() >= (fault | {"used": 0}).items()
    assert client.get(ORDER_PATH).status_code == 429
    assert [one["used"] for one in client.get("/_simulator/faults").json()["faults"]] == [1]

    client.delete("/_simulator/faults")
    assert client.get(ORDER_PATH).status_code == 200


def test_requests_are_shown_and_forgotten_over_http(client: httpx.Client) -> None:
    client.get(ORDER_PATH)
    client.post(ORDER_PATH + "/invoice", json={})

    shown = client.get("/_simulator/requests").json()
    assert {name: shown[name] for name in ("count", "connections", "forbidden_writes")} == {
        "count": 2,
        "connections": 1,
        "forbidden_writes": 1,
    }
    assert shown["requests"][0].items() >= {"account": "luxstore", "order_id": ORDER_ID, "status": 200}.items()
    assert client.get("/_simulator/requests", params={"account": "otherstore"}).json()["count"] == 0

    client.delete("/_simulator/requests")
    assert client.get("/_simulator/requests").json()["count"] == 0


def test_credentials_are_refused_over_http(client: httpx.Client) -> None:
    client.put("/_simulator/refused", json=["TOKEN"])
    assert client.get(ORDER_PATH).status_code == 403

    client.put("/_simulator/refused", json=[])
    assert client.get(ORDER_PATH).status_code == 200


@pytest.mark.parametrize(
    ("method", "route", "body", "complaint"),
    [
        ("PUT", "orders", b"{", "not JSON"),
        ("PUT", "orders", b"", "not JSON"),
        ("PUT", "orders", b"[1]", "object"),
        ("PUT", "orders", b'{"orderId": "VVJ-1-01"}', "hostname"),
        ("PUT", "orders", b'{"orderId": "VVJ-1-01", "hostname": "luxstore", "value": NaN}', "JSON"),
        ("POST", "invoice-key", b"{}", "order_id"),
        ("POST", "invoice-key", b'{"order_id": 1}', "order_id must be str"),
        ("POST", "invoice-key", b'{"order_id": "VVJ-975102-01", "invoiceKey": "1"}', "invoiceKey"),
        ("POST", "invoice-key", b'{"order_id": "VVJ-975102-01", "invoice_number": "1"}', "no such sale invoice"),
        ("POST", "faults", b"{}", "kind"),
        ("POST", "faults", b'{"kind": "explode"}', "kind must be one of"),
        ("POST", "faults", b'{"kind": ["drop"]}', "kind must be one of"),
        ("POST", "faults", b'{"kind": "drop", "used": 1}', "used"),
        ("POST", "faults", b'{"kind": "drop", "times": 0}', "times"),
        ("POST", "faults", b'{"kind": "drop", "times": "2"}', "times must be int | None"),
        ("POST", "faults", b'{"kind": "delay"}', "seconds"),
        ("POST", "faults", b'{"kind": "delay", "seconds": 301}', "seconds"),
        ("POST", "faults", b'{"kind": "status", "status": 200}', "status"),
        ("POST", "faults", b'{"kind": "status", "retry_after": "1\\r\\nX: y"}', "retry_after"),
        ("PUT", "refused", b'"TOKEN"', "list"),
    ],
)
def test_bad_input_is_refused_with_what_is_wrong(
    client: httpx.Client, method: str, route: str, body: bytes, complaint: str
) -> None:
    answer = client.request(method, f"/_simulator/{route}", content=body)

    assert answer.status_code == 400
    assert complaint in answer.json()["error"]["message"]


def test_editing_an_unknown_order_over_http_is_a_404(client: httpx.Client) -> None:
    assert client.post("/_simulator/invoice-key", json={"order_id": "VVJ-0-01"}).status_code == 404


@pytest.mark.parametrize(("method", "status"), [("GET", 404), ("POST", 405)])
def test_the_control_api_has_no_other_routes(
    vtex: VtexSimulator, client: httpx.Client, method: str, status: int
) -> None:
    assert client.request(method, "/_simulator/nothing").status_code == status
    assert vtex.calls() == []


# ---- The command


def test_the_command_serves_a_directory_in_silence(tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text(json.dumps(an_order()))
    command = [sys.executable, "-m", "local.vtex_simulator", "--port", "0", "--orders", str(tmp_path)]

    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            assert process.stdout
            url = process.stderr.readline().split()[-1]
            answer = httpx.get(url + ORDER_PATH, headers=CREDENTIALS, trust_env=False)
        finally:
            process.terminate()
        assert answer.json() == an_order()
        assert process.stdout.read() == ""


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--app-key", "only"], "go together"),
        (["--orders", "no/such/directory"], "not a directory"),
        (["--host", "192.0.2.1", "--port", "0"], "assign"),
    ],
)
def test_the_command_says_what_it_cannot_do(arguments: list[str], complaint: str) -> None:
    command = [sys.executable, "-m", "local.vtex_simulator", *arguments]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=10)

    assert ended.returncode == 2
    assert complaint in ended.stderr
