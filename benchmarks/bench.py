"""Measures cold and warm starts side by side with two baselines, and batches of ten against a slow VTEX.

`make bench` prints the table and writes it to docs/figures.md. Every contender runs under AWS's runtime interface
emulator (it ships in the SAM CLI) with awslambdaric, in turns, so that all meet the same machine. Cold is INIT plus the
first real answer, as the caller sees it. AWS is a stub that answers at once; VTEX is the simulator of the demo.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.processes import free_ports, is_listening, stop
from local.stack import ROOT
from local.vtex_simulator import Fault, VtexSimulator

COLD_RUNS = 15
WARM_CALLS = 300
BATCHES = 20
VTEX_SECONDS = 0.2
OK = 200
INVOKE = "/2015-03-31/functions/function/invocations"
FIGURES = ROOT / "docs" / "figures.md"
BUILD = ROOT / ".stack" / "bench"
GOOD_KEY = "35260311222333000181550010006437971732194052"


@dataclass(frozen=True)
class Contender:
    """A handler, where its code lies, and the event of its first real answer."""

    name: str
    folder: Path
    handler: str
    event: dict[str, Any]


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


def build() -> None:
    """Build functions and layers as they are deployed."""
    sam = ROOT / ".venv-tools" / "bin" / "sam"
    architecture = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
    command = [str(sam), "build", "--build-dir", str(BUILD), "--parameter-overrides", f"Architecture={architecture}"]
    environment = {**os.environ, "PATH": f"{sam.parent}{os.pathsep}{os.environ['PATH']}", "SAM_CLI_TELEMETRY": "0"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)


def hook_event() -> dict[str, Any]:
    """Return a hook call as the HTTP API hands it over."""
    notification = {"OrderId": "VVJ-1-01", "State": "invoiced", "Origin": {"Account": "luxstore", "Key": "k"}}
    return {
        "version": "2.0",
        "rawPath": "/hooks/vtex/orders",
        "headers": {"x-hook-secret": "secret-of-the-benchmark", "content-type": "application/json"},
        "requestContext": {
            "requestId": "r",
            "stage": "$default",
            "http": {"method": "POST", "path": "/hooks/vtex/orders"},
        },
        "body": json.dumps(notification),
        "isBase64Encoded": False,
    }


def check_event(prefix: str, orders: int) -> dict[str, Any]:
    """Return a batch of the hook queue."""
    records = []
    for number in range(orders):
        body = {"OrderId": f"{prefix}-{number}", "State": "invoiced", "Origin": {"Account": "luxstore", "Key": "k"}}
        attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": str(int(time.time() * 1000))}
        records.append({
            "messageId": f"m{number}", "receiptHandle": "r", "body": json.dumps(body), "attributes": attributes,
        })  # fmt: skip
    return {"Records": records}


def order(order_id: str, key: str | None) -> dict[str, Any]:
    """Return an invoiced CNova order."""
    package = {
        "type": "Output", "invoiceNumber": "643797", "invoiceValue": 10221, "invoiceKey": key,
        "issuanceDate": "2026-03-03T14:53:16.5830000+00:00", "courier": "Correios", "trackingNumber": "AA1",
    }  # fmt: skip
    return {
        "orderId": order_id, "hostname": "luxstore", "affiliateId": "VVJ", "status": "invoiced",
        "invoicedDate": "2026-03-03T14:54:00.5436574+00:00", "packageAttachment": {"packages": [package]},
    }  # fmt: skip


class Bench:
    """The stubs, and the contenders' environment."""

    def __init__(self, aws_port: int, vtex: VtexSimulator) -> None:
        self.aws_port = aws_port
        self.vtex = vtex
        rie = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
        rapid = Path("lib/python3.13/site-packages/samcli/local/rapid")
        self.rie = BUILD / "rie"
        self.rie.write_bytes((ROOT / ".venv-tools" / rapid / f"aws-lambda-rie-{rie}").read_bytes())
        self.rie.chmod(0o755)
        layers = [ROOT / "layers" / "invoicekey" / "python", BUILD / "DependenciesLayer" / "python"]
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(str, layers)),
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{aws_port}",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_LAMBDA_FUNCTION_NAME": "bench", "AWS_LAMBDA_FUNCTION_TIMEOUT": "30",
            "POWERTOOLS_SERVICE_NAME": "bench", "POWERTOOLS_METRICS_NAMESPACE": "Bench",
            "HOOK_QUEUE_URL": f"http://127.0.0.1:{aws_port}/000000000000/hooks",
            "HOOK_DEAD_LETTER_QUEUE_URL": f"http://127.0.0.1:{aws_port}/000000000000/dead",
            "FAILURE_QUEUE_URL": f"http://127.0.0.1:{aws_port}/000000000000/failures",
            "ALERT_TOPIC_ARN": "arn:aws:sns:us-east-1:000000000000:alerts", "LEDGER_TABLE_NAME": "ledger",
            "HOOK_SECRET_ARN": "hook", "VTEX_CREDENTIALS_SECRET_ARN": "vtex", "WATCHED_STATUSES": "invoiced",
            "VTEX_ACCOUNTS": "", "VTEX_BASE_URL": vtex.url + "/{account}", "VTEX_REQUESTS_PER_MINUTE": "6000",
            "RETRY_BASE_SECONDS": "1", "FUNCTION_TIMEOUT_SECONDS": "30", "ALERT_LANGUAGE": "pt-BR",
            "ALERT_TIMEZONE": "America/Sao_Paulo", "CNOVA_AFFILIATE_IDS": "VVJ", "SELLER_TAX_IDS": "",
            "INVOICE_GRACE_SECONDS": "600", "KEY_GRACE_SECONDS": "0",
        }  # fmt: skip

    @contextmanager
    def running(self, contender: Contender) -> Iterator[int]:
        """Run a contender under the runtime interface emulator; nothing of it is initialised before the first call."""
        port, api_port = free_ports(2)
        command = [
            str(self.rie), "--runtime-interface-emulator-address", f"127.0.0.1:{port}",
            "--runtime-api-address", f"127.0.0.1:{api_port}",
            sys.executable, "-m", "awslambdaric", contender.handler,
        ]  # fmt: skip
        with child(command, port, BUILD / "rie.log", cwd=contender.folder, env=self.environment):
            yield port

    def cold(self, contender: Contender) -> float:
        """Return the milliseconds from the first call to its answer."""
        with self.running(contender) as port:
            return invoke(port, contender.event)[0]

    def warm(self, contender: Contender) -> float:
        """Return the median milliseconds of a warm call."""
        with self.running(contender) as port:
            invoke(port, contender.event)
            return statistics.median(invoke(port, contender.event)[0] for _ in range(WARM_CALLS))

    def aws_calls(self) -> dict[str, int]:
        """Return the calls of AWS since the last time, and forget them."""
        calls: dict[str, int] = json.loads(http("GET", self.aws_port, "/calls"))
        http("DELETE", self.aws_port, "/calls")
        return calls


