"""A chain as a person reads it: one sentence for each fact. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from modelyard.audit import provenance
from modelyard.ledger import codec, coverage, record
from modelyard.ledger.record import Action

Json = dict[str, Any]


def entries(records: Iterable[record.Record]) -> Iterator[Json]:
    """Each fact: when, who, how that is known, what, why, and where it is recorded."""
    for one in provenance.told(records):
        actor, subject = one.fact.actor, one.fact.subject
        yield {
            "time": codec.write_time(one.time),
            "record": one.record,
            "action": str(one.fact.action),
            "who": actor.name or None,
            "known": str(actor.known),
            "what": sentence(one),
            "why": why(one) or None,
            "kind": subject.kind,
            "name": subject.name,
            "id": one.fact.id,
        }


def with_gaps(found: Sequence[Json], gaps: Iterable[coverage.Gap], since: str, until: str) -> list[Json]:
    """The entries, and among them when nobody watched, as far as that lies between two times; what began before is told first."""
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
    return sorted([*missing, *found], key=lambda entry: str(entry["time"]))


def sentence(one: provenance.Told) -> str:
    """What happened, in words."""
    return str(_SENTENCES[one.fact.action](one)) + _doubt(one) + _also(one)


def _doubt(one: provenance.Told) -> str:
    """Who may have done it, where several people wrote before anybody looked."""
    if not (authors := one.words("authors")):
        return ""
    unknown = ["somebody who is not known"] if one.fact.detail.get("unsigned") else []
    return f"; one of these did: {', '.join([*authors, *unknown])}"


def _also(one: provenance.Told) -> str:
    """Who else wrote before the object was first recorded; once also said of changes."""
    also = one.fact.detail.get("alsoChangedBy")
    names = [str(name or "somebody who is not known") for name in also] if isinstance(also, list) else []
    return f" (before that also changed by {', '.join(names)})" if names else ""


def why(one: provenance.Told) -> str:
    """Why, in the words of whoever did it; empty when nobody said."""
    return next((text for key in ("why", "reason", "comment", "message") if (text := one.text(key))), "")


def _version(one: provenance.Told) -> str:
    return f"version {one.text('version') or one.fact.subject.name}"


def _words(before: str, after: str = "") -> Any:
    return lambda one: " ".join(filter(None, (before, _version(one), after)))


def _rules(one: provenance.Told) -> str:
    return f"changed the Model's rules: {', '.join(one.words('changed')) or 'nothing that is named'}"


def _alias(one: provenance.Told) -> str:
    before, after = one.text("before") or "nothing", one.text("after") or "nothing"
    return f"pointed the alias {one.text('alias')} at {after}; before: {before}"


def _attested(one: provenance.Told) -> str:
    metrics = [f"{name} {value}" for name, value in one.mapping("metrics").items()] + one.words("metrics")
    evidence = [str(row.get("name")) for row in one.rows("evidence")] + one.words("evidence")
    return f"added to {_version(one)}: {', '.join([*metrics, *evidence]) or 'nothing that is named'}"


def _verified(one: provenance.Told) -> str:
    detail = one.fact.detail
    return f"read every byte of {_version(one)}: {detail.get('files')} files, {detail.get('bytes')} bytes, {one.fact.digest}"


def _requested(one: provenance.Told) -> str:
    rollback = " back" if one.fact.detail.get("rollback") else ""
    machine = " (a machine asks)" if one.fact.detail.get("requestedByMachine") else ""
    return f"asked for {_version(one)} to be brought{rollback} to {one.text('stage')}, as {one.fact.subject.name}{machine}"


def _said(what: str) -> Any:
    def words(one: provenance.Told) -> str:
        counts = (
            "" if one.fact.detail.get("counts", True) is not False else f"; it does not count: {one.text('why') or 'no reason is given'}"
        )
        return f"{what} {one.fact.subject.name} for the gate {one.text('gate')}{counts}"

    return words


def _granted(one: provenance.Told) -> str:
    gates = one.rows("gates")
    held = f"{len(gates)} gates held" if gates else "there was no gate"
    how = "past every gate, as a rollback" if one.fact.detail.get("rollback") else held
    return f"granted {one.text('stage')} to {_version(one)}: {how}"


def _ended(one: provenance.Told) -> str:
    return f"{one.fact.subject.name} ended: {one.text('phase')} ({_version(one)} in {one.text('stage')})"


def _serving(one: provenance.Told) -> str:
    shares = ", ".join(f"{share.get('version')} at {share.get('weight')} %" for share in one.rows("serves"))
    why = f": {one.text('why')}" if one.text("why") else ""
    return f"{one.text('stage')} serves {shares or ('nothing that is known' if why else 'nothing')}{why}"


def _steered(one: provenance.Told) -> str:
    detail = one.fact.detail
    what = "aborted" if detail.get("abort") else "paused" if detail.get("paused") else "let go on"
    return f"{what} {one.fact.subject.name}"


def _deleted(one: provenance.Told) -> str:
    noticed = "; noticed later" if one.text("noticed") == "later" else ""
    return f"{one.fact.subject.kind} {one.fact.subject.name} was deleted{noticed}"


def _forgotten(one: provenance.Told) -> str:
    return f"could not keep {one.fact.detail.get('facts')} facts while the ledger did not answer, between {one.text('since')} and {one.text('until')}"


def _accepted(one: provenance.Told) -> str:
    return f"accepted that the ledger is not what it was, with {len(one.rows('flaws'))} flaws"


def _restored(one: provenance.Told) -> str:
    back, again = one.words("objects"), one.words("unfinished")
    what = f"brought back from the ledger: {', '.join(back)}" if back else "the cluster was behind the ledger, which holds"
    return what + (f"; to be requested again: {', '.join(again)}" if again else "")


def _retired(one: provenance.Told) -> str:
    return f"retired {_version(one)}" if one.text("version") else "retired the Model"


_SENTENCES: Final[Mapping[Action, Any]] = {
    Action.MODEL_CREATED: lambda one: f"created the Model {one.fact.subject.name}",
    Action.RULES_CHANGED: _rules,
    Action.ALIAS_CHANGED: _alias,
    Action.REGISTERED: _words("registered"),
    Action.ATTESTED: _attested,
    Action.DESCRIBED: _words("described", "anew"),
    Action.DEPRECATED: _words("deprecated"),
    Action.REACTIVATED: _words("took back the deprecation of"),
    Action.RETIRED: _retired,
    Action.DELETED: _deleted,
    Action.REQUESTED: _requested,
    Action.APPROVED: _said("approved"),
    Action.REJECTED: _said("rejected"),
    Action.WITHDRAWN: _said("took back what they had said of"),
    Action.STEERED: _steered,
    Action.VERIFIED: _verified,
    Action.EVIDENCE_VERIFIED: _words("read every byte of the evidence of"),
    Action.HELD: _words("put the objects of", "under legal hold"),
    Action.RELEASED: _words("lifted the legal hold on the objects of"),
    Action.QUARANTINED: _words("quarantined", "as its bytes changed or are gone"),
    Action.RECOVERED: _words("found the right bytes of", "again"),
    Action.REUSED: _words("refused", "as its name meant something else before"),
    Action.GRANTED: _granted,
    Action.ENDED: _ended,
    Action.ROLLOUT: lambda one: f"rolled out another template in {one.text('stage')} for {_version(one)}",
    Action.SERVING: _serving,
    Action.DECOMMISSIONED: lambda one: f"took down {one.text('stage')}, which stood for {_version(one)}",
    Action.FORGOTTEN: _forgotten,
    Action.COLLECTED: _words("deleted the bytes of"),
    Action.ACCEPTED: _accepted,
    Action.RESTORED: _restored,
    Action.TERM_BEGAN: lambda one: f"{one.text('holder')} leads, as term {one.fact.detail.get('number')}",
    Action.TERM_ENDED: lambda one: f"{one.text('holder')} stopped leading, as it was asked to",
    Action.TAKEN_OVER: lambda one: f"the registry was taken over by {one.text('after')}",
}
