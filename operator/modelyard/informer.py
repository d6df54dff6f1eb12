"""The informer: the only module that knows kopf, of which it uses the watches only. Its handlers only pass events on."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

import aiohttp
import kopf

from modelyard.content import jsontext
from modelyard.edge.cluster import cache, client

# Together about ten minutes: an API server that restarts must not end a standby.
_ERROR_BACKOFFS: Final = (0.1, 0.5, 1, 2, *(5,) * 120)


async def watch(
    reach: client.Cluster, namespaces: Sequence[str], heard: Callable[[client.Kind, Mapping[str, Any]], None], stop: asyncio.Event
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
        connector = aiohttp.TCPConnector(limit=client.CONNECTIONS, ssl=access.tls or True)
        tracing = aiohttp.TraceConfig()
        tracing.on_request_start.append(_metadata_of_lists)
        headers = dict(access.headers)
        session = aiohttp.ClientSession(connector=connector, headers=headers, trace_configs=[tracing], response_class=_Answer)
        return kopf.AiohttpSession(server=access.server, aiohttp_session=session)

    for kind in cache.WATCHED:

        @kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, id=f"see-{kind.plural}")
        async def see(event: Any, kind: client.Kind = kind, **_: Any) -> None:
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
    """Let SIGTERM and SIGINT set the event."""
    running = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(sign, stop.set)


class _Answer(aiohttp.ClientResponse):
    """An answer of the API server that kopf can read: an object that is nested too deep would end kopf with a RecursionError, again after each start."""

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        """Read the headers."""
        await super().start(connection)
        if self.url.query.get("watch") == "true":
            self.content = _Lines(self.content)  # type: ignore[assignment]  # all that is asked of it
        return self

    async def json(self, **_: Any) -> Any:
        """Return a page of a list, always with items: an empty list of metadata has null instead."""
        answer = jsontext.load_cut(await self.read())
        return {**answer, "items": answer["items"] or []} if isinstance(answer, dict) and "items" in answer else answer


async def _metadata_of_lists(_session: aiohttp.ClientSession, _context: object, request: aiohttp.TraceRequestStartParams) -> None:
    """Request only the metadata of ConfigMaps: of a list of files only its existence matters."""
    if request.url.path.endswith(f"/{client.CONFIG_MAP.plural}"):
        request.headers["Accept"] = client.METADATA.format("" if "watch" in request.url.query else "List")


class _Lines:
    """The lines of a watch."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Yield whole lines."""
        rest = b""
        async for piece in self._content.iter_chunked(size):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield jsontext.shallow(line) + b"\n"
        if rest:
            yield jsontext.shallow(rest)


class _Changes(kopf.DiffBaseStorage):
    """The state that kopf compares an object with: none. Otherwise kopf copies and walks each object twice per event."""

    def build(self, **_: Any) -> Any:
        """Return nothing of the object."""

    def fetch(self, **_: Any) -> None:
        """Return nothing: nothing is stored."""

    def store(self, **_: Any) -> None:
        """Store nothing."""


def _settings() -> kopf.OperatorSettings:
    """Turn off everything of kopf except its watches: no Events, no peering, no finalizers, no annotations, no diffs; and retry patiently."""
    wanted = kopf.OperatorSettings()
    wanted.persistence.diffbase_storage = _Changes()
    wanted.persistence.progress_storage = kopf.StatusProgressStorage()
    wanted.posting.enabled = False
    wanted.scanning.disabled = True
    wanted.peering.standalone = True
    wanted.queueing.idle_timeout = 0.05
    for kind in cache.SERVING:  # the API server leaves out the others, and says when one loses our labels
        wanted.watching.label_selectors[kind.group, kind.version, kind.plural] = cache.OURS
    wanted.watching.chunk_size = 100  # of objects that may have a megabyte each
    wanted.watching.server_timeout = 240
    wanted.watching.client_timeout = 250
    wanted.watching.connect_timeout = 10
    wanted.networking.request_timeout = 60
    wanted.networking.connect_timeout = 5
    wanted.networking.error_backoffs = _ERROR_BACKOFFS
    wanted.process.ultimate_exiting_timeout = 60
    return wanted
