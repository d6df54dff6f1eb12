"""One time of leading, and how a Lease tells of it."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any, Final

from modelyard.api import meta

UNSETTLED: Final = f"{meta.GROUP}/unsettled-since"
"""Annotation of the Lease: the last renewal before a leader took over, kept over further crashes until somebody settled it."""
AHEAD: Final = f"{meta.GROUP}/renewed-until"
"""Annotation of the Lease: a renewal of an earlier leader, while that is later than it was by the clock of who took over. Records are never
before their predecessors, so whatever is recorded until then may bear that time."""


@dataclasses.dataclass(frozen=True, slots=True)
class Term:
    """One time of leading."""

    identity: str
    number: int
    """`spec.leaseTransitions`; counts up for as long as the Lease exists."""
    took_over_from: str | None
    """Who held the Lease before; None when it was let go, or nobody ever did."""
    previous_renewal: datetime.datetime | None
    """Until when somebody watched, by that one's clock; None when nobody knows."""
    unsettled_since: datetime.datetime | None
    """The latest renewal of all when a leader took over first since `Elector.settle` was last called."""


def begin(identity: str, lease: Mapping[str, Any] | None) -> Term:
    """The term that begins when the Lease is taken as it is now."""
    spec: Mapping[str, Any] = (lease or {}).get("spec") or {}
    renewed = read(spec.get("renewTime"))
    unsettled = read(_annotations(lease).get(UNSETTLED)) or _latest(lease)
    return Term(identity, (spec.get("leaseTransitions") or 0) + 1, spec.get("holderIdentity") or None, renewed, unsettled)


def noted(began: Term, lease: Mapping[str, Any] | None, now: datetime.datetime) -> dict[str, str]:
    """The annotations of the Lease once this term begins, by its leader's clock."""
    kept = {name: value for name, value in _annotations(lease).items() if name not in {UNSETTLED, AHEAD}}
    latest = _latest(lease)
    moments = {UNSETTLED: began.unsettled_since, AHEAD: latest if latest and latest > now else None}
    return kept | {name: written(moment) for name, moment in moments.items() if moment}


def _annotations(lease: Mapping[str, Any] | None) -> Mapping[str, str]:
    about: Mapping[str, Any] = (lease or {}).get("metadata") or {}
    return about.get("annotations") or {}


def _latest(lease: Mapping[str, Any] | None) -> datetime.datetime | None:
    """The latest renewal that the Lease tells of, by whoever's clock."""
    spec: Mapping[str, Any] = (lease or {}).get("spec") or {}
    told = (read(spec.get("renewTime")), read(_annotations(lease).get(AHEAD)))
    return max((moment for moment in told if moment), default=None)


def written(moment: datetime.datetime) -> str:
    """As a Lease says it."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read(moment: object) -> datetime.datetime | None:
    """A moment that a Lease says, if it says one."""
    try:
        read = datetime.datetime.fromisoformat(str(moment))
    except ValueError:
        return None
    return read if read.tzinfo else None
