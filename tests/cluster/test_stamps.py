"""What the API server stamps: who asked, what an approval is for, who changed what; and that tools which apply again and again leave it alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from modelyard.api import access
from modelyard.edge.cluster import client, policies
from tests.cluster.access import aside, people, place
from tests.cluster.access.fixtures import ground, quiet
from tests.cluster.node import layout

__all__ = ["ground", "quiet"]  # fixtures

Json = dict[str, Any]
ALICE, BOB, CAROL = "alice", "bob", "carol"


class Desk:
    """One namespace in which alice asks, and bob and carol approve, each with their own token."""

    def __init__(self, cluster: Any, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace

    def kubectl(self, *words: str, user: str = "admin", obj: Json | None = None) -> str:
        text = json.dumps(obj) if obj is not None else None
        return str(self.cluster.kubectl(*words, f"--namespace={self.namespace}", user=user, input=text))

    def apply(self, obj: Json, *words: str, user: str = "admin") -> None:
        self.kubectl("apply", "--filename=-", *words, user=user, obj=obj)

    def get(self, kind: str, name: str) -> Json:
        found: Json = json.loads(self.kubectl("get", kind, name, "--output=json"))
        return found

    def changes(self, kind: str = "model", name: str = "fraud") -> str | None:
        text = self.get(kind, name)["metadata"].get("annotations", {}).get(access.CHANGES)
        return text if text is None else str(text)

    def observe(self, kind: str, name: str, **status: Any) -> None:
        """Write a status as the operator would."""
        if generation := status.get("observedGeneration"):
            status["recorded"] = {"generation": generation, "spec": place.DIGEST}
        patch = json.dumps({"status": status})
        operator = f"--as={people.OPERATOR}"
        self.kubectl("patch", kind, name, "--subresource=status", "--type=merge", f"--patch={patch}", operator)

    def types(self, user: str, *words: str) -> subprocess.Popen[str]:
        """`modelyard` as somebody."""
        environment = {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig_for(user)), "PYTHONPATH": "operator:."}
        command = [sys.executable, "-m", "modelyard", *words, f"--namespace={self.namespace}"]
        return subprocess.Popen(command, env=environment, cwd=layout.REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture
def desk(quiet: Any, namespace: str) -> Desk:
    """Alice may promote, bob and carol approve; a Model that asks for two approvals."""
    made = Desk(quiet, namespace)
    for user, role in ((ALICE, "promoter"), (BOB, "approver"), (CAROL, "approver")):
        made.kubectl("create", "rolebinding", user, f"--clusterrole=modelyard-{role}", f"--user={user}")
    # What kubectl takes more than the operator, to write in its name.
    of = [f"--resource={kind}.modelyard.dev{sub}" for kind in ("models", "promotions") for sub in ("", "/status")]
    made.kubectl("create", "role", "operator", "--verb=get,patch", *of)
    made.kubectl("create", "rolebinding", "operator", "--role=operator", f"--user={people.OPERATOR}")
    made.apply(place.model())
    return made


def asked(desk: Desk, subject: str = place.NOW) -> None:
    """Alice's Promotion, about which people are asked now."""
    desk.apply(place.promotion("wait"), user=ALICE)
    gates = [{"gate": "risk", "required": 2}, {"gate": "business"}]
    desk.observe("promotion", "wait", observedGeneration=1, phase="AwaitingApproval", subject=subject, approvals=gates)


@pytest.mark.parametrize("words", [(), ("--server-side", "--force-conflicts")], ids=["client-side apply", "server-side apply"])
def test_applying_again_leaves_what_was_stamped_alone(desk: Desk, words: tuple[str, ...]) -> None:
    for _ in range(3):
        desk.apply(place.promotion("wait"), *words, user=ALICE)
    first = desk.get("promotion", "wait")
    desk.apply(place.promotion("wait"), *words, user=ALICE)

    assert desk.get("promotion", "wait") == first
    assert first["spec"]["requestedBy"] == ALICE
    assert first["metadata"]["annotations"][access.CHANGES] == "1 alice"


def test_replacing_a_promotion_keeps_who_asked_and_who_changed_it(desk: Desk) -> None:
    desk.apply(place.promotion("wait"), user=ALICE)

    desk.kubectl("replace", "--filename=-", user=ALICE, obj=place.promotion("wait", paused=True))

    assert desk.get("promotion", "wait")["spec"]["requestedBy"] == ALICE
    assert desk.changes("promotion", "wait") == "1 alice\n2 alice"


def test_every_change_of_a_spec_has_its_author_until_it_is_recorded(desk: Desk) -> None:
    assert desk.changes() == "1 admin"

    desk.apply(place.model(description="new"))
    desk.kubectl("label", "model", "fraud", "team=risk")
    desk.kubectl("patch", "model", "fraud", "--type=merge", '--patch={"spec":{"tags":{"a":"b"}}}', f"--as={people.OPERATOR}")
    assert desk.changes() == f"1 admin\n2 admin\n3 {people.OPERATOR}"
    assert desk.get("model", "fraud")["metadata"]["generation"] == 3

    desk.observe("model", "fraud", observedGeneration=2)
    assert desk.changes() == f"1 admin\n2 admin\n3 {people.OPERATOR}"
    desk.apply(place.model(description="newer"))
    assert desk.changes() == f"3 {people.OPERATOR}\n4 admin"
    desk.observe("model", "fraud", observedGeneration=4)
    desk.kubectl("label", "model", "fraud", "team=other", "--overwrite")
    assert desk.changes() is None


