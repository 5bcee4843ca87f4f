"""Asking VTEX: what each answer means, silence, pace, connections, and what never leaves in the clear."""

import gzip
import json
import logging
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoicekey.rules.notification import OrderRef
from invoicekey.runtime.errors import CredentialsRefused, NoTurn, OrderNotFound, OutOfTime, RateLimited, RetryLater
from invoicekey.runtime.secrets import Credentials, vtex_credentials
from invoicekey.vtex import client as vtex
from invoicekey.vtex.client import LONGEST_WAIT, RateLimiter, Vtex, retry_after
from local.vtex_simulator import Fault, VtexSimulator

REF = OrderRef("luxstore", "VVJ-975102-01")
APP_KEY, APP_TOKEN = "vtexappkey-luxstore-HUSH", "HUSH-HUSH-TOKEN"
SECRET = {
    "luxstore": {"app_key": APP_KEY, "app_token": APP_TOKEN},
    "other": {"app_key": "vtexappkey-other", "app_token": "OTHER"},
}
TIME_ENOUGH = 25.0
USUAL_SILENCE = 90.0
AS_FAST_AS_IT_GOES = 10**9
NOW = datetime(2026, 3, 3, 14, 54, tzinfo=UTC)


@dataclass
class Watch:
    """The time, as the client sees it: it stands still but for who sleeps, or for `step` seconds a look."""

    now: float = field(default_factory=time.time)
    step: float = 0.0
    slept: list[float] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        self.now += self.step
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds + 0.001
        self.meanwhile()


def an_order(ref: OrderRef = REF, **fields: object) -> dict[str, Any]:
    return {"orderId": ref.order_id, "hostname": ref.account, "status": "invoiced", "affiliateId": "VVJ", **fields}


def credentials_of(account: str) -> Credentials:
    return vtex_credentials(SECRET, account)


def a_client(
    url: str,
    credentials: Callable[[str], Credentials] = credentials_of,
    limiter: RateLimiter | None = None,
    transport: httpx.BaseTransport | None = None,
) -> Vtex:
    return Vtex(url + "/{account}", credentials, limiter or RateLimiter(AS_FAST_AS_IT_GOES), USUAL_SILENCE, transport)


def a_client_that_is_answered(**answer: Any) -> Vtex:
    return a_client("http://localhost", transport=httpx.MockTransport(lambda _: httpx.Response(**answer)))


@pytest.fixture
def simulator() -> Iterator[VtexSimulator]:
    with VtexSimulator(port=0) as running:
        running.put_order(an_order())
        running.put_order(an_order(OrderRef("other", "VVJ-1-01")))
        yield running


@pytest.fixture
def client(simulator: VtexSimulator) -> Vtex:
    return a_client(simulator.url)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(vtex, "time", watch)
    monkeypatch.setattr("throttled.utils.now_mono_f", watch.monotonic)
    return watch


# ---- An order


def test_an_account_s_order_is_asked_at_that_account_s_host_with_its_own_credentials() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json=an_order())

    transport = httpx.MockTransport(answer)
    client = Vtex("https://{account}.vtex.example", credentials_of, RateLimiter(60), transport=transport)
    for account in ("luxstore", "other"):
        client.read_order(OrderRef(account, REF.order_id), TIME_ENOUGH)

    assert [(str(request.url), request.headers["x-vtex-api-appkey"]) for request in asked] == [
        ("https://luxstore.vtex.example/api/oms/pvt/orders/VVJ-975102-01", APP_KEY),
        ("https://other.vtex.example/api/oms/pvt/orders/VVJ-975102-01", "vtexappkey-other"),
    ]


@pytest.mark.parametrize(
    "order_id", ["a/b", "a/../../b", "a?b=c", "a#b", "a%2Fb", "a b", "ação", "a;b=c&d", "{account}"]
)
def test_an_order_id_cannot_leave_its_place_in_the_path(client: Vtex, simulator: VtexSimulator, order_id: str) -> None:
    ref = OrderRef("luxstore", order_id)
    simulator.put_order(an_order(ref))

    assert client.read_order(ref, TIME_ENOUGH).order_id == order_id


def test_a_packed_answer_is_read() -> None:
    packed = {"content-type": "application/json", "content-encoding": "gzip"}
    content = gzip.compress(json.dumps(an_order()).encode())

    client = a_client_that_is_answered(status_code=200, headers=packed, content=content)

    assert client.read_order(REF, TIME_ENOUGH).order_id == "VVJ-975102-01"


