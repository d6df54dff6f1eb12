"""Who changed what, where the API server does not say it by itself: the line that is added to `modelyard.dev/changes`."""

from __future__ import annotations

from typing import Any

from modelyard.api import access
from modelyard.api.access import changes

Json = dict[str, Any]


def line(obj: Json, me: str) -> str:
    """The annotation after a change of the spec that an object has now."""
    about = obj["metadata"]
    recorded = ((obj.get("status") or {}).get("recorded") or {}).get("generation", 0)
    return changes.added((about.get("annotations") or {}).get(access.CHANGES, ""), about["generation"], recorded, me)


def steps(obj: Json, me: str) -> list[Json]:
    """The steps of a JSON patch that sign the spec change it makes, as the API server does from Kubernetes 1.36 on."""
    about, signed = obj["metadata"], line(obj, me)
    if about.get("annotations"):
        return [{"op": "add", "path": f"/metadata/annotations/{access.CHANGES.replace('/', '~1')}", "value": signed}]
    return [
        {"op": "test", "path": "/metadata/annotations", "value": about.get("annotations")},
        {"op": "add", "path": "/metadata/annotations", "value": {access.CHANGES: signed}},
    ]
