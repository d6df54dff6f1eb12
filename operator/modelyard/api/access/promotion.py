"""Promotions: asking, approving, and changing nothing else."""

from __future__ import annotations

from typing import Final

from modelyard.api import promotion
from modelyard.api.access import cel, changes
from modelyard.api.access.policy import Check, Policy, Rule, Stamp

_RULED_BY_PROMOTE: Final = " || ".join(
    f"object.spec.?{alias} != oldObject.spec.?{alias}"
    for name, field in promotion.PromotionSpec.model_fields.items()
    if (alias := str(field.alias or name)) != "approvals"
)
_SAME_ANNOTATIONS: Final = " && ".join(
    f"{side}.metadata.?annotations.orValue({{}}).all(k, k == '{cel.CHANGES}' || (k in {other}.metadata.?annotations.orValue({{}}) && "
    f"{other}.metadata.annotations[k] == {side}.metadata.annotations[k]))"
    for side, other in (("object", "oldObject"), ("oldObject", "object"))
)
_SAME_METADATA: Final = " && ".join(
    [
        *(
            f"object.metadata.?{field}.orValue({empty}) == oldObject.metadata.?{field}.orValue({empty})"
            for field, empty in (("labels", "{}"), ("finalizers", "[]"), ("ownerReferences", "[]"))
        ),
        _SAME_ANNOTATIONS,
    ]
)
_HOW: Final = "; approve with `modelyard approve '"
_APPROVE: Final = f"{_HOW} + request.name + ' --gate GATE`'"

