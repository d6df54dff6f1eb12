from __future__ import annotations

import pytest

pytest_plugins = ["tests.cluster.installed"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="write the golden texts of the stories anew")
