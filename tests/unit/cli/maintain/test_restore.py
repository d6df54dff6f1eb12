"""`modelyard restore`: what is older is named and put back; what is not, or is another's, is left alone; a registry is taken over openly."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from modelyard import api
from modelyard.content import digest
from modelyard.edge.bucket import ownership
from modelyard.ledger import codec, record, signature
from modelyard.ledger.record import Action
from modelyard.plan.observed import specs
from tests.fakes import apiserver, chronicle
from tests.fakes.s3 import S3
from tests.unit.cli import typed

Json = dict[str, Any]
MODEL, VERSION = f"{apiserver.HERE}/models/fraud", f"{apiserver.HERE}/modelversions/fraud-1"
KUBE_SYSTEM = "/api/v1/namespaces/kube-system"
REGISTRY = "own/ledger/main/registry.json"


def older() -> tuple[Json, Json]:
    """The Model and its version as the cluster has them."""
    model, version = apiserver.model(), apiserver.version("1")
    model["metadata"] |= {"uid": "uid-m", "generation": 2}
    version["metadata"] |= {"uid": "uid-v"}
    version["status"]["recorded"] = {"generation": 1, "spec": recorded(version)}
    return model, version


def recorded(obj: Json) -> str:
    kind = api.Model if obj["kind"] == "Model" else api.ModelVersion
    return digest.named(specs.snapshot(kind.model_validate(obj)))


@pytest.fixture
def objects(s3: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Iterator[dict[str, Any]]:
    """A cluster with an older Model and an older version, beside a ledger that has newer ones."""
    model, version = older()
    newer, attested = apiserver.model(description="newer"), apiserver.version("1", metrics={"auc": 0.9})
    told = chronicle.Writer("fraud", key=chronicle.KEY)
    for one in (model, newer, version, attested):
        kind = api.Model if one["kind"] == "Model" else api.ModelVersion
        data = specs.snapshot(kind.model_validate(one))
        told.blobs[digest.named(data)] = data
    about = {generation: record.Subject("Model", "fraud", "uid-m", generation) for generation in (2, 3)}
    its = {generation: record.Subject("ModelVersion", "fraud-1", "uid-v", generation) for generation in (1, 2)}
    meant = specs.spec_digest(api.ModelVersion.model_validate(version))
    told.write(
        record.entry(Action.MODEL_CREATED, chronicle.BOB, about[2], "created", recorded(model)),
        record.entry(Action.REGISTERED, chronicle.BOB, its[1], "registered", recorded(version), {"version": "1", "specDigest": meant}),
        record.entry(Action.VERIFIED, record.BY_OPERATOR, its[1], "first", digest.named(b"bytes"), {"version": "1"}),
    )
    told.write(
        record.entry(Action.RULES_CHANGED, chronicle.BOB, about[3], None, recorded(newer)),
        record.entry(Action.ATTESTED, chronicle.BOB, its[2], None, recorded(attested), {"version": "1"}),
    )
    operators = chronicle.Operators(key=chronicle.KEY)
    operators.begin(None)
    for key, data in chronicle._files([told, operators]):
        s3.put(f"own/{key}", data)
    s3.put(REGISTRY, json.dumps({"format": ownership.FORMAT, "registry": "main", "cluster": "elsewhere", "epoch": 1}).encode())
    monkeypatch.setenv("MODELYARD_LEDGER__KEY_FILE", str(chronicle.key_file(tmp_path)))
    monkeypatch.setenv("MODELYARD_BUCKET__URI", "s3://own/")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    found = {**apiserver.registry(model, version), KUBE_SYSTEM: {"metadata": {"name": "kube-system", "uid": "here"}}}
    with apiserver.run(tmp_path, found) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        yield found


def test_what_is_older_is_only_named_without_yes(person: typed.Person, objects: dict[str, Any]) -> None:
    before = json.dumps(objects)

    ended = person.types("restore", "fraud")

    assert ended.code == 2
    assert "over those of ModelVersion fraud-1 (sha256:" in ended.said
    assert "Model fraud (sha256:" in ended.said
    assert "add --yes" in ended.said
    assert json.dumps(objects) == before


def test_the_recorded_specs_are_written_as_the_user_and_a_second_time_there_is_nothing_to_do(
    person: typed.Person, objects: dict[str, Any]
) -> None:
    ended = person.types("restore", "fraud", "--yes")

    assert ended.code == 0
    assert objects[MODEL]["spec"]["description"] == "newer"
    assert objects[VERSION]["spec"]["metrics"] == {"auc": 0.9}
    assert objects[MODEL]["metadata"]["annotations"] == {"modelyard.dev/changes": f"3 {apiserver.USER}"}
    objects[VERSION]["status"]["recorded"] = {"generation": 2, "spec": recorded(objects[VERSION])}
    again = person.types("restore", "fraud", "--yes")
    assert (again.code, "nothing is put back" in again.said) == (0, True)


def applied_again(objects: dict[str, Any], **more: Any) -> None:
    """Git was faster than the operator after a loss: the version is another object, without what was attested since."""
    spec = apiserver.version("1", **more)["spec"]
    objects[VERSION] |= {"metadata": {**objects[VERSION]["metadata"], "uid": "uid-again"}, "spec": spec, "status": {}}
    objects[MODEL]["spec"]["description"], objects[MODEL]["metadata"]["generation"] = "newer", 3


def test_what_a_version_that_was_applied_again_lacks_is_added_as_the_user(person: typed.Person, objects: dict[str, Any]) -> None:
    applied_again(objects, metrics={"f1": 0.7}, description="from Git")

    named, ended = person.types("restore", "fraud"), person.types("restore", "fraud", "--yes")

    assert (named.code, "it adds metrics/auc to the ModelVersion fraud-1: add --yes" in named.said) == (2, True)
    assert (ended.code, "the ModelVersion fraud-1 has metrics/auc (sha256:" in ended.said) == (0, True)
    assert objects[VERSION]["spec"]["metrics"] == {"auc": 0.9, "f1": 0.7}
    assert objects[VERSION]["spec"]["description"] == "from Git"
    again = person.types("restore", "fraud", "--yes")
    assert (again.code, "nothing is put back" in again.said) == (0, True)


def test_what_a_version_that_was_applied_again_has_otherwise_is_left_to_people(person: typed.Person, objects: dict[str, Any]) -> None:
    applied_again(objects, metrics={"auc": 0.99})

    ended = person.types("restore", "fraud", "--yes")

    assert (ended.code, "nothing is put back" in ended.said) == (0, True)
    assert objects[VERSION]["spec"]["metrics"] == {"auc": 0.99}


def test_what_is_newer_than_the_ledger_is_not_undone(person: typed.Person, objects: dict[str, Any]) -> None:
    objects[MODEL]["metadata"]["generation"], objects[MODEL]["spec"]["description"] = 4, "edited a moment ago"
    objects[VERSION]["metadata"]["generation"], objects[VERSION]["spec"]["description"] = 2, "so was this"

    ended = person.types("restore", "fraud", "--yes")

    assert (ended.code, "nothing is put back" in ended.said) == (0, True)
    assert objects[MODEL]["spec"]["description"] == "edited a moment ago"


def test_a_ledger_of_another_model_of_that_name_changes_nothing(person: typed.Person, objects: dict[str, Any]) -> None:
    objects[MODEL]["metadata"]["uid"] = "uid-of-another-cluster"

    ended = person.types("restore", "fraud", "--yes")

    assert ended.code == 3
    assert "is of another Model fraud (uid uid-m, and here it is uid-of-another-cluster)" in ended.said
    assert "check --bucket, --registry and --context" in ended.said
    assert "description" not in objects[MODEL]["spec"]


@pytest.mark.parametrize(("path", "what"), [(MODEL, "the Model fraud"), (VERSION, "the ModelVersion fraud-1")])
def test_what_a_newer_release_wrote_is_not_written_over(person: typed.Person, objects: dict[str, Any], path: str, what: str) -> None:
    objects[path]["status"]["observedGeneration"] = "many"

    ended = person.types("restore", "fraud", "--yes")

    assert ended.code == 3
    assert f"{what} cannot be read: status.observedGeneration: " in ended.said
    assert "description" not in objects[MODEL]["spec"]


def test_a_spec_that_the_bucket_lost_is_named(person: typed.Person, objects: dict[str, Any], s3: S3) -> None:
    for key in [key for key in s3.objects if "/blobs/" in key]:
        del s3.objects[key]

    ended = person.types("restore", "fraud", "--yes")

    assert ended.code == 3
    assert "apply it from Git" in ended.said


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "give a MODEL to put back, or --take-over"),
        (["fraud", "--take-over"], 2, "give a MODEL to put back, or --take-over"),
        (["churn", "--yes"], 4, "no record of the model churn"),
        (["fraud", "--registry", "other", "--yes"], 4, "the ledger other has no record of the model fraud"),
        (["--take-over"], 2, "will belong to this cluster (here)"),
        (["--take-over", "--yes", "--registry", "other"], 4, "there is no registry other in s3://own/"),
    ],
)
def test_what_cannot_be_done_says_why(person: typed.Person, objects: dict[str, Any], words: list[str], code: int, said: str) -> None:
    ended = person.types("restore", *words)

    assert ended.code == code
    assert said in ended.said


def test_what_is_lost_is_named_and_created_as_the_user(person: typed.Person, objects: dict[str, Any]) -> None:
    del objects[MODEL], objects[VERSION]

    named, ended = person.types("restore", "fraud"), person.types("restore", "fraud", "--yes")

    assert (named.code, ended.code) == (2, 0)
    assert "it creates Model fraud, ModelVersion fraud-1, as you: add --yes" in named.said
    assert objects[MODEL]["spec"]["description"] == "newer"
    assert objects[VERSION]["spec"]["metrics"] == {"auc": 0.9}
    assert objects[MODEL]["metadata"]["annotations"] == {"modelyard.dev/changes": f"1 {apiserver.USER}"}


def test_a_ledger_that_nothing_proves_is_put_back_with_a_warning(
    person: typed.Person, objects: dict[str, Any], s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ed25519.Ed25519PrivateKey.from_private_bytes(b"\x02" * 32).public_key()
    s3.put(f"own/ledger/main/keys/{signature.key_id(other)}.pem", signature.write_public(other))
    del objects[MODEL], objects[VERSION]

    ended = person.types("restore", "fraud", "--yes")

    assert ended.code == 0
    assert "nothing proves who wrote the last record of fraud: look at what is put back, it will be yours" in ended.said
    assert objects[MODEL]["spec"]["description"] == "newer"


def test_a_registry_whose_records_another_key_signed_is_taken_over_once_that_is_trusted(
    person: typed.Person, objects: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    mine, folder = ed25519.Ed25519PrivateKey.from_private_bytes(b"\x02" * 32), tmp_path / "mine"
    folder.mkdir()
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "ledger.pem").write_bytes(mine.private_bytes(encoding, form, serialization.NoEncryption()))
    monkeypatch.setenv("MODELYARD_LEDGER__KEY_FILE", str(folder / "ledger.pem"))

    refused = person.types("restore", "--take-over", "--yes")
    (folder / "before.pub").write_bytes(signature.write_public(chronicle.KEY.public_key()))
    taken = person.types("restore", "--take-over", "--yes")

    assert (refused.code, taken.code) == (3, 0)
    assert "`modelyard ledger trust`" in refused.said


def test_a_registry_is_taken_over_once_with_a_new_epoch_and_on_record(person: typed.Person, objects: dict[str, Any], s3: S3) -> None:
    first, again = person.types("restore", "--take-over", "--yes"), person.types("restore", "--take-over", "--yes")

    assert (first.code, again.code) == (0, 0)
    assert "belongs to this cluster, epoch 2" in first.said
    assert "that of the cluster elsewhere stops" in first.said
    assert "belongs to this cluster already, epoch 2" in again.said
    assert json.loads(s3.objects[REGISTRY][-1])["cluster"] == "here"
    last = codec.read(s3.objects["own/ledger/main/_/_operator/0000000002.json"][-1])
    assert [(one.action, one.actor.name, one.detail["before"], one.detail["after"]) for one in last.facts] == [
        (Action.TAKEN_OVER, apiserver.USER, "elsewhere", "here")
    ]
