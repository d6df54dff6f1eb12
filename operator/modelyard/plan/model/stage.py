"""Decide one stage: continue the promotion that holds it, else grant it to the next promotion, else roll out a changed template."""

from __future__ import annotations

import dataclasses
import datetime

from modelyard import api
from modelyard.api import labels, stage
from modelyard.api.promotion import Phase, RolloutStatus
from modelyard.api.reason import Reason
from modelyard.ledger import record
from modelyard.plan import finding, unforeseen
from modelyard.plan.observed.world import DryRun, Question, World
from modelyard.plan.promotion import grant
from modelyard.plan.promotion.status import Outcome, ran_before, unknown
from modelyard.plan.rollout.progress import RETRY, begin, judge
from modelyard.plan.serving import agreed, template


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """The decision on one stage."""

    status: api.StageStatus
    updates: tuple[Outcome, ...] = ()
    """New statuses of the stage's promotions."""
    ask: tuple[Question, ...] = ()
    auto: str | None = None
    """The version that autoPromote wants to promote."""
    trouble: finding.Finding | None = None
    """What a person must mend in the Model. If it is a Held, the operator tries again by itself."""
    waits: finding.Finding | None = None
    """What people must approve before the stage is as its spec says."""
    again: datetime.timedelta | None = None


def take(world: World, name: str, now: datetime.datetime, *, begins: bool = True) -> Turn:
    """Decide what this stage does next. `begins`: whether anything new may begin."""
    turn = _take(world, world.stands(name), now, begins=begins)
    if world.model and not world.withheld and world.stage(name) is None:
        turn = dataclasses.replace(turn, updates=(*turn.updates, *taken_down(world, name)))
    return refresh_finished_promotions(world, turn)


def _take(world: World, status: api.StageStatus, now: datetime.datetime, *, begins: bool) -> Turn:
    if status.promotion:
        turn = _continue_promotion(world, status, status.promotion, now)
        turn = dataclasses.replace(turn, updates=(*turn.updates, *grant.superseded(world, status)))
    elif status.rollout:
        if begins and (turn_back := _roll_back_instead(world, status, now)):
            return turn_back
        turn = _continue_template(world, status, status.rollout, now)
    else:
        turn = Turn(status)
    if turn.status.promotion or turn.status.rollout:
        return _others_wait(world, turn, now)
    if not begins:
        return turn
    turn = _grant(world, turn, now)
    if turn.ask or turn.status.promotion:
        return turn
    return _change_template(world, turn, now)


def _roll_back_instead(world: World, status: api.StageStatus, now: datetime.datetime) -> Turn | None:
    """Grant a rollback that is due although a changed template is being rolled out: no promotion holds the stage that somebody could abort."""
    if not grant.rollback_is_due(world, status, now):
        return None
    turn = _grant(world, Turn(_released(status)), now)
    return turn if turn.ask or turn.status.promotion else None


def unchanged(world: World, name: str, why: finding.Unmet) -> Turn:
    """Leave a stage as it is, because a part of it cannot be handled. Nothing is granted; each unfinished promotion's status says why."""
    updates = tuple(
        unknown(promotion, why)
        for promotion in world.promotions
        if promotion.spec.stage == name
        and not (promotion.status.phase and promotion.status.phase.is_terminal)
        and not promotion.metadata.deletion_timestamp
    )
    return Turn(world.stands(name), updates, trouble=why, again=RETRY)


# --- the promotion that holds the stage


