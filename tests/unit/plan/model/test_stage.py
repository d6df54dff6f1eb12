"""What a stage does of its own: a template that changed, and who holds it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from modelyard import api
from modelyard.api.reason import Reason
from modelyard.ledger import index, record
from modelyard.plan import finding
from modelyard.plan.model import decide
from modelyard.plan.observed import world
from tests.fakes.objects import NOW, promotion, seen, version
from tests.fakes.objects import model as a_model

SERVES = {"port": 1, "template": {"spec": {"containers": [{"name": "s"}]}}}
STANDS = {"name": "production", "current": "1", "serving": {"deployment": "fraud-production", "template": "sha256:0", "source": "sha256:1"}}


def changed(**more: Any) -> world.World:
    """What the stage declares is not what it was rendered from; the API server would take it."""
    of = a_model(serving={**SERVES, **more.pop("serving", {})}, status={"stages": [STANDS]})
    return seen(of=of, answers=dict.fromkeys(decide.dry_runs(seen(of=of))), **more)


def test_a_changed_template_is_rendered_for_the_version_that_the_stage_stands_for() -> None:
    [question] = decide.decide(changed(), NOW).ask

    assert isinstance(question, world.Render)
    assert (question.stage, question.version) == ("production", "1")


NOT_LOADED: dict[str, tuple[tuple[api.ModelVersion, ...], Reason]] = {
    "its bytes changed": ((version(phase="Quarantined", verified="False"),), Reason.QUARANTINED),
    "its object is gone": ((), Reason.VERSION_MISSING),
    "its object is back, and not verified yet": ((version().model_copy(update={"status": version("2").status.model_copy(update={"artifact": None})}),), Reason.VERSION_MISSING),
}  # fmt: skip


@pytest.mark.parametrize("sentence", NOT_LOADED)
@pytest.mark.parametrize("strategy", ["RollingUpdate", "Recreate"])
def test_no_pod_is_given_up_for_one_that_could_not_load_the_version(sentence: str, strategy: str) -> None:
    versions, reason = NOT_LOADED[sentence]

    plan = decide.decide(changed(versions=versions, serving={"strategy": strategy}), NOW)

    assert plan.ask == ()
    assert [wish.template for wish in plan.serve] == ["sha256:0"]
    assert plan.status is not None
    stalled = finding.find(plan.status.conditions, "Stalled")
    assert stalled is not None
    assert stalled.reason == reason


def test_a_reason_that_a_newer_release_wrote_is_kept_as_it_is() -> None:
    """An operator that was put back to an older release decides on statuses that it did not write."""
    condition = {"type": "Ready", "status": "False", "reason": "OfTomorrow", "message": "m", "lastTransitionTime": "2026-10-01T00:00:00Z"}
    over = promotion("p").model_dump(by_alias=True) | {"status": {"phase": "Failed", "conditions": [condition], "observedGeneration": 1}}
    over["metadata"] |= {"generation": 2}

    status = decide.decide(seen(api.Promotion.model_validate(over)), NOW).promotions["p"]

    assert [one.reason for one in status.conditions if one.type == "Ready"] == ["OfTomorrow"]
    assert status.observed_generation == 2
    assert list(Reason) == [one for one in Reason if one != "OfTomorrow"]


def test_the_latest_version_is_the_highest_that_is_ready() -> None:
    versions = (version("1.9.0"), version("1.10.0"), version("2.0.0", phase="Pending", verified="False"))

    status = decide.decide(seen(versions=versions), NOW).status

    assert status is not None
    assert status.versions is not None
    assert (status.versions.total, status.versions.ready, status.versions.latest) == (3, 2, "1.10.0")


HELD = STANDS | {
    "promotion": {"name": "back", "uid": "u", "version": "0"},
    "rollout": {"version": "0", "template": "sha256:2", "source": "sha256:1", "since": "2026-10-03T14:00:00Z"},
}


def ended(phase: str, uid: str = "u") -> record.LedgerEntry:
    detail = {"version": "0", "stage": "production", "phase": phase, "rollback": True}
    return record.entry(record.Action.ENDED, record.BY_OPERATOR, record.Subject("Promotion", "back", uid, 1), phase, None, detail)


def recorded(phase: str | None, uid: str = "u") -> index.Index:
    return index.Index(promotions={"back": index.Promotion(uid, "0", "production", rollback=True, granted=3, phase=phase)})


GONE: dict[str, tuple[dict[str, Any], str]] = {
    "the ledger has that it Succeeded": ({"past": recorded("Succeeded")}, "0"),
    "that it Succeeded waits to be recorded": ({"unrecorded": (ended("Succeeded"),)}, "0"),
    "it had not ended": ({"past": recorded(None)}, "1"),
    "it had failed": ({"past": recorded("Failed")}, "1"),
    "that it was aborted waits to be recorded": ({"past": recorded(None), "unrecorded": (ended("Aborted"),)}, "1"),
    "another one of its name Succeeded": ({"past": recorded("Succeeded", "v"), "unrecorded": (ended("Succeeded", "v"),)}, "1"),
    "nothing is known of it": ({}, "1"),
}


@pytest.mark.parametrize("sentence", GONE)
def test_what_the_stage_stands_for_when_the_promotion_that_holds_it_is_gone(sentence: str) -> None:
    around, current = GONE[sentence]
    of = a_model(serving=SERVES, status={"stages": [HELD]})
    answers: dict[Any, Any] = dict.fromkeys(decide.dry_runs(seen(of=of)))

    plan = decide.decide(seen(of=of, answers=answers, withheld=finding.Unmet(Reason.LEDGER_UNAVAILABLE, "no answer"), **around), NOW)

    assert plan.status is not None
    [stage] = [one for one in plan.status.stages or [] if one.name == "production"]
    assert (stage.current, stage.promotion, stage.rollout) == (current, None, None)
    assert (stage.hold.promotion if stage.hold else None) == ("back" if current == "0" else None)


REMOVED: dict[str, tuple[dict[str, Any], str, str]] = {
    "while it was rolled out": ({}, "Failed", "the stage old was removed from the Model: what it serves is taken down"),
    "and its promotion aborted": ({"abort": True}, "Aborted", "spec.abort was set"),
}


@pytest.mark.parametrize("sentence", REMOVED)
def test_nothing_is_put_back_in_a_stage_that_was_removed(sentence: str) -> None:
    spec, phase, message = REMOVED[sentence]
    of = a_model(status={"stages": [HELD | {"name": "old", "promotion": {"name": "p", "uid": "p", "version": "2"}}]})
    runs = world.Deployment("fraud-old", "sha256:2", settled=True, desired=1, updated=1, available=0, total=2)

    before = dataclasses.replace(seen(promotion("p", "old", of="2", **spec), of=of), deployments={"old": runs})

    plan = decide.decide(before, NOW)

    ready = finding.find(plan.promotions["p"].conditions, "Ready")
    assert ready is not None
    assert (plan.promotions["p"].phase, ready.message, plan.remove) == (phase, message, ("old",))
