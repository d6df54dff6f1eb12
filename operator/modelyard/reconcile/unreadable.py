"""Mark objects that this release cannot read, and their Model."""

from __future__ import annotations

import contextlib

from modelyard.edge.cluster import client
from modelyard.plan import finding
from modelyard.plan.observed import unreadable
from modelyard.plan.observed.world import World
from modelyard.reconcile import troubles
from modelyard.reconcile.outside import Outside


class Unreadable:
    """Reports each unreadable object once."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._reported: set[tuple[str, str]] = set()
        """uid and resource version of every object that was reported."""

    async def block(self, world: World, failures: troubles.Failures) -> bool:
        """Return whether unreadable objects block decisions; write it to their status and to the Model's."""
        blocking = unreadable.blocking(world.unread, world.past)
        for unread in world.unread:
            with failures.collect(f"the {unread.kind} {unread.name}"):
                await self._report(unread, blocks=unread in blocking)
        if blocking and world.model:
            previous, generation = world.model.status, world.model.metadata.generation
            conditions = unreadable.settle(previous.conditions, unreadable.model_finding(blocking), generation, self._outside.clock())
            status = previous.model_copy(update={"observed_generation": generation, "conditions": conditions})
            if status != previous:
                await self._outside.write_status(client.MODEL, world.model, status.dump())
        return bool(blocking)

    async def _report(self, unread: unreadable.Unread, *, blocks: bool) -> None:
        status, metadata = unreadable.status(unread, self._outside.clock(), blocks=blocks), unread.subject.metadata
        if status == unread.status or (metadata.uid, metadata.resource_version) in self._reported:
            return
        event = finding.event(unread.subject, unread.fact.reason, unread.fact.message, warning=True)
        with contextlib.suppress(client.Refused):  # the API server cannot read it either: the Event and the Model's status report it
            await self._outside.write_status(client.KINDS[unread.kind], unread.subject, status)
        self._reported.add((metadata.uid, metadata.resource_version))
        self._outside.post((event,) if blocks else ())
