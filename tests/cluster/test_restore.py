"""What the cluster loses, the ledger gives back: all objects, an older etcd, another cluster; and what serves goes on serving."""

from __future__ import annotations

import contextlib
import pathlib
import secrets
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.cluster import installed, lost, test_leader
from tests.cluster.access import older
from tests.cluster.lost import Moved, Second, Team
from tests.cluster.node import backup, layout, process
from tests.cluster.test_main_job import stage

DECIDED = {"Deleted", "Granted", "Requested", "Ended", "Rollout", "Decommissioned", "Retired"}
"""What no record may tell of a restore: none of it happened."""
LATER = 25.0
"""Seconds after which what is recorded cannot be told from the last words of a leader that was killed, see `reconcile.RENEWED`."""


@pytest.fixture
def team(operator: Any, namespace: str) -> Team:
    """A team whose bucket has Object Lock, so that what runs is held."""
    bucket = f"locked-{namespace}"
    operator.store.create(bucket, lock=True)
    return Team(operator, namespace, bucket)


def test_when_every_object_is_lost_all_comes_back_and_serving_never_noticed(team: Team) -> None:
    team.model(stage("staging", autoPromote=True), stage("production", replicas=2, gates={"after": ["staging"]}))
    team.kubectl("patch", "mdl", "fraud", "--type=merge", "-p", '{"spec": {"aliases": {"champion": "1"}}}')
    for version in ("1", "2"):
        team.register(version, team.upload(version, f"bytes of {version}"))
        team.wait_phase("promo", f"fraud-{version}-staging", "Succeeded")
        team.promote(version, "production", reason="CAB-1")
        team.wait_phase("promo", f"fraud-{version}-production", "Succeeded")
    team.promote("1", "production", "back", rollback=True)
    team.wait_phase("promo", "back", "Succeeded")
    team.register("3", "sha256:" + "0" * 64)  # whose bytes are not there yet
    team.wait(lambda: team.held("1"), "what runs to be held")
    team.wait(lambda: team.condition("mv", "fraud-3") != {}, "version 3 to be looked at")
    team.wait(lambda: not team.get("mv", "fraud-2")["status"].get("stages", [{}])[1:], "version 2 to be let go by production")
    manifests = [lost.kept(one) for one in team.listed("promotions")]
    before = team.specs(), team.statuses(), team.templates(), team.pods(), team.outcomes()
    sequence = team.recorded()

    with lost.probed(team, "production") as prober:
        team.cluster.kubectl("delete", "crd", *(f"{kind}.modelyard.dev" for kind in lost.KINDS), "--timeout=60s")
        installed.uninstall(team.cluster)
        installed.install(team.cluster)
        team.wait(lambda: set(team.phases()) >= {"fraud-1", "fraud-2", "fraud-3"}, "the versions to come back")
        team.wait(lambda: team.phases()["fraud-1"] == "Ready" and team.phases()["fraud-2"] == "Ready", "their bytes to be read again")
        team.wait(lambda: team.statuses() == before[1], "status and stages to be as they were")
        team.apply(*manifests)
        team.wait(lambda: len(team.outcomes()) == len(manifests) and all(end for _, end in team.outcomes().values()), "old outcomes")

    assert team.specs() == before[0]
    assert team.statuses() == before[1]
    assert team.templates() == before[2]
    assert team.pods() == before[3]
    assert team.outcomes() == before[4]
    assert set(prober.answers) == {"bytes of 1"}
    told = team.facts(sequence)
    assert "Restored Model/fraud" in told
    assert not [line for line in told if line.split()[0] in {*DECIDED, "Serving"}]
    assert team.get("promo", "fraud-1-production")["status"].get("startedAt") is None
    assert "ran before" in team.condition("promo", "fraud-2-production")["message"]

    team.promote("2", "production", "again")
    team.wait_phase("promo", "again", "Succeeded")
    team.wait(lambda: team.held("2") and not team.held("1"), "the hold of before the loss to be lifted when it is due")


def test_where_git_is_faster_than_the_operator_a_person_adds_what_it_lacks(team: Team) -> None:
    team.model(stage("production", autoPromote=True, replicas=1))
    team.register("1", team.upload("1", "bytes of 1"))
    team.wait_phase("promo", "fraud-1-production", "Succeeded")
    manifests = [lost.kept(team.get(*one)) for one in (("mdl", "fraud"), ("mv", "fraud-1"))]
    team.kubectl("patch", "mv", "fraud-1", "--type=merge", "-p", '{"spec": {"metrics": {"auc": 0.93}}}')
    team.wait(lambda: team.recorded_spec("mv", "fraud-1") == 2, "the metric to be recorded")
    before, pods = team.specs(), team.pods()

    with lost.probed(team, "production") as prober:
        team.cluster.kubectl("delete", "crd", *(f"{kind}.modelyard.dev" for kind in lost.KINDS), "--timeout=60s")
        installed.uninstall(team.cluster)
        installed.install(team.cluster, "replicas=0")
        team.apply(*manifests)
        installed.install(team.cluster)
        team.wait(lambda: team.phases()["fraud-1"] == "Reused", "the version to be Reused")
        assert "metrics/auc as well" in team.condition("mv", "fraud-1")["message"]
        told = lost.modelyard(team, "restore", "fraud")
        assert (told.returncode, "it adds metrics/auc to the ModelVersion fraud-1: add --yes" in told.stderr) == (2, True), told
        done = lost.modelyard(team, "restore", "fraud", "--yes")
        assert done.returncode == 0, done
        team.wait(lambda: team.phases()["fraud-1"] == "Ready", "the name to mean what it meant")
        team.wait(lambda: team.standing()[0]["current"] == "1", "production to be at it")

    assert team.specs() == before
    assert team.pods() == pods
    assert set(prober.answers) == {"bytes of 1"}


