"""The pod template of a stage: rendered once when a rollout begins, then only applied."""

from __future__ import annotations

import base64
import copy
import dataclasses
import gzip
import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from modelyard import api
from modelyard.api import labels
from modelyard.api.access import cel
from modelyard.api.reason import Reason
from modelyard.api.serving import Serving
from modelyard.content.digest import canonical, named
from modelyard.content.manifest import read_manifest
from modelyard.plan import finding
from modelyard.plan.serving import objects, podtemplate

ARTIFACT_VOLUME: Final = "modelyard-artifact"
FILES_VOLUME: Final = "modelyard-files"
CA_VOLUME: Final = "modelyard-ca"
FETCH: Final = "modelyard-fetch"
_VARIABLES: Final = frozenset({"MODELYARD_MODEL", "MODELYARD_VERSION", "MODELYARD_STAGE", "MODELYARD_DIGEST", "MODELYARD_PATH"})
"""The environment of the server; its mount also says where the artifact is."""
_RESERVED: Final = frozenset({ARTIFACT_VOLUME, FILES_VOLUME, CA_VOLUME})
NO_DIGEST: Final = "sha256:" + "0" * 64
"""The digest in a dry run."""
DEFAULT_PATH: Final = "/models"
_FETCH_RESOURCES: Final = {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"memory": "512Mi"}}


@dataclasses.dataclass(frozen=True, slots=True)
class Blueprint:
    """What one rollout of one stage runs: everything that must not change during the rollout."""

    model: api.Model
    stage: str
    serving: Serving
    version: str
    uri: str
    digest: str
    files: bytes
    """The compressed list of the files that the pods fetch, see `files`."""
    fetch_image: str
    attempt: int = 1
    """Above 1 where somebody else's ConfigMaps have the earlier names of the list."""


def source(serving: Serving) -> str:
    """Return the sha256 of what the user wrote and the pods run: if it is equal, no rollout is needed."""
    return named(canonical({"template": serving.template, "port": serving.port}))


def files(manifest: bytes) -> bytes:
    """Return what the pods need of a manifest, `[[path, size, versionId], …]`, compressed; 10,000 files make some 300 KB."""
    rows = [[entry.path, entry.size, entry.version_id] for entry in read_manifest(manifest).files]
    return gzip.compress(json.dumps(rows, separators=(",", ":")).encode(), mtime=0)


def invalid(serving: Serving) -> finding.Finding | None:
    """Return why a template cannot be rendered, or None; `render` may raise for any other than a valid one.

    It must have a shape that the operator can add to, not use the operator's names, and have a container that serves.
    """
    if wrong := podtemplate.wrong(serving.template):
        return finding.Finding(Reason.TEMPLATE_INVALID, wrong)
    spec = serving.template["spec"]
    for part in [*spec["containers"], *podtemplate.entries(spec, "initContainers")]:
        if part.get("name") == FETCH:
            return finding.Finding(Reason.TEMPLATE_INVALID, f"the container name {FETCH} is reserved: rename that container")
    for volume in podtemplate.entries(spec, "volumes"):
        if volume.get("name") in _RESERVED:
            return finding.Finding(Reason.TEMPLATE_INVALID, f"the volume name {volume['name']} is reserved: the operator adds that volume")
    return None


def render(blueprint: Blueprint) -> bytes:
    """Return the blueprint as one canonical document: the pod template and the ConfigMap it mounts.

    Its sha256 names it. It is stored content-addressed, so a rollout, a put-back or a restart years later apply the same bytes. Only a
    template for which `reserved` returns None can be rendered.
    """
    return _render(blueprint, _config(blueprint))


def is_rendered(rendered: bytes, blueprint: Blueprint) -> bool:
    """Return whether a document is what a blueprint renders to, whatever the name of its list of files."""
    return _render(blueprint, config(rendered)) == rendered


