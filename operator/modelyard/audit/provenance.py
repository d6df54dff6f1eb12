"""The history of one version from its records: who registered it, what was proven, who requested which stage, who approved, and its lifecycle. Pure."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from modelyard.api import meta
from modelyard.audit import shape
from modelyard.content import jsontext
from modelyard.ledger import codec, fold, index
from modelyard.ledger.record import APPROVAL_ACTIONS, LIFECYCLE, Action, LedgerEntry, Record, Subject

Json = dict[str, Any]

_SPECS: Final = frozenset({Action.REGISTERED, Action.ATTESTED, Action.DESCRIBED, *LIFECYCLE})
_RULES: Final = frozenset({Action.MODEL_CREATED, Action.RULES_CHANGED})


@dataclasses.dataclass(frozen=True, slots=True)
class RecordedEntry:
    """A fact, and the record that contains it."""

    record: int
    written: datetime.datetime
    """The record's own time."""
    fact: LedgerEntry

    @property
    def time(self) -> datetime.datetime:
        """When it was observed or decided; if nobody noted that, when it was written."""
        return self.fact.at or self.written

    def who(self) -> Json:
        """Return who did it, how that is known, when, and which record contains it."""
        actor, authors = self.fact.actor, self.words("authors")
        moment = {"at": codec.write_time(self.time), "record": self.record}
        return {"by": actor.name or None, "known": str(actor.known), **({"authors": authors} if authors else {}), **moment}

    def text(self, name: str) -> str:
        """Return a text of the fact's detail; empty if there is none."""
        value = self.fact.detail.get(name)
        return value if isinstance(value, str) else ""

    def mapping(self, name: str) -> Mapping[str, Any]:
        """Return a mapping of the fact's detail; empty if there is none."""
        value = self.fact.detail.get(name)
        return value if isinstance(value, Mapping) else {}

    def rows(self, name: str) -> list[Mapping[str, Any]]:
        """Return the mappings in a list of the fact's detail."""
        value = self.fact.detail.get(name)
        return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []

    def words(self, name: str) -> list[str]:
        """Return the texts in a list of the fact's detail."""
        value = self.fact.detail.get(name)
        return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One Promotion of the version."""

    uid: str
    name: str
    stage: str
    requested: RecordedEntry | None = None
    approvals: tuple[RecordedEntry, ...] = ()
    granted: RecordedEntry | None = None
    ended: RecordedEntry | None = None
    gone: RecordedEntry | None = None
    """The entry that says that it was deleted, that the cluster lost it, or that another Promotion was requested under its name."""

    @property
    def outcome(self) -> str:
        """The phase in which it ended, or whether it was lost or deleted, is granted, or is still open."""
        if self.ended:
            return self.ended.text("phase")
        if self.gone:
            return "lost" if self.gone.fact.action == Action.RESTORED else "deleted"
        return "granted" if self.granted else "open"


@dataclasses.dataclass(frozen=True, slots=True)
class History:
    """The history of one version, from its records."""

    version: str
    entries: tuple[RecordedEntry, ...]
    """Every entry about its name, or about a Promotion of it."""
    own: tuple[RecordedEntry, ...]
    """The entries of the objects that have the name's current meaning, without repeated registrations of the same spec."""
    registered: RecordedEntry | None
    """The first registration of the name's current meaning: the one whose bytes were verified, else the latest."""
    spec: str | None
    """Name of the latest snapshot of its whole spec."""
    verified: tuple[RecordedEntry, ...]
    """Each time every byte was read."""
    evidence: Mapping[str, str]
    """Documents whose bytes were read: name → sha256."""
    requests: tuple[Request, ...]
    lifecycle: tuple[RecordedEntry, ...]
    """The entries that set its lifecycle: the last one is current; Active if there is none."""

    @property
    def digest(self) -> str | None:
        """The digest of the bytes, once they are verified."""
        return self.verified[0].fact.digest if self.verified else None

    @property
    def numbers(self) -> list[int]:
        """The numbers of the records about it, in ascending order."""
        return sorted({entry.record for entry in self.entries})


def entries(records: Iterable[Record]) -> Iterator[RecordedEntry]:
    """Yield every fact with its record, in order."""
    return (entry for _, entry in _entries(records))


def _entries(records: Iterable[Record], until: datetime.datetime | None = None) -> Iterator[tuple[Record, RecordedEntry]]:
    for record in records:
        for fact in record.facts:
            entry = RecordedEntry(record.sequence, record.time, fact)
            if until is None or entry.time <= until:
                yield record, entry


def of(version: str, records: Iterable[Record], until: datetime.datetime | None = None) -> History:
    """Return the history of a version, from all records or only from those about it; leave out what happened after `until`."""
    records = list(records)
    entries = [entry for _, entry in _entries(records, until)]
    uids = {entry.fact.subject.uid for entry in entries if entry.fact.subject.kind == "Promotion" and is_about(entry, version)}
    promotion_names = {entry.fact.subject.name for entry in entries if entry.fact.subject.uid in uids}
    concerning = [
        entry
        for entry in entries
        if entry.fact.subject.uid in uids
        or is_about(entry, version)
        or _brought_back(entry, version)
        or promotion_names.intersection(_lost_promotions(entry))
    ]
    own = _own(version, records, until)
    evidence: dict[str, str] = {}
    for entry in own:
        if entry.fact.action == Action.EVIDENCE_VERIFIED:
            evidence = {str(name): str(value) for name, value in entry.mapping("evidence").items()}
    return History(
        version,
        tuple(concerning),
        tuple(own),
        next((entry for entry in own if entry.fact.action == Action.REGISTERED), None),
        _spec(own),
        tuple(entry for entry in concerning if entry.fact.subject.kind == "ModelVersion" and entry.fact.action == Action.VERIFIED),
        evidence,
        tuple(_request([entry for entry in concerning if entry.fact.subject.uid == uid], entries) for uid in _ordered(concerning, uids)),
        tuple(_lifecycle(own)),
    )


