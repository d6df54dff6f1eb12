"""A small model server: loads the verified artifact of its pod with onnxruntime, answers rows with labels, and says which version it is."""

from __future__ import annotations

import json
import logging
import os
import pathlib
import sys
from typing import Any

import numpy as np
import onnxruntime
import uvicorn
from starlette import applications, requests, responses, routing

log = logging.getLogger("server")
_MOST_ROWS = 10_000


class Model:
    """The artifact of one version: `model.onnx`, and `model.json` with its features, labels and threshold."""

    def __init__(self, folder: pathlib.Path) -> None:
        about = json.loads((folder / "model.json").read_text())
        self.features: list[str] = about["features"]
        self.labels: list[str] = about["labels"]
        self.threshold: float = about["threshold"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a pod has a fraction of a core; more threads only wait for each other
        self.session = onnxruntime.InferenceSession((folder / "model.onnx").read_bytes(), options, providers=["CPUExecutionProvider"])

    def predict(self, rows: object) -> list[dict[str, Any]]:
        """One answer per row: the label, and the probability of the second label.

        Raises:
            ValueError: the rows are not what the model takes; says what is wrong.
        """
        if not isinstance(rows, list) or not 0 < len(rows) <= _MOST_ROWS:
            raise ValueError(f'send {{"rows": [[…], …]}} with 1 to {_MOST_ROWS} rows')
        try:
            array = np.asarray(rows, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise ValueError(f"every row must be a list of {len(self.features)} numbers") from error
        if array.ndim != 2 or array.shape[1] != len(self.features) or not np.isfinite(array).all():
            raise ValueError(f"every row must be a list of {len(self.features)} finite numbers: {', '.join(self.features)}")
        probabilities = np.asarray(self.session.run(["probabilities"], {"X": array})[0])[:, 1]
        return [{"label": self.labels[int(value >= self.threshold)], "probability": round(float(value), 6)} for value in probabilities]


def make(model: Model, identity: dict[str, str]) -> applications.Starlette:
    """The application; every answer carries the identity: which model, version, stage and digest this pod serves."""

    async def predict(request: requests.Request) -> responses.Response:
        try:
            body = await request.json()
            predictions = model.predict(body.get("rows") if isinstance(body, dict) else None)
        except ValueError as error:  # JSONDecodeError is one as well
            return responses.JSONResponse({"error": str(error)}, status_code=400)
        return responses.JSONResponse({**identity, "predictions": predictions})

    async def about(_: requests.Request) -> responses.Response:
        return responses.JSONResponse({**identity, "features": model.features, "labels": model.labels})

    async def healthy(_: requests.Request) -> responses.Response:
        return responses.PlainTextResponse("ok")

    return applications.Starlette(
        routes=[
            routing.Route("/", about),
            routing.Route("/healthz", healthy),
            routing.Route("/predict", predict, methods=["POST"]),
        ]
    )


def main() -> None:
    """Serve on all addresses, port 8080 or $PORT; the artifact is in $MODELYARD_PATH."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    folder = pathlib.Path(os.environ.get("MODELYARD_PATH", "/models"))
    identity = {field: os.environ.get(f"MODELYARD_{field.upper()}", "") for field in ("model", "version", "stage", "digest")}
    port = int(os.environ.get("PORT", "8080"))
    try:
        model = Model(folder)
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"{folder} holds no model that can be served: {error}")
    log.info("serving %(model)s %(version)s in %(stage)s, %(digest)s", identity)
    uvicorn.run(make(model, identity), host="0.0.0.0", port=port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
