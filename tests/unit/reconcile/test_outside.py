from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from typing import Any

from modelyard.edge.cluster import cache, client
from modelyard.reconcile import outside
from tests.unit.edge.cluster import test_families


class Deleting:
    """An API server that takes a write, and whose news that the object is gone is faster than its answer."""

    def __init__(self, known: cache.Cache) -> None:
        self._known = known

    async def write_status(self, kind: client.Kind, namespace: str, name: str, seen: str, status: dict[str, Any]) -> dict[str, Any]:
        self._known.drop(kind, namespace, name)
        return test_families.registered("1", int(seen) + 1) | {"status": status}


async def test_what_was_deleted_before_the_answer_to_a_write_was_read_stays_gone() -> None:
    known, told = cache.Cache(), list[cache.Key]()
    known.put(client.MODEL_VERSION, test_families.registered("1", 5))
    version = known.version("risk", "fraud-1")
    assert version is not None

    await _outside(known, told.extend).write_status(client.MODEL_VERSION, version, {"phase": "Ready"})

    assert known.version("risk", "fraud-1") is None
    assert known.keys() == set()
    assert told == []


def _outside(known: cache.Cache, enqueue: Callable[[Iterable[cache.Key]], None]) -> outside.Outside:
    unused: Any = None

    return outside.Outside(
        cluster=Deleting(known),  # type: ignore[arg-type]  # all that this write asks of it
        cache=known,
        prover=unused,
        book=unused,
        config=unused,
        recorder=unused,
        guard=unused,
        enqueue=enqueue,
        fence=lambda: None,
        clock=lambda: datetime.datetime.now(datetime.UTC),
    )
