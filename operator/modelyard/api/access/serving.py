"""Status and serving objects: only the operator writes them."""

from __future__ import annotations

from typing import Final

from modelyard.api import meta
from modelyard.api.access import cel
from modelyard.api.access.policy import KINDS, Check, Policy, Rule

STATUS: Final = Policy(
    "status",
    "Status of the three kinds is written by the operator only, and never about a generation that does not exist yet.",
    (Rule([f"{kind}/status" for kind in KINDS], ("UPDATE",)),),
    {},
    (
        Check(
            f"{cel.USER} == '{cel.OPERATOR}'",
            f"'status says what the operator found: only {cel.OPERATOR} writes it, not ' + {cel.USER}",
            f"only {cel.OPERATOR} writes status",
        ),
        Check(
            "object.?status.?observedGeneration.orValue(0) <= object.metadata.generation",
            "'status.observedGeneration ' + string(object.status.observedGeneration) + ' is of the future: ' + request.name + ' is at generation ' + "
            "string(object.metadata.generation)",
            "status.observedGeneration is of the future",
        ),
    ),
)

_LABELLED: Final = (
    "[object, oldObject].exists(o, o != null && (o.?metadata.?labels[?'{label}'].hasValue() || "
    "o.?spec.?template.?metadata.?labels[?'{label}'].hasValue()))"
)
_NAMED: Final = (
    f"(request.resource.resource == 'configmaps' && [object, oldObject].exists(o, o != null && o.metadata.name.endsWith('{cel.FILES}')))"
)
_WRITER: Final = (
    f"{cel.USER} in ['{cel.OPERATOR}', 'system:kube-scheduler'] || {cel.USER} in {list(cel.BUILT_IN)} || {cel.USER} in variables.others || "
    f"({cel.USER}.startsWith('system:node:') && 'system:nodes' in request.userInfo.groups)"
)
_MAY_RETIRE: Final = cel.may("retire").replace("variables.model", f"oldObject.?metadata.?labels[?'{cel.MODEL_LABEL}'].orValue('')")
SERVING: Final = Policy(
    "serving",
    "What serves (objects with our stage label, or whose pods would have it, and lists of files) is made, changed and deleted by the operator, "
    "Kubernetes' controllers and nodes; pods are deleted by whoever may delete pods.",
    (
        Rule(["deployments", "deployments/status", "replicasets", "replicasets/status"], group="apps"),
        # Not pods/binding and bindings: a Binding is an object of its own, without labels; built-in roles have no right to it.
        Rule(
            [
                "pods",
                "pods/status",
                "pods/ephemeralcontainers",
                "pods/resize",
                "services",
                "services/status",
                "configmaps",
            ],
            group="",
        ),
        Rule(["endpointslices"], group="discovery.k8s.io"),
        # Not pods: draining a node, evictions and `kubectl delete pod` are ordinary operations, and the ReplicaSet creates new pods.
        Rule(["deployments", "replicasets"], ("DELETE",), group="apps"),
        Rule(["services", "configmaps"], ("DELETE",), group=""),
        Rule(["endpointslices"], ("DELETE",), group="discovery.k8s.io"),
    ),
    {"others": cel.OTHERS},
    (
        Check(
            f"(({_WRITER}) && (request.operation == 'DELETE' || object.?metadata.?labels[?'{cel.MODEL_LABEL}'].orValue('') != '{cel.PROBE}')) || "
            f"(request.operation == 'DELETE' && ({cel.ENDING} || ({_MAY_RETIRE}))) || object == oldObject",
            f"'this belongs to what a Modelyard stage serves (label {cel.STAGE_LABEL}, or a name that ends in {cel.FILES}), which ' + {cel.USER} + ' may "
            "not make, change or delete: change serving of the stage in the Model; scaling (kubectl scale, autoscalers) and deleting pods are free, and "
            f"what is left of a Model that is gone may be deleted with the verb retire on models of {meta.GROUP}'",
            "only the operator, Kubernetes' controllers and nodes make, change or delete what a stage serves",
        ),
    ),
    {"ours": f"{_LABELLED.format(label=cel.STAGE_LABEL)} || {_NAMED}"},
)
