"""Approvals: what is asked to be approved, and whose word counts."""

from __future__ import annotations

from typing import Any

import pytest

from modelyard import api
from modelyard.api.promotion import Decision
from modelyard.plan.observed import world
from modelyard.plan.promotion import approvals
from tests.fakes.objects import evidence, model, promotion, seen, version

SERVING = {"port": 1, "template": {"spec": {"containers": [{"name": "s"}]}}}
GATES = {"approvals": [{"name": "risk"}, {"name": "business"}]}


def subject(of: api.Model | None = None, one: api.ModelVersion | None = None, stage: str = "production") -> str:
    found = approvals.subject(seen(of=of or model(gates=GATES, serving=SERVING), versions=(one or version(),)), stage, "1")
    assert found is not None
    return found


ABOUT = subject()
CHANGES = {
    "metadata": lambda: subject(one=version(training={"seed": 7})),
    "a metric that is added": lambda: subject(one=version(metrics={"auc": 0.9})),
    "evidence that is added": lambda: subject(one=version(evidence=evidence("Other"))),
    "another gate": lambda: subject(model(gates={**GATES, "documentation": True}, serving=SERVING)),
    "fewer approvals": lambda: subject(model(gates={"approvals": [{"name": "risk"}]}, serving=SERVING)),
    "a gate that asks about templates as well": lambda: subject(
        model(gates={"approvals": [{"name": "risk", "scope": "Template"}, {"name": "business"}]}, serving=SERVING)
    ),
    "another template": lambda: subject(model(gates=GATES, serving={**SERVING, "template": {"spec": {"containers": [{"name": "t"}]}}})),
    "another port": lambda: subject(model(gates=GATES, serving={**SERVING, "port": 2})),
    "another strategy": lambda: subject(model(gates=GATES, serving={**SERVING, "strategy": "Recreate"})),
    "another stage": lambda: subject(stage="staging"),
}


def test_what_was_approved_before_a_gate_could_say_that_it_asks_about_templates_stays_approved() -> None:
    gates = {"after": ["staging"], "approvals": [{"name": "risk", "required": 2}, {"name": "business"}]}

    assert subject(model(gates=gates, serving=SERVING)) == "sha256:716d4d6ddf08277ed5e71c7b0a565256e05ea016bc84b64fd01e0336a26f807a"


@pytest.mark.parametrize("what", CHANGES)
def test_people_are_asked_anew_when_something_else_is_asked(what: str) -> None:
    assert CHANGES[what]() != ABOUT


def test_the_risk_tier_is_asked_about_where_it_decides_what_is_documented() -> None:
    def of(tier: str | None, **gates: Any) -> str:
        return subject(model(spec={"riskTier": tier}, gates={**GATES, **gates}, serving=SERVING))

    assert of("High") == of("Low") == of(None) == ABOUT
    assert of("High", documentation=True) != of("Low", documentation=True) == of(None, documentation=True)


def test_other_bytes_are_another_subject() -> None:
    one = version()
    assert one.status.artifact
    status = one.status.model_copy(update={"artifact": one.status.artifact.model_copy(update={"digest": "sha256:9"})})

    assert subject(one=one.model_copy(update={"status": status})) != ABOUT


def test_the_order_of_lists_means_nothing_nor_do_descriptions_and_replicas() -> None:
    turned = {"approvals": [{"name": "business"}, {"name": "risk"}]}
    data = [{"name": "a", "role": "Test"}, {"name": "b", "role": "Training"}]

    assert subject(model(gates=turned, serving={**SERVING, "replicas": 3}, frozen={"reason": "x"})) == ABOUT
    assert subject(one=version(description="new words", tags={"a": "b"})) == ABOUT
    assert subject(one=version(lineage={"datasets": data})) == subject(one=version(lineage={"datasets": data[::-1]}))
    both = evidence("Other", "ModelCard")
    assert subject(one=version(evidence=both)) == subject(one=version(evidence=both[::-1]))


def test_numbers_that_json_cannot_hold_are_told_apart() -> None:
    assert subject(one=version(training={"seed": 2**60})) != subject(one=version(training={"seed": 2**60 + 1}))
    assert subject(one=version(metrics={"auc": "NaN"})) != ABOUT


def test_nothing_can_be_approved_before_the_bytes_are_known() -> None:
    one = version()
    unknown = one.model_copy(update={"status": one.status.model_copy(update={"artifact": None})})

    assert approvals.subject(seen(versions=(unknown,)), "production", "1") is None


