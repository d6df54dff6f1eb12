"""Fields, tables and sections of a dossier, and their states: verified, declared or missing. Pure."""

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
    """Return one field; a field without a value is missing, whatever `state` says."""
    empty = value is None or value in ("", [], {})
    return {
        "id": name,
        "label": label,
        "value": None if empty else value,
        "state": str(State.MISSING if empty else state),
        "records": sorted(set(records)),
    }


def row(cells: Sequence[Any], state: State, *records: int) -> Json:
    """Return one row of a table."""
    return {"cells": list(cells), "state": str(state), "records": sorted(set(records))}


def table(name: str, label: str, columns: Sequence[str], rows: Sequence[Json]) -> Json:
    """Return a table; a table without rows is missing."""
    return {"id": name, "label": label, "columns": list(columns), "rows": list(rows)}


def section(name: str, title: str, fields: Sequence[Json], *tables: Json) -> Json:
    """Return one section of a dossier."""
    return {"id": name, "title": title, "fields": list(fields), "tables": list(tables)}


def of_actor(entry: provenance.RecordedEntry) -> State:
    """Return Verified if the actor is authenticated or the operator, else Declared."""
    return State.VERIFIED if entry.fact.actor.known in {record.Authenticity.AUTHENTICATED, record.Authenticity.OPERATOR} else State.DECLARED


def states(sections: Sequence[Mapping[str, Any]]) -> dict[str, State]:
    """Return the state of each `section.field`. A table has the weakest state of its rows; without rows it is missing."""
    states_by_field: dict[str, State] = {}
    for part in sections:
        for part_field in part["fields"]:
            states_by_field[f"{part['id']}.{part_field['id']}"] = State(part_field["state"])
        for part_table in part["tables"]:
            rows = {State(table_row["state"]) for table_row in part_table["rows"]}
            weakest = next((state for state in (State.MISSING, State.DECLARED, State.VERIFIED) if state in rows), State.MISSING)
            states_by_field[f"{part['id']}.{part_table['id']}"] = weakest
    return states_by_field


def count(sections: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count fields and rows by state; an empty table counts as one that is missing."""
    found: list[str] = []
    for part in sections:
        found += [part_field["state"] for part_field in part["fields"]]
        for part_table in part["tables"]:
            found += [table_row["state"] for table_row in part_table["rows"]] or [str(State.MISSING)]
    return {str(state): found.count(str(state)) for state in State}
