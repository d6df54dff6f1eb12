"""`modelyard show`: print everything about one version, or one model, for people."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from modelyard.api import meta
from modelyard.cli.query import listing
from modelyard.cli.reach import alias, cluster
from modelyard.cli.terminal import output, validation
from modelyard.edge.cluster import client

Json = dict[str, Any]
Rows = Sequence[tuple[str, str]]


def show(server: cluster.Registry, name: str, version: str | None, asked: str | None, now: datetime.datetime) -> None:
    """Print a version (`fraud 1.4.0` or `fraud-1.4.0`), or a model (`fraud`).

    Raises:
        exits.Stop: there is neither.
    """
    form = output.form(asked, output.Form.TABLE, output.Form.JSON, output.Form.YAML, output.Form.NAME)
    validation.check(meta.ObjectName, name, "the name")
    version = server.version(name, version) if version else None
    obj = None if version else server.find(client.MODEL, name)
    kind = client.MODEL if obj else client.MODEL_VERSION
    whole = f"{name}-{version}" if version else name
    hint = f"see which there are with `modelyard list{f' {name}' if version else ''}`"
    obj = server.get(kind, whole, hint if version else f"and no Model either; {hint}")
    if cluster.print_object(kind, obj, form):
        return
    if kind is client.MODEL:
        output.write(output.text(model(obj, server.all(client.MODEL_VERSION, fieldSelector=f"spec.model={name}"), now)))
    else:
        selector = f"spec.model={obj['spec']['model']},spec.version={obj['spec']['version']}"
        aliases = listing.aliases(server, obj["spec"]["model"]).get(listing.of(obj), [])
        output.write(output.text(modelversion(obj, server.all(client.PROMOTION, fieldSelector=selector), now, aliases)))


def modelversion(
    version: Json, promotions: Sequence[Json], now: datetime.datetime, aliases: Sequence[str] = ()
) -> Iterable[tuple[str, Rows | str]]:
    """Yield the sections of a version."""
    spec, status = version["spec"], version.get("status") or {}
    training, lineage = spec.get("training") or {}, spec.get("lineage") or {}
    yield (
        f"{spec['model']} {spec['version']}",
        _rows(
            Phase=status.get("phase") or "not looked at yet",
            Aliases=", ".join(aliases),
            Description=spec.get("description"),
            Lifecycle=" ".join(filter(None, (spec.get("lifecycle"), spec.get("lifecycleReason")))),
            Created=_ago(version["metadata"]["creationTimestamp"], now),
            Tags=", ".join(f"{key}={value}" for key, value in (spec.get("tags") or {}).items()),
        ),
    )
    yield "Artifact", _artifact(spec["artifact"], status.get("artifact") or {}, now)
    yield "Conditions", conditions(status)
    yield "Stages", [_claim(claim, now) for claim in status.get("stages") or ()]
    yield "Promotions", _promotions(promotions, now)
    yield "Metrics (declared)", [(name, output.number(value)) for name, value in sorted((spec.get("metrics") or {}).items())]
    yield "Training (declared)", _training(training)
    yield "Lineage (declared)", _lineage(lineage)
    yield "Evidence", _evidence(spec.get("evidence") or ())
    signature = spec.get("signature") or {}
    yield (
        "Signature",
        [(f"{side[:-1]} {tensor['name']}", _tensor(tensor)) for side in ("inputs", "outputs") for tensor in signature.get(side) or ()],
    )
    yield "Card", [(_words(name), value) for name, value in (spec.get("card") or {}).items()]


def model(obj: Json, versions: Sequence[Json], now: datetime.datetime) -> Iterable[tuple[str, Rows | str]]:
    """Yield the sections of a model."""
    spec, status = obj["spec"], obj.get("status") or {}
    storage, owner = spec["storage"], spec["owner"]
    yield (
        obj["metadata"]["name"],
        _rows(
            Description=spec.get("description"),
            Owner=" ".join(filter(None, (owner["team"], owner.get("contact") and f"({owner['contact']})"))),
            Intended_use=spec.get("intendedUse"),
            Risk=spec.get("riskTier"),
            Lifecycle=spec.get("lifecycle"),
            Storage=f"{storage['uri']} at {storage.get('endpoint') or 'AWS S3'}",
            Aliases=", ".join(f"@{name}={version}" for name, version in sorted((spec.get("aliases") or {}).items())),
        ),
    )
    yield "Conditions", conditions(status)
    yield "Stages", _stages(status.get("stages") or (), now)
    yield "Versions", listing.table(listing.ordered(versions), now, alias.of([obj]), namespaces=False) if versions else ""


def conditions(status: Json) -> Rows:
    """Return each condition with its status, reason and message."""
    return [
        (
            condition["type"],
            "\n".join(filter(None, (f"{condition['status']}  {condition.get('reason', '')}".rstrip(), condition.get("message")))),
        )
        for condition in status.get("conditions") or ()
    ]


def _claim(claim: Json, now: datetime.datetime) -> tuple[str, str]:
    return claim["name"], claim.get("state", "?") + (f", since {_ago(claim['since'], now)}" if "since" in claim else "")


def _artifact(declared: Json, verified: Json, now: datetime.datetime) -> Rows:
    size = f"{output.many(verified['files'], 'file')}, {output.size(verified['bytes'])}" if {"files", "bytes"} <= verified.keys() else None
    promised, digest = declared.get("digest"), verified.get("digest")
    return _rows(
        URI=declared["uri"],
        Format=declared["format"],
        Digest=digest if digest and promised in {None, digest} else f"{promised or 'pinned when first read'} (declared)",
        Verified_digest=digest if promised not in {None, digest} else None,
        Size=size,
        Verified={"verifiedAt", "seconds", "checkedAt"} <= verified.keys()
        and f"{_ago(verified['verifiedAt'], now)}, every byte in {verified['seconds']:.2f} s; checked {_ago(verified['checkedAt'], now)}",
    )


def _promotions(promotions: Sequence[Json], now: datetime.datetime) -> str:
    rows = [
        [
            promotion["metadata"]["name"],
            promotion["spec"]["stage"],
            cluster.phase_of(promotion) or "-",
            listing.age(promotion["metadata"]["creationTimestamp"], now),
            cluster.ready_of(promotion).get("message") or "-",
        ]
        for promotion in sorted(promotions, key=lambda promotion: promotion["metadata"]["creationTimestamp"])
    ]
    return output.columns(["NAME", "STAGE", "PHASE", "AGE", "MESSAGE"], rows, colour=output.coloured()) if rows else ""


def _stages(stages: Sequence[Json], now: datetime.datetime) -> str:
    rows = []
    for stage in stages:
        serving, running = stage.get("serving") or {}, stage.get("promotion") or {}
        pods = f"{serving.get('available', 0)}/{serving.get('desired', '?')}" if serving else "-"
        since = listing.age(stage["since"], now) if stage.get("since") else "-"
        rows.append([stage["name"], stage.get("current") or "-", stage.get("previous") or "-", since, pods, running.get("name") or "-"])
    return output.columns(["STAGE", "CURRENT", "PREVIOUS", "SINCE", "PODS", "PROMOTION"], rows) if rows else ""


def _training(training: Json) -> Rows:
    source, framework = training.get("source") or {}, training.get("framework") or {}
    return _rows(
        Run=training.get("runId"),
        Source=source and f"{source['repository']} at {source['commit']}",
        Image=training.get("image"),
        Framework=" ".join(filter(None, (framework.get("name"), framework.get("version")))),
        Seed=str(training["seed"]) if "seed" in training else None,
        Started=training.get("startedAt"),
        Finished=training.get("finishedAt"),
        Parameters=", ".join(f"{name}={value}" for name, value in (training.get("parameters") or {}).items()),
    )


def _lineage(lineage: Json) -> Rows:
    parents = [(parent["relation"], parent["version"]) for parent in lineage.get("parents") or ()]
    return [
        *parents,
        *((dataset["role"], "\n".join(_given(dataset, "name", "uri", "digest"))) for dataset in lineage.get("datasets") or ()),
    ]


def _evidence(evidence: Sequence[Json]) -> Rows:
    return [
        (document["name"], "\n".join([", ".join(_given(document, "type", "title", "author")), *_given(document, "uri", "sha256")]))
        for document in evidence
    ]


def _given(obj: Mapping[str, Any], *names: str) -> list[str]:
    return [str(obj[name]) for name in names if obj.get(name)]


def _tensor(tensor: Json) -> str:
    sides = ", ".join("any" if side < 0 else str(side) for side in tensor.get("shape") or ())
    return f"{tensor['type']} [{sides}]" if sides else str(tensor["type"])


def _rows(**values: Any) -> Rows:
    return [(name.replace("_", " "), str(value)) for name, value in values.items() if value]


def _words(name: str) -> str:
    return "".join(f" {sign.lower()}" if sign.isupper() else sign for sign in name).capitalize()


def _ago(moment: str, now: datetime.datetime) -> str:
    return f"{moment} ({listing.age(moment, now)} ago)"
