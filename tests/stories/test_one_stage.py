"""One stage's trouble is its own: the others of its Model are decided, and rolled back, and its Model says what is wrong."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.edge.cluster import client
from tests.fakes import world as fakes_world
from tests.stories import test_injected, test_stories

SERVER: dict[str, Any] = {"name": "server", "image": "serve:2"}
TYPED = "failed to create typed patch object (risk/fraud-production; apps/v1, Kind=Deployment): "


async def begun() -> test_stories.Teller:
    """Version 1 serves in production; in shadow version 2 does, and 1 did before."""
    teller = test_stories.Teller(restart=False)
    await teller.tell(copy.deepcopy(test_injected.BEFORE))
    return teller


def changed(template: Any) -> dict[str, Any]:
    return {"change": {"kind": "Model", "metadata": {"name": "fraud"}, "set": {"stages.2.serving.template": template}}}


async def rolled_back(teller: test_stories.Teller) -> dict[str, str]:
    """What is shown once somebody asked for a rollback in shadow, and its pods are there."""
    await teller.tell([{"apply": test_injected.promotion("back", "fraud", "1", "shadow", rollback=True)}])
    await teller.tell([{"available": "fraud-shadow"}, {"after": "1m"}])
    return dict(fakes_world.shown(teller.world))


def ready(teller: test_stories.Teller) -> dict[str, Any]:
    found: dict[str, Any] = teller.world.objects["Model", "risk", "fraud"]
    told: dict[str, Any]
    [told] = [one for one in found["status"]["conditions"] if one["type"] == "Ready"]
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    return told


class Api(fakes_world.World):
    """An API server that answers to what one Deployment would become as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: Exception | None = None

    async def apply(self, obj: dict[str, Any], *, manager: str = "modelyard", force: bool = True, dry_run: bool = False) -> dict[str, Any]:
        if self.answers and obj["metadata"]["name"] == "fraud-production" and obj["kind"] == "Deployment":
            raise self.answers
        return await super().apply(obj, manager=manager, force=force, dry_run=dry_run)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ({"spec": {"containers": [SERVER], "initContainers": ["x"]}}, "spec.initContainers[0] of the template is a string"),
        ({"spec": {"containers": [{**SERVER, "env": ["A=1"]}]}}, "spec.containers[0].env[0] of the template is a string"),
        ({"metadata": 5, "spec": {"containers": [SERVER]}}, "metadata of the template is a number"),
        ({"spec": {"containers": [SERVER], "volumes": {"a": {}}}}, "spec.volumes of the template is a mapping"),
    ],
)
async def test_a_template_that_cannot_be_rendered_is_named_and_holds_up_no_other_stage(template: dict[str, Any], said: str) -> None:
    teller = await begun()
    teller.lines.clear()

    await teller.tell([changed(template)])
    shown = await rolled_back(teller)

    told = ready(teller)
    assert (told["status"], told["reason"]) == ("False", "TemplateInvalid")
    assert said in told["message"]
    assert shown["Promotion back"].startswith("Succeeded")
    assert shown["Deployment fraud-production"] == "runs 1 with serve:1"
    assert sum("! Model fraud TemplateInvalid" in line for line in teller.lines) == 1


@pytest.mark.parametrize(
    ("answers", "status", "reason", "said"),
    [
        (client.Refused(500, f"{TYPED}.spec.x: field not declared in schema"), "False", Reason.TEMPLATE_INVALID, ".spec.x: field not"),
        (client.Refused(403, "exceeded quota"), "False", Reason.TEMPLATE_INVALID, "exceeded quota"),
        (edge.Unavailable(Reason.CLUSTER_UNAVAILABLE, "calling webhook"), "Unknown", Reason.CLUSTER_UNAVAILABLE, "calling webhook"),
        (client.Conflict("modified"), "Unknown", Reason.CLUSTER_UNAVAILABLE, "the stage production: the API server says"),
        (KeyError("with a credential"), "Unknown", Reason.INTERNAL_ERROR, "the stage production could not be handled"),
    ],
    ids=["a field that is none", "a quota", "a webhook", "a conflict", "a mistake of ours"],
)
async def test_what_the_api_server_answers_to_one_stage_is_that_stages(
    answers: Exception, status: str, reason: Reason, said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fakes_world, "World", Api)
    teller = await begun()
    world = teller.world
    assert isinstance(world, Api)
    teller.lines.clear()

    world.answers = answers
    await teller.tell([changed({"spec": {"containers": [SERVER]}}), {"after": "1m"}])
    shown = await rolled_back(teller)

    told = ready(teller)
    assert (told["status"], told["reason"]) == (status, reason)
    assert said in told["message"]
    assert "credential" not in told["message"]
    assert shown["Promotion back"].startswith("Succeeded")
    assert shown["Deployment fraud-production"] == "runs 1 with serve:1"
    assert sum(f" Model fraud {reason}: " in line for line in teller.lines) == 1
    if reason == Reason.INTERNAL_ERROR:
        [mark] = {record.getMessage() for record in caplog.records if record.exc_info}
        assert mark == told["message"]

    world.answers = None
    await teller.tell([{"after": "5m"}, {"available": "fraud-production"}, {"after": "5m"}])
    assert ready(teller)["status"] == "True"
    assert dict(fakes_world.shown(world))["Deployment fraud-production"] == "runs 1 with serve:2"


async def test_a_blob_of_one_stage_that_is_missing_is_that_stages() -> None:
    teller = await begun()
    [runs] = [one for one in teller.world.objects["Model", "risk", "fraud"]["status"]["stages"] if one["name"] == "production"]
    teller.bucket.kept.pop(f"blobs/sha256/{runs['serving']['template'].removeprefix('sha256:')}")
    teller.lines.clear()

    # Somebody changes the Deployment by hand: putting it back takes the blob.
    teller.world.objects["Deployment", "risk", "fraud-production"]["spec"]["paused"] = True
    teller.world.objects["Deployment", "risk", "fraud-production"]["metadata"]["generation"] += 1
    teller._start()
    shown = await rolled_back(teller)

    told = ready(teller)
    assert told["status"] == "Unknown"
    assert told["message"].startswith("the stage production: ")
    assert shown["Promotion back"].startswith("Succeeded")
