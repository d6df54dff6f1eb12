"""Whatever a tenant's store does, it costs that tenant's version: each way ends soon, in little memory, and says which limit the store broke."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from modelyard.edge.s3 import bounded, store
from tests.fakes import hostile_store

SAYS: Mapping[str, tuple[str, str]] = {
    "never answers": ("StoreUnreachable", "does not answer: it took too long"),
    "half an answer": ("StoreUnreachable", "does not answer: it took too long"),
    "headers that drip": ("StoreLimitExceeded", "has not finished its answer within 0.7 s"),
    "headers without end": ("StoreLimitExceeded", "more than 64 KiB of headers"),
    "a header line without end": ("StoreLimitExceeded", "more than 64 KiB of headers"),
    "interim answers without end": ("StoreLimitExceeded", "more than 64 KiB of headers"),
    "a refusal without end": ("StoreLimitExceeded", "answers 403 with more than 64 KiB of text"),
    "a refusal that drips": ("StoreLimitExceeded", "has not finished its answer within 0.7 s"),
    "a refusal of a terabyte": ("StoreLimitExceeded", "answers 403 with more than 64 KiB of text"),
    "an error without end": ("StoreLimitExceeded", "answers 500 with more than 64 KiB of text"),
    "a refusal with a chunk of a terabyte": ("StoreLimitExceeded", "answers 403 with more than 64 KiB of text"),
    "a refusal with trailers without end": ("StoreLimitExceeded", "answers 403 with more than 64 KiB of text"),
    "a refusal that is a bomb": ("StoreFailed", "not S3"),
    "leads elsewhere": ("StoreFailed", "307"),
    "empty pages for ever": ("StoreLimitExceeded", "10 empty pages in a row"),
    "the same page for ever": ("StoreLimitExceeded", "goes on where it already was"),
    "objects for ever": ("TooManyFiles", ""),
    "an object a page, slowly": ("StoreLimitExceeded", "fewer than 1,000 objects in 0.7 s"),
    "a page without end": ("StoreLimitExceeded", "more than 4 MiB where no object was asked for"),
    "a page that drips": ("StoreLimitExceeded", "has not finished its answer within 0.7 s"),
    "a page of deep XML": ("StoreLimitExceeded", "deeper than 16 levels"),
    "a page of many elements": ("StoreLimitExceeded", "more than 40,000 XML elements"),
    "a page of many attributes": ("StoreLimitExceeded", "an XML tag of more than 64 KiB"),
    "a page with entities": ("StoreLimitExceeded", "an XML document type"),
    "a page that is a bomb": ("StoreFailed", "not S3"),
    "a key of a megabyte": ("StoreFailed", "not S3"),
    "an object of less than nothing": ("StoreFailed", "not S3"),
    "an object that drips": ("StoreLimitExceeded", "more slowly than 16 KiB a second over 0.7 s"),
    "an object that stops": ("StoreUnreachable", "does not answer: it took too long"),
    "an object larger than any": ("StoreLimitExceeded", "S3 has none of more than 50 TiB"),
    "an object of a negative length": ("StoreFailed", "not S3"),
    "an object without a length": ("StoreFailed", "not S3"),
    "an object in chunks without end": ("StoreLimitExceeded", "in chunks"),
    "an object shorter than it says": ("StoreTruncated", "ended before the object did"),
    "an etag without end": ("StoreFailed", "not S3"),
}
"""What each store's version shows: the reason, and what the store did."""
MEMORY = 200 << 20
"""Bytes by which all meetings together, a dozen at once, may make a process grow; the operator's limit is 1 GiB."""
SOON = 20.0
"""Seconds; the limits of the tests are below one, and this machine may be busy."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """What came of every meeting with every store, in a process that has little memory."""
    with contextlib.ExitStack() as stack:
        stores = {mode: stack.enter_context(hostile_store.run(mode)) for mode in hostile_store.MODES}
        ends = {mode: running.endpoint for mode, running in stores.items()}
        told = tmp_path_factory.mktemp("hostile") / "met.json"
        command = [sys.executable, "-m", "tests.fakes.meet_hostile", str(told)]
        environment = {**os.environ, "MALLOC_ARENA_MAX": "2", "PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.run(command, input=json.dumps(ends), env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert process.returncode == 0, process.stderr[-3000:]
        yield {**json.loads(told.read_text()), "asked": {mode: running.asked for mode, running in stores.items()}}


def _spoils(mode: str) -> set[str]:
    """What of our own doing a mode concerns."""
    if mode in hostile_store.ALWAYS:
        return {"list", "verify", "recheck", "evidence", "hold", "gc"}
    return {"list", "verify", "recheck"} if mode in hostile_store.LISTING else {"verify", "evidence"}


@pytest.mark.parametrize("mode", hostile_store.MODES)
def test_a_hostile_store_costs_its_own_version_and_says_how(report: Any, mode: str) -> None:
    """Reason and message name what the store did; what the mode does not spoil is done."""
    met, (reason, says) = report["met"][mode], SAYS[mode]

    ended = {name: one["ended"] for name, one in met.items()}
    for name in _spoils(mode) - {"gc", "hold"}:
        assert ended[name].startswith(reason), met[name]
        assert says in met[name]["message"], met[name]
    assert all(ended[name] == "done" for name in {"list", "verify", "recheck", "evidence", "gc"} - _spoils(mode)), met
    if mode in hostile_store.ALWAYS:
        assert ended["hold"] == "HoldRefused"
        assert ended["gc"] in {"exit 1", "exit 3"}, met["gc"]


@pytest.mark.parametrize("mode", hostile_store.MODES)
def test_a_hostile_store_does_not_keep_anybody_for_long(report: Any, mode: str) -> None:
    slow = {name: met["seconds"] for name, met in report["met"][mode].items() if met["seconds"] > SOON}

    assert slow == {}


def test_hostile_stores_take_little_memory(report: Any) -> None:
    assert report["grew"] < MEMORY


def test_a_store_that_is_slow_and_gets_on_is_read_to_the_end() -> None:
    """However long it takes in all: only the rate counts."""
    limits = bounded.Limits(window=0.1, answer=0.1, rate=1024)
    with hostile_store.run("slow") as slow:
        assert store.Store(slow.address, limits=limits).get("models", hostile_store.KEY) == hostile_store.DATA


def test_nobody_is_led_elsewhere(report: Any) -> None:
    assert not [asked for asked in report["asked"]["leads elsewhere"] if "led-away" in asked]
