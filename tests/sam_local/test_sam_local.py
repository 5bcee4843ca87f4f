"""`sam local invoke` and `sam local start-api`, with the committed settings, against a stack of `make up`'s kind."""

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from local import events, processes
from local.events import BY_NAME, CHECKS
from local.stack import ARCHITECTURE, DOCKER_BRIDGE, KEYS, PARAMETERS, ROOT, STATE, TOOLS, LocalStack
from local.watch import Watch, until

REPLAYING = (ROOT / "docs" / "replaying.md").read_text()
REPLAYS = re.findall(r"^sam local invoke (\w+) -e events/(\S+) --parameter-overrides \$ARCH$", REPLAYING, re.MULTILINE)
IMAGE = f"public.ecr.aws/lambda/python:3.13-{ARCHITECTURE}"
ENVIRONMENT = {**os.environ, **KEYS, "SAM_CLI_TELEMETRY": "0", "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}"}


def in_docker(statement: str) -> bool:
    """Run a statement with the client that SAM uses, and say whether it went well."""
    command = [str(TOOLS / "python"), "-c", f"import docker; client = docker.from_env(timeout=5); {statement}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.sam_local,
    pytest.mark.skipif(not in_docker("client.ping()"), reason="no Docker engine answers on this machine"),
]


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    bridge = DOCKER_BRIDGE if processes.has_address(DOCKER_BRIDGE) else None
    emulator_port, vtex_port = processes.free_ports(2)
    home = STATE / "sam-local"
    with LocalStack(
        emulator_port, vtex_port, home, PARAMETERS, bridge=bridge, hook_secret=events.HOOK_SECRET
    ) as running:
        running.vtex("PUT", "orders", [events.order_document(case) for case in events.ORDERS])
        yield running


@pytest.fixture(scope="module")
def watch(stack: LocalStack) -> Watch:
    return Watch(stack)


@pytest.fixture(scope="module")
def settings(stack: LocalStack) -> list[str]:
    """Return the committed settings, for this stack's ports and build."""
    variables = (ROOT / "local" / "sam-env.json").read_text()
    for usual, here in (("4566", stack.emulator_port), ("8910", stack.vtex_port)):
        variables = variables.replace(f"host.docker.internal:{usual}", f"host.docker.internal:{here}")
    own_variables = stack.home / "sam-env.json"
    own_variables.write_text(variables)
    return [
        "--template-file", str(stack.build / "template.yaml"),
        "--config-file", str(ROOT / "samconfig.toml"),
        "--env-vars", str(own_variables),
        "--parameter-overrides", f"Architecture={ARCHITECTURE}",
        *(["--skip-pull-image"] if in_docker(f"client.images.get('{IMAGE}')") else []),
    ]  # fmt: skip


def invoke(function: str, event: str, settings: list[str]) -> Any:
    """Run a function in a container on an event, and return what it answers."""
    command = [str(TOOLS / "sam"), "local", "invoke", function, "--event", str(events.EVENTS / event), *settings]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize(("event", "status"), [("invoiced", 200), ("wrong-secret", 401)])
def test_the_receiver_answers_a_sample_call(event: str, status: int, settings: list[str]) -> None:
    assert invoke("ReceiveHookFunction", f"hooks/{event}.json", settings) == {"statusCode": status}


def test_a_sample_check_of_a_failing_order_leaves_a_record_and_an_alert(settings: list[str], watch: Watch) -> None:
    case = BY_NAME["key-of-an-nfce"]

    answer = invoke("CheckInvoiceFunction", f"checks/{case.name}.json", settings)

    (record,) = until(lambda: watch.records(case.order_id), "the record")
    assert answer == {"batchItemFailures": []}
    assert [problem["code"] for problem in record["data"]["problems"]] == ["wrong_model"]
    assert len(watch.emails(case.order_id)) == 1


def test_a_sample_batch_gives_back_what_has_to_wait_and_buries_what_is_dead(settings: list[str], watch: Watch) -> None:
    (case,) = [case for case in CHECKS if case.name == "batch-of-five"]
    sent = events.check_event(case)["Records"]

    answer = invoke("CheckInvoiceFunction", f"checks/{case.name}.json", settings)

    waiting = [{"itemIdentifier": sent[number]["messageId"]} for number in case.returned]
    assert answer == {"batchItemFailures": waiting}
    assert [letter.attributes["reason"] for letter in watch.dead_letters()] == [case.dead]


def test_what_is_open_is_read_again_and_reminded_of(settings: list[str], watch: Watch) -> None:
    case = BY_NAME["key-of-an-nfce"]

    queued = invoke("RecheckFailuresFunction", "schedules/recheck-all.json", settings)
    reminded = invoke("SendDigestFunction", "schedules/send-reminder.json", settings)

    assert queued["queued"] >= 1
    assert reminded["reminders"] == 1
    (reminder,) = until(lambda: watch.emails(kind="reminder"), "the reminder")
    assert case.order_id in reminder.text


def test_the_api_takes_a_hook_call(settings: list[str], stack: LocalStack, watch: Watch) -> None:
    (port,) = processes.free_ports(1)
    case = BY_NAME["unknown-state"]
    command = [str(TOOLS / "sam"), "local", "start-api", "--port", str(port), *settings]
    with (stack.home / "start-api.log").open("wb") as log:
        api = subprocess.Popen(
            command, cwd=ROOT, env=ENVIRONMENT, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        until(lambda: processes.is_listening(port) or api.poll() is not None, "the API", seconds=90)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/hooks/vtex/orders",
            data=json.dumps(case.notification).encode(),
            headers={"X-Hook-Secret": events.HOOK_SECRET, "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 200
    finally:
        processes.stop([api.pid])

    # It went to the deployed stack's own queue, whose checker found the order wanting.
    assert until(lambda: watch.records(case.order_id), "the record")


@pytest.mark.parametrize(("function", "event"), REPLAYS)
def test_what_the_document_replays_runs(function: str, event: str, settings: list[str]) -> None:
    assert "errorMessage" not in invoke(function, event, settings)
