"""What everybody of the matrix tries: each write in every way that the API has for it, and what it is in DESIGN's words."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tests.cluster.access import people, place
from tests.cluster.access.oracle import Demand, Told

Json = dict[str, Any]
FREE: Final = Told()
JUDGED: Final = {"Deployment", "Service", "ConfigMap"}
"""Kinds of which the operator's own account is judged as well."""
FULL: Final = {f"example.com/{number}": "ü" * 50_000 for number in range(2)}
"""Annotations of 200,000 bytes, and half as many characters."""


@dataclasses.dataclass(frozen=True)
class Write:
    """One request; `body` is made for whoever sends it."""

    called: str
    method: str
    path: str
    body: Callable[[str], object]
    told: Told
    content: str = "application/json"
    query: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def change(self) -> str:
        """What it changes, whichever way."""
        return self.called.rpartition(", ")[0] or self.called

    @property
    def about_serving(self) -> bool:
        """Whether it is about Deployments, Pods and so on."""
        return "/modelyard.dev/" not in self.path


Change = Callable[[Json, str], None]
"""Changes an object in place, on behalf of somebody by that name."""


def put(*way: str | int, value: object) -> Change:
    """Set the value at a path; None takes it away."""

    def change(obj: Json, _: str) -> None:
        at: Any = obj
        for part in way[:-1]:
            at = at[part] if isinstance(part, int) else at.setdefault(part, {})
        if value is None:
            at.pop(way[-1])
        else:
            at[way[-1]] = copy.deepcopy(value)

    return change


def both(*changes: Change) -> Change:
    def change(obj: Json, who: str) -> None:
        for one in changes:
            one(obj, who)

    return change


def approve(
    gate: str = "risk", decision: str = "Approved", user: str = "", subject: str | None = place.NOW, more: tuple[str, ...] = ()
) -> Change:
    """Write the approval of the writer, or of `user`, or of several."""

    def change(obj: Json, who: str) -> None:
        entries = obj["spec"].setdefault("approvals", [])
        for name in (user or who, *more):
            entry = {"user": name, "gate": gate, "decision": decision} | ({"subject": subject} if subject else {})
            entries[:] = [one for one in entries if (one["user"], one["gate"]) != (name, gate)]
            entries.append(entry)

    return change


_STAGES: Final = ("spec", "stages")
_METHODS: Final = ("put", "merge", "patch", "apply")


def changed(
    kind: str,
    name: str,
    called: str,
    change: Change,
    told: Told,
    found: Mapping[tuple[str, str], Json],
    sub: str = "",
    *,
    less: bool = False,
) -> Iterator[Write]:
    """One change as PUT, merge patch, JSON patch and forced server-side apply; `less`: it takes something away, which no apply can."""
    before = found[kind, name]
    address = place.path(kind, before["metadata"]["namespace"], name, sub)

    def after(who: str) -> Json:
        wanted = copy.deepcopy(before)
        change(wanted, who)
        return wanted

    def differs(who: str) -> list[tuple[str, str, Any]]:
        wanted = after(who)
        parts = ("metadata", "status" if sub == "status" else "spec")
        return [
            (part, key, wanted.get(part, {}).get(key))
            for part in parts
            for key in {**before.get(part, {}), **wanted.get(part, {})}
            if before.get(part, {}).get(key) != wanted.get(part, {}).get(key)
        ]

    def merge(who: str) -> Json:
        patch: Json = {}
        for part, key, value in differs(who):
            old = before.get(part, {}).get(key)
            gone = {name: None for name in old if name not in (value or {})} if isinstance(old, dict) else {}
            patch.setdefault(part, {})[key] = {**gone, **value} if isinstance(value, dict) else value
        return patch

    def steps(who: str) -> list[Json]:
        made: list[Json] = [] if sub != "status" or "status" in before else [{"op": "add", "path": "/status", "value": {}}]
        for part, key, value in differs(who):
            at = f"/{part}/{key}"
            made.append({"op": "remove", "path": at} if value is None else {"op": "add", "path": at, "value": value})
        return made

    def manifest(who: str) -> Json:
        wanted = after(who)
        kept = {
            key: wanted["metadata"][key] for key in ("labels", "annotations", "finalizers", "ownerReferences") if key in wanted["metadata"]
        }
        parts = {key: value for key, value in wanted.items() if key not in {"metadata", "spec" if sub == "status" else "status"}}
        return {**parts, "metadata": {"name": name, **kept}}

    yield Write(f"{called}, put", "PUT", address, after, told)
    yield Write(f"{called}, merge patch", "PATCH", address, merge, told, people.MERGE)
    yield Write(f"{called}, JSON patch", "PATCH", address, steps, told, people.JSON_PATCH)
    if not less:
        yield Write(
            f"{called}, applied with force", "PATCH", address, manifest, told, people.APPLY, {"force": "true", "fieldManager": "kubectl"}
        )


