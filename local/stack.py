"""The stack on this machine: the emulator, the VTEX simulator, and the real template deployed between them.

`python -m local.stack up` leaves it running for replays by hand, `down` stops it, `build` only builds, and `records`
shows what its queues hold. The demo and the tests use `LocalStack` as a context manager, on ports of their own.
Everything listens on 127.0.0.1; where Docker's bridge exists `up` listens there too, for that is what the containers
of `sam local` reach.
"""

import os
import signal
import sys

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # To import the rest takes a moment, in which nothing is done yet that Ctrl-C could interrupt.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))

import argparse
import json
import platform
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from textwrap import shorten
from typing import Any

from local import events, processes
from local.builds import Builds
from local.lock import Lock
from local.processes import LOOPBACK
from local.progress import Progress
from operations.deployment.trouble import Trouble
from operations.terminal import streams

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".venv-tools" / "bin"
STATE = ROOT / ".stack"
STACK_NAME = "invoicekey-local"
MAILBOX = "what-subscribers-get"
"""A queue: the emulator puts there what people would get by e-mail, SMS and chat."""
API_ID = "10ca1000"
REGION = "us-east-1"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
"""The emulator's root user; it holds everybody else to IAM."""
EMULATOR_PORT, VTEX_PORT = 4566, 8910
DOCKER_BRIDGE = "172.17.0.1"
ARCHITECTURE = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
"""Of this machine: the functions run on it."""
VTEX_CREDENTIALS = {"app_key": "vtexappkey-luxstore-LOCAL", "app_token": "a-token-for-this-machine-only"}
PARAMETERS = {**events.PARAMETERS, "RetryBaseSeconds": "2", "InvoiceGraceSeconds": "60", "ChatAlerts": "yes"}
"""Those of `up`: patience enough to see an order wait, and little enough to see what comes of it; chat is shown too."""

_BUCKET = "deployments"
_START_SECONDS = 30
_LONGEST_RUN = 900
"""Lambda lets no function run longer, in seconds."""
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class StackError(Trouble):
    """The stack could not be brought up, or gives no answer; the message says what to look at."""


def silent(_: str) -> None:
    """Tell nobody about progress."""


