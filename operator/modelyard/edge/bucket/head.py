"""The head of a chain: found without listing the chain, and read from the last snapshot of the index on. Flaws are returned, not raised."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Awaitable, Callable, Iterable
from concurrent import futures
from typing import Final, TypeVar

from modelyard import edge
from modelyard.content import digest, location
from modelyard.edge.bucket import blobs
from modelyard.edge.s3 import store
from modelyard.ledger import codec, fold, integrity, signature, trust
from modelyard.ledger.index import Index
from modelyard.ledger.record import Chain, Record

T = TypeVar("T")

_AT_ONCE: Final = 32
"""Records that are requested together."""
_WALK: Final = 4096
"""The most records that are read because an anchor is older than the last snapshot, or to find a person's acceptance."""
_FROM: Final = integrity.Link(-1)
_LOOKED_AT: Final = 4096
"""The most records at the end that are searched for a proven one that names a snapshot: there can be any number of Unproven records."""


class OwnBucket:
    """The operator's own bucket, as the ledger reads it: in threads, or without any (0) for tests that must be deterministic.

    Failures are edge.Unavailable(LedgerUnavailable).
    """

    def __init__(self, bucket: store.Objects, where: location.Place, blob_store: blobs.Blobs | None = None, threads: int = 32) -> None:
        self.store = bucket
        self.where = where
        self.blobs = blob_store or blobs.Blobs(bucket, where)
        self._threads = futures.ThreadPoolExecutor(threads, "ledger") if threads else None

    def close(self) -> None:
        """Close; make no request afterwards."""
        if self._threads:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def record(self, key: str) -> bytes | None:
        """Return the object of a key below the operator's prefix; None when there is none."""
        return await self.run(lambda: self.store.get(self.where.bucket, self.where.key + key))

    async def beside(self, prefix: str) -> list[str]:
        """Return the keys that begin with the prefix."""
        cut = len(self.where.key)
        return await self.run(lambda: [listed.key[cut:] for listed in self.store.list(self.where.bucket, self.where.key + prefix)])

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking work."""
        try:
            if self._threads is None:
                return work()
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except edge.Unavailable as error:
            raise (blobs.own_bucket_error(error) if str(error.reason).startswith("Store") else error) from None


@dataclasses.dataclass(slots=True)
class End:
    """The end of a chain, as read."""

    last: integrity.Link
    record: Record | None
    """The last record that counts: every later record is Unproven, or cannot be read."""
    unproven: Record | None
    """The last record, if it is Unproven."""
    proved: bool
    """Whether any record that was read is proven."""
    index: Index
    flaws: list[integrity.Flaw]
    accepted: dict[trust.FlawIdentity, int]
    """The accepted flaws, each with the number of the last record that accepts it; as far as the chain was read."""


async def read(reach: OwnBucket, chain: Chain, anchors: Iterable[integrity.Anchor], keys: signature.Keys | None = None) -> End:
    """Read the head and the index, and return the flaws of all records read on the way.

    Args:
        reach: the operator's own bucket.
        chain: which.
        anchors: its head as noted outside the bucket.
        keys: public keys whose signatures prove a record; None: signatures are not checked.
    """
    noted = [anchor for anchor in anchors if anchor.sequence]
    return await _Reading(reach, chain, noted, keys).read()


class _Reading:
    def __init__(self, reach: OwnBucket, chain: Chain, anchors: list[integrity.Anchor], keys: signature.Keys | None) -> None:
        self._reach = reach
        self._chain = chain
        self._anchors = anchors
        self._trust = trust.Trust(keys, [(anchor.sequence, anchor.head) for anchor in anchors])
        self._data: dict[int, bytes | None] = {}
        self._flaws: list[integrity.Flaw] = []
        self._accepted: dict[trust.FlawIdentity, int] = {}

    async def read(self) -> End:
        last = await self._end()
        folded, start = await self._snapshot(last)
        oldest = min((anchor.sequence for anchor in self._anchors if anchor.sequence <= last), default=start)
        begin = min(start, oldest) if start - oldest <= _WALK else start
        record, link = None, integrity.NOTHING
        needed = {last, *(anchor.sequence for anchor in self._anchors)}
        for first in range(max(begin, 1), last + 1, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, last + 1))
            await self._fetch(numbers)
            for number in numbers:
                before = link if number > max(begin, 1) or number == 1 else _FROM
                link, flaws = integrity.check_link(self._chain, before, number, self._data[number], self._trust)
                self._flaws += flaws
                for record in self._trust.add(link.record, link.digest or "") if link.record else ():
                    self._accepted |= dict.fromkeys(integrity.accepts(record), number)
                    if record.sequence > folded.sequence:
                        fold.add(folded, record)
                if number not in needed:  # 100,000 records need not be in memory at once
                    del self._data[number]
        await self._compare(last)
        if any(flaw.kind in integrity.CUT for flaw in integrity.uncovered(self._flaws, self._accepted)):
            await self._look_back(begin)
        flaws = [*self._flaws, *integrity.unproven(self._chain, self._trust)]
        return End(link, record, self._trust.waiting, self._trust.proved, folded, flaws, self._accepted)

    async def _look_back(self, begin: int) -> None:
        """Search earlier records for acceptances: the acceptance of a cut chain precedes its later growth; all others follow the flaw."""
        for first in range(max(begin - _WALK, 1), begin, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, begin))
            await self._fetch(numbers)
            for number in numbers:
                if record := self._proven(number, self._data.pop(number)):
                    self._accepted = dict.fromkeys(integrity.accepts(record), number) | self._accepted

    async def _end(self) -> int:
        """Return the last number that has a record, even if records before it are missing."""
        low = 0
        for anchor in self._anchors:
            if anchor.sequence > low and await self._exists(anchor.sequence):
                low = anchor.sequence
        while True:
            low = await self._gallop(low)
            # A missing record looks like the end: listing its neighbours shows whether it is.
            beyond = [await self._listed(number) for number in {low + 1, *(a.sequence for a in self._anchors if a.sequence > low)}]
            highest = max((number for numbers in beyond for number in numbers), default=0)
            if highest <= low:
                return low
            low = highest
            # A record that did not exist when it was requested may have been written since.
            self._data = {number: data for number, data in self._data.items() if data is not None}

    async def _gallop(self, low: int) -> int:
        """Return the last number before a hole or the end: doubling steps, then binary search."""
        step = 1
        while await self._exists(low + step):
            low, step = low + step, step * 2
        high = low + step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if await self._exists(middle) else (low, middle)
        return low

    async def _listed(self, number: int) -> list[int]:
        """Return the numbers that the store lists in the hundred of this number."""
        hundred = self._chain.key(number).removesuffix(".json")[:-2]
        sequences = (self._chain.sequence(key) for key in await self._reach.beside(hundred))
        return [sequence for sequence in sequences if sequence is not None]

    async def _snapshot(self, last: int) -> tuple[Index, int]:
        """Return the newest readable snapshot, and the number from which records must be read after it."""
        number, passed = last, 0
        while number > 0 and passed < _LOOKED_AT:
            await self._fetch(range(max(1, number - _AT_ONCE), number + 1) if passed else [number])
            record = self._proven(number, self._data[number])
            if record is None:  # its flaw is found when the records are read in order
                number, passed = number - 1, passed + 1
                continue
            if record.index is None or not 0 < record.index.sequence < number:
                break
            data = await self._reach.run(functools.partial(self._reach.blobs.get, record.index.digest))
            try:
                if data is not None and (snapshot := Index.load(data)).sequence == record.index.sequence:
                    return snapshot, snapshot.sequence
            except ValueError:
                pass
            number = record.index.sequence
        return Index(), 0

    def _proven(self, number: int, data: bytes | None) -> Record | None:
        """Return a record if it can be read and is proven, or not newer than an anchor, against which all earlier records are checked."""
        try:
            record = codec.read(data) if data is not None else None
        except ValueError:
            return None
        anchored = any(number <= anchor.sequence for anchor in self._anchors)
        return record if record and data and (anchored or self._trust.fault(record, digest.named(data)) is None) else None

    async def _compare(self, last: int) -> None:
        for anchor in self._anchors:
            if anchor.sequence <= last:
                await self._fetch([anchor.sequence])
            data = self._data.get(anchor.sequence)
            self._flaws += integrity.compare_anchor(self._chain, anchor, last, digest.named(data) if data is not None else None)

    async def _exists(self, number: int) -> bool:
        await self._fetch([number])
        return self._data[number] is not None

    async def _fetch(self, numbers: Iterable[int]) -> None:
        wanted = [number for number in numbers if number not in self._data]
        objects = await gather(self._reach.record, [self._chain.key(number) for number in wanted])
        self._data.update(zip(wanted, objects, strict=True))


async def gather(ask: Callable[[str], Awaitable[bytes | None]], keys: list[str]) -> list[bytes | None]:
    """Request all keys at once; the first failure fails the whole call."""
    if len(keys) == 1:
        return [await ask(keys[0])]
    return list(await asyncio.gather(*(ask(key) for key in keys)))
