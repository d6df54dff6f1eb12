"""One object that nobody can read costs itself only: lists and watches go on, and it is shown as what it is."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from modelyard import informer
from modelyard.edge.cluster import cache, client
from tests.fakes import watched_api

Heard = dict[str, Mapping[str, Any]]


@contextlib.asynccontextmanager
async def watching(server: client.Cluster) -> AsyncIterator[tuple[Heard, asyncio.Task[None]]]:
    """The newest that was heard of each object, by name."""
    heard: Heard = {}

    def hear(_kind: client.Kind, event: Mapping[str, Any]) -> None:
        heard[event["object"]["metadata"]["name"]] = event["object"]

    stop = asyncio.Event()
    task = asyncio.create_task(informer.watch(server, [], hear, stop))
    try:
        yield heard, task
    finally:
        stop.set()
        await asyncio.wait([task], timeout=10)


async def until(task: asyncio.Task[None], true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            assert not task.done(), task.exception()
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("levels", [150, 700, 985, 1_500, 10_000])
async def test_what_is_nested_too_deep_is_listed_watched_and_told_as_unreadable(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, levels: int
) -> None:
    deep = watched_api.model("deep", 5, watched_api.nested(levels))
    async with watched_api.run(tmp_path) as (api, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        api.objects["models"] = [deep, watched_api.model("fine", 6)]
        async with client.Cluster.connect() as server, watching(server) as (heard, task):
            await until(task, lambda: "fine" in heard and "deep" in heard and api.is_watched("models"))
            api.say("models", "ADDED", watched_api.model("deeper", 7, f"[{watched_api.nested(levels)}]"))
            api.say("models", "ADDED", watched_api.model("late", 8))
            await until(task, lambda: "late" in heard)
            listed = [found["metadata"]["name"] async for found in server.list(client.MODEL)]

    known = cache.Cache()
    for found in heard.values():
        known.put(client.MODEL, found)
    assert listed == ["deep", "fine"]
    assert {name for name in ("deep", "deeper", "fine", "late") if known.model("risk", name)} == {"fine", "late"}
    for name in ("deep", "deeper"):
        [unread] = known.unread("risk", name)
        assert "spec.stages.0.serving.template" in unread.fact.message
        assert "nested more than 100 levels deep" in unread.fact.message


async def test_the_fields_of_others_in_the_metadata_may_be_nested_as_deep_as_the_template(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = f', "managedFields": [{{"fieldsV1": {watched_api.nested(118)}}}]'
    text = watched_api.model("fine", 6, watched_api.nested(80)).replace('"generation": 1', f'"generation": 1{fields}')
    async with watched_api.run(tmp_path) as (api, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        api.objects["models"] = [text]
        async with client.Cluster.connect() as server:
            [found] = [found async for found in server.list(client.MODEL)]

    known = cache.Cache()
    known.put(client.MODEL, found)
    assert known.model("risk", "fine") is not None


async def test_what_has_too_many_values_is_unreadable() -> None:
    known = cache.Cache()
    wide: dict[str, Any] = {"metadata": {"name": "wide", "namespace": "risk", "resourceVersion": "5"}, "spec": {}}
    wide["spec"] = {"owner": {"team": "t"}, "storage": {"uri": "s3://m/wide/"}, "stages": [{"name": "a", "x": [{}] * 60_000}]}

    known.put(client.MODEL, wide)

    [unread] = known.unread("risk", "wide")
    assert "spec.stages.0.x (more than 50,000 values)" in unread.fact.message


async def test_a_page_of_large_objects_is_asked_for_in_smaller_pieces(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few hundred objects of a megabyte each are never held at once."""
    async with watched_api.run(tmp_path) as (api, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        large = '{"metadata": {"annotations": {"a": "' + "a" * 1_000_000 + '"}}}'
        api.objects["models"] = [watched_api.model(f"m{number}", number + 1, large) for number in range(40)]
        async with client.Cluster.connect() as server:
            listed = [found["metadata"]["name"] async for found in server.list(client.MODEL)]

    assert listed == [f"m{number}" for number in range(40)]
    assert api.pages[:4] == [500, 125, 31, 7]
    assert len(api.pages) == 3 + 6


@pytest.mark.parametrize(
    "spoilt",
    [
        {"spec": []},
        {"spec": "text"},
        {"status": []},
        {"status": "text"},
        {"metadata": {"name": "odd", "namespace": "risk", "resourceVersion": "5", "labels": 7}},
        {"metadata": {"name": "odd", "namespace": "risk", "resourceVersion": "5", "annotations": ["a"]}},
        {"spec": {"stages": {"a": 1}, "owner": 7, "storage": []}},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", cache.WATCHED, ids=lambda kind: str(kind.name))
def test_a_value_of_another_type_anywhere_ends_nothing(kind: client.Kind, spoilt: dict[str, Any]) -> None:
    about = {"name": "odd", "namespace": "risk", "resourceVersion": "5", "uid": "odd"}

    cache.Cache().put(kind, {"kind": kind.name, "metadata": about, "spec": {"model": "fraud"}, **spoilt})
