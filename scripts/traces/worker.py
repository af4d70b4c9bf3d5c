"""A process of the acquire function that answers requests when it is told to, and says what they took.

It reads a JSON object for each turn from standard input, ``{"entity_id": ..., "times": 40}``, and writes one to
standard output, ``{"cpu_s": ..., "wall_s": ...}``. What the function prints is dropped. Where the environment's
SAMPLED is "1", X-Ray gets what it records.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Final

from scripts.traces.events import acquire_event

WORKER: Final = "scripts.traces.worker"
QUESTION: Final = {"resource": "gpt-4", "consume": {"rps": 1, "tps": 1}}


class Context:
    """The part of Lambda's context that the function uses."""

    function_name = "acquire"
    memory_limit_in_mb = 1_024
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:acquire"
    aws_request_id = "7a1b3c5d-0000-4000-8000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """Return more than it takes."""
        return 10_000


def main() -> None:
    """Answer until standard input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    with open(os.devnull, "w") as sys.stdout:
        from functions.acquire.app import handler

        sampled = os.environ.get("SAMPLED", "0")
        number = 0
        for line in sys.stdin:
            turn = json.loads(line)
            event = acquire_event({**QUESTION, "entity_id": turn["entity_id"]})
            cpu_s, wall_s = time.process_time(), time.perf_counter()
            for _ in range(turn["times"]):
                number += 1
                root = f"1-5759e988-{number:024x}"
                os.environ["_X_AMZN_TRACE_ID"] = f"Root={root};Parent=53995c3f42cd8ad8;Sampled={sampled}"
                answer = handler(event, Context())
                if answer["statusCode"] != 200:
                    raise RuntimeError(answer["body"])
            took = {"cpu_s": time.process_time() - cpu_s, "wall_s": time.perf_counter() - wall_s}
            print(json.dumps(took), file=answers, flush=True)


if __name__ == "__main__":
    main()
