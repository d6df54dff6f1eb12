"""What each tier demands, and what is said to be missing."""

from __future__ import annotations

from typing import Any

import pytest

from modelyard.api.model import RiskTier
from modelyard.plan.modelversion import documentation
from tests.fakes.objects import evidence, model, version

MODEL = {"description": "d", "intendedUse": "u"}
MEDIUM: dict[str, Any] = {
    "training": {"source": {"repository": "https://git", "commit": "4b825dc"}},
    "metrics": {"auc": 0.9},
    "lineage": {"datasets": [{"name": "d", "role": "Training", "digest": "sha256:0"}, {"name": "t", "role": "Test"}]},
    "card": {"limitations": "l"},
}
HIGH: dict[str, Any] = {
    **MEDIUM,
    "card": {"limitations": "l", "humanOversight": "h"},
    "evidence": evidence("ValidationReport", "RiskAssessment"),
    "signature": {"inputs": [{"name": "x", "type": "float32"}], "outputs": [{"name": "y", "type": "float32"}]},
}


def missing(tier: str, of: dict[str, Any], *, about: dict[str, Any] = MODEL, verified: bool = True) -> list[str]:
    return documentation.missing(documentation.File(model(spec={"riskTier": tier, **about}), version(**of), verified=verified))


@pytest.mark.parametrize(("tier", "of"), [("Low", {}), ("Medium", MEDIUM), ("High", HIGH)])
def test_the_tiers_documentation_is_complete(tier: str, of: dict[str, Any]) -> None:
    assert missing(tier, of) == []


@pytest.mark.parametrize(
    ("tier", "changed", "expected"),
    [
        ("Medium", {"training": {"seed": 1}}, "the training's source (spec.training.source)"),
        ("Medium", {"metrics": {"auc": "NaN"}}, "metrics (spec.metrics)"),
        (
            "Medium",
            {"lineage": {"datasets": [*MEDIUM["lineage"]["datasets"], {"name": "e", "role": "Training"}]}},
            "the training data sets, each with its digest (spec.lineage.datasets with role Training)",
        ),
        ("Medium", {"card": {}}, "the limitations (spec.card.limitations)"),
        ("High", {"evidence": evidence("ValidationReport")}, "a verified RiskAssessment (spec.evidence)"),
        ("High", {"signature": {"inputs": HIGH["signature"]["inputs"]}}, "the signature: inputs and outputs (spec.signature)"),
        ("High", {"card": {"limitations": "l"}}, "the human oversight (spec.card.humanOversight)"),
    ],
)
def test_what_is_missing_is_named(tier: str, changed: dict[str, Any], expected: str) -> None:
    assert missing(tier, {**HIGH, **changed}) == [expected]


def test_evidence_that_is_not_verified_does_not_count() -> None:
    assert len(missing("High", HIGH, verified=False)) == 2


def test_each_tier_demands_what_the_ones_below_demand() -> None:
    sizes = [len(documentation.TABLE[tier]) for tier in (RiskTier.LOW, RiskTier.MEDIUM, RiskTier.HIGH)]

    assert sizes == [3, 8, 12]
    assert missing("Low", {}, about={}) == ["a description (the Model's spec.description)"]
    assert len(missing("High", {}, about={})) == 10  # all but the owner and the digest
