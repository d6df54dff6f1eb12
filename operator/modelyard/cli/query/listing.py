"""`modelyard list`: versions, the highest first, filtered by an expression and a stage."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.api import meta
from modelyard.cli.query import where
from modelyard.cli.reach import alias, cluster
from modelyard.cli.terminal import exits, output, validation
from modelyard.edge.cluster import client
from modelyard.plan import semver

Json = dict[str, Any]
Pointing = Mapping[tuple[str, str, str], Sequence[str]]
"""Namespace, model and version → its aliases."""


def show(
    server: cluster.Registry,
    model: str | None,
    expression: str | None,
    stage: str | None,
    asked: str | None,
    now: datetime.datetime,
    *,
    everywhere: bool,
) -> None:
    """Print the versions of a model, or of all models, that match an expression and are in a stage.

    Raises:
        exits.Stop: the expression is wrong, or there is no such model.
    """
    form = output.form(asked, output.Form.TABLE, output.Form.JSON, output.Form.YAML, output.Form.NAME)
    if model:
        validation.check(meta.ModelName, model, "the model")
    chosen = where.parse(expression) if expression else ()
    query = {"fieldSelector": f"spec.model={model}"} if model else {}
    candidates = server.all(client.MODEL_VERSION, everywhere=everywhere, **query)
    if model and not candidates and not everywhere:
        server.get(client.MODEL, model, "check its name and --namespace, or leave the name out to see every model's versions")
    versions = ordered(
        version
        for version in candidates
        if all(comparison.holds(version) for comparison in chosen) and (stage is None or stage in where.values(version, "stage"))
    )
    if form is output.Form.NAME:
        output.write("".join(f"modelversion.modelyard.dev/{version['metadata']['name']}\n" for version in versions))
    elif form is not output.Form.TABLE:
        output.write(output.document({"apiVersion": "v1", "kind": "List", "items": versions}, form))
    elif versions:
        output.write(table(versions, now, aliases(server, model, everywhere=everywhere), namespaces=everywhere))
    else:
        some = f"; none of {output.many(len(candidates), 'version')} is as asked" if candidates else ""
        output.say(f"no versions{'' if everywhere else f' in namespace {server.namespace}'}{some}")


def ordered(versions: Any) -> list[Json]:
    """Sort by namespace and model; of each model the highest version first."""
    highest = sorted(versions, key=lambda version: semver.rank(version["spec"]["version"]), reverse=True)
    return sorted(highest, key=lambda version: (version["metadata"]["namespace"], version["spec"]["model"]))


def aliases(server: cluster.Registry, model: str | None, *, everywhere: bool = False) -> Pointing:
    """Return the aliases of each version; none where Models may not be read."""
    with contextlib.suppress(exits.Stop):
        if model and not everywhere:
            obj = server.find(client.MODEL, model)
            return alias.of([obj] if obj else [])
        return alias.of(server.all(client.MODEL, everywhere=everywhere))
    return {}


def of(version: Json) -> tuple[str, str, str]:
    """Return namespace, model and version: the key of its aliases."""
    return version["metadata"]["namespace"], version["spec"]["model"], version["spec"]["version"]


def table(versions: Sequence[Json], now: datetime.datetime, pointing: Pointing, *, namespaces: bool) -> str:
    """Render the table of versions."""
    heads = ["MODEL", "VERSION", "ALIASES", "PHASE", "STAGES", "METRICS", "FORMAT", "SIZE", "AGE"]
    rows = []
    for version in versions:
        spec, status = version["spec"], version.get("status") or {}
        artifact = status.get("artifact") or {}
        row = [
            spec["model"],
            spec["version"],
            ",".join(pointing.get(of(version), ())) or "-",
            status.get("phase") or "-",
            ",".join(sorted(where.values(version, "stage"))) or "-",
            metrics(spec.get("metrics") or {}, 3),
            spec["artifact"]["format"],
            output.size(artifact["bytes"]) if "bytes" in artifact else "-",
            age(version["metadata"]["creationTimestamp"], now),
        ]
        rows.append([version["metadata"]["namespace"], *row] if namespaces else row)
    return output.columns(["NAMESPACE", *heads] if namespaces else heads, rows, colour=output.coloured())


def metrics(values: Json, most: int) -> str:
    """Render the first few metrics: `auc=0.934,recall=0.91,+2`."""
    first = [f"{name}={output.number(value)}" for name, value in list(values.items())[:most]]
    return ",".join([*first, *([f"+{len(values) - most}"] if len(values) > most else [])]) or "-"


def age(moment: str, now: datetime.datetime) -> str:
    """Render an age: `42s`, `7m`, `3h`, `12d`."""
    seconds = max(0, int((now - datetime.datetime.fromisoformat(moment)).total_seconds()))
    for unit, length, until in (("s", 1, 120), ("m", 60, 7200), ("h", 3600, 172_800)):
        if seconds < until:
            return f"{seconds // length}{unit}"
    return f"{seconds // 86_400}d"
