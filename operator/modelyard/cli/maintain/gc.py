"""`modelyard gc`: what Retired versions hold and nothing else refers to; deleted only when told, and recorded before.

The record is the command's own, written with the operator's bucket's credentials: records are created, never put, so it goes in behind the
operator's last one, and the operator goes on behind it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from modelyard import api, edge
from modelyard.api import meta, modelversion
from modelyard.cli.reach import cluster, ledger_writer, model_storage, store_address
from modelyard.cli.terminal import exits, output, validation
from modelyard.content import digest, location
from modelyard.content.manifest import File, read_manifest
from modelyard.edge.cluster import client
from modelyard.edge.s3 import store
from modelyard.ledger import index, record
from modelyard.plan.modelversion import garbage

Json = dict[str, Any]
_AT_ONCE: Final = 500
"""Objects in one fact."""
FREE: Final = "free"


@dataclasses.dataclass(frozen=True)
class Way:
    """How to get at what is needed, and what to do."""

    delete: bool
    to: model_storage.Way
    asked: str | None
    own: location.Place | None = None
    """The operator's own bucket, or its folder there: nothing in it ever goes."""


@dataclasses.dataclass(frozen=True)
class Others:
    """What may need an object of a Model as well: versions, and Models' own storage."""

    versions: Sequence[Json]
    models: Sequence[Json]


@dataclasses.dataclass(frozen=True)
class Found:
    """What can go of one model, each with what stands in the way (`free`: nothing)."""

    model: api.Model
    source: store.Store
    place: location.Place
    holders: Mapping[str, garbage.Holder]
    objects: Sequence[tuple[garbage.Object, str]]


def gc(server: cluster.Registry, kept: ledger_writer.Bucket, model: str | None, way: Way) -> None:
    """List it, and with `delete` record and delete what is free.

    Raises:
        outcome.Stop: something does not answer, or is refused; with `delete` also when versions of other namespaces may not be read, or not
            everything that is free could be deleted.
    """
    form = output.form(way.asked, output.Form.TABLE, output.Form.JSON, output.Form.YAML)
    if model:
        validation.one(meta.ModelName, model, "the model")
    others = Others(_everywhere(server, client.MODEL_VERSION, way), _everywhere(server, client.MODEL, way))
    names = [model] if model else sorted(one["metadata"]["name"] for one in server.all(client.MODEL))
    found = [_look(server, kept, name, others, way) for name in names]
    _tell(found, form)
    failed = [failure for one in found for failure in _collect(server, kept, one)] if way.delete else []
    if failed:
        raise exits.Stop(exits.Code.NO, "\n".join(["not everything could be deleted; gc again tries again:", *failed]))
    free = [one for each in found for one, state in each.objects if state == FREE]
    if free and not way.delete:
        output.say("nothing was deleted; add --delete to delete what is free")


def _everywhere(server: cluster.Registry, kind: client.Kind, way: Way) -> list[Json]:
    """All that may refer to an object: of all namespaces; where they may not be read, of this one, and then nothing is deleted."""
    try:
        return server.all(kind, everywhere=True)
    except exits.Stop as stop:
        if stop.code != exits.Code.NO:
            raise
        what = "versions" if kind is client.MODEL_VERSION else "Models"
        unknown = f"{what} of other namespaces may not be read: what they share with {server.namespace} is not known"
        if way.delete:
            takes = f"deleting takes the verb list on {kind.plural} of {api.GROUP} in every namespace: have somebody do it who has it"
            raise exits.Stop(exits.Code.NO, f"{unknown}, so nothing was deleted\n{stop.message}\n{takes}") from None
        output.say(unknown)
        return server.all(kind)


def _look(server: cluster.Registry, kept: ledger_writer.Bucket, name: str, among: Others, way: Way) -> Found:
    past = kept.index(server.namespace, name)
    model = _model(server, kept, name, past)
    where = model_storage.of(model, way.to, server)
    place = where.place
    mine = [one for one in among.versions if _is_of(one, server.namespace, name)]
    read = [(one, _read(one)) for one in mine]
    holders = [
        garbage.of_object(one, _files(kept, one.status.artifact.manifest if one.status.artifact else None)) for _, one in read if one
    ]
    holders += list(_recorded(kept, past, {one["spec"]["version"]: one["metadata"].get("uid", "") for one in mine}))
    others = [one for one in among.versions if not _is_of(one, server.namespace, name)] + [raw for raw, one in read if one is None]
    foreign = [uri for one in others for uri in _uris(one)]
    # What a version's list says is a key of the bucket that the version names, which need not be the one that the Model names now.
    here = [one for one in holders if getattr(location.place(one.uri), "bucket", None) == place.bucket]
    foreign += [uri for one in holders for uri in one.evidence]
    foreign += [str(one) for one in (*_inner(among.models, server.namespace, model), *([way.own] if way.own else ()))]
    source = where.opened()
    objects = [(one, _state(source, place.bucket, one)) for one in garbage.find(here, foreign) if one.key.startswith(_root(place))]
    return Found(model, source, place, {one.version: one for one in holders}, [one for one in objects if one[1] != "gone"])


def _inner(models: Sequence[Json], namespace: str, model: api.Model) -> Iterator[location.Place]:
    """The storage of other Models that lies within this one's: what is there is theirs, registered or not."""
    for one in models:
        if (one["metadata"]["namespace"], one["metadata"]["name"]) == (namespace, model.metadata.name):
            continue
        uri = one["spec"]["storage"]["uri"]
        if (where := location.place(uri)) and location.inside(uri, model.spec.storage.uri):
            yield location.prefix(where)


