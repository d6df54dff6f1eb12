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


def choose(world: World, was: api.StageStatus, spoken_to: Collection[str], now: datetime.datetime) -> Choice:
    """The latest promotion whose gates all hold is granted the stage, those after it wait; `superseded` are those before it, once it has it."""
    told: list[status.Told] = []
    again: list[datetime.timedelta] = []
    granted: api.Promotion | None = None
    begun: StageRollout | None = None
    for one in sorted(unfinished(world, was, spoken_to), key=order, reverse=True):
        try:
            found = _ended(world, one) or (None if granted else _considered(world, was, one, now))
        except Exception as error:  # nothing is granted to it, and the others are judged
            found = status.unknown(one, unforeseen.of(f"the Promotion {one.metadata.name}", error))
        if isinstance(found, Question):
            return Choice(ask=found)
        if isinstance(found, _Begins):
            granted, begun = one, found.begun
            found = found.told
        elif found and not found.phase.is_terminal:
            again += [progress.RETRY] if found.trouble else _looks(found.verdicts, now)
        told += [found] if found else []
    return Choice(tuple(told), granted, begun, again=min(again, default=None))


@dataclasses.dataclass(frozen=True, slots=True)
class _Begins:
    """It may be granted the stage."""

    told: status.Told
    begun: StageRollout


def _considered(world: World, was: api.StageStatus, one: api.Promotion, now: datetime.datetime) -> status.Told | Question | _Begins:
    """What keeps one promotion from being granted its stage, or what it would begin with."""
    case = prerequisites.Case.of(world, one)
    verdicts = gates.judge(case, now)
    if waits := _waits(world, one, case, verdicts):
        return waits
    answer = progress.begin(world, was, one.spec.version, now, rollback=case.rollback)
    if isinstance(answer, Question):
        return answer
    if isinstance(answer, finding.Fact):
        return status.troubled(one, verdicts, answer, case.asked)
    return _Begins(status.granted(one, verdicts, answer, case.asked), answer)


def superseded(world: World, was: api.StageStatus) -> tuple[status.Told, ...]:
    """Those that wanted the stage before whoever was granted it; a grant that is written nowhere but in the ledger may come to nothing."""
    holder = next((one for one in world.promotions if was.promotion and one.metadata.uid == was.promotion.uid), None)
    if holder is None:
        return ()
    said = finding.Fact(Reason.SUPERSEDED, f"{holder.spec.version} was granted {was.name} later")
    earlier = [one for one in unfinished(world, was, ()) if order(one) < order(holder)]
    return tuple(_ended(world, one) or status.Told(one, Phase.SUPERSEDED, said) for one in earlier)


def wait(world: World, was: api.StageStatus, spoken_to: Collection[str], by: str, now: datetime.datetime) -> tuple[status.Told, ...]:
    """Who holds the stage is not disturbed; the others are judged, and wait for its end before people are asked."""
    behind = finding.Held(Reason.WAITING_FOR_PROMOTION, f"{by} is being rolled out in {was.name}; this goes on after it")
    told = []
    for one in unfinished(world, was, spoken_to):
        try:
            told.append(_ended(world, one) or _behind(world, one, behind, now))
        except Exception as error:  # it waits in any case
            told.append(status.unknown(one, unforeseen.of(f"the Promotion {one.metadata.name}", error)))
    return tuple(told)


def _behind(world: World, one: api.Promotion, behind: finding.Held, now: datetime.datetime) -> status.Told:
    """What else holds it is said first."""
    case = prerequisites.Case.of(world, one)
    verdicts = gates.judge(case, now)
    why = gates.worst(verdict for verdict in verdicts if not _only_asks(verdict)) or behind
    return status.held(one, verdicts, why, case.asked)


