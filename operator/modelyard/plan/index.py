"""The index of a chain: all that is asked of the past again and again, folded from the records; never more than they say.

It is kept content-addressed beside the chain from time to time (`ledger.Pointer`), so that reading it back means one snapshot and the
few records that came after.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from modelyard.plan import canonical, ledger
from modelyard.plan import serves as serving
from modelyard.plan.ledger import Action

FORMAT: Final = "modelyard.dev/index/v6"
"""Changes with what the folds make of the same records: a snapshot of another format is not believed, but folded anew."""
RECENT: Final = 512
"""Ids of facts that are remembered: far more than can be under way when an operator dies."""
TURNS: Final = 128
"""Changes of weight of one version in one stage whose records are remembered; where a version began and ended is, however often."""
TERMS: Final = 256
"""Terms of leadership that are remembered, in the chain of the installation."""


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
    spec: str = ""
    """Snapshot of the whole spec as it was requested, or last steered."""
    granted: int | None = None
    phase: str | None = None
    """How it ended; None while it has not."""
    succeeded: bool = False
    """It did once, whatever superseded it since."""
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
    succeeded: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    """By stage: the versions that Succeeded there, each once, the latest last; a rollback takes away what it undid."""
    accepted: list[list[Any]] = dataclasses.field(default_factory=list)
    """[kind, sequence, head] of the flaws that people accepted."""
    recent: list[str] = dataclasses.field(default_factory=list)

    def add(self, record: ledger.Record) -> None:
        """Fold the next record in; nothing that `ledger.read` takes can be too odd for it."""
        self.sequence = record.sequence
        for one in record.facts:
            _FOLDS.get(one.action, _ignore)(self, record, one)
            self.recent.append(one.id)
        del self.recent[:-RECENT]
        self._serve(record)

    def _serve(self, record: ledger.Record) -> None:
        """Spans begin, turn and end as the record tells, step by step."""
        for step in serving.steps(record, tuple(self.serves)):
            now = {share.version: share for share in step.shares}
            was = self.serves.get(step.stage, {})
            for version in was.keys() - now.keys():
                span = self.served[step.stage][version]
                span.ended.append([span.since or "", ledger.write_time(step.moment)])
                span.since = None
                _turn(span, record.sequence, certain=True)
            for version, share in now.items():
                span = self.served.setdefault(step.stage, {}).setdefault(version, Span())
                if version not in was:
                    span.since = ledger.write_time(min(share.since, step.moment))
                if was.get(version) != [share.weight, share.digest]:
                    _turn(span, record.sequence, certain=version not in was)
            self.serves[step.stage] = {version: [share.weight, share.digest] for version, share in sorted(now.items())}
        self.serves = {stage: now for stage, now in self.serves.items() if now}

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


def _turn(span: Span, number: int, *, certain: bool) -> None:
    """Remember a record, unless it is one of too many."""
    if span.turns and span.turns[-1] == number:
        return
    if certain or len(span.turns) < TURNS:
        span.turns.append(number)
    else:
        span.missed += 1


def _text(one: ledger.Fact, name: str) -> str:
    """A text of a fact's detail; empty when there is none."""
    value = one.detail.get(name)
    return value if isinstance(value, str) else ""


