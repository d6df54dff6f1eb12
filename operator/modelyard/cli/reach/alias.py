"""Names that point at versions: `@champion`, wherever a version is typed, is the version that the Model's spec.aliases has for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from modelyard import api
from modelyard.api import meta
from modelyard.audit import provenance
from modelyard.cli.terminal import exits, output, validation
from modelyard.ledger import reader

Json = dict[str, Any]

SIGN: Final = "@"
"""No version begins with it, so nothing else can be meant."""


def resolve(model: Json, version: str) -> str:
    """The version that was typed, or that the Model's alias points at.

    Raises:
        outcome.Stop: it is no version, or the Model has no such alias.
    """
    return resolved(model["spec"].get("aliases") or {}, version, f"the Model {model['metadata']['name']}")


def recorded(book: reader.Book, version: str, number: int | None = None) -> str:
    """As `resolve`, as the ledger has the Model's spec after a record, by default the last."""
    if not version.startswith(SIGN):
        return resolved({}, version, "")
    spec = provenance.snapshot(api.Model, book.blob(book.index(book.last if number is None else number).spec))
    return resolved(spec.get("aliases") or {}, version, f"the Model {book.chain.model}, as the ledger has it,")


def resolved(aliases: Mapping[str, str], version: str, whose: str) -> str:
    """As `resolve`, for aliases from anywhere; what an alias points at is said on the way."""
    if not version.startswith(SIGN):
        validation.check(meta.VersionName, version, "the version")
        return version
    name = version.removeprefix(SIGN)
    if name not in aliases:
        existing = ", ".join(f"{SIGN}{alias_name}" for alias_name in sorted(aliases)) or "none"
        raise exits.Stop(exits.Code.NOT_FOUND, f"{whose} has no alias {version}; it has {existing}")
    target = str(aliases[name])
    validation.check(meta.VersionName, target, f"{version} of {whose}")
    output.say(f"{version} is {target}")
    return target


def of(models: Sequence[Json]) -> dict[tuple[str, str, str], list[str]]:
    """What points at a version, by its namespace, model and name."""
    pointing: dict[tuple[str, str, str], list[str]] = {}
    for model in models:
        metadata = model["metadata"]
        for name, version in sorted((model["spec"].get("aliases") or {}).items()):
            pointing.setdefault((metadata["namespace"], metadata["name"], version), []).append(f"{SIGN}{name}")
    return pointing
