"""Whatever the order of things, the same comes of it; and what has been said is not said again."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import world
from tests.stories import test_stories

STAGES: list[dict[str, Any]] = [
    {"name": "development", "autoPromote": True},
    {
        "name": "production",
        "gates": {"after": ["development"]},
        "serving": {"port": 8080, "template": {"spec": {"containers": [{"name": "server", "image": "serve:1"}]}}},
    },
    {"name": "guarded", "gates": {"after": ["development"], "approvals": [{"name": "risk"}]}},
]
SERVING = {"ConfigMap", "Deployment", "Service"}
MODEL: dict[str, Any] = {
    "kind": "Model",
    "metadata": {"name": "fraud"},
    "spec": {"owner": {"team": "t"}, "storage": {"uri": "s3://models/fraud/"}, "stages": STAGES},
}


def version(number: str) -> dict[str, Any]:
    artifact = {"uri": f"s3://models/fraud/{number}/", "format": "onnx", "text": number}
    return {
        "kind": "ModelVersion",
        "metadata": {"name": f"fraud-{number}", "annotations": {"modelyard.dev/changes": "1 ci"}},
        "spec": {"model": "fraud", "version": number, "artifact": artifact},
    }


def promotion(number: str, stage: str) -> dict[str, Any]:
    return {
        "kind": "Promotion",
        "metadata": {"name": f"to-{stage}"},
        "spec": {"model": "fraud", "version": number, "stage": stage, "requestedBy": "alice"},
    }


STEPS: list[dict[str, Any]] = [
    {"apply": MODEL},
    {"apply": version("1")},
    {"upload": {"s3://models/fraud/1/": "1"}},
    {"apply": promotion("1", "production")},
    {"apply": promotion("1", "guarded")},
]


def outcome(teller: test_stories.Teller) -> dict[str, str]:
    return dict(world.shown(teller.world))


async def play(steps: list[dict[str, Any]], *, restart: bool = False) -> test_stories.Teller:
    teller = test_stories.Teller(restart=restart)
    await teller.tell(yaml.safe_load(yaml.safe_dump(steps)))
    await teller.tell([{"after": "5m"}])
    return teller


@settings(deadline=None, max_examples=40)
@given(st.permutations(STEPS), st.booleans())
async def test_any_order_of_events_ends_in_the_same_place(steps: list[dict[str, Any]], restart: bool) -> None:
    expected = outcome(await play(STEPS))
    teller = await play(steps, restart=restart)

    assert outcome(teller) == expected
    assert "Deployment fraud-production" in expected
    assert expected["Promotion to-guarded"].startswith("AwaitingApproval Ready=False AwaitingApproval: risk: 0 of 1 approved")


WORDS = [("alice", "Approved"), ("bob", "Approved"), ("bob", "Withdrawn"), ("carol", "Rejected"), ("system:bot", "Approved")]


@settings(deadline=None, max_examples=20)
@given(st.lists(st.sampled_from(WORDS), max_size=4), st.booleans())
async def test_the_guarded_stage_is_granted_when_the_first_other_person_agrees_unless_one_said_no(
    words: list[tuple[str, str]], restart: bool
) -> None:
    teller = await play(STEPS, restart=restart)
    expected = next((said for who, said in words if (who, said) in {("bob", "Approved"), ("carol", "Rejected")}), None)

    await teller.tell([{"approve": {"promotion": "to-guarded", "user": who, "gate": "risk", "decision": said}} for who, said in words])

    phase = outcome(teller)["Promotion to-guarded"].split()[0]
    assert phase == {None: "AwaitingApproval", "Approved": "Succeeded", "Rejected": "Rejected"}[expected]


@settings(deadline=None, max_examples=15)
@given(st.permutations(STEPS))
async def test_at_rest_nothing_is_called_and_nothing_is_said(steps: list[dict[str, Any]]) -> None:
    teller = await play(steps)
    calls, lines = teller.world.calls, len(teller.lines)

    teller.enqueue(teller.cache.keys())
    await teller.settle()

    assert teller.world.calls == calls
    assert len(teller.lines) == lines


def told(teller: test_stories.Teller) -> dict[world.Place, Any]:
    """What only the operator writes: statuses, and what serves."""
    return {place: obj.get("status", "applied") for place, obj in teller.world.objects.items() if "status" in obj or place[0] in SERVING}


@settings(deadline=None, max_examples=10)
@given(st.permutations(STEPS), st.integers(0, len(STEPS)))
async def test_who_does_not_lead_writes_nothing_and_who_follows_ends_in_the_same_place(steps: list[dict[str, Any]], at: int) -> None:
    expected = outcome(await play(STEPS))
    teller = test_stories.Teller(restart=False)
    await teller.tell(yaml.safe_load(yaml.safe_dump(steps[:at])))
    before = told(teller)
    teller.fenced = True

    await teller.tell(yaml.safe_load(yaml.safe_dump(steps[at:])))

    assert told(teller) == before
    teller.fenced = False
    await teller.tell([{"after": "5m"}])
    assert outcome(teller) == expected
