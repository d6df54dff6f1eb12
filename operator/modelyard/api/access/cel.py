"""CEL as the policies speak it: what stands for names, how a right is asked for, and what somebody without it reads.

One `authorizer` check costs 350,000 of the 1,000,000 that an expression may cost, so nothing is asked in a loop.
"""

from __future__ import annotations

from typing import Final

from modelyard.api import meta

CHANGES: Final = f"{meta.GROUP}/changes"
"""Annotation: who made the spec changes that are not recorded yet, one line `<generation> <user>` each, the latest last."""
MOST_CHANGES: Final = 64
"""Lines at most: that of generation 1, as who registered a version may not approve it, and the latest. Where more were not recorded, the missing
generations show that who made them is not known any more."""
LEAVE: Final = f"{meta.GROUP}/leave-held"
"""Annotation of a ModelVersion: a person lets it go though its objects are under a legal hold that cannot be lifted; any value says so."""
STAGE_LABEL: Final = f"{meta.GROUP}/stage"
MODEL_LABEL: Final = f"{meta.GROUP}/model"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "modelyard"
FILES: Final = ".modelyard-files"
"""How the names of ConfigMaps with lists of files end: nobody else may make a ConfigMap of such a name."""
PROBE: Final = "modelyard-probe"
"""A model's name that nobody has any right to: what the operator sends in that name every minute must be refused."""
OPERATOR: Final = "MODELYARD-OPERATOR"
"""Stands in every expression for the operator's username."""
PREFIX: Final = "MODELYARD-PREFIX"
"""Stands in names and messages for what the names of policies and ClusterRoles begin with."""
BUCKET: Final = "MODELYARD-BUCKET"
"""Stands for the URI of the operator's own bucket, or its folder there; it ends in `/`."""
OTHERS: Final = "[MODELYARD-OTHERS]"
"""Stands for a list of further usernames that may write serving objects."""

BUILT_IN: Final = tuple(
    f"system:serviceaccount:kube-system:{name}"
    for name in (
        "deployment-controller", "replicaset-controller", "endpointslice-controller", "endpointslicemirroring-controller", "endpoint-controller",
        "generic-garbage-collector", "namespace-controller", "pod-garbage-collector", "node-controller", "taint-eviction-controller",
        "disruption-controller", "service-controller", "resourcequota-controller", "resource-claim-controller",
        "device-taint-eviction-controller", "storage-version-migrator-controller",
    )
)  # fmt: skip
"""Kubernetes' own controllers that write Deployments, ReplicaSets, Pods, Services and EndpointSlices. Not those that make Pods of other
workloads (Jobs, StatefulSets, …): such Pods cannot pass for ours."""
SWEEPERS: Final = (
    "['system:serviceaccount:kube-system:generic-garbage-collector', 'system:serviceaccount:kube-system:namespace-controller']"
)

USER: Final = "request.userInfo.username"
RIGHTS: Final = f"authorizer.group('{meta.GROUP}').resource('models').namespace(request.namespace).name(variables.model)"
ENDING: Final = "has(namespaceObject.metadata.deletionTimestamp)"


def may(verb: str) -> str:
    """The verb on plain `models`; nobody may do anything to the model that is kept for the probe."""
    return f"variables.model != '{PROBE}' && {RIGHTS}.check('{verb}').allowed()"


def may_in(verb: str, stage: str) -> str:
    """The verb on `models/<stage>`, the stage being a CEL expression."""
    right = RIGHTS.replace(".namespace(", f".subresource({stage}).namespace(", 1)
    return f"variables.model != '{PROBE}' && {right}.check('{verb}').allowed()"


def lacks(doing: str, verb: str, resource: str, role: str) -> str:
    """What somebody without a right reads; `doing` and `resource` are CEL expressions."""
    return (
        f"{USER} + ' may not ' + {doing} + ': it takes the verb {verb} on ' + {resource} + ' of {meta.GROUP}, resourceName ' + "
        f"variables.model + ', in namespace ' + request.namespace + '; the ClusterRole {PREFIX}-{role} has it for every model and stage'"
    )


def plain(verb: str, action: str) -> str:
    return f"{action} takes the verb {verb} of {meta.GROUP}"


def of(field: str, absent: str, obj: str = "object") -> str:
    """A field of the spec, or what its absence means."""
    return f"{obj}.spec.?{field}.orValue({absent})"


def differs(field: str, absent: str) -> str:
    """Whether an update changes a field of the spec."""
    return f"{of(field, absent)} != {of(field, absent, 'oldObject')}"
