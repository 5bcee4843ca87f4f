"""What a service or a function's start-up would refuse, the template refuses before anything is made.

Its patterns are CloudFormation's, which are Java's; they use nothing that Java and Python read in different ways.
"""

import re
from collections.abc import Sequence
from typing import Any
from zoneinfo import available_timezones

import pytest

from operations.deploying.answers import LONGEST_STACK_NAME, MADE_BY_AWS, READ_BY, faults
from operations.deployment.template import parameters, template, variables
from tests.keys import make_cnpj, make_cpf

SCHEDULES = [name for name in parameters() if name.endswith("Schedule")]
EMAILS = ["AlertEmail", "OperationsEmail"]
TEXTS = [name for name, one in parameters().items() if one["Type"] == "String" and "AllowedValues" not in one]
NUMBERS = [name for name, one in parameters().items() if one["Type"] == "Number"]


def takes(name: str, value: str) -> bool:
    """Say whether CloudFormation takes a value: its pattern matches the whole of it."""
    parameter = parameters()[name]
    return bool(re.fullmatch(parameter["AllowedPattern"], value)) and len(value) <= parameter.get("MaxLength", 4096)


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_has_a_pattern_that_says_what_was_expected(name: str) -> None:
    assert {"AllowedPattern", "ConstraintDescription"} <= parameters()[name].keys()
    assert takes(name, parameters()[name]["Default"])


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("value", ['"', "\\", "é", "\n", "a\nb", "\t", "{{resolve:x}}", "$(x)", "<b>"])
def test_no_text_can_leave_its_place_or_be_longer_in_json(name: str, value: str) -> None:
    assert not takes(name, value)
    assert not takes(name, parameters()[name]["Default"] + value)


# ---- Schedules


@pytest.mark.parametrize("alike", [SCHEDULES, EMAILS])
def test_what_is_of_one_kind_has_one_pattern(alike: Sequence[str]) -> None:
    assert len({(parameters()[name]["AllowedPattern"], parameters()[name].get("MaxLength")) for name in alike}) == 1


@pytest.mark.parametrize(
    "value",
    [
        "rate(1 minute)", "rate(5 minutes)", "rate(90 minutes)", "rate(1440 minutes)", "rate(1 hour)",
        "rate(12 hours)", "rate(1 day)", "cron(0 9 ? * MON-FRI *)", "cron(0 9 * * ? *)", "cron(15 8 ? * 2-6 *)",
        "cron(0,30 8-18 ? * MON,WED,FRI *)", "cron(0/5 * * * ? *)", "cron(*/10 7-20/2 ? * * *)", "cron(0 8 1 * ? *)",
        "cron(0 8 L * ? *)", "cron(0 8 15W * ? *)", "cron(0 8 LW JAN,JUL ? 2026-2030)", "cron(0 10 ? * 6L 2026)",
        "cron(0 10 ? * FRI#2 *)",
    ],
)  # fmt: skip
def test_a_schedule_as_eventbridge_scheduler_takes_it(value: str) -> None:
    assert takes(SCHEDULES[0], value)


NO_SCHEDULES = {
    "empty": "", "without-rate": "5 minutes", "without-cron": "0 9 ? * MON-FRI *", "never": "rate(0 minutes)",
    "negative": "rate(-5 minutes)", "a-fraction": "rate(1.5 hours)", "one-in-the-plural": "rate(1 minutes)",
    "five-in-the-singular": "rate(5 minute)", "a-leading-zero": "rate(05 minutes)", "no-blank": "rate(5minutes)",
    "two-blanks": "rate(5  minutes)", "seconds": "rate(30 seconds)", "weeks": "rate(1 week)",
    "upper-case": "Rate(5 minutes)", "not-closed": "rate(5 minutes", "a-blank-behind": "rate(5 minutes) ",
    "once": "at(2026-12-01T09:00:00)", "both-days": "cron(0 9 * * MON-FRI *)", "both-days-any": "cron(0 9 * * * *)",
    "neither-day": "cron(0 9 ? * ? *)", "a-day-and-a-weekday": "cron(0 9 1 * MON *)",
    "five-fields": "cron(0 9 ? * MON-FRI)", "seven-fields": "cron(0 0 9 ? * MON-FRI *)",
    "minute-60": "cron(60 9 ? * MON *)", "hour-24": "cron(0 24 ? * MON *)", "day-32": "cron(0 9 32 * ? *)",
    "day-0": "cron(0 9 0 * ? *)", "month-13": "cron(0 9 1 13 ? *)", "sunday-as-unix-has-it": "cron(0 9 ? * 0-5 *)",
    "no-such-weekday": "cron(0 9 ? * MOM-FRI *)", "a-short-year": "cron(0 9 ? * MON-FRI 26)",
}  # fmt: skip


