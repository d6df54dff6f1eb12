"""CEL of the policies: placeholders for names, checks of rights, and messages for people without a right.

One `authorizer` check costs 350,000 of the 1,000,000 that an expression may cost, so nothing is asked in a loop.
"""

from __future__ import annotations

from typing import Final

from modelyard.api import meta

CHANGES: Final = f"{meta.GROUP}/changes"
"""Annotation: the authors of spec changes that are not recorded yet, one line `<generation> <user>` each, the latest last."""
MOST_CHANGES: Final = 64
"""The most lines: that of generation 1, as the registrant of a version may not approve it, and the latest. If more changes were not recorded, the missing
generations show that their authors are no longer known."""
LEAVE: Final = f"{meta.GROUP}/leave-held"
"""Annotation of a ModelVersion: a person allows its deletion although its objects are under a legal hold that cannot be lifted; any value counts."""
STAGE_LABEL: Final = f"{meta.GROUP}/stage"
MODEL_LABEL: Final = f"{meta.GROUP}/model"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "modelyard"
FILES: Final = ".modelyard-files"
"""The name suffix of ConfigMaps with lists of files: nobody else may create a ConfigMap of such a name."""
PROBE: Final = "modelyard-probe"
"""A model's name that nobody has any right to: the operator's trial writes in that name, every minute, must be refused."""
OPERATOR: Final = "MODELYARD-OPERATOR"
"""Placeholder in every expression for the operator's username."""
PREFIX: Final = "MODELYARD-PREFIX"
"""Placeholder in names and messages for the name prefix of policies and ClusterRoles."""
BUCKET: Final = "MODELYARD-BUCKET"
"""Placeholder for the URI of the operator's own bucket, or its folder there; it ends in `/`."""
OTHERS: Final = "[MODELYARD-OTHERS]"
"""Placeholder for a list of further usernames that may write serving objects."""

BUILT_IN: Final = tuple(
    f"system:serviceaccount:kube-system:{name}"
    for name in (
        "deployment-controller", "replicaset-controller", "endpointslice-controller", "endpointslicemirroring-controller", "endpoint-controller",
        "generic-garbage-collector", "namespace-controller", "pod-garbage-collector", "node-controller", "taint-eviction-controller",
        "disruption-controller", "service-controller", "resourcequota-controller", "resource-claim-controller",
        "device-taint-eviction-controller", "storage-version-migrator-controller",
    )
)  # fmt: skip
"""Kubernetes' own controllers that write Deployments, ReplicaSets, Pods, Services and EndpointSlices. Not those that create Pods of other
workloads (Jobs, StatefulSets, …): such Pods cannot pass for ours."""
SWEEPERS: Final = (
    "['system:serviceaccount:kube-system:generic-garbage-collector', 'system:serviceaccount:kube-system:namespace-controller']"
)

USER: Final = "request.userInfo.username"
RIGHTS: Final = f"authorizer.group('{meta.GROUP}').resource('models').namespace(request.namespace).name(variables.model)"
ENDING: Final = "has(namespaceObject.metadata.deletionTimestamp)"


def may(verb: str) -> str:
    """Return CEL: the user has the verb on plain `models`; nobody has any right to the probe's model."""
    return f"variables.model != '{PROBE}' && {RIGHTS}.check('{verb}').allowed()"


def may_in(verb: str, stage: str) -> str:
    """Return CEL: the user has the verb on `models/<stage>`; the stage is a CEL expression."""
    right = RIGHTS.replace(".namespace(", f".subresource({stage}).namespace(", 1)
    return f"variables.model != '{PROBE}' && {right}.check('{verb}').allowed()"


def lacks(doing: str, verb: str, resource: str, role: str) -> str:
    """Return the message for a user without a right; `doing` and `resource` are CEL expressions."""
    return (
        f"{USER} + ' may not ' + {doing} + ': it takes the verb {verb} on ' + {resource} + ' of {meta.GROUP}, resourceName ' + "
        f"variables.model + ', in namespace ' + request.namespace + '; the ClusterRole {PREFIX}-{role} has it for every model and stage'"
    )


def plain(verb: str, action: str) -> str:
    return f"{action} takes the verb {verb} of {meta.GROUP}"


def of(field: str, absent: str, obj: str = "object") -> str:
    """Return CEL: a field of the spec, or its default."""
    return f"{obj}.spec.?{field}.orValue({absent})"


def differs(field: str, absent: str) -> str:
    """Return CEL: an update changes a field of the spec."""
    return f"{of(field, absent)} != {of(field, absent, 'oldObject')}"
