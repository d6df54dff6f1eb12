"""Observe, decide, act, tell: the one way in which anything happens.

The order of effects of a decision is: record -> claims and status (the write-ahead) -> apply -> Event. What a stage runs is a
function of what its Model's status says, so a crash between any two steps repeats harmlessly.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import datetime
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from modelyard import api, edge, settings
from modelyard.api import model as model_api
from modelyard.api.reason import Reason
from modelyard.edge import artifact, cache, cluster, metrics
from modelyard.plan import fact, inspection, model, modelversion, serving, stage
from modelyard.plan import world as seen

log = logging.getLogger(__name__)

SLOW: Final = 2.0
"""Seconds after which a version that is being read shows Verifying."""
SECRET_AGE: Final = 30.0
"""Seconds for which a Secret or CA bundle is used without asking again."""
REFUSED_AGAIN: Final = datetime.timedelta(seconds=30)


class Recorder(Protocol):
    """Posts Events; never waits, never fails."""

    def post(self, event: fact.Event) -> None: ...


@dataclasses.dataclass(slots=True)
class _Remembered:
    """What this process knows of a model beyond the cache; losing it costs API calls, nothing else."""

    answers: dict[seen.Question, seen.Answer] = dataclasses.field(default_factory=dict)
    refused: dict[serving.Serve, fact.Fact] = dataclasses.field(default_factory=dict)
    applied: dict[str, tuple[serving.Serve, int, int]] = dataclasses.field(default_factory=dict)
    """By stage: the wish, and the Deployment's generation and the Service's resource version after it was applied."""


class Reconciler:
    """Brings one key from what is to what should be.

    Args:
        enqueue: called with every key that a write of ours concerns.
        clock: the time now, with a time zone.
    """

    def __init__(
        self,
        reach: cluster.Cluster,
        known: cache.Cache,
        prover: artifact.Prover,
        config: settings.Settings,
        recorder: Recorder,
        enqueue: Callable[[Iterable[cache.Key]], None],
        clock: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        self._cluster = reach
        self._cache = known
        self._prover = prover
        self._config = config
        self._recorder = recorder
        self._enqueue = enqueue
        self._clock = clock
        self._limits = modelversion.Limits(
            config.verification.patience, config.verification.recheck, config.verification.rehash, tuple(config.endpoints)
        )
        self._memory: dict[cache.Key, modelversion.Memory] = {}
        self._models: dict[cache.Key, _Remembered] = {}
        self._addresses: dict[tuple[str, str, str], tuple[float, dict[str, str]]] = {}
        self._sorts: Mapping[cache.Sort, Callable[[cache.Key], Awaitable[datetime.timedelta | None]]] = {
            "version": self._version,
            "model": self._model,
        }

    async def __call__(self, key: cache.Key) -> datetime.timedelta | None:
        """Handle one key; when to look at it again.

        Raises:
            edge.Unavailable: the world did not answer; try again with backoff.
        """
        with metrics.timed(key.sort):
            try:
                return await self._sorts[key.sort](key)
            except cluster.Conflict:
                # The answer that made our knowledge old is on its way through the watch; decide again with it.
                return datetime.timedelta(milliseconds=200)

    def resync(self) -> None:
        """Forget what was applied: everything is compared with the cluster once more."""
        for remembered in self._models.values():
            remembered.applied.clear()
            remembered.refused.clear()

    # --- one version

    async def _version(self, key: cache.Key) -> datetime.timedelta | None:
        version = self._cache.version(key.namespace, key.name)
        if version is None or version.metadata.deletion_timestamp:
            self._memory.pop(key, None)
            return None
        world = modelversion.World(
            version=version,
            model=self._cache.model(key.namespace, version.spec.model),
            limits=self._limits,
            memory=self._memory.get(key, modelversion.Memory()),
        )
        plan = modelversion.decide(world, self._clock())
        trouble: fact.Fact | None = None
        if plan.ask:
            world = await self._inspected(world, plan)
            trouble = world.proof if isinstance(world.proof, fact.Fact) else None
            plan = modelversion.decide(world, self._clock())
        self._memory[key] = plan.memory
        await self._tell_version(world.version, plan)
        if trouble:
            raise edge.Unavailable(trouble.reason, trouble.message)
        return plan.again

    async def _inspected(self, world: modelversion.World, plan: modelversion.Plan) -> modelversion.World:
        """The world with the answer in it; after a while the version shows Verifying."""
        looking = asyncio.ensure_future(self._look(world, full=plan.full))
        try:
            await asyncio.wait({looking}, timeout=SLOW)
            if not looking.done() and await self._tell_version(world.version, plan):
                current = self._cache.version(*world.version.key)
                world = dataclasses.replace(world, version=current or world.version)
            proof, evidence = await looking
        finally:
            looking.cancel()
        return dataclasses.replace(world, proof=proof, evidence=evidence)

    async def _look(
        self, world: modelversion.World, *, full: bool
    ) -> tuple[inspection.Result | fact.Fact, dict[str, inspection.EvidenceResult | fact.Fact] | None]:
        try:
            address = await self._address(world)
            world = dataclasses.replace(world, address=address)
            proof = await self._prover.inspect(modelversion.request(world, full=full))
        except edge.Unavailable as trouble:
            return fact.Fact(trouble.reason, trouble.message), None
        requests = modelversion.evidence_requests(world)
        return proof, {name: await self._evidence(request) for name, request in requests.items()}

    async def _evidence(self, request: inspection.EvidenceRequest) -> inspection.EvidenceResult | fact.Fact:
        try:
            return await self._prover.prove_object(request)
        except edge.Unavailable as trouble:
            return fact.Fact(trouble.reason, trouble.message)

    async def _tell_version(self, version: api.ModelVersion, plan: modelversion.Plan) -> bool:
        """Write the status if it is news; whether it was."""
        if plan.status == version.status:
            return False
        self._record(plan.events)
        await self._write_status(cluster.MODEL_VERSION, version, plan.status.dump())
        self._post(plan.events)
        return True

    async def _address(self, world: modelversion.World) -> inspection.Address:
        """The Model's store with the credentials of its Secret as they are now."""
        assert world.model is not None
        storage, namespace = world.model.spec.storage, world.model.metadata.namespace
        credentials = None
        if storage.credentials:
            data = await self._data(cluster.SECRET, namespace, storage.credentials.secret_name)
            try:
                pair = data["AWS_ACCESS_KEY_ID"], data["AWS_SECRET_ACCESS_KEY"]
            except KeyError as missing:
                message = f"the Secret {storage.credentials.secret_name} has no key {missing.args[0]}"
                raise edge.Unavailable(Reason.CREDENTIALS_MISSING, message) from None
            credentials = inspection.Credentials(*pair, data.get("AWS_SESSION_TOKEN"))
        pem = None
        if storage.ca_bundle:
            bundle = await self._data(cluster.CONFIG_MAP, namespace, storage.ca_bundle.config_map_name)
            pem = bundle.get("ca.crt")
            if pem is None:
                message = f"the ConfigMap {storage.ca_bundle.config_map_name} has no key ca.crt"
                raise edge.Unavailable(Reason.CREDENTIALS_MISSING, message)
        return inspection.Address(storage.endpoint, storage.region, credentials, pem)

    async def _data(self, kind: cluster.Kind, namespace: str, name: str) -> dict[str, str]:
        """The data of a Secret (decoded) or ConfigMap, at most SECRET_AGE seconds old."""
        place = (kind.name, namespace, name)
        known = self._addresses.get(place)
        if known and time.monotonic() - known[0] < SECRET_AGE:
            return known[1]
        found = await self._cluster.get(kind, namespace, name)
        if found is None:
            message = f"the {kind.name} {name} that spec.storage names does not exist in the namespace {namespace}: create it"
            raise edge.Unavailable(Reason.CREDENTIALS_MISSING, message)
        data: dict[str, str] = found.get("data") or {}
        if kind is cluster.SECRET:
            data = {key: base64.b64decode(value).decode(errors="replace").strip() for key, value in data.items()}
        self._addresses[place] = (time.monotonic(), data)
        return data

    # --- everything else of one model

    async def _model(self, key: cache.Key) -> datetime.timedelta | None:
        remembered = self._models.setdefault(key, _Remembered())
        known = self._cache.world(key.namespace, key.name)
        world = dataclasses.replace(known, answers=dict(remembered.answers), refused=dict(remembered.refused))
        if world.model is None and not world.promotions:
            self._models.pop(key, None)
            return None
        while (plan := model.decide(world, self._clock())).ask:
            answers = {question: await self._answer(world, question) for question in plan.ask}
            world = dataclasses.replace(world, answers={**world.answers, **answers})
        # A good answer holds until the question changes; a bad one may be mended elsewhere, so it is asked again.
        asked = model.dry_runs(world)
        remembered.answers = {question: None for question in asked if world.answers[question] is None}
        await self._act(key, world, plan, remembered)
        broken = remembered.refused or len(remembered.answers) < len(asked)
        return REFUSED_AGAIN if broken and (plan.again is None or plan.again > REFUSED_AGAIN) else plan.again

    async def _answer(self, world: seen.World, question: seen.Question) -> seen.Answer:
        try:
            if isinstance(question, seen.DryRun):
                return await self._dry_run(world, question)
            return await self._prover.keep_blob(await self._render(world, question))
        except edge.Unavailable as trouble:
            if trouble.reason == Reason.CLUSTER_UNAVAILABLE:
                raise
            return fact.Fact(trouble.reason, trouble.message)

    async def _render(self, world: seen.World, question: seen.Render) -> bytes:
        declared, subject = world.stage(question.stage), world.versions[question.version]
        assert world.model is not None
        assert declared is not None
        assert declared.serving is not None
        assert subject.status.artifact is not None
        manifest = await self._prover.blob(subject.status.artifact.manifest)
        return serving.render(
            serving.Blueprint(
                model=world.model,
                stage=question.stage,
                serving=declared.serving,
                version=question.version,
                uri=subject.spec.artifact.uri,
                digest=subject.status.artifact.digest,
                files=serving.files(manifest),
                fetch_image=self._config.fetch_image,
            )
        )

    async def _dry_run(self, world: seen.World, question: seen.DryRun) -> fact.Fact | None:
        """Whether the API server would take what the stage renders to, asked with a version that does not exist."""
        declared = world.stage(question.stage)
        assert world.model is not None
        assert declared is not None
        assert declared.serving is not None
        if wrong := serving.reserved(declared.serving):
            return fact.Fact(wrong.reason, f"stage {question.stage}: {wrong.message}")
        blueprint = serving.Blueprint(
            world.model, question.stage, declared.serving, "0", "s3://dry/run", serving.NO_DIGEST, b"", self._config.fetch_image
        )
        wish = dataclasses.replace(_dry_wish(world, question.stage), replicas=declared.serving.replicas)
        for obj in serving.objects(wish, serving.render(blueprint), world.namespace):
            if obj["kind"] == "ConfigMap":
                continue
            if taken := await self._taken(world, obj):
                return taken
            try:
                await self._cluster.apply(obj, dry_run=True)
            except cluster.Refused as refused:
                return fact.Fact(Reason.TEMPLATE_INVALID, f"stage {question.stage}: {refused.message}")
        return None

    async def _act(self, key: cache.Key, world: seen.World, plan: model.Plan, remembered: _Remembered) -> None:
        """Carry out a plan, in the order that a crash may interrupt anywhere."""
        self._record(plan.events)
        for version, claims in plan.claims.items():
            subject = world.versions[version]
            status = subject.status.model_copy(update={"stages": list(claims) or None})
            await self._write_status(cluster.MODEL_VERSION, subject, status.dump())
        by_name = {one.metadata.name: one for one in world.promotions}
        for name, promotion in plan.promotions.items():
            await self._write_status(cluster.PROMOTION, by_name[name], promotion.dump())
        if plan.status and world.model:
            await self._write_status(cluster.MODEL, world.model, plan.status.dump())
        for wish in plan.serve:
            await self._serve(key, world, wish, remembered)
        remembered.refused = {wish: why for wish, why in remembered.refused.items() if wish in plan.serve}
        for name in plan.remove:
            await self._remove(world, name)
            remembered.applied.pop(name, None)
        for name, version in plan.create:
            await self._promote(world, name, version)
        self._post(plan.events)

    async def _serve(self, key: cache.Key, world: seen.World, wish: serving.Serve, remembered: _Remembered) -> None:
        """Make a stage run what it should; nothing is called when it already does and nobody touched it."""
        deployed = self._cache.seen(cluster.DEPLOYMENT, world.namespace, world.name, wish.deployment)
        service = self._cache.seen(cluster.SERVICE, world.namespace, world.name, wish.deployment)
        now = (wish, deployed.generation if deployed else -1, service.resource_version if service else -1)
        if remembered.applied.get(wish.stage) == now:
            return
        rendered = await self._prover.blob(wish.template)
        try:
            generation, version = -1, -1
            for obj in serving.objects(wish, rendered, world.namespace):
                if taken := await self._taken(world, obj):
                    raise cluster.Refused(409, taken.message)
                if obj["kind"] == "Deployment" and wish.replicas is None and deployed and deployed.owns_replicas and deployed.deployment:
                    await self._hand_over_replicas(obj, deployed.deployment.desired)
                answer = await self._cluster.apply(obj)
                if obj["kind"] == "Deployment":
                    generation = answer["metadata"]["generation"]
                if obj["kind"] == "Service":
                    version = int(answer["metadata"]["resourceVersion"])
                if obj["kind"] != "ConfigMap":
                    self._note(cluster.KINDS[obj["kind"]], answer)
        except cluster.Refused as refused:
            reason = Reason.NAME_TAKEN if refused.status == 409 else Reason.TEMPLATE_INVALID
            if remembered.refused.get(wish) != (why := fact.Fact(reason, f"stage {wish.stage}: {refused.message}")):
                remembered.refused[wish] = why
                self._enqueue([key])
            return
        remembered.refused.pop(wish, None)
        remembered.applied[wish.stage] = (wish, generation, version)

    async def _hand_over_replicas(self, deployment: Mapping[str, Any], replicas: int) -> None:
        """Another field manager owns the number from now on: leaving it out would otherwise reset it to 1."""
        about = {"name": deployment["metadata"]["name"], "namespace": deployment["metadata"]["namespace"]}
        number = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": about, "spec": {"replicas": replicas}}
        await self._cluster.apply(number, manager="modelyard-replicas")

    async def _taken(self, world: seen.World, obj: Mapping[str, Any]) -> fact.Fact | None:
        """An object of that name that is somebody else's is never taken over."""
        kind, name = cluster.KINDS[obj["kind"]], obj["metadata"]["name"]
        if kind is cluster.CONFIG_MAP or self._cache.seen(kind, world.namespace, world.name, name):
            return None
        found = await self._cluster.get(kind, world.namespace, name)
        labels = ((found or {}).get("metadata") or {}).get("labels") or {}
        if found is None or all(labels.get(key) == value for key, value in obj["metadata"]["labels"].items()):
            return None
        return fact.Fact(
            Reason.NAME_TAKEN, f"the {kind.name} {name} exists and is not Modelyard's: delete or rename it, or rename the stage"
        )

    async def _remove(self, world: seen.World, name: str) -> None:
        """The stage serves nothing any more."""
        called = f"{world.name}-{name}"
        for kind in (cluster.DEPLOYMENT, cluster.SERVICE):
            if self._cache.seen(kind, world.namespace, world.name, called):
                await self._cluster.delete(kind, world.namespace, called)

    async def _promote(self, world: seen.World, name: str, version: str) -> None:
        """AutoPromote writes the Promotion that a person would."""
        about = {"name": f"{world.name}-{version}-{name}", "namespace": world.namespace, "labels": {stage.AUTOMATIC: "true"}}
        spec = {"model": world.name, "version": version, "stage": name, "reason": f"autoPromote of stage {name}"}
        promotion = {"apiVersion": api.API_VERSION, "kind": "Promotion", "metadata": about, "spec": spec}
        try:
            self._note(cluster.PROMOTION, await self._cluster.create(promotion))
        except cluster.Conflict:
            log.info("the Promotion exists already", extra={"object": f"Promotion/{world.namespace}/{about['name']}"})

    # --- what both do

    def _record(self, events: Iterable[fact.Event]) -> None:
        """What is decided is said before it takes effect; the ledger's place in the order."""
        for event in events:
            place = f"{event.kind}/{event.namespace}/{event.name}"
            log.info(event.fact.message, extra={"object": place, "reason": str(event.fact.reason)})

    def _post(self, events: Iterable[fact.Event]) -> None:
        for event in events:
            metrics.EVENTS.labels(event.kind, str(event.fact.reason)).inc()
            self._recorder.post(event)

    async def _write_status(self, kind: cluster.Kind, subject: api.Resource, status: Mapping[str, Any]) -> None:
        about = subject.metadata
        answer = await self._cluster.write_status(kind, about.namespace, about.name, about.resource_version, dict(status))
        self._note(kind, answer)

    def _note(self, kind: cluster.Kind, answer: Mapping[str, Any]) -> None:
        """An answer enters the cache at once, and whoever it concerns is looked at."""
        self._enqueue(self._cache.put(kind, answer))


def _dry_wish(world: seen.World, name: str) -> serving.Serve:
    declared = world.stage(name)
    strategy = declared.serving.strategy if declared and declared.serving else None
    return serving.Serve(
        world.name, name, serving.NO_DIGEST, None, strategy or model_api.Strategy.ROLLING_UPDATE, paused=False, deadline=600
    )
