"""Traces as pictures: a waterfall of what ran when, in SVG, and a page that holds several.

What is written stands alone: no script, no font, no host. All text goes through an XML library, which escapes it;
the colours follow the reader's light or dark mode.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Final, NamedTuple

from ..tracing import Trace
from .bars import Bar, Scale, call_bars, choose_scale, columns, printable, shorten, span_bars, summarize

_ROW: Final = 22
_BAR: Final = 12
_PADDING: Final = 16
_GUTTER: Final = 24
"""The column that numbers the round trips."""
_ALONE: Final = (220, 480)
_AMONG_OTHERS: Final = (150, 220)
"""Room for labels and for bars. Two panels are legible in a column of text."""
_CHARACTER: Final = 7
"""A generous width of one at the size of the labels, in any of the system's fonts."""
_HEADING_CHARACTER: Final = 9

_STYLE: Final = """
text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; font-variant-numeric: tabular-nums }
text.heading { font-size: 14px; font-weight: 600 }
.paper { fill: #ffffff } .ink { fill: #1f2328 } .faint { fill: #59636e } .line { stroke: #d1d9e0 }
.odd { fill: #e6effc } .even { fill: #f1f4f8 }
.span { fill: #9aa4b0 } .answered { fill: #2166d1 } .refused { fill: #b7700a } .failed { fill: #c62828 }
@media (prefers-color-scheme: dark) {
.paper { fill: #0d1117 } .ink { fill: #e6edf3 } .faint { fill: #9aa5b1 } .line { stroke: #39424e }
.odd { fill: #14284a } .even { fill: #1a212b }
.span { fill: #6c7784 } .answered { fill: #63a2ff } .refused { fill: #e3a53c } .failed { fill: #ff7b72 }
}
"""
_PAGE_STYLE: Final = """
:root { color-scheme: light dark }
body { margin: 2rem auto; max-width: 70rem; padding: 0 1rem; background: #ffffff; color: #1f2328;
font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin: 2.5rem 0 0 } p { margin: .5rem 0; max-width: 46rem }
div { overflow-x: auto }
@media (prefers-color-scheme: dark) { body { background: #0d1117; color: #e6edf3 } }
"""


class Panel(NamedTuple):
    """A trace under a title."""

    title: str
    trace: Trace


class Figure(NamedTuple):
    """Traces that are seen side by side, under a title and a text."""

    title: str
    text: str
    panels: tuple[Panel, ...]


class _Layout(NamedTuple):
    """What all panels of a picture share, in pixels from a panel's left edge."""

    scale: Scale
    label: int
    plot: int
    width: float

    def at(self, ms: float) -> float:
        return _PADDING + _GUTTER + self.label + self.plot * ms / self.scale.last_ms


def draw(panels: Sequence[Panel]) -> str:
    """Draw traces as one SVG: side by side, on one scale of time."""
    return _write(_picture(panels))


