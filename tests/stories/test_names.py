"""A Promotion's name means what it ran for, whoever deletes it and uses it again; what Succeeded is the ledger's word."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from modelyard.cli.decide import promote
from modelyard.edge.cluster import client
from tests.fakes import world
from tests.stories import test_properties, test_stories, test_unrecorded
from tests.stories.test_unrecorded import phase, promotion

AGAIN = {"delete": "Promotion p"}
GATES: dict[str, Any] = {"approvals": [{"name": "risk"}]}


def condition(teller: test_stories.Teller, name: str, kind: str = "Ready") -> tuple[str, str, str]:
    conditions = teller.world.objects["Promotion", "risk", name]["status"]["conditions"]
    found = next((one for one in conditions if one["type"] == kind), {"status": "-", "reason": "-", "message": "-"})
    return found["status"], found["reason"], found["message"]


def current(teller: test_stories.Teller, stage: str) -> str | None:
    stages = teller.world.objects["Model", "risk", "fraud"]["status"]["stages"]
    return next((one.get("current") for one in stages if one["name"] == stage), None)


def ended_well(teller: test_stories.Teller, name: str) -> bool:
    """Whether `promote --wait` would end with 0."""
    return promote.succeeded(teller.world.objects["Promotion", "risk", name])


async def staged() -> test_stories.Teller:
    """Staging was at 1 and is at 2; production asks for approvals."""
    return await test_unrecorded.staged(**GATES)


OTHER: dict[str, tuple[dict[str, Any], str]] = {
    "another stage": ({"number": "1", "stage": "production"}, "stage"),
    "another version": ({"number": "2", "stage": "staging"}, "version"),
    "another reason": ({"number": "1", "stage": "staging", "reason": "CAB-1"}, "reason"),
    "a rollback": ({"number": "1", "stage": "staging", "rollback": True}, "rollback"),
    "a rollback of another stage": ({"number": "1", "stage": "production", "rollback": True}, "stage and rollback"),
}


@pytest.mark.parametrize("sentence", OTHER)
async def test_another_spec_under_a_name_that_ran_is_reused_and_counts_for_nothing(sentence: str) -> None:
    spec, differs = OTHER[sentence]
    teller = await staged()
    await teller.tell([promotion("p", "1", "staging"), {"after": "1m"}, AGAIN, {"after": "1m"}])
    told = len(list(world.recorded(teller.bucket, 0)))

    await teller.tell([promotion("p", **spec), {"after": "5m"}])

    status, reason, message = condition(teller, "p")
    assert (phase(teller, "p"), status, reason) == ("Reused", "False", "Reused")
    assert f"has another {differs} and counts for nothing" in message
    assert condition(teller, "p", "Stalled")[0] == "True"
    assert condition(teller, "p", "Succeeded")[0] == "False"
    assert not ended_well(teller, "p")
    assert world.recorded(teller.bucket, told) == []
    assert (current(teller, "staging"), current(teller, "production")) == ("1", None)


async def test_what_is_reused_opens_no_way_past_the_gates() -> None:
    """A finished Promotion is deleted, and its name used again for production; a rollback would then go past every approval."""
    teller = await staged()

    await teller.tell([{"delete": "Promotion s1"}, promotion("s1", "1", "production"), {"after": "1m"}])
    await teller.tell([promotion("back", "1", "production", rollback=True), {"after": "5m"}])

    assert (phase(teller, "s1"), phase(teller, "back")) == ("Reused", "Blocked")
    assert condition(teller, "back")[2].startswith("1 never Succeeded in production")
    assert current(teller, "production") is None


@pytest.mark.parametrize("kept", [True, False], ids=["the later one is there", "nothing is there"])
@pytest.mark.parametrize("restart", [True, False])
async def test_the_same_again_shows_how_it_ended_and_by_what_it_was_superseded_since(*, kept: bool, restart: bool) -> None:
    teller = await test_unrecorded.staged(restart=restart, **GATES)
    await teller.tell([{"delete": "Promotion s2"}, {"after": "1m"}, promotion("later", "1", "staging"), {"after": "1m"}])
    await teller.tell([] if kept else [{"delete": "Promotion later"}, {"after": "1m"}])

    await teller.tell([promotion("s2", "2", "staging"), {"after": "1m"}])

    status, reason, message = condition(teller, "s2")
    assert (phase(teller, "s2"), status, reason) == ("Superseded", "True", "AlreadyRan")
    assert "it Succeeded on 2026-10-01, and was superseded by later (1) on 2026-10-01; the current version of staging is 1" in message
    assert condition(teller, "s2", "Succeeded")[0] == "False"
    assert not ended_well(teller, "s2")
    assert current(teller, "staging") == "1"


async def test_the_same_again_is_succeeded_only_while_its_stage_is_at_that_version_by_it() -> None:
    teller = await staged()
    await teller.tell([{"delete": "Promotion s2"}, {"after": "1m"}, promotion("s2", "2", "staging"), {"after": "1m"}])
    assert (phase(teller, "s2"), condition(teller, "s2")[1], ended_well(teller, "s2")) == ("Succeeded", "AlreadyRan", True)

    await teller.tell([promotion("s2-again", "2", "staging"), {"after": "1m"}])

    assert (phase(teller, "s2"), phase(teller, "s2-again"), ended_well(teller, "s2")) == ("Superseded", "Succeeded", False)
    assert "superseded by s2-again (2)" in condition(teller, "s2")[2]


async def test_a_stage_that_was_taken_down_and_is_declared_again_is_at_nothing() -> None:
    teller = await staged()
    stages = teller.world.objects["Model", "risk", "fraud"]["spec"]["stages"]
    gone = {"change": {"kind": "Model", "metadata": {"name": "fraud"}, "set": {"stages": [{**stages[1], "gates": {}}]}}}
    back = {"change": {"kind": "Model", "metadata": {"name": "fraud"}, "set": {"stages": copy.deepcopy(stages)}}}
    await teller.tell([{"delete": "Promotion s1"}, gone, {"after": "1m"}, back, {"after": "1m"}])
    assert (phase(teller, "s2"), condition(teller, "s2")[1]) == ("Superseded", "Decommissioned")

    await teller.tell([{"delete": "Promotion s2"}, promotion("s2", "2", "staging"), {"after": "1m"}])

    assert (phase(teller, "s2"), current(teller, "staging")) == ("Superseded", None)
    assert "the stage was taken down on 2026-10-01; staging has no current version" in condition(teller, "s2")[2]


async def test_a_promotion_that_was_deleted_before_it_was_granted_never_ran() -> None:
    teller = await staged()
    await teller.tell([promotion("p", "1", "production"), {"after": "1m"}, AGAIN, {"after": "1m"}])

    await teller.tell([promotion("p", "1", "staging"), {"after": "1m"}])

    assert (phase(teller, "p"), current(teller, "staging")) == ("Succeeded", "1")


@pytest.mark.parametrize("looked", [True, False], ids=["that it is gone was seen", "nobody looked"])
async def test_a_name_that_ran_while_the_ledger_did_not_answer_has_run(*, looked: bool) -> None:
    teller = await staged()
    await teller.tell([{"ledger": "no answer"}, promotion("p", "1", "staging", rollback=True), {"after": "1m"}])
    assert current(teller, "staging") == "1"
    if looked:
        await teller.tell([AGAIN, {"after": "1m"}])
    else:
        teller.world.remove(client.PROMOTION, "p")

    await teller.tell([promotion("p", "2", "staging", rollback=True), {"after": "1m"}])
    assert (phase(teller, "p"), current(teller, "staging")) == ("Reused", "1")

    await teller.tell([{"ledger": "answers"}, {"after": "5m"}])
    assert (phase(teller, "p"), current(teller, "staging")) == ("Reused", "1")


@pytest.mark.parametrize(("to", "granted"), [("1", True), ("2", True), ("3", False)])
async def test_while_nothing_is_known_of_the_ledger_a_rollback_goes_to_what_the_models_status_names(to: str, *, granted: bool) -> None:
    """A Promotion's own status proves nothing then: it may be of a name that was used again."""
    teller = await staged()
    await teller.tell([{"upload": {"s3://models/fraud/3/": "3"}}, {"apply": test_properties.version("3")}, {"after": "1m"}])
    await teller.tell([{"delete": "Promotion s1"}, {"after": "1m"}])
    claims = copy.deepcopy(teller.world.objects["Promotion", "risk", "s2"]["status"])
    del claims["startedAt"]  # as releases wrote it that took any Promotion of an old name for the old one

    await teller.tell([{"ledger": "no answer"}, {"restart": "at once"}, promotion("s1", "3", "staging")])
    teller.world.objects["Promotion", "risk", "s1"]["status"] = claims
    await teller.tell([{"restart": "at once"}, promotion("back", to, "staging", rollback=True), {"after": "1m"}])

    assert (phase(teller, "back"), current(teller, "staging")) == (("Succeeded", to) if granted else ("Blocked", "2"))
    await teller.tell([{"ledger": "answers"}, {"after": "5m"}])
    assert current(teller, "staging") == (to if granted else "2")


