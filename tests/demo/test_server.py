"""The demo's model server, run as its image runs it, on a model that was just trained."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.demo import predict, story, train

APP = pathlib.Path(__file__).with_name("server") / "app.py"
DIGEST = f"sha256:{'0' * 64}"


@pytest.fixture(scope="module")
def data() -> train.Data:
    """The patients."""
    return train.load()


@pytest.fixture(scope="module")
def trained(data: train.Data, tmp_path_factory: pytest.TempPathFactory) -> train.Trained:
    """A version trained on all of them but the held-out ones."""
    return train.train("1.1.0", len(data.rows), data, tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def server(trained: train.Trained) -> Iterator[str]:
    """The server's URL."""
    with serving(trained.artifact) as (url, _):
        yield url


@contextlib.contextmanager
def serving(folder: pathlib.Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The server as a pod starts it, on a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    identity = {"MODELYARD_MODEL": "tumor", "MODELYARD_VERSION": "1.1.0", "MODELYARD_STAGE": "staging", "MODELYARD_DIGEST": DIGEST}
    environment = {**os.environ, **identity, "MODELYARD_PATH": str(folder), "PORT": str(port)}
    with subprocess.Popen([sys.executable, APP], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.terminate()


def answers(url: str) -> bool:
    """Whether the readiness probe passes within 30 s."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/healthz", timeout=1) as response:
            return bool(response.read() == b"ok")
        time.sleep(0.05)
    return False


def test_it_answers_held_out_rows_as_well_as_the_report_says(server: str, trained: train.Trained, data: train.Data) -> None:
    assert answers(server)

    answer = predict.ask(server, data)

    assert answer.accuracy == pytest.approx(trained.metrics["accuracy"], abs=5e-5)
    assert (answer.version, answer.digest) == ("1.1.0", DIGEST)


def test_it_says_what_it_serves(server: str, data: train.Data) -> None:
    assert answers(server)

    about = story.fetch(server)

    assert about["features"] == list(data.features)
    assert {about[field] for field in ("model", "version", "stage", "digest")} == {"tumor", "1.1.0", "staging", DIGEST}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, "rows"),
        ([], "rows"),
        ({"rows": []}, "rows"),
        ({"rows": [[1.0, 2.0]]}, "30"),
        ({"rows": [["a"] * 30]}, "30 numbers"),
        ({"rows": [[1.0] * 29 + [None]]}, "30"),
        ({"rows": [[1.0] * 30, [1.0] * 3]}, "30"),
    ],
    ids=["no rows", "no object", "zero rows", "too short a row", "words", "a missing number", "rows of two lengths"],
)
def test_what_it_cannot_take_is_refused_with_what_it_takes(server: str, body: object, why: str) -> None:
    assert answers(server)
    request = urllib.request.Request(f"{server}/predict", json.dumps(body).encode())

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)

    said: dict[str, Any] = json.load(refused.value)
    assert refused.value.code == 400
    assert why in said["error"]


def test_without_a_model_it_ends_and_says_why(tmp_path: pathlib.Path) -> None:
    with serving(tmp_path) as (_, process):
        assert process.wait(timeout=30) == 1
        assert process.stdout
        assert "holds no model that can be served" in process.stdout.read()
