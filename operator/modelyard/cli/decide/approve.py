"""`modelyard approve`, `reject`, `withdraw`: one person's word on one gate of a promotion, for exactly what was shown."""

from __future__ import annotations

from typing import Any

from modelyard import api
from modelyard.api import meta, promotion
from modelyard.api.promotion import Decision
from modelyard.cli.reach import authorship, cluster
from modelyard.cli.terminal import exits, output, validation
from modelyard.edge.cluster import client

Json = dict[str, Any]

_VERBS = {Decision.APPROVED: "approve", Decision.REJECTED: "reject", Decision.WITHDRAWN: "withdraw"}


def decide(
    server: cluster.Registry,
    name: str,
    decision: Decision,
    *,
    gate: str | None,
    comment: str | None,
    subject: str | None,
    asked: str | None,
) -> None:
    """Write one's own entry of spec.approvals.

    Raises:
        outcome.Stop: nobody is asked, something else is asked than `subject`, the gate is not known, there is nothing to take back, or the
            API server refuses.
    """
    form = output.form(asked, output.Form.TABLE, output.Form.JSON, output.Form.YAML, output.Form.NAME)
    if subject is not None:
        validation.check(meta.Digest, subject, "--subject")
    validation.check(meta.ObjectName, name, "the promotion")
    obj = server.get(client.PROMOTION, name, "see which there are with `kubectl get promotions`")
    _is_asked(obj, decision)
    gate = gate or _only_gate(obj, _VERBS[decision])
    validation.check(meta.GateName, gate, "--gate")
    shown = subject or (_recorded_subject(obj, server.whoami(), gate) if decision is Decision.WITHDRAWN else _subject(obj))
    output.say(_what(obj, shown))
    written = server.patch(client.PROMOTION, name, lambda obj, me: steps(obj, me, decision, gate, comment, shown))
    output.say(f"{decision}: gate {gate} of {name}")
    cluster.written(client.PROMOTION, written, form)


def steps(obj: Json, me: str, decision: Decision, gate: str, comment: str | None, shown: str) -> list[Json]:
    """The JSON patch that writes the entry, if the Promotion still is what it was.

    A server-side apply would do as well for one person; two people's applies share one field manager, and each takes the other's entry away.

    Raises:
        outcome.Stop: nobody is asked, something else is asked than was shown, or there is nothing to take back.
    """
    _is_asked(obj, decision)
    if (current := _recorded_subject(obj, me, gate) if decision is Decision.WITHDRAWN else _subject(obj)) != shown:
        raise exits.Stop(
            exits.Code.NO, f"what is asked has changed meanwhile: it is {current} now, not {shown}\nlook again, and decide again"
        )
    spec = obj["spec"]
    entry = {"user": me, "gate": gate, "decision": str(decision), "subject": shown} | ({"comment": comment} if comment else {})
    # Every change of the spec makes a new generation, so this one test holds for the list's places and for its absence.
    patch: list[Json] = [{"op": "test", "path": "/metadata/generation", "value": obj["metadata"]["generation"]}]
    approvals = spec.get("approvals")
    position = _mine(obj, me, gate)
    if not approvals:
        patch.append({"op": "add", "path": "/spec/approvals", "value": [entry]})
    elif position is None:
        patch.append({"op": "add", "path": "/spec/approvals/-", "value": entry})
    else:
        patch.append({"op": "replace", "path": f"/spec/approvals/{position}", "value": entry})
    return [*patch, *authorship.steps(obj, me)]


def _is_asked(obj: Json, decision: Decision) -> None:
    """Approvals are written while people are asked; taking one back, also while the promotion waits for something else."""
    phase = cluster.phase_of(obj)
    allowed = {api.Phase.AWAITING_APPROVAL} | ({api.Phase.PENDING, api.Phase.BLOCKED} if decision is Decision.WITHDRAWN else set())
    if phase not in allowed:
        message = f"nobody is asked: Promotion {obj['metadata']['name']} is {cluster.told_of(obj)}"
        raise exits.Stop(exits.Code.NO, f"{message}\napprovals are written while it is AwaitingApproval")


def _subject(obj: Json) -> str:
    subject = (obj.get("status") or {}).get("subject")
    if not subject:
        raise exits.Stop(exits.Code.NO, f"nobody is asked: Promotion {obj['metadata']['name']} is {cluster.told_of(obj)}")
    return str(subject)


def _mine(obj: Json, me: str, gate: str) -> int | None:
    """The place of one's own entry."""
    return next(
        (
            position
            for position, approval in enumerate(obj["spec"].get("approvals") or ())
            if (approval["user"], approval["gate"]) == (me, gate)
        ),
        None,
    )


def _recorded_subject(obj: Json, me: str, gate: str) -> str:
    """The subject of what one has said: that is what is taken back, also while something else is asked, or nothing.

    Raises:
        outcome.Stop: one has said nothing.
    """
    if (position := _mine(obj, me, gate)) is None:
        message = f"there is nothing to take back: {me} has said nothing for gate {gate} of Promotion {obj['metadata']['name']}"
        raise exits.Stop(exits.Code.NO, message)
    return obj["spec"]["approvals"][position].get("subject") or _subject(obj)


def _gates(obj: Json) -> list[promotion.ApprovalStatus]:
    path = f"status.approvals of the Promotion {obj['metadata']['name']}"
    return [cluster.parsed(promotion.ApprovalStatus, raw, path) for raw in (obj.get("status") or {}).get("approvals") or []]


def _only_gate(obj: Json, verb: str) -> str:
    gates = [status.gate for status in _gates(obj)]
    if len(gates) != 1:
        which = f"one of {', '.join(gates)}" if gates else "one of the stage's gates.approvals"
        raise exits.usage(f"say which gate you {verb} with --gate: {which}")
    return gates[0]


def _what(obj: Json, shown: str) -> str:
    """What a person puts their name to."""
    spec = obj["spec"]
    lines = [f"{spec['model']} {spec['version']} for {spec['stage']}, asked for by {spec.get('requestedBy', 'nobody knows whom')}"]
    lines += [f"reason: {spec['reason']}"] if spec.get("reason") else []
    lines += [f"subject: {shown} (bytes, metadata, gates, strategy and template)"]
    lines += [
        f"gate {status.gate}: {output.many(status.required, 'person').replace('persons', 'people')}, approved by {', '.join(status.approved_by or ()) or 'nobody yet'}"
        for status in _gates(obj)
    ]
    # Each stays one line: whoever asked chose some of these words, and could write lines of ours into them.
    return "\n".join(output.safe(line) for line in lines)
