"""What the ledger is told of one version: that it was registered, what was added to it, and what was found of its bytes."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modelyard import api
from modelyard.api import modelversion
from modelyard.api.modelversion import VersionLifecycle, VersionPhase
from modelyard.content import canonical
from modelyard.ledger import index, record
from modelyard.ledger.record import Action
from modelyard.plan import finding
from modelyard.plan.modelversion import identity
from modelyard.plan.modelversion.lifecycle import at_rest
from modelyard.plan.observed import recovery, specs

_LIFECYCLES = {
    VersionLifecycle.ACTIVE: Action.REACTIVATED,
    VersionLifecycle.DEPRECATED: Action.DEPRECATED,
    VersionLifecycle.RETIRED: Action.RETIRED,
}


def facts(
    version: api.ModelVersion,
    status: modelversion.ModelVersionStatus,
    before: Mapping[str, Any] | None,
    spec_digest: str,
    *,
    at: datetime.datetime | None = None,
    stamped: bool = True,
    past: index.Version | None = None,
    again: bool = False,
    earlier: Sequence[api.ModelVersion] = (),
) -> tuple[record.Fact, ...]:
    """What lies between the version's status and the one that is to be written.

    Args:
        version: as it is.
        status: what is to be written.
        before: the spec as it was last recorded, as `canonical.loads` reads it; of an object that never was, `World.meant`.
        spec_digest: of the part of the spec that never changes.
        at: when it is decided.
        stamped: the API server itself keeps the annotation of changes.
        past: what the ledger has of the name: a status that was lost is no news.
        again: it was Reused and has what it lacked: from now on the name means this object, which is told as of one that never was.
        earlier: the version as it was observed before, from the recorded generation on.
    """
    found = (
        *_spec(version, earlier, before, spec_digest, stamped=stamped, again=again),
        *_bytes(version, status, past if past and past.uid == version.metadata.uid else None),
    )
    return tuple(dataclasses.replace(one, at=at) for one in found)


def replaced(version: api.ModelVersion, past: index.Version | None) -> tuple[record.Fact, ...]:
    """That the object which had this name before is gone, where nobody noticed it before the name was used again."""
    uid = version.metadata.uid
    if version.status.recorded or past is None or past.deleted or uid in {past.uid, past.other}:
        return ()
    if past.lost or recovery.comes_back(past, whole=False, runs=False):
        return ()  # it was lost, not deleted
    return (gone("ModelVersion", version.metadata.name, past.uid, {"noticed": "later", "version": version.spec.version}),)


def gone(kind: str, name: str, uid: str, detail: Mapping[str, Any]) -> record.Fact:
    """That an object is not there any more; the same fact whoever notices it."""
    return record.fact(Action.DELETED, record.NOBODY_KNOWS, record.Subject(kind, name, uid, 0), "deleted", None, detail)


def _spec(
    version: api.ModelVersion,
    earlier: Sequence[api.ModelVersion],
    before: Mapping[str, Any] | None,
    spec_digest: str,
    *,
    stamped: bool,
    again: bool,
) -> Iterator[record.Fact]:
    """That it was registered, and each change of its spec, as far as it was observed, with whoever made it."""
    # What its name meant before is compared with what it means now, in one entry.
    whole = again or (version.status.recorded is None and before is not None)
    changes = specs.changes(version, () if whole else earlier, stamped=stamped)
    if again and not changes:
        changes = [specs.Change(version, version.metadata.generation - 1, specs.authors(version), stamped)]
    for change in changes:
        if change.since == 0 or again:
            yield from _registered(change, before, spec_digest, again=again)
        else:
            yield from _changed(change, before or {})
        before = canonical.loads(specs.snapshot(change.after))


def _registered(
    change: specs.Change[api.ModelVersion], before: Mapping[str, Any] | None, spec_digest: str, *, again: bool
) -> Iterator[record.Fact]:
    version, written, subject = change.after, change.spec, specs.about(change.after)
    name, spec = version.spec.version, version.spec.dump()
    detail: dict[str, Any] = {"version": name, "specDigest": spec_digest, "declared": version.spec.artifact.digest}
    if again:
        detail |= change.doubt
    elif change.others:
        detail |= {"alsoChangedBy": change.others, "unattributed": sorted(_attested(_added({}, spec)))}
    if otherwise := identity.otherwise(before or {}, spec):
        detail["otherwise"] = otherwise
    actor, step = (change.actor, f"whole {subject.generation}") if again else (change.creator, "registered")
    yield record.fact(Action.REGISTERED, actor, subject, step, written, detail)
    if before is not None and not otherwise and (added := _added(before, spec)):
        yield record.fact(Action.ATTESTED, change.actor, subject, None, written, {"version": name} | change.doubt | added)
    if (lifecycle := version.spec.lifecycle or VersionLifecycle.ACTIVE) != VersionLifecycle.ACTIVE:
        yield _lives(change, lifecycle)


def _changed(change: specs.Change[api.ModelVersion], before: Mapping[str, Any]) -> Iterator[record.Fact]:
    version, written, subject = change.after, change.spec, specs.about(change.after)
    what = {"version": version.spec.version} | change.doubt
    now = canonical.loads(specs.snapshot(version))
    added, was = _added(before, now), before.get("lifecycle") or "Active"
    lifecycle = version.spec.lifecycle or VersionLifecycle.ACTIVE
    # Every field that differs is told of: a snapshot that no fact names would look like an older backup.
    told = {field for field, what in added.items() if what} | ({"lifecycle"} if was != lifecycle else set())
    rest = [field for field in sorted({*before, *now} - told) if before.get(field) != now.get(field)]
    if added:
        yield record.fact(Action.ATTESTED, change.actor, subject, None, written, what | added)
    if rest:
        yield record.fact(Action.DESCRIBED, change.actor, subject, None, written, what | {"changed": rest})
    if was != lifecycle:
        yield _lives(change, lifecycle)


def _lives(change: specs.Change[api.ModelVersion], lifecycle: VersionLifecycle) -> record.Fact:
    version = change.after
    detail = {"version": version.spec.version, "reason": version.spec.lifecycle_reason} | change.doubt
    return record.fact(_LIFECYCLES[lifecycle], change.actor, specs.about(version), None, change.spec, detail)


def _attested(added: Mapping[str, Any]) -> list[str]:
    """Metrics and evidence by path: `metrics/auc`."""
    return [
        *(f"metrics/{name}" for name in added.get("metrics") or {}),
        *(f"evidence/{one['name']}" for one in added.get("evidence") or []),
    ]


def _added(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    old_metrics, old_evidence = before.get("metrics") or {}, {one["name"] for one in before.get("evidence") or []}
    metrics = {key: value for key, value in (now.get("metrics") or {}).items() if key not in old_metrics}
    evidence = [one for one in now.get("evidence") or [] if one["name"] not in old_evidence]
    return {"metrics": metrics, "evidence": evidence} if metrics or evidence else {}


def _bytes(version: api.ModelVersion, status: modelversion.ModelVersionStatus, past: index.Version | None) -> Iterator[record.Fact]:
    was, now = version.status, status
    subject, name = specs.about(version), version.spec.version
    by = record.BY_OPERATOR
    before, after = finding.find(was.conditions, "Verified"), finding.find(now.conditions, "Verified")
    step = before.last_transition_time.isoformat() if before else ""
    bytes_changed = now.artifact and (was.artifact is None or was.artifact.verified_at != now.artifact.verified_at)
    known_of = was.artifact is None and past is not None and now.artifact is not None and past.manifest == now.artifact.manifest
    if now.artifact and bytes_changed and not known_of:
        read = now.artifact
        detail = {"version": name, "files": read.files, "bytes": read.bytes, "manifest": read.manifest, "seconds": read.seconds}
        # The time of the reading before is in the status: told again after a crash, this is the same fact.
        earlier = was.artifact.verified_at.isoformat() if was.artifact else "first"
        yield record.fact(Action.VERIFIED, by, subject, f"{read.manifest} {earlier}", read.digest, detail)
    proven = finding.find(now.conditions, "EvidenceVerified")
    known = finding.find(was.conditions, "EvidenceVerified")
    named = sorted(one.name for one in version.spec.evidence or [])
    # Of a version at rest nobody reads anything any more: what was added since is only declared.
    told = (past is not None and past.documents == named) or at_rest(version)
    if proven and proven.status == api.ConditionStatus.TRUE and (known is None or known != proven) and not told:
        evidence = {one.name: one.sha256 for one in version.spec.evidence or []}
        yield record.fact(Action.EVIDENCE_VERIFIED, by, subject, " ".join(sorted(evidence)), None, {"version": name, "evidence": evidence})
    digest = now.artifact.digest if now.artifact else None
    # Between the two it may have been something else: Pending, as its Model was missing.
    lost = was.phase == VersionPhase.QUARANTINED or (past is not None and past.quarantined)
    found = now.phase == VersionPhase.QUARANTINED
    step = step or (f"after {past.facts[-1]}" if past else "")
    if found and not lost:
        message = after.message if after else ""
        yield record.fact(Action.QUARANTINED, by, subject, f"quarantined {step}", digest, {"version": name, "message": message})
    if lost and not found and after and after.status == api.ConditionStatus.TRUE:
        yield record.fact(Action.RECOVERED, by, subject, f"recovered {step}", digest, {"version": name})
    if now.phase == VersionPhase.REUSED and was.phase != VersionPhase.REUSED:
        yield record.fact(Action.REUSED, by, subject, "reused", digest, {"version": name, "message": after.message if after else ""})


SAFER = frozenset({Action.QUARANTINED})
"""What is done before the ledger has it, because it makes things safer."""
