"""What each record means for the index of its chain."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from modelyard.ledger import codec, index, traffic
from modelyard.ledger.record import Action, Chain, Fact, Record

RECENT: Final = 512
"""Ids of facts that are remembered: far more than can be under way when an operator dies."""
TURNS: Final = 128
"""Changes of weight of one version in one stage whose records are remembered; where a version began and ended is, however often."""
TERMS: Final = 256
"""Terms of leadership that are remembered, in the chain of the installation."""


def add(folded: index.Index, record: Record) -> None:
    """Fold the next record in; nothing that `codec.read` takes can be too odd for it."""
    folded.sequence = record.sequence
    for one in record.facts:
        tell(folded, record, one)
        folded.recent.append(one.id)
    del folded.recent[:-RECENT]
    _serve(folded, record)


def tell(folded: index.Index, record: Record, one: Fact) -> None:
    """What one fact of a record means, without what the record says of serving."""
    _FOLDS.get(one.action, _ignore)(folded, record, one)


def with_waiting(known: index.Index, facts: Sequence[Fact]) -> index.Index:
    """What an index comes to once these facts are recorded too, as far as promotions and what Succeeded go; the index itself stays as it is."""
    if not facts:
        return known
    told = {one.subject.name for one in facts} | set(known.came_by.values())
    ahead = index.Index(
        sequence=known.sequence,
        promotions={
            name: dataclasses.replace(one, facts=list(one.facts), approvals=list(one.approvals)) if name in told else one
            for name, one in known.promotions.items()
        },
        succeeded=dict(known.succeeded),
        came_by=dict(known.came_by),
    )
    time = max((one.at for one in facts if one.at), default=datetime.datetime.min.replace(tzinfo=datetime.UTC))
    record = Record(Chain("", "", ""), known.sequence + 1, None, time, None, 0, tuple(facts), (), None)
    for one in facts:
        tell(ahead, record, one)
    return ahead


def _serve(folded: index.Index, record: Record) -> None:
    """Spans begin, turn and end as the record tells, step by step."""
    for step in traffic.steps(record, tuple(folded.serves)):
        now = {share.version: share for share in step.shares}
        was = folded.serves.get(step.stage, {})
        for version in was.keys() - now.keys():
            span = folded.served[step.stage][version]
            span.ended.append([span.since or "", codec.write_time(step.moment)])
            span.since = None
            _turn(span, record.sequence, certain=True)
        for version, share in now.items():
            span = folded.served.setdefault(step.stage, {}).setdefault(version, index.Span())
            if version not in was:
                span.since = codec.write_time(min(share.since, step.moment))
            if was.get(version) != [share.weight, share.digest]:
                _turn(span, record.sequence, certain=version not in was)
        folded.serves[step.stage] = {version: [share.weight, share.digest] for version, share in sorted(now.items())}
    folded.serves = {stage: now for stage, now in folded.serves.items() if now}


def _turn(span: index.Span, number: int, *, certain: bool) -> None:
    """Remember a record, unless it is one of too many."""
    if span.turns and span.turns[-1] == number:
        return
    if certain or len(span.turns) < TURNS:
        span.turns.append(number)
    else:
        span.missed += 1


def _text(one: Fact, name: str) -> str:
    """A text of a fact's detail; empty when there is none."""
    value = one.detail.get(name)
    return value if isinstance(value, str) else ""


def _texts(one: Fact, name: str) -> list[str]:
    """The texts in a list of a fact's detail."""
    value = one.detail.get(name)
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _ignore(folded: index.Index, record: Record, one: Fact) -> None:
    """Nothing is asked about it again."""


def _model(folded: index.Index, record: Record, one: Fact) -> None:
    for stage in list(folded.came_by) if folded.deleted else ():
        _supersede(folded, stage, [codec.write_time(one.at or record.time), "", ""])
    for asked in folded.promotions.values() if folded.deleted else ():
        asked.lost = asked.lost or (asked.deleted and not asked.phase)  # it went with the Model before: nobody said no to what it asked for
    folded.uid, folded.spec, folded.generation = one.subject.uid, one.digest, one.subject.generation
    folded.deleted = folded.retired = False


