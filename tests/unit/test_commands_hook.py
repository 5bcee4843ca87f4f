"""`invoicekey hook`: as declared, gone, another system's; never a foreign one written, never a secret shown."""

import io
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from invoicekey.ledger.registrations import RegistrationState, digest
from local.vtex_routes import Feed
from local.vtex_simulator import Fault
from tests.operated import ACCOUNT, APP_KEY, APP_TOKEN, CURRENT, PREVIOUS, Operated, operated

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


def said(capsys: pytest.CaptureFixture[str]) -> str:
    text = "".join(capsys.readouterr())
    assert not [secret for secret in (APP_KEY, APP_TOKEN, CURRENT, PREVIOUS, "theirs") if secret in text]
    return text


# ---- install


def test_hook_and_feed_are_installed_with_url_secret_and_statuses(installed: Operated) -> None:
    assert installed.vtex.hooks[APP_KEY] == {
        "filter": {"type": "FromWorkflow", "status": ["invoiced"]},
        "hook": {"url": installed.hook_url, "headers": {"X-Hook-Secret": CURRENT}},
    }
    assert installed.vtex.feeds[APP_KEY].config["filter"] == {"type": "FromWorkflow", "status": ["invoiced"]}


def test_the_guard_finds_noted_what_was_installed(installed: Operated) -> None:
    noted = installed.noted()
    assert (noted.hook_installed, noted.feed_installed) == (True, True)
    assert noted.hook_secret == digest(CURRENT)


def test_a_hook_of_our_own_is_installed_again(installed: Operated) -> None:
    installed.keep("HookSecretArn", {"current": "a-new-one", "previous": CURRENT})
    assert installed.run("hook", "install") == 0
    assert installed.vtex.hooks[APP_KEY]["hook"]["headers"] == {"X-Hook-Secret": "a-new-one"}


