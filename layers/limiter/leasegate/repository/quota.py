"""How much a process repeats: a quota of retries, shared by all its calls to one table.

As in the standard mode of AWS's SDKs: https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
While a table answers, what is lost now and then is repeated freely. While it does not, the quota is soon spent,
and from then on every call is one attempt: a table that comes back meets its callers, not all their repetitions.
"""

from __future__ import annotations

import threading
from typing import Final

QUOTA: Final = 500
"""What a process may be in advance: 100 repetitions, or 50 of those that time out."""
RETRY_COST: Final = 5
TIMEOUT_COST: Final = 10
"""What cost a thread its time costs more: there is less hope."""
_ANSWER_GAIN: Final = 1


class RetryQuota:
    """A bucket of tokens that repetitions take and answers give back; safe to share between threads."""

    def __init__(self, tokens: int = QUOTA) -> None:
        """Start full."""
        self._most = self._tokens = tokens
        self._lock = threading.Lock()

    @property
    def tokens(self) -> int:
        """How many there are now."""
        return self._tokens

    def take(self, cost: int) -> bool:
        """Take tokens for a repetition; say whether they were there."""
        with self._lock:
            if cost > self._tokens:
                return False
            self._tokens -= cost
            return True

    def give_back(self, taken: int) -> None:
        """Take note of an answer: what its repetitions took comes back, or a little where there were none."""
        if not taken and self._tokens == self._most:
            return  # as nearly always, without the lock
        with self._lock:
            self._tokens = min(self._most, self._tokens + (taken or _ANSWER_GAIN))
