"""The cluster of these tests: the one that runs, else one started for them and stopped afterwards."""

from __future__ import annotations

import os
import secrets
import urllib.parse
from collections.abc import AsyncIterator, Iterator

import pytest

from modelyard.content import location
from modelyard.edge.artifact.prover import Prover
from modelyard.edge.bucket import blobs
from modelyard.edge.s3.store import Store
from tests.cluster import stores
from tests.cluster.node import access, layout, node


@pytest.fixture(scope="session")
def cluster() -> Iterator[access.Cluster]:
    """A real cluster with the object store."""
    ours = not node.healthy()
    running = node.up()
    store = urllib.parse.urlsplit(running.store.endpoint).hostname
    for name in ("NO_PROXY", "no_proxy"):  # clients of these tests that heed proxies must not send the cluster's traffic there
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), layout.BYPASS, store)))
    yield running
    if ours:
        node.down()


@pytest.fixture
def namespace(cluster: access.Cluster) -> Iterator[str]:
    """A fresh namespace, deleted afterwards."""
    name = f"test-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def client(running: stores.Running) -> Store:
    """The root user's client of the store that a module runs."""
    return running.open()


@pytest.fixture
async def prover(client: Store) -> AsyncIterator[Prover]:
    """A prover whose own bucket is in that store."""
    prover = Prover(blobs.Blobs(client, location.Place("modelyard", "")))
    yield prover
    prover.close()
