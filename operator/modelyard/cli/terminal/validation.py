"""Validation of typed values and files against the API server's schema, before anything is uploaded.

It covers types, patterns, bounds, enumerations, unknown fields and unique list keys; the API server evaluates the other CEL rules.
"""

from __future__ import annotations

import json
import math
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

import pydantic
import yaml

from modelyard.api import meta
from modelyard.api.openapi import crd, schema
from modelyard.audit import shape
from modelyard.cli.terminal import exits
from modelyard.edge import local_files

Json = dict[str, Any]
T = TypeVar("T")

_LARGEST: Final = 4 << 20
"""Bytes of a manifest or a card; etcd takes less."""
_WHOLE: Final = {"int32": 1 << 31, "int64": 1 << 63}


def check(kind: Any, value: object, what: str, *, show: bool = True) -> None:
    """Validate one value against a type of the API, such as meta.VersionName.

    Raises:
        exits.Stop: with what is wrong; without the value itself unless `show`, as it might hold credentials.
    """
    rules = crd.structural(pydantic.TypeAdapter(kind).json_schema(), what)
    for _, problem in problems(value, rules, ""):
        raise exits.usage(f"{what}{f' {value!r}' if show else ''}: {problem}")


def whole(resource: type[meta.Resource], obj: Json, where: str) -> None:
    """Validate a whole object against its CRD.

    Raises:
        exits.Stop: with every field that is wrong.
    """
    wrong = [f"{path.lstrip('.')}: {problem}" for path, problem in problems(obj, crd.root(resource), "")]
    if wrong:
        raise exits.usage(f"{where}:\n" + "\n".join(f"  {line}" for line in wrong[:20]))


def part(model: type[pydantic.BaseModel], value: object, where: str) -> None:
    """Validate a part of an object, such as a card, against its schema."""
    wrong = [
        f"{path.lstrip('.') or 'it'}: {problem}" for path, problem in problems(value, crd.structural(model.model_json_schema(), where), "")
    ]
    if wrong:
        raise exits.usage(f"{where}:\n" + "\n".join(f"  {line}" for line in wrong[:20]))


def problems(value: object, rules: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the problem of every violation of a structural schema."""
    kind = rules.get("type")
    if kind is not None and not _is(value, kind):
        yield path, f"has to be {'an' if kind[0] in 'aeio' else 'a'} {kind}, not {_named(value)}"
    elif "enum" in rules and value not in rules["enum"]:
        yield path, f"{value!r} is not one of {', '.join(map(str, rules['enum']))}"
    elif isinstance(value, str):
        yield from ((path, problem) for problem in _text(value, rules))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from ((path, problem) for problem in _number(value, rules))
    elif isinstance(value, list):
        yield from _list(value, rules, path)
    elif isinstance(value, dict):
        yield from _object(value, rules, path)


def read_text(path: pathlib.Path) -> str:
    """Read a small text file.

    Raises:
        exits.Stop: it cannot be read, is too large, or is not UTF-8.
    """
    try:
        data = local_files.read(path, _LARGEST, regular=False)  # what a shell's <(…) leads to is a pipe
    except OSError as error:
        raise exits.unreadable(error, path) from error
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise exits.usage(f"{path}: is not UTF-8 text; is it the right file?") from error


def loaded(path: pathlib.Path, load: Callable[[str], T]) -> T:
    """Read a YAML or JSON file with `load`.

    Raises:
        exits.Stop: it cannot be read.
    """
    text = read_text(path)
    try:
        return load(text)
    except RecursionError:
        raise exits.usage(f"{path}: is nested too deeply; is it the right file?") from None
    except (ValueError, yaml.YAMLError) as error:
        raise exits.usage(f"{path}: is no {'JSON' if path.suffix == '.json' else 'YAML'}: {' '.join(str(error).split())}") from error


def read(path: pathlib.Path) -> Json:
    """Read a YAML or JSON file that holds one mapping.

    Raises:
        exits.Stop: it cannot be read, or is something else.
    """
    load: Callable[[str], object] = json.loads if path.suffix == ".json" else yaml.safe_load
    content = loaded(path, load)
    if not isinstance(content, dict):
        raise exits.usage(f"{path}: has to hold one mapping of fields, not {_named(content)}")
    return content


def _is(value: object, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, shape.TYPES[kind])


def _named(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return f"the boolean {str(value).lower()} (put it in quotes if it is text)"
        case int() | float():
            return f"the number {value} (put it in quotes if it is text)"
        case str():
            return f"the text {value!r}"
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return f"{value} (put it in quotes if it is text)"


def _text(value: str, rules: Mapping[str, Any]) -> Iterator[str]:
    if len(value) > rules.get("maxLength", math.inf):
        yield f"is longer than {rules['maxLength']} characters"
    elif len(value) < rules.get("minLength", 0):
        yield "is empty"
    elif "pattern" in rules and not re.search(rules["pattern"].removesuffix("$") + r"\Z" * rules["pattern"].endswith("$"), value):
        messages = (rule["message"] for rule in rules.get(schema.VALIDATIONS, ()) if rules["pattern"] in rule["rule"])
        yield next(messages, f"has to match {rules['pattern']}")


def _number(value: float, rules: Mapping[str, Any]) -> Iterator[str]:
    if not math.isfinite(value):
        yield f"{value} is no number that JSON can hold"
    elif value < rules.get("minimum", -math.inf) or value > rules.get("maximum", math.inf):
        yield f"{value} is not between {rules.get('minimum', 'any')} and {rules.get('maximum', 'any')}"
    elif (limit := _WHOLE.get(rules.get("format", ""))) and not -limit <= value < limit:
        yield f"{value} does not fit in {rules['format']}"


def _list(value: list[Any], rules: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    if not rules.get("minItems", 0) <= len(value) <= rules.get("maxItems", math.inf):
        yield path, f"has {len(value)} entries; between {rules.get('minItems', 0)} and {rules.get('maxItems', 'any number of')} are allowed"
    keys = rules.get(schema.LIST_KEYS, ())
    identities: set[tuple[object, ...]] = set()
    for number, item in enumerate(value):
        yield from problems(item, rules.get("items", {}), f"{path}[{number}]")
        if keys and isinstance(item, dict):
            identity = tuple(str(item.get(key)) for key in keys)
            if identity in identities:
                yield f"{path}[{number}]", f"an entry before has the same {' and '.join(keys)}: {', '.join(identity)}"
            identities.add(identity)


def _object(value: Json, rules: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    if len(value) > rules.get("maxProperties", math.inf):
        yield path, f"has more than {rules['maxProperties']} entries"
    for name in rules.get("required", ()):
        if name not in value:
            yield f"{path}.{name}", "is missing"
    fields, free = rules.get("properties"), rules.get("additionalProperties")
    for name, item in value.items():
        if fields is not None and name in fields:
            yield from problems(item, fields[name], f"{path}.{name}")
        elif free is not None:
            yield from problems(item, free, f"{path}.{name}")
        elif fields is not None and not rules.get(schema.PRESERVE):
            yield f"{path}.{name}", f"there is no such field; there are {', '.join(sorted(fields))}"
