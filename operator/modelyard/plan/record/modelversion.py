"""The ledger entries of one version: that it was registered, what was added to it, and how its bytes were verified."""

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


def entries(
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
) -> tuple[record.LedgerEntry, ...]:
    """Return the entries for the difference between the version's status and the one that is to be written.

    Args:
        version: the object as it is.
        status: the status to write.
        before: the spec as it was last recorded, as `canonical.loads` reads it; of an object that was never recorded, `World.meant`.
        spec_digest: of the part of the spec that never changes.
        at: when it is decided.
        stamped: the API server itself keeps the annotation of changes.
        past: what the ledger has of the name: a lost status is not recorded again.
        again: it was Reused and has now what it lacked: from now on the name means this object, which is recorded as a new one.
        earlier: the versions observed before, from the recorded generation on.
    """
    entries = (
        *_spec(version, earlier, before, spec_digest, stamped=stamped, again=again),
        *_bytes(version, status, past if past and past.uid == version.metadata.uid else None),
    )
    return tuple(dataclasses.replace(fact, at=at) for fact in entries)


def replaced(version: api.ModelVersion, past: index.Version | None) -> tuple[record.LedgerEntry, ...]:
    """Record that the object which had this name before is gone, where nobody noticed until the name was used again."""
    uid = version.metadata.uid
    if version.status.recorded or past is None or past.deleted or uid in {past.uid, past.other}:
        return ()
    if past.lost or recovery.comes_back(past, whole=False, runs=False):
        return ()  # it was lost, not deleted
    return (deleted("ModelVersion", version.metadata.name, past.uid, {"noticed": "later", "version": version.spec.version}),)


def deleted(kind: str, name: str, uid: str, detail: Mapping[str, Any]) -> record.LedgerEntry:
    """Record that an object does not exist any more; the entry is the same whoever notices it."""
    return record.entry(Action.DELETED, record.NOBODY_KNOWS, record.Subject(kind, name, uid, 0), "deleted", None, detail)


def _spec(
    version: api.ModelVersion,
    earlier: Sequence[api.ModelVersion],
    before: Mapping[str, Any] | None,
    spec_digest: str,
    *,
    stamped: bool,
    again: bool,
) -> Iterator[record.LedgerEntry]:
    """Yield that it was registered, and each observed change of its spec, with its author."""
    # One entry compares what its name meant before with what it means now.
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
) -> Iterator[record.LedgerEntry]:
    version, written, subject = change.after, change.spec, specs.about(change.after)
    name, spec = version.spec.version, version.spec.dump()
    detail: dict[str, Any] = {"version": name, "specDigest": spec_digest, "declared": version.spec.artifact.digest}
    if again:
        detail |= change.doubt
    elif change.others:
        detail |= {"alsoChangedBy": change.others, "unattributed": sorted(_attested(_added({}, spec)))}
    if otherwise := identity.changed_or_missing(before or {}, spec):
        detail["otherwise"] = otherwise
    actor, step = (change.actor, f"whole {subject.generation}") if again else (change.creator, "registered")
    yield record.entry(Action.REGISTERED, actor, subject, step, written, detail)
    if before is not None and not otherwise and (added := _added(before, spec)):
        yield record.entry(Action.ATTESTED, change.actor, subject, None, written, {"version": name} | change.doubt | added)
    if (lifecycle := version.spec.lifecycle or VersionLifecycle.ACTIVE) != VersionLifecycle.ACTIVE:
        yield _lives(change, lifecycle)


def _changed(change: specs.Change[api.ModelVersion], before: Mapping[str, Any]) -> Iterator[record.LedgerEntry]:
    version, written, subject = change.after, change.spec, specs.about(change.after)
    common = {"version": version.spec.version} | change.doubt
    after = canonical.loads(specs.snapshot(version))
    added, previous_lifecycle = _added(before, after), before.get("lifecycle") or "Active"
    lifecycle = version.spec.lifecycle or VersionLifecycle.ACTIVE
    # Every field that differs is recorded: a snapshot that no entry names would look like an older backup.
    covered = {field for field, values in added.items() if values} | ({"lifecycle"} if previous_lifecycle != lifecycle else set())
    others = [field for field in sorted({*before, *after} - covered) if before.get(field) != after.get(field)]
    if added:
        yield record.entry(Action.ATTESTED, change.actor, subject, None, written, common | added)
    if others:
        yield record.entry(Action.DESCRIBED, change.actor, subject, None, written, common | {"changed": others})
    if previous_lifecycle != lifecycle:
        yield _lives(change, lifecycle)


