"""Trains the demo's classifier for real: scikit-learn's breast cancer data, twice, exported to ONNX and measured on held-out rows.

Version 1.0.0 learns from the first 60 patients; 1.1.0 is the same model after all 398 have come in. The 171 patients that
neither ever sees are in `holdout.csv`. Everything written is the same in every run, but for the measured latency.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import time
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnxruntime
import skl2onnx
import sklearn
import sklearn.datasets
import sklearn.linear_model
import sklearn.metrics
import sklearn.model_selection
import sklearn.pipeline
import sklearn.preprocessing
from numpy import typing as npt

from tests.demo import report

SEED: Final = 7
OPSET: Final = {"": 17, "ai.onnx.ml": 3}
"""Pinned, so that a newer exporter writes what today's servers can read."""
LABELS: Final = ("benign", "malignant")
THRESHOLD: Final = 0.5

_SOURCE: Final = "the Breast Cancer Wisconsin (Diagnostic) data set, as scikit-learn ships it"
_CARD: Final = {
    "limitations": "Patients of one hospital, measured one way, in the early nineties; other scanners and populations were never tried.",
    "ethicalConsiderations": "A missed malignant tumour costs more than a false alarm; the threshold is a clinical decision.",
    "humanOversight": "A pathologist decides; the model is a second opinion.",
}

Rows = npt.NDArray[np.float32]
Truth = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Data:
    """The patients, split once and for all; the positive class is malignant."""

    features: tuple[str, ...]
    rows: Rows
    truth: Truth
    held_out: Rows
    held_out_truth: Truth


@dataclasses.dataclass(frozen=True)
class Trained:
    """One version on disk, and everything there is to say about it."""

    version: str
    artifact: pathlib.Path
    """The folder that is the artifact: model.onnx and model.json."""
    report: pathlib.Path
    metrics: Mapping[str, float]
    parameters: Mapping[str, str]
    datasets: Mapping[str, tuple[str, str]]
    """Name → role and `sha256:…` of its CSV."""
    signature: pathlib.Path
    """The names, types and shapes of its inputs and outputs; JSON."""
    card: pathlib.Path
    """What it must not be used for, and how people watch over it; JSON."""
    framework: str
    patients: int


def load() -> Data:
    """569 patients, 30 measurements each, as scikit-learn ships them; 30 % are held out."""
    bunch = sklearn.datasets.load_breast_cancer()
    rows, truth = bunch.data.astype(np.float32), 1 - bunch.target.astype(np.int64)  # scikit-learn counts benign as 1
    split = sklearn.model_selection.train_test_split(rows, truth, test_size=0.3, stratify=truth, random_state=SEED)
    return Data(tuple(str(name) for name in bunch.feature_names), split[0], split[2], split[1], split[3])


def train(version: str, patients: int, data: Data, folder: pathlib.Path) -> Trained:
    """Train on the first `patients`, export, measure what was exported, and write all of it below `folder`.

    Raises:
        ValueError: the exported model does not answer as the trained one does.
    """
    parameters = {"C": 1.0, "max_iter": 500, "random_state": SEED}
    model = sklearn.pipeline.make_pipeline(
        sklearn.preprocessing.StandardScaler(), sklearn.linear_model.LogisticRegression(**parameters)
    ).fit(data.rows[:patients], data.truth[:patients])

    artifact = folder / f"tumor-{version}"
    artifact.mkdir(parents=True, exist_ok=True)
    exported = artifact / "model.onnx"
    exported.write_bytes(
        skl2onnx.to_onnx(model, data.rows[:1], name="tumor", target_opset=OPSET, options={"zipmap": False}).SerializeToString()
    )
    signature = {
        "inputs": [{"name": "X", "type": "float32", "shape": [-1, len(data.features)]}],
        "outputs": [{"name": "label", "type": "int64", "shape": [-1]}, {"name": "probabilities", "type": "float32", "shape": [-1, 2]}],
    }
    declared = _json(folder / f"tumor-{version}-signature.json", signature)
    card = _json(folder / f"tumor-{version}-card.json", {**_CARD, "trainingDataSummary": f"{patients} patients of {_SOURCE}"})
    about = {"features": data.features, "labels": LABELS, "positive": LABELS[1], "signature": signature, "threshold": THRESHOLD}
    _json(artifact / "model.json", about)

    session = onnxruntime.InferenceSession(exported.read_bytes(), providers=["CPUExecutionProvider"])
    scores = _scores(session, data.held_out)
    if (worst := float(np.abs(scores - model.predict_proba(data.held_out)[:, 1]).max())) > 1e-4:
        raise ValueError(f"{exported} differs from the trained model by up to {worst}: the export is not faithful")
    metrics = _metrics(scores, data.held_out_truth)
    training = _csv(folder / f"training-{version}.csv", data.features, data.rows[:patients], data.truth[:patients])
    held_out = _csv(folder / "holdout.csv", data.features, data.held_out, data.held_out_truth)
    datasets = {f"wisconsin-{patients}": ("Training", training), "wisconsin-holdout": ("Test", held_out)}
    page = folder / f"tumor-{version}-validation.html"
    outcome = report.Outcome(scores, data.held_out_truth, THRESHOLD, LABELS)
    page.write_text(report.write(f"tumor {version}", metrics, outcome, {**datasets, "model.onnx": ("Artifact", _sha256(exported))}))
    return Trained(
        version,
        artifact,
        page,
        {**metrics, "latency_p99_ms": _latency(session, data.held_out)},
        {"algorithm": "logistic regression", "scaling": "standard", **{name: str(value) for name, value in parameters.items()}},
        datasets,
        declared,
        card,
        f"scikit-learn={sklearn.__version__}",
        patients,
    )


def _scores(session: onnxruntime.InferenceSession, rows: Rows) -> npt.NDArray[np.float64]:
    probabilities = np.asarray(session.run(["probabilities"], {"X": rows})[0])
    return probabilities[:, 1].astype(np.float64)


def _metrics(scores: npt.NDArray[np.float64], truth: Truth) -> dict[str, float]:
    said = (scores >= THRESHOLD).astype(np.int64)
    return {
        "auc": round(float(sklearn.metrics.roc_auc_score(truth, scores)), 4),
        "accuracy": round(float(sklearn.metrics.accuracy_score(truth, said)), 4),
        "recall": round(float(sklearn.metrics.recall_score(truth, said)), 4),
        "precision": round(float(sklearn.metrics.precision_score(truth, said)), 4),
    }


def _latency(session: onnxruntime.InferenceSession, rows: Rows) -> float:
    """The 99th percentile of answering one row, in milliseconds, after a warm-up."""
    taken = []
    for number in range(1000):
        row = rows[number % len(rows)][None, :]
        began = time.perf_counter()
        session.run(["probabilities"], {"X": row})
        taken.append((time.perf_counter() - began) * 1000)
    return round(float(np.percentile(taken[100:], 99)), 3)


def _csv(path: pathlib.Path, features: tuple[str, ...], rows: Rows, truth: Truth) -> str:
    """Write the rows with their truth; the answer is the file's digest, `sha256:…`."""
    lines = [",".join([*(name.replace(" ", "_") for name in features), "malignant"])]
    lines += [",".join([*(repr(float(value)) for value in row), str(label)]) for row, label in zip(rows, truth.tolist(), strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return _sha256(path)


def _json(path: pathlib.Path, content: Mapping[str, Any]) -> pathlib.Path:
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    return path


def _sha256(path: pathlib.Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
