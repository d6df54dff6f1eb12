"""One stage's turn: the promotion that holds it goes on, else the next is granted it, else a changed template rolls out."""

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
from modelyard.plan.promotion.status import Told, ran_before, unknown
from modelyard.plan.rollout.progress import RETRY, begin, judge
from modelyard.plan.serving import agreed, template


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """What a decision makes of one stage."""

    status: api.StageStatus
    told: tuple[Told, ...] = ()
    ask: tuple[Question, ...] = ()
    auto: str | None = None
    """The version that autoPromote wants to promote."""
    trouble: finding.Fact | None = None
    """What a person must mend in the Model; a Held: what is tried again by itself."""
    waits: finding.Fact | None = None
    """What people must agree to before the stage is as it is asked to be."""
    again: datetime.timedelta | None = None


def take(world: World, name: str, now: datetime.datetime, *, begins: bool = True) -> Turn:
    """What this stage should do next; whether anything new may begin."""
    turn = _take(world, world.stands(name), now, begins=begins)
    if world.model and not world.withheld and world.stage(name) is None:
        turn = dataclasses.replace(turn, told=(*turn.told, *taken_down(world, name)))
    return with_those_that_are_over(world, turn)


def _take(world: World, was: api.StageStatus, now: datetime.datetime, *, begins: bool) -> Turn:
    if was.promotion:
        turn = _go_on(world, was, was.promotion, now)
        turn = dataclasses.replace(turn, told=(*turn.told, *grant.superseded(world, was)))
    elif was.rollout:
        turn = _go_on_with_template(world, was, was.rollout, now)
    else:
        turn = Turn(was)
    if turn.status.promotion or turn.status.rollout:
        return _others_wait(world, turn, now)
    if not begins:
        return turn
    turn = _grant(world, turn, now)
    if turn.ask or turn.status.promotion:
        return turn
    return _change_template(world, turn, now)


def stays(world: World, name: str, why: finding.Held) -> Turn:
    """A stage of which something cannot be handled: it stays as it is, nothing is granted in it, and whoever wants it is told why."""
    told = tuple(
        unknown(one, why)
        for one in world.promotions
        if one.spec.stage == name and not (one.status.phase and one.status.phase.is_terminal) and not one.metadata.deletion_timestamp
    )
    return Turn(world.stands(name), told, trouble=why, again=RETRY)


# --- the promotion that holds the stage


def _go_on(world: World, was: api.StageStatus, holds: stage.StagePromotion, now: datetime.datetime) -> Turn:
    holder = next((one for one in world.promotions if one.metadata.uid == holds.uid), None)
    phase, rollback = (holder.status.phase, bool(holder.spec.rollback)) if holder else _told_of(world, holds)
    if phase == Phase.SUCCEEDED:  # told before, but the Model does not say so yet
        return Turn(_finished(world, was, holds, now, rollback=rollback), _supersede(world, was.name, holds))
    if holder is None or holder.metadata.deletion_timestamp or (phase and phase.is_terminal):
        return Turn(_released(was))
    version = holder.spec.version
    if holder.spec.abort:
        back = f"; {was.current} serves on" if was.current and world.stage(was.name) else ""
        return _ended(was, holder, Phase.ABORTED, finding.Fact(Reason.ABORTED, f"spec.abort was set{back}"))
    began = _goes_on(holder, now) or holder.status.rollout
    progress = judge(world, was, now, paused=bool(holder.spec.paused), since=began.since if began else None)
    if progress.done and world.withheld and not holder.spec.rollback:
        return _cannot_succeed_now(world, was, holder, world.withheld, now)
    if progress.done:
        finished = _finished(world, was, holds, now, rollback=rollback)
        said = finding.Fact(Reason.SUCCEEDED, f"{was.name} stands for {version}")
        return Turn(finished, (Told(holder, Phase.SUCCEEDED, said), *_supersede(world, was.name, holds)))
    if progress.expired:
        return _expired(world, was, holder, progress.said)
    trouble = next((why for wish, why in world.unserved.items() if was.rollout and wish.template == was.rollout.template), None)
    said = trouble or progress.said
    return Turn(was, (Told(holder, Phase.ROLLING_OUT, said, rollout=began, trouble=trouble),), again=progress.again)