@pytest.mark.parametrize("value", NO_SCHEDULES.values(), ids=NO_SCHEDULES)
def test_a_schedule_that_eventbridge_scheduler_refuses(value: str) -> None:
    assert not takes(SCHEDULES[0], value)


# ---- E-mails and the time zone


@pytest.mark.parametrize(
    "value",
    [
        "", "fiscal@example.com", "fiscal+nfe@loja.com.br", "a.b-c_d@sub.example.co", "o'hara@example.com",
        "x@xn--80a.com",
    ],
)  # fmt: skip
def test_an_e_mail_s_address_is_taken(value: str) -> None:
    assert takes(EMAILS[0], value)


@pytest.mark.parametrize(
    "value",
    [
        "fiscal", "fiscal@", "@example.com", "fiscal@example", "fiscal@example.", "fiscal@.com",
        "fiscal@exa mple.com", "fiscal @example.com", " fiscal@example.com", "fiscal@example..com",
        "fis..cal@example.com", ".fiscal@example.com", "fiscal.@example.com", "fiscal@example.com,outro@example.com",
        "fiscal@example.com;outro@example.com", "Fiscal <fiscal@example.com>", "fiscal@@example.com",
        "fiscal@192.168.0.1", "f" * 243 + "@example.com",
    ],
)  # fmt: skip
def test_a_mistyped_e_mail_s_address_is_refused(value: str) -> None:
    assert not takes(EMAILS[0], value)


def test_every_time_zone_is_taken_but_the_machine_s_own() -> None:
    refused = {zone for zone in available_timezones() if not takes("AlertTimezone", zone)}

    assert refused <= {"localtime"}


@pytest.mark.parametrize("zone", ["", "america/Sao_Paulo", "America/Sao Paulo", "-03:00", "../etc", "America/", "/UTC"])
def test_what_has_not_the_shape_of_a_time_zone_is_refused(zone: str) -> None:
    assert not takes("AlertTimezone", zone)


