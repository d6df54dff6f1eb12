"""What the API server lets in, written from DESIGN §2.5 alone: who may write what, and what it stamps. The policies' CEL is not looked at."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]
Verbs = frozenset[str]
"""`promote` for every stage, `promote/production` for one, `approve/production/risk` for one gate of it; of every model."""
CHANGES = "modelyard.dev/changes"
DEFAULT_STAGES: list[Json] = [
    {"name": "development"},
    {"name": "staging", "gates": {"after": ["development"]}},
    {"name": "production", "gates": {"after": ["staging"]}},
]
ENDED = {"Succeeded", "Superseded", "RolledBack", "Failed", "Rejected", "Aborted", "Reused"}


class Refused(Exception):
    """The API server says no, and why."""


@dataclasses.dataclass
class Admission:
    """Judges each write of a person by the objects that are there."""

    rights: Mapping[str, Verbs]

    def create(self, user: str, obj: Json) -> Json:
        """What is stored when somebody creates an object."""
        obj, spec = copy.deepcopy(obj), obj["spec"]
        match obj["kind"]:
            case "Model":
                self._stages(user, [], spec.get("stages") or DEFAULT_STAGES)
                if spec.get("aliases"):
                    self._need(user, "alias")
            case "ModelVersion":
                self._need(user, "register")
            case "Promotion":
                self._need(user, "rollback" if spec.get("rollback") else "promote", spec["stage"])
                _refuse(spec.get("requestedBy", user) != user, "requestedBy is one's own name")
                _refuse(bool(spec.get("approvals")), "nobody is asked yet")
                obj["spec"]["requestedBy"] = user
        obj["metadata"].setdefault("annotations", {})[CHANGES] = f"1 {user}"
        return obj

    def change(self, user: str, was: Json, obj: Json) -> Json:
        """What is stored when somebody changes an object's spec."""
        obj = copy.deepcopy(obj)
        old, new = was["spec"], obj["spec"]
        match was["kind"]:
            case "Model":
                self._model(user, old, new)
            case "ModelVersion":
                self._version(user, old, new)
            case "Promotion":
                self._promotion(user, was, obj)
        lines = (was["metadata"].get("annotations") or {}).get(CHANGES, "").split("\n")
        recorded = ((was.get("status") or {}).get("recorded") or {}).get("generation", 0)
        kept = [line for line in lines if line and int(line.split()[0]) > recorded]
        news = [f"{was['metadata']['generation'] + 1} {user}"] if old != new else []
        obj["metadata"]["annotations"] = {**(was["metadata"].get("annotations") or {}), CHANGES: "\n".join([*kept, *news])}
        return obj

    def delete(self, user: str, was: Json) -> None:
        """Whether somebody may delete an object."""
        spec, status = was["spec"], was.get("status") or {}
        match was["kind"]:
            case "Model":
                self._need(user, "retire")
                _refuse(spec.get("lifecycle") != "Retired", "a Model is deleted only when Retired")
                serves = [one for one in status.get("stages") or [] if one.keys() & {"serving", "rollout", "promotion"}]
                _refuse(bool(serves), "and serving nothing")
            case "ModelVersion":
                untried = not status.get("artifact") and not status.get("specDigest")
                over = spec.get("lifecycle") == "Retired" and not status.get("stages")
                _refuse(not (untried or over), "a version that was Ready is deleted only when Retired and serving nothing")
                _refuse(not ((untried and self._may(user, "register")) or (over and self._may(user, "retire"))), "it takes retire")
            case "Promotion":
                self._need(user, "promote", spec["stage"])

    def _model(self, user: str, old: Json, new: Json) -> None:
        self._stages(user, old.get("stages") or DEFAULT_STAGES, new.get("stages") or DEFAULT_STAGES)
        if old.get("riskTier", "Low") != new.get("riskTier", "Low"):
            self._need(user, "govern")
        if old.get("aliases") != new.get("aliases"):
            self._need(user, "alias")
        if (before := old.get("lifecycle", "Active")) != new.get("lifecycle", "Active"):
            _refuse(before == "Retired", "Retired is final")
            self._need(user, "retire")

    def _stages(self, user: str, old: Iterable[Json], new: Iterable[Json]) -> None:
        """Its rules take govern, what it serves promote; for single stages one stage per write."""
        before, after = ({one["name"]: one for one in stages} for stages in (old, new))
        names = sorted({*before, *after})
        rules = [name for name in names if _rules(before.get(name)) != _rules(after.get(name))]
        serves = [name for name in names if name in after and before.get(name, {}).get("serving") != after[name].get("serving")]
        for verb, changed in (("govern", rules), ("promote", serves)):
            if changed and not self._may(user, verb):
                _refuse(len(changed) > 1, "one stage per write")
                self._need(user, verb, changed[0])

    def _version(self, user: str, old: Json, new: Json) -> None:
        free = {"metrics", "evidence", "lifecycle", "lifecycleReason", "description", "tags"}
        _refuse(any(old.get(field) != new.get(field) for field in {*old, *new} - free), "what a version is cannot change")
        for field in ("metrics", "evidence"):
            if old.get(field) != new.get(field):
                self._need(user, "attest")
        lost = [name for name, value in (old.get("metrics") or {}).items() if (new.get("metrics") or {}).get(name) != value]
        _refuse(bool(lost), "what was added stays")
        if (before := old.get("lifecycle", "Active")) != new.get("lifecycle", "Active"):
            _refuse(before == "Retired", "Retired is final")
            self._need(user, "retire")

    def _promotion(self, user: str, was: Json, obj: Json) -> None:
        old, new, status = was["spec"], obj["spec"], was.get("status") or {}
        for field in ("model", "version", "stage", "reason", "rollback", "requestedBy"):
            _refuse(old.get(field) != new.get(field), f"{field} never changes")
        _refuse(bool(old.get("abort")) and not new.get("abort"), "abort is one way")
        if any(old.get(field) != new.get(field) for field in ("paused", "abort")):
            self._need(user, "promote", old["stage"])
        entries = {(one["user"], one["gate"]): one for one in old.get("approvals") or []}
        said = [one for one in new.get("approvals") or [] if entries.get((one["user"], one["gate"])) != one]
        kept = {(one["user"], one["gate"]) for one in new.get("approvals") or []}
        _refuse(not entries.keys() <= kept, "entries stay")
        _refuse(len(said) > 1, "one entry per write")
        for word in said:
            self._word(user, word, entries.get((word["user"], word["gate"])), old, status)

    def _word(self, user: str, word: Json, before: Json | None, spec: Json, status: Json) -> None:
        """An approval is admitted only while AwaitingApproval, in one's own name, for what is asked; taking one's own back until it is over."""
        back, phase = word["decision"] == "Withdrawn", status.get("phase", "Pending")
        _refuse(word["user"] != user, "everybody in their own name")
        asked = (spec["stage"], f"{spec['stage']}/{word['gate']}")
        _refuse(not any(self._may(user, "approve", where) for where in asked), "it takes approve")
        _refuse(not (phase == "AwaitingApproval" or (back and phase in {"Pending", "Blocked"})), "nobody is asked")
        word.setdefault("subject", status.get("subject"))
        mine = back and before is not None and before.get("subject") == word["subject"]
        _refuse(not (mine or (word["subject"] and word["subject"] == status.get("subject"))), "for what is asked now")
        gates = {one["gate"]: one for one in status.get("approvals") or []}
        _refuse(bool(gates) and word["gate"] not in gates, "the stage has no such gate")
        _refuse(user == spec.get("requestedBy") and not back, "who asks cannot approve")
        machine = user.startswith("system:") and not gates.get(word["gate"], {}).get("allowServiceAccounts")
        _refuse(machine, "no service accounts")

    def _may(self, user: str, verb: str, where: str = "") -> bool:
        return bool({verb, f"{verb}/{where}"} & self.rights.get(user, frozenset()))

    def _need(self, user: str, verb: str, where: str = "") -> None:
        _refuse(not self._may(user, verb, where), f"{user} lacks {verb} on {where or 'models'}")


def _rules(stage: Json | None) -> object:
    if stage is None:
        return None
    return (stage.get("gates"), stage.get("frozen"), bool(stage.get("autoPromote")), bool(stage.get("preReleases")))


def _refuse(no: bool, why: str) -> None:
    if no:
        raise Refused(why)
