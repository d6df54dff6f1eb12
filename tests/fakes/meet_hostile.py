"""Meets hostile stores with a limit on memory, and writes down what came of it: `python -m tests.fakes.meet_hostile FILE < {mode: endpoint}`.

Everything that touches a tenant's store is tried: listing, verification, evidence, legal holds, and `gc` of the command line.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.cli.maintain import gc
from modelyard.cli.reach import cluster, ledger_writer, model_storage
from modelyard.cli.terminal import exits
from modelyard.content import location, manifest
from modelyard.edge.artifact import prover
from modelyard.edge.bucket import blobs
from modelyard.edge.s3 import bounded, store
from modelyard.ledger import index, record
from modelyard.plan.modelversion import inspection, legal_hold
from tests.fakes import apiserver, hostile_store

LIMITS: Final = bounded.Limits(connect=5, silence=0.6, answer=0.7, window=0.7, empty_pages=10)
ROOM: Final = 400 << 20
"""Bytes of address space beyond what a process that has just begun takes."""
_AT_ONCE: Final = 12
_STAMP: Final = "2026-10-01T00:00:00Z"
_FILE: Final = manifest.File(
    "x", len(hostile_store.DATA), hashlib.sha256(hostile_store.DATA).hexdigest(), hostile_store.ETAG, version_id="1"
)
_MANIFEST: Final = manifest.manifest((_FILE,))

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Met:
    """What came of one meeting."""

    ended: str
    """`done`, or the reason why not."""
    message: str
    seconds: float


class _Memory:
    """The operator's own bucket."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def get(self, bucket: str, key: str) -> bytes | None:
        return self.objects.get(f"{bucket}/{key}")

    def put(self, bucket: str, key: str, data: bytes) -> None:
        self.objects[f"{bucket}/{key}"] = data

    def create(self, bucket: str, key: str, data: bytes, retain: store.Retention | None = None) -> bool:
        del retain
        self.put(bucket, key, data)
        return True

    def list(self, bucket: str, prefix: str = "") -> Iterator[store.Object]:
        del bucket, prefix
        return iter(())

    def folders(self, bucket: str, prefix: str) -> Iterator[str]:
        del bucket, prefix
        return iter(())

    def locks(self, bucket: str) -> bool:
        del bucket
        return False


class _Kept(ledger_writer.Bucket):
    """The operator's bucket as `gc` reads it."""

    def __init__(self) -> None:
        """It has the one list of files."""

    def index(self, namespace: str, model: str) -> index.Index:
        del namespace, model
        return index.Index()

    def blob(self, name: str) -> bytes | None:
        del name
        return manifest.write_manifest(_MANIFEST)

    def append(self, namespace: str, model: str, facts: Sequence[record.LedgerEntry]) -> None:
        """It is recorded."""


def _namespace(mode: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in mode.lower())


def _objects(mode: str, endpoint: str) -> dict[str, Any]:
    """A Model at the store, and a retired version of it, in a namespace of the mode's own."""
    uri = f"s3://{_namespace(mode)}/fraud/"
    version = apiserver.version("1", "Retired", lifecycle="Retired")
    version["spec"]["artifact"] |= {"uri": f"{uri}1/x"}
    artifact = {"digest": _MANIFEST.digest, "files": 1, "bytes": _FILE.size, "manifest": "sha256:m", "seconds": 1}
    version["status"] |= {"artifact": {**artifact, "verifiedAt": _STAMP, "checkedAt": _STAMP}}
    both = apiserver.model(storage={"uri": uri, "endpoint": endpoint}), version
    for each in both:
        each["metadata"]["namespace"] = _namespace(mode)
    return {path.replace("/risk/", f"/{_namespace(mode)}/"): each for path, each in apiserver.registry(*both).items()}


@contextlib.contextmanager
def _cluster(stores: Mapping[str, str]) -> Iterator[None]:
    """An API server with such objects for every mode, which KUBECONFIG names."""
    objects = {path: each for mode, endpoint in stores.items() for path, each in _objects(mode, endpoint).items()}

    def everywhere(handler: apiserver.Handler, asked: str, _body: Any) -> bool:
        if asked != "GET /apis/modelyard.dev/v1alpha1/modelversions":
            return False
        handler.answer(200, {"items": [each for each in objects.values() if each["kind"] == "ModelVersion"]})
        return True

    with tempfile.TemporaryDirectory() as folder, apiserver.run(pathlib.Path(folder), objects, fault=everywhere) as config:
        os.environ["KUBECONFIG"] = str(config)
        yield


