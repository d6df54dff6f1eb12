"""The address of a Model's artifacts, with the current credentials of its Secret."""

from __future__ import annotations

import base64
import time
from typing import Final

from modelyard import api, edge
from modelyard.api.reason import Reason
from modelyard.content import location
from modelyard.edge.cluster import client

SECRET_AGE: Final = 30.0
"""Seconds for which a Secret or CA bundle is used without being read again."""


class Addresses:
    """Finds the stores of Models; reads Secrets and CA bundles when needed, and never watches them."""

    def __init__(self, reach: client.Cluster) -> None:
        self._reach = reach
        self._cached: dict[tuple[str, str, str], tuple[float, dict[str, str]]] = {}

    async def of(self, model: api.Model) -> location.Address:
        """Return the address of a Model's artifacts, with credentials.

        Raises:
            edge.Unavailable: a Secret or ConfigMap is missing or lacks a key (the message names it), or the API server does not answer.
        """
        storage, namespace = model.spec.storage, model.metadata.namespace
        credentials = None
        if storage.credentials:
            data = await self._data(client.SECRET, namespace, storage.credentials.secret_name)
            try:
                pair = data["AWS_ACCESS_KEY_ID"], data["AWS_SECRET_ACCESS_KEY"]
            except KeyError as missing:
                message = f"the Secret {storage.credentials.secret_name} has no key {missing.args[0]}"
                raise edge.Unavailable(Reason.CREDENTIALS_MISSING, message) from None
            credentials = location.Credentials(*pair, data.get("AWS_SESSION_TOKEN"))
        pem = None
        if storage.ca_bundle:
            bundle = await self._data(client.CONFIG_MAP, namespace, storage.ca_bundle.config_map_name)
            pem = bundle.get("ca.crt")
            if pem is None:
                message = f"the ConfigMap {storage.ca_bundle.config_map_name} has no key ca.crt"
                raise edge.Unavailable(Reason.CREDENTIALS_MISSING, message)
        return location.Address(storage.endpoint, storage.region, credentials, pem)

    async def _data(self, kind: client.Kind, namespace: str, name: str) -> dict[str, str]:
        """The data of a Secret (decoded) or ConfigMap, at most SECRET_AGE seconds old."""
        place = (kind.name, namespace, name)
        cached = self._cached.get(place)
        if cached and time.monotonic() - cached[0] < SECRET_AGE:
            return cached[1]
        try:
            existing = await self._reach.get(kind, namespace, name)
        except client.Refused as refused:
            message = f"the operator may not read the {kind.name} {name} that spec.storage names (the chart's rbac.secretNames, or a Role): {refused.message}"
            raise edge.Unavailable(Reason.CREDENTIALS_MISSING, message) from refused
        if existing is None:
            message = f"the {kind.name} {name} that spec.storage names does not exist in the namespace {namespace}: create it"
            raise edge.Unavailable(Reason.CREDENTIALS_MISSING, message)
        data: dict[str, str] = existing.get("data") or {}
        if kind is client.SECRET:
            data = {key: base64.b64decode(value).decode(errors="replace").strip() for key, value in data.items()}
        self._cached[place] = (time.monotonic(), data)
        return data
