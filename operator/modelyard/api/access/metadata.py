"""Limits on the metadata of the three kinds: nobody can fill an object up so that others can no longer write it."""

from __future__ import annotations

from typing import Final

from modelyard.api.access import cel
from modelyard.api.access.policy import KINDS, Check, Policy, Rule

MOST_BYTES: Final = 192 * 1024
"""The most bytes of all annotations but ours, of the 256 KiB that Kubernetes allows: the rest is for the lines of `modelyard.dev/changes`."""
MOST_ENTRIES: Final = {"labels": 128, "finalizers": 32, "ownerReferences": 32, "managedFields": 64}
"""The most entries: an object that has grown to etcd's limit can no longer be written, not even its status."""


def _spent(obj: str) -> str:
    notes = f"{obj}.metadata.?annotations.orValue({{}})"
    return f"{notes}.map(k, k == '{cel.CHANGES}' ? 0 : size(bytes(k)) + size(bytes({notes}[k]))).sum()"


def _count(obj: str, field: str) -> str:
    empty = "{}" if field == "labels" else "[]"
    return f"size({obj}.metadata.?{field}.orValue({empty}))"


def _bounded(field: str, most: int) -> str:
    no_more = f"request.operation == 'UPDATE' && {_count('object', field)} <= {_count('oldObject', field)}"
    return f"({_count('object', field)} <= {most} || ({no_more}))"


POLICY: Final = Policy(
    "metadata",
    "Metadata of the three kinds is bounded, so that nobody can fill an object until what others have to write finds no room; what is there may shrink.",
    (Rule(list(KINDS)),),
    {"spent": _spent("object"), "before": _spent("oldObject")},
    (
        Check(
            f"variables.spent <= {MOST_BYTES} || (request.operation == 'UPDATE' && variables.spent <= variables.before)",
            f"'the annotations of ' + object.metadata.name + ' take ' + string(variables.spent) + ' bytes, and may take {MOST_BYTES} together: take some "
            "away (kubectl apply keeps a copy of the manifest in one; kubectl apply --server-side does not)'",
            f"annotations may take {MOST_BYTES} bytes together",
        ),
        Check(
            " && ".join(_bounded(field, most) for field, most in MOST_ENTRIES.items()),
            f"'the metadata of ' + object.metadata.name + ' has too many entries; there may be at most "
            f"{', '.join(f'{most} {field}' for field, most in MOST_ENTRIES.items())}: take some away'",
            "metadata has too many entries",
        ),
    ),
)
