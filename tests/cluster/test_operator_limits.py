"""What the operator's own account may write, on an API server of the oldest release that has the policies: nobody else's, and nothing that reaches into its node."""

from __future__ import annotations

import copy
import pathlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from modelyard.edge.cluster import client
from modelyard.plan.serving import confinement
from modelyard.reconcile import serving
from tests.cluster.access import older, people, place
from tests.unit.plan.serving.test_confinement import CONFINED, REACHING

Json = dict[str, Any]
ENFORCE = {"metadata": {"labels": {confinement.ENFORCE: "privileged"}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("limits")


@pytest.fixture(scope="module")
def address(folder: pathlib.Path) -> Iterator[str]:
    with older.running(folder, "--allow-privileged=true") as at:
        yield at


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def admin(address: str) -> AsyncIterator[people.Login]:
    async with older.login(address, "admin") as login:
        await older.install(login, older.manifests())
        for name in ("default", "open"):
            if name != "default":
                about = {"metadata": {"name": name, **ENFORCE["metadata"]}}
                assert (await login.send("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", **about})).passed
        await older.until(lambda: older.guards(login))
        yield login


@pytest_asyncio.fixture(loop_scope="module")
async def operator(
    admin: people.Login, folder: pathlib.Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[client.Cluster]:
    assert admin.name == "admin"
    monkeypatch.setenv("KUBECONFIG", str(older.kubeconfig(folder, address, "operator")))
    async with client.Cluster.connect() as server:
        yield server


def at(obj: Json, namespace: str = "default", **about: Any) -> Json:
    made = copy.deepcopy(obj)
    made["metadata"] |= {"namespace": namespace, **about}
    return made


@pytest.mark.asyncio(loop_scope="module")
async def test_an_apply_makes_a_new_object_or_changes_exactly_ours_and_takes_no_other_over(
    operator: client.Cluster, admin: people.Login
) -> None:
    wanted = place.service("fraud-production", ours=True)
    made = await operator.apply(at(wanted, resourceVersion=serving.ABSENT))
    again = await operator.apply(at(wanted, uid=made["metadata"]["uid"]))
    with pytest.raises(client.Conflict):
        await operator.apply(at(wanted, resourceVersion=serving.ABSENT))

    one = place.path("Service", "default", "fraud-production")
    assert (await admin.send("DELETE", one)).passed
    theirs = (await admin.send("POST", place.path("Service", "default"), place.service("fraud-production", ours=False))).body
    for about in ({"resourceVersion": serving.ABSENT}, {"uid": made["metadata"]["uid"]}):
        with pytest.raises(client.Conflict):
            await operator.apply(at(wanted, **about))

    there = (await admin.send("GET", one)).body
    assert [entry["operation"] for entry in made["metadata"]["managedFields"]] == ["Apply"]
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert there["metadata"] == theirs["metadata"]
    assert (await admin.send("DELETE", one)).passed
    with pytest.raises(client.Conflict):
        await operator.apply(at(wanted, uid=made["metadata"]["uid"]))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("what", [what for what in REACHING if what != "windowsOptions.hostProcess"])  # which takes hostNetwork as well
async def test_the_policy_and_the_plan_refuse_the_same_pods(operator: client.Cluster, what: str) -> None:
    wanted = place.workload("Deployment", "fraud-production", ours=True)
    wanted["spec"]["template"]["spec"] |= {"containers": CONFINED["containers"], **REACHING[what]}

    with pytest.raises(client.Refused) as refused:
        await operator.apply(at(wanted), dry_run=True)
    allowed = await operator.apply(at(wanted, "open"), dry_run=True)

    assert f"asks for {what}," in refused.value.message
    assert allowed["metadata"]["namespace"] == "open"
    assert list(confinement.reaches(wanted["spec"]["template"])) == [what]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_pod_that_stays_where_it_is_passes_and_what_ran_before_may_still_be_scaled(
    operator: client.Cluster, admin: people.Login
) -> None:
    confined = place.workload("Deployment", "confined", ours=True)
    confined["spec"]["template"]["spec"] |= CONFINED
    before = place.workload("Deployment", "before", ours=True)
    before["spec"]["template"]["spec"]["hostPID"] = True
    home = "/api/v1/namespaces/open"
    made = await operator.apply(at(before, "open"))
    assert (await admin.send("PATCH", home, {"metadata": {"labels": {confinement.ENFORCE: None}}}, people.MERGE)).passed

    scaled = await operator.apply(at({**before, "spec": {**before["spec"], "replicas": 2}}, "open"), dry_run=True)
    before["spec"]["template"]["spec"]["hostIPC"] = True
    with pytest.raises(client.Refused, match="hostPID, hostIPC"):
        await operator.apply(at(before, "open"), dry_run=True)

    assert (await operator.apply(at(confined), dry_run=True))["metadata"]["name"] == "confined"
    assert (scaled["spec"]["replicas"], made["spec"]["replicas"]) == (2, 0)
    assert (await admin.send("PATCH", home, ENFORCE, people.MERGE)).passed


@pytest.mark.asyncio(loop_scope="module")
async def test_only_metadata_of_lists_of_files_is_sent(operator: client.Cluster) -> None:
    await operator.apply(at(place.files("fraud-1-production-0123456789.modelyard-files", ours=True)))

    found = [one async for one in operator.list_metadata(client.CONFIG_MAP, "default", labelSelector="modelyard.dev/stage")]

    assert [(one["kind"], one["metadata"]["name"], "data" in one) for one in found] == [
        ("ConfigMap", "fraud-1-production-0123456789.modelyard-files", False)
    ]