def test_to_read_an_order_nothing_is_written(client: Vtex, simulator: VtexSimulator) -> None:
    client.read_order(REF, TIME_ENOUGH)

    assert {call.method for call in simulator.calls()} == {"GET"}


# ---- What is no order

BAD_ANSWERS = {
    "500": Fault("status", status=500),
    "502": Fault("status", status=502),
    "504": Fault("status", status=504),
    "400": Fault("status", status=400),
    "connection-dropped": Fault("drop"),
    "connection-dropped-midway": Fault("drop_midway"),
    "login-page-with-200": Fault("login_page"),
    "login-redirect": Fault("login_redirect"),
    "cut-json": Fault("truncated_json"),
    "another-order": Fault("wrong_order"),
    "over-5-mb": Fault("oversized"),
    "over-5-mb-of-no-stated-length": Fault("oversized_stream"),
}
SILENCING = {"429": Fault("status", status=429), "503": Fault("status", status=503)}
REFUSING = {"401": Fault("status", status=401), "403": Fault("status", status=403)}
UNKNOWN = {"404": Fault("status", status=404)}
EVERY_FAULT = BAD_ANSWERS | SILENCING | REFUSING | UNKNOWN


def named(faults: dict[str, Fault]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fault", faults.values(), ids=faults.keys())


def refused_once(client: Vtex, simulator: VtexSimulator, **fault: Any) -> RateLimited:
    """Let VTEX ask for a back-off once."""
    simulator.fail(Fault("status", **{"status": 429, "times": 1} | fault))
    with pytest.raises(RateLimited) as caught:
        client.read_order(REF, TIME_ENOUGH)
    return caught.value


@named(BAD_ANSWERS)
def test_a_bad_answer_is_tried_again_later(client: Vtex, simulator: VtexSimulator, fault: Fault) -> None:
    simulator.fail(replace(fault, times=1))

    with pytest.raises(RetryLater) as caught:
        client.read_order(REF, TIME_ENOUGH)

    assert type(caught.value) is RetryLater
    assert client.read_order(REF, TIME_ENOUGH).order_id == REF.order_id


@named(EVERY_FAULT)
def test_a_request_is_made_once_whatever_comes_of_it(client: Vtex, simulator: VtexSimulator, fault: Fault) -> None:
    simulator.fail(fault)

    with pytest.raises((RetryLater, OrderNotFound)):
        client.read_order(REF, TIME_ENOUGH)

    assert len(simulator.calls()) == 1


def test_vtex_out_of_reach_is_tried_again_later() -> None:
    with VtexSimulator(port=0) as simulator:
        url = simulator.url

    with pytest.raises(RetryLater, match="VTEX gave no answer: ConnectError"):
        a_client(url).read_order(REF, TIME_ENOUGH)


AS_JSON = {"content-type": "application/json"}
PACKED = AS_JSON | {"content-encoding": "gzip"}


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        pytest.param(AS_JSON, b"", id="nothing"),
        pytest.param(AS_JSON, b"null", id="null"),
        pytest.param(AS_JSON, b'["VVJ-975102-01"]', id="list"),
        pytest.param(AS_JSON, b'{"orderId": "VVJ-975102-01\xff"}', id="no-utf-8"),
        pytest.param(AS_JSON, b"[" * 100_000, id="deep"),
        pytest.param({"content-type": "text/html"}, json.dumps(an_order()).encode(), id="json-said-to-be-html"),
        pytest.param({}, json.dumps(an_order()).encode(), id="json-not-said-to-be"),
        pytest.param(PACKED, b"not gzip", id="badly-packed"),
        pytest.param(
            PACKED, gzip.compress(json.dumps(an_order(padding="x" * 5_000_000)).encode()), id="over-5-mb-when-unpacked"
        ),
    ],
)
def test_a_200_without_the_order_is_tried_again_later(headers: dict[str, str], content: bytes) -> None:
    with pytest.raises(RetryLater):
        a_client_that_is_answered(status_code=200, headers=headers, content=content).read_order(REF, TIME_ENOUGH)


def test_a_204_is_no_order() -> None:
    with pytest.raises(RetryLater, match="VTEX answered 204"):
        a_client_that_is_answered(status_code=204).read_order(REF, TIME_ENOUGH)


