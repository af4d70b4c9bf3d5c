"""Trace every case before and after, print what was counted, and write it into the documentation.

    python -m scripts.traces

An emulator is started for it, on loopback, and ended. It takes about two minutes.
"""

import sys

from rich.console import Console
from rich.markup import escape

from scripts.generated import fill_in
from scripts.processes import StartError, end_like_interrupted
from scripts.progress import say
from scripts.toolchain import ROOT
from scripts.traces.comparison import compare
from scripts.traces.daemon import TraceMissing
from scripts.traces.deployed import FunctionFailed
from scripts.traces.pictures import write_pictures
from scripts.traces.tables import DOCUMENT, PART, make_table, render_table


def main() -> int:
    """Run the command line."""
    end_like_interrupted()
    try:
        comparisons = compare()
    except (StartError, FunctionFailed, TraceMissing) as error:
        say(f"[red]Failed:[/] {escape(str(error))}")
        return 1
    except KeyboardInterrupt:
        say("Interrupted.")
        return 130
    Console().print(make_table(comparisons))
    DOCUMENT.write_text(fill_in(DOCUMENT.read_text(), PART, render_table(comparisons)))
    written = (DOCUMENT, *write_pictures(comparisons))
    say(f"Written: {', '.join([str(path.relative_to(ROOT)) for path in written])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
