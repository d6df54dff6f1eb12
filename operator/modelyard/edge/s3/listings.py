"""Shared listings: many versions below one prefix that are inspected together cost one walk through it."""

from __future__ import annotations

import bisect
import collections
import dataclasses
import threading
import time
from collections.abc import Sequence
from concurrent import futures
from typing import Final

from modelyard.content import location
from modelyard.edge.s3 import errors, store

_SHARED: Final = 200_000
"""The most objects in all shared listings together, including those under way; some 60 MB."""
_TEXT: Final = 8 << 20
"""The most characters of keys and etags in the listing of one artifact; a shared listing may have four times as many."""


@dataclasses.dataclass(slots=True)
class _Walk:
    began: float
    done: futures.Future[Sequence[store.Object] | None]


class Listings:
    """Lists objects by prefix. Synchronous and thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way = 0
        """Objects in shared listings that are under way."""
        self._walks: collections.OrderedDict[tuple[location.Address, location.Place], _Walk] = collections.OrderedDict()

    def below(self, bucket: store.Store, prefix: location.Place, root: location.Place, max_age: float, most: int) -> Sequence[store.Object]:
        """Return the objects below a prefix, sorted by key, at most `most` and one; from a walk of `root` no older than `max_age` seconds."""
        shared = self._shared(bucket, root, max_age) if max_age > 0 else None
        if shared is None:
            return sorted(_below(bucket, prefix, most + 1), key=_key)
        start = bisect.bisect_left(shared, prefix.key, key=_key)
        # "0" follows "/", and a prefix ends in "/".
        end = bisect.bisect_left(shared, f"{prefix.key[:-1]}0", lo=start, key=_key)
        return shared[start : min(end, start + most + 1)]

    def _shared(self, bucket: store.Store, root: location.Place, max_age: float) -> Sequence[store.Object] | None:
        """Return all objects below root; None when there are too many to share."""
        name = (bucket.address, root)
        with self._lock:
            walk = self._walks.get(name)
            is_first = walk is None or walk.began < time.monotonic() - max_age
            if is_first or walk is None:
                walk = _Walk(time.monotonic(), futures.Future())
                self._walks[name] = walk
            self._walks.move_to_end(name)
        if is_first:
            self._walk(bucket, name, walk)
        return walk.done.result()

    def _walk(self, bucket: store.Store, name: tuple[location.Address, location.Place], walk: _Walk) -> None:
        try:
            objects = self._all(bucket, name[1])
        except BaseException as error:  # callers that wait must get it too
            with self._lock:
                if self._walks.get(name) is walk:
                    del self._walks[name]
            walk.done.set_exception(error)
            return
        walk.done.set_result(sorted(objects, key=_key) if objects is not None else None)
        with self._lock:
            while sum(len(_objects(shared)) for shared in self._walks.values()) > _SHARED:
                self._walks.popitem(last=False)

    def _all(self, bucket: store.Store, root: location.Place) -> list[store.Object] | None:
        """List all objects below; None when they, with other listings under way, are too many to share."""
        objects: list[store.Object] = []
        text = 0
        try:
            for listed in bucket.list(root.bucket, root.key):
                objects.append(listed)
                text += len(listed.key) + len(listed.etag)
                with self._lock:
                    self._under_way += 1
                    if self._under_way > _SHARED or text > 4 * _TEXT:
                        return None
            return objects
        finally:
            with self._lock:
                self._under_way -= len(objects)


def _below(bucket: store.Store, prefix: location.Place, most: int) -> list[store.Object]:
    """Return the first objects below a prefix.

    Raises:
        edge.Unavailable: their keys are too long to be held.
    """
    objects: list[store.Object] = []
    text = 0
    for listed in bucket.list(prefix.bucket, prefix.key):
        objects.append(listed)
        text += len(listed.key) + len(listed.etag)
        if text > _TEXT:
            excess = f"lists more than {_TEXT >> 20} MiB of keys below {str(prefix)!a}: pack the files, or shorten their names"
            raise errors.beyond(bucket.address, prefix.bucket, excess)
        if len(objects) >= most:
            break
    return objects


def _objects(walk: _Walk) -> Sequence[store.Object]:
    return (walk.done.result() if walk.done.done() and not walk.done.exception() else None) or ()


def _key(listed: store.Object) -> str:
    return listed.key