def said(user: str, gate: str = "risk", decision: str = "Approved", about: str | None = ABOUT) -> dict[str, Any]:
    return {"user": user, "gate": gate, "decision": decision, "subject": about}


def counted(*entries: dict[str, Any], gates: list[dict[str, Any]] | None = None, **around: Any) -> dict[str, tuple[str, ...]]:
    asked = promotion("p", approvals=list(entries), requestedBy="alice")
    declared = model(gates={"approvals": gates or [{"name": "risk"}]}).spec.stages or []
    here = seen(registrants={"1": "ci"}, **around)
    return {
        one.gate: one.people
        for one in approvals.count(here, asked, (declared[1].gates and declared[1].gates.approvals) or [], ABOUT)
        if one.holds
    }


TABLE: dict[str, tuple[list[dict[str, Any]], dict[str, tuple[str, ...]]]] = {
    "one person agrees": ([said("bob")], {"risk": ("bob",)}),
    "nobody has said anything": ([], {}),
    "who asked does not count": ([said("alice")], {}),
    "who registered the version does not count": ([said("ci")], {}),
    "service accounts do not count": ([said("system:serviceaccount:argocd:argocd")], {}),
    "what was withdrawn does not count": ([said("bob", decision="Withdrawn")], {}),
    "what is about another subject does not count": ([said("bob", about="sha256:1")], {}),
    "what is about nothing does not count": ([said("bob", about=None)], {}),
    "what is said to another gate does not count": ([said("bob", "legal")], {}),
    "one who does not count takes nobody's place": ([said("alice"), said("bob")], {"risk": ("bob",)}),
}


@pytest.mark.parametrize("sentence", TABLE)
def test_whose_word_counts(sentence: str) -> None:
    entries, expected = TABLE[sentence]

    assert counted(*entries) == expected


def test_service_accounts_count_where_the_gate_says_so_but_never_those_who_asked() -> None:
    gates = [{"name": "risk", "allowServiceAccounts": True}]

    assert counted(said("system:bot"), gates=gates) == {"risk": ("system:bot",)}
    assert counted(said("alice"), gates=gates) == {}


def test_whoever_registered_the_same_version_again_does_not_count_either() -> None:
    assert counted(said("dan"), registered_again={"1": ["dan"]}) == {}
    assert counted(said("ci"), registered_again={"1": ["dan"]}) == {}


def test_what_appeared_while_the_policies_were_not_effective_does_not_count() -> None:
    doubted: dict[str, Any] = {"doubted": frozenset({("p", "bob", "risk")})}

    assert counted(said("bob"), **doubted) == {}
    assert counted(said("bob"), said("carol"), **doubted) == {"risk": ("carol",)}
    # A doubted no ends nothing, and is not overruled either.
    assert counted(said("bob", decision="Rejected"), said("carol"), **doubted) == {}


def test_one_person_counts_for_one_gate_only() -> None:
    gates = [{"name": "risk"}, {"name": "business"}]

    assert counted(said("bob"), said("bob", "business"), gates=gates) == {"business": ("bob",)}
    assert counted(said("bob"), said("bob", "business"), said("carol"), gates=gates) == {"risk": ("carol",), "business": ("bob",)}


def test_people_are_matched_such_that_all_gates_hold_if_they_can() -> None:
    willing = {"a": ["ann", "bob"], "b": ["ann"], "c": ["bob", "cat", "dan"]}

    assert approvals.match(willing, {"a": 1, "b": 1, "c": 2}) == {"a": ("bob",), "b": ("ann",), "c": ("cat", "dan")}
    assert approvals.match({"a": ["ann"]}, {"a": 2}) == {"a": ("ann",)}


def test_a_rejection_counts_for_what_is_asked_now() -> None:
    def no(about: str, **around: Any) -> bool:
        asked = promotion("p", approvals=[said("carol", decision=Decision.REJECTED, about=about)])
        gates = api.Stage.model_validate({"name": "x", "gates": {"approvals": [{"name": "risk"}]}}).gates
        assert gates
        return (
            approvals.rejection(world.World("risk", "fraud", None, {}, (), {}, **around), asked, gates.approvals or [], ABOUT) is not None
        )

    assert no(ABOUT)
    assert not no("sha256:1")
    assert not no(ABOUT, doubted=frozenset({("p", "carol", "risk")}))
