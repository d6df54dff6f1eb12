"""Differences between two versions of a model: parameters, metrics, data, files. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modelyard.content import manifest

Json = dict[str, Any]


def of(before: Mapping[str, Any], after: Mapping[str, Any], files: tuple[manifest.Manifest | None, manifest.Manifest | None]) -> Json:
    """Return every difference between two specs and their lists of files; `files` is None if one of the lists is not known."""
    old, new = before.get("training") or {}, after.get("training") or {}
    return {
        "parameters": _differences(old.get("parameters") or {}, new.get("parameters") or {}),
        "metrics": [_with_change(metric) for metric in _differences(before.get("metrics") or {}, after.get("metrics") or {})],
        "training": _differences(_flat(old, "parameters"), _flat(new, "parameters")),
        "datasets": _differences(_data(before), _data(after)),
        "artifact": _differences(_flat(before.get("artifact") or {}), _flat(after.get("artifact") or {})),
        "evidence": _differences(_evidence(before), _evidence(after)),
        "files": _files(*files),
    }


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Json]:
    """Return the names whose values differ, or that only one side has."""
    return [
        {"name": name, "before": before.get(name), "after": after.get(name)}
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _with_change(difference: Json) -> Json:
    before, after = difference["before"], difference["after"]
    both = isinstance(before, int | float) and isinstance(after, int | float)
    return {**difference, "change": after - before if both else None}


def _flat(value: Mapping[str, Any], *without: str, prefix: str = "") -> Json:
    """Return nested fields, keyed by their path."""
    fields: Json = {}
    for name, item in value.items():
        if name in without:
            continue
        if isinstance(item, Mapping):
            fields |= _flat(item, prefix=f"{prefix}{name}.")
        else:
            fields[f"{prefix}{name}"] = item
    return fields


def _data(spec: Mapping[str, Any]) -> Json:
    datasets = (spec.get("lineage") or {}).get("datasets") or []
    return {
        f"{dataset.get('name')} ({dataset.get('role')})": dataset.get("digest") or dataset.get("uri") or "without a digest"
        for dataset in datasets
    }


def _evidence(spec: Mapping[str, Any]) -> Json:
    return {f"{document.get('name')} ({document.get('type')})": document.get("sha256") for document in spec.get("evidence") or []}


def _files(before: manifest.Manifest | None, after: manifest.Manifest | None) -> list[Json] | None:
    if before is None or after is None:
        return None
    old, new = _by_path(before.files), _by_path(after.files)
    return [
        {"name": path, "before": old.get(path), "after": new.get(path)} for path in sorted({*old, *new}) if old.get(path) != new.get(path)
    ]


def _by_path(files: Iterable[manifest.File]) -> Json:
    return {file.path: {"sha256": file.sha256, "bytes": file.size} for file in files}
