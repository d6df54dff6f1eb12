"""Observe, decide, act, tell: the one way in which anything happens.

The order of effects of a decision is: record -> claims and status (the write-ahead) -> apply -> Event. What a stage runs is a
function of what its Model's status says, so a crash between any two steps repeats harmlessly.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import datetime
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from modelyard import api, edge, settings
from modelyard.api import model as model_api
from modelyard.api import modelversion as api_version
from modelyard.api.access import changes
from modelyard.api.reason import Reason
from modelyard.edge import artifact, cache, cluster, ledger, leftovers, metrics
from modelyard.plan import (
    fact,
    hold,
    index,
    inspection,
    model,
    modelversion,
    proof,
    recording,
    registration,
    restoring,
    serving,
    specs,
    stage,
)
from modelyard.plan import ledger as ledger_plan
from modelyard.plan import world as seen

log = logging.getLogger(__name__)

SLOW: Final = 2.0
"""Seconds after which a version that is being read shows Verifying."""
SECRET_AGE: Final = 30.0
"""Seconds for which a Secret or CA bundle is used without asking again."""
ANCHOR_EVERY: Final = datetime.timedelta(seconds=10)
RENEWED: Final = datetime.timedelta(seconds=20)
"""What a leader writes after a renewal that is the last one; more than a Lease lasts."""
REFUSED_AGAIN: Final = datetime.timedelta(seconds=30)


class Recorder(Protocol):
    """Posts Events; never waits, never fails."""

    def post(self, event: fact.Event) -> None: ...


class Guard(Protocol):
    """Whether the policies are effective, or why nothing that needs an approval may be granted."""

    held: fact.Held | None

    async def prove(self) -> fact.Held | None: ...


@dataclasses.dataclass(slots=True)
class _Remembered:
    """What this process knows of a model beyond the cache; losing it costs API calls, nothing else."""

    answers: dict[seen.Question, seen.Answer] = dataclasses.field(default_factory=dict)
    refused: dict[serving.Serve, fact.Fact] = dataclasses.field(default_factory=dict)
    applied: dict[str, tuple[serving.Serve, int, int]] = dataclasses.field(default_factory=dict)
    """By stage: the wish, and the Deployment's generation and the Service's resource version after it was applied."""
    anchored: datetime.datetime | None = None
    """When the chain's end was last written to the Model's status."""
    looked: bool = False
    """It was seen together with what the ledger has of it."""
    leftovers: bool = False
    """A rollout ended, and the lists of files of those before were not looked through yet."""


class Reconciler:
    """Brings one key from what is to what should be.

    Args:
        enqueue: called with every key that a write of ours concerns.
        clock: the time now, with a time zone.
        fence: raises `edge.Unavailable` when another replica may lead; called before every write.
    """

    def __init__(
        self,
        reach: cluster.Cluster,
        known: cache.Cache,
        prover: artifact.Prover,
        book: ledger.Ledger,
        config: settings.Settings,
        recorder: Recorder,
        enqueue: Callable[[Iterable[cache.Key]], None],
        guard: Guard,
        clock: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
        *,
        fence: Callable[[], None],
    ) -> None:
        self._cluster = reach
        self._cache = known
        self._prover = prover
        self._book = book
        self._guard = guard
        self._config = config
        self._recorder = recorder
        self._enqueue = enqueue
        self._clock = clock
        self._fence = fence
        self._name = ""
        """By which the API server knows this operator, once it was asked."""
        self.unsettled_since: datetime.datetime | None = None
        """Until when the cluster's own state is known to be whole: what the ledger has from later, a restored backup does not."""
        self._limits = modelversion.Limits(
            config.verification.patience, config.verification.recheck, config.verification.rehash, tuple(config.endpoints)
        )
        self._memory: dict[cache.Key, tuple[str, modelversion.Memory]] = {}
        """With the uid that it is about: an object created anew is looked at anew."""
        self._holds: dict[cache.Key, hold.Memory] = {}
        self._models: dict[cache.Key, _Remembered] = {}
        self._orphans: dict[cache.Key, frozenset[str]] = {}
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
            self._holds.pop(key, None)
            return None
        uid, memory = self._memory.get(key, ("", modelversion.Memory()))
        world = modelversion.World(
            version=version,
            model=self._cache.model(key.namespace, version.spec.model),
            limits=self._limits,
            memory=memory if uid == version.metadata.uid else modelversion.Memory(),
            past=await self._past(version),
        )
        plan = modelversion.decide(world, self._clock())
        trouble: fact.Fact | None = None
        if plan.ask:
            world = await self._inspected(world, plan)
            trouble = world.proof if isinstance(world.proof, fact.Fact) else None
            plan = modelversion.decide(world, self._clock())
        await self._tell_version(world, plan)
        # What could not be told was not looked at: else it would be told at the next recheck only.
        self._memory[key] = version.metadata.uid, plan.memory
        if trouble:
            raise edge.Unavailable(trouble.reason, trouble.message)
        return await self._hold(key, world, plan.again)

    async def _hold(self, key: cache.Key, world: modelversion.World, again: datetime.timedelta | None) -> datetime.timedelta | None:
        """The next step of a legal hold, if there is one; when to look again."""
        version, now = self._cache.version(key.namespace, key.name), self._clock()
        if version is None or world.model is None:
            return again
        memory = self._holds.get(key, hold.Memory())
        memory = memory if memory.uid == version.metadata.uid else hold.Memory(version.metadata.uid)
        step = hold.step(version, memory, self._limits.recheck, now)
        if step is None:
            return again
        siblings = [one for one in self._cache.world(key.namespace, world.model.metadata.name).versions.values() if one.key != version.key]
        objects = hold.objects(version, step)
        self._fence()
        try:
            address = await self._address(world)
            why = await self._prover.hold(hold.Request(address, step, objects, hold.others(version, siblings)))
        except edge.Unavailable as trouble:
            why = fact.Fact(Reason.HOLD_REFUSED, trouble.message)
        held = objects.manifest if step == hold.Step.SET and why is None else memory.held
        self._holds[key] = dataclasses.replace(memory, held=held, tried=now if why else None)
        status, events = hold.done(version, step, why), hold.events(version, why)
        self._log(events)
        if status != version.status:
            await self._write_status(cluster.MODEL_VERSION, version, status.dump())
        self._post(events)
        return min(again, self._limits.recheck) if again else self._limits.recheck if why else None

    async def _inspected(self, world: modelversion.World, plan: modelversion.Plan) -> modelversion.World:
        """The world with the answer in it; after a while the version shows Verifying."""
        looking = asyncio.ensure_future(self._look(world, full=plan.full))
        try:
            await asyncio.wait({looking}, timeout=SLOW)
            if not looking.done() and await self._tell_version(world, plan):
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

    async def _past(self, version: api.ModelVersion) -> index.Version | None:
        """What the ledger has of this version's name; not asked once the version was verified under it, as that says no more."""
        was = version.status
        if was.recorded and was.artifact and was.phase != api_version.VersionPhase.REUSED:
            return None
        chain = self._book.chain(version.metadata.namespace, version.spec.model)
        await self._book.load(chain)
        return self._book.index(chain).versions.get(version.spec.version)

    async def _tell_version(self, world: modelversion.World, plan: modelversion.Plan) -> bool:
        """Record what the status would say, then write it; whether it was news."""
        version, status = world.version, plan.status
        if status == version.status:
            return False
        self._fence()
        try:
            await self._record_version(world, status)
            status = status.model_copy(update={"unrecorded": None})
        except edge.Unavailable as trouble:
            safer = [told for told in registration.facts(version, status, {}, "") if told.action in registration.SAFER]
            if not safer:
                said = modelversion.withheld(world, fact.Fact(trouble.reason, trouble.message), self._clock())
                if said != version.status:
                    await self._write_status(cluster.MODEL_VERSION, version, said.dump())
                raise
            status = status.model_copy(
                update={"recorded": version.status.recorded, "unrecorded": recording.kept(version.status.unrecorded, safer)}
            )
        self._log(plan.events)
        await self._write_status(cluster.MODEL_VERSION, version, status.dump())
        self._post(plan.events)
        return True

    async def _record_version(self, world: modelversion.World, status: api_version.ModelVersionStatus) -> None:
        version, recorded = world.version, world.version.status.recorded
        before: Mapping[str, Any] | None = None
        newer = specs.is_new(version)
        if recorded and newer:
            before = json.loads(await self._prover.blob(recorded.spec))
        facts = registration.facts(version, status, before, modelversion.spec_digest(version), stamped=self._guard.held is None)
        facts = (*recording.read_kept(version.status.unrecorded), *registration.replaced(version, world.past), *facts)
        if not facts:
            return
        if newer:
            await self._prover.keep_blob(specs.snapshot(version))
        await self._book.append(self._book.chain(version.metadata.namespace, version.spec.model), facts)

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
        past, trouble = await self._past_of(key)
        first = past is not None and not remembered.looked
        remembered.looked = remembered.looked or first
        known = self._cache.world(key.namespace, key.name)
        world = dataclasses.replace(known, answers=dict(remembered.answers), refused=dict(remembered.refused), first=first)
        world = _with_past(world, past) if past else _withheld(world, trouble)
        if first and past:
            world = dataclasses.replace(world, older=self._is_older(past.head))
        self._report_orphans(key, world)
        if world.model is None and not world.promotions and (past is None or past.index.deleted or past.index.uid is None):
            self._models.pop(key, None)
            return None
        if world.withheld is None and (held := restoring.behind(world)):
            world = dataclasses.replace(world, withheld=held)
        if restoring.lost(world) and await self._terminating(key.namespace):
            world = dataclasses.replace(world, terminating=True)
        world = await self._guarded(world)
        world, plan = await self._decided(world)
        if world.withheld is None:
            try:
                plan = await self._recorded(key, world, plan)
            except edge.Unavailable as unavailable:
                trouble = unavailable
                world, plan = await self._decided(_withheld(world, trouble))
        if world.withheld:
            plan = _kept(world, plan, self._clock())
        # A good answer holds until the question changes; a bad one may be mended elsewhere, so it is asked again.
        asked = model.dry_runs(world)
        remembered.answers = {question: None for question in asked if world.answers[question] is None}
        await self._act(key, world, plan, remembered)
        if trouble:
            raise trouble
        broken = remembered.refused or len(remembered.answers) < len(asked)
        return REFUSED_AGAIN if broken and (plan.again is None or plan.again > REFUSED_AGAIN) else plan.again

    def _report_orphans(self, key: cache.Key, world: seen.World) -> None:
        """What serves and belongs to no Model is told of once, and left alone; a Model that was lost is brought back instead."""
        before = self._orphans.pop(key, frozenset())
        if (
            world.model is not None
            or world.withheld
            or restoring.lost(world)
            or not (stages := frozenset({*world.deployments, *world.services}))
        ):
            return
        self._orphans[key] = stages
        events = []
        for name in sorted(stages - before):
            called = f"{world.name}-{name}"
            for kind in (cluster.DEPLOYMENT, cluster.SERVICE):
                if known := self._cache.seen(kind, world.namespace, world.name, called):
                    told = f"{called} serves and belongs to no Model {world.name}: apply that Model again, or delete the Deployment and the Service"
                    said = fact.Fact(Reason.ORPHANED, told)
                    events.append(fact.Event(kind.name, world.namespace, called, known.uid or "", said, warning=True))
                    break
        self._log(events)
        self._post(events)

    async def _decided(self, world: seen.World) -> tuple[seen.World, model.Plan]:
        """The plan, once all that it asks is answered."""
        while (plan := model.decide(world, self._clock())).ask:
            answers = {question: await self._answer(world, question) for question in plan.ask}
            world = dataclasses.replace(world, answers={**world.answers, **answers})
        return world, plan

    def _is_older(self, head: ledger.Head) -> bool:
        """Whether the ledger went on after the last renewal that this cluster remembers, under a leader that is not this one."""
        record = head.record
        if record is None or self.unsettled_since is None or self._book.term is None or record.term >= self._book.term:
            return False
        return record.time > self.unsettled_since + RENEWED

    async def _past_of(self, key: cache.Key) -> tuple[_Past | None, edge.Unavailable | None]:
        """What the ledger has of a model, or why that is not known."""
        known = self._cache.model(key.namespace, key.name)
        anchor = known.status.ledger if known else None
        chain = self._book.chain(key.namespace, key.name)
        try:
            head = await self._book.load(chain, proof.Anchor(anchor.sequence, anchor.head) if anchor and anchor.head else None)
        except edge.Unavailable as trouble:
            return None, trouble
        return _Past(head, self._book.index(chain)), None

    async def _terminating(self, namespace: str) -> bool:
        """Whether a namespace is being deleted, or gone: what was in it went with it."""
        found = await self._cluster.get(cluster.NAMESPACE, "", namespace)
        return found is None or bool(found["metadata"].get("deletionTimestamp"))

    async def _guarded(self, world: seen.World) -> seen.World:
        """The world with the approvals that do not count, as the policies were not proven effective when they appeared."""
        said = {
            name: {(word[0], word[1]): word[2:] for word in one.approvals}
            for name, one in (world.past.promotions if world.past else {}).items()
        }
        fresh, doubted = set(), set()
        for one in world.promotions:
            if one.status.phase and one.status.phase.is_terminal:
                continue
            for word in one.spec.approvals or []:
                known = said.get(one.metadata.name, {}).get((word.user, word.gate))
                entry = (one.metadata.uid, word.user, word.gate)
                if known is None or known[:2] != [str(recording.SAYS[word.decision]), word.subject]:
                    fresh.add(entry)
                elif not known[2]:
                    doubted.add(entry)
        held = await self._guard.prove() if fresh else self._guard.held
        return dataclasses.replace(world, unguarded=held, doubted=frozenset(doubted | (fresh if held else set())))

    async def _recorded(self, key: cache.Key, world: seen.World, plan: model.Plan) -> model.Plan:
        """Write ahead what this plan does; the plan with the new anchor in the Model's status."""
        told = recording.of(world, plan, self._clock())
        for blob in told.blobs:
            await self._prover.keep_blob(blob)
        chain = self._book.chain(key.namespace, key.name)
        facts = (*recording.read_kept(_unrecorded(world)), *told.facts)
        news = facts or told.state != world.state
        head = await self._book.append(chain, facts, told.state) if news else await self._book.load(chain)
        return self._anchored(key, world, plan, head)

    def _anchored(self, key: cache.Key, world: seen.World, plan: model.Plan, head: ledger.Head) -> model.Plan:
        """The chain's end is kept in the Model's status, at most every ten seconds for its own sake."""
        if world.model is None:
            return plan
        was = world.model.status.ledger
        anchor = model_api.LedgerStatus(sequence=head.sequence, head=head.digest)
        if was == anchor:
            return plan
        remembered, now = self._models[key], self._clock()
        due = remembered.anchored + ANCHOR_EVERY if remembered.anchored else now
        if plan.status is None and due > now:
            return dataclasses.replace(plan, again=min(plan.again or due - now, due - now))
        remembered.anchored = now
        status = (plan.status or world.model.status).model_copy(update={"ledger": anchor})
        return dataclasses.replace(plan, status=status)

    async def _answer(self, world: seen.World, question: seen.Question) -> seen.Answer:
        try:
            if isinstance(question, seen.DryRun):
                return await self._dry_run(world, question)
            if isinstance(question, seen.Snapshot):
                return dict(json.loads(await self._prover.blob(question.digest)))
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
        self._fence()
        self._log(plan.events)
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
        for lost in plan.restore:
            await self._restore(world, lost)
        for name, version in plan.create:
            await self._promote(world, name, version)
        self._post(plan.events)
        remembered.leftovers = remembered.leftovers or model.ended(world, plan)
        if remembered.leftovers and model.at_rest(world, plan):
            await self._collect(world, plan, remembered)

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
                self._fence()
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
        self._fence()
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
            if known := self._cache.seen(kind, world.namespace, world.name, called):
                self._fence()
                await self._cluster.delete(kind, world.namespace, called, known.uid)

    async def _collect(self, world: seen.World, plan: model.Plan, remembered: _Remembered) -> None:
        """Delete the lists of files that no rollout needs any more; an old pod that goes on its own time is waited for."""
        needed = {serving.config(await self._prover.blob(name)) for name in {wish.template for wish in plan.serve}}
        try:
            remembered.leftovers = not await leftovers.collect(self._cluster, self._fence, world.namespace, world.name, needed)
        except cluster.Refused as refused:
            remembered.leftovers = False
            log.warning("old lists of files stay: %s", refused.message, extra={"object": f"Model/{world.namespace}/{world.name}"})

    async def _promote(self, world: seen.World, name: str, version: str) -> None:
        """AutoPromote writes the Promotion that a person would."""
        about = {"name": f"{world.name}-{version}-{name}", "namespace": world.namespace, "labels": {stage.AUTOMATIC: "true"}}
        spec = {"model": world.name, "version": version, "stage": name, "reason": f"autoPromote of stage {name}"}
        promotion = {"apiVersion": api.API_VERSION, "kind": "Promotion", "metadata": about, "spec": spec}
        self._fence()
        try:
            self._note(cluster.PROMOTION, await self._cluster.create(await self._signed(promotion)))
        except cluster.Conflict:
            log.info("the Promotion exists already", extra={"object": f"Promotion/{world.namespace}/{about['name']}"})

    async def _signed(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """As a policy wants it before Kubernetes 1.36, and the API server makes it from then on."""
        self._name = self._name or await self._cluster.whoami()
        return changes.signed(obj, self._name)

    async def _restore(self, world: seen.World, lost: restoring.Lost) -> None:
        """Create anew what was lost; its owner's next apply changes it as any other object."""
        spec = json.loads(await self._prover.blob(lost.spec))
        whole = api.Model if lost.kind == "Model" else api.ModelVersion
        about = {"name": lost.name, "namespace": world.namespace}
        read = whole.model_validate({"metadata": about, "spec": spec})
        obj = {"apiVersion": api.API_VERSION, "kind": lost.kind, "metadata": about, "spec": read.spec.dump()}
        try:
            self._fence()
            self._note(cluster.KINDS[lost.kind], await self._cluster.create(await self._signed(obj)))
        except cluster.Conflict:
            log.info("it is back already", extra={"object": f"{lost.kind}/{world.namespace}/{lost.name}"})

    # --- what both do

    def _log(self, events: Iterable[fact.Event]) -> None:
        """What is decided is in the log as well."""
        for event in events:
            place = f"{event.kind}/{event.namespace}/{event.name}"
            log.info(event.fact.message, extra={"object": place, "reason": str(event.fact.reason)})

    def _post(self, events: Iterable[fact.Event]) -> None:
        for event in events:
            metrics.EVENTS.labels(event.kind, str(event.fact.reason)).inc()
            self._recorder.post(event)

    async def _write_status(self, kind: cluster.Kind, subject: api.Resource, status: Mapping[str, Any]) -> None:
        about = subject.metadata
        self._fence()
        answer = await self._cluster.write_status(kind, about.namespace, about.name, about.resource_version, dict(status))
        self._note(kind, answer)

    def _note(self, kind: cluster.Kind, answer: Mapping[str, Any]) -> None:
        """An answer enters the cache at once, and whoever it concerns is looked at."""
        self._enqueue(self._cache.put(kind, answer))


@dataclasses.dataclass(frozen=True, slots=True)
class _Past:
    """What the ledger has of a model."""

    head: ledger.Head
    index: index.Index


def _withheld(world: seen.World, trouble: edge.Unavailable | None) -> seen.World:
    """The world with the reason why nothing may be decided."""
    assert trouble is not None
    waits = fact.Waits.FOR_A_PERSON if isinstance(trouble, ledger.Tampered) else fact.Waits.BY_ITSELF
    return dataclasses.replace(world, withheld=fact.Held(trouble.reason, trouble.message, waits))


def _with_past(world: seen.World, past: _Past) -> seen.World:
    """The world with what the ledger has."""
    spans = {
        (name, version): seen.Served(span.seconds, ledger_plan.read_time(span.since) if span.since else None)
        for name, versions in past.index.served.items()
        for version, span in versions.items()
    }
    registrants = {name: known.registrant for name, known in past.index.versions.items() if known.registrant}
    return dataclasses.replace(
        world, past=past.index, sequence=past.head.sequence, state=past.head.state, served=spans, registrants=registrants
    )


def _unrecorded(world: seen.World) -> list[str] | None:
    return world.model.status.ledger.unrecorded if world.model and world.model.status.ledger else None


def _kept(world: seen.World, plan: model.Plan, now: datetime.datetime) -> model.Plan:
    """A plan that makes things safer while the ledger does not answer: what it does is kept in the Model's status until it does."""
    done = [told for told in recording.of(world, plan, now).facts if told.action in recording.SAFER]
    if not done or world.model is None:
        return plan
    was = world.model.status.ledger or model_api.LedgerStatus()
    status = plan.status or world.model.status
    ledger_status = was.model_copy(update={"unrecorded": recording.kept(was.unrecorded, done)})
    return dataclasses.replace(plan, status=status.model_copy(update={"ledger": ledger_status}))


def _dry_wish(world: seen.World, name: str) -> serving.Serve:
    declared = world.stage(name)
    strategy = declared.serving.strategy if declared and declared.serving else None
    return serving.Serve(
        world.name, name, serving.NO_DIGEST, None, strategy or model_api.Strategy.ROLLING_UPDATE, paused=False, deadline=600
    )