def _rules(folded: index.Index, record: Record, one: Fact) -> None:
    folded.spec, folded.generation = one.digest, one.subject.generation
    for stage in touched(one):
        for name in [stage] if stage != "*" else list(folded.templates):
            _runs(folded, record, name)


def touched(fact: Fact) -> Iterator[str]:
    """The stages whose serving a change of the Model's spec may have changed; `*`: any."""
    changed = fact.detail.get("changed")
    for path in changed if isinstance(changed, list) else ():
        parts = str(path).split("/")
        if path == "/" or parts == ["stages"]:
            yield "*"
        elif parts[0] == "stages" and (
            len(parts) == 2 or parts[2:] == ["serving"] or parts[2:4] in (["serving", "template"], ["serving", "port"])
        ):
            yield parts[1]


def _runs(folded: index.Index, record: Record, stage: str) -> None:
    """The record tells of what a stage runs, or may run; the last that was granted is kept, of others the latest."""
    numbers = folded.templates.setdefault(stage, [])
    if not numbers or numbers[-1] != record.sequence:
        numbers.append(record.sequence)
    del numbers[1 : -TURNS + 1]


def _rollout(folded: index.Index, record: Record, one: Fact) -> None:
    _runs(folded, record, _text(one, "stage"))


def _registered(folded: index.Index, record: Record, one: Fact) -> None:
    name, meant = _text(one, "version"), _text(one, "specDigest")
    was = folded.versions.get(name)
    if was and (was.digest or (was.lost and was.spec_digest == meant)):  # once Ready, a name means the same for ever; so does what was lost
        _version(folded, record, one)
        if was.spec_digest != meant or one.detail.get("otherwise"):
            was.other = one.subject.uid
            return
        was.uid, was.spec, was.generation = one.subject.uid, one.digest or was.spec, one.subject.generation
        again = {*was.again, one.actor.name, *_texts(one, "authors")}  # nobody who may have done it approves it
        was.again = was.again if was.lost else sorted(again - {was.registrant, ""})
        was.deleted, was.other, was.lost = False, "", False
        was.lifecycle = was.lifecycle if was.retired else "Active"  # another lifecycle is a fact of its own
        return
    folded.versions[name] = index.Version(
        one.subject.uid,
        record.sequence,
        registrant=one.actor.name,
        spec=one.digest or "",
        generation=one.subject.generation,
        spec_digest=meant,
        attested=dict.fromkeys(_texts(one, "unattributed"), ""),
        facts=[record.sequence],
    )


def _version(folded: index.Index, record: Record, one: Fact) -> index.Version | None:
    """The version that a fact is about, which now has one more record."""
    known = folded.versions.get(_text(one, "version"))
    if known:
        _note(known, record)
    return known


def _note(known: index.Version | index.Promotion, record: Record) -> None:
    """The record tells of it."""
    if not known.facts or known.facts[-1] != record.sequence:
        known.facts.append(record.sequence)


def _changed(folded: index.Index, record: Record, one: Fact) -> None:
    if (known := _version(folded, record, one)) and known.uid == one.subject.uid:
        known.spec, known.generation = one.digest or known.spec, one.subject.generation
        if not known.retired:
            known.lifecycle = _LIFECYCLE.get(one.action, known.lifecycle)
        if one.action == Action.RETIRED and not known.retired:
            known.retired = [codec.write_time(one.at or record.time), one.actor.name]


