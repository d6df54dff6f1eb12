"""Where a dossier's fields answer what frameworks ask for, and where a registry cannot: a map, not an opinion about compliance. Pure.

The wording is ours. Sources: Regulation (EU) 2024/1689, Annex IV; SR 26-2 of 17 April 2026 (Federal Reserve, OCC Bulletin 2026-13, FDIC), which
replaced SR 11-7, leaves generative and agentic AI out of its scope, and numbers no requirements: its themes are the references; NIST AI 100-1
(AI RMF 1.0), its subcategories; OWASP AISVS 1.0 as locked at its release, chapter C3.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, Final

from modelyard.audit.dossier.fields import State

Json = dict[str, Any]


class Covers(enum.StrEnum):
    """How far the fields answer an item."""

    VERIFIED = "verified"
    DECLARED = "declared"
    PARTLY = "partly"
    MISSING = "missing"
    OUTSIDE = "outside"
    """A registry does not know it; the answer comes from elsewhere."""


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """One thing that a framework asks for, in our words, and the fields that answer it."""

    ref: str
    asks: str
    fields: tuple[str, ...] = ()
    beyond: str = ""
    """The part of it that the registry does not know."""


@dataclasses.dataclass(frozen=True, slots=True)
class Framework:
    """A framework, as far as a model's dossier can answer it."""

    id: str
    title: str
    items: tuple[Item, ...]


def coverage(states: Mapping[str, State]) -> list[Json]:
    """Return every framework with its items, and how far the fields of a dossier (by `section.field`) answer them."""
    return [
        {
            "id": framework.id,
            "title": framework.title,
            "items": [
                {
                    "ref": item.ref,
                    "asks": item.asks,
                    "fields": list(item.fields),
                    "covers": str(_covers(item, states)),
                    "beyond": item.beyond,
                }
                for item in framework.items
            ],
        }
        for framework in FRAMEWORKS
    ]


def _covers(item: Item, states: Mapping[str, State]) -> Covers:
    field_states = {states.get(name, State.MISSING) for name in item.fields}
    if not field_states:
        return Covers.OUTSIDE
    if field_states == {State.MISSING}:
        return Covers.MISSING
    if State.MISSING in field_states:
        return Covers.PARTLY
    return Covers.VERIFIED if field_states == {State.VERIFIED} else Covers.DECLARED


