"""Admission policies: checks and mutations in the API server itself, without a webhook.

A `Policy` is a ValidatingAdmissionPolicy with its binding, a `Stamp` a MutatingAdmissionPolicy with its own; what they say stands in
`api.access`. CEL has no types at hand here, so expressions are text; the API server's own type check is asked in tests/cluster.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from modelyard.api import meta

Object = dict[str, Any]

API_VERSION: Final = "admissionregistration.k8s.io/v1"
KINDS: Final = ("models", "modelversions", "promotions")


@dataclasses.dataclass(frozen=True)
class Rule:
    """The writes that a policy matches."""

    resources: Sequence[str]
    operations: Sequence[str] = ("CREATE", "UPDATE")
    group: str = meta.GROUP
    version: str = "*"

    def dump(self) -> Object:
        """Return the rule as in `matchConstraints.resourceRules`."""
        return {
            "apiGroups": [self.group],
            "apiVersions": [self.version],
            "operations": list(self.operations),
            "resources": list(self.resources),
        }


@dataclasses.dataclass(frozen=True)
class Check:
    """A CEL expression that must be true, and a CEL expression of the message when it is not."""

    expression: str
    otherwise: str
    plainly: str
    """The message if `otherwise` itself fails."""
    only: str | None = None
    """Name of a chart value (`policies.<only>`) that can turn this check off."""

    def dump(self) -> Object:
        """Return the check as in `validations`."""
        return {
            "expression": self.expression,
            "messageExpression": self.otherwise,
            "message": self.plainly,
            "reason": "Forbidden",
        }


@dataclasses.dataclass(frozen=True)
class Policy:
    """A ValidatingAdmissionPolicy: matching writes are refused, whoever sends them, unless every check passes."""

    name: str
    says: str
    rules: Sequence[Rule]
    variables: Mapping[str, str]
    checks: Sequence[Check]
    only_where: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Match conditions by name: the policy ignores a write for which one is false."""

    def dump(self, prefix: str) -> Object:
        """Return the ValidatingAdmissionPolicy."""
        spec: Object = {"failurePolicy": "Fail", "matchConstraints": _matching(self.rules)}
        if self.only_where:
            spec["matchConditions"] = _named(self.only_where)
        spec |= {"variables": _named(self.variables), "validations": [check.dump() for check in self.checks]}
        return _object("ValidatingAdmissionPolicy", f"{prefix}-{self.name}", self.says, spec)

    def binding(self, prefix: str) -> Object:
        """Return its binding: without one a policy does nothing."""
        called = f"{prefix}-{self.name}"
        spec = {"policyName": called, "validationActions": ["Deny", "Audit"]}
        return _object("ValidatingAdmissionPolicyBinding", called, self.says, spec)


@dataclasses.dataclass(frozen=True)
class Stamp:
    """A MutatingAdmissionPolicy: the API server changes objects at admission; each mutation is a CEL expression of JSON patches."""

    name: str
    says: str
    rules: Sequence[Rule]
    variables: Mapping[str, str]
    mutations: Sequence[str]

    def dump(self, prefix: str) -> Object:
        """Return the MutatingAdmissionPolicy."""
        spec: Object = {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "IfNeeded",  # later changes by other policies or webhooks must be stamped too
            "matchConstraints": _matching(self.rules),
            "variables": _named(self.variables),
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": mutation}} for mutation in self.mutations],
        }
        return _object("MutatingAdmissionPolicy", f"{prefix}-{self.name}", self.says, spec)

    def binding(self, prefix: str) -> Object:
        """Return its binding."""
        called = f"{prefix}-{self.name}"
        return _object("MutatingAdmissionPolicyBinding", called, self.says, {"policyName": called})


def _object(kind: str, name: str, says: str, spec: Object) -> Object:
    metadata = {"name": name, "annotations": {"kubernetes.io/description": says}}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _matching(rules: Sequence[Rule]) -> Object:
    return {"matchPolicy": "Equivalent", "resourceRules": [rule.dump() for rule in rules]}


def _named(expressions: Mapping[str, str]) -> list[Object]:
    return [{"name": name, "expression": expression} for name, expression in expressions.items()]
