from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard import edge
from modelyard.edge.cluster import client, elector, term
from tests.fakes.clock import START, Line, Server, Way, candidate, run

NEVER = Way(arrives=False)
Story = Callable[[], Coroutine[Any, Any, None]]


def at(seconds: float) -> datetime.datetime:
    """That moment of the wall clock, to the millisecond."""
    return START + datetime.timedelta(seconds=round(seconds, 3))


def about(moment: datetime.datetime | None, seconds: float) -> bool:
    return moment is not None and abs((moment - at(seconds)).total_seconds()) < 0.2


def held(name: str, renewed: float = 0, **more: Any) -> dict[str, Any]:
    """A Lease that somebody holds."""
    spec = {"holderIdentity": name, "renewTime": term.written(at(renewed)), "leaseTransitions": 4, "leaseDurationSeconds": 15}
    return {"metadata": {"name": "modelyard", "namespace": "yard", **more}, "spec": spec}


@contextlib.asynccontextmanager
async def holding(one: elector.Elector) -> AsyncIterator[asyncio.Task[str]]:
    task = asyncio.create_task(one.hold())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


def played(story: Story) -> Callable[[], None]:
    """A test in which waiting takes no time."""

    def test() -> None:
        run(story)

    test.__name__, test.__doc__ = story.__name__, story.__doc__
    return test


def now() -> float:
    return asyncio.get_running_loop().time()


@played
async def test_a_lease_that_was_let_go_is_taken_at_once() -> None:
    server = Server()
    server.put(held("", renewed=-60))
    one = candidate(Line(server), "one")

    began = await one.acquire()

    assert now() < 1
    assert one.leads()
    one.check()
    assert server.holder == "one"
    assert began == term.Term("one", 5, None, at(-60), at(-60))


@played
async def test_a_lease_that_is_missing_is_waited_for_as_if_somebody_held_it_and_then_made() -> None:
    server = Server()
    one = candidate(Line(server), "one")

    began = await one.acquire()

    assert 15 < now() < 17
    assert began == term.Term("one", 1, None, None, None)
    assert server.lease is not None
    assert "annotations" not in server.lease["metadata"]


@played
async def test_a_dead_leader_is_followed_sixteen_seconds_after_its_last_renewal_whatever_the_clocks_say() -> None:
    server = Server()
    server.put(held("old", renewed=3600))
    one = candidate(Line(server), "one", skew=-500)

    began = await one.acquire()

    assert 15 < now() < 16.5
    assert began == term.Term("one", 5, "old", at(3600), at(3600))


@played
async def test_who_stands_by_waits_as_long_as_the_leader_goes_on_and_follows_at_once_when_it_lets_go() -> None:
    server = Server()
    server.put(held(""))
    one, two = (candidate(Line(server), name) for name in ("one", "two"))
    first = await one.acquire()
    waiting = asyncio.create_task(two.acquire())
    async with holding(one):
        await asyncio.sleep(3600)
        assert not waiting.done()
        assert two.holder == "one"
    left = now()

    await one.release()
    second = await waiting

    assert now() - left < 1.5
    assert not one.leads()
    assert second.number == first.number + 1
    assert second.took_over_from is None
    assert about(second.previous_renewal, left)


@played
async def test_an_api_server_that_hangs_closes_the_fence_after_ten_seconds_and_ends_the_term() -> None:
    server = Server()
    server.put(held(""))
    line = Line(server)
    one = candidate(line, "one")
    await one.acquire()
    async with holding(one) as ended:
        await asyncio.sleep(60)
        line.way = lambda: NEVER
        await asyncio.sleep(6)
        one.check()
        why = await ended

    assert 68 < now() < 70.5
    assert "was not renewed for 10 s: cannot renew the Lease yard/modelyard: TimeoutError" in why
    with pytest.raises(edge.Unavailable) as refused:
        one.check()
    assert refused.value.reason == "ClusterUnavailable"


@played
async def test_an_outage_shorter_than_the_deadline_changes_nothing() -> None:
    server = Server()
    server.put(held(""))
    line = Line(server)
    one = candidate(line, "one")
    await one.acquire()
    async with holding(one) as ended:
        for _ in range(10):
            line.way = lambda: NEVER
            await asyncio.sleep(3.5)
            line.way = Way
            await asyncio.sleep(10)
            assert one.leads()
        assert not ended.done()


@played
async def test_a_renewal_is_one_request_and_what_somebody_else_adds_to_the_lease_stays() -> None:
    server = Server()
    server.put(held(""))
    line = Line(server)
    one = candidate(line, "one")
    await one.acquire()
    async with holding(one):
        before = line.requests
        await asyncio.sleep(100)
        assert 40 < line.requests - before < 52
        assert server.lease is not None
        server.lease["metadata"]["labels"] = {"seen": "yes"}
        server.put(server.lease)
        await asyncio.sleep(10)

        assert one.leads()
        assert server.lease["metadata"]["labels"] == {"seen": "yes"}


