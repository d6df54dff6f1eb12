"""The operator's own bucket, seen from this machine: `MODELYARD_BUCKET__…` and `MODELYARD_LEDGER__…`, as the operator itself has them."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self, TypeVar

import pydantic

from modelyard import edge, settings
from modelyard.cli import outcome
from modelyard.edge import blobs, ledger, store
from modelyard.plan import index, inspection
from modelyard.plan import ledger as ledger_plan

T = TypeVar("T")


class Bucket:
    """Blobs and chains. Every method may raise outcome.Stop: the bucket does not answer, or a chain was tampered with.

    Args:
        source: the store, with credentials that may write where something is appended.
        where: its bucket and prefix.
        name: of the registry.
        retain: mode and duration of Object Lock for what is recorded, as the operator has it.
    """

    def __init__(
        self, source: store.Store, where: inspection.Place, name: str, retain: tuple[str, datetime.timedelta] | None = None
    ) -> None:
        self._source, self._where, self._name, self._retain = source, where, name, retain
        self._blobs = blobs.Blobs(source, where)

    @classmethod
    def open(cls) -> Self:
        """As the environment says."""
        try:
            config = settings.Settings()
        except pydantic.ValidationError as error:
            raise outcome.usage(f"MODELYARD_…: {error.errors(include_input=False, include_url=False)[0]['msg']}") from None
        own = config.bucket
        where = inspection.place(own.uri)
        if where is None:
            raise outcome.usage(f"MODELYARD_BUCKET__URI is {own.uri!r}: write it like s3://modelyard/")
        pair = None
        if own.access_key and own.secret_key:
            pair = inspection.Credentials(own.access_key.get_secret_value(), own.secret_key.get_secret_value())
        pem = None
        if own.ca_file:
            with open(own.ca_file, encoding="ascii") as file:  # noqa: PTH123  as the operator does
                pem = file.read()
        kept = (config.ledger.retention_mode, config.ledger.retention) if config.ledger.retention else None
        return cls(store.Store(inspection.Address(own.endpoint, own.region, pair, pem)), where, config.ledger.registry, kept)

    def blob(self, name: str) -> bytes | None:
        """Content-addressed bytes."""
        try:
            return self._blobs.get(name)
        except edge.Unavailable as trouble:
            raise _stop(trouble) from None

    def json(self, name: str) -> dict[str, Any] | None:
        """A snapshot of a spec."""
        data = self.blob(name)
        return dict(json.loads(data)) if data else None

    def index(self, namespace: str, model: str) -> index.Index:
        """What the ledger has of a model."""

        async def load(book: ledger.Ledger, chain: ledger_plan.Chain) -> index.Index:
            await book.load(chain)
            return book.index(chain)

        return self._ask(load, namespace, model)

    def append(self, namespace: str, model: str, facts: Sequence[ledger_plan.Fact]) -> None:
        """Records facts behind what the operator wrote last, each once."""

        async def append(book: ledger.Ledger, chain: ledger_plan.Chain) -> None:
            await book.append(chain, facts)

        self._ask(append, namespace, model)

    def _ask(self, question: Callable[[ledger.Ledger, ledger_plan.Chain], Awaitable[T]], namespace: str, model: str) -> T:
        async def answer() -> T:
            book = ledger.Ledger(self._source, self._where, self._name, _now, kept=self._blobs, retain=self._retain)
            try:
                return await question(book, ledger_plan.Chain(self._name, namespace, model))
            finally:
                book.close()

        try:
            return asyncio.run(answer())
        except edge.Unavailable as trouble:
            raise _stop(trouble) from None


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _stop(trouble: edge.Unavailable) -> outcome.Stop:
    hint = "its address and credentials are those of MODELYARD_BUCKET__URI, __ENDPOINT, __ACCESS_KEY and __SECRET_KEY"
    return outcome.Stop(outcome.Code.UNAVAILABLE, f"{trouble.message}\n{hint}")
