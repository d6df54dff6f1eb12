"""Somebody with the credentials of the operator's bucket writes records: nobody is granted, brought back or served anything by them."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from modelyard.content import canonical, digest
from modelyard.edge.cluster import cache
from modelyard.ledger import codec, signature
from modelyard.ledger.record import BY_OPERATOR, Action, Actor, Authenticity, Chain, LedgerEntry, StageState, Subject, entry, follow
from tests.fakes import world
from tests.stories import test_properties, test_restoring, test_stories

CHAIN = Chain("main", "risk", "fraud")
THEIRS = ed25519.Ed25519PrivateKey.from_private_bytes(b"\x03" * 32)
ALICE = Actor("alice", Authenticity.AUTHENTICATED)


def forge(
    teller: test_stories.Teller,
    facts: Sequence[LedgerEntry],
    state: Sequence[StageState] | None = None,
    key: ed25519.Ed25519PrivateKey = THEIRS,
) -> None:
    """The next record of the chain, well made but for the key."""
    known = [record for record in world.records(teller.bucket) if record.chain == CHAIN]
    last = known[-1] if known else None
    prev = digest.named(codec.write(last)) if last else None
    shown = last.state if last and state is None else state or ()
    made = follow(CHAIN, last, prev, facts, shown, now=teller.world.now, term=last.term if last else 1, index=None)
    teller.bucket.put("own", CHAIN.key(made.sequence), codec.write(signature.sign(made, key)))


def success(version: str) -> list[LedgerEntry]:
    """That a version ran in production, with everybody's approval."""
    subject = Subject("Promotion", "ghost", "uid-ghost", 1)
    about: dict[str, Any] = {"version": version, "stage": "production", "rollback": False}
    ended = about | {"phase": "Succeeded", "reason": "Succeeded", "message": "as ever"}
    return [
        entry(Action.REQUESTED, ALICE, subject, "requested", None, about),
        entry(Action.GRANTED, BY_OPERATOR, subject, "granted", None, about | {"gates": [], "approvals": []}),
        entry(Action.ENDED, BY_OPERATOR, subject, "ended", None, ended),
    ]


async def test_a_rollback_to_what_only_a_forged_record_knows_to_have_succeeded_is_not_granted() -> None:
    teller = await test_restoring.served()
    await teller.tell([{"apply": test_properties.version("2")}, {"upload": {"s3://models/fraud/2/": "2"}}, {"after": "5m"}])
    forge(teller, success("2"))

    back = {**test_properties.promotion("2", "production"), "metadata": {"name": "back"}}
    back["spec"] = {**back["spec"], "rollback": True}
    await teller.tell([{"apply": back}, {"available": "fraud-production"}, {"after": "5m"}])

    [production] = [stage for stage in test_restoring.model(teller)["status"]["stages"] if stage["name"] == "production"]
    ready = {condition["type"]: condition for condition in test_restoring.model(teller)["status"]["conditions"]}["Ready"]
    assert production["current"] == "1"
    assert teller.world.objects["Promotion", "risk", "back"]["status"]["phase"] not in {"RollingOut", "Succeeded"}
    assert (ready["status"], ready["reason"]) == ("False", "LedgerTampered")
    assert "Unproven" in ready["message"]


async def test_what_serves_goes_on_beside_forged_records_and_a_discarded_one_means_nothing() -> None:
    teller = await test_restoring.served()
    forge(teller, success("2"), [StageState("production", "2", template=digest.named(b"privileged"))])
    await teller.tell([{"after": "5m"}, {"apply": test_properties.promotion("1", "guarded")}, {"after": "1m"}])
    held = dict(world.shown(teller.world))

    await teller.book.accept(CHAIN, BY_OPERATOR, "not ours")
    await teller.tell([{"after": "10m"}])

    [production] = [stage for stage in test_restoring.model(teller)["status"]["stages"] if stage["name"] == "production"]
    assert "Deployment fraud-production" in held
    assert production["current"] == "1"
    assert {condition["type"]: condition["status"] for condition in test_restoring.model(teller)["status"]["conditions"]}["Ready"] == "True"
    assert "ghost" not in teller.book.index(CHAIN).promotions


