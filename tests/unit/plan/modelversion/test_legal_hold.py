"""Legal hold, step by step: what is written comes before what is held, and after what is let go."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from modelyard import api
from modelyard.api.reason import Reason
from modelyard.ledger import index
from modelyard.plan import finding
from modelyard.plan.modelversion import legal_hold
from modelyard.plan.modelversion.legal_hold import Step

NOW = datetime.datetime(2026, 10, 3, 14, 3, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
STAMP = "2026-10-01T00:00:00Z"
PROVEN = {"digest": "sha256:0", "files": 1, "bytes": 1, "manifest": "new", "verifiedAt": STAMP, "checkedAt": STAMP, "seconds": 1}


def version(*, runs: bool, uid: str = "u", **artifact: Any) -> api.ModelVersion:
    spec = {"model": "fraud", "version": "1", "artifact": {"uri": "s3://models/fraud/1/", "format": "onnx"}}
    stages = [{"name": "production", "state": "Serving", "since": STAMP}] if runs else None
    status = {"artifact": {**PROVEN, **artifact}, "stages": stages}
    return api.ModelVersion.model_validate({"metadata": {"name": "fraud-1", "uid": uid}, "spec": spec, "status": status})


def model(*, observed: int = 1, **stages: str) -> api.Model:
    """A Model whose stages are at these versions."""
    spec = {"owner": {"team": "t"}, "storage": {"uri": "s3://models/fraud/"}}
    status = {"observedGeneration": observed, "stages": [{"name": name, "current": current} for name, current in stages.items()]}
    return api.Model.model_validate({"metadata": {"name": "fraud"}, "spec": spec, "status": status})


@pytest.mark.parametrize(
    ("subject", "memory", "step"),
    [
        pytest.param(version(runs=False), legal_hold.Memory(), None, id="what nothing runs is not held"),
        pytest.param(version(runs=True), legal_hold.Memory(), Step.CLAIM, id="it is asked first"),
        pytest.param(
            version(runs=True, held="new"), legal_hold.Memory(), Step.SET, id="held after the status says so, and again after a restart"
        ),
        pytest.param(version(runs=True, held="new"), legal_hold.Memory(held="new"), None, id="once is enough"),
        pytest.param(version(runs=True, held="old"), legal_hold.Memory(held="old"), Step.LIFT, id="uploaded anew, the old ones are let go"),
        pytest.param(version(runs=False, held="new"), legal_hold.Memory(held="new"), Step.LIFT, id="let go after the last pod"),
        pytest.param(version(runs=True), legal_hold.Memory(tried=NOW - HOUR / 2), None, id="what was refused is not asked again at once"),
        pytest.param(version(runs=True), legal_hold.Memory(tried=NOW - HOUR), Step.CLAIM, id="but at the next recheck"),
    ],
)
def test_the_next_step(subject: api.ModelVersion, memory: legal_hold.Memory, step: Step | None) -> None:
    assert legal_hold.step(subject, model(), memory, HOUR, NOW) == step


@pytest.mark.parametrize(
    ("of", "step"),
    [
        pytest.param(model(), Step.LIFT, id="no stage is at it"),
        pytest.param(model(production="2"), Step.LIFT, id="the stage is at another"),
        pytest.param(model(production="1"), None, id="its stage is at it, and its claim is not written yet"),
        pytest.param(model(observed=-1), None, id="the Model was brought back a moment ago, and nobody has looked at it"),
    ],
)
def test_what_was_brought_back_is_not_let_go_before_its_claims_are_back(of: api.Model, step: Step | None) -> None:
    assert legal_hold.step(version(runs=False, held="new"), of, legal_hold.Memory(), HOUR, NOW) == step


def test_a_hold_that_the_ledger_knows_is_no_strangers() -> None:
    older = version(runs=True)

    assert legal_hold.others(older, [], "new") == (legal_hold.Objects("s3://models/fraud/1/", "new"),)
    assert legal_hold.others(older, []) == ()


def test_the_ledger_hears_of_a_hold_once_each_time_it_is_set_and_lifted() -> None:
    subject, known = version(runs=True, held="new"), index.Version("u", 1)
    [held] = legal_hold.entries(subject, Step.SET, known)
    known.held, known.holds = "new", 1
    [released] = legal_hold.entries(subject, Step.LIFT, known)
    again = legal_hold.entries(subject, Step.SET, known)
    known.held, known.holds = None, 2
    [anew] = legal_hold.entries(subject, Step.SET, known)

    assert [str(one.action) for one in (held, released, anew)] == ["Held", "Released", "Held"]
    assert len({held.id, released.id, anew.id}) == 3
    assert (again, legal_hold.entries(subject, Step.LIFT, known), legal_hold.entries(version(runs=True), Step.CLAIM, known)) == ((), (), ())
    assert held.detail == {"version": "1", "manifest": "new"}


def test_others_and_what_is_held_from_now_on_are_never_let_go() -> None:
    sibling = version(runs=True, uid="other", held="shared")
    again = version(runs=True, held="old")

    assert legal_hold.others(again, [again, sibling]) == (
        legal_hold.Objects("s3://models/fraud/1/", "shared"),
        legal_hold.Objects("s3://models/fraud/1/", "new"),
    )
    assert legal_hold.others(version(runs=False, held="new"), []) == ()


def test_a_refusal_is_said_once_and_a_bucket_without_locks_is_no_news() -> None:
    refused, without = finding.Finding(Reason.HOLD_REFUSED, "may not"), finding.Finding(Reason.HOLD_UNSUPPORTED, "has none")
    subject = version(runs=True)
    said = legal_hold.status_after(subject, Step.CLAIM, refused)

    assert [event.warning for event in legal_hold.events(subject, refused)] == [True]
    assert legal_hold.events(subject.model_copy(update={"status": said}), refused) == ()
    assert legal_hold.events(subject, without) == ()
    assert said.artifact is not None
    assert (said.artifact.held, said.artifact.hold_message) == (None, "may not")


def test_what_was_let_go_is_held_anew_when_it_runs_again() -> None:
    of, memory = legal_hold.Objects("s3://models/fraud/1/", "new"), legal_hold.Memory("u")
    held = legal_hold.remember(memory, Step.SET, of, None, NOW)
    let_go = legal_hold.remember(held, Step.LIFT, of, None, NOW)
    claimed = legal_hold.remember(let_go, Step.CLAIM, of, None, NOW)

    assert (held.held, let_go.held, claimed.held) == ("new", None, None)
    assert legal_hold.step(version(runs=True, held="new"), model(), claimed, HOUR, NOW) == Step.SET
    assert legal_hold.remember(held, Step.LIFT, of, finding.Finding(Reason.HOLD_REFUSED, "may not"), NOW) == legal_hold.Memory(
        "u", "new", NOW
    )
