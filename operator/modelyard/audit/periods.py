"""When which version got which share of a stage's traffic, as records tell. Pure."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable

from modelyard.ledger import traffic
from modelyard.ledger.record import Record, Share


@dataclasses.dataclass(frozen=True, slots=True)
class Spell:
    """A span in which a version got the same share of a stage's traffic."""

    stage: str
    version: str
    digest: str | None
    weight: int
    since: datetime.datetime
    until: datetime.datetime | None
    began: int
    """Number of the record that first says so."""
    ended: int | None


def of(records: Iterable[Record], wanted: Callable[[str], bool] = lambda _: True) -> list[Spell]:
    """When which version served in which stage with which weight, in the order in which they began.

    Exact for every record that is given: one at which nothing of the wanted versions changed may be left out.
    """
    found: list[Spell] = []
    running: dict[str, dict[str, Spell]] = {}
    for record in records:
        for step in traffic.steps(record, tuple(running)):
            now = {share.version: share for share in step.shares if wanted(share.version)}
            was = running.get(step.stage, {})
            turned = {version for version, one in was.items() if version not in now or now[version] != _share(one, now[version])}
            found += [dataclasses.replace(was[version], until=step.moment, ended=record.sequence) for version in sorted(turned)]
            running[step.stage] = {version: one for version, one in was.items() if version not in turned} | {
                version: _spell(step, share, record.sequence, step.moment if version in turned else min(share.since, step.moment))
                for version, share in now.items()
                if version in turned or version not in was
            }
    left = [one for some in running.values() for one in some.values()]
    return sorted([*found, *left], key=lambda spell: (spell.since, spell.began, spell.stage, spell.version))


def _share(spell: Spell, now: Share) -> Share:
    """What goes on, if nothing turned."""
    return dataclasses.replace(now, weight=spell.weight, digest=spell.digest)


def _spell(step: traffic.Step, share: Share, record: int, since: datetime.datetime) -> Spell:
    return Spell(step.stage, share.version, share.digest, share.weight, since, None, record, None)
