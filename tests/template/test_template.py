"""What template.yaml promises: the decisions that a deployment would only show when it is too late."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

import leasegate
from leasegate import deadletters
from leasegate.session import ANSWER_MARGIN_MS
from leasegate.sweeper import STEP_MS
from leasegate.windows import DEFAULT_RETENTION_DAYS, DEFAULT_WINDOWS, MAX_RETENTION_DAYS, WINDOWS
from leasegate_lambda.queue import SEND_MS
from leasegate_lambda.tracing import OFF_VARIABLE
from scripts import template

FUNCTIONS = ["AcquireFunction", "AdminFunction", "BackfillFunction", "SweepFunction", "AggregatorFunction"]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return template.load()


@pytest.fixture(scope="module")
def resources(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["Resources"]
    return found


@pytest.fixture(scope="module")
def table(document: dict[str, Any]) -> dict[str, Any]:
    return template.table_properties(document)


def of_type(resources: dict[str, Any], kind: str) -> dict[str, Any]:
    return {name: resource for name, resource in resources.items() if resource["Type"] == kind}


def test_every_function_is_known_to_these_tests(resources: dict[str, Any]) -> None:
    assert list(of_type(resources, "AWS::Serverless::Function")) == FUNCTIONS


# --- permissions --------------------------------------------------------------------------------------


def test_the_api_lets_only_signed_callers_in_and_needs_no_more_than_the_right_to_call_it(
    resources: dict[str, Any],
) -> None:
    assert resources["Api"]["Properties"]["Auth"] == {"DefaultAuthorizer": "AWS_IAM", "InvokeRole": "NONE"}


def test_administration_answers_before_the_gateway_gives_up(resources: dict[str, Any]) -> None:
    assert resources["AdminFunction"]["Properties"]["Timeout"] < 29


def test_the_backfill_has_all_the_time_there_is_and_nobody_invokes_it(resources: dict[str, Any]) -> None:
    properties = resources["BackfillFunction"]["Properties"]

    assert properties["Timeout"] == 900
    assert "Events" not in properties


def test_the_sweep_comes_every_minute_unless_it_is_turned_off(
    document: dict[str, Any], resources: dict[str, Any]
) -> None:
    (event,) = resources["SweepFunction"]["Properties"]["Events"].values()

    assert event["Type"] == "Schedule"
    assert event["Properties"]["Schedule"] == "rate(1 minute)"
    assert event["Properties"]["State"] == {"Fn::If": ["SweepsOnSchedule", "ENABLED", "DISABLED"]}
    assert document["Conditions"]["SweepsOnSchedule"] == {"Fn::Equals": [{"Ref": "SweepSchedule"}, "on"]}
    assert document["Parameters"]["SweepSchedule"]["Default"] == "on"


def test_one_sweep_takes_over_from_the_other_and_none_is_repeated(resources: dict[str, Any]) -> None:
    properties = resources["SweepFunction"]["Properties"]

    assert properties["Timeout"] == 60
    assert properties["Timeout"] * 1_000 - STEP_MS == 55_000, "when the last step begins"
    assert properties["EventInvokeConfig"]["MaximumRetryAttempts"] == 0


# --- usage --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mapping(resources: dict[str, Any]) -> dict[str, Any]:
    """Return how the table's stream leads to the function that counts."""
    (event,) = resources["AggregatorFunction"]["Properties"]["Events"].values()
    assert event["Type"] == "DynamoDB"
    found: dict[str, Any] = event["Properties"]
    return found


def test_the_stream_is_read_from_its_beginning_unless_counting_is_turned_off(
    document: dict[str, Any], mapping: dict[str, Any]
) -> None:
    assert mapping["Stream"] == {"Fn::GetAtt": ["Table", "StreamArn"]}
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert mapping["Enabled"] == {"Fn::If": ["CountsUsage", True, False]}
    assert document["Conditions"]["CountsUsage"] == {"Fn::Equals": [{"Ref": "UsageCounting"}, "on"]}
    assert document["Parameters"]["UsageCounting"]["Default"] == "on"


