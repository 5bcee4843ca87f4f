"""The benchmark's machine: functions under AWS's runtime emulator, AWS as a stub, VTEX as the simulator of the demo.

Every contender runs under the runtime interface emulator (it ships in the SAM CLI) with awslambdaric, with the
environment of a deployed function. As on Lambda it finds what was deployed, what Lambda's runtime brings, and nothing
else: an import that is only tried (httpx tries rich) fails as there. Nor is its code written to: what comes without
bytecode is compiled at every start. What the runtime brings, boto3 above all, is taken to come compiled there, and is
here; that is believed and not seen.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from local.processes import free_ports, is_listening, stop
from local.stack import ROOT
from local.vtex_simulator import VtexSimulator

ACCOUNT = "luxstore"
BUILD = ROOT / ".stack" / "bench"
PLAIN = ROOT / ".stack" / "bench-plain"
"""What was built, without its bytecode: as it would be deployed if nobody thought of it."""
RUNTIME = ROOT / ".stack" / "bench-runtime"
"""A Python that has what Lambda's has: its own library and `_BROUGHT`."""
BASELINES, PEERS = "baselines", "peers"
LAYERS = ("InvoicekeyLayer", "DependenciesLayer")
USUAL_LAYER = "UsualLayer"
"""What DependenciesLayer is made of, whole: as whoever takes no care of what is in it would have it."""
INVOKE = "/2015-03-31/functions/function/invocations"
OK = 200
LONGEST_CALL = 320
"""Seconds; the longest timeout of a function is 300."""
_BROUGHT = (
    "awslambdaric", "boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "simplejson", "six",
    "snapshot-restore-py", "urllib3",
)  # fmt: skip
_COMPILE = (sys.executable, "-I", "-m", "compileall", "-q")


@dataclass(frozen=True)
class Contender:
    """A handler, where its code lies, the event of its first real answer, and what its environment has of its own."""

    name: str
    folder: Path
    handler: str
    event: dict[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict)


def usual(name: str, folder: Path, handler: str, event: dict[str, Any]) -> Contender:
    """Return a contender that is not the product's: with all of the dependencies, and the product's rules."""
    layers = os.pathsep.join(str(BUILD / layer / "python") for layer in (USUAL_LAYER, LAYERS[0]))
    return Contender(name, folder, handler, event, {"PYTHONPATH": layers})


class Refused(SystemExit):
    """A contender did not do its work, or not as on Lambda, so there is nothing to measure."""


