"""One version, look after look: what it is told, and when it is looked at again."""

from __future__ import annotations

import dataclasses
import datetime
import json
from typing import Any

import pytest

from modelyard import api
from modelyard.api import meta
from modelyard.api.modelversion import VersionLifecycle, VersionPhase
from modelyard.api.reason import Reason
from modelyard.content import location
from modelyard.ledger import index
from modelyard.plan import finding
from modelyard.plan.modelversion import decide, identity, inspection
from modelyard.plan.observed import specs

NOW = datetime.datetime(2026, 10, 3, 14, 3, tzinfo=datetime.UTC)
DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
LIMITS = decide.Limits(datetime.timedelta(minutes=10), datetime.timedelta(hours=1), datetime.timedelta(days=7), ("http://store:7070",))
FOUND = inspection.Found(DIGEST, 2, 2048, "sha256:" + "c" * 64, 0.5)
DIFFERS = inspection.Differs(OTHER, "other bytes")
MISSING = inspection.Missing("nothing there")


def version(status: dict[str, Any] | None = None, **spec: Any) -> api.ModelVersion:
    artifact = {"uri": "s3://models/fraud/1/", "digest": DIGEST, "format": "onnx"}
    return api.ModelVersion.model_validate(
        {
            "metadata": {"name": "fraud-1", "namespace": "risk", "generation": 1, "uid": "u"},
            "spec": {"model": "fraud", "version": "1", "artifact": artifact, **spec},
            "status": status or {},
        }
    )


def model(**storage: Any) -> api.Model:
    spec = {"owner": {"team": "t"}, "storage": {"uri": "s3://models/fraud/", **storage}}
    return api.Model.model_validate({"metadata": {"name": "fraud", "namespace": "risk"}, "spec": spec})


def world(**changes: Any) -> decide.World:
    return dataclasses.replace(decide.World(version(), model(), LIMITS), **changes)


class Life:
    """A version that is looked at again and again."""

    def __init__(self, **spec: Any) -> None:
        self.now, self.seen = NOW, world(version=version(**spec))

    def look(self, proof: inspection.Result | finding.Finding, after: str = "") -> decide.Plan:
        if after:
            self.now += meta.read_duration(after)
        plan = decide.decide(dataclasses.replace(self.seen, proof=proof), self.now)
        changed = self.seen.version.model_copy(update={"status": plan.status})
        self.seen = dataclasses.replace(self.seen, version=changed, memory=plan.memory)
        return plan


def said(plan: decide.Plan, kind: str = "Verified") -> tuple[str, str]:
    condition = finding.find(plan.status.conditions, kind)
    assert condition is not None
    return condition.status, condition.reason


def test_the_store_is_asked_before_anything_is_said() -> None:
    plan = decide.decide(world(), NOW)

    assert plan.ask
    assert plan.status == world().version.status
    assert decide.verifying(world(), NOW).status.phase == VersionPhase.VERIFYING


@pytest.mark.parametrize(
    ("changes", "phase", "reason"),
    [
        pytest.param({"model": None}, VersionPhase.PENDING, Reason.MODEL_MISSING, id="a missing Model is waited for"),
        pytest.param(
            {"version": version(artifact={"uri": "s3://models/fraud-evil/1/", "digest": DIGEST, "format": "onnx"})},
            VersionPhase.FAILED,
            Reason.PATH_NOT_ALLOWED,
            id="a neighbour whose name begins alike is not below",
        ),
        pytest.param(
            {"version": version(evidence=[{"name": "e", "type": "Other", "uri": "s3://models/else/e.pdf", "sha256": DIGEST}])},
            VersionPhase.FAILED,
            Reason.PATH_NOT_ALLOWED,
            id="evidence must be below too",
        ),
        pytest.param(
            {"model": model(endpoint="http://169.254.169.254")},
            VersionPhase.FAILED,
            Reason.ENDPOINT_NOT_ALLOWED,
            id="an endpoint that is not allowed is never asked",
        ),
    ],
)
def test_what_is_held_before_the_store_is_asked(changes: dict[str, Any], phase: VersionPhase, reason: Reason) -> None:
    plan = decide.decide(world(**changes), NOW)

    assert not plan.ask
    assert (plan.status.phase, said(plan)[1]) == (phase, reason)


