"""Answers VTEX: the one place that knows the table of answers (docs/architecture/hook-endpoint.md).

It does no more than authenticate and keep the event, and says 200 to an event only after SQS has it. VTEX wants exactly
200 within 5 s and tries again otherwise; an event that failed more than 100 times within four days it gives up.
"""

import hmac
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from invoicekey.rules.notification import (
    KNOWN_STATES,
    AccountRefused,
    ForeignOrderId,
    Malformed,
    OrderRef,
    is_ping,
    is_watched,
    order_ref,
    parse,
)
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import RetryLater
from invoicekey.runtime.secrets import CachedSecret, hook_secrets
from invoicekey.runtime.settings import ReceiverSettings
from invoicekey.runtime.telemetry import logger

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MOST_BYTES = 64 * 1024
SECRET_HEADER = "x-hook-secret"  # noqa: S105 - the header's name, not a secret
STATUSES_HEADER = "x-watched-statuses"
"""The guard registers it with the hook of an account that has WatchedStatuses of its own."""


class Receiver:
    """Takes hook calls and queues the events that are to be checked."""

    def __init__(self, settings: ReceiverSettings, secret: CachedSecret, sqs: "SQSClient") -> None:
        self._settings = settings
        self._secret = secret
        self._sqs = sqs
        self._last_app_keys: dict[str, str] = {}

    def receive(self, headers: Mapping[str, str], body: bytes, correlation_id: str) -> HTTPStatus:
        """Answer one call; the first rule that fits decides."""
        if len(body) > MOST_BYTES:
            return _refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large")
        notification = _parsed(body)
        if notification is not None and is_ping(notification):
            telemetry.count("hook_ping")
            return HTTPStatus.OK
        try:
            if not self._is_authentic(headers):
                return _refused(HTTPStatus.UNAUTHORIZED, "wrong_secret")
            if notification is None:
                return _refused(HTTPStatus.BAD_REQUEST, "malformed")
            return self._take(notification, body, self._watched(headers), correlation_id)
        except RetryLater as trouble:
            logger.error("an event could not be kept; VTEX will send it again", extra={"why": trouble.why})
            return _refused(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable")

    def _is_authentic(self, headers: Mapping[str, str]) -> bool:
        given = _header(headers, SECRET_HEADER).encode("utf-8", "surrogatepass")
        if not given.strip():
            return False
        if _matches(given, self._secret.value()):
            return True
        return _matches(given, self._secret.value_read_again())

    def _watched(self, headers: Mapping[str, str]) -> frozenset[str]:
        """Return which statuses are watched: the account's own, where an authentic call names any."""
        named = frozenset(name.strip().casefold() for name in _header(headers, STATUSES_HEADER).split(","))
        return named & KNOWN_STATES or self._settings.watched_statuses

    def _take(
        self, notification: dict[str, Any], body: bytes, watched: frozenset[str], correlation_id: str
    ) -> HTTPStatus:
        try:
            heard = self._received(notification)
        except Malformed:
            return _refused(HTTPStatus.BAD_REQUEST, "malformed")
        except AccountRefused:
            return _refused(HTTPStatus.FORBIDDEN, "account_refused")
        telemetry.count("hook_received")
        self._count_changed_app_key(heard.account, notification)
        if not is_watched(notification, watched):
            telemetry.count("hook_not_watched")
            return HTTPStatus.OK
        details = {"account": heard.account, "order_id": heard.order_id}
        if isinstance(heard, ForeignOrderId):
            telemetry.count("hook_foreign_order_id")
            logger.info("hook of an order that cannot be CNova's", extra=details)
            return HTTPStatus.OK
        self._queue(heard.account, body, correlation_id)
        telemetry.count("hook_queued")
        logger.info("hook queued", extra=details)
        return HTTPStatus.OK

    def _received(self, notification: dict[str, Any]) -> OrderRef | ForeignOrderId:
        """Return what the event is about; nothing is wrong with one about a foreign order."""
        try:
            return order_ref(notification, self._settings.accounts)
        except ForeignOrderId as foreign:
            return foreign

    def _queue(self, account: str, body: bytes, correlation_id: str) -> None:
        # As VTEX sent it. Of what JSON allows SQS refuses two characters; they go escaped, which is the same JSON.
        text = body.decode().replace("\ufffe", r"\ufffe").replace("\uffff", r"\uffff")
        try:
            self._sqs.send_message(
                QueueUrl=self._settings.hook_queue_url,
                MessageBody=text,
                MessageGroupId=account,  # a fair queue: an account with a storm is behind those without
                MessageAttributes={"correlation_id": {"DataType": "String", "StringValue": correlation_id}},
            )
        except (BotoCoreError, ClientError) as error:
            raise RetryLater(f"SQS did not take the event: {type(error).__name__}") from error

    def _count_changed_app_key(self, account: str, notification: dict[str, Any]) -> None:
        """Count when Origin.Key is another than before: keys rotate, so it decides nothing."""
        app_key = str(notification["Origin"].get("Key"))
        if self._last_app_keys.setdefault(account, app_key) != app_key:
            telemetry.count("hook_app_key_changed")
            self._last_app_keys[account] = app_key


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        return parse(body)
    except Malformed:
        return None


def _header(headers: Mapping[str, str], wanted: str) -> str:
    """Return a header's value, whatever the case of its name; nothing where there is none."""
    return next((value for name, value in headers.items() if name.lower() == wanted), "")


def _matches(given: bytes, secret: Mapping[str, Any]) -> bool:
    """Compare with every accepted secret, in the same time whichever fits."""
    matches = [hmac.compare_digest(given, accepted) for accepted in hook_secrets(secret)]
    return any(matches)


def _refused(status: HTTPStatus, why: str) -> HTTPStatus:
    telemetry.count(f"hook_refused_{why}")
    return status
