"""Limits on the operator's own account: its RBAC must be wide, as future objects cannot be named in it; this policy is narrow."""

from __future__ import annotations

from typing import Final

from modelyard.api.access import cel
from modelyard.api.access.policy import Check, Policy, Rule

_NAMESPACE_LABEL: Final = "pod-security.kubernetes.io/enforce"
CAPABILITIES: Final = (
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID",
    "SYS_CHROOT",
)  # fmt: skip
"""Capabilities that a container may add, as in the baseline level of Kubernetes' Pod Security Standards."""
SYSCTLS: Final = (
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
)  # fmt: skip
"""Sysctls that a pod may set, by the same standard."""
PRIVILEGED: Final = f"namespaceObject.metadata.?labels[?'{_NAMESPACE_LABEL}'].orValue('') == 'privileged'"
HOW: Final = f"a namespace that is to run such pods carries the label {_NAMESPACE_LABEL}: privileged"


def _label(obj: str, name: str) -> str:
    return f"{obj}.metadata.?labels[?'{name}']"


def _is_ours(obj: str, stage: str) -> str:
    return f"({_label(obj, cel.MANAGED_BY)}.orValue('') == '{cel.MANAGER}' && {_label(obj, cel.MODEL_LABEL)}.hasValue() && {stage})"


_CONTEXTS: Final = "([variables.pod] + variables.containers)"
_REACHES: Final = {
    "hostNetwork": "variables.pod.?hostNetwork.orValue(false)",
    "hostPID": "variables.pod.?hostPID.orValue(false)",
    "hostIPC": "variables.pod.?hostIPC.orValue(false)",
    "a hostPath volume": "variables.pod.?volumes.orValue([]).exists(v, has(v.hostPath))",
    "a hostPort": "variables.containers.exists(c, c.?ports.orValue([]).exists(p, p.?hostPort.orValue(0) != 0))",
    "privileged": "variables.containers.exists(c, c.?securityContext.?privileged.orValue(false))",
    "capabilities.add": "variables.containers.exists(c, c.?securityContext.?capabilities.?add.orValue([]).exists(a, "
    f"!(a in {list(CAPABILITIES)})))",
    "procMount": "variables.containers.exists(c, !(c.?securityContext.?procMount.orValue('Default') in ['', 'Default']))",
    "seccompProfile Unconfined": f"{_CONTEXTS}.exists(c, c.?securityContext.?seccompProfile.?type.orValue('') == 'Unconfined')",
    "appArmorProfile Unconfined": f"{_CONTEXTS}.exists(c, c.?securityContext.?appArmorProfile.?type.orValue('') == 'Unconfined')",
    "windowsOptions.hostProcess": f"{_CONTEXTS}.exists(c, c.?securityContext.?windowsOptions.?hostProcess.orValue(false))",
    "sysctls": f"variables.pod.?securityContext.?sysctls.orValue([]).exists(s, !(s.name in {list(SYSCTLS)}))",
}
"""Fields that give a pod access to its node, with their conditions; `plan.confinement` has the same."""

POLICY: Final = Policy(
    "operator",
    "The operator's own account writes no Deployment, Service or ConfigMap without Modelyard's labels, takes over nobody's, and makes no pod that reaches "
    "into its node unless the namespace is labelled for that.",
    (
        Rule(["deployments"], ("CREATE", "UPDATE", "DELETE"), group="apps"),
        Rule(["services", "configmaps"], ("CREATE", "UPDATE", "DELETE"), group=""),
    ),
    {
        "list": "request.resource.resource == 'configmaps'",
        "own": f"variables.list && request.namespace == {cel.USER}.split(':')[2]",
        "pod": "dyn(object.spec.template.spec)",
        "containers": "variables.pod.containers + variables.pod.?initContainers.orValue([])",
        "reaches": " + ".join(f"({expression} ? ['{reach}'] : [])" for reach, expression in _REACHES.items()),
    },
    (
        Check(
            # A list of files from an earlier release has no stage label.
            f"variables.own || ((object == null || {_is_ours('object', _label('object', cel.STAGE_LABEL) + '.hasValue()')}) && "
            f"(oldObject == null || {_is_ours('oldObject', '(variables.list || ' + _label('oldObject', cel.STAGE_LABEL) + '.hasValue())')}))",
            f"'the operator writes only what carries its labels {cel.MANAGED_BY}, {cel.MODEL_LABEL} and {cel.STAGE_LABEL}, and ' + request.resource.resource "
            "+ ' ' + request.name + ' does not'",
            "the operator writes only what carries its labels",
        ),
        Check(
            "request.resource.resource != 'deployments' || request.operation == 'DELETE' || "
            f"(request.operation == 'UPDATE' && object.spec.template == oldObject.spec.template) || {PRIVILEGED} || size(variables.reaches) == 0",
            f"'the pod template asks for ' + variables.reaches.join(', ') + ', which reaches out of the pod into its node: leave it out; {HOW}'",
            "the pod template reaches out of the pod into its node",
        ),
    ),
    {"operator": f"{cel.USER} == '{cel.OPERATOR}'"},
)
