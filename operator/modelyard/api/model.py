"""Model: one model of a team, its storage, its stages, and what each stage demands and serves."""

from __future__ import annotations

import enum
from typing import Annotated, Final

import pydantic

from modelyard.api import meta, stage
from modelyard.api.openapi import schema
from modelyard.api.openapi.schema import Rule, Says


class RiskTier(enum.StrEnum):
    LOW = "Low"
    MEDIUM = "Medium"
    HIGH = "High"


class ModelLifecycle(enum.StrEnum):
    ACTIVE = "Active"
    RETIRED = "Retired"


REGION: Final = schema.matching(r"^[a-z0-9][a-z0-9-]*$", "give a region's name, like eu-central-1", most=64)


class Owner(meta.Object):
    """Who answers for a model."""

    team: Annotated[str, Says("The team that answers for the model.", minLength=1, maxLength=128)]
    contact: Annotated[str | None, Says("How to reach it: a mail address, a channel, a page.", maxLength=256)] = None


class SecretReference(meta.Object):
    """A Secret in the object's namespace."""

    secret_name: Annotated[meta.ObjectName, Says("Name of a Secret in the same namespace.")]


class ConfigMapReference(meta.Object):
    """A ConfigMap in the object's namespace."""

    config_map_name: Annotated[meta.ObjectName, Says("Name of a ConfigMap in the same namespace.")]


class Storage(meta.Object):
    """Where a model's bytes live, and how to read them."""

    uri: Annotated[
        meta.Prefix, Says("Folder in an S3 bucket, `s3://bucket/folder/`: every artifact and evidence of this model is below it.")
    ]
    endpoint: Annotated[
        meta.Url | None, Says("URL of the object store; absent: AWS S3. It must be on the operator's allow-list (MODELYARD_ENDPOINTS).")
    ] = None
    region: Annotated[str | None, REGION, Says("The bucket's region; absent: us-east-1.")] = None
    credentials: Annotated[
        SecretReference | None,
        Says(
            "What the operator reads the bytes with: keys AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if need be, AWS_SESSION_TOKEN."
            " Absent: anonymous, never the operator's own."
        ),
    ] = None
    serving_credentials: Annotated[
        SecretReference | None, Says("What the serving pods read the bytes with, same keys; absent: the same as credentials.")
    ] = None
    ca_bundle: Annotated[
        ConfigMapReference | None, Says("Certificates that the store's TLS certificate is checked against, PEM, key ca.crt.")
    ] = None


class ModelSpec(meta.Object):
    """What a team asks for."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=schema.rules(
            schema.one_way("lifecycle", "'Retired'", "Retired is final: put lifecycle: Retired back, or create a Model of another name")
        )
    )

    description: Annotated[str | None, Says("What the model does, for people.", maxLength=4096)] = None
    owner: Annotated[Owner, Says("Who answers for the model.")]
    intended_use: Annotated[str | None, Says("What the model is for, and what it is not for.", maxLength=4096)] = None
    risk_tier: Annotated[RiskTier | None, Says("How much harm it can do: decides which documentation is complete; absent: Low.")] = None
    tags: meta.Tags | None = None
    lifecycle: Annotated[
        ModelLifecycle | None, Says("Retired, which is final, decommissions everything that the model serves; absent: Active.")
    ] = None
    lifecycle_reason: Annotated[str | None, Says("Why lifecycle is as it is. May change.", maxLength=1024)] = None
    storage: Annotated[Storage, Says("Where the model's artifacts and evidence live.")]
    aliases: Annotated[
        dict[str, meta.VersionName] | None,
        Says(
            "Names that people and clients may point at, each with a version; `modelyard` takes @NAME wherever it takes a version.",
            Rule(
                "self.all(a, a.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && size(a) <= 40)",
                "an alias is a letter, then lower-case letters, digits and dashes, at most 40 characters, like champion",
            ),
            maxProperties=16,
        ),
    ] = None
    stages: Annotated[
        list[stage.Stage] | None,
        Says(
            "The stages; their order means nothing, gates.after does. Absent: development, staging and production, each after the one before.",
            *stage.STAGES,
            **schema.listed_by("name", most=16, least=1),
        ),
    ] = None


class VersionCounts(meta.Object):
    """How many versions a model has."""

    total: Annotated[int, Says("All ModelVersions of the model.", format="int32")] = 0
    ready: Annotated[int, Says("Those that are Ready.", format="int32")] = 0
    latest: Annotated[str | None, Says("The highest Ready version, as SemVer orders them.")] = None
    held: Annotated[int | None, Says("Those whose objects are under a legal hold of the operator's; absent: none.", format="int32")] = None


class LedgerStatus(meta.Object):
    """The anchor of the model's chain in the ledger."""

    sequence: Annotated[int, Says("Number of the last record.", format="int64")] = 0
    head: Annotated[str | None, Says("Digest of the last record.")] = None
    unrecorded: Annotated[list[str] | None, meta.UNRECORDED] = None


class ModelStatus(meta.Object):
    """What the operator found and did; nobody else writes it."""

    observed_generation: meta.ObservedGeneration = -1
    conditions: meta.Conditions = []
    versions: Annotated[VersionCounts | None, Says("How many versions there are.")] = None
    stages: Annotated[list[stage.StageStatus] | None, Says("The stages as they are.", **schema.listed_by("name", most=64))] = None
    ledger: Annotated[LedgerStatus | None, Says("How far the model's history is recorded.")] = None
    recorded: Annotated[meta.Recorded | None, meta.RECORDED] = None


class Model(meta.Resource):
    """One model of a team: who owns it, where its artifacts live, its stages, and what each stage demands and serves."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=schema.rules(
            Rule(
                "size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                "metadata.name must be a letter, then lower-case letters, digits and dashes, at most 40 characters, like fraud: rename the object",
            )
        )
    )

    kind: str = "Model"
    spec: ModelSpec
    status: ModelStatus = ModelStatus()
