"""Decide all of one Model at once: its promotions, its stages, what they serve, and the claims on its versions."""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Iterator, Mapping, Sequence

from modelyard import api
from modelyard.api import modelversion, serving
from modelyard.api.model import ModelStatus, VersionCounts
from modelyard.api.promotion import PromotionStatus
from modelyard.api.reason import Reason
from modelyard.api.stage import ServingStatus
from modelyard.plan import finding, semver, unforeseen
from modelyard.plan.model import aliases, claims, isolation, retirement, stage
from modelyard.plan.modelversion import conditions, legal_hold
from modelyard.plan.observed import recovery, specs
from modelyard.plan.observed.world import DryRun, Question, Snapshot, World
from modelyard.plan.promotion import status as promotion_status
from modelyard.plan.serving import objects
from modelyard.plan.serving import template as serving_template


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What to do for one model, in the order in which it is done. It has only what differs from the present state."""

    ask: tuple[Question, ...] = ()
    """Answer these first, and decide again."""
    claims: Mapping[str, tuple[modelversion.StageClaim, ...]] = dataclasses.field(default_factory=dict)
    """By version: the stages that run it."""
    promotions: Mapping[str, PromotionStatus] = dataclasses.field(default_factory=dict)
    """By name."""
    status: ModelStatus | None = None
    serve: tuple[objects.Serve, ...] = ()
    """What every stage is to run, not only what is new: applying it again costs nothing and reverts manual changes."""
    remove: tuple[str, ...] = ()
    """Stages whose serving objects are deleted."""
    restore: tuple[recovery.Lost, ...] = ()
    """What the cluster lost and the ledger still has."""
    create: tuple[tuple[str, str], ...] = ()
    """(stage, version) for which autoPromote makes a Promotion."""
    events: tuple[finding.Event, ...] = ()
    again: datetime.timedelta | None = None
    stays: frozenset[str] = frozenset()
    """Broken stages: nothing is decided of them."""
    unforeseen: tuple[unforeseen.Unforeseen, ...] = ()
    """The operator's own mistakes that the decision met; each is in a status as well."""


def decide(world: World, now: datetime.datetime) -> Plan:
    """Decide what this model does next. A stage that cannot be handled stays as it is, and delays no other stage."""
    while True:
        parts = isolation.Parts(world.broken)
        try:
            plan = _decide(world, now, parts)
        except Exception:
            if not parts.news:
                raise
        else:
            if not parts.news:
                return plan
        # Decide once more without the stages that broke; each time there is one stage less.
        world = dataclasses.replace(world, broken={**world.broken, **parts.news})


