"""`modelyard restore`: put recorded specs of a Model back after an older backup, or let this cluster take a registry over."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from collections.abc import Iterator

from modelyard import api
from modelyard.cli import archives, outcome, output, registry
from modelyard.edge import cluster
from modelyard.edge import ledger as ledgers
from modelyard.plan import book as books
from modelyard.plan import index, ledger, restoring, reuse, specs


@dataclasses.dataclass(frozen=True, slots=True)
class _Older:
    """An object whose spec in the cluster is older than the one that the ledger has, or lacks metrics or evidence that it had."""

    found: registry.Json
    recorded: str
    """Name of the snapshot of what the ledger has."""
    lacks: tuple[str, ...] = ()
    """What is to be added, such as `metrics/auc`; nothing: the recorded spec is to be written over this one."""

    def __str__(self) -> str:
        return f"{self.found['kind']} {self.found['metadata']['name']}"


def model(typed: archives.Typed, name: str, *, yes: bool) -> None:
    """Write the ledger's specs of a Model and its versions over older ones, and add metrics and evidence that versions lack, as the user.

    The operator goes on by itself, and brings back what is missing.

    Raises:
        outcome.Stop: the ledger has no such Model or is of another one, nothing is older, or it was not confirmed.
    """
    with archives.opened(typed) as opened:
        book = opened.model(name)
        past = book.index(book.last)
        server = registry.Registry(typed.context, book.chain.namespace)
        older = list(_older(server, book, past, name, opened))
        if not older:
            output.say(f"the Model {name} and its versions are as the ledger has them, or newer: nothing is put back")
            return
        if not yes:
            whole = ", ".join(f"{one} ({one.recorded})" for one in older if not one.lacks)
            added = ", ".join(f"{' and '.join(one.lacks)} to the {one}" for one in older if one.lacks)
            what = [f"writes the recorded specs over those of {whole}"] if whole else []
            raise outcome.Stop(outcome.Code.USAGE, f"it {', and '.join([*what, *([f'adds {added}'] if added else [])])}: add --yes")
        recorded = [(one, _snapshot(book, one)) for one in older]
    for one, spec in recorded:
        server.replace({**one.found, "spec": reuse.completed(spec, one.found["spec"]) if one.lacks else spec})
        output.say(f"the {one} has {', '.join(one.lacks) or 'the spec that the ledger has'} ({one.recorded})")
    output.say("the operator goes on when it sees it")


def _older(server: registry.Registry, book: books.Book, past: index.Index, name: str, opened: archives.Archive) -> Iterator[_Older]:
    """What is older, the Model last: until then it is held as Behind, whatever else is written."""
    found = server.get(cluster.MODEL, name, "the operator brings lost objects back by itself: look with `kubectl get models`")
    subject = registry.parsed(api.Model, found, f"the Model {name}")
    if past.uid != subject.metadata.uid:
        place = f"{opened.place or opened.typed.folder}, registry {opened.registry}"
        message = f"the ledger in {place} is of another Model {name} (uid {past.uid}, and here it is {subject.metadata.uid})"
        raise outcome.Stop(outcome.Code.NO, f"{message}: check --bucket, --registry and --context")
    for one in server.all(cluster.MODEL_VERSION, fieldSelector=f"spec.model={name}"):
        version = registry.parsed(api.ModelVersion, one, f"the ModelVersion {one['metadata']['name']}")
        if (known := past.versions.get(version.spec.version)) is None:
            continue
        whole = _Older({"apiVersion": cluster.MODEL_VERSION.api_version, "kind": "ModelVersion", **one}, known.spec)
        if restoring.version_is_behind(version, known):
            yield whole
        elif reuse.was_anothers(version, known):
            had, has = _snapshot(book, whole), version.spec.dump()
            if (lacks := reuse.lacking(had, has)) and not reuse.differing(had, has):
                yield dataclasses.replace(whole, lacks=tuple(lacks))
    if past.spec and restoring.model_is_behind(subject, past):
        yield _Older(found, past.spec)


def _snapshot(book: books.Book, one: _Older) -> registry.Json:
    data = book.blob(one.recorded)
    if data is None:
        raise outcome.Stop(outcome.Code.NO, f"the bucket no longer has the spec {one.recorded} of the {one}: apply it from Git")
    try:
        return specs.read(one.found["kind"], one.found["metadata"]["name"], data)
    except ValueError:
        message = f"the recorded spec {one.recorded} of the {one} cannot be read: if a newer release has written it, upgrade modelyard"
        raise outcome.Stop(outcome.Code.NO, message) from None


def take_over(typed: archives.Typed, now: datetime.datetime, *, yes: bool) -> None:
    """From now on the registry belongs to the cluster of the kubeconfig's context; recorded.

    Raises:
        outcome.Stop: it is this cluster's already, or nobody's, or it was not confirmed.
    """
    server = registry.Registry(typed.context, "")
    uid = str(server.get(cluster.NAMESPACE, "kube-system")["metadata"]["uid"])
    with archives.opened(typed) as opened:
        assert opened.store is not None
        assert opened.place is not None
        owner, epoch = opened.owner()
        if owner is None and not opened.operators.last:
            message = f"there is no registry {opened.registry} in {opened.place}: check --bucket and --registry; the first operator that leads has it"
            raise outcome.Stop(outcome.Code.NOT_FOUND, message)
        if owner == uid:
            output.say(f"the registry {opened.registry} belongs to this cluster already, epoch {epoch}")
            return
        if not yes:
            message = f"the registry {opened.registry} in {opened.place} will belong to this cluster ({uid})"
            message += ", and the operator of the one that has it now stops: add --yes"
            raise outcome.Stop(outcome.Code.USAGE, message)
        keeper = ledgers.Ledger(opened.store, opened.place, opened.registry, lambda: now)
        try:
            epoch = asyncio.run(keeper.take_over(uid, ledger.Actor(server.whoami(), ledger.Known.DECLARED)))
        finally:
            keeper.close()
    output.say(
        f"the registry {opened.registry} belongs to this cluster, epoch {epoch}; its operator leads and restores when it looks next,"
    )
    output.say(f"and that of the cluster {owner} stops within seconds")