def invoke(port: int, event: dict[str, Any]) -> tuple[float, Any]:
    """Invoke the function; return the milliseconds and the answer."""
    body = json.dumps(event).encode()
    began = time.perf_counter()
    answer = json.loads(http("POST", port, INVOKE, body))
    milliseconds = (time.perf_counter() - began) * 1000
    if answer != {"batchItemFailures": []} and (not isinstance(answer, dict) or answer.get("statusCode") != OK):
        raise SystemExit(f"a contender did not do its work: {answer}")
    return milliseconds, answer


def http(method: str, port: int, path: str, body: bytes | None = None) -> bytes:
    """Make a call on this machine."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def in_turns(bench: Bench, contenders: list[Contender]) -> dict[str, float]:
    """Measure cold starts in turns; the first turn only warms the machine's caches."""
    taken: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for turn in range(COLD_RUNS + 1):
        for contender in contenders:
            milliseconds = bench.cold(contender)
            if turn:
                taken[contender.name].append(milliseconds)
    return {name: statistics.median(times) for name, times in taken.items()}


def batches(bench: Bench, checker: Contender) -> tuple[float, int]:
    """Return the median milliseconds of a batch of ten at a VTEX that takes 200 ms, and the connections of them all."""
    fault = bench.vtex.fail(Fault("delay", seconds=VTEX_SECONDS))
    bench.vtex.requests.clear()
    with bench.running(checker) as port:
        times = [invoke(port, check_event("OK", 10))[0] for _ in range(BATCHES)]
    bench.vtex.faults.clear()
    if fault.used != 10 * BATCHES:
        raise SystemExit(f"VTEX was called {fault.used} times for {10 * BATCHES} orders")
    return statistics.median(times[1:]), bench.vtex.connections