def test_an_upload_in_progress_is_pending_and_looked_at_less_and_less_often() -> None:
    life = Life()

    waits = [life.look(MISSING).again for _ in range(6)]

    assert life.seen.version.status.phase == VersionPhase.PENDING
    assert waits == sorted(waits, key=lambda wait: wait or datetime.timedelta())
    assert waits[0] == datetime.timedelta(seconds=5)
    assert waits[-1] == datetime.timedelta(minutes=1)


def test_patience_counts_from_the_last_change_of_what_is_there() -> None:
    life = Life()
    life.look(MISSING)
    life.look(DIFFERS, "3h")
    assert life.look(DIFFERS, "9m").status.phase == VersionPhase.PENDING
    life.look(inspection.Differs("sha256:" + "d" * 64, "still uploading"), "5m")

    assert life.look(inspection.Differs("sha256:" + "d" * 64, "still uploading"), "9m").status.phase == VersionPhase.PENDING
    failed = life.look(inspection.Differs("sha256:" + "d" * 64, "still uploading"), "1m")
    assert (failed.status.phase, said(failed)) == (VersionPhase.FAILED, ("False", Reason.DIGEST_MISMATCH))
    assert life.look(FOUND, "1m").status.phase == VersionPhase.READY


def test_once_verified_other_bytes_mean_quarantine_at_once_and_the_right_ones_recovery() -> None:
    life = Life()
    life.look(FOUND)

    quarantined = life.look(DIFFERS, "1h")
    assert (quarantined.status.phase, said(quarantined)) == (VersionPhase.QUARANTINED, ("False", Reason.CHANGED))
    assert [event.warning for event in quarantined.events] == [True]
    assert quarantined.status.artifact is not None
    recovered = life.look(FOUND, "1h")
    assert recovered.status.phase == VersionPhase.READY
    assert recovered.events[0].fact.message.startswith("recovered: ")


def test_a_store_that_does_not_answer_is_unknown_and_never_failed_nor_forgotten() -> None:
    life = Life()
    life.look(FOUND)

    plan = life.look(finding.Finding(Reason.STORE_UNREACHABLE, "no answer"), "1h")

    assert (plan.status.phase, said(plan), said(plan, "Ready")) == (
        VersionPhase.READY,
        ("Unknown", Reason.STORE_UNREACHABLE),
        ("Unknown", Reason.STORE_UNREACHABLE),
    )
    assert life.look(FOUND, "1m").status.phase == VersionPhase.READY


def test_a_recheck_that_finds_nothing_new_writes_nothing_but_once_a_day() -> None:
    life = Life()
    first = life.look(FOUND).status

    assert life.look(FOUND, "1h").status == first
    daily = life.look(FOUND, "24h").status
    assert daily.artifact is not None
    assert first.artifact is not None
    assert daily.artifact.checked_at > first.artifact.checked_at
    assert daily.artifact.verified_at == first.artifact.verified_at


def test_nothing_is_asked_before_it_is_due_and_a_new_generation_is_due() -> None:
    life = Life()
    life.look(FOUND)

    assert decide.decide(life.seen, NOW + datetime.timedelta(minutes=59)).ask is False
    assert decide.decide(life.seen, NOW + datetime.timedelta(minutes=60)).ask is True
    about = life.seen.version.metadata.model_copy(update={"generation": 2})
    changed = dataclasses.replace(life.seen, version=life.seen.version.model_copy(update={"metadata": about}))
    assert decide.decide(changed, NOW).ask is True


def test_lifecycle_shows_over_readiness_but_not_over_quarantine() -> None:
    deprecated, retired = Life(lifecycle="Deprecated"), Life(lifecycle="Retired")

    assert deprecated.look(FOUND).status.phase == VersionPhase.DEPRECATED
    assert deprecated.look(DIFFERS, "1h").status.phase == VersionPhase.QUARANTINED
    assert retired.look(FOUND).status.phase == VersionPhase.RETIRED


