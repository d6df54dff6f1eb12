"""Before Kubernetes 1.36 nothing is stamped: the writer's client signs, and the policies check it."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from modelyard.api import access
from modelyard.cli.reach import cluster
from modelyard.edge.cluster import client, policies
from tests.cluster.access import older, people, place
from tests.cluster.node import layout

Json = dict[str, Any]
MODEL = place.path("Model", "default", "fraud")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("older")


@pytest.fixture(scope="module")
def address(folder: pathlib.Path) -> Iterator[str]:
    with older.running(folder) as at:
        yield at


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def admin(address: str) -> AsyncIterator[people.Login]:
    """The admin, once the kinds are served and the policies hold."""
    async with older.login(address, "admin") as login:
        await older.install(login, older.manifests())
        await older.until(lambda: _refused(login))
        yield login


async def _refused(login: people.Login) -> bool:
    answer = await login.send("POST", place.path("Model", "default"), place.model(), dryRun="All")
    return "ValidatingAdmissionPolicy" in answer.message


def signed(obj: Json, text: str) -> Json:
    return {**obj, "metadata": {**obj["metadata"], "annotations": {access.CHANGES: text}}}


async def change(login: people.Login, description: str | None = None, text: str | None = None, **query: str) -> people.Answer:
    """Change the Model's description, and what its annotation says (empty: take it away)."""
    patch: Json = {"spec": {"description": description}} if description else {}
    if text is not None:
        patch["metadata"] = {"annotations": {access.CHANGES: text or None}}
    return await login.send("PATCH", MODEL, patch, people.MERGE, **query)


@pytest.mark.asyncio(loop_scope="module")
async def test_it_cannot_stamp(admin: people.Login) -> None:
    resources = (await admin.send("GET", "/apis/admissionregistration.k8s.io/v1")).body["resources"]

    assert "validatingadmissionpolicies" in {one["name"] for one in resources}
    assert "mutatingadmissionpolicies" not in {one["name"] for one in resources}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_change_has_to_be_signed_by_its_author(admin: people.Login, address: str) -> None:
    unsigned = await admin.send("POST", place.path("Model", "default"), place.model())
    forged = await admin.send("POST", place.path("Model", "default"), signed(place.model(), "1 alice"))
    made = await admin.send("POST", place.path("Model", "default"), signed(place.model(), "1 admin"))
    assert (unsigned.status, forged.status, made.status) == (403, 403, 201)
    assert '"1 admin"' in unsigned.message

    later = {
        "unsigned": await change(admin, "new"),
        "another's": await change(admin, "new", "1 admin\n2 alice"),
        "the first one gone": await change(admin, "new", "2 admin"),
        "of no change": await change(admin, None, "1 admin\n2 admin"),
        "taken away": await change(admin, None, ""),
        "signed": await change(admin, "new", "1 admin\n2 admin"),
    }
    assert {called: answer.status for called, answer in later.items()} == dict.fromkeys(later, 403) | {"signed": 200}

    async with older.login(address, "operator") as operator:
        observed = {"status": {"observedGeneration": 2, "recorded": {"generation": 2, "spec": place.DIGEST}}}
        assert (await operator.send("PATCH", f"{MODEL}/status", observed, people.MERGE)).passed
    recorded = [
        await change(admin, "newer", text, dryRun="All")
        for text in ("3 admin", "1 admin\n2 admin\n3 admin", "2 admin\n3 admin", "1 admin\n2 admin")
    ]
    assert [answer.status for answer in recorded] == [200, 200, 403, 403]
    assert (await change(admin, None, "")).passed


