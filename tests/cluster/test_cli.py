"""The command line against a real cluster and its store: what a person types, sees, and gets as an exit code."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest
import yaml

from modelyard.cli import app

PACKAGES = pathlib.Path(app.__file__).parents[2]
FILES = {"model.txt": b"first\n", "conf/labels.json": b"{}"}


@dataclasses.dataclass(frozen=True)
class Person:
    """Somebody with a kubeconfig, the keys of the store, and a terminal."""

    cluster: Any
    namespace: str
    folder: pathlib.Path

    def types(self, *words: str | pathlib.Path, user: str = "admin", **changed: str) -> subprocess.CompletedProcess[str]:
        """`modelyard` and these words, in the namespace."""
        store = self.cluster.store
        environment = {
            **os.environ,
            "PYTHONPATH": str(PACKAGES),
            "KUBECONFIG": str(self.cluster.kubeconfig_for(user)),
            "AWS_ENDPOINT_URL": store.endpoint,
            "AWS_ACCESS_KEY_ID": store.access_key,
            "AWS_SECRET_ACCESS_KEY": store.secret_key,
            **changed,
        }
        there = () if words[0] == "verify" else ("--namespace", self.namespace)
        command = [sys.executable, "-m", "modelyard", *map(str, words), *there]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=180)
        assert "Traceback" not in done.stderr, done.stderr
        assert store.secret_key not in done.stdout + done.stderr
        return done

    def push(self, version: str, *words: str | pathlib.Path, text: str = "first\n", **more: str) -> subprocess.CompletedProcess[str]:
        """Push two small files as a version."""
        for path, data in {**FILES, "model.txt": text.encode()}.items():
            (self.folder / "artifact" / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / "artifact" / path).write_bytes(data)
        fixed = ("--model", "fraud", "--version", version, "--format", "other")
        return self.types("push", self.folder / "artifact", *fixed, *words, **more)


@pytest.fixture
def person(operator: Any, namespace: str, tmp_path: pathlib.Path) -> Person:
    """Somebody whose team has a Model with the stages staging and production, which serve nothing."""
    keys = {"AWS_ACCESS_KEY_ID": operator.store.access_key, "AWS_SECRET_ACCESS_KEY": operator.store.secret_key}
    storage = {
        "uri": f"s3://models/{namespace}/fraud/",
        "endpoint": "http://store.modelyard-system.svc:7070",
        "credentials": {"secretName": "models-s3"},
    }
    stages = [{"name": "staging"}, {"name": "production", "gates": {"after": ["staging"]}}]
    spec = {"owner": {"team": "payments"}, "storage": storage, "stages": stages}
    objects = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "models-s3"}, "stringData": keys},
        {"apiVersion": "modelyard.dev/v1alpha1", "kind": "Model", "metadata": {"name": "fraud"}, "spec": spec},
    ]
    operator.kubectl("apply", "--namespace", namespace, "--filename=-", input=yaml.safe_dump_all(objects))
    return Person(operator, namespace, tmp_path)


def test_from_a_folder_to_production(person: Person) -> None:
    """Push, look, promote twice, look again: everything a data scientist types."""
    (person.folder / "report.html").write_text("<html>good</html>")
    said = (
        "--metric",
        "auc=0.934",
        "--tag",
        "campaign=autumn",
        "--evidence",
        f"type=ValidationReport,file={person.folder / 'report.html'}",
    )

    pushed = person.push("1.0.0", *said, "--apply", "--wait", "-o", "json")

    assert pushed.returncode == 0, pushed.stderr
    version = json.loads(pushed.stdout)
    assert version["status"]["phase"] == "Ready"
    digest = version["spec"]["artifact"]["digest"]
    uri = version["spec"]["artifact"]["uri"]
    stored = person.types("verify", uri, "--digest", digest)
    assert (stored.returncode, stored.stdout) == (0, f"{digest}\n")

    for stage in ("staging", "production"):
        promoted = person.types("promote", "fraud", "1.0.0", stage, "--wait", "--reason", "CAB-1234")
        assert promoted.returncode == 0, promoted.stderr
        assert f"fraud-1.0.0-{stage}: Succeeded" in promoted.stderr

    listed = person.types("list", "fraud", "--where", "metrics.auc>0.9", "--stage", "production")
    heads, row = (line.split()[:6] for line in listed.stdout.splitlines())
    assert heads == ["MODEL", "VERSION", "ALIASES", "PHASE", "STAGES", "METRICS"]
    assert row == ["fraud", "1.0.0", "-", "Ready", "production,staging", "auc=0.934"]
    shown = person.types("show", "fraud", "1.0.0").stdout
    for expected in (digest, "auc", "0.934", "ValidationReport", "fraud-1.0.0-production", "campaign=autumn", "EvidenceVerified"):
        assert expected in shown
    model = person.types("show", "fraud").stdout
    assert "production" in model
    assert "payments" in model


def test_a_push_that_the_api_server_refuses_uploads_nothing(person: Person) -> None:
    """The manifest is tried before the first byte leaves."""
    done = person.push("1.0.0", "--apply", user="nobody")

    assert done.returncode == 3
    assert "forbidden" in done.stderr
    empty = person.push("1.0.0", "--apply", user="admin")
    assert "2 files uploaded" in empty.stderr


def test_a_version_cannot_be_pushed_twice_with_other_bytes(person: Person) -> None:
    assert person.push("1.0.0", "--apply").returncode == 0

    again = person.push("1.0.0", "--apply")
    other = person.push("1.0.0", "--apply", text="other\n")

    assert again.returncode == 0
    assert "already, byte for byte" in again.stderr
    assert other.returncode == 3
    assert "what a version is cannot change" in other.stderr


def test_the_models_secret_will_do_for_uploading(person: Person) -> None:
    done = person.push("1.0.0", "--credentials-from-cluster", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")

    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["metadata"] == {"name": "fraud-1.0.0", "namespace": person.namespace}


def test_without_a_way_to_the_store_it_says_what_to_do(person: Person) -> None:
    done = person.push("1.0.0", AWS_ENDPOINT_URL="http://store.nowhere.svc:7070")

    assert done.returncode == 1
    assert "port-forward" in done.stderr


def test_a_promotions_name_runs_once(person: Person) -> None:
    person.push("1.0.0", "--apply", "--wait")
    assert person.types("promote", "fraud", "1.0.0", "staging", "--wait").returncode == 0

    again = person.types("promote", "fraud", "1.0.0", "staging")

    assert again.returncode == 3
    assert "give --name fraud-1.0.0-staging-2" in again.stderr
    named = person.types("promote", "fraud", "1.0.0", "staging", "--name", "fraud-1.0.0-staging-2", "-o", "name")
    assert (named.returncode, named.stdout) == (0, "promotion.modelyard.dev/fraud-1.0.0-staging-2\n")


def test_waiting_ends_and_says_what_it_waits_for(person: Person) -> None:
    """A promotion to production waits for staging; asking again finds the same one."""
    person.push("1.0.0", "--apply", "--wait")

    waited = person.types("promote", "fraud", "1.0.0", "production", "--wait", "--timeout", "3")
    again = person.types("promote", "fraud", "1.0.0", "production")

    assert waited.returncode == 5
    assert "staging" in waited.stderr
    assert again.returncode == 0
    assert "exists already and is on its way" in again.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("show", "fraud", "9.9.9"), 4, "there is no ModelVersion fraud-9.9.9"),
        (("show", "churn"), 4, "and no Model either"),
        (("list", "churn"), 4, "there is no Model churn"),
        (("list", "--where", "metrics.auc"), 2, "write comparisons like"),
        (("list",), 0, "no versions in namespace"),
        (("promote", "fraud", "9.9.9", "staging"), 4, "modelyard list fraud"),
        (("promote", "fraud", "1.0.0", "moon"), 4, "it has staging, production"),
        (("promote", "fraud", "latest", "staging"), 2, "a version is lower-case SemVer"),
        (("push", "/dev/null", "--model", "churn", "--version", "1"), 2, "neither a file nor a folder"),
    ],
)
def test_exit_codes(person: Person, words: tuple[str, ...], code: int, said: str) -> None:
    done = person.types(*words)

    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
