"""Decide one version: are its bytes what it declares, and is its evidence there?"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any, Final

from modelyard import api
from modelyard.api import modelversion
from modelyard.api.model import Storage
from modelyard.api.modelversion import VersionPhase
from modelyard.api.reason import Reason
from modelyard.content import location
from modelyard.ledger import index
from modelyard.plan import finding
from modelyard.plan.modelversion import conditions, identity, inspection, lifecycle
from modelyard.plan.observed import specs

CHECKED_WRITTEN: Final = datetime.timedelta(days=1)
"""`checkedAt` is written at least this often while nothing changes; otherwise each recheck would be a write for nothing."""
FIRST_LOOK: Final = datetime.timedelta(seconds=5)
LAST_LOOK: Final = datetime.timedelta(minutes=1)


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How long verification waits and how often it repeats; from the settings."""

    patience: datetime.timedelta
    recheck: datetime.timedelta
    rehash: datetime.timedelta
    endpoints: tuple[str, ...]
    """Allowed endpoints; `*` is any."""
    own: str = ""
    """URI of the operator's own bucket, or of its folder there: no Model may have it as its storage."""


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """What this process remembers of a version between two looks; losing it costs one more look."""

    checked: datetime.datetime | None = None
    generation: int = 0
    looks: int = 0
    """How many looks in a row found the artifact incomplete."""
    differs: str | None = None
    """The wrong digest that was found last."""
    differs_since: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class World:
    """One version and what was observed of it."""

    version: api.ModelVersion
    model: api.Model | None
    limits: Limits
    memory: Memory = Memory()
    address: location.Address | None = None
    """None: not resolved yet."""
    proof: inspection.Result | finding.Finding | None = None
    """The answer to the plan's question; a Fact: there is no answer, and why."""
    evidence: conditions.Documents | None = None
    """None: not looked at yet."""
    past: index.Version | None = None
    """What the ledger has of this name."""
    meant: Mapping[str, Any] | None = None
    """The spec that another object had under this name; None: `identity.was_anothers` does not need it."""
    because: str | None = None
    """Why it is Retired although its spec does not say so."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What to do for one version."""

    status: modelversion.ModelVersionStatus
    """Equal to the current status: nothing is written."""
    ask: bool = False
    """Look at the store first, and decide again."""
    full: bool = False
    memory: Memory = Memory()
    events: tuple[finding.Event, ...] = ()
    again: datetime.timedelta | None = None


def model_exists(world: World, now: datetime.datetime) -> finding.Unmet | None:
    del now
    if world.model:
        return None
    return finding.Unmet(Reason.MODEL_MISSING, f"the Model {world.version.spec.model} does not exist yet; apply it, and this goes on")


def uri_is_below_the_models_storage(world: World, now: datetime.datetime) -> finding.Unmet | None:
    del now
    below, spec = _storage(world).uri, world.version.spec
    # Evidence can be added and never removed: what is added to a verified version fails as evidence, and does not fail the version for ever.
    added = [] if world.version.status.artifact else [document.uri for document in spec.evidence or []]
    for uri in (spec.artifact.uri, *added):
        if isinstance(refused := location.locate(uri, below), location.Refused):
            return finding.Unmet(refused.reason, refused.message, finding.Waits.FOR_A_PERSON)
    return None


def storage_is_not_the_operators(world: World, now: datetime.datetime) -> finding.Unmet | None:
    del now
    refused = location.refuse_operator_bucket(_storage(world).uri, world.limits.own)
    return finding.Unmet(refused.reason, refused.message, finding.Waits.FOR_A_PERSON) if refused else None


def endpoint_is_allowed(world: World, now: datetime.datetime) -> finding.Unmet | None:
    del now
    endpoint = _storage(world).endpoint
    allowed = world.limits.endpoints
    if endpoint is None or "*" in allowed or endpoint.rstrip("/") in {address.rstrip("/") for address in allowed}:
        return None
    message = f"the endpoint {endpoint} is not one of the operator's (MODELYARD_ENDPOINTS): the platform team can add it"
    return finding.Unmet(Reason.ENDPOINT_NOT_ALLOWED, message, finding.Waits.FOR_A_PERSON)


