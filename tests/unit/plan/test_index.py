"""What is folded of a name that is used again."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest

from modelyard.plan import fold, index, ledger
from modelyard.plan.ledger import Action

NOW = datetime.datetime(2026, 10, 3, 14, 3, tzinfo=datetime.UTC)
CHAIN = ledger.Chain("main", "risk", "fraud")


def told(action: Action, uid: str = "u1", digest: str | None = None, **detail: Any) -> ledger.Fact:
    subject = ledger.Subject("ModelVersion", "fraud-1", uid, 1)
    return ledger.fact(action, ledger.Actor("alice", ledger.Known.AUTHENTICATED), subject, None, digest, {"version": "1", **detail})


def registered(uid: str = "u1", spec: str = "sha256:a") -> ledger.Fact:
    return told(Action.REGISTERED, uid, f"whole {spec} {uid}", specDigest=spec, declared=None)


VERIFIED: dict[str, Any] = {"files": 1, "bytes": 1, "manifest": "sha256:m", "seconds": 1.0}
ONCE_READY = (registered(), told(Action.VERIFIED, digest="sha256:bytes", **VERIFIED), told(Action.RETIRED, digest="retired"))


def folded(*facts: ledger.Fact) -> index.Version:
    known, before = index.Index(), None
    for one in facts:
        before = ledger.follow(CHAIN, before, "sha256:0" if before else None, [one], (), now=NOW, term=1, index=None)
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
    def made(action: Action, kind: str, name: str, **detail: Any) -> ledger.Fact:
        return ledger.fact(action, ledger.NOBODY_KNOWS, ledger.Subject(kind, name, name, 1), None, None, detail)

    asked = {"version": "1", "stage": "production"}
    first = [made(Action.REQUESTED, "Promotion", name, **asked) for name in ("no", "ran")]
    ended = made(Action.ENDED, "Promotion", "ran", phase="Failed", **asked)
    gone = [made(Action.DELETED, "Promotion", name) for name in ("no", "ran")]
    whole = index.Index()

    one = ledger.follow(CHAIN, None, None, [*first, ended, *gone], (), now=NOW, term=1, index=None)
    fold.add(whole, one)
    assert not whole.promotions["no"].lost
    anew = [made(Action.DELETED, "Model", "fraud"), made(Action.MODEL_CREATED, "Model", "fraud")]
    fold.add(whole, ledger.follow(CHAIN, one, "sha256:0", anew, (), now=NOW, term=1, index=None))

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


def by(who: str, one: ledger.Fact) -> ledger.Fact:
    return dataclasses.replace(one, actor=ledger.Actor(who, ledger.Known.AUTHENTICATED))


LOST = ledger.fact(
    Action.RESTORED, ledger.BY_OPERATOR, ledger.Subject("Model", "fraud", "m", 0), "lost", None, {"objects": ["ModelVersion/fraud-1"]}
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
def test_what_was_lost_is_whoevers_who_registers_it_when(after: tuple[ledger.Fact, ...]) -> None:
    known = folded(registered(), ADDED, *after)

    assert (known.registrant, known.attested) == ("mallory", {})
