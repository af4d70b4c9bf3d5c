"""Making the table what a file says, change by change. Safe to interrupt: a new plan has what is left."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event, Lock
from typing import TYPE_CHECKING

from ..errors import LeasegateError, StoreError
from ..flows.entities import UNCHANGED
from .changes import Change, ChangeLimits, CreateEntity, FinishChanges, Switch, UpdateEntity
from .crew import THREADS, Progress, side_by_side
from .plan import Plan, Track

if TYPE_CHECKING:
    from ..administration import Administrator


@dataclass(frozen=True, slots=True)
class Failed:
    """A change that was refused, and why."""

    change: Change
    error: LeasegateError


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a plan.

    Attributes:
        done: changes that were made.
        failed: those that were not, each with its error.
        left: those that were not tried: after a failure of the same thing, or when the table no longer answered.
    """

    done: tuple[Change, ...]
    failed: tuple[Failed, ...]
    left: tuple[Change, ...]

    @property
    def is_complete(self) -> bool:
        """Whether everything was done."""
        return not self.failed and not self.left


def apply_plan(
    administrator: Administrator,
    plan: Plan,
    *,
    threads: int = THREADS,
    progress: Progress = lambda done, total: None,
) -> Report:
    """Make the changes of a plan, ``threads`` at once, a stage after the other.

    A change that is refused ends the changes of the same thing; the others go on. What was refused is tried
    again at the end, as long as that helps: of two moves, one may have to make room for the other. Where the table
    does not answer nothing more is begun. Nothing is raised but what interrupts the program; then the changes of
    things that were begun are ended first.
    """
    work = _Work(administrator, len(plan.changes), progress)
    open_tracks: list[Track] = []
    for stage in plan.stages:
        open_tracks += [left for left in side_by_side(work.follow, stage, threads) if left]
    done_before = 0
    while open_tracks and not work.is_stopped and work.count > done_before:
        done_before = work.count
        open_tracks = [left for track in open_tracks if (left := work.follow(track))]
    return work.report(plan)


class _Work:
    """What the threads have in common. Changes are told apart by their identity: values may be equal."""

    def __init__(self, administrator: Administrator, total: int, progress: Progress) -> None:
        self._done: set[int] = set()
        self._errors: dict[int, LeasegateError] = {}
        self._administrator = administrator
        self._total = total
        self._progress = progress
        self._lock = Lock()
        self._stopped = Event()

    @property
    def count(self) -> int:
        return len(self._done)

    @property
    def is_stopped(self) -> bool:
        return self._stopped.is_set()

    def follow(self, track: Track) -> Track:
        """Make the changes of a track; return what is left of it, the one that failed first."""
        for index, change in enumerate(track):
            if self.is_stopped:
                return track[index:]
            try:
                make(self._administrator, change)
            except LeasegateError as error:
                if isinstance(error, StoreError):
                    self._stopped.set()
                with self._lock:
                    self._errors[id(change)] = error
                return track[index:]
            with self._lock:
                self._done.add(id(change))
                self._errors.pop(id(change), None)
                self._progress(len(self._done), self._total)
        return ()

    def report(self, plan: Plan) -> Report:
        """Return what became of each change, in the order of the plan."""
        changes = {id(change): change for change in plan.changes}
        return Report(
            tuple([change for key, change in changes.items() if key in self._done]),
            tuple([Failed(change, self._errors[key]) for key, change in changes.items() if key in self._errors]),
            tuple([c for key, c in changes.items() if key not in self._done and key not in self._errors]),
        )


def make(administrator: Administrator, change: Change) -> None:
    """Make one change. Errors as of the administrator."""
    match change:
        case ChangeLimits():
            _change_limits(administrator, change)
        case CreateEntity(entity_id, parent_id, name, metadata):
            administrator.create_entity(entity_id, parent_id, name=name, metadata=metadata)
        case UpdateEntity():
            _update_entity(administrator, change)
        case Switch():
            _switch(administrator, change)
        case FinishChanges(entity_id):
            administrator.finish_changes(entity_id)


def _change_limits(administrator: Administrator, change: ChangeLimits) -> None:
    entity_id, resource = change.target.entity_id, change.target.resource
    if entity_id is not None:
        if change.after:
            administrator.set_limits(entity_id, change.after, resource)
        else:
            administrator.delete_limits(entity_id, resource)
    elif resource is not None:
        if change.after:
            administrator.set_resource_defaults(resource, change.after)
        else:
            administrator.delete_resource_defaults(resource)
    elif change.after:
        administrator.set_system_defaults(change.after)
    else:
        administrator.delete_system_defaults()


def _update_entity(administrator: Administrator, change: UpdateEntity) -> None:
    """Write the fields that differ, and no other: somebody may have changed those since the plan was made."""
    before, after = change.before, change.after
    removed = dict.fromkeys(before.metadata.keys() - after.metadata.keys())
    changed = {name: text for name, text in after.metadata.items() if before.metadata.get(name) != text}
    administrator.update_entity(
        change.entity_id,
        parent_id=UNCHANGED if after.parent_id == before.parent_id else after.parent_id,
        name=UNCHANGED if after.name == before.name else after.name,
        metadata=UNCHANGED if after.metadata == before.metadata else {**removed, **changed},
    )


def _switch(administrator: Administrator, change: Switch) -> None:
    entity_id, resource = change.target.entity_id, change.target.resource
    if entity_id is not None:
        switch = administrator.disable_entity if change.is_disabled else administrator.enable_entity
        switch(entity_id, resource)
    else:
        assert resource is not None, "only entities and resources can be disabled"
        (administrator.disable_resource if change.is_disabled else administrator.enable_resource)(resource)
