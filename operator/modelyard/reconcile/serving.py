"""Apply and remove the serving objects of a model's stages."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, Final

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.edge.cluster import cache, client, file_lists
from modelyard.plan import finding
from modelyard.plan.model import decide
from modelyard.plan.observed.world import World
from modelyard.plan.serving import objects, template
from modelyard.reconcile import troubles
from modelyard.reconcile.outside import Outside

log = logging.getLogger(__name__)


ABSENT: Final = "1"
"""A resource version that no object has: an apply with it creates the object, and is refused if the object exists."""


@dataclasses.dataclass(frozen=True, slots=True)
class Occupant:
    """The object that has the name of an object that is to be applied."""

    uid: str | None = None
    """The object's, if it is ours; None: no object has the name."""
    taken: finding.Finding | None = None
    """Why the name cannot be used: somebody else's object has it, and is never taken over."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Applied:
    """A wish that was applied, and the cluster's answer."""

    wish: objects.Serve
    generation: int
    """The Deployment's."""
    service: int
    """The Service's resource version."""
    files: str
    """The name of the list of files."""


@dataclasses.dataclass(slots=True)
class _Remembered:
    """What this process remembers of a model's serving objects beyond the cache; losing it costs API calls, nothing else."""

    refused: dict[objects.Serve, finding.Finding] = dataclasses.field(default_factory=dict)
    unserved: dict[objects.Serve, finding.Unmet] = dataclasses.field(default_factory=dict)
    """Wishes that could not be applied in the last look; they are tried again."""
    applied: dict[str, _Applied] = dataclasses.field(default_factory=dict)
    """By stage."""
    ahead: set[str] = dataclasses.field(default_factory=set)
    """Blobs that were read ahead for a put-back."""
    leftovers: bool = False
    """A rollout ended, and the lists of files of earlier rollouts were not cleaned up yet."""


