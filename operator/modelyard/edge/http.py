"""The operator's own HTTP pages: liveness, readiness, and metrics."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from modelyard.edge import metrics


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """The answer to a probe: a text for people, and for the kubelet whether all is well."""

    text: str
    well: bool


@contextlib.asynccontextmanager
async def served(port: int, alive: Callable[[], Said], ready: Callable[[], Said]) -> AsyncIterator[None]:
    """Serve /healthz, /readyz and /metrics on all addresses while the context lasts.

    Raises:
        OSError: the port is taken.
    """
    app = web.Application()
    app.router.add_get("/healthz", lambda _: _answer(alive))
    app.router.add_get("/readyz", lambda _: _answer(ready))
    app.router.add_get("/metrics", _metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()


async def _answer(ask: Callable[[], Said]) -> web.Response:
    health = ask()
    return web.Response(text=f"{health.text}\n", status=200 if health.well else 503)


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=metrics.page(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
