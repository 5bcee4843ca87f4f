"""The template keeps what the outside relies on, and gives the functions what they read."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from operations.deploying.answers import READ_BY
from operations.deployment.template import ROOT, template

__all__ = ["ROOT", "template"]

FOURTEEN_DAYS = 14 * 24 * 3600

PARAMETERS = {
    "Architecture": "arm64",
    "VtexBaseUrl": "https://{account}.vtexcommercestable.com.br",
    "VtexAccounts": "",
    "CnovaAffiliateIds": "",
    "SellerTaxIds": "",
    "WatchedStatuses": "invoiced",
    "AlertEmail": "",
    "OperationsEmail": "",
    "AlertLanguage": "pt-BR",
    "AlertTimezone": "America/Sao_Paulo",
    "InvoiceGraceSeconds": 600,
    "KeyGraceSeconds": 0,
    "RetryBaseSeconds": 60,
    "VtexRequestsPerMinute": 1200,
    "QuietAlarmHours": 48,
    "TrackingGraceHours": 0,
    "Monitoring": "basic",
    "AlertBurst": 5,
    "AlertWindowMinutes": 15,
    "SummaryOrders": 20,
    "ChatAlerts": "no",
    "DeskLinks": "yes",
    "ReminderSchedule": "cron(0 9 ? * MON-FRI *)",
    "AwsEndpointUrl": "",
}
OUTPUTS: dict[str, Any] = {
    "HookUrl": {"Fn::Sub": "${Api.ApiEndpoint}/hooks/vtex/orders"},
    "HookSecretArn": {"Fn::GetAtt": "HookSecret.Id"},
    "DeskSecretArn": {"Fn::GetAtt": "DeskSecret.Id"},
    "VtexCredentialsSecretArn": {"Fn::GetAtt": "VtexCredentialsSecret.Id"},
    "HookQueueUrl": {"Ref": "HookQueue"},
    "HookDeadLetterQueueUrl": {"Ref": "HookDeadLetterQueue"},
    "FailureQueueUrl": {"Ref": "FailureQueue"},
    "UndeliveredRecordsQueueUrl": {"Ref": "UndeliveredRecordsQueue"},
    "RecordTopicArn": {"Ref": "RecordTopic"},
    "AlertTopicArn": {"Ref": "AlertTopic"},
    "OperationsTopicArn": {"Ref": "OperationsTopic"},
    "LedgerTableName": {"Ref": "LedgerTable"},
}
FUNCTIONS = {
    "ReceiveHookFunction": ("functions/receive_hook", "receive_hook.handler"),
    "CheckInvoiceFunction": ("functions/check_invoice", "check_invoice.handler"),
    "RecheckFailuresFunction": ("functions/recheck_failures", "recheck_failures.handler"),
    "DrainFeedFunction": ("functions/drain_feed", "drain_feed.handler"),
    "GuardHookFunction": ("functions/guard_hook", "guard_hook.handler"),
    "SendDigestFunction": ("functions/send_digest", "send_digest.handler"),
    "DeskFunction": ("functions/desk", "desk.handler"),
}
EVERYWHERE = {"POWERTOOLS_SERVICE_NAME"}
"""What Globals give every function, and some settings read."""


def properties(resource: str) -> dict[str, Any]:
    found: dict[str, Any] = template()["Resources"][resource]["Properties"]
    return found


def variables(function: str) -> dict[str, Any]:
    found: dict[str, Any] = properties(function)["Environment"]["Variables"]
    return found


def deployed(value: Any) -> str:
    """Return what a variable holds in a stack with every parameter at its default."""
    match value:
        case {"Ref": str(name)} if name in template()["Parameters"]:
            return str(template()["Parameters"][name]["Default"])
        case {"Fn::If": [_, then, _]}:
            return deployed(then)
        case {"Ref": name} | {"Fn::GetAtt": name}:
            return f"of {name}"
        case _:
            return str(value)


class Asked(Mapping[str, str]):
    """An environment that notes which of its variables are read."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        return self._environment[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._environment)

    def __len__(self) -> int:
        return len(self._environment)


