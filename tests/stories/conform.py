"""What every status must hold for kstatus, Argo CD and people, checked after every step of every story."""

from __future__ import annotations

from typing import Any

from modelyard.api.reason import Reason

# Phase -> (Ready, the condition that must be True beside it), as DESIGN's table of a promotion's life has it.
PROMOTION = {
    "Pending": ({"False", "Unknown"}, "Reconciling"),
    "Blocked": ({"False"}, "Stalled"),
    "AwaitingApproval": ({"False", "Unknown"}, None),  # Unknown: nobody knows now whether enough people agree
    "RollingOut": ({"False", "Unknown"}, "Reconciling"),
    "Succeeded": ({"True"}, "Succeeded"),
    "Superseded": ({"True"}, None),
    "RolledBack": ({"False"}, "Stalled"),
    "Failed": ({"False"}, "Stalled"),
    "Rejected": ({"False"}, "Stalled"),
    "Aborted": ({"False"}, "Stalled"),
    "Reused": ({"False"}, "Stalled"),
}
VERSION = {
    "Pending": ({"False", "Unknown"}, None),
    "Verifying": ({"False"}, "Reconciling"),
    "Ready": ({"True", "Unknown"}, None),
    "Failed": ({"False", "Unknown"}, None),
    "Quarantined": ({"False", "Unknown"}, None),
    "Deprecated": ({"True", "False", "Unknown"}, None),  # False while it waits to be Retired
    "Retired": ({"True", "Unknown"}, None),  # Unknown while a change of it cannot be recorded
    "Reused": ({"False"}, "Stalled"),
}


def check(obj: dict[str, Any]) -> None:
    """Fail when a status would mislead a tool or a person."""
    name = f"{obj['kind']} {obj['metadata']['name']}"
    status = obj.get("status")
    assert status, f"{name} has no status"
    assert status["observedGeneration"] == obj["metadata"]["generation"], f"{name}: the status is of another generation"
    conditions = {one["type"]: one for one in status["conditions"]}
    assert len(conditions) == len(status["conditions"]), f"{name}: a condition stands twice"
    assert "Ready" in conditions, f"{name} has no Ready"
    for kind, one in conditions.items():
        assert one["reason"] in set(Reason), f"{name}: {one['reason']} is not in the closed list"
        assert one["message"], f"{name}: {kind} says nothing"
        assert one["observedGeneration"] == obj["metadata"]["generation"], f"{name}: {kind} is of another generation"
    for kind in ("Reconciling", "Stalled"):
        assert conditions.get(kind, {"status": "True"})["status"] == "True", f"{name}: {kind} is there and not True"
    if obj["kind"] == "Promotion":
        _check_gates(obj, conditions)
    assert not {"Reconciling", "Stalled"} <= set(conditions), f"{name} is both Reconciling and Stalled"
    table = {"Promotion": PROMOTION, "ModelVersion": VERSION}.get(obj["kind"])
    if table:
        ready, beside = table[status["phase"]]
        if conditions["Ready"]["reason"] == Reason.INTERNAL_ERROR:  # nothing else is known, whatever was found before
            ready, beside = {"Unknown"}, None
        assert conditions["Ready"]["status"] in ready, f"{name} is {status['phase']} and Ready={conditions['Ready']['status']}"
        waits = status["phase"] == "Deprecated" and conditions["Ready"]["status"] == "False"
        assert not waits or "Reconciling" in conditions, f"{name} waits to be Retired without Reconciling"
        assert beside is None or beside in conditions, f"{name} is {status['phase']} without {beside}"


def _check_gates(obj: dict[str, Any], conditions: dict[str, Any]) -> None:
    """A promotion's rows say the same as its phase and its conditions."""
    name, status = obj["metadata"]["name"], obj["status"]
    rows = {row["name"]: row for row in status.get("gates") or []}
    assert all(row["message"] for row in rows.values()), f"{name}: a gate says nothing"
    asked = {kind: row["passed"] for kind, row in rows.items() if kind.startswith("approvals/")}
    others = {kind: row["passed"] for kind, row in rows.items() if kind not in asked}
    if "GatesPassed" in conditions:
        assert (conditions["GatesPassed"]["status"] == "True") == all(others.values()), f"{name}: GatesPassed is not what the rows say"
    assert ("Approved" in conditions) == bool(asked), f"{name}: Approved is there where nobody is asked, or not where people are"
    assert not asked or (conditions["Approved"]["status"] == "True") == all(asked.values()), f"{name}: Approved is not what the rows say"
    if status["phase"] == "AwaitingApproval":
        assert all(others.values()), f"{name} asks people while another gate does not hold"
        assert not all(asked.values()), f"{name} asks people who have agreed"
        assert status["subject"], f"{name} asks people about nothing"
    if status["phase"] in {"RollingOut", "Succeeded"}:
        assert all(row["passed"] for row in rows.values()), f"{name} was granted while a gate did not hold"