async def test_a_rollback_under_an_old_name_while_nothing_was_known_is_recorded_and_undoes_what_it_took_away() -> None:
    teller = await test_unrecorded.staged()
    await teller.tell([{"delete": "Promotion p2"}, {"delete": "Promotion s1"}, {"after": "1m"}, {"ledger": "no answer"}])
    await teller.tell([{"restart": "at once"}, promotion("s1", "1", "staging", rollback=True), {"after": "1m"}])

    await teller.tell([{"ledger": "answers"}, {"after": "1m"}, promotion("p3", "2", "production"), {"after": "1m"}])

    assert (phase(teller, "s1"), current(teller, "staging")) == ("Succeeded", "1")
    ends = [line for line in world.recorded(teller.bucket, 0) if "Ended Promotion s1" in line]
    assert ends[-1] == "  = Ended Promotion s1 {'phase': 'Succeeded'}"
    assert phase(teller, "p3") == "Pending", "2 was undone in staging"


async def test_a_name_that_somebody_took_does_not_stop_auto_promote() -> None:
    first = await auto([])
    [name] = [name for kind, _, name in first.world.objects if kind == "Promotion"]
    assert name.startswith("fraud-1-development-auto-")

    taken = [promotion("fraud-1-development", "0", "development"), promotion(name, "0", "development")]
    foreign = copy.deepcopy(taken[1])
    foreign["apply"]["spec"]["model"] = "other"
    for steps in (taken, [foreign]):
        teller = await auto(steps)
        assert current(teller, "development") == "1"


