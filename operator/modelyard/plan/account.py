"""What records tell of one version: who registered it, what was proven, who asked for it where, who approved, and when it served. Pure."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from modelyard.plan import ledger, serves
from modelyard.plan.ledger import Action

Json = dict[str, Any]

SAYS: Final = frozenset({Action.APPROVED, Action.REJECTED, Action.WITHDRAWN})
LIFECYCLE: Final = frozenset({Action.DEPRECATED, Action.REACTIVATED, Action.RETIRED})
_SPECS: Final = frozenset({Action.REGISTERED, Action.ATTESTED, Action.DESCRIBED, *LIFECYCLE})
_RULES: Final = frozenset({Action.MODEL_CREATED, Action.RULES_CHANGED})


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """A fact, and the record that tells it."""

    record: int
    written: datetime.datetime
    """The record's own time."""
    fact: ledger.Fact

    @property
    def time(self) -> datetime.datetime:
        """When it was seen or decided; where nobody noted that, when it was written."""
        return self.fact.at or self.written

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


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """One version, as its records tell."""

    version: str
    facts: tuple[Told, ...]
    registered: Told | None
    """What its name means: the registration whose bytes were verified, else the last one."""
    spec: str | None
    """Name of the snapshot of its whole spec, as it was last."""
    verified: tuple[Told, ...]
    """Each time every byte was read."""
    evidence: Mapping[str, str]
    """Documents whose bytes were read: name → sha256."""
    requests: tuple[Request, ...]
    lifecycle: tuple[Told, ...]

    @property
    def digest(self) -> str | None:
        """Of the bytes, once they were verified."""
        return self.verified[0].fact.digest if self.verified else None

    @property
    def numbers(self) -> list[int]:
        """The records that tell of it, rising."""
        return sorted({told.record for told in self.facts})


@dataclasses.dataclass(frozen=True, slots=True)
class Spell:
    """A span in which a version got the same share of a stage's traffic."""

    stage: str
    version: str
    digest: str | None
    weight: int
    since: datetime.datetime
    until: datetime.datetime | None
    began: int
    """Number of the record that first says so."""
    ended: int | None


def told(records: Iterable[ledger.Record]) -> Iterator[Told]:
    """Every fact, in order."""
    for record in records:
        for one in record.facts:
            yield Told(record.sequence, record.time, one)


def of(version: str, records: Iterable[ledger.Record], until: datetime.datetime | None = None) -> Account:
    """The account of a version, from all records or only from those that tell of it; of what happened later than a moment nothing is told."""
    every = [one for one in told(records) if until is None or one.time <= until]
    uids = {one.fact.subject.uid for one in every if one.fact.subject.kind == "Promotion" and names(one, version)}
    mine = [one for one in every if one.fact.subject.uid in uids or names(one, version)]
    versions = [one for one in mine if one.fact.subject.kind == "ModelVersion"]
    verified = tuple(one for one in versions if one.fact.action == Action.VERIFIED)
    registered = _registration([one for one in versions if one.fact.action == Action.REGISTERED], verified)
    others = _others(versions, registered) if registered and verified else set()
    own = [
        one
        for one in versions
        if registered is None
        or one.fact.subject.uid == registered.fact.subject.uid
        or (one.record > registered.record and one.fact.subject.uid not in others)
    ]
    evidence: dict[str, str] = {}
    for one in own:
        if one.fact.action == Action.EVIDENCE_VERIFIED:
            evidence = {str(name): str(value) for name, value in one.mapping("evidence").items()}
    return Account(
        version,
        tuple(mine),
        registered,
        next((one.fact.digest for one in reversed(own) if one.fact.action in _SPECS and one.fact.digest), None),
        verified,
        evidence,
        tuple(_request([one for one in mine if one.fact.subject.uid == uid]) for uid in _ordered(mine, uids)),
        tuple(one for one in own if one.fact.action in LIFECYCLE),
    )


def rules(records: Iterable[ledger.Record]) -> tuple[Told, ...]:
    """Every change of the Model's rules, its creation and its retirement included."""
    return tuple(one for one in told(records) if governs(one))


def governs(one: Told) -> bool:
    """Whether a fact is about the Model's own spec."""
    return one.fact.subject.kind == "Model" and one.fact.action in {*_RULES, *LIFECYCLE}


def spells(records: Iterable[ledger.Record], wanted: Callable[[str], bool] = lambda _: True) -> list[Spell]:
    """When which version served in which stage with which weight, in the order in which they began.

    Exact for every record that is given: one at which nothing of the wanted versions changed may be left out.
    """
    found: list[Spell] = []
    running: dict[str, dict[str, Spell]] = {}
    for record in records:
        for step in serves.steps(record, tuple(running)):
            now = {share.version: share for share in step.shares if wanted(share.version)}
            was = running.get(step.stage, {})
            turned = {version for version, one in was.items() if version not in now or now[version] != _share(one, now[version])}
            found += [dataclasses.replace(was[version], until=step.moment, ended=record.sequence) for version in sorted(turned)]
            running[step.stage] = {version: one for version, one in was.items() if version not in turned} | {
                version: _spell(step, share, record.sequence, step.moment if version in turned else min(share.since, step.moment))
                for version, share in now.items()
                if version in turned or version not in was
            }
    left = [one for spells in running.values() for one in spells.values()]
    return sorted([*found, *left], key=lambda spell: (spell.since, spell.began, spell.stage, spell.version))


def _share(spell: Spell, now: ledger.Share) -> ledger.Share:
    """What goes on, if nothing turned."""
    return dataclasses.replace(now, weight=spell.weight, digest=spell.digest)


def _spell(step: serves.Step, share: ledger.Share, record: int, since: datetime.datetime) -> Spell:
    return Spell(step.stage, share.version, share.digest, share.weight, since, None, record, None)


def snapshot(data: bytes | None) -> Json:
    """A spec as it was written down; empty when its snapshot is not there."""
    try:
        found = json.loads(data) if data is not None else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def names(one: Told, version: str) -> bool:
    """Whether a fact by itself says that it is about the version, or about a Promotion of it."""
    if one.fact.subject.kind not in {"ModelVersion", "Promotion"}:
        return False
    if said := one.text("version"):
        return said == version
    return one.fact.subject.kind == "ModelVersion" and one.fact.subject.name.endswith(f"-{version}")


def _registration(all_of_them: list[Told], verified: tuple[Told, ...]) -> Told | None:
    """Once the bytes were verified, another object of the name changes nothing of what it means."""
    before = [one for one in all_of_them if not verified or one.record <= verified[0].record]
    return next(reversed(before or all_of_them), None)


def _others(versions: list[Told], registered: Told) -> set[str]:
    """The uids of objects that had the name later and meant something else: what is told of them is not about this version (Reused)."""
    meant = registered.text("specDigest")
    later = [one for one in versions if one.fact.action == Action.REGISTERED and one.record > registered.record]
    return {one.fact.subject.uid for one in later if one.text("specDigest") != meant} - {registered.fact.subject.uid}


def _ordered(facts: list[Told], uids: set[str]) -> list[str]:
    return list(dict.fromkeys(one.fact.subject.uid for one in facts if one.fact.subject.uid in uids))


def _request(facts: list[Told]) -> Request:
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
    )