def _told_of(world: World, holds: stage.StagePromotion) -> tuple[Phase | None, bool]:
    """How a promotion whose object is gone ended, as the ledger has it or is to have it, and whether it was a rollback."""
    known = world.past.promotions.get(holds.name) if world.past else None
    if known and known.uid == holds.uid and known.phase:
        return Phase(known.phase), known.rollback
    waiting = [one.detail for one in world.unrecorded if one.action == record.Action.ENDED and one.subject.uid == holds.uid]
    return (Phase(waiting[-1]["phase"]), bool(waiting[-1]["rollback"])) if waiting else (None, False)


def _goes_on(holder: api.Promotion, now: datetime.datetime) -> RolloutStatus | None:
    """The rollout of a promotion that was paused until now: its deadline begins anew, as a Deployment's does."""
    told, was = finding.find(holder.status.conditions, "Ready"), holder.status.rollout
    if was is None or holder.spec.paused or told is None or told.reason != Reason.PAUSED:
        return None
    return was.model_copy(update={"since": now.replace(microsecond=0)})


def _cannot_succeed_now(world: World, was: api.StageStatus, holder: api.Promotion, why: finding.Held, now: datetime.datetime) -> Turn:
    """Its pods are there, but that the stage stands for it cannot be recorded; a rollback does not wait for that."""
    if grant.rollback_is_due(world, was, now):
        said = finding.Fact(Reason.SUPERSEDED, f"a rollback was asked for before {was.name} stood for {holder.spec.version}")
        return Turn(_released(was), (Told(holder, Phase.SUPERSEDED, said),))
    said = finding.Fact(Reason.ROLLING_OUT, f"{holder.spec.version} is available; that {was.name} stands for it waits to be recorded")
    return Turn(was, (Told(holder, Phase.ROLLING_OUT, said, trouble=why),), again=RETRY)


def _expired(world: World, was: api.StageStatus, holder: api.Promotion, why: finding.Fact) -> Turn:
    """It will not become available: it is put back, where there is anything to go back to."""
    if world.stage(was.name) is None:
        return _ended(was, holder, Phase.FAILED, finding.Fact(why.reason, f"{why.message}: what it serves is taken down"))
    if was.current:
        return _ended(was, holder, Phase.ROLLED_BACK, finding.Fact(why.reason, f"{why.message}; put back to {was.current}"))
    message = f"{why.message}; nothing to go back to: {was.name} serves nothing"
    return _ended(was, holder, Phase.FAILED, finding.Fact(why.reason, message))


def _ended(was: api.StageStatus, holder: api.Promotion, phase: Phase, said: finding.Fact) -> Turn:
    return Turn(_released(was), (Told(holder, phase, said),))


def _supersede(world: World, name: str, holds: stage.StagePromotion) -> tuple[Told, ...]:
    """What the stage stood for before, it does no more."""
    said = finding.Fact(Reason.SUPERSEDED, f"{holds.version} was granted {name} later")
    older = [one for one in _succeeded(world, name) if one.metadata.uid != holds.uid]
    return tuple(Told(one, Phase.SUPERSEDED, said) for one in older)


def taken_down(world: World, name: str) -> tuple[Told, ...]:
    """What a stage stood for it does not once it is taken down: Succeeded is only what still stands."""
    said = finding.Fact(Reason.DECOMMISSIONED, f"{name} was taken down, and stands for nothing")
    return tuple(Told(one, Phase.SUPERSEDED, said) for one in _succeeded(world, name))