def test_a_retired_version_is_never_looked_at_again_and_keeps_what_was_known() -> None:
    life = Life()
    life.look(FOUND)
    spec = life.seen.version.spec.model_copy(update={"lifecycle": VersionLifecycle.RETIRED})
    life.seen = dataclasses.replace(life.seen, version=life.seen.version.model_copy(update={"spec": spec}))

    plan = decide.decide(life.seen, NOW + datetime.timedelta(days=30))

    assert (plan.ask, plan.again) == (False, None)
    assert (plan.status.phase, said(plan), said(plan, "Ready")) == (
        VersionPhase.RETIRED,
        ("True", Reason.VERIFIED),
        ("True", Reason.RETIRED),
    )
    assert decide.decide(world(version=version(lifecycle="Retired"), model=None), NOW).status.phase == VersionPhase.RETIRED


def test_a_store_that_does_not_answer_does_not_quarantine_what_is_deprecated() -> None:
    life = Life(lifecycle="Deprecated")
    life.look(FOUND)
    life.look(finding.Finding(Reason.STORE_UNREACHABLE, "no answer"), "1h")

    assert decide.decide(life.seen, life.now - datetime.timedelta(minutes=30)).status.phase == VersionPhase.DEPRECATED


@pytest.mark.parametrize(
    ("past", "phase"),
    [
        pytest.param({"digest": DIGEST, "spec_digest": "sha256:else"}, VersionPhase.REUSED, id="it meant something else"),
        pytest.param({"digest": None, "spec_digest": "sha256:else"}, VersionPhase.READY, id="it never was Ready"),
        pytest.param({"digest": DIGEST}, VersionPhase.READY, id="it meant the same"),
    ],
)
def test_a_name_means_what_it_meant(past: dict[str, Any], phase: VersionPhase) -> None:
    known = index.Version("u0", 1, **{"spec_digest": specs.spec_digest(version()), **past})
    life = Life()
    life.seen = dataclasses.replace(life.seen, past=known)

    assert life.look(FOUND).status.phase == phase


REPORT = {"name": "vr", "type": "ValidationReport", "uri": "s3://models/fraud/vr.pdf", "sha256": DIGEST}
MEANT = {"metrics": {"auc": 0.5}, "evidence": [REPORT]}


@pytest.mark.parametrize(
    ("now", "other", "names"),
    [
        pytest.param(MEANT, "", None, id="the same"),
        pytest.param({"metrics": {"f1": 0.7, "auc": 0.5}, "evidence": [{**REPORT, "name": "a"}, REPORT]}, "", None, id="more"),
        pytest.param({**MEANT, "metrics": {"auc": 0.9}}, "", "with other metrics/auc: delete this object", id="another metric"),
        pytest.param(
            {"metrics": {"auc": 0.5}},
            "",
            "with evidence/vr as well: apply it with all that the name had, or run `modelyard restore fraud`",
            id="a document less",
        ),
        pytest.param(
            {"evidence": [{**REPORT, "sha256": OTHER}]}, "", "with other evidence/vr: delete this object", id="one less, and another"
        ),
        pytest.param(MEANT, "u", None, id="what was missing was added"),
        pytest.param({"metrics": {"auc": 0.9}}, "u", "with other metrics/auc", id="another was added"),
        pytest.param(MEANT, "u9", None, id="another one was registered without it"),
    ],
)
def test_a_name_keeps_its_metrics_and_evidence_whoever_registers_it_again(now: dict[str, Any], other: str, names: str | None) -> None:
    again = version(**now)
    past = index.Version("u0", 1, digest=DIGEST, spec_digest=specs.spec_digest(again), other=other)
    plan = decide.decide(world(version=again, past=past, meant=MEANT, proof=FOUND), NOW)

    assert identity.belonged_to_another(again, past)
    assert plan.status.phase == (VersionPhase.REUSED if names else VersionPhase.READY)
    told = finding.find(plan.status.conditions, "Verified")
    assert told is not None
    assert (names or "every byte read") in told.message


