"""A promotion's life: what each phase means for its conditions, and what its status says."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from modelyard import api
from modelyard.api import promotion as promotion_api
from modelyard.api import stage as stage_api
from modelyard.api.promotion import Phase
from modelyard.api.reason import Reason
from modelyard.plan import approvals, codec, fact, gates, index


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
    """An error of ours or of a dependency: Ready is Unknown, and never for itself a phase."""
    asked: approvals.Asked = approvals.NOBODY
    """What people are asked to approve; looked at with `verdicts` only."""


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
        subject=told.asked.subject if told.verdicts else was.subject,
        gates=[verdict.row() for verdict in told.verdicts] or was.gates,
        approvals=(list(told.asked.gates) or None) if told.verdicts else was.approvals,
        rollout=told.rollout or was.rollout,
        started_at=was.started_at or (now.replace(microsecond=0) if phase == Phase.ROLLING_OUT or phase in _READY else None),
        finished_at=(was.finished_at or now.replace(microsecond=0)) if phase.is_terminal else None,
        recorded=was.recorded,
    )


def as_recorded(one: api.Promotion, past: index.Index | None, now: datetime.datetime) -> api.Promotion:
    """A promotion with the outcome that the ledger has: its name ran before, or its object is older than what became of it."""
    known = past.promotions.get(one.metadata.name) if past else None
    cut = known is not None and known.was_cut_off(one.metadata.uid)
    if known is None or (known.phase is None and not cut):
        return one
    phase = Phase(known.phase) if known.phase else Phase.ABORTED
    later = phase == Phase.SUPERSEDED and one.status.phase == Phase.SUCCEEDED and known.uid == one.metadata.uid
    if one.status.phase and one.status.phase.is_terminal and not later:
        return one
    if cut:
        said = fact.Fact(Reason.ALREADY_RAN, "a Promotion of this name was deleted while it held the stage; a name runs once")
    elif known.uid == one.metadata.uid:
        said = fact.Fact(Reason(known.reason), known.message)
    else:
        said = fact.Fact(Reason.ALREADY_RAN, f"a Promotion of this name ran before ({phase}: {known.message}); a name runs once")
    ended = codec.read_time(known.ended).replace(microsecond=0) if known.ended else now.replace(microsecond=0)
    shown = status(Told(one, phase, said), now).model_copy(update={"started_at": one.status.started_at, "finished_at": ended})
    return one.model_copy(update={"status": shown})


_HELD: Final = {
    fact.Waits.FOR_A_PERSON: Phase.BLOCKED,
    fact.Waits.BY_ITSELF: Phase.PENDING,
    fact.Waits.FOR_APPROVAL: Phase.AWAITING_APPROVAL,
}


def held(promotion: api.Promotion, verdicts: Sequence[gates.Verdict], why: fact.Held, asked: approvals.Asked) -> Told:
    """Held before the grant: by something that comes by itself, by a person's work, or until people have agreed."""
    said: fact.Fact = why
    if why.waits == fact.Waits.FOR_APPROVAL:
        lacking = [verdict.held.message for verdict in verdicts if verdict.asks_people and verdict.held]
        said = fact.Fact(why.reason, "; ".join(lacking))
    return Told(promotion, _HELD[why.waits], said, verdicts, asked=asked)


def troubled(promotion: api.Promotion, verdicts: Sequence[gates.Verdict], why: fact.Fact, asked: approvals.Asked) -> Told:
    """What keeps it from being granted is an error of ours or of a dependency."""
    return Told(promotion, Phase.PENDING, why, verdicts, trouble=why, asked=asked)


def unknown(promotion: api.Promotion, why: fact.Held) -> Told:
    """It could not be handled; what was found of it before stays."""
    kept = {Phase.ROLLING_OUT, Phase.AWAITING_APPROVAL}
    phase = promotion.status.phase if promotion.status.phase in kept else None
    return Told(promotion, phase or Phase.PENDING, why, trouble=why)


def granted(promotion: api.Promotion, verdicts: Sequence[gates.Verdict], begun: stage_api.StageRollout, asked: approvals.Asked) -> Told:
    """The stage is its own from now on."""
    rollout = promotion_api.RolloutStatus(since=begun.since, template=begun.template)
    said = fact.Fact(Reason.ROLLING_OUT, f"{begun.version} was granted {promotion.spec.stage}")
    return Told(promotion, Phase.ROLLING_OUT, said, verdicts, rollout, asked=asked)


def events(told: Told) -> tuple[fact.Event, ...]:
    """An Event when a phase is entered, or when what holds it changed; none when nothing happened."""
    was = told.promotion.status
    ready = fact.find(was.conditions, "Ready")
    if told.said.reason == Reason.INTERNAL_ERROR and told.trouble:
        news = ready is None or ready.reason != Reason.INTERNAL_ERROR
        return (fact.happened(told.promotion, told.said.reason, told.said.message, warning=True),) if news else ()
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
    for kind, judge in _BESIDE.items():
        if state := judge(told):
            wanted[kind] = state
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
    """Of every gate but the approvals, which have a condition of their own."""
    if not told.verdicts:
        return _as_before(told, "GatesPassed")
    if why := gates.worst(verdict for verdict in told.verdicts if not verdict.asks_people):
        return fact.State.false(fact.Fact(Reason.GATES_FAILED, why.message))
    when = "held when it was granted" if told.phase == Phase.ROLLING_OUT else "holds"
    return fact.State.true(Reason.GATES_PASSED, f"every gate of the stage {when}, approvals aside")


def _approved(told: Told) -> fact.State | None:
    """Absent where nobody is asked."""
    if not told.verdicts:
        return _as_before(told, "Approved")
    asked = [verdict for verdict in told.verdicts if verdict.asks_people]
    if lacking := [verdict.held for verdict in asked if verdict.held]:
        return fact.State.false(fact.Fact(lacking[0].reason, "; ".join(held.message for held in lacking)))
    agreed = "; ".join(f"{verdict.name.partition('/')[2]}: {verdict.message}" for verdict in asked)
    return fact.State.true(Reason.APPROVED, agreed) if asked else None


def _asked_by_machine(told: Told) -> fact.State | None:
    asker = told.promotion.spec.requested_by or ""
    if not asker.startswith(approvals.MACHINE):
        return None
    message = f"{asker} asked, which is no person: four eyes over the author are then those of what told it to, such as a Git host"
    return fact.State.true(Reason.REQUESTED_BY_MACHINE, message)


def _as_before(told: Told, kind: str) -> fact.State | None:
    before = fact.find(told.promotion.status.conditions, kind)
    return fact.State(before.status, fact.Fact(Reason(before.reason), before.message)) if before else None


_BESIDE: Final[Mapping[str, Callable[[Told], fact.State | None]]] = {
    "GatesPassed": _gates_passed,
    "Approved": _approved,
    "RequestedByMachine": _asked_by_machine,
}
