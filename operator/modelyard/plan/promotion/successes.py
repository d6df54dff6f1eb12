"""Which versions Succeeded in which stage and were not undone since, by the ledger, never by a Promotion's own status."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from modelyard.ledger import codec
from modelyard.plan.observed.world import World

_UNDATED = datetime.datetime.min.replace(tzinfo=datetime.UTC)


def ever(world: World, stage: str) -> set[str]:
    """Return the versions that ever Succeeded in a stage, undone since or not.

    While the ledger cannot be read, the Model's status adds its current and previous version: nobody but the operator writes it.
    """
    succeeded = world.history.ever_succeeded(stage)
    if world.past is None:
        stage_status = world.stands(stage)
        succeeded |= {version for version in (stage_status.current, stage_status.previous) if version}
    return succeeded


def not_undone(world: World, stage: str) -> Mapping[str, datetime.datetime]:
    """Return, by version, since when it has Succeeded in a stage without being undone.

    A rollback undoes the version that it replaces, whichever promotion that Succeeded with; being superseded undoes nothing. The Model's
    status is written after the ledger: until the version that Succeeded last is the stage's current version, it does not count.
    """
    since = {version: codec.read_time(when) for version, when in world.history.succeeded.get(stage, ())}
    stage_status = world.stands(stage)
    if stage_status.current:
        if since and (last := list(since)[-1]) != stage_status.current:
            del since[last]
        since.setdefault(stage_status.current, stage_status.since or _UNDATED)
    return since
