"""Findings: a reason and a message, from which the condition, the Event, the ledger's entry and the metric are made."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from modelyard.api import meta
from modelyard.api.reason import Reason

W = TypeVar("W")


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What was found: a reason for machines and a message for people."""

    reason: Reason
    message: str


class Waits(enum.StrEnum):
    """What an unmet gate or check waits for."""

    BY_ITSELF = "by itself"
    FOR_A_PERSON = "for a person"
    FOR_APPROVAL = "for approval"
    """People are asked to approve; everything else is met, or is shown first."""


@dataclasses.dataclass(frozen=True, slots=True)
class Unmet(Finding):
    """An unmet gate or check, and what it waits for."""

    waits: Waits = Waits.BY_ITSELF
    until: datetime.datetime | None = None
    """When to look again, if that is known."""


Check = Callable[[W, datetime.datetime], Unmet | None]


def first_unmet(checks: Iterable[Check[W]], world: W, now: datetime.datetime) -> Unmet | None:
    """Return the first unmet check."""
    for check in checks:
        if held := check(world, now):
            return held
    return None


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """The status of a condition, with its reason and message."""

    status: meta.ConditionStatus
    fact: Finding

    @classmethod
    def true(cls, reason: Reason, message: str) -> State:
        """Return a condition that is True."""
        return cls(meta.ConditionStatus.TRUE, Finding(reason, message))

    @classmethod
    def false(cls, fact: Finding) -> State:
        """Return a condition that is False."""
        return cls(meta.ConditionStatus.FALSE, fact)

    @classmethod
    def unknown(cls, fact: Finding) -> State:
        """Return a condition that is Unknown: it cannot be judged now."""
        return cls(meta.ConditionStatus.UNKNOWN, fact)


def settle(
    conditions: Sequence[meta.Condition], wanted: Mapping[str, State], generation: int, now: datetime.datetime
) -> list[meta.Condition]:
    """Return the conditions to write: exactly the wanted ones; `lastTransitionTime` changes only with the status."""
    before = {condition.type: condition for condition in conditions}
    settled = []
    for kind, state in wanted.items():
        previous = before.get(kind)
        since = previous.last_transition_time if previous and previous.status == state.status else now.replace(microsecond=0)
        settled.append(
            meta.Condition(
                type=kind,
                status=state.status,
                reason=state.fact.reason,
                message=state.fact.message[:1024],
                observed_generation=generation,
                last_transition_time=since,
            )
        )
    return settled


def find(conditions: Sequence[meta.Condition], kind: str) -> meta.Condition | None:
    """Return the condition of that type, if there is one."""
    return next((condition for condition in conditions if condition.type == kind), None)


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """A Kubernetes Event to send: something happened to an object."""

    kind: str
    namespace: str
    name: str
    uid: str
    fact: Finding
    warning: bool = False


def event(subject: meta.Resource, reason: Reason, message: str, *, warning: bool = False) -> Event:
    """Return an Event about a Model, ModelVersion or Promotion."""
    metadata = subject.metadata
    return Event(subject.kind, metadata.namespace, metadata.name, metadata.uid, Finding(reason, message), warning)
