"""`modelyard push` uploads exactly what was hashed, never writes over anything, and says everything that is wrong before it begins."""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Any

import pytest
import yaml

from tests.fakes.s3 import S3, Handler
from tests.unit.cli import typed

FILES = {"model.onnx": b"weights" * 1000, "conf/labels.json": b"{}", "empty": b""}
STORED = {f"models/fraud/1.4.0/{path}": data for path, data in FILES.items()}


@pytest.fixture
def model_file(tmp_path: pathlib.Path, s3: S3) -> pathlib.Path:
    """A Model among other objects, as Git has it."""
    storage = {"uri": "s3://models/fraud/", "endpoint": s3.endpoint, "credentials": {"secretName": "models-s3"}}
    model = {
        "apiVersion": "modelyard.dev/v1alpha1",
        "kind": "Model",
        "metadata": {"name": "fraud", "namespace": "risk"},
        "spec": {"owner": {"team": "payments"}, "storage": storage, "aliases": {"champion": "1.3.2"}},
    }
    other = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "risk"}}
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump_all([other, model]))
    return path


class Pusher:
    """Somebody who pushes one folder again and again."""

    def __init__(self, person: typed.Person, model_file: pathlib.Path, root: pathlib.Path) -> None:
        self.person, self.model_file, self.root = person, model_file, root
        self.artifact = typed.folder(root / "artifact", FILES)

    def push(self, *words: str | pathlib.Path, source: pathlib.Path | None = None, version: str = "1.4.0") -> typed.Ended:
        fixed = ("--model", "fraud", "--version", version, "--model-file", self.model_file)
        return self.person.types("push", source or self.artifact, *fixed, *words)


@pytest.fixture
def pusher(person: typed.Person, model_file: pathlib.Path, tmp_path: pathlib.Path) -> Pusher:
    return Pusher(person, model_file, tmp_path)


def last(s3: S3) -> dict[str, bytes]:
    """What is stored, and that nothing was ever written over."""
    assert all(len(versions) == 1 for versions in s3.objects.values())
    return {name: versions[0] for name, versions in s3.objects.items()}


def test_uploads_the_files_and_prints_the_manifest(pusher: Pusher, s3: S3) -> None:
    ended = pusher.push()

    assert ended.code == 0
    assert last(s3) == STORED
    digest = pusher.person.types("verify", pusher.artifact).out.strip()
    assert yaml.safe_load(ended.out) == {
        "apiVersion": "modelyard.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": "fraud-1.4.0", "namespace": "risk"},
        "spec": {
            "model": "fraud",
            "version": "1.4.0",
            "artifact": {"uri": "s3://models/fraud/1.4.0/", "digest": digest, "format": "onnx"},
        },
    }


def test_one_file_becomes_one_object(pusher: Pusher, s3: S3) -> None:
    ended = pusher.push(source=pusher.artifact / "model.onnx")

    assert list(last(s3)) == ["models/fraud/1.4.0/model.onnx"]
    artifact = yaml.safe_load(ended.out)["spec"]["artifact"]
    assert artifact["uri"] == "s3://models/fraud/1.4.0/model.onnx"
    assert artifact["digest"] == pusher.person.types("verify", pusher.artifact / "model.onnx").out.strip()


def test_everything_that_can_be_said_is_in_the_manifest(pusher: Pusher, s3: S3, tmp_path: pathlib.Path) -> None:
    report = typed.folder(tmp_path, {"Report 17.html": b"<html>"}) / "Report 17.html"
    (tmp_path / "card.yaml").write_text("limitations: Small loans only.\n")
    (tmp_path / "signature.json").write_text('{"inputs": [{"name": "x", "type": "float32", "shape": [-1, 24]}]}')

    ended = pusher.push(
        "--metric", "auc=0.934", "--metric", "auc@q3=1e-3", "--param", "max_depth=8", "--param", "note=a=b",
        "--dataset", "name=tx,role=Training,uri=s3://data/tx,digest=sha256:" + "a" * 64, "--dataset", "name=tx,role=Test",
        "--parent", "1.3.2=RetrainedFrom", "--evidence", f"type=ValidationReport,file={report},title=Checked, and found good,issuedAt=2026-10-03T16:03:00+02:00",
        "--format", "safetensors", "--framework", "xgboost=2.1.1", "--run-id", "7f3a", "--commit", "4b825dc", "--repository",
        "https://git.example.com/x", "--image", "registry/train", "--seed", "0", "--card", tmp_path / "card.yaml",
        "--signature", tmp_path / "signature.json", "--description", "Quarterly", "--tag", "campaign=autumn", "-n", "other", "-o", "json",
    )  # fmt: skip

    assert ended.code == 0, ended.said
    made = json.loads(ended.out)
    assert made["metadata"]["namespace"] == "other"
    spec: dict[str, Any] = made["spec"]
    del spec["artifact"]
    assert spec == {
        "model": "fraud",
        "version": "1.4.0",
        "training": {
            "runId": "7f3a",
            "source": {"repository": "https://git.example.com/x", "commit": "4b825dc"},
            "image": "registry/train",
            "framework": {"name": "xgboost", "version": "2.1.1"},
            "parameters": {"max_depth": "8", "note": "a=b"},
            "seed": 0,
        },
        "metrics": {"auc": 0.934, "auc@q3": 0.001},
        "lineage": {
            "datasets": [
                {"name": "tx", "role": "Training", "uri": "s3://data/tx", "digest": "sha256:" + "a" * 64},
                {"name": "tx", "role": "Test"},
            ],
            "parents": [{"version": "1.3.2", "relation": "RetrainedFrom"}],
        },
        "evidence": [
            {
                "name": "report-17",
                "type": "ValidationReport",
                "title": "Checked, and found good",
                "issuedAt": "2026-10-03T14:03:00Z",
                "uri": "s3://models/fraud/evidence/1.4.0/report-17.html",
                "sha256": f"sha256:{hashlib.sha256(b'<html>').hexdigest()}",
            }
        ],
        "card": {"limitations": "Small loans only."},
        "signature": {"inputs": [{"name": "x", "type": "float32", "shape": [-1, 24]}]},
        "description": "Quarterly",
        "tags": {"campaign": "autumn"},
    }
    assert last(s3)["models/fraud/evidence/1.4.0/report-17.html"] == b"<html>"


