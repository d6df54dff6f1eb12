"""`--where` chooses what a person means, and says what it cannot understand."""

from __future__ import annotations

from typing import Any, Final

import hypothesis
import pytest
from hypothesis import strategies as st

from modelyard.cli.query import where
from modelyard.cli.terminal import exits

VERSION: Final[dict[str, Any]] = {
    "metadata": {"name": "fraud-1.10.0", "namespace": "risk", "creationTimestamp": "2026-10-03T14:00:02Z"},
    "spec": {
        "model": "fraud",
        "version": "1.10.0",
        "artifact": {"format": "onnx"},
        "metrics": {"auc": 0.934, "auc@holdout-2026q3": 0.9, "latency.p99_ms": 31},
        "training": {
            "parameters": {"max_depth": "8", "booster": "gbtree"},
            "framework": {"name": "xgboost"},
            "seed": 7,
            "runId": "1842937462910234625",
        },
        "lineage": {"parents": [{"version": "1.9.0", "relation": "RetrainedFrom"}], "datasets": [{"name": "card tx", "role": "Training"}]},
        "evidence": [{"name": "vr", "type": "ValidationReport"}],
        "tags": {"campaign": "autumn and winter"},
    },
    "status": {"phase": "Ready", "artifact": {"bytes": 48211}, "stages": [{"name": "staging"}, {"name": "production"}]},
}


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [
        ("metrics.auc>0.9", True),
        ("metrics.auc > 0.934", False),
        ("metrics.auc>=0.934", True),
        ("metrics.auc = 0.9340", True),
        ("metrics.auc@holdout-2026q3<0.95", True),
        ("metrics.latency.p99_ms<=31.0", True),
        ("metrics.f1<1", False),
        ("metrics.f1!=1", False),
        ("params.max_depth>7", True),
        ("params.max_depth=10", False),
        ("params.booster==gbtree", True),
        ("params.booster!='gbtree'", False),
        ("version>1.9.0", True),
        ("version<=1.10.0-rc.1", False),
        ("parent=1.9.0", True),
        ("parent<1.10.0", True),
        ("stage=production", True),
        ("stage!=production", False),
        ("stage!=development", True),
        ("evidence=RiskAssessment", False),
        ('dataset="card tx"', True),
        ("tags.campaign='autumn and winter'", True),
        ("lifecycle=Active", True),
        ("created>2026-10-03", True),
        ("created<2026-10-03", False),
        ("seed=7 and bytes<50000 and framework=xgboost", True),
        ("phase=Ready and format=pickle", False),
        ("runId=1842937462910234625", True),
        ("runId=1842937462910234624", False),
        ("runId!=1842937462910234624", True),
        ("runId<1842937462910234626", True),
        ("params.booster=nan", False),
        ("metrics.auc<1e999999999", True),
    ],
)
def test_chooses(expression: str, chosen: bool) -> None:
    assert all(one.holds(VERSION) for one in where.parse(expression)) is chosen


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "is empty"),
        ("metrics.auc", "write comparisons like"),
        ("metrics.auc >", "write comparisons like"),
        ("> 0.9", "write comparisons like"),
        ("metrics.auc>0.9 phase=Ready", "joined by `and`"),
        ("metrics.auc>0.9 and", "joined by `and`"),
        ("metrics.auc>0.9 or phase=Ready", "joined by `and`"),
        ("metric.auc>0.9", "no field metric.auc; there are metrics.KEY"),
        ("metrics.>1", "no field metrics."),
        ("metrics.auc=high", "'high' is none"),
        ("stage>staging", "has no order"),
        ("phase='Ready", "quotation mark"),
        ("__class__=1", "no field __class__"),
        (f"version=1.0.0-{'9' * 5000}", "version has at most 40 characters"),
        (f"parent>1.0.0-{'9' * 5000}", "parent has at most 40 characters"),
    ],
)
def test_says_what_it_cannot_understand(expression: str, said: str) -> None:
    with pytest.raises(exits.Stop) as stop:
        where.parse(expression)

    assert stop.value.code == exits.Code.USAGE
    assert said in stop.value.message


@hypothesis.given(st.text())
def test_any_text_is_either_understood_or_refused(text: str) -> None:
    try:
        comparisons = where.parse(text)
    except exits.Stop:
        return
    assert all(isinstance(one.holds(VERSION), bool) for one in comparisons)
