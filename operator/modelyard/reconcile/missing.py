"""Objects that the ledger has and this cluster lacks: the API server says whether their namespace, or their kind, is gone."""

from __future__ import annotations

import dataclasses
import datetime
import logging
from typing import Final

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.edge.cluster import client
from modelyard.plan.observed import recovery
from modelyard.plan.observed.world import World
from modelyard.reconcile.outside import Outside

AGAIN: Final = datetime.timedelta(seconds=15)
"""Delay before the next look for a namespace that does not exist."""
log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class Memory:
    """What this process remembers of one model's namespace."""

    observed: bool = False
    """The cache has had an object of the model."""
    warned: bool = False
    """The log has the warning that its namespace does not exist."""


async def explained(outside: Outside, world: World, memory: Memory) -> World | None:
    """Return the world with `terminating` set where objects are missing; None: nothing can be decided or restored before the namespace exists.

    Raises:
        edge.Unavailable: a CRD is being deleted or gone.
    """
    memory.observed = memory.observed or bool(world.model or world.versions or world.promotions)
    if not recovery.missing(world):
        return world
    await _kinds_stand(outside.cluster)
    namespace = await outside.cluster.get(client.NAMESPACE, "", world.namespace)
    if namespace is None and not memory.observed:  # lost with the namespace, or not moved here yet: nobody saw it go
        if not memory.warned:
            message = "the namespace %s does not exist: create it, with the Secrets that its Models name, and the Model %s comes back"
            log.warning(message, world.namespace, world.name, extra={"object": f"Model/{world.namespace}/{world.name}"})
        memory.warned = True
        return None
    return dataclasses.replace(world, terminating=namespace is None or bool(namespace["metadata"].get("deletionTimestamp")))


async def _kinds_stand(reach: client.Cluster) -> None:
    """Raise while a CRD is gone or being deleted: `kubectl delete crd` removes all its objects, which nobody deleted."""
    for kind in (client.MODEL, client.MODEL_VERSION, client.PROMOTION):
        name = f"{kind.plural}.{kind.group}"
        definition = await reach.get(client.CRD, "", name)
        if definition is None or definition["metadata"].get("deletionTimestamp"):
            message = f"the CRD {name} is {'being deleted' if definition else 'gone'}: install it again, and what it had comes back"
            raise edge.Unavailable(Reason.CLUSTER_UNAVAILABLE, message)
