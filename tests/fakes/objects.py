"""One model, its versions and promotions, as the gates' tables need them."""

from __future__ import annotations

import datetime
from typing import Any

from modelyard import api
from modelyard.ledger import fold, index, record
from modelyard.ledger.record import Action
from modelyard.plan import finding
from modelyard.plan.observed import specs, world

NOW = datetime.datetime(2026, 10, 3, 14, 3, tzinfo=datetime.UTC)
STAMP = "2026-10-01T00:00:00Z"


def model(*, spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, staging: Any = None, **stage: Any) -> api.Model:
    stages = [{"name": "staging", **(staging or {})}, {"name": "production", "gates": {"after": ["staging"]}, **stage}]
    said = {"owner": {"team": "t"}, "storage": {"uri": "s3://models/fraud/"}, "stages": stages, **(spec or {})}
    return api.Model.model_validate({"metadata": {"name": "fraud"}, "spec": said, "status": status or {}})


def version(
    name: str = "1",
    *,
    phase: str = "Ready",
    verified: str = "True",
    evidence_verified: str | None = None,
    looked_at: int = 1,
    **spec: Any,
) -> api.ModelVersion:
    """Verified, but for what is said; `looked_at`: the generation that the evidence was looked at."""
    said = {"lastTransitionTime": STAMP, "reason": "Verified", "message": "why"}
    conditions: list[dict[str, Any]] = [{"type": "Verified", "status": verified, **said}]
    if evidence_verified:
        conditions.append({"type": "EvidenceVerified", "status": evidence_verified, "observedGeneration": looked_at, **said})
    proven = {"digest": "sha256:0", "files": 1, "bytes": 1, "manifest": "sha256:1", "verifiedAt": STAMP, "checkedAt": STAMP, "seconds": 1}
    artifact = {"uri": "s3://models/fraud/1/", "format": "onnx"}
    return api.ModelVersion.model_validate(
        {
            "metadata": {"name": f"fraud-{name}", "generation": 1},
            "spec": {"model": "fraud", "version": name, "artifact": artifact, **spec},
            "status": {"phase": phase, "conditions": conditions, "artifact": proven},
        }
    )


def promotion(
    name: str,
    stage: str = "production",
    of: str = "1",
    *,
    created: str = STAMP,
    finished: str | None = None,
    phase: str = "Succeeded",
    **spec: Any,
) -> api.Promotion:
    status: dict[str, Any] = {}
    if finished:
        done = {"type": "Succeeded", "status": "True", "reason": "Succeeded", "lastTransitionTime": finished}
        status = {"phase": phase, "conditions": [done], "finishedAt": finished}
    said = {"model": "fraud", "version": of, "stage": stage, "requestedBy": "alice", **spec}
    return api.Promotion.model_validate(
        {"metadata": {"name": name, "uid": name, "creationTimestamp": created}, "spec": said, "status": status}
    )


def seen(
    *promotions: api.Promotion, of: api.Model | None = None, versions: tuple[api.ModelVersion, ...] = (version(),), **more: Any
) -> world.World:
    """What is there; the ledger has whatever Succeeded, unless `past` says otherwise."""
    if done := [one for one in promotions if finding.find(one.status.conditions, "Succeeded")]:
        more = {"past": recorded(*done), **more}
    return world.World("risk", "fraud", of or model(), {one.spec.version: one for one in versions}, promotions, {}, **more)


def recorded(*promotions: api.Promotion) -> index.Index:
    """What the ledger has of promotions that Succeeded, in the order in which they did."""
    folded, before = index.Index(), None
    chain = record.Chain("main", "risk", "fraud")
    for one in sorted(promotions, key=lambda one: (one.status.finished_at or NOW, one.status.phase == api.Phase.SUCCEEDED)):
        spec, about = one.spec, specs.about(one)
        asked = {"version": spec.version, "stage": spec.stage, "rollback": bool(spec.rollback)}
        facts = [
            record.entry(Action.REQUESTED, record.NOBODY_KNOWS, about, "requested", "sha256:spec", {**asked, "reason": spec.reason}),
            record.entry(Action.GRANTED, record.BY_OPERATOR, about, "granted", None, asked),
            record.entry(
                Action.ENDED, record.BY_OPERATOR, about, "Succeeded", None, {**asked, "phase": "Succeeded"}, at=one.status.finished_at
            ),
        ]
        before = record.follow(chain, before, "sha256:0" if before else None, facts, (), now=NOW, term=1, index=None)
        fold.add(folded, before)
    return folded


def evidence(*types: str) -> list[dict[str, Any]]:
    return [{"name": f"e{n}", "type": kind, "uri": "s3://models/fraud/e.pdf", "sha256": "sha256:0"} for n, kind in enumerate(types)]