@played
async def test_any_exception_is_a_failed_renewal() -> None:
    def broken() -> Way:
        raise ZeroDivisionError("a mistake of ours")

    server = Server()
    server.put(held(""))
    line = Line(server)
    one = candidate(line, "one")
    await one.acquire()
    line.way = broken

    why = await one.hold()

    assert "a mistake of ours" in why
    assert not one.leads()


@pytest.mark.parametrize(
    ("lease", "why"),
    [
        (held("two"), "held by two"),
        (held(""), "held by nobody"),
        (None, "is gone"),
        (held("one", renewed=-100), "restored from a backup"),
    ],
    ids=["another holds it", "nobody holds it", "it was deleted", "it is older than what was written"],
)
def test_a_leader_that_finds_something_else_in_the_lease_stops_at_once(lease: dict[str, Any] | None, why: str) -> None:
    async def story() -> None:
        server = Server()
        server.put(held(""))
        one = candidate(Line(server), "one")
        await one.acquire()
        async with holding(one) as ended:
            await asyncio.sleep(60)
            server.put(lease)
            said = await ended

        assert now() < 63
        assert why in said
        assert not one.leads()

    run(story)


@played
async def test_a_renewal_counts_from_before_it_was_sent() -> None:
    server = Server()
    server.put(held(""))
    one = candidate(Line(server, lambda: Way(there=0.5, back=0.9)), "one")

    await one.acquire()
    sent = now() - 0.5 - 0.9
    await asyncio.sleep(sent + 9.9 - now())
    assert one.leads()
    await asyncio.sleep(0.2)

    assert not one.leads()


@played
async def test_a_lost_answer_does_not_lose_until_when_the_one_before_watched() -> None:
    ways = iter([Way(), Way(answered=False)])
    server = Server()
    server.put(held("", renewed=-60))
    one = candidate(Line(server, lambda: next(ways, Way())), "one")

    began = await one.acquire()

    assert began == term.Term("one", 5, None, at(-60), at(-60))
    assert one.leads()


@played
async def test_a_wall_clock_that_is_set_back_is_no_restored_backup() -> None:
    skew = 0.0
    server = Server()
    server.put(held(""))
    clock = asyncio.get_running_loop().time
    one = elector.Elector(Line(server), "yard", "modelyard", "one", clock=clock, now=lambda: at(clock() + skew))
    await one.acquire()
    async with holding(one) as ended:
        await asyncio.sleep(10)
        skew = -3600
        await asyncio.sleep(60)
        assert not ended.done()
        assert one.leads()


@played
async def test_what_nobody_watched_is_kept_over_crashes_until_it_is_settled() -> None:
    server = Server()
    server.put(held("dead", renewed=-100, annotations={"team": "yard"}))
    one, two, three = (candidate(Line(server), name) for name in ("one", "two", "three"))

    first = await one.acquire()
    second = await two.acquire()
    assert first.unsettled_since == second.unsettled_since == at(-100)
    assert second.previous_renewal is not None
    assert second.previous_renewal > at(10)
    async with holding(two):
        await asyncio.sleep(10)
        await two.settle()
        await two.settle()
        await asyncio.sleep(10)
        assert server.lease is not None
        assert server.lease["metadata"]["annotations"] == {"team": "yard"}
    await two.release()
    third = await three.acquire()

    assert third.unsettled_since == third.previous_renewal
    assert about(third.previous_renewal, now())


@played
async def test_a_clock_that_was_fast_is_remembered_until_it_is_as_late_as_that() -> None:
    server = Server()
    server.put(held("fast", renewed=600))
    one, two, three, four = (candidate(Line(server), name) for name in ("one", "two", "three", "four"))

    first = await one.acquire()
    async with holding(one):
        await one.settle()
        await asyncio.sleep(10)
    await one.release()
    assert server.lease is not None
    assert server.lease["metadata"]["annotations"] == {term.AHEAD: term.written(at(600))}
    second = await two.acquire()
    async with holding(two):
        await two.settle()
        await asyncio.sleep(600)
        await two.settle()
    await two.release()
    third = await three.acquire()
    async with holding(three):
        await three.settle()
    await three.release()
    assert server.lease["metadata"].get("annotations", {}) == {}
    fourth = await four.acquire()

    assert first.unsettled_since == second.unsettled_since == at(600)
    assert second.previous_renewal is not None
    assert second.previous_renewal < at(60)
    assert third.unsettled_since == third.previous_renewal
    assert fourth.unsettled_since == fourth.previous_renewal


