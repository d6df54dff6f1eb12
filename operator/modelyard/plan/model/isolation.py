"""The parts of one decision, one for each stage: an exception in one stage breaks no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ParamSpec, TypeVar

from modelyard.plan import finding, unforeseen

P = ParamSpec("P")
T = TypeVar("T")


class Parts:
    """The broken stages, while a decision is made.

    Args:
        broken: the stages that were broken before, and why.
    """

    def __init__(self, broken: Mapping[str, finding.Unmet]) -> None:
        self.broken = dict(broken)
        self.news: dict[str, finding.Unmet] = {}
        """The stages that broke now: a decision that used them counts for nothing."""

    def of(self, stage: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return the result of the work; None when the stage is broken, or when the work raises and breaks it."""
        return None if stage in self.broken else self.always(stage, work, *args, **kwargs)

    def always(self, stage: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return the result of the work, also for a broken stage; None when it raises."""
        try:
            return work(*args, **kwargs)
        except Exception as error:  # whatever it is, it concerns this stage alone
            self.breaks([stage], error)
            return None

    def breaks(self, stages: Iterable[str], error: Exception) -> None:
        """Note that these stages cannot be handled."""
        for stage in stages:
            if stage not in self.broken:
                self.broken[stage] = self.news[stage] = unforeseen.describe(f"the stage {stage}", error)

    def why(self, stage: str) -> finding.Unmet:
        """Return why a stage is broken."""
        return self.broken[stage]