def name_means_what_it_meant(world: World, now: datetime.datetime) -> finding.Unmet | None:
    del now
    return identity.held(world.version, world.past, world.meant)


CHECKS: Final = (name_means_what_it_meant, model_exists, storage_is_not_the_operators, uri_is_below_the_models_storage, endpoint_is_allowed)


def decide(world: World, now: datetime.datetime) -> Plan:
    """Return the plan for this version."""
    declared = world.version
    past = None if name_means_what_it_meant(world, now) else world.past
    version = lifecycle.as_recorded(declared, past)
    plan = _decide(dataclasses.replace(world, version=version, because=lifecycle.why(declared, past)), now)
    if version is declared:
        return plan
    return dataclasses.replace(plan, status=plan.status.model_copy(update={"recorded": specs.recorded(declared)}))


def _decide(world: World, now: datetime.datetime) -> Plan:
    held = finding.first_unmet(CHECKS, world, now)
    if lifecycle.at_rest(world.version):
        return _rest(world, now, held)
    if held:
        phase = VersionPhase.FAILED if held.waits == finding.Waits.FOR_A_PERSON else VersionPhase.PENDING
        phase = VersionPhase.REUSED if held.reason == Reason.REUSED else phase
        return _tell(world, now, phase, finding.State.false(held), memory=Memory())
    if world.proof is None:
        due = _due(world)
        if due > now:
            return _unchanged(world, now, due - now)
        return Plan(status=world.version.status, ask=True, full=_full(world, now), memory=world.memory)
    return _judge(world, now, world.proof)


def _rest(world: World, now: datetime.datetime, held: finding.Unmet | None) -> Plan:
    """Return the plan for a Retired version: it keeps the last result for its bytes, and nobody looks at them again."""
    before = finding.find(world.version.status.conditions, "Verified")
    if held and held.reason == Reason.REUSED:
        verified = finding.State.false(held)
    elif before and before.status != api.ConditionStatus.UNKNOWN:
        verified = finding.State(before.status, finding.Finding(Reason(before.reason), before.message))
    else:
        verified = finding.State.unknown(
            finding.Finding(Reason.RETIRED, "it was Retired before this was known, and is not looked at any more")
        )
    return _tell(world, now, VersionPhase.RETIRED, verified, memory=Memory())


def request(world: World, *, full: bool) -> inspection.Request:
    """Return the question to the prover; `world.address` must be set."""
    assert world.address is not None
    previous = world.version.status.artifact
    artifact = world.version.spec.artifact
    return inspection.Request(
        address=world.address,
        uri=artifact.uri,
        below=_storage(world).uri,
        expected=artifact.digest or (previous.digest if previous else None) or (world.past.digest if world.past else None),
        previous=previous.manifest if previous else None,
        full=full,
        pinned=bool(world.version.status.stages),
        # A first look must see what was uploaded a moment ago; a recheck may share one listing with its siblings.
        max_listing_age=world.limits.recheck.total_seconds() / 4 if previous and world.memory.generation else 0.0,
        tenant=world.version.metadata.namespace,
    )


def evidence_requests(world: World) -> dict[str, inspection.EvidenceRequest]:
    """Return the questions to the prover about documents, by name."""
    assert world.address is not None
    address, below, tenant = world.address, _storage(world).uri, world.version.metadata.namespace
    evidence = world.version.spec.evidence or []
    return {item.name: inspection.EvidenceRequest(address, item.uri, below, item.sha256, tenant=tenant) for item in evidence}


def _storage(world: World) -> Storage:
    assert world.model is not None
    return world.model.spec.storage


