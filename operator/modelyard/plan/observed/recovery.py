"""What the cluster lost and the ledger still has: only what was retired, or never Ready, can be deleted; everything else comes back.

`World.older` says that the ledger is ahead of the cluster: then nothing that is missing was deleted, and stages are as the ledger has them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from modelyard import api
from modelyard.api import stage
from modelyard.api.reason import Reason
from modelyard.ledger import codec, index, record
from modelyard.plan import finding
from modelyard.plan.observed import specs
from modelyard.plan.observed.world import Recorded, World


@dataclasses.dataclass(frozen=True, slots=True)
class Lost:
    """An object that is gone, and was neither retired nor a mere try."""

    kind: str
    name: str
    uid: str
    """Of the object that is gone."""
    spec: str
    """Snapshot of its spec in the operator's bucket."""


def missing(world: World) -> bool:
    """Whether the ledger knows of an object that is neither here nor known to be gone."""
    past = world.past
    if past is None or past.uid is None:
        return False
    return (
        (world.model is None and not past.deleted)
        or any(version not in world.versions and not known.deleted for version, known in past.versions.items())
        or bool(_unexplained(world, past))
    )


def lost(world: World) -> tuple[Lost, ...]:
    """What is to be brought back, the Model first."""
    past = world.past
    if past is None or world.terminating or past.uid is None:
        return ()
    found = []
    if world.model is None:
        if past.deleted or past.spec is None or (past.retired and not world.older):
            return ()
        found.append(Lost("Model", world.name, past.uid, past.spec))
    whole = world.model is None or world.older  # the registry was lost, not one version: then tries come back as well
    runs = {share.version for state in world.state for share in state.serves} | {state.current for state in world.state}
    found += [
        Lost("ModelVersion", f"{world.name}-{version}", known.uid, known.spec)
        for version, known in past.versions.items()
        if version not in world.versions and known.facts[-1] <= world.sequence and comes_back(known, whole=whole, runs=version in runs)
    ]
    return tuple(found)


def comes_back(known: index.Version, *, whole: bool, runs: bool) -> bool:
    """Whether a version that is gone was lost rather than deleted; one that waits to be Retired still runs."""
    if known.deleted or not known.spec:
        return False
    return whole or (known.digest is not None and (known.lifecycle != "Retired" or runs))


def forgotten(world: World) -> tuple[str, ...]:
    """Promotions that went with what the cluster lost: nobody deleted them."""
    past = world.past
    if past is None or world.terminating or not (world.older or lost(world)):
        return ()
    return _unexplained(world, past)


def _unexplained(world: World, past: index.Index) -> tuple[str, ...]:
    """Promotions that are not here, and of which the ledger does not say why."""
    here = world.asked()
    return tuple(name for name, one in past.promotions.items() if name not in here and not (one.deleted or one.lost))


def behind(world: World) -> finding.Held | None:
    """Whether specs in the cluster are older than those that the ledger has: an older backup was restored."""
    past, subject = world.past, world.model
    if past is None or subject is None:
        return None
    older = [
        f"{world.name}-{version}" for version, one in sorted(world.versions.items()) if version_is_behind(one, past.versions.get(version))
    ]
    if model_is_behind(subject, past):
        of, newer = subject.metadata.generation, past.generation
        message = f"the Model is of generation {of}, and the ledger has generation {newer}"
    elif older:
        message = f"the ledger has newer specs of {', '.join(older[:5])}" + (f" and {len(older) - 5} more" if older[5:] else "")
    else:
        return None
    message += (
        f": an older backup was restored; apply the newer spec, or run `modelyard restore {world.name}`;"
        " until then nothing is granted, deleted or put back"
    )
    return finding.Held(Reason.BEHIND, message, finding.Waits.FOR_A_PERSON)


def is_behind(world: World) -> bool:
    """Whether nothing is decided because the Model is older than the ledger's."""
    return world.withheld is not None and world.withheld.reason == Reason.BEHIND


def model_is_behind(subject: api.Model, past: index.Index) -> bool:
    """Whether a Model's spec was another one at a later generation."""
    same = past.uid == subject.metadata.uid
    return same and subject.metadata.generation < past.generation and specs.recorded(subject).spec != past.spec


