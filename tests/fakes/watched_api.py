"""An API server that can be listed and watched: objects are JSON text as it stands, so that they can be what no client would send."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any, Final

import yaml
from aiohttp import web

_GROUPS: Final = {"modelyard.dev": ("v1alpha1", {"models": "Model", "modelversions": "ModelVersion", "promotions": "Promotion"})}
_BUILT_IN: Final = {
    "": ("v1", {"services": "Service", "pods": "Pod", "namespaces": "Namespace", "events": "Event"}),
    "apps": ("v1", {"deployments": "Deployment"}),
    # What kopf looks for before it watches anything.
    "apiextensions.k8s.io": ("v1", {"customresourcedefinitions": "CustomResourceDefinition"}),
}


class Api:
    """What is there, by plural, and what those who watch are told."""

    def __init__(self) -> None:
        self.objects: dict[str, list[str]] = {}
        self.pages: list[int] = []
        """The `limit` of each list that was asked for."""
        self._watches: dict[str, list[asyncio.Queue[str]]] = {}

    def say(self, plural: str, event: str, text: str) -> None:
        """Tell those who watch."""
        for watch in self._watches.get(plural, ()):
            watch.put_nowait(f'{{"type": "{event}", "object": {text}}}\n')

    def is_watched(self, plural: str) -> bool:
        """Whether anybody watches."""
        return bool(self._watches.get(plural))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.strip("/")
        if path == "version":
            return web.json_response({"gitVersion": "v1.36.0"})
        if path == "api":
            return web.json_response({"versions": ["v1"]})
        if path == "apis":
            groups = [(group, version) for group, (version, _) in (_GROUPS | _BUILT_IN).items() if group]
            found = [{"name": g, "versions": [{"version": v}], "preferredVersion": {"version": v}} for g, v in groups]
            return web.json_response({"groups": found})
        for group, (version, kinds) in (_GROUPS | _BUILT_IN).items():
            root = f"apis/{group}/{version}" if group else f"api/{version}"
            if path == root:
                verbs = ["list", "watch", "patch", "get"]
                rows = [{"name": p, "kind": k, "singularName": k.lower(), "namespaced": True, "verbs": verbs} for p, k in kinds.items()]
                return web.json_response({"resources": rows})
            if path.startswith(f"{root}/"):
                return await (self._watch if request.query.get("watch") else self._list)(request, path.rpartition("/")[2])
        raise web.HTTPNotFound

    async def _list(self, request: web.Request, plural: str) -> web.StreamResponse:
        limit, begin = int(request.query.get("limit", "500")), int(request.query.get("continue", "0"))
        self.pages.append(limit)
        every = self.objects.get(plural, [])
        more = f', "continue": "{begin + limit}"' if begin + limit < len(every) else ""
        text = f'{{"metadata": {{"resourceVersion": "1"{more}}}, "items": [{", ".join(every[begin : begin + limit])}]}}'
        return web.Response(text=text, content_type="application/json")

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        mine: asyncio.Queue[str] = asyncio.Queue()
        self._watches.setdefault(plural, []).append(mine)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write((await mine.get()).encode())
        return response


@contextlib.asynccontextmanager
async def run(folder: pathlib.Path) -> AsyncIterator[tuple[Api, pathlib.Path]]:
    """Run it; it, and a kubeconfig for it."""
    api, app = Api(), web.Application()
    app.router.add_get("/{path:.*}", api._answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "it", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "me", "user": {"token": "t"}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me", "namespace": "risk"}}],
        "current-context": "it",
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    try:
        yield api, file
    finally:
        await runner.cleanup()


def nested(levels: int, name: str = "a") -> str:
    """A value nested so deep, as text."""
    return f'{{"{name}": ' * levels + "1" + "}" * levels


def model(name: str, seen: int, template: str = "{}", **about: str) -> str:
    """A Model, as text, with a pod template as it stands."""
    metadata = json.dumps({"name": name, "namespace": "risk", "uid": name, "resourceVersion": str(seen), "generation": 1, **about})
    stages = f'[{{"name": "production", "serving": {{"port": 8080, "template": {template}}}}}]'
    spec = f'{{"owner": {{"team": "t"}}, "storage": {{"uri": "s3://models/{name}/"}}, "stages": {stages}}}'
    return f'{{"apiVersion": "modelyard.dev/v1alpha1", "kind": "Model", "metadata": {metadata}, "spec": {spec}}}'
