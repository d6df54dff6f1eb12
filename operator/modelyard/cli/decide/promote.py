"""`modelyard promote`: request a version's promotion to a stage, and follow it."""

from __future__ import annotations

import itertools
from typing import Any, Final

from modelyard import api
from modelyard.api import meta
from modelyard.api.stage import DEFAULT_STAGES
from modelyard.cli.reach import alias, cluster
from modelyard.cli.terminal import exits, output, validation
from modelyard.edge.cluster import client

Json = dict[str, Any]

FORMS: Final = (output.Form.TABLE, output.Form.JSON, output.Form.YAML, output.Form.NAME)


def promote(
    server: cluster.Registry,
    model: str,
    version: str,
    stage: str,
    *,
    reason: str | None,
    name: str | None,
    wait: bool,
    timeout: float,
    asked: str | None,
) -> None:
    """Create the Promotion, or find the same one unfinished.

    Raises:
        exits.Stop: the Model, stage or version is missing, the API server refuses, another Promotion has the name, or with `wait` it did not succeed.
    """
    form = output.form(asked, *FORMS)
    version = alias.resolve(declared(server, model, stage), version)
    server.get(client.MODEL_VERSION, f"{model}-{version}", f"see which there are with `modelyard list {model}`")
    wanted = made(server.namespace, name or f"{model}-{version}-{stage}", model, version, stage, reason)
    name = wanted["metadata"]["name"]
    promotion = server.find(client.PROMOTION, name)
    if promotion is None:
        promotion = server.create(wanted)
        output.say(f"Promotion {name} created in namespace {server.namespace}")
    else:
        _same(promotion, wanted, server)
        output.say(f"Promotion {name} exists already and is on its way")
    tell(server, promotion, form, wait=wait, timeout=timeout)


def declared(server: cluster.Registry, model: str, stage: str) -> Json:
    """Return the Model, which has to exist and have the stage: a typed command, unlike Git, does not wait for missing objects.

    Raises:
        exits.Stop: the Model does not exist, or has no such stage.
    """
    validation.check(meta.ModelName, model, "the model")
    validation.check(meta.StageName, stage, "the stage")
    model_obj = server.get(client.MODEL, model, "check its name and --namespace")
    names = [entry["name"] for entry in model_obj["spec"].get("stages") or ()] or [default.name for default in DEFAULT_STAGES]
    if stage not in names:
        raise exits.Stop(exits.Code.NOT_FOUND, f"the Model {model} has no stage {stage}; it has {', '.join(names)}")
    return model_obj


def made(namespace: str, name: str, model: str, version: str, stage: str, reason: str | None, *, rollback: bool = False) -> Json:
    """Build the Promotion."""
    spec = {"model": model, "version": version, "stage": stage}
    obj: Json = {
        "apiVersion": api.API_VERSION,
        "kind": "Promotion",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec | ({"reason": reason} if reason else {}) | ({"rollback": True} if rollback else {}),
    }
    validation.check(meta.ObjectName, name, "--name")
    validation.whole(api.Promotion, obj, "what was typed makes no valid Promotion")
    return obj


def tell(server: cluster.Registry, promotion: Json, form: output.Form, *, wait: bool, timeout: float) -> None:
    """Print an unfinished Promotion; with `wait`, wait for its end first.

    Raises:
        exits.Stop: with `wait`, it did not succeed, or not in time.
    """
    name = promotion["metadata"]["name"]
    if wait:
        promotion = server.follow(client.PROMOTION, name, timeout, has_ended)
    if not cluster.print_object(client.PROMOTION, promotion, form) and not wait:
        output.say(f"follow it with `kubectl get promotion {name} --namespace {server.namespace} --watch`")
    if wait and not succeeded(promotion):
        raise exits.Stop(exits.Code.NO, f"Promotion {name} did not succeed: {cluster.summary_of(promotion)}")


def succeeded(promotion: Json) -> bool:
    """Whether its version is the stage's current version, or was until a later promotion."""
    conditions = {condition["type"]: condition["status"] for condition in (promotion.get("status") or {}).get("conditions") or []}
    phase = cluster.phase_of(promotion)
    return phase == api.Phase.SUCCEEDED or (phase == api.Phase.SUPERSEDED and conditions.get("Succeeded") == "True")


def _same(existing: Json, wanted: Json, server: cluster.Registry) -> None:
    """Stop unless the existing Promotion is the wanted one and unfinished: a Promotion's name is used once."""
    name = wanted["metadata"]["name"]
    other = [field for field in ("model", "version", "stage", "reason", "rollback") if _field(existing, field) != _field(wanted, field)]
    if other:
        why = output.safe(f"with another {other[0]} ({_field(existing, other[0]) or 'none'})")
    elif has_ended(existing):
        why = f"and has ended: {cluster.summary_of(existing)}"
    else:
        return
    free = next(suffix for suffix in itertools.count(2) if server.find(client.PROMOTION, f"{name}-{suffix}") is None)
    message = f"a Promotion {name} exists already, {why}\na name runs once for ever; to ask again, give --name {name}-{free}"
    raise exits.Stop(exits.Code.NO, message)


def _field(promotion: Json, name: str) -> object:
    return promotion["spec"].get(name) or None


def has_ended(promotion: Json) -> bool:
    """Whether its phase is terminal."""
    return cluster.phase_of(promotion) in {phase.value for phase in api.Phase if phase.is_terminal}