def goes_on(team: Team, staging: Any) -> None:
    """What happens after the backup: other rules and another stage, versions, promotions, a metric."""
    team.model(staging, stage("production"), {"name": "audit"})
    team.register("2", team.upload("2", "bytes of 2"))
    team.register("3", "sha256:" + "0" * 64)  # whose bytes are not there yet
    team.promote("2", "production")
    team.promote("1", "audit")
    team.kubectl("patch", "mv", "fraud-1", "--type=merge", "-p", '{"spec": {"metrics": {"auc": 0.93}}}')
    team.wait_phase("promo", "fraud-2-production", "Succeeded")
    team.wait_phase("promo", "fraud-1-audit", "Succeeded")
    team.wait(lambda: team.held("2"), "what runs now to be held")
    team.wait(lambda: team.recorded_spec("mv", "fraud-1") == 2, "the new metric to be recorded")


def test_an_older_etcd_is_held_as_behind_until_a_person_restores_and_what_did_not_change_never_stops(
    team: Team, tmp_path: pathlib.Path
) -> None:
    """What is ours and what is Kubernetes's.

    Ours: nothing is recorded as deleted, rolled back or granted; the stages are as the ledger has them, from the first look on; versions and
    specs come back. Kubernetes's: with the older etcd its controllers no longer know the pods that production began after the backup, and the
    kubelet ends pods that the API server does not know, whoever made them. So production's pods are others afterwards, of version 1 until the
    operator has applied what production is at; staging, which did not change since the backup, keeps its very pods.
    """
    stages = stage("staging"), stage("production", gates={"after": ["staging"]})
    team.model(*stages)
    team.register("1", team.upload("1", "bytes of 1"))
    for name in ("staging", "production"):
        team.promote("1", name)
        team.wait_phase("promo", f"fraud-1-{name}", "Succeeded")
    team.wait(lambda: team.held("1"), "what runs to be held")
    staging = team.pods("staging")
    backup.take(tmp_path / "etcd")
    taken = time.monotonic()

    goes_on(team, stages[0])
    team.wait(lambda: time.monotonic() - taken > LATER, "the Lease to be older than what was recorded since", LATER)
    production = team.pods("production")
    before = team.specs(), team.statuses(), team.outcomes()
    manifests = [lost.kept(one) for one in team.listed("promotions")]
    sequence = team.recorded()

    with lost.probed(team, "staging") as prober:
        backup.restore(tmp_path / "etcd")
        team.wait(lambda: team.condition("mdl", "fraud").get("reason") == "Behind", "the Model to be Behind", 90)
        team.wait(lambda: team.served("production") == "bytes of 2", "production to serve what it is at")
        team.promote("1", "production", "meanwhile", rollback=True)
        team.wait(lambda: team.condition("promo", "meanwhile").get("reason") == "Behind", "a rollback to wait as well")
        assert team.facts(sequence) == []
        assert team.specs() != before[0]
        told = lost.modelyard(team, "restore", "fraud")
        assert (told.returncode, "add --yes" in told.stderr) == (2, True), told
        assert "ModelVersion fraud-1" in told.stderr
        assert "Model fraud (" in told.stderr
        team.kubectl("delete", "promo", "meanwhile")
        done = lost.modelyard(team, "restore", "fraud", "--yes")
        assert done.returncode == 0, done.stderr

        team.wait(lambda: team.condition("mdl", "fraud").get("reason") == "Ready", "the Model to be Ready")
        team.wait(lambda: team.phases().get("fraud-2") == "Ready" and "fraud-3" in team.phases(), "what was registered since to come back")
        team.wait(lambda: team.statuses() == before[1], "status and stages to be as they were")
        team.apply(*manifests)
        team.wait(lambda: len(team.outcomes()) == len(manifests) and all(end for _, end in team.outcomes().values()), "old outcomes")

    assert team.specs() == before[0]
    assert team.outcomes() == before[2]
    assert team.pods("staging") == staging
    assert not production.keys() & team.pods("production").keys()
    assert set(prober.answers) == {"bytes of 1"}
    told_since = team.facts(sequence)
    assert "Restored Model/fraud" in told_since
    # What a person asked for meanwhile, and took back, did happen.
    assert not [line for line in told_since if line.split()[0] in DECIDED and not line.endswith("/meanwhile")]
    again = lost.modelyard(team, "restore", "fraud", "--yes")
    assert (again.returncode, "nothing is put back" in again.stderr) == (0, True), again


