"""The small S3 that the edge's tests talk to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.edge import pretend


@pytest.fixture
def s3() -> Iterator[pretend.S3]:
    """A store that behaves until it is told otherwise."""
    with pretend.run() as running:
        yield running
