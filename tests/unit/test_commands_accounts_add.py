"""`invoicekey accounts add`: one account or a file of them; checked in whole, repeatable, and no secret is shown."""

import getpass
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from invoicekey.ledger.accounts import Account, Accounts, account_key
from local.vtex_simulator import Fault
from operations.deployment.credentials import CredentialsPlace
from operations.health.registration import Registration
from operations.terminal.side_by_side import side_by_side
from tests.operated import ACCOUNT, EMAIL, KEYS, PREFIX, Operated, operated

CNPJ = "11222333000181"
HEADER = "account,app_key,app_token"
SECRET, ALERTS = "VtexCredentialsSecretArn", "AlertTopicArn"

type WriteFile = Callable[..., str]


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Operated]:
    with operated(monkeypatch) as made:
        made.secrets |= {f"{kind}-{name}" for kind in ("KEY", "TOKEN") for name in ("new", "a", "b", "c", "typed")}
        yield made


@pytest.fixture
def file(tmp_path: Path) -> WriteFile:
    """Return what writes a file of accounts that its owner alone may read."""

    def written(*rows: str, header: str = HEADER, mode: int = 0o600) -> str:
        path = tmp_path / "accounts.csv"
        path.write_text("\n".join([header, *rows]) + "\n", "utf-8")
        path.chmod(mode)
        return str(path)

    return written


def row(name: str, *cells: str) -> str:
    return ",".join([f"shop-{name}", f"KEY-{name}", f"TOKEN-{name}", *cells])


ABC = [row(name) for name in "abc"]


def own(stack: Operated, name: str) -> Account:
    return Accounts(stack.shop.table).read_one(name)


def kept(stack: Operated, name: str) -> dict[str, str] | None:
    ssm = stack.deployment.client("ssm")
    found = ssm.get_parameters(Names=[PREFIX + name], WithDecryption=True)["Parameters"]
    return json.loads(found[0]["Value"]) if found else None


def writes(stack: Operated) -> int:
    """Count what was written at VTEX."""
    return sum(call.method != "GET" for call in stack.vtex.calls())


def nothing_is_written(stack: Operated, *names: str) -> bool:
    return not any(own(stack, name).version or kept(stack, name) for name in names) and not writes(stack)


