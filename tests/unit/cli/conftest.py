"""People and a small S3 for the tests of the command line."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from tests.fakes.s3 import CREDENTIALS, S3, run
from tests.unit.cli import typed


@pytest.fixture
def s3() -> Iterator[S3]:
    """An empty store."""
    with run() as running:
        yield running


@pytest.fixture
def person(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> typed.Person:
    """Somebody without a cluster, with the small S3's keys."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", CREDENTIALS.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CREDENTIALS.secret_key)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-such-kubeconfig"))
    return typed.Person(capsys)
