"""Answers to "what served then, and where did it come from?": plain data, as `modelyard explain -o json` prints it. Pure."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from modelyard import api
from modelyard.audit import periods, provenance, templates
from modelyard.ledger import codec, coverage, fold, index, reader, traffic
from modelyard.ledger.record import Record, Share, StageState

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What a stage served at an instant."""

    state: StageState
    late: bool = False
    """It was seen before the instant and recorded after it."""


def at(
    book: reader.Book,
    moment: datetime.datetime,
    stage: str | None = None,
    gaps: Sequence[coverage.Gap] = (),
    wanted: Collection[str] | None = None,
) -> Json:
    """What served at an instant, in one stage or in every one, and everything about it.

    Args:
        book: the model's chain.
        moment: the instant.
        stage: only this stage.
        gaps: when nobody watched.
        wanted: only these versions.
    """
    number = book.at(moment)
    looked = book.looked(number, moment)
    record, after, told = book.record(number), book.record(number + 1), book.record(looked + 1)
    seen = [one for one in stages(book.record(looked), told, moment) if stage in {None, one.state.name}]
    gap = next((one for one in coverage.lost(told) if one.covers(moment)), None) or _gap(gaps, moment, record)
    folded = book.index(number)
    rules = folded.spec
    for later in book.records(range(number + 1, looked + 1 + any(one.late for one in seen))):
        fold.add(folded, later)
    shown = [(one.state.name, share) for one in seen for share in one.state.serves if wanted is None or share.version in wanted]
    names = dict.fromkeys(share.version for _, share in shown)
    return {
        **_about(book),
        "at": codec.write_time(moment),
        "stage": stage,
        "record": _record(book, record),
        "serves": [{**_stage(one, wanted), "template": _template(book, folded, one.state.name, moment)} for one in seen],
        "unobserved": _unobserved(gap, after, stage) if gap else None,
        "model": _model(book, rules),
        "versions": [_version(book, name, known(book, folded, name, moment), shown) for name in names],
        "warnings": [],
    }


def over_time(book: reader.Book, wanted: Iterable[str], gaps: Sequence[coverage.Gap] = (), stage: str | None = None) -> Json:
    """Where and when versions served, and everything about them; reads the end of the chain, and the few records that tell of them."""
    names = list(wanted)
    folded = book.index(book.last)
    spans = {(where, name): span for where, versions in folded.served.items() for name, span in versions.items() if name in names}
    turns = sorted({number for span in spans.values() for number in span.turns})
    spells = [one for one in periods.of(book.records(turns), names.__contains__) if stage in {None, one.stage}]
    missing = [*gaps, *coverage.forgotten(folded)]
    return {
        **_about(book),
        "stage": stage,
        "record": _record(book, book.record(book.last)),
        "served": [_spell(one, missing) for one in spells],
        "model": _model(book, folded.spec),
        "versions": [_version(book, name, known(book, folded, name), None) for name in names],
        "warnings": [_coarse(book, *key, span.missed) for key, span in spans.items() if span.missed],
    }


def _coarse(book: reader.Book, stage: str, version: str, missed: int) -> str:
    return f"{missed} more changes of the share of {version} in {stage} are not listed: `modelyard history {book.chain.model}` has them all"


def stages(record: Record | None, told: Record | None, moment: datetime.datetime) -> list[Seen]:
    """What every stage served.

    Args:
        record: the last that looked at or before the moment.
        told: the one after it, which may tell what was seen by then.
        moment: the instant.
    """
    now = {one.name: Seen(one) for one in (record.state if record else ())}
    later = {one.name: one for one in (told.state if told else ())}
    for step in traffic.steps(told) if told else ():
        if step.moment > moment:
            continue
        before = now.get(step.stage, Seen(StageState(step.stage))).state
        stands = later.get(step.stage, before)
        stands = stands if stands.since and stands.since <= moment else before
        now[step.stage] = Seen(dataclasses.replace(stands, serves=step.shares), late=True)
    return [now[name] for name in sorted(now)]


def known(book: reader.Book, folded: index.Index, version: str, until: datetime.datetime | None = None) -> provenance.Account:
    """A version's account up to a moment, from the few records that tell of it as far as an index counts."""
    numbers = set(folded.versions[version].facts) if version in folded.versions else set()
    for asked in folded.promotions.values():
        if asked.version == version:
            numbers |= set(asked.facts)
    return provenance.of(version, book.records(sorted(numbers)), until)


def by_digest(folded: index.Index, digest: str) -> list[str]:
    """The versions that have an artifact of this digest."""
    return [name for name, one in folded.versions.items() if one.digest == digest]


def _gap(gaps: Sequence[coverage.Gap], moment: datetime.datetime, record: Record | None) -> coverage.Gap | None:
    """The span without anybody watching that the moment is in; what was recorded within it was seen, so that it begins after that."""
    for gap in gaps:
        if gap.covers(moment):
            since = max((one for one in (gap.since, record.time if record else None) if one), default=None)
            return dataclasses.replace(gap, since=since)
    return None


def _about(book: reader.Book) -> Json:
    return {"registry": book.chain.registry, "namespace": book.chain.namespace, "name": book.chain.model}


