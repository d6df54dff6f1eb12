"""`modelyard push`: hash, upload without overwriting anything, and write or apply the ModelVersion's manifest.

All checks come before the first byte is uploaded: the typed options, the files, the stored objects and, with --apply,
a dry run at the API server.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, Final

from modelyard import api, edge
from modelyard.cli.publish import documents, manifest
from modelyard.cli.reach import alias, cluster, local_files, model_storage, uploads
from modelyard.cli.terminal import exits, output
from modelyard.content import location
from modelyard.edge.cluster import client

Json = dict[str, Any]

_BAD: Final = frozenset({"Failed", "Quarantined", "Reused", "Retired"})
_GOOD: Final = frozenset({"Ready", "Deprecated"})


@dataclasses.dataclass(frozen=True)
class Way:
    """The options of a push: where to, as whom, and what to do with the manifest."""

    namespace: str | None
    context: str | None
    model_file: pathlib.Path | None
    to: model_storage.Way
    apply: bool
    wait: bool
    timeout: float
    write: pathlib.Path | None
    output: str | None


def push(source: pathlib.Path, typed: manifest.Typed, options: Way) -> None:
    """Push one version.

    Raises:
        exits.Stop: with what is wrong; nothing was uploaded, or the uploaded files are not registered yet.
    """
    form = output.form(options.output, output.Form.YAML, output.Form.JSON)
    _consistent(options)
    files = local_files.find(source)
    described = manifest.spec(typed, [file.path for file in files])
    listed = manifest.documents(typed)
    server = cluster.Registry(options.context, options.namespace)
    model, namespace = _model(typed.model, options, server)
    target = model_storage.of(model, options.to, None if options.model_file else server)
    for parent in described.get("lineage", {}).get("parents", ()):
        if parent["version"].startswith(alias.SIGN):
            parent["version"] = alias.resolved(model.spec.aliases or {}, parent["version"], f"the Model {typed.model}")
    artifact = local_files.read(files)
    papers = documents.upload_items(listed, typed.version, target)
    folder = target.below(typed.version)
    uri = str(folder) if source.is_dir() else f"{folder}{files[0].path}"
    evidence = [entry for entry, _ in papers]
    made = manifest.version(described, namespace, uri, artifact.digest, evidence)
    if options.apply:
        server.apply(made, dry_run=True)
    output.say(f"{artifact.digest}  {output.many(len(files), 'file')}, {output.size(artifact.bytes)}")
    items = [uploads.Item(f"{folder.key}{file.path}", file, artifact.hashes[file.path]) for file in files]
    try:
        _upload(target, folder, items, [item for _, item in papers])
    except edge.Unavailable as trouble:
        raise target.explain(trouble) from None
    _hand_over(made, options, form, server)


def _consistent(options: Way) -> None:
    if options.wait and not options.apply:
        raise exits.usage("--wait needs --apply: only an applied version becomes Ready")
    if options.model_file and (options.apply or options.to.credentials_from_cluster):
        raise exits.usage(
            "--model-file is for machines without a cluster: leave out --apply and --credentials-from-cluster, or --model-file"
        )
    if options.write and not options.write.absolute().parent.is_dir():
        raise exits.usage(f"--write {options.write}: there is no folder {options.write.parent}; make it")


def _model(name: str, options: Way, server: cluster.Registry) -> tuple[api.Model, str | None]:
    """Return the Model, from a file or the cluster, and the namespace for the manifest."""
    if options.model_file:
        model = _model_of(options.model_file, name)
        return model, options.namespace or model.metadata.namespace or None
    hint = "apply it first, or check --model and --namespace; where there is no cluster, give the Model as --model-file"
    return cluster.parsed(api.Model, server.get(client.MODEL, name, hint), f"the Model {name}"), server.namespace


def _model_of(path: pathlib.Path, name: str) -> api.Model:
    """Return the Model of that name from a file, which may hold several documents."""
    import yaml  # noqa: PLC0415

    from modelyard.cli.terminal import validation  # noqa: PLC0415

    loaded = validation.loaded(path, lambda text: list(yaml.safe_load_all(text)))
    models = [obj for obj in loaded if isinstance(obj, dict) and obj.get("kind") == "Model"]
    names = [str((obj.get("metadata") or {}).get("name")) for obj in models]
    if name not in names:
        raise exits.Stop(exits.Code.NOT_FOUND, f"{path}: has no Model {name}; it has {', '.join(names) or 'none'}")
    chosen = models[names.index(name)]
    validation.whole(api.Model, chosen, f"{path}, Model {name}")
    return cluster.parsed(api.Model, chosen, f"{path}, Model {name}", exits.Code.USAGE)


def _upload(
    target: model_storage.ModelStorage, folder: location.Place, items: Sequence[uploads.Item], papers: Sequence[uploads.Item]
) -> None:
    room = target.shelf()
    stored = {obj.key: obj for obj in room.below(folder.key)}
    if foreign := sorted(stored.keys() - {item.key for item in items}):
        raise exits.Stop(
            exits.Code.NO,
            f"{folder} holds {output.many(len(foreign), 'object')} that this push has not, such as {foreign[0].removeprefix(folder.key)!r}: "
            "a version is exactly what was pushed.\nPush it as another version, or, if no version was registered with them, delete them",
        )
    stored |= {paper.key: obj for paper in papers if (obj := room.head(paper.key))}
    todo = room.missing([*items, *papers], stored)
    room.add(todo)
    skipped = len(items) + len(papers) - len(todo)
    before = f"; {skipped:,} were there already, byte for byte" if skipped else ""
    output.say(f"{output.many(len(todo), 'file')} uploaded to {folder} ({target.address}){before}")


def _hand_over(made: Json, options: Way, form: output.Form, server: cluster.Registry) -> None:
    name = made["metadata"]["name"]
    if options.write:
        file_form = output.Form.JSON if options.write.suffix == ".json" else output.Form.YAML
        try:
            options.write.write_text(output.document(made, file_form), encoding="utf-8")
        except OSError as error:
            raise exits.usage(
                f"--write {options.write}: {error.strerror or type(error).__name__}; the upload is done, push again to write it"
            ) from error
        output.say(f"manifest written to {options.write}")
    if options.apply:
        shown = server.apply(made)
        output.say(f"ModelVersion {name} applied in namespace {server.namespace}")
        if options.wait:
            shown = server.follow(client.MODEL_VERSION, name, options.timeout, _has_ended)
        if options.output:
            output.write(output.document(cluster.tidy(shown), form))
        if options.wait and cluster.phase_of(shown) not in _GOOD:
            raise exits.Stop(exits.Code.NO, f"ModelVersion {name} is not Ready: {cluster.summary_of(shown)}")
    elif not options.write or options.output:
        output.write(output.document(made, form))


def _has_ended(version: Json) -> bool:
    return cluster.phase_of(version) in _GOOD | _BAD
