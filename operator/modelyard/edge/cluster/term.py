"""A term of leadership, and its fields in the Lease."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any, Final

from modelyard.api import meta

UNSETTLED: Final = f"{meta.GROUP}/unsettled-since"
"""Annotation of the Lease: the last renewal before a leader took over, kept over further crashes until it is settled."""
AHEAD: Final = f"{meta.GROUP}/renewed-until"
"""Annotation of the Lease: an earlier leader's renewal that is later than the new leader's clock. Records are never
earlier than their predecessors, so records written until then may carry that time."""


@dataclasses.dataclass(frozen=True, slots=True)
class Term:
    """A term of leadership."""

    identity: str
    number: int
    """`spec.leaseTransitions`; counts up for as long as the Lease exists."""
    took_over_from: str | None
    """The previous lease holder; None when the Lease was released, or never held."""
    previous_renewal: datetime.datetime | None
    """The previous holder's last renewal, by its own clock; None when unknown."""
    unsettled_since: datetime.datetime | None
    """The latest renewal at the first takeover since `Elector.settle` was last called."""


def begin(identity: str, lease: Mapping[str, Any] | None) -> Term:
    """Return the term that begins when the Lease is taken in its current state."""
    spec: Mapping[str, Any] = (lease or {}).get("spec") or {}
    renewed = read(spec.get("renewTime"))
    unsettled = read(_annotations(lease).get(UNSETTLED)) or _latest(lease)
    return Term(identity, (spec.get("leaseTransitions") or 0) + 1, spec.get("holderIdentity") or None, renewed, unsettled)


def to_annotations(began: Term, lease: Mapping[str, Any] | None, now: datetime.datetime) -> dict[str, str]:
    """Return the annotations of the Lease once this term begins, by its leader's clock."""
    preserved = {name: value for name, value in _annotations(lease).items() if name not in {UNSETTLED, AHEAD}}
    latest = _latest(lease)
    moments = {UNSETTLED: began.unsettled_since, AHEAD: latest if latest and latest > now else None}
    return preserved | {name: written(moment) for name, moment in moments.items() if moment}


def _annotations(lease: Mapping[str, Any] | None) -> Mapping[str, str]:
    metadata: Mapping[str, Any] = (lease or {}).get("metadata") or {}
    return metadata.get("annotations") or {}


def _latest(lease: Mapping[str, Any] | None) -> datetime.datetime | None:
    """Return the latest renewal in the Lease, by any leader's clock."""
    spec: Mapping[str, Any] = (lease or {}).get("spec") or {}
    renewals = (read(spec.get("renewTime")), read(_annotations(lease).get(AHEAD)))
    return max((moment for moment in renewals if moment), default=None)


def written(moment: datetime.datetime) -> str:
    """Format a time as in a Lease."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read(moment: object) -> datetime.datetime | None:
    """Parse a time of a Lease, if it is one."""
    try:
        read = datetime.datetime.fromisoformat(str(moment))
    except ValueError:
        return None
    return read if read.tzinfo else None
