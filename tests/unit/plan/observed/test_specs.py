"""What of a spec decides, and what the ledger has of one whose status lags behind."""

from __future__ import annotations

from typing import Any

import pytest

from modelyard import api
from modelyard.api import meta
from modelyard.content import digest
from modelyard.plan.observed import specs

OWNER = {"owner": {"team": "t"}, "storage": {"uri": "s3://models/fraud/"}, "description": "d", "intendedUse": "u"}
ARTIFACT = {"uri": "s3://models/fraud/1/", "format": "onnx"}


def model(generation: int = 1, recorded: dict[str, Any] | None = None, about: dict[str, Any] | None = None, **spec: Any) -> api.Model:
    named = {"name": "fraud", "uid": "u", "generation": generation, "resourceVersion": str(generation), **(about or {})}
    return api.Model.model_validate({"metadata": named, "spec": {**OWNER, **spec}, "status": {"recorded": recorded}})


def version(**spec: Any) -> api.ModelVersion:
    made = {"model": "fraud", "version": "1", "artifact": ARTIFACT, **spec}
    return api.ModelVersion.model_validate({"metadata": {"name": "fraud-1", "uid": "u"}, "spec": made})


def promotion(**spec: Any) -> api.Promotion:
    made = {"model": "fraud", "version": "1", "stage": "production", **spec}
    return api.Promotion.model_validate({"metadata": {"name": "p", "uid": "u"}, "spec": made})


ALIKE: dict[str, tuple[meta.Resource, meta.Resource]] = {
    "another description": (model(), model(2, description="e")),
    "other tags": (model(), model(2, tags={"a": "b"})),
    "another annotation": (model(), model(2, about={"annotations": {"modelyard.dev/changes": "2 dora"}})),
    "what is recorded": (model(), model(2, recorded={"generation": 1, "spec": "sha256:0"})),
    "a version's description": (version(), version(description="e", tags={"a": "b"}, lifecycleReason="r")),
}
OTHERWISE: dict[str, tuple[meta.Resource, meta.Resource]] = {
    "a description that is gone": (model(), model(2, description=None)),
    "an intended use that is empty": (model(), model(2, intendedUse="")),
    "a stage": (model(), model(2, stages=[{"name": "production"}])),
    "the tier": (model(), model(2, riskTier="High")),
    "a label": (model(), model(2, about={"labels": {"a": "b"}})),
    "that it is being deleted": (model(), model(2, about={"deletionTimestamp": "2026-10-01T00:00:00Z"})),
    "another object": (model(), model(2, about={"uid": "v"})),
    "a hold that is given up": (version(), version().model_copy(update={"metadata": meta.ObjectMeta(name="fraud-1", uid="u", annotations={"modelyard.dev/leave-held": "yes"})})),
    "a metric": (version(), version(metrics={"auc": 1.0})),
    "a lifecycle": (version(), version(lifecycle="Deprecated")),
    "an abort": (promotion(), promotion(abort=True)),
    "an approval": (promotion(), promotion(approvals=[{"user": "bob", "gate": "risk", "decision": "Withdrawn"}])),
    "a status that somebody else wrote": (model(), model(2).model_copy(update={"status": api.Model.model_fields["status"].default.model_copy(update={"observed_generation": 1})})),
    "what cannot be read": (meta.Resource(kind="Model", metadata=meta.ObjectMeta(name="fraud")), model()),
}  # fmt: skip


@pytest.mark.parametrize("what", ALIKE)
def test_free_text_decides_nothing(what: str) -> None:
    assert specs.decides_alike(*ALIKE[what])


@pytest.mark.parametrize("what", OTHERWISE)
def test_what_is_decided_on_is_decided_anew(what: str) -> None:
    assert not specs.decides_alike(*OTHERWISE[what])


def named(subject: api.Model) -> str:
    return digest.named(specs.snapshot(subject))


OLD, NEWER = named(model(description="old")), named(model(description="newer"))
FIRST = {"generation": 1, "spec": OLD}
KNOWN: dict[str, tuple[api.Model, tuple[str, str, int], tuple[int, str] | None]] = {
    "the status lags behind": (model(5, FIRST, description="newest"), ("u", NEWER, 3), (3, NEWER)),
    "the ledger has the newest already": (model(3, FIRST, description="newer"), ("u", NEWER, 3), (3, NEWER)),
    "the status is ahead": (model(5, {"generation": 4, "spec": NEWER}, description="newest"), ("u", OLD, 3), (4, NEWER)),
    "nobody has changed it since it was recorded": (model(1, FIRST, description="old"), ("u", NEWER, 3), (1, OLD)),
    "an older backup was restored and changed to the same generation": (model(3, FIRST, description="other"), ("u", NEWER, 3), (1, OLD)),
    "it is another object": (model(5, FIRST), ("v", NEWER, 3), (1, OLD)),
    "its status was lost": (model(5, description="newest"), ("u", NEWER, 3), (3, NEWER)),
    "its status was lost, and the spec is the same": (model(5, description="newer"), ("u", NEWER, 3), (5, NEWER)),
    "it was never recorded": (model(5), ("v", NEWER, 3), None),
}


@pytest.mark.parametrize("what", KNOWN)
def test_what_is_recorded_is_what_the_ledger_has(what: str) -> None:
    subject, (uid, spec, generation), expected = KNOWN[what]

    recorded = specs.recovered(subject, uid, spec, generation).status.recorded

    assert (recorded and (recorded.generation, recorded.spec)) == expected


def test_more_changes_than_the_annotation_can_name_leave_it_open_who_made_them() -> None:
    lines = "\n".join(["1 alice", *(f"{number} dora" for number in range(940, 1001))])
    [change] = specs.changes(model(1000, FIRST, {"annotations": {"modelyard.dev/changes": lines}}))

    assert (change.actor.name, change.doubt) == ("", {"authors": ["dora"], "unsigned": 1})
