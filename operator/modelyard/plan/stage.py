"""One stage's turn: the promotion that holds it goes on, else the next is granted it, else a changed template rolls out."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Final

from modelyard import api
from modelyard.api import meta
from modelyard.api import model as model_api
from modelyard.api import promotion as promotion_api
from modelyard.api.promotion import Phase
from modelyard.api.reason import Reason
from modelyard.plan import fact, gates, precedence, promotion, serving
from modelyard.plan import world as seen

RETRY = datetime.timedelta(seconds=15)


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """What a decision makes of one stage."""

    status: model_api.StageStatus
    told: tuple[promotion.Told, ...] = ()
    ask: tuple[seen.Question, ...] = ()
    auto: str | None = None
    """The version that autoPromote wants to promote."""
    trouble: fact.Fact | None = None
    """What a person must mend in the Model."""
    again: datetime.timedelta | None = None


NOTHING: Final = fact.Fact(Reason.PROGRESSING, "")


@dataclasses.dataclass(frozen=True, slots=True)
class _Progress:
    done: bool = False
    expired: bool = False
    said: fact.Fact = NOTHING
    again: datetime.timedelta | None = None


def take(world: seen.World, name: str, now: datetime.datetime) -> Turn:
    """What this stage should do next."""
    was = world.stands(name)
    if was.promotion:
        turn = _go_on(world, was, was.promotion, now)
    elif was.rollout:
        turn = _go_on_with_template(world, was, was.rollout, now)
    else:
        turn = Turn(was)
    if turn.status.promotion or turn.status.rollout:
        return _others_wait(world, turn, now)
    turn = _grant(world, turn, now)
    if turn.ask or turn.status.promotion:
        return turn
    return _change_template(world, turn, now)


# --- the promotion that holds the stage


def _go_on(world: seen.World, was: model_api.StageStatus, holds: model_api.StagePromotion, now: datetime.datetime) -> Turn:
    holder = next((one for one in world.promotions if one.metadata.uid == holds.uid), None)
    if holder is None or holder.metadata.deletion_timestamp:
        return Turn(_released(was))
    if holder.status.phase and holder.status.phase.is_terminal:  # told before, but the Model does not say so yet
        if holder.status.phase == Phase.SUCCEEDED:
            return Turn(_finished(world, was, holder, now), _supersede(world, was.name, holder))
        return Turn(_released(was))
    version = holder.spec.version
    if holder.spec.abort:
        back = f"; {was.current} serves on" if was.current else ""
        return _ended(was, holder, Phase.ABORTED, fact.Fact(Reason.ABORTED, f"spec.abort was set{back}"))
    progress = _judge(world, was, now, paused=bool(holder.spec.paused))
    if progress.done:
        finished = _finished(world, was, holder, now)
        said = fact.Fact(Reason.SUCCEEDED, f"{was.name} stands for {version}")
        return Turn(finished, (promotion.Told(holder, Phase.SUCCEEDED, said), *_supersede(world, was.name, holder)))
    if progress.expired:
        if was.current:
            return _ended(
                was, holder, Phase.ROLLED_BACK, fact.Fact(progress.said.reason, f"{progress.said.message}; put back to {was.current}")
            )
        return _ended(
            was,
            holder,
            Phase.FAILED,
            fact.Fact(progress.said.reason, f"{progress.said.message}; nothing to go back to: {was.name} serves nothing"),
        )
    return Turn(was, (promotion.Told(holder, Phase.ROLLING_OUT, progress.said),), again=progress.again)


def _ended(was: model_api.StageStatus, holder: api.Promotion, phase: Phase, said: fact.Fact) -> Turn:
    return Turn(_released(was), (promotion.Told(holder, phase, said),))


def _supersede(world: seen.World, name: str, holder: api.Promotion) -> tuple[promotion.Told, ...]:
    """What the stage stood for before, it does no more."""
    said = fact.Fact(Reason.SUPERSEDED, f"{holder.spec.version} was granted {name} later")
    older = [one for one in gates.successes(world, name) if one.status.phase == Phase.SUCCEEDED and one.metadata.uid != holder.metadata.uid]
    return tuple(promotion.Told(one, Phase.SUPERSEDED, said) for one in older)


def _released(was: model_api.StageStatus) -> model_api.StageStatus:
    """As before the grant: the stage stands for what it stood for."""
    return was.model_copy(update={"promotion": None, "rollout": None})


def _finished(world: seen.World, was: model_api.StageStatus, holder: api.Promotion, now: datetime.datetime) -> model_api.StageStatus:
    version = holder.spec.version
    subject = world.versions.get(version)
    proven = subject.status.artifact if subject else None
    hold = model_api.Hold(since=now.replace(microsecond=0), promotion=holder.metadata.name) if holder.spec.rollback else was.hold
    return model_api.StageStatus(
        name=was.name,
        current=version,
        digest=proven.digest if proven else None,
        previous=was.current if was.current != version else was.previous,
        since=now.replace(microsecond=0) if was.current != version else was.since,
        serving=_stood_for(world, was),
        hold=hold,
    )


def _stood_for(world: seen.World, was: model_api.StageStatus) -> model_api.ServingStatus | None:
    if was.rollout is None or was.rollout.template is None:
        return None
    return model_api.ServingStatus(deployment=f"{world.name}-{was.name}", template=was.rollout.template, source=was.rollout.source)


def _judge(world: seen.World, was: model_api.StageStatus, now: datetime.datetime, *, paused: bool) -> _Progress:
    """How far the stage's Deployment is with what is being rolled out."""
    rollout = was.rollout
    declared = world.stage(was.name)
    if declared is None:
        return _Progress(expired=True, said=fact.Fact(Reason.STAGE_MISSING, f"the stage {was.name} was removed from the Model"))
    if rollout is None or rollout.template is None or declared.serving is None:
        return _Progress(done=True)
    deployment = world.deployments.get(was.name)
    if deployment and deployment.template == rollout.template and deployment.complete:
        return _Progress(done=True)
    for wish, why in world.refused.items():
        if wish.template == rollout.template:
            return _Progress(expired=True, said=why)
    if paused:
        return _Progress(said=fact.Fact(Reason.PAUSED, "spec.paused is set: set it to false to go on, or spec.abort to go back"))
    deadline = declared.serving.progress_deadline or model_api.DEFAULT_PROGRESS_DEADLINE
    trouble = next((pod.trouble for pod in world.pods if pod.stage == was.name and pod.version == rollout.version and pod.trouble), None)
    because = f": {trouble}" if trouble else ""
    if now >= rollout.since + deadline:
        written = f"not available within {_spoken(deadline)}{because}"
        return _Progress(expired=True, said=fact.Fact(Reason.DEADLINE_EXCEEDED, written))
    begun = deployment is not None and deployment.template == rollout.template and deployment.settled
    counted = (
        f"{deployment.updated} of {deployment.desired} pods started, {deployment.available} available"
        if deployment and begun
        else "starting"
    )
    return _Progress(said=fact.Fact(Reason.ROLLING_OUT, f"{rollout.version}: {counted}{because}"), again=rollout.since + deadline - now)


