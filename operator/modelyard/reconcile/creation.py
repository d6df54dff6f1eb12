"""Objects that the operator creates as a person would: Promotions of autoPromote, and objects that were lost."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from modelyard import api
from modelyard.api import labels
from modelyard.api.access import changes
from modelyard.edge.cluster import client
from modelyard.plan.observed import recovery, specs
from modelyard.plan.observed.world import World
from modelyard.plan.promotion import grant
from modelyard.reconcile.outside import Outside

log = logging.getLogger(__name__)
_NAMES: Final = 100
"""How many names are tried."""


class Creations:
    """Creates objects, signed in the operator's own name."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._name = ""
        """The user name that the API server has authenticated; empty until the first request for it."""

    async def promotion(self, world: World, name: str, version: str) -> None:
        """Create the Promotion of autoPromote, under a name of its own."""
        ran = world.history.promotions
        names = (grant.automatic_name(world, name, version, number) for number in range(_NAMES))
        spec = {"model": world.name, "version": version, "stage": name, "reason": f"autoPromote of stage {name}"}
        for called in names:
            if called in ran and ran[called].keeps_its_name_from(None):
                continue  # a Promotion of that name shows its recorded outcome, and does not run again
            metadata = {"name": called, "namespace": world.namespace, "labels": {labels.AUTOMATIC: "true"}}
            promotion = await self._signed({"apiVersion": api.API_VERSION, "kind": "Promotion", "metadata": metadata, "spec": spec})
            self._outside.fence()
            try:
                self._outside.note(client.PROMOTION, await self._outside.cluster.create(promotion))
            except client.Conflict:
                existing = await self._outside.cluster.get(client.PROMOTION, world.namespace, called) or {"spec": {}}
                if any(existing["spec"].get(field) != promotion["spec"][field] for field in promotion["spec"]):
                    continue  # somebody else's
                log.info("the Promotion exists already", extra={"object": f"Promotion/{world.namespace}/{called}"})
            return
        log.warning("every name for a Promotion of autoPromote is taken", extra={"object": f"Model/{world.namespace}/{world.name}"})

    async def _signed(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Sign an object as the policy demands before Kubernetes 1.36; from 1.36 on the API server signs it."""
        self._name = self._name or await self._outside.cluster.whoami()
        return changes.signed(obj, self._name)

    async def restore(self, world: World, lost: recovery.Lost) -> None:
        """Create a lost object again; its owner's next apply changes it as any other object."""
        spec = specs.read(lost.kind, lost.name, await self._outside.prover.blob(lost.spec))
        metadata = {"name": lost.name, "namespace": world.namespace}
        obj = {"apiVersion": api.API_VERSION, "kind": lost.kind, "metadata": metadata, "spec": spec}
        try:
            self._outside.fence()
            self._outside.note(client.KINDS[lost.kind], await self._outside.cluster.create(await self._signed(obj)))
        except client.Conflict:
            log.info("it is back already", extra={"object": f"{lost.kind}/{world.namespace}/{lost.name}"})
