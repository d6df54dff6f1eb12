"""Retiring says what will come of it, does not ask for what the operator would hold, and writes as the person who typed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from modelyard.api import access
from modelyard.cli.decide import retire
from modelyard.cli.reach import cluster
from modelyard.cli.terminal import exits
from modelyard.edge.cluster import client

Json = dict[str, Any]
STAMP = "2026-10-01T00:00:00Z"


class Server(cluster.Registry):
    """An API server with a few objects, and how they were patched."""

    def __init__(self, *objects: Json) -> None:
        super().__init__(None, "risk")
        self.objects = {(one["kind"], one["metadata"]["name"]): one for one in objects}
        self.patches: list[list[Json]] = []

    def find(self, kind: client.Kind, name: str) -> Json | None:
        return copy.deepcopy(self.objects.get((kind.name, name)))

    def all(self, kind: client.Kind, *, everywhere: bool = False, **query: str) -> list[Json]:
        del everywhere, query
        return [one for (name, _), one in self.objects.items() if name == kind.name]

    def patch(
        self, kind: client.Kind, name: str, steps: Callable[[Json, str], list[Json]], *, takes: str = "", dry_run: bool = False
    ) -> Json:
        del takes, dry_run
        found = self.objects[kind.name, name]
        self.patches.append(steps(found, "olga"))
        return {**found, "patched": True}

    def written(self) -> list[dict[str, Any]]:
        """What each patch does to the spec; that each is for what was looked at, and signed, is checked."""
        for patch in self.patches:
            assert patch[0]["op"] == "test"
            assert patch[0]["path"] == "/metadata/resourceVersion"
            assert patch[-1]["value"] == {access.CHANGES: "4 olga"}
        return [{one["path"]: one.get("value") for one in patch if one["path"].startswith("/spec/")} for patch in self.patches]


def version(*claims: str, lifecycle: str | None = None) -> Json:
    return {
        "kind": "ModelVersion",
        "metadata": {"name": "fraud-1", "namespace": "risk", "generation": 3, "resourceVersion": "7"},
        "spec": {"model": "fraud", "version": "1", "artifact": {"uri": "s3://m/f/1/", "format": "onnx"}, "lifecycle": lifecycle},
        "status": {"stages": [{"name": name, "state": "Serving", "since": STAMP} for name in claims]},
    }


MODEL: Json = {
    "kind": "Model",
    "metadata": {"name": "fraud", "namespace": "risk", "generation": 3, "resourceVersion": "9"},
    "spec": {
        "owner": {"team": "t"},
        "storage": {"uri": "s3://m/f/"},
        "stages": [{"name": "production", "gates": {"after": ["staging"]}}, {"name": "staging"}, {"name": "unused"}],
    },
    "status": {
        "stages": [
            {"name": "production", "current": "1", "serving": {"deployment": "fraud-production"}},
            {"name": "staging", "current": "2"},
            {"name": "unused"},
        ]
    },
}
PROMOTIONS: list[Json] = [
    {"kind": "Promotion", "metadata": {"name": name}, "spec": {"model": "fraud", "version": "2", "stage": "production"}, "status": status}
    for name, status in (("waits", {"phase": "Pending"}), ("done", {"phase": "Succeeded"}))
]


def test_what_retiring_a_model_does_is_said_in_order_and_not_done_without_yes(capsys: pytest.CaptureFixture[str]) -> None:
    server = Server(MODEL, *PROMOTIONS)

    with pytest.raises(exits.Stop) as stopped:
        retire.retire(server, "fraud", None, reason=None, yes=False, asked=None)

    assert stopped.value.code == exits.Code.USAGE
    assert "add --yes" in stopped.value.message
    assert server.patches == []
    assert capsys.readouterr().err.splitlines() == [
        "1 unfinished promotion will be Aborted: waits",
        "staging will be taken down; it is at 2",
        "production will be taken down; it is at 1, served by fraud-production",
        "nothing of fraud will be promoted again",
    ]


def test_with_yes_exactly_what_was_looked_at_is_retired() -> None:
    server = Server(MODEL)

    retire.retire(server, "fraud", None, reason="replaced", yes=True, asked=None)

    assert server.written() == [{"/spec/lifecycle": "Retired", "/spec/lifecycleReason": "replaced"}]


def test_a_version_that_is_in_use_is_not_retired_and_the_way_out_is_named() -> None:
    server = Server(version("production"))

    with pytest.raises(exits.Stop) as stopped:
        retire.retire(server, "fraud", "1", reason=None, yes=True, asked=None)

    assert stopped.value.code == exits.Code.NO
    assert "in use: serves in production" in stopped.value.message
    assert "modelyard promote fraud VERSION STAGE" in stopped.value.message
    assert server.patches == []


def test_a_version_that_nothing_runs_is_retired(capsys: pytest.CaptureFixture[str]) -> None:
    server = Server(version())

    retire.retire(server, "fraud", "1", reason=None, yes=True, asked="name")

    assert server.written() == [{"/spec/lifecycle": "Retired"}]
    assert capsys.readouterr().out == "modelversion.modelyard.dev/fraud-1\n"


def test_retiring_twice_changes_nothing_and_prints_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    server = Server(version(lifecycle="Retired"))

    retire.retire(server, "fraud", "1", reason=None, yes=True, asked="json")

    assert server.patches == []
    assert json.loads(capsys.readouterr().out)["spec"]["lifecycle"] == "Retired"


def test_deprecating_goes_on_where_it_serves_and_can_be_undone(capsys: pytest.CaptureFixture[str]) -> None:
    server = Server(version("production"))

    retire.deprecate(server, "fraud", "1", reason="old", undo=False, asked=None)
    retire.deprecate(server, "fraud", "1", reason=None, undo=True, asked=None)

    assert server.written() == [{"/spec/lifecycle": "Deprecated", "/spec/lifecycleReason": "old"}, {"/spec/lifecycle": "Active"}]
    assert "it goes on where it is in use (serves in production)" in capsys.readouterr().err


def test_what_is_retired_is_not_deprecated() -> None:
    with pytest.raises(exits.Stop) as stopped:
        retire.deprecate(Server(version(lifecycle="Retired")), "fraud", "1", reason=None, undo=True, asked=None)

    assert stopped.value.code == exits.Code.NO


def test_what_is_not_there_is_not_retired() -> None:
    with pytest.raises(exits.Stop) as stopped:
        retire.retire(Server(), "fraud", "1", reason=None, yes=True, asked=None)

    assert stopped.value.code == exits.Code.NOT_FOUND


def test_what_has_changed_since_it_was_looked_at_is_not_written() -> None:
    with pytest.raises(exits.Stop, match="has changed meanwhile"):
        retire.steps(version(), "olga", "6", "Retired", None)


def test_a_reason_of_before_goes_when_a_version_is_active_again() -> None:
    was = version(lifecycle="Deprecated")
    was["spec"]["lifecycleReason"] = "old"

    assert {"op": "remove", "path": "/spec/lifecycleReason"} in retire.steps(was, "olga", "7", "Active", None)
