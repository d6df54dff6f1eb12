"""The keyed queue: never two workers on one key, bounded concurrency, backoff for trouble, and "again in n".

A key that is added while it is being worked on is worked on once more afterwards; added a hundred times while it waits, it is
worked on once. Before that once more it rests for as long as the work took: a thousand versions that become Ready change their Model a
thousand times, and each decision costs the more the more versions there are. So news that crowd are taken together, and no key ever
takes more than half of the time from the others.

Where keys have owners, no owner has more than half of the workers, and owners take turns. A key that takes long, because its owner's store is slow or
hostile, gives its worker up and goes on beside the others, so that a few owners together cannot take all workers either.
"""

from __future__ import annotations

import asyncio
import collections
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
LONG: Final = 10.0
"""Seconds after which a key gives up its worker, so that other owners have their turn."""
LONG_ROOM: Final = 4
"""Keys per worker that may go on without a worker."""
log = logging.getLogger(__name__)


class Queue(Generic[K]):
    """Works on keys, each with one worker at a time.

    Args:
        work: handles one key; returns when to look at it again, if at all. Raising `edge.Unavailable` means: with backoff. Any other
            exception is our own mistake: logged with its trace, and retried with backoff as well.
        workers: how many keys are worked on at once.
        owner: whose a key is; None: nobody's, and all are treated alike.
        long: seconds after which an owner's key gives its worker up.
    """

    def __init__(
        self,
        work: Callable[[K], Awaitable[datetime.timedelta | None]],
        workers: int,
        *,
        owner: Callable[[K], str] | None = None,
        long: float = LONG,
    ) -> None:
        self._work = work
        self._free = workers
        self._owner = owner
        self._share = max(1, workers // 2) if owner else workers
        self._long = long
        self._room = LONG_ROOM * workers if owner else 0
        self.most: Final = workers + self._room
        """The largest number of keys that are worked on at once."""
        self._ready: collections.OrderedDict[str, collections.deque[K]] = collections.OrderedDict()
        """By owner; the owner whose turn is next comes first."""
        self._working: collections.Counter[str] = collections.Counter()
        """Keys that are worked on, by owner."""
        self._changed = asyncio.Event()
        """Set when there may be a key and a worker for it."""
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
        """Return the number of keys that wait for a worker, have one, or rest; delayed keys do not count."""
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
            self._ready.setdefault(self._owner_of(key), collections.deque()).append(key)
            self._changed.set()

    def add_after(self, key: K, delay: datetime.timedelta) -> None:
        """Work on this key after a delay; of several delays the earliest counts."""
        due = asyncio.get_running_loop().time() + max(0.0, delay.total_seconds())
        if key not in self._queued and key not in self._dirty and key not in self._resting:
            self._at(key, due)

    async def run(self) -> None:
        """Work until cancelled; finish the keys that are being worked on first."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._clockwork())
            while True:
                self._changed.clear()
                while (key := self._next()) is not None:
                    group.create_task(self._worked(key))
                await self._changed.wait()

    def _owner_of(self, key: K) -> str:
        return self._owner(key) if self._owner else ""

    def _next(self) -> K | None:
        """Return the next key and a free worker for it; None when there is no such key or no free worker."""
        owner = next((name for name in self._ready if self._working[name] < self._share), None) if self._free else None
        if owner is None:
            return None
        keys = self._ready.pop(owner)
        key = keys.popleft()
        if keys:
            self._ready[owner] = keys
        self._free -= 1
        self._working[owner] += 1
        self._queued.discard(key)
        self._busy.add(key)
        return key

    def _at(self, key: K, due: float) -> None:
        if self._due.get(key, due + 1) > due:
            self._due[key] = due
            heapq.heappush(self._heap, (due, next(self._count), key))
            self._wake.set()

    async def _worked(self, key: K) -> None:
        """Work on a key; give up its worker when the work ends or takes long."""
        now = asyncio.get_running_loop().time
        began, task, has_worker = now(), asyncio.ensure_future(self._once(key)), True
        try:
            await asyncio.wait({task}, timeout=self._long if self._owner else None)
            if not task.done() and self._room:
                self._room, has_worker = self._room - 1, False
                self._freed()
            await asyncio.wait({task})
        except asyncio.CancelledError:
            await asyncio.wait({task})
            raise
        finally:
            if not has_worker:
                self._room += 1
            self._release(key, now() - began, has_worker=has_worker)

    def _release(self, key: K, took: float, *, has_worker: bool) -> None:
        """End the work on a key."""
        owner = self._owner_of(key)
        self._working[owner] -= 1
        self._working += collections.Counter()  # forgets who has none
        self._busy.discard(key)
        if key in self._dirty:
            self._dirty.discard(key)
            self._resting.add(key)
            self._at(key, asyncio.get_running_loop().time() + min(took, LONGEST_REST))
        if has_worker:
            self._freed()
        self._changed.set()

    def _freed(self) -> None:
        self._free += 1
        self._changed.set()

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
