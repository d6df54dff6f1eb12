"""Each change has its own author, is told once, and is recorded however quickly somebody else writes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from modelyard.api import access
from modelyard.edge.cluster import client
from modelyard.ledger.record import NOBODY_KNOWS, Action, LedgerEntry
from tests.fakes.world import World, digest_of, lost, records
from tests.stories import test_properties, test_stories

Object = dict[str, Any]
STAGES: list[Object] = [{"name": "staging"}, {"name": "production", "gates": {"approvals": [{"name": "risk", "required": 2}]}}]


def write(world: World, kind: str, name: str, user: str, change: Callable[[Object], object]) -> None:
    """Change a spec as a person, signed as the API server signs it; what is on its way is not disturbed."""
    stored = world.objects[kind, "risk", name]
    obj = copy.deepcopy({part: value for part, value in stored.items() if part != "status"})
    change(obj["spec"])
    recorded = ((stored.get("status") or {}).get("recorded") or {}).get("generation", 0)
    notes = obj["metadata"].setdefault("annotations", {})
    notes[access.CHANGES] = access.changes.added(notes.get(access.CHANGES, ""), stored["metadata"]["generation"], recorded, user)
    world.put(obj)


def signed(obj: Object, user: str) -> Object:
    return {"apply": access.changes.signed({**obj, "metadata": {"namespace": "risk", **obj["metadata"]}}, user)}


def promotion(name: str, number: str, stage: str, **more: Any) -> Object:
    spec = {"model": "fraud", "version": number, "stage": stage, **more}
    return signed({"kind": "Promotion", "metadata": {"name": name}, "spec": spec}, "alice")


async def begun() -> test_stories.Teller:
    """Versions 1 and 2 Succeeded in staging, and all is recorded."""
    teller = test_stories.Teller(restart=False)
    spec = {"owner": {"team": "t"}, "storage": {"uri": "s3://models/fraud/"}, "stages": STAGES}
    await teller.tell(
        copy.deepcopy(
            [
                {"upload": {"s3://models/fraud/1/": "1", "s3://models/fraud/2/": "2"}},
                signed({"kind": "Model", "metadata": {"name": "fraud"}, "spec": spec}, "alice"),
                {"apply": test_properties.version("1")},
                {"apply": test_properties.version("2")},
                promotion("s1", "1", "staging"),
                {"after": "1m"},
                promotion("s2", "2", "staging"),
                {"after": "1m"},
            ]
        )
    )
    return teller


def facts(teller: test_stories.Teller, *actions: Action) -> list[LedgerEntry]:
    return [one for record in records(teller.bucket) for one in record.facts if one.action in actions]


def told(teller: test_stories.Teller, *actions: Action) -> list[tuple[str, list[str]]]:
    """Who changed what of the Model's spec."""
    return [(one.actor.name, one.detail["changed"]) for one in facts(teller, *actions)]


def weaken(spec: Object) -> None:
    spec["stages"][1]["gates"]["approvals"][0]["required"] = 1


def quick(world: World, kind: client.Kind, name: str, user: str, field: str, times: int, every: int = 0) -> None:
    """Somebody changes a field before each of the next writes of the object's status, but for one in `every`."""
    numbers = iter(range(times))

    def meanwhile(of: client.Kind, called: str) -> None:
        if (of, called) == (kind, name) and (number := next(numbers, None)) is not None and not (every and number % every == every - 1):
            values: Object = {"description": f"text {number}", "owner": {"team": "t", "contact": f"c{number}"}}
            write(world, kind.name, name, user, lambda spec: spec.update({field: values[field]}))

    world.meanwhile = meanwhile


@pytest.mark.parametrize("field", ["description", "owner"])
@pytest.mark.parametrize("times", [1, 3, 26, 112])
async def test_a_change_of_gates_is_told_once_with_whoever_made_it_while_somebody_else_writes_quickly(times: int, field: str) -> None:
    teller = await begun()

    quick(teller.world, client.MODEL, "fraud", "dora", field, times)
    write(teller.world, "Model", "fraud", "mallory", weaken)
    await teller.settle()

    changed = told(teller, Action.RULES_CHANGED)
    model = teller.world.objects["Model", "risk", "fraud"]
    path = "description" if field == "description" else "owner/contact"
    assert [who for who, paths in changed if "stages/production/gates/approvals" in paths] == ["mallory"]
    assert {(who, *paths) for who, paths in changed if who != "mallory"} <= {("dora", path)}
    assert len(changed) == 1 + times
    assert model["status"]["recorded"]["generation"] == model["metadata"]["generation"]
    assert model["status"]["observedGeneration"] == model["metadata"]["generation"]
    assert lost(teller.bucket) == {}


async def test_each_entry_says_what_the_one_before_it_left() -> None:
    teller = await begun()

    quick(teller.world, client.MODEL, "fraud", "dora", "description", 20)
    write(teller.world, "Model", "fraud", "mallory", weaken)
    await teller.settle()

    entries = facts(teller, Action.MODEL_CREATED, Action.RULES_CHANGED)
    assert [after.detail["before"] for after in entries[1:]] == [before.digest for before in entries[:-1]]


