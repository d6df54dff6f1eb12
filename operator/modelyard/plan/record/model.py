"""The ledger entries of a decision, written before it takes effect: the difference between the statuses now and the statuses to be written."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from modelyard import api
from modelyard.api.model import ModelLifecycle
from modelyard.api.promotion import Phase, PromotionStatus
from modelyard.api.reason import Reason
from modelyard.content import digest
from modelyard.ledger import codec, index, record, traffic
from modelyard.ledger.record import Action
from modelyard.plan import unforeseen
from modelyard.plan.model import decide
from modelyard.plan.observed import outbox, recovery, specs
from modelyard.plan.observed.world import World
from modelyard.plan.promotion import approvals
from modelyard.plan.promotion.status import ran_before
from modelyard.plan.record import modelversion
from modelyard.plan.rollout import weights

PENDING_ACTIONS: Final = frozenset(
    {Action.REQUESTED, Action.STEERED, *record.APPROVAL_ACTIONS, Action.GRANTED, Action.ENDED, Action.ROLLOUT, Action.SERVING}
)
"""The actions that wait in the status while the ledger does not answer.

Then only decisions that make things safer are taken. Their request is recorded before them, what serves may change, and whether an approval
may be somebody else's can be judged only when it appears."""


@dataclasses.dataclass(frozen=True, slots=True)
class Recording:
    """What is written to the ledger before a decision takes effect."""

    facts: tuple[record.LedgerEntry, ...] = ()
    blobs: tuple[bytes, ...] = ()
    """Content-addressed, written before the facts that name them."""
    state: tuple[record.StageState, ...] = ()
    """What each stage serves from now on."""
    seen: datetime.datetime | None = None
    """When that was observed."""


def entries(world: World, plan: decide.Plan, now: datetime.datetime) -> Recording:
    """Return everything that the ledger must have before this plan is carried out."""
    # The current versions of a lost Model go on serving, and are current again when it is back.
    stages = list(recovery.stages(world)) if world.model is None else (plan.status or world.model.status).stages or []
    state = tuple(_stands(world, plan, tuple(weights.states(world, stages, now))))
    facts = (
        *(_model(world, world.model) if world.model else ()),
        *_deleted(world),
        *recovery.entries(world, plan.restore),
        *(fact for promotion in world.promotions for fact in _of(world, promotion, plan)),
        *_rollouts(world, stages),
        *_decommissioned(world, state),
        *_serving(world, state),
    )
    facts = tuple(dataclasses.replace(fact, at=fact.at or now) for fact in facts)
    return Recording(facts, tuple(_blobs(world, facts)), state, now)


def _stands(world: World, plan: decide.Plan, state: Sequence[record.StageState]) -> Iterator[record.StageState]:
    """Yield the state of each stage; of a stage that stays as it is, the ledger may know more than a status that could not be written yet."""
    recorded = {stage.name: stage for stage in world.state}
    for stage in state:
        recorded_stage = recorded.pop(stage.name, None)
        yield dataclasses.replace(recorded_stage, serves=stage.serves) if recorded_stage and stage.name in plan.stays else stage
    yield from (stage for stage in recorded.values() if stage.name in plan.stays)


def waiting(world: World, now: datetime.datetime) -> Recording:
    """Return what the ledger must have before anything is decided by it: what happened while it did not answer, and the stages since then."""
    model = recovery.restore_stages(world).model
    state = tuple(
        weights.state(stage, previous.serves) for stage, previous in weights.each(world, (model.status.stages if model else None) or [])
    )
    return Recording(world.unrecorded, tuple(_blobs(world, world.unrecorded)), state, now)


def _blobs(world: World, facts: Sequence[record.LedgerEntry]) -> Iterator[bytes]:
    """Yield the specs that the ledger does not have yet, and the declarations of the stages that are granted, as they are now."""
    if world.model:
        yield from (specs.snapshot(change.after) for change in world.changes(world.model))
    yield from (specs.snapshot(change.after) for promotion in world.promotions for change in world.changes(promotion))
    granted = {fact.detail["stage"] for fact in facts if fact.action == Action.GRANTED}
    yield from (_policy(stage) for stage in world.stages() if stage.name in granted)


# --- the Model


def _model(world: World, subject: api.Model) -> Iterator[record.LedgerEntry]:
    """Yield each observed change of the spec, with its author."""
    if not specs.is_new(subject):
        return
    before, written = world.baseline(subject), subject.status.recorded.spec if subject.status.recorded else ""
    for change in world.changes(subject):
        yield from _rules(change, before, written) if change.since else _created(change)
        if _retires(change, before, retired=bool(world.past and world.past.retired)):
            actor = change.actor if change.since else change.creator
            detail = {"version": None, "reason": change.after.spec.lifecycle_reason}
            yield record.entry(Action.RETIRED, actor, specs.about(change.after), "retired", change.spec, detail | change.doubt)
        before, written = change.after.spec.dump(), change.spec


