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
class Outcome:
    """What this decision says of one promotion; its status follows from it."""

    promotion: api.Promotion
    phase: Phase
    fact: finding.Finding
    verdicts: Sequence[gates.Verdict] = ()
    """Empty: the status keeps the gates as they were judged when the stage was granted."""
    rollout: RolloutStatus | None = None
    trouble: finding.Finding | None = None
    """An error of ours or of a dependency: Ready is Unknown. It is never a phase by itself."""
    approval_request: approvals.ApprovalRequest = approvals.NOBODY
    """What people are asked to approve; used only together with `verdicts`."""


_WARN = {Phase.BLOCKED, Phase.ROLLED_BACK, Phase.FAILED, Phase.REJECTED, Phase.ABORTED, Phase.REUSED}
_STALLED = _WARN
_MOVING = {Phase.PENDING, Phase.ROLLING_OUT}
_READY = {Phase.SUCCEEDED, Phase.SUPERSEDED}


def status(outcome: Outcome, now: datetime.datetime) -> PromotionStatus:
    """Return the whole status of a promotion, by DESIGN's table of phases."""
    previous = outcome.promotion.status
    generation = outcome.promotion.metadata.generation
    phase = outcome.phase
    return PromotionStatus(
        observed_generation=generation,
        phase=phase,
        conditions=finding.settle(previous.conditions, _conditions(outcome), generation, now),
        subject=outcome.approval_request.subject if outcome.verdicts else previous.subject,
        gates=[verdict.row() for verdict in outcome.verdicts] or previous.gates,
        approvals=(list(outcome.approval_request.gates) or None) if outcome.verdicts else previous.approvals,
        rollout=outcome.rollout or previous.rollout,
        started_at=previous.started_at or (now.replace(microsecond=0) if phase == Phase.ROLLING_OUT or phase in _READY else None),
        finished_at=(previous.finished_at or now.replace(microsecond=0)) if phase.is_terminal else None,
        recorded=previous.recorded,
    )


def as_recorded(world: World, promotion: api.Promotion, now: datetime.datetime) -> api.Promotion:
    """Return a promotion with the outcome that the ledger has.

    That is so where its name ran before, or where its object is older than its outcome, as after an older backup.
    """
    if ran := ran_before(world, promotion):
        return (
            _reused(promotion, ran, changed, now)
            if (changed := _changed_fields(ran, promotion.spec))
            else _ran_already(world, promotion, ran, now)
        )
    recorded = world.past.promotions.get(promotion.metadata.name) if world.past else None
    if recorded is None or recorded.uid != promotion.metadata.uid or not recorded.phase:
        return promotion
    later = recorded.phase == Phase.SUPERSEDED and promotion.status.phase == Phase.SUCCEEDED
    if promotion.status.phase and promotion.status.phase.is_terminal and not later:
        return promotion
    outcome = Outcome(promotion, Phase(recorded.phase), finding.Finding(Reason(recorded.reason), recorded.message))
    return _with_status(promotion, outcome, _when(recorded.ended) or now, now)


def ran_before(world: World, promotion: api.Promotion) -> index.Promotion | None:
    """Return the promotion that another object ran under this name, if any: then this object never runs.

    While the ledger could not be read, a rollback may have been granted under such a name: it runs to its end.
    """
    recorded = world.history.promotions.get(promotion.metadata.name)
    if recorded is None or not recorded.keeps_its_name_from(promotion.metadata.uid):
        return None
    holder = world.stands(promotion.spec.stage).promotion
    went_on = promotion.status.started_at and promotion.status.phase and promotion.status.phase.is_terminal
    return None if went_on or (holder and holder.uid == promotion.metadata.uid) else recorded


def _changed_fields(ran: index.Promotion, spec: PromotionSpec) -> list[str]:
    """Return the immutable fields of the spec that differ from those with which its name ran."""
    pairs: dict[str, tuple[object, object]] = {
        "version": (ran.version, spec.version),
        "stage": (ran.stage, spec.stage),
        "rollback": (ran.rollback, bool(spec.rollback)),
    }
    if ran.spec:  # else its request was never recorded
        pairs["reason"] = (ran.request_reason, canonical.plain(spec.reason or ""))
    return [name for name, (before, after) in pairs.items() if before != after]


def _reused(promotion: api.Promotion, ran: index.Promotion, changed: Sequence[str], now: datetime.datetime) -> api.Promotion:
    """Return the promotion as Reused: its name means something else for ever."""
    wanted = f"{ran.version} to {ran.stage}" + (" as a rollback" if ran.rollback else "")
    message = (
        f"a Promotion of this name ran before, which brought {wanted}, and a name runs once: this one has another {' and '.join(changed)} and "
        "counts for nothing; delete it, and ask again under a name of its own"
    )
    outcome = Outcome(promotion, Phase.REUSED, finding.Finding(Reason.REUSED, message))
    return _with_status(promotion, outcome, promotion.status.finished_at or now, now)


