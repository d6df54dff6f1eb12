"""An older backup of the cluster is restored: what the ledger has from later is not lost, and nothing is decided on what is older."""

from __future__ import annotations

import copy
import datetime
from typing import Any

import pytest

from modelyard.audit import provenance
from modelyard.edge.cluster import cache
from tests.fakes import world
from tests.stories import test_properties, test_stories


async def served() -> test_stories.Teller:
    """A version that production is at."""
    teller = test_stories.Teller(restart=False)
    steps = copy.deepcopy(test_properties.STEPS[:4])
    await teller.tell([*steps, {"after": "1m"}, {"available": "fraud-production"}, {"after": "1m"}])
    return teller


def backup(teller: test_stories.Teller) -> dict[Any, Any]:
    return copy.deepcopy(teller.world.objects)


async def restore(teller: test_stories.Teller, objects: dict[Any, Any]) -> None:
    """The cluster is as it was then, and a new operator leads."""
    teller.world.objects = copy.deepcopy(objects)
    teller.ready.clear()
    teller.due.clear()
    teller._start()
    teller.book.term = 2
    await teller.settle()


def model(teller: test_stories.Teller) -> dict[str, Any]:
    return teller.world.objects["Model", "risk", "fraud"]


def facts(teller: test_stories.Teller) -> list[str]:
    return [line.strip(" =") for line in world.recorded(teller.bucket, 0)]


async def test_an_older_model_is_held_as_behind_and_nothing_is_granted_or_recorded_as_deleted() -> None:
    teller = await served()
    older = backup(teller)
    stages = [*test_properties.STAGES, {"name": "audit"}]
    await teller.tell(
        [
            {"change": {"kind": "Model", "metadata": {"name": "fraud"}, "set": {"stages": copy.deepcopy(stages)}}},
            {"apply": {**asked("1", "audit"), "metadata": {"name": "later"}}},
            {"after": "1m"},
        ]
    )
    recorded = facts(teller)

    await restore(teller, older)
    await teller.tell([{"apply": {**asked("1", "guarded"), "metadata": {"name": "new"}}}])

    ready = {one["type"]: one for one in model(teller)["status"]["conditions"]}
    assert (ready["Ready"]["status"], ready["Ready"]["reason"]) == ("False", "Behind")
    assert "modelyard restore fraud" in ready["Ready"]["message"]
    assert facts(teller) == recorded
    assert teller.world.objects["Promotion", "risk", "new"]["status"].get("startedAt") is None

    teller.world.objects["Model", "risk", "fraud"]["metadata"]["generation"] = 1
    await teller.tell(
        [{"change": {"kind": "Model", "metadata": {"name": "fraud"}, "set": {"stages": copy.deepcopy(stages)}}}, {"after": "1m"}]
    )
    assert {one["type"]: one["status"] for one in model(teller)["status"]["conditions"]}["Ready"] == "True"
    since = facts(teller)[len(recorded) :]
    assert "Restored Model fraud" in since
    assert not [line for line in since if line.startswith("Deleted")]


async def test_what_was_retired_since_the_backup_is_retired_still() -> None:
    teller = test_stories.Teller(restart=False)
    await teller.tell([*copy.deepcopy(test_properties.STEPS[:3]), {"after": "1m"}])
    await teller.tell([{"apply": test_properties.version("0")}, {"upload": {"s3://models/fraud/0/": "0"}}, {"after": "1m"}])
    older = backup(teller)
    await teller.tell(
        [{"change": {"kind": "ModelVersion", "metadata": {"name": "fraud-0"}, "set": {"lifecycle": "Retired"}}}, {"after": "1m"}]
    )

    await restore(teller, older)
    await teller.tell([{"apply": {**asked("0", "development"), "metadata": {"name": "again"}}}, {"after": "3h"}])

    retired = teller.world.objects["ModelVersion", "risk", "fraud-0"]
    assert retired["spec"].get("lifecycle") is None
    assert retired["status"]["phase"] == "Retired"
    assert "retired on 2026-10-01" in {one["type"]: one["message"] for one in retired["status"]["conditions"]}["Ready"]
    again = teller.world.objects["Promotion", "risk", "again"]["status"]
    assert [one["reason"] for one in again["conditions"] if one["type"] == "Ready"] == ["Behind"]

    await teller.tell(
        [{"change": {"kind": "ModelVersion", "metadata": {"name": "fraud-0"}, "set": {"description": "as it was"}}}, {"after": "1m"}]
    )
    assert teller.world.objects["ModelVersion", "risk", "fraud-0"]["status"]["phase"] == "Retired"
    assert teller.world.objects["Promotion", "risk", "again"]["status"]["phase"] == "Blocked"