# ---- What the outside relies on


@pytest.mark.parametrize(("name", "default"), PARAMETERS.items())
def test_a_parameter_has_its_default(name: str, default: object) -> None:
    assert template()["Parameters"][name]["Default"] == default


def test_every_parameter_has_a_default_so_that_a_deployment_needs_none() -> None:
    assert [name for name, parameter in template()["Parameters"].items() if "Default" not in parameter] == []


def test_every_parameter_has_its_place_in_the_console() -> None:
    groups = template()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]

    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(template()["Parameters"])


@pytest.mark.parametrize(("name", "value"), OUTPUTS.items())
def test_an_output_tells_what_its_name_says(name: str, value: object) -> None:
    assert template()["Outputs"][name]["Value"] == value


def test_the_api_s_routes_are_the_hook_and_the_desk() -> None:
    routes = [one for one in template()["Resources"].values() if one["Type"] == "AWS::ApiGatewayV2::Route"]

    assert [route["Properties"]["RouteKey"] for route in routes] == ["POST /hooks/vtex/orders", "ANY /desk/{token}"]


PROPERTIES: dict[str, tuple[str, str, Any]] = {
    "the stage has no name in the address": ("ApiStage", "StageName", "$default"),
    "the receiver gets events in the format that it reads": ("HookIntegration", "PayloadFormatVersion", "2.0"),
    "events are kept for fourteen days": ("HookQueue", "MessageRetentionPeriod", FOURTEEN_DAYS),
    "dead letters are kept for fourteen days": ("HookDeadLetterQueue", "MessageRetentionPeriod", FOURTEEN_DAYS),
    "dead letters are made by age, and the count is only a backstop": (
        "HookQueue",
        "RedrivePolicy",
        {"deadLetterTargetArn": {"Fn::GetAtt": "HookDeadLetterQueue.Arn"}, "maxReceiveCount": 1000},
    ),
    "the stack generates the first hook secret, and no previous one": (
        "HookSecret",
        "GenerateSecretString",
        {
            "SecretStringTemplate": '{"previous": ""}',
            "GenerateStringKey": "current",
            "PasswordLength": 48,
            "ExcludePunctuation": True,
        },
    ),
}


@pytest.mark.parametrize(("resource", "name", "value"), PROPERTIES.values(), ids=PROPERTIES)
def test_a_property_is_what_is_promised(resource: str, name: str, value: object) -> None:
    assert properties(resource)[name] == value


def test_as_many_checkers_as_are_wanted_take_batches_of_ten_and_answer_for_each_message() -> None:
    source = properties("CheckInvoiceFunction")["Events"]["HookQueue"]["Properties"]

    assert source["Queue"] == {"Fn::GetAtt": "HookQueue.Arn"}
    assert source["BatchSize"] == 10
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    wanted = {"Ref": "MaximumConcurrency"}
    assert source["ScalingConfig"] == {"MaximumConcurrency": {"Fn::If": ["UsualConcurrency", 2, wanted]}}
    assert variables("CheckInvoiceFunction")["MAXIMUM_CONCURRENCY"] == wanted  # for its share of the pace


# ---- Functions


@pytest.mark.parametrize(("function", "place"), FUNCTIONS.items())
def test_a_function_is_where_the_template_says(function: str, place: tuple[str, str]) -> None:
    folder, handler = place

    assert (properties(function)["CodeUri"], properties(function)["Handler"]) == place
    assert (ROOT / folder / f"{handler.removesuffix('.handler')}.py").is_file()


@pytest.mark.parametrize(("function", "settings"), READ_BY.items())
def test_a_function_is_given_the_variables_that_it_reads_and_no_others(function: str, settings: Any) -> None:
    given = {name: deployed(value) for name, value in variables(function).items()}
    environment = Asked(given | dict.fromkeys(EVERYWHERE, "invoicekey"))

    settings.read(environment)

    assert environment.names - EVERYWHERE == variables(function).keys()


