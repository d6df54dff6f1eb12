"""`modelyard ledger`: verified offline and in the bucket, exported, and accepted by a person."""

from __future__ import annotations

import base64
import json
import pathlib
import shutil

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from modelyard.content import digest
from modelyard.ledger import anchors, codec, integrity, record, signature
from tests.fakes import apiserver, chronicle
from tests.fakes.s3 import S3
from tests.unit.cli import typed

CHAIN = record.Chain("main", "risk", "credit")


@pytest.fixture
def own(s3: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> S3:
    """The operator's bucket, named in the environment, and the key that signs its records."""
    monkeypatch.setenv("MODELYARD_LEDGER__KEY_FILE", str(chronicle.key_file(tmp_path)))
    monkeypatch.setenv("MODELYARD_BUCKET__URI", "s3://own/")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    for key, data in dict(chronicle._files(chronicle.credit(chronicle.KEY))).items():
        s3.put(f"own/{key}", data)
    return s3


def model(sequence: int, head: str) -> dict[str, object]:
    """A Model whose status has an anchor."""
    return {"metadata": {"name": "credit", "namespace": "risk"}, "spec": {}, "status": {"ledger": {"sequence": sequence, "head": head}}}


def test_a_sound_ledger_is_verified_in_the_bucket(person: typed.Person, own: S3) -> None:
    ended = person.types("ledger", "verify", "credit", "-n", "risk")

    assert ended.code == 0
    assert ended.out.splitlines()[1].split()[:2] == ["risk/credit", "24"]
    assert "object versions" in ended.out


def test_what_was_exported_is_verified_without_cluster_or_network(person: typed.Person, own: S3, tmp_path: pathlib.Path) -> None:
    exported = person.types("ledger", "export", "credit", tmp_path / "copy", "-n", "risk", "-o", "json")
    own.objects.clear()
    asked = len(own.asked)

    ended = person.types("ledger", "verify", "--from", tmp_path / "copy", "-o", "json")

    assert (exported.code, ended.code) == (0, 0)
    assert json.loads(exported.out)["chains"] == ["risk/credit", "_operator"]
    assert {one["chain"]: one["records"] for one in json.loads(ended.out)["chains"]} == {"_operator": 2, "risk/credit": 24}
    assert len(own.asked) == asked
    assert person.types("ledger", "export", "credit", tmp_path / "copy", "-n", "risk").code in {2, 4}


def test_a_tail_that_was_cut_off_is_found_with_what_the_cluster_knows(
    person: typed.Person, own: S3, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = digest.named(own.objects.pop(f"own/{CHAIN.key(24)}")[-1])
    noted = anchors.write({CHAIN: integrity.Anchor(24, head)})
    objects = {
        "/apis/modelyard.dev/v1alpha1/namespaces/risk/models/credit": model(24, head),
        "/api/v1/namespaces/modelyard-system/configmaps": [
            {"metadata": {"name": "modelyard-anchors.risk"}, "data": {"anchors.json": noted}}
        ],
    }
    assert person.types("ledger", "verify", "credit", "-n", "risk").code == 0  # nothing outside the bucket is known
    with apiserver.run(tmp_path, objects) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        found = person.types("ledger", "verify", "credit")
        asked = person.types("ledger", "accept", "credit", "--reason", "restored an older bucket")
        accepted = person.types("ledger", "accept", "credit", "--reason", "restored an older bucket", "--yes", "-o", "json")
        again = person.types("ledger", "verify", "credit")
        twice = person.types("ledger", "accept", "credit", "--reason", "once more", "--yes")

    assert (found.code, asked.code, accepted.code, again.code, twice.code) == (3, 2, 0, 0, 3)
    assert "Truncated 24" in found.out
    assert "add --yes" in asked.said
    assert json.loads(accepted.out)["by"] == apiserver.USER
    assert {flaw["sequence"] for flaw in json.loads(accepted.out)["flaws"]} == {24}
    assert "accepted" in again.out
    assert f"by {apiserver.USER}: restored an older bucket" in again.out
    assert "nothing is wrong" in twice.said


def test_a_chain_that_was_removed_altogether_is_found_when_all_are_verified(
    person: typed.Person, own: S3, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = anchors.write({CHAIN: integrity.Anchor(24, digest.named(own.objects[f"own/{CHAIN.key(24)}"][-1]))})
    kept = [{"metadata": {"name": "modelyard-anchors.risk"}, "data": {"anchors.json": noted}}]
    assert person.types("ledger", "export", "credit", tmp_path / "copy", "-n", "risk").code == 0
    (tmp_path / "copy" / "anchors.json").write_text(noted)
    shutil.rmtree(tmp_path / "copy" / CHAIN.prefix)
    for key in [key for key in own.objects if key.startswith(f"own/{CHAIN.prefix}")]:
        del own.objects[key]

    with apiserver.run(tmp_path, {"/api/v1/namespaces/modelyard-system/configmaps": kept}) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        found = [person.types("ledger", "verify"), person.types("ledger", "verify", "--from", tmp_path / "copy")]

    for ended in found:
        assert ended.code == 3
        assert "risk/credit: Truncated 24" in ended.out


def test_a_byte_that_was_changed_is_found(person: typed.Person, own: S3) -> None:
    name = f"own/{CHAIN.key(5)}"
    own.objects[name] = [own.objects[name][-1].replace(b"bob@example.com", b"eve@example.com")]

    ended = person.types("ledger", "verify", "credit", "-n", "risk", "-o", "json")

    [chain] = json.loads(ended.out)["chains"]
    assert ended.code == 3
    assert [(flaw["kind"], flaw["sequence"]) for flaw in chain["flaws"]] == [("Unchained", 6)]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["verify", "fraud", "-n", "risk"], 4, "no record of the model fraud"),
        (["verify", "credit", "-n", "risk", "--public-key", "/no/such"], 2, "/no/such: cannot be read"),
        (["export", "only-a-folder"], 2, "give at least one model"),
    ],
)
def test_what_cannot_be_done_says_why(person: typed.Person, own: S3, words: list[str], code: int, said: str) -> None:
    ended = person.types("ledger", *words)

    assert ended.code == code
    assert said in ended.said


