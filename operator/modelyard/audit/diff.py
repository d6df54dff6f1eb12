"""What differs between two versions of a model: parameters, metrics, data, files. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modelyard.content import manifest

Json = dict[str, Any]


def of(before: Mapping[str, Any], after: Mapping[str, Any], files: tuple[manifest.Manifest | None, manifest.Manifest | None]) -> Json:
    """Every difference of two specs and their lists of files; files are None when one of the lists is not known."""
    old, new = before.get("training") or {}, after.get("training") or {}
    return {
        "parameters": _differences(old.get("parameters") or {}, new.get("parameters") or {}),
        "metrics": [_with_change(one) for one in _differences(before.get("metrics") or {}, after.get("metrics") or {})],
        "training": _differences(_flat(old, "parameters"), _flat(new, "parameters")),
        "datasets": _differences(_data(before), _data(after)),
        "artifact": _differences(_flat(before.get("artifact") or {}), _flat(after.get("artifact") or {})),
        "evidence": _differences(_evidence(before), _evidence(after)),
        "files": _files(*files),
    }


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Json]:
    """What has another value, or is only in one of them."""
    return [
        {"name": name, "before": before.get(name), "after": after.get(name)}
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _with_change(one: Json) -> Json:
    before, after = one["before"], one["after"]
    both = isinstance(before, int | float) and isinstance(after, int | float)
    return {**one, "change": after - before if both else None}


def _flat(value: Mapping[str, Any], *without: str, prefix: str = "") -> Json:
    """Nested fields by their path."""
    found: Json = {}
    for name, one in value.items():
        if name in without:
            continue
        if isinstance(one, Mapping):
            found |= _flat(one, prefix=f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = one
    return found


def _data(spec: Mapping[str, Any]) -> Json:
    rows = (spec.get("lineage") or {}).get("datasets") or []
    return {f"{one.get('name')} ({one.get('role')})": one.get("digest") or one.get("uri") or "without a digest" for one in rows}


def _evidence(spec: Mapping[str, Any]) -> Json:
    return {f"{one.get('name')} ({one.get('type')})": one.get("sha256") for one in spec.get("evidence") or []}


def _files(before: manifest.Manifest | None, after: manifest.Manifest | None) -> list[Json] | None:
    if before is None or after is None:
        return None
    old, new = _by_path(before.files), _by_path(after.files)
    return [
        {"name": path, "before": old.get(path), "after": new.get(path)} for path in sorted({*old, *new}) if old.get(path) != new.get(path)
    ]


def _by_path(files: Iterable[manifest.File]) -> Json:
    return {one.path: {"sha256": one.sha256, "bytes": one.size} for one in files}