# --- those who want it


def _others_wait(world: seen.World, turn: Turn, now: datetime.datetime) -> Turn:
    """Who holds the stage is not disturbed; the others are judged, and wait."""
    holds = turn.status.promotion
    by = f"{holds.name} ({holds.version})" if holds else "a changed template"
    wait = fact.Held(Reason.WAITING_FOR_PROMOTION, f"{by} is being rolled out in {turn.status.name}; this goes on after it")
    told = []
    for one in _unfinished(world, turn):
        verdicts = gates.judge(_case(world, one), now)
        told.append(_aborted(one) or promotion.held(one, verdicts, gates.worst(verdicts) or wait))
    return dataclasses.replace(turn, told=(*turn.told, *told))


def _grant(world: seen.World, turn: Turn, now: datetime.datetime) -> Turn:
    """The latest promotion whose gates all hold is granted the stage; those before it are superseded, the others wait."""
    told: list[promotion.Told] = []
    granted: api.Promotion | None = None
    for one in sorted(_unfinished(world, turn), key=seen.order, reverse=True):
        if aborted := _aborted(one):
            told.append(aborted)
            continue
        if granted:
            told.append(
                promotion.Told(
                    one, Phase.SUPERSEDED, fact.Fact(Reason.SUPERSEDED, f"{granted.spec.version} was granted {turn.status.name} later")
                )
            )
            continue
        verdicts = gates.judge(_case(world, one), now)
        why = gates.worst(verdicts) or _paused(one) or _template_invalid(world, turn.status.name)
        if why:
            told.append(promotion.held(one, verdicts, why))
            continue
        begun = _begin(world, turn.status, one.spec.version, now)
        if isinstance(begun, seen.Question):
            return dataclasses.replace(turn, ask=(*turn.ask, begun))
        if isinstance(begun, fact.Fact):
            waiting = fact.Fact(begun.reason, begun.message)
            told.append(promotion.Told(one, Phase.PENDING, waiting, verdicts, trouble=begun))
            turn = dataclasses.replace(turn, again=RETRY)
            continue
        granted = one
        told.append(_granted(one, verdicts, begun))
        turn = dataclasses.replace(turn, status=_held_by(turn.status, one, begun))
    auto = None if granted or told else _automatic(world, turn.status, now)
    again = min((held.until - now for one in told if (held := gates.worst(one.verdicts)) and held.until), default=turn.again)
    return dataclasses.replace(turn, told=(*turn.told, *told), auto=auto, again=again)


