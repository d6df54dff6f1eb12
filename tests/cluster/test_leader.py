"""Several replicas on a real API server: one leads; killed, told to go or robbed of the Lease, another goes on."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from modelyard.cli import app
from tests.cluster import test_main_job
from tests.cluster.node import layout

PACKAGES = pathlib.Path(app.__file__).parents[2]
OPERATOR = ("--namespace", layout.NAMESPACE)
PORTS = (18081, 18082)
FAILOVER = 20.0
"""Seconds; a promise of DESIGN."""


class Registry(test_main_job.Team):
    """A team whose store the operator reaches as this process does, and whose one stage serves nothing."""

    def model(self, *stages: dict[str, Any]) -> None:
        storage = {"uri": f"s3://{self.bucket}/{self.prefix}", "endpoint": self.cluster.store.endpoint, "region": "us-east-1"}
        storage["credentials"] = {"secretName": "models-s3"}
        spec = {"owner": {"team": "payments"}, "storage": storage, "stages": list(stages)}
        self.apply({"apiVersion": "modelyard.dev/v1alpha1", "kind": "Model", "metadata": {"name": "fraud"}, "spec": spec})

    def goes_on(self, version: str) -> None:
        """A version is verified and promoted."""
        self.register(version, self.upload(version, version))
        self.wait_phase("promo", f"fraud-{version}-production", "Succeeded", 60)


def as_the_operator(cluster: Any, folder: pathlib.Path) -> pathlib.Path:
    """A kubeconfig of the operator's own account: nobody else may write a status."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": cluster.token(layout.NAMESPACE, "modelyard")}
    file = folder / "kubeconfig"
    file.write_text(json.dumps(config))
    return file


class Replica:
    """One operator as a process of this machine."""

    def __init__(
        self, cluster: Any, namespace: str, port: int, log: pathlib.Path, kubeconfig: pathlib.Path | None = None, **more: str
    ) -> None:
        store = cluster.store
        settings = {
            "OPERATOR_NAMESPACE": layout.NAMESPACE,
            "NAMESPACES": namespace,
            "FETCH_IMAGE": "modelyard:dev",
            "LISTEN": str(port),
            "ENDPOINTS": store.endpoint,
            "BUCKET__ENDPOINT": store.endpoint,
            "BUCKET__ACCESS_KEY": store.access_key,
            "BUCKET__SECRET_KEY": store.secret_key,
            **more,
        }
        self.log = log
        self.port = port
        self.process = subprocess.Popen(
            [sys.executable, "-m", "modelyard", "operator"],
            env={
                **os.environ,
                "PYTHONPATH": str(PACKAGES),
                "KUBECONFIG": str(kubeconfig or as_the_operator(cluster, log.parent)),
                **{f"MODELYARD_{name}": value for name, value in settings.items()},
            },
            stderr=log.open("a"),
        )

    def says(self) -> str:
        """What /readyz answers."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return str(answer.read().decode()).strip()
        except urllib.error.HTTPError as unready:
            return unready.read().decode().strip()
        except OSError:
            return ""

    def leads(self) -> bool:
        return self.says() == "leads"

    def stands_by(self) -> bool:
        return self.says().startswith("stands by:")


def until(true: Callable[[], bool], what: str, seconds: float, *told: Replica) -> float:
    """Wait for it; the seconds that it took."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > seconds:
            logs = "\n".join(one.log.read_text() for one in told)
            pytest.fail(f"waited {seconds:.0f} s for {what}; the replicas say:\n{logs}")
        time.sleep(0.1)
    return time.monotonic() - began


def lease(cluster: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cluster.kubectl("get", "lease", "modelyard", *OPERATOR, "--output=json"))
    return found


@contextlib.contextmanager
def without_pods(cluster: Any) -> Iterator[None]:
    """No operator runs in the cluster meanwhile."""
    selector = "--selector=app.kubernetes.io/name=modelyard"
    cluster.kubectl("scale", "deployment/modelyard", "--replicas=0", *OPERATOR)
    cluster.kubectl("wait", "pods", selector, "--for=delete", "--timeout=90s", *OPERATOR)
    try:
        yield
    finally:
        cluster.kubectl("scale", "deployment/modelyard", "--replicas=1", *OPERATOR)
        cluster.kubectl("rollout", "status", "deployment/modelyard", "--timeout=120s", *OPERATOR)