_EU: Final = Framework(
    "eu-ai-act-annex-iv",
    "EU AI Act (Regulation (EU) 2024/1689), Annex IV",
    (
        Item(
            "1(a)",
            "purpose, provider, version and how it relates to earlier ones",
            ("purpose.intendedUse", "identity.owner", "identity.version", "data.parents"),
        ),
        Item(
            "1(b)-(h)", "surroundings: hardware, firmware, user interface, instructions for use", (), "describe the system around the model"
        ),
        Item(
            "2(a)",
            "how it was developed, third parties' parts included",
            ("development.repository", "development.commit", "development.framework", "data.parents"),
        ),
        Item(
            "2(b)", "design: logic, choices, what it optimises", ("development.parameters", "purpose.outputs"), "rationale and trade-offs"
        ),
        Item("2(c)", "architecture and computing resources", ("development.image", "artifact.format"), "architecture and resources used"),
        Item(
            "2(d)",
            "data: provenance, scope, how they were obtained, labelled and cleaned",
            ("data.datasets", "data.summary"),
            "labelling and cleaning",
        ),
        Item("2(e)", "human oversight that is needed", ("purpose.humanOversight",)),
        Item("2(f)", "changes that were determined in advance", (), "a plan of such changes"),
        Item(
            "2(g)",
            "validation and testing: data, metrics, signed and dated reports",
            ("evaluation.metrics", "evaluation.gates", "evidence.documents", "data.datasets"),
        ),
        Item("2(h)", "cybersecurity", ("artifact.digest", "artifact.verifiedLast"), "measures around the model"),
        Item(
            "3",
            "capabilities, limitations, oversight, specification of inputs",
            ("purpose.limitations", "purpose.humanOversight", "purpose.inputs"),
        ),
        Item("4", "why the metrics are the right ones", ("evidence.documents",)),
        Item("5", "the risk management system", ("evidence.documents",), "the system of Article 9 itself"),
        Item("6", "changes through the lifecycle", ("changes.facts",)),
        Item("7", "standards that were applied", (), "a list of standards"),
        Item("8", "the EU declaration of conformity", (), "the declaration"),
        Item("9", "monitoring after it was put on the market, and its plan", ("deployment.spells",), "the plan, and outcomes"),
    ),
)
_SR: Final = Framework(
    "sr-26-2",
    "SR 26-2, Revised Guidance on Model Risk Management (17 April 2026; replaced SR 11-7)",
    (
        Item(
            "Inventory",
            "which models there are, what for, where they are used",
            ("identity.name", "identity.owner", "purpose.intendedUse", "deployment.spells"),
        ),
        Item("Materiality", "the model's purpose, and how much depends on it", ("identity.riskTier", "purpose.intendedUse"), "exposure"),
        Item(
            "Development and use",
            "purpose, theory, data and testing, limits of use",
            ("purpose.intendedUse", "purpose.limitations", "data.datasets", "development.commit", "evaluation.metrics"),
        ),
        Item(
            "Validation",
            "challenge by people who are independent of the developers",
            ("evidence.documents", "approvals.words"),
            "whether the validators are independent in the organisation",
        ),
        Item(
            "Monitoring and outcomes",
            "whether it goes on doing what it should",
            ("artifact.verifiedLast", "deployment.spells"),
            "outcomes analysis",
        ),
        Item(
            "Governance and controls",
            "roles, approvals, control of changes, documentation",
            ("approvals.requests", "approvals.words", "evaluation.gates", "changes.facts"),
        ),
        Item("Vendor and third-party models", "the same for what others built", ("data.parents", "development.framework"), "due diligence"),
    ),
)
_NIST: Final = Framework(
    "nist-ai-rmf-1.0",
    "NIST AI Risk Management Framework 1.0 (NIST AI 100-1)",
    (
        Item("GOVERN 1.4", "risk management is transparent", ("evaluation.gates", "changes.facts")),
        Item("GOVERN 1.6", "AI systems are inventoried", ("identity.name", "identity.version", "identity.riskTier")),
        Item("GOVERN 1.7", "decommissioning is orderly", ("retirement.lifecycle",), "decommissioning of what is around it"),
        Item("GOVERN 2.1", "roles and responsibilities are documented", ("identity.owner", "identity.registeredBy", "approvals.words")),
        Item(
            "GOVERN 6.1", "risks of third parties are addressed", ("data.parents", "development.framework"), "agreements with third parties"
        ),
        Item("MAP 1.1", "purpose and context are understood", ("purpose.intendedUse",)),
        Item("MAP 2.2", "limits of knowledge, and how outputs are overseen", ("purpose.limitations", "purpose.humanOversight")),
        Item("MAP 2.3", "scientific integrity, data selection, testing", ("data.datasets", "evidence.documents")),
        Item("MAP 3.5", "processes of human oversight", ("purpose.humanOversight",)),
        Item(
            "MEASURE 2.1", "test sets, metrics and tools are documented", ("data.datasets", "evaluation.metrics", "development.framework")
        ),
        Item(
            "MEASURE 2.3", "performance is measured under conditions like those of deployment", ("evaluation.metrics", "evaluation.gates")
        ),
        Item(
            "MEASURE 2.5",
            "validity is shown, limits beyond the training data are documented",
            ("evidence.documents", "purpose.limitations"),
        ),
        Item("MEASURE 2.8", "transparency and accountability", ("approvals.words", "changes.facts")),
        Item("MEASURE 2.11", "fairness and bias are evaluated", ("purpose.ethicalConsiderations", "evidence.documents")),
        Item("MANAGE 1.1", "a decision whether to go on with deployment", ("evaluation.gates", "approvals.words")),
        Item("MANAGE 2.4", "ways to supersede or deactivate it", ("deployment.spells", "retirement.lifecycle")),
        Item(
            "MANAGE 4.1",
            "monitoring after deployment, change management, decommissioning",
            ("deployment.spells", "changes.facts"),
            "feedback and incidents",
        ),
    ),
)
_AISVS: Final = Framework(
    "owasp-aisvs-1.0-c3",
    "OWASP AISVS 1.0, C3 Model Lifecycle Management and Change Control",
    (
        Item(
            "3.1.1",
            "an inventory of deployed artifacts and their origin",
            ("identity.name", "artifact.digest", "development.commit", "deployment.spells"),
        ),
        Item(
            "3.1.2",
            "artifacts are signed by authorised entities",
            (),
            "artifacts are named by their digest, not signed; the ledger's checkpoints can be",
        ),
        Item(
            "3.1.3",
            "signatures are checked at admission and on load",
            ("artifact.digest", "artifact.verifiedLast"),
            "digests are checked, in the pod as well; there are no signatures",
        ),
        Item(
            "3.2.1",
            "automated validation and safety tests before deployment",
            ("evaluation.gates", "evidence.documents"),
            "the tests themselves",
        ),
        Item("3.2.2", "quantised models are evaluated again", ("data.parents", "evaluation.metrics")),
        Item("3.2.3", "changes of a provider's model lead to a new evaluation", (), "hosted models are not registered here"),
        Item("3.3.1", "rollout with automated rollback", ("approvals.requests", "deployment.spells")),
        Item(
            "3.3.2", "a rollback restores all of the model's state", ("artifact.digest", "deployment.spells"), "state outside the artifact"
        ),
        Item("3.3.3", "versions in parallel do not share runtime state", (), "the serving software; pods of two versions are never shared"),
        Item("3.4.1", "environments do not share runtime components", (), "how stages are laid out on clusters"),
        Item("3.4.2", "training is isolated from production", (), "the training platform"),
        Item("3.5.1", "models used in fine-tuning are versioned and verified", ("data.parents",)),
        Item("3.5.2", "detection of reward hacking", (), "the training pipeline"),
        Item("3.5.3", "each stage of a pipeline verifies what the one before made", ("artifact.digest", "data.parents")),
        Item("3.5.4", "checkpoints are registered as artifacts of their own", ("data.parents",), "whether all of them were"),
    ),
)
FRAMEWORKS: Final = (_EU, _SR, _NIST, _AISVS)
