"""Rolling back: to what was before, by a Promotion of a new name each time, and never to what cannot be meant."""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes import apiserver
from tests.unit.cli import typed

Json = dict[str, Any]
PROMOTIONS = (
    apiserver.promotion("one", "1", "production", "Superseded"),
    apiserver.promotion("two", "2", "production", "Superseded"),
    apiserver.promotion("three", "3", "production", "Succeeded"),
    apiserver.promotion("four", "4", "production", "RolledBack"),
    apiserver.promotion("elsewhere", "4", "staging", "Succeeded"),
)
VERSIONS = tuple(apiserver.version(name) for name in "1234")


@contextlib.contextmanager
def registry(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch, *more: Json, **stands: Any) -> Iterator[dict[str, Any]]:
    """A Model whose production is at 3, and was at 2 before."""
    stage = {"name": "production", "current": "3", "previous": "2", **stands}
    model = apiserver.model(stages=[{"name": "production", "autoPromote": True}], aliases={"fallback": "1"}, status={"stages": [stage]})
    objects = apiserver.registry(model, *VERSIONS, *PROMOTIONS, *more)
    with apiserver.run(root, objects) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        yield objects


def created(objects: dict[str, Any]) -> list[Json]:
    return [one["spec"] for name, one in objects.items() if "-rollback-" in name]


@pytest.mark.parametrize(("words", "version"), [((), "2"), (("--to", "1"), "1"), (("--to", "@fallback"), "1")])
def test_a_stage_goes_back(
    person: typed.Person, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], version: str
) -> None:
    with registry(tmp_path, monkeypatch) as objects:
        ended = person.types("rollback", "fraud", "production", "--reason", "INC-7", *words, "-o", "json")

    assert ended.code == 0, ended.said
    asked = {
        "model": "fraud",
        "version": version,
        "stage": "production",
        "reason": "INC-7",
        "rollback": True,
        "requestedBy": apiserver.USER,
    }
    assert created(objects) == [asked]
    assert json.loads(ended.out)["spec"] == asked
    assert f"production of fraud goes back from 3 to {version}, past gates, approvals and freezes" in ended.said
    assert "autoPromote rests there afterwards" in ended.said


def test_what_is_on_its_way_already_is_not_asked_twice(
    person: typed.Person, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    going = apiserver.promotion("back", "2", "production", "RollingOut", rollback=True)
    with registry(tmp_path, monkeypatch, going) as objects:
        ended = person.types("rollback", "fraud", "production", "--reason", "INC-7", "-o", "name")

    assert (ended.code, ended.out) == (0, "promotion.modelyard.dev/back\n")
    assert created(objects) == []


def test_after_an_attempt_that_ended_another_has_a_name_of_its_own(
    person: typed.Person, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = apiserver.promotion("fraud-2-production-rollback-20261003t140000", "2", "production", "Failed", rollback=True)
    with registry(tmp_path, monkeypatch, before) as objects:
        ended = person.types("rollback", "fraud", "production", "--reason", "INC-7")

    assert ended.code == 0
    assert len(created(objects)) == 2


@pytest.mark.parametrize(
    ("stands", "words", "code", "said"),
    [
        ({}, ["--to", "3"], 3, "production is at 3 already"),
        ({}, ["--to", "4"], 3, "4 never succeeded in production; 2, 1 did\npromote it instead: `modelyard promote fraud 4 production`"),
        ({}, ["--to", "9"], 3, "9 never succeeded in production"),
        ({}, ["--to", "@best"], 4, "the Model fraud has no alias @best; it has @fallback"),
        ({}, ["--to", "v1"], 2, "a version is lower-case SemVer"),
        ({"previous": None}, [], 3, "nothing is known to be before 3 in production; it has been at 2, 1 too: say which with --to"),
        ({"promotion": {"name": "new", "version": "4"}}, [], 3, "new is bringing 4\nto stop that, `modelyard abort new`"),
    ],
)
def test_what_cannot_be_gone_back_to_is_said(
    person: typed.Person,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    stands: Json,
    words: list[str],
    code: int,
    said: str,
) -> None:
    with registry(tmp_path, monkeypatch, **stands) as objects:
        ended = person.types("rollback", "fraud", "production", "--reason", "INC-7", *words)

    assert ended.code == code
    assert said in ended.said
    assert created(objects) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["fraud", "canary"], 4, "has no stage canary; it has production"),
        (["churn", "production"], 4, "there is no Model churn"),
        (["fraud", "../x"], 2, "a stage's name is"),
    ],
)
def test_a_stage_that_is_not_there_is_said(
    person: typed.Person, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, said: str
) -> None:
    with registry(tmp_path, monkeypatch):
        ended = person.types("rollback", *words, "--reason", "INC-7")

    assert ended.code == code
    assert said in ended.said


def test_a_reason_is_asked_for(person: typed.Person) -> None:
    ended = person.types("rollback", "fraud", "production")

    assert ended.code == 2
    assert "--reason" in ended.said
