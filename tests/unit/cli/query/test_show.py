"""`modelyard show` and `list` tell what is in the objects, to people."""

from __future__ import annotations

import datetime
import pathlib
from typing import Any

import yaml

from modelyard.cli.decide import promote
from modelyard.cli.query import listing, show
from modelyard.cli.terminal import output

NOW = datetime.datetime(2026, 10, 3, 14, 0, tzinfo=datetime.UTC)
SAMPLE = pathlib.Path(__file__).parents[4] / "crds" / "samples" / "modelversion-full.yaml"

SHOWN = """\
credit 1.5.0-rc.1
  Phase        Quarantined
  Description  Retrained on the second quarter of 2026
  Lifecycle    Active Candidate for the fourth quarter
  Created      2026-10-03T12:30:00Z (90m ago)
  Tags         campaign=autumn
Artifact
  URI       s3://models/credit/1.5.0-rc.1/
  Format    onnx
  Digest    sha256:5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9
  Size      7 files, 47.1 KiB
  Verified  2026-10-03T12:31:00Z (89m ago), every byte in 0.21 s; checked 2026-10-03T13:59:00Z (60s ago)
Conditions
  Verified  False  Changed
            model.onnx changed\\x1b[2J
Stages
  production  Serving, since 2026-10-01T00:00:00Z (2d ago)
Promotions
  NAME                STAGE     PHASE     AGE   MESSAGE
  credit-production   staging   Blocked   30m   auc is too low
Metrics (declared)
  auc                 0.934
  auc@holdout-2026q3  0.929
  latency_p99_ms      31.5
"""


def version(**status: Any) -> dict[str, Any]:
    """The full sample, as the API server tells it."""
    found: dict[str, Any] = yaml.safe_load(SAMPLE.read_text())
    found["metadata"] |= {"namespace": "risk", "creationTimestamp": "2026-10-03T12:30:00Z"}
    return found | {"status": status}


def test_a_version_is_told_in_sections() -> None:
    full = version(
        phase="Quarantined",
        conditions=[{"type": "Verified", "status": "False", "reason": "Changed", "message": "model.onnx changed\x1b[2J"}],
        artifact={
            "digest": "sha256:5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9",
            "files": 7,
            "bytes": 48211,
            "verifiedAt": "2026-10-03T12:31:00Z",
            "checkedAt": "2026-10-03T13:59:00Z",
            "seconds": 0.21,
        },
        stages=[{"name": "production", "state": "Serving", "since": "2026-10-01T00:00:00Z"}],
    )
    promotion = {
        "metadata": {"name": "credit-production", "creationTimestamp": "2026-10-03T13:30:00Z"},
        "spec": {"stage": "staging"},
        "status": {"phase": "Blocked", "conditions": [{"type": "Ready", "status": "False", "message": "auc is too low"}]},
    }

    text = output.text(show.modelversion(full, [promotion], NOW), colour=False)

    assert text.startswith(SHOWN)
    for expected in (
        "Run         7f3a90c2",
        "RetrainedFrom  1.4.0",
        "vr-17  ValidationReport, Independent validation",
        "float32 [any, 24]",
    ):
        assert expected in text


def test_a_version_that_nobody_looked_at_yet_is_told_too() -> None:
    minimal = version()
    minimal["spec"] = {"model": "credit", "version": "2", "artifact": {"uri": "s3://models/credit/2/x", "format": "other"}}

    text = output.text(show.modelversion(minimal, [], NOW), colour=False)

    assert "not looked at yet" in text
    assert "pinned when first read (declared)" in text


def test_versions_are_listed_highest_first() -> None:
    versions = []
    for name in ("1.9.0", "1.10.0-rc.1", "1.10.0", "2"):
        one = version(phase="Ready")
        one["spec"]["version"] = name
        versions.append(one)

    table = listing.table(listing.ordered(versions), NOW, {("risk", "credit", "2"): ["@best"]}, namespaces=True)

    assert [line.split()[:5] for line in table.splitlines()] == [
        ["NAMESPACE", "MODEL", "VERSION", "ALIASES", "PHASE"],
        *(["risk", "credit", name, "@best" if name == "2" else "-", "Ready"] for name in ("2", "1.10.0", "1.10.0-rc.1", "1.9.0")),
    ]
    assert "auc=0.934,auc@holdout-2026q3=0.929,latency_p99_ms=31.5" in table


def test_a_superseded_promotion_succeeded_only_if_it_ever_did() -> None:
    def superseded(succeeded: str) -> dict[str, Any]:
        return {"status": {"phase": "Superseded", "conditions": [{"type": "Succeeded", "status": succeeded}]}}

    assert promote.succeeded(superseded("True"))
    assert not promote.succeeded(superseded("False"))
    assert not promote.succeeded({"status": {"phase": "Superseded"}})
    assert promote.succeeded({"status": {"phase": "Succeeded"}})
