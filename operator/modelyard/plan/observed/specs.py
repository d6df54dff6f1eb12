"""Specs that people wrote: their snapshots, who wrote which generation, and what differs between two specs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from modelyard import api
from modelyard.api import access, meta
from modelyard.content import digest, jsontext
from modelyard.ledger import record

T = TypeVar("T", api.Model, api.ModelVersion, api.Promotion)


def snapshot(subject: api.Model | api.ModelVersion | api.Promotion) -> bytes:
    """Return the whole spec, as the ledger stores it; its sha256 names it."""
    return digest.canonical(subject.spec.dump())


def read(kind: str, name: str, data: bytes) -> dict[str, Any]:
    """Return the spec in a snapshot of a Model or ModelVersion, as this release writes it.

    Raises:
        ValueError: the snapshot has no such spec.
    """
    resource_type = api.Model if kind == "Model" else api.ModelVersion
    spec: dict[str, Any] = resource_type.model_validate({"metadata": {"name": name}, "spec": jsontext.loads(data)}).spec.dump()
    return spec


def spec_digest(version: api.ModelVersion) -> str:
    """Return the sha256 of the canonical JSON (RFC 8785) of the part of a version's spec that can never change."""
    return digest.of_json(version.immutable())


def is_new(subject: api.Model | api.ModelVersion | api.Promotion) -> bool:
    """Whether the ledger does not have this generation yet."""
    last = subject.status.recorded
    return last is None or last.generation < subject.metadata.generation


def recorded(subject: api.Model | api.ModelVersion | api.Promotion) -> meta.Recorded:
    """Return `status.recorded` for when this generation is in the ledger. A generation is one spec, so an existing entry is not made anew."""
    if subject.status.recorded and subject.status.recorded.generation == subject.metadata.generation:
        return subject.status.recorded
    return meta.Recorded(generation=subject.metadata.generation, spec=digest.named(snapshot(subject)))


def recovered(subject: T, uid: str | None, spec: str | None, generation: int) -> T:
    """Return the object with the ledger's `status.recorded`, where its status was lost or lags behind, so that nothing is recorded twice.

    Args:
        subject: the present object.
        uid: uid of the object that the ledger has under this name.
        spec: snapshot of that object's last recorded spec.
        generation: its metadata.generation then.
    """
    status, newest = subject.status.recorded, subject.metadata.generation
    if not spec or uid != subject.metadata.uid or (status and status.generation >= min(generation, newest)):
        return subject
    same = digest.named(snapshot(subject)) == spec
    if status is None:
        recorded = meta.Recorded(generation=newest if same else min(generation, newest - 1), spec=spec)
    elif same and generation >= newest:
        recorded = meta.Recorded(generation=newest, spec=spec)
    elif generation < newest:
        recorded = meta.Recorded(generation=generation, spec=spec)
    else:  # an older backup was restored: this spec does not follow from the one that the ledger has
        return subject
    return subject.model_copy(update={"status": subject.status.model_copy(update={"recorded": recorded})})


def about(subject: meta.Resource) -> record.Subject:
    """Return the object as a ledger entry names it."""
    metadata = subject.metadata
    return record.Subject(subject.kind, metadata.name, metadata.uid, metadata.generation)


def authors(subject: meta.Resource) -> dict[int, str]:
    """Return who wrote which generation, as far as the annotation says."""
    return access.changes.read(subject.metadata.annotations.get(access.CHANGES) or "")


@dataclasses.dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """The spec of one generation, and who wrote it since the last earlier generation that was recorded or observed."""

    after: T
    since: int
    """The last earlier generation that was recorded or observed; 0: none was."""
    signed: Mapping[int, str]
    """Who wrote which generation, as far as the annotations say."""
    stamped: bool
    """The API server itself writes the annotation."""

    @property
    def spec(self) -> str:
        """Return the name of the snapshot."""
        return digest.named(snapshot(self.after))

    @property
    def creator(self) -> record.Actor:
        """Return who wrote the first generation."""
        return self._actor(self.signed.get(1))

    @property
    def actor(self) -> record.Actor:
        """Return who made the change; where several people wrote in between, nobody knows."""
        names: list[str | None] = self._authors(self.since)
        return self._actor(names[0]) if len({*names}) == 1 else record.NOBODY_KNOWS

    @property
    def doubt(self) -> dict[str, Any]:
        """Return what a ledger entry says of those who may have made the change, where the actor is not known."""
        return {} if len({*self._authors(self.since)}) == 1 else self.candidates

    @property
    def candidates(self) -> dict[str, Any]:
        """Return those who wrote since the generation before. If something changed, one of them changed it."""
        names: list[str | None] = self._authors(self.since)
        signers = list(dict.fromkeys(name for name in names if name))
        return ({"authors": signers} if signers else {}) | ({"unsigned": names.count(None)} if signers and None in names else {})

    @property
    def others(self) -> list[str | None]:
        """Return who but the creator wrote before the object was first recorded; None is an author who is not known."""
        return [author for author in dict.fromkeys(self._authors(1)) if author != self.signed.get(1)] if self.since == 0 else []

    def _authors(self, since: int) -> list[str | None]:
        """Return the author of each generation after `since`. Of more than the annotation can name: those that it names, and None once."""
        generations: range = range(since + 1, self.after.metadata.generation + 1)
        if len(generations) > access.cel.MOST_CHANGES:
            return [*(self.signed[number] for number in sorted(self.signed) if number in generations), None]
        return [self.signed.get(number) for number in generations]

    def _actor(self, name: str | None) -> record.Actor:
        if name is None:
            return record.NOBODY_KNOWS
        return record.Actor(name, record.Authenticity.AUTHENTICATED if self.stamped else record.Authenticity.DECLARED)


