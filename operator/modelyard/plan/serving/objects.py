"""The Kubernetes objects of a stage, and which of them are the operator's."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Final

from modelyard.api import labels, serving
from modelyard.plan.serving import podtemplate

FILES_KEY: Final = "files.json.gz"
"""The key in the ConfigMap with the list of files."""


def config_maps(pod: Mapping[str, Any]) -> set[str]:
    """Return the ConfigMaps that a pod's spec mounts."""
    mounted = (volume.get("configMap") or {} for volume in podtemplate.entries(pod, "volumes"))
    return {source["name"] for source in mounted if source.get("name")}


@dataclasses.dataclass(frozen=True, slots=True)
class Serve:
    """The wish that one stage runs one rendered document; equal wishes are the same wish."""

    model: str
    stage: str
    template: str
    """sha256 of the rendered document."""
    replicas: int | None
    strategy: serving.Strategy
    paused: bool
    deadline: int
    """Seconds."""

    @property
    def deployment(self) -> str:
        """Return the name of the stage's Deployment and Service."""
        return f"{self.model}-{self.stage}"


def objects(wish: Serve, rendered: bytes, namespace: str) -> list[dict[str, Any]]:
    """Return the objects to apply, in order: the ConfigMap, the Service, the Deployment."""
    document = json.loads(rendered)
    marks = {labels.MANAGED_BY: labels.MANAGER, labels.MODEL: wish.model, labels.STAGE: wish.stage}
    selector = {labels.MODEL: wish.model, labels.STAGE: wish.stage, labels.ROLE: "primary"}

    def named(api_version: str, kind: str, name: str, **rest: Any) -> dict[str, Any]:
        metadata = {"name": name, "namespace": namespace, "labels": marks, **rest.pop("metadata", {})}
        return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}

    deployment: dict[str, Any] = {
        "selector": {"matchLabels": selector},
        "strategy": STRATEGIES[wish.strategy],
        "progressDeadlineSeconds": wish.deadline,
        "revisionHistoryLimit": 3,
        "paused": wish.paused,
        "template": document["template"],
    }
    if wish.replicas is not None:
        deployment["replicas"] = wish.replicas
    return [
        named("v1", "ConfigMap", document["config"], immutable=True, binaryData={FILES_KEY: document["files"]}),
        named(
            "v1",
            "Service",
            wish.deployment,
            spec={
                "selector": {labels.MODEL: wish.model, labels.STAGE: wish.stage},
                "ports": [{"name": "http", "port": document["port"], "targetPort": document["port"], "protocol": "TCP"}],
            },
        ),
        named("apps/v1", "Deployment", wish.deployment, metadata={"annotations": {labels.TEMPLATE: wish.template}}, spec=deployment),
    ]


def is_ours(wanted: Mapping[str, Any], existing: Mapping[str, Any]) -> bool:
    """Return whether the operator made the existing object that has the name of a wanted one.

    A list of files is compared whole, as it never changes. Several stages share a list of an earlier release, which has no stage label.
    """
    marks, wanted_marks = existing["metadata"].get("labels") or {}, wanted["metadata"]["labels"]
    files = wanted["kind"] == "ConfigMap"
    if is_foreign(existing["metadata"]) or any(
        marks.get(key) != value for key, value in wanted_marks.items() if not (files and key == labels.STAGE)
    ):
        return False
    return not files or all(existing.get(field) == wanted[field] for field in ("immutable", "binaryData"))


def is_foreign(metadata: Mapping[str, Any]) -> bool:
    """Return whether somebody else made an object that carries our labels: its fields have managers, and the operator is none of them."""
    managers = {entry.get("manager") for entry in metadata.get("managedFields") or []}
    return bool(managers) and labels.MANAGER not in managers


STRATEGIES: Mapping[serving.Strategy, dict[str, Any]] = {
    serving.Strategy.ROLLING_UPDATE: {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
    serving.Strategy.RECREATE: {"type": "Recreate"},
}
