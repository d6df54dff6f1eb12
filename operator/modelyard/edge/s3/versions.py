"""Parse listings of objects and of their versions leniently: stores write times differently, and some leave elements out."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Final
from urllib import parse
from xml.etree import ElementTree

LONGEST: Final = 1024
"""The most bytes of a key in S3; no etag or version id is longer either."""
_TOKEN: Final = 8192
"""The most characters of a continuation token."""
_ROOTS: Final = frozenset({"ListVersionsResult", "ListBucketVersionsResult"})


@dataclasses.dataclass(frozen=True, slots=True)
class Version:
    """One version of an object, or a delete marker."""

    key: str
    version_id: str | None
    """None where the bucket keeps no versions."""
    latest: bool
    deleted: bool
    size: int = 0
    etag: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing of objects."""

    objects: Sequence[tuple[str, int, str]]
    """Key, size in bytes, and etag without quotes."""
    folders: Sequence[str]
    """Common prefixes, each ending in the delimiter."""
    more: str
    """The continuation token of the next page; empty after the last."""


def read_page(document: bytes) -> Page:
    """Parse a page of a listing (ListObjectsV2).

    Raises:
        ValueError, ElementTree.ParseError: it is something else, or has keys or sizes that cannot be.
    """
    root = ElementTree.fromstring(document)  # noqa: S314  as the SDK does; `bounded` has looked at it before
    if _name(root) != "ListBucketResult":
        raise ValueError(f"not a listing: {_name(root)}")
    coded = _text(root, "EncodingType") == "url"
    objects = [_object(entry, coded) for entry in root if _name(entry) == "Contents"]
    folders = [_key(_text(entry, "Prefix"), coded) for entry in root if _name(entry) == "CommonPrefixes"]
    for name in [*folders, *(key for key, _, _ in objects)]:
        if len(name.encode()) > LONGEST or not name:
            raise ValueError("a key that no object can have")
    if _text(root, "IsTruncated").lower() != "true":
        return Page(objects, folders, "")
    # Some stores leave the token out, and go on after the last key.
    more = _text(root, "NextContinuationToken") or (objects[-1][0] if objects else "")
    if not more or len(more) > _TOKEN:
        raise ValueError("a listing that goes on without saying where")
    return Page(objects, folders, more)


def read(document: bytes) -> tuple[list[Version], Mapping[str, str] | None]:
    """Parse the versions on one page, and the query of the next page; None after the last.

    Raises:
        ValueError, ElementTree.ParseError: it is something else.
    """
    root = ElementTree.fromstring(document)  # noqa: S314  as the SDK does; expat has no external entities
    if _name(root) not in _ROOTS:
        raise ValueError(f"not a listing of versions: {_name(root)}")
    coded = _text(root, "EncodingType") == "url"
    versions = [_version(element, coded) for element in root if _name(element) in {"Version", "DeleteMarker"}]
    if _text(root, "IsTruncated") != "true":
        return versions, None
    marker = {"key-marker": _key(_text(root, "NextKeyMarker"), coded), "version-id-marker": _text(root, "NextVersionIdMarker")}
    if not marker["key-marker"]:
        raise ValueError("a listing that goes on without saying where")
    return versions, {name: value for name, value in marker.items() if value}


def read_retention(document: bytes) -> tuple[str, datetime.datetime] | None:
    """Parse the mode and end of an object's retention; None when it has none.

    Raises:
        ValueError, ElementTree.ParseError: it is something else.
    """
    root = ElementTree.fromstring(document)  # noqa: S314  as above
    mode, until = _text(root, "Mode"), _text(root, "RetainUntilDate")
    return (mode, datetime.datetime.fromisoformat(until)) if mode and until else None


def _version(element: ElementTree.Element, coded: bool) -> Version:
    name = _text(element, "VersionId")
    return Version(
        _key(_text(element, "Key"), coded),
        None if name in {"", "null"} else name,
        _text(element, "IsLatest") == "true",
        _name(element) == "DeleteMarker",
        int(_text(element, "Size") or 0),
        _text(element, "ETag").strip('"'),
    )


def _object(entry: ElementTree.Element, coded: bool) -> tuple[str, int, str]:
    size, etag = _text(entry, "Size") or "0", _text(entry, "ETag").strip('"')
    if not (size.isascii() and size.isdecimal() and len(size) <= 18) or len(etag) > LONGEST:
        raise ValueError("a size or an etag that no object can have")
    return _key(_text(entry, "Key"), coded), int(size), etag


def _key(text: str, coded: bool) -> str:
    return parse.unquote_plus(text) if coded else text


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(element: ElementTree.Element, name: str) -> str:
    return next((child.text or "" for child in element if _name(child) == name), "")
