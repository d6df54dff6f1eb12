"""`modelyard abort`, `pause`, `resume`: end an unfinished promotion and put its stage back, pause it, or resume it."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from modelyard import api
from modelyard.api import meta
from modelyard.cli.decide import promote
from modelyard.cli.reach import authorship, cluster
from modelyard.cli.terminal import exits, output, validation
from modelyard.edge.cluster import client

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Turn:
    """A change of an unfinished promotion's spec: abort, pause or resume."""

    field: str
    value: bool
    done: str
    ends: api.Phase | None = None
    """The phase in which the promotion ends."""


ABORT: Final = Turn("abort", value=True, done="is to end; the stage goes back to its current version", ends=api.Phase.ABORTED)
PAUSE: Final = Turn("paused", value=True, done="stops where it is, until `modelyard resume`; `modelyard abort` goes back")
RESUME: Final = Turn("paused", value=False, done="goes on")
_TAKES: Final = "it takes the verb `promote` on the stage of the Model: ask who governs it"


def steer(server: cluster.Registry, name: str, turn: Turn, *, wait: bool = False, timeout: float = 0, asked: str | None) -> None:
    """Set spec.abort or spec.paused as the user; write nothing when the field has the value already.

    Args:
        server: the cluster and namespace of the promotion.
        name: of the Promotion.
        turn: the change to make.
        wait: follow the promotion to its end, which has to be Aborted.
        timeout: seconds to wait at most.
        asked: the output form.

    Raises:
        exits.Stop: the promotion does not exist or has ended, the API server refuses, or with `wait` it ended in another phase.
    """
    form = output.form(asked, *promote.FORMS)
    validation.check(meta.ObjectName, name, "the promotion")
    promotion = server.get(client.PROMOTION, name, "see which there are with `kubectl get promotions`")
    if bool(promotion["spec"].get(turn.field)) == turn.value and (
        not promote.has_ended(promotion) or cluster.phase_of(promotion) == turn.ends
    ):
        output.say(f"Promotion {name}: spec.{turn.field} is {str(turn.value).lower()} already")
    else:
        promotion = server.patch(client.PROMOTION, name, lambda obj, me: steps(obj, me, turn), takes=_TAKES)
        spec = promotion["spec"]
        output.say(output.safe(f"Promotion {name}, {spec['model']} {spec['version']} for {spec['stage']}, {turn.done}"))
    if wait:
        promotion = server.follow(client.PROMOTION, name, timeout, promote.has_ended)
    cluster.print_object(client.PROMOTION, promotion, form)
    if wait and cluster.phase_of(promotion) != turn.ends:
        raise exits.Stop(exits.Code.NO, f"Promotion {name} was not aborted: {cluster.summary_of(promotion)}")


def steps(obj: Json, me: str, turn: Turn) -> list[Json]:
    """Return the JSON patch that makes the change.

    Raises:
        exits.Stop: the promotion has ended.
    """
    if promote.has_ended(obj):
        spec, message = obj["spec"], f"Promotion {obj['metadata']['name']} has ended: {cluster.summary_of(obj)}"
        back = f"`modelyard rollback {spec['model']} {spec['stage']} --reason TEXT` goes back to the version before"
        raise exits.Stop(exits.Code.NO, f"{message}\n{back}" if cluster.phase_of(obj) == api.Phase.SUCCEEDED else message)
    # Each change of the spec makes a new generation, so this test also covers the line that signs it.
    return [
        {"op": "test", "path": "/metadata/generation", "value": obj["metadata"]["generation"]},
        {"op": "add", "path": f"/spec/{turn.field}", "value": turn.value},
        *authorship.steps(obj, me),
    ]
