"""Our own objects, out of what the API server sends: read as far as this release can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pydantic

from modelyard import api
from modelyard.api import meta
from modelyard.plan import unread

Ours = api.Model | api.ModelVersion | api.Promotion
READERS: Final[Mapping[str, type[Ours]]] = {
    "Model": api.Model,
    "ModelVersion": api.ModelVersion,
    "Promotion": api.Promotion,
}


def read(kind: str, raw: Mapping[str, Any]) -> Ours | unread.Unread:
    """An object of ours; of a status that another release wrote and this one cannot read, only what is recorded is kept: the rest is made anew."""
    reader = READERS[kind]
    try:
        return reader.model_validate(raw)
    except pydantic.ValidationError:
        recorded = (raw.get("status") or {}).get("recorded")
    try:
        return reader.model_validate({**raw, "status": {"recorded": recorded} if recorded else {}})
    except pydantic.ValidationError as error:
        return _unread(kind, raw, error)


def model_of(raw: Mapping[str, Any]) -> str | None:
    """The model that an object says it belongs to, if it says so in words."""
    spec = raw.get("spec")
    name = spec.get("model") if isinstance(spec, Mapping) else None
    return name if isinstance(name, str) and name else None


def _unread(kind: str, raw: Mapping[str, Any], error: pydantic.ValidationError) -> unread.Unread:
    wrong = [f"{'.'.join(str(part) for part in one['loc'])} ({one['msg']})" for one in error.errors(include_url=False, include_input=False)]
    said = "; ".join(wrong[:3]) + (f"; and {len(wrong) - 3} more" if wrong[3:] else "")
    return unread.Unread(meta.Resource.model_validate({"kind": kind, "metadata": raw["metadata"]}), said, raw.get("status") or {})
