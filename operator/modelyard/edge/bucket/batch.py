"""The queue of ledger entries of one chain, and what the next record takes from it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Self

from modelyard.content import canonical
from modelyard.ledger import codec, record

FACTS: Final = 512
BYTES: Final = 1 << 20
"""The most facts, and the most bytes of facts, in one record; one larger fact still gets a record of its own."""
State = tuple[record.StageState, ...]


@dataclasses.dataclass(slots=True, eq=False)
class Item:
    """The facts and the state that one caller wants recorded."""

    unrecorded: list[tuple[record.LedgerEntry, int]]
    """Facts with their sizes."""
    state: State | None
    observed_at: datetime.datetime | None = None
    """When the state was observed."""
    done: bool = False
    trouble: Exception | None = None

    @classmethod
    def of(
        cls, facts: Iterable[record.LedgerEntry], state: Iterable[record.StageState] | None, observed_at: datetime.datetime | None = None
    ) -> Self:
        """Create an item; raises ValueError when a fact cannot be written."""
        return cls(
            [(fact, len(canonical.dumps(codec.dump_entry(fact)))) for fact in facts], None if state is None else tuple(state), observed_at
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """The content of the next record."""

    facts: list[record.LedgerEntry]
    state: State | None
    """After these facts; None: as before."""
    whole: list[Item]
    """Items whose facts are all in this record, or were recorded before."""
    part: Item | None
    """The item of which some facts are left for the record after this one."""
    observed_at: datetime.datetime | None = None
    """When the state was observed."""


class Queue:
    """Items that wait, in order."""

    def __init__(self) -> None:
        self._items: list[Item] = []

    @contextlib.contextmanager
    def waiting(self, item: Item) -> Iterator[None]:
        """Keep an item in the queue until it is done or its caller gives up."""
        self._items.append(item)
        try:
            yield
        finally:
            if item in self._items:
                self._items.remove(item)

    def next(self, recent: Sequence[str]) -> Batch:
        """Take as much as one record may hold, without facts that were recorded before."""
        recorded = set(recent)
        facts: list[record.LedgerEntry] = []
        state: State | None = None
        observed_at: datetime.datetime | None = None
        whole: list[Item] = []
        size = 0
        for item in self._items:
            for fact, length in item.unrecorded:
                if fact.id in recorded:
                    continue
                if facts and (len(facts) >= FACTS or size + length > BYTES):
                    return Batch(facts, state, whole, item, observed_at)
                recorded.add(fact.id)
                facts.append(fact)
                size += length
            whole.append(item)
            state, observed_at = (item.state, item.observed_at) if item.state is not None else (state, observed_at)
        return Batch(facts, state, whole, None, observed_at)

    def settle(self, batch: Batch, recent: Sequence[str], state: State, *, wrote: bool) -> None:
        """Settle the queue after a record, ours or (not wrote) another operator's: remove its facts, and states that it already has."""
        recorded = set(recent)
        for item in [*batch.whole, *([batch.part] if batch.part else [])]:
            item.unrecorded = [entry for entry in item.unrecorded if entry[0].id not in recorded]
            if item.state == state or (wrote and item is not batch.part):
                item.state = None if not item.unrecorded else item.state
            item.done = not item.unrecorded and item.state is None
        self._items = [item for item in self._items if not item.done]

    def fail(self, batch: Batch, trouble: Exception) -> None:
        """Fail all items of a batch with the same exception."""
        for item in [*batch.whole, *([batch.part] if batch.part else [])]:
            item.done, item.trouble = True, trouble
        self._items = [item for item in self._items if not item.done]
