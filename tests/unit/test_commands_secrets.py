"""`invoicekey secrets rotate`: at no moment is the secret refused that VTEX sends, and none is ever shown."""

import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import BotoCoreError, ConnectionClosedError, ReadTimeoutError

from invoicekey.ledger.registrations import digest
from invoicekey.messages.links import Links, Target
from invoicekey.runtime.desk import keys
from local.vtex_simulator import Fault
from tests.desk import DESK_KEY
from tests.operated import ACCOUNT, APP_KEY, CURRENT, PREVIOUS, Operated, Told, denied, operated

HOOK = "HookSecretArn"


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Operated]:
    with operated(monkeypatch) as made:
        assert made.run("hook", "install") == 0
        made.tell("lambda", invoke=lambda **_: guard(made))
        yield made


def guard(stack: Operated) -> dict[str, Any]:
    """Do as the guard does: register the current secret, and note it."""
    current = stack.secret(HOOK)["current"]
    stack.vtex.hooks[APP_KEY]["hook"]["headers"] = {"X-Hook-Secret": current}
    stack.notes.write(replace(stack.noted(), hook_secret=digest(current)))
    return {"StatusCode": 200, "Payload": io.BytesIO(b"{}")}


def carried(stack: Operated) -> str:
    """Return the secret that VTEX sends."""
    return str(stack.vtex.hooks[APP_KEY]["hook"]["headers"]["X-Hook-Secret"])


def test_the_new_secret_is_current_the_old_one_previous_and_the_guard_gives_it_to_vtex_at_once(stack: Operated) -> None:
    assert stack.run("secrets", "rotate") == 0
    secret = stack.secret(HOOK)
    assert secret["previous"] == CURRENT
    assert secret["current"] not in {CURRENT, ""}
    assert len(secret["current"]) >= 40
    assert carried(stack) == secret["current"]
    assert "carries the new secret" in stack.said.out


def test_no_secret_is_shown(stack: Operated) -> None:
    for _ in range(2):
        assert stack.run("secrets", "rotate") == 0
        assert not [secret for secret in stack.secret(HOOK).values() if secret in stack.said.all]


def test_without_the_guard_vtex_goes_on_with_the_old_one(stack: Operated) -> None:
    assert stack.run("secrets", "rotate", "--no-guard") == 0
    assert carried(stack) == stack.secret(HOOK)["previous"]
    assert "next run" in stack.said.out


def test_a_second_rotation_is_refused_while_vtex_sends_the_old_one(stack: Operated) -> None:
    stack.run("secrets", "rotate", "--no-guard")
    before = stack.secret(HOOK)
    assert stack.run("secrets", "rotate") == 1
    assert stack.secret(HOOK) == before
    assert "Nothing was changed" in stack.said.err


def test_it_may_be_forced(stack: Operated) -> None:
    stack.run("secrets", "rotate", "--no-guard")
    assert stack.run("secrets", "rotate", "--force") == 0
    assert CURRENT not in stack.secret(HOOK).values()


@pytest.mark.parametrize(
    ("befalls", "options"),
    [
        (lambda stack: None, ["--no-guard"]),
        (lambda stack: stack.tell("lambda", invoke=denied("Invoke")), []),
        (lambda stack: stack.vtex.refused.add(APP_KEY), ["--no-guard"]),
    ],
    ids=["no-guard", "guard-not-allowed", "vtex-refuses"],
)
def test_forced_without_the_guard_it_says_whose_calls_are_refused_and_what_to_do(
    befalls: Callable[[Operated], object], options: list[str], stack: Operated
) -> None:
    stack.run("secrets", "rotate", "--no-guard")
    befalls(stack)

    assert stack.run("secrets", "rotate", "--force", *options) == 3

    assert carried(stack) not in stack.secret(HOOK).values()
    (told,) = [line for line in stack.said.out.splitlines() if line.startswith("TO DO")]
    assert f"VTEX's hook of {ACCOUNT} may carry neither secret: its calls are refused" in told
    assert told.endswith(f"invoicekey hook install --account {ACCOUNT}")


def test_the_accounts_that_do_not_carry_it_yet_are_told_together(stack: Operated) -> None:
    names = ("one", "two", "three")
    stack.keep("VtexCredentialsSecretArn", {n: {"app_key": f"key-{n}", "app_token": "token"} for n in names})
    for name in names:
        assert stack.run("hook", "install", "--account", name) == 0
    stack.tell("lambda", invoke={"StatusCode": 200, "Payload": io.BytesIO(b"{}")})

    assert stack.run("secrets", "rotate") == 0

    lines = stack.said.out.splitlines()
    (told,) = [line for line in lines if "not yet" in line]
    assert len(lines) == 2
    assert "not yet at VTEX's hook of one, three, two: the guard gives it to VTEX at its next run" in told
    assert told.endswith("at once: invoicekey hook install --account one, and so for each of them")


