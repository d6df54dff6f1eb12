"""A Model's bucket, seen from this machine: read objects and add objects; nothing is ever overwritten."""

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
"""Bytes up to which one request writes a file; the store refuses that request if the key exists."""


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """A file to store at a key, and its sha256 in hex."""

    key: str
    file: Local
    sha256: str


class Uploads:
    """One bucket. Methods may raise edge.Unavailable, and exits.Stop where the answer is no."""

    def __init__(self, source: store.Store, bucket: str) -> None:
        self._store = source
        self._bucket = bucket

    def read(self, objects: Sequence[store.Object]) -> dict[str, str]:
        """Read every byte of each object; return the sha256 in hex by key."""
        if not objects:
            return {}
        with progress.shown("Reading", sum(obj.size for obj in objects)) as reading:
            return dict(reading.each(lambda obj: (obj.key, self._hash(obj, reading)), sorted(objects, key=lambda obj: -obj.size)))

    def below(self, prefix: str) -> list[store.Object]:
        """List the objects below a prefix, without empty folder markers, up to the maximum of an artifact.

        Raises:
            exits.Stop: there is more.
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
        """Return an object's metadata, or None."""
        return self._store.head(self._bucket, key)

    def missing(self, items: Sequence[Item], stored: Mapping[str, store.Object]) -> list[Item]:
        """Return the items that are not stored yet; read and verify those that are.

        Raises:
            exits.Stop: a stored object has other bytes.
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
        """Store each item at a key that does not exist.

        Raises:
            exits.Stop: the key was taken meanwhile, or a file has changed since it was hashed.
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
                # Some stores refuse a create-only write at the key of a deleted object; this overwrites nothing.
                self._store.put(self._bucket, item.key, data)
        uploading.advance(item.file.size)

    def _same(self, item: Item, existing: store.Object) -> None:
        """Accept an object that somebody else has just stored, if its bytes are the same."""
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
