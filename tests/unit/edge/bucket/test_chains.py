"""The appender on a bucket in memory: nothing missing, nothing twice, whatever the store and other operators do."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import pathlib
import random
import threading
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from modelyard import edge, settings
from modelyard.api.reason import Reason
from modelyard.content import digest, location
from modelyard.edge.bucket import appender, batch, chains
from modelyard.ledger import checkpoint, codec, fold, index, integrity, signature
from modelyard.ledger import record as ledger_record
from modelyard.ledger.record import Action
from tests.fakes import bucket

WHERE = location.Place("modelyard", "")
CHAIN = ledger_record.Chain("main", "risk", "fraud")
ALICE = ledger_record.Actor("alice", ledger_record.Authenticity.AUTHENTICATED)


def fact(step: int, **detail: object) -> ledger_record.LedgerEntry:
    subject = ledger_record.Subject("ModelVersion", "fraud-1", "uid-1", 1)
    return ledger_record.entry(Action.DESCRIBED, ALICE, subject, step, detail={"version": "1", "changed": ["tags"], **detail})


def state(version: str) -> tuple[ledger_record.StageState, ...]:
    since = datetime.datetime(2026, 10, 1, tzinfo=datetime.UTC)
    return (ledger_record.StageState("production", version, None, since, serves=(ledger_record.Share(version, None, 100, since),)),)


@pytest.fixture
def kept() -> bucket.Bucket:
    return bucket.Bucket()


@pytest.fixture
def opened(kept: bucket.Bucket) -> Callable[..., chains.Ledger]:
    """An operator that starts."""
    clock = bucket.Clock()
    return lambda **more: chains.Ledger(kept, WHERE, "main", clock, threads=0, **more)


Opened = Callable[..., chains.Ledger]


def records(kept: bucket.Bucket, chain: ledger_record.Chain = CHAIN) -> list[tuple[int, bytes | None]]:
    numbers = ((chain.sequence(key), found[-1]) for key, found in sorted(kept.kept.items()))
    return [(number, data) for number, data in numbers if number is not None and data is not None]


def told(kept: bucket.Bucket, chain: ledger_record.Chain = CHAIN) -> list[str]:
    return [one.id for _, data in records(kept, chain) if data for one in codec.read(data).facts]


def sound(kept: bucket.Bucket, chain: ledger_record.Chain = CHAIN) -> bool:
    return integrity.check(chain, records(kept, chain), blob=lambda name: kept.get("", f"blobs/sha256/{name[7:]}")) == ()


async def test_the_first_record(kept: bucket.Bucket, opened: Opened) -> None:
    head = await opened().append(CHAIN, [fact(1)], state("1"))

    assert list(kept.kept) == ["ledger/main/risk/fraud/0000000001.json"]
    assert head.sequence == 1
    assert head.state == state("1")
    assert sound(kept)


async def test_what_was_told_before_is_not_told_again(kept: bucket.Bucket, opened: Opened) -> None:
    first = opened()
    await first.append(CHAIN, [fact(1), fact(2)], state("1"))
    await first.append(CHAIN, [fact(2)], state("1"))
    await opened().append(CHAIN, [fact(1), fact(3), fact(3)])

    assert told(kept) == [fact(number).id for number in (1, 2, 3)]
    assert len(records(kept)) == 2


async def test_a_state_alone_is_a_record(kept: bucket.Bucket, opened: Opened) -> None:
    writer = opened()
    await writer.append(CHAIN, [fact(1)], state("1"))
    await writer.append(CHAIN, [], state("2"))
    await writer.append(CHAIN, [fact(2)])

    assert [codec.read(data).state for _, data in records(kept) if data] == [state("1"), state("2"), state("2")]


async def test_facts_that_come_while_a_write_is_under_way_go_together(kept: bucket.Bucket) -> None:
    writer = chains.Ledger(kept, WHERE, "main", bucket.Clock(), threads=4)
    await asyncio.gather(*(writer.append(CHAIN, [fact(number)]) for number in range(300)))
    writer.close()

    assert len(told(kept)) == 300
    assert len(records(kept)) < 10
    assert sound(kept)


async def test_what_is_known_of_a_chain_does_not_wait_for_a_record_that_is_being_written(kept: bucket.Bucket) -> None:
    book, writes, answered = chains.Ledger(kept, WHERE, "main", bucket.Clock()), threading.Event(), threading.Event()
    first = await book.append(CHAIN, [fact(0)])

    def write(_key: str) -> None:
        writes.set()
        assert answered.wait(30)

    kept.before = write
    appending = asyncio.ensure_future(book.append(CHAIN, [fact(1)]))
    await asyncio.to_thread(writes.wait, 30)
    found = await asyncio.wait_for(book.load(CHAIN), 10)
    answered.set()

    assert (found, (await appending).sequence) == (first, 2)


async def test_a_record_is_bounded(kept: bucket.Bucket, opened: Opened) -> None:
    writer = opened()
    await writer.append(CHAIN, [fact(number) for number in range(3 * batch.FACTS)], state("1"))
    await writer.append(CHAIN, [fact(10_000 + number, changed="x" * 600_000) for number in range(3)])

    sizes = [len(codec.read(data).facts) for _, data in records(kept) if data]
    assert sizes == [batch.FACTS, batch.FACTS, batch.FACTS, 1, 1, 1]
    assert [codec.read(data).state for _, data in records(kept) if data][1:3] == [(), state("1")]
    assert sound(kept)


async def test_time_never_goes_back(kept: bucket.Bucket, opened: Opened) -> None:
    await opened().append(CHAIN, [fact(1)])
    clock = bucket.Clock()
    clock.now -= datetime.timedelta(days=1)
    await chains.Ledger(kept, WHERE, "main", clock, threads=0).append(CHAIN, [fact(2)])

    assert sound(kept)


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_an_answer_that_was_lost(kept: bucket.Bucket, opened: Opened, times: int) -> None:
    kept.lose_answers(times)
    writer = opened()
    for number in range(6):
        await writer.append(CHAIN, [fact(number)], state(str(number)))

    assert told(kept) == [fact(number).id for number in range(6)]
    assert sound(kept)


async def test_a_store_that_is_down_loses_nothing(kept: bucket.Bucket, opened: Opened) -> None:
    writer = opened()
    await writer.append(CHAIN, [fact(1)])
    kept.down = "no answer"
    with pytest.raises(edge.Unavailable) as caught:
        await writer.append(CHAIN, [fact(2)])
    kept.down = None
    await writer.append(CHAIN, [fact(2)])

    assert caught.value.reason == Reason.LEDGER_UNAVAILABLE
    assert told(kept) == [fact(1).id, fact(2).id]


async def test_two_operators_write_at_once(kept: bucket.Bucket, opened: Opened) -> None:
    """Both of one term, as a person's command beside the leader: each goes on behind the other."""
    one, other = opened(), opened()
    await one.load(CHAIN)
    await other.load(CHAIN)
    for number in range(20):
        await (one if number % 3 else other).append(CHAIN, [fact(number)])

    assert told(kept) == [fact(number).id for number in range(20)]
    assert sound(kept)


