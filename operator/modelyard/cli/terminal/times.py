"""Times that people type."""

from __future__ import annotations

import datetime
from typing import Final

from modelyard.cli.terminal import exits

_FIRST: Final = datetime.datetime(1, 1, 2, tzinfo=datetime.UTC)
"""From here on a time converts to UTC, whatever its offset, and has a predecessor."""


def now() -> datetime.datetime:
    """Return the current time in UTC."""
    return datetime.datetime.now(datetime.UTC)


def read(text: str, what: str, now: datetime.datetime) -> datetime.datetime:
    """Parse `now`, a date, or a date and time; UTC where no offset is given.

    Raises:
        exits.Stop: the text is no time, or the time is before `_FIRST` or in the future.
    """
    if text == "now":
        return now
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise exits.usage(f"{what} {text!r}: write a time like 2026-10-03T14:03:00Z, 2026-10-03 14:03 (UTC), or now") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    if moment < _FIRST:
        raise exits.usage(f"{what} {text!r}: nothing can be told of what was before {_FIRST.date()}")
    if moment > now:
        raise exits.usage(f"{what} {text!r}: that time has not come yet")
    return moment.astimezone(datetime.UTC)
