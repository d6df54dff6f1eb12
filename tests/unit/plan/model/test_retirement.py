"""Deprecated, Retired, and a Model that is taken down: what waits for what, and in which order."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest

from modelyard import api
from modelyard.api import modelversion
from modelyard.api.modelversion import VersionPhase
from modelyard.api.reason import Reason
from modelyard.ledger import record
from modelyard.plan import finding
from modelyard.plan.model import decide, retirement
from modelyard.plan.modelversion.lifecycle import shown, where
from modelyard.plan.observed import world
from modelyard.plan.record import model

NOW = datetime.datetime(2026, 10, 3, 14, 3, tzinfo=datetime.UTC)
STAMP = "2026-10-01T00:00:00Z"


def fraud(*stages: tuple[str, list[str]], lifecycle: str | None = "Retired", standing: str | None = "1") -> api.Model:
    """A Model with stages (name, after), each of which is at a version."""
    declared = [{"name": name, "gates": {"after": after}} if after else {"name": name} for name, after in stages]
    spec = {"owner": {"team": "t"}, "storage": {"uri": "s3://models/fraud/"}, "stages": declared, "lifecycle": lifecycle}
    status = {"stages": [{"name": name, "current": standing, "digest": "sha256:0", "since": STAMP} for name, _ in stages]}
    about = {"name": "fraud", "namespace": "risk", "uid": "m", "generation": 2}
    return api.Model.model_validate({"metadata": about, "spec": spec, "status": status})


def version(lifecycle: str | None, *claims: tuple[str, str], phase: str = "Ready") -> api.ModelVersion:
    spec = {"model": "fraud", "version": "1", "artifact": {"uri": "s3://models/fraud/1/", "format": "onnx"}, "lifecycle": lifecycle}
    stages = [{"name": name, "state": state, "since": STAMP} for name, state in claims]
    return api.ModelVersion.model_validate({"metadata": {"name": "fraud-1"}, "spec": spec, "status": {"phase": phase, "stages": stages}})


def promotion(name: str, stage: str, phase: str | None = None) -> api.Promotion:
    about = {"name": name, "uid": name, "namespace": "risk", "creationTimestamp": STAMP}
    return api.Promotion.model_validate(
        {"metadata": about, "spec": {"model": "fraud", "version": "1", "stage": stage}, "status": {"phase": phase} if phase else {}}
    )


def seen(of: api.Model, *promotions: api.Promotion, **more: Any) -> world.World:
    return world.World("risk", "fraud", of, {}, promotions, **{"deployments": {}, **more})


def deployment(stage: str) -> world.Deployment:
    return world.Deployment(f"fraud-{stage}", None, settled=True, desired=1, updated=1, available=1, total=1)


CHAIN = (("production", ["staging"]), ("staging", ["development"]), ("development", list[str]()))


def standing(plan: decide.Plan) -> list[str]:
    assert plan.status is not None
    return [one.name for one in plan.status.stages or [] if one.current]


@pytest.mark.parametrize(
    ("stages", "order"),
    [
        pytest.param(CHAIN, ["development", "staging", "production"], id="what others come after goes first"),
        pytest.param((("a", []), ("c", []), ("b", [])), ["a", "c", "b"], id="else as declared"),
        pytest.param((("a", ["b"]), ("b", ["a"])), ["a", "b"], id="a circle has an order too"),
    ],
)
def test_the_order_in_which_stages_go(stages: tuple[tuple[str, list[str]], ...], order: list[str]) -> None:
    subject = seen(fraud(*stages))

    assert retirement.order(subject, [name for name, _ in stages]) == order


def test_a_stage_goes_when_the_last_pod_of_the_one_before_is_gone() -> None:
    deployments = {name: deployment(name) for name in ("staging", "production")}
    both = seen(fraud(*CHAIN), deployments=deployments)
    terminating = dataclasses.replace(both, deployments={"production": deployment("production")}, pods=(world.Pod("staging", "1"),))
    service_left = dataclasses.replace(terminating, pods=(), services=frozenset({"staging"}))
    gone = dataclasses.replace(terminating, pods=())

    assert standing(decide.decide(both, NOW)) == ["production"]
    assert standing(decide.decide(terminating, NOW)) == ["production"]
    assert standing(decide.decide(service_left, NOW)) == ["production"]
    assert decide.decide(service_left, NOW).remove == ("production", "staging")  # nothing is declared to serve here
    assert standing(decide.decide(gone, NOW)) == []


def test_what_a_stage_stood_for_is_kept_as_its_previous() -> None:
    plan = decide.decide(seen(fraud(("production", []))), NOW)

    assert plan.status is not None
    (stage,) = plan.status.stages or []
    assert (stage.current, stage.digest, stage.since, stage.previous) == (None, None, None, "1")
    assert [event.fact.reason for event in plan.events] == [Reason.DECOMMISSIONED]


def test_unfinished_promotions_of_every_stage_are_aborted_at_once_and_those_that_ended_stay() -> None:
    asked = [promotion("a", "production", "RollingOut"), promotion("b", "staging"), promotion("c", "staging", "Succeeded")]

    plan = decide.decide(seen(fraud(*CHAIN), *asked), NOW)

    aborted = {name: status for name, status in plan.promotions.items() if status.phase == api.Phase.ABORTED}
    assert set(aborted) == {"a", "b"}
    for status in aborted.values():
        ready = finding.find(status.conditions, "Ready")
        assert ready is not None
        assert ready.reason == Reason.MODEL_RETIRED


@pytest.mark.parametrize("down", [True, False], ids=["where the stage goes now", "where it goes later"])
def test_what_is_over_is_told_of_the_newest_generation(*, down: bool) -> None:
    over = promotion("a", "development" if down else "production", "Failed").model_dump(by_alias=True)
    over["metadata"]["generation"] = 2
    ready = {"type": "Ready", "status": "False", "reason": "DeadlineExceeded", "message": "m", "lastTransitionTime": STAMP}
    over["status"] |= {"observedGeneration": 1, "conditions": [ready]}
    deployments = {name: deployment(name) for name in ("development", "production")}

    status = decide.decide(seen(fraud(*CHAIN), api.Promotion.model_validate(over), deployments=deployments), NOW).promotions["a"]

    assert (status.observed_generation, status.phase) == (2, api.Phase.FAILED)
    assert [one.message for one in status.conditions if one.type == "Ready"] == ["m"]


def test_nothing_is_taken_down_while_the_ledger_does_not_answer() -> None:
    withheld = seen(fraud(*CHAIN), promotion("a", "production"), withheld=finding.Unmet(Reason.LEDGER_UNAVAILABLE, "no answer"))

    plan = decide.decide(withheld, NOW)

    assert standing(plan) == ["production", "staging", "development"]
    ready = finding.find(plan.promotions["a"].conditions, "Ready")
    assert ready is not None
    assert (plan.promotions["a"].phase, ready.status, ready.reason) == (api.Phase.PENDING, "Unknown", Reason.LEDGER_UNAVAILABLE)


def test_a_stage_that_goes_is_recorded_once_and_what_a_lost_model_served_is_not_called_decommissioned() -> None:
    state = (record.StageState("production", "1", "sha256:0", NOW),)
    subject = seen(fraud(("production", [])), state=state)

    told = model.entries(subject, decide.decide(subject, NOW), NOW)
    (down,) = [one for one in told.facts if one.action == record.Action.DECOMMISSIONED]
    assert down.detail == {"stage": "production", "version": "1", "why": "the Model is Retired"}
    again = dataclasses.replace(subject, state=told.state)
    assert not [one for one in model.entries(again, decide.decide(again, NOW), NOW).facts if one.action == record.Action.DECOMMISSIONED]
    lost = dataclasses.replace(subject, model=None)
    assert not model.entries(lost, decide.decide(lost, NOW), NOW).facts


def held(version: api.ModelVersion, **annotations: str) -> api.ModelVersion:
    """The version with its objects under a legal hold."""
    artifact = modelversion.ArtifactStatus(digest="d", files=1, bytes=1, manifest="m", verified_at=NOW, checked_at=NOW, seconds=1, held="m")
    status = version.status.model_copy(update={"artifact": artifact})
    return version.model_copy(update={"status": status, "metadata": version.metadata.model_copy(update={"annotations": annotations})})


@pytest.mark.parametrize(
    ("left", "ready", "counted"),
    [
        pytest.param(held(version("Retired")), "False", 1, id="its objects are still held"),
        pytest.param(held(version("Retired"), **{"modelyard.dev/leave-held": "yes"}), "True", None, id="a person gave the hold up"),
        pytest.param(version("Retired"), "True", None, id="the hold is lifted"),
    ],
)
def test_a_model_is_not_decommissioned_while_a_versions_objects_are_held(left: api.ModelVersion, ready: str, counted: int | None) -> None:
    plan = decide.decide(dataclasses.replace(seen(fraud(("production", []), standing=None)), versions={"1": left}), NOW)

    assert plan.status is not None
    found = finding.find(plan.status.conditions, "Ready")
    assert found is not None
    assert (found.status, plan.status.versions and plan.status.versions.held) == (ready, counted)
    assert ("legal hold on the objects of 1" in found.message) == (ready == "False")


def test_a_removed_stage_is_recorded_as_one() -> None:
    was = fraud(("production", []), ("old", []), lifecycle=None)
    spec = was.spec.model_copy(update={"stages": [api.Stage(name="production")]})
    subject = seen(was.model_copy(update={"spec": spec}), state=(record.StageState("old", "1"), record.StageState("production", "1")))

    told = model.entries(subject, decide.decide(subject, NOW), NOW)

    assert [one.detail for one in told.facts if one.action == record.Action.DECOMMISSIONED] == [
        {"stage": "old", "version": "1", "why": "the stage was removed"}
    ]


@pytest.mark.parametrize(
    ("subject", "beneath", "phase"),
    [
        pytest.param(version("Deprecated"), VersionPhase.READY, VersionPhase.DEPRECATED, id="Deprecated"),
        pytest.param(version("Deprecated"), VersionPhase.QUARANTINED, VersionPhase.QUARANTINED, id="Quarantined before Deprecated"),
        pytest.param(version("Retired"), VersionPhase.QUARANTINED, VersionPhase.RETIRED, id="Retired before Quarantined"),
        pytest.param(version("Retired"), VersionPhase.REUSED, VersionPhase.RETIRED, id="Retired before Reused"),
        pytest.param(version("Retired", ("a", "Serving")), VersionPhase.READY, VersionPhase.DEPRECATED, id="it waits while it serves"),
        pytest.param(version("Retired", ("a", "Granted")), VersionPhase.READY, VersionPhase.DEPRECATED, id="and while a stage is at it"),
        pytest.param(version("Retired", ("a", "Rolling")), VersionPhase.QUARANTINED, VersionPhase.QUARANTINED, id="Quarantined meanwhile"),
        pytest.param(
            version("Retired", ("a", "Rolling"), phase="Retired"), VersionPhase.READY, VersionPhase.RETIRED, id="Retired is final"
        ),
        pytest.param(version(None), VersionPhase.READY, VersionPhase.READY, id="Active"),
    ],
)
def test_the_phase_that_is_shown(subject: api.ModelVersion, beneath: VersionPhase, phase: VersionPhase) -> None:
    assert shown(subject, beneath) == phase


def test_what_runs_a_version_is_said_in_words() -> None:
    assert where(version(None, ("audit", "Granted"), ("production", "Serving"), ("staging", "Rolling"))) == (
        "serves in production, staging; audit is at it"
    )
    assert where(version(None, ("a", "Granted"), ("b", "Granted"))) == "a, b are at it"
    assert not where(version(None))
