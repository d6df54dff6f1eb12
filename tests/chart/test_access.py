"""The chart's policies, stamps and roles: those of the repository, under the release's names and values."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
import yaml

from modelyard.api import access
from tests.chart.rendering import CHART, STAMPING, Render, of_kind

PLAIN = CHART.parents[1] / "crds" / "policies"
POLICIES = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
STAMPS = ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")
Json = dict[str, Any]


def said(objects: list[Json]) -> dict[tuple[str, str], Json]:
    """What objects say but for who installed them, by kind and name."""
    return {
        (one["kind"], one["metadata"]["name"]): {key: value for key, value in one.items() if key != "metadata"}
        | {"into": sorted(label for label in one["metadata"].get("labels", {}) if "aggregate-to" in label)}
        for one in objects
    }


def written(path: pathlib.Path) -> list[Json]:
    return list(yaml.safe_load_all(path.read_text()))


def test_the_chart_says_what_the_plain_manifests_say(render: Render) -> None:
    objects = render({}, "modelyard", STAMPING)
    roles = [one for one in of_kind(objects, "ClusterRole") if one["metadata"]["name"] not in OPERATORS]

    assert said(of_kind(objects, *POLICIES)) == said(written(PLAIN / "policies.yaml"))
    assert said(of_kind(objects, *STAMPS)) == said(written(PLAIN / "stamps.yaml"))
    assert said(roles) == said(written(PLAIN / "roles.yaml"))


def test_stamps_are_only_where_the_api_server_has_them(render: Render) -> None:
    assert of_kind(render(), *STAMPS) == []
    assert len(of_kind(render({}, "modelyard", STAMPING), *STAMPS)) == 2 * len(access.STAMPS)


def test_names_are_the_release_s(render: Render) -> None:
    objects = render({"serviceAccount": {"name": "yard"}}, "second", STAMPING)

    text = json.dumps(of_kind(objects, *POLICIES))
    assert "system:serviceaccount:modelyard-system:yard" in text
    assert "ClusterRole second-modelyard-approver" in text
    assert "MODELYARD" not in text
    assert {one["metadata"]["name"].startswith("second-modelyard-") for one in of_kind(objects, *POLICIES, *STAMPS)} == {True}


def test_where_it_watches_some_namespaces_only_those_are_judged(render: Render) -> None:
    objects = render({"watchNamespaces": ["risk", "marketing"]}, "modelyard", STAMPING)
    bindings = of_kind(objects, POLICIES[1], STAMPS[1])

    matching = {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["risk", "marketing"]}]}
    assert [one["spec"]["matchResources"] for one in bindings] == [{"namespaceSelector": matching}] * len(bindings)


def test_values_say_what_is_enforced(render: Render) -> None:
    guard = {"enabled": False}
    objects = render(
        {"policies": {"actions": ["Warn", "Audit"], "servingGuard": guard, "signedChanges": False}, "roles": {"install": False}}
    )
    bindings = of_kind(objects, POLICIES[1])
    (changes,) = (one for one in of_kind(objects, POLICIES[0]) if one["metadata"]["name"] == "modelyard-changes")

    assert {tuple(one["spec"]["validationActions"]) for one in bindings} == {("Warn", "Audit")}
    assert "modelyard-serving" not in {one["metadata"]["name"] for one in bindings}
    assert len(bindings) == len(access.POLICIES) - 1
    assert len(changes["spec"]["validations"]) == 1
    assert {one["metadata"]["name"] for one in of_kind(objects, "ClusterRole")} == OPERATORS
    assert of_kind(render({"policies": {"install": False}}, "modelyard", STAMPING), *POLICIES, *STAMPS) == []


def test_others_may_be_let_to_what_serves(render: Render) -> None:
    objects = render({"policies": {"servingGuard": {"allow": ["system:cloud-controller", "neg@example.com"]}}})
    (guard,) = (one for one in of_kind(objects, POLICIES[0]) if one["metadata"]["name"] == "modelyard-serving")

    assert guard["spec"]["variables"] == [{"name": "others", "expression": '["system:cloud-controller","neg@example.com"]'}]


OPERATORS = {"modelyard", "modelyard-identity"}
"""The operator's own roles."""


@pytest.mark.parametrize("role", ["publisher", "promoter", "approver", "governor", "owner"])
def test_only_seeing_is_part_of_the_built_in_roles(render: Render, role: str) -> None:
    roles = {one["metadata"]["name"]: one["metadata"]["labels"] for one in of_kind(render(), "ClusterRole")}

    assert roles["modelyard-viewer"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert [label for label in roles[f"modelyard-{role}"] if "aggregate" in label] == []
