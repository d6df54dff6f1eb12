"""How the code speaks: names that say nothing of the thing they name, and modules under two names. `make check` runs it.

The words come from a time when the code had a vocabulary of its own; how often each room still uses them may only fall (`house.json`).
"""

from __future__ import annotations

import ast
import collections
import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Final

ROOT: Final = pathlib.Path(__file__).resolve().parents[1]
PACKAGE: Final = ROOT / "operator" / "modelyard"
BUDGET: Final = pathlib.Path(__file__).with_name("house.json")
WORDS: Final = frozenset({"one", "was", "said", "told", "seen", "known"})
MOST: Final = 12
"""Modules in one room: more of them is two rooms."""


def names(tree: ast.AST) -> Iterator[str]:
    """Every name that a module binds: variables, parameters, fields, functions."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name


def aliases(tree: ast.AST) -> Iterator[str]:
    """Modules of ours that are imported under another name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "modelyard":
            yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.asname and alias.asname != alias.name)


def counted() -> dict[str, dict[str, int]]:
    """By room: how often it binds each word, and imports a module under another name."""
    found: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for file in sorted(PACKAGE.rglob("*.py")):
        room = ".".join(file.relative_to(PACKAGE).parts[:-1]) or "modelyard"
        tree = ast.parse(file.read_text(encoding="utf-8"))
        found[room].update(name for name in names(tree) if name in WORDS)
        found[room]["alias"] += len(list(aliases(tree)))
    return {room: {word: count for word, count in sorted(counts.items()) if count} for room, counts in sorted(found.items())}


def crowded() -> Iterator[str]:
    """Rooms with too many modules."""
    for room in sorted({file.parent for file in PACKAGE.rglob("*.py")}):
        modules = [file.name for file in room.glob("*.py") if file.name != "__init__.py"]
        if len(modules) > MOST:
            yield f"{room.relative_to(ROOT)} has {len(modules)} modules, at most {MOST}: make it two rooms"


def main() -> int:
    """Compare with the budget; `--write` lowers it to what is so."""
    found, budget = counted(), json.loads(BUDGET.read_text(encoding="utf-8")) if BUDGET.exists() else {}
    if "--write" in sys.argv:
        BUDGET.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return 0
    wrong = list(crowded())
    for room, counts in found.items():
        for word, count in counts.items():
            most = budget.get(room, {}).get(word, 0)
            if count > most:
                what = "imports a module under another name" if word == "alias" else f"names something `{word}`"
                wrong.append(f"{room} {what} {count} times, at most {most}: say what it is (HOUSE: one word, one meaning)")
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
