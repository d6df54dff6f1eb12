"""Inspection of artifacts: read every byte that must be read, and return the result; manifests go to the operator's bucket.

Threads do the work. An inspection runs in one thread, which hashes its files itself, largest first; further threads join
it while they are free. So a small artifact costs one hop, a large one is read several objects at a time, and neither can
wait for the other. No tenant has more than half of the threads that join, and work on the operator's own bucket has threads of its
own: a tenant's store that hangs delays nobody else.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from typing import Final, Generic, TypeVar

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.content import location
from modelyard.content import manifest as content_manifest
from modelyard.edge import metrics
from modelyard.edge.artifact import object_holds
from modelyard.edge.bucket import blobs
from modelyard.edge.s3 import bounded, errors, listings, store
from modelyard.plan import finding
from modelyard.plan.modelversion import inspection, legal_hold

T = TypeVar("T")
X = TypeVar("X")

_CLIENTS: Final = 128
"""The most addresses whose connections are kept."""
_UNFINISHED: Final = 50_000
"""The most files remembered of incomplete artifacts, so that an upload in progress is not read again and again."""
_DOCUMENTS: Final = 10_000
"""The most evidence objects remembered."""
_HELP: Final = 8 << 20
_MANY: Final = 16
"""Bytes and objects below which further threads cost more than they gain."""
_KEEPERS: Final = 8
"""Threads for work on the operator's own bucket only: rendering, rolling back."""
_UNKNOWN: Final = -1
"""Size of an object whose size was not requested."""


class _Stopped(Exception):
    """No caller waits for the result any more."""


@dataclasses.dataclass(slots=True)
class _Work(Generic[X, T]):
    """Items to be done, shared by several threads; the first failure stops them all."""

    do: Callable[[X], T]
    todo: collections.deque[X]
    stop: threading.Event
    done: list[tuple[X, T]] = dataclasses.field(default_factory=list)
    trouble: BaseException | None = None

    def run(self) -> None:
        """Work until no item is left."""
        try:
            while self.todo:
                self._next()
        except BaseException as error:
            self.trouble = self.trouble or error
            self.stop.set()

    def _next(self) -> None:
        with contextlib.suppress(IndexError):  # another thread was faster
            item = self.todo.popleft()
            if self.stop.is_set():
                raise _Stopped
            self.done.append((item, self.do(item)))


