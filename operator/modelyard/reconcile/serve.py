"""Make the stages of a model run what they should."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.edge import cache, cluster, leftovers
from modelyard.plan import fact, model, serving
from modelyard.plan import world as seen
from modelyard.reconcile.outside import Outside

log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class _Remembered:
    """What this process knows of a model's serving objects beyond the cache; losing it costs API calls, nothing else."""

    refused: dict[serving.Serve, fact.Fact] = dataclasses.field(default_factory=dict)
    applied: dict[str, tuple[serving.Serve, int, int]] = dataclasses.field(default_factory=dict)
    """By stage: the wish, and the Deployment's generation and the Service's resource version after it was applied."""
    ahead: set[str] = dataclasses.field(default_factory=set)
    """Blobs that were read because going back would take them."""
    leftovers: bool = False
    """A rollout ended, and the lists of files of those before were not looked through yet."""


class Servings:
    """Applies and removes serving objects."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._models: dict[cache.Key, _Remembered] = {}

    def refused(self, key: cache.Key) -> dict[serving.Serve, fact.Fact]:
        """What the API server did not take of this model, and why."""
        return dict(self._models[key].refused) if key in self._models else {}

    def forget(self, key: cache.Key) -> None:
        """The model is gone."""
        self._models.pop(key, None)

    def resync(self) -> None:
        """Forget what was applied: everything is compared with the cluster once more."""
        for remembered in self._models.values():
            remembered.applied.clear()
            remembered.refused.clear()

    async def bring(self, key: cache.Key, world: seen.World, plan: model.Plan) -> None:
        """Make every stage run what the plan says, and remove what it does not want any more."""
        remembered = self._models.setdefault(key, _Remembered())
        for wish in plan.serve:
            await self._serve(key, world, wish, remembered)
        remembered.refused = {wish: why for wish, why in remembered.refused.items() if wish in plan.serve}
        for name in plan.remove:
            await self._remove(world, name)
            remembered.applied.pop(name, None)
        await self._read_ahead(world, remembered)

    async def _read_ahead(self, world: seen.World, remembered: _Remembered) -> None:
        """Going back must not wait for the operator's bucket: what it takes is read while the bucket answers, and remembered."""
        standing = (world.model.status.stages if world.model else None) or []
        wanted = {one.serving.template for one in standing if one.serving and one.serving.template}
        before = [world.versions.get(one.previous) for one in standing if one.serving and one.previous]
        wanted |= {one.status.artifact.manifest for one in before if one and one.status.artifact}
        for name in sorted(wanted - remembered.ahead):
            with contextlib.suppress(edge.Unavailable):
                await self._outside.prover.blob(name)
                remembered.ahead.add(name)

    async def tidy(self, key: cache.Key, world: seen.World, plan: model.Plan) -> None:
        """After a rollout has ended and everything rests, delete the lists of files that nothing needs any more."""
        remembered = self._models.setdefault(key, _Remembered())
        remembered.leftovers = remembered.leftovers or model.ended(world, plan)
        if remembered.leftovers and model.at_rest(world, plan):
            await self._collect(world, plan, remembered)

    async def _serve(self, key: cache.Key, world: seen.World, wish: serving.Serve, remembered: _Remembered) -> None:
        """Make a stage run what it should; nothing is called when it already does and nobody touched it."""
        deployed = self._outside.cache.seen(cluster.DEPLOYMENT, world.namespace, world.name, wish.deployment)
        service = self._outside.cache.seen(cluster.SERVICE, world.namespace, world.name, wish.deployment)
        now = (wish, deployed.generation if deployed else -1, service.resource_version if service else -1)
        if remembered.applied.get(wish.stage) == now:
            return
        rendered = await self._outside.prover.blob(wish.template)
        try:
            generation, version = -1, -1
            for obj in serving.objects(wish, rendered, world.namespace):
                if why := await taken(self._outside, world, obj):
                    raise cluster.Refused(409, why.message)
                if obj["kind"] == "Deployment" and wish.replicas is None and deployed and deployed.owns_replicas and deployed.deployment:
                    await self._hand_over_replicas(obj, deployed.deployment.desired)
                self._outside.fence()
                answer = await self._outside.cluster.apply(obj)
                if obj["kind"] == "Deployment":
                    generation = answer["metadata"]["generation"]
                if obj["kind"] == "Service":
                    version = int(answer["metadata"]["resourceVersion"])
                if obj["kind"] != "ConfigMap":
                    self._outside.note(cluster.KINDS[obj["kind"]], answer)
        except cluster.Refused as refused:
            reason = Reason.NAME_TAKEN if refused.status == 409 else Reason.TEMPLATE_INVALID
            if remembered.refused.get(wish) != (why := fact.Fact(reason, f"stage {wish.stage}: {refused.message}")):
                remembered.refused[wish] = why
                self._outside.enqueue([key])
            return
        remembered.refused.pop(wish, None)
        remembered.applied[wish.stage] = (wish, generation, version)

    async def _hand_over_replicas(self, deployment: Mapping[str, Any], replicas: int) -> None:
        """Another field manager owns the number from now on: leaving it out would otherwise reset it to 1."""
        about = {"name": deployment["metadata"]["name"], "namespace": deployment["metadata"]["namespace"]}
        number = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": about, "spec": {"replicas": replicas}}
        self._outside.fence()
        await self._outside.cluster.apply(number, manager="modelyard-replicas")

    async def _remove(self, world: seen.World, name: str) -> None:
        """The stage serves nothing any more."""
        called = f"{world.name}-{name}"
        for kind in (cluster.DEPLOYMENT, cluster.SERVICE):
            if known := self._outside.cache.seen(kind, world.namespace, world.name, called):
                self._outside.fence()
                await self._outside.cluster.delete(kind, world.namespace, called, known.uid)

    async def _collect(self, world: seen.World, plan: model.Plan, remembered: _Remembered) -> None:
        """Delete the lists of files that no rollout needs any more; an old pod that goes on its own time is waited for."""
        needed = {serving.config(await self._outside.prover.blob(name)) for name in {wish.template for wish in plan.serve}}
        try:
            remembered.leftovers = not await leftovers.collect(
                self._outside.cluster, self._outside.fence, world.namespace, world.name, needed
            )
        except cluster.Refused as refused:
            remembered.leftovers = False
            log.warning("old lists of files stay: %s", refused.message, extra={"object": f"Model/{world.namespace}/{world.name}"})


async def taken(outside: Outside, world: seen.World, obj: Mapping[str, Any]) -> fact.Fact | None:
    """Why an object cannot be ours: one of that name that is somebody else's is never taken over."""
    kind, name = cluster.KINDS[obj["kind"]], obj["metadata"]["name"]
    if kind is cluster.CONFIG_MAP or outside.cache.seen(kind, world.namespace, world.name, name):
        return None
    found = await outside.cluster.get(kind, world.namespace, name)
    labels = ((found or {}).get("metadata") or {}).get("labels") or {}
    if found is None or all(labels.get(key) == value for key, value in obj["metadata"]["labels"].items()):
        return None
    return fact.Fact(Reason.NAME_TAKEN, f"the {kind.name} {name} exists and is not Modelyard's: delete or rename it, or rename the stage")