def test_what_the_name_had_is_not_asked_of_the_object_that_has_it() -> None:
    mine = version({"observedGeneration": 1, "conditions": [], "recorded": {"generation": 1, "spec": "sha256:s"}})
    past = index.Version("u0", 1, digest=DIGEST, spec_digest=specs.spec_digest(mine))

    assert not identity.belonged_to_another(mine, past)
    assert not identity.belonged_to_another(version(), dataclasses.replace(past, uid="u"))
    assert not identity.belonged_to_another(version(), dataclasses.replace(past, digest=None))
    assert identity.belonged_to_another(mine, dataclasses.replace(past, other="u"))


def test_a_name_without_a_digest_is_pinned_to_what_it_was() -> None:
    artifact = {"uri": "s3://models/fraud/1.onnx", "format": "onnx"}
    bare = version(artifact=artifact)
    known = index.Version("u0", 1, digest=OTHER, spec_digest=specs.spec_digest(bare))
    asked = world(version=bare, past=known, address=location.Address())

    assert decide.request(asked, full=False).expected == OTHER
    assert decide.decide(dataclasses.replace(asked, proof=DIFFERS), NOW).status.phase == VersionPhase.QUARANTINED


def test_evidence_is_verified_document_by_document() -> None:
    life = Life(evidence=[{"name": "report", "type": "ValidationReport", "uri": "s3://models/fraud/e.pdf", "sha256": DIGEST}])

    life.seen = dataclasses.replace(life.seen, evidence={"report": MISSING})
    assert said(life.look(FOUND), "EvidenceVerified") == ("False", Reason.EVIDENCE_INCOMPLETE)
    life.seen = dataclasses.replace(life.seen, evidence={"report": inspection.Proven(DIGEST, 5)})
    assert said(life.look(FOUND, "1h"), "EvidenceVerified") == ("True", Reason.VERIFIED)


def test_the_spec_digest_is_of_what_cannot_change() -> None:
    before, described = version(), version(description="new words", metrics={"auc": 0.9}, lifecycle="Deprecated")

    assert specs.spec_digest(before) == specs.spec_digest(described)
    assert specs.spec_digest(before) != specs.spec_digest(version(training={"seed": 7}))


def test_documentation_is_complete_or_what_is_missing_is_named() -> None:
    life = Life()

    assert said(life.look(FOUND), "DocumentationComplete") == ("False", Reason.DOCUMENTATION_INCOMPLETE)
    described = model().model_copy(update={"spec": model().spec.model_copy(update={"description": "words"})})
    life.seen = dataclasses.replace(life.seen, model=described)
    assert said(life.look(FOUND, "1h"), "DocumentationComplete") == ("True", Reason.DOCUMENTATION_COMPLETE)


def test_evidence_that_is_not_there_is_looked_for_again_soon() -> None:
    life = Life(evidence=[{"name": "report", "type": "ValidationReport", "uri": "s3://models/fraud/e.pdf", "sha256": DIGEST}])

    life.seen = dataclasses.replace(life.seen, evidence={"report": MISSING})
    assert life.look(FOUND).again == datetime.timedelta(seconds=5)
    life.seen = dataclasses.replace(life.seen, evidence={"report": inspection.Proven(DIGEST, 5)})
    assert life.look(FOUND).again == LIMITS.recheck


def test_the_spec_digest_knows_no_order_of_named_entries_and_every_integer() -> None:
    data = [{"name": "a", "role": "Test"}, {"name": "b", "role": "Training"}]

    assert specs.spec_digest(version(lineage={"datasets": data})) == specs.spec_digest(version(lineage={"datasets": data[::-1]}))
    assert specs.spec_digest(version(training={"seed": 2**62})) != specs.spec_digest(version(training={"seed": 2**62 + 1}))


