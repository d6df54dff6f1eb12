"""Stages: the places where a version of a Model can stand, and what the operator found and did in each."""

from __future__ import annotations

from typing import Annotated, Final

from modelyard.api import meta
from modelyard.api.gates import Freeze, Gates
from modelyard.api.openapi.schema import Rule, Says
from modelyard.api.serving import Serving


def _no_circle(rounds: int) -> str:
    """Takes away the stages that wait for none that is left, as often as there can be stages: what then is left goes in a circle.

    CEL has no loop and no variables; `[value].all(name, …)` gives a value a name.
    """
    check = f"size(left{rounds}) == 0"
    for number in range(rounds, 0, -1):
        before = f"left{number - 1}" if number > 1 else "self"
        waits = "has(s.gates) && has(s.gates.after)" + (
            f" && s.gates.after.exists(a, {before}.exists(t, t.name == a))" if number > 1 else ""
        )
        check = f"[{before}.filter(s, {waits})].all(left{number}, {check})"
    return check


STAGES: Final = (
    Rule(
        "self.all(s, !has(s.gates) || !has(s.gates.after) || s.gates.after.all(a, self.exists(t, t.name == a)))",
        "gates.after names a stage that is not declared: correct the name, or add the stage",
    ),
    Rule(
        _no_circle(16),
        "gates.after goes round in a circle, so no version could ever reach those stages: let each come after earlier ones only",
    ),
    Rule(
        "self.all(s, !has(s.gates) || !has(s.gates.metrics) || s.gates.metrics.all(m, !has(m.notWorseThan) || "
        "self.exists(t, t.name == m.notWorseThan)))",
        "notWorseThan names a stage that is not declared: correct the name, or add the stage",
    ),
)


class Stage(meta.Object):
    """A place where one version of the model stands."""

    name: Annotated[
        meta.StageName,
        Says("", Rule("self != 'candidate'", "the name candidate is reserved for what a canary adds: choose another, such as staging")),
        Says("Name of the stage; part of the names of what serves it."),
    ]
    auto_promote: Annotated[
        bool | None, Says("Whether a version that becomes Ready and passes the gates is promoted by itself; absent: false.")
    ] = None
    frozen: Annotated[Freeze | None, Says("While it is there nothing is granted, rollbacks excepted.")] = None
    gates: Annotated[Gates | None, Says("What must hold when the stage is granted; absent: that the version is Ready.")] = None
    serving: Annotated[Serving | None, Says("What runs the stage's version; absent: the stage only says which version is current.")] = None


class StagePromotion(meta.Object):
    """The promotion that holds a stage."""

    name: Annotated[str, Says("Name of the Promotion.")]
    uid: Annotated[str, Says("Its metadata.uid.")]
    version: Annotated[str, Says("The version that it brings.")]
    step: Annotated[int | None, Says("The canary's step, from 1.", format="int32")] = None
    weight: Annotated[int | None, Says("Share of the traffic for the version, in percent.", format="int32")] = None


class CandidateStatus(meta.Object):
    """What runs beside the stage's version."""

    version: Annotated[str, Says("The version that is being tried.")]
    available: Annotated[int, Says("Its available pods.", format="int32")] = 0


class ServingStatus(meta.Object):
    """What runs for a stage."""

    deployment: Annotated[str, Says("Name of the Deployment, and of the Service.")]
    desired: Annotated[int | None, Says("Pods asked for.", format="int32")] = None
    available: Annotated[int | None, Says("Pods available.", format="int32")] = None
    template: Annotated[
        str | None, Says("sha256 of the rendered pod template of the current version, content-addressed in the operator's bucket.")
    ] = None
    source: Annotated[str | None, Says("sha256 of the stage's `serving` as it was when that template was rendered.")] = None
    refused: Annotated[
        str | None, Says("sha256 of the `serving` that did not become available and was put back; tried again only when it changes.")
    ] = None
    candidate: Annotated[CandidateStatus | None, Says("The version beside it during a canary or blue-green rollout.")] = None


class StageRollout(meta.Object):
    """What is being rolled out in a stage: for the promotion that holds it, or because its template changed."""

    version: Annotated[str, Says("The version whose pods are being started.")]
    template: Annotated[str | None, Says("sha256 of its rendered pod template; absent: the stage serves nothing.")] = None
    source: Annotated[str | None, Says("sha256 of the stage's `serving` that it was rendered from.")] = None
    since: Annotated[meta.Timestamp, Says("When it began.")]


class Hold(meta.Object):
    """autoPromote rests."""

    since: Annotated[meta.Timestamp, Says("Since when.")]
    promotion: Annotated[str, Says("The Promotion whose rollback began it.")]


class StageStatus(meta.Object):
    """The current version of a stage, and what is happening to it."""

    name: Annotated[str, Says("Name of the stage.")]
    current: Annotated[str | None, Says("The stage's version, as recorded; absent: none.")] = None
    digest: Annotated[str | None, Says("Digest of that version's artifact.")] = None
    previous: Annotated[str | None, Says("The version before it.")] = None
    since: Annotated[meta.Timestamp | None, Says("Since when the stage is at current.")] = None
    promotion: Annotated[StagePromotion | None, Says("The Promotion that holds the stage now.")] = None
    rollout: Annotated[StageRollout | None, Says("What is being rolled out now.")] = None
    serving: Annotated[ServingStatus | None, Says("What runs for the stage.")] = None
    hold: Annotated[Hold | None, Says("After a rollback autoPromote rests, until a person makes a Promotion.")] = None


DEFAULT_STAGES = (
    Stage(name="development"),
    Stage(name="staging", gates=Gates(after=["development"])),
    Stage(name="production", gates=Gates(after=["staging"])),
)
"""What every model has without declaring any."""
