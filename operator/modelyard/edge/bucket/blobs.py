"""Content-addressed bytes in the operator's own bucket: `blobs/sha256/<hex>`, written once, checked whenever read."""

from __future__ import annotations

import collections
import threading
from typing import Final

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.content import digest, location
from modelyard.edge.s3 import store

_REMEMBERED: Final = 16 << 20
"""Bytes of blobs kept in memory."""
_LARGEST: Final = 1 << 20
"""Larger blobs are not kept in memory."""
_KNOWN: Final = 65_536
"""Names of blobs that are known to exist in the bucket; the most that are remembered."""


class Blobs:
    """The operator's bucket as blobs by name. Synchronous and thread-safe; failures are Unavailable(LedgerUnavailable)."""

    def __init__(self, bucket: store.Objects, where: location.Place) -> None:
        self._store = bucket
        self._where = where
        self._lock = threading.Lock()
        self._cached: collections.OrderedDict[str, bytes] = collections.OrderedDict()
        self._bytes = 0
        self._present: collections.OrderedDict[str, None] = collections.OrderedDict()
        self._late: dict[str, bytes] = {}
        """Blobs that are in use, and could not be written yet."""

    def get(self, name: str) -> bytes | None:
        """Return the blob `sha256:<hex>`; None when it is missing, or its bytes were changed."""
        with self._lock:
            if name in self._late:
                return self._late[name]
            if name in self._cached:
                self._cached.move_to_end(name)
                return self._cached[name]
        try:
            data = self._store.get(self._where.bucket, self._key(name))
        except edge.Unavailable as error:
            raise own_bucket_error(error) from None
        if data is None or digest.named(data) != name:
            with self._lock:
                self._present.pop(name, None)
            return None
        self._remember(name, data)
        return data

    def keep(self, data: bytes) -> str:
        """Write a blob unless it exists; return its name."""
        name = digest.named(data)
        with self._lock:
            if name in self._present:
                return name
        bucket, key = self._where.bucket, self._key(name)
        try:
            # Refused: it exists; or it is damaged, or (at some stores) was deleted once, and then only overwriting repairs it.
            if not self._store.create(bucket, key, data) and self._store.get(bucket, key) != data:
                self._store.put(bucket, key, data)
        except edge.Unavailable as error:
            raise own_bucket_error(error) from None
        self._remember(name, data)
        return name

    def keep_late(self, data: bytes) -> str:
        """Write a blob that must not wait for the bucket: while the bucket does not answer, remember it until `catch_up`."""
        name = digest.named(data)
        with self._lock:
            if name in self._late:
                return name
        try:
            return self.keep(data)
        except edge.Unavailable:
            with self._lock:
                self._late[name] = data
            return name

    def catch_up(self) -> None:
        """Write the blobs that `keep_late` only remembered."""
        for name, data in list(self._late.items()):
            self.keep(data)
            with self._lock:
                self._late.pop(name, None)

    def _key(self, name: str) -> str:
        if not digest.DIGEST.fullmatch(name):
            raise edge.Unavailable(Reason.STORE_FAILED, f"{name!a} cannot be the name of a blob: it is not sha256:<64 hex digits>")
        return self._where.key + key(name)

    def _remember(self, name: str, data: bytes) -> None:
        with self._lock:
            self._present[name] = None
            while len(self._present) > _KNOWN:
                self._present.popitem(last=False)
            if len(data) > _LARGEST or name in self._cached:
                return
            self._cached[name] = data
            self._bytes += len(data)
            while self._bytes > _REMEMBERED:
                self._bytes -= len(self._cached.popitem(last=False)[1])


def key(name: str) -> str:
    """Return the key of the blob `sha256:<hex>` below the operator's prefix."""
    return f"blobs/sha256/{name.removeprefix('sha256:')}"


def own_bucket_error(error: edge.Unavailable) -> edge.Unavailable:
    """Name the operator's own bucket in a failure, so that nobody looks for it in a Model's bucket."""
    return edge.Unavailable(Reason.LEDGER_UNAVAILABLE, f"the operator's own bucket: {error.message}", error.cause)