def calls(bench: Bench, checker: Contender, prefix: str, orders: int) -> dict[str, int]:
    """Return the calls of AWS and VTEX that one warm batch makes."""
    with bench.running(checker) as port:
        invoke(port, check_event("OK", 1))
        bench.aws_calls()
        bench.vtex.requests.clear()
        invoke(port, check_event(prefix, orders))
        return {**bench.aws_calls(), "VTEX": len(bench.vtex.calls())}


def main() -> None:
    """Measure, print and write the figures."""
    BUILD.mkdir(parents=True, exist_ok=True)
    print("building functions and layers", flush=True)
    build()
    (BUILD / "rie.log").unlink(missing_ok=True)
    (aws_port,) = free_ports(1)
    with ExitStack() as stack:
        stub = [sys.executable, str(ROOT / "benchmarks" / "stub_aws.py"), str(aws_port)]
        stack.enter_context(child(stub, aws_port, BUILD / "stub.log"))
        vtex = stack.enter_context(VtexSimulator(port=0))
        for number in range(10):
            vtex.put_order(order(f"OK-{number}", GOOD_KEY))
            vtex.put_order(order(f"BAD-{number}", None))
        report(Bench(aws_port, vtex))


def report(bench: Bench) -> None:
    """Measure everything and write it down."""
    baselines = ROOT / "benchmarks" / "baselines"
    bare = Contender("bare", baselines, "bare.handler", hook_event())
    usual = Contender("usual", baselines, "usual.handler", hook_event())
    receiver = Contender("receiver", BUILD / "ReceiveHookFunction", "receive_hook.handler", hook_event())
    checker = Contender("checker", BUILD / "CheckInvoiceFunction", "check_invoice.handler", check_event("OK", 1))
    print(f"cold starts: {COLD_RUNS} each, in turns", flush=True)
    cold = in_turns(bench, [bare, receiver, usual, checker])
    print(f"warm calls: {WARM_CALLS} each", flush=True)
    warm_bare, warm_receiver = bench.warm(bare), bench.warm(receiver)
    print(f"batches of ten: {BATCHES}", flush=True)
    batch, connections = batches(bench, checker)
    one, ten = calls(bench, checker, "OK", 1), calls(bench, checker, "BAD", 10)
    rows = [
        ("receiver cold, to a bare handler", f"{cold['receiver']:.0f} / {cold['bare']:.0f} ms",
         f"{cold['receiver'] / cold['bare']:.2f}", "1.3"),
        ("receiver warm, on top of a bare handler", f"{warm_receiver:.1f} - {warm_bare:.1f} ms",
         f"{warm_receiver - warm_bare:.1f} ms", "3 ms"),
        ("checker cold with one order, to the usual stack", f"{cold['checker']:.0f} / {cold['usual']:.0f} ms",
         f"{cold['checker'] / cold['usual']:.2f}", "1.4"),
        ("ten orders in one batch, VTEX in 200 ms", f"{batch:.0f} / {VTEX_SECONDS * 1000:.0f} ms",
         f"{batch / VTEX_SECONDS / 1000:.2f}", "1.3"),
        (f"TCP connections to VTEX over {BATCHES} such batches", "", str(connections), "10"),
        ("calls for one order without fault", _told(one), "", "1 VTEX, 1 read, 1 write"),
        ("calls for ten failing orders in one batch", _told(ten), "", "1 SendMessageBatch, 1 PublishBatch"),
    ]  # fmt: skip
    lines = ["| what | measured | ratio | at most |", "| --- | --- | --- | --- |"]
    lines += [f"| {what} | {measured} | {ratio} | {most} |" for what, measured, ratio, most in rows]
    table = "\n".join(lines)
    print(table)
    FIGURES.parent.mkdir(exist_ok=True)
    intro = (
        "Written by `make bench`: medians, contenders in turns, under AWS's runtime interface emulator, "
        f"on a machine with {os.cpu_count()} cores. VtexRequestsPerMinute is 6000, RetryBaseSeconds 1."
    )
    FIGURES.write_text(f"# Figures\n\n{intro}\n\n{table}\n")


def _told(counted: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counted.items()))


if __name__ == "__main__":
    main()