def _created(change: specs.Change[api.Model]) -> Iterator[record.LedgerEntry]:
    also = {"alsoChangedBy": change.others} if change.others else {}
    yield record.entry(Action.MODEL_CREATED, change.creator, specs.about(change.after), "created", change.spec, also)


def _rules(change: specs.Change[api.Model], before: Mapping[str, Any] | None, written: str) -> Iterator[record.LedgerEntry]:
    subject, after, spec = specs.about(change.after), change.after.spec.dump(), change.spec
    # Without the snapshot, all that is known is that something has changed.
    paths = ["/"] if before is None else list(specs.changed(before, after))
    yield record.entry(Action.RULES_CHANGED, change.actor, subject, None, spec, {"before": written, "changed": paths} | change.doubt)
    old, new = after.get("aliases") or {} if before is None else before.get("aliases") or {}, after.get("aliases") or {}
    for alias in sorted({*old, *new}):
        if old.get(alias) != new.get(alias):
            pointed = {"alias": alias, "before": old.get(alias), "after": new.get(alias)}
            yield record.entry(
                Action.ALIAS_CHANGED, change.actor, subject, f"{subject.generation} {alias} {spec}", None, pointed | change.doubt
            )


def _retires(change: specs.Change[api.Model], before: Mapping[str, Any] | None, *, retired: bool) -> bool:
    retires = change.after.spec.lifecycle == ModelLifecycle.RETIRED
    return retires and (not retired if before is None else before.get("lifecycle") != ModelLifecycle.RETIRED)


def _deleted(world: World) -> Iterator[record.LedgerEntry]:
    """Yield the deletion of objects that the ledger has and the cluster does not have any more."""
    past = world.past
    if past is None:
        return
    when_noticed = {"noticed": "later" if world.first else "live"}
    lost_objects = recovery.lost_objects(world)
    restored = {lost_object.name for lost_object in lost_objects}
    if past.uid and not past.deleted and world.model is None and "Model" not in {lost_object.kind for lost_object in lost_objects}:
        yield modelversion.deleted("Model", world.name, past.uid, when_noticed)
    for version, version_record in past.versions.items():
        name = f"{world.name}-{version}"
        if version in world.versions or version_record.facts[-1] > world.sequence or name in restored:
            continue
        for uid in ([] if version_record.deleted else [version_record.uid]) + ([version_record.other] if version_record.other else []):
            yield modelversion.deleted("ModelVersion", name, uid, {**when_noticed, "version": version})
    present, forgotten = world.asked(), set(recovery.lost_promotions(world))
    for name, request in past.promotions.items():
        existing = present.get(name)
        if request.lost or name in forgotten:
            continue
        is_cut_off = request.was_cut_off(existing) and not (restored or world.older or world.withheld)
        if is_cut_off:
            yield _aborted(name, request)
        if not request.deleted and (existing is None or is_cut_off):
            yield modelversion.deleted("Promotion", name, request.uid, when_noticed)


def _aborted(name: str, request: index.Promotion) -> record.LedgerEntry:
    """Record that a promotion ended as it was deleted while it held its stage: no status is left that could say so."""
    phase, message = str(Phase.ABORTED), "it was deleted while it held the stage"
    detail = {"version": request.version, "stage": request.stage, "phase": phase, "reason": str(Reason.ABORTED), "message": message}
    subject = record.Subject("Promotion", name, request.uid, 0)
    return record.entry(Action.ENDED, record.BY_OPERATOR, subject, phase, None, detail | {"rollback": request.rollback})


# --- promotions


def _of(world: World, promotion: api.Promotion, plan: decide.Plan) -> tuple[record.LedgerEntry, ...]:
    """Return the entries of one promotion.

    Raises:
        unforeseen.OfPromotion: its entries cannot be made. Then nothing may happen in its stage; a World that already knows so gets no entries.
    """
    try:
        return tuple(_promotion(world, promotion, plan))
    except Exception as error:
        name, stage = promotion.metadata.name, promotion.spec.stage
        if name in world.unrecordable:
            return ()
        raise unforeseen.PromotionNotRecordable(name, stage, unforeseen.describe(f"the Promotion {name}", error)) from error


