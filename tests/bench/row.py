"""One measured number, beside the reference of the same run."""

from __future__ import annotations

from typing import Any


def row(
    name: str, value: float, unit: str, reference: float | None, *, goal: float | None = None, more_is_better: bool = False
) -> dict[str, Any]:
    """A row of build/bench.json; `ratio` is value over reference, `met` whether the goal is."""
    met = None if goal is None else (value >= goal if more_is_better else value <= goal)
    ratio = round(value / reference, 3) if reference else None
    return {
        "name": name,
        "value": round(value, 3),
        "unit": unit,
        "reference": None if reference is None else round(reference, 3),
        "ratio": ratio,
        "goal": goal,
        "met": met,
    }
