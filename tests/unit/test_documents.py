"""What the documents promise about themselves: links lead somewhere, verbs and options exist, decisions are complete, and console blocks are run.

A fence `console` is run by tests/stories/test_manuals.py; whatever no test runs says so: `console excerpt`.
"""

from __future__ import annotations

import functools
import pathlib
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest

from modelyard.cli import app
from tests.stories import test_manuals

ROOT: Final = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS: Final = sorted(
    [*ROOT.glob("*.md"), *(path for part in ("charts", "crds", "operator", "tests") for path in (ROOT / part).rglob("*.md"))]
)
DECISIONS: Final = ROOT / "operator/docs/decisions"
MANUALS: Final = [ROOT / "crds" / f"{kind}.md" for kind in ("model", "modelversion", "promotion")]
PLAYED: Final = {ROOT / name for name in test_manuals.PLAYED}
"""Documents whose fences `console` are run."""

_FENCE: Final = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK: Final = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_SPAN: Final = re.compile(r"`([^`]+)`")
_GENERATED: Final = re.compile(r"<!-- generated: .*?<!-- end -->", re.DOTALL)


class Typed(NamedTuple):
    """A command line of ours that a document shows."""

    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"`modelyard {' '.join(self.words)}`"


def prose(text: str) -> str:
    """A document without its fences."""
    return _FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found = set[str]()
    for heading in re.findall(r"^#{1,6} (.+)$", prose(text), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()).replace(" ", "-")
        found.add(next(name for name in (slug, *(f"{slug}-{number}" for number in range(1, 100))) if name not in found))
    return found


def broken_links(path: pathlib.Path, text: str) -> Iterator[str]:
    """Relative links to a file, or to a heading, that is not there."""
    for match in _LINK.finditer(re.sub(r"`[^`]*`", "", prose(text))):
        target, _, anchor = match["target"].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        there = (path.parent / target).resolve() if target else path
        if not there.exists() or (anchor and anchor not in anchors(text if there == path else there.read_text(encoding="utf-8"))):
            yield match["target"]


def typed(text: str) -> Iterator[Typed]:
    """Every `modelyard VERB …` in a code span, or behind a prompt."""
    lines = [span.replace("\n", " ") for span in _SPAN.findall(re.sub(r"^```.*$", "", text, flags=re.MULTILINE))]
    lines += re.findall(r"^\$ (.+)$", re.sub(r"\\\n", " ", text), re.MULTILINE)
    for line in lines:
        if match := re.match(r"(?:kubectl )?modelyard +(\S.*)", line.partition(" #")[0]):
            yield Typed(tuple(match[1].split()))


@functools.cache
def helps() -> dict[tuple[str, ...], str]:
    """The help of each verb, by its words."""
    pages = re.split(r"^\$ modelyard (.*)--help$", app.manual(), flags=re.MULTILINE)[1:]
    return {tuple(verb.split()): page for verb, page in zip(pages[::2], pages[1::2], strict=True)}


def wrong_words(command: Typed, known: dict[tuple[str, ...], str]) -> Iterator[str]:
    """What of a command line the program does not take: its verb, or options."""
    verb = next((command.words[:length] for length in (2, 1) if command.words[:length] in known), ())
    if not verb and command.words[0] not in {"--help", "VERB"}:
        yield f"no verb {command.words[0]}"
        return
    for word in command.words:
        option = re.match(r"--[a-z][a-z-]*", word.strip("[]…,.;"))
        if option and not re.search(rf"(?<![\w-]){option[0]}(?![\w-])", known[verb]):
            yield f"no option {option[0]}"