def test_pushing_the_same_again_uploads_nothing(pusher: Pusher, s3: S3) -> None:
    first = pusher.push()

    again = pusher.push()

    assert (again.code, again.out) == (0, first.out)
    assert "3 were there already, byte for byte" in again.said
    assert last(s3) == STORED


def test_an_interrupted_push_goes_on(pusher: Pusher, s3: S3) -> None:
    s3.put("models/fraud/1.4.0/model.onnx", FILES["model.onnx"])

    ended = pusher.push()

    assert ended.code == 0
    assert "2 files uploaded" in ended.said
    assert last(s3) == STORED


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        pytest.param("model.onnx", b"WEIGHTS" * 1000, "with other bytes of the same number", id="other bytes of the same size"),
        pytest.param("model.onnx", b"short", "with 5 B instead of 6.8 KiB", id="another size"),
        pytest.param("left-over.txt", b"x", "holds 1 object that this push has not, such as 'left-over.txt'", id="something else"),
    ],
)
def test_what_is_stored_is_never_written_over(pusher: Pusher, s3: S3, name: str, data: bytes, said: str) -> None:
    s3.put(f"models/fraud/1.4.0/{name}", data)

    ended = pusher.push()

    assert (ended.code, ended.out) == (3, "")
    assert said in ended.said
    assert last(s3) == {f"models/fraud/1.4.0/{name}": data}


def test_evidence_of_another_push_is_not_written_over(pusher: Pusher, s3: S3, tmp_path: pathlib.Path) -> None:
    s3.put("models/fraud/evidence/1.4.0/report.html", b"older")
    typed.folder(tmp_path, {"report.html": b"newer"})

    ended = pusher.push("--evidence", f"type=ValidationReport,file={tmp_path / 'report.html'}")

    assert ended.code == 3
    assert "evidence: under another name" in ended.said
    assert last(s3) == {"models/fraud/evidence/1.4.0/report.html": b"older"}


def test_a_push_at_the_same_moment_is_noticed(pusher: Pusher, s3: S3) -> None:
    def rival(_handler: Handler, asked: str) -> bool:
        if asked == "PUT models/fraud/1.4.0/model.onnx":
            s3.objects.setdefault("models/fraud/1.4.0/model.onnx", [b"somebody else's"])
        return False

    s3.fault = rival

    ended = pusher.push()

    assert ended.code == 3
    assert "perhaps by another push" in ended.said
    assert last(s3)["models/fraud/1.4.0/model.onnx"] == b"somebody else's"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--metric", "auc=high"), "'high' is no number"),
        (("--metric", "auc=nan"), "a metric is a finite number"),
        (("--metric", "auc"), "write it like auc=0.934"),
        (("--metric", "1auc=1"), "a metric's name starts with a letter"),
        (("--metric", "auc=1", "--metric", "auc=2"), "auc was given before"),
        (("--format", "word"), "spec.artifact.format: 'word' is not one of onnx"),
        (("--parent", "1.0.0=Copied"), "spec.lineage.parents[0].relation: 'Copied' is not one of"),
        (("--parent", "v1=RetrainedFrom"), "spec.lineage.parents[0].version: a version is lower-case SemVer"),
        (("--dataset", "name=a"), "role=… is missing"),
        (("--dataset", "name=a,role=Training,size=4"), "'size' is not known"),
        (("--dataset", "name=a,role=Training,digest=12"), "spec.lineage.datasets[0].digest: a digest is sha256:"),
        (("--dataset", "name=a,role=Test", "--dataset", "name=a,role=Test"), "the same name and role"),
        (("--evidence", "type=Report,file=/dev/null"), "there is no file"),
        (("--commit", "4b825dc"), "belong together"),
        (("--commit", "main", "--repository", "x"), "a branch or a tag can move"),
        (("--seed", "9223372036854775808"), "does not fit in int64"),
        (("--seed", "one"), "valid integer"),
        (("--tag", "campaign"), "write it like campaign=autumn"),
        (("--wait",), "--wait needs --apply"),
        (("--apply",), "--model-file is for machines without a cluster"),
        (("--write", "/no/such/folder/x.yaml"), "there is no folder"),
        (("-o", "xml"), "this verb prints yaml, json"),
    ],
)
def test_what_is_typed_wrongly_is_said_before_anything_is_uploaded(pusher: Pusher, s3: S3, words: tuple[str, ...], said: str) -> None:
    ended = pusher.push(*words)

    assert ended.code in {2, 4}
    assert said in ended.said
    assert not s3.requests


