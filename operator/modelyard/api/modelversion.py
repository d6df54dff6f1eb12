"""ModelVersion: one immutable version, its bytes, its training, its data, its results and its evidence."""

from __future__ import annotations

import enum
import operator
from typing import Annotated, Any, Final

import pydantic

from modelyard.api import gates, meta
from modelyard.api.lineage import Lineage, Training
from modelyard.api.openapi import schema
from modelyard.api.openapi.schema import Rule, Says

_ANOTHER: Final = "what a version is cannot change: put it back, or register another version"


class Format(enum.StrEnum):
    ONNX = "onnx"
    SAFETENSORS = "safetensors"
    GGUF = "gguf"
    TORCHSCRIPT = "torchscript"
    SAVEDMODEL = "savedmodel"
    PICKLE = "pickle"
    SKLEARN = "sklearn"
    MLFLOW = "mlflow"
    OTHER = "other"


class VersionLifecycle(enum.StrEnum):
    ACTIVE = "Active"
    DEPRECATED = "Deprecated"
    RETIRED = "Retired"


TENSORS: Final = Says(
    "",
    Rule("self.all(a, self.exists_one(b, b.name == a.name))", "two entries have the same name: rename one"),
    **{schema.LIST_TYPE: "atomic", "maxItems": 64},
)
SPEC: Final = (
    Rule("self.model == oldSelf.model", _ANOTHER, ".model"),
    Rule("self.version == oldSelf.version", _ANOTHER, ".version"),
    Rule("self.artifact == oldSelf.artifact", _ANOTHER, ".artifact"),
    *(schema.unchanged(field, f"{field}: {_ANOTHER}") for field in ("training", "lineage", "card", "signature")),
    schema.kept("metrics", "metrics can be added, never removed: put them back"),
    schema.kept("evidence", "evidence can be added, never removed: put it back"),
    schema.one_way("lifecycle", "'Retired'", "Retired is final: put lifecycle: Retired back, or register another version"),
)


class Artifact(meta.Object):
    """The bytes of a version."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=schema.rules(
            Rule(
                "has(self.digest) || !self.uri.endsWith('/')",
                "a folder needs a digest, or half an upload could be pinned: add the one that `modelyard push` prints",
                ".digest",
            )
        )
    )

    uri: Annotated[meta.PrefixOrFile, Says("A folder, ending in `/`, or one object, below the Model's storage.uri.")]
    digest: Annotated[
        meta.Digest | None,
        Says(
            "sha256 of the artifact's SHA256SUMS text, as sha256:<hex>. A folder needs it;"
            " for one object it may be absent, and is pinned in status when the bytes are first read."
        ),
    ] = None
    format: Annotated[Format, Says("What the bytes are, as declared.")]


class Evidence(meta.Object):
    """A document about a version, whose bytes are verified as well."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=schema.rules(
            Rule("self == oldSelf", "evidence never changes once it is there: put the entry back, and add another of a new name")
        )
    )

    name: Annotated[meta.ObjectName, Says("Name of the evidence, unique in the version.", maxLength=63)]
    type: Annotated[gates.EvidenceType, Says("What a stage's gates.evidence asks for.")]
    title: Annotated[str | None, schema.text("Its title, for people.", 256)] = None
    uri: Annotated[meta.File, Says("One object below the Model's storage.uri.")]
    sha256: Annotated[meta.Digest, Says("sha256 of the object's bytes, as sha256:<hex>.")]
    author: Annotated[str | None, schema.text("Who wrote it.", 256)] = None
    issued_at: Annotated[meta.Timestamp | None, Says("When it was issued.")] = None


class Card(meta.Object):
    """What people should know before they use a version."""

    limitations: Annotated[str | None, schema.text("Where it should not be trusted.", 16384)] = None
    training_data_summary: Annotated[str | None, schema.text("What the training data are and are not.", 16384)] = None
    ethical_considerations: Annotated[str | None, schema.text("Whom it may treat unfairly, and what was done about it.", 16384)] = None
    human_oversight: Annotated[str | None, schema.text("Who watches it, and how they can stop it.", 16384)] = None


class Tensor(meta.Object):
    """One input or output."""

    name: Annotated[str, schema.text("Its name.", 128)]
    type: Annotated[str, schema.text("Its element type, such as float32 or string.", 64)]
    shape: Annotated[
        list[Annotated[int, Says(minimum=-1, format="int64")]] | None,
        Says("Its dimensions, -1 for any length; absent: a scalar or a column.", **{schema.LIST_TYPE: "atomic", "maxItems": 16}),
    ] = None
    """-1: any length."""


class Signature(meta.Object):
    """What goes in and what comes out; the order counts."""

    inputs: Annotated[list[Tensor] | None, TENSORS, Says("What the model takes.")] = None
    outputs: Annotated[list[Tensor] | None, TENSORS, Says("What it gives.")] = None