class _Helpers:
    """Threads that join large inspections; no tenant has more than half of them."""

    def __init__(self, count: int) -> None:
        self._share = count
        self._pool = futures.ThreadPoolExecutor(max(1, 2 * count), "help")
        self._lent: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()

    def join(self, tenant: str, wanted: int, run: Callable[[], None]) -> list[futures.Future[None]]:
        """Lend up to `wanted` threads, as far as the tenant's share allows."""
        with self._lock:
            count = max(0, min(wanted, self._share - self._lent[tenant]))
            self._lent[tenant] += count
        lent = [self._pool.submit(run) for _ in range(count)]
        for helper in lent:
            helper.add_done_callback(lambda _: self._back(tenant))
        return lent

    def close(self) -> None:
        """Lend no more threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _back(self, tenant: str) -> None:
        with self._lock:
            self._lent[tenant] -= 1
            self._lent += collections.Counter()  # forgets who has none


class Prover:
    """Reads artifacts and evidence with a fixed number of threads; keeps connections, and results that it must not read twice.

    Args:
        kept: where manifests go.
        versions_at_once: threads that look at artifacts and evidence.
        objects_at_once: threads that work on one of them.
        limits: what a Model's store may ask of us.
    """

    def __init__(
        self, blob_store: blobs.Blobs, *, versions_at_once: int = 16, objects_at_once: int = 4, limits: bounded.Limits = bounded.LIMITS
    ) -> None:
        self._blobs = blob_store
        self._limits = limits
        self._most_helpers = objects_at_once - 1
        self._connections = versions_at_once + objects_at_once
        self._inspectors = futures.ThreadPoolExecutor(versions_at_once, "inspect")
        self._keepers = futures.ThreadPoolExecutor(_KEEPERS, "keep")
        self._helpers = _Helpers(self._most_helpers)
        self._listings = listings.Listings()
        self._stops: set[threading.Event] = set()
        self._lock = threading.Lock()
        self._clients: collections.OrderedDict[location.Address, store.Store] = collections.OrderedDict()
        self._unfinished: collections.OrderedDict[tuple[location.Address, str], content_manifest.Manifest] = collections.OrderedDict()
        self._documents: collections.OrderedDict[tuple[location.Address, str], tuple[store.Object, str]] = collections.OrderedDict()

    async def inspect(self, request: inspection.Request) -> inspection.Result:
        """Inspect an artifact's current bytes; raises edge.Unavailable and nothing else."""
        return await self._stoppable(lambda stop: self._inspect(request, stop))

    async def prove_object(self, request: inspection.EvidenceRequest) -> inspection.EvidenceResult:
        """Check that one document exists with the declared bytes; raises edge.Unavailable and nothing else."""
        return await self._stoppable(lambda stop: self._prove_object(request, stop))

    async def blob(self, name: str) -> bytes:
        """Return the blob `sha256:<hex>`, checked; Unavailable(LedgerUnavailable) when it is missing or was changed."""
        data = await self._of_ours(lambda: self._blobs.get(name))
        if data is None:
            message = f"the operator's own bucket no longer has {name}; restore it, or have its version verified again"
            raise edge.Unavailable(Reason.LEDGER_UNAVAILABLE, message)
        return data

    async def keep_blob(self, data: bytes) -> str:
        """Write bytes to the operator's bucket; return their name, `sha256:<hex>`."""
        return await self._of_ours(lambda: self._blobs.keep(data))

    async def keep_blob_late(self, data: bytes) -> str:
        """Keep bytes that must not wait for the bucket; `catch_up` writes them when it answers again."""
        return await self._of_ours(lambda: self._blobs.keep_late(data))

    async def catch_up(self) -> None:
        """Write the blobs that `keep_blob_late` could not write."""
        await self._of_ours(self._blobs.catch_up)

    async def hold(self, request: legal_hold.Request) -> finding.Finding | None:
        """Do one step of a legal hold; return why it could not be done, if it could not."""
        source = self._client(request.address)

        def carry_out(stop: threading.Event) -> finding.Finding | None:
            return object_holds.carry_out(
                source, self._blobs, request, lambda do, items: self._together(request.tenant, do, list(items), stop)
            )

        return await self._stoppable(carry_out)

    def close(self) -> None:
        """Stop all work; make no request afterwards."""
        for stop in list(self._stops):
            stop.set()
        self._inspectors.shutdown(wait=False, cancel_futures=True)
        self._keepers.shutdown(wait=False, cancel_futures=True)
        self._helpers.close()

    async def _of_ours(self, work: Callable[[], T]) -> T:
        """Run work on the operator's own bucket only."""
        return await asyncio.get_running_loop().run_in_executor(self._keepers, work)

    async def _stoppable(self, work: Callable[[threading.Event], T]) -> T:
        stop = threading.Event()
        self._stops.add(stop)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._inspectors, lambda: work(stop))
        finally:
            self._stops.remove(stop)
            stop.set()

    def _client(self, address: location.Address) -> store.Store:
        with self._lock:
            client = self._clients.get(address)
            if client is None:
                client = self._clients[address] = store.Store(address, connections=self._connections, limits=self._limits)
            self._clients.move_to_end(address)
            if len(self._clients) > _CLIENTS:
                self._clients.popitem(last=False)[1].close()
            return client

    def _inspect(self, request: inspection.Request, stop: threading.Event) -> inspection.Result:
        began = time.monotonic()
        scope = location.locate(request.uri, request.below)
        if isinstance(scope, location.Refused):
            return scope
        where, root = scope
        source = self._client(request.address)
        before = [] if request.full else self._before(request)
        if where.is_prefix:
            objects = self._listings.below(source, where, root, request.max_listing_age, content_manifest.MAX_FILES)
            by_path = {listed.key[len(where.key) :]: listed for listed in objects if listed.size or not listed.key.endswith("/")}
        else:
            # An object that must be read anyway needs no head request first; and only a read shows why it is missing.
            single = source.head(where.bucket, where.key) if before else None
            by_path = {where.name: single or store.Object(where.key, _UNKNOWN, "")}
        if refusal := content_manifest.refuse(list(by_path)):
            return location.Refused(refusal.reason, f"{request.uri}: {refusal.message}")
        unchanged = _unchanged(by_path, before)
        if request.pinned:
            unchanged = self._still_there(request.tenant, source, where, unchanged, stop)
        read = self._read(request.tenant, source, where.bucket, [listed for path, listed in by_path.items() if path not in unchanged], stop)
        files = [*unchanged.values(), *(_file(path, *read[listed.key]) for path, listed in by_path.items() if listed.key in read)]
        if not files:
            return inspection.Missing(f"there is nothing at {request.uri} ({request.address})")
        return self._result(request, content_manifest.manifest(files), began)

    def _before(self, request: inspection.Request) -> list[content_manifest.Manifest]:
        """Return the earlier manifests of an artifact: of its last success, and of the last inspection while it was incomplete."""
        manifests = []
        if request.previous and (data := self._blobs.get(request.previous)):
            with contextlib.suppress(ValueError):  # damaged: everything is read again
                manifests.append(content_manifest.read_manifest(data))
        with self._lock:
            if unfinished := self._unfinished.get((request.address, request.uri)):
                manifests.append(unfinished)
        return manifests

    def _still_there(
        self, tenant: str, source: store.Store, where: location.Place, unchanged: Mapping[str, content_manifest.File], stop: threading.Event
    ) -> dict[str, content_manifest.File]:
        """Return the files whose pinned version can still be fetched."""

        def is_there(item: tuple[str, content_manifest.File]) -> bool:
            path, file = item
            key = f"{where.key}{path}" if where.is_prefix else where.key
            current = source.head(where.bucket, key, file.version_id) if file.version_id else None
            return file.version_id is None or (current is not None and current.etag == file.etag)

        items = list(unchanged.items())
        return dict(item for item, well in zip(items, self._together(tenant, is_there, items, stop), strict=True) if well)

    def _read(
        self, tenant: str, source: store.Store, bucket: str, objects: Sequence[store.Object], stop: threading.Event
    ) -> Mapping[str, tuple[store.Object, str]]:
        """Return every object as read, with its sha256, by key; without missing ones."""
        much = len(objects) > _MANY or sum(listed.size for listed in objects) > _HELP
        ordered = sorted(objects, key=lambda listed: -listed.size)
        read = self._together(tenant, lambda listed: _hash(source, bucket, listed, stop), ordered, stop, much=much)
        return {listed.key: hashed for listed, hashed in zip(ordered, read, strict=True) if hashed is not None}

    def _together(self, tenant: str, do: Callable[[X], T], items: Sequence[X], stop: threading.Event, *, much: bool = True) -> Sequence[T]:
        """Return the results of `do` for all items, in order: this thread works, and for much work free threads join it."""
        work = _Work(lambda number: do(items[number]), collections.deque(range(len(items))), stop)
        wanted = min(self._most_helpers, len(items) - 1)
        helpers = self._helpers.join(tenant, wanted, work.run) if much and wanted > 0 else []
        work.run()
        futures.wait([helper for helper in helpers if not helper.cancel()])
        if work.trouble:
            raise work.trouble
        return [result for _, result in sorted(work.done, key=lambda pair: pair[0])]

    def _result(self, request: inspection.Request, manifest: content_manifest.Manifest, began: float) -> inspection.Result:
        if request.expected and manifest.digest != request.expected:
            self._remember(request, manifest)
            content = f"{len(manifest.files)} files with {manifest.bytes} bytes at {request.uri}"
            return inspection.Differs(manifest.digest, f"the {content} have the digest {manifest.digest}, not {request.expected}")
        with self._lock:
            self._unfinished.pop((request.address, request.uri), None)
        name = self._blobs.keep(content_manifest.write_manifest(manifest))
        return inspection.Found(manifest.digest, len(manifest.files), manifest.bytes, name, time.monotonic() - began)

    def _remember(self, request: inspection.Request, manifest: content_manifest.Manifest) -> None:
        with self._lock:
            self._unfinished[request.address, request.uri] = manifest
            self._unfinished.move_to_end((request.address, request.uri))
            while len(self._unfinished) > 1 and sum(len(unfinished.files) for unfinished in self._unfinished.values()) > _UNFINISHED:
                self._unfinished.popitem(last=False)

    def _prove_object(self, request: inspection.EvidenceRequest, stop: threading.Event) -> inspection.EvidenceResult:
        scope = location.locate(request.uri, request.below)
        if isinstance(scope, location.Refused):
            return scope
        where, _ = scope
        if where.is_prefix:
            return location.Refused(Reason.PATH_REFUSED, f"{request.uri}: evidence is one object, not a prefix")
        source = self._client(request.address)
        name = (request.address, request.uri)
        hashed = None if request.full else self._documents.get(name)
        current = source.head(where.bucket, where.key) if hashed else None
        if not hashed or not current or not current.etag or current != hashed[0]:
            hashed = self._read(request.tenant, source, where.bucket, [store.Object(where.key, _UNKNOWN, "")], stop).get(where.key)
        if hashed is None:
            return inspection.Missing(f"there is nothing at {request.uri} ({request.address})")
        with self._lock:
            self._documents[name] = hashed
            self._documents.move_to_end(name)
            if len(self._documents) > _DOCUMENTS:
                self._documents.popitem(last=False)
        sha256, wanted = f"sha256:{hashed[1]}", f"sha256:{request.sha256.removeprefix('sha256:')}"
        if sha256 != wanted:
            return inspection.Differs(sha256, f"{request.uri} has {sha256}, not {wanted}")
        return inspection.Proven(sha256, hashed[0].size)


