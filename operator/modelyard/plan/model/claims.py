"""Claims of stages in the status of versions: made before the first pod runs, released after the last pod is gone."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence

from modelyard import api
from modelyard.api import modelversion
from modelyard.plan.model import isolation
from modelyard.plan.observed.world import World


def changed(
    world: World, stages: Sequence[api.StageStatus], now: datetime.datetime, parts: isolation.Parts
) -> Iterator[tuple[str, tuple[modelversion.StageClaim, ...]]]:
    """Yield the versions whose claims change, with their new claims.

    A stage claims a version before its first pod runs, and releases it after the last pod is gone. A broken stage keeps its claims.
    """
    wanted: dict[str, dict[str, _Wanted]] = {}
    for pod in world.pods:
        wanted.setdefault(pod.version, {})[pod.stage] = modelversion.StageState.ROLLING, None
    for entry in stages:
        for version, state in (parts.always(entry.name, _runs, world, entry) or {}).items():
            wanted.setdefault(version, {})[entry.name] = state
    for version, subject in world.versions.items():
        if version not in wanted and not subject.status.stages:
            continue
        before = {claim.name: claim for claim in subject.status.stages or []}
        claims = {name: parts.always(name, _claim, before.get(name), name, state, now) for name, state in wanted.get(version, {}).items()}
        claims |= {name: claim for name, claim in before.items() if name in parts.broken}
        after = [claim for _, claim in sorted(claims.items()) if claim]
        if after != (subject.status.stages or []):
            yield version, tuple(after)


_Wanted = tuple[modelversion.StageState, datetime.datetime | None]
"""The state, and since when for a claim that was lost; None: since now."""


def _runs(world: World, entry: api.StageStatus) -> Mapping[str, _Wanted]:
    """Return the versions that a stage runs, with its current version."""
    declared = world.stage(entry.name)
    serves = (declared.serving if declared else entry.serving) is not None
    wanted: dict[str, _Wanted] = {}
    if entry.current:
        wanted[entry.current] = modelversion.StageState.SERVING if serves else modelversion.StageState.GRANTED, entry.since
    if entry.rollout and entry.rollout.version != entry.current:
        wanted[entry.rollout.version] = modelversion.StageState.ROLLING, None
    return wanted


def _claim(previous: modelversion.StageClaim | None, name: str, wanted: _Wanted, now: datetime.datetime) -> modelversion.StageClaim:
    """Return a stage's claim on a version. A claim whose state stays keeps its time."""
    state, since = wanted
    if previous and previous.state == state:
        return previous
    began = since if previous is None and since else now.replace(microsecond=0)
    return modelversion.StageClaim(name=name, state=state, since=began)


def new_stages(subject: api.ModelVersion, claims: Sequence[modelversion.StageClaim]) -> set[str]:
    """Return the stages that are to run a version, and have no claim in its status yet."""
    return {claim.name for claim in claims} - {claim.name for claim in subject.status.stages or []}
