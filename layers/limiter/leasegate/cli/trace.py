"""``leasegate trace``: what X-Ray recorded of requests, and how often each of them waited for DynamoDB."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ..errors import InvalidRequest, NotFound
from ..limits import HOUR_MS
from .arguments import DURATION
from .exits import Exit
from .output import plain
from .rendering import moment
from .session import Command, Session
from .waterfall import depths_json, distribution, notes, operations, trace_json, traces_table, waterfall
from .xray import KEPT_MS, Fetched, XRay, read_trace_id, started_at_ms

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..http.documents import Document
    from .services import Services

_OUTPUTS: Final[Mapping[str, str]] = {
    function: f"{function.capitalize()}FunctionName"
    for function in ("acquire", "admin", "aggregator", "sweep", "backfill")
}
_MOST: Final = 1_000
_SINCE_MS: Final = HOUR_MS


class TraceArgument(click.ParamType[str]):
    """``1-5759e988-bd862e3fe1be46a994272793``, or the 32 digits of a W3C trace id."""

    name = "trace id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401 - click's
        """Read a trace's id."""
        trace_id = read_trace_id(str(value))
        if trace_id is None:
            self.fail(
                f"{value!r} must be written as 1-5759e988-bd862e3fe1be46a994272793, or as 32 hexadecimal digits",
                param,
                ctx,
            )
        return trace_id


@click.command("trace", cls=Command)
@click.argument("trace_ids", type=TraceArgument(), nargs=-1, metavar="[TRACE_ID]...")
@click.option(
    "--last", "most", type=click.IntRange(1, _MOST), metavar="N", help="The newest N traces of a function."
)
@click.option("--stack", metavar="NAME", help="The stack, whose outputs name the function.")
@click.option("--function", type=click.Choice(tuple(_OUTPUTS)), help="Which function of it; by default acquire.")
@click.option("--since", "since_ms", type=DURATION, help="How far back to look; by default 1h, at most 30d.")
@click.option(
    "--filter", "expression", metavar="EXPR", help="Only traces of which this is true; in X-Ray's own language."
)
@click.option("--details", is_flag=True, help="Of several traces, show each.")
@click.option(
    "--html", "target", type=click.Path(dir_okay=False), metavar="FILE", help="Also write a page with drawings."
)
@click.pass_obj
def trace(
    session: Session,
    trace_ids: tuple[str, ...],
    most: int | None,
    stack: str | None,
    function: str | None,
    since_ms: int | None,
    expression: str | None,
    details: bool,
    target: str | None,
) -> None:
    """Show what requests asked of DynamoDB, step by step.

    leasegate trace 1-5759e988-bd862e3fe1be46a994272793

    leasegate trace --last 20 --stack leasegate --since 3h --filter 'annotation.verdict = "refused"'

    What ran side by side is one step. The depth is how many steps there are: how often a request waited for
    DynamoDB, one wait after the other. X-Ray records one request a second and 5 % of the others; it has a trace
    some 30 s later, and keeps it for 30 days.
    """
    only_with_last = {"--stack": stack, "--function": function, "--since": since_ms, "--filter": expression}
    _check(trace_ids, most, only_with_last)
    output = session.output
    with session.services() as services:
        xray = services.xray()
        if most is not None and stack is not None:
            since_ms = _SINCE_MS if since_ms is None else since_ms
            name = _function(services, stack, function or "acquire")
            trace_ids, arriving = _newest(session, xray, most, name, expression, since_ms)
            if arriving:
                output.note(plain(f"{arriving} more {'has' if arriving == 1 else 'have'} not wholly arrived."))
        with output.counting("Fetching traces") as count:
            fetched = xray.fetch(tuple(dict.fromkeys(trace_ids)), count)
    if target is not None:
        _write_page(target, fetched)
    if fetched.traces or most is not None:
        output.answer(_document(fetched), *_texts(fetched, details=details))
    _end(session, fetched)


def _check(trace_ids: tuple[str, ...], most: int | None, only_with_last: Mapping[str, object]) -> None:
    """Raise where options contradict each other, before anything is sent."""
    if most is not None:
        if trace_ids:
            raise click.UsageError("--last and TRACE_ID exclude each other")
        if only_with_last["--stack"] is None:
            raise click.UsageError("--last needs --stack, whose outputs name the function")
        since_ms = only_with_last["--since"]
        if isinstance(since_ms, int) and not 0 < since_ms <= KEPT_MS:
            raise InvalidRequest(
                "--since", "must be at most 30 days, for which X-Ray keeps traces, and not nothing"
            )
        return
    if not trace_ids:
        raise click.UsageError("which traces? Give a TRACE_ID, or --last and --stack")
    for option, value in only_with_last.items():
        if value is not None:
            raise click.UsageError(f"{option} is only for --last")


def _function(services: Services, stack: str, function: str) -> str:
    outputs = services.outputs(stack)
    if _OUTPUTS[function] not in outputs:
        raise InvalidRequest("--stack", f"{stack} has no output {_OUTPUTS[function]}")
    return outputs[_OUTPUTS[function]]


def _newest(
    session: Session, xray: XRay, most: int, function: str, expression: str | None, since_ms: int
) -> tuple[tuple[str, ...], int]:
    now_ms = session.now_ms()
    newest = xray.find_newest(most, function, expression, now_ms - since_ms, now_ms)
    return newest.trace_ids, newest.arriving


def _texts(fetched: Fetched, *, details: bool) -> list[RenderableType]:
    traces, lacks = fetched.traces, fetched.lacks
    if not traces:
        return [plain("No traces.")]
    if len(traces) == 1:
        return waterfall(traces[0], lacks)
    texts: list[RenderableType] = []
    if details:
        for one in traces:
            texts += [*waterfall(one, lacks), ""]
    return [*texts, traces_table(traces, lacks), plain(distribution(traces, lacks))]


def _document(fetched: Fetched) -> Document:
    return {
        "items": [trace_json(one, fetched.lacks) for one in fetched.traces],
        "depths": depths_json(fetched.traces, fetched.lacks),
        "missing": list(fetched.missing),
        "unprocessed": list(fetched.unprocessed),
    }


def _end(session: Session, fetched: Fetched) -> None:
    """Say which traces were not shown, and end accordingly."""
    if fetched.unprocessed:
        named = ", ".join(fetched.unprocessed)
        session.output.note(plain(f"leasegate: X-Ray did not process, ask again: {named}", "red"))
    if fetched.missing:
        raise NotFound(f"X-Ray has no trace {', '.join(fetched.missing)}")
    if fetched.unprocessed:
        session.end(Exit.INCOMPLETE)


def _write_page(target: str, fetched: Fetched) -> None:
    """Write the traces as a page, whole or not at all."""
    # Imported here: only who wants a page waits for what draws it.
    from .drawing import Figure, Panel, write_page

    figures = []
    for one in fetched.traces:
        lack = fetched.lacks.get(one.trace_id)
        said = [moment(started_at_ms(one)), notes(one), f"Incomplete: {lack}." if lack else ""]
        text = "\n\n".join([part for part in said if part])
        figures.append(Figure(one.trace_id, text, (Panel(operations(one), one),)))
    page = write_page("Traces", distribution(fetched.traces, fetched.lacks), figures)
    draft = Path(f"{target}.{os.getpid()}.part")
    try:
        draft.write_text(page, encoding="utf-8")
        draft.replace(target)
    except OSError as error:
        raise InvalidRequest("--html", str(error)) from error
    finally:
        with suppress(OSError):
            draft.unlink()
