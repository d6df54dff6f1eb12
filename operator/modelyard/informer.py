"""kopf as an informer and nothing else of it: the only module that knows kopf. Its handlers only say what was heard."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

import aiohttp
import kopf

from modelyard.edge import cache, cluster
from modelyard.plan import jsontext

# Together about ten minutes: an API server that restarts must not end who stands by.
_ERROR_BACKOFFS: Final = (0.1, 0.5, 1, 2, *(5,) * 120)


async def watch(
    reach: cluster.Cluster, namespaces: Sequence[str], heard: Callable[[cluster.Kind, Mapping[str, Any]], None], stop: asyncio.Event
) -> None:
    """Watch until cancelled or told to stop.

    Args:
        reach: how to log in.
        namespaces: to watch; none: all of them.
        heard: called with each event as the API server tells it; must not fail, as kopf swallows that.
        stop: set when it is to end.
    """
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        access = await reach.access()
        connector = aiohttp.TCPConnector(limit=cluster.CONNECTIONS, ssl=access.tls or True)
        session = aiohttp.ClientSession(connector=connector, headers=dict(access.headers), response_class=_Shallow)
        return kopf.AiohttpSession(server=access.server, aiohttp_session=session)

    for kind in cache.WATCHED:
        labels = _selector() if kind in {cluster.DEPLOYMENT, cluster.SERVICE, cluster.POD} else None

        @kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, labels=labels, id=f"see-{kind.plural}")
        async def see(event: Any, kind: cluster.Kind = kind, **_: Any) -> None:
            heard(kind, event)

    # Peering is off, but kopf would look up its user's name for an identity, and a container's user has none.
    unused: Any = "modelyard"
    scope: dict[str, Any] = {"namespaces": namespaces} if namespaces else {"clusterwide": True}
    # Not `kopf.operator`: at its end it cancels every task there is, those that finish what is worked on among them.
    tasks = await kopf.spawn_tasks(registry=registry, settings=_settings(), stop_flag=stop, identity=unused, **scope)
    heed_signals(stop)  # kopf has put its own handlers there, which would end its watches first
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def heed_signals(stop: asyncio.Event) -> None:
    """SIGTERM and SIGINT set it."""
    running = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(sign, stop.set)


def _selector() -> dict[str, Any]:
    name, _, rest = cache.OURS.partition("=")
    value, _, present = rest.partition(",")
    return {name: value, present: kopf.PRESENT}


class _Shallow(aiohttp.ClientResponse):
    """An answer that kopf can parse: it would end with the RecursionError of the first object that is nested too deep, again after each start."""

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        """Read the headers."""
        await super().start(connection)
        if self.url.query.get("watch") == "true":
            self.content = _Lines(self.content)  # type: ignore[assignment]  # all that is asked of it
        return self

    async def json(self, **_: Any) -> Any:
        """A page of a list."""
        return jsontext.load_cut(await self.read())


class _Lines:
    """What a watch says, line by line."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Whole lines."""
        rest = b""
        async for piece in self._content.iter_chunked(size):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield jsontext.shallow(line) + b"\n"
        if rest:
            yield jsontext.shallow(rest)


class _Changes(kopf.DiffBaseStorage):
    """What kopf compares an object with, to tell its handlers what changed: nothing. It would copy and walk each object twice an event."""

    def build(self, **_: Any) -> Any:
        """Nothing of the object."""

    def fetch(self, **_: Any) -> None:
        """Nothing was kept."""

    def store(self, **_: Any) -> None:
        """Keeps nothing."""


def _settings() -> kopf.OperatorSettings:
    """Nothing of kopf's but its watches: no Events, no peering, no finalizers, no annotations, no diffs, and patience."""
    wanted = kopf.OperatorSettings()
    wanted.persistence.diffbase_storage = _Changes()
    wanted.persistence.progress_storage = kopf.StatusProgressStorage()
    wanted.posting.enabled = False
    wanted.scanning.disabled = True
    wanted.peering.standalone = True
    wanted.queueing.idle_timeout = 0.05
    wanted.watching.chunk_size = 100  # of objects that may have a megabyte each
    wanted.watching.server_timeout = 240
    wanted.watching.client_timeout = 250
    wanted.watching.connect_timeout = 10
    wanted.networking.request_timeout = 60
    wanted.networking.connect_timeout = 5
    wanted.networking.error_backoffs = _ERROR_BACKOFFS
    wanted.process.ultimate_exiting_timeout = 60
    return wanted
