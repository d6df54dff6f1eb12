"""The ledger's records: what they hold, and how each names the one before. `codec` stores them.

A chain is one model's records, numbered from 1. Each carries the sha256 of the object before it, so whoever changes, drops, swaps or
inserts a record breaks all that follow.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import rfc8785

from modelyard.api import words
from modelyard.content import canonical
from modelyard.content.digest import DIGEST

OPERATOR: Final = "_operator"
"""The chain of an installation: terms of leadership, takeovers. Its namespace is `_`, as it has none."""
_DIGITS: Final = 10
_NAMES: Final = ("manifest", "policy", "template")
"""The fields of an entry's detail that name a snapshot."""


class Action(words.Word):
    """What an entry is about; the text says what its `digest` and `detail` hold."""

    # what people ask for; digest: the snapshot of the whole spec (canonical JSON) in `blobs/`
    MODEL_CREATED = (
        "ModelCreated",
        "A Model was first seen. digest: spec; detail: alsoChangedBy (who else wrote it before that; null: somebody who is not known).",
    )
    RULES_CHANGED = (
        "RulesChanged",
        (
            "A Model's spec changed. digest: spec; detail: before (digest), changed (paths such as stages/production/gates; `/`: the snapshot of"
            " before was not to be had)."
        ),
    )
    ALIAS_CHANGED = "AliasChanged", "An alias points elsewhere. detail: alias, before, after (versions, or null)."
    REGISTERED = (
        "Registered",
        (
            "A version was first seen. digest: spec; detail: version, specDigest, declared (the artifact's digest, or null), alsoChangedBy (as of"
            " ModelCreated), unattributed (metrics and evidence that one of these may have added), otherwise (metrics and"
            " evidence that are missing or not as the name had them when it was verified: it is Reused). Told once more without it when what was"
            " missing was added: from then on the name means this object."
        ),
    )
    ATTESTED = "Attested", "Metrics or evidence were added. digest: spec; detail: version, metrics, evidence (what was added)."
    DESCRIBED = (
        "Described",
        (
            "A version's description, tags or lifecycleReason changed, or only how its spec is written (an order, a default). digest: spec;"
            " detail: version, changed (fields)."
        ),
    )
    DEPRECATED = "Deprecated", "A version was deprecated. digest: spec; detail: version, reason."
    REACTIVATED = "Reactivated", "A version is Active again. digest: spec; detail: version, reason."
    RETIRED = "Retired", "A version or a Model was retired. digest: spec; detail: version (null: the Model), reason."
    DELETED = "Deleted", "An object is gone. detail: noticed (live | later)."
    REQUESTED = "Requested", "A Promotion was first seen. digest: spec; detail: version, stage, reason, rollback, requestedByMachine."
    APPROVED = (
        "Approved",
        (
            "Someone approved. digest: the subject; detail: version, stage, gate, comment, counts, why (when it does not count), doubted (it appeared"
            " while the policies were not effective, so it may not be theirs)."
        ),
    )
    REJECTED = "Rejected", "Someone rejected. digest and detail: as of Approved."
    WITHDRAWN = "Withdrawn", "Someone took an approval or rejection back. digest and detail: as of Approved."
    STEERED = "Steered", "paused or abort changed. digest: spec; detail: paused, abort."
    # what the operator found
    VERIFIED = "Verified", "Every byte was read. digest: the artifact's; detail: version, files, bytes, manifest, seconds."
    EVIDENCE_VERIFIED = "EvidenceVerified", "Every document was read. detail: version, evidence (name -> sha256)."
    HELD = "Held", "The pinned object versions of what holds a stage go under legal hold. detail: version, manifest."
    RELEASED = "Released", "That legal hold was lifted. detail: version, manifest."
    QUARANTINED = "Quarantined", "Verified bytes are different or gone. digest: the artifact's; detail: version, message."
    RECOVERED = "Recovered", "The right bytes are back. digest: the artifact's; detail: version."
    REUSED = "Reused", "A name that meant something else once. detail: version, message."
    # what the operator decided
    GRANTED = (
        "Granted",
        (
            "A promotion was granted its stage. digest: the artifact's; detail: version, stage, rollback, gates (rows of status.gates),"
            " policy (snapshot of the stage's spec), template (rendered, or null), approvals (of those who counted: who, for which gate, of which subject). Of several"
            " only the last one can have taken effect."
        ),
    )
    ENDED = "Ended", "A promotion ended. detail: version, stage, phase, reason, message."
    ROLLOUT = "Rollout", "A template changed without a promotion, or was put back. detail: version, stage, template, why."
    SERVING = (
        "Serving",
        (
            "The versions that may get traffic, or their weights, changed. detail: stage, serves (as a record's state has them), why (where"
            " the stage's Service is somebody else's, so that nothing is known to serve)."
        ),
    )
    DECOMMISSIONED = (
        "Decommissioned",
        "A stage has no current version any more: its Model was retired, or it was removed. detail: stage, version, why.",
    )
    FORGOTTEN = (
        "Forgotten",
        "While the ledger did not answer more happened than a status can keep. detail: facts (how many are lost), since, until.",
    )
    COLLECTED = "Collected", "Bytes of retired versions were deleted. detail: version, objects (key, versionId)."
    # the chain itself
    ACCEPTED = (
        "Accepted",
        "A person accepted a chain that was found tampered with. detail: flaws, reason, believed (whether records that were Unproven count; else they mean nothing).",
    )
    RESTORED = (
        "Restored",
        (
            "The cluster had lost what the ledger has. detail: objects (kind/name, brought back), promotions (names; lost, not deleted: they stay"
            " history), unfinished (those of them that have to be requested again)."
        ),
    )
    TERM_BEGAN = (
        "TermBegan",
        "An operator leads. detail: holder, number, unobservedSince (until when the one before is known to have watched, or null).",
    )
    TERM_ENDED = "TermEnded", "It stopped as it was asked to. detail: holder, number."
    TAKEN_OVER = "TakenOver", "The registry belongs to another cluster now. detail: before, after, epoch."


