"""One ModelVersion: inspect its bytes, record and write the result, and set legal holds on bytes that a stage needs."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any, Final

from modelyard import api, edge
from modelyard.api.modelversion import ModelVersionStatus, VersionPhase
from modelyard.api.reason import Reason
from modelyard.content import canonical
from modelyard.edge.cluster import cache, client
from modelyard.ledger import index
from modelyard.plan import finding
from modelyard.plan.modelversion import decide, identity, inspection, legal_hold
from modelyard.plan.observed import outbox, specs
from modelyard.plan.record import modelversion
from modelyard.reconcile import troubles
from modelyard.reconcile.outside import Outside
from modelyard.reconcile.storage import Addresses

SLOW: Final = 2.0
"""Seconds of reading after which a version shows Verifying."""


class ModelVersionReconciler:
    """Reconciles keys of the sort `version`."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._addresses = Addresses(outside.cluster)
        verification = outside.config.verification
        self._limits = decide.Limits(
            verification.patience, verification.recheck, verification.rehash, tuple(outside.config.endpoints), outside.config.bucket.uri
        )
        self._memory: dict[cache.Key, tuple[str, decide.Memory]] = {}
        """With the uid of the object: an object that is created again starts without memory."""
        self._holds: dict[cache.Key, legal_hold.Memory] = {}

    async def reconcile(self, key: cache.Key) -> datetime.timedelta | None:
        """Handle one key; when to look at it again.

        Raises:
            edge.Unavailable: something could not be done, and the version's status says so; try again with backoff.
        """
        try:
            delay, trouble = await self._look_at(key)
        except client.Conflict:
            raise
        except Exception as error:
            called = f"the ModelVersion {key.name}"
            trouble = troubles.unavailable(called, error, f"ModelVersion/{key.namespace}/{key.name}")
            await self._tell_trouble(key, finding.Unmet(trouble.reason, trouble.message))
            raise trouble from error
        if trouble:
            raise trouble
        return delay

    async def _tell_trouble(self, key: cache.Key, why: finding.Unmet) -> None:
        """Write a failure to the version's status, if that can be written."""
        version = self._outside.cache.version(key.namespace, key.name)
        if version is None or version.metadata.deletion_timestamp:
            return
        status = decide.unknown(version, why, self._outside.clock())
        if status == version.status:
            return
        with troubles.suppressed(f"ModelVersion/{key.namespace}/{key.name}"):
            await self._outside.write_status(client.MODEL_VERSION, version, status.dump(), by=key)
            before = finding.find(version.status.conditions, "Ready")
            if why.reason == Reason.INTERNAL_ERROR and (before is None or before.reason != why.reason):
                self._outside.post([finding.event(version, why.reason, why.message, warning=True)])

    async def _look_at(self, key: cache.Key) -> tuple[datetime.timedelta | None, edge.Unavailable | None]:
        """Return when to look again, and the failure that was reported."""
        version = self._outside.cache.version(key.namespace, key.name)
        if version and any(unread.kind == "Model" for unread in self._outside.cache.unread(key.namespace, version.spec.model)):
            return None, None  # the Model exists and cannot be read: the place of the bytes is unknown, and nothing is decided about them
        if version is None or version.metadata.deletion_timestamp:
            self._memory.pop(key, None)
            self._holds.pop(key, None)
            return None, None
        past = await self._past(version)
        version = specs.recovered(version, past.uid, past.spec, past.generation) if past and not past.deleted else version
        uid, memory = self._memory.get(key, ("", decide.Memory()))
        world = decide.World(
            version=version,
            model=self._outside.cache.model(key.namespace, version.spec.model),
            limits=self._limits,
            memory=memory if uid == version.metadata.uid else decide.Memory(),
            past=past,
            meant=await self._earlier_spec(version, past),
        )
        plan = decide.decide(world, self._outside.clock())
        trouble: finding.Finding | None = None
        if plan.ask:
            world = await self._inspected(world, full=plan.full)
            trouble = world.proof if isinstance(world.proof, finding.Finding) else None
            plan = decide.decide(world, self._outside.clock())
        await self._tell_version(world, plan)
        # Remember the look only after it is written: else a failed write would wait for the next recheck.
        self._memory[key] = version.metadata.uid, plan.memory
        if trouble:
            return None, edge.Unavailable(trouble.reason, trouble.message)
        written = self._outside.cache.version(key.namespace, key.name)
        if written and written.status.unrecorded:  # the next look records it; repeated until the ledger answers
            waits = "what was done while the ledger did not answer waits in status.unrecorded"
            return None, edge.Unavailable(Reason.LEDGER_UNAVAILABLE, waits)
        return await self._hold(key, world, plan.again), None

    async def _hold(self, key: cache.Key, world: decide.World, delay: datetime.timedelta | None) -> datetime.timedelta | None:
        """Do the next step of a legal hold, if there is one; return when to look again."""
        version, now = self._outside.cache.version(key.namespace, key.name), self._outside.clock()
        if version is None or world.model is None:
            return delay
        memory = self._holds.get(key, legal_hold.Memory())
        memory = memory if memory.uid == version.metadata.uid else legal_hold.Memory(version.metadata.uid)
        step = legal_hold.step(version, world.model, memory, self._limits.recheck, now)
        if step is None:
            return delay
        chain = self._outside.book.chain(key.namespace, version.spec.model)
        await self._outside.book.load(chain)
        recorded = self._outside.book.index(chain).versions.get(version.spec.version)
        siblings = [
            sibling
            for sibling in self._outside.cache.world(key.namespace, world.model.metadata.name).versions.values()
            if sibling.key != version.key
        ]
        objects = legal_hold.objects(version, step)
        others = legal_hold.others(version, siblings, recorded.held if recorded else None)
        self._outside.fence()
        if step == legal_hold.Step.SET:
            await self._outside.book.append(chain, legal_hold.entries(version, step, recorded))
        try:
            address = await self._addresses.of(world.model)
            why = await self._outside.prover.hold(legal_hold.Request(address, step, objects, others, key.namespace))
        except Exception as error:
            trouble = troubles.unavailable("the legal hold", error, f"ModelVersion/{key.namespace}/{key.name}")
            why = finding.Finding(Reason.HOLD_REFUSED, trouble.message)
        if step == legal_hold.Step.LIFT and why is None:
            await self._outside.book.append(chain, legal_hold.entries(version, step, recorded))
        self._holds[key] = legal_hold.remember(memory, step, objects, why, now)
        status, events = legal_hold.status_after(version, step, why), legal_hold.events(version, why)
        self._outside.log(events)
        if status != version.status:
            await self._outside.write_status(client.MODEL_VERSION, version, status.dump())
        self._outside.post(events)
        return min(delay, self._limits.recheck) if delay else self._limits.recheck if why else None

    async def _inspected(self, world: decide.World, *, full: bool) -> decide.World:
        """Return the world with the inspection's result; while it takes long, the version shows Verifying."""
        looking = asyncio.ensure_future(self._look(world, full=full))
        try:
            await asyncio.wait({looking}, timeout=SLOW)
            if not looking.done() and await self._tell_version(world, decide.verifying(world, self._outside.clock())):
                current = self._outside.cache.version(*world.version.key)
                world = dataclasses.replace(world, version=current or world.version)
            proof, evidence = await looking
        finally:
            looking.cancel()
        return dataclasses.replace(world, proof=proof, evidence=evidence)

    async def _look(
        self, world: decide.World, *, full: bool
    ) -> tuple[inspection.Result | finding.Finding, dict[str, inspection.EvidenceResult | finding.Finding] | None]:
        assert world.model is not None
        try:
            address = await self._addresses.of(world.model)
            world = dataclasses.replace(world, address=address)
            proof = await self._outside.prover.inspect(decide.request(world, full=full))
        except Exception as error:
            return _not_known("the artifact", world.version, error), None
        requests = decide.evidence_requests(world)
        return proof, {name: await self._evidence(world.version, name, request) for name, request in requests.items()}

    async def _evidence(
        self, version: api.ModelVersion, name: str, request: inspection.EvidenceRequest
    ) -> inspection.EvidenceResult | finding.Finding:
        try:
            return await self._outside.prover.prove_object(request)
        except Exception as error:
            return _not_known(f"the evidence {name}", version, error)

    async def _past(self, version: api.ModelVersion) -> index.Version | None:
        """Return what the ledger has of this version's name; None, instead of an error, if the ledger is unavailable and the version was verified before."""
        status = version.status
        chain = self._outside.book.chain(version.metadata.namespace, version.spec.model)
        try:
            await self._outside.book.load(chain)
        except edge.Unavailable:
            if status.recorded and status.artifact and status.phase != VersionPhase.REUSED:
                return None
            raise
        return self._outside.book.index(chain).versions.get(version.spec.version)

    async def _earlier_spec(self, version: api.ModelVersion, past: index.Version | None) -> Mapping[str, Any] | None:
        """Return the spec that an earlier object of this name had, where the decision needs it."""
        if past is None or not identity.belonged_to_another(version, past):
            return None
        return specs.read(version.kind, version.metadata.name, await self._outside.prover.blob(past.spec))

    async def _tell_version(self, world: decide.World, plan: decide.Plan) -> bool:
        """Record the status, then write it; return whether it changed."""
        version, status = world.version, plan.status
        unchanged = status == version.status
        if unchanged and not version.status.unrecorded:
            return False
        self._outside.fence()
        try:
            await self._record_version(world, status)
            status = status.model_copy(update={"unrecorded": None})
        except Exception as error:
            trouble = troubles.unavailable("the record of this version", error, "/".join(("ModelVersion", *version.key)))
            if unchanged:  # the unrecorded entries wait on
                raise trouble from error
            done = modelversion.entries(version, status, {}, "", at=self._outside.clock())
            safer = [fact for fact in done if fact.action in modelversion.SAFER]
            if not safer:
                withheld = decide.withheld(world, finding.Finding(trouble.reason, trouble.message), self._outside.clock())
                if withheld != version.status:
                    await self._outside.write_status(client.MODEL_VERSION, version, withheld.dump())
                raise trouble from error
            status = status.model_copy(
                update={"recorded": version.status.recorded, "unrecorded": outbox.store(version.status.unrecorded, safer)}
            )
        self._outside.log(plan.events)
        # Our own write does not trigger this decision again; its due time does.
        await self._outside.write_status(client.MODEL_VERSION, version, status.dump(), by=cache.Key("version", *version.key))
        self._outside.post(plan.events)
        return True

    async def _record_version(self, world: decide.World, status: ModelVersionStatus) -> None:
        version, recorded = world.version, world.version.status.recorded
        now, stamped = self._outside.clock(), self._outside.guard.held is None
        before = world.meant
        newer, whole_again = specs.is_new(version), identity.is_whole_again(version, world.past, world.meant)
        if recorded and newer and not whole_again:
            before = canonical.loads(await self._outside.prover.blob(recorded.spec))
        named = status.spec_digest or specs.spec_digest(version)
        earlier = self._outside.cache.earlier(version)
        facts = modelversion.entries(
            version, status, before, named, at=now, stamped=stamped, past=world.past, again=whole_again, earlier=earlier
        )
        facts = (*outbox.read(version.status.unrecorded), *modelversion.replaced(version, world.past), *facts)
        if not facts:
            return
        if newer:
            for change in specs.changes(version, earlier):
                await self._outside.prover.keep_blob(specs.snapshot(change.after))
        await self._outside.book.append(self._outside.book.chain(version.metadata.namespace, version.spec.model), facts)
        self._outside.cache.recorded(version)


def _not_known(subject: str, version: api.ModelVersion, error: Exception) -> finding.Finding:
    """Return what could not be found out about a version, and why."""
    trouble = troubles.unavailable(subject, error, "/".join(("ModelVersion", *version.key)))
    return finding.Finding(trouble.reason, trouble.message)