def write_page(title: str, introduction: str, figures: Sequence[Figure]) -> str:
    """Write an HTML page that stands alone, each figure with its picture; an empty line parts paragraphs."""
    page = ET.Element("html", lang="en")
    head = ET.SubElement(page, "head")
    ET.SubElement(head, "meta", charset="utf-8")
    ET.SubElement(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    _say(head, "title", title)
    ET.SubElement(head, "style").text = _PAGE_STYLE
    body = ET.SubElement(page, "body")
    _say(body, "h1", title)
    _say_paragraphs(body, introduction)
    for figure in figures:
        _say(body, "h2", figure.title)
        _say_paragraphs(body, figure.text)
        ET.SubElement(body, "div").append(_picture(figure.panels))
    return f"<!DOCTYPE html>\n{_write(page)}"


def _write(root: ET.Element) -> str:
    ET.indent(root, "")
    return ET.tostring(root, encoding="unicode") + "\n"


def _say_paragraphs(parent: ET.Element, text: str) -> None:
    for paragraph in text.split("\n\n"):
        _say(parent, "p", paragraph)


def _say(parent: ET.Element, tag: str, text: str) -> None:
    """Add an element with text; none without, because HTML would not take it for ended."""
    if words := printable(text):
        ET.SubElement(parent, tag).text = words


def _picture(panels: Sequence[Panel]) -> ET.Element:
    layout = _lay_out(panels)
    picture = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", role="img")
    described = [f"{printable(panel.title)}: {summarize(panel.trace)}" for panel in panels]
    ET.SubElement(picture, "title").text = "; ".join(described)
    ET.SubElement(picture, "style").text = _STYLE
    paper = ET.SubElement(picture, "rect", {"class": "paper"})
    height = 0.0
    for place, panel in enumerate(panels):
        group = ET.SubElement(picture, "g", transform=f"translate({_px(place * layout.width)} 0)")
        height = max(height, _draw_panel(group, panel, layout))
    size = {"width": _px(layout.width * len(panels)), "height": _px(height)}
    picture.set("viewBox", f"0 0 {size['width']} {size['height']}")
    picture.attrib |= size
    paper.attrib |= size
    return picture


def _lay_out(panels: Sequence[Panel]) -> _Layout:
    bars = [bar for panel in panels for bar in span_bars(panel.trace)]
    bars += [bar for panel in panels for step in call_bars(panel.trace) for bar in step]
    layout = _Layout(choose_scale(bars), *(_AMONG_OTHERS if len(panels) > 1 else _ALONE), width=0)
    # Values stand behind their bars; "ms" stands behind the axis.
    ends = [_behind(bar, layout) + columns(bar.value) * _CHARACTER for bar in bars]
    ends += [_PADDING + len(summarize(panel.trace)) * _CHARACTER for panel in panels]
    return layout._replace(width=max([*ends, layout.at(layout.scale.last_ms) + 40]) + _PADDING)


def _draw_panel(group: ET.Element, panel: Panel, layout: _Layout) -> float:
    """Draw a panel from its upper left corner; return its height."""
    trace = panel.trace
    top = _PADDING + 26.0
    title = shorten(panel.title, int((layout.width - 2 * _PADDING) / _HEADING_CHARACTER))
    _text(group, _PADDING, top - 12, title, "ink heading")
    # From back to front.
    bands, lines, bars = (ET.SubElement(group, "g") for _ in range(3))
    y = top
    for bar in span_bars(trace):
        _draw_bar(bars, bar, y, layout)
        y += _ROW
    _text(bars, _PADDING, y + 15, "round trip" if trace.calls else "no call to DynamoDB", "faint")
    y += _ROW
    for number, step in enumerate(call_bars(trace), 1):
        height = _ROW * len(step)
        style = "odd" if number % 2 else "even"
        _rectangle(bands, _PADDING / 2, y, layout.width - _PADDING, height, style)
        _text(bands, _PADDING, y + height / 2 + 4, str(number), "faint")
        for bar in step:
            _draw_bar(bars, bar, y, layout)
            y += _ROW
    _draw_axis(lines, top, y, layout)
    y += 46
    _text(group, _PADDING, y, summarize(trace), "ink")
    if not trace.is_complete:
        y += 18
        _text(group, _PADDING, y, "incomplete: not all of it has ended, or has come", "faint")
    return y + _PADDING


def _draw_axis(parent: ET.Element, top: float, bottom: float, layout: _Layout) -> None:
    for ms in layout.scale.ticks_ms:
        x = layout.at(ms)
        ends = {"x1": _px(x), "y1": _px(top), "x2": _px(x), "y2": _px(bottom + 4), "class": "line"}
        ET.SubElement(parent, "line", ends)
        _text(parent, x, bottom + 18, f"{ms:g}", "faint", "middle")
    _text(parent, layout.at(layout.scale.last_ms) + 20, bottom + 18, "ms", "faint")


def _draw_bar(parent: ET.Element, bar: Bar, y: float, layout: _Layout) -> None:
    group = ET.SubElement(parent, "g")
    ET.SubElement(group, "title").text = f"{printable(bar.label)}, {bar.value}, from {bar.start_ms:.1f} ms"
    _text(group, _PADDING + _GUTTER, y + 15, shorten(bar.label, (layout.label - 8) // _CHARACTER), "ink")
    start = layout.at(bar.start_ms)
    _rectangle(group, start, y + (_ROW - _BAR) / 2, max(2.0, layout.at(bar.end_ms) - start), _BAR, bar.kind)
    _text(group, _behind(bar, layout), y + 15, bar.value, "faint")


def _behind(bar: Bar, layout: _Layout) -> float:
    return max(layout.at(bar.end_ms), layout.at(bar.start_ms) + 2) + 6


def _text(parent: ET.Element, x: float, y: float, text: str, style: str, anchor: str = "start") -> None:
    placed = {"x": _px(x), "y": _px(y), "class": style, "text-anchor": anchor}
    ET.SubElement(parent, "text", placed).text = text


def _rectangle(parent: ET.Element, x: float, y: float, width: float, height: float, style: str) -> None:
    size = {"x": _px(x), "y": _px(y), "width": _px(width), "height": _px(height), "class": style}
    ET.SubElement(parent, "rect", size)


def _px(length: float) -> str:
    return f"{length:.1f}".removesuffix(".0")