def automatic(world: World, was: api.StageStatus, now: datetime.datetime) -> tuple[str | None, datetime.timedelta | None]:
    """The highest version above the current one and all that wait, that passes the gates and was never asked for here; and when to look again.

    People are asked once there is a Promotion: the approvals that it will need hold nothing here. A rollback that waits is not overtaken.
    """
    declared, waiting = world.stage(was.name), unfinished(world, was, ())
    if declared is None or not declared.auto_promote or was.hold or world.withheld or any(one.spec.rollback for one in waiting):
        return None, None
    ran = world.past.promotions if world.past else {}
    lost = {name for name, one in ran.items() if one.lost} | set(recovery.forgotten(world))
    asked = {one.spec.version for one in world.promotions if one.spec.stage == was.name and one.status.phase != Phase.REUSED}
    # Whoever deletes what was asked for says no, noticed now or before; what was lost before it ended nobody deleted.
    asked |= {one.version for name, one in ran.items() if one.stage == was.name and (one.phase or name not in lost)}
    above = max(semver.rank(version) for version in (was.current or "", *(one.spec.version for one in waiting)))
    again: list[datetime.timedelta] = []
    for version in sorted(world.versions, key=semver.rank, reverse=True):
        if semver.rank(version) <= above:
            break
        if version in asked:
            continue
        verdicts = gates.judge(prerequisites.Case(world, was.name, version), now)
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


def rollback_is_due(world: World, was: api.StageStatus, now: datetime.datetime) -> bool:
    """Whether a rollback asks for the stage that could be granted it now."""
    over = {told.promotion.metadata.uid for told in superseded(world, was)}
    wishes = [one for one in unfinished(world, was, over) if one.spec.rollback and not one.spec.abort and not one.spec.paused]
    return any(not gates.worst(gates.judge(prerequisites.Case.of(world, one), now)) for one in wishes)


def unfinished(world: World, was: api.StageStatus, spoken_to: Collection[str]) -> list[api.Promotion]:
    """The promotions of a stage that want it, do not hold it, and were not spoken to yet."""
    holds = was.promotion.uid if was.promotion else None
    return [
        one
        for one in world.promotions
        if one.spec.stage == was.name
        and not (one.status.phase and one.status.phase.is_terminal)
        and one.metadata.uid not in spoken_to
        and one.metadata.uid != holds
        and not one.metadata.deletion_timestamp
    ]


def _waits(world: World, one: api.Promotion, case: prerequisites.Case, verdicts: tuple[gates.Verdict, ...]) -> status.Told | None:
    """What keeps it from being granted, if anything does.

    What a person must mend and what comes by itself; then policies that do not guard, as nobody may be asked without them; then people's
    word; then what is no gate: a pause, and the ledger, which never delays a rollback.
    """
    why = gates.worst(verdicts)
    if why and why.reason == Reason.INTERNAL_ERROR:
        return status.troubled(one, verdicts, why, case.asked)
    if why and why.waits != finding.Waits.FOR_APPROVAL:
        return status.held(one, verdicts, why, case.asked)
    if case.asks_people and world.unguarded:
        return status.troubled(one, verdicts, world.unguarded, case.asked)
    if why := why or _paused(one):
        return status.held(one, verdicts, why, case.asked)
    if world.withheld and not case.rollback:
        return status.troubled(one, verdicts, world.withheld, case.asked)
    return None


def _ended(world: World, one: api.Promotion) -> status.Told | None:
    """A person said so before anything changed."""
    if one.spec.abort:
        return status.Told(one, Phase.ABORTED, finding.Fact(Reason.ABORTED, "spec.abort was set before anything changed"))
    case = prerequisites.Case.of(world, one)
    if not case.asks_people:
        return None
    no = approvals.rejection(world, one, case.demands.approvals or [], case.subject)
    if no is None:
        return None
    because = f": {no.comment}" if no.comment else ""
    return status.Told(one, Phase.REJECTED, finding.Fact(Reason.REJECTED, f"{no.user} rejected it for {no.gate}{because}"))


def _paused(one: api.Promotion) -> finding.Held | None:
    if not one.spec.paused:
        return None
    return finding.Held(Reason.PAUSED, "spec.paused is set: set it to false to go on", finding.Waits.FOR_A_PERSON)


def _only_asks(verdict: gates.Verdict) -> bool:
    return verdict.held is not None and verdict.held.waits == finding.Waits.FOR_APPROVAL


def _looks(verdicts: Sequence[gates.Verdict], now: datetime.datetime) -> list[datetime.timedelta]:
    """In how long it is worth to look again."""
    times = (verdict.held.until for verdict in verdicts if verdict.held and verdict.held.until)
    return [until - now for until in times if until > now]
