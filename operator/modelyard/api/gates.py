"""Gates: what must hold at the moment a stage of a Model is granted."""

from __future__ import annotations

import enum
from typing import Annotated, Final

import pydantic

from modelyard.api import meta
from modelyard.api.openapi import schema
from modelyard.api.openapi.schema import Rule, Says


class EvidenceType(enum.StrEnum):
    VALIDATION_REPORT = "ValidationReport"
    RISK_ASSESSMENT = "RiskAssessment"
    MODEL_CARD = "ModelCard"
    BIAS_REPORT = "BiasReport"
    SECURITY_REVIEW = "SecurityReview"
    OTHER = "Other"


class MetricGate(meta.Object):
    """A number that a version declares must be good enough."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=schema.rules(
            schema.exactly_one("atLeast", "atMost", "notWorseThan"),
            Rule("!has(self.tolerance) || has(self.notWorseThan)", "tolerance goes with notWorseThan: add that, or remove tolerance"),
        )
    )

    name: Annotated[meta.MetricName, Says("A key of the version's spec.metrics.")]
    at_least: Annotated[float | None, Says("The smallest value that passes.")] = None
    at_most: Annotated[float | None, Says("The largest value that passes.")] = None
    not_worse_than: Annotated[
        meta.StageName | None,
        Says(
            "A stage, this one too: the value must be at least that of the version that serves there now, less tolerance. Nothing there: passes."
            " Larger counts as better; use atMost for what should be small."
        ),
    ] = None
    tolerance: Annotated[float | None, Says("How much less still counts as not worse, in the metric's own unit; absent: 0.", minimum=0)] = (
        None
    )


MOST_PEOPLE: Final = 24
"""Approvals that a stage may require; more than the entries of a Promotion could never be given, and who withdraws or does not count takes room."""


class ApprovalScope(enum.StrEnum):
    TEMPLATE = "Template"


class ApprovalGate(meta.Object):
    """People who must agree."""

    name: Annotated[meta.GateName, Says("What an approval names in its field gate; RBAC can grant it as models/<stage>/<name>.")]
    required: Annotated[int | None, Says("How many distinct people must approve; absent: 1.", minimum=1, maximum=16, format="int32")] = None
    scope: Annotated[
        ApprovalScope | None,
        Says(
            "Template: a changed `serving.template` or `serving.port` of the stage waits for people as well: it serves once a Promotion of the version"
            " that the stage is at was granted. Absent: people are asked for promotions only."
        ),
    ] = None
    allow_service_accounts: Annotated[bool | None, Says("Whether users whose name begins with `system:` count; absent: false.")] = None


class Gates(meta.Object):
    """What must hold at the moment a stage is granted."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=schema.rules(
            Rule(
                "!has(self.servedFor) || has(self.after)",
                "servedFor counts from the stages in after: add after, or remove servedFor",
                ".servedFor",
            ),
            Rule(
                f"!has(self.approvals) || self.approvals.map(a, has(a.required) ? a.required : 1).sum() <= {MOST_PEOPLE}",
                f"the gates of a stage may require {MOST_PEOPLE} people together, as a Promotion has room for 32 entries, withdrawn ones among "
                "them: set required lower, or remove a gate",
                ".approvals",
            ),
        )
    )

    after: Annotated[
        list[meta.StageName] | None,
        Says(
            "Stages that the version must have Succeeded in, not undone since; absent: none.",
            **{schema.LIST_TYPE: "set", "minItems": 1, "maxItems": 15},
        ),
    ] = None
    served_for: Annotated[
        meta.Duration | None,
        Says("How long the version must have served in every stage of after; where that does not serve: since it Succeeded there."),
    ] = None
    metrics: Annotated[
        list[MetricGate] | None,
        Says("Numbers of the version's spec.metrics that must be good enough.", **schema.listed_by("name", most=32, least=1)),
    ] = None
    evidence: Annotated[
        list[EvidenceType] | None,
        Says(
            "Types of which the version must have evidence whose bytes are verified.",
            **{schema.LIST_TYPE: "set", "minItems": 1, "maxItems": 6},
        ),
    ] = None
    documentation: Annotated[bool | None, Says("Whether the documentation that riskTier demands must be complete; absent: false.")] = None
    approvals: Annotated[
        list[ApprovalGate] | None, Says("Groups of people who must agree.", **schema.listed_by("name", most=8, least=1))
    ] = None


class Freeze(meta.Object):
    """A time in which nothing is granted."""

    reason: Annotated[str, Says("Why, as the waiting promotions show it.", minLength=1, maxLength=512)]
    until: Annotated[meta.Timestamp | None, Says("When it ends by itself; absent: when frozen is removed.")] = None