async def test_who_is_deposed_stops(kept: bucket.Bucket, opened: Opened) -> None:
    old, new = opened(), opened()
    assert await old.begin("one") == 1
    await old.append(CHAIN, [fact(1)])
    assert await new.begin("two") == 2
    await new.append(CHAIN, [fact(2)])
    for number in (3, 4):
        with pytest.raises(edge.Unavailable) as caught:
            await old.append(CHAIN, [fact(number)])
        assert caught.value.reason == Reason.NOT_LEADING
    await new.append(CHAIN, [fact(5)])

    assert told(kept) == [fact(number).id for number in (1, 2, 5)]
    assert sound(kept)
    assert sound(kept, new.operators)


async def test_two_that_begin_at_once_have_two_terms(kept: bucket.Bucket, opened: Opened) -> None:
    one, other = opened(), opened()
    numbers = []

    def meanwhile(_key: str) -> None:
        kept.before = lambda _: None
        data = codec.write(
            ledger_record.follow(
                one.operators,
                None,
                None,
                [],
                [],
                now=datetime.datetime(2026, 10, 1, tzinfo=datetime.UTC),
                term=1,
                index=None,
            )
        )
        kept.create("", one.operators.key(1), data)

    kept.before = meanwhile
    numbers.append(await one.begin("one"))
    numbers.append(await other.begin("two"))

    assert numbers == [2, 3]
    assert sound(kept, one.operators)


