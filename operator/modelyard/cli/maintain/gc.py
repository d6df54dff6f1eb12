"""`modelyard gc`: list the objects that only Retired versions refer to; with --delete record and delete them.

The command writes the record itself, with the credentials of the operator's bucket. Records are created, never overwritten: it follows the
operator's last record, and the operator continues after it.
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
    """The typed options of `modelyard gc`."""

    delete: bool
    to: model_storage.Way
    asked: str | None
    own: location.Place | None = None
    """The operator's own bucket, or its folder there: nothing in it is ever deleted."""


@dataclasses.dataclass(frozen=True)
class Others:
    """Everything else that may need an object of a Model: versions, and Models' own storage."""

    versions: Sequence[Json]
    models: Sequence[Json]


@dataclasses.dataclass(frozen=True)
class Found:
    """The objects of one model that only Retired versions refer to, each with what prevents its deletion (`free`: nothing)."""

    model: api.Model
    source: store.Store
    place: location.Place
    holders: Mapping[str, garbage.Holder]
    objects: Sequence[tuple[garbage.Object, str]]


def gc(server: cluster.Registry, bucket: ledger_writer.Bucket, model: str | None, options: Way) -> None:
    """List the objects, and with `delete` record and delete those that are free.

    Raises:
        exits.Stop: the cluster or a store does not answer, or refuses; with `delete` also when versions of other namespaces may not be read,
            or not every free object could be deleted.
    """
    form = output.form(options.asked, output.Form.TABLE, output.Form.JSON, output.Form.YAML)
    if model:
        validation.check(meta.ModelName, model, "the model")
    others = Others(_everywhere(server, client.MODEL_VERSION, options), _everywhere(server, client.MODEL, options))
    names = [model] if model else sorted(obj["metadata"]["name"] for obj in server.all(client.MODEL))
    collectables = [_look(server, bucket, name, others, options) for name in names]
    _tell(collectables, form)
    failed = [failure for collectable in collectables for failure in _collect(server, bucket, collectable)] if options.delete else []
    if failed:
        raise exits.Stop(exits.Code.NO, "\n".join(["not everything could be deleted; gc again tries again:", *failed]))
    free = [stored for collectable in collectables for stored, state in collectable.objects if state == FREE]
    if free and not options.delete:
        output.say("nothing was deleted; add --delete to delete what is free")


def _everywhere(server: cluster.Registry, kind: client.Kind, options: Way) -> list[Json]:
    """List a kind in all namespaces; where that is forbidden, in this one, and then nothing is deleted."""
    try:
        return server.all(kind, everywhere=True)
    except exits.Stop as stop:
        if stop.code != exits.Code.NO:
            raise
        what = "versions" if kind is client.MODEL_VERSION else "Models"
        unknown = f"{what} of other namespaces may not be read: what they share with {server.namespace} is not known"
        if options.delete:
            takes = f"deleting takes the verb list on {kind.plural} of {api.GROUP} in every namespace: have somebody do it who has it"
            raise exits.Stop(exits.Code.NO, f"{unknown}, so nothing was deleted\n{stop.message}\n{takes}") from None
        output.say(unknown)
        return server.all(kind)


def _look(server: cluster.Registry, bucket: ledger_writer.Bucket, name: str, among: Others, options: Way) -> Found:
    past = bucket.index(server.namespace, name)
    model = _model(server, bucket, name, past)
    storage = model_storage.of(model, options.to, server)
    place = storage.place
    versions = [version for version in among.versions if _is_of(version, server.namespace, name)]
    pairs = [(raw, _read(raw)) for raw in versions]
    holders = [
        garbage.of_object(version, _files(bucket, version.status.artifact.manifest if version.status.artifact else None))
        for _, version in pairs
        if version
    ]
    holders += list(_recorded(bucket, past, {version["spec"]["version"]: version["metadata"].get("uid", "") for version in versions}))
    others = [version for version in among.versions if not _is_of(version, server.namespace, name)] + [
        raw for raw, version in pairs if version is None
    ]
    foreign = [uri for version in others for uri in _uris(version)]
    # A version's file list has keys of the bucket in the version's URI; the Model may name another bucket now.
    in_bucket = [holder for holder in holders if getattr(location.place(holder.uri), "bucket", None) == place.bucket]
    foreign += [uri for holder in holders for uri in holder.evidence]
    foreign += [str(inner) for inner in (*_inner(among.models, server.namespace, model), *([options.own] if options.own else ()))]
    source = storage.opened()
    objects = [
        (stored, _state(source, place.bucket, stored)) for stored in garbage.find(in_bucket, foreign) if stored.key.startswith(_root(place))
    ]
    return Found(model, source, place, {holder.version: holder for holder in holders}, [entry for entry in objects if entry[1] != "gone"])


def _inner(models: Sequence[Json], namespace: str, model: api.Model) -> Iterator[location.Place]:
    """Yield the storage of other Models inside this Model's: all objects there are theirs, registered or not."""
    for other in models:
        if (other["metadata"]["namespace"], other["metadata"]["name"]) == (namespace, model.metadata.name):
            continue
        uri = other["spec"]["storage"]["uri"]
        if (place := location.place(uri)) and location.is_inside(uri, model.spec.storage.uri):
            yield location.prefix(place)


def _model(server: cluster.Registry, bucket: ledger_writer.Bucket, name: str, past: index.Index) -> api.Model:
    """Return the Model, or its recorded spec: a retired Model may have been deleted since."""
    if obj := server.find(client.MODEL, name):
        return cluster.parsed(api.Model, obj, f"the Model {name}")
    spec = bucket.json(past.spec) if past.retired and past.deleted and past.spec else None
    if spec is None:
        message = f"there is no Model {name} in namespace {server.namespace}, and none was retired and deleted; a lost one is to be restored first"
        raise exits.Stop(exits.Code.NOT_FOUND, message)
    recorded = {"metadata": {"name": name, "namespace": server.namespace}, "spec": spec}
    return cluster.parsed(api.Model, recorded, f"the recorded Model {name}")


