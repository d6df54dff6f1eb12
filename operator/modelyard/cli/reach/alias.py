"""Aliases of versions: wherever a version is typed, `@champion` means the version in the Model's spec.aliases."""

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
"""No version begins with it, so an alias is unambiguous."""


def resolve(model: Json, version: str) -> str:
    """Return the typed version, or the version of the Model's alias.

    Raises:
        exits.Stop: the text is no version, or the Model has no such alias.
    """
    return resolved(model["spec"].get("aliases") or {}, version, f"the Model {model['metadata']['name']}")


def recorded(book: reader.ChainReader, version: str, number: int | None = None) -> str:
    """Resolve against the Model's spec in the ledger after a record, by default the last."""
    if not version.startswith(SIGN):
        return resolved({}, version, "")
    spec = provenance.snapshot(api.Model, book.blob(book.index(book.last if number is None else number).spec))
    return resolved(spec.get("aliases") or {}, version, f"the Model {book.chain.model}, as the ledger has it,")


def resolved(aliases: Mapping[str, str], version: str, whose: str) -> str:
    """Resolve against any mapping of aliases, and print the version of an alias."""
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
    """Return the aliases of each version, by namespace, model and version."""
    pointing: dict[tuple[str, str, str], list[str]] = {}
    for model in models:
        metadata = model["metadata"]
        for name, version in sorted((model["spec"].get("aliases") or {}).items()):
            pointing.setdefault((metadata["namespace"], metadata["name"], version), []).append(f"{SIGN}{name}")
    return pointing
