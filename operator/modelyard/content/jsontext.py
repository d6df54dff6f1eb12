"""JSON that others wrote: it is parsed without recursing too deep, and measured afterwards. Pure.

Python's parser fails at some thousand levels with RecursionError, which is no ValueError; the API server accepts ten thousand. Code that walks through a
value recursively (to copy, print or hash it) fails much earlier.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

LEVELS: Final = 100
"""Levels of nesting that are read; a Model with a full pod template has some 20."""
VALUES: Final = 50_000
"""Values in one object: text of a megabyte may be half a million values, each of which takes 64 bytes and more."""
_KEPT: Final = LEVELS + 20
"""Levels that `cut` leaves: more than an object may have, even as an item of a list or in an event."""
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)


def loads(text: str | bytes, **options: Any) -> Any:
    """Parse a JSON document.

    Args:
        text: the document.
        options: as `json.loads` takes them.

    Raises:
        ValueError: it is no JSON, or nested deeper than LEVELS.
    """
    try:
        document = json.loads(text, **options)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {LEVELS} levels") from None
    if is_deep(document):
        raise ValueError(f"it is nested deeper than {LEVELS} levels")
    return document


def load_cut(text: bytes) -> Any:
    """Parse a JSON document without values that are nested far too deep; `excess` finds that there were some.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return json.loads(text)
    except RecursionError:
        return json.loads(cut(text))


def shallow(text: bytes) -> bytes:
    """The text, `cut` if it is too deep for a parser."""
    if text.count(b"{") + text.count(b"[") <= _KEPT:
        return text
    try:
        return cut(text) if is_deep(json.loads(text), _KEPT) else text
    except RecursionError:
        return cut(text)
    except ValueError:  # the parser will raise it again
        return text


def cut(text: bytes) -> bytes:
    """The text with `null` for values that are nested too deep to be read; a text that is no JSON stays none."""
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
    """Whether a value is nested deeper than so many levels."""
    return _measure(value)[0] > levels


def excess(value: Mapping[str, Any]) -> str | None:
    """The field of an object that is too large to be read, as `field (why)`; None when there is none."""
    depth, count = _measure(value)
    if count > VALUES:
        return f"{_where(value, lambda part: _measure(part)[1], VALUES // 2)} (more than {VALUES:,} values)"
    if depth > LEVELS:
        return f"{_where(value, lambda part: _measure(part)[0], LEVELS - _NAMED)} (nested more than {LEVELS} levels deep)"
    return None


_NAMED: Final = 8
"""Parts of a path that `_where` names."""


def _measure(value: object) -> tuple[int, int]:
    """The number of levels, and of values."""
    depth, count, level = 0, 1, [value]
    while level := [container for container in level if isinstance(container, dict | list)]:
        depth += 1
        level = [child for container in level for child in (container.values() if isinstance(container, dict) else container)]
        count += len(level)
    return depth, count


def _where(value: object, measure: Callable[[object], int], enough: int) -> str:
    """The path of the field that measures most, as far as it measures more than enough."""
    path: list[str] = []
    while len(path) < _NAMED and isinstance(value, dict | list) and value:
        children = value.items() if isinstance(value, dict) else enumerate(value)
        size, name, part = max(((measure(part), str(name), part) for name, part in children), key=lambda measured: measured[0])
        if size <= enough:
            break
        path.append(name[:64])
        value = part
    return ".".join(path) or "the object"
