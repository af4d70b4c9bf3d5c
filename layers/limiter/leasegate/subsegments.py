"""How a recorded call is annotated: the names that who records and who reads have in common."""

from __future__ import annotations

from typing import Final

REFUSED: Final = "refused"
"""The annotation of a call whose condition did not hold."""
ATTEMPT: Final = "attempt"
"""The annotation of an attempt that repeats another one: 2, 3, and so on."""
