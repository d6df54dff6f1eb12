"""What has Succeeded where, and what was undone since: the ledger's word, never a Promotion's own."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from modelyard.ledger import codec
from modelyard.plan.observed.world import World

_UNDATED = datetime.datetime.min.replace(tzinfo=datetime.UTC)


def ever(world: World, stage: str) -> set[str]:
    """The versions that Succeeded in a stage at any time, undone since or not.

    While nothing is known of the ledger, as far as the Model's own status tells it, which nobody but the operator writes.
    """
    succeeded = world.history.ever_succeeded(stage)
    if world.past is None:
        stage_status = world.stands(stage)
        succeeded |= {version for version in (stage_status.current, stage_status.previous) if version}
    return succeeded


def standing(world: World, stage: str) -> Mapping[str, datetime.datetime]:
    """By version: since when it has Succeeded in a stage without being undone.

    A rollback undoes the version that it takes away, whatever that Succeeded with before; being superseded undoes nothing. While the
    stage does not stand for the last that Succeeded (the Model's status is written after that is recorded), that one does not count yet.
    """
    since = {version: codec.read_time(when) for version, when in world.history.succeeded.get(stage, ())}
    stage_status = world.stands(stage)
    if stage_status.current:
        if since and (last := list(since)[-1]) != stage_status.current:
            del since[last]
        since.setdefault(stage_status.current, stage_status.since or _UNDATED)
    return since
