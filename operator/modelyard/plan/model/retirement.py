"""A Model that is Retired: what it serves is taken down stage by stage, in the order of `after`, and nothing is promoted any more."""

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


def asked(world: World) -> bool:
    """Whether the Model is to serve nothing any more."""
    return world.model is not None and world.model.spec.lifecycle == model.ModelLifecycle.RETIRED


def turn(world: World, name: str, names: Sequence[str]) -> stage.Turn:
    """One stage's turn among all: unfinished promotions are aborted at once, and the first stage that still runs anything is taken down."""
    if world.withheld:
        return waiting(world, [name], world.withheld)[0]
    return _turn(world, name, down=name in _next(world, names))


def order(world: World, names: Sequence[str]) -> list[str]:
    """The stages in the order in which they go: what others come `after` goes first, so what matters most goes last.

    If something is wrong on the way (a finalizer, a missing permission, a pod that hangs), it shows where the least depends on it.
    """
    after = {one.name: set((one.gates.after if one.gates else None) or []) for one in world.stages()}
    line: list[str] = [name for name in names if name not in after]
    left = [name for name in names if name in after]
    while left:
        free = [name for name in left if not after[name] & set(left)] or left
        line += free
        left = [name for name in left if name not in free]
    return line


def _next(world: World, names: Sequence[str]) -> Iterator[str]:
    """Those that go now: up to the first whose last pod is not gone yet."""
    for name in order(world, names):
        yield name
        if _runs(world, name):
            return


def _runs(world: World, name: str) -> bool:
    """Whether anything of what serves the stage is still there."""
    return name in world.deployments or name in world.services or any(pod.stage == name for pod in world.pods)


def _turn(world: World, name: str, *, down: bool) -> stage.Turn:
    was = world.stands(name)
    said = finding.Fact(Reason.MODEL_RETIRED, f"the Model {world.name} was retired")
    told = tuple(status.Told(one, Phase.ABORTED, said) for one in _unfinished(world, name))
    standing = was.model_copy(update={"promotion": None, "rollout": None})  # until its turn it serves what it stands for
    if not down:
        return stage.with_those_that_are_over(world, stage.Turn(standing, told))
    gone = api.StageStatus(name=name, previous=was.current or was.previous)
    return stage.with_those_that_are_over(world, stage.Turn(gone, (*told, *stage.taken_down(world, name))))


def waiting(world: World, names: Sequence[str], why: finding.Held) -> list[stage.Turn]:
    """Nothing is decided of any stage now; the unfinished promotions say why."""
    said = finding.Fact(why.reason, why.message)

    def told(name: str) -> Iterator[status.Told]:
        for one in _unfinished(world, name):
            # Whatever it waited for, there is nothing that a person can do about it now.
            phase = Phase.ROLLING_OUT if one.status.phase == Phase.ROLLING_OUT else Phase.PENDING
            yield status.Told(one, phase, said, trouble=said)

    return [stage.Turn(world.stands(name), tuple(told(name))) for name in names]


def _unfinished(world: World, name: str) -> list[api.Promotion]:
    mine = [one for one in world.promotions if one.spec.stage == name and not one.metadata.deletion_timestamp]
    return [one for one in mine if not (one.status.phase and one.status.phase.is_terminal)]


def conditions(world: World, stages: Sequence[api.StageStatus]) -> dict[str, finding.State]:
    """What the Model says of itself meanwhile, and in the end."""
    standing = {one.name for one in stages if one.current}
    known = list(dict.fromkeys([*(one.name for one in world.stages()), *world.deployments, *sorted(world.services), *_of_pods(world)]))
    left = [name for name in order(world, known) if name in standing or _runs(world, name)]
    if not left and (held := legal_hold.still(world.versions.values())):
        message = (
            f"it serves nothing; the legal hold on the objects of {', '.join(sorted(held, key=semver.rank))} is being lifted: where that "
            f"fails, status.artifact.holdMessage says why, and the annotation {cel.LEAVE} on the ModelVersion gives it up"
        )
        return {
            "Ready": finding.State.false(finding.Fact(Reason.MODEL_RETIRED, message)),
            "Reconciling": finding.State.true(Reason.MODEL_RETIRED, message),
        }
    if not left:
        return {"Ready": finding.State.true(Reason.RETIRED, "Retired, everything is decommissioned")}
    then = f", then {', '.join(left[1:])}" if left[1:] else ""
    message = f"it is being retired: {left[0]} is taken down{then}"
    return {
        "Ready": finding.State.false(finding.Fact(Reason.MODEL_RETIRED, message)),
        "Reconciling": finding.State.true(Reason.MODEL_RETIRED, message),
    }


def _of_pods(world: World) -> list[str]:
    return sorted({pod.stage for pod in world.pods})


def outdated(versions: Mapping[str, api.ModelVersion], stages: Sequence[api.StageStatus]) -> str:
    """Which stages stand for a version that should not be promoted any more; empty when none does."""
    words = {VersionLifecycle.DEPRECATED: "is Deprecated", VersionLifecycle.RETIRED: "is to be Retired"}
    told = [
        f"{stands.name} stands for {stands.current}, which {words[lifecycle]}"
        for stands in stages
        if stands.current and (known := versions.get(stands.current)) and (lifecycle := known.spec.lifecycle) in words
    ]
    return "; ".join(told)
