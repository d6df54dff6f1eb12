"""Which records of a chain count: the proven ones, and those that a person believes. Pure.

A record is proven by its signature, or by an anchor that names its digest. It holds the digest of the record before it, so it proves all
before it as well, unless it is the record in which a person says that somebody else wrote them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Final

from modelyard.ledger import signature
from modelyard.ledger.record import Action, Record

UNPROVEN: Final = "Unproven"
"""The name of this kind of flaw, as in `integrity.Kind`."""
FlawIdentity = tuple[str, int, str | None]
"""Kind, number and head of a flaw."""


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """Consecutive records that nothing proves."""

    first: int
    last: int
    head: str
    """Digest of the last record."""
    why: str
    """Why the last record is not proven."""


class Trust:
    """The records of a chain as they are read, in order.

    Args:
        keys: public keys whose signatures prove a record; None: signatures are not checked, and every record counts.
        anchors: number and digest of records that are kept outside the bucket, which proves the records.
    """

    def __init__(self, keys: signature.Keys | None, anchors: Iterable[tuple[int, str]] = ()) -> None:
        self._keys = keys
        self._anchors = set(anchors)
        self._waiting: list[Record] = []
        self._open_run: Run | None = None
        self._last_fault: tuple[str, str | None] = ("", None)
        """The digest of the record that `fault` checked last, and its result."""
        self.decided: list[Run] = []
        """Runs that a person decided on."""
        self.proved = False
        """Whether any record was proven."""

    @property
    def runs(self) -> list[Run]:
        """Every run that no later record simply proves; the last one may still be open."""
        return [*self.decided, *([self._open_run] if self._open_run else [])]

    @property
    def waiting(self) -> Record | None:
        """The last record of the open run; None: the last record that was read is proven."""
        return self._waiting[-1] if self._waiting else None

    def fault(self, record: Record, digest: str) -> str | None:
        """Why a record is not proven by itself; None: it is."""
        if self._keys is None or (record.sequence, digest) in self._anchors:
            return None
        if self._last_fault[0] != digest:
            self._last_fault = digest, signature.fault(record, self._keys)
        return self._last_fault[1]

    def add(self, record: Record, digest: str) -> list[Record]:
        """Add a record, and return the records that count from now on, in order; none while it is open whether this one counts."""
        if why := self.fault(record, digest):
            first = self._open_run.first if self._open_run else record.sequence
            self._open_run = Run(first, record.sequence, digest, why)
            self._waiting.append(record)
            return []
        self.proved = True
        earlier = self._settled(record)
        return [*earlier, record]

    def _settled(self, record: Record) -> list[Record]:
        """The waiting records that a proven record makes count: all of them, unless it says that they do not."""
        if (run := self._open_run) is None:
            return []
        waiting, self._waiting, self._open_run = self._waiting, [], None
        decisions = {flaw: believed for flaw, believed in acceptances(record) if flaw == (UNPROVEN, run.last, run.head)}
        if decisions:
            self.decided.append(run)
        return waiting if all(decisions.values()) else []


def acceptances(record: Record) -> Iterator[tuple[FlawIdentity, bool]]:
    """The flaws that a person accepts in a record, each with whether they believe the Unproven records."""
    for entry in record.facts:
        flaws = entry.detail.get("flaws") if entry.action == Action.ACCEPTED else None
        believed = entry.detail.get("believed") is True
        for flaw in flaws if isinstance(flaws, list) else ():
            match flaw:
                case {"kind": str(kind), "sequence": int(sequence), "head": str() | None as head}:
                    yield (kind, sequence, head), believed
