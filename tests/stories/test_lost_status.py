"""A status that is lost is made anew, and the ledger is not told once more what it has, however long ago it was told."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from modelyard.edge.cluster import client
from modelyard.ledger import codec, fold, integrity
from modelyard.ledger.record import NOBODY_KNOWS, Action, Subject, entry
from tests.fakes import world
from tests.stories import test_properties, test_stories

DOCUMENT = {"name": "vr", "type": "ValidationReport", "uri": "s3://models/fraud/vr.pdf", "text": "fine"}


async def lose_statuses(teller: test_stories.Teller) -> None:
    """They are gone, and so much was told since that nobody remembers the id of what was told before."""
    about = Subject("Model", "fraud", "another", 1)
    since = [entry(Action.COLLECTED, NOBODY_KNOWS, about, step) for step in range(fold.RECENT)]
    await teller.book.append(teller.book.chain("risk", "fraud"), since)
    await teller.tell([{"after": "1s"}])
    for place, obj in teller.world.objects.items():
        if place[0] in {"Model", "ModelVersion", "Promotion"}:
            obj.pop("status", None)


def flaws(teller: test_stories.Teller) -> list[integrity.Flaw]:
    chain = teller.book.chain("risk", "fraud")
    return list(integrity.check(chain, ((one.sequence, codec.write(one)) for one in world.records(teller.bucket) if one.chain == chain)))


@pytest.fixture
async def teller() -> test_stories.Teller:
    """Version 1 with a document serves in production."""
    one = await test_properties.play([{"upload": {"s3://models/fraud/vr.pdf": "fine"}}, *test_properties.STEPS])
    await one.tell([{"available": "fraud-production"}, add({"evidence": [dict(DOCUMENT)]}), {"after": "5m"}])
    return one


def add(what: dict[str, Any]) -> dict[str, Any]:
    return {"change": {"kind": "ModelVersion", "metadata": {"name": "fraud-1"}, "set": what}}


async def test_a_status_that_was_lost_long_after_is_no_news(teller: test_stories.Teller) -> None:
    before = dict(world.shown(teller.world))
    await lose_statuses(teller)
    told = teller.told

    await teller.tell([{"restart": "at once"}, {"after": "5m"}])

    assert flaws(teller) == []
    assert teller.told == told
    assert dict(world.shown(teller.world)).keys() == before.keys()


async def test_what_was_changed_while_the_status_was_lost_is_told_as_a_change(teller: test_stories.Teller) -> None:
    await lose_statuses(teller)
    version = teller.world.objects["ModelVersion", "risk", "fraud-1"]
    version["spec"]["metrics"], version["metadata"]["generation"] = {"auc": 0.9}, version["metadata"]["generation"] + 1
    teller.lines.clear()

    await teller.tell([{"restart": "at once"}, {"after": "5m"}])

    assert [line for line in teller.lines if line.startswith("  = ")] == ["  = Attested ModelVersion fraud-1"]
    assert flaws(teller) == []


@pytest.mark.parametrize("rollback", [False, True], ids=["", "a rollback"])
async def test_what_succeeded_stands_though_its_promotion_was_deleted_before_a_status_said_so(
    teller: test_stories.Teller, *, rollback: bool
) -> None:
    """The operator dies right after it recorded that."""
    wish = copy.deepcopy(test_properties.promotion("1" if rollback else "2", "production"))
    wish["metadata"]["name"], wish["spec"]["rollback"] = "next", rollback
    steps: list[dict[str, Any]] = [{"apply": test_properties.version("2")}, {"upload": {"s3://models/fraud/2/": "2"}}, {"after": "5m"}]
    if rollback:
        first = {**test_properties.promotion("2", "production"), "metadata": {"name": "first"}}
        steps += [{"apply": first}, {"available": "fraud-production"}, {"after": "1m"}]
    await teller.tell([*steps, {"apply": wish}, {"after": "1m"}])

    def dies(key: str) -> None:
        if any(one.action == "Ended" and one.subject.name == "next" for record in world.records(teller.bucket) for one in record.facts):
            teller.bucket.after = lambda _key: None
            teller.world.remove(client.PROMOTION, "next")
            raise world.Crash

    teller.bucket.after = dies
    await teller.tell([{"available": "fraud-production"}, {"after": "5m"}, {"available": "fraud-production"}, {"after": "5m"}])

    [stage] = [one for one in teller.world.objects["Model", "risk", "fraud"]["status"]["stages"] if one["name"] == "production"]
    assert ("promotion" in stage, stage["current"], bool(stage.get("hold"))) == (False, wish["spec"]["version"], rollback)
    assert f"runs {stage['current']} " in dict(world.shown(teller.world))["Deployment fraud-production"]
    assert flaws(teller) == []
