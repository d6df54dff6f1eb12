"""Who may do what: a matrix of people and writes on the real API server, against an oracle written from DESIGN's tables."""

from __future__ import annotations

import asyncio
import copy
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.cluster.access import oracle, people, place, writes
from tests.cluster.access.fixtures import crowd, ground, quiet
from tests.cluster.node import layout, process
from tests.unit.api import objects

__all__ = ["crowd", "ground", "quiet"]  # fixtures

FEWEST = 500
"""Cases that the matrix has at least."""


@pytest.mark.asyncio(loop_scope="module")
async def test_the_matrix_has_no_hole(crowd: people.Crowd, ground: str) -> None:
    found = await _found(crowd["masters"], ground)
    tried = list(_matrix(crowd, writes.every(ground, found)))

    answers = await people.together(24, *(_try(login, write) for login, write in tried))

    wrong = []
    for (login, write), answer in zip(tried, answers, strict=True):
        expected = oracle.passes(login.person, write.told)
        if answer.passed != expected or (not answer.passed and answer.status not in {403, 422}):
            wrong.append(f"{login.person.name}: {write.called}: {'may' if expected else 'may not'}, but {answer.status} {answer.message}")
    assert len(tried) >= FEWEST
    assert wrong == [], f"{len(wrong)} of {len(tried)} are wrong:\n" + "\n".join(wrong[:60])


def _matrix(crowd: people.Crowd, tried: Sequence[writes.Write]) -> Iterator[tuple[people.Login, writes.Write]]:
    """Everybody tries every change, in one of the ways that the API has for it: the ways go round, so that each is tried by many.

    What serves is nobody's right, so only those try it who are of another sort each.
    """
    ways: dict[str, list[writes.Write]] = {}
    for write in tried:
        ways.setdefault(write.change, []).append(write)
    for at, same in enumerate(ways.values()):
        those = [login for login in crowd if login.person.name in people.SORTS] if same[0].about_serving else list(crowd)
        yield from ((login, same[(at + number) % len(same)]) for number, login in enumerate(those))


async def _found(login: people.Login, namespace: str) -> dict[tuple[str, str], people.Json]:
    """Every object of the namespace as it is, by kind and name."""
    found = {}
    for kind in place.PLURALS:
        answer = await login.send("GET", place.path(kind, namespace))
        api_version = answer.body["apiVersion"]
        for item in answer.body["items"]:
            item["metadata"].pop("managedFields", None)
            found[kind, item["metadata"]["name"]] = {"apiVersion": api_version, "kind": kind, **item}
    return found


async def _try(login: people.Login, write: writes.Write) -> people.Answer:
    """As a server-side dry run; again where only somebody's real write came between."""
    for _ in range(5):
        answer = await login.send(write.method, write.path, write.body(login.name), write.content, dryRun="All", **write.query)
        if answer.status != 409:
            return answer
        await asyncio.sleep(0)
    return answer


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("role", sorted(writes.BY_ROLE))
async def test_a_role_is_enough_for_its_part_and_for_no_other(crowd: people.Crowd, ground: str, quiet: Any, role: str) -> None:
    """Alice, with the ClusterRole and nothing else."""
    quiet.kubectl("create", "rolebinding", role, f"--clusterrole=modelyard-{role}", "--user=alice", f"--namespace={ground}")
    found = await _found(crowd["masters"], ground)
    samples = {write.called: write for write in writes.every(ground, found) if write.called in writes.PARTS}

    async with people.one(quiet, "alice") as alice:
        passed = {called for called, write in samples.items() if (await _try(alice, write)).passed}

    quiet.kubectl("delete", "rolebinding", role, f"--namespace={ground}")
    assert samples.keys() == set(writes.PARTS)
    assert passed == writes.BY_ROLE[role]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_refusal_says_what_is_missing_where_and_who_has_it(crowd: people.Crowd, ground: str) -> None:
    found = await _found(crowd["masters"], ground)
    tried = {write.called: write for write in writes.every(ground, found)}

    for (called, who), words in writes.SAID.items():
        said = (await _try(crowd[who], tried[called])).message
        assert [word for word in words if word.format(namespace=ground) not in said] == [], f"{called}: {said}"


