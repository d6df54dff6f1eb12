"""Retire a Model: take down what it serves stage by stage, in the order of `after`, and promote nothing any more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from modelyard import api
from modelyard.api import model
from modelyard.api.access import cel
from modelyard.api.modelversion import VersionLifecycle
from modelyard.api.promotion import Phase
from modelyard.api.reason import Reason
from modelyard.plan import finding, semver
from modelyard.plan.model import stage
from modelyard.plan.modelversion import legal_hold
from modelyard.plan.observed.world import World
from modelyard.plan.promotion import status


def is_retired(world: World) -> bool:
    """Whether the Model's spec says Retired: it is to serve nothing any more."""
    return world.model is not None and world.model.spec.lifecycle == model.ModelLifecycle.RETIRED


def turn(world: World, name: str, names: Sequence[str]) -> stage.Turn:
    """Decide one stage of a retired Model: abort unfinished promotions at once, and take down the first stage that still runs anything."""
    if world.withheld:
        return waiting(world, [name], world.withheld)[0]
    return _turn(world, name, down=name in _next(world, names))


def order(world: World, names: Sequence[str]) -> list[str]:
    """Return the stages in the order in which they are taken down: a stage that others come `after` goes first, so what matters most goes last.

    If something is wrong on the way (a finalizer, a missing permission, a pod that hangs), it shows in the stage on which the least depends.
    """
    after = {declared.name: set((declared.gates.after if declared.gates else None) or []) for declared in world.stages()}
    ordered: list[str] = [name for name in names if name not in after]
    remaining = [name for name in names if name in after]
    while remaining:
        ready = [name for name in remaining if not after[name] & set(remaining)] or remaining
        ordered += ready
        remaining = [name for name in remaining if name not in ready]
    return ordered


def _next(world: World, names: Sequence[str]) -> Iterator[str]:
    """Yield the stages that are taken down now: up to the first whose last pod is not gone yet."""
    for name in order(world, names):
        yield name
        if _runs(world, name):
            return


def _runs(world: World, name: str) -> bool:
    """Whether the stage still has a Deployment, a Service or a pod."""
    return name in world.deployments or name in world.services or any(pod.stage == name for pod in world.pods)


def _turn(world: World, name: str, *, down: bool) -> stage.Turn:
    recorded = world.stands(name)
    outcome = finding.Finding(Reason.MODEL_RETIRED, f"the Model {world.name} was retired")
    updates = tuple(status.Outcome(promotion, Phase.ABORTED, outcome) for promotion in _unfinished(world, name))
    released = recorded.model_copy(update={"promotion": None, "rollout": None})  # until its turn it serves its current version
    if not down:
        return stage.refresh_finished_promotions(world, stage.Turn(released, updates))
    gone = api.StageStatus(name=name, previous=recorded.current or recorded.previous)
    return stage.refresh_finished_promotions(world, stage.Turn(gone, (*updates, *stage.taken_down(world, name))))


def waiting(world: World, names: Sequence[str], why: finding.Unmet) -> list[stage.Turn]:
    """Decide nothing of any stage now. The unfinished promotions say why."""
    cause = finding.Finding(why.reason, why.message)

    def updates(name: str) -> Iterator[status.Outcome]:
        for promotion in _unfinished(world, name):
            # Whatever it waited for, there is nothing that a person can do about it now.
            phase = Phase.ROLLING_OUT if promotion.status.phase == Phase.ROLLING_OUT else Phase.PENDING
            yield status.Outcome(promotion, phase, cause, trouble=cause)

    return [stage.Turn(world.stands(name), tuple(updates(name))) for name in names]


def _unfinished(world: World, name: str) -> list[api.Promotion]:
    promotions = [promotion for promotion in world.promotions if promotion.spec.stage == name and not promotion.metadata.deletion_timestamp]
    return [promotion for promotion in promotions if not (promotion.status.phase and promotion.status.phase.is_terminal)]


def conditions(world: World, stages: Sequence[api.StageStatus]) -> dict[str, finding.State]:
    """Return the Model's conditions while it is being retired, and in the end."""
    current = {entry.name for entry in stages if entry.current}
    names = list(
        dict.fromkeys([*(declared.name for declared in world.stages()), *world.deployments, *sorted(world.services), *_of_pods(world)])
    )
    remaining = [name for name in order(world, names) if name in current or _runs(world, name)]
    if not remaining and (holds := legal_hold.versions_on_hold(world.versions.values())):
        message = (
            f"it serves nothing; the legal hold on the objects of {', '.join(sorted(holds, key=semver.rank))} is being lifted: where that "
            f"fails, status.artifact.holdMessage says why, and the annotation {cel.LEAVE} on the ModelVersion gives it up"
        )
        return {
            "Ready": finding.State.false(finding.Finding(Reason.MODEL_RETIRED, message)),
            "Reconciling": finding.State.true(Reason.MODEL_RETIRED, message),
        }
    if not remaining:
        return {"Ready": finding.State.true(Reason.RETIRED, "Retired, everything is decommissioned")}
    then = f", then {', '.join(remaining[1:])}" if remaining[1:] else ""
    message = f"it is being retired: {remaining[0]} is taken down{then}"
    return {
        "Ready": finding.State.false(finding.Finding(Reason.MODEL_RETIRED, message)),
        "Reconciling": finding.State.true(Reason.MODEL_RETIRED, message),
    }


def _of_pods(world: World) -> list[str]:
    return sorted({pod.stage for pod in world.pods})


def outdated(versions: Mapping[str, api.ModelVersion], stages: Sequence[api.StageStatus]) -> str:
    """Say which stages have a Deprecated or Retired current version; empty when none has."""
    phrases = {VersionLifecycle.DEPRECATED: "is Deprecated", VersionLifecycle.RETIRED: "is to be Retired"}
    sentences = [
        f"{entry.name} is at {entry.current}, which {phrases[lifecycle]}"
        for entry in stages
        if entry.current and (version := versions.get(entry.current)) and (lifecycle := version.spec.lifecycle) in phrases
    ]
    return "; ".join(sentences)
