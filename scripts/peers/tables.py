"""The tables of the guide, in Markdown: what acquires cost, and what a crowd gets."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from statistics import median

from scripts.dynamodb_local import PACKAGE
from scripts.markdown import table
from scripts.peers.burst import CAPACITY
from scripts.peers.contestant import LEASEGATE, NAMES, ZAE_LIMITER
from scripts.peers.crowd import Outcome
from scripts.peers.measurement import Comparison, Crowd


def render_costs(comparison: Comparison) -> str:
    """Return a row for each case and contestant; ratios are medians of those of the turns."""
    heads = ["an acquire", "by", "calls", "write units", "read units"]
    heads += ["on the clock", "ratio", "processor time", "ratio"]
    rows = []
    for case, measured in comparison.cases.items():
        for name in NAMES:
            own, peer = measured[name], measured[ZAE_LIMITER]
            usage = own.usage
            pairs = list(zip(own.costs, peer.costs, strict=True))
            wall_ms = median([cost.wall_s for cost in own.costs]) * 1_000
            cpu_ms = median([cost.cpu_s for cost in own.costs]) * 1_000
            wall = median([cost.wall_s / other.wall_s for cost, other in pairs])
            cpu = median([cost.cpu_s / other.cpu_s for cost, other in pairs])
            units = [usage.calls, usage.write_units, f"{usage.read_units:g}"]
            times = [f"{wall_ms:.2f} ms", f"{wall:.2f}", f"{cpu_ms:.2f} ms", f"{cpu:.2f}"]
            rows.append([case.name, name, *units, *times])
    return table(heads, rows)


def render_crowds(gathered: Mapping[Crowd, Mapping[str, Outcome]]) -> str:
    """Return a row for each crowd and contestant."""
    heads = ["limit", "clients", "of", "calls for each grant", "without those of refusals", "granted", "delivered"]
    rows = []
    for crowd, outcomes in gathered.items():
        for name in NAMES:
            outcome = outcomes[name]
            cells = [f"{crowd.per_minute:,} a minute", str(crowd.clients), name]
            cells += [f"{outcome.calls_for_each_grant:.1f}", f"{outcome.calls_below_refusals:.2f}"]
            cells += [
                f"{outcome.granted} of {outcome.allowed} in {crowd.seconds:g} s",
                f"{100 * outcome.share:.0f} %",
            ]
            rows.append(cells)
    return table(heads, rows)


def render_bursts(granted: Mapping[str, int]) -> str:
    """Return a row for each contestant."""
    return table([f"from a bucket of {CAPACITY}", "granted at once"], [(name, granted[name]) for name in NAMES])


def render_conditions(comparison: Comparison) -> str:
    """Say what ran on what."""
    versions = [
        " with ".join([f"{package} {number}" for package, number in comparison.versions[name].items()])
        for name in (LEASEGATE, ZAE_LIMITER)
    ]
    machine = f"a machine of {os.cpu_count()} processors ({platform.machine()})"
    return (
        f"{' against '.join(versions)};\n"
        f"CPython {platform.python_version()}, DynamoDB Local from {PACKAGE}, {machine}."
    )
