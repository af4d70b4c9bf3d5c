"""What acquires are held to after a change: whoever begins when it has ended obeys it.

An entity's own limits, parent and state are obeyed at once; what a process may believe for a while, once that is
over. Where a change broke off half-way nobody can say what holds, until the next one takes it up.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from .. import schema
from ..errors import Disabled, InvalidRequest, StoreError
from ..flows import reading
from ..flows.grants import Ask, Charge, Grant
from ..knowledge import DEFAULT_MAX_AGE_MS, DEFAULT_REFUSAL_AGE_MS, Defaults
from ..limits import Limits
from ..operations import Item, Key
from .calls import Call, Violation
from .family import DEFAULTS
from .table import SimulatedTable
from .world import START_MS, World


@dataclass(slots=True)
class Standing:
    """What is known of the changes of one entity, or of the defaults.

    ``open`` changes are under way. One was ``torn`` at a step: it broke off, and none came after that took it up.
    """

    open: int = 0
    torn_step: int | None = None
    changed_step: int = -1
    changed_ms: int = START_MS

    def is_settled_since(self, call: Call) -> bool:
        """Say whether all that holds was settled before a call began, and stayed so until now."""
        return not self.open and self.torn_step is None and self.changed_step < call.began_step


@dataclass(slots=True)
class Obedience:
    """Follows changes, and holds grants and refusals to them; ``checked`` counts by what."""

    skew_ms: int
    standings: defaultdict[str, Standing] = field(default_factory=lambda: defaultdict(Standing))
    checked: Counter[str] = field(default_factory=Counter)

    @property
    def _age_ms(self) -> int:
        return DEFAULT_MAX_AGE_MS + 2 * self.skew_ms

    def begin(self, names: tuple[str, ...]) -> None:
        """Take in that a change of these entities begins."""
        for name in names:
            self.standings[name].open += 1

    def end(self, world: World, call: Call, *, is_torn: bool) -> None:
        """Take in how it ended; the first of its entities is the one that it is about."""
        for name in call.subject:
            standing = self.standings[name]
            standing.open -= 1
            standing.changed_step, standing.changed_ms = world.step, world.now_ms
            if is_torn:
                standing.torn_step = world.step
            elif name == call.subject[0] and call.error is None and standing.torn_step is not None:
                standing.torn_step = None if standing.torn_step < call.began_step else standing.torn_step

    # --- acquires ------------------------------------------------------------------------------------

    def check_grant(self, world: World, call: Call, grant: Grant) -> None:
        """Hold every level of a grant to what was settled before it was asked for."""
        charges = grant.charges
        if self._knows_defaults(call):
            self._check_resource(world.table, grant.resource, is_disabled=False)
        for place, charge in enumerate(charges):
            standing = self.standings[charge.entity_id]
            if standing.open or standing.torn_step is not None or standing.changed_step >= call.began_step:
                continue
            above = charges[place + 1].entity_id if place + 1 < len(charges) else None
            self._check_charge(world, call, grant.resource, charge, above, own=place == 0)

    def _check_charge(
        self, world: World, call: Call, resource: str, charge: Charge, above: str | None, *, own: bool
    ) -> None:
        # Of an ancestor whose bucket was not written nothing was checked: it is believed for a while.
        standing = self.standings[charge.entity_id]
        if not own and not charge.amounts and call.began_ms - standing.changed_ms <= self._age_ms:
            return
        items = _items(world.table, charge.entity_id, resource)
        truth = reading.parse_entity_reading(items, charge.entity_id, resource)
        entity, keys = truth.entity, reading.entity_keys(charge.entity_id, resource)
        if entity.is_disabled(resource):
            raise Violation(f"{charge.entity_id} was granted something, and is disabled", *keys)
        if call.subject.cascade and above != entity.parent_id:
            raise Violation(
                f"{charge.entity_id} is the child of {entity.parent_id}, and {above} was charged", *keys
            )
        self.checked["parents"] += 1
        resolved = truth.resolve()
        if not own and resolved is not None:
            self._check_complete(call.subject, charge, resolved.limits, keys)
        if not own and not charge.amounts:
            return  # it limits nothing of what was asked for
        if resolved is not None:
            expected, level = resolved.limits, "limits"
        elif not own:
            raise Violation(f"{charge.entity_id} has no limits, and was charged", *keys)
        elif self._knows_defaults(call):
            defaults = reading.resolve_defaults(_defaults(world.table, resource), None)
            if defaults is None:
                raise Violation("something was granted without any limits", *keys)
            expected, level = defaults.limits, "defaults"
        else:
            return
        if charge.state is None or charge.state.limits != expected:
            raise Violation(f"{charge.entity_id} obeys others than its {level}", *keys)
        self.checked[level] += 1

    def _check_complete(self, ask: Ask, charge: Charge, limits: Limits, keys: tuple[Key, ...]) -> None:
        """Hold an ancestor's charge to all that it limits of what was asked for."""
        ignored = [name for name, n in ask.consume.items() if n and name in limits and name not in charge.amounts]
        if ignored:
            raise Violation(f"{charge.entity_id} limits {ignored}, and was not charged", *keys)
        self.checked["ancestors"] += 1

    def check_disabled(self, world: World, call: Call, error: Disabled) -> None:
        """Hold a refusal for being disabled to what is, or was until lately, of the entity or of one above it."""
        if error.entity_id is None:
            if self._knows_defaults(call):
                self._check_resource(world.table, error.resource, is_disabled=True)
            return
        standing = self.standings[error.entity_id]
        is_own = error.entity_id == call.subject.entity_id
        age_ms = DEFAULT_REFUSAL_AGE_MS + 2 * self.skew_ms if is_own else self._age_ms
        if standing.is_settled_since(call) and call.began_ms - standing.changed_ms > age_ms:
            items = _items(world.table, error.entity_id, error.resource)
            if not reading.parse_entity_reading(items, error.entity_id, error.resource).entity.is_disabled(
                error.resource
            ):
                raise Violation(f"{error.entity_id} was refused as disabled, and is not", *items)
            self.checked["disabled"] += 1
        path = self._settled_path(world, call)
        if path is not None:
            if error.entity_id not in path:
                raise Violation(f"{error.entity_id} was refused as disabled, and is not above {path[0]}")
            self.checked["disabled ancestors"] += not is_own

    def check_invalid(self, world: World, call: Call, error: InvalidRequest) -> None:
        """Hold an acquire that was said to be wrong to the limits: it asks for what is not there, or too much."""
        path = self._settled_path(world, call)
        if path is None or not self._knows_defaults(call):
            return
        ask: Ask = call.subject
        for entity_id in path:
            truth = reading.parse_entity_reading(
                _items(world.table, entity_id, ask.resource), entity_id, ask.resource
            )
            resolved, own = truth.resolve(), entity_id == path[0]
            if own and resolved is None:
                resolved = reading.resolve_defaults(_defaults(world.table, ask.resource), None)
            limits = {} if resolved is None else resolved.limits
            if any(n > limits[name].capacity if name in limits else own for name, n in ask.consume.items()):
                self.checked["invalid"] += 1
                return
        raise Violation(f"{ask.consume} of {ask.entity_id} was said to be wrong ({error}), and is not")

    def _settled_path(self, world: World, call: Call) -> list[str] | None:
        """Return an acquire's entity and all above it that it spends of; None where anybody may know others."""
        above: str | None = call.subject.entity_id
        path: list[str] = []
        while above is not None:
            standing = self.standings[above]
            if not standing.is_settled_since(call) or call.began_ms - standing.changed_ms <= self._age_ms:
                return None
            path.append(above)
            record = schema.parse_entity(world.table.item(schema.entity_key(above)))
            above = record.parent_id if call.subject.cascade else None
        return path

    def _check_resource(self, table: SimulatedTable, resource: str, *, is_disabled: bool) -> None:
        if _defaults(table, resource).is_disabled != is_disabled:
            raise Violation(
                f"{resource} is{' not' if is_disabled else ''} disabled", *reading.defaults_keys(resource)
            )
        self.checked["resources"] += 1

    def _knows_defaults(self, call: Call) -> bool:
        standing = self.standings[DEFAULTS]
        return standing.is_settled_since(call) and call.began_ms - standing.changed_ms > self._age_ms


def is_torn(call: Call) -> bool:
    """Say whether a change broke off."""
    return isinstance(call.error, StoreError)


def _items(table: SimulatedTable, entity_id: str, resource: str) -> Mapping[Key, Item]:
    found = {key: table.item(key) for key in reading.entity_keys(entity_id, resource)}
    return {key: item for key, item in found.items() if item is not None}


def _defaults(table: SimulatedTable, resource: str) -> Defaults:
    found = {key: table.item(key) for key in reading.defaults_keys(resource)}
    return reading.parse_defaults_reading({key: item for key, item in found.items() if item is not None}, resource)