def _attested(folded: index.Index, record: Record, one: Fact) -> None:
    _changed(folded, record, one)
    known = folded.versions.get(_text(one, "version"))
    if known is None or known.uid != one.subject.uid:
        return
    metrics, evidence = one.detail.get("metrics"), one.detail.get("evidence")
    added = [f"metrics/{name}" for name in (metrics if isinstance(metrics, dict) else ())]
    added += [f"evidence/{row.get('name')}" for row in (evidence if isinstance(evidence, list) else ()) if isinstance(row, dict)]
    known.attested |= dict.fromkeys(added, one.actor.name)


def _retired(folded: index.Index, record: Record, one: Fact) -> None:
    if one.detail.get("version"):
        _changed(folded, record, one)
    else:
        folded.retired, folded.spec = True, one.digest or folded.spec


def _verified(folded: index.Index, record: Record, one: Fact) -> None:
    if known := _version(folded, record, one):
        known.digest = known.digest or one.digest
        known.manifest = _text(one, "manifest") or known.manifest
        known.verified = known.verified or record.sequence


def _quarantined(folded: index.Index, record: Record, one: Fact) -> None:
    known = _version(folded, record, one)
    if known and known.uid == one.subject.uid:
        known.quarantined = one.action == Action.QUARANTINED


def _documents(folded: index.Index, record: Record, one: Fact) -> None:
    known, evidence = _version(folded, record, one), one.detail.get("evidence")
    if known and known.uid == one.subject.uid:
        known.documents = sorted(evidence) if isinstance(evidence, dict) else []


def _held(folded: index.Index, record: Record, one: Fact) -> None:
    if known := _version(folded, record, one):
        known.held = _text(one, "manifest") or None if one.action == Action.HELD else None
        known.holds += 1


def _restored(folded: index.Index, record: Record, one: Fact) -> None:
    objects, promotions = (one.detail.get(name) for name in ("objects", "promotions"))
    for name in objects if isinstance(objects, list) else ():
        kind, _, called = str(name).partition("/")
        known = folded.versions.get(called.removeprefix(f"{record.chain.model}-"))
        if known and kind == "ModelVersion":
            known.lost = True
            _note(known, record)
    for name in promotions if isinstance(promotions, list) else ():
        if asked := folded.promotions.get(str(name)):
            asked.lost = True
            _note(asked, record)


def _deleted(folded: index.Index, record: Record, one: Fact) -> None:
    if one.subject.kind == "Model":
        folded.deleted = True
    elif one.subject.kind == "ModelVersion":
        known = _version(folded, record, one)
        if known and known.uid == one.subject.uid:
            known.deleted, known.lost = True, False
        elif known and known.other == one.subject.uid:
            known.other = ""
    elif (asked := folded.promotions.get(one.subject.name)) and asked.uid == one.subject.uid:
        asked.deleted = True
        _note(asked, record)


def _promotion(folded: index.Index, record: Record, one: Fact) -> index.Promotion | None:
    """The Promotion that a fact is about, which now has one more record; None when its name is another's, that ran."""
    was = folded.promotions.get(one.subject.name)
    if was is None or (was.uid != one.subject.uid and not was.keeps_its_name_from(one.subject.uid)):
        was = index.Promotion(one.subject.uid, _text(one, "version"), _text(one, "stage"), rollback=bool(one.detail.get("rollback")))
        folded.promotions[one.subject.name] = was
    if was.uid != one.subject.uid:
        return None
    _note(was, record)
    return was


def _requested(folded: index.Index, record: Record, one: Fact) -> None:
    if known := _promotion(folded, record, one):
        known.requester, known.spec, known.request_reason = one.actor.name, one.digest or "", _text(one, "reason")
        known.generation = one.subject.generation


def _steered(folded: index.Index, record: Record, one: Fact) -> None:
    if known := _promotion(folded, record, one):
        known.spec, known.generation = one.digest or known.spec, one.subject.generation


