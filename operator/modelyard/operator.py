"""One running operator: the informer's events fill the cache and enqueue keys; also the relist, the probes, and leadership."""

from __future__ import annotations

import asyncio
import datetime
import logging
import os
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from modelyard import edge, informer, leadership, policy_guard, reconcile, settings, workqueue
from modelyard.content import location
from modelyard.edge import http, metrics
from modelyard.edge.artifact.prover import Prover
from modelyard.edge.bucket import blobs, chains
from modelyard.edge.cluster import cache, client, events, policies, term
from modelyard.edge.cluster.elector import Elector, identity
from modelyard.edge.s3 import store

log = logging.getLogger(__name__)

MODEL_WORKERS: Final = 8
SILENCE: Final = 600.0
"""Seconds without any event, relists included, after which the liveness probe fails."""
FINISH: Final = 5.0
"""Seconds to finish the work under way after a signal to stop."""
SETTLED: Final = 5.0
"""Seconds between two checks whether every model was looked at."""
AGAIN: Final = 1.0
"""Seconds after which a new leader asks an API server again that does not answer."""


class Operator:
    """One running operator: cache, queues, informer, probes; a standby only keeps its cache current."""

    def __init__(self, reach: client.Cluster, config: settings.Settings, elector: Elector) -> None:
        self._reach = reach
        self._config = config
        self._elector = elector
        self._cache = cache.Cache()
        self._recorder = events.Recorder(reach)
        bucket = config.bucket
        place = location.place(bucket.uri)
        if place is None:
            raise ValueError(f"MODELYARD_BUCKET__URI is {bucket.uri!r}: write it like s3://modelyard/")
        bucket_store = store.Store(_bucket_address(bucket))
        blob_store = blobs.Blobs(bucket_store, place)
        self._ledger = chains.from_settings(config.ledger, bucket_store, place, _now, kept=blob_store, fence=elector.check)
        # The operator's own namespace, where no tenant has a say; where it watches some only, it may write in these, and the policies hold there.
        tried, models = config.namespaces or [config.operator_namespace], scopes(config)
        self._guard = policy_guard.Guard(
            lambda: policies.phrases(reach, tried, config.policies, guards=config.serving_guard, models_in=models),
            lambda: self.enqueue(self._cache.keys("model")),
        )
        self._leading = leadership.Leadership(reach, self._ledger, config, self._guard, self.enqueue)
        versions = workqueue.Queue(self._work, config.verification.versions_at_once, owner=lambda key: key.namespace)
        prover = Prover(blob_store, versions_at_once=versions.most, objects_at_once=config.verification.objects_at_once)
        self._reconcile = reconcile.Reconciler(
            reconcile.Outside(
                cluster=reach,
                cache=self._cache,
                prover=prover,
                book=self._ledger,
                config=config,
                recorder=self._recorder,
                guard=self._guard,
                enqueue=self.enqueue,
                fence=elector.check,
                clock=_now,
            )
        )
        self._queues: Mapping[cache.Sort, workqueue.Queue[cache.Key]] = {
            "version": versions,
            "model": workqueue.Queue(self._work, MODEL_WORKERS),
        }
        self._synced = False
        self._news = time.monotonic()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT; finish the work under way first, then let another replica lead.

        Raises:
            edge.Unavailable: the API server cannot be read at all.
        """
        stop = asyncio.Event()
        informer.heed_signals(stop)
        metrics.REGISTRY.register(metrics.Phases(self._phases, lambda: {sort: len(queue) for sort, queue in self._queues.items()}))
        async with http.served(self._config.listen, self._alive, self._ready):
            await self._relist()
            self._synced = True
            log.info("knows what there is: %d keys", len(self._cache.keys()))
            tasks = [
                asyncio.ensure_future(work)
                for work in (
                    informer.watch(self._reach, self._config.namespaces, self._heard, stop),
                    self._relists(),
                    self._recorder.run(),
                    self._lead(),
                )
            ]
            stopping = asyncio.ensure_future(stop.wait())
            done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            stop.set()
            await self._finish([*tasks[1:], tasks[0], stopping])
            for task in done:
                task.result()  # raises what ended the operator, if no signal did

    # --- who decides

    async def _lead(self) -> None:
        """Stand by until this replica leads, then work until cancelled; finish the work under way, and let another replica lead."""
        finished = True
        holding: asyncio.Future[None] | None = None
        try:
            began = await self._elector.acquire()
            holding = asyncio.ensure_future(self._hold(began))
            await self._catch_up()
            await self._leading.begin(began)
            self._reconcile.begin(began.unsettled_since)
            workers = [
                asyncio.ensure_future(work)
                for work in (*(queue.run() for queue in self._queues.values()), *self._leading.works(), self._settle())
            ]
            try:
                done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)
                done.pop().result()
            finally:
                for worker in workers:
                    worker.cancel()
                _, unfinished = await asyncio.wait(workers, timeout=FINISH)
                finished = not unfinished
                if finished:
                    await self._leading.end(began)
        finally:
            if holding:
                holding.cancel()
            if finished:  # else a write may still be under way: the other replicas wait until the Lease expires
                await self._elector.release()

    async def _settle(self) -> None:
        """Settle the term once every model was looked at: then everything that an older backup lost is restored."""
        while True:
            await asyncio.sleep(SETTLED)
            # Keys that failed wait for a retry and do not count as looked at: the ledger may be unavailable since this term began.
            if len(self._queues["model"]) or not self._reconcile.settled:
                continue
            try:
                await self._elector.settle()
            except edge.Unavailable as trouble:
                log.warning("%s", trouble.message)
            else:
                break
        await asyncio.Event().wait()  # a work that ends would end the term

    async def _hold(self, began: term.Term) -> None:
        """Hold the Lease; end at once when it is lost, so that no unfinished work goes on beside another leader."""
        watched = began.previous_renewal.isoformat(timespec="milliseconds") if began.previous_renewal else "nobody knows when"
        log.info("%s leads, term %d; before: %s, until %s", began.identity, began.number, began.took_over_from or "nobody", watched)
        metrics.LEADING.set(1)
        why = await self._elector.hold()
        log.critical("leads no longer, and ends: %s", why)
        os._exit(1)

    async def _catch_up(self) -> None:
        """Read everything that the previous leader wrote: a watch may have missed events without noticing. Known objects cost little."""
        while True:
            try:
                return await self._relist()
            except (edge.Unavailable, client.Refused) as trouble:
                log.warning("leads, and cannot list what there is: %s", trouble.message)
                await asyncio.sleep(AGAIN)

    async def _work(self, key: cache.Key) -> datetime.timedelta | None:
        return await self._reconcile(key)

    def _phases(self) -> Mapping[str, Mapping[str, int]]:
        """Return the counts on the leader only, else sums over the replicas would count twice."""
        return self._cache.counts() if self._elector.leads() else {}

    def enqueue(self, keys: Iterable[cache.Key]) -> None:
        """Enqueue keys."""
        for key in keys:
            self._queues[key.sort].add(key)

    async def _finish(self, tasks: list[asyncio.Task[Any] | asyncio.Future[Any]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- what the cluster tells

    def _heard(self, kind: client.Kind, event: Mapping[str, Any]) -> None:
        self._news = time.monotonic()
        metrics.LAST_NEWS.set_to_current_time()
        raw = event["object"]
        if event["type"] == "DELETED":
            metadata = raw["metadata"]
            self.enqueue(self._cache.drop(kind, metadata.get("namespace", ""), metadata["name"]))
        else:
            self.enqueue(self._cache.put(kind, raw))

    async def _relists(self) -> None:
        """List everything from time to time: add what the informer missed, drop what no longer exists."""
        while True:
            await asyncio.sleep(self._config.resync.total_seconds())
            try:
                await self._relist()
            except (edge.Unavailable, client.Refused) as trouble:
                log.warning("cannot list everything anew: %s", trouble.message)
                continue
            self._reconcile.resync()
            self.enqueue(self._cache.keys())

    async def _relist(self) -> None:
        """List the current state a page at a time: from its watch cache the API server would send everything at once."""
        for namespace in scopes(self._config):
            for kind in cache.WATCHED:
                query = {"labelSelector": cache.OURS} if kind in cache.SERVING else {}
                read = self._reach.list_metadata if kind is client.CONFIG_MAP else self._reach.list
                listing = self._cache.listing(kind, namespace)
                async for item in read(kind, namespace, **query):
                    self.enqueue(listing.add(item))
                self.enqueue(listing.end())
        self._news = time.monotonic()
        self.enqueue(self._cache.keys())

    # --- what we tell

    def _alive(self) -> http.Said:
        silent = time.monotonic() - self._news
        return http.Said(f"last news {silent:.0f} s ago", silent < SILENCE + self._config.resync.total_seconds())

    def _ready(self) -> http.Said:
        if not self._synced:
            return http.Said("listing", well=False)
        if self._elector.leads():
            why = self._leading.trouble  # about the operator's own chain and bucket: the probe names no tenant
            return http.Said(f"does not decide: {why}", well=False) if why else http.Said("leads", well=True)
        if self._elector.trouble:
            return http.Said(f"stands by: {self._elector.trouble}", well=False)
        return http.Said(f"stands by: {self._elector.holder or 'nobody yet'} leads", well=True)


def scopes(config: settings.Settings) -> list[str | None]:
    """Return the watched namespaces; None: all namespaces."""
    return [*config.namespaces] or [None]


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _bucket_address(bucket: settings.Bucket) -> location.Address:
    """Return the address of the operator's own bucket."""
    pair = None
    if bucket.access_key and bucket.secret_key:
        pair = location.Credentials(bucket.access_key.get_secret_value(), bucket.secret_key.get_secret_value())
    pem = None
    if bucket.ca_file:
        with open(bucket.ca_file, encoding="ascii") as file:  # noqa: PTH123  once, at start
            pem = file.read()
    return location.Address(bucket.endpoint, bucket.region, pair, pem)


async def operate(config: settings.Settings) -> None:
    """Run the operator with these settings until a signal stops it."""
    # The elector's renewals never wait behind the work for a connection.
    async with client.Cluster.connect() as reach, client.Cluster.connect() as apart:
        log.info("connected to Kubernetes %s", await reach.version())
        elector = Elector(apart, config.operator_namespace, config.lease, identity())
        await Operator(reach, config, elector).run()
