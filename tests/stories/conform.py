"""What every status must hold for kstatus, Argo CD and people, checked after every step of every story."""

from __future__ import annotations

from typing import Any

from modelyard.api.reason import Reason

# Phase -> (Ready, the condition that must be True beside it), as DESIGN's table of a promotion's life has it.
PROMOTION = {
    "Pending": ({"False", "Unknown"}, "Reconciling"),
    "Blocked": ({"False"}, "Stalled"),
    "AwaitingApproval": ({"False"}, None),
    "RollingOut": ({"False"}, "Reconciling"),
    "Succeeded": ({"True"}, "Succeeded"),
    "Superseded": ({"True"}, None),
    "RolledBack": ({"False"}, "Stalled"),
    "Failed": ({"False"}, "Stalled"),
    "Rejected": ({"False"}, "Stalled"),
    "Aborted": ({"False"}, "Stalled"),
}
VERSION = {
    "Pending": ({"False", "Unknown"}, None),
    "Verifying": ({"False"}, "Reconciling"),
    "Ready": ({"True", "Unknown"}, None),
    "Failed": ({"False", "Unknown"}, None),
    "Quarantined": ({"False", "Unknown"}, None),
    "Deprecated": ({"True"}, None),
    "Retired": ({"True"}, None),
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
    assert not {"Reconciling", "Stalled"} <= set(conditions), f"{name} is both Reconciling and Stalled"
    table = {"Promotion": PROMOTION, "ModelVersion": VERSION}.get(obj["kind"])
    if table:
        ready, beside = table[status["phase"]]
        assert conditions["Ready"]["status"] in ready, f"{name} is {status['phase']} and Ready={conditions['Ready']['status']}"
        assert beside is None or beside in conditions, f"{name} is {status['phase']} without {beside}"