def changes(subject: T, earlier: Sequence[T] = (), *, stamped: bool = True) -> list[Change[T]]:
    """Return a change for each generation that was observed since the recorded generation, the oldest first."""
    since, newest = recorded_generation(subject), subject.metadata
    observed: dict[int, T] = {
        resource.metadata.generation: resource
        for resource in earlier
        if resource.metadata.uid == newest.uid and resource.metadata.generation < newest.generation
    }
    signed: dict[int, str] = {}
    for resource in observed.values():
        signed |= authors(resource)
    signed |= authors(subject)
    result: list[Change[T]] = []
    for generation, resource in sorted({**observed, newest.generation: subject}.items()):
        if generation > since:
            result.append(Change(resource, since, signed, stamped))
            since = generation
    return result


def baseline(subject: T, earlier: Sequence[T]) -> dict[str, Any] | None:
    """Return the recorded spec, where the object was observed with it."""
    recorded = subject.status.recorded
    for resource in earlier:
        same = recorded and resource.metadata.uid == subject.metadata.uid and resource.metadata.generation == recorded.generation
        if recorded and same and digest.named(snapshot(resource)) == recorded.spec:
            return resource.spec.dump()
    return None


def recorded_generation(subject: api.Model | api.ModelVersion | api.Promotion) -> int:
    """Return the newest generation that the ledger has; 0: none."""
    return subject.status.recorded.generation if subject.status.recorded else 0


_FREE: Final[Mapping[str, Mapping[str, bool]]] = {
    "Model": {"description": True, "intendedUse": True, "lifecycleReason": False, "tags": False},
    "ModelVersion": {"description": False, "lifecycleReason": False, "tags": False},
    "Promotion": {},
}
"""Fields that no decision uses; True where it matters whether the field is empty, as documentation must be complete."""


def decides_alike(before: meta.Resource, after: meta.Resource) -> bool:
    """Whether decisions on both states of an object are the same: only free text has changed."""
    if not isinstance(before, _OURS) or not isinstance(after, _OURS):
        return False
    return _grounds(before) == _grounds(after)


_OURS: Final = (api.Model, api.ModelVersion, api.Promotion)


def _grounds(subject: api.Model | api.ModelVersion | api.Promotion) -> tuple[object, ...]:
    metadata, free = subject.metadata, _FREE[subject.kind]
    spec = {field: value for field, value in subject.spec.dump().items() if field not in free}
    filled = [field for field, matters in free.items() if matters and subject.spec.dump().get(field)]
    status = subject.status.model_copy(update={"recorded": None})
    left = access.cel.LEAVE in metadata.annotations
    return subject.kind, metadata.uid, metadata.deletion_timestamp, metadata.labels, left, spec, filled, status


def changed(before: Any, after: Any, path: str = "", depth: int = 4) -> Iterator[str]:
    """Yield the paths at which two specs differ, with lists of named entries by name: `stages/production/gates/metrics/auc`."""
    if before == after:
        return
    old, new = by_name(before), by_name(after)
    if old is None or new is None or depth == 0:
        yield path or "/"
        return
    for key in sorted({*old, *new}):
        yield from changed(old.get(key), new.get(key), f"{path}/{key}".lstrip("/"), depth - 1)


def by_name(value: Any) -> Mapping[str, Any] | None:
    """Return a mapping as it is, a list of named entries by name, and None for anything else."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list) and value and all(isinstance(entry, Mapping) and "name" in entry for entry in value):
        return {str(entry["name"]): entry for entry in value}
    return None