@pytest.mark.parametrize("function", ["CheckInvoiceFunction", "SendDigestFunction", "DeskFunction"])
def test_a_function_whose_leases_follow_its_timeout_is_told_it(function: str) -> None:
    assert variables(function)["FUNCTION_TIMEOUT_SECONDS"] == str(properties(function)["Timeout"])


def test_the_emulator_s_address_is_absent_where_it_is_empty() -> None:
    everywhere = template()["Globals"]["Function"]["Environment"]["Variables"]

    assert everywhere["AWS_ENDPOINT_URL"] == {
        "Fn::If": ["IsEmulated", {"Ref": "AwsEndpointUrl"}, {"Ref": "AWS::NoValue"}]
    }


# ---- What sam makes of functions and layers: Makefiles, for the sake of bytecode (tests/stack/test_build.py)


def made_by(resource: str, architecture: str) -> Path:
    """Return the Makefile that sam runs for a function or a layer."""
    metadata, given = template()["Resources"][resource]["Metadata"], properties(resource)
    context = metadata.get("ContextPath") or given.get("CodeUri") or given["ContentUri"]
    folder: str = context["Fn::Sub"].replace("${Architecture}", architecture) if isinstance(context, dict) else context
    assert metadata["BuildMethod"] == "makefile"
    return ROOT / folder / "Makefile"


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
@pytest.mark.parametrize("resource", [*FUNCTIONS, "DependenciesLayer", "InvoicekeyLayer"])
def test_what_is_deployed_is_compiled_by_the_python_that_runs_it(resource: str, architecture: str) -> None:
    makefile = made_by(resource, architecture)
    recipes = [makefile, *makefile.parent.parent.glob("*.mk")]
    told = "".join(recipe.read_text(encoding="utf-8") for recipe in recipes)

    assert set(re.findall(r"\bpython[\d.]*(?= -)", told)) == {template()["Globals"]["Function"]["Runtime"]}
    assert "--invalidation-mode unchecked-hash" in told


@pytest.mark.parametrize("layer", ["DependenciesLayer", "InvoicekeyLayer"])
def test_a_layer_is_built_for_the_architecture_that_it_serves(layer: str) -> None:
    architecture = {"Ref": "Architecture"}

    assert template()["Resources"][layer]["Metadata"]["BuildArchitecture"] == architecture
    assert properties(layer)["CompatibleArchitectures"] == [architecture]


# ---- Queues, secrets, ledger


def test_a_message_stays_hidden_for_six_times_the_checker_s_timeout() -> None:
    assert properties("HookQueue")["VisibilityTimeout"] >= 6 * properties("CheckInvoiceFunction")["Timeout"]


