"""`modelyard explain`: what served then, and where it came from."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from modelyard.audit import explain as audit_explain
from modelyard.audit import templates
from modelyard.cli.reach import alias, ledger_source
from modelyard.cli.terminal import exits, output, times
from modelyard.ledger import codec, coverage, reader

Json = dict[str, Any]
Rows = Sequence[tuple[str, str]]


def explain(
    typed: ledger_source.Typed,
    model: str,
    *,
    stage: str | None,
    at: str | None,
    version: str | None,
    digest: str | None,
    asked: str | None,
    now: datetime.datetime,
) -> None:
    """Print what served at an instant, or where versions served over all time.

    Raises:
        exits.Stop: NOT_FOUND when nothing is recorded.
    """
    form = output.form(asked, output.Form.TABLE, output.Form.JSON, output.Form.YAML)
    moment = times.read(at, "--at", now) if at else now
    with ledger_source.opened(typed) as opened:
        book, gaps = opened.model(model), opened.gaps
        if version:
            version = alias.recorded(book, version, book.at(moment) if at else None)
        names = _named(book, version, digest)
        over_time = names and not at
        answer = (
            audit_explain.over_time(book, names, gaps, stage) if over_time else audit_explain.at(book, moment, stage, gaps, names or None)
        )
        answer["warnings"] = [*opened.warnings(book), *answer["warnings"]]
    for warning in answer["warnings"]:
        output.say(warning)
    if form is not output.Form.TABLE:
        output.write(output.document(answer, form))
    else:
        output.write(output.text(sections(answer)))
    if not answer["versions"] and not (answer.get("unobserved") and answer["record"]):
        raise exits.Stop(exits.Code.NOT_FOUND, f"nothing of {model} served{f' in {stage}' if stage else ''} then, as far as is recorded")


def sections(answer: Json) -> Iterable[tuple[str, Rows | str]]:
    """Yield the sections of the answer for people."""
    name = f"{answer['namespace']}/{answer['name']}"
    if "served" in answer:
        rows = [
            [
                period["stage"],
                period["version"],
                f"{period['weight']} %",
                _clock(period["since"]),
                _clock(period["until"]),
                "; ".join(period["unobserved"]) or "-",
            ]
            for period in answer["served"]
        ]
        heads = ["STAGE", "VERSION", "WEIGHT", "FROM", "UNTIL", "UNOBSERVED"]
        yield f"{name}: where and when", output.columns(heads, rows) if rows else [("Served", "nowhere, as far as is recorded")]
    else:
        for stage in answer["serves"]:
            yield f"{name} in {stage['stage']} at {_clock(answer['at'])}", _stage(stage)
        if not answer["serves"]:
            yield f"{name} at {_clock(answer['at'])}", [("Served", "nothing, as far as is recorded")]
        if gap := answer["unobserved"]:
            next_stages = [f"{stage['stage']}: {_shares(stage)}" for stage in gap["seenNext"]]
            yield (
                "Nobody watched then",
                _rows(
                    Gap=gap["words"],
                    Before="as above: what was seen last" if answer["record"] else "nothing is recorded",
                    Seen_next="\n".join(next_stages),
                ),
            )
    for version in answer["versions"]:
        yield from _version(version)
    model = answer["model"]
    owner = model.get("owner") or {}
    yield "Model (declared)", _rows(Owner=owner.get("team"), Intended_use=model.get("intendedUse"), Risk=model.get("riskTier"))
    record = answer["record"]
    yield "Ledger", _rows(Record=record and f"{record['sequence']}, written {_clock(record['time'])}, {record['digest']}")


def _named(book: reader.ChainReader, version: str | None, digest: str | None) -> list[str]:
    if version is None and digest is None:
        return []
    folded = book.index(book.last)
    names = audit_explain.by_digest(folded, digest) if digest else [version] if version in folded.versions else []
    if version and digest:
        names = [name for name in names if name == version]
    if not names:
        criteria = " and ".join(filter(None, (version and f"version {version}", digest and f"digest {digest}")))
        raise exits.Stop(exits.Code.NOT_FOUND, f"the ledger knows no {criteria} of {book.chain.model}")
    return [name for name in names if name]


def _stage(stage: Json) -> Rows:
    current = stage["standsFor"]
    served = "\n".join(
        f"{version['version']} at {version['weight']} %, since {_clock(version['since'])}, {version['digest'] or ''}"
        for version in stage["versions"]
    )
    return _rows(
        Served=served or "nothing",
        Stands_for=current and f"{current['version']}, since {_clock(current['since'])}",
        Recorded="later than it was seen" if stage["recordedLater"] else None,
        Unapproved_template="\n".join(_template(template) for template in stage["template"]),
    )


def _template(template: Json) -> str:
    """Describe an unapproved template: since when, who changed it, and what differs."""
    cause = "a rollback brought it" if template["byRollback"] else "it changed without a Promotion"
    who = [f"changed by {_who(change)}" for change in template["changes"]] or ["nobody knows who changed it"]
    differs = ["what differs is not known: a rendered document is not in the ledger"]
    if template["differences"] is not None:
        differs = [templates.sentence(difference) for difference in template["differences"]]
    return "\n".join([f"since {_clock(template['since'])}, record {template['record']}: {cause}", *who, *differs])


def _shares(stage: Json) -> str:
    return ", ".join(f"{version['version']} at {version['weight']} %" for version in stage["versions"]) or "nothing"


def _version(version: Json) -> Iterable[tuple[str, Rows]]:
    source, training, read = version["source"] or {}, version["training"], version["verified"]
    framework = training.get("framework") or {}
    yield (
        f"Version {version['version']}",
        _rows(
            Digest=version["digest"] and f"{version['digest']} (every byte was read)",
            Verified=read and f"{_clock(read['at'])}, {read['files']} files, {read['bytes']} bytes",
            Registered=_who(version["registered"]),
            Artifact=(version["artifact"] or {}).get("uri"),
            Lifecycle="\n".join(f"{event['action']} by {_who(event)}: {event['reason']}" for event in version["lifecycle"]),
        ),
    )
    yield (
        "Training (declared)",
        _rows(
            Source=source and f"{source.get('repository')} at {source.get('commit')}",
            Image=training.get("image"),
            Framework=" ".join(filter(None, (framework.get("name"), framework.get("version")))),
            Run=training.get("runId"),
            Seed=training.get("seed"),
            Parameters=", ".join(f"{key}={value}" for key, value in version["parameters"].items()),
            Data="\n".join(_words(dataset, "role", "name", "uri", "digest") for dataset in version["datasets"]),
            Parents="\n".join(_words(parent, "relation", "version") for parent in version["parents"]),
        ),
    )
    yield "Metrics (declared)", [(key, output.number(value)) for key, value in sorted(version["metrics"].items())]
    documents = [
        (document["name"], f"{_words(document, 'type', 'title', 'uri', 'sha256')} ({'verified' if document['verified'] else 'declared'})")
        for document in version["evidence"]
    ]
    yield "Evidence", documents
    for promotion in version["promotions"]:
        yield f"Promotion {promotion['name']}", _promotion(promotion)


def _promotion(promotion: Json) -> Rows:
    requested, granted, ended = promotion["requested"], promotion["granted"], promotion["ended"]
    words = [
        f"{approval['decision']} by {_who(approval)}, gate {approval['gate']}{'' if approval['counts'] else ' (does not count)'}{': ' if approval['comment'] else ''}"
        f"{approval['comment']}"
        for approval in promotion["approvals"]
    ]
    gates = [
        f"{'held' if gate.get('passed') else 'did not hold'}: {gate.get('name')}: {gate.get('message')}"
        for gate in (granted or {}).get("gates", [])
    ]
    return _rows(
        Stage=promotion["stage"],
        Requested=requested and f"by {_who(requested)}{': ' if requested['reason'] else ''}{requested['reason']}",
        Approvals="\n".join(words),
        Granted=granted and f"{_clock(granted['at'])}, record {granted['record']}",
        Gates="\n".join(gates),
        Ended=ended and f"{ended['phase']}, {_clock(ended['at'])}: {ended['message']}",
    )


def _who(entry: Mapping[str, Any]) -> str:
    if not entry:
        return ""
    certainty = {"Authenticated": "", "Operator": ""}.get(entry["known"], f" ({entry['known'].lower()})")
    by = entry["by"] or (f"one of {', '.join(entry['authors'])}" if entry.get("authors") else "nobody knows whom")
    return f"{by}{certainty}, {_clock(entry['at'])}, record {entry['record']}"


def _words(fields: Mapping[str, Any], *names: str) -> str:
    return ", ".join(str(fields[name]) for name in names if fields.get(name))


def _clock(text: str | None) -> str:
    return coverage.clock(codec.read_time(text)) if text else "-"


def _rows(**values: Any) -> Rows:
    return [(name.replace("_", " "), str(value)) for name, value in values.items() if value or value == 0]