def _succeeded(world: World, name: str) -> list[api.Promotion]:
    """The promotions that say Succeeded of themselves in a stage."""
    mine = [one for one in world.promotions if one.spec.stage == name and one.status.phase == Phase.SUCCEEDED]
    return [one for one in mine if not ran_before(world, one)]


def _released(was: api.StageStatus) -> api.StageStatus:
    """As before the grant: the stage stands for what it stood for."""
    return was.model_copy(update={"promotion": None, "rollout": None})


def _finished(
    world: World, was: api.StageStatus, holds: stage.StagePromotion, now: datetime.datetime, *, rollback: bool
) -> api.StageStatus:
    version = holds.version
    subject = world.versions.get(version)
    proven = subject.status.artifact if subject else None
    hold = stage.Hold(since=now.replace(microsecond=0), promotion=holds.name) if rollback else was.hold
    return api.StageStatus(
        name=was.name,
        current=version,
        digest=proven.digest if proven else None,
        previous=was.current if was.current != version else was.previous,
        since=now.replace(microsecond=0) if was.current != version else was.since,
        serving=_stood_for(world, was),
        hold=hold,
    )


def _stood_for(world: World, was: api.StageStatus) -> stage.ServingStatus | None:
    if was.rollout is None or was.rollout.template is None:
        return None
    return stage.ServingStatus(deployment=f"{world.name}-{was.name}", template=was.rollout.template, source=was.rollout.source)


def with_those_that_are_over(world: World, turn: Turn) -> Turn:
    """Those whose end was told, and whose spec changed since: it is told again, of the generation that is now."""
    spoken_to = _spoken_to(turn)
    over = tuple(
        Told(one, one.status.phase, finding.Fact(Reason(ready.reason), ready.message))
        for one in world.promotions
        if one.spec.stage == turn.status.name and one.status.phase and one.status.phase.is_terminal
        if one.metadata.uid not in spoken_to and one.status.observed_generation != one.metadata.generation
        if (ready := finding.find(one.status.conditions, "Ready"))
    )
    return dataclasses.replace(turn, told=(*turn.told, *over))


# --- those who want it


def _others_wait(world: World, turn: Turn, now: datetime.datetime) -> Turn:
    holds = turn.status.promotion
    by = f"{holds.name} ({holds.version})" if holds else "a changed template"
    return dataclasses.replace(turn, told=(*turn.told, *grant.wait(world, turn.status, _spoken_to(turn), by, now)))


def _grant(world: World, turn: Turn, now: datetime.datetime) -> Turn:
    choice = grant.choose(world, turn.status, _spoken_to(turn), now)
    if choice.ask:
        return dataclasses.replace(turn, ask=(*turn.ask, choice.ask))
    told = (*turn.told, *choice.told)
    if choice.granted and choice.begun:
        return dataclasses.replace(turn, status=_held_by(turn.status, choice.granted, choice.begun), told=told, again=choice.again)
    try:
        auto, again = grant.automatic(world, turn.status, now)
    except Exception as error:  # nothing is promoted by itself, and what people asked for goes on
        turn = dataclasses.replace(turn, trouble=unforeseen.of(f"autoPromote of the stage {turn.status.name}", error))
        auto, again = None, RETRY
    return dataclasses.replace(turn, told=told, auto=auto, again=min((one for one in (choice.again, again) if one), default=None))


def _spoken_to(turn: Turn) -> set[str]:
    return {one.promotion.metadata.uid for one in turn.told}


def _held_by(was: api.StageStatus, one: api.Promotion, begun: stage.StageRollout) -> api.StageStatus:
    holder = stage.StagePromotion(name=one.metadata.name, uid=one.metadata.uid, version=one.spec.version)
    hold = was.hold if labels.AUTOMATIC in one.metadata.labels else None  # a person made this one: autoPromote may go on
    return was.model_copy(update={"promotion": holder, "rollout": begun, "hold": hold})


# --- a template that changed without a promotion


