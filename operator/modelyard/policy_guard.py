"""Check that the admission policies are effective, every minute and whenever an approval appears."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.edge import metrics
from modelyard.plan import finding, unforeseen

log = logging.getLogger(__name__)

PROBE_EVERY: Final = 60.0


class Guard:
    """Knows whether the policies are effective: tries them every minute, and whenever an approval appears."""

    def __init__(self, probe: Callable[[], Awaitable[list[str]]], changed: Callable[[], None]) -> None:
        self.held: finding.Unmet | None = finding.Unmet(Reason.PROGRESSING, "the policies have not been tried yet; that takes a moment")
        self._probe = probe
        self._changed = changed
        self._lock = asyncio.Lock()
        self._requested = self._answered = 0

    async def prove(self) -> finding.Unmet | None:
        """Try the policies now; callers that wait meanwhile share the next trial, which begins after all their calls."""
        self._requested += 1
        request = self._requested
        async with self._lock:
            if self._answered < request:
                covered = self._requested
                self.held = await self._try()
                self._answered = covered
            return self.held

    async def run(self) -> None:
        """Try the policies every minute until cancelled."""
        while True:
            await self.prove()
            await asyncio.sleep(PROBE_EVERY)

    async def _try(self) -> finding.Unmet | None:
        try:
            passed = await self._probe()
        except edge.Unavailable as trouble:
            unguarded: finding.Unmet | None = finding.Unmet(trouble.reason, f"the policies cannot be tried: {trouble.message}")
        except Exception as error:  # whatever one trial raises, the next one follows
            passed, unguarded = [], unforeseen.describe("the admission policies", error)
            log.exception("%s", unguarded.message)
        else:
            unguarded = _missing(passed) if passed else None
        metrics.POLICIES_MISSING.set(len(passed) if unguarded and unguarded.reason == Reason.POLICIES_MISSING else 0)
        if (unguarded is None) != (self.held is None):
            log.log(logging.WARNING if unguarded else logging.INFO, "%s", unguarded.message if unguarded else "the policies are effective")
        if unguarded != self.held:
            self._changed()
        return unguarded


def _missing(passed: list[str]) -> finding.Unmet:
    message = (
        f"these policies are not effective: {', '.join(sorted(passed))}; nothing that needs an approval is granted until the platform team"
        " installs them again (the chart's policies.install, or crds/policies)"
    )
    return finding.Unmet(Reason.POLICIES_MISSING, message)
