"""docs/openapi.yaml says what the two functions answer: schemathesis makes requests of it, and compares the answers.

Both functions run as Lambda runs them, on moto's AWS. What stands before them is a small gateway, which makes events of
requests as the HTTP API does.
"""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import unquote

import boto3
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from invoicekey.ledger.entries import Ledger
from invoicekey.messages.links import Links, Target
from invoicekey.rules.verdict import Code
from invoicekey.runtime.errors import RetryLater
from invoicekey.work import desk_list
from operations.deployment.template import template
from tests.desk import ACCOUNT, DESK_KEY, DESK_URL
from tests.orders import sale
from tests.whole_stack import HOOK_SECRET, WholeStack, whole_stack

DESCRIPTION: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[2] / "docs" / "openapi.yaml").read_text(encoding="utf-8")
)
HOOK, DESK = "/hooks/vtex/orders", "/desk/{token}"
OPERATIONS = [(HOOK, "post"), (DESK, "get"), (DESK, "head"), (DESK, "post")]
OF_THE_DESK = [method for path, method in OPERATIONS if path == DESK]
TEXTS = ("text/", "application/json", "application/javascript", "application/xml")
"""The content types whose bodies the HTTP API hands on as they are; others it encodes."""
A_FEW = settings(max_examples=20, suppress_health_check=[*HealthCheck])
TOKEN = Links(DESK_URL, [DESK_KEY])


