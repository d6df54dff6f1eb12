"""What serves is deleted, taken and filled up by people with ordinary rights, on a real node."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.cluster.access import aside
from tests.cluster.node import access
from tests.cluster.test_main_job import Team, stage

SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "fraud-production"},
    "spec": {"selector": {"modelyard.dev/model": "fraud"}, "ports": [{"port": 8080}]},
}


@pytest.fixture
def team(operator: Any, namespace: str) -> Team:
    return Team(operator, namespace)


def serving(team: Team, **more: Any) -> None:
    team.model(stage("production", autoPromote=True, **more))
    team.register("1", team.upload("1", "one"))
    team.wait_phase("promo", "fraud-1-production", "Succeeded")


def ready(team: Team) -> tuple[str, str]:
    conditions = team.get("mdl", "fraud").get("status", {}).get("conditions", [])
    found: dict[str, str] = next((one for one in conditions if one["type"] == "Ready"), {})
    return found.get("reason", ""), found.get("message", "")


def files(team: Team) -> dict[str, dict[str, Any]]:
    listed = json.loads(team.kubectl("get", "configmaps", "-l", "modelyard.dev/stage=production", "-o", "json"))["items"]
    return {one["metadata"]["name"]: one for one in listed}


def test_a_list_of_files_that_is_deleted_is_back_within_seconds_and_pods_start(team: Team) -> None:
    serving(team)
    [(name, before)] = files(team).items()
    uid = before["metadata"]["uid"]

    team.kubectl("delete", "configmap", name)
    began = time.monotonic()
    team.wait(lambda: name in files(team) and files(team)[name]["metadata"]["uid"] != uid, "the list to be back", 10)
    took = time.monotonic() - began
    team.kubectl("delete", "pods", "-l", "modelyard.dev/stage=production", "--wait=true")
    team.wait(lambda: team.served("production") == "one", "production to answer again")

    assert took < 10
    assert files(team)[name]["binaryData"] == before["binaryData"]
    assert files(team)[name]["immutable"] is True


def test_whoever_may_edit_deletes_makes_and_changes_nothing_that_serves(team: Team) -> None:
    serving(team)
    [name] = files(team)
    team.kubectl("create", "rolebinding", "edits", "--clusterrole=edit", "--user=alice")
    before = {kind: team.get(kind, "fraud-production")["metadata"]["uid"] for kind in ("deploy", "service")}
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fraud-2-production-0123456789.modelyard-files"}}
    pod = team.kubectl("get", "pods", "-o", "name").split()[0]

    for words, more in (
        (("delete", "service", "fraud-production"), {}),
        (("delete", "deployment", "fraud-production"), {}),
        (("delete", "replicasets", "--all"), {}),
        (("delete", "configmap", name), {}),
        (("create", "-f", "-"), {"input": json.dumps(other)}),
        (("label", "configmap", name, "modelyard.dev/stage-"), {}),
    ):
        with pytest.raises(access.KubectlError, match="belongs to what a Modelyard stage serves"):
            team.kubectl("--as=alice", *words, **more)

    team.kubectl("--as=alice", "delete", pod)
    team.wait(lambda: team.served("production") == "one", "production to answer again")
    assert {kind: team.get(kind, "fraud-production")["metadata"]["uid"] for kind in before} == before


def test_a_service_that_another_made_meanwhile_is_neither_taken_over_nor_passed_over(team: Team) -> None:
    serving(team)
    with aside.resting(team.cluster):
        team.kubectl("delete", "service", "fraud-production")
        team.apply(SERVICE)
        before = team.get("service", "fraud-production")["metadata"]

    team.wait(lambda: ready(team)[0] == "NameTaken", "the Model to say so", 60)
    assert "the Service fraud-production exists and is not Modelyard's" in ready(team)[1]
    there = team.get("service", "fraud-production")["metadata"]
    assert (there["uid"], there["resourceVersion"]) == (before["uid"], before["resourceVersion"])

    team.kubectl("delete", "service", "fraud-production")
    team.wait(lambda: ready(team)[0] == "Ready", "the Service to be made", 60)
    team.wait(lambda: team.served("production") == "one", "production to answer again")


def test_a_pod_that_reaches_into_its_node_takes_the_namespaces_word(team: Team) -> None:
    reaching = stage("production", autoPromote=True)
    reaching["serving"]["template"]["spec"]["hostNetwork"] = True
    team.model(reaching)
    team.register("1", team.upload("1", "one"))

    team.wait(lambda: ready(team)[0] == "TemplateInvalid", "the template to be refused")
    assert "asks for hostNetwork" in ready(team)[1]
    assert not team.kubectl("get", "deploy", "-o", "name")

    team.cluster.kubectl("label", "namespace", team.namespace, "pod-security.kubernetes.io/enforce=privileged")
    team.wait(lambda: ready(team)[0] != "TemplateInvalid", "the template to be taken", 60)


def test_a_promotion_of_the_probes_name_doubts_nobodys_approval(team: Team) -> None:
    for name in ("modelyard-probe-signed", "modelyard-probe-large"):
        spec = {"model": name, "version": "0", "stage": "probe"}
        promotion = {"apiVersion": "modelyard.dev/v1alpha1", "kind": "Promotion", "metadata": {"name": name}, "spec": spec}
        team.cluster.kubectl("apply", "--namespace=modelyard-system", "-f", "-", input=json.dumps(promotion))
    try:
        team.model(stage("production", gates={"approvals": [{"name": "risk"}]}))
        team.kubectl("create", "rolebinding", "approves", "--clusterrole=modelyard-approver", "--user=bob")
        team.register("1", team.upload("1", "one"))
        team.promote("1", "production")
        team.wait_phase("promo", "fraud-1-production", "AwaitingApproval")
        entry = [{"user": "bob", "gate": "risk", "decision": "Approved"}]
        step = json.dumps([{"op": "add", "path": "/spec/approvals", "value": entry}])

        team.kubectl("--as=bob", "patch", "promo", "fraud-1-production", "--type=json", f"--patch={step}")

        team.wait_phase("promo", "fraud-1-production", "Succeeded")
    finally:
        team.cluster.kubectl("delete", "promo", "--namespace=modelyard-system", "--all")


def test_the_operators_own_bucket_is_refused_when_it_is_applied(team: Team) -> None:
    storage = {"uri": "s3://modelyard/ledger/", "endpoint": "http://store.modelyard-system.svc:7070"}
    spec = {"owner": {"team": "payments"}, "storage": storage, "stages": [{"name": "production"}]}
    model = {"apiVersion": "modelyard.dev/v1alpha1", "kind": "Model", "metadata": {"name": "fraud"}, "spec": spec}

    with pytest.raises(access.KubectlError, match="the operator's own s3://modelyard/"):
        team.apply(model)
