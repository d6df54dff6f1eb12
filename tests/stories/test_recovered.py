"""What was Quarantined and is Ready again is on record as Recovered, whatever it was in between."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stories import test_properties


@pytest.mark.parametrize("first", ["the bytes", "the Model"])
async def test_a_version_whose_model_was_missing_between_quarantine_and_ready_has_recovered_once(first: str) -> None:
    teller = await test_properties.play(test_properties.STEPS)
    await teller.tell([{"upload": {"s3://models/fraud/1/": "other"}}, {"after": "2h"}])
    assert any("Quarantined ModelVersion fraud-1" in line for line in teller.lines)

    teller.lines.clear()
    retired = test_properties.MODEL["spec"] | {"lifecycle": "Retired"}
    await teller.tell([{"apply": test_properties.MODEL | {"spec": retired}}, {"terminated": "fraud-production"}, {"delete": "Model fraud"}])
    assert "Pending" in [line for line in teller.lines if line.startswith("ModelVersion fraud-1: ")][-1]
    back: list[dict[str, Any]] = [{"upload": {"s3://models/fraud/1/": "1"}}, {"apply": test_properties.MODEL}]
    for step in back if first == "the bytes" else reversed(back):
        await teller.tell([step, {"after": "2h"}])
    await teller.tell([{"restart": "at once"}, {"after": "2h"}])

    assert "Ready" in [line for line in teller.lines if line.startswith("ModelVersion fraud-1: ")][-1]
    assert [line for line in teller.lines if "Quarantined ModelVersion" in line or "Recovered ModelVersion" in line] == [
        "  = Recovered ModelVersion fraud-1"
    ]
