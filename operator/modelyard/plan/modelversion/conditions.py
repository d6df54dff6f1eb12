"""The conditions of a version, and the Events when they change."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Final

from modelyard import api
from modelyard.api import modelversion
from modelyard.api.modelversion import VersionPhase
from modelyard.api.reason import Reason
from modelyard.plan import finding
from modelyard.plan.modelversion import documentation, inspection, lifecycle

Documents = Mapping[str, inspection.EvidenceResult | finding.Finding]
"""The result for each piece of evidence, by name; a Fact: there is no answer, and why."""
_OF_WHAT_IS_ADDED: Final = frozenset({"EvidenceVerified", "DocumentationComplete"})


def of(
    version: api.ModelVersion, model: api.Model | None, phase: VersionPhase, verified: finding.State, documents: Documents | None
) -> dict[str, finding.State]:
    """Return the conditions of a version in this phase.

    Args:
        version: the version.
        model: its Model, if there is one.
        phase: its phase.
        verified: whether its bytes are what it declares.
        documents: the results for its evidence; None: nobody looked.
    """
    wanted = {"Ready": _ready(phase, verified), "Verified": verified}
    evidence = _evidence(version, verified, documents)
    if evidence:
        wanted["EvidenceVerified"] = evidence
    if model:
        wanted["DocumentationComplete"] = _documentation(model, version, evidence)
    if verified.status == api.ConditionStatus.UNKNOWN:
        return wanted
    if phase in {VersionPhase.PENDING, VersionPhase.VERIFYING}:
        wanted["Reconciling"] = finding.State.true(verified.fact.reason, verified.fact.message)
    if phase in {VersionPhase.FAILED, VersionPhase.QUARANTINED, VersionPhase.REUSED}:
        wanted["Stalled"] = finding.State.true(verified.fact.reason, verified.fact.message)
    return wanted


def unchanged(before: Sequence[api.Condition], fact: finding.Finding, generation: int) -> dict[str, finding.State]:
    """Return the conditions that still hold while nobody looks; those that depend on fields that may be added to hold for their own generation only.

    Args:
        before: the conditions as they are.
        fact: why nobody looks.
        generation: of the spec now.
    """
    states = {}
    for condition in before:
        still_known = condition.type not in _OF_WHAT_IS_ADDED or condition.observed_generation == generation
        states[condition.type] = (
            finding.State(condition.status, finding.Finding(Reason(condition.reason), condition.message))
            if still_known
            else finding.State.unknown(fact)
        )
    return {kind: state for kind, state in states.items() if kind not in {"Ready", "Reconciling", "Stalled"}}


def unknown(before: Sequence[api.Condition], why: finding.Finding, generation: int, now: datetime.datetime) -> list[api.Condition]:
    """Return the conditions of an object that could not be handled: Ready is Unknown, and the others stay.

    An object that is not Ready, by its current spec, stays so while a dependency does not answer.

    Args:
        before: the conditions as they are.
        why: what could not be handled.
        generation: of the spec now.
        now: the time.
    """
    ready = finding.find(before, "Ready")
    bad = ready is not None and ready.status == api.ConditionStatus.FALSE and ready.observed_generation == generation
    if bad and why.reason != Reason.INTERNAL_ERROR:
        return list(before)
    return finding.settle(before, {"Ready": finding.State.unknown(why), **unchanged(before, why, generation)}, generation, now)


def all_proven(version: api.ModelVersion, documents: Documents | None) -> bool:
    """Return whether every document is there with its bytes."""
    proven = documents or {}
    return all(isinstance(proven.get(document.name), inspection.Proven) for document in version.spec.evidence or [])


def events(version: api.ModelVersion, status: modelversion.ModelVersionStatus) -> tuple[finding.Event, ...]:
    """Return an Event when the phase or the result for the bytes changes."""
    previous, lifecycle_events = version.status, lifecycle.events(version, status)
    before, after = finding.find(previous.conditions, "Verified"), finding.find(status.conditions, "Verified")
    same = before and after and (before.reason, before.status) == (after.reason, after.status)
    if after is None or (same and (lifecycle_events or previous.phase == status.phase)) or status.phase == VersionPhase.RETIRED:
        return lifecycle_events
    if before is None and status.phase == VersionPhase.PENDING:
        return lifecycle_events  # every version starts by waiting; that is no news
    warning = status.phase in {VersionPhase.FAILED, VersionPhase.QUARANTINED} or after.status == api.ConditionStatus.UNKNOWN
    recovered = previous.phase == VersionPhase.QUARANTINED and status.phase == VersionPhase.READY
    message = f"recovered: {after.message}" if recovered else after.message
    return (finding.event(version, Reason(after.reason), message, warning=warning), *lifecycle_events)


def _ready(phase: VersionPhase, verified: finding.State) -> finding.State:
    if phase in {VersionPhase.READY, VersionPhase.DEPRECATED}:
        return (
            finding.State.true(Reason.READY, "verified: every byte was read and hashed")
            if verified.status == api.ConditionStatus.TRUE
            else verified
        )
    return verified


def _evidence(version: api.ModelVersion, verified: finding.State, documents: Documents | None) -> finding.State | None:
    """Return EvidenceVerified: whether every document is there with its bytes; it names the first that is not."""
    declared = version.spec.evidence or []
    if not declared:
        return None
    if documents is None:
        before = finding.find(version.status.conditions, "EvidenceVerified")
        current = before is not None and before.observed_generation == version.metadata.generation
        if before and current:
            return finding.State(before.status, finding.Finding(Reason(before.reason), before.message))
        return finding.State.unknown(finding.Finding(Reason.PROGRESSING, f"not looked at yet: {verified.fact.message}"))
    for document in declared:
        result = documents.get(document.name)
        if isinstance(result, finding.Finding):
            return finding.State.unknown(finding.Finding(result.reason, f"evidence {document.name}: {result.message}"))
        if not isinstance(result, inspection.Proven):
            return finding.State.false(
                finding.Finding(
                    Reason.EVIDENCE_INCOMPLETE, f"evidence {document.name}: {result.message if result else 'not looked at yet'}"
                )
            )
    return finding.State.true(Reason.VERIFIED, f"{len(declared)} document{'s' if len(declared) != 1 else ''}, every byte read")


def _documentation(model: api.Model, version: api.ModelVersion, evidence: finding.State | None) -> finding.State:
    """Return DocumentationComplete: whether everything that the Model's tier demands is there; evidence counts once it is verified."""
    proven = evidence is not None and evidence.status == api.ConditionStatus.TRUE
    tier = documentation.tier(model)
    missing = documentation.missing(documentation.File(model, version, verified=proven))
    if missing:
        return finding.State.false(
            finding.Finding(Reason.DOCUMENTATION_INCOMPLETE, f"the tier {tier} demands what is missing: {'; '.join(missing)}")
        )
    return finding.State.true(Reason.DOCUMENTATION_COMPLETE, f"everything that the tier {tier} demands is there")
