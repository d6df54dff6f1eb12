"""`modelyard status`: what stands where, and what waits for whom; from the cluster alone."""

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
    """Print the stages of a model, and what is on its way."""
    form = output.form(asked, output.Form.TABLE, output.Form.JSON, output.Form.YAML)
    validation.one(meta.ModelName, name, "the model")
    found = server.get(client.MODEL, name, "see which there are with `kubectl get models`")
    versions = server.all(client.MODEL_VERSION, fieldSelector=f"spec.model={name}")
    promotions = server.all(client.PROMOTION, fieldSelector=f"spec.model={name}")
    if form is output.Form.TABLE:
        output.write(output.text(sections(found, versions, promotions, now)))
    else:
        output.write(output.document(document(found, versions, promotions), form))


def document(model: Json, versions: Sequence[Json], promotions: Sequence[Json]) -> Json:
    """All of it as data."""
    return {
        "name": model["metadata"]["name"],
        "namespace": model["metadata"]["namespace"],
        "ready": cluster.ready_of(model),
        "stages": (model.get("status") or {}).get("stages") or [],
        "aliases": [{"alias": name, "version": version, "phase": phase} for name, version, phase in _aliases(model, versions)],
        "waiting": [
            {
                "promotion": one["metadata"]["name"],
                "version": one["spec"]["version"],
                "stage": one["spec"]["stage"],
                "phase": cluster.phase_of(one),
                "waitsFor": _waits(one),
            }
            for one in _open(promotions)
        ],
        "versions": [
            {
                "version": one["spec"]["version"],
                "phase": cluster.phase_of(one),
                "message": cluster.ready_of(one).get("message"),
            }
            for one in _troubled(versions)
        ],
        "ledger": (model.get("status") or {}).get("ledger"),
    }


def sections(model: Json, versions: Sequence[Json], promotions: Sequence[Json], now: datetime.datetime) -> Iterable[tuple[str, Any]]:
    """All of it for people."""
    said = model.get("status") or {}
    ready = cluster.ready_of(model)
    counts = said.get("versions") or {}
    known = f"{counts.get('total', 0)} versions, {counts.get('ready', 0)} ready" if counts else "not looked at yet"
    yield (
        f"{model['metadata']['namespace']}/{model['metadata']['name']}",
        [
            ("Ready", f"{ready.get('status', 'not looked at yet')}  {ready.get('message', '')}".rstrip()),
            ("Versions", known),
            ("Ledger", _ledger(said.get("ledger") or {})),
        ],
    )
    yield "Stages", _stages(model, now)
    aliases = [[f"{alias.SIGN}{name}", version, phase or "does not exist"] for name, version, phase in _aliases(model, versions)]
    yield "Aliases", output.columns(["ALIAS", "VERSION", "PHASE"], aliases, colour=output.coloured()) if aliases else ""
    waiting = [
        [one["metadata"]["name"], one["spec"]["stage"], cluster.phase_of(one) or "-", _age(one, now), _waits(one)]
        for one in _open(promotions)
    ]
    yield "Waiting", output.columns(["PROMOTION", "STAGE", "PHASE", "AGE", "FOR"], waiting, colour=output.coloured()) if waiting else ""
    rows = [
        [one["spec"]["version"], cluster.phase_of(one) or "-", cluster.ready_of(one).get("message") or "-"] for one in _troubled(versions)
    ]
    yield "Versions that are not ready", output.columns(["VERSION", "PHASE", "MESSAGE"], rows, colour=output.coloured()) if rows else ""


def _stages(model: Json, now: datetime.datetime) -> str:
    there = {one["name"]: one for one in (model.get("status") or {}).get("stages") or ()}
    declared = [one["name"] for one in model["spec"].get("stages") or ()] or [one.name for one in stage.DEFAULT_STAGES]
    frozen = {one["name"]: one["frozen"] for one in model["spec"].get("stages") or () if one.get("frozen")}
    rows = []
    for name in [*declared, *(one for one in there if one not in declared)]:
        one = there.get(name, {})
        serving = one.get("serving") or {}
        held = one.get("promotion") or {}
        notes = [f"{held.get('version', '?')} is on its way ({held.get('name', '?')})"] if held else []
        notes += [f"frozen: {frozen[name].get('reason') or 'no reason is given'}"] if name in frozen else []
        notes += [f"autoPromote rests since a rollback ({one['hold'].get('promotion', '?')})"] if one.get("hold") else []
        notes += [] if name in declared else ["not declared any more"]
        pods = f"{serving.get('available', 0)}/{serving.get('desired', '?')}" if serving else "-"
        since = listing.age(one["since"], now) if one.get("since") else "-"
        rows.append([name, one.get("current") or "-", since, pods, "; ".join(notes) or "-"])
    return output.columns(["STAGE", "VERSION", "SINCE", "PODS", "NOTE"], rows)


def _aliases(model: Json, versions: Sequence[Json]) -> list[tuple[str, str, str | None]]:
    """Each alias with its version and the phase of that; None where there is no such version."""
    phases = {one["spec"]["version"]: cluster.phase_of(one) or "Pending" for one in versions}
    return [(name, version, phases.get(version)) for name, version in sorted((model["spec"].get("aliases") or {}).items())]


def _waits(promotion: Json) -> str:
    """For whom or what a promotion waits: the gates that do not hold, else what its Ready condition says."""
    gates = [one for one in (promotion.get("status") or {}).get("gates") or () if not one.get("passed")]
    return "; ".join(str(one.get("message", "?")) for one in gates) or cluster.ready_of(promotion).get("message") or "not looked at yet"


def _open(promotions: Sequence[Json]) -> list[Json]:
    ended = {phase.value for phase in api.Phase if phase.is_terminal}
    found = [one for one in promotions if cluster.phase_of(one) not in ended]
    return sorted(found, key=lambda one: str(one["metadata"].get("creationTimestamp")))


def _troubled(versions: Sequence[Json]) -> list[Json]:
    fine = {"Ready", "Deprecated", "Retired"}
    return [one for one in listing.ordered(versions) if cluster.phase_of(one) not in fine]


def _ledger(said: Json) -> str:
    waits = len(said.get("unrecorded") or ())
    more = f"; {waits} facts wait for it" if waits else ""
    return f"{said['sequence']} records, the last is {said.get('head')}{more}" if said.get("sequence") else f"nothing is recorded yet{more}"


def _age(one: Json, now: datetime.datetime) -> str:
    return listing.age(one["metadata"]["creationTimestamp"], now)
