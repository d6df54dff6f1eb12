"""Which template a stage runs: the declared one, or the approved one where changed templates need approval. Pure."""

from __future__ import annotations

from modelyard import api
from modelyard.api import gates
from modelyard.plan.serving import template


def gates_that_ask(declared: api.Stage) -> list[str]:
    """Return the approval gates that a changed template needs as well."""
    approvals = (declared.gates.approvals if declared.gates else None) or []
    return [gate.name for gate in approvals if gate.scope == gates.ApprovalScope.TEMPLATE]


def waits(declared: api.Stage, stage_status: api.StageStatus) -> bool:
    """Return whether the declared template differs from the one that serves, and needs approval before it serves."""
    if declared.serving is None or not gates_that_ask(declared):
        return False
    return stage_status.serving is None or stage_status.serving.source != template.source(declared.serving)