async def auto(steps: list[dict[str, Any]]) -> test_stories.Teller:
    """Version 1 is verified, and development promotes by itself."""
    spec = {"owner": {"team": "t"}, "storage": {"uri": "s3://models/fraud/"}, "stages": [{"name": "development", "autoPromote": True}]}
    teller = test_stories.Teller(restart=False)
    model = {"apply": {"kind": "Model", "metadata": {"name": "fraud"}, "spec": spec}}
    await teller.tell([*copy.deepcopy(steps), {"upload": {"s3://models/fraud/1/": "1"}}, model])
    await teller.tell([{"apply": test_properties.version("1")}, {"after": "5m"}])
    return teller


async def test_what_is_reused_was_not_asked_for_in_the_stage() -> None:
    """Somebody who may promote elsewhere could otherwise keep autoPromote from a version."""
    teller = await staged()
    await teller.tell([{"delete": "Promotion s1"}, promotion("s1", "1", "production"), {"after": "1m"}])
    gates = {"kind": "Model", "metadata": {"name": "fraud"}, "set": {"stages.1.gates": {}, "stages.1.autoPromote": True}}

    await teller.tell([{"delete": "Promotion p2"}, {"after": "1m"}, {"change": gates}, {"after": "5m"}])

    # 2 was deleted before it was granted, which says no; 1 was never asked for.
    assert (phase(teller, "s1"), current(teller, "production")) == ("Reused", "1")
