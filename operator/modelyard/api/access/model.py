"""Models: rules, what a stage serves, aliases, lifecycle, deletion."""

from __future__ import annotations

from typing import Final

from modelyard.api.access import cel
from modelyard.api.access.policy import Check, Policy, Rule

DEFAULT_STAGES: Final = (
    "[dyn({'name': 'development'}), dyn({'name': dyn('staging'), 'gates': dyn({'after': ['development']})}), "
    "dyn({'name': dyn('production'), 'gates': dyn({'after': ['staging']})})]"
)


def _one_stage(verb: str, changed: str) -> str:
    """Return CEL: the user has the verb for every stage, or changes one stage and has the verb for it."""
    single_stage = cel.may_in(verb, f"variables.{changed}[0]")
    return f"size(variables.{changed}) == 0 || variables.{verb} || (size(variables.{changed}) == 1 && {single_stage})"


def _stage_lacks(doing: str, verb: str, changed: str, role: str) -> str:
    listed = f"variables.{changed}.join(', ')"
    resource = f"(size(variables.{changed}) == 1 ? 'models/' + {listed} + ' (or on models, for every stage)' : 'models')"
    message = cel.lacks(f"'{doing} of stage ' + {listed}", verb, resource, role)
    return f"{message} + (size(variables.{changed}) > 1 ? '; who holds it for single stages changes one stage per write' : '')"


POLICY: Final = Policy(
    "models",
    "Models: rules of a stage and the risk tier need govern, what it serves promote (and create deployments), aliases alias, lifecycle and deletion retire.",
    (Rule(["models"], ("CREATE", "UPDATE", "DELETE")),),
    {
        "model": "request.operation == 'CREATE' ? object.metadata.name : oldObject.metadata.name",
        "ending": cel.ENDING,
        "before": f"request.operation == 'CREATE' ? [] : {cel.of('stages', DEFAULT_STAGES, 'oldObject')}",
        "after": f"request.operation == 'DELETE' ? variables.before : {cel.of('stages', DEFAULT_STAGES)}",
        "ruled": "variables.after.filter(s, !variables.before.exists(b, b.name == s.name && b.?gates == s.?gates && b.?frozen == s.?frozen && "
        "b.?autoPromote.orValue(false) == s.?autoPromote.orValue(false))).map(s, s.name) + "
        "variables.before.filter(b, !variables.after.exists(s, s.name == b.name)).map(b, b.name)",
        "served": "variables.after.filter(s, variables.before.exists(b, b.name == s.name) ? "
        "variables.before.exists(b, b.name == s.name && b.?serving != s.?serving) : has(s.serving)).map(s, s.name)",
        "govern": cel.may("govern"),
        "promote": cel.may("promote"),
        "retire": cel.may("retire"),
        "idle": "oldObject.?status.?stages.orValue([]).all(s, !has(s.serving) && !has(s.rollout) && !has(s.promotion))",
        "released": "oldObject.?status.?versions.?held.orValue(0) == 0",
        "storage": "request.operation == 'DELETE' ? '' : object.spec.storage.uri",
    },
    (
        Check(
            "request.operation == 'DELETE' || (request.operation == 'UPDATE' && variables.storage == oldObject.spec.storage.uri) || "
            f"!(variables.storage.startsWith('{cel.BUCKET}') || '{cel.BUCKET}'.startsWith(variables.storage))",
            f"'spec.storage.uri ' + variables.storage + ' has the operator\\'s own {cel.BUCKET} in it, or is in it, where nobody keeps artifacts: name "
            "another bucket or folder'",
            "spec.storage.uri may not touch the operator's own bucket",
        ),
        Check(
            f"request.operation == 'DELETE' || ({_one_stage('govern', 'ruled')})",
            _stage_lacks("make or change the rules", "govern", "ruled", "governor"),
            cel.plain("govern", "creating a Model, adding or removing a stage, or changing its gates, frozen or autoPromote"),
        ),
        Check(
            f"request.operation != 'UPDATE' || !({cel.differs('riskTier', repr('Low'))}) || variables.govern",
            cel.lacks("'change the riskTier, which decides what every stage may ask to be documented'", "govern", "'models'", "governor"),
            cel.plain("govern", "changing riskTier"),
        ),
        Check(
            f"request.operation == 'DELETE' || ({_one_stage('promote', 'served')})",
            _stage_lacks("set or change the field serving", "promote", "served", "promoter"),
            cel.plain("promote", "changing what a stage serves"),
        ),
        Check(
            "size(variables.served) == 0 || authorizer.group('apps').resource('deployments').namespace(request.namespace).check('create').allowed()",
            f"{cel.USER} + ' may not set or change the field serving of stage ' + variables.served.join(', ') + ': a pod template also takes the verb "
            "create on deployments of apps in namespace ' + request.namespace + '; the ClusterRole edit has it'",
            "changing what a stage serves also takes the verb create on deployments of apps",
        ),
        Check(
            f"request.operation == 'DELETE' || (request.operation == 'CREATE' ? size({cel.of('aliases', '{}')}) == 0 : !({cel.differs('aliases', '{}')})) || "
            f"({cel.may('alias')})",
            cel.lacks("'change the aliases'", "alias", "'models'", "owner"),
            cel.plain("alias", "changing aliases"),
        ),
        Check(
            f"request.operation != 'UPDATE' || !({cel.differs('lifecycle', repr('Active'))}) || variables.retire",
            cel.lacks("'change the lifecycle'", "retire", "'models'", "owner"),
            cel.plain("retire", "changing lifecycle"),
        ),
        Check(
            "request.operation != 'DELETE' || variables.ending || variables.retire",
            cel.lacks("'delete the Model'", "retire", "'models'", "owner"),
            cel.plain("retire", "deleting a Model"),
        ),
        Check(
            f"request.operation != 'DELETE' || variables.ending || ({cel.of('lifecycle', repr('Active'), 'oldObject')} == 'Retired' && variables.idle)",
            "'the Model ' + variables.model + ' cannot be deleted yet: ' + (variables.idle ? 'set spec.lifecycle to Retired first' : "
            "'set spec.lifecycle to Retired, and wait until it serves nothing')",
            "a Model can be deleted only when Retired and serving nothing",
        ),
        Check(
            "request.operation != 'DELETE' || variables.ending || variables.released",
            "'the Model ' + variables.model + ' cannot be deleted yet: objects of its versions are under a legal hold, which only the operator lifts, "
            "and only with this Model: wait until status.versions.held is gone; status.artifact.holdMessage of a ModelVersion says why it cannot be "
            f"lifted, and the annotation {cel.LEAVE} on that ModelVersion gives it up'",
            "a Model can be deleted only when no objects of its versions are under a legal hold of the operator's",
        ),
    ),
)
