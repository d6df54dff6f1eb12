"""The threat model names a test for each threat, and each of them is there."""

from __future__ import annotations

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
MODEL = ROOT / "charts" / "modelyard" / "SECURITY.md"
NAMED = re.compile(r"`(tests/[a-z0-9_/]+\.py)(?:::(test_[a-z0-9_]+))?`")


def functions(file: pathlib.Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = NAMED.findall(MODEL.read_text())

    missing = [f"{file}::{name}" for file, name in named if not (ROOT / file).is_file() or (name and name not in functions(ROOT / file))]

    assert len(named) > 20
    assert missing == []


def test_every_threat_has_its_test_or_passes_by_design() -> None:
    rows = [
        line for line in MODEL.read_text().splitlines() if line.startswith("| ") and "---" not in line and not line.endswith("| test |")
    ]

    open_ones = [row for row in rows if not NAMED.search(row) and not row.rstrip().endswith("| – |")]

    assert len(rows) > 25
    assert open_ones == []