@pytest.mark.parametrize("believed", [False, True], ids=["not believed", "believed by a person"])
async def test_a_ledger_that_nothing_proves_brings_nothing_back_by_itself(*, believed: bool) -> None:
    """The bucket is all that is left: the cluster and the key were lost."""
    teller = await test_restoring.served()
    teller.key = THEIRS
    await test_restoring.lose(teller)
    brought = [place for place in teller.world.objects if place[0] in test_restoring.KINDS]
    if believed:
        await teller.book.accept(CHAIN, BY_OPERATOR, "the Secret was lost", believed=True)
        teller.enqueue([cache.Key("model", "risk", "fraud")])
        await teller.tell([{"after": "10m"}])

    kinds = {place[0] for place in teller.world.objects} & test_restoring.KINDS
    assert brought == []
    assert kinds == ({"Model", "ModelVersion"} if believed else set())


async def test_a_chain_that_somebody_makes_up_creates_no_model() -> None:
    teller = test_stories.Teller(restart=False)
    spec = canonical.dumps(copy.deepcopy(test_properties.MODEL["spec"]))
    teller.bucket.put("own", f"blobs/sha256/{digest.named(spec)[7:]}", spec)
    subject = Subject("Model", "fraud", "uid-fraud", 1)
    forge(teller, [entry(Action.MODEL_CREATED, ALICE, subject, "created", digest.named(spec))])

    teller.enqueue([cache.Key("model", "risk", "fraud")])
    await teller.tell([{"after": "10m"}])

    assert not [place for place in teller.world.objects if place[0] in test_restoring.KINDS]


def hosts(document: dict[str, Any]) -> None:
    """The node's own processes and files."""
    document["template"]["spec"] |= {"hostPID": True, "volumes": [{"name": "host", "hostPath": {"path": "/"}}]}


def without_fetch(document: dict[str, Any]) -> None:
    """Bytes that nobody proves."""
    document["template"]["spec"]["initContainers"] = []


def other_image(document: dict[str, Any]) -> None:
    """A fetch container of their own."""
    document["template"]["spec"]["initContainers"][-1]["image"] = "evil:1"


def other_bytes(document: dict[str, Any]) -> None:
    """Another digest."""
    document["template"]["metadata"]["annotations"]["modelyard.dev/digest"] = "sha256:" + "6" * 64


@pytest.mark.parametrize("change", [hosts, without_fetch, other_image, other_bytes])
async def test_a_rendered_template_that_is_none_of_ours_is_not_brought_back_whoever_signed_its_name(
    change: Callable[[dict[str, Any]], None],
) -> None:
    """What is restored is judged as if it were written anew: the declared template is rendered instead."""
    teller = await test_restoring.served()
    [stage] = [one for one in teller.book.state(CHAIN) if one.name == "production"]
    document = json.loads(teller.bucket.get("own", f"blobs/sha256/{(stage.template or '')[7:]}") or b"")
    right = copy.deepcopy(document["template"])
    change(document)
    evil = canonical.dumps(document)
    teller.bucket.put("own", f"blobs/sha256/{digest.named(evil)[7:]}", evil)
    forge(teller, [], [dataclasses.replace(stage, template=digest.named(evil))], test_stories.KEY)
    del teller.world.objects["Deployment", "risk", "fraud-production"]

    await test_restoring.lose(teller)

    [brought] = [one for place, one in teller.world.objects.items() if place[0] == "Deployment"]
    [stands] = [one for one in test_restoring.model(teller)["status"]["stages"] if one["name"] == "production"]
    assert brought["spec"]["template"] == right
    assert stands["current"] == "1"
