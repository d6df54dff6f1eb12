"""Where objects are: a bucket and a key, how its store is reached, and what may lie below what."""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import Final

from modelyard.api.reason import Reason
from modelyard.content import manifest

_URI: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.*)", re.DOTALL)


@dataclasses.dataclass(frozen=True, slots=True)
class Credentials:
    """What a Secret holds; never printed."""

    access_key: str = dataclasses.field(repr=False)
    secret_key: str = dataclasses.field(repr=False)
    session_token: str | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """An object store and who asks it; equal ones share connections."""

    endpoint: str | None = None
    """`http://host:port` or `https://host`; None is AWS S3."""
    region: str | None = None
    """None is us-east-1."""
    credentials: Credentials | None = None
    """None is anonymous."""
    ca_pem: str | None = dataclasses.field(default=None, repr=False)
    """PEM certificates to trust instead of the well-known ones."""

    def __str__(self) -> str:
        """The endpoint as a person would name it, without anything secret."""
        return (self.endpoint or f"AWS S3 ({self.region or 'us-east-1'})").rpartition("@")[2]


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A bucket and a key; a key that is empty or ends in `/` is a prefix."""

    bucket: str
    key: str

    @property
    def is_prefix(self) -> bool:
        """Many objects, not one."""
        return not self.key or self.key.endswith("/")

    @property
    def name(self) -> str:
        """The last segment of the key."""
        return self.key.rpartition("/")[2]

    def __str__(self) -> str:
        """The URI."""
        return f"s3://{self.bucket}/{self.key}"


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """What is there can never be an artifact, or may not be looked at; a person must act."""

    reason: Reason
    message: str


@functools.lru_cache(1024)  # asked several times a look, and of a Model's storage at every look at each of its versions
def place(uri: str) -> Place | None:
    """The bucket and key of `s3://bucket/key`; None when it is no such URI or its path could be read in two ways."""
    match = _URI.fullmatch(uri)
    if match is None:
        return None
    found = Place(match[1], match[2])
    path = found.key.removesuffix("/")
    return None if (path or found.key) and manifest.refuse([path]) else found


def inside(uri: str, below: str) -> bool:
    """Whether a URI is strictly below the Model's `storage.uri`: `s3://models/fraud-evil/x` is not below `s3://models/fraud/`."""
    inner, outer = place(uri), place(below)
    if inner is None or outer is None or inner.bucket != outer.bucket:
        return False
    root = outer.key if outer.is_prefix else f"{outer.key}/"
    return inner.key.startswith(root) and inner.key != root


def prefix(where: Place) -> Place:
    """The folder that a URI names, also where its slash was left out."""
    return where if where.is_prefix else Place(where.bucket, f"{where.key}/")


def overlap(one: str, other: str) -> bool:
    """Whether one of two folders is the other, or is in it; in the same bucket by its name, as an endpoint may have any number of names."""
    first, second = place(one), place(other)
    if first is None or second is None or first.bucket != second.bucket:
        return False
    first, second = prefix(first), prefix(second)
    return first.key.startswith(second.key) or second.key.startswith(first.key)


def own(storage: str, bucket: str) -> Refused | None:
    """What is wrong with a Model's `storage.uri` that touches the operator's own bucket."""
    if not overlap(storage, bucket):
        return None
    message = f"spec.storage.uri {ascii(storage)[1:-1]} is in the operator's own {bucket}, or has it in it, and nothing is read there: name another bucket or folder"
    return Refused(Reason.PATH_NOT_ALLOWED, message)


def scope(uri: str, below: str) -> tuple[Place, Place] | Refused:
    """Where an artifact or document is, and the prefix that all of the Model's are below; or that it is not `inside`."""
    where, root = place(uri), place(below)
    if where and root and inside(uri, below):
        return where, prefix(root)
    message = (
        f"{ascii(uri)[1:-1]} is not below the Model's spec.storage.uri {ascii(below)[1:-1]}: move it there, or register a version that is"
    )
    return Refused(Reason.PATH_NOT_ALLOWED, message)
