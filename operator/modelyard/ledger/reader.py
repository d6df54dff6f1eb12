"""A chain read only as far as a question needs: the record of an instant by search, the index from its last snapshot on. Pure."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from modelyard.ledger import codec, fold, signature, trust
from modelyard.ledger.index import Index
from modelyard.ledger.record import Chain, Record

Fetch = Callable[[Sequence[int]], Sequence[bytes | None]]
"""The objects of these numbers, None where there is none; all of them may be asked for at once."""
Listed = Callable[[int], Iterable[int]]
"""Numbers from one on that have an object or had one; others may be among them, and not all of them need be."""
_POWERS: Final = tuple(4**power for power in range(11))
"""The first look: one round of reads brackets the end of any chain within a factor of four."""
_PROBES: Final = 3
"""Reads of one round of the search: a quarter is left each time."""
PAGE: Final = 256


class Book:
    """One chain. What was read is kept, and so is what was found wrong with it.

    Args:
        chain: whose records.
        fetch: reads objects of the chain.
        blob: bytes by name (`sha256:<hex>`), or None; whether they are those bytes is checked here.
        listed: tells what a record that is missing looks like from its neighbours: the end, or a hole.
        last: read as if it had no more records than this; None: the last is searched for.
        signers: public keys that records are believed from; None: they are not asked for signatures.
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
        """What is wrong with a number, or with what a record names, in words."""
        self.term = 0
        """The latest leadership that a record which was read was written under."""
        self._fetch = fetch
        self._ask = blob
        self._listed = listed
        self._last = last
        self._highest = 0
        """The highest number that was found to have an object."""
        self._data: dict[int, bytes | None] = {}
        self._read: dict[int, Record | None] = {}
        self._signers = signers
        self._counts: dict[int, bool] = {}
        """Of records that no signature proves: whether they count all the same."""

    def data(self, number: int) -> bytes | None:
        """A record's bytes."""
        self._get([number])
        return self._data[number]

    def record(self, number: int) -> Record | None:
        """One record; None when there is none, or something else is there."""
        return next(iter(self.records([number])), None)

    def records(self, numbers: Sequence[int]) -> list[Record]:
        """Those of these numbers that can be read; the others are in `flaws`, unless they lie beyond the end."""
        wanted = [number for number in numbers if number > 0]
        self._get(wanted)
        for number in wanted:
            if self._data[number] is None and number < self._highest:
                self._miss(number)
        return [found for number in wanted if (found := self._parsed(number)) is not None]

    def all(self, first: int = 1, last: int | None = None) -> Iterator[Record]:
        """Every record from one number to another, by default to the end; several are read at once, none is kept."""
        end = self.last if last is None else last
        for begin in range(first, end + 1, PAGE):
            numbers = range(begin, min(begin + PAGE, end + 1))
            known = set(self._data)
            found = self.records(numbers)
            self.forget([number for number in numbers if number not in known])
            yield from found

    def forget(self, numbers: Iterable[int]) -> None:
        """These are not kept: 100,000 records need not be held at once."""
        for number in numbers:
            self._data.pop(number, None)
            self._read.pop(number, None)

    @property
    def last(self) -> int:
        """The number of the last record; 0 when there is none."""
        if self._last is None:
            self._last = self._beyond(self._search(lambda _: True))
        return self._last

    def at(self, moment: datetime.datetime) -> int:
        """The number of the last record that was written at or before a moment; 0 when there is none. Times of records never go back."""

        def written(record: Record) -> bool:
            return record.time <= moment

        number = self._search(written)
        if self._last is None and self.data(number + 1) is None and self.last > number:
            number = self._search(written)  # what looked like the end was a hole
        return self._counted(number)

    def looked(self, number: int, moment: datetime.datetime) -> int:
        """From a number on the last record that looked at or before a moment: what the next one tells, nobody before it tells."""

        def before(wanted: int) -> bool:
            record = self.record(wanted)
            return self._data[wanted] is not None and (record is None or record.seen is None or record.seen <= moment)

        step = 1
        while before(number + step):
            number, step = number + step, step * 2
        while (step := step // 2) > 0:
            if before(number + step):
                number += step
        return self._counted(number)

    def _counted(self, number: int) -> int:
        """The last number up to this one whose record can be read, and counts."""
        while number > 0 and self.record(number) is None:
            number -= 1
        return number

    def blob(self, name: str | None) -> bytes | None:
        """The bytes of a name that a record names; None when they are not there, or are others, which is a flaw."""
        data = self._ask(name) if name else None
        if name and (data is None or codec.named(data) != name):
            self.flaws[name] = f"the snapshot {name}, which the ledger names, is {'missing' if data is None else 'changed'}"
            return None
        return data

    def index(self, number: int) -> Index:
        """What the records up to this number fold to."""
        folded = self._snapshot(number)
        for record in self.records(range(folded.sequence + 1, number + 1)):
            fold.add(folded, record)
        return folded

    def _snapshot(self, number: int) -> Index:
        """The newest snapshot that can be read and counts nothing beyond this number."""
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
                if data is not None and (found := Index.load(data)).sequence == pointer.sequence:
                    return found
            except ValueError:  # of another release: the one before it, else the records themselves, tell as much
                pass
            number = pointer.sequence
        return Index()

    def _beyond(self, end: int) -> int:
        """The last number that has an object, as far as what is listed beside a number without one tells."""
        while True:
            listed = sorted(number for number in self._listed(end + 1) if number > end)
            self._get(listed)
            for number in listed:
                if self._data[number] is None:
                    self._miss(number)
            there = [number for number in listed if self._data[number] is not None]
            if not there:
                return end
            for number in range(end + 1, there[-1]):
                if number not in listed:
                    self._miss(number)
            end = there[-1]

    def _miss(self, number: int) -> None:
        self.flaws[number] = f"{self.chain.key(number)} is missing"

    def _search(self, holds: Callable[[Record], bool]) -> int:
        """The last number for which something holds, which holds for the records up to some number and for none after it."""

        def held(numbers: Sequence[int]) -> list[bool]:
            self._get(numbers)
            return [(self._last is not None or self._data[number] is not None) and self._holds(number, holds) for number in numbers]

        if self._last is None:
            bracket = list(itertools.takewhile(lambda pair: pair[1], zip(_POWERS, held(_POWERS), strict=True)))
            low = bracket[-1][0] if bracket else 0
            high = _POWERS[len(bracket)] if len(bracket) < len(_POWERS) else low * 4
        else:
            low, high = 0, self._last + 1
        while high - low > 1:
            step = max(1, -(-(high - low) // (_PROBES + 1)))
            probes = list(range(low + step, high, step))
            for number, yes in zip(probes, held(probes), strict=True):
                if not yes:
                    high = number
                    break
                low = number
        return low

    def _holds(self, number: int, holds: Callable[[Record], bool]) -> bool:
        """Of what is missing or cannot be read, what comes before it decides."""
        while number > 0:
            if (record := self.record(number)) is not None:
                return holds(record)
            number -= 1
        return True

    def _get(self, numbers: Sequence[int]) -> None:
        wanted = [number for number in dict.fromkeys(numbers) if number not in self._data]
        if wanted:
            self._data.update(zip(wanted, self._fetch(wanted), strict=True))
            self._highest = max([self._highest, *(number for number in wanted if self._data[number] is not None)])

    def _parsed(self, number: int) -> Record | None:
        if number not in self._read:
            self._read[number] = self._parse(number)
        return self._read[number]

    def _parse(self, number: int) -> Record | None:
        if (data := self._data[number]) is None:
            return None
        key = self.chain.key(number)
        try:
            found = codec.read(data)
        except ValueError as error:
            self.flaws[number] = f"{key} was changed: {error}"
            return None
        if (found.chain, found.sequence) != (self.chain, number):
            self.flaws[number] = f"{key} is the record that belongs at {found.chain.key(found.sequence)}"
            return None
        if (why := self._fault(found)) and not self._is_vouched_for(number):
            self.flaws[number] = f"{key} is Unproven, and counts for nothing: {why}"
            return None
        self.term = max(self.term, found.term)
        return found

    def _fault(self, record: Record) -> str | None:
        return signature.fault(record, self._signers) if self._signers is not None else None

    def _is_vouched_for(self, number: int) -> bool:
        """Whether the next record that is proven proves this one as well, as it holds its digest: it may say that somebody else wrote it."""
        if number in self._counts:
            return self._counts[number]
        trusted, after = trust.Trust(self._signers), number
        while (data := self.data(after)) is not None:
            try:
                record = codec.read(data)
            except ValueError:
                break
            if counted := trusted.add(record, codec.named(data)):
                self._counts |= dict.fromkeys(range(number, after), len(counted) > 1)
                return self._counts[number]
            after += 1
        self._counts |= dict.fromkeys(range(number, after), False)
        return False
