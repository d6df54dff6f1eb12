"""An artifact's digest is what coreutils says, and its paths are ones that a pod can have."""

from __future__ import annotations

import hashlib
import json
import pathlib
import subprocess

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from modelyard.api.reason import Reason
from modelyard.content import manifest as content_manifest

BY_HAND = r"find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0r sha256sum -- | sha256sum"
ODD = [
    "model.onnx",
    "--tag",
    "-rf",
    "folder/-",
    " leading and trailing ",
    "a b/c  d",
    "ümlaut/日本語.bin",
    "🦊",
    "é-composed",
    "e\u0301-decomposed",
    "a/b/c/d/e/f",
    "a.b/x",
    "a-b/x",
    "B/upper",
    "b/lower",
    "quote'\"$(x)`*?",
    ".hidden",
    "..two",
    "empty",
    "x" * 255,
]


def _hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_coreutils_agree(tmp_path: pathlib.Path) -> None:
    """The command of the documentation prints the digest, odd names included."""
    contents = {path: b"" if path == "empty" else path.encode() * 3 for path in ODD}
    for path, data in contents.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)

    printed = subprocess.run(["bash", "-c", BY_HAND], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    assert content_manifest.refuse(ODD) is None
    assert content_manifest.of({path: _hex(data) for path, data in contents.items()}) == f"sha256:{printed.split()[0]}"


def test_the_text_is_checked_by_sha256sum(tmp_path: pathlib.Path) -> None:
    (tmp_path / "b").write_bytes(b"1")
    (tmp_path / "a").write_bytes(b"2")

    text = content_manifest.sums({"b": _hex(b"1"), "a": _hex(b"2")})

    assert [line[66:] for line in text.decode().splitlines()] == ["a", "b"]
    subprocess.run(["sha256sum", "--check", "--strict"], cwd=tmp_path, input=text, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("paths", "rule"),
    [
        (["."], "`.`"),
        ([".."], "`..`"),
        (["a/../b"], "`..`"),
        (["a/./b"], "`.`"),
        (["a//b"], "empty"),
        (["/a"], "empty"),
        (["a/"], "empty"),
        ([""], "empty"),
        (["a\nb"], "control"),
        (["a\rb"], "control"),
        (["a\0b"], "control"),
        (["a\x7fb"], "control"),
        (["a\x85b"], "control"),
        (["a\\b"], "backslash"),
        (["-"], "standard input"),
        (["x" * 256], "255 bytes"),
        (["ü" * 128], "255 bytes"),
        (["ok/" + "x" * 256 + "/ok"], "255 bytes"),
        (["a", "a/b"], "folder"),
        (["a/b/c", "z", "a/b"], "folder"),
        (["a/b/c/d/e", "a"], "folder"),
    ],
)
def test_refused_paths(paths: list[str], rule: str) -> None:
    refusal = content_manifest.refuse(paths)

    assert refusal is not None
    assert refusal.reason == Reason.PATH_REFUSED
    assert rule in refusal.message
    assert refusal.path in paths
    assert refusal.message.isprintable()


def test_as_many_files_as_allowed_and_one_more() -> None:
    paths = [f"shard/{number:05}" for number in range(content_manifest.MAX_FILES + 1)]

    refusal = content_manifest.refuse(paths)

    assert content_manifest.refuse(paths[:-1]) is None
    assert refusal is not None
    assert refusal.reason == Reason.TOO_MANY_FILES
    assert "pack them" in refusal.message


SEGMENT = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/\\"), min_size=1, max_size=20).filter(
    lambda segment: segment not in {".", ".."}
)
FILES = st.builds(
    content_manifest.File,
    st.lists(SEGMENT, min_size=1, max_size=4).map("/".join),
    st.integers(0, 2**50),
    st.binary(max_size=4).map(_hex),
    st.text("0123456789abcdef-", max_size=34),
    st.none() | st.text(min_size=1, max_size=8),
)


@given(st.lists(FILES, min_size=1, max_size=12, unique_by=lambda file: file.path))
def test_a_manifest_is_canonical_json_and_reads_back(files: list[content_manifest.File]) -> None:
    """RFC 8785's bytes, in whatever order the files were found."""
    manifest = content_manifest.manifest(files)
    data = content_manifest.write_manifest(manifest)

    assert data == rfc8785.dumps(json.loads(data))
    assert data == content_manifest.write_manifest(content_manifest.manifest(reversed(files)))
    assert content_manifest.read_manifest(data) == manifest
    assert [file.path.encode() for file in manifest.files] == sorted(file.path.encode() for file in files)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"digest":"sha256:00","files":[]}', b'{"digest":"x","files":[{}]}', b"\xff"])
def test_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(ValueError):
        content_manifest.read_manifest(data)


def test_a_manifest_whose_files_were_changed() -> None:
    data = content_manifest.write_manifest(content_manifest.manifest([content_manifest.File("a", 1, _hex(b"1"), "e")]))

    with pytest.raises(ValueError, match="have the digest"):
        content_manifest.read_manifest(data.replace(_hex(b"1").encode(), _hex(b"2").encode()))
