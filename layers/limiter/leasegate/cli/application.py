"""The command itself: its options, and the commands below it."""

from __future__ import annotations

from importlib import metadata

import click

from .backfill import backfill
from .cost import cost
from .declared import apply, export, plan
from .entities import entity
from .limits import limits
from .resources import audit, resources
from .session import Group, common_options
from .simulate import simulated
from .spending import acquire, available
from .trace import trace
from .usage import usage


@click.group(
    cls=Group,
    params=common_options(reads_environment=True),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done or granted; 1 the answer is no; 2 bad input; 3 the table does not answer; 4 what "
    "is there does not allow it (not found, exists already); 5 some of it was not done; 130 interrupted.",
)
@click.version_option(metadata.version("leasegate"))
def leasegate() -> None:
    """Exact rate limits on one DynamoDB table: say who may spend what, see what is left.

    The options below may stand before the command or after it.
    """


for of_a_file in (plan, apply, export):
    limits.add_command(of_a_file)
for group in (limits, entity, resources, usage):
    leasegate.add_command(group)
for command in (acquire, available, audit, backfill, trace, simulated, cost):
    leasegate.add_command(command)
