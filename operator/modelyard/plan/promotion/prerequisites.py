"""A version that is to be promoted to a stage, and the gates that every promotion must meet, a rollback as well."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from typing import Final

from modelyard import api
from modelyard.api import gates, modelversion, serving
from modelyard.api.model import ModelLifecycle
from modelyard.api.reason import Reason
from modelyard.plan import finding
from modelyard.plan.observed.world import DryRun, World
from modelyard.plan.promotion import approvals, successes
from modelyard.plan.serving import agreed, template


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One version that is to be promoted to one stage."""

    world: World
    stage: str
    version: str
    rollback: bool = False
    promotion: api.Promotion | None = None
    """The request and its approvals; None: nobody has requested it yet, so nobody has approved it."""

    @classmethod
    def of(cls, world: World, promotion: api.Promotion) -> Case:
        """Return what a Promotion asks for."""
        return cls(world, promotion.spec.stage, promotion.spec.version, bool(promotion.spec.rollback), promotion)

    @property
    def wanted(self) -> api.ModelVersion | None:
        """Return the ModelVersion that is to be promoted."""
        return self.world.versions.get(self.version)

    @property
    def demands(self) -> gates.Gates:
        """Return the gates that the stage declares."""
        declared = self.world.stage(self.stage)
        return (declared.gates if declared else None) or gates.Gates()

    @property
    def subject(self) -> str | None:
        """Return the digest of what people are asked to approve; a rollback needs no approval."""
        return None if self.rollback else approvals.subject(self.world, self.stage, self.version)

    @property
    def approval_request(self) -> approvals.ApprovalRequest:
        """Return what people are asked to approve, and who has; a rollback needs no approval."""
        if self.rollback or self.promotion is None:
            return approvals.NOBODY
        return approvals.request(self.world, self.promotion, self.demands.approvals or [], self.subject)

    @property
    def asks_people(self) -> bool:
        """Return whether the promotion needs approvals."""
        return bool(self.demands.approvals) and not self.rollback


GateResult = finding.Unmet | str
"""Why a gate is unmet; or a sentence that says why it is met."""
Gate = Callable[[Case, datetime.datetime], GateResult]


def model_is_active(case: Case, now: datetime.datetime) -> GateResult:
    del now
    model = case.world.model
    if model is None:
        return finding.Unmet(Reason.MODEL_MISSING, f"the Model {case.world.name} does not exist yet; apply it, and this goes on")
    if model.spec.lifecycle == ModelLifecycle.RETIRED:
        return person(Reason.MODEL_RETIRED, f"the Model {case.world.name} is Retired: nothing is promoted any more")
    return "the Model is Active"


def stage_is_declared(case: Case, now: datetime.datetime) -> GateResult:
    del now
    if case.world.model is None or case.world.stage(case.stage):
        return "the stage is declared"
    names = ", ".join(stage.name for stage in case.world.stages())
    return person(Reason.STAGE_MISSING, f"the Model {case.world.name} has no stage {case.stage}; it has {names}")


def strategy_is_supported(case: Case, now: datetime.datetime) -> GateResult:
    del now
    declared = case.world.stage(case.stage)
    runs = declared.serving if declared else None
    if runs and runs.strategy in {serving.Strategy.CANARY, serving.Strategy.BLUE_GREEN}:
        message = (
            f"the stage {case.stage} asks for the strategy {runs.strategy}, which this release does not have: use RollingUpdate or Recreate"
        )
        return person(Reason.STRATEGY_NOT_SUPPORTED, message)
    if runs and runs.analysis:
        message = f"the stage {case.stage} declares an analysis, which this release cannot judge: remove it, or keep the stage waiting"
        return person(Reason.GATE_NOT_SUPPORTED, message)
    return "the stage's strategy is one of this release"


def template_is_valid(case: Case, now: datetime.datetime) -> GateResult:
    del now
    declared = case.world.stage(case.stage)
    if declared is None or declared.serving is None:
        return "the stage serves nothing"
    if case.rollback and agreed.waits(declared, case.world.stands(case.stage)):
        return "a rollback runs with the template that serves, as people have not agreed to the declared one"
    answer = case.world.answers.get(DryRun(case.stage, template.source(declared.serving)))
    if isinstance(answer, finding.Unmet):  # the dry run has no answer yet
        return answer
    if isinstance(answer, finding.Finding):
        return person(answer.reason, answer.message)
    return "the API server takes what the stage's template renders to"


def version_is_ready(case: Case, now: datetime.datetime) -> GateResult:
    del now
    wanted = case.wanted
    called = f"{case.world.name}-{case.version}"
    if wanted is None:
        return finding.Unmet(Reason.VERSION_MISSING, f"the ModelVersion {called} does not exist yet; apply it, and this goes on")
    phase = wanted.status.phase
    over = {api.VersionPhase.RETIRED, api.VersionPhase.REUSED}
    if wanted.spec.lifecycle == modelversion.VersionLifecycle.RETIRED or phase in over:
        return person(Reason.VERSION_RETIRED, f"the ModelVersion {called} is {phase or wanted.spec.lifecycle}: nothing promotes it")
    past = case.world.past.versions.get(case.version) if case.world.past else None
    if past and past.digest and past.retired:
        message = f"the ModelVersion {called} was Retired on {past.retired[0][:10]}, which is final: promote another version"
        return person(Reason.VERSION_RETIRED, message)
    if wanted.spec.lifecycle == modelversion.VersionLifecycle.DEPRECATED and not case.rollback:
        return person(Reason.VERSION_RETIRED, f"the ModelVersion {called} is Deprecated: set spec.lifecycle to Active to promote it")
    verified = finding.find(wanted.status.conditions, "Verified")
    if phase == api.VersionPhase.QUARANTINED:
        return person(
            Reason.QUARANTINED, f"the ModelVersion {called} is Quarantined: {verified.message if verified else 'its bytes changed'}"
        )
    if phase == api.VersionPhase.FAILED:
        return person(Reason.VERSION_NOT_READY, f"the ModelVersion {called} is Failed: {verified.message if verified else ''}".rstrip(": "))
    if verified and verified.status == api.ConditionStatus.TRUE and wanted.status.artifact:
        return "the version is Ready: every byte is verified"
    if case.rollback and verified and verified.status == api.ConditionStatus.UNKNOWN and wanted.status.artifact:
        when = wanted.status.artifact.verified_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"every byte was verified at {when}; that cannot be looked at now, and going back does not wait for it: {verified.message}"
    return finding.Unmet(
        Reason.VERSION_NOT_READY,
        f"the ModelVersion {called} is {phase or 'Pending'}: {verified.message if verified else 'not verified yet'}",
    )


def has_succeeded_here_before(case: Case, now: datetime.datetime) -> GateResult:
    del now
    if case.version in successes.ever(case.world, case.stage):
        return "the version has Succeeded here before"
    message = f"{case.version} never Succeeded in {case.stage}: a rollback goes back to a version that has; promote it instead"
    return person(Reason.WAITING_FOR_STAGE, message)


ALWAYS: Final[Sequence[tuple[str, Gate]]] = (
    ("model", model_is_active),
    ("stage", stage_is_declared),
    ("version", version_is_ready),
    ("strategy", strategy_is_supported),
    ("template", template_is_valid),
)


def person(reason: Reason, message: str) -> finding.Unmet:
    """Return an unmet gate that only a person can mend."""
    return finding.Unmet(reason, message, finding.Waits.FOR_A_PERSON)
