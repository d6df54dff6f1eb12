"""A dossier follows from the records that it carries; whatever is altered in it is found."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from modelyard.audit import explain, provenance
from modelyard.audit.dossier import bundle, dossier, fields, frameworks
from modelyard.content.digest import named
from modelyard.ledger import codec, record
from modelyard.ledger.record import Action
from tests.fakes import chronicle

Json = dict[str, Any]
MADE = "2026-10-05T08:00:00.000000Z"
VERSION = "1.5.0-rc.1"


def made(version: str = VERSION) -> Json:
    """The dossier of one of credit's versions, as it is read from its file."""
    story, operators = chronicle.credit()
    found = dossier.make(bundle.gather(story.book(), operators.book(), version), version, MADE)
    assert found
    return dict(json.loads(json.dumps(found)))


def part(found: Json, name: str, inside: str) -> Json:
    """A field or a table."""
    section = next(one for one in found["sections"] if one["id"] == name)
    return next(one for one in [*section["fields"], *section["tables"]] if one["id"] == inside)


def test_what_was_made_is_sound() -> None:
    assert dossier.check(made()) == []


def test_each_field_says_how_it_stands() -> None:
    found = made()

    assert {name: part(found, *name.split("."))["state"] for name in ("artifact.digest", "artifact.uri", "identity.registeredBy")} == {
        "artifact.digest": "verified",
        "artifact.uri": "declared",
        "identity.registeredBy": "declared",  # a client's word for the name
    }
    assert {row["state"] for row in part(found, "evidence", "documents")["rows"]} == {"verified"}
    assert {row["state"] for row in part(found, "approvals", "words")["rows"]} == {"verified"}
    assert {row["state"] for row in part(found, "evaluation", "metrics")["rows"]} == {"declared"}
    assert [row["cells"][:2] for row in part(found, "deployment", "spells")["rows"]] == [
        ["production", 10],
        ["production", 50],
        ["production", 100],
    ]
    assert len(part(found, "deployment", "unobserved")["rows"]) == 1
    assert part(found, "retirement", "lifecycle")["value"] == "Deprecated"
    assert part(found, "retirement", "modelRetired")["state"] == "missing"


def test_completeness_is_what_the_tier_demands() -> None:
    complete, wanting = made()["summary"]["completeness"], made("1.4.0")["summary"]["completeness"]

    assert (complete["tier"], complete["have"], complete["of"]) == ("High", 12, 12)
    assert [one["what"] for one in wanting["items"] if not one["there"]] == [
        "a verified ValidationReport (spec.evidence)",
        "a verified RiskAssessment (spec.evidence)",
    ]


def test_documents_that_were_not_read_are_declared() -> None:
    story = chronicle.Story()
    spec = chronicle.sample("modelversion-full")
    story.model(chronicle.sample("model-full"))
    story.register(spec)
    story.verify(VERSION, evidence={"vr-17": spec["evidence"][0]["sha256"], "ra-9": chronicle.digest("another")})

    found = dossier.make(bundle.gather(story.book(), None, VERSION), VERSION, MADE)

    assert found
    assert [row["state"] for row in part(found, "evidence", "documents")["rows"]] == ["verified", "declared"]
    assert found["summary"]["completeness"]["have"] == 10


def test_a_version_that_nobody_registered_has_none() -> None:
    story, _ = chronicle.credit()

    assert dossier.make(bundle.gather(story.book(), None, "9.9.9"), "9.9.9", MADE) is None


def test_only_the_records_that_tell_of_the_version_are_carried() -> None:
    story, _ = chronicle.credit()
    for number in range(50):
        story.register({**chronicle.sample("modelversion-full"), "version": f"2.{number}.0"})

    found = bundle.gather(story.book(), None, "1.4.0")

    assert len(found.digests) == len(story.objects)
    assert not any(b"2.1.0" in data for data in found.records.values())


def test_every_field_that_frameworks_name_exists() -> None:
    there = fields.states(made()["sections"])
    named = {name for one in frameworks.FRAMEWORKS for item in one.items for name in item.fields}

    assert named <= set(there)