class ServingObjects:
    """Applies and removes serving objects."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._models: dict[cache.Key, _Remembered] = {}

    def refused(self, key: cache.Key) -> dict[objects.Serve, finding.Finding]:
        """Return the wishes of this model that the API server refused, and why."""
        return dict(self._models[key].refused) if key in self._models else {}

    def unserved(self, key: cache.Key) -> dict[objects.Serve, finding.Unmet]:
        """Return the wishes of this model that could not be applied, although nobody refused them."""
        return dict(self._models[key].unserved) if key in self._models else {}

    def forget(self, key: cache.Key) -> None:
        """Forget a model that is gone."""
        self._models.pop(key, None)

    def resync(self) -> None:
        """Forget what was applied: compare everything with the cluster again."""
        for remembered in self._models.values():
            remembered.applied.clear()
            remembered.refused.clear()

    async def look(self, key: cache.Key, world: World) -> World:
        """Add to the world the wishes whose list of files has a taken name. A new process has applied nothing yet, so it must look before it reports what serves."""
        remembered = self._models.setdefault(key, _Remembered())
        failures = troubles.Failures(
            f"Model/{world.namespace}/{world.name}", patient=True
        )  # a lasting failure is reported when the wish is applied
        for wish in decide.wishes(world):
            if wish in remembered.refused or wish.stage in remembered.applied:
                continue
            with failures.collect(f"the list of files of the stage {wish.stage}"):
                rendered = await self._outside.prover.blob(wish.template)
                files, *_ = objects.objects(wish, rendered, world.namespace)
                if why := (await occupied(self._outside, world, files)).taken:
                    remembered.refused[wish] = finding.Finding(why.reason, f"stage {wish.stage}: {why.message}")
        return dataclasses.replace(world, refused=dict(remembered.refused))

    async def bring(self, key: cache.Key, world: World, plan: decide.Plan, failures: troubles.Failures) -> None:
        """Make every stage run what the plan says, and remove what the plan no longer wants; a failure of one stage does not stop the others."""
        remembered = self._models.setdefault(key, _Remembered())
        attempts = troubles.Failures(f"Model/{world.namespace}/{world.name}", patient=failures.patient)
        unserved: dict[objects.Serve, finding.Unmet] = {}
        for wish in plan.serve:
            with attempts.collect(f"the stage {wish.stage}"):
                await self._serve(key, world, wish, remembered)
            if why := attempts.flaws.pop(f"the stage {wish.stage}", None):
                unserved[wish] = why
        failures.conflict = failures.conflict or attempts.conflict
        if unserved != remembered.unserved:
            remembered.unserved = unserved
            self._outside.enqueue([key])
        remembered.refused = {wish: why for wish, why in remembered.refused.items() if wish in plan.serve}
        for name in plan.remove:
            with failures.collect(f"what the stage {name} served"):
                await self._remove(world, name)
                remembered.applied.pop(name, None)
        with failures.collect("what a put-back needs"):
            await self._read_ahead(world, remembered)

    async def _read_ahead(self, world: World, remembered: _Remembered) -> None:
        """Read the blobs that a put-back needs while the operator's bucket answers: a put-back must not wait for the bucket."""
        stages = (world.model.status.stages if world.model else None) or []
        wanted = {stage.serving.template for stage in stages if stage.serving and stage.serving.template}
        before = [world.versions.get(stage.previous) for stage in stages if stage.serving and stage.previous]
        wanted |= {version.status.artifact.manifest for version in before if version and version.status.artifact}
        for name in sorted(wanted - remembered.ahead):
            with contextlib.suppress(edge.Unavailable):
                await self._outside.prover.blob(name)
                remembered.ahead.add(name)

    async def tidy(self, key: cache.Key, world: World, plan: decide.Plan) -> None:
        """Delete the lists of files that nothing needs any more, after a rollout has ended and everything is at rest."""
        remembered = self._models.setdefault(key, _Remembered())
        remembered.leftovers = remembered.leftovers or decide.ended(world, plan)
        if remembered.leftovers and decide.at_rest(world, plan):
            await self._collect(world, plan, remembered)

    async def _serve(self, key: cache.Key, world: World, wish: objects.Serve, remembered: _Remembered) -> None:
        """Apply a stage's wish; make no call when it is already applied and nobody touched it."""
        if self._is_applied(world, wish, remembered):
            return
        deployed = self._outside.cache.serving_object(client.DEPLOYMENT, world.namespace, world.name, wish.deployment)
        rendered = await self._outside.prover.blob(wish.template)
        try:
            generation, version = -1, -1
            for obj in objects.objects(wish, rendered, world.namespace):
                occupant = await occupied(self._outside, world, obj)
                if occupant.taken:
                    raise client.Refused(409, occupant.taken.message)
                # Exactly our own object, or a new one: somebody else's object that appears in between is never taken over.
                obj["metadata"] |= {"uid": occupant.uid} if occupant.uid else {"resourceVersion": ABSENT}
                if obj["kind"] == "Deployment" and wish.replicas is None and deployed and deployed.owns_replicas and deployed.deployment:
                    await self._hand_over_replicas(obj, deployed.deployment.desired)
                self._outside.fence()
                answer = await self._outside.cluster.apply(obj)
                if obj["kind"] == "Deployment":
                    generation = answer["metadata"]["generation"]
                if obj["kind"] == "Service":
                    version = int(answer["metadata"]["resourceVersion"])
                self._outside.note(client.KINDS[obj["kind"]], answer)
        except client.Refused as refused:
            reason = Reason.NAME_TAKEN if refused.status == 409 else Reason.TEMPLATE_INVALID
            if remembered.refused.get(wish) != (why := finding.Finding(reason, f"stage {wish.stage}: {refused.message}")):
                remembered.refused[wish] = why
                self._outside.enqueue([key])
            return
        remembered.refused.pop(wish, None)
        remembered.applied[wish.stage] = _Applied(wish, generation, version, template.config(rendered))

    def _is_applied(self, world: World, wish: objects.Serve, remembered: _Remembered) -> bool:
        """Whether the wish is applied, and nobody touched its objects since."""
        applied = remembered.applied.get(wish.stage)
        if applied is None or applied.wish != wish:
            return False
        deployed, service, files = (
            self._outside.cache.serving_object(kind, world.namespace, world.name, name)
            for kind, name in (
                (client.DEPLOYMENT, wish.deployment),
                (client.SERVICE, wish.deployment),
                (client.CONFIG_MAP, applied.files),
            )
        )
        if deployed is None or service is None or files is None or deployed.foreign or service.foreign or files.foreign:
            return False
        return (deployed.generation, service.resource_version) == (applied.generation, applied.service)

    async def _hand_over_replicas(self, deployment: Mapping[str, Any], replicas: int) -> None:
        """Give the replica count to another field manager: leaving it out would otherwise reset it to 1."""
        metadata = {"name": deployment["metadata"]["name"], "namespace": deployment["metadata"]["namespace"]}
        patch = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": replicas}}
        self._outside.fence()
        await self._outside.cluster.apply(patch, manager="modelyard-replicas")

    async def _remove(self, world: World, name: str) -> None:
        """Delete the serving objects of a stage."""
        called = f"{world.name}-{name}"
        for kind in (client.DEPLOYMENT, client.SERVICE):
            observed = self._outside.cache.serving_object(kind, world.namespace, world.name, called)
            if observed and not observed.foreign:
                self._outside.fence()
                await self._outside.cluster.delete(kind, world.namespace, called, observed.uid)

    async def _collect(self, world: World, plan: decide.Plan, remembered: _Remembered) -> None:
        """Delete the lists of files that no rollout needs any more; wait for old pods that are still terminating."""
        needed = {template.config(await self._outside.prover.blob(name)) for name in {wish.template for wish in plan.serve}}
        try:
            remembered.leftovers = not await file_lists.collect(
                self._outside.cluster, self._outside.fence, world.namespace, world.name, needed
            )
        except client.Refused as refused:
            remembered.leftovers = False
            log.warning("old lists of files stay: %s", refused.message, extra={"object": f"Model/{world.namespace}/{world.name}"})


async def occupied(outside: Outside, world: World, obj: Mapping[str, Any]) -> Occupant:
    """Return the occupant of the name of an object that is to be applied."""
    kind, name = client.KINDS[obj["kind"]], obj["metadata"]["name"]
    observed = outside.cache.serving_object(kind, world.namespace, world.name, name)
    if observed and not observed.foreign and kind is not client.CONFIG_MAP:
        return Occupant(observed.uid)
    existing = await outside.cluster.get(kind, world.namespace, name)
    if existing is None:
        return Occupant()
    if objects.is_ours(obj, existing):
        return Occupant(existing["metadata"].get("uid"))
    rename = "" if kind is client.CONFIG_MAP else " or rename it, or rename the stage"
    return Occupant(
        taken=finding.Finding(Reason.NAME_TAKEN, f"the {kind.name} {name} exists and is not Modelyard's: delete{rename or ' it'}")
    )
