"""Stores that hang, many of them and in several namespaces, stop nobody else: versions are verified, promoted, rolled back and recorded meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import pytest

from modelyard import reconcile, settings, workqueue
from modelyard.content import location
from modelyard.edge.artifact import prover
from modelyard.edge.bucket import blobs, chains
from modelyard.edge.cluster import cache, client
from modelyard.ledger.record import Action
from modelyard.plan import finding
from tests.fakes import bucket, hostile_store, world

WORKERS = 16
LONG = 0.3
"""Seconds after which a version that takes long gives its worker up."""
SOON = 25
"""Seconds; the stores hang for thirty before they are given up."""
STAGES = [{"name": "production", "serving": {"port": 8080, "template": {"spec": {"containers": [{"name": "server", "image": "serve:1"}]}}}}]


class Operator:
    """The real reconciler, queues, prover and ledger, in a cluster and a bucket of the operator's own that are pretended."""

    def __init__(self) -> None:
        self.world, self.bucket, self.cache = world.World(), bucket.Bucket(), cache.Cache()
        own = location.Place("own", "")
        kept = blobs.Blobs(self.bucket, own)
        self.versions = workqueue.Queue(self._work, WORKERS, owner=lambda key: key.namespace, long=LONG)
        self._queues = {"version": self.versions, "model": workqueue.Queue(self._work, 8)}
        self.prover = prover.Prover(kept, versions_at_once=self.versions.most)
        self.book = chains.Ledger(self.bucket, own, "main", self._now)
        self.book.term = 1
        outside: Any = {
            "cluster": self.world,
            "cache": self.cache,
            "prover": self.prover,
            "book": self.book,
            "config": settings.Settings(fetch_image="modelyard:test", endpoints=["*"]),
            "recorder": self,
            "guard": world.Guard(),
            "enqueue": self._enqueue,
            "fence": lambda: None,
            "clock": self._now,
        }
        self._reconcile = reconcile.Reconciler(reconcile.Outside(**outside))
        self._reconcile.begin(None)

    def post(self, event: finding.Event) -> None:
        """Events are nobody's concern here."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """It works, and so does the Deployment controller."""
        tasks = [asyncio.ensure_future(work) for work in (*(queue.run() for queue in self._queues.values()), self._hear())]
        try:
            yield
        finally:
            self.prover.close()
            for task in tasks:
                task.cancel()
            # What hangs in a thread ends when its store does.
            await asyncio.wait(tasks, timeout=1)

    def says(self, kind: str, name: str) -> str:
        """As `kubectl get` shows an object of the namespace risk."""
        return dict(world.shown(self.world)).get(f"{kind} {name}", "")

    def _now(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC)

    def _enqueue(self, keys: Iterable[cache.Key]) -> None:
        for key in keys:
            self._queues[key.sort].add(key)

    async def _work(self, key: cache.Key) -> datetime.timedelta | None:
        return await self._reconcile(key)

    async def _hear(self) -> None:
        while True:
            self.world.now = self._now()
            news, self.world.news = self.world.news, []
            for kind, event, obj in news:
                about = obj["metadata"]
                gone = event == "DELETED"
                if kind in cache.WATCHED:
                    self._enqueue(self.cache.drop(kind, about["namespace"], about["name"]) if gone else self.cache.put(kind, obj))
                if kind is client.DEPLOYMENT and not gone and about["generation"] > obj.get("status", {}).get("observedGeneration", 0):
                    self.world.roll(about["name"], available=True)
            await asyncio.sleep(0.01)


def model(namespace: str, endpoint: str) -> dict[str, Any]:
    spec = {"owner": {"team": "t"}, "storage": {"uri": "s3://models/fraud/", "endpoint": endpoint}, "stages": STAGES}
    return {"kind": "Model", "metadata": {"name": "fraud", "namespace": namespace}, "spec": spec}


def version(namespace: str, number: int) -> dict[str, Any]:
    about = {"name": f"fraud-{number}", "namespace": namespace, "annotations": {"modelyard.dev/changes": "1 ci"}}
    return {
        "kind": "ModelVersion",
        "metadata": about,
        "spec": {"model": "fraud", "version": str(number), "artifact": {"uri": f"s3://models/fraud/{number}/x", "format": "onnx"}},
    }


def promotion(name: str, number: int, **spec: Any) -> dict[str, Any]:
    return {
        "kind": "Promotion",
        "metadata": {"name": name},
        "spec": {"model": "fraud", "version": str(number), "stage": "production", "requestedBy": "alice", **spec},
    }


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not true():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("mode", ["never answers", "headers that drip"])
async def test_stores_that_hang_stop_nobody_else(mode: str) -> None:
    operator = Operator()
    with hostile_store.run(mode) as hostile, hostile_store.run("honest") as honest:
        async with operator.running():
            for namespace in ("evil-1", "evil-2", "evil-3"):
                operator.world.put(model(namespace, hostile.endpoint))
                for number in range(30):
                    operator.world.put(version(namespace, number))
            await until(lambda: len(hostile.asked) >= WORKERS)

            operator.world.put(model("risk", honest.endpoint))
            operator.world.put(version("risk", 1))
            operator.world.put(version("risk", 2))
            await until(lambda: all(operator.says("ModelVersion", f"fraud-{one}").startswith("Ready") for one in (1, 2)))
            for name, number in (("first", 1), ("second", 2)):
                operator.world.put(promotion(name, number))
                await until(lambda name=name: operator.says("Promotion", name).startswith("Succeeded"))  # type: ignore[misc]
            operator.world.put(promotion("back", 1, rollback=True))
            await until(lambda: operator.says("Promotion", "back").startswith("Succeeded"))

        told = [one for record in world.records(operator.bucket) if record.chain.namespace == "risk" for one in record.facts]
        ended = [one.subject.name for one in told if one.action == Action.ENDED]
        assert ended[-1] == "back"
        assert len(hostile.asked) >= WORKERS
