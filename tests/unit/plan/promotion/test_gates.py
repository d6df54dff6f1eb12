"""Each gate as a table: what is so, and whether it holds."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from modelyard.api.reason import Reason
from modelyard.ledger import coverage, index
from modelyard.plan import finding
from modelyard.plan.observed import world
from modelyard.plan.promotion import approvals, prerequisites
from modelyard.plan.promotion.gates import judge, worst
from tests.fakes.objects import NOW, evidence, model, promotion, seen, version

IN_STAGING = promotion("a", "staging", finished="2026-10-02T00:00:00Z")
PERSON, ITSELF = finding.Waits.FOR_A_PERSON, finding.Waits.BY_ITSELF
SERVES = {"serving": {"port": 1, "template": {"spec": {"containers": [{"name": "s"}]}}}}
DAY = {"gates": {"after": ["staging"], "servedFor": "24h"}}
STANDS = {"stages": [{"name": "staging", "current": "1", "since": "2026-10-02T15:00:00Z"}]}


def served(seconds: float = 0, since: str | None = None, version: str = "1", unwatched: tuple[str, str] | None = None) -> dict[str, Any]:
    """It has served so long a month ago, and since a moment again; nobody watched between two others."""
    then = datetime.datetime(2026, 9, 1, tzinfo=datetime.UTC)
    spans = [(then, then + datetime.timedelta(seconds=seconds))] if seconds else []
    since_then = [datetime.datetime.fromisoformat(one) for one in unwatched or ()]
    gaps = [coverage.Gap(since_then[0], since_then[1], 1)] if unwatched else []
    running = [(datetime.datetime.fromisoformat(since), None)] if since else []
    return {"served": {("staging", version): world.Served((*spans, *running), tuple(gaps))}}


def production(**gates: Any) -> dict[str, Any]:
    return {"of": model(gates=gates)}


TABLE: dict[str, tuple[world.World, Reason | None]] = {
    "all holds once it has succeeded in staging": (seen(IN_STAGING), None),
    "it waits for the Model": (world.World("risk", "fraud", None, {"1": version()}, (), {}), Reason.MODEL_MISSING),
    "it waits for the stage before": (seen(), Reason.WAITING_FOR_STAGE),
    "it waits for the version": (seen(versions=()), Reason.VERSION_MISSING),
    "it waits for verification": (seen(IN_STAGING, versions=(version(phase="Pending", verified="False"),)), Reason.VERSION_NOT_READY),
    "a store that does not answer is no verification": (
        seen(IN_STAGING, versions=(version(verified="Unknown"),)),
        Reason.VERSION_NOT_READY,
    ),
    "a quarantined version goes nowhere": (
        seen(IN_STAGING, versions=(version(phase="Quarantined", verified="False"),)),
        Reason.QUARANTINED,
    ),
    "a deprecated version goes nowhere new": (seen(IN_STAGING, versions=(version(lifecycle="Deprecated"),)), Reason.VERSION_RETIRED),
    "a retired version goes nowhere": (seen(IN_STAGING, versions=(version(phase="Retired", lifecycle="Retired"),)), Reason.VERSION_RETIRED),
    "a failed version needs a person": (seen(IN_STAGING, versions=(version(phase="Failed", verified="False"),)), Reason.VERSION_NOT_READY),
    "a retired model promotes nothing": (seen(IN_STAGING, of=model(spec={"lifecycle": "Retired"})), Reason.MODEL_RETIRED),
    "a frozen stage waits": (seen(IN_STAGING, of=model(frozen={"reason": "year-end"})), Reason.FROZEN),
    "a freeze that is over does not": (seen(IN_STAGING, of=model(frozen={"reason": "x", "until": "2026-10-03T14:00:00Z"})), None),
    "canary is not there yet": (
        seen(IN_STAGING, of=model(serving={"port": 1, "template": {}, "strategy": "Canary"})),
        Reason.STRATEGY_NOT_SUPPORTED,
    ),
    "a success that was rolled back does not count": (
        seen(
            promotion("z", "staging", "0", finished="2026-10-01T00:00:00Z"),
            IN_STAGING,
            promotion("b", "staging", "0", finished="2026-10-03T00:00:00Z", rollback=True),
        ),
        Reason.WAITING_FOR_STAGE,
    ),
    "a success that a rollback brought back and another took away does not count": (
        seen(
            promotion("y", "staging", "0", finished="2026-10-01T00:00:00Z"),
            promotion("z", "staging", finished="2026-10-01T01:00:00Z"),
            promotion("c", "staging", "2", finished="2026-10-01T02:00:00Z"),
            promotion("d", "staging", finished="2026-10-01T03:00:00Z", rollback=True),
            promotion("e", "staging", "0", finished="2026-10-01T04:00:00Z", rollback=True),
        ),
        Reason.WAITING_FOR_STAGE,
    ),
    "a success before a later version counts": (seen(IN_STAGING, promotion("b", "staging", "2", finished="2026-10-03T00:00:00Z")), None),
    "a success whose rollback was deleted does not count": (
        seen(IN_STAGING, of=model(status={"stages": [{"name": "staging", "current": "0"}]})),
        Reason.WAITING_FOR_STAGE,
    ),
    "what the stage is at has succeeded there": (seen(of=model(status=STANDS)), None),
    "it has stood in staging for a day, which serves nothing": (
        seen(promotion("a", "staging", finished="2026-10-02T14:03:00Z"), of=model(**DAY)),
        None,
    ),
    "it has not stood in staging for a day": (
        seen(promotion("a", "staging", finished="2026-10-02T14:03:01Z"), of=model(**DAY)),
        Reason.SERVED_TOO_SHORT,
    ),
    "the stage itself knows since when, where the promotion is gone": (seen(of=model(status=STANDS, **DAY)), Reason.SERVED_TOO_SHORT),
    "where staging serves, the ledger says how long": (
        seen(IN_STAGING, of=model(staging=SERVES, **DAY), **served(since="2026-10-02T14:03:00+00:00")),
        None,
    ),
    "where staging serves, having Succeeded long ago is not enough": (
        seen(IN_STAGING, of=model(staging=SERVES, **DAY)),
        Reason.SERVED_TOO_SHORT,
    ),
    "spans add up": (seen(IN_STAGING, of=model(staging=SERVES, **DAY), **served(82_800, "2026-10-03T13:03:00+00:00")), None),
    "time in which nobody watched does not count": (
        seen(
            IN_STAGING,
            of=model(staging=SERVES, **DAY),
            **served(since="2026-10-02T14:03:00+00:00", unwatched=("2026-10-03T10:00:00+00:00", "2026-10-03T10:00:01+00:00")),
        ),
        Reason.SERVED_TOO_SHORT,
    ),
    "nobody has to have watched before it served": (
        seen(
            IN_STAGING,
            of=model(staging=SERVES, **DAY),
            **served(since="2026-10-02T14:03:00+00:00", unwatched=("2026-10-01T10:00:00+00:00", "2026-10-02T14:03:00+00:00")),
        ),
        None,
    ),
    "another version's time does not count": (
        seen(IN_STAGING, of=model(staging=SERVES, **DAY), **served(1e6, version="2")),
        Reason.SERVED_TOO_SHORT,
    ),
    "evidence of another type is none": (
        seen(IN_STAGING, versions=(version(evidence=evidence("Other"), evidence_verified="True"),), **production(evidence=["ModelCard"])),
        Reason.EVIDENCE_MISSING,
    ),
    "evidence that is there and verified passes": (
        seen(versions=(version(evidence=evidence("ModelCard"), evidence_verified="True"),), **production(evidence=["ModelCard"])),
        None,
    ),
    "evidence that was never looked at does not count": (
        seen(versions=(version(evidence=evidence("ModelCard")),), **production(evidence=["ModelCard"])),
        Reason.EVIDENCE_NOT_VERIFIED,
    ),
    "evidence that was added since the last look does not count": (
        seen(
            versions=(version(evidence=evidence("ModelCard"), evidence_verified="True", looked_at=0),), **production(evidence=["ModelCard"])
        ),
        Reason.EVIDENCE_NOT_VERIFIED,
    ),
    "evidence whose store does not answer does not count": (
        seen(versions=(version(evidence=evidence("ModelCard"), evidence_verified="Unknown"),), **production(evidence=["ModelCard"])),
        Reason.EVIDENCE_NOT_VERIFIED,
    ),
    "evidence beside another that differs does not count": (
        seen(versions=(version(evidence=evidence("ModelCard", "Other"), evidence_verified="False"),), **production(evidence=["ModelCard"])),
        Reason.EVIDENCE_NOT_VERIFIED,
    ),
    "the lowest tier wants a description": (seen(**production(documentation=True)), Reason.DOCUMENTATION_INCOMPLETE),
    "the lowest tier wants no more": (seen(of=model(spec={"description": "d"}, gates={"documentation": True})), None),
    "a metric that is missing": (seen(**production(metrics=[{"name": "auc", "atLeast": 0.9}])), Reason.METRIC_MISSING),
    "a metric that is good enough": (seen(versions=(version(metrics={"auc": 0.9}),), **production(metrics=[{"name": "auc", "atLeast": 0.9}])), None),
    "approvals that nobody asked for yet": (seen(**production(approvals=[{"name": "risk"}])), Reason.AWAITING_APPROVAL),
}  # fmt: skip


@pytest.mark.parametrize("sentence", TABLE)
def test_promoting_to_production(sentence: str) -> None:
    before, expected = TABLE[sentence]

    held = worst(judge(prerequisites.Case(before, "production", "1"), NOW))

    assert (held and held.reason) == expected


WAITS: dict[str, tuple[world.World, finding.Waits, datetime.datetime | None]] = {
    "a freeze ends by itself": (
        seen(IN_STAGING, of=model(frozen={"reason": "x", "until": "2026-10-05T00:00:00Z"})),
        ITSELF,
        datetime.datetime(2026, 10, 5, tzinfo=datetime.UTC),
    ),
    "what serves now has served long enough at a known time": (
        seen(IN_STAGING, of=model(staging=SERVES, **DAY), **served(3600, "2026-10-03T14:00:00+00:00")),
        ITSELF,
        datetime.datetime(2026, 10, 4, 13, tzinfo=datetime.UTC),
    ),
    "time in which nobody watched is waited for once more": (
        seen(
            IN_STAGING,
            of=model(staging=SERVES, **DAY),
            **served(3600, "2026-10-03T13:00:00+00:00", unwatched=("2026-10-03T13:10:00+00:00", "2026-10-03T13:40:00+00:00")),
        ),
        ITSELF,
        datetime.datetime(2026, 10, 4, 12, 30, tzinfo=datetime.UTC),
    ),
    "what stands there is waited for until it is seen to serve": (
        seen(IN_STAGING, of=model(staging=SERVES, status=STANDS, **DAY)),
        ITSELF,
        None,
    ),
    "what serves there no more gets no older": (
        seen(
            IN_STAGING,
            promotion("b", "staging", "2", finished="2026-10-02T20:00:00Z"),
            of=model(staging=SERVES, status={"stages": [{"name": "staging", "current": "2"}]}, **DAY),
            **served(72_000),
        ),
        PERSON,
        None,
    ),
    "evidence that differs needs a person": (
        seen(versions=(version(evidence=evidence("ModelCard"), evidence_verified="False"),), **production(evidence=["ModelCard"])),
        PERSON,
        None,
    ),
    "evidence that is being read does not": (
        seen(versions=(version(evidence=evidence("ModelCard")),), **production(evidence=["ModelCard"])),
        ITSELF,
        None,
    ),
    "what a person must mend comes before what heals by itself": (
        seen(**production(after=["staging"], evidence=["ModelCard"])),
        PERSON,
        None,
    ),
    "what heals by itself comes before asking people": (seen(**production(after=["staging"], approvals=[{"name": "risk"}])), ITSELF, None),
    "metrics are not missed before the version exists": (
        seen(IN_STAGING, versions=(), **production(metrics=[{"name": "auc", "atLeast": 0.9}], evidence=["Other"], documentation=True)),
        ITSELF,
        None,
    ),
}


@pytest.mark.parametrize("sentence", WAITS)
def test_what_is_waited_for(sentence: str) -> None:
    before, waits, until = WAITS[sentence]

    held = worst(judge(prerequisites.Case(before, "production", "1"), NOW))

    assert held is not None
    assert (held.waits, held.until) == (waits, until)


_PENDING = version(phase="Pending", verified="False")
UNREAD = _PENDING.model_copy(update={"status": _PENDING.status.model_copy(update={"artifact": None})})
ASKED = production(approvals=[{"name": "risk"}])
REGISTRANTS: dict[str, tuple[world.World, Reason]] = {
    "who registered it is known": (seen(registrants={"1": "ci"}, **ASKED), Reason.AWAITING_APPROVAL),
    "nobody knows who registered it": (seen(registrants={"2": "ci"}, **ASKED), Reason.REGISTRANT_UNKNOWN),
    "the ledger does not answer": (seen(**ASKED), Reason.AWAITING_APPROVAL),
    "its bytes are not known": (seen(registrants={}, versions=(UNREAD,), **ASKED), Reason.VERSION_NOT_READY),
    "it does not exist yet": (seen(registrants={}, versions=(), **ASKED), Reason.VERSION_MISSING),
}


@pytest.mark.parametrize("sentence", REGISTRANTS)
def test_nobody_is_asked_to_approve_what_they_may_have_registered_themselves(sentence: str) -> None:
    before, expected = REGISTRANTS[sentence]
    bob = {"user": "bob", "gate": "risk", "decision": "Approved", "subject": approvals.subject(before, "production", "1")}

    held = [worst(judge(prerequisites.Case.of(before, promotion("p", approvals=said)), NOW)) for said in ([], [bob])]

    known = expected == Reason.AWAITING_APPROVAL
    assert [one and one.reason for one in held] == [expected, None if known else expected]


def test_each_gate_has_a_row_of_its_own() -> None:
    metrics = [{"name": "auc", "atLeast": 0.9}, {"name": "latency", "atMost": 40}]
    asked = {"after": ["staging"], "servedFor": "1h", "metrics": metrics, "evidence": ["ModelCard"], "documentation": True}
    asked["approvals"] = [{"name": "risk"}, {"name": "business"}]
    before = seen(IN_STAGING, of=model(gates=asked, frozen={"reason": "year-end"}), registrants={"1": "ci@example.com"},
                  versions=(version(metrics={"auc": 0.934}),))  # fmt: skip

    rows = {one.name: one for one in (verdict.row() for verdict in judge(prerequisites.Case(before, "production", "1"), NOW))}

    assert list(rows)[5:] == [
        *("after", "servedFor", "metrics/auc", "metrics/latency", "evidence/ModelCard", "documentation", "frozen"),
        *("approvals/risk", "approvals/business"),
    ]
    assert rows["metrics/auc"].message == "auc 0.934, declared by ci@example.com, is at least 0.9"
    assert [name for name, row in rows.items() if row.passed][4:] == ["template", "after", "servedFor", "metrics/auc"]
    assert all(row.message for row in rows.values())


def test_a_rollback_skips_freezes_gates_and_approvals_but_not_verification_or_retirement() -> None:
    frozen = model(frozen={"reason": "year-end"}, gates={"approvals": [{"name": "risk"}], "metrics": [{"name": "auc", "atLeast": 1}]})
    before = promotion("a", finished="2026-10-01T00:00:00Z")

    def judged(one: Any) -> Reason | None:
        case = prerequisites.Case.of(seen(before, of=frozen, versions=(one,)), promotion("r", rollback=True))
        held = worst(judge(case, NOW))
        return held.reason if held else None

    assert judged(version()) is None
    assert judged(version(lifecycle="Deprecated", phase="Deprecated")) is None
    assert judged(version(phase="Quarantined", verified="False")) == Reason.QUARANTINED
    assert judged(version(lifecycle="Retired", phase="Retired")) == Reason.VERSION_RETIRED
    assert judged(version(phase="Reused")) == Reason.VERSION_RETIRED


def test_a_rollback_goes_only_to_what_was_there() -> None:
    held = worst(judge(prerequisites.Case(seen(), "production", "1", rollback=True), NOW))

    assert held is not None
    assert (held.reason, held.waits) == (Reason.WAITING_FOR_STAGE, finding.Waits.FOR_A_PERSON)


def test_a_rollback_goes_to_what_the_ledger_knows_was_there_though_its_promotion_is_gone() -> None:
    past = index.Index(promotions={"gone": index.Promotion("u", "1", "production", phase="Superseded", succeeded=True)})

    found = [
        prerequisites.has_succeeded_here_before(prerequisites.Case(seen(past=past), stage, "1", rollback=True), NOW)
        for stage in ("production", "staging")
    ]

    assert found[0] == "the version has Succeeded here before"
    assert isinstance(found[1], finding.Unmet)


WHO: dict[str, tuple[world.World, str, str]] = {
    "a stage before": (seen(), "after", "who may promote there"),
    "a freeze that ends some day": (
        seen(of=model(frozen={"reason": "x", "until": "2026-10-05T00:00:00Z"})),
        "frozen",
        "who may govern production ends it",
    ),
    "a freeze without an end": (seen(of=model(frozen={"reason": "x"})), "frozen", "who may govern production ends it"),
    "a metric": (
        seen(versions=(version(metrics={"auc": 0.1}),), **production(metrics=[{"name": "auc", "atLeast": 0.9}])),
        "metrics/auc",
        "who may govern production changes the gate",
    ),
    "a metric that is not there": (seen(**production(metrics=[{"name": "auc", "atMost": 9}])), "metrics/auc", "who may attest"),
    "a rival that is gone": (
        seen(
            versions=(version(metrics={"auc": 0.1}),),
            of=model(
                gates={"metrics": [{"name": "auc", "notWorseThan": "staging"}]},
                status={"stages": [{"name": "staging", "current": "0"}]},
            ),
        ),
        "metrics/auc",
        "promote a version there that exists; or who may govern",
    ),
    "evidence that is not there": (seen(**production(evidence=["ModelCard"])), "evidence/ModelCard", "who may attest"),
    "documentation": (seen(**production(documentation=True)), "documentation", "who may edit the Model"),
    "approvals": (
        seen(promotion("p"), **production(approvals=[{"name": "risk"}])),
        "approvals/risk",
        "who may approve models/production/risk",
    ),
}


@pytest.mark.parametrize("sentence", WHO)
def test_a_row_that_does_not_hold_says_who_can_mend_it(sentence: str) -> None:
    before, gate, who = WHO[sentence]
    case = prerequisites.Case(before, "production", "1", promotion=next(iter(before.promotions), None))

    [row] = [one.row() for one in judge(case, NOW) if one.name == gate]

    assert not row.passed
    assert who in row.message


def test_how_long_a_version_stood_there_is_not_told_by_a_request_that_never_succeeded() -> None:
    """Where nothing serves and the Promotions' objects are gone, the ledger says since when."""
    good = index.Promotion("u1", "1", "staging", phase="Succeeded", succeeded=True, ended="2026-10-03T10:00:00.000000Z")
    bad = index.Promotion("u2", "1", "staging", phase="Rejected", ended="2026-10-01T00:00:00.000000Z")
    past = index.Index(succeeded={"staging": [["1", "2026-10-03T10:00:00.000000Z"]]}, promotions={"good": good, "bad": bad})

    held = worst(judge(prerequisites.Case(seen(of=model(**DAY), past=past), "production", "1"), NOW))

    assert held is not None
    assert (held.reason, held.until) == (Reason.SERVED_TOO_SHORT, datetime.datetime(2026, 10, 4, 10, tzinfo=datetime.UTC))


def test_a_row_names_who_added_the_number_or_the_document_and_not_who_registered_the_version() -> None:
    added = {"metrics/auc": "mia", "evidence/e0": "eve"}
    one = version(metrics={"auc": 0.9, "p99": 3}, evidence=evidence("ModelCard"), evidence_verified="True")
    asked = {"metrics": [{"name": "auc", "atLeast": 0.9}, {"name": "p99", "atMost": 9}], "evidence": ["ModelCard"]}
    before = seen(of=model(gates=asked), versions=(one,), registrants={"1": "ci"}, attested={"1": added})

    rows = {row.name: row.message for row in judge(prerequisites.Case(before, "production", "1"), NOW)}

    assert "auc 0.9, declared by mia," in rows["metrics/auc"]
    assert "p99 3, declared by ci," in rows["metrics/p99"]
    assert "the ModelCard e0, declared by eve," in rows["evidence/ModelCard"]
    nobody = seen(of=model(gates=asked), versions=(one,), registrants={"1": "ci"}, attested={"1": {"metrics/auc": ""}})
    assert "auc 0.9, as declared," in judge(prerequisites.Case(nobody, "production", "1"), NOW)[5].message
