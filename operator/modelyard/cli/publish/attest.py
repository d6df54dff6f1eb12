"""`modelyard attest`: add later metrics and evidence to a version. Existing entries never change."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from modelyard import api, edge
from modelyard.api import modelversion
from modelyard.cli.publish import manifest
from modelyard.cli.publish.documents import upload_items
from modelyard.cli.reach import authorship, cluster, model_storage, uploads
from modelyard.cli.terminal import exits, output, validation
from modelyard.edge.cluster import client

Json = dict[str, Any]
_OPTIONS: Final = {"issuedAt": "issued-at"}
"""Field → option, where the names differ."""


@dataclasses.dataclass(frozen=True)
class Typed:
    """The typed options about a version, unparsed."""

    metrics: Sequence[str] = ()
    evidence: pathlib.Path | None = None
    type: str | None = None
    name: str | None = None
    title: str | None = None
    author: str | None = None
    issued_at: str | None = None


def attest(server: cluster.Registry, model: str, version: str, typed: Typed, options: model_storage.Way, asked: str | None) -> None:
    """Add metrics and a piece of evidence, whose file is uploaded first.

    All checks, including a dry run at the API server, come before the first byte is uploaded.

    Raises:
        exits.Stop: with what is wrong; nothing was added.
    """
    form = output.form(asked, output.Form.TABLE, output.Form.JSON, output.Form.YAML, output.Form.NAME)
    metrics, documents = _read(typed)
    version = server.version(model, version)
    obj = server.get(client.MODEL_VERSION, f"{model}-{version}", f"see which there are with `modelyard list {model}`")
    new(obj, metrics, None)
    entry = item = place = None
    if documents:
        model_obj = server.get(client.MODEL, model, "evidence is stored where the Model says: apply it first")
        place = model_storage.of(cluster.parsed(api.Model, model_obj, f"the Model {model}"), options, server)
        [(entry, item)] = upload_items(documents, version, place)
        validation.part(modelversion.Evidence, entry, "the evidence")
    name, added = obj["metadata"]["name"], new(obj, metrics, entry)
    if any(added):
        _add(server, name, model, metrics, entry, dry_run=True)
        if place and item and added[1]:
            _upload(place, item)
        obj = _add(server, name, model, metrics, entry)
    _tell(server, obj, metrics, entry, added)
    cluster.print_object(client.MODEL_VERSION, obj, form)


def new(obj: Json, metrics: Mapping[str, float], entry: Json | None) -> tuple[dict[str, float], Json | None]:
    """Return the metrics and the evidence that the version does not have yet.

    Raises:
        exits.Stop: the version has another value under one of the names.
    """
    name, spec = obj["metadata"]["name"], obj["spec"]
    existing = spec.get("metrics") or {}
    for metric, value in metrics.items():
        if existing.get(metric, value) != value:
            message = f"the metric {metric} of {name} is {output.number(existing[metric])} already, not {output.number(value)}"
            hint = f"what was declared never changes: add it under another name, such as {metric}@DATASET, or register another version"
            raise exits.Stop(exits.Code.NO, f"{message}\n{hint}")
    old = next((document for document in spec.get("evidence") or () if entry and document["name"] == entry["name"]), None)
    if entry and old and (differs := [key for key, value in entry.items() if key != "uri" and old.get(key) != value]):
        other = output.safe(str(old.get(differs[0], "none")))
        message = f"the evidence {entry['name']} of {name} is there already, with another {differs[0]} ({other})"
        raise exits.Stop(exits.Code.NO, f"{message}\nwhat is there never changes: give another --name")
    return {metric: value for metric, value in metrics.items() if metric not in existing}, None if old else entry


def steps(obj: Json, me: str, metrics: Mapping[str, float], entry: Json | None) -> list[Json]:
    """Return the JSON patch that adds them, if the version has not changed; additions of two people both stay.

    Raises:
        exits.Stop: meanwhile the version has another value under one of the names.
    """
    spec, (numbers, document) = obj["spec"], new(obj, metrics, entry)
    # Every change of the spec makes a new generation, so this test covers present and absent entries.
    patch: list[Json] = [{"op": "test", "path": "/metadata/generation", "value": obj["metadata"]["generation"]}]
    if numbers and not spec.get("metrics"):
        patch.append({"op": "add", "path": "/spec/metrics", "value": numbers})
    else:
        patch += [{"op": "add", "path": f"/spec/metrics/{_escaped(name)}", "value": value} for name, value in numbers.items()]
    if document and not spec.get("evidence"):
        patch.append({"op": "add", "path": "/spec/evidence", "value": [document]})
    elif document:
        patch.append({"op": "add", "path": "/spec/evidence/-", "value": document})
    return [*patch, *authorship.steps(obj, me)] if numbers or document else patch


def _escaped(name: str) -> str:
    """Escape a key for a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _read(typed: Typed) -> tuple[dict[str, float], list[manifest.Document]]:
    fields = {"type": typed.type, "name": typed.name, "title": typed.title, "author": typed.author, "issuedAt": typed.issued_at}
    lonely = [_OPTIONS.get(key, key) for key, value in fields.items() if value] if typed.evidence is None else []
    if lonely:
        raise exits.usage(f"--{lonely[0]} tells of a document: add --evidence FILE")
    if not typed.metrics and typed.evidence is None:
        raise exits.usage("give what was found out: --metric auc=0.934, or --evidence FILE --type ValidationReport, or both")
    if typed.evidence is None:
        return manifest.metrics(typed.metrics), []
    if not typed.type:
        raise exits.usage(f"--evidence {typed.evidence}: say what it is with --type, such as ValidationReport")
    document = manifest.document(typed.evidence, {key: value for key, value in fields.items() if value}, "--evidence")
    return manifest.metrics(typed.metrics), [document]


def _add(
    server: cluster.Registry, name: str, model: str, metrics: Mapping[str, float], entry: Json | None, *, dry_run: bool = False
) -> Json:
    takes = (
        f"attesting takes the verb attest on models (resourceName {model}) and patch on modelversions, both of {api.GROUP}, in namespace "
        f"{server.namespace}: the ClusterRole modelyard-publisher has them"
    )
    return server.patch(client.MODEL_VERSION, name, lambda obj, me: steps(obj, me, metrics, entry), takes=takes, dry_run=dry_run)


def _upload(place: model_storage.ModelStorage, item: uploads.Item) -> None:
    try:
        room = place.shelf()
        stored = room.head(item.key)
        room.add(room.missing([item], {item.key: stored} if stored else {}))
    except edge.Unavailable as trouble:
        raise place.explain(trouble) from None


def _tell(
    server: cluster.Registry,
    obj: Json,
    metrics: Mapping[str, float],
    entry: Json | None,
    added: tuple[Mapping[str, float], Json | None],
) -> None:
    name, spec = obj["metadata"]["name"], obj["spec"]
    for metric, value in metrics.items():
        output.say(f"{name}: metric {metric}={output.number(value)} {'added' if metric in added[0] else 'is there already'}")
    if entry:
        outcome = f"added, {entry['uri']}" if added[1] else "is there already"
        output.say(f"{name}: {entry['type']} {entry['name']} {outcome}")
    if not any(added):
        return
    selector = f"spec.model={spec['model']},spec.version={spec['version']}"
    for promotion in server.all(client.PROMOTION, fieldSelector=selector):
        if cluster.phase_of(promotion) == api.Phase.AWAITING_APPROVAL:
            output.say(f"people are asked again for {promotion['metadata']['name']}: they approve a version with its metrics and evidence")
