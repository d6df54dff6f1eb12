"""Whatever the order of things, the same comes of it; and what has been said is not said again."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stories import pretend, test_stories

STAGES = [
    {"name": "development", "autoPromote": True},
    {
        "name": "production",
        "gates": {"after": ["development"]},
        "serving": {"port": 8080, "template": {"spec": {"containers": [{"name": "server", "image": "serve:1"}]}}},
    },
    {"name": "guarded", "gates": {"after": ["development"], "approvals": [{"name": "risk"}]}},
]
MODEL = {
    "kind": "Model",
    "metadata": {"name": "fraud"},
    "spec": {"owner": {"team": "t"}, "storage": {"uri": "s3://models/fraud/"}, "stages": STAGES},
}


def version(number: str) -> dict[str, Any]:
    artifact = {"uri": f"s3://models/fraud/{number}/", "format": "onnx", "text": number}
    return {
        "kind": "ModelVersion",
        "metadata": {"name": f"fraud-{number}"},
        "spec": {"model": "fraud", "version": number, "artifact": artifact},
    }


def promotion(number: str, stage: str) -> dict[str, Any]:
    return {"kind": "Promotion", "metadata": {"name": f"to-{stage}"}, "spec": {"model": "fraud", "version": number, "stage": stage}}


STEPS: list[dict[str, Any]] = [
    {"apply": MODEL},
    {"apply": version("1")},
    {"upload": {"s3://models/fraud/1/": "1"}},
    {"apply": promotion("1", "production")},
    {"apply": promotion("1", "guarded")},
]


def outcome(teller: test_stories.Teller) -> dict[str, str]:
    return dict(pretend.shown(teller.world))


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
    assert expected["Promotion to-guarded"].startswith("Blocked Ready=False GateNotSupported")


@settings(deadline=None, max_examples=15)
@given(st.permutations(STEPS))
async def test_at_rest_nothing_is_called_and_nothing_is_said(steps: list[dict[str, Any]]) -> None:
    teller = await play(steps)
    calls, lines = teller.world.calls, len(teller.lines)

    teller.enqueue(teller.cache.keys())
    await teller.settle()

    assert teller.world.calls == calls
    assert len(teller.lines) == lines
