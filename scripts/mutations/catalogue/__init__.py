"""All defects. A new one goes into the module of its subject, a new subject into the sum below."""

from typing import Final

from scripts.mutations.catalogue import admission, believing, direct, leases, metering, retries, usage
from scripts.mutations.defect import Defect

DEFECTS: Final[tuple[Defect, ...]] = (
    *admission.DEFECTS,
    *believing.DEFECTS,
    *retries.DEFECTS,
    *leases.DEFECTS,
    *usage.DEFECTS,
    *metering.DEFECTS,
    *direct.DEFECTS,
)
