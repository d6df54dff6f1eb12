"""The index of a chain: all that is asked of the past again and again, folded from the records (`plan.fold`); never more than they say.

It is kept content-addressed beside the chain from time to time (`ledger.Pointer`), so that reading it back means one snapshot and the
few records that came after.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from modelyard.content import canonical

FORMAT: Final = "modelyard.dev/index/v9"
"""Changes with what the folds make of the same records: a snapshot of another format is not believed, but folded anew."""


@dataclasses.dataclass(slots=True)
class Version:
    """What the ledger knows of one name of a version."""

    uid: str
    registered: int
    """Number of the record that says so."""
    registrant: str = ""
    """Who registered what the name means."""
    again: list[str] = dataclasses.field(default_factory=list)
    """Who registered the same under this name once more: an operator that brings back what was lost is one of them."""
    attested: dict[str, str] = dataclasses.field(default_factory=dict)
    """Who added what since: `metrics/auc` and `evidence/vr-17` by name; empty where nobody knows."""
    spec: str = ""
    """Snapshot of the whole spec as it was last."""
    generation: int = 0
    """The object's metadata.generation that had it."""
    spec_digest: str = ""
    """Of the part that never changes."""
    digest: str | None = None
    """Of the bytes, once they were verified: from then on the name can never mean other bytes or other metadata."""
    manifest: str | None = None
    documents: list[str] = dataclasses.field(default_factory=list)
    """Names of the evidence that was found to be what it claims to be, when that was last told."""
    verified: int | None = None
    quarantined: bool = False
    """Its bytes were found changed, and not found right since; whatever its status says meanwhile."""
    deleted: bool = False
    other: str = ""
    """uid of an object that has the name now and means something else: Reused. It changes nothing of what the name means."""
    lifecycle: str = "Active"
    """Retired is final, for every object that the name ever has."""
    retired: list[str] = dataclasses.field(default_factory=list)
    """When, and by whom; empty while it is not."""
    held: str | None = None
    """Manifest of the object versions that are under a legal hold of ours."""
    holds: int = 0
    """How often one was set or lifted."""
    lost: bool = False
    """The cluster lost it and it is being brought back: whoever makes the object anew did not register the version."""
    facts: list[int] = dataclasses.field(default_factory=list)
    """Numbers of the records that tell of it, rising."""


@dataclasses.dataclass(slots=True)
class Promotion:
    """What the ledger knows of one name of a Promotion, which runs once for ever."""

    uid: str
    version: str
    stage: str
    requester: str = ""
    rollback: bool = False
    request_reason: str = ""
    """Its spec.reason; known once `spec` is."""
    spec: str = ""
    """Snapshot of the whole spec as it was requested, or last steered."""
    generation: int = 0
    """The object's metadata.generation that had it."""
    granted: int | None = None
    phase: str | None = None
    """How it ended; None while it has not."""
    succeeded: bool = False
    """It did once, whatever superseded it since."""
    superseded: list[str] = dataclasses.field(default_factory=list)
    """When its stage came to something else after it had Succeeded, and the name and version of the Promotion that brought that: none of
    either where the stage was taken down."""
    reason: str = ""
    message: str = ""
    ended: str | None = None
    deleted: bool = False
    lost: bool = False
    """Not deleted, but lost with what the cluster had: history."""
    approvals: list[list[Any]] = dataclasses.field(default_factory=list)
    """[user, gate, decision, subject, whether it is known to be theirs], the last word of each user and gate."""
    facts: list[int] = dataclasses.field(default_factory=list)

    def was_cut_off(self, uid: str | None) -> bool:
        """Whether it was granted its stage and is gone before it ended: no object has its name now (None), or another one."""
        return self.granted is not None and self.phase is None and not (self.deleted or self.lost) and uid != self.uid

    def keeps_its_name_from(self, uid: str | None) -> bool:
        """Whether another object cannot run under its name: it ended, or was granted its stage."""
        return uid != self.uid and (bool(self.phase) or self.was_cut_off(uid))