def _render(blueprint: Blueprint, config: str) -> bytes:
    document: dict[str, Any] = {
        "files": base64.b64encode(blueprint.files).decode(),
        "config": config,
        "port": blueprint.serving.port,
        "template": _template(blueprint, config),
        "version": blueprint.version,
    }
    return canonical(document)


def _config(blueprint: Blueprint) -> str:
    """Return the name of the list of files; policies let nobody else create a ConfigMap with this ending."""
    words = [blueprint.model.metadata.name, blueprint.version.replace(".", "-"), blueprint.stage]
    words += [hashlib.sha256(blueprint.files).hexdigest()[:10], *([str(blueprint.attempt)] if blueprint.attempt > 1 else [])]
    return "-".join(words) + cel.FILES


def written(rendered: bytes) -> Serving:
    """Return what the user wrote of a rendered document; rendered again for the same version, it makes the same document."""
    document: dict[str, Any] = json.loads(rendered)
    template: dict[str, Any] = document["template"]
    metadata, spec = template["metadata"], template["spec"]
    _without(metadata, "labels", {labels.MANAGED_BY, labels.MODEL, labels.STAGE, labels.ROLE, labels.VERSION})
    _without(metadata, "annotations", {labels.DIGEST})
    if not metadata:
        del template["metadata"]
    _without_named(spec["containers"][0], "env", _VARIABLES)
    _without_named(spec, "initContainers", {FETCH})
    _without_named(spec, "volumes", _RESERVED)
    return Serving(template=template, port=document["port"])


def _without(holder: dict[str, Any], field: str, ours: Collection[str]) -> None:
    """Remove the operator's keys from a mapping; an empty mapping is removed."""
    left = {key: value for key, value in (holder.pop(field, None) or {}).items() if key not in ours}
    if left:
        holder[field] = left


def _without_named(holder: dict[str, Any], field: str, ours: Collection[str]) -> None:
    """Remove the operator's entries from a list of named entries; an empty list is removed."""
    others = [entry for entry in podtemplate.entries(holder, field) if entry.get("name") not in ours]
    holder.pop(field, None)
    if others:
        holder[field] = others


def name(rendered: bytes) -> str:
    """Return the `sha256:…` of a rendered document."""
    return named(rendered)


def fetch_image(rendered: bytes) -> str:
    """Return the image of the container that fetches and verifies the bytes; empty where the last init container is another one."""
    last = (podtemplate.entries(json.loads(rendered)["template"]["spec"], "initContainers") or [{}])[-1]
    return str(last.get("image", "")) if last.get("name") == FETCH else ""


def config(rendered: bytes) -> str:
    """Return the name of the ConfigMap that lists the files for a rendered document's pods."""
    return str(json.loads(rendered)["config"])


def _template(blueprint: Blueprint, config: str) -> dict[str, Any]:
    """Return the user's pod template with what Modelyard adds to it."""
    template: dict[str, Any] = copy.deepcopy(blueprint.serving.template)
    metadata = template["metadata"] = template.get("metadata") or {}
    metadata_of_model = blueprint.model.metadata
    metadata["labels"] = {
        **(metadata.get("labels") or {}),
        labels.MANAGED_BY: labels.MANAGER,
        labels.MODEL: metadata_of_model.name,
        labels.STAGE: blueprint.stage,
    }
    metadata["labels"] |= {labels.ROLE: "primary", labels.VERSION: blueprint.version}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), labels.DIGEST: blueprint.digest}
    spec = template["spec"]
    containers = spec["containers"]
    path = _path(containers[0])
    for part in [*containers, *podtemplate.entries(spec, "initContainers")]:
        for mount in podtemplate.entries(part, "volumeMounts"):
            if mount.get("name") == ARTIFACT_VOLUME:
                mount["readOnly"] = True
    _equip(containers[0], blueprint, path)
    spec["initContainers"] = [*podtemplate.entries(spec, "initContainers"), _fetch(blueprint, path)]
    spec["volumes"] = [*podtemplate.entries(spec, "volumes"), *_volumes(blueprint, config)]
    return template


