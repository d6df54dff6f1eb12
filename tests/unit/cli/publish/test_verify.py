"""`modelyard verify` gives the digest that coreutils gives, here and in a store."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
from collections.abc import Callable

import pytest

from tests.fakes.s3 import S3
from tests.unit.cli import typed

RECIPE = r"find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0r sha256sum -- | sha256sum"
ODD = {"model.onnx": b"weights" * 1000, "--tag": b"1", "a b/ü 日本.json": b"{}", "a/b": b"2", "a-b": b"3", ".hidden": b"", "Z": b"4"}


def test_a_folder_has_the_digest_that_coreutils_compute(person: typed.Person, tmp_path: pathlib.Path) -> None:
    folder = typed.folder(tmp_path / "artifact", ODD)
    recipe = subprocess.run(["bash", "-c", RECIPE], cwd=folder, check=True, capture_output=True, text=True).stdout.split()[0]

    ended = person.types("verify", folder, "--digest", f"sha256:{recipe}")

    assert (ended.code, ended.out) == (0, f"sha256:{recipe}\n")
    assert "7 files" in ended.said


def test_its_sums_can_be_checked_with_sha256sum(person: typed.Person, tmp_path: pathlib.Path) -> None:
    folder = typed.folder(tmp_path / "artifact", ODD)

    sums = person.types("verify", folder, "-o", "sums").out

    checked = subprocess.run(["sha256sum", "--check", "--strict"], cwd=folder, input=sums, check=True, capture_output=True, text=True)
    assert checked.stdout.count(": OK") == len(ODD)


def test_a_stored_folder_has_the_same_digest_as_the_local_one(person: typed.Person, s3: S3, tmp_path: pathlib.Path) -> None:
    folder = typed.folder(tmp_path / "artifact", ODD)
    for path, data in ODD.items():
        s3.put(f"models/fraud/1/{path}", data)
    here = person.types("verify", folder).out.strip()

    ended = person.types("verify", "s3://models/fraud/1/", "--endpoint", s3.endpoint, "--digest", here)

    assert (ended.code, ended.out) == (0, f"{here}\n")


def test_a_stored_object_has_the_digest_of_the_file(person: typed.Person, s3: S3, tmp_path: pathlib.Path) -> None:
    file = typed.folder(tmp_path, {"model.onnx": b"weights"}) / "model.onnx"
    s3.put("models/fraud/1/model.onnx", b"weights")

    ended = person.types("verify", "s3://models/fraud/1/model.onnx", "--endpoint", s3.endpoint)

    assert ended.out == person.types("verify", file).out


def test_another_digest_is_a_no(person: typed.Person, tmp_path: pathlib.Path) -> None:
    folder = typed.folder(tmp_path / "artifact", ODD)

    ended = person.types("verify", folder, "--digest", f"sha256:{'0' * 64}")

    assert ended.code == 3
    assert "differs" in ended.said


def test_json_has_every_file(person: typed.Person, tmp_path: pathlib.Path) -> None:
    folder = typed.folder(tmp_path / "artifact", ODD)

    told = json.loads(person.types("verify", folder, "-o", "json").out)

    assert [file["path"] for file in told["files"]] == sorted(ODD)


def test_a_symbolic_link_is_refused(person: typed.Person, tmp_path: pathlib.Path) -> None:
    folder = typed.folder(tmp_path / "artifact", ODD)
    (folder / "link").symlink_to("/etc/passwd")

    ended = person.types("verify", folder)

    assert ended.code == 2
    assert "link: is a symbolic link" in ended.said


def _pipe(root: pathlib.Path) -> pathlib.Path:
    os.mkfifo(root / "pipe")
    return root


@pytest.mark.parametrize(
    ("make", "code", "said"),
    [
        pytest.param(lambda root: root / "missing", 4, "no such file or folder", id="nothing there"),
        pytest.param(lambda root: root, 2, "has no files", id="an empty folder"),
        pytest.param(_pipe, 2, "neither a file nor a folder", id="a pipe in it"),
        pytest.param(lambda root: typed.folder(root, {"a\\b": b""}), 2, "backslashes", id="a backslash in a name"),
        pytest.param(lambda root: typed.folder(root, {"a\nb": b""}), 2, "control characters", id="a line break in a name"),
    ],
)
def test_what_is_no_artifact_is_refused(
    person: typed.Person, tmp_path: pathlib.Path, make: Callable[[pathlib.Path], pathlib.Path], code: int, said: str
) -> None:
    ended = person.types("verify", make(tmp_path))

    assert ended.code == code
    assert said in ended.said


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("verify",), 2, "Missing argument"),
        (("verify", "s3://models/fraud/2/"), 4, "there is nothing at"),
        (("verify", "s3://models/fraud/2"), 4, "a folder's URI ends in `/`"),
        (("verify", "http://models/fraud"), 2, "is no URI"),
        (("verify", "s3://models/a/../b/"), 2, "is no URI"),
        (("verify", ".", "--digest", "sha256:12"), 2, "a digest is sha256:"),
        (("verify", ".", "-o", "name"), 2, "this verb prints table, sums, json, yaml"),
        (("verify", ".", "--no-such-option"), 2, "No such option"),
        (("frobnicate",), 2, "No such command"),
    ],
)
def test_exit_codes(person: typed.Person, s3: S3, words: tuple[str, ...], code: int, said: str) -> None:
    endpoint = ("--endpoint", s3.endpoint) if words[-1].startswith(("s3:", "http:")) else ()

    ended = person.types(*words, *endpoint)

    assert ended.code == code
    assert said in ended.said


def test_a_store_that_does_not_answer_is_told_from_one_that_refuses(person: typed.Person, s3: S3) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        silent = person.types("verify", "s3://models/fraud/1/", "--endpoint", f"http://127.0.0.1:{nobody.getsockname()[1]}")
    s3.fault = lambda handler, _: handler.error(403, "AccessDenied")
    refused = person.types("verify", "s3://models/fraud/1/", "--endpoint", s3.endpoint)

    assert (silent.code, refused.code) == (1, 3)
    assert "does not answer" in silent.said
    assert "AWS_ACCESS_KEY_ID" in refused.said


def test_half_of_the_credentials_is_said(person: typed.Person, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    ended = person.types("verify", "s3://models/fraud/1/", "--endpoint", s3.endpoint)

    assert ended.code == 2
    assert "AWS_SECRET_ACCESS_KEY is not" in ended.said


def test_an_endpoint_with_credentials_is_refused_and_not_repeated(person: typed.Person) -> None:
    ended = person.types("verify", "s3://models/fraud/1/", "--endpoint", "http://me:hunter2@store:9000")

    assert ended.code == 2
    assert "hunter2" not in ended.said