class Running:
    """A contender under the runtime interface emulator; nothing of it is initialised before the first call."""

    def __init__(self, port: int, pid: int) -> None:
        self._port = port
        self._pid = pid

    def invoke(self, event: dict[str, Any], *, may_leave_some: bool = False) -> tuple[float, dict[str, Any]]:
        """Invoke the function; return the milliseconds and the answer. A batch is to be done whole unless told."""
        body = json.dumps(event).encode()
        began = time.perf_counter()
        answer = json.loads(http("POST", self._port, INVOKE, body))
        milliseconds = (time.perf_counter() - began) * 1000
        is_done = isinstance(answer, dict) and "errorMessage" not in answer and answer.get("statusCode", OK) == OK
        if not is_done or (answer.get("batchItemFailures") and not may_leave_some):
            raise Refused(f"a contender did not do its work: {answer}")
        return milliseconds, answer

    def try_invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        """Invoke the function, and return whatever it answers; an `errorMessage` where it died."""
        try:
            answer: dict[str, Any] = json.loads(http("POST", self._port, INVOKE, json.dumps(event).encode()))
        except urllib.error.HTTPError as error:
            return {"errorMessage": f"the emulator answered {error.code}"}
        return answer

    @property
    def emulator(self) -> int:
        """Return the emulator's process, which starts the function's."""
        return self._pid

    def cpu_seconds(self) -> float:
        """Return the seconds of a core that the function's process has used."""
        user, system = _stat(started_by(self._pid))[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def peak_megabytes(self) -> float:
        """Return the most memory that the function's process has held: its resident set, shared libraries included."""
        status = Path(f"/proc/{started_by(self._pid)}/status").read_text(encoding="ascii")
        (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
        return int(peak) / 1024


def started_by(emulator: int) -> int:
    """Return the process that an emulator started for its function."""
    processes = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    (function,) = (pid for pid in processes if _stat(pid)[1:2] == [str(emulator)])
    return function


def cores(megabytes: int) -> float:
    """Return the share of a core that Lambda gives with so much memory: 1,769 MB buy a whole one."""
    return megabytes / 1_769


def environment_of_functions(aws_port: int, vtex_url: str) -> dict[str, str]:
    """Return what the deployed functions are given, at the stub's addresses."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": _layers_of(BUILD),
        "PYTHONDONTWRITEBYTECODE": "1",  # as little as on Lambda; taking the right away would not hold for root
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{aws_port}",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_LAMBDA_FUNCTION_NAME": "bench", "AWS_LAMBDA_FUNCTION_TIMEOUT": "30",
        "PYDANTIC_DISABLE_PLUGINS": "__all__",
        "POWERTOOLS_SERVICE_NAME": "bench", "POWERTOOLS_METRICS_NAMESPACE": "Bench",
        "HOOK_URL": "https://hook.example/hooks/vtex/orders",
        "HOOK_QUEUE_URL": f"http://127.0.0.1:{aws_port}/000000000000/hooks",
        "HOOK_DEAD_LETTER_QUEUE_URL": f"http://127.0.0.1:{aws_port}/000000000000/dead",
        "RECORD_TOPIC_ARN": "arn:aws:sns:us-east-1:000000000000:records",
        "ALERT_TOPIC_ARN": "arn:aws:sns:us-east-1:000000000000:alerts", "LEDGER_TABLE_NAME": "ledger",
        "OPERATIONS_TOPIC_ARN": "arn:aws:sns:us-east-1:000000000000:operations",
        "HOOK_SECRET_ARN": "hook", "VTEX_CREDENTIALS_SECRET_ARN": "vtex",
        "VTEX_CREDENTIALS_PREFIX": "/vtex-credentials/invoicekey/", "WATCHED_STATUSES": "invoiced",
        "VTEX_ACCOUNTS": "", "VTEX_BASE_URL": vtex_url + "/{account}", "VTEX_REQUESTS_PER_MINUTE": "6000",
        "RETRY_BASE_SECONDS": "1", "FUNCTION_TIMEOUT_SECONDS": "30", "QUIET_ALARM_HOURS": "48",
        "ALERT_LANGUAGE": "pt-BR",
        "ALERT_TIMEZONE": "America/Sao_Paulo", "ALERT_BURST": "5", "ALERT_WINDOW_MINUTES": "15",
        "MAXIMUM_CONCURRENCY": "2",
        "SKIP_OTHER_PREFIXES": "yes",
        "CHAT_ALERTS": "no", "SUMMARY_ORDERS": "20",
        "DESK_URL": "https://hook.example/desk/", "DESK_SECRET_ARN": "desk",
        "CNOVA_AFFILIATE_IDS": "VVJ",
        "SELLER_TAX_IDS": "", "INVOICE_GRACE_SECONDS": "600", "KEY_GRACE_SECONDS": "0", "TRACKING_GRACE_HOURS": "0",
    }  # fmt: skip


class Bench:
    """The stubs, and the contenders' environment."""

    def __init__(self, aws_port: int, vtex: VtexSimulator) -> None:
        self.aws_port = aws_port
        self.vtex = vtex
        rie = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
        rapid = Path("lib/python3.13/site-packages/samcli/local/rapid")
        self.rie = BUILD / "rie"
        if not self.rie.exists():  # a program that runs cannot be written
            self.rie.write_bytes((ROOT / ".venv-tools" / rapid / f"aws-lambda-rie-{rie}").read_bytes())
            self.rie.chmod(0o755)
        self.environment = environment_of_functions(aws_port, vtex.url)
        http("PUT", aws_port, "/environment", json.dumps(self.environment).encode())

    @contextmanager
    def running(self, contender: Contender) -> Iterator[Running]:
        """Run a contender."""
        port, api_port = free_ports(2)
        command = [
            str(self.rie), "--runtime-interface-emulator-address", f"127.0.0.1:{port}",
            "--runtime-api-address", f"127.0.0.1:{api_port}",
            str(RUNTIME / "bin" / "python"), "-m", "awslambdaric", contender.handler,
        ]  # fmt: skip
        environment = {**self.environment, **contender.environment}
        with child(command, port, BUILD / "rie.log", cwd=contender.folder, env=environment) as process:
            yield Running(port, process.pid)

    def aws_calls(self) -> dict[str, int]:
        """Return the calls of AWS since the last time, and forget them."""
        calls: dict[str, int] = json.loads(http("GET", self.aws_port, "/calls"))
        http("DELETE", self.aws_port, "/calls")
        return calls

    def forget(self) -> None:
        """Let nobody know any order, nor what was asked of VTEX."""
        http("DELETE", self.aws_port, "/ledger")
        self.vtex.requests.clear()


@contextmanager
def child(command: list[str], port: int, log: Path, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that listens on a port, and stop it with what it started."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, **more)
    try:
        while not is_listening(port):
            if process.poll() is not None:
                raise SystemExit(f"{command[0]} did not start; see {log}")
            time.sleep(0.01)
        yield process
    finally:
        stop([process.pid])
        process.wait()


def http(method: str, port: int, path: str, body: bytes | None = None) -> bytes:
    """Make a call on this machine."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body, method=method)
    with urllib.request.urlopen(request, timeout=LONGEST_CALL) as answer:
        return bytes(answer.read())


def without_bytecode(contender: Contender) -> Contender:
    """Return a contender whose code, and what it imports from the layers, is compiled at every start."""
    path = contender.environment.get("PYTHONPATH", _layers_of(BUILD)).split(os.pathsep)
    plain = os.pathsep.join(str(PLAIN / Path(layer).relative_to(BUILD)) for layer in path)
    environment = {**contender.environment, "PYTHONPATH": plain}
    return replace(
        contender, name=f"{contender.name}, plain", folder=PLAIN / contender.folder.name, environment=environment
    )


@contextmanager
def unwritten(*folders: Path) -> Iterator[None]:
    """Refuse what was measured where code was written meanwhile: a cache that Lambda would not have."""
    before = _files_in(folders)
    yield
    if written := sorted(map(str, _files_in(folders) ^ before)):
        raise Refused(f"code was written while it was measured, which cannot be on Lambda: {', '.join(written[:3])}")


def build() -> None:
    """Build functions and layers as they are deployed, and the baselines beside them, all of it twice: see PLAIN.

    And a Python with what Lambda's runtime brings, compiled.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    print("building functions and layers", flush=True)
    _build_twice()
    _make_runtime()
    (BUILD / "rie.log").unlink(missing_ok=True)


@contextmanager
def started() -> Iterator[Bench]:
    """Start the stubs, for contenders that are built."""
    (aws_port,) = free_ports(1)
    stub = [sys.executable, "-m", "benchmarks.stub_aws", str(aws_port)]
    code = [folder for made in (BUILD, PLAIN) for folder in made.iterdir() if folder.is_dir()]
    with ExitStack() as stack:
        stack.enter_context(unwritten(*code))
        stack.enter_context(child(stub, aws_port, BUILD / "stub.log", env=stub_environment()))
        yield Bench(aws_port, stack.enter_context(VtexSimulator()))


def stub_environment() -> dict[str, str]:
    """Return the environment in which a stub of AWS finds this project."""
    path = os.pathsep.join(map(str, [ROOT, ROOT / "layers" / "invoicekey" / "python"]))
    return {**os.environ, "PYTHONPATH": path}


def _build_twice() -> None:
    sam = ROOT / ".venv-tools" / "bin" / "sam"
    architecture = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
    command = [str(sam), "build", "--build-dir", str(BUILD), "--parameter-overrides", f"Architecture={architecture}"]
    environment = {**os.environ, "PATH": f"{sam.parent}{os.pathsep}{os.environ['PATH']}", "SAM_CLI_TELEMETRY": "0"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "benchmarks" / BASELINES, BUILD / BASELINES, ignore=caches)
    shutil.copytree(ROOT / "benchmarks" / PEERS, BUILD / PEERS / "benchmarks" / PEERS, ignore=caches)
    _make_usual_layer(BUILD / USUAL_LAYER / "python")
    shutil.rmtree(PLAIN, ignore_errors=True)
    shutil.copytree(BUILD, PLAIN, ignore=caches)
    beside = [str(BUILD / name) for name in (BASELINES, PEERS, USUAL_LAYER)]
    subprocess.run([*_COMPILE, "--invalidation-mode", "unchecked-hash", *beside], check=True)


def _make_usual_layer(here: Path) -> None:
    pinned = (ROOT / "layers" / "dependencies" / "requirements.txt").read_text(encoding="utf-8")
    for name in re.findall(r"^([\w-]+)==", pinned, re.MULTILINE):
        of_it = distribution(name)
        for file in of_it.files or ():
            if ".." not in file.parts and file.suffix != ".pyc":
                (here / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(of_it.locate_file(file)), here / file)


def _make_runtime() -> None:
    venv.create(RUNTIME, clear=True, symlinks=True)
    here = Path(sysconfig.get_path("purelib", vars={"base": str(RUNTIME)}))
    for brought in map(distribution, _BROUGHT):
        for name in {path.parts[0] for path in brought.files or () if path.parts[0] != ".."}:
            (here / name).symlink_to(str(brought.locate_file(name)))
    subprocess.run([*_COMPILE, *map(str, here.iterdir())], check=True)  # by name: it follows no link by itself


def _layers_of(build: Path) -> str:
    return os.pathsep.join(str(build / layer / "python") for layer in LAYERS)


def _files_in(folders: Iterable[Path]) -> set[tuple[Path, int]]:
    return {(path, path.stat().st_mtime_ns) for folder in folders for path in folder.rglob("*") if path.is_file()}


def _stat(pid: int) -> list[str]:
    """Return what Linux says of a process after its name: state, parent and so on; nothing where it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
