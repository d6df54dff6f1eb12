"""A pretended world for stories: an API server, its Deployment controller and an object store, in memory, with a clock of their own.

It keeps the few rules that the operator relies on: resource versions, generations, conflicts, server-side apply of what we own.
"""

from __future__ import annotations

import copy
import datetime
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from modelyard import edge
from modelyard.api.labels import TEMPLATE, VERSION
from modelyard.api.reason import Reason
from modelyard.content import digest
from modelyard.content import manifest as content_manifest
from modelyard.edge.bucket import blobs
from modelyard.edge.cluster import client
from modelyard.ledger import codec
from modelyard.ledger.record import Action, Authenticity, LedgerEntry, Record, snapshots
from modelyard.plan import finding
from modelyard.plan.modelversion import inspection, legal_hold
from tests.fakes import bucket

START = datetime.datetime(2026, 10, 1, 9, 0, tzinfo=datetime.UTC)
Place = tuple[str, str, str]


class Crash(BaseException):
    """The operator died right after a write: nothing of it catches that."""


class World:
    """The API server and what runs on it; passed where a `cluster.Cluster` goes."""

    namespace = "risk"

    def __init__(self) -> None:
        self.now = START
        self.objects: dict[Place, dict[str, Any]] = {}
        self.news: list[tuple[client.Kind, str, dict[str, Any]]] = []
        self.refuse: dict[str, str] = {}
        """Name of an object -> why the API server will not take it."""
        self.around: dict[str, dict[str, Any] | None] = {}
        """Namespaces and CRDs that are not as usual: being deleted, or gone."""
        self.crash = False
        """Die after every write."""
        self.lives: int | None = None
        """Die after so many writes of the operator."""
        self.works = False
        """It is the operator who writes."""
        self.meanwhile: Callable[[client.Kind, str], object] = lambda _kind, _name: None
        """Called before each write of a status: what somebody does before it arrives."""
        self.judge: Callable[[dict[str, Any], dict[str, Any]], object] = lambda _obj, _status: None
        """Called with each status that the operator writes, and the object as it was."""
        self.calls = 0
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)

    # --- what people and controllers do

    def put(self, obj: dict[str, Any]) -> None:
        """Create or update as kubectl apply would."""
        obj = copy.deepcopy(obj)
        obj["metadata"].setdefault("namespace", self.namespace)
        self._save(client.KINDS[obj["kind"]], obj, keep_status=True)

    def remove(self, kind: client.Kind, name: str) -> None:
        """Delete."""
        gone = self.objects.pop((kind.name, self.namespace, name))
        self.news.append((kind, "DELETED", gone))

    def roll(self, name: str, *, available: bool) -> None:
        """The Deployment controller starts the pods of the newest template; they come up, or they do not."""
        deployment = self.objects["Deployment", self.namespace, name]
        wanted = deployment["spec"].get("replicas", 1)
        status = {"observedGeneration": deployment["metadata"]["generation"], "replicas": wanted, "updatedReplicas": wanted}
        deployment["status"] = status | (
            {"availableReplicas": wanted} if available else {"replicas": wanted + 1, "availableReplicas": wanted}
        )
        self._touch(client.DEPLOYMENT, deployment)
        self._run(name, deployment["spec"]["template"]["metadata"]["labels"], wanted, ready=available)

    def _run(self, name: str, labels: dict[str, str], wanted: int, *, ready: bool) -> None:
        """Pods of the newest template; the older ones go once these are ready."""
        newest = f"{name}-{labels[VERSION]}"
        for kind, _, pod in list(self.objects):
            if kind == "Pod" and pod.startswith(f"{name}-") and (pod.rpartition("-")[0] == newest or ready):
                self.remove(client.POD, pod)
        status = {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
        for number in range(wanted):
            about = {"name": f"{newest}-{number}", "namespace": self.namespace, "labels": dict(labels)}
            self._save(client.POD, {"kind": "Pod", "metadata": about, "spec": {}, "status": status}, keep_status=False)

    # --- cluster.Cluster

    async def get(self, kind: client.Kind, namespace: str, name: str) -> dict[str, Any] | None:
        self.calls += 1
        if kind in {client.NAMESPACE, client.CRD}:
            return self.around.get(name, {"metadata": {"name": name}})
        return copy.deepcopy(self.objects.get((kind.name, namespace, name)))

    async def list(
        self,
        kind: client.Kind,
        namespace: str | None = None,
        labelSelector: str = "",  # noqa: N803  the API's word
        **_: str,
    ) -> AsyncIterator[dict[str, Any]]:
        self.calls += 1
        wanted = dict(term.split("=") for term in labelSelector.split(",") if term)
        for (name, _ns, _called), obj in sorted(self.objects.items()):
            if name == kind.name and namespace in {None, _ns} and wanted.items() <= (obj["metadata"].get("labels") or {}).items():
                yield copy.deepcopy(obj)

    async def whoami(self) -> str:
        return "system:serviceaccount:modelyard-system:modelyard"

    async def create(self, obj: dict[str, Any]) -> dict[str, Any]:
        self.calls += 1
        about = obj["metadata"]
        if (obj["kind"], about["namespace"], about["name"]) in self.objects:
            raise client.Conflict("exists")
        return self._save(client.KINDS[obj["kind"]], copy.deepcopy(obj), keep_status=False)

    async def apply(self, obj: dict[str, Any], *, manager: str = "modelyard", force: bool = True, dry_run: bool = False) -> dict[str, Any]:
        self.calls += 1
        if why := self.refuse.get(obj["metadata"]["name"]):
            raise client.Refused(422, why)
        if dry_run:
            return obj
        about = obj["metadata"]
        there = self.objects.get((obj["kind"], about["namespace"], about["name"]))
        if there is None and "uid" in about:
            raise client.Conflict("uid mismatch")
        if there and ("resourceVersion" in about or about.get("uid", there["metadata"]["uid"]) != there["metadata"]["uid"]):
            raise client.Conflict("the object has been modified")
        return self._save(client.KINDS[obj["kind"]], copy.deepcopy(obj), keep_status=True)

    async def write_status(
        self, kind: client.Kind, namespace: str, name: str, resource_version: str, status: dict[str, Any]
    ) -> dict[str, Any]:
        self.calls += 1
        self.meanwhile(kind, name)
        obj = self.objects.get((kind.name, namespace, name))
        if obj is None or obj["metadata"]["resourceVersion"] != resource_version:
            raise client.Conflict(name)
        self.judge(obj, status)
        obj["status"] = copy.deepcopy(status)
        return self._touch(kind, obj)

    async def delete(self, kind: client.Kind, namespace: str, name: str, uid: str | None = None) -> None:
        self.calls += 1
        if gone := self.objects.pop((kind.name, namespace, name), None):
            self.news.append((kind, "DELETED", gone))
            if self.crash:
                raise Crash

    # --- inside

    def _save(self, kind: client.Kind, obj: dict[str, Any], *, keep_status: bool) -> dict[str, Any]:
        about = obj["metadata"]
        place = (kind.name, about["namespace"], about["name"])
        was = self.objects.get(place)
        if (
            was
            and all(was.get(part) == obj.get(part) for part in ("spec", "data"))
            and all(was["metadata"].get(k) == v for k, v in about.items())
        ):
            return copy.deepcopy(was)
        generation = was["metadata"]["generation"] + (was.get("spec") != obj.get("spec")) if was else 1
        stamp = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        fixed = {"uid": f"uid-{next(self._uids)}", "creationTimestamp": stamp}
        if was:
            fixed = {key: was["metadata"][key] for key in fixed}
            about["labels"] = {**was["metadata"].get("labels", {}), **about.get("labels", {})}
        obj["metadata"] = {**about, **fixed, "generation": generation}
        if keep_status and was and "status" in was:
            obj["status"] = was["status"]
        self.objects[place] = obj
        return self._touch(kind, obj)

    def _touch(self, kind: client.Kind, obj: dict[str, Any]) -> dict[str, Any]:
        obj["metadata"]["resourceVersion"] = str(next(self._versions))
        self.news.append((kind, "MODIFIED", copy.deepcopy(obj)))
        if self.works and self.lives:
            self.lives -= 1
        if self.crash or self.lives == 0:
            raise Crash
        return copy.deepcopy(obj)


class Store:
    """The object store, as the prover sees it; passed where an `artifact.Prover` goes. Blobs are real, in the operator's own bucket."""

    def __init__(self) -> None:
        self.bytes: dict[str, str] = {}
        """URI -> what its only file holds."""
        self.down: str | None = None
        self.locks: str | None = None
        """Whether objects can be held: None, the bucket has no Object Lock; `yes`; or why not."""
        self.holds: set[str] = set()
        """URIs under legal hold."""
        self.blobs: blobs.Blobs
        """Of the operator that lives now: what it remembers dies with it."""

    async def hold(self, request: legal_hold.Request) -> finding.Finding | None:
        self._answer()
        uri = request.objects.uri
        if self.locks is None:
            return finding.Finding(Reason.HOLD_UNSUPPORTED, "not held: the bucket models has no Object Lock")
        if self.locks != "yes":
            return finding.Finding(Reason.HOLD_REFUSED, self.locks)
        if request.step == legal_hold.Step.SET:
            self.holds.add(uri)
        if request.step == legal_hold.Step.LIFT:
            self.holds -= {uri} - {one.uri for one in request.others}
        return None

    async def inspect(self, request: inspection.Request) -> inspection.Result:
        self._answer()
        held = self.bytes.get(request.uri)
        if held is None:
            return inspection.Missing(f"there is nothing at {request.uri}")
        manifest = content_manifest.manifest(
            [content_manifest.File("model.bin", len(held), digest.named(held.encode()).removeprefix("sha256:"), "etag")]
        )
        if request.expected and manifest.digest != request.expected:
            return inspection.Differs(manifest.digest, f"the bytes at {request.uri} have another digest")
        return inspection.Found(manifest.digest, 1, len(held), await self.keep_blob(content_manifest.write_manifest(manifest)), 0.1)

    async def prove_object(self, request: inspection.EvidenceRequest) -> inspection.EvidenceResult:
        self._answer()
        held = self.bytes.get(request.uri)
        if held is None:
            return inspection.Missing(f"there is nothing at {request.uri}")
        found = digest.named(held.encode())
        if found != request.sha256:
            return inspection.Differs(found, f"the bytes at {request.uri} have another sha256")
        return inspection.Proven(found, len(held))

    async def blob(self, name: str) -> bytes:
        found = self.blobs.get(name)
        if found is None:
            raise edge.Unavailable(Reason.LEDGER_UNAVAILABLE, f"the operator's own bucket no longer has {name}")
        return found

    async def keep_blob(self, data: bytes) -> str:
        return self.blobs.keep(data)

    async def keep_blob_late(self, data: bytes) -> str:
        return self.blobs.keep_late(data)

    async def catch_up(self) -> None:
        self.blobs.catch_up()

    def _answer(self) -> None:
        if self.down:
            raise edge.Unavailable(Reason.STORE_UNREACHABLE, self.down)


def records(kept: bucket.Bucket) -> Iterator[Record]:
    """Every record of every model's chain, whether or not the bucket answers."""
    for key, data in sorted(kept.kept.items()):
        if key.startswith("ledger/main/") and not key.startswith("ledger/main/_/") and key.endswith(".json") and key.count("/") == 4:
            yield codec.read(data[-1] or b"")


def lost(kept: bucket.Bucket) -> dict[str, str]:
    """Snapshots that records name and that are not there, with one of the records."""
    named = {name: record.chain.key(record.sequence) for record in records(kept) for name in snapshots(record)}
    return {name: key for name, key in named.items() if kept.kept.get(f"blobs/sha256/{name[7:]}", [None])[-1] is None}


class Guard:
    """Policies that are effective, until a story says otherwise; what the probe finds is known once it was asked."""

    def __init__(self) -> None:
        self.held: finding.Unmet | None = None
        self.found: finding.Unmet | None = None

    async def prove(self) -> finding.Unmet | None:
        self.held = self.found
        return self.held


def digest_of(text: str) -> str:
    """The digest of an artifact whose only file, model.bin, holds this text."""
    return content_manifest.of({"model.bin": digest.named(text.encode()).removeprefix("sha256:")})


def recorded(kept: bucket.Bucket, since: int) -> list[str]:
    """The facts that the ledger has after its first `since`, a line each."""
    return [f"  = {_told(one)}" for one in [one for record in records(kept) for one in record.facts][since:]]


def _told(one: LedgerEntry) -> str:
    detail = {key: one.detail[key] for key in ("gate", "phase", "serves", "changed", "why") if key in one.detail}
    if one.action == Action.DECOMMISSIONED:
        detail["stage"] = one.detail["stage"]
    if serves := detail.pop("serves", None):
        detail["serves"] = [share["version"] for share in serves]
    who = f" by {one.actor.name}" if one.actor.known in {Authenticity.AUTHENTICATED, Authenticity.DECLARED} else ""
    return f"{one.action} {one.subject.kind} {one.subject.name}{who}" + (f" {detail}" if detail else "")


def shown(world: World) -> Iterator[tuple[str, str]]:
    """What `kubectl get` would show of everything, a line each."""
    for (kind, _, name), obj in sorted(world.objects.items()):
        status = obj.get("status") or {}
        ready: dict[str, str] = next((c for c in status.get("conditions") or [] if c["type"] == "Ready"), {})
        said = f"Ready={ready.get('status', '-')} {ready.get('reason', '-')}: {ready.get('message', '')}"
        odd = [c for c in status.get("conditions") or [] if c["type"] in {"AliasesUnresolved", "PoliciesMissing"}]
        said += "".join(f" | {c['type']}: {c['message']}" for c in odd)
        if kind == "Model":
            stages = ", ".join(f"{one['name']}={one['current']}" for one in status.get("stages") or [] if one.get("current"))
            rolling = ", ".join(f"{one['name']}→{one['rollout']['version']}" for one in status.get("stages") or [] if one.get("rollout"))
            yield f"{kind} {name}", f"[{stages}]" + (f" rolling {rolling}" if rolling else "") + f" {said}"
        elif kind == "ModelVersion":
            claims = ", ".join(f"{one['name']}:{one['state']}" for one in status.get("stages") or [])
            artifact = status.get("artifact") or {}
            held = " held" if artifact.get("held") else ""
            yield f"{kind} {name}", f"{status.get('phase', '-')} [{claims}]{held} {said}"
        elif kind == "Promotion":
            yield f"{kind} {name}", f"{status.get('phase', '-')} {said}"
        elif kind == "Deployment" and TEMPLATE in (obj["metadata"].get("annotations") or {}):
            version = obj["spec"]["template"]["metadata"]["labels"][VERSION]
            image = obj["spec"]["template"]["spec"]["containers"][0].get("image")
            yield f"{kind} {name}", f"runs {version} with {image}" + (", paused" if obj["spec"].get("paused") else "")