def test_an_order_that_vtex_does_not_know_is_not_found(client: Vtex) -> None:
    with pytest.raises(OrderNotFound):
        client.read_order(OrderRef("luxstore", "VVJ-404-01"), TIME_ENOUGH)


# ---- Credentials


@named(REFUSING)
def test_refused_credentials_are_told_as_such_whatever_the_route(fault: Fault) -> None:
    with pytest.raises(CredentialsRefused, match=f"VTEX answered {fault.status}"):
        called("POST", answer={"status_code": fault.status})


CHANGED = Credentials(APP_KEY, "THE-NEW-TOKEN")


class Changing:
    """VTEX, which takes the new token alone, and the credentials, which still have the old one."""

    def __init__(self, found: Credentials | None = CHANGED, limiter: RateLimiter | None = None) -> None:
        self.tokens: list[str] = []
        self.asked_for_others: list[tuple[str, Credentials]] = []
        self._found = found
        self.client = Vtex(
            "http://localhost/{account}",
            credentials_of,
            limiter or RateLimiter(AS_FAST_AS_IT_GOES),
            transport=httpx.MockTransport(self._answer),
            after_refusal=self._others,
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.tokens.append(request.headers["x-vtex-api-apptoken"])
        is_taken = self.tokens[-1] == CHANGED.app_token
        return httpx.Response(200, json=an_order()) if is_taken else httpx.Response(401)

    def _others(self, account: str, refused: Credentials) -> Credentials | None:
        self.asked_for_others.append((account, refused))
        return self._found


def test_credentials_that_were_changed_are_tried_before_a_refusal_counts() -> None:
    changing = Changing()

    assert changing.client.read_order(REF, TIME_ENOUGH).order_id == REF.order_id
    assert changing.tokens == [APP_TOKEN, CHANGED.app_token]
    assert changing.asked_for_others == [("luxstore", Credentials(APP_KEY, APP_TOKEN))]


def test_what_writes_is_tried_with_them_too_for_what_was_refused_did_nothing() -> None:
    changing = Changing()

    assert changing.client.call("luxstore", "POST", "/api/x", body={"a": 1}, time_left=TIME_ENOUGH).status == 200
    assert changing.tokens == [APP_TOKEN, CHANGED.app_token]


def test_where_none_have_changed_the_refusal_counts_at_once() -> None:
    changing = Changing(found=None)

    with pytest.raises(CredentialsRefused):
        changing.client.read_order(REF, TIME_ENOUGH)
    assert changing.tokens == [APP_TOKEN]


def test_others_that_are_refused_as_well_are_no_reason_for_a_third_try() -> None:
    changing = Changing(found=Credentials(APP_KEY, "WRONG-TOO"))

    with pytest.raises(CredentialsRefused):
        changing.client.read_order(REF, TIME_ENOUGH)
    assert changing.tokens == [APP_TOKEN, "WRONG-TOO"]


def test_the_second_try_takes_a_turn_of_its_own() -> None:
    changing = Changing(limiter=RateLimiter(1, burst=1))

    with pytest.raises(NoTurn):
        changing.client.read_order(REF, TIME_ENOUGH, patience=0)
    assert changing.tokens == [APP_TOKEN]


@pytest.mark.parametrize("trouble", [CredentialsRefused("there are none"), RetryLater("Secrets Manager gave none")])
def test_without_credentials_nothing_is_sent(simulator: VtexSimulator, trouble: RetryLater) -> None:
    def none(account: str) -> Credentials:
        raise trouble

    with pytest.raises(type(trouble), match=trouble.why):
        a_client(simulator.url, none).read_order(REF, TIME_ENOUGH)

    assert simulator.calls() == []


@named(EVERY_FAULT)
def test_no_error_and_no_log_tells_the_credentials(
    client: Vtex, simulator: VtexSimulator, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    simulator.fail(fault)

    with pytest.raises((RetryLater, OrderNotFound)) as caught:
        client.read_order(REF, TIME_ENOUGH)

    told = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value)) + caplog.text
    assert "HUSH" not in told


