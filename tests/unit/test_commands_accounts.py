"""`invoicekey accounts`: the list, and what of an account is changed or removed; every line says what was done."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from invoicekey.ledger.accounts import Account, Accounts, account_key
from invoicekey.ledger.activity import Activities, Sign
from invoicekey.ledger.entries import Entry
from invoicekey.ledger.registrations import Notified, RegistrationState
from invoicekey.rules.notification import OrderRef
from invoicekey.runtime.errors import Conflict
from local.vtex_simulator import Fault
from tests.operated import ACCOUNT, APP_KEY, EMAIL, KEYS, PREFIX, Operated, Told, operated

NOW = datetime.now(UTC)
CNPJ, OTHER_CNPJ = "11222333000181", "11444777000161"
SECRET, ALERTS = "VtexCredentialsSecretArn", "AlertTopicArn"
NEW_KEY, NEW_TOKEN = "vtexappkey-new", "TOKENNEW"


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Operated]:
    with operated(monkeypatch) as made:
        made.secrets |= {NEW_KEY, NEW_TOKEN}
        yield made


@pytest.fixture
def type_token(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def accounts(stack: Operated) -> Accounts:
    return Accounts(stack.shop.table)


def own(stack: Operated, name: str = ACCOUNT) -> Account:
    return accounts(stack).read_one(name)


def with_item(stack: Operated, name: str = ACCOUNT, **what: Any) -> Account:
    return accounts(stack).write(replace(own(stack, name), **what))


def in_own_place(stack: Operated, name: str, key: str = "KEY-A", token: str = "TOKEN-A") -> None:
    """Let an account have credentials in its own place."""
    stack.secrets |= {key, token}
    value = json.dumps({"app_key": key, "app_token": token})
    ssm = stack.deployment.client("ssm")
    ssm.put_parameter(Name=PREFIX + name, Value=value, Type="SecureString", Overwrite=True)
    with_item(stack, name, credentials="v1")


def kept(stack: Operated, name: str) -> dict[str, str] | None:
    """Return what is in an account's own place."""
    ssm = stack.deployment.client("ssm")
    found = ssm.get_parameters(Names=[PREFIX + name], WithDecryption=True)["Parameters"]
    return json.loads(found[0]["Value"]) if found else None


def fail_an_order(stack: Operated, order_id: str, account: str = ACCOUNT) -> OrderRef:
    ref = OrderRef(account, order_id)
    entry = Entry(
        ref, first_seen_at=NOW, checked_at=NOW, outcome="failing", errors_reported="f" * 64, opened_at=NOW,
        recheck_at=NOW,
    )  # fmt: skip
    stack.shop.ledger.write(entry)
    return ref


def registered(stack: Operated, name: str = ACCOUNT, **what: Any) -> None:
    state = RegistrationState(name, hook_installed=True, feed_installed=True)
    stack.notes.write(replace(state, **what))


def heard(stack: Operated, name: str = ACCOUNT, at: datetime = NOW, sign: Sign = Sign.HOOK) -> None:
    Activities(stack.shop.table).note(name, [sign], at)


def listed(stack: Operated, code: int | None = None) -> dict[str, dict[str, Any]]:
    """List the accounts for machines, by name."""
    assert code in {None, stack.run("accounts", "list", "--json")}
    found: list[dict[str, Any]] = json.loads(stack.said.out)["accounts"]
    return {one["account"]: one for one in found}


# ---- list


def test_an_account_that_is_well_is_listed_with_all_that_is_known(stack: Operated) -> None:
    registered(stack)
    heard(stack)
    fail_an_order(stack, "VVJ-1-01")

    line = listed(stack, 0)[ACCOUNT]
    assert (line["state"], line["is_trouble"], line["open"]) == ("ok", False, 1)
    assert (line["credentials"], line["hook"], line["feed"]) == ("the stack's secret", "ours", "ours")
    assert line["last_hook"]


def corrupt(stack: Operated) -> None:
    stack.shop.table.put({"pk": account_key(ACCOUNT), "list": "accounts", "list_at": ACCOUNT})


