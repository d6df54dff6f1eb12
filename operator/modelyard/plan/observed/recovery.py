"""Restore what the cluster lost and the ledger still has. Only what was retired, or never Ready, can be deleted; everything else comes back.

`World.older` says that the ledger is ahead of the cluster: then nobody deleted what is missing, and the stages are as the ledger has them.
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
    """An object that is gone, and was neither retired nor never Ready."""

    kind: str
    name: str
    uid: str
    """Uid of the object that is gone."""
    spec: str
    """Snapshot of its spec in the operator's bucket."""


def missing(world: World) -> bool:
    """Whether the ledger has an object that is not in the cluster, and no entry that it was deleted."""
    past = world.past
    if past is None or past.uid is None:
        return False
    return (
        (world.model is None and not past.deleted)
        or any(version not in world.versions and not recorded.deleted for version, recorded in past.versions.items())
        or bool(_unexplained(world, past))
    )


def lost_objects(world: World) -> tuple[Lost, ...]:
    """Return the objects to restore, the Model first."""
    past = world.past
    if past is None or world.terminating or past.uid is None:
        return ()
    objects = []
    if world.model is None:
        if past.deleted or past.spec is None or (past.retired and not world.older):
            return ()
        objects.append(Lost("Model", world.name, past.uid, past.spec))
    whole = world.model is None or world.older  # the registry was lost, not one version: versions that were never Ready come back too
    runs = {share.version for state in world.state for share in state.serves} | {state.current for state in world.state}
    objects += [
        Lost("ModelVersion", f"{world.name}-{version}", recorded.uid, recorded.spec)
        for version, recorded in past.versions.items()
        if version not in world.versions
        and recorded.facts[-1] <= world.sequence
        and comes_back(recorded, whole=whole, runs=version in runs)
    ]
    return tuple(objects)


def comes_back(version: index.Version, *, whole: bool, runs: bool) -> bool:
    """Whether a version that is gone was lost rather than deleted. A Retired version that still runs comes back."""
    if version.deleted or not version.spec:
        return False
    return whole or (version.digest is not None and (version.lifecycle != "Retired" or runs))


def lost_promotions(world: World) -> tuple[str, ...]:
    """Return the names of the Promotions that the cluster lost: nobody deleted them."""
    past = world.past
    if past is None or world.terminating or not (world.older or lost_objects(world)):
        return ()
    return _unexplained(world, past)


def _unexplained(world: World, past: index.Index) -> tuple[str, ...]:
    """Return the names of the Promotions that are not in the cluster, and that the ledger has neither as deleted nor as lost."""
    present = world.asked()
    return tuple(name for name, promotion in past.promotions.items() if name not in present and not (promotion.deleted or promotion.lost))


def behind_finding(world: World) -> finding.Unmet | None:
    """Return a finding when specs in the cluster are older than the ledger's: an older backup was restored."""
    past, subject = world.past, world.model
    if past is None or subject is None:
        return None
    older = [
        f"{world.name}-{name}" for name, version in sorted(world.versions.items()) if version_is_behind(version, past.versions.get(name))
    ]
    if model_is_behind(subject, past):
        generation, newer = subject.metadata.generation, past.generation
        message = f"the Model is of generation {generation}, and the ledger has generation {newer}"
    elif older:
        message = f"the ledger has newer specs of {', '.join(older[:5])}" + (f" and {len(older) - 5} more" if older[5:] else "")
    else:
        return None
    message += (
        f": an older backup was restored; apply the newer spec, or run `modelyard restore {world.name}`;"
        " until then nothing is granted, deleted or put back"
    )
    return finding.Unmet(Reason.BEHIND, message, finding.Waits.FOR_A_PERSON)


def is_behind(world: World) -> bool:
    """Whether nothing is decided because the Model is older than the ledger's."""
    return world.withheld is not None and world.withheld.reason == Reason.BEHIND


def model_is_behind(subject: api.Model, past: index.Index) -> bool:
    """Whether the ledger has another spec of the Model at a later generation."""
    same = past.uid == subject.metadata.uid
    return same and subject.metadata.generation < past.generation and specs.recorded(subject).spec != past.spec