def created(kind: str, namespace: str, called: str, obj: Callable[[str], Json] | Json, told: Told) -> Iterator[Write]:
    """A new object, by POST and by server-side apply."""

    def made(who: str) -> Json:
        return obj(who) if callable(obj) else obj

    address = place.path(kind, namespace)
    named = place.path(kind, namespace, made("x")["metadata"]["name"])
    yield Write(f"{called}, created", "POST", address, made, told)
    yield Write(f"{called}, applied anew", "PATCH", named, made, told, people.APPLY, {"force": "true", "fieldManager": "kubectl"})


def deleted(kind: str, namespace: str, name: str, called: str, told: Told, *, many: bool = True) -> Iterator[Write]:
    """By name, and as a collection of one."""
    yield Write(f"{called}, deleted", "DELETE", place.path(kind, namespace, name), lambda _: None, told)
    if many:
        query = {"fieldSelector": f"metadata.name={name}"}
        yield Write(f"{called}, deleted as a collection", "DELETE", place.path(kind, namespace), lambda _: None, told, query=query)


def on_models(namespace: str, found: Mapping[tuple[str, str], Json]) -> Iterator[Write]:
    def rules(*stages: str) -> Told:
        return Told([Demand("govern", stages)])

    def serves(*stages: str) -> Told:
        return Told([Demand("promote", stages)], template=True)

    def change(called: str, how: Change, told: Told, *, less: bool = False) -> Iterator[Write]:
        return changed("Model", "fraud", f"Model: {called}", how, told, found, less=less)

    staging, production = (*_STAGES, 0), (*_STAGES, 1)
    yield from change("description", put("spec", "description", value="new"), FREE)
    yield from change("label", put("metadata", "labels", value={"a": "b"}), FREE)
    yield from change(
        "gates of production", put(*production, "gates", "approvals", value=[{"name": "risk"}]), rules("production"), less=True
    )
    yield from change("gates of production away", put(*production, "gates", value=None), rules("production"), less=True)
    yield from change("gates of staging", put(*staging, "gates", value={"evidence": ["ModelCard"]}), rules("staging"))
    two = both(put(*staging, "gates", value={"documentation": True}), put(*production, "gates", value={"documentation": True}))
    yield from change("gates of both", two, rules("staging", "production"))
    yield from change("risk tier", put("spec", "riskTier", value="High"), rules())
    yield from change("risk tier Low, as it was", put("spec", "riskTier", value="Low"), FREE)
    yield from change("production frozen", put(*production, "frozen", value={"reason": "year-end"}), rules("production"))
    yield from change("autoPromote in production", put(*production, "autoPromote", value=True), rules("production"))
    yield from change("autoPromote false in production", put(*production, "autoPromote", value=False), FREE)
    yield from change("stage qa added", lambda obj, _: obj["spec"]["stages"].append({"name": "qa"}), rules("qa"))
    yield from change("stage staging gone", lambda obj, _: _without(obj, "staging"), rules("staging", "production"), less=True)
    both_gone = [Demand("govern", ("development", "staging", "production")), Demand("promote", ("staging", "production"))]
    yield from change("stages absent", put("spec", "stages", value=None), Told(both_gone, template=True), less=True)
    yield from change("replicas of production", put(*production, "serving", "replicas", value=3), serves("production"))
    yield from change("serving of production away", put(*production, "serving", value=None), serves("production"), less=True)
    images = both(put(*staging, "serving", value=place.serving("server:2")), put(*production, "serving", value=place.serving("server:2")))
    yield from change("templates of both", images, serves("staging", "production"))
    mixed = both(put(*production, "serving", value=place.serving("server:2")), put(*production, "gates", value={"documentation": True}))
    yield from change(
        "template and gates of production",
        mixed,
        Told([Demand("promote", ("production",)), Demand("govern", ("production",))], template=True),
    )
    qa = {"name": "qa", "serving": place.serving()}
    added = Told([Demand("promote", ("qa",)), Demand("govern", ("qa",))], template=True)
    yield from change("serving stage qa added", lambda obj, _: obj["spec"]["stages"].append(qa), added)
    yield from change("alias", put("spec", "aliases", value={"champion": "2"}), Told([Demand("alias")]))
    yield from change("aliases gone", put("spec", "aliases", value=None), Told([Demand("alias")]), less=True)
    yield from change("Retired", put("spec", "lifecycle", value="Retired"), Told([Demand("retire")]))
    bare = place.model("fresh", stages=[{"name": "production"}], aliases={})
    yield from created("Model", namespace, "Model of one stage", bare, rules("production"))
    yield from created("Model", namespace, "Model of default stages", _drop(bare, "stages"), rules("development", "staging", "production"))
    whole = Told(
        [Demand("govern", ("staging", "production")), Demand("promote", ("staging", "production")), Demand("alias")], template=True
    )
    yield from created("Model", namespace, "Model that serves", place.model("fresh"), whole)
    other = Told([Demand("govern", ("production",), model="credit")])
    yield from created(
        "Model", namespace, "another team's Model", place.model("credit", stages=[{"name": "production"}], aliases={}), other
    )
    yield from created(
        "Model",
        namespace,
        "the probe's Model",
        place.model("modelyard-probe", stages=[{"name": "production"}], aliases={}),
        Told(impossible=True),
    )
    yield from deleted("Model", namespace, "fraud", "Model, Active", Told(impossible=True))
    yield from deleted("Model", namespace, "busy", "Model, Retired and serving", Told(impossible=True))
    yield from deleted("Model", namespace, "holding", "Model, Retired and holding", Told(impossible=True))
    yield from deleted("Model", namespace, "old", "Model, Retired", Told([Demand("retire")]))
    yield from changed("Model", "fraud", "Model: status", put("status", "observedGeneration", value=0), Told(status=True), found, "status")
    future = Told(status=True, impossible=True)
    yield from changed(
        "Model", "fraud", "Model: status of the future", put("status", "observedGeneration", value=99), future, found, "status"
    )


