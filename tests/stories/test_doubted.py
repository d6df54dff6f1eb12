"""Approvals that appeared while the admission policies were not effective: whose they are is not known, then or later."""

from __future__ import annotations

import copy
from typing import Any

from modelyard.api.reason import Reason
from modelyard.plan import finding
from tests.fakes import world
from tests.stories import test_properties, test_stories

MISSING = finding.Unmet(Reason.POLICIES_MISSING, "a forbidden write passed")


async def awaiting() -> test_stories.Teller:
    """The guarded stage asks one person for risk."""
    teller = test_stories.Teller(restart=False)
    await teller.tell([*copy.deepcopy(test_properties.STEPS[:3]), {"after": "5m"}, {"apply": test_properties.promotion("1", "guarded")}])
    return teller


def asked(teller: test_stories.Teller) -> dict[str, Any]:
    return teller.world.objects["Promotion", "risk", "to-guarded"]


async def restarted(teller: test_stories.Teller) -> None:
    teller._start()
    await teller.tell([{"after": "1m"}])


def bob(decision: str = "Approved") -> dict[str, Any]:
    return {"approve": {"promotion": "to-guarded", "user": "bob", "gate": "risk", "decision": decision}}


async def test_an_approval_from_then_never_counts_until_it_is_written_anew() -> None:
    teller = await awaiting()
    teller.guard.held = teller.guard.found = MISSING
    await teller.tell([bob()])
    teller.guard.held = teller.guard.found = None

    await restarted(teller)
    assert asked(teller)["status"]["phase"] == "AwaitingApproval"
    assert "withdraw it and write it anew" in asked(teller)["status"]["conditions"][0]["message"]
    told = [one for record in world.records(teller.bucket) for one in record.facts if one.action == "Approved"]
    assert [(one.actor.known, one.detail["doubted"], one.detail["counts"]) for one in told] == [("Declared", True, False)]

    await teller.tell([bob("Withdrawn"), bob()])
    assert asked(teller)["status"]["phase"] == "Succeeded"


async def test_an_approval_that_appeared_while_the_policies_could_not_be_tried_waits_and_then_counts() -> None:
    teller = await awaiting()
    teller.guard.held = teller.guard.found = finding.Unmet(Reason.CLUSTER_UNAVAILABLE, "the policies cannot be tried: every name is taken")
    await teller.tell([bob()])
    assert asked(teller)["status"]["phase"] != "Succeeded"
    assert [one for record in world.records(teller.bucket) for one in record.facts if one.action == "Approved"] == []

    await teller.tell([{"policies": "are effective"}])

    assert asked(teller)["status"]["phase"] == "Succeeded"
    told = [one for record in world.records(teller.bucket) for one in record.facts if one.action == "Approved"]
    assert [(one.actor.known, one.detail["doubted"], one.detail["counts"]) for one in told] == [("Authenticated", False, True)]


async def test_a_rejection_that_appeared_while_the_policies_could_not_be_tried_ends_it_once_they_were() -> None:
    teller = await awaiting()
    teller.guard.held = teller.guard.found = finding.Unmet(Reason.CLUSTER_UNAVAILABLE, "the policies cannot be tried: every name is taken")
    await teller.tell([bob("Rejected")])
    assert asked(teller)["status"]["phase"] != "Rejected"

    await teller.tell([{"policies": "are effective"}])

    assert asked(teller)["status"]["phase"] == "Rejected"


async def test_an_approval_from_then_is_doubted_where_they_turn_out_not_to_be_effective() -> None:
    teller = await awaiting()
    teller.guard.held = teller.guard.found = finding.Unmet(Reason.CLUSTER_UNAVAILABLE, "the policies cannot be tried: every name is taken")
    await teller.tell([bob(), {"policies": "promotion"}, {"policies": "are effective"}])

    assert asked(teller)["status"]["phase"] == "AwaitingApproval"
    assert "withdraw it and write it anew" in asked(teller)["status"]["conditions"][0]["message"]


async def test_the_words_of_a_deleted_promotion_prove_nothing_of_another_of_its_name() -> None:
    teller = await awaiting()
    gates = [{"name": "risk", "required": 2}]
    await teller.tell([{"change": {"kind": "Model", "metadata": {"name": "fraud"}, "set": {"stages.2.gates.approvals": gates}}}, bob()])
    again = {key: copy.deepcopy(asked(teller)[key]) for key in ("kind", "spec")} | {"metadata": {"name": "to-guarded"}}
    teller.guard.held = teller.guard.found = MISSING

    await teller.tell([{"delete": "Promotion to-guarded"}, {"apply": again}])
    teller.guard.held = teller.guard.found = None
    await teller.tell([{"approve": {"promotion": "to-guarded", "user": "carol", "gate": "risk"}}])

    assert asked(teller)["status"]["phase"] == "AwaitingApproval"
    assert [row["approvedBy"] for row in asked(teller)["status"]["approvals"]] == [["carol"]]


async def test_an_approval_from_then_does_not_count_either_when_it_could_not_be_recorded() -> None:
    teller = await awaiting()
    await teller.tell([{"ledger": "no answer"}, {"policies": "promotion"}, bob(), {"policies": "are effective"}, {"after": "5m"}])

    await teller.tell([{"ledger": "answers"}, {"after": "5m"}])
    assert asked(teller)["status"]["phase"] == "AwaitingApproval"
    told = [one for record in world.records(teller.bucket) for one in record.facts if one.action == "Approved"]
    assert [(one.actor.known, one.detail["doubted"]) for one in told] == [("Declared", True)]

    await teller.tell([bob("Withdrawn"), bob()])
    assert asked(teller)["status"]["phase"] == "Succeeded"


async def test_a_rejection_from_then_ends_nothing_either_when_it_could_not_be_recorded() -> None:
    teller = await awaiting()

    await teller.tell([{"ledger": "no answer"}, {"policies": "promotion"}, bob("Rejected"), {"policies": "are effective"}, {"after": "5m"}])

    assert asked(teller)["status"]["phase"] == "AwaitingApproval"


async def test_what_was_taken_back_and_written_anew_before_the_ledger_answered_counts() -> None:
    teller = await awaiting()
    await teller.tell([{"ledger": "no answer"}, {"policies": "promotion"}, bob(), {"policies": "are effective"}])

    await teller.tell([bob("Withdrawn"), bob(), {"ledger": "answers"}, {"after": "5m"}])

    assert asked(teller)["status"]["phase"] == "Succeeded"


async def test_what_was_recorded_before_is_not_doubted_by_who_begins_to_look_without_the_ledger() -> None:
    teller = await awaiting()
    gates = [{"name": "risk", "required": 2}]
    await teller.tell([{"change": {"kind": "Model", "metadata": {"name": "fraud"}, "set": {"stages.2.gates.approvals": gates}}}, bob()])

    await teller.tell([{"ledger": "no answer"}, {"restart": "at once"}, {"policies": "promotion"}, {"after": "1m"}])
    await teller.tell([{"policies": "are effective"}, {"ledger": "answers"}, {"after": "5m"}])

    assert [row["approvedBy"] for row in asked(teller)["status"]["approvals"]] == [["bob"]]
    assert [line for line in world.recorded(teller.bucket, 0) if "Approved" in line] == [
        "  = Approved Promotion to-guarded by bob {'gate': 'risk'}"
    ]