def test_frameworks_say_what_is_verified_declared_missing_and_outside() -> None:
    found = {one["id"]: {item["ref"]: item["covers"] for item in one["items"]} for one in made("1.4.0")["frameworks"]}

    assert found["owasp-aisvs-1.0-c3"]["3.3.2"] == "verified"
    assert found["owasp-aisvs-1.0-c3"]["3.1.2"] == "outside"
    assert found["eu-ai-act-annex-iv"]["4"] == "missing"
    assert found["eu-ai-act-annex-iv"]["2(g)"] == "partly"
    assert found["nist-ai-rmf-1.0"]["MAP 1.1"] == "declared"


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where anything stands in a document."""
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(one, (*path, key))
        return
    yield path


def altered(value: Any) -> Any:
    """Another value of the same sort."""
    match value:
        case bool():
            return not value
        case str():
            return f"{value[:-1]}{'x' if value[-1:] != 'x' else 'y'}" if value else "x"
        case None:
            return "something"
        case _:
            return value + 1


def alter(value: Any, path: tuple[Any, ...]) -> None:
    """Changes what stands in one place."""
    *above, last = path
    for key in above:
        value = value[key]
    value[last] = altered(value[last])


def test_every_altered_field_is_found() -> None:
    broken = made()
    shown = [path for path in places(broken) if path[0] in {"registry", "namespace", "model", "summary", "sections", "frameworks"}]
    for path in shown:
        alter(broken, path)

    assert len(shown) > 700
    assert len(dossier.check(broken)) == len(shown)


def test_every_altered_part_of_the_attestation_is_found() -> None:
    sound = made()
    missed = []
    for path in places(sound["attestation"]):
        broken = copy.deepcopy(sound)
        alter(broken["attestation"], path)
        try:
            missed += [] if dossier.check(broken) else [path]
        except ValueError:
            continue

    # A record proves what comes before it: of those in between only the ledger itself knows.
    carried = _carried(sound)
    between = {number for number in range(sound["attestation"]["sequence"]) if not {number + 1, number + 2} & carried}
    assert [path for path in missed if path[0] != "digests" or path[1] not in between] == []


def _carried(found: Json) -> set[int]:
    return {one["sequence"] for one in found["attestation"]["records"]}


FORGERIES: dict[str, Callable[[Json], object]] = {
    "a field is left out": lambda found: found["sections"][0]["fields"].pop(),
    "a row is left out": lambda found: part(found, "approvals", "words")["rows"].pop(),
    "a section is left out": lambda found: found["sections"].pop(),
    "declared is called verified": lambda found: part(found, "artifact", "uri").update(state="verified"),
    "a record is left out": lambda found: found["attestation"]["records"].pop(3),
    "a snapshot is left out": lambda found: found["attestation"]["blobs"].pop(0),
    "it is called another version's": lambda found: found.update(version="1.4.0"),
    "a framework's item is called answered": lambda found: found["frameworks"][0]["items"][1].update(covers="verified"),
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_forgeries_are_found(forgery: Callable[[Json], object]) -> None:
    found = made()
    forgery(found)

    assert dossier.check(found)


def test_a_record_that_was_written_anew_is_found_by_its_neighbours_and_by_the_ledger() -> None:
    """Somebody makes up an approval, and every hash that the dossier itself has."""
    story, operators = chronicle.credit()
    evidence = bundle.gather(story.book(), operators.book(), VERSION)
    number, data = next((number, data) for number, data in evidence.records.items() if b'"Approved"' in data)
    forged = data.replace(b"bob@example.com", b"eve@example.com")
    digests = [named(forged) if at == number else digest for at, digest in enumerate(evidence.digests, 1)]
    lie = dataclasses.replace(evidence, records={**evidence.records, number: forged}, digests=tuple(digests))

    found = dossier.make(lie, VERSION, MADE)

    assert found
    assert any("follows" in one for one in dossier.check(found))
    assert [one for one in bundle.against(lie, evidence) if one.startswith(f"record {number}:")]
    assert list(bundle.against(evidence, evidence)) == []


def test_a_record_that_was_left_out_is_found_by_the_ledger() -> None:
    """Without its record a rejection never was: the file alone cannot show that."""
    story, operators = chronicle.credit()
    evidence = bundle.gather(story.book(), operators.book(), VERSION)
    number = next(number for number, data in evidence.records.items() if b'"Approved"' in data)
    kept = {at: data for at, data in evidence.records.items() if at != number}
    shorter = dataclasses.replace(evidence, records=kept, operators={})
    found = dossier.make(shorter, VERSION, MADE)

    assert found
    assert dossier.check(found) == []
    assert list(bundle.against(shorter, evidence)) == [
        f"record {number}: it tells of the version, and was left out",
        *(f"record {term} of _operator: it tells when nobody watched, and was left out" for term in evidence.operators),
    ]


def test_a_term_that_was_left_out_is_found_by_the_ledger_and_one_that_began_since_is_not_missed() -> None:
    story, operators = chronicle.credit()
    evidence = bundle.gather(story.book(), operators.book(), VERSION)
    last = max(evidence.operators)
    shorter = dataclasses.replace(evidence, operators={at: data for at, data in evidence.operators.items() if at != last})
    operators.now = story.later(hours=1)
    operators.begin(None)
    since = bundle.gather(story.book(), operators.book(), VERSION)

    assert list(bundle.against(shorter, evidence)) == [f"record {last} of _operator: it tells when nobody watched, and was left out"]
    assert list(bundle.against(evidence, since)) == []


def test_a_snapshot_that_was_left_out_is_found_by_the_ledger_and_one_that_is_gone_is_said() -> None:
    story, operators = chronicle.credit()
    evidence = bundle.gather(story.book(), operators.book(), VERSION)
    found = dossier.make(dataclasses.replace(evidence, blobs={}), VERSION, MADE)

    assert found
    assert dossier.check(found) == []
    assert set(found["summary"]["lost"]) <= evidence.blobs.keys()
    assert len(found["summary"]["lost"]) >= 2
    assert set(bundle.against(bundle.load(found["attestation"]), evidence)) == {
        f"blob {name}: the records name it, and it was left out" for name in evidence.blobs
    }
    assert made()["summary"]["lost"] == []


def test_a_ledger_that_was_cut_off_is_shorter_than_the_dossier_knows() -> None:
    story, _ = chronicle.credit()
    evidence = bundle.gather(story.book(), None, VERSION)
    cut = bundle.gather(story.book(4), None, VERSION)

    assert next(iter(bundle.against(evidence, cut))).startswith("the ledger ends at 4")


@pytest.mark.parametrize(
    "broken", [{}, {"format": "x"}, {"format": dossier.FORMAT}, {"format": dossier.FORMAT, "attestation": {"records": 1}}]
)
def test_what_is_no_dossier_is_refused(broken: Json) -> None:
    with pytest.raises(ValueError, match=r"format|attestation"):
        dossier.check(broken)


def test_a_retired_version_says_who_why_and_when() -> None:
    story, _ = chronicle.credit()
    story.lifecycle(Action.RETIRED, chronicle.sample("modelversion-full"), "replaced by 1.6.0")

    found = dossier.make(bundle.gather(story.book(), None, VERSION), VERSION, MADE)

    assert found
    assert [part(found, "retirement", name)["value"] for name in ("lifecycle", "by", "reason")] == [
        "Retired",
        "bob@example.com",
        "replaced by 1.6.0",
    ]


def test_another_thing_that_was_registered_under_the_name_later_changes_nothing_of_what_it_is() -> None:
    story, _ = chronicle.credit()
    spec = {**chronicle.sample("modelversion-full"), "training": {"seed": 666}, "metrics": {"auc": 1.0}}
    story.register(spec, chronicle.DAVE, "uid-other", "another spec")

    found = dossier.make(bundle.gather(story.book(), None, VERSION), VERSION, MADE)

    assert found
    for name in ("identity", "purpose", "data", "development", "evaluation", "evidence"):
        assert [one for one in found["sections"] if one["id"] == name] == [one for one in made()["sections"] if one["id"] == name]


FULL = chronicle.sample("modelversion-full")
BARE = {**FULL, "metrics": {}}
MALLORY = record.Actor("mallory@example.com", record.Authenticity.AUTHENTICATED)


def begun() -> chronicle.Story:
    """A Model, and nothing else."""
    story = chronicle.Story()
    story.model(chronicle.sample("model-full"))
    return story


def found_in(story: chronicle.Story) -> Json:
    """The version's dossier, whose account is also the one that `explain` has from a few records."""
    with chronicle.reading(story) as book:
        few = explain.history(book, book.index(book.last), VERSION)
    whole = provenance.of(VERSION, story.records())
    assert (few.own, few.registered, few.spec, few.lifecycle) == (whole.own, whole.registered, whole.spec, whole.lifecycle)

    found = dossier.make(bundle.gather(story.book(), None, VERSION), VERSION, MADE)
    assert found
    assert dossier.check(found) == []
    return found


