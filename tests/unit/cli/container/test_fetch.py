"""The init container leaves the promised bytes, or nothing and one line that says why."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from modelyard.cli.container import fetch
from modelyard.content import manifest
from tests.fakes.s3 import CREDENTIALS, S3, Handler, run

FILES = {"model.onnx": b"weights" * 100_000, "conf/labels ü.json": b"{}", "--tag": b"x", "empty": b""}
OPERATOR = pathlib.Path(fetch.__file__).parents[3]


@pytest.fixture
def s3() -> Iterator[S3]:
    with run() as running:
        for path, data in FILES.items():
            running.put(f"models/fraud/1/{path}", data)
        yield running


def _environment(s3: S3, folder: pathlib.Path, files: Mapping[str, bytes] = FILES, **changes: str) -> dict[str, str]:
    listed = folder / "files.json.gz"
    listed.write_bytes(gzip.compress(json.dumps([[path, len(data), "1"] for path, data in files.items()]).encode()))
    return {
        "MODELYARD_DIGEST": manifest.of({path: hashlib.sha256(data).hexdigest() for path, data in files.items()}),
        "MODELYARD_FETCH_URI": "s3://models/fraud/1/",
        "MODELYARD_FETCH_ENDPOINT": s3.endpoint,
        "MODELYARD_FETCH_REGION": "us-east-1",
        "MODELYARD_FETCH_FILES": str(listed),
        "MODELYARD_PATH": str(folder / "models"),
        "AWS_ACCESS_KEY_ID": CREDENTIALS.access_key,
        "AWS_SECRET_ACCESS_KEY": CREDENTIALS.secret_key,
    } | changes


def _run(environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import sys; from modelyard.cli.container import fetch; sys.exit(fetch.main())"]
    path = {"PATH": os.environ["PATH"], "PYTHONPATH": str(OPERATOR)}
    return subprocess.run(command, env=path | dict(environment), capture_output=True, text=True, check=False, timeout=60)


def _on_disk(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_promised_bytes(s3: S3, tmp_path: pathlib.Path) -> None:
    """Whatever lay in the folder before: a container that was killed starts again from nothing."""
    models = tmp_path / "models"
    (models / "model.onnx").mkdir(parents=True)
    (models / "left-over").write_bytes(b"half")

    done = _run(_environment(s3, tmp_path))

    assert (0, "") == (done.returncode, done.stderr)
    assert "as promised" in done.stdout
    assert _on_disk(models) == FILES
    assert (models / "model.onnx").stat().st_mode & 0o444 == 0o444


def test_a_single_object(s3: S3, tmp_path: pathlib.Path) -> None:
    files = {"model.onnx": FILES["model.onnx"]}

    done = _run(_environment(s3, tmp_path, files, MODELYARD_FETCH_URI="s3://models/fraud/1/model.onnx"))

    assert (0, files) == (done.returncode, _on_disk(tmp_path / "models"))


def test_the_version_that_was_verified_is_fetched_not_the_newest(s3: S3, tmp_path: pathlib.Path) -> None:
    s3.put("models/fraud/1/model.onnx", b"evil")

    done = _run(_environment(s3, tmp_path))

    assert (0, FILES) == (done.returncode, _on_disk(tmp_path / "models"))


def _change(s3: S3) -> None:
    s3.objects["models/fraud/1/model.onnx"] = [b"WEIGHTS" * 100_000]


def _shorten(s3: S3) -> None:
    s3.objects["models/fraud/1/model.onnx"] = [b"w"]


def _delete(s3: S3) -> None:
    del s3.objects["models/fraud/1/model.onnx"]


def _forbid(s3: S3) -> None:
    def fault(handler: Handler, _: str) -> bool:
        handler.error(403, "AccessDenied")
        return True

    s3.fault = fault


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (_change, "not the promised sha256:"),
        (_shorten, "1 bytes now, 700000 were promised"),
        (_delete, "replaced or deleted"),
        (_forbid, "refuses these credentials"),
    ],
)
def test_other_bytes_never_stay(s3: S3, tmp_path: pathlib.Path, tamper: Any, says: str) -> None:
    tamper(s3)

    done = _run(_environment(s3, tmp_path))

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert says in done.stderr
    assert CREDENTIALS.access_key not in done.stderr
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize("path", ["../escape", "/etc/passwd", "a/../../escape", "a\nb"])
def test_a_list_that_leaves_the_folder(s3: S3, tmp_path: pathlib.Path, path: str) -> None:
    done = _run(_environment(s3, tmp_path, {path: b"x"}))

    assert done.returncode == 2
    assert "refused" in done.stderr
    assert s3.asked == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"MODELYARD_DIGEST": ""}, "MODELYARD_DIGEST is not set"),
        ({"MODELYARD_DIGEST": "sha256:12"}, "no sha256:"),
        ({"MODELYARD_FETCH_URI": "http://models/x"}, "no s3://"),
        ({"MODELYARD_FETCH_FILES": "nowhere.json.gz"}, "nowhere.json.gz cannot be read"),
        ({"MODELYARD_FETCH_CA": "nowhere.crt"}, "nowhere.crt cannot be read"),
        ({"MODELYARD_FETCH_URI": "s3://models/fraud/1/model.onnx"}, "not that of the single object"),
    ],
)
def test_an_incomplete_order(s3: S3, tmp_path: pathlib.Path, changes: dict[str, str], says: str) -> None:
    with pytest.raises(fetch.Refused, match=says):
        fetch.order(_environment(s3, tmp_path, FILES, **changes))


def test_a_store_that_recovers_is_waited_for(s3: S3, tmp_path: pathlib.Path) -> None:
    """Three reads of the model are cut off; the fourth is whole."""
    pauses: list[float] = []

    def truncated(handler: Handler, asked: str) -> bool:
        if asked.endswith("model.onnx") and s3.count(asked) <= 3:
            handler.answer(200, b"weights", Content_Length="700000")
            handler.close_connection = True
            return True
        return False

    s3.fault = truncated

    fetch.fetch(fetch.order(_environment(s3, tmp_path)), pause=pauses.append)

    assert list(fetch.PAUSES[:3]) == pauses
    assert _on_disk(tmp_path / "models") == FILES


def test_nothing_heavy_is_imported() -> None:
    """Every pod's start waits for this."""
    code = "import sys; from modelyard.cli.container import fetch; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(OPERATOR)}, capture_output=True, text=True, check=True)

    assert not {"kopf", "kubernetes", "typer", "rich", "aiohttp"} & set(done.stdout.split())
