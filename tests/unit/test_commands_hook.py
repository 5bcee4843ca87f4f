"""`invoicekey hook`: as declared, gone, another system's; never a foreign one written, never a secret shown."""

import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from invoicekey.ledger.accounts import Account, Accounts
from invoicekey.ledger.registrations import RegistrationState, digest
from local.vtex_routes import Feed
from local.vtex_simulator import Fault
from tests.operated import ACCOUNT, APP_KEY, CURRENT, PREVIOUS, Operated, operated

OTHER = {
    "filter": {"type": "FromWorkflow", "status": ["handling"]},
    "hook": {"url": "https://erp.example/in", "headers": {"X-Key": "theirs"}},
}
OTHER_FEED = {"filter": {"type": "FromWorkflow", "status": ["handling"]}, "queue": {}}


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Operated]:
    with operated(monkeypatch) as made:
        yield made


@pytest.fixture
def installed(stack: Operated) -> Operated:
    assert stack.run("hook", "install") == 0
    return stack


# ---- install


def test_hook_and_feed_are_installed_with_url_secret_and_statuses(installed: Operated) -> None:
    assert installed.vtex.hooks[APP_KEY] == {
        "filter": {"type": "FromWorkflow", "status": ["invoiced"]},
        "hook": {"url": installed.hook_url, "headers": {"X-Hook-Secret": CURRENT}},
    }
    assert installed.vtex.feeds[APP_KEY].config["filter"] == {"type": "FromWorkflow", "status": ["invoiced"]}


def test_an_account_s_own_statuses_are_installed_as_the_guard_does(stack: Operated) -> None:
    Accounts(stack.shop.table).write(Account(ACCOUNT, settings={"WatchedStatuses": "handling"}))

    assert stack.run("hook", "install") == 0
    assert stack.vtex.hooks[APP_KEY]["hook"]["headers"] == {"X-Hook-Secret": CURRENT, "X-Watched-Statuses": "handling"}
    assert stack.vtex.feeds[APP_KEY].config["filter"]["status"] == ["handling"]


def test_the_guard_finds_noted_what_was_installed(installed: Operated) -> None:
    noted = installed.noted()
    assert (noted.hook_installed, noted.feed_installed) == (True, True)
    assert noted.hook_secret == digest(CURRENT)


def test_a_hook_of_our_own_is_installed_again(installed: Operated) -> None:
    installed.keep("HookSecretArn", {"current": "a-new-one", "previous": CURRENT})
    assert installed.run("hook", "install") == 0
    assert installed.vtex.hooks[APP_KEY]["hook"]["headers"] == {"X-Hook-Secret": "a-new-one"}


def test_another_system_s_hook_is_left_alone_and_its_host_named(stack: Operated) -> None:
    stack.vtex.hooks[APP_KEY] = OTHER
    assert stack.run("hook", "install") == 1
    text = stack.said.all
    assert "erp.example" in text
    assert "appKey for this system alone" in text
    assert "theirs" not in text
    assert stack.vtex.hooks[APP_KEY] == OTHER
    assert not stack.vtex.feeds


def test_a_feed_that_may_be_another_system_s_is_left_alone_however_often_one_installs(stack: Operated) -> None:
    stack.vtex.feeds[APP_KEY] = Feed(APP_KEY, ACCOUNT, OTHER_FEED)
    assert [stack.run("hook", "install") for _ in range(3)] == [3, 3, 3]
    assert "left alone" in stack.said.all
    assert stack.vtex.feeds[APP_KEY].config == OTHER_FEED
    assert stack.noted().own_app_key is False


def test_an_old_deployment_s_feed_is_taken_over_with_its_hook(installed: Operated) -> None:
    installed.vtex.hooks[APP_KEY]["hook"]["url"] = "https://old.example/hooks/vtex/orders"
    installed.notes.write(RegistrationState(ACCOUNT))
    assert installed.run("hook", "install", "--instead-of", "old.example") == 0
    assert installed.noted().feed_installed