def said(found: Json, name: str, *inside: str) -> list[Any]:
    return [part(found, name, one)["value"] for one in inside]


def metrics(found: Json) -> dict[str, str]:
    """Who declared which."""
    return {name: who for name, _, who in (row["cells"] for row in part(found, "evaluation", "metrics")["rows"])}


@pytest.mark.parametrize("ready", [False, True], ids=["never was Ready", "was Ready"])
def test_who_brings_back_what_was_lost_did_nothing_of_what_it_is(ready: bool) -> None:
    story = begun()
    story.register(BARE, chronicle.DAVE)
    if ready:
        story.verify(VERSION)
    spec = {**story.attest(BARE, {"auc": 0.934}, chronicle.CAROL), "lifecycle": "Deprecated", "lifecycleReason": "drift"}
    story.lifecycle(Action.DEPRECATED, spec, "drift")
    before = found_in(story)
    story.later(days=1)
    story.lose(VERSION)
    story.register(spec, chronicle.OPERATOR, "uid-2")

    found = found_in(story)

    for name in ("identity", "evaluation", "evidence", "retirement"):
        assert [one for one in found["sections"] if one["id"] == name] == [one for one in before["sections"] if one["id"] == name]
    assert said(found, "identity", "registeredBy") == [chronicle.DAVE.name]
    assert metrics(found) == {"auc": chronicle.CAROL.name}
    assert said(found, "retirement", "lifecycle", "by") == ["Deprecated", chronicle.BOB.name]
    assert any("brought back" in row["cells"][3] for row in part(found, "changes", "facts")["rows"])


