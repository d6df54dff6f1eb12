"""A grant that was recorded binds nobody: when something changes before the statuses say so, it is judged, and recorded, again."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from modelyard.audit import provenance
from tests.fakes import world
from tests.stories import test_properties, test_stories, test_unrecorded


async def asking(production: Mapping[str, Any], *versions: str) -> test_stories.Teller:
    """Each version is Ready, and a promotion asks for production: p1 for 1."""
    teller = test_stories.Teller(restart=False)
    spec = {"owner": {"team": "t"}, "storage": {"uri": "s3://models/fraud/"}, "stages": [{"name": "production", **production}]}
    steps: list[dict[str, Any]] = [{"upload": {f"s3://models/fraud/{number}/": number for number in versions}}]
    steps += [{"apply": {"kind": "Model", "metadata": {"name": "fraud"}, "spec": spec}}]
    for number in versions:
        steps += [
            {"apply": test_properties.version(number)},
            test_unrecorded.promotion(f"p{number}", number, "production"),
            {"after": "1m"},
        ]
    await teller.tell(steps)
    return teller


def change_once_granted(teller: test_stories.Teller, name: str, change: Mapping[str, Any]) -> None:
    """A Promotion's spec changes in the moment between the record that it was granted its stage and the status."""

    def after(key: str) -> None:
        if key.startswith("ledger/") and b'"Granted"' in (teller.bucket.kept[key][-1] or b""):
            teller.bucket.after = lambda _key: None
            teller.do_change({"kind": "Promotion", "metadata": {"name": name}, "set": copy.deepcopy(change)})

    teller.bucket.after = after


async def test_who_agreed_to_the_grant_that_takes_effect_is_recorded() -> None:
    teller = await asking({"gates": {"approvals": [{"name": "risk"}]}}, "1")
    subject = teller.world.objects["Promotion", "risk", "p1"]["status"]["subject"]
    taken_back = {"user": "bob", "gate": "risk", "decision": "Withdrawn", "subject": subject}
    change_once_granted(teller, "p1", {"approvals": [taken_back]})

    await teller.tell([{"approve": {"promotion": "p1", "user": "bob", "gate": "risk"}}])
    assert test_unrecorded.phase(teller, "p1") == "AwaitingApproval"
    await teller.tell([{"after": "24h"}, {"approve": {"promotion": "p1", "user": "carol", "gate": "risk"}}])

    assert test_unrecorded.phase(teller, "p1") == "Succeeded"
    [told] = provenance.of("1", world.records(teller.bucket)).requests
    assert told.granted
    assert told.granted.fact.detail["approvals"] == [["carol", "risk", subject]]


async def test_who_waits_is_not_superseded_by_a_grant_that_came_to_nothing() -> None:
    teller = await asking({"frozen": {"reason": "year-end", "until": "2026-10-01T09:10:00Z"}}, "1", "2")
    change_once_granted(teller, "p2", {"abort": True})

    await teller.tell([{"after": "10m"}, {"after": "1m"}])

    assert (test_unrecorded.phase(teller, "p1"), test_unrecorded.phase(teller, "p2")) == ("Succeeded", "Aborted")
