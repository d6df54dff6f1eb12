"""`modelyard restore`: put recorded specs of a Model back after an older backup, or let this cluster take a registry over."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from collections.abc import Iterator

from modelyard import api, edge
from modelyard.api.reason import Reason
from modelyard.cli.reach import cluster, ledger_source, signing_key
from modelyard.cli.terminal import exits, output
from modelyard.edge.bucket import chains
from modelyard.edge.cluster import client
from modelyard.ledger import index, reader, record
from modelyard.plan.modelversion import identity
from modelyard.plan.observed import recovery, specs


@dataclasses.dataclass(frozen=True, slots=True)
class _Older:
    """An object whose spec in the cluster is older than the recorded one, or lacks recorded metrics or evidence."""

    current: cluster.Json
    recorded: str
    """Name of the snapshot of the recorded spec."""
    lacks: tuple[str, ...] = ()
    """What to add, such as `metrics/auc`; empty: the recorded spec replaces this one."""

    def __str__(self) -> str:
        return f"{self.current['kind']} {self.current['metadata']['name']}"


@dataclasses.dataclass(frozen=True, slots=True)
class _Missing:
    """An object that the ledger has and this cluster lacks."""

    kind: str
    name: str
    recorded: str
    """Name of the snapshot of its spec."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def model(typed: ledger_source.Typed, name: str, *, yes: bool) -> None:
    """Write the ledger's specs of a Model and its versions over older ones, add metrics and evidence that versions lack, and create what is missing, as the user.

    The operator restores missing objects by itself, where it can prove who wrote the ledger.

    Raises:
        exits.Stop: the ledger has no such Model or is of another one, or --yes is missing.
    """
    with ledger_source.opened(typed) as opened:
        book = opened.model(name, unproven=True)  # the user writes the specs, and is authorised as such
        past = book.index(book.last)
        if opened.book(book.chain).record(book.last) is None:
            output.say(f"nothing proves who wrote the last record of {name}: look at what is put back, it will be yours")
        server = cluster.Registry(typed.context, book.chain.namespace)
        missing = list(_missing(server, past, name))
        model_is_missing = bool(missing) and missing[0].kind == "Model"
        older = [] if model_is_missing else list(_older(server, book, past, name, opened, anothers=bool(missing)))
        if older:  # what is missing beside them the operator brings back, once nothing is older
            missing = []
        if not (older or missing):
            output.say(f"the Model {name} and its versions are as the ledger has them, or newer: nothing is put back")
            return
        if not yes:
            whole = ", ".join(f"{outdated} ({outdated.recorded})" for outdated in older if not outdated.lacks)
            added = ", ".join(f"{' and '.join(outdated.lacks)} to the {outdated}" for outdated in older if outdated.lacks)
            actions = [f"creates {', '.join(map(str, missing))}, as you"] if missing else []
            actions += [f"writes the recorded specs over those of {whole}"] if whole else []
            raise exits.Stop(exits.Code.USAGE, f"it {', and '.join([*actions, *([f'adds {added}'] if added else [])])}: add --yes")
        created = [(lost, _snapshot(book, lost.kind, lost.name, lost.recorded)) for lost in missing]
        recorded = [
            (outdated, _snapshot(book, outdated.current["kind"], outdated.current["metadata"]["name"], outdated.recorded))
            for outdated in older
        ]
    for lost, spec in created:
        server.create(
            {"apiVersion": api.API_VERSION, "kind": lost.kind, "metadata": {"name": lost.name, "namespace": server.namespace}, "spec": spec}
        )
        output.say(f"the {lost} is back ({lost.recorded})")
    for outdated, spec in recorded:
        server.replace({**outdated.current, "spec": identity.completed(spec, outdated.current["spec"]) if outdated.lacks else spec})
        output.say(f"the {outdated} has {', '.join(outdated.lacks) or 'the spec that the ledger has'} ({outdated.recorded})")
    output.say("the operator goes on when it sees it" + ("; restore again when it has, for what is older" if created else ""))


