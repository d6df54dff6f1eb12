"""When nobody watched: the spans between the terms of leadership, from the chain `_operator`. Pure."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable

from modelyard.plan import ledger
from modelyard.plan.ledger import Action


@dataclasses.dataclass(frozen=True, slots=True)
class Gap:
    """A span in which nothing was seen; no end: nobody has watched since, as far as is recorded."""

    since: datetime.datetime | None
    """None: nobody watched before."""
    until: datetime.datetime | None
    record: int
    """Number of the record of `_operator` that says so."""

    def covers(self, moment: datetime.datetime) -> bool:
        """Whether the moment lies within it; when it began something was seen last, and when it ended something again."""
        return (self.since is None or self.since < moment) and (self.until is None or moment < self.until)

    def overlaps(self, begin: datetime.datetime, end: datetime.datetime | None) -> bool:
        """Whether any of it lies between two moments."""
        return (self.until is None or begin < self.until) and (end is None or self.since is None or self.since < end)

    @property
    def words(self) -> str:
        """`unobserved between … and …`."""
        if self.since is None:
            return f"unobserved before {clock(self.until)}" if self.until else "nobody has ever watched, as far as is recorded"
        return f"unobserved between {clock(self.since)} and {clock(self.until)}" if self.until else f"unobserved since {clock(self.since)}"


def clock(moment: datetime.datetime | None) -> str:
    """A moment for people: `2026-10-03 14:00:02Z`, with microseconds where there are some."""
    if moment is None:
        return "-"
    form = "%Y-%m-%d %H:%M:%S.%fZ" if moment.microsecond else "%Y-%m-%d %H:%M:%SZ"
    return moment.astimezone(datetime.UTC).strftime(form)


def gaps(records: Iterable[ledger.Record]) -> list[Gap]:
    """The spans, the oldest first: until a first term began, between two terms, and after the last one ended as it should."""
    found: list[Gap] = []
    seen: datetime.datetime | None = None
    """Until when somebody is known to have watched."""
    ended: int | None = None
    number = 0
    for record in records:
        for one in record.facts:
            if one.action == Action.TERM_BEGAN:
                since = _time(one.detail.get("unobservedSince"))
                since = max((moment for moment in (since, seen) if moment), default=None)
                if since is None or since < record.time:
                    found.append(Gap(since, record.time, record.sequence))
                ended = None
            elif one.action == Action.TERM_ENDED:
                ended = record.sequence
            seen = record.time
        number = record.sequence
    if ended is not None:
        found.append(Gap(seen, None, ended))
    elif seen is None:
        found.append(Gap(None, None, number))
    return found


def _time(text: object) -> datetime.datetime | None:
    try:
        return ledger.read_time(text) if isinstance(text, str) else None
    except ValueError:
        return None