def _due(world: World) -> datetime.datetime:
    """Return when to look at the store again."""
    memory = world.memory
    if memory.checked is None or memory.generation != world.version.metadata.generation:
        return datetime.datetime.min.replace(tzinfo=datetime.UTC)
    return memory.checked + (min(FIRST_LOOK * 2 ** min(memory.looks - 1, 8), LAST_LOOK) if memory.looks else world.limits.recheck)


def _full(world: World, now: datetime.datetime) -> bool:
    """Return whether to read every byte again: versions that hold a stage are read whole from time to time."""
    artifact = world.version.status.artifact
    return bool(artifact and world.version.status.stages and now - artifact.verified_at >= world.limits.rehash)


def _judge(world: World, now: datetime.datetime, proof: inspection.Result | finding.Finding) -> Plan:
    """Return the plan for the prover's answer."""
    previous = world.version.status.artifact
    memory = dataclasses.replace(world.memory, checked=now, generation=world.version.metadata.generation)
    if isinstance(proof, finding.Finding):
        phase = world.version.status.phase or VersionPhase.PENDING
        # The spec says whether it is Deprecated, not the previous phase.
        shown = {VersionPhase.VERIFYING: VersionPhase.PENDING, VersionPhase.DEPRECATED: VersionPhase.READY}.get(phase, phase)
        return _tell(world, now, shown, finding.State.unknown(proof), memory=world.memory)
    if isinstance(proof, inspection.Found):
        # Missing evidence is an upload in progress as well: a stage may wait for it.
        looks = 0 if conditions.all_proven(world.version, world.evidence) else memory.looks + 1
        return _found(world, now, proof, dataclasses.replace(memory, looks=looks, differs=None, differs_since=None))
    message = proof.message
    if previous or (world.past and world.past.digest):
        changed = finding.Finding(Reason.CHANGED, f"{message}; it was verified before, so it is quarantined until the right bytes are back")
        return _tell(
            world, now, VersionPhase.QUARANTINED, finding.State.false(changed), memory=dataclasses.replace(memory, looks=memory.looks + 1)
        )
    if isinstance(proof, location.Refused):
        failed = finding.State.false(finding.Finding(proof.reason, message))
        return _tell(world, now, VersionPhase.FAILED, failed, memory=dataclasses.replace(memory, looks=memory.looks + 1))
    memory = dataclasses.replace(memory, looks=memory.looks + 1)
    if isinstance(proof, inspection.Differs):
        since = memory.differs_since if memory.differs == proof.digest and memory.differs_since else now
        memory = dataclasses.replace(memory, differs=proof.digest, differs_since=since)
        if now - since >= world.limits.patience:
            mismatch = finding.Finding(
                Reason.DIGEST_MISMATCH, f"{message}: upload the right bytes, or register another version with this digest"
            )
            return _tell(world, now, VersionPhase.FAILED, finding.State.false(mismatch), memory=memory)
    incomplete = finding.Finding(Reason.ARTIFACT_INCOMPLETE, f"{message}; looked at again until it is complete")
    return _tell(world, now, VersionPhase.PENDING, finding.State.false(incomplete), memory=memory)


def _found(world: World, now: datetime.datetime, proof: inspection.Found, memory: Memory) -> Plan:
    previous = world.version.status.artifact
    moment = now.replace(microsecond=0)
    read_now = previous is None or proof.manifest != previous.manifest or _full(world, now)
    stale = previous is None or now - previous.checked_at >= CHECKED_WRITTEN
    artifact = modelversion.ArtifactStatus(
        digest=proof.digest,
        files=proof.files,
        bytes=proof.bytes,
        manifest=proof.manifest,
        verified_at=moment if read_now or previous is None else previous.verified_at,
        checked_at=moment if read_now or stale or previous is None else previous.checked_at,
        seconds=round(proof.seconds, 3) if read_now or previous is None else previous.seconds,
        held=previous.held if previous else world.past.held if world.past else None,
        hold_message=previous.hold_message if previous else None,
    )
    message = f"{proof.files} file{'s' if proof.files != 1 else ''}, {_size(proof.bytes)}, every byte read: {proof.digest}"
    return _tell(world, now, VersionPhase.READY, finding.State.true(Reason.VERIFIED, message), memory=memory, artifact=artifact)