def _record(book: reader.Book, record: Record | None) -> Json | None:
    if record is None:
        return None
    data = book.data(record.sequence)
    digest = codec.named(data) if data is not None else None
    return {"sequence": record.sequence, "time": codec.write_time(record.time), "digest": digest}


def _stage(seen: Seen, wanted: Collection[str] | None) -> Json:
    state = seen.state
    return {
        "stage": state.name,
        "standsFor": {"version": state.current, "digest": state.digest, "since": _time(state.since)} if state.current else None,
        "versions": [
            {"version": one.version, "weight": one.weight, "digest": one.digest, "since": _time(one.since)}
            for one in state.serves
            if wanted is None or one.version in wanted
        ],
        "recordedLater": seen.late,
    }


def _template(book: reader.Book, folded: index.Index, stage: str, moment: datetime.datetime) -> list[Json]:
    """The templates that came to a stage since its last promotion, without another one that people could approve."""
    records = (record for record in book.records(folded.templates.get(stage, [])) if record.time <= moment)
    found = templates.unapproved(records, book.blob)
    return [templates.document(one, book.blob) for one in found if one.stage == stage]


def _unobserved(gap: coverage.Gap, after: Record | None, stage: str | None) -> Json:
    then = [_stage(Seen(one), None) for one in (after.state if after else ()) if stage in {None, one.name}]
    return {"since": _time(gap.since), "until": _time(gap.until), "words": gap.words, "seenNext": then}


def _spell(one: periods.Spell, gaps: Sequence[coverage.Gap]) -> Json:
    return {
        "stage": one.stage,
        "version": one.version,
        "weight": one.weight,
        "digest": one.digest,
        "since": _time(one.since),
        "until": _time(one.until),
        "records": [number for number in (one.began, one.ended) if number],
        "unobserved": [gap.words for gap in gaps if gap.overlaps(one.since, one.until)],
    }


def _model(book: reader.Book, name: str | None) -> Json:
    spec = provenance.snapshot(api.Model, book.blob(name))
    kept = ("description", "owner", "intendedUse", "riskTier", "lifecycle", "tags", "aliases")
    return {"spec": name, **{field: spec[field] for field in kept if field in spec}}


def _version(book: reader.Book, name: str, of: provenance.Account, shown: Sequence[tuple[str, Share]] | None) -> Json:
    spec = provenance.snapshot(api.ModelVersion, book.blob(of.spec))
    training = spec.get("training") or {}
    lineage = spec.get("lineage") or {}
    here = None if shown is None else {stage for stage, share in shown if share.version == name}
    last = of.verified[-1] if of.verified else None
    return {
        "version": name,
        "digest": of.digest,
        "registered": _who(of.registered),
        "specDigest": of.registered.text("specDigest") if of.registered else None,
        "spec": of.spec,
        "verified": {**_when(last), **{key: last.fact.detail.get(key) for key in ("files", "bytes", "manifest")}} if last else None,
        "artifact": spec.get("artifact"),
        "source": training.get("source"),
        "training": {key: value for key, value in training.items() if key not in {"source", "parameters"}},
        "parameters": training.get("parameters") or {},
        "datasets": lineage.get("datasets") or [],
        "parents": lineage.get("parents") or [],
        "metrics": spec.get("metrics") or {},
        "evidence": [{**one, "verified": of.evidence.get(one.get("name")) == one.get("sha256")} for one in spec.get("evidence") or []],
        "lifecycle": [{**_who(one), "action": str(one.fact.action), "reason": one.text("reason")} for one in of.lifecycle],
        "promotions": [_request(one) for one in _brought(of.requests, here)],
    }


def _brought(requests: Sequence[provenance.Request], here: set[str] | None) -> list[provenance.Request]:
    """What brought a version to these stages: the last one granted in each; every request when no stage is asked about."""
    if here is None:
        return list(requests)
    return [
        found[-1]
        for stage in sorted(here)
        if (found := [one for one in requests if one.stage == stage and one.granted] or [one for one in requests if one.stage == stage])
    ]


def _request(one: provenance.Request) -> Json:
    gates = one.granted.fact.detail.get("gates") if one.granted else None
    return {
        "name": one.name,
        "stage": one.stage,
        "requested": {**_who(one.requested), "reason": one.requested.text("reason")} if one.requested else None,
        "approvals": [
            {
                **_who(word),
                "decision": str(word.fact.action),
                "gate": word.text("gate"),
                "comment": word.text("comment"),
                "counts": counts(word),
            }
            for word in one.said
        ],
        "granted": {**_when(one.granted), "policy": one.granted.fact.detail.get("policy"), "gates": gates or []} if one.granted else None,
        "ended": {**_when(one.ended), **{key: one.ended.text(key) for key in ("phase", "reason", "message")}} if one.ended else None,
    }


def counts(word: provenance.Told) -> bool:
    """Whether an approval counted when it was recorded; a rejection always does."""
    return word.fact.detail.get("counts", True) is not False


def _who(one: provenance.Told | None) -> Json:
    return one.who() if one else {}


def _when(one: provenance.Told) -> Json:
    """When it happened, as far as that was noted, and where it is recorded."""
    return {"at": codec.write_time(one.time), "record": one.record}


def _time(moment: datetime.datetime | None) -> str | None:
    return codec.write_time(moment) if moment else None
