"""The namespace of the matrix: what RBAC gives everybody there, and objects in every state that the policies tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tests.cluster.access import people
from tests.cluster.access.oracle import Person

Json = dict[str, Any]

API: Final = "modelyard.dev/v1alpha1"
MODELS: Final = ("fraud", "old", "busy", "holding", "fresh")
"""The models that everybody's rights are about; credit is another team's."""
NOW, EARLIER, OTHER = (f"sha256:{sign * 64}" for sign in "abd")
"""Subjects: what is asked now, what was asked before, and what never was."""
DIGEST: Final = f"sha256:{'c' * 64}"
TIME: Final = "2026-10-03T14:00:02Z"
PLURALS: Final = {
    "Model": ("apis/modelyard.dev/v1alpha1", "models"),
    "ModelVersion": ("apis/modelyard.dev/v1alpha1", "modelversions"),
    "Promotion": ("apis/modelyard.dev/v1alpha1", "promotions"),
    "Deployment": ("apis/apps/v1", "deployments"),
    "ReplicaSet": ("apis/apps/v1", "replicasets"),
    "Pod": ("api/v1", "pods"),
    "Service": ("api/v1", "services"),
    "ConfigMap": ("api/v1", "configmaps"),
    "EndpointSlice": ("apis/discovery.k8s.io/v1", "endpointslices"),
}
_WRITES: Final = ["get", "list", "create", "update", "patch", "delete", "deletecollection"]
_EDITS: Final[Sequence[Json]] = (
    {"apiGroups": ["modelyard.dev"], "resources": ["models", "modelversions", "promotions"], "verbs": _WRITES},
    {"apiGroups": ["modelyard.dev"], "resources": ["models/status", "modelversions/status", "promotions/status"], "verbs": _WRITES},
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "update", "patch", "delete", "deletecollection"]},
    {"apiGroups": ["apps"], "resources": ["deployments/scale", "deployments/status", "replicasets", "replicasets/scale"], "verbs": _WRITES},
    {"apiGroups": [""], "resources": ["pods", "pods/status", "pods/ephemeralcontainers", "pods/resize"], "verbs": _WRITES},
    {"apiGroups": [""], "resources": ["services", "services/status", "configmaps"], "verbs": _WRITES},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": _WRITES},
)


def path(kind: str, namespace: str, name: str = "", sub: str = "") -> str:
    """Of an object, or of all of a kind."""
    root, plural = PLURALS[kind]
    return "/" + "/".join(filter(None, (root, "namespaces", namespace, plural, name, sub)))


def permissions(namespace: str) -> list[Json]:
    """Roles and bindings: ordinary RBAC for nearly everybody, and each person's own verbs."""
    everybody = [*people.PEOPLE, *people.ROBOTS]
    objects = [
        _role("edits", namespace, [*_EDITS]),
        _role("deploys", namespace, [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["create"]}]),
        _role("wild", namespace, [{"apiGroups": ["modelyard.dev"], "resources": ["*"], "verbs": ["*"]}]),
        _role(
            "asks",
            namespace,
            [{"apiGroups": ["modelyard.dev"], "resources": ["models"], "verbs": ["promote", "register", "govern", "alias"]}],
        ),
        *({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": one.name, "namespace": namespace}} for one in people.ROBOTS),
        _binding("edits", namespace, [*(one for one in everybody if one.edits), people.OPERATORS]),
        _binding("deploys", namespace, [*(one for one in everybody if one.deploys), people.OPERATORS]),
        _binding("wild", namespace, [one for one in everybody if one.wild]),
        _binding("asks", namespace, [people.OPERATORS]),
    ]
    for one in everybody:
        if one.rights:
            rules = [
                {"apiGroups": ["modelyard.dev"], "resources": [resource], "resourceNames": [*MODELS], "verbs": [verb]}
                for verb, resource in sorted(one.rights)
            ]
            objects += [_role(f"of-{one.name}", namespace, rules), _binding(f"of-{one.name}", namespace, [one])]
    return objects


def _role(name: str, namespace: str, rules: list[Json]) -> Json:
    about = {"name": name, "namespace": namespace}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": about, "rules": rules}


def _binding(role: str, namespace: str, whom: Sequence[Person]) -> Json:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": role, "namespace": namespace},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": role},
        "subjects": [
            {"kind": "ServiceAccount", "name": one.name, "namespace": namespace}
            if one.account
            else {"apiGroup": group, "kind": "User", "name": one.name}
            for one in whom
        ],
    }


