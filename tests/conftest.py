from __future__ import annotations

import hypothesis
import pytest

# How long an example takes says how busy the machine is, and nothing about the code.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")

pytest_plugins = ["tests.cluster.installed"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="write the golden texts of the stories anew")
