"""`leasegate trace`: traces by id, and the newest of a function, as bars, tables, JSON and a page."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from rich.console import Console

from leasegate.cli.trace import _OUTPUTS
from leasegate.cli.waterfall import distribution, traces_table, waterfall
from leasegate.cli.xray import KEPT_MS, read_trace_id
from leasegate.tracing import Call, Trace, read_traces
from scripts import template
from tests.command import NOON_MS, Command
from tests.traces.stored.serving import ACQUIRE, FOLDER, SEQUENTIAL, StoredXRay, stored, trace_id

ALL = ("cold_cascade", "granted", "in_progress", "refused", "repeated", "staircase", "too_long")
UNKNOWN = "1-695661c0-000000000000000000000000"
LAST = ("trace", "--stack", "leasegate", "--last")


class Stack:
    """CloudFormation's client, for a stack that names two functions."""

    exceptions = boto3.client("cloudformation", region_name="us-east-1").exceptions

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        if StackName != "leasegate":
            answer: Any = {
                "Error": {"Code": "ValidationError", "Message": f"Stack with id {StackName} does not exist"}
            }
            raise self.exceptions.ClientError(answer, "DescribeStacks")
        outputs = {"AcquireFunctionName": ACQUIRE, "SweepFunctionName": SEQUENTIAL}
        return {"Stacks": [{"Outputs": [{"OutputKey": k, "OutputValue": v} for k, v in outputs.items()]}]}


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leasegate.cli.xray._WAITS_S", (0, 0, 0))


@pytest.fixture
def xray() -> StoredXRay:
    return StoredXRay(*ALL)


@pytest.fixture
def leasegate(xray: StoredXRay) -> Command:
    command = Command()
    command.clients = {"xray": xray.client(), "cloudformation": Stack()}
    return command


def only(answer: dict[str, Any]) -> dict[str, Any]:
    (item,) = answer["items"]
    return dict(item)


# --- one trace -----------------------------------------------------------------------------------------


def test_a_trace_is_shown_as_bars_below_what_the_function_noted(leasegate: Command) -> None:
    assert leasegate.lines("trace", trace_id("cold_cascade")) == [
        "1-69565bda-269e0d37f2a74de452e6b438   2026-01-01 11:34:49.320Z",
        "ColdStart yes, Service leasegate, entity_class key, guess_missed no, operation",
        "acquire, resource gpt-4, round_trips 2, status 200, verdict granted",
        "step   operation      at ms     ms",
        "─" * 80,
        "       handler          0.0   34.8   ███████████████████████████████████████████",
        "   1   BatchGetItem     7.3   13.4            ████████████████▌",
        "   2   UpdateItem      24.1    7.8                                ▕█████████▍",
        "   2   UpdateItem      24.5    5.7                                 ███████▎",
        "3 calls, depth 2, 21.2 ms in DynamoDB, 13.6 ms in code",
    ]


def test_programs_are_told_each_call(leasegate: Command) -> None:
    answer = leasegate.json("trace", trace_id("cold_cascade"))

    item = only(answer)
    calls = item.pop("calls")
    assert [(call["operation"], call["step"], call["verdict"]) for call in calls] == [
        ("BatchGetItem", 1, "answered"),
        ("UpdateItem", 2, "answered"),
        ("UpdateItem", 2, "answered"),
    ]
    assert calls[1]["offset_ms"] - calls[0]["offset_ms"] == pytest.approx(16.8)
    assert calls[0]["duration_ms"] == pytest.approx(13.4)
    annotations = item.pop("annotations")
    assert annotations["verdict"] == "granted"
    assert annotations["aws:api_stage"] == "v1"
    assert item == {
        "trace_id": trace_id("cold_cascade"),
        "start_ms": 1_767_267_289_320,
        "depth": 2,
        "operations": [["BatchGetItem"], ["UpdateItem", "UpdateItem"]],
        "attempts": 3,
        "dynamodb_ms": 21.2,
        "code_ms": 13.6,
        "failed": False,
        "incomplete": None,
    }
    assert answer | {"items": []} == {"items": [], "depths": {"2": 1}, "missing": [], "unprocessed": []}