POLICY: Final = Policy(
    "promotions",
    "Promotions: asking takes promote (or rollback) on the stage, in one's own name; approving takes approve, in one's own name, and changes "
    "nothing else.",
    (Rule(["promotions"], ("CREATE", "UPDATE", "DELETE")),),
    {
        "model": "request.operation == 'CREATE' ? object.spec.model : oldObject.spec.model",
        "stage": "request.operation == 'CREATE' ? object.spec.stage : oldObject.spec.stage",
        "ending": cel.ENDING,
        "rollback": f"request.operation == 'CREATE' && {cel.of('rollback', 'false')}",
        "promote": f"({cel.may('promote')}) || ({cel.may_in('promote', 'variables.stage')})",
        "undo": f"({cel.may('rollback')}) || ({cel.may_in('rollback', 'variables.stage')})",
        "touched": f"request.operation == 'UPDATE' && ({_RULED_BY_PROMOTE} || !({_SAME_METADATA}))",
        "was": f"request.operation == 'UPDATE' ? {cel.of('approvals', '[]', 'oldObject')} : []",
        "said": f"request.operation == 'DELETE' ? [] : {cel.of('approvals', '[]')}.filter(a, !variables.was.exists(b, b == a))",
        "phase": "oldObject.?status.?phase.orValue('Pending')",
        "gates": "oldObject.?status.?approvals.orValue([])",
        "subject": "oldObject.?status.?subject.orValue('')",
        "approve": cel.may("approve"),
        "approveStage": cel.may_in("approve", "variables.stage"),
        "approveGate": cel.may_in("approve", "variables.stage + '/' + variables.said[0].gate"),
    },
    (
        Check(
            "request.operation != 'CREATE' || (variables.rollback ? variables.undo : variables.promote)",
            cel.lacks(
                "(variables.rollback ? 'roll back ' : 'promote versions of ') + variables.model + ' in stage ' + variables.stage",
                "' + (variables.rollback ? 'rollback' : 'promote') + '",
                "'models/' + variables.stage + ' (or on models, for every stage)'",
                "promoter",
            ),
            cel.plain("promote or rollback", "creating a Promotion"),
        ),
        Check(
            f"request.operation != 'CREATE' || {cel.of('requestedBy', repr(''))} == {cel.USER}",
            f"'spec.requestedBy has to be ' + {cel.USER} + ', your own name: leave it out, the API server fills it in (before Kubernetes 1.36 write it)'",
            "spec.requestedBy has to be your own name",
        ),
        Check(
            f"!variables.touched || {cel.USER} in {cel.SWEEPERS} || variables.promote",
            cel.lacks(
                "'change anything of ' + request.name + ' but their own approval, metadata included'",
                "promote",
                "'models/' + variables.stage + ' (or on models, for every stage)'",
                "promoter",
            )
            + f" + '{_APPROVE}",
            cel.plain("promote", "changing anything of a Promotion but one's own approval"),
        ),
        Check(
            "request.operation != 'DELETE' || variables.ending || variables.promote",
            cel.lacks(
                "'delete ' + request.name + ', which aborts it'",
                "promote",
                "'models/' + variables.stage + ' (or on models, for every stage)'",
                "promoter",
            ),
            cel.plain("promote", "deleting a Promotion"),
        ),
        Check(
            "size(variables.said) <= 1",
            f"'one approval per write, and ' + string(size(variables.said)) + ' entries of spec.approvals are new or changed{_APPROVE}",
            "one approval per write",
        ),
        Check(
            f"variables.said.all(a, a.user == {cel.USER})",
            f"{cel.USER} + ' cannot write the approval of ' + variables.said.map(a, a.user).join(', ') + ': everybody writes their own{_APPROVE}",
            "everybody writes the approval in their own name",
        ),
        Check(
            "size(variables.said) != 1 || variables.approve || variables.approveStage || variables.approveGate",
            cel.lacks(
                "'approve for gate ' + variables.said[0].gate",
                "approve",
                "'models/' + variables.stage + '/' + variables.said[0].gate + ' (or on models/' + variables.stage + ', or on models)'",
                "approver",
            ),
            cel.plain("approve", "approving"),
        ),
        Check(
            "variables.said.all(a, request.operation == 'UPDATE' && (variables.phase == 'AwaitingApproval' || "
            "(a.decision == 'Withdrawn' && variables.phase in ['Pending', 'Blocked'])))",
            "'nobody is asked yet, or any more: ' + request.name + ' is ' + (request.operation == 'UPDATE' ? variables.phase : 'new') + "
            f"', and approvals are written while it is AwaitingApproval{_APPROVE}",
            "approvals are written while the Promotion is AwaitingApproval",
        ),
        Check(
            "variables.said.all(a, (variables.subject != '' && a.?subject.orValue('') == variables.subject) || (a.decision == 'Withdrawn' && "
            "variables.was.exists(b, b.user == a.user && b.gate == a.gate && b.?subject == a.?subject)))",
            f"'an approval is for what is asked now: its subject has to be ' + variables.subject + '{_APPROVE}",
            "an approval's subject has to be the current status.subject",
        ),
        Check(
            "variables.said.all(a, size(variables.gates) == 0 || variables.gates.exists(g, g.gate == a.gate))",
            "'stage ' + variables.stage + ' has no gate ' + variables.said[0].gate + '; it asks for ' + variables.gates.map(g, g.gate).join(', ')",
            "the stage has no approval gate of that name",
        ),
        Check(
            f"variables.said.all(a, !{cel.USER}.startsWith('system:') || variables.gates.exists(g, g.gate == a.gate && "
            "g.?allowServiceAccounts.orValue(false)))",
            f"'gate ' + variables.said[0].gate + ' asks for people, and ' + {cel.USER} + ' is a service account: a person approves, or the Model says "
            "allowServiceAccounts: true for this gate'",
            "the gate asks for people, not for service accounts",
        ),
        Check(
            f"variables.said.all(a, a.decision != 'Approved' || !({cel.of('requestedBy', repr(''), 'oldObject')} in ['', {cel.USER}]))",
            f"({cel.of('requestedBy', repr(''), 'oldObject')} == '' ? 'nobody knows who asked for ' + request.name + ', so nobody can approve it: ask again "
            f"with a new Promotion' : 'four eyes: ' + {cel.USER} + ' asked for ' + request.name + ' and cannot approve it as well; somebody else does')",
            "four eyes: who asked for a promotion cannot approve it as well",
        ),
    ),
)

_STAMP_REQUESTED_BY: Final = (
    f"has(object.spec.requestedBy) ? [] : (request.operation == 'CREATE' ? [JSONPatch{{op: 'add', path: '/spec/requestedBy', value: {cel.USER}}}] : "
    "(has(oldObject.spec.requestedBy) ? [JSONPatch{op: 'add', path: '/spec/requestedBy', value: oldObject.spec.requestedBy}] : []))"
)
_STAMP_SUBJECT: Final = (
    "request.operation == 'CREATE' || !has(object.spec.approvals) || !oldObject.?status.?subject.hasValue() ? [] : "
    f"object.spec.approvals.filter(a, a.user == {cel.USER} && !has(a.subject) && "
    f"!{cel.of('approvals', '[]', 'oldObject')}.exists(b, b == a)).map(a, JSONPatch{{op: 'add', "
    "path: '/spec/approvals/' + string(object.spec.approvals.indexOf(a)) + '/subject', value: oldObject.status.subject})"
)

STAMP: Final = Stamp(
    "promotions",
    f"Promotions: who asked (requestedBy), what an approval is for (subject), and {cel.CHANGES}.",
    (Rule(["promotions"]),),
    changes.VARIABLES,
    (_STAMP_REQUESTED_BY, _STAMP_SUBJECT, changes.MUTATION),
)
