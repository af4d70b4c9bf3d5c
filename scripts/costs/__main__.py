"""Measure what everything costs; print it, and write it into the README's tables.

    python -m scripts.costs

Round trips are counted by an observer of the repository, units by the package's own meter, which bills as
DynamoDB does. Nothing here waits for a clock or a network: the table is in memory, its meaning is DynamoDB's.
"""

from scripts.costs.rendering import README, render_readme

README.write_text(rendered := render_readme(README.read_text()))
print(
    *[part.partition(" -->\n")[2].partition("<!-- end")[0] for part in rendered.split("<!-- costs: ")[1:]],
    sep="\n",
)
