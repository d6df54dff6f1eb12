"""`modelyard push` against a real object store, as a process of this machine: large files, deleted ones, and rivals."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import random
import subprocess
import sys
from collections.abc import Iterator

import pytest
import yaml

from modelyard.cli import app
from tests.cluster import stores

PACKAGES = pathlib.Path(app.__file__).parents[2]
LARGE = 40 << 20


@pytest.fixture(scope="module", params=stores.KINDS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[stores.Running]:
    """A store with a bucket that keeps versions."""
    with stores.run(request.param, tmp_path_factory.mktemp(request.param)) as running:
        running.open().make_bucket("models", versioning=True)
        yield running


class Pusher:
    """Somebody with a folder, a Model in a file, and the keys of the store."""

    def __init__(self, running: stores.Running, root: pathlib.Path, name: str) -> None:
        self.running, self.root, self.prefix = running, root, f"{name}/"
        storage = {"uri": f"s3://models/{self.prefix}", "endpoint": running.address.endpoint}
        spec = {"owner": {"team": "payments"}, "storage": storage}
        model = {"apiVersion": "modelyard.dev/v1alpha1", "kind": "Model", "metadata": {"name": "fraud"}, "spec": spec}
        (root / "model.yaml").write_text(yaml.safe_dump(model))
        self.artifact = root / "artifact"
        self.artifact.mkdir()
        (self.artifact / "model.onnx").write_bytes(random.Random(7).randbytes(LARGE))
        (self.artifact / "--tag").write_bytes(b"")
        (self.artifact / "ü 日本.json").write_bytes(b"{}")

    def push(self, artifact: pathlib.Path | None = None) -> subprocess.CompletedProcess[str]:
        words: list[str | pathlib.Path] = ["push", artifact or self.artifact, "--model", "fraud", "--version", "1", "--format", "onnx"]
        return self.types(*words, "--model-file", self.root / "model.yaml")

    def types(self, *words: str | pathlib.Path) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(PACKAGES),
            "AWS_ENDPOINT_URL": str(self.running.address.endpoint),
            "AWS_ACCESS_KEY_ID": stores.CREDENTIALS.access_key,
            "AWS_SECRET_ACCESS_KEY": stores.CREDENTIALS.secret_key,
        }
        command = [sys.executable, "-m", "modelyard", *map(str, words)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert "Traceback" not in done.stderr, done.stderr
        assert stores.CREDENTIALS.secret_key not in done.stdout + done.stderr
        return done


@pytest.fixture
def pusher(running: stores.Running, tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> Pusher:
    return Pusher(running, tmp_path, request.node.originalname)


def test_what_was_pushed_is_what_is_stored(pusher: Pusher) -> None:
    done = pusher.push()

    assert done.returncode == 0, done.stderr
    artifact = yaml.safe_load(done.stdout)["spec"]["artifact"]
    stored = pusher.types("verify", artifact["uri"], "--digest", artifact["digest"])
    assert (stored.returncode, stored.stdout.strip()) == (0, artifact["digest"]), stored.stderr
    again = pusher.push()
    assert "0 files uploaded" in again.stderr
    assert again.stdout == done.stdout


def test_a_push_goes_on_after_somebody_deleted_a_part(pusher: Pusher) -> None:
    """Some stores answer a create-only write after a delete as if the object were there."""
    assert pusher.push().returncode == 0
    for name in ("--tag", "model.onnx"):
        pusher.running.open().delete("models", f"{pusher.prefix}1/{name}")

    done = pusher.push()

    assert done.returncode == 0, done.stderr
    assert "2 files uploaded" in done.stderr


def test_of_two_pushes_at_once_no_file_of_one_replaces_the_others(pusher: Pusher, tmp_path: pathlib.Path) -> None:
    """Small files are written create-only: what the store then has is one push's or, whole files, a mixture that both refuse."""
    sides = []
    for side in ("left", "right"):
        folder = tmp_path / side
        folder.mkdir()
        for number in range(8):
            (folder / f"{number}.bin").write_text(f"{side} {number}")
        sides.append(folder)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        ended = list(pool.map(pusher.push, sides))

    assert sum(done.returncode == 0 for done in ended) <= 1
    assert {done.returncode for done in ended} <= {0, 3}
    refused = [done.stderr for done in ended if done.returncode]
    assert all("never written over" in text or "that this push has not" in text for text in refused)
    for number in range(8):
        stored = pusher.running.open().get("models", f"{pusher.prefix}1/{number}.bin")
        assert stored in {None, b"left %d" % number, b"right %d" % number}