def forged(own: S3) -> None:
    """Somebody with the bucket's credentials appends a record."""
    [data] = own.objects[f"own/{CHAIN.key(24)}"]
    last = codec.read(data)
    made = record.follow(CHAIN, last, digest.named(data), (), (), now=last.time, term=last.term, index=None)
    own.put(f"own/{CHAIN.key(25)}", codec.write(made))


@pytest.mark.parametrize("word", ["--discard", "--believe"])
def test_what_is_unproven_is_accepted_by_saying_what_it_is(
    person: typed.Person, own: S3, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    forged(own)
    public = tmp_path / "public.pem"
    public.write_bytes(signature.write_public(chronicle.KEY.public_key()))
    with apiserver.run(tmp_path, {}) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        found = person.types("ledger", "verify", "credit", "-n", "risk", "--public-key", public)
        asked = person.types("ledger", "accept", "credit", "-n", "risk", "--reason", "looked at it", "--yes")
        accepted = person.types("ledger", "accept", "credit", "-n", "risk", "--reason", "looked at it", "--yes", word)
        again = person.types("ledger", "verify", "credit", "-n", "risk", "--public-key", public)

    assert (found.code, asked.code, accepted.code, again.code) == (3, 2, 0, 0)
    assert "0000000025.json is Unproven: it is not signed" in found.out
    assert "--believe when they are this registry's own" in asked.said
    [fact] = codec.read(own.objects[f"own/{CHAIN.key(26)}"][-1]).facts
    assert fact.detail["believed"] is (word == "--believe")


def test_accepting_takes_the_key_and_says_where_it_is(
    person: typed.Person, own: S3, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged(own)
    monkeypatch.delenv("MODELYARD_LEDGER__KEY_FILE")
    with apiserver.run(tmp_path, {}) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        ended = person.types("ledger", "accept", "credit", "-n", "risk", "--reason", "x", "--yes", "--discard")

    assert ended.code == 4
    assert "there is no Secret modelyard-ledger-key in namespace modelyard-system" in ended.said
    assert "MODELYARD_LEDGER__KEY_FILE" in ended.said
    assert f"own/{CHAIN.key(26)}" not in own.objects


def test_a_question_does_not_believe_what_is_unproven_and_says_so(person: typed.Person, own: S3) -> None:
    own.put(f"own/ledger/main/keys/{signature.key_id(chronicle.KEY.public_key())}.pem", signature.write_public(chronicle.KEY.public_key()))
    before = person.types("explain", "credit", "--stage", "production", "-n", "risk", "-o", "json")
    forged(own)

    ended = person.types("explain", "credit", "--stage", "production", "-n", "risk", "-o", "json")

    assert "0000000025.json is Unproven, and counts for nothing" in ended.said
    assert json.loads(ended.out)["serves"] == json.loads(before.out)["serves"] != []


def test_a_key_is_trusted_by_its_id_as_the_user(
    person: typed.Person, own: S3, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = base64.b64encode(chronicle.key_file(tmp_path).read_bytes()).decode()
    place = "/api/v1/namespaces/modelyard-system/secrets/modelyard-ledger-key"
    objects = {
        place: {"metadata": {"name": "modelyard-ledger-key", "resourceVersion": "1", "generation": 1}, "data": {"ed25519.pem": private}}
    }
    other = ed25519.Ed25519PrivateKey.from_private_bytes(b"\x02" * 32).public_key()
    own.put(f"own/ledger/main/keys/{signature.key_id(other)}.pem", signature.write_public(other))
    monkeypatch.delenv("MODELYARD_LEDGER__KEY_FILE")
    with apiserver.run(tmp_path, objects) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        unknown = person.types("ledger", "trust", "0000000000000000", "--yes")
        asked = person.types("ledger", "trust", signature.key_id(other))
        trusted = person.types("ledger", "trust", signature.key_id(other), "--yes")

    assert (unknown.code, asked.code, trusted.code) == (4, 2, 0)
    assert f"it has {signature.key_id(other)}" in unknown.said
    assert base64.b64decode(objects[place]["data"][f"{signature.key_id(other)}.pub"]) == signature.write_public(other)  # type: ignore[index]
