"""Garbage goes only when it is known who else refers to it: versions of other namespaces, and those that this release cannot read, too."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from modelyard.cli.maintain import gc
from modelyard.cli.reach import ledger_writer, model_storage
from modelyard.cli.reach.cluster import Registry
from modelyard.cli.terminal import exits
from modelyard.content import location, manifest
from modelyard.ledger import index, record
from tests.fakes import apiserver
from tests.fakes.s3 import S3
from tests.unit.cli import typed

Json = dict[str, Any]
EVERYWHERE = "/apis/modelyard.dev/v1alpha1/modelversions"
STAMP = "2026-10-01T00:00:00Z"
OBJECT, DATA = "models/fraud/1/x", b"weights"


class Kept(ledger_writer.Bucket):
    """The operator's bucket, with the list of files of every version, and what is recorded there."""

    def __init__(self) -> None:
        file = manifest.File("x", len(DATA), hashlib.sha256(DATA).hexdigest(), hashlib.md5(DATA).hexdigest())
        self.manifest = manifest.manifest((file,))
        self.recorded: list[record.LedgerEntry] = []

    def index(self, namespace: str, model: str) -> index.Index:
        del namespace, model
        return index.Index()

    def blob(self, name: str) -> bytes | None:
        del name
        return manifest.write_manifest(self.manifest)

    def append(self, namespace: str, model: str, facts: Sequence[record.LedgerEntry]) -> None:
        del namespace, model
        self.recorded += facts


def retired(kept: Kept) -> Json:
    found = apiserver.version("1", "Retired", lifecycle="Retired")
    artifact = {"digest": kept.manifest.digest, "files": 1, "bytes": len(DATA), "manifest": "sha256:m", "seconds": 1}
    found["status"] |= {"artifact": {**artifact, "verifiedAt": STAMP, "checkedAt": STAMP}}
    return found


def of_elsewhere(**fields: Any) -> Json:
    """A version of another namespace, of the same bytes."""
    found = apiserver.version("1", **fields)
    return {**found, "metadata": {"name": "fraud-1", "namespace": "elsewhere"}}


@contextlib.contextmanager
def cluster(
    root: pathlib.Path,
    s3: S3,
    patcher: pytest.MonkeyPatch,
    kept: Kept,
    *more: Json,
    elsewhere: Sequence[Json] | None = (),
    models: bool = False,
) -> Iterator[Registry]:
    """The Retired version 1, other versions, and what is elsewhere; None: that may not be read."""
    s3.put(OBJECT, DATA)
    objects = apiserver.registry(apiserver.model(storage={"uri": "s3://models/fraud/", "endpoint": s3.endpoint}), retired(kept), *more)

    def fault(handler: apiserver.Handler, asked: str, _body: Any) -> bool:
        if models and asked == "GET /apis/modelyard.dev/v1alpha1/models":
            handler.answer(200, {"items": [one for one in objects.values() if one["kind"] == "Model"]})
            return True
        if asked != f"GET {EVERYWHERE}":
            return False
        if elsewhere is None:
            handler.answer(403, {"message": "modelversions is forbidden at the cluster scope"})
        else:
            handler.answer(200, {"items": [*(one for one in objects.values() if one["kind"] == "ModelVersion"), *elsewhere]})
        return True

    with apiserver.run(root, objects, fault=fault) as config:
        patcher.setenv("KUBECONFIG", str(config))
        yield Registry(None, "risk")


DELETE, LIST = gc.Way(delete=True, to=model_storage.Way(), asked=None), gc.Way(delete=False, to=model_storage.Way(), asked=None)


