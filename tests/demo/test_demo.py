"""What the demo feeds to the registry: the same in every run, and only fields that the API knows."""

from __future__ import annotations

import hashlib
import pathlib
from typing import Any

import pytest
import yaml
from kubernetes.aio.client import models

from modelyard import api
from tests.demo import train

HERE = pathlib.Path(__file__).parent
KINDS: dict[str, type[api.Model | api.Promotion]] = {"Model": api.Model, "Promotion": api.Promotion}
MANIFESTS = sorted((HERE / "manifests").glob("*.yaml"))


def written(path: pathlib.Path) -> dict[str, Any]:
    """The one object of a manifest."""
    (document,) = yaml.safe_load_all(path.read_text())
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("path", [path for path in MANIFESTS if written(path)["kind"] in KINDS], ids=lambda path: path.name)
def test_a_manifest_has_only_fields_that_the_api_knows(path: pathlib.Path) -> None:
    document = written(path)

    read = KINDS[document["kind"]].model_validate(document)

    assert read.spec.dump() == document["spec"]


def test_what_runs_has_only_fields_that_kubernetes_knows_and_is_hardened() -> None:
    by_name = {path.stem: written(path) for path in MANIFESTS}
    specs = [stage["serving"]["template"]["spec"] for stage in by_name["model"]["spec"]["stages"]] + [by_name["caller"]["spec"]]

    for spec in specs:
        models.V1PodSpec.model_validate(spec)
        assert spec["securityContext"]["runAsNonRoot"]
        assert not spec["automountServiceAccountToken"]
        for container in spec["containers"]:
            assert container["imagePullPolicy"] == "IfNotPresent"
            assert container["securityContext"]["readOnlyRootFilesystem"]


def test_no_manifest_names_a_namespace_since_every_run_has_its_own() -> None:
    assert [path.name for path in MANIFESTS if "namespace" in written(path).get("metadata", {})] == []


@pytest.fixture(scope="module")
def data() -> train.Data:
    """The patients."""
    return train.load()


def test_training_twice_gives_the_same_bytes(data: train.Data, tmp_path: pathlib.Path) -> None:
    def digests(run: str) -> dict[str, str]:
        train.train("1.0.0", 60, data, tmp_path / run)
        files = (path for path in (tmp_path / run).rglob("*") if path.is_file())
        return {str(path.relative_to(tmp_path / run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    first = digests("first")

    assert digests("second") == first
    assert {"tumor-1.0.0/model.onnx", "tumor-1.0.0/model.json", "tumor-1.0.0-validation.html", "holdout.csv"} <= first.keys()


def test_no_held_out_patient_is_trained_on(data: train.Data) -> None:
    trained_on = {row.tobytes() for row in data.rows}

    assert not trained_on & {row.tobytes() for row in data.held_out}
    assert (len(data.rows), len(data.held_out)) == (398, 171)


def test_more_patients_make_a_better_model(data: train.Data, tmp_path: pathlib.Path) -> None:
    first, second = (train.train(version, patients, data, tmp_path) for version, patients in (("1.0.0", 60), ("1.1.0", 398)))

    assert second.metrics["auc"] > first.metrics["auc"] > 0.95
    assert second.metrics["accuracy"] > first.metrics["accuracy"] > 0.9


def test_the_report_stands_alone_and_shows_the_numbers(data: train.Data, tmp_path: pathlib.Path) -> None:
    trained = train.train("1.1.0", 398, data, tmp_path)
    page = trained.report.read_text()

    assert all(f"{value:.4f}" in page for name, value in trained.metrics.items() if name != "latency_p99_ms")
    assert all(digest.removeprefix("sha256:") in page for _, digest in trained.datasets.values())
    assert "<svg" in page
    assert not any(outside in page for outside in ("http:", "https:", "<script", "<link", "src="))
