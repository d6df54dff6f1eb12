"""Whatever template the API server admits is rendered, or it is said what is wrong with it and where."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.api import serving
from modelyard.api.reason import Reason
from modelyard.plan.serving import objects, podtemplate
from modelyard.plan.serving.template import ARTIFACT_VOLUME, FETCH, FILES_VOLUME, invalid, source
from tests.unit.plan.serving import test_template

FIELDS = (
    "metadata", "labels", "annotations", "spec", "containers", "initContainers", "volumes", "name", "env", "value", "valueFrom",
    "volumeMounts", "mountPath", "readOnly", "configMap", "image", "ports", "containerPort", "resources",
)  # fmt: skip
NAMES = (ARTIFACT_VOLUME, FILES_VOLUME, FETCH, "MODELYARD_PATH", "MODELYARD_VERSION", "server", "")
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(NAMES) | st.text(max_size=5)
JSON = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=3), below, max_size=4),
    max_leaves=25,
)


def named(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A mapping of which any field may be absent, or anything else."""
    return st.fixed_dictionaries({}, optional={key: JSON | value for key, value in fields.items()})


ENTRY = named(name=st.sampled_from(NAMES), value=st.text(max_size=3), mountPath=st.just("/m"), configMap=named(name=st.text(max_size=3)))
CONTAINER = named(name=st.sampled_from(NAMES), env=st.lists(ENTRY, max_size=3), volumeMounts=st.lists(ENTRY, max_size=3))
SPEC = named(
    containers=st.lists(CONTAINER, min_size=1, max_size=3),
    initContainers=st.lists(CONTAINER, max_size=2),
    volumes=st.lists(ENTRY, max_size=3),
)
TEMPLATE = named(metadata=named(labels=JSON, annotations=JSON), spec=SPEC)


def judged(template: dict[str, Any]) -> str | None:
    """What is wrong with a template; None: it was rendered, and can be applied."""
    found = invalid(serving.Serving(template=template, port=8080))
    if found:
        assert found.reason == Reason.TEMPLATE_INVALID
        return found.message
    document = test_template.rendered(test_template.model(template))
    wish = objects.Serve("fraud", "production", "sha256:2", 1, serving.Strategy.RECREATE, paused=False, deadline=600)
    *_, deployment = objects.objects(wish, json.dumps(document).encode(), "risk")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["initContainers"][-1]["name"] == FETCH
    assert document["config"] in objects.config_maps(pod)
    return None


@given(TEMPLATE)
def test_any_template_is_rendered_or_refused_with_the_path_of_what_is_wrong(template: dict[str, Any]) -> None:
    source(serving.Serving(template=template, port=8080))

    found = judged(template)

    assert found is None or any(path in found for path in ("spec", "metadata", "name"))


SERVER: dict[str, Any] = {"name": "server", "image": "serve:1"}


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (
            {"spec": {"containers": [SERVER], "initContainers": ["x"]}},
            "spec.initContainers[0] of the template is a string: it must be a map",
        ),
        ({"spec": {"containers": [5]}}, "spec.containers[0] of the template is a number: it must be a mapping"),
        ({"spec": {"containers": "x"}}, "spec.containers of the template is a string: it must be a list"),
        ({"spec": {"containers": [SERVER], "volumes": {"a": 1}}}, "spec.volumes of the template is a mapping: it must be a list"),
        (
            {"spec": {"containers": [SERVER], "volumes": [{"name": ["a"]}]}},
            "spec.volumes[0].name of the template is a list: it must be a str",
        ),
        ({"spec": {"containers": [{**SERVER, "env": ["A=1"]}]}}, "spec.containers[0].env[0] of the template is a string"),
        ({"spec": {"containers": [{**SERVER, "env": [{"name": {}}]}]}}, "spec.containers[0].env[0].name of the template is a mapping"),
        ({"spec": {"containers": [{**SERVER, "env": [{"name": "A", "value": 1}]}]}}, "env[0].value of the template is a number"),
        (
            {"spec": {"containers": [SERVER, {"volumeMounts": [True]}]}},
            "spec.containers[1].volumeMounts[0] of the template is true or false",
        ),
        ({"metadata": 5, "spec": {"containers": [SERVER]}}, "metadata of the template is a number: it must be a mapping"),
        (
            {"metadata": {"labels": ["a"]}, "spec": {"containers": [SERVER]}},
            "metadata.labels of the template is a list: it must be a mapping",
        ),
        ({"spec": "x"}, "spec of the template is a string: it must be a mapping"),
        ({}, "spec.containers of the template is empty: the first container serves"),
        ({"metadata": None, "spec": {"containers": [SERVER], "initContainers": None, "volumes": None}}, None),
    ],
)
def test_what_is_wrong_is_named(template: dict[str, Any], said: str | None) -> None:
    found = judged(template)

    assert found is None if said is None else said in str(found)


def test_what_is_nested_too_deep_is_named_however_deep_it_is() -> None:
    deep: Any = "x"
    for _ in range(10_000):
        deep = {"a": deep}

    found = podtemplate.wrong({"spec": {"containers": [SERVER], "affinity": deep}})

    assert found == "spec.affinity.a.a of the template is nested more than 64 levels deep: write it flatter"


def test_an_own_mount_without_a_path_gets_the_usual_one() -> None:
    spec = test_template.pod({"spec": {"containers": [{**SERVER, "volumeMounts": [{"name": ARTIFACT_VOLUME}]}]}})

    assert spec["initContainers"][-1]["volumeMounts"][0]["mountPath"] == "/models"
