"""What a plan has: only what differs, parents first, and no more than the file mentions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from leasegate import Limit
from leasegate.declaration import InvalidDeclaration, Plan, Present, parse, plan_changes
from leasegate.declaration.changes import (
    Change,
    ChangeLimits,
    CreateEntity,
    Details,
    FinishChanges,
    Switch,
    Target,
    UpdateEntity,
)
from leasegate.declaration.present import PresentEntity, PresentResource
from leasegate.records import EntityRecord

RPM = Limit.per_minute("rpm", 60)
TPM = Limit.per_minute("tpm", 10_000)
NOTHING = Present()


def planned(text: str, present: Present, *, prune: bool = False) -> tuple[Change, ...]:
    return plan_changes(parse(text), present, prune=prune).changes


def entity(entity_id: str, parent_id: str | None = None, **limits: tuple[Limit, ...]) -> PresentEntity:
    """Return an entity that was created, with limits by resource (``all``: for all resources)."""
    record = EntityRecord(
        entity_id=entity_id,
        parent_id=parent_id,
        name=None,
        metadata={},
        created_at_ms=1,
        disabled_at_ms=None,
        disabled_resources={},
        children=0,
        buckets=0,
        is_being_deleted=False,
        has_pending_changes=False,
    )
    return PresentEntity(
        entity_id, record, {None if name == "all" else name: each for name, each in limits.items()}
    )


def with_record(found: PresentEntity, **changes: object) -> PresentEntity:
    assert found.record is not None
    return replace(found, record=replace(found.record, **changes))  # type: ignore[arg-type]


def present(*entities: PresentEntity, parents: tuple[str, ...] = ()) -> Present:
    return Present(entities={one.entity_id: one for one in entities}, parents=frozenset(parents))


# --- limits ----------------------------------------------------------------------------------------


def test_limits_that_are_as_the_file_says_are_no_change() -> None:
    found = Present(system=(RPM,), resources={"gpt-4": PresentResource((TPM,), is_disabled=False)})

    assert not plan_changes(
        parse("{system: {rpm: 60/minute}, resources: {gpt-4: {limits: {tpm: 10000/minute}}}}"), found
    )


def test_limits_that_differ_are_set_whole() -> None:
    found = Present(system=(RPM, TPM))

    (change,) = planned("system: {rpm: 61/minute}", found)

    assert change == ChangeLimits(Target(), (RPM, TPM), (Limit.per_minute("rpm", 61),))
    assert change.kind == "change"


def test_a_concurrency_limit_differs_by_its_number_or_its_time_and_not_by_its_spelling() -> None:
    streams = Limit.concurrent("streams", 20, 60)
    found = Present(system=(streams,))

    assert planned("system: {streams: 20 concurrent for 60 seconds}", found) == ()
    assert planned("system: {streams: {concurrent: 20, lease_seconds: 60}}", found) == ()
    for text, limit in (
        ("21 concurrent for 60 seconds", Limit.concurrent("streams", 21, 60)),
        ("20 concurrent for 61 seconds", Limit.concurrent("streams", 20, 61)),
        ("20 per minute", Limit.per_minute("streams", 20)),
    ):
        assert planned(f"system: {{streams: {text}}}", found) == (ChangeLimits(Target(), (streams,), (limit,)),)


def test_null_deletes_limits_and_what_is_not_mentioned_stays() -> None:
    found = Present(resources={"a": PresentResource((RPM,), is_disabled=False)})

    assert planned("resources: {a: {limits: null}}", found) == (ChangeLimits(Target(resource="a"), (RPM,), ()),)
    assert planned("resources: {a: {disabled: false}}", found) == ()
    assert (
        planned("entities: {k: {limits: {b: {rpm: 60/minute}}}}", present(entity("k", a=(RPM,), b=(RPM,)))) == ()
    )


def test_pruning_deletes_what_the_file_does_not_mention_and_never_an_entity() -> None:
    found = Present(
        system=(RPM,),
        resources={
            "a": PresentResource((RPM,), is_disabled=True),
            "b": PresentResource((TPM,), is_disabled=False),
        },
        entities={"k": entity("k", all=(RPM,), a=(RPM,), b=(RPM,))},
    )

    changes = planned("{resources: {a: {}}, entities: {k: {limits: {b: {rpm: 60/minute}}}}}", found, prune=True)

    assert changes == (
        ChangeLimits(Target("k", None), (RPM,), ()),
        ChangeLimits(Target("k", "a"), (RPM,), ()),
        ChangeLimits(Target(), (RPM,), ()),
        ChangeLimits(Target(resource="a"), (RPM,), ()),
        ChangeLimits(Target(resource="b"), (TPM,), ()),
    )
    assert plan_changes(parse("entities: {k: {}}"), found, prune=True).counts == {
        "add": 0,
        "change": 0,
        "delete": 6,
    }


# --- entities --------------------------------------------------------------------------------------


def test_an_entity_that_is_not_there_is_created_before_its_limits_are_set() -> None:
    changes = planned("entities: {k: {name: K, metadata: {a: b}, limits: {a: {rpm: 60/minute}}}}", NOTHING)

    assert changes == (CreateEntity("k", None, "K", {"a": "b"}), ChangeLimits(Target("k", "a"), (), (RPM,)))


def test_an_entity_that_only_has_limits_is_left_as_it_is_unless_the_file_needs_it_created() -> None:
    state = present(with_record(entity("k", a=(RPM,)), created_at_ms=None))

    assert planned("entities: {k: {limits: {a: {rpm: 60/minute}}}}", state) == ()
    assert planned("entities: {k: {name: K}}", state) == (CreateEntity("k", None, "K", {}),)
    assert planned("entities: {k: {}, c: {parent: k}}", state)[0] == CreateEntity("k", None, None, {})


def test_only_the_details_that_are_mentioned_are_changed() -> None:
    found = with_record(entity("k", "p"), name="old", metadata={"a": "b", "c": "d"})
    before = Details("p", "old", {"a": "b", "c": "d"})
    state = present(found, parents=("q",))

    def updated(text: str) -> Details | None:
        changes = planned(f"entities: {{k: {text}}}", state)
        if not changes:
            return None
        (change,) = changes
        assert isinstance(change, UpdateEntity)
        assert change.before == before
        return change.after

    assert updated("{}") is None
    assert updated("{name: old}") is None
    assert updated("{name: new}") == replace(before, name="new")
    assert updated("{name: null}") == replace(before, name=None)
    assert updated("{metadata: {c: e}}") == replace(before, metadata={"c": "e"})
    assert updated("{parent: q}") == replace(before, parent_id="q")
    assert updated("{parent: null}") == replace(before, parent_id=None)


def test_an_entity_is_disabled_for_exactly_what_the_file_says() -> None:
    found = with_record(entity("k"), disabled_at_ms=1, disabled_resources={"a": 1, "b": 1})

    def switched(text: str) -> set[tuple[str | None, bool]]:
        changes = planned(f"entities: {{k: {{disabled: {text}}}}}", present(found))
        return {(one.target.resource, one.is_disabled) for one in changes if isinstance(one, Switch)}

    assert planned("entities: {k: {}}", present(found)) == ()
    assert switched('["*", a, b]') == set()
    assert switched("false") == {(None, False), ("a", False), ("b", False)}
    assert switched("true") == {("a", False), ("b", False)}
    assert switched("[b, c]") == {(None, False), ("a", False), ("c", True)}


def test_what_is_disabled_is_so_before_its_limits_change_and_what_is_enabled_after() -> None:
    found = with_record(entity("k"), disabled_resources={"a": 1})

    changes = planned("entities: {k: {disabled: [b], limits: {a: {rpm: 60/minute}}}}", present(found))

    assert [change.path for change in changes] == [
        "entities.k.disabled.b",
        "entities.k.limits.a",
        "entities.k.disabled.a",
    ]
    text = "resources: {a: {disabled: true, limits: {rpm: 1/day}}}"
    assert [change.path for change in planned(text, NOTHING)] == ["resources.a.disabled", "resources.a.limits"]


def test_parents_stand_in_a_stage_before_their_children() -> None:
    plan = plan_changes(parse("entities: {a: {parent: b}, b: {parent: c}, c: {}, d: {parent: c}, e: {}}"), NOTHING)

    assert [[track[0].path.removeprefix("entities.") for track in stage] for stage in plan.stages] == [
        ["c", "e"],
        ["b", "d"],
        ["a"],
    ]


def test_a_parent_may_stand_in_the_table_alone_but_somewhere_it_must() -> None:
    assert planned("entities: {k: {parent: p}}", Present(parents=frozenset({"p"}))) == (
        CreateEntity("k", "p", None, {}),
    )
    with pytest.raises(InvalidDeclaration, match=r"entities\.k\.parent: p stands not in the file"):
        planned("entities: {k: {parent: p}}", NOTHING)


def test_a_change_that_was_interrupted_is_finished_even_where_nothing_differs() -> None:
    found = with_record(entity("k", a=(RPM,)), has_pending_changes=True)

    assert planned("entities: {k: {limits: {a: {rpm: 60/minute}}}}", present(found)) == (FinishChanges("k"),)


def test_a_plan_without_changes_is_false_and_counts_nothing() -> None:
    assert not Plan(())
    assert Plan(()).counts == {"add": 0, "change": 0, "delete": 0}
