"""Lineage: how a version was made, and from what, as its team declares it."""

from __future__ import annotations

import enum
from typing import Annotated

import pydantic

from modelyard.api import meta
from modelyard.api.openapi import schema
from modelyard.api.openapi.schema import Rule, Says


class DatasetRole(enum.StrEnum):
    TRAINING = "Training"
    VALIDATION = "Validation"
    TEST = "Test"
    REFERENCE = "Reference"


class Relation(enum.StrEnum):
    RETRAINED_FROM = "RetrainedFrom"
    FINE_TUNED_FROM = "FineTunedFrom"
    DISTILLED_FROM = "DistilledFrom"
    QUANTIZED_FROM = "QuantizedFrom"
    MERGED_FROM = "MergedFrom"


class Source(meta.Object):
    """The code that trained a version."""

    repository: Annotated[str, schema.text("URL of the repository.")]
    commit: Annotated[
        str,
        schema.matching(r"^[0-9a-f]{7,64}$", "give a commit's hash, 7 to 64 hexadecimal digits; a branch or a tag can move", most=64),
        Says("Hash of the commit."),
    ]


class Framework(meta.Object):
    """The library that trained a version."""

    name: Annotated[str, schema.text("Name, such as xgboost.", 128)]
    version: Annotated[str | None, schema.text("Its version.", 64)] = None


class Training(meta.Object):
    """How a version was made, as its team declares it."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=schema.rules(
            Rule(
                "!has(self.startedAt) || !has(self.finishedAt) || self.startedAt <= self.finishedAt",
                "training cannot finish before it started: correct startedAt or finishedAt",
                ".finishedAt",
            )
        )
    )

    run_id: Annotated[str | None, schema.text("Id of the run in the tool that ran it.", 256)] = None
    source: Annotated[Source | None, Says("The code.")] = None
    image: Annotated[str | None, schema.text("The container image, best pinned by its digest.")] = None
    framework: Annotated[Framework | None, Says("The library.")] = None
    parameters: Annotated[
        dict[str, Annotated[str, Says(maxLength=1024)]] | None,
        Says("Hyperparameters, as strings: quote numbers.", maxProperties=256),
    ] = None
    seed: Annotated[int | None, Says("The seed of the random numbers.", format="int64")] = None
    started_at: Annotated[meta.Timestamp | None, Says("When training began.")] = None
    finished_at: Annotated[meta.Timestamp | None, Says("When it ended.")] = None


class Dataset(meta.Object):
    """Data that a version was made or judged with."""

    name: Annotated[str, schema.text("Name of the data set, at best with its date.", 253)]
    role: Annotated[DatasetRole, Says("What it was used for; the same data set may be listed once for each role.")]
    uri: Annotated[
        str | None,
        schema.matching(r"^[a-z][a-z0-9+.-]*:[^\s]+$", "give a URI with its scheme, like s3://data/card-tx/2026q2/", most=1024),
        Says("Where it is; the operator does not read it."),
    ] = None
    digest: Annotated[meta.Digest | None, Says("Digest of its bytes, made as an artifact's.")] = None


class Parent(meta.Object):
    """A version of the same model that this one was made from."""

    version: Annotated[meta.VersionName, Says("The parent's spec.version.")]
    relation: Annotated[Relation, Says("How this version was made from it.")]


class Lineage(meta.Object):
    """Where a version comes from."""

    datasets: Annotated[list[Dataset] | None, Says("The data.", **schema.listed_by("name", "role", most=64))] = None
    parents: Annotated[list[Parent] | None, Says("The versions it was made from.", **schema.listed_by("version", most=16))] = None
