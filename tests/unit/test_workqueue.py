from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Callable

from modelyard import edge, workqueue
from modelyard.api.reason import Reason


@contextlib.asynccontextmanager
async def running(queue: workqueue.Queue[str]) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_key_is_never_worked_on_twice_at_once_and_once_more_when_added_meanwhile() -> None:
    busy, most, done = 0, 0, 0
    go = asyncio.Event()

    async def work(_: str) -> None:
        nonlocal busy, most, done
        busy += 1
        most = max(most, busy)
        await go.wait()
        busy -= 1
        done += 1

    queue = workqueue.Queue(work, 4)
    async with running(queue):
        queue.add("a")
        await until(lambda: busy == 1)
        for _ in range(100):
            queue.add("a")
        go.set()
        await until(lambda: len(queue) == 0)

    assert (most, done) == (1, 2)


async def test_a_key_that_was_added_meanwhile_rests_for_as_long_as_its_work_took_and_keeps_nobody_waiting() -> None:
    now = asyncio.get_running_loop().time
    began: list[float] = []
    ended: list[float] = []
    others: list[float] = []

    async def work(key: str) -> None:
        if key != "busy":
            others.append(now())
            return
        began.append(now())
        queue.add("busy")
        queue.add("another")
        await asyncio.sleep(0.05)
        ended.append(now())

    queue = workqueue.Queue(work, 1)
    async with running(queue):
        queue.add("busy")
        await until(lambda: len(ended) >= 2)
        assert len(queue) >= 1

    assert began[1] - ended[0] >= (ended[0] - began[0]) * 0.95
    assert ended[0] <= others[0] <= began[1]


async def test_different_keys_are_worked_on_side_by_side_but_not_more_than_the_workers() -> None:
    busy, most = 0, 0
    go = asyncio.Event()

    async def work(_: str) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await go.wait()
        busy -= 1

    queue = workqueue.Queue(work, 3)
    async with running(queue):
        for key in "abcdefgh":
            queue.add(key)
        await until(lambda: busy == 3)
        go.set()
        await until(lambda: len(queue) == 0)

    assert most == 3


async def test_again_comes_back_and_the_earliest_wish_counts() -> None:
    times: list[str] = []

    async def work(key: str) -> datetime.timedelta | None:
        times.append(key)
        return datetime.timedelta(milliseconds=20) if times.count(key) < 3 else None

    queue = workqueue.Queue(work, 1)
    async with running(queue):
        queue.add("a")
        queue.add_after("b", datetime.timedelta(hours=1))
        queue.add_after("b", datetime.timedelta(milliseconds=1))
        queue.add_after("b", datetime.timedelta(hours=1))
        await until(lambda: times.count("a") == 3 and times.count("b") >= 1)


async def test_trouble_is_tried_again_with_backoff_and_does_not_stop_the_others() -> None:
    tries: list[str] = []

    async def work(key: str) -> None:
        tries.append(key)
        if key == "bad":
            raise edge.Unavailable(Reason.STORE_UNREACHABLE, "no answer")
        if key == "ours" and tries.count("ours") == 1:
            raise RuntimeError("a mistake of ours")

    queue = workqueue.Queue(work, 2)
    async with running(queue):
        queue.add("bad")
        queue.add("ours")
        queue.add("good")
        await until(lambda: tries.count("bad") >= 2 and tries.count("ours") == 2)

    assert tries.count("good") == 1


async def test_stopping_finishes_what_was_begun() -> None:
    began, finished = asyncio.Event(), False

    async def work(_: str) -> None:
        nonlocal finished
        began.set()
        await asyncio.sleep(0.05)
        finished = True

    queue = workqueue.Queue(work, 1)
    async with running(queue):
        queue.add("a")
        await began.wait()

    assert finished


async def test_no_owner_has_more_than_half_of_the_workers_and_owners_take_turns() -> None:
    busy: list[str] = []
    most: dict[str, int] = {}
    order: list[str] = []
    go = asyncio.Event()

    async def work(key: str) -> None:
        owner = key[0]
        order.append(key)
        busy.append(owner)
        most[owner] = max(most.get(owner, 0), busy.count(owner))
        await go.wait()
        busy.remove(owner)

    queue = workqueue.Queue(work, 4, owner=lambda key: key[0])
    async with running(queue):
        for number in range(20):
            queue.add(f"a{number}")
        await until(lambda: len(busy) == 2)
        for number in range(3):
            queue.add(f"b{number}")
        queue.add("c0")
        await until(lambda: len(busy) == 4)
        assert order == ["a0", "a1", "b0", "c0"]
        go.set()
        await until(lambda: len(queue) == 0)

    assert most["a"] <= 2
    assert len(order) == 24


async def test_a_key_that_takes_long_gives_its_worker_up_but_not_its_owners_share() -> None:
    busy: list[str] = []
    go = asyncio.Event()

    async def work(key: str) -> None:
        busy.append(key)
        if key[0] != "z":
            await go.wait()
        busy.remove(key)

    queue = workqueue.Queue(work, 4, owner=lambda key: key[0], long=0.02)
    async with running(queue):
        for owner in "abcd":
            for number in range(10):
                queue.add(f"{owner}{number}")
        await until(lambda: len(busy) == 8)
        queue.add("z0")
        await until(lambda: len(queue) == 40)

        assert {owner: sum(key[0] == owner for key in busy) for owner in "abcd"} == dict.fromkeys("abcd", 2)
        go.set()
        await until(lambda: len(queue) == 0)


async def test_a_key_that_takes_long_is_still_worked_on_by_one_at_a_time() -> None:
    busy, most, done = 0, 0, 0
    go = asyncio.Event()

    async def work(_: str) -> None:
        nonlocal busy, most, done
        busy += 1
        most = max(most, busy)
        await go.wait()
        busy -= 1
        done += 1

    queue = workqueue.Queue(work, 2, owner=lambda _: "", long=0.01)
    async with running(queue):
        queue.add("a")
        await until(lambda: busy == 1)
        queue.add("a")
        await asyncio.sleep(0.05)
        go.set()
        await until(lambda: len(queue) == 0)

    assert (most, done) == (1, 2)


async def test_stopping_finishes_what_takes_long_as_well() -> None:
    began, finished = asyncio.Event(), False

    async def work(_: str) -> None:
        nonlocal finished
        began.set()
        await asyncio.sleep(0.1)
        finished = True

    queue = workqueue.Queue(work, 1, owner=lambda _: "", long=0.01)
    async with running(queue):
        queue.add("a")
        await began.wait()
        await asyncio.sleep(0.03)

    assert finished
