"""Where objects are: bucket and key, how the store is reached, and which URI is below which."""

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
    """The content of a Secret; it is never printed."""

    access_key: str = dataclasses.field(repr=False)
    secret_key: str = dataclasses.field(repr=False)
    session_token: str | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """An object store and the credentials for it; equal addresses share connections."""

    endpoint: str | None = None
    """`http://host:port` or `https://host`; None is AWS S3."""
    region: str | None = None
    """None is us-east-1."""
    credentials: Credentials | None = None
    """None is anonymous."""
    ca_pem: str | None = dataclasses.field(default=None, repr=False)
    """PEM certificates to trust instead of the well-known ones."""

    def __str__(self) -> str:
        """The endpoint for people, without anything secret."""
        return (self.endpoint or f"AWS S3 ({self.region or 'us-east-1'})").rpartition("@")[2]


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A bucket and a key; an empty key, or one that ends in `/`, is a prefix."""

    bucket: str
    key: str

    @property
    def is_prefix(self) -> bool:
        """Whether it is many objects, not one."""
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
    """The objects can never be an artifact, or may not be read; a person must act."""

    reason: Reason
    message: str


@functools.lru_cache(1024)  # called several times in a reconcile, and for the Model's storage in every reconcile of each of its versions
def place(uri: str) -> Place | None:
    """The bucket and key of `s3://bucket/key`; None when it is no such URI or its path is ambiguous."""
    match = _URI.fullmatch(uri)
    if match is None:
        return None
    parsed = Place(match[1], match[2])
    path = parsed.key.removesuffix("/")
    return None if (path or parsed.key) and manifest.refuse([path]) else parsed


def is_inside(uri: str, below: str) -> bool:
    """Whether a URI is strictly below the Model's `storage.uri`: `s3://models/fraud-evil/x` is not below `s3://models/fraud/`."""
    inner, outer = place(uri), place(below)
    if inner is None or outer is None or inner.bucket != outer.bucket:
        return False
    root = outer.key if outer.is_prefix else f"{outer.key}/"
    return inner.key.startswith(root) and inner.key != root


def prefix(location: Place) -> Place:
    """The folder that a URI names, with or without its final slash."""
    return location if location.is_prefix else Place(location.bucket, f"{location.key}/")


def overlap(uri: str, other: str) -> bool:
    """Whether two folders are the same, or one is in the other. Buckets are compared by name alone, as an endpoint may have any number of names."""
    first, second = place(uri), place(other)
    if first is None or second is None or first.bucket != second.bucket:
        return False
    first, second = prefix(first), prefix(second)
    return first.key.startswith(second.key) or second.key.startswith(first.key)


def refuse_operator_bucket(storage: str, bucket: str) -> Refused | None:
    """The refusal of a Model's `storage.uri` that overlaps the operator's bucket; None when it does not."""
    if not overlap(storage, bucket):
        return None
    message = f"spec.storage.uri {ascii(storage)[1:-1]} is in the operator's own {bucket}, or has it in it, and nothing is read there: name another bucket or folder"
    return Refused(Reason.PATH_NOT_ALLOWED, message)


def locate(uri: str, below: str) -> tuple[Place, Place] | Refused:
    """The location of an artifact or document, and the prefix of the Model's storage; a refusal when it is not `inside`."""
    location, root = place(uri), place(below)
    if location and root and is_inside(uri, below):
        return location, prefix(root)
    message = (
        f"{ascii(uri)[1:-1]} is not below the Model's spec.storage.uri {ascii(below)[1:-1]}: move it there, or register a version that is"
    )
    return Refused(Reason.PATH_NOT_ALLOWED, message)
