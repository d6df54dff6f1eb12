"""JSON that others wrote: parsed without recursing into what is nested too deep, and measured once it is parsed. Pure.

Python's parser gives up at some thousand levels with RecursionError, which is no ValueError; the API server takes ten thousand. Whoever walks through a
value recursively (to copy, print or hash it) gives up much earlier.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

LEVELS: Final = 100
"""Levels of nesting of what is read; a Model with a full pod template has some 20."""
VALUES: Final = 50_000
"""Values in one object: text of a megabyte may be half a million values, each of which takes 64 bytes and more."""
_KEPT: Final = LEVELS + 20
"""Levels that `cut` leaves: more than one object may have, even as an item of a list or in an event."""
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)


def loads(text: str | bytes, **options: Any) -> Any:
    """A JSON document.

    Args:
        text: the document.
        options: as `json.loads` takes them.

    Raises:
        ValueError: it is none, or nested deeper than LEVELS.
    """
    try:
        found = json.loads(text, **options)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {LEVELS} levels") from None
    if is_deep(found):
        raise ValueError(f"it is nested deeper than {LEVELS} levels")
    return found


def load_cut(text: bytes) -> Any:
    """A JSON document in which only what is nested far too deep may be missing; `excess` finds that it was there.

    Raises:
        ValueError: it is none.
    """
    try:
        return json.loads(text)
    except RecursionError:
        return json.loads(cut(text))


def shallow(text: bytes) -> bytes:
    """The text, `cut` if that matters to whoever parses it."""
    if text.count(b"{") + text.count(b"[") <= _KEPT:
        return text
    try:
        return cut(text) if is_deep(json.loads(text), _KEPT) else text
    except RecursionError:
        return cut(text)
    except ValueError:  # for whoever parses it to say
        return text


def cut(text: bytes) -> bytes:
    """The text with `null` for whatever is nested so deep that nobody reads it; what is no JSON stays none."""
    pieces, depth, done = [], 0, 0
    for token in _TOKEN.finditer(text):
        match token[0]:
            case b"{" | b"[":
                depth += 1
                if depth == _KEPT + 1:
                    pieces.append(text[done : token.start()])
            case b"}" | b"]":
                if depth == _KEPT + 1:
                    pieces.append(b"null")
                    done = token.end()
                depth -= 1
    return b"".join(pieces) + (text[done:] if depth <= _KEPT else b"")


def is_deep(value: object, levels: int = LEVELS) -> bool:
    """Whether a value is nested deeper than that."""
    return _measure(value)[0] > levels


def excess(value: Mapping[str, Any]) -> str | None:
    """What of an object is too much to be read, as `field (why)`; None when all of it may be."""
    depth, count = _measure(value)
    if count > VALUES:
        return f"{_where(value, lambda part: _measure(part)[1], VALUES // 2)} (more than {VALUES:,} values)"
    if depth > LEVELS:
        return f"{_where(value, lambda part: _measure(part)[0], LEVELS - _NAMED)} (nested more than {LEVELS} levels deep)"
    return None


_NAMED: Final = 8
"""Parts of a path that are named."""


def _measure(value: object) -> tuple[int, int]:
    """Levels and values."""
    depth, count, level = 0, 1, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [below for each in level for below in (each.values() if isinstance(each, dict) else each)]
        count += len(level)
    return depth, count


def _where(value: object, measure: Callable[[object], int], enough: int) -> str:
    """The field that has most of it."""
    path: list[str] = []
    while len(path) < _NAMED and isinstance(value, dict | list) and value:
        below = value.items() if isinstance(value, dict) else enumerate(value)
        size, name, part = max(((measure(part), str(name), part) for name, part in below), key=lambda found: found[0])
        if size <= enough:
            break
        path.append(name[:64])
        value = part
    return ".".join(path) or "the object"
