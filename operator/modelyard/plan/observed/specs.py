"""What people wrote: snapshots of specs, who wrote which generation, and what differs between two of them."""

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


def recovered(subject: T, uid: str | None, spec: str | None, generation: int) -> T:
    """The object as the ledger has it recorded, where its status was lost or lags behind: what was told once is not told again.

    Args:
        subject: as it is.
        uid: of the object that the ledger has under this name.
        spec: snapshot of that one's spec as it was last.
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
    """The object as a fact names it."""
    of = subject.metadata
    return record.Subject(subject.kind, of.name, of.uid, of.generation)


def authors(subject: meta.Resource) -> dict[int, str]:
    """Who wrote which generation, as far as the annotation says."""
    return access.changes.read(subject.metadata.annotations.get(access.CHANGES) or "")


@dataclasses.dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """The spec of one generation, and who wrote it since the generation before that is recorded or was observed."""

    after: T
    since: int
    """The generation before; 0: this is the first that is known of the object."""
    signed: Mapping[int, str]
    """Who wrote which generation, as far as that is known."""
    stamped: bool
    """The API server itself keeps the annotation."""

    @property
    def spec(self) -> str:
        """The name of the snapshot."""
        return digest.named(snapshot(self.after))

    @property
    def creator(self) -> record.Actor:
        """Who wrote the first generation."""
        return self._actor(self.signed.get(1))

    @property
    def actor(self) -> record.Actor:
        """Who made the change; nobody knows where somebody else wrote in between."""
        names: list[str | None] = self._authors(self.since)
        return self._actor(names[0]) if len({*names}) == 1 else record.NOBODY_KNOWS

    @property
    def doubt(self) -> dict[str, Any]:
        """What a ledger entry says of those who may have made the change, where the actor is not known."""
        return {} if len({*self._authors(self.since)}) == 1 else self.candidates

    @property
    def candidates(self) -> dict[str, Any]:
        """Those who wrote since the generation before; one of them made the change, if it is one."""
        names: list[str | None] = self._authors(self.since)
        known = list(dict.fromkeys(name for name in names if name))
        return ({"authors": known} if known else {}) | ({"unsigned": names.count(None)} if known and None in names else {})

    @property
    def others(self) -> list[str | None]:
        """Who but the creator wrote before the object was first recorded; None stands for whoever is not known."""
        return [author for author in dict.fromkeys(self._authors(1)) if author != self.signed.get(1)] if self.since == 0 else []

    def _authors(self, since: int) -> list[str | None]:
        """The author of each generation after one; of more than the annotation can name, only those that it names and nobody once."""
        generations: range = range(since + 1, self.after.metadata.generation + 1)
        if len(generations) > access.cel.MOST_CHANGES:
            return [*(self.signed[number] for number in sorted(self.signed) if number in generations), None]
        return [self.signed.get(number) for number in generations]

    def _actor(self, name: str | None) -> record.Actor:
        if name is None:
            return record.NOBODY_KNOWS
        return record.Actor(name, record.Known.AUTHENTICATED if self.stamped else record.Known.DECLARED)


def changes(subject: T, earlier: Sequence[T] = (), *, stamped: bool = True) -> list[Change[T]]:
    """What has changed since the recorded generation: a change for each generation that was observed, the oldest first."""
    since, newest = recorded_generation(subject), subject.metadata
    observed: dict[int, T] = {
        one.metadata.generation: one for one in earlier if one.metadata.uid == newest.uid and one.metadata.generation < newest.generation
    }
    signed: dict[int, str] = {}
    for one in observed.values():
        signed |= authors(one)
    signed |= authors(subject)
    found: list[Change[T]] = []
    for generation, one in sorted({**observed, newest.generation: subject}.items()):
        if generation > since:
            found.append(Change(one, since, signed, stamped))
            since = generation
    return found


def baseline(subject: T, earlier: Sequence[T]) -> dict[str, Any] | None:
    """The recorded spec, where the object was observed with it."""
    recorded = subject.status.recorded
    for one in earlier:
        same = recorded and one.metadata.uid == subject.metadata.uid and one.metadata.generation == recorded.generation
        if recorded and same and digest.named(snapshot(one)) == recorded.spec:
            return one.spec.dump()
    return None


def recorded_generation(subject: api.Model | api.ModelVersion | api.Promotion) -> int:
    """The newest generation that the ledger has; 0: none."""
    return subject.status.recorded.generation if subject.status.recorded else 0


_FREE: Final[Mapping[str, Mapping[str, bool]]] = {
    "Model": {"description": True, "intendedUse": True, "lifecycleReason": False, "tags": False},
    "ModelVersion": {"description": False, "lifecycleReason": False, "tags": False},
    "Promotion": {},
}
"""Fields that nothing is decided on; with True where it matters whether they are empty, as documentation must be complete."""


def decides_alike(before: meta.Resource, after: meta.Resource) -> bool:
    """Whether whatever was decided on an object as it was would be decided on it as it is: only what is free text has changed."""
    if not isinstance(before, _OURS) or not isinstance(after, _OURS):
        return False
    return _grounds(before) == _grounds(after)


_OURS: Final = (api.Model, api.ModelVersion, api.Promotion)


def _grounds(subject: api.Model | api.ModelVersion | api.Promotion) -> tuple[object, ...]:
    about, free = subject.metadata, _FREE[subject.kind]
    spec = {field: value for field, value in subject.spec.dump().items() if field not in free}
    there = [field for field, matters in free.items() if matters and subject.spec.dump().get(field)]
    status = subject.status.model_copy(update={"recorded": None})
    left = access.cel.LEAVE in about.annotations
    return subject.kind, about.uid, about.deletion_timestamp, about.labels, left, spec, there, status


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
