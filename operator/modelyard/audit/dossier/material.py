"""The input of a dossier's sections, read from the evidence. Pure."""

from __future__ import annotations

import dataclasses
from typing import Any

from modelyard import api
from modelyard.audit import periods, provenance, templates
from modelyard.audit.dossier import bundle
from modelyard.content.manifest import Manifest, read_manifest
from modelyard.ledger import coverage
from modelyard.ledger.record import Chain, Record

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One version: its history, its latest spec and the Model's, and when it served."""

    chain: Chain
    history: provenance.History
    spec: Json
    model: Json
    rules: tuple[provenance.RecordedEntry, ...]
    served: tuple[periods.Period, ...]
    gaps: tuple[coverage.Gap, ...]
    files: Manifest | None
    unapproved: tuple[tuple[templates.Unapproved, list[Json] | None], ...]
    """Templates that the version ran with and that nobody approved, each with its differences."""
    records: tuple[Record, ...]
    lost: tuple[str, ...]
    """Snapshots that the records name but that are not there: their fields may not really be missing."""

    @property
    def spec_record(self) -> int:
        """Number of the record that contains the latest spec."""
        return next((entry.record for entry in reversed(self.history.own) if entry.fact.digest == self.history.spec), 0)

    @property
    def rules_record(self) -> int:
        """Number of the record that contains the Model's latest spec."""
        return self.rules[-1].record if self.rules else 0


def of(evidence: bundle.Evidence, version: str) -> Case:
    """Read the case of a version."""
    records = evidence.read()
    history, rules = provenance.of(version, records), provenance.rules(records)
    manifest = evidence.blob(history.verified[-1].text("manifest")) if history.verified else None
    try:
        files = read_manifest(manifest) if manifest is not None else None
    except ValueError:
        files = None
    return Case(
        evidence.chain,
        history,
        provenance.snapshot(api.ModelVersion, evidence.blob(history.spec)),
        provenance.snapshot(api.Model, evidence.blob(rules[-1].fact.digest)) if rules else {},
        rules,
        tuple(periods.of(records, lambda name: name == version)),
        (*coverage.gaps(evidence.terms()), *(gap for record in records for gap in coverage.lost(record))),
        files,
        tuple(
            (run, templates.differences(evidence.blob(run.before), evidence.blob(run.after)))
            for run in templates.unapproved(records, evidence.blob)
            if run.version == version
        ),
        tuple(records),
        tuple(name for name in bundle.named(history, rules) if evidence.blob(name) is None),
    )
