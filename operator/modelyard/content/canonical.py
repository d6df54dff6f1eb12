"""JSON in its one canonical form (RFC 8785), and any value made fit for it. Pure."""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import rfc8785

from modelyard.content import jsontext

_EXACT: Final = 2**53 - 1
"""Integers beyond are not exact in every reader of JSON (RFC 7493), so RFC 8785 has none."""
_NAMES: Final = {math.inf: "Infinity", -math.inf: "-Infinity"}

dumps: Final[Callable[[Any], bytes]] = rfc8785.dumps


def loads(data: bytes) -> Any:
    """What `dumps` made, with numbers such that `dumps` makes the same of them again.

    Raises:
        ValueError: it is no JSON, or nested too deep. That it is canonical is only known when `dumps` gives the same bytes.
    """
    return jsontext.loads(data, parse_int=_integer)


def plain(value: object) -> Any:
    """A value as canonical JSON can hold it: NaN and the infinities by name, integers that JSON does not hold exactly as text in decimal,
    half a surrogate pair as `?`, sets as sorted lists, what is unknown as text.
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
            return {plain(str(key)): plain(one) for key, one in value.items()}
        case set() | frozenset():
            return sorted((plain(one) for one in value), key=dumps)
        case Sequence() if not isinstance(value, bytes | bytearray):
            return [plain(one) for one in value]
        case _:
            return plain(str(value))


def _decimal(value: int) -> str:
    """All digits, however many: what differs must not look the same."""
    return format(decimal.Decimal(value), "f")


def _integer(text: str) -> int | float:
    """RFC 8785 writes 1e17 with all its digits, though only a float holds such a number."""
    return int(text) if len(text) < 16 or abs(float(text)) <= _EXACT else float(text)