def _decide(world: World, now: datetime.datetime, parts: isolation.Parts) -> Plan:
    promotions_before, model_before = world.promotions, world.model
    if first := tuple(question for question in recovery.questions(world) if question not in world.answers):
        return Plan(ask=first)
    world = recovery.restore_stages(world)
    lost = () if world.withheld else recovery.lost_objects(world)
    # The outcome that the ledger has of a promotion in a broken stage is shown with the stage itself.
    promotions_now = [
        parts.of(promotion.spec.stage, promotion_status.as_recorded, world, promotion, now) or promotion for promotion in promotions_before
    ]
    world = dataclasses.replace(world, promotions=tuple(promotions_now))
    names = _names(world)
    turns = _turns(world, names, now, parts)
    questions = (*dry_runs(world, parts), *_snapshots(world), *(question for turn in turns for question in turn.ask))
    if open_questions := tuple(question for question in dict.fromkeys(questions) if question not in world.answers):
        return Plan(ask=open_questions)
    updates = {update.promotion.metadata.name: update for turn in turns for update in turn.updates}
    promotions = {
        promotion.metadata.name: parts.always(
            promotion.spec.stage, _promotion_status, world, promotion, updates.get(promotion.metadata.name), now
        )
        or promotion.status
        for promotion in world.promotions
    }
    changed = {
        promotion.metadata.name: promotions[promotion.metadata.name]
        for promotion in promotions_before
        if promotions[promotion.metadata.name] != promotion.status
    }
    events = tuple(event for name, update in updates.items() if name in changed for event in promotion_status.events(update))
    times = [turn.again for turn in turns if turn.again is not None]
    events = (*events, *recovery.events(world, lost))
    plan = Plan(
        promotions=changed,
        restore=lost,
        events=events,
        again=max(min(times), datetime.timedelta(seconds=1)) if times else None,
        stays=frozenset(parts.broken),
        unforeseen=_unforeseen(turns),
    )
    if world.model is None:
        return plan
    # A stage that the Model does not name any more stays until the ledger can record that: it may be an older Model.
    stages = [
        turn.status
        for turn in turns
        if world.stage(turn.status.name) or turn.status.name in parts.broken or (world.withheld and turn.status.current)
    ]
    wanted = tuple(_wishes(world, stages, parts))
    claimed = dict(claims.changed(world, stages, now, parts))
    status = _status(world, turns, stages, now, parts)
    untouched = {wish.stage for wish in wanted} | set(parts.broken)
    # What a stage serves stays, also while the operator does not know what it is to serve.
    untouched |= {entry.name for entry in stages if entry.current and (declared := world.stage(entry.name)) and declared.serving}
    return dataclasses.replace(
        plan,
        claims=claimed,
        status=status if model_before is None or status != model_before.status else None,
        serve=wanted,
        remove=() if world.withheld else tuple(sorted({*world.deployments, *world.services} - untouched)),
        create=tuple((turn.status.name, turn.auto) for turn in turns if turn.auto),
        events=(*events, *_model_events(world.model, status)),
    )


def _turns(world: World, names: Sequence[str], now: datetime.datetime, parts: isolation.Parts) -> list[stage.Turn]:
    """Decide every stage. While the Model is older than the ledger's, nothing is decided, not even what makes things safer."""
    if world.withheld and recovery.is_behind(world):
        return retirement.waiting(world, names, world.withheld)
    if retirement.is_retired(world):
        return [_or_stays(world, name, parts, parts.of(name, retirement.turn, world, name, names)) for name in names]
    turns = [_or_stays(world, name, parts, parts.of(name, stage.take, world, name, now)) for name in names]
    if all(turn.status.current == world.stands(turn.status.name).current for turn in turns):
        return turns
    # New grants elsewhere were judged by a current version that changes now: the next decision judges them again.
    take = functools.partial(stage.take, begins=False)
    return [_or_stays(world, name, parts, parts.of(name, take, world, name, now)) for name in names]


def _or_stays(world: World, name: str, parts: isolation.Parts, turn: stage.Turn | None) -> stage.Turn:
    return turn or stage.unchanged(world, name, parts.why(name))


def _unforeseen(turns: Sequence[stage.Turn]) -> tuple[unforeseen.Unforeseen, ...]:
    """Return each mistake once, as all promotions of a stage may have the same."""
    troubles = [why for turn in turns for why in (turn.trouble, *(update.trouble for update in turn.updates))]
    return tuple(dict.fromkeys(why for why in troubles if isinstance(why, unforeseen.Unforeseen)))


def _promotion_status(
    world: World, promotion: api.Promotion, update: promotion_status.Outcome | None, now: datetime.datetime
) -> PromotionStatus:
    """Return the whole status of one promotion, with or without an update."""
    status = promotion_status.status(update, now) if update else promotion.status
    return (
        status
        if world.withheld or promotion.metadata.name in world.unrecordable
        else status.model_copy(update={"recorded": specs.recorded(promotion)})
    )


def _snapshots(world: World) -> list[Snapshot]:
    """Ask for the recorded specs of objects that have changed since."""
    if world.withheld:
        return []
    recorded = [
        subject.status.recorded
        for subject in (world.model, *world.promotions)
        if subject and subject.status.recorded and specs.is_new(subject)
    ]
    return [Snapshot(record.spec) for record in recorded if record]


