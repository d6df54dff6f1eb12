"""What the ledger is told of a version: nothing that nobody saw."""

from __future__ import annotations

import pytest

from modelyard import api
from modelyard.ledger.record import Action
from modelyard.plan.observed import specs
from modelyard.plan.record import modelversion
from tests.fakes.objects import version

DOCUMENTS = [{"name": "vr", "type": "Other", "uri": "s3://models/fraud/vr", "sha256": f"sha256:{'a' * 64}"}]


def told(one: api.ModelVersion, **status: object) -> set[Action]:
    """The actions of the facts, when the status says of this generation what it said of the one before."""
    looked = [condition.model_copy(update={"observed_generation": 2}) for condition in one.status.conditions]
    now = one.status.model_copy(update={"conditions": looked, "recorded": specs.recorded(one), **status})
    return {fact.action for fact in modelversion.entries(one, now, {**one.spec.dump(), "evidence": []}, "sha256:5")}


@pytest.mark.parametrize("lifecycle", ["Active", "Deprecated"])
def test_documents_that_were_read_are_told_of(lifecycle: str) -> None:
    one = version(evidence=DOCUMENTS, evidence_verified="True", lifecycle=lifecycle)

    assert {Action.ATTESTED, Action.EVIDENCE_VERIFIED} <= told(one)


def test_of_a_version_at_rest_no_document_is_said_to_have_been_read() -> None:
    one = version(evidence=DOCUMENTS, evidence_verified="True", lifecycle="Retired", phase="Retired")

    assert Action.ATTESTED in told(one)
    assert Action.EVIDENCE_VERIFIED not in told(one)
