"""The two secrets, read from Secrets Manager and kept for a while.

A change is taken up within five minutes. When Secrets Manager fails, the last good value serves for up to an hour.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from invoicekey.runtime.errors import CredentialsRefused, RetryLater

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

FRESH_SECONDS = 300
USABLE_SECONDS = 3600
READ_AGAIN_SECONDS = 30
MOST_NAMES = 10
"""So many parameters are given to a GetParameters at the most."""
_NOT_GIVEN = "Secrets Manager did not give the secret"


class CachedSecret:
    """A secret that holds a JSON object."""

    def __init__(self, client: "SecretsManagerClient", arn: str, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._arn = arn
        self._clock = clock
        self._value: dict[str, Any] | None = None
        self._read_at = self._tried_at = float("-inf")
        self._one_reads = Lock()
        self._reads = 0

    def value(self) -> dict[str, Any]:
        """Return the secret, at most five minutes old, an hour when Secrets Manager fails; else raise RetryLater."""
        reads = self._reads
        with self._one_reads:  # ten checks begin side by side
            age = self._clock() - self._read_at
            is_due = self._value is None or age >= USABLE_SECONDS or (age >= FRESH_SECONDS and self._may_read_again())
            if is_due and self._reads == reads:  # who has waited for a read that failed does not try it once more
                self._read()
            return self._usable()

    def value_read_again(self) -> dict[str, Any]:
        """Return the secret as it is now, for a caller whom the kept one did not serve; at most every 30 s."""
        if self._may_read_again():
            self._read()
        return self._usable()

    def value_now(self) -> dict[str, Any]:
        """Return the secret as it is now, for a caller who passes it on: an outdated one would undo a change.

        Raises RetryLater when Secrets Manager does not give it, whatever was read before.
        """
        if not self._read():
            raise RetryLater(_NOT_GIVEN)
        return self._usable()

    def _may_read_again(self) -> bool:
        return self._clock() - self._tried_at >= READ_AGAIN_SECONDS

    def _usable(self) -> dict[str, Any]:
        if self._value is None or self._clock() - self._read_at >= USABLE_SECONDS:
            raise RetryLater(_NOT_GIVEN)
        return self._value

    def _read(self) -> bool:
        """Read the secret, and say whether there was one; else what was read before stays."""
        self._tried_at = self._clock()
        self._reads += 1
        try:
            value = json.loads(self._client.get_secret_value(SecretId=self._arn)["SecretString"])
        except (BotoCoreError, ClientError, KeyError, ValueError, RecursionError):
            return False
        if not isinstance(value, dict):
            return False
        self._value, self._read_at = value, self._clock()
        return True


@dataclass(frozen=True, slots=True)
class Credentials:
    """An account's appKey and appToken at VTEX. They never show in a text."""

    app_key: str = field(repr=False)
    app_token: str = field(repr=False)


def hook_secrets(secret: Mapping[str, Any]) -> list[bytes]:
    """List the secrets that a hook call may carry: the current and the previous one; an empty one never."""
    values = (secret.get("current"), secret.get("previous"))
    return [value.encode("utf-8", "surrogatepass") for value in values if isinstance(value, str) and value.strip()]


def vtex_credentials(secret: Mapping[str, Any], account: str) -> Credentials:
    """Return an account's credentials, raising CredentialsRefused when there are none that could be sent."""
    entry = secret.get(account)
    key, token = (entry.get("app_key"), entry.get("app_token")) if isinstance(entry, dict) else (None, None)
    if not is_header_value(key) or not is_header_value(token):
        raise CredentialsRefused("the secret holds no appKey and appToken of the account")
    return Credentials(str(key), str(token))


def is_header_value(value: object) -> bool:
    """Say whether a value can be sent to VTEX as an appKey or an appToken."""
    return isinstance(value, str) and bool(value) and value.isascii() and value.isprintable() and " " not in value
