"""Trial writes that the policies must refuse even to the operator: one for each policy, refused by that policy only."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from modelyard.api import meta
from modelyard.api.access import cel, changes, metadata

Object = dict[str, Any]

FUTURE: Final = 1 << 40
"""A generation that no object ever has: a status with it as observedGeneration must be refused."""
LARGE: Final = 1 + metadata.MOST_ENTRIES["finalizers"]
"""Finalizers: one more than an object may have."""
FORGED: Final = "1 system:modelyard-probe"
"""A line of `modelyard.dev/changes` with a username that nobody has."""


@dataclasses.dataclass(frozen=True)
class Forbidden:
    """A new object that the policy of this name must refuse."""

    policy: str
    obj: Object


def forbidden(namespace: str, user: str) -> tuple[Forbidden, ...]:
    """Return the objects that must be refused in any namespace, sent and signed by `user`: nobody has any right to their model."""
    about = {"name": cel.PROBE, "namespace": namespace, "annotations": {cel.CHANGES: changes.line(1, user)}}
    storage = {"uri": "s3://modelyard-probe/"}
    artifact = {"uri": "s3://modelyard-probe/0", "format": "other"}
    labels = {cel.MANAGED_BY: cel.MANAGER, cel.MODEL_LABEL: cel.PROBE, cel.STAGE_LABEL: "probe"}
    return (
        Forbidden("models", _object("Model", about, {"owner": {"team": "probe"}, "storage": storage, "stages": [{"name": "probe"}]})),
        Forbidden(
            "versions",
            _object("ModelVersion", {**about, "name": f"{cel.PROBE}-0"}, {"model": cel.PROBE, "version": "0", "artifact": artifact}),
        ),
        Forbidden("promotions", _object("Promotion", about, {"model": cel.PROBE, "version": "0", "stage": "probe", "requestedBy": user})),
        Forbidden(
            "serving",
            {"apiVersion": "v1", "kind": "Service", "metadata": {**about, "labels": labels}, "spec": {"ports": [{"port": 80}]}},
        ),
        Forbidden(
            "operator",
            {"apiVersion": "v1", "kind": "Service", "metadata": {**about, "name": f"{cel.PROBE}-bare"}, "spec": {"ports": [{"port": 80}]}},
        ),
        Forbidden("metadata", _large(namespace, user)),
    )


def forgery(namespace: str, user: str) -> Object:
    """Return a Promotion that the operator may create, signed by another user: it must be refused, or returned signed by the operator."""
    about = {"name": f"{cel.PROBE}-signed", "namespace": namespace, "annotations": {cel.CHANGES: FORGED}}
    return _object("Promotion", about, {"model": f"{cel.PROBE}-signed", "version": "0", "stage": "probe", "requestedBy": user})


def _large(namespace: str, user: str) -> Object:
    """Return a Promotion that the operator may create, except for its many finalizers."""
    forged = forgery(namespace, user)
    finalizers = [f"{meta.GROUP}/probe-{number}" for number in range(LARGE)]
    about = {"name": f"{cel.PROBE}-large", "annotations": {cel.CHANGES: changes.line(1, user)}, "finalizers": finalizers}
    return {**forged, "metadata": {**forged["metadata"], **about}}


def _object(kind: str, about: Object, spec: Object) -> Object:
    return {"apiVersion": meta.API_VERSION, "kind": kind, "metadata": about, "spec": spec}
