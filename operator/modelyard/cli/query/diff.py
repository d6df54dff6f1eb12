"""`modelyard diff`: print the differences between two versions of a model."""

from __future__ import annotations

from typing import Any

from modelyard import api
from modelyard.audit import provenance
from modelyard.audit.diff import of
from modelyard.cli.reach import alias, cluster, ledger_source
from modelyard.cli.terminal import exits, output
from modelyard.content import manifest
from modelyard.edge.cluster import client
from modelyard.ledger import index

Json = dict[str, Any]
_TITLES = {
    "parameters": "Parameters",
    "metrics": "Metrics",
    "training": "Training",
    "datasets": "Data",
    "artifact": "Artifact",
    "evidence": "Evidence",
    "files": "Files",
}


def diff(typed: ledger_source.Typed, model: str, before: str, after: str, asked: str | None) -> None:
    """Print the differences, also of files where the ledger can be read.

    Raises:
        exits.Stop: one of the versions does not exist.
    """
    form = output.form(asked, output.Form.TABLE, output.Form.JSON, output.Form.YAML)
    try:
        (before, after), specs, files = _from_ledger(typed, model, before, after)
    except exits.Stop as stop:
        if typed.folder or typed.bucket or stop.code is exits.Code.NOT_FOUND:
            raise
        (before, after), specs = _from_cluster(typed, model, before, after)
        files = (None, None)
        output.say(f"files are not compared, as the ledger cannot be read: {stop.message.splitlines()[0]}")
    differences = of(*specs, files)
    if form is not output.Form.TABLE:
        output.write(output.document({"model": model, "before": before, "after": after, **differences}, form))
        return
    sections = [(title, _table(differences[name] or [], before, after)) for name, title in _TITLES.items()]
    output.write(output.text(sections) if any(rows for _, rows in sections) else "")
    if differences["files"] is None:
        output.say("files are not compared: the list of one of the versions is not known")
    elif not any(differences.values()):
        output.say(f"{before} and {after} do not differ")


def _table(rows: list[Json], before: str, after: str) -> str:
    if not rows:
        return ""
    change = "change" in rows[0]
    heads = ["NAME", before, after, *(["CHANGE"] if change else [])]
    return output.columns(
        heads, [[row["name"], _shown(row["before"]), _shown(row["after"]), *([_change(row)] if change else [])] for row in rows]
    )


def _shown(value: Any) -> str:
    match value:
        case None:
            return "-"
        case {"sha256": sha256, "bytes": size}:
            return f"{sha256[:12]}…, {output.size(size)}"
        case bool() | str():
            return str(value)
        case int() | float():
            return output.number(value)
        case _:
            return str(value)


def _change(row: Json) -> str:
    return "-" if row["change"] is None else f"{row['change']:+.6g}"


def _from_ledger(
    typed: ledger_source.Typed, model: str, before: str, after: str
) -> tuple[tuple[str, str], tuple[Json, Json], tuple[manifest.Manifest | None, manifest.Manifest | None]]:
    with ledger_source.opened(typed) as opened:
        book = opened.model(model)
        before, after = (alias.recorded(book, name) for name in (before, after))
        folded = book.index(book.last)
        entries = [_version(folded, model, name) for name in (before, after)]
        specs = [provenance.snapshot(api.ModelVersion, book.blob(entry.spec)) for entry in entries]
        files = [_manifest(book.blob(entry.manifest)) for entry in entries]
        for warning in opened.warnings(book, watched=False):
            output.say(warning)
    return (before, after), (specs[0], specs[1]), (files[0], files[1])


def _version(folded: index.Index, model: str, name: str) -> index.Version:
    if name not in folded.versions:
        existing = ", ".join(folded.versions) or "none"
        raise exits.Stop(exits.Code.NOT_FOUND, f"the ledger knows no version {name} of {model}; it knows {existing}")
    return folded.versions[name]


def _manifest(data: bytes | None) -> manifest.Manifest | None:
    try:
        return manifest.read_manifest(data) if data is not None else None
    except ValueError:
        return None


def _from_cluster(typed: ledger_source.Typed, model: str, before: str, after: str) -> tuple[tuple[str, str], tuple[Json, Json]]:
    server = cluster.Registry(typed.context, typed.namespace)
    before, after = (server.version(model, name) for name in (before, after))
    hint = f"see which there are with `modelyard list {model}`"
    first, second = (server.get(client.MODEL_VERSION, f"{model}-{name}", hint)["spec"] for name in (before, after))
    return (before, after), (first, second)
