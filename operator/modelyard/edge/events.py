"""Events as people see them with kubectl: posted when there is time for it, and lost rather than waited for."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import logging
from typing import Any, Final

from modelyard import edge
from modelyard.edge import cluster, metrics
from modelyard.plan import fact

log = logging.getLogger(__name__)

KEPT: Final = 1000
"""Events that wait to be posted; more are counted as lost rather than hold anything up."""


class Recorder:
    """Posts Events one after the other, beside the work."""

    def __init__(self, reach: cluster.Cluster) -> None:
        self._reach = reach
        self._waiting: asyncio.Queue[fact.Event] = asyncio.Queue(KEPT)

    def post(self, event: fact.Event) -> None:
        """Post an Event when there is time for it."""
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            metrics.EVENTS_LOST.inc()

    async def run(self) -> None:
        """Post until cancelled."""
        while True:
            event = await self._waiting.get()
            try:
                await self._reach.create(_event(event))
            except (edge.Unavailable, cluster.Refused, cluster.Conflict) as trouble:
                metrics.EVENTS_LOST.inc()
                log.warning("an Event could not be posted: %s", trouble, extra={"object": f"{event.kind}/{event.namespace}/{event.name}"})


def _event(event: fact.Event) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC)
    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    unique = hashlib.sha256(f"{event}{now.timestamp()}".encode()).hexdigest()[:16]
    about = {
        "apiVersion": cluster.KINDS[event.kind].api_version,
        "kind": event.kind,
        "namespace": event.namespace,
        "name": event.name,
        "uid": event.uid,
    }
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{event.name[:200]}.{unique}", "namespace": event.namespace},
        "involvedObject": about,
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