def test_evidence_from_elsewhere_that_is_added_to_a_verified_version_fails_alone() -> None:
    """It can never be taken away again, and a rollback to this version must stay possible."""
    life = Life()
    life.look(FOUND)
    elsewhere = {"name": "e", "type": "Other", "uri": "s3://models/else/e.pdf", "sha256": DIGEST}
    status = life.seen.version.status.dump()
    added = version(status, evidence=[elsewhere]).model_copy(
        update={"metadata": life.seen.version.metadata.model_copy(update={"generation": 2})}
    )
    refused = location.Refused(Reason.PATH_NOT_ALLOWED, "it is not below")

    plan = decide.decide(dataclasses.replace(life.seen, version=added, proof=FOUND, evidence={"e": refused}), NOW)

    assert plan.status.phase == VersionPhase.READY
    assert said(plan) == ("True", Reason.VERIFIED)
    assert said(plan, "EvidenceVerified") == ("False", Reason.EVIDENCE_INCOMPLETE)


def test_a_version_that_is_active_again_says_so_though_its_store_does_not_answer() -> None:
    life = Life(lifecycle="Deprecated")
    assert life.look(FOUND).status.phase == VersionPhase.DEPRECATED
    life.seen = dataclasses.replace(life.seen, version=version(life.seen.version.status.dump()))

    plan = life.look(finding.Finding(Reason.STORE_UNREACHABLE, "no answer"))

    assert (plan.status.phase, said(plan)) == (VersionPhase.READY, ("Unknown", Reason.STORE_UNREACHABLE))


def test_versions_that_differ_in_a_huge_number_only_are_two() -> None:
    one, other = (version(training={"seed": seed}) for seed in (2**63 - 1, 2**63 - 2))

    assert specs.spec_digest(one) != specs.spec_digest(other)
    assert api.ModelVersion.model_validate({"metadata": one.metadata, "spec": json.loads(specs.snapshot(one))}).spec == one.spec


def once(spec_digest: str, **known: Any) -> index.Version:
    """What the ledger has of a name that was verified and retired."""
    past = index.Version("old", 1, "alice", spec_digest=spec_digest, digest=DIGEST, lifecycle="Retired", deleted=True)
    return dataclasses.replace(past, **({"retired": ["2026-09-01T00:00:00.000000Z", "carol"]} | known))


@pytest.mark.parametrize("lifecycle", [None, "Active", "Deprecated"])
def test_what_was_retired_and_is_created_again_is_retired_and_nobody_reads_its_bytes(lifecycle: str | None) -> None:
    again = version(lifecycle=lifecycle)
    plan = decide.decide(world(version=again, past=once(specs.spec_digest(again))), NOW)
    said = {one.type: one for one in plan.status.conditions}["Ready"]

    assert not plan.ask
    assert (plan.status.phase, said.status, said.reason) == (VersionPhase.RETIRED, "True", Reason.RETIRED)
    assert "retired on 2026-09-01 by carol" in said.message
    assert plan.status.recorded == specs.recorded(again)
    for past in (once(specs.spec_digest(again)), None):  # and stays so, whether or not the ledger answers
        later = again.model_copy(update={"status": plan.status})
        assert decide.decide(world(version=later, past=past), NOW).status == plan.status


def test_what_never_was_ready_or_means_something_else_is_not_retired_with_its_name() -> None:
    again = version()
    named = specs.spec_digest(again)

    assert decide.decide(world(version=again, past=once(named, digest=None)), NOW).ask
    assert decide.decide(world(version=again, past=once("sha256:other")), NOW).status.phase == VersionPhase.REUSED


def test_what_an_older_backup_still_serves_waits_to_be_retired() -> None:
    claim = {"name": "production", "state": "Serving", "since": "2026-10-01T00:00:00Z"}
    again = version({"phase": "Ready", "stages": [claim], "conditions": [], "observedGeneration": 1})
    plan = decide.decide(world(version=again, past=once(specs.spec_digest(again)), proof=FOUND), NOW)

    assert plan.status.phase == VersionPhase.DEPRECATED
    assert {one.type: one for one in plan.status.conditions}["Ready"].reason == Reason.STILL_SERVING