def version_is_behind(version: api.ModelVersion, indexed: index.Version | None) -> bool:
    """Whether nobody changed a version since it was recorded, and the ledger has another spec of it later."""
    recorded = version.status.recorded
    if indexed is None or recorded is None or specs.is_new(version) or indexed.uid != version.metadata.uid:
        return False
    return bool(indexed.spec) and recorded.spec != indexed.spec


def status_says_behind(model: api.Model | None) -> bool:
    """Whether the Model's last status says Behind."""
    ready = finding.find(model.status.conditions, "Ready") if model else None
    return ready is not None and ready.reason == Reason.BEHIND


def stages(world: World) -> Iterator[api.StageStatus]:
    """Yield the stages as the ledger has them, for a status that was lost or is older."""
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
    """Return why autoPromote is paused: the promotion that was granted the stage last is a rollback that Succeeded."""
    granted = [
        (promotion.granted, promotion_name)
        for promotion_name, promotion in (world.past.promotions if world.past else {}).items()
        if promotion.granted and promotion.stage == name
    ]
    if world.past is None or not granted:
        return None
    _, promotion_name = max(granted)
    last = world.past.promotions[promotion_name]
    if not (last.rollback and last.succeeded and last.ended):
        return None
    return stage.Hold(since=codec.read_time(last.ended).replace(microsecond=0), promotion=promotion_name)


def _serving(world: World, state: record.StageState) -> stage.ServingStatus | None:
    """Return what the stage serves; None where the document is not one of the operator's, and the declared template is rendered instead."""
    if state.template is None or isinstance(world.answers.get(_question(state)), finding.Finding):
        return None
    return stage.ServingStatus(deployment=f"{world.name}-{state.name}", template=state.template, source=state.source)


def _question(state: record.StageState) -> Recorded:
    return Recorded(state.name, state.current or "", state.template or "", state.source)


def questions(world: World) -> list[Recorded]:
    """Return the questions about the ledger's templates that need answers before a stage is restored from the ledger."""
    if world.model is None or not _has_lost_stages(world, world.model):
        return []
    return [_question(state) for state in world.state if state.template]


def _has_lost_stages(world: World, model: api.Model) -> bool:
    """Whether the status has no stages yet, or older ones. A status that was written before the ledger answered is no proof that it has them."""
    return bool(world.state) and (
        world.older or is_behind(world) or model.status.observed_generation == -1 or model.status.recorded is None
    )


def restore_stages(world: World) -> World:
    """Return the world with the ledger's stages, where the Model's status has none yet or is older. A rollout that began may go on."""
    model = world.model
    if model is None or not _has_lost_stages(world, model):
        return world
    existing = {} if world.older else {(entry.name, entry.current): entry for entry in model.status.stages or []}
    recovered = [existing.get((entry.name, entry.current), entry) for entry in stages(world)]
    names = {entry.name for entry in recovered}
    status = model.status.model_copy(update={"stages": [*recovered, *(entry for entry in existing.values() if entry.name not in names)]})
    return dataclasses.replace(world, model=model.model_copy(update={"status": status}))


def entries(world: World, objects: tuple[Lost, ...]) -> Iterator[record.LedgerEntry]:
    """Yield the ledger entry for restored objects and lost Promotions."""
    names = lost_promotions(world)
    if world.past is None or not (objects or names):
        return
    promotions = world.past.promotions
    subject = record.Subject("Model", world.name, world.past.uid or "", 0)
    detail = {
        "objects": [f"{resource.kind}/{resource.name}" for resource in objects],
        "promotions": list(names),
        "unfinished": [name for name in names if promotions[name].phase is None],
    }
    step = " ".join([*(resource.uid for resource in objects), *(promotions[name].uid for name in names)])
    yield record.entry(record.Action.RESTORED, record.BY_OPERATOR, subject, step, None, detail)


def events(world: World, objects: tuple[Lost, ...]) -> tuple[finding.Event, ...]:
    """Return an Event on the Model for restored objects, if the Model exists."""
    if not objects or world.model is None:
        return ()
    names = ", ".join(resource.name for resource in objects[:5]) + (" …" if len(objects) > 5 else "")
    return (finding.event(world.model, Reason.RESTORED, f"brought back from the ledger: {names}; retire what should go", warning=True),)
