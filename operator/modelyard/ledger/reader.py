"""Read a chain only as far as a question needs: find the record of an instant by search, and fold the index from its last snapshot on. Pure."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from modelyard.content import digest
from modelyard.ledger import codec, fold, signature, trust
from modelyard.ledger.index import Index
from modelyard.ledger.record import Chain, Record

Fetch = Callable[[Sequence[int]], Sequence[bytes | None]]
"""Return the objects of these numbers, None where there is none; it may read all of them at once."""
Listed = Callable[[int], Iterable[int]]
"""Return numbers from a number on that have or had an object; other numbers may be among them, and some may be missing."""
_POWERS: Final = tuple(4**power for power in range(11))
"""Numbers that the search reads first: one round of reads brackets the end of any chain within a factor of four."""
_PROBES: Final = 3
"""Reads in one round of the search: each round leaves a quarter."""
PAGE: Final = 256


class ChainReader:
    """A reader of one chain. It keeps what it read, and the flaws that it found.

    Args:
        chain: the chain to read.
        fetch: reads objects of the chain.
        blob: returns bytes by name (`sha256:<hex>`), or None; the reader checks them against the name.
        listed: lists neighbours of a missing record, which tell a hole from the end.
        last: the number to end at, even if the chain has more records; None: the reader searches for the last.
        signers: public keys that records are trusted from; None: signatures are not checked.
    """

    def __init__(
        self,
        chain: Chain,
        fetch: Fetch,
        blob: Callable[[str], bytes | None],
        listed: Listed = lambda _: (),
        last: int | None = None,
        signers: signature.Keys | None = None,
    ) -> None:
        self.chain = chain
        self.flaws: dict[int | str, str] = {}
        """By number, or by name of a snapshot: what is wrong with it, for people."""
        self.term = 0
        """The latest leadership of all records that were read."""
        self._fetch = fetch
        self._fetch_blob = blob
        self._listed = listed
        self._last = last
        self._highest = 0
        """The highest number that has an object, as far as was read."""
        self._data: dict[int, bytes | None] = {}
        self._records: dict[int, Record | None] = {}
        self._signers = signers
        self._vouched_for: dict[int, bool] = {}
        """By number of a record without a trusted signature: whether a later record proves it."""

    def data(self, number: int) -> bytes | None:
        """A record's bytes."""
        self._load([number])
        return self._data[number]

    def record(self, number: int) -> Record | None:
        """A record by its number; None when there is no object, or it is no such record."""
        return next(iter(self.records([number])), None)

    def records(self, numbers: Sequence[int]) -> list[Record]:
        """The records of these numbers that can be read; the others are in `flaws`, unless they lie beyond the end."""
        wanted = [number for number in numbers if number > 0]
        self._load(wanted)
        for number in wanted:
            if self._data[number] is None and number < self._highest:
                self._mark_missing(number)
        return [record for number in wanted if (record := self._parsed(number)) is not None]

    def all(self, first: int = 1, last: int | None = None) -> Iterator[Record]:
        """Every record from one number to another, by default to the end; it reads several at once and keeps none."""
        end = self.last if last is None else last
        for begin in range(first, end + 1, PAGE):
            numbers = range(begin, min(begin + PAGE, end + 1))
            already_read = set(self._data)
            records = self.records(numbers)
            self.forget([number for number in numbers if number not in already_read])
            yield from records

    def forget(self, numbers: Iterable[int]) -> None:
        """Drop these records: 100,000 records need not be in memory at once."""
        for number in numbers:
            self._data.pop(number, None)
            self._records.pop(number, None)

    @property
    def last(self) -> int:
        """The number of the last record; 0 when there is none."""
        if self._last is None:
            self._last = self._beyond(self._search(lambda _: True))
        return self._last

    def at(self, moment: datetime.datetime) -> int:
        """The number of the last record that was written at or before a moment; 0 when there is none. Times of records never decrease."""

        def written(record: Record) -> bool:
            return record.time <= moment

        number = self._search(written)
        if self._last is None and self.data(number + 1) is None and self.last > number:
            number = self._search(written)  # the search took a hole for the end
        return self._counted(number)

    def looked(self, number: int, moment: datetime.datetime) -> int:
        """From a number on, the last record whose `seen` is at or before a moment: what the next record holds, no earlier record holds."""

        def is_before(candidate: int) -> bool:
            record = self.record(candidate)
            return self._data[candidate] is not None and (record is None or record.seen is None or record.seen <= moment)

        step = 1
        while is_before(number + step):
            number, step = number + step, step * 2
        while (step := step // 2) > 0:
            if is_before(number + step):
                number += step
        return self._counted(number)

    def _counted(self, number: int) -> int:
        """The last number up to this one whose record can be read and counts."""
        while number > 0 and self.record(number) is None:
            number -= 1
        return number

    def blob(self, name: str | None) -> bytes | None:
        """The bytes of a snapshot that a record names; None when they are missing or changed, which is a flaw."""
        data = self._fetch_blob(name) if name else None
        if name and (data is None or digest.named(data) != name):
            self.flaws[name] = f"the snapshot {name}, which the ledger names, is {'missing' if data is None else 'changed'}"
            return None
        return data

    def index(self, number: int) -> Index:
        """The index of the records up to this number."""
        folded = self._snapshot(number)
        for record in self.records(range(folded.sequence + 1, number + 1)):
            fold.add(folded, record)
        return folded

    def _snapshot(self, number: int) -> Index:
        """The newest readable snapshot that counts no record beyond this number."""
        while number > 0:
            record = self.record(number)
            pointer = record.index if record else None
            if record and pointer is None:
                break
            if pointer is None or not 0 < pointer.sequence < number:
                number -= 1
                continue
            data = self.blob(pointer.digest)
            try:
                if data is not None and (snapshot := Index.load(data)).sequence == pointer.sequence:
                    return snapshot
            except ValueError:  # of another release: the snapshot before it, or else the records, lead to the same index
                pass
            number = pointer.sequence
        return Index()

    def _beyond(self, end: int) -> int:
        """The last number that has an object, as far as the listing beyond a number without one shows."""
        while True:
            listed = sorted(number for number in self._listed(end + 1) if number > end)
            self._load(listed)
            for number in listed:
                if self._data[number] is None:
                    self._mark_missing(number)
            present = [number for number in listed if self._data[number] is not None]
            if not present:
                return end
            for number in range(end + 1, present[-1]):
                if number not in listed:
                    self._mark_missing(number)
            end = present[-1]

    def _mark_missing(self, number: int) -> None:
        self.flaws[number] = f"{self.chain.key(number)} is missing"

    def _search(self, matches: Callable[[Record], bool]) -> int:
        """The last number whose record matches; all records before it match, and none after it."""

        def matching(numbers: Sequence[int]) -> list[bool]:
            self._load(numbers)
            return [(self._last is not None or self._data[number] is not None) and self._matches(number, matches) for number in numbers]

        if self._last is None:
            bracket = list(itertools.takewhile(lambda pair: pair[1], zip(_POWERS, matching(_POWERS), strict=True)))
            low = bracket[-1][0] if bracket else 0
            high = _POWERS[len(bracket)] if len(bracket) < len(_POWERS) else low * 4
        else:
            low, high = 0, self._last + 1
        while high - low > 1:
            step = max(1, -(-(high - low) // (_PROBES + 1)))
            probes = list(range(low + step, high, step))
            for number, is_match in zip(probes, matching(probes), strict=True):
                if not is_match:
                    high = number
                    break
                low = number
        return low

    def _matches(self, number: int, matches: Callable[[Record], bool]) -> bool:
        """Whether a record matches; for a number without a readable record, the record before it decides."""
        while number > 0:
            if (record := self.record(number)) is not None:
                return matches(record)
            number -= 1
        return True

    def _load(self, numbers: Sequence[int]) -> None:
        wanted = [number for number in dict.fromkeys(numbers) if number not in self._data]
        if wanted:
            self._data.update(zip(wanted, self._fetch(wanted), strict=True))
            self._highest = max([self._highest, *(number for number in wanted if self._data[number] is not None)])

    def _parsed(self, number: int) -> Record | None:
        if number not in self._records:
            self._records[number] = self._parse(number)
        return self._records[number]

    def _parse(self, number: int) -> Record | None:
        if (data := self._data[number]) is None:
            return None
        key = self.chain.key(number)
        try:
            record = codec.read(data)
        except ValueError as error:
            self.flaws[number] = f"{key} was changed: {error}"
            return None
        if (record.chain, record.sequence) != (self.chain, number):
            self.flaws[number] = f"{key} is the record that belongs at {record.chain.key(record.sequence)}"
            return None
        if (why := self._fault(record)) and not self._is_vouched_for(number):
            self.flaws[number] = f"{key} is Unproven, and counts for nothing: {why}"
            return None
        self.term = max(self.term, record.term)
        return record

    def _fault(self, record: Record) -> str | None:
        return signature.fault(record, self._signers) if self._signers is not None else None

    def _is_vouched_for(self, number: int) -> bool:
        """Whether the next proven record proves this one too, through the digests between them: it may say that somebody else wrote this one."""
        if number in self._vouched_for:
            return self._vouched_for[number]
        trusted, after = trust.Trust(self._signers), number
        while (data := self.data(after)) is not None:
            try:
                record = codec.read(data)
            except ValueError:
                break
            if counted := trusted.add(record, digest.named(data)):
                self._vouched_for |= dict.fromkeys(range(number, after), len(counted) > 1)
                return self._vouched_for[number]
            after += 1
        self._vouched_for |= dict.fromkeys(range(number, after), False)
        return False