@dataclass
class LocalStack:
    """An emulator and a VTEX simulator, started as child processes, and the template deployed into the emulator.

    `home` keeps the logs; what else is put there is removed at the end. With `bridge`, both can be reached at
    that address too. Without `hook_secret` it is the one that the stack generates.
    """

    emulator_port: int
    vtex_port: int
    home: Path
    parameters: Mapping[str, str] = field(default_factory=dict)
    say: Callable[[str], None] = silent
    bridge: str | None = None
    hook_secret: str = ""
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    build: Path = field(default=Path(), init=False)
    """The folder that holds the built template, once it is deployed."""

    def __enter__(self) -> "LocalStack":
        try:
            self.start()
            self.deploy()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the emulator and the simulator."""
        _check_tools()
        if not self.lock.take():
            home, who = os.path.relpath(self.home), self.lock.holder()
            raise StackError(f"Another one is running in {home} ({who}): wait until it ends, or end it.")
        for port in (self.emulator_port, self.vtex_port):
            if processes.is_listening(port):
                raise StackError(f"Port {port} is in use by another program: stop that one first.")
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir()
        self.say("starting the emulator (ministack) and the VTEX simulator")
        hosts = [LOOPBACK, self.bridge] if self.bridge else [LOOPBACK]
        self._start("local.emulator", port=self.emulator_port)
        self._start(
            "local.vtex_simulator", "--port", str(self.vtex_port), "--verbose",
            *(part for host in hosts for part in ("--host", host)), port=self.vtex_port,
        )  # fmt: skip
        if self.bridge:
            ends = [f"{host}:{self.emulator_port}" for host in (self.bridge, LOOPBACK)]
            self._start("local.forwarder", *ends, port=self.emulator_port, host=self.bridge)

    def deploy(self) -> None:
        """Build the template and deploy it, and put the secrets where it expects them."""
        self.build = BUILDS.newest(self.say)
        self.say("deploying template.yaml into the emulator (sam deploy)")
        self.client("s3").create_bucket(Bucket=_BUCKET)
        parameters = {
            "Architecture": ARCHITECTURE,
            "AwsEndpointUrl": self.endpoint,
            "VtexBaseUrl": self.vtex_url + "/{account}",
            **self.parameters,
        }
        self._deploy(self.build / "template.yaml", STACK_NAME, parameters, "--tags", f"ms-custom-id={API_ID}")
        self._keep_secrets()

    def deploy_beside(self, template: Path, name: str, parameters: Mapping[str, str]) -> dict[str, str]:
        """Build and deploy another template into the same emulator, and return the outputs of its stack."""
        build = self.home / name / "build"
        # With a cache, sam would keep dependencies under the project's root, and clear away there what others keep.
        _sam(
            "build", "--template-file", str(template), "--build-dir", str(build), "--no-cached",
            parameters=parameters, environment=_isolated(self._temporary), log=self.home / "sam-build.log",
        )  # fmt: skip
        self._deploy(build / "template.yaml", name, parameters)
        return self._outputs_of(name)

    def stop(self) -> None:
        """Stop what was started, and remove what it left."""
        with processes.uninterrupted():
            processes.stop([child.pid for child in self.children.values()])
            self.children.clear()
            if self.lock.is_held:
                shutil.rmtree(self._temporary, ignore_errors=True)
                self.lock.release()

    @cached_property
    def lock(self) -> Lock:
        """Return the lock of its home: nobody else starts, deploys or stops a stack there meanwhile."""
        return Lock(self.home / "lock")

    # ---- What callers ask of a running stack

    @property
    def endpoint(self) -> str:
        """Return the emulator's address."""
        return f"http://{LOOPBACK}:{self.emulator_port}"

    @property
    def vtex_url(self) -> str:
        """Return the simulator's address."""
        return f"http://{LOOPBACK}:{self.vtex_port}"

    def client(self, service: str, *, attempts: int = 3, read_timeout: int = 60, **credentials: str) -> Any:
        """Make a client of an emulated AWS service: the root user's, unless credentials are given."""
        import boto3
        from botocore.config import Config

        root = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        retries: Any = {"total_max_attempts": attempts, "mode": "standard"}
        patience = Config(read_timeout=read_timeout, retries=retries, proxies={})
        make: Any = boto3.client
        return make(service, endpoint_url=self.endpoint, region_name=REGION, config=patience, **(credentials or root))

    @cached_property
    def outputs(self) -> dict[str, str]:
        """Return the outputs of the deployed stack."""
        return self._outputs_of(STACK_NAME)

    def post_hook(self, body: bytes, headers: Mapping[str, str] | None = None) -> int:
        """Post a hook call to the HTTP API as VTEX does, and return the status of the answer."""
        request = urllib.request.Request(f"{self.endpoint}/hooks/vtex/orders", data=body, method="POST")
        request.add_header("Host", self.outputs["HookUrl"].split("/")[2])
        request.add_header("Content-Type", "application/json")
        for name, value in ({"X-Hook-Secret": self.hook_secret} if headers is None else headers).items():
            request.add_header(name, value)
        try:
            with _open(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def vtex(self, method: str, route: str, body: object = None) -> Any:
        """Call the simulator's control routes (/_simulator/…) and return what they answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.vtex_url}/_simulator/{route}", data=data, method=method)
        with _open(request, timeout=10) as answer:
            return json.loads(answer.read())

    def invoke(self, logical_id: str, event: object) -> Any:
        """Invoke a function, once, and return its answer; raise StackError where it fails."""
        resource = self.client("cloudformation").describe_stack_resource(
            StackName=STACK_NAME, LogicalResourceId=logical_id
        )
        answer = self.client("lambda", attempts=1, read_timeout=_LONGEST_RUN).invoke(
            FunctionName=resource["StackResourceDetail"]["PhysicalResourceId"], Payload=json.dumps(event)
        )
        payload = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise StackError(f"{logical_id} failed: {payload}")
        return payload

    def messages(self, queue_url: str) -> list[Any]:
        """Return the messages that a queue holds, and leave them there."""
        sqs, found = self.client("sqs"), {}
        while batch := sqs.receive_message(
            QueueUrl=queue_url, MaxNumberOfMessages=10, VisibilityTimeout=2, MessageAttributeNames=["All"]
        ).get("Messages"):
            found.update({message["MessageId"]: message for message in batch})
        return list(found.values())

    # ---- Steps

    @property
    def _temporary(self) -> Path:
        return self.home / "tmp"

    def _start(self, module: str, *arguments: str, port: int, host: str = LOOPBACK) -> None:
        name = module.rpartition(".")[2]
        log = self.home / f"{name}.log"
        settings = {
            "GATEWAY_PORT": str(self.emulator_port),
            "BIND_HOST": LOOPBACK,
            "MINISTACK_REGION": REGION,
            "AUTH": "true",
            "LAMBDA_EXECUTOR": "local",
            "PERSIST_STATE": "0",
            "STATE_DIR": str(self._temporary),
            "S3_DATA_DIR": str(self._temporary),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
        }
        command = [str(TOOLS / "python"), "-m", module, *arguments]
        with processes.uninterrupted():
            child = processes.start(command, log=log, environment={**_isolated(self._temporary), **settings}, home=ROOT)
            self.children[module] = child
        end = time.monotonic() + _START_SECONDS
        while not processes.is_listening(port, host):
            if child.poll() is not None or time.monotonic() > end:
                raise StackError(f"{module} did not start: {_last_words(log)} (the log is {os.path.relpath(log)})")
            time.sleep(0.05)

    def _outputs_of(self, name: str) -> dict[str, str]:
        (stack,) = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def _deploy(self, template: Path, name: str, parameters: Mapping[str, str], *more: str) -> None:
        environment = {**_isolated(self._temporary), "AWS_ENDPOINT_URL": self.endpoint, "SAM_CLI_POLL_DELAY": "0.2"}
        _sam(
            "deploy", "--template-file", str(template), "--stack-name", name, "--s3-bucket", _BUCKET,
            "--region", REGION, "--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-progressbar", *more,
            parameters=parameters, environment=environment, log=self.home / "sam-deploy.log",
        )  # fmt: skip

    def _keep_secrets(self) -> None:
        secrets = self.client("secretsmanager")
        hook, vtex = self.outputs["HookSecretArn"], self.outputs["VtexCredentialsSecretArn"]
        secrets.put_secret_value(SecretId=vtex, SecretString=json.dumps({events.ACCOUNT: VTEX_CREDENTIALS}))
        if self.hook_secret:
            kept = {"current": self.hook_secret, "previous": events.PREVIOUS_HOOK_SECRET}
            secrets.put_secret_value(SecretId=hook, SecretString=json.dumps(kept))
        else:
            self.hook_secret = json.loads(secrets.get_secret_value(SecretId=hook)["SecretString"])["current"]


# ---- sam, and the builds that all stacks share


def _isolated(temporary: Path) -> dict[str, str]:
    """Return an environment without anybody's AWS account, and with no proxy between us."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **own,
        **KEYS,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": f"{LOOPBACK},localhost",
        "no_proxy": f"{LOOPBACK},localhost",
        "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        "SAM_CLI_TELEMETRY": "0",
        "TMPDIR": str(temporary),
    }


