"""`modelyard retire` and `modelyard deprecate`: print the consequences, then set spec.lifecycle as the user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from modelyard import api
from modelyard.api import meta
from modelyard.cli.decide import promote
from modelyard.cli.reach import authorship, cluster
from modelyard.cli.terminal import exits, output, validation
from modelyard.edge.cluster import client
from modelyard.plan.model import retirement
from modelyard.plan.modelversion import lifecycle
from modelyard.plan.observed import world

Json = dict[str, Any]


def deprecate(server: cluster.Registry, model: str, version: str, *, reason: str | None, undo: bool, asked: str | None) -> None:
    """Deprecate a version: no new promotions; what serves continues to serve. With `undo` make it Active again.

    Raises:
        exits.Stop: there is no such version, it is Retired, or the API server refuses.
    """
    form = output.form(asked, *_FORMS)
    obj = _version(server, model, version)
    version = str(obj["spec"]["version"])
    if obj["spec"].get("lifecycle") == "Retired":
        raise exits.Stop(exits.Code.NO, f"the ModelVersion {model}-{version} is Retired, which is final")
    runs = _runs(obj)
    if not undo:
        output.say(f"nothing new of {model} {version} will be promoted" + (f"; it goes on where it is in use ({runs})" if runs else ""))
    _write(server, client.MODEL_VERSION, obj, "Active" if undo else "Deprecated", reason, form)


def retire(server: cluster.Registry, model: str, version: str | None, *, reason: str | None, yes: bool, asked: str | None) -> None:
    """Retire a version that nothing runs, or a Model with everything that it serves; without `yes` only print the consequences.

    Raises:
        exits.Stop: there is no such object, something still runs the version, `yes` is missing, or the API server refuses.
    """
    form = output.form(asked, *_FORMS)
    if version is None:
        validation.check(meta.ModelName, model, "the model")
        kind, obj = client.MODEL, server.get(client.MODEL, model, "check its name and --namespace")
    else:
        kind, obj = client.MODEL_VERSION, _version(server, model, version)
    name = obj["metadata"]["name"]
    if obj["spec"].get("lifecycle") == "Retired":
        output.say(f"the {kind.name} {name} is to be Retired already: {cluster.summary_of(obj)}")
        cluster.print_object(kind, obj, form)
        return
    for line in list(_of_model(server, obj)) if kind is client.MODEL else _of_version(obj):
        output.say(line)
    if not yes:
        raise exits.usage(f"nothing was done: Retired is final; to retire the {kind.name} {name}, add --yes")
    _write(server, kind, obj, "Retired", reason, form)


_FORMS = (output.Form.TABLE, output.Form.JSON, output.Form.YAML, output.Form.NAME)


def _version(server: cluster.Registry, model: str, version: str) -> Json:
    version = server.version(model, version)
    return server.get(client.MODEL_VERSION, f"{model}-{version}", f"see which there are with `modelyard list {model}`")


def _runs(version: Json) -> str:
    """Describe what runs a version; empty when nothing does."""
    return lifecycle.where(cluster.parsed(api.ModelVersion, version, f"the ModelVersion {version['metadata']['name']}"))


def _of_version(obj: Json) -> Sequence[str]:
    """Return the consequences of retiring a version.

    Raises:
        exits.Stop: something runs it. The operator would wait; the user can act on the message now.
    """
    model, version = obj["spec"]["model"], obj["spec"]["version"]
    if not (runs := _runs(obj)):
        return (
            f"nothing will promote {model} {version} again, and its bytes are not looked at any more",
            f"`modelyard gc {model}` then lists what can be deleted",
        )
    stages = ", ".join(claim["name"] for claim in obj["status"]["stages"])
    hint = f"promote another version to {stages} first (`modelyard promote {model} VERSION STAGE`), or retire the whole Model"
    raise exits.Stop(exits.Code.NO, f"the ModelVersion {model}-{version} is in use: {runs}\n{hint} (`modelyard retire {model}`)")


def _of_model(server: cluster.Registry, obj: Json) -> Iterator[str]:
    """Yield the consequences of retiring a Model, in order."""
    model = obj["metadata"]["name"]
    subject = cluster.parsed(api.Model, obj, f"the Model {model}")
    promotions = server.all(client.PROMOTION, fieldSelector=f"spec.model={model}")
    unfinished = sorted(promotion["metadata"]["name"] for promotion in promotions if not promote.has_ended(promotion))
    if unfinished:
        yield f"{output.many(len(unfinished), 'unfinished promotion')} will be Aborted: {', '.join(unfinished)}"
    for stage in _order(subject):
        yield f"{stage.name} will be taken down; it is at {stage.current}" + (
            f", served by {stage.serving.deployment}" if stage.serving and stage.serving.deployment else ""
        )
    yield f"nothing of {model} will be promoted again"


def _order(model: api.Model) -> Sequence[Any]:
    stages = {status.name: status for status in model.status.stages or [] if status.current}
    observed = world.World(model.metadata.namespace, model.metadata.name, model, {}, (), {})
    return [stages[name] for name in retirement.order(observed, list(stages))]


def steps(obj: Json, me: str, looked_at: str, lifecycle_: str, reason: str | None) -> list[Json]:
    """Return the JSON patch that sets the lifecycle, if the object has not changed since it was read.

    Raises:
        exits.Stop: it has changed.
    """
    if obj["metadata"]["resourceVersion"] != looked_at:
        raise exits.Stop(exits.Code.NO, f"{obj['metadata']['name']} has changed meanwhile: look again, and decide again")
    patch: list[Json] = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": looked_at},
        {"op": "add", "path": "/spec/lifecycle", "value": lifecycle_},
    ]
    if reason is not None:
        patch.append({"op": "add", "path": "/spec/lifecycleReason", "value": reason})
    elif lifecycle_ == "Active" and "lifecycleReason" in obj["spec"]:
        patch.append({"op": "remove", "path": "/spec/lifecycleReason"})  # the previous reason no longer applies
    return [*patch, *authorship.steps(obj, me)]


def _write(server: cluster.Registry, kind: client.Kind, obj: Json, lifecycle_: str, reason: str | None, form: output.Form) -> None:
    """Set the lifecycle on the object that was read."""
    about = obj["metadata"]
    shown = server.patch(kind, about["name"], lambda current, me: steps(current, me, about["resourceVersion"], lifecycle_, reason))
    output.say(f"{kind.name} {about['name']} in namespace {server.namespace}: lifecycle {lifecycle_}")
    if not cluster.print_object(kind, shown, form) and lifecycle_ == "Retired" and kind is client.MODEL:
        output.say(f"follow it with `kubectl get model {about['name']} --namespace {server.namespace} --watch`")
