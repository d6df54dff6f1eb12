"""The informer: the only module that knows kopf. Handlers only fill the cache and enqueue; also the relist, the probes, the Events."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import hashlib
import logging
import signal
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final

import aiohttp
import kopf
from aiohttp import web

from modelyard import edge, loop, reconcile, settings
from modelyard.edge import artifact, blobs, cache, cluster, metrics, store
from modelyard.plan import fact, inspection

log = logging.getLogger(__name__)

MODEL_WORKERS: Final = 8
SILENCE: Final = 600.0
"""Seconds without any news, relists included, after which the liveness probe fails."""
EVENTS_KEPT: Final = 1000
"""Events that wait to be posted; more are counted as lost rather than hold anything up."""
# Together about ten minutes: an API server that restarts must not end the operator.
_ERROR_BACKOFFS: Final = (0.1, 0.5, 1, 2, *(5,) * 120)


class Operator:
    """One running operator: cache, queues, informer and probes."""

    def __init__(self, reach: cluster.Cluster, config: settings.Settings) -> None:
        self._reach = reach
        self._config = config
        self._cache = cache.Cache()
        self._events: asyncio.Queue[fact.Event] = asyncio.Queue(EVENTS_KEPT)
        bucket = config.bucket
        place = inspection.place(bucket.uri)
        if place is None:
            raise ValueError(f"MODELYARD_BUCKET__URI is {bucket.uri!r}: write it like s3://modelyard/")
        prover = artifact.Prover(
            blobs.Blobs(store.Store(_own(bucket)), place),
            versions_at_once=config.verification.versions_at_once,
            objects_at_once=config.verification.objects_at_once,
        )
        self._reconcile = reconcile.Reconciler(reach, self._cache, prover, config, self, self.enqueue)
        self._queues: Mapping[cache.Sort, loop.Queue[cache.Key]] = {
            "version": loop.Queue(self._reconcile, config.verification.versions_at_once),
            "model": loop.Queue(self._reconcile, MODEL_WORKERS),
        }
        self._synced = False
        self._news = time.monotonic()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT; what is being worked on is finished first.

        Raises:
            edge.Unavailable: the API server cannot be read at all.
        """
        stop = asyncio.Event()
        running = asyncio.get_running_loop()
        for sign in (signal.SIGTERM, signal.SIGINT):
            running.add_signal_handler(sign, stop.set)
        metrics.REGISTRY.register(metrics.Phases(self._cache.counts, lambda: {sort: len(queue) for sort, queue in self._queues.items()}))
        async with self._probes():
            await self._relist(version="0")
            self._synced = True
            log.info("knows what there is: %d keys", len(self._cache.keys()))
            tasks = [asyncio.ensure_future(work) for work in (self._informer(stop), self._relists(), self._poster())]
            workers = [asyncio.ensure_future(queue.run()) for queue in self._queues.values()]
            stopping = asyncio.ensure_future(stop.wait())
            done, _ = await asyncio.wait([*tasks, *workers, stopping], return_when=asyncio.FIRST_COMPLETED)
            stop.set()
            await self._finish([*tasks[1:], *workers, tasks[0], stopping])
            for task in done:
                task.result()  # what ended the operator, if it was not asked to

    def enqueue(self, keys: Iterable[cache.Key]) -> None:
        """These are to be looked at."""
        for key in keys:
            self._queues[key.sort].add(key)

    def post(self, event: fact.Event) -> None:
        """Post an Event when there is time for it."""
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            metrics.EVENTS_LOST.inc()

    async def _finish(self, tasks: list[asyncio.Task[Any] | asyncio.Future[Any]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- what the cluster tells

    def _heard(self, kind: cluster.Kind, event: Mapping[str, Any]) -> None:
        self._news = time.monotonic()
        metrics.LAST_NEWS.set_to_current_time()
        raw = event["object"]
        if event["type"] == "DELETED":
            about = raw["metadata"]
            self.enqueue(self._cache.drop(kind, about.get("namespace", ""), about["name"]))
        else:
            self.enqueue(self._cache.put(kind, raw))

    async def _informer(self, stop: asyncio.Event) -> None:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def login(**_: Any) -> kopf.AiohttpSession:
            access = await self._reach.access()
            connector = aiohttp.TCPConnector(limit=cluster.CONNECTIONS, ssl=access.tls or True)
            session = aiohttp.ClientSession(connector=connector, headers=dict(access.headers))
            return kopf.AiohttpSession(server=access.server, aiohttp_session=session)

        for kind in cache.WATCHED:
            labels = _selector() if kind in {cluster.DEPLOYMENT, cluster.SERVICE, cluster.POD} else None

            @kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, labels=labels, id=f"see-{kind.plural}")
            async def see(event: Any, kind: cluster.Kind = kind, **_: Any) -> None:
                self._heard(kind, event)

        # Peering is off, but kopf would look up its user's name for an identity, and a container's user has none.
        unused: Any = "modelyard"
        scope: dict[str, Any] = {"namespaces": self._config.namespaces} if self._config.namespaces else {"clusterwide": True}
        await kopf.operator(registry=registry, settings=_kopf(), stop_flag=stop, identity=unused, **scope)

    async def _relists(self) -> None:
        """The whole truth from time to time: what the informer missed is made good, ghosts are evicted."""
        while True:
            await asyncio.sleep(self._config.resync.total_seconds())
            try:
                await self._relist(version="0")
            except edge.Unavailable as trouble:
                log.warning("cannot list everything anew: %s", trouble.message)
                continue
            self._reconcile.resync()
            self.enqueue(self._cache.keys())

    async def _relist(self, version: str) -> None:
        scopes: list[str | None] = [*self._config.namespaces] or [None]
        for namespace in scopes:
            for kind in cache.WATCHED:
                query = {"resourceVersion": version}
                if kind in {cluster.DEPLOYMENT, cluster.SERVICE, cluster.POD}:
                    query["labelSelector"] = cache.OURS
                listed = [item async for item in self._reach.list(kind, namespace, **query)]
                self.enqueue(self._cache.replace(kind, listed, namespace))
        self._news = time.monotonic()
        self.enqueue(self._cache.keys())

    # --- what we tell

    async def _poster(self) -> None:
        while True:
            event = await self._events.get()
            try:
                await self._reach.create(_event(event))
            except (edge.Unavailable, cluster.Refused, cluster.Conflict) as trouble:
                metrics.EVENTS_LOST.inc()
                log.warning("an Event could not be posted: %s", trouble, extra={"object": f"{event.kind}/{event.namespace}/{event.name}"})

    @contextlib.asynccontextmanager
    async def _probes(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/metrics", _metrics)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, port=self._config.listen).start()
            yield
        finally:
            await runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        silent = time.monotonic() - self._news
        allowed = SILENCE + self._config.resync.total_seconds()
        return web.Response(text=f"last news {silent:.0f} s ago\n", status=200 if silent < allowed else 503)

    async def _ready(self, _: web.Request) -> web.Response:
        return web.Response(text="synced\n" if self._synced else "listing\n", status=200 if self._synced else 503)


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=metrics.page(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


def _own(bucket: settings.Bucket) -> inspection.Address:
    """The operator's own bucket."""
    pair = None
    if bucket.access_key and bucket.secret_key:
        pair = inspection.Credentials(bucket.access_key.get_secret_value(), bucket.secret_key.get_secret_value())
    pem = None
    if bucket.ca_file:
        with open(bucket.ca_file, encoding="ascii") as file:  # noqa: PTH123  once, at start
            pem = file.read()
    return inspection.Address(bucket.endpoint, bucket.region, pair, pem)


def _selector() -> dict[str, Any]:
    name, _, rest = cache.OURS.partition("=")
    value, _, present = rest.partition(",")
    return {name: value, present: kopf.PRESENT}


def _kopf() -> kopf.OperatorSettings:
    """Nothing of kopf's but its watches: no Events, no peering, no finalizers, no annotations, and patience."""
    wanted = kopf.OperatorSettings()
    wanted.posting.enabled = False
    wanted.scanning.disabled = True
    wanted.peering.standalone = True
    wanted.queueing.idle_timeout = 0.05
    wanted.watching.server_timeout = 240
    wanted.watching.client_timeout = 250
    wanted.watching.connect_timeout = 10
    wanted.networking.request_timeout = 60
    wanted.networking.connect_timeout = 5
    wanted.networking.error_backoffs = _ERROR_BACKOFFS
    wanted.process.ultimate_exiting_timeout = 60
    return wanted


def _event(event: fact.Event) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC)
    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    unique = hashlib.sha256(f"{event}{now.timestamp()}".encode()).hexdigest()[:16]
    about = {
        "apiVersion": cluster.KINDS[event.kind].api_version,
        "kind": event.kind,
        "namespace": event.namespace,
        "name": event.name,
        "uid": event.uid,
    }
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{event.name[:200]}.{unique}", "namespace": event.namespace},
        "involvedObject": about,
        "type": "Warning" if event.warning else "Normal",
        "reason": str(event.fact.reason),
        "message": event.fact.message[:1024],
        "source": {"component": "modelyard"},
        "reportingComponent": "modelyard",
        "reportingInstance": "modelyard",
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


async def operate(config: settings.Settings) -> None:
    """Run the operator with these settings until it is told to stop."""
    async with cluster.Cluster.connect() as reach:
        log.info("connected to Kubernetes %s", await reach.version())
        await Operator(reach, config).run()
