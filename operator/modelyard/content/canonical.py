"""Canonical JSON (RFC 8785), and the conversion of any value to one that it can hold. Pure."""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import rfc8785

from modelyard.content import jsontext

_EXACT: Final = 2**53 - 1
"""Larger integers are not exact in every reader of JSON (RFC 7493), so RFC 8785 has none."""
_NAMES: Final = {math.inf: "Infinity", -math.inf: "-Infinity"}

dumps: Final[Callable[[Any], bytes]] = rfc8785.dumps


def loads(data: bytes) -> Any:
    """Read what `dumps` made, with numbers that `dumps` writes in the same way again.

    Raises:
        ValueError: it is no JSON, or nested too deep. It is canonical only if `dumps` gives the same bytes.
    """
    return jsontext.loads(data, parse_int=_integer)


def plain(value: object) -> Any:
    """A value as canonical JSON can hold it: NaN and the infinities by name, integers that JSON does not hold exactly as text in decimal,
    half a surrogate pair as `?`, sets as sorted lists, values of any other type as text.
    """  # noqa: D205
    match value:
        case None | bool():
            return value
        case str():
            return str(value).encode("utf-8", "replace").decode()
        case int():
            return int(value) if abs(value) <= _EXACT else _decimal(value)
        case float():
            return float(value) if math.isfinite(value) else _NAMES.get(value, "NaN")
        case Mapping():
            return {plain(str(key)): plain(item) for key, item in value.items()}
        case set() | frozenset():
            return sorted((plain(item) for item in value), key=dumps)
        case Sequence() if not isinstance(value, bytes | bytearray):
            return [plain(item) for item in value]
        case _:
            return plain(str(value))


def _decimal(value: int) -> str:
    """All digits, however many: different numbers must not look the same."""
    return format(decimal.Decimal(value), "f")


def _integer(text: str) -> int | float:
    """Read an integer; a large one may be a float, as RFC 8785 writes 1e17 with all its digits, though only a float holds such a number."""
    return int(text) if len(text) < 16 or abs(float(text)) <= _EXACT else float(text)
