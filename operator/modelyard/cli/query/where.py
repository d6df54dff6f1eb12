"""`--where`: a small language to choose versions with.

    expression = comparison { "and" comparison }
    comparison = field ( "=" | "==" | "!=" | "<" | "<=" | ">" | ">=" ) literal
    literal    = number | word | "text" | 'text'

    metrics.auc>0.9 and stage!=production and params.max_depth=8

A comparison with what a version does not have is false, whatever the operator. Numbers compare as numbers, versions in
SemVer's order, everything else as text.
"""

from __future__ import annotations

import dataclasses
import decimal
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from modelyard.cli.terminal import exits
from modelyard.plan import semver

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<op>==|!=|<=|>=|=|<|>)
      | (?P<text>"[^"]*"|'[^']*')
      | (?P<word>[^\s=!<>"']+)
    )""",
    re.VERBOSE,
)
_OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_VERSIONS: Final = frozenset({"version", "parent"})
"""Fields that are compared in SemVer's order."""
_LONGEST: Final = 40
"""Characters of a version."""
_ORDERS: Final = frozenset({"<", "<=", ">", ">="})

FIELDS: Final[Mapping[str, str]] = {
    "name": "metadata.name",
    "namespace": "metadata.namespace",
    "created": "metadata.creationTimestamp",
    "model": "spec.model",
    "version": "spec.version",
    "format": "spec.artifact.format",
    "lifecycle": "spec.lifecycle",
    "framework": "spec.training.framework.name",
    "runId": "spec.training.runId",
    "commit": "spec.training.source.commit",
    "seed": "spec.training.seed",
    "phase": "status.phase",
    "digest": "status.artifact.digest",
    "files": "status.artifact.files",
    "bytes": "status.artifact.bytes",
}
"""Field → path in a ModelVersion."""
MAPS: Final[Mapping[str, str]] = {"metrics": "spec.metrics", "params": "spec.training.parameters", "tags": "spec.tags"}
"""Prefix of a key → path: `metrics.auc`."""
LISTS: Final[Mapping[str, tuple[str, str]]] = {
    "stage": ("status.stages", "name"),
    "dataset": ("spec.lineage.datasets", "name"),
    "parent": ("spec.lineage.parents", "version"),
    "evidence": ("spec.evidence", "type"),
}
"""Field → list and key in it: `=` means that an item is equal, `!=` that none is."""


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """One field, operator and literal."""

    field: str
    sign: str
    literal: str

    def holds(self, version: Mapping[str, Any]) -> bool:
        """Whether a ModelVersion object satisfies the comparison."""
        present = values(version, self.field)
        if self.field in LISTS and self.sign == "!=":
            return bool(present) and self.literal not in present
        return any(_compare(value, self.sign, self.literal, version=self.field in _VERSIONS) for value in present)


def parse(text: str) -> Sequence[Comparison]:
    """Parse an expression into comparisons, all of which have to hold.

    Raises:
        exits.Stop: with the place of the syntax error.
    """
    tokens = _tokens(text)
    comparisons = []
    while tokens:
        if len(tokens) < 3 or tokens[0][0] != "word" or tokens[1][0] != "op" or tokens[2][0] == "op":
            excerpt = " ".join(token for _, token in tokens[:3])
            raise exits.usage(f"--where {text!r}: near {excerpt!r}: write comparisons like metrics.auc>0.9, joined by `and`")
        (_, field), (_, sign), (kind, literal) = tokens[:3]
        literal = literal[1:-1] if kind == "text" else literal
        _check_field(field, text)
        _orderly(field, sign, literal, text)
        comparisons.append(Comparison(field, sign, literal))
        tokens = tokens[3:]
        if tokens and (tokens[0] != ("word", "and") or len(tokens) == 1):
            raise exits.usage(f"--where {text!r}: near {tokens[0][1]!r}: comparisons are joined by `and`")
        tokens = tokens[1:]
    if not comparisons:
        raise exits.usage("--where: is empty; write a comparison like metrics.auc>0.9")
    return comparisons


def values(version: Mapping[str, Any], field: str) -> list[Any]:
    """Return a version's values of a field: none, one or several."""
    if field in LISTS:
        path, key = LISTS[field]
        return [entry[key] for entry in _at(version, path) or [] if key in entry]
    if field in FIELDS:
        value = _at(version, FIELDS[field])
        if field == "lifecycle":
            value = value or "Active"
    else:
        name, _, key = field.partition(".")
        value = (_at(version, MAPS[name]) or {}).get(key)
    return [] if value is None else [value]


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise exits.usage(f"--where {text!r}: cannot be understood from {text[at:]!r} on; is a quotation mark missing?")
        tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
        at = match.end()
    return tokens


def _check_field(field: str, text: str) -> None:
    name, dot, key = field.partition(".")
    if field in FIELDS or field in LISTS or (name in MAPS and dot and key):
        return
    names = ", ".join([*(f"{prefix}.KEY" for prefix in MAPS), *sorted({*FIELDS, *LISTS})])
    raise exits.usage(f"--where {text!r}: there is no field {field}; there are {names}")


def _orderly(field: str, sign: str, literal: str, text: str) -> None:
    if field.startswith("metrics.") and _number(literal) is None:
        raise exits.usage(f"--where {text!r}: {field} is a number, and {literal!r} is none")
    if field in _VERSIONS and len(literal) > _LONGEST:
        raise exits.usage(f"--where {text!r}: {field} has at most {_LONGEST} characters")
    if sign in _ORDERS and field in LISTS and field != "parent":
        raise exits.usage(f"--where {text!r}: {field} has no order; compare it with = or !=")


def _compare(value: object, sign: str, literal: str, *, version: bool) -> bool:
    compare = _OPERATORS[sign]
    if version:
        return compare(semver.rank(str(value)), semver.rank(literal))
    left, right = _number(value), _number(literal)
    if left is not None and right is not None:
        return compare(left, right)
    return compare(str(value), literal)


def _number(value: object) -> decimal.Decimal | None:
    """Parse a number with all digits: run numbers and seeds have more than a float holds."""
    if isinstance(value, bool):
        return None
    try:
        number = decimal.Decimal(str(value))
    except decimal.InvalidOperation:
        return None
    return None if number.is_nan() else number


def _at(obj: Mapping[str, Any], path: str) -> Any:
    value: Any = obj
    for part in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value
