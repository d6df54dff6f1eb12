"""Build a ModelVersion's manifest from the typed options."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from modelyard import api
from modelyard.api import gates, meta, modelversion
from modelyard.cli.terminal import exits, times, validation

Json = dict[str, Any]

_SUFFIXES: Final[Mapping[str, modelversion.Format]] = {
    ".onnx": modelversion.Format.ONNX,
    ".safetensors": modelversion.Format.SAFETENSORS,
    ".gguf": modelversion.Format.GGUF,
    ".pt": modelversion.Format.TORCHSCRIPT,
    ".pkl": modelversion.Format.PICKLE,
    ".pickle": modelversion.Format.PICKLE,
    ".joblib": modelversion.Format.SKLEARN,
}
_SIGNS: Final[Mapping[str, modelversion.Format]] = {"MLmodel": modelversion.Format.MLFLOW, "saved_model.pb": modelversion.Format.SAVEDMODEL}


@dataclasses.dataclass(frozen=True)
class Typed:
    """The typed options of `modelyard push` about a version, unparsed."""

    model: str
    version: str
    format: str | None = None
    metrics: Sequence[str] = ()
    parameters: Sequence[str] = ()
    datasets: Sequence[str] = ()
    parents: Sequence[str] = ()
    evidence: Sequence[str] = ()
    framework: str | None = None
    run_id: str | None = None
    commit: str | None = None
    repository: str | None = None
    image: str | None = None
    seed: int | None = None
    card: pathlib.Path | None = None
    signature: pathlib.Path | None = None
    description: str | None = None
    tags: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Document:
    """One piece of evidence: its local file, and its entry in the manifest without uri and sha256."""

    file: pathlib.Path
    fields: Json

    @property
    def name(self) -> str:
        """The name of the stored object: the name of the evidence with the file's suffix."""
        suffix = self.file.suffix.lower()
        return f"{self.fields['name']}{suffix if re.fullmatch(r'[.][a-z0-9]{1,10}', suffix) else ''}"


def spec(typed: Typed, paths: Sequence[str]) -> Json:
    """Build the spec without `artifact.uri`, `artifact.digest` and evidence.

    Args:
        typed: the typed options.
        paths: the artifact's files, which determine the format if none was typed.

    Raises:
        exits.Stop: a typed option violates the schema.
    """
    validation.check(meta.ModelName, typed.model, "--model")
    validation.check(meta.VersionName, typed.version, "--version")
    lineage: Json = {
        "datasets": [_fields("--dataset", text, ("name", "role"), ("uri", "digest")) for text in typed.datasets],
        "parents": [{"version": left, "relation": right} for left, right in _pairs("--parent", typed.parents, "1.0.0=RetrainedFrom")],
    }
    return _filled(
        {
            "model": typed.model,
            "version": typed.version,
            "artifact": {"format": typed.format or _guessed(paths)},
            "training": _training(typed),
            "metrics": metrics(typed.metrics),
            "lineage": _filled(lineage),
            "card": _file("--card", typed.card, modelversion.Card),
            "signature": _signature(typed.signature),
            "description": typed.description,
            "tags": dict(_pairs("--tag", typed.tags, "campaign=autumn")),
        }
    )


def documents(typed: Typed) -> list[Document]:
    """Parse the typed evidence.

    Raises:
        exits.Stop: an entry is wrong, or a file is missing or a name taken twice.
    """
    entries: list[Document] = []
    for text in typed.evidence:
        fields = _fields("--evidence", text, ("type", "file"), ("name", "title", "author", "issuedAt"))
        made = document(pathlib.Path(fields.pop("file")), fields, f"--evidence {text}")
        if any(other.fields["name"] == made.fields["name"] for other in entries):
            raise exits.usage(f"--evidence {text}: another is named {made.fields['name']} already; add name=… to one of them")
        entries.append(made)
    return entries