def refused(stack: Operated) -> None:
    registered(stack)
    heard(stack, sign=Sign.REFUSED)


def quiet(stack: Operated) -> None:
    registered(stack)
    heard(stack, at=NOW - timedelta(hours=80))


@pytest.mark.parametrize(
    ("befalls", "state"),
    [
        (corrupt, "item corrupt"),
        (lambda s: with_item(s, settings={"AlertLanguage": "fr"}), "setting wrong"),
        (lambda s: s.environments["GuardHookFunction"].update(VTEX_ACCOUNTS="othershop"), "not in VtexAccounts"),
        (lambda s: with_item(s, credentials="v1"), "credentials missing"),
        (lambda s: (s.keep(SECRET, {}), s.shop.backlog.note_accounts([ACCOUNT])), "credentials missing"),
        (refused, "credentials refused"),
        (lambda s: registered(s, hook_notified=Notified("erp.example", NOW)), "hook elsewhere"),
        (lambda s: registered(s, hook_notified=Notified("hook_not_shown", NOW)), "hook not shown"),
        (lambda s: None, "no hook"),
        (lambda s: registered(s, feed_left_alone=True), "feed elsewhere"),
        (quiet, "quiet"),
    ],
    ids=["corrupt", "setting", "not-served", "place-empty", "nowhere", "refused", "elsewhere", "not-shown", "no-hook",
         "feed", "quiet"],
)  # fmt: skip
def test_each_trouble_has_its_words_and_something_to_do(
    befalls: Callable[[Operated], object], state: str, stack: Operated
) -> None:
    befalls(stack)
    line = listed(stack, 3)[ACCOUNT]
    assert (line["state"], line["is_trouble"]) == (state, True)


@pytest.mark.parametrize(("trouble", "state"), [("no_cnova", "no CNova order"), ("feed_found", "hook misses events")])
def test_what_the_guard_saw_over_days_is_listed(trouble: str, state: str, stack: Operated) -> None:
    registered(stack)
    heard(stack)
    Activities(stack.shop.table).note_troubles(ACCOUNT, {trouble: NOW})
    assert listed(stack, 3)[ACCOUNT]["state"] == state


def test_credentials_that_were_refused_and_work_again_are_no_trouble(stack: Operated) -> None:
    registered(stack)
    heard(stack)
    heard(stack, at=NOW - timedelta(hours=2), sign=Sign.REFUSED)
    heard(stack, at=NOW - timedelta(hours=1), sign=Sign.CNOVA)
    assert listed(stack, 0)[ACCOUNT]["state"] == "ok"


def test_an_account_that_is_off_or_new_is_no_trouble(stack: Operated) -> None:
    registered(stack)
    in_own_place(stack, "quietshop")
    with_item(stack, "quietshop", is_off=True)
    found = listed(stack, 0)
    assert [found[name]["state"] for name in (ACCOUNT, "quietshop")] == ["nothing heard yet", "off"]


def test_the_sum_comes_first_then_trouble_then_who_is_well(stack: Operated) -> None:
    registered(stack)
    heard(stack)
    in_own_place(stack, "zebra")
    assert stack.run("accounts") == 3
    summary, _, first, second = stack.said.out.splitlines()[:4]
    assert summary == "2 accounts: 1 to look at, 1 ok. 0 open failures."
    assert (first.split()[0], second.split()[0]) == ("zebra", ACCOUNT)
    assert "no hook: invoicekey hook install --account zebra" in stack.said.err


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_on_a_terminal_no_line_is_longer_than_it_is_wide(columns: int, stack: Operated) -> None:
    registered(stack, hook_notified=Notified("a-long-host-name.of-another-erp.example", NOW))
    with_item(stack, settings={"SellerTaxIds": CNPJ, "VtexRequestsPerMinute": "600"})
    stack.run("accounts", columns=columns)
    assert max(map(len, stack.said.out.splitlines())) <= columns
    assert ACCOUNT in stack.said.out


def test_names_in_the_secret_that_no_account_can_have_are_told(stack: Operated) -> None:
    registered(stack)
    heard(stack)
    stack.keep(SECRET, {ACCOUNT: KEYS, "Lux Store": KEYS})
    assert stack.run("accounts") == 3
    assert "'Lux Store', which is no account's name" in stack.said.err


