"""Objects that the operator writes as a person would: Promotions of autoPromote, and what was lost and comes back."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from modelyard import api
from modelyard.api.access import changes
from modelyard.edge import cluster
from modelyard.plan import restoring, specs, stage
from modelyard.plan import world as seen
from modelyard.reconcile.outside import Outside

log = logging.getLogger(__name__)


class Creations:
    """Creates objects, signed in the operator's own name."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._name = ""
        """By which the API server knows this operator, once it was asked."""

    async def promotion(self, world: seen.World, name: str, version: str) -> None:
        """AutoPromote writes the Promotion that a person would."""
        about = {"name": f"{world.name}-{version}-{name}", "namespace": world.namespace, "labels": {stage.AUTOMATIC: "true"}}
        spec = {"model": world.name, "version": version, "stage": name, "reason": f"autoPromote of stage {name}"}
        promotion = {"apiVersion": api.API_VERSION, "kind": "Promotion", "metadata": about, "spec": spec}
        self._outside.fence()
        try:
            self._outside.note(cluster.PROMOTION, await self._outside.cluster.create(await self._signed(promotion)))
        except cluster.Conflict:
            log.info("the Promotion exists already", extra={"object": f"Promotion/{world.namespace}/{about['name']}"})

    async def _signed(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """As a policy wants it before Kubernetes 1.36, and the API server makes it from then on."""
        self._name = self._name or await self._outside.cluster.whoami()
        return changes.signed(obj, self._name)

    async def restore(self, world: seen.World, lost: restoring.Lost) -> None:
        """Create anew what was lost; its owner's next apply changes it as any other object."""
        spec = specs.read(lost.kind, lost.name, await self._outside.prover.blob(lost.spec))
        about = {"name": lost.name, "namespace": world.namespace}
        obj = {"apiVersion": api.API_VERSION, "kind": lost.kind, "metadata": about, "spec": spec}
        try:
            self._outside.fence()
            self._outside.note(cluster.KINDS[lost.kind], await self._outside.cluster.create(await self._signed(obj)))
        except cluster.Conflict:
            log.info("it is back already", extra={"object": f"{lost.kind}/{world.namespace}/{lost.name}"})