def _continue_promotion(world: World, status: api.StageStatus, reference: stage.StagePromotion, now: datetime.datetime) -> Turn:
    holder = next((promotion for promotion in world.promotions if promotion.metadata.uid == reference.uid), None)
    phase, rollback = (holder.status.phase, bool(holder.spec.rollback)) if holder else _recorded_outcome(world, reference)
    if phase == Phase.SUCCEEDED:  # the promotion's status was written, the Model's was not yet
        return Turn(_finished(world, status, reference, now, rollback=rollback), _supersede(world, status.name, reference))
    if holder is None or holder.metadata.deletion_timestamp or (phase and phase.is_terminal):
        return Turn(_released(status))
    version = holder.spec.version
    if holder.spec.abort:
        remainder = f"; {status.current} serves on" if status.current and world.stage(status.name) else ""
        return _ended(status, holder, Phase.ABORTED, finding.Finding(Reason.ABORTED, f"spec.abort was set{remainder}"))
    began = _resumed_rollout(holder, now) or holder.status.rollout
    progress = judge(world, status, now, paused=bool(holder.spec.paused), since=began.since if began else None)
    if progress.done and world.withheld and not holder.spec.rollback:
        return _cannot_succeed_now(world, status, holder, world.withheld, now)
    if progress.done:
        finished = _finished(world, status, reference, now, rollback=rollback)
        outcome = finding.Finding(Reason.SUCCEEDED, f"{status.name} is at {version}")
        return Turn(finished, (Outcome(holder, Phase.SUCCEEDED, outcome), *_supersede(world, status.name, reference)))
    if progress.expired:
        return _expired(world, status, holder, progress.said)
    trouble = next((why for wish, why in world.unserved.items() if status.rollout and wish.template == status.rollout.template), None)
    cause = trouble or progress.said
    return Turn(status, (Outcome(holder, Phase.ROLLING_OUT, cause, rollout=began, trouble=trouble),), again=progress.again)


def _recorded_outcome(world: World, reference: stage.StagePromotion) -> tuple[Phase | None, bool]:
    """Return how a deleted promotion ended, and whether it was a rollback. The ledger or an entry that waits for the ledger says it."""
    recorded = world.past.promotions.get(reference.name) if world.past else None
    if recorded and recorded.uid == reference.uid and recorded.phase:
        return Phase(recorded.phase), recorded.rollback
    waiting = [entry.detail for entry in world.unrecorded if entry.action == record.Action.ENDED and entry.subject.uid == reference.uid]
    return (Phase(waiting[-1]["phase"]), bool(waiting[-1]["rollback"])) if waiting else (None, False)


def _resumed_rollout(holder: api.Promotion, now: datetime.datetime) -> RolloutStatus | None:
    """Return the rollout of a promotion that was paused until now. Its progress deadline begins anew, as a Deployment's does."""
    ready, rollout = finding.find(holder.status.conditions, "Ready"), holder.status.rollout
    if rollout is None or holder.spec.paused or ready is None or ready.reason != Reason.PAUSED:
        return None
    return rollout.model_copy(update={"since": now.replace(microsecond=0)})


def _cannot_succeed_now(world: World, status: api.StageStatus, holder: api.Promotion, why: finding.Unmet, now: datetime.datetime) -> Turn:
    """The pods are available, but the ledger cannot record the new current version. A rollback does not wait for the ledger."""
    if grant.rollback_is_due(world, status, now):
        outcome = finding.Finding(Reason.SUPERSEDED, f"a rollback was asked for before {status.name} was at {holder.spec.version}")
        return Turn(_released(status), (Outcome(holder, Phase.SUPERSEDED, outcome),))
    waits = finding.Finding(Reason.ROLLING_OUT, f"{holder.spec.version} is available; that {status.name} is at it waits to be recorded")
    return Turn(status, (Outcome(holder, Phase.ROLLING_OUT, waits, trouble=why),), again=RETRY)


def _expired(world: World, status: api.StageStatus, holder: api.Promotion, why: finding.Finding) -> Turn:
    """The version did not become available in time: put the stage back to its current version, if it has one."""
    if world.stage(status.name) is None:
        return _ended(status, holder, Phase.FAILED, finding.Finding(why.reason, f"{why.message}: what it serves is taken down"))
    if status.current:
        return _ended(status, holder, Phase.ROLLED_BACK, finding.Finding(why.reason, f"{why.message}; put back to {status.current}"))
    message = f"{why.message}; nothing to go back to: {status.name} serves nothing"
    return _ended(status, holder, Phase.FAILED, finding.Finding(why.reason, message))


def _ended(status: api.StageStatus, holder: api.Promotion, phase: Phase, outcome: finding.Finding) -> Turn:
    return Turn(_released(status), (Outcome(holder, phase, outcome),))


def _supersede(world: World, name: str, reference: stage.StagePromotion) -> tuple[Outcome, ...]:
    """Mark the stage's earlier Succeeded promotions as Superseded."""
    outcome = finding.Finding(Reason.SUPERSEDED, f"{reference.version} was granted {name} later")
    older = [promotion for promotion in _succeeded(world, name) if promotion.metadata.uid != reference.uid]
    return tuple(Outcome(promotion, Phase.SUPERSEDED, outcome) for promotion in older)


