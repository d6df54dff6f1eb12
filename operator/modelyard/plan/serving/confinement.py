"""Which settings of a pod template reach out of the pod into its node; the policy `operator` says the same in CEL. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from modelyard.api.access import operator

ENFORCE: Final = "pod-security.kubernetes.io/enforce"
"""Label of a namespace: the level of Kubernetes' Pod Security Standards that its pods have to keep."""


def allowed(namespace: Mapping[str, Any] | None) -> bool:
    """Return whether pods of a namespace may reach out: only where its label says so, as whoever may label a namespace is no tenant of it."""
    labels = ((namespace or {}).get("metadata") or {}).get("labels") or {}
    return bool(labels.get(ENFORCE) == "privileged")


def refused(template: Mapping[str, Any]) -> str | None:
    """Return the message for a template that reaches out, or None."""
    settings = tuple(dict.fromkeys(reaches(template)))
    return (
        f"the pod template asks for {', '.join(settings)}, which reaches out of the pod into its node: leave it out; {operator.HOW}"
        if settings
        else None
    )


def reaches(template: Mapping[str, Any]) -> Iterator[str]:
    """Yield the settings of a template beyond the baseline level, by field name; the API server's dry run names what is no template at all."""
    pod = _map(template, "spec")
    containers = [part for key in ("containers", "initContainers") for part in _maps(pod, key)]
    yield from (field for field in ("hostNetwork", "hostPID", "hostIPC") if pod.get(field))
    if any("hostPath" in volume for volume in _maps(pod, "volumes")):
        yield "a hostPath volume"
    if any(port.get("hostPort") for part in containers for port in _maps(part, "ports")):
        yield "a hostPort"
    for part in containers:
        context = _map(part, "securityContext")
        if context.get("privileged"):
            yield "privileged"
        added = _map(context, "capabilities").get("add")
        if isinstance(added, list) and any(name not in operator.CAPABILITIES for name in added):
            yield "capabilities.add"
        if context.get("procMount") not in (None, "", "Default"):
            yield "procMount"
    for part in [pod, *containers]:
        context = _map(part, "securityContext")
        yield from (
            f"{field} Unconfined" for field in ("seccompProfile", "appArmorProfile") if _map(context, field).get("type") == "Unconfined"
        )
        if _map(context, "windowsOptions").get("hostProcess"):
            yield "windowsOptions.hostProcess"
    if any(sysctl.get("name") not in operator.SYSCTLS for sysctl in _maps(_map(pod, "securityContext"), "sysctls")):
        yield "sysctls"


def _map(holder: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = holder.get(key)
    return value if isinstance(value, Mapping) else {}


def _maps(holder: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = holder.get(key)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
