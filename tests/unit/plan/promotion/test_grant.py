"""What keeps a promotion from being granted besides its gates, and in which order it is told."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from modelyard import api
from modelyard.api.promotion import Phase
from modelyard.api.reason import Reason
from modelyard.ledger import index
from modelyard.plan import finding
from modelyard.plan.model import decide
from modelyard.plan.observed import world
from modelyard.plan.promotion import approvals
from modelyard.plan.record import model
from tests.fakes.objects import NOW, evidence, promotion, seen, version
from tests.fakes.objects import model as a_model

LEDGER = finding.Unmet(Reason.LEDGER_UNAVAILABLE, "the bucket does not answer")
POLICIES = finding.Unmet(Reason.POLICIES_MISSING, "a forbidden write passed")
ASKS = {"approvals": [{"name": "risk"}]}
LATER = "2026-10-01T00:00:01Z"
FREE: dict[str, Any] = {}
SUCCEEDED = promotion("before", of="0", finished="2026-10-01T00:00:00Z")


def told(before: world.World) -> api.Promotion:
    """The promotion p as it is after the decision."""
    [one] = [one for one in before.promotions if one.metadata.name == "p"]
    status = decide.decide(before, NOW).promotions.get("p", one.status)
    return one.model_copy(update={"status": status})


def asking(gates: dict[str, Any], *people: str, decision: str = "Approved", **around: Any) -> world.World:
    of = a_model(gates=gates)
    about = approvals.subject(seen(of=of), "production", "1")
    entries = [{"user": user, "gate": "risk", "decision": decision, "subject": about} for user in people]
    return seen(promotion("p", approvals=entries), of=of, **around)


# The world, the phase, Ready, and its reason.
TABLE: dict[str, tuple[world.World, Phase, str, Reason]] = {
    "nothing is in the way": (asking(FREE), Phase.ROLLING_OUT, "False", Reason.ROLLING_OUT),
    "people are asked": (asking(ASKS), Phase.AWAITING_APPROVAL, "False", Reason.AWAITING_APPROVAL),
    "people agreed": (asking(ASKS, "bob"), Phase.ROLLING_OUT, "False", Reason.ROLLING_OUT),
    "somebody said no": (asking(ASKS, "bob", decision="Rejected"), Phase.REJECTED, "False", Reason.REJECTED),
    "the ledger does not answer": (asking(FREE, withheld=LEDGER), Phase.PENDING, "Unknown", Reason.LEDGER_UNAVAILABLE),
    "the ledger does not answer, and people agreed": (
        asking(ASKS, "bob", withheld=LEDGER),
        Phase.PENDING,
        "Unknown",
        Reason.LEDGER_UNAVAILABLE,
    ),
    "people are asked also while the ledger does not answer": (
        asking(ASKS, withheld=LEDGER),
        Phase.AWAITING_APPROVAL,
        "False",
        Reason.AWAITING_APPROVAL,
    ),
    "a no needs no ledger": (asking(ASKS, "bob", decision="Rejected", withheld=LEDGER), Phase.REJECTED, "False", Reason.REJECTED),
    "nobody is asked without policies": (asking(ASKS, unguarded=POLICIES), Phase.PENDING, "Unknown", Reason.POLICIES_MISSING),
    "nor counted": (asking(ASKS, "bob", unguarded=POLICIES), Phase.PENDING, "Unknown", Reason.POLICIES_MISSING),
    "where nobody is asked policies are not missed": (asking(FREE, unguarded=POLICIES), Phase.ROLLING_OUT, "False", Reason.ROLLING_OUT),
    "what a person must mend is told before trouble of ours": (
        asking({**ASKS, "evidence": ["ModelCard"]}, unguarded=POLICIES, withheld=LEDGER),
        Phase.BLOCKED,
        "False",
        Reason.EVIDENCE_MISSING,
    ),
    "and what comes by itself": (
        asking({**ASKS, "after": ["staging"]}, unguarded=POLICIES, withheld=LEDGER),
        Phase.PENDING,
        "False",
        Reason.WAITING_FOR_STAGE,
    ),
    "a rollback needs neither ledger nor policies nor people": (
        seen(
            SUCCEEDED,
            promotion("p", of="0", rollback=True),
            of=a_model(gates=ASKS),
            versions=(version("0"), version()),
            withheld=LEDGER,
            unguarded=POLICIES,
        ),
        Phase.ROLLING_OUT,
        "False",
        Reason.ROLLING_OUT,
    ),
    "a pause is told when nothing else is left": (
        seen(promotion("p", paused=True), of=a_model(gates=FREE)),
        Phase.BLOCKED,
        "False",
        Reason.PAUSED,
    ),
    "people may agree while it is paused": (
        seen(promotion("p", paused=True), of=a_model(gates=ASKS)),
        Phase.AWAITING_APPROVAL,
        "False",
        Reason.AWAITING_APPROVAL,
    ),
}


@pytest.mark.parametrize("sentence", TABLE)
def test_a_promotion(sentence: str) -> None:
    before, phase, ready, reason = TABLE[sentence]

    status = told(before).status

    found = finding.find(status.conditions, "Ready")
    assert found is not None
    assert (status.phase, found.status, found.reason) == (phase, ready, reason)


def condition(one: api.Promotion, kind: str) -> tuple[str, str] | None:
    found = finding.find(one.status.conditions, kind)
    return (found.status, found.reason) if found else None


def test_approved_says_who_is_missing_and_is_true_when_the_stage_is_granted() -> None:
    waiting, agreed = told(asking(ASKS)), told(asking(ASKS, "bob"))

    assert condition(waiting, "GatesPassed") == ("True", Reason.GATES_PASSED)
    assert condition(waiting, "Approved") == ("False", Reason.AWAITING_APPROVAL)
    assert condition(agreed, "Approved") == ("True", Reason.APPROVED)
    assert condition(told(asking(FREE)), "Approved") is None
    found = finding.find(agreed.status.conditions, "Approved")
    assert found is not None
    assert found.message == "risk: 1 of 1 approved (bob)"


def test_a_machines_request_says_so() -> None:
    machine = seen(promotion("p", requestedBy="system:serviceaccount:argocd:argocd"), of=a_model(gates=ASKS))

    assert condition(told(machine), "RequestedByMachine") == ("True", Reason.REQUESTED_BY_MACHINE)
    assert condition(told(asking(ASKS)), "RequestedByMachine") is None


def test_the_subject_is_there_as_soon_as_the_version_is_verified_and_stays_current_until_the_grant() -> None:
    of = a_model(gates={**ASKS, "evidence": ["ModelCard"]})
    blocked = seen(promotion("p"), of=of)
    first = told(blocked)
    assert first.status.subject == approvals.subject(blocked, "production", "1")

    added = dataclasses.replace(
        blocked, promotions=(first,), versions={"1": version(evidence=evidence("ModelCard"), evidence_verified="True")}
    )
    second = told(added)
    assert second.status.subject == approvals.subject(added, "production", "1") != first.status.subject

    granted = told(asking(ASKS, "bob"))
    later = dataclasses.replace(asking(ASKS, "bob"), promotions=(granted,), versions={"1": version(metrics={"auc": 1})})
    holder = {"name": "p", "uid": "p", "version": "1"}
    holding = a_model(gates=ASKS, status={"stages": [{"name": "production", "promotion": holder}]})
    assert told(dataclasses.replace(later, model=holding)).status.subject == granted.status.subject


def rolled_out(*others: api.Promotion, **around: Any) -> world.World:
    """P holds the stage and has nothing left to do but to Succeed."""
    current = {"name": "production", "current": "0", "promotion": {"name": "p", "uid": "p", "version": "1"}}
    running = promotion("p")
    running = running.model_copy(update={"status": running.status.model_copy(update={"phase": Phase.ROLLING_OUT})})
    return seen(SUCCEEDED, running, *others, of=a_model(status={"stages": [current]}), versions=(version("0"), version()), **around)


def test_a_rollout_does_not_succeed_while_that_cannot_be_recorded() -> None:
    assert told(rolled_out()).status.phase == Phase.SUCCEEDED
    waiting = told(rolled_out(withheld=LEDGER))
    assert (waiting.status.phase, condition(waiting, "Ready")) == (Phase.ROLLING_OUT, ("Unknown", Reason.LEDGER_UNAVAILABLE))


def test_a_rollback_does_not_wait_behind_a_rollout_that_cannot_be_recorded() -> None:
    plan = decide.decide(rolled_out(promotion("back", of="0", rollback=True, created=LATER), withheld=LEDGER), NOW)

    assert {name: status.phase for name, status in plan.promotions.items()} == {"p": Phase.SUPERSEDED, "back": Phase.ROLLING_OUT}
    assert plan.status is not None
    holders = {one.name: one.promotion and one.promotion.name for one in plan.status.stages or []}
    assert holders["production"] == "back"


def test_abort_goes_on_while_nothing_can_be_recorded() -> None:
    running = rolled_out(withheld=LEDGER)
    aborted = running.promotions[1].model_copy(update={"spec": running.promotions[1].spec.model_copy(update={"abort": True})})

    assert told(dataclasses.replace(running, promotions=(SUCCEEDED, aborted))).status.phase == Phase.ABORTED


def test_a_grant_supersedes_those_before_it_once_the_model_names_it_whatever_comes_of_it() -> None:
    early, late, of = promotion("early", of="0"), promotion("p"), a_model(gates=FREE)
    decision = decide.decide(seen(early, late, of=of, versions=(version("0"), version())), NOW)
    assert {name: status.phase for name, status in decision.promotions.items()} == {"p": Phase.ROLLING_OUT, "early": None}

    holding = rolled_out(promotion("early", of="0"))
    aborted = holding.promotions[1].model_copy(update={"spec": holding.promotions[1].spec.model_copy(update={"abort": True})})
    for holder, phase in ((holding.promotions[1], Phase.SUCCEEDED), (aborted, Phase.ABORTED)):
        next_one = decide.decide(dataclasses.replace(holding, promotions=(SUCCEEDED, holder, holding.promotions[2])), NOW)
        assert (next_one.promotions["p"].phase, next_one.promotions["early"].phase) == (phase, Phase.SUPERSEDED)


def test_whoever_waits_for_another_promotion_is_asked_after_it() -> None:
    serves = {"port": 1, "template": {"spec": {"containers": [{"name": "s"}]}}}
    rollout = {"version": "1", "template": "sha256:0", "since": "2026-10-03T14:00:00Z"}
    holder = {"name": "production", "promotion": {"name": "q", "uid": "q", "version": "1"}, "rollout": rollout}
    of = a_model(gates=ASKS, serving=serves, status={"stages": [holder]})
    taken = dict.fromkeys(decide.decide(seen(of=of), NOW).ask)

    waiting = told(seen(promotion("q"), promotion("p", created=LATER), of=of, answers=taken))

    assert (waiting.status.phase, condition(waiting, "Ready")) == (Phase.PENDING, ("False", Reason.WAITING_FOR_PROMOTION))


def test_what_is_over_is_told_of_the_newest_generation() -> None:
    over = told(asking(ASKS, "bob", decision="Rejected"))
    known = over.status.model_copy(update={"recorded": None})
    changed = over.model_copy(update={"metadata": over.metadata.model_copy(update={"generation": 7}), "status": known})

    again = told(seen(changed, of=a_model(gates=ASKS))).status

    assert (again.phase, again.observed_generation) == (Phase.REJECTED, 7)
    assert [one.message for one in again.conditions] == [one.message for one in over.status.conditions]


def test_auto_promote_asks_people_by_making_the_promotion() -> None:
    waits = a_model(gates=ASKS, autoPromote=True)
    missing = a_model(gates={**ASKS, "evidence": ["ModelCard"]}, autoPromote=True)

    assert decide.decide(seen(of=waits), NOW).create == (("production", "1"),)
    assert decide.decide(seen(of=missing), NOW).create == ()
    assert decide.decide(seen(of=waits, withheld=LEDGER), NOW).create == ()


WAITS: dict[str, tuple[dict[str, Any], tuple[tuple[str, str], ...]]] = {
    "that is blocked": ({"of": "1"}, (("production", "3"),)),
    "that a person paused": ({"of": "2", "paused": True}, (("production", "3"),)),
    "of the highest version": ({"of": "3", "paused": True}, ()),
    "of a version that does not exist yet": ({"of": "2.5.0"}, (("production", "3"),)),
    "that is a rollback": ({"of": "0", "rollback": True, "paused": True}, ()),
}


@pytest.mark.parametrize("sentence", WAITS)
def test_auto_promote_overtakes_no_rollback_and_goes_on_above_a_promotion(sentence: str) -> None:
    waits, create = WAITS[sentence]
    versions = (version("0"), version("1", lifecycle="Retired", phase="Retired"), version("2"), version("3"))
    of = a_model(gates={}, autoPromote=True)

    assert decide.decide(seen(SUCCEEDED, promotion("p", **waits), of=of, versions=versions), NOW).create == create


def test_auto_promote_looks_again_when_a_freeze_ends() -> None:
    of = a_model(gates=FREE, autoPromote=True, frozen={"reason": "x", "until": "2026-10-03T15:03:00Z"})

    again = decide.decide(seen(of=of), NOW).again
    assert again is not None
    assert again.total_seconds() == 3600


def test_the_status_says_what_is_asked_and_who_has_agreed() -> None:
    """The API server judges approvals by it: which gates there are, and which of them machines may approve."""
    gates = {"approvals": [{"name": "risk", "required": 2}, {"name": "robots", "allowServiceAccounts": True}]}
    status = told(asking(gates, "bob")).status

    assert [row.dump() for row in status.approvals or []] == [
        {"gate": "risk", "required": 2, "approvedBy": ["bob"]},
        {"gate": "robots", "required": 1, "allowServiceAccounts": True},
    ]
    assert told(asking(FREE)).status.approvals is None


def test_auto_promote_asks_for_nothing_that_ended_in_the_stage_before_though_its_promotion_is_gone() -> None:
    ran = index.Promotion("u", "1", "production", phase="RolledBack")
    stage: dict[str, Any] = {"gates": {}, "autoPromote": True}

    assert decide.decide(seen(of=a_model(**stage)), NOW).create == (("production", "1"),)
    assert decide.decide(seen(of=a_model(**stage), past=index.Index(promotions={"mine": ran})), NOW).create == ()


@pytest.mark.parametrize(
    ("known", "around", "again"),
    [
        pytest.param({}, {}, False, id="it is gone, and that is noticed now"),
        pytest.param({"deleted": True}, {}, False, id="its deletion is on record"),
        pytest.param({"lost": True}, {}, True, id="it was lost with what the cluster had"),
        pytest.param({}, {"older": True}, True, id="an older backup was restored"),
        pytest.param({"deleted": True, "stage": "staging"}, {}, True, id="it was another stage's"),
    ],
)
def test_auto_promote_does_not_ask_again_for_what_a_person_deleted_before_its_grant(
    known: dict[str, Any], around: dict[str, Any], again: bool
) -> None:
    asked = index.Promotion(**{"uid": "u", "version": "1", "stage": "production", **known})
    before = seen(of=a_model(gates={}, autoPromote=True), past=index.Index(uid="m", promotions={"mine": asked}), **around)

    assert bool(decide.decide(before, NOW).create) == again


def test_a_name_runs_once_though_its_promotion_was_replaced_by_another_before_anybody_looked() -> None:
    ran = index.Promotion("another uid", "1", "production", granted=3)
    again = seen(promotion("p"), of=a_model(gates=FREE), past=index.Index(uid="u", promotions={"p": ran}))

    assert (told(again).status.phase, condition(told(again), "Ready")) == (Phase.ABORTED, ("False", Reason.ALREADY_RAN))
    facts = model.entries(again, decide.decide(again, NOW), NOW).facts
    assert [(one.action, one.subject.uid) for one in facts if one.subject.kind == "Promotion"] == [
        ("Ended", "another uid"),
        ("Deleted", "another uid"),
    ]
    behind = dataclasses.replace(again, promotions=(), withheld=finding.Unmet(Reason.BEHIND, "an older backup was restored"))
    assert not [one for one in model.entries(behind, decide.decide(behind, NOW), NOW).facts if one.action == "Ended"]


def test_what_was_lost_with_the_registry_before_it_ended_may_be_asked_for_again() -> None:
    lost = index.Promotion("another uid", "1", "production", granted=3, deleted=True)

    assert told(seen(promotion("p"), of=a_model(gates=FREE), past=index.Index(promotions={"p": lost}))).status.phase == Phase.ROLLING_OUT
