"""A clock that jumps to whatever is due next, and an API server that keeps one Lease and answers late, wrongly or never."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import datetime
import functools
import itertools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from modelyard.edge.cluster import client, elector

T = TypeVar("T")
START = datetime.datetime(2026, 10, 3, 14, 0, tzinfo=datetime.UTC)


class _Jump(selectors.DefaultSelector):
    """Instead of waiting for the next timer, it is that time."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        self.moment += max(0.0, timeout)
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    """An event loop in which waiting takes no time."""

    def __init__(self) -> None:
        self.jump = _Jump()
        super().__init__(self.jump)

    def time(self) -> float:
        return self.jump.moment


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run to the end, in no time."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())


@dataclasses.dataclass(frozen=True)
class Way:
    """How one request travels: seconds there and back, whether it arrives, whether the answer does."""

    there: float = 0.01
    back: float = 0.01
    arrives: bool = True
    answered: bool = True


class Server:
    """What all replicas talk to."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.after: Callable[[], None] = lambda: None
        """Called after each request that arrived."""
        self._versions = itertools.count(1)

    def put(self, lease: dict[str, Any] | None) -> None:
        """What somebody does by hand, or a restored backup does."""
        self.lease = copy.deepcopy(lease)
        if self.lease:
            self.lease["metadata"]["resourceVersion"] = str(next(self._versions))

    @property
    def holder(self) -> str | None:
        held: str | None = self.lease["spec"].get("holderIdentity") if self.lease else None
        return held


class Line:
    """One replica's connection to it; passed where a `cluster.Cluster` goes."""

    def __init__(self, server: Server, way: Callable[[], Way] = Way) -> None:
        self._server = server
        self.way = way
        self.requests = 0

    async def get(self, kind: client.Kind, namespace: str, name: str) -> dict[str, Any] | None:
        assert (kind, namespace, name) == (client.LEASE, "yard", "modelyard")
        return await self._travel(lambda: copy.deepcopy(self._server.lease))

    async def create(self, obj: dict[str, Any]) -> dict[str, Any]:
        def arrive() -> dict[str, Any]:
            if self._server.lease:
                raise client.Conflict("it exists")
            self._server.put(obj)
            return copy.deepcopy(self._server.lease) or {}

        obj = copy.deepcopy(obj)
        return await self._travel(arrive)

    async def replace(self, obj: dict[str, Any]) -> dict[str, Any]:
        def arrive() -> dict[str, Any]:
            kept = self._server.lease
            if kept is None or kept["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
                raise client.Conflict("it has changed")
            self._server.put(obj)
            return copy.deepcopy(self._server.lease) or {}

        obj = copy.deepcopy(obj)
        return await self._travel(arrive)

    async def _travel(self, arrive: Callable[[], T]) -> T:
        """A request that is given up while it travels arrives all the same."""
        self.requests += 1
        way = self.way()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def there() -> None:
            try:
                back = functools.partial(answer.set_result, arrive())
            except client.Conflict as conflict:
                back = functools.partial(answer.set_exception, conflict)
            if way.answered:
                loop.call_later(way.back, lambda: None if answer.done() else back())
            self._server.after()

        if way.arrives:
            loop.call_later(way.there, there)
        return await answer


def candidate(line: Line, name: str, skew: float = 0.0) -> elector.Elector:
    """An elector on the running loop's clock; its wall clock is wrong by `skew` seconds."""
    clock = asyncio.get_running_loop().time
    return elector.Elector(line, "yard", "modelyard", name, clock=clock, now=lambda: START + datetime.timedelta(seconds=clock() + skew))
