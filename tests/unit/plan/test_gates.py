"""Each gate as a table: what is so, and whether it holds."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from modelyard import api
from modelyard.api.reason import Reason
from modelyard.plan import fact, gates, world

NOW = datetime.datetime(2026, 10, 3, 14, 3, tzinfo=datetime.UTC)
STAMP = "2026-10-01T00:00:00Z"


def model(**stage: Any) -> api.Model:
    stages = [{"name": "staging"}, {"name": "production", "gates": {"after": ["staging"]}, **stage}]
    spec = {"owner": {"team": "t"}, "storage": {"uri": "s3://models/fraud/"}, "stages": stages}
    return api.Model.model_validate({"metadata": {"name": "fraud"}, "spec": spec})


def version(name: str = "1", *, phase: str = "Ready", verified: str = "True", lifecycle: str | None = None) -> api.ModelVersion:
    condition = {"type": "Verified", "status": verified, "reason": "Verified", "message": "why", "lastTransitionTime": STAMP}
    proven = {"digest": "sha256:0", "files": 1, "bytes": 1, "manifest": "sha256:1", "verifiedAt": STAMP, "checkedAt": STAMP, "seconds": 1}
    spec = {"model": "fraud", "version": name, "artifact": {"uri": "s3://models/fraud/1/", "format": "onnx"}, "lifecycle": lifecycle}
    status = {"phase": phase, "conditions": [condition], "artifact": proven}
    return api.ModelVersion.model_validate({"metadata": {"name": f"fraud-{name}"}, "spec": spec, "status": status})


def promotion(name: str, stage: str, of: str = "1", *, finished: str | None = None, rollback: bool = False) -> api.Promotion:
    status: dict[str, Any] = {}
    if finished:
        done = {"type": "Succeeded", "status": "True", "reason": "Succeeded", "lastTransitionTime": finished}
        status = {"phase": "Succeeded", "conditions": [done], "finishedAt": finished}
    spec = {"model": "fraud", "version": of, "stage": stage, "rollback": rollback}
    return api.Promotion.model_validate(
        {"metadata": {"name": name, "uid": name, "creationTimestamp": STAMP}, "spec": spec, "status": status}
    )


def seen(*promotions: api.Promotion, of: api.Model | None = None, versions: tuple[api.ModelVersion, ...] = (version(),)) -> world.World:
    return world.World("risk", "fraud", of or model(), {one.spec.version: one for one in versions}, promotions, {})


IN_STAGING = promotion("a", "staging", finished="2026-10-02T00:00:00Z")

TABLE: dict[str, tuple[world.World, Reason | None]] = {
    "all holds once it has succeeded in staging": (seen(IN_STAGING), None),
    "it waits for the stage before": (seen(), Reason.WAITING_FOR_STAGE),
    "it waits for the version": (seen(versions=()), Reason.VERSION_MISSING),
    "it waits for verification": (seen(IN_STAGING, versions=(version(phase="Pending", verified="False"),)), Reason.VERSION_NOT_READY),
    "a store that does not answer is no verification": (
        seen(IN_STAGING, versions=(version(verified="Unknown"),)),
        Reason.VERSION_NOT_READY,
    ),
    "a quarantined version goes nowhere": (
        seen(IN_STAGING, versions=(version(phase="Quarantined", verified="False"),)),
        Reason.QUARANTINED,
    ),
    "a deprecated version goes nowhere new": (seen(IN_STAGING, versions=(version(lifecycle="Deprecated"),)), Reason.VERSION_RETIRED),
    "a retired version goes nowhere": (seen(IN_STAGING, versions=(version(phase="Retired", lifecycle="Retired"),)), Reason.VERSION_RETIRED),
    "a failed version needs a person": (seen(IN_STAGING, versions=(version(phase="Failed", verified="False"),)), Reason.VERSION_NOT_READY),
    "a frozen stage waits": (seen(IN_STAGING, of=model(frozen={"reason": "year-end"})), Reason.FROZEN),
    "a freeze that is over does not": (seen(IN_STAGING, of=model(frozen={"reason": "x", "until": "2026-10-03T14:00:00Z"})), None),
    "metrics cannot be judged yet": (
        seen(IN_STAGING, of=model(gates={"after": ["staging"], "metrics": [{"name": "auc", "atLeast": 0.9}]})),
        Reason.GATE_NOT_SUPPORTED,
    ),
    "approvals cannot be judged yet": (seen(IN_STAGING, of=model(gates={"approvals": [{"name": "risk"}]})), Reason.GATE_NOT_SUPPORTED),
    "servedFor cannot be judged yet": (seen(IN_STAGING, of=model(gates={"servedFor": "24h"})), Reason.GATE_NOT_SUPPORTED),
    "evidence cannot be judged yet": (seen(IN_STAGING, of=model(gates={"evidence": ["ModelCard"]})), Reason.GATE_NOT_SUPPORTED),
    "documentation cannot be judged yet": (seen(IN_STAGING, of=model(gates={"documentation": True})), Reason.GATE_NOT_SUPPORTED),
    "canary is not there yet": (
        seen(IN_STAGING, of=model(serving={"port": 1, "template": {}, "strategy": "Canary"})),
        Reason.STRATEGY_NOT_SUPPORTED,
    ),
    "a success that was rolled back does not count": (
        seen(
            promotion("z", "staging", "0", finished="2026-10-01T00:00:00Z"),
            IN_STAGING,
            promotion("b", "staging", "0", finished="2026-10-03T00:00:00Z", rollback=True),
        ),
        Reason.WAITING_FOR_STAGE,
    ),
    "a success before a later version counts": (seen(IN_STAGING, promotion("b", "staging", "2", finished="2026-10-03T00:00:00Z")), None),
}


@pytest.mark.parametrize("sentence", TABLE)
def test_promoting_to_production(sentence: str) -> None:
    before, expected = TABLE[sentence]

    held = gates.worst(gates.judge(gates.Case(before, "production", "1"), NOW))

    assert (held and held.reason) == expected


def test_a_rollback_skips_freezes_and_gates_but_not_verification() -> None:
    frozen = model(frozen={"reason": "year-end"}, gates={"approvals": [{"name": "risk"}]})
    before = promotion("a", "production", finished=STAMP)

    assert gates.worst(gates.judge(gates.Case(seen(before, of=frozen), "production", "1", rollback=True), NOW)) is None
    bad = seen(before, of=frozen, versions=(version(phase="Quarantined", verified="False"),))
    held = gates.worst(gates.judge(gates.Case(bad, "production", "1", rollback=True), NOW))
    assert held is not None
    assert held.reason == Reason.QUARANTINED


def test_a_rollback_goes_only_to_what_was_there() -> None:
    held = gates.worst(gates.judge(gates.Case(seen(), "production", "1", rollback=True), NOW))

    assert held is not None
    assert (held.reason, held.waits) == (Reason.WAITING_FOR_STAGE, fact.Waits.FOR_A_PERSON)


def test_what_a_person_must_mend_is_named_before_what_heals_by_itself() -> None:
    before = seen(of=model(gates={"after": ["staging"], "approvals": [{"name": "risk"}]}))

    held = gates.worst(gates.judge(gates.Case(before, "production", "1"), NOW))

    assert held is not None
    assert held.reason == Reason.GATE_NOT_SUPPORTED
