"""The chains of one registry: one appender for each model, in the leader; whose registry it is, and who leads."""

from __future__ import annotations

import contextlib
import datetime
import pathlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ed25519

from modelyard import edge, settings
from modelyard.api.reason import Reason
from modelyard.content import location
from modelyard.edge.bucket import appender, batch, blobs, keyring, ownership
from modelyard.edge.bucket.head import OwnBucket
from modelyard.edge.s3 import store
from modelyard.ledger import checkpoint, codec, coverage, index, integrity, record, signature
from modelyard.ledger.record import Action, Actor, Chain, LedgerEntry, StageState

SNAPSHOT: Final = 256
"""Records between two snapshots of the index."""


class Ledger:
    """The chains of one registry.

    Args:
        bucket: the operator's own store.
        where: its bucket and prefix.
        registry: name of the registry below `ledger/`.
        clock: the time in UTC.
        kept: blobs of the same bucket.
        anchors: heads of chains from earlier, from the ConfigMap.
        fence: called right before each write, in a thread; raises edge.Unavailable unless this operator surely leads.
        retain: mode (GOVERNANCE or COMPLIANCE) and duration of Object Lock, for a bucket that has it.
        snapshot_every: records between two snapshots of the index.
        key: signs every record, and checkpoints of heads that moved when `sign` is called; None: nothing is signed, and no signature is checked.
        trusted: further public keys whose records are trusted: those of earlier operators.
        threads: the most requests at once; 0: no threads, for tests that must be deterministic.
    """

    def __init__(
        self,
        bucket: store.Objects,
        where: location.Place,
        registry: str,
        clock: Callable[[], datetime.datetime],
        *,
        kept: blobs.Blobs | None = None,
        anchors: Mapping[Chain, integrity.Anchor] | None = None,
        fence: Callable[[], None] = lambda: None,
        retain: tuple[str, datetime.timedelta] | None = None,
        snapshot_every: int = SNAPSHOT,
        key: ed25519.Ed25519PrivateKey | None = None,
        trusted: Iterable[signature.Key] = (),
        threads: int = 32,
    ) -> None:
        self.registry = registry
        self.reach = OwnBucket(bucket, where, kept, threads)
        self._pen = appender.Pen(self.reach, clock, fence, retain, snapshot_every)
        self._anchors = dict(anchors or {})
        if key:
            self.use(key, trusted)
        self._signed: dict[Chain, tuple[int, datetime.datetime]] = {}
        self._chains: dict[Chain, appender.Appender] = {}

    def use(self, key: ed25519.Ed25519PrivateKey, trusted: Iterable[signature.Key] = ()) -> bool:
        """Sign with this key from now on, and trust only records that it or one of `trusted` signed; return whether the keys changed."""
        keys = signature.by_id([key.public_key(), *trusted])
        news = self._pen.keys is None or keys.keys() != self._pen.keys.keys()
        self._pen.key, self._pen.keys = key, keys
        return news

    @property
    def key(self) -> ed25519.Ed25519PrivateKey | None:
        """The signing key."""
        return self._pen.key

    @property
    def keys(self) -> list[signature.Key]:
        """The public keys that are trusted, the operator's own first."""
        return list((self._pen.keys or {}).values())

    @property
    def term(self) -> int | None:
        """The term that records are written under, from `begin`; None: the last record's term, for a person's command."""
        return self._pen.term

    @term.setter
    def term(self, number: int) -> None:
        self._pen.term = number

    def close(self) -> None:
        """Close; make no request afterwards."""
        self.reach.close()

    def chain(self, namespace: str, model: str) -> Chain:
        """Return a model's chain."""
        return Chain(self.registry, namespace, model)

    @property
    def operators(self) -> Chain:
        """The chain of the installation: terms of leadership, takeovers."""
        return Chain(self.registry, "_", record.OPERATOR)

    # --- what is known

    async def load(self, chain: Chain, anchor: integrity.Anchor | None = None) -> appender.Head:
        """Find the head of a chain and fold its index, and remember both; return at once when they are known and the anchor is not newer.

        Raises:
            Tampered: the chain is not what the anchors or its own records say; remembered, so that nothing is appended.
            edge.Unavailable: the store does not answer.
        """
        writer, anchors = self._appender(chain), [anchor] if anchor else []
        if not writer.is_known(anchors):  # else there is no need to wait for a write that is under way
            async with writer.lock:
                await writer.read(anchors)
        return writer.head

    def head(self, chain: Chain) -> appender.Head | None:
        """Return the head as last read or written; None when the chain was not loaded."""
        return writer.head if (writer := self._chains.get(chain)) and writer.loaded else None

    def index(self, chain: Chain) -> index.Index:
        """Return the index of all records up to the head; do not change it. KeyError when the chain was not loaded."""
        return self._chains[chain].index

    def state(self, chain: Chain) -> tuple[StageState, ...]:
        """Return what each stage serves after the last record; KeyError when the chain was not loaded."""
        return self._chains[chain].head.state

    def gaps(self) -> tuple[coverage.Gap, ...]:
        """Return the periods without a leader between the last terms; none before a term has begun."""
        writer = self._chains.get(self.operators)
        return tuple(coverage.of_terms(writer.index.terms)) if writer and writer.index.terms else ()

    def tampered(self, chain: Chain) -> appender.Tampered | None:
        """Return the flaws of a chain, until a person accepts them."""
        return writer.tampered if (writer := self._chains.get(chain)) else None

    def anchors(self) -> Mapping[Chain, integrity.Anchor]:
        """Return the head of every chain, to be stored outside the bucket; of a tampered chain, the last head before that."""
        heads = {chain: writer.head for chain, writer in self._chains.items() if writer.loaded and writer.tampered is None}
        return self._anchors | {chain: integrity.Anchor(head.sequence, head.digest) for chain, head in heads.items() if head.digest}

    def remember(self, anchors: Mapping[Chain, integrity.Anchor]) -> None:
        """Add heads of chains from the ConfigMaps; call it before the chains are loaded."""
        self._anchors |= anchors

    async def chains(self) -> list[Chain]:
        """Return every chain of the registry that has a record."""
        return await self.reach.run(self._chains_below)

    def _chains_below(self) -> list[Chain]:
        bucket, root = self.reach.where.bucket, f"{self.reach.where.key}ledger/{self.registry}/"
        below = (model for namespace in self.reach.store.folders(bucket, root) for model in self.reach.store.folders(bucket, namespace))
        return [self.chain(*folder.removeprefix(root).rstrip("/").split("/")) for folder in below]

    async def read(self, chain: Chain, sequence: int) -> record.Record | None:
        """Return one record; None when it is missing or was changed."""
        data = await self.reach.record(chain.key(sequence))
        with contextlib.suppress(ValueError):
            return codec.read(data) if data is not None else None
        return None

    # --- what is written

    async def append(
        self, chain: Chain, facts: Iterable[LedgerEntry], state: Iterable[StageState] | None = None, seen: datetime.datetime | None = None
    ) -> appender.Head:
        """Record facts, once each, and what the stages serve from now on; return the head after them.

        Args:
            chain: which.
            facts: in the order in which they happened.
            state: after them; None: as the facts leave it.
            seen: when the state was looked at.

        Nothing is written when every fact was recorded before (among the last `fold.RECENT`) and the state is the same. What comes while a
        write is under way goes together into the next record.

        Raises:
            Tampered: the chain was changed.
            edge.Unavailable: it is unknown whether they were recorded: append them again; or another operator leads.
            ValueError: a fact cannot be written.
        """
        writer = self._appender(chain)
        await writer.append(batch.Item.of(facts, state, seen))
        return writer.head

    async def accept(
        self,
        chain: Chain,
        actor: Actor,
        reason: str,
        anchors: Collection[integrity.Anchor] = (),
        flaws: Iterable[integrity.Flaw] = (),
        *,
        believed: bool = False,
    ) -> appender.Head:
        """Record that a person accepts the flaws of a chain, after which appending goes on. Without flaws nothing is written.

        Args:
            chain: which.
            actor: the person.
            reason: in their words.
            anchors: all known heads, from Model.status and from the ConfigMap.
            flaws: further flaws that loading does not find, from `archive.verify`.
            believed: Unproven records count from now on as if this operator had written them; else they are ignored.
        """
        writer = self._appender(chain)
        open_flaws = [flaw for flaw in flaws if not flaw.accepted]
        async with writer.lock:
            with contextlib.suppress(appender.Tampered):
                await writer.read(anchors)
            open_flaws = list(dict.fromkeys([*(writer.tampered.flaws if writer.tampered else ()), *open_flaws]))
            if open_flaws:
                await writer.accept(actor, reason, open_flaws, believed=believed)
                self._anchors.pop(chain, None)
            return writer.head

    async def sign(self, every: datetime.timedelta) -> int:
        """Write a signed checkpoint for each head that moved and has had none for `every`; return how many. Without a key, none."""
        if (private := self._pen.key) is None:
            return 0
        count = 0
        for chain, writer in list(self._chains.items()):
            head, now = writer.head, self._pen.clock()
            sequence, when = self._signed.get(chain, (0, None))
            if writer.tampered or not writer.loaded or head.digest is None or head.sequence <= sequence or (when and now - when < every):
                continue
            await self._pen.create(checkpoint.key(chain, head.sequence), checkpoint.sign(chain, head.sequence, head.digest, now, private))
            self._signed[chain] = head.sequence, now
            count += 1
        return count

    # --- whose registry it is, and who leads

    async def begin(self, holder: str, unobserved_since: datetime.datetime | None = None) -> int:
        """Begin a term of leadership; return its number, which every record of it carries. All chains are read again."""
        self._anchors = dict(self.anchors())
        self._chains.clear()
        writer = self._appender(self.operators)
        async with writer.lock:
            while True:
                await writer.read()
                number = self.term = (writer.head.record.term if writer.head.record else 0) + 1
                since = codec.write_time(unobserved_since) if unobserved_since else None
                began = _term(Action.TERM_BEGAN, holder, number, {"unobservedSince": since})
                try:
                    if await writer.write([began], writer.head.state):
                        return number
                except edge.Unavailable as error:  # another operator began a term first: ours is the next one
                    if error.reason != Reason.NOT_LEADING or writer.head.record is None or writer.head.record.term < number:
                        raise

    async def end(self, holder: str) -> None:
        """Record the planned end of the term."""
        await self.append(self.operators, [_term(Action.TERM_ENDED, holder, self.term or 0, {})])

    async def prove(self) -> None:
        """Prove that the store refuses to create an existing object, and that it supports the configured retention.

        Raises:
            edge.Unavailable: it does not, so it cannot keep the ledger; or it does not answer.
        """
        if self._pen.retain:
            await self.reach.run(lambda: ownership.prove_lock(self.reach.store, self.reach.where))
        await self.reach.run(lambda: ownership.prove(self.reach.store, self.reach.where, self.registry))

    async def publish(self) -> None:
        """Write the operator's public key beside the chains, for readers elsewhere."""
        if self._pen.key:
            public = self._pen.key.public_key()
            await self._pen.create(ownership.public_key(self.registry, signature.key_id(public)), signature.write_public(public))

    async def claim(self, cluster: str) -> int:
        """Return the registry's epoch, if this cluster (uid of the namespace kube-system) or no cluster owns it.

        Raises:
            edge.Unavailable: RegistryTaken: another cluster owns it.
        """
        return await self.reach.run(lambda: ownership.claim(self.reach.store, self.reach.where, self.registry, cluster))

    async def still_mine(self, cluster: str) -> None:
        """Check that this cluster still owns the registry. Once it does not, nothing is written any more.

        Raises:
            edge.Unavailable: RegistryTaken: another cluster took it over; or the owner is unknown.
        """
        owner, _ = await self.reach.run(lambda: ownership.owner(self.reach.store, self.reach.where, self.registry))
        if owner not in {None, cluster}:
            self._pen.takeover = ownership.registry_taken(self.reach.where, self.registry, str(owner), cluster)
            raise self._pen.takeover

    async def take_over(self, cluster: str, actor: Actor = record.BY_OPERATOR) -> int:
        """Record that this cluster takes the registry over, then make it the owner; return the new epoch."""
        before, epoch = await self.reach.run(lambda: ownership.owner(self.reach.store, self.reach.where, self.registry))
        if before == cluster:
            return epoch
        subject = record.Subject("Registry", self.registry, self.registry, epoch + 1)
        detail = {"before": before, "after": cluster, "epoch": epoch + 1}
        await self.append(self.operators, [record.entry(Action.TAKEN_OVER, actor, subject, f"{epoch + 1} {cluster}", detail=detail)])
        await self.reach.run(lambda: ownership.hand_over(self.reach.store, self.reach.where, self.registry, cluster, epoch + 1))
        return epoch + 1

    def _appender(self, chain: Chain) -> appender.Appender:
        if (writer := self._chains.get(chain)) is None:
            writer = self._chains[chain] = appender.Appender(chain, self._pen, lambda: self._anchors.get(chain))
        return writer


def from_settings(
    config: settings.Ledger,
    bucket: store.Objects,
    where: location.Place,
    clock: Callable[[], datetime.datetime],
    **more: Any,
) -> Ledger:
    """Create the ledger from an installation's settings; `more` are further arguments of `Ledger`. ValueError or OSError when the key cannot be read."""
    keys = keyring.from_file(pathlib.Path(config.key_file)) if config.key_file else None
    retain = (config.retention_mode, config.retention) if config.retention else None
    signing: dict[str, Any] = {"key": keys.private, "trusted": keys.trusted} if keys else {}
    return Ledger(bucket, where, config.registry, clock, retain=retain, **signing, **more)


def _term(action: Action, holder: str, number: int, more: Mapping[str, Any]) -> LedgerEntry:
    subject = record.Subject("Operator", holder, holder, number)
    return record.entry(action, record.BY_OPERATOR, subject, detail={"holder": holder, "number": number, **more})