async def test_a_model_that_was_not_seen_with_its_ledger_is_not_settled() -> None:
    teller = await served()
    assert teller.operator.settled
    teller.bucket.down = "no answer"
    teller._start()
    await teller.settle()

    assert not teller.operator.settled
    await teller.tell([{"ledger": "answers"}, {"after": "1m"}])
    assert teller.operator.settled


@pytest.mark.parametrize("interrupted", [False, True], ids=["at once", "though the first try could not be carried out"])
async def test_stages_that_are_older_than_the_ledger_are_taken_from_it(*, interrupted: bool) -> None:
    teller = test_stories.Teller(restart=False)
    await teller.tell(copy.deepcopy(test_properties.STEPS[:3]))
    older, saved = backup(teller), teller.world.now
    await teller.tell([{"after": "5m"}, {"apply": asked("1", "production")}, {"available": "fraud-production"}, {"after": "1m"}])
    [stands] = [one for one in model(teller)["status"]["stages"] if one["name"] == "production"]

    teller.world.objects = copy.deepcopy(older)
    teller.ready.clear()
    teller.due.clear()
    teller._start()
    teller.book.term = 2
    teller.operator.begin(saved + datetime.timedelta(seconds=1))
    teller.fenced = interrupted
    await teller.settle()
    teller.fenced = False
    await teller.tell([{"after": "1m"}])

    [again] = [one for one in model(teller)["status"]["stages"] if one["name"] == "production"]
    assert stands["current"] == again["current"] == "1"
    assert again["serving"]["template"] == stands["serving"]["template"]
    assert "Deployment fraud-production" in dict(world.shown(teller.world))


def asked(version: str, stage: str) -> dict[str, Any]:
    return test_properties.promotion(version, stage)


async def lose(teller: test_stories.Teller) -> None:
    """The registry's objects are gone, what serves is not, and a new operator leads, which finds the model in the ledger."""
    teller.world.objects = {place: obj for place, obj in teller.world.objects.items() if place[0] not in KINDS}
    teller.ready.clear()
    teller.due.clear()
    teller._start()
    teller.book.term = 2
    teller.enqueue([cache.Key("model", "risk", "fraud")])
    await teller.settle()
    await teller.tell([{"after": "1m"}])


KINDS = {"Model", "ModelVersion", "Promotion"}


async def test_stages_come_back_also_when_the_ledger_answers_only_after_something_was_said_of_the_model() -> None:
    teller = await served()
    before = dict(world.shown(teller.world))
    teller.world.objects = {place: obj for place, obj in teller.world.objects.items() if place[0] not in KINDS}
    teller.world.put(copy.deepcopy(test_properties.MODEL) | {"metadata": {"name": "fraud", "namespace": "risk"}})
    teller.bucket.down = "no answer"
    teller._start()
    teller.book.term = 1
    await teller.settle()
    await teller.tell([{"after": "1m"}])
    said = {one["type"]: one["status"] for one in model(teller)["status"]["conditions"]}["Ready"]

    await teller.tell([{"ledger": "answers"}, {"after": "10m"}])

    [production] = [one for one in model(teller)["status"]["stages"] if one["name"] == "production"]
    assert said == "Unknown"
    assert production["current"] == "1"
    assert dict(world.shown(teller.world))["Deployment fraud-production"] == before["Deployment fraud-production"]


