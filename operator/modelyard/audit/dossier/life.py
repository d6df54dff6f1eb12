"""The sections of a dossier about the life of a version: evaluation, evidence, approvals, deployment, changes, retirement. Pure."""

from __future__ import annotations

from typing import Any

from modelyard.audit import provenance, templates, timeline
from modelyard.audit.dossier import fields, material
from modelyard.audit.dossier.fields import State, field, row, section, table
from modelyard.ledger import codec
from modelyard.ledger.record import Action

Json = dict[str, Any]


def evaluation(case: material.Case) -> Json:
    """Metrics that its authors declared, and results of the gates."""
    rows = [
        row(
            (request.stage, request.name, gate.get("name"), gate.get("passed"), gate.get("message")), State.VERIFIED, request.granted.record
        )
        for request in case.history.requests
        if request.granted
        for gate in request.granted.rows("gates")
    ]
    return section(
        "evaluation",
        "Evaluation",
        [],
        table(
            "metrics",
            "Metrics",
            ("name", "value", "declared by"),
            [
                row((name, value, _declarer(case, name)), State.DECLARED, case.spec_record)
                for name, value in sorted((case.spec.get("metrics") or {}).items())
            ],
        ),
        table("gates", "Gates, as they were judged when a stage was granted", ("stage", "promotion", "gate", "passed", "message"), rows),
    )


def _declarer(case: material.Case, metric: str) -> str | None:
    """Return who declared a metric: the person who added it after the registration, else the person who registered the version."""
    for entry in reversed(case.history.own):
        added = entry.fact.action == Action.ATTESTED and (metric in entry.mapping("metrics") or metric in entry.words("metrics"))
        if f"metrics/{metric}" in entry.words("unattributed"):
            return None
        if added or entry.fact.action == Action.REGISTERED:
            return entry.fact.actor.name or None
    return None


def evidence(case: material.Case) -> Json:
    """Documents about the version."""
    keys = ("name", "type", "title", "author", "issuedAt", "uri", "sha256")
    read = max((entry.record for entry in case.history.own if entry.fact.action == Action.EVIDENCE_VERIFIED), default=0)
    rows = []
    for document in case.spec.get("evidence") or []:
        proven = bool(read) and case.history.evidence.get(document.get("name")) == document.get("sha256")
        records = (case.spec_record, read) if proven else (case.spec_record,)
        rows.append(row([document.get(key) for key in keys], State.VERIFIED if proven else State.DECLARED, *records))
    return section("evidence", "Evidence", [], table("documents", "Documents; verified: their bytes were read", keys, rows))


def approvals(case: material.Case) -> Json:
    """Requests for stages, and the approvals and rejections of people."""
    request_rows = [
        row(
            (
                request.name,
                request.stage,
                request.requested.fact.actor.name,
                codec.write_time(request.requested.time),
                request.requested.text("reason"),
                request.outcome,
                request.ended.text("message") if request.ended else None,
            ),
            fields.of_actor(request.requested),
            *(entry.record for entry in (request.requested, request.granted, request.ended, request.gone) if entry),
        )
        for request in case.history.requests
        if request.requested
    ]
    approval_rows = [
        row(
            (
                request.name,
                request.stage,
                approval.text("gate"),
                approval.fact.actor.name,
                str(approval.fact.actor.known),
                str(approval.fact.action),
                approval.text("comment"),
                approval.fact.detail.get("counts", True) is not False,
                codec.write_time(approval.time),
            ),
            fields.of_actor(approval),
            approval.record,
        )
        for request in case.history.requests
        for approval in request.approvals
    ]
    return section(
        "approvals",
        "Requests and approvals",
        [],
        table("requests", "Promotions", ("promotion", "stage", "requested by", "at", "reason", "outcome", "message"), request_rows),
        table(
            "words", "What people said", ("promotion", "stage", "gate", "who", "known", "said", "comment", "counts", "at"), approval_rows
        ),
    )