def on_models_bounds(found: Mapping[tuple[str, str], Json]) -> Iterator[Write]:
    """What nobody may write into a Model: more metadata than leaves room for others, and the operator's own bucket."""

    def change(called: str, how: Change, told: Told) -> Iterator[Write]:
        return changed("Model", "fraud", f"Model: {called}", how, told, found)

    yield from change("annotations that fill it", put("metadata", "annotations", value=FULL), Told(impossible=True))
    stays = [f"example.com/{number}" for number in range(33)]
    yield from change("finalizers that fill it", put("metadata", "finalizers", value=stays), Told(impossible=True))
    for where in ("s3://modelyard/", "s3://modelyard/ledger/main/"):
        yield from change(f"storage {where}", put("spec", "storage", "uri", value=where), Told(impossible=True))
    yield from change("storage elsewhere", put("spec", "storage", "uri", value="s3://modelyards/"), FREE)


def on_versions(namespace: str, found: Mapping[tuple[str, str], Json]) -> Iterator[Write]:
    def change(called: str, how: Change, told: Told, name: str = "fraud-1") -> Iterator[Write]:
        return changed("ModelVersion", name, f"ModelVersion: {called}", how, told, found)

    evidence = [{"name": "vr", "type": "ValidationReport", "uri": "s3://models/fraud/vr.pdf", "sha256": place.DIGEST}]
    attest, retire, register = Told([Demand("attest")]), Told([Demand("retire")]), Told([Demand("register")])
    yield from created("ModelVersion", namespace, "ModelVersion", place.version("9"), register)
    yield from created(
        "ModelVersion", namespace, "ModelVersion of credit", place.version("9", of="credit"), Told([Demand("register", model="credit")])
    )
    yield from created(
        "ModelVersion", namespace, "the probe's ModelVersion", place.version("9", of="modelyard-probe"), Told(impossible=True)
    )
    yield from change("description", put("spec", "description", value="new"), FREE)
    yield from change("annotation", put("metadata", "annotations", "a", value="b"), FREE)
    yield from change("annotations that fill it", put("metadata", "annotations", value=FULL), Told(impossible=True))
    theirs = [{**evidence[0], "uri": "s3://modelyard/vr.pdf"}]
    yield from change("evidence in the operator's bucket", put("spec", "evidence", value=theirs), Told(impossible=True))
    yield from change("metric", put("spec", "metrics", "f1", value=0.8), attest)
    yield from change("evidence", put("spec", "evidence", value=evidence), attest)
    both_of = both(put("spec", "metrics", "f1", value=0.8), put("spec", "lifecycle", value="Deprecated"))
    yield from change("metric and Deprecated", both_of, Told([Demand("attest"), Demand("retire")]))
    yield from change("Deprecated", put("spec", "lifecycle", value="Deprecated"), retire)
    yield from change("Retired", put("spec", "lifecycle", value="Retired"), retire, "fraud-5")
    yield from change("metric of credit", put("spec", "metrics", "f1", value=0.8), Told([Demand("attest", model="credit")]), "credit-1")
    yield from deleted("ModelVersion", namespace, "fraud-1", "ModelVersion, serving", Told(impossible=True))
    yield from deleted("ModelVersion", namespace, "fraud-2", "ModelVersion, never Ready", register)
    yield from deleted("ModelVersion", namespace, "fraud-3", "ModelVersion, Retired", retire)
    yield from deleted("ModelVersion", namespace, "fraud-4", "ModelVersion, Retired and serving", Told(impossible=True))
    yield from deleted("ModelVersion", namespace, "fraud-6", "ModelVersion, Retired and held", Told(impossible=True))
    yield from deleted("ModelVersion", namespace, "fraud-7", "ModelVersion, Retired and its hold given up", retire)
    yield from deleted("ModelVersion", namespace, "fraud-5", "ModelVersion, Ready", Told(impossible=True))
    yield from changed(
        "ModelVersion", "fraud-5", "ModelVersion: status", put("status", "phase", value="Failed"), Told(status=True), found, "status"
    )