@pytest.fixture
def registry(operator: Any, namespace: str) -> Iterator[Registry]:
    with without_pods(operator):
        yield Registry(operator, namespace)


@pytest.fixture
def start(registry: Registry, tmp_path: pathlib.Path) -> Iterator[Callable[[int], Replica]]:
    """Starts a replica on a port; all are ended afterwards."""
    started: list[Replica] = []

    def new(port: int) -> Replica:
        one = Replica(registry.cluster, registry.namespace, port, tmp_path / f"{len(started)}.log")
        started.append(one)
        return one

    yield new
    for one in started:
        one.process.terminate()
    for one in started:
        one.process.wait(30)


@pytest.fixture
def pair(start: Callable[[int], Replica]) -> tuple[Replica, Replica]:
    """One that leads, and one that stands by."""
    first = start(PORTS[0])
    until(first.leads, "the first to lead", 30, first)
    second = start(PORTS[1])
    until(second.stands_by, "the second to stand by", 30, second)
    return first, second


def test_killed_at_once_the_leader_is_followed_in_time_and_the_work_goes_on(registry: Registry, pair: tuple[Replica, Replica]) -> None:
    first, second = pair
    registry.model({"name": "production", "autoPromote": True})
    registry.goes_on("1")
    before = lease(registry.cluster)["spec"]

    first.process.kill()

    assert until(second.leads, "the second to lead", FAILOVER, second) < FAILOVER
    after = lease(registry.cluster)
    assert after["spec"]["leaseTransitions"] == before["leaseTransitions"] + 1
    since = after["metadata"]["annotations"]["modelyard.dev/unsettled-since"]
    assert datetime.datetime.fromisoformat(since) <= datetime.datetime.now(datetime.UTC)
    registry.goes_on("2")


def test_told_to_go_the_leader_hands_over_within_seconds(registry: Registry, pair: tuple[Replica, Replica]) -> None:
    first, second = pair
    registry.model({"name": "production", "autoPromote": True})
    registry.goes_on("1")

    first.process.terminate()

    assert until(second.leads, "the second to lead", 10, first, second) < 10
    assert first.process.wait(30) == 0
    registry.goes_on("2")


def test_a_leader_that_finds_another_in_the_lease_ends_itself(registry: Registry, pair: tuple[Replica, Replica]) -> None:
    first, second = pair

    patch = json.dumps({"spec": {"holderIdentity": "stranger"}})
    registry.cluster.kubectl("patch", "lease", "modelyard", "--type=merge", f"--patch={patch}", *OPERATOR)

    assert first.process.wait(10) == 1
    assert "is held by stranger" in first.log.read_text()
    until(second.leads, "the second to lead", FAILOVER, second)


def test_a_leader_that_was_stopped_is_followed_and_ends_when_it_wakes_up(registry: Registry, pair: tuple[Replica, Replica]) -> None:
    first, second = pair
    first.process.send_signal(signal.SIGSTOP)  # stopped, not dead: it still holds the Lease
    try:
        registry.model({"name": "production", "autoPromote": True})
        registry.register("1", registry.upload("1", "one"))
        until(lambda: not second.stands_by(), "the second to lead", FAILOVER, second)
    finally:
        first.process.send_signal(signal.SIGCONT)

    assert first.process.wait(15) == 1  # it wakes up, and sees that its time is over
    registry.wait_phase("promo", "fraud-1-production", "Succeeded", 60)


def test_an_upgrade_hands_over_to_the_new_pod(operator: Any) -> None:
    selector = "--selector=app.kubernetes.io/name=modelyard"
    operator.kubectl("rollout", "restart", "deployment/modelyard", *OPERATOR)
    operator.kubectl("rollout", "status", "deployment/modelyard", "--timeout=120s", *OPERATOR)

    def holder_runs() -> bool:
        pods = json.loads(operator.kubectl("get", "pods", selector, *OPERATOR, "--output=json"))["items"]
        alive = [one["metadata"]["name"] for one in pods if "deletionTimestamp" not in one["metadata"]]
        return len(alive) == 1 and (lease(operator)["spec"].get("holderIdentity") or "").startswith(f"{alive[0]}_")

    until(holder_runs, "the new pod to lead", 15)
