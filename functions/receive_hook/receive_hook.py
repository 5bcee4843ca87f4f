"""ReceiveHookFunction: takes VTEX's hook calls from the HTTP API."""

import gc

gc.disable()  # until all is made: imports leave no garbage to look for (docs/decisions/0032)

import base64
import binascii
import os
from typing import Any

from botocore.config import Config

from invoicekey.runtime import aws
from invoicekey.runtime.secrets import CachedSecret
from invoicekey.runtime.settings import ReceiverSettings
from invoicekey.runtime.telemetry import as_handler, logger
from invoicekey.work.receive import Receiver

# Together 3.8 s at the worst, the retry and its wait of up to 1 s included: VTEX hears 503 before its own 5 s are over.
# Legacy mode, because standard mode also waits as long as AWS asks it to. One attempt is enough for a secret: it is
# read seldom, so never on a connection that a freeze may have killed (aws.py).
_SECRETS = Config(connect_timeout=0.4, read_timeout=0.6, retries={"total_max_attempts": 1})
_SQS = Config(connect_timeout=0.4, read_timeout=0.5, retries={"total_max_attempts": 2, "mode": "legacy"})

settings = ReceiverSettings.read(os.environ)
secrets_manager, sqs = aws.client("secretsmanager", _SECRETS), aws.client("sqs", _SQS)
receiver = Receiver(settings, secret=CachedSecret(secrets_manager, settings.hook_secret_arn), sqs=sqs)
gc.freeze()
gc.enable()


@as_handler
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer an event of the HTTP API (payload format 2.0)."""
    correlation_id = event.get("requestContext", {}).get("requestId") or "unknown"
    logger.set_correlation_id(correlation_id)
    return {"statusCode": receiver.receive(event.get("headers") or {}, _body(event), correlation_id)}


def _body(event: dict[str, Any]) -> bytes:
    """Return the body's bytes; one that claims to be base64 and is not comes back as it is, to be judged as JSON."""
    body = (event.get("body") or "").encode("utf-8", "surrogatepass")
    if not event.get("isBase64Encoded"):
        return body
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        return body
