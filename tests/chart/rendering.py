"""The chart as Helm renders it."""

from __future__ import annotations

import json
import pathlib
import subprocess
from collections.abc import Mapping
from typing import Any

import yaml

CHART = pathlib.Path(__file__).parents[2] / "charts" / "modelyard"
NAMESPACE = "modelyard-system"
STAMPING = "--api-versions=admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"
"""Says that the API server can stamp, as those from 1.36 on."""


class Render:
    """Renders the chart with some values."""

    def __init__(self, helm: pathlib.Path) -> None:
        self.helm = helm

    def __call__(self, values: Mapping[str, Any] | None = None, release: str = "modelyard", *more: str) -> list[dict[str, Any]]:
        """Every object of the release, in order."""
        done = self.run("template", release, str(CHART), "--namespace", NAMESPACE, "--values", "-", *more, values=values)
        assert done.returncode == 0, done.stderr
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    def run(self, *arguments: str, values: Mapping[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
        """One Helm command that reads its values from standard input."""
        text = json.dumps(values or {})
        return subprocess.run([self.helm, *arguments], input=text, capture_output=True, text=True, check=False, timeout=60)


def of_kind(objects: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    """The objects of some kinds."""
    return [one for one in objects if one["kind"] in kinds]
