"""How fast versions become Ready, and what the operator costs with many: against the API server's own speed in the same run."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import hashlib
import os
import secrets
import statistics
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

from modelyard import api
from modelyard.content import location, manifest
from modelyard.edge.cluster import client
from modelyard.edge.s3 import store
from tests.bench.row import row
from tests.cluster import installed
from tests.cluster.node import access, layout, node

NAMESPACE = f"bench-{secrets.token_hex(4)}"
"""A new one in each run: in one that was just deleted and made again the API server looks the namespace up anew at each write."""
IN_FLIGHT = 32
SMALL, MANY = 1_000, 10_000
STARTED = "process_start_time_seconds"


class Yard:
    """A Model, its store, and the operator that watches them."""

    def __init__(self, cluster: access.Cluster, reach: client.Cluster) -> None:
        keys = location.Credentials(cluster.store.access_key, cluster.store.secret_key)
        self.cluster, self.reach = cluster, reach
        self.store = store.Store(location.Address(cluster.store.endpoint, None, keys))
        address = cluster.kubectl(
            "get",
            "service",
            "modelyard-metrics",
            f"--namespace={layout.NAMESPACE}",
            "--output=jsonpath={.spec.clusterIP}:{.spec.ports[0].port}",
        )
        self._metrics = f"http://{address}/metrics"

    async def prepare(self, model: str) -> None:
        data = {"AWS_ACCESS_KEY_ID": self.cluster.store.access_key, "AWS_SECRET_ACCESS_KEY": self.cluster.store.secret_key}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3", "namespace": NAMESPACE}, "stringData": data}
        storage = {
            "uri": f"s3://models/bench/{model}/",
            "endpoint": f"http://store.{layout.NAMESPACE}.svc:7070",
            "credentials": {"secretName": "s3"},
        }
        spec = {"owner": {"team": "bench"}, "storage": storage, "stages": [{"name": "development"}]}
        about = {"name": model, "namespace": NAMESPACE}
        await self.reach.apply(secret)
        await self.reach.apply({"apiVersion": api.API_VERSION, "kind": "Model", "metadata": about, "spec": spec})

    def upload(self, model: str, numbers: range, size: int) -> list[dict[str, Any]]:
        """One object each; the ModelVersions that declare them."""

        def one(number: int) -> dict[str, Any]:
            data = os.urandom(size)
            self.store.put("models", f"bench/{model}/{number}/model.bin", data)
            artifact = {
                "uri": f"s3://models/bench/{model}/{number}/",
                "digest": manifest.of({"model.bin": hashlib.sha256(data).hexdigest()}),
                "format": "other",
            }
            about = {"name": f"{model}-{number}", "namespace": NAMESPACE}
            return {
                "apiVersion": api.API_VERSION,
                "kind": "ModelVersion",
                "metadata": about,
                "spec": {"model": model, "version": str(number), "artifact": artifact},
            }

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            return list(pool.map(one, numbers))

    async def create(self, objects: list[dict[str, Any]]) -> float:
        """Seconds that creating them took, IN_FLIGHT at once."""
        gate = asyncio.Semaphore(IN_FLIGHT)

        async def one(obj: dict[str, Any]) -> None:
            async with gate:
                await self.reach.create(obj)

        began = time.monotonic()
        await asyncio.gather(*(one(obj) for obj in objects))
        return time.monotonic() - began

    async def ready(self, model: str, count: int, deadline: float = 900) -> None:
        """Return when so many versions of the model are Ready."""
        until = time.monotonic() + deadline
        while time.monotonic() < until:
            found = await self.reach.get(client.MODEL, NAMESPACE, model)
            if ((found or {}).get("status") or {}).get("versions", {}).get("ready", 0) >= count:
                return
            await asyncio.sleep(0.1)
        raise TimeoutError(f"not {count} versions of {model} Ready within {deadline} s")

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self._metrics, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    async def quiet(self, before: float, decisions: int, deadline: float = 600) -> None:
        """Return when another process than the one that started then leads, has made so many decisions, and has nothing left to do."""
        began = time.monotonic()
        while time.monotonic() - began < deadline:
            with contextlib.suppress(OSError):  # between two processes nothing answers
                another = self.metric(STARTED) != before and self.metric("modelyard_leading") == 1
                if another and self.metric("modelyard_reconcile_total") >= decisions and self.metric("modelyard_queue_depth") == 0:
                    return
            await asyncio.sleep(1)  # each look counts all objects
        raise TimeoutError("the operator does not come to rest")


async def _measure(cluster: access.Cluster) -> list[dict[str, Any]]:
    os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
    found = []
    async with client.Cluster.connect() as reach:
        yard = Yard(cluster, reach)
        await yard.prepare("single")
        seconds = []
        for number in range(10):
            [version] = yard.upload("single", range(number, number + 1), 1 << 20)
            began = time.monotonic()
            await reach.create(version)
            await yard.ready("single", number + 1)
            seconds.append(time.monotonic() - began)
        floor = await yard.create([_config_map(0)])
        found.append(row("apply to Ready, 1 MiB", statistics.median(seconds), "s", floor, goal=1.0))

        await yard.prepare("thousand")
        versions = yard.upload("thousand", range(SMALL), 1 << 10)
        floor = await yard.create([_config_map(number + 1) for number in range(SMALL)])
        began = time.monotonic()
        await yard.create(versions)
        await yard.ready("thousand", SMALL)
        found.append(row(f"{SMALL} versions until all are Ready", time.monotonic() - began, "s", floor, goal=10.0))
        found.append(
            row(f"operator's memory with {SMALL} versions", yard.metric("process_resident_memory_bytes") / 1e6, "MB", None, goal=400.0)
        )

        await yard.prepare("many")
        for start in range(0, MANY, SMALL):
            await yard.create(yard.upload("many", range(start, start + SMALL), 64))
        await yard.ready("many", MANY)
        found.append(
            row(f"operator's memory with {MANY} versions", yard.metric("process_resident_memory_bytes") / 1e6, "MB", None, goal=400.0)
        )
        began, before = time.monotonic(), yard.metric(STARTED)
        cluster.kubectl("rollout", "restart", "deployment/modelyard", f"--namespace={layout.NAMESPACE}")
        cluster.kubectl("rollout", "status", "deployment/modelyard", f"--namespace={layout.NAMESPACE}", "--timeout=300s")
        await yard.quiet(before, MANY)
        found.append(row(f"start with {MANY} versions until quiet", time.monotonic() - began, "s", None, goal=60.0))
        found.append(
            row(f"operator's memory after a start with {MANY}", yard.metric("process_resident_memory_bytes") / 1e6, "MB", None, goal=400.0)
        )
        before = yard.metric("modelyard_api_requests_total")
        await asyncio.sleep(30)
        found.append(row("API calls when quiet", (yard.metric("modelyard_api_requests_total") - before) / 30, "1/s", None, goal=1.0))
    return found


def _config_map(number: int) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"floor-{number}", "namespace": NAMESPACE}, "data": {"a": "b"}}


def rows() -> Iterator[dict[str, Any]]:
    """Measure on the cluster that runs, or on a new one."""
    cluster = node.up()
    # A ledger of its own: in the one of the run before, these names mean other bytes.
    installed.install(cluster, "verification.recheck=1h", f"ledger.registry=bench-{secrets.token_hex(4)}")
    cluster.kubectl("create", "namespace", NAMESPACE)
    try:
        yield from asyncio.run(_measure(cluster))
    finally:
        cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
