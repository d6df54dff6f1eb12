"""What a stage demands: each gate a pure check, named as the statement that must be true, with a row in `status.gates`."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from collections.abc import Sequence

from modelyard import api
from modelyard.api import model as model_api
from modelyard.api import modelversion, promotion
from modelyard.api.reason import Reason
from modelyard.plan import fact, world


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One version that wants one stage."""

    world: world.World
    stage: str
    version: str
    rollback: bool = False

    @property
    def subject(self) -> api.ModelVersion | None:
        """The version that is to be promoted."""
        return self.world.versions.get(self.version)

    @property
    def demands(self) -> model_api.Gates:
        """The gates of the stage."""
        declared = self.world.stage(self.stage)
        return (declared.gates if declared else None) or model_api.Gates()


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """How one gate was judged."""

    name: str
    held: fact.Held | None
    message: str

    def row(self) -> promotion.GateStatus:
        """As `status.gates` shows it."""
        return promotion.GateStatus(name=self.name, passed=self.held is None, message=self.held.message if self.held else self.message)


def model_is_active(case: Case, now: datetime.datetime) -> fact.Held | None:
    del now
    model = case.world.model
    if model is None:
        return fact.Held(Reason.MODEL_MISSING, f"the Model {case.world.name} does not exist yet; apply it, and this goes on")
    if model.spec.lifecycle == model_api.ModelLifecycle.RETIRED:
        return _person(Reason.MODEL_RETIRED, f"the Model {case.world.name} is Retired: nothing is promoted any more")
    return None


def stage_is_declared(case: Case, now: datetime.datetime) -> fact.Held | None:
    del now
    if case.world.model is None or case.world.stage(case.stage):
        return None
    names = ", ".join(stage.name for stage in case.world.stages())
    return _person(Reason.STAGE_MISSING, f"the Model {case.world.name} has no stage {case.stage}; it has {names}")


def strategy_is_supported(case: Case, now: datetime.datetime) -> fact.Held | None:
    del now
    declared = case.world.stage(case.stage)
    serving = declared.serving if declared else None
    if serving is None:
        return None
    if serving.strategy in {model_api.Strategy.CANARY, model_api.Strategy.BLUE_GREEN}:
        message = f"the stage {case.stage} asks for the strategy {serving.strategy}, which this release does not have: use RollingUpdate or Recreate"
        return _person(Reason.STRATEGY_NOT_SUPPORTED, message)
    if serving.analysis:
        message = f"the stage {case.stage} declares an analysis, which this release cannot judge: remove it, or keep the stage waiting"
        return _person(Reason.GATE_NOT_SUPPORTED, message)
    return None


def version_is_ready(case: Case, now: datetime.datetime) -> fact.Held | None:
    del now
    subject = case.subject
    called = f"{case.world.name}-{case.version}"
    if subject is None:
        return fact.Held(Reason.VERSION_MISSING, f"the ModelVersion {called} does not exist yet; apply it, and this goes on")
    phase = subject.status.phase
    if subject.spec.lifecycle == modelversion.VersionLifecycle.RETIRED or phase == api.VersionPhase.REUSED:
        return _person(Reason.VERSION_RETIRED, f"the ModelVersion {called} is {phase or subject.spec.lifecycle}: nothing promotes it")
    if subject.spec.lifecycle == modelversion.VersionLifecycle.DEPRECATED and not case.rollback:
        return _person(Reason.VERSION_RETIRED, f"the ModelVersion {called} is Deprecated: set spec.lifecycle to Active to promote it")
    verified = fact.find(subject.status.conditions, "Verified")
    if phase == api.VersionPhase.QUARANTINED:
        return _person(
            Reason.QUARANTINED, f"the ModelVersion {called} is Quarantined: {verified.message if verified else 'its bytes changed'}"
        )
    if phase == api.VersionPhase.FAILED:
        return _person(
            Reason.VERSION_NOT_READY, f"the ModelVersion {called} is Failed: {verified.message if verified else ''}".rstrip(": ")
        )
    if verified and verified.status == api.ConditionStatus.TRUE and subject.status.artifact:
        return None
    return fact.Held(
        Reason.VERSION_NOT_READY,
        f"the ModelVersion {called} is {phase or 'Pending'}: {verified.message if verified else 'not verified yet'}",
    )


def succeeded_in_the_stages_before(case: Case, now: datetime.datetime) -> fact.Held | None:
    del now
    missing = [stage for stage in case.demands.after or [] if not has_succeeded(case.world, stage, case.version)]
    if not missing:
        return None
    return fact.Held(Reason.WAITING_FOR_STAGE, f"{case.version} has not Succeeded in {', '.join(missing)} yet; it waits for that")


