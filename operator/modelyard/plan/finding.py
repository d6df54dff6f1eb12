"""Facts and how they are told: one Fact becomes the condition, the Event, the ledger's record and the metric."""

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
class Fact:
    """What is so, in one word for machines and one sentence for people."""

    reason: Reason
    message: str


class Waits(enum.StrEnum):
    """What has to happen before a held thing goes on."""

    BY_ITSELF = "by itself"
    FOR_A_PERSON = "for a person"
    FOR_APPROVAL = "for approval"
    """People are asked: everything else holds, or comes before."""


@dataclasses.dataclass(frozen=True, slots=True)
class Held(Fact):
    """A statement that does not hold, and whether time can heal it."""

    waits: Waits = Waits.BY_ITSELF
    until: datetime.datetime | None = None
    """When it is worth to look again, if that is known."""


Check = Callable[[W, datetime.datetime], Held | None]


def first(checks: Iterable[Check[W]], world: W, now: datetime.datetime) -> Held | None:
    """The first check that does not hold."""
    for check in checks:
        if held := check(world, now):
            return held
    return None


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """What a condition is to say."""

    status: meta.ConditionStatus
    fact: Fact

    @classmethod
    def true(cls, reason: Reason, message: str) -> State:
        """The condition holds."""
        return cls(meta.ConditionStatus.TRUE, Fact(reason, message))

    @classmethod
    def false(cls, fact: Fact) -> State:
        """The condition does not hold."""
        return cls(meta.ConditionStatus.FALSE, fact)

    @classmethod
    def unknown(cls, fact: Fact) -> State:
        """We cannot know now."""
        return cls(meta.ConditionStatus.UNKNOWN, fact)


def settle(
    conditions: Sequence[meta.Condition], wanted: Mapping[str, State], generation: int, now: datetime.datetime
) -> list[meta.Condition]:
    """The conditions to write: exactly the wanted ones; a time moves only when a status does."""
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
    """The condition of that type."""
    return next((condition for condition in conditions if condition.type == kind), None)


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something happened to an object; becomes a Kubernetes Event."""

    kind: str
    namespace: str
    name: str
    uid: str
    fact: Fact
    warning: bool = False


def happened(subject: meta.Resource, reason: Reason, message: str, *, warning: bool = False) -> Event:
    """An Event about one of our objects."""
    metadata = subject.metadata
    return Event(subject.kind, metadata.namespace, metadata.name, metadata.uid, Fact(reason, message), warning)
