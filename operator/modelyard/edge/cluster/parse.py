"""Parse objects of the API server: our own as far as this release can read them, and the few kept fields of serving objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Final

import pydantic

from modelyard import api
from modelyard.api import meta
from modelyard.api.labels import MODEL, STAGE, TEMPLATE, VERSION
from modelyard.content import jsontext
from modelyard.plan.observed import unreadable, world
from modelyard.plan.serving import objects


@dataclasses.dataclass(frozen=True, slots=True)
class ServingObject:
    """The kept fields of one serving object."""

    name: str
    model: str
    resource_version: int
    generation: int = 0
    deployment: world.Deployment | None = None
    pod: world.Pod | None = None
    uid: str | None = None
    owns_replicas: bool = False
    """Modelyard is the field manager of spec.replicas."""
    foreign: bool = False
    """It carries our labels, and somebody else created it."""


Ours = api.Model | api.ModelVersion | api.Promotion
_OURS: Final[Mapping[str, type[Ours]]] = {
    "Model": api.Model,
    "ModelVersion": api.ModelVersion,
    "Promotion": api.Promotion,
}


def read(kind: str, raw: Mapping[str, Any]) -> Ours | ServingObject | unreadable.Unread:
    """Parse an object of a watched kind.

    Of a status that another release wrote and this one cannot read, only `recorded` is kept: the rest is computed again.

    Raises:
        pydantic.ValidationError: not even its metadata can be read.
    """
    if kind in _SERVING:
        return _SERVING[kind](raw)
    reader = _OURS[kind]
    metadata = raw.get("metadata")
    if isinstance(metadata, Mapping):  # managedFields are nested as deep as the fields themselves, and are not needed
        raw = {**raw, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}
    if problem := jsontext.excess(raw):
        return _unread(kind, raw, problem)
    try:
        return reader.model_validate(raw)
    except pydantic.ValidationError:
        recorded = _status(raw).get("recorded")
    try:
        return reader.model_validate({**raw, "status": {"recorded": recorded} if recorded else {}})
    except pydantic.ValidationError as error:
        return _unread(kind, raw, _named(error))


def model_of(raw: Mapping[str, Any]) -> str | None:
    """Return the model that `spec.model` names, if it is a string."""
    spec = raw.get("spec")
    name = spec.get("model") if isinstance(spec, Mapping) else None
    return name if isinstance(name, str) and name else None


def _named(error: pydantic.ValidationError) -> str:
    """Return the invalid fields, each with its problem."""
    problems = [
        f"{'.'.join(str(part) for part in problem['loc'])} ({problem['msg']})"
        for problem in error.errors(include_url=False, include_input=False)
    ]
    return "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if problems[3:] else "")


def _unread(kind: str, raw: Mapping[str, Any], problem: str) -> unreadable.Unread:
    status = _status(raw)
    subject = meta.Resource.model_validate({"kind": kind, "metadata": raw["metadata"]})
    return unreadable.Unread(subject, problem, {} if jsontext.excess(status) else status)


def _status(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    status = raw.get("status")
    return status if isinstance(status, Mapping) else {}


def _labels(raw: Mapping[str, Any]) -> Mapping[str, str]:
    return raw["metadata"].get("labels") or {}


def _deployment(raw: Mapping[str, Any]) -> ServingObject:
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    foreign = objects.is_foreign(metadata)
    deployment = world.Deployment(
        name=metadata["name"],
        template=(metadata.get("annotations") or {}).get(TEMPLATE),
        settled=status.get("observedGeneration", 0) >= metadata.get("generation", 0),
        desired=spec.get("replicas", 1),
        updated=status.get("updatedReplicas", 0),
        available=status.get("availableReplicas", 0),
        total=status.get("replicas", 0),
    )
    owns = any(
        entry.get("manager") == "modelyard"
        and entry.get("operation") == "Apply"
        and "f:replicas" in (entry.get("fieldsV1") or {}).get("f:spec", {})
        for entry in metadata.get("managedFields") or []
    )
    return ServingObject(
        metadata["name"],
        _labels(raw).get(MODEL, ""),
        int(metadata["resourceVersion"]),
        metadata.get("generation", 0),
        None if foreign else deployment,
        uid=metadata.get("uid"),
        owns_replicas=owns,
        foreign=foreign,
    )


def _noted(raw: Mapping[str, Any]) -> ServingObject:
    """Of a Service or a list of files only that it is there, and whose it is."""
    metadata = raw["metadata"]
    version, foreign = int(metadata["resourceVersion"]), objects.is_foreign(metadata)
    return ServingObject(metadata["name"], _labels(raw).get(MODEL, ""), version, uid=metadata.get("uid"), foreign=foreign)


def _pod(raw: Mapping[str, Any]) -> ServingObject:
    metadata, labels = raw["metadata"], _labels(raw)
    status = raw.get("status") or {}
    ready = any(condition.get("type") == "Ready" and condition.get("status") == "True" for condition in status.get("conditions") or [])
    pod = world.Pod(labels.get(STAGE, ""), labels.get(VERSION, ""), _trouble(status), ready=ready)
    return ServingObject(metadata["name"], labels.get(MODEL, ""), int(metadata["resourceVersion"]), pod=pod)


def _trouble(status: Mapping[str, Any]) -> str | None:
    """Return what keeps a pod from serving, without names or times that differ from pod to pod."""
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        state, last = container.get("state") or {}, container.get("lastState") or {}
        ended = state.get("terminated") or last.get("terminated") or {}
        waiting = state.get("waiting") or {}
        if ended.get("exitCode") and not container.get("ready"):
            message = str(ended.get("message") or ended.get("reason") or "").strip().splitlines()
            return f"container {container['name']} exited with {ended['exitCode']}" + (f": {message[-1]}" if message else "")
        if waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
            return f"container {container['name']}: {waiting['reason']}"
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"not scheduled: {condition.get('message') or condition.get('reason')}"
    return None


_SERVING: Final[Mapping[str, Callable[[Mapping[str, Any]], ServingObject]]] = {
    "Deployment": _deployment,
    "Service": _noted,
    "ConfigMap": _noted,
    "Pod": _pod,
}