class ModelVersionSpec(meta.Object):
    """What a version is: fixed for ever, but for the fields that say otherwise."""

    model_config = pydantic.ConfigDict(json_schema_extra=schema.rules(*SPEC))

    model: Annotated[meta.ModelName, Says("Name of the Model, in the same namespace; it may be created later. Immutable.")]
    version: Annotated[
        meta.VersionName,
        Says("Lower-case SemVer without build metadata, or a plain number; in quotes. metadata.name is <model>-<version>. Immutable."),
    ]
    artifact: Annotated[Artifact, Says("The bytes. Immutable.")]
    training: Annotated[Training | None, Says("How it was made. Immutable.")] = None
    metrics: Annotated[
        dict[str, float] | None,
        Says(
            "Results, as declared: numbers by name, which a data set may qualify (auc@holdout-2026q3)."
            " May be added to; what is there never changes.",
            Rule(
                "self.all(k, size(k) <= 128 && k.matches('^[A-Za-z_][A-Za-z0-9_./@:-]*$'))",
                "a metric's name starts with a letter and has no spaces, at most 128 characters, like auc or auc@holdout-2026q3",
            ),
            Rule(
                "oldSelf.all(k, k in self && self[k] == oldSelf[k])",
                "metrics can be added, never changed or removed: put the old values back, and add a new name or register another version",
            ),
            maxProperties=128,
        ),
    ] = None
    lineage: Annotated[Lineage | None, Says("Where it comes from. Immutable.")] = None
    evidence: Annotated[
        list[Evidence] | None,
        Says(
            "Documents about it. May be added to; what is there never changes.",
            Rule(
                "oldSelf.all(o, self.exists(s, s.name == o.name))",
                "evidence can be added, never removed: put the entry back, and add another if it is outdated",
            ),
            **schema.listed_by("name", most=64),
        ),
    ] = None
    card: Annotated[Card | None, Says("What people should know. Immutable.")] = None
    signature: Annotated[Signature | None, Says("The model's input and output schema. Immutable.")] = None
    lifecycle: Annotated[
        VersionLifecycle | None,
        Says("Deprecated: nothing new is promoted. Retired, which is final: it serves nowhere. Absent: Active."),
    ] = None
    lifecycle_reason: Annotated[str | None, Says("Why lifecycle is as it is. May change.", maxLength=1024)] = None
    description: Annotated[str | None, Says("For people. May change.", maxLength=4096)] = None
    tags: Annotated[meta.Tags | None, Says("Free text by key, at most 64 keys of at most 64 characters. May change.")] = None


class VersionPhase(enum.StrEnum):
    PENDING = "Pending"
    VERIFYING = "Verifying"
    READY = "Ready"
    FAILED = "Failed"
    QUARANTINED = "Quarantined"
    DEPRECATED = "Deprecated"
    RETIRED = "Retired"
    REUSED = "Reused"


class StageState(enum.StrEnum):
    ROLLING = "Rolling"
    SERVING = "Serving"
    GRANTED = "Granted"
    """It is the stage's current version, and the stage serves nothing."""


class StageClaim(meta.Object):
    """A stage that runs this version: claimed before its first pod, released after its last."""

    name: Annotated[str, Says("Name of the stage.")]
    state: Annotated[
        StageState,
        Says("Rolling: its pods start or stop; Serving: it is the stage's current version; Granted: so too, but the stage serves nothing."),
    ]
    since: Annotated[meta.Timestamp, Says("Since when.")]


class ArtifactStatus(meta.Object):
    """What was read of the artifact."""

    digest: Annotated[str, Says("The digest of the bytes that were read.")]
    files: Annotated[int, Says("Number of files.", format="int32")]
    bytes: Annotated[int, Says("Their bytes together.", format="int64")]
    manifest: Annotated[str, Says("sha256 of the list of files with their digests, content-addressed in the operator's bucket.")]
    verified_at: Annotated[meta.Timestamp, Says("When every byte was last read.")]
    checked_at: Annotated[meta.Timestamp, Says("When the store was last asked whether anything changed.")]
    seconds: Annotated[float, Says("How long reading took.")]
    held: Annotated[
        str | None,
        Says(
            "The manifest whose object versions are under legal hold, while a stage runs this version and where the bucket has Object Lock."
        ),
    ] = None
    hold_message: Annotated[str | None, Says("Why they are not held, or not let go.")] = None


class ModelVersionStatus(meta.Object):
    """What the operator found; nobody else writes it."""

    observed_generation: meta.ObservedGeneration = -1
    phase: Annotated[VersionPhase | None, Says("The state in one word.")] = None
    conditions: meta.Conditions = []
    artifact: Annotated[ArtifactStatus | None, Says("The bytes, once they were verified.")] = None
    spec_digest: Annotated[str | None, Says("sha256 of the immutable part of the spec, as canonical JSON.")] = None
    stages: Annotated[list[StageClaim] | None, Says("The stages that run this version.", **schema.listed_by("name", most=64))] = None
    recorded: Annotated[meta.Recorded | None, meta.RECORDED] = None
    unrecorded: Annotated[list[str] | None, meta.UNRECORDED] = None


class ModelVersion(meta.Resource):
    """One immutable version of a model: its artifact's bytes, how it was trained, on which data, with which results and evidence."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=schema.rules(
            Rule(
                "self.metadata.name == self.spec.model + '-' + self.spec.version",
                "metadata.name must be <spec.model>-<spec.version>, so that a version exists once: rename the object",
            )
        )
    )

    kind: str = "ModelVersion"
    spec: ModelVersionSpec
    status: ModelVersionStatus = ModelVersionStatus()

    def immutable(self) -> dict[str, Any]:
        """The part of the spec that can never change; `status.specDigest` is the sha256 of its canonical JSON.

        Lists whose entries are told apart by a name are sorted by it: whoever applies may reorder them.
        """
        free = {"metrics", "evidence", "lifecycle", "lifecycleReason", "description", "tags"}
        fixed = {field: value for field, value in self.spec.dump().items() if field not in free}
        if lineage := fixed.get("lineage"):
            keys = {"datasets": ("name", "role"), "parents": ("version",)}
            fixed["lineage"] = {field: sorted(rows, key=operator.itemgetter(*keys[field])) for field, rows in lineage.items()}
        return fixed