def _older(
    server: cluster.Registry, book: reader.ChainReader, past: index.Index, name: str, opened: ledger_source.OpenLedger, *, anothers: bool
) -> Iterator[_Older]:
    """Yield the older objects, the Model last: until then it stays Behind, whatever else is written.

    A Model that was created anew is another one than the ledger's. `anothers` accepts that, as its versions are created next.
    """
    obj = server.get(client.MODEL, name, "check the name and --namespace")
    subject = cluster.parsed(api.Model, obj, f"the Model {name}")
    if past.uid != subject.metadata.uid and anothers:
        return
    if past.uid != subject.metadata.uid:
        place = f"{opened.place or opened.typed.folder}, registry {opened.registry}"
        message = f"the ledger in {place} is of another Model {name} (uid {past.uid}, and here it is {subject.metadata.uid})"
        raise exits.Stop(exits.Code.NO, f"{message}: check --bucket, --registry and --context")
    for raw in server.all(client.MODEL_VERSION, fieldSelector=f"spec.model={name}"):
        version = cluster.parsed(api.ModelVersion, raw, f"the ModelVersion {raw['metadata']['name']}")
        if (entry := past.versions.get(version.spec.version)) is None:
            continue
        whole = _Older({"apiVersion": client.MODEL_VERSION.api_version, "kind": "ModelVersion", **raw}, entry.spec)
        if recovery.version_is_behind(version, entry):
            yield whole
        elif identity.belonged_to_another(version, entry):
            had, has = _snapshot(book, "ModelVersion", raw["metadata"]["name"], entry.spec), version.spec.dump()
            if (lacks := identity.lacking(had, has)) and not identity.differing(had, has):
                yield dataclasses.replace(whole, lacks=tuple(lacks))
    if past.spec and recovery.model_is_behind(subject, past):
        yield _Older(obj, past.spec)


def _missing(server: cluster.Registry, past: index.Index, name: str) -> Iterator[_Missing]:
    """Yield the lost objects, the Model first; deleted or retired objects stay gone."""
    whole = server.find(client.MODEL, name) is None
    if whole and (past.deleted or past.retired or not past.spec):
        message = f"the ledger has no Model {name} that was lost: it was retired, or never recorded whole"
        raise exits.Stop(exits.Code.NOT_FOUND, f"there is no Model {name} in namespace {server.namespace}\n{message}")
    if whole and past.spec:
        yield _Missing("Model", name, past.spec)
    present = {obj["metadata"]["name"] for obj in server.all(client.MODEL_VERSION, fieldSelector=f"spec.model={name}")}
    for version, entry in past.versions.items():
        if f"{name}-{version}" not in present and recovery.comes_back(
            entry, whole=whole, runs=any(version in weights for weights in past.serves.values())
        ):
            yield _Missing("ModelVersion", f"{name}-{version}", entry.spec)


def _snapshot(book: reader.ChainReader, kind: str, name: str, recorded: str) -> cluster.Json:
    data = book.blob(recorded)
    if data is None:
        raise exits.Stop(exits.Code.NO, f"the bucket no longer has the spec {recorded} of the {kind} {name}: apply it from Git")
    try:
        return specs.read(kind, name, data)
    except ValueError:
        message = f"the recorded spec {recorded} of the {kind} {name} cannot be read: if a newer release has written it, upgrade modelyard"
        raise exits.Stop(exits.Code.NO, message) from None


def take_over(typed: ledger_source.Typed, now: datetime.datetime, *, yes: bool) -> None:
    """Make the cluster of the kubeconfig's context the registry's owner, and record it.

    Raises:
        exits.Stop: there is no such registry, or --yes is missing.
    """
    server = cluster.Registry(typed.context, "")
    uid = str(server.get(client.NAMESPACE, "kube-system")["metadata"]["uid"])
    with ledger_source.opened(typed) as opened:
        assert opened.store is not None
        assert opened.place is not None
        assert opened.where is not None
        owner, epoch = opened.owner()
        if owner is None and not opened.operators.last:
            message = f"there is no registry {opened.registry} in {opened.place}: check --bucket and --registry; the first operator that leads has it"
            raise exits.Stop(exits.Code.NOT_FOUND, message)
        if owner == uid:
            output.say(f"the registry {opened.registry} belongs to this cluster already, epoch {epoch}")
            return
        if not yes:
            message = f"the registry {opened.registry} in {opened.place} will belong to this cluster ({uid})"
            message += ", and the operator of the one that has it now stops: add --yes"
            raise exits.Stop(exits.Code.USAGE, message)
        keys = signing_key.load(opened.where, typed.context)
        keeper = chains.Ledger(opened.store, opened.place, opened.registry, lambda: now, key=keys.private, trusted=keys.trusted)
        try:
            epoch = asyncio.run(keeper.take_over(uid, record.Actor(server.whoami(), record.Authenticity.DECLARED)))
        except edge.Unavailable as trouble:
            if trouble.reason != Reason.LEDGER_UNPROVEN:
                raise
            hint = "copy the Secret with the key from the cluster that had the registry, or have its public key believed: `modelyard ledger trust`"
            raise exits.Stop(exits.Code.NO, f"{trouble.message}\n{hint}") from None
        finally:
            keeper.close()
    output.say(
        f"the registry {opened.registry} belongs to this cluster, epoch {epoch}; its operator leads and restores when it looks next,"
    )
    output.say(f"and that of the cluster {owner} stops within seconds")
