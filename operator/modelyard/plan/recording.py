"""What the ledger is told of a decision before it takes effect: the facts between what the statuses say and what they are to say."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from modelyard import api
from modelyard.api import model as model_api
from modelyard.api import promotion as promotion_api
from modelyard.api.reason import Reason
from modelyard.plan import (
    account,
    approvals,
    codec,
    digest,
    index,
    ledger,
    model,
    promotion,
    registration,
    restoring,
    serves,
    shares,
    specs,
    templates,
    unforeseen,
    unrecorded,
)
from modelyard.plan import world as seen
from modelyard.plan.ledger import Action

KEPT: Final = frozenset({Action.REQUESTED, Action.STEERED, *account.SAYS, Action.GRANTED, Action.ENDED, Action.ROLLOUT, Action.SERVING})
"""What waits in the status while the ledger does not answer: then only what makes things safer is decided, who asked for it comes before it,
what serves may change, and whether a word may be somebody else's can be told only when it appears."""


@dataclasses.dataclass(frozen=True, slots=True)
class Recording:
    """What is written before a decision takes effect."""

    facts: tuple[ledger.Fact, ...] = ()
    blobs: tuple[bytes, ...] = ()
    """Content-addressed, written before the facts that name them."""
    state: tuple[ledger.StageState, ...] = ()
    """What each stage serves from now on."""
    seen: datetime.datetime | None = None
    """When that was looked at."""


def of(world: seen.World, plan: model.Plan, now: datetime.datetime) -> Recording:
    """Everything that the ledger must have before this plan is carried out."""
    # What stood when the Model was lost goes on serving, and stands again when it is back.
    stages = list(restoring.stages(world)) if world.model is None else (plan.status or world.model.status).stages or []
    state = tuple(_stands(world, plan, tuple(shares.of(world, stages, now))))
    facts = (
        *(_model(world, world.model) if world.model else ()),
        *_deleted(world),
        *restoring.told(world, plan.restore),
        *(told for one in world.promotions for told in _of(world, one, plan)),
        *_rollouts(world, stages),
        *_decommissioned(world, state),
        *_serving(world, state),
    )
    facts = tuple(dataclasses.replace(one, at=one.at or now) for one in facts)
    return Recording(facts, tuple(_blobs(world, facts)), state, now)


def _stands(world: seen.World, plan: model.Plan, state: Sequence[ledger.StageState]) -> Iterator[ledger.StageState]:
    """What each stage stands for: of one that stays as it is the ledger may have more than its status, which could not be written yet."""
    recorded = {stage.name: stage for stage in world.state}
    for stage in state:
        known = recorded.pop(stage.name, None)
        yield dataclasses.replace(known, serves=stage.serves) if known and stage.name in plan.stays else stage
    yield from (stage for stage in recorded.values() if stage.name in plan.stays)


def waiting(world: seen.World, now: datetime.datetime) -> Recording:
    """What the ledger is to have before anything is decided by it: what happened while it did not answer, and what the stages came to."""
    model = restoring.with_ledgers_stages(world).model
    state = tuple(shares.state(stands, was.serves) for stands, was in shares.each(world, (model.status.stages if model else None) or []))
    return Recording(world.unrecorded, tuple(_blobs(world, world.unrecorded)), state, now)


def _blobs(world: seen.World, facts: Sequence[ledger.Fact]) -> Iterator[bytes]:
    """The specs that the ledger does not have yet, and the rules by which stages are granted, as they are now."""
    if world.model:
        yield from (specs.snapshot(change.after) for change in world.changes(world.model))
    yield from (specs.snapshot(change.after) for one in world.promotions for change in world.changes(one))
    granted = {one.detail["stage"] for one in facts if one.action == Action.GRANTED}
    yield from (_policy(one) for one in world.stages() if one.name in granted)


# --- the Model


def _model(world: seen.World, subject: api.Model) -> Iterator[ledger.Fact]:
    """Each change of the spec, as far as it was observed, with whoever made it."""
    if not specs.is_new(subject):
        return
    before, written = world.baseline(subject), subject.status.recorded.spec if subject.status.recorded else ""
    for change in world.changes(subject):
        yield from _rules(change, before, written) if change.since else _created(change)
        if _retires(change, before, retired=bool(world.past and world.past.retired)):
            actor = change.actor if change.since else change.creator
            detail = {"version": None, "reason": change.after.spec.lifecycle_reason}
            yield ledger.fact(Action.RETIRED, actor, specs.about(change.after), "retired", change.spec, detail | change.doubt)
        before, written = change.after.spec.dump(), change.spec