def _ignore(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    """Nothing is asked about it again."""


def _model(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    del record
    for asked in index.promotions.values() if index.deleted else ():
        asked.lost = asked.lost or (asked.deleted and not asked.phase)  # it went with the Model before: nobody said no to what it asked for
    index.uid, index.spec, index.generation = one.subject.uid, one.digest, one.subject.generation
    index.deleted = index.retired = False


def _rules(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    del record
    index.spec, index.generation = one.digest, one.subject.generation


def _registered(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    name = _text(one, "version")
    was = index.versions.get(name)
    who = was.registrant if was and was.lost else one.actor.name
    if was and was.digest:  # once Ready, a name means the same for ever
        _version(index, record, one)
        if was.spec_digest != _text(one, "specDigest"):
            was.other = one.subject.uid
            return
        was.uid, was.spec = one.subject.uid, one.digest or was.spec
        was.again = sorted({*was.again, who} - {was.registrant, ""})
        was.deleted, was.other, was.lost = False, "", False
        was.lifecycle = was.lifecycle if was.retired else "Active"  # another lifecycle is a fact of its own
        return
    index.versions[name] = Version(
        one.subject.uid,
        record.sequence,
        registrant=who,
        spec=one.digest or "",
        spec_digest=_text(one, "specDigest"),
        facts=[record.sequence],
    )


def _version(index: Index, record: ledger.Record, one: ledger.Fact) -> Version | None:
    """The version that a fact is about, which now has one more record."""
    known = index.versions.get(_text(one, "version"))
    if known and (not known.facts or known.facts[-1] != record.sequence):
        known.facts.append(record.sequence)
    return known


def _changed(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    if (known := _version(index, record, one)) and known.uid == one.subject.uid:
        known.spec = one.digest or known.spec
        if not known.retired:
            known.lifecycle = _LIFECYCLE.get(one.action, known.lifecycle)
        if one.action == Action.RETIRED and not known.retired:
            known.retired = [ledger.write_time(one.at or record.time), one.actor.name]


def _attested(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    _changed(index, record, one)
    known = index.versions.get(_text(one, "version"))
    if known is None or known.uid != one.subject.uid:
        return
    metrics, evidence = one.detail.get("metrics"), one.detail.get("evidence")
    added = [f"metrics/{name}" for name in (metrics if isinstance(metrics, dict) else ())]
    added += [f"evidence/{row.get('name')}" for row in (evidence if isinstance(evidence, list) else ()) if isinstance(row, dict)]
    known.attested |= dict.fromkeys(added, one.actor.name)


def _retired(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    if one.detail.get("version"):
        _changed(index, record, one)
    else:
        index.retired, index.spec = True, one.digest or index.spec


def _verified(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    if known := _version(index, record, one):
        known.digest = known.digest or one.digest
        known.manifest = _text(one, "manifest") or known.manifest
        known.verified = known.verified or record.sequence


def _quarantined(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    known = _version(index, record, one)
    if known and known.uid == one.subject.uid:
        known.quarantined = one.action == Action.QUARANTINED


def _documents(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    known, evidence = _version(index, record, one), one.detail.get("evidence")
    if known and known.uid == one.subject.uid:
        known.documents = sorted(evidence) if isinstance(evidence, dict) else []


def _held(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    if known := _version(index, record, one):
        known.held = _text(one, "manifest") or None if one.action == Action.HELD else None
        known.holds += 1


def _restored(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    objects, promotions = (one.detail.get(name) for name in ("objects", "promotions"))
    for name in objects if isinstance(objects, list) else ():
        kind, _, called = str(name).partition("/")
        known = index.versions.get(called.removeprefix(f"{record.chain.model}-"))
        if known and kind == "ModelVersion":
            known.lost = True
    for name in promotions if isinstance(promotions, list) else ():
        if asked := index.promotions.get(str(name)):
            asked.lost = True


def _told_of_version(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    _version(index, record, one)


def _deleted(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    if one.subject.kind == "Model":
        index.deleted = True
    elif one.subject.kind == "ModelVersion":
        known = _version(index, record, one)
        if known and known.uid == one.subject.uid:
            known.deleted = True
        elif known and known.other == one.subject.uid:
            known.other = ""
    elif asked := index.promotions.get(one.subject.name):
        asked.deleted = True
        asked.facts.append(record.sequence)


def _promotion(index: Index, record: ledger.Record, one: ledger.Fact) -> Promotion | None:
    """The Promotion that a fact is about, which now has one more record; None when its name is another's, that ran."""
    was = index.promotions.get(one.subject.name)
    if was is None or (was.uid != one.subject.uid and not was.phase):
        was = Promotion(one.subject.uid, _text(one, "version"), _text(one, "stage"), rollback=bool(one.detail.get("rollback")))
        index.promotions[one.subject.name] = was
    if was.uid != one.subject.uid:
        return None
    if not was.facts or was.facts[-1] != record.sequence:
        was.facts.append(record.sequence)
    return was


def _requested(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    if known := _promotion(index, record, one):
        known.requester, known.spec = one.actor.name, one.digest or ""


def _steered(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    if known := _promotion(index, record, one):
        known.spec = one.digest or known.spec


def _approval(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    if (known := _promotion(index, record, one)) is None:
        return
    user, gate = one.actor.name, _text(one, "gate")
    known.approvals = [said for said in known.approvals if said[:2] != [user, gate]]
    known.approvals.append([user, gate, str(one.action), one.digest, one.detail.get("doubted") is not True])


def _granted(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    _version(index, record, one)
    if known := _promotion(index, record, one):
        known.granted = record.sequence


def _ended(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    _version(index, record, one)
    phase, stage, version = (_text(one, name) for name in ("phase", "stage", "version"))
    if known := _promotion(index, record, one):
        known.phase, known.reason, known.message = phase, _text(one, "reason"), _text(one, "message")
        known.ended = known.ended or ledger.write_time(one.at or record.time)  # Superseded, it had ended before
        known.succeeded = known.succeeded or phase == "Succeeded"
    if phase == "Succeeded":
        here = index.succeeded.get(stage, [])
        undone = here[-1] if known and known.rollback and here and here[-1] != version else None
        index.succeeded[stage] = [*(one for one in here if one not in {undone, version}), version]


def _accepted(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    del record
    flaws = one.detail.get("flaws")
    for flaw in flaws if isinstance(flaws, list) else ():
        if isinstance(flaw, dict):
            index.accepted.append([flaw.get("kind"), flaw.get("sequence"), flaw.get("head")])


def _forgotten(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    index.forgotten.append([_text(one, "since"), _text(one, "until"), record.sequence])


def _term(index: Index, record: ledger.Record, one: ledger.Fact) -> None:
    since = one.detail.get("unobservedSince")
    began = one.action == Action.TERM_BEGAN
    index.terms.append([began, since if isinstance(since, str) else None, ledger.write_time(record.time), record.sequence])
    del index.terms[:-TERMS]


_LIFECYCLE: Final = {Action.DEPRECATED: "Deprecated", Action.REACTIVATED: "Active", Action.RETIRED: "Retired"}
_FOLDS: Final[Mapping[Action, Any]] = {
    Action.MODEL_CREATED: _model,
    Action.RULES_CHANGED: _rules,
    Action.REGISTERED: _registered,
    Action.ATTESTED: _attested,
    Action.DESCRIBED: _changed,
    Action.DEPRECATED: _changed,
    Action.REACTIVATED: _changed,
    Action.RETIRED: _retired,
    Action.DELETED: _deleted,
    Action.REQUESTED: _requested,
    Action.STEERED: _steered,
    Action.APPROVED: _approval,
    Action.REJECTED: _approval,
    Action.WITHDRAWN: _approval,
    Action.VERIFIED: _verified,
    Action.EVIDENCE_VERIFIED: _documents,
    Action.HELD: _held,
    Action.RELEASED: _held,
    Action.RESTORED: _restored,
    Action.QUARANTINED: _quarantined,
    Action.RECOVERED: _quarantined,
    Action.GRANTED: _granted,
    Action.ENDED: _ended,
    Action.FORGOTTEN: _forgotten,
    Action.ACCEPTED: _accepted,
    Action.TERM_BEGAN: _term,
    Action.TERM_ENDED: _term,
}
"""What each action means for the index; the others mean nothing for it."""
