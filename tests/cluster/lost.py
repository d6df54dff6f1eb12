"""Teams that lose something, and what is compared before and after."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

from modelyard.cli import app
from modelyard.content.digest import named
from modelyard.ledger import codec
from modelyard.ledger.record import OPERATOR, Chain, Record
from tests.cluster import test_leader, test_main_job
from tests.cluster.node import access

Json = dict[str, Any]
KINDS = ("models", "modelversions", "promotions")
PACKAGES = pathlib.Path(app.__file__).parents[2]


class Team(test_main_job.Team):
    """A team that looks at everything it has, and reads its own record."""

    def listed(self, kind: str, *more: str) -> list[Json]:
        found: list[Json] = json.loads(self.kubectl("get", kind, "-o", "json", *more))["items"]
        return found

    def described(self) -> str:
        said = {kind: [(one["metadata"]["name"], one.get("status")) for one in self.listed(kind)] for kind in KINDS}
        return f"{json.dumps(said, indent=1)}\nthe pods: {self.pods()}"

    def specs(self) -> dict[str, str]:
        """Of each Model and version: the digest of what it is."""
        return {f"{one['kind']} {one['metadata']['name']}": digest(one["spec"]) for kind in KINDS[:2] for one in self.listed(kind)}

    def statuses(self) -> Json:
        """What is known of versions and stages, without what is counted or timed anew."""
        versions = {
            one["metadata"]["name"]: {
                "phase": one["status"].get("phase"),
                "stages": one["status"].get("stages"),
                "specDigest": one["status"].get("specDigest"),
                "artifact": {key: one["status"].get("artifact", {}).get(key) for key in ("digest", "manifest", "files", "bytes", "held")},
            }
            for one in self.listed("modelversions")
        }
        return {"versions": versions, "stages": self.get("mdl", "fraud")["status"].get("stages")}

    def templates(self) -> dict[str, str]:
        """Of each Deployment and ReplicaSet: its uid and the digest of the pods that it makes."""
        found = [one for kind in ("deployments", "replicasets") for one in self.listed(kind, "-l", "modelyard.dev/model")]
        return {f"{one['kind']} {one['metadata']['uid']}": digest(one["spec"]["template"]) for one in found}

    def pods(self, name: str = "") -> dict[str, tuple[str, list[tuple[int, str]]]]:
        """Of each pod of a stage: uid, and of each container how often it restarted and since when it runs."""
        wanted = f"modelyard.dev/stage={name}" if name else "modelyard.dev/stage"
        return {
            one["metadata"]["name"]: (
                one["metadata"]["uid"],
                [(each["restartCount"], str(each["state"])) for each in one["status"].get("containerStatuses", [])],
            )
            for one in self.listed("pods", "-l", wanted)
        }

    def outcomes(self) -> dict[str, tuple[str, str]]:
        """Of each Promotion: how it ended and when."""
        return {
            one["metadata"]["name"]: (one["status"].get("phase", ""), one["status"].get("finishedAt", ""))
            for one in self.listed("promotions")
        }

    def recorded_spec(self, kind: str, name: str) -> int:
        """The newest generation that the ledger has."""
        return int(self.get(kind, name)["status"].get("recorded", {}).get("generation", 0))

    def phases(self) -> dict[str, str]:
        """Of each version."""
        return {one["metadata"]["name"]: one["status"].get("phase", "") for one in self.listed("modelversions")}

    def condition(self, kind: str, name: str, of: str = "Ready") -> Json:
        conditions = (
            json.loads(self.kubectl("get", kind, name, "-o", "json", "--ignore-not-found") or "{}").get("status", {}).get("conditions", [])
        )
        return next((one for one in conditions if one["type"] == of), {})

    def records(self, model: str = "fraud", registry: str = "main") -> list[Record]:
        """The chain as it stands in the bucket; each record holds the one before."""
        chain = Chain(registry, "_" if model == OPERATOR else self.namespace, model)
        found, prev = [], None
        for listed in sorted(self.store.list("modelyard", chain.prefix), key=lambda one: one.key):
            if chain.sequence(listed.key):
                data = self.store.get("modelyard", listed.key) or b""
                found.append(codec.read(data))
                assert found[-1].prev == prev
                prev = named(data)
        return found

    def facts(self, since: int = 0, registry: str = "main") -> list[str]:
        """What the records after a number tell, a line each."""
        return [
            f"{one.action} {one.subject.kind}/{one.subject.name}"
            for record in self.records("fraud", registry)
            if record.sequence > since
            for one in record.facts
        ]

    def recorded(self, registry: str = "main") -> int:
        """The number of the last record."""
        return self.records("fraud", registry)[-1].sequence

    def standing(self) -> list[Json]:
        """What each stage is at, wherever it runs."""
        found = self.get("mdl", "fraud").get("status", {}).get("stages", [])
        return [{key: one.get(key) for key in ("name", "current", "digest", "previous", "since")} for one in found]

    def held(self, version: str) -> bool:
        key = f"{self.prefix}{version}/model.txt"
        now = self.store.head(self.bucket, key)
        assert now is not None
        return self.store.held(self.bucket, key, now.version_id)


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def modelyard(
    team: Team, *words: str, kubeconfig: pathlib.Path | None = None, registry: str = "main", namespaced: bool = True
) -> subprocess.CompletedProcess[str]:
    """The command line of somebody who has the bucket's keys."""
    store = team.cluster.store
    environment = {
        **os.environ,
        "PYTHONPATH": str(PACKAGES),
        "KUBECONFIG": str(kubeconfig or team.cluster.kubeconfig),
        "MODELYARD_BUCKET__URI": "s3://modelyard/",
        "MODELYARD_LEDGER__REGISTRY": registry,
        "AWS_ENDPOINT_URL": store.endpoint,
        "AWS_ACCESS_KEY_ID": store.access_key,
        "AWS_SECRET_ACCESS_KEY": store.secret_key,
    }
    command = [sys.executable, "-m", "modelyard", *words, *(["--namespace", team.namespace] if namespaced else [])]
    return subprocess.run(command, env=environment, text=True, capture_output=True, check=False, timeout=60)