def serving(image: str = "server:1") -> Json:
    return {"port": 8080, "template": {"spec": {"containers": [{"name": "server", "image": image}]}}}


def model(name: str = "fraud", **more: Any) -> Json:
    """A Model with the stages staging and production."""
    stages = [
        {"name": "staging", "serving": serving()},
        {
            "name": "production",
            "gates": {"after": ["staging"], "approvals": [{"name": "risk"}, {"name": "business"}]},
            "serving": serving(),
        },
    ]
    spec = {"owner": {"team": "payments"}, "storage": {"uri": f"s3://models/{name}/"}, "stages": stages, "aliases": {"champion": "1"}}
    return {"apiVersion": API, "kind": "Model", "metadata": {"name": name}, "spec": {**spec, **more}}


def version(number: str, of: str = "fraud", **more: Any) -> Json:
    artifact = {"uri": f"s3://models/{of}/{number}/", "digest": DIGEST, "format": "other"}
    spec = {"model": of, "version": number, "artifact": artifact, "metrics": {"auc": 0.9}}
    return {"apiVersion": API, "kind": "ModelVersion", "metadata": {"name": f"{of}-{number}"}, "spec": {**spec, **more}}


def promotion(name: str, stage: str = "production", of: str = "fraud", **more: Any) -> Json:
    spec = {"model": of, "version": "1", "stage": stage, **more}
    return {"apiVersion": API, "kind": "Promotion", "metadata": {"name": name, "labels": {"team": "payments"}}, "spec": spec}


def labels(stage: str = "production") -> dict[str, str]:
    ours = {"modelyard.dev/model": "fraud", "modelyard.dev/stage": stage, "modelyard.dev/role": "primary"}
    return {"app.kubernetes.io/managed-by": "modelyard", **ours}


def workload(kind: str, name: str, ours: bool, inside: bool | None = None) -> Json:
    """A Deployment or ReplicaSet of no pods; `inside`: whether its pods would carry our labels."""
    own = {"app": name}
    theirs = own | (labels() if (ours if inside is None else inside) else {})
    spec = {"replicas": 0, "selector": {"matchLabels": own}, "template": {"metadata": {"labels": theirs}, "spec": pod_spec()}}
    about = {"name": name, "labels": own | (labels() if ours else {})}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": about, "spec": spec}


def pod_spec() -> Json:
    return {"schedulerName": "nobody", "terminationGracePeriodSeconds": 0, "containers": [{"name": "server", "image": "server:1"}]}


def pod(name: str, ours: bool) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels() if ours else {"app": name}},
        "spec": pod_spec(),
    }


