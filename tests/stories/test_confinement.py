"""A stage's pods do not reach into their node unless the namespace is labelled for it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.stories import test_leftovers, test_properties, test_stories
from tests.unit.plan.serving import test_confinement


async def promoted(reaches: dict[str, Any], labels: dict[str, str] | None = None) -> test_stories.Teller:
    teller = test_stories.Teller(restart=False)
    teller.world.around["risk"] = {"metadata": {"name": "risk", "labels": labels or {}}}
    model = copy.deepcopy(test_leftovers.MODEL)
    model["spec"]["stages"] = [{"name": "production", "serving": {"port": 80, "template": {"spec": reaches}}}]
    await test_leftovers.play(teller, {"apply": model}, {"upload": {"s3://models/fraud/1/": "1"}})
    await test_leftovers.play(teller, {"apply": test_properties.version("1")}, *test_leftovers.asked("1", "production"))
    return teller


def ready(teller: test_stories.Teller, kind: str, name: str) -> tuple[str, str]:
    conditions = teller.world.objects[kind, "risk", name]["status"]["conditions"]
    return next((one["reason"], one["message"]) for one in conditions if one["type"] == "Ready")


@pytest.mark.parametrize("what", test_confinement.REACHING)
async def test_nothing_is_deployed_that_reaches_out(what: str) -> None:
    template = {"containers": [test_confinement.SERVER], **test_confinement.REACHING[what]}
    teller = await promoted(template)

    assert not [name for kind, _, name in teller.world.objects if kind == "Deployment"]
    for kind, name in (("Model", "fraud"), ("Promotion", "1-production")):
        reason, message = ready(teller, kind, name)
        assert (reason, f"asks for {what}," in message) == ("TemplateInvalid", True)

    teller.world.around["risk"] = {"metadata": {"name": "risk", "labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}
    await teller.tell([{"after": "31s"}, {"available": "fraud-production"}])

    assert ready(teller, "Model", "fraud")[0] == "Ready"


async def test_what_stays_in_its_pod_is_deployed() -> None:
    teller = await promoted(test_confinement.CONFINED)

    assert [name for kind, _, name in teller.world.objects if kind == "Deployment"] == ["fraud-production"]
