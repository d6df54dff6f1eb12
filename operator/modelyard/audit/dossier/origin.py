"""The sections of a dossier about the origin of a version: identity, artifact, purpose, data, development. Pure."""

from __future__ import annotations

from typing import Any

from modelyard.audit import timeline
from modelyard.audit.dossier import fields, material
from modelyard.audit.dossier.fields import State, field, row, section, table
from modelyard.ledger import codec
from modelyard.ledger.record import Action

Json = dict[str, Any]


def identity(case: material.Case) -> Json:
    """The names of the version, and who registered it."""
    history, spec, model = case.history, case.spec, case.model
    first = history.registered
    assert first is not None
    owner = model.get("owner") or {}
    aliases = sorted(name for name, version in (model.get("aliases") or {}).items() if version == history.version)
    return section(
        "identity",
        "Identity",
        [
            field("name", "Model", f"{case.chain.namespace}/{case.chain.model}", State.VERIFIED, first.record),
            field("version", "Version", history.version, State.VERIFIED, first.record),
            field("registry", "Registry", case.chain.registry, State.VERIFIED, first.record),
            field("registeredBy", "Registered by", first.fact.actor.name, fields.of_actor(first), first.record),
            field("registeredAt", "Registered at", codec.write_time(first.time), State.VERIFIED, first.record),
            field("specDigest", "Digest of the immutable metadata", first.text("specDigest"), State.VERIFIED, first.record),
            field("owner", "Owner", owner.get("team"), State.DECLARED, case.rules_record),
            field("contact", "Contact", owner.get("contact"), State.DECLARED, case.rules_record),
            field("riskTier", "Risk tier", model.get("riskTier"), State.DECLARED, case.rules_record),
            field("modelDescription", "The Model", model.get("description"), State.DECLARED, case.rules_record),
            field("description", "The version", spec.get("description"), State.DECLARED, case.spec_record),
            field("aliases", "Aliases that point at it", aliases, State.DECLARED, case.rules_record),
            field("tags", "Tags", spec.get("tags"), State.DECLARED, case.spec_record),
        ],
    )


def artifact(case: material.Case) -> Json:
    """The bytes of the version."""
    declared, read = case.spec.get("artifact") or {}, case.history.verified
    last = read[-1] if read else None
    detail = last.fact.detail if last else {}
    number = last.record if last else 0
    incidents = [entry for entry in case.history.entries if entry.fact.action in {Action.QUARANTINED, Action.RECOVERED, Action.REUSED}]
    files = case.files.files if case.files else ()
    return section(
        "artifact",
        "Artifact",
        [
            field("uri", "URI", declared.get("uri"), State.DECLARED, case.spec_record),
            field("format", "Format", declared.get("format"), State.DECLARED, case.spec_record),
            field("declaredDigest", "Digest as declared", declared.get("digest"), State.DECLARED, case.spec_record),
            field("digest", "Digest of the bytes", last.fact.digest if last else None, State.VERIFIED, number),
            field("files", "Files", detail.get("files"), State.VERIFIED, number),
            field("bytes", "Bytes", detail.get("bytes"), State.VERIFIED, number),
            field("manifest", "Digest of the list of files", detail.get("manifest"), State.VERIFIED, number),
            field(
                "verifiedFirst",
                "First read in full",
                codec.write_time(read[0].time) if read else None,
                State.VERIFIED,
                read[0].record if read else 0,
            ),
            field("verifiedLast", "Last read in full", codec.write_time(last.time) if last else None, State.VERIFIED, number),
        ],
        table(
            "fileList",
            "Files",
            ("path", "bytes", "sha256"),
            [row((file.path, file.size, file.sha256), State.VERIFIED, number) for file in files],
        ),
        table(
            "trouble",
            "Bytes that changed, and came back",
            ("at", "what", "message"),
            [
                row((codec.write_time(entry.time), timeline.sentence(entry), entry.text("message")), State.VERIFIED, entry.record)
                for entry in incidents
            ],
        ),
    )


def purpose(case: material.Case) -> Json:
    """What the version is for, and its limits."""
    card, signature = case.spec.get("card") or {}, case.spec.get("signature") or {}

    def tensors(side: str, label: str) -> Json:
        cells = [(tensor.get("name"), tensor.get("type"), tensor.get("shape")) for tensor in signature.get(side) or []]
        return table(side, label, ("name", "type", "shape"), [row(row_cells, State.DECLARED, case.spec_record) for row_cells in cells])

    return section(
        "purpose",
        "Purpose and limits",
        [
            field("intendedUse", "Intended use", case.model.get("intendedUse"), State.DECLARED, case.rules_record),
            field("limitations", "Limitations", card.get("limitations"), State.DECLARED, case.spec_record),
            field("ethicalConsiderations", "Ethical considerations", card.get("ethicalConsiderations"), State.DECLARED, case.spec_record),
            field("humanOversight", "Human oversight", card.get("humanOversight"), State.DECLARED, case.spec_record),
        ],
        tensors("inputs", "Inputs"),
        tensors("outputs", "Outputs"),
    )


def data(case: material.Case) -> Json:
    """The data sets and versions that the version was made from."""
    lineage, card = case.spec.get("lineage") or {}, case.spec.get("card") or {}
    return section(
        "data",
        "Data",
        [field("summary", "Training data in summary", card.get("trainingDataSummary"), State.DECLARED, case.spec_record)],
        table(
            "datasets",
            "Data sets",
            ("name", "role", "uri", "digest"),
            [
                row([dataset.get(key) for key in ("name", "role", "uri", "digest")], State.DECLARED, case.spec_record)
                for dataset in lineage.get("datasets") or []
            ],
        ),
        table(
            "parents",
            "Versions that it was made from",
            ("version", "relation"),
            [
                row([parent.get("version"), parent.get("relation")], State.DECLARED, case.spec_record)
                for parent in lineage.get("parents") or []
            ],
        ),
    )


def development(case: material.Case) -> Json:
    """How the version was made."""
    training = case.spec.get("training") or {}
    source, framework = training.get("source") or {}, training.get("framework") or {}
    name = " ".join(str(framework[key]) for key in ("name", "version") if framework.get(key))
    values = {
        "repository": ("Repository", source.get("repository")),
        "commit": ("Commit", source.get("commit")),
        "image": ("Image", training.get("image")),
        "framework": ("Framework", name),
        "runId": ("Run", training.get("runId")),
        "seed": ("Seed", training.get("seed")),
        "startedAt": ("Training began", training.get("startedAt")),
        "finishedAt": ("Training ended", training.get("finishedAt")),
    }
    parameters = sorted((training.get("parameters") or {}).items())
    return section(
        "development",
        "Development",
        [field(key, label, value, State.DECLARED, case.spec_record) for key, (label, value) in values.items()],
        table("parameters", "Parameters", ("name", "value"), [row(pair, State.DECLARED, case.spec_record) for pair in parameters]),
    )
