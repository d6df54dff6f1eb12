"""The CRDs, generated from the pydantic models: structural schemas in which everything that the API server refuses is removed or rewritten.

A keyword that is not known here is refused, so nothing reaches a cluster that nobody thought about.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from modelyard.api import meta, model, modelversion, promotion
from modelyard.api.openapi import schema

Schema = dict[str, Any]

# The keywords of a structural schema, in the order in which they are written.
_KEPT: Final = (
    "description", "type", "format", "nullable", "enum", "pattern", "minLength", "maxLength", "minimum", "exclusiveMinimum", "maximum",
    "exclusiveMaximum", "multipleOf", "minItems", "maxItems", "minProperties", "maxProperties", "default", "required", "properties",
    "additionalProperties", "items", "x-kubernetes-int-or-string", schema.PRESERVE, schema.LIST_TYPE, schema.LIST_KEYS, schema.VALIDATIONS,
)  # fmt: skip
_TYPES: Final = {"object", "array", "string", "integer", "number", "boolean"}


class UnsupportedError(ValueError):
    """A model uses something that a CRD or this generator does not support; the message names the field and the keyword."""


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of `kubectl get`; priority 1 shows it with `-o wide` only."""

    name: str
    path: str
    description: str
    type: str = "string"
    priority: int = 0

    def dump(self) -> Schema:
        """Return the column as in the CRD."""
        column = {"name": self.name, "type": self.type, "jsonPath": self.path, "description": self.description}
        return column | ({"priority": self.priority} if self.priority else {})


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind, with its names and columns in the CRD."""

    model: type[meta.Resource]
    plural: str
    short: str
    columns: tuple[Column, ...]
    selectable: tuple[str, ...]

    @property
    def name(self) -> str:
        """The kind's name, such as ModelVersion."""
        return self.model.__name__

    @property
    def singular(self) -> str:
        """The kind's name on the command line and in file names."""
        return self.name.lower()


_READY: Final = ".status.conditions[?(@.type=='Ready')]"
_LAST: Final = (
    Column("Age", ".metadata.creationTimestamp", "Time since it was created.", type="date"),
    Column("Message", f"{_READY}.message", "What is wrong, and who can put it right.", priority=1),
)

KINDS: Final = (
    Kind(
        model.Model,
        "models",
        "mdl",
        (
            Column("Team", ".spec.owner.team", "Who answers for it."),
            Column("Risk", ".spec.riskTier", "How much harm it can do."),
            Column("Versions", ".status.versions.total", "All its versions.", type="integer"),
            Column("Latest", ".status.versions.latest", "The highest Ready version."),
            Column("Production", ".status.stages[?(@.name=='production')].current", "The current version of the stage production."),
            Column("Ready", f"{_READY}.status", "Whether it is as asked."),
            Column("Reason", f"{_READY}.reason", "Why it is, or is not."),
            *_LAST[:1],
            Column("Lifecycle", ".spec.lifecycle", "Active or Retired.", priority=1),
            Column("Storage", ".spec.storage.uri", "Where its artifacts live.", priority=1),
            *_LAST[1:],
        ),
        (".spec.lifecycle", ".spec.riskTier", ".spec.owner.team"),
    ),
    Kind(
        modelversion.ModelVersion,
        "modelversions",
        "mv",
        (
            Column("Model", ".spec.model", "The Model."),
            Column("Version", ".spec.version", "The version."),
            Column("Phase", ".status.phase", "The state in one word."),
            Column("Reason", f"{_READY}.reason", "Why it is so."),
            Column("Format", ".spec.artifact.format", "What the bytes are."),
            Column("Files", ".status.artifact.files", "Number of files.", type="integer"),
            Column("Bytes", ".status.artifact.bytes", "Their bytes together.", type="integer"),
            Column("Production", ".status.stages[?(@.name=='production')].state", "Whether it runs in the stage production."),
            *_LAST[:1],
            # A column prints only the first match of its path, so showing all stages needs the list itself.
            Column("Stages", ".status.stages", "Where it runs.", priority=1),
            Column("Digest", ".status.artifact.digest", "Digest of the verified bytes.", priority=1),
            *_LAST[1:],
        ),
        (".spec.model", ".spec.version", ".spec.lifecycle", ".spec.artifact.format", ".status.phase"),
    ),
    Kind(
        promotion.Promotion,
        "promotions",
        "promo",
        (
            Column("Model", ".spec.model", "The Model."),
            Column("Version", ".spec.version", "The version."),
            Column("Stage", ".spec.stage", "The stage."),
            Column("Phase", ".status.phase", "The state in one word."),
            Column("Reason", f"{_READY}.reason", "Why it is so."),
            Column("Weight", ".status.rollout.weight", "Share of the traffic in percent.", type="integer"),
            *_LAST[:1],
            Column("Requested-By", ".spec.requestedBy", "Who asked.", priority=1),
            *_LAST[1:],
        ),
        (".spec.model", ".spec.version", ".spec.stage", ".spec.requestedBy", ".status.phase"),
    ),
)


