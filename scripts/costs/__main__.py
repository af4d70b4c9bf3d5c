"""Measure what everything costs; print it, and write it into the tables of the README and of docs/performance.md.

    python -m scripts.costs

Round trips are counted by an observer of the repository, units by the package's own meter, which bills as
DynamoDB does. Nothing here waits for a clock or a network: the table is in memory, its meaning is DynamoDB's.
"""

from scripts.costs.guide import PAGE, render_guide
from scripts.costs.rendering import README, fill_in_tables, render_tables

for page, tables in ((README, render_tables()), (PAGE, render_guide())):
    page.write_text(fill_in_tables(page.read_text(), tables))
    print(*tables.values(), sep="\n\n", end="\n\n")
