"""Objects of ours whose spec this release cannot read: they are there, nobody knows what they ask for, and so nothing is decided of their model."""

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
    """One such object."""

    subject: meta.Resource
    wrong: str
    """The fields that cannot be read, and why."""
    status: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """As it is."""

    @property
    def kind(self) -> str:
        return self.subject.kind

    @property
    def name(self) -> str:
        return self.subject.metadata.name

    @property
    def fact(self) -> finding.Fact:
        """What is wrong and what to do, for the object itself."""
        message = (
            f"this release cannot read {self.wrong}: write the field as `kubectl explain {self.kind.lower()}.spec` has it, or run the release "
            "that this was written for; until then nothing is decided of its model, and what serves goes on"
        )
        return finding.Fact(Reason.INVALID, message)


def blocking(those: Iterable[Unread], past: index.Index | None) -> tuple[Unread, ...]:
    """Those that decisions have to wait for: all but Promotions that are history."""
    ran = {name for name, one in (past.promotions if past else {}).items() if one.phase}
    return tuple(one for one in those if one.kind != "Promotion" or one.name not in ran)


def told_to_model(those: Sequence[Unread]) -> finding.Fact:
    """What their Model says of them."""
    first = those[0]
    more = f" (and {len(those) - 1} more)" if those[1:] else ""
    return finding.Fact(Reason.INVALID, f"{first.kind} {first.name}{more}: {first.fact.message}")


def settle(before: Sequence[meta.Condition], said: finding.Fact, generation: int, now: datetime.datetime) -> list[meta.Condition]:
    """The conditions with this over them; what else was known stays."""
    was = finding.find(before, "Ready")
    holds = was is not None and was.status != meta.ConditionStatus.FALSE
    wanted = {
        "Ready": finding.State.unknown(said) if holds else finding.State.false(said),
        "Stalled": finding.State.true(said.reason, said.message),
        **conditions.kept(before, said, generation),
    }
    return finding.settle(before, wanted, generation, now)


def status(of: Unread, now: datetime.datetime, *, blocks: bool) -> dict[str, Any]:
    """The object's status with that said, and everything else of it as it was; of history only that it was seen."""
    try:
        before = pydantic.TypeAdapter(list[meta.Condition]).validate_python(of.status.get("conditions") or [])
    except pydantic.ValidationError:
        before = []
    generation = of.subject.metadata.generation
    after = (
        settle(before, of.fact, generation, now)
        if blocks
        else [one.model_copy(update={"observed_generation": generation}) for one in before]
    )
    return {**of.status, "observedGeneration": generation, "conditions": [one.dump() for one in after]}
