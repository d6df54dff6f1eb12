"""Those who want a stage: each is judged, and at most one is granted it."""

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
    """Who is granted the stage, and what everybody is told."""

    told: tuple[status.Told, ...] = ()
    granted: api.Promotion | None = None
    begun: StageRollout | None = None
    """What the granted one begins with."""
    ask: Question | None = None
    again: datetime.timedelta | None = None


def choose(world: World, stage: api.StageStatus, handled: Collection[str], now: datetime.datetime) -> Choice:
    """The latest promotion whose gates all hold is granted the stage, those after it wait; `superseded` are those before it, once it has it."""
    outcomes: list[status.Told] = []
    again: list[datetime.timedelta] = []
    granted: api.Promotion | None = None
    begun: StageRollout | None = None
    for promotion in sorted(unfinished(world, stage, handled), key=order, reverse=True):
        try:
            outcome = _ended(world, promotion) or (None if granted else _considered(world, stage, promotion, now))
        except Exception as error:  # nothing is granted to it, and the others are judged
            outcome = status.unknown(promotion, unforeseen.of(f"the Promotion {promotion.metadata.name}", error))
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
    """It may be granted the stage."""

    granted: status.Told
    begun: StageRollout


def _considered(world: World, stage: api.StageStatus, promotion: api.Promotion, now: datetime.datetime) -> status.Told | Question | _Begins:
    """What keeps one promotion from being granted its stage, or what it would begin with."""
    case = prerequisites.Case.of(world, promotion)
    verdicts = gates.judge(case, now)
    if waits := _waits(world, promotion, case, verdicts):
        return waits
    answer = progress.begin(world, stage, promotion.spec.version, now, rollback=case.rollback)
    if isinstance(answer, Question):
        return answer
    if isinstance(answer, finding.Fact):
        return status.troubled(promotion, verdicts, answer, case.approval_request)
    return _Begins(status.granted(promotion, verdicts, answer, case.approval_request), answer)


def superseded(world: World, stage: api.StageStatus) -> tuple[status.Told, ...]:
    """Those that wanted the stage before whoever was granted it; a grant that is written nowhere but in the ledger may come to nothing."""
    holder = next((promotion for promotion in world.promotions if stage.promotion and promotion.metadata.uid == stage.promotion.uid), None)
    if holder is None:
        return ()
    fact = finding.Fact(Reason.SUPERSEDED, f"{holder.spec.version} was granted {stage.name} later")
    earlier = [promotion for promotion in unfinished(world, stage, ()) if order(promotion) < order(holder)]
    return tuple(_ended(world, promotion) or status.Told(promotion, Phase.SUPERSEDED, fact) for promotion in earlier)


def wait(world: World, stage: api.StageStatus, handled: Collection[str], by: str, now: datetime.datetime) -> tuple[status.Told, ...]:
    """Who holds the stage is not disturbed; the others are judged, and wait for its end before people are asked."""
    behind = finding.Held(Reason.WAITING_FOR_PROMOTION, f"{by} is being rolled out in {stage.name}; this goes on after it")
    outcomes = []
    for promotion in unfinished(world, stage, handled):
        try:
            outcomes.append(_ended(world, promotion) or _behind(world, promotion, behind, now))
        except Exception as error:  # it waits in any case
            outcomes.append(status.unknown(promotion, unforeseen.of(f"the Promotion {promotion.metadata.name}", error)))
    return tuple(outcomes)


def _behind(world: World, promotion: api.Promotion, behind: finding.Held, now: datetime.datetime) -> status.Told:
    """What else holds it is said first."""
    case = prerequisites.Case.of(world, promotion)
    verdicts = gates.judge(case, now)
    why = gates.worst(verdict for verdict in verdicts if not _only_asks(verdict)) or behind
    return status.held(promotion, verdicts, why, case.approval_request)


