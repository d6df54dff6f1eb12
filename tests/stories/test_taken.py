"""Names that somebody else takes: never taken over, never silent, and no way to keep a rollout from beginning."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from modelyard.edge.cluster import client
from tests.fakes import world
from tests.stories import test_leftovers, test_properties, test_stories

Json = dict[str, Any]
FILES = {"files.json.gz": "c3RyYW5nZQ=="}


class Racing(world.World):
    """Somebody makes an object of each name in the moment after it was looked for."""

    def __init__(self) -> None:
        super().__init__()
        self.racing: set[str] = set()

    async def get(self, kind: client.Kind, namespace: str, name: str) -> Json | None:
        found = await super().get(kind, namespace, name)
        if kind.name in self.racing and found is None:
            self.put(stranger(kind.name, name))
        return found


def stranger(kind: str, name: str, **more: Any) -> Json:
    parts: dict[str, Json] = {"ConfigMap": {"binaryData": FILES, "immutable": True}, "Service": {"spec": {"selector": {"app": "mine"}}}}
    rest = parts.get(kind, {"spec": {}})
    about = {"name": name, "namespace": "risk", **more}
    return {"apiVersion": "apps/v1" if kind == "Deployment" else "v1", "kind": kind, "metadata": about, **rest}


def copied(teller: test_stories.Teller, kind: str, name: str) -> Json:
    """A stranger's object that carries our labels."""
    labels = copy.deepcopy(at(teller, kind, name)["metadata"]["labels"])
    return stranger(kind, name, labels=labels, managedFields=[{"manager": "kubectl-create", "operation": "Update"}])


def at(teller: test_stories.Teller, kind: str, name: str) -> Json:
    return teller.world.objects[kind, "risk", name]


def lists(teller: test_stories.Teller) -> dict[str, Json]:
    return {name: one for (kind, _, name), one in teller.world.objects.items() if kind == "ConfigMap"}


def ready(teller: test_stories.Teller) -> tuple[str, str, str]:
    conditions = {one["type"]: one for one in at(teller, "Model", "fraud")["status"]["conditions"]}
    return conditions["Ready"]["status"], conditions["Ready"]["reason"], conditions["Ready"]["message"]


def recorded(teller: test_stories.Teller) -> dict[str, list[str]]:
    """What the ledger's last record that says so has each stage serve."""
    state = [record.state for record in world.records(teller.bucket) if record.state][-1]
    return {stage.name: [share.version for share in stage.serves] for stage in state}


async def begun(*, restart: bool = False) -> test_stories.Teller:
    """Version 1 is Ready, and a stage would serve it."""
    teller = test_stories.Teller(restart=restart)
    await test_leftovers.play(teller, {"apply": test_leftovers.MODEL})
    await test_leftovers.play(teller, {"upload": {"s3://models/fraud/1/": "1"}}, {"apply": test_properties.version("1")})
    return teller


async def serving(*, restart: bool = False) -> test_stories.Teller:
    teller = await begun(restart=restart)
    await test_leftovers.play(teller, *test_leftovers.served("1", "production"))
    assert recorded(teller)["production"] == ["1"]
    return teller


def replace(teller: test_stories.Teller, obj: Json) -> None:
    """Deleted, and another one made in the same moment."""
    teller.world.remove(client.KINDS[obj["kind"]], obj["metadata"]["name"])
    teller.world.put(obj)


@pytest.mark.parametrize("labelled", [False, True], ids=["plain", "with our labels"])
@pytest.mark.parametrize("restart", [False, True], ids=["once", "the operator dies after every write"])
async def test_whoever_takes_the_name_of_a_list_of_files_beforehand_vetoes_nothing(labelled: bool, restart: bool) -> None:
    first = await serving()
    [name] = lists(first)
    taken = copied(first, "ConfigMap", name) if labelled else stranger("ConfigMap", name)
    teller = await begun(restart=restart)
    teller.world.put(copy.deepcopy(taken))
    before = copy.deepcopy(at(teller, "ConfigMap", name))

    await test_leftovers.play(teller, *test_leftovers.served("1", "production"))

    assert at(teller, "Promotion", "1-production")["status"]["phase"] == "Succeeded"
    assert at(teller, "ConfigMap", name) == before
    [ours] = lists(teller).keys() - {name}
    assert ours.endswith(".modelyard-files")
    volumes = at(teller, "Deployment", "fraud-production")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "modelyard-files", "configMap": {"name": ours}} in volumes