def test_a_removed_hook_is_no_proof_that_the_next_feed_is_ours(installed: Operated) -> None:
    assert installed.run("hook", "remove", "--yes") == 0
    installed.vtex.feeds[APP_KEY] = Feed(APP_KEY, ACCOUNT, OTHER_FEED)
    assert installed.run("hook", "install") == 3
    assert installed.vtex.feeds[APP_KEY].config == OTHER_FEED


@pytest.mark.parametrize(
    ("befalls", "told"),
    [
        (lambda stack: stack.environments["GuardHookFunction"].update(HOOK_URL="http://127.0.0.1:9/hook"), "ping"),
        (lambda stack: stack.vtex.refused.add(APP_KEY), "Feed v3 and Hook Admin"),
        (lambda stack: stack.keep("VtexCredentialsSecretArn", {}), "make credentials"),
        (lambda stack: stack.vtex.fail(Fault("status", status=500, route="hook_config")), "VTEX answered 500"),
    ],
    ids=["no-ping", "no-right", "no-credentials", "vtex-down"],
)
def test_what_is_in_the_way_of_a_hook_is_one_line(
    befalls: Callable[[Operated], object], told: str, stack: Operated
) -> None:
    befalls(stack)
    assert stack.run("hook", "install") == 1
    assert told in stack.said.err
    assert stack.said.all.count("\n") == 1
    assert not stack.vtex.hooks
    assert not stack.noted().hook_installed


def test_an_unknown_account_is_named_beside_those_that_are_known(stack: Operated) -> None:
    assert stack.run("hook", "install", "--account", "lixstore") == 2
    text = stack.said.all
    assert "lixstore" in text
    assert ACCOUNT in text


# ---- What VTEX does not show

