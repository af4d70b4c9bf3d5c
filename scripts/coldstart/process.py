"""One cold start of the acquire function, and what it takes; with Lambda's search path and nothing else.

It is told the request on standard input, twice answers it, and writes to standard output what that took, in JSON.
What the function prints is dropped.
"""

import json
import os
import sys
import time
from pathlib import Path

import awslambdaric.bootstrap  # noqa: F401 - what is there before a function is imported


class Context:
    """The part of Lambda's context that the function uses."""

    function_name = "AcquireFunction"
    memory_limit_in_mb = 1_024
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:AcquireFunction:live"
    aws_request_id = "7a1b3c5d-0000-4000-8000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """Return more than it takes."""
        return 10_000


def most_memory_bytes() -> int:
    """Return the most memory that this process had, as Linux says; getrusage counts that of the parent too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (most,) = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(most) * 1_024


def main() -> None:
    """Import, call, call again."""
    event = json.load(sys.stdin)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    with open(os.devnull, "w") as sys.stdout:
        times = [time.process_time()]
        handler = __import__("app").handler  # not by importlib, whose imports -X importtime does not show
        times.append(time.process_time())
        for _ in range(2):
            answer = handler(event, Context())
            times.append(time.process_time())
            if answer["statusCode"] != 200:
                raise RuntimeError(answer["body"])
    start = {
        "import_s": times[1] - times[0],
        "first_s": times[2] - times[1],
        "second_s": times[3] - times[2],
        "memory_bytes": most_memory_bytes(),
        "modules": sorted(sys.modules),
    }
    print(json.dumps(start), file=answers, flush=True)


if __name__ == "__main__":
    main()