async def test_who_registered_a_version_cannot_approve_it_after_the_operator_brought_it_back() -> None:
    teller = test_stories.Teller(restart=False)
    steps = copy.deepcopy(test_properties.STEPS[:3])
    steps[1]["apply"]["metadata"]["annotations"] = {"modelyard.dev/changes": "1 dan"}
    await teller.tell([*steps, {"after": "5m"}])

    await lose(teller)
    await teller.tell([{"apply": {**asked("1", "guarded"), "metadata": {"name": "new"}}}])
    await teller.tell([{"approve": {"promotion": "new", "user": "dan", "gate": "risk"}}])
    refused = teller.world.objects["Promotion", "risk", "new"]["status"]
    await teller.tell([{"approve": {"promotion": "new", "user": "eve", "gate": "risk"}}])

    assert refused["phase"] == "AwaitingApproval"
    assert "what dan says does not count: they registered the version" in refused["conditions"][0]["message"]
    assert teller.world.objects["Promotion", "risk", "new"]["status"]["phase"] == "Succeeded"


async def rolled_back() -> test_stories.Teller:
    """Version 2 served in production, and 1 does again since."""
    teller = await served()
    await teller.tell([{"apply": test_properties.version("2")}, {"upload": {"s3://models/fraud/2/": "2"}}, {"after": "5m"}])
    for name, wish in (("two", asked("2", "production")), ("back", asked("1", "production"))):
        wish["metadata"], wish["spec"]["rollback"] = {"name": name}, name == "back"
        await teller.tell([{"apply": wish}, {"available": "fraud-production"}, {"after": "1m"}])
    return teller


async def test_a_rollback_goes_back_to_what_only_the_ledger_knows_to_have_succeeded() -> None:
    teller = await rolled_back()

    await lose(teller)
    wish = {**asked("2", "production"), "metadata": {"name": "forth"}}
    wish["spec"]["rollback"] = True
    await teller.tell([{"apply": wish}, {"available": "fraud-production"}, {"after": "1m"}])

    assert teller.world.objects["Promotion", "risk", "forth"]["status"]["phase"] == "Succeeded"


async def test_auto_promote_still_rests_after_a_rollback_that_only_the_ledger_knows() -> None:
    teller = await rolled_back()
    stages = copy.deepcopy(test_properties.STAGES)
    stages[0]["autoPromote"], stages[1]["autoPromote"] = False, True
    await teller.tell([{"change": {"kind": "Model", "metadata": {"name": "fraud"}, "set": {"stages": stages}}}])
    [before] = [one for one in model(teller)["status"]["stages"] if one["name"] == "production"]

    await lose(teller)
    promotions = [name for kind, _, name in teller.world.objects if kind == "Promotion"]
    [after] = [one for one in model(teller)["status"]["stages"] if one["name"] == "production"]

    assert after["hold"]["promotion"] == before["hold"]["promotion"] == "back"
    assert promotions == []


SERVES = {"serving": copy.deepcopy(test_properties.STAGES[1]["serving"]), "gates": {"after": ["development"]}}


async def behind() -> tuple[test_stories.Teller, list[dict[str, Any]]]:
    """The Model is older than the ledger: since then a stage came and serves."""
    teller = await served()
    older = backup(teller)
    stages = [*copy.deepcopy(test_properties.STAGES), {"name": "audit", **SERVES}]
    await teller.tell(
        [
            {"change": {"kind": "Model", "metadata": {"name": "fraud"}, "set": {"stages": copy.deepcopy(stages)}}},
            {"apply": {**asked("1", "audit"), "metadata": {"name": "later"}}},
            {"available": "fraud-audit"},
            {"after": "1m"},
        ]
    )
    serves = {place: obj for place, obj in teller.world.objects.items() if place[0] in {"Deployment", "Service", "Pod", "ConfigMap"}}
    await restore(teller, older | serves)
    return teller, stages


