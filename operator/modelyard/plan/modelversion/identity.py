"""What a version's name means for ever once its bytes were verified: these bytes, these immutable fields, and no fewer metrics and documents. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard import api
from modelyard.api.reason import Reason
from modelyard.ledger import index
from modelyard.plan import finding
from modelyard.plan.observed import specs


def held(version: api.ModelVersion, past: index.Version | None, earlier_spec: Mapping[str, Any] | None) -> finding.Unmet | None:
    """Return why an object is not what its name means, never or not yet; None: it is, or the name means nothing so far.

    Args:
        version: the object.
        past: what the ledger has of its name.
        earlier_spec: the spec that another object had under it, where `was_anothers` asks for it.
    """
    if past is None or past.digest is None:
        return None
    old, new = earlier_spec or {}, version.spec.dump() if earlier_spec else {}
    if past.spec_digest != specs.spec_digest(version):
        what = "with other immutable fields, so its name can never mean this: register these under another version"
    elif changed := differing(old, new):
        what = f"with other {', '.join(changed)}: delete this object and apply it with what the name had, or register this under another version"
    elif missing := lacking(old, new):
        what = f"with {', '.join(missing)} as well: apply it with all that the name had, or run `modelyard restore {version.spec.model}`"
    else:
        return None
    return finding.Unmet(Reason.REUSED, f"{version.metadata.name} was verified before {what}", finding.Waits.FOR_A_PERSON)


def belonged_to_another(version: api.ModelVersion, past: index.Version | None) -> bool:
    """Return whether another object had this name when it was verified, and only its snapshot shows whether this one means the same."""
    uid = version.metadata.uid
    if past is None or past.digest is None or past.uid == uid or past.spec_digest != specs.spec_digest(version):
        return False
    return version.status.recorded is None or past.other == uid


def is_whole_again(version: api.ModelVersion, past: index.Version | None, earlier_spec: Mapping[str, Any] | None) -> bool:
    """Return whether an object that was Reused now has the metrics and evidence that it lacked.

    False once its status says so: else this would be recorded twice.
    """
    verified = finding.find(version.status.conditions, "Verified")
    is_reused = verified is not None and verified.reason == Reason.REUSED
    return (is_reused or (past is not None and past.other == version.metadata.uid)) and held(version, past, earlier_spec) is None


def changed_or_missing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return metrics and evidence that are missing or changed: `metrics/auc`, `evidence/vr-17`; they may be added to, and nothing else."""
    return [*lacking(before, after), *differing(before, after)]


def lacking(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return metrics and evidence that were there and are missing: they may be added again."""
    new = _attested(after)
    return [path for path in _attested(before) if path not in new]


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return metrics and evidence that changed: only another object can mend that."""
    old, new = _attested(before), _attested(after)
    return [path for path, value in old.items() if path in new and new[path] != value]


def completed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec with the metrics and evidence that it lacks, after its own."""
    missing = {*lacking(before, after)}
    metrics = {name: value for name, value in (before.get("metrics") or {}).items() if f"metrics/{name}" in missing}
    evidence = [document for document in before.get("evidence") or [] if f"evidence/{document['name']}" in missing]
    added = {"metrics": {**(after.get("metrics") or {}), **metrics}} if metrics else {}
    return {**after, **added} | ({"evidence": [*(after.get("evidence") or []), *evidence]} if evidence else {})


def _attested(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return metrics and evidence by path, sorted."""
    return {
        f"{field}/{name}": value
        for field in ("metrics", "evidence")
        for name, value in sorted((specs.by_name(spec.get(field)) or {}).items())
    }
