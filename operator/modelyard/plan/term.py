"""One time of leading, and how a Lease tells of it."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any, Final

from modelyard.api import meta

UNSETTLED: Final = f"{meta.GROUP}/unsettled-since"
"""Annotation of the Lease: the last renewal before a leader took over, kept over further crashes until somebody settled it."""


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
    """The earliest `previous_renewal` since `Elector.settle` was last called."""


def begin(identity: str, lease: Mapping[str, Any] | None) -> Term:
    """The term that begins when the Lease is taken as it is now."""
    spec: Mapping[str, Any] = (lease or {}).get("spec") or {}
    about: Mapping[str, Any] = (lease or {}).get("metadata") or {}
    renewed = read(spec.get("renewTime"))
    noted = read((about.get("annotations") or {}).get(UNSETTLED))
    return Term(identity, (spec.get("leaseTransitions") or 0) + 1, spec.get("holderIdentity") or None, renewed, noted or renewed)


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