@pytest.mark.parametrize(
    "resource",
    ["HookSecret", "VtexCredentialsSecret", "LedgerTable", "FailureQueue", "HookQueue", "HookDeadLetterQueue"],
)
def test_what_nobody_could_bring_back_outlives_the_stack(resource: str) -> None:
    kept = template()["Resources"][resource]

    assert (kept["DeletionPolicy"], kept["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


# ---- Security


PLACES = "/vtex-credentials/${AWS::StackName}/"
"""What the names begin with of the parameters that hold the accounts' own credentials."""


def roles() -> dict[str, Any]:
    return {name: r["Properties"] for name, r in template()["Resources"].items() if r["Type"] == "AWS::IAM::Role"}


def rights(role: str) -> list[Any]:
    """Return what a role may do, in a stack that has a desk."""
    found = [one for policy in roles()[role]["Policies"] for one in policy["PolicyDocument"]["Statement"]]
    return [one["Fn::If"][1] if "Fn::If" in one else one for one in found]


def test_no_role_has_rights_to_everything() -> None:
    for name in roles():
        for statement in rights(name):
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            assert not [action for action in actions if "*" in action], name
            assert statement["Resource"] != "*", name


def test_every_function_has_a_role_of_its_own() -> None:
    used = [properties(function)["Role"]["Fn::GetAtt"].removesuffix(".Arn") for function in FUNCTIONS]

    assert sorted(used) == sorted(roles())


def test_what_is_open_to_the_public_and_what_only_sends_cannot_read_the_credentials_of_vtex() -> None:
    readers = {name for name, role in roles().items() if "VtexCredentialsSecret" in repr(role)}

    assert readers == {"CheckInvoiceRole", "DrainFeedRole", "GuardHookRole"}


def test_those_alone_who_ask_vtex_read_what_accounts_have_in_places_of_their_own() -> None:
    readers = {name for name, role in roles().items() if "ssm:" in repr(role)}

    assert readers == {"CheckInvoiceRole", "DrainFeedRole", "GuardHookRole"}


@pytest.mark.parametrize("role", ["CheckInvoiceRole", "DrainFeedRole", "GuardHookRole"])
def test_who_asks_vtex_reads_the_accounts_places_of_this_stack_and_decrypts_nothing_else(role: str) -> None:
    """The guard besides decrypts what is published to the encrypted topic: a right that covers both."""
    there = {"Fn::Sub": f"arn:${{AWS::Partition}}:ssm:${{AWS::Region}}:${{AWS::AccountId}}:parameter{PLACES}*"}
    decrypts = {"StringLike": {"kms:EncryptionContext:PARAMETER_ARN": there}}

    reading = {"Effect": "Allow", "Action": "ssm:GetParameters", "Resource": there}
    key = {"Fn::GetAtt": "OperationsKey.Arn"}
    decrypting = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": key, "Condition": decrypts}
    assert [one for one in rights(role) if one["Action"] == "ssm:GetParameters"] == [reading]
    if role == "GuardHookRole":
        decrypting = {"Effect": "Allow", "Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": key}
    assert [one for one in rights(role) if "kms:" in str(one["Action"])] == [decrypting]


@pytest.mark.parametrize("function", ["CheckInvoiceFunction", "DrainFeedFunction", "GuardHookFunction"])
def test_the_names_that_a_function_reads_are_those_that_its_role_may(function: str) -> None:
    assert variables(function)["VTEX_CREDENTIALS_PREFIX"] == {"Fn::Sub": PLACES}


def test_the_desk_reads_neither_the_hook_s_secret_nor_an_item_but_by_its_key_and_its_index() -> None:
    allowed = {json.dumps(one["Resource"]): one["Action"] for one in rights("DeskRole")}

    assert "HookSecret" not in repr(allowed)
    assert [action for where, action in allowed.items() if "/index/" in where] == ["dynamodb:Query"]
    assert "dynamodb:Scan" not in repr(allowed)


def test_the_desk_writes_orders_keys_and_what_is_deferred_alone() -> None:
    (writing,) = [one for one in rights("DeskRole") if "dynamodb:PutItem" in one["Action"]]

    assert writing["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["order#*", "held#*", "key#*"]}}


# ---- DeskLinks=no


def without_desk(value: Any) -> Any:
    """Return a part of the template as CloudFormation has it with DeskLinks=no."""
    match value:
        case {"Fn::If": ["HasDesk", _, otherwise]}:
            return without_desk(otherwise)
        case dict():
            kept = {name: without_desk(one) for name, one in value.items()}
            return {name: one for name, one in kept.items() if one != {"Ref": "AWS::NoValue"}}
        case list():
            return [one for one in map(without_desk, value) if one != {"Ref": "AWS::NoValue"}]
        case _:
            return value


def of_the_desk(kind: str) -> set[str]:
    return {name for name, one in template()[kind].items() if one.get("Condition") == "HasDesk"}


def test_without_a_desk_nothing_is_made_for_it_and_nothing_refers_to_it() -> None:
    made = {name: one for name, one in template()["Resources"].items() if name not in of_the_desk("Resources")}
    told = {name: one for name, one in template()["Outputs"].items() if name not in of_the_desk("Outputs")}
    left = json.dumps(without_desk([made, told]))

    assert of_the_desk("Resources") >= {
        "DeskRoute", "DeskIntegration", "DeskPermission", "DeskFunction", "DeskRole", "DeskLogs", "DeskSecret",
    }  # fmt: skip
    assert re.findall(r"\bDesk\w*", left) == []


def test_without_a_desk_no_function_has_its_address_or_may_read_its_key() -> None:
    for function in ("CheckInvoiceFunction", "SendDigestFunction"):
        given = without_desk(variables(function))
        assert (given["DESK_URL"], given["DESK_SECRET_ARN"]) == ("", "")
        assert "DeskSecret" not in repr(without_desk(properties(function.replace("Function", "Role"))))


def test_with_a_desk_those_who_write_links_and_the_desk_itself_alone_read_its_key() -> None:
    readers = {name for name in roles() if "DeskSecret" in repr(rights(name))}

    assert readers == {"CheckInvoiceRole", "SendDigestRole", "DeskRole"}


def test_the_desk_s_key_goes_with_the_desk() -> None:
    assert "DeletionPolicy" not in template()["Resources"]["DeskSecret"]


QUEUES = ("HookQueue", "HookDeadLetterQueue", "FailureQueue", "UndeliveredRecordsQueue")


@pytest.mark.parametrize("to", [*QUEUES, "RecordTopic", "AlertTopic", "OperationsTopic"])
def test_nothing_gets_in_but_over_tls(to: str) -> None:
    denied = [s for s in properties(f"{to}Policy")["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]

    assert [(one["Principal"], one["Condition"]) for one in denied] == [("*", {"Bool": {"aws:SecureTransport": False}})]


@pytest.mark.parametrize("queue", QUEUES)
def test_a_queue_is_encrypted_and_its_policy_outlives_the_stack_with_it(queue: str) -> None:
    statements = properties(f"{queue}Policy")["PolicyDocument"]["Statement"]

    assert properties(queue)["SqsManagedSseEnabled"] is True
    assert properties(f"{queue}Policy")["Queues"] == [{"Ref": queue}]
    assert [one["Resource"] for one in statements] == [{"Fn::GetAtt": f"{queue}.Arn"}] * len(statements)  # as SQS wants
    assert template()["Resources"][f"{queue}Policy"]["DeletionPolicy"] == "RetainExceptOnCreate"


@pytest.mark.parametrize("queue", ["FailureQueue", "UndeliveredRecordsQueue"])
def test_sns_alone_may_send_records_and_of_the_record_topic_alone(queue: str) -> None:
    (allowed,) = [s for s in properties(f"{queue}Policy")["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"]

    assert (allowed["Principal"], allowed["Action"]) == ({"Service": "sns.amazonaws.com"}, "sqs:SendMessage")
    assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Ref": "RecordTopic"}}}


def test_the_failure_queue_gets_records_as_they_are_and_what_cannot_be_delivered_is_kept() -> None:
    subscription = properties("FailureQueueSubscription")

    assert (subscription["TopicArn"], subscription["RawMessageDelivery"]) == ({"Ref": "RecordTopic"}, True)
    assert subscription["Endpoint"] == {"Fn::GetAtt": "FailureQueue.Arn"}
    assert subscription["RedrivePolicy"] == {"deadLetterTargetArn": {"Fn::GetAtt": "UndeliveredRecordsQueue.Arn"}}


def test_no_record_is_published_before_somebody_gets_it() -> None:
    before = template()["Resources"]["CheckInvoiceFunction"]["DependsOn"]

    assert {"FailureQueueSubscription", "FailureQueuePolicy", "UndeliveredRecordsQueuePolicy"} <= set(before)


def test_topics_are_encrypted() -> None:
    assert properties("AlertTopic")["KmsMasterKeyId"] == "alias/aws/sns"
    assert properties("OperationsTopic")["KmsMasterKeyId"] == {"Ref": "OperationsKey"}


def test_the_ledger_can_be_brought_back_to_any_second() -> None:
    assert properties("LedgerTable")["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_the_endpoint_is_throttled() -> None:
    settings = properties("ApiStage")["DefaultRouteSettings"]

    assert settings["ThrottlingRateLimit"] > 0
    assert settings["ThrottlingBurstLimit"] > 0


def test_the_desk_s_route_is_throttled_by_itself_once_it_is_there() -> None:
    ((route, settings),) = properties("ApiStage")["RouteSettings"]["Fn::If"][1].items()

    assert route == properties("DeskRoute")["RouteKey"]
    assert settings == {"ThrottlingBurstLimit": 20, "ThrottlingRateLimit": 10}
    assert "${DeskRoute}" in repr(properties("ApiStage")["Description"]["Fn::If"][1])


def test_logs_are_not_kept_for_ever() -> None:
    groups = [r for r in template()["Resources"].values() if r["Type"] == "AWS::Logs::LogGroup"]

    assert len(groups) == len(FUNCTIONS) + 1
    assert all(group["Properties"]["RetentionInDays"] for group in groups)


# ---- Alarms and the runbook


def alarms() -> dict[str, Any]:
    kinds = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
    found = {name: r["Properties"] for name, r in template()["Resources"].items() if r["Type"] in kinds}
    return {name: alarm for name, alarm in found.items() if "AlarmActions" in alarm}


def test_an_alarm_goes_to_the_operators_and_names_a_section_of_the_runbook() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", runbook, re.MULTILINE)
    sections = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}

    for name, alarm in alarms().items():
        named = re.search(r"See docs/runbook\.md#([a-z-]+)$", alarm["AlarmDescription"])
        assert alarm["AlarmActions"] == [{"Ref": "OperationsTopic"}], name
        assert named, name
        assert named[1] in sections, name


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_that_fails_or_is_throttled_raises_an_alarm(function: str) -> None:
    dimensions = [{"Name": "FunctionName", "Value": {"Ref": function}}]
    watched = {alarm["MetricName"] for alarm in alarms().values() if alarm.get("Dimensions") == dimensions}

    assert watched == {"Errors", "Throttles"}


# ---- Alarms: a policy or a key that leaves CloudWatch out swallows them without a word


def test_alarms_may_be_published_to_the_operations_topic() -> None:
    statements = properties("OperationsTopicPolicy")["PolicyDocument"]["Statement"]

    assert {
        "Sid": "Alarms",
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": {"Ref": "OperationsTopic"},
        "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
    } in statements


def test_alarms_may_use_the_key_of_the_operations_topic() -> None:
    statements = properties("OperationsKey")["KeyPolicy"]["Statement"]

    assert {"kms:Decrypt", "kms:GenerateDataKey*"} in [
        set(one["Action"]) for one in statements if one["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    ]


# ---- The composite alarm: CloudWatch looks at what spans more than a day once an hour, each at a minute of its own


def test_a_composite_is_kept_still_by_what_came_before_its_parts_were_looked_at() -> None:
    rule = properties("QuietAlarm")["AlarmRule"]["Fn::Sub"]
    parts = re.findall(r'(NOT )?ALARM\("\$\{(\w+)\}"\)', rule)
    (stilling,) = [properties(name) for negated, name in parts if negated]
    ringing = [properties(name) for negated, name in parts if not negated]

    assert " OR " not in rule
    assert {alarm["MetricName"] for alarm in ringing} == {stilling["MetricName"]}
    assert 2 * 3600 < stilling["Period"] * stilling["EvaluationPeriods"] <= 86_400
    assert stilling["DatapointsToAlarm"] == 1
