"""Fixtures of these tests."""

from __future__ import annotations

import pathlib

import pytest

from tests.chart.rendering import Render
from tests.cluster.node import binaries


@pytest.fixture(scope="session")
def helm() -> pathlib.Path:
    """The pinned Helm, built into the cache the first time."""
    return binaries.find(["helm"])["helm"]


@pytest.fixture
def render(helm: pathlib.Path) -> Render:
    """`helm template` of the chart."""
    return Render(helm)
