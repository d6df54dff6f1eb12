"""Periods in which a version got a share of a stage's traffic, from the ledger's records. Pure."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable

from modelyard.ledger import traffic
from modelyard.ledger.record import Record, Share


@dataclasses.dataclass(frozen=True, slots=True)
class Period:
    """A period in which a version got the same share of a stage's traffic."""

    stage: str
    version: str
    digest: str | None
    weight: int
    since: datetime.datetime
    until: datetime.datetime | None
    began: int
    """Number of the first record that says so."""
    ended: int | None


def of(records: Iterable[Record], wanted: Callable[[str], bool] = lambda _: True) -> list[Period]:
    """Return the periods in which the wanted versions served, in the order in which they began.

    The result is exact for the records that are given. A record that changes nothing for the wanted versions may be left out.
    """
    over: list[Period] = []
    running: dict[str, dict[str, Period]] = {}
    for record in records:
        for step in traffic.steps(record, tuple(running)):
            current = {share.version: share for share in step.shares if wanted(share.version)}
            previous = running.get(step.stage, {})
            changed = {
                version
                for version, period in previous.items()
                if version not in current or current[version] != _unchanged(period, current[version])
            }
            over += [dataclasses.replace(previous[version], until=step.moment, ended=record.sequence) for version in sorted(changed)]
            running[step.stage] = {version: period for version, period in previous.items() if version not in changed} | {
                version: _begin(step, share, record.sequence, step.moment if version in changed else min(share.since, step.moment))
                for version, share in current.items()
                if version in changed or version not in previous
            }
    open_periods = [period for by_version in running.values() for period in by_version.values()]
    return sorted([*over, *open_periods], key=lambda period: (period.since, period.began, period.stage, period.version))


def _unchanged(period: Period, share: Share) -> Share:
    """Return the share that continues the period."""
    return dataclasses.replace(share, weight=period.weight, digest=period.digest)


def _begin(step: traffic.Step, share: Share, record: int, since: datetime.datetime) -> Period:
    return Period(step.stage, share.version, share.digest, share.weight, since, None, record, None)
