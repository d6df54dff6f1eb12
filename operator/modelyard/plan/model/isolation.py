"""The parts of one decision, each a stage's: what cannot be handled of one breaks no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ParamSpec, TypeVar

from modelyard.plan import finding, unforeseen

P = ParamSpec("P")
T = TypeVar("T")


class Parts:
    """Which stages are broken, while a decision is made.

    Args:
        broken: those that were known to be, and why.
    """

    def __init__(self, broken: Mapping[str, finding.Held]) -> None:
        self.broken = dict(broken)
        self.news: dict[str, finding.Held] = {}
        """Those that broke now: what was decided with them counts for nothing."""

    def of(self, stage: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What the work gives; None when the stage is broken, or breaks by it."""
        return None if stage in self.broken else self.always(stage, work, *args, **kwargs)

    def always(self, stage: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What the work gives, of a stage that is broken as well; None when that raises."""
        try:
            return work(*args, **kwargs)
        except Exception as error:  # whatever it is, it is this stage's
            self.breaks([stage], error)
            return None

    def breaks(self, stages: Iterable[str], error: Exception) -> None:
        """These cannot be handled."""
        for stage in stages:
            if stage not in self.broken:
                self.broken[stage] = self.news[stage] = unforeseen.of(f"the stage {stage}", error)

    def why(self, stage: str) -> finding.Held:
        """Why a stage is broken."""
        return self.broken[stage]
