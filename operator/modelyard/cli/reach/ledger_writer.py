"""The operator's own bucket for verbs that add records: blobs and chains, appended to as the operator does."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self, TypeVar

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.cli.reach import operator_bucket, signing_key
from modelyard.cli.terminal import exits, times
from modelyard.content import location
from modelyard.edge.bucket import blobs, chains, keyring
from modelyard.edge.s3 import store
from modelyard.ledger import index, record

T = TypeVar("T")


class Bucket:
    """Blobs and chains. Every method may raise exits.Stop: the bucket does not answer, or a chain was tampered with.

    Args:
        source: the store, with credentials that may write where something is appended.
        where: its bucket and prefix.
        name: of the registry.
        retain: mode and duration of Object Lock for what is recorded, as the operator has it.
        signer: gives the key that signs what is recorded; asked only then.
    """

    def __init__(
        self,
        source: store.Store,
        where: location.Place,
        name: str,
        retain: tuple[str, datetime.timedelta] | None = None,
        signer: Callable[[], keyring.Keys] | None = None,
    ) -> None:
        self._source, self._where, self._name, self._retain, self._signer = source, where, name, retain, signer
        self._blobs = blobs.Blobs(source, where)

    @classmethod
    def open(cls, where: operator_bucket.OperatorBucket, context: str | None) -> Self:
        """Open the operator's bucket as this machine reaches it."""
        return cls(store.Store(where.address), where.place, where.registry, where.retain, lambda: signing_key.load(where, context))

    def blob(self, name: str) -> bytes | None:
        """Return content-addressed bytes."""
        try:
            return self._blobs.get(name)
        except edge.Unavailable as trouble:
            raise _stop(trouble) from None

    def json(self, name: str) -> dict[str, Any] | None:
        """Return a snapshot of a spec."""
        data = self.blob(name)
        return dict(json.loads(data)) if data else None

    def index(self, namespace: str, model: str) -> index.Index:
        """Return the index of a model's chain."""

        async def load(book: chains.Ledger, chain: record.Chain) -> index.Index:
            await book.load(chain)
            return book.index(chain)

        return self._ask(load, namespace, model)

    def append(self, namespace: str, model: str, facts: Sequence[record.LedgerEntry]) -> None:
        """Append facts after the operator's last record, each once."""

        async def append(book: chains.Ledger, chain: record.Chain) -> None:
            await book.append(chain, facts)

        self._ask(append, namespace, model, self._signer() if self._signer else None)

    def _ask(
        self,
        question: Callable[[chains.Ledger, record.Chain], Awaitable[T]],
        namespace: str,
        model: str,
        keys: keyring.Keys | None = None,
    ) -> T:
        async def answer() -> T:
            book = chains.Ledger(self._source, self._where, self._name, times.now, kept=self._blobs, retain=self._retain)
            if keys:
                book.use(keys.private, keys.trusted)
            try:
                return await question(book, record.Chain(self._name, namespace, model))
            finally:
                book.close()

        try:
            return asyncio.run(answer())
        except edge.Unavailable as trouble:
            raise _stop(trouble) from None


def _stop(trouble: edge.Unavailable) -> exits.Stop:
    if trouble.reason in {Reason.LEDGER_TAMPERED, Reason.LEDGER_UNPROVEN}:
        return exits.Stop(exits.Code.NO, trouble.message)
    hint = "how it is reached, and as whom: `modelyard ledger --help`"
    return exits.Stop(exits.Code.UNAVAILABLE, f"{trouble.message}\n{hint}")