async def test_what_serves_is_not_taken_down_because_an_older_model_does_not_name_it() -> None:
    teller, stages = await behind()
    uid = teller.world.objects["Deployment", "risk", "fraud-audit"]["metadata"]["uid"]

    teller.world.objects["Model", "risk", "fraud"]["metadata"]["generation"] = 1
    await teller.tell(
        [{"change": {"kind": "Model", "metadata": {"name": "fraud"}, "set": {"stages": copy.deepcopy(stages)}}}, {"after": "1m"}]
    )

    assert teller.world.objects["Deployment", "risk", "fraud-audit"]["metadata"]["uid"] == uid
    assert "audit=1" in dict(world.shown(teller.world))["Model fraud"]


async def test_nobody_rolls_back_what_is_behind() -> None:
    teller, _ = await behind()
    wish = {**asked("1", "production"), "metadata": {"name": "back"}}
    wish["spec"]["rollback"] = True

    await teller.tell([{"apply": wish}, {"after": "1m"}])

    status = teller.world.objects["Promotion", "risk", "back"]["status"]
    assert status.get("startedAt") is None
    assert [(one["status"], one["reason"]) for one in status["conditions"] if one["type"] == "Ready"] == [("Unknown", "Behind")]


async def test_a_stage_that_is_removed_while_the_ledger_is_away_serves_until_that_is_recorded() -> None:
    teller = await served()
    stages = [one for one in copy.deepcopy(test_properties.STAGES) if one["name"] != "production"]

    await teller.tell([{"ledger": "no answer"}, {"change": {"kind": "Model", "metadata": {"name": "fraud"}, "set": {"stages": stages}}}])
    assert "Deployment fraud-production" in dict(world.shown(teller.world))

    await teller.tell([{"ledger": "answers"}, {"after": "1m"}])
    assert "Deployment fraud-production" not in dict(world.shown(teller.world))
    assert any(line.startswith("Decommissioned Model fraud") for line in facts(teller))


async def test_promotions_that_went_with_everything_are_history_and_not_deleted() -> None:
    teller = await served()
    await teller.tell([{"apply": {**asked("1", "guarded"), "metadata": {"name": "open"}}}])
    told = len(facts(teller))

    await lose(teller)
    await teller.tell([{"apply": asked("1", "production")}, {"apply": {**asked("1", "guarded"), "metadata": {"name": "open"}}}])

    since = facts(teller)[told:]
    assert "Restored Model fraud" in since
    assert not [line for line in since if line.startswith(("Deleted", "Granted"))]
    [restored] = [one for record in world.records(teller.bucket) for one in record.facts if one.action == "Restored"]
    assert restored.detail["objects"] == ["Model/fraud", "ModelVersion/fraud-1"]
    assert {name.partition("-auto-")[0] for name in restored.detail["promotions"]} == {"fraud-1-development", "to-production", "open"}
    assert restored.detail["unfinished"] == ["open"]
    assert teller.world.objects["Promotion", "risk", "to-production"]["status"]["phase"] == "Succeeded"
    assert "startedAt" not in teller.world.objects["Promotion", "risk", "to-production"]["status"]
    assert teller.world.objects["Promotion", "risk", "open"]["status"]["phase"] == "AwaitingApproval"
    await teller.tell([{"delete": "Promotion open"}])
    assert facts(teller)[-1] == "Deleted Promotion open"


async def test_a_version_that_never_was_ready_comes_back_as_its_registrants() -> None:
    teller = test_stories.Teller(restart=False)
    steps = copy.deepcopy(test_properties.STEPS[:2])
    steps[1]["apply"]["metadata"]["annotations"] = {"modelyard.dev/changes": "1 dan"}
    await teller.tell([*steps, {"after": "1m"}])

    await lose(teller)

    known = teller.book.index(teller.book.chain("risk", "fraud")).versions["1"]
    assert known.registrant == "dan"
    assert not [line for line in facts(teller) if line.startswith("Deleted")]


