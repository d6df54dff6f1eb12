"""One Model: its promotions, stages, serving objects and record, decided together."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from modelyard import api, edge
from modelyard.api.model import LedgerStatus
from modelyard.api.reason import Reason
from modelyard.content import location
from modelyard.edge.bucket import appender
from modelyard.edge.cluster import cache, client
from modelyard.ledger import integrity
from modelyard.ledger.index import Index
from modelyard.plan import finding, unforeseen
from modelyard.plan.model import claims, decide
from modelyard.plan.observed import outbox, recovery
from modelyard.plan.observed.world import Answer, Question, Recorded, World
from modelyard.plan.promotion import approvals
from modelyard.plan.promotion import status as promotion_status
from modelyard.plan.record import model
from modelyard.reconcile import missing, troubles
from modelyard.reconcile.creation import Creations
from modelyard.reconcile.outside import Outside
from modelyard.reconcile.questions import Answers
from modelyard.reconcile.serving import ServingObjects
from modelyard.reconcile.unreadable import Unreadable

ANCHOR_EVERY: Final = datetime.timedelta(seconds=10)
RENEWED: Final = datetime.timedelta(seconds=20)
"""How long after its last renewal a leader may still write; longer than a Lease lasts."""
AT_ONCE: Final = datetime.timedelta(milliseconds=200)
REFUSED_AGAIN: Final = datetime.timedelta(seconds=30)
CONFLICTS: Final = 5
"""Conflicts in a row that are normal; more are reported."""
LOST: Final = 2
"""Unanswered writes in one look, after which no more are tried: each may last until its timeout."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Past:
    """The ledger's head and index of one model."""

    head: appender.Head
    index: Index


@dataclasses.dataclass(slots=True)
class _Remembered:
    """What this process remembers of a model beyond the cache; losing it costs API calls, nothing else."""

    answers: dict[Question, Answer] = dataclasses.field(default_factory=dict)
    anchored: datetime.datetime | None = None
    """When the chain's head was last written to the Model's status."""
    past: _Past | None = None
    """The ledger's last answer: while the ledger is unavailable, rollbacks are decided from it."""
    older: bool | None = None
    """Whether the cluster's state was older than the ledger's when both were first compared."""
    looked: bool = False
    """The result of that comparison was acted on."""
    behind: bool = False
    """The Model was reported as Behind, and what it lacked is not restored yet."""
    place: missing.Memory = dataclasses.field(default_factory=missing.Memory)
    flaws: dict[str, finding.Unmet] = dataclasses.field(default_factory=dict)
    """Failures of the last look outside the stages; they are tried again."""
    conflicts: int = 0
    """Looks in a row that met a conflict."""
    failed: frozenset[tuple[str, str]] = frozenset()
    """Kind and name of the objects whose status could not be written in the last look."""
    met: bool = False
    """This look met a conflict."""

    @property
    def patient(self) -> bool:
        """Whether conflicts are not reported yet, as they are normal."""
        return self.conflicts <= CONFLICTS

    doubted: set[tuple[str, str, str]] = dataclasses.field(default_factory=set)
    """Approvals that appeared while the policies were not proven effective, until the ledger has them."""


