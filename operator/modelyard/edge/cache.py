"""What was last seen of the cluster: fed by the informer and by the answers to our own writes, read by whoever observes."""

from __future__ import annotations

import collections
import dataclasses
import logging
import weakref
from collections.abc import Mapping
from typing import Any, Final, Literal

import pydantic

from modelyard import api
from modelyard.edge import cluster, reader
from modelyard.plan import serving, specs, unread, world

Name = tuple[str, str]
"""Namespace and name."""
Place = tuple[str, str, str]
"""Kind, namespace and name."""
Sort = Literal["version", "model"]
MOST_EARLIER: Final = 32
"""Generations of an object that are kept until they are recorded; who wrote those between is then known together only."""
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """One thing to reconcile: `version` inspects the bytes of one ModelVersion, `model` decides everything else of one Model."""

    sort: Sort
    namespace: str
    name: str

    def __str__(self) -> str:
        """As logs name it."""
        return f"{self.sort}/{self.namespace}/{self.name}"


@dataclasses.dataclass(slots=True)
class _Family:
    """One model and all that belongs to it."""

    model: api.Model | None = None
    versions: dict[str, api.ModelVersion] = dataclasses.field(default_factory=dict)
    promotions: dict[str, api.Promotion] = dataclasses.field(default_factory=dict)
    objects: dict[tuple[str, str], reader.Seen] = dataclasses.field(default_factory=dict)
    """Deployments, Services, lists of files and Pods, by kind and name."""
    unread: dict[tuple[str, str], unread.Unread] = dataclasses.field(default_factory=dict)
    """Objects of ours that cannot be read, by kind and name: what they were before is in use no more."""
    earlier: dict[tuple[str, str], tuple[reader.Ours, ...]] = dataclasses.field(default_factory=dict)
    """By kind and name: an object as it was before, from the recorded generation on, so that each change is recorded with its own author."""

    def remember(self, before: reader.Ours | None, now: reader.Ours) -> None:
        """Keep what is not recorded yet of an object that changes, and what its changes are compared with."""
        key = now.kind, now.metadata.name
        if before is None or before.metadata.uid != now.metadata.uid:
            self.earlier.pop(key, None)
            return
        observed = (*self.earlier.get(key, ()), *([before] if before.metadata.generation < now.metadata.generation else ()))
        recorded = specs.recorded_generation(now)
        kept = [one for one in observed if one.metadata.generation > recorded]
        base = [one for one in observed if one.metadata.generation <= recorded]
        if now.metadata.generation > recorded and observed:
            self.earlier[key] = (*base[-1:], *kept[:MOST_EARLIER])
        else:
            self.earlier.pop(key, None)

    def forget(self, kind: str, name: str, model: str) -> None:
        """An object is not what it was, or gone."""
        self.unread.pop((kind, name), None)
        self.objects.pop((kind, name), None)
        self.earlier.pop((kind, name), None)
        if kind == cluster.MODEL.name:
            self.model = None
        elif kind == cluster.MODEL_VERSION.name:
            self.versions.pop(name.removeprefix(f"{model}-"), None)
        elif kind == cluster.PROMOTION.name:
            self.promotions.pop(name, None)

    @property
    def is_orphaned(self) -> bool:
        """Nothing says what is to serve: there is no Model, not even one that cannot be read."""
        return self.model is None and not any(kind == cluster.MODEL.name for kind, _ in self.unread)

    @property
    def is_empty(self) -> bool:
        return not (self.model or self.versions or self.promotions or self.objects or self.unread)


SERVING: Final = (cluster.DEPLOYMENT, cluster.SERVICE, cluster.CONFIG_MAP, cluster.POD)
"""What serves; of ConfigMaps, the lists of files."""
WATCHED: Final = (cluster.MODEL, cluster.MODEL_VERSION, cluster.PROMOTION, *SERVING)
OURS: Final = f"{serving.MANAGED_BY}={serving.MANAGER},{serving.STAGE}"
"""The label selector of serving objects."""


