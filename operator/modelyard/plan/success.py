"""What has Succeeded where, and what was undone since."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from modelyard import api
from modelyard.plan import codec, fact, index, world

_UNDATED = datetime.datetime.min.replace(tzinfo=datetime.UTC)


def of(seen: world.World, stage: str) -> list[api.Promotion]:
    """The promotions that Succeeded in a stage, the latest last; Superseded ones among them, since those had succeeded."""
    done = [
        one
        for one in seen.promotions
        if one.spec.stage == stage and (found := fact.find(one.status.conditions, "Succeeded")) and found.status == api.ConditionStatus.TRUE
    ]
    return sorted(done, key=_when)


def ever(seen: world.World, stage: str) -> set[str]:
    """The versions that Succeeded in a stage at any time, undone since or not; the ledger knows of Promotions that are gone."""
    recorded = seen.past.promotions.values() if seen.past else ()
    return {one.spec.version for one in of(seen, stage)} | {one.version for one in recorded if one.stage == stage and one.succeeded}


def standing(seen: world.World, stage: str) -> Mapping[str, datetime.datetime]:
    """By version: since when it has Succeeded in a stage without being undone.

    A rollback undoes the version that it takes away, whatever that Succeeded with before; being superseded undoes nothing. When the stage
    stands for another version than the last that is known to have Succeeded, what came between was deleted: it may have been a rollback.
    """
    since: dict[str, datetime.datetime] = {}
    last: str | None = None
    for one in of(seen, stage):
        version = one.spec.version
        if one.spec.rollback and last is not None and last != version:
            since.pop(last, None)
        since.setdefault(version, one.status.finished_at or _UNDATED)
        last = version
    now = seen.stands(stage)
    if now.current:
        if last is not None and last != now.current:
            since.pop(last, None)
        since.setdefault(now.current, now.since or _UNDATED)
    return since if seen.past is None else _as_recorded(seen, seen.past, stage, since)


def _as_recorded(seen: world.World, past: index.Index, stage: str, since: Mapping[str, datetime.datetime]) -> dict[str, datetime.datetime]:
    """What the ledger has as well: Promotions are deleted, and their objects lost, and what they did still counts."""
    recorded = past.succeeded.get(stage, [])
    ended = {
        one.version: codec.read_time(one.ended) for one in past.promotions.values() if one.stage == stage and one.ended and one.succeeded
    }
    kept = {version: when for version, when in since.items() if version in recorded or version == seen.stands(stage).current}
    return {version: ended.get(version, _UNDATED) for version in recorded} | kept


def _when(one: api.Promotion) -> tuple[datetime.datetime, bool, tuple[object, ...]]:
    """Within one second the one that still stands is the last."""
    return (one.status.finished_at or one.status.started_at or _UNDATED, one.status.phase == api.Phase.SUCCEEDED, world.order(one))
