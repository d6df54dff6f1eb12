"""What was done for safety while the ledger did not answer is recorded as soon as it does."""

from __future__ import annotations

import copy

from tests.stories import pretend, test_properties, test_stories


async def test_a_quarantine_is_recorded_once_the_ledger_answers_though_nothing_else_happens() -> None:
    teller = test_stories.Teller(restart=False)
    await teller.tell([*copy.deepcopy(test_properties.STEPS[:3]), {"after": "5m"}])

    await teller.tell([{"ledger": "no answer"}, {"upload": {"s3://models/fraud/1/": "other"}}, {"after": "2h"}])
    status = teller.world.objects["ModelVersion", "risk", "fraud-1"]["status"]
    assert status["phase"] == "Quarantined"
    assert len(status["unrecorded"]) == 1

    await teller.tell([{"after": "1h"}, {"ledger": "answers"}, {"after": "1h"}])
    status = teller.world.objects["ModelVersion", "risk", "fraud-1"]["status"]
    assert (status["phase"], status.get("unrecorded")) == ("Quarantined", None)
    assert [line for line in pretend.recorded(teller.bucket, 0) if "Quarantined" in line] == ["  = Quarantined ModelVersion fraud-1"]