@pytest.mark.parametrize("hidden", [True, False])
def test_where_vtex_shows_no_secret_or_is_down_the_guard_s_note_counts(hidden: bool, stack: Operated) -> None:
    if hidden:
        stack.vtex.hooks[APP_KEY]["hook"]["headers"] = {"X-Hook-Secret": "********"}
    else:
        stack.vtex.fail(Fault("status", status=500, route="hook_config"))
    stack.keep(HOOK, {"current": "registered-by-nobody", "previous": CURRENT})
    assert stack.run("secrets", "rotate") == 1
    stack.keep(HOOK, {"current": CURRENT, "previous": PREVIOUS})
    assert stack.run("secrets", "rotate") == 0


@pytest.mark.parametrize(
    ("current", "is_noted", "code"), [(CURRENT, True, 0), ("registered-by-nobody", True, 1), ("any", False, 0)]
)
def test_where_vtex_does_not_show_the_hook_the_guard_s_note_counts(
    current: str, is_noted: bool, code: int, stack: Operated
) -> None:
    stack.vtex.fail(Fault("empty_object", route="hook_config"))
    stack.keep(HOOK, {"current": current, "previous": PREVIOUS})
    stack.notes.write(replace(stack.noted(), hook_installed=is_noted))
    assert stack.run("secrets", "rotate", "--no-guard") == code


def test_another_system_s_hook_does_not_keep_from_rotating(stack: Operated) -> None:
    stack.keep(HOOK, {"current": "registered-by-nobody", "previous": PREVIOUS})
    stack.vtex.hooks[APP_KEY] = {"filter": {}, "hook": {"url": "https://erp.example/in", "headers": {}}}
    assert stack.run("secrets", "rotate", "--no-guard") == 0


def test_an_empty_current_secret_costs_the_previous_one_nothing(stack: Operated) -> None:
    stack.keep(HOOK, {"current": "", "previous": PREVIOUS})
    assert stack.run("secrets", "rotate") == 0
    assert stack.secret(HOOK)["previous"] == PREVIOUS


def test_what_else_the_secret_holds_stays(stack: Operated) -> None:
    stack.keep(HOOK, {"current": CURRENT, "previous": "", "note": "ours"})
    stack.run("secrets", "rotate")
    assert stack.secret(HOOK)["note"] == "ours"


def test_a_guard_that_may_not_be_run_leaves_both_accepted(stack: Operated) -> None:
    stack.tell("lambda", invoke=denied("Invoke"))
    assert stack.run("secrets", "rotate") == 0
    assert stack.secret(HOOK)["previous"] == CURRENT
    text = stack.said.out
    assert "AccessDenied" in text
    assert "still accepted" in text


def test_a_guard_that_fails_is_something_to_do(stack: Operated) -> None:
    stack.tell("lambda", invoke={"StatusCode": 200, "FunctionError": "Unhandled", "Payload": io.BytesIO(b"{}")})
    assert stack.run("secrets", "rotate") == 3
    assert "the guard failed" in stack.said.out


def test_the_guard_has_the_time_that_its_function_has_and_is_started_once(stack: Operated) -> None:
    stack.run("secrets", "rotate")

    ((service, patience),) = stack.deployment.patiences
    asked_for = vars(patience)
    assert (service, asked_for["read_timeout"]) == ("lambda", 280 + 20)
    assert asked_for["retries"] == {"total_max_attempts": 1}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ReadTimeoutError(endpoint_url="https://lambda"), "has given no answer in 300 s"),
        (ConnectionClosedError(endpoint_url="https://lambda"), "gave no answer: the connection to AWS was lost"),
    ],
    ids=["timeout", "lost"],
)
def test_a_guard_that_is_not_heard_of_again_may_be_at_work_and_what_it_noted_is_told(
    stack: Operated, error: BotoCoreError, told: str
) -> None:
    guard_s = stack.deployment.told["lambda"].answers["invoke"]

    def done_and_lost(**named: object) -> None:
        guard_s(**named)
        raise error

    stack.tell("lambda", invoke=done_and_lost)

    assert stack.run("secrets", "rotate") == 0

    said = stack.said.out
    assert f"the guard was started, and {told}" in said
    assert "it may still be at work" in said
    assert "VTEX's hook carries the new secret" in said


