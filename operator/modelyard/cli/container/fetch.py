"""`modelyard fetch`: the init container. Downloads a version into the pod, hashing as it writes, and fails closed.

It leaves the folder either with exactly the promised bytes, and exits 0, or empty, with one line that says why. Started
again, it starts from nothing.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import os
import pathlib
import shutil
import sys
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from typing import Final

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.content import jsontext, location, manifest
from modelyard.content.digest import DIGEST
from modelyard.edge import local_files
from modelyard.edge.s3 import store

AT_ONCE: Final = 4
"""Files downloaded at the same time."""
PAUSES: Final = (0.5, 1.0, 2.0, 4.0)
"""Seconds before a download is retried; then the pod's own backoff takes over."""
_PACKED: Final = 2 << 20
"""Bytes of the list of files, which fits into a ConfigMap."""
_UNPACKED: Final = 64 << 20
"""Bytes of the list unpacked: 25,000 paths of maximum length have less than half."""
_HEALS: Final = frozenset({Reason.STORE_UNREACHABLE, Reason.STORE_THROTTLED, Reason.STORE_TRUNCATED})


class Refused(Exception):
    """The pod must not start with this; the message says why."""


class _Stopped(Exception):
    """The download of another file failed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """A file to be fetched: path relative to the artifact, size in bytes, and the version that was verified."""

    path: str
    size: int
    version_id: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """The artifact that the folder has to hold in the end."""

    digest: str
    where: location.Place
    address: location.Address
    files: tuple[Wanted, ...]
    folder: pathlib.Path


def order(environment: Mapping[str, str]) -> Order:
    """Read the order from the pod's environment; raise Refused when it is not complete."""
    promised, uri = _need(environment, "MODELYARD_DIGEST"), _need(environment, "MODELYARD_FETCH_URI")
    if not DIGEST.fullmatch(promised):
        raise Refused(f"MODELYARD_DIGEST is {promised!r}, which is no sha256:<64 hex digits>")
    if (where := location.place(uri)) is None:
        raise Refused(f"MODELYARD_FETCH_URI is {uri!r}, which is no s3://bucket/key")
    listed = pathlib.Path(_need(environment, "MODELYARD_FETCH_FILES"))
    try:
        rows = jsontext.loads(_unpacked(local_files.read(listed, _PACKED)))
        files = tuple(Wanted(str(path), int(size), version and str(version)) for path, size, version in rows)
    except (OSError, zlib.error, ValueError, TypeError) as error:
        raise Refused(f"the list of files {listed} cannot be read: {error}") from None
    # A path decides where bytes are written, so a ConfigMap's paths are checked.
    if refusal := manifest.refuse([file.path for file in files]):
        raise Refused(f"the list of files {listed} is refused: {refusal.message}")
    if not where.is_prefix and [file.path for file in files] != [where.name]:
        raise Refused(f"the list of files {listed} is not that of the single object {uri}")
    folder = pathlib.Path(environment.get("MODELYARD_PATH") or "/models")
    return Order(promised, where, _address(environment), files, folder)


def fetch(wanted: Order, *, pause: Callable[[float], object] = time.sleep) -> None:
    """Fill the folder; on Refused or edge.Unavailable the folder is empty."""
    _empty(wanted.folder)
    try:
        source = store.Store(wanted.address, connections=AT_ONCE)
        digest = manifest.of(_download(wanted, source, pause))
        if digest != wanted.digest:
            raise Refused(
                f"the files at {wanted.where} have the digest {digest}, not the promised {wanted.digest}: nothing of them is kept"
            )
    except BaseException:
        _empty(wanted.folder)
        raise


def main() -> int:
    """Return 0: the promised bytes are in the folder; 1: they are not; 2: the environment does not say what to fetch."""
    began = time.monotonic()
    os.umask(0o022)  # the server runs as another user, and only reads
    try:
        wanted = order(os.environ)
    except Refused as error:
        return _fail(error, 2)
    try:
        fetch(wanted)
    except (Refused, edge.Unavailable, OSError) as error:
        return _fail(error, 1)
    size, seconds = sum(file.size for file in wanted.files), time.monotonic() - began
    print(
        f"fetched {len(wanted.files)} files, {size} bytes, into {wanted.folder} in {seconds:.2f} s; their digest is {wanted.digest}, as promised"
    )
    return 0


