"""Check the shape of what Modelyard reads and changes in a stage's pod template; the API server judges the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

DEEPEST: Final = 64
"""Most levels of nesting in a template; a pod's own fields need a dozen."""


def wrong(template: Mapping[str, Any]) -> str | None:
    """Return the first value that rendering cannot handle: where it is and what it must be; None: there is none."""
    return next(_wrong(template), None)


def _wrong(template: Mapping[str, Any]) -> Iterator[str]:
    if too_deep := _too_deep(template):
        yield f"{too_deep} of the template is nested more than {DEEPEST} levels deep: write it flatter"
        return
    metadata = template.get("metadata")
    yield from _is_mapping("metadata", metadata)
    if isinstance(metadata, Mapping):
        yield from _is_mapping("metadata.labels", metadata.get("labels"))
        yield from _is_mapping("metadata.annotations", metadata.get("annotations"))
    spec = template.get("spec")
    containers = spec.get("containers") if isinstance(spec, Mapping) else None
    if not isinstance(spec, Mapping) or not containers:
        yield from _is_mapping("spec", spec)
        yield from _are_named("spec.containers", containers)
        yield "spec.containers of the template is empty: the first container serves"
        return
    for field in ("containers", "initContainers"):
        yield from _are_named(f"spec.{field}", spec.get(field))
        for number, container in enumerate(spec.get(field) or []):
            yield from _container(f"spec.{field}[{number}]", container)
    yield from _are_named("spec.volumes", spec.get("volumes"))


def _container(path: str, container: Mapping[str, Any]) -> Iterator[str]:
    yield from _are_named(f"{path}.env", container.get("env"))
    yield from _are_named(f"{path}.volumeMounts", container.get("volumeMounts"))


def _is_mapping(path: str, value: object) -> Iterator[str]:
    if value is not None and not isinstance(value, Mapping):
        yield f"{path} of the template is {_called(value)}: it must be a mapping"


def _are_named(path: str, value: object) -> Iterator[str]:
    """Check a list of mappings, each with a name that is a string, if it has one: the API server asks for missing names."""
    if value is None:
        return
    if not isinstance(value, list):
        yield f"{path} of the template is {_called(value)}: it must be a list"
        return
    for number, item in enumerate(value):
        if not isinstance(item, Mapping):
            yield f"{path}[{number}] of the template is {_called(item)}: it must be a mapping"
            continue
        for field in ("name", "mountPath", "value"):
            if not isinstance(item.get(field), str | None):
                yield f"{path}[{number}].{field} of the template is {_called(item[field])}: it must be a string"


def _called(value: object) -> str:
    """Return the kind of a value, in YAML's words."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case Mapping():
            return "a mapping"
        case _:
            return "a list"


def _too_deep(value: object) -> str | None:
    """Return the field of the template below which something is nested too deep; the search does not recurse."""
    waiting: list[tuple[object, int, str]] = [(value, 1, "")]
    while waiting:
        node, depth, path = waiting.pop()
        if depth > DEEPEST:
            return path
        if isinstance(node, Mapping):
            waiting += [(below, depth + 1, _below(path, str(key), depth)) for key, below in node.items()]
        elif isinstance(node, list):
            waiting += [(below, depth + 1, _below(path, str(number), depth)) for number, below in enumerate(node)]
    return None


def _below(path: str, key: str, depth: int) -> str:
    """Return the path of a field; the first levels are enough to find it."""
    return f"{path}.{key}".lstrip(".") if depth <= 4 else path


def entries(holder: Mapping[str, Any], key: str) -> list[Any]:
    """Return a list from the template, empty where it is absent or null."""
    value = holder.get(key)
    return value if isinstance(value, list) else []
