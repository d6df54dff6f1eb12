"""Sources of a ledger: the operator's own bucket, or a folder that was exported from it. Synchronous and read-only."""

from __future__ import annotations

import collections
import contextlib
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Protocol

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.content import location
from modelyard.edge import local_files
from modelyard.edge.bucket import blobs, ownership
from modelyard.edge.s3 import store, versions
from modelyard.ledger import anchors, integrity, record, signature

_DEPTH: Final = 8
"""The most folders in a key; our own keys have at most five."""


class Versioned(store.Objects, Protocol):
    """A store that also lists old versions."""

    def versions(self, bucket: str, prefix: str = "") -> Iterator[versions.Version]:
        """List every version and delete marker below a prefix."""


class Source(Protocol):
    """A place of a ledger: keys begin with `ledger/` or `blobs/`."""

    def found(self, prefix: str) -> Mapping[str, int]:
        """Return every key with the prefix, and the number of its versions and delete markers."""

    def get(self, key: str) -> bytes | None:
        """Return the object; None when there is none."""

    def listed(self, chain: record.Chain, number: int) -> list[int]:
        """Return numbers of a chain, from this number on, that have or had an object: some of the next hundred, as far as they may be listed."""

    @property
    def versioned(self) -> bool:
        """Whether `found` counts old versions."""

    def anchors(self) -> Mapping[record.Chain, integrity.Anchor]:
        """Return the anchors that are noted beside the ledger."""

    def public(self) -> bytes | None:
        """Return the public keys that are noted beside the ledger, as PEM."""

    def signers(self, registry: str) -> list[signature.Key]:
        """Return the public keys in the registry itself. Whoever can write records can add one, so they show who signed what, and nothing more."""


class Bucket:
    """The operator's own bucket."""

    def __init__(self, bucket: Versioned, where: location.Place) -> None:
        self._store = bucket
        self._where = where
        self.versioned = True

    def found(self, prefix: str) -> Mapping[str, int]:
        """Return every key; where old versions may not be listed, only current objects, and `versioned` becomes False."""
        cut = len(self._where.key)
        below = self._where.key + prefix
        try:
            return collections.Counter(listed.key[cut:] for listed in self._store.versions(self._where.bucket, below))
        except edge.Unavailable as error:
            if error.reason != Reason.STORE_FORBIDDEN:
                raise blobs.own_bucket_error(error) from None
        self.versioned = False
        return {listed.key[cut:]: 1 for listed in self._store.list(self._where.bucket, below)}

    def get(self, key: str) -> bytes | None:
        """Return the current object."""
        try:
            return self._store.get(self._where.bucket, self._where.key + key)
        except edge.Unavailable as error:
            raise blobs.own_bucket_error(error) from None

    def listed(self, chain: record.Chain, number: int) -> list[int]:
        """Return the numbers that the store lists."""
        hundreds = dict.fromkeys(chain.key(sequence).removesuffix(".json")[:-2] for sequence in (number, number + 1))
        try:
            return [sequence for hundred in hundreds for key in self.found(hundred) if (sequence := chain.sequence(key)) is not None]
        except edge.Unavailable as error:
            if error.reason != Reason.STORE_FORBIDDEN:
                raise
        return []

    def anchors(self) -> Mapping[record.Chain, integrity.Anchor]:
        """Return none: an anchor inside the bucket proves nothing about the bucket."""
        return {}

    def public(self) -> bytes | None:
        """Return none, for the same reason."""
        return None

    def signers(self, registry: str) -> list[signature.Key]:
        """Those that operators published."""
        prefix, cut = ownership.public_keys(registry), len(self._where.key)
        try:
            keys = [listed.key[cut:] for listed in self._store.list(self._where.bucket, self._where.key + prefix)]
        except edge.Unavailable as error:
            if error.reason != Reason.STORE_FORBIDDEN:
                raise blobs.own_bucket_error(error) from None
            return []
        return _keys(self.get(key) for key in keys)


class Folder:
    """What `export` wrote."""

    versioned = False

    def __init__(self, root: pathlib.Path) -> None:
        self._root = root

    def found(self, prefix: str) -> Mapping[str, int]:
        """Return every file."""
        above = prefix.rpartition("/")[0]
        return {key: 1 for key in sorted(self._below(above)) if key.startswith(prefix)}

    def get(self, key: str) -> bytes | None:
        """Return the file; OSError when it is no file, or cannot be read."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return local_files.read(self._root / key) if ".." not in key.split("/") else None
        return None

    def _below(self, folder: str) -> Iterator[str]:
        """Yield every file below a folder, as deep as keys go: a folder that is a symbolic link is not entered."""
        todo = [folder]
        while todo:
            below = todo.pop()
            with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(self._root / below) as entries:
                for entry in entries:
                    key = f"{below}/{entry.name}".lstrip("/")
                    if entry.is_dir(follow_symlinks=False):
                        todo += [key] if key.count("/") < _DEPTH else []
                    elif not entry.is_dir():  # an entry that is no regular file either is reported when it is read
                        yield key

    def listed(self, chain: record.Chain, number: int) -> list[int]:
        """Return the numbers that have a file."""
        return [sequence for sequence in range(number, number + 100) if (self._root / chain.key(sequence)).is_file()]

    def anchors(self) -> Mapping[record.Chain, integrity.Anchor]:
        """Read `anchors.json`; ValueError when it is something else."""
        data = self.get(anchors.KEY)
        return anchors.read(data.decode("utf-8", "replace"), anchors.KEY) if data is not None else {}

    def public(self) -> bytes | None:
        """Read `public.pem`."""
        return self.get(anchors.PUBLIC)

    def signers(self, registry: str) -> list[signature.Key]:
        """Those that operators published."""
        return _keys(self.get(key) for key in self.found(ownership.public_keys(registry)))


def _keys(pems: Iterable[bytes | None]) -> list[signature.Key]:
    """Return the keys that can be read."""
    keys = []
    for pem in pems:
        with contextlib.suppress(ValueError):
            keys += signature.read_public(pem or b"")
    return keys