def test_a_refused_condition_is_marked_and_no_failure_though_the_gateway_calls_it_one(leasegate: Command) -> None:
    shown = leasegate.lines("trace", trace_id("refused"))
    assert shown[-2].endswith("   refused")
    assert shown[-1] == "1 call, depth 1, 4.5 ms in DynamoDB, 3.5 ms in code"
    assert only(leasegate.json("trace", trace_id("refused")))["failed"] is False


def test_a_call_that_was_repeated_is_one_of_several_attempts(leasegate: Command) -> None:
    shown = leasegate.lines("trace", trace_id("repeated"))
    assert shown[-2].endswith("   2 attempts")
    assert shown[-1] == "1 call, depth 1, 34.7 ms in DynamoDB, 3.7 ms in code"
    item = only(leasegate.json("trace", trace_id("repeated")))
    assert (item["attempts"], [call["attempts"] for call in item["calls"]]) == (2, [2])


def test_one_call_after_the_other_is_a_staircase(leasegate: Command) -> None:
    shown = leasegate.lines("trace", trace_id("staircase"))
    steps = shown[-6:-1]
    begins = [len(line) - len(line[line.rindex("   ") :].lstrip()) for line in steps]
    assert begins == sorted(set(begins))
    assert [line.split()[0] for line in steps] == ["1", "2", "3", "4", "5"]
    assert shown[-1].startswith("5 calls, depth 5, ")


@pytest.mark.parametrize("name", ["granted", "refused", "repeated", "cold_cascade", "staircase"])
def test_bars_fit_into_80_columns(leasegate: Command, name: str) -> None:
    shown = leasegate.lines("trace", trace_id(name))
    assert max(map(len, shown)) == 80


def test_an_id_may_be_in_the_w3cs_form_and_given_twice(leasegate: Command, xray: StoredXRay) -> None:
    known = trace_id("granted")
    w3c = known.removeprefix("1-").replace("-", "")
    shown = leasegate("trace", known).stdout
    assert leasegate("trace", w3c, known, known.upper(), w3c.upper()).stdout == shown
    assert [body["TraceIds"] for body in xray.asked("/Traces")] == [[known], [known]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1-5759e988-bd862e3fe1be46a99427279",
        "2-5759e988-bd862e3fe1be46a994272793",
        "g" * 32,
        "1" * 33,
        "1\n",
    ],
)
def test_an_id_that_is_none_is_refused_before_anything_is_sent(
    leasegate: Command, xray: StoredXRay, text: str
) -> None:
    assert "TRACE_ID" in leasegate.refused("trace", trace_id("granted"), text)
    assert read_trace_id(text) is None
    assert xray.requests == []


# --- what is lacking -----------------------------------------------------------------------------------


def test_a_trace_that_has_not_wholly_arrived_is_marked(leasegate: Command) -> None:
    shown = leasegate.lines("trace", trace_id("in_progress"))
    assert shown[0].endswith("   2026-01-01 11:59:55.000Z")
    assert shown[-1] == "Incomplete: not all of it has arrived, which takes some 30 s."
    assert only(leasegate.json("trace", trace_id("in_progress")))["incomplete"] is not None


def test_a_function_that_has_not_been_heard_of_is_awaited_though_lambda_has_ended(
    leasegate: Command, xray: StoredXRay
) -> None:
    granted = xray.traces[trace_id("granted")]
    granted["Segments"] = [s for s in granted["Segments"] if '"AWS::Lambda::Function"' not in s["Document"]]
    assert "not all of it has arrived" in only(leasegate.json("trace", granted["Id"]))["incomplete"]


def test_a_trace_of_which_x_ray_keeps_a_part_is_marked(leasegate: Command) -> None:
    shown = leasegate.lines("trace", trace_id("too_long"))
    assert shown[-1] == "Incomplete: it was longer than X-Ray keeps."


def test_a_trace_that_x_ray_does_not_have_is_named(leasegate: Command) -> None:
    refused = leasegate.refused("trace", UNKNOWN, exit_code=4)
    assert refused == f"leasegate: X-Ray has no trace {UNKNOWN}"


