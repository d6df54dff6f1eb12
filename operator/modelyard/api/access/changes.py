"""The annotation that names the author of every spec change that is not recorded yet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from modelyard.api.access import cel
from modelyard.api.access.policy import KINDS, Check, Policy, Rule, Stamp

VARIABLES: Final = {
    "next": "request.operation == 'CREATE' ? 1 : oldObject.metadata.generation + 1",
    "changed": "request.operation == 'CREATE' || object.spec != oldObject.spec",
    "own": f"variables.changed ? [string(variables.next) + ' ' + {cel.USER}.replace('\\n', ' ')] : []",
    "was": f"request.operation == 'CREATE' ? '' : oldObject.metadata.?annotations[?'{cel.CHANGES}'].orValue('')",
    "recorded": "request.operation == 'CREATE' ? 0 : oldObject.?status.?recorded.?generation.orValue(0)",
    "kept": "variables.was.split('\\n').filter(l, l.matches('^[0-9]{1,18} .') && int(l.split(' ')[0]) > variables.recorded && "
    f"(l.startsWith('1 ') || int(l.split(' ')[0]) > variables.next - {cel.MOST_CHANGES - 1}))",
    "right": "(variables.kept + variables.own).join('\\n')",
}
_GIVEN: Final = f"object.metadata.?annotations[?'{cel.CHANGES}'].orValue('')"
_WANTED: Final = (
    f"'the annotation {cel.CHANGES} says who changed the spec, and has to be ' + (variables.right == '' ? 'left as it is' : '\"' + "
    "variables.right.replace('\\n', '\\\\n') + '\"') + ': the API server sees to it from Kubernetes 1.36, before that `modelyard` does'"
)
POLICY: Final = Policy(
    "changes",
    f"The annotation {cel.CHANGES} names who made each spec change that is not recorded yet; nobody can write another's name, or take one away.",
    (Rule(list(KINDS)),),
    {
        **VARIABLES,
        "given": _GIVEN,
        "whole": "((variables.was == '' ? [] : variables.was.split('\\n')) + variables.own).join('\\n')",
        "unsigned": "[variables.kept.join('\\n'), variables.was]",
    },
    (
        Check(
            f"variables.given == variables.right || variables.given in variables.unsigned || (variables.given == variables.whole && "
            f"size(variables.whole.split('\\n')) <= {cel.MOST_CHANGES})",
            _WANTED,
            f"the annotation {cel.CHANGES} was changed by hand",
        ),
        Check(
            "!variables.changed || variables.given == variables.right || variables.given == variables.whole",
            _WANTED,
            f"the annotation {cel.CHANGES} lacks the line of this change",
            only="signedChanges",
        ),
    ),
)


def line(generation: int, user: str) -> str:
    """Return the line of one spec change; `generation` is the generation after it."""
    return f"{generation} {user.replace(chr(10), ' ')}"


def signed(obj: Mapping[str, Any], user: str) -> dict[str, Any]:
    """Return a new object with the fields that the API server stamps from Kubernetes 1.36 on: its author, and a Promotion's requester."""
    metadata = obj["metadata"]
    notes = {**(metadata.get("annotations") or {}), cel.CHANGES: line(1, user)}
    requester = {"requestedBy": user} if obj["kind"] == "Promotion" else {}
    return {**obj, "metadata": {**metadata, "annotations": notes}, "spec": {**requester, **obj["spec"]}}


def read(text: str) -> dict[int, str]:
    """Parse the annotation: users by generation."""
    matches = (re.fullmatch(r"([0-9]{1,18}) (.+)", match) for match in text.split("\n"))
    return {int(match[1]): match[2] for match in matches if match}


def added(text: str, generation: int, recorded: int, user: str) -> str:
    """Return the annotation after a spec change, as the API server writes it: `generation` is the one before the change, `recorded` the last recorded one."""
    before = generation + 2 - cel.MOST_CHANGES
    signed_lines = [
        line(signed_generation, who)
        for signed_generation, who in read(text).items()
        if signed_generation > recorded and (signed_generation == 1 or signed_generation > before)
    ]
    return "\n".join([*signed_lines, line(generation + 1, user)])


_PATH: Final = "/metadata/annotations/" + cel.CHANGES.replace("/", "~1")
MUTATION: Final = (
    f"variables.right == '' ? (object.metadata.?annotations[?'{cel.CHANGES}'].hasValue() ? [JSONPatch{{op: 'remove', path: '{_PATH}'}}] : []) : "
    f"(has(object.metadata.annotations) ? [JSONPatch{{op: 'add', path: '{_PATH}', value: variables.right}}] : "
    f"[JSONPatch{{op: 'add', path: '/metadata/annotations', value: {{'{cel.CHANGES}': variables.right}}}}])"
)

STAMP: Final = Stamp(
    "changes",
    f"Models and ModelVersions: {cel.CHANGES} names who made each spec change that is not recorded yet.",
    (Rule(["models", "modelversions"]),),
    VARIABLES,
    (MUTATION,),
)
