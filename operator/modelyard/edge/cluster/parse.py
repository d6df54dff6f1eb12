"""Objects, out of what the API server sends: our own as far as this release can read them, and the little that is kept of what serves."""

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
class Seen:
    """One serving object, and the little that is kept of it."""

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
    """It carries our labels, and somebody else made it."""


Ours = api.Model | api.ModelVersion | api.Promotion
_OURS: Final[Mapping[str, type[Ours]]] = {
    "Model": api.Model,
    "ModelVersion": api.ModelVersion,
    "Promotion": api.Promotion,
}


def read(kind: str, raw: Mapping[str, Any]) -> Ours | Seen | unreadable.Unread:
    """An object of a kind that is watched.

    Of a status of ours that another release wrote and this one cannot read, only what is recorded is kept: the rest is made anew.

    Raises:
        pydantic.ValidationError: not even its metadata can be read.
    """
    if kind in _SERVING:
        return _SERVING[kind](raw)
    reader = _OURS[kind]
    about = raw.get("metadata")
    if isinstance(about, Mapping):  # which field was written by whom is nested as deep as the fields are, and not read
        raw = {**raw, "metadata": {name: value for name, value in about.items() if name != "managedFields"}}
    if wrong := jsontext.excess(raw):
        return _unread(kind, raw, wrong)
    try:
        return reader.model_validate(raw)
    except pydantic.ValidationError:
        recorded = _status(raw).get("recorded")
    try:
        return reader.model_validate({**raw, "status": {"recorded": recorded} if recorded else {}})
    except pydantic.ValidationError as error:
        return _unread(kind, raw, _named(error))


def model_of(raw: Mapping[str, Any]) -> str | None:
    """The model that an object says it belongs to, if it says so in words."""
    spec = raw.get("spec")
    name = spec.get("model") if isinstance(spec, Mapping) else None
    return name if isinstance(name, str) and name else None


def _named(error: pydantic.ValidationError) -> str:
    """The fields that are wrong, and how."""
    wrong = [f"{'.'.join(str(part) for part in one['loc'])} ({one['msg']})" for one in error.errors(include_url=False, include_input=False)]
    return "; ".join(wrong[:3]) + (f"; and {len(wrong) - 3} more" if wrong[3:] else "")


def _unread(kind: str, raw: Mapping[str, Any], wrong: str) -> unreadable.Unread:
    status = _status(raw)
    subject = meta.Resource.model_validate({"kind": kind, "metadata": raw["metadata"]})
    return unreadable.Unread(subject, wrong, {} if jsontext.excess(status) else status)


def _status(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    status = raw.get("status")
    return status if isinstance(status, Mapping) else {}


def _labels(raw: Mapping[str, Any]) -> Mapping[str, str]:
    return raw["metadata"].get("labels") or {}


def _deployment(raw: Mapping[str, Any]) -> Seen:
    about, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    foreign = objects.is_foreign(about)
    found = world.Deployment(
        name=about["name"],
        template=(about.get("annotations") or {}).get(TEMPLATE),
        settled=status.get("observedGeneration", 0) >= about.get("generation", 0),
        desired=spec.get("replicas", 1),
        updated=status.get("updatedReplicas", 0),
        available=status.get("availableReplicas", 0),
        total=status.get("replicas", 0),
    )
    owns = any(
        entry.get("manager") == "modelyard"
        and entry.get("operation") == "Apply"
        and "f:replicas" in (entry.get("fieldsV1") or {}).get("f:spec", {})
        for entry in about.get("managedFields") or []
    )
    return Seen(
        about["name"],
        _labels(raw).get(MODEL, ""),
        int(about["resourceVersion"]),
        about.get("generation", 0),
        None if foreign else found,
        uid=about.get("uid"),
        owns_replicas=owns,
        foreign=foreign,
    )


def _noted(raw: Mapping[str, Any]) -> Seen:
    """Of a Service or a list of files only that it is there, and whose it is."""
    about = raw["metadata"]
    version, foreign = int(about["resourceVersion"]), objects.is_foreign(about)
    return Seen(about["name"], _labels(raw).get(MODEL, ""), version, uid=about.get("uid"), foreign=foreign)


def _pod(raw: Mapping[str, Any]) -> Seen:
    about, labels = raw["metadata"], _labels(raw)
    status = raw.get("status") or {}
    ready = any(one.get("type") == "Ready" and one.get("status") == "True" for one in status.get("conditions") or [])
    pod = world.Pod(labels.get(STAGE, ""), labels.get(VERSION, ""), _trouble(status), ready=ready)
    return Seen(about["name"], labels.get(MODEL, ""), int(about["resourceVersion"]), pod=pod)


def _trouble(status: Mapping[str, Any]) -> str | None:
    """What keeps a pod from serving, in a sentence without names or times that change from pod to pod."""
    for one in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        state, last = one.get("state") or {}, one.get("lastState") or {}
        ended = state.get("terminated") or last.get("terminated") or {}
        waiting = state.get("waiting") or {}
        if ended.get("exitCode") and not one.get("ready"):
            said = str(ended.get("message") or ended.get("reason") or "").strip().splitlines()
            return f"container {one['name']} exited with {ended['exitCode']}" + (f": {said[-1]}" if said else "")
        if waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
            return f"container {one['name']}: {waiting['reason']}"
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"not scheduled: {condition.get('message') or condition.get('reason')}"
    return None


_SERVING: Final[Mapping[str, Callable[[Mapping[str, Any]], Seen]]] = {
    "Deployment": _deployment,
    "Service": _noted,
    "ConfigMap": _noted,
    "Pod": _pod,
}
