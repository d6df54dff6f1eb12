"""The ledger does not answer for two hours: what was done meanwhile is recorded once, as of when it was done, whoever lives to see it."""

from __future__ import annotations

import asyncio
import collections
import datetime
import pathlib
from collections.abc import Sequence
from typing import Any

import pytest

from modelyard.audit import explain
from modelyard.ledger import codec, integrity, reader
from modelyard.ledger.record import Action, Chain, LedgerEntry
from tests.fakes import world
from tests.stories import test_properties, test_stories

STORY = pathlib.Path(__file__).with_name("data") / "ledger_away.yaml"
CHAIN = Chain("main", "risk", "fraud")
WRITES = 26
"""Of the operator, while the ledger does not answer."""


async def told(dies_after: int | None = None) -> test_stories.Teller:
    """The story, in which the operator dies after so many writes while the ledger does not answer, and has a successor when it does."""
    steps = test_stories.read(STORY)
    gone, back = (
        next(number for number, step in enumerate(steps) if step.get("ledger") == word) for word in ("http://store: no answer", "answers")
    )
    teller = test_stories.Teller(restart=False)
    await teller.tell([*steps[:gone], {"dies": "operator"}, {"leads": "operator-1"}, {"after": "1m"}, steps[gone]])
    teller.world.lives = dies_after
    await teller.tell(steps[gone + 1 : back])
    assert (teller.died is not None) == (dies_after is not None)
    teller.world.lives = None
    # What nobody was there to ask for takes a little longer.
    late: list[dict[str, Any]] = [{"leads": "operator-2"}] if teller.died else []
    later: list[dict[str, Any]] = [{"after": "5m"}, {"available": "fraud-production"}, {"after": "5m"}]
    await teller.tell([steps[back], *late, *later, *steps[back + 1 :]])
    return teller


def facts(teller: test_stories.Teller) -> list[LedgerEntry]:
    return [one for record in world.records(teller.bucket) for one in record.facts]


def served(teller: test_stories.Teller, stage: str, clock: str) -> tuple[list[str], bool]:
    """What served at an instant, and whether that was recorded later."""

    def fetch(numbers: Sequence[int]) -> list[bytes | None]:
        return [teller.bucket.get("", CHAIN.key(number)) for number in numbers]

    moment = datetime.datetime.fromisoformat(f"2026-10-01T{clock}Z")
    [found] = explain.at(reader.ChainReader(CHAIN, fetch, lambda _name: None), moment, stage)["serves"]
    return [one["version"] for one in found["versions"]], found["recordedLater"]


@pytest.fixture(scope="module")
def undisturbed() -> test_stories.Teller:
    return asyncio.run(told())


@pytest.mark.parametrize("dies_after", range(1, WRITES + 1))
async def test_all_is_recorded_once_and_ends_in_the_same_place(dies_after: int, undisturbed: test_stories.Teller) -> None:
    teller = await told(dies_after)
    records = [(record.sequence, codec.write(record)) for record in world.records(teller.bucket)]

    def decided(of: test_stories.Teller) -> collections.Counter[str]:
        return collections.Counter(f"{one.action} {one.subject.name}" for one in facts(of) if one.action != Action.SERVING)

    assert dict(world.shown(teller.world)) == dict(world.shown(undisturbed.world))
    assert decided(teller) == decided(undisturbed)
    assert integrity.check(CHAIN, records) == ()


async def test_what_was_done_is_told_in_its_order_and_as_of_when_it_was_done() -> None:
    teller = await told()

    late = [one for one in facts(teller) if one.at and one.at.hour == 9 and one.at.minute > 11]
    assert [(str(one.action), one.subject.name, one.at.strftime("%H:%M")) for one in late if one.at] == [
        ("Serving", "fraud", "09:13"),
        ("Steered", "p3", "09:13"),
        ("Ended", "p3", "09:13"),
        ("Requested", "back", "09:20"),
        ("Granted", "back", "09:20"),
        ("Ended", "p2", "09:22"),
        ("Ended", "back", "09:22"),
        ("Serving", "fraud", "09:22"),
    ]
    assert served(teller, "production", "09:21:59") == (["2"], False)
    assert served(teller, "production", "09:22:00") == (["1"], True)
    assert served(teller, "production", "11:27:59") == (["1"], True)
    assert served(teller, "production", "11:28:00") == (["1"], False)
    assert served(teller, "shadow", "09:12:59") == ([], False)
    assert served(teller, "shadow", "09:13:00") == (["3"], True)


CARD, REPORT = (
    {"name": kind.lower(), "type": kind, "uri": f"s3://models/fraud/{kind}", "text": kind} for kind in ("ModelCard", "ValidationReport")
)


async def test_evidence_that_was_added_while_a_record_could_not_be_written_counts_once_it_was_read() -> None:
    teller = test_stories.Teller(restart=False)
    stages = [{"name": "production", "gates": {"evidence": ["ValidationReport"]}}]
    await teller.tell(
        [
            {"upload": {"s3://models/fraud/1/": "1", CARD["uri"]: CARD["text"]}},
            {"apply": {**test_properties.MODEL, "spec": {**test_properties.MODEL["spec"], "stages": stages}}},
            {"apply": test_properties.version("1")},
            {"change": {"kind": "ModelVersion", "metadata": {"name": "fraud-1"}, "set": {"evidence": [dict(CARD)]}}},
            {"apply": test_properties.promotion("1", "production")},
            {"ledger": "no answer"},
            {"change": {"kind": "ModelVersion", "metadata": {"name": "fraud-1"}, "set": {"evidence": [dict(CARD), dict(REPORT)]}}},
        ]
    )
    said = {one["type"]: one for one in teller.world.objects["ModelVersion", "risk", "fraud-1"]["status"]["conditions"]}
    assert (said["Verified"]["status"], said["EvidenceVerified"]["status"]) == ("True", "Unknown")
    assert said["DocumentationComplete"]["status"] == "Unknown"

    await teller.tell([{"ledger": "answers"}, {"after": "5m"}])
    assert dict(world.shown(teller.world))["Promotion to-production"].startswith("Blocked Ready=False EvidenceNotVerified")

    await teller.tell([{"upload": {REPORT["uri"]: REPORT["text"]}}, {"after": "5m"}])
    assert dict(world.shown(teller.world))["Promotion to-production"].startswith("Succeeded")
