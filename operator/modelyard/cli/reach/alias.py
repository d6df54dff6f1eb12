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


def recorded(found: reader.Book, version: str, number: int | None = None) -> str:
    """As `resolve`, as the ledger has the Model's spec after a record, by default the last."""
    if not version.startswith(SIGN):
        return resolved({}, version, "")
    spec = provenance.snapshot(api.Model, found.blob(found.index(found.last if number is None else number).spec))
    return resolved(spec.get("aliases") or {}, version, f"the Model {found.chain.model}, as the ledger has it,")


def resolved(aliases: Mapping[str, str], version: str, whose: str) -> str:
    """As `resolve`, for aliases from anywhere; what an alias points at is said on the way."""
    if not version.startswith(SIGN):
        validation.one(meta.VersionName, version, "the version")
        return version
    name = version.removeprefix(SIGN)
    if name not in aliases:
        there = ", ".join(f"{SIGN}{one}" for one in sorted(aliases)) or "none"
        raise exits.Stop(exits.Code.NOT_FOUND, f"{whose} has no alias {version}; it has {there}")
    found = str(aliases[name])
    validation.one(meta.VersionName, found, f"{version} of {whose}")
    output.say(f"{version} is {found}")
    return found


def of(models: Sequence[Json]) -> dict[tuple[str, str, str], list[str]]:
    """What points at a version, by its namespace, model and name."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for one in models:
        about = one["metadata"]
        for name, version in sorted((one["spec"].get("aliases") or {}).items()):
            found.setdefault((about["namespace"], about["name"], version), []).append(f"{SIGN}{name}")
    return found