@pytest.mark.parametrize("restart", [False, True], ids=["once", "the operator dies after every write"])
async def test_a_list_of_files_that_is_deleted_is_put_back_at_once(restart: bool) -> None:
    teller = await serving(restart=restart)
    [(name, before)] = lists(teller).items()

    teller.world.remove(client.CONFIG_MAP, name)
    await teller.settle()

    assert lists(teller).keys() == {name}
    assert lists(teller)[name]["binaryData"] == before["binaryData"]
    assert lists(teller)[name]["metadata"]["labels"]["modelyard.dev/stage"] == "production"


async def test_a_list_of_files_of_an_earlier_release_is_still_ours() -> None:
    teller = await serving()
    [(name, one)] = lists(teller).items()
    older = {**copy.deepcopy(one), "metadata": {"name": name, "labels": {**one["metadata"]["labels"]}}}
    del older["metadata"]["labels"]["modelyard.dev/stage"]
    replace(teller, older)

    await teller.settle()

    assert ready(teller)[:2] == ("True", "Ready")
    assert lists(teller)[name]["metadata"]["labels"]["modelyard.dev/stage"] == "production"


@pytest.mark.parametrize("kind", ["Service", "Deployment", "ConfigMap"])
@pytest.mark.parametrize("labelled", [False, True], ids=["plain", "with our labels"])
@pytest.mark.parametrize("restart", [False, True], ids=["once", "the operator dies after every write"])
async def test_what_is_deleted_and_made_by_another_is_neither_taken_over_nor_passed_over(kind: str, labelled: bool, restart: bool) -> None:
    teller = await serving(restart=restart)
    name = next(name for (one, _, name) in teller.world.objects if one == kind)
    replace(teller, copied(teller, kind, name) if labelled else stranger(kind, name))
    before = copy.deepcopy(at(teller, kind, name))

    await teller.settle()

    assert at(teller, kind, name) == before
    assert ready(teller)[:2] == ("False", "NameTaken")
    assert f"the {kind} {name} exists and is not Modelyard's" in ready(teller)[2]

    teller.world.remove(client.KINDS[kind], name)
    await teller.tell([{"after": "31s"}])

    assert at(teller, kind, name)["metadata"]["labels"]["modelyard.dev/model"] == "fraud"
    assert ready(teller)[1] != "NameTaken"


@pytest.mark.parametrize("restart", [False, True], ids=["once", "the operator dies after every write"])
async def test_the_ledger_does_not_claim_what_goes_through_anothers_service(restart: bool) -> None:
    teller = await serving(restart=restart)
    replace(teller, stranger("Service", "fraud-production"))

    await teller.settle()
    assert recorded(teller)["production"] == []
    told = [one for record in world.records(teller.bucket) for one in record.facts if one.action == "Serving"][-1]
    assert "the Service fraud-production exists and is not Modelyard's" in told.detail["why"]

    facts = len(world.recorded(teller.bucket, 0))
    await teller.tell([{"restart": "at once"}, {"after": "1m"}])
    assert (len(world.recorded(teller.bucket, 0)), recorded(teller)["production"]) == (facts, [])

    teller.world.remove(client.SERVICE, "fraud-production")
    await teller.tell([{"after": "31s"}])
    assert recorded(teller)["production"] == ["1"]


async def test_a_service_that_is_only_deleted_is_put_back_and_served_all_the_while() -> None:
    teller = await serving()
    facts = len(world.recorded(teller.bucket, 0))

    teller.world.remove(client.SERVICE, "fraud-production")
    await teller.settle()

    assert at(teller, "Service", "fraud-production")["metadata"]["labels"]["modelyard.dev/stage"] == "production"
    assert (len(world.recorded(teller.bucket, 0)), recorded(teller)["production"]) == (facts, ["1"])


@pytest.mark.parametrize("kind", ["Service", "Deployment", "ConfigMap"])
async def test_what_comes_between_looking_and_making_is_not_taken_over(kind: str) -> None:
    teller = test_stories.Teller(restart=False)
    racing = Racing()
    teller.world = racing
    teller._start()
    await test_leftovers.play(teller, {"apply": test_leftovers.MODEL})
    await test_leftovers.play(teller, {"upload": {"s3://models/fraud/1/": "1"}}, {"apply": test_properties.version("1")})
    racing.racing = {kind}

    await test_leftovers.play(teller, *test_leftovers.asked("1", "production"), {"after": "1m"})

    made = [one for (one_kind, _, _), one in racing.objects.items() if one_kind == kind]
    assert [one for one in made if "modelyard.dev/model" in one["metadata"].get("labels", {})] == []
    assert "exists and is not Modelyard's" in at(teller, "Promotion", "1-production")["status"]["conditions"][0]["message"]
