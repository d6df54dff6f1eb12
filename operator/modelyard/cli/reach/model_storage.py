"""A Model's own place in an object store, as this machine reaches it, and the documents that go there."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from modelyard import api, edge
from modelyard.cli.reach import cluster, store_address, uploads
from modelyard.cli.terminal import exits
from modelyard.content import location
from modelyard.edge.s3 import bounded, store

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Way:
    """The typed options for reaching a Model's storage."""

    endpoint: str | None = None
    ca_file: pathlib.Path | None = None
    credentials_from_cluster: bool = False
    limits: bounded.Limits = bounded.LIMITS
    """What the store may ask of this machine."""


@dataclasses.dataclass(frozen=True)
class ModelStorage:
    """The prefix below which all of a Model's objects are, and how this machine reaches it."""

    place: location.Place
    address: location.Address
    from_cluster: bool = False
    """Whether the credentials are those of the Model's Secret."""
    limits: bounded.Limits = bounded.LIMITS

    def opened(self) -> store.Store:
        """Open the store."""
        return store.Store(self.address, limits=self.limits)

    def below(self, path: str) -> location.Place:
        """Return a folder below the Model's prefix."""
        return location.Place(self.place.bucket, f"{self.place.key}{path}/")

    def shelf(self) -> uploads.Uploads:
        """Open the bucket for uploads."""
        return uploads.Uploads(self.opened(), self.place.bucket)

    def explain(self, trouble: edge.Unavailable) -> exits.Stop:
        """Explain a failure of the store, and what the user can do about it."""
        return store_address.explain(trouble, self.address, from_cluster=self.from_cluster)


def of(model: api.Model, options: Way, server: cluster.Registry | None) -> ModelStorage:
    """Return a Model's storage and how to reach it; without `server` no cluster is read.

    Raises:
        exits.Stop: the Model names no place, or no Secret where one is asked for; or what it names cannot be had.
    """
    storage, name = model.spec.storage, model.metadata.name
    place = location.place(storage.uri)
    if place is None:
        raise exits.usage(f"the Model {name} has a spec.storage.uri that is no folder in a bucket: {storage.uri!r}; correct it")
    secret = None
    if options.credentials_from_cluster and server:
        if storage.credentials is None:
            raise exits.usage(f"the Model {name} names no spec.storage.credentials: leave out --credentials-from-cluster")
        secret = server.secret(storage.credentials.secret_name)
    bundle = None
    if storage.ca_bundle and server and not options.endpoint and not options.ca_file:
        bundle = server.config(storage.ca_bundle.config_map_name, "ca.crt")
    return ModelStorage(
        place,
        store_address.of(storage, options.endpoint, secret, options.ca_file, bundle),
        options.credentials_from_cluster,
        options.limits,
    )