async def test_a_dossier_tells_of_what_came_back_who_registered_it_and_added_to_it() -> None:
    teller = test_stories.Teller(restart=False)
    steps = copy.deepcopy(test_properties.STEPS[:2])
    steps[1]["apply"]["metadata"]["annotations"] = {"modelyard.dev/changes": "1 dan"}
    more = copy.deepcopy(steps[1])
    more["apply"]["metadata"]["annotations"] = {"modelyard.dev/changes": "1 dan\n2 eve"}
    more["apply"]["spec"] |= {"metrics": {"auc": 0.9}, "lifecycle": "Deprecated"}
    await teller.tell([*steps, {"after": "1m"}, more, {"after": "1m"}])

    await lose(teller)
    await teller.tell([{"upload": {"s3://models/fraud/1/": "1"}}, {"after": "1h"}])

    found = provenance.of("1", world.records(teller.bucket))
    assert [line.split(" by ")[0] for line in facts(teller)].count("Registered ModelVersion fraud-1") == 2
    assert found.registered
    assert found.registered.fact.actor.name == "dan"
    assert [(one.fact.action, one.fact.actor.name) for one in found.own] == [
        ("Registered", "dan"),
        ("Attested", "eve"),
        ("Deprecated", "eve"),
        ("Verified", "modelyard"),
    ]


async def test_what_is_claimed_again_is_claimed_since_it_was() -> None:
    teller = await served()
    before = copy.deepcopy(teller.world.objects["ModelVersion", "risk", "fraud-1"]["status"]["stages"])
    await teller.tell([{"after": "1h"}])

    await lose(teller)

    assert teller.world.objects["ModelVersion", "risk", "fraud-1"]["status"]["stages"] == before


CRD = "promotions.modelyard.dev"


@pytest.mark.parametrize(
    ("name", "how"),
    [
        pytest.param(CRD, {"metadata": {"name": CRD, "deletionTimestamp": "now"}}, id="the kind itself is being deleted"),
        pytest.param(CRD, None, id="the kind is gone"),
        pytest.param("risk", None, id="the namespace does not exist, and nobody saw it go"),
    ],
)
async def test_nothing_is_recorded_as_deleted_while(name: str, how: dict[str, Any] | None) -> None:
    teller = await served()
    told = facts(teller)
    teller.world.around[name] = how

    await lose(teller)
    meanwhile = facts(teller)
    del teller.world.around[name]
    await teller.tell([{"after": "10m"}])

    assert meanwhile == told
    assert "Restored Model fraud" in facts(teller)[len(told) :]
    assert not [line for line in facts(teller) if line.startswith("Deleted")]
    assert "Model fraud" in dict(world.shown(teller.world))


async def test_what_goes_with_its_namespace_is_deleted() -> None:
    teller = await served()
    teller.world.around["risk"] = {"metadata": {"name": "risk", "deletionTimestamp": "now"}}

    await lose(teller)

    gone = {line for line in facts(teller) if line.startswith("Deleted")}
    assert {"Deleted Model fraud", "Deleted ModelVersion fraud-1", "Deleted Promotion to-production"} <= gone