@pytest.mark.parametrize(("deleted", "meaning"), [(True, "spec"), (False, "another")], ids=["it was deleted", "it means something else"])
def test_whoever_registers_what_was_lost_registered_it_when(deleted: bool, meaning: str) -> None:
    story = begun()
    story.register(FULL, chronicle.DAVE)
    story.lose(VERSION)
    if deleted:
        story.delete(VERSION)
    story.register(FULL, MALLORY, "uid-2", meaning)

    assert said(found_in(story), "identity", "registeredBy") == [MALLORY.name]


def test_what_was_done_to_a_deleted_try_is_nothing_of_the_version() -> None:
    story = begun()
    story.register(BARE, MALLORY, "uid-try", "try")
    story.attest(BARE, {"auc": 0.1}, MALLORY, "uid-try")
    story.delete(VERSION, "uid-try")
    story.register(FULL)
    story.verify(VERSION)

    found = found_in(story)

    assert set(metrics(found).values()) == {chronicle.CI.name}
    assert said(found, "identity", "registeredBy") == [chronicle.CI.name]
    assert part(found, "retirement", "gone")["rows"] == []
    assert MALLORY.name in {row["cells"][1] for row in part(found, "changes", "facts")["rows"]}


def test_a_metric_of_another_spec_that_was_registered_again_is_of_who_registered_that() -> None:
    story = begun()
    story.register(BARE)
    story.verify(VERSION)
    story.attest(BARE, {"auc": 0.1}, chronicle.CAROL)
    story.delete(VERSION)
    story.register(FULL, MALLORY, "uid-2")

    assert set(metrics(found_in(story)).values()) == {MALLORY.name}


