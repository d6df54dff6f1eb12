"""How the demo talks: numbered chapters, sentences, and what people would type."""

from __future__ import annotations

import os
import shlex
import sys
import textwrap
import time
from typing import Final

_COLOR: Final = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
_BEGAN: Final = time.monotonic()
_WIDTH: Final = 110


def chapter(title: str) -> None:
    """A new part of the story, with the minutes since the start."""
    passed = time.monotonic() - _BEGAN
    _print()
    _print(_paint("1;36", f"━━ {title} ") + _paint("36", f"({passed // 60:.0f}:{passed % 60:02.0f})"))


def say(text: str) -> None:
    """A sentence or two."""
    for line in textwrap.wrap(" ".join(text.split()), _WIDTH):
        _print(line)


def typed(*command: str) -> None:
    """What was just run, as a person would type it; long ones over several lines, an option and its value together."""
    parts: list[str] = []
    for word in (shlex.quote(each) for each in command):
        if word.startswith("--") or not parts:
            parts.append(word)
        else:
            parts[-1] += f" {word}"
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) > _WIDTH - 8:
            lines.append(f"    {part}")
        else:
            lines[-1] += f" {part}"
    _print(_paint("2", "  $ " + " \\\n  ".join(lines)))


def seen(text: str) -> None:
    """Something that was observed."""
    for line in text.rstrip().splitlines():
        _print(f"  {line}")


def good(text: str) -> None:
    """Something that is as it should be."""
    _print(_paint("32", f"  ✔ {text}"))


def bad(text: str) -> None:
    """Something that is not."""
    _print(_paint("31", f"  ✘ {text}"))


def _paint(color: str, text: str) -> str:
    return f"\033[{color}m{text}\033[0m" if _COLOR else text


def _print(text: str = "") -> None:
    print(text, flush=True)
