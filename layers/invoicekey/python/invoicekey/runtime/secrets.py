"""The secrets, read from Secrets Manager and kept for a while; and the accounts' own places in Parameter Store.

A change of a secret is taken up within five minutes. What an account has in its own place is kept for longer, because
the ledger says when it changed, and each read of it is one of KMS too (docs/decisions/0027). When AWS fails, the last
good value serves for up to an hour more.
"""

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import batched
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
OWN_FRESH_SECONDS = 4 * 3600
"""So long an account's own credentials are fresh, while the ledger names the same version of them."""


class _Kept:
    """A JSON object that is read when it is needed, and kept for a while."""

    def __init__(
        self,
        read: Callable[[], object],
        not_given: str,
        clock: Callable[[], float],
        *,
        fresh_seconds: float = FRESH_SECONDS,
        usable_seconds: float = USABLE_SECONDS,
    ) -> None:
        """Keep what `read` returns, an object of JSON; where it returns or raises something else, it was not given."""
        self._read_outside = read
        self._not_given = not_given
        self._clock = clock
        self._fresh_seconds = fresh_seconds
        self._usable_seconds = usable_seconds
        self._value: dict[str, Any] | None = None
        self._stamp: str | None = None
        self._stamp_of_value: str | None = None
        self._read_at = self._tried_at = float("-inf")
        self._one_reads = Lock()
        self._reads = 0

    def value(self) -> dict[str, Any]:
        """Return it while it is fresh, or read it; when that fails, the last good one while usable, or RetryLater."""
        reads = self._reads
        with self._one_reads:  # ten checks begin side by side
            if self.is_due and self._reads == reads:  # who has waited for a read that failed does not try it once more
                self._read()
            return self._usable()

    def value_read_again(self) -> dict[str, Any]:
        """Return it as it is now, for a caller whom the kept one did not serve; at most every 30 s."""
        with self._one_reads:
            if self._may_read_again():
                self._read()
            return self._usable()

    def value_now(self) -> dict[str, Any]:
        """Return it as it is now, for a caller who passes it on: an outdated one would undo a change.

        Raises RetryLater when it is not given, whatever was read before.
        """
        if not self._read():
            raise RetryLater(self._not_given)
        return self._usable()

    @property
    def is_due(self) -> bool:
        """Say whether the next value is to be read."""
        age = self._clock() - self._read_at
        is_stale = self._stamp != self._stamp_of_value or age >= self._fresh_seconds
        return self._value is None or age >= self._usable_seconds or (is_stale and self._may_read_again())

    @property
    def stamp(self) -> str | None:
        """Name the version that is there; another one makes the next value be read."""
        return self._stamp

    @stamp.setter
    def stamp(self, stamp: str) -> None:
        if stamp != self._stamp:
            self._stamp, self._tried_at = stamp, float("-inf")

    def take(self, value: object, stamp: str | None) -> bool:
        """Keep what was just read, of the version that was known before; say whether that is an object of JSON."""
        now = self._clock()
        if stamp == self._stamp:  # else another version is there by now, and is to be read
            self._tried_at = now
        if not isinstance(value, dict):
            return False
        self._value, self._stamp_of_value, self._read_at = value, stamp, now
        return True

    def _may_read_again(self) -> bool:
        return self._clock() - self._tried_at >= READ_AGAIN_SECONDS

    def _usable(self) -> dict[str, Any]:
        if self._value is None or self._clock() - self._read_at >= self._usable_seconds:
            raise RetryLater(self._not_given)
        return self._value

    def _read(self) -> bool:
        """Read it, and say whether it was given; else what was read before stays."""
        self._reads += 1
        stamp = self._stamp
        try:
            value = self._read_outside()
        except (BotoCoreError, ClientError, KeyError, ValueError, RecursionError):
            value = None
        return self.take(value, stamp)


class CachedSecret(_Kept):
    """A secret that holds a JSON object: five minutes old at the most, an hour when Secrets Manager fails."""

    def __init__(self, client: "SecretsManagerClient", arn: str, clock: Callable[[], float] = time.time) -> None:
        def read() -> object:
            return json.loads(client.get_secret_value(SecretId=arn)["SecretString"])

        super().__init__(read, "Secrets Manager did not give the secret", clock)


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
    return _credentials_in(entry if isinstance(entry, dict) else {}, "the secret")


