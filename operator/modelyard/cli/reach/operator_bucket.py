"""The operator's own bucket: where it is, and how this machine reaches it. Every verb that reads or extends the ledger uses this module.

Typed options override the environment, and the environment overrides the operator's Deployment.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import pathlib
from collections.abc import Mapping
from typing import Final

import pydantic

from modelyard import edge
from modelyard.api import meta
from modelyard.api.reason import Reason
from modelyard.cli.reach import store_address
from modelyard.cli.terminal import exits
from modelyard.content import location

_SYSTEM: Final = "modelyard-system"
_OPERATOR: Final = "app.kubernetes.io/name=modelyard,app.kubernetes.io/component=operator"
_URI, _ENDPOINT, _REGION, _CA_FILE = (f"MODELYARD_BUCKET__{name}" for name in ("URI", "ENDPOINT", "REGION", "CA_FILE"))
_KEYS: Final = ("MODELYARD_BUCKET__ACCESS_KEY", "MODELYARD_BUCKET__SECRET_KEY")
_REGISTRY: Final = "MODELYARD_LEDGER__REGISTRY"
_RETENTION: Final = ("MODELYARD_LEDGER__RETENTION", "MODELYARD_LEDGER__RETENTION_MODE")
_SIGNER: Final = "MODELYARD_LEDGER__KEY_SECRET"
_DEFAULT_SIGNER: Final = "modelyard-ledger-key"
_ALL: Final = (_URI, _ENDPOINT, _REGION, _REGISTRY, *_RETENTION, _SIGNER)
"""Settings that the Deployment may supply; keys and files belong to a machine."""


@dataclasses.dataclass(frozen=True, slots=True)
class OperatorBucket:
    """The location of the operator bucket, and how this machine reaches it."""

    place: location.Place
    address: location.Address
    registry: str
    retain: tuple[str, datetime.timedelta] | None = None
    """Mode and duration of Object Lock for what is recorded."""
    signer: str = _DEFAULT_SIGNER
    """The Secret in the operator's namespace with the key that signs records."""
    separate: bool = False
    """Whether the keys are MODELYARD_BUCKET__…, not those of the environment at large."""

    def explain(self, trouble: edge.Unavailable) -> exits.Stop:
        """Explain a failure of the bucket, and what the user can do about it."""
        if trouble.cause != Reason.STORE_FORBIDDEN:
            return store_address.explain(trouble, self.address)
        if self.separate:
            hint = f"the credentials are those of {_KEYS[0]} in the environment"
        else:
            whose = "those of AWS_ACCESS_KEY_ID in the environment" if self.address.credentials else "missing"
            hint = f"the credentials are {whose}: set {_KEYS[0]} and {_KEYS[1]} to keys that may read the operator's own bucket"
        return exits.Stop(exits.Code.NO, f"{trouble.message}\n{hint}")


def find(context: str | None, uri: str | None, registry: str | None, endpoint: str | None, ca_file: pathlib.Path | None) -> OperatorBucket:
    """Return the bucket that was typed, else the environment's, else that of the cluster's operator.

    Raises:
        exits.Stop: it cannot be found, or what names it is wrong.
    """
    environment = {name: os.environ[name] for name in (*_ALL, *_KEYS, _CA_FILE) if os.environ.get(name)}
    settings = environment if uri or _URI in environment else _deployed(context) | environment
    named_uri = uri or settings.get(_URI) or ""
    place = location.place(named_uri)
    if place is None or not place.is_prefix:
        problem = f"{named_uri!r} is no folder in a bucket" if named_uri else f"the operator's Deployment names no {_URI}"
        raise exits.usage(f"{problem}: name the operator's own bucket like s3://modelyard/, ending in `/`, with --bucket or {_URI}")
    # This machine's endpoint takes precedence over the one that pods use.
    general = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    reached = endpoint or environment.get(_ENDPOINT) or general or settings.get(_ENDPOINT)
    certificates = ca_file or (pathlib.Path(environment[_CA_FILE]) if _CA_FILE in environment else None)
    address = store_address.of(None, reached, _keys(environment), certificates)
    region = environment.get(_REGION) or address.region or settings.get(_REGION)
    name = registry or settings.get(_REGISTRY) or "main"
    return OperatorBucket(
        place,
        dataclasses.replace(address, region=region),
        name,
        _retention(settings),
        settings.get(_SIGNER) or _DEFAULT_SIGNER,
        _KEYS[0] in environment,
    )


def system() -> str:
    """The operator's namespace."""
    return os.environ.get("MODELYARD_OPERATOR_NAMESPACE") or _SYSTEM


def _keys(environment: Mapping[str, str]) -> Mapping[str, str] | None:
    """Return the bucket's own keys as store_address.of takes them; None: use the general AWS keys of the environment."""
    present = [name in environment for name in _KEYS]
    if any(present) and not all(present):
        raise exits.usage(f"{_KEYS[not present[0]]} is set and {_KEYS[present[0]]} is not: set both, or neither to use AWS_ACCESS_KEY_ID")
    return {"AWS_ACCESS_KEY_ID": environment[_KEYS[0]], "AWS_SECRET_ACCESS_KEY": environment[_KEYS[1]]} if all(present) else None


def _retention(settings: Mapping[str, str]) -> tuple[str, datetime.timedelta] | None:
    text, mode = (settings.get(name) for name in _RETENTION)
    if not text:
        return None
    try:
        return mode or "GOVERNANCE", pydantic.TypeAdapter(meta.Duration).validate_python(text)
    except pydantic.ValidationError:
        raise exits.usage(f"{_RETENTION[0]} is {text!r}: write a duration like 720h") from None


def _deployed(context: str | None) -> dict[str, str]:
    """Read the settings of the operator in the cluster."""
    from modelyard.cli.reach import cluster  # noqa: PLC0415
    from modelyard.edge.cluster import client  # noqa: PLC0415  half a second, which an answer about the past need not wait for

    hint = f"or say where the ledger is: --bucket s3://NAME/ (or {_URI}), or to only read an exported one --from FOLDER"
    try:
        operators = cluster.Registry(context, system()).all(client.DEPLOYMENT, labelSelector=_OPERATOR)
    except exits.Stop as stop:
        raise exits.Stop(stop.code, f"{stop.message}\n{hint}") from None
    if len(operators) != 1:
        message = f"{len(operators)} operators are in namespace {system()} (MODELYARD_OPERATOR_NAMESPACE names another)"
        raise exits.usage(f"{message}\n{hint}")
    containers = operators[0]["spec"]["template"]["spec"]["containers"]
    return {
        variable["name"]: str(variable["value"])
        for container in containers
        for variable in container.get("env") or []
        if variable["name"] in _ALL and "value" in variable
    }
