"""Answers to "what served then, and where did it come from?": plain data, as `modelyard explain -o json` prints it. Pure."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from modelyard import api
from modelyard.audit import periods, provenance, templates
from modelyard.content.digest import named
from modelyard.ledger import codec, coverage, fold, index, reader, traffic
from modelyard.ledger.record import Record, Share, StageState

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Observation:
    """What a stage served at an instant."""

    state: StageState
    late: bool = False
    """The operator observed it before the instant and recorded it after the instant."""


def at(
    book: reader.ChainReader,
    moment: datetime.datetime,
    stage: str | None = None,
    gaps: Sequence[coverage.Gap] = (),
    wanted: Collection[str] | None = None,
) -> Json:
    """Return what served at an instant, in one stage or in every stage, and everything about it.

    Args:
        book: the model's chain.
        moment: the instant.
        stage: only this stage.
        gaps: the periods in which nobody watched.
        wanted: only these versions.
    """
    number = book.at(moment)
    latest = book.looked(number, moment)
    record, after, following = book.record(number), book.record(number + 1), book.record(latest + 1)
    observations = [
        observation for observation in stages(book.record(latest), following, moment) if stage in {None, observation.state.name}
    ]
    gap = next((loss for loss in coverage.lost(following) if loss.covers(moment)), None) or _gap(gaps, moment, record)
    folded = book.index(number)
    rules = folded.spec
    for newer in book.records(range(number + 1, latest + 1 + any(observation.late for observation in observations))):
        fold.add(folded, newer)
    shares = [
        (observation.state.name, share)
        for observation in observations
        for share in observation.state.serves
        if wanted is None or share.version in wanted
    ]
    versions = dict.fromkeys(share.version for _, share in shares)
    return {
        **_about(book),
        "at": codec.write_time(moment),
        "stage": stage,
        "record": _record(book, record),
        "serves": [
            {**_stage(observation, wanted), "template": _template(book, folded, observation.state.name, moment)}
            for observation in observations
        ],
        "unobserved": _unobserved(gap, after, stage) if gap else None,
        "model": _model(book, rules),
        "versions": [_version(book, version, history(book, folded, version, moment), shares) for version in versions],
        "warnings": [],
    }


def over_time(book: reader.ChainReader, wanted: Iterable[str], gaps: Sequence[coverage.Gap] = (), stage: str | None = None) -> Json:
    """Return where and when versions served, and everything about them. Reads the end of the chain, and the few records about these versions."""
    names = list(wanted)
    folded = book.index(book.last)
    spans = {(stage_name, name): span for stage_name, versions in folded.served.items() for name, span in versions.items() if name in names}
    turns = sorted({number for span in spans.values() for number in span.turns})
    served_periods = [period for period in periods.of(book.records(turns), names.__contains__) if stage in {None, period.stage}]
    missing = [*gaps, *coverage.forgotten(folded)]
    return {
        **_about(book),
        "stage": stage,
        "record": _record(book, book.record(book.last)),
        "served": [_spell(period, missing) for period in served_periods],
        "model": _model(book, folded.spec),
        "versions": [_version(book, name, history(book, folded, name), None) for name in names],
        "warnings": [_coarse(book, *key, span.missed) for key, span in spans.items() if span.missed],
    }


def _coarse(book: reader.ChainReader, stage: str, version: str, missed: int) -> str:
    return f"{missed} more changes of the share of {version} in {stage} are not listed: `modelyard history {book.chain.model}` has them all"


def stages(record: Record | None, following: Record | None, moment: datetime.datetime) -> list[Observation]:
    """Return what every stage served.

    Args:
        record: the last record whose observation is at or before the moment.
        following: the record after it, which may contain what was observed by then.
        moment: the instant.
    """
    observations = {state.name: Observation(state) for state in (record.state if record else ())}
    later = {state.name: state for state in (following.state if following else ())}
    for step in traffic.steps(following) if following else ():
        if step.moment > moment:
            continue
        previous = observations.get(step.stage, Observation(StageState(step.stage))).state
        stage_state = later.get(step.stage, previous)
        stage_state = stage_state if stage_state.since and stage_state.since <= moment else previous
        observations[step.stage] = Observation(dataclasses.replace(stage_state, serves=step.shares), late=True)
    return [observations[name] for name in sorted(observations)]


def history(book: reader.ChainReader, folded: index.Index, version: str, until: datetime.datetime | None = None) -> provenance.History:
    """Return a version's history up to a moment. Reads only the records that the index lists for the version and its Promotions."""
    numbers = set(folded.versions[version].facts) if version in folded.versions else set()
    for promotion in folded.promotions.values():
        if promotion.version == version:
            numbers |= set(promotion.facts)
    return provenance.of(version, book.records(sorted(numbers)), until)


def by_digest(folded: index.Index, digest: str) -> list[str]:
    """Return the versions whose artifact has this digest."""
    return [name for name, indexed in folded.versions.items() if indexed.digest == digest]


def _gap(gaps: Sequence[coverage.Gap], moment: datetime.datetime, record: Record | None) -> coverage.Gap | None:
    """Return the gap that covers the moment. Somebody watched when a record was written, so the gap begins after the last record."""
    for gap in gaps:
        if gap.covers(moment):
            since = max((start for start in (gap.since, record.time if record else None) if start), default=None)
            return dataclasses.replace(gap, since=since)
    return None


def _about(book: reader.ChainReader) -> Json:
    return {"registry": book.chain.registry, "namespace": book.chain.namespace, "name": book.chain.model}


