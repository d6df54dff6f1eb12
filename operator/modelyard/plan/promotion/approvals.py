"""Approvals: the digest of what people are asked to approve, and whose approval counts for which gate."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from modelyard import api
from modelyard.api.gates import ApprovalGate, Gates
from modelyard.api.promotion import Approval, ApprovalStatus, Decision
from modelyard.content import digest
from modelyard.ledger import record
from modelyard.ledger.record import Action
from modelyard.plan.modelversion import documentation
from modelyard.plan.observed import specs
from modelyard.plan.observed.world import World

SAYS: Final = {
    Decision.APPROVED: Action.APPROVED,
    Decision.REJECTED: Action.REJECTED,
    Decision.WITHDRAWN: Action.WITHDRAWN,
}
MACHINE: Final = "system:"
"""Prefix of the names of service accounts and of the cluster's own users."""


def subject(world: World, stage: str, version: str) -> str | None:
    """Return the digest of what people are asked to approve, `sha256:…` of canonical JSON; None until the version's bytes are verified.

    It covers the stage, the verified bytes, and all that is declared about them: metrics and evidence too, so an added result needs a new
    approval. It covers what the stage does with the version: its gates, its strategy, its template. It covers the risk tier where that
    decides what must be documented. Lists of named entries are sorted.
    """
    declared, modelversion = world.stage(stage), world.versions.get(version)
    if declared is None or modelversion is None or modelversion.status.artifact is None:
        return None
    serving = declared.serving.dump() if declared.serving else {}
    spec = modelversion.spec.dump()
    return digest.of_json(
        {
            "stage": stage,
            "artifact": modelversion.status.artifact.digest,
            "specDigest": specs.spec_digest(modelversion),
            "metrics": spec.get("metrics") or {},
            "evidence": _by_name(spec.get("evidence")),
            "gates": _gates(declared.gates) | _tier(world.model, declared.gates),
            "strategy": {field: serving[field] for field in ("strategy", "steps", "progressDeadline") if field in serving}
            | ({"analysis": _by_name(serving["analysis"])} if "analysis" in serving else {}),
            "template": {field: serving[field] for field in ("template", "port") if field in serving},
        }
    )


def _gates(gates: Gates | None) -> dict[str, Any]:
    dumped = gates.dump() if gates else {}
    named = {field: _by_name(dumped[field]) for field in ("metrics", "approvals") if field in dumped}
    return dumped | named | {field: sorted(dumped[field]) for field in ("after", "evidence") if field in dumped}


def _tier(model: api.Model | None, gates: Gates | None) -> dict[str, Any]:
    return {"riskTier": str(documentation.tier(model))} if model and gates and gates.documentation else {}


def _by_name(rows: Sequence[dict[str, Any]] | None) -> list[dict[str, Any]]:
    return sorted(rows or [], key=lambda row: str(row["name"]))


@dataclasses.dataclass(frozen=True, slots=True)
class Count:
    """Who has approved for one gate, and who is still needed."""

    gate: str
    required: int
    people: tuple[str, ...]
    """The people whose approvals count for it."""
    others: tuple[str, ...]
    """The people whose approvals do not count for it, each with the reason, in words."""
    doubted: bool
    """There is a rejection whose author is uncertain: it does not reject the promotion, but blocks the grant."""

    @property
    def lacks(self) -> int:
        """Return how many more must approve."""
        return self.required - len(self.people)

    @property
    def holds(self) -> bool:
        """Return whether enough people have approved."""
        return self.lacks <= 0 and not self.doubted


@dataclasses.dataclass(frozen=True, slots=True)
class LastDecision:
    """The last decision that somebody took for one gate."""

    action: str
    subject: str | None
    certain: bool
    """Whether it is certain that the user wrote it."""

    def means(self, entry: Approval) -> bool:
        """Return whether an approval says the same."""
        return (self.action, self.subject) == (SAYS[entry.decision], entry.subject)


def recorded(world: World, promotion: api.Promotion) -> dict[tuple[str, str], LastDecision]:
    """Return the last decisions by user and gate: those in the ledger, and those that wait to be recorded."""
    recorded = world.past.promotions.get(promotion.metadata.name) if world.past else None
    recorded_approvals = recorded.approvals if recorded and recorded.uid == promotion.metadata.uid else []
    statements = {
        (user, gate): LastDecision(action, subject_digest, certain) for user, gate, action, subject_digest, certain in recorded_approvals
    }
    for entry in world.unrecorded:
        if entry.action in record.APPROVAL_ACTIONS and entry.subject.uid == promotion.metadata.uid:
            certain = entry.detail.get("doubted") is not True
            statements[entry.actor.name, str(entry.detail.get("gate"))] = LastDecision(str(entry.action), entry.digest, certain)
    return statements