def _credentials_in(entry: Mapping[str, Any], where: str) -> Credentials:
    key, token = entry.get("app_key"), entry.get("app_token")
    if not is_header_value(key) or not is_header_value(token):
        raise CredentialsRefused(f"{where} holds no appKey and appToken of the account")
    return Credentials(str(key), str(token))


def is_header_value(value: object) -> bool:
    """Say whether a value can be sent to VTEX as an appKey or an appToken."""
    return isinstance(value, str) and bool(value) and value.isascii() and value.isprintable() and " " not in value


class AccountCredentials:
    """The accounts' credentials at VTEX: in an account's own place where the ledger names one, else in the secret.

    Each is read when it is needed, and any number of threads may ask.
    """

    def __init__(
        self, secret: CachedSecret, ssm: Callable[[], Any], prefix: str, clock: Callable[[], float] = time.time
    ) -> None:
        """Put it together; `ssm` makes the client when an account has a place of its own, whose name has the prefix."""
        self.secret = secret
        self._make_ssm = ssm
        self._ssm: Any = None
        self._one_makes = Lock()
        self._prefix = prefix
        self._clock = clock
        self._own: dict[str, _Kept] = {}

    def of(self, account: str) -> Credentials:
        """Return an account's credentials.

        Raises CredentialsRefused where there are none that could be sent, and RetryLater where AWS gives no answer and
        what was read before is too old.
        """
        own = self._own.get(account)
        if own is None:
            return vtex_credentials(self.secret.value(), account)
        try:
            return _credentials_in(own.value(), _OWN_PLACE)
        except CredentialsRefused:
            return _credentials_in(own.value_read_again(), _OWN_PLACE)

    def after_refusal(self, account: str, refused: Credentials, *, of_same_app_key: bool = False) -> Credentials | None:
        """Return other credentials than those that VTEX refused, where they were changed by hand; at most every 30 s.

        `of_same_app_key`: only a new appToken is taken up at once. What is noted of hook and feed is an appKey's.
        """
        own = self._own.get(account)
        if own is None:
            return None
        try:
            found = _credentials_in(own.value_read_again(), _OWN_PLACE)
        except RetryLater:
            return None
        is_taken = found != refused and (not of_same_app_key or found.app_key == refused.app_key)
        return found if is_taken else None

    def keep(self, account: str, stamp: str | None) -> None:
        """Learn what the ledger says: which version is in the account's own place; None where it has none."""
        if stamp is None:
            self._own.pop(account, None)
        else:
            self._own.setdefault(account, self._kept(account)).stamp = stamp

    def keep_all(self, stamps: Mapping[str, str | None]) -> None:
        """Learn what the ledger says of all accounts that are about to be asked for, and read their own places."""
        for account, stamp in stamps.items():
            self.keep(account, stamp)
        self.fetch(stamps)

    def fetch(self, accounts: Iterable[str]) -> None:
        """Read ahead what is due of these accounts' own places, ten a request; what fails is left to `of`."""
        due = {account: own for account in accounts if (own := self._own.get(account)) and own.is_due}
        for some in batched(due, MOST_NAMES, strict=False):
            stamps = {account: due[account].stamp for account in some}
            try:
                values: Mapping[str, object] = self._values(some)
            except ClientError:  # with one that can't be decrypted all ten are refused
                continue
            except BotoCoreError:  # nor would the others be answered, and each costs seconds
                values = {}
            for account, stamp in stamps.items():
                due[account].take(values.get(account), stamp)
            if not values:
                return

    def _kept(self, account: str) -> _Kept:
        return _Kept(
            lambda: self._values([account])[account],
            "Parameter Store did not give the account's credentials",
            self._clock,
            fresh_seconds=OWN_FRESH_SECONDS,
            usable_seconds=OWN_FRESH_SECONDS + USABLE_SECONDS,
        )

    def _values(self, accounts: Collection[str]) -> dict[str, dict[str, Any]]:
        """Read the places of ten accounts at the most; an empty object is what holds nothing that was written there."""
        answer = self._client().get_parameters(Names=[self._prefix + one for one in accounts], WithDecryption=True)
        found = {one["Name"]: one["Value"] for one in answer["Parameters"]}
        return {account: _object(found.get(self._prefix + account, "")) for account in accounts}

    def _client(self) -> Any:
        with self._one_makes:  # boto3 makes clients in one thread at a time
            if self._ssm is None:
                self._ssm = self._make_ssm()
            return self._ssm


_OWN_PLACE = "the account's own place"


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
