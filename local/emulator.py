"""The emulator: ministack, corrected where it is stricter than AWS so that the real template runs in it unchanged.

AWS authorizes the batch calls of SQS and SNS as their single ones; ministack asks for actions that AWS does not have.
And it takes this machine's plain http for an insecure way in, which the queues' and topics' policies refuse.

AWS authorizes GetParameters by the parameters that are asked for; ministack wants a right to all there are. A number
that a template gives by a parameter is a text to it, which it would compare with numbers.

It sends no e-mail, SMS or chat message. What such subscribers would get is put into a queue, where somebody made one.
"""

import json
from typing import Any

import ministack.app
from ministack.core import iam_actions, iam_evaluator
from ministack.services import lambda_svc, sns

from local.stack import MAILBOX

_SINGLE_ACTION = {
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "sns:PublishBatch": "sns:Publish",
}

_enforce = iam_evaluator.enforce
_resource_arn = iam_actions.extract_resource_arn
_pin_request_origin = ministack.app.pin_request_origin
_fan_out = sns._fanout
_concurrency = lambda_svc._sqs_esm_concurrency


def _enforce_as_aws_does(access_key_id: str, iam_action: str, *arguments: Any, **named: Any) -> Any:
    return _enforce(access_key_id, _SINGLE_ACTION.get(iam_action, iam_action), *arguments, **named)


def _resource_arn_of_parameters(service: str, *request: Any) -> str:
    """Return the ARN of one of the parameters that are asked for, where all of them are in one folder."""
    arn = str(_resource_arn(service, *request))
    *_, body, _, region, account = request
    names = json.loads(body or b"{}").get("Names", []) if service == "ssm" and arn == "*" else []
    is_one_folder = len({name.rpartition("/")[0] for name in names}) == 1
    return f"arn:aws:ssm:{region}:{account}:parameter{names[0]}" if is_one_folder else arn


def _pin_as_tls(source_ip: str, _secure_transport: bool) -> None:
    _pin_request_origin(source_ip, secure_transport=True)


def _concurrency_as_number(source: dict[str, Any], *arguments: Any) -> int:
    scaling = source.get("ScalingConfig") or {}
    if isinstance(scaling.get("MaximumConcurrency"), str):
        scaling["MaximumConcurrency"] = int(scaling["MaximumConcurrency"])
    return int(_concurrency(source, *arguments))


def _fan_out_in_every_form(
    topic: str, message_id: str, message: str, subject: str, structure: str = "", attributes: Any = None, **named: Any
) -> None:
    """Deliver a message, and to the mailbox of its account, where there is one, with all the forms that it has."""
    _fan_out(topic, message_id, message, subject, structure, attributes, **named)
    mailbox = ":".join([*topic.replace(":sns:", ":sqs:").split(":")[:-1], MAILBOX])
    if structure == "json" and sns._sqs._queue_by_arn(mailbox):
        whole = sns._build_envelope(topic, message_id, message, subject, attributes or {}, False)
        sns._deliver_to_sqs(mailbox, whole, False, message, topic_arn=topic)


def main() -> None:
    """Run the emulator; its settings are ministack's environment variables."""
    iam_evaluator.enforce = _enforce_as_aws_does
    iam_actions.extract_resource_arn = _resource_arn_of_parameters
    ministack.app.pin_request_origin = _pin_as_tls
    sns._fanout = _fan_out_in_every_form
    lambda_svc._sqs_esm_concurrency = _concurrency_as_number
    ministack.app.main()


if __name__ == "__main__":
    main()
