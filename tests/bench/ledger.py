"""The ledger against bare create-only writes to the same store in the same run; and how long a long chain takes to load.

python -m tests.bench.ledger
"""

from __future__ import annotations

import asyncio
import datetime
import json
import pathlib
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent import futures
from typing import Any

from modelyard.content import digest, location
from modelyard.edge.bucket import appender, chains
from modelyard.edge.s3 import store
from modelyard.ledger import codec, integrity, record
from tests.bench.row import row
from tests.cluster import stores
from tests.fakes import bucket

WHERE = location.Place("modelyard", "")
CALLERS = 32
FACTS = 4_000
ALONE = 500
LONG = 100_000


def rows() -> list[dict[str, Any]]:
    """The table's rows; takes about two minutes."""
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder, stores.run("versitygw", pathlib.Path(folder)) as running:
        client = running.open()
        client.make_bucket("modelyard")
        return [*asyncio.run(_facts(client)), *_long(running, client)]


def fact(number: int) -> record.LedgerEntry:
    """One of many."""
    subject = record.Subject("ModelVersion", f"fraud-{number}", f"uid-{number}", 1)
    return record.entry(record.Action.DESCRIBED, record.BY_OPERATOR, subject, detail={"version": str(number), "changed": ["tags"]})


async def _facts(client: store.Store) -> list[dict[str, Any]]:
    size = len(codec.write(record.follow(record.Chain("main", "risk", "m"), None, None, [fact(1)], [], now=_now(), term=1, index=None)))
    writer = chains.Ledger(client, WHERE, "main", _now)
    await writer.begin("bench")

    async def alone() -> None:
        for number in range(ALONE):
            await writer.append(writer.chain("risk", "alone"), [fact(number)])

    async def together(chain: Callable[[int], record.Chain]) -> None:
        async def caller(first: int) -> None:
            for number in range(first, FACTS, CALLERS):
                await writer.append(chain(first), [fact(number)])

        await asyncio.gather(*(caller(first) for first in range(CALLERS)))

    _bare(client, "warm-up", size, ALONE, CALLERS)
    one = _bare(client, "one", size, ALONE, 1)
    many = _bare(client, "many", size, FACTS, CALLERS)
    found = [
        row("ledger: one fact after the other", ALONE / await _timed(alone), "facts/s", one, more_is_better=True),
        row(
            f"ledger: {CALLERS} callers, one model (group commit)",
            FACTS / await _timed(lambda: together(lambda _: writer.chain("risk", "grouped"))),
            "facts/s",
            many,
            more_is_better=True,
        ),
        row(
            f"ledger: {CALLERS} callers, a model each",
            FACTS / await _timed(lambda: together(lambda first: writer.chain("risk", f"model-{first}"))),
            "facts/s",
            many,
            more_is_better=True,
        ),
    ]
    writer.close()
    return found


def _bare(client: store.Store, name: str, size: int, count: int, threads: int) -> float:
    """Create-only writes of as many bytes, per second."""
    data = b"x" * size
    with futures.ThreadPoolExecutor(threads) as pool:
        began = time.monotonic()
        assert all(pool.map(lambda number: client.create("modelyard", f"bare/{name}/{number}", data), range(count)))
        return count / (time.monotonic() - began)


def _long(running: stores.Running, client: store.Store) -> list[dict[str, Any]]:
    chain = asyncio.run(_written(running))
    found = []
    behind = max(1, chain.sequence - 300)
    for name, anchor in (("with its anchor", chain.sequence), ("300 records behind its anchor", behind), ("without an anchor", None)):
        reader = chains.Ledger(client, WHERE, "main", _now)
        of = reader.chain("risk", "long")
        known = None
        if anchor:
            data = client.get("modelyard", of.key(anchor))
            assert data
            known = integrity.Anchor(anchor, digest.named(data))

        async def load(reader: chains.Ledger = reader, of: record.Chain = of, known: integrity.Anchor | None = known) -> None:
            assert (await reader.load(of, known)).sequence == LONG

        found.append(row(f"ledger: load {LONG:,} records, {name}", asyncio.run(_timed(load)), "s", None, goal=2))
        reader.close()
    return found


async def _written(running: stores.Running) -> appender.Head:
    """A long chain, written in memory and laid where the store keeps its files."""
    kept = bucket.Bucket()
    writer = chains.Ledger(kept, WHERE, "main", _now, threads=0)
    chain = writer.chain("risk", "long")
    for number in range(LONG):
        head = await writer.append(chain, [fact(number)])
    for key, found in kept.kept.items():
        target = running.folder / "modelyard" / key
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(found[-1] or b"")
    return head


async def _timed(work: Callable[[], Awaitable[None]]) -> float:
    began = time.monotonic()
    await work()
    return time.monotonic() - began


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


if __name__ == "__main__":
    print(json.dumps(rows(), indent=2))
