"""The gates of a stage: each is a pure check, named as the statement that must be true, and has a row in `status.gates`."""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Iterable, Iterator
from typing import Final

from modelyard import api
from modelyard.api import access, meta, promotion
from modelyard.api.gates import EvidenceType, MetricGate
from modelyard.api.reason import Reason
from modelyard.plan import finding
from modelyard.plan.modelversion import documentation
from modelyard.plan.observed import world
from modelyard.plan.promotion import approvals, metric, prerequisites, successes

_APPROVALS: Final = "approvals/"
MESSAGE: Final = 1024
_ANEW: Final = "register it as another version, with `modelyard push --apply`, or with any client from Kubernetes 1.36 on"


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one gate."""

    name: str
    held: finding.Unmet | None
    message: str

    @property
    def asks_people(self) -> bool:
        """Return whether the gate asks for approvals."""
        return self.name.startswith(_APPROVALS)

    def row(self) -> promotion.GateStatus:
        """Return its row in `status.gates`."""
        message = self.held.message if self.held else self.message
        return promotion.GateStatus(name=self.name, passed=self.held is None, message=message[:MESSAGE])


def has_succeeded_in_the_stages_before(case: prerequisites.Case, now: datetime.datetime) -> prerequisites.GateResult:
    del now
    after = case.demands.after or []
    missing = [stage for stage in after if case.version not in successes.not_undone(case.world, stage)]
    if not missing:
        return f"{case.version} has Succeeded in {', '.join(after)}, and was not undone since"
    return finding.Unmet(
        Reason.WAITING_FOR_STAGE,
        f"{case.version} has not Succeeded in {', '.join(missing)} yet; it waits until who may promote there brings it there",
    )


def has_served_long_enough(case: prerequisites.Case, now: datetime.datetime) -> prerequisites.GateResult:
    """It has served for `servedFor` in every stage of `after`.

    The ledger says when it served; time in which nobody watched does not count. Where the stage serves nothing, the time since it
    Succeeded there counts.
    """
    required, stages = case.demands.served_for or datetime.timedelta(), case.demands.after or []
    waits = [held for stage in stages if (held := _served_too_short(case, stage, required, now))]
    if not waits:
        return f"{case.version} has served {meta.write_duration(required)} in {', '.join(stages)}{_uncounted(case, stages, now)}"
    for_a_person = next((held for held in waits if held.waits == finding.Waits.FOR_A_PERSON), None)
    return for_a_person or max(waits, key=lambda held: held.until or datetime.datetime.max.replace(tzinfo=datetime.UTC))


def _served_too_short(case: prerequisites.Case, stage: str, required: datetime.timedelta, now: datetime.datetime) -> finding.Unmet | None:
    declared, stage_status = case.world.stage(stage), case.world.stands(stage)
    if declared is not None and declared.serving is not None:
        served = case.world.served.get((stage, case.version), world.Served())
        if served.total(now) >= required:
            return None
        until = now + required - served.total(now) if served.serves else None
    else:
        since = successes.not_undone(case.world, stage).get(case.version)
        if since and now >= since + required:
            return None
        until = since + required if since else None
    wish = f"{case.version} must have served {meta.write_duration(required)} in {stage}"
    if until:
        more = _uncounted(case, [stage], now)
        return finding.Unmet(Reason.SERVED_TOO_SHORT, f"{wish}: it has from {_moment(until)} on, if it stays there{more}", until=until)
    if case.version == stage_status.current or case.version not in successes.not_undone(case.world, stage):
        return finding.Unmet(Reason.SERVED_TOO_SHORT, f"{wish}, and does not serve there yet: it waits for that")
    return prerequisites.person(Reason.SERVED_TOO_SHORT, f"{wish}, and serves there no more: promote it there again")


def _uncounted(case: prerequisites.Case, stages: Iterable[str], now: datetime.datetime) -> str:
    """Return how much time does not count as nobody watched, in words."""
    served = [case.world.served.get((stage, case.version), world.Served()) for stage in stages]
    longest = max((period.uncounted(now) for period in served), default=datetime.timedelta())
    whole = datetime.timedelta(seconds=-(-longest // datetime.timedelta(seconds=1)))
    return f"; {meta.write_duration(whole)} in which nobody watched do not count" if whole else ""


def metric_is_good_enough(case: prerequisites.Case, now: datetime.datetime, gate: MetricGate) -> prerequisites.GateResult:
    del now
    return metric.judge(case.world, case.stage, case.version, gate)


def evidence_is_there(case: prerequisites.Case, now: datetime.datetime, kind: EvidenceType) -> prerequisites.GateResult:
    """There is evidence of the type, and the bytes of all evidence are verified as it is declared now."""
    del now
    wanted = case.wanted
    if wanted is None:
        return finding.Unmet(
            Reason.VERSION_MISSING, f"the evidence is looked at once the ModelVersion {case.world.name}-{case.version} exists"
        )
    names = [document.name for document in wanted.spec.evidence or [] if document.type == kind]
    if not names:
        message = f"the ModelVersion {case.world.name}-{case.version} has no {kind}: who may attest adds one to spec.evidence"
        return prerequisites.person(Reason.EVIDENCE_MISSING, message)
    named = f"the {kind} {', '.join(names)}"
    if documentation.evidence_is_verified(wanted):
        who = sorted({by for name in names if (by := case.world.declared_by(case.version, f"evidence/{name}"))})
        return f"{named}" + (f", declared by {', '.join(who)}," if who else "") + " is there, and its bytes are verified"
    condition = finding.find(wanted.status.conditions, "EvidenceVerified")
    if condition and condition.status == api.ConditionStatus.FALSE and condition.observed_generation == wanted.metadata.generation:
        message = f"{named} does not count while the version's evidence is not verified: {condition.message}; whoever wrote it uploads the right bytes"
        return prerequisites.person(Reason.EVIDENCE_NOT_VERIFIED, message)
    return finding.Unmet(Reason.EVIDENCE_NOT_VERIFIED, f"{named} is there, and its bytes are not verified yet; it waits for that")


def documentation_is_complete(case: prerequisites.Case, now: datetime.datetime) -> prerequisites.GateResult:
    del now
    model, wanted = case.world.model, case.wanted
    if model is None or wanted is None:
        return finding.Unmet(Reason.VERSION_MISSING, "the documentation is looked at once the Model and the ModelVersion exist")
    tier = documentation.tier(model)
    missing = documentation.missing(documentation.File(model, wanted, verified=documentation.evidence_is_verified(wanted)))
    if not missing:
        return f"everything that the tier {tier} demands is there"
    return prerequisites.person(
        Reason.DOCUMENTATION_INCOMPLETE,
        f"the tier {tier} demands what is missing: {'; '.join(missing)}; who may attest adds evidence and metrics, who may edit the Model what is"
        " the Model's; what is neither needs another version",
    )


def stage_is_not_frozen(case: prerequisites.Case, now: datetime.datetime) -> prerequisites.GateResult:
    declared = case.world.stage(case.stage)
    frozen = declared.frozen if declared else None
    if frozen is None or (frozen.until and frozen.until <= now):
        return "the stage is not frozen"
    until = f" until {_moment(frozen.until)}" if frozen.until else ""
    message = (
        f"the stage {case.stage} is frozen ({frozen.reason}){until}; who may govern {case.stage} ends it by removing spec.stages[].frozen"
    )
    return finding.Unmet(Reason.FROZEN, message, until=frozen.until)


def enough_people_approved(case: prerequisites.Case) -> Iterator[Verdict]:
    """Judge the approval gates together, as a person counts for one only; each has a row."""
    gates = case.demands.approvals or []
    if case.promotion is None:
        unasked = finding.Unmet(Reason.AWAITING_APPROVAL, "people are asked once there is a Promotion", finding.Waits.FOR_APPROVAL)
        yield from (Verdict(f"{_APPROVALS}{gate.name}", unasked, "") for gate in gates)
        return
    subject_digest = case.subject
    for count in approvals.count(case.world, case.promotion, gates, subject_digest):
        agree = f"{len(count.people)} of {count.required} approved" + (f" ({', '.join(count.people)})" if count.people else "")
        notes = "".join(f"; {words}" for words in count.others)
        held: finding.Unmet | None = None
        if not case.promotion.spec.requested_by:
            message = f"{count.gate}: nobody knows who asked, as spec.requestedBy is absent: create the Promotion anew, and the API server fills it in"
            held = prerequisites.person(Reason.REQUESTER_UNKNOWN, message)
        elif subject_digest and case.world.lacks_registrant(
            case.version
        ):  # until its bytes are verified, its registration may not be recorded
            message = f"{count.gate}: nobody knows who registered {case.version}, as {access.CHANGES} did not say it: {_ANEW}"
            held = prerequisites.person(Reason.REGISTRANT_UNKNOWN, message)
        elif not count.holds:
            more = f"{max(count.lacks, 0)} more needed of those who may approve models/{case.stage}/{count.gate}"
            message = f"{count.gate}: {agree}, {more}{notes}"
            held = finding.Unmet(Reason.AWAITING_APPROVAL, message, finding.Waits.FOR_APPROVAL)
        yield Verdict(f"{_APPROVALS}{count.gate}", held, f"{agree}{notes}")


def _demanded(case: prerequisites.Case) -> Iterator[tuple[str, prerequisites.Gate]]:
    """Return the gates that the stage declares, approvals aside."""
    demands, declared = case.demands, case.world.stage(case.stage)
    if demands.after:
        yield "after", has_succeeded_in_the_stages_before
    if demands.served_for:
        yield "servedFor", has_served_long_enough
    for gate in demands.metrics or []:
        yield f"metrics/{gate.name}", functools.partial(metric_is_good_enough, gate=gate)
    for kind in demands.evidence or []:
        yield f"evidence/{kind}", functools.partial(evidence_is_there, kind=kind)
    if demands.documentation:
        yield "documentation", documentation_is_complete
    if declared and declared.frozen:
        yield "frozen", stage_is_not_frozen


def judge(case: prerequisites.Case, now: datetime.datetime) -> tuple[Verdict, ...]:
    """Judge every gate of the stage for this version, in the order in which they are shown."""
    demanded = [*prerequisites.ALWAYS, *([("rollback", prerequisites.has_succeeded_here_before)] if case.rollback else _demanded(case))]
    results = ((name, gate(case, now)) for name, gate in demanded)
    verdicts = [Verdict(name, result, "") if isinstance(result, finding.Unmet) else Verdict(name, None, result) for name, result in results]
    return (*verdicts, *(() if case.rollback else enough_people_approved(case)))


_WORST: Final = (finding.Waits.FOR_A_PERSON, finding.Waits.BY_ITSELF, finding.Waits.FOR_APPROVAL)


def worst(verdicts: Iterable[Verdict]) -> finding.Unmet | None:
    """Return the unmet gate to show: first one that only a person can mend, then one that resolves by itself, then approvals."""
    unmet = [verdict.held for verdict in verdicts if verdict.held]
    return min(unmet, key=lambda held: _WORST.index(held.waits), default=None)


def _moment(time: datetime.datetime) -> str:
    return time.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
