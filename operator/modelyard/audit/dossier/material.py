"""A version's case: all that the sections of its dossier are made of, read from the evidence. Pure."""

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
    """One version: its account, its spec and the Model's as they were last, and when it served."""

    chain: Chain
    its: provenance.Account
    spec: Json
    model: Json
    rules: tuple[provenance.Told, ...]
    spells: tuple[periods.Spell, ...]
    gaps: tuple[coverage.Gap, ...]
    files: Manifest | None
    unapproved: tuple[tuple[templates.Unapproved, list[Json] | None], ...]
    """Templates that it ran with and nobody approved, each with what differs."""
    records: tuple[Record, ...]
    lost: tuple[str, ...]
    """Snapshots that the records name and that are not there: what they held is not known to be missing."""

    @property
    def said(self) -> int:
        """Number of the record that holds the spec as it is."""
        return next((one.record for one in reversed(self.its.own) if one.fact.digest == self.its.spec), 0)

    @property
    def ruled(self) -> int:
        """Number of the record that holds the Model's spec as it is."""
        return self.rules[-1].record if self.rules else 0


def of(evidence: bundle.Evidence, version: str) -> Case:
    """The case of a version."""
    records = evidence.read()
    its, rules = provenance.of(version, records), provenance.rules(records)
    manifest = evidence.blob(its.verified[-1].text("manifest")) if its.verified else None
    try:
        files = read_manifest(manifest) if manifest is not None else None
    except ValueError:
        files = None
    return Case(
        evidence.chain,
        its,
        provenance.snapshot(api.ModelVersion, evidence.blob(its.spec)),
        provenance.snapshot(api.Model, evidence.blob(rules[-1].fact.digest)) if rules else {},
        rules,
        tuple(periods.of(records, lambda name: name == version)),
        (*coverage.gaps(evidence.terms()), *(gap for record in records for gap in coverage.lost(record))),
        files,
        tuple(
            (one, templates.differences(evidence.blob(one.before), evidence.blob(one.after)))
            for one in templates.unapproved(records, evidence.blob)
            if one.version == version
        ),
        tuple(records),
        tuple(name for name in bundle.named(its, rules) if evidence.blob(name) is None),
    )
