"""An object whose spec cannot be read is there: nothing is decided of its model, nothing is taken for deleted, and what serves goes on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes import world
from tests.stories import test_properties, test_stories

CASES = {
    "Model fraud": ("stages", "none", test_properties.STAGES),
    "ModelVersion fraud-1": ("artifact.format", "papyrus", "onnx"),
    "Promotion to-guarded": ("reason", 7, None),
}


def change(named: str, value: Any) -> dict[str, Any]:
    kind, name = named.split()
    return {"change": {"kind": kind, "metadata": {"name": name}, "set": {CASES[named][0]: value}}}


async def served() -> test_stories.Teller:
    """Version 1 serves in production, and waits for people in guarded."""
    teller = await test_properties.play(test_properties.STEPS)
    await teller.tell([{"available": "fraud-production"}, {"after": "5m"}])
    return teller


@pytest.mark.parametrize("named", CASES)
async def test_what_cannot_be_read_withholds_every_decision_of_its_model_until_it_can(named: str) -> None:
    field, wrong, right = CASES[named]
    teller = await served()
    before = dict(world.shown(teller.world))
    teller.lines.clear()

    await teller.tell([change(named, wrong), {"after": "5m"}, {"upload": {"s3://models/fraud/2/": "2"}}])
    if named != "Model fraud":  # which has to say where the bytes are
        await teller.tell([{"apply": test_properties.version("2")}])
    await teller.tell([{"restart": "at once"}, {"after": "5m"}])

    meanwhile = dict(world.shown(teller.world))
    assert not [line for line in teller.lines if any(f"= {action} " in line for action in ("Requested", "Granted", "Ended", "Deleted"))]
    assert meanwhile["Deployment fraud-production"] == before["Deployment fraud-production"]
    assert f" Invalid: {'' if named == 'Model fraud' else named + ': '}this release cannot read spec.{field}" in meanwhile["Model fraud"]
    assert f"this release cannot read spec.{field}" in meanwhile[named]
    assert sum(f"! {named} Invalid: " in line for line in teller.lines) == 1

    await teller.tell([change(named, right), {"after": "5m"}])

    after = dict(world.shown(teller.world))
    assert set(before) <= set(after)
    assert not [told for told in after.values() if "Invalid" in told]
    assert f"development={'1' if named == 'Model fraud' else '2'}, production=1" in after["Model fraud"]


async def test_a_promotion_that_is_history_withholds_nothing_and_is_not_taken_for_deleted() -> None:
    teller = await served()

    await teller.tell([{"change": {"kind": "Promotion", "metadata": {"name": "to-production"}, "set": {"reason": 7}}}, {"after": "5m"}])
    await teller.tell([{"restart": "at once"}, {"delete": "Promotion to-guarded"}])

    assert "Ready=True" in dict(world.shown(teller.world))["Model fraud"]
    assert [line.split()[:4] for line in teller.lines if "Deleted" in line and "to-production" in line] == []
    assert [line for line in teller.lines if "Deleted" in line]


async def test_evidence_that_was_added_to_what_could_not_be_read_counts_once_it_was_read() -> None:
    """A release that can read it does so without another generation."""
    documents = [
        {"name": name, "type": name, "uri": f"s3://models/fraud/{name}", "text": name} for name in ("ModelCard", "ValidationReport")
    ]
    stages = [{"name": "production", "gates": {"evidence": ["ValidationReport"]}}]
    teller = await test_properties.play(
        [
            {"upload": {"s3://models/fraud/1/": "1", "s3://models/fraud/ModelCard": "ModelCard"}},
            {"apply": {**test_properties.MODEL, "spec": {**test_properties.MODEL["spec"], "stages": stages}}},
            {"apply": test_properties.version("1")},
            {"change": {"kind": "ModelVersion", "metadata": {"name": "fraud-1"}, "set": {"evidence": documents[:1]}}},
            {"apply": test_properties.promotion("1", "production")},
        ]
    )
    await teller.tell(
        [
            {
                "change": {
                    "kind": "ModelVersion",
                    "metadata": {"name": "fraud-1"},
                    "set": {"evidence": documents, "artifact.format": "papyrus"},
                }
            }
        ]
    )
    teller.world.objects["ModelVersion", "risk", "fraud-1"]["spec"]["artifact"]["format"] = "onnx"

    await teller.tell([{"restart": "at once"}, {"after": "5m"}])

    assert dict(world.shown(teller.world))["Promotion to-production"].startswith("Blocked Ready=False EvidenceNotVerified")


async def test_a_template_that_is_nested_too_deep_costs_its_own_model_and_says_where() -> None:
    teller = await served()
    before = dict(world.shown(teller.world))
    deep: dict[str, Any] = {}
    for _ in range(120):
        deep = {"a": deep}
    spoilt = [{**stage, "serving": {"port": 8080, "template": deep}} for stage in test_properties.STAGES]
    other = {**test_properties.MODEL, "metadata": {"name": "churn"}, "spec": {**test_properties.MODEL["spec"]}}

    await teller.tell([{"change": {"kind": "Model", "metadata": {"name": "fraud"}, "set": {"stages": spoilt}}}, {"after": "5m"}])
    await teller.tell([{"apply": other}, {"restart": "at once"}, {"after": "5m"}])

    meanwhile = dict(world.shown(teller.world))
    assert "Ready=Unknown Invalid: this release cannot read spec.stages.0.serving.template.a" in meanwhile["Model fraud"]
    assert "(nested more than 100 levels deep)" in meanwhile["Model fraud"]
    assert meanwhile["Deployment fraud-production"] == before["Deployment fraud-production"]
    assert "Ready=True" in meanwhile["Model churn"]

    await teller.tell([change("Model fraud", test_properties.STAGES), {"after": "5m"}])

    assert "Ready=True" in dict(world.shown(teller.world))["Model fraud"]
