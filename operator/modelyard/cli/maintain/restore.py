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
    """An object whose spec in the cluster is older than the one that the ledger has, or lacks metrics or evidence that it had."""

    found: cluster.Json
    recorded: str
    """Name of the snapshot of what the ledger has."""
    lacks: tuple[str, ...] = ()
    """What is to be added, such as `metrics/auc`; nothing: the recorded spec is to be written over this one."""

    def __str__(self) -> str:
        return f"{self.found['kind']} {self.found['metadata']['name']}"


@dataclasses.dataclass(frozen=True, slots=True)
class _Missing:
    """An object that the ledger has, and this cluster has not."""

    kind: str
    name: str
    recorded: str
    """Name of the snapshot of its spec."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def model(typed: ledger_source.Typed, name: str, *, yes: bool) -> None:
    """Write the ledger's specs of a Model and its versions over older ones, add metrics and evidence that versions lack, and create what is missing, as the user.

    What is missing the operator brings back by itself, where it can prove who wrote the ledger.

    Raises:
        outcome.Stop: the ledger has no such Model or is of another one, nothing is older, or it was not confirmed.
    """
    with ledger_source.opened(typed) as opened:
        book = opened.model(name, unproven=True)  # what is written is the user's, and is judged as such
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
            whole = ", ".join(f"{one} ({one.recorded})" for one in older if not one.lacks)
            added = ", ".join(f"{' and '.join(one.lacks)} to the {one}" for one in older if one.lacks)
            what = [f"creates {', '.join(map(str, missing))}, as you"] if missing else []
            what += [f"writes the recorded specs over those of {whole}"] if whole else []
            raise exits.Stop(exits.Code.USAGE, f"it {', and '.join([*what, *([f'adds {added}'] if added else [])])}: add --yes")
        created = [(one, _snapshot(book, one.kind, one.name, one.recorded)) for one in missing]
        recorded = [(one, _snapshot(book, one.found["kind"], one.found["metadata"]["name"], one.recorded)) for one in older]
    for lost, spec in created:
        server.create(
            {"apiVersion": api.API_VERSION, "kind": lost.kind, "metadata": {"name": lost.name, "namespace": server.namespace}, "spec": spec}
        )
        output.say(f"the {lost} is back ({lost.recorded})")
    for one, spec in recorded:
        server.replace({**one.found, "spec": identity.completed(spec, one.found["spec"]) if one.lacks else spec})
        output.say(f"the {one} has {', '.join(one.lacks) or 'the spec that the ledger has'} ({one.recorded})")
    output.say("the operator goes on when it sees it" + ("; restore again when it has, for what is older" if created else ""))


def _older(
    server: cluster.Registry, book: reader.Book, past: index.Index, name: str, opened: ledger_source.Archive, *, anothers: bool
) -> Iterator[_Older]:
    """What is older, the Model last: until then it is held as Behind, whatever else is written.

    A Model that was created anew is another one than the ledger's: `anothers` says that this is all right, as its versions follow.
    """
    found = server.get(client.MODEL, name, "check the name and --namespace")
    subject = cluster.parsed(api.Model, found, f"the Model {name}")
    if past.uid != subject.metadata.uid and anothers:
        return
    if past.uid != subject.metadata.uid:
        place = f"{opened.place or opened.typed.folder}, registry {opened.registry}"
        message = f"the ledger in {place} is of another Model {name} (uid {past.uid}, and here it is {subject.metadata.uid})"
        raise exits.Stop(exits.Code.NO, f"{message}: check --bucket, --registry and --context")
    for one in server.all(client.MODEL_VERSION, fieldSelector=f"spec.model={name}"):
        version = cluster.parsed(api.ModelVersion, one, f"the ModelVersion {one['metadata']['name']}")
        if (known := past.versions.get(version.spec.version)) is None:
            continue
        whole = _Older({"apiVersion": client.MODEL_VERSION.api_version, "kind": "ModelVersion", **one}, known.spec)
        if recovery.version_is_behind(version, known):
            yield whole
        elif identity.was_anothers(version, known):
            had, has = _snapshot(book, "ModelVersion", one["metadata"]["name"], known.spec), version.spec.dump()
            if (lacks := identity.lacking(had, has)) and not identity.differing(had, has):
                yield dataclasses.replace(whole, lacks=tuple(lacks))
    if past.spec and recovery.model_is_behind(subject, past):
        yield _Older(found, past.spec)


def _missing(server: cluster.Registry, past: index.Index, name: str) -> Iterator[_Missing]:
    """What was lost, the Model first: what was deleted or retired stays gone."""
    whole = server.find(client.MODEL, name) is None
    if whole and (past.deleted or past.retired or not past.spec):
        message = f"the ledger has no Model {name} that was lost: it was retired, or never recorded whole"
        raise exits.Stop(exits.Code.NOT_FOUND, f"there is no Model {name} in namespace {server.namespace}\n{message}")
    if whole and past.spec:
        yield _Missing("Model", name, past.spec)
    here = {found["metadata"]["name"] for found in server.all(client.MODEL_VERSION, fieldSelector=f"spec.model={name}")}
    for version, known in past.versions.items():
        if f"{name}-{version}" not in here and recovery.comes_back(
            known, whole=whole, runs=any(version in now for now in past.serves.values())
        ):
            yield _Missing("ModelVersion", f"{name}-{version}", known.spec)


def _snapshot(book: reader.Book, kind: str, name: str, recorded: str) -> cluster.Json:
    data = book.blob(recorded)
    if data is None:
        raise exits.Stop(exits.Code.NO, f"the bucket no longer has the spec {recorded} of the {kind} {name}: apply it from Git")
    try:
        return specs.read(kind, name, data)
    except ValueError:
        message = f"the recorded spec {recorded} of the {kind} {name} cannot be read: if a newer release has written it, upgrade modelyard"
        raise exits.Stop(exits.Code.NO, message) from None


def take_over(typed: ledger_source.Typed, now: datetime.datetime, *, yes: bool) -> None:
    """From now on the registry belongs to the cluster of the kubeconfig's context; recorded.

    Raises:
        outcome.Stop: it is this cluster's already, or nobody's, or it was not confirmed.
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
        keys = signing_key.held(opened.where, typed.context)
        keeper = chains.Ledger(opened.store, opened.place, opened.registry, lambda: now, key=keys.private, trusted=keys.trusted)
        try:
            epoch = asyncio.run(keeper.take_over(uid, record.Actor(server.whoami(), record.Known.DECLARED)))
        except edge.Unavailable as trouble:
            if trouble.reason != Reason.LEDGER_UNPROVEN:
                raise
            more = "copy the Secret with the key from the cluster that had the registry, or have its public key believed: `modelyard ledger trust`"
            raise exits.Stop(exits.Code.NO, f"{trouble.message}\n{more}") from None
        finally:
            keeper.close()
    output.say(
        f"the registry {opened.registry} belongs to this cluster, epoch {epoch}; its operator leads and restores when it looks next,"
    )
    output.say(f"and that of the cluster {owner} stops within seconds")