def test_one_record_neither_fails_its_batch_nor_is_it_lost(mapping: dict[str, Any]) -> None:
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BisectBatchOnFunctionError"] is True
    assert mapping["DestinationConfig"] == {
        "OnFailure": {"Destination": {"Fn::GetAtt": ["UsageDeadLetters", "Arn"]}}
    }


def test_an_outage_is_waited_for_and_a_bug_is_not(resources: dict[str, Any], mapping: dict[str, Any]) -> None:
    timeout_ms = resources["AggregatorFunction"]["Properties"]["Timeout"] * 1_000
    attempt_s = (timeout_ms - ANSWER_MARGIN_MS - SEND_MS) // 1_000
    age_s = mapping["MaximumRecordAgeInSeconds"]

    assert attempt_s * mapping["MaximumRetryAttempts"] > age_s == 6 * 3_600
    assert age_s < 24 * 3_600, "as long as the stream keeps what a dead letter leads to"


def test_batches_are_as_the_parameters_say(document: dict[str, Any], mapping: dict[str, Any]) -> None:
    expected = {
        "BatchSize": ("UsageBatchSize", 1_000, 1, 10_000),
        "MaximumBatchingWindowInSeconds": ("UsageBatchWindowSeconds", 5, 0, 300),
        "ParallelizationFactor": ("UsageParallelization", 1, 1, 10),
    }
    for name, (parameter, *values) in expected.items():
        declared = document["Parameters"][parameter]
        assert mapping[name] == {"Ref": parameter}
        assert [declared["Default"], declared["MinValue"], declared["MaxValue"]] == values


def test_windows_and_their_days_are_those_of_the_package(
    document: dict[str, Any], resources: dict[str, Any]
) -> None:
    parameters = document["Parameters"]
    variables = resources["AggregatorFunction"]["Properties"]["Environment"]["Variables"]
    retention = variables["USAGE_RETENTION_DAYS"]["Fn::Sub"]

    assert variables["USAGE_WINDOWS"] == {"Ref": "UsageWindows"}
    assert parameters["UsageWindows"]["Default"] == ",".join(DEFAULT_WINDOWS)
    assert retention == ",".join(f"{window}=${{Usage{window.title()}RetentionDays}}" for window in WINDOWS)
    for window in WINDOWS:
        days = parameters[f"Usage{window.title()}RetentionDays"]
        assert (days["Default"], days["MaxValue"]) == (DEFAULT_RETENTION_DAYS[window], MAX_RETENTION_DAYS)


@pytest.mark.parametrize(
    ("text", "is_allowed"),
    [
        ("hour", True),
        ("hour,day", True),
        ("minute,hour,day,month", True),
        ("", False),
        ("hour,", False),
        ("hour, day", False),
        ("week", False),
    ],
)
def test_only_windows_are_allowed(document: dict[str, Any], text: str, is_allowed: bool) -> None:
    pattern = document["Parameters"]["UsageWindows"]["AllowedPattern"]

    assert bool(re.fullmatch(pattern, text)) is is_allowed


def test_totals_are_kept_until_no_dead_letter_can_be_counted_into_them(
    document: dict[str, Any], resources: dict[str, Any]
) -> None:
    queue_days = resources["UsageDeadLetters"]["Properties"]["MessageRetentionPeriod"] / 86_400

    assert queue_days == 14
    for window in ("Hour", "Day", "Month"):
        assert document["Parameters"][f"Usage{window}RetentionDays"]["MinValue"] >= queue_days + 1


def test_dead_letters_outlive_the_stack_and_are_as_long_as_a_queue_takes(resources: dict[str, Any]) -> None:
    queue = resources["UsageDeadLetters"]

    assert queue["DeletionPolicy"] == "RetainExceptOnCreate"
    assert queue["UpdateReplacePolicy"] == "Retain"
    assert queue["Properties"]["SqsManagedSseEnabled"] is True
    assert queue["Properties"]["MaximumMessageSize"] == deadletters.MAX_BYTES
    assert "QueueName" not in queue["Properties"]


