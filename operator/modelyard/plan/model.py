"""The arbiter of one model: its promotions, its stages, what they serve, and the claims on its versions, in one decision."""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Iterator, Mapping, Sequence

from modelyard import api
from modelyard.api import model as model_api
from modelyard.api import modelversion
from modelyard.api import promotion as promotion_api
from modelyard.api import serving as serving_api
from modelyard.api import stage as stage_api
from modelyard.api.reason import Reason
from modelyard.plan import (
    aliases,
    apart,
    claims,
    conditions,
    fact,
    hold,
    precedence,
    promotion,
    restoring,
    retirement,
    serving,
    specs,
    stage,
    unforeseen,
)
from modelyard.plan import world as seen


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What to do for one model, in the order in which it is done; only what differs from what already is."""

    ask: tuple[seen.Question, ...] = ()
    """Answer these first, and decide again."""
    claims: Mapping[str, tuple[modelversion.StageClaim, ...]] = dataclasses.field(default_factory=dict)
    """By version: the stages that run it."""
    promotions: Mapping[str, promotion_api.PromotionStatus] = dataclasses.field(default_factory=dict)
    """By name."""
    status: model_api.ModelStatus | None = None
    serve: tuple[serving.Serve, ...] = ()
    """All wishes, not only new ones: applying the same again costs nothing and puts back what was changed by hand."""
    remove: tuple[str, ...] = ()
    """Stages whose serving objects are to go."""
    restore: tuple[restoring.Lost, ...] = ()
    """What the cluster lost and the ledger still has."""
    create: tuple[tuple[str, str], ...] = ()
    """(stage, version) that autoPromote asks for."""
    events: tuple[fact.Event, ...] = ()
    again: datetime.timedelta | None = None
    stays: frozenset[str] = frozenset()
    """Stages of which something cannot be handled: nothing is decided of them."""
    unforeseen: tuple[unforeseen.Unforeseen, ...] = ()
    """Mistakes of ours that were met on the way; each is in a status as well."""


def decide(world: seen.World, now: datetime.datetime) -> Plan:
    """What this model should do next; a stage of which something cannot be handled stays as it is, and holds up no other."""
    while True:
        parts = apart.Parts(world.broken)
        try:
            plan = _decide(world, now, parts)
        except Exception:
            if not parts.news:
                raise
        else:
            if not parts.news:
                return plan
        # The decision is made once more as if nothing had been found of that stage; each time there is one stage less.
        world = dataclasses.replace(world, broken={**world.broken, **parts.news})


def _decide(world: seen.World, now: datetime.datetime, parts: apart.Parts) -> Plan:
    asked, before = world.promotions, world.model
    if first := tuple(question for question in restoring.questions(world) if question not in world.answers):
        return Plan(ask=first)
    world = restoring.with_ledgers_stages(world)
    gone = () if world.withheld else restoring.lost(world)
    # What a broken stage came to by the ledger is shown with the stage itself.
    recorded = [parts.of(one.spec.stage, promotion.as_recorded, world, one, now) or one for one in asked]
    world = dataclasses.replace(world, promotions=tuple(recorded))
    names = _names(world)
    turns = _turns(world, names, now, parts)
    questions = (*dry_runs(world, parts), *_snapshots(world), *(question for turn in turns for question in turn.ask))
    if open_questions := tuple(question for question in dict.fromkeys(questions) if question not in world.answers):
        return Plan(ask=open_questions)
    told = {one.promotion.metadata.name: one for turn in turns for one in turn.told}
    promotions = {
        one.metadata.name: parts.always(one.spec.stage, _told, world, one, told.get(one.metadata.name), now) or one.status
        for one in world.promotions
    }
    changed = {one.metadata.name: promotions[one.metadata.name] for one in asked if promotions[one.metadata.name] != one.status}
    events = tuple(event for name, one in told.items() if name in changed for event in promotion.events(one))
    times = [turn.again for turn in turns if turn.again is not None]
    events = (*events, *restoring.happened(world, gone))
    plan = Plan(
        promotions=changed,
        restore=gone,
        events=events,
        again=max(min(times), datetime.timedelta(seconds=1)) if times else None,
        stays=frozenset(parts.broken),
        unforeseen=_unforeseen(turns),
    )
    if world.model is None:
        return plan
    # What the Model does not name any more is kept until that can be recorded: it may be an older Model.
    stages = [
        turn.status
        for turn in turns
        if world.stage(turn.status.name) or turn.status.name in parts.broken or (world.withheld and turn.status.current)
    ]
    wanted = tuple(_wishes(world, stages, parts))
    claimed = dict(claims.of(world, stages, now, parts))
    status = _status(world, turns, stages, now, parts)
    untouched = {wish.stage for wish in wanted} | set(parts.broken)
    # What a stage serves stays, also while it is not known what it is to serve.
    untouched |= {one.name for one in stages if one.current and (declared := world.stage(one.name)) and declared.serving}
    return dataclasses.replace(
        plan,
        claims=claimed,
        status=status if before is None or status != before.status else None,
        serve=wanted,
        remove=() if world.withheld else tuple(sorted({*world.deployments, *world.services} - untouched)),
        create=tuple((turn.status.name, turn.auto) for turn in turns if turn.auto),
        events=(*events, *_model_events(world.model, status)),
    )


def _turns(world: seen.World, names: Sequence[str], now: datetime.datetime, parts: apart.Parts) -> list[stage.Turn]:
    """Every stage's turn; an older Model than the ledger's decides nothing, not even what makes things safer."""
    if world.withheld and restoring.is_behind(world):
        return retirement.waiting(world, names, world.withheld)
    if retirement.asked(world):
        return [_or_stays(world, name, parts, parts.of(name, retirement.turn, world, name, names)) for name in names]
    turns = [_or_stays(world, name, parts, parts.of(name, stage.take, world, name, now)) for name in names]
    if all(turn.status.current == world.stands(turn.status.name).current for turn in turns):
        return turns
    # What begins elsewhere was judged by what a stage does not stand for any more: it is judged again in the next decision.
    take = functools.partial(stage.take, begins=False)
    return [_or_stays(world, name, parts, parts.of(name, take, world, name, now)) for name in names]


def _or_stays(world: seen.World, name: str, parts: apart.Parts, turn: stage.Turn | None) -> stage.Turn:
    return turn or stage.stays(world, name, parts.why(name))


def _unforeseen(turns: Sequence[stage.Turn]) -> tuple[unforeseen.Unforeseen, ...]:
    """Each once, as all of a stage may be told the same."""
    told = [why for turn in turns for why in (turn.trouble, *(one.trouble for one in turn.told))]
    return tuple(dict.fromkeys(why for why in told if isinstance(why, unforeseen.Unforeseen)))


def _told(world: seen.World, one: api.Promotion, told: promotion.Told | None, now: datetime.datetime) -> promotion_api.PromotionStatus:
    """The whole status of one promotion, whether or not anything is said to it."""
    status = promotion.status(told, now) if told else one.status
    return (
        status if world.withheld or one.metadata.name in world.unrecordable else status.model_copy(update={"recorded": specs.recorded(one)})
    )


def _snapshots(world: seen.World) -> list[seen.Snapshot]:
    """What the ledger has of the specs that have changed since."""
    if world.withheld:
        return []
    kept = [one.status.recorded for one in (world.model, *world.promotions) if one and one.status.recorded and specs.is_new(one)]
    return [seen.Snapshot(one.spec) for one in kept if one]


def ended(world: seen.World, plan: Plan) -> bool:
    """Whether this decision ends a rollout, or what a stage serves: something may be left over."""
    if world.model is None:
        return False
    moving = {one.name for one in (plan.status or world.model.status).stages or [] if one.rollout}
    return bool(plan.remove) or any(one.rollout and one.name not in moving for one in world.model.status.stages or [])


def at_rest(world: seen.World, plan: Plan) -> bool:
    """Whether every stage runs what it stands for, and nothing else is on its way."""
    if world.model is None or plan.remove:
        return False
    found = [(wish, world.deployments.get(wish.stage)) for wish in plan.serve]
    return all(one and one.complete and one.template == wish.template for wish, one in found) and not any(
        one.rollout for one in (plan.status or world.model.status).stages or []
    )


def _names(world: seen.World) -> list[str]:
    """Every stage that is declared, recorded, or asked for; the declared first, in their order."""
    recorded = [one.name for one in (world.model.status.stages if world.model else None) or []]
    asked = sorted({one.spec.stage for one in world.promotions})
    return list(dict.fromkeys([*(one.name for one in world.stages()), *recorded, *asked]))


def dry_runs(world: seen.World, parts: apart.Parts | None = None) -> list[seen.DryRun]:
    """What the API server is asked about each template that is declared now."""
    if retirement.asked(world):
        return []
    parts = parts or apart.Parts(world.broken)
    declared = [one for one in world.stages() if one.serving and one.serving.strategy in {None, *serving.STRATEGIES}]
    sources = [(one.name, parts.always(one.name, serving.source, one.serving)) for one in declared if one.serving]
    return [seen.DryRun(name, source) for name, source in sources if source]


def wishes(world: seen.World) -> tuple[serving.Serve, ...]:
    """What each stage is to run as the Model's status has it now."""
    return tuple(_wishes(world, (world.model.status.stages if world.model else None) or [], apart.Parts(world.broken)))