def _granted(one: api.Promotion, verdicts: Sequence[gates.Verdict], begun: model_api.StageRollout) -> promotion.Told:
    rollout = promotion_api.RolloutStatus(since=begun.since, template=begun.template)
    said = fact.Fact(Reason.ROLLING_OUT, f"{begun.version} was granted {one.spec.stage}")
    return promotion.Told(one, Phase.ROLLING_OUT, said, verdicts, rollout)


def _held_by(was: model_api.StageStatus, one: api.Promotion, begun: model_api.StageRollout) -> model_api.StageStatus:
    holder = model_api.StagePromotion(name=one.metadata.name, uid=one.metadata.uid, version=one.spec.version)
    hold = was.hold if AUTOMATIC in one.metadata.labels else None  # a person made this one: autoPromote may go on
    return was.model_copy(update={"promotion": holder, "rollout": begun, "hold": hold})


AUTOMATIC = f"{api.GROUP}/automatic"
"""The label on promotions that autoPromote made."""


def _begin(
    world: seen.World, was: model_api.StageStatus, version: str, now: datetime.datetime
) -> model_api.StageRollout | seen.Question | fact.Fact:
    """The rollout of a version in a stage, once it is known what that renders to."""
    declared = world.stage(was.name)
    since = now.replace(microsecond=0)
    if declared is None or declared.serving is None:
        return model_api.StageRollout(version=version, since=since)
    source = serving.source(declared.serving)
    question = seen.Render(was.name, version, source)
    if question not in world.answers:
        return question
    answer = world.answers[question]
    if not isinstance(answer, str):
        return answer or fact.Fact(Reason.TEMPLATE_INVALID, "the template renders to nothing")
    return model_api.StageRollout(version=version, template=answer, source=source, since=since)


