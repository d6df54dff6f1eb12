"""Everything else of one Model: its promotions, stages, serving objects and record, in one decision at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from typing import Final

from modelyard import edge
from modelyard.api import model as model_api
from modelyard.api.reason import Reason
from modelyard.edge import appender, cache, cluster
from modelyard.plan import approvals, fact, index, model, proof, recording, restoring, unread, unrecorded
from modelyard.plan import world as seen
from modelyard.reconcile import missing
from modelyard.reconcile.answer import Answers
from modelyard.reconcile.create import Creations
from modelyard.reconcile.outside import Outside
from modelyard.reconcile.serve import Servings

ANCHOR_EVERY: Final = datetime.timedelta(seconds=10)
RENEWED: Final = datetime.timedelta(seconds=20)
"""What a leader writes after a renewal that is the last one; more than a Lease lasts."""
AT_ONCE: Final = datetime.timedelta(milliseconds=200)
REFUSED_AGAIN: Final = datetime.timedelta(seconds=30)


@dataclasses.dataclass(slots=True)
class _Remembered:
    """What this process knows of a model beyond the cache; losing it costs API calls, nothing else."""

    answers: dict[seen.Question, seen.Answer] = dataclasses.field(default_factory=dict)
    anchored: datetime.datetime | None = None
    """When the chain's end was last written to the Model's status."""
    older: bool | None = None
    """Whether the cluster had it older than the ledger when they were first seen together."""
    looked: bool = False
    """What was found then was acted on."""
    behind: bool = False
    """It was held as Behind, and what it lacked has not been dealt with."""
    place: missing.Known = dataclasses.field(default_factory=missing.Known)


class Models:
    """Reconciles keys of the sort `model`."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._answers = Answers(outside)
        self._servings = Servings(outside)
        self._creations = Creations(outside)
        self._models: dict[cache.Key, _Remembered] = {}
        self._orphans: dict[cache.Key, frozenset[str]] = {}
        self._said: set[tuple[str, str]] = set()
        """uid and resource version of what cannot be read and was told so."""
        self.unsettled_since: datetime.datetime | None = None
        """Until when the cluster's own state is known to be whole: what the ledger has from later, a restored backup does not."""

    async def reconcile(self, key: cache.Key) -> datetime.timedelta | None:
        """Handle one key; when to look at it again."""
        remembered = self._models.setdefault(key, _Remembered())
        world, trouble = await self._observed(key, remembered)
        if await self._unread(world):
            return None  # whoever writes it anew begins this again
        if world.unrecorded and world.withheld is None:
            world, trouble = await self._caught_up(key, world, remembered)
        self._report_orphans(key, world)
        if world.model is None and not world.promotions and (world.past is None or world.past.deleted or world.past.uid is None):
            self._models.pop(key, None)
            self._servings.forget(key)
            return None
        if (explained := await missing.explained(self._outside, world, remembered.place)) is None:
            return missing.AGAIN
        world = await self._guarded(explained)
        world, plan = await self._decided(world)
        if world.withheld is None:
            try:
                plan = await self._recorded(key, world, plan)
            except edge.Unavailable as unavailable:
                trouble = unavailable
                world, plan = await self._decided(_withheld(world, trouble))
        if world.withheld and world.model and (kept := await self._kept(world, plan)):
            # Written ahead as well: what is done next must not be forgotten with whoever did it.
            status = world.model.status.model_copy(update={"ledger": kept})
            await self._outside.write_status(cluster.MODEL, world.model, status.dump())
            return AT_ONCE
        # A good answer holds until the question changes; a bad one may be mended elsewhere, so it is asked again.
        asked = model.dry_runs(world)
        remembered.answers = {question: None for question in asked if world.answers[question] is None}
        await self._act(key, world, plan)
        if trouble:
            raise trouble
        remembered.looked, remembered.behind = True, restoring.is_behind(world)
        broken = self._servings.refused(key) or len(remembered.answers) < len(asked)
        return REFUSED_AGAIN if broken and (plan.again is None or plan.again > REFUSED_AGAIN) else plan.again

    async def _observed(self, key: cache.Key, remembered: _Remembered) -> tuple[seen.World, edge.Unavailable | None]:
        """The world of one model as far as it is known; with the trouble when the ledger does not say what it has."""
        past, trouble = await self._past_of(key)
        known = self._outside.cache.world(key.namespace, key.name)
        world = dataclasses.replace(known, answers=dict(remembered.answers), refused=self._servings.refused(key))
        if past is None:
            world = _withheld(world, trouble)
        else:
            if remembered.older is None:  # our own next record would hide it
                remembered.older = self._is_older(past.head)
            # Until that was acted on, it is the first look: a write that failed must not make old look new.
            first = not remembered.looked
            world = world.with_ledger(past.index, past.head.sequence, past.head.state, self._outside.book.gaps())
            world = dataclasses.replace(world, first=first, older=first and remembered.older)
            if held := restoring.behind(world):
                world, remembered.behind = dataclasses.replace(world, withheld=held), True
            elif remembered.behind or restoring.was_behind(world.model):
                world = dataclasses.replace(world, older=True)
        return world, trouble

    async def _caught_up(self, key: cache.Key, world: seen.World, remembered: _Remembered) -> tuple[seen.World, edge.Unavailable | None]:
        """The world once the ledger has what waited for it: what happened meanwhile counts in whatever is decided next."""
        try:
            await self._append(key, world, recording.waiting(world, self._outside.clock()))
        except edge.Unavailable as trouble:
            return _withheld(world, trouble), trouble
        return await self._observed(key, remembered)

    async def _unread(self, world: seen.World) -> bool:
        """Whether decisions wait for objects that cannot be read; these and the Model say so."""
        those = unread.blocking(world.unread, world.past)
        now = self._outside.clock()
        for one in world.unread:
            await self._say_unread(one, blocks=one in those)
        if those and world.model:
            was, generation = world.model.status, world.model.metadata.generation
            said = unread.settle(was.conditions, unread.told_to_model(those), generation, now)
            status = was.model_copy(update={"observed_generation": generation, "conditions": said})
            if status != was:
                await self._outside.write_status(cluster.MODEL, world.model, status.dump())
        return bool(those)

    async def _say_unread(self, one: unread.Unread, *, blocks: bool) -> None:
        status, about = unread.status(one, self._outside.clock(), blocks=blocks), one.subject.metadata
        if status == one.status or (about.uid, about.resource_version) in self._said:
            return
        event = fact.happened(one.subject, one.fact.reason, one.fact.message, warning=True)
        with contextlib.suppress(cluster.Refused):  # the API server cannot read it either: then the Event and the Model tell
            await self._outside.write_status(cluster.KINDS[one.kind], one.subject, status)
        self._said.add((about.uid, about.resource_version))
        self._outside.post((event,) if blocks else ())

    def _report_orphans(self, key: cache.Key, world: seen.World) -> None:
        """What serves and belongs to no Model is told of once, and left alone; a Model that was lost is brought back instead."""
        before = self._orphans.pop(key, frozenset())
        if (
            world.model is not None
            or world.withheld
            or restoring.lost(world)
            or not (stages := frozenset({*world.deployments, *world.services}))
        ):
            return
        self._orphans[key] = stages
        events = []
        for name in sorted(stages - before):
            called = f"{world.name}-{name}"
            for kind in (cluster.DEPLOYMENT, cluster.SERVICE):
                if known := self._outside.cache.seen(kind, world.namespace, world.name, called):
                    told = f"{called} serves and belongs to no Model {world.name}: apply that Model again, or delete the Deployment and the Service"
                    said = fact.Fact(Reason.ORPHANED, told)
                    events.append(fact.Event(kind.name, world.namespace, called, known.uid or "", said, warning=True))
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

    async def _decided(self, world: seen.World) -> tuple[seen.World, model.Plan]:
        """The plan, once all that it asks is answered."""
        while (plan := model.decide(world, self._outside.clock())).ask:
            answers = {question: await self._answers.to(world, question) for question in plan.ask}
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
            head = await self._outside.book.load(chain, proof.Anchor(anchor.sequence, anchor.head) if anchor and anchor.head else None)
        except edge.Unavailable as trouble:
            return None, trouble
        return _Past(head, self._outside.book.index(chain)), None

    async def _guarded(self, world: seen.World) -> seen.World:
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
        held = await self._outside.guard.prove() if fresh else self._outside.guard.held
        return dataclasses.replace(world, unguarded=held, doubted=frozenset(doubted | (fresh if held else set())))

    async def _recorded(self, key: cache.Key, world: seen.World, plan: model.Plan) -> model.Plan:
        """Write ahead what this plan does; the plan with the new anchor in the Model's status."""
        told = recording.of(world, plan, self._outside.clock())
        head = await self._append(key, world, told)
        if world.model:
            self._outside.cache.recorded(world.model)
        for promotion in world.promotions:
            self._outside.cache.recorded(promotion)
        return self._anchored(key, world, plan, head)

    async def _append(self, key: cache.Key, world: seen.World, told: recording.Recording) -> appender.Head:
        await self._outside.prover.catch_up()
        for blob in told.blobs:
            await self._outside.prover.keep_blob(blob)
        book, chain = self._outside.book, self._outside.book.chain(key.namespace, key.name)
        news = told.facts or told.state != world.state
        return await book.append(chain, told.facts, told.state, told.seen) if news else await book.load(chain)

    async def _kept(self, world: seen.World, plan: model.Plan) -> model_api.LedgerStatus | None:
        """What the Model's status has to keep until the ledger answers: what makes things safer and is done, and what is seen; None: it does."""
        told = recording.of(world, plan, self._outside.clock())
        was = (world.model.status.ledger if world.model else None) or model_api.LedgerStatus()
        kept = unrecorded.kept(was.unrecorded, [one for one in told.facts if one.action in recording.KEPT])
        if kept == (was.unrecorded or []):
            return None
        for blob in told.blobs:  # what they are then may be something else when the ledger answers
            await self._outside.prover.keep_blob_late(blob)
        return was.model_copy(update={"unrecorded": kept})

    def _anchored(self, key: cache.Key, world: seen.World, plan: model.Plan, head: appender.Head) -> model.Plan:
        """The chain's end is kept in the Model's status, at most every ten seconds for its own sake."""
        if world.model is None:
            return plan
        was = world.model.status.ledger
        anchor = model_api.LedgerStatus(sequence=head.sequence, head=head.digest)
        if was == anchor:
            return plan
        remembered, now = self._models[key], self._outside.clock()
        due = remembered.anchored + ANCHOR_EVERY if remembered.anchored else now
        if plan.status is None and due > now and not (was and was.unrecorded):
            return dataclasses.replace(plan, again=min(plan.again or due - now, due - now))
        remembered.anchored = now
        status = (plan.status or world.model.status).model_copy(update={"ledger": anchor})
        return dataclasses.replace(plan, status=status)

    async def _act(self, key: cache.Key, world: seen.World, plan: model.Plan) -> None:
        """Carry out a plan, in the order that a crash may interrupt anywhere."""
        self._outside.fence()
        self._outside.log(plan.events)
        for version, claims in plan.claims.items():
            subject = world.versions[version]
            status = subject.status.model_copy(update={"stages": list(claims) or None})
            await self._outside.write_status(cluster.MODEL_VERSION, subject, status.dump())
        by_name = {one.metadata.name: one for one in world.promotions}
        for name, promotion in plan.promotions.items():
            await self._outside.write_status(cluster.PROMOTION, by_name[name], promotion.dump())
        if plan.status and world.model:
            await self._outside.write_status(cluster.MODEL, world.model, plan.status.dump())
        await self._servings.bring(key, world, plan)
        for lost in plan.restore:
            await self._creations.restore(world, lost)
        for name, version in plan.create:
            await self._creations.promotion(world, name, version)
        self._outside.post(plan.events)
        await self._servings.tidy(key, world, plan)


@dataclasses.dataclass(frozen=True, slots=True)
class _Past:
    """What the ledger has of a model."""

    head: appender.Head
    index: index.Index


def _withheld(world: seen.World, trouble: edge.Unavailable | None) -> seen.World:
    """The world with the reason why nothing may be decided."""
    assert trouble is not None
    waits = fact.Waits.FOR_A_PERSON if isinstance(trouble, appender.Tampered) else fact.Waits.BY_ITSELF
    return world.without_ledger(fact.Held(trouble.reason, trouble.message, waits))