class Listing:
    """A list that is being read, page by page: never all of it is in memory, and what happens meanwhile is newer."""

    def __init__(self, known: Cache, kind: cluster.Kind, before: Mapping[Place, int]) -> None:
        self._known = known
        self._kind = kind
        self._before = dict(before)
        """Resource versions of what was known and was not listed yet."""
        self.gone: set[Place] = set()
        """What was dropped meanwhile: the list may be older than that."""

    def add(self, raw: Mapping[str, Any]) -> set[Key]:
        """The next object of the list; what is to be reconciled because of it."""
        about = raw["metadata"]
        place = (self._kind.name, about.get("namespace", ""), about["name"])
        self._before.pop(place, None)
        return set() if place in self.gone else self._known.put(self._kind, raw)

    def end(self) -> set[Key]:
        """That was all: what was not listed and is no news is a ghost, and dropped."""
        ghosts = [place for place, version in self._before.items() if self._known.at(*place) == version]
        return {key for _, namespace, name in ghosts for key in self._known.drop(self._kind, namespace, name)}


class Cache:
    """The newest known state of every watched object, by model.

    Older news than what is known is ignored: the informer may still be telling of the time before our own write.
    """

    def __init__(self) -> None:
        self._families: dict[Name, _Family] = {}
        self._where: dict[Place, tuple[Name, int]] = {}
        """The family of each object, and its resource version."""
        self._listings: weakref.WeakSet[Listing] = weakref.WeakSet()
        """Those under way."""

    def put(self, kind: cluster.Kind, raw: Mapping[str, Any]) -> set[Key]:
        """Take note of an object; what is to be reconciled because of it."""
        about = raw.get("metadata") or {}
        namespace, name, version = about.get("namespace", ""), about.get("name", ""), int(about.get("resourceVersion") or 0)
        place = (kind.name, namespace, name)
        known = self._where.get(place)
        if known and known[1] >= version:
            return set()
        try:
            found = reader.read(kind.name, raw)
        except Exception as error:  # whatever it is, it is this object's, and all others are read on
            # Not even its metadata can be read: it is left alone until somebody writes it anew.
            why = error.errors(include_url=False, include_input=False) if isinstance(error, pydantic.ValidationError) else repr(error)[:300]
            log.warning("cannot read this object: %s", why, extra={"object": "/".join(place)})
            return set()
        if isinstance(found, unread.Unread):
            log.warning(found.fact.message, extra={"object": "/".join(place)})
            of = name if kind is cluster.MODEL else known[0][1] if known else reader.model_of(raw)
            if of is None:
                return set()
            family = (namespace, of)
            keys = self._set_aside(found, family)
        else:
            family, keys = self._store(kind, found, namespace)
            if known and known[0] != family:  # made anew for another model, and nobody told that it was gone
                keys |= self._forget(kind, name, known[0])
        self._where[place] = (family, version)
        return keys

    def _set_aside(self, found: unread.Unread, place: Name) -> set[Key]:
        """It is there, and what it was before does not hold any more."""
        family = self._families.setdefault(place, _Family())
        family.forget(found.kind, found.name, place[1])
        family.unread[found.kind, found.name] = found
        return {Key("model", *place)}

    def drop(self, kind: cluster.Kind, namespace: str, name: str) -> set[Key]:
        """An object is gone."""
        for listing in self._listings:
            listing.gone.add((kind.name, namespace, name))
        known = self._where.pop((kind.name, namespace, name), None)
        if known is None:
            return set()
        family = self._families[known[0]]
        keys = self._forget(kind, name, known[0])
        if kind is cluster.MODEL:
            keys |= {Key("version", namespace, one.metadata.name) for one in family.versions.values()}
        return keys

    def _forget(self, kind: cluster.Kind, name: str, place: Name) -> set[Key]:
        """A model has that object no more."""
        family = self._families[place]
        family.forget(kind.name, name, place[1])
        if family.is_empty:
            del self._families[place]
        return {Key("model", *place)}

    def listing(self, kind: cluster.Kind, scope: str | None = None) -> Listing:
        """The whole truth about a kind, in one namespace or in all, is about to be listed."""
        before = {place: known[1] for place, known in self._where.items() if place[0] == kind.name and scope in {None, place[1]}}
        began = Listing(self, kind, before)
        self._listings.add(began)
        return began

    def at(self, kind: str, namespace: str, name: str) -> int | None:
        """The resource version of what is known of an object."""
        known = self._where.get((kind, namespace, name))
        return known[1] if known else None

    def model(self, namespace: str, name: str) -> api.Model | None:
        """The Model of that name."""
        family = self._families.get((namespace, name))
        return family.model if family else None

    def version(self, namespace: str, name: str) -> api.ModelVersion | None:
        """The ModelVersion of that name (`<model>-<version>`)."""
        known = self._where.get((cluster.MODEL_VERSION.name, namespace, name))
        if known is None:
            return None
        return self._families[known[0]].versions.get(name.removeprefix(f"{known[0][1]}-"))

    def recorded(self, subject: reader.Ours) -> None:
        """The ledger has an object as it is here; how it was before is asked no more."""
        model = subject.metadata.name if isinstance(subject, api.Model) else subject.spec.model
        key, family = (subject.kind, subject.metadata.name), self._families.get((subject.metadata.namespace, model))
        if family and key in family.earlier:
            family.earlier[key] = tuple(one for one in family.earlier[key] if one.metadata.generation >= subject.metadata.generation)

    def earlier(self, version: api.ModelVersion) -> tuple[api.ModelVersion, ...]:
        """A version as it was observed before, from the recorded generation on."""
        family = self._families.get((version.metadata.namespace, version.spec.model))
        known = family.earlier.get((version.kind, version.metadata.name), ()) if family else ()
        return tuple(one for one in known if isinstance(one, api.ModelVersion))

    def unread(self, namespace: str, model: str) -> tuple[unread.Unread, ...]:
        """The objects of a model that cannot be read, itself among them."""
        family = self._families.get((namespace, model))
        return tuple(family.unread.values()) if family else ()

    def world(self, namespace: str, name: str) -> world.World:
        """All that is known of one model."""
        family = self._families.get((namespace, name)) or _Family()
        seen = family.objects.values()
        deployments = {one.name.removeprefix(f"{name}-"): one.deployment for one in seen if one.deployment}
        services = frozenset(
            one.name.removeprefix(f"{name}-")
            for (kind, _), one in family.objects.items()
            if kind == cluster.SERVICE.name and not one.foreign
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
            pods=tuple(sorted((one.pod for one in seen if one.pod), key=lambda pod: (pod.stage, pod.version, pod.trouble or ""))),
        )

    def seen(self, kind: cluster.Kind, namespace: str, model: str, name: str) -> reader.Seen | None:
        """One serving object."""
        family = self._families.get((namespace, model))
        return family.objects.get((kind.name, name)) if family else None

    def keys(self, sort: Sort | None = None) -> set[Key]:
        """Everything there is to reconcile, of one sort or of both."""
        models = {Key("model", *place) for place in self._families}
        if sort == "model":
            return models
        return models | {
            Key("version", ns, one.metadata.name) for (ns, _), held in self._families.items() for one in held.versions.values()
        }

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """How many versions and promotions are in which phase, for the metrics."""
        families = self._families.values()
        versions = collections.Counter(one.status.phase or "Pending" for family in families for one in family.versions.values())
        promotions = collections.Counter(one.status.phase or "Pending" for family in families for one in family.promotions.values())
        orphans = sum(1 for family in families if family.is_orphaned for one in family.objects.values() if one.deployment)
        counted = {"ModelVersion": versions, "Promotion": promotions} | ({"Deployment": {"Orphaned": orphans}} if orphans else {})
        return {kind: {str(phase): count for phase, count in phases.items()} for kind, phases in counted.items()}

    def _store(self, kind: cluster.Kind, read: reader.Ours | reader.Seen, namespace: str) -> tuple[Name, set[Key]]:
        if isinstance(read, reader.Seen):
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
            inspected = {Key("version", namespace, one.metadata.name) for one in family.versions.values()} if fresh else set()
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
    """What of a Model its versions' own status depends on: where their bytes are, and which documentation must be complete."""
    spec = model.spec
    return spec.storage, spec.risk_tier, spec.owner, spec.description, spec.intended_use
