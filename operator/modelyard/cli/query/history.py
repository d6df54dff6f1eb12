"""`modelyard history`: what happened to a model, as a person reads it, the newest last."""

from __future__ import annotations

import datetime
from typing import Any, Final

from modelyard.audit import timeline
from modelyard.cli.reach import ledger_source
from modelyard.cli.terminal import output, times
from modelyard.ledger import codec, coverage, reader

_KNOWN = {"Authenticated": "", "Operator": "", "Declared": " (declared)", "Unknown": "?"}
_EVER: Final = datetime.datetime.max.replace(tzinfo=datetime.UTC)
"""The operator's clock may be ahead of this one; no record is left out."""


def history(
    typed: ledger_source.Typed, model: str, since: str | None, until: str | None, asked: str | None, now: datetime.datetime
) -> None:
    """Print every fact between two times."""
    form = output.form(asked, output.Form.TABLE, output.Form.JSON, output.Form.YAML)
    begin = times.read(since, "--since", now) if since else None
    end = times.read(until, "--until", now) if until else _EVER
    with ledger_source.opened(typed) as opened:
        book = opened.model(model)
        last = _last(book, end) if until else book.last
        first = book.at(begin - datetime.timedelta(microseconds=1)) + 1 if begin else 1
        # An entry has the time when it happened, even if it was recorded later.
        entries = sorted(timeline.entries(book.all(first, last)), key=lambda entry: str(entry["time"]))
        entries = [
            entry for entry in entries if (not begin or codec.write_time(begin) <= entry["time"]) and entry["time"] <= codec.write_time(end)
        ]
        start = codec.write_time(begin) if begin else entries[0]["time"] if entries else codec.write_time(now)
        entries = timeline.with_gaps(entries, opened.gaps, start, codec.write_time(end))
        warnings = opened.warnings(book)
    for warning in warnings:
        output.say(warning)
    if form is not output.Form.TABLE:
        output.write(output.document(entries, form))
    elif entries:
        output.write(output.columns(["TIME", "WHO", "WHAT", "WHY"], [_row(entry) for entry in entries]))
    else:
        output.say(f"nothing is recorded of {model} between these moments")


def _last(book: reader.ChainReader, end: datetime.datetime) -> int:
    """Return the last record that may describe events up to `end`: the one after those observed by then, if it exists."""
    number = book.looked(book.at(end), end) + 1
    return number if book.data(number) is not None else number - 1


def _row(entry: dict[str, Any]) -> list[str]:
    moment = coverage.clock(codec.read_time(entry["time"]).replace(microsecond=0))
    return [moment, f"{entry['who'] or ''}{_KNOWN.get(entry['known'], '')}" or "-", entry["what"], entry["why"] or ""]