def _wishes(world: seen.World, stages: Sequence[api.StageStatus], parts: apart.Parts) -> Iterator[serving.Serve]:
    """What each stage is to run: what is being rolled out, else what it stands for; what is broken goes on as it is."""
    for stands in stages:
        if wish := parts.of(stands.name, _wish, world, stands):
            yield wish


def _wish(world: seen.World, stands: api.StageStatus) -> serving.Serve | None:
    declared = world.stage(stands.name)
    template = (stands.rollout and stands.rollout.template) or (stands.serving and stands.serving.template)
    if declared is None or declared.serving is None or not template:
        return None
    holder = stands.promotion and next((one for one in world.promotions if one.metadata.uid == stands.promotion.uid), None)
    deadline = declared.serving.progress_deadline or serving_api.DEFAULT_PROGRESS_DEADLINE
    return serving.Serve(
        model=world.name,
        stage=stands.name,
        template=template,
        replicas=declared.serving.replicas,
        strategy=declared.serving.strategy or serving_api.Strategy.ROLLING_UPDATE,
        paused=bool(holder and holder.spec.paused),
        deadline=max(1, int(deadline.total_seconds())),
    )


def _status(
    world: seen.World, turns: Sequence[stage.Turn], stages: Sequence[api.StageStatus], now: datetime.datetime, parts: apart.Parts
) -> model_api.ModelStatus:
    assert world.model is not None
    was = world.model.status
    generation = world.model.metadata.generation
    return model_api.ModelStatus(
        observed_generation=generation,
        conditions=fact.settle(
            was.conditions, {**_conditions(world, turns, stages, parts), **_policies(world), **aliases.conditions(world)}, generation, now
        ),
        versions=_counts(world),
        stages=[parts.always(stands.name, _with_serving, world, stands) or stands for stands in stages],
        ledger=was.ledger,
        recorded=was.recorded if world.withheld else specs.recorded(world.model),
    )