def on_promotions(namespace: str, found: Mapping[tuple[str, str], Json]) -> Iterator[Write]:
    def change(called: str, how: Change, told: Told, name: str = "wait", sub: str = "", *, less: bool = False) -> Iterator[Write]:
        return changed("Promotion", name, f"Promotion: {called}", how, told, found, sub, less=less)

    def said(gate: str = "risk", stage: str = "production", **more: Any) -> Told:
        return Told([Demand("approve", (stage,), gate)], **{"approves": "me", "requested_by": "requester", **more})

    promote, never = Told([Demand("promote", ("production",))]), Told(impossible=True)
    yield from created("Promotion", namespace, "Promotion", place.promotion("new"), promote)
    yield from created(
        "Promotion", namespace, "Promotion to staging", place.promotion("new", "staging"), Told([Demand("promote", ("staging",))])
    )
    yield from created(
        "Promotion", namespace, "rollback", place.promotion("new", rollback=True), Told([Demand("rollback", ("production",))])
    )
    yield from created(
        "Promotion",
        namespace,
        "Promotion of credit",
        place.promotion("new", of="credit"),
        Told([Demand("promote", ("production",), model="credit")]),
    )
    yield from created("Promotion", namespace, "Promotion in another's name", place.promotion("new", requestedBy="alice"), never)
    approved = [{"user": "everything", "gate": "risk", "decision": "Approved", "subject": place.NOW}]
    yield from created("Promotion", namespace, "Promotion approved already", place.promotion("new", approvals=approved), never)
    yield from change("paused", put("spec", "paused", value=True), promote)
    yield from change("abort", put("spec", "abort", value=True), promote)
    yield from change("paused in staging", put("spec", "paused", value=True), Told([Demand("promote", ("staging",))]), "staged")
    yield from change("label", put("metadata", "labels", value={"team": "other"}), promote)
    yield from change("labels gone", put("metadata", "labels", "team", value=None), promote, less=True)
    yield from change("annotation", put("metadata", "annotations", "note", value="x"), promote)
    yield from change("annotations that fill it", put("metadata", "annotations", value=FULL), never)
    yield from change("finalizer", put("metadata", "finalizers", value=["example.com/stay"]), promote)
    owner = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "1"}]
    yield from change("owner", put("metadata", "ownerReferences", value=owner), promote)
    yield from change("approval for risk", approve(), said())
    yield from change("approval for business", approve("business"), said("business"))
    yield from change("approval for robots", approve("robots"), said("robots", machines=True))
    yield from change("approval for an unknown gate", approve("nonsense"), never)
    yield from change("approval in staging", approve(), said(stage="staging"), "staged")
    yield from change("approval, subject left out", approve(subject=None), said())
    yield from change("approval of another subject", approve(subject=place.OTHER), never)
    yield from change("rejection", approve(decision="Rejected"), said(decision="Rejected"))
    yield from change("approval in another's name", approve(user="all-but-register"), said(approves="all-but-register"))
    yield from change(
        "another's approval changed",
        approve(user="all-but-govern", decision="Rejected"),
        said(approves="all-but-govern", decision="Rejected"),
    )
    yield from change(
        "another's approval withdrawn",
        approve(user="all-but-promote", decision="Withdrawn"),
        said(approves="all-but-promote", decision="Withdrawn"),
    )
    yield from change("two approvals", approve(more=("somebody",)), never)
    yield from change(
        "approval and pause",
        both(approve(), put("spec", "paused", value=True)),
        Told([Demand("approve", ("production",), "risk"), Demand("promote", ("production",))], approves="me", requested_by="requester"),
    )
    labelled = both(approve(), put("metadata", "labels", value={"team": "mine"}))
    yield from change(
        "approval and label",
        labelled,
        Told([Demand("approve", ("production",), "risk"), Demand("promote", ("production",))], approves="me", requested_by="requester"),
    )
    for name in ("pending", "running", "done"):
        yield from change(f"approval while {name}", approve(), never, name)
    yield from change("status", put("status", "phase", value="Pending"), Told(status=True), "done", "status")
    yield from change(
        "status with a label",
        both(put("status", "phase", value="Pending"), put("metadata", "labels", value={"a": "b"})),
        Told(status=True),
        "done",
        "status",
    )
    yield from deleted("Promotion", namespace, "wait", "Promotion", promote)
    yield from deleted("Promotion", namespace, "staged", "Promotion to staging", Told([Demand("promote", ("staging",))]))


