"""How the ledger's records are stored and read back: canonical JSON (RFC 8785), so that each has one digest."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Final

import rfc8785

from modelyard.content import canonical, digest
from modelyard.ledger.record import Action, Actor, Authenticity, Chain, LedgerEntry, Pointer, Record, Share, Signature, StageState, Subject

FORMAT: Final = "modelyard.dev/ledger/v1"


def write(record: Record) -> bytes:
    """A record as it is stored: canonical JSON (RFC 8785)."""
    raw: dict[str, Any] = {
        "format": FORMAT,
        "registry": record.chain.registry,
        "namespace": record.chain.namespace,
        "model": record.chain.model,
        "sequence": record.sequence,
        "prev": record.prev,
        "time": write_time(record.time),
        "seen": write_time(record.seen) if record.seen else None,
        "term": record.term,
        "facts": [dump_entry(entry) for entry in record.facts],
        "state": [_dump_state(state) for state in record.state],
        "index": {"sequence": record.index.sequence, "digest": record.index.digest} if record.index else None,
    }
    if record.signature:  # records from before signing have no such field
        raw["signature"] = {"key": record.signature.key, "value": record.signature.value}
    return rfc8785.dumps(raw)


def read(data: bytes) -> Record:
    """Read a record that `write` wrote.

    Raises:
        ValueError: it is something else, not canonical, or of a format that this release does not know; the message says which.
    """
    try:
        raw = canonical.loads(data)
        if raw["format"] != FORMAT:
            raise ValueError(f"its format is {raw['format']!r}, not {FORMAT}")
        pointer = raw["index"]
        record = Record(
            chain=Chain(raw["registry"], raw["namespace"], raw["model"]),
            sequence=raw["sequence"],
            prev=raw["prev"],
            time=read_time(raw["time"]),
            seen=read_time(raw["seen"]) if raw["seen"] else None,
            term=raw["term"],
            facts=tuple(load_entry(row) for row in raw["facts"]),
            state=tuple(_load_state(row) for row in raw["state"]),
            index=Pointer(pointer["sequence"], pointer["digest"]) if pointer else None,
            signature=Signature(**raw["signature"]) if "signature" in raw else None,
        )
        again = write(record)
    except (KeyError, TypeError, AttributeError, UnicodeError, RecursionError, rfc8785.CanonicalizationError) as error:
        raise ValueError(f"it is no record: {type(error).__name__} {error}") from None
    if field := _unsound(record):
        raise ValueError(f"it is no record: {field} is not what it should be")
    if again != data:
        raise ValueError("it is not canonical JSON, or has fields that no record has")
    return record


def write_time(moment: datetime.datetime) -> str:
    """UTC with microseconds, in a fixed width that sorts as text: `2026-10-03T14:00:02.000000Z`."""
    return f"{moment.astimezone(datetime.UTC).isoformat(timespec='microseconds').removesuffix('+00:00')}Z"


def read_time(text: str) -> datetime.datetime:
    """Read a time that `write_time` wrote; raises ValueError for anything else."""
    found = datetime.datetime.fromisoformat(text) if text.endswith("Z") else None
    if found is None or write_time(found) != text:
        raise ValueError(f"{text!a} is no time as 2026-10-03T14:00:02.000000Z")
    return found


def dump_entry(entry: LedgerEntry) -> dict[str, Any]:
    """An entry as JSON."""
    return {
        "id": entry.id,
        "action": str(entry.action),
        "actor": {"name": entry.actor.name, "known": str(entry.actor.known)},
        "subject": {
            "kind": entry.subject.kind,
            "name": entry.subject.name,
            "uid": entry.subject.uid,
            "generation": entry.subject.generation,
        },
        "digest": entry.digest,
        "detail": dict(entry.detail),
        "at": write_time(entry.at) if entry.at else None,
    }


def load_entry(raw: Mapping[str, Any]) -> LedgerEntry:
    """Read an entry that `dump_fact` made."""
    actor, subject = raw["actor"], raw["subject"]
    return LedgerEntry(
        raw["id"],
        Action(raw["action"]),
        Actor(actor["name"], Authenticity(actor["known"])),
        Subject(subject["kind"], subject["name"], subject["uid"], subject["generation"]),
        raw["digest"],
        raw["detail"],
        read_time(raw["at"]) if raw["at"] else None,
    )


def dump_share(share: Share) -> dict[str, Any]:
    """A share as JSON."""
    return {"version": share.version, "digest": share.digest, "weight": share.weight, "since": write_time(share.since)}


def load_share(raw: Mapping[str, Any]) -> Share:
    """Read a share that `dump_share` made."""
    return Share(raw["version"], raw["digest"], raw["weight"], read_time(raw["since"]))


def _dump_state(state: StageState) -> dict[str, Any]:
    return {
        "name": state.name,
        "current": state.current,
        "digest": state.digest,
        "since": write_time(state.since) if state.since else None,
        "previous": state.previous,
        "template": state.template,
        "source": state.source,
        "serves": [dump_share(share) for share in state.serves],
    }


def _load_state(raw: Mapping[str, Any]) -> StageState:
    return StageState(
        name=raw["name"],
        current=raw["current"],
        digest=raw["digest"],
        since=read_time(raw["since"]) if raw["since"] else None,
        previous=raw["previous"],
        template=raw["template"],
        source=raw["source"],
        serves=tuple(load_share(share) for share in raw["serves"]),
    )


def _unsound(record: Record) -> str | None:
    """The field that holds a value of the wrong type, if any: canonical JSON alone would let `"sequence": true` pass."""
    texts = [record.chain.registry, record.chain.namespace, record.chain.model]
    texts += [record.signature.key, record.signature.value] if record.signature else []
    numbers = [record.sequence, record.term]
    digests = [record.prev]
    if record.index:
        numbers.append(record.index.sequence)
        digests.append(record.index.digest)
    for entry in record.facts:
        texts += [entry.id, entry.actor.name, entry.subject.kind, entry.subject.name, entry.subject.uid]
        texts += [] if entry.digest is None else [entry.digest]
        numbers.append(entry.subject.generation)
    for state in record.state:
        texts += [
            state.name,
            *(value for value in (state.current, state.digest, state.previous, state.template, state.source) if value is not None),
        ]
        for share in state.serves:
            texts += [share.version, *([] if share.digest is None else [share.digest])]
            numbers.append(share.weight)
    if not all(isinstance(value, str) for value in texts):
        return "a name"
    if not all(type(value) is int and value >= 0 for value in numbers) or record.sequence < 1:
        return "a number"
    if not all(value is None or (isinstance(value, str) and digest.DIGEST.fullmatch(value)) for value in digests):
        return "prev or index"
    if not all(isinstance(entry.detail, dict) for entry in record.facts):
        return "a detail"
    return None
