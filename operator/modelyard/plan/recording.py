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
    state = tuple(shares.of(world, stages, now))
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


def waiting(world: seen.World, now: datetime.datetime) -> Recording:
    """What the ledger is to have before anything is decided by it: what happened while it did not answer, and what the stages came to."""
    model = restoring.with_ledgers_stages(world).model
    state = tuple(shares.state(stands, was.serves) for stands, was in shares.each(world, (model.status.stages if model else None) or []))
    return Recording(world.unrecorded, tuple(_blobs(world, world.unrecorded)), state, now)


def _blobs(world: seen.World, facts: Sequence[ledger.Fact]) -> Iterator[bytes]:
    """The specs that the ledger does not have yet, and the rules by which stages are granted, as they are now."""
    yield from (specs.snapshot(one) for one in (world.model, *world.promotions) if one and specs.is_new(one))
    granted = {one.detail["stage"] for one in facts if one.action == Action.GRANTED}
    yield from (_policy(one) for one in world.stages() if one.name in granted)


# --- the Model


def _model(world: seen.World, subject: api.Model) -> Iterator[ledger.Fact]:
    if not specs.is_new(subject):
        return
    recorded, about, written = subject.status.recorded, specs.about(subject), specs.recorded(subject).spec
    if recorded is None:
        actor = specs.author(subject, 1, stamped=world.unguarded is None)
        yield ledger.fact(Action.MODEL_CREATED, actor, about, "created", written)
        if subject.spec.lifecycle == model_api.ModelLifecycle.RETIRED:
            yield _model_retired(subject, actor, written)
        return
    actor = specs.author(subject, stamped=world.unguarded is None)
    answer = world.answers.get(seen.Snapshot(recorded.spec))
    before: Mapping[str, Any] = answer if isinstance(answer, Mapping) else {}
    after = subject.spec.dump()
    detail: dict[str, Any] = {"before": recorded.spec, "changed": list(specs.changed(before, after))}
    if also := specs.others(subject, recorded.generation):
        detail["alsoChangedBy"] = also
    yield ledger.fact(Action.RULES_CHANGED, actor, about, None, written, detail)
    old, new = before.get("aliases") or {}, after.get("aliases") or {}
    for alias in sorted({*old, *new}):
        if old.get(alias) != new.get(alias):
            pointed = {"alias": alias, "before": old.get(alias), "after": new.get(alias)}
            yield ledger.fact(Action.ALIAS_CHANGED, actor, about, f"{about.generation} {alias} {written}", None, pointed)
    retired = model_api.ModelLifecycle.RETIRED
    if subject.spec.lifecycle == retired and before.get("lifecycle") != retired:
        yield _model_retired(subject, actor, written)


def _model_retired(subject: api.Model, actor: ledger.Actor, written: str) -> ledger.Fact:
    detail = {"version": None, "reason": subject.spec.lifecycle_reason}
    return ledger.fact(Action.RETIRED, actor, specs.about(subject), "retired", written, detail)


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
    stamped = world.unguarded is None
    if one.status.recorded is None:
        actor = (
            ledger.Actor(spec.requested_by, ledger.Known.AUTHENTICATED if stamped else ledger.Known.DECLARED)
            if spec.requested_by
            else specs.author(one, 1, stamped=stamped)
        )
        detail = {"version": spec.version, "stage": spec.stage, "reason": spec.reason, "rollback": bool(spec.rollback)}
        detail["requestedByMachine"] = bool(actor.name.startswith("system:"))
        yield ledger.fact(Action.REQUESTED, actor, about, "requested", specs.recorded(one).spec, detail)
    said, over = approvals.said(world, one), one.status.phase and one.status.phase.is_terminal
    for word in spec.approvals or []:
        if over and world.past is None:
            break  # the ledger has what was said of it, and does not answer
        if (about.uid, word.user, word.gate) in world.untried:
            continue  # whose it is is not known yet, and what is recorded cannot be taken back
        if (known := said.get((word.user, word.gate))) is None or not known.means(word):
            doubted, why = (about.uid, word.user, word.gate) in world.doubted, approvals.why_not(world, one, word)
            detail = {"version": spec.version, "stage": spec.stage, "gate": word.gate, "comment": word.comment}
            detail |= {"counts": why is None, "doubted": doubted} | ({"why": why} if why else {})
            whose = ledger.Known.DECLARED if doubted else ledger.Known.AUTHENTICATED
            step = f"{about.generation} {word.user} {word.gate} {word.subject}"
            yield ledger.fact(approvals.SAYS[word.decision], ledger.Actor(word.user, whose), about, step, word.subject, detail)
    if one.status.recorded and specs.is_new(one) and (spec.paused or spec.abort or _steered(world, one)):
        steered = {"version": spec.version, "stage": spec.stage, "paused": bool(spec.paused), "abort": bool(spec.abort)}
        yield ledger.fact(Action.STEERED, specs.author(one, stamped=stamped), about, None, specs.recorded(one).spec, steered)
    status = plan.promotions.get(one.metadata.name, one.status)
    if _is_granted(world, one, plan):
        yield _granted(world, one, status)
    yield from _end(world, one, status)


def _steered(world: seen.World, one: api.Promotion) -> bool:
    answer = world.answers.get(seen.Snapshot(one.status.recorded.spec)) if one.status.recorded else None
    before = answer if isinstance(answer, Mapping) else {}
    return bool(before.get("paused")) != bool(one.spec.paused)


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
            detail = what | {"template": now.rollout.template, "why": "the stage's serving changed"}
            # Where the stage stood before tells one change from the same change made again later.
            step = f"{now.name} {was.serving.template if was.serving else ''} {now.rollout.template} {about.generation}"
            yield ledger.fact(Action.ROLLOUT, ledger.BY_OPERATOR, about, step, None, detail)
        refused = now.serving.refused if now.serving else None
        if refused and refused != (was.serving.refused if was.serving else None):
            detail = what | {"template": now.serving.template if now.serving else None, "why": "not available in time: put back"}
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