def on_serving(namespace: str, found: Mapping[tuple[str, str], Json]) -> Iterator[Write]:
    ours = Told(serves=True)
    label, note = put("metadata", "labels", value=place.labels()), put("metadata", "annotations", "note", value="x")
    yield from created("Deployment", namespace, "our Deployment", place.workload("Deployment", "new", ours=True), ours)
    yield from created(
        "Deployment",
        namespace,
        "Deployment of our pods",
        place.workload("Deployment", "new", ours=False, inside=True),
        Told(serves=True, bare=True),
    )
    reaching = place.workload("Deployment", "new", ours=True)
    reaching["spec"]["template"]["spec"]["hostPID"] = True
    yield from created("Deployment", namespace, "our Deployment of pods in their node", reaching, Told(serves=True, impossible=True))
    plain = place.workload("Deployment", "new", ours=False)
    yield from created("Deployment", namespace, "plain Deployment", plain, Told(template=True, bare=True))
    named = place.files("fraud-1-production-0123456789.modelyard-files", ours=False)
    yield from created("ConfigMap", namespace, "ConfigMap with a list's name", named, Told(serves=True, bare=True))
    yield from created("ReplicaSet", namespace, "our ReplicaSet", place.workload("ReplicaSet", "new", ours=True), ours)
    yield from created(
        "ReplicaSet", namespace, "ReplicaSet of our pods", place.workload("ReplicaSet", "new", ours=False, inside=True), ours
    )
    for kind, made in (("Pod", place.pod), ("Service", place.service), ("ConfigMap", place.files), ("EndpointSlice", place.slices)):
        yield from created(kind, namespace, f"our {kind}", made("new", ours=True), ours)
        yield from created(kind, namespace, f"plain {kind}", made("new", ours=False), Told(bare=kind in JUDGED))
    names = {"Deployment": "{}", "ReplicaSet": "{}-rs", "Pod": "{}", "Service": "{}", "ConfigMap": "{}", "EndpointSlice": "{}"}
    for kind, name in names.items():
        bare = kind in JUDGED
        yield from changed(kind, name.format("fraud"), f"our {kind}: note", note, ours, found)
        yield from changed(kind, name.format("fraud"), f"our {kind}: nothing", lambda _obj, _who: None, FREE, found, less=True)
        yield from changed(
            kind,
            name.format("fraud"),
            f"our {kind}: our label away",
            put("metadata", "labels", "modelyard.dev/stage", value=None),
            Told(serves=True, bare=bare),
            found,
            less=True,
        )
        yield from changed(kind, name.format("plain"), f"plain {kind}: note", note, Told(bare=bare), found)
        yield from changed(kind, name.format("plain"), f"plain {kind}: our labels", label, Told(serves=True, bare=bare), found)
        gone = FREE if kind == "Pod" else Told([Demand("retire")], deletes=True)
        yield from deleted(kind, namespace, name.format("fraud"), f"our {kind}", gone, many=kind != "Service")
        yield from deleted(kind, namespace, name.format("plain"), f"plain {kind}", Told(bare=bare), many=kind != "Service")
    inside = put("spec", "template", "metadata", "labels", value={"app": "plain", **place.labels()})
    yield from changed("Deployment", "plain", "plain Deployment: our labels inside", inside, Told(serves=True, bare=True), found)
    for kind, name in (("Deployment", "fraud"), ("ReplicaSet", "fraud-rs")):
        address = place.path(kind, namespace, name, "scale")
        yield Write(f"our {kind}: scaled", "PATCH", address, lambda _: {"spec": {"replicas": 2}}, FREE, people.MERGE)
    yield Write(
        "our Deployment: status",
        "PATCH",
        place.path("Deployment", namespace, "fraud", "status"),
        lambda _: {"status": {"replicas": 1}},
        ours,
        people.MERGE,
    )
    yield Write(
        "our Pod: status",
        "PATCH",
        place.path("Pod", namespace, "fraud", "status"),
        lambda _: {"status": {"reason": "x"}},
        ours,
        people.MERGE,
    )
    debug = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "sh"}]}}
    yield Write(
        "our Pod: debugged",
        "PATCH",
        place.path("Pod", namespace, "fraud", "ephemeralcontainers"),
        lambda _: debug,
        ours,
        "application/strategic-merge-patch+json",
    )