def _conditions(
    world: seen.World, turns: Sequence[stage.Turn], stages: Sequence[api.StageStatus], parts: apart.Parts
) -> dict[str, fact.State]:
    if world.withheld:
        said = fact.Fact(world.withheld.reason, world.withheld.message)
        if world.withheld.waits == fact.Waits.BY_ITSELF:
            return {"Ready": fact.State.unknown(said)}
        return {"Ready": fact.State.false(said), "Stalled": fact.State.true(said.reason, said.message)}
    troubles = _troubles(world, turns, stages, parts)
    broken = [why for why in troubles if not isinstance(why, fact.Held)]
    stalled = {"Stalled": fact.State.true(broken[0].reason, broken[0].message)} if broken else {}
    if unknown := [why for why in troubles if isinstance(why, fact.Held)]:
        # Our own mistakes first: nobody else says them.
        first = next((why for why in unknown if why.reason == Reason.INTERNAL_ERROR), unknown[0])
        return {"Ready": fact.State.unknown(first), **stalled}
    if retirement.asked(world):
        return retirement.conditions(world, stages)
    if broken:
        return {"Ready": fact.State.false(broken[0]), **stalled}
    moving = [one for one in stages if one.rollout and not one.promotion]
    if moving:
        message = f"the changed template of {', '.join(one.name for one in moving)} is being rolled out"
        said = fact.Fact(Reason.ROLLING_OUT, message)
        return {"Ready": fact.State.false(said), "Reconciling": fact.State.true(said.reason, said.message)}
    if waits := [turn.waits for turn in turns if turn.waits]:
        return {"Ready": fact.State.false(waits[0]), "Reconciling": fact.State.true(waits[0].reason, waits[0].message)}
    fine = "every stage is as it is asked to be"
    if old := retirement.outdated(world.versions, stages):
        return {"Ready": fact.State.true(Reason.SERVES_DEPRECATED, f"{fine}; {old}: promote another version there")}
    return {"Ready": fact.State.true(Reason.READY, fine)}


def _troubles(world: seen.World, turns: Sequence[stage.Turn], stages: Sequence[api.StageStatus], parts: apart.Parts) -> list[fact.Fact]:
    """All that keeps a stage from being as it is asked to be: a Held is tried again by itself, a person must mend the others."""
    told = [one.trouble for turn in turns for one in turn.told if isinstance(one.trouble, unforeseen.Unforeseen)]
    found: list[fact.Fact] = [*world.flaws, *(turn.trouble for turn in turns if isinstance(turn.trouble, fact.Held)), *told]
    if retirement.asked(world):
        return found
    answers = [answer for question, answer in world.answers.items() if isinstance(question, seen.DryRun)]
    live = set(_wishes(world, stages, parts))
    found += [answer for answer in answers if isinstance(answer, fact.Fact)]
    found += [why for tried in (world.refused, world.unserved) for wish, why in tried.items() if wish in live]
    found += [world.storage] if world.storage else []
    return found + [turn.trouble for turn in turns if turn.trouble and not isinstance(turn.trouble, fact.Held)]


