"""The policies as text: what CEL is asked to pay, and that they cover what DESIGN's tables name."""

from __future__ import annotations

import re

import pytest

from modelyard.api import access, labels
from modelyard.api.access import cel, model, policy, probe, role, serving
from modelyard.api.stage import DEFAULT_STAGES

VERBS = {"register", "attest", "promote", "approve", "govern", "rollback", "retire", "alias"}
CHECK = re.compile(r"\.check\('(\w+)'\)")


def asked(made: policy.Policy, expression: str) -> list[str]:
    """Verbs that are asked for in an expression and in what it uses, each variable once."""
    used: set[str] = set()
    text, rest = "", expression
    while rest:
        text += rest
        new = set(re.findall(r"variables\.(\w+)", rest)) - used
        used |= new
        rest = " ".join(made.variables[name] for name in sorted(new))
    return CHECK.findall(text)


@pytest.mark.parametrize("made", access.POLICIES, ids=lambda made: made.name)
def test_no_expression_asks_for_more_than_one_verb_of_ours_at_three_places(made: policy.Policy) -> None:
    """A check costs 350,000 of an expression's 1,000,000, each variable having a budget of its own."""
    for expression in (*made.variables.values(), *(check.expression for check in made.checks)):
        assert len(CHECK.findall(expression)) <= 2
        assert len(asked(made, expression)) <= 4


def test_every_verb_is_asked_for_and_held_by_a_role() -> None:
    text = " ".join(" ".join(made.variables.values()) + " ".join(check.expression for check in made.checks) for made in access.POLICIES)

    assert set(CHECK.findall(text)) - {"create"} == VERBS
    assert {verb for one in role.ROLES for verb in one.verbs} == VERBS


@pytest.mark.parametrize("name", ["versions", "models"])
def test_deletion_waits_for_legal_holds_and_names_the_way_out(name: str) -> None:
    [made] = [one for one in access.POLICIES if one.name == name]
    [check] = [one for one in made.checks if "variables.released" in one.expression]

    assert "held" in made.variables["released"]
    assert "status.artifact.holdMessage" in check.otherwise
    assert cel.LEAVE in check.otherwise


@pytest.mark.parametrize(
    "controller",
    ["replicaset-controller", "resource-claim-controller", "device-taint-eviction-controller", "storage-version-migrator-controller"],
)
def test_kubernetes_own_controllers_write_what_a_stage_serves(controller: str) -> None:
    [check] = serving.SERVING.checks

    assert f"'system:serviceaccount:kube-system:{controller}'" in check.expression


def test_who_writes_what_serves_is_only_asked_where_it_changes() -> None:
    [check] = serving.SERVING.checks

    assert check.expression.endswith(" || object == oldObject")


def test_every_message_names_a_role_that_there_is() -> None:
    messages = " ".join(check.otherwise for made in access.POLICIES for check in made.checks)

    assert set(re.findall(rf"{cel.PREFIX}-(\w+)", messages)) == {one.name for one in role.ROLES} - {"viewer"}


def test_the_default_stages_are_the_operator_s() -> None:
    literal = eval(model.DEFAULT_STAGES, {"dyn": lambda value: value})  # noqa: S307  our own constant, which reads the same in Python

    assert literal == [stage.dump() for stage in DEFAULT_STAGES]


def test_no_role_but_the_viewer_s_is_part_of_a_built_in_one_and_none_has_a_wildcard() -> None:
    for one in role.ROLES:
        assert (one.into is not None) == (one.name == "viewer")
        assert "*" not in str(one.dump("x"))


def test_what_the_probe_sends_is_refused_by_one_policy_only() -> None:
    """The API server names the first that refuses: two would make a coin's toss of it."""
    [sent] = [one.obj for one in probe.forbidden("yard", "me") if one.policy == "serving"]

    assert sent["metadata"]["labels"] == {cel.MANAGED_BY: cel.MANAGER, cel.MODEL_LABEL: cel.PROBE, cel.STAGE_LABEL: "probe"}


def test_the_labels_are_those_of_what_is_rendered() -> None:
    assert (cel.MANAGED_BY, cel.MANAGER, cel.MODEL_LABEL, cel.STAGE_LABEL) == (
        labels.MANAGED_BY,
        labels.MANAGER,
        labels.MODEL,
        labels.STAGE,
    )


def test_only_what_can_carry_a_label_is_guarded_by_one() -> None:
    """Bindings and what is connected to are objects of their own, without labels; pods are deleted and evicted freely."""
    rules = serving.SERVING.rules
    written = {resource for rule in rules for resource in rule.resources if "UPDATE" in rule.operations}
    deleted = {resource for rule in rules for resource in rule.resources if "DELETE" in rule.operations}

    assert deleted == {"deployments", "replicasets", "services", "configmaps", "endpointslices"}
    assert deleted | {"pods"} == {resource for resource in written if "/" not in resource}
    assert {resource.partition("/")[2] for resource in written} == {"", "status", "ephemeralcontainers", "resize"}
