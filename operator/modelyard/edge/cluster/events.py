"""Kubernetes Events: posted beside the work, and lost rather than waited for.

Who imports a thousand versions waits for them to be Ready, and not for a thousand Events, which cost the API server as much as the statuses do:
after a first burst they are posted at an even pace, warnings first, each as of when it happened.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import itertools
import logging
import math
from typing import Any, Final, Protocol

from modelyard import edge
from modelyard.edge import metrics
from modelyard.edge.cluster import client
from modelyard.plan import finding

log = logging.getLogger(__name__)

KEPT: Final = 10_000
"""The most Events that wait to be posted; more are counted as lost rather than delay the work."""
BURST: Final = 25
"""Events that are posted at once after a rest."""
PACE: Final = 10.0
"""Events per second in the long run."""


class Creator(Protocol):
    """Creates objects: `client.Cluster`."""

    async def create(self, obj: client.Json) -> client.Json:
        """Create an object."""


class Recorder:
    """Posts Events one after another, beside the work."""

    def __init__(self, reach: Creator) -> None:
        self._reach = reach
        self._count = itertools.count()
        self._waiting: asyncio.PriorityQueue[tuple[bool, int, datetime.datetime, finding.Event]] = asyncio.PriorityQueue(KEPT)
        """Warnings first, then the others, each in the order in which they happened."""

    def post(self, event: finding.Event) -> None:
        """Queue an Event to be posted."""
        try:
            self._waiting.put_nowait((not event.warning, next(self._count), datetime.datetime.now(datetime.UTC), event))
        except asyncio.QueueFull:
            metrics.EVENTS_LOST.inc()

    async def run(self) -> None:
        """Post until cancelled."""
        clock = asyncio.get_running_loop().time
        due = -math.inf  # when the next Event may be posted
        while True:
            await asyncio.sleep(max(0.0, due - clock()))
            *_, happened, event = await self._waiting.get()
            due = max(due, clock() - (BURST - 1) / PACE) + 1 / PACE
            try:
                await self._reach.create(_event(event, happened))
            except (edge.Unavailable, client.Refused, client.Conflict) as trouble:
                metrics.EVENTS_LOST.inc()
                log.warning("an Event could not be posted: %s", trouble, extra={"object": f"{event.kind}/{event.namespace}/{event.name}"})
            except Exception:  # a faulty Event must not end the operator
                metrics.EVENTS_LOST.inc()
                log.exception("an Event could not be posted", extra={"object": f"{event.kind}/{event.namespace}/{event.name}"})


def _event(event: finding.Event, happened: datetime.datetime) -> dict[str, Any]:
    moment = happened.strftime("%Y-%m-%dT%H:%M:%SZ")
    unique = hashlib.sha256(f"{event}{happened.timestamp()}".encode()).hexdigest()[:16]
    involved = {
        "apiVersion": client.KINDS[event.kind].api_version,
        "kind": event.kind,
        "namespace": event.namespace,
        "name": event.name,
        "uid": event.uid,
    }
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{event.name[:200]}.{unique}", "namespace": event.namespace},
        "involvedObject": involved,
        "type": "Warning" if event.warning else "Normal",
        "reason": str(event.fact.reason),
        "message": event.fact.message[:1024],
        "source": {"component": "modelyard"},
        "reportingComponent": "modelyard",
        "reportingInstance": "modelyard",
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
