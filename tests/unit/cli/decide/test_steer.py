"""A promotion on its way is aborted, paused and let go on, signed by who typed, and one that has ended is left alone."""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from modelyard.api import access
from tests.fakes import apiserver
from tests.unit.cli import typed

PATH = f"{apiserver.HERE}/promotions/fraud-2-production"


@contextlib.contextmanager
def registry(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch, phase: str, **spec: Any) -> Iterator[dict[str, Any]]:
    objects = apiserver.registry(apiserver.promotion("fraud-2-production", "2", "production", phase, **spec))
    with apiserver.run(root, objects) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        yield objects


@pytest.mark.parametrize(
    ("verb", "before", "after", "said"),
    [
        ("abort", {}, {"abort": True}, "fraud 2 for production, is to end; the stage goes back"),
        ("pause", {}, {"paused": True}, "stops where it is, until `modelyard resume`"),
        ("pause", {"paused": False}, {"paused": True}, "stops where it is"),
        ("resume", {"paused": True}, {"paused": False}, "goes on"),
        ("abort", {"paused": True}, {"paused": True, "abort": True}, "is to end"),
    ],
)
def test_a_promotion_on_its_way_is_steered_in_the_name_of_who_typed(
    person: typed.Person,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    before: dict[str, bool],
    after: dict[str, bool],
    said: str,
) -> None:
    with registry(tmp_path, monkeypatch, "RollingOut", **before) as objects:
        ended = person.types(verb, "fraud-2-production", "-o", "json")

    assert ended.code == 0, ended.said
    assert said in ended.said
    written = objects[PATH]
    assert {key: value for key, value in written["spec"].items() if key in {"abort", "paused"}} == after
    assert written["metadata"]["annotations"] == {access.CHANGES: f"2 {apiserver.USER}"}
    assert json.loads(ended.out)["spec"] == written["spec"]


@pytest.mark.parametrize(
    ("verb", "spec", "said"),
    [
        ("abort", {"abort": True}, "spec.abort is true already"),
        ("pause", {"paused": True}, "spec.paused is true already"),
        ("resume", {}, "spec.paused is false already"),
    ],
)
def test_what_is_so_already_is_not_written_again(
    person: typed.Person, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, verb: str, spec: dict[str, bool], said: str
) -> None:
    with registry(tmp_path, monkeypatch, "RollingOut", **spec) as objects:
        ended = person.types(verb, "fraud-2-production")

    assert (ended.code, objects[PATH]["metadata"]["generation"]) == (0, 1)
    assert said in ended.said


def test_what_was_aborted_need_not_be_aborted_again(person: typed.Person, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with registry(tmp_path, monkeypatch, "Aborted", abort=True):
        ended = person.types("abort", "fraud-2-production", "--wait")

    assert ended.code == 0
    assert "spec.abort is true already" in ended.said


@pytest.mark.parametrize("verb", ["abort", "pause", "resume"])
@pytest.mark.parametrize(
    ("phase", "hint"),
    [
        ("Succeeded", "`modelyard rollback fraud production --reason TEXT` goes back"),
        ("Superseded", "has ended: Superseded"),
        ("Failed", "has ended: Failed"),
    ],
)
def test_one_that_has_ended_is_left_alone_and_the_way_back_is_named(
    person: typed.Person, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, verb: str, phase: str, hint: str
) -> None:
    with registry(tmp_path, monkeypatch, phase) as objects:
        ended = person.types(verb, "fraud-2-production")

    assert (ended.code, objects[PATH]["metadata"]["generation"]) == (3, 1)
    assert hint in ended.said
    assert ("rollback" in ended.said) == (phase == "Succeeded")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["fraud-9-production"], 4, "see which there are with `kubectl get promotions`"),
        (["../x"], 2, "the promotion"),
        ([], 2, "PROMOTION"),
    ],
)
def test_one_that_is_not_there_is_said(
    person: typed.Person, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, said: str
) -> None:
    with registry(tmp_path, monkeypatch, "RollingOut"):
        ended = person.types("abort", *words)

    assert ended.code == code
    assert said in ended.said


def test_who_may_not_is_told_which_right_it_takes(person: typed.Person, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(handler: apiserver.Handler, asked: str, _body: object) -> bool:
        if asked.startswith("PATCH"):
            handler.answer(403, {"message": "ValidatingAdmissionPolicy 'modelyard-promotions' denied request"})
        return asked.startswith("PATCH")

    objects = apiserver.registry(apiserver.promotion("fraud-2-production", "2", "production", "RollingOut"))
    with apiserver.run(tmp_path, objects, fault=refuses) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        ended = person.types("abort", "fraud-2-production")

    assert ended.code == 3
    assert "it takes the verb `promote` on the stage" in ended.said


def test_who_waits_hears_whether_it_was_aborted(person: typed.Person, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = apiserver.registry(apiserver.promotion("fraud-2-production", "2", "production", "RollingOut"))

    def ends(phase: str) -> Any:
        def fault(_handler: apiserver.Handler, asked: str, _body: object) -> bool:
            if asked.startswith("GET") and objects[PATH]["spec"].get("abort"):
                objects[PATH]["status"] = {"phase": phase, "observedGeneration": 2}
            return False

        return fault

    ended = {}
    for phase in ("Aborted", "Failed"):
        objects |= apiserver.registry(apiserver.promotion("fraud-2-production", "2", "production", "RollingOut"))
        with apiserver.run(tmp_path, objects, fault=ends(phase)) as config:
            monkeypatch.setenv("KUBECONFIG", str(config))
            ended[phase] = person.types("abort", "fraud-2-production", "--wait", "--timeout", "20")

    assert (ended["Aborted"].code, ended["Failed"].code) == (0, 3)
    assert "was not aborted: Failed" in ended["Failed"].said
