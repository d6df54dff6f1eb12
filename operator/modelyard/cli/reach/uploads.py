"""A Model's place in the object store, seen from this machine: what is there, adding to it, and never writing over anything."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from modelyard.cli.reach.local_files import Local, unchanged
from modelyard.cli.terminal import exits, output, progress
from modelyard.content import manifest
from modelyard.edge import local_files
from modelyard.edge.s3 import store

_SMALL: Final = 16 << 20
"""Bytes up to which a file is written in one request, which the store itself refuses when something is there."""


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """A file that has to be at a key, and its sha256 in hex."""

    key: str
    file: Local
    sha256: str


class Shelf:
    """One bucket. Methods may raise edge.Unavailable, and outcome.Stop where the answer is no."""

    def __init__(self, source: store.Store, bucket: str) -> None:
        self._store = source
        self._bucket = bucket

    def read(self, objects: Sequence[store.Object]) -> dict[str, str]:
        """The sha256 in hex of each object, by key; every byte is read."""
        if not objects:
            return {}
        with progress.shown("Reading", sum(obj.size for obj in objects)) as reading:
            return dict(reading.each(lambda obj: (obj.key, self._hash(obj, reading)), sorted(objects, key=lambda obj: -obj.size)))

    def below(self, prefix: str) -> list[store.Object]:
        """What is stored below a prefix, without the empty objects that stand for folders; never many more than an artifact may have.

        Raises:
            outcome.Stop: there is more.
        """
        objects = []
        for obj in self._store.list(self._bucket, prefix):
            if obj.size or not obj.key.endswith("/"):
                objects.append(obj)
            if len(objects) > manifest.MAX_FILES:
                raise exits.Stop(
                    exits.Code.NO, f"s3://{self._bucket}/{prefix} has more than {manifest.MAX_FILES:,} objects: name a folder below it"
                )
        return objects

    def head(self, key: str) -> store.Object | None:
        """What is stored of an object."""
        return self._store.head(self._bucket, key)

    def missing(self, items: Sequence[Item], stored: Mapping[str, store.Object]) -> list[Item]:
        """The items that are not stored yet; those that are have been read and proven.

        Raises:
            outcome.Stop: an object that is there has other bytes.
        """
        present = [item for item in items if item.key in stored]
        for item in present:
            if stored[item.key].size != item.file.size:
                raise self._taken(item, f"with {output.size(stored[item.key].size)} instead of {output.size(item.file.size)}")
        read = self.read([stored[item.key] for item in present])
        for item in present:
            if read[item.key] != item.sha256:
                raise self._taken(item, "with other bytes of the same number")
        return [item for item in items if item.key not in stored]

    def add(self, items: Sequence[Item]) -> None:
        """Store each item where nothing is.

        Raises:
            outcome.Stop: meanwhile something else is there, or a file has changed since it was hashed.
        """
        with progress.shown("Uploading", sum(item.file.size for item in items)) as uploading:
            uploading.each(lambda item: self._add(item, uploading), sorted(items, key=lambda item: -item.file.size))

    def _add(self, item: Item, uploading: progress.Work) -> None:
        uploading.advance(0)
        if item.file.size > _SMALL:
            if existing := self.head(item.key):
                self._same(item, existing)
                return
            self._store.upload(self._bucket, item.key, item.file.source, uploading.advance)
            unchanged(item.file)
            return
        try:
            data = local_files.read(item.file.source, _SMALL)
        except OSError as error:
            raise exits.unreadable(error, item.file.source) from error
        if hashlib.sha256(data).hexdigest() != item.sha256:
            raise exits.Stop(
                exits.Code.NO, f"{item.file.source} changed while it was being pushed: wait until it is finished, then push again"
            )
        if not self._store.create(self._bucket, item.key, data):
            if existing := self.head(item.key):
                self._same(item, existing)
            else:
                # Some stores refuse a create-only write where a deleted object was; nothing is written over.
                self._store.put(self._bucket, item.key, data)
        uploading.advance(item.file.size)

    def _same(self, item: Item, existing: store.Object) -> None:
        """Somebody else was faster: fine, if it is the same."""
        if existing.size != item.file.size or self._hash(existing, progress.Work(lambda _: None)) != item.sha256:
            raise self._taken(item, "with other bytes; it was just put there, perhaps by another push")

    def _taken(self, item: Item, difference: str) -> exits.Stop:
        return exits.Stop(
            exits.Code.NO,
            f"s3://{self._bucket}/{item.key} is there already, {difference}: what is stored is never written over.\n"
            f"Push {item.file.source} as another version (evidence: under another name), or, if no version was registered with what is "
            "there, delete it",
        )

    def _hash(self, obj: store.Object, reading: progress.Work) -> str:
        stream = self._store.open(self._bucket, obj.key, etag=obj.etag or None)
        if stream is None:
            raise exits.Stop(exits.Code.NO, f"s3://{self._bucket}/{obj.key} was deleted while it was being read: try again")
        sha256 = hashlib.sha256()
        with stream:
            for chunk in stream:
                sha256.update(chunk)
                reading.advance(len(chunk))
        return sha256.hexdigest()