def _lives(change: specs.Change[api.ModelVersion], lifecycle: VersionLifecycle) -> record.LedgerEntry:
    version = change.after
    detail = {"version": version.spec.version, "reason": version.spec.lifecycle_reason} | change.doubt
    return record.entry(_LIFECYCLES[lifecycle], change.actor, specs.about(version), None, change.spec, detail)


def _attested(added: Mapping[str, Any]) -> list[str]:
    """Return metrics and evidence by path: `metrics/auc`."""
    return [
        *(f"metrics/{name}" for name in added.get("metrics") or {}),
        *(f"evidence/{document['name']}" for document in added.get("evidence") or []),
    ]


def _added(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    old_metrics, old_evidence = before.get("metrics") or {}, {document["name"] for document in before.get("evidence") or []}
    metrics = {key: value for key, value in (after.get("metrics") or {}).items() if key not in old_metrics}
    evidence = [document for document in after.get("evidence") or [] if document["name"] not in old_evidence]
    return {"metrics": metrics, "evidence": evidence} if metrics or evidence else {}


def _bytes(version: api.ModelVersion, status: modelversion.ModelVersionStatus, past: index.Version | None) -> Iterator[record.LedgerEntry]:
    previous, current = version.status, status
    subject, name = specs.about(version), version.spec.version
    operator = record.BY_OPERATOR
    before, after = finding.find(previous.conditions, "Verified"), finding.find(current.conditions, "Verified")
    step = before.last_transition_time.isoformat() if before else ""
    bytes_changed = current.artifact and (previous.artifact is None or previous.artifact.verified_at != current.artifact.verified_at)
    bytes_recorded = (
        previous.artifact is None and past is not None and current.artifact is not None and past.manifest == current.artifact.manifest
    )
    if current.artifact and bytes_changed and not bytes_recorded:
        read = current.artifact
        detail = {"version": name, "files": read.files, "bytes": read.bytes, "manifest": read.manifest, "seconds": read.seconds}
        # The status has the time of the previous verification: recorded again after a crash, this is the same entry.
        earlier = previous.artifact.verified_at.isoformat() if previous.artifact else "first"
        yield record.entry(Action.VERIFIED, operator, subject, f"{read.manifest} {earlier}", read.digest, detail)
    current_evidence = finding.find(current.conditions, "EvidenceVerified")
    previous_evidence = finding.find(previous.conditions, "EvidenceVerified")
    names = sorted(document.name for document in version.spec.evidence or [])
    # Nobody reads the documents of a Retired version any more: what was added since is only declared.
    evidence_recorded = (past is not None and past.documents == names) or at_rest(version)
    if (
        current_evidence
        and current_evidence.status == api.ConditionStatus.TRUE
        and (previous_evidence is None or previous_evidence != current_evidence)
        and not evidence_recorded
    ):
        evidence = {document.name: document.sha256 for document in version.spec.evidence or []}
        yield record.entry(
            Action.EVIDENCE_VERIFIED, operator, subject, " ".join(sorted(evidence)), None, {"version": name, "evidence": evidence}
        )
    digest = current.artifact.digest if current.artifact else None
    # In between it may have had another phase: Pending, as its Model was missing.
    was_quarantined = previous.phase == VersionPhase.QUARANTINED or (past is not None and past.quarantined)
    is_quarantined = current.phase == VersionPhase.QUARANTINED
    step = step or (f"after {past.facts[-1]}" if past else "")
    if is_quarantined and not was_quarantined:
        message = after.message if after else ""
        yield record.entry(Action.QUARANTINED, operator, subject, f"quarantined {step}", digest, {"version": name, "message": message})
    if was_quarantined and not is_quarantined and after and after.status == api.ConditionStatus.TRUE:
        yield record.entry(Action.RECOVERED, operator, subject, f"recovered {step}", digest, {"version": name})
    if current.phase == VersionPhase.REUSED and previous.phase != VersionPhase.REUSED:
        yield record.entry(Action.REUSED, operator, subject, "reused", digest, {"version": name, "message": after.message if after else ""})


SAFER = frozenset({Action.QUARANTINED})
"""The actions that take effect before the ledger has them, because they make things safer."""