def _created(change: specs.Change[api.Model]) -> Iterator[ledger.Fact]:
    also = {"alsoChangedBy": change.others} if change.others else {}
    yield ledger.fact(Action.MODEL_CREATED, change.creator, specs.about(change.after), "created", change.spec, also)


def _rules(change: specs.Change[api.Model], before: Mapping[str, Any] | None, written: str) -> Iterator[ledger.Fact]:
    about, after, spec = specs.about(change.after), change.after.spec.dump(), change.spec
    # Where the snapshot is not to be had, all that is known is that something has changed.
    paths = ["/"] if before is None else list(specs.changed(before, after))
    yield ledger.fact(Action.RULES_CHANGED, change.actor, about, None, spec, {"before": written, "changed": paths} | change.doubt)
    old, new = after.get("aliases") or {} if before is None else before.get("aliases") or {}, after.get("aliases") or {}
    for alias in sorted({*old, *new}):
        if old.get(alias) != new.get(alias):
            pointed = {"alias": alias, "before": old.get(alias), "after": new.get(alias)}
            yield ledger.fact(Action.ALIAS_CHANGED, change.actor, about, f"{about.generation} {alias} {spec}", None, pointed | change.doubt)


def _retires(change: specs.Change[api.Model], before: Mapping[str, Any] | None, *, retired: bool) -> bool:
    asked = change.after.spec.lifecycle == model_api.ModelLifecycle.RETIRED
    return asked and (not retired if before is None else before.get("lifecycle") != model_api.ModelLifecycle.RETIRED)


def _deleted(world: seen.World) -> Iterator[ledger.Fact]:
    """What the ledger knows and the cluster does not any more."""
    past = world.past
    if past is None:
        return
    noticed = {"noticed": "later" if world.first else "live"}
    back = restoring.lost(world)
    backed = {one.name for one in back}
    if past.uid and not past.deleted and world.model is None and "Model" not in {one.kind for one in back}:
        yield registration.gone("Model", world.name, past.uid, noticed)
    for version, known in past.versions.items():
        name = f"{world.name}-{version}"
        if version in world.versions or known.facts[-1] > world.sequence or name in backed:
            continue
        for uid in ([] if known.deleted else [known.uid]) + ([known.other] if known.other else []):
            yield registration.gone("ModelVersion", name, uid, {**noticed, "version": version})
    here, lost = world.asked(), set(restoring.forgotten(world))
    for name, asked in past.promotions.items():
        there = here.get(name)
        if asked.lost or name in lost:
            continue
        cut = asked.was_cut_off(there) and not (backed or world.older or world.withheld)
        if cut:
            yield _aborted(name, asked)
        if not asked.deleted and (there is None or cut):
            yield registration.gone("Promotion", name, asked.uid, noticed)


def _aborted(name: str, asked: index.Promotion) -> ledger.Fact:
    """Who deletes a promotion that holds its stage aborts it; nobody is there any more whose status could say so."""
    phase, message = str(promotion_api.Phase.ABORTED), "it was deleted while it held the stage"
    detail = {"version": asked.version, "stage": asked.stage, "phase": phase, "reason": str(Reason.ABORTED), "message": message}
    about = ledger.Subject("Promotion", name, asked.uid, 0)
    return ledger.fact(Action.ENDED, ledger.BY_OPERATOR, about, phase, None, detail | {"rollback": asked.rollback})


# --- promotions


def _of(world: seen.World, one: api.Promotion, plan: model.Plan) -> tuple[ledger.Fact, ...]:
    """What is told of one promotion.

    Raises:
        unforeseen.OfPromotion: that cannot be said. Nothing may happen in its stage then; in a World that knows it, nothing is told.
    """
    try:
        return tuple(_promotion(world, one, plan))
    except Exception as error:
        name, stage = one.metadata.name, one.spec.stage
        if name in world.unrecordable:
            return ()
        raise unforeseen.OfPromotion(name, stage, unforeseen.of(f"the Promotion {name}", error)) from error