def every(namespace: str, found: Mapping[tuple[str, str], Json]) -> list[Write]:
    """All of them."""
    return [
        *on_models(namespace, found),
        *on_models_bounds(found),
        *on_versions(namespace, found),
        *on_promotions(namespace, found),
        *on_serving(namespace, found),
    ]


def _without(model: Json, stage: str) -> None:
    """Nothing may come after a stage that is gone."""
    stages = model["spec"]["stages"]
    stages[:] = [
        {**one, "gates": {key: value for key, value in one.get("gates", {}).items() if key != "after"}}
        for one in stages
        if one["name"] != stage
    ]


def _drop(obj: Json, field: str) -> Json:
    return {**obj, "spec": {key: value for key, value in obj["spec"].items() if key != field}}


_SEEN: Final = {
    "Model: risk tier, JSON patch",
    "Model: description, JSON patch",
    "Model: gates of production, JSON patch",
    "Model: replicas of production, JSON patch",
    "Model: alias, JSON patch",
    "Model: Retired, JSON patch",
    "Model of one stage, created",
    "Model, Retired, deleted",
    "Model: status, JSON patch",
    "ModelVersion, created",
    "ModelVersion: metric, JSON patch",
    "ModelVersion: Deprecated, JSON patch",
    "ModelVersion, never Ready, deleted",
    "ModelVersion, Retired, deleted",
    "Promotion, created",
    "rollback, created",
    "Promotion: paused, JSON patch",
    "Promotion: approval for risk, JSON patch",
    "Promotion: label, JSON patch",
    "Promotion, deleted",
    "our Deployment: note, JSON patch",
}
PARTS: Final = frozenset(_SEEN)
"""One write of each part of a model's life."""
BY_ROLE: Final[Mapping[str, set[str]]] = {
    "viewer": set(),
    "publisher": {"ModelVersion, created", "ModelVersion: metric, JSON patch", "ModelVersion, never Ready, deleted"},
    "promoter": {
        "Promotion, created",
        "rollback, created",
        "Promotion: paused, JSON patch",
        "Promotion: label, JSON patch",
        "Promotion, deleted",
    },
    "approver": {"Promotion: approval for risk, JSON patch"},
    "governor": {
        "Model: risk tier, JSON patch",
        "Model: description, JSON patch",
        "Model: gates of production, JSON patch",
        "Model of one stage, created",
    },
    "owner": {
        "Model: description, JSON patch",
        "Model: alias, JSON patch",
        "Model: Retired, JSON patch",
        "Model, Retired, deleted",
        "ModelVersion: Deprecated, JSON patch",
        "ModelVersion, Retired, deleted",
    },
}
"""What a ClusterRole is enough for, of those."""
SAID: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("Model: gates of production, put", "bare"): (
        "govern on models/production",
        "resourceName fraud",
        "namespace {namespace}",
        "modelyard-governor",
    ),
    ("Model: gates of both, put", "govern-production"): ("govern on models of", "production", "staging", "changes one stage per write"),
    ("Model: risk tier, put", "govern-production"): ("change the riskTier", "govern on models of", "modelyard-governor"),
    ("Model: replicas of production, put", "undeployed"): ("create on deployments of apps", "namespace {namespace}", "ClusterRole edit"),
    ("Model, Active, deleted", "everything"): ("set spec.lifecycle to Retired first",),
    ("Model, Retired and serving, deleted", "everything"): ("wait until it serves nothing",),
    ("Model, Retired and holding, deleted", "everything"): ("under a legal hold", "status.versions.held", "modelyard.dev/leave-held"),
    ("ModelVersion, Retired and held, deleted", "everything"): (
        "status.artifact.held",
        "kubectl annotate mv fraud-6 modelyard.dev/leave-held=yes",
    ),
    ("ModelVersion, created", "bare"): ("register on models", "resourceName fraud", "modelyard-publisher"),
    ("ModelVersion, Ready, deleted", "everything"): ("was Ready once", "Retired"),
    ("Promotion, created", "bare"): ("promote on models/production", "modelyard-promoter"),
    ("rollback, created", "only-promote"): ("roll back fraud in stage production", "rollback on models/production"),
    ("Promotion in another's name, created", "everything"): ("has to be everything", "leave it out"),
    ("Promotion: label, merge patch", "only-approve"): (
        "change anything of wait but their own approval",
        "promote",
        "modelyard approve wait --gate",
    ),
    ("Promotion: approval for risk, merge patch", "bare"): ("approve on models/production/risk", "modelyard-approver"),
    ("Promotion: approval for risk, put", "requester"): ("four eyes", "requester asked for wait"),
    ("Promotion: approval in another's name, put", "only-approve"): ("everybody writes their own", "modelyard approve wait"),
    ("Promotion: approval of another subject, put", "only-approve"): (place.NOW, "modelyard approve wait"),
    ("Promotion: two approvals, put", "only-approve"): ("one approval per write", "modelyard approve wait"),
    ("Promotion: approval while running, put", "only-approve"): ("is RollingOut", "AwaitingApproval", "modelyard approve running"),
    ("Promotion: approval for risk, JSON patch", "robot"): ("service account", "allowServiceAccounts: true"),
    ("Promotion: approval for an unknown gate, put", "only-approve"): ("no gate nonsense", "risk, business, robots"),
    ("Promotion: status, put", "everything"): ("only system:serviceaccount:modelyard-system:modelyard writes it",),
    ("our Deployment: note, put", "everything"): ("change serving of the stage in the Model", "scal"),
    ("our Service, deleted", "bare"): ("change serving of the stage in the Model", "the verb retire"),
    ("our Deployment of pods in their node, created", "operator"): ("hostPID", "pod-security.kubernetes.io/enforce: privileged"),
    ("plain Service: note, put", "operator"): ("modelyard.dev/stage", "services plain"),
    ("Model: annotations that fill it, put", "everything"): ("200026 bytes", "196608", "--server-side"),
    ("Model: storage s3://modelyard/, put", "everything"): ("the operator's own s3://modelyard/", "name another bucket or folder"),
}
"""Write and writer → what the refusal says."""
