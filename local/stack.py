"""The stack on this machine: the emulator, the VTEX simulator, and the real template deployed between them.

`python -m local.stack up` leaves it running for replays by hand, `down` stops it. The demo and the stack tests use
`LocalStack` as a context manager, on ports of their own. Everything listens on 127.0.0.1; where Docker's bridge exists
`up` listens there too, for that is what the containers of `sam local` reach.
"""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".stack"
STACK_NAME = "invoicekey-local"
REGION = "us-east-1"
EMULATOR_PORT = 4566
VTEX_PORT = 8910
DOCKER_BRIDGE = "172.17.0.1"
CREDENTIALS = {"app_key": "vtexappkey-luxstore-LOCAL", "app_token": "a-token-for-this-machine-only"}
ACCOUNT = "luxstore"


class StackError(Exception):
    """The stack could not be brought up; the message says what to look at."""


def silent(_: str) -> None:
    """Tell nobody about progress."""


@dataclass
class LocalStack:
    """An emulator and a VTEX simulator, started as child processes, and the template deployed into the emulator."""

    emulator_port: int
    vtex_port: int
    home: Path
    parameters: Mapping[str, str] = field(default_factory=dict)
    say: Callable[[str], None] = silent
    hosts: tuple[str, ...] = ("127.0.0.1",)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> "LocalStack":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and deploy, telling each step."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.say("starting the emulator and the VTEX simulator")
        self._start_emulator()
        self._start_vtex()
        self.say("building functions and layers (sam build)")
        self._sam("build", *self._build_arguments())
        self.say("deploying template.yaml into the emulator (sam deploy)")
        self._deploy()
        self._keep_credentials()

    def stop(self) -> None:
        """Stop the processes that were started, and wait for them."""
        stop_processes([process.pid for process in self.processes])
        for process in self.processes:
            process.wait()
        self.processes.clear()

    # ---- What callers ask of a running stack

    @property
    def endpoint(self) -> str:
        """Return the emulator's address."""
        return f"http://127.0.0.1:{self.emulator_port}"

    @property
    def vtex_url(self) -> str:
        """Return the simulator's address."""
        return f"http://127.0.0.1:{self.vtex_port}"

    def client(self, service: str) -> Any:
        """Make a client of an emulated AWS service."""
        make: Any = boto3.client
        return make(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 3, "mode": "standard"}),
        )

    @cached_property
    def outputs(self) -> dict[str, str]:
        """Return the outputs of the deployed stack."""
        (stack,) = self.client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    @cached_property
    def hook_secret(self) -> str:
        """Return the secret that the hook has to carry."""
        secret = self.client("secretsmanager").get_secret_value(SecretId=self.outputs["HookSecretArn"])
        return str(json.loads(secret["SecretString"])["current"])

    def post_hook(self, body: bytes, headers: Mapping[str, str] | None = None) -> int:
        """Post a hook call to the HTTP API as VTEX does, and return the status of the answer."""
        host = self.outputs["HookUrl"].split("/")[2]
        request = urllib.request.Request(f"{self.endpoint}/hooks/vtex/orders", data=body, method="POST")
        request.add_header("Host", host)
        request.add_header("Content-Type", "application/json")
        for name, value in (headers if headers is not None else {"X-Hook-Secret": self.hook_secret}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def vtex(self, method: str, route: str, body: object = None) -> Any:
        """Call the simulator's control routes (/_simulator/…) and return what they answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.vtex_url}/_simulator/{route}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    # ---- Steps

    def _start_emulator(self) -> None:
        for taken in (self.emulator_port, self.vtex_port):
            if is_listening(taken):
                raise StackError(f"port {taken} is in use; is the stack up already? `make down` stops it")
        environment = {
            **os.environ,
            "GATEWAY_PORT": str(self.emulator_port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "AUTH": "true",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "TMPDIR": str(self.home),
        }
        self._start("emulator", [sys.executable, "-m", "local.emulator"], environment, self.emulator_port)

    def _start_vtex(self) -> None:
        command = [sys.executable, "-m", "local.vtex_simulator", "--port", str(self.vtex_port), "--verbose"]
        for host in self.hosts:
            command += ["--host", host]
        self._start("vtex", command, {**os.environ, "PYTHONUNBUFFERED": "1"}, self.vtex_port)

    def _start(self, name: str, command: list[str], environment: dict[str, str], port: int) -> None:
        log = self.home / f"{name}.log"
        with log.open("wb") as output:
            # A session of its own: Ctrl-C reaches us, and we stop it in order.
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
            )
        self.processes.append(process)
        for _ in range(300):
            if is_listening(port):
                return
            if process.poll() is not None:
                break
            time.sleep(0.1)
        raise StackError(f"the {name} did not start; its log is {log.relative_to(ROOT)}")

    def _build_arguments(self) -> list[str]:
        architecture = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
        return ["--build-dir", str(self.home / "build"), "--parameter-overrides", f"Architecture={architecture}"]

    def _deploy(self) -> None:
        bucket = "deployments"
        self.client("s3").create_bucket(Bucket=bucket)
        architecture = self._build_arguments()[-1]
        parameters = {
            "AwsEndpointUrl": self.endpoint,
            "VtexBaseUrl": self.vtex_url + "/{account}",
            **self.parameters,
        }
        self._sam(
            "deploy",
            "--template-file", str(self.home / "build" / "template.yaml"),
            "--stack-name", STACK_NAME, "--s3-bucket", bucket, "--region", REGION,
            "--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-progressbar",
            "--parameter-overrides", architecture, *(f"{name}={value}" for name, value in parameters.items()),
        )  # fmt: skip

    def _sam(self, *arguments: str) -> None:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "SAM_CLI_TELEMETRY": "0",
        }
        command = [str(Path(sys.executable).parent / "sam"), *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        (self.home / f"sam-{arguments[0]}.log").write_text(done.stdout + done.stderr)
        if done.returncode:
            last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
            raise StackError(f"sam {arguments[0]} failed:\n{last}")

    def _keep_credentials(self) -> None:
        self.client("secretsmanager").put_secret_value(
            SecretId=self.outputs["VtexCredentialsSecretArn"], SecretString=json.dumps({ACCOUNT: CREDENTIALS})
        )


def is_listening(port: int) -> bool:
    """Say whether something on this machine accepts connections at the port."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a port that nothing uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop_processes(pids: list[int]) -> None:
    """Stop processes with what they started, politely first; each is the leader of its session."""
    for signal_number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 1.0)):
        for pid in pids:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal_number)
        end = time.monotonic() + patience
        while time.monotonic() < end and any(_is_alive(pid) for pid in pids):
            time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    with suppress(ChildProcessError):
        finished, _ = os.waitpid(pid, os.WNOHANG)
        return finished == 0
    return True