@pytest.mark.parametrize("field", ["description", "owner"])
async def test_a_rollback_is_granted_within_a_few_decisions_while_somebody_writes_quickly(field: str) -> None:
    """Two of three writes of the Model's status come too late, for as long as it takes."""
    teller = await begun()
    quick(teller.world, client.MODEL, "fraud", "dora", field, 1000, every=3)
    teller.world.put(promotion("back", "1", "staging", rollback=True)["apply"])

    turns = 0
    while teller.world.objects["Promotion", "risk", "back"].get("status", {}).get("phase") != "Succeeded":
        turns += 1
        teller._hear()
        await teller.operator(teller.ready.pop(0))

    assert turns <= 3


async def test_a_decision_is_not_written_over_what_would_change_it() -> None:
    """The stage is frozen, and the approval taken back, right before the grant is written: it is not granted."""
    teller = await begun()
    await teller.tell(copy.deepcopy([promotion("p2", "2", "production")]))
    subject = teller.world.objects["Promotion", "risk", "p2"]["status"]["subject"]
    words = [{"user": user, "gate": "risk", "decision": "Approved", "subject": subject} for user in ("bob", "carol")]
    write(teller.world, "Promotion", "p2", "bob", lambda spec: spec.update(approvals=words[:1]))
    await teller.settle()
    taken_back = iter([True])

    def meanwhile(kind: client.Kind, name: str) -> None:
        if (kind, name) == (client.PROMOTION, "p2") and next(taken_back, False):
            back = [{**words[0], "decision": "Withdrawn"}, words[1]]
            write(teller.world, "Promotion", "p2", "bob", lambda spec: spec.update(approvals=back))

    teller.world.meanwhile = meanwhile
    write(teller.world, "Promotion", "p2", "carol", lambda spec: spec.update(approvals=words))
    await teller.settle()

    assert teller.world.objects["Promotion", "risk", "p2"]["status"]["phase"] == "AwaitingApproval"


async def test_who_wrote_while_nobody_looked_is_not_blamed_for_what_another_may_have_done() -> None:
    teller = await begun()

    for number, user in enumerate(("dora", "mallory", "dora")):
        change = weaken if user == "mallory" else lambda spec, number=number: spec.update(description=f"text {number}")
        write(teller.world, "Model", "fraud", user, change)
    await teller.tell([{"restart": "at once"}])

    [entry] = facts(teller, Action.RULES_CHANGED)
    assert (entry.actor, entry.detail["authors"]) == (NOBODY_KNOWS, ["dora", "mallory"])
    assert entry.detail["changed"] == ["description", "stages/production/gates/approvals"]


async def test_a_change_that_nobody_signed_leaves_the_others_in_doubt_as_well() -> None:
    teller = await begun()

    write(teller.world, "Model", "fraud", "dora", lambda spec: spec.update(description="text"))
    obj = copy.deepcopy(teller.world.objects["Model", "risk", "fraud"])
    weaken(obj["spec"])
    teller.world.put(obj)
    await teller.tell([{"restart": "at once"}])

    [entry] = facts(teller, Action.RULES_CHANGED)
    assert (entry.actor, entry.detail["authors"], entry.detail["unsigned"]) == (NOBODY_KNOWS, ["dora"], 1)


async def test_who_alone_wrote_while_nobody_looked_is_known() -> None:
    teller = await begun()

    write(teller.world, "Model", "fraud", "dora", lambda spec: spec.update(description="text"))
    write(teller.world, "Model", "fraud", "dora", weaken)
    await teller.tell([{"restart": "at once"}])

    assert told(teller, Action.RULES_CHANGED) == [("dora", ["description", "stages/production/gates/approvals"])]


async def test_what_was_written_between_two_looks_is_told_one_by_one() -> None:
    teller = await begun()

    write(teller.world, "Model", "fraud", "dora", lambda spec: spec.update(description="text"))
    write(teller.world, "Model", "fraud", "mallory", weaken)
    write(teller.world, "Model", "fraud", "eve", lambda spec: spec.update(aliases={"champion": "1"}))
    await teller.settle()

    assert told(teller, Action.RULES_CHANGED) == [
        ("dora", ["description"]),
        ("mallory", ["stages/production/gates/approvals"]),
        ("eve", ["aliases"]),
    ]
    assert [one.actor.name for one in facts(teller, Action.ALIAS_CHANGED)] == ["eve"]


async def test_what_was_written_before_the_first_look_is_not_its_creators() -> None:
    teller = await begun()
    model = copy.deepcopy(teller.world.objects["Model", "risk", "fraud"])
    other = {"kind": "Model", "metadata": {"name": "other", "namespace": "risk"}, "spec": model["spec"]}
    teller.world.put(access.changes.signed(other, "alice"))
    write(teller.world, "Model", "other", "mallory", weaken)
    await teller.tell([{"restart": "at once"}])

    created = facts(teller, Action.MODEL_CREATED)[-1]
    assert (created.actor.name, created.detail["alsoChangedBy"]) == ("alice", ["mallory"])


