"""The JSON patch that writes an approval, and what `modelyard.dev/changes` says, as the API server writes it."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from modelyard.api import access
from modelyard.api.access import cel, changes
from modelyard.api.promotion import Decision
from modelyard.cli.decide import approve
from modelyard.cli.terminal import exits
from tests.fakes import apiserver
from tests.unit.cli import typed

SUBJECT, OTHER = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
Json = dict[str, Any]


def promotion(approvals: list[Json] | None = None, phase: str = "AwaitingApproval", annotations: dict[str, str] | None = None) -> Json:
    spec: Json = {"model": "fraud", "version": "1", "stage": "production"} | ({"approvals": approvals} if approvals is not None else {})
    about: Json = {"name": "wait", "generation": 2, "resourceVersion": "7"} | (
        {"annotations": annotations} if annotations is not None else {}
    )
    return {"metadata": about, "spec": spec, "status": {"recorded": {"generation": 1}, "phase": phase, "subject": SUBJECT}}


def entry(user: str = "bob", **more: str) -> Json:
    return {"user": user, "gate": "risk", "decision": "Approved", "subject": SUBJECT, **more}


def spec_steps(now: Json, decision: Decision = Decision.APPROVED) -> list[Json]:
    return [step for step in approve.steps(now, "bob", decision, "risk", None, SUBJECT) if step["path"].startswith("/spec")]


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (None, {"op": "add", "path": "/spec/approvals", "value": [entry()]}),
        ([], {"op": "add", "path": "/spec/approvals", "value": [entry()]}),
        ([entry("carol")], {"op": "add", "path": "/spec/approvals/-", "value": entry()}),
        ([entry("carol"), entry(subject=OTHER)], {"op": "replace", "path": "/spec/approvals/1", "value": entry()}),
    ],
    ids=["no list", "an empty list", "another's entry", "one's own entry"],
)
def test_only_one_s_own_entry_is_written(before: list[Json] | None, expected: Json) -> None:
    assert spec_steps(promotion(before)) == [expected]


def test_the_patch_holds_for_the_generation_that_was_looked_at_only() -> None:
    steps = approve.steps(promotion(), "bob", Decision.REJECTED, "risk", "too early", SUBJECT)

    assert steps[0] == {"op": "test", "path": "/metadata/generation", "value": 2}
    assert steps[1]["value"] == [entry(decision="Rejected", comment="too early")]


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        (
            None,
            [
                {"op": "test", "path": "/metadata/annotations", "value": None},
                {"op": "add", "path": "/metadata/annotations", "value": {access.CHANGES: "3 bob"}},
            ],
        ),
        (
            {access.CHANGES: "1 alice\n2 carol"},
            [{"op": "add", "path": "/metadata/annotations/modelyard.dev~1changes", "value": "2 carol\n3 bob"}],
        ),
    ],
    ids=["no annotations", "lines, one recorded"],
)
def test_the_change_is_signed(annotations: dict[str, str] | None, expected: list[Json]) -> None:
    steps = approve.steps(promotion(annotations=annotations), "bob", Decision.APPROVED, "risk", None, SUBJECT)

    assert [step for step in steps if step["path"].startswith("/metadata/annotations")] == expected


@pytest.mark.parametrize("phase", ["Pending", "Blocked"])
def test_one_s_word_can_be_taken_back_while_something_else_is_waited_for(phase: str) -> None:
    assert spec_steps(promotion([entry()], phase), Decision.WITHDRAWN)[0]["value"]["decision"] == "Withdrawn"
    with pytest.raises(exits.Stop, match="nobody is asked"):
        spec_steps(promotion([entry()], phase))


@pytest.mark.parametrize("asked", [None, OTHER], ids=["nothing is asked", "something else is asked"])
def test_what_is_taken_back_is_what_was_said(asked: str | None) -> None:
    now = promotion([entry("carol"), entry()], "Pending")
    now["status"]["subject"] = asked

    assert spec_steps(now, Decision.WITHDRAWN) == [{"op": "replace", "path": "/spec/approvals/1", "value": entry(decision="Withdrawn")}]


@pytest.mark.parametrize("approvals", [None, [entry("carol")], [entry(gate="business")]], ids=["nobody", "another", "of another gate"])
def test_who_has_said_nothing_has_nothing_to_take_back(approvals: list[Json] | None) -> None:
    with pytest.raises(exits.Stop, match="bob has said nothing for gate risk") as stopped:
        spec_steps(promotion(approvals), Decision.WITHDRAWN)

    assert stopped.value.code == exits.Code.NO


def test_somebody_takes_back_what_they_said_of_a_promotion_that_waits_for_something_else(
    person: typed.Person, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = apiserver.promotion("asks", "1", "production", "Pending", approvals=[entry(apiserver.USER)])
    objects = apiserver.registry(waits)
    with apiserver.run(tmp_path, objects) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        ended = person.types("withdraw", "asks", "--gate", "risk")

    assert ended.code == 0, ended.said
    assert f"subject: {SUBJECT}" in ended.said
    assert objects[f"{apiserver.HERE}/promotions/asks"]["spec"]["approvals"] == [entry(apiserver.USER, decision="Withdrawn")]


@pytest.mark.parametrize("phase", ["RollingOut", "Succeeded", "Rejected"])
@pytest.mark.parametrize("decision", list(Decision))
def test_nobody_is_asked_any_more(phase: str, decision: Decision) -> None:
    with pytest.raises(exits.Stop, match="nobody is asked"):
        spec_steps(promotion(phase=phase), decision)


def test_what_was_not_looked_at_is_not_approved() -> None:
    with pytest.raises(exits.Stop, match="what is asked has changed"):
        approve.steps(promotion(), "bob", Decision.APPROVED, "risk", None, OTHER)


def test_changes_are_bounded_and_read_back() -> None:
    text = ""
    for generation in range(100):
        text = changes.added(text, generation, -1, f"user {generation}\nforged")

    kept = [1, *range(102 - cel.MOST_CHANGES, 101)]
    assert changes.read(text) == {generation: f"user {generation - 1} forged" for generation in kept}
    assert len(kept) == cel.MOST_CHANGES
    assert changes.read("nonsense\n7\n8 \n9 carol") == {9: "carol"}