def _record(book: reader.ChainReader, record: Record | None) -> Json | None:
    if record is None:
        return None
    data = book.data(record.sequence)
    digest = named(data) if data is not None else None
    return {"sequence": record.sequence, "time": codec.write_time(record.time), "digest": digest}


def _stage(observation: Observation, wanted: Collection[str] | None) -> Json:
    state = observation.state
    return {
        "stage": state.name,
        "standsFor": {"version": state.current, "digest": state.digest, "since": _time(state.since)} if state.current else None,
        "versions": [
            {"version": share.version, "weight": share.weight, "digest": share.digest, "since": _time(share.since)}
            for share in state.serves
            if wanted is None or share.version in wanted
        ],
        "recordedLater": observation.late,
    }


def _template(book: reader.ChainReader, folded: index.Index, stage: str, moment: datetime.datetime) -> list[Json]:
    """Return the templates that a stage began to run since its last promotion, without another promotion that people could approve."""
    records = (record for record in book.records(folded.templates.get(stage, [])) if record.time <= moment)
    runs = templates.unapproved(records, book.blob)
    return [templates.document(run, book.blob) for run in runs if run.stage == stage]


def _unobserved(gap: coverage.Gap, after: Record | None, stage: str | None) -> Json:
    observed_next = [_stage(Observation(state), None) for state in (after.state if after else ()) if stage in {None, state.name}]
    return {"since": _time(gap.since), "until": _time(gap.until), "words": gap.words, "seenNext": observed_next}


def _spell(period: periods.Period, gaps: Sequence[coverage.Gap]) -> Json:
    return {
        "stage": period.stage,
        "version": period.version,
        "weight": period.weight,
        "digest": period.digest,
        "since": _time(period.since),
        "until": _time(period.until),
        "records": [number for number in (period.began, period.ended) if number],
        "unobserved": [gap.words for gap in gaps if gap.overlaps(period.since, period.until)],
    }


def _model(book: reader.ChainReader, name: str | None) -> Json:
    spec = provenance.snapshot(api.Model, book.blob(name))
    shown = ("description", "owner", "intendedUse", "riskTier", "lifecycle", "tags", "aliases")
    return {"spec": name, **{field: spec[field] for field in shown if field in spec}}


def _version(book: reader.ChainReader, name: str, history: provenance.History, shares: Sequence[tuple[str, Share]] | None) -> Json:
    spec = provenance.snapshot(api.ModelVersion, book.blob(history.spec))
    training = spec.get("training") or {}
    lineage = spec.get("lineage") or {}
    stages_served = None if shares is None else {stage for stage, share in shares if share.version == name}
    last = history.verified[-1] if history.verified else None
    return {
        "version": name,
        "digest": history.digest,
        "registered": _who(history.registered),
        "specDigest": history.registered.text("specDigest") if history.registered else None,
        "spec": history.spec,
        "verified": {**_when(last), **{key: last.fact.detail.get(key) for key in ("files", "bytes", "manifest")}} if last else None,
        "artifact": spec.get("artifact"),
        "source": training.get("source"),
        "training": {key: value for key, value in training.items() if key not in {"source", "parameters"}},
        "parameters": training.get("parameters") or {},
        "datasets": lineage.get("datasets") or [],
        "parents": lineage.get("parents") or [],
        "metrics": spec.get("metrics") or {},
        "evidence": [
            {**document, "verified": history.evidence.get(document.get("name")) == document.get("sha256")}
            for document in spec.get("evidence") or []
        ],
        "lifecycle": [{**_who(entry), "action": str(entry.fact.action), "reason": entry.text("reason")} for entry in history.lifecycle],
        "promotions": [_request(request) for request in _brought_by(history.requests, stages_served)],
    }


def _brought_by(requests: Sequence[provenance.Request], wanted_stages: set[str] | None) -> list[provenance.Request]:
    """Return the requests that brought a version to these stages: the last one granted in each, else the last one; every request if there are no stages."""
    if wanted_stages is None:
        return list(requests)
    return [
        candidates[-1]
        for stage in sorted(wanted_stages)
        if (
            candidates := [request for request in requests if request.stage == stage and request.granted]
            or [request for request in requests if request.stage == stage]
        )
    ]


def _request(request: provenance.Request) -> Json:
    gates = request.granted.fact.detail.get("gates") if request.granted else None
    return {
        "name": request.name,
        "stage": request.stage,
        "requested": {**_who(request.requested), "reason": request.requested.text("reason")} if request.requested else None,
        "approvals": [
            {
                **_who(approval),
                "decision": str(approval.fact.action),
                "gate": approval.text("gate"),
                "comment": approval.text("comment"),
                "counts": counts(approval),
            }
            for approval in request.approvals
        ],
        "granted": {**_when(request.granted), "policy": request.granted.fact.detail.get("policy"), "gates": gates or []}
        if request.granted
        else None,
        "ended": {**_when(request.ended), **{key: request.ended.text(key) for key in ("phase", "reason", "message")}}
        if request.ended
        else None,
    }


def counts(approval: provenance.RecordedEntry) -> bool:
    """Whether an approval counted when it was recorded; a rejection always counts."""
    return approval.fact.detail.get("counts", True) is not False


def _who(entry: provenance.RecordedEntry | None) -> Json:
    return entry.who() if entry else {}


def _when(entry: provenance.RecordedEntry) -> Json:
    """Return when it happened, if that was noted, and which record contains it."""
    return {"at": codec.write_time(entry.time), "record": entry.record}


def _time(moment: datetime.datetime | None) -> str | None:
    return codec.write_time(moment) if moment else None