@pytest.mark.parametrize(
    "words",
    [
        ("annotate", "model", "fraud", f"{access.CHANGES}-"),
        ("annotate", "model", "fraud", f"{access.CHANGES}=1 mallory", "--overwrite"),
        ("annotate", "model", "fraud", f"{access.CHANGES}=1 admin\n2 mallory", "--overwrite"),
        ("patch", "model", "fraud", "--type=merge", '--patch={"metadata":{"annotations":null}}'),
    ],
    ids=["taken away", "another's name", "a line more", "all annotations gone"],
)
def test_forged_lines_are_put_back(desk: Desk, words: tuple[str, ...]) -> None:
    desk.kubectl(*words)

    assert desk.changes() == "1 admin"


def test_forged_lines_at_creation_are_put_right(desk: Desk) -> None:
    forged = place.promotion("wait")
    forged["metadata"]["annotations"] = {access.CHANGES: "1 mallory"}

    desk.apply(forged, user=ALICE)

    assert desk.changes("promotion", "wait") == "1 alice"


def test_who_changed_what_is_bounded(desk: Desk) -> None:
    """With the operator away, the first and the last 63 are kept, and the gap shows that some are not."""
    patches = [[{"op": "add", "path": "/spec/tags", "value": {"n": str(number)}}] for number in range(70)]
    for patch in patches:
        desk.kubectl("patch", "model", "fraud", "--type=json", f"--patch={json.dumps(patch)}")

    kept = access.changes.read(desk.changes() or "")

    assert list(kept) == [1, *range(9, 72)]


def test_two_people_approve_at_once_from_the_command_line(desk: Desk) -> None:
    asked(desk)

    racing = [desk.types(user, "approve", "wait", "--gate", "risk", "--comment", f"{user} has read it") for user in (BOB, CAROL)]
    said = [one.communicate(timeout=60) for one in racing]

    assert [one.returncode for one in racing] == [0, 0], said
    assert all(f"subject: {place.NOW}" in errors for _, errors in said)
    approvals = sorted(desk.get("promotion", "wait")["spec"]["approvals"], key=lambda one: str(one["user"]))
    assert approvals == [
        {"user": user, "gate": "risk", "decision": "Approved", "subject": place.NOW, "comment": f"{user} has read it"}
        for user in (BOB, CAROL)
    ]
    assert sorted(access.changes.read(desk.changes("promotion", "wait") or "").values()) == [BOB, CAROL]


def typed(desk: Desk, user: str, *words: str) -> tuple[int, str]:
    running = desk.types(user, *words)
    out, errors = running.communicate(timeout=60)
    return running.returncode, out + errors


def test_approving_is_refused_with_its_reason(desk: Desk) -> None:
    asked(desk)

    code, said = typed(desk, BOB, "approve", "wait", "--gate", "risk", "--subject", place.OTHER)
    assert (code, "what is asked has changed meanwhile" in said) == (3, True), said
    code, said = typed(desk, BOB, "approve", "wait")
    assert (code, "--gate: one of risk, business" in said) == (2, True), said
    code, said = typed(desk, ALICE, "approve", "wait", "--gate", "risk")
    assert (code, "verb approve on models/production/risk" in said) == (3, True), said
    desk.kubectl("create", "rolebinding", "alice-too", "--clusterrole=modelyard-approver", f"--user={ALICE}")
    code, said = typed(desk, ALICE, "approve", "wait", "--gate", "risk")
    assert (code, "four eyes" in said) == (3, True), said
    desk.observe("promotion", "wait", phase="RollingOut")
    code, said = typed(desk, BOB, "reject", "wait", "--gate", "risk")
    assert (code, "nobody is asked" in said) == (3, True), said


def test_an_approval_is_rejected_withdrawn_and_given_anew_for_what_is_asked_now(desk: Desk) -> None:
    def mine() -> list[tuple[str, str]]:
        return [(one["decision"], one["subject"]) for one in desk.get("promotion", "wait")["spec"]["approvals"]]

    asked(desk)
    assert typed(desk, BOB, "approve", "wait", "--gate", "risk")[0] == 0
    desk.observe("promotion", "wait", observedGeneration=2, subject=place.OTHER)
    assert mine() == [("Approved", place.NOW)]
    assert typed(desk, BOB, "approve", "wait", "--gate", "risk")[0] == 0
    assert mine() == [("Approved", place.OTHER)]
    desk.observe("promotion", "wait", phase="Pending")
    assert typed(desk, BOB, "withdraw", "wait", "--gate", "risk")[0] == 0
    assert mine() == [("Withdrawn", place.OTHER)]
    assert desk.changes("promotion", "wait") == "3 bob\n4 bob"


async def test_the_probe_knows_whether_the_policies_hold(desk: Desk, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the operator's own account, with what the chart lets it do."""
    desk.observe("model", "fraud", observedGeneration=1)
    view = json.loads(desk.cluster.kubectl("config", "view", "--raw", "--flatten", "--output=json"))
    view["users"][0]["user"] = {"token": desk.cluster.token(layout.NAMESPACE, "modelyard")}
    (tmp_path / "operator").write_text(json.dumps(view))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "operator"))

    async with client.Cluster.connect() as server:
        assert await policies.probe(server, desk.namespace) == []
        with aside.aside(desk.cluster):
            assert await policies.probe(server, desk.namespace) == [
                "changes", "metadata", "models", "operator", "promotions", "serving", "status", "versions",
            ]  # fmt: skip
        assert await policies.probe(server, desk.namespace) == []
