"""The command ``leasegate``; ``pip install leasegate[cli]`` brings what it needs.

`exits` says how commands end, `session` what they have in common; `output`, `rendering`, `charts`, `waterfall`
and `drawing` write answers, `replay` replays dead letters by `services`, `xray` reads traces. Modules that have
commands are named for them.
"""

from __future__ import annotations

import sys

_BROUGHT_BY_THE_EXTRA = ("click", "rich", "yaml")


def main() -> None:
    """Run the command with the arguments of this process."""
    try:
        from .application import leasegate
        from .connection import connect, connect_services
        from .session import Connections
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _BROUGHT_BY_THE_EXTRA:
            raise
        sys.stderr.write(f"leasegate: the command needs {error.name}; run: pip install 'leasegate[cli]'\n")
        sys.exit(2)
    leasegate(prog_name="leasegate", obj=Connections(connect, connect_services))
