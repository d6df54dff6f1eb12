"""`modelyard approve`, `reject`, `withdraw`: one person's decision on one gate of a promotion, for exactly the subject that was shown."""

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
    """Write the user's own entry of spec.approvals.

    Raises:
        exits.Stop: nobody is asked, something else is asked than `subject`, the gate is not known, there is nothing to take back, or the
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
    cluster.print_object(client.PROMOTION, written, form)


def steps(obj: Json, me: str, decision: Decision, gate: str, comment: str | None, shown: str) -> list[Json]:
    """Return the JSON patch that writes the entry, if the Promotion has not changed.

    Server-side apply does not work here: two people's applies share one field manager, and each would remove the other's entry.

    Raises:
        exits.Stop: nobody is asked, something else is asked than was shown, or there is nothing to take back.
    """
    _is_asked(obj, decision)
    if (current := _recorded_subject(obj, me, gate) if decision is Decision.WITHDRAWN else _subject(obj)) != shown:
        raise exits.Stop(
            exits.Code.NO, f"what is asked has changed meanwhile: it is {current} now, not {shown}\nlook again, and decide again"
        )
    spec = obj["spec"]
    entry = {"user": me, "gate": gate, "decision": str(decision), "subject": shown} | ({"comment": comment} if comment else {})
    # Every change of the spec makes a new generation, so this test covers the list's positions and its absence.
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
    """Stop unless the promotion awaits approval; an approval may also be withdrawn while the promotion waits for something else."""
    phase = cluster.phase_of(obj)
    allowed = {api.Phase.AWAITING_APPROVAL} | ({api.Phase.PENDING, api.Phase.BLOCKED} if decision is Decision.WITHDRAWN else set())
    if phase not in allowed:
        message = f"nobody is asked: Promotion {obj['metadata']['name']} is {cluster.summary_of(obj)}"
        raise exits.Stop(exits.Code.NO, f"{message}\napprovals are written while it is AwaitingApproval")


def _subject(obj: Json) -> str:
    subject = (obj.get("status") or {}).get("subject")
    if not subject:
        raise exits.Stop(exits.Code.NO, f"nobody is asked: Promotion {obj['metadata']['name']} is {cluster.summary_of(obj)}")
    return str(subject)


def _mine(obj: Json, me: str, gate: str) -> int | None:
    """Return the position of the user's own entry."""
    return next(
        (
            position
            for position, approval in enumerate(obj["spec"].get("approvals") or ())
            if (approval["user"], approval["gate"]) == (me, gate)
        ),
        None,
    )


def _recorded_subject(obj: Json, me: str, gate: str) -> str:
    """Return the subject of the user's own entry: that is what is withdrawn, whatever the current subject is.

    Raises:
        exits.Stop: the user has no entry.
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
    """Describe what the user decides on."""
    spec = obj["spec"]
    lines = [f"{spec['model']} {spec['version']} for {spec['stage']}, asked for by {spec.get('requestedBy', 'nobody knows whom')}"]
    lines += [f"reason: {spec['reason']}"] if spec.get("reason") else []
    lines += [f"subject: {shown} (bytes, metadata, gates, strategy and template)"]
    lines += [
        f"gate {status.gate}: {output.many(status.required, 'person').replace('persons', 'people')}, approved by {', '.join(status.approved_by or ()) or 'nobody yet'}"
        for status in _gates(obj)
    ]
    # Each stays one line: the requester chose some of this text, and could forge lines in it.
    return "\n".join(output.safe(line) for line in lines)