def _promotion(world: seen.World, one: api.Promotion, plan: model.Plan) -> Iterator[ledger.Fact]:
    about, spec = specs.about(one), one.spec
    if promotion.ran_before(world, one):
        return  # nothing of this one happens
    yield from _asked_for(world, one)
    said, over = approvals.said(world, one), one.status.phase and one.status.phase.is_terminal
    for word in spec.approvals or []:
        if over and world.past is None:
            break  # the ledger has what was said of it, and does not answer
        if (about.uid, word.user, word.gate) in world.untried:
            continue  # whose it is is not known yet, and what is recorded cannot be taken back
        if (known := said.get((word.user, word.gate))) is None or not known.means(word):
            doubted, why = (about.uid, word.user, word.gate) in world.doubted, approvals.why_not(world, one, word)
            detail: dict[str, Any] = {"version": spec.version, "stage": spec.stage, "gate": word.gate, "comment": word.comment}
            detail |= {"counts": why is None, "doubted": doubted} | ({"why": why} if why else {})
            whose = ledger.Known.DECLARED if doubted else ledger.Known.AUTHENTICATED
            step = f"{about.generation} {word.user} {word.gate} {word.subject}"
            yield ledger.fact(approvals.SAYS[word.decision], ledger.Actor(word.user, whose), about, step, word.subject, detail)
    status = plan.promotions.get(one.metadata.name, one.status)
    if _is_granted(world, one, plan):
        yield _granted(world, one, status)
    yield from _end(world, one, status)


def _asked_for(world: seen.World, one: api.Promotion) -> Iterator[ledger.Fact]:
    """That it was requested, and each time that it was paused, let go on, or aborted."""
    before: Mapping[str, Any] | None = world.baseline(one)
    for change in world.changes(one):
        spec, about = change.after.spec, specs.about(change.after)
        if change.since == 0:
            known = ledger.Known.AUTHENTICATED if change.stamped else ledger.Known.DECLARED
            actor = ledger.Actor(spec.requested_by, known) if spec.requested_by else change.creator
            detail: dict[str, Any] = {"version": spec.version, "stage": spec.stage, "reason": spec.reason, "rollback": bool(spec.rollback)}
            detail["requestedByMachine"] = bool(actor.name.startswith("system:"))
            yield ledger.fact(Action.REQUESTED, actor, about, "requested", change.spec, detail)
            before = {} if about.generation > 1 else spec.dump()
        if _steers(change, before):
            steered = {"version": spec.version, "stage": spec.stage, "paused": bool(spec.paused), "abort": bool(spec.abort)}
            # Where the spec before is not known, it may have been so for long.
            actor, doubt = (change.actor, change.doubt) if before is not None else (ledger.NOBODY_KNOWS, change.candidates)
            yield ledger.fact(Action.STEERED, actor, about, None, change.spec, steered | doubt)
        before = spec.dump()


def _steers(change: specs.Change[api.Promotion], before: Mapping[str, Any] | None) -> bool:
    """Whether it pauses, lets go on, or aborts; where the spec before is not known, whether it may."""
    now = change.after.spec
    return any(bool(value) != bool((before or {}).get(field)) for field, value in (("paused", now.paused), ("abort", now.abort)))


def _is_granted(world: seen.World, one: api.Promotion, plan: model.Plan) -> bool:
    """Whether this decision grants it its stage: only when the Model's status names it has it been."""
    holders, uid = (plan.status.stages if plan.status else None) or [], one.metadata.uid
    if not any(now.promotion and now.promotion.uid == uid for now in holders):
        return False
    before = restoring.with_ledgers_stages(world).stands(one.spec.stage).promotion
    return before is None or before.uid != uid


def _granted(world: seen.World, one: api.Promotion, status: promotion_api.PromotionStatus) -> ledger.Fact:
    """Named by all that it tells: a grant that never took effect is no other's."""
    spec, declared, subject = one.spec, world.stage(one.spec.stage), world.versions.get(one.spec.version)
    detail = {
        "version": spec.version,
        "stage": spec.stage,
        "rollback": bool(spec.rollback),
        "gates": [row.dump() for row in status.gates or []],
        "policy": digest.named(_policy(declared)) if declared else None,
        "template": status.rollout.template if status.rollout else None,
        "approvals": [[user, row.gate, status.subject] for row in status.approvals or [] for user in row.approved_by or []],
    }
    proven = subject.status.artifact.digest if subject and subject.status.artifact else None
    step = f"granted {digest.of_json(detail)}"
    return ledger.fact(Action.GRANTED, ledger.BY_OPERATOR, specs.about(one), step, proven, detail)


