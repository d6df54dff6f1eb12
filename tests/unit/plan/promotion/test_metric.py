"""The metric gate as a table: what is declared, what is asked for, and whether it is good enough."""

from __future__ import annotations

from typing import Any

import pytest

from modelyard.api import gates
from modelyard.api.reason import Reason
from modelyard.plan import finding
from modelyard.plan.promotion import metric
from tests.fakes.objects import model, seen, version

FAILED, MISSING, INVALID = Reason.METRIC_FAILED, Reason.METRIC_MISSING, Reason.METRIC_INVALID
RIVAL: dict[str, Any] = {"notWorseThan": "production"}

# What the version declares, what the version that production is at declares (None: production is empty), the gate, and the reason.
TABLE: dict[str, tuple[Any, Any, dict[str, Any], Reason | None]] = {
    "the least is enough": (0.9, None, {"atLeast": 0.9}, None),
    "less than the least is not": (0.8999999, None, {"atLeast": 0.9}, FAILED),
    "the most is not too much": (40, None, {"atMost": 40}, None),
    "more than the most is": (40.5, None, {"atMost": 40}, FAILED),
    "nothing declared": (None, None, {"atMost": 40}, MISSING),
    "not a number": ("NaN", None, {"atMost": 40}, INVALID),
    "minus infinity is not below everything": ("-Infinity", None, {"atMost": 40}, INVALID),
    "infinity is not above everything": ("Infinity", None, {"atLeast": 0.9}, INVALID),
    "a limit that is no number lets nothing pass": (1, None, {"atLeast": "NaN"}, FAILED),
    "a gate without a limit lets nothing pass": (1, None, {}, FAILED),
    "nothing to compare with": (0.1, None, RIVAL, None),
    "as good as what is there": (0.93, 0.93, RIVAL, None),
    "worse than what is there": (0.929, 0.93, RIVAL, FAILED),
    "worse within the tolerance, as people calculate": (0.939, 0.998, {**RIVAL, "tolerance": 0.059}, None),
    "worse by more than the tolerance": (0.9299999, 0.934, {**RIVAL, "tolerance": 0.004}, FAILED),
    "what is there declares nothing": (0.9, {}, RIVAL, MISSING),
    "what is there declares no number": (0.9, "NaN", RIVAL, INVALID),
    "nothing declared, nothing there": (None, None, RIVAL, MISSING),
    "no number lets tolerance swallow all": (0.1, 0.9, {**RIVAL, "tolerance": "Infinity"}, FAILED),
}


def judged(mine: Any, theirs: Any, gate: dict[str, Any], current: str = "0") -> finding.Unmet | str:
    status = {"stages": [{"name": "production", "current": current}]} if theirs is not None else {}
    versions = (
        version("1", metrics={} if mine is None else {"auc": mine}),
        version("0", metrics=theirs if isinstance(theirs, dict) else {"auc": theirs or 0}),
    )
    around = seen(of=model(status=status), versions=versions)
    return metric.judge(around, "production", "1", gates.MetricGate.model_validate({"name": "auc", **gate}))


@pytest.mark.parametrize("sentence", TABLE)
def test_a_metric(sentence: str) -> None:
    mine, theirs, gate, expected = TABLE[sentence]

    found = judged(mine, theirs, gate)

    assert (found.reason if isinstance(found, finding.Unmet) else None) == expected
    if isinstance(found, finding.Unmet):
        assert found.waits == finding.Waits.FOR_A_PERSON


def test_a_version_is_its_own_measure() -> None:
    assert judged(0.1, 0.9, RIVAL, current="1") == "auc 0.1, as declared, is its own measure: this is the current version of production"


def test_what_is_compared_is_said() -> None:
    assert judged(0.93, 0.934, {**RIVAL, "tolerance": 0.005}) == "auc 0.93, as declared, is at least 0.934 of 0 in production less 0.005"
    assert judged(40, None, {"atMost": 40}) == "auc 40, as declared, is at most 40"
    assert judged(1, None, RIVAL) == "auc 1, as declared, has nothing to be compared with: production has no current version"


def test_a_rival_that_is_gone_cannot_be_compared_with() -> None:
    found = judged(0.9, 0.9, RIVAL, current="9")

    assert isinstance(found, finding.Unmet)
    assert (found.reason, found.waits) == (MISSING, finding.Waits.FOR_A_PERSON)