def _ran_already(world: World, promotion: api.Promotion, ran: index.Promotion, now: datetime.datetime) -> api.Promotion:
    """Return the promotion with how the same request under its name ended, and what came of that since."""
    phase = Phase(ran.phase) if ran.phase else Phase.ABORTED
    message = ran.message if ran.phase else "it was deleted while it held the stage"
    if ran.succeeded and (phase == Phase.SUPERSEDED or not _is_current(world, ran)):
        phase, current = Phase.SUPERSEDED, world.stands(ran.stage).current
        since = f"the current version of {ran.stage} is {current}" if current else f"{ran.stage} has no current version"
        message = f"it Succeeded{_on(ran.ended)}, {_superseded(ran)}; {since}"
    fact = finding.Finding(Reason.ALREADY_RAN, f"a Promotion of this name ran before ({phase}: {message}); a name runs once")
    outcome = Outcome(promotion, phase, fact)
    return _with_status(promotion, outcome, _when(ran.ended) or now, now)


def _is_current(world: World, ran: index.Promotion) -> bool:
    """Return whether the promotion's version is the stage's current version, or the promotion holds the stage."""
    stage_status = world.stands(ran.stage)
    return stage_status.current == ran.version or (stage_status.promotion is not None and stage_status.promotion.uid == ran.uid)


def _superseded(ran: index.Promotion) -> str:
    if not ran.superseded:
        return "and does not stand there any more"
    when, name, version = ran.superseded
    return f"and was superseded by {name} ({version}){_on(when)}" if name else f"and the stage was taken down{_on(when)}"


def _on(when: str | None) -> str:
    return f" on {when[:10]}" if when else ""


def _when(ended: str | None) -> datetime.datetime | None:
    return codec.read_time(ended).replace(microsecond=0) if ended else None


def _with_status(promotion: api.Promotion, outcome: Outcome, ended: datetime.datetime, now: datetime.datetime) -> api.Promotion:
    """Return the promotion with the status of its outcome; it finished at `ended`, and `startedAt` stays as it is."""
    shown = status(outcome, now)
    update: dict[str, object] = {"started_at": promotion.status.started_at, "finished_at": ended.replace(microsecond=0)}
    return promotion.model_copy(update={"status": shown.model_copy(update=update)})


_HELD: Final = {
    finding.Waits.FOR_A_PERSON: Phase.BLOCKED,
    finding.Waits.BY_ITSELF: Phase.PENDING,
    finding.Waits.FOR_APPROVAL: Phase.AWAITING_APPROVAL,
}


def waits(
    promotion: api.Promotion, verdicts: Sequence[gates.Verdict], why: finding.Unmet, approval_request: approvals.ApprovalRequest
) -> Outcome:
    """A gate is unmet before the grant: it waits for time, for a person's work, or for approvals."""
    fact: finding.Finding = why
    if why.waits == finding.Waits.FOR_APPROVAL:
        lacking = [verdict.held.message for verdict in verdicts if verdict.asks_people and verdict.held]
        fact = finding.Finding(why.reason, "; ".join(lacking))
    return Outcome(promotion, _HELD[why.waits], fact, verdicts, approval_request=approval_request)


def troubled(
    promotion: api.Promotion, verdicts: Sequence[gates.Verdict], why: finding.Finding, approval_request: approvals.ApprovalRequest
) -> Outcome:
    """An error of ours or of a dependency keeps the promotion from being granted."""
    return Outcome(promotion, Phase.PENDING, why, verdicts, trouble=why, approval_request=approval_request)


def unknown(promotion: api.Promotion, why: finding.Unmet) -> Outcome:
    """The promotion could not be handled; its phase stays while it rolls out or awaits approval."""
    lasting = {Phase.ROLLING_OUT, Phase.AWAITING_APPROVAL}
    phase = promotion.status.phase if promotion.status.phase in lasting else None
    return Outcome(promotion, phase or Phase.PENDING, why, trouble=why)


def granted(
    promotion: api.Promotion, verdicts: Sequence[gates.Verdict], begun: stage.StageRollout, approval_request: approvals.ApprovalRequest
) -> Outcome:
    """The promotion holds its stage from now on."""
    rollout = RolloutStatus(since=begun.since, template=begun.template)
    fact = finding.Finding(Reason.ROLLING_OUT, f"{begun.version} was granted {promotion.spec.stage}")
    return Outcome(promotion, Phase.ROLLING_OUT, fact, verdicts, rollout, approval_request=approval_request)


