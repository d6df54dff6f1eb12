"""A verb, typed as a person would, and what comes of it."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping

import pytest

from modelyard.cli import app
from tests.fakes import s3


@dataclasses.dataclass(frozen=True)
class Ended:
    """How it ended."""

    code: int
    out: str
    said: str


class Person:
    """Somebody at a keyboard, without a cluster, with the keys of a store in the environment."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def types(self, *words: str | pathlib.Path) -> Ended:
        """`modelyard` and these words."""
        self._capture.readouterr()
        with pytest.raises(SystemExit) as ended:
            app.run([str(word) for word in words])
        seen = self._capture.readouterr()
        assert "Traceback" not in seen.err
        for secret in (s3.CREDENTIALS.access_key, s3.CREDENTIALS.secret_key):
            assert secret not in seen.out + seen.err
        return Ended(int(ended.value.code or 0), seen.out, seen.err)


def folder(root: pathlib.Path, files: Mapping[str, bytes]) -> pathlib.Path:
    """A folder with these files."""
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root