def _policies(world: seen.World) -> dict[str, fact.State]:
    """Told of a Model that asks people: while the policies are not effective, nobody knows who said what."""
    asks = any(one.gates and one.gates.approvals for one in world.stages())
    if world.unguarded is None or world.unguarded.reason != Reason.POLICIES_MISSING or not asks:
        return {}
    return {"PoliciesMissing": fact.State.true(world.unguarded.reason, world.unguarded.message)}


def _counts(world: seen.World) -> model_api.VersionCounts:
    ready = [name for name, one in world.versions.items() if one.status.phase == api.VersionPhase.READY]
    return model_api.VersionCounts(
        total=len(world.versions),
        ready=len(ready),
        latest=max(ready, key=precedence.rank, default=None),
        held=len(hold.still(world.versions.values())) or None,
    )


def _with_serving(world: seen.World, stands: api.StageStatus) -> api.StageStatus:
    """The stage's status with what its Deployment says now."""
    deployment = world.deployments.get(stands.name)
    if deployment is None:
        kept = stands.serving.model_copy(update={"desired": None, "available": None}) if stands.serving else None
        return stands.model_copy(update={"serving": kept})
    known = stands.serving or stage_api.ServingStatus(deployment=deployment.name)
    return stands.model_copy(
        update={"serving": known.model_copy(update={"desired": deployment.desired, "available": deployment.available})}
    )


def unknown(model: api.Model, why: fact.Fact, now: datetime.datetime) -> model_api.ModelStatus:
    """What a Model says of which nothing could be decided; what it said of its stages stays."""
    generation = model.metadata.generation
    said = conditions.unknown(model.status.conditions, why, generation, now)
    return model.status.model_copy(update={"observed_generation": generation, "conditions": said})


def unseen(promotions: Sequence[api.Promotion]) -> list[api.Promotion]:
    """Those that nobody has looked at since they were written, and that have not ended."""
    return [
        one
        for one in promotions
        if one.status.observed_generation != one.metadata.generation
        if not (one.status.phase and one.status.phase.is_terminal) and not one.metadata.deletion_timestamp
    ]


def depends_on(world: seen.World, plan: Plan, one: api.Promotion) -> set[str]:
    """The stage of a promotion, where what becomes of it there depends on its status: it holds it, is to hold it, or ends."""
    status, uid = plan.promotions[one.metadata.name], one.metadata.uid
    before, after = (world.model.status.stages if world.model else None) or [], (plan.status.stages if plan.status else None) or []
    holds = any(stands.promotion and stands.promotion.uid == uid for stands in (*before, *after))
    return {one.spec.stage} if holds or (status.phase and status.phase.is_terminal) else set()


def events(model: api.Model, status: model_api.ModelStatus) -> tuple[fact.Event, ...]:
    """What a status tells that is news."""
    return tuple(_model_events(model, status))


def _model_events(model: api.Model, status: model_api.ModelStatus) -> Iterator[fact.Event]:
    was, now = fact.find(model.status.conditions, "Ready"), fact.find(status.conditions, "Ready")
    warns = now is not None and now.reason == Reason.SERVES_DEPRECATED
    news = now and (was is None or (was.status, was.reason) != (now.status, now.reason) or (warns and was.message != now.message))
    if now and news and (was or warns or now.status != api.ConditionStatus.TRUE):
        stalled = fact.find(status.conditions, "Stalled") is not None or now.reason == Reason.INTERNAL_ERROR
        yield fact.happened(model, Reason(now.reason), now.message, warning=stalled or warns)
    missing = fact.find(status.conditions, "PoliciesMissing")
    if missing and fact.find(model.status.conditions, "PoliciesMissing") is None:
        yield fact.happened(model, Reason(missing.reason), missing.message, warning=True)
    before = {one.name: one for one in model.status.stages or []}
    for stands in status.stages or []:
        old = before.get(stands.name)
        if stands.current and (old is None or old.current != stands.current):
            came = f" (was {old.current})" if old and old.current else ""
            yield fact.happened(model, Reason.SUCCEEDED, f"{stands.name} stands for {stands.current}{came}")
    standing = {stands.name for stands in status.stages or [] if stands.current}
    for name, old in before.items():
        if old.current and name not in standing:
            yield fact.happened(model, Reason.DECOMMISSIONED, f"{name} is taken down; it stood for {old.current}")