def _download(wanted: Order, source: store.Store, pause: Callable[[float], object]) -> dict[str, str]:
    """Write every file, largest first; return path → hex sha256 of the written bytes."""
    for folder in {(wanted.folder / file.path).parent for file in wanted.files}:
        folder.mkdir(parents=True, exist_ok=True)
    stop = threading.Event()
    ordered = sorted(wanted.files, key=lambda file: -file.size)

    def fetch_file(file: Wanted) -> tuple[str, str]:
        try:
            return file.path, _patiently(wanted, file, source, stop, pause)
        except BaseException:
            stop.set()
            raise

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as threads:
        under_way = [threads.submit(fetch_file, file) for file in ordered]
    failures = [error for future in under_way if (error := future.exception()) is not None]
    if failures:
        # Raise the failure that stopped the other downloads.
        raise next((error for error in failures if not isinstance(error, _Stopped)), failures[0])
    return dict(future.result() for future in under_way)


def _patiently(wanted: Order, file: Wanted, source: store.Store, stop: threading.Event, pause: Callable[[float], object]) -> str:
    for seconds in PAUSES:
        try:
            return _fetch_once(wanted, file, source, stop)
        except edge.Unavailable as error:
            if error.reason not in _HEALS:
                raise
            pause(seconds)
    return _fetch_once(wanted, file, source, stop)


def _fetch_once(wanted: Order, file: Wanted, source: store.Store, stop: threading.Event) -> str:
    """Write one file; return the hex sha256 of the written bytes."""
    key = f"{wanted.where.key}{file.path}" if wanted.where.is_prefix else wanted.where.key
    stream = source.open(wanted.where.bucket, key, version_id=file.version_id)
    uri = f"s3://{wanted.where.bucket}/{key}"
    if stream is None:
        raise Refused(f"{uri} is gone from {wanted.address}")
    sha256 = hashlib.sha256()
    with stream, (wanted.folder / file.path).open("wb", buffering=0) as target:
        if stream.object.size != file.size:
            raise Refused(f"{uri} has {stream.object.size} bytes now, {file.size} were promised")
        for chunk in stream:
            if stop.is_set():
                raise _Stopped
            sha256.update(chunk)
            view = memoryview(chunk)
            while view:
                view = view[target.write(view) :]
    return sha256.hexdigest()


def _address(environment: Mapping[str, str]) -> location.Address:
    access, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    keys = location.Credentials(access, secret, environment.get("AWS_SESSION_TOKEN") or None) if access and secret else None
    ca_pem = None
    if bundle := environment.get("MODELYARD_FETCH_CA"):
        try:
            ca_pem = pathlib.Path(bundle).read_text()
        except (OSError, ValueError) as error:
            raise Refused(f"the CA bundle {bundle} cannot be read: {error}") from None
    return location.Address(
        environment.get("MODELYARD_FETCH_ENDPOINT") or None, environment.get("MODELYARD_FETCH_REGION") or None, keys, ca_pem
    )


def _need(environment: Mapping[str, str], name: str) -> str:
    if value := environment.get(name):
        return value
    raise Refused(f"{name} is not set")


def _unpacked(data: bytes) -> bytes:
    """Unpack gzip data; refuse it beyond the limit."""
    inflated = zlib.decompressobj(wbits=31)
    unpacked = inflated.decompress(data, _UNPACKED)
    if not inflated.eof:
        raise ValueError(f"it is cut off, or unpacked larger than {_UNPACKED >> 20} MiB")
    return unpacked


def _empty(folder: pathlib.Path) -> None:
    """Empty a folder and keep it: a volume is mounted there."""
    folder.mkdir(parents=True, exist_ok=True)
    for child in folder.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()


def _fail(error: Exception, code: int) -> int:
    line = " ".join(str(error).split())
    print(f"modelyard fetch: {line}", file=sys.stderr, flush=True)
    return code