def _promotion(world: World, promotion: api.Promotion, plan: decide.Plan) -> Iterator[record.LedgerEntry]:
    subject, spec = specs.about(promotion), promotion.spec
    if ran_before(world, promotion):
        return  # it never runs
    yield from _requested(world, promotion)
    recorded, is_over = approvals.recorded(world, promotion), promotion.status.phase and promotion.status.phase.is_terminal
    for approval in spec.approvals or []:
        if is_over and world.past is None:
            break  # the ledger has its approvals, and does not answer
        if (subject.uid, approval.user, approval.gate) in world.untried:
            continue  # its author is not certain yet, and an entry cannot be taken back
        if (previous := recorded.get((approval.user, approval.gate))) is None or not previous.means(approval):
            doubted, why = (subject.uid, approval.user, approval.gate) in world.doubted, approvals.why_not(world, promotion, approval)
            detail: dict[str, Any] = {"version": spec.version, "stage": spec.stage, "gate": approval.gate, "comment": approval.comment}
            detail |= {"counts": why is None, "doubted": doubted} | ({"why": why} if why else {})
            certainty = record.Authenticity.DECLARED if doubted else record.Authenticity.AUTHENTICATED
            step = f"{subject.generation} {approval.user} {approval.gate} {approval.subject}"
            yield record.entry(
                approvals.SAYS[approval.decision], record.Actor(approval.user, certainty), subject, step, approval.subject, detail
            )
    status = plan.promotions.get(promotion.metadata.name, promotion.status)
    if _is_granted(world, promotion, plan):
        yield _granted(world, promotion, status)
    yield from _end(world, promotion, status)


def _requested(world: World, promotion: api.Promotion) -> Iterator[record.LedgerEntry]:
    """Yield that it was requested, and each time that it was paused, resumed or aborted."""
    before: Mapping[str, Any] | None = world.baseline(promotion)
    for change in world.changes(promotion):
        spec, subject = change.after.spec, specs.about(change.after)
        if change.since == 0:
            certainty = record.Authenticity.AUTHENTICATED if change.stamped else record.Authenticity.DECLARED
            actor = record.Actor(spec.requested_by, certainty) if spec.requested_by else change.creator
            detail: dict[str, Any] = {"version": spec.version, "stage": spec.stage, "reason": spec.reason, "rollback": bool(spec.rollback)}
            detail["requestedByMachine"] = actor.name.startswith(approvals.MACHINE)
            yield record.entry(Action.REQUESTED, actor, subject, "requested", change.spec, detail)
            before = {} if subject.generation > 1 else spec.dump()
        if _steers(change, before):
            steered = {"version": spec.version, "stage": spec.stage, "paused": bool(spec.paused), "abort": bool(spec.abort)}
            # Without the earlier spec, it may have been so for long.
            actor, doubt = (change.actor, change.doubt) if before is not None else (record.NOBODY_KNOWS, change.candidates)
            yield record.entry(Action.STEERED, actor, subject, None, change.spec, steered | doubt)
        before = spec.dump()


def _steers(change: specs.Change[api.Promotion], before: Mapping[str, Any] | None) -> bool:
    """Return whether a change pauses, resumes or aborts; without the earlier spec, whether it may."""
    spec = change.after.spec
    return any(bool(value) != bool((before or {}).get(field)) for field, value in (("paused", spec.paused), ("abort", spec.abort)))


def _is_granted(world: World, promotion: api.Promotion, plan: decide.Plan) -> bool:
    """Return whether this decision grants it its stage: it was granted before only if the Model's status names it."""
    holders, uid = (plan.status.stages if plan.status else None) or [], promotion.metadata.uid
    if not any(stage.promotion and stage.promotion.uid == uid for stage in holders):
        return False
    before = recovery.restore_stages(world).stands(promotion.spec.stage).promotion
    return before is None or before.uid != uid


def _granted(world: World, promotion: api.Promotion, status: PromotionStatus) -> record.LedgerEntry:
    """Record the grant; its step covers every detail, so a grant that never took effect is not taken for another."""
    spec, declared, version = promotion.spec, world.stage(promotion.spec.stage), world.versions.get(promotion.spec.version)
    detail = {
        "version": spec.version,
        "stage": spec.stage,
        "rollback": bool(spec.rollback),
        "gates": [row.dump() for row in status.gates or []],
        "policy": digest.named(_policy(declared)) if declared else None,
        "template": status.rollout.template if status.rollout else None,
        "approvals": [[user, row.gate, status.subject] for row in status.approvals or [] for user in row.approved_by or []],
    }
    proven = version.status.artifact.digest if version and version.status.artifact else None
    step = f"granted {digest.of_json(detail)}"
    return record.entry(Action.GRANTED, record.BY_OPERATOR, specs.about(promotion), step, proven, detail)


