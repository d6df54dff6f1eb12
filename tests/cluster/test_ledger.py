"""The ledger on every store it is said to work with: two leaders, lost answers, kills, retention, and what old versions betray."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import pathlib
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.content import location
from modelyard.edge.bucket import appender, archive, chains, sources
from modelyard.edge.s3 import store
from modelyard.ledger import codec, integrity
from modelyard.ledger.record import OPERATOR, Actor, Authenticity, Chain
from tests.cluster import appends, stores

WHERE = location.Place("modelyard", "")
PERSON = Actor("alice", Authenticity.AUTHENTICATED)
KILLS, FACTS = 50, 500


@pytest.fixture(scope="module", params=stores.KINDS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[stores.Running]:
    """A store with the operator's bucket, once with Object Lock, once with versions alone, once with neither."""
    with stores.run(request.param, tmp_path_factory.mktemp(request.param)) as running:
        client = running.open()
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(edge.Unavailable):
                client.bucket_exists("modelyard")
                break
            assert time.monotonic() < deadline
        client.make_bucket("modelyard", object_lock=True)
        client.make_bucket("versions", versioning=True)
        client.make_bucket("plain")
        yield running


@pytest.fixture
def client(running: stores.Running) -> store.Store:
    return running.open()


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@pytest.fixture
def opened(client: store.Store) -> Iterator[Callable[..., chains.Ledger]]:
    """An operator that starts."""
    started = []

    def start(bucket: store.Objects = client, where: location.Place = WHERE, **more: Any) -> chains.Ledger:
        started.append(chains.Ledger(bucket, where, "main", now, **more))
        return started[-1]

    yield start
    for one in started:
        one.close()


Opened = Callable[..., chains.Ledger]


def verified(client: store.Store, chain: Chain, where: location.Place = WHERE) -> list[str]:
    """The ids of all facts of a chain that has nothing wrong with it."""
    source = sources.Bucket(client, where)
    verdict = archive.verify(source, chain)
    assert verdict.flaws == ()
    data = [source.get(chain.key(number)) for number in range(1, verdict.records + 1)]
    return [one.id for each in data if each for one in codec.read(each).facts]


@pytest.mark.parametrize("bucket", ["modelyard", "versions", "plain"])
async def test_every_bucket_that_refuses_a_second_create_is_good_enough(opened: Opened, client: store.Store, bucket: str) -> None:
    where = location.Place(bucket, "some/where/")
    writer = opened(where=where)
    await writer.prove()
    await writer.prove()
    assert await writer.claim("cluster") == 1
    await writer.begin("operator")
    chain = writer.chain("risk", "fraud")
    await asyncio.gather(*(writer.append(chain, [appends.fact(number)]) for number in range(100)))

    assert len(verified(client, chain, where)) == 100
    assert await opened(where=where).load(chain) == writer.head(chain)


async def test_two_leaders_write_at_once(opened: Opened, client: store.Store) -> None:
    """Both believe that they lead in the same term: every number has one winner, and no fact is lost or told twice."""
    writers = [opened(), opened()]
    chain = writers[0].chain("risk", "two-leaders")
    for number in range(60):
        both = (
            writer.append(chain, [appends.fact(2 * number + index), appends.fact(10_000 + number)]) for index, writer in enumerate(writers)
        )
        await asyncio.gather(*both)

    told = verified(client, chain)
    assert sorted(told) == sorted(appends.fact(number).id for number in [*range(120), *range(10_000, 10_060)])


async def test_a_leader_that_was_deposed_writes_nothing_more(opened: Opened, client: store.Store) -> None:
    old, new = opened(), opened()
    await old.begin("old")
    chain = old.chain("risk", "deposed")
    await old.append(chain, [appends.fact(0)])
    await new.begin("new")
    results = await asyncio.gather(
        *(old.append(chain, [appends.fact(number)]) for number in range(1, 50)),
        *(new.append(chain, [appends.fact(100 + number)]) for number in range(50)),
        return_exceptions=True,
    )

    assert all(isinstance(result, appender.Head) for result in results[49:])
    lost = [result for result in results[:49] if isinstance(result, edge.Unavailable)]
    assert all(result.reason == Reason.NOT_LEADING for result in lost)
    with pytest.raises(edge.Unavailable) as caught:
        await old.append(chain, [appends.fact(99)])
    assert caught.value.reason == Reason.NOT_LEADING
    told = set(verified(client, chain))
    assert {appends.fact(100 + number).id for number in range(50)} <= told
    assert appends.fact(99).id not in told


class Losing:
    """A store whose every third answer to a write is lost after the write; a seam in front of the real one."""

    def __init__(self, behind: store.Store) -> None:
        self._behind = behind
        self.get, self.put, self.list, self.locks = behind.get, behind.put, behind.list, behind.locks
        self.lost = 0
        self._asked = 0

    def create(self, bucket: str, key: str, data: bytes, retain: store.Retention | None = None) -> bool:
        done = self._behind.create(bucket, key, data, retain)
        self._asked += 1
        if self._asked % 3 == 0:
            self.lost += 1
            raise edge.Unavailable(Reason.STORE_UNREACHABLE, "the connection broke")
        return done


