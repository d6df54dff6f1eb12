"""The small S3 that the edge's tests talk to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.s3 import S3, run


@pytest.fixture
def s3() -> Iterator[S3]:
    """A store that behaves until it is told otherwise."""
    with run() as running:
        yield running