def _end(world: World, promotion: api.Promotion, status: PromotionStatus) -> Iterator[record.LedgerEntry]:
    """Yield how it ended."""
    previous, spec, subject = promotion.status, promotion.spec, specs.about(promotion)
    recorded = world.past.promotions.get(promotion.metadata.name) if world.past else None
    recorded = recorded if recorded and recorded.uid == subject.uid else None
    is_unrecorded = bool(recorded and recorded.phase is None)  # its end could not wait in the status until the ledger answered
    if (
        status.phase
        and status.phase.is_terminal
        and (status.phase != previous.phase or is_unrecorded)
        and not (recorded and recorded.phase == status.phase)
    ):
        ready = next((condition for condition in status.conditions if condition.type == "Ready"), None)
        end: dict[str, Any] = {
            "version": spec.version,
            "stage": spec.stage,
            "phase": str(status.phase),
            "reason": ready.reason if ready else "",
            "message": ready.message if ready else "",
        }
        end["rollback"] = bool(spec.rollback)
        at = None if status.phase != previous.phase else status.finished_at
        yield record.entry(Action.ENDED, record.BY_OPERATOR, subject, str(status.phase), None, end, at=at)


# --- stages


def _policy(declared: api.Stage) -> bytes:
    return digest.canonical(declared.dump())


def _rollouts(world: World, stages: Sequence[api.StageStatus]) -> Iterator[record.LedgerEntry]:
    """Yield templates that change without a promotion, or are put back."""
    if world.model is None:
        return
    subject = specs.about(world.model)
    for stage in stages:
        previous = world.stands(stage.name)
        common = {"stage": stage.name, "version": stage.current}
        if stage.rollout and not stage.promotion and previous.rollout != stage.rollout:
            detail = common | {"template": stage.rollout.template, "why": record.TEMPLATE_CHANGED}
            # The template that served before keys the change: the same change made again later is another entry.
            step = f"{stage.name} {previous.serving.template if previous.serving else ''} {stage.rollout.template} {subject.generation}"
            yield record.entry(Action.ROLLOUT, record.BY_OPERATOR, subject, step, None, detail)
        refused = stage.serving.refused if stage.serving else None
        if refused and refused != (previous.serving.refused if previous.serving else None):
            detail = common | {"template": stage.serving.template if stage.serving else None, "why": record.TEMPLATE_PUT_BACK}
            yield record.entry(
                Action.ROLLOUT, record.BY_OPERATOR, subject, f"{stage.name} back {refused} {subject.generation}", None, detail
            )


def _serving(world: World, state: Sequence[record.StageState]) -> Iterator[record.LedgerEntry]:
    """Yield the stages whose serving versions or weights change."""
    before = {stage.name: stage for stage in world.state}
    uid = world.model.metadata.uid if world.model else (world.past.uid if world.past else None) or ""
    for stage in state:
        previous = before.get(stage.name, record.StageState(stage.name))
        if traffic.weights(stage.serves) == traffic.weights(previous.serves):
            continue
        shares = [codec.dump_share(share) for share in stage.serves]
        subject = record.Subject("Model", world.name, uid, world.model.metadata.generation if world.model else 0)
        waiting = outbox.count_changes(world.unrecorded, stage.name)
        step = f"{stage.name} after {_last(world)}" + (f" and {waiting} more" if waiting else "")
        why = weights.service_taken(world, stage.name)
        detail = {"stage": stage.name, "serves": shares} | ({"why": why.message} if why else {})
        yield record.entry(Action.SERVING, record.BY_OPERATOR, subject, step, None, detail)


def _last(world: World) -> int:
    """Return the last record number, from the ledger or else from the status."""
    anchor = world.model.status.ledger if world.model else None
    return world.past.sequence if world.past else (anchor.sequence if anchor else None) or 0


def _decommissioned(world: World, state: Sequence[record.StageState]) -> Iterator[record.LedgerEntry]:
    """Yield the stages that no longer have a current version; those of a Model that is gone were lost, not decommissioned."""
    if world.model is None:
        return
    standing = {stage.name for stage in state if stage.current}
    for previous in world.state:
        if previous.current and previous.name not in standing:
            why = "the stage was removed" if world.stage(previous.name) is None else "the Model is Retired"
            step = f"{previous.name} down after {world.past.sequence if world.past else 0}"
            detail = {"stage": previous.name, "version": previous.current, "why": why}
            yield record.entry(Action.DECOMMISSIONED, record.BY_OPERATOR, specs.about(world.model), step, None, detail)
