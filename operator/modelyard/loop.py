"""The keyed queue: never two workers on one key, bounded concurrency, backoff for trouble, and "again in n".

A key that is added while it is being worked on is worked on once more afterwards; added a hundred times while it waits, it is
worked on once. Before that once more it rests for as long as the work took: a thousand versions that become Ready change their Model a
thousand times, and each decision costs the more the more versions there are. So news that crowd are taken together, and no key ever
takes more than half of the time from the others.
"""

from __future__ import annotations

import asyncio
import datetime
import heapq
import itertools
import logging
import random
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from modelyard import edge

K = TypeVar("K", bound=Hashable)

FIRST_BACKOFF: Final = 1.0
LAST_BACKOFF: Final = 300.0
LONGEST_REST: Final = 1.0
log = logging.getLogger(__name__)


class Queue(Generic[K]):
    """Works on keys, each with one worker at a time.

    Args:
        work: handles one key; returns when to look at it again, if at all. Raising `edge.Unavailable` means: with backoff. Any other
            exception is our own mistake: logged with its trace, and retried with backoff as well.
        workers: how many keys are worked on at once.
    """

    def __init__(self, work: Callable[[K], Awaitable[datetime.timedelta | None]], workers: int) -> None:
        self._work = work
        self._workers = workers
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._queued: set[K] = set()
        self._busy: set[K] = set()
        self._dirty: set[K] = set()
        self._resting: set[K] = set()
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._failures: dict[K, int] = {}
        self._count = itertools.count()
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        """Keys that wait for a worker, have one, or rest; those for later do not count."""
        return len(self._queued) + len(self._busy) + len(self._resting)

    def add(self, key: K) -> None:
        """Work on this key as soon as a worker is free and it has rested."""
        if key in self._resting:
            return
        self._due.pop(key, None)
        if key in self._busy:
            self._dirty.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: K, delay: datetime.timedelta) -> None:
        """Work on this key in a while; the earliest wish counts."""
        due = asyncio.get_running_loop().time() + max(0.0, delay.total_seconds())
        if key not in self._queued and key not in self._dirty and key not in self._resting:
            self._at(key, due)

    async def run(self) -> None:
        """Work until cancelled; what is being worked on then is finished first."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._clockwork())
            for _ in range(self._workers):
                group.create_task(self._worker())

    def _at(self, key: K, due: float) -> None:
        if self._due.get(key, due + 1) > due:
            self._due[key] = due
            heapq.heappush(self._heap, (due, next(self._count), key))
            self._wake.set()

    async def _worker(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            key = await self._ready.get()
            began = now()
            self._queued.discard(key)
            self._busy.add(key)
            try:
                await asyncio.shield(task := asyncio.ensure_future(self._once(key)))
            except asyncio.CancelledError:
                await asyncio.wait([task])
                raise
            finally:
                self._busy.discard(key)
                if key in self._dirty:
                    self._dirty.discard(key)
                    self._resting.add(key)
                    self._at(key, now() + min(now() - began, LONGEST_REST))

    async def _once(self, key: K) -> None:
        try:
            again = await self._work(key)
        except edge.Unavailable as trouble:
            log.warning("%s: %s", trouble.reason, trouble.message, extra={"object": str(key)})
            self._later(key)
        except Exception:
            log.exception("cannot handle this; retrying", extra={"object": str(key)})
            self._later(key)
        else:
            self._failures.pop(key, None)
            if again is not None:
                self.add_after(key, again)

    def _later(self, key: K) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = min(LAST_BACKOFF, FIRST_BACKOFF * 2 ** min(failures - 1, 16)) * random.uniform(0.8, 1.2)  # noqa: S311  jitter
        self.add_after(key, datetime.timedelta(seconds=delay))

    async def _clockwork(self) -> None:
        """Move keys whose time has come to the ready ones."""
        loop = asyncio.get_running_loop()
        while True:
            while self._heap and (self._heap[0][0] <= loop.time() or self._due.get(self._heap[0][2]) != self._heap[0][0]):
                due, _, key = heapq.heappop(self._heap)
                if self._due.get(key) == due:
                    self._resting.discard(key)
                    self.add(key)
            self._wake.clear()
            pause = self._heap[0][0] - loop.time() if self._heap else None
            try:
                await asyncio.wait_for(self._wake.wait(), pause)
            except TimeoutError:
                continue