def test_no_proxy_of_the_environment_gets_to_see_the_credentials(
    simulator: VtexSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    assert a_client(simulator.url).read_order(REF, TIME_ENOUGH).order_id == REF.order_id


# ---- Other calls


def called(method: str, *, answer: dict[str, Any], **call: Any) -> vtex.Answer:
    client = a_client_that_is_answered(**answer)
    return client.call("luxstore", method, "/api/x", time_left=TIME_ENOUGH, **call)


def test_a_call_carries_what_it_was_given_and_the_account_s_credentials() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json=[1, {"a": None}])

    client = a_client("http://localhost", transport=httpx.MockTransport(answer))
    query = {"maxlot": "10", "f": "a:[b TO c]&d"}
    document = client.call("luxstore", "POST", "/api/x", query=query, body={"é": 1}, time_left=TIME_ENOUGH)
    client.call("luxstore", "DELETE", "/api/x", time_left=TIME_ENOUGH)

    request, without_a_body = asked
    assert document == vtex.Answer(200, [1, {"a": None}])
    assert (request.method, request.url.path) == ("POST", "/luxstore/api/x")
    assert request.url.query == b"maxlot=10&f=a%3A%5Bb%20TO%20c%5D%26d"
    assert json.loads(request.content) == {"é": 1}
    assert request.headers["content-type"] == "application/json"
    assert (request.headers["x-vtex-api-appkey"], request.headers["x-vtex-api-apptoken"]) == (APP_KEY, APP_TOKEN)
    assert (without_a_body.content, "content-type" in without_a_body.headers) == (b"", False)


def test_a_document_shows_in_no_text() -> None:
    assert "HUSH" not in repr(vtex.Answer(200, {"handle": "HUSH"}))


@pytest.mark.parametrize("status", [400, 404, 409])
def test_a_status_that_means_something_to_the_caller_is_told(status: int) -> None:
    answer = {"status_code": status, "html": "<title>no</title>"}

    assert called("POST", answer=answer, expects={status}) == vtex.Answer(status)


@pytest.mark.parametrize("status", [302, 400, 404, 409, 500])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_status_that_means_nothing_to_the_caller_is_tried_again_later(method: str, status: int) -> None:
    with pytest.raises(RetryLater, match=f"VTEX answered {status}") as caught:
        called(method, answer={"status_code": status})

    assert type(caught.value) is RetryLater


CUT = {"status_code": 200, "content": b"{cut", "headers": AS_JSON}


@pytest.mark.parametrize(
    "answer",
    [{"status_code": 204}, {"status_code": 200}, {"status_code": 201, "text": "done"}, CUT],
    ids=["nothing", "empty", "a-text", "cut-json"],
)
def test_what_is_written_may_be_answered_with_anything_but_a_page(answer: dict[str, Any]) -> None:
    assert called("POST", answer=answer).document is None


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_page_is_no_answer(method: str) -> None:
    with pytest.raises(RetryLater, match="perhaps its login page"):
        called(method, answer={"status_code": 200, "html": "<title>Login</title>"})


def test_cut_json_is_no_empty_document_and_an_empty_body_said_to_be_json_is() -> None:
    assert called("GET", answer=CUT | {"content": b""}) == vtex.Answer(200, None)
    with pytest.raises(RetryLater, match="perhaps cut"):
        called("GET", answer=CUT)


def test_a_silence_met_by_one_route_is_kept_by_all(client: Vtex, simulator: VtexSimulator) -> None:
    simulator.fail(Fault("status", status=429, retry_after=120, route="feed"))
    with pytest.raises(RateLimited):
        client.call("luxstore", "GET", "/api/orders/feed", time_left=TIME_ENOUGH)

    with pytest.raises(RateLimited, match="a while ago"):
        client.read_order(REF, TIME_ENOUGH)
    assert len(simulator.calls()) == 1


# ---- Silence


@named(SILENCING)
@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("120", 120),
        ("Tue, 03 Mar 2026 14:54:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_WAIT),
        (None, USUAL_SILENCE),
        ("", USUAL_SILENCE),
        ("soon", USUAL_SILENCE),
        ("٣", USUAL_SILENCE),
    ],
    ids=ascii,
)
def test_vtex_can_ask_for_silence_for_a_time_until_a_date_or_as_long_as_usual(
    fault: Fault, header: str | None, wait: float
) -> None:
    headers = {} if header is None else {"retry-after": header.encode()}

    with pytest.raises(RateLimited) as caught:
        called("GET", answer={"status_code": fault.status, "headers": headers})

    assert caught.value.wait == wait


