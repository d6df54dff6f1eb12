"""What is folded of a name that is used again."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest

from modelyard.ledger import fold, index, record
from modelyard.ledger.record import Action

NOW = datetime.datetime(2026, 10, 3, 14, 3, tzinfo=datetime.UTC)
CHAIN = record.Chain("main", "risk", "fraud")


def told(action: Action, uid: str = "u1", digest: str | None = None, **detail: Any) -> record.LedgerEntry:
    subject = record.Subject("ModelVersion", "fraud-1", uid, 1)
    return record.entry(action, record.Actor("alice", record.Authenticity.AUTHENTICATED), subject, None, digest, {"version": "1", **detail})


def registered(uid: str = "u1", spec: str = "sha256:a") -> record.LedgerEntry:
    return told(Action.REGISTERED, uid, f"whole {spec} {uid}", specDigest=spec, declared=None)


VERIFIED: dict[str, Any] = {"files": 1, "bytes": 1, "manifest": "sha256:m", "seconds": 1.0}
ONCE_READY = (registered(), told(Action.VERIFIED, digest="sha256:bytes", **VERIFIED), told(Action.RETIRED, digest="retired"))


def folded(*facts: record.LedgerEntry) -> index.Version:
    known, before = index.Index(), None
    for one in facts:
        before = record.follow(CHAIN, before, "sha256:0" if before else None, [one], (), now=NOW, term=1, index=None)
        fold.add(known, before)
    return index.Index.load(known.dump()).versions["1"]


def test_what_never_was_ready_is_registered_anew() -> None:
    known = folded(registered(), told(Action.DELETED, noticed="live"), registered("u2", "sha256:b"))

    assert (known.uid, known.spec_digest, known.digest, known.deleted) == ("u2", "sha256:b", None, False)


def test_the_same_again_is_the_same_version_and_retired_for_ever() -> None:
    known = folded(*ONCE_READY, told(Action.DELETED, noticed="live"), registered("u2"))

    assert (known.uid, known.digest, known.manifest, known.deleted, known.lifecycle) == (
        "u2",
        "sha256:bytes",
        "sha256:m",
        False,
        "Retired",
    )
    assert known.retired == ["2026-10-03T14:03:00.000000Z", "alice"]
    assert folded(*ONCE_READY, told(Action.REACTIVATED, digest="again")).lifecycle == "Retired"
    assert known.spec == "whole sha256:a u2"


def test_what_was_asked_for_of_a_model_that_was_deleted_is_lost_to_the_one_that_comes_after() -> None:
    def made(action: Action, kind: str, name: str, **detail: Any) -> record.LedgerEntry:
        return record.entry(action, record.NOBODY_KNOWS, record.Subject(kind, name, name, 1), None, None, detail)

    asked = {"version": "1", "stage": "production"}
    first = [made(Action.REQUESTED, "Promotion", name, **asked) for name in ("no", "ran")]
    ended = made(Action.ENDED, "Promotion", "ran", phase="Failed", **asked)
    gone = [made(Action.DELETED, "Promotion", name) for name in ("no", "ran")]
    whole = index.Index()

    one = record.follow(CHAIN, None, None, [*first, ended, *gone], (), now=NOW, term=1, index=None)
    fold.add(whole, one)
    assert not whole.promotions["no"].lost
    anew = [made(Action.DELETED, "Model", "fraud"), made(Action.MODEL_CREATED, "Model", "fraud")]
    fold.add(whole, record.follow(CHAIN, one, "sha256:0", anew, (), now=NOW, term=1, index=None))

    assert {name: asking.lost for name, asking in whole.promotions.items()} == {"no": True, "ran": False}


def test_another_thing_under_the_name_changes_nothing_of_what_it_means() -> None:
    gone = (*ONCE_READY, told(Action.DELETED, noticed="live"))
    other = (registered("u2", "sha256:b"), told(Action.DEPRECATED, "u2", "deprecated"), told(Action.RETIRED, "u2", "retired again"))
    before, during = folded(*gone), folded(*gone, *other)

    assert during.other == "u2"
    for field in ("uid", "spec", "spec_digest", "digest", "manifest", "deleted", "lifecycle", "registrant"):
        assert getattr(during, field) == getattr(before, field), field
    assert folded(*gone, *other, told(Action.DELETED, "u2", noticed="live")).other == ""
    assert folded(*gone, *other, registered("u3")).uid == "u3"


def test_the_same_without_what_was_added_to_it_is_another_thing() -> None:
    less = told(Action.REGISTERED, "u2", "whole less", specDigest="sha256:a", declared=None, otherwise=["metrics/auc"])
    before, known = folded(*ONCE_READY[:2]), folded(*ONCE_READY[:2], less, told(Action.ATTESTED, "u2", "too late", metrics={"auc": 0.9}))

    assert (known.other, known.uid, known.spec, known.attested) == ("u2", before.uid, before.spec, {})


def test_who_added_a_metric_or_a_document_is_kept_and_stays_when_it_is_registered_again() -> None:
    added = told(Action.ATTESTED, digest="more", metrics={"auc": 0.9}, evidence=[{"name": "vr-17"}])

    assert folded(registered(), added).attested == {"metrics/auc": "alice", "evidence/vr-17": "alice"}
    assert folded(*ONCE_READY[:2], added, registered("u2")).attested == {"metrics/auc": "alice", "evidence/vr-17": "alice"}


def by(who: str, one: record.LedgerEntry) -> record.LedgerEntry:
    return dataclasses.replace(one, actor=record.Actor(who, record.Authenticity.AUTHENTICATED))


LOST = record.entry(
    Action.RESTORED, record.BY_OPERATOR, record.Subject("Model", "fraud", "m", 0), "lost", None, {"objects": ["ModelVersion/fraud-1"]}
)
ADDED = told(Action.ATTESTED, digest="more", metrics={"auc": 0.9}, evidence=[])


def test_what_never_was_ready_and_was_lost_is_what_it_was_when_it_is_back() -> None:
    known = folded(registered(), ADDED, LOST, by("operator", registered("u2")))

    assert (known.uid, known.registrant, known.again, known.attested) == ("u2", "alice", [], {"metrics/auc": "alice"})
    assert known.facts == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "after",
    [
        pytest.param((LOST, by("mallory", registered("u2", "sha256:b"))), id="it means something else"),
        pytest.param((LOST, told(Action.DELETED), by("mallory", registered("u2"))), id="it was deleted before it was back"),
    ],
)
def test_what_was_lost_is_whoevers_who_registers_it_when(after: tuple[record.LedgerEntry, ...]) -> None:
    known = folded(registered(), ADDED, *after)

    assert (known.registrant, known.attested) == ("mallory", {})


Told = tuple[Action, str, str, dict[str, Any]]


def promotions(*facts: Told) -> index.Index:
    """The index of facts of Promotions, a record each: what, of which name, of which uid, and its detail."""
    whole, before = index.Index(), None
    for number, (action, name, uid, detail) in enumerate(facts):
        kind = "Model" if action in {Action.DECOMMISSIONED, Action.MODEL_CREATED} else "Promotion"
        kind = "Model" if name == "fraud" else kind
        subject = record.Subject(kind, name, uid, 1)
        one = record.entry(action, record.NOBODY_KNOWS, subject, number, "sha256:spec", {"version": "1", "stage": "staging"} | detail)
        now = NOW + datetime.timedelta(days=number)
        before = record.follow(CHAIN, before, "sha256:0" if before else None, [one], (), now=now, term=1, index=None)
        fold.add(whole, before)
    return index.Index.load(whole.dump())


RAN: tuple[Told, ...] = (
    (Action.REQUESTED, "p", "u1", {"reason": "CAB-1"}),
    (Action.GRANTED, "p", "u1", {}),
    (Action.ENDED, "p", "u1", {"phase": "Succeeded"}),
)
OTHER: dict[str, tuple[Action, dict[str, Any]]] = {
    "is asked for": (Action.REQUESTED, {"stage": "production", "rollback": True, "reason": "CAB-2"}),
    "is steered": (Action.STEERED, {}),
    "is approved": (Action.APPROVED, {"gate": "risk"}),
    "is granted its stage": (Action.GRANTED, {"stage": "production"}),
    "ends": (Action.ENDED, {"stage": "production", "phase": "Failed"}),
    "is deleted": (Action.DELETED, {}),
}


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "was granted its stage"])
@pytest.mark.parametrize("sentence", OTHER)
def test_nothing_that_another_object_does_under_a_name_that_ran_changes_what_the_name_means(sentence: str, *, ended: bool) -> None:
    action, detail = OTHER[sentence]
    ran = RAN if ended else RAN[:2]

    assert promotions(*ran, (action, "p", "u2", detail)).promotions == promotions(*ran).promotions


def test_a_name_that_never_was_granted_its_stage_is_anothers_who_asks_under_it() -> None:
    found = promotions(RAN[0], (Action.DELETED, "p", "u1", {}), (Action.REQUESTED, "p", "u2", {"version": "2"})).promotions["p"]

    assert (found.uid, found.version, found.deleted) == ("u2", "2", False)


AFTER: dict[str, tuple[tuple[Told, ...], list[str], str]] = {
    "another Succeeds there": (
        ((Action.ENDED, "q", "u2", {"version": "2", "phase": "Succeeded"}),),
        ["2026-10-06T14:03:00.000000Z", "q", "2"],
        "superseded by q (2) on 2026-10-06",
    ),
    "the stage is taken down": (
        ((Action.DECOMMISSIONED, "fraud", "m", {}),),
        ["2026-10-06T14:03:00.000000Z", "", ""],
        "staging was taken down on 2026-10-06",
    ),
    "the Model is deleted and another created": (
        ((Action.DELETED, "fraud", "m", {}), (Action.MODEL_CREATED, "fraud", "m2", {})),
        ["2026-10-07T14:03:00.000000Z", "", ""],
        "staging was taken down on 2026-10-07",
    ),
}


@pytest.mark.parametrize("sentence", AFTER)
def test_what_succeeded_is_superseded_though_nothing_is_told_of_it_any_more_when(sentence: str) -> None:
    facts, why, message = AFTER[sentence]

    found = promotions(*RAN, *facts).promotions["p"]

    assert (found.phase, found.succeeded, found.superseded, found.message) == ("Superseded", True, why, message)


def test_what_another_stage_comes_to_supersedes_nothing_and_a_success_is_told_once() -> None:
    later = (Action.ENDED, "q", "u2", {"version": "2", "phase": "Succeeded"})
    elsewhere = promotions(*RAN, (Action.ENDED, "q", "u2", {"version": "2", "stage": "production", "phase": "Succeeded"}))
    again = promotions(*RAN, later, RAN[2])

    assert elsewhere.promotions["p"].phase == "Succeeded"
    assert (again.promotions["p"].phase, again.promotions["q"].phase, again.came_by) == ("Superseded", "Succeeded", {"staging": "q"})
    assert [version for version, _ in again.succeeded["staging"]] == ["1", "2"]


def test_since_when_a_version_stands_is_its_first_success_that_was_not_undone() -> None:
    def ended(name: str, version: str, **more: Any) -> Told:
        return (Action.ENDED, name, name, {"version": version, "phase": "Succeeded", **more})

    back = (ended("a", "1"), ended("b", "2"), ended("c", "1"))
    assert promotions(*back).succeeded["staging"] == [["2", "2026-10-04T14:03:00.000000Z"], ["1", "2026-10-03T14:03:00.000000Z"]]
    undone = promotions(*back[:2], ended("r", "1", rollback=True), ended("d", "2"))
    assert undone.succeeded["staging"] == [["1", "2026-10-03T14:03:00.000000Z"], ["2", "2026-10-06T14:03:00.000000Z"]]
    assert undone.ever_succeeded("staging") == {"1", "2"}
