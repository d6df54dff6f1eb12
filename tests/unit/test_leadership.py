"""What a leader does beside its keys: the policies are tried, and the ends of the chains are kept."""

from __future__ import annotations

import asyncio
import collections
from typing import Any, NoReturn

import pytest

from modelyard import edge, leadership, policy_guard, settings
from modelyard.api.reason import Reason
from modelyard.content import location
from modelyard.edge import metrics
from modelyard.edge.bucket import chains
from modelyard.edge.cluster import client, term
from modelyard.ledger import anchors, record
from tests.fakes import bucket, clock
from tests.fakes.world import World

RISK = record.Chain("main", "risk", "fraud")
RETAIL = record.Chain("main", "retail", "churn")


class Probe:
    """Policies that are tried one answer at a time."""

    def __init__(self) -> None:
        self.begun = 0
        self.answers: collections.deque[list[str]] = collections.deque()
        self.go = asyncio.Semaphore(0)

    async def __call__(self) -> list[str]:
        self.begun += 1
        await self.go.acquire()
        return self.answers.popleft()


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_asks_while_a_probe_is_under_way_gets_an_answer_that_began_later() -> None:
    probe = Probe()
    probe.answers.extend([["promotions"], []])
    guard = policy_guard.Guard(probe, lambda: None)

    early = asyncio.ensure_future(guard.prove())
    await settled()
    late = [asyncio.ensure_future(guard.prove()) for _ in range(3)]
    await settled()
    begun_before = probe.begun
    probe.go.release()
    probe.go.release()
    first, *others = await asyncio.gather(early, *late)

    assert begun_before == 1
    assert first is not None
    assert "promotions" in first.message
    assert others == [None, None, None]
    assert probe.begun == 2


async def test_whoever_waits_for_the_policies_is_told_when_the_answer_changes() -> None:
    probe, told = Probe(), list[int]()
    probe.answers.extend([[], [], ["status"]])
    guard = policy_guard.Guard(probe, lambda: told.append(probe.begun))
    for _ in range(3):
        probe.go.release()
        await guard.prove()

    assert told == [1, 3]


async def test_policies_that_do_not_guard_are_counted_and_trouble_with_trying_them_is_not() -> None:
    class Away:
        """Policies that are tried, and the API server does not answer."""

        async def __call__(self) -> list[str]:
            raise edge.Unavailable(Reason.CLUSTER_UNAVAILABLE, "no answer")

    probe = Probe()
    probe.answers.extend([["status", "promotions"], []])
    guard = policy_guard.Guard(probe, lambda: None)
    before = guard.held
    found, counts = [], []
    for _ in range(2):
        probe.go.release()
        found.append(await guard.prove())
        counts.append(metrics.REGISTRY.get_sample_value("modelyard_policies_missing"))
    trouble = await policy_guard.Guard(Away(), lambda: None).prove()

    assert before is not None  # nobody is asked before they were tried once
    assert (before.reason, trouble and trouble.reason) == (Reason.PROGRESSING, Reason.CLUSTER_UNAVAILABLE)
    assert found[0] is not None
    assert (found[0].reason, "promotions, status" in found[0].message, found[1]) == (Reason.POLICIES_MISSING, True, None)
    assert counts == [2, 0]
    assert metrics.REGISTRY.get_sample_value("modelyard_policies_missing") == 0


def leads(world: Any, book: chains.Ledger) -> leadership.Leadership:
    config = settings.Settings(operator_namespace="yard")
    return leadership.Leadership(world, book, config, policy_guard.Guard(Probe(), lambda: None), lambda _: None)


