"""The index of a chain: the past that decisions ask for, folded from the records (`ledger.fold`); it never says more than they do.

From time to time the operator keeps a content-addressed snapshot of it beside the chain (`record.Pointer`), so that reading it back takes one
snapshot and the few records after it.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from modelyard.content import canonical

FORMAT: Final = "modelyard.dev/index/v9"
"""Changes whenever the folds make another index of the same records: a snapshot of another format is not used, but folded anew."""


@dataclasses.dataclass(slots=True)
class Version:
    """What the ledger holds of the name of a version."""

    uid: str
    registered: int
    """Number of the record that registers it."""
    registrant: str = ""
    """Who registered the version that the name means."""
    again: list[str] = dataclasses.field(default_factory=list)
    """Who registered the same version again under this name, such as an operator that restores a lost version."""
    attested: dict[str, str] = dataclasses.field(default_factory=dict)
    """By name of what was added since (`metrics/auc`, `evidence/vr-17`): who added it; empty where that is unknown."""
    spec: str = ""
    """Snapshot of the newest recorded spec."""
    generation: int = 0
    """The object's metadata.generation that had it."""
    spec_digest: str = ""
    """Digest of the part of the spec that never changes."""
    digest: str | None = None
    """Digest of the bytes, once they were verified: from then on the name can never mean other bytes or other metadata."""
    manifest: str | None = None
    documents: list[str] = dataclasses.field(default_factory=list)
    """Names of the evidence that was verified, as last recorded."""
    verified: int | None = None
    quarantined: bool = False
    """Its bytes were found changed, and have not been found right since, whatever its status says."""
    deleted: bool = False
    other: str = ""
    """uid of an object that has the name now with another meaning: Reused. It does not change what the name means."""
    lifecycle: str = "Active"
    """Retired is final for every object that ever has the name."""
    retired: list[str] = dataclasses.field(default_factory=list)
    """When it was retired, and by whom; empty while it is not."""
    held: str | None = None
    """Manifest of the object versions that the operator keeps under legal hold."""
    holds: int = 0
    """How often a legal hold was set or lifted."""
    lost: bool = False
    """The cluster lost it and it is being restored: whoever creates the object anew did not register the version."""
    facts: list[int] = dataclasses.field(default_factory=list)
    """Numbers of the records about it, rising."""


@dataclasses.dataclass(slots=True)
class Promotion:
    """What the ledger holds of the name of a Promotion, which runs only once."""

    uid: str
    version: str
    stage: str
    requester: str = ""
    rollback: bool = False
    request_reason: str = ""
    """Its spec.reason; known once `spec` is."""
    spec: str = ""
    """Snapshot of the whole spec as it was requested or last steered."""
    generation: int = 0
    """The object's metadata.generation that had it."""
    granted: int | None = None
    phase: str | None = None
    """How it ended; None while it has not."""
    succeeded: bool = False
    """It Succeeded once, whatever superseded it since."""
    superseded: list[str] = dataclasses.field(default_factory=list)
    """When its stage got another current version after it had Succeeded, and name and version of the Promotion that did it; both are empty
    where the stage was taken down."""
    reason: str = ""
    message: str = ""
    ended: str | None = None
    deleted: bool = False
    lost: bool = False
    """It was not deleted, but the cluster lost it: it is history."""
    approvals: list[list[Any]] = dataclasses.field(default_factory=list)
    """[user, gate, decision, subject, whether it is surely theirs]: the last decision of each user for each gate."""
    facts: list[int] = dataclasses.field(default_factory=list)

    def was_cut_off(self, uid: str | None) -> bool:
        """Whether it was granted its stage and went before it ended: the name has no object now (`uid` is None), or another one."""
        return self.granted is not None and self.phase is None and not (self.deleted or self.lost) and uid != self.uid

    def keeps_its_name_from(self, uid: str | None) -> bool:
        """Whether the object with this uid cannot run under its name: this Promotion ended, or was granted its stage."""
        return uid != self.uid and (bool(self.phase) or self.was_cut_off(uid))


@dataclasses.dataclass(slots=True)
class Span:
    """When a version served in a stage, as far as was observed."""

    ended: list[list[str]] = dataclasses.field(default_factory=list)
    """[since, until] of each period of serving that is over."""
    since: str | None = None
    """When the present period began; None while it does not serve."""
    turns: list[int] = dataclasses.field(default_factory=list)
    """Numbers of the records in which it begins, gets another share, or ends; rising."""
    missed: int = 0
    """Further changes of its share, whose numbers are not kept."""


@dataclasses.dataclass(slots=True)
class Index:
    """All records of a chain up to `sequence`, folded."""

    sequence: int = 0
    uid: str | None = None
    """uid of the Model."""
    spec: str | None = None
    """Snapshot of the Model's newest recorded spec."""
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
    """[since, until, number of the record]: what was observed then could not be kept until the ledger answered."""
    terms: list[list[Any]] = dataclasses.field(default_factory=list)
    """[began, unobservedSince, time, number of the record] of the last terms; only the chain of the installation has any."""
    templates: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    """By stage: numbers of the records that say what it runs, or that change its `serving`, from the last grant that Succeeded on; rising."""
    succeeded: dict[str, list[list[str]]] = dataclasses.field(default_factory=dict)
    """By stage: [version, since] of each version that Succeeded there, the latest last; a rollback removes the version that it undid."""
    came_by: dict[str, str] = dataclasses.field(default_factory=dict)
    """By stage: name of the Promotion that Succeeded there last; a stage that was taken down has none."""
    recent: list[str] = dataclasses.field(default_factory=list)

    def ever_succeeded(self, stage: str) -> set[str]:
        """The versions that Succeeded in a stage at any time, undone since or not."""
        versions = {version for version, _ in self.succeeded.get(stage, ())}
        return versions | {promotion.version for promotion in self.promotions.values() if promotion.stage == stage and promotion.succeeded}

    def dump(self) -> bytes:
        """Canonical JSON."""
        # Not `dataclasses.asdict`: it copies all nested values, which takes longer than writing them.
        raw = _fields(self) | {
            "served": {stage: {version: _fields(span) for version, span in spans.items()} for stage, spans in self.served.items()},
            "versions": {name: _fields(version) for name, version in self.versions.items()},
            "promotions": {name: _fields(promotion) for name, promotion in self.promotions.items()},
        }
        return canonical.dumps({"format": FORMAT} | raw)

    @classmethod
    def load(cls, data: bytes) -> Index:
        """Read an index that `dump` made.

        Raises:
            ValueError: it is something else, or of another release that folds differently.
        """
        try:
            raw = canonical.loads(data)
            if raw.pop("format") != FORMAT:
                raise ValueError(f"its format is not {FORMAT}")
            served = {stage: {version: Span(**span) for version, span in spans.items()} for stage, spans in raw.pop("served").items()}
            versions = {name: Version(**row) for name, row in raw.pop("versions").items()}
            promotions = {name: Promotion(**row) for name, row in raw.pop("promotions").items()}
            folded = cls(served=served, versions=versions, promotions=promotions, **raw)
            again = folded.dump()
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"no index: {error}") from None
        if again != data:
            raise ValueError("no index: not canonical")
        return folded


def _fields(item: Index | Version | Promotion | Span) -> dict[str, Any]:
    return {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
