"""How long the command line takes until it says something, beside Python's own start and `kubectl get` in the same run.

python -m tests.bench.startup
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

from modelyard import cli
from tests.bench.row import row
from tests.cluster.access import older, place
from tests.cluster.node import binaries

TIMES = 15
WARM = 3
HELP = 0.25
"""Seconds that `modelyard --help` may take."""
LIST = 0.6
"""And `modelyard list`."""


def rows() -> list[dict[str, Any]]:
    """The table's rows; takes half a minute."""
    modelyard = str(pathlib.Path(sys.executable).with_name("modelyard"))
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        address = stack.enter_context(older.server(folder, stack.enter_context(older.etcd(folder))))
        asyncio.run(_prepare(address))
        kubeconfig = older.kubeconfig(folder, address, "admin")
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(pathlib.Path(cli.__file__).parents[2])}
        kubectl = str(binaries.find(["kubectl"])["kubectl"])
        usage, empty, listing, got = _alternate(
            [
                [modelyard, "--help"],
                [sys.executable, "-c", "pass"],
                [modelyard, "list"],
                [kubectl, "get", "modelversions"],
            ],
            environment,
        )
    return [
        row("modelyard --help", usage, "s", empty, goal=HELP),
        row("modelyard list", listing, "s", got, goal=LIST),
    ]


async def _prepare(address: str) -> None:
    """Twenty versions to list."""
    async with older.login(address, "admin") as admin:
        await older.install(admin, [obj for obj in older.manifests() if obj["kind"] == "CustomResourceDefinition"])
        for number in range(20):
            path = place.path("ModelVersion", "default")
            made = await admin.send("POST", path, place.version(str(number)))
            assert made.passed, made


def _alternate(commands: Sequence[Sequence[str]], environment: Mapping[str, str]) -> list[float]:
    """The median of the seconds that each command takes; they take turns, so that whatever else the machine does hits all alike."""
    took: list[list[float]] = [[] for _ in commands]
    for _ in range(WARM + TIMES):
        for seconds, command in zip(took, commands, strict=True):
            began = time.monotonic()
            subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
            seconds.append(time.monotonic() - began)
    return [statistics.median(seconds[WARM:]) for seconds in took]


if __name__ == "__main__":
    print(json.dumps(rows(), indent=2))
