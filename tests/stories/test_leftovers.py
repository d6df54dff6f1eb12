"""Lists of files of past rollouts go, and never one that a pod may still need."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from modelyard.edge.cluster import client
from tests.stories import test_properties, test_stories

SERVING = {"port": 8080, "template": {"spec": {"containers": [{"name": "server", "image": "serve:1"}]}}}
STAGES = [{"name": "staging", "serving": SERVING}, {"name": "production", "serving": SERVING}]
MODEL = {**test_properties.MODEL, "spec": {**test_properties.MODEL["spec"], "stages": STAGES}}


async def play(teller: test_stories.Teller, *steps: dict[str, Any]) -> set[str]:
    """The versions whose lists are there afterwards."""
    await teller.tell(yaml.safe_load(yaml.safe_dump(list(steps))))
    return {name.split("-")[1] for kind, _, name in teller.world.objects if kind == "ConfigMap"}


def served(version: str, stage: str) -> list[dict[str, Any]]:
    return [*asked(version, stage), {"available": f"fraud-{stage}"}]


def asked(version: str, stage: str) -> list[dict[str, Any]]:
    promotion = test_properties.promotion(version, stage)
    return [{"apply": {**promotion, "metadata": {"name": f"{version}-{stage}"}}}]


@pytest.fixture
async def teller() -> test_stories.Teller:
    """A model with two stages that serve, and three versions that are Ready."""
    one = test_stories.Teller(restart=False)
    await play(one, {"apply": MODEL})
    for number in "123":
        await play(one, {"upload": {f"s3://models/fraud/{number}/": number}}, {"apply": test_properties.version(number)})
    return one


async def test_after_a_rollout_only_what_is_served_keeps_its_list(teller: test_stories.Teller) -> None:
    assert await play(teller, *served("1", "production")) == {"1"}
    assert await play(teller, *asked("2", "production")) == {"1", "2"}
    assert await play(teller, {"available": "fraud-production"}) == {"2"}


async def test_a_list_that_another_stage_serves_by_stays(teller: test_stories.Teller) -> None:
    await play(teller, *served("1", "staging"), *served("1", "production"))

    assert await play(teller, *served("2", "staging")) == {"1", "2"}
    assert await play(teller, *served("2", "production")) == {"2"}


async def test_nothing_goes_while_any_stage_is_being_rolled_out(teller: test_stories.Teller) -> None:
    await play(teller, *served("1", "production"), *served("1", "staging"), *asked("3", "staging"))

    assert await play(teller, *served("2", "production")) == {"1", "2", "3"}
    assert await play(teller, {"available": "fraud-staging"}) == {"2", "3"}


async def test_what_is_put_back_keeps_its_list_and_what_failed_loses_it(teller: test_stories.Teller) -> None:
    await play(teller, *served("1", "production"), *asked("2", "production"))

    assert await play(teller, {"stuck": "fraud-production"}, {"after": "11m"}) == {"1", "2"}
    assert await play(teller, {"available": "fraud-production"}) == {"1"}


async def test_a_pod_that_still_mentions_a_list_keeps_it_until_it_goes(teller: test_stories.Teller) -> None:
    await play(teller, *served("1", "production"))
    deployment = teller.world.objects["Deployment", "risk", "fraud-production"]
    template = deployment["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "old", "labels": template["metadata"]["labels"]},
        "spec": template["spec"],
    }
    teller.world.put(pod)

    assert await play(teller, *served("2", "production")) == {"1", "2"}
    teller.world.remove(client.POD, "old")
    assert await play(teller, {"after": "1s"}) == {"2"}


async def test_whoever_does_not_lead_deletes_nothing(teller: test_stories.Teller) -> None:
    await play(teller, *served("1", "production"), *asked("2", "production"))
    teller.fenced = True

    assert await play(teller, {"available": "fraud-production"}) == {"1", "2"}


async def test_a_stage_that_serves_nothing_any_more_leaves_nothing(teller: test_stories.Teller) -> None:
    await play(teller, *served("1", "production"))

    assert await play(teller, {"apply": {**MODEL, "spec": {**MODEL["spec"], "stages": [{"name": "production"}]}}}) == set()
