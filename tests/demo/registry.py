"""The calls of the `modelyard` command that the demo makes, all in one place."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tests.cluster.node import layout
from tests.demo import story, train, voice


def push(trained: train.Trained, *, model: str, namespace: str, parent: str | None, environment: Mapping[str, str]) -> None:
    """`modelyard push`: hash, upload, and apply one version with everything known about it.

    Raises:
        story.Trouble: it failed; its own words are above.
    """
    arguments = ["push", _short(trained.artifact), "--model", model, "--version", trained.version, "--namespace", namespace]
    arguments += ["--format", "onnx"]
    for name, value in trained.metrics.items():
        arguments += ["--metric", f"{name}={value}"]
    for name, text in trained.parameters.items():
        arguments += ["--param", f"{name}={text}"]
    for name, (role, digest) in trained.datasets.items():
        arguments += ["--dataset", f"name={name},role={role},digest={digest}"]
    arguments += ["--framework", trained.framework, "--seed", str(train.SEED)]
    arguments += ["--signature", _short(trained.signature), "--card", _short(trained.card)]
    if parent:
        arguments += ["--parent", f"{parent}=RetrainedFrom"]
    arguments += ["--evidence", f"type=ValidationReport,file={_short(trained.report)}", "--apply"]
    _run(arguments, environment)


def ask(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """A verb that must succeed; what it printed."""
    return _run(list(arguments), environment)


def refused(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """A verb that must be refused (exit code 3); what it said.

    Raises:
        story.Trouble: it was not.
    """
    return _run(list(arguments), environment, expected=3)


def table(namespace: str, environment: Mapping[str, str]) -> None:
    """`modelyard list`: the versions that there are."""
    _run(["list", "--namespace", namespace], environment)


def _short(path: pathlib.Path) -> str:
    return str(path.relative_to(layout.REPOSITORY))


def _run(arguments: list[str], environment: Mapping[str, str], expected: int = 0) -> str:
    voice.typed("modelyard", *arguments)
    command = [sys.executable, "-m", "modelyard", *arguments]
    done = subprocess.run(
        command, cwd=layout.REPOSITORY, env={**environment, "COLUMNS": "140"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False, timeout=300,
    )  # fmt: skip
    voice.seen(done.stdout)
    if done.returncode != expected:
        raise story.Trouble(f"modelyard {arguments[0]} ended with {done.returncode}, not {expected}; what it said is above")
    return done.stdout