def _hash(source: store.Store, bucket: str, listed: store.Object, stop: threading.Event) -> tuple[store.Object, str] | None:
    """Return an object as read, with its sha256; None when it was not listed and is missing."""
    stream = source.open(bucket, listed.key, etag=listed.etag or None)
    if stream is None and listed.size == _UNKNOWN:
        return None
    if stream is None:
        raise errors.replaced(source.address, bucket, listed.key)
    with stream:
        if listed.size not in {_UNKNOWN, stream.object.size}:
            raise errors.replaced(source.address, bucket, listed.key)
        sha256 = hashlib.sha256()
        for chunk in stream:
            sha256.update(chunk)
            metrics.VERIFIED_BYTES.inc(len(chunk))
            if stop.is_set():
                raise _Stopped
    return stream.object, sha256.hexdigest()


def _unchanged(by_path: Mapping[str, store.Object], before: Sequence[content_manifest.Manifest]) -> dict[str, content_manifest.File]:
    """Return the files whose size and etag are unchanged since they were read."""
    by_identity = {(file.path, file.size, file.etag): file for manifest in before for file in manifest.files if file.etag}
    pairs = ((path, by_identity.get((path, listed.size, listed.etag))) for path, listed in by_path.items())
    return {path: file for path, file in pairs if file is not None}


def _file(path: str, read: store.Object, sha256: str) -> content_manifest.File:
    return content_manifest.File(path, read.size, sha256, read.etag, read.version_id)
