"""The newest known state of the cluster: fed by the informer and by the answers to our own writes."""

from __future__ import annotations

import collections
import dataclasses
import logging
import weakref
from collections.abc import Mapping
from typing import Any, Final, Literal

import pydantic

from modelyard import api
from modelyard.api import labels
from modelyard.edge.cluster import client, parse
from modelyard.plan.observed import specs, unreadable, world

Name = tuple[str, str]
"""Namespace and name."""
Place = tuple[str, str, str]
"""Kind, namespace and name."""
Sort = Literal["version", "model"]
MOST_EARLIER: Final = 32
"""Unrecorded generations of an object that are kept; beyond that, the authors of several generations are recorded together."""
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """One thing to reconcile: `version` inspects the bytes of one ModelVersion, `model` decides everything else of one Model."""

    sort: Sort
    namespace: str
    name: str

    def __str__(self) -> str:
        """Return the name that logs use."""
        return f"{self.sort}/{self.namespace}/{self.name}"


@dataclasses.dataclass(slots=True)
class _Family:
    """One model and all that belongs to it."""

    model: api.Model | None = None
    versions: dict[str, api.ModelVersion] = dataclasses.field(default_factory=dict)
    promotions: dict[str, api.Promotion] = dataclasses.field(default_factory=dict)
    objects: dict[tuple[str, str], parse.ServingObject] = dataclasses.field(default_factory=dict)
    """Deployments, Services, lists of files and Pods, by kind and name."""
    unread: dict[tuple[str, str], unreadable.Unread] = dataclasses.field(default_factory=dict)
    """Our objects that cannot be read, by kind and name; their earlier state is no longer used."""
    earlier: dict[tuple[str, str], tuple[parse.Ours, ...]] = dataclasses.field(default_factory=dict)
    """Earlier revisions of an object by kind and name, from the recorded generation on, so that each change is recorded with its own author."""

    def remember(self, before: parse.Ours | None, current: parse.Ours) -> None:
        """Keep the unrecorded revisions of an object that changes, and the revision that they are compared with."""
        key = current.kind, current.metadata.name
        if before is None or before.metadata.uid != current.metadata.uid:
            self.earlier.pop(key, None)
            return
        observed = (*self.earlier.get(key, ()), *([before] if before.metadata.generation < current.metadata.generation else ()))
        recorded = specs.recorded_generation(current)
        unrecorded = [revision for revision in observed if revision.metadata.generation > recorded]
        base = [revision for revision in observed if revision.metadata.generation <= recorded]
        if current.metadata.generation > recorded and observed:
            self.earlier[key] = (*base[-1:], *unrecorded[:MOST_EARLIER])
        else:
            self.earlier.pop(key, None)

    def forget(self, kind: str, name: str, model: str) -> None:
        """Forget an object that was replaced, became unreadable, or is gone."""
        self.unread.pop((kind, name), None)
        self.objects.pop((kind, name), None)
        self.earlier.pop((kind, name), None)
        if kind == client.MODEL.name:
            self.model = None
        elif kind == client.MODEL_VERSION.name:
            self.versions.pop(name.removeprefix(f"{model}-"), None)
        elif kind == client.PROMOTION.name:
            self.promotions.pop(name, None)

    @property
    def is_orphaned(self) -> bool:
        """Whether there is no Model, not even an unreadable one, that says what is to serve."""
        return self.model is None and not any(kind == client.MODEL.name for kind, _ in self.unread)

    @property
    def is_empty(self) -> bool:
        return not (self.model or self.versions or self.promotions or self.objects or self.unread)


SERVING: Final = (client.DEPLOYMENT, client.SERVICE, client.CONFIG_MAP, client.POD)
"""Kinds of serving objects; of ConfigMaps, the lists of files."""
WATCHED: Final = (client.MODEL, client.MODEL_VERSION, client.PROMOTION, *SERVING)
OURS: Final = f"{labels.MANAGED_BY}={labels.MANAGER},{labels.STAGE}"
"""The label selector of serving objects."""


class Listing:
    """A list that is being read, page by page: it is never in memory as a whole, and events that arrive meanwhile are newer."""

    def __init__(self, cache: Cache, kind: client.Kind, before: Mapping[Place, int]) -> None:
        self._cache = cache
        self._kind = kind
        self._before = dict(before)
        """Resource versions of cached objects that are not listed yet."""
        self.dropped: set[Place] = set()
        """Objects that were dropped meanwhile: the list may be older than their deletion."""

    def add(self, raw: Mapping[str, Any]) -> set[Key]:
        """Add the next object of the list; return the keys to reconcile."""
        metadata = raw["metadata"]
        place = (self._kind.name, metadata.get("namespace", ""), metadata["name"])
        self._before.pop(place, None)
        return set() if place in self.dropped else self._cache.put(self._kind, raw)

    def end(self) -> set[Key]:
        """End the list: drop every object that was neither listed nor updated meanwhile; return the keys to reconcile."""
        ghosts = [place for place, version in self._before.items() if self._cache.at(*place) == version]
        return {key for _, namespace, name in ghosts for key in self._cache.drop(self._kind, namespace, name)}


