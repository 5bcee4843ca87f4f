"""The accounts' own places for their credentials at VTEX: an SSM parameter each (docs/decisions/0027).

Operators write and remove credentials, and nothing here reads one: the functions do (invoicekey.runtime.secrets).
"""

import json
from collections.abc import Collection
from datetime import UTC, datetime
from itertools import batched
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from invoicekey.runtime.secrets import MOST_NAMES, is_header_value
from operations.deployment.shop import CREDENTIALS_PREFIX, Shop
from operations.deployment.stack import NotUnderstood, Trouble, explained, time_of

_KEY = "OperationsKey"
_PATIENCE = Config(retries={"mode": "adaptive", "total_max_attempts": 10})
"""Parameter Store takes some three writes a second; a file of a thousand accounts has to wait for its turns."""
_REASONS = {
    "ParameterLimitExceeded": "Parameter Store holds 10,000 parameters in this region, which is all that it takes; "
    "delete those that nobody uses",
    "InvalidKeyId": "the stack's key (OperationsKey) cannot be used; see in KMS whether it is enabled, and not about "
    "to be deleted",
    "TooManyUpdates": "somebody else is writing it at this moment; see what they wrote, then do it again",
    "ThrottlingException": "Parameter Store is asked too often in this AWS account; do it again in a minute",
}


class CredentialsPlace:
    """The places of one stack's accounts."""

    def __init__(self, ssm: Any, prefix: str, key_id: str) -> None:
        """Take the parameters' prefix, with a slash at both ends, and the KMS key that encrypts them."""
        self._ssm = ssm
        self._prefix = prefix
        self._key_id = key_id

    def put(self, account: str, app_key: str, app_token: str) -> str:
        """Write an account's credentials; return the stamp that names this version, for the ledger.

        Raises NotUnderstood where one of them can't be sent to VTEX, and Trouble where AWS does not take them.
        """
        for name, value in (("appKey", app_key), ("appToken", app_token)):
            if not is_header_value(value):
                raise NotUnderstood(f"{account}: the {name} must be visible ASCII characters without blanks.")
        value = json.dumps({"app_key": app_key, "app_token": app_token})
        with explained(f"The credentials of {account} cannot be written, and are as they were", _REASONS):
            answer = self._ssm.put_parameter(
                Name=self._name(account), Value=value, Type="SecureString", KeyId=self._key_id, Overwrite=True
            )
        # With its time: the versions of a parameter that was deleted and made again begin at 1 once more.
        written_at = time_of(answer) or datetime.now(UTC)
        return f"v{answer['Version']} of {written_at.isoformat(timespec='seconds')}"

    def delete(self, account: str) -> None:
        """Delete an account's credentials, with all their earlier versions; where there are none, all is well."""
        with explained(f"The credentials of {account} cannot be deleted, and are as they were", _REASONS):
            try:
                self._ssm.delete_parameter(Name=self._name(account))
            except ClientError as error:
                if error.response["Error"]["Code"] != "ParameterNotFound":
                    raise

    def exists(self, accounts: Collection[str]) -> set[str]:
        """Return those of the accounts that have credentials there; nothing is decrypted."""
        found: set[str] = set()
        for some in batched(sorted(accounts), MOST_NAMES, strict=False):
            with explained("It cannot be seen which accounts have credentials of their own", _REASONS):
                answer = self._ssm.get_parameters(Names=[self._name(account) for account in some])
            found |= {parameter["Name"].removeprefix(self._prefix) for parameter in answer["Parameters"]}
        return found

    def _name(self, account: str) -> str:
        return self._prefix + account


def credentials_place(shop: Shop) -> CredentialsPlace:
    """Return the places of a shop's stack; raises Trouble where it is of a version without them."""
    prefix = shop.environment.get(CREDENTIALS_PREFIX)
    if not prefix:
        raise Trouble(
            f"The stack {shop.deployment.stack} has no places for accounts' credentials: it is of another version. "
            "Run make deploy."
        )
    return CredentialsPlace(shop.deployment.client("ssm", _PATIENCE), prefix, shop.resource(_KEY))