def _approval(folded: index.Index, record: Record, one: Fact) -> None:
    if (known := _promotion(folded, record, one)) is None:
        return
    user, gate = one.actor.name, _text(one, "gate")
    known.approvals = [said for said in known.approvals if said[:2] != [user, gate]]
    known.approvals.append([user, gate, str(one.action), one.digest, one.detail.get("doubted") is not True])


def _granted(folded: index.Index, record: Record, one: Fact) -> None:
    _version(folded, record, one)
    if known := _promotion(folded, record, one):
        known.granted = record.sequence
        _runs(folded, record, known.stage)


def _ended(folded: index.Index, record: Record, one: Fact) -> None:
    """How a promotion ended, once: after that only what it brought can be superseded."""
    _version(folded, record, one)
    phase, when = _text(one, "phase"), codec.write_time(one.at or record.time)
    known = _promotion(folded, record, one)
    if known and known.phase and not (phase == _SUPERSEDED and known.phase in {_SUCCEEDED, _SUPERSEDED}):
        return
    if known:
        known.phase, known.reason, known.message = phase, _text(one, "reason"), _text(one, "message")
        known.ended = known.ended or when  # Superseded, it had ended before
        known.succeeded = known.succeeded or phase == _SUCCEEDED
        _runs(folded, record, known.stage)
        if phase == _SUCCEEDED and not known.rollback and known.granted:
            since = known.granted
            folded.templates[known.stage] = [number for number in folded.templates[known.stage] if number >= since]
    if phase == _SUCCEEDED:
        _succeeded(folded, one, known, when)


def _succeeded(folded: index.Index, one: Fact, known: index.Promotion | None, when: str) -> None:
    """What a stage came to stand for, and by which promotion; what came before is superseded, or undone by a rollback."""
    stage, version = _text(one, "stage"), _text(one, "version")
    here = folded.succeeded.get(stage, [])
    rollback = known.rollback if known else one.detail.get("rollback") is True
    undone = here[-1][0] if rollback and here and here[-1][0] != version else None
    since = next((began for stood, began in here if stood == version), when)
    folded.succeeded[stage] = [*(stood for stood in here if stood[0] not in {undone, version}), [version, since]]
    _supersede(folded, stage, [when, one.subject.name, version])
    if known:
        folded.came_by[stage] = one.subject.name


def _supersede(folded: index.Index, stage: str, why: list[str]) -> None:
    """The promotion that Succeeded last in a stage has not any more, whether or not its object is there to be told so."""
    name = folded.came_by.pop(stage, None)
    last = folded.promotions.get(name) if name else None
    if last is None or not last.succeeded or last.superseded:
        return
    last.superseded = why
    if last.phase == _SUPERSEDED:
        return  # it was told so itself
    when, by, version = why
    last.phase, last.reason = _SUPERSEDED, _SUPERSEDED
    last.message = f"superseded by {by} ({version}) on {when[:10]}" if by else f"{stage} was taken down on {when[:10]}"


def _decommissioned(folded: index.Index, record: Record, one: Fact) -> None:
    _supersede(folded, _text(one, "stage"), [codec.write_time(one.at or record.time), "", ""])


def _forgotten(folded: index.Index, record: Record, one: Fact) -> None:
    folded.forgotten.append([_text(one, "since"), _text(one, "until"), record.sequence])


def _term(folded: index.Index, record: Record, one: Fact) -> None:
    since = one.detail.get("unobservedSince")
    began = one.action == Action.TERM_BEGAN
    folded.terms.append([began, since if isinstance(since, str) else None, codec.write_time(record.time), record.sequence])
    del folded.terms[:-TERMS]


_SUCCEEDED: Final = "Succeeded"
_SUPERSEDED: Final = "Superseded"
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
    Action.DECOMMISSIONED: _decommissioned,
    Action.ROLLOUT: _rollout,
    Action.FORGOTTEN: _forgotten,
    Action.TERM_BEGAN: _term,
    Action.TERM_ENDED: _term,
}
"""What each action means for the index; the others mean nothing for it."""
