"""ClusterRoles for people: each has the rights of one role in a model's life, and none to decide for another role."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from modelyard.api import meta
from modelyard.api.access.policy import KINDS

Object = dict[str, Any]

_SEE: Final = ("get", "list", "watch")
_CHANGE: Final = ("update", "patch")


@dataclasses.dataclass(frozen=True)
class Role:
    """A ClusterRole; each may read the whole registry."""

    name: str
    says: str
    writes: Sequence[tuple[str, Sequence[str]]] = ()
    """(resource, ordinary verbs)."""
    verbs: Sequence[str] = ()
    """Verbs on plain `models`: every model, every stage."""
    into: str | None = None
    """The built-in ClusterRole that it is aggregated to."""

    def dump(self, prefix: str) -> Object:
        """Return the ClusterRole as an object."""
        metadata: Object = {"name": f"{prefix}-{self.name}", "annotations": {"kubernetes.io/description": self.says}}
        if self.into:
            metadata["labels"] = {f"rbac.authorization.k8s.io/aggregate-to-{self.into}": "true"}
        rules = [_rule(list(KINDS), _SEE), *(_rule([resource], verbs) for resource, verbs in self.writes)]
        if self.verbs:
            rules.append(_rule(["models"], self.verbs))
        return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules}


def _rule(resources: list[str], verbs: Sequence[str]) -> Object:
    return {"apiGroups": [meta.GROUP], "resources": resources, "verbs": list(verbs)}


ROLES: Final = (
    # `edit` and `admin` contain `view`; they get no more: editing Deployments implies no decision about models.
    Role("viewer", "Sees models, versions and promotions.", into="view"),
    Role(
        "publisher",
        "Registers versions and adds metrics and evidence to them; deletes those that never were Ready.",
        (("modelversions", ("create", *_CHANGE, "delete")),),
        ("register", "attest"),
    ),
    Role(
        "promoter",
        "Asks for versions to be brought to stages, and back; pauses, aborts and deletes what was asked.",
        (("promotions", ("create", *_CHANGE, "delete")),),
        ("promote", "rollback"),
    ),
    Role(
        "approver",
        "Approves, rejects and withdraws, in their own name, and changes nothing else.",
        (("promotions", _CHANGE),),
        ("approve",),
    ),
    Role(
        "governor",
        "Makes Models and their rules: stages, gates, freezes, autoPromote. What a stage serves takes promoter and edit as well.",
        (("models", ("create", *_CHANGE)),),
        ("govern",),
    ),
    Role(
        "owner",
        "Edits Models but for their rules; moves aliases; deprecates, retires and deletes. What a stage serves takes promoter and edit as well.",
        (("models", (*_CHANGE, "delete")), ("modelversions", (*_CHANGE, "delete"))),
        ("retire", "alias"),
    ),
)