# ---- The shop


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VtexAccounts", "luxstore"),
        ("VtexAccounts", " luxstore , other-shop,, "),
        ("CnovaAffiliateIds", "VVJ"),
        ("CnovaAffiliateIds", "vvj, luxstore:CSB ,,other-shop:MBS"),
        ("SellerTaxIds", "11.222.333/0001-81, 12ABC34501DE35,529.982.247-25,"),
        ("SellerTaxIds", f"{make_cnpj()},{make_cpf()}"),
        ("WatchedStatuses", "Invoiced, payment-approved,,handling,"),
        ("VtexBaseUrl", "https://gateway.example.com:8443/vtex/{account}"),
        ("VtexBaseUrl", "http://127.0.0.1:8910/{account}"),
        ("VtexBaseUrl", "http://localhost:8910/{account}"),
        ("VtexBaseUrl", "https://host.docker.internal"),
        ("AwsEndpointUrl", "http://127.0.0.1:4566"),
    ],
)
def test_what_a_shop_may_set_is_taken_and_starts(name: str, value: str) -> None:
    assert takes(name, value)
    assert faults("invoicekey", {name: value}) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VtexAccounts", "lux store"),
        ("VtexAccounts", "LuxStore"),
        ("VtexAccounts", "-luxstore"),
        ("VtexAccounts", "luxstore;other"),
        ("VtexAccounts", "https://luxstore.myvtex.com"),
        ("VtexAccounts", "l" * 64),
        ("CnovaAffiliateIds", "VVJ CSB"),
        ("CnovaAffiliateIds", "luxstore:"),
        ("CnovaAffiliateIds", ":VVJ"),
        ("CnovaAffiliateIds", "luxstore:VVJ:CSB"),
        ("SellerTaxIds", "123"),
        ("SellerTaxIds", "11.222.333/0001-81 12ABC34501DE35"),
        ("WatchedStatuses", ""),
        ("WatchedStatuses", ","),
        ("WatchedStatuses", "payment approved"),
        ("VtexBaseUrl", "http://{account}.vtexcommercestable.com.br"),
        ("VtexBaseUrl", "https://vtexcommercestable.com.br"),
        ("VtexBaseUrl", "http://localhost.example.com/"),
        ("VtexBaseUrl", "ftp://localhost"),
        ("VtexBaseUrl", "http://localhost:80@example.com/{account}"),
        ("VtexBaseUrl", "https://user@{account}.example.com"),
        ("VtexBaseUrl", "https://{account}.example.com:https"),
        ("VtexBaseUrl", "https://[{account}"),
        ("VtexBaseUrl", "https://example.com?a={account}"),
        ("AwsEndpointUrl", "http://example.com"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, value: str) -> None:
    assert not takes(name, value)
    (fault,) = faults("invoicekey", {name: value})
    assert fault.startswith(f"{name}: expected ")


# ---- What no pattern can say, make deploy says


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WatchedStatuses", "invoicd"),
        ("SellerTaxIds", "11.222.333/0001-82"),
        ("AlertTimezone", "America/Sao_Paolo"),
        ("VtexBaseUrl", "https://{account}.example.com:99999"),
    ],
)
def test_what_a_function_would_refuse_when_it_starts_is_told_by_the_parameter_s_name(name: str, value: str) -> None:
    assert takes(name, value)
    (fault,) = faults("invoicekey", {name: value})
    assert fault.startswith(f"{name}: expected ")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["", "1.5", "1e2", "-1", "+5", "ten", "9" * 8])
def test_a_number_is_whole_and_within_its_bounds(name: str, value: str) -> None:
    (fault,) = faults("invoicekey", {name: value})
    assert re.match(rf"{name}: expected a whole number from [0-9]+ to [0-9]+, got '", fault)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("bound", ["MinValue", "MaxValue", "Default"])
def test_each_number_in_its_bounds_starts(name: str, bound: str) -> None:
    assert faults("invoicekey", {name: str(parameters()[name][bound])}) == []


def test_a_choice_names_what_may_be_chosen() -> None:
    assert faults("invoicekey", {"AlertLanguage": "pt"}) == ["AlertLanguage: expected one of pt-BR, en, got 'pt'"]


def test_a_parameter_that_is_none_is_told_for_sam_passes_over_it() -> None:
    (fault,) = faults("invoicekey", {"CnovaAffiliateId": "VVJ"})
    assert fault.startswith("CnovaAffiliateId: template.yaml has no such parameter")


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert len(faults("s" * 123, {"AlertEmail": "fiscal", "GuardSchedule": "hourly", "AlertBurst": "0"})) == 4


def test_the_defaults_and_a_long_name_are_well() -> None:
    assert faults("s" * 122, {name: str(one["Default"]) for name, one in parameters().items()}) == []


# ---- Lambda's 4 KB of environment

FUNCTIONS = [name for name, one in template()["Resources"].items() if one["Type"] == "AWS::Serverless::Function"]
LISTS = {"VtexAccounts": "a-shop,", "CnovaAffiliateIds": "a-shop:VVJ,", "SellerTaxIds": "11222333000181,"}
"""An entry of each, as long lists have them."""


