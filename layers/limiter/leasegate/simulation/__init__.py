"""A deterministic simulator: the real flows of many processes over one table, under faults, held to exact oracles.

    report = simulate(seed=7, steps=20_000)

One seed is one history, on any machine: :mod:`~leasegate.simulation.world` moves it on, step by step,
:mod:`~leasegate.simulation.traffic` says what processes do, :mod:`~leasegate.simulation.faults` what goes wrong,
and :mod:`~leasegate.simulation.judge` what must hold all the same.
"""

from __future__ import annotations

from .faults import ALL, NONE, Faults
from .running import Report, ViolationFound, simulate

__all__ = ["ALL", "NONE", "Faults", "Report", "ViolationFound", "simulate"]