def ended(world: World, plan: Plan) -> bool:
    """Whether this decision ends a rollout, or what a stage serves: objects may be left over."""
    if world.model is None:
        return False
    moving = {entry.name for entry in (plan.status or world.model.status).stages or [] if entry.rollout}
    return bool(plan.remove) or any(entry.rollout and entry.name not in moving for entry in world.model.status.stages or [])


def at_rest(world: World, plan: Plan) -> bool:
    """Whether every stage runs its current version, and no rollout goes on."""
    if world.model is None or plan.remove:
        return False
    deployments = [(wish, world.deployments.get(wish.stage)) for wish in plan.serve]
    return all(deployment and deployment.complete and deployment.template == wish.template for wish, deployment in deployments) and not any(
        entry.rollout for entry in (plan.status or world.model.status).stages or []
    )


def _names(world: World) -> list[str]:
    """Return every stage that is declared, recorded, or requested by a promotion; the declared first, in their order."""
    recorded = [entry.name for entry in (world.model.status.stages if world.model else None) or []]
    requested = sorted({promotion.spec.stage for promotion in world.promotions})
    return list(dict.fromkeys([*(declared.name for declared in world.stages()), *recorded, *requested]))


def dry_runs(world: World, parts: isolation.Parts | None = None) -> list[DryRun]:
    """Return the dry runs of the templates that are declared now."""
    if retirement.is_retired(world):
        return []
    parts = parts or isolation.Parts(world.broken)
    serving_stages = [
        declared for declared in world.stages() if declared.serving and declared.serving.strategy in {None, *objects.STRATEGIES}
    ]
    sources = [
        (declared.name, parts.always(declared.name, serving_template.source, declared.serving))
        for declared in serving_stages
        if declared.serving
    ]
    return [DryRun(name, source) for name, source in sources if source]


def wishes(world: World) -> tuple[objects.Serve, ...]:
    """Return what each stage is to run, by the Model's present status."""
    return tuple(_wishes(world, (world.model.status.stages if world.model else None) or [], isolation.Parts(world.broken)))


def _wishes(world: World, stages: Sequence[api.StageStatus], parts: isolation.Parts) -> Iterator[objects.Serve]:
    """Yield what each stage is to run: what is being rolled out, else its current version. A broken stage goes on as it is."""
    for entry in stages:
        if wish := parts.of(entry.name, _wish, world, entry):
            yield wish


def _wish(world: World, entry: api.StageStatus) -> objects.Serve | None:
    declared = world.stage(entry.name)
    template = (entry.rollout and entry.rollout.template) or (entry.serving and entry.serving.template)
    if declared is None or declared.serving is None or not template:
        return None
    holder = entry.promotion and next((promotion for promotion in world.promotions if promotion.metadata.uid == entry.promotion.uid), None)
    deadline = declared.serving.progress_deadline or serving.DEFAULT_PROGRESS_DEADLINE
    return objects.Serve(
        model=world.name,
        stage=entry.name,
        template=template,
        replicas=declared.serving.replicas,
        strategy=declared.serving.strategy or serving.Strategy.ROLLING_UPDATE,
        paused=bool(holder and holder.spec.paused),
        deadline=max(1, int(deadline.total_seconds())),
    )


def _status(
    world: World, turns: Sequence[stage.Turn], stages: Sequence[api.StageStatus], now: datetime.datetime, parts: isolation.Parts
) -> ModelStatus:
    assert world.model is not None
    previous = world.model.status
    generation = world.model.metadata.generation
    return ModelStatus(
        observed_generation=generation,
        conditions=finding.settle(
            previous.conditions,
            {**_conditions(world, turns, stages, parts), **_policies(world), **aliases.conditions(world)},
            generation,
            now,
        ),
        versions=_counts(world),
        stages=[parts.always(entry.name, _with_serving, world, entry) or entry for entry in stages],
        ledger=previous.ledger,
        recorded=previous.recorded if world.withheld else specs.recorded(world.model),
    )