@pytest.mark.parametrize("restart", [False, True], ids=["", "though the operator dies after every write"])
@pytest.mark.parametrize(
    ("metrics", "shown", "told"),
    [
        pytest.param({"auc": 0.99}, ("Reused", "Blocked"), ["Registered", "Reused"], id="a better number"),
        pytest.param({}, ("Reused", "Blocked"), ["Registered", "Reused"], id="no number"),
        pytest.param({"auc": 0.9, "f1": 0.7}, ("Ready", "Succeeded"), ["Registered", "Attested"], id="another number as well"),
    ],
)
async def test_what_went_with_its_namespace_and_is_applied_again_keeps_its_metrics(
    metrics: dict[str, float], shown: tuple[str, str], told: list[str], *, restart: bool
) -> None:
    teller = test_stories.Teller(restart=restart)
    steps = copy.deepcopy(test_properties.STEPS[:3])
    steps[0]["apply"]["spec"]["stages"] = [{"name": "audit", "gates": {"metrics": [{"name": "auc", "atLeast": 0.5}]}}]
    steps[1]["apply"]["spec"]["metrics"] = {"auc": 0.9}
    again = copy.deepcopy(steps[:2])
    again[1]["apply"]["spec"]["metrics"] = metrics
    again[1]["apply"]["metadata"]["annotations"] = {"modelyard.dev/changes": "1 dan"}
    await teller.tell([*steps, {"after": "5m"}])
    teller.world.around["risk"] = {"metadata": {"name": "risk", "deletionTimestamp": "now"}}
    await teller.tell([{"delete": "ModelVersion fraud-1"}, {"delete": "Model fraud"}, {"after": "1m"}])
    del teller.world.around["risk"]
    before = len(facts(teller))

    await teller.tell([*again, {"apply": asked("1", "audit")}, {"after": "2h"}])

    objects = teller.world.objects
    phases = objects["ModelVersion", "risk", "fraud-1"]["status"]["phase"], objects["Promotion", "risk", "to-audit"]["status"]["phase"]
    known = teller.book.index(teller.book.chain("risk", "fraud")).versions["1"]
    assert phases == shown
    assert {line.split()[0] for line in facts(teller)[before:] if "ModelVersion" in line} >= set(told)
    assert bool(known.other) == (shown[0] == "Reused")
    assert known.attested == ({"metrics/f1": "dan"} if "f1" in metrics else {})
    assert provenance.of("1", world.records(teller.bucket)).spec == known.spec


async def test_a_hold_of_before_the_loss_is_known_as_ours_and_lifted_when_it_is_due() -> None:
    teller = test_stories.Teller(restart=False)
    teller.store.locks = "yes"
    await teller.tell([*copy.deepcopy(test_properties.STEPS[:4]), {"after": "1m"}, {"available": "fraud-production"}, {"after": "1m"}])
    assert teller.store.holds == {"s3://models/fraud/1/"}

    await lose(teller)
    held = teller.world.objects["ModelVersion", "risk", "fraud-1"]["status"]["artifact"]
    assert (held["held"], held.get("holdMessage")) == (held["manifest"], None)
    assert teller.store.holds == {"s3://models/fraud/1/"}
    stages = [{"name": "development"}, {"name": "production", "serving": SERVES["serving"]}]
    await teller.tell(
        [
            {"change": {"kind": "Model", "metadata": {"name": "fraud"}, "set": {"stages": stages}}},
            {"apply": test_properties.version("2")},
            {"upload": {"s3://models/fraud/2/": "2"}},
            {"after": "5m"},
            {"apply": {**asked("2", "production"), "metadata": {"name": "next"}}},
            {"available": "fraud-production"},
            {"apply": {**asked("2", "development"), "metadata": {"name": "dev"}}},
            {"after": "2h"},
        ]
    )

    assert teller.store.holds == {"s3://models/fraud/2/"}
    assert [line for line in facts(teller) if line.startswith(("Held", "Released"))] == [
        "Held ModelVersion fraud-1",
        "Held ModelVersion fraud-2",
        "Released ModelVersion fraud-1",
    ]


async def test_a_version_that_the_ledger_knows_as_retired_is_held_as_behind_when_it_comes_back_active() -> None:
    teller = await served()
    await teller.tell([{"apply": test_properties.version("2")}, {"upload": {"s3://models/fraud/2/": "2"}}, {"after": "5m"}])
    older = backup(teller)
    retire = {"change": {"kind": "ModelVersion", "metadata": {"name": "fraud-2"}, "set": {"lifecycle": "Retired"}}}
    await teller.tell([{"apply": asked_for("dev-1", "1")}, copy.deepcopy(retire), {"after": "5m"}])

    await restore(teller, older)
    ready = next(one for one in model(teller)["status"]["conditions"] if one["type"] == "Ready")
    assert (ready["reason"], "newer specs of fraud-2" in ready["message"]) == ("Behind", True)

    await teller.tell([retire, {"after": "5m"}])
    ready = next(one for one in model(teller)["status"]["conditions"] if one["type"] == "Ready")
    assert ready["reason"] == "Ready"
    assert not [line for line in facts(teller) if line.startswith("Deleted")]