@pytest.mark.parametrize("times", [0, 7])
async def test_who_approves_a_paused_promotion_did_not_pause_it(times: int) -> None:
    teller = await begun()
    await teller.tell(copy.deepcopy([promotion("p2", "2", "production")]))
    subject = teller.world.objects["Promotion", "risk", "p2"]["status"]["subject"]
    word = {"user": "bob", "gate": "risk", "decision": "Approved", "subject": subject}
    numbers = iter(range(times))

    def meanwhile(kind: client.Kind, name: str) -> None:
        if (kind, name) == (client.PROMOTION, "p2") and (number := next(numbers, None)) is not None:
            write(teller.world, "Promotion", "p2", "bob", lambda spec: spec.update(approvals=[{**word, "comment": f"{number}"}]))

    teller.world.meanwhile = meanwhile
    write(teller.world, "Promotion", "p2", "alice", lambda spec: spec.update(paused=True))
    await teller.settle()
    write(teller.world, "Promotion", "p2", "bob", lambda spec: spec.update(approvals=[word]))
    await teller.settle()

    assert [(one.actor.name, one.detail["paused"]) for one in facts(teller, Action.STEERED)] == [("alice", True)]


async def test_who_aborted_while_nobody_looked_is_not_known_where_another_wrote_as_well() -> None:
    teller = await begun()
    await teller.tell(copy.deepcopy([promotion("p2", "2", "production")]))

    write(teller.world, "Promotion", "p2", "mallory", lambda spec: spec.update(abort=True))
    write(teller.world, "Promotion", "p2", "dora", lambda spec: spec.update(paused=True))
    await teller.tell([{"restart": "at once"}])

    [entry] = facts(teller, Action.STEERED)
    assert (entry.actor, entry.detail["authors"]) == (NOBODY_KNOWS, ["mallory", "dora"])


@pytest.mark.parametrize("times", [1, 26])
async def test_what_is_attested_is_told_once_with_whoever_added_it_while_somebody_else_describes(times: int) -> None:
    teller = await begun()

    quick(teller.world, client.MODEL_VERSION, "fraud-2", "dora", "description", times)
    write(teller.world, "ModelVersion", "fraud-2", "mallory", lambda spec: spec.update(metrics={"auc": 0.99}))
    await teller.settle()
    write(teller.world, "ModelVersion", "fraud-2", "eve", lambda spec: spec.update(lifecycle="Deprecated"))
    await teller.settle()

    entries = facts(teller, Action.ATTESTED, Action.DEPRECATED)
    assert [(one.action, one.actor.name) for one in entries] == [(Action.ATTESTED, "mallory"), (Action.DEPRECATED, "eve")]
    assert {one.actor.name for one in facts(teller, Action.DESCRIBED)} == {"dora"}
    assert len(facts(teller, Action.DESCRIBED)) == times


async def test_metrics_that_were_added_before_the_first_look_are_not_the_registrants() -> None:
    teller = await begun()
    obj = test_properties.version("3")
    obj["spec"]["artifact"] = {"uri": "s3://models/fraud/3/", "format": "onnx", "digest": digest_of("3")}
    teller.store.bytes["s3://models/fraud/3/"] = "3"
    teller.world.put(obj)
    write(teller.world, "ModelVersion", "fraud-3", "mallory", lambda spec: spec.update(metrics={"auc": 0.99}))
    await teller.tell([{"restart": "at once"}])

    known = teller.book.index(teller.book.chain("risk", "fraud")).versions["3"]
    assert (known.registrant, known.attested) == ("ci", {"metrics/auc": ""})


async def test_a_crash_between_the_record_and_the_status_tells_nothing_twice() -> None:
    teller = await begun()
    teller._restart = True

    write(teller.world, "Model", "fraud", "mallory", weaken)
    await teller.settle()
    write(teller.world, "Model", "fraud", "dora", lambda spec: spec.update(description="text"))
    await teller.settle()

    assert told(teller, Action.RULES_CHANGED) == [("mallory", ["stages/production/gates/approvals"]), ("dora", ["description"])]


async def test_who_approves_while_the_ledger_does_not_answer_did_not_pause_what_was_paused_before() -> None:
    teller = await begun()
    await teller.tell(copy.deepcopy([promotion("p2", "2", "production")]))
    subject = teller.world.objects["Promotion", "risk", "p2"]["status"]["subject"]
    write(teller.world, "Promotion", "p2", "alice", lambda spec: spec.update(paused=True))
    await teller.settle()
    word = {"user": "bob", "gate": "risk", "decision": "Approved", "subject": subject}

    await teller.tell([{"ledger": "no answer"}])
    write(teller.world, "Promotion", "p2", "bob", lambda spec: spec.update(approvals=[word]))
    await teller.settle()
    await teller.tell([{"ledger": "answers"}, {"after": "5m"}])

    assert [(one.actor.name, one.detail["paused"]) for one in facts(teller, Action.STEERED)] == [("alice", True)]
