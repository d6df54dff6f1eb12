"""The line in `modelyard.dev/changes` that names who changed the spec, where the API server does not write it."""

from __future__ import annotations

from typing import Any

from modelyard.api import access
from modelyard.api.access import changes

Json = dict[str, Any]


def line(obj: Json, me: str) -> str:
    """Return the annotation's value after a change of the object's current spec."""
    about = obj["metadata"]
    recorded = ((obj.get("status") or {}).get("recorded") or {}).get("generation", 0)
    return changes.added((about.get("annotations") or {}).get(access.CHANGES, ""), about["generation"], recorded, me)


def steps(obj: Json, me: str) -> list[Json]:
    """Return the JSON patch steps that sign the patch's spec change, as the API server does from Kubernetes 1.36 on."""
    about, signed = obj["metadata"], line(obj, me)
    if about.get("annotations"):
        return [{"op": "add", "path": f"/metadata/annotations/{access.CHANGES.replace('/', '~1')}", "value": signed}]
    return [
        {"op": "test", "path": "/metadata/annotations", "value": about.get("annotations")},
        {"op": "add", "path": "/metadata/annotations", "value": {access.CHANGES: signed}},
    ]
