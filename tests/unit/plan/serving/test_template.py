from __future__ import annotations

import dataclasses
import gzip
import json
from typing import Any

import pytest

from modelyard import api
from modelyard.api import serving
from modelyard.content import manifest
from modelyard.plan.serving import objects
from modelyard.plan.serving import template as serving_template

MANIFEST = manifest.write_manifest(manifest.manifest([manifest.File("model.onnx", 5, "0" * 64, "e", "v1")]))


def model(template: dict[str, Any], **storage: Any) -> api.Model:
    stage = {"name": "production", "serving": {"port": 8080, "template": template}}
    spec = {"owner": {"team": "t"}, "storage": {"uri": "s3://models/fraud/", **storage}, "stages": [stage]}
    return api.Model.model_validate({"metadata": {"name": "fraud", "namespace": "risk"}, "spec": spec})


def rendered(of: api.Model) -> dict[str, Any]:
    assert of.spec.stages
    assert of.spec.stages[0].serving
    files = serving_template.files(MANIFEST)
    plan = serving_template.Blueprint(
        of, "production", of.spec.stages[0].serving, "1.0.0", "s3://models/fraud/1.0.0/", "sha256:" + "1" * 64, files, "modelyard:1"
    )
    document: dict[str, Any] = json.loads(serving_template.render(plan))
    return document


def pod(template: dict[str, Any], **storage: Any) -> dict[str, Any]:
    spec: dict[str, Any] = rendered(model(template, **storage))["template"]["spec"]
    return spec


SERVER: dict[str, Any] = {"spec": {"containers": [{"name": "server", "image": "serve:1"}]}}


def test_the_pods_get_path_size_and_version_of_every_file() -> None:
    assert json.loads(gzip.decompress(serving_template.files(MANIFEST))) == [["model.onnx", 5, "v1"]]


def test_the_fetch_container_comes_last_and_is_confined() -> None:
    template = {"spec": {**SERVER["spec"], "initContainers": [{"name": "mine", "image": "x"}]}}

    init = pod(template)["initContainers"]

    assert [one["name"] for one in init] == ["mine", "modelyard-fetch"]
    assert init[-1]["image"] == "modelyard:1"
    assert init[-1]["securityContext"]["readOnlyRootFilesystem"] is True
    assert init[-1]["securityContext"]["runAsNonRoot"] is True


def test_only_the_fetch_container_can_write_the_artifact() -> None:
    sneaky = {"name": "modelyard-artifact", "mountPath": "/m"}
    containers = [{"name": "server", "image": "x"}, {"name": "beside", "image": "y", "volumeMounts": [sneaky]}]
    template = {"spec": {"containers": containers, "initContainers": [{"name": "before", "image": "z", "volumeMounts": [sneaky]}]}}

    spec = pod(template)

    writable = {
        one["name"]
        for one in [*spec["containers"], *spec["initContainers"]]
        for mount in one.get("volumeMounts", [])
        if mount["name"] == "modelyard-artifact" and not mount.get("readOnly")
    }
    assert writable == {"modelyard-fetch"}


def test_the_server_knows_what_it_serves_and_its_own_path_is_kept() -> None:
    server = {
        "name": "server",
        "image": "x",
        "env": [{"name": "MODELYARD_PATH", "value": "/data"}, {"name": "MODELYARD_VERSION", "value": "lie"}],
    }

    spec = pod({"spec": {"containers": [server]}})

    environment = {one["name"]: one.get("value") for one in spec["containers"][0]["env"]}
    assert environment == {
        "MODELYARD_MODEL": "fraud",
        "MODELYARD_VERSION": "1.0.0",
        "MODELYARD_STAGE": "production",
        "MODELYARD_DIGEST": "sha256:" + "1" * 64,
        "MODELYARD_PATH": "/data",
    }
    assert spec["containers"][0]["volumeMounts"] == [{"name": "modelyard-artifact", "mountPath": "/data", "readOnly": True}]
    assert spec["initContainers"][-1]["volumeMounts"][0]["mountPath"] == "/data"


