"""What an installation may set, from the environment (`MODELYARD_…`), and nothing else."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

import pydantic
import pydantic_settings

from modelyard.api import meta


class Bucket(pydantic.BaseModel):
    """The operator's own bucket: manifests, templates, and the ledger. Nobody else needs to write to it."""

    uri: str = "s3://modelyard/"
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key: pydantic.SecretStr | None = None
    secret_key: pydantic.SecretStr | None = None
    ca_file: str | None = None


class Ledger(pydantic.BaseModel):
    """The record of everything, in the operator's own bucket."""

    registry: str = pydantic.Field(default="main", pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")
    """Several installations may share a bucket, each with a registry of its own."""
    key_file: str | None = None
    """PEM of the Ed25519 private key that signs records and checkpoints, beside public keys (`*.pub`) of operators before this one; None: `key_secret`."""
    key_secret: str = pydantic.Field(default="modelyard-ledger-key", min_length=1)
    """The Secret in the operator's namespace that keeps the key; made at the first start."""
    checkpoints: meta.Duration = datetime.timedelta(minutes=10)
    """A model's head that moved is signed at most so often."""
    retention: meta.Duration | None = None
    """For how long Object Lock keeps each record; the bucket must have it."""
    retention_mode: Literal["GOVERNANCE", "COMPLIANCE"] = "GOVERNANCE"


class Verification(pydantic.BaseModel):
    """How artifacts are proven, and how often again."""

    patience: meta.Duration = datetime.timedelta(minutes=10)
    recheck: meta.Duration = datetime.timedelta(hours=1)
    rehash: meta.Duration = datetime.timedelta(days=7)
    objects_at_once: int = pydantic.Field(default=4, ge=1, le=64)
    versions_at_once: int = pydantic.Field(default=16, ge=1, le=256)


class Settings(pydantic_settings.BaseSettings):
    """One installation of the operator."""

    model_config = pydantic_settings.SettingsConfigDict(env_prefix="MODELYARD_", env_nested_delimiter="__", frozen=True)

    namespaces: Annotated[list[str], pydantic_settings.NoDecode] = []
    """Namespaces to watch, separated by commas; none: all of them."""
    operator_namespace: str = "modelyard-system"
    lease: str = pydantic.Field(default="modelyard", min_length=1)
    """The Lease in that namespace that says which replica leads: one for all replicas of an installation."""
    policies: str = pydantic.Field(default="modelyard", min_length=1)
    """What the names of this installation's admission policies begin with."""
    serving_guard: bool = True
    """Whether the policy `serving` is among them."""
    bucket: Bucket = Bucket()
    ledger: Ledger = Ledger()
    verification: Verification = Verification()
    endpoints: Annotated[list[str], pydantic_settings.NoDecode] = []
    """Object store endpoints that Models may name, separated by commas; `*` is any, AWS S3 needs no entry."""
    fetch_image: str = ""
    """The image of the init container `modelyard-fetch`; the chart sets it to the operator's own."""
    resync: meta.Duration = datetime.timedelta(minutes=10)
    listen: int = 8080
    """Port of /metrics, /healthz and /readyz."""
    log_level: str = "INFO"

    @pydantic.field_validator("namespaces", "endpoints", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