def test_the_list_is_written_for_spreadsheets_in_the_shop_s_language(stack: Operated, tmp_path: Path) -> None:
    registered(stack)
    stack.environments["CheckInvoiceFunction"]["ALERT_LANGUAGE"] = "pt-BR"
    file = tmp_path / "accounts.csv"
    stack.run("accounts", "--csv", str(file))
    heading, row = file.read_text("utf-8-sig").splitlines()
    assert heading.startswith("Conta VTEX;Situação;")
    assert row.startswith(f"{ACCOUNT};nada recebido ainda;")


def test_a_stack_without_accounts_says_how_to_add_one(stack: Operated) -> None:
    stack.keep(SECRET, {})
    assert stack.run("accounts") == 0
    assert "accounts add NAME" in stack.said.out


def test_who_is_alerted_of_an_account_alone_is_read_from_sns(stack: Operated) -> None:
    stack.run("accounts", "set", ACCOUNT, "--alert-email", EMAIL)
    assert listed(stack)[ACCOUNT]["emails"] == [EMAIL]
    (arn,) = own(stack).subscriptions
    assert EMAIL not in arn


# ---- set


def test_a_setting_is_shown_before_and_after_and_written(stack: Operated) -> None:
    with_item(stack, settings={"SellerTaxIds": CNPJ})
    assert stack.run("accounts", "set", ACCOUNT, f"sellertaxids={OTHER_CNPJ}", "AlertBurst=9") == 0
    assert f"SellerTaxIds: {CNPJ} → {OTHER_CNPJ}" in stack.said.out
    assert "AlertBurst: the stack's → 9" in stack.said.out
    assert own(stack).settings == {"SellerTaxIds": OTHER_CNPJ, "AlertBurst": "9"}


def test_a_setting_is_unset_and_is_the_stack_s_again(stack: Operated) -> None:
    with_item(stack, settings={"SellerTaxIds": CNPJ, "AlertBurst": "9"})
    assert stack.run("accounts", "set", ACCOUNT, "--unset", "AlertBurst") == 0
    assert "AlertBurst: 9 → the stack's" in stack.said.out
    assert own(stack).settings == {"SellerTaxIds": CNPJ}


def test_what_is_so_already_is_said_and_not_written(stack: Operated) -> None:
    before = with_item(stack, settings={"AlertBurst": "9"})
    assert stack.run("accounts", "set", ACCOUNT, "AlertBurst=9") == 0
    assert "so already" in stack.said.out
    assert own(stack).version == before.version


