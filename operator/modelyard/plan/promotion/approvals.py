"""Who agrees, and to what: the digest of what people are asked to approve, and whose approval counts for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from modelyard import api
from modelyard.api import promotion
from modelyard.api.gates import ApprovalGate, Gates
from modelyard.api.promotion import Approval, Decision
from modelyard.content import digest
from modelyard.ledger import record
from modelyard.ledger.record import Action
from modelyard.plan.modelversion import documentation
from modelyard.plan.observed import specs, world

SAYS: Final = {
    Decision.APPROVED: Action.APPROVED,
    Decision.REJECTED: Action.REJECTED,
    Decision.WITHDRAWN: Action.WITHDRAWN,
}
MACHINE: Final = "system:"
"""How the names of service accounts and of the cluster's own users begin."""


def subject(seen: world.World, stage: str, version: str) -> str | None:
    """What people are asked to approve, as `sha256:…` of canonical JSON; None while the version's bytes are not known.

    The stage, the verified bytes, all that is declared about them (metrics and evidence too: a result that is added is another thing to
    agree to), and what the stage does with it: its gates, its strategy, its template; the risk tier too, where that decides what must be
    documented. Lists of named entries are sorted.
    """
    declared, wanted = seen.stage(stage), seen.versions.get(version)
    if declared is None or wanted is None or wanted.status.artifact is None:
        return None
    serving = declared.serving.dump() if declared.serving else {}
    spec = wanted.spec.dump()
    return digest.of_json(
        {
            "stage": stage,
            "artifact": wanted.status.artifact.digest,
            "specDigest": specs.spec_digest(wanted),
            "metrics": spec.get("metrics") or {},
            "evidence": _by_name(spec.get("evidence")),
            "gates": _gates(declared.gates) | _tier(seen.model, declared.gates),
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
    """How far one gate is."""

    gate: str
    required: int
    people: tuple[str, ...]
    """Who counts for it."""
    others: tuple[str, ...]
    """Whose word does not count for it, each with the reason, in words."""
    doubted: bool
    """Somebody may have said no: it is not known to be theirs, so it ends nothing, but nothing is granted over it either."""

    @property
    def lacks(self) -> int:
        """How many more must agree."""
        return self.required - len(self.people)

    @property
    def holds(self) -> bool:
        """Whether enough people agree."""
        return self.lacks <= 0 and not self.doubted


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """What somebody said for one gate, the last time that it was heard."""

    action: str
    subject: str | None
    certain: bool
    """It is known to be theirs."""

    def means(self, entry: Approval) -> bool:
        """Whether an entry says the same."""
        return (self.action, self.subject) == (SAYS[entry.decision], entry.subject)


def said(seen: world.World, one: api.Promotion) -> dict[tuple[str, str], Said]:
    """By user and gate: what the ledger has, and what waits for it."""
    known = seen.past.promotions.get(one.metadata.name) if seen.past else None
    heard = known.approvals if known and known.uid == one.metadata.uid else []
    found = {(user, gate): Said(action, about, certain) for user, gate, action, about, certain in heard}
    for told in seen.unrecorded:
        if told.action in record.SAYS and told.subject.uid == one.metadata.uid:
            certain = told.detail.get("doubted") is not True
            found[told.actor.name, str(told.detail.get("gate"))] = Said(str(told.action), told.digest, certain)
    return found


def count(seen: world.World, one: api.Promotion, gates: Sequence[ApprovalGate], about: str | None) -> list[Count]:
    """How far each gate is; one person counts for one gate only, and such that as many as possible are satisfied."""
    approved: dict[str, list[Approval]] = {gate.name: [] for gate in gates}
    refused: dict[str, list[str]] = {gate.name: [] for gate in gates}
    for gate in gates:
        for entry in _entries(one, gate.name):
            if entry.decision == Decision.WITHDRAWN:
                continue
            if why := _why_not(seen, one, gate, entry, about):
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
        counts.append(Count(name, required[name], matched[name], (*spare, *refused[name]), _maybe_rejected(seen, one, name, about)))
    return counts


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What people are asked, as `status` shows it and the API server judges their answers by it."""

    subject: str | None = None
    gates: tuple[promotion.ApprovalStatus, ...] = ()


NOBODY: Final = Asked()
"""Nobody is asked anything."""


def asked(seen: world.World, one: api.Promotion, gates: Sequence[ApprovalGate], about: str | None) -> Asked:
    """The subject and a row for each gate."""
    machines = {gate.name for gate in gates if gate.allow_service_accounts}
    return Asked(
        about,
        tuple(
            promotion.ApprovalStatus(
                gate=row.gate,
                required=row.required,
                approved_by=list(row.people) or None,
                allow_service_accounts=True if row.gate in machines else None,
            )
            for row in count(seen, one, gates, about)
        ),
    )


def rejection(seen: world.World, one: api.Promotion, gates: Sequence[ApprovalGate], about: str | None) -> Approval | None:
    """The entry of somebody who says no to what is asked now, if there is one."""
    for gate in gates:
        for entry in _entries(one, gate.name):
            current = about is not None and entry.subject == about
            if entry.decision == Decision.REJECTED and current and not _doubted(seen, one, entry):
                return entry
    return None


def _maybe_rejected(seen: world.World, one: api.Promotion, gate: str, about: str | None) -> bool:
    said_no = [entry for entry in _entries(one, gate) if entry.decision == Decision.REJECTED and entry.subject == about]
    return any(_doubted(seen, one, entry) for entry in said_no)


def match(willing: Mapping[str, Sequence[str]], required: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """By gate: who counts for it, each person once, such that as many places as possible are taken.

    >>> match({"risk": ["ann", "bob"], "business": ["ann"]}, {"risk": 1, "business": 1})
    {'risk': ('bob',), 'business': ('ann',)}
    """
    places = [(gate, number) for gate in sorted(required) for number in range(required[gate])]
    taken: dict[str, tuple[str, int]] = {}

    def seat(place: tuple[str, int], asked: set[str]) -> bool:
        for user in willing[place[0]]:
            if user in asked:
                continue
            asked.add(user)
            if user not in taken or seat(taken[user], asked):
                taken[user] = place
                return True
        return False

    for place in places:
        seat(place, set())
    return {gate: tuple(sorted(user for user, place in taken.items() if place[0] == gate)) for gate in required}


def _entries(one: api.Promotion, gate: str) -> list[Approval]:
    return sorted((entry for entry in one.spec.approvals or [] if entry.gate == gate), key=lambda entry: entry.user)


def why_not(seen: world.World, one: api.Promotion, entry: Approval) -> str | None:
    """Why what somebody says does not count now, in words; taking it back always does."""
    declared = seen.stage(one.spec.stage)
    gates = (declared.gates.approvals if declared and declared.gates else None) or []
    gate = next((gate for gate in gates if gate.name == entry.gate), None)
    if entry.decision == Decision.WITHDRAWN:
        return None
    if gate is None or one.spec.rollback:
        return "nobody is asked for this gate"
    return _why_not(seen, one, gate, entry, subject(seen, one.spec.stage, one.spec.version))


def _why_not(seen: world.World, one: api.Promotion, gate: ApprovalGate, entry: Approval, about: str | None) -> str | None:
    """Why an entry does not count, in words."""
    if about is None or entry.subject != about:
        return "it is about something else than what is asked now, status.subject: write the entry anew"
    if _entry(one, entry) in seen.untried:
        return "the admission policies cannot be tried now, so whose it is is not known yet: it is looked at again by itself"
    if _doubted(seen, one, entry):
        return "it appeared while the admission policies were not effective: withdraw it and write it anew"
    if entry.decision == Decision.REJECTED:
        return None
    if entry.user == one.spec.requested_by:
        return "they asked for this promotion"
    if entry.user in {seen.registrant(one.spec.version), *seen.registered_again.get(one.spec.version, ())}:
        return "they registered the version"
    if entry.user.startswith(MACHINE) and not gate.allow_service_accounts:
        return "the gate does not set allowServiceAccounts"
    return None


def _doubted(seen: world.World, one: api.Promotion, entry: Approval) -> bool:
    return _entry(one, entry) in seen.doubted | seen.untried


def _entry(one: api.Promotion, entry: Approval) -> tuple[str, str, str]:
    return one.metadata.uid, entry.user, entry.gate


def _required(gate: ApprovalGate) -> int:
    return max(gate.required if gate.required is not None else 1, 1)
