"""A version's lifecycle: Deprecated goes on serving with a warning; Retired waits until nothing runs it, and is not looked at any more."""

from __future__ import annotations

from collections.abc import Mapping

from modelyard import api
from modelyard.api import modelversion
from modelyard.api.modelversion import StageState, VersionLifecycle, VersionPhase
from modelyard.api.reason import Reason
from modelyard.ledger import index
from modelyard.plan import finding


def at_rest(version: api.ModelVersion) -> bool:
    """Return whether it is Retired for good: nothing runs it, so nobody reads its bytes any more."""
    retired = version.spec.lifecycle == VersionLifecycle.RETIRED
    return version.status.phase == VersionPhase.RETIRED or (retired and not version.status.stages)


def as_recorded(version: api.ModelVersion, past: index.Version | None) -> api.ModelVersion:
    """Return the version with the final lifecycle of its name: once that was Retired, every object of the name is, whatever its spec says."""
    if not _is_over(version, past):
        return version
    return version.model_copy(update={"spec": version.spec.model_copy(update={"lifecycle": VersionLifecycle.RETIRED})})


def _is_over(version: api.ModelVersion, past: index.Version | None) -> bool:
    """Return whether the ledger has it Retired and its spec does not: it was created again, or comes from an older backup."""
    return past is not None and past.digest is not None and bool(past.retired) and version.spec.lifecycle != VersionLifecycle.RETIRED


def why(version: api.ModelVersion, past: index.Version | None) -> str | None:
    """Return why it is Retired although its spec does not say so."""
    if past is not None and _is_over(version, past):
        when, who = past.retired
        by = f" by {who}" if who else ""
        return (
            f"Retired, which is final: the ledger has it retired on {when[:10]}{by}, so this name serves nowhere any more;"
            " set spec.lifecycle to Retired, and register another version"
        )
    before = finding.find(version.status.conditions, "Ready")
    stays_retired = version.status.phase == VersionPhase.RETIRED and version.spec.lifecycle != VersionLifecycle.RETIRED
    return before.message if stays_retired and before else None


def shown(version: api.ModelVersion, phase: VersionPhase) -> VersionPhase:
    """Return the phase when several apply: Retired, then Quarantined, then Deprecated; while it waits to be Retired it is Deprecated."""
    if at_rest(version):
        return VersionPhase.RETIRED
    outdated = version.spec.lifecycle in {VersionLifecycle.DEPRECATED, VersionLifecycle.RETIRED}
    return VersionPhase.DEPRECATED if outdated and phase == VersionPhase.READY else phase


def conditions(
    version: api.ModelVersion, phase: VersionPhase, wanted: Mapping[str, finding.State], why_retired: str | None = None
) -> dict[str, finding.State]:
    """Return the conditions, changed by the lifecycle; `why_retired`: why it is Retired although its spec does not say so."""
    shown_conditions = dict(wanted)
    if at_rest(version):
        for kind in ("EvidenceVerified", "DocumentationComplete"):
            if before := finding.find(version.status.conditions, kind):
                shown_conditions[kind] = finding.State(before.status, finding.Finding(Reason(before.reason), before.message))
        for kind in ("Reconciling", "Stalled"):
            shown_conditions.pop(kind, None)
        message = "Retired, as it is asked to be: it serves nowhere, and is not looked at any more"
        return shown_conditions | {"Ready": finding.State.true(Reason.RETIRED, why_retired or message)}
    if phase != VersionPhase.DEPRECATED:
        return shown_conditions
    runs = where(version)
    if version.spec.lifecycle == VersionLifecycle.RETIRED:
        still_serving = finding.Finding(
            Reason.STILL_SERVING, f"{runs}: promote another version there or retire the Model; it is Retired once nothing runs it"
        )
        return shown_conditions | {
            "Ready": finding.State.false(still_serving),
            "Reconciling": finding.State.true(still_serving.reason, still_serving.message),
        }
    in_use = f", but it is still in use ({runs}): promote another version there" if runs else ""
    return shown_conditions | {"Ready": finding.State.true(Reason.DEPRECATED, f"Deprecated, as it is asked to be{in_use}")}


def where(version: api.ModelVersion) -> str:
    """Return what runs it, as a statement: `serves in staging, production; audit is at it`; empty when nothing does."""
    claims = version.status.stages or []
    serving = [claim.name for claim in claims if claim.state != StageState.GRANTED]
    granted = [claim.name for claim in claims if claim.state == StageState.GRANTED]
    verb = "is" if len(granted) == 1 else "are"
    parts = [f"serves in {', '.join(serving)}" if serving else "", f"{', '.join(granted)} {verb} at it" if granted else ""]
    return "; ".join(part for part in parts if part)


def events(version: api.ModelVersion, status: modelversion.ModelVersionStatus) -> tuple[finding.Event, ...]:
    """Return an Event when the lifecycle changes what Ready says; a warning while something runs the version."""
    before, after = finding.find(version.status.conditions, "Ready"), finding.find(status.conditions, "Ready")
    if after is None or after.reason not in {Reason.DEPRECATED, Reason.RETIRED, Reason.STILL_SERVING}:
        return ()
    runs = bool(version.status.stages)
    if before and before.reason == after.reason and (before.message == after.message or not runs):
        return ()
    return (finding.event(version, Reason(after.reason), after.message, warning=runs),)
