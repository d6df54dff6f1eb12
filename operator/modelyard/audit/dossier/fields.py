"""How each field of a dossier stands: verified, declared or missing. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.api import words
from modelyard.audit import provenance
from modelyard.ledger import record

Json = dict[str, Any]


class State(words.Word):
    """What a field rests on; the text is for people."""

    VERIFIED = "verified", "Modelyard itself read the bytes, decided, or had the person's name authenticated, and recorded it."
    DECLARED = "declared", "Somebody wrote it down. That they did is recorded; that it is true is not known to Modelyard."
    MISSING = "missing", "Nobody has said it."


def field(name: str, label: str, value: Any, state: State, *records: int) -> Json:
    """One field; what has no value is missing, whatever it would be otherwise."""
    empty = value is None or value in ("", [], {})
    return {
        "id": name,
        "label": label,
        "value": None if empty else value,
        "state": str(State.MISSING if empty else state),
        "records": sorted(set(records)),
    }


def row(cells: Sequence[Any], state: State, *records: int) -> Json:
    """One row of a table."""
    return {"cells": list(cells), "state": str(state), "records": sorted(set(records))}


def table(name: str, label: str, columns: Sequence[str], rows: Sequence[Json]) -> Json:
    """A table; without rows it is missing."""
    return {"id": name, "label": label, "columns": list(columns), "rows": list(rows)}


def section(name: str, title: str, fields: Sequence[Json], *tables: Json) -> Json:
    """One part of a dossier."""
    return {"id": name, "title": title, "fields": list(fields), "tables": list(tables)}


def of_actor(one: provenance.Told) -> State:
    """Whether it is known who did it."""
    return State.VERIFIED if one.fact.actor.known in {record.Known.AUTHENTICATED, record.Known.OPERATOR} else State.DECLARED


def states(sections: Sequence[Mapping[str, Any]]) -> dict[str, State]:
    """How each `section.field` stands; of a table the weakest of its rows, missing when it has none."""
    found: dict[str, State] = {}
    for part in sections:
        for one in part["fields"]:
            found[f"{part['id']}.{one['id']}"] = State(one["state"])
        for one in part["tables"]:
            rows = {State(each["state"]) for each in one["rows"]}
            weakest = next((state for state in (State.MISSING, State.DECLARED, State.VERIFIED) if state in rows), State.MISSING)
            found[f"{part['id']}.{one['id']}"] = weakest
    return found


def count(sections: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many fields and rows stand how; an empty table counts as one that is missing."""
    words: list[str] = []
    for part in sections:
        words += [one["state"] for one in part["fields"]]
        for one in part["tables"]:
            words += [each["state"] for each in one["rows"]] or [str(State.MISSING)]
    return {str(state): words.count(str(state)) for state in State}