@pytest.mark.usefixtures("person")
def test_what_nothing_else_refers_to_is_recorded_and_deleted(tmp_path: pathlib.Path, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept()

    with cluster(tmp_path, s3, monkeypatch, kept) as server:
        gc.gc(server, kept, "fraud", DELETE)

    assert s3.objects == {}
    assert [fact.action for fact in kept.recorded] == [record.Action.COLLECTED]


@pytest.mark.usefixtures("person")
def test_what_two_retired_versions_held_is_recorded_of_both(tmp_path: pathlib.Path, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept()
    other = retired(kept)
    other["metadata"] = {**other["metadata"], "name": "fraud-2", "uid": "uid-2"}
    other["spec"] |= {"version": "2"}

    with cluster(tmp_path, s3, monkeypatch, kept, other) as server:
        gc.gc(server, kept, "fraud", DELETE)

    assert s3.objects == {}
    assert [(one.subject.name, one.detail["version"]) for one in kept.recorded] == [("fraud-1", "1"), ("fraud-2", "2")]
    assert {row[0] for one in kept.recorded for row in one.detail["objects"]} == {OBJECT.removeprefix("models/")}


NEWER = {**apiserver.version("2", "Archived"), "metadata": {"name": "fraud-2"}}
NEWER["spec"]["artifact"] |= {"uri": "s3://models/fraud/1/x"}


@pytest.mark.usefixtures("person")
@pytest.mark.parametrize(
    ("here", "elsewhere"),
    [
        ((), [of_elsewhere()]),
        ((), [of_elsewhere(artifact={"uri": "s3://models/fraud/1/", "format": "of a newer release"})]),
        ((NEWER,), []),
    ],
    ids=["in another namespace", "in another namespace, of a newer release", "of a newer release"],
)
def test_what_another_version_refers_to_is_kept(
    tmp_path: pathlib.Path, s3: S3, monkeypatch: pytest.MonkeyPatch, here: tuple[Json, ...], elsewhere: list[Json]
) -> None:
    kept = Kept()

    with cluster(tmp_path, s3, monkeypatch, kept, *here, elsewhere=elsewhere) as server:
        gc.gc(server, kept, "fraud", DELETE)

    assert list(s3.objects) == [OBJECT]
    assert kept.recorded == []


def credit(uri: str) -> Json:
    """Another Model, and where it keeps its artifacts."""
    found = apiserver.model(storage={"uri": uri})
    return {**found, "metadata": {"name": "credit"}}


@pytest.mark.usefixtures("person")
@pytest.mark.parametrize("uri", ["s3://models/fraud/1/", "s3://models/fraud/1"])
def test_what_lies_in_the_storage_of_another_model_within_this_one_is_kept(
    tmp_path: pathlib.Path, s3: S3, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    kept = Kept()

    with cluster(tmp_path, s3, monkeypatch, kept, credit(uri), models=True) as server:
        gc.gc(server, kept, "fraud", DELETE)

    assert list(s3.objects) == [OBJECT]
    assert kept.recorded == []


@pytest.mark.usefixtures("person")
@pytest.mark.parametrize("own", ["s3://models/", "s3://models/fraud/1/"])
def test_nothing_of_the_operators_own_bucket_goes(tmp_path: pathlib.Path, s3: S3, monkeypatch: pytest.MonkeyPatch, own: str) -> None:
    kept, way = Kept(), dataclasses.replace(DELETE, own=location.place(own))

    with cluster(tmp_path, s3, monkeypatch, kept) as server:
        gc.gc(server, kept, "fraud", way)

    assert list(s3.objects) == [OBJECT]
    assert kept.recorded == []


@pytest.mark.usefixtures("person")
def test_what_a_version_in_another_bucket_held_is_not_looked_for_here(
    tmp_path: pathlib.Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept()
    moved = retired(kept)
    moved["spec"]["artifact"] |= {"uri": "s3://elsewhere/fraud/1/x"}

    with cluster(tmp_path, s3, monkeypatch, kept, moved) as server:
        gc.gc(server, kept, "fraud", DELETE)

    assert list(s3.objects) == [OBJECT]
    assert kept.recorded == []


@pytest.mark.usefixtures("person")
def test_who_may_not_read_other_namespaces_deletes_nothing(tmp_path: pathlib.Path, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept()

    with cluster(tmp_path, s3, monkeypatch, kept, elsewhere=None) as server, pytest.raises(exits.Stop) as stopped:
        gc.gc(server, kept, "fraud", DELETE)

    assert stopped.value.code == exits.Code.NO
    assert "modelversions is forbidden at the cluster scope" in stopped.value.message
    assert "takes the verb list on modelversions of modelyard.dev in every namespace" in stopped.value.message
    assert list(s3.objects) == [OBJECT]
    assert kept.recorded == []


def test_who_may_not_read_other_namespaces_is_listed_what_this_one_knows(
    person: typed.Person, tmp_path: pathlib.Path, s3: S3, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    del person  # it names another kubeconfig: after it
    kept = Kept()

    with cluster(tmp_path, s3, monkeypatch, kept, elsewhere=None) as server:
        gc.gc(server, kept, "fraud", LIST)

    told = capsys.readouterr()
    assert "what they share with risk is not known" in told.err
    assert "fraud/1/x" in told.out
    assert list(s3.objects) == [OBJECT]
