"""Legal hold: nobody deletes the pinned object versions of what runs somewhere, where the bucket has Object Lock.

What is held is written into the version's status before the first object is held, and taken out after the last is let go: after a crash it
is done again, which changes nothing.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum

from modelyard import api
from modelyard.api import modelversion
from modelyard.api.reason import Reason
from modelyard.plan import fact, inspection


class Step(enum.StrEnum):
    """What comes next."""

    CLAIM = "claim"
    """Ask whether the objects can be held; then the status says that they are."""
    SET = "set"
    """Hold them."""
    LIFT = "lift"
    """Let them go; then the status says so."""


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """What this process remembers of one version's holds; losing it costs the same requests once more."""

    uid: str = ""
    held: str | None = None
    """The manifest whose objects this process has held."""
    tried: datetime.datetime | None = None
    """When it last did not work."""


@dataclasses.dataclass(frozen=True, slots=True)
class Objects:
    """The object versions of one artifact: those of a manifest (`sha256:…`) below a URI."""

    uri: str
    manifest: str


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """Do one step."""

    address: inspection.Address
    step: Step
    objects: Objects
    others: tuple[Objects, ...] = ()
    """Held for other versions of the model, or from now on for this one: never let go, and no surprise when held."""


def step(version: api.ModelVersion, memory: Memory, recheck: datetime.timedelta, now: datetime.datetime) -> Step | None:
    """What comes next for a version, if anything; what did not work is tried again as seldom as bytes are looked at."""
    artifact = version.status.artifact
    if artifact is None or (memory.tried and now - memory.tried < recheck):
        return None
    runs = bool(version.status.stages)
    if artifact.held and (not runs or artifact.held != artifact.manifest):
        return Step.LIFT
    if not runs:
        return None
    if artifact.held is None:
        return Step.CLAIM
    return Step.SET if memory.held != artifact.held else None


def objects(version: api.ModelVersion, which: Step) -> Objects:
    """What a step is about."""
    artifact = version.status.artifact
    assert artifact is not None
    name = artifact.manifest if which == Step.CLAIM else artifact.held
    return Objects(version.spec.artifact.uri, name or artifact.manifest)


def others(version: api.ModelVersion, siblings: list[api.ModelVersion]) -> tuple[Objects, ...]:
    """What stays held whatever happens to this version's objects."""
    held = [
        Objects(one.spec.artifact.uri, one.status.artifact.held)
        for one in siblings
        if one.metadata.uid != version.metadata.uid and one.status.artifact and one.status.artifact.held
    ]
    mine = version.status.artifact
    again = (
        [Objects(version.spec.artifact.uri, mine.manifest)]
        if mine and version.status.stages and mine.held not in {None, mine.manifest}
        else []
    )
    return (*held, *again)


def done(version: api.ModelVersion, which: Step, why: fact.Fact | None) -> modelversion.ModelVersionStatus:
    """The status after a step: that it worked, or why not."""
    artifact = version.status.artifact
    assert artifact is not None
    update: dict[str, str | None] = {"hold_message": why.message if why else None}
    if why is None and which == Step.CLAIM:
        update["held"] = artifact.manifest
    if why is None and which == Step.LIFT:
        update["held"] = None
    return version.status.model_copy(update={"artifact": artifact.model_copy(update=update)})


def events(version: api.ModelVersion, why: fact.Fact | None) -> tuple[fact.Event, ...]:
    """A warning, once, when a bucket that could hold does not; one without Object Lock is as its owner wants it."""
    artifact = version.status.artifact
    if why is None or why.reason == Reason.HOLD_UNSUPPORTED or (artifact and artifact.hold_message == why.message):
        return ()
    return (fact.happened(version, Reason.HOLD_REFUSED, why.message, warning=True),)
