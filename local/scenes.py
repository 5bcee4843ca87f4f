"""What the demo plays: hook calls in, outcomes, failure records and alerts out, each told as it comes.

Every case is one of the tables in local/events.py, and what is seen is held to what they expect.
"""

import json
import re
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from zoneinfo import ZoneInfo

from local import events, processes
from local.events import BY_NAME, HOOKS, ORDERS, UNKNOWN_ORDER_ID, OrderCase
from local.progress import Progress, columns, wrapped
from local.reader import act, link_in, open_link
from local.stack import ROOT, STATE, LocalStack
from local.watch import Email, Json, TooLate, Watch, until

HOME = STATE / "demo"
GRACE_SECONDS = 6
PATIENCE = 45.0
MORE_EVENTS = 2
PARAMETERS = {
    **events.PARAMETERS,
    "RetryBaseSeconds": "1",
    "InvoiceGraceSeconds": str(GRACE_SECONDS),
    "AlertBurst": "100",  # every alert is to be seen; otherwise the sixth within 15 minutes would wait for a digest
}
SHOP_S_ZONE = ZoneInfo("America/Sao_Paulo")
FAILING = [case for case in ORDERS if case.outcome_after_grace == "failing"]
_COLUMNS = columns()
_WIDTH = _COLUMNS - 4
_A_LINK = re.compile(r"(/desk/\w{6})\S+")
"""A link to the desk is longer than eighty columns, and over with the demo."""
_OUTCOME_AT = 58
"""Where the outcome stands in the orders' table: eighty columns have room for all of it."""
_COLOURS = {"ok": "green", "failing": "yellow", "waiting": "cyan"}


def play(progress: Progress) -> bool:
    """Start a stack, play every scene, stop everything; say whether all of it came out as expected."""
    began = time.monotonic()
    emulator_port, vtex_port = processes.free_ports(2)
    what = "invoicekey on this machine: the real template.yaml, emulated AWS, simulated VTEX"
    progress.line("\n".join([*wrapped(what, _COLUMNS), ""]))
    with LocalStack(emulator_port, vtex_port, HOME, PARAMETERS, say=progress) as stack:
        demo = Demo(stack, progress)
        demo.play()
        progress.line()
        progress("stopping the emulator and the simulator")
    return demo.sum_up(time.monotonic() - began)


