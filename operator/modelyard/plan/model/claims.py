"""What versions say of the stages that run them: claimed before the first pod, released after the last."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence

from modelyard import api
from modelyard.api import modelversion
from modelyard.plan.model import isolation
from modelyard.plan.observed.world import World


def of(
    world: World, stages: Sequence[api.StageStatus], now: datetime.datetime, parts: isolation.Parts
) -> Iterator[tuple[str, tuple[modelversion.StageClaim, ...]]]:
    """A version is claimed before its first pod and released after its last; what a broken stage claims, it claims on."""
    wanted: dict[str, dict[str, _Wanted]] = {}
    for pod in world.pods:
        wanted.setdefault(pod.version, {})[pod.stage] = modelversion.StageState.ROLLING, None
    for stands in stages:
        for version, state in (parts.always(stands.name, _runs, world, stands) or {}).items():
            wanted.setdefault(version, {})[stands.name] = state
    for version, subject in world.versions.items():
        if version not in wanted and not subject.status.stages:
            continue
        before = {claim.name: claim for claim in subject.status.stages or []}
        said = {name: parts.always(name, _claim, before.get(name), name, state, now) for name, state in wanted.get(version, {}).items()}
        said |= {name: claim for name, claim in before.items() if name in parts.broken}
        after = [claim for _, claim in sorted(said.items()) if claim]
        if after != (subject.status.stages or []):
            yield version, tuple(after)


_Wanted = tuple[modelversion.StageState, datetime.datetime | None]
"""And since when, for a claim that was lost; None: since now."""


def _runs(world: World, stands: api.StageStatus) -> Mapping[str, _Wanted]:
    """The versions that a stage runs, or stands for."""
    declared = world.stage(stands.name)
    serves = (declared.serving if declared else stands.serving) is not None
    found: dict[str, _Wanted] = {}
    if stands.current:
        found[stands.current] = modelversion.StageState.SERVING if serves else modelversion.StageState.GRANTED, stands.since
    if stands.rollout and stands.rollout.version != stands.current:
        found[stands.rollout.version] = modelversion.StageState.ROLLING, None
    return found


def _claim(was: modelversion.StageClaim | None, name: str, wanted: _Wanted, now: datetime.datetime) -> modelversion.StageClaim:
    """What a version is to say of a stage that runs it; a claim that stays began when it began."""
    state, since = wanted
    if was and was.state == state:
        return was
    began = since if was is None and since else now.replace(microsecond=0)
    return modelversion.StageClaim(name=name, state=state, since=began)


def gained(subject: api.ModelVersion, claims: Sequence[modelversion.StageClaim]) -> set[str]:
    """The stages that are to run a version, and that it does not say yet."""
    return {one.name for one in claims} - {one.name for one in subject.status.stages or []}