def _automatic(world: seen.World, was: model_api.StageStatus, now: datetime.datetime) -> str | None:
    """The highest version that is above the current one, passes the gates, and was never asked for in this stage."""
    declared = world.stage(was.name)
    if declared is None or not declared.auto_promote or was.hold:
        return None
    asked = {one.spec.version for one in world.promotions if one.spec.stage == was.name}
    above = precedence.rank(was.current) if was.current else precedence.rank("")
    for version in sorted(world.versions, key=precedence.rank, reverse=True):
        if precedence.rank(version) <= above:
            return None
        if version not in asked and not gates.worst(gates.judge(gates.Case(world, was.name, version), now)):
            return version
    return None


def _unfinished(world: seen.World, turn: Turn) -> list[api.Promotion]:
    """The promotions of a stage that want it and do not hold it."""
    spoken_to = {one.promotion.metadata.uid for one in turn.told}
    holds = turn.status.promotion.uid if turn.status.promotion else None
    return [
        one
        for one in world.promotions
        if one.spec.stage == turn.status.name
        and not (one.status.phase and one.status.phase.is_terminal)
        and one.metadata.uid not in spoken_to
        and one.metadata.uid != holds
        and not one.metadata.deletion_timestamp
    ]


def _case(world: seen.World, one: api.Promotion) -> gates.Case:
    return gates.Case(world, one.spec.stage, one.spec.version, rollback=bool(one.spec.rollback))


def _aborted(one: api.Promotion) -> promotion.Told | None:
    return (
        promotion.Told(one, Phase.ABORTED, fact.Fact(Reason.ABORTED, "spec.abort was set before anything changed"))
        if one.spec.abort
        else None
    )


def _paused(one: api.Promotion) -> fact.Held | None:
    if not one.spec.paused:
        return None
    return fact.Held(Reason.PAUSED, "spec.paused is set: set it to false to go on", fact.Waits.FOR_A_PERSON)


# --- a template that changed without a promotion


def _change_template(world: seen.World, turn: Turn, now: datetime.datetime) -> Turn:
    """The version that the stage stands for, with the template that is declared now."""
    was, declared = turn.status, world.stage(turn.status.name)
    if declared is None or declared.serving is None or was.current is None:
        return turn
    source = serving.source(declared.serving)
    stands = was.serving
    if stands and source in {stands.source, stands.refused}:
        message = f"stage {was.name}: the changed template did not become available and was put back; change it again"
        return dataclasses.replace(turn, trouble=fact.Fact(Reason.DEADLINE_EXCEEDED, message)) if source == stands.refused else turn
    if _template_invalid(world, was.name):
        return turn
    begun = _begin(world, was, was.current, now)
    if isinstance(begun, seen.Question):
        return dataclasses.replace(turn, ask=(begun,))
    if isinstance(begun, fact.Fact):
        return dataclasses.replace(turn, again=RETRY, trouble=begun)
    return dataclasses.replace(turn, status=was.model_copy(update={"rollout": begun}), again=RETRY)


def _go_on_with_template(world: seen.World, was: model_api.StageStatus, rollout: model_api.StageRollout, now: datetime.datetime) -> Turn:
    progress = _judge(world, was, now, paused=False)
    if progress.done:
        return Turn(was.model_copy(update={"rollout": None, "serving": _stood_for(world, was)}))
    if progress.expired:
        stands = was.serving or model_api.ServingStatus(deployment=f"{world.name}-{was.name}")
        return Turn(
            was.model_copy(update={"rollout": None, "serving": stands.model_copy(update={"refused": rollout.source})}),
            trouble=progress.said,
        )
    return Turn(was, again=progress.again)


def _template_invalid(world: seen.World, name: str) -> fact.Held | None:
    """What the API server said when it was asked whether it would take the stage's template."""
    declared = world.stage(name)
    if declared is None or declared.serving is None:
        return None
    answer = world.answers.get(seen.DryRun(name, serving.source(declared.serving)))
    return fact.Held(answer.reason, answer.message, fact.Waits.FOR_A_PERSON) if isinstance(answer, fact.Fact) else None


def _spoken(duration: datetime.timedelta) -> str:
    return meta.write_duration(duration)