class Demo:
    """Plays the cases on a deployed stack, and keeps what came out otherwise than expected."""

    def __init__(self, stack: LocalStack, progress: Progress) -> None:
        self._stack = stack
        self._progress, self._line, self._styled = progress, progress.line, progress.styled
        self._deviations: list[str] = []
        self._progress("loading the orders into VTEX, and subscribing to the alerts")
        stack.vtex("PUT", "orders", [events.order_document(case) for case in ORDERS])
        self._watch = Watch(stack)

    def play(self) -> None:
        """Play every scene."""
        self._call_the_address()
        self._check_the_orders()
        self._post_again()
        self._mend()
        self._open_the_link()
        self._remind()
        self._show_records()
        self._show_emails()

    def sum_up(self, seconds: float) -> bool:
        """Say how it went and what to try next; say whether all was as expected."""
        if self._deviations:
            self._title("Something came out otherwise than expected")
            for deviation in self._deviations:
                self._paragraph(deviation, "red")
            self._line(f"\n  The logs are in {HOME.relative_to(ROOT)}. Everything is stopped.")
            return False
        self._title("All of it came out as expected")
        self._paragraph(
            f"VTEX told of {len(ORDERS)} orders. {len(FAILING)} are CNova's and have an invoice without a good access"
            f" key: each left one record for machines and one alert for people, however often its event came. One was"
            f" mended at VTEX, read again unasked and reported as resolved."
            f" The other {len(ORDERS) - len(FAILING)} made no noise: their keys"
            " are good, or they are canceled, returned, not invoiced, or sold elsewhere. The event of an order that"
            " VTEX does not know is kept as a dead letter. Nobody without the secret got anything in."
        )
        self._line(f"\n  It took {seconds:.0f} s. Everything is stopped again.")
        self._line()
        self._paragraph(
            "Next: make up keeps this very stack running, to replay events by hand and with SAM (docs/replaying.md)."
            " docs/deploying.md shows how to deploy it to AWS."
        )
        return True

    # ---- The scenes

    def _call_the_address(self) -> None:
        self._title("1. VTEX tries the address, and so do others")
        self._heading(f"  {'what comes':38}answer")
        for case in HOOKS:
            if case.is_kept:
                continue  # the next scene has those
            secret = self._stack.hook_secret if case.secret == events.HOOK_SECRET else case.secret
            headers = {} if secret is None else {case.header: secret}
            status = self._stack.post_hook(case.body.encode(), headers)
            self._line(f"  {case.says:38}{status}")
            self._expect(f"the answer to {case.says}", status, case.status)
        self._paragraph("None of it goes any further: what is let in is authentic, well formed, and to be checked.")

    def _check_the_orders(self) -> None:
        self._title("2. Orders are invoiced: VTEX posts a hook for each; the checker reads the order")
        rows = Rows(self._watch, self._progress)
        self._progress(f"posting {len(ORDERS) + 1} hook calls")
        answers = [self._post(case) for case in ORDERS]
        answers.append(self._stack.post_hook(_encoded(events.notification(UNKNOWN_ORDER_ID))))
        self._expect("the answers to the hook calls", set(answers), {HTTPStatus.OK})
        rows.expect({case.order_id: case for case in ORDERS} | {UNKNOWN_ORDER_ID: None})
        self._line()
        self._heading(_row("order", "what VTEX holds", "outcome"))
        try:
            until(rows.show, "every order's end", PATIENCE)
        except TooLate:
            rows.give_up()
        self._deviations += rows.deviations
        if not self._deviations:
            self._paragraph("Each call was answered 200. Each order that is failing has its record and its alert.")
        self._expect("the number of queued events", len(self._watch.queued()), len(ORDERS) + 1)

    def _post_again(self) -> None:
        case = BY_NAME["key-missing"]
        self._title("3. The same event once more, and once more: VTEX delivers at least once")
        self._progress(f"posting the event of {case.order_id} twice more")
        for _ in range(MORE_EVENTS):
            self._post(case)
        self._wait(lambda: self._events_checked(case) > MORE_EVENTS, "the checks of the events posted again")
        records, emails = len(self._watch.records(case.order_id)), len(self._watch.emails(case.order_id))
        self._line(f"  Three events of {case.order_id}: {records} record, {emails} alert.")
        self._expect(f"records and alerts of {case.order_id}", (records, emails), (1, 1))

    def _mend(self) -> None:
        case = BY_NAME["key-missing"]
        self._title("4. Somebody mends the order. VTEX says nothing of it: the stack looks by itself")
        self._progress(f"mending {case.order_id} at VTEX; RecheckFailuresFunction looks")
        self._stack.vtex("POST", "invoice-key", {"order_id": case.order_id, "invoice_key": events.RIGHT_KEY})
        queued = self._stack.invoke("RecheckFailuresFunction", {"all": True})["queued"]
        self._paragraph(
            f"By its schedule an order is read again 15 minutes after its alert; told to, it queued all {queued} now."
        )
        self._expect("the number of open failures that are read again", queued, len(FAILING))
        if not self._wait(
            lambda: len(self._watch.records(case.order_id)) > 1 and len(self._watch.emails(case.order_id)) > 1,
            f"record and alert that {case.order_id} is resolved",
        ):
            return
        kinds = [record["type"] for record in self._watch.records(case.order_id)]
        self._expect(f"the records of {case.order_id}", kinds[-1], "invoicekey.order.resolved.v1")
        item = self._watch.ledger_item(case.order_id)
        self._expect(
            f"the ledger's outcome of {case.order_id}", (item["outcome"], "errors_told" in item), ("ok", False)
        )
        self._paragraph(f"{case.order_id} has its key now: its failure is closed, and who was alerted is notified:")
        self._line()
        self._frame(self._watch.emails(case.order_id)[-1])

    def _open_the_link(self) -> None:
        case = BY_NAME["key-of-an-nfce"]
        self._title("5. Whoever got an alert opens its link: no account, no password, on any telephone")
        link = link_in(self._watch.emails(case.order_id)[0].text)
        self._progress(f"opening the link of {case.order_id}")
        page = open_link(link)
        self._line(f"  {_A_LINK.sub(r'\1…', link)}\n")
        self._framed(page.lines[1:5] + ["…"] + [f"[ {button} ]" for button in page.buttons])
        self._expect("the answer to an alert's link", page.status, HTTPStatus.OK)
        day = (datetime.now(SHOP_S_ZONE) + timedelta(days=3)).date()
        done = act(page, act="snooze", until=day.isoformat())
        self._line()
        self._paragraph(
            f"Only the till's receipt is there, and the tax office has to be asked. So not before {day:%d/%m}:"
            " the page then says"
        )
        self._line()
        self._framed(done.lines[2:4])
        self._expect("the answer to an act", done.status, HTTPStatus.OK)
        until(lambda: "snoozed" in str(self._watch.ledger_item(case.order_id).get("failures")), "the snooze", PATIENCE)

    def _remind(self) -> None:
        self._title("6. On working days at nine: what is still open, the oldest first")
        self._progress("letting SendDigestFunction remind")
        self._stack.invoke("SendDigestFunction", {"reminder": True})
        reminders = until(lambda: self._watch.emails(kind="reminder"), "the reminder", PATIENCE)
        self._frame(reminders[0])
        self._expect("the number of reminders", len(reminders), 1)

    def _show_records(self) -> None:
        records = self._watch.records()
        whole = self._watch.records(BY_NAME["key-missing"].order_id)[:1]
        self._title(f"7. The failure queue: {len(records)} records for machines, as they lie in SQS. One of them:")
        for record in whole:
            self._line(textwrap.indent(json.dumps(record, indent=2, ensure_ascii=False), "  "))
        self._heading("\n  The others:")
        for record in records:
            if record not in whole:
                kind = record["type"].split(".")[2]
                self._line(_hanging(f"{record['subject']:20} {kind:9}", _in_a_line(record["data"])))
        seen = sorted((record["subject"], record["type"]) for record in records)
        self._expect("the records", seen, _expected_reports())

    def _show_emails(self) -> None:
        emails = [*self._watch.emails(kind="failing"), *self._watch.emails(kind="resolved")]
        self._title(
            f"8. The alert topic: {len(emails)} alerts for people, in Portuguese unless set otherwise. Two of them:"
        )
        whole = [
            self._watch.emails(BY_NAME[name].order_id)[:1] for name in ("key-with-nfe-prefix-and-spaces", "key-missing")
        ]
        for email in (email for found in whole for email in found):
            self._frame(email)
        self._heading("\n  The subjects of the others:")
        for email in emails:
            if [email] not in whole:
                self._line(_hanging("", email.subject))
        self._expect("the number of alerts", len(emails), len(_expected_reports()))

    # ---- What the scenes are made of

    def _post(self, case: OrderCase) -> int:
        return self._stack.post_hook(_encoded(case.notification))

    def _events_checked(self, case: OrderCase) -> int:
        """Count the events that led to checks: those of one batch are one check."""
        return sum(len(check["correlation_ids"]) for check in self._watch.checks(case.order_id))

    def _wait(self, look: Callable[[], bool], what: str) -> bool:
        try:
            return until(look, what, PATIENCE)
        except TooLate as late:
            self._deviations.append(str(late))
            return False

    def _expect(self, what: str, seen: object, expected: object) -> None:
        if seen != expected:
            self._deviations.append(f"{what}: expected {expected}, but it is {seen}")

    def _title(self, text: str) -> None:
        self._line()
        for line in wrapped(text, _COLUMNS):
            self._line(self._styled(line, "bold"))
        self._line()

    def _heading(self, text: str) -> None:
        self._line(self._styled(text, "dim"))

    def _paragraph(self, text: str, *styles: str) -> None:
        for line in wrapped(text, _WIDTH):
            self._line(f"  {self._styled(line, *styles) if styles else line}")

    def _frame(self, email: Email) -> None:
        self._framed([f"Subject: {email.subject}", "", *email.text.split("\n")])

    def _framed(self, lines: Sequence[str]) -> None:
        self._line(f"  ┌{'─' * _WIDTH}")
        told = _A_LINK.sub(r"\1…", "\n".join(lines))
        for line in wrapped(told, _WIDTH):
            self._line(f"  │ {line}".rstrip())
        self._line(f"  └{'─' * _WIDTH}")