def test_of_several_traces_those_that_there_are_are_shown(leasegate: Command) -> None:
    result = leasegate("trace", UNKNOWN, trace_id("granted"), exit_code=4)
    assert "depth 1" in result.stdout
    assert result.stderr == f"leasegate: X-Ray has no trace {UNKNOWN}\n"
    answer = leasegate.json("trace", UNKNOWN, trace_id("granted"), exit_code=4)
    assert answer["missing"] == [UNKNOWN]


def test_what_is_left_unprocessed_is_asked_for_again(leasegate: Command, xray: StoredXRay) -> None:
    xray.unprocessed = {trace_id("refused"): 3}
    assert len(leasegate.json("trace", trace_id("granted"), trace_id("refused"))["items"]) == 2
    asked = [body["TraceIds"] for body in xray.asked("/Traces")]
    assert asked == [[trace_id("granted"), trace_id("refused")], *[[trace_id("refused")]] * 3]


def test_what_stays_unprocessed_is_named_and_asked_for_no_more(leasegate: Command, xray: StoredXRay) -> None:
    xray.unprocessed = {trace_id("refused"): 1_000}
    result = leasegate("trace", trace_id("granted"), trace_id("refused"), exit_code=5)
    assert "depth 1" in result.stdout
    assert result.stderr == f"leasegate: X-Ray did not process, ask again: {trace_id('refused')}\n"
    assert len(xray.asked("/Traces")) == 4
    alone = leasegate("trace", trace_id("refused"), exit_code=5)
    assert (alone.stdout, alone.stderr) == ("", result.stderr)


def test_an_answer_that_cannot_be_read_is_an_error_in_one_line(leasegate: Command, xray: StoredXRay) -> None:
    xray.traces[trace_id("granted")]["Segments"][0]["Document"] = "{"
    refused = leasegate.refused("trace", trace_id("granted"), exit_code=3)
    assert refused.startswith("leasegate: X-Ray's answer cannot be read: documents[0]: is no JSON")


