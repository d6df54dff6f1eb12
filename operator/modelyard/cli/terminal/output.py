"""What verbs print: results on standard output, messages on standard error; colour only for a terminal."""

from __future__ import annotations

import contextlib
import enum
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TextIO

from modelyard.cli.terminal import exits


class Form(enum.StrEnum):
    """What `-o` can ask for."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"
    SUMS = "sums"
    HTML = "html"


COLOURS: Final[Mapping[str, str]] = {
    "Ready": "32", "Succeeded": "32", "Serving": "32", "Granted": "32", "True": "32",
    "Pending": "33", "Verifying": "33", "RollingOut": "33", "Rolling": "33", "AwaitingApproval": "33", "Unknown": "33", "Deprecated": "33",
    "Blocked": "31", "Failed": "31", "Quarantined": "31", "Reused": "31", "RolledBack": "31", "Rejected": "31", "Aborted": "31", "False": "31",
    "Retired": "2", "Superseded": "2",
}  # fmt: skip
"""Word of a status → SGR colour."""


def form(asked: str | None, *allowed: Form) -> Form:
    """Return the requested form, or the first of the allowed ones.

    Raises:
        exits.Stop: this verb has no such form.
    """
    if asked is None:
        return allowed[0]
    if asked not in allowed:
        raise exits.usage(f"-o {asked}: this verb prints {', '.join(allowed)}")
    return Form(asked)


def document(value: object, asked: Form) -> str:
    """Render a value as JSON or YAML, ending in a newline; keys keep their order."""
    if asked is Form.JSON:
        try:
            text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        except ValueError:  # JSON has no NaN and no infinity
            text = json.dumps(_finite(value), indent=2, ensure_ascii=False)
        return "\n".join(_escaped(line) for line in text.split("\n")) + "\n"
    import yaml  # noqa: PLC0415  only who asks for YAML waits for it

    class Dumper(yaml.SafeDumper):
        """A dumper that writes no anchors."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
            return True

    text = str(yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120))
    if all(line.isprintable() for line in text.split("\n")):
        return text
    return str(yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=False, width=120))


def _finite(value: Any) -> Any:
    """Return a value with NaN and infinities as text."""
    match value:
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case float() if not math.isfinite(value):
            return str(value)
        case _:
            return value


def _escaped(line: str) -> str:
    """Escape control and unprintable characters in a line of JSON; it parses to the same value."""
    if line.isprintable():
        return line
    return "".join(sign if sign.isprintable() else json.dumps(sign)[1:-1] for sign in line)


def write(text: str) -> None:
    """Print a result on standard output; exit when the reader has closed the pipe."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # Otherwise the interpreter fails on the same pipe while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(exits.Code.DONE)


def say(text: str) -> None:
    """Print a message on standard error; a closed pipe is no failure."""
    with contextlib.suppress(BrokenPipeError):
        print("\n".join(safe(line) for line in text.split("\n")), file=sys.stderr, flush=True)


def safe(text: str) -> str:
    """Escape control characters in one line from a cluster or a store: a terminal would obey them."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def coloured(stream: TextIO | None = None) -> bool:
    """Whether a stream is a terminal that wants colour."""
    stream = stream or sys.stdout
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def columns(heads: Sequence[str], rows: Sequence[Sequence[str]], *, colour: bool = False) -> str:
    """Render a table as kubectl does: three blanks between columns, nothing cut off."""
    table = [list(heads), *(list(row) for row in rows)]
    widths = [max(_cells(row[number]) for row in table) for number in range(len(heads))]
    lines = []
    for row in table:
        parts = [safe(cell) + " " * (width - _cells(cell)) for cell, width in zip(row, widths, strict=True)]
        lines.append("   ".join(painted(part, colour=colour) for part in parts).rstrip())
    return "\n".join(lines) + "\n"


def text(sections: Iterable[tuple[str, Sequence[tuple[str, str]] | str]], *, colour: bool | None = None) -> str:
    """Render sections under their titles: lines of `name  value`, or a table as it is; leave out empty sections."""
    colour = coloured(sys.stdout) if colour is None else colour
    lines = []
    for title, rows in sections:
        if not rows:
            continue
        lines.append(f"\x1b[1m{safe(title)}\x1b[0m" if colour else safe(title))
        if isinstance(rows, str):
            lines += [f"  {line}" for line in rows.splitlines()]
            continue
        width = max(len(safe(name)) for name, _ in rows)
        for name, value in rows:
            first, *more = value.split("\n")
            lines.append(f"  {safe(name):{width}}  {painted(safe(first), colour=colour)}".rstrip())
            lines += [f"  {'':{width}}  {safe(line)}".rstrip() for line in more]
    return "\n".join(lines) + "\n"


def painted(part: str, *, colour: bool) -> str:
    """Colour a cell by its first word, if that word has a colour."""
    code = COLOURS.get(part.split(" ", 1)[0].rstrip(",:")) if colour else None
    return f"\x1b[{code}m{part}\x1b[0m" if code else part


def _cells(text: str) -> int:
    shown = safe(text)
    if shown.isascii():
        return len(shown)
    from rich import cells  # noqa: PLC0415

    return cells.cell_len(shown)


def size(count: int) -> str:
    """Bytes for people: `812 B`, `46.3 KiB`, `1.2 GiB`."""
    if count < 1024:
        return f"{count} B"
    power = min((count.bit_length() - 1) // 10, 4)
    return f"{count / 1024**power:.1f} {('KiB', 'MiB', 'GiB', 'TiB')[power - 1]}"


def many(count: int, noun: str) -> str:
    """`1 file`, `7 files`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def number(value: float) -> str:
    """A metric as it was declared: `0.934`, `31` rather than `31.0`."""
    return repr(value).removesuffix(".0")