def version_is_behind(version: api.ModelVersion, known: index.Version | None) -> bool:
    """Whether nobody changed a version since it was recorded, and it was recorded otherwise later."""
    recorded = version.status.recorded
    if known is None or recorded is None or specs.is_new(version) or known.uid != version.metadata.uid:
        return False
    return bool(known.spec) and recorded.spec != known.spec


def was_behind(model: api.Model | None) -> bool:
    """Whether it was held as Behind when it was last looked at."""
    ready = finding.find(model.status.conditions, "Ready") if model else None
    return ready is not None and ready.reason == Reason.BEHIND


def stages(world: World) -> Iterator[api.StageStatus]:
    """The stages as the ledger has them, for a status that was lost or is older."""
    for state in world.state:
        yield api.StageStatus(
            name=state.name,
            current=state.current,
            digest=state.digest,
            previous=state.previous,
            since=state.since,
            serving=_serving(world, state),
            hold=_hold(world, state.name),
        )


def _hold(world: World, name: str) -> stage.Hold | None:
    """AutoPromote rests while the last that was granted the stage is a rollback that Succeeded."""
    granted = [
        (one.granted, called) for called, one in (world.past.promotions if world.past else {}).items() if one.granted and one.stage == name
    ]
    if world.past is None or not granted:
        return None
    _, called = max(granted)
    last = world.past.promotions[called]
    if not (last.rollback and last.succeeded and last.ended):
        return None
    return stage.Hold(since=codec.read_time(last.ended).replace(microsecond=0), promotion=called)


def _serving(world: World, state: record.StageState) -> stage.ServingStatus | None:
    """What it serves; of a document that is not one of ours nothing is used, and the declared template is rendered instead."""
    if state.template is None or isinstance(world.answers.get(_question(state)), finding.Fact):
        return None
    return stage.ServingStatus(deployment=f"{world.name}-{state.name}", template=state.template, source=state.source)


def _question(state: record.StageState) -> Recorded:
    return Recorded(state.name, state.current or "", state.template or "", state.source)


def questions(world: World) -> list[Recorded]:
    """What has to be known of the templates that the ledger names, before a stage is taken from it."""
    if world.model is None or not _has_lost_stages(world, world.model):
        return []
    return [_question(state) for state in world.state if state.template]


def _has_lost_stages(world: World, model: api.Model) -> bool:
    """Whether the status has no stages yet, or older ones. That something was written in it before the ledger could be asked says nothing."""
    return bool(world.state) and (
        world.older or is_behind(world) or model.status.observed_generation == -1 or model.status.recorded is None
    )


def with_ledgers_stages(world: World) -> World:
    """The world with the stages that the ledger has, where the Model's status has none yet or is older; a rollout that began may go on."""
    model = world.model
    if model is None or not _has_lost_stages(world, model):
        return world
    known = {} if world.older else {(one.name, one.current): one for one in model.status.stages or []}
    right = [known.get((one.name, one.current), one) for one in stages(world)]
    named = {one.name for one in right}
    status = model.status.model_copy(update={"stages": [*right, *(one for one in known.values() if one.name not in named)]})
    return dataclasses.replace(world, model=model.model_copy(update={"status": status}))


def told(world: World, those: tuple[Lost, ...]) -> Iterator[record.Fact]:
    """That they are brought back."""
    gone = forgotten(world)
    if world.past is None or not (those or gone):
        return
    asked = world.past.promotions
    about = record.Subject("Model", world.name, world.past.uid or "", 0)
    detail = {
        "objects": [f"{one.kind}/{one.name}" for one in those],
        "promotions": list(gone),
        "unfinished": [name for name in gone if asked[name].phase is None],
    }
    step = " ".join([*(one.uid for one in those), *(asked[name].uid for name in gone)])
    yield record.fact(record.Action.RESTORED, record.BY_OPERATOR, about, step, None, detail)


def happened(world: World, those: tuple[Lost, ...]) -> tuple[finding.Event, ...]:
    """An Event on the Model, if it is there."""
    if not those or world.model is None:
        return ()
    names = ", ".join(one.name for one in those[:5]) + (" …" if len(those) > 5 else "")
    return (finding.happened(world.model, Reason.RESTORED, f"brought back from the ledger: {names}; retire what should go", warning=True),)