def test_an_account_is_switched_off_and_on(stack: Operated) -> None:
    assert stack.run("accounts", "set", ACCOUNT, "--off") == 0
    assert own(stack).is_off
    assert stack.run("accounts", "set", ACCOUNT, "--on") == 0
    assert not own(stack).is_off
    assert APP_KEY in stack.vtex.hooks  # VTEX deletes a hook that is quiet for long


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["AlertBurst=soon"], "AlertBurst: expected a whole number"),
        (["SellerTaxIds=123"], "SellerTaxIds"),
        (["AlertLanguage=fr"], "AlertLanguage: expected one of pt-BR, en"),
        (["WatchedStatuses=invoicd"], "WatchedStatuses: expected order states"),
        (["VtexRequestsPerMinute=999999"], "VtexRequestsPerMinute: expected a whole number from"),
        (["Monitoring=full"], "There are: CnovaAffiliateIds, SellerTaxIds"),
        (["AlertBurst"], "expected Setting=value"),
        (["AlertBurst=3", "--unset", "AlertBurst"], "either a value or --unset"),
        (["--alert-email", "nobody"], "no e-mail address"),
        (["--app-key", "key"], "both are needed"),
        (["--app-token", "TOKEN-TYPED"], "never an argument"),
        ([], "Say what is to be changed"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(typed: list[str], told: str, stack: Operated) -> None:
    stack.secrets.add("TOKEN-TYPED")
    assert stack.run("accounts", "set", ACCOUNT, *typed) == 2
    assert told in stack.said.err
    assert stack.said.all.count("\n") == 1
    assert own(stack).version == 0


def test_an_unknown_account_is_said_with_those_written_alike(stack: Operated) -> None:
    assert stack.run("accounts", "set", "luxtore", "AlertBurst=9") == 2
    assert stack.said.err == "There is no account 'luxtore' here. Did you mean luxstore? Nothing was changed.\n"
    assert own(stack, "luxtore").version == 0


def test_of_two_operators_at_once_the_second_does_nothing(stack: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    with_item(stack, settings={"AlertBurst": "9"})

    def refuse(*_: object) -> Account:
        raise Conflict

    monkeypatch.setattr(Accounts, "write", refuse)
    assert stack.run("accounts", "set", ACCOUNT, "AlertBurst=3") == 3
    assert stack.said.err == "Somebody else changed it meanwhile: nothing was done; see invoicekey accounts list\n"


def test_a_corrupt_item_is_not_changed(stack: Operated) -> None:
    corrupt(stack)
    assert stack.run("accounts", "set", ACCOUNT, "AlertBurst=3") == 1
    assert "accounts add luxstore" in stack.said.err


def test_other_watched_statuses_are_registered_at_once(stack: Operated) -> None:
    assert stack.run("accounts", "set", ACCOUNT, "WatchedStatuses=invoiced,handling") == 0
    assert stack.vtex.hooks[APP_KEY]["filter"]["status"] == ["handling", "invoiced"]


def test_where_vtex_is_down_the_setting_holds_and_the_guard_registers_it(stack: Operated) -> None:
    stack.vtex.fail(Fault("status", status=500, route="hook_config"))
    assert stack.run("accounts", "set", ACCOUNT, "WatchedStatuses=invoiced,handling") == 3
    assert "the guard tries again within the hour" in stack.said.out
    assert own(stack).settings == {"WatchedStatuses": "invoiced,handling"}


def test_new_credentials_are_tried_and_kept_in_the_account_s_own_place(
    stack: Operated, type_token: Callable[[str], None]
) -> None:
    type_token(f"{NEW_TOKEN}\n")
    assert stack.run("accounts", "set", ACCOUNT, "--app-key", NEW_KEY, "--token-stdin") == 0
    assert kept(stack, ACCOUNT) == {"app_key": NEW_KEY, "app_token": NEW_TOKEN}
    assert own(stack).credentials
    assert stack.vtex.hooks[NEW_KEY]["hook"]["url"] == stack.hook_url  # VTEX keeps one an appKey


def test_credentials_that_vtex_refuses_leave_those_before(stack: Operated, type_token: Callable[[str], None]) -> None:
    stack.vtex.refused.add(NEW_KEY)
    type_token(NEW_TOKEN)
    assert stack.run("accounts", "set", ACCOUNT, "--app-key", NEW_KEY, "--token-stdin") == 3
    assert "stay as they were" in stack.said.out
    assert (kept(stack, ACCOUNT), own(stack).credentials) == (None, None)


def test_an_account_that_is_off_stays_off_with_new_credentials(
    stack: Operated, type_token: Callable[[str], None]
) -> None:
    with_item(stack, is_off=True)
    type_token(NEW_TOKEN)
    stack.run("accounts", "set", ACCOUNT, "--app-key", NEW_KEY, "--token-stdin")
    assert own(stack).is_off
    assert not stack.vtex.hooks


# ---- E-mails of one account


def filters(stack: Operated) -> dict[str, Any]:
    """Return the alert topic's e-mail addresses, each with its filter."""
    sns = stack.deployment.client("sns")
    arns = sns.list_subscriptions_by_topic(TopicArn=stack.deployment.output(ALERTS))["Subscriptions"]
    read = [sns.get_subscription_attributes(SubscriptionArn=one["SubscriptionArn"])["Attributes"] for one in arns]
    return {one["Endpoint"]: json.loads(one.get("FilterPolicy", "null")) for one in read}


def test_an_address_gets_one_account_s_alerts_and_must_confirm(stack: Operated) -> None:
    assert stack.run("accounts", "set", ACCOUNT, "--alert-email", EMAIL) == 0
    assert filters(stack) == {EMAIL: {"account": [ACCOUNT]}}
    assert "within two days" in stack.said.out


def test_an_address_of_two_accounts_has_both_in_its_filter_and_each_is_removed_alone(stack: Operated) -> None:
    in_own_place(stack, "othershop")
    for name in (ACCOUNT, "othershop"):
        stack.run("accounts", "set", name, "--alert-email", EMAIL)
    assert filters(stack) == {EMAIL: {"account": [ACCOUNT, "othershop"]}}

    stack.run("accounts", "set", ACCOUNT, "--no-alert-email", EMAIL.upper())
    assert filters(stack) == {EMAIL: {"account": ["othershop"]}}
    assert own(stack).subscriptions == ()

    stack.run("accounts", "set", "othershop", "--no-alert-email", EMAIL)
    assert filters(stack) == {}


def test_an_address_that_gets_everything_already_keeps_it(stack: Operated) -> None:
    stack.subscribe(ALERTS)
    assert stack.run("accounts", "set", ACCOUNT, "--alert-email", EMAIL) == 0
    assert "all accounts already" in stack.said.out
    assert filters(stack) == {EMAIL: None}
    assert own(stack).subscriptions == ()


def test_a_filter_of_another_kind_is_left_as_it_is(stack: Operated) -> None:
    stack.subscribe(ALERTS)
    sns = stack.deployment.client("sns")
    (one,) = sns.list_subscriptions_by_topic(TopicArn=stack.deployment.output(ALERTS))["Subscriptions"]
    policy = {"type": ["digest"]}
    sns.set_subscription_attributes(
        SubscriptionArn=one["SubscriptionArn"], AttributeName="FilterPolicy", AttributeValue=json.dumps(policy)
    )
    assert stack.run("accounts", "set", ACCOUNT, "--alert-email", EMAIL) == 1
    assert filters(stack) == {EMAIL: policy}


def test_an_address_that_has_not_confirmed_yet_is_found_by_what_the_accounts_keep(stack: Operated) -> None:
    """SNS names nobody in its listing who has not confirmed, and takes no second filter for an address."""
    arn = "arn:aws:sns:us-east-1:1:alerts:pending"
    with_item(stack, "othershop", credentials="v1", subscriptions=(arn,))
    exists: Any = {
        "Error": {"Code": "InvalidParameter", "Message": "Subscription already exists with different attributes"}
    }
    pending = {"Endpoint": EMAIL, "PendingConfirmation": "true", "FilterPolicy": '{"account": ["othershop"]}'}
    sns = Told(
        get_paginator=Told(paginate=lambda **_: []),
        subscribe=ClientError(exists, "Subscribe"),
        get_subscription_attributes={"Attributes": pending},
        set_subscription_attributes={},
    )
    sns.__dict__["get_paginator"] = lambda _: Told(paginate=[])
    stack.deployment.told["sns"] = sns

    assert stack.run("accounts", "set", ACCOUNT, "--alert-email", EMAIL) == 0
    (changed,) = [asked for operation, asked in sns.asked if operation == "set_subscription_attributes"]
    assert json.loads(changed["AttributeValue"]) == {"account": [ACCOUNT, "othershop"]}
    assert own(stack).subscriptions == (arn,)


def test_an_address_that_does_not_get_it_is_said_beside_those_that_do(stack: Operated) -> None:
    stack.run("accounts", "set", ACCOUNT, "--alert-email", EMAIL)
    assert stack.run("accounts", "set", ACCOUNT, "--no-alert-email", "who@example.com") == 3
    assert EMAIL in stack.said.out


# ---- remove


@pytest.fixture
def installed(stack: Operated) -> Operated:
    in_own_place(stack, "othershop")
    assert stack.run("hook", "install", "--account", "othershop") == 0
    stack.run("accounts", "set", "othershop", "AlertBurst=9", "--alert-email", EMAIL)
    stack.shop.backlog.note_accounts([ACCOUNT, "othershop"])
    heard(stack, "othershop")
    return stack


def test_nothing_is_left_of_an_account_that_is_removed(installed: Operated) -> None:
    assert installed.run("accounts", "remove", "othershop", "--yes") == 0
    assert (installed.vtex.hooks, installed.vtex.feeds) == ({}, {})
    assert (kept(installed, "othershop"), own(installed, "othershop").version, filters(installed)) == (None, 0, {})
    assert set(listed(installed)) == {ACCOUNT}


def test_an_account_of_the_stack_s_secret_leaves_the_others_there(installed: Operated) -> None:
    installed.keep(SECRET, {ACCOUNT: KEYS, "third": KEYS})
    assert installed.run("accounts", "remove", ACCOUNT, "--yes") == 0
    assert set(installed.secret(SECRET)) == {"third"}


def test_each_step_says_what_was_done(installed: Operated) -> None:
    installed.run("accounts", "remove", "othershop", "--yes")
    told = installed.said.out
    assert all(
        word in told for word in ("off", "hook is removed", "feed", "credentials are deleted", "e-mail", "settings")
    )


def test_what_is_open_has_to_be_decided_first(installed: Operated) -> None:
    fail_an_order(installed, "VVJ-1-01", "othershop")
    assert installed.run("accounts", "remove", "othershop", "--yes") == 2
    assert "othershop has 1 open failure: say --close-open" in installed.said.err
    assert not own(installed, "othershop").is_off


def test_open_failures_are_dismissed_as_told(installed: Operated) -> None:
    ref = fail_an_order(installed, "VVJ-1-01", "othershop")
    assert installed.run("accounts", "remove", "othershop", "--yes", "--close-open") == 0
    entry = installed.shop.ledger.read_one(ref)
    assert (entry.archived, "account removed" in str(entry.archived_why)) == ("dismissed", True)


def test_open_failures_are_kept_as_told_and_the_account_stays_listed_as_off(installed: Operated) -> None:
    ref = fail_an_order(installed, "VVJ-1-01", "othershop")
    assert installed.run("accounts", "remove", "othershop", "--yes", "--keep-open") == 0
    assert installed.shop.ledger.read_one(ref).has_open_failure
    left = own(installed, "othershop")
    assert (left.is_off, left.credentials, dict(left.settings), left.subscriptions) == (True, None, {}, ())


def test_where_vtex_is_down_the_credentials_stay_and_the_same_again_finishes(installed: Operated) -> None:
    installed.vtex.fail(Fault("status", status=500, route="hook_config", times=1))
    assert installed.run("accounts", "remove", "othershop", "--yes") == 3
    assert "do the same again" in installed.said.out
    assert kept(installed, "othershop")
    assert installed.run("accounts", "remove", "othershop", "--yes") == 0
    assert (installed.vtex.hooks, kept(installed, "othershop")) == ({}, None)


def test_another_system_s_hook_is_left_there(installed: Operated) -> None:
    other = {"filter": {}, "hook": {"url": "https://erp.example/in", "headers": {}}}
    installed.vtex.hooks["KEY-A"] = other
    assert installed.run("accounts", "remove", "othershop", "--yes") == 0
    assert installed.vtex.hooks == {"KEY-A": other}
    assert "left alone" in installed.said.out


@pytest.mark.parametrize("befalls", ["credentials gone", "without VTEX"])
def test_an_account_that_vtex_cannot_be_asked_about_is_removed_all_the_same(befalls: str, installed: Operated) -> None:
    if befalls == "credentials gone":
        installed.deployment.client("ssm").delete_parameter(Name=PREFIX + "othershop")
    options = ["--without-vtex"] if befalls == "without VTEX" else []
    assert installed.run("accounts", "remove", "othershop", "--yes", *options) == 0
    assert own(installed, "othershop").version == 0


def test_a_script_says_yes_and_a_person_types_the_name(installed: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    assert installed.run("accounts", "remove", "othershop") == 1
    assert "--yes" in installed.said.err
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: ACCOUNT)
    assert installed.run("accounts", "remove", "othershop") == 1
    assert own(installed, "othershop").version
    monkeypatch.setattr("builtins.input", lambda _: "othershop")
    assert installed.run("accounts", "remove", "othershop") == 0