async def test_answers_that_are_lost(opened: Opened, client: store.Store) -> None:
    losing = Losing(client)
    writers = [opened(losing, snapshot_every=10), opened(losing, snapshot_every=10)]
    chain = writers[0].chain("risk", "lost-answers")
    for number in range(60):
        await writers[number % 2].append(chain, [appends.fact(number)])

    assert verified(client, chain) == [appends.fact(number).id for number in range(60)]
    assert losing.lost > 20


@pytest.mark.slow
def test_fifty_kills_during_five_hundred_facts(running: stores.Running, client: store.Store) -> None:
    dice = random.Random(7)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "tests.cluster.appends", str(running.address.endpoint), "killed"]
    chain = Chain("main", "risk", "killed")
    reached, kills = 0, 0
    while kills < KILLS:
        target = FACTS * (kills + 1) // KILLS
        program = subprocess.Popen([*command, "0", str(target)], stdout=subprocess.PIPE, text=True, env=environment)
        assert program.stdout is not None
        patience = dice.randint(0, 3)
        for line in program.stdout:
            if int(line) >= reached:
                patience -= 1
            if patience < 0:
                break
        time.sleep(dice.random() / 500)  # the kill is to fall anywhere in a write, not behind it
        program.kill()
        program.wait()
        program.stdout.close()
        reached, kills = max(0, target - 30), kills + 1
    subprocess.run([*command, "0", str(FACTS)], check=True, stdout=subprocess.DEVNULL, env=environment)

    assert sorted(verified(client, chain)) == sorted(appends.fact(number).id for number in range(FACTS))
    assert verified(client, Chain("main", "_", OPERATOR))


async def test_a_record_that_was_deleted_is_found(opened: Opened, client: store.Store) -> None:
    """At versitygw the number cannot be created again; at MinIO it can, and the old version tells."""
    where = location.Place("versions", "deleted/")
    writer, behind = opened(where=where), opened(where=where)
    chain = writer.chain("risk", "fraud")
    await writer.append(chain, [appends.fact(1)])
    await behind.load(chain)
    await writer.append(chain, [appends.fact(2)])
    client.delete("versions", f"deleted/{chain.key(2)}")

    with contextlib.suppress(appender.Tampered):
        await behind.append(chain, [appends.fact(3)])
    with pytest.raises(appender.Tampered):
        await opened(where=where).load(chain, writer.anchors()[chain])
    verdict = archive.verify(sources.Bucket(client, where), chain)
    assert integrity.FlawKind.VERSIONS in {flaw.kind for flaw in verdict.flaws}
    person = opened(where=where)
    await person.accept(chain, PERSON, "an accident", writer.anchors().values(), verdict.flaws)
    await person.append(chain, [appends.fact(4)])

    after = archive.verify(sources.Bucket(client, where), chain, anchors=writer.anchors().values())
    assert after.flaws
    assert after.sound
    assert [one.detail["reason"] for record in after.accepted for one in record.facts] == ["an accident"]
    await opened(where=where).load(chain, writer.anchors()[chain])


async def test_retention_holds_each_record(opened: Opened, client: store.Store) -> None:
    writer = opened(retain=("COMPLIANCE", datetime.timedelta(minutes=5)))
    chain = writer.chain("risk", "retained")
    await writer.append(chain, [appends.fact(1)])
    (kept,) = client.versions("modelyard", chain.key(1))

    with pytest.raises(edge.Unavailable):
        client.delete("modelyard", chain.key(1), kept.version_id)

    assert client.get("modelyard", chain.key(1)) is not None
    assert len(verified(client, chain)) == 1


@pytest.mark.parametrize("bucket", ["plain", "versions"])
async def test_retention_that_the_bucket_cannot_keep_is_refused_at_the_start(opened: Opened, bucket: str) -> None:
    """versitygw would write a record, and then say that it cannot keep it."""
    wanted = ("COMPLIANCE", datetime.timedelta(minutes=5))
    await opened(retain=wanted).prove()
    with pytest.raises(edge.Unavailable, match="no Object Lock"):
        await opened(where=location.Place(bucket, ""), retain=wanted).prove()


def test_an_export_of_the_bucket(opened: Opened, client: store.Store, tmp_path: pathlib.Path) -> None:
    async def written() -> chains.Ledger:
        writer = opened(snapshot_every=10)
        chain = writer.chain("risk", "exported")
        for number in range(35):
            await writer.append(chain, [appends.fact(number)])
        return writer

    writer = asyncio.run(written())
    chain = writer.chain("risk", "exported")
    count = archive.export(sources.Bucket(client, WHERE), tmp_path / "out", [chain], anchors=writer.anchors())

    verdict = archive.verify(sources.Folder(tmp_path / "out"), chain)
    assert (verdict.records, verdict.proven, verdict.flaws) == (35, 35, ())
    assert count >= 38