def crd(kind: Kind) -> Schema:
    """Return the CustomResourceDefinition of a kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{meta.GROUP}"},
        "spec": {
            "group": meta.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": [kind.short],
                "categories": ["modelyard"],
            },
            "versions": [
                {
                    "name": meta.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [column.dump() for column in kind.columns],
                    "selectableFields": [{"jsonPath": path} for path in kind.selectable],
                    "schema": {"openAPIV3Schema": root(kind.model)},
                }
            ],
        },
    }


def root(resource: type[meta.Resource]) -> Schema:
    """Return the structural schema of a whole object; its status begins as not yet observed."""
    generated = structural(resource.model_json_schema(by_alias=True), resource.__name__)
    fields = generated["properties"]
    status = fields["status"] | {"description": "What the operator found and did; nobody else writes it."}
    status = {"default": {"observedGeneration": -1}} | status
    named = {
        "apiVersion": {"type": "string", "description": f"The group and version of this kind: {meta.API_VERSION}."},
        "kind": {"type": "string", "description": f"The kind: {resource.__name__}."},
        "metadata": {"type": "object"},
        "spec": {"description": "What is asked for."} | fields["spec"],
        "status": _ordered(status),
    }
    return _ordered(generated | {"required": ["spec"], "properties": named})


def structural(generated: Mapping[str, Any], where: str) -> Schema:
    """Rewrite a JSON schema of pydantic as a structural schema; raises UnsupportedError for anything that has no such form."""
    return _rewrite({key: value for key, value in generated.items() if key != "$defs"}, generated.get("$defs", {}), where, ())


def _rewrite(generated: Mapping[str, Any], definitions: Mapping[str, Any], where: str, inside: tuple[str, ...]) -> Schema:
    if "anyOf" in generated:
        return _rewrite(_merged(_not_null(generated["anyOf"], where), generated, "anyOf"), definitions, where, inside)
    if "$ref" in generated:
        name = generated["$ref"].removeprefix("#/$defs/")
        if name in inside or name not in definitions:
            raise UnsupportedError(f"{where}: {name} contains itself, or is not known; a CRD has no references")
        return _rewrite(_merged(definitions[name], generated, "$ref"), definitions, where, (*inside, name))
    # Titles only repeat names. An absent field means the default that our code assumes: the API server never writes into what a user owns.
    result = {keyword: value for keyword, value in generated.items() if keyword not in {"title", "default"}}
    _rename(result)
    if result.get("type") not in _TYPES:
        raise UnsupportedError(f"{where}: a field needs one type, not {result.get('type')!r}")
    if unknown := sorted(result.keys() - set(_KEPT)):
        raise UnsupportedError(f"{where}: {', '.join(unknown)} cannot be said in a CRD, or is not known to the generator")
    if "properties" in result:
        if result.get("additionalProperties") is False:
            del result["additionalProperties"]
        result["properties"] = {
            name: _rewrite(field, definitions, f"{where}.{name}", inside) for name, field in result["properties"].items()
        }
    if "items" in result:
        result["items"] = _rewrite(result["items"], definitions, f"{where}[]", inside)
    elif result["type"] == "array":
        raise UnsupportedError(f"{where}: an array needs items")
    if result["type"] == "object":
        _object(result, definitions, where, inside)
    return _ordered(result)


def _not_null(options: list[Schema], where: str) -> Schema:
    """Return the option that is not null: in Kubernetes a nullable field is a field that may be absent."""
    real = [option for option in options if option.get("type") != "null"]
    if {option.get("type") for option in real} == {"integer", "string"}:
        return {"type": "string", "x-kubernetes-int-or-string": True}
    if len(real) != 1:
        raise UnsupportedError(
            f"{where}: a field has one type, not {len(real)}; use one object and a rule that exactly one of its fields is set"
        )
    return real[0]


def _merged(inner: Mapping[str, Any], outer: Mapping[str, Any], but: str) -> Schema:
    """Merge two schemas: the outer one, nearer to the field, wins; rules add up."""
    rules = [*inner.get(schema.VALIDATIONS, []), *outer.get(schema.VALIDATIONS, [])]
    merged = {**inner, **{keyword: value for keyword, value in outer.items() if keyword != but}}
    return merged | ({schema.VALIDATIONS: rules} if rules else {})


def _rename(keywords: Schema) -> None:
    """Replace keywords of newer JSON schemas by those of OpenAPI 3.0."""
    if "const" in keywords:
        keywords["enum"] = [keywords.pop("const")]
    for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if exclusive in keywords and not isinstance(keywords[exclusive], bool):
            keywords |= {limit: keywords[exclusive], exclusive: True}
    if keywords.pop("uniqueItems", False):
        keywords[schema.LIST_TYPE] = "set"
    if keywords.pop("x-kubernetes-int-or-string", False):
        # The API server allows no type beside it; _ordered removes this placeholder.
        keywords |= {"type": "string", "x-kubernetes-int-or-string": True}


def _object(keywords: Schema, definitions: Mapping[str, Any], where: str, inside: tuple[str, ...]) -> None:
    more = keywords.pop("additionalProperties", None)
    if more is True or more == {}:
        keywords[schema.PRESERVE] = True
    elif isinstance(more, Mapping):
        if "properties" in keywords:
            raise UnsupportedError(f"{where}: an object has either named fields or free keys, not both")
        keywords["additionalProperties"] = _rewrite(more, definitions, f"{where}.*", inside)
    elif "properties" not in keywords and schema.PRESERVE not in keywords:
        raise UnsupportedError(f"{where}: an object without fields keeps nothing; name its fields, or preserve unknown ones")


def _ordered(keywords: Schema) -> Schema:
    ordered: Schema = {keyword: keywords[keyword] for keyword in _KEPT if keyword in keywords}
    if "x-kubernetes-int-or-string" in ordered:
        ordered.pop("type", None)
    return ordered
