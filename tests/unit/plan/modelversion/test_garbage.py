"""What can go, and what anything else may still need."""

from __future__ import annotations

from typing import Any

import pytest

from modelyard.content import manifest
from modelyard.plan.modelversion import garbage

BELOW = "s3://models/fraud"


def file(path: str, version: str | None = "v1") -> manifest.File:
    return manifest.File(path, 5, "0" * 64, "etag", version)


def holder(name: str, *files: manifest.File, retired: bool = False, uri: str | None = None, **more: Any) -> garbage.Holder:
    return garbage.Holder(name, f"uid-{name}", uri or f"{BELOW}/{name}/", retired, **{"files": files, **more})


def retired(name: str, *files: manifest.File, **more: Any) -> garbage.Holder:
    return holder(name, *files, retired=True, **more)


@pytest.mark.parametrize(
    ("holders", "foreign", "found"),
    [
        pytest.param([retired("1", file("a"), file("b")), holder("2", file("a"))], [], ["fraud/1/a v1", "fraud/1/b v1"], id="its own"),
        pytest.param([holder("1", file("a"))], [], [], id="what is not Retired keeps all of its own"),
        pytest.param([retired("1", file("a"), uri=f"{BELOW}/x/"), holder("2", file("a"), uri=f"{BELOW}/x/")], [], [], id="the same object"),
        pytest.param(
            [retired("1", file("a", "v1"), uri=f"{BELOW}/x/"), holder("2", file("a", "v2"), uri=f"{BELOW}/x/")],
            [],
            ["fraud/x/a v1"],
            id="an older version of an object that another pins newer",
        ),
        pytest.param(
            [retired("1", file("a", None), uri=f"{BELOW}/x/"), holder("2", file("a", "v2"), uri=f"{BELOW}/x/")],
            [],
            [],
            id="without a version id nothing of a shared key",
        ),
        pytest.param(
            [retired("1", file("a", "v1"), uri=f"{BELOW}/x/"), holder("2", file("a", None), uri=f"{BELOW}/x/")],
            [],
            [],
            id="nor where the other has none",
        ),
        pytest.param(
            [retired("1", file("sub/a"), uri=f"{BELOW}/x/"), holder("2", uri=f"{BELOW}/x/sub/", files=None)],
            [],
            [],
            id="all below a version that is not verified yet may be its own",
        ),
        pytest.param([retired("1", file("a"), evidence=(f"{BELOW}/1/a",))], [], [], id="evidence outlives the bytes"),
        pytest.param([retired("1", file("a")), holder("2", evidence=(f"{BELOW}/1/a",))], [], [], id="another's evidence"),
        pytest.param([retired("1", file("a"))], [f"{BELOW}/1/"], [], id="what another Model refers to"),
        pytest.param([retired("1", file("a"))], ["s3://other/fraud/1/"], ["fraud/1/a v1"], id="another bucket is another thing"),
        pytest.param([retired("1", uri=f"{BELOW}/1.onnx", files=(file("1.onnx"),))], [], ["fraud/1.onnx v1"], id="one object"),
        pytest.param([retired("1", files=None)], [], [], id="what was never verified holds nothing that is known"),
    ],
)
def test_what_can_go(holders: list[garbage.Holder], foreign: list[str], found: list[str]) -> None:
    assert [f"{one.key} {one.version_id}" for one in garbage.find(holders, foreign)] == found


def test_what_two_retired_versions_held_goes_once() -> None:
    (one,) = garbage.find([retired("1", file("a"), uri=f"{BELOW}/x/"), retired("2", file("a"), uri=f"{BELOW}/x/")])

    assert one.holders == ("1", "2")