def automatic(world: World, stage: api.StageStatus, now: datetime.datetime) -> tuple[str | None, datetime.timedelta | None]:
    """The highest version above the current one and all that wait, that passes the gates and was never asked for here; and when to look again.

    People are asked once there is a Promotion: the approvals that it will need hold nothing here. A rollback that waits is not overtaken.
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
    lost = {name for name, record in records.items() if record.lost} | set(recovery.forgotten(world))
    requested = {
        promotion.spec.version
        for promotion in world.promotions
        if promotion.spec.stage == stage.name and promotion.status.phase != Phase.REUSED
    }
    # Whoever deletes what was asked for says no, noticed now or before; what was lost before it ended nobody deleted.
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
    """The name of autoPromote's Promotion: always the same, so that it is made once, and none that a person or Git would choose.

    Args:
        world: whose model it is of.
        stage: where it goes.
        version: what goes there.
        number: from 0 on; the next where the name before is somebody else's.
    """
    sign = digest.of_json([world.namespace, world.name, version, stage, number]).removeprefix("sha256:")[:10]
    return f"{world.name}-{version}-{stage}-auto-{sign}"


def rollback_is_due(world: World, stage: api.StageStatus, now: datetime.datetime) -> bool:
    """Whether a rollback asks for the stage that could be granted it now."""
    handled = {outcome.promotion.metadata.uid for outcome in superseded(world, stage)}
    rollbacks = [
        promotion
        for promotion in unfinished(world, stage, handled)
        if promotion.spec.rollback and not promotion.spec.abort and not promotion.spec.paused
    ]
    return any(not gates.worst(gates.judge(prerequisites.Case.of(world, promotion), now)) for promotion in rollbacks)


def unfinished(world: World, stage: api.StageStatus, handled: Collection[str]) -> list[api.Promotion]:
    """The promotions of a stage that want it, do not hold it, and were not spoken to yet."""
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


def _waits(world: World, promotion: api.Promotion, case: prerequisites.Case, verdicts: tuple[gates.Verdict, ...]) -> status.Told | None:
    """What keeps it from being granted, if anything does.

    What a person must mend and what comes by itself; then policies that do not guard, as nobody may be asked without them; then people's
    word; then what is no gate: a pause, and the ledger, which never delays a rollback.
    """
    why = gates.worst(verdicts)
    if why and why.reason == Reason.INTERNAL_ERROR:
        return status.troubled(promotion, verdicts, why, case.approval_request)
    if why and why.waits != finding.Waits.FOR_APPROVAL:
        return status.held(promotion, verdicts, why, case.approval_request)
    if case.asks_people and world.unguarded:
        return status.troubled(promotion, verdicts, world.unguarded, case.approval_request)
    if why := why or _paused(promotion):
        return status.held(promotion, verdicts, why, case.approval_request)
    if world.withheld and not case.rollback:
        return status.troubled(promotion, verdicts, world.withheld, case.approval_request)
    return None


def _ended(world: World, promotion: api.Promotion) -> status.Told | None:
    """A person said so before anything changed."""
    if promotion.spec.abort:
        return status.Told(promotion, Phase.ABORTED, finding.Fact(Reason.ABORTED, "spec.abort was set before anything changed"))
    case = prerequisites.Case.of(world, promotion)
    if not case.asks_people:
        return None
    rejected = approvals.rejection(world, promotion, case.demands.approvals or [], case.subject)
    if rejected is None:
        return None
    comment = f": {rejected.comment}" if rejected.comment else ""
    return status.Told(
        promotion, Phase.REJECTED, finding.Fact(Reason.REJECTED, f"{rejected.user} rejected it for {rejected.gate}{comment}")
    )


def _paused(promotion: api.Promotion) -> finding.Held | None:
    if not promotion.spec.paused:
        return None
    return finding.Held(Reason.PAUSED, "spec.paused is set: set it to false to go on", finding.Waits.FOR_A_PERSON)


def _only_asks(verdict: gates.Verdict) -> bool:
    return verdict.held is not None and verdict.held.waits == finding.Waits.FOR_APPROVAL


def _looks(verdicts: Sequence[gates.Verdict], now: datetime.datetime) -> list[datetime.timedelta]:
    """In how long it is worth to look again."""
    times = (verdict.held.until for verdict in verdicts if verdict.held and verdict.held.until)
    return [until - now for until in times if until > now]