@named(SILENCING)
def test_nothing_of_the_account_is_read_until_the_silence_is_over(
    client: Vtex, simulator: VtexSimulator, watch: Watch, fault: Fault
) -> None:
    refused_once(client, simulator, status=fault.status, retry_after=120)
    watch.now += 119

    with pytest.raises(RateLimited, match="a while ago") as caught:
        client.read_order(REF, TIME_ENOUGH)

    assert caught.value.wait == pytest.approx(1)
    assert len(simulator.calls()) == 1
    watch.now += 1
    assert client.read_order(REF, TIME_ENOUGH).order_id == REF.order_id


def test_other_accounts_go_on_in_an_account_s_silence(client: Vtex, simulator: VtexSimulator) -> None:
    refused_once(client, simulator)

    assert client.read_order(OrderRef("other", "VVJ-1-01"), TIME_ENOUGH).order_id == "VVJ-1-01"


def test_a_5xx_that_names_a_wait_is_no_silence(client: Vtex, simulator: VtexSimulator) -> None:
    simulator.fail(Fault("status", status=502, retry_after=120, times=1))
    with pytest.raises(RetryLater) as caught:
        client.read_order(REF, TIME_ENOUGH)

    assert caught.value.wait == 120
    assert client.read_order(REF, TIME_ENOUGH).order_id == REF.order_id


def test_a_silence_that_another_environment_met_is_kept_and_not_shared_again(
    client: Vtex, simulator: VtexSimulator
) -> None:
    client.back_off("luxstore", until=time.time() + 60)

    with pytest.raises(RateLimited):
        client.read_order(REF, TIME_ENOUGH)

    assert (simulator.calls(), client.take_new_backoffs()) == ([], {})


def test_a_shorter_silence_does_not_end_a_longer_one(client: Vtex, watch: Watch) -> None:
    client.back_off("luxstore", until=watch.now + 60)
    client.back_off("luxstore", until=watch.now + 10)
    watch.now += 30

    with pytest.raises(RateLimited):
        client.read_order(REF, TIME_ENOUGH)


def test_a_new_silence_is_to_be_shared_once(client: Vtex, simulator: VtexSimulator, watch: Watch) -> None:
    refused_once(client, simulator, retry_after=120)

    assert client.take_new_backoffs() == {"luxstore": watch.now + 120}
    assert client.take_new_backoffs() == {}


# ---- Retry-After


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("2", 2),
        (" 120 ", 120),
        ("007", 7),
        ("43001", LONGEST_WAIT),
        ("9" * 400, LONGEST_WAIT),
        ("Tue, 03 Mar 2026 14:55:30 GMT", 90),
        ("Tue, 03 Mar 2026 11:55:30 -0300", 90),
        ("Tue, 03 Mar 2026 14:55:30 -0000", 90),
        ("Tuesday, 03-Mar-26 14:55:30 GMT", 90),
        ("Tue, 03 Mar 2026 14:53:00 GMT", 0),
        ("Wed, 03 Mar 2027 14:54:00 GMT", LONGEST_WAIT),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_no_longer_than_sqs_can_wait(header: str, seconds: float) -> None:
    assert retry_after(header, NOW) == seconds


@pytest.mark.parametrize("header", [None, " ", "-1", "1.5", "1e3", "²", "2026-03-03"])
def test_retry_after_of_another_shape_says_nothing(header: str | None) -> None:
    assert retry_after(header, NOW) is None


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ ([+-]\d+|GMT)", fullmatch=True))
def test_no_retry_after_can_break_the_check_or_its_wait(header: str) -> None:
    wait = retry_after(header)

    assert wait is None or 0 <= wait <= LONGEST_WAIT


# ---- Time


def test_an_answer_that_trickles_is_given_up_when_the_time_is_over(
    client: Vtex, simulator: VtexSimulator, watch: Watch
) -> None:
    simulator.fail(Fault("trickle"))
    watch.step = 3

    with pytest.raises(RetryLater, match="VTEX took too long to answer"):
        client.read_order(REF, TIME_ENOUGH)


def test_an_answer_that_does_not_begin_is_given_up_when_the_time_is_over(
    client: Vtex, simulator: VtexSimulator
) -> None:
    simulator.fail(Fault("delay", seconds=60))

    with pytest.raises(RetryLater, match="VTEX gave no answer: ReadTimeout"):
        client.read_order(REF, 0.05)


