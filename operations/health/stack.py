"""How a deployment is, on its AWS side: functions, schedules, alarms, listeners, secrets, queues, what is open.

Nothing is changed by looking; but the first dead letters are out of sight for a moment, while their reasons are read.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from invoicekey.messages import texts
from invoicekey.runtime.desk import keys
from invoicekey.runtime.errors import RetryLater
from invoicekey.runtime.secrets import hook_secrets
from operations.deployment.shop import DESK_SECRET, HOOK_SECRET, NoCredentials, Shop
from operations.deployment.stack import time_in
from operations.deployment.template import version
from operations.health.alarms import failed_actions, telling
from operations.health.topics import ALERTS, OPERATIONS, listeners
from operations.terminal.findings import MOST_WELL, Finding, Section, looked, note, to_do, well
from operations.terminal.plain import LANGUAGE, date

MOST_SKEW = timedelta(seconds=60)
QUIET_AFTER = timedelta(hours=48)
"""VTEX deletes a hook that told nothing for 72 hours."""
REMEMBERED = timedelta(days=14)
MOST_LETTERS = 100
"""So many dead letters are looked into."""

_FUNCTION, _SCHEDULE, _MAPPING = "AWS::Lambda::Function", "AWS::Scheduler::Schedule", "AWS::Lambda::EventSourceMapping"


class StackHealth:
    """One stack, as it is now."""

    def __init__(self, shop: Shop, now: datetime | None = None) -> None:
        self._shop = shop
        self._now = now or datetime.now(UTC)

    def sections(self) -> Iterator[Section]:
        """Look at one place after the other. Raises Trouble where there is no such stack."""
        _ = self._shop.deployment.outputs
        yield _section(
            "AWS",
            ("the version", self._version),
            ("the functions", self._functions),
            ("the checker's way in", self._event_source),
            ("the schedules", self._schedules),
            ("the alarms", self._alarms),
            ("the clock", lambda: clock_findings("AWS", self._skew)),
        )
        yield _section("Who is notified", *((what, self._listeners(topic)) for what, topic in _TOPICS))
        yield _section(
            "Secrets",
            ("the hook's secret", self._hook_secret),
            ("the desk's key", self._desk_key),
            ("VTEX's credentials", self._credentials),
        )
        yield _section(
            "Queues",
            ("the hook queue", self._hook_queue),
            ("the dead letters", self._dead_letters),
            ("the failure queue", self._failure_queue),
        )
        yield _section("Orders", ("what is open", self._open_failures), ("the last hook", self._last_hook))

    # ---- What the stack consists of

    @cached_property
    def _listed(self) -> tuple[dict[str, tuple[str, str]], timedelta | None]:
        """Return type and physical id of each resource, and how far AWS' clock is ahead of this machine's."""
        found: dict[str, tuple[str, str]] = {}
        more: dict[str, str] = {}
        while True:
            answer = self._shop.ask(
                "cloudformation", "list_stack_resources", StackName=self._shop.deployment.stack, **more
            )
            for one in answer["StackResourceSummaries"]:
                found[one["LogicalResourceId"]] = (one["ResourceType"], one.get("PhysicalResourceId", ""))
            if "NextToken" not in answer:
                return found, ahead(answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date"))
            more = {"NextToken": answer["NextToken"]}

    @property
    def _resources(self) -> dict[str, tuple[str, str]]:
        return self._listed[0]

    @property
    def _skew(self) -> timedelta | None:
        return self._listed[1]

    def _of_type(self, *types: str) -> dict[str, str]:
        return {name: physical for name, (kind, physical) in self._resources.items() if kind in types}

    def _version(self) -> Iterator[Finding]:
        ours, theirs = version(), self._shop.deployment.outputs.get("Version")
        if theirs == ours:
            yield well(f"the stack and this command are of version {ours}")
            return
        yield to_do(
            f"the stack is of {f'version {theirs}' if theirs else 'an older version'}, this command of {ours}",
            f"make deploy{self._shop.deployment.variables} from the newer one; docs/upgrading.md says what changes",
        )

    def _functions(self) -> Iterator[Finding]:
        functions = self._of_type(_FUNCTION)
        faults = 0
        for name, physical in functions.items():
            found = self._shop.ask("lambda", "get_function_configuration", FunctionName=physical)
            state, update = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
            if (state, update) != ("Active", "Successful"):
                faults += 1
                why = found.get("StateReason") or found.get("LastUpdateStatusReason") or "AWS gives no reason"
                yield to_do(f"{name} is {state}, its last update {update}: {why}", "make deploy again in a minute")
        if not faults:
            yield well(f"all {len(functions)} functions are active")

    def _event_source(self) -> Iterator[Finding]:
        for uuid in self._of_type(_MAPPING).values():
            state = self._shop.ask("lambda", "get_event_source_mapping", UUID=uuid).get("State")
            if state in {"Disabled", "Disabling"}:
                yield to_do(
                    "the checker takes no events: its event source is disabled",
                    "aws lambda update-event-source-mapping --enabled --uuid "
                    f"{uuid}{self._shop.deployment.aws_options}",
                )
            else:
                yield well("the checker takes events from the hook queue")

    def _schedules(self) -> Iterator[Finding]:
        schedules = self._of_type(_SCHEDULE)
        states = {name: self._shop.ask("scheduler", "get_schedule", Name=id_) for name, id_ in schedules.items()}
        disabled = [name for name, found in states.items() if found.get("State") == "DISABLED"]
        if disabled:
            yield to_do(f"disabled schedules: {', '.join(disabled)}", "enable them in EventBridge Scheduler")
        else:
            yield well(f"all {len(schedules)} schedules are enabled")

    def _alarms(self) -> Iterator[Finding]:
        alarms = telling(self._shop)
        ringing = [alarm for alarm in alarms if alarm.is_ringing]
        for alarm in ringing:
            says, _, where = alarm.description.partition(" See ")
            yield to_do(f"{alarm.name}: {says}", f"see {where or 'docs/runbook.md'}")
        if not ringing:
            yield well("no alarm is ringing")
        yield from failed_actions(self._shop, alarms)

    # ---- Who is told, and by which secrets

    def _listeners(self, topic: str) -> Callable[[], Iterator[Finding]]:
        return lambda: listeners(self._shop, topic)

    def _hook_secret(self) -> Iterator[Finding]:
        secret = self._shop.deployment.read_secret(HOOK_SECRET)
        if hook_secrets({"current": secret.get("current")}):
            before = hook_secrets({"current": secret.get("previous")})
            yield well(f"the hook's secret is there{', and the one before it is accepted too' if before else ''}")
        else:
            yield to_do("the hook's current secret is empty: no hook is accepted", self._shop.command("secrets rotate"))

    def _desk_key(self) -> Iterator[Finding]:
        if not self._shop.settings.desk_url:
            yield note("there is no desk, and no link in alerts: DeskLinks=no")
            return
        secret = self._shop.deployment.read_secret(DESK_SECRET)
        try:
            before = len(keys(secret, self._now)) > 1
        except RetryLater:
            how = self._shop.command("secrets rotate --desk")
            yield to_do("the desk's key is empty: alerts go out without a link, and no link works", how)
            return
        until = f", and the key before it is accepted until {self._previous_until(secret)}" if before else ""
        yield well(f"links to the desk are signed{until}; to see it: {self._shop.command('desk')}")

    def _previous_until(self, secret: dict[str, Any]) -> str:
        return date(datetime.fromisoformat(secret["previous_until"]), self._shop)

    def _credentials(self) -> Iterator[Finding]:
        kept, served = {*self._shop.credentials, *self._shop.accounts}, self._shop.guard_settings.vtex.accounts
        self._shop.fetch_credentials(kept)
        good: list[str] = []
        for account in sorted(kept):
            try:
                self._shop.credentials_of(account)
            except NoCredentials:
                yield to_do(f"the appKey and appToken of {account} could not be sent as they are", self._setup(account))
                continue
            if served and account not in served:
                yield to_do(f"{account} has credentials, but its events are refused", "add it to VtexAccounts")
            else:
                good.append(account)
        if len(good) > MOST_WELL:
            yield well(f"there are an appKey and an appToken of {len(good):,} accounts")
        else:
            yield from (well(f"there are an appKey and an appToken of {account}") for account in good)
        for account in sorted(served - kept):
            yield to_do(f"VtexAccounts names {account}, and it has no credentials", self._setup(account))
        if not kept and not served:
            yield to_do("there are no credentials of any VTEX account", self._shop.command("setup"))

    def _setup(self, account: str) -> str:
        own = self._shop.own.get(account)
        if own and own.credentials:
            return self._shop.keep_credentials(account)
        return self._shop.command(f"setup --account {account}")

    # ---- What waits, and what is open

    def _depths(self, output: str) -> tuple[int, int]:
        """Return how many messages of a queue can be received, and how many are in flight or delayed."""
        names = ["", "NotVisible", "Delayed"]
        wanted = [f"ApproximateNumberOfMessages{name}" for name in names]
        url = self._shop.deployment.output(output)
        answer = self._shop.ask("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=wanted)
        visible, in_flight, delayed = (int(answer.get("Attributes", {}).get(name, 0)) for name in wanted)
        return visible, in_flight + delayed

    def _hook_queue(self) -> Iterator[Finding]:
        waiting, in_flight = self._depths("HookQueueUrl")
        yield well(f"hook queue: {waiting} waiting, {in_flight} in flight or waiting for their next try")

    def _dead_letters(self) -> Iterator[Finding]:
        visible, hidden = self._depths("HookDeadLetterQueueUrl")
        if not visible + hidden:
            yield well("dead letters: none")
            return
        reasons = self._reasons(self._shop.deployment.output("HookDeadLetterQueueUrl"))
        counted = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        first = f", of the first {reasons.total()}" if reasons.total() < visible else ""
        by_reason = f" ({counted}{first})" if counted else ""
        yield to_do(
            f"dead letters: {visible + hidden}{by_reason}",
            f"{self._shop.command('redrive')}; docs/runbook.md#dead-letters says what each reason means",
        )

    def _reasons(self, url: str) -> Counter[str]:
        """Count the reasons of the first dead letters, and let them be seen again."""
        seen: dict[str, dict[str, Any]] = {}
        try:
            while len(seen) < MOST_LETTERS:
                answer = self._shop.ask(
                    "sqs", "receive_message", QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=10,
                    MessageAttributeNames=["reason"],
                )  # fmt: skip
                letters = {letter["MessageId"]: letter for letter in answer.get("Messages", [])}
                if not letters.keys() - seen.keys():
                    break
                seen |= letters
        finally:
            self._let_be_seen(url, [letter["ReceiptHandle"] for letter in seen.values()])
        return Counter(_reason(letter) for letter in seen.values())

    def _let_be_seen(self, url: str, handles: list[str]) -> None:
        for begin in range(0, len(handles), 10):
            entries = [
                {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                for number, handle in enumerate(handles[begin : begin + 10])
            ]
            self._shop.ask("sqs", "change_message_visibility_batch", QueueUrl=url, Entries=entries)

    def _failure_queue(self) -> Iterator[Finding]:
        waiting, in_flight = self._depths("FailureQueueUrl")
        waiting += in_flight
        records = f"{waiting} record{'s' if waiting != 1 else ''}"
        yield well(f"failure queue: {records}; whoever reads them deletes them, SQS after 14 days")

    def _open_failures(self) -> Iterator[Finding]:
        opened = Counter[str]()
        oldest: datetime | None = None
        for order in self._shop.backlog.followed():
            if order.opened_at is not None:
                opened[order.ref.account] += 1
                oldest = min(oldest or order.opened_at, order.opened_at)
        if oldest is None:
            yield well("no failure is open")
            return
        counted = ", ".join(f"{account} {count}" for account, count in opened.most_common())
        age = texts.age(self._now - oldest, LANGUAGE)
        yield note(f"open failures: {counted}; the oldest for {age}", self._shop.command("failures"))

    def _last_hook(self) -> Iterator[Finding]:
        heard = self._last_received()
        if heard is None:
            yield from self._last_check()
            return
        told = f"the last hook was received in the hour from {date(heard, self._shop)}"
        if self._now - heard > QUIET_AFTER:
            yield to_do(f"{told}; VTEX deletes a hook that is quiet for 72 hours", self._shop.command("hook status"))
        else:
            yield well(told)

    def _last_received(self) -> datetime | None:
        answer = self._shop.ask(
            "cloudwatch", "get_metric_statistics", Namespace="InvoiceKey", MetricName="hook_received",
            Dimensions=[{"Name": "service", "Value": self._shop.deployment.stack}],
            StartTime=self._now - REMEMBERED, EndTime=self._now + timedelta(hours=1), Period=3600, Statistics=["Sum"],
        )  # fmt: skip
        return max((point["Timestamp"] for point in answer["Datapoints"] if point["Sum"]), default=None)

    def _last_check(self) -> Iterator[Finding]:
        """Say what the ledger knows, where CloudWatch knows of no hook."""
        since = self._now - REMEMBERED
        moments = [
            order.checked_at
            for account in self._shop.accounts
            for order in self._shop.backlog.checked(account, since=since)
        ]
        moments += [order.checked_at for order in self._shop.backlog.followed()]
        if moments:
            yield note(f"CloudWatch knows of no hook; the last check of an order was {date(max(moments), self._shop)}")
        else:
            yield note("no hook was received yet, and no order checked; the first order that is invoiced brings one")


def clock_findings(whose: str, their_lead: timedelta | None) -> Iterator[Finding]:
    """Compare this machine's clock with another, as far as its answers say the time."""
    if their_lead is None:
        return
    seconds = round(abs(their_lead).total_seconds())
    if abs(their_lead) <= MOST_SKEW:
        yield well(f"this machine's clock and {whose}'s agree")
    else:
        which = "behind" if their_lead > timedelta(0) else "ahead of"
        yield to_do(f"this machine's clock is {seconds} s {which} {whose}'s", "set this machine's clock by the network")


def ahead(date_header: str | None) -> timedelta | None:
    """Return how far another clock is ahead of this machine's, by the Date header of an answer that came just now."""
    theirs = time_in(date_header)
    return theirs - datetime.now(UTC) if theirs else None


_TOPICS = (("who is notified of orders", ALERTS), ("who is notified of trouble", OPERATIONS))


def _section(title: str, *looks: tuple[str, Callable[[], Iterable[Finding]]]) -> Section:
    return Section(title, tuple(finding for what, look in looks for finding in looked(what, look)))


def _reason(letter: dict[str, Any]) -> str:
    reason = letter.get("MessageAttributes", {}).get("reason", {}).get("StringValue")
    return texts.plain(reason, 20) or "no reason"
