"""What the operators' commands work with: a deployed stack, taken apart as its checker is put together.

Every setting comes from the deployed function's own environment, so that a command judges as the stack does.
"""

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from difflib import get_close_matches
from functools import cached_property
from itertools import batched
from typing import Any

import httpx
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from invoicekey.delivery.queues import HookQueue, Outlets
from invoicekey.ledger.accounts import Account, Accounts
from invoicekey.ledger.entries import Ledger
from invoicekey.ledger.lists import Backlog
from invoicekey.ledger.table import Table
from invoicekey.messages.alert import Style
from invoicekey.runtime.errors import CredentialsRefused
from invoicekey.runtime.secrets import MOST_NAMES, Credentials, vtex_credentials
from invoicekey.runtime.settings import COMMANDS_SHARE, CheckerSettings, GuardSettings, OfAccounts, SettingsError
from invoicekey.vtex.client import RateLimiter, Vtex
from invoicekey.work.rounds import accounts_named
from operations.deployment.stack import Deployment, NotUnderstood, Trouble, explained
from operations.deployment.template import version

VTEX_SECRET, HOOK_SECRET, DESK_SECRET = "VtexCredentialsSecretArn", "HookSecretArn", "DeskSecretArn"
_PACE = "VtexRequestsPerMinute"
CREDENTIALS_PREFIX = "VTEX_CREDENTIALS_PREFIX"
"""The checker's variable that says where the accounts' own places for their credentials are."""
MOST_NAMED = 10
"""So many accounts are named where one of them has to be chosen."""
TO_START = 20
"""So many seconds a function may take to start, and its answer to come, beside its own timeout."""


class OutcomeUnknown(Trouble):
    """A function was started, and its answer did not come: it may still run, or have done all that it does."""


class NoCredentials(Trouble):
    """There are no credentials of an account that could be sent to VTEX."""


