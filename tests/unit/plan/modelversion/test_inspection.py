"""Only what is strictly below the Model's storage is ever looked at."""

from __future__ import annotations

import pytest

from modelyard.content import location


@pytest.mark.parametrize(
    ("uri", "below", "inside"),
    [
        ("s3://models/fraud/1/", "s3://models/fraud/", True),
        ("s3://models/fraud/1/model.onnx", "s3://models/fraud/", True),
        ("s3://models/fraud/a b/ü", "s3://models/fraud/", True),
        ("s3://models/fraud/1/", "s3://models/fraud", True),
        ("s3://models/x", "s3://models/", True),
        ("s3://models/fraud/", "s3://models/fraud/", False),
        ("s3://models/fraud", "s3://models/fraud/", False),
        ("s3://models/fraud-evil/1/", "s3://models/fraud/", False),
        ("s3://models/fraud-evil/1/", "s3://models/fraud", False),
        ("s3://models/", "s3://models/fraud/", False),
        ("s3://other/fraud/1/", "s3://models/fraud/", False),
        ("s3://models/fraud/../fraud-evil/", "s3://models/fraud/", False),
        ("s3://models/fraud/./1/", "s3://models/fraud/", False),
        ("s3://models/fraud//1/", "s3://models/fraud/", False),
        ("s3://models/fraud/1//", "s3://models/fraud/", False),
        ("s3://models/fraud/..", "s3://models/fraud/", False),
        ("s3://models/fraud\\1", "s3://models/fraud/", False),
        ("s3://models/fraud/a\nb", "s3://models/fraud/", False),
        ("https://models/fraud/1/", "s3://models/fraud/", False),
        ("s3://Models/fraud/1/", "s3://Models/fraud/", False),
        ("", "s3://models/", False),
    ],
)
def test_inside(uri: str, below: str, inside: bool) -> None:
    scope = location.locate(uri, below)

    assert location.is_inside(uri, below) == inside
    assert isinstance(scope, location.Refused) != inside
    if isinstance(scope, location.Refused):
        assert "spec.storage.uri" in scope.message
        assert scope.message.isprintable()


@pytest.mark.parametrize(
    ("storage", "touches"),
    [
        ("s3://modelyard/", True),
        ("s3://modelyard/yard/", True),
        ("s3://modelyard/yard", True),
        ("s3://modelyard/yard/ledger/", True),
        ("s3://modelyard/yardstick/", False),
        ("s3://modelyard/fraud/", False),
        ("s3://models/yard/", False),
    ],
)
def test_the_operators_own_bucket_is_no_models_storage_nor_part_of_it(storage: str, touches: bool) -> None:
    refused = location.refuse_operator_bucket(storage, "s3://modelyard/yard/")

    assert (refused is not None) == touches
    assert refused is None or (refused.reason == "PathNotAllowed" and storage in refused.message)