def _is_of(version: Json, namespace: str, model: str) -> bool:
    return (version["metadata"]["namespace"], version["spec"]["model"]) == (namespace, model)


def _read(obj: Json) -> api.ModelVersion | None:
    """Parse a version; None when this release cannot read it: then nothing below its URIs is free."""
    try:
        return cluster.parsed(api.ModelVersion, obj, f"the ModelVersion {obj['metadata']['name']}")
    except exits.Stop as stop:
        output.say(f"{stop.message}; what it refers to is kept")
        return None


def _recorded(bucket: ledger_writer.Bucket, past: index.Index, uids: Mapping[str, str]) -> Iterator[garbage.Holder]:
    """Yield recorded versions that no longer exist; `uids` has the uid of each version that exists."""
    for name, entry in past.versions.items():
        if uids.get(name) == entry.uid:
            continue
        if (spec := bucket.json(entry.spec)) is None:
            message = f"the operator's bucket no longer has the spec of version {name}, so it is not known what it refers to: restore it"
            raise exits.Stop(exits.Code.NO, message)
        parsed = cluster.parsed(modelversion.ModelVersionSpec, spec, f"the recorded spec of version {name}")
        holder = garbage.of_record(name, entry, parsed, _files(bucket, entry.manifest))
        # A ModelVersion that has its name now may refer to the same objects.
        yield dataclasses.replace(holder, retired=holder.retired and name not in uids)


def _files(bucket: ledger_writer.Bucket, manifest: str | None) -> tuple[File, ...] | None:
    data = bucket.blob(manifest) if manifest else None
    with contextlib.suppress(ValueError):  # the ledger names it, and it is no list of files
        return read_manifest(data).files if data else None
    return None


def _uris(version: Json) -> list[str]:
    spec = version["spec"]
    return [spec["artifact"]["uri"], *(document["uri"] for document in spec.get("evidence") or ())]


def _root(place: location.Place) -> str:
    return place.key if place.is_prefix else f"{place.key}/"


def _state(source: store.Store, in_bucket: str, stored: garbage.Object) -> str:
    """Return what prevents deleting an object; `gone` when it no longer exists."""
    try:
        head = source.head(in_bucket, stored.key, stored.version_id)
        if head is None:
            return "gone"
        if stored.version_id is None:
            return FREE if head.etag == stored.etag else "changed since it was verified"
        if source.held(in_bucket, stored.key, stored.version_id):
            return "legal hold"
        retention = source.retention(in_bucket, stored.key, stored.version_id)
    except edge.Unavailable as trouble:
        raise store_address.explain(trouble, source.address) from None
    return f"locked until {retention.until:%Y-%m-%d}" if retention else FREE


def _tell(collectables: Sequence[Found], form: output.Form) -> None:
    rows = [(collectable.model.metadata.name, stored, state) for collectable in collectables for stored, state in collectable.objects]
    if form is not output.Form.TABLE:
        listed = [
            {
                "model": name,
                "versions": list(stored.holders),
                "key": stored.key,
                "versionId": stored.version_id,
                "bytes": stored.size,
                "state": state,
            }
            for name, stored, state in rows
        ]
        output.write(output.document({"objects": listed}, form))
        return
    if rows:
        table = [
            [name, ", ".join(stored.holders), stored.key, stored.version_id or "-", output.size(stored.size), state]
            for name, stored, state in rows
        ]
        output.write(output.columns(("MODEL", "VERSION", "KEY", "VERSION ID", "SIZE", "STATE"), table))
    free = [stored for _, stored, state in rows if state == FREE]
    output.say(
        f"{output.many(len(free), 'object')} with {output.size(sum(stored.size for stored in free))} can be deleted; "
        f"{output.many(len(rows) - len(free), 'other')} cannot be now; evidence, and what is in the operator's own bucket, is kept"
    )


def _collect(server: cluster.Registry, bucket: ledger_writer.Bucket, collectable: Found) -> Iterator[str]:
    """Record, then delete; yield one line for each object that could not be deleted."""
    free = [stored for stored, state in collectable.objects if state == FREE]
    if not free:
        return
    actor = record.Actor(server.whoami(), record.Authenticity.DECLARED)
    bucket.append(server.namespace, collectable.model.metadata.name, list(_facts(collectable, free, actor)))
    deleted = 0
    for stored in free:
        try:
            collectable.source.delete(collectable.place.bucket, stored.key, stored.version_id)
            deleted += 1
        except edge.Unavailable as trouble:
            yield f"{stored.key}: {trouble.message}"
    output.say(f"{collectable.model.metadata.name}: {output.many(deleted, 'object')} deleted")


def _facts(collectable: Found, free: Iterable[garbage.Object], actor: record.Actor) -> Iterator[record.LedgerEntry]:
    """Yield facts for every version that refers to the objects; the same objects again are the same fact."""
    by_version: dict[str, list[garbage.Object]] = {}
    for stored in free:
        for version in stored.holders:
            by_version.setdefault(version, []).append(stored)
    for version, objects in sorted(by_version.items()):
        name = f"{collectable.model.metadata.name}-{version}"
        subject = record.Subject("ModelVersion", name, collectable.holders[version].uid, 0)
        for first in range(0, len(objects), _AT_ONCE):
            rows = [[stored.key, stored.version_id] for stored in objects[first : first + _AT_ONCE]]
            step = digest.named(repr(rows).encode())
            yield record.entry(record.Action.COLLECTED, actor, subject, step, None, {"version": version, "objects": rows})
