"""`modelyard status`: the current version of each stage, and what each promotion waits for; from the cluster alone."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import Any

from modelyard import api
from modelyard.api import meta, stage
from modelyard.cli.query import listing
from modelyard.cli.reach import alias, cluster
from modelyard.cli.terminal import output, validation
from modelyard.edge.cluster import client

Json = dict[str, Any]


def status(server: cluster.Registry, name: str, asked: str | None, now: datetime.datetime) -> None:
    """Print the stages of a model and its unfinished promotions."""
    form = output.form(asked, output.Form.TABLE, output.Form.JSON, output.Form.YAML)
    validation.check(meta.ModelName, name, "the model")
    model = server.get(client.MODEL, name, "see which there are with `kubectl get models`")
    versions = server.all(client.MODEL_VERSION, fieldSelector=f"spec.model={name}")
    promotions = server.all(client.PROMOTION, fieldSelector=f"spec.model={name}")
    if form is output.Form.TABLE:
        output.write(output.text(sections(model, versions, promotions, now)))
    else:
        output.write(output.document(document(model, versions, promotions), form))


def document(model: Json, versions: Sequence[Json], promotions: Sequence[Json]) -> Json:
    """Return the status as data."""
    return {
        "name": model["metadata"]["name"],
        "namespace": model["metadata"]["namespace"],
        "ready": cluster.ready_of(model),
        "stages": (model.get("status") or {}).get("stages") or [],
        "aliases": [{"alias": name, "version": version, "phase": phase} for name, version, phase in _aliases(model, versions)],
        "waiting": [
            {
                "promotion": promotion["metadata"]["name"],
                "version": promotion["spec"]["version"],
                "stage": promotion["spec"]["stage"],
                "phase": cluster.phase_of(promotion),
                "waitsFor": _waits(promotion),
            }
            for promotion in _open(promotions)
        ],
        "versions": [
            {
                "version": version["spec"]["version"],
                "phase": cluster.phase_of(version),
                "message": cluster.ready_of(version).get("message"),
            }
            for version in _troubled(versions)
        ],
        "ledger": (model.get("status") or {}).get("ledger"),
    }


def sections(model: Json, versions: Sequence[Json], promotions: Sequence[Json], now: datetime.datetime) -> Iterable[tuple[str, Any]]:
    """Yield the sections of the status for people."""
    observed = model.get("status") or {}
    ready = cluster.ready_of(model)
    counts = observed.get("versions") or {}
    summary = f"{counts.get('total', 0)} versions, {counts.get('ready', 0)} ready" if counts else "not looked at yet"
    yield (
        f"{model['metadata']['namespace']}/{model['metadata']['name']}",
        [
            ("Ready", f"{ready.get('status', 'not looked at yet')}  {ready.get('message', '')}".rstrip()),
            ("Versions", summary),
            ("Ledger", _ledger(observed.get("ledger") or {})),
        ],
    )
    yield "Stages", _stages(model, now)
    aliases = [[f"{alias.SIGN}{name}", version, phase or "does not exist"] for name, version, phase in _aliases(model, versions)]
    yield "Aliases", output.columns(["ALIAS", "VERSION", "PHASE"], aliases, colour=output.coloured()) if aliases else ""
    waiting = [
        [
            promotion["metadata"]["name"],
            promotion["spec"]["stage"],
            cluster.phase_of(promotion) or "-",
            _age(promotion, now),
            _waits(promotion),
        ]
        for promotion in _open(promotions)
    ]
    yield "Waiting", output.columns(["PROMOTION", "STAGE", "PHASE", "AGE", "FOR"], waiting, colour=output.coloured()) if waiting else ""
    rows = [
        [version["spec"]["version"], cluster.phase_of(version) or "-", cluster.ready_of(version).get("message") or "-"]
        for version in _troubled(versions)
    ]
    yield "Versions that are not ready", output.columns(["VERSION", "PHASE", "MESSAGE"], rows, colour=output.coloured()) if rows else ""


def _stages(model: Json, now: datetime.datetime) -> str:
    observed = {stage_status["name"]: stage_status for stage_status in (model.get("status") or {}).get("stages") or ()}
    declared = [entry["name"] for entry in model["spec"].get("stages") or ()] or [entry.name for entry in stage.DEFAULT_STAGES]
    frozen = {entry["name"]: entry["frozen"] for entry in model["spec"].get("stages") or () if entry.get("frozen")}
    rows = []
    for name in [*declared, *(undeclared for undeclared in observed if undeclared not in declared)]:
        stage_status = observed.get(name, {})
        serving = stage_status.get("serving") or {}
        running = stage_status.get("promotion") or {}
        notes = [f"{running.get('version', '?')} is on its way ({running.get('name', '?')})"] if running else []
        notes += [f"frozen: {frozen[name].get('reason') or 'no reason is given'}"] if name in frozen else []
        notes += [f"autoPromote rests since a rollback ({stage_status['hold'].get('promotion', '?')})"] if stage_status.get("hold") else []
        notes += [] if name in declared else ["not declared any more"]
        pods = f"{serving.get('available', 0)}/{serving.get('desired', '?')}" if serving else "-"
        since = listing.age(stage_status["since"], now) if stage_status.get("since") else "-"
        rows.append([name, stage_status.get("current") or "-", since, pods, "; ".join(notes) or "-"])
    return output.columns(["STAGE", "VERSION", "SINCE", "PODS", "NOTE"], rows)


def _aliases(model: Json, versions: Sequence[Json]) -> list[tuple[str, str, str | None]]:
    """Return each alias with its version and that version's phase; None where the version does not exist."""
    phases = {version["spec"]["version"]: cluster.phase_of(version) or "Pending" for version in versions}
    return [(name, version, phases.get(version)) for name, version in sorted((model["spec"].get("aliases") or {}).items())]


def _waits(promotion: Json) -> str:
    """Return what a promotion waits for: its unmet gates, else the message of its Ready condition."""
    gates = [gate for gate in (promotion.get("status") or {}).get("gates") or () if not gate.get("passed")]
    return "; ".join(str(gate.get("message", "?")) for gate in gates) or cluster.ready_of(promotion).get("message") or "not looked at yet"


def _open(promotions: Sequence[Json]) -> list[Json]:
    ended = {phase.value for phase in api.Phase if phase.is_terminal}
    unfinished = [promotion for promotion in promotions if cluster.phase_of(promotion) not in ended]
    return sorted(unfinished, key=lambda promotion: str(promotion["metadata"].get("creationTimestamp")))


def _troubled(versions: Sequence[Json]) -> list[Json]:
    fine = {"Ready", "Deprecated", "Retired"}
    return [version for version in listing.ordered(versions) if cluster.phase_of(version) not in fine]


def _ledger(ledger: Json) -> str:
    waiting = len(ledger.get("unrecorded") or ())
    suffix = f"; {waiting} facts wait for it" if waiting else ""
    return (
        f"{ledger['sequence']} records, the last is {ledger.get('head')}{suffix}"
        if ledger.get("sequence")
        else f"nothing is recorded yet{suffix}"
    )


def _age(promotion: Json, now: datetime.datetime) -> str:
    return listing.age(promotion["metadata"]["creationTimestamp"], now)