def _model(server: cluster.Registry, kept: ledger_writer.Bucket, name: str, past: index.Index) -> api.Model:
    """The Model, or what it was: one that was retired may have been deleted since."""
    if found := server.find(client.MODEL, name):
        return cluster.parsed(api.Model, found, f"the Model {name}")
    spec = kept.json(past.spec) if past.retired and past.deleted and past.spec else None
    if spec is None:
        message = f"there is no Model {name} in namespace {server.namespace}, and none was retired and deleted; a lost one is to be restored first"
        raise exits.Stop(exits.Code.NOT_FOUND, message)
    recorded = {"metadata": {"name": name, "namespace": server.namespace}, "spec": spec}
    return cluster.parsed(api.Model, recorded, f"the recorded Model {name}")


def _is_of(version: Json, namespace: str, model: str) -> bool:
    return (version["metadata"]["namespace"], version["spec"]["model"]) == (namespace, model)


def _read(found: Json) -> api.ModelVersion | None:
    """A version of the model; None for one that this release cannot read, below whose URIs nothing is free then."""
    try:
        return cluster.parsed(api.ModelVersion, found, f"the ModelVersion {found['metadata']['name']}")
    except exits.Stop as stop:
        output.say(f"{stop.message}; what it refers to is kept")
        return None


def _recorded(kept: ledger_writer.Bucket, past: index.Index, here: Mapping[str, str]) -> Iterator[garbage.Holder]:
    """What is not there any more; `here` has the uid of each version that is."""
    for name, known in past.versions.items():
        if here.get(name) == known.uid:
            continue
        if (spec := kept.json(known.spec)) is None:
            message = f"the operator's bucket no longer has the spec of version {name}, so it is not known what it refers to: restore it"
            raise exits.Stop(exits.Code.NO, message)
        said = cluster.parsed(modelversion.ModelVersionSpec, spec, f"the recorded spec of version {name}")
        holder = garbage.of_record(name, known, said, _files(kept, known.manifest))
        # An object that has its name now may hold the very same objects.
        yield dataclasses.replace(holder, retired=holder.retired and name not in here)


def _files(kept: ledger_writer.Bucket, manifest: str | None) -> tuple[File, ...] | None:
    data = kept.blob(manifest) if manifest else None
    with contextlib.suppress(ValueError):  # named by the ledger, and no list of files
        return read_manifest(data).files if data else None
    return None


def _uris(version: Json) -> list[str]:
    spec = version["spec"]
    return [spec["artifact"]["uri"], *(one["uri"] for one in spec.get("evidence") or ())]


def _root(place: location.Place) -> str:
    return place.key if place.is_prefix else f"{place.key}/"


def _state(source: store.Store, in_bucket: str, one: garbage.Object) -> str:
    """What stands in the way of deleting it; `gone` when it is not there any more."""
    try:
        there = source.head(in_bucket, one.key, one.version_id)
        if there is None:
            return "gone"
        if one.version_id is None:
            return FREE if there.etag == one.etag else "changed since it was verified"
        if source.held(in_bucket, one.key, one.version_id):
            return "legal hold"
        kept = source.retention(in_bucket, one.key, one.version_id)
    except edge.Unavailable as trouble:
        raise store_address.explain(trouble, source.address) from None
    return f"locked until {kept.until:%Y-%m-%d}" if kept else FREE


def _tell(found: Sequence[Found], form: output.Form) -> None:
    rows = [(each.model.metadata.name, one, state) for each in found for one, state in each.objects]
    if form is not output.Form.TABLE:
        listed = [
            {"model": name, "versions": list(one.holders), "key": one.key, "versionId": one.version_id, "bytes": one.size, "state": state}
            for name, one, state in rows
        ]
        output.write(output.document({"objects": listed}, form))
        return
    if rows:
        table = [[name, ", ".join(one.holders), one.key, one.version_id or "-", output.size(one.size), state] for name, one, state in rows]
        output.write(output.columns(("MODEL", "VERSION", "KEY", "VERSION ID", "SIZE", "STATE"), table))
    free = [one for _, one, state in rows if state == FREE]
    output.say(
        f"{output.many(len(free), 'object')} with {output.size(sum(one.size for one in free))} can be deleted; "
        f"{output.many(len(rows) - len(free), 'other')} cannot be now; evidence, and what is in the operator's own bucket, is kept"
    )


def _collect(server: cluster.Registry, kept: ledger_writer.Bucket, found: Found) -> Iterator[str]:
    """Record, then delete; what could not be deleted, a line each."""
    free = [one for one, state in found.objects if state == FREE]
    if not free:
        return
    actor = record.Actor(server.whoami(), record.Known.DECLARED)
    kept.append(server.namespace, found.model.metadata.name, list(_facts(found, free, actor)))
    deleted = 0
    for one in free:
        try:
            found.source.delete(found.place.bucket, one.key, one.version_id)
            deleted += 1
        except edge.Unavailable as trouble:
            yield f"{one.key}: {trouble.message}"
    output.say(f"{found.model.metadata.name}: {output.many(deleted, 'object')} deleted")


def _facts(found: Found, free: Iterable[garbage.Object], actor: record.Actor) -> Iterator[record.Fact]:
    """Told of every version that held them; the same objects told again are the same fact."""
    by_version: dict[str, list[garbage.Object]] = {}
    for one in free:
        for version in one.holders:
            by_version.setdefault(version, []).append(one)
    for version, objects in sorted(by_version.items()):
        name = f"{found.model.metadata.name}-{version}"
        about = record.Subject("ModelVersion", name, found.holders[version].uid, 0)
        for first in range(0, len(objects), _AT_ONCE):
            rows = [[one.key, one.version_id] for one in objects[first : first + _AT_ONCE]]
            step = digest.named(repr(rows).encode())
            yield record.fact(record.Action.COLLECTED, actor, about, step, None, {"version": version, "objects": rows})