def test_an_interruption_while_vtex_is_told_loses_nothing(stack: Operated) -> None:
    stack.tell("lambda", invoke=Mock(side_effect=KeyboardInterrupt))
    assert stack.run("secrets", "rotate") == 130
    assert carried(stack) == stack.secret(HOOK)["previous"]


def test_a_secret_that_cannot_be_written_is_as_it_was(stack: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = Told(put_secret_value=denied("PutSecretValue"))
    monkeypatch.setattr(stack.deployment.client("secretsmanager"), "put_secret_value", refusing.put_secret_value)
    assert stack.run("secrets", "rotate") == 1
    assert stack.secret(HOOK) == {"current": CURRENT, "previous": ""}


# ---- The desk's key

DESK = "DeskSecretArn"
DAY = timedelta(days=1)


def accepted(stack: Operated, after: timedelta = timedelta()) -> list[str]:
    """Return the keys by which the desk reads links, the one that signs them last."""
    return keys(stack.secret(DESK), datetime.now(UTC) + after)


def test_the_desk_s_new_key_signs_and_the_former_one_is_accepted_until_its_links_are_over(stack: Operated) -> None:
    assert stack.run("secrets", "rotate", "--desk") == 0

    former, current = accepted(stack, 30 * DAY)
    assert former == DESK_KEY
    assert len(current) >= 40
    assert accepted(stack, 31 * DAY) == [current]


def test_a_link_that_was_sent_before_works_on(stack: Operated) -> None:
    token = Links("", [DESK_KEY]).token(Target("luxstore"))
    stack.run("secrets", "rotate", "--desk")
    assert Links("", accepted(stack)).read(token, datetime.now(UTC)) == Target("luxstore")


def test_the_desk_s_rotation_leaves_the_hook_s_secret_alone_and_shows_no_key(stack: Operated) -> None:
    before = stack.secret(HOOK)
    stack.run("secrets", "rotate", "--desk")
    assert stack.secret(HOOK) == before
    assert not [key for key in accepted(stack) if key in stack.said.all]


def test_a_second_rotation_of_the_desk_s_key_says_which_links_it_would_end_and_does_nothing(stack: Operated) -> None:
    stack.run("secrets", "rotate", "--desk")
    before = stack.secret(DESK)

    assert stack.run("secrets", "rotate", "--desk") == 1

    assert stack.secret(DESK) == before
    assert "sent before the last rotation" in stack.said.err
    assert "Nothing was changed" in stack.said.err


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1)])
def test_who_is_there_is_asked(stack: Operated, monkeypatch: pytest.MonkeyPatch, answer: str, code: int) -> None:
    stack.run("secrets", "rotate", "--desk")
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)

    assert stack.run("secrets", "rotate", "--desk") == code

    assert (DESK_KEY in accepted(stack)) == (code != 0)


def test_a_second_rotation_may_be_wanted(stack: Operated) -> None:
    stack.run("secrets", "rotate", "--desk")
    assert stack.run("secrets", "rotate", "--desk", "--yes") == 0
    assert DESK_KEY not in accepted(stack)


def test_a_rotation_after_the_former_links_are_over_asks_nothing(stack: Operated) -> None:
    over = datetime.now(UTC) - DAY
    stack.keep(DESK, {"current": "a", "previous": DESK_KEY, "previous_until": over.isoformat()})
    assert stack.run("secrets", "rotate", "--desk") == 0


def test_a_desk_without_a_key_gets_one(stack: Operated) -> None:
    stack.keep(DESK, {"current": ""})
    assert stack.run("secrets", "rotate", "--desk") == 0
    assert len(accepted(stack)) == 1


def test_a_stack_without_a_desk_has_no_key_to_rotate(stack: Operated) -> None:
    stack.environments["CheckInvoiceFunction"]["DESK_URL"] = ""
    assert stack.run("secrets", "rotate", "--desk") == 1
    assert "DeskLinks=no" in stack.said.err


@pytest.mark.parametrize("options", [["--desk", "--force"], ["--desk", "--no-guard"], ["--yes"]])
def test_what_is_about_the_other_secret_is_not_understood(stack: Operated, options: list[str]) -> None:
    before = stack.secret(HOOK), stack.secret(DESK)
    assert stack.run("secrets", "rotate", *options) == 2
    assert (stack.secret(HOOK), stack.secret(DESK)) == before