async def test_the_ends_of_the_chains_are_kept_as_the_command_line_reads_them_and_read_back() -> None:
    world, kept = World(), bucket.Bucket()
    book = chains.Ledger(kept, location.Place("own", ""), "main", lambda: world.now, threads=0)
    book.term = 1
    heads = {chain: await book.append(chain, [fact(chain)]) for chain in (RISK, RETAIL)}
    leader = leads(world, book)

    await leader.write_anchors()
    calls = world.calls
    await leader.write_anchors()

    found = [one async for one in world.list(client.CONFIG_MAP, "yard", labelSelector=anchors.SELECTOR)]
    assert [one["metadata"]["name"] for one in found] == ["modelyard-anchors.retail", "modelyard-anchors.risk"]
    read = {chain: one for each in found for chain, one in anchors.read(each["data"][anchors.KEY], "here").items()}
    assert {chain: (one.sequence, one.head) for chain, one in read.items()} == {chain: (1, head.digest) for chain, head in heads.items()}
    assert world.calls == calls + 1  # only this test's list
    assert await leader.read_anchors() == {
        chain: one.__class__(1, one.head, f"the ConfigMap {anchors.config_map(chain)}") for chain, one in read.items()
    }


async def test_a_kept_end_that_cannot_be_read_is_written_anew() -> None:
    world, kept = World(), bucket.Bucket()
    book = chains.Ledger(kept, location.Place("own", ""), "main", lambda: world.now, threads=0)
    book.term = 1
    await book.append(RISK, [fact(RISK)])
    about = {"name": anchors.config_map(RISK), "namespace": "yard", "labels": anchors.LABELS}
    world.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": {anchors.KEY: "torn"}})
    leader = leads(world, book)

    assert await leader.read_anchors() == {}
    await leader.write_anchors()

    assert set(await leader.read_anchors()) == {RISK}


def test_a_leader_whose_registry_was_taken_over_meanwhile_stops() -> None:
    async def main() -> None:
        world, kept = World(), bucket.Bucket()
        world.around["kube-system"] = {"metadata": {"name": "kube-system", "uid": "here"}}
        book, other = (chains.Ledger(kept, location.Place("own", ""), "main", lambda: world.now, threads=0) for _ in range(2))
        leader = leads(world, book)
        began = term.Term("pod-a", 1, None, None, None)
        await leader.begin(began)
        *others, watching = leader.works()
        for one in others:
            one.close()
        stops = asyncio.ensure_future(watching)
        await asyncio.sleep(60)
        assert not stops.done()

        await other.take_over("yonder")

        with pytest.raises(edge.Unavailable, match="belongs to the cluster yonder, and this is here"):
            await asyncio.wait_for(stops, 60)
        beginning = asyncio.ensure_future(leader.begin(began))
        await asyncio.sleep(1)
        assert leader.trouble is not None
        assert "modelyard restore --take-over" in leader.trouble
        beginning.cancel()

    clock.run(main)


async def test_a_mistake_in_trying_the_policies_is_said_and_ends_no_term() -> None:
    class Broken:
        """Policies that are tried, and the operator makes a mistake."""

        async def __call__(self) -> list[str]:
            raise KeyError("metadata")

    held = await policy_guard.Guard(Broken(), lambda: None).prove()

    assert held is not None
    assert held.reason == Reason.INTERNAL_ERROR


def test_a_mistake_in_what_a_leader_does_beside_ends_no_term() -> None:
    async def main() -> None:
        world, kept = World(), bucket.Bucket()
        world.around["kube-system"] = {"metadata": {"name": "kube-system", "uid": "here"}}
        book = chains.Ledger(kept, location.Place("own", ""), "main", lambda: world.now, threads=0)
        leader = leads(world, book)
        await leader.begin(term.Term("pod-a", 1, None, None, None))

        class Wrong(World):
            """An API server whose answers the operator makes a mistake with."""

            async def get(self, *_: object, **__: object) -> NoReturn:
                raise KeyError("metadata")

            apply = get

        world.__class__ = Wrong
        kept.down = "no answer"
        anchoring, guarding, signing, owning = leader.works()
        guarding.close()
        works = [asyncio.ensure_future(work) for work in (anchoring, signing)]
        owning.close()
        await asyncio.sleep(120)

        assert not any(work.done() for work in works)
        for work in works:
            work.cancel()

    clock.run(main)


def fact(chain: record.Chain) -> record.LedgerEntry:
    return record.entry(
        record.Action.MODEL_CREATED, record.NOBODY_KNOWS, record.Subject("Model", chain.model, "uid", 1), "created", "sha256:" + "0" * 64
    )
