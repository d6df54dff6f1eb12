"""What people wrote: snapshots of specs, who wrote which generation, and what differs between two of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from modelyard import api
from modelyard.api import access, meta
from modelyard.plan import digest, jsontext, ledger

T = TypeVar("T", api.Model, api.ModelVersion, api.Promotion)


def snapshot(subject: api.Model | api.ModelVersion | api.Promotion) -> bytes:
    """The whole spec, as the ledger keeps it; its sha256 names it."""
    return digest.canonical(subject.spec.dump())


def read(kind: str, name: str, data: bytes) -> dict[str, Any]:
    """The spec that a snapshot of a Model or ModelVersion holds, as this release writes it.

    Raises:
        ValueError: it is none.
    """
    whole = api.Model if kind == "Model" else api.ModelVersion
    spec: dict[str, Any] = whole.model_validate({"metadata": {"name": name}, "spec": jsontext.loads(data)}).spec.dump()
    return spec


def spec_digest(version: api.ModelVersion) -> str:
    """sha256 of the canonical JSON (RFC 8785) of the part of a version's spec that can never change."""
    return digest.of_json(version.immutable())


def is_new(subject: api.Model | api.ModelVersion | api.Promotion) -> bool:
    """Whether the ledger does not have this generation yet."""
    known = subject.status.recorded
    return known is None or known.generation < subject.metadata.generation


def recorded(subject: api.Model | api.ModelVersion | api.Promotion) -> meta.Recorded:
    """What the status says once this generation is in the ledger; a generation is one spec, so what it says already is not made anew."""
    if subject.status.recorded and subject.status.recorded.generation == subject.metadata.generation:
        return subject.status.recorded
    return meta.Recorded(generation=subject.metadata.generation, spec=digest.named(snapshot(subject)))


def recovered(subject: T, uid: str | None, spec: str | None) -> T:
    """The object as the ledger has it recorded, where its status was lost: what was told once is not told again, however long ago.

    Args:
        subject: as it is.
        uid: of the object that the ledger has under this name.
        spec: snapshot of that one's spec as it was last.
    """
    if subject.status.recorded or not spec or uid != subject.metadata.uid:
        return subject
    same = digest.named(snapshot(subject)) == spec
    known = meta.Recorded(generation=subject.metadata.generation - (not same), spec=spec)
    return subject.model_copy(update={"status": subject.status.model_copy(update={"recorded": known})})


def about(subject: meta.Resource) -> ledger.Subject:
    """The object as a fact names it."""
    of = subject.metadata
    return ledger.Subject(subject.kind, of.name, of.uid, of.generation)


def authors(subject: meta.Resource) -> dict[int, str]:
    """Who wrote which generation, as far as the annotation says."""
    return access.changes.read(subject.metadata.annotations.get(access.CHANGES) or "")


def author(subject: meta.Resource, generation: int | None = None, *, stamped: bool = True) -> ledger.Actor:
    """Who wrote a generation, by default the newest; nobody knows where nothing says so."""
    name = authors(subject).get(generation or subject.metadata.generation)
    if name is None:
        return ledger.NOBODY_KNOWS
    return ledger.Actor(name, ledger.Known.AUTHENTICATED if stamped else ledger.Known.DECLARED)


def others(subject: meta.Resource, since: int) -> list[str]:
    """Who else wrote between the recorded generation and the newest."""
    newest = subject.metadata.generation
    return [name for generation, name in sorted(authors(subject).items()) if since < generation < newest]


def changed(before: Any, after: Any, path: str = "", depth: int = 4) -> Iterator[str]:
    """Paths at which two specs differ, lists of named entries by name: `stages/production/gates/metrics/auc`."""
    if before == after:
        return
    old, new = by_name(before), by_name(after)
    if old is None or new is None or depth == 0:
        yield path or "/"
        return
    for key in sorted({*old, *new}):
        yield from changed(old.get(key), new.get(key), f"{path}/{key}".lstrip("/"), depth - 1)


def by_name(value: Any) -> Mapping[str, Any] | None:
    """A mapping, or a list of what has names, by name; None: something else."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list) and value and all(isinstance(one, Mapping) and "name" in one for one in value):
        return {str(one["name"]): one for one in value}
    return None