async def test_the_fence_is_asked_before_each_write(kept: bucket.Bucket, opened: Opened) -> None:
    def fence() -> None:
        raise edge.Unavailable(Reason.NOT_LEADING, "the lease is old")

    with pytest.raises(edge.Unavailable, match="the lease is old"):
        await opened(fence=fence).append(CHAIN, [fact(1)])

    assert not kept.kept


async def test_snapshots_save_reading(kept: bucket.Bucket, opened: Opened) -> None:
    writer = opened()
    for number in range(2 * chains.SNAPSHOT + 10):
        await writer.append(CHAIN, [fact(number)])
    kept.asked.clear()
    reader = opened()
    head = await reader.load(CHAIN, writer.anchors()[CHAIN])

    assert head == writer.head(CHAIN)
    assert reader.index(CHAIN) == writer.index(CHAIN)
    assert len(kept.asked) < 20
    assert sound(kept)
    kept.asked.clear()
    assert await opened().load(CHAIN) == head
    assert len(kept.asked) < 50


async def test_a_snapshot_that_is_gone_is_folded_anew(kept: bucket.Bucket, opened: Opened) -> None:
    writer = opened()
    for number in range(2 * chains.SNAPSHOT + 10):
        await writer.append(CHAIN, [fact(number)])
    for lost in [key for key in kept.kept if key.startswith("blobs/")]:
        del kept.kept[lost]
        reader = opened()
        await reader.load(CHAIN)

        assert reader.index(CHAIN) == writer.index(CHAIN)


