"""The validation report of one version: a self-contained page with a confusion matrix and the ROC curve, for people and for the record."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping, Sequence

import numpy as np
import sklearn.metrics
from numpy import typing as npt

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
h1{font-size:1.5rem} h2{font-size:1.1rem;margin-top:2rem} code{font-size:.8rem;overflow-wrap:anywhere}
table{border-collapse:collapse;margin:.5rem 0} td,th{padding:.3rem .8rem;border:1px solid #c9d1d9;text-align:right}
th{background:#f3f5f7;font-weight:600} td.name,th.name{text-align:left} td.right{background:#e6f4ea} td.wrong{background:#fdecea}
svg{background:#fff;border:1px solid #c9d1d9}
"""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a model said about held-out rows, and what is true."""

    scores: npt.NDArray[np.float64]
    """Probabilities of the second label."""
    truth: npt.NDArray[np.int64]
    threshold: float
    labels: Sequence[str]


def write(title: str, metrics: Mapping[str, float], outcome: Outcome, inputs: Mapping[str, tuple[str, str]]) -> str:
    """The page; `inputs` maps what was used to its role and digest."""
    scores, truth, threshold, labels = outcome.scores, outcome.truth, outcome.threshold, outcome.labels
    false_rate, true_rate, _ = sklearn.metrics.roc_curve(truth, scores)
    said = (scores >= threshold).astype(np.int64)
    matrix = sklearn.metrics.confusion_matrix(truth, said).tolist()
    parts = [
        f"<h1>Validation of {html.escape(title)}</h1>",
        (
            f"<p>{len(truth)} held-out patients, {int(truth.sum())} of them {labels[1]}. No row of them was used for training. "
            f"Every number was computed with the exported model, at the threshold {threshold} where one is needed.</p>"
        ),
        "<h2>Results</h2>",
        _table([["metric", "value"], *([name, f"{value:.4f}"] for name, value in metrics.items())]),
        "<h2>Confusion matrix</h2>",
        _confusion(matrix, labels),
        "<h2>ROC curve</h2>",
        _curve(false_rate, true_rate),
        "<h2>Thresholds</h2>",
        _table([["threshold", f"{labels[1]} found", "false alarms"], *(_at(at, outcome) for at in (0.1, 0.25, 0.5, 0.75, 0.9))]),
        "<h2>What was used</h2>",
        _table([["", "role", "sha256"], *([name, role, digest.removeprefix("sha256:")] for name, (role, digest) in inputs.items())]),
        "<h2>Limits</h2>",
        "<p>One hospital's patients, split once. It says nothing about other scanners, other populations, or drift since.</p>",
    ]
    head = f'<meta charset="utf-8"><title>Validation of {html.escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>\n{chr(10).join(parts)}\n</body></html>\n'


def _at(threshold: float, outcome: Outcome) -> list[str]:
    found, alarms = ((outcome.scores[outcome.truth == label] >= threshold).mean() for label in (1, 0))
    return [f"{threshold:.2f}", f"{found:.1%}", f"{alarms:.1%}"]


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = ["".join(f"<th{_name(number)}>{html.escape(cell)}</th>" for number, cell in enumerate(head))]
    lines += ["".join(f"<td{_name(number)}>{_code(cell)}</td>" for number, cell in enumerate(row)) for row in body]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _name(column: int) -> str:
    return ' class="name"' if column == 0 else ""


def _code(cell: str) -> str:
    return f"<code>{cell}</code>" if len(cell) == len("0" * 64) else html.escape(cell)


def _confusion(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    head = "".join(f"<th>said {label}</th>" for label in labels)
    rows = "".join(
        f'<tr><th class="name">is {labels[truth]}</th>'
        + "".join(f'<td class="{"right" if truth == said else "wrong"}">{count}</td>' for said, count in enumerate(row))
        + "</tr>"
        for truth, row in enumerate(matrix)
    )
    return f'<table><tr><th class="name"></th>{head}</tr>{rows}</table>'


def _curve(false_rate: npt.NDArray[np.float64], true_rate: npt.NDArray[np.float64]) -> str:
    """Drawn in a square of 300: false alarms to the right, found ones upwards."""
    points = " ".join(f"{30 + 300 * x:.1f},{310 - 300 * y:.1f}" for x, y in zip(false_rate, true_rate, strict=True))
    return (
        '<svg viewBox="0 0 350 345" width="350" height="345" role="img" aria-label="ROC curve">'
        '<rect x="30" y="10" width="300" height="300" fill="none" stroke="#8c959f"/>'
        '<line x1="30" y1="310" x2="330" y2="10" stroke="#c9d1d9" stroke-dasharray="4"/>'
        f'<polyline points="{points}" fill="none" stroke="#0969da" stroke-width="2"/>'
        '<text x="180" y="335" text-anchor="middle" font-size="12">false alarms</text>'
        '<text x="18" y="160" text-anchor="middle" font-size="12" transform="rotate(-90 18 160)">found</text></svg>'
    )