def deployment(case: material.Case) -> Json:
    """When the version may have got traffic, and when nobody watched."""
    last = case.records[-1] if case.records else None
    number = last.sequence if last else 0
    serving = [f"{period.stage} {period.weight} %" for period in case.served if period.until is None]
    period_rows = [
        row(
            (
                period.stage,
                period.weight,
                codec.write_time(period.since),
                codec.write_time(period.until) if period.until else None,
                period.digest,
            ),
            State.VERIFIED,
            *(number for number in (period.began, period.ended) if number),
        )
        for period in case.served
    ]
    gaps = [gap for gap in case.gaps if any(gap.overlaps(period.since, period.until) for period in case.served)]
    return section(
        "deployment",
        "Deployment",
        [
            field("asOf", "As of the last record", codec.write_time(last.time) if last else None, State.VERIFIED, number),
            field("serves", "It serves then", serving or "nothing", State.VERIFIED, number),
        ],
        table("spells", "When it may have got traffic", ("stage", "weight in %", "from", "until", "digest"), period_rows),
        table(
            "templates",
            "Templates that it ran with and nobody approved",
            ("stage", "since", "how", "changed by", "what differs"),
            [_template(run, differs) for run, differs in case.unapproved],
        ),
        table(
            "unobserved",
            "When nobody watched meanwhile",
            ("what", "record of _operator"),
            [
                row((gap.words, None), State.VERIFIED, gap.record) if gap.seen else row((gap.words, gap.record), State.VERIFIED)
                for gap in gaps
            ],
        ),
    )


def _template(run: templates.Unapproved, differs: list[Json] | None) -> Json:
    """Return the row of a template without an approval: since when, who changed it, and what differs from the template before."""
    who = [f"{_name(entry)}, {codec.write_time(entry.time)}" for entry in run.changes]
    how = "a rollback brought it" if run.began.fact.action == Action.GRANTED else "serving was changed"
    lines = (
        ["not known: a rendered document is not here"] if differs is None else [templates.sentence(difference) for difference in differs]
    )
    verified = all(fields.of_actor(entry) == State.VERIFIED for entry in run.changes) and run.changes and differs is not None
    return row(
        (run.stage, codec.write_time(run.began.time), how, "\n".join(who) or None, "\n".join(lines)),
        State.VERIFIED if verified else State.DECLARED,
        run.began.record,
        *(entry.record for entry in run.changes),
    )


def _name(entry: provenance.RecordedEntry) -> str:
    return entry.fact.actor.name or f"one of {', '.join(entry.words('authors')) or 'those who may promote'}"


def changes(case: material.Case) -> Json:
    """What happened to the version and to the rules of its Model."""
    entries = sorted({id(entry): entry for entry in (*case.history.entries, *case.rules)}.values(), key=lambda entry: entry.record)
    rows = [
        row(
            (
                codec.write_time(entry.time),
                entry.fact.actor.name or None,
                str(entry.fact.actor.known),
                timeline.sentence(entry),
                timeline.why(entry) or None,
            ),
            fields.of_actor(entry),
            entry.record,
        )
        for entry in entries
    ]
    return section(
        "changes",
        "Change record",
        [],
        table("facts", "What happened to it, and to the Model's rules", ("at", "who", "known", "what", "why"), rows),
    )


def retirement(case: material.Case) -> Json:
    """Whether the version may still be used."""
    lifecycle = case.history.lifecycle
    last = lifecycle[-1] if lifecycle else None
    states = {Action.DEPRECATED: "Deprecated", Action.RETIRED: "Retired"}
    state = states.get(last.fact.action, "Active") if last else "Active"
    model_retired = provenance.retired(case.rules)
    deletions = [entry for entry in case.history.own if entry.fact.action in {Action.DELETED, Action.COLLECTED}]
    registered = max((entry.record for entry in case.history.own if entry.fact.action == Action.REGISTERED), default=0)
    return section(
        "retirement",
        "Retirement",
        [
            field("lifecycle", "Lifecycle", state, State.VERIFIED, last.record if last else registered),
            field("since", "Since", codec.write_time(last.time) if last else None, State.VERIFIED, last.record if last else 0),
            field(
                "by",
                "By",
                last.fact.actor.name if last else None,
                fields.of_actor(last) if last else State.DECLARED,
                last.record if last else 0,
            ),
            field("reason", "Reason", last.text("reason") if last else None, State.DECLARED, last.record if last else 0),
            field(
                "modelRetired",
                "The Model was retired",
                codec.write_time(model_retired.time) if model_retired else None,
                State.VERIFIED,
                model_retired.record if model_retired else 0,
            ),
        ],
        table(
            "gone",
            "What was deleted",
            ("at", "what"),
            [row((codec.write_time(entry.time), timeline.sentence(entry)), State.VERIFIED, entry.record) for entry in deletions],
        ),
    )