def test_on_aws_the_aggregator_uses_the_queues_own_endpoint(resources: dict[str, Any]) -> None:
    variables = resources["AggregatorFunction"]["Properties"]["Environment"]["Variables"]

    assert variables["SQS_ENDPOINT"] == ""
    assert variables["USAGE_DEAD_LETTERS_URL"] == {"Ref": "UsageDeadLetters"}


def test_leases_lead_to_the_function_that_spends(resources: dict[str, Any]) -> None:
    events = resources["AcquireFunction"]["Properties"]["Events"].values()

    assert {(event["Properties"]["Method"], event["Properties"]["Path"]) for event in events} == {
        ("POST", "/acquire"),
        ("POST", "/acquire/batch"),
        ("POST", "/adjust"),
        ("POST", "/leases/{proxy+}"),
    }


def test_the_fields_of_answers_are_chosen_by_a_parameter(document: dict[str, Any]) -> None:
    variables = document["Globals"]["Function"]["Environment"]["Variables"]

    assert variables["RATE_LIMIT_HEADERS"] == {"Ref": "RateLimitHeaders"}
    assert document["Parameters"]["RateLimitHeaders"]["Default"] == "standard"
    assert document["Parameters"]["RateLimitHeaders"]["AllowedValues"] == ["standard", "legacy", "both"]


def test_traces_name_entities_by_class_unless_a_parameter_says_otherwise(document: dict[str, Any]) -> None:
    variables = document["Globals"]["Function"]["Environment"]["Variables"]

    assert variables["TRACE_ENTITIES"] == {"Ref": "TraceEntities"}
    assert document["Parameters"]["TraceEntities"]["Default"] == "class"
    assert document["Parameters"]["TraceEntities"]["AllowedValues"] == ["class", "id", "off"]


# --- publishing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_layer_change_alone_publishes_a_version(document: dict[str, Any], name: str) -> None:
    effective = document["Globals"]["Function"] | document["Resources"][name]["Properties"]

    assert effective["AutoPublishAlias"] == "live"
    assert effective["AutoPublishAliasAllProperties"] is True
    assert effective["Layers"] == [{"Ref": "LimiterLayer"}]
    assert document["Resources"]["LimiterLayer"]["Properties"]["PublishLambdaVersion"] is True


def test_one_layer_serves_both_processors(resources: dict[str, Any]) -> None:
    layer = resources["LimiterLayer"]

    assert layer["Metadata"]["BuildMethod"] == "makefile"
    assert layer["Properties"]["CompatibleArchitectures"] == ["arm64", "x86_64"]


def test_no_second_stage_appears(document: dict[str, Any]) -> None:
    assert document["Globals"]["Api"]["OpenApiVersion"] == "3.0.1"
    assert document["Resources"]["Api"]["Properties"]["StageName"] == "v1"


