"""A round of a thousand accounts: guard, drain and re-check, with the deployed functions."""

import json
from collections.abc import Mapping
from typing import Any

from benchmarks import orders
from benchmarks.figures import Figure, at_most
from benchmarks.follow_up import opened
from benchmarks.functions import VTEX_SECONDS
from benchmarks.runtime import ACCOUNT, BUILD, Bench, Contender, Running, http
from benchmarks.stub_aws import MANY_ACCOUNTS, SECRETS
from invoicekey.vtex.subscriptions import SECRET_HEADER
from local.vtex_routes import FeedEvent

BUSY, EVENTS = 100, 200
"""So many accounts have so many events each in their feeds."""
FAILURES_OF_EACH = 10
MOST_SECONDS = 280
"""The timeout of guard and drain; the re-check's is 300."""
MOST_MEGABYTES = 512
PACE = 1_200
"""VtexRequestsPerMinute, as it is by default."""
NOTES = (
    f"Rounds: {len(MANY_ACCOUNTS):,} accounts, credentials in the secret, nothing of their own in the ledger; hook and "
    f"feed of each are registered. VTEX answers in {VTEX_SECONDS * 1000:.0f} ms, VtexRequestsPerMinute is {PACE:,}. Of "
    f"the busy ones' feeds the drain takes what its share allows, {PACE * 4 // 100} calls a minute each, until the "
    "run ends. AWS is a stub that answers at once, and a function has a core here: at 512 MB it has 0.29 of one on "
    "Lambda, so the seconds of a core are told too.",
)


def measure_rounds(bench: Bench) -> list[Figure]:
    """Measure one run each, and the memory it takes."""
    bench.forget()
    _register_hooks(bench)
    with bench.running(_function("GuardHookFunction", "guard_hook")) as running:
        print(f"{len(MANY_ACCOUNTS):,} accounts: the guard registers the feeds", flush=True)
        running.invoke({})
        bench.vtex.latency = VTEX_SECONDS
        print("a round of the guard", flush=True)
        guard = _measured(bench, running, "a run of the guard over 1,000 idle accounts")
    with bench.running(_function("DrainFeedFunction", "drain_feed")) as running:
        print("a round of the drain", flush=True)
        running.invoke({})
        drain = _measured(bench, running, "a run of the drain over 1,000 idle accounts")
        print(f"a round of the drain, {BUSY} accounts with {EVENTS} events each", flush=True)
        _fill_feeds(bench)
        busy = _measured(bench, running, f"that with {EVENTS} events in each of {BUSY} feeds")
    bench.vtex.latency = 0
    print("a round of the re-check", flush=True)
    return [*guard, *drain, *busy, *_recheck(bench)]


def _measured(bench: Bench, running: Running, what: str) -> list[Figure]:
    bench.vtex.requests.clear()
    before = running.cpu_seconds()
    milliseconds, answer = running.invoke({})
    calls = len(bench.vtex.calls())
    cpu = running.cpu_seconds() - before
    queued = f", {answer['queued']:,} events queued" if answer.get("queued") else ""
    told = f"{calls:,} calls of VTEX, {answer['unreached']} accounts not reached{queued}; {cpu:.1f} s of a core here"
    return [
        at_most(what, told, milliseconds / 1000, MOST_SECONDS, " s"),
        at_most(f"{what}: memory", "", running.peak_megabytes(), MOST_MEGABYTES, " MB"),
    ]


def _recheck(bench: Bench) -> list[Figure]:
    bench.forget()
    items = [item for item in opened(bench, [orders.with_key("OPEN-1", 1, None)]) if "list" in item]
    each = [(account, f"OPEN-{number}") for account in MANY_ACCOUNTS for number in range(FAILURES_OF_EACH)]
    spread = [_of(item, account, order_id) for item in items for account, order_id in each]
    http("PUT", bench.aws_port, "/ledger", json.dumps(spread).encode())
    with bench.running(_function("RecheckFailuresFunction", "recheck_failures")) as running:
        milliseconds, answer = running.invoke({})
        what = f"a run of the re-check over {len(MANY_ACCOUNTS):,} accounts with {FAILURES_OF_EACH} failures due each"
        told = f"{answer['queued']:,} queued; {running.cpu_seconds():.1f} s of a core here"
        return [
            at_most(what, told, milliseconds / 1000, MOST_SECONDS, " s"),
            at_most(f"{what}: memory", "", running.peak_megabytes(), MOST_MEGABYTES, " MB"),
        ]


def _of(item: Mapping[str, Any], account: str, order_id: str) -> Any:
    """Return another order's item that says the same."""
    return json.loads(json.dumps(item).replace(ACCOUNT, account).replace("OPEN-1", order_id))


def _register_hooks(bench: Bench) -> None:
    """Have VTEX keep the hooks as the guard registers them: VTEX would ping an address that is none."""
    there = {"url": bench.environment["HOOK_URL"], "headers": {SECRET_HEADER: SECRETS["hook"]["current"]}}
    config = {"filter": {"type": "FromWorkflow", "status": ["invoiced"]}, "hook": there}
    bench.vtex.hooks.update({f"key-{account}": config for account in MANY_ACCOUNTS})


def _fill_feeds(bench: Bench) -> None:
    for account in MANY_ACCOUNTS[:BUSY]:
        feed = bench.vtex.feeds[f"key-{account}"]
        for number in range(EVENTS):
            feed.offer(FeedEvent.of({"account": account, "orderId": f"VVJ-{number}", "state": "invoiced"}))


def _function(name: str, module: str) -> Contender:
    more = {
        "VTEX_CREDENTIALS_SECRET_ARN": "vtex-many",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(MOST_SECONDS),
        "VTEX_REQUESTS_PER_MINUTE": str(PACE),
    }
    return Contender(module, BUILD / name, f"{module}.handler", {}, more)
