"""What served then? `modelyard explain`, typed as a person types it, on a model with 100,000 records in a store; beside the start of the command alone.

python -m tests.bench.explain
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

from modelyard.ledger import codec
from tests.bench.row import row
from tests.cluster import stores
from tests.fakes import chronicle

RECORDS = 100_000
VERSIONS = 200


def rows() -> list[dict[str, Any]]:
    """The table's rows; takes about a minute."""
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder, stores.run("versitygw", pathlib.Path(folder)) as running:
        client = running.open()
        client.make_bucket("modelyard")
        story = written()
        chronicle.export(running.folder / "modelyard", story, chronicle.Operators())
        assert client.get("modelyard", story.chain.key(RECORDS)) is not None
        alone = min(_typed(running, "--help") for _ in range(3))
        found = []
        for name, part in (("in the middle", 0.5), ("near its end", 0.99)):
            moment = codec.write_time(chronicle.START + part * (story.now - chronicle.START))
            words = ("explain", "long", "--stage", "production", "--at", moment, "--bucket", "s3://modelyard/", "-n", "risk")
            took = min(_typed(running, *words) for _ in range(3))
            found.append(row(f"explain an instant {name} of {RECORDS:,} records", took, "s", alone, goal=1))
        return found


def written() -> chronicle.Story:
    """A model's long life: new versions now and then, and canaries in between."""
    story = chronicle.Story("long")
    spec = chronicle.sample("modelversion-full")
    story.model(chronicle.sample("model-full"))
    before = ""
    for number in range(VERSIONS):
        version = f"1.{number}.0"
        story.register({**spec, "model": "long", "version": version})
        story.verify(version)
        name = story.promote(version, "production", [(chronicle.BOB, "risk"), (chronicle.DAVE, "business")])
        while len(story.objects) < RECORDS * (number + 1) // VERSIONS - 1:
            story.later(seconds=30)
            weight = len(story.objects) % 98 + 1
            story.serving("production", {before: 100 - weight, version: weight} if before else {version: weight})
        story.finish(name, version, "production")
        before = version
    return story


def _typed(running: stores.Running, *words: str) -> float:
    """Seconds from pressing return to the answer."""
    asked = running.address
    assert asked.credentials
    environment = os.environ | {
        "AWS_ENDPOINT_URL": asked.endpoint or "",
        "AWS_REGION": asked.region or "us-east-1",
        "AWS_ACCESS_KEY_ID": asked.credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": asked.credentials.secret_key,
    }
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "modelyard", *words], env=environment, check=True, capture_output=True)
    return time.monotonic() - began


if __name__ == "__main__":
    print(json.dumps(rows(), indent=2))
