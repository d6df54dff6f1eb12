"""Compare a metric that a version declares with what the gate demands of it."""

from __future__ import annotations

import decimal
import math

from modelyard.api import gates
from modelyard.api.reason import Reason
from modelyard.plan import finding
from modelyard.plan.observed.world import World


def judge(world: World, stage: str, version: str, gate: gates.MetricGate) -> finding.Unmet | str:
    """Return why the version's metric is not good enough, or a sentence that says why it is."""
    value = _number(world, version, gate.name)
    if isinstance(value, finding.Unmet):
        return value
    by = world.declared_by(version, f"metrics/{gate.name}")
    declared = f"{gate.name} {_text(value)}, declared by {by}," if by else f"{gate.name} {_text(value)}, as declared,"
    mend = f"register a better version; or who may govern {stage} changes the gate"
    parts: list[str] = []
    if gate.at_least is not None:
        if not value >= gate.at_least:
            return _failed(f"{declared} is less than {_text(gate.at_least)}: {mend}")
        parts.append(f"is at least {_text(gate.at_least)}")
    if gate.at_most is not None:
        if not value <= gate.at_most:
            return _failed(f"{declared} is more than {_text(gate.at_most)}: {mend}")
        parts.append(f"is at most {_text(gate.at_most)}")
    if gate.not_worse_than is not None:
        comparison = _not_worse(world, version, gate, value)
        if isinstance(comparison, finding.Unmet):
            return _failed(f"{declared} {comparison.message}: {mend}") if comparison.reason == Reason.METRIC_FAILED else comparison
        parts.append(comparison)
    if not parts:
        return _failed(f"the gate on {gate.name} gives no limit that this release knows: who may govern {stage} sets atLeast or atMost")
    return f"{declared} {' and '.join(parts)}"


def _not_worse(world: World, version: str, gate: gates.MetricGate, value: float) -> finding.Unmet | str:
    """Compare with the current version of the other stage."""
    other = str(gate.not_worse_than)
    rival = world.stands(other).current
    if rival is None:
        return f"has nothing to be compared with: {other} has no current version"
    if rival == version:
        return f"is its own measure: this is the current version of {other}"
    rival_value = _number(world, rival, gate.name, other)
    if isinstance(rival_value, finding.Unmet):
        return rival_value
    tolerance = gate.tolerance or 0.0
    least = f"{_text(rival_value)} of {rival} in {other}" + (f" less {_text(tolerance)}" if tolerance else "")
    # Decimals are exact: 0.939 is not worse than 0.998 less 0.059, though floats say so.
    if math.isfinite(tolerance) and _exact(value) + _exact(tolerance) >= _exact(rival_value):
        return f"is at least {least}"
    return _failed(f"is less than {least}")


def _number(world: World, version: str, name: str, stage: str | None = None) -> finding.Unmet | float:
    """Return the metric of a version, if it is declared and a finite number; `stage`: the stage whose current version it is, if it is the rival."""
    modelversion = world.versions.get(version)
    called = f"the ModelVersion {world.name}-{version}" + (f", the current version of {stage}," if stage else "")
    if modelversion is None:
        reason, waits = (Reason.METRIC_MISSING, finding.Waits.FOR_A_PERSON) if stage else (Reason.VERSION_MISSING, finding.Waits.BY_ITSELF)
        then = (
            "promote a version there that exists; or who may govern the stage changes the gate" if stage else "apply it, and this goes on"
        )
        return finding.Unmet(reason, f"{called} does not exist, so {name} cannot be compared: {then}", waits)
    value = (modelversion.spec.metrics or {}).get(name)
    if value is None:
        return _person(Reason.METRIC_MISSING, f"{called} has no metric {name}: who may attest adds it to spec.metrics")
    if not math.isfinite(value):
        return _person(Reason.METRIC_INVALID, f"{called} has {name} {value}, which is no number to compare: register another version")
    return value


def _exact(value: float) -> decimal.Decimal:
    return decimal.Decimal(repr(value))


def _text(value: float) -> str:
    """Return a number as people write it: 40, not 40.0."""
    return repr(value).removesuffix(".0")


def _failed(message: str) -> finding.Unmet:
    return _person(Reason.METRIC_FAILED, message)


def _person(reason: Reason, message: str) -> finding.Unmet:
    return finding.Unmet(reason, message, finding.Waits.FOR_A_PERSON)
