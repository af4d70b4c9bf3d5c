"""Measure what everything costs; print it, and write it into the README's tables.

    python -m scripts.costs

Round trips are counted by an observer of the repository, units by the package's own meter, which bills as
DynamoDB does. Nothing here waits for a clock or a network: the table is in memory, its meaning is DynamoDB's.
"""

from scripts.costs.rendering import README, fill_in_tables, render_tables

tables = render_tables()
README.write_text(fill_in_tables(README.read_text(), tables))
print(*tables.values(), sep="\n\n")