def _conditions(
    world: World, turns: Sequence[stage.Turn], stages: Sequence[api.StageStatus], parts: isolation.Parts
) -> dict[str, finding.State]:
    if world.withheld:
        cause = finding.Finding(world.withheld.reason, world.withheld.message)
        if world.withheld.waits == finding.Waits.BY_ITSELF:
            return {"Ready": finding.State.unknown(cause)}
        return {"Ready": finding.State.false(cause), "Stalled": finding.State.true(cause.reason, cause.message)}
    troubles = _troubles(world, turns, stages, parts)
    broken = [why for why in troubles if not isinstance(why, finding.Unmet)]
    stalled = {"Stalled": finding.State.true(broken[0].reason, broken[0].message)} if broken else {}
    if unknown := [why for why in troubles if isinstance(why, finding.Unmet)]:
        # The operator's own mistakes come first: no other status shows them.
        first = next((why for why in unknown if why.reason == Reason.INTERNAL_ERROR), unknown[0])
        return {"Ready": finding.State.unknown(first), **stalled}
    if retirement.is_retired(world):
        return retirement.conditions(world, stages)
    if broken:
        return {"Ready": finding.State.false(broken[0]), **stalled}
    moving = [entry for entry in stages if entry.rollout and not entry.promotion]
    if moving:
        message = f"the changed template of {', '.join(entry.name for entry in moving)} is being rolled out"
        cause = finding.Finding(Reason.ROLLING_OUT, message)
        return {"Ready": finding.State.false(cause), "Reconciling": finding.State.true(cause.reason, cause.message)}
    if waits := [turn.waits for turn in turns if turn.waits]:
        return {"Ready": finding.State.false(waits[0]), "Reconciling": finding.State.true(waits[0].reason, waits[0].message)}
    sentence = "every stage is as it is asked to be"
    if old := retirement.outdated(world.versions, stages):
        return {"Ready": finding.State.true(Reason.SERVES_DEPRECATED, f"{sentence}; {old}: promote another version there")}
    return {"Ready": finding.State.true(Reason.READY, sentence)}


def _troubles(
    world: World, turns: Sequence[stage.Turn], stages: Sequence[api.StageStatus], parts: isolation.Parts
) -> list[finding.Finding]:
    """Return all that keeps a stage from being as its spec says. The operator tries a Held again by itself; a person must mend the others."""
    mistakes = [update.trouble for turn in turns for update in turn.updates if isinstance(update.trouble, unforeseen.Unforeseen)]
    troubles: list[finding.Finding] = [
        *world.flaws,
        *(turn.trouble for turn in turns if isinstance(turn.trouble, finding.Unmet)),
        *mistakes,
    ]
    if retirement.is_retired(world):
        return troubles
    answers = [answer for question, answer in world.answers.items() if isinstance(question, DryRun)]
    live = set(_wishes(world, stages, parts))
    troubles += [answer for answer in answers if isinstance(answer, finding.Finding)]
    troubles += [why for tried in (world.refused, world.unserved) for wish, why in tried.items() if wish in live]
    troubles += [world.storage] if world.storage else []
    return troubles + [turn.trouble for turn in turns if turn.trouble and not isinstance(turn.trouble, finding.Unmet)]


def _policies(world: World) -> dict[str, finding.State]:
    """Return `PoliciesMissing` for a Model with approval gates: while the policies are not effective, nobody knows who approved."""
    asks = any(declared.gates and declared.gates.approvals for declared in world.stages())
    if world.unguarded is None or world.unguarded.reason != Reason.POLICIES_MISSING or not asks:
        return {}
    return {"PoliciesMissing": finding.State.true(world.unguarded.reason, world.unguarded.message)}


def _counts(world: World) -> VersionCounts:
    ready = [name for name, version in world.versions.items() if version.status.phase == api.VersionPhase.READY]
    return VersionCounts(
        total=len(world.versions),
        ready=len(ready),
        latest=max(ready, key=semver.rank, default=None),
        held=len(legal_hold.versions_on_hold(world.versions.values())) or None,
    )


