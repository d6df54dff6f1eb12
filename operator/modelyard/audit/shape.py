"""Reduces a value to what fits its schema: for snapshots that anybody may have written. Pure."""

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
"""The Python types of a schema's types in parsed JSON; a boolean is not a number."""


@functools.cache
def of(resource: type[meta.Resource]) -> Mapping[str, Any]:
    """Return the schema of an object's spec."""
    schema: Mapping[str, Any] = crd.root(resource)["properties"]["spec"]
    return schema


def fitting(value: object, schema: Mapping[str, Any]) -> Any:
    """Return the value without parts of another JSON type than their schema says, and without list items that lack a required field.

    Return None if the value itself has another type. Fields without a schema stay.
    """
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return None
    if isinstance(value, list):
        item_schema = schema.get("items", {})
        fitting_items = [fitted for item in value if (fitted := fitting(item, item_schema)) is not None]
        return [fitted for fitted in fitting_items if not isinstance(fitted, dict) or fitted.keys() >= set(item_schema.get("required", ()))]
    if isinstance(value, dict):
        fields, free = schema.get("properties", {}), schema.get("additionalProperties", {})
        fitting_fields = {name: fitting(item, fields.get(name, free)) for name, item in value.items()}
        return {name: item for name, item in fitting_fields.items() if item is not None}
    return value