def document(file: pathlib.Path, fields: Json, typed: str) -> Document:
    """Build one piece of evidence, named after its file if no name was typed.

    Raises:
        exits.Stop: there is no such file, or its name, type or time of issue is invalid.
    """
    if not file.is_file():
        raise exits.Stop(exits.Code.NOT_FOUND, f"{typed}: there is no file {file}")
    fields = {"name": fields.get("name") or _slug(file.stem), **{key: value for key, value in fields.items() if key != "name"}}
    for key, kind in (("name", meta.ObjectName), ("type", gates.EvidenceType)):
        validation.check(kind, fields[key], f"--evidence, {key}")
    if issued := fields.get("issuedAt"):
        moment = times.read(issued, "--evidence, issuedAt", times.now())
        fields["issuedAt"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return Document(file, fields)


def metrics(typed: Sequence[str]) -> dict[str, float]:
    """Parse each `auc=0.934` into numbers by name.

    Raises:
        exits.Stop: one is no finite number, or was given twice.
    """
    numbers = {}
    for name, text in _pairs("--metric", typed, "auc=0.934"):
        validation.check(meta.MetricName, name, "--metric")
        try:
            value = float(text)
        except ValueError:
            raise exits.usage(f"--metric {name}={text}: {text!r} is no number; write it like auc=0.934") from None
        if not math.isfinite(value):
            raise exits.usage(f"--metric {name}={text}: a metric is a finite number; leave out what could not be measured")
        numbers[name] = value
    return numbers


def version(described: Json, namespace: str | None, uri: str, digest: str, evidence: Sequence[Json]) -> Json:
    """Build the whole object.

    Raises:
        exits.Stop: it violates the CRD.
    """
    name = f"{described['model']}-{described['version']}"
    artifact = {"uri": uri, "digest": digest, **described["artifact"]}
    before = {key: described[key] for key in ("training", "metrics", "lineage") if key in described}
    after = {key: described[key] for key in ("card", "signature", "description", "tags") if key in described}
    made: Json = {
        "apiVersion": api.API_VERSION,
        "kind": "ModelVersion",
        "metadata": {"name": name} | ({"namespace": namespace} if namespace else {}),
        "spec": {
            "model": described["model"],
            "version": described["version"],
            "artifact": artifact,
            **before,
            **({"evidence": list(evidence)} if evidence else {}),
            **after,
        },
    }
    validation.whole(api.ModelVersion, made, "what was typed makes no valid ModelVersion")
    return made


def _training(typed: Typed) -> Json:
    if bool(typed.commit) != bool(typed.repository):
        raise exits.usage("--commit and --repository belong together: give both, or neither")
    name, _, release = (typed.framework or "").partition("=")
    if typed.framework and not name:
        raise exits.usage(f"--framework {typed.framework}: write it like xgboost=2.1.1")
    return _filled(
        {
            "runId": typed.run_id,
            "source": _filled({"repository": typed.repository, "commit": typed.commit}),
            "image": typed.image,
            "framework": _filled({"name": name, "version": release}),
            "parameters": dict(_pairs("--param", typed.parameters, "max_depth=8")),
            "seed": typed.seed,
        }
    )


def _signature(path: pathlib.Path | None) -> Json | None:
    signature = _file("--signature", path, modelversion.Signature)
    for side, tensors in (signature or {}).items():
        names = [tensor["name"] for tensor in tensors]
        if len(set(names)) < len(names):
            raise exits.usage(f"--signature {path}: two {side} have the same name; rename one")
    return signature


def _file(option: str, path: pathlib.Path | None, kind: type[meta.Object]) -> Json | None:
    if path is None:
        return None
    content = validation.read(path)
    validation.part(kind, content, f"{option} {path}")
    return content


def _pairs(option: str, typed: Sequence[str], example: str) -> list[tuple[str, str]]:
    """Split each `left=right`; refuse duplicates."""
    pairs: dict[str, str] = {}
    for text in typed:
        left, sign, right = text.partition("=")
        if not (left and sign and right):
            raise exits.usage(f"{option} {text}: write it like {example}")
        if left in pairs:
            raise exits.usage(f"{option} {text}: {left} was given before; give it once")
        pairs[left] = right
    return list(pairs.items())


def _fields(option: str, typed: str, needed: Sequence[str], others: Sequence[str]) -> Json:
    """Parse `key=value,key=value` with these keys; a comma that no key follows belongs to the value before it."""
    allowed = (*needed, *others)
    parts = re.split(rf",(?=(?:{'|'.join(allowed)}|[a-z][a-zA-Z]*)=)", typed)
    fields: Json = {}
    for part in parts:
        key, sign, value = part.partition("=")
        if not sign or key not in allowed:
            raise exits.usage(
                f"{option} {typed}: {key!r} is not known; it takes {', '.join(f'{name}=…' for name in allowed)}, with commas between"
            )
        if key in fields or not value:
            raise exits.usage(f"{option} {typed}: {key} is {'given twice' if key in fields else 'empty'}")
        fields[key] = value
    if missing := [name for name in needed if name not in fields]:
        raise exits.usage(f"{option} {typed}: {missing[0]}=… is missing")
    return fields


def _guessed(paths: Sequence[str]) -> str:
    """Return the format that the files' names imply, if exactly one."""
    signs = {_SIGNS[path] for path in paths if path in _SIGNS}
    formats = signs or {_SUFFIXES[suffix] for path in paths if (suffix := pathlib.PurePosixPath(path).suffix) in _SUFFIXES}
    if len(formats) != 1:
        raise exits.usage(f"--format: the files do not tell what they are; give one of {', '.join(modelversion.Format)}")
    return str(formats.pop())


def _slug(stem: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:63].strip("-") or "evidence"


def _filled(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value not in (None, "", {}, [])}
