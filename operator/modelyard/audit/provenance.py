"""What records tell of one version: who registered it, what was proven, who asked for it where, who approved, and when it served. Pure."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from modelyard.api import meta
from modelyard.audit import shape
from modelyard.content import jsontext
from modelyard.ledger import codec, fold, index
from modelyard.ledger.record import LIFECYCLE, SAYS, Action, Fact, Record, Subject

Json = dict[str, Any]

_SPECS: Final = frozenset({Action.REGISTERED, Action.ATTESTED, Action.DESCRIBED, *LIFECYCLE})
_RULES: Final = frozenset({Action.MODEL_CREATED, Action.RULES_CHANGED})


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """A fact, and the record that tells it."""

    record: int
    written: datetime.datetime
    """The record's own time."""
    fact: Fact

    @property
    def time(self) -> datetime.datetime:
        """When it was seen or decided; where nobody noted that, when it was written."""
        return self.fact.at or self.written

    def who(self) -> Json:
        """Who did it, how that is known, when, and where it is recorded."""
        actor, authors = self.fact.actor, self.words("authors")
        moment = {"at": codec.write_time(self.time), "record": self.record}
        return {"by": actor.name or None, "known": str(actor.known), **({"authors": authors} if authors else {}), **moment}

    def text(self, name: str) -> str:
        """A text of the fact's detail; empty when there is none."""
        value = self.fact.detail.get(name)
        return value if isinstance(value, str) else ""

    def mapping(self, name: str) -> Mapping[str, Any]:
        """A mapping of the fact's detail; empty when there is none."""
        value = self.fact.detail.get(name)
        return value if isinstance(value, Mapping) else {}

    def rows(self, name: str) -> list[Mapping[str, Any]]:
        """The mappings in a list of the fact's detail."""
        value = self.fact.detail.get(name)
        return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []

    def words(self, name: str) -> list[str]:
        """The texts in a list of the fact's detail."""
        value = self.fact.detail.get(name)
        return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One Promotion of the version."""

    uid: str
    name: str
    stage: str
    requested: Told | None = None
    said: tuple[Told, ...] = ()
    granted: Told | None = None
    ended: Told | None = None
    gone: Told | None = None
    """That it was deleted, that the cluster lost it, or that another one was asked for under its name."""

    @property
    def outcome(self) -> str:
        """What became of it."""
        if self.ended:
            return self.ended.text("phase")
        if self.gone:
            return "lost" if self.gone.fact.action == Action.RESTORED else "deleted"
        return "granted" if self.granted else "open"


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """One version, as its records tell."""

    version: str
    facts: tuple[Told, ...]
    """All that tell of its name, or of a Promotion of it."""
    own: tuple[Told, ...]
    """Those of the objects that mean what the name means now, but not that the same spec was registered again."""
    registered: Told | None
    """Who registered first what its name means: that whose bytes were verified, else what was registered last."""
    spec: str | None
    """Name of the snapshot of its whole spec, as it was last."""
    verified: tuple[Told, ...]
    """Each time every byte was read."""
    evidence: Mapping[str, str]
    """Documents whose bytes were read: name → sha256."""
    requests: tuple[Request, ...]
    lifecycle: tuple[Told, ...]
    """What its lifecycle follows from: the last says what it is, Active when there is none."""

    @property
    def digest(self) -> str | None:
        """Of the bytes, once they were verified."""
        return self.verified[0].fact.digest if self.verified else None

    @property
    def numbers(self) -> list[int]:
        """The records that tell of it, rising."""
        return sorted({told.record for told in self.facts})


def told(records: Iterable[Record]) -> Iterator[Told]:
    """Every fact, in order."""
    return (one for _, one in _facts(records))


def _facts(records: Iterable[Record], until: datetime.datetime | None = None) -> Iterator[tuple[Record, Told]]:
    for record in records:
        for fact in record.facts:
            one = Told(record.sequence, record.time, fact)
            if until is None or one.time <= until:
                yield record, one


def of(version: str, records: Iterable[Record], until: datetime.datetime | None = None) -> Account:
    """The account of a version, from all records or only from those that tell of it; of what happened later than a moment nothing is told."""
    records = list(records)
    every = [one for _, one in _facts(records, until)]
    uids = {one.fact.subject.uid for one in every if one.fact.subject.kind == "Promotion" and names(one, version)}
    asked = {one.fact.subject.name for one in every if one.fact.subject.uid in uids}
    mine = [
        one
        for one in every
        if one.fact.subject.uid in uids or names(one, version) or _brought_back(one, version) or asked.intersection(_lost(one))
    ]
    own = _own(version, records, until)
    evidence: dict[str, str] = {}
    for one in own:
        if one.fact.action == Action.EVIDENCE_VERIFIED:
            evidence = {str(name): str(value) for name, value in one.mapping("evidence").items()}
    return Account(
        version,
        tuple(mine),
        tuple(own),
        next((one for one in own if one.fact.action == Action.REGISTERED), None),
        _spec(own),
        tuple(one for one in mine if one.fact.subject.kind == "ModelVersion" and one.fact.action == Action.VERIFIED),
        evidence,
        tuple(_request([one for one in mine if one.fact.subject.uid == uid], every) for uid in _ordered(mine, uids)),
        tuple(_lifecycle(own)),
    )


def rules(records: Iterable[Record]) -> tuple[Told, ...]:
    """Every change of the Model's rules, its creation and its retirement included."""
    return tuple(one for one in told(records) if governs(one))