def test_another_system_s_hook_is_left_alone_and_its_host_named(
    stack: Operated, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.vtex.hooks[APP_KEY] = OTHER
    assert stack.run("hook", "install") == 1
    text = said(capsys)
    assert "erp.example" in text
    assert "appKey for this system alone" in text
    assert stack.vtex.hooks[APP_KEY] == OTHER
    assert not stack.vtex.feeds


def test_a_feed_that_may_be_another_system_s_is_left_alone(stack: Operated, capsys: pytest.CaptureFixture[str]) -> None:
    stack.vtex.feeds[APP_KEY] = Feed(APP_KEY, ACCOUNT, OTHER_FEED)
    assert stack.run("hook", "install") == 3
    assert "left alone" in said(capsys)
    assert stack.vtex.feeds[APP_KEY].config == OTHER_FEED


def test_a_feed_that_was_left_alone_stays_so_however_often_one_installs(stack: Operated) -> None:
    stack.vtex.feeds[APP_KEY] = Feed(APP_KEY, ACCOUNT, OTHER_FEED)
    assert [stack.run("hook", "install") for _ in range(3)] == [3, 3, 3]
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


def test_a_stack_that_does_not_answer_the_ping_is_said_to_be_the_cause(
    stack: Operated, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.environments["GuardHookFunction"]["HOOK_URL"] = "http://127.0.0.1:9/hooks/vtex/orders"
    assert stack.run("hook", "install") == 1
    assert "ping" in said(capsys)
    assert not stack.vtex.hooks
    assert not stack.noted().hook_installed


def test_an_app_key_without_the_right_is_told_which_resource_it_lacks(
    stack: Operated, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.vtex.refused.add(APP_KEY)
    assert stack.run("hook", "install") == 1
    assert "Feed v3 and Hook Admin" in said(capsys)


def test_without_credentials_vtex_is_not_asked(stack: Operated, capsys: pytest.CaptureFixture[str]) -> None:
    stack.keep("VtexCredentialsSecretArn", {})
    assert stack.run("hook", "install") == 1
    assert "make credentials" in said(capsys)
    assert not stack.vtex.calls()


def test_an_unknown_account_is_named_beside_those_that_are_known(
    stack: Operated, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stack.run("hook", "install", "--account", "lixstore") == 1
    text = said(capsys)
    assert "lixstore" in text
    assert ACCOUNT in text


def test_vtex_down_is_said_in_one_line(stack: Operated, capsys: pytest.CaptureFixture[str]) -> None:
    stack.vtex.fail(Fault("status", status=500, route="hook_config"))
    assert stack.run("hook", "install") == 1
    assert said(capsys).count("\n") == 1


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
    monkeypatch.setattr("typer.confirm", confirm)
    return asked


@HIDDEN
@pytest.mark.parametrize("is_noted", [True, False])
def test_what_is_not_shown_is_not_written_where_nobody_can_be_asked(
    route: str, is_noted: bool, stack: Operated, capsys: pytest.CaptureFixture[str]
) -> None:
    if is_noted:
        stack.run("hook", "install")
    stack.vtex.hooks[APP_KEY] = OTHER
    stack.vtex.feeds[APP_KEY] = Feed(APP_KEY, ACCOUNT, OTHER_FEED)
    stack.vtex.fail(Fault("empty_object", route=route))
    stack.vtex.fail(Fault("empty_object", route="hook_config"))
    capsys.readouterr()

    assert stack.run("hook", "install") == 1
    assert (stack.vtex.hooks[APP_KEY], stack.vtex.feeds[APP_KEY].config) == (OTHER, OTHER_FEED)
    text = said(capsys)
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
def test_status_says_that_vtex_does_not_say_and_exits_1(
    route: str, installed: Operated, capsys: pytest.CaptureFixture[str]
) -> None:
    installed.vtex.fail(Fault("empty_object", route=route))
    capsys.readouterr()
    assert installed.run("hook", "status") == 1
    (told,) = [line for line in said(capsys).splitlines() if "unknown" in line]
    assert f"VTEX does not say whether there is a {route.partition('_')[0]}" in told
    assert told.endswith(f"invoicekey hook install --account {ACCOUNT}")


@HIDDEN
def test_what_is_not_shown_is_not_removed_unless_a_person_knows_better(
    route: str, installed: Operated, capsys: pytest.CaptureFixture[str]
) -> None:
    installed.vtex.fail(Fault("empty_object", route=route))
    assert installed.run("hook", "remove", "--yes") == 1
    assert "--though-not-shown" in said(capsys)
    assert installed.vtex.hooks
    assert installed.vtex.feeds

    assert installed.run("hook", "remove", "--yes", "--though-not-shown") == 0
    assert not installed.vtex.hooks
    assert not installed.vtex.feeds
    assert (installed.noted().hook_installed, installed.noted().feed_installed) == (False, False)


def test_a_409_is_told_for_no_more_than_is_known(stack: Operated, capsys: pytest.CaptureFixture[str]) -> None:
    fault = stack.vtex.fail(Fault("status", status=409, route="hook_config"))
    fault.fits = lambda route, *_: route == "hook_config" and len(stack.vtex.calls(route=route)) == 1  # type: ignore[method-assign]
    assert stack.run("hook", "install") == 1
    assert "what it minds is not known" in said(capsys)


# ---- Statuses


def test_a_watched_status_that_no_filter_of_vtex_lists_is_something_to_do(
    stack: Operated, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.environments["GuardHookFunction"]["WATCHED_STATUSES"] = "invoiced,ready-for-invoicing"
    assert [stack.run("hook", "install"), stack.run("hook", "status")] == [3, 3]
    told = [line for line in said(capsys).splitlines() if "ready-for-invoicing: no event tells of it" in line]
    assert len(told) == 2
    assert all("WatchedStatuses" in line for line in told)


# ---- status


def test_what_is_as_declared_exits_0(installed: Operated, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert installed.run("hook", "status") == 0
    text = said(capsys)
    assert installed.hook_url in text
    assert "TO DO" not in text


def test_a_feed_just_like_ours_beside_another_system_s_hook_is_no_tick(
    installed: Operated, capsys: pytest.CaptureFixture[str]
) -> None:
    installed.vtex.hooks[APP_KEY] = OTHER
    installed.notes.write(RegistrationState(ACCOUNT))
    assert installed.run("hook", "status") == 3
    assert "may be another system's" in said(capsys)


def test_a_hook_that_is_gone_exits_3_and_says_how_to_have_it_back(
    installed: Operated, capsys: pytest.CaptureFixture[str]
) -> None:
    del installed.vtex.hooks[APP_KEY]
    assert installed.run("hook", "status") == 3
    assert f"invoicekey hook install --account {ACCOUNT}" in said(capsys)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"filter": {"type": "FromWorkflow", "status": ["handling"]}}, "handling"),
        ({"filter": {"type": "FromOrders", "expression": "true"}}, "FromOrders"),
        ({"hook": {"url": "https://erp.example/in", "headers": {}}}, "erp.example"),
    ],
)
def test_what_differs_is_told(
    changes: dict[str, object], told: str, installed: Operated, capsys: pytest.CaptureFixture[str]
) -> None:
    installed.vtex.hooks[APP_KEY] |= changes
    assert installed.run("hook", "status") == 3
    assert told in said(capsys)


@pytest.mark.parametrize(
    ("header", "told"),
    [("the-previous-secret", "still accepted"), ("no-secret-of-ours", "answered 401")],
)
def test_a_header_with_another_secret_is_told_by_what_comes_of_it(
    header: str, told: str, installed: Operated, capsys: pytest.CaptureFixture[str]
) -> None:
    installed.keep("HookSecretArn", {"current": CURRENT, "previous": PREVIOUS})
    installed.vtex.hooks[APP_KEY]["hook"]["headers"] = {"X-Hook-Secret": header}
    assert installed.run("hook", "status") == 3
    assert told in said(capsys)


def test_a_header_that_vtex_does_not_show_counts_as_last_registered(
    installed: Operated, capsys: pytest.CaptureFixture[str]
) -> None:
    installed.vtex.hooks[APP_KEY]["hook"]["headers"] = {"X-Hook-Secret": "****"}
    assert installed.run("hook", "status") == 0
    assert "as last registered" in said(capsys)
    installed.notes.write(replace(installed.noted(), hook_secret=None))
    assert installed.run("hook", "status") == 3


def test_control_characters_of_another_system_do_not_reach_the_terminal(
    installed: Operated, capsys: pytest.CaptureFixture[str]
) -> None:
    installed.vtex.hooks[APP_KEY]["filter"] = {"type": "\x1b[2J", "status": ["[bold]x[/]"]}
    assert installed.run("hook", "status") == 3
    text = said(capsys)
    assert "\x1b" not in text
    assert "[bold]x[/]" in text


def test_all_accounts_are_looked_at_unless_one_is_named(stack: Operated, capsys: pytest.CaptureFixture[str]) -> None:
    stack.keep("VtexCredentialsSecretArn", {
        name: {"app_key": f"key-{name}", "app_token": "token"} for name in ("one", "two")
    })  # fmt: skip
    assert stack.run("hook", "install", "--account", "two") == 0
    capsys.readouterr()
    assert stack.run("hook", "status") == 3
    text = said(capsys)
    assert "one: TO DO" in text
    assert "two: ok" in text
    assert stack.run("hook", "status", "--account", "two") == 0


def test_a_status_that_cannot_be_read_exits_1(installed: Operated, capsys: pytest.CaptureFixture[str]) -> None:
    installed.vtex.fail(Fault("drop", route="feed_config"))
    assert installed.run("hook", "status") == 1
    assert "try again later" in said(capsys)


# ---- remove


def test_hook_and_feed_are_removed_and_the_guard_knows(installed: Operated) -> None:
    assert installed.run("hook", "remove", "--yes") == 0
    assert not installed.vtex.hooks
    assert not installed.vtex.feeds
    assert not installed.noted().hook_installed


def test_a_removal_asks_first(installed: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    assert installed.run("hook", "remove") == 1
    assert installed.vtex.hooks


@pytest.mark.parametrize("stdin", [None, io.StringIO("")], ids=["closed", "empty"])
def test_where_nobody_can_be_asked_nothing_is_removed(
    stdin: io.StringIO | None, installed: Operated, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    capsys.readouterr()
    assert installed.run("hook", "remove") == 1
    assert said(capsys) == "It asks first: in a script say --yes. Nothing was changed.\n"
    assert installed.vtex.hooks


def test_another_system_s_hook_is_not_removed(installed: Operated, capsys: pytest.CaptureFixture[str]) -> None:
    installed.vtex.hooks[APP_KEY] = OTHER
    assert installed.run("hook", "remove", "--yes") == 1
    assert "erp.example" in said(capsys)
    assert installed.vtex.hooks[APP_KEY] == OTHER


def test_removing_what_is_not_there_is_well(stack: Operated) -> None:
    assert stack.run("hook", "remove", "--yes") == 0