def identified(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", DOCUMENTS, ids=identified)
def test_every_link_leads_somewhere(path: pathlib.Path) -> None:
    assert list(broken_links(path, path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](README.md) [b](https://example.com/x) [c](#here)\n# Here", []),
        ("[a](nowhere.md)", ["nowhere.md"]),
        ("[a](README.md#nowhere)", ["README.md#nowhere"]),
        ("[a](#there)\n```sh\n# There\n```", ["#there"]),
        ("[a](#twice-1)\n# Twice\n# Twice", []),
    ],
)
def test_a_link_that_leads_nowhere_is_found(text: str, expected: list[str]) -> None:
    assert list(broken_links(ROOT / "README.md", text)) == expected


@pytest.mark.parametrize("path", DOCUMENTS, ids=identified)
def test_every_verb_and_option_exists(path: pathlib.Path) -> None:
    known = helps()

    assert [f"{command}: {wrong}" for command in typed(path.read_text(encoding="utf-8")) for wrong in wrong_words(command, known)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("`modelyard push DIR --model M`", []),
        ("`modelyard ledger verify --from FOLDER`", []),
        ("`modelyard\nbless M`", ["no verb bless"]),
        ("```console excerpt\n$ kubectl modelyard push DIR --blessed\n```", ["no option --blessed"]),
        ("```console excerpt\n$ modelyard push DIR \\\n    --tags k=v\n```", ["no option --tags"]),
        ("`modelyard-system`, `modelyard`, `charts/modelyard x`", []),
    ],
)
def test_a_verb_or_an_option_that_does_not_exist_is_found(text: str, expected: list[str]) -> None:
    assert [wrong for command in typed(text) for wrong in wrong_words(command, helps())] == expected


def test_the_readme_is_a_landing_page() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def test_the_architecture_is_a_page() -> None:
    assert len((ROOT / "operator/README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(path.name[:4]) for path in sorted(DECISIONS.glob("[0-9]*.md"))]

    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("path", sorted(DECISIONS.glob("[0-9]*.md")), ids=lambda path: path.stem)
def test_a_decision_says_its_context_what_was_decided_and_what_was_rejected(path: pathlib.Path) -> None:
    parts = re.split(r"^## (.+)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    title = re.fullmatch(r"# (.+)\n\nArea: .+\n\n", parts[0])

    assert title
    assert parts[1::2] == ["Context", "Decision", "Rejected"]
    assert all(part.strip() for part in parts[2::2])
    assert f"[{path.name[:4]}]({path.name}) {title[1]}\n" in (DECISIONS / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", DOCUMENTS, ids=identified)
def test_a_console_block_is_run_or_marked_as_an_excerpt(path: pathlib.Path) -> None:
    allowed = {"console excerpt"} | ({"console"} if path in PLAYED else set())
    text = _GENERATED.sub("", path.read_text(encoding="utf-8"))
    fences = [(match["info"], match["body"]) for match in _FENCE.finditer(text)]

    assert [
        info or body for info, body in fences if info not in allowed and ("console" in info or re.search(r"^\$ ", body, re.MULTILINE))
    ] == []


@pytest.mark.parametrize("path", MANUALS, ids=identified)
def test_a_manual_teaches_refers_and_debugs(path: pathlib.Path) -> None:
    headings = re.findall(r"^## (.+)$", prose(path.read_text(encoding="utf-8")), re.MULTILINE)

    assert [re.sub(r"\b(ModelVersion|Model|Promotion)(s?)\b", r"KIND\2", heading) for heading in headings] == [
        "A worked example",
        "Writing a KIND spec",
        "Working with KINDs",
        "Debugging",
        "KIND status",
    ]


@pytest.mark.parametrize("path", MANUALS, ids=identified)
def test_what_one_may_see_in_debugging_is_what_a_status_may_say(path: pathlib.Path) -> None:
    text = path.read_text(encoding="utf-8")
    rows = re.search(r"^## Debugging\n.*?(?=^## )", text, re.DOTALL | re.MULTILINE)
    assert rows
    symptoms = [line.split("|")[1] for line in rows[0].splitlines() if line.startswith("| ")]
    named = {span for symptom in symptoms for span in _SPAN.findall(symptom) if re.fullmatch(r"(?:[A-Z][a-z]+){2,}", span)}

    status = text[rows.end() :]
    assert {name for name in named if f"`{name}`" not in status} == set()