HIDDEN = pytest.mark.parametrize("route", ["hook_config", "feed_config"])


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Sit a person at the terminal who answers yes to nothing but what is taken off this list; return what is asked."""
    asked: list[str] = []

    def confirm(question: str, **given: object) -> bool:
        assert not given.get("default")
        asked.append(question)
        return bool(asked[:1] == ["yes"] and len(asked) == 2)

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("operations.terminal.consent.agrees", confirm)
    return asked


@HIDDEN
@pytest.mark.parametrize("is_noted", [True, False])
def test_what_is_not_shown_is_not_written_where_nobody_can_be_asked(
    route: str, is_noted: bool, stack: Operated
) -> None:
    if is_noted:
        stack.run("hook", "install")
    stack.vtex.hooks[APP_KEY] = OTHER
    stack.vtex.feeds[APP_KEY] = Feed(APP_KEY, ACCOUNT, OTHER_FEED)
    stack.vtex.fail(Fault("empty_object", route=route))
    stack.vtex.fail(Fault("empty_object", route="hook_config"))

    assert stack.run("hook", "install") == 1
    assert (stack.vtex.hooks[APP_KEY], stack.vtex.feeds[APP_KEY].config) == (OTHER, OTHER_FEED)
    text = stack.said.all
    assert "VTEX does not say whether the appKey of luxstore has a hook" in text
    assert ("this stack has registered one before" in text) is is_noted
    assert f"invoicekey hook install --account {ACCOUNT} --though-not-shown" in text
    assert text.count("\n") == 1


@HIDDEN
def test_a_person_who_does_not_know_better_leaves_what_is_not_shown_as_it_is(
    route: str, stack: Operated, answered: list[str]
) -> None:
    stack.vtex.fail(Fault("empty_object", route=route))
    assert stack.run("hook", "install") == 1
    assert len(answered) == 1
    assert not stack.vtex.hooks
    assert not stack.vtex.feeds


@HIDDEN
def test_a_person_who_knows_that_it_is_nobody_else_s_has_hook_and_feed_installed(
    route: str, stack: Operated, answered: list[str]
) -> None:
    answered.append("yes")
    stack.vtex.fail(Fault("empty_object", route=route))
    assert stack.run("hook", "install") == 0
    assert "no other system" in answered[1]
    assert stack.vtex.hooks[APP_KEY]["hook"]["url"] == stack.hook_url
    assert (stack.noted().hook_installed, stack.noted().feed_installed) == (True, True)


@HIDDEN
def test_so_does_who_says_so_beforehand(route: str, stack: Operated) -> None:
    stack.vtex.fail(Fault("empty_object", route=route))
    assert stack.run("hook", "install", "--though-not-shown") == 0
    assert stack.vtex.hooks[APP_KEY]["hook"]["url"] == stack.hook_url
    assert stack.noted().feed_installed


def test_a_hook_installed_so_is_no_proof_that_a_feed_unlike_ours_is_ours(stack: Operated) -> None:
    stack.vtex.feeds[APP_KEY] = Feed(APP_KEY, ACCOUNT, OTHER_FEED)
    stack.vtex.fail(Fault("empty_object", route="hook_config"))
    assert [stack.run("hook", "install", "--though-not-shown") for _ in range(2)] == [3, 3]
    assert stack.vtex.feeds[APP_KEY].config == OTHER_FEED
    assert stack.noted().own_app_key is False


def test_another_system_s_hook_that_is_shown_is_not_written_over_for_it(stack: Operated) -> None:
    stack.vtex.hooks[APP_KEY] = OTHER
    assert stack.run("hook", "install", "--though-not-shown") == 1
    assert stack.vtex.hooks[APP_KEY] == OTHER


@HIDDEN
def test_status_says_that_vtex_does_not_say_and_exits_1(route: str, installed: Operated) -> None:
    installed.vtex.fail(Fault("empty_object", route=route))
    assert installed.run("hook", "status") == 1
    (told,) = [line for line in installed.said.all.splitlines() if "unknown" in line]
    assert f"VTEX does not say whether there is a {route.partition('_')[0]}" in told
    assert told.endswith(f"invoicekey hook install --account {ACCOUNT}")


@HIDDEN
def test_what_is_not_shown_is_not_removed_unless_a_person_knows_better(route: str, installed: Operated) -> None:
    installed.vtex.fail(Fault("empty_object", route=route))
    assert installed.run("hook", "remove", "--yes") == 1
    assert "--though-not-shown" in installed.said.all
    assert installed.vtex.hooks
    assert installed.vtex.feeds

    assert installed.run("hook", "remove", "--yes", "--though-not-shown") == 0
    assert not installed.vtex.hooks
    assert not installed.vtex.feeds
    assert (installed.noted().hook_installed, installed.noted().feed_installed) == (False, False)


def test_a_409_is_told_for_no_more_than_is_known(stack: Operated) -> None:
    fault = stack.vtex.fail(Fault("status", status=409, route="hook_config"))
    fault.fits = lambda route, *_: route == "hook_config" and len(stack.vtex.calls(route=route)) == 1  # type: ignore[method-assign]
    assert stack.run("hook", "install") == 1
    assert "what it minds is not known" in stack.said.all


# ---- Statuses


@pytest.mark.parametrize("asked", ["install", "status"])
def test_a_watched_status_that_no_filter_of_vtex_lists_is_something_to_do(asked: str, installed: Operated) -> None:
    installed.environments["GuardHookFunction"]["WATCHED_STATUSES"] = "invoiced,ready-for-invoicing"
    assert installed.run("hook", asked) == 3
    (told,) = [line for line in installed.said.all.splitlines() if "ready-for-invoicing: no event tells" in line]
    assert "WatchedStatuses" in told


# ---- status


def test_what_is_as_declared_exits_0(installed: Operated) -> None:
    assert installed.run("hook", "status") == 0
    text = installed.said.all
    assert installed.hook_url in text
    assert "TO DO" not in text


def test_a_feed_just_like_ours_beside_another_system_s_hook_is_no_tick(installed: Operated) -> None:
    installed.vtex.hooks[APP_KEY] = OTHER
    installed.notes.write(RegistrationState(ACCOUNT))
    assert installed.run("hook", "status") == 3
    assert "may be another system's" in installed.said.all


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (lambda hooks: hooks[APP_KEY].update(OTHER | {"hook": hooks[APP_KEY]["hook"]}), "handling"),
        (lambda hooks: hooks[APP_KEY].update(filter={"type": "FromOrders", "expression": "true"}), "FromOrders"),
        (lambda hooks: hooks[APP_KEY].update(hook=OTHER["hook"]), "erp.example"),
        (lambda hooks: hooks[APP_KEY]["hook"].update(headers={"X-Hook-Secret": PREVIOUS}), "still accepted"),
        (lambda hooks: hooks[APP_KEY]["hook"].update(headers={"X-Hook-Secret": "not-ours"}), "answered 401"),
        (lambda hooks: hooks.clear(), f"invoicekey hook install --account {ACCOUNT}"),
    ],
    ids=["statuses", "filter", "address", "previous-secret", "no-secret", "gone"],
)
def test_what_differs_is_told(changes: Callable[[Any], None], told: str, installed: Operated) -> None:
    installed.keep("HookSecretArn", {"current": CURRENT, "previous": PREVIOUS})
    changes(installed.vtex.hooks)
    assert installed.run("hook", "status") == 3
    assert told in installed.said.all


def test_a_header_that_vtex_does_not_show_counts_as_last_registered(installed: Operated) -> None:
    installed.vtex.hooks[APP_KEY]["hook"]["headers"] = {"X-Hook-Secret": "****"}
    assert installed.run("hook", "status") == 0
    assert "as last registered" in installed.said.all
    installed.notes.write(replace(installed.noted(), hook_secret=None))
    assert installed.run("hook", "status") == 3


def test_control_characters_of_another_system_do_not_reach_the_terminal(installed: Operated) -> None:
    installed.vtex.hooks[APP_KEY]["filter"] = {"type": "\x1b[2J", "status": ["[bold]x[/]"]}
    assert installed.run("hook", "status") == 3
    text = installed.said.all
    assert "\x1b" not in text
    assert "[bold]x[/]" in text


def test_all_accounts_are_looked_at_unless_one_is_named(stack: Operated) -> None:
    stack.keep("VtexCredentialsSecretArn", {
        name: {"app_key": f"key-{name}", "app_token": "token"} for name in ("one", "two")
    })  # fmt: skip
    assert stack.run("hook", "install", "--account", "two") == 0
    assert stack.run("hook", "status") == 3
    text = stack.said.all
    assert "one: TO DO" in text
    assert "two: ok" in text
    assert stack.run("hook", "status", "--account", "two") == 0


def test_a_status_that_cannot_be_read_exits_1(installed: Operated) -> None:
    installed.vtex.fail(Fault("drop", route="feed_config"))
    assert installed.run("hook", "status") == 1
    assert "try again later" in installed.said.all


# ---- remove


def test_hook_and_feed_are_removed_and_the_guard_knows_however_often(installed: Operated) -> None:
    assert [installed.run("hook", "remove", "--yes") for _ in range(2)] == [0, 0]
    assert (installed.vtex.hooks, installed.vtex.feeds) == ({}, {})
    assert not installed.noted().hook_installed


def test_a_removal_asks_first(installed: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("operations.terminal.consent.agrees", lambda *_, **__: False)
    assert installed.run("hook", "remove") == 1
    assert installed.vtex.hooks


@pytest.mark.parametrize("stdin", [None, io.StringIO("")], ids=["closed", "empty"])
def test_where_nobody_can_be_asked_nothing_is_removed(
    stdin: io.StringIO | None, installed: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    assert installed.run("hook", "remove") == 1
    assert installed.said.all == "It asks first: in a script say --yes. Nothing was changed.\n"
    assert installed.vtex.hooks


def test_another_system_s_hook_is_not_removed(installed: Operated) -> None:
    installed.vtex.hooks[APP_KEY] = OTHER
    assert installed.run("hook", "remove", "--yes") == 1
    assert "erp.example" in installed.said.all
    assert installed.vtex.hooks[APP_KEY] == OTHER