class Shop:
    """One deployment, with what its commands need of the outside."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.offered: dict[str, Credentials] = {}
        """Credentials that are tried at VTEX before they are kept, by account."""
        self._own_credentials: dict[str, Any] = {}

    @cached_property
    def environment(self) -> Mapping[str, str]:
        """Return the environment of the deployed checker."""
        return self.function_environment("CheckInvoiceFunction")

    @cached_property
    def settings(self) -> CheckerSettings:
        """Return the settings of the deployed checker."""
        try:
            return CheckerSettings.read(self.environment)
        except SettingsError as error:
            raise self._of_another_version(error) from None

    @cached_property
    def guard_settings(self) -> GuardSettings:
        """Return the settings of the deployed guard: how hook and feed are to be."""
        try:
            return GuardSettings.read(self.function_environment("GuardHookFunction"))
        except SettingsError as error:
            raise self._of_another_version(error) from None

    @property
    def style(self) -> Style:
        """Return how the shop wants its texts."""
        return self.settings.style

    @property
    def desk_url(self) -> str:
        """Return where the desk is, with `/desk/` at its end; raises Trouble where this stack has none."""
        if not self.settings.desk_url:
            raise Trouble(
                f"The stack {self.deployment.stack} has no desk: DeskLinks=no, or it is of a version before the desk. "
                "With make deploy it gets one, unless DeskLinks is no."
            )
        return self.settings.desk_url

    @property
    def requests_per_minute(self) -> int:
        """Return the commands' share of VtexRequestsPerMinute, which the functions leave over."""
        return commands_share(self.settings)

    @cached_property
    def credentials(self) -> dict[str, Any]:
        """Return the secret of VTEX's credentials; it is never to be shown."""
        return self.deployment.read_secret(VTEX_SECRET)

    @cached_property
    def of_accounts(self) -> Accounts:
        """Return the items of what accounts have of their own."""
        return Accounts(self.table)

    @cached_property
    def own(self) -> dict[str, Account | None]:
        """Return what each account that has an item has of its own; None where the item is corrupt."""
        return self.of_accounts.read(self.of_accounts.names())

    @property
    def accounts(self) -> list[str]:
        """List the accounts that have credentials, and a name that may become part of a host's."""
        in_secret = accounts_named(self.credentials)
        return sorted({*in_secret, *(name for name, own in self.own.items() if own and own.credentials)})

    def settings_of(self, account: str) -> CheckerSettings:
        """Return the checker's settings for an account: the stack's, under its own. Raises Trouble."""
        return self._for_account(self._checker_s, account)

    def guard_settings_of(self, account: str) -> GuardSettings:
        """Return the guard's settings for an account: the stack's, under its own. Raises Trouble."""
        return self._for_account(self._guard_s, account)

    def account(self, named: str | None) -> str:
        """Return the account that is meant: the one that was named, or the only one there is."""
        if named is None and len(self.accounts) == 1:
            return self.accounts[0]
        if named is not None and named in self.accounts:
            return named
        if not self.accounts:
            raise Trouble(f"There are no credentials of any VTEX account yet. Run {self.make_credentials}")
        if named is None:
            raise NotUnderstood(f"Say which account: --account {' or --account '.join(self._some(self.accounts))}")
        known = ", ".join(self._some(get_close_matches(named, self.accounts) or self.accounts))
        raise NotUnderstood(
            f"There are no credentials of {named}; there are of: {known}. For a new one: "
            f"{self.command(f'accounts add {named}')}"
        )

    @staticmethod
    def _some(names: list[str]) -> list[str]:
        return names if len(names) <= MOST_NAMED else [*names[:MOST_NAMED], "…"]

    def vtex(self, requests_per_minute: int | None = None, *, transport: httpx.BaseTransport | None = None) -> Vtex:
        """Make a client of VTEX at the commands' share of the rate limit, unless another is given."""
        vtex = Vtex(
            self.settings.vtex_base_url,
            credentials=self.credentials_of,
            limiter=RateLimiter(requests_per_minute or self.requests_per_minute),
            transport=transport,
            version=version(),
        )
        if requests_per_minute is None:
            for account in (name for name, own in self.own.items() if own and _PACE in own.settings):
                with suppress(Trouble):  # a wrong one is told where the account is looked at
                    vtex.keep_pace(account, commands_share(self.settings_of(account)))
        return vtex

    @cached_property
    def table(self) -> Table:
        """Return the ledger's table."""
        return Table(self.deployment.client("dynamodb"), self.deployment.output("LedgerTableName"))

    @cached_property
    def ledger(self) -> Ledger:
        """Return the ledger."""
        return Ledger(self.table)

    @cached_property
    def backlog(self) -> Backlog:
        """Return the lists of what is still to be done."""
        return Backlog(self.table)

    @cached_property
    def hook_queue(self) -> HookQueue:
        """Return the way in."""
        return HookQueue(self.deployment.client("sqs"), self.deployment.output("HookQueueUrl"))

    @cached_property
    def outlets(self) -> Outlets:
        """Return where results go."""
        output = self.deployment.output
        return Outlets(
            sqs=lambda: self.deployment.client("sqs"),
            sns=lambda: self.deployment.client("sns"),
            hook_queue=output("HookQueueUrl"),
            dead_letters=output("HookDeadLetterQueueUrl"),
            records=output("RecordTopicArn"),
            alerts=output("AlertTopicArn"),
        )

    def command(self, arguments: str) -> str:
        """Return a command about this stack, for people to type."""
        return f"invoicekey {arguments}{self.deployment.options}"

    @property
    def make_credentials(self) -> str:
        """Return what keeps an account's appKey and appToken in this stack, for people to type."""
        return f"make credentials{self.deployment.variables}"

    def ask(self, service: str, operation: str, **arguments: Any) -> Any:
        """Ask an AWS service, raising Trouble where it gives no answer."""
        with explained():
            return getattr(self.deployment.client(service), operation)(**arguments)

    def resource(self, logical_id: str) -> str:
        """Return the physical id of one of the stack's resources."""
        stack = self.deployment.stack
        _ = self.deployment.outputs  # so that a stack that is not there is said to be elsewhere
        other_version = {"ValidationError": "it has none, so it is of another version. Run make deploy"}
        with explained(f"{logical_id} of the stack {stack} cannot be found", other_version):
            answer = self.deployment.client("cloudformation").describe_stack_resource(
                StackName=stack, LogicalResourceId=logical_id
            )
        return str(answer["StackResourceDetail"]["PhysicalResourceId"])

    def function_environment(self, logical_id: str) -> dict[str, str]:
        """Return the environment of one of the stack's functions."""
        variables: dict[str, str] = self._configuration(logical_id).get("Environment", {}).get("Variables", {})
        return variables

    def run(self, logical_id: str) -> dict[str, Any]:
        """Run one of the stack's functions, once, and return its answer as Lambda gives it.

        boto3 by itself waits a minute and then starts the function again, up to four times more. So this waits as long
        as the function may run, and leaves it at that. Raises NotHeardOfAgain, and Trouble where it was not started.
        """
        seconds = self._configuration(logical_id)["Timeout"] + TO_START
        # What lies between may drop a connection on which nothing is heard for minutes: hence keep-alive.
        patience = Config(read_timeout=seconds, retries={"total_max_attempts": 1}, tcp_keepalive=True)
        name = self.resource(logical_id)
        with explained():
            try:
                return dict(self.deployment.client("lambda", patience).invoke(FunctionName=name, Payload=b"{}"))
            except ReadTimeoutError:
                raise OutcomeUnknown(f"has given no answer in {seconds} s") from None
            except ConnectionClosedError:
                raise OutcomeUnknown("gave no answer: the connection to AWS was lost") from None

    def _configuration(self, logical_id: str) -> dict[str, Any]:
        name = self.resource(logical_id)
        with explained(f"{logical_id} cannot be looked at"):
            return dict(self.deployment.client("lambda").get_function_configuration(FunctionName=name))

    def _of_another_version(self, error: SettingsError) -> Trouble:
        return Trouble(f"The stack {self.deployment.stack} is of another version: {error}. Run make deploy.")

    @cached_property
    def _checker_s(self) -> OfAccounts[CheckerSettings]:
        _ = self.settings  # which says what is wrong with the stack's
        return OfAccounts(CheckerSettings, self.environment)

    @cached_property
    def _guard_s(self) -> OfAccounts[GuardSettings]:
        _ = self.guard_settings
        return OfAccounts(GuardSettings, self.function_environment("GuardHookFunction"))

    def own_settings(self, account: str) -> Mapping[str, str]:
        """Return the settings that an account has of its own, by the template's parameters; Trouble where corrupt."""
        own = self.own.get(account, Account(account))
        if own is None:
            raise Trouble(f"The item of {account} in the ledger is corrupt: {self.command('accounts list')}")
        return own.settings

    def _for_account[T: CheckerSettings | GuardSettings](self, settings: OfAccounts[T], account: str) -> T:
        try:
            return settings.of(self.own_settings(account))
        except SettingsError as error:
            how = self.command(f"accounts set {account} --unset SETTING")
            raise Trouble(f"{account} has a setting of its own that is wrong: {error}. Mend it: {how}") from None

    # ---- Credentials

    def credentials_of(self, account: str) -> Credentials:
        """Return an account's credentials, from its own place or the stack's secret. Raises NoCredentials."""
        if account in self.offered:
            return self.offered[account]
        own = self.own.get(account)
        try:
            if own and own.credentials:
                return self.kept_in_own_place(own)
            return vtex_credentials(self.credentials, account)
        except CredentialsRefused:
            how = self.keep_credentials(account)
            raise NoCredentials(f"There are no usable credentials of {account}. Run {how}") from None

    def kept_in_own_place(self, own: Account) -> Credentials:
        """Return the credentials in an account's own place, raising CredentialsRefused where there are none."""
        if own.name not in self._own_credentials:
            self._fetch_credentials([own.name])
        return vtex_credentials(self._own_credentials, own.name)

    def fetch_credentials(self, accounts: Collection[str]) -> None:
        """Read the credentials of those accounts that have a place of their own, ten a request, and keep them."""
        self._fetch_credentials([name for name in accounts if (own := self.own.get(name)) and own.credentials])

    def _fetch_credentials(self, accounts: Collection[str]) -> None:
        prefix = self.environment.get(CREDENTIALS_PREFIX, "")
        for names in batched(accounts, MOST_NAMES, strict=False):
            with explained("The credentials in the accounts' own places cannot be read"):
                ssm = self.deployment.client("ssm")
                answer = ssm.get_parameters(Names=[prefix + name for name in names], WithDecryption=True)
            self._own_credentials |= dict.fromkeys(names)
            for found in answer["Parameters"]:
                self._own_credentials[found["Name"].removeprefix(prefix)] = _object_in(found["Value"])

    def keep_credentials(self, account: str) -> str:
        """Return what keeps an account's appKey and appToken where they belong, for people to type."""
        own = self.own.get(account)
        is_in_own_place = own is not None and own.credentials is not None
        return self.command(f"accounts set {account} --credentials") if is_in_own_place else self.make_credentials


def _object_in(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def commands_share(settings: CheckerSettings) -> int:
    """Return the commands' share of VtexRequestsPerMinute, by an account's settings or the stack's."""
    return max(1, int(settings.requests_per_minute_of_all * COMMANDS_SHARE))


def shop_of(stack: str, profile: str | None, region: str | None) -> Shop:
    """Return the shop of a stack, with a profile and a region as the AWS CLI takes them."""
    return Shop(Deployment(stack, region or None, profile or None))
