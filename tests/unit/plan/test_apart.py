"""What cannot be handled of one stage stays with it: it is left as it is, and every other stage is decided, granted and rolled back."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard import api
from modelyard.api import promotion as promotion_api
from modelyard.api import stage as stage_api
from modelyard.api.reason import Reason
from modelyard.plan import fact, index, model, unforeseen, world
from tests.unit.plan import objects

SERVES: dict[str, Any] = {"port": 8080, "template": {"spec": {"containers": [{"name": "server", "image": "serve:1"}]}}}
RUNS = "sha256:" + "a" * 64
OF_PRODUCTION: dict[str, Any] = {"name": "production", "current": "1", "since": objects.STAMP, "digest": "sha256:0"}


def nested(levels: int) -> dict[str, Any]:
    """A template that the API server admits, and that is too deep to be hashed."""
    deep: Any = "x"
    for _ in range(levels):
        deep = {"a": deep}
    template: dict[str, Any] = copy.deepcopy(SERVES["template"])
    template["spec"]["affinity"] = deep
    return template


def of(**production: Any) -> api.Model:
    """Version 1 runs in production; in staging version 2 is to be rolled back to 1."""
    stood = {"name": "staging", "current": "2", "previous": "1", "since": objects.STAMP, "digest": "sha256:0"}
    runs = {**OF_PRODUCTION, "serving": {"deployment": "fraud-production", "template": RUNS, "source": "sha256:" + "b" * 64}}
    recorded = {"generation": 1, "spec": "sha256:" + "c" * 64}
    status = {"stages": [stood, runs], "observedGeneration": 1, "recorded": recorded}
    found = objects.model(serving={**SERVES, **production}, status=status)
    return found.model_copy(update={"metadata": found.metadata.model_copy(update={"generation": 1})})


def seen(subject: api.Model, *more: api.Promotion) -> world.World:
    past = index.Index(succeeded={"staging": [["1", "2026-10-01T00:00:00.000000Z"], ["2", "2026-10-02T00:00:00.000000Z"]]})
    succeeded = [objects.promotion(f"s{n}", "staging", str(n), finished=objects.STAMP) for n in (1, 2)]
    back = objects.promotion("back", "staging", "1", rollback=True)
    asks = objects.promotion("asks", "production", "2")
    versions = tuple(objects.version(name) for name in ("1", "2"))
    deployed = world.Deployment("fraud-production", RUNS, settled=True, desired=1, updated=1, available=1, total=1)
    found = objects.seen(
        *succeeded, back, asks, *more, of=subject, versions=versions, past=past, services=frozenset({"production"}), registrants={"2": "ci"}
    )
    return dataclasses.replace(found, deployments={"production": deployed})


def answered(asked: world.World, now: Any = objects.NOW) -> tuple[world.World, model.Plan]:
    """The plan once every template is taken and renders to something."""
    while (plan := model.decide(asked, now)).ask:
        answers = {question: RUNS if isinstance(question, world.Render) else None for question in plan.ask}
        asked = dataclasses.replace(asked, answers={**asked.answers, **answers})
    return asked, plan


def check(asked: world.World) -> model.Plan:
    """Production is as it was and says why; in staging the rollback is granted."""
    was = asked.stands("production")
    assert asked.model
    asked, plan = answered(asked)
    assert plan.status
    stages = {one.name: one for one in plan.status.stages or []}
    ready = fact.find(plan.status.conditions, "Ready")

    assert stages["staging"].promotion
    assert stages["staging"].promotion.name == "back"
    assert plan.promotions["back"].phase == promotion_api.Phase.ROLLING_OUT
    assert (stages["production"].current, stages["production"].promotion, stages["production"].serving) == (
        was.current,
        was.promotion,
        was.serving.model_copy(update={"desired": 1, "available": 1}) if isinstance(was.serving, stage_api.ServingStatus) else was.serving,
    )
    assert "production" not in {wish.stage for wish in plan.serve} | set(plan.remove)
    assert ready
    assert (ready.status, ready.reason) == (api.ConditionStatus.UNKNOWN, Reason.INTERNAL_ERROR)
    assert plan.status.observed_generation == 1
    found = fact.find(plan.promotions["asks"].conditions, "Ready")
    assert found
    assert (found.status, found.reason) == (api.ConditionStatus.UNKNOWN, Reason.INTERNAL_ERROR)
    assert [unforeseen.identify(one.error) in one.message for one in plan.unforeseen if one.error] == [True]
    return plan


def with_stage(subject: api.Model, **odd: Any) -> api.Model:
    """Production's status with values that no schema lets through."""
    stages = [one.model_copy(update=odd) if one.name == "production" else one for one in subject.status.stages or []]
    return subject.model_copy(update={"status": subject.status.model_copy(update={"stages": stages})})


@pytest.mark.parametrize(
    "subject",
    [
        of(template=nested(900)),
        with_stage(of(), promotion=7),
        with_stage(of(), rollout="soon"),
        with_stage(of(), serving=5),
    ],
    ids=["a template that cannot be hashed", "an odd holder", "an odd rollout", "an odd serving"],
)
def test_one_stages_trouble_is_its_own(subject: api.Model) -> None:
    check(seen(subject))


ODD = st.sampled_from([7, "x", [1], object()])


@given(st.dictionaries(st.sampled_from(["promotion", "rollout", "serving", "previous", "since", "current", "hold"]), ODD, min_size=1))
def test_whatever_is_odd_in_one_stage_the_others_go_on(odd: dict[str, Any]) -> None:
    _, plan = answered(seen(with_stage(of(), **odd)))

    assert plan.status
    assert next(one for one in plan.status.stages or [] if one.name == "staging").promotion


def test_one_promotions_trouble_grants_it_nothing_and_holds_up_no_other() -> None:
    odd = objects.promotion("odd", "staging", "3", created="2026-10-02T00:00:00Z")
    bad = objects.version("3")
    bad = bad.model_copy(update={"status": bad.status.model_copy(update={"conditions": [7]})})
    asked = seen(of(), odd)

    asked, plan = answered(dataclasses.replace(asked, versions={**asked.versions, "3": bad}))

    assert plan.status
    assert sorted(one.promotion.name for one in plan.status.stages or [] if one.promotion) == ["asks", "back"]
    assert plan.promotions["odd"].phase == promotion_api.Phase.PENDING
    said, ready = fact.find(plan.promotions["odd"].conditions, "Ready"), fact.find(plan.status.conditions, "Ready")
    assert said
    assert ready
    assert (said.status, said.reason) == (api.ConditionStatus.UNKNOWN, Reason.INTERNAL_ERROR)
    assert (ready.status, ready.message) == (said.status, said.message)


def test_it_is_told_once_for_as_long_as_it_stays_the_same() -> None:
    asked = seen(of(template=nested(900)))
    plan = check(asked)
    assert {event.name for event in plan.events if event.fact.reason == Reason.INTERNAL_ERROR} == {"fraud", "asks"}
    told = [one.model_copy(update={"status": plan.promotions.get(one.metadata.name, one.status)}) for one in asked.promotions]
    assert asked.model
    shown = dataclasses.replace(asked, model=asked.model.model_copy(update={"status": plan.status}), promotions=tuple(told))

    _, again = answered(shown, objects.NOW.replace(minute=30))

    assert again.status is None or again.status.conditions == (plan.status.conditions if plan.status else None)
    assert "asks" not in again.promotions
    assert not [event for event in again.events if event.fact.reason == Reason.INTERNAL_ERROR]
