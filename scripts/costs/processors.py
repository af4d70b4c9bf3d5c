"""What memory buys a function: arithmetic over what was measured of its processor time, not a measurement on AWS."""

from __future__ import annotations

import re
from decimal import Decimal
from math import ceil
from typing import Final

from leasegate.pricing import PRICES
from leasegate.pricing.prices import MILLION
from scripts.generated import filled_in
from scripts.toolchain import ROOT

MB_OF_A_PROCESSOR: Final = 1_769
"""AWS: so much memory has the equivalent of one vCPU, less has its share of one."""
WAIT_MS: Final = 5
"""What a round trip to DynamoDB is taken to be."""
SIZES_MB: Final = (256, 512, 1_024, 1_769)
RATE: Final = 1_000

_TRACED: Final = re.compile(r"^\| known bucket: 1 call \| on, request not sampled \| ([\d.]+) ms", re.MULTILINE)
_STARTED: Final = re.compile(r"^\| on \| shipped \|.*?\| (\d+) ms \| [\d.]+ \| \d+ MB", re.MULTILINE)


def measured_acquire_ms() -> Decimal:
    """Return the processor time of an acquire by the function, traced and not sampled, as the docs have it."""
    return _figure(_TRACED, "docs/traces.md", "traces: overhead")


def measured_start_ms() -> Decimal:
    """Return that of a start, traced and with bytecode, and its first call."""
    return _figure(_STARTED, "docs/performance.md", "coldstart: table")


def render_functions() -> str:
    """Render what an acquire and a start take by memory as a Markdown table."""
    lines = [
        "| memory | share of a processor | an acquire, in processor time | and with its round trip | a second, of one"
        f" instance | instances for {RATE:,} a second | a million of them, time | a start and its first call |",
        "|---|---|---|---|---|---|---|---|",
    ]
    price = PRICES["gb_second"]
    for size_mb in SIZES_MB:
        share = Decimal(size_mb) / MB_OF_A_PROCESSOR
        busy_ms = measured_acquire_ms() / share
        took_ms = ceil(busy_ms + WAIT_MS)
        usd = price.cost(Decimal(MILLION) * took_ms / 1_000 * size_mb / 1_024)
        lines.append(
            f"| {size_mb:,} MB | {share:.2f} | {busy_ms:.1f} ms | {took_ms} ms | {1_000 // took_ms} |"
            f" {ceil(Decimal(RATE) * took_ms / 1_000)} | ${usd:.2f} | {measured_start_ms() / share / 1_000:.1f} s |"
        )
    return "\n".join(lines)


def _figure(pattern: re.Pattern[str], page: str, part: str) -> Decimal:
    found = pattern.search(filled_in((ROOT / page).read_text(), part))
    if found is None:
        raise ValueError(f"{page} has no such row in its part {part}")
    return Decimal(found[1])
