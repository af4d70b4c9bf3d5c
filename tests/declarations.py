"""Files of any content, for Hypothesis; every one of them can be applied to an empty table."""

from __future__ import annotations

from hypothesis import strategies as st

from leasegate import Limit
from leasegate.declaration import Desired
from leasegate.declaration.desired import UNMENTIONED, DesiredEntity, DesiredResource
from leasegate.limits import DAY_MS, MAX_CONCURRENT, MAX_LEASE_S, MAX_PERIOD_MS

_TOKENS = st.integers(1, 10**12)
_RESOURCES = st.sampled_from(["gpt-4", "gpt-3.5", "007", "on", "a:b@c+d"])
_ENTITIES = ["project-1", "key-1", "null", "12:30", "0x1F", "e.f"]
# What a table holds: every character but halves of surrogate pairs.
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
_NAMES = _TEXTS | st.sampled_from(
    ["null", "~", "true", "1.10", "*", "- a", "a: b", "#", " ", "'", '"', "é\n\t\x7f"]
)
_LEVELS = 4


@st.composite
def limits(draw: st.DrawFn, most: int = 3) -> tuple[Limit, ...]:
    """Draw the limits of a level, at least one."""
    names = draw(
        st.lists(
            st.sampled_from(["rpm", "tpm", "name", "limits", "0", "-"]), unique=True, min_size=1, max_size=most
        )
    )
    return tuple([draw(token_limits(name) | concurrency_limits(name)) for name in sorted(names)])


def token_limits(name: str) -> st.SearchStrategy[Limit]:
    """Draw limits of tokens over time."""
    days = st.integers(1, 366).map(lambda days: days * DAY_MS)
    return st.builds(Limit, st.just(name), _TOKENS, _TOKENS, st.integers(1, MAX_PERIOD_MS) | days)


def concurrency_limits(name: str) -> st.SearchStrategy[Limit]:
    """Draw limits of leases at a time."""
    minutes = st.integers(1, MAX_LEASE_S // 60).map(lambda minutes: minutes * 60)
    concurrent = st.integers(1, MAX_CONCURRENT)
    return st.builds(Limit.concurrent, st.just(name), concurrent, st.integers(1, MAX_LEASE_S) | minutes)


@st.composite
def declarations(draw: st.DrawFn) -> Desired:
    """Draw a file: parents of entities stand in it too, on at most four levels."""
    any_limits = limits() | st.just(())
    resources = st.builds(DesiredResource, st.just(UNMENTIONED) | any_limits, st.just(UNMENTIONED) | st.booleans())
    levels: dict[str, int] = {}
    entities: dict[str, DesiredEntity] = {}
    for entity_id in draw(st.lists(st.sampled_from(_ENTITIES), unique=True)):
        parents = [name for name, level in levels.items() if level < _LEVELS]
        parent = draw(st.sampled_from([UNMENTIONED, None, *parents]))
        levels[entity_id] = 1 if parent in (UNMENTIONED, None) else levels[str(parent)] + 1
        entities[entity_id] = DesiredEntity(
            parent_id=parent,
            name=draw(st.just(UNMENTIONED) | st.none() | _NAMES),
            metadata=draw(st.just(UNMENTIONED) | st.dictionaries(_NAMES, _NAMES | st.just(""), max_size=3)),
            limits=draw(st.dictionaries(st.none() | _RESOURCES, any_limits, max_size=3)),
            disabled=draw(st.just(UNMENTIONED) | st.frozensets(st.none() | _RESOURCES)),
        )
    return Desired(
        system=draw(st.just(UNMENTIONED) | any_limits),
        resources=draw(st.dictionaries(_RESOURCES, resources, max_size=3)),
        entities=entities,
    )
