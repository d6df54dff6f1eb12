"""ModelVersions: registering, attesting, lifecycle, deletion."""

from __future__ import annotations

from typing import Final

from modelyard.api.access import cel
from modelyard.api.access.policy import Check, Policy, Rule

POLICY: Final = Policy(
    "versions",
    "ModelVersions: creating takes register, new metrics or evidence attest, lifecycle and deletion retire.",
    (Rule(["modelversions"], ("CREATE", "UPDATE", "DELETE")),),
    {
        "model": "request.operation == 'CREATE' ? object.spec.model : oldObject.spec.model",
        "ending": cel.ENDING,
        "untried": "!has(oldObject.status) || (!has(oldObject.status.artifact) && !has(oldObject.status.specDigest))",
        "retired": f"{cel.of('lifecycle', repr('Active'), 'oldObject')} == 'Retired' && size(oldObject.?status.?stages.orValue([])) == 0",
        "released": f"!has(oldObject.status) || !has(oldObject.status.artifact) || !has(oldObject.status.artifact.held) || "
        f"'{cel.LEAVE}' in oldObject.metadata.?annotations.orValue({{}})",
        "known": "request.operation != 'UPDATE' ? [] : [oldObject.spec.artifact.uri] + "
        f"{cel.of('evidence', '[]', 'oldObject')}.map(e, e.uri)",
        "named": f"request.operation == 'DELETE' ? [] : [object.spec.artifact.uri] + {cel.of('evidence', '[]')}.map(e, e.uri)",
        "own": f"variables.named.filter(u, (u.startsWith('{cel.BUCKET}') || '{cel.BUCKET}'.startsWith(u)) && !(u in variables.known))",
        "register": cel.may("register"),
        "retire": cel.may("retire"),
    },
    (
        Check(
            "size(variables.own) == 0",
            f"variables.own.join(', ') + ' is in the operator\\'s own {cel.BUCKET}, or has it in it, where nobody keeps artifacts or evidence: name another place'",
            "no artifact or evidence is in the operator's own bucket",
        ),
        Check(
            "request.operation != 'CREATE' || variables.register",
            cel.lacks("'register versions of ' + variables.model", "register", "'models'", "publisher"),
            cel.plain("register", "creating a ModelVersion"),
        ),
        Check(
            f"request.operation != 'UPDATE' || !({cel.differs('metrics', '{}')} || {cel.differs('evidence', '[]')}) || ({cel.may('attest')})",
            cel.lacks("'add metrics or evidence to versions of ' + variables.model", "attest", "'models'", "publisher"),
            cel.plain("attest", "adding metrics or evidence"),
        ),
        Check(
            f"request.operation != 'UPDATE' || !({cel.differs('lifecycle', repr('Active'))}) || variables.retire",
            cel.lacks("'change the lifecycle of versions of ' + variables.model", "retire", "'models'", "owner"),
            cel.plain("retire", "changing lifecycle"),
        ),
        Check(
            "request.operation != 'DELETE' || variables.ending || variables.untried || variables.retired",
            "'the ModelVersion ' + oldObject.metadata.name + ' was Ready once and cannot be deleted yet: set spec.lifecycle to Retired, "
            "and wait until no stage runs it'",
            "a version that was Ready once can be deleted only when Retired and serving nothing",
        ),
        Check(
            "request.operation != 'DELETE' || variables.ending || !variables.retired || variables.released",
            "'the objects of the ModelVersion ' + oldObject.metadata.name + ' are still under a legal hold, which nobody would lift once it is "
            "deleted: wait until status.artifact.held is gone; if the hold cannot be lifted, status.artifact.holdMessage says why, and who gives "
            f"up lifting it annotates the ModelVersion first: kubectl annotate mv ' + oldObject.metadata.name + ' {cel.LEAVE}=yes'",
            f"a version whose objects are under legal hold can be deleted only once that is lifted, or given up by the annotation {cel.LEAVE}",
        ),
        Check(
            "request.operation != 'DELETE' || variables.ending || (variables.untried && variables.register) || (variables.retired && variables.retire)",
            cel.lacks(
                "'delete versions of ' + variables.model",
                "retire (or, for one that never was Ready, the verb register)",
                "'models'",
                "owner",
            ),
            cel.plain("retire", "deleting a ModelVersion"),
        ),
    ),
)
