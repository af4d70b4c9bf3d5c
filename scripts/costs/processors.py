"""What memory buys a function: arithmetic over measured processor time, and no measurement on AWS."""

from __future__ import annotations

import re
from decimal import Decimal
from math import ceil
from typing import Final

from leasegate.pricing import PRICES
from leasegate.pricing.prices import MILLION
from scripts.generated import filled_in
from scripts.markdown import table
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
    heads = [
        "memory",
        "share of a processor",
        "an acquire, in processor time",
        "and with its round trip",
        "a second, of one instance",
        f"instances for {RATE:,} a second",
        "time of a million",
        "a start and its first call",
    ]
    return table(heads, [_row(size_mb) for size_mb in SIZES_MB])


def _row(size_mb: int) -> list[str]:
    share = Decimal(size_mb) / MB_OF_A_PROCESSOR
    busy_ms = measured_acquire_ms() / share
    took_ms = ceil(busy_ms + WAIT_MS)
    usd = PRICES["gb_second"].cost(Decimal(MILLION) * took_ms / 1_000 * size_mb / 1_024)
    return [
        f"{size_mb:,} MB",
        f"{share:.2f}",
        f"{busy_ms:.1f} ms",
        f"{took_ms} ms",
        f"{1_000 // took_ms}",
        f"{ceil(Decimal(RATE) * took_ms / 1_000)}",
        f"${usd:.2f}",
        f"{measured_start_ms() / share / 1_000:.1f} s",
    ]


def _figure(pattern: re.Pattern[str], page: str, part: str) -> Decimal:
    found = pattern.search(filled_in((ROOT / page).read_text(), part))
    if found is None:
        raise ValueError(f"{page} has no such row in its part {part}")
    return Decimal(found[1])
