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
        validation.one(meta.Digest, subject, "--subject")
    validation.one(meta.ObjectName, name, "the promotion")
    found = server.get(client.PROMOTION, name, "see which there are with `kubectl get promotions`")
    _is_asked(found, decision)
    gate = gate or _only_gate(found, _VERBS[decision])
    validation.one(meta.GateName, gate, "--gate")
    shown = subject or (_said_of(found, server.whoami(), gate) if decision is Decision.WITHDRAWN else _subject(found))
    output.say(_what(found, shown))
    written = server.patch(client.PROMOTION, name, lambda now, me: steps(now, me, decision, gate, comment, shown))
    output.say(f"{decision}: gate {gate} of {name}")
    cluster.written(client.PROMOTION, written, form)


def steps(now: Json, me: str, decision: Decision, gate: str, comment: str | None, shown: str) -> list[Json]:
    """The JSON patch that writes the entry, if the Promotion still is what it was.

    A server-side apply would do as well for one person; two people's applies share one field manager, and each takes the other's entry away.

    Raises:
        outcome.Stop: nobody is asked, something else is asked than was shown, or there is nothing to take back.
    """
    _is_asked(now, decision)
    if (current := _said_of(now, me, gate) if decision is Decision.WITHDRAWN else _subject(now)) != shown:
        raise exits.Stop(
            exits.Code.NO, f"what is asked has changed meanwhile: it is {current} now, not {shown}\nlook again, and decide again"
        )
    spec = now["spec"]
    entry = {"user": me, "gate": gate, "decision": str(decision), "subject": shown} | ({"comment": comment} if comment else {})
    # Every change of the spec makes a new generation, so this one test holds for the list's places and for its absence.
    patch: list[Json] = [{"op": "test", "path": "/metadata/generation", "value": now["metadata"]["generation"]}]
    there = spec.get("approvals")
    mine = _mine(now, me, gate)
    if not there:
        patch.append({"op": "add", "path": "/spec/approvals", "value": [entry]})
    elif mine is None:
        patch.append({"op": "add", "path": "/spec/approvals/-", "value": entry})
    else:
        patch.append({"op": "replace", "path": f"/spec/approvals/{mine}", "value": entry})
    return [*patch, *authorship.steps(now, me)]


def _is_asked(found: Json, decision: Decision) -> None:
    """Approvals are written while people are asked; taking one back, also while the promotion waits for something else."""
    phase = cluster.phase_of(found)
    allowed = {api.Phase.AWAITING_APPROVAL} | ({api.Phase.PENDING, api.Phase.BLOCKED} if decision is Decision.WITHDRAWN else set())
    if phase not in allowed:
        message = f"nobody is asked: Promotion {found['metadata']['name']} is {cluster.told_of(found)}"
        raise exits.Stop(exits.Code.NO, f"{message}\napprovals are written while it is AwaitingApproval")


def _subject(found: Json) -> str:
    subject = (found.get("status") or {}).get("subject")
    if not subject:
        raise exits.Stop(exits.Code.NO, f"nobody is asked: Promotion {found['metadata']['name']} is {cluster.told_of(found)}")
    return str(subject)


def _mine(found: Json, me: str, gate: str) -> int | None:
    """The place of one's own entry."""
    return next((at for at, one in enumerate(found["spec"].get("approvals") or ()) if (one["user"], one["gate"]) == (me, gate)), None)


def _said_of(found: Json, me: str, gate: str) -> str:
    """The subject of what one has said: that is what is taken back, also while something else is asked, or nothing.

    Raises:
        outcome.Stop: one has said nothing.
    """
    if (mine := _mine(found, me, gate)) is None:
        message = f"there is nothing to take back: {me} has said nothing for gate {gate} of Promotion {found['metadata']['name']}"
        raise exits.Stop(exits.Code.NO, message)
    return found["spec"]["approvals"][mine].get("subject") or _subject(found)


def _gates(found: Json) -> list[promotion.ApprovalStatus]:
    what = f"status.approvals of the Promotion {found['metadata']['name']}"
    return [cluster.parsed(promotion.ApprovalStatus, one, what) for one in (found.get("status") or {}).get("approvals") or []]


def _only_gate(found: Json, verb: str) -> str:
    gates = [one.gate for one in _gates(found)]
    if len(gates) != 1:
        which = f"one of {', '.join(gates)}" if gates else "one of the stage's gates.approvals"
        raise exits.usage(f"say which gate you {verb} with --gate: {which}")
    return gates[0]


def _what(found: Json, shown: str) -> str:
    """What a person puts their name to."""
    spec = found["spec"]
    lines = [f"{spec['model']} {spec['version']} for {spec['stage']}, asked for by {spec.get('requestedBy', 'nobody knows whom')}"]
    lines += [f"reason: {spec['reason']}"] if spec.get("reason") else []
    lines += [f"subject: {shown} (bytes, metadata, gates, strategy and template)"]
    lines += [
        f"gate {one.gate}: {output.many(one.required, 'person').replace('persons', 'people')}, approved by {', '.join(one.approved_by or ()) or 'nobody yet'}"
        for one in _gates(found)
    ]
    # Each stays one line: whoever asked chose some of these words, and could write lines of ours into them.
    return "\n".join(output.safe(line) for line in lines)
