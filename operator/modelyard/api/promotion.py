"""Promotion: one request to bring one version to one stage, its approvals, its rollout and its outcome."""

from __future__ import annotations

import enum
from typing import Annotated

import pydantic

from modelyard.api import meta
from modelyard.api.openapi import schema
from modelyard.api.openapi.schema import Rule, Says


class Decision(enum.StrEnum):
    APPROVED = "Approved"
    REJECTED = "Rejected"
    WITHDRAWN = "Withdrawn"


class Approval(meta.Object):
    """What one person says for one gate; written by that person."""

    user: Annotated[str, Says("The person's name, as the API server authenticates it.", minLength=1, maxLength=256)]
    gate: Annotated[meta.GateName, Says("Name of an entry in the stage's gates.approvals.")]
    decision: Annotated[Decision, Says("What the person says; to take it back, write Withdrawn.")]
    subject: Annotated[
        meta.Digest | None,
        Says("The status.subject that this is about; absent: the current one, filled in by the API server (from Kubernetes 1.36)."),
    ] = None
    comment: Annotated[str | None, Says("Why.", maxLength=1024)] = None


class PromotionSpec(meta.Object):
    """What is asked for."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=schema.rules(
            *(
                Rule(f"self.{field} == oldSelf.{field}", f"{field} cannot change: put it back, or create another Promotion", f".{field}")
                for field in ("model", "version", "stage")
            ),
            *(
                schema.unchanged(field, f"{field} cannot change: put it back, or create another Promotion")
                for field in ("reason", "rollback", "requestedBy")
            ),
            schema.one_way("abort", "true", "abort is final: put abort: true back, or create another Promotion"),
            schema.kept("approvals", "approvals stay: put them back; to take yours back set its decision to Withdrawn"),
        )
    )

    model: Annotated[meta.ModelName, Says("Name of the Model, in the same namespace. Immutable.")]
    version: Annotated[meta.VersionName, Says("The version to bring to the stage: a ModelVersion's spec.version, in quotes. Immutable.")]
    stage: Annotated[meta.StageName, Says("The stage of the Model to bring it to. Immutable.")]
    reason: Annotated[str | None, Says("Why, with a ticket's number at best. Immutable.", maxLength=1024)] = None
    rollback: Annotated[
        bool | None,
        Says(
            "Back to a version that has Succeeded in this stage before: skips gates, approvals and freezes, never RBAC, never Verified or Retired."
            " Absent: false. Immutable."
        ),
    ] = None
    requested_by: Annotated[
        str | None,
        Says("Who asks, as the API server authenticated them: it fills this in, leave it out. Immutable.", minLength=1, maxLength=256),
    ] = None
    approvals: Annotated[
        list[Approval] | None,
        Says(
            "What people say to the stage's gates.approvals; each writes the entry in their own name, and entries stay.",
            Rule(
                "oldSelf.all(o, self.exists(s, s.user == o.user && s.gate == o.gate))",
                "approvals stay: put the entry back; to take yours back set its decision to Withdrawn",
            ),
            **schema.listed_by("user", "gate", most=32),
        ),
    ] = None
    paused: Annotated[bool | None, Says("Stops the rollout where it is, until it is false again; absent: false.")] = None
    abort: Annotated[bool | None, Says("Stops for good and returns to the stage's version; one way. Absent: false.")] = None


class Phase(enum.StrEnum):
    PENDING = "Pending"
    BLOCKED = "Blocked"
    AWAITING_APPROVAL = "AwaitingApproval"
    ROLLING_OUT = "RollingOut"
    SUCCEEDED = "Succeeded"
    SUPERSEDED = "Superseded"
    ROLLED_BACK = "RolledBack"
    FAILED = "Failed"
    REJECTED = "Rejected"
    ABORTED = "Aborted"
    REUSED = "Reused"

    @property
    def is_terminal(self) -> bool:
        """Nothing will change it any more, but that a Succeeded one may be Superseded."""
        return self not in {Phase.PENDING, Phase.BLOCKED, Phase.AWAITING_APPROVAL, Phase.ROLLING_OUT}


class GateStatus(meta.Object):
    """Whether one gate holds."""

    name: Annotated[str, Says("Which gate, such as metrics/auc.")]
    passed: Annotated[bool, Says("Whether it holds.")]
    message: Annotated[str, Says("What was compared and who declared it, or what would make it hold and who can do that.")]


class Measurement(meta.Object):
    """One answer of an analysis."""

    name: Annotated[str, Says("Name of the analysis.")]
    value: Annotated[float | None, Says("The number; absent: no data.")] = None
    passed: Annotated[bool, Says("Whether it is good enough.")]
    at: Annotated[meta.Timestamp, Says("When it was measured.")]


class ApprovalStatus(meta.Object):
    """What one of the stage's approval gates asks for, and who has said yes."""

    gate: Annotated[str, Says("Name of the gate, as in the Model's gates.approvals; an approval names it.")]
    required: Annotated[int, Says("How many distinct people must approve.", format="int32")] = 1
    approved_by: Annotated[
        list[str] | None, Says("Whose approvals count: for the current subject, not the requester's.", **{schema.LIST_TYPE: "atomic"})
    ] = None
    allow_service_accounts: Annotated[
        bool | None,
        Says("Whether users whose name begins with `system:` may approve; the API server judges approvals by it; absent: false."),
    ] = None


class RolloutStatus(meta.Object):
    """How far the rollout is."""

    step: Annotated[int | None, Says("The canary's step, from 1.", format="int32")] = None
    weight: Annotated[int | None, Says("Share of the traffic that the version gets, in percent.", format="int32")] = None
    since: Annotated[
        meta.Timestamp, Says("When the rollout, or its step, began, or went on after a pause; `progressDeadline` counts from here.")
    ]
    template: Annotated[str | None, Says("sha256 of the rendered pod template, content-addressed in the operator's bucket.")] = None
    """sha256 of the rendered pod template, content-addressed in the operator's bucket."""
    measurements: Annotated[list[Measurement] | None, Says("The last answers of each analysis.", **{schema.LIST_TYPE: "atomic"})] = None


class PromotionStatus(meta.Object):
    """How it went; nobody but the operator writes it."""

    observed_generation: meta.ObservedGeneration = -1
    phase: Annotated[Phase | None, Says("The state in one word.")] = None
    conditions: meta.Conditions = []
    subject: Annotated[
        str | None,
        Says(
            "What is asked to be approved: digest of the stage, the artifact, all that is declared of it, and the stage's gates, strategy and template; kept current until the stage is granted."
        ),
    ] = None
    gates: Annotated[
        list[GateStatus] | None, Says("The stage's gates, each as it was last judged.", **schema.listed_by("name", most=128))
    ] = None
    approvals: Annotated[
        list[ApprovalStatus] | None,
        Says(
            "The stage's approval gates, each with who has approved; while AwaitingApproval, only these are taken.",
            **schema.listed_by("gate", most=8),
        ),
    ] = None
    rollout: Annotated[RolloutStatus | None, Says("How far the rollout is.")] = None
    started_at: Annotated[meta.Timestamp | None, Says("When the stage was granted.")] = None
    finished_at: Annotated[meta.Timestamp | None, Says("When it ended.")] = None
    recorded: Annotated[meta.Recorded | None, meta.RECORDED] = None


class Promotion(meta.Resource):
    """One request to bring one version of a model to one stage, its approvals, its rollout and its outcome."""

    kind: str = "Promotion"
    spec: PromotionSpec
    status: PromotionStatus = PromotionStatus()