def stage_is_not_frozen(case: Case, now: datetime.datetime) -> fact.Held | None:
    declared = case.world.stage(case.stage)
    frozen = declared.frozen if declared else None
    if frozen is None or (frozen.until and frozen.until <= now):
        return None
    until = f" until {frozen.until.isoformat()}" if frozen.until else "; it ends when spec.stages[].frozen is removed"
    return fact.Held(Reason.FROZEN, f"the stage {case.stage} is frozen ({frozen.reason}){until}", until=frozen.until)


def no_gate_is_declared_that_cannot_be_judged(case: Case, now: datetime.datetime) -> fact.Held | None:
    del now
    demands = case.demands
    declared = {
        "servedFor": demands.served_for,
        "metrics": demands.metrics,
        "evidence": demands.evidence,
        "documentation": demands.documentation,
        "approvals": demands.approvals,
    }
    unknown = [gate for gate, value in declared.items() if value]
    if not unknown:
        return None
    message = f"the stage {case.stage} declares {', '.join(unknown)}, which this release cannot judge: it holds rather than pass unchecked"
    return _person(Reason.GATE_NOT_SUPPORTED, message)


def has_succeeded_here_before(case: Case, now: datetime.datetime) -> fact.Held | None:
    del now
    if any(done.spec.version == case.version for done in successes(case.world, case.stage)):
        return None
    message = f"{case.version} never Succeeded in {case.stage}: a rollback goes back to a version that has; promote it instead"
    return _person(Reason.WAITING_FOR_STAGE, message)


_ALWAYS: Sequence[tuple[str, fact.Check[Case], str]] = (
    ("model", model_is_active, "the Model is Active"),
    ("stage", stage_is_declared, "the stage is declared"),
    ("version", version_is_ready, "the version is Ready: every byte is verified"),
    ("strategy", strategy_is_supported, "the stage's strategy is one of this release"),
)
_FORWARD: Sequence[tuple[str, fact.Check[Case], str]] = (
    ("after", succeeded_in_the_stages_before, "the version has Succeeded in the stages before"),
    ("frozen", stage_is_not_frozen, "the stage is not frozen"),
    ("supported", no_gate_is_declared_that_cannot_be_judged, "every declared gate can be judged"),
)
_BACKWARD: Sequence[tuple[str, fact.Check[Case], str]] = (("rollback", has_succeeded_here_before, "the version has Succeeded here before"),)


def judge(case: Case, now: datetime.datetime) -> tuple[Verdict, ...]:
    """Every gate of the stage for this version, in the order in which they are shown."""
    checks = [*_ALWAYS, *(_BACKWARD if case.rollback else _FORWARD)]
    return tuple(Verdict(name, check(case, now), sentence) for name, check, sentence in checks)


def worst(verdicts: Sequence[Verdict]) -> fact.Held | None:
    """What holds it: something only a person can mend comes before what heals by itself."""
    held = [verdict.held for verdict in verdicts if verdict.held]
    return next((one for one in held if one.waits == fact.Waits.FOR_A_PERSON), held[0] if held else None)


def successes(seen: world.World, stage: str) -> list[api.Promotion]:
    """The promotions that Succeeded in a stage, the latest last; Superseded ones among them, since those had succeeded."""
    done = [
        one
        for one in seen.promotions
        if one.spec.stage == stage and (found := fact.find(one.status.conditions, "Succeeded")) and found.status == api.ConditionStatus.TRUE
    ]
    return sorted(done, key=lambda one: (one.status.finished_at or one.status.started_at or now_unknown(), world.order(one)))


def has_succeeded(seen: world.World, stage: str, version: str) -> bool:
    """Whether a version has Succeeded in a stage and was not undone there since."""
    if seen.stands(stage).current == version:
        return True
    done = successes(seen, stage)
    undone = {one.metadata.uid for one, after in itertools.pairwise(done) if after.spec.rollback and after.spec.version != one.spec.version}
    return any(one.spec.version == version and one.metadata.uid not in undone for one in done)


def now_unknown() -> datetime.datetime:
    """A time before all others, for what was never dated."""
    return datetime.datetime.min.replace(tzinfo=datetime.UTC)


def _person(reason: Reason, message: str) -> fact.Held:
    return fact.Held(reason, message, fact.Waits.FOR_A_PERSON)
