"""The probe against an API server that enforces only some of the policies."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest

from modelyard import edge
from modelyard.api import access
from modelyard.api.access import probe
from modelyard.api.reason import Reason
from modelyard.edge.cluster import client, policies

ME = "system:serviceaccount:modelyard-system:modelyard"
ALL = ["changes", "metadata", "models", "operator", "promotions", "serving", "status", "versions"]
Json = dict[str, Any]


@dataclasses.dataclass
class Pretended:
    """An API server with a Model, where these policies are in force."""

    holds: list[str]
    stamps: bool = True
    models: int = 1
    refuses_all: str = ""
    conflicts: bool = False
    taken: frozenset[str] = frozenset()
    """Names of Promotions that are there."""
    always_taken: bool = False
    ending: frozenset[str] = frozenset()
    """Namespaces that are being deleted."""
    sent: list[Json] = dataclasses.field(default_factory=list)

    async def whoami(self) -> str:
        return ME

    async def create(self, obj: Json, *, dry_run: bool) -> Json:
        assert dry_run
        self.sent.append(obj)
        named = {one.obj["metadata"]["name"] + one.obj["kind"]: one.policy for one in probe.forbidden("ours", ME)}
        policy = named.get(obj["metadata"]["name"] + obj["kind"], "changes")
        if obj["metadata"]["namespace"] in self.ending:
            raise client.Refused(403, "unable to create new content in namespace risk because it is being terminated")
        if self.refuses_all:
            raise client.Refused(403, self.refuses_all)
        if policy != "changes" or not self.stamps:
            self._judge(policy)
        if self.always_taken or obj["metadata"]["name"] in self.taken:
            raise client.Conflict("exists")
        annotations = (
            {access.CHANGES: access.changes.line(1, ME)} if self.stamps and "changes" in self.holds else obj["metadata"]["annotations"]
        )
        return {**obj, "metadata": {**obj["metadata"], "annotations": annotations}}

    async def list(self, kind: client.Kind, namespace: str | None = None, **query: str) -> AsyncIterator[Json]:
        assert (kind, query) == (client.MODEL, {"limit": "1"})
        for _ in range(self.models):
            yield {
                "metadata": {"name": "fraud", "namespace": namespace or "anywhere", "resourceVersion": "7"},
                "status": {"observedGeneration": 1},
            }

    async def write_status(
        self, kind: client.Kind, namespace: str, name: str, resource_version: str, status: Json, *, dry_run: bool
    ) -> Json:
        assert dry_run
        assert status["observedGeneration"] == probe.FUTURE
        if self.conflicts:
            raise client.Conflict("changed meanwhile")
        self._judge("status")
        return {}

    def _judge(self, policy: str) -> None:
        if policy in self.holds:
            raise client.Refused(
                403, f"denied: ValidatingAdmissionPolicy 'modelyard-{policy}' with binding 'modelyard-{policy}' denied request"
            )


@pytest.mark.parametrize("stamps", [True, False], ids=["from 1.36", "before 1.36"])
async def test_nothing_is_missing_where_all_hold(stamps: bool) -> None:
    server = Pretended(ALL, stamps)

    assert await policies.probe(server, "ours") == []
    assert {one["metadata"]["namespace"] for one in server.sent} == {"ours"}


@pytest.mark.parametrize("policy", ALL)
@pytest.mark.parametrize("stamps", [True, False], ids=["from 1.36", "before 1.36"])
async def test_one_that_does_not_hold_is_named(policy: str, stamps: bool) -> None:
    assert await policies.probe(Pretended([one for one in ALL if one != policy], stamps), "ours") == [policy]


async def test_another_ones_policy_proves_nothing() -> None:
    assert await policies.probe(Pretended(ALL, stamps=False), "ours", "acme") == ALL
    assert await policies.probe(Pretended(ALL, stamps=False), "ours", "yard") == ALL


async def test_an_installation_without_the_guard_needs_none() -> None:
    assert await policies.probe(Pretended([one for one in ALL if one != "serving"]), "ours", guards=False) == []


async def test_all_are_named_where_none_is_installed() -> None:
    assert await policies.probe(Pretended([]), "ours") == ALL


async def test_a_refusal_by_anything_else_proves_nothing() -> None:
    server = Pretended(ALL, refuses_all='models.modelyard.dev is forbidden: User "x" cannot create resource "models"')

    assert await policies.probe(server, "ours") == [one for one in ALL if one != "status"]


async def test_without_a_model_there_is_no_status_to_guard_and_a_changed_one_is_asked_again_later() -> None:
    assert await policies.probe(Pretended([one for one in ALL if one != "status"], models=0), "ours") == []
    assert await policies.probe(Pretended(ALL, conflicts=True), "ours") == []


@pytest.mark.parametrize("stamps", [True, False], ids=["from 1.36", "before 1.36"])
async def test_a_promotion_of_the_probes_name_is_no_answer(stamps: bool) -> None:
    taken = frozenset({"modelyard-probe", "modelyard-probe-signed", "modelyard-probe-large", "modelyard-probe-0", "modelyard-probe-bare"})

    assert await policies.probe(Pretended(ALL, stamps, taken=taken), "ours") == []
    assert await policies.probe(Pretended([one for one in ALL if one != "changes"], stamps, taken=taken), "ours") == ["changes"]


async def test_names_that_are_all_taken_say_nothing() -> None:
    with pytest.raises(edge.Unavailable, match="names in a row were taken"):
        await policies.probe(Pretended(ALL, always_taken=True), "ours")


async def test_a_namespace_that_ends_jams_nothing_where_there_is_another() -> None:
    server = Pretended(ALL, ending=frozenset({"risk"}))

    assert await policies.probe(server, "risk", elsewhere=["marketing"]) == []
    assert await policies.probe(Pretended(["status"], ending=frozenset({"risk"})), "risk", elsewhere=["marketing"]) == [
        one for one in ALL if one != "status"
    ]


async def test_it_is_said_who_refused_instead() -> None:
    webhook = 'admission webhook "quota.example.com" denied the request: no more objects'
    told = await policies.phrases(Pretended(ALL, refuses_all=webhook), ["ours"], "modelyard", guards=True, models_in=[None])

    assert [one for one in told if webhook not in one] == []
    assert [one.split()[0] for one in told] == [one for one in ALL if one != "status"]
    assert await policies.phrases(Pretended([]), ["ours"], "modelyard", guards=True, models_in=["ours"]) == ALL


async def test_an_api_server_that_does_not_answer_says_nothing() -> None:
    class Silent(Pretended):
        async def whoami(self) -> str:
            raise edge.Unavailable(Reason.CLUSTER_UNAVAILABLE, "no answer")

    with pytest.raises(edge.Unavailable):
        await policies.probe(Silent(ALL), "ours")