def asked_for(name: str, version: str) -> dict[str, Any]:
    return {**asked(version, "development"), "metadata": {"name": name}}


@pytest.mark.parametrize("records", [False, True], ids=["records nothing", "records something"])
async def test_a_clock_that_was_fast_makes_no_cluster_older_than_its_ledger(*, records: bool) -> None:
    """Three lead, one after the other; the first one's clock is ten minutes ahead."""
    teller = test_stories.Teller(restart=False)
    await teller.tell([{"dies": "operator"}, {"leads": "first"}, *copy.deepcopy(test_properties.STEPS[:4]), {"after": "1m"}])
    await teller.tell([{"apply": test_properties.version("2")}, {"after": "1m"}])  # its bytes are not there
    before = copy.deepcopy(model(teller)["status"]["stages"])
    assert [one["promotion"]["name"] for one in before if one["name"] == "production"] == ["to-production"]

    await teller.tell([{"dies": "operator"}])
    teller.world.now -= datetime.timedelta(minutes=10)
    await teller.tell([{"after": "30s"}, {"leads": "second"}, {"after": "1m"}])
    if records:
        change = {"kind": "Model", "metadata": {"name": "fraud"}, "set": {"aliases": {"best": "1"}}}
        await teller.tell([{"change": change}])
    told = len(facts(teller))
    await teller.tell([{"dies": "operator"}, {"delete": "ModelVersion fraud-2"}, {"after": "30s"}, {"leads": "third"}, {"after": "1m"}])

    assert model(teller)["status"]["stages"] == before
    assert facts(teller)[told:] == ["Deleted ModelVersion fraud-2"]


DOCUMENTS = [{"name": name, "type": "Other", "uri": f"s3://models/fraud/{name}", "sha256": "sha256:" + "a" * 64} for name in ("a", "b")]
PARENTS = [{"version": version, "relation": "MergedFrom"} for version in ("0.1.0", "0.2.0")]


@pytest.mark.parametrize(
    ("named", "registered", "written"),
    [
        pytest.param("ModelVersion fraud-1", {}, {"lifecycle": "Active"}, id="a version's default"),
        pytest.param("ModelVersion fraud-1", {"evidence": DOCUMENTS}, {"evidence": DOCUMENTS[::-1]}, id="the order of evidence"),
        pytest.param(
            "ModelVersion fraud-1", {"lineage": {"parents": PARENTS}}, {"lineage": {"parents": PARENTS[::-1]}}, id="the order of parents"
        ),
        pytest.param("Model fraud", {}, {"lifecycle": "Active"}, id="a Model's default"),
        pytest.param("Model fraud", {}, {"stages": test_properties.STAGES[::-1]}, id="the order of stages"),
        pytest.param("Promotion to-guarded", {}, {"paused": False}, id="a promotion's default"),
    ],
)
async def test_a_spec_that_is_only_written_otherwise_is_not_behind(named: str, registered: dict[str, Any], written: dict[str, Any]) -> None:
    teller = test_stories.Teller(restart=False)
    steps = copy.deepcopy([*test_properties.STEPS[:3], test_properties.STEPS[4]])
    steps[1]["apply"]["spec"] |= copy.deepcopy(registered)
    kind, name = named.split()
    await teller.tell([*steps, {"after": "5m"}])

    await teller.tell([{"change": {"kind": kind, "metadata": {"name": name}, "set": copy.deepcopy(written)}}])
    await teller.tell([{"after": "2h"}, {"restart": "at once"}, {"after": "2h"}])
    await teller.tell([{"approve": {"promotion": "to-guarded", "user": "bob", "gate": "risk"}}])

    assert [one["reason"] for one in model(teller)["status"]["conditions"]] == ["Ready"]
    assert teller.world.objects["Promotion", "risk", "to-guarded"]["status"]["phase"] == "Succeeded"
    assert not [line for line in facts(teller) if line.startswith("Restored")]
    described = [f"Described {named} {{'changed': {list(written)}}}"] if kind == "ModelVersion" else []
    assert [line for line in facts(teller) if line.startswith("Described")] == described


