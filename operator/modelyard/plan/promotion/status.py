"""A promotion's life: what each phase means for its conditions, and what its status says."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from modelyard import api
from modelyard.api import stage
from modelyard.api.promotion import Phase, PromotionSpec, PromotionStatus, RolloutStatus
from modelyard.api.reason import Reason
from modelyard.content import canonical
from modelyard.ledger import codec, index
from modelyard.plan import finding
from modelyard.plan.observed.world import World
from modelyard.plan.promotion import approvals, gates


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """What one promotion is told in this decision."""

    promotion: api.Promotion
    phase: Phase
    said: finding.Fact
    verdicts: Sequence[gates.Verdict] = ()
    """Empty: the gates as they were judged when the stage was granted stay."""
    rollout: RolloutStatus | None = None
    trouble: finding.Fact | None = None
    """An error of ours or of a dependency: Ready is Unknown, and never for itself a phase."""
    asked: approvals.Asked = approvals.NOBODY
    """What people are asked to approve; looked at with `verdicts` only."""


_WARN = {Phase.BLOCKED, Phase.ROLLED_BACK, Phase.FAILED, Phase.REJECTED, Phase.ABORTED, Phase.REUSED}
_STALLED = _WARN
_MOVING = {Phase.PENDING, Phase.ROLLING_OUT}
_READY = {Phase.SUCCEEDED, Phase.SUPERSEDED}


def status(told: Told, now: datetime.datetime) -> PromotionStatus:
    """The whole status of a promotion, as DESIGN's table of phases says."""
    was = told.promotion.status
    generation = told.promotion.metadata.generation
    phase = told.phase
    return PromotionStatus(
        observed_generation=generation,
        phase=phase,
        conditions=finding.settle(was.conditions, _conditions(told), generation, now),
        subject=told.asked.subject if told.verdicts else was.subject,
        gates=[verdict.row() for verdict in told.verdicts] or was.gates,
        approvals=(list(told.asked.gates) or None) if told.verdicts else was.approvals,
        rollout=told.rollout or was.rollout,
        started_at=was.started_at or (now.replace(microsecond=0) if phase == Phase.ROLLING_OUT or phase in _READY else None),
        finished_at=(was.finished_at or now.replace(microsecond=0)) if phase.is_terminal else None,
        recorded=was.recorded,
    )


def as_recorded(world: World, one: api.Promotion, now: datetime.datetime) -> api.Promotion:
    """A promotion with the outcome that the ledger has: its name ran before, or its object is older than what became of it."""
    if ran := ran_before(world, one):
        return _reused(one, ran, other, now) if (other := _others(ran, one.spec)) else _ran_already(world, one, ran, now)
    known = world.past.promotions.get(one.metadata.name) if world.past else None
    if known is None or known.uid != one.metadata.uid or not known.phase:
        return one
    later = known.phase == Phase.SUPERSEDED and one.status.phase == Phase.SUCCEEDED
    if one.status.phase and one.status.phase.is_terminal and not later:
        return one
    told = Told(one, Phase(known.phase), finding.Fact(Reason(known.reason), known.message))
    return _shown(one, told, _when(known.ended) or now, now)


def ran_before(world: World, one: api.Promotion) -> index.Promotion | None:
    """The promotion that ran under this one's name, if that is another object's: then this one never runs.

    While nothing was known of the ledger a rollback may have been granted under such a name: it is carried on to its end.
    """
    known = world.history.promotions.get(one.metadata.name)
    if known is None or not known.keeps_its_name_from(one.metadata.uid):
        return None
    holds = world.stands(one.spec.stage).promotion
    went_on = one.status.started_at and one.status.phase and one.status.phase.is_terminal
    return None if went_on or (holds and holds.uid == one.metadata.uid) else known


def _others(ran: index.Promotion, spec: PromotionSpec) -> list[str]:
    """The fields that a Promotion cannot change, and that are not as they were when its name ran."""
    pairs: dict[str, tuple[object, object]] = {
        "version": (ran.version, spec.version),
        "stage": (ran.stage, spec.stage),
        "rollback": (ran.rollback, bool(spec.rollback)),
    }
    if ran.spec:  # else it was never recorded as it was requested
        pairs["reason"] = (ran.request_reason, canonical.plain(spec.reason or ""))
    return [name for name, (before, after) in pairs.items() if before != after]