class Gateway:
    """Makes an event of a WSGI request, as the HTTP API does (payload format 2.0), and answers as the function did."""

    def __init__(self, stack: WholeStack) -> None:
        self.body = b""
        """Of the last request."""
        self._stack = stack

    def __call__(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.body = body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        is_text = environ.get("CONTENT_TYPE", "").startswith(TEXTS)
        names = {name: name.removeprefix("HTTP_").replace("_", "-").lower() for name in environ}
        event = {
            "version": "2.0",
            "headers": {given: environ[name] for name, given in names.items() if name.startswith("HTTP_")},
            "requestContext": {"requestId": "request", "http": {"method": method}},
            "rawQueryString": environ.get("QUERY_STRING", ""),
            "body": body.decode("utf-8", "replace") if is_text else base64.b64encode(body).decode(),
            "isBase64Encoded": not is_text,
        }
        if path == HOOK:
            answer = self._stack.run("receive_hook", **event)
        else:
            token = unquote(path.removeprefix("/desk/"))
            answer = self._stack.run("desk", pathParameters={"token": token}, **event)
        status = HTTPStatus(answer["statusCode"])
        start_response(f"{status.value} {status.phrase}", list(answer.get("headers", {}).items()))
        return [answer.get("body", "").encode()]


@dataclass
class Api:
    """The functions behind their gateway, and the schema that was loaded for them."""

    stack: WholeStack
    schema: Any

    def operation(self, path: str, method: str) -> Any:
        return self.schema[path][method]

    @property
    def gateway(self) -> Gateway:
        gateway: Gateway = self.schema.app
        return gateway

    def is_allowed(self, body: bytes, *names: str) -> bool:
        """Say whether a body is one of what the description names so, or of all that the hook takes."""
        try:
            document = json.loads(body)
        except ValueError:
            return False
        allowed = [{"$ref": f"#/components/schemas/{name}"} for name in names or ("Notification", "Ping")]
        return Draft202012Validator({"anyOf": allowed, "components": DESCRIPTION["components"]}).is_valid(document)

    def hook_calls(self, mode: GenerationMode, secret: str) -> Any:
        """Draw calls of the hook with this secret, with bodies that the description allows, or does not."""
        return self.operation(HOOK, "post").as_strategy(mode, headers={"X-Hook-Secret": secret})

    def send(self, case: Any) -> int:
        """Send a request, and compare its answer with the description: status, headers, content type."""
        answer = case.call()
        case.validate_response(answer, checks=CONFORMANCE)
        return int(answer.status_code)

    def ask(self, path: str, method: str, *, token: str = "", secret: str = HOOK_SECRET, **given: Any) -> int:
        """Send one certain request."""
        parameters = {"token": token} if token else {}
        headers = {"X-Hook-Secret": secret}
        return self.send(self.operation(path, method).Case(path_parameters=parameters, headers=headers, **given))


load_all_checks()
CONFORMANCE = CHECKS.get_by_names(
    ["status_code_conformance", "content_type_conformance", "response_headers_conformance"]
)


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with whole_stack() as stack, pytest.MonkeyPatch.context() as patch:
        key = json.dumps({"current": DESK_KEY})
        secret = boto3.client("secretsmanager").create_secret(Name="desk", SecretString=key)
        patch.setenv("DESK_SECRET_ARN", secret["ARN"])
        for order_id in ("VVJ-1-01", "VVJ-2-01"):
            stack.invoice(order_id, sale(key=None))
            stack.check(order_id)
        schema = schemathesis.openapi.from_dict(DESCRIPTION)
        schema.app = Gateway(stack)
        yield Api(stack, schema)


def token(order_id: str | None = None, made: timedelta = timedelta()) -> str:
    """Return the token of an order's link, or of the list's, as it was made so long ago."""
    with mock.patch("time.time", return_value=(datetime.now(UTC) - made).timestamp()):
        return TOKEN.token(Target(ACCOUNT, order_id))


# ---- What is described is what there is


def test_the_description_is_openapi(api: Api) -> None:
    api.schema.validate()


def test_each_route_of_the_template_is_described_and_no_other() -> None:
    resources = template()["Resources"].values()
    routes = {one["Properties"]["RouteKey"] for one in resources if one["Type"] == "AWS::ApiGatewayV2::Route"}
    assert routes == {f"POST {HOOK}", f"ANY {DESK}"}
    assert [(path, method) for path, of_path in DESCRIPTION["paths"].items() for method in of_path
            if method != "parameters"] == OPERATIONS  # fmt: skip


def test_its_version_is_the_stack_s() -> None:
    assert DESCRIPTION["info"]["version"] == template()["Mappings"]["Release"]["This"]["Version"]


def test_the_problems_that_narrow_a_list_are_the_codes_that_there_are() -> None:
    assert DESCRIPTION["components"]["schemas"]["ProblemFilter"]["enum"] == ["", *Code]


# ---- Requests made of the description


@pytest.mark.parametrize("mode", GenerationMode)
@given(data=st.data())
@A_FEW
def test_vtex_is_answered_200_to_what_the_description_allows_and_to_nothing_else(
    api: Api, mode: GenerationMode, data: st.DataObject
) -> None:
    status = api.send(data.draw(api.hook_calls(mode, HOOK_SECRET)))
    assert status in ({200} if api.is_allowed(api.gateway.body) else {400, 403, 413})


@pytest.mark.parametrize("mode", GenerationMode)
@given(data=st.data())
@A_FEW
def test_a_stranger_is_told_nothing_whatever_is_sent(api: Api, mode: GenerationMode, data: st.DataObject) -> None:
    status = api.send(data.draw(api.hook_calls(mode, "wrong")))
    assert status == (200 if api.is_allowed(api.gateway.body, "Ping") else 401)


@pytest.mark.parametrize("method", OF_THE_DESK)
@given(data=st.data())
@A_FEW
def test_the_desk_answers_as_described_whatever_is_asked(api: Api, method: str, data: st.DataObject) -> None:
    mode = data.draw(st.sampled_from(GenerationMode))
    opened = data.draw(st.sampled_from([token(), token("VVJ-1-01")]))
    case = data.draw(api.operation(DESK, method).as_strategy(mode, path_parameters={"token": opened}))
    assert api.send(case) < 500


@pytest.mark.parametrize("method", ["get", "head"])
@given(data=st.data())
@A_FEW
def test_a_page_narrowed_as_the_description_allows_is_shown(api: Api, method: str, data: st.DataObject) -> None:
    opened = data.draw(st.sampled_from([token(), token("VVJ-1-01")]))
    case = data.draw(api.operation(DESK, method).as_strategy(path_parameters={"token": opened}))
    assert api.send(case) == 200


@given(data=st.data())
@A_FEW
def test_no_other_token_opens_anything(api: Api, data: st.DataObject) -> None:
    mode = data.draw(st.sampled_from(GenerationMode))
    case = data.draw(api.operation(DESK, data.draw(st.sampled_from(OF_THE_DESK))).as_strategy(mode))
    assert api.send(case) == 403


# ---- Each answer that is described does come


def asked(path: str, method: str, status: int, **given: Any) -> Any:
    return pytest.param(path, method, status, given, id=f"{method} {path} {status}")


NOTIFICATION = {"OrderId": "VVJ-1-01", "State": "invoiced", "Origin": {"Account": ACCOUNT}}
JSON, FORM = {"media_type": "application/json"}, {"media_type": "application/x-www-form-urlencoded"}
ANSWERS = [
    asked(HOOK, "post", 200, body=NOTIFICATION, **JSON),
    asked(HOOK, "post", 400, body={"OrderId": " "}, **JSON),
    asked(HOOK, "post", 401, body=NOTIFICATION, secret="wrong", **JSON),
    asked(HOOK, "post", 403, body=NOTIFICATION | {"Origin": {"Account": "Luxstore"}}, **JSON),
    asked(HOOK, "post", 413, body=NOTIFICATION | {"padding": "x" * 65_536}, **JSON),
    asked(HOOK, "post", 503, body=NOTIFICATION, out_of_reach="receive_hook", **JSON),
    *(
        answer
        for method in ("get", "head")
        for answer in (
            asked(DESK, method, 200, token=token()),
            asked(DESK, method, 400, token=token(), query={"state": "shut"}),
            asked(DESK, method, 403, token="forged"),
            asked(DESK, method, 410, token=token(made=timedelta(days=8))),
            asked(DESK, method, 500, token=token(), out_of_reach="code"),
            asked(DESK, method, 503, token=token("VVJ-1-01"), out_of_reach="ledger"),
        )
    ),
    asked(DESK, "get", 200, token=token(), query={"format": "csv"}),
    asked(DESK, "get", 200, token=token(), query={"view": "figures"}),
    asked(DESK, "post", 303, token=token("VVJ-2-01"), body={"act": "dismiss"}, **FORM),
    asked(DESK, "post", 400, token=token("VVJ-2-01"), body={"act": "snooze"}, **FORM),
    asked(DESK, "post", 403, token="forged", body={"act": "check"}, **FORM),
    asked(DESK, "post", 409, token=token("VVJ-3-01"), body={"act": "check"}, **FORM),
    asked(DESK, "post", 410, token=token("VVJ-2-01", timedelta(days=31)), body={"act": "check"}, **FORM),
    asked(DESK, "post", 500, token=token(), body={"act": "check"}, out_of_reach="code", **FORM),
    asked(DESK, "post", 503, token=token("VVJ-2-01"), body={"act": "check"}, out_of_reach="ledger", **FORM),
]


@pytest.mark.parametrize(("path", "method", "status", "given"), ANSWERS)
def test_an_answer_that_is_described_comes(
    api: Api, path: str, method: str, status: int, given: dict[str, Any]
) -> None:
    asked_for = dict(given)
    with trouble(api.stack, asked_for.pop("out_of_reach", "")):
        assert api.ask(path, method, **asked_for) == status


def test_no_answer_is_described_that_does_not_come() -> None:
    described = {
        (path, method, int(status))
        for path, method in OPERATIONS
        for status in DESCRIPTION["paths"][path][method]["responses"]
    }
    assert described == {tuple(answer.values[:3]) for answer in ANSWERS}


def trouble(stack: WholeStack, where: str) -> ExitStack:
    """Put the queue, the ledger or the code itself out of order for as long as it is open."""
    patched = ExitStack()
    if where == "receive_hook":
        stack.receive("VVJ-1-01")  # it has started, and knows the secret
        receiver = stack.functions["receive_hook"].receiver
        patched.enter_context(mock.patch.object(receiver, "_queue", side_effect=RetryLater("SQS did not take it")))
    elif where == "ledger":
        patched.enter_context(mock.patch.object(Ledger, "read_one", side_effect=RetryLater("DynamoDB gave no answer")))
    elif where == "code":
        patched.enter_context(mock.patch.object(desk_list.Filters, "of", side_effect=TypeError))
    return patched