@pytest.mark.parametrize(
    ("harm", "kind"),
    [
        pytest.param(lambda kept: kept.kept.pop(CHAIN.key(9)), integrity.FlawKind.TRUNCATED, id="the end cut off"),
        pytest.param(lambda kept: kept.kept.pop(CHAIN.key(5)), integrity.FlawKind.HOLE, id="a hole"),
        pytest.param(
            lambda kept: kept.put("", CHAIN.key(5), kept.kept[CHAIN.key(5)][-1] + b" "), integrity.FlawKind.UNREADABLE, id="a byte"
        ),
        pytest.param(lambda kept: kept.put("", CHAIN.key(9), b"{}"), integrity.FlawKind.UNREADABLE, id="the head's byte"),
        pytest.param(lambda kept: kept.put("", CHAIN.key(5), kept.kept[CHAIN.key(6)][-1]), integrity.FlawKind.MISPLACED, id="swapped"),
        pytest.param(lambda kept: kept.kept.clear(), integrity.FlawKind.TRUNCATED, id="everything gone"),
    ],
)
@pytest.mark.parametrize("forgets", [True, False], ids=["as MinIO", "as versitygw"])
async def test_what_was_tampered_with_holds_until_accepted(
    kept: bucket.Bucket, opened: Opened, harm: Callable[[bucket.Bucket], object], kind: integrity.FlawKind, forgets: bool
) -> None:
    kept.forgets = forgets
    writer = opened()
    for number in range(9):
        await writer.append(CHAIN, [fact(number)])
    anchors = dict(writer.anchors())
    harm(kept)
    leader = opened(anchors=anchors)
    with pytest.raises(appender.Tampered) as caught:
        await leader.load(CHAIN)
    assert kind in {flaw.kind for flaw in caught.value.flaws}
    with pytest.raises(appender.Tampered):
        await leader.append(CHAIN, [fact(100)])
    assert leader.anchors() == anchors

    await opened(anchors=anchors).accept(CHAIN, ALICE, "restored from a copy")

    await leader.load(CHAIN)
    await leader.append(CHAIN, [fact(100)])
    again = opened(anchors=anchors)
    assert await again.load(CHAIN) == leader.head(CHAIN)
    flaws = integrity.check(CHAIN, records(kept), anchors=anchors.values())
    assert flaws
    assert all(flaw.accepted for flaw in flaws)


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda data, again: data + b" " * again, id="Unreadable"),
        pytest.param(lambda data, again: data.replace(b'"seen":', b'"seen" :' if again == 1 else b'"seen":  '), id="Unreadable, as long"),
        pytest.param(lambda data, again: data.replace(b'"name":"alice"', b'"name":"mallo%d"' % again), id="Unchained"),
    ],
)
async def test_who_accepts_a_changed_record_has_not_accepted_what_it_is_changed_to_later(
    kept: bucket.Bucket, opened: Opened, harm: Callable[[bytes, int], bytes]
) -> None:
    writer = opened()
    for number in range(5):
        await writer.append(CHAIN, [dataclasses.replace(fact(number), actor=ALICE)])
    whole = kept.kept[CHAIN.key(3)][-1]
    assert whole
    assert harm(whole, 1) != harm(whole, 2) != whole
    kept.put("", CHAIN.key(3), harm(whole, 1))
    found = integrity.check(CHAIN, records(kept))
    await opened().accept(CHAIN, ALICE, "restored from a copy", flaws=found)
    await opened().load(CHAIN)
    assert all(flaw.accepted for flaw in integrity.check(CHAIN, records(kept)))

    kept.put("", CHAIN.key(3), harm(whole, 2))

    with pytest.raises(appender.Tampered):
        await opened().load(CHAIN)
    assert not all(flaw.accepted for flaw in integrity.check(CHAIN, records(kept)))


async def test_a_number_that_was_deleted_is_found_when_it_is_written(kept: bucket.Bucket, opened: Opened) -> None:
    """versitygw refuses to create what was deleted, and reads 404."""
    kept.forgets = False
    first, second = opened(), opened()
    await first.append(CHAIN, [fact(1)])
    await second.load(CHAIN)
    await first.append(CHAIN, [fact(2)])
    kept.delete("", CHAIN.key(2))
    with pytest.raises(appender.Tampered) as caught:
        await second.append(CHAIN, [fact(3)])
    assert {integrity.FlawKind.GONE, integrity.FlawKind.HOLE} == {flaw.kind for flaw in caught.value.flaws}
    await second.accept(CHAIN, ALICE, "an accident", flaws=caught.value.flaws)
    await second.append(CHAIN, [fact(3)])

    assert [number for number, _ in records(kept)] == [1, 3, 4]
    assert await opened().load(CHAIN) == second.head(CHAIN)


async def test_what_is_written_while_the_end_is_looked_for_is_no_hole(kept: bucket.Bucket, opened: Opened) -> None:
    writer = opened()
    asked = []

    class Racing(bucket.Bucket):
        def get(self, _bucket: str, key: str) -> bytes | None:
            found = super().get(_bucket, key)
            asked.append(key)
            if found is None:  # written right after it was looked for
                kept.kept.update(later)
            return found

    racing = Racing()
    for number in range(5):
        await writer.append(CHAIN, [fact(number)])
    later = dict(kept.kept)
    kept.kept.clear()
    racing.kept = kept.kept

    head = await chains.Ledger(racing, WHERE, "main", bucket.Clock(), threads=0).load(CHAIN)
    assert head == writer.head(CHAIN)


async def test_a_store_that_ignores_conditions_is_refused(kept: bucket.Bucket, opened: Opened) -> None:
    await opened().prove()
    await opened().prove()
    kept.ignores_conditions = True
    with pytest.raises(edge.Unavailable, match="ignores If-None-Match"):
        await opened().prove()


