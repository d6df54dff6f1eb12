"""Observe, decide, act, tell: the one way in which anything happens.

The order of effects of a decision is: record -> claims and status (the write-ahead) -> apply -> Event. What a stage runs is a
function of what its Model's status says, so a crash between any two steps repeats harmlessly.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from modelyard.edge import cache, cluster, metrics
from modelyard.reconcile.model import Models
from modelyard.reconcile.outside import Guard, Outside, Recorder
from modelyard.reconcile.version import Versions

FIRST_CONFLICT: Final = datetime.timedelta(milliseconds=200)
LAST_CONFLICT: Final = datetime.timedelta(seconds=1)
__all__ = ["Guard", "Outside", "Reconciler", "Recorder"]


MOST_DECISIONS: Final = 5
"""Decisions at once on a key whose objects change meanwhile; then others have their turn."""


class Reconciler:
    """Brings one key from what is to what should be."""

    def __init__(self, outside: Outside) -> None:
        self._models = Models(outside)
        self._conflicts: dict[cache.Key, int] = {}
        """How often in a row a key met what was changed meanwhile."""
        self._sorts: Mapping[cache.Sort, Callable[[cache.Key], Awaitable[datetime.timedelta | None]]] = {
            "version": Versions(outside).reconcile,
            "model": self._models.reconcile,
        }

    async def __call__(self, key: cache.Key) -> datetime.timedelta | None:
        """Handle one key; when to look at it again.

        Raises:
            edge.Unavailable: the world did not answer; try again with backoff.
        """
        with metrics.timed(key.sort):
            for _ in range(MOST_DECISIONS):
                # Whoever met a conflict has looked at what is there now; decide again with that, before somebody writes once more.
                with contextlib.suppress(cluster.Conflict):
                    again = await self._sorts[key.sort](key)
                    self._conflicts.pop(key, None)
                    return again
            count = self._conflicts[key] = self._conflicts.get(key, 0) + 1
            delay: datetime.timedelta = FIRST_CONFLICT * 2 ** min(count - 1, 16)
            return min(delay, LAST_CONFLICT)

    def begin(self, unsettled_since: datetime.datetime | None) -> None:
        """A term of leadership begins; `unsettled_since` is until when the cluster's own state is known to be whole."""
        self._models.unsettled_since = unsettled_since

    @property
    def settled(self) -> bool:
        """Whether every model that was looked at was seen together with what the ledger has of it, and that was acted on."""
        return self._models.settled

    def resync(self) -> None:
        """Forget what was applied: everything is compared with the cluster once more."""
        self._models.resync()
