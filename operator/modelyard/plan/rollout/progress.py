"""The progress of a stage's rollout, and the rollout that a promotion begins with."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Final

from modelyard import api
from modelyard.api import meta, serving, stage
from modelyard.api.reason import Reason
from modelyard.plan import finding
from modelyard.plan.observed.world import Question, Render, World
from modelyard.plan.serving import agreed, template

RETRY: Final = datetime.timedelta(seconds=15)
NOTHING: Final = finding.Finding(Reason.PROGRESSING, "")


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a rollout."""

    done: bool = False
    expired: bool = False
    """It will not become available: put it back."""
    said: finding.Finding = NOTHING
    again: datetime.timedelta | None = None


def judge(
    world: World, stage_status: api.StageStatus, now: datetime.datetime, *, paused: bool, since: datetime.datetime | None = None
) -> Progress:
    """Return the progress of the stage's rollout; its deadline counts from `since`, by default from the beginning of the rollout."""
    rollout = stage_status.rollout
    declared = world.stage(stage_status.name)
    if declared is None:
        return Progress(
            expired=True, said=finding.Finding(Reason.STAGE_MISSING, f"the stage {stage_status.name} was removed from the Model")
        )
    if rollout is None or rollout.template is None or declared.serving is None:
        return Progress(done=True)
    deployment = world.deployments.get(stage_status.name)
    if deployment and deployment.template == rollout.template and deployment.complete:
        return Progress(done=True)
    for wish, why in world.refused.items():
        if wish.template == rollout.template:
            return Progress(expired=True, said=why)
    if paused:
        return Progress(said=finding.Finding(Reason.PAUSED, "spec.paused is set: set it to false to go on, or spec.abort to go back"))
    deadline = declared.serving.progress_deadline or serving.DEFAULT_PROGRESS_DEADLINE
    trouble = next(
        (pod.trouble for pod in world.pods if pod.stage == stage_status.name and pod.version == rollout.version and pod.trouble), None
    )
    reason = f": {trouble}" if trouble else ""
    since = since or rollout.since
    if now >= since + deadline:
        written = f"not available within {meta.write_duration(deadline)}{reason}"
        return Progress(expired=True, said=finding.Finding(Reason.DEADLINE_EXCEEDED, written))
    begun = deployment is not None and deployment.template == rollout.template and deployment.settled
    pods = (
        f"{deployment.updated} of {deployment.desired} pods started, {deployment.available} available"
        if deployment and begun
        else "starting"
    )
    return Progress(said=finding.Finding(Reason.ROLLING_OUT, f"{rollout.version}: {pods}{reason}"), again=since + deadline - now)


def begin(
    world: World, stage_status: api.StageStatus, version: str, now: datetime.datetime, *, rollback: bool = False
) -> stage.StageRollout | Question | finding.Finding:
    """Return the rollout of a version in a stage, once it is known what that renders to.

    Nobody approves a rollback, so it brings no template that people would have to approve: it runs with the template that serves.
    """
    declared = world.stage(stage_status.name)
    since = now.replace(microsecond=0)
    if declared is None or declared.serving is None:
        return stage.StageRollout(version=version, since=since)
    question = Render(stage_status.name, version, template.source(declared.serving))
    if rollback and agreed.waits(declared, stage_status):
        serving_status = stage_status.serving
        if serving_status is None or serving_status.template is None:
            return stage.StageRollout(version=version, since=since)  # nobody has approved a template
        question = Render(stage_status.name, version, serving_status.source or "", serving_status.template)
    if question not in world.answers:
        return question
    answer = world.answers[question]
    if not isinstance(answer, str):
        return (
            answer if isinstance(answer, finding.Finding) else finding.Finding(Reason.TEMPLATE_INVALID, "the template renders to nothing")
        )
    return stage.StageRollout(version=version, template=answer, source=question.source, since=since)
