"""Aliases of a Model: whether each points at a version that exists and may be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from modelyard import api
from modelyard.api import modelversion
from modelyard.api.reason import Reason
from modelyard.plan import finding
from modelyard.plan.observed.world import World


def conditions(world: World) -> Mapping[str, finding.State]:
    """Return `AliasesUnresolved` while an alias leads nowhere. Ready does not depend on it, so a Model may be applied before its versions."""
    message = "; ".join(_unresolved(world))
    return {"AliasesUnresolved": finding.State.true(Reason.ALIASES_UNRESOLVED, message)} if message else {}


def _unresolved(world: World) -> Iterator[str]:
    declared = (world.model.spec.aliases if world.model else None) or {}
    for alias, version in sorted(declared.items()):
        subject = world.versions.get(version)
        name = f"{world.name}-{version}"
        if subject is None:
            yield f"{alias} points at {version}: the ModelVersion {name} does not exist; register it, or point {alias} elsewhere"
        elif subject.spec.lifecycle == modelversion.VersionLifecycle.RETIRED or subject.status.phase == api.VersionPhase.REUSED:
            yield f"{alias} points at {version}: the ModelVersion {name} is {subject.status.phase or 'Retired'}; point {alias} elsewhere"
