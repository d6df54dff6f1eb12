"""Asking the served model about patients it has never seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tests.demo import story, train, voice


@dataclasses.dataclass(frozen=True)
class Answer:
    """What one pod said about the held-out patients."""

    version: str
    digest: str
    accuracy: float
    predictions: list[Mapping[str, Any]]


def ask(url: str, data: train.Data) -> Answer:
    """Send every held-out row to `/predict` and compare with the truth."""
    said = story.fetch(f"{url}/predict", {"rows": data.held_out.tolist()})
    predictions = said["predictions"]
    if len(predictions) != len(data.held_out):
        raise story.Trouble(f"{url}/predict answered {len(predictions)} of {len(data.held_out)} rows")
    right = sum(train.LABELS[truth] == one["label"] for truth, one in zip(data.held_out_truth.tolist(), predictions, strict=True))
    return Answer(said["version"], said["digest"], right / len(predictions), predictions)


def tell(answer: Answer, data: train.Data, rows: int = 5) -> None:
    """The first few predictions, the accuracy, and who answered."""
    voice.seen("patient   mean radius   is          model says   probability of malignant")
    for number in range(rows):
        said, truth = answer.predictions[number], train.LABELS[int(data.held_out_truth[number])]
        radius, probability = data.held_out[number][0], said["probability"]
        voice.seen(f"{number + 1:>7}   {radius:>11.2f}   {truth:<9}   {said['label']:<10}   {probability:>8.4f}")
    voice.good(f"{len(answer.predictions)} held-out patients, {answer.accuracy:.1%} right")
    voice.good(f"answered by version {answer.version}, {answer.digest}")