def _reused(one: api.Promotion, ran: index.Promotion, other: Sequence[str], now: datetime.datetime) -> api.Promotion:
    """Its name means something else for ever."""
    wanted = f"{ran.version} to {ran.stage}" + (" as a rollback" if ran.rollback else "")
    message = (
        f"a Promotion of this name ran before, which brought {wanted}, and a name runs once: this one has another {' and '.join(other)} and "
        "counts for nothing; delete it, and ask again under a name of its own"
    )
    told = Told(one, Phase.REUSED, finding.Fact(Reason.REUSED, message))
    return _shown(one, told, one.status.finished_at or now, now)


def _ran_already(world: World, one: api.Promotion, ran: index.Promotion, now: datetime.datetime) -> api.Promotion:
    """The same was asked for under its name before: how that ended, and what came of it since."""
    phase = Phase(ran.phase) if ran.phase else Phase.ABORTED
    message = ran.message if ran.phase else "it was deleted while it held the stage"
    if ran.succeeded and (phase == Phase.SUPERSEDED or not _stands_by(world, ran)):
        phase, current = Phase.SUPERSEDED, world.stands(ran.stage).current
        since = f"the current version of {ran.stage} is {current}" if current else f"{ran.stage} has no current version"
        message = f"it Succeeded{_on(ran.ended)}, {_superseded(ran)}; {since}"
    said = finding.Fact(Reason.ALREADY_RAN, f"a Promotion of this name ran before ({phase}: {message}); a name runs once")
    told = Told(one, phase, said)
    return _shown(one, told, _when(ran.ended) or now, now)


def _stands_by(world: World, ran: index.Promotion) -> bool:
    """Whether the stage stands for the version of the promotion that Succeeded there last, or is about to."""
    stands = world.stands(ran.stage)
    return stands.current == ran.version or (stands.promotion is not None and stands.promotion.uid == ran.uid)


def _superseded(ran: index.Promotion) -> str:
    if not ran.superseded:
        return "and does not stand there any more"
    when, name, version = ran.superseded
    return f"and was superseded by {name} ({version}){_on(when)}" if name else f"and the stage was taken down{_on(when)}"


def _on(when: str | None) -> str:
    return f" on {when[:10]}" if when else ""


def _when(ended: str | None) -> datetime.datetime | None:
    return codec.read_time(ended).replace(microsecond=0) if ended else None


def _shown(one: api.Promotion, told: Told, ended: datetime.datetime, now: datetime.datetime) -> api.Promotion:
    """It with the status of what it is told, ended then; what was never granted its stage itself began nothing."""
    made = status(told, now)
    update: dict[str, object] = {"started_at": one.status.started_at, "finished_at": ended.replace(microsecond=0)}
    return one.model_copy(update={"status": made.model_copy(update=update)})


_HELD: Final = {
    finding.Waits.FOR_A_PERSON: Phase.BLOCKED,
    finding.Waits.BY_ITSELF: Phase.PENDING,
    finding.Waits.FOR_APPROVAL: Phase.AWAITING_APPROVAL,
}


def held(promotion: api.Promotion, verdicts: Sequence[gates.Verdict], why: finding.Held, asked: approvals.Asked) -> Told:
    """Held before the grant: by something that comes by itself, by a person's work, or until people have agreed."""
    said: finding.Fact = why
    if why.waits == finding.Waits.FOR_APPROVAL:
        lacking = [verdict.held.message for verdict in verdicts if verdict.asks_people and verdict.held]
        said = finding.Fact(why.reason, "; ".join(lacking))
    return Told(promotion, _HELD[why.waits], said, verdicts, asked=asked)


def troubled(promotion: api.Promotion, verdicts: Sequence[gates.Verdict], why: finding.Fact, asked: approvals.Asked) -> Told:
    """What keeps it from being granted is an error of ours or of a dependency."""
    return Told(promotion, Phase.PENDING, why, verdicts, trouble=why, asked=asked)


def unknown(promotion: api.Promotion, why: finding.Held) -> Told:
    """It could not be handled; what was found of it before stays."""
    kept = {Phase.ROLLING_OUT, Phase.AWAITING_APPROVAL}
    phase = promotion.status.phase if promotion.status.phase in kept else None
    return Told(promotion, phase or Phase.PENDING, why, trouble=why)


def granted(promotion: api.Promotion, verdicts: Sequence[gates.Verdict], begun: stage.StageRollout, asked: approvals.Asked) -> Told:
    """The stage is its own from now on."""
    rollout = RolloutStatus(since=begun.since, template=begun.template)
    said = finding.Fact(Reason.ROLLING_OUT, f"{begun.version} was granted {promotion.spec.stage}")
    return Told(promotion, Phase.ROLLING_OUT, said, verdicts, rollout, asked=asked)


