"""Which versions get a stage's traffic, and with which weights, from the pods as they are observed. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence

from modelyard import api
from modelyard.api.reason import Reason
from modelyard.api.stage import ServingStatus
from modelyard.ledger import record
from modelyard.plan import finding
from modelyard.plan.observed.world import World


def states(world: World, stages: Sequence[api.StageStatus], now: datetime.datetime) -> Iterator[record.StageState]:
    """Yield each stage with its current version and the versions that may get its traffic: from the first ready pod until scaled to nothing.

    While there are several, the weight of each is its share of the ready pods; while no pod is ready, the weights stay.
    """
    for stage, previous in each(world, stages):
        yield state(stage, tuple(_shares(world, stage, previous, now)))


def each(world: World, stages: Sequence[api.StageStatus]) -> Iterator[tuple[api.StageStatus, record.StageState]]:
    """Yield each stage that has a status or still serves, with its recorded state."""
    before = {stage.name: stage for stage in world.state}
    declared = {stage.name: stage for stage in stages}
    for name in sorted({*declared, *(stage.name for stage in world.state if stage.serves)}):
        yield declared.get(name, api.StageStatus(name=name)), before.get(name, record.StageState(name))


def state(stage: api.StageStatus, shares: tuple[record.Share, ...]) -> record.StageState:
    """Return the state of a stage as a record has it."""
    runs = stage.serving or ServingStatus(deployment="")
    return record.StageState(stage.name, stage.current, stage.digest, stage.since, shares, stage.previous, runs.template, runs.source)


def _shares(world: World, stage: api.StageStatus, previous: record.StageState, now: datetime.datetime) -> Iterator[record.Share]:
    if stage.name in world.unexposed and (not previous.serves or service_taken(world, stage.name)):
        return  # without its Service nobody knows where traffic goes; a Service that was just deleted is put back at once
    pods = [pod for pod in world.pods if pod.stage == stage.name and pod.version]
    earlier = {share.version: share for share in previous.serves}
    wanted = _wanted(world, stage)
    # A pod that is briefly not ready changes nothing: the wanted version goes on serving until it is scaled to nothing.
    serving = {pod.version for pod in pods if pod.ready} | {v for v in earlier if v == wanted or any(pod.version == v for pod in pods)}
    ready = {version: sum(1 for pod in pods if pod.version == version and pod.ready) for version in serving}
    same = set(earlier) == serving
    total = sum(ready.values())
    for version in sorted(serving):
        share = earlier.get(version)
        weight = round(100 * ready[version] / total) if total else share.weight if share and same else 100 // len(serving)
        modelversion = world.versions.get(version)
        proven = modelversion.status.artifact.digest if modelversion and modelversion.status.artifact else None
        yield record.Share(version, (share.digest if share else None) or proven, weight, share.since if share else now)


def service_taken(world: World, stage: str) -> finding.Finding | None:
    """Return what is wrong, where the stage's Service is somebody else's."""
    if stage not in world.unexposed:
        return None
    return next((why for wish, why in world.refused.items() if wish.stage == stage and why.reason == Reason.NAME_TAKEN), None)


def _wanted(world: World, stage: api.StageStatus) -> str | None:
    """Return the version that the stage's Deployment runs by its spec; None when that has no replicas."""
    deployment = world.deployments.get(stage.name)
    if deployment is None or deployment.desired == 0:
        return None
    if stage.rollout and deployment.template == stage.rollout.template:
        return stage.rollout.version
    return stage.current
