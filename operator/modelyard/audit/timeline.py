"""Describes a chain for people: one sentence for each fact. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from modelyard.audit import provenance
from modelyard.ledger import codec, coverage, record
from modelyard.ledger.record import Action

Json = dict[str, Any]


def entries(records: Iterable[record.Record]) -> Iterator[Json]:
    """Yield each fact: when, who, how that is known, what, why, and which record contains it."""
    for entry in provenance.entries(records):
        actor, subject = entry.fact.actor, entry.fact.subject
        yield {
            "time": codec.write_time(entry.time),
            "record": entry.record,
            "action": str(entry.fact.action),
            "who": actor.name or None,
            "known": str(actor.known),
            "what": sentence(entry),
            "why": why(entry) or None,
            "kind": subject.kind,
            "name": subject.name,
            "id": entry.fact.id,
        }


def with_gaps(rows: Sequence[Json], gaps: Iterable[coverage.Gap], since: str, until: str) -> list[Json]:
    """Return the entries together with the gaps between two times, sorted by time; a gap that began earlier counts from `since`."""
    spans = [(codec.write_time(gap.since) if gap.since else "", gap) for gap in gaps]
    missing = [
        {
            "time": max(begin, since),
            "record": gap.record,
            "action": "Unobserved",
            "who": None,
            "known": "Operator",
            "what": gap.words,
            "why": None,
        }
        for begin, gap in spans
        if begin <= until and (gap.until is None or since < codec.write_time(gap.until))
    ]
    return sorted([*missing, *rows], key=lambda row: str(row["time"]))


def sentence(entry: provenance.RecordedEntry) -> str:
    """Describe what happened."""
    return str(_SENTENCES[entry.fact.action](entry)) + _doubt(entry) + _also(entry)


def _doubt(entry: provenance.RecordedEntry) -> str:
    """Name who may have done it, if several people wrote before the operator looked."""
    if not (authors := entry.words("authors")):
        return ""
    unsigned = ["somebody who is not known"] if entry.fact.detail.get("unsigned") else []
    return f"; one of these did: {', '.join([*authors, *unsigned])}"


def _also(entry: provenance.RecordedEntry) -> str:
    """Name who else wrote before the object was first recorded; older records say this of changes, too."""
    others = entry.fact.detail.get("alsoChangedBy")
    names = [str(name or "somebody who is not known") for name in others] if isinstance(others, list) else []
    return f" (before that also changed by {', '.join(names)})" if names else ""


def why(entry: provenance.RecordedEntry) -> str:
    """Return the reason that its author gave; empty if there is none."""
    return next((text for key in ("why", "reason", "comment", "message") if (text := entry.text(key))), "")


def _version(entry: provenance.RecordedEntry) -> str:
    return f"version {entry.text('version') or entry.fact.subject.name}"


def _phrase(before: str, after: str = "") -> Any:
    return lambda entry: " ".join(filter(None, (before, _version(entry), after)))


def _rules(entry: provenance.RecordedEntry) -> str:
    return f"changed the Model's rules: {', '.join(entry.words('changed')) or 'nothing that is named'}"


def _alias(entry: provenance.RecordedEntry) -> str:
    before, after = entry.text("before") or "nothing", entry.text("after") or "nothing"
    return f"pointed the alias {entry.text('alias')} at {after}; before: {before}"


def _attested(entry: provenance.RecordedEntry) -> str:
    metrics = [f"{name} {value}" for name, value in entry.mapping("metrics").items()] + entry.words("metrics")
    evidence = [str(row.get("name")) for row in entry.rows("evidence")] + entry.words("evidence")
    return f"added to {_version(entry)}: {', '.join([*metrics, *evidence]) or 'nothing that is named'}"


def _verified(entry: provenance.RecordedEntry) -> str:
    detail = entry.fact.detail
    return f"read every byte of {_version(entry)}: {detail.get('files')} files, {detail.get('bytes')} bytes, {entry.fact.digest}"


def _requested(entry: provenance.RecordedEntry) -> str:
    rollback = " back" if entry.fact.detail.get("rollback") else ""
    machine = " (a machine asks)" if entry.fact.detail.get("requestedByMachine") else ""
    return f"asked for {_version(entry)} to be brought{rollback} to {entry.text('stage')}, as {entry.fact.subject.name}{machine}"


def _approval(verb: str) -> Any:
    def phrase(entry: provenance.RecordedEntry) -> str:
        counts = (
            ""
            if entry.fact.detail.get("counts", True) is not False
            else f"; it does not count: {entry.text('why') or 'no reason is given'}"
        )
        return f"{verb} {entry.fact.subject.name} for the gate {entry.text('gate')}{counts}"

    return phrase


def _granted(entry: provenance.RecordedEntry) -> str:
    gates = entry.rows("gates")
    passed = f"{len(gates)} gates held" if gates else "there was no gate"
    how = "past every gate, as a rollback" if entry.fact.detail.get("rollback") else passed
    return f"granted {entry.text('stage')} to {_version(entry)}: {how}"


def _ended(entry: provenance.RecordedEntry) -> str:
    return f"{entry.fact.subject.name} ended: {entry.text('phase')} ({_version(entry)} in {entry.text('stage')})"


def _serving(entry: provenance.RecordedEntry) -> str:
    shares = ", ".join(f"{share.get('version')} at {share.get('weight')} %" for share in entry.rows("serves"))
    reason = f": {entry.text('why')}" if entry.text("why") else ""
    return f"{entry.text('stage')} serves {shares or ('nothing that is known' if reason else 'nothing')}{reason}"


def _steered(entry: provenance.RecordedEntry) -> str:
    detail = entry.fact.detail
    verb = "aborted" if detail.get("abort") else "paused" if detail.get("paused") else "let go on"
    return f"{verb} {entry.fact.subject.name}"


def _deleted(entry: provenance.RecordedEntry) -> str:
    noticed = "; noticed later" if entry.text("noticed") == "later" else ""
    return f"{entry.fact.subject.kind} {entry.fact.subject.name} was deleted{noticed}"


def _forgotten(entry: provenance.RecordedEntry) -> str:
    return f"could not keep {entry.fact.detail.get('facts')} facts while the ledger did not answer, between {entry.text('since')} and {entry.text('until')}"


def _accepted(entry: provenance.RecordedEntry) -> str:
    return f"accepted that the ledger is not what it was, with {len(entry.rows('flaws'))} flaws"


def _restored(entry: provenance.RecordedEntry) -> str:
    restored, unfinished = entry.words("objects"), entry.words("unfinished")
    text = f"brought back from the ledger: {', '.join(restored)}" if restored else "the cluster was behind the ledger, which holds"
    return text + (f"; to be requested again: {', '.join(unfinished)}" if unfinished else "")


def _retired(entry: provenance.RecordedEntry) -> str:
    return f"retired {_version(entry)}" if entry.text("version") else "retired the Model"


_SENTENCES: Final[Mapping[Action, Any]] = {
    Action.MODEL_CREATED: lambda entry: f"created the Model {entry.fact.subject.name}",
    Action.RULES_CHANGED: _rules,
    Action.ALIAS_CHANGED: _alias,
    Action.REGISTERED: _phrase("registered"),
    Action.ATTESTED: _attested,
    Action.DESCRIBED: _phrase("described", "anew"),
    Action.DEPRECATED: _phrase("deprecated"),
    Action.REACTIVATED: _phrase("took back the deprecation of"),
    Action.RETIRED: _retired,
    Action.DELETED: _deleted,
    Action.REQUESTED: _requested,
    Action.APPROVED: _approval("approved"),
    Action.REJECTED: _approval("rejected"),
    Action.WITHDRAWN: _approval("took back what they had said of"),
    Action.STEERED: _steered,
    Action.VERIFIED: _verified,
    Action.EVIDENCE_VERIFIED: _phrase("read every byte of the evidence of"),
    Action.HELD: _phrase("put the objects of", "under legal hold"),
    Action.RELEASED: _phrase("lifted the legal hold on the objects of"),
    Action.QUARANTINED: _phrase("quarantined", "as its bytes changed or are gone"),
    Action.RECOVERED: _phrase("found the right bytes of", "again"),
    Action.REUSED: _phrase("refused", "as its name meant something else before"),
    Action.GRANTED: _granted,
    Action.ENDED: _ended,
    Action.ROLLOUT: lambda entry: f"rolled out another template in {entry.text('stage')} for {_version(entry)}",
    Action.SERVING: _serving,
    Action.DECOMMISSIONED: lambda entry: f"took down {entry.text('stage')}, which was at {_version(entry)}",
    Action.FORGOTTEN: _forgotten,
    Action.COLLECTED: _phrase("deleted the bytes of"),
    Action.ACCEPTED: _accepted,
    Action.RESTORED: _restored,
    Action.TERM_BEGAN: lambda entry: f"{entry.text('holder')} leads, as term {entry.fact.detail.get('number')}",
    Action.TERM_ENDED: lambda entry: f"{entry.text('holder')} stopped leading, as it was asked to",
    Action.TAKEN_OVER: lambda entry: f"the registry was taken over by {entry.text('after')}",
}
