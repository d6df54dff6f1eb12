"""Events are posted at a pace that leaves the API server to the work, and none is lost for that."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from modelyard.api.reason import Reason
from modelyard.edge.cluster import client, events
from modelyard.plan import finding
from tests.fakes import clock


class Posted:
    """An API server that remembers when it was sent what."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.messages: list[str] = []

    async def create(self, obj: dict[str, Any]) -> dict[str, Any]:
        self.at.append(asyncio.get_running_loop().time())
        self.messages.append(obj["message"])
        return obj


def event(number: int, *, warning: bool = False) -> finding.Event:
    return finding.Event("ModelVersion", "risk", f"fraud-{number}", "uid", finding.Finding(Reason.VERIFIED, f"{number}"), warning)


async def posted(reach: Posted, numbers: list[int], rest: float) -> None:
    """Post these, and again after a rest."""
    recorder = events.Recorder(reach)
    task = asyncio.ensure_future(recorder.run())
    for number in numbers:
        recorder.post(event(number))
    await asyncio.sleep(rest)
    recorder.post(event(-1))
    await asyncio.sleep(1)
    task.cancel()


def test_a_burst_goes_at_once_and_what_follows_at_an_even_pace() -> None:
    reach, many = Posted(), list(range(events.BURST + 50))

    clock.run(lambda: posted(reach, many, rest=60))

    assert reach.messages == [str(number) for number in [*many, -1]]
    assert reach.at[events.BURST - 1] < 0.001
    assert [round(at * events.PACE) for at in reach.at[events.BURST : -1]] == list(range(1, 51))
    assert 60 <= reach.at[-1] < 60.001


def test_a_warning_does_not_wait_behind_what_went_well() -> None:
    reach, many = Posted(), list(range(events.BURST + 50))

    async def warned() -> None:
        recorder = events.Recorder(reach)
        task = asyncio.ensure_future(recorder.run())
        for number in many:
            recorder.post(event(number))
        await asyncio.sleep(1)
        for number in (-1, -2):
            recorder.post(event(number, warning=True))
        await asyncio.sleep(60)
        task.cancel()

    clock.run(warned)

    first = reach.messages.index("-1")
    assert first <= events.BURST + events.PACE + 1
    assert reach.messages == [*map(str, many[:first]), "-1", "-2", *map(str, many[first:])]


def test_a_thousand_versions_more_than_wait_are_lost_and_hold_nothing_up() -> None:
    reach = Posted()

    clock.run(lambda: posted(reach, list(range(events.KEPT + 1_000)), rest=events.KEPT / events.PACE + 1))

    assert len(reach.at) == events.KEPT + 1


@pytest.mark.parametrize("error", [client.Refused(403, "no"), client.Conflict("no"), KeyError("metadata"), RecursionError()], ids=repr)
def test_an_event_that_cannot_be_posted_is_lost_and_ends_nothing(error: Exception) -> None:
    class Odd(Posted):
        async def create(self, obj: dict[str, Any]) -> dict[str, Any]:
            if obj["message"] == "1":
                raise error
            return await super().create(obj)

    reach = Odd()
    clock.run(lambda: posted(reach, [0, 1, 2], rest=60))

    assert reach.messages == ["0", "2", "-1"]