def rules(records: Iterable[Record]) -> tuple[RecordedEntry, ...]:
    """Return every change of the Model's rules, with its creation and its retirement."""
    return tuple(entry for entry in entries(records) if governs(entry))


def governs(entry: RecordedEntry) -> bool:
    """Whether a fact is about the Model's own spec."""
    return entry.fact.subject.kind == "Model" and entry.fact.action in {*_RULES, *LIFECYCLE}


def retired(rules: Iterable[RecordedEntry]) -> RecordedEntry | None:
    """Return the entry that retired the Model, unless another Model was created since. A Model that is restored with the same spec is not another."""
    retirement: RecordedEntry | None = None
    spec: str | None = None
    for entry in rules:
        if entry.fact.action == Action.MODEL_CREATED and entry.fact.digest != spec:
            retirement = None
        elif entry.fact.action == Action.RETIRED:
            retirement = retirement or entry
        spec = entry.fact.digest or spec
    return retirement


def snapshot(resource: type[meta.Resource], data: bytes | None) -> Json:
    """Return the spec in a snapshot, without fields whose shape does not fit the schema; empty if there is no snapshot."""
    try:
        spec = jsontext.loads(data) if data is not None else {}
    except ValueError:
        return {}
    return dict(shape.fitting(spec, shape.of(resource)) or {})


def is_about(entry: RecordedEntry, version: str) -> bool:
    """Whether the entry alone says that it is about the version, or about a Promotion of it."""
    if entry.fact.subject.kind not in {"ModelVersion", "Promotion"}:
        return False
    if named := entry.text("version"):
        return named == version
    return entry.fact.subject.kind == "ModelVersion" and entry.fact.subject.name.endswith(f"-{version}")


def _brought_back(entry: RecordedEntry, version: str) -> bool:
    """Whether the entry says that the cluster had lost the version."""
    return entry.fact.action == Action.RESTORED and f"ModelVersion/{entry.fact.subject.name}-{version}" in entry.words("objects")


def _lost_promotions(entry: RecordedEntry) -> list[str]:
    """Return the Promotions that the cluster had lost, as the entry says."""
    return entry.words("promotions") if entry.fact.action == Action.RESTORED else []


def _own(version: str, records: Sequence[Record], until: datetime.datetime | None) -> list[RecordedEntry]:
    """Return the entries of the objects that have the name's current meaning: those whose uid the index of these records has for the version.

    A lost version comes back with the same meaning. A repeated registration of its spec adds nothing.
    """
    own: list[RecordedEntry] = []
    folded = index.Index()
    repeated: Subject | None = None
    for record, entry in _entries(records, until):
        before = folded.versions.get(version)
        fold.add_entry(folded, record, entry.fact)
        action, subject, current = entry.fact.action, entry.fact.subject, folded.versions.get(version)
        if subject.kind != "ModelVersion" or not is_about(entry, version) or (current and current.uid != subject.uid):
            continue
        if action == Action.REGISTERED:
            own = own if current is before else []
            repeated = subject if own and entry.fact.digest == _spec(own) else None
        if action not in _SPECS or subject != repeated:
            own.append(entry)
    return own


def _spec(own: Sequence[RecordedEntry]) -> str | None:
    return next((entry.fact.digest for entry in reversed(own) if entry.fact.action in _SPECS and entry.fact.digest), None)


def _lifecycle(own: Iterable[RecordedEntry]) -> list[RecordedEntry]:
    """Return the entries that set the lifecycle. Retired is final; otherwise a newly registered spec is Active until an entry of its own says otherwise."""
    changes: list[RecordedEntry] = []
    for entry in own:
        if entry.fact.action == Action.REGISTERED:
            changes.clear()
        elif entry.fact.action in LIFECYCLE:
            changes.append(entry)
        if entry.fact.action == Action.RETIRED:
            break
    return changes


def _ordered(entries: list[RecordedEntry], uids: set[str]) -> list[str]:
    return list(dict.fromkeys(entry.fact.subject.uid for entry in entries if entry.fact.subject.uid in uids))


def _request(own: list[RecordedEntry], entries: list[RecordedEntry]) -> Request:
    def last(*actions: Action) -> RecordedEntry | None:
        return next((entry for entry in reversed(own) if entry.fact.action in actions), None)

    first = own[0]
    return Request(
        first.fact.subject.uid,
        first.fact.subject.name,
        next((entry.text("stage") for entry in own if entry.text("stage")), ""),
        last(Action.REQUESTED),
        tuple(entry for entry in own if entry.fact.action in APPROVAL_ACTIONS),
        last(Action.GRANTED),
        last(Action.ENDED),
        _gone(first, entries),
    )


def _gone(first: RecordedEntry, entries: list[RecordedEntry]) -> RecordedEntry | None:
    """Return the first later entry that says that a Promotion no longer exists."""
    promotion = first.fact.subject
    for entry in entries[entries.index(first) + 1 :]:
        subject = entry.fact.subject
        replaced = entry.fact.action == Action.REQUESTED and subject.name == promotion.name and subject.uid != promotion.uid
        if replaced or promotion.name in _lost_promotions(entry) or (entry.fact.action == Action.DELETED and subject.uid == promotion.uid):
            return entry
    return None