OF_SPECS: Final = frozenset(
    {
        Action.MODEL_CREATED, Action.RULES_CHANGED, Action.REGISTERED, Action.ATTESTED, Action.DESCRIBED, Action.DEPRECATED,
        Action.REACTIVATED, Action.RETIRED, Action.REQUESTED, Action.STEERED,
    }
)  # fmt: skip
"""Actions whose digest names the snapshot of a whole spec."""
APPROVAL_ACTIONS: Final = frozenset({Action.APPROVED, Action.REJECTED, Action.WITHDRAWN})
LIFECYCLE: Final = frozenset({Action.DEPRECATED, Action.REACTIVATED, Action.RETIRED})
TEMPLATE_CHANGED: Final = "the stage's serving changed"
TEMPLATE_PUT_BACK: Final = "not available in time: put back"


class Authenticity(enum.StrEnum):
    """How the operator knows who did something."""

    AUTHENTICATED = "Authenticated"
    """The API server stamped the name that it authenticated."""
    DECLARED = "Declared"
    """The writer's client wrote the name, and a policy compared it with the authenticated one."""
    OPERATOR = "Operator"
    UNKNOWN = "Unknown"


@dataclasses.dataclass(frozen=True, slots=True)
class Actor:
    """Who did something."""

    name: str
    known: Authenticity


BY_OPERATOR: Final = Actor("modelyard", Authenticity.OPERATOR)
NOBODY_KNOWS: Final = Actor("", Authenticity.UNKNOWN)


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """The object that an entry is about."""

    kind: str
    name: str
    uid: str
    generation: int


@dataclasses.dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One thing that happened."""

    id: str
    action: Action
    actor: Actor
    subject: Subject
    digest: str | None = None
    detail: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    at: datetime.datetime | None = None
    """When the operator observed or decided it, which may be long before it was recorded; None: the record's time counts."""