def events(told: Told) -> tuple[finding.Event, ...]:
    """An Event when a phase is entered, or when what holds it changed; none when nothing happened."""
    was = told.promotion.status
    ready = finding.find(was.conditions, "Ready")
    if told.said.reason == Reason.INTERNAL_ERROR and told.trouble:
        news = ready is None or ready.reason != Reason.INTERNAL_ERROR
        return (finding.happened(told.promotion, told.said.reason, told.said.message, warning=True),) if news else ()
    if was.phase == told.phase and (ready is None or ready.reason == told.said.reason or told.phase == Phase.ROLLING_OUT):
        return ()
    if told.phase == Phase.PENDING and was.phase is None:
        return ()  # everything starts by waiting; that is no news
    return (finding.happened(told.promotion, told.said.reason, told.said.message, warning=told.phase in _WARN),)


def _conditions(told: Told) -> dict[str, finding.State]:
    phase = told.phase
    wanted: dict[str, finding.State] = {}
    if told.trouble:
        wanted["Ready"] = finding.State.unknown(told.trouble)
    elif phase in _READY:
        wanted["Ready"] = finding.State.true(told.said.reason, told.said.message)
    else:
        wanted["Ready"] = finding.State.false(told.said)
    if phase in _MOVING:
        wanted["Reconciling"] = finding.State.true(told.said.reason, told.said.message)
    if phase in _STALLED:
        wanted["Stalled"] = finding.State.true(told.said.reason, told.said.message)
    for kind, judge in _BESIDE.items():
        if state := judge(told):
            wanted[kind] = state
    if phase in {Phase.ROLLING_OUT, Phase.ROLLED_BACK}:
        wanted["RolledOut"] = finding.State.false(told.said)
    if phase == Phase.SUCCEEDED:
        wanted["RolledOut"] = finding.State.true(told.said.reason, told.said.message)
        wanted["Succeeded"] = finding.State.true(told.said.reason, told.said.message)
    elif phase.is_terminal:
        before = finding.find(told.promotion.status.conditions, "Succeeded")
        own = told.said.reason != Reason.ALREADY_RAN  # what Succeeded under its name before was another
        if phase == Phase.SUPERSEDED and own and before and before.status == api.ConditionStatus.TRUE:
            wanted["Succeeded"] = finding.State.true(Reason(before.reason), before.message)
        else:
            wanted["Succeeded"] = finding.State.false(told.said)
    return wanted


def _gates_passed(told: Told) -> finding.State | None:
    """Of every gate but the approvals, which have a condition of their own."""
    if not told.verdicts:
        return _as_before(told, "GatesPassed")
    if why := gates.worst(verdict for verdict in told.verdicts if not verdict.asks_people):
        return finding.State.false(finding.Fact(Reason.GATES_FAILED, why.message))
    when = "held when it was granted" if told.phase == Phase.ROLLING_OUT else "holds"
    return finding.State.true(Reason.GATES_PASSED, f"every gate of the stage {when}, approvals aside")


def _approved(told: Told) -> finding.State | None:
    """Absent where nobody is asked."""
    if not told.verdicts:
        return _as_before(told, "Approved")
    asked = [verdict for verdict in told.verdicts if verdict.asks_people]
    if lacking := [verdict.held for verdict in asked if verdict.held]:
        return finding.State.false(finding.Fact(lacking[0].reason, "; ".join(held.message for held in lacking)))
    agreed = "; ".join(f"{verdict.name.partition('/')[2]}: {verdict.message}" for verdict in asked)
    return finding.State.true(Reason.APPROVED, agreed) if asked else None


def _asked_by_machine(told: Told) -> finding.State | None:
    asker = told.promotion.spec.requested_by or ""
    if not asker.startswith(approvals.MACHINE):
        return None
    message = f"{asker} asked, which is no person: four eyes over the author are then those of what told it to, such as a Git host"
    return finding.State.true(Reason.REQUESTED_BY_MACHINE, message)


def _as_before(told: Told, kind: str) -> finding.State | None:
    before = finding.find(told.promotion.status.conditions, kind)
    return finding.State(before.status, finding.Fact(Reason(before.reason), before.message)) if before else None


_BESIDE: Final[Mapping[str, Callable[[Told], finding.State | None]]] = {
    "GatesPassed": _gates_passed,
    "Approved": _approved,
    "RequestedByMachine": _asked_by_machine,
}
