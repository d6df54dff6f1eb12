"""A promotion's life: what each phase means for its conditions, and what its status says."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence

from modelyard import api
from modelyard.api import promotion as promotion_api
from modelyard.api.promotion import Phase
from modelyard.api.reason import Reason
from modelyard.plan import fact, gates


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """What one promotion is told in this decision."""

    promotion: api.Promotion
    phase: Phase
    said: fact.Fact
    verdicts: Sequence[gates.Verdict] = ()
    """Empty: the gates as they were judged when the stage was granted stay."""
    rollout: promotion_api.RolloutStatus | None = None
    trouble: fact.Fact | None = None
    """An error of ours or of a dependency: Ready is Unknown, and the phase stays."""


_WARN = {Phase.BLOCKED, Phase.ROLLED_BACK, Phase.FAILED, Phase.REJECTED, Phase.ABORTED}
_STALLED = _WARN
_MOVING = {Phase.PENDING, Phase.ROLLING_OUT}
_READY = {Phase.SUCCEEDED, Phase.SUPERSEDED}


def status(told: Told, now: datetime.datetime) -> promotion_api.PromotionStatus:
    """The whole status of a promotion, as DESIGN's table of phases says."""
    was = told.promotion.status
    generation = told.promotion.metadata.generation
    phase = told.phase
    return promotion_api.PromotionStatus(
        observed_generation=generation,
        phase=phase,
        conditions=fact.settle(was.conditions, _conditions(told), generation, now),
        subject=was.subject,
        gates=[verdict.row() for verdict in told.verdicts] or was.gates,
        rollout=told.rollout or was.rollout,
        started_at=was.started_at or (now.replace(microsecond=0) if phase == Phase.ROLLING_OUT or phase in _READY else None),
        finished_at=(was.finished_at or now.replace(microsecond=0)) if phase.is_terminal else None,
    )


def held(promotion: api.Promotion, verdicts: Sequence[gates.Verdict], why: fact.Held) -> Told:
    """Held before the grant: by something that comes by itself, or by a person's work."""
    phase = Phase.BLOCKED if why.waits == fact.Waits.FOR_A_PERSON else Phase.PENDING
    return Told(promotion, phase, why, verdicts)


def events(told: Told) -> tuple[fact.Event, ...]:
    """An Event when a phase is entered, or when what holds it changed; none when nothing happened."""
    was = told.promotion.status
    ready = fact.find(was.conditions, "Ready")
    if was.phase == told.phase and (ready is None or ready.reason == told.said.reason or told.phase == Phase.ROLLING_OUT):
        return ()
    if told.phase == Phase.PENDING and was.phase is None:
        return ()  # everything starts by waiting; that is no news
    return (fact.happened(told.promotion, told.said.reason, told.said.message, warning=told.phase in _WARN),)


def _conditions(told: Told) -> dict[str, fact.State]:
    phase = told.phase
    wanted: dict[str, fact.State] = {}
    if told.trouble:
        wanted["Ready"] = fact.State.unknown(told.trouble)
    elif phase in _READY:
        wanted["Ready"] = fact.State.true(told.said.reason, told.said.message)
    else:
        wanted["Ready"] = fact.State.false(told.said)
    if phase in _MOVING:
        wanted["Reconciling"] = fact.State.true(told.said.reason, told.said.message)
    if phase in _STALLED:
        wanted["Stalled"] = fact.State.true(told.said.reason, told.said.message)
    if passed := _gates_passed(told):
        wanted["GatesPassed"] = passed
    if phase in {Phase.ROLLING_OUT, Phase.ROLLED_BACK}:
        wanted["RolledOut"] = fact.State.false(told.said)
    if phase == Phase.SUCCEEDED:
        wanted["RolledOut"] = fact.State.true(told.said.reason, told.said.message)
        wanted["Succeeded"] = fact.State.true(told.said.reason, told.said.message)
    elif phase.is_terminal:
        before = fact.find(told.promotion.status.conditions, "Succeeded")
        if phase == Phase.SUPERSEDED and before and before.status == api.ConditionStatus.TRUE:
            wanted["Succeeded"] = fact.State.true(Reason(before.reason), before.message)
        else:
            wanted["Succeeded"] = fact.State.false(told.said)
    return wanted


def _gates_passed(told: Told) -> fact.State | None:
    if told.verdicts:
        if why := gates.worst(told.verdicts):
            return fact.State.false(fact.Fact(Reason.GATES_FAILED, why.message))
        return fact.State.true(Reason.GATES_PASSED, "every gate of the stage held when it was granted")
    before = fact.find(told.promotion.status.conditions, "GatesPassed")
    return fact.State(before.status, fact.Fact(Reason(before.reason), before.message)) if before else None
