"""Moments that people type."""

from __future__ import annotations

import datetime

from modelyard.cli import outcome


def now() -> datetime.datetime:
    """The present moment, in UTC."""
    return datetime.datetime.now(datetime.UTC)


def read(text: str, what: str, now: datetime.datetime) -> datetime.datetime:
    """`now`, a date, or a date and time; UTC where no offset is given.

    Raises:
        outcome.Stop: it is none, or it has not come yet.
    """
    if text == "now":
        return now
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise outcome.usage(f"{what} {text!r}: write a time like 2026-10-03T14:03:00Z, 2026-10-03 14:03 (UTC), or now") from None
    found = found if found.tzinfo else found.replace(tzinfo=datetime.UTC)
    if found > now:
        raise outcome.usage(f"{what} {text!r}: that time has not come yet")
    return found.astimezone(datetime.UTC)
