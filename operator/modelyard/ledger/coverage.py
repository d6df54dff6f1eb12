"""When nobody watched, from the terms of leadership in the chain `_operator`, and when what was observed could not be kept. Pure."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Sequence
from typing import Any

from modelyard.ledger import codec, fold, index
from modelyard.ledger.record import Action, Record


@dataclasses.dataclass(frozen=True, slots=True)
class Gap:
    """A span in which nothing was observed; without an end: nobody has watched since, as far as is recorded."""

    since: datetime.datetime | None
    """None: nobody watched before."""
    until: datetime.datetime | None
    record: int
    """Number of the record that says so: in `_operator`, or in the model's chain where what was observed could not be kept."""
    seen: bool = False
    """Somebody watched, but what they observed was lost before the ledger answered."""

    def covers(self, moment: datetime.datetime) -> bool:
        """Whether the moment lies in the gap. Its end does not, as something was observed again; its begin does only if that observation was lost."""
        begun = self.since is None or self.since < moment or (self.seen and self.since == moment)
        return begun and (self.until is None or moment < self.until)

    def overlaps(self, begin: datetime.datetime, end: datetime.datetime | None) -> bool:
        """Whether any of the gap lies between two moments."""
        return (self.until is None or begin < self.until) and (end is None or self.since is None or self.since < end)

    def length(self, begin: datetime.datetime, end: datetime.datetime) -> datetime.timedelta:
        """How much of the gap lies between two moments."""
        since, until = max(self.since or begin, begin), min(self.until or end, end)
        return max(until - since, datetime.timedelta())

    @property
    def words(self) -> str:
        """`unobserved between … and …`."""
        if self.seen:
            return f"not recorded between {clock(self.since)} and {clock(self.until)}, as more happened than could be kept"
        if self.since is None:
            return f"unobserved before {clock(self.until)}" if self.until else "nobody has ever watched, as far as is recorded"
        return f"unobserved between {clock(self.since)} and {clock(self.until)}" if self.until else f"unobserved since {clock(self.since)}"


def clock(moment: datetime.datetime | None) -> str:
    """A moment for people: `2026-10-03 14:00:02Z`, with microseconds where there are some."""
    if moment is None:
        return "-"
    form = "%Y-%m-%d %H:%M:%S.%fZ" if moment.microsecond else "%Y-%m-%d %H:%M:%SZ"
    return moment.astimezone(datetime.UTC).strftime(form)


def gaps(records: Iterable[Record]) -> list[Gap]:
    """The gaps, the oldest first: before the first term, between two terms, and after the last term when it ended as it should."""
    folded = index.Index()
    terms: list[list[Any]] = []
    for record in records:
        folded.terms.clear()
        fold.add(folded, record)
        terms += folded.terms
    return of_terms(terms, folded.sequence)


def of_terms(terms: Iterable[Sequence[Any]], last: int = 0) -> list[Gap]:
    """The gaps between terms, as the index of `_operator` has them.

    Args:
        terms: `index.Index.terms`.
        last: number of the last record.
    """
    found: list[Gap] = []
    watched_until: datetime.datetime | None = None
    """Until when somebody surely watched."""
    ended: int | None = None
    for began, unobserved, written, number in terms:
        time = codec.read_time(written)
        if began:
            since = max((moment for moment in (_time(unobserved), watched_until) if moment), default=None)
            if since is None or since < time:
                found.append(Gap(since, time, number))
        ended = None if began else number
        watched_until = time
    if ended is not None:
        found.append(Gap(watched_until, None, ended))
    elif watched_until is None:
        found.append(Gap(None, None, last))
    return found


def forgotten(folded: index.Index) -> list[Gap]:
    """The gaps of a model's chain in which more was observed than could be kept."""
    return [gap for since, until, number in folded.forgotten if (gap := _lost(since, until, number))]


def lost(record: Record | None) -> list[Gap]:
    """The same gaps, of a single record."""
    entries = [entry for entry in (record.facts if record else ()) if entry.action == Action.FORGOTTEN]
    return [gap for entry in entries if record and (gap := _lost(entry.detail.get("since"), entry.detail.get("until"), record.sequence))]


def _lost(since: object, until: object, record: int) -> Gap | None:
    begin, end = _time(since), _time(until)
    return Gap(begin, end, record, seen=True) if begin and end else None


def _time(text: object) -> datetime.datetime | None:
    try:
        return codec.read_time(text) if isinstance(text, str) else None
    except ValueError:
        return None