@played
async def test_only_who_leads_settles_and_trouble_is_said() -> None:
    server = Server()
    server.put(held("", renewed=-60))
    line = Line(server)
    one = candidate(line, "one")
    with pytest.raises(edge.Unavailable, match="does not hold the Lease yard/modelyard"):
        await one.settle()
    await one.acquire()

    line.way = lambda: NEVER
    with pytest.raises(edge.Unavailable, match="could not be settled: the API server does not answer"):
        await one.settle()

    assert server.lease is not None
    assert term.UNSETTLED in server.lease["metadata"]["annotations"]


@played
async def test_letting_go_never_fails_and_leaves_anothers_lease_alone() -> None:
    server = Server()
    server.put(held("two"))
    line = Line(server)
    one = candidate(line, "one")

    await one.release()
    assert server.holder == "two"
    line.way = lambda: NEVER
    await one.release()

    assert one.trouble == "cannot let go of the Lease yard/modelyard: TimeoutError"


@played
async def test_a_namespace_that_does_not_exist_is_said_with_what_to_do() -> None:
    class Nowhere(Line):
        async def create(self, _: dict[str, Any]) -> dict[str, Any]:
            raise client.Refused(404, 'namespaces "yard" not found')

    one = candidate(Nowhere(Server()), "one")
    waiting = asyncio.create_task(one.acquire())
    await asyncio.sleep(30)
    waiting.cancel()

    assert one.trouble is not None
    assert one.trouble.endswith("create the namespace, or name another in MODELYARD_OPERATOR_NAMESPACE")


# --- several of them, in a bad world


@dataclasses.dataclass
class World:
    """Replicas that start, crash, are told to go, and cannot reach the API server at times."""

    dice: random.Random
    server: Server = dataclasses.field(default_factory=Server)
    alive: dict[str, elector.Elector] = dataclasses.field(default_factory=dict)
    terms: list[term.Term] = dataclasses.field(default_factory=list)
    bad: bool = True

    def way(self) -> Way:
        luck = self.dice.random()
        if not self.bad or luck < 0.6:
            return Way()
        if luck < 0.8:
            return Way(there=self.dice.choice([0.1, 1, 3, 6, 12]), back=self.dice.choice([0.1, 1, 3]))
        return Way(arrives=luck < 0.9, answered=False)

    def line(self) -> Line:
        """A connection with outages of its own."""
        outages = [(start, start + self.dice.choice([4, 9, 14, 30])) for start in self.dice.sample(range(300), 6)]

        def way() -> Way:
            return NEVER if self.bad and any(start <= now() < end for start, end in outages) else self.way()

        return Line(self.server, way)

    def look(self) -> None:
        """At no moment may two of those that live believe that they lead."""
        assert len([name for name, one in self.alive.items() if one.leads()]) <= 1

    async def replica(self, number: int) -> None:
        """Lives again and again, each time as somebody new."""
        for life in range(1000):
            await asyncio.sleep(self.dice.choice([0.1, 2, 10]))
            name = f"{number}-{life}"
            one = self.alive[name] = candidate(self.line(), name, skew=self.dice.uniform(-900, 900))
            ends = self.dice.choice([20, 60, 120]) if self.bad else 3600
            try:
                async with asyncio.timeout(ends):
                    self.terms.append(await one.acquire())
                    self.look()
                    await one.hold()
            except TimeoutError:
                if self.dice.random() < 0.5:  # told to go; else it just dies
                    await one.release()
            del self.alive[name]

    async def watcher(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(0.05)

    async def vandal(self) -> None:
        """Deletes the Lease at times."""
        while True:
            await asyncio.sleep(self.dice.choice([50, 100]))
            if self.bad:
                self.server.put(None)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(2, 3), st.booleans())
def test_never_two_lead_at_once_and_when_all_is_well_one_does(seed: int, replicas: int, deleted: bool) -> None:
    async def story() -> None:
        world = World(random.Random(seed))
        world.server.after = world.look
        lives = [world.replica(number) for number in range(replicas)]
        tasks = [asyncio.create_task(one) for one in (*lives, world.watcher(), *([world.vandal()] if deleted else []))]
        done, _ = await asyncio.wait(tasks, timeout=300)
        world.bad = False
        await asyncio.wait(tasks, timeout=160)
        for task in done:
            task.result()

        leading = [name for name, one in world.alive.items() if one.leads()]
        assert [world.server.holder] == leading
        if not deleted:
            numbers = [one.number for one in world.terms]
            assert numbers == sorted(set(numbers))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    run(story)