def _path(server: Mapping[str, Any]) -> str:
    """Return where the server finds the artifact: its own mount of the volume, else its MODELYARD_PATH, else /models."""
    for mount in podtemplate.entries(server, "volumeMounts"):
        if mount.get("name") == ARTIFACT_VOLUME:
            return str(mount.get("mountPath") or DEFAULT_PATH)
    for variable in podtemplate.entries(server, "env"):
        if variable.get("name") == "MODELYARD_PATH" and variable.get("value"):
            return str(variable["value"])
    return DEFAULT_PATH


def _equip(server: dict[str, Any], blueprint: Blueprint, path: str) -> None:
    """Give the server its environment and the verified bytes, read-only."""
    ours = {
        "MODELYARD_MODEL": blueprint.model.metadata.name,
        "MODELYARD_VERSION": blueprint.version,
        "MODELYARD_STAGE": blueprint.stage,
        "MODELYARD_DIGEST": blueprint.digest,
        "MODELYARD_PATH": path,
    }
    others = [variable for variable in podtemplate.entries(server, "env") if variable.get("name") not in ours]
    server["env"] = [*others, *({"name": key, "value": value} for key, value in ours.items())]
    mounts = podtemplate.entries(server, "volumeMounts")
    if not any(mount.get("name") == ARTIFACT_VOLUME for mount in mounts):
        server["volumeMounts"] = [*mounts, {"name": ARTIFACT_VOLUME, "mountPath": path, "readOnly": True}]


def _fetch(blueprint: Blueprint, path: str) -> dict[str, Any]:
    """Return the init container that downloads, hashes and fails closed."""
    storage = blueprint.model.spec.storage
    variables: dict[str, str] = {
        "MODELYARD_DIGEST": blueprint.digest,
        "MODELYARD_FETCH_URI": blueprint.uri,
        "MODELYARD_FETCH_ENDPOINT": storage.endpoint or "",
        "MODELYARD_FETCH_REGION": storage.region or "us-east-1",
        "MODELYARD_FETCH_FILES": f"/etc/modelyard/{objects.FILES_KEY}",
        "MODELYARD_PATH": path,
    }
    mounts = [
        {"name": ARTIFACT_VOLUME, "mountPath": path},
        {"name": FILES_VOLUME, "mountPath": "/etc/modelyard", "readOnly": True},
    ]
    if storage.ca_bundle:
        variables["MODELYARD_FETCH_CA"] = "/etc/modelyard-ca/ca.crt"
        mounts.append({"name": CA_VOLUME, "mountPath": "/etc/modelyard-ca", "readOnly": True})
    environment: list[dict[str, Any]] = [{"name": key, "value": value} for key, value in variables.items()]
    if secret := storage.serving_credentials or storage.credentials:
        for key, optional in (("AWS_ACCESS_KEY_ID", False), ("AWS_SECRET_ACCESS_KEY", False), ("AWS_SESSION_TOKEN", True)):
            reference = {"name": secret.secret_name, "key": key} | ({"optional": True} if optional else {})
            environment.append({"name": key, "valueFrom": {"secretKeyRef": reference}})
    return {
        "name": FETCH,
        "image": blueprint.fetch_image,
        "command": ["modelyard", "fetch"],
        "env": environment,
        "volumeMounts": mounts,
        "resources": _FETCH_RESOURCES,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def _volumes(blueprint: Blueprint, config: str) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {"name": ARTIFACT_VOLUME, "emptyDir": {}},
        {"name": FILES_VOLUME, "configMap": {"name": config}},
    ]
    if bundle := blueprint.model.spec.storage.ca_bundle:
        volumes.append({"name": CA_VOLUME, "configMap": {"name": bundle.config_map_name}})
    return volumes
