"""`modelyard restore`: put recorded specs of a Model back after an older backup, or let this cluster take a registry over."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from collections.abc import Iterator

from modelyard import api
from modelyard.cli import archives, outcome, output, registry
from modelyard.edge import cluster
from modelyard.edge import ledger as appender
from modelyard.plan import book as books
from modelyard.plan import index, ledger, restoring, specs


@dataclasses.dataclass(frozen=True, slots=True)
class _Older:
    """An object whose spec in the cluster is older than the one that the ledger has."""

    found: registry.Json
    recorded: str
    """Name of the snapshot of the newer spec."""

    def __str__(self) -> str:
        return f"{self.found['kind']} {self.found['metadata']['name']}"


def model(typed: archives.Typed, name: str, *, yes: bool) -> None:
    """Write the specs that the ledger has of a Model and its versions over older ones in the cluster, as the user.

    The operator goes on by itself, and brings back what is missing.

    Raises:
        outcome.Stop: the ledger has no such Model or is of another one, nothing is older, or it was not confirmed.
    """
    with archives.opened(typed) as opened:
        book = opened.model(name)
        past = book.index(book.last)
        server = registry.Registry(typed.context, book.chain.namespace)
        older = list(_older(server, past, name, opened))
        if not older:
            output.say(f"the Model {name} and its versions are as the ledger has them, or newer: nothing is put back")
            return
        if not yes:
            what = ", ".join(f"{one} ({one.recorded})" for one in older)
            raise outcome.Stop(outcome.Code.USAGE, f"it writes the recorded specs over those of {what}: add --yes")
        recorded = [(one, _snapshot(book, one)) for one in older]
    for one, spec in recorded:
        server.replace({**one.found, "spec": spec})
        output.say(f"the {one} has the spec that the ledger has ({one.recorded})")
    output.say("the operator goes on when it sees it")


def _older(server: registry.Registry, past: index.Index, name: str, opened: archives.Archive) -> Iterator[_Older]:
    """What is older, the Model last: until then it is held as Behind, whatever else is written."""
    found = server.get(cluster.MODEL, name, "the operator brings lost objects back by itself: look with `kubectl get models`")
    subject = registry.parsed(api.Model, found, f"the Model {name}")
    if past.uid != subject.metadata.uid:
        place = f"{opened.place or opened.typed.folder}, registry {opened.registry}"
        message = f"the ledger in {place} is of another Model {name} (uid {past.uid}, and here it is {subject.metadata.uid})"
        raise outcome.Stop(outcome.Code.NO, f"{message}: check --bucket, --registry and --context")
    for one in server.all(cluster.MODEL_VERSION, fieldSelector=f"spec.model={name}"):
        version = registry.parsed(api.ModelVersion, one, f"the ModelVersion {one['metadata']['name']}")
        known = past.versions.get(version.spec.version)
        if known and restoring.version_is_behind(version, known):
            yield _Older({"apiVersion": cluster.MODEL_VERSION.api_version, "kind": "ModelVersion", **one}, known.spec)
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
        keeper = appender.Ledger(opened.store, opened.place, opened.registry, lambda: now)
        try:
            epoch = asyncio.run(keeper.take_over(uid, ledger.Actor(server.whoami(), ledger.Known.DECLARED)))
        finally:
            keeper.close()
    output.say(
        f"the registry {opened.registry} belongs to this cluster, epoch {epoch}; its operator leads and restores when it looks next,"
    )
    output.say(f"and that of the cluster {owner} stops within seconds")