def taken_down(world: World, name: str) -> tuple[Outcome, ...]:
    """Mark the promotions of a stage that is taken down as Superseded. Succeeded says that a version is still current."""
    outcome = finding.Finding(Reason.DECOMMISSIONED, f"{name} was taken down, and has no current version")
    return tuple(Outcome(promotion, Phase.SUPERSEDED, outcome) for promotion in _succeeded(world, name))


def _succeeded(world: World, name: str) -> list[api.Promotion]:
    """Return the stage's promotions in the phase Succeeded."""
    succeeded = [promotion for promotion in world.promotions if promotion.spec.stage == name and promotion.status.phase == Phase.SUCCEEDED]
    return [promotion for promotion in succeeded if not ran_before(world, promotion)]


def _released(status: api.StageStatus) -> api.StageStatus:
    """Return the status without the grant. The current version stays."""
    return status.model_copy(update={"promotion": None, "rollout": None})


def _finished(
    world: World, status: api.StageStatus, reference: stage.StagePromotion, now: datetime.datetime, *, rollback: bool
) -> api.StageStatus:
    version = reference.version
    subject = world.versions.get(version)
    proven = subject.status.artifact if subject else None
    hold = stage.Hold(since=now.replace(microsecond=0), promotion=reference.name) if rollback else status.hold
    return api.StageStatus(
        name=status.name,
        current=version,
        digest=proven.digest if proven else None,
        previous=status.current if status.current != version else status.previous,
        since=now.replace(microsecond=0) if status.current != version else status.since,
        serving=_serving_after(world, status),
        hold=hold,
    )


def _serving_after(world: World, status: api.StageStatus) -> stage.ServingStatus | None:
    if status.rollout is None or status.rollout.template is None:
        return None
    return stage.ServingStatus(deployment=f"{world.name}-{status.name}", template=status.rollout.template, source=status.rollout.source)


def refresh_finished_promotions(world: World, turn: Turn) -> Turn:
    """Write the outcome of finished promotions whose spec changed since again, for the present generation."""
    updated = _updated_uids(turn)
    finished = tuple(
        Outcome(promotion, promotion.status.phase, finding.Finding(Reason(ready.reason), ready.message))
        for promotion in world.promotions
        if promotion.spec.stage == turn.status.name and promotion.status.phase and promotion.status.phase.is_terminal
        if promotion.metadata.uid not in updated and promotion.status.observed_generation != promotion.metadata.generation
        if (ready := finding.find(promotion.status.conditions, "Ready"))
    )
    return dataclasses.replace(turn, updates=(*turn.updates, *finished))


# --- the promotions that wait for the stage


def _others_wait(world: World, turn: Turn, now: datetime.datetime) -> Turn:
    holder = turn.status.promotion
    by = f"{holder.name} ({holder.version})" if holder else "a changed template"
    return dataclasses.replace(turn, updates=(*turn.updates, *grant.wait(world, turn.status, _updated_uids(turn), by, now)))


def _grant(world: World, turn: Turn, now: datetime.datetime) -> Turn:
    choice = grant.choose(world, turn.status, _updated_uids(turn), now)
    if choice.ask:
        return dataclasses.replace(turn, ask=(*turn.ask, choice.ask))
    updates = (*turn.updates, *choice.told)
    if choice.granted and choice.begun:
        return dataclasses.replace(turn, status=_with_grant(turn.status, choice.granted, choice.begun), updates=updates, again=choice.again)
    try:
        auto, again = grant.automatic(world, turn.status, now)
    except Exception as error:  # autoPromote rests; what people requested goes on
        turn = dataclasses.replace(turn, trouble=unforeseen.describe(f"autoPromote of the stage {turn.status.name}", error))
        auto, again = None, RETRY
    return dataclasses.replace(
        turn, updates=updates, auto=auto, again=min((delay for delay in (choice.again, again) if delay), default=None)
    )


def _updated_uids(turn: Turn) -> set[str]:
    return {update.promotion.metadata.uid for update in turn.updates}