async def test_a_registry_belongs_to_one_cluster(kept: bucket.Bucket, opened: Opened) -> None:
    assert await opened().claim("cluster-a") == 1
    assert await opened().claim("cluster-a") == 1
    with pytest.raises(edge.Unavailable, match="take-over") as caught:
        await opened().claim("cluster-b")
    assert caught.value.reason == Reason.REGISTRY_TAKEN
    assert await opened().take_over("cluster-b", ALICE) == 2
    assert await opened().claim("cluster-b") == 2
    with pytest.raises(edge.Unavailable):
        await opened().claim("cluster-a")

    (record,) = [codec.read(data) for _, data in records(kept, opened().operators) if data]
    assert [(one.action, dict(one.detail)) for one in record.facts] == [
        (Action.TAKEN_OVER, {"before": "cluster-a", "after": "cluster-b", "epoch": 2})
    ]


async def test_retention_goes_with_each_record(kept: bucket.Bucket, opened: Opened) -> None:
    await opened(retain=("GOVERNANCE", datetime.timedelta(days=1))).append(CHAIN, [fact(1)])

    assert kept.retained[CHAIN.key(1)].mode == "GOVERNANCE"


async def test_a_caller_that_gives_up_takes_nothing_with_it(kept: bucket.Bucket) -> None:
    writer = chains.Ledger(kept, WHERE, "main", bucket.Clock(), threads=4)
    tasks = [asyncio.ensure_future(writer.append(CHAIN, [fact(number)])) for number in range(50)]
    await asyncio.sleep(0)
    chosen = random.Random(1).sample(range(50), 20)
    for number in chosen:
        tasks[number].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    writer.close()

    assert all(isinstance(result, appender.Head | asyncio.CancelledError) for result in results)
    assert {fact(number).id for number in range(50) if number not in chosen} <= set(told(kept))
    assert len(told(kept)) == len(set(told(kept)))
    assert sound(kept)


def test_what_is_no_acceptance_accepts_nothing() -> None:
    moment = datetime.datetime(2026, 10, 1, tzinfo=datetime.UTC)
    rows = [1, {"kind": [], "sequence": 1, "head": None}, {"kind": "Hole", "sequence": {}}, {"kind": "Hole", "sequence": 3, "head": None}]
    for flaws, found in (("x", []), (rows, [("Hole", 3, None)])):
        one = ledger_record.entry(Action.ACCEPTED, ALICE, ledger_record.Subject("Ledger", "fraud", "u", 0), detail={"flaws": flaws})
        assert list(integrity.accepts(ledger_record.Record(CHAIN, 9, None, moment, moment, 1, (one,), (), None))) == found


def test_the_index_is_never_surprised() -> None:
    """Facts of every sort with nothing of what they should tell."""
    moment = datetime.datetime(2026, 10, 1, tzinfo=datetime.UTC)
    for detail in ({}, {"version": 1, "stage": [], "gate": {}, "phase": "Succeeded", "flaws": "x"}, {"flaws": [1, {"kind": []}]}):
        found = index.Index()
        for number, action in enumerate(Action, 1):
            one = ledger_record.entry(action, ALICE, ledger_record.Subject("Promotion", "x", "u", number), detail=detail)
            fold.add(found, ledger_record.Record(CHAIN, number, None, moment, moment, 1, (one,), (), None))
        assert index.Index.load(found.dump()) == found