@pytest.mark.asyncio(loop_scope="module")
async def test_the_command_line_signs_by_itself(admin: people.Login, folder: pathlib.Path, address: str) -> None:
    def types(*words: str) -> None:
        environment = {**os.environ, "KUBECONFIG": str(older.kubeconfig(folder, address, "admin")), "PYTHONPATH": "operator:."}
        command = [sys.executable, "-m", "modelyard", *words]
        done = subprocess.run(command, env=environment, cwd=layout.REPOSITORY, text=True, capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr

    versions, waiting = place.path("ModelVersion", "default"), place.path("Promotion", "default", "fraud-1-production")
    assert (await admin.send("POST", versions, signed(place.version("1"), "1 admin"))).passed
    types("promote", "fraud", "1", "production")
    asked = (await admin.send("GET", waiting)).body
    assert asked["spec"]["requestedBy"] == "admin"
    assert asked["metadata"]["annotations"][access.CHANGES] == "1 admin"

    async with older.login(address, "operator") as operator:
        status = {"phase": "AwaitingApproval", "subject": place.NOW, "recorded": {"generation": 1, "spec": place.DIGEST}}
        assert (await operator.send("PATCH", f"{waiting}/status", {"status": status}, people.MERGE)).passed
    types("reject", "fraud-1-production", "--gate", "risk")
    answered = (await admin.send("GET", waiting)).body
    assert answered["spec"]["approvals"] == [{"user": "admin", "gate": "risk", "decision": "Rejected", "subject": place.NOW}]
    assert answered["metadata"]["annotations"][access.CHANGES] == "2 admin"

    for verb in ("pause", "resume", "abort"):
        types(verb, "fraud-1-production")
    steered = (await admin.send("GET", waiting)).body
    assert (steered["spec"]["paused"], steered["spec"]["abort"]) == (False, True)
    assert steered["metadata"]["annotations"][access.CHANGES] == "2 admin\n3 admin\n4 admin\n5 admin"


@pytest.mark.asyncio(loop_scope="module")
async def test_the_command_line_signs_what_it_applies_when_that_changes_anything(
    admin: people.Login, folder: pathlib.Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(older.kubeconfig(folder, address, "admin")))

    def applied(**spec: Any) -> str:
        one = place.version("7")
        wanted = {**one, "metadata": {**one["metadata"], "namespace": "default"}, "spec": {**one["spec"], **spec}}
        made = cluster.Registry(None, "default").apply(wanted)
        return str(made["metadata"]["annotations"][access.CHANGES])

    def lines() -> list[str]:
        return [applied(), applied(), applied(tags={"team": "payments"}), applied(tags={"team": "payments"})]

    assert await asyncio.to_thread(lines) == ["1 admin", "1 admin", "1 admin\n2 admin", "1 admin\n2 admin"]


@pytest.mark.asyncio(loop_scope="module")
async def test_who_asks_says_so(admin: people.Login) -> None:
    address = place.path("Promotion", "default")
    silent = await admin.send("POST", address, signed(place.promotion("new"), "1 admin"))
    other = await admin.send("POST", address, signed(place.promotion("new", requestedBy="alice"), "1 admin"))
    own = await admin.send("POST", address, signed(place.promotion("new", requestedBy="admin"), "1 admin"))

    assert (silent.status, other.status, own.status) == (403, 403, 201)
    assert "before Kubernetes 1.36 write it" in silent.message


@pytest.mark.asyncio(loop_scope="module")
async def test_the_probe_finds_every_policy_in_force(
    admin: people.Login, folder: pathlib.Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await admin.send("GET", MODEL)).passed
    monkeypatch.setenv("KUBECONFIG", str(older.kubeconfig(folder, address, "operator")))

    async with client.Cluster.connect() as server:
        assert await policies.probe(server, "default") == []


@pytest.mark.asyncio(loop_scope="module")
async def test_where_unsigned_changes_are_let_in_forged_ones_are_not(admin: people.Login) -> None:
    """As with policies.signedChanges=false."""
    path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/modelyard-changes"
    policy = (await admin.send("GET", path)).body
    checks = [one for one in policy["spec"]["validations"] if "lacks the line" not in one["message"]]
    assert (await admin.send("PATCH", path, {"spec": {"validations": checks}}, people.MERGE)).passed
    unsigned = place.model("fresh")

    async def let_in() -> bool:
        return (await admin.send("POST", place.path("Model", "default"), unsigned, dryRun="All")).passed

    await older.until(let_in)

    forged = await admin.send("POST", place.path("Model", "default"), signed(unsigned, "1 alice"), dryRun="All")
    assert forged.status == 403
    assert json.loads(json.dumps(checks)) != policy["spec"]["validations"]
