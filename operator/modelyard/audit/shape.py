"""What of a value has the shape that the API gives to fields of that name: for snapshots that anybody may have written. Pure."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final

from modelyard.api import meta
from modelyard.api.openapi import crd

TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
"""What a schema's types are once JSON is parsed; a boolean is no number."""


@functools.cache
def of(resource: type[meta.Resource]) -> Mapping[str, Any]:
    """The schema of an object's spec."""
    found: Mapping[str, Any] = crd.root(resource)["properties"]["spec"]
    return found


def fitting(value: object, said: Mapping[str, Any]) -> Any:
    """The value without what has another JSON type than its schema says, and without items of lists that lack a required field.

    None when it has another type itself; fields without a schema stay.
    """
    kind = said.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return None
    if isinstance(value, list):
        of_items = said.get("items", {})
        fits = [fit for each in value if (fit := fitting(each, of_items)) is not None]
        return [fit for fit in fits if not isinstance(fit, dict) or fit.keys() >= set(of_items.get("required", ()))]
    if isinstance(value, dict):
        fields, free = said.get("properties", {}), said.get("additionalProperties", {})
        found = {name: fitting(each, fields.get(name, free)) for name, each in value.items()}
        return {name: each for name, each in found.items() if each is not None}
    return value
