"""Which records of a chain count: those that are proven, and those that a person believed. Pure.

A record is proven by its signature, or by an anchor that names its digest. It holds the digest of the record before it, so it proves all
before it as well, unless it is the record in which a person says that they were somebody else's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Final

from modelyard.ledger import signature
from modelyard.ledger.record import Action, Record

UNPROVEN: Final = "Unproven"
"""As `proof.Kind` calls it."""
Told = tuple[str, int, str | None]
"""Kind, number and head of a flaw."""


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """Records, one behind the other, that nothing proves."""

    first: int
    last: int
    head: str
    """Digest of the last."""
    why: str
    """What the last one lacks."""


class Trust:
    """The records of a chain as they are read, in order.

    Args:
        keys: public keys whose signatures prove a record; None: signatures are not asked for, and every record counts.
        anchors: number and digest of records that are proven by what is kept outside the bucket.
    """

    def __init__(self, keys: signature.Keys | None, anchors: Iterable[tuple[int, str]] = ()) -> None:
        self._keys = keys
        self._anchors = set(anchors)
        self._waiting: list[Record] = []
        self._open: Run | None = None
        self._asked: tuple[str, str | None] = ("", None)
        """The digest of the record that was asked about last, and the answer."""
        self.decided: list[Run] = []
        """Runs of which a person said what they are."""
        self.proved = False
        """Whether any record was proven."""

    @property
    def runs(self) -> list[Run]:
        """Every run that is not simply proven by a later record; the last of them may be still open."""
        return [*self.decided, *([self._open] if self._open else [])]

    @property
    def waiting(self) -> Record | None:
        """The last record of the run that is open; None: the last record that was read is proven."""
        return self._waiting[-1] if self._waiting else None

    def fault(self, record: Record, digest: str) -> str | None:
        """Why a record proves nothing; None: it does."""
        if self._keys is None or (record.sequence, digest) in self._anchors:
            return None
        if self._asked[0] != digest:
            self._asked = digest, signature.fault(record, self._keys)
        return self._asked[1]

    def add(self, record: Record, digest: str) -> list[Record]:
        """The records that count from now on, in order; nothing while it is not known whether this one does."""
        if why := self.fault(record, digest):
            first = self._open.first if self._open else record.sequence
            self._open = Run(first, record.sequence, digest, why)
            self._waiting.append(record)
            return []
        self.proved = True
        before = self._settled(record)
        return [*before, record]

    def _settled(self, record: Record) -> list[Record]:
        """What a proven record makes of those before it that wait: they count, unless it says that they do not."""
        if (run := self._open) is None:
            return []
        waited, self._waiting, self._open = self._waiting, [], None
        told = {flaw: believed for flaw, believed in acceptances(record) if flaw == (UNPROVEN, run.last, run.head)}
        if told:
            self.decided.append(run)
        return waited if all(told.values()) else []


def acceptances(record: Record) -> Iterator[tuple[Told, bool]]:
    """The flaws that a person accepts in a record, each with whether they believe what is Unproven."""
    for entry in record.facts:
        flaws = entry.detail.get("flaws") if entry.action == Action.ACCEPTED else None
        believed = entry.detail.get("believed") is True
        for flaw in flaws if isinstance(flaws, list) else ():
            match flaw:
                case {"kind": str(kind), "sequence": int(sequence), "head": str() | None as head}:
                    yield (kind, sequence, head), believed
