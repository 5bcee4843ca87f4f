"""The stack's two topics: who listens to them, and tests that show it."""

import json
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from invoicekey.delivery.queues import alert_entry
from invoicekey.messages import summary
from operations.deployment.shop import Shop
from operations.deployment.stack import Hearing, Subscription
from operations.terminal.findings import Finding, Section, looked, note, to_do, well

LONGEST_STACK_IN_SUBJECT = 60
"""SNS takes subjects below 100 characters."""
ALERTS, OPERATIONS = "AlertTopicArn", "OperationsTopicArn"
TOPICS: Mapping[str, str] = {ALERTS: "alerts about orders", OPERATIONS: "trouble of the system"}
"""What each is for, by the stack's output."""


def send_tests(of: Shop, account: str, *, with_operations: bool) -> list[Section]:
    """Publish the tests; return what was sent, and to whom."""
    told = summary.trial(account, of.style)
    sent = {ALERTS: alert_entry(told.subject, told.message(chat=of.style.chat), told.attributes)}
    if with_operations:
        sent[OPERATIONS] = _operations_test(of.deployment.stack)
    return [_tested(of, topic, entry) for topic, entry in sent.items()]


def _tested(of: Shop, topic: str, entry: str) -> Section:
    def publish() -> Iterator[Finding]:
        request = json.loads(entry)
        of.ask("sns", "publish", TopicArn=of.deployment.output(topic), **request)
        yield well(f"sent: “{request['Subject']}”")

    sent = looked("the test was not sent", publish)
    return Section(
        TOPICS[topic].capitalize(), (*sent, *looked("who listens is not known", lambda: listeners(of, topic)))
    )


def listeners(of: Shop, topic: str) -> Iterator[Finding]:
    """Say who is subscribed to a topic, who has not confirmed, and who has unsubscribed."""
    subscriptions = of.deployment.subscriptions(topic)
    hearings = {one.hearing for one in subscriptions}
    if Hearing.CONFIRMED not in hearings:
        setting = "AlertEmail" if topic == ALERTS else "OperationsEmail"
        is_pending = Hearing.PENDING in hearings
        how = "confirm a subscription below" if is_pending else _subscribe_again(setting)
        yield to_do(f"nobody hears the {TOPICS[topic]}", how)
    for one in subscriptions:
        yield _listener(one, TOPICS[topic])


def _listener(one: Subscription, what: str) -> Finding:
    listener = f"{one.protocol} {_shown(one.protocol, one.endpoint)}"
    match one.hearing:
        case Hearing.CONFIRMED:
            return well(f"{listener} is notified of the {what}")
        case Hearing.PENDING:
            return to_do(
                f"{listener} has not confirmed, and gets nothing",
                "open the e-mail “AWS Notification - Subscription Confirmation” there (look in spam too), and click; "
                "after two days SNS has forgotten it: subscribe it again in SNS",
            )
        case Hearing.DELETED:
            return note(f"{listener} has unsubscribed, and gets nothing; SNS lists it for some days yet")


def _subscribe_again(setting: str) -> str:
    # Once somebody has unsubscribed, the template that names the address is as it was: a deployment changes nothing.
    return (
        f"where {setting} is empty, set it in samconfig.toml and make deploy; else subscribe the address again in SNS"
    )


def _shown(protocol: str, endpoint: str) -> str:
    """Show where messages go; of a web address the host alone, for a chat's may hold its secret."""
    return urlsplit(endpoint).hostname or "" if protocol in {"http", "https"} else endpoint


def _operations_test(stack: str) -> str:
    subject = f"{stack[:LONGEST_STACK_IN_SUBJECT]}: test of the operations topic"
    body = (
        f"This is a test: alarms of the stack {stack} arrive here. There is nothing to do.\n"
        "What each alarm means stands in docs/runbook.md."
    )
    message = json.dumps({"default": body, "email": body, "sms": subject})
    return alert_entry(subject, message, {"type": "test"})
