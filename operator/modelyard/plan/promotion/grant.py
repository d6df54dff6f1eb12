"""The promotions that ask for a stage: each is judged, and at most one is granted it."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Sequence

from modelyard import api
from modelyard.api.promotion import Phase
from modelyard.api.reason import Reason
from modelyard.api.stage import StageRollout
from modelyard.content import digest
from modelyard.plan import finding, semver, unforeseen
from modelyard.plan.observed import recovery
from modelyard.plan.observed.world import Question, World, order
from modelyard.plan.promotion import approvals, gates, prerequisites, status
from modelyard.plan.rollout import progress


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """Which promotion is granted the stage, and the outcome of each."""

    told: tuple[status.Outcome, ...] = ()
    granted: api.Promotion | None = None
    begun: StageRollout | None = None
    """The rollout that the granted promotion begins with."""
    ask: Question | None = None
    again: datetime.timedelta | None = None


def choose(world: World, stage: api.StageStatus, handled: Collection[str], now: datetime.datetime) -> Choice:
    """Grant the stage to the latest promotion whose gates are all met; later ones wait, earlier ones are `superseded` once it holds the stage."""
    outcomes: list[status.Outcome] = []
    again: list[datetime.timedelta] = []
    granted: api.Promotion | None = None
    begun: StageRollout | None = None
    for promotion in sorted(unfinished(world, stage, handled), key=order, reverse=True):
        try:
            outcome = _ended(world, promotion) or (None if granted else _considered(world, stage, promotion, now))
        except Exception as error:  # it is granted nothing, and the others are judged
            outcome = status.unknown(promotion, unforeseen.describe(f"the Promotion {promotion.metadata.name}", error))
        if isinstance(outcome, Question):
            return Choice(ask=outcome)
        if isinstance(outcome, _Begins):
            granted, begun = promotion, outcome.begun
            outcome = outcome.granted
        elif outcome and not outcome.phase.is_terminal:
            again += [progress.RETRY] if outcome.trouble else _looks(outcome.verdicts, now)
        outcomes += [outcome] if outcome else []
    return Choice(tuple(outcomes), granted, begun, again=min(again, default=None))


@dataclasses.dataclass(frozen=True, slots=True)
class _Begins:
    """The promotion may be granted the stage."""

    granted: status.Outcome
    begun: StageRollout


def _considered(
    world: World, stage: api.StageStatus, promotion: api.Promotion, now: datetime.datetime
) -> status.Outcome | Question | _Begins:
    """Return what keeps a promotion from being granted its stage, or the rollout that it would begin with."""
    case = prerequisites.Case.of(world, promotion)
    verdicts = gates.judge(case, now)
    if waits := _waits(world, promotion, case, verdicts):
        return waits
    answer = progress.begin(world, stage, promotion.spec.version, now, rollback=case.rollback)
    if isinstance(answer, Question):
        return answer
    if isinstance(answer, finding.Finding):
        return status.troubled(promotion, verdicts, answer, case.approval_request)
    return _Begins(status.granted(promotion, verdicts, answer, case.approval_request), answer)


def superseded(world: World, stage: api.StageStatus) -> tuple[status.Outcome, ...]:
    """Return the outcome of promotions older than the one that holds the stage.

    Only a holder that the Model's status names supersedes others: a grant that only the ledger has may come to nothing.
    """
    holder = next((promotion for promotion in world.promotions if stage.promotion and promotion.metadata.uid == stage.promotion.uid), None)
    if holder is None:
        return ()
    fact = finding.Finding(Reason.SUPERSEDED, f"{holder.spec.version} was granted {stage.name} later")
    earlier = [promotion for promotion in unfinished(world, stage, ()) if order(promotion) < order(holder)]
    return tuple(_ended(world, promotion) or status.Outcome(promotion, Phase.SUPERSEDED, fact) for promotion in earlier)


def wait(world: World, stage: api.StageStatus, handled: Collection[str], by: str, now: datetime.datetime) -> tuple[status.Outcome, ...]:
    """Judge the promotions that wait while another holds the stage; people are asked only after that one ends."""
    behind = finding.Unmet(Reason.WAITING_FOR_PROMOTION, f"{by} is being rolled out in {stage.name}; this goes on after it")
    outcomes = []
    for promotion in unfinished(world, stage, handled):
        try:
            outcomes.append(_ended(world, promotion) or _behind(world, promotion, behind, now))
        except Exception as error:  # it waits in any case
            outcomes.append(status.unknown(promotion, unforeseen.describe(f"the Promotion {promotion.metadata.name}", error)))
    return tuple(outcomes)


def _behind(world: World, promotion: api.Promotion, behind: finding.Unmet, now: datetime.datetime) -> status.Outcome:
    """Return the outcome of a promotion that waits for another; its own unmet gates are shown first."""
    case = prerequisites.Case.of(world, promotion)
    verdicts = gates.judge(case, now)
    why = gates.worst(verdict for verdict in verdicts if not _only_asks(verdict)) or behind
    return status.waits(promotion, verdicts, why, case.approval_request)


def automatic(world: World, stage: api.StageStatus, now: datetime.datetime) -> tuple[str | None, datetime.timedelta | None]:
    """Return the version that autoPromote takes next, and when to look again.

    It is the highest version above the current one and above all that wait, that meets the gates and was never requested here. People are
    asked once there is a Promotion: missing approvals do not count here. Nothing overtakes a rollback that waits.
    """
    declared, waiting = world.stage(stage.name), unfinished(world, stage, ())
    if (
        declared is None
        or not declared.auto_promote
        or stage.hold
        or world.withheld
        or any(promotion.spec.rollback for promotion in waiting)
    ):
        return None, None
    records = world.past.promotions if world.past else {}
    lost = {name for name, record in records.items() if record.lost} | set(recovery.lost_promotions(world))
    requested = {
        promotion.spec.version
        for promotion in world.promotions
        if promotion.spec.stage == stage.name and promotion.status.phase != Phase.REUSED
    }
    # Deleting a Promotion declines its version, whenever that was noticed; a Promotion that was lost before it ended was not deleted.
    requested |= {record.version for name, record in records.items() if record.stage == stage.name and (record.phase or name not in lost)}
    above = max(semver.rank(version) for version in (stage.current or "", *(promotion.spec.version for promotion in waiting)))
    again: list[datetime.timedelta] = []
    for version in sorted(world.versions, key=semver.rank, reverse=True):
        if semver.rank(version) <= above:
            break
        if version in requested:
            continue
        verdicts = gates.judge(prerequisites.Case(world, stage.name, version), now)
        if not gates.worst(verdict for verdict in verdicts if not _only_asks(verdict)):
            return version, None
        again += _looks(verdicts, now)
    return None, min(again, default=None)


def automatic_name(world: World, stage: str, version: str, number: int) -> str:
    """Return the name of autoPromote's Promotion: always the same, so that it is made once, and none that a person or Git would choose.

    Args:
        world: of the model.
        stage: where it goes.
        version: what goes there.
        number: from 0 on; the next where the name before is somebody else's.
    """
    sign = digest.of_json([world.namespace, world.name, version, stage, number]).removeprefix("sha256:")[:10]
    return f"{world.name}-{version}-{stage}-auto-{sign}"


def rollback_is_due(world: World, stage: api.StageStatus, now: datetime.datetime) -> bool:
    """Return whether a rollback asks for the stage and could be granted it now."""
    handled = {outcome.promotion.metadata.uid for outcome in superseded(world, stage)}
    rollbacks = [
        promotion
        for promotion in unfinished(world, stage, handled)
        if promotion.spec.rollback and not promotion.spec.abort and not promotion.spec.paused
    ]
    return any(not gates.worst(gates.judge(prerequisites.Case.of(world, promotion), now)) for promotion in rollbacks)


def unfinished(world: World, stage: api.StageStatus, handled: Collection[str]) -> list[api.Promotion]:
    """Return the promotions that ask for a stage, do not hold it, and have no outcome yet in this decision."""
    holder = stage.promotion.uid if stage.promotion else None
    return [
        promotion
        for promotion in world.promotions
        if promotion.spec.stage == stage.name
        and not (promotion.status.phase and promotion.status.phase.is_terminal)
        and promotion.metadata.uid not in handled
        and promotion.metadata.uid != holder
        and not promotion.metadata.deletion_timestamp
    ]


def _waits(world: World, promotion: api.Promotion, case: prerequisites.Case, verdicts: tuple[gates.Verdict, ...]) -> status.Outcome | None:
    """Return what keeps a promotion from being granted, if anything.

    First come gates that a person must mend or that resolve by themselves; then policies that are not effective, as nobody may be asked
    without them; then approvals; then what is no gate: a pause, and the ledger, which never delays a rollback.
    """
    why = gates.worst(verdicts)
    if why and why.reason == Reason.INTERNAL_ERROR:
        return status.troubled(promotion, verdicts, why, case.approval_request)
    if why and why.waits != finding.Waits.FOR_APPROVAL:
        return status.waits(promotion, verdicts, why, case.approval_request)
    if case.asks_people and world.unguarded:
        return status.troubled(promotion, verdicts, world.unguarded, case.approval_request)
    if why := why or _paused(promotion):
        return status.waits(promotion, verdicts, why, case.approval_request)
    if world.withheld and not case.rollback:
        return status.troubled(promotion, verdicts, world.withheld, case.approval_request)
    return None


def _ended(world: World, promotion: api.Promotion) -> status.Outcome | None:
    """Return the outcome of a promotion that a person aborted or rejected before anything changed."""
    if promotion.spec.abort:
        return status.Outcome(promotion, Phase.ABORTED, finding.Finding(Reason.ABORTED, "spec.abort was set before anything changed"))
    case = prerequisites.Case.of(world, promotion)
    if not case.asks_people:
        return None
    rejected = approvals.rejection(world, promotion, case.demands.approvals or [], case.subject)
    if rejected is None:
        return None
    comment = f": {rejected.comment}" if rejected.comment else ""
    return status.Outcome(
        promotion, Phase.REJECTED, finding.Finding(Reason.REJECTED, f"{rejected.user} rejected it for {rejected.gate}{comment}")
    )


def _paused(promotion: api.Promotion) -> finding.Unmet | None:
    if not promotion.spec.paused:
        return None
    return finding.Unmet(Reason.PAUSED, "spec.paused is set: set it to false to go on", finding.Waits.FOR_A_PERSON)


def _only_asks(verdict: gates.Verdict) -> bool:
    return verdict.held is not None and verdict.held.waits == finding.Waits.FOR_APPROVAL


def _looks(verdicts: Sequence[gates.Verdict], now: datetime.datetime) -> list[datetime.timedelta]:
    """Return after how long to look again, one delay for each unmet gate that names a time."""
    times = (verdict.held.until for verdict in verdicts if verdict.held and verdict.held.until)
    return [until - now for until in times if until > now]