@dataclasses.dataclass(slots=True)
class Span:
    """When a version served in a stage, as far as was seen."""

    ended: list[list[str]] = dataclasses.field(default_factory=list)
    """[since, until] of each time that is over."""
    since: str | None = None
    """When the time began that is not."""
    turns: list[int] = dataclasses.field(default_factory=list)
    """Numbers of the records that say that it began, got another share, or ended; rising."""
    missed: int = 0
    """Further changes of its share, whose numbers are not kept."""


@dataclasses.dataclass(slots=True)
class Index:
    """All records of a chain up to `sequence`, folded."""

    sequence: int = 0
    uid: str | None = None
    """Of the Model."""
    spec: str | None = None
    """Snapshot of the Model's spec as it was last."""
    generation: int = 0
    """The Model's metadata.generation that had it."""
    deleted: bool = False
    retired: bool = False
    versions: dict[str, Version] = dataclasses.field(default_factory=dict)
    promotions: dict[str, Promotion] = dataclasses.field(default_factory=dict)
    """By name."""
    serves: dict[str, dict[str, list[Any]]] = dataclasses.field(default_factory=dict)
    """By stage, by version: [weight, digest] of what serves after the last record."""
    served: dict[str, dict[str, Span]] = dataclasses.field(default_factory=dict)
    """By stage, by version."""
    forgotten: list[list[Any]] = dataclasses.field(default_factory=list)
    """[since, until, number of the record]: what was seen then could not be kept until the ledger answered."""
    terms: list[list[Any]] = dataclasses.field(default_factory=list)
    """[began, unobservedSince, time, number of the record] of the last terms; only the chain of the installation has any."""
    templates: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    """By stage: numbers of the records that tell what it runs, and of changes of its `serving`, from the last grant on that Succeeded; rising."""
    succeeded: dict[str, list[list[str]]] = dataclasses.field(default_factory=dict)
    """By stage: [version, since] of those that Succeeded there, each once, the latest last; a rollback takes away what it undid."""
    came_by: dict[str, str] = dataclasses.field(default_factory=dict)
    """By stage: name of the Promotion that Succeeded there last; none once the stage was taken down."""
    recent: list[str] = dataclasses.field(default_factory=list)

    def ever_succeeded(self, stage: str) -> set[str]:
        """The versions that Succeeded in a stage at any time, undone since or not."""
        stood = {version for version, _ in self.succeeded.get(stage, ())}
        return stood | {one.version for one in self.promotions.values() if one.stage == stage and one.succeeded}

    def dump(self) -> bytes:
        """Canonical JSON."""
        # Not `dataclasses.asdict`: it copies what is below, which takes longer than writing it.
        raw = _fields(self) | {
            "served": {stage: {version: _fields(span) for version, span in spans.items()} for stage, spans in self.served.items()},
            "versions": {name: _fields(one) for name, one in self.versions.items()},
            "promotions": {name: _fields(one) for name, one in self.promotions.items()},
        }
        return canonical.dumps({"format": FORMAT} | raw)

    @classmethod
    def load(cls, data: bytes) -> Index:
        """What `dump` made.

        Raises:
            ValueError: it is something else, or of another release that folds differently.
        """
        try:
            raw = canonical.loads(data)
            if raw.pop("format") != FORMAT:
                raise ValueError(f"its format is not {FORMAT}")
            served = {stage: {version: Span(**span) for version, span in spans.items()} for stage, spans in raw.pop("served").items()}
            versions = {name: Version(**one) for name, one in raw.pop("versions").items()}
            promotions = {name: Promotion(**one) for name, one in raw.pop("promotions").items()}
            found = cls(served=served, versions=versions, promotions=promotions, **raw)
            again = found.dump()
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"no index: {error}") from None
        if again != data:
            raise ValueError("no index: not canonical")
        return found


def _fields(one: Index | Version | Promotion | Span) -> dict[str, Any]:
    return {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}