class ModelReconciler:
    """Reconciles keys of the sort `model`."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._answers = Answers(outside)
        self._servings = ServingObjects(outside)
        self._creations = Creations(outside)
        self._models: dict[cache.Key, _Remembered] = {}
        self._orphans: dict[cache.Key, frozenset[str]] = {}
        self._unreadable = Unreadable(outside)
        self.unsettled_since: datetime.datetime | None = None
        """Up to when the cluster's own state is known to be complete: a restored backup lacks what the ledger has from later."""

    async def reconcile(self, key: cache.Key) -> datetime.timedelta | None:
        """Handle one key; when to look at it again.

        Raises:
            edge.Unavailable: something could not be done, and the objects that it concerns say so; try again with backoff.
            cluster.Conflict: something was changed meanwhile; try again.
        """
        remembered = self._models.setdefault(key, _Remembered())
        remembered.met = False
        undone: dict[tuple[str, str], troubles.Undone] = {}
        while True:
            try:
                delay, trouble = await self._look_at(key, remembered, undone)
                break
            except troubles.Undone as failure:  # decide once more, and leave its stages as they are
                undone[failure.place] = failure
                if sum(write.lost for write in undone.values()) > LOST:
                    raise await self._given_up(key, edge.Unavailable(failure.why.reason, failure.why.message)) from failure
            except Exception as error:
                remembered.met = remembered.met or isinstance(error, client.Conflict)
                if isinstance(error, client.Conflict) and remembered.patient:
                    raise
                raise await self._given_up(key, error) from error
            finally:
                remembered.conflicts = remembered.conflicts + 1 if remembered.met else 0
        remembered.failed = frozenset(undone)
        if trouble:
            raise trouble
        return delay

    async def _given_up(self, key: cache.Key, error: Exception) -> edge.Unavailable:
        """Report why nothing was decided: on the Model, and on promotions that nobody has looked at yet."""
        trouble = troubles.unavailable(f"the Model {key.name}", error, _called(key))
        why, now = finding.Unmet(trouble.reason, trouble.message), self._outside.clock()
        with troubles.suppressed(_called(key)):
            subject = self._outside.cache.model(key.namespace, key.name)
            if subject and (status := decide.unknown(subject, why, now)) != subject.status:
                await self._outside.write_status(client.MODEL, subject, status.dump())
                self._outside.post(decide.events(subject, status))
            for promotion in decide.unobserved_promotions(self._outside.cache.world(key.namespace, key.name).promotions):
                outcome = promotion_status.unknown(promotion, why)
                await self._outside.write_status(client.PROMOTION, promotion, promotion_status.status(outcome, now).dump())
        return trouble

    async def _look_at(
        self, key: cache.Key, remembered: _Remembered, undone: Mapping[tuple[str, str], troubles.Undone]
    ) -> tuple[datetime.timedelta | None, edge.Unavailable | None]:
        """Return when to look again, and the first failure that was reported."""
        failures = troubles.Failures(_called(key), patient=remembered.patient)
        world, trouble = await self._observed(key, remembered, undone)
        if await self._unreadable.block(world, failures):
            return None, _first(failures.flaws.values())  # the next write of the object triggers the next look
        if world.unrecorded and world.withheld is None:
            world, trouble = await self._caught_up(key, world, remembered, undone)
        self._report_orphans(key, world)
        if world.model is None and not world.promotions and (world.past is None or world.past.deleted or world.past.uid is None):
            self._models.pop(key, None)
            self._servings.forget(key)
            return None, None
        try:
            explained = await missing.explained(self._outside, world, remembered.place)
        except Exception as error:
            trouble = trouble or troubles.unavailable("what is missing", error, _called(key))
            explained = _withheld(world, trouble)
        if explained is None:
            return missing.AGAIN, None
        world = await self._servings.look(key, await self._guarded(explained, remembered))
        world, plan, ledger_status, unrecorded_trouble = await self._written_ahead(key, world)
        trouble = unrecorded_trouble or trouble
        if world.model and ledger_status:
            # Written ahead as well: if this process dies, what it does next must not be forgotten.
            status = world.model.status.model_copy(update={"ledger": ledger_status})
            await self._outside.write_status(client.MODEL, world.model, status.dump())
            return AT_ONCE, None
        for why in plan.unforeseen:
            troubles.trace(why, _called(key))
        # A good answer is valid until the question changes; a bad one may be fixed elsewhere, so the question is asked again.
        questions = decide.dry_runs(world)
        answers = {question: world.answers.get(question) for question in questions}
        remembered.answers = {question: None for question, answer in answers.items() if answer is None}
        await self._act(key, world, plan, failures, undone)
        remembered.met = remembered.met or failures.conflict is not None
        if failures.flaws != remembered.flaws:
            remembered.flaws = failures.flaws
            self._outside.enqueue([key])
        tried = [*plan.unforeseen, *self._servings.unserved(key).values(), *(answer for answer in answers.values())]
        later = [
            *(failure.why for failure in undone.values()),
            *failures.flaws.values(),
            *(result for result in tried if isinstance(result, finding.Unmet)),
        ]
        if failures.conflict and not (later or trouble):
            raise failures.conflict
        if not (trouble or failures.flaws or undone):
            remembered.looked, remembered.behind = True, recovery.is_behind(world)
        broken = self._servings.refused(key) or len(remembered.answers) < len(questions)
        delay = REFUSED_AGAIN if broken and (plan.again is None or plan.again > REFUSED_AGAIN) else plan.again
        return delay, trouble or _first(later)

    async def _written_ahead(self, key: cache.Key, world: World) -> tuple[World, decide.Plan, LedgerStatus | None, edge.Unavailable | None]:
        """Return the plan once its ledger entries are written; while the ledger is unavailable: the plan's safe part, and the ledger status that keeps its entries."""
        trouble: edge.Unavailable | None = None
        while True:
            world, plan = await self._decided(world)
            try:
                if world.withheld is None:
                    return world, await self._recorded(key, world, plan), None, trouble
                return world, plan, await self._with_unrecorded(world, plan) if world.model else None, trouble
            except unforeseen.PromotionNotRecordable as failure:
                troubles.trace(failure.why, _called(key))
                why = dataclasses.replace(failure.why, error=None)
                world = dataclasses.replace(
                    world, broken={**world.broken, failure.stage: why}, unrecordable=world.unrecordable | {failure.name}
                )
            except Exception as error:
                if world.withheld:
                    raise
                trouble = troubles.unavailable("the record", error, _called(key))
                world = _withheld(world, trouble)

    async def _observed(
        self, key: cache.Key, remembered: _Remembered, undone: Mapping[tuple[str, str], troubles.Undone]
    ) -> tuple[World, edge.Unavailable | None]:
        """Return the world of one model as far as it is known, and the trouble when the ledger does not answer."""
        past, trouble = await self._past_of(key)
        past = remembered.past = past or remembered.past
        cached = self._outside.cache.world(key.namespace, key.name)
        refusal = location.refuse_operator_bucket(cached.model.spec.storage.uri, self._outside.config.bucket.uri) if cached.model else None
        world = dataclasses.replace(
            cached,
            answers=dict(remembered.answers),
            refused=self._servings.refused(key),
            unserved=self._servings.unserved(key),
            broken={stage: failure.why for failure in undone.values() for stage in failure.stages},
            flaws=(*remembered.flaws.values(), *(failure.why for failure in undone.values() if not failure.stages)),
            storage=finding.Finding(refusal.reason, refusal.message) if refusal else None,
        )
        if past is None:
            world = _withheld(world, trouble)
        else:
            if remembered.older is None:  # after our own next record this could not be seen any more
                remembered.older = self._is_older(past.head)
            # Until the comparison was acted on, it is the first look: a write that failed must not make an old state look new.
            first = not remembered.looked
            world = world.with_ledger(past.index, past.head.sequence, past.head.state, self._outside.book.gaps())
            world = dataclasses.replace(world, first=first, older=first and remembered.older)
            if behind := recovery.behind_finding(world):
                world, remembered.behind = dataclasses.replace(world, withheld=behind), True
            elif remembered.behind or recovery.status_says_behind(world.model):
                world = dataclasses.replace(world, older=True)
            world = world if behind or trouble is None else _withheld(world, trouble)
        return world, trouble

    async def _caught_up(
        self, key: cache.Key, world: World, remembered: _Remembered, undone: Mapping[tuple[str, str], troubles.Undone]
    ) -> tuple[World, edge.Unavailable | None]:
        """Record the entries that wait in `status.ledger.unrecorded`, and observe again: the next decision counts them."""
        try:
            await self._append(key, world, model.waiting(world, self._outside.clock()))
        except Exception as error:
            trouble = troubles.unavailable("the record", error, _called(key))
            return _withheld(world, trouble), trouble
        return await self._observed(key, remembered, undone)

    def _report_orphans(self, key: cache.Key, world: World) -> None:
        """Report once every Deployment or Service that belongs to no Model, and leave it alone; a lost Model is restored instead."""
        before = self._orphans.pop(key, frozenset())
        if (
            world.model is not None
            or world.withheld
            or recovery.lost_objects(world)
            or not (stages := frozenset({*world.deployments, *world.services}))
        ):
            return
        self._orphans[key] = stages
        events = []
        for name in sorted(stages - before):
            called = f"{world.name}-{name}"
            for kind in (client.DEPLOYMENT, client.SERVICE):
                if observed := self._outside.cache.serving_object(kind, world.namespace, world.name, called):
                    message = f"{called} serves and belongs to no Model {world.name}: apply that Model again, or delete the Deployment and the Service"
                    orphaned = finding.Finding(Reason.ORPHANED, message)
                    events.append(finding.Event(kind.name, world.namespace, called, observed.uid or "", orphaned, warning=True))
                    break
        self._outside.log(events)
        self._outside.post(events)

    @property
    def settled(self) -> bool:
        """Whether every model so far was compared with its ledger; a chain that a person must accept, or an unreadable object, is not waited for."""
        ledger = self._outside.book
        return all(
            remembered.looked
            or ledger.tampered(ledger.chain(key.namespace, key.name))
            or self._outside.cache.unread(key.namespace, key.name)
            for key, remembered in self._models.items()
        )

    def resync(self) -> None:
        """Forget what was applied: compare everything with the cluster again."""
        self._servings.resync()

    async def _decided(self, world: World) -> tuple[World, decide.Plan]:
        """Return the plan once all its questions are answered."""
        while (plan := decide.decide(world, self._outside.clock())).ask:
            answers = {question: await self._answers.to(world, question) for question in plan.ask}
            for question, answer in answers.items():
                if isinstance(question, Recorded) and isinstance(answer, finding.Unmet):
                    raise edge.Unavailable(answer.reason, answer.message)  # a stage is restored only once its recorded template is known
            world = dataclasses.replace(world, answers={**world.answers, **answers})
        return world, plan

    def _is_older(self, head: appender.Head) -> bool:
        """Whether another leader wrote to the ledger after the latest renewal that this cluster remembers.

        A cluster without a Lease remembers no renewal: it is new, or it lost its whole state.
        """
        record = head.record
        if record is None or self._outside.book.term is None or record.term >= self._outside.book.term:
            return False
        return self.unsettled_since is None or record.time > self.unsettled_since + RENEWED

    async def _past_of(self, key: cache.Key) -> tuple[_Past | None, edge.Unavailable | None]:
        """Return what the ledger has of a model, or why it is unknown."""
        cached = self._outside.cache.model(key.namespace, key.name)
        anchor = cached.status.ledger if cached else None
        chain = self._outside.book.chain(key.namespace, key.name)
        try:
            head = await self._outside.book.load(chain, integrity.Anchor(anchor.sequence, anchor.head) if anchor and anchor.head else None)
        except Exception as error:
            return None, troubles.unavailable("the record", error, _called(key))
        return _Past(head, self._outside.book.index(chain)), None

    async def _guarded(self, world: World, remembered: _Remembered) -> World:
        """Add to the world the approvals that do not count: they appeared while the policies were not proven effective."""
        fresh, doubted = set(), set()
        for promotion in world.promotions:
            if promotion.status.phase and promotion.status.phase.is_terminal:
                continue
            recorded = approvals.recorded(world, promotion)
            for approval in promotion.spec.approvals or []:
                record = recorded.get((approval.user, approval.gate))
                entry = (promotion.metadata.uid, approval.user, approval.gate)
                if record is None or not record.means(approval):
                    fresh.add(entry)
                elif not record.certain:
                    doubted.add(entry)
        try:
            unguarded = await self._outside.guard.prove() if fresh else self._outside.guard.held
        except Exception as error:
            unguarded = troubles.explained("the admission policies", error, f"Model/{world.namespace}/{world.name}")
        policies_missing = unguarded is not None and unguarded.reason == Reason.POLICIES_MISSING
        remembered.doubted = fresh if policies_missing else fresh & remembered.doubted
        return dataclasses.replace(
            world,
            unguarded=unguarded,
            doubted=frozenset(doubted | remembered.doubted),
            untried=frozenset(fresh if unguarded and not policies_missing else ()),
        )

    async def _recorded(self, key: cache.Key, world: World, plan: decide.Plan) -> decide.Plan:
        """Write the plan's ledger entries ahead; return the plan with the new anchor in the Model's status."""
        recording = model.entries(world, plan, self._outside.clock())
        head = await self._append(key, world, recording)
        if world.model:
            self._outside.cache.recorded(world.model)
        for promotion in world.promotions:
            self._outside.cache.recorded(promotion)
        return self._anchored(key, world, plan, head)

    async def _append(self, key: cache.Key, world: World, recording: model.Recording) -> appender.Head:
        await self._outside.prover.catch_up()
        for blob in recording.blobs:
            await self._outside.prover.keep_blob(blob)
        ledger, chain = self._outside.book, self._outside.book.chain(key.namespace, key.name)
        news = recording.facts or recording.state != world.state
        return await ledger.append(chain, recording.facts, recording.state, recording.seen) if news else await ledger.load(chain)

    async def _with_unrecorded(self, world: World, plan: decide.Plan) -> LedgerStatus | None:
        """Return the ledger status that keeps entries until the ledger answers: safe actions that are done, and observations; None: nothing to add."""
        recording = model.entries(world, plan, self._outside.clock())
        previous = (world.model.status.ledger if world.model else None) or LedgerStatus()
        unrecorded = outbox.store(previous.unrecorded, [fact for fact in recording.facts if fact.action in model.PENDING_ACTIONS])
        if unrecorded == (previous.unrecorded or []):
            return None
        for blob in recording.blobs:  # their content may have changed when the ledger answers
            await self._outside.prover.keep_blob_late(blob)
        return previous.model_copy(update={"unrecorded": unrecorded})

    def _anchored(self, key: cache.Key, world: World, plan: decide.Plan, head: appender.Head) -> decide.Plan:
        """Write the chain's head to the Model's status; at most every ten seconds if nothing else changes."""
        if world.model is None:
            return plan
        previous = world.model.status.ledger
        anchor = LedgerStatus(sequence=head.sequence, head=head.digest)
        if previous == anchor:
            return plan
        remembered, now = self._models[key], self._outside.clock()
        due = remembered.anchored + ANCHOR_EVERY if remembered.anchored else now
        if plan.status is None and due > now and not (previous and previous.unrecorded):
            return dataclasses.replace(plan, again=min(plan.again or due - now, due - now))
        remembered.anchored = now
        status = (plan.status or world.model.status).model_copy(update={"ledger": anchor})
        return dataclasses.replace(plan, status=status)

    async def _act(
        self,
        key: cache.Key,
        world: World,
        plan: decide.Plan,
        failures: troubles.Failures,
        undone: Mapping[tuple[str, str], troubles.Undone],
    ) -> None:
        """Carry out a plan in an order that a crash may interrupt anywhere; after the Model's status, each failure is collected and the rest goes on."""
        self._outside.fence()
        self._outside.log(plan.events)
        gained = {version: claims.new_stages(world.versions[version], claimed) for version, claimed in plan.claims.items()}
        for version, stages in gained.items():
            if stages:  # before its first pod
                await self._write(key, *_claims(world, plan, version), stages, undone)
        by_name = {promotion.metadata.name: promotion for promotion in world.promotions}
        # What failed in the last look comes first, else writes before it would be undone each time. Promotions that succeed come last.
        failed = self._models[key].failed
        ends = sorted(
            plan.promotions.items(), key=lambda item: (("Promotion", item[0]) not in failed, item[1].phase == api.Phase.SUCCEEDED)
        )
        for name, status in ends:
            stages = decide.depends_on(world, plan, by_name[name])
            await self._write(key, client.PROMOTION, by_name[name], status.dump(), stages, undone)
        if plan.status and world.model:
            await self._outside.write_status(client.MODEL, world.model, plan.status.dump())
        for version in (version for version, stages in gained.items() if not stages):
            with failures.collect(f"the status of the ModelVersion {world.versions[version].metadata.name}"):
                await self._outside.write_status(*_claims(world, plan, version))
        await self._servings.bring(key, world, plan, failures)
        for lost in plan.restore:
            with failures.collect(f"the {lost.kind} {lost.name} that was lost"):
                await self._creations.restore(world, lost)
        for name, version in plan.create:
            with failures.collect(f"autoPromote of {version} to {name}"):
                await self._creations.promotion(world, name, version)
        self._outside.post(plan.events)
        with failures.collect("old lists of files"):
            await self._servings.tidy(key, world, plan)

    async def _write(
        self,
        key: cache.Key,
        kind: client.Kind,
        subject: api.Resource,
        status: Mapping[str, Any],
        stages: Collection[str],
        undone: Mapping[tuple[str, str], troubles.Undone],
    ) -> None:
        """Write a status that the Model's status depends on.

        Raises:
            troubles.Undone: it cannot be written now. A write that failed is not tried again in the same look.
            cluster.Conflict: the object was changed meanwhile.
        """
        place = kind.name, subject.metadata.name
        if place in undone:
            return
        try:
            await self._outside.write_status(kind, subject, status)
        except Exception as error:
            self._models[key].met = self._models[key].met or isinstance(error, client.Conflict)
            if isinstance(error, client.Conflict) and self._models[key].patient:
                raise
            why = troubles.explained(f"the status of the {kind.name} {subject.metadata.name}", error, _called(key))
            raise troubles.Undone(place, stages, why, lost=isinstance(error, edge.Unavailable)) from error


def _withheld(world: World, trouble: edge.Unavailable | None) -> World:
    """Return the world with the reason why nothing may be decided."""
    assert trouble is not None
    waits = finding.Waits.FOR_A_PERSON if isinstance(trouble, appender.Tampered) else finding.Waits.BY_ITSELF
    return world.without_ledger(finding.Unmet(trouble.reason, trouble.message, waits))


def _claims(world: World, plan: decide.Plan, version: str) -> tuple[client.Kind, api.ModelVersion, dict[str, Any]]:
    """Return the kind, object and status of a version, with the stages that run it."""
    subject = world.versions[version]
    return client.MODEL_VERSION, subject, subject.status.model_copy(update={"stages": list(plan.claims[version]) or None}).dump()


def _called(key: cache.Key) -> str:
    """Return the Model's name in log lines."""
    return f"Model/{key.namespace}/{key.name}"


def _first(flaws: Iterable[finding.Unmet]) -> edge.Unavailable | None:
    """Return the first flaw as an exception, for a retry with backoff."""
    first = next(iter(flaws), None)
    return edge.Unavailable(first.reason, first.message) if first else None