@pytest.fixture
def moved(operator: Any) -> Iterator[Moved]:
    """It is gone before the installed operator, whose registry is another one, is back."""
    name = f"test-{secrets.token_hex(4)}"
    with test_leader.without_pods(operator):
        operator.kubectl("create", "namespace", name)
        yield Moved(operator, name)
        operator.kubectl("delete", "namespace", name, "--timeout=60s")


@pytest.fixture
def second(operator: Any, tmp_path: pathlib.Path) -> Iterator[Second]:
    """An API server with the kinds and policies, and no kubelet."""
    folder = tmp_path / "second"
    folder.mkdir()
    with older.running(folder) as address:
        shutil.copy(older.kubeconfig(folder, address, "admin"), folder / "admin")
        older.kubeconfig(folder, address, "operator")
        cluster = Second(folder, operator.program, operator.load, routed=False, first=operator)
        process.until("the second API server", 60, lambda: cluster.says("get", "--raw", "/readyz") == "ok")
        cluster.kubectl("create", "--filename=-", input=yaml.safe_dump_all(older.manifests()))
        cluster.kubectl("create", "namespace", layout.NAMESPACE)
        yield cluster


def test_another_cluster_leads_only_after_it_took_the_registry_over_and_then_the_first_stops(
    moved: Moved, second: Second, tmp_path: pathlib.Path
) -> None:
    log, there = tmp_path / "first.log", second.kubeconfigs / "kubeconfig-operator"
    here, yonder = (one.kubectl("get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}") for one in (moved.cluster, second))
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(moved.operates(test_leader.PORTS[0], log))
        test_leader.until(first.leads, "the first to lead", 30, first)
        moved.model(stage("production", autoPromote=True))
        moved.goes_on("1")
        before = moved.statuses(), moved.pods()
        prober = stack.enter_context(lost.probed(moved, "production"))
        other = stack.enter_context(moved.operates(test_leader.PORTS[1], tmp_path / "other.log", there))
        test_leader.until(lambda: other.says().startswith("does not decide"), "the second to say that it may not lead", 30, other)
        assert f"belongs to the cluster {here}, and this is {yonder}" in other.says()
        assert "modelyard restore --take-over" in other.says()

        asked = lost.modelyard(moved, "restore", "--take-over", kubeconfig=second.kubeconfig, registry=moved.registry)
        assert (asked.returncode, "add --yes" in asked.stderr) == (2, True), asked
        assert first.leads()
        refused = lost.modelyard(moved, "restore", "--take-over", "--yes", kubeconfig=second.kubeconfig, registry=moved.registry)
        assert (refused.returncode, "modelyard ledger trust" in refused.stderr) == (3, True), refused
        trust = ("ledger", "trust", moved.signer(), "--yes")
        trusted = lost.modelyard(moved, *trust, kubeconfig=second.kubeconfig, registry=moved.registry, namespaced=False)
        assert trusted.returncode == 0, trusted
        done = lost.modelyard(moved, "restore", "--take-over", "--yes", kubeconfig=second.kubeconfig, registry=moved.registry)
        assert (done.returncode, "epoch 2" in done.stderr) == (0, True), done
        assert first.process.wait(20) == 1
        assert f"belongs to the cluster {yonder}, and this is {here}" in log.read_text()
        test_leader.until(other.leads, "the second to lead", 30, other)
        missing = f"the namespace {moved.namespace} does not exist"
        test_leader.until(lambda: missing in other.log.read_text(), "the second to name what it lacks", 30, other)
        written = moved.recorded(moved.registry)
        again = stack.enter_context(moved.operates(test_leader.PORTS[0], log))
        test_leader.until(lambda: again.says().startswith("does not decide"), "the first not to lead again", 30, again)

        second.kubectl("create", "namespace", moved.namespace)
        elsewhere = Moved(second, moved.namespace)  # with its Secret
        elsewhere.wait(lambda: elsewhere.phases().get("fraud-1") == "Ready", "the version to come to the second cluster")
        elsewhere.wait(lambda: elsewhere.standing() == moved.standing(), "the stage to be at what it was at")
        assert elsewhere.specs() == moved.specs()
        assert [one["metadata"]["name"] for one in elsewhere.listed("deployments")] == ["fraud-production"]
        assert (moved.statuses(), moved.pods()) == before
        assert set(prober.answers) == {"1"}
        told = moved.facts(written, moved.registry)
        assert told[0] == "Restored Model/fraud"
        assert not [line for line in told if line.split()[0] in DECIDED]

    assert moved.recorded_of_operators()[-3:] == [f"TakenOver {yonder} 2", "TermBegan 2", "TermEnded 2"]
    verified = lost.modelyard(moved, "ledger", "verify", kubeconfig=second.kubeconfig, registry=moved.registry)
    assert verified.returncode == 0, verified
