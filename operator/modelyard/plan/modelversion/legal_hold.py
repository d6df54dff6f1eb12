"""Legal holds: nobody deletes the pinned object versions of a version that runs somewhere, where the bucket has Object Lock.

The status and the ledger name the manifest before the first object is put under a legal hold, and until after the last is released. After a
crash the step is repeated, which changes nothing. If the cluster loses the status, the ledger still has it: the operator knows its own holds.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Iterable

from modelyard import api
from modelyard.api import modelversion
from modelyard.api.access import cel
from modelyard.api.reason import Reason
from modelyard.content import location
from modelyard.ledger import index, record
from modelyard.plan import finding
from modelyard.plan.observed import specs


class Step(enum.StrEnum):
    """The next step of a legal hold."""

    CLAIM = "claim"
    """Ask whether the objects can be put under a legal hold; then the status names their manifest."""
    SET = "set"
    """Put the objects under a legal hold."""
    LIFT = "lift"
    """Release the objects; then the status says so."""


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """What this process remembers of one version's legal holds; losing it costs the same requests once more."""

    uid: str = ""
    held: str | None = None
    """The manifest whose objects this process has put under a legal hold."""
    tried: datetime.datetime | None = None
    """When a step last failed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Objects:
    """The object versions of one artifact: those of a manifest (`sha256:…`) below a URI."""

    uri: str
    manifest: str


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A request to do one step."""

    address: location.Address
    step: Step
    objects: Objects
    others: tuple[Objects, ...] = ()
    """Objects under a legal hold for other versions of the model, or from now on for this one: never released, and their hold is expected."""
    tenant: str = ""
    """The namespace that asks: none has all threads."""


def step(version: api.ModelVersion, model: api.Model, memory: Memory, recheck: datetime.timedelta, now: datetime.datetime) -> Step | None:
    """Return the next step for a version, if any; a failed step is repeated as seldom as bytes are looked at."""
    artifact = version.status.artifact
    if artifact is None or (memory.tried and now - memory.tried < recheck) or _awaits_its_claims(version, model):
        return None
    runs = bool(version.status.stages)
    if artifact.held and (not runs or artifact.held != artifact.manifest):
        return Step.LIFT
    if not runs:
        return None
    if artifact.held is None:
        return Step.CLAIM
    return Step.SET if memory.held != artifact.held else None


def _awaits_its_claims(version: api.ModelVersion, model: api.Model) -> bool:
    """Return whether it may be a stage's current version again after a restore, which its status does not say yet: then nothing is released."""
    current_versions = {stage.current for stage in model.status.stages or []}
    return not version.status.stages and (model.status.observed_generation == -1 or version.spec.version in current_versions)


def objects(version: api.ModelVersion, which: Step) -> Objects:
    """Return the objects of a step."""
    artifact = version.status.artifact
    assert artifact is not None
    name = artifact.manifest if which == Step.CLAIM else artifact.held
    return Objects(version.spec.artifact.uri, name or artifact.manifest)


def others(version: api.ModelVersion, siblings: list[api.ModelVersion], recorded: str | None = None) -> tuple[Objects, ...]:
    """Return what stays under a legal hold whatever happens to this version's objects.

    `recorded` is the manifest that is under a legal hold for it by the ledger: after an older backup the status may not have it.
    """
    held = [
        Objects(sibling.spec.artifact.uri, sibling.status.artifact.held)
        for sibling in siblings
        if sibling.metadata.uid != version.metadata.uid and sibling.status.artifact and sibling.status.artifact.held
    ]
    mine = version.status.artifact
    again = (
        [Objects(version.spec.artifact.uri, mine.manifest)]
        if mine and version.status.stages and mine.held not in {None, mine.manifest}
        else []
    )
    ours = [Objects(version.spec.artifact.uri, recorded)] if recorded and mine and mine.held is None else []
    return (*held, *again, *ours)


def versions_on_hold(versions: Iterable[api.ModelVersion]) -> list[str]:
    """Return the versions whose objects are under a legal hold, but for those whose hold a person gave up, as it cannot be lifted."""
    return [
        version.spec.version
        for version in versions
        if version.status.artifact and version.status.artifact.held and cel.LEAVE not in (version.metadata.annotations or {})
    ]


def entries(version: api.ModelVersion, which: Step, past: index.Version | None) -> tuple[record.LedgerEntry, ...]:
    """Return the ledger entry of a step: Held before objects go under a hold, Released after they are released and before the status says so."""
    artifact = version.status.artifact
    action = {Step.SET: record.Action.HELD, Step.LIFT: record.Action.RELEASED}.get(which)
    if action is None or artifact is None or past is None or (past.held == artifact.held) == (which == Step.SET):
        return ()
    detail = {"version": version.spec.version, "manifest": artifact.held}
    return (record.entry(action, record.BY_OPERATOR, specs.about(version), f"{artifact.held} {past.holds}", None, detail),)


def status_after(version: api.ModelVersion, which: Step, why: finding.Finding | None) -> modelversion.ModelVersionStatus:
    """Return the status after a step: that it worked, or why not."""
    artifact = version.status.artifact
    assert artifact is not None
    update: dict[str, str | None] = {"hold_message": why.message if why else None}
    if why is None and which == Step.CLAIM:
        update["held"] = artifact.manifest
    if why is None and which == Step.LIFT:
        update["held"] = None
    return version.status.model_copy(update={"artifact": artifact.model_copy(update=update)})


def remember(memory: Memory, which: Step, target: Objects, why: finding.Finding | None, now: datetime.datetime) -> Memory:
    """Return the memory after a step; released objects need a new hold if the version ever runs again."""
    if why:
        return dataclasses.replace(memory, tried=now)
    held = {Step.SET: target.manifest, Step.LIFT: None}.get(which, memory.held)
    return dataclasses.replace(memory, held=held, tried=None)


def events(version: api.ModelVersion, why: finding.Finding | None) -> tuple[finding.Event, ...]:
    """Return a warning, once, when a bucket with Object Lock refuses a legal hold; a bucket without Object Lock is its owner's choice."""
    artifact = version.status.artifact
    if why is None or why.reason == Reason.HOLD_UNSUPPORTED or (artifact and artifact.hold_message == why.message):
        return ()
    return (finding.event(version, Reason.HOLD_REFUSED, why.message, warning=True),)