def test_credentials_are_references_and_the_serving_ones_come_first() -> None:
    spec = pod(SERVER, credentials={"secretName": "all"}, servingCredentials={"secretName": "read"})

    references = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in spec["initContainers"][-1]["env"] if "valueFrom" in one}
    assert references == {
        "AWS_ACCESS_KEY_ID": {"name": "read", "key": "AWS_ACCESS_KEY_ID"},
        "AWS_SECRET_ACCESS_KEY": {"name": "read", "key": "AWS_SECRET_ACCESS_KEY"},
        "AWS_SESSION_TOKEN": {"name": "read", "key": "AWS_SESSION_TOKEN", "optional": True},
    }


def test_the_same_blueprint_renders_to_the_same_bytes_and_the_users_template_stays_as_it_was() -> None:
    of = model(SERVER)
    before = of.model_dump_json()

    assert rendered(of) == rendered(of)
    assert of.model_dump_json() == before


def test_reserved_names_and_a_template_without_containers_are_named() -> None:
    def reserved(template: dict[str, Any]) -> str | None:
        found = serving_template.invalid(serving.Serving(template=template, port=1))
        return found.message if found else None

    assert reserved(SERVER) is None
    assert reserved({"spec": {"containers": []}}) == "spec.containers of the template is empty: the first container serves"
    assert "modelyard-fetch is reserved" in str(reserved({"spec": {"containers": [{"name": "modelyard-fetch"}]}}))
    volumes = {"spec": {**SERVER["spec"], "volumes": [{"name": "modelyard-artifact"}]}}
    assert "the volume name modelyard-artifact is reserved" in str(reserved(volumes))


def test_replicas_that_the_stage_does_not_set_are_never_applied() -> None:
    wish = objects.Serve("fraud", "production", "sha256:2", None, serving.Strategy.RECREATE, paused=False, deadline=600)

    *_, deployment = objects.objects(wish, json.dumps(rendered(model(SERVER))).encode(), "risk")

    assert "replicas" not in deployment["spec"]
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert "ownerReferences" not in deployment["metadata"]


WRITTEN: dict[str, dict[str, Any]] = {
    "as little as can be": SERVER,
    "with all that is ours, and the user's beside it": {
        "metadata": {
            "labels": {"team": "risk", "modelyard.dev/role": "mine"},
            "annotations": {"note": "x", "modelyard.dev/digest": "mine"},
        },
        "spec": {
            "initContainers": [{"name": "mine", "image": "x", "volumeMounts": [{"name": "modelyard-artifact", "mountPath": "/m"}]}],
            "containers": [
                {"name": "server", "image": "x", "env": [{"name": "A", "value": "1"}, {"name": "MODELYARD_PATH", "value": "/data"}]},
                {"name": "beside", "image": "y", "env": [{"name": "MODELYARD_PATH", "value": "/elsewhere"}]},
            ],
            "volumes": [{"name": "cache", "emptyDir": {}}],
        },
    },
    "with a mount of its own": {
        "spec": {"containers": [{"name": "server", "volumeMounts": [{"name": "modelyard-artifact", "mountPath": "/opt", "subPath": "a"}]}]}
    },
    "with lists that are empty or null": {
        "spec": {"containers": [{"name": "server", "env": None, "volumeMounts": []}], "initContainers": [], "volumes": None},
    },
}


@pytest.mark.parametrize("sentence", WRITTEN)
def test_what_the_user_wrote_renders_to_the_same_again_and_for_another_version_to_what_that_would(sentence: str) -> None:
    of = model(WRITTEN[sentence], caBundle={"configMapName": "ca"})
    assert of.spec.stages
    assert of.spec.stages[0].serving
    first = serving_template.Blueprint(
        of, "production", of.spec.stages[0].serving, "1.0.0", "s3://m/1/", "sha256:" + "1" * 64, b"1", "modelyard:1"
    )
    second = dataclasses.replace(first, version="2.0.0", uri="s3://m/2/", digest="sha256:" + "2" * 64, files=b"2")

    written = serving_template.written(serving_template.render(first))

    assert serving_template.render(dataclasses.replace(first, serving=written)) == serving_template.render(first)
    assert serving_template.render(dataclasses.replace(second, serving=written)) == serving_template.render(second)
    assert "modelyard" not in json.dumps(written.template).replace("modelyard-artifact", "")
