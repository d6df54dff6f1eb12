"""Which template a stage runs: the declared one, or where people are asked about it, the one that they agreed to. Pure."""

from __future__ import annotations

from modelyard import api
from modelyard.api import gates
from modelyard.plan.serving import template


def gates_that_ask(declared: api.Stage) -> list[str]:
    """The approval gates that ask people about a changed template as well."""
    approvals = (declared.gates.approvals if declared.gates else None) or []
    return [gate.name for gate in approvals if gate.scope == gates.ApprovalScope.TEMPLATE]


def waits(declared: api.Stage, stage_status: api.StageStatus) -> bool:
    """Whether the declared template is another one than serves, and people have to agree to it before it does."""
    if declared.serving is None or not gates_that_ask(declared):
        return False
    return stage_status.serving is None or stage_status.serving.source != template.source(declared.serving)