def _sam(
    command: str, *arguments: str, parameters: Mapping[str, str], environment: Mapping[str, str], log: Path
) -> None:
    overrides = [f"{name}={value}" for name, value in parameters.items()]
    # A profile that samconfig.toml does not have: what stands there is for AWS, and for `sam local`.
    line = [str(TOOLS / "sam"), command, *arguments, "--config-env", "here", "--parameter-overrides", *overrides]
    if processes.run(line, log=log, environment=environment, home=ROOT):
        raise StackError(f"sam {command} failed: {_last_words(log)} (the log is {os.path.relpath(log)})")


def _last_words(log: Path) -> str:
    """Return the last line of a log that names an error, else its last one; of what the system refused, its words."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(\w*Error|ERROR)\b", line)]
    last = (errors or lines or ["it said nothing"])[-1]
    refused = re.search(r"\[Errno \d+\] ([^:'\"]+)", last)
    return refused[1] if refused else shorten(last, 200, placeholder=" …")


def _check_tools() -> None:
    if not (TOOLS / "sam").exists():
        raise StackError(f"{TOOLS.relative_to(ROOT)} is not set up: make setup does it.")


def _sam_build(draft: Path) -> None:
    temporary = draft / "tmp"
    temporary.mkdir()
    _sam(
        "build", "--build-dir", str(draft / "artifacts"), "--cached", "--cache-dir", str(draft / "cache"),
        parameters={"Architecture": ARCHITECTURE}, environment=_isolated(temporary), log=draft.parent / "sam-build.log",
    )  # fmt: skip
    shutil.rmtree(temporary)


BUILDS = Builds(ROOT, STATE / "builds", ARCHITECTURE, _sam_build)


# ---- The stack that is left running

HOME = STATE / "up"
_RUNNING, _DEPLOYED = HOME / "running.json", HOME / "deployed"
_LONGEST_END = 30
"""So many seconds `make up` may take to stop what it has started."""


def up(progress: Progress) -> None:
    """Start the stack and leave it running; where it is up already, say so."""
    stack = standing_stack(progress)
    stack.lock.wait(progress, "another make up is deploying")
    if _is_up():
        progress.line("The stack is up already.")
        _tell_what_next(stack, progress)
        return
    _stop_noted()
    try:
        stack.start()
        _RUNNING.write_text(json.dumps({module: child.pid for module, child in stack.children.items()}))
        stack.deploy()
        orders = [json.loads(path.read_bytes()) for path in sorted((events.EVENTS / "orders").glob("*.json"))]
        stack.vtex("PUT", "orders", orders)
        _open_the_mailbox(stack)
        progress.end()
        _DEPLOYED.touch()
    except BaseException:
        stack.stop()
        _RUNNING.unlink(missing_ok=True)
        raise
    _tell_what_next(stack, progress)


def _is_up() -> bool:
    noted = _noted()
    return _DEPLOYED.exists() and bool(noted) and all(processes.is_running(pid, name) for name, pid in noted.items())


def _open_the_mailbox(stack: LocalStack) -> None:
    """Keep what people get from now on, for `local.play mail` to show; and let somebody be subscribed to the alerts."""
    from local.watch import Mailbox, Watch

    Watch(stack)
    Mailbox(stack)


def down(progress: Progress) -> None:
    """Stop the stack that `up` left running, or is about to."""
    stack = standing_stack(silent)
    has_ended = _end_whoever_deploys(stack.lock)
    stopped = _stop_noted()
    shutil.rmtree(HOME / "tmp", ignore_errors=True)
    progress.line("The stack is stopped." if stopped or has_ended else "The stack was not up.")


def _end_whoever_deploys(lock: Lock) -> bool:
    """Take the lock; who holds it is told to end, and stops what it has started. Say whether there was somebody."""
    told, end = set(), time.monotonic() + _LONGEST_END
    while not lock.take():
        pid = lock.holder_pid()
        if pid and pid not in told and processes.is_running(pid, "local.stack"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            told.add(pid)
        if time.monotonic() > end:
            raise StackError(f"make up ({lock.holder()}) has not ended in {_LONGEST_END} s: kill -9 {pid} ends it.")
        time.sleep(0.05)
    return bool(told)


def build(progress: Progress) -> None:
    """Build what `up` deploys, and say where it lies."""
    _check_tools()
    progress.line(f"built for this machine ({ARCHITECTURE}): {os.path.relpath(BUILDS.newest(progress))}")


def records(progress: Progress) -> None:
    """Show what lies in the failure queue and in the dead-letter queue, and leave it there."""
    stack = standing_stack(silent)
    see_that_it_is_up(stack)
    for name in ("FailureQueueUrl", "HookDeadLetterQueueUrl"):
        messages = stack.messages(stack.outputs[name])
        progress.line(f"{name.removesuffix('Url')}: {len(messages) or 'empty'}")
        for message in messages:
            attributes = {key: value["StringValue"] for key, value in message["MessageAttributes"].items()}
            progress.line(f"\n{json.dumps(attributes)}\n{_indented(message['Body'])}")


def see_that_it_is_up(stack: LocalStack) -> None:
    """Raise StackError where the stack of `up` does not run."""
    if not processes.is_listening(stack.emulator_port):
        raise StackError("The stack is not up: make up starts it.")


def standing_stack(say: Callable[[str], None]) -> LocalStack:
    """Return the stack of `up`, whether it runs or not."""
    bridge = DOCKER_BRIDGE if processes.has_address(DOCKER_BRIDGE) else None
    return LocalStack(
        EMULATOR_PORT, VTEX_PORT, HOME, PARAMETERS, say=say, bridge=bridge, hook_secret=events.HOOK_SECRET
    )


def _noted() -> dict[str, int]:
    with suppress(OSError, ValueError):
        noted: dict[str, int] = json.loads(_RUNNING.read_text())
        return noted
    return {}


def _stop_noted() -> bool:
    """Stop what was noted and still runs; a note may be older than this machine's last start."""
    running = [pid for module, pid in _noted().items() if processes.is_running(pid, module)]
    processes.stop(running)
    for note in (_DEPLOYED, _RUNNING):
        note.unlink(missing_ok=True)
    return bool(running)


