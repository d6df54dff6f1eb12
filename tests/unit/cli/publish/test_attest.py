"""Attesting adds, never changes: metrics and documents, by two people at once, and nothing is uploaded that may not be registered."""

from __future__ import annotations

import contextlib
import hashlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from modelyard.api import access
from modelyard.cli.publish import attest
from modelyard.cli.terminal import exits
from tests.fakes import apiserver
from tests.fakes.s3 import S3
from tests.unit.cli import typed

Json = dict[str, Any]
KEY = "models/fraud/evidence/1.4.0/vr-17.pdf"
SHA256 = f"sha256:{hashlib.sha256(b'report').hexdigest()}"
ENTRY = {"name": "vr-17", "type": "ValidationReport", "uri": f"s3://{KEY}", "sha256": SHA256}
WHERE = f"{apiserver.HERE}/modelversions/fraud-1.4.0"


class Attester:
    """Somebody with a report, a registry with the version 1.4.0, and a store."""

    def __init__(self, person: typed.Person, root: pathlib.Path) -> None:
        self.person, self.file = person, typed.folder(root, {"VR 17.pdf": b"report"}) / "VR 17.pdf"
        self.objects: dict[str, Any] = {}
        self.refuses: list[str] = []

    def attests(self, *words: str | pathlib.Path, version: str = "1.4.0") -> typed.Ended:
        return self.person.types("attest", "fraud", version, *words)

    def reports(self, *words: str | pathlib.Path) -> typed.Ended:
        return self.attests("--evidence", self.file, "--type", "ValidationReport", *words)

    def spec(self) -> Json:
        found: Json = self.objects[WHERE]["spec"]
        return found

    def fault(self, handler: apiserver.Handler, asked: str, _body: object) -> bool:
        if asked.split(maxsplit=1)[0] in self.refuses:
            handler.answer(403, {"message": 'modelversions "fraud-1.4.0" is forbidden: User "olga" cannot patch resource'})
            return True
        return False


@contextlib.contextmanager
def somebody(person: typed.Person, root: pathlib.Path, s3: S3, patcher: pytest.MonkeyPatch, *more: Json, **spec: Any) -> Iterator[Attester]:
    made = Attester(person, root)
    model = apiserver.model(storage={"uri": "s3://models/fraud/", "endpoint": s3.endpoint}, aliases={"champion": "1.4.0", "lost": "9"})
    made.objects = apiserver.registry(model, apiserver.version("1.4.0", **spec), *more)
    with apiserver.run(root, made.objects, fault=made.fault) as config:
        patcher.setenv("KUBECONFIG", str(config))
        yield made


@pytest.fixture
def attester(person: typed.Person, tmp_path: pathlib.Path, s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Attester]:
    with somebody(person, tmp_path, s3, monkeypatch, metrics={"auc": 0.934}) as made:
        yield made


def test_metrics_and_a_document_are_added(attester: Attester, s3: S3) -> None:
    about = ("--name", "vr-17", "--title", "Checked", "--author", "Vera", "--issued-at", "2026-10-03")
    ended = attester.reports("--metric", "auc@q3/b=0.9", *about, "-o", "json")

    assert ended.code == 0, ended.said
    assert attester.spec()["metrics"] == {"auc": 0.934, "auc@q3/b": 0.9}
    assert attester.spec()["evidence"] == [{**ENTRY, "title": "Checked", "author": "Vera", "issuedAt": "2026-10-03T00:00:00Z"}]
    assert s3.objects == {KEY: [b"report"]}
    assert attester.objects[WHERE]["metadata"]["annotations"] == {access.CHANGES: f"2 {apiserver.USER}"}
    assert json.loads(ended.out)["spec"] == attester.spec()


def test_the_same_again_is_fine_and_writes_nothing(attester: Attester, s3: S3) -> None:
    attester.reports("--name", "vr-17")
    asked, before = len(s3.asked), attester.objects[WHERE]

    ended = attester.reports("--name", "vr-17", "--metric", "auc=0.9340")

    assert ended.code == 0
    assert ended.said.count("is there already") == 2
    assert attester.objects[WHERE] is before
    assert len(s3.asked) == asked


def test_a_document_is_named_after_its_file(attester: Attester, s3: S3) -> None:
    attester.reports()

    assert [one["name"] for one in attester.spec()["evidence"]] == ["vr-17"]
    assert list(s3.objects) == [KEY]


def test_an_alias_is_attested_as_what_it_points_at(attester: Attester) -> None:
    ended = attester.attests("--metric", "recall=0.5", version="@champion")

    assert "@champion is 1.4.0" in ended.said
    assert attester.spec()["metrics"] == {"auc": 0.934, "recall": 0.5}