def count(world: World, promotion: api.Promotion, gates: Sequence[ApprovalGate], subject_digest: str | None) -> list[Count]:
    """Count the approvals of each gate; a person counts for one gate only, and people are assigned so that as many places as possible are filled."""
    approved: dict[str, list[Approval]] = {gate.name: [] for gate in gates}
    refused: dict[str, list[str]] = {gate.name: [] for gate in gates}
    for gate in gates:
        for entry in _entries(promotion, gate.name):
            if entry.decision == Decision.WITHDRAWN:
                continue
            if why := _why_not(world, promotion, gate, entry, subject_digest):
                refused[gate.name].append(f"what {entry.user} says does not count: {why}")
            elif entry.decision == Decision.APPROVED:
                approved[gate.name].append(entry)
    willing = {name: [entry.user for entry in entries] for name, entries in approved.items()}
    required = {gate.name: _required(gate) for gate in gates}
    matched = match(willing, required)
    counts = []
    for gate in gates:
        name = gate.name
        elsewhere = [(user, other) for user in willing[name] for other in sorted(required) if other != name and user in matched[other]]
        spare = tuple(f"{user} counts for {other}" for user, other in elsewhere)
        counts.append(
            Count(name, required[name], matched[name], (*spare, *refused[name]), _maybe_rejected(world, promotion, name, subject_digest))
        )
    return counts


@dataclasses.dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """What people are asked to approve, as `status` shows it; the API server judges approvals by it."""

    subject: str | None = None
    gates: tuple[ApprovalStatus, ...] = ()


NOBODY: Final = ApprovalRequest()
"""No approvals are needed."""


def request(world: World, promotion: api.Promotion, gates: Sequence[ApprovalGate], subject_digest: str | None) -> ApprovalRequest:
    """Return the subject and a row for each gate."""
    machines = {gate.name for gate in gates if gate.allow_service_accounts}
    return ApprovalRequest(
        subject_digest,
        tuple(
            ApprovalStatus(
                gate=row.gate,
                required=row.required,
                approved_by=list(row.people) or None,
                allow_service_accounts=True if row.gate in machines else None,
            )
            for row in count(world, promotion, gates, subject_digest)
        ),
    )


def rejection(world: World, promotion: api.Promotion, gates: Sequence[ApprovalGate], subject_digest: str | None) -> Approval | None:
    """Return the first rejection of the current subject whose author is certain, if any."""
    for gate in gates:
        for entry in _entries(promotion, gate.name):
            current = subject_digest is not None and entry.subject == subject_digest
            if entry.decision == Decision.REJECTED and current and not _doubted(world, promotion, entry):
                return entry
    return None


def _maybe_rejected(world: World, promotion: api.Promotion, gate: str, subject_digest: str | None) -> bool:
    rejections = [entry for entry in _entries(promotion, gate) if entry.decision == Decision.REJECTED and entry.subject == subject_digest]
    return any(_doubted(world, promotion, entry) for entry in rejections)


def match(willing: Mapping[str, Sequence[str]], required: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """Return, by gate, who counts for it: each person once, such that as many places as possible are filled.

    >>> match({"risk": ["ann", "bob"], "business": ["ann"]}, {"risk": 1, "business": 1})
    {'risk': ('bob',), 'business': ('ann',)}
    """
    places = [(gate, number) for gate in sorted(required) for number in range(required[gate])]
    taken: dict[str, tuple[str, int]] = {}

    def seat(place: tuple[str, int], tried: set[str]) -> bool:
        for user in willing[place[0]]:
            if user in tried:
                continue
            tried.add(user)
            if user not in taken or seat(taken[user], tried):
                taken[user] = place
                return True
        return False

    for place in places:
        seat(place, set())
    return {gate: tuple(sorted(user for user, place in taken.items() if place[0] == gate)) for gate in required}


def _entries(promotion: api.Promotion, gate: str) -> list[Approval]:
    return sorted((entry for entry in promotion.spec.approvals or [] if entry.gate == gate), key=lambda entry: entry.user)


def why_not(world: World, promotion: api.Promotion, entry: Approval) -> str | None:
    """Return why an approval does not count now, in words; a withdrawal always counts."""
    declared = world.stage(promotion.spec.stage)
    gates = (declared.gates.approvals if declared and declared.gates else None) or []
    gate = next((gate for gate in gates if gate.name == entry.gate), None)
    if entry.decision == Decision.WITHDRAWN:
        return None
    if gate is None or promotion.spec.rollback:
        return "nobody is asked for this gate"
    return _why_not(world, promotion, gate, entry, subject(world, promotion.spec.stage, promotion.spec.version))


def _why_not(world: World, promotion: api.Promotion, gate: ApprovalGate, entry: Approval, subject_digest: str | None) -> str | None:
    """Return why an approval for this gate does not count, in words."""
    if subject_digest is None or entry.subject != subject_digest:
        return "it is about something else than what is asked now, status.subject: write the entry anew"
    if _entry(promotion, entry) in world.untried:
        return "the admission policies cannot be tried now, so whose it is is not known yet: it is looked at again by itself"
    if _doubted(world, promotion, entry):
        return "it appeared while the admission policies were not effective: withdraw it and write it anew"
    if entry.decision == Decision.REJECTED:
        return None
    if entry.user == promotion.spec.requested_by:
        return "they asked for this promotion"
    if entry.user in {world.registrant(promotion.spec.version), *world.registered_again.get(promotion.spec.version, ())}:
        return "they registered the version"
    if entry.user.startswith(MACHINE) and not gate.allow_service_accounts:
        return "the gate does not set allowServiceAccounts"
    return None


def _doubted(world: World, promotion: api.Promotion, entry: Approval) -> bool:
    return _entry(promotion, entry) in world.doubted | world.untried


def _entry(promotion: api.Promotion, entry: Approval) -> tuple[str, str, str]:
    return promotion.metadata.uid, entry.user, entry.gate


def _required(gate: ApprovalGate) -> int:
    return max(gate.required if gate.required is not None else 1, 1)