def test_what_is_retired_is_retired_whatever_is_applied_later() -> None:
    story = begun()
    story.register(FULL)
    story.verify(VERSION)
    story.lifecycle(Action.RETIRED, {**FULL, "lifecycle": "Retired"}, "it is biased")
    story.later(days=1)
    story.delete(VERSION)
    story.register({**FULL, "lifecycle": "Deprecated", "lifecycleReason": "old manifest"}, uid="uid-2")

    assert said(found_in(story), "retirement", "lifecycle", "by", "reason") == ["Retired", chronicle.BOB.name, "it is biased"]


def test_what_is_registered_again_without_its_lifecycle_is_active() -> None:
    story = begun()
    story.register(FULL)
    story.verify(VERSION)
    story.lifecycle(Action.DEPRECATED, {**FULL, "lifecycle": "Deprecated"}, "drift")
    story.delete(VERSION)
    story.register(FULL, uid="uid-2")

    found = found_in(story)

    assert said(found, "retirement", "lifecycle", "by") == ["Active", None]
    assert part(found, "retirement", "lifecycle")["records"] == [len(story.objects)]


@pytest.mark.parametrize(
    ("again", "expected"), [("Retired", True), (None, False)], ids=["brought back as it was", "another one was created"]
)
def test_when_the_model_was_retired_is_told_while_it_is(again: str | None, expected: bool) -> None:
    story = begun()
    spec = chronicle.sample("model-full")
    gone = {**spec, "lifecycle": "Retired"}
    about = record.Subject("Model", "credit", "uid-model", 2)
    story.register(FULL)
    when = codec.write_time(story.later(days=1))
    story.write(record.entry(Action.RETIRED, chronicle.BOB, about, "retired", story.keep(gone), {"version": None}))
    story.later(days=1)
    other = dataclasses.replace(about, uid="uid-other")
    told = [record.entry(Action.MODEL_CREATED, chronicle.OPERATOR, other, "created", story.keep(gone if again else spec))]
    told += [record.entry(Action.RETIRED, chronicle.OPERATOR, other, "retired", story.keep(gone), {"version": None})] if again else []
    story.write(*told)

    assert said(found_in(story), "retirement", "modelRetired") == [when if expected else None]


def test_a_promotion_that_is_not_there_any_more_is_not_open() -> None:
    story = begun()
    story.register(FULL)
    story.verify(VERSION)
    deleted = [story.ask(name, VERSION) for name in ("open", "deleted", "lost", "used-again", "used-for-another", "ended")][1]
    story.write(record.entry(Action.DELETED, record.NOBODY_KNOWS, deleted, "deleted", None, {"noticed": "live"}))
    story.lose(VERSION, ["lost"])
    story.ask("used-again", VERSION, "uid-again")
    story.ask("used-for-another", "1.4.0", "uid-another")
    story.finish("ended", VERSION, "production", "Rejected", "no")
    ended = dataclasses.replace(deleted, name="ended", uid="uid-ended")
    story.write(record.entry(Action.DELETED, record.NOBODY_KNOWS, ended, "deleted", None, {"noticed": "live"}))

    rows = [(row["cells"][0], row["cells"][5]) for row in part(found_in(story), "approvals", "requests")["rows"]]

    assert rows == [
        ("open", "open"),
        ("deleted", "deleted"),
        ("lost", "lost"),
        ("used-again", "deleted"),
        ("used-for-another", "deleted"),
        ("ended", "Rejected"),
        ("used-again", "open"),
    ]
