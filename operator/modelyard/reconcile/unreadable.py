"""Objects that this release cannot read say so, and so does their Model."""

from __future__ import annotations

import contextlib

from modelyard.edge.cluster import client
from modelyard.plan import finding
from modelyard.plan.observed import unreadable
from modelyard.plan.observed.world import World
from modelyard.reconcile import troubles
from modelyard.reconcile.outside import Outside


class Unreadable:
    """Tells each of them once."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._told: set[tuple[str, str]] = set()
        """uid and resource version of those that were told."""

    async def block(self, world: World, found: troubles.Found) -> bool:
        """Whether decisions wait for objects that cannot be read; these and the Model say so."""
        those = unreadable.blocking(world.unread, world.past)
        for one in world.unread:
            with found.of(f"the {one.kind} {one.name}"):
                await self._tell(one, blocks=one in those)
        if those and world.model:
            was, generation = world.model.status, world.model.metadata.generation
            said = unreadable.settle(was.conditions, unreadable.told_to_model(those), generation, self._outside.clock())
            status = was.model_copy(update={"observed_generation": generation, "conditions": said})
            if status != was:
                await self._outside.write_status(client.MODEL, world.model, status.dump())
        return bool(those)

    async def _tell(self, one: unreadable.Unread, *, blocks: bool) -> None:
        status, about = unreadable.status(one, self._outside.clock(), blocks=blocks), one.subject.metadata
        if status == one.status or (about.uid, about.resource_version) in self._told:
            return
        event = finding.happened(one.subject, one.fact.reason, one.fact.message, warning=True)
        with contextlib.suppress(client.Refused):  # the API server cannot read it either: then the Event and the Model tell
            await self._outside.write_status(client.KINDS[one.kind], one.subject, status)
        self._told.add((about.uid, about.resource_version))
        self._outside.post((event,) if blocks else ())