class Prober(threading.Thread):
    """A client of a stage's Service, all the time."""

    def __init__(self, team: Team, stage: str) -> None:
        super().__init__(daemon=True)
        self.url = (
            f"http://{team.kubectl('get', 'service', f'fraud-{stage}', '-o', 'jsonpath={.spec.clusterIP}')}:{test_main_job.PORT}/model.txt"
        )
        self.answers: dict[str, int] = {}
        """Text → how often it was answered; what went wrong is an answer as well."""
        self.done = threading.Event()

    def run(self) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while not self.done.wait(0.05):
            try:
                with opener.open(self.url, timeout=5) as answer:
                    said = answer.read().decode()
            except OSError as error:
                said = f"{time.strftime('%X')} {error!r}"
            self.answers[said] = self.answers.get(said, 0) + 1


@contextlib.contextmanager
def probed(team: Team, stage: str) -> Iterator[Prober]:
    """A prober that ends with the context."""
    prober = Prober(team, stage)
    prober.start()
    try:
        yield prober
    finally:
        prober.done.set()
        prober.join(10)


def kept(obj: Json) -> Json:
    """An object as Git has it: without what the API server filled in."""
    spec = {key: value for key, value in obj["spec"].items() if key != "requestedBy"}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": {"name": obj["metadata"]["name"]}, "spec": spec}


@dataclasses.dataclass(frozen=True)
class Second(access.Cluster):
    """Another cluster, which shares the first one's object store."""

    first: access.Cluster

    @functools.cached_property
    def store(self) -> Any:
        return self.first.store


class Moved(Team, test_leader.Registry):
    """A team of a registry of its own, whose operators are processes of this machine."""

    @property
    def registry(self) -> str:
        return f"moved-{self.namespace}"

    @contextlib.contextmanager
    def operates(self, port: int, log: pathlib.Path, kubeconfig: pathlib.Path | None = None) -> Iterator[test_leader.Replica]:
        """An operator, until the context ends."""
        started = test_leader.Replica(self.cluster, self.namespace, port, log, kubeconfig, LEDGER__REGISTRY=self.registry)
        try:
            yield started
        finally:
            started.process.terminate()
            started.process.wait(30)

    def signer(self) -> str:
        """The id of the one key that the registry's records are signed with."""
        prefix = f"ledger/{self.registry}/keys/"
        [published] = self.store.list("modelyard", prefix)
        return published.key.removeprefix(prefix).removesuffix(".pem")

    def recorded_of_operators(self) -> list[str]:
        """What the registry's own chain tells."""
        facts = [one for record in self.records(OPERATOR, self.registry) for one in record.facts]
        return [
            f"{one.action} {one.detail.get('after') or one.detail.get('number')} {one.detail.get('epoch') or ''}".strip() for one in facts
        ]