@pytest.mark.parametrize("seed", range(20))
async def test_any_order_of_trouble(kept: bucket.Bucket, opened: Opened, seed: int) -> None:
    """Operators that come, die and are deposed, answers that are lost, a store that is away: what was promised is there once."""
    dice = random.Random(seed)
    kept.forgets = dice.random() < 0.5
    operators = [opened(snapshot_every=5)]
    promised: set[str] = set()
    asked: set[str] = set()

    def before(_key: str) -> None:
        if dice.random() < 0.1:
            raise edge.Unavailable(Reason.STORE_UNREACHABLE, "it never arrived")

    def after(_key: str) -> None:
        if dice.random() < 0.2:
            raise edge.Unavailable(Reason.STORE_UNREACHABLE, "the answer was lost")

    kept.before, kept.after = before, after
    for step in range(150):
        writer = dice.choice(operators)
        try:
            if dice.random() < 0.05:
                operators.append(opened(snapshot_every=5))
                await operators[-1].begin(f"operator-{step}")
            facts = [fact(dice.randrange(step + 1)) for _ in range(dice.randrange(4))]
            asked |= {one.id for one in facts}
            await writer.append(CHAIN, facts, dice.choice([None, state("1"), state("2")]))
            promised |= {one.id for one in facts}
        except appender.Tampered:
            raise
        except edge.Unavailable as error:
            if error.reason == Reason.NOT_LEADING:
                operators.remove(writer)
                operators = operators or [opened(snapshot_every=5)]

    kept.before = kept.after = lambda _key: None
    found = told(kept)
    assert promised <= set(found) <= asked
    assert len(found) == len(set(found))
    assert sound(kept)
    assert sound(kept, operators[0].operators)


async def test_heads_that_moved_are_signed_now_and_then(kept: bucket.Bucket, opened: Opened) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    writer, often = opened(key=key), datetime.timedelta(minutes=10)
    assert await writer.sign(often) == 0
    await writer.append(CHAIN, [fact(1)])
    assert await writer.sign(often) == 1
    await writer.append(CHAIN, [fact(2)])
    assert await writer.sign(often) == 0
    assert await writer.sign(datetime.timedelta(0)) == 1
    assert await writer.sign(datetime.timedelta(0)) == 0

    for number in (1, 2):
        data = kept.get("", checkpoint.key(CHAIN, number))
        assert data
        found = checkpoint.read(data, {signature.key_id(key.public_key()): key.public_key()})
        assert found.head == digest.named(kept.get("", CHAIN.key(number)) or b"")
    assert await opened().load(CHAIN) == writer.head(CHAIN)


async def test_the_ledger_as_an_installation_wants_it(kept: bucket.Bucket, tmp_path: pathlib.Path) -> None:
    private = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "ledger.pem").write_bytes(private)
    config = settings.Ledger(registry="west", key_file=str(tmp_path / "ledger.pem"), retention=datetime.timedelta(days=1))
    writer = chains.from_settings(config, kept, WHERE, bucket.Clock(), threads=0)
    with pytest.raises(edge.Unavailable, match="no Object Lock"):
        await writer.prove()
    kept.locked = True
    await writer.prove()
    await writer.append(writer.chain("risk", "fraud"), [fact(1)])

    assert await writer.sign(config.checkpoints) == 1
    assert set(kept.retained) == {
        "ledger/west/risk/fraud/0000000001.json",
        "ledger/west/risk/fraud/checkpoints/0000000001.json",
    }
    (tmp_path / "ledger.pem").write_text("no key")
    with pytest.raises(ValueError):
        chains.from_settings(config, kept, WHERE, bucket.Clock())


async def test_a_takeover_is_recorded_before_it_is_so_and_the_cluster_that_had_it_writes_nothing_more(
    kept: bucket.Bucket, opened: Opened
) -> None:
    old, new = opened(), opened()
    await old.claim("cluster-a")
    await old.begin("one")
    seen = list[str]()
    kept.after = seen.append
    await new.take_over("cluster-b", ALICE)
    kept.after = lambda _: None
    with pytest.raises(edge.Unavailable) as told:
        await old.still_mine("cluster-a")
    before = dict(kept.kept)
    with pytest.raises(edge.Unavailable):
        await old.append(CHAIN, [fact(1)])
    with pytest.raises(edge.Unavailable):
        await old.end("one")

    assert told.value.reason == Reason.REGISTRY_TAKEN
    assert [key.rpartition("/")[2] for key in seen] == ["0000000002.json", "registry.json"]
    assert kept.kept == before
    await new.still_mine("cluster-b")
    assert sound(kept, new.operators)
