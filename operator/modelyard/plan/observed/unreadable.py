"""Modelyard objects whose spec this release cannot read: nobody knows what they ask for, so nothing is decided of their model."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pydantic

from modelyard.api import meta
from modelyard.api.reason import Reason
from modelyard.ledger import index
from modelyard.plan import finding
from modelyard.plan.modelversion import conditions


@dataclasses.dataclass(frozen=True, slots=True)
class Unread:
    """One object whose spec cannot be read."""

    subject: meta.Resource
    wrong: str
    """The fields that cannot be read, and why."""
    status: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """The object's present status."""

    @property
    def kind(self) -> str:
        return self.subject.kind

    @property
    def name(self) -> str:
        return self.subject.metadata.name

    @property
    def fact(self) -> finding.Finding:
        """Return what is wrong and what to do, for the object's own status."""
        message = (
            f"this release cannot read {self.wrong}: write the field as `kubectl explain {self.kind.lower()}.spec` has it, or run the release "
            "that this was written for; until then nothing is decided of its model, and what serves goes on"
        )
        return finding.Finding(Reason.INVALID, message)


def blocking(objects: Iterable[Unread], past: index.Index | None) -> tuple[Unread, ...]:
    """Return the objects that decisions have to wait for: all but Promotions that the ledger has with a phase."""
    finished = {name for name, promotion in (past.promotions if past else {}).items() if promotion.phase}
    return tuple(unread for unread in objects if unread.kind != "Promotion" or unread.name not in finished)


def model_finding(objects: Sequence[Unread]) -> finding.Finding:
    """Return what their Model's status says of them."""
    first = objects[0]
    more = f" (and {len(objects) - 1} more)" if objects[1:] else ""
    return finding.Finding(Reason.INVALID, f"{first.kind} {first.name}{more}: {first.fact.message}")


def settle(before: Sequence[meta.Condition], cause: finding.Finding, generation: int, now: datetime.datetime) -> list[meta.Condition]:
    """Return the conditions with this finding as Ready and Stalled; other conditions stay."""
    ready = finding.find(before, "Ready")
    not_false = ready is not None and ready.status != meta.ConditionStatus.FALSE
    wanted = {
        "Ready": finding.State.unknown(cause) if not_false else finding.State.false(cause),
        "Stalled": finding.State.true(cause.reason, cause.message),
        **conditions.unchanged(before, cause, generation),
    }
    return finding.settle(before, wanted, generation, now)


def status(unread: Unread, now: datetime.datetime, *, blocks: bool) -> dict[str, Any]:
    """Return the object's status with what is wrong, and all else as it was. Where it blocks nothing, only the observed generation changes."""
    try:
        before = pydantic.TypeAdapter(list[meta.Condition]).validate_python(unread.status.get("conditions") or [])
    except pydantic.ValidationError:
        before = []
    generation = unread.subject.metadata.generation
    after = (
        settle(before, unread.fact, generation, now)
        if blocks
        else [condition.model_copy(update={"observed_generation": generation}) for condition in before]
    )
    return {**unread.status, "observedGeneration": generation, "conditions": [condition.dump() for condition in after]}
