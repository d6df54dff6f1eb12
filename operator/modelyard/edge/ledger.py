"""The appender: one per model, in the leader. What it writes is there once, in order, and never written over.

A record is created, never put: so of two operators that believe they lead, one learns that it does not. An answer that was lost is found
out by reading the number again: what holds our facts is ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import pathlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ed25519

from modelyard import edge, settings
from modelyard.api.reason import Reason
from modelyard.edge import blobs, owner, queued, store, tail
from modelyard.plan import checkpoint, codec, fold, index, inspection, ledger, proof, serves, watched
from modelyard.plan.ledger import Action, Actor, Chain, Fact, StageState

SNAPSHOT: Final = 256
"""Records between two snapshots of the index."""


class Tampered(edge.Unavailable):
    """A chain is not what it was. Nothing is appended to it until a person has looked and accepted it, which is recorded."""

    def __init__(self, chain: Chain, flaws: Sequence[proof.Flaw]) -> None:
        more = f" (and {len(flaws) - 1} more)" if len(flaws) > 1 else ""
        name = chain.model if chain.model == ledger.OPERATOR else f"{chain.namespace}/{chain.model}"
        remedy = f"look with `modelyard ledger verify {name}`, and accept it with `modelyard ledger accept {name}`"
        super().__init__(Reason.LEDGER_TAMPERED, f"the ledger of {name} is not what it was: {flaws[0].sentence}{more}; {remedy}")
        self.chain = chain
        self.flaws = tuple(flaws)


@dataclasses.dataclass(frozen=True, slots=True)
class Head:
    """The last record of a chain; of an empty one: number 0 and no record."""

    sequence: int = 0
    digest: str | None = None
    record: ledger.Record | None = None

    @property
    def state(self) -> tuple[StageState, ...]:
        """What each stage serves."""
        return self.record.state if self.record else ()


@dataclasses.dataclass(slots=True)
class _Kept:
    """What is remembered of a chain."""

    head: Head = dataclasses.field(default_factory=Head)
    index: index.Index = dataclasses.field(default_factory=index.Index)
    loaded: bool = False
    tampered: Tampered | None = None
    lock: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)
    queue: queued.Queue = dataclasses.field(default_factory=queued.Queue)

    def is_known(self, anchors: Iterable[proof.Anchor]) -> bool:
        """Whether it was read, is whole, and none of the anchors says anything newer."""
        at = self.head.sequence, self.head.digest
        return self.loaded and self.tampered is None and all(one.sequence < at[0] or (one.sequence, one.head) == at for one in anchors)

    def add(self, record: ledger.Record, data: bytes) -> None:
        """One more record."""
        self.head = Head(record.sequence, codec.named(data), record)
        fold.add(self.index, record)


class Ledger:
    """The chains of one registry.

    Args:
        bucket: the operator's own store.
        where: its bucket and prefix.
        registry: name of the registry below `ledger/`.
        clock: the time in UTC.
        kept: blobs of the same bucket.
        anchors: what is known of chains from before, from the ConfigMap.
        fence: called right before each write, in a thread; raises edge.Unavailable when it is not sure that this operator leads.
        retain: mode (GOVERNANCE or COMPLIANCE) and duration of Object Lock, for a bucket that has it.
        snapshot_every: records between two snapshots of the index.
        key: signs checkpoints of heads that moved, when `sign` is called.
        threads: how many requests go on at once; 0: none of them in a thread, for tests that must be the same every time.
    """

    def __init__(
        self,
        bucket: store.Objects,
        where: inspection.Place,
        registry: str,
        clock: Callable[[], datetime.datetime],
        *,
        kept: blobs.Blobs | None = None,
        anchors: Mapping[Chain, proof.Anchor] | None = None,
        fence: Callable[[], None] = lambda: None,
        retain: tuple[str, datetime.timedelta] | None = None,
        snapshot_every: int = SNAPSHOT,
        key: ed25519.Ed25519PrivateKey | None = None,
        threads: int = 32,
    ) -> None:
        self.registry = registry
        self.term: int | None = None
        """The leadership that records are written under, from `begin`; None: the last record's, for a person's command."""
        self.reach = tail.Reach(bucket, where, kept, threads)
        self._clock = clock
        self._anchors = dict(anchors or {})
        self._fence = fence
        self._retain = retain
        self._snapshot_every = snapshot_every
        self._key = key
        self._signed: dict[Chain, tuple[int, datetime.datetime]] = {}
        self._chains: dict[Chain, _Kept] = {}
        self._taken: edge.Unavailable | None = None

    def close(self) -> None:
        """Nothing may be asked afterwards."""
        self.reach.close()

    def chain(self, namespace: str, model: str) -> Chain:
        """A model's chain."""
        return Chain(self.registry, namespace, model)

    @property
    def operators(self) -> Chain:
        """The chain of the installation: terms of leadership, takeovers."""
        return Chain(self.registry, "_", ledger.OPERATOR)

    # --- what is known

    async def load(self, chain: Chain, anchor: proof.Anchor | None = None) -> Head:
        """Finds the head of a chain and folds its index, both remembered; at once when they are, and the anchor says nothing newer.

        Raises:
            Tampered: the chain is not what the anchors or its own records say; remembered, so that nothing is appended.
            edge.Unavailable: the store does not answer.
        """
        kept, anchors = self._kept(chain), [anchor] if anchor else []
        if not kept.is_known(anchors):  # else there is no need to wait for a write that is under way
            async with kept.lock:
                await self._load(chain, kept, anchors)
        return kept.head

    def head(self, chain: Chain) -> Head | None:
        """The head as it was last seen or written; None when the chain was not loaded."""
        return kept.head if (kept := self._chains.get(chain)) and kept.loaded else None

    def index(self, chain: Chain) -> index.Index:
        """What the records up to the head fold to; to be read only. KeyError when the chain was not loaded."""
        return self._chains[chain].index

    def state(self, chain: Chain) -> tuple[StageState, ...]:
        """What each stage serves after the last record; KeyError when the chain was not loaded."""
        return self._chains[chain].head.state

    def gaps(self) -> tuple[watched.Gap, ...]:
        """When nobody watched, as far as the last terms tell; nothing before a term has begun."""
        kept = self._chains.get(self.operators)
        return tuple(watched.of_terms(kept.index.terms)) if kept and kept.index.terms else ()

    def tampered(self, chain: Chain) -> Tampered | None:
        """What is wrong with a chain, until it was accepted."""
        return kept.tampered if (kept := self._chains.get(chain)) else None

    def anchors(self) -> Mapping[Chain, proof.Anchor]:
        """What is known of every chain, to be kept outside the bucket; of one that was tampered with, what was known before."""
        heads = {chain: kept.head for chain, kept in self._chains.items() if kept.loaded and kept.tampered is None}
        return self._anchors | {chain: proof.Anchor(head.sequence, head.digest) for chain, head in heads.items() if head.digest}

    def remember(self, anchors: Mapping[Chain, proof.Anchor]) -> None:
        """What is known of chains from before, from the ConfigMaps; to be told before they are loaded."""
        self._anchors |= anchors

    async def chains(self) -> list[Chain]:
        """Every chain of the registry that has a record."""
        return await self.reach.run(self._chains_below)

    def _chains_below(self) -> list[Chain]:
        bucket, root = self.reach.where.bucket, f"{self.reach.where.key}ledger/{self.registry}/"
        below = (model for namespace in self.reach.store.folders(bucket, root) for model in self.reach.store.folders(bucket, namespace))
        return [self.chain(*folder.removeprefix(root).rstrip("/").split("/")) for folder in below]

    async def read(self, chain: Chain, sequence: int) -> ledger.Record | None:
        """One record; None when it is not there or was changed."""
        data = await self.reach.record(chain.key(sequence))
        with contextlib.suppress(ValueError):
            return codec.read(data) if data is not None else None
        return None

    # --- what is written

    async def append(
        self, chain: Chain, facts: Iterable[Fact], state: Iterable[StageState] | None = None, seen: datetime.datetime | None = None
    ) -> Head:
        """Records facts, once each, and what the stages serve from now on; the head behind them.

        Args:
            chain: whose.
            facts: in the order in which they happened.
            state: after them; None: as the facts leave it.
            seen: when the state was looked at.

        Nothing is written when every fact was recorded before (among the last `fold.RECENT`) and the state is the same. What comes while a
        write is under way goes together into the next record.

        Raises:
            Tampered: the chain is not what it was.
            edge.Unavailable: it is not known whether they were recorded: tell them again; or another operator leads.
            ValueError: a fact cannot be written.
        """
        item = queued.Item.of(facts, state, seen)
        kept = self._kept(chain)
        with kept.queue.waiting(item):
            async with kept.lock:
                if not kept.loaded:
                    await self._load(chain, kept, [])
                while not item.done:
                    await self._write_some(chain, kept)
        if item.trouble:
            raise item.trouble
        return kept.head

    async def accept(
        self, chain: Chain, actor: Actor, reason: str, anchors: Collection[proof.Anchor] = (), flaws: Iterable[proof.Flaw] = ()
    ) -> Head:
        """Records that a person knows what is wrong with a chain; from then on it goes on. Nothing is written when nothing is wrong.

        Args:
            chain: whose.
            actor: the person.
            reason: in their words.
            anchors: all that are known, in Model.status and in the ConfigMap.
            flaws: more than loading finds, from `archive.verify`.
        """
        kept = self._kept(chain)
        known = [flaw for flaw in flaws if not flaw.accepted]
        async with kept.lock:
            with contextlib.suppress(Tampered):
                await self._load(chain, kept, anchors)
            known = list(dict.fromkeys([*(kept.tampered.flaws if kept.tampered else ()), *known]))
            if known:
                await self._accept(chain, kept, actor, reason, known)
            return kept.head

    async def sign(self, every: datetime.timedelta) -> int:
        """Writes a signed checkpoint for each head that moved and has had none for so long; how many. Nothing without a key."""
        if self._key is None:
            return 0
        count = 0
        for chain, kept in list(self._chains.items()):
            head, now = kept.head, self._clock()
            sequence, when = self._signed.get(chain, (0, None))
            if kept.tampered or not kept.loaded or head.digest is None or head.sequence <= sequence or (when and now - when < every):
                continue
            await self._create(checkpoint.key(chain, head.sequence), checkpoint.sign(chain, head.sequence, head.digest, now, self._key))
            self._signed[chain] = head.sequence, now
            count += 1
        return count

    # --- whose registry it is, and who leads

    async def begin(self, holder: str, unobserved_since: datetime.datetime | None = None) -> int:
        """A term of leadership begins; its number, which every record of it carries. What was remembered of chains is read anew."""
        self._anchors = dict(self.anchors())
        self._chains.clear()
        chain, kept = self.operators, self._kept(self.operators)
        async with kept.lock:
            while True:
                await self._load(chain, kept, [])
                number = self.term = (kept.head.record.term if kept.head.record else 0) + 1
                since = codec.write_time(unobserved_since) if unobserved_since else None
                told = _term(Action.TERM_BEGAN, holder, number, {"unobservedSince": since})
                try:
                    if await self._write(chain, kept, [told], kept.head.state):
                        return number
                except edge.Unavailable as error:  # another one began first: ours is the term after it
                    if error.reason != Reason.NOT_LEADING or kept.head.record is None or kept.head.record.term < number:
                        raise

    async def end(self, holder: str) -> None:
        """The term ends as it should."""
        await self.append(self.operators, [_term(Action.TERM_ENDED, holder, self.term or 0, {})])

    async def prove(self) -> None:
        """Whether the store refuses to create what is there already, and keeps what it is told to keep.

        Raises:
            edge.Unavailable: it does not, and the ledger cannot be kept in it; or it does not answer.
        """
        if self._retain:
            await self.reach.run(lambda: owner.prove_lock(self.reach.store, self.reach.where))
        await self.reach.run(lambda: owner.prove(self.reach.store, self.reach.where, self.registry))

    async def claim(self, cluster: str) -> int:
        """The registry's epoch, if it belongs to this cluster (uid of the namespace kube-system) or to none yet.

        Raises:
            edge.Unavailable: RegistryTaken: it belongs to another one.
        """
        return await self.reach.run(lambda: owner.claim(self.reach.store, self.reach.where, self.registry, cluster))

    async def still_mine(self, cluster: str) -> None:
        """Whether the registry is still this cluster's. Once it is not, nothing is written any more.

        Raises:
            edge.Unavailable: RegistryTaken: another one took it over; or it is not known.
        """
        of, _ = await self.reach.run(lambda: owner.holder(self.reach.store, self.reach.where, self.registry))
        if of not in {None, cluster}:
            self._taken = owner.taken(self.reach.where, self.registry, str(of), cluster)
            raise self._taken

    async def take_over(self, cluster: str, actor: Actor = ledger.BY_OPERATOR) -> int:
        """From now on the registry belongs to this cluster, which is recorded before it is so; the new epoch."""
        before, epoch = await self.reach.run(lambda: owner.holder(self.reach.store, self.reach.where, self.registry))
        if before == cluster:
            return epoch
        subject = ledger.Subject("Registry", self.registry, self.registry, epoch + 1)
        detail = {"before": before, "after": cluster, "epoch": epoch + 1}
        await self.append(self.operators, [ledger.fact(Action.TAKEN_OVER, actor, subject, f"{epoch + 1} {cluster}", detail=detail)])
        await self.reach.run(lambda: owner.hand_over(self.reach.store, self.reach.where, self.registry, cluster, epoch + 1))
        return epoch + 1

    # --- inside; the chain's lock is held

    def _kept(self, chain: Chain) -> _Kept:
        if (kept := self._chains.get(chain)) is None:
            kept = self._chains[chain] = _Kept()
        return kept

    async def _load(self, chain: Chain, kept: _Kept, anchors: Collection[proof.Anchor]) -> None:
        if kept.is_known(anchors):
            return
        head = kept.head
        mine = [proof.Anchor(head.sequence, head.digest, "this operator")] if head.digest and kept.tampered is None else []
        known = [self._anchors[chain]] if chain in self._anchors else []
        found = await tail.read(self.reach, chain, [*mine, *known, *anchors])
        since = any(number > head.sequence for number in found.accepted.values())
        before = kept.tampered.flaws if kept.tampered and not since else ()
        wrong = proof.uncovered([*found.flaws, *before], found.accepted)
        kept.loaded, kept.index = True, found.index
        kept.head = Head(found.last.sequence, found.last.digest, found.record)
        kept.tampered = Tampered(chain, list(dict.fromkeys(wrong))) if wrong else None
        if kept.tampered:
            raise kept.tampered

    async def _write_some(self, chain: Chain, kept: _Kept) -> None:
        """The next record, with as much of what waits as it may hold; whoever waited for that is done."""
        batch = kept.queue.next(kept.index.recent)
        state = serves.after(kept.head.state, batch.facts) if batch.state is None else batch.state
        try:
            if kept.tampered:
                raise kept.tampered
            news = bool(batch.facts) or state != kept.head.state
            wrote = not news or await self._write(chain, kept, batch.facts, state, batch.seen)
        except Exception as error:
            kept.queue.fail(batch, error)
            raise
        kept.queue.settle(batch, kept.index.recent, kept.head.state, wrote=wrote)

    async def _write(
        self, chain: Chain, kept: _Kept, facts: Sequence[Fact], state: tuple[StageState, ...], seen: datetime.datetime | None = None
    ) -> bool:
        """One more record; False when somebody else has written that number: theirs is folded, and the caller looks again."""
        pointer = await self._snapshot(kept)
        record = self._record(chain, kept, facts, state, pointer, seen)
        data = codec.write(record)
        key = chain.key(record.sequence)
        try:
            created = await self._create(key, data) or (await self.reach.record(key) is None and await self._create(key, data))
            there = None if created else await self.reach.record(key)
        except edge.Unavailable:
            if (there := await self.reach.record(key)) is None:
                raise
            created = False
        if created or there == data:
            kept.add(record, data)
            return True
        if there is None:
            kept.tampered = Tampered(chain, _gone(chain, record.sequence))
            raise kept.tampered
        before = proof.Link(kept.head.sequence, kept.head.digest, kept.head.record) if kept.head.sequence else proof.NOTHING
        found, flaws = proof.join(chain, before, record.sequence, there)
        if flaws or found.record is None:
            kept.tampered = Tampered(chain, flaws)
            raise kept.tampered
        kept.add(found.record, there)
        self._deposed(found.record)
        return False

    async def _accept(self, chain: Chain, kept: _Kept, actor: Actor, reason: str, flaws: list[proof.Flaw]) -> None:
        while True:
            subject = ledger.Subject("Ledger", chain.model, chain.prefix, 0)
            detail = {"flaws": [flaw.detail for flaw in flaws], "reason": reason}
            told = ledger.fact(Action.ACCEPTED, actor, subject, f"{kept.head.sequence}/{kept.head.digest}", detail=detail)
            record = self._record(chain, kept, [told], kept.head.state, None)
            data = codec.write(record)
            if await self._create(chain.key(record.sequence), data):
                break
            if await self.reach.record(chain.key(record.sequence)) is not None:
                kept.loaded = False
                message = f"{chain.key(record.sequence)} was written meanwhile: look again, and accept what is there then"
                raise edge.Unavailable(Reason.LEDGER_UNAVAILABLE, message)
            flaws += _gone(chain, record.sequence)
            kept.head = dataclasses.replace(kept.head, sequence=record.sequence)  # that number can never be written again
        kept.tampered = None
        self._anchors.pop(chain, None)
        kept.add(record, data)

    def _record(
        self,
        chain: Chain,
        kept: _Kept,
        facts: Sequence[Fact],
        state: tuple[StageState, ...],
        pointer: ledger.Pointer | None,
        seen: datetime.datetime | None = None,
    ) -> ledger.Record:
        last = kept.head.record
        if last:
            self._deposed(last)
        term = self.term if self.term is not None else last.term if last else 0
        made = ledger.follow(chain, last, kept.head.digest, facts, state, now=self._clock(), term=term, index=pointer, seen=seen)
        return dataclasses.replace(made, sequence=kept.head.sequence + 1)

    def _deposed(self, record: ledger.Record) -> None:
        if self.term is not None and record.term > self.term:
            where = record.chain.key(record.sequence)
            message = f"another operator leads: {where} was written in term {record.term}, and this operator's is {self.term}; it stops"
            raise edge.Unavailable(Reason.NOT_LEADING, message)

    async def _snapshot(self, kept: _Kept) -> ledger.Pointer | None:
        """The newest snapshot, made when it is time for one; an old one will do when it cannot be kept now."""
        before = kept.head.record.index if kept.head.record else None
        if kept.head.sequence - (before.sequence if before else 0) < self._snapshot_every:
            return before
        data, sequence = kept.index.dump(), kept.index.sequence
        with contextlib.suppress(edge.Unavailable):
            return ledger.Pointer(sequence, await self.reach.run(lambda: self.reach.blobs.keep(data)))
        return before

    async def _create(self, key: str, data: bytes) -> bool:
        where = self.reach.where
        until: dict[str, Any] = {}
        if self._retain:
            until["retain"] = store.Retention(self._retain[0], self._clock() + self._retain[1])

        def create() -> bool:
            self._fence()
            if self._taken:
                raise self._taken
            return self.reach.store.create(where.bucket, where.key + key, data, **until)

        return await self.reach.run(create)


def of(
    config: settings.Ledger,
    bucket: store.Objects,
    where: inspection.Place,
    clock: Callable[[], datetime.datetime],
    **more: Any,
) -> Ledger:
    """The ledger as an installation wants it; `more` is what `Ledger` takes besides. ValueError or OSError when the key cannot be read."""
    key = checkpoint.signer(pathlib.Path(config.key_file).read_bytes()) if config.key_file else None
    retain = (config.retention_mode, config.retention) if config.retention else None
    return Ledger(bucket, where, config.registry, clock, key=key, retain=retain, **more)


def _term(action: Action, holder: str, number: int, more: Mapping[str, Any]) -> Fact:
    subject = ledger.Subject("Operator", holder, holder, number)
    return ledger.fact(action, ledger.BY_OPERATOR, subject, detail={"holder": holder, "number": number, **more})


def _gone(chain: Chain, sequence: int) -> list[proof.Flaw]:
    sentence = f"{chain.key(sequence)} is missing, and the store refuses to create it: it was there and was deleted"
    return [proof.Flaw(kind, sequence, sentence) for kind in (proof.Kind.GONE, proof.Kind.HOLE)]
