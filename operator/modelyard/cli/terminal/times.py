"""Moments that people type."""

from __future__ import annotations

import datetime
from typing import Final

from modelyard.cli.terminal import exits

_FIRST: Final = datetime.datetime(1, 1, 2, tzinfo=datetime.UTC)
"""From here on a moment has one in UTC, and one before it, whatever its offset."""


def now() -> datetime.datetime:
    """The present moment, in UTC."""
    return datetime.datetime.now(datetime.UTC)


def read(text: str, what: str, now: datetime.datetime) -> datetime.datetime:
    """`now`, a date, or a date and time; UTC where no offset is given.

    Raises:
        outcome.Stop: it is none, it is before all that can be told, or it has not come yet.
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
