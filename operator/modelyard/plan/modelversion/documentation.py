"""Which documentation a model's risk tier demands, and what of it a version lacks."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Final

from modelyard import api
from modelyard.api.gates import EvidenceType
from modelyard.api.lineage import DatasetRole
from modelyard.api.model import RiskTier
from modelyard.plan import finding


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """What the items are checked against."""

    model: api.Model
    version: api.ModelVersion
    verified: bool
    """Whether the bytes of the version's evidence are verified; evidence that is not does not count."""

    def proves(self, kind: EvidenceType) -> bool:
        """Return whether there is a verified document of this type."""
        return self.verified and any(document.type == kind for document in self.version.spec.evidence or [])


Item = tuple[str, Callable[[File], bool]]
"""What is demanded, in words with its field; and the check whether it is there."""


def _artifact(file: File) -> bool:
    return bool(file.version.spec.artifact.digest or file.version.status.artifact)


def _training_source(file: File) -> bool:
    training = file.version.spec.training
    return bool(training and training.source)


def _metrics(file: File) -> bool:
    return any(math.isfinite(value) for value in (file.version.spec.metrics or {}).values())


def _training_data(file: File) -> bool:
    lineage = file.version.spec.lineage
    trained = [dataset for dataset in (lineage.datasets if lineage else None) or [] if dataset.role == DatasetRole.TRAINING]
    return bool(trained) and all(dataset.digest for dataset in trained)


def _limitations(file: File) -> bool:
    card = file.version.spec.card
    return bool(card and card.limitations)


def _human_oversight(file: File) -> bool:
    card = file.version.spec.card
    return bool(card and card.human_oversight)


def _signature(file: File) -> bool:
    signature = file.version.spec.signature
    return bool(signature and signature.inputs and signature.outputs)


_OWN: Final[Mapping[RiskTier, tuple[Item, ...]]] = {
    RiskTier.LOW: (
        ("an owner (the Model's spec.owner)", lambda file: bool(file.model.spec.owner.team)),
        ("a description (the Model's spec.description)", lambda file: bool(file.model.spec.description)),
        ("the artifact's digest (spec.artifact.digest)", _artifact),
    ),
    RiskTier.MEDIUM: (
        ("the intended use (the Model's spec.intendedUse)", lambda file: bool(file.model.spec.intended_use)),
        ("the training's source (spec.training.source)", _training_source),
        ("metrics (spec.metrics)", _metrics),
        ("the training data sets, each with its digest (spec.lineage.datasets with role Training)", _training_data),
        ("the limitations (spec.card.limitations)", _limitations),
    ),
    RiskTier.HIGH: (
        ("a verified ValidationReport (spec.evidence)", lambda file: file.proves(EvidenceType.VALIDATION_REPORT)),
        ("a verified RiskAssessment (spec.evidence)", lambda file: file.proves(EvidenceType.RISK_ASSESSMENT)),
        ("the human oversight (spec.card.humanOversight)", _human_oversight),
        ("the signature: inputs and outputs (spec.signature)", _signature),
    ),
}
_TIERS: Final = tuple(RiskTier)
TABLE: Final[Mapping[RiskTier, tuple[Item, ...]]] = {
    tier: tuple(itertools.chain.from_iterable(_OWN[below] for below in _TIERS[: place + 1])) for place, tier in enumerate(_TIERS)
}
"""All items by tier, those of the tiers below included."""


def tier(model: api.Model) -> RiskTier:
    """Return the tier of a model; Low when it names none."""
    return model.spec.risk_tier or RiskTier.LOW


def missing(file: File) -> list[str]:
    """Return what the model's tier demands and the version lacks, in words."""
    return [words for words, there in TABLE[tier(file.model)] if not there(file)]


def evidence_is_verified(version: api.ModelVersion) -> bool:
    """Return whether every byte of a version's evidence, as it is declared now, is verified."""
    condition = finding.find(version.status.conditions, "EvidenceVerified")
    current = condition is not None and condition.observed_generation == version.metadata.generation
    return condition is not None and current and condition.status == api.ConditionStatus.TRUE
