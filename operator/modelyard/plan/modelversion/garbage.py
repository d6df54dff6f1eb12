"""Garbage: object versions that only Retired versions refer to. What anything else refers to, or may refer to, is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from modelyard import api
from modelyard.api import modelversion
from modelyard.api.modelversion import VersionLifecycle, VersionPhase
from modelyard.content import location, manifest
from modelyard.ledger import index


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    """A version, and the objects that it refers to."""

    version: str
    uid: str
    uri: str
    retired: bool
    """Retired for good: nothing runs it, and nothing ever will."""
    files: tuple[manifest.File, ...] | None = None
    """The files as they were verified; None while they are not known: then everything below its URI may belong to it."""
    evidence: tuple[str, ...] = ()
    """URIs of documents, which are the record of the version and outlive its bytes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Object:
    """One object version that can be deleted; in a bucket without versions it has no id, and is the object as it was verified."""

    key: str
    version_id: str | None
    size: int
    etag: str
    holders: tuple[str, ...]
    """The Retired versions that refer to it."""


def find(holders: Sequence[Holder], foreign: Iterable[str] = ()) -> tuple[Object, ...]:
    """Return the object versions that only Retired versions refer to, by key.

    Args:
        holders: every version of the model, in the cluster or in the ledger.
        foreign: URIs that anything else refers to; nothing below them is touched.
    """
    used = [holder for holder in holders if not holder.retired]
    exact = {(key, file.version_id) for holder in used for key, file in _files(holder)}
    keys = {key for key, _ in exact}
    guarded = [location.place(uri) for holder in holders for uri in holder.evidence]
    guarded += [location.place(holder.uri) for holder in used if holder.files is None]
    guarded += [location.place(uri) for uri in foreign]
    objects: dict[tuple[str, str | None], Object] = {}
    for holder in holders:
        bucket = getattr(location.place(holder.uri), "bucket", None)
        for key, file in _files(holder) if holder.retired else ():
            name = (key, file.version_id)
            if name in exact or (key in keys and (file.version_id is None or (key, None) in exact)):
                continue
            if any(place and place.bucket == bucket and _below(key, place) for place in guarded):
                continue
            before = objects[name].holders if name in objects else ()
            objects[name] = Object(key, file.version_id, file.size, file.etag, (*before, holder.version))
    return tuple(objects[name] for name in sorted(objects, key=lambda name: (name[0], name[1] or "")))


def of_object(version: api.ModelVersion, files: tuple[manifest.File, ...] | None) -> Holder:
    """Return the holder for a version in the cluster."""
    spec = version.spec
    retired = spec.lifecycle == VersionLifecycle.RETIRED and version.status.phase == VersionPhase.RETIRED
    evidence = tuple(document.uri for document in spec.evidence or [])
    return Holder(spec.version, version.metadata.uid, spec.artifact.uri, retired and not version.status.stages, files, evidence)


def of_record(name: str, record: index.Version, spec: modelversion.ModelVersionSpec, files: tuple[manifest.File, ...] | None) -> Holder:
    """Return the holder for a version that is only in the ledger: Retired and deleted; or else lost, and then it counts as if it were there."""
    evidence = tuple(document.uri for document in spec.evidence or [])
    return Holder(name, record.uid, spec.artifact.uri, record.deleted and record.lifecycle == VersionLifecycle.RETIRED, files, evidence)


def _files(holder: Holder) -> Iterable[tuple[str, manifest.File]]:
    place = location.place(holder.uri)
    if place is None:
        return ()
    return [(f"{place.key}{file.path}" if place.is_prefix else place.key, file) for file in holder.files or ()]


def _below(key: str, place: location.Place) -> bool:
    return key.startswith(place.key) if place.is_prefix else key == place.key