def _with_grant(status: api.StageStatus, promotion: api.Promotion, begun: stage.StageRollout) -> api.StageStatus:
    holder = stage.StagePromotion(name=promotion.metadata.name, uid=promotion.metadata.uid, version=promotion.spec.version)
    hold = status.hold if labels.AUTOMATIC in promotion.metadata.labels else None  # a person made this one: autoPromote may go on
    return status.model_copy(update={"promotion": holder, "rollout": begun, "hold": hold})


# --- a template that changed without a promotion


def _change_template(world: World, turn: Turn, now: datetime.datetime) -> Turn:
    """Roll out the stage's current version with the template that is declared now."""
    status, declared = turn.status, world.stage(turn.status.name)
    if declared is None or declared.serving is None or status.current is None:
        return turn
    source = template.source(declared.serving)
    serving = status.serving
    if serving and source in {serving.source, serving.refused}:
        message = f"stage {status.name}: the changed template did not become available and was put back; change it again"
        return dataclasses.replace(turn, trouble=finding.Finding(Reason.DEADLINE_EXCEEDED, message)) if source == serving.refused else turn
    if _template_invalid(world, status.name) or world.withheld:
        return turn
    if agreed.waits(declared, status):
        return dataclasses.replace(turn, waits=_waits_for_people(world, declared, status.current))
    if why := _cannot_be_loaded(world, status.name, status.current):
        return dataclasses.replace(turn, trouble=why)
    begun = begin(world, status, status.current, now)
    if isinstance(begun, Question):
        return dataclasses.replace(turn, ask=(begun,))
    if isinstance(begun, finding.Finding):
        return dataclasses.replace(turn, again=RETRY, trouble=begun)
    return dataclasses.replace(turn, status=status.model_copy(update={"rollout": begun}), again=RETRY)


def _waits_for_people(world: World, declared: api.Stage, version: str) -> finding.Finding:
    """Say who must do what before the changed template serves."""
    name, gates = declared.name, ", ".join(agreed.gates_that_ask(declared))
    requests = [
        promotion.metadata.name
        for promotion in world.promotions
        if (promotion.spec.stage, promotion.spec.version) == (name, version) and not promotion.spec.rollback
        if not (promotion.status.phase and promotion.status.phase.is_terminal) and not promotion.metadata.deletion_timestamp
    ]
    then = (
        f"it serves once the Promotion {requests[0]} is granted"
        if requests
        else f"who may promote there creates a Promotion of {version} to {name}"
    )
    message = (
        f"stage {name}: the changed template waits for approval (gate {gates}), and what serves goes on: {then}; or put the template back"
    )
    return finding.Finding(Reason.TEMPLATE_WAITS_FOR_APPROVAL, message)


def _cannot_be_loaded(world: World, name: str, version: str) -> finding.Finding | None:
    """Return why new pods of the current version could not start. The pods that serve now have verified bytes, so they stay."""
    wanted, waits = world.versions.get(version), f"the changed template of {name} waits"
    if wanted is None or wanted.status.artifact is None:
        return finding.Finding(
            Reason.VERSION_MISSING, f"{waits}: the ModelVersion {world.name}-{version} does not exist, or was not verified yet"
        )
    if wanted.status.phase == api.VersionPhase.QUARANTINED:
        why = "its bytes changed, and new pods could not load it; put the right bytes back, or promote another version"
        return finding.Finding(Reason.QUARANTINED, f"{waits}: {world.name}-{version} is Quarantined: {why}")
    return None


def _continue_template(world: World, status: api.StageStatus, changed: stage.StageRollout, now: datetime.datetime) -> Turn:
    progress = judge(world, status, now, paused=False)
    if progress.done:
        return Turn(status.model_copy(update={"rollout": None, "serving": _serving_after(world, status)}))
    if progress.expired:
        serving = status.serving or stage.ServingStatus(deployment=f"{world.name}-{status.name}")
        return Turn(
            status.model_copy(update={"rollout": None, "serving": serving.model_copy(update={"refused": changed.source})}),
            trouble=progress.said,
        )
    return Turn(status, again=progress.again)


def _template_invalid(world: World, name: str) -> bool:
    """Whether the API server would refuse the stage's rendered template. The Model's conditions show its message."""
    declared = world.stage(name)
    if declared is None or declared.serving is None:
        return False
    return isinstance(world.answers.get(DryRun(name, template.source(declared.serving))), finding.Finding)
