"""`modelyard restore`: put a Model's recorded spec back after an older backup, or let this cluster take a registry over."""

from __future__ import annotations

import asyncio
import datetime
import json

from modelyard import api
from modelyard.cli import archives, outcome, output, registry
from modelyard.edge import cluster
from modelyard.edge import ledger as appender
from modelyard.plan import ledger


def model(typed: archives.Typed, name: str, *, yes: bool) -> None:
    """Write the spec that the ledger has over the one that the cluster has, as the user; the operator goes on by itself.

    Raises:
        outcome.Stop: the ledger has no such Model, there is nothing to put back, or it was not confirmed.
    """
    with archives.opened(typed) as opened:
        book = opened.model(name)
        recorded = book.index(book.last).spec
        data = book.blob(recorded) if recorded else None
    if recorded is None or data is None:
        raise opened.nothing(name)
    server = registry.Registry(typed.context, typed.namespace)
    found = server.get(cluster.MODEL, name, "the operator brings lost objects back by itself: look with `kubectl get models`")
    read = api.Model.model_validate({"metadata": {"name": name}, "spec": json.loads(data)}).spec.dump()
    if api.Model.model_validate(found).spec.dump() == read:
        output.say(f"the Model {name} is as the ledger has it ({recorded})")
        return
    if not yes:
        raise outcome.Stop(outcome.Code.USAGE, f"it writes the recorded spec {recorded} over that of the Model {name}: add --yes")
    server.replace({**found, "spec": read})
    output.say(f"the Model {name} has the spec that the ledger has ({recorded}); the operator goes on when it sees it")


def take_over(typed: archives.Typed, now: datetime.datetime, *, yes: bool) -> None:
    """From now on the registry belongs to the cluster of the kubeconfig's context; recorded.

    Raises:
        outcome.Stop: a folder was named, or it was not confirmed.
    """
    if typed.folder:
        raise outcome.usage("an exported folder is a copy: take over the registry in the bucket itself")
    server = registry.Registry(typed.context, "")
    uid = str(server.get(cluster.NAMESPACE, "kube-system")["metadata"]["uid"])
    with archives.opened(typed) as opened:
        assert opened.store is not None
        assert opened.place is not None
        if not yes:
            message = (
                f"the registry {opened.registry} in {opened.place} will belong to this cluster, and no other operator may lead: add --yes"
            )
            raise outcome.Stop(outcome.Code.USAGE, message)
        keeper = appender.Ledger(opened.store, opened.place, opened.registry, lambda: now)
        try:
            epoch = asyncio.run(keeper.take_over(uid, ledger.Actor(server.whoami(), ledger.Known.DECLARED)))
        finally:
            keeper.close()
    output.say(f"the registry {opened.registry} belongs to this cluster, epoch {epoch}; its operator leads and restores when it looks next")
