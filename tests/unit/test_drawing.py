"""Traces as pictures: what is in them, where it stands, and that nothing breaks out of them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from itertools import combinations
from typing import Any, Final, NamedTuple

import pytest

from leasegate.cli.bars import Scale, columns, shorten, span_bars
from leasegate.cli.bars import choose_scale as scale_of
from leasegate.cli.drawing import Figure, Panel, draw, write_page
from leasegate.tracing import Trace, read_traces

SVG: Final = "{http://www.w3.org/2000/svg}"
TRACE_ID: Final = "1-5f84c7a1-000000000000000000000001"


def document(number: int, start_ms: float, end_ms: float | None, **fields: object) -> dict[str, Any]:
    times = {"start_time": 1_000 + start_ms / 1_000}
    if end_ms is not None:
        times["end_time"] = 1_000 + end_ms / 1_000
    return {"trace_id": TRACE_ID, "id": f"{number:016x}", **times, **fields}


def handler(end_ms: float, name: str = "## handler", **fields: object) -> dict[str, Any]:
    return document(0, 0, end_ms, name=name, **fields)


def call(number: int, operation: str, start_ms: float, end_ms: float | None, **fields: object) -> dict[str, Any]:
    aws = {"operation": operation}
    return document(number, start_ms, end_ms, name="dynamodb", namespace="aws", aws=aws, **fields)


def trace(*documents: dict[str, Any]) -> Trace:
    (one,) = read_traces(documents)
    return one


def staircase(count: int) -> Trace:
    calls = [call(number, "GetItem", 1 + 10 * number, 10 + 10 * number) for number in range(1, count + 1)]
    return trace(handler(20 + 10 * count), *calls)


@pytest.fixture
def side_by_side() -> Trace:
    """One read, then two writes together."""
    return trace(
        handler(60),
        call(1, "BatchGetItem", 5, 25),
        call(2, "UpdateItem", 30, 50),
        call(3, "UpdateItem", 31, 55),
    )


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(picture).iter(f"{SVG}text")]  # noqa: S314 - our own


def rectangles(picture: str, style: str) -> list[dict[str, float]]:
    found = ET.fromstring(picture).iter(f"{SVG}rect")  # noqa: S314 - our own
    return [
        {name: float(value) for name, value in rectangle.items() if name != "class"}
        for rectangle in found
        if rectangle.get("class") == style
    ]


class Box(NamedTuple):
    """Where something stands in a panel; a text by a generous guess of its width."""

    left: float
    right: float
    top: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def boxes(panel: ET.Element) -> Iterator[Box]:
    """Return where texts and bars stand."""
    for element in panel.iter(f"{SVG}text"):
        x, y = float(element.attrib["x"]), float(element.attrib["y"])
        width = columns(element.text or "") * (9 if "heading" in element.attrib["class"] else 7)
        left = x - width / 2 if element.get("text-anchor") == "middle" else x
        yield Box(left, left + width, y - 9, y + 3)
    for element in panel.iter(f"{SVG}rect"):
        if element.get("class") not in {"odd", "even"}:
            left, top, wide, high = (float(element.attrib[name]) for name in ("x", "y", "width", "height"))
            yield Box(left, left + wide, top, top + high)


def panels(picture: str) -> list[ET.Element]:
    return ET.fromstring(picture).findall(f"{SVG}g")  # noqa: S314 - our own


def test_calls_are_labelled_with_what_they_asked_and_how_long_they_took(side_by_side: Trace) -> None:
    shown = texts(draw([Panel("after", side_by_side)]))

    assert shown[0] == "after"
    assert [text for text in shown if text.endswith("Item")] == ["BatchGetItem", "UpdateItem", "UpdateItem"]
    assert {"20.0 ms", "24.0 ms", "60.0 ms", "handler"} <= set(shown)
    assert shown[-1] == "3 calls, depth 2, 45.0 ms in DynamoDB, 15.0 ms in code"


def test_a_band_is_a_round_trip_and_is_numbered(side_by_side: Trace) -> None:
    picture = draw([Panel("after", side_by_side)])

    ((first), (second)) = rectangles(picture, "odd") + rectangles(picture, "even")
    assert second["height"] == 2 * first["height"]
    assert second["y"] == first["y"] + first["height"]
    assert [text for text in texts(picture) if text in {"1", "2", "3"}] == ["1", "2"]


def test_a_bar_is_as_long_as_its_call_took_and_begins_when_it_began(side_by_side: Trace) -> None:
    bars = rectangles(draw([Panel("after", side_by_side)]), "answered")

    per_ms = bars[0]["width"] / 20
    assert bars[1]["x"] - bars[0]["x"] == pytest.approx(25 * per_ms, abs=0.2)
    assert bars[2]["width"] == pytest.approx(24 * per_ms, abs=0.2)


def test_panels_stand_beside_each_other_on_one_scale(side_by_side: Trace) -> None:
    alone = rectangles(draw([Panel("a", side_by_side), Panel("b", side_by_side)]), "span")
    (long, short) = rectangles(draw([Panel("before", staircase(10)), Panel("after", side_by_side)]), "span")

    assert alone[0] == alone[1]
    assert long["width"] == pytest.approx(2 * short["width"], abs=0.2)


def test_every_verdict_and_repetition_is_said_in_words() -> None:
    picture = draw(
        [
            Panel(
                "odd",
                trace(
                    handler(90, fault=True),
                    call(1, "UpdateItem", 1, 11, annotations={"refused": True}),
                    call(2, "GetItem", 20, 30, error=True),
                    call(3, "Query", 40, 50, fault=True),
                    call(4, "Query", 55, 60, annotations={"attempt": 2}),
                ),
            )
        ]
    )

    marked = {"90.0 ms · failed", "10.0 ms · refused", "10.0 ms · failed", "20.0 ms · 2 attempts"}
    assert marked <= set(texts(picture))
    assert len(rectangles(picture, "failed")) == 2
    assert len(rectangles(picture, "refused")) == 1


def test_a_trace_that_lacks_something_says_so() -> None:
    assert "incomplete" in texts(draw([Panel("cut", trace(handler(10), call(1, "GetItem", 1, None)))]))[-1]


def test_a_trace_without_calls_is_drawn_too() -> None:
    shown = texts(draw([Panel("nothing", trace(handler(5)))]))

    assert "no call to DynamoDB" in shown
    assert shown[-1] == "0 calls, depth 0, 0.0 ms in DynamoDB, 5.0 ms in code"


def test_functions_and_gateways_are_called_so() -> None:
    one = trace(
        document(1, 0, 20, name="leasegate/v1", origin="AWS::ApiGateway::Stage"),
        document(2, 1, 19, name="acquire", origin="AWS::Lambda"),
        document(3, 2, 18, name="acquire", origin="AWS::Lambda::Function"),
        document(4, 3, 17, name="## handler"),
        document(5, 3, 17, name="Initialization"),
    )

    assert [bar.label for bar in span_bars(one)] == [
        "gateway leasegate/v1",
        "Lambda acquire",
        "function acquire",
        "handler",
        "Initialization",
    ]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    "one",
    [
        staircase(1),
        staircase(30),
        trace(handler(1_000), call(1, "GetItem", 1, 1.01), call(2, "TransactWriteItems", 999, 999.01, fault=True)),
        trace(handler(0.001)),
        trace(handler(90_000), call(1, "BatchWriteItem", 1, 89_999, annotations={"refused": True})),
        trace(handler(10, "## " + "a_long_name_" * 20), call(1, "UpdateItem" * 9, 2, 9)),
    ],
    ids=["one", "thirty", "tiny", "nothing", "long", "named"],
)
def test_no_text_stands_in_another_or_outside(one: Trace, count: int) -> None:
    picture = draw([Panel("a title " * 30, one)] * count)
    width, height = (float(size) for size in ET.fromstring(picture).attrib["viewBox"].split()[2:])  # noqa: S314 - our own

    for panel in panels(picture):
        stood = list(boxes(panel))
        assert all(box.left >= 0 and box.right <= width / count and box.bottom <= height for box in stood)
        assert not [pair for pair in combinations(stood, 2) if pair[0].overlaps(pair[1])]


def test_text_from_outside_stays_text() -> None:
    evil = '</text><script>alert("1")</script>&\x00\ud800'
    one = trace(handler(10, evil), call(1, evil, 1, 2))

    for written in (draw([Panel(evil, one)]), write_page(evil, evil, [Figure(evil, evil, (Panel(evil, one),))])):
        assert "<script" not in written
        written.encode()
        assert "script" in "".join(ET.fromstring(written).itertext())  # noqa: S314 - our own


def test_a_page_stands_alone_and_shows_its_figures_in_order(side_by_side: Trace) -> None:
    figures = [Figure("First", "Some words.", (Panel("a", side_by_side),)), Figure("Second", "", ())]

    written = write_page("Traces", "One paragraph,\nin two lines.\n\nAnother one.", figures)

    page = ET.fromstring(written)  # noqa: S314 - our own
    assert written.startswith("<!DOCTYPE html>\n")
    assert [title.text for title in page.iter("h2")] == ["First", "Second"]
    assert [text.text for text in page.iter("p")] == [
        "One paragraph, in two lines.",
        "Another one.",
        "Some words.",
    ]
    assert set(re.findall(r"https?://[^\"\s]+", written)) == {SVG.strip("{}")}
    assert "prefers-color-scheme: dark" in written


@pytest.mark.parametrize(
    ("last_ms", "scale"),
    [
        (77.0, Scale(77.0, 20.0)),
        (99.9, Scale(99.9, 20.0)),
        (1_010.0, Scale(1_010.0, 500.0)),
        (0.9, Scale(0.9, 0.2)),
    ],
)
def test_an_axis_has_few_and_round_ticks(last_ms: float, scale: Scale) -> None:
    (found,) = {scale_of(span_bars(trace(document(1, 0, last_ms, name="## handler"))))}

    assert found.last_ms == pytest.approx(scale.last_ms)
    assert found.tick_ms == pytest.approx(scale.tick_ms)
    assert 2 <= len(found.ticks_ms) <= 6


@pytest.mark.parametrize(
    ("text", "shortened"),
    [
        ("handler", "handler"),
        ("leasegate-AcquireFunction-8sd7", "leas…8sd7"),
        ("日本語日本語", "日本…本語"),
        ("a\nb", "a b"),
    ],
)
def test_a_long_name_is_shortened_in_its_middle(text: str, shortened: str) -> None:
    assert shorten(text, 9) == shortened
    assert columns(shortened) <= 9
