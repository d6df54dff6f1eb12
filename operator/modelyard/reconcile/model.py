"""Everything else of one Model: its promotions, stages, serving objects and record, in one decision at a time."""

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
from modelyard.reconcile.serving import Servings
from modelyard.reconcile.unreadable import Unreadable

ANCHOR_EVERY: Final = datetime.timedelta(seconds=10)
RENEWED: Final = datetime.timedelta(seconds=20)
"""What a leader writes after a renewal that is the last one; more than a Lease lasts."""
AT_ONCE: Final = datetime.timedelta(milliseconds=200)
REFUSED_AGAIN: Final = datetime.timedelta(seconds=30)
CONFLICTS: Final = 5
"""In a row; more are trouble, and told as such."""
LOST: Final = 2
"""Writes that the API server does not answer in one look; more are not tried, as each may take its time."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Past:
    """What the ledger has of a model."""

    head: appender.Head
    index: Index


@dataclasses.dataclass(slots=True)
class _Remembered:
    """What this process knows of a model beyond the cache; losing it costs API calls, nothing else."""

    answers: dict[Question, Answer] = dataclasses.field(default_factory=dict)
    anchored: datetime.datetime | None = None
    """When the chain's end was last written to the Model's status."""
    past: _Past | None = None
    """What the ledger had when it last answered: while it does not, a rollback rests on that."""
    older: bool | None = None
    """Whether the cluster had it older than the ledger when they were first seen together."""
    looked: bool = False
    """What was found then was acted on."""
    behind: bool = False
    """It was held as Behind, and what it lacked has not been dealt with."""
    place: missing.Known = dataclasses.field(default_factory=missing.Known)
    flaws: dict[str, finding.Held] = dataclasses.field(default_factory=dict)
    """What could not be done beside the stages the last time, and is tried again."""
    conflicts: int = 0
    """Looks in a row that met something that was changed meanwhile."""
    failed: frozenset[tuple[str, str]] = frozenset()
    """Kind and name of what could not be written the last time."""
    met: bool = False
    """This look did."""

    @property
    def patient(self) -> bool:
        """Whether that is no trouble yet, as it happens."""
        return self.conflicts <= CONFLICTS

    doubted: set[tuple[str, str, str]] = dataclasses.field(default_factory=set)
    """Approvals that appeared while the policies were not proven effective, until the ledger has them."""


class Models:
    """Reconciles keys of the sort `model`."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._answers = Answers(outside)
        self._servings = Servings(outside)
        self._creations = Creations(outside)
        self._models: dict[cache.Key, _Remembered] = {}
        self._orphans: dict[cache.Key, frozenset[str]] = {}
        self._unreadable = Unreadable(outside)
        self.unsettled_since: datetime.datetime | None = None
        """Until when the cluster's own state is known to be whole: what the ledger has from later, a restored backup does not."""

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
                again, trouble = await self._look_at(key, remembered, undone)
                break
            except troubles.Undone as one:  # decided once more, with its stages as they are
                undone[one.place] = one
                if sum(other.lost for other in undone.values()) > LOST:
                    raise await self._given_up(key, edge.Unavailable(one.why.reason, one.why.message)) from one
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
        return again

    async def _given_up(self, key: cache.Key, error: Exception) -> edge.Unavailable:
        """Nothing was decided: the Model says why, and promotions that nobody has looked at yet."""
        trouble = troubles.unavailable(f"the Model {key.name}", error, _called(key))
        why, now = finding.Held(trouble.reason, trouble.message), self._outside.clock()
        with troubles.suppressed(_called(key)):
            subject = self._outside.cache.model(key.namespace, key.name)
            if subject and (status := decide.unknown(subject, why, now)) != subject.status:
                await self._outside.write_status(client.MODEL, subject, status.dump())
                self._outside.post(decide.events(subject, status))
            for one in decide.unseen(self._outside.cache.world(key.namespace, key.name).promotions):
                told = promotion_status.unknown(one, why)
                await self._outside.write_status(client.PROMOTION, one, promotion_status.status(told, now).dump())
        return trouble

    async def _look_at(
        self, key: cache.Key, remembered: _Remembered, undone: Mapping[tuple[str, str], troubles.Undone]
    ) -> tuple[datetime.timedelta | None, edge.Unavailable | None]:
        """When to look again; with the first of what could not be done and was told."""
        found = troubles.Found(_called(key), patient=remembered.patient)
        world, trouble = await self._observed(key, remembered, undone)
        if await self._unreadable.block(world, found):
            return None, _first(found.flaws.values())  # whoever writes it anew begins this again
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
        world, plan, kept, unrecorded_trouble = await self._written_ahead(key, world)
        trouble = unrecorded_trouble or trouble
        if world.model and kept:
            # Written ahead as well: what is done next must not be forgotten with whoever did it.
            status = world.model.status.model_copy(update={"ledger": kept})
            await self._outside.write_status(client.MODEL, world.model, status.dump())
            return AT_ONCE, None
        for why in plan.unforeseen:
            troubles.trace(why, _called(key))
        # A good answer holds until the question changes; a bad one may be mended elsewhere, so it is asked again.
        asked = decide.dry_runs(world)
        answers = {question: world.answers.get(question) for question in asked}
        remembered.answers = {question: None for question, answer in answers.items() if answer is None}
        await self._act(key, world, plan, found, undone)
        remembered.met = remembered.met or found.conflict is not None
        if found.flaws != remembered.flaws:
            remembered.flaws = found.flaws
            self._outside.enqueue([key])
        tried = [*plan.unforeseen, *self._servings.unserved(key).values(), *(answer for answer in answers.values())]
        later = [*(one.why for one in undone.values()), *found.flaws.values(), *(one for one in tried if isinstance(one, finding.Held))]
        if found.conflict and not (later or trouble):
            raise found.conflict
        if not (trouble or found.flaws or undone):
            remembered.looked, remembered.behind = True, recovery.is_behind(world)
        broken = self._servings.refused(key) or len(remembered.answers) < len(asked)
        again = REFUSED_AGAIN if broken and (plan.again is None or plan.again > REFUSED_AGAIN) else plan.again
        return again, trouble or _first(later)

    async def _written_ahead(self, key: cache.Key, world: World) -> tuple[World, decide.Plan, LedgerStatus | None, edge.Unavailable | None]:
        """The plan once the ledger has what it must have first; where it has not, what makes things safer, and what has to be kept of it."""
        trouble: edge.Unavailable | None = None
        while True:
            world, plan = await self._decided(world)
            try:
                if world.withheld is None:
                    return world, await self._recorded(key, world, plan), None, trouble
                return world, plan, await self._kept(world, plan) if world.model else None, trouble
            except unforeseen.OfPromotion as one:
                troubles.trace(one.why, _called(key))
                why = dataclasses.replace(one.why, error=None)
                world = dataclasses.replace(world, broken={**world.broken, one.stage: why}, unrecordable=world.unrecordable | {one.name})
            except Exception as error:
                if world.withheld:
                    raise
                trouble = troubles.unavailable("the record", error, _called(key))
                world = _withheld(world, trouble)

    async def _observed(
        self, key: cache.Key, remembered: _Remembered, undone: Mapping[tuple[str, str], troubles.Undone]
    ) -> tuple[World, edge.Unavailable | None]:
        """The world of one model as far as it is known; with the trouble when the ledger does not say what it has."""
        past, trouble = await self._past_of(key)
        past = remembered.past = past or remembered.past
        known = self._outside.cache.world(key.namespace, key.name)
        wrong = location.own(known.model.spec.storage.uri, self._outside.config.bucket.uri) if known.model else None
        world = dataclasses.replace(
            known,
            answers=dict(remembered.answers),
            refused=self._servings.refused(key),
            unserved=self._servings.unserved(key),
            broken={stage: one.why for one in undone.values() for stage in one.stages},
            flaws=(*remembered.flaws.values(), *(one.why for one in undone.values() if not one.stages)),
            storage=finding.Fact(wrong.reason, wrong.message) if wrong else None,
        )
        if past is None:
            world = _withheld(world, trouble)
        else:
            if remembered.older is None:  # our own next record would hide it
                remembered.older = self._is_older(past.head)
            # Until that was acted on, it is the first look: a write that failed must not make old look new.
            first = not remembered.looked
            world = world.with_ledger(past.index, past.head.sequence, past.head.state, self._outside.book.gaps())
            world = dataclasses.replace(world, first=first, older=first and remembered.older)
            if held := recovery.behind(world):
                world, remembered.behind = dataclasses.replace(world, withheld=held), True
            elif remembered.behind or recovery.was_behind(world.model):
                world = dataclasses.replace(world, older=True)
            world = world if held or trouble is None else _withheld(world, trouble)
        return world, trouble

    async def _caught_up(
        self, key: cache.Key, world: World, remembered: _Remembered, undone: Mapping[tuple[str, str], troubles.Undone]
    ) -> tuple[World, edge.Unavailable | None]:
        """The world once the ledger has what waited for it: what happened meanwhile counts in whatever is decided next."""
        try:
            await self._append(key, world, model.waiting(world, self._outside.clock()))
        except Exception as error:
            trouble = troubles.unavailable("the record", error, _called(key))
            return _withheld(world, trouble), trouble
        return await self._observed(key, remembered, undone)

    def _report_orphans(self, key: cache.Key, world: World) -> None:
        """What serves and belongs to no Model is told of once, and left alone; a Model that was lost is brought back instead."""
        before = self._orphans.pop(key, frozenset())
        if (
            world.model is not None
            or world.withheld
            or recovery.lost(world)
            or not (stages := frozenset({*world.deployments, *world.services}))
        ):
            return
        self._orphans[key] = stages
        events = []
        for name in sorted(stages - before):
            called = f"{world.name}-{name}"
            for kind in (client.DEPLOYMENT, client.SERVICE):
                if known := self._outside.cache.seen(kind, world.namespace, world.name, called):
                    told = f"{called} serves and belongs to no Model {world.name}: apply that Model again, or delete the Deployment and the Service"
                    said = finding.Fact(Reason.ORPHANED, told)
                    events.append(finding.Event(kind.name, world.namespace, called, known.uid or "", said, warning=True))
                    break
        self._outside.log(events)
        self._outside.post(events)

    @property
    def settled(self) -> bool:
        """Whether all that was looked at so far was seen together with what the ledger has; a chain that a person must accept, or an object that cannot be read, is no more to see."""
        book = self._outside.book
        return all(
            one.looked or book.tampered(book.chain(key.namespace, key.name)) or self._outside.cache.unread(key.namespace, key.name)
            for key, one in self._models.items()
        )

    def resync(self) -> None:
        """Forget what was applied: everything is compared with the cluster once more."""
        self._servings.resync()

    async def _decided(self, world: World) -> tuple[World, decide.Plan]:
        """The plan, once all that it asks is answered."""
        while (plan := decide.decide(world, self._outside.clock())).ask:
            answers = {question: await self._answers.to(world, question) for question in plan.ask}
            for question, answer in answers.items():
                if isinstance(question, Recorded) and isinstance(answer, finding.Held):
                    raise edge.Unavailable(answer.reason, answer.message)  # what a stage is brought back with must be known first
            world = dataclasses.replace(world, answers={**world.answers, **answers})
        return world, plan

    def _is_older(self, head: appender.Head) -> bool:
        """Whether the ledger went on after the latest renewal that this cluster remembers, under a leader that is not this one.

        A cluster without a Lease remembers nothing: it is new, or all it had was lost.
        """
        record = head.record
        if record is None or self._outside.book.term is None or record.term >= self._outside.book.term:
            return False
        return self.unsettled_since is None or record.time > self.unsettled_since + RENEWED

    async def _past_of(self, key: cache.Key) -> tuple[_Past | None, edge.Unavailable | None]:
        """What the ledger has of a model, or why that is not known."""
        known = self._outside.cache.model(key.namespace, key.name)
        anchor = known.status.ledger if known else None
        chain = self._outside.book.chain(key.namespace, key.name)
        try:
            head = await self._outside.book.load(chain, integrity.Anchor(anchor.sequence, anchor.head) if anchor and anchor.head else None)
        except Exception as error:
            return None, troubles.unavailable("the record", error, _called(key))
        return _Past(head, self._outside.book.index(chain)), None

    async def _guarded(self, world: World, remembered: _Remembered) -> World:
        """The world with the approvals that do not count, as the policies were not proven effective when they appeared."""
        fresh, doubted = set(), set()
        for one in world.promotions:
            if one.status.phase and one.status.phase.is_terminal:
                continue
            said = approvals.said(world, one)
            for word in one.spec.approvals or []:
                known = said.get((word.user, word.gate))
                entry = (one.metadata.uid, word.user, word.gate)
                if known is None or not known.means(word):
                    fresh.add(entry)
                elif not known.certain:
                    doubted.add(entry)
        try:
            held = await self._outside.guard.prove() if fresh else self._outside.guard.held
        except Exception as error:
            held = troubles.explained("the admission policies", error, f"Model/{world.namespace}/{world.name}")
        missing = held is not None and held.reason == Reason.POLICIES_MISSING
        remembered.doubted = fresh if missing else fresh & remembered.doubted
        return dataclasses.replace(
            world,
            unguarded=held,
            doubted=frozenset(doubted | remembered.doubted),
            untried=frozenset(fresh if held and not missing else ()),
        )

    async def _recorded(self, key: cache.Key, world: World, plan: decide.Plan) -> decide.Plan:
        """Write ahead what this plan does; the plan with the new anchor in the Model's status."""
        told = model.of(world, plan, self._outside.clock())
        head = await self._append(key, world, told)
        if world.model:
            self._outside.cache.recorded(world.model)
        for asked in world.promotions:
            self._outside.cache.recorded(asked)
        return self._anchored(key, world, plan, head)

    async def _append(self, key: cache.Key, world: World, told: model.Recording) -> appender.Head:
        await self._outside.prover.catch_up()
        for blob in told.blobs:
            await self._outside.prover.keep_blob(blob)
        book, chain = self._outside.book, self._outside.book.chain(key.namespace, key.name)
        news = told.facts or told.state != world.state
        return await book.append(chain, told.facts, told.state, told.seen) if news else await book.load(chain)

    async def _kept(self, world: World, plan: decide.Plan) -> LedgerStatus | None:
        """What the Model's status has to keep until the ledger answers: what makes things safer and is done, and what is seen; None: it does."""
        told = model.of(world, plan, self._outside.clock())
        was = (world.model.status.ledger if world.model else None) or LedgerStatus()
        kept = outbox.kept(was.unrecorded, [one for one in told.facts if one.action in model.KEPT])
        if kept == (was.unrecorded or []):
            return None
        for blob in told.blobs:  # what they are then may be something else when the ledger answers
            await self._outside.prover.keep_blob_late(blob)
        return was.model_copy(update={"unrecorded": kept})

    def _anchored(self, key: cache.Key, world: World, plan: decide.Plan, head: appender.Head) -> decide.Plan:
        """The chain's end is kept in the Model's status, at most every ten seconds for its own sake."""
        if world.model is None:
            return plan
        was = world.model.status.ledger
        anchor = LedgerStatus(sequence=head.sequence, head=head.digest)
        if was == anchor:
            return plan
        remembered, now = self._models[key], self._outside.clock()
        due = remembered.anchored + ANCHOR_EVERY if remembered.anchored else now
        if plan.status is None and due > now and not (was and was.unrecorded):
            return dataclasses.replace(plan, again=min(plan.again or due - now, due - now))
        remembered.anchored = now
        status = (plan.status or world.model.status).model_copy(update={"ledger": anchor})
        return dataclasses.replace(plan, status=status)

    async def _act(
        self,
        key: cache.Key,
        world: World,
        plan: decide.Plan,
        found: troubles.Found,
        undone: Mapping[tuple[str, str], troubles.Undone],
    ) -> None:
        """Carry out a plan, in the order that a crash may interrupt anywhere; what follows the Model's status is each for itself."""
        self._outside.fence()
        self._outside.log(plan.events)
        gained = {version: claims.gained(world.versions[version], said) for version, said in plan.claims.items()}
        for version, stages in gained.items():
            if stages:  # before its first pod
                await self._write(key, *_claims(world, plan, version), stages, undone)
        by_name = {one.metadata.name: one for one in world.promotions}
        # What failed the last time comes first: what is written before it would have to be taken back each time. What Succeeds comes last.
        failed = self._models[key].failed
        ends = sorted(plan.promotions.items(), key=lambda of: (("Promotion", of[0]) not in failed, of[1].phase == api.Phase.SUCCEEDED))
        for name, status in ends:
            stages = decide.depends_on(world, plan, by_name[name])
            await self._write(key, client.PROMOTION, by_name[name], status.dump(), stages, undone)
        if plan.status and world.model:
            await self._outside.write_status(client.MODEL, world.model, plan.status.dump())
        for version in (version for version, stages in gained.items() if not stages):
            with found.of(f"the status of the ModelVersion {world.versions[version].metadata.name}"):
                await self._outside.write_status(*_claims(world, plan, version))
        await self._servings.bring(key, world, plan, found)
        for lost in plan.restore:
            with found.of(f"the {lost.kind} {lost.name} that was lost"):
                await self._creations.restore(world, lost)
        for name, version in plan.create:
            with found.of(f"autoPromote of {version} to {name}"):
                await self._creations.promotion(world, name, version)
        self._outside.post(plan.events)
        with found.of("old lists of files"):
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
        """Write a status that the Model's builds on.

        Raises:
            troubles.Undone: it cannot be written now. What could not be written in this look is not tried again in it.
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
    """The world with the reason why nothing may be decided."""
    assert trouble is not None
    waits = finding.Waits.FOR_A_PERSON if isinstance(trouble, appender.Tampered) else finding.Waits.BY_ITSELF
    return world.without_ledger(finding.Held(trouble.reason, trouble.message, waits))


def _claims(world: World, plan: decide.Plan, version: str) -> tuple[client.Kind, api.ModelVersion, dict[str, Any]]:
    """The status of a version that says which stages run it."""
    subject = world.versions[version]
    return client.MODEL_VERSION, subject, subject.status.model_copy(update={"stages": list(plan.claims[version]) or None}).dump()


def _called(key: cache.Key) -> str:
    """The object, as log lines name it."""
    return f"Model/{key.namespace}/{key.name}"


def _first(those: Iterable[finding.Held]) -> edge.Unavailable | None:
    """The first of what is tried again with backoff."""
    first = next(iter(those), None)
    return edge.Unavailable(first.reason, first.message) if first else None
