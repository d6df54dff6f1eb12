"""Verification against what a person would do by hand, `curl … | sha256sum`, on the same objects of the same store in the same run.

python -m tests.bench.verify
"""

from __future__ import annotations

import asyncio
import functools
import json
import pathlib
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from modelyard.content import location
from modelyard.edge.artifact.prover import Prover
from modelyard.edge.bucket import blobs
from modelyard.edge.s3 import store
from modelyard.plan.modelversion import inspection
from tests.cluster import stores

GIB = 1 << 30
MIB = 1 << 20
SMALL = 1_000
ROOT = "s3://models/bench/"
_HASHES = ("sha256sum", "openssl dgst -sha256")
"""By hand; coreutils is built with a slow sha256 on many systems, so the faster of the two is what we are held against."""


def rows() -> list[dict[str, Any]]:
    """The table's rows; takes about two minutes and 8 GiB of disk."""
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder, stores.run("versitygw", pathlib.Path(folder)) as running:
        client = running.open()
        client.make_bucket("models")
        client.make_bucket("modelyard", object_lock=True)
        return [*_throughput(running, client, pathlib.Path(folder)), _versions(running, client)]


def _throughput(running: stores.Running, client: store.Store, folder: pathlib.Path) -> Iterator[dict[str, Any]]:
    for files in (64, 1):
        keys = [f"bench/{files}/part-{number:02}" for number in range(files)]
        _fill(client, folder / "part", keys, 4 * GIB // files)
        uri = f"{ROOT}{files}/"
        _by_hand(running, keys)  # both then read from memory, not from disk
        theirs = {program: min(_timed(functools.partial(_by_hand, running, keys, program)) for _ in range(2)) for program in _HASHES}
        ours = min(_timed(functools.partial(_inspect, running, client, [uri])) for _ in range(2))
        yield _row(f"verify 4 GiB, {files} file{'s' * (files > 1)}", "MiB/s", 4096, ours, theirs)
        for key in keys:
            client.delete("models", key)


def _versions(running: stores.Running, client: store.Store) -> dict[str, Any]:
    keys = [f"bench/small/{number}/model.bin" for number in range(SMALL)]
    for number, key in enumerate(keys):
        client.put("models", key, number.to_bytes(4, "big") * (MIB // 4))
    theirs = {program: min(_timed(functools.partial(_by_hand, running, keys, program)) for _ in range(2)) for program in _HASHES}
    ours = min(_timed(lambda: _inspect(running, client, [f"{ROOT}small/{number}/" for number in range(SMALL)])) for _ in range(2))
    return _row(f"inspect {SMALL:,} versions of 1 MiB", "versions/s", SMALL, ours, theirs)


def _fill(client: store.Store, file: pathlib.Path, keys: Sequence[str], size: int) -> None:
    with file.open("wb") as target:
        target.truncate(size)
    for key in keys:
        client.upload("models", key, file)
    file.unlink()


def _inspect(running: stores.Running, client: store.Store, uris: Sequence[str]) -> None:
    async def all_of_them() -> list[inspection.Result]:
        prover = Prover(blobs.Blobs(client, location.Place("modelyard", f"{time.monotonic_ns()}/")))
        try:
            return await asyncio.gather(*(prover.inspect(inspection.Request(running.address, uri, ROOT)) for uri in uris))
        finally:
            prover.close()

    results = asyncio.run(all_of_them())
    assert all(isinstance(result, inspection.Found) for result in results), results[0]


def _by_hand(running: stores.Running, keys: Sequence[str], program: str = _HASHES[0]) -> None:
    """One curl that keeps its connection, one hash over all of it: less work than a person would have with many files."""
    sign = running.open()._client.presigned_get_object
    config = "".join(f'url = "{sign("models", key)}"\n' for key in keys)
    subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"curl -fsS --config - | {program}"],
        input=config,
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def _timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _row(name: str, unit: str, amount: int, seconds: float, by_hand: Mapping[str, float]) -> dict[str, Any]:
    fastest = min(by_hand.values())
    return {
        "name": name,
        "value": round(amount / seconds, 1),
        "unit": unit,
        "reference": ", ".join(f"curl | {program}: {amount / took:.1f}" for program, took in by_hand.items()),
        "ratio": round(fastest / seconds, 2),
        "goal": "ratio to the faster at least 1",
        "met": fastest >= seconds,
    }


if __name__ == "__main__":
    print(json.dumps(rows(), indent=2))