class Rows:
    """The table of the orders: a line when what became of one is known, and one before where it has to wait."""

    def __init__(self, watch: Watch, progress: Progress) -> None:
        self._watch, self._progress = watch, progress
        self._pending: dict[str, OrderCase | None] = {}
        self._waiting: set[str] = set()
        self.deviations: list[str] = []

    def expect(self, orders: Mapping[str, OrderCase | None]) -> None:
        """Expect orders to come out as their cases say; None is an order that VTEX does not know."""
        self._pending.update(orders)

    def show(self) -> bool:
        """Look once, and show what is new; say whether everything is known."""
        decided = [check for check in self._watch.checks() if "outcome" in check]
        last = {check["order_id"]: check for check in decided}
        waited = {check["order_id"]: check for check in decided if check["outcome"] == "waiting"}
        told = Counter(record["subject"] for record in self._watch.records())
        told.update(email.order_id for email in self._watch.emails(kind="failing"))
        dead = {letter.body["OrderId"]: letter.attributes["reason"] for letter in self._watch.dead_letters()}
        for order_id, case in list(self._pending.items()):
            if case is None and order_id in dead:
                self._end(order_id, "unknown to VTEX", f"dead letter: {dead[order_id]}", dead[order_id] == "not_found")
            if case and order_id in waited and order_id not in self._waiting:
                self._waiting.add(order_id)
                self._line(order_id, case.holds, _came_to(waited[order_id]))
            if case and last.get(order_id, {}).get("outcome", "waiting") != "waiting":
                self._judge(case, last[order_id], told[order_id])
        if self._pending:
            left = len(self._pending)
            self._progress.passing(f"{left} order{'s' if left > 1 else ''} to go")
        return not self._pending

    def give_up(self) -> None:
        """Count what did not come to its end as a deviation."""
        self.deviations += [f"{order_id} did not come to an end in {PATIENCE:.0f} s" for order_id in self._pending]

    def _judge(self, case: OrderCase, check: Json, told: int) -> None:
        is_failing = check["outcome"] == "failing"
        if is_failing and told < len(("record", "alert")):
            return
        seen = (check["outcome"], check["problems"], check["is_suspect"])
        is_right = seen == (case.outcome_after_grace, case.codes, case.is_suspect)
        self._end(case.order_id, case.holds, _came_to(check), is_right)

    def _end(self, order_id: str, holds: str, came_to: str, is_right: bool) -> None:
        del self._pending[order_id]
        self._line(order_id, holds, came_to)
        if not is_right:
            self.deviations.append(f"{order_id} ({holds}) came to: {came_to}")

    def _line(self, order_id: str, holds: str, came_to: str) -> None:
        row, colour = _row(order_id, holds, came_to), _COLOURS.get(came_to.partition(":")[0], "dim")
        self._progress.line(row[:_OUTCOME_AT] + self._progress.styled(row[_OUTCOME_AT:], colour))