def test_with_little_time_left_every_step_of_a_request_has_no_more() -> None:
    allowed: list[dict[str, float]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        allowed.append(request.extensions["timeout"])
        return httpx.Response(200, json=an_order())

    a_client("http://localhost", transport=httpx.MockTransport(answer)).read_order(REF, 2)

    assert max(allowed[0].values()) <= 2


def test_no_request_is_made_when_the_credentials_took_all_the_time(simulator: VtexSimulator, watch: Watch) -> None:
    def slow(account: str) -> Credentials:
        watch.now += TIME_ENOUGH
        return credentials_of(account)

    with pytest.raises(OutOfTime):
        a_client(simulator.url, slow).read_order(REF, TIME_ENOUGH)

    assert simulator.calls() == []


# ---- Pace


def a_limiter_after_ten(per_minute: int = 60) -> RateLimiter:
    """Return one of which as many turns were taken as may be at once."""
    limiter = RateLimiter(per_minute)
    for _ in range(10):
        limiter.acquire("luxstore", 0)
    return limiter


def test_ten_requests_may_go_at_once_and_the_next_one_waits_for_its_turn(watch: Watch) -> None:
    limiter = a_limiter_after_ten()
    assert watch.slept == []

    limiter.acquire("luxstore", 2)

    assert sum(watch.slept) == pytest.approx(1)


@pytest.mark.parametrize(("per_minute", "at_once"), [(480, 5), (1_920, 10), (3_840, 20)])
def test_of_a_fast_pace_as_many_may_go_at_once_as_come_up_while_a_batch_is_checked(
    watch: Watch, per_minute: int, at_once: int
) -> None:
    limiter = RateLimiter(per_minute, burst=5)
    for _ in range(at_once):
        limiter.acquire("luxstore", 0)
    assert watch.slept == []

    with pytest.raises(NoTurn):
        limiter.acquire("luxstore", 0)


def test_a_turn_that_does_not_come_within_the_patience_is_not_waited_for(watch: Watch) -> None:
    with pytest.raises(OutOfTime) as caught:
        a_limiter_after_ten().acquire("luxstore", 0.9)

    assert caught.value.wait == pytest.approx(1)
    assert watch.slept == []


def test_patience_ends_even_when_others_take_the_turn_again_and_again(watch: Watch) -> None:
    limiter = a_limiter_after_ten()
    watch.meanwhile = lambda: limiter.acquire("luxstore", 0) if len(watch.slept) < 9 else None

    with pytest.raises(OutOfTime):
        limiter.acquire("luxstore", 3.5)

    assert sum(watch.slept) <= 3.5


def test_the_turns_of_an_account_are_its_own(watch: Watch) -> None:
    a_limiter_after_ten().acquire("another-shop", 0)

    assert watch.slept == []


def test_with_no_time_to_wait_a_free_turn_is_taken() -> None:
    RateLimiter(60).acquire("luxstore", -4)


def test_who_has_little_patience_does_not_wait_for_a_turn_though_there_is_time(
    simulator: VtexSimulator, watch: Watch
) -> None:
    with pytest.raises(OutOfTime):
        a_client(simulator.url, limiter=a_limiter_after_ten()).read_order(REF, TIME_ENOUGH, patience=0.5)

    assert (simulator.calls(), watch.slept) == ([], [])


def test_a_request_whose_turn_does_not_come_in_time_is_not_made(simulator: VtexSimulator) -> None:
    with pytest.raises(OutOfTime):
        a_client(simulator.url, limiter=a_limiter_after_ten(1)).read_order(REF, TIME_ENOUGH)

    assert simulator.calls() == []


# ---- Connections and figures


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (None, "200"),
        (UNKNOWN["404"], "404"),
        (SILENCING["429"], "429"),
        (Fault("login_page"), "200"),
        (Fault("drop"), "no_answer"),
        (Fault("drop_midway"), "no_answer"),
    ],
    ids=str,
)
def test_what_was_answered_is_noted_for_the_metrics(
    client: Vtex, simulator: VtexSimulator, fault: Fault | None, status: str
) -> None:
    if fault:
        simulator.fail(fault)

    with suppress(RetryLater, OrderNotFound):
        client.read_order(REF, TIME_ENOUGH)

    assert [answer for answer, _ in client.answers] == [status]