def _end(world: seen.World, one: api.Promotion, status: promotion_api.PromotionStatus) -> Iterator[ledger.Fact]:
    """How it ended."""
    was, spec, about = one.status, one.spec, specs.about(one)
    known = world.past.promotions.get(one.metadata.name) if world.past else None
    known = known if known and known.uid == about.uid else None
    untold = bool(known and known.phase is None)  # it could not be kept until the ledger answered
    if status.phase and status.phase.is_terminal and (status.phase != was.phase or untold) and not (known and known.phase == status.phase):
        ready = next((condition for condition in status.conditions if condition.type == "Ready"), None)
        end: dict[str, Any] = {
            "version": spec.version,
            "stage": spec.stage,
            "phase": str(status.phase),
            "reason": ready.reason if ready else "",
            "message": ready.message if ready else "",
        }
        end["rollback"] = bool(spec.rollback)
        at = None if status.phase != was.phase else status.finished_at
        yield ledger.fact(Action.ENDED, ledger.BY_OPERATOR, about, str(status.phase), None, end, at=at)


# --- stages


def _policy(declared: api.Stage) -> bytes:
    return digest.canonical(declared.dump())


def _rollouts(world: seen.World, stages: Sequence[api.StageStatus]) -> Iterator[ledger.Fact]:
    """Templates that change without a promotion, or were put back."""
    if world.model is None:
        return
    about = specs.about(world.model)
    for now in stages:
        was = world.stands(now.name)
        what = {"stage": now.name, "version": now.current}
        if now.rollout and not now.promotion and was.rollout != now.rollout:
            detail = what | {"template": now.rollout.template, "why": templates.CHANGED}
            # Where the stage stood before tells one change from the same change made again later.
            step = f"{now.name} {was.serving.template if was.serving else ''} {now.rollout.template} {about.generation}"
            yield ledger.fact(Action.ROLLOUT, ledger.BY_OPERATOR, about, step, None, detail)
        refused = now.serving.refused if now.serving else None
        if refused and refused != (was.serving.refused if was.serving else None):
            detail = what | {"template": now.serving.template if now.serving else None, "why": templates.PUT_BACK}
            yield ledger.fact(Action.ROLLOUT, ledger.BY_OPERATOR, about, f"{now.name} back {refused} {about.generation}", None, detail)


def _serving(world: seen.World, state: Sequence[ledger.StageState]) -> Iterator[ledger.Fact]:
    """The versions that may get traffic, or their weights, changed."""
    before = {one.name: one for one in world.state}
    uid = world.model.metadata.uid if world.model else (world.past.uid if world.past else None) or ""
    for now in state:
        was = before.get(now.name, ledger.StageState(now.name))
        if serves.weights(now.serves) == serves.weights(was.serves):
            continue
        told = [codec.dump_share(one) for one in now.serves]
        about = ledger.Subject("Model", world.name, uid, world.model.metadata.generation if world.model else 0)
        waiting = unrecorded.changes(world.unrecorded, now.name)
        step = f"{now.name} after {_last(world)}" + (f" and {waiting} more" if waiting else "")
        why = shares.service_taken(world, now.name)
        detail = {"stage": now.name, "serves": told} | ({"why": why.message} if why else {})
        yield ledger.fact(Action.SERVING, ledger.BY_OPERATOR, about, step, None, detail)


def _last(world: seen.World) -> int:
    """Number of the last record that is known, if only because the status says so."""
    anchor = world.model.status.ledger if world.model else None
    return world.past.sequence if world.past else (anchor.sequence if anchor else None) or 0


def _decommissioned(world: seen.World, state: Sequence[ledger.StageState]) -> Iterator[ledger.Fact]:
    """Stages that stand for nothing any more; what vanishes with a Model that is gone was lost, not decommissioned."""
    if world.model is None:
        return
    standing = {one.name for one in state if one.current}
    for was in world.state:
        if was.current and was.name not in standing:
            why = "the stage was removed" if world.stage(was.name) is None else "the Model is Retired"
            step = f"{was.name} down after {world.past.sequence if world.past else 0}"
            detail = {"stage": was.name, "version": was.current, "why": why}
            yield ledger.fact(Action.DECOMMISSIONED, ledger.BY_OPERATOR, specs.about(world.model), step, None, detail)
