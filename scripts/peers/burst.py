"""How much a bucket gives at once that nobody has asked for a while, under a virtual clock.

    python -m scripts.peers.burst NAME ENDPOINT_URL

A bucket of ``CAPACITY`` tokens, which refills in a minute, gives one token, and is left alone for a minute. Then
somebody asks for one after the other until they are refused; nothing takes time. A token bucket grants its
capacity. The table must be there. Writes a JSON object.
"""

from __future__ import annotations

import itertools
import json
import sys
from typing import Final

from scripts.peers.contestant import contestant
from scripts.peers.virtual_clock import VirtualClock

BURST: Final = "scripts.peers.burst"
CAPACITY: Final = 100
REFILL_S: Final = 60


def granted_at_once(name: str, endpoint_url: str) -> int:
    """Return how many tokens a contestant grants."""
    clock = VirtualClock()
    clock.rule_this_process()
    own = contestant(name)(endpoint_url)
    own.store("burst", "resource", {"rpm": CAPACITY})
    own.ask("burst", "resource", {"rpm": 1})
    clock.sleep(REFILL_S)
    return next(number for number in itertools.count() if own.ask("burst", "resource", {"rpm": 1}) is not None)


if __name__ == "__main__":
    print(json.dumps({"granted": granted_at_once(*sys.argv[1:])}))