class Cache:
    """The newest known state of every watched object, by model.

    News older than the cached state is ignored: the informer may lag behind our own writes.
    """

    def __init__(self) -> None:
        self._families: dict[Name, _Family] = {}
        self._where: dict[Place, tuple[Name, int]] = {}
        """The family of each object, and its resource version."""
        self._listings: weakref.WeakSet[Listing] = weakref.WeakSet()
        """Listings under way."""

    def put(self, kind: client.Kind, raw: Mapping[str, Any]) -> set[Key]:
        """Store an object; return the keys to reconcile."""
        metadata = raw.get("metadata") or {}
        namespace, name, version = metadata.get("namespace", ""), metadata.get("name", ""), int(metadata.get("resourceVersion") or 0)
        place = (kind.name, namespace, name)
        stored = self._where.get(place)
        if stored and stored[1] >= version:
            return set()
        try:
            parsed = parse.read(kind.name, raw)
        except Exception as error:  # any error concerns this object only; all others are still read
            # Not even its metadata can be read: it is left alone until somebody writes it anew.
            why = error.errors(include_url=False, include_input=False) if isinstance(error, pydantic.ValidationError) else repr(error)[:300]
            log.warning("cannot read this object: %s", why, extra={"object": "/".join(place)})
            return set()
        if isinstance(parsed, unreadable.Unread):
            log.warning(parsed.fact.message, extra={"object": "/".join(place)})
            model = name if kind is client.MODEL else stored[0][1] if stored else parse.model_of(raw)
            if model is None:
                return set()
            family = (namespace, model)
            keys = self._set_aside(parsed, family)
        else:
            family, keys = self._store(kind, parsed, namespace)
            if stored and stored[0] != family:  # created again for another model, and its deletion was missed
                keys |= self._forget(kind, name, stored[0])
        self._where[place] = (family, version)
        return keys

    def _set_aside(self, unread: unreadable.Unread, place: Name) -> set[Key]:
        """Store an unreadable object; its earlier state is no longer used."""
        family = self._families.setdefault(place, _Family())
        family.forget(unread.kind, unread.name, place[1])
        family.unread[unread.kind, unread.name] = unread
        return {Key("model", *place)}

    def drop(self, kind: client.Kind, namespace: str, name: str) -> set[Key]:
        """Drop an object that is gone; return the keys to reconcile."""
        for listing in self._listings:
            listing.dropped.add((kind.name, namespace, name))
        stored = self._where.pop((kind.name, namespace, name), None)
        if stored is None:
            return set()
        family = self._families[stored[0]]
        keys = self._forget(kind, name, stored[0])
        if kind is client.MODEL:
            keys |= {Key("version", namespace, version.metadata.name) for version in family.versions.values()}
        return keys

    def _forget(self, kind: client.Kind, name: str, place: Name) -> set[Key]:
        """Remove an object from its model; return the keys to reconcile."""
        family = self._families[place]
        family.forget(kind.name, name, place[1])
        if family.is_empty:
            del self._families[place]
        return {Key("model", *place)}

    def listing(self, kind: client.Kind, scope: str | None = None) -> Listing:
        """Begin a listing of a kind, in one namespace or in all."""
        before = {place: stored[1] for place, stored in self._where.items() if place[0] == kind.name and scope in {None, place[1]}}
        began = Listing(self, kind, before)
        self._listings.add(began)
        return began

    def at(self, kind: str, namespace: str, name: str) -> int | None:
        """Return the resource version of a cached object."""
        stored = self._where.get((kind, namespace, name))
        return stored[1] if stored else None

    def model(self, namespace: str, name: str) -> api.Model | None:
        """Return the Model of that name."""
        family = self._families.get((namespace, name))
        return family.model if family else None

    def version(self, namespace: str, name: str) -> api.ModelVersion | None:
        """Return the ModelVersion of that name (`<model>-<version>`)."""
        stored = self._where.get((client.MODEL_VERSION.name, namespace, name))
        if stored is None:
            return None
        return self._families[stored[0]].versions.get(name.removeprefix(f"{stored[0][1]}-"))

    def recorded(self, subject: parse.Ours) -> None:
        """Note that the ledger has this revision of an object, and forget earlier ones."""
        model = subject.metadata.name if isinstance(subject, api.Model) else subject.spec.model
        key, family = (subject.kind, subject.metadata.name), self._families.get((subject.metadata.namespace, model))
        if family and key in family.earlier:
            family.earlier[key] = tuple(
                revision for revision in family.earlier[key] if revision.metadata.generation >= subject.metadata.generation
            )

    def earlier(self, version: api.ModelVersion) -> tuple[api.ModelVersion, ...]:
        """Return the earlier revisions of a version, from the recorded generation on."""
        family = self._families.get((version.metadata.namespace, version.spec.model))
        revisions = family.earlier.get((version.kind, version.metadata.name), ()) if family else ()
        return tuple(revision for revision in revisions if isinstance(revision, api.ModelVersion))

    def unread(self, namespace: str, model: str) -> tuple[unreadable.Unread, ...]:
        """Return the unreadable objects of a model, itself included."""
        family = self._families.get((namespace, model))
        return tuple(family.unread.values()) if family else ()

    def world(self, namespace: str, name: str) -> world.World:
        """Return all that is cached of one model."""
        family = self._families.get((namespace, name)) or _Family()
        serving = family.objects.values()
        deployments = {observed.name.removeprefix(f"{name}-"): observed.deployment for observed in serving if observed.deployment}
        services = frozenset(
            observed.name.removeprefix(f"{name}-")
            for (kind, _), observed in family.objects.items()
            if kind == client.SERVICE.name and not observed.foreign
        )
        return world.World(
            namespace=namespace,
            name=name,
            model=family.model,
            versions=dict(family.versions),
            promotions=tuple(family.promotions.values()),
            deployments=deployments,
            services=services,
            unexposed=frozenset(deployments.keys() - services),
            unread=tuple(family.unread.values()),
            earlier=dict(family.earlier),
            pods=tuple(
                sorted((observed.pod for observed in serving if observed.pod), key=lambda pod: (pod.stage, pod.version, pod.trouble or ""))
            ),
        )

    def serving_object(self, kind: client.Kind, namespace: str, model: str, name: str) -> parse.ServingObject | None:
        """Return one serving object."""
        family = self._families.get((namespace, model))
        return family.objects.get((kind.name, name)) if family else None

    def keys(self, sort: Sort | None = None) -> set[Key]:
        """Return all keys, of one sort or of both."""
        models = {Key("model", *place) for place in self._families}
        if sort == "model":
            return models
        return models | {
            Key("version", ns, version.metadata.name) for (ns, _), family in self._families.items() for version in family.versions.values()
        }

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Count versions and promotions by phase, for the metrics."""
        families = self._families.values()
        versions = collections.Counter(version.status.phase or "Pending" for family in families for version in family.versions.values())
        promotions = collections.Counter(
            promotion.status.phase or "Pending" for family in families for promotion in family.promotions.values()
        )
        orphans = sum(1 for family in families if family.is_orphaned for observed in family.objects.values() if observed.deployment)
        counted = {"ModelVersion": versions, "Promotion": promotions} | ({"Deployment": {"Orphaned": orphans}} if orphans else {})
        return {kind: {str(phase): count for phase, count in phases.items()} for kind, phases in counted.items()}

    def _store(self, kind: client.Kind, read: parse.Ours | parse.ServingObject, namespace: str) -> tuple[Name, set[Key]]:
        if isinstance(read, parse.ServingObject):
            place = (namespace, read.model)
            self._families.setdefault(place, _Family()).objects[kind.name, read.name] = read
            return place, {Key("model", *place)}
        if isinstance(read, api.Model):
            place = read.key
            family = self._families.setdefault(place, _Family())
            family.unread.pop((kind.name, place[1]), None)
            family.remember(family.model, read)
            fresh = family.model is None or _matters_to_versions(family.model) != _matters_to_versions(read)
            family.model = read
            inspected = {Key("version", namespace, version.metadata.name) for version in family.versions.values()} if fresh else set()
            return place, {Key("model", *place), *inspected}
        place = (namespace, read.spec.model)
        family = self._families.setdefault(place, _Family())
        family.unread.pop((kind.name, read.metadata.name), None)
        if isinstance(read, api.ModelVersion):
            family.remember(family.versions.get(read.spec.version), read)
            family.versions[read.spec.version] = read
            return place, {Key("version", *read.key), Key("model", *place)}
        family.remember(family.promotions.get(read.metadata.name), read)
        family.promotions[read.metadata.name] = read
        return place, {Key("model", *place)}


def _matters_to_versions(model: api.Model) -> tuple[object, ...]:
    """Return the Model's fields that the status of its versions depends on: the place of their bytes, and what documentation requires."""
    spec = model.spec
    return spec.storage, spec.risk_tier, spec.owner, spec.description, spec.intended_use
