"""What the ledger has and this cluster has not: gone with its namespace, or with its kind, or lost; asked of the API server."""

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
"""In how long to look again for a namespace that does not exist."""
log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class Known:
    """What this process knows of one model's place."""

    here: bool = False
    """An object of the model was seen in this cluster."""
    told: bool = False
    """That its namespace does not exist was told."""


async def explained(outside: Outside, world: World, known: Known) -> World | None:
    """The world with what became of what is missing; None: nothing can be said, let alone brought back, before its namespace exists.

    Raises:
        edge.Unavailable: a CRD is being deleted or gone.
    """
    known.here = known.here or bool(world.model or world.versions or world.promotions)
    if not recovery.missing(world):
        return world
    await _kinds_stand(outside.cluster)
    found = await outside.cluster.get(client.NAMESPACE, "", world.namespace)
    if found is None and not known.here:  # lost with it, or not moved here yet: nobody saw it go
        if not known.told:
            message = "the namespace %s does not exist: create it, with the Secrets that its Models name, and the Model %s comes back"
            log.warning(message, world.namespace, world.name, extra={"object": f"Model/{world.namespace}/{world.name}"})
        known.told = True
        return None
    return dataclasses.replace(world, terminating=found is None or bool(found["metadata"].get("deletionTimestamp")))


async def _kinds_stand(reach: client.Cluster) -> None:
    """Nothing that is missing was deleted while the kinds themselves go: `kubectl delete crd` takes all objects along."""
    for kind in (client.MODEL, client.MODEL_VERSION, client.PROMOTION):
        name = f"{kind.plural}.{kind.group}"
        found = await reach.get(client.CRD, "", name)
        if found is None or found["metadata"].get("deletionTimestamp"):
            message = f"the CRD {name} is {'being deleted' if found else 'gone'}: install it again, and what it had comes back"
            raise edge.Unavailable(Reason.CLUSTER_UNAVAILABLE, message)
