"""`invoicekey setup`: each step asks, may be skipped and repeated; what is typed is not shown, and kept if right."""

import getpass
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from invoicekey.ledger.accounts import Account, Accounts
from local.vtex_simulator import Fault
from tests.operated import ACCOUNT, APP_KEY, KEYS, Operated, operated

CREDENTIALS = "VtexCredentialsSecretArn"
NEW_KEY, NEW_TOKEN = "a-new-app-key", "a-new-app-token"


@dataclass
class Person:
    """Somebody at the terminal: says yes unless told otherwise, and types."""

    no_to: tuple[str, ...] = ()
    types: list[str] = field(default_factory=lambda: [NEW_KEY, NEW_TOKEN])
    account: str = ACCOUNT
    leaves_at: str | None = None
    asked: list[str] = field(default_factory=list)

    def says(self, question: str, **_: Any) -> bool:
        """Answer yes or no."""
        self.hears(question)
        return not any(word in question for word in self.no_to)

    def types_hidden(self, question: str) -> str:
        """Type what is not shown."""
        self.hears(question)
        return self.types.pop(0)

    def types_openly(self, question: str) -> str:
        """Type the account."""
        self.hears(question)
        return self.account

    def hears(self, question: str) -> None:
        """Remember what was asked, and leave with Ctrl-C where that was the plan."""
        self.asked.append(question)
        if self.leaves_at and self.leaves_at in question:
            raise KeyboardInterrupt


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Operated]:
    with operated(monkeypatch) as made:
        made.keep(CREDENTIALS, {})
        made.subscribe("AlertTopicArn")
        made.subscribe("OperationsTopicArn")
        yield made


@pytest.fixture
def sit_down(monkeypatch: pytest.MonkeyPatch) -> Callable[[Person], Person]:
    """Return what puts a person at the terminal."""

    def sit(person: Person) -> Person:
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr("operations.terminal.consent.agrees", person.says)
        monkeypatch.setattr(getpass, "getpass", person.types_hidden)
        monkeypatch.setattr("builtins.input", person.types_openly)
        return person

    return sit


type SitDown = Callable[[Person], Person]


def test_a_new_shop_is_set_up_from_end_to_end(stack: Operated, sit_down: SitDown) -> None:
    sit_down(Person())
    assert stack.run("setup") == 0
    assert stack.secret(CREDENTIALS) == {ACCOUNT: {"app_key": NEW_KEY, "app_token": NEW_TOKEN}}
    assert stack.vtex.hooks[NEW_KEY]["hook"]["url"] == stack.hook_url
    assert len(stack.published("AlertTopicArn")) == 1
    text = stack.said.all
    assert text.count(": done") == 5
    assert not [typed for typed in (NEW_KEY, NEW_TOKEN) if typed in text]


def test_it_may_be_repeated_and_what_is_there_stays(stack: Operated, sit_down: SitDown) -> None:
    stack.keep(CREDENTIALS, {ACCOUNT: KEYS})
    sit_down(Person(no_to=("Replace",), types=[]))
    assert [stack.run("setup"), stack.run("setup")] == [0, 0]
    assert stack.secret(CREDENTIALS) == {ACCOUNT: KEYS}


def test_where_vtex_does_not_show_a_hook_the_person_is_asked_before_one_is_installed(
    stack: Operated, sit_down: SitDown
) -> None:
    stack.vtex.fail(Fault("empty_object", route="hook_config"))
    person = sit_down(Person(no_to=("no other system",)))
    assert stack.run("setup") == 3
    assert not stack.vtex.hooks
    assert [question for question in person.asked if "no other system has one on this appKey" in question]

    sit_down(Person(no_to=("Replace",), types=[]))
    stack.run("setup")
    assert stack.vtex.hooks[NEW_KEY]["hook"]["url"] == stack.hook_url


def test_credentials_in_an_account_s_own_place_are_replaced_there(stack: Operated, sit_down: SitDown) -> None:
    Accounts(stack.shop.table).write(Account(ACCOUNT, credentials="v1"))
    sit_down(Person())
    assert stack.run("setup", "--account", ACCOUNT) == 0
    assert stack.secret(CREDENTIALS) == {}
    assert stack.vtex.hooks[NEW_KEY]["hook"]["url"] == stack.hook_url
    assert Accounts(stack.shop.table).read_one(ACCOUNT).credentials != "v1"