def service(name: str, ours: bool) -> Json:
    about = {"name": name, "labels": labels() if ours else {"app": name}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": about, "spec": {"ports": [{"port": 80}]}}


def files(name: str, ours: bool) -> Json:
    about = {"name": name, "labels": labels() if ours else {"app": name}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": {"list": "of files"}}


def slices(name: str, ours: bool) -> Json:
    about = {"name": name, "labels": labels() if ours else {"app": name}}
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": about, "addressType": "IPv4", "endpoints": []}


async def furnish(crowd: people.Crowd, namespace: str) -> None:
    """Make every object, each by somebody who may, and write the operator's part of it."""
    maker, operator, asker = crowd["everything"], crowd["operator"], crowd["requester"]
    artifact = {"digest": DIGEST, "files": 1, "bytes": 1, "manifest": DIGEST, "verifiedAt": TIME, "checkedAt": TIME, "seconds": 0.1}
    once = {"observedGeneration": 1, "phase": "Ready", "artifact": artifact, "specDigest": DIGEST}
    claims = {"stages": [{"name": "production", "state": "Serving", "since": TIME}]}
    runs = {"stages": [{"name": "production", "current": "1", "serving": {"deployment": "busy-production"}}]}
    await _make(maker, namespace, model(), operator, {"observedGeneration": 1})
    await _make(maker, namespace, model("old", lifecycle="Retired"), operator, {"observedGeneration": 1})
    await _make(maker, namespace, model("busy", lifecycle="Retired"), operator, {"observedGeneration": 1, **runs})
    holds = {"versions": {"total": 1, "ready": 0, "held": 1}}
    await _make(maker, namespace, model("holding", lifecycle="Retired"), operator, {"observedGeneration": 1, **holds})
    await _make(maker, namespace, version("1"), operator, {**once, **claims})
    await _make(maker, namespace, version("2"), operator, {"observedGeneration": 1, "phase": "Pending"})
    await _make(maker, namespace, version("3", lifecycle="Retired"), operator, once)
    await _make(maker, namespace, version("4", lifecycle="Retired"), operator, {**once, **claims})
    await _make(maker, namespace, version("5"), operator, once)
    under = {**once, "artifact": {**artifact, "held": DIGEST}}
    await _make(maker, namespace, version("6", lifecycle="Retired"), operator, under)
    given_up = version("7", lifecycle="Retired")
    given_up["metadata"]["annotations"] = {"modelyard.dev/leave-held": "yes"}
    await _make(maker, namespace, given_up, operator, under)
    await _make(crowd["masters"], namespace, version("1", of="credit"), operator, {"observedGeneration": 1})
    asked = {"approvals": [{"gate": "risk"}, {"gate": "business"}, {"gate": "robots", "allowServiceAccounts": True}]}
    for name, phase in (("wait", "AwaitingApproval"), ("pending", "Pending"), ("running", "RollingOut"), ("done", "Succeeded")):
        await _make(asker, namespace, promotion(name), operator, {"observedGeneration": 1, "phase": phase, "subject": NOW, **asked})
    staged = {"observedGeneration": 1, "phase": "AwaitingApproval", "subject": NOW, **asked}
    await _make(asker, namespace, promotion("staged", "staging"), operator, staged)
    for ours, prefix in ((True, "fraud"), (False, "plain")):
        maker = operator if ours else crowd["masters"]  # the operator makes nothing without its labels
        for made in (workload("Deployment", prefix, ours), workload("ReplicaSet", f"{prefix}-rs", ours), pod(prefix, ours)):
            await _make(maker, namespace, made)
        for made in (service(prefix, ours), files(prefix, ours), slices(prefix, ours)):
            await _make(maker, namespace, made)


async def approved_before(crowd: people.Crowd, namespace: str) -> None:
    """Approvals on the waiting Promotion: all-but-promote's of what was asked before, all-but-govern's of what is asked now."""
    address = path("Promotion", namespace, "wait")
    for subject, name in ((EARLIER, "all-but-promote"), (NOW, "all-but-govern")):
        await _status(crowd["operator"], "Promotion", namespace, "wait", {"subject": subject})
        one = {"user": name, "gate": "risk", "decision": "Approved"}
        there = (await crowd[name].send("GET", address)).body["spec"].get("approvals")
        patch = (
            {"op": "add", "path": "/spec/approvals/-", "value": one} if there else {"op": "add", "path": "/spec/approvals", "value": [one]}
        )
        answer = await crowd[name].send("PATCH", address, [patch], people.JSON_PATCH)
        assert answer.passed, answer
        assert answer.body["spec"]["approvals"][-1] == {**one, "subject": subject}


async def _make(who: people.Login, namespace: str, obj: Json, operator: people.Login | None = None, status: Json | None = None) -> None:
    answer = await who.send("POST", path(obj["kind"], namespace), obj)
    assert answer.passed, (obj["kind"], obj["metadata"]["name"], answer)
    if operator and status:
        await _status(operator, obj["kind"], namespace, obj["metadata"]["name"], status)


async def _status(operator: people.Login, kind: str, namespace: str, name: str, status: Json) -> None:
    answer = await operator.send("PATCH", path(kind, namespace, name, "status"), {"status": status}, people.MERGE)
    assert answer.passed, (kind, name, answer)