def events(outcome: Outcome) -> tuple[finding.Event, ...]:
    """Return an Event when the phase changes, or the reason why it waits; else none."""
    previous = outcome.promotion.status
    ready = finding.find(previous.conditions, "Ready")
    if outcome.fact.reason == Reason.INTERNAL_ERROR and outcome.trouble:
        news = ready is None or ready.reason != Reason.INTERNAL_ERROR
        return (finding.event(outcome.promotion, outcome.fact.reason, outcome.fact.message, warning=True),) if news else ()
    if previous.phase == outcome.phase and (ready is None or ready.reason == outcome.fact.reason or outcome.phase == Phase.ROLLING_OUT):
        return ()
    if outcome.phase == Phase.PENDING and previous.phase is None:
        return ()  # every promotion starts by waiting; that is no news
    return (finding.event(outcome.promotion, outcome.fact.reason, outcome.fact.message, warning=outcome.phase in _WARN),)


def _conditions(outcome: Outcome) -> dict[str, finding.State]:
    phase = outcome.phase
    wanted: dict[str, finding.State] = {}
    if outcome.trouble:
        wanted["Ready"] = finding.State.unknown(outcome.trouble)
    elif phase in _READY:
        wanted["Ready"] = finding.State.true(outcome.fact.reason, outcome.fact.message)
    else:
        wanted["Ready"] = finding.State.false(outcome.fact)
    if phase in _MOVING:
        wanted["Reconciling"] = finding.State.true(outcome.fact.reason, outcome.fact.message)
    if phase in _STALLED:
        wanted["Stalled"] = finding.State.true(outcome.fact.reason, outcome.fact.message)
    for kind, judge in _BESIDE.items():
        if state := judge(outcome):
            wanted[kind] = state
    if phase in {Phase.ROLLING_OUT, Phase.ROLLED_BACK}:
        wanted["RolledOut"] = finding.State.false(outcome.fact)
    if phase == Phase.SUCCEEDED:
        wanted["RolledOut"] = finding.State.true(outcome.fact.reason, outcome.fact.message)
        wanted["Succeeded"] = finding.State.true(outcome.fact.reason, outcome.fact.message)
    elif phase.is_terminal:
        before = finding.find(outcome.promotion.status.conditions, "Succeeded")
        ran_itself = outcome.fact.reason != Reason.ALREADY_RAN  # else another object Succeeded under its name
        if phase == Phase.SUPERSEDED and ran_itself and before and before.status == api.ConditionStatus.TRUE:
            wanted["Succeeded"] = finding.State.true(Reason(before.reason), before.message)
        else:
            wanted["Succeeded"] = finding.State.false(outcome.fact)
    return wanted


def _gates_passed(outcome: Outcome) -> finding.State | None:
    """Return GatesPassed: every gate but the approvals, which have a condition of their own."""
    if not outcome.verdicts:
        return _as_before(outcome, "GatesPassed")
    if why := gates.worst(verdict for verdict in outcome.verdicts if not verdict.asks_people):
        return finding.State.false(finding.Finding(Reason.GATES_FAILED, why.message))
    when = "held when it was granted" if outcome.phase == Phase.ROLLING_OUT else "holds"
    return finding.State.true(Reason.GATES_PASSED, f"every gate of the stage {when}, approvals aside")


def _approved(outcome: Outcome) -> finding.State | None:
    """Return Approved; absent where no approvals are needed."""
    if not outcome.verdicts:
        return _as_before(outcome, "Approved")
    approval_verdicts = [verdict for verdict in outcome.verdicts if verdict.asks_people]
    if lacking := [verdict.held for verdict in approval_verdicts if verdict.held]:
        return finding.State.false(finding.Finding(lacking[0].reason, "; ".join(held.message for held in lacking)))
    agreed = "; ".join(f"{verdict.name.partition('/')[2]}: {verdict.message}" for verdict in approval_verdicts)
    return finding.State.true(Reason.APPROVED, agreed) if approval_verdicts else None


def _requested_by_machine(outcome: Outcome) -> finding.State | None:
    requester = outcome.promotion.spec.requested_by or ""
    if not requester.startswith(approvals.MACHINE):
        return None
    message = f"{requester} asked, which is no person: four eyes over the author are then those of what told it to, such as a Git host"
    return finding.State.true(Reason.REQUESTED_BY_MACHINE, message)


def _as_before(outcome: Outcome, kind: str) -> finding.State | None:
    before = finding.find(outcome.promotion.status.conditions, kind)
    return finding.State(before.status, finding.Finding(Reason(before.reason), before.message)) if before else None


_BESIDE: Final[Mapping[str, Callable[[Outcome], finding.State | None]]] = {
    "GatesPassed": _gates_passed,
    "Approved": _approved,
    "RequestedByMachine": _requested_by_machine,
}
