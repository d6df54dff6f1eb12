"""What kubectl prints of the pretended API server: `get` by the CRDs' columns, `describe` as its generic describer (kubectl's pkg/describe)."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from modelyard.api.openapi import crd

Json = Mapping[str, Any]
Event = tuple[datetime.datetime, str, str, str]
"""When, type, reason, message."""

_FILTER: Final = re.compile(r"(\w+)\[\?\(@\.(\w+)=='([^']*)'\)\]")
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_ACRONYMS: Final = {"api": "API", "url": "URL", "uid": "UID", "guid": "GUID"}
_OWN_LINES: Final = ("name", "namespace", "labels", "annotations", "managedFields")
"""Fields of metadata that `describe` prints at the top, or not at all."""


def find(word: str) -> crd.Kind:
    """A kind by its short name, its singular or its plural."""
    return next(kind for kind in crd.KINDS if word in {kind.short, kind.singular, kind.plural})


def get(kind: crd.Kind, objects: Sequence[Json], now: datetime.datetime, *, prefixed: bool) -> str:
    """The table of `kubectl get`; `prefixed` as when several kinds are asked for."""
    columns = [column for column in kind.columns if not column.priority]
    rows = [["NAME", *(column.name.upper() for column in columns)]]
    for obj in objects:
        name = f"{kind.singular}.modelyard.dev/{obj['metadata']['name']}" if prefixed else obj["metadata"]["name"]
        cells = (_cell(column.type, _select(obj, column.path), now) for column in columns)
        rows.append([name, *cells])
    return _aligned(rows, padding=3, least=6)


def describe(obj: Json, events: Sequence[Event], now: datetime.datetime) -> str:
    """`kubectl describe` of one object."""
    about = obj["metadata"]
    lines = [f"Name:\t{about['name']}", f"Namespace:\t{about['namespace']}"]
    lines += _pairs("Labels", about.get("labels") or {}, "=") + _pairs("Annotations", about.get("annotations") or {}, ": ")
    lines += _content(dict(obj) | {"metadata": {key: value for key, value in about.items() if key not in _OWN_LINES}}, 0)
    if not events:
        return _cells([*lines, "Events:\t<none>"])
    rows = [["  Type", "Reason", "Age", "From", "Message"], ["  ----", "------", "----", "----", "-------"]]
    rows += [[f"  {kind}", reason, age(now - at), "modelyard", message] for at, kind, reason, message in events]
    return _cells(lines) + "Events:\n" + _aligned(rows, padding=2, least=0)


def age(span: datetime.timedelta) -> str:
    """A duration as kubectl writes it (apimachinery's HumanDuration), up to eight hours."""
    seconds = int(span.total_seconds())
    minutes = seconds // 60
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    return f"{minutes // 60}h{minutes % 60}m" if minutes % 60 else f"{minutes // 60}h"


def _select(obj: Any, path: str) -> Any:
    """The first match of a JSONPath as a CRD's columns have it."""
    for part in re.findall(r"\w+(?:\[[^\]]*\])?", path):
        if matched := _FILTER.fullmatch(part):
            items = (obj or {}).get(matched[1]) or []
            obj = next((item for item in items if item.get(matched[2]) == matched[3]), None)
        else:
            obj = (obj or {}).get(part)
    return obj


def _cell(kind: str, value: Any, now: datetime.datetime) -> str:
    if value is None:
        return ""
    return age(now - datetime.datetime.fromisoformat(value)) if kind == "date" else str(value)


def _aligned(rows: Sequence[Sequence[str]], *, padding: int, least: int) -> str:
    """Columns as Go's tabwriter aligns them; the last cell of a row is not padded."""
    widths = [max(least, max(len(row[column]) for row in rows) + padding) for column in range(len(rows[0]))]
    lines = ("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)


def _cells(lines: Sequence[str]) -> str:
    """Lines of `label TAB value`: neighbours that have a value share the width of the label."""
    text, block = "", list[list[str]]()
    for line in [*lines, ""]:
        if "\t" in line:
            block.append(line.split("\t"))
            continue
        text += _aligned(block, padding=2, least=0) if block else ""
        text += f"{line}\n" if line else ""
        block = []
    return text


def _pairs(title: str, pairs: Mapping[str, str], between: str) -> list[str]:
    values = [line for key, value in sorted(pairs.items()) for line in _pair(key, between, value)] or ["<none>"]
    return [f"{title}:\t{values[0]}", *(f"\t{value}" for value in values[1:])]


def _pair(key: str, between: str, value: str) -> list[str]:
    lines = value.removesuffix("\n").split("\n")
    return [f"{key}:", *(f"  {line}" for line in lines)] if len(lines) > 1 else [f"{key}{between}{value}"]


def _content(content: Json, level: int) -> Iterator[str]:
    indent = "  " * level
    for field, value in sorted(content.items()):
        if isinstance(value, Mapping):
            yield f"{indent}{_label(field)}:"
            yield from _content(value, level + 1)
        elif isinstance(value, list):
            yield f"{indent}{_label(field)}:"
            for item in value:
                yield from _content(item, level + 1) if isinstance(item, Mapping) else [f"{indent}  {item}"]
        else:
            yield f"{indent}{_label(field)}:\t{_scalar(value)}"


def _label(field: str) -> str:
    """`lastTransitionTime` is printed as `Last Transition Time`."""
    words = _WORD.findall(field) if field.isalpha() else [field]
    return " ".join(_ACRONYMS.get(word.lower(), word[:1].upper() + word[1:]) for word in words)


def _scalar(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
