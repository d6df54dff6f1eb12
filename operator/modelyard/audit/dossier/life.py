"""The sections of a dossier that tell what became of a version: evaluation, evidence, approvals, deployment, changes, retirement. Pure."""

from __future__ import annotations

from typing import Any

from modelyard.audit import provenance, templates, timeline
from modelyard.audit.dossier import fields, material
from modelyard.audit.dossier.fields import State, field, row, section, table
from modelyard.ledger import codec
from modelyard.ledger.record import Action

Json = dict[str, Any]


def evaluation(case: material.Case) -> Json:
    """How it was judged, by whoever made it and by the gates."""
    rows = [
        row((one.stage, one.name, gate.get("name"), gate.get("passed"), gate.get("message")), State.VERIFIED, one.granted.record)
        for one in case.its.requests
        if one.granted
        for gate in one.granted.rows("gates")
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
                row((name, value, _declarer(case, name)), State.DECLARED, case.said)
                for name, value in sorted((case.spec.get("metrics") or {}).items())
            ],
        ),
        table("gates", "Gates, as they were judged when a stage was granted", ("stage", "promotion", "gate", "passed", "message"), rows),
    )


def _declarer(case: material.Case, metric: str) -> str | None:
    """Who wrote a metric down: whoever added it since the version was registered, else whoever registered it."""
    for one in reversed(case.its.own):
        added = one.fact.action == Action.ATTESTED and (metric in one.mapping("metrics") or metric in one.words("metrics"))
        if f"metrics/{metric}" in one.words("unattributed"):
            return None
        if added or one.fact.action == Action.REGISTERED:
            return one.fact.actor.name or None
    return None


def evidence(case: material.Case) -> Json:
    """Documents about it."""
    keys = ("name", "type", "title", "author", "issuedAt", "uri", "sha256")
    read = max((one.record for one in case.its.own if one.fact.action == Action.EVIDENCE_VERIFIED), default=0)
    rows = []
    for one in case.spec.get("evidence") or []:
        proven = bool(read) and case.its.evidence.get(one.get("name")) == one.get("sha256")
        records = (case.said, read) if proven else (case.said,)
        rows.append(row([one.get(key) for key in keys], State.VERIFIED if proven else State.DECLARED, *records))
    return section("evidence", "Evidence", [], table("documents", "Documents; verified: their bytes were read", keys, rows))


def approvals(case: material.Case) -> Json:
    """Who asked for it, and what people said."""
    asked = [
        row(
            (
                one.name,
                one.stage,
                one.requested.fact.actor.name,
                codec.write_time(one.requested.time),
                one.requested.text("reason"),
                one.outcome,
                one.ended.text("message") if one.ended else None,
            ),
            fields.of_actor(one.requested),
            *(told.record for told in (one.requested, one.granted, one.ended, one.gone) if told),
        )
        for one in case.its.requests
        if one.requested
    ]
    words = [
        row(
            (
                one.name,
                one.stage,
                word.text("gate"),
                word.fact.actor.name,
                str(word.fact.actor.known),
                str(word.fact.action),
                word.text("comment"),
                word.fact.detail.get("counts", True) is not False,
                codec.write_time(word.time),
            ),
            fields.of_actor(word),
            word.record,
        )
        for one in case.its.requests
        for word in one.said
    ]
    return section(
        "approvals",
        "Requests and approvals",
        [],
        table("requests", "Promotions", ("promotion", "stage", "requested by", "at", "reason", "outcome", "message"), asked),
        table("words", "What people said", ("promotion", "stage", "gate", "who", "known", "said", "comment", "counts", "at"), words),
    )


def deployment(case: material.Case) -> Json:
    """When it may have got traffic, and when nobody watched."""
    last = case.records[-1] if case.records else None
    number = last.sequence if last else 0
    now = [f"{one.stage} {one.weight} %" for one in case.spells if one.until is None]
    spells = [
        row(
            (one.stage, one.weight, codec.write_time(one.since), codec.write_time(one.until) if one.until else None, one.digest),
            State.VERIFIED,
            *(number for number in (one.began, one.ended) if number),
        )
        for one in case.spells
    ]
    gaps = [gap for gap in case.gaps if any(gap.overlaps(one.since, one.until) for one in case.spells)]
    return section(
        "deployment",
        "Deployment",
        [
            field("asOf", "As of the last record", codec.write_time(last.time) if last else None, State.VERIFIED, number),
            field("serves", "It serves then", now or "nothing", State.VERIFIED, number),
        ],
        table("spells", "When it may have got traffic", ("stage", "weight in %", "from", "until", "digest"), spells),
        table(
            "templates",
            "Templates that it ran with and nobody approved",
            ("stage", "since", "how", "changed by", "what differs"),
            [_template(one, differs) for one, differs in case.unapproved],
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


def _template(one: templates.Unapproved, differs: list[Json] | None) -> Json:
    """A template that came without an approval: since when, who changed it, and what differs from what served before."""
    who = [f"{_name(told)}, {codec.write_time(told.time)}" for told in one.changes]
    how = "a rollback brought it" if one.began.fact.action == Action.GRANTED else "serving was changed"
    what = ["not known: a rendered document is not here"] if differs is None else [templates.sentence(each) for each in differs]
    known = all(fields.of_actor(told) == State.VERIFIED for told in one.changes) and one.changes and differs is not None
    return row(
        (one.stage, codec.write_time(one.began.time), how, "\n".join(who) or None, "\n".join(what)),
        State.VERIFIED if known else State.DECLARED,
        one.began.record,
        *(told.record for told in one.changes),
    )


def _name(told: provenance.Told) -> str:
    return told.fact.actor.name or f"one of {', '.join(told.words('authors')) or 'those who may promote'}"


def changes(case: material.Case) -> Json:
    """What happened to it and to the rules of its Model."""
    facts = sorted({id(one): one for one in (*case.its.facts, *case.rules)}.values(), key=lambda one: one.record)
    rows = [
        row(
            (
                codec.write_time(one.time),
                one.fact.actor.name or None,
                str(one.fact.actor.known),
                timeline.sentence(one),
                timeline.why(one) or None,
            ),
            fields.of_actor(one),
            one.record,
        )
        for one in facts
    ]
    return section(
        "changes",
        "Change record",
        [],
        table("facts", "What happened to it, and to the Model's rules", ("at", "who", "known", "what", "why"), rows),
    )


def retirement(case: material.Case) -> Json:
    """Whether it is still to be used."""
    lifecycle = case.its.lifecycle
    last = lifecycle[-1] if lifecycle else None
    words = {Action.DEPRECATED: "Deprecated", Action.RETIRED: "Retired"}
    state = words.get(last.fact.action, "Active") if last else "Active"
    model = provenance.retired(case.rules)
    gone = [one for one in case.its.own if one.fact.action in {Action.DELETED, Action.COLLECTED}]
    registered = max((one.record for one in case.its.own if one.fact.action == Action.REGISTERED), default=0)
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
                codec.write_time(model.time) if model else None,
                State.VERIFIED,
                model.record if model else 0,
            ),
        ],
        table(
            "gone",
            "What was deleted",
            ("at", "what"),
            [row((codec.write_time(one.time), timeline.sentence(one)), State.VERIFIED, one.record) for one in gone],
        ),
    )
