"""The deployed stack answers as docs/openapi.yaml says; tests/integration/test_openapi.py asks the functions more."""

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from invoicekey.messages.links import Links, Target
from local import events
from local.stack import LocalStack
from tests.integration.test_openapi import CONFORMANCE, DESCRIPTION, DESK, HOOK, OPERATIONS

pytestmark = pytest.mark.stack

A_FEW = settings(max_examples=8, suppress_health_check=[*HealthCheck])


@pytest.fixture(scope="module")
def schema() -> Any:
    return schemathesis.openapi.from_dict(DESCRIPTION)


@pytest.fixture(scope="module")
def token(stack: LocalStack) -> str:
    stored = stack.client("secretsmanager").get_secret_value(SecretId=stack.outputs["DeskSecretArn"])
    return Links("", [json.loads(stored["SecretString"])["current"]]).token(Target(events.ACCOUNT))


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
@given(data=st.data())
@A_FEW
def test_it_answers_as_described(
    schema: Any, stack: LocalStack, token: str, path: str, method: str, data: st.DataObject
) -> None:
    fixed: dict[str, Any] = {
        HOOK: {"headers": {"X-Hook-Secret": stack.hook_secret}},
        DESK: {"path_parameters": {"token": token}},
    }[path]
    mode = data.draw(st.sampled_from(GenerationMode))
    case = data.draw(schema[path][method].as_strategy(mode, **fixed))
    host = urlsplit(stack.outputs["HookUrl"]).netloc
    answer = case.call(base_url=stack.endpoint, headers={"Host": host})
    case.validate_response(answer, checks=CONFORMANCE)