def governs(one: Told) -> bool:
    """Whether a fact is about the Model's own spec."""
    return one.fact.subject.kind == "Model" and one.fact.action in {*_RULES, *LIFECYCLE}


def retired(rules: Iterable[Told]) -> Told | None:
    """What retired the Model, which is final, unless another one was created since; one that was brought back as it was is no other."""
    found: Told | None = None
    spec: str | None = None
    for one in rules:
        if one.fact.action == Action.MODEL_CREATED and one.fact.digest != spec:
            found = None
        elif one.fact.action == Action.RETIRED:
            found = found or one
        spec = one.fact.digest or spec
    return found


def snapshot(resource: type[meta.Resource], data: bytes | None) -> Json:
    """A spec of such an object as it was written down; empty when its snapshot is not there, and without what has another shape there."""
    try:
        found = jsontext.loads(data) if data is not None else {}
    except ValueError:
        return {}
    return dict(shape.fitting(found, shape.of(resource)) or {})


def names(one: Told, version: str) -> bool:
    """Whether a fact by itself says that it is about the version, or about a Promotion of it."""
    if one.fact.subject.kind not in {"ModelVersion", "Promotion"}:
        return False
    if said := one.text("version"):
        return said == version
    return one.fact.subject.kind == "ModelVersion" and one.fact.subject.name.endswith(f"-{version}")


def _brought_back(one: Told, version: str) -> bool:
    """Whether a fact says that the cluster had lost the version."""
    return one.fact.action == Action.RESTORED and f"ModelVersion/{one.fact.subject.name}-{version}" in one.words("objects")


def _lost(one: Told) -> list[str]:
    """The Promotions that a fact says went with what the cluster had lost."""
    return one.words("promotions") if one.fact.action == Action.RESTORED else []


def _own(version: str, records: Sequence[Record], until: datetime.datetime | None) -> list[Told]:
    """What is told of the objects that mean what the name means: those that the index of these records knows it by.

    What was lost comes back as what it was, and that its spec is registered again says nothing new.
    """
    own: list[Told] = []
    folded = index.Index()
    again: Subject | None = None
    for record, one in _facts(records, until):
        before = folded.versions.get(version)
        fold.tell(folded, record, one.fact)
        action, subject, known = one.fact.action, one.fact.subject, folded.versions.get(version)
        if subject.kind != "ModelVersion" or not names(one, version) or (known and known.uid != subject.uid):
            continue
        if action == Action.REGISTERED:
            own = own if known is before else []
            again = subject if own and one.fact.digest == _spec(own) else None
        if action not in _SPECS or subject != again:
            own.append(one)
    return own


def _spec(own: Sequence[Told]) -> str | None:
    return next((one.fact.digest for one in reversed(own) if one.fact.action in _SPECS and one.fact.digest), None)


def _lifecycle(own: Iterable[Told]) -> list[Told]:
    """Retired is final; whatever else it was, another spec that is registered is Active until a fact of its own says otherwise."""
    found: list[Told] = []
    for one in own:
        if one.fact.action == Action.REGISTERED:
            found.clear()
        elif one.fact.action in LIFECYCLE:
            found.append(one)
        if one.fact.action == Action.RETIRED:
            break
    return found


def _ordered(facts: list[Told], uids: set[str]) -> list[str]:
    return list(dict.fromkeys(one.fact.subject.uid for one in facts if one.fact.subject.uid in uids))


def _request(facts: list[Told], every: list[Told]) -> Request:
    def last(*actions: Action) -> Told | None:
        return next((one for one in reversed(facts) if one.fact.action in actions), None)

    first = facts[0]
    return Request(
        first.fact.subject.uid,
        first.fact.subject.name,
        next((one.text("stage") for one in facts if one.text("stage")), ""),
        last(Action.REQUESTED),
        tuple(one for one in facts if one.fact.action in SAYS),
        last(Action.GRANTED),
        last(Action.ENDED),
        _gone(first, every),
    )


def _gone(first: Told, every: list[Told]) -> Told | None:
    """What says that a Promotion is not there any more, told after its first fact."""
    of = first.fact.subject
    for one in every[every.index(first) + 1 :]:
        subject = one.fact.subject
        replaced = one.fact.action == Action.REQUESTED and subject.name == of.name and subject.uid != of.uid
        if replaced or of.name in _lost(one) or (one.fact.action == Action.DELETED and subject.uid == of.uid):
            return one
    return None
