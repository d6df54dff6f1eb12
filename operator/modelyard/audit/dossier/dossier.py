"""A version's dossier: a pure function of the evidence it carries, so that checking it is making it again. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any, Final

from modelyard import api
from modelyard.audit.dossier import bundle, fields, frameworks, life, material, origin
from modelyard.plan.modelversion import documentation

Json = dict[str, Any]

FORMAT: Final = "modelyard.dev/dossier/v1"
_ABSENT: Final = object()
_SECTIONS: Final = (
    origin.identity, origin.artifact, origin.purpose, origin.data, origin.development, life.evaluation, life.evidence, life.approvals,
    life.deployment, life.changes, life.retirement,
)  # fmt: skip


def make(evidence: bundle.Evidence, version: str, made: str) -> Json | None:
    """Return the dossier of a version; None if no record in the evidence registers it.

    Args:
        evidence: from `bundle.gather`.
        version: its name.
        made: when, as `codec.write_time` writes it.
    """
    case = material.of(evidence, version)
    if case.history.registered is None:
        return None
    sections = [make_section(case) for make_section in _SECTIONS]
    return {
        "format": FORMAT,
        "made": made,
        "registry": evidence.chain.registry,
        "namespace": evidence.chain.namespace,
        "model": evidence.chain.model,
        "version": version,
        "summary": {"counts": fields.count(sections), "completeness": _completeness(case), "lost": list(case.lost)},
        "sections": sections,
        "frameworks": frameworks.coverage(fields.states(sections)),
        "attestation": evidence.dump(),
    }


def check(dossier: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a dossier: hashes and links of its records, and every field that does not follow from them.

    Raises:
        ValueError: it is not a dossier.
    """
    if dossier.get("format") != FORMAT:
        raise ValueError(f"its format is {dossier.get('format')!r}, not {FORMAT}")
    raw = dossier.get("attestation")
    if not isinstance(raw, Mapping):
        raise ValueError("it has no attestation")  # noqa: TRY004  callers know one exception
    evidence = bundle.load(raw)
    problems = list(bundle.problems(raw, evidence))
    remade = make(evidence, str(dossier.get("version")), str(dossier.get("made")))
    if remade is None:
        return [*problems, f"version: no included record registers {dossier.get('version')!a}"]
    return [*problems, *differences(remade, dossier)]


def differences(expected: Any, found: Any, path: str = "") -> Iterator[str]:
    """Yield where two documents differ, with what the records say."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for key in dict.fromkeys([*expected, *found]):
            yield from differences(expected.get(key, _ABSENT), found.get(key, _ABSENT), f"{path}.{key}" if path else str(key))
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for number, (expected_item, found_item) in enumerate(zip(expected, found, strict=True)):
            name = expected_item.get("id") or expected_item.get("ref") if isinstance(expected_item, Mapping) else None
            yield from differences(expected_item, found_item, f"{path}[{name or number}]")
    elif type(expected) is not type(found) or expected != found:
        yield f"{path}: says {_brief(found)}; from the records follows {_brief(expected)}"


def _brief(value: object) -> str:
    text = "nothing" if value is _ABSENT else repr(value)
    return text if len(text) < 200 else f"{text[:200]}…"


def _completeness(case: material.Case) -> Json:
    """Return what the Model's risk tier demands, and how much of it is there."""
    try:
        model = api.Model.model_validate({"metadata": {"name": case.chain.model}, "spec": case.model})
        version = api.ModelVersion.model_validate({"metadata": {"name": "it"}, "spec": case.spec, "status": _status(case)})
    except ValueError:  # the spec is of another release, or is missing
        return {"tier": case.model.get("riskTier"), "have": None, "of": None, "items": []}
    proven = all(case.history.evidence.get(document.name) == document.sha256 for document in version.spec.evidence or [])
    tier = documentation.tier(model)
    file = documentation.File(model, version, proven)
    items = [{"what": words, "there": is_there(file)} for words, is_there in documentation.TABLE[tier]]
    return {"tier": str(tier), "have": sum(1 for item in items if item["there"]), "of": len(items), "items": items}


def _status(case: material.Case) -> Json:
    if not case.history.verified:
        return {}
    last = case.history.verified[-1]
    when = last.time.astimezone(datetime.UTC).isoformat()
    read = {key: last.fact.detail.get(key) for key in ("files", "bytes", "manifest", "seconds")}
    return {"artifact": {**read, "digest": last.fact.digest, "verifiedAt": when, "checkedAt": when}}