async def applied_too_early(*, restart: bool = False) -> test_stories.Teller:
    """Git was faster than the operator after everything was lost, and has no metric that was added since."""
    teller = await served()
    teller._restart, teller.term = restart, 2
    stamped = {"name": "fraud-1", "annotations": {"modelyard.dev/changes": "1 ci\n2 eve"}}
    await teller.tell([{"change": {"kind": "ModelVersion", "metadata": stamped, "set": {"metrics": {"auc": 0.9}}}}])
    teller.world.objects = {place: obj for place, obj in teller.world.objects.items() if place[0] not in KINDS}
    for step in copy.deepcopy(test_properties.STEPS[:2]):
        teller.do_apply(step["apply"])

    await restore(teller, teller.world.objects)
    await teller.tell([{"after": "1h"}])
    return teller


async def test_what_was_applied_again_without_what_was_added_since_is_deleted_and_comes_back_whole() -> None:
    teller = await applied_too_early()
    reused = dict(world.shown(teller.world))
    await teller.tell([{"delete": "ModelVersion fraud-1"}, {"after": "1m"}])

    assert reused["ModelVersion fraud-1"].startswith("Reused [development:Granted, production:Serving] Ready=False Reused: ")
    assert reused["Deployment fraud-production"] == dict(world.shown(teller.world))["Deployment fraud-production"]
    version = teller.world.objects["ModelVersion", "risk", "fraud-1"]
    assert (version["spec"]["metrics"], version["status"]["phase"]) == ({"auc": 0.9}, "Ready")


@pytest.mark.parametrize("restart", [False, True], ids=["", "though the operator dies after every write"])
@pytest.mark.parametrize(
    ("steps", "phase", "attested"),
    [
        pytest.param([{"auc": 0.9}], "Ready", {"metrics/auc": "eve"}, id="it"),
        pytest.param([{"f1": 0.7}], "Reused", {"metrics/auc": "eve"}, id="something else"),
        pytest.param(
            [{"f1": 0.7}, {"f1": 0.7, "auc": 0.9}], "Ready", {"metrics/auc": "eve", "metrics/f1": "dan"}, id="it, after something else"
        ),
        pytest.param([{"auc": 0.95}], "Reused", {"metrics/auc": "eve"}, id="a better one"),
    ],
)
async def test_what_was_applied_again_means_what_it_meant_once_what_it_lacked_was_added(
    steps: list[dict[str, float]], phase: str, attested: dict[str, str], *, restart: bool
) -> None:
    teller = await applied_too_early(restart=restart)
    before = len(facts(teller))
    for number, metrics in enumerate(steps, start=2):
        stamped = {"name": "fraud-1", "annotations": {"modelyard.dev/changes": f"1 ci\n{number} dan"}}
        await teller.tell([{"change": {"kind": "ModelVersion", "metadata": stamped, "set": {"metrics": metrics}}}])
    await teller.tell([{"after": "2h"}])

    known = teller.book.index(teller.book.chain("risk", "fraud")).versions["1"]
    found = teller.world.objects["ModelVersion", "risk", "fraud-1"]
    assert found["status"]["phase"] == phase
    assert found["metadata"]["uid"] == (known.uid if phase == "Ready" else known.other)
    assert bool(known.other) == (phase == "Reused")
    assert [line.split()[0] for line in facts(teller)[before:]].count("Registered") == (phase == "Ready")
    assert known.attested == attested
    assert provenance.of("1", world.records(teller.bucket)).spec == known.spec