def _indented(body: str) -> str:
    with suppress(ValueError):
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    return body


def _tell_what_next(stack: LocalStack, progress: Progress) -> None:
    from local.reader import list_link

    order_id = events.BY_NAME["key-missing"].order_id
    keys = " \\\n    ".join(f"{name}={value}" for name, value in KEYS.items())
    built_for = "" if ARCHITECTURE == "arm64" else f" \\\n    --parameter-overrides Architecture={ARCHITECTURE}"
    hook_url = stack.outputs["HookUrl"]
    progress.line(f"""
Hooks go to
  {hook_url}
and the orders of events/orders are at the VTEX simulator.

Post a hook, and see what came of it:
  curl -i {hook_url} \\
    -H 'X-Hook-Secret: {stack.hook_secret}' \\
    -d '{{"OrderId": "{order_id}", "State": "invoiced",
         "Origin": {{"Account": "{events.ACCOUNT}"}}}}'
  .venv-tools/bin/python -m local.stack records

Read the e-mail, SMS and chat message that it brought, put the key in as
somebody does in VTEX's Admin, and see the failure close:
  .venv-tools/bin/python -m local.play mail
  .venv-tools/bin/python -m local.play mend {order_id}

See and do there what whoever gets the alerts can (in a browser, for seven days):
  {list_link(stack, events.ACCOUNT)}

See it as an operator does, after make setup:
  export AWS_ENDPOINT_URL={stack.endpoint} \\
    {keys}
  .venv/bin/invoicekey failures --stack {STACK_NAME}

Or as a program that reads the failure queue, with the same settings (docs/consuming.md):
  FAILURE_QUEUE_URL={stack.outputs["FailureQueueUrl"]} .venv/bin/python examples/consumer/plain.py

Run a function by itself, or the API, with Docker:
  export PATH="$PWD/.venv-tools/bin:$PATH" \\
    {keys}
  sam build{built_for}
  sam local invoke CheckInvoiceFunction -e events/checks/key-missing.json{built_for}
  sam local invoke ReceiveHookFunction -e events/hooks/invoiced.json{built_for}
  sam local start-api{built_for}

The log of the functions is {os.path.relpath(stack.home / "emulator.log")}.
Stop it all with: make down""")
    if not stack.bridge and sys.platform == "linux":
        progress.line("\nDocker's bridge is not there: for `sam local`, start Docker, then\nmake down and make up.")


ALL_STOPPED = "interrupted: everything is stopped"


def run(program: Callable[[Progress], int | None], *, interrupted: str = "interrupted") -> int:
    """Run a program of this machine's stack and return its exit code; whatever ends it is told in one line."""

    def shown() -> int:
        processes.end_on_signals()
        with Progress() as progress, _answering():
            return program(progress) or 0

    writes = f"The output, or a file in {STATE.name}/,"
    return streams.run(shown, interrupted=interrupted, writes=writes)


@contextmanager
def _answering() -> Iterator[None]:
    """Say in one line that the emulator or the simulator gives no answer, as when it was stopped meanwhile."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except (BotoCoreError, ClientError, ResponseParserError, ConnectionResetError, urllib.error.URLError) as error:
        why = " ".join(str(error).split())
        raise StackError(f"The stack does not answer as expected: {why} Make it anew: make down, make up.") from None


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="local.stack", description="The stack on this machine.")
    commands = {"up": up, "down": down, "build": build, "records": records}
    parser.add_argument("command", choices=commands)
    command = parser.parse_args().command
    return run(commands[command], interrupted=ALL_STOPPED if command == "up" else "interrupted")


if __name__ == "__main__":
    sys.exit(main())
