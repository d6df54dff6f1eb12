"""What nobody with the operator's key wrote counts for nothing: whoever can write to the bucket can forge records, and not who wrote them."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from modelyard.api.reason import Reason
from modelyard.content import digest, location
from modelyard.edge.bucket import appender, chains
from modelyard.ledger import codec, index, integrity, record, signature
from modelyard.ledger.record import Action
from tests.fakes import bucket

WHERE = location.Place("modelyard", "")
CHAIN = record.Chain("main", "risk", "fraud")
OURS, LOST, THEIRS = (ed25519.Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2, 3))
MALLORY = record.Actor("mallory", record.Authenticity.AUTHENTICATED)
SINCE = datetime.datetime(2026, 10, 1, tzinfo=datetime.UTC)


def requested(name: str, actor: record.Actor = record.BY_OPERATOR) -> record.LedgerEntry:
    subject = record.Subject("Promotion", name, f"uid-{name}", 1)
    return record.entry(Action.REQUESTED, actor, subject, "requested", None, {"version": "1", "stage": "production", "rollback": False})


def succeeded(name: str) -> record.LedgerEntry:
    subject = record.Subject("Promotion", name, f"uid-{name}", 1)
    detail = {"version": "6.6.6", "stage": "production", "phase": "Succeeded", "reason": "Succeeded", "message": "forged"}
    return record.entry(Action.ENDED, record.BY_OPERATOR, subject, "ended", None, detail)


def state(version: str) -> tuple[record.StageState, ...]:
    return (record.StageState("production", version, None, SINCE, serves=(record.Share(version, None, 100, SINCE),)),)


@pytest.fixture
def kept() -> bucket.Bucket:
    return bucket.Bucket()


@pytest.fixture
def opened(kept: bucket.Bucket) -> Callable[..., chains.Ledger]:
    """An operator that starts."""
    clock = bucket.Clock()
    return lambda **more: chains.Ledger(kept, WHERE, "main", clock, threads=0, **{"key": OURS, **more})


Opened = Callable[..., chains.Ledger]


def records(kept: bucket.Bucket) -> list[tuple[int, bytes | None]]:
    return [(number, found[-1]) for key, found in sorted(kept.kept.items()) if (number := CHAIN.sequence(key))]


def forge(kept: bucket.Bucket, *facts: record.LedgerEntry, key: ed25519.Ed25519PrivateKey | None = None, **fields: object) -> record.Record:
    """Somebody with the bucket's credentials, who knows all that there is to know but the key, appends a record."""
    number, data = records(kept)[-1] if records(kept) else (0, None)
    last = codec.read(data) if data else None
    prev = digest.named(data) if data else None
    made = record.follow(CHAIN, last, prev, facts, state("6.6.6"), now=SINCE, term=last.term if last else 0, index=None)
    made = dataclasses.replace(made, sequence=number + 1, **{"signature": last.signature if last else None, **fields})  # type: ignore[arg-type]
    kept.put("", CHAIN.key(made.sequence), codec.write(signature.sign(made, key) if key else made))
    return made


def unaccepted(kept: bucket.Bucket, key: ed25519.Ed25519PrivateKey = OURS) -> list[integrity.FlawKind]:
    signers = signature.by_id([key.public_key()])
    found = integrity.check(CHAIN, records(kept), signers=signers, blob=lambda name: kept.get("", f"blobs/sha256/{name[7:]}"))
    return [flaw.kind for flaw in found if not flaw.accepted]


async def test_every_record_is_signed_and_verified_by_who_has_the_public_key_alone(kept: bucket.Bucket, opened: Opened) -> None:
    operator = opened(snapshot_every=2)
    for number in range(5):
        await operator.append(CHAIN, [requested(f"p{number}")], state(str(number)))

    assert [codec.read(data).signature is not None for _, data in records(kept) if data] == [True] * 5
    assert unaccepted(kept) == []
    assert unaccepted(kept, THEIRS) == [integrity.FlawKind.UNPROVEN]


@pytest.mark.parametrize("key", [None, THEIRS], ids=["the last record's signature copied", "a key of their own"])
async def test_what_is_appended_to_a_live_chain_is_unproven_and_counts_for_nothing(
    kept: bucket.Bucket, opened: Opened, key: ed25519.Ed25519PrivateKey | None
) -> None:
    operator = opened()
    await operator.append(CHAIN, [requested("ours")], state("1"))
    forge(kept, requested("forged", MALLORY), succeeded("forged"), key=key)

    with pytest.raises(appender.Tampered, match=r"0000000002\.json is Unproven") as caught:
        await operator.append(CHAIN, [requested("next")], state("1"))
    with pytest.raises(appender.Tampered):
        await opened().load(CHAIN)

    assert caught.value.reason == Reason.LEDGER_TAMPERED
    assert (list(operator.index(CHAIN).promotions), operator.index(CHAIN).succeeded) == (["ours"], {})
    assert operator.state(CHAIN) == state("1")


@pytest.mark.parametrize("far", [{"term": 10**9}, {"time": datetime.datetime(9999, 1, 1, tzinfo=datetime.UTC)}], ids=["term", "time"])
async def test_a_forged_term_deposes_nobody_and_a_forged_time_dates_nothing(
    kept: bucket.Bucket, opened: Opened, far: dict[str, Any]
) -> None:
    operator = opened()
    await operator.append(CHAIN, [requested("ours")], state("1"))
    forge(kept, requested("forged", MALLORY), **far)
    with pytest.raises(appender.Tampered):
        await operator.append(CHAIN, [requested("next")])

    await opened().accept(CHAIN, record.BY_OPERATOR, "somebody else's")
    await operator.load(CHAIN)
    head = await operator.append(CHAIN, [requested("next")])

    assert head.record is not None
    assert (head.sequence, head.record.term, head.record.time.year) == (4, 0, 2026)
    assert unaccepted(kept) == []