def test_there_is_no_deployment_preference(document: dict[str, Any], resources: dict[str, Any]) -> None:
    # The embedded stack has no CodeDeploy; what runs there is what runs on AWS.
    blocks = [document["Globals"]["Function"], *(resources[name]["Properties"] for name in FUNCTIONS)]

    assert not any("DeploymentPreference" in block for block in blocks)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_keeps_its_logs_as_long_as_the_parameter_says(resources: dict[str, Any], name: str) -> None:
    group = resources[name]["Properties"]["LoggingConfig"]["LogGroup"]["Ref"]

    assert resources[group]["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_traces_cover_the_api_and_every_function(document: dict[str, Any], resources: dict[str, Any]) -> None:
    function = document["Globals"]["Function"]

    assert resources["Api"]["Properties"]["TracingEnabled"] == {"Fn::If": ["Traces", True, False]}
    assert function["Tracing"] == {"Fn::If": ["Traces", "Active", "PassThrough"]}
    assert function["Environment"]["Variables"][OFF_VARIABLE] == {"Fn::If": ["Traces", "false", "true"]}
    assert document["Conditions"]["Traces"] == {"Fn::Equals": [{"Ref": "Tracing"}, "on"]}
    assert document["Parameters"]["Tracing"]["Default"] == "on"
    assert not any("Tracing" in resources[name]["Properties"] for name in FUNCTIONS)


def test_the_log_level_is_set_in_one_place(document: dict[str, Any]) -> None:
    function = document["Globals"]["Function"]

    assert function["LoggingConfig"]["ApplicationLogLevel"] == {"Ref": "LogLevel"}
    assert not [name for name in function["Environment"]["Variables"] if "LOG_LEVEL" in name]


def test_on_aws_the_functions_use_dynamodbs_own_endpoint(document: dict[str, Any]) -> None:
    # Declared all the same: `sam local invoke --env-vars` passes only what the template names.
    assert document["Globals"]["Function"]["Environment"]["Variables"]["DYNAMODB_ENDPOINT"] == ""


# --- the table ----------------------------------------------------------------------------------------


def test_the_data_outlives_the_stack(resources: dict[str, Any], table: dict[str, Any]) -> None:
    assert resources["Table"]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert resources["Table"]["UpdateReplacePolicy"] == "Retain"
    assert table["DeletionProtectionEnabled"] == {"Fn::If": ["IsDeletionProtected", True, False]}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    # A name of its own would keep it from being replaced, or found beside a second stack.
    assert "TableName" not in table


def test_the_table_streams_expires_and_encrypts(table: dict[str, Any]) -> None:
    assert table["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_the_one_index_holds_keys_only(table: dict[str, Any]) -> None:
    (index,) = table["GlobalSecondaryIndexes"]

    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}
    # A local index would keep hot partitions from being split.
    assert "LocalSecondaryIndexes" not in table


# --- alarms and outputs -------------------------------------------------------------------------------


def test_alarms_watch_errors_latency_throttles_the_api_degraded_answers_and_usage(
    resources: dict[str, Any],
) -> None:
    alarms = of_type(resources, "AWS::CloudWatch::Alarm").values()

    assert {(alarm["Properties"]["Namespace"], alarm["Properties"]["MetricName"]) for alarm in alarms} == {
        ("AWS/Lambda", "Errors"),
        ("AWS/Lambda", "Duration"),
        ("AWS/DynamoDB", "ReadThrottleEvents"),
        ("AWS/DynamoDB", "WriteThrottleEvents"),
        ("AWS/ApiGateway", "5XXError"),
        ("Leasegate", "Degraded"),
        ("Leasegate", "LeasesFailed"),
        ("AWS/Lambda", "IteratorAge"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
    }


def test_the_alarm_on_age_waits_longer_than_any_batching_window(
    document: dict[str, Any], resources: dict[str, Any]
) -> None:
    alarm = resources["UsageBehindAlarm"]["Properties"]
    longest_s = document["Parameters"]["UsageBatchWindowSeconds"]["MaxValue"]

    assert alarm["Threshold"] == 2 * longest_s * 1_000
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": "AggregatorFunction"}}]


def test_one_dead_letter_is_an_alarm(resources: dict[str, Any]) -> None:
    alarm = resources["UsageDeadLettersAlarm"]["Properties"]

    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
    assert (alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (1, 1)
    assert alarm["Dimensions"] == [
        {"Name": "QueueName", "Value": {"Fn::GetAtt": ["UsageDeadLetters", "QueueName"]}}
    ]


# --- the dashboard ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def widgets(resources: dict[str, Any]) -> list[dict[str, Any]]:
    body = json.loads(resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
    found: list[dict[str, Any]] = body["widgets"]
    return found


def shown(widgets: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Return the namespace and name of every metric that a dashboard shows."""
    return {(metric[0], metric[1]) for widget in widgets for metric in widget["properties"]["metrics"]}


def test_the_dashboard_shows_what_is_decided_what_it_costs_and_how_usage_keeps_up(
    widgets: list[dict[str, Any]],
) -> None:
    own = {
        *("Granted", "Refused", "Degraded", "Unavailable", "RoundTrips", "GuessesMissed"),
        *("UsageRecords", "UsageGroups", "UsageWrites", "UsageDuplicates", "UsageFailed", "UsageDeadLetters"),
        *("UsageLag", "LeasesReleased", "LeasesKept", "LeasesFailed"),
    }
    table = {
        "ConsumedWriteCapacityUnits",
        "ConsumedReadCapacityUnits",
        "WriteThrottleEvents",
        "ReadThrottleEvents",
    }

    assert shown(widgets) == {
        *(("Leasegate", name) for name in own),
        *(("AWS/DynamoDB", name) for name in table),
        ("AWS/Lambda", "Duration"),
        ("AWS/Lambda", "IteratorAge"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
    }


def test_the_dashboard_shows_this_stack_and_no_other(widgets: list[dict[str, Any]]) -> None:
    dimensions = {
        "Leasegate": ("service", "${AWS::StackName}"),
        "AWS/DynamoDB": ("TableName", "${Table}"),
        "AWS/SQS": ("QueueName", "${UsageDeadLetters.QueueName}"),
    }
    for widget in widgets:
        assert widget["properties"]["region"] == "${AWS::Region}"
        for namespace, _, *dimension in (metric[:4] for metric in widget["properties"]["metrics"]):
            if namespace == "AWS/Lambda":
                assert dimension in (["FunctionName", f"${{{name}}}"] for name in FUNCTIONS)
            else:
                assert tuple(dimension) == dimensions[namespace]


def test_the_functions_really_count_what_the_dashboard_shows(widgets: list[dict[str, Any]]) -> None:
    layer = Path(leasegate.__file__).parents[1]
    sources = [*layer.rglob("*.py"), *(template.PATH.parent / "functions").rglob("*.py")]
    written = {
        node.value
        for path in sources
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    own = {name for namespace, name in shown(widgets) if namespace == "Leasegate"}

    # Those of the sweep are put together.
    assert {name.removeprefix("Leases") for name in own} <= written


def test_widgets_do_not_cover_each_other(widgets: list[dict[str, Any]]) -> None:
    places = [
        (widget["x"] + right, widget["y"] + down)
        for widget in widgets
        for right in range(widget["width"])
        for down in range(widget["height"])
    ]

    assert len(set(places)) == len(places)
    assert max(x for x, _ in places) < 24


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_alarm_watches_the_errors_of_every_function(resources: dict[str, Any], name: str) -> None:
    alarms = [alarm["Properties"] for alarm in of_type(resources, "AWS::CloudWatch::Alarm").values()]

    assert [
        alarm["MetricName"]
        for alarm in alarms
        if alarm["MetricName"] == "Errors"
        and alarm["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": name}}]
    ] == ["Errors"]


def test_every_alarm_notifies_the_topic_if_there_is_one(resources: dict[str, Any]) -> None:
    for alarm in of_type(resources, "AWS::CloudWatch::Alarm").values():
        assert alarm["Properties"]["AlarmActions"] == {
            "Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]
        }


def test_the_outputs_say_where_everything_is(document: dict[str, Any]) -> None:
    outputs = document["Outputs"]

    assert {
        *("ApiUrl", "TableName", "LayerArn", "UsageDeadLettersUrl", "DashboardName"),
        *(f"{function}Name" for function in FUNCTIONS),
    } == set(outputs)
    assert outputs["LayerArn"]["Export"]["Name"] == {"Fn::Sub": "${AWS::StackName}-LayerArn"}


def test_every_parameter_has_its_place_in_the_console(document: dict[str, Any]) -> None:
    groups = document["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]

    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(document["Parameters"])


def test_every_parameter_is_used(document: dict[str, Any]) -> None:
    used = set(references({key: document[key] for key in ("Globals", "Resources", "Conditions", "Outputs")}))

    assert set(document["Parameters"]) <= used


def references(node: object) -> list[str]:
    """Collect the names that `Ref` and `Fn::Sub` point at."""
    match node:
        case {"Ref": str(name)}:
            return [name]
        case {"Fn::Sub": str(text)}:
            return re.findall(r"\$\{(\w+)\}", text)
        case dict():
            return [name for value in node.values() for name in references(value)]
        case list():
            return [name for value in node for name in references(value)]
    return []
