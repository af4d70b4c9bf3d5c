"""How the small values of an acquire are declared: frozen to the type checker, cheap to build at run time.

``@dataclass(frozen=True)`` sets each field by a call of its own, which makes a value three times as expensive, and
an acquire builds some forty of them. That nobody changes them is checked where it costs nothing: by mypy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import dataclass_transform


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen[T](cls: type[T]) -> type[T]:
    """Make a slotted dataclass that compares and hashes as a frozen one, and that no code of ours may change."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
