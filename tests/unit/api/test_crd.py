"""The generator: what it rewrites, and what it refuses."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

import pydantic
import pytest
import yaml

from modelyard import api
from modelyard.api import meta
from modelyard.api.openapi import crd, schema
from modelyard.api.openapi.schema import Says

ROOT: Final = pathlib.Path(__file__).resolve().parents[3]


def fields(said: dict[str, Any], where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field below a schema, with its path."""
    for name, field in said.get("properties", {}).items():
        yield f"{where}.{name}", field
        yield from fields(field, f"{where}.{name}")
    if "items" in said:
        yield from fields(said["items"], f"{where}[]")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param({"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}, {"type": "string"}, id="optional is absent"),
        pytest.param({"const": "a", "type": "string"}, {"type": "string", "enum": ["a"]}, id="a constant is a list of one"),
        pytest.param(
            {"type": "number", "exclusiveMinimum": 0},
            {"type": "number", "minimum": 0, "exclusiveMinimum": True},
            id="exclusive limits are flags",
        ),
        pytest.param(
            {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
            {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            id="unique items are a set",
        ),
        pytest.param({"type": "object", "additionalProperties": True}, {"type": "object", schema.PRESERVE: True}, id="anything is kept"),
        pytest.param({"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"x-kubernetes-int-or-string": True}, id="a number or a text"),
        pytest.param(
            {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False},
            {"type": "object", "properties": {"a": {"type": "string"}}},
            id="unknown fields are refused anyway",
        ),
        pytest.param(
            {"$ref": "#/$defs/A", "description": "near", "$defs": {"A": {"type": "string", "title": "A", "description": "far"}}},
            {"type": "string", "description": "near"},
            id="references are written out, and the nearer word wins",
        ),
        pytest.param(
            {
                "anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}],
                schema.VALIDATIONS: [2],
                "$defs": {"A": {"type": "string", schema.VALIDATIONS: [1]}},
            },
            {"type": "string", schema.VALIDATIONS: [1, 2]},
            id="rules add up",
        ),
    ],
)
def test_rewritten(said: dict[str, Any], expected: dict[str, Any]) -> None:
    """What pydantic writes, as the API server takes it."""
    assert expected == crd.structural(said, "here")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        pytest.param({"anyOf": [{"type": "string"}, {"type": "number"}]}, "one type, not 2", id="several types"),
        pytest.param({"type": "string", "examples": ["a"]}, "examples", id="examples"),
        pytest.param(
            {"type": "object", "properties": {"a": {"type": "string"}}, "propertyNames": {}}, "propertyNames", id="property names"
        ),
        pytest.param({"type": "array", "items": {"type": "string"}, "prefixItems": []}, "prefixItems", id="tuples"),
        pytest.param({"type": "string", "deprecated": True}, "deprecated", id="deprecated"),
        pytest.param({}, "one type, not None", id="anything at all"),
        pytest.param({"type": "array"}, "needs items", id="an array of anything"),
        pytest.param({"type": "object"}, "keeps nothing", id="an object of nothing"),
        pytest.param({"type": "object", "oneOf": [{}]}, "oneOf", id="alternatives"),
        pytest.param(
            {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}},
            "not both",
            id="fields and free keys",
        ),
        pytest.param(
            {"$ref": "#/$defs/A", "$defs": {"A": {"type": "array", "items": {"$ref": "#/$defs/A"}}}}, "contains itself", id="recursion"
        ),
    ],
)
def test_refused(said: dict[str, Any], message: str) -> None:
    """What has no form in a CRD is refused with the field's path."""
    with pytest.raises(crd.UnsupportedError, match=message) as error:
        crd.structural({"type": "object", "properties": {"deep": said}, "$defs": said.pop("$defs", {})}, "here")

    assert "here.deep" in str(error.value)


def test_what_is_said_never_binds_parsing() -> None:
    """Patterns, bounds and rules reach the CRD only: an object that an older CRD let in is still read."""

    class Odd(meta.Object):
        name: Annotated[meta.StageName, Says("A name.", schema.Rule("self != 'x'", "not x"))]

    said = crd.structural(Odd.model_json_schema(), "Odd")["properties"]["name"]

    assert said["maxLength"] == 12
    assert [rule["rule"] for rule in said[schema.VALIDATIONS]][1:] == ["self != 'x'"]
    assert Odd(name="NOT A STAGE, AND MUCH TOO LONG").name == "NOT A STAGE, AND MUCH TOO LONG"


def test_pydantic_models_of_others_are_refused_when_they_say_more() -> None:
    """A union of models has no structural schema."""

    class One(pydantic.BaseModel):
        kind: Literal["one"]

    class Two(pydantic.BaseModel):
        kind: Literal["two"]

    class Either(pydantic.BaseModel):
        which: One | Two

    with pytest.raises(crd.UnsupportedError, match=r"Either\.which"):
        crd.structural(Either.model_json_schema(), "Either")


@pytest.mark.parametrize("kind", crd.KINDS, ids=lambda kind: kind.singular)
def test_every_field_is_described(kind: crd.Kind) -> None:
    """`kubectl explain` has a text for each."""
    below = [field for field in fields(crd.root(kind.model), kind.name) if not field[0].endswith(".metadata")]

    assert len(below) > 20
    assert [path for path, field in below if not field.get("description", "").endswith((".", "`."))] == []


@pytest.mark.parametrize("kind", crd.KINDS, ids=lambda kind: kind.singular)
def test_only_status_has_a_default(kind: crd.Kind) -> None:
    """A default inside what a user writes would be drift to GitOps tools."""
    said = crd.root(kind.model)

    assert said["properties"]["status"]["default"] == {"observedGeneration": -1}
    assert [path for path, field in fields(said, kind.name) if "default" in field] == [f"{kind.name}.status"]


def test_a_stage_cannot_require_more_people_than_a_promotion_has_entries_for() -> None:
    """Summed over at most 8 gates by the API server; what is left is for entries that are withdrawn or do not count."""
    gates = crd.root(api.Model)["properties"]["spec"]["properties"]["stages"]["items"]["properties"]["gates"]
    entries = crd.root(api.Promotion)["properties"]["spec"]["properties"]["approvals"]["maxItems"]
    [rule] = [rule for rule in gates[schema.VALIDATIONS] if ".sum() <= " in rule["rule"]]
    most = int(rule["rule"].rpartition(" ")[2])

    assert gates["properties"]["approvals"]["items"]["properties"]["required"]["maximum"] <= most < entries
    assert f"room for {entries} entries" in rule["message"]


@pytest.mark.parametrize("kind", crd.KINDS, ids=lambda kind: kind.singular)
def test_every_rule_says_what_to_do(kind: crd.Kind) -> None:
    """A message names the remedy: an imperative or an example is in each."""
    rules = [rule for _, field in fields(crd.root(kind.model), kind.name) for rule in field.get(schema.VALIDATIONS, [])]
    verbs = ("give", "write", "add", "remove", "rename", "put", "choose", "set", "correct", "let ", "like ", "as sha256sum")

    assert [rule["message"] for rule in rules if not any(verb in rule["message"] for verb in verbs)] == []


@pytest.mark.parametrize("kind", crd.KINDS, ids=lambda kind: kind.singular)
def test_the_files_are_what_the_models_say(kind: crd.Kind) -> None:
    """`make generate` was run."""
    assert crd.crd(kind) == yaml.safe_load((ROOT / "crds" / f"{kind.singular}.yaml").read_text(encoding="utf-8"))


def test_a_crd_fits_into_the_annotation_of_a_client_side_apply() -> None:
    """kubectl apply keeps the whole object in an annotation of at most 256 KiB."""
    for kind in crd.KINDS:
        assert len(json.dumps(crd.crd(kind))) < 200_000


def test_a_candidate_is_no_stage() -> None:
    """The reserved name is refused by a rule, not by the pattern, so that the message can say why."""
    said = crd.structural(api.Stage.model_json_schema(), "Stage")

    assert any("candidate" in rule["rule"] for rule in said["properties"]["name"][schema.VALIDATIONS])
