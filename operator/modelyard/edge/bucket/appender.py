"""The appender of one chain. Each record is written once, in order, and never overwritten.

A record is created, never put: so of two operators that believe they lead, one learns that it does not. After a lost answer
the number is read again: a record with our facts is ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.content import digest
from modelyard.edge.bucket.batch import Item, Queue
from modelyard.edge.bucket.head import OwnBucket, read
from modelyard.edge.s3 import store
from modelyard.ledger import codec, fold, index, integrity, signature, traffic, trust
from modelyard.ledger.record import OPERATOR, Action, Actor, Chain, LedgerEntry, Pointer, Record, StageState, Subject, entry, follow


class Tampered(edge.Unavailable):
    """A chain was changed, or nothing proves who wrote it. Nothing is appended until a person has looked at it and accepted it, which is recorded."""

    def __init__(self, chain: Chain, flaws: Sequence[integrity.Flaw], *, proved: bool = True) -> None:
        more = f" (and {len(flaws) - 1} more)" if len(flaws) > 1 else ""
        name = chain.model if chain.model == OPERATOR else f"{chain.namespace}/{chain.model}"
        remedy = f"look with `modelyard ledger verify {name}`, and accept it with `modelyard ledger accept {name}`"
        unknown = not proved and all(flaw.kind == integrity.FlawKind.UNPROVEN for flaw in flaws)
        reason = Reason.LEDGER_UNPROVEN if unknown else Reason.LEDGER_TAMPERED
        what = "is signed by no key that this operator holds" if unknown else "is not what it was"
        super().__init__(reason, f"the ledger of {name} {what}: {flaws[0].sentence}{more}; {remedy}")
        self.chain = chain
        self.flaws = tuple(flaws)


@dataclasses.dataclass(frozen=True, slots=True)
class Head:
    """The last record of a chain; of an empty chain: number 0 and no record."""

    sequence: int = 0
    digest: str | None = None
    record: Record | None = None

    @property
    def state(self) -> tuple[StageState, ...]:
        """What each stage serves."""
        return self.record.state if self.record else ()


@dataclasses.dataclass(slots=True)
class Pen:
    """Everything that the appenders of a registry need for writing."""

    reach: OwnBucket
    clock: Callable[[], datetime.datetime]
    fence: Callable[[], None]
    """Called right before each write, in a thread; raises edge.Unavailable unless this operator surely leads."""
    retain: tuple[str, datetime.timedelta] | None
    """Mode and duration of Object Lock."""
    snapshot_every: int
    """Records between two snapshots of an index."""
    term: int | None = None
    """The term that records are written under; None: the last record's term, for a person's command."""
    key: ed25519.Ed25519PrivateKey | None = None
    """Signs every record; None: for readers, and for tests."""
    keys: signature.Keys | None = None
    """Public keys whose records are trusted; None: signatures are not checked."""
    takeover: edge.Unavailable | None = None
    """Why nothing may be written any more: another cluster owns the registry."""

    async def create(self, key: str, data: bytes) -> bool:
        """Create an object; return False when the key exists."""
        where = self.reach.where
        until: dict[str, Any] = {}
        if self.retain:
            until["retain"] = store.Retention(self.retain[0], self.clock() + self.retain[1])

        def create() -> bool:
            self.fence()
            if self.takeover:
                raise self.takeover
            return self.reach.store.create(where.bucket, where.key + key, data, **until)

        return await self.reach.run(create)


class Appender:
    """The state of one chain, and its only writer in this process. Callers of `read`, `write` and `accept` hold `lock`.

    Args:
        chain: which.
        pen: what it is written with.
        anchor: returns its head as noted outside the bucket.
    """

    def __init__(self, chain: Chain, pen: Pen, anchor: Callable[[], integrity.Anchor | None]) -> None:
        self.chain = chain
        self.head = Head()
        self.index = index.Index()
        self.loaded = False
        self.tampered: Tampered | None = None
        self.unproven: Record | None = None
        """The last record of a chain that ends with Unproven records."""
        self.lock = asyncio.Lock()
        self._pen = pen
        self._anchor = anchor
        self._queue = Queue()

    def is_known(self, anchors: Iterable[integrity.Anchor]) -> bool:
        """Whether the chain was read, is whole, and no anchor is newer than its head."""
        at = self.head.sequence, self.head.digest
        return (
            self.loaded
            and self.tampered is None
            and all(anchor.sequence < at[0] or (anchor.sequence, anchor.head) == at for anchor in anchors)
        )

    async def read(self, anchors: Collection[integrity.Anchor] = ()) -> None:
        """Find the head and fold the index, unless they are known.

        Raises:
            Tampered: the chain contradicts the anchors or its own records; remembered, so that nothing is appended.
            edge.Unavailable: the store does not answer.
        """
        if self.is_known(anchors):
            return
        head, noted = self.head, self._anchor()
        own_anchor = [integrity.Anchor(head.sequence, head.digest, "this operator")] if head.digest and self.tampered is None else []
        tail = await read(self._pen.reach, self.chain, [*own_anchor, *([noted] if noted else []), *anchors], self._pen.keys)
        since = any(number > head.sequence for number in tail.accepted.values())
        before = self.tampered.flaws if self.tampered and not since else ()
        open_flaws = integrity.uncovered([*tail.flaws, *before], tail.accepted)
        self.loaded, self.index, self.unproven = True, tail.index, tail.unproven
        self.head = Head(tail.last.sequence, tail.last.digest, tail.record)
        self.tampered = Tampered(self.chain, list(dict.fromkeys(open_flaws)), proved=tail.proved) if open_flaws else None
        if self.tampered:
            raise self.tampered

    async def append(self, item: Item) -> None:
        """Record one caller's item; items that arrive while a write is under way go together into the next record."""
        with self._queue.waiting(item):
            async with self.lock:
                if not self.loaded:
                    await self.read()
                while not item.done:
                    await self._write_some()
        if item.trouble:
            raise item.trouble

    async def write(
        self, facts: Sequence[LedgerEntry], state: tuple[StageState, ...], observed_at: datetime.datetime | None = None
    ) -> bool:
        """Write one record; return False when another writer has written that number: its record is folded, and the caller looks again."""
        record = self._record(facts, state, await self._snapshot(), observed_at)
        data = codec.write(record)
        key = self.chain.key(record.sequence)
        reach, create = self._pen.reach, self._pen.create
        try:
            created = await create(key, data) or (await reach.record(key) is None and await create(key, data))
            existing = None if created else await reach.record(key)
        except edge.Unavailable:
            if (existing := await reach.record(key)) is None:
                raise
            created = False
        if created or existing == data:
            self._add(record, data)
            return True
        if existing is None:
            self.tampered = Tampered(self.chain, _deleted(self.chain, record.sequence))
            raise self.tampered
        before = (
            integrity.Link(self.head.sequence, self.head.digest, self.head.record, self.head.record)
            if self.head.sequence
            else integrity.NOTHING
        )
        trusted = trust.Trust(self._pen.keys)
        link, flaws = integrity.check_link(self.chain, before, record.sequence, existing, trusted)
        if link.record and not trusted.add(link.record, link.digest or ""):
            flaws = [*flaws, *integrity.unproven(self.chain, trusted)]
        if flaws or link.record is None:
            self.tampered = Tampered(self.chain, flaws)
            raise self.tampered
        self._add(link.record, existing)
        self._deposed(link.record)
        return False

    async def accept(self, actor: Actor, reason: str, flaws: list[integrity.Flaw], *, believed: bool) -> None:
        """Record that a person accepts these flaws; `believed`: Unproven records count from now on, as if this operator had written them."""
        if believed and self.unproven:
            self.head = dataclasses.replace(self.head, record=self.unproven)
        while True:
            subject = Subject("Ledger", self.chain.model, self.chain.prefix, 0)
            detail: dict[str, Any] = {"flaws": [flaw.detail for flaw in flaws], "reason": reason}
            if any(flaw.kind == integrity.FlawKind.UNPROVEN for flaw in flaws):
                detail["believed"] = believed
            acceptance = entry(Action.ACCEPTED, actor, subject, f"{self.head.sequence}/{self.head.digest}", detail=detail)
            record = self._record([acceptance], self.head.state, None)
            data = codec.write(record)
            if await self._pen.create(self.chain.key(record.sequence), data):
                break
            if await self._pen.reach.record(self.chain.key(record.sequence)) is not None:
                self.loaded = False
                message = f"{self.chain.key(record.sequence)} was written meanwhile: look again, and accept what is there then"
                raise edge.Unavailable(Reason.LEDGER_UNAVAILABLE, message)
            flaws += _deleted(self.chain, record.sequence)
            self.head = dataclasses.replace(self.head, sequence=record.sequence)  # this number can never be written again
        self.tampered = self.unproven = None
        self.loaded = not believed  # believed records are folded when the chain is read again
        self._add(record, data)

    async def _write_some(self) -> None:
        """Write the next record with as many waiting facts as it may hold, and settle their items."""
        batch = self._queue.next(self.index.recent)
        state = traffic.after(self.head.state, batch.facts) if batch.state is None else batch.state
        try:
            if self.tampered:
                raise self.tampered
            news = bool(batch.facts) or state != self.head.state
            wrote = not news or await self.write(batch.facts, state, batch.observed_at)
        except Exception as error:
            self._queue.fail(batch, error)
            raise
        self._queue.settle(batch, self.index.recent, self.head.state, wrote=wrote)

    def _add(self, record: Record, data: bytes) -> None:
        self.head = Head(record.sequence, digest.named(data), record)
        fold.add(self.index, record)

    def _record(
        self,
        facts: Sequence[LedgerEntry],
        state: tuple[StageState, ...],
        pointer: Pointer | None,
        observed_at: datetime.datetime | None = None,
    ) -> Record:
        last = self.head.record
        if last:
            self._deposed(last)
        term = self._pen.term if self._pen.term is not None else last.term if last else 0
        unnumbered = follow(
            self.chain, last, self.head.digest, facts, state, now=self._pen.clock(), term=term, index=pointer, seen=observed_at
        )
        numbered = dataclasses.replace(unnumbered, sequence=self.head.sequence + 1)
        return signature.sign(numbered, self._pen.key) if self._pen.key else numbered

    def _deposed(self, record: Record) -> None:
        term = self._pen.term
        if term is not None and record.term > term:
            where = record.chain.key(record.sequence)
            message = f"another operator leads: {where} was written in term {record.term}, and this operator's is {term}; it stops"
            raise edge.Unavailable(Reason.NOT_LEADING, message)

    async def _snapshot(self) -> Pointer | None:
        """Return the newest snapshot, and write one when it is due; if it cannot be written now, return the old one."""
        before = self.head.record.index if self.head.record else None
        if self.head.sequence - (before.sequence if before else 0) < self._pen.snapshot_every:
            return before
        data, sequence, reach = self.index.dump(), self.index.sequence, self._pen.reach
        with contextlib.suppress(edge.Unavailable):
            return Pointer(sequence, await reach.run(lambda: reach.blobs.keep(data)))
        return before


def _deleted(chain: Chain, sequence: int) -> list[integrity.Flaw]:
    sentence = f"{chain.key(sequence)} is missing, and the store refuses to create it: it was there and was deleted"
    return [integrity.Flaw(kind, sequence, sentence) for kind in (integrity.FlawKind.GONE, integrity.FlawKind.HOLE)]
