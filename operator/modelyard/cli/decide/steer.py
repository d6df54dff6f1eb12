"""`modelyard abort`, `pause`, `resume`: a promotion on its way ends and the stage goes back, or waits where it is, or goes on."""

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
    """What can be asked of a promotion on its way."""

    field: str
    value: bool
    done: str
    ends: api.Phase | None = None
    """What it leads to."""


ABORT: Final = Turn("abort", value=True, done="is to end; the stage goes back to what it stands for", ends=api.Phase.ABORTED)
PAUSE: Final = Turn("paused", value=True, done="stops where it is, until `modelyard resume`; `modelyard abort` goes back")
RESUME: Final = Turn("paused", value=False, done="goes on")
_TAKES: Final = "it takes the verb `promote` on the stage of the Model: ask who governs it"


def steer(server: cluster.Registry, name: str, turn: Turn, *, wait: bool = False, timeout: float = 0, asked: str | None) -> None:
    """Set spec.abort or spec.paused as the person who typed; nothing is written when it is so already.

    Args:
        server: where it is.
        name: of the Promotion.
        turn: what is asked of it.
        wait: follow it to its end, which has to be Aborted.
        timeout: how many seconds that may take.
        asked: how to print.

    Raises:
        outcome.Stop: there is no such promotion, it has ended, the API server refuses, or with `wait` it ended in another way.
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
    cluster.written(client.PROMOTION, promotion, form)
    if wait and cluster.phase_of(promotion) != turn.ends:
        raise exits.Stop(exits.Code.NO, f"Promotion {name} was not aborted: {cluster.told_of(promotion)}")


def steps(obj: Json, me: str, turn: Turn) -> list[Json]:
    """The JSON patch that asks it of a promotion on its way.

    Raises:
        outcome.Stop: it has ended.
    """
    if promote.has_ended(obj):
        spec, message = obj["spec"], f"Promotion {obj['metadata']['name']} has ended: {cluster.told_of(obj)}"
        back = f"`modelyard rollback {spec['model']} {spec['stage']} --reason TEXT` goes back to what the stage stood for before"
        raise exits.Stop(exits.Code.NO, f"{message}\n{back}" if cluster.phase_of(obj) == api.Phase.SUCCEEDED else message)
    # Each change of the spec makes a new generation, so this one test holds for the line that signs it as well.
    return [
        {"op": "test", "path": "/metadata/generation", "value": obj["metadata"]["generation"]},
        {"op": "add", "path": f"/spec/{turn.field}", "value": turn.value},
        *authorship.steps(obj, me),
    ]
