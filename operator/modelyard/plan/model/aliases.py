"""Names that people and clients point at: whether there is something at the end of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from modelyard import api
from modelyard.api import modelversion
from modelyard.api.reason import Reason
from modelyard.plan import finding
from modelyard.plan.observed.world import World


def conditions(world: World) -> Mapping[str, finding.State]:
    """`AliasesUnresolved` while an alias leads nowhere. Ready stays as it is: who applies the Model before its versions is not held up by it."""
    told = "; ".join(_unresolved(world))
    return {"AliasesUnresolved": finding.State.true(Reason.ALIASES_UNRESOLVED, told)} if told else {}


def _unresolved(world: World) -> Iterator[str]:
    declared = (world.model.spec.aliases if world.model else None) or {}
    for alias, version in sorted(declared.items()):
        found = world.versions.get(version)
        called = f"{world.name}-{version}"
        if found is None:
            yield f"{alias} points at {version}: the ModelVersion {called} does not exist; register it, or point {alias} elsewhere"
        elif found.spec.lifecycle == modelversion.VersionLifecycle.RETIRED or found.status.phase == api.VersionPhase.REUSED:
            yield f"{alias} points at {version}: the ModelVersion {called} is {found.status.phase or 'Retired'}; point {alias} elsewhere"