def entry(
    action: Action,
    actor: Actor,
    subject: Subject,
    step: str | int | None = None,
    digest: str | None = None,
    detail: Mapping[str, Any] | None = None,
    *,
    at: datetime.datetime | None = None,
) -> LedgerEntry:
    """An entry with its id: the sha256 of action, uid, and generation or `step`. It never includes a time, so the same entry made twice has the same id.

    The digest goes with a generation: after a restore of an older backup the same generation comes again, with another spec. `canonical.plain` replaces what JSON cannot hold exactly, so that everything can be recorded.
    """
    generation = subject.generation if digest is None else f"{subject.generation} {digest}"
    discriminator = generation if step is None else step
    entry_id = hashlib.sha256(rfc8785.dumps([str(action), subject.uid, discriminator])).hexdigest()
    actor = dataclasses.replace(actor, name=canonical.plain(actor.name))
    return LedgerEntry(entry_id, action, actor, subject, digest, canonical.plain(detail or {}), at)


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """One version that may get a stage's traffic, and how much of it in percent."""

    version: str
    digest: str | None
    weight: int
    since: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class StageState:
    """A stage's current version, and what serves there."""

    name: str
    current: str | None = None
    digest: str | None = None
    since: datetime.datetime | None = None
    serves: tuple[Share, ...] = ()
    previous: str | None = None
    template: str | None = None
    """The rendered template that it serves, by its name in `blobs/`."""
    source: str | None = None
    """sha256 of the stage's `serving` that the template was rendered from."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pointer:
    """The last snapshot of the index, content-addressed in `blobs/`: it counts every record up to `sequence`."""

    sequence: int
    digest: str


@dataclasses.dataclass(frozen=True, slots=True)
class Signature:
    """Which key signed a record, and its signature in base64."""

    key: str
    """`signature.key_id` of the public key."""
    value: str


@dataclasses.dataclass(frozen=True, slots=True)
class Chain:
    """Whose records these are."""

    registry: str
    namespace: str
    model: str

    @property
    def prefix(self) -> str:
        """Below the operator's own prefix, ending in `/`."""
        return f"ledger/{self.registry}/{self.namespace}/{self.model}/"

    def key(self, sequence: int) -> str:
        """The object key of a record."""
        return f"{self.prefix}{sequence:0{_DIGITS}}.json"

    def sequence(self, key: str) -> int | None:
        """The number of the record at an object key; None when it is no record of this chain."""
        name = key.removeprefix(self.prefix).removesuffix(".json")
        number = int(name) if len(name) == _DIGITS and name.isascii() and name.isdigit() else 0
        return number if number and self.key(number) == key else None


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One object of a chain."""

    chain: Chain
    sequence: int
    prev: str | None
    """sha256 of the object before; None for the first."""
    time: datetime.datetime
    """Never before the predecessor's time."""
    seen: datetime.datetime | None
    """Up to this time, this record and those before it hold all that was served: no later record holds an earlier change. Never after `time`,
    never before the predecessor's; None: nobody has looked yet."""
    term: int
    """The leadership under which it was written."""
    facts: tuple[LedgerEntry, ...]
    state: tuple[StageState, ...]
    """What each stage serves after these facts, by name."""
    index: Pointer | None
    signature: Signature | None = None
    """By the operator that wrote the record; None: the record is older than signing, or somebody else wrote it."""


def follow(
    chain: Chain,
    before: Record | None,
    prev: str | None,
    facts: Sequence[LedgerEntry],
    state: Sequence[StageState],
    *,
    now: datetime.datetime,
    term: int,
    index: Pointer | None,
    seen: datetime.datetime | None = None,
) -> Record:
    """The record that comes after `before`, whose object's digest is `prev`.

    Args:
        chain: the chain that it belongs to.
        before: the last record.
        prev: digest of its object.
        facts: what happened; the time of each becomes at most now, and for Serving entries at least `before.seen`, whatever clocks say.
        state: what each stage serves after these entries.
        now: the time.
        term: the leadership under which it is written.
        index: the last snapshot.
        seen: when the state was observed; None: it was not, but follows from the state before and these entries.
    """
    time = max(now, before.time) if before else now
    earliest = before.seen if before else None
    dated = tuple(_dated(entry, earliest, time) for entry in facts)
    moments = [earliest, seen, *(entry.at for entry in dated if entry.action == Action.SERVING)]
    observed = max((min(moment, time) for moment in moments if moment), default=None)
    return Record(chain, before.sequence + 1 if before else 1, prev, time, observed, term, dated, tuple(state), index)


def snapshots(record: Record) -> Iterator[str]:
    """The names of the snapshots that a record refers to: specs, policies, templates, lists of files."""
    for entry in record.facts:
        if entry.digest and entry.action in OF_SPECS:
            yield entry.digest
        yield from (name for field in _NAMES if isinstance(name := entry.detail.get(field), str) and DIGEST.fullmatch(name))
    yield from (stage.template for stage in record.state if stage.template)


def _dated(entry: LedgerEntry, earliest: datetime.datetime | None, latest: datetime.datetime) -> LedgerEntry:
    if entry.at is None:
        return entry
    at = min(max(entry.at, earliest), latest) if earliest and entry.action == Action.SERVING else min(entry.at, latest)
    return entry if at == entry.at else dataclasses.replace(entry, at=at)
