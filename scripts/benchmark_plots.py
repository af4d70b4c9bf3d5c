"""The pictures of the guide: SVG, the same for the same results."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

OURS: Final = "Leasegate"
_COLOURS: Final = {OURS: "#0f766e", "boto3": "#94a3b8", "sequential": "#d97706"}
_SETTINGS: Final[dict[Any, object]] = {
    "svg.hashsalt": "leasegate",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_INCHES: Final = 8.0
_INCHES_FOR_A_CASE: Final = 0.55


def draw_plots(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> Mapping[str, str]:
    """Return the pictures of these results, by the names of their files."""
    return {
        "overhead.svg": _bars(
            "Processor time of a call on a server that does nothing", "µs", _medians(results["overhead"])
        ),
        "latency.svg": _bars(
            "An acquire on DynamoDB Local, p50; the line ends at p99",
            "ms",
            _medians(results["latency"], scale=1e-3),
            _medians(results["latency"], scale=1e-3, percentile="p99"),
        ),
        "throughput.svg": _bars(
            "Acquires a second on DynamoDB Local",
            "",
            {
                result["case"]: {name: result["batch"] / own["p50"] * 1e6 for name, own in result["us"].items()}
                for result in results["throughput"]
            },
        ),
    }


type _Figures = Mapping[str, Mapping[str, float]]
"""A figure for each of those that are compared, by case."""


def _medians(results: Sequence[Mapping[str, Any]], *, scale: float = 1, percentile: str = "p50") -> _Figures:
    return {
        result["case"]: {name: own[percentile] * scale for name, own in result["us"].items()} for result in results
    }


def _bars(title: str, unit: str, figures: _Figures, ends: _Figures | None = None) -> str:
    """Draw a group of bars for each case, on a logarithmic axis; a line from each bar to where its range ends."""
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(_INCHES, 1.2 + _INCHES_FOR_A_CASE * len(figures)), layout="constrained")
        axes = figure.subplots()
        names = [name for name in _COLOURS if any(name in own for own in figures.values())]
        height = 0.8 / len(names)
        for place, name in enumerate(names):
            rows = [(row, case) for row, (case, own) in enumerate(figures.items()) if name in own]
            at = [row + (place - (len(names) - 1) / 2) * height for row, _ in rows]
            widths = [figures[case][name] for _, case in rows]
            axes.barh(at, widths, height, color=_COLOURS[name], label=name)
            if ends is not None:
                axes.hlines(at, widths, [ends[case][name] for _, case in rows], color=_COLOURS[name])
        axes.set_xscale("log")
        axes.set_yticks(range(len(figures)), list(figures))
        axes.invert_yaxis()
        axes.set_title(title, loc="left")
        axes.set_xlabel(f"{unit}, logarithmic".removeprefix(", "))
        axes.legend(loc="best", frameon=False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join([line.rstrip() for line in text.getvalue().splitlines()]) + "\n"
