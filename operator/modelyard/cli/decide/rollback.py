"""`modelyard rollback`: bring a stage back to a version that has succeeded there, past gates, approvals and freezes."""

from __future__ import annotations

import contextlib
import datetime
from typing import Any

from modelyard.cli.decide import promote
from modelyard.cli.reach import alias, cluster, ledger_source
from modelyard.cli.terminal import exits, output
from modelyard.edge.cluster import client
from modelyard.plan import semver

Json = dict[str, Any]


def rollback(
    server: cluster.Registry,
    model: str,
    stage: str,
    to: str | None,
    now: datetime.datetime,
    *,
    reason: str,
    wait: bool,
    timeout: float,
    asked: str | None,
) -> None:
    """Create a Promotion with `rollback: true`, or find an unfinished one to the same version.

    Raises:
        exits.Stop: there is no version to go back to, the version never succeeded there or is current already, the API server refuses, or
            with `wait` it did not succeed.
    """
    form = output.form(asked, *promote.FORMS)
    model_obj = promote.declared(server, model, stage)
    stage_status: Json = next((status for status in (model_obj.get("status") or {}).get("stages") or () if status["name"] == stage), {})
    promotions = [
        promotion for promotion in server.all(client.PROMOTION, fieldSelector=f"spec.model={model}") if promotion["spec"]["stage"] == stage
    ]
    version = _target(server, model_obj, stage_status, promotions, stage, to)
    server.get(client.MODEL_VERSION, f"{model}-{version}", f"see which there are with `modelyard list {model}`")
    output.say(
        f"{stage} of {model} goes back from {stage_status.get('current') or 'nothing'} to {version}, past gates, approvals and freezes"
    )
    if running := stage_status.get("promotion"):
        output.say(f"it waits until {running.get('name', '?')} has ended, which brings {running.get('version', '?')}")
    if _promotes_itself(model_obj, stage):
        output.say("autoPromote rests there afterwards, until a person promotes")
    if promotion := next((existing for existing in promotions if _is_the_same(existing, version)), None):
        output.say(f"Promotion {promotion['metadata']['name']} exists already and is on its way: {cluster.summary_of(promotion)}")
    else:
        # A name is used only once, even after its Promotion was deleted: the time makes a new one.
        name = f"{model}-{version}-{stage}-rollback-{now:%Y%m%dt%H%M%S}"
        promotion = server.create(promote.made(server.namespace, name, model, version, stage, reason, rollback=True))
        output.say(f"Promotion {name} created in namespace {server.namespace}")
    promote.tell(server, promotion, form, wait=wait, timeout=timeout)


def _target(server: cluster.Registry, model: Json, stage_status: Json, promotions: list[Json], stage: str, to: str | None) -> str:
    """Return the version to go back to."""
    current, previous, running = stage_status.get("current"), stage_status.get("previous"), stage_status.get("promotion")
    version = alias.resolve(model, to) if to else None
    if running and version in {None, current}:
        name, brings = running.get("name", "?"), running.get("version", "?")
        message = f"{stage} is still at {current or 'no version'}, and {name} is bringing {brings}"
        raise exits.Stop(exits.Code.NO, f"{message}\nto stop that, `modelyard abort {name}`; to go further back, say --to VERSION")
    if version is None:
        version = previous
    if version is None:
        others = _succeeded(server, model, promotions, stage) - {current}
        which = f"it has been at {_listed(others)} too: say which with --to" if others else "no other version has succeeded there"
        raise exits.Stop(exits.Code.NO, f"nothing is known to be before {current or 'nothing'} in {stage}; {which}")
    if version == current:
        raise exits.Stop(exits.Code.NO, f"{stage} is at {version} already")
    if version != previous and version not in (successes := _succeeded(server, model, promotions, stage)):
        message = f"{version} never succeeded in {stage}; {_listed(successes - {current})} did"
        raise exits.Stop(exits.Code.NO, f"{message}\npromote it instead: `modelyard promote {model['metadata']['name']} {version} {stage}`")
    return str(version)


def _succeeded(server: cluster.Registry, model: Json, promotions: list[Json], stage: str) -> set[str]:
    """Return the versions that have succeeded in a stage, by their Promotions and, where it can be read, by the ledger."""
    versions = {str(promotion["spec"]["version"]) for promotion in promotions if promote.succeeded(promotion)}
    typed = ledger_source.Typed(server.namespace, server.context)
    with contextlib.suppress(exits.Stop), ledger_source.opened(typed) as opened:
        book = opened.model(model["metadata"]["name"])
        versions |= {*book.index(book.last).succeeded.get(stage, ())}
    return versions


def _listed(versions: set[str]) -> str:
    return ", ".join(sorted(versions, key=semver.rank, reverse=True)) or "no other version"


def _promotes_itself(model: Json, stage: str) -> bool:
    return any(spec_stage["name"] == stage and spec_stage.get("autoPromote") for spec_stage in model["spec"].get("stages") or ())


def _is_the_same(promotion: Json, version: str) -> bool:
    spec = promotion["spec"]
    return spec["version"] == version and bool(spec.get("rollback")) and not promote.has_ended(promotion)
