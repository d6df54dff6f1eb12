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
    """Answer for an instant, or for versions over all time.

    Raises:
        outcome.Stop: NOT_FOUND when there is nothing to tell of.
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
    """The answer for people."""
    name = f"{answer['namespace']}/{answer['name']}"
    if "served" in answer:
        rows = [
            [
                one["stage"],
                one["version"],
                f"{one['weight']} %",
                _clock(one["since"]),
                _clock(one["until"]),
                "; ".join(one["unobserved"]) or "-",
            ]
            for one in answer["served"]
        ]
        heads = ["STAGE", "VERSION", "WEIGHT", "FROM", "UNTIL", "UNOBSERVED"]
        yield f"{name}: where and when", output.columns(heads, rows) if rows else [("Served", "nowhere, as far as is recorded")]
    else:
        for one in answer["serves"]:
            yield f"{name} in {one['stage']} at {_clock(answer['at'])}", _stage(one)
        if not answer["serves"]:
            yield f"{name} at {_clock(answer['at'])}", [("Served", "nothing, as far as is recorded")]
        if gap := answer["unobserved"]:
            seen = [f"{one['stage']}: {_shares(one)}" for one in gap["seenNext"]]
            yield (
                "Nobody watched then",
                _rows(
                    Gap=gap["words"],
                    Before="as above: what was seen last" if answer["record"] else "nothing is recorded",
                    Seen_next="\n".join(seen),
                ),
            )
    for one in answer["versions"]:
        yield from _version(one)
    model = answer["model"]
    owner = model.get("owner") or {}
    yield "Model (declared)", _rows(Owner=owner.get("team"), Intended_use=model.get("intendedUse"), Risk=model.get("riskTier"))
    record = answer["record"]
    yield "Ledger", _rows(Record=record and f"{record['sequence']}, written {_clock(record['time'])}, {record['digest']}")


def _named(book: reader.Book, version: str | None, digest: str | None) -> list[str]:
    if version is None and digest is None:
        return []
    folded = book.index(book.last)
    found = audit_explain.by_digest(folded, digest) if digest else [version] if version in folded.versions else []
    if version and digest:
        found = [one for one in found if one == version]
    if not found:
        what = " and ".join(filter(None, (version and f"version {version}", digest and f"digest {digest}")))
        raise exits.Stop(exits.Code.NOT_FOUND, f"the ledger knows no {what} of {book.chain.model}")
    return [one for one in found if one]


def _stage(one: Json) -> Rows:
    stands = one["standsFor"]
    served = "\n".join(
        f"{each['version']} at {each['weight']} %, since {_clock(each['since'])}, {each['digest'] or ''}" for each in one["versions"]
    )
    return _rows(
        Served=served or "nothing",
        Stands_for=stands and f"{stands['version']}, since {_clock(stands['since'])}",
        Recorded="later than it was seen" if one["recordedLater"] else None,
        Unapproved_template="\n".join(_template(each) for each in one["template"]),
    )


def _template(one: Json) -> str:
    """A template that nobody approved: since when, who changed it, and what differs."""
    how = "a rollback brought it" if one["byRollback"] else "it changed without a Promotion"
    who = [f"changed by {_who(each)}" for each in one["changes"]] or ["nobody knows who changed it"]
    differs = ["what differs is not known: a rendered document is not in the ledger"]
    if one["differences"] is not None:
        differs = [templates.sentence(each) for each in one["differences"]]
    return "\n".join([f"since {_clock(one['since'])}, record {one['record']}: {how}", *who, *differs])


def _shares(one: Json) -> str:
    return ", ".join(f"{each['version']} at {each['weight']} %" for each in one["versions"]) or "nothing"


def _version(one: Json) -> Iterable[tuple[str, Rows]]:
    source, training, read = one["source"] or {}, one["training"], one["verified"]
    framework = training.get("framework") or {}
    yield (
        f"Version {one['version']}",
        _rows(
            Digest=one["digest"] and f"{one['digest']} (every byte was read)",
            Verified=read and f"{_clock(read['at'])}, {read['files']} files, {read['bytes']} bytes",
            Registered=_who(one["registered"]),
            Artifact=(one["artifact"] or {}).get("uri"),
            Lifecycle="\n".join(f"{each['action']} by {_who(each)}: {each['reason']}" for each in one["lifecycle"]),
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
            Parameters=", ".join(f"{key}={value}" for key, value in one["parameters"].items()),
            Data="\n".join(_words(each, "role", "name", "uri", "digest") for each in one["datasets"]),
            Parents="\n".join(_words(each, "relation", "version") for each in one["parents"]),
        ),
    )
    yield "Metrics (declared)", [(key, output.number(value)) for key, value in sorted(one["metrics"].items())]
    documents = [
        (each["name"], f"{_words(each, 'type', 'title', 'uri', 'sha256')} ({'verified' if each['verified'] else 'declared'})")
        for each in one["evidence"]
    ]
    yield "Evidence", documents
    for each in one["promotions"]:
        yield f"Promotion {each['name']}", _promotion(each)


def _promotion(one: Json) -> Rows:
    asked, granted, ended = one["requested"], one["granted"], one["ended"]
    words = [
        f"{each['decision']} by {_who(each)}, gate {each['gate']}{'' if each['counts'] else ' (does not count)'}{': ' if each['comment'] else ''}"
        f"{each['comment']}"
        for each in one["approvals"]
    ]
    gates = [
        f"{'held' if gate.get('passed') else 'did not hold'}: {gate.get('name')}: {gate.get('message')}"
        for gate in (granted or {}).get("gates", [])
    ]
    return _rows(
        Stage=one["stage"],
        Requested=asked and f"by {_who(asked)}{': ' if asked['reason'] else ''}{asked['reason']}",
        Approvals="\n".join(words),
        Granted=granted and f"{_clock(granted['at'])}, record {granted['record']}",
        Gates="\n".join(gates),
        Ended=ended and f"{ended['phase']}, {_clock(ended['at'])}: {ended['message']}",
    )


def _who(one: Mapping[str, Any]) -> str:
    if not one:
        return ""
    how = {"Authenticated": "", "Operator": ""}.get(one["known"], f" ({one['known'].lower()})")
    by = one["by"] or (f"one of {', '.join(one['authors'])}" if one.get("authors") else "nobody knows whom")
    return f"{by}{how}, {_clock(one['at'])}, record {one['record']}"


def _words(one: Mapping[str, Any], *names: str) -> str:
    return ", ".join(str(one[name]) for name in names if one.get(name))


def _clock(text: str | None) -> str:
    return coverage.clock(codec.read_time(text)) if text else "-"


def _rows(**values: Any) -> Rows:
    return [(name.replace("_", " "), str(value)) for name, value in values.items() if value or value == 0]