def _row(order: str, holds: str, outcome: str) -> str:
    """Write a row of the orders' table; few ids are longer than a CNova order's, and what those hold is short."""
    return _hanging(f"{order:13} {holds}".ljust(_OUTCOME_AT - 3), outcome)


def _hanging(begin: str, text: str) -> str:
    """Write a text behind what the line begins with; what has no room there goes on below itself."""
    lead = f"  {begin} " if begin else "  "
    lines = wrapped(text, max(20, _COLUMNS - len(lead)))
    return lead + f"\n{' ' * len(lead)}".join(lines)


def _came_to(check: Json) -> str:
    """Say in a few words what a check came to."""
    outcome, codes = str(check["outcome"]), ", ".join(check["problems"])
    if outcome == "ok" and codes:
        number = len(check["problems"])
        return f"ok: {number} warning{'' if number == 1 else 's'}"
    suspect = ": a suspect" if check["is_suspect"] else ""
    return outcome + suspect + (f": {codes}" if codes else "")


def _in_a_line(data: Json) -> str:
    """Say in a line what a record tells."""
    problems = [
        problem["code"] + (f" (a likely key: {problem['suggested_from']})" if problem["suggested_from"] else "")
        for problem in data["problems"]
    ]
    return "; ".join(problems) or f"reason {data['reason']}"


def _expected_reports() -> list[tuple[str, str]]:
    """List order and type of every report that has to be delivered in the end."""
    failing = [(case.order_id, "invoicekey.order.failing.v1") for case in FAILING]
    return sorted([*failing, (BY_NAME["key-missing"].order_id, "invoicekey.order.resolved.v1")])


def _encoded(notification: Json) -> bytes:
    return json.dumps(notification).encode()
