"""Status, and what serves: the operator writes both."""

from __future__ import annotations

from typing import Final

from modelyard.api.access import cel
from modelyard.api.policy import KINDS, Check, Policy, Rule

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
SERVING: Final = Policy(
    "serving",
    "What serves (objects with our stage label, or whose pods would have it) is made and changed by the operator, Kubernetes' controllers and nodes.",
    (
        Rule(["deployments", "deployments/status", "replicasets", "replicasets/status"], group="apps"),
        Rule(
            [
                "pods",
                "pods/status",
                "pods/ephemeralcontainers",
                "pods/resize",
                "pods/binding",
                "bindings",
                "services",
                "services/status",
            ],
            group="",
        ),
        Rule(["endpointslices"], group="discovery.k8s.io"),
    ),
    {"others": cel.OTHERS},
    (
        Check(
            f"({cel.USER} in ['{cel.OPERATOR}', 'system:kube-scheduler'] || {cel.USER} in {list(cel.BUILT_IN)} || {cel.USER} in variables.others || "
            f"({cel.USER}.startsWith('system:node:') && 'system:nodes' in request.userInfo.groups)) && "
            f"(object.?metadata.?labels[?'{cel.MODEL_LABEL}'].orValue('') != '{cel.PROBE}') || object == oldObject",
            f"'this belongs to what a Modelyard stage serves (label {cel.STAGE_LABEL}), which ' + {cel.USER} + ' may not make or change: change serving of "
            "the stage in the Model; scaling (kubectl scale, autoscalers) and deleting pods are free'",
            "only the operator, Kubernetes' controllers and nodes make or change what a stage serves",
        ),
    ),
    {"ours": _LABELLED.format(label=cel.STAGE_LABEL)},
)