@pytest.mark.asyncio(loop_scope="module")
async def test_the_largest_objects_fit_the_budget_of_the_policies(crowd: people.Crowd, ground: str) -> None:
    """Sixteen stages, made and all changed at once, and a Promotion with as many approvals as there may be."""
    largest = objects.largest_model()
    changed = copy.deepcopy(largest)
    for stage in changed["spec"]["stages"]:
        stage["autoPromote"], stage["serving"]["port"] = not stage.get("autoPromote"), 9999
    masters, address = crowd["masters"], place.path("Model", ground)

    made = await masters.send("POST", address, largest)
    answer = await masters.send("PATCH", f"{address}/{largest['metadata']['name']}", {"spec": changed["spec"]}, people.MERGE, dryRun="All")

    assert made.passed, made.message
    assert answer.passed, answer.message


@pytest.mark.asyncio(loop_scope="module")
async def test_a_namespace_that_is_deleted_is_let_go(crowd: people.Crowd, ground: str, quiet: Any) -> None:
    """With a Model that is Active and serves, a version that was Ready and serves, and a Promotion under way."""
    name = f"{ground}-ends"
    quiet.kubectl("create", "namespace", name)
    masters, operator = crowd["masters"], crowd["operator"]
    for one in (place.model(), place.version("1"), place.promotion("wait")):
        assert (await masters.send("POST", place.path(one["kind"], name), one)).passed
    serves = {"observedGeneration": 1, "stages": [{"name": "production", "serving": {"deployment": "fraud-production"}}]}
    patched = await operator.send("PATCH", place.path("Model", name, "fraud", "status"), {"status": serves}, people.MERGE)
    assert patched.passed, patched.message
    refused = await masters.send("DELETE", place.path("Model", name, "fraud"))

    quiet.kubectl("delete", "namespace", name, "--timeout=60s")

    assert "Retired" in refused.message


def test_pods_of_another_workload_cannot_pass_for_ours(ground: str, quiet: Any) -> None:
    """A Job may be made with our labels on its pods; Kubernetes' Job controller may not make those pods."""
    template = {"metadata": {"labels": place.labels()}, "spec": {**place.pod_spec(), "restartPolicy": "Never"}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "false"}, "spec": {"template": template}}
    quiet.kubectl("create", f"--namespace={ground}", "--filename=-", input=json.dumps(job))
    events = (
        "get",
        "events",
        f"--namespace={ground}",
        "--field-selector=involvedObject.name=false",
        "--output=jsonpath={.items[*].message}",
    )

    process.until("the Job to be refused its pods", 60, lambda: "denied request" in quiet.says(*events))

    assert "pod/false" not in quiet.kubectl("get", "pods", f"--namespace={ground}", "--output=name")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_platform_team_can_demand_two_approvals(crowd: people.Crowd, ground: str, quiet: Any, tmp_path: pathlib.Path) -> None:
    """The sample policy, on top of ours."""
    tried = tmp_path / "alone.json"
    sample = layout.REPOSITORY / "crds" / "policies" / "samples" / "two-approvals.yaml"
    address, masters = place.path("Model", ground), crowd["masters"]
    alone = place.model("fresh", stages=[{"name": "production", "gates": {"approvals": [{"name": "risk"}]}}])
    twice = place.model("fresh", stages=[{"name": "production", "gates": {"approvals": [{"name": "risk", "required": 2}]}}])
    tried.write_text(json.dumps(alone))
    quiet.kubectl("apply", "--filename", sample)
    try:
        process.until(
            "the sample to hold", 30, lambda: not quiet.says("create", "--dry-run=server", "--output=name", f"--filename={tried}")
        )
        answers = [
            await masters.send("POST", address, one, dryRun="All")
            for one in (
                place.model("fresh"),
                twice,
                alone,
                place.model("fresh", stages=None),
                place.model("fresh", stages=[{"name": "qa"}]),
            )
        ]
    finally:
        quiet.kubectl("delete", "--filename", sample)

    assert [answer.passed for answer in answers] == [True, True, False, False, True]
