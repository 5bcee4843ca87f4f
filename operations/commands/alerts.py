"""`invoicekey alerts`: whether they arrive."""

import json
from collections.abc import Iterator
from typing import Annotated

import typer

from invoicekey import summary
from invoicekey.outlets import AlertTopic, alert_entry
from operations.cli import FAILING, app, out, shop
from operations.findings import Finding, Section, State, note, show, to_do, well, worst
from operations.shop import Shop

ALERTS, OPERATIONS = "AlertTopicArn", "OperationsTopicArn"
TOPICS = {ALERTS: "alerts about orders", OPERATIONS: "trouble of the system"}

alerts = typer.Typer(no_args_is_help=True, help="See whether alerts arrive.")
app.add_typer(alerts, name="alerts")


@alerts.command()
def test(
    context: typer.Context,
    account: Annotated[str | None, typer.Option(help="The VTEX account that the test names.")] = None,
    operations: Annotated[bool, typer.Option("--operations", help="Test the operations topic too.")] = False,
) -> int:
    """Send a test alert, and say whom it goes to.

    Exit code 3 where a subscription is not confirmed, or where nobody listens.
    """
    of = shop(context)
    sections = send_tests(of, of.account(account), with_operations=operations)
    show(out, *sections)
    return FAILING if worst(sections) is State.TO_DO else 0


def send_tests(of: Shop, account: str, *, with_operations: bool) -> list[Section]:
    """Publish the tests; return what was sent, and to whom."""
    told = summary.trial(account, of.style)
    sent = {ALERTS: alert_entry(told.subject, told.message(chat=of.style.chat), told.attributes)}
    if with_operations:
        sent[OPERATIONS] = _operations_test(of.deployment.stack)
    sections = []
    for topic, entry in sent.items():
        AlertTopic(of.deployment.client("sns"), of.deployment.output(topic)).publish(entry)
        published = well(f"a test was sent: “{json.loads(entry)['Subject']}”")
        sections.append(Section(TOPICS[topic].capitalize(), (published, *listeners(of, topic))))
    return sections


def listeners(of: Shop, topic: str) -> Iterator[Finding]:
    """Say who is subscribed to a topic, and who has not confirmed."""
    subscriptions = of.deployment.subscriptions(topic)
    if not any(is_confirmed for _, _, is_confirmed in subscriptions):
        setting = "AlertEmail" if topic == ALERTS else "OperationsEmail"
        how = "" if subscriptions else f"set {setting} in samconfig.toml and make deploy, or subscribe somebody in SNS"
        yield to_do(f"nobody hears the {TOPICS[topic]}", how or "confirm a subscription below")
    for protocol, endpoint, is_confirmed in subscriptions:
        if is_confirmed:
            yield note(f"{protocol} {endpoint} is subscribed")
        else:
            yield to_do(
                f"{protocol} {endpoint} has not confirmed, and gets nothing",
                "open the e-mail “AWS Notification - Subscription Confirmation” there (look in spam too), and click; "
                "after three days ask SNS for a new one",
            )


def _operations_test(stack: str) -> str:
    subject = f"{stack}: test of the operations topic"
    body = (
        f"This is a test: alarms of the stack {stack} arrive here. There is nothing to do.\n"
        "What each alarm means stands in docs/runbook.md."
    )
    message = json.dumps({"default": body, "email": body, "sms": subject})
    return alert_entry(subject, message, {"type": "test"})