def test_who_is_asked_again_is_said(person: typed.Person, tmp_path: pathlib.Path, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = apiserver.promotion("asks", "1.4.0", "production", "AwaitingApproval")
    with somebody(person, tmp_path, s3, monkeypatch, asked) as attester:
        ended = attester.attests("--metric", "auc=1")

    assert "people are asked again for asks" in ended.said
    assert attester.spec()["metrics"] == {"auc": 1.0}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "--metric auc=0.934, or --evidence FILE"),
        (("--metric", "auc=0.93"), 3, "the metric auc of fraud-1.4.0 is 0.934 already, not 0.93\nwhat was declared never changes"),
        (("--metric", "auc=nan"), 2, "a metric is a finite number"),
        (("--metric", "auc=high"), 2, "'high' is no number"),
        (("--metric", "au c=1"), 2, "a metric's name starts with a letter"),
        (("--issued-at", "2026-10-03"), 2, "--issued-at tells of a document: add --evidence FILE"),
        (("--evidence", "FILE", "--type", "Other", "--issued-at", "soon"), 2, "'soon': write a time like 2026-10-03T14:03:00Z"),
        (("--evidence", "FILE", "--type", "Other", "--issued-at", "2999-01-01"), 2, "that time has not come yet"),
        (("--title", "Checked"), 2, "--title tells of a document: add --evidence FILE"),
        (("--evidence", "FILE"), 2, "say what it is with --type"),
        (("--evidence", "/no/such", "--type", "Other"), 4, "there is no file /no/such"),
        (("--evidence", "FILE", "--type", "Report"), 2, "'Report' is not one of ValidationReport"),
        (("--evidence", "FILE", "--type", "Other", "--name", "A b"), 2, "--evidence, name 'A b'"),
        (("--evidence", "FILE", "--type", "Other", "--title", "x" * 257), 2, "title: is longer than 256 characters"),
    ],
)
def test_what_is_typed_wrongly_is_said(attester: Attester, s3: S3, words: tuple[str, ...], code: int, said: str) -> None:
    before = attester.objects[WHERE]

    ended = attester.attests(*(attester.file if word == "FILE" else word for word in words))

    assert (ended.code, ended.out) == (code, "")
    assert said in ended.said
    assert attester.objects[WHERE] is before
    assert not s3.asked


@pytest.mark.parametrize(
    ("version", "code", "said"),
    [
        ("9.9.9", 4, "there is no ModelVersion fraud-9.9.9"),
        ("@best", 4, "has no alias @best; it has @champion, @lost"),
        ("@lost", 4, "there is no ModelVersion fraud-9"),
        ("latest", 2, "a version is lower-case SemVer"),
    ],
)
def test_a_version_that_is_not_there_is_said(attester: Attester, version: str, code: int, said: str) -> None:
    ended = attester.attests("--metric", "auc=1", version=version)

    assert ended.code == code
    assert said in ended.said


def test_whoever_may_not_attest_is_told_which_right_it_takes_and_uploads_nothing(attester: Attester, s3: S3) -> None:
    attester.refuses.append("PATCH")

    ended = attester.reports("--name", "vr-17")

    assert ended.code == 3
    assert "the verb attest on models (resourceName fraud)" in ended.said
    assert "ClusterRole modelyard-publisher" in ended.said
    assert s3.objects == {}


def test_a_document_that_is_stored_with_other_bytes_is_never_written_over(attester: Attester, s3: S3) -> None:
    s3.put(KEY, b"older")

    ended = attester.reports("--name", "vr-17")

    assert ended.code == 3
    assert "what is stored is never written over" in ended.said
    assert "evidence" not in attester.spec()
    assert s3.objects == {KEY: [b"older"]}


def test_a_document_with_a_name_that_is_taken_needs_another(attester: Attester, s3: S3) -> None:
    attester.reports("--name", "vr-17", "--title", "First")
    attester.file.write_bytes(b"another report")

    ended = attester.reports("--name", "vr-17", "--title", "First")

    assert ended.code == 3
    assert f"is there already, with another sha256 ({SHA256})\nwhat is there never changes: give another --name" in ended.said
    assert s3.objects == {KEY: [b"report"]}


# --- the patch


def version(**spec: Any) -> Json:
    return {"metadata": {"name": "fraud-1", "generation": 3, "resourceVersion": "7"}, "spec": {"model": "fraud", "version": "1", **spec}}


def test_two_people_who_attest_at_once_both_stay() -> None:
    first, second = (attest.steps(version(), name, {name: 1.0}, {**ENTRY, "name": name}) for name in ("bob", "carol"))
    now = apiserver.patched(version(), first)
    now["metadata"]["generation"] = 4

    with pytest.raises(AssertionError, match="/metadata/generation"):
        apiserver.patched(now, second)
    after = apiserver.patched(now, attest.steps(now, "carol", {"carol": 1.0}, {**ENTRY, "name": "carol"}))

    assert after["spec"]["metrics"] == {"bob": 1.0, "carol": 1.0}
    assert [one["name"] for one in after["spec"]["evidence"]] == ["bob", "carol"]
    assert after["metadata"]["annotations"] == {access.CHANGES: "4 bob\n5 carol"}


def test_what_somebody_else_added_meanwhile_is_not_added_again() -> None:
    now = version(metrics={"auc": 0.9}, evidence=[ENTRY])

    assert attest.steps(now, "bob", {"auc": 0.9}, ENTRY) == [{"op": "test", "path": "/metadata/generation", "value": 3}]
    with pytest.raises(exits.Stop, match=r"is 0\.9 already, not 0\.8"):
        attest.steps(now, "bob", {"auc": 0.8}, None)