async def test_what_a_person_discards_means_nothing_for_anybody_who_reads_it_later(kept: bucket.Bucket, opened: Opened) -> None:
    first = opened()
    await first.append(CHAIN, [requested("ours")], state("1"))
    forge(kept, requested("forged", MALLORY))
    forge(kept, succeeded("forged"))

    await opened().accept(CHAIN, record.BY_OPERATOR, "somebody else's")
    later = opened(snapshot_every=1)
    head = await later.append(CHAIN, [requested("next")])
    await later.append(CHAIN, [requested("more")])
    read = opened()
    await read.load(CHAIN)

    assert head.state == state("1")
    assert sorted(read.index(CHAIN).promotions) == ["more", "next", "ours"]
    assert unaccepted(kept) == []


async def test_an_acceptance_that_is_forged_accepts_nothing(kept: bucket.Bucket, opened: Opened) -> None:
    await opened().append(CHAIN, [requested("ours")])
    made = forge(kept, requested("forged", MALLORY), key=THEIRS)
    [number, head] = made.sequence, digest.named(records(kept)[-1][1] or b"")
    flaw = {"kind": "Unproven", "sequence": number, "head": head, "sentence": ""}
    subject = record.Subject("Ledger", "fraud", CHAIN.prefix, 0)
    forge(kept, record.entry(Action.ACCEPTED, MALLORY, subject, "2", detail={"flaws": [flaw], "believed": True}), key=THEIRS)

    with pytest.raises(appender.Tampered, match="all up to 3 are Unproven"):
        await opened().load(CHAIN)
    assert unaccepted(kept) == [integrity.FlawKind.UNPROVEN]


async def test_a_snapshot_that_only_a_forged_record_names_is_not_read(kept: bucket.Bucket, opened: Opened) -> None:
    operator = opened()
    await operator.append(CHAIN, [requested("ours")])
    folded = index.Index(sequence=1, succeeded={"production": [["6.6.6", "ghost"]]})
    name = digest.named(folded.dump())
    kept.put("", f"blobs/sha256/{name[7:]}", folded.dump())
    forge(kept, requested("forged", MALLORY), index=record.Pointer(1, name))

    late = opened()
    with pytest.raises(appender.Tampered):
        await late.load(CHAIN)

    assert late.index(CHAIN).succeeded == {}


async def test_a_ledger_whose_key_was_lost_is_unproven_until_a_person_believes_it(kept: bucket.Bucket, opened: Opened) -> None:
    before = opened(key=LOST)
    await before.append(CHAIN, [requested("old")], state("1"))
    await before.append(CHAIN, [succeeded("old")], state("2"))

    now = opened()
    with pytest.raises(appender.Tampered, match="signed by no key that this operator holds") as caught:
        await now.load(CHAIN)
    assert (caught.value.reason, now.index(CHAIN).promotions) == (Reason.LEDGER_UNPROVEN, {})

    await opened().accept(CHAIN, record.BY_OPERATOR, "the Secret was lost with the cluster", believed=True)
    head = await now.load(CHAIN)

    assert head.state == state("2")
    assert now.index(CHAIN).promotions["old"].succeeded
    assert unaccepted(kept) == []
    read = opened()
    await read.load(CHAIN)
    assert read.index(CHAIN) == now.index(CHAIN)


async def test_a_key_that_a_person_trusts_proves_what_it_signed(kept: bucket.Bucket, opened: Opened) -> None:
    await opened(key=LOST).append(CHAIN, [requested("old")], state("1"))

    head = await opened(trusted=[LOST.public_key()]).append(CHAIN, [requested("new")])

    assert (head.sequence, head.state) == (2, state("1"))
    assert unaccepted(kept) == []  # what is signed proves all before it


async def test_what_is_older_than_signing_is_proven_by_what_the_cluster_knows(kept: bucket.Bucket, opened: Opened) -> None:
    unsigned = opened(key=None)
    for number in range(3):
        await unsigned.append(CHAIN, [requested(f"p{number}")], state("1"))
    known = unsigned.anchors()

    with pytest.raises(appender.Tampered):
        await opened().load(CHAIN)
    head = await opened(anchors=known).append(CHAIN, [requested("new")])

    assert head.sequence == 4
    assert len((await opened().load(CHAIN)).state) == 1  # and from then on by what is signed
    forge(kept, requested("forged", MALLORY), signature=None)
    with pytest.raises(appender.Tampered, match="it is not signed"):
        await opened(anchors=known).load(CHAIN)


async def test_a_signed_record_of_another_registry_is_in_the_wrong_place(kept: bucket.Bucket, opened: Opened) -> None:
    other = chains.Ledger(kept, WHERE, "staging", bucket.Clock(), threads=0, key=OURS)
    elsewhere = record.Chain("staging", "risk", "fraud")
    await other.append(elsewhere, [succeeded("theirs")], state("6.6.6"))
    kept.put("", CHAIN.key(1), kept.kept[elsewhere.key(1)][-1] or b"")

    with pytest.raises(appender.Tampered, match="belongs at"):
        await opened().load(CHAIN)


async def test_an_operator_that_leads_is_not_deposed_by_a_forged_term(kept: bucket.Bucket, opened: Opened) -> None:
    operator = opened()
    await operator.begin("operator-1")
    chain = operator.operators
    made = record.follow(chain, None, None, (), (), now=SINCE, term=99, index=None)
    head = operator.head(chain)
    assert head is not None
    kept.put("", chain.key(2), codec.write(dataclasses.replace(made, sequence=2, prev=head.digest)))

    with pytest.raises(appender.Tampered):
        await operator.end("operator-1")