def _collect(mode: str) -> None:
    """`gc --delete` of the retired version."""
    gc.gc(cluster.Registry(None, _namespace(mode)), _Kept(), "fraud", gc.Way(delete=True, to=model_storage.Way(limits=LIMITS), asked=None))


class Meeting:
    """Everything there is to try with one store."""

    def __init__(self, mode: str, endpoint: str) -> None:
        self.mode = mode
        self.address = location.Address(endpoint, credentials=hostile_store.CREDENTIALS)
        self.memory = _Memory()
        kept = blobs.Blobs(self.memory, location.Place("modelyard", ""))
        self.manifest = kept.keep(manifest.write_manifest(_MANIFEST))
        self.prover = prover.Prover(kept, versions_at_once=4, limits=LIMITS)

    @property
    def tries(self) -> Mapping[str, Callable[[], Awaitable[object]]]:
        """By name."""
        client = store.Store(self.address, limits=LIMITS)
        uri, below = "s3://models/fraud/1/", "s3://models/fraud/"
        sha256 = hashlib.sha256(hostile_store.DATA).hexdigest()
        held = legal_hold.Request(self.address, legal_hold.Step.CLAIM, legal_hold.Objects(uri, self.manifest))
        return {
            "list": lambda: asyncio.to_thread(lambda: self._listed(client)),
            "verify": lambda: self.prover.inspect(inspection.Request(self.address, uri, below, _MANIFEST.digest)),
            "recheck": lambda: self.prover.inspect(
                inspection.Request(self.address, uri, below, _MANIFEST.digest, self.manifest, pinned=True, max_listing_age=1.0)
            ),
            "evidence": lambda: self.prover.prove_object(inspection.EvidenceRequest(self.address, f"{uri}x", below, sha256)),
            "hold": lambda: self.prover.hold(held),
            "gc": lambda: asyncio.to_thread(_collect, self.mode),
        }

    @staticmethod
    def _listed(client: store.Store) -> None:
        """As much as an artifact may have, from the top and below it."""
        for number, _ in enumerate(client.list("models", "fraud/")):
            if number > manifest.MAX_FILES:
                raise edge.Unavailable(Reason.TOO_MANY_FILES, "too many")
        for _ in client.folders("models", ""):
            pass

    async def all(self, gate: asyncio.Semaphore) -> Mapping[str, Met]:
        """Try everything."""
        found = {}
        for name, do in self.tries.items():
            async with gate:
                found[name] = await self._one(do)
        self.prover.close()
        return found

    @staticmethod
    async def _one(do: Callable[[], Awaitable[object]]) -> Met:
        began = time.monotonic()
        try:
            said = await do()
        except edge.Unavailable as trouble:
            ended, message = str(trouble.reason), trouble.message
        except exits.Stop as stop:
            ended, message = f"exit {int(stop.code)}", stop.message
        else:
            reason = getattr(said, "reason", None)
            ended, message = str(reason) if reason else "done", str(getattr(said, "message", ""))
        return Met(ended, message, time.monotonic() - began)


async def _main(stores: Mapping[str, str]) -> Mapping[str, Any]:
    gate = asyncio.Semaphore(_AT_ONCE)
    meetings = [Meeting(mode, endpoint) for mode, endpoint in stores.items()]
    found = await asyncio.gather(*(meeting.all(gate) for meeting in meetings))
    return {mode: {name: dataclasses.asdict(met) for name, met in each.items()} for mode, each in zip(stores, found, strict=True)}


def _taken() -> int:
    """Bytes of address space of this process."""
    return int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    threading.stack_size(1 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (_taken() + ROOM,) * 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stores = json.load(sys.stdin)
    with _cluster(stores):
        report = asyncio.run(_main(stores))
    grew = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    pathlib.Path(sys.argv[1]).write_text(json.dumps({"grew": grew, "met": report}))
