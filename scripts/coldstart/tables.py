"""The tables of the guide, and the ratio that is promised."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from statistics import median
from typing import Final, NamedTuple

from scripts.coldstart.measurement import Start, Way
from scripts.markdown import table

_IMPORTED: Final = re.compile(r"import time: +(\d+) \| +\d+ \| +(\S+)")
_LAST_OF_THE_RUNTIME: Final = "awslambdaric.bootstrap"
_NAMES: Final = {
    "app": "`app.py` itself: the client, the tracer, and its compilation",
    "leasegate": "Leasegate",
    "leasegate_lambda": "Leasegate",
}
"""What the table calls packages whose names say too little; others stand there under their own."""


_SHOWN_US: Final = 500
"""What a package takes that has a row."""


class Imported(NamedTuple):
    """How many modules of a package were imported, and their own time, without that of what they import."""

    modules: int
    own_us: int


def ratios(starts: Mapping[Way, Sequence[Start]]) -> Mapping[Way, float]:
    """Return what each way with bytecode takes of the same without: the median of the rounds' ratios."""
    found = {}
    for way in starts:
        if way.has_bytecode:
            pairs = zip(starts[way], starts[replace(way, has_bytecode=False)], strict=True)
            found[way] = median([shipped.until_answered_s / bare.until_answered_s for shipped, bare in pairs])
    return found


def render_starts(starts: Mapping[Way, Sequence[Start]]) -> str:
    """Return the Markdown table of all ways to start: medians, and the ratio to the same without bytecode."""
    heads = ["tracing", "bytecode", "import", "first call", "second call", "both", "ratio", "memory", "modules"]
    shares = ratios(starts)
    rows = [
        [
            "on" if way.is_traced else "off",
            "shipped" if way.has_bytecode else "absent",
            _ms([start.import_s for start in own]),
            _ms([start.first_s for start in own]),
            _ms([start.second_s for start in own]),
            _ms([start.until_answered_s for start in own]),
            f"{shares.get(way, 1):.2f}",
            f"{median([start.memory_bytes for start in own]) / 1e6:.0f} MB",
            len(own[0].modules),
        ]
        for way, own in starts.items()
    ]
    return table(heads, rows)


def own_times(report: str) -> Mapping[str, Imported]:
    """Read what `-X importtime` wrote, by package; what Lambda's runtime imports itself is left out."""
    found: dict[str, Imported] = {}
    modules = iter(_IMPORTED.findall(report))
    for _ in takewhile(lambda module: module[1] != _LAST_OF_THE_RUNTIME, modules):
        pass
    for own_us, module in modules:
        package = module.partition(".")[0]
        name = "the standard library" if package in sys.stdlib_module_names else _NAMES.get(package, package)
        modules_before, us_before = found.get(name, Imported(0, 0))
        found[name] = Imported(modules_before + 1, us_before + int(own_us))
    return found


def render_imports(reports: Sequence[str]) -> str:
    """Return the Markdown table of what is imported, by package: medians of the reports, the slowest first."""
    read = [own_times(report) for report in reports]
    times = {name: median([own[name].own_us for own in read]) for name in read[0]}
    rows = [
        (name, read[0][name].modules, f"{own_us / 1_000:.1f} ms")
        for name, own_us in sorted(times.items(), key=lambda row: -row[1])
        if own_us >= _SHOWN_US
    ]
    return table(["package", "modules", "its own time"], rows)


def _ms(seconds: Iterable[float]) -> str:
    return f"{median(seconds) * 1_000:.0f} ms"