def test_each_step_may_be_skipped(stack: Operated, sit_down: SitDown) -> None:
    person = sit_down(Person(no_to=("?",)))
    assert stack.run("setup") == 0
    assert len(person.asked) == 5
    assert stack.said.out.count(": skipped") == 5
    assert not stack.vtex.calls()
    assert stack.secret(CREDENTIALS) == {}


def test_credentials_that_vtex_does_not_take_are_not_kept_and_asked_for_again(
    stack: Operated, sit_down: SitDown
) -> None:
    stack.vtex.fail(Fault("status", status=401, route="list", times=1))
    sit_down(Person(types=["wrong", "pair", NEW_KEY, NEW_TOKEN]))
    assert stack.run("setup") == 0
    assert stack.secret(CREDENTIALS)[ACCOUNT]["app_key"] == NEW_KEY
    assert "nothing was kept" in stack.said.out


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault("status", status=401, route="list"), "nothing was kept"),
        (Fault("drop", route="list"), "Nothing was kept"),
    ],
    ids=["refused", "down"],
)
def test_who_gives_up_on_them_keeps_none(fault: Fault, told: str, stack: Operated, sit_down: SitDown) -> None:
    stack.vtex.fail(fault)
    sit_down(Person(no_to=("again?", "Read", "Install", "Send", "Look")))
    assert stack.run("setup") == 3
    assert stack.secret(CREDENTIALS) == {}
    assert told in stack.said.out


def test_credentials_that_lack_a_permission_are_kept_and_told_what_they_lack(
    stack: Operated, sit_down: SitDown
) -> None:
    stack.vtex.fail(Fault("status", status=403, route="list"))
    sit_down(Person())
    assert stack.run("setup") == 3
    assert ACCOUNT in stack.secret(CREDENTIALS)
    assert "add the resource “List Orders”" in stack.said.out


@pytest.mark.parametrize(
    "person", [Person(account="Lux Store"), Person(types=[""] * 3), Person(types=["key", *["with blank"] * 3])]
)
def test_bad_input_keeps_nothing(person: Person, stack: Operated, sit_down: SitDown) -> None:
    sit_down(person)
    assert stack.run("setup") == 3
    assert stack.secret(CREDENTIALS) == {}


def test_an_empty_setting_of_affiliate_ids_is_left_to_do(stack: Operated, sit_down: SitDown) -> None:
    stack.environments["CheckInvoiceFunction"]["CNOVA_AFFILIATE_IDS"] = ""
    sit_down(Person(no_to=("Look",)))
    assert stack.run("setup") == 3
    text = stack.said.out
    assert 'set CnovaAffiliateIds="VVJ"' in text
    assert "orders: something is left to do" in text


def test_other_accounts_stay(stack: Operated, sit_down: SitDown) -> None:
    stack.keep(CREDENTIALS, {"othershop": KEYS})
    sit_down(Person())
    stack.run("setup", "--account", ACCOUNT)
    assert set(stack.secret(CREDENTIALS)) == {ACCOUNT, "othershop"}


def test_another_system_s_hook_is_left_alone_and_the_next_steps_are_taken(stack: Operated, sit_down: SitDown) -> None:
    other = {"filter": {}, "hook": {"url": "https://erp.example/in", "headers": {}}}
    stack.vtex.hooks[NEW_KEY] = other
    sit_down(Person())
    assert stack.run("setup") == 3
    assert stack.vtex.hooks[NEW_KEY] == other
    assert len(stack.published("AlertTopicArn")) == 1
    assert "hook: not done" in stack.said.out


@pytest.mark.parametrize(
    ("leaves_at", "done"), [("Keep", 0), ("appToken", 0), ("Read", 1), ("Install", 2), ("Send", 3), ("Look", 4)]
)
def test_ctrl_c_says_what_is_done_and_how_to_go_on(
    leaves_at: str, done: int, stack: Operated, sit_down: SitDown
) -> None:
    sit_down(Person(leaves_at=leaves_at))
    assert stack.run("setup") == 130
    text = stack.said.out
    assert (text.count(": done"), text.count(": not done")) == (done, 5 - done)
    assert "invoicekey setup" in text
    assert bool(stack.secret(CREDENTIALS)) == (done > 0)


def test_without_a_terminal_it_says_so_and_asks_nothing(stack: Operated) -> None:
    assert stack.run("setup") == 1
    assert "terminal" in stack.said.err


def test_a_name_that_is_no_account_s_is_refused(stack: Operated, sit_down: SitDown) -> None:
    sit_down(Person())
    assert stack.run("setup", "--account", "Lux/Store") == 2
    assert APP_KEY not in stack.vtex.hooks
