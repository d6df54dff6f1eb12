"""Observe, decide, act, report: every effect of the operator happens in this loop.

The order of effects of a decision is: record -> claims and status (the write-ahead) -> apply -> Event. What a stage runs is a
function of what its Model's status says, so a crash between any two steps repeats harmlessly.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from modelyard.edge import metrics
from modelyard.edge.cluster import cache, client
from modelyard.reconcile.model import ModelReconciler
from modelyard.reconcile.modelversion import ModelVersionReconciler
from modelyard.reconcile.outside import Guard, Outside, Recorder

FIRST_CONFLICT: Final = datetime.timedelta(milliseconds=200)
LAST_CONFLICT: Final = datetime.timedelta(seconds=1)
__all__ = ["Guard", "Outside", "Reconciler", "Recorder"]


MOST_DECISIONS: Final = 5
"""Decisions in a row on a key whose objects change meanwhile; then other keys have their turn."""


class Reconciler:
    """Brings one key from its current state to the wanted state."""

    def __init__(self, outside: Outside) -> None:
        self._models = ModelReconciler(outside)
        self._conflicts: dict[cache.Key, int] = {}
        """Conflicts in a row, by key."""
        self._sorts: Mapping[cache.Sort, Callable[[cache.Key], Awaitable[datetime.timedelta | None]]] = {
            "version": ModelVersionReconciler(outside).reconcile,
            "model": self._models.reconcile,
        }

    async def __call__(self, key: cache.Key) -> datetime.timedelta | None:
        """Handle one key; when to look at it again.

        Raises:
            edge.Unavailable: something outside did not answer; try again with backoff.
        """
        with metrics.timed(key.sort):
            for _ in range(MOST_DECISIONS):
                # A conflict has brought the current object into the cache: decide again from it, before somebody writes once more.
                with contextlib.suppress(client.Conflict):
                    next_look = await self._sorts[key.sort](key)
                    self._conflicts.pop(key, None)
                    return next_look
            count = self._conflicts[key] = self._conflicts.get(key, 0) + 1
            delay: datetime.timedelta = FIRST_CONFLICT * 2 ** min(count - 1, 16)
            return min(delay, LAST_CONFLICT)

    def begin(self, unsettled_since: datetime.datetime | None) -> None:
        """Begin a term of leadership; the cluster's own state is known to be complete up to `unsettled_since`."""
        self._models.unsettled_since = unsettled_since

    @property
    def settled(self) -> bool:
        """Whether every model seen so far was compared with its ledger, and the result was acted on."""
        return self._models.settled

    def resync(self) -> None:
        """Forget what was applied: compare everything with the cluster again."""
        self._models.resync()