def full(name: str) -> str:
    """Return as long a value as the template takes."""
    return LISTS[name] * (int(parameters()[name]["MaxLength"]) // len(LISTS[name]))


def test_every_function_is_looked_at() -> None:
    assert sorted(READ_BY) == sorted(FUNCTIONS)


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_a_function_is_given_has_a_longest_length(name: str) -> None:
    given = any({"Ref": name} in variables(function).values() for function in FUNCTIONS)
    assert not given or "MaxLength" in parameters()[name]


@pytest.mark.parametrize("name", LISTS)
def test_one_full_list_fits_beside_the_other_settings_defaults(name: str) -> None:
    assert takes(name, full(name))
    assert faults("invoicekey-production", {name: full(name)}) == []


def test_lists_that_do_not_fit_together_are_one_line_with_function_size_parameter_and_remedy() -> None:
    answers = {"CnovaAffiliateIds": LISTS["CnovaAffiliateIds"] * 100, "SellerTaxIds": full("SellerTaxIds")}
    (fault,) = faults("invoicekey", answers)
    assert re.fullmatch(
        r"SellerTaxIds: 1500 characters are too many\. The environment of CheckInvoiceFunction would have "
        r"4,\d\d\d bytes, and Lambda takes 4,096\. Shorten it: CNPJs need no dots, slashes and dashes",
        fault,
    )


def test_a_list_that_is_too_long_by_itself_is_one_line_too() -> None:
    (fault,) = faults("invoicekey", {"VtexAccounts": ",".join(f"shop-{number}" for number in range(250))})
    assert re.search(
        r"VtexAccounts: expected account names .* 1,500 characters at most, got 'shop-0,.*… \(\d+ char", fault
    )
    assert "\n" not in fault


def test_what_aws_makes_is_no_longer_than_it_is_taken_for() -> None:
    """The longest of each kind: regions have up to 14 characters, queues' names 80, what CloudFormation adds 13."""
    stack, added, region = "s" * LONGEST_STACK_NAME, "-XXXXXXXXXXXX", "ap-southeast-1"
    resources = template()["Resources"]
    longest_id = "x" * max(len(name) for name in resources if name.endswith(("Topic", "Table", "Secret", "Queue")))
    made = {
        "topic": f"arn:aws-us-gov:sns:{region}:123456789012:{stack}-{longest_id}{added}",
        "secret": f"arn:aws-us-gov:secretsmanager:{region}:123456789012:secret:{longest_id}{added}-XXXXXX",
        "table": f"{stack}-{longest_id}{added}",
        "queue": f"https://sqs.{region}.amazonaws.com.cn/123456789012/{'q' * 80}",
        "hook": f"https://xxxxxxxxxx.execute-api.{region}.amazonaws.com.cn/hooks/vtex/orders",
        "dashboard": template()["Outputs"]["DashboardUrl"]["Value"]["Fn::Sub"]
        .replace("${AWS::Region}", region)
        .replace("${AWS::StackName}", stack),
    }
    assert {kind: text for kind, text in made.items() if len(text) > MADE_BY_AWS + len(stack)} == {}


# ---- Names that are unique in more than the stack


def test_the_dashboard_s_name_has_the_region_in_it_for_it_is_unique_over_all_of_them() -> None:
    assert template()["Resources"]["Dashboard"]["Properties"]["DashboardName"] == {
        "Fn::Sub": "${AWS::StackName}-${AWS::Region}"
    }


def test_whoever_leads_to_the_dashboard_names_it_alike() -> None:
    output = template()["Outputs"]["DashboardUrl"]["Value"]

    assert output["Fn::Sub"].endswith("dashboards:name=${AWS::StackName}-${AWS::Region}")


UNIQUE = ("Name", "AlarmName", "DashboardName", "LogGroupName", "TopicName", "QueueName", "TableName", "RoleName",
          "FunctionName", "LayerName", "AliasName", "BucketName", "GroupName")  # fmt: skip


def test_a_name_that_somebody_gave_has_the_stack_s_in_it() -> None:
    given = {
        f"{resource}.{name}": properties[name]
        for resource, one in template()["Resources"].items()
        for properties in [one.get("Properties", {})]
        for name in UNIQUE
        if name in properties and not (name == "FunctionName" and "Ref" in properties[name])
    }

    assert {"Dashboard.DashboardName", "ApiLogs.LogGroupName", "QuietAlarm.AlarmName"} <= given.keys()
    assert [name for name, value in given.items() if "${AWS::StackName}" not in str(value)] == []


def test_schedules_have_the_names_that_cloudformation_gives() -> None:
    events = [
        event["Properties"]
        for function in FUNCTIONS
        for event in template()["Resources"][function]["Properties"].get("Events", {}).values()
        if event["Type"] == "ScheduleV2"
    ]

    assert len(events) == len(SCHEDULES)
    assert all(event["OmitName"] is True for event in events)


def test_the_access_log_is_none_of_those_that_share_a_policy_of_5120_characters() -> None:
    name = template()["Resources"]["ApiLogs"]["Properties"]["LogGroupName"]["Fn::Sub"]

    assert name.startswith("/aws/vendedlogs/")


# ---- Runs that failed or could not begin (docs/decisions/0019-runs-that-fail.md)


def properties_of(function: str) -> Any:
    return template()["Resources"][function]["Properties"]


@pytest.mark.parametrize("function", ["RecheckFailuresFunction", "DrainFeedFunction", "GuardHookFunction"])
def test_a_run_that_failed_is_not_repeated_where_the_next_one_does_it_all(function: str) -> None:
    assert properties_of(function)["EventInvokeConfig"]["MaximumRetryAttempts"] == 0


def test_a_reminder_is_tried_again_and_waits_as_long_as_it_is_wanted() -> None:
    six_hours = 6 * 3600  # digest.WANTED_FOR
    reminder = properties_of("SendDigestFunction")["Events"]["Reminder"]["Properties"]

    assert properties_of("SendDigestFunction")["EventInvokeConfig"] == {
        "MaximumRetryAttempts": 2,
        "MaximumEventAgeInSeconds": six_hours,
    }
    assert reminder["RetryPolicy"]["MaximumEventAgeInSeconds"] == six_hours
    assert "<aws.scheduler.scheduled-time>" in reminder["Input"]


def seconds(rate: str) -> int:
    found = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", rate)
    assert found
    return int(found[1]) * {"minute": 60, "hour": 3600, "day": 86400}[found[2]]


@pytest.mark.parametrize(
    ("function", "event"),
    [
        ("RecheckFailuresFunction", "Due"),
        ("DrainFeedFunction", "Feed"),
        ("GuardHookFunction", "Guard"),
        ("SendDigestFunction", "Digest"),
    ],
)
def test_a_late_run_is_given_up_when_the_next_one_comes(function: str, event: str) -> None:
    schedule = properties_of(function)["Events"][event]["Properties"]
    every = seconds(parameters()[schedule["ScheduleExpression"]["Ref"]]["Default"])

    assert schedule["RetryPolicy"]["MaximumEventAgeInSeconds"] <= every
    if function != "SendDigestFunction":  # whose leases keep its runs apart
        assert properties_of(function)["EventInvokeConfig"]["MaximumEventAgeInSeconds"] <= every


def test_what_is_read_again_for_the_reminder_is_not_read_after_it() -> None:
    event = properties_of("RecheckFailuresFunction")["Events"]["BeforeReminder"]["Properties"]
    at = [re.match(r"cron\((\d+) (\d+) ", parameters()[name]["Default"]) for name in
          ("ReminderRecheckSchedule", "ReminderSchedule")]  # fmt: skip
    begin, end = (int(one[2]) * 3600 + int(one[1]) * 60 for one in at if one)

    assert 0 < event["RetryPolicy"]["MaximumEventAgeInSeconds"] <= end - begin


def test_every_scheduled_function_has_a_decision() -> None:
    scheduled = [
        function
        for function in FUNCTIONS
        if any(event["Type"] == "ScheduleV2" for event in properties_of(function).get("Events", {}).values())
    ]

    assert len(scheduled) == 4
    for function in scheduled:
        assert properties_of(function)["EventInvokeConfig"].keys() == {
            "MaximumRetryAttempts",
            "MaximumEventAgeInSeconds",
        }
        assert all("RetryPolicy" in event["Properties"] for event in properties_of(function)["Events"].values())