def _with_serving(world: World, entry: api.StageStatus) -> api.StageStatus:
    """Return the stage's status with its Deployment's present numbers."""
    deployment = world.deployments.get(entry.name)
    if deployment is None:
        emptied = entry.serving.model_copy(update={"desired": None, "available": None}) if entry.serving else None
        return entry.model_copy(update={"serving": emptied})
    status = entry.serving or ServingStatus(deployment=deployment.name)
    return entry.model_copy(
        update={"serving": status.model_copy(update={"desired": deployment.desired, "available": deployment.available})}
    )


def unknown(model: api.Model, why: finding.Finding, now: datetime.datetime) -> ModelStatus:
    """Return the status of a Model of which nothing could be decided; its stages stay as they are."""
    generation = model.metadata.generation
    settled = conditions.unknown(model.status.conditions, why, generation, now)
    return model.status.model_copy(update={"observed_generation": generation, "conditions": settled})


def unobserved_promotions(promotions: Sequence[api.Promotion]) -> list[api.Promotion]:
    """Return the unfinished promotions whose newest generation was not observed yet."""
    return [
        promotion
        for promotion in promotions
        if promotion.status.observed_generation != promotion.metadata.generation
        if not (promotion.status.phase and promotion.status.phase.is_terminal) and not promotion.metadata.deletion_timestamp
    ]


def depends_on(world: World, plan: Plan, promotion: api.Promotion) -> set[str]:
    """Return the stage that depends on a promotion's status: the promotion holds it, is to hold it, or ends."""
    status, uid = plan.promotions[promotion.metadata.name], promotion.metadata.uid
    stages_before, stages_after = (
        (world.model.status.stages if world.model else None) or [],
        (plan.status.stages if plan.status else None) or [],
    )
    holds = any(entry.promotion and entry.promotion.uid == uid for entry in (*stages_before, *stages_after))
    return {promotion.spec.stage} if holds or (status.phase and status.phase.is_terminal) else set()


def events(model: api.Model, status: ModelStatus) -> tuple[finding.Event, ...]:
    """Return Events for what changes in a Model's status."""
    return tuple(_model_events(model, status))


def _model_events(model: api.Model, status: ModelStatus) -> Iterator[finding.Event]:
    previous, ready = finding.find(model.status.conditions, "Ready"), finding.find(status.conditions, "Ready")
    warns = ready is not None and ready.reason == Reason.SERVES_DEPRECATED
    news = ready and (
        previous is None
        or (previous.status, previous.reason) != (ready.status, ready.reason)
        or (warns and previous.message != ready.message)
    )
    if ready and news and (previous or warns or ready.status != api.ConditionStatus.TRUE):
        stalled = finding.find(status.conditions, "Stalled") is not None or ready.reason == Reason.INTERNAL_ERROR
        yield finding.event(model, Reason(ready.reason), ready.message, warning=stalled or warns)
    missing = finding.find(status.conditions, "PoliciesMissing")
    if missing and finding.find(model.status.conditions, "PoliciesMissing") is None:
        yield finding.event(model, Reason(missing.reason), missing.message, warning=True)
    entries_before = {entry.name: entry for entry in model.status.stages or []}
    for entry in status.stages or []:
        entry_before = entries_before.get(entry.name)
        if entry.current and (entry_before is None or entry_before.current != entry.current):
            suffix = f" (was {entry_before.current})" if entry_before and entry_before.current else ""
            yield finding.event(model, Reason.SUCCEEDED, f"{entry.name} is at {entry.current}{suffix}")
    current = {entry.name for entry in status.stages or [] if entry.current}
    for name, entry_before in entries_before.items():
        if entry_before.current and name not in current:
            yield finding.event(model, Reason.DECOMMISSIONED, f"{name} is taken down; it was at {entry_before.current}")