def say(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


# ---- One account


def add_by_script(stack: Operated, monkeypatch: pytest.MonkeyPatch, *options: str, name: str = "newshop") -> int:
    say("TOKEN-new\n", monkeypatch)
    return stack.run("accounts", "add", name, *options, "--app-key", "KEY-new", "--token-stdin")


def test_a_person_is_asked_and_nothing_typed_is_shown(stack: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["KEY-typed", "TOKEN-typed"]
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(getpass, "getpass", lambda _: typed.pop(0))
    assert stack.run("accounts", "add", "newshop", f"SellerTaxIds={CNPJ}", "--alert-email", EMAIL) == 0
    assert kept(stack, "newshop") == {"app_key": "KEY-typed", "app_token": "TOKEN-typed"}
    assert dict(own(stack, "newshop").settings) == {"SellerTaxIds": CNPJ}
    assert len(own(stack, "newshop").subscriptions) == 1
    assert stack.vtex.hooks["KEY-typed"]["hook"]["url"] == stack.hook_url


def test_a_script_gives_the_token_by_standard_input(stack: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    assert add_by_script(stack, monkeypatch) == 0
    assert kept(stack, "newshop") == {"app_key": "KEY-new", "app_token": "TOKEN-new"}
    assert own(stack, "newshop").credentials
    assert "KEY-new" in stack.vtex.feeds


def test_without_a_terminal_it_says_what_a_script_is_to_say(stack: Operated) -> None:
    assert stack.run("accounts", "add", "newshop") == 2
    assert "--app-key KEY --token-stdin" in stack.said.err


def test_a_token_that_is_an_argument_is_refused_and_not_repeated(stack: Operated) -> None:
    assert stack.run("accounts", "add", "newshop", "--app-token", "TOKEN-new") == 2
    assert "never an argument" in stack.said.err
    assert nothing_is_written(stack, "newshop")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault("status", status=401, route="list"), "does not take the appKey and appToken"),
        (Fault("status", status=403, route="list"), "List Orders"),
        (Fault("status", status=403, route="order"), "View order"),
        (Fault("drop", route="list"), "Is newshop the account's name?"),
    ],
    ids=["refused", "may-not-list", "may-not-view", "no-such-account"],
)
def test_credentials_are_tried_at_vtex_before_anything_is_written(
    fault: Fault, told: str, stack: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.vtex.fail(fault)
    assert add_by_script(stack, monkeypatch) == 1
    assert told in stack.said.err
    assert nothing_is_written(stack, "newshop")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["AlertBurst=x"], "AlertBurst"),
        (["Lux=1"], "There are:"),
        (["--alert-email", "x"], "no e-mail"),
        (["--dry-run"], "--from FILE"),
        (["--from", "x.csv"], "Either NAME"),
    ],
)
def test_bad_input_writes_nothing(
    options: list[str], told: str, stack: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert add_by_script(stack, monkeypatch, *options) == 2
    assert told in stack.said.err
    assert nothing_is_written(stack, "newshop")


def test_a_name_that_is_no_account_s_is_refused(stack: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    assert add_by_script(stack, monkeypatch, name="New Shop") == 2


def test_an_account_whose_events_would_be_refused_is_not_added(
    stack: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.environments["GuardHookFunction"]["VTEX_ACCOUNTS"] = ACCOUNT
    assert add_by_script(stack, monkeypatch) == 2
    assert "VtexAccounts does not name newshop" in stack.said.err
    assert nothing_is_written(stack, "newshop")


def test_another_system_s_hook_is_left_alone_and_said(stack: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    other = {"filter": {}, "hook": {"url": "https://erp.example/in", "headers": {}}}
    stack.vtex.hooks["KEY-new"] = other
    assert add_by_script(stack, monkeypatch) == 3
    assert "erp.example" in stack.said.out
    assert stack.vtex.hooks["KEY-new"] == other


def test_an_account_of_the_stack_s_secret_moves_to_its_own_place(
    stack: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert add_by_script(stack, monkeypatch, name=ACCOUNT) == 0
    assert kept(stack, ACCOUNT) == {"app_key": "KEY-new", "app_token": "TOKEN-new"}
    assert stack.secret(SECRET) == {ACCOUNT: KEYS}


def test_a_corrupt_item_is_written_anew(stack: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.shop.table.put({"pk": account_key("newshop"), "list": "accounts", "list_at": "newshop"})
    assert add_by_script(stack, monkeypatch, "AlertBurst=9") == 0
    assert dict(own(stack, "newshop").settings) == {"AlertBurst": "9"}


def test_what_was_removed_with_its_failures_kept_comes_back(stack: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    add_by_script(stack, monkeypatch)
    stack.run("accounts", "remove", "newshop", "--yes", "--keep-open")
    assert own(stack, "newshop").is_off
    assert add_by_script(stack, monkeypatch) == 0
    assert not own(stack, "newshop").is_off
    assert "KEY-new" in stack.vtex.hooks


# ---- A file


def test_a_file_of_accounts_is_added(stack: Operated, file: WriteFile) -> None:
    rows = [row("a", CNPJ), row("b", ""), row("c", "")]
    assert stack.run("accounts", "add", "--from", file(*rows, header=f"{HEADER},sellertaxids")) == 0
    assert stack.said.out == "3 accounts: 3 done.\n"
    assert dict(own(stack, "shop-a").settings) == {"SellerTaxIds": CNPJ}
    assert [kept(stack, f"shop-{name}") for name in "abc"] == [
        {"app_key": f"KEY-{name}", "app_token": f"TOKEN-{name}"} for name in "abc"
    ]
    assert {"KEY-a", "KEY-b", "KEY-c"} <= stack.vtex.hooks.keys() & stack.vtex.feeds.keys()


def test_it_may_come_by_standard_input_and_as_a_brazilian_spreadsheet_writes_it(
    stack: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ["\ufeffaccount;app_key;app_token;SellerTaxIds", "shop-a;KEY-a;TOKEN-a;11.222.333/0001-81", ";;;", ""]
    say("\r\n".join(rows), monkeypatch)
    assert stack.run("accounts", "add", "--from", "-") == 0
    assert kept(stack, "shop-a") == {"app_key": "KEY-a", "app_token": "TOKEN-a"}


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606])
def test_a_file_that_others_may_read_is_refused_with_what_to_do(mode: int, stack: Operated, file: WriteFile) -> None:
    path = file(*ABC, mode=mode)
    assert stack.run("accounts", "add", "--from", path) == 2
    assert f"First: chmod 600 {path}" in stack.said.err
    assert nothing_is_written(stack, "shop-a")


def test_all_that_is_wrong_is_listed_by_line_and_nothing_is_done(stack: Operated, file: WriteFile) -> None:
    rows = [
        row("a", ""),
        "Lux Store,KEY-b,TOKEN-b,",
        row("a", ""),
        "shop-c,,TOKEN-c,",
        row("b", "123"),
        "shop-d,KEY-c,TOKEN-c",
        "shop-e,KEY c,TOKEN-c,",
        "",
        ",KEY-b,TOKEN-b,",
    ]
    assert stack.run("accounts", "add", "--from", file(*rows, header=f"{HEADER},SellerTaxIds")) == 2
    assert stack.said.err.splitlines() == [
        "line 3: account: expected the NAME of https://NAME.myvtex.com, in lower-case letters, digits and dashes",
        "line 4: account: shop-a stands in line 2 already",
        "line 5: app_key: empty",
        "line 6: SellerTaxIds: expected CNPJs of 14 characters or CPFs of 11, comma separated; "
        "1,500 characters at most",
        "line 7: 3 cells, and the header has 4",
        "line 8: app_key: expected visible ASCII characters without blanks",
        "line 10: account: expected the NAME of https://NAME.myvtex.com, in lower-case letters, digits and dashes",
        "7 things are wrong in the file. Nothing was done.",
    ]
    assert nothing_is_written(stack, "shop-a", "shop-b", "shop-c")


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("account,app_key", "line 1: the header lacks app_token"),
        ("shop-z,KEY-a,TOKEN-a", "line 1: the header lacks account, app_key, app_token"),
        (f"{HEADER},TOKEN-a", "line 1: column 4 is no setting"),
        (f"{HEADER},AlertBurst,alertburst", "line 1: AlertBurst stands there twice"),
    ],
)
def test_a_wrong_header_is_said_without_a_cell_of_it(header: str, told: str, stack: Operated, file: WriteFile) -> None:
    assert stack.run("accounts", "add", "--from", file(*ABC, header=header)) == 2
    assert told in stack.said.err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "line 1: the header lacks"),
        (HEADER.encode(), "the file ends"),
        (b"\xff\xfe\x00a", "no text in UTF-8"),
        (f'{HEADER}\nshop-a,KEY-a,"TOKEN-a\n'.encode() + b"x" * 200_000, "this is no CSV"),
    ],
    ids=["empty", "header-alone", "binary", "unclosed-quote"],
)
def test_what_is_no_such_file_is_said(content: bytes, told: str, stack: Operated, tmp_path: Path) -> None:
    path = tmp_path / "accounts.csv"
    path.write_bytes(content)
    path.chmod(0o600)
    assert stack.run("accounts", "add", "--from", str(path)) == 2
    assert told in stack.said.err


def test_a_file_that_is_not_there_is_one_line(stack: Operated, tmp_path: Path) -> None:
    assert stack.run("accounts", "add", "--from", str(tmp_path / "none.csv")) == 2
    assert stack.said.all.count("\n") == 1


def test_a_token_in_a_setting_s_column_is_not_repeated(stack: Operated, file: WriteFile) -> None:
    path = file("shop-a,KEY-a,x,TOKEN-a", header=f"{HEADER},AlertLanguage")
    assert stack.run("accounts", "add", "--from", path) == 2
    assert "AlertLanguage: expected one of" in stack.said.err


def test_a_dry_run_says_what_would_be_done_and_asks_nobody(stack: Operated, file: WriteFile) -> None:
    stack.run("accounts", "add", "--from", file(ABC[0]))
    stack.vtex.requests.clear()
    path = file(row("a", ""), row("b", CNPJ), header=f"{HEADER},SellerTaxIds")
    assert stack.run("accounts", "add", "--from", path, "--dry-run") == 0
    assert stack.said.out.splitlines() == [
        "2 accounts: 1 would be added or changed, 1 skipped: all is there. Nothing was done.",
        f"  shop-b: credentials are kept in its own place; SellerTaxIds: the stack's → {CNPJ}; hook and feed are "
        "registered",
    ]
    assert not stack.vtex.calls()
    assert nothing_is_written(stack, "shop-b")


def test_the_same_file_again_skips_all_and_asks_vtex_nothing(stack: Operated, file: WriteFile) -> None:
    path = file(*ABC)
    stack.run("accounts", "add", "--from", path)
    stack.vtex.requests.clear()
    assert stack.run("accounts", "add", "--from", path) == 0
    assert (stack.said.out, stack.said.err) == ("3 accounts: 0 done, 3 skipped.\n", "")
    assert not stack.vtex.calls()


def test_a_row_with_another_token_or_setting_changes_that_account_alone(stack: Operated, file: WriteFile) -> None:
    stack.run("accounts", "add", "--from", file(*ABC))
    versions = {name: own(stack, f"shop-{name}").version for name in "abc"}
    rows = [ABC[0] + ",", "shop-b,KEY-b,TOKEN-new,", ABC[2] + ",9"]
    stack.run("accounts", "add", "--from", file(*rows, header=f"{HEADER},AlertBurst"))
    assert [own(stack, f"shop-{name}").version - versions[name] for name in "abc"] == [0, 1, 1]
    assert kept(stack, "shop-b") == {"app_key": "KEY-b", "app_token": "TOKEN-new"}
    assert stack.said.out == "3 accounts: 2 done, 1 skipped.\n"


def test_one_that_fails_keeps_no_other_back_and_is_told_with_why(stack: Operated, file: WriteFile) -> None:
    path = file(*ABC)
    stack.vtex.refused.add("KEY-b")
    assert stack.run("accounts", "add", "--from", path) == 3
    first, second = stack.said.out.splitlines()
    assert first == "3 accounts: 2 done, 1 failed."
    assert second.startswith("  shop-b: failed: ")
    assert nothing_is_written_of(stack, "shop-b")

    stack.vtex.refused.clear()
    assert stack.run("accounts", "add", "--from", path) == 0
    assert stack.said.out == "3 accounts: 1 done, 2 skipped.\n"


def nothing_is_written_of(stack: Operated, name: str) -> bool:
    return not own(stack, name).version and kept(stack, name) is None


def test_a_hook_that_vtex_does_not_show_is_left_to_a_person(stack: Operated, file: WriteFile) -> None:
    stack.vtex.fail(Fault("empty_object", route="hook_config", account="shop-a"))
    assert stack.run("accounts", "add", "--from", file(*ABC)) == 3
    assert "shop-a: failed: credentials and settings are kept; hook and feed: VTEX does not say" in stack.said.out
    assert "hook install --account shop-a --though-not-shown" in stack.said.out
    assert own(stack, "shop-a").credentials


STEPS: dict[str, tuple[Any, str]] = {
    "credentials": (CredentialsPlace, "put"),
    "item": (Accounts, "write"),
    "hook": (Registration, "install"),
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_interrupted_at_any_step_the_same_command_finishes(
    step: str, when: str, stack: Operated, file: WriteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, (owner, name) = file(*ABC[:2]), STEPS[step]
    usual = getattr(owner, name)

    def interrupted(*arguments: Any) -> Any:
        if when == "after":
            usual(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, interrupted)
        assert stack.run("accounts", "add", "--from", path) == 130
    assert "the same command goes on" in stack.said.err

    assert stack.run("accounts", "add", "--from", path) == 0
    assert [kept(stack, f"shop-{one}") for one in "ab"] == [
        {"app_key": f"KEY-{one}", "app_token": f"TOKEN-{one}"} for one in "ab"
    ]
    assert {"KEY-a", "KEY-b"} <= stack.vtex.hooks.keys()
    assert stack.run("accounts", "add", "--from", path) == 0
    assert stack.said.out == "2 accounts: 0 done, 2 skipped.\n"


def test_results_come_in_the_order_of_the_things() -> None:
    assert side_by_side([3, 1, 2], lambda number: number * number, "working") == [9, 1, 4]


# ---- doctor and hook status, over many


def test_of_many_accounts_the_sum_is_first_then_trouble_and_who_is_well_is_counted(
    stack: Operated, file: WriteFile
) -> None:
    letters = [f"{number:02}" for number in range(22)]
    stack.run("accounts", "add", "--from", file(*map(row, letters)))
    stack.vtex.hooks.pop("KEY-07")
    assert stack.run("hook", "status") == 3
    lines = stack.said.out.splitlines()
    assert lines[0] == "23 accounts: 2 with something to do, 21 well."
    assert {line.split(":")[0] for line in lines[1:]} == {ACCOUNT, "shop-07"}


def test_few_accounts_that_are_well_are_shown_after_those_in_trouble(stack: Operated, file: WriteFile) -> None:
    stack.run("accounts", "add", "--from", file(*ABC[:1]))
    assert stack.run("hook", "status") == 3
    names = [line.split(":")[0] for line in stack.said.out.splitlines()[1:]]
    assert list(dict.fromkeys(names)) == [ACCOUNT, "shop-a"]


def test_doctor_looks_at_every_account_and_shows_the_sum_before_them(stack: Operated, file: WriteFile) -> None:
    stack.run("accounts", "add", "--from", file(*ABC[:2]))
    stack.run("accounts", "set", "shop-b", "--off")
    assert stack.run("doctor") == 3
    text = stack.said.out
    assert text.index("3 accounts: 1 with something to do") < text.index(f"{ACCOUNT} at VTEX: TO DO")
    assert "shop-b at VTEX: note: it is off" in text
    assert text.index(f"{ACCOUNT} at VTEX: TO DO") < text.index("shop-a at VTEX: ok")
