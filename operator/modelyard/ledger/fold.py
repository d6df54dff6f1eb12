"""Fold each record into the index of its chain."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from modelyard.ledger import codec, index, traffic
from modelyard.ledger.record import Action, Chain, LedgerEntry, Record

RECENT: Final = 512
"""Ids of entries that the index keeps: far more than can be under way when an operator dies."""
TURNS: Final = 128
"""Changes of weight of one version in one stage whose record numbers the index keeps; it keeps every begin and end of serving, however many."""
TERMS: Final = 256
"""Terms of leadership that the index of the installation's chain keeps."""


def add(folded: index.Index, record: Record) -> None:
    """Fold the next record in; every record that `codec.read` accepts can be folded."""
    folded.sequence = record.sequence
    for entry in record.facts:
        add_entry(folded, record, entry)
        folded.recent.append(entry.id)
    del folded.recent[:-RECENT]
    _serve(folded, record)


def add_entry(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    """Fold one entry of a record in, without what the record says of serving."""
    _FOLDS.get(entry.action, _ignore)(folded, record, entry)


def with_unrecorded(past: index.Index, facts: Sequence[LedgerEntry]) -> index.Index:
    """Return the index with these unrecorded entries folded in, for promotions and successes only; `past` itself does not change."""
    if not facts:
        return past
    touched_names = {entry.subject.name for entry in facts} | set(past.came_by.values())
    ahead = index.Index(
        sequence=past.sequence,
        promotions={
            name: dataclasses.replace(promotion, facts=list(promotion.facts), approvals=list(promotion.approvals))
            if name in touched_names
            else promotion
            for name, promotion in past.promotions.items()
        },
        succeeded=dict(past.succeeded),
        came_by=dict(past.came_by),
    )
    time = max((entry.at for entry in facts if entry.at), default=datetime.datetime.min.replace(tzinfo=datetime.UTC))
    record = Record(Chain("", "", ""), past.sequence + 1, None, time, None, 0, tuple(facts), (), None)
    for entry in facts:
        add_entry(ahead, record, entry)
    return ahead


def _serve(folded: index.Index, record: Record) -> None:
    """Begin, change and end spans of serving, step by step, as the record says."""
    for step in traffic.steps(record, tuple(folded.serves)):
        after = {share.version: share for share in step.shares}
        before = folded.serves.get(step.stage, {})
        for version in before.keys() - after.keys():
            span = folded.served[step.stage][version]
            span.ended.append([span.since or "", codec.write_time(step.moment)])
            span.since = None
            _add_turn(span, record.sequence, certain=True)
        for version, share in after.items():
            span = folded.served.setdefault(step.stage, {}).setdefault(version, index.Span())
            if version not in before:
                span.since = codec.write_time(min(share.since, step.moment))
            if before.get(version) != [share.weight, share.digest]:
                _add_turn(span, record.sequence, certain=version not in before)
        folded.serves[step.stage] = {version: [share.weight, share.digest] for version, share in sorted(after.items())}
    folded.serves = {stage: after for stage, after in folded.serves.items() if after}


def _add_turn(span: index.Span, number: int, *, certain: bool) -> None:
    """Keep the number of a record that changes a span; beyond `TURNS`, only count it."""
    if span.turns and span.turns[-1] == number:
        return
    if certain or len(span.turns) < TURNS:
        span.turns.append(number)
    else:
        span.missed += 1


def _text(entry: LedgerEntry, name: str) -> str:
    """A text in an entry's detail; empty when there is none."""
    value = entry.detail.get(name)
    return value if isinstance(value, str) else ""


def _texts(entry: LedgerEntry, name: str) -> list[str]:
    """The texts of a list in an entry's detail."""
    value = entry.detail.get(name)
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _ignore(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    """The index keeps nothing of this action."""


def _model(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    for stage in list(folded.came_by) if folded.deleted else ():
        _supersede(folded, stage, [codec.write_time(entry.at or record.time), "", ""])
    for promotion in folded.promotions.values() if folded.deleted else ():
        # Deleted with the former Model: nobody refused what it requested.
        promotion.lost = promotion.lost or (promotion.deleted and not promotion.phase)
    folded.uid, folded.spec, folded.generation = entry.subject.uid, entry.digest, entry.subject.generation
    folded.deleted = folded.retired = False


def _rules(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    folded.spec, folded.generation = entry.digest, entry.subject.generation
    for stage in touched(entry):
        for name in [stage] if stage != "*" else list(folded.templates):
            _add_template_record(folded, record, name)


def touched(fact: LedgerEntry) -> Iterator[str]:
    """The stages whose serving a change of the Model's spec may have changed; `*` means any stage."""
    changed = fact.detail.get("changed")
    for path in changed if isinstance(changed, list) else ():
        parts = str(path).split("/")
        if path == "/" or parts == ["stages"]:
            yield "*"
        elif parts[0] == "stages" and (
            len(parts) == 2 or parts[2:] == ["serving"] or parts[2:4] in (["serving", "template"], ["serving", "port"])
        ):
            yield parts[1]


def _add_template_record(folded: index.Index, record: Record, stage: str) -> None:
    """Keep the number of a record that says what a stage runs, or may run: the last granted one, and the latest of the others."""
    numbers = folded.templates.setdefault(stage, [])
    if not numbers or numbers[-1] != record.sequence:
        numbers.append(record.sequence)
    del numbers[1 : -TURNS + 1]


def _rollout(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    _add_template_record(folded, record, _text(entry, "stage"))


def _registered(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    name, spec_digest = _text(entry, "version"), _text(entry, "specDigest")
    version = folded.versions.get(name)
    # Once Ready, a name means the same for ever; so does the name of a lost version.
    if version and (version.digest or (version.lost and version.spec_digest == spec_digest)):
        _version(folded, record, entry)
        if version.spec_digest != spec_digest or entry.detail.get("otherwise"):
            version.other = entry.subject.uid
            return
        version.uid, version.spec, version.generation = entry.subject.uid, entry.digest or version.spec, entry.subject.generation
        again = {*version.again, entry.actor.name, *_texts(entry, "authors")}  # who may have registered it may not approve it
        version.again = version.again if version.lost else sorted(again - {version.registrant, ""})
        version.deleted, version.other, version.lost = False, "", False
        version.lifecycle = version.lifecycle if version.retired else "Active"  # another lifecycle has its own entry
        return
    folded.versions[name] = index.Version(
        entry.subject.uid,
        record.sequence,
        registrant=entry.actor.name,
        spec=entry.digest or "",
        generation=entry.subject.generation,
        spec_digest=spec_digest,
        attested=dict.fromkeys(_texts(entry, "unattributed"), ""),
        facts=[record.sequence],
    )


def _version(folded: index.Index, record: Record, entry: LedgerEntry) -> index.Version | None:
    """The version that an entry is about; adds the record to its records."""
    version = folded.versions.get(_text(entry, "version"))
    if version:
        _add_record(version, record)
    return version


def _add_record(item: index.Version | index.Promotion, record: Record) -> None:
    """Add the record to those of a version or Promotion."""
    if not item.facts or item.facts[-1] != record.sequence:
        item.facts.append(record.sequence)


def _changed(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    if (version := _version(folded, record, entry)) and version.uid == entry.subject.uid:
        version.spec, version.generation = entry.digest or version.spec, entry.subject.generation
        if not version.retired:
            version.lifecycle = _LIFECYCLE.get(entry.action, version.lifecycle)
        if entry.action == Action.RETIRED and not version.retired:
            version.retired = [codec.write_time(entry.at or record.time), entry.actor.name]


def _attested(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    _changed(folded, record, entry)
    version = folded.versions.get(_text(entry, "version"))
    if version is None or version.uid != entry.subject.uid:
        return
    metrics, evidence = entry.detail.get("metrics"), entry.detail.get("evidence")
    added = [f"metrics/{name}" for name in (metrics if isinstance(metrics, dict) else ())]
    added += [f"evidence/{row.get('name')}" for row in (evidence if isinstance(evidence, list) else ()) if isinstance(row, dict)]
    version.attested |= dict.fromkeys(added, entry.actor.name)


def _retired(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    if entry.detail.get("version"):
        _changed(folded, record, entry)
    else:
        folded.retired, folded.spec = True, entry.digest or folded.spec


def _verified(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    if version := _version(folded, record, entry):
        version.digest = version.digest or entry.digest
        version.manifest = _text(entry, "manifest") or version.manifest
        version.verified = version.verified or record.sequence


def _quarantined(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    version = _version(folded, record, entry)
    if version and version.uid == entry.subject.uid:
        version.quarantined = entry.action == Action.QUARANTINED


def _documents(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    version, evidence = _version(folded, record, entry), entry.detail.get("evidence")
    if version and version.uid == entry.subject.uid:
        version.documents = sorted(evidence) if isinstance(evidence, dict) else []


def _legal_hold(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    if version := _version(folded, record, entry):
        version.held = _text(entry, "manifest") or None if entry.action == Action.HELD else None
        version.holds += 1


def _restored(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    objects, promotions = (entry.detail.get(name) for name in ("objects", "promotions"))
    for name in objects if isinstance(objects, list) else ():
        kind, _, object_name = str(name).partition("/")
        version = folded.versions.get(object_name.removeprefix(f"{record.chain.model}-"))
        if version and kind == "ModelVersion":
            version.lost = True
            _add_record(version, record)
    for name in promotions if isinstance(promotions, list) else ():
        if promotion := folded.promotions.get(str(name)):
            promotion.lost = True
            _add_record(promotion, record)


def _deleted(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    if entry.subject.kind == "Model":
        folded.deleted = True
    elif entry.subject.kind == "ModelVersion":
        version = _version(folded, record, entry)
        if version and version.uid == entry.subject.uid:
            version.deleted, version.lost = True, False
        elif version and version.other == entry.subject.uid:
            version.other = ""
    elif (promotion := folded.promotions.get(entry.subject.name)) and promotion.uid == entry.subject.uid:
        promotion.deleted = True
        _add_record(promotion, record)


def _promotion(folded: index.Index, record: Record, entry: LedgerEntry) -> index.Promotion | None:
    """The Promotion that an entry is about; adds the record to its records. None when the name belongs to another object, which ran."""
    promotion = folded.promotions.get(entry.subject.name)
    if promotion is None or (promotion.uid != entry.subject.uid and not promotion.keeps_its_name_from(entry.subject.uid)):
        promotion = index.Promotion(
            entry.subject.uid, _text(entry, "version"), _text(entry, "stage"), rollback=bool(entry.detail.get("rollback"))
        )
        folded.promotions[entry.subject.name] = promotion
    if promotion.uid != entry.subject.uid:
        return None
    _add_record(promotion, record)
    return promotion


def _requested(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    if promotion := _promotion(folded, record, entry):
        promotion.requester, promotion.spec, promotion.request_reason = entry.actor.name, entry.digest or "", _text(entry, "reason")
        promotion.generation = entry.subject.generation


def _steered(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    if promotion := _promotion(folded, record, entry):
        promotion.spec, promotion.generation = entry.digest or promotion.spec, entry.subject.generation


def _approval(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    if (promotion := _promotion(folded, record, entry)) is None:
        return
    user, gate = entry.actor.name, _text(entry, "gate")
    promotion.approvals = [row for row in promotion.approvals if row[:2] != [user, gate]]
    promotion.approvals.append([user, gate, str(entry.action), entry.digest, entry.detail.get("doubted") is not True])


def _granted(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    _version(folded, record, entry)
    if promotion := _promotion(folded, record, entry):
        promotion.granted = record.sequence
        _add_template_record(folded, record, promotion.stage)


def _ended(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    """Fold in how a promotion ended. It ends once; after that it can only be superseded, if it Succeeded."""
    _version(folded, record, entry)
    phase, when = _text(entry, "phase"), codec.write_time(entry.at or record.time)
    promotion = _promotion(folded, record, entry)
    if promotion and promotion.phase and not (phase == _SUPERSEDED and promotion.phase in {_SUCCEEDED, _SUPERSEDED}):
        return
    if promotion:
        promotion.phase, promotion.reason, promotion.message = phase, _text(entry, "reason"), _text(entry, "message")
        promotion.ended = promotion.ended or when  # Superseded, it had ended before
        promotion.succeeded = promotion.succeeded or phase == _SUCCEEDED
        _add_template_record(folded, record, promotion.stage)
        if phase == _SUCCEEDED and not promotion.rollback and promotion.granted:
            since = promotion.granted
            folded.templates[promotion.stage] = [number for number in folded.templates[promotion.stage] if number >= since]
    if phase == _SUCCEEDED:
        _succeeded(folded, entry, promotion, when)


def _succeeded(folded: index.Index, entry: LedgerEntry, promotion: index.Promotion | None, when: str) -> None:
    """Fold in a stage's new current version and its promotion. The promotion before is superseded; a rollback also takes away the success before."""
    stage, version = _text(entry, "stage"), _text(entry, "version")
    successes = folded.succeeded.get(stage, [])
    rollback = promotion.rollback if promotion else entry.detail.get("rollback") is True
    undone = successes[-1][0] if rollback and successes and successes[-1][0] != version else None
    since = next((began for name, began in successes if name == version), when)
    folded.succeeded[stage] = [*(row for row in successes if row[0] not in {undone, version}), [version, since]]
    _supersede(folded, stage, [when, entry.subject.name, version])
    if promotion:
        folded.came_by[stage] = entry.subject.name


def _supersede(folded: index.Index, stage: str, superseded: list[str]) -> None:
    """Mark the promotion that Succeeded last in a stage as superseded, whether or not its object still exists."""
    name = folded.came_by.pop(stage, None)
    last = folded.promotions.get(name) if name else None
    if last is None or not last.succeeded or last.superseded:
        return
    last.superseded = superseded
    if last.phase == _SUPERSEDED:
        return  # its own entry said so
    when, by, version = superseded
    last.phase, last.reason = _SUPERSEDED, _SUPERSEDED
    last.message = f"superseded by {by} ({version}) on {when[:10]}" if by else f"{stage} was taken down on {when[:10]}"


def _decommissioned(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    _supersede(folded, _text(entry, "stage"), [codec.write_time(entry.at or record.time), "", ""])


def _forgotten(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    folded.forgotten.append([_text(entry, "since"), _text(entry, "until"), record.sequence])


def _term(folded: index.Index, record: Record, entry: LedgerEntry) -> None:
    since = entry.detail.get("unobservedSince")
    began = entry.action == Action.TERM_BEGAN
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
    Action.HELD: _legal_hold,
    Action.RELEASED: _legal_hold,
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
"""How each action is folded; the index ignores all others."""
