"""What was done for safety while the ledger did not answer is recorded as soon as it does."""

from __future__ import annotations

import copy
import datetime
from typing import Any

import pytest

from modelyard.audit import explain
from modelyard.ledger import reader
from modelyard.ledger.record import Action, Chain
from tests.fakes import world
from tests.stories import test_properties, test_stories


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
    assert [line for line in world.recorded(teller.bucket, 0) if "Quarantined" in line] == ["  = Quarantined ModelVersion fraud-1"]


SERVES = {"port": 8080, "template": {"spec": {"containers": [{"name": "server", "image": "serve:1"}]}}}


def promotion(name: str, number: str, stage: str, **more: Any) -> dict[str, Any]:
    spec = {"model": "fraud", "version": number, "stage": stage, "requestedBy": "alice", **more}
    return {"apply": {"kind": "Promotion", "metadata": {"name": name}, "spec": spec}}


async def staged(*, restart: bool = False, serving: dict[str, Any] | None = None, **gates: Any) -> test_stories.Teller:
    """Versions 1 and 2 Succeeded in staging, 2 last, and p2 asks for production."""
    teller = test_stories.Teller(restart=restart)
    stages = [{"name": "staging", "serving": serving}, {"name": "production", "gates": {"after": ["staging"], **gates}}]
    spec = {"owner": {"team": "t"}, "storage": {"uri": "s3://models/fraud/"}, "stages": stages}
    steps: list[dict[str, Any]] = [{"upload": {"s3://models/fraud/1/": "1", "s3://models/fraud/2/": "2"}}]
    steps += [
        {"apply": {"kind": "Model", "metadata": {"name": "fraud"}, "spec": spec}},
        {"apply": test_properties.version("1")},
        {"apply": test_properties.version("2")},
    ]
    for number in ("1", "2"):
        steps += [promotion(f"s{number}", number, "staging"), *([{"available": "fraud-staging"}] if serving else []), {"after": "1m"}]
    await teller.tell(copy.deepcopy([*steps, promotion("p2", "2", "production")]))
    return teller


def phase(teller: test_stories.Teller, name: str) -> str:
    return str(teller.world.objects["Promotion", "risk", name]["status"]["phase"])


@pytest.mark.parametrize("restart", [False, True])
async def test_what_was_rolled_back_while_the_ledger_did_not_answer_goes_no_further_when_it_does(restart: bool) -> None:
    teller = await staged(restart=restart, approvals=[{"name": "risk"}])

    await teller.tell([{"ledger": "no answer"}, promotion("back", "1", "staging", rollback=True), {"after": "1m"}])
    await teller.tell([{"approve": {"promotion": "p2", "user": "bob", "gate": "risk"}}, {"ledger": "answers"}, {"after": "5m"}])

    assert (phase(teller, "back"), phase(teller, "p2")) == ("Succeeded", "Pending")


@pytest.mark.parametrize("restart", [False, True])
async def test_what_did_not_serve_while_the_ledger_did_not_answer_has_not_served(restart: bool) -> None:
    teller = await staged(restart=restart, serving=SERVES, servedFor="2h")
    away: list[dict[str, Any]] = [{"ledger": "no answer"}, promotion("back", "1", "staging", rollback=True), {"available": "fraud-staging"}]

    await teller.tell([*away, {"after": "3h"}, {"ledger": "answers"}, {"after": "5m"}])

    assert (phase(teller, "back"), phase(teller, "p2")) == ("Succeeded", "Pending")


async def test_the_record_of_what_waited_says_what_the_stages_stand_for_since_then() -> None:
    teller = await staged(serving=SERVES)
    away: list[dict[str, Any]] = [{"ledger": "no answer"}, promotion("back", "1", "staging", rollback=True), {"available": "fraud-staging"}]
    await teller.tell([*away, {"after": "3h"}, {"ledger": "answers"}, {"after": "5m"}])
    chain, moment = Chain("main", "risk", "fraud"), datetime.datetime(2026, 10, 1, 10, 0, tzinfo=datetime.UTC)

    told = reader.ChainReader(chain, lambda numbers: [teller.bucket.get("", chain.key(number)) for number in numbers], lambda _name: None)
    [found] = explain.at(told, moment, "staging")["serves"]

    assert (found["standsFor"]["version"], [one["version"] for one in found["versions"]]) == ("1", ["1"])
    assert found["recordedLater"]


def lost(teller: test_stories.Teller) -> list[str]:
    """What facts name by its digest, and nobody wrote."""
    told = [one for record in world.records(teller.bucket) for one in record.facts if one.subject.kind == "Promotion"]
    named = [(one, one.detail["policy"] if one.action == Action.GRANTED else one.digest) for one in told]
    specs = {Action.REQUESTED, Action.STEERED, Action.GRANTED}
    return [f"{one.action} {one.subject.name}" for one, name in named if one.action in specs and teller.store.blobs.get(str(name)) is None]


async def test_what_was_requested_meanwhile_is_kept_as_it_was_then_and_as_it_is() -> None:
    teller = await staged()

    await teller.tell([{"ledger": "no answer"}, promotion("p3", "1", "staging"), {"after": "1m"}])
    await teller.tell([{"change": {"kind": "Promotion", "metadata": {"name": "p3"}, "set": {"abort": True}}}, {"after": "1m"}])
    await teller.tell([{"ledger": "answers"}, {"after": "5m"}])

    assert (phase(teller, "p3"), lost(teller)) == ("Aborted", [])


@pytest.mark.parametrize("died", [False, True])
async def test_the_rules_of_a_rollback_are_kept(died: bool) -> None:
    teller = await staged()
    freeze = {"kind": "Model", "metadata": {"name": "fraud"}, "set": {"stages.0.frozen": {"reason": "year-end"}}}
    last: list[dict[str, Any]] = [{"restart": "at once"}] if died else []

    await teller.tell([{"change": freeze}, {"ledger": "no answer"}, promotion("back", "1", "staging", rollback=True), {"after": "1m"}])
    await teller.tell([{"ledger": "answers"}, *last, {"after": "5m"}])

    assert (phase(teller, "back"), lost(teller)) == ("Succeeded", [])