@pytest.mark.parametrize("version", ["v1", "1.4", "1.4.0+build", "latest", "1.4.0/../x", ""])
def test_a_version_is_a_version(pusher: Pusher, s3: S3, version: str) -> None:
    ended = pusher.push(version=version)

    assert ended.code == 2
    assert "a version is lower-case SemVer" in ended.said
    assert not s3.requests


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("--card", "limitation: typo\n", "limitation: there is no such field; there are ethicalConsiderations"),
        ("--card", "limitations: 7\n", "limitations: has to be a string, not the number 7"),
        ("--card", "- a\n", "has to hold one mapping of fields, not a list"),
        ("--card", "a: [\n", "is no YAML"),
        ("--signature", "inputs: [{name: x}]\n", "inputs[0].type: is missing"),
        ("--signature", "inputs: [{name: x, type: a}, {name: x, type: b}]\n", "two inputs have the same name"),
        ("--signature", "inputs: [{name: x, type: a, shape: [-2]}]\n", "inputs[0].shape[0]: -2 is not between -1"),
    ],
)
def test_files_are_held_to_the_schema(pusher: Pusher, s3: S3, tmp_path: pathlib.Path, option: str, text: str, said: str) -> None:
    (tmp_path / "said.yaml").write_text(text)

    ended = pusher.push(option, tmp_path / "said.yaml")

    assert ended.code == 2
    assert said in ended.said
    assert not s3.requests


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("deep.json", "[" * 100_000, "is nested too deeply"),
        ("deep.yaml", "[" * 3000, "is nested too deeply"),
        ("date.yaml", "limitations: 2026-13-45", "is no YAML: month must be in 1..12"),
        ("number.yaml", "limitations: !!int x", "is no YAML: invalid literal for int()"),
    ],
)
@pytest.mark.parametrize("option", ["--card", "--signature", "--model-file"])
def test_a_file_that_cannot_be_read_is_told(
    pusher: Pusher, s3: S3, tmp_path: pathlib.Path, option: str, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)

    ended = pusher.push(option, tmp_path / name)

    assert ended.code == 2
    assert f"{tmp_path / name}: {said}" in ended.said
    assert not s3.requests


def test_the_format_is_asked_for_where_the_files_do_not_tell(pusher: Pusher, tmp_path: pathlib.Path) -> None:
    ended = pusher.push(source=typed.folder(tmp_path / "other", {"a.onnx": b"", "b.gguf": b""}))

    assert ended.code == 2
    assert "--format" in ended.said


def test_the_manifest_goes_to_a_file(pusher: Pusher, tmp_path: pathlib.Path) -> None:
    ended = pusher.push("--write", tmp_path / "version.yaml")

    assert (ended.code, ended.out) == (0, "")
    assert yaml.safe_load((tmp_path / "version.yaml").read_text())["metadata"]["name"] == "fraud-1.4.0"


def test_a_model_that_is_not_in_the_file_is_not_found(pusher: Pusher) -> None:
    ended = pusher.push("--model", "churn")

    assert ended.code == 4
    assert "has no Model churn; it has fraud" in ended.said


def test_without_a_cluster_it_says_how_to_do_without(person: typed.Person, tmp_path: pathlib.Path) -> None:
    folder = typed.folder(tmp_path / "artifact", FILES)

    ended = person.types("push", folder, "--model", "fraud", "--version", "1")

    assert ended.code == 1
    assert "no way to a cluster" in ended.said


def test_a_store_without_a_bucket_is_a_no(pusher: Pusher, s3: S3) -> None:
    s3.fault = lambda handler, _: handler.error(404, "NoSuchBucket")

    ended = pusher.push()

    assert (ended.code, ended.out) == (3, "")
    assert "the bucket does not exist" in ended.said


def test_a_parent_may_be_an_alias(pusher: Pusher) -> None:
    ended = pusher.push("--parent", "@champion=RetrainedFrom")
    missing = pusher.push("--parent", "@best=RetrainedFrom")

    assert yaml.safe_load(ended.out)["spec"]["lineage"]["parents"] == [{"version": "1.3.2", "relation": "RetrainedFrom"}]
    assert (missing.code, missing.out) == (4, "")
    assert "the Model fraud has no alias @best; it has @champion" in missing.said
