"""What waits to be recorded in one chain, and how much of it the next record takes."""

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
"""Most facts, and most bytes of facts, in one record; one larger fact still gets a record to itself."""
State = tuple[record.StageState, ...]


@dataclasses.dataclass(slots=True, eq=False)
class Item:
    """What one caller wants recorded, until it is."""

    unrecorded: list[tuple[record.Fact, int]]
    """Facts with their sizes."""
    state: State | None
    observed_at: datetime.datetime | None = None
    """When the state was looked at."""
    done: bool = False
    trouble: Exception | None = None

    @classmethod
    def of(
        cls, facts: Iterable[record.Fact], state: Iterable[record.StageState] | None, observed_at: datetime.datetime | None = None
    ) -> Self:
        """A caller's; raises ValueError when a fact cannot be written."""
        return cls(
            [(fact, len(canonical.dumps(codec.dump_fact(fact)))) for fact in facts], None if state is None else tuple(state), observed_at
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """What the next record takes."""

    facts: list[record.Fact]
    state: State | None
    """After these facts; None: as before."""
    whole: list[Item]
    """Whose facts are all in it, or were told before."""
    part: Item | None
    """Of whom some are left for the record after."""
    observed_at: datetime.datetime | None = None
    """When the state was looked at."""


class Queue:
    """Those who wait, in order."""

    def __init__(self) -> None:
        self._items: list[Item] = []

    @contextlib.contextmanager
    def waiting(self, item: Item) -> Iterator[None]:
        """Waits until it is done or its caller gives up."""
        self._items.append(item)
        try:
            yield
        finally:
            if item in self._items:
                self._items.remove(item)

    def next(self, recent: Sequence[str]) -> Batch:
        """As much as one record may hold, without facts that were told before."""
        recorded = set(recent)
        facts: list[record.Fact] = []
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
        """After a record, ours or (not wrote) another's: what it tells is told, and what it says is served need not be said again."""
        recorded = set(recent)
        for item in [*batch.whole, *([batch.part] if batch.part else [])]:
            item.unrecorded = [entry for entry in item.unrecorded if entry[0].id not in recorded]
            if item.state == state or (wrote and item is not batch.part):
                item.state = None if not item.unrecorded else item.state
            item.done = not item.unrecorded and item.state is None
        self._items = [item for item in self._items if not item.done]

    def fail(self, batch: Batch, trouble: Exception) -> None:
        """Nobody of these will be recorded; each hears why."""
        for item in [*batch.whole, *([batch.part] if batch.part else [])]:
            item.done, item.trouble = True, trouble
        self._items = [item for item in self._items if not item.done]