def _change_template(world: World, turn: Turn, now: datetime.datetime) -> Turn:
    """The version that the stage stands for, with the template that is declared now."""
    was, declared = turn.status, world.stage(turn.status.name)
    if declared is None or declared.serving is None or was.current is None:
        return turn
    source = template.source(declared.serving)
    stands = was.serving
    if stands and source in {stands.source, stands.refused}:
        message = f"stage {was.name}: the changed template did not become available and was put back; change it again"
        return dataclasses.replace(turn, trouble=finding.Fact(Reason.DEADLINE_EXCEEDED, message)) if source == stands.refused else turn
    if _template_invalid(world, was.name) or world.withheld:
        return turn
    if agreed.waits(declared, was):
        return dataclasses.replace(turn, waits=_waits_for_people(world, declared, was.current))
    if why := _cannot_be_loaded(world, was.name, was.current):
        return dataclasses.replace(turn, trouble=why)
    begun = begin(world, was, was.current, now)
    if isinstance(begun, Question):
        return dataclasses.replace(turn, ask=(begun,))
    if isinstance(begun, finding.Fact):
        return dataclasses.replace(turn, again=RETRY, trouble=begun)
    return dataclasses.replace(turn, status=was.model_copy(update={"rollout": begun}), again=RETRY)


def _waits_for_people(world: World, declared: api.Stage, version: str) -> finding.Fact:
    """Who must do what before the changed template serves."""
    name, gates = declared.name, ", ".join(agreed.gates_that_ask(declared))
    asked = [
        one.metadata.name
        for one in world.promotions
        if (one.spec.stage, one.spec.version) == (name, version) and not one.spec.rollback
        if not (one.status.phase and one.status.phase.is_terminal) and not one.metadata.deletion_timestamp
    ]
    then = (
        f"it serves once the Promotion {asked[0]} is granted"
        if asked
        else f"who may promote there creates a Promotion of {version} to {name}"
    )
    message = (
        f"stage {name}: the changed template waits for approval (gate {gates}), and what serves goes on: {then}; or put the template back"
    )
    return finding.Fact(Reason.TEMPLATE_WAITS_FOR_APPROVAL, message)


def _cannot_be_loaded(world: World, name: str, version: str) -> finding.Fact | None:
    """Why new pods of the stage's version could not start: those that serve now hold verified bytes, and are not given up for them."""
    wanted, waits = world.versions.get(version), f"the changed template of {name} waits"
    if wanted is None or wanted.status.artifact is None:
        return finding.Fact(
            Reason.VERSION_MISSING, f"{waits}: the ModelVersion {world.name}-{version} does not exist, or was not verified yet"
        )
    if wanted.status.phase == api.VersionPhase.QUARANTINED:
        why = "its bytes changed, and new pods could not load it; put the right bytes back, or promote another version"
        return finding.Fact(Reason.QUARANTINED, f"{waits}: {world.name}-{version} is Quarantined: {why}")
    return None


def _go_on_with_template(world: World, was: api.StageStatus, changed: stage.StageRollout, now: datetime.datetime) -> Turn:
    progress = judge(world, was, now, paused=False)
    if progress.done:
        return Turn(was.model_copy(update={"rollout": None, "serving": _stood_for(world, was)}))
    if progress.expired:
        stands = was.serving or stage.ServingStatus(deployment=f"{world.name}-{was.name}")
        return Turn(
            was.model_copy(update={"rollout": None, "serving": stands.model_copy(update={"refused": changed.source})}),
            trouble=progress.said,
        )
    return Turn(was, again=progress.again)


def _template_invalid(world: World, name: str) -> bool:
    """Whether the API server would not take what the stage's template renders to; what it said is told elsewhere."""
    declared = world.stage(name)
    if declared is None or declared.serving is None:
        return False
    return isinstance(world.answers.get(DryRun(name, template.source(declared.serving))), finding.Fact)
