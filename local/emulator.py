"""The emulator: ministack, corrected where it is stricter than AWS so that the real template runs in it unchanged.

AWS authorizes the batch calls of SQS and SNS as their single ones; ministack asks for actions that AWS does not have.
And it takes this machine's plain http for an insecure way in, which the queues' and topics' policies refuse.
"""

from typing import Any

import ministack.app
from ministack.core import iam_evaluator

_SINGLE_ACTION = {
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "sns:PublishBatch": "sns:Publish",
}

_enforce = iam_evaluator.enforce
_pin_request_origin = ministack.app.pin_request_origin


def _enforce_as_aws_does(access_key_id: str, iam_action: str, *arguments: Any, **named: Any) -> Any:
    return _enforce(access_key_id, _SINGLE_ACTION.get(iam_action, iam_action), *arguments, **named)


def _pin_as_tls(source_ip: str, _secure_transport: bool) -> None:
    _pin_request_origin(source_ip, secure_transport=True)


def main() -> None:
    """Run the emulator; its settings are ministack's environment variables."""
    iam_evaluator.enforce = _enforce_as_aws_does
    ministack.app.pin_request_origin = _pin_as_tls
    ministack.app.main()


if __name__ == "__main__":
    main()