def _tell(
    world: World,
    now: datetime.datetime,
    phase: VersionPhase,
    verified: finding.State,
    *,
    memory: Memory,
    artifact: modelversion.ArtifactStatus | None = None,
) -> Plan:
    """Return the plan with this status, an Event if it changed, and when to look again."""
    previous = world.version.status
    shown = lifecycle.shown(world.version, phase)
    wanted = lifecycle.conditions(
        world.version, shown, conditions.of(world.version, world.model, shown, verified, world.evidence), world.because
    )
    generation = world.version.metadata.generation
    status = modelversion.ModelVersionStatus(
        observed_generation=generation,
        phase=shown,
        conditions=finding.settle(previous.conditions, wanted, generation, now),
        artifact=artifact or previous.artifact,
        spec_digest=previous.spec_digest or (specs.spec_digest(world.version) if artifact else None),
        stages=previous.stages,
        recorded=specs.recorded(world.version),
        unrecorded=previous.unrecorded,
    )
    again = max(_due(dataclasses.replace(world, memory=memory)) - now, datetime.timedelta(seconds=1)) if memory.checked else None
    return Plan(status=status, memory=memory, events=conditions.events(world.version, status), again=again)


def withheld(world: World, trouble: finding.Finding, now: datetime.datetime) -> modelversion.ModelVersionStatus:
    """Return the status while the ledger does not answer: nothing is known to have changed."""
    previous = world.version.status
    generation = world.version.metadata.generation
    unknown = finding.State.unknown(trouble)
    wanted = {"Ready": unknown, "Verified": unknown, **conditions.unchanged(previous.conditions, trouble, generation)}
    return previous.model_copy(
        update={
            "observed_generation": generation,
            "phase": previous.phase or VersionPhase.PENDING,
            "conditions": finding.settle(previous.conditions, wanted, generation, now),
        }
    )


def unknown(version: api.ModelVersion, why: finding.Finding, now: datetime.datetime) -> modelversion.ModelVersionStatus:
    """Return the status of a version that could not be handled: its earlier results stay."""
    previous, generation = version.status, version.metadata.generation
    phase = VersionPhase.PENDING if previous.phase in {None, VersionPhase.VERIFYING} else previous.phase
    settled = conditions.unknown(previous.conditions, why, generation, now)
    if finding.find(settled, "Verified") is None:
        settled += finding.settle((), {"Verified": finding.State.unknown(why)}, generation, now)
    return previous.model_copy(update={"observed_generation": generation, "phase": phase, "conditions": settled})


def verifying(world: World, now: datetime.datetime) -> Plan:
    """Return the plan while a look takes long: a first look shows Verifying; a later one changes nothing."""
    if world.version.status.artifact:
        return Plan(status=world.version.status, memory=world.memory)
    reading = finding.Finding(Reason.PROGRESSING, "the artifact is being read and hashed")
    return dataclasses.replace(
        _tell(world, now, VersionPhase.VERIFYING, finding.State.false(reading), memory=world.memory), events=(), again=None
    )


def _unchanged(world: World, now: datetime.datetime, again: datetime.timedelta) -> Plan:
    """Return the plan until the next look: the status stays, but for what the spec alone decides (its lifecycle)."""
    previous = world.version.status
    before = finding.find(previous.conditions, "Verified")
    if before is None:
        return Plan(status=previous, memory=world.memory, again=again)
    verified = finding.State(before.status, finding.Finding(Reason(before.reason), before.message))
    phase = previous.phase or VersionPhase.PENDING
    if phase == VersionPhase.DEPRECATED:  # only a Ready version shows as Deprecated
        phase = VersionPhase.READY
    return dataclasses.replace(_tell(world, now, phase, verified, memory=world.memory), again=again)


def _size(count: int) -> str:
    """Return a size in bytes, for people."""
    size, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] == "B" else f"{size:.1f} {units[0]}"