def test_too_many_requests_are_repeated(
    leasegate: Command, xray: StoredXRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    xray.throttled = 3
    assert leasegate.lines("trace", trace_id("granted"))[-1].startswith("1 call, depth 1")
    assert len(xray.requests) == 4


def test_segments_come_in_pages_and_traces_five_at_a_time(leasegate: Command, xray: StoredXRay) -> None:
    whole = leasegate.json("trace", *map(trace_id, ALL))
    assert [len(body["TraceIds"]) for body in xray.asked("/Traces")] == [5, 2]
    xray.page_size = 1
    assert leasegate.json("trace", *map(trace_id, ALL)) == whole
    assert len(whole["items"]) == 7


def test_what_was_put_into_x_ray_is_shown(simulated_aws: None) -> None:
    client = boto3.client("xray")
    client.put_trace_segments(
        TraceSegmentDocuments=[segment["Document"] for segment in stored("cold_cascade")["Segments"]]
    )
    leasegate = Command()
    leasegate.clients = {"xray": client}
    item = only(leasegate.json("trace", trace_id("cold_cascade")))
    assert (item["depth"], item["attempts"]) == (2, 3)


# --- the newest ----------------------------------------------------------------------------------------


def test_the_newest_traces_of_a_function_are_a_table_and_their_depths(leasegate: Command) -> None:
    result = leasegate(*LAST, "20")
    assert [line.rstrip() for line in result.stdout.splitlines()] == [
        "when            verdict   operations                              calls   depth   DynamoDB      code",
        "─" * 100,
        "11:34:49.320Z   granted   BatchGetItem, UpdateItem + UpdateItem       3       2    21.2 ms   13.6 ms",
        "11:58:40.979Z   granted   UpdateItem                                  1       1     4.9 ms    3.3 ms",
        "11:58:55.979Z   refused   UpdateItem                                  1       1     4.5 ms    3.5 ms",
        "11:59:02.979Z   granted   UpdateItem                                  1       1    34.7 ms    3.7 ms",
        "4 traces: 3 of depth 1, 1 of depth 2; median 13.0 ms in DynamoDB, 3.6 ms in code.",
    ]
    assert result.stderr == "1 more has not wholly arrived.\n"


def test_only_as_many_as_asked_for_are_fetched_the_newest(leasegate: Command, xray: StoredXRay) -> None:
    newest = leasegate.json(*LAST, "2")
    assert [item["trace_id"] for item in newest["items"]] == [trace_id("refused"), trace_id("repeated")]
    assert [set(body["TraceIds"]) for body in xray.asked("/Traces")] == [
        {trace_id("refused"), trace_id("repeated")}
    ]


def test_pages_of_summaries_are_read_until_there_are_enough(leasegate: Command, xray: StoredXRay) -> None:
    xray.page_size = 1
    whole = leasegate.json(*LAST, "20")
    assert len(whole["items"]) == 4
    assert len(xray.asked("/TraceSummaries")) == 5
    xray.requests.clear()
    leasegate.json(*LAST, "1")
    # The newest has not arrived, the next has.
    assert len(xray.asked("/TraceSummaries")) == 2


def test_the_details_of_several_traces_are_shown_when_asked_for(leasegate: Command) -> None:
    shown = leasegate(*LAST, "2", "--details").stdout
    assert shown.index(trace_id("refused")) < shown.index(trace_id("repeated")) < shown.index("when  ")
    assert trace_id("refused") not in leasegate(*LAST, "2").stdout
    assert leasegate.lines(*LAST, "1")[0].startswith(trace_id("repeated"))


def test_the_stack_says_which_function_and_a_filter_says_more(leasegate: Command, xray: StoredXRay) -> None:
    (item,) = leasegate.json(*LAST, "9", "--function", "sweep", "--filter", "responsetime > 1 OR fault")["items"]
    assert item["depth"] == 5
    leasegate.json(*LAST, "9")
    assert [body["FilterExpression"] for body in xray.asked("/TraceSummaries")] == [
        f'service("{SEQUENTIAL}") AND (responsetime > 1 OR fault)',
        f'service("{ACQUIRE}")',
    ]


def test_every_function_that_can_be_named_is_an_output_of_the_template() -> None:
    outputs = template.load()["Outputs"]
    assert set(_OUTPUTS.values()) == {name for name in outputs if name.endswith("FunctionName")}


def test_no_more_than_six_hours_are_looked_through_at_once_the_last_first(
    leasegate: Command, xray: StoredXRay
) -> None:
    leasegate.json(*LAST, "20", "--since", "13h")
    asked = [(body["StartTime"], body["EndTime"]) for body in xray.asked("/TraceSummaries")]
    noon = NOON_MS // 1000
    assert asked == [(noon - h * 3_600, noon - end * 3_600) for h, end in ((6, 0), (12, 6), (13, 12))]
    xray.requests.clear()
    assert len(leasegate.json(*LAST, "2", "--since", "30d")["items"]) == 2
    assert len(xray.asked("/TraceSummaries")) == 1


def test_older_traces_are_found_when_looked_for(leasegate: Command) -> None:
    assert len(leasegate.json(*LAST, "20")["items"]) == 4
    older = leasegate.json(*LAST, "20", "--since", "2h")
    assert older["items"][0]["trace_id"] == trace_id("too_long")
    assert older["items"][0]["incomplete"] == "it was longer than X-Ray keeps"
    assert older["depths"] == {"1": 3, "2": 1}
    shown = leasegate.lines(*LAST, "20", "--since", "2h")
    assert "granted, incomplete" in shown[2]
    assert shown[-1].endswith("; 1 incomplete and not counted.")


def test_summaries_without_a_time_are_ordered_by_the_time_in_their_ids(
    leasegate: Command, xray: StoredXRay
) -> None:
    class Untimed(StoredXRay):
        def _summarize(self, body: dict[str, Any]) -> tuple[int, str, dict[str, Any]]:
            status, error, answer = super()._summarize(body)
            summaries = [{k: v for k, v in s.items() if k != "StartTime"} for s in answer["TraceSummaries"]]
            return status, error, answer | {"TraceSummaries": summaries[::-1]}

    leasegate.clients["xray"] = Untimed(*ALL).client()
    assert only(leasegate.json(*LAST, "1"))["trace_id"] == trace_id("repeated")


def test_where_there_is_none_that_is_said(leasegate: Command) -> None:
    leasegate.now_ms = NOON_MS + 10 * KEPT_MS
    assert leasegate(*LAST, "5").stdout == "No traces.\n"
    assert leasegate.json(*LAST, "5") == {"items": [], "depths": {}, "missing": [], "unprocessed": []}


def test_a_filter_that_x_ray_does_not_understand_is_named(leasegate: Command, xray: StoredXRay) -> None:
    xray.not_understood = "nonsense"
    refused = leasegate.refused(*LAST, "5", "--filter", "nonsense")
    assert refused.startswith("leasegate: --filter: ")
    assert refused.endswith("Invalid filter expression")


@pytest.mark.parametrize(
    ("named", "arguments"),
    [
        ("TRACE_ID", ("trace",)),
        ("--last", ("trace", UNKNOWN, "--last", "3", "--stack", "leasegate")),
        ("--stack", ("trace", "--last", "3")),
        ("--stack", ("trace", UNKNOWN, "--stack", "leasegate")),
        ("--since", ("trace", UNKNOWN, "--since", "1h")),
        ("--filter", ("trace", UNKNOWN, "--filter", "ok")),
        ("--function", ("trace", UNKNOWN, "--function", "admin")),
        ("--function", (*LAST, "3", "--function", "other")),
        ("--last", (*LAST, "0")),
        ("--since", (*LAST, "3", "--since", "31d")),
        ("--since", (*LAST, "3", "--since", "0h")),
        ("--since", (*LAST, "3", "--since", "soon")),
        ("--stack", ("trace", "--last", "3", "--stack", "other")),
        ("AdminFunctionName", (*LAST, "3", "--function", "admin")),
    ],
)
def test_what_cannot_be_is_named(
    leasegate: Command, xray: StoredXRay, named: str, arguments: tuple[str, ...]
) -> None:
    assert named in leasegate.refused(*arguments)
    assert xray.requests == []


# --- pages ---------------------------------------------------------------------------------------------


def test_a_page_of_html_has_a_figure_for_each_trace(leasegate: Command, tmp_path: Path) -> None:
    page = tmp_path / "traces.html"
    page.write_text("what was there before")
    shown = leasegate(*LAST, "20", "--html", str(page)).stdout

    written = page.read_text()
    assert "Incomplete" not in written
    for name in ("cold_cascade", "granted", "refused", "repeated"):
        assert trace_id(name) in written
    assert written.count("<svg") == 4
    assert shown.splitlines()[-1] in written
    assert "BatchGetItem, UpdateItem + UpdateItem" in written
    assert [path.name for path in tmp_path.iterdir()] == ["traces.html"]
    ET.fromstring(written[written.index("<svg") : written.index("</svg>") + len("</svg>")])  # noqa: S314 - our own


def test_what_is_lacking_is_said_in_tables_and_pages_too(leasegate: Command, tmp_path: Path) -> None:
    page = tmp_path / "traces.html"
    asked = ("trace", trace_id("in_progress"), trace_id("granted"), "--html", str(page))
    rows = [line for line in leasegate.lines(*asked) if line.startswith("11:5")]
    assert [row.split("   ")[1] for row in rows] == ["incomplete", "granted"]
    assert "Incomplete: not all of it has arrived" in page.read_text()


@pytest.mark.parametrize("target", ["no/such/folder/traces.html", "file/traces.html"])
def test_a_page_that_cannot_be_written_is_an_error_and_leaves_nothing(
    leasegate: Command, tmp_path: Path, target: str
) -> None:
    (tmp_path / "file").touch()
    refused = leasegate.refused("trace", trace_id("granted"), "--html", str(tmp_path / target))
    assert refused.startswith("leasegate: --html: ")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_page_that_breaks_off_leaves_what_was_there(
    leasegate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(path: Path, text: str, **_how: str) -> None:
        path.write_bytes(text.encode()[:100])
        raise OSError("no space left")

    page = tmp_path / "traces.html"
    page.write_text("what was there before")
    monkeypatch.setattr(Path, "write_text", break_off)
    refused = leasegate.refused("trace", trace_id("granted"), "--html", str(page))
    assert refused == "leasegate: --html: no space left"
    assert page.read_text() == "what was there before"
    assert [path.name for path in tmp_path.iterdir()] == ["traces.html"]


# --- drawing -------------------------------------------------------------------------------------------


def made(*calls: Call) -> Trace:
    return Trace("1-695661c0-000000000000000000000001", calls, (), {}, True)


def text_of(trace: Trace) -> list[str]:
    console = Console(width=80, file=io.StringIO())
    with console.capture() as shown:
        for part in waterfall(trace, {}):
            console.print(part)
    return [line.rstrip() for line in shown.get().splitlines()]


CALL = Call("UpdateItem", 10.0, 10.004, 1, 1, "answered", None)


def test_a_call_that_took_no_time_is_seen_too() -> None:
    for call in (replace(CALL, end_s=10.0), replace(CALL, start_s=20.0, end_s=20.0)):
        assert "█" in text_of(made(CALL, call))[4].partition("UpdateItem")[2]
    assert "█" in text_of(made(replace(CALL, end_s=10.0)))[3]


def test_what_failed_is_marked() -> None:
    shown = text_of(made(replace(CALL, verdict="failed", attempts=3)))
    assert shown[3].endswith("failed, 3 attempts")
    assert shown[-1] == "1 call, depth 1, 4.0 ms in DynamoDB, 0.0 ms in code; failed"


def test_traces_of_several_days_are_shown_with_their_days() -> None:
    other = replace(CALL, start_s=CALL.start_s + 86_400, end_s=CALL.end_s + 86_400)
    rows = traces_table([made(CALL), made(other)], {})
    assert list(rows.columns[0].cells) == ["1970-01-01 00:00:10.000Z", "1970-01-02 00:00:10.000Z"]


def test_the_median_is_that_of_whole_traces() -> None:
    long = replace(CALL, end_s=11.0)
    lacking = replace(made(replace(CALL, end_s=12.0)), trace_id="1-695661c0-000000000000000000000002")
    said = distribution([made(CALL), made(long), made(long), lacking], {lacking.trace_id: "cut"})
    assert said == (
        "4 traces: 3 of depth 1; median 1000.0 ms in DynamoDB, 0.0 ms in code; 1 incomplete and not counted."
    )


# --- stored answers ------------------------------------------------------------------------------------


def unknown(value: object, shape: Any, path: str) -> list[str]:  # noqa: ANN401 - botocore has no types here
    """Return where an answer has fields that the API does not have."""
    if isinstance(value, list):
        return [place for item in value for place in unknown(item, shape.member, path)]
    if not isinstance(value, dict):
        return []
    if shape.type_name == "map":
        return [place for item in value.values() for place in unknown(item, shape.value, path)]
    missing = [f"{path}.{name}" for name in value if name not in shape.members]
    known = [name for name in value if name in shape.members]
    return missing + [
        place for name in known for place in unknown(value[name], shape.members[name], f"{path}.{name}")
    ]


def test_the_stored_answers_have_no_field_that_the_api_does_not_have(xray: StoredXRay) -> None:
    model = xray.client().meta.service_model
    assert {path.stem for path in FOLDER.glob("*.json")} == {*ALL, "summaries"}
    for path in FOLDER.glob("*.json"):
        operation = "GetTraceSummaries" if path.stem == "summaries" else "BatchGetTraces"
        assert (
            unknown(json.loads(path.read_text()), model.operation_model(operation).output_shape, path.stem) == []
        )


def test_the_stored_answers_have_what_their_description_says() -> None:
    depths = {}
    for name in ALL:
        (trace,) = read_traces([segment["Document"] for segment in stored(name)["Segments"]])
        depths[name] = trace.depth
    assert depths == {
        "cold_cascade": 2,
        "granted": 1,
        "in_progress": 0,
        "refused": 1,
        "repeated": 1,
        "staircase": 5,
        "too_long": 2,
    }
